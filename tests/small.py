"""Small made-up tables with bad and benign signs, and what is trained on them in seconds."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from isotone import workflow
from isotone.experiment import Prepared, Question, prepare
from isotone.families import NetworkFamily
from isotone.model_folder import ModelFolder
from isotone.threat import Threat
from isotone.training import Recipe, Rows

ROWS = 1_100
RATE = 0.02  # what some 170 negatives on a side can support
RECIPE = Recipe(epochs=6, learning_rate=3e-2, accelerator="cpu")
SETTINGS = ({"pool": "max"},)


def names_table(rows: int = ROWS, seed: int = 0, **columns: Any) -> pa.Table:
    """Sets of names, a fifth bad: `evil*` are bad signs, `good*` benign ones, `common*` say nothing; two numbers."""
    rng = np.random.default_rng(seed)
    bad = rng.random(rows) < 0.2
    chances = [("common", 20, 0.3, 0.3), ("evil", 10, 0.3, 0.005), ("good", 10, 0.05, 0.3)]
    present = [
        (name, rng.random((rows, count)) < np.where(bad, if_bad, if_benign)[:, None])
        for name, count, if_bad, if_benign in chances
    ]
    names = [[f"{name}{i}" for name, found in present for i in np.flatnonzero(found[row])] for row in range(rows)]
    return pa.table(
        {
            "id": [f"r{row}" for row in range(rows)],
            "names": names,
            "size": np.round(rng.normal(size=rows) + bad, 3),
            "age": np.round(rng.normal(size=rows) - bad, 3),
            "class": bad.astype(np.int64),
            **columns,
        }
    )


def numbers_table(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """Three numbers and two columns of 0 and 1, the same story."""
    rng = np.random.default_rng(seed)
    bad = rng.random(rows) < 0.2
    return pa.table(
        {
            "debts": np.round(rng.normal(size=rows) + 2 * bad, 3),
            "age": np.round(rng.normal(size=rows) - 2 * bad, 3),
            "zip": np.round(rng.normal(size=rows), 3),
            "late": (rng.random(rows) < np.where(bad, 0.6, 0.1)).astype(np.int64),
            "owner": (rng.random(rows) < np.where(bad, 0.2, 0.6)).astype(np.int64),
            "class": np.where(bad, "bad", "ok"),
        }
    )


def question(**other: Any) -> Question:
    return Question(**{"label": "class", "names": "names", "max_false_alarm_rate": RATE, **other})


FEW = {"label": "class", "max_false_alarm_rate": RATE}
MIXED, NUMBERS = Threat(("evil*", "good*", "size"), ("age",)), Threat(("debts",), ("age",))

# What a question can be about, and the directions that follow. name -> (table, question)
# fmt: off
WORLDS = {
    "names only":       (names_table,   question()),
    "names, numbers":   (names_table,   question(columns=("size", "age"), threat=MIXED)),
    "free names":       (names_table,   question(threat=Threat(adds=("evil*", "common*")))),
    "numbers only":     (numbers_table, Question(**FEW, ignore=("late", "owner"), threat=NUMBERS)),
    "presence columns": (numbers_table, Question(**FEW, threat=Threat(("debts", "late"), ("age", "owner")))),
}
# fmt: on


def prepared(world: str = "names only") -> Prepared:
    table, asked = WORLDS[world]
    return prepare(table(), asked)


def family(*, monotone: bool = True, recipe: Recipe = RECIPE, **other: Any) -> NetworkFamily:
    return NetworkFamily(monotone, recipe, **{"members": 1, "hidden": (16, 8), "settings": SETTINGS, **other})


def some(rows: Rows, count: int) -> Rows:
    at = np.arange(count)
    return Rows(rows.examples.take(at), rows.labels[at])


@functools.cache
def folder_of(world: str = "names, numbers") -> ModelFolder:
    """A trained folder; it is shared, so nothing in it may be changed."""
    table, asked = WORLDS[world]
    members = 2 if world == "names, numbers" else 1
    return workflow.train_folder(table(), asked, name="small", recipe=RECIPE, members=members, settings=SETTINGS)


def in_csv(table: pa.Table) -> pa.Table:
    """With lists of names as one cell, names between spaces."""
    if "names" not in table.column_names:
        return table
    cells = pa.array([" ".join(names) for names in table["names"].to_pylist()])
    return table.set_column(table.column_names.index("names"), "names", cells)


def write(table: pa.Table, path: Any) -> Any:
    """As the suffix says: .csv, .tsv, .jsonl or .parquet."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        options = pyarrow.csv.WriteOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        pyarrow.csv.write_csv(in_csv(table), path, options)
    return path
