"""Why do the estimators not take the setting that docs/recipes.md recommends for networks on many names?

Small sets that the estimators were developed on: each change of what they take for few rows is fitted to the training
part of ten splits and judged on the validation part; test parts stay closed. Log loss for classes, root mean squared
error in deviations of the target else. Figures go to benchmarks/results/estimator_settings.json.

    python benchmarks/estimator_settings.py --data folder     # some minutes of one core
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _tabular import ours, records, splits
from _tabular.parts import Part
from _tabular.protocol import LEADING, figures
from _tabular.tables import SETS

from isotone.progress import Progress

RESULTS = records.RESULTS / "estimator_settings.json"
SMALL, SPLITS = {"esl": "ESL", "heart": "Heart", "autompg": "AutoMPG"}, 10
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
UNCHANGED = next(iter(CHANGES))


def judged(name: str, number: int, setting: dict[str, Any], data: str) -> float:
    """The leading figure on the validation part of one split."""
    table, task = splits.load(name, data, number), SETS[name].task
    rows = splits.split(name, table, number)
    learn = np.concatenate([rows.train, rows.validation])
    centre, spread = (0.0, 1.0) if task == "classification" else (table.y[learn].mean(), table.y[learn].std())
    y = (table.y - centre) / spread
    watch = (table.X[rows.validation], y[rows.validation])
    part = Part(table.X[rows.train], y[rows.train], ways=table.ways, task=task, seed=number, watch=watch)
    return figures(ours.isotone(setting, part).predict(watch[0]), watch[1], task)[LEADING[task]]


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """The lines of docs/recipes.md: the mean of what they take, and differences to it with their standard errors."""
    lines = ["| change | " + " | ".join(SMALL.values()) + " |", "|---|" + "---|" * len(SMALL)]
    for change in CHANGES:
        cells = []
        for name in SMALL:
            first, here = np.array(found[name][UNCHANGED]), np.array(found[name][change])
            error = (here - first).std(ddof=1) / len(here) ** 0.5
            mean = f"{first.mean():.4f}".removeprefix("0")
            off = f"{(here - first).mean():+.4f} ± {error:.4f}"
            cells.append(mean if change == UNCHANGED else off)
        lines.append(f"| {change} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Every change on every split of every set, then one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA"), required="ISOTONE_DATA" not in os.environ)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[float]]] = {name: {change: [] for change in CHANGES} for name in SMALL}
    with Progress() as progress:
        bar = progress.bar("fits", len(SMALL) * SPLITS)
        for done, (name, number) in enumerate((n, s) for n in SMALL for s in range(SPLITS)):
            for change, setting in CHANGES.items():
                found[name][change].append(judged(name, number, FIRST | setting, options.data))
            bar.update(done + 1, name)
    records.keep(options.out, "python benchmarks/estimator_settings.py --data DATA", {"validation": found})
    print(table(json.loads(options.out.read_text())["validation"]))


if __name__ == "__main__":
    main()
