"""For which false-alarm rate is the floor of a guarded detector best trained, and does joint training help?

The free lane takes most of the budget of 1 %, so the floor ends at less. On inner splits of training and validation
rows (test rows are not read) a pattern floor is trained for the whole budget, half, and a quarter of it, and for half
without the benign rows that the free lane alarms anyway, out of fold (joint training). Measured on rows that neither
lane saw: the highest certified detection that costs at most one point of clean detection, by means over draws of rows.

    python benchmarks/floor_share.py --data folder      # 5 splits of drebin215; two minutes
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _detection.sets import load
from sklearn.model_selection import StratifiedKFold

from isotone.data import split
from isotone.detector import _free
from isotone.detector._budget import _alone, _draws, _with, alarms_allowed
from isotone.floors import PatternFloor

RATE, LOSS, DRAWS = 0.01, 0.01, 30
# What is tried: the share of the budget that the floor is trained for, and whether without the free lane's alarms.
WAYS = {"the whole budget": (1.0, False), "half": (0.5, False), "a quarter": (0.25, False), "half, joint": (0.5, True)}


def out_of_fold(X, y, seed):
    """Scores of the free lane for rows that it was not fitted to."""
    found = np.zeros(len(y))
    for train, held in StratifiedKFold(4, shuffle=True, random_state=seed).split(X, y):
        found[held] = _free.scores(_free.fitted("auto", X[train], y[train], seed), X[held])
    return found


def best_certified(free, floor, y):
    """Certified detection at the loss allowed, the mean over draws of the rows."""
    budget = alarms_allowed(RATE, int((y == 0).sum()))
    clean, certified, alone = np.zeros(budget + 1), np.zeros(budget + 1), 0.0
    for at in _draws(y, DRAWS, 0):
        found = [_with(free[at], floor[at], y[at], k, budget) for k in range(budget + 1)]
        clean += [one.clean / DRAWS for one in found]
        certified += [one.certified / DRAWS for one in found]
        alone += _alone(free[at], floor[at], y[at], budget).clean / DRAWS
    return float(certified[clean >= alone - LOSS - 1e-12].max(initial=0.0))


def measured(data, seed):
    """One split: certified detection of each way."""
    problem = load("drebin215", data, seed)
    X = sp.vstack([problem.train.X, problem.validation.X], format="csr").astype(np.float64)
    y = np.concatenate([problem.train.y, problem.validation.y])
    sides = split(y, None, (0.6, 0.2, 0.2), seed=50 + seed)
    train, held = sides.train, np.sort(np.concatenate([sides.validation, sides.test]))
    directions = tuple(int(way) for way in problem.ways)
    free = _free.scores(_free.fitted("auto", X[train], y[train], seed), X[held])
    apart = out_of_fold(X[train], y[train], seed)
    benign = y[train] == 0
    spent = benign & (apart > np.quantile(apart[benign], 1 - RATE))
    found = {}
    for way, (part, joint) in WAYS.items():
        at = train[~spent] if joint else train
        floor = PatternFloor().fit(X[at], y[at], directions, rate=RATE * part, seed=seed)
        found[way] = best_certified(free, floor.scores(X[held]), y[held])
    return found


def main():
    """All splits, then one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA"), required="ISOTONE_DATA" not in os.environ)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "floor_share.json")
    options = parser.parse_args()
    splits = []
    for seed in range(5):
        splits.append(measured(options.data, seed))
        print(seed, {way: round(value, 3) for way, value in splits[-1].items()}, flush=True)
    means = {way: float(np.mean([one[way] for one in splits])) for way in WAYS}
    said = {
        "command": "python benchmarks/floor_share.py --data DATA",
        "set": "drebin215",
        "splits": splits,
        "mean": means,
    }
    partial = options.out.with_suffix(".partial")
    partial.write_text(json.dumps(said, indent=1) + "\n")
    partial.replace(options.out)
    print(means)


if __name__ == "__main__":
    main()
