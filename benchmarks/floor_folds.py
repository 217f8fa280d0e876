"""Which sums of floors should `best_floor` choose from? By folds of training and validation rows; no test row is read.

Five floors are fitted to three quarters of the rows and score the rest; sums of them take each in units of its spread
near the threshold, as `SumFloor` does. The figure is the mean share of bad rows detected at false-alarm rates near 1 %.

    python benchmarks/floor_folds.py --data folder     five sets, some 15 minutes of a core
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
import torch
from _detection.sets import load
from sklearn.model_selection import StratifiedKFold

from isotone import floors
from isotone.floors._best import _unit

RATE, FOLDS = 0.01, 4
SETS = ("drebin215", "defensedroid", "sms_spam", "enron_spam", "programs")
FLOORS = {
    "patterns": floors.PatternFloor(),
    "as they start": floors.PatternFloor(units=4096, odds=0.5, steps=0),
    "features": floors.AdditiveFloor(),
    "trees": floors.BoosterFloor(prune=False),
    "penalised": floors.BoosterFloor(prune=False, l2=20.0),
}
SUMS = [
    ("patterns",),
    ("as they start",),
    ("features",),
    ("trees",),
    ("penalised",),
    ("as they start", "trees"),
    ("features", "trees"),
    ("features", "penalised"),
    ("as they start", "penalised"),
    ("features", "as they start"),
    ("features", "as they start", "trees"),
    ("patterns", "as they start", "trees"),
    ("patterns", "features", "as they start", "trees"),
]


def measured(name: str, data: str) -> dict[str, float]:
    """Of one set, each sum's figure."""
    problem = load(name, data, 0)
    X = sp.vstack([problem.train.X, problem.validation.X]).tocsr()
    y = np.concatenate([problem.train.y, problem.validation.y])
    ways = tuple(int(way) for way in problem.ways)
    found: dict[str, list[float]] = {" + ".join(taken): [] for taken in SUMS}
    for learn, held in StratifiedKFold(FOLDS, shuffle=True, random_state=7).split(X, y):
        units = {}
        for called, floor in FLOORS.items():
            scores = floor.fit(X[learn], y[learn], ways, rate=RATE).scores(X[held])
            middle, size = _unit(scores[y[held] == 0], RATE)
            units[called] = (scores - middle) / size
        for taken in SUMS:
            total = sum(units[floor] for floor in taken)
            found[" + ".join(taken)].append(floors.detection_near(np.asarray(total), y[held], RATE))
    return {taken: float(np.mean(values)) for taken, values in found.items()}


def main() -> None:
    """A record per set, then a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA"), required="ISOTONE_DATA" not in os.environ)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "floor_folds.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.sets:
        records[name] = measured(name, options.data)
        partial = options.out.with_suffix(".partial")
        partial.write_text(json.dumps(records, indent=1) + "\n")
        partial.replace(options.out)
        sys.stderr.write(f"{name} is done\n")
    sys.stdout.write(f"{'':48}" + "".join(f"{name:>14}" for name in records) + "\n")
    for taken in (" + ".join(sum_) for sum_ in SUMS):
        sys.stdout.write(f"{taken:48}" + "".join(f"{records[name][taken]:14.3f}" for name in records) + "\n")


if __name__ == "__main__":
    main()
