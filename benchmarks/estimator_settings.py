"""What should the estimators take by themselves? Two tables on small sets and one on larger ones.

- settings: why not the one that docs/recipes.md recommends for networks on many names? Fitted to the training part of
  ten splits and judged on the validation part; test parts stay closed;
- sizes: each one that is chosen among by folds, and the choice itself. Fitted to what there is to learn from on all 15
  splits, judged on the test part: these sets are for development;
- many: the size for many rows and changes to it, in the same way, on COMPAS and on draws of the two sets that are made
  which no other page judges (101 and following).

Log loss for classes, root mean squared error in deviations of the target else. Figures go to
benchmarks/results/estimator_settings.json.

    python benchmarks/estimator_settings.py --data folder     # a quarter of an hour of one core
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _tabular import ours, records, splits
from _tabular.parts import Part
from _tabular.protocol import LEADING, figures
from _tabular.tables import SETS

from isotone.estimators import _base
from isotone.progress import Progress

RESULTS = records.RESULTS / "estimator_settings.json"
SMALL = {"esl": "ESL", "heart": "Heart", "autompg": "AutoMPG"}
# What estimators take for few rows, or try first; said in full, so that nothing else is chosen on the rows.
FIRST = {
    "hidden": (16, 16),
    "embedding": (16, 8),
    "stretches": 2,
    "members": 4,
    "epochs": 80,
    "learning_rate": 0.01,
    "weight_decay": 0.3,
}
LINE = {
    "hidden": (),
    "embedding": (),
    "stretches": 1,
    "members": 1,
    "epochs": 400,
    "weight_decay": 0.0,
}
CHANGES: dict[str, dict[str, Any]] = {
    "none: rate 0.01, decay 0.3, 2 stretches": {},
    "the setting above: rate 0.03, decay 0.1, 8 stretches": {
        "learning_rate": 0.03,
        "weight_decay": 0.1,
        "stretches": 8,
    },
    "only rate 0.03": {"learning_rate": 0.03},
    "only decay 0.1": {"weight_decay": 0.1},
    "only 8 stretches": {"stretches": 8},
}
SIZES: dict[str, dict[str, Any]] = {
    "(16, 16), 2 stretches, 80 steps, decay 0.3": FIRST,
    "decay 3": FIRST | {"weight_decay": 3.0},
    "160 steps": FIRST | {"epochs": 160},
    "(32, 32), 1 stretch": FIRST | {"hidden": (32, 32), "stretches": 1},
    "a line: none hidden, 1 stretch, 400 steps, no decay": LINE,
    "**the best of these five by folds**": {},
    "not tried by folds: 40 steps": FIRST | {"epochs": 40},
    "not tried by folds: 4 stretches": FIRST | {"stretches": 4},
    "not tried by folds: none hidden, additive": FIRST | {"hidden": ()},
}


MANY: dict[str, dict[str, Any]] = {
    "as it is": {},
    "layers are shown all 64 stretches": {"coarse": 64},
    "... and decay 0.3": {"coarse": 64, "weight_decay": 0.3},
    "layers are shown 4": {"coarse": 4},
    "decay 0.3": {"weight_decay": 0.3},
    "decay 1": {"weight_decay": 1.0},
    "(64, 64, 64)": {"hidden": (64, 64, 64)},
    "four members": {"members": 4},
    "at most 16 stretches": {"stretches": 16},
    "12 epochs": {"epochs": 12, "early_stopping": False},
    "24 epochs": {"epochs": 24, "early_stopping": False},
    "a tenth held out, the best epoch kept": {"early_stopping": True},
    "no teacher": {"teacher": 0.0},
    "... and four members": {"teacher": 0.0, "members": 4},
    "a teacher of share 0.3": {"teacher": 0.3},
    "a teacher of share 0.7": {"teacher": 0.7},
    "nothing but a teacher": {"teacher": 1.0},
    "nothing but a teacher, four members": {"teacher": 1.0, "members": 4},
}
LARGER = {"compas": "COMPAS", "staircase": "staircase", "screening": "screening"}


class Question(NamedTuple):
    """A table: its first line is what the others are compared with."""

    lines: dict[str, dict[str, Any]]
    sets: dict[str, str]
    splits: dict[str, list[int]]
    test: bool


QUESTIONS = {
    "validation": Question(
        {name: FIRST | change for name, change in CHANGES.items()},
        SMALL,
        {name: [*range(10)] for name in SMALL},
        test=False,
    ),
    "sizes": Question(SIZES, SMALL, {name: [*range(15)] for name in SMALL}, test=True),
    "many": Question(
        MANY,
        LARGER,
        {"compas": [*range(15)], "staircase": [*range(101, 106)], "screening": [*range(101, 107)]},
        test=True,
    ),
}


def judged(name: str, number: int, setting: dict[str, Any], data: str, *, test: bool) -> float:
    """The leading figure of one split, on its validation part or, fitted to that too, on its test part."""
    table, task = splits.load(name, data, number), SETS[name].task
    rows = splits.split(name, table, number)
    learn = np.concatenate([rows.train, rows.validation])
    centre, spread = (0.0, 1.0) if task == "classification" else (table.y[learn].mean(), table.y[learn].std())
    y = (table.y - centre) / spread
    inside, judge = (learn, rows.test) if test else (rows.train, rows.validation)
    watch = (table.X[judge], y[judge])  # keeps it from proving what it fits; isotone does not look at it
    setting = dict(setting)
    # What is no setting of the estimators is a part of their size.
    before, _base.MANY = _base.MANY, _base.MANY._replace(coarse=setting.pop("coarse", _base.MANY.coarse))
    part = Part(table.X[inside], y[inside], ways=table.ways, task=task, seed=number, watch=watch)
    try:
        return figures(ours.isotone(setting, part).predict(watch[0]), watch[1], task)[LEADING[task]]
    finally:
        _base.MANY = before


def table(question: str, found: dict[str, dict[str, list[float]]]) -> str:
    """The lines of docs/recipes.md or docs/estimators.md: the mean of the first, and differences to it with errors."""
    sets = QUESTIONS[question].sets
    lines = ["| change | " + " | ".join(sets.values()) + " |", "|---|" + "---|" * len(sets)]
    changes = list(QUESTIONS[question].lines)
    for change in changes:
        cells = []
        for name in sets:
            first, here = np.array(found[name][changes[0]]), np.array(found[name][change])
            error = (here - first).std(ddof=1) / len(here) ** 0.5
            mean = f"{first.mean():.4f}".removeprefix("0")
            off = f"{(here - first).mean():+.4f} ± {error:.4f}"
            cells.append(mean if change == changes[0] else off)
        lines.append(f"| {change} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Every change on every split of every set, then one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA"), required="ISOTONE_DATA" not in os.environ)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), help="the others stay")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads(options.out.read_text()) if options.out.exists() else {}
    found = {title: before[title] for title in QUESTIONS if title in before}
    commits = dict.fromkeys(found, before.get("commit")) | before.get("commits", {})
    with Progress() as progress:
        for title in options.only:
            question, commits[title] = QUESTIONS[title], records.commit()
            places = [(name, number) for name in question.sets for number in question.splits[name]]
            bar = progress.bar(title, len(places))
            found[title] = {name: {line: [] for line in question.lines} for name in question.sets}
            for done, (name, number) in enumerate(places):
                for line, setting in question.lines.items():
                    value = judged(name, number, setting, options.data, test=question.test)
                    found[title][name][line].append(value)
                bar.update(done + 1, name)
    records.keep(options.out, "python benchmarks/estimator_settings.py --data DATA", {"commits": commits, **found})
    for title, values in found.items():
        print(table(title, values))


if __name__ == "__main__":
    main()
