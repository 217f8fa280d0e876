"""How much does each way to train a monotone floor detect, where few false alarms are allowed?

Everything is fitted to training rows, a choice among floors is made on a part of them, the threshold is that of the
validation benign, and the test side is read once per floor. A floor is monotone: what it detects is certified against
any number of additions. One record for each finished (set, seed, floor) in results/floors.json, so that the command may
be stopped and given again.

    python benchmarks/floors.py --data folder             two sets, five seeds
    python benchmarks/floors.py --data folder --quick     one seed, drebin215, the two quickest floors
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _detection.sets import load

from isotone import floors
from isotone.data import split
from isotone.evaluation import detection, false_alarms, threshold_at

RATE, SETS, SEEDS = 0.01, ("drebin215", "defensedroid"), 5
CHOOSING = 0.2  # of the training rows
RESULTS = Path(__file__).parent / "results" / "floors.json"
FLOORS = {
    # name                               floor                                                             what it adds
    "monotone LightGBM": (lambda: floors.BoosterFloor(prune=False), "all bad rows"),
    "pruned LightGBM": (floors.BoosterFloor, "without bad rows that benign ones contain"),
    "network": (floors.NetworkFloor, "a classifier, then the band of low false alarms"),
    "patterns, rarity": (lambda: floors.PatternFloor(steps=0), "as they start"),
    "patterns, odds": (lambda: floors.PatternFloor(units=4096, odds=0.5, steps=0), "weighed by odds too"),
    "patterns, trained": (floors.PatternFloor, "200 steps on the band of low false alarms"),
    "sum of single features": (floors.AdditiveFloor, "logistic regression with weights of at least 0"),
    "best floor": (floors.best_floor, "the best of patterns and two sums with trees on held-out training rows"),
}
QUICK = ("pruned LightGBM", "patterns, rarity")


def judged(name: str, seed: int, floor: str, data: str) -> dict:
    """One floor on one split."""
    problem = load(name, data, seed)
    train, held, test = problem.train, problem.validation, problem.test
    ways = tuple(int(way) for way in problem.ways)
    made = FLOORS[floor][0]()
    start = time.perf_counter()
    if isinstance(made, floors.BestFloor):
        at = split(train.y, None, (1 - CHOOSING, CHOOSING / 2, CHOOSING / 2), seed)
        some, choose = train.take(at.train), train.take(np.concatenate([at.validation, at.test]))
        made.fit(some.X, some.y, ways, rate=RATE, seed=seed, validation=(choose.X, choose.y))
    else:
        made.fit(train.X, train.y, ways, rate=RATE, seed=seed)
    seconds = time.perf_counter() - start
    scores = {side: made.scores(rows.X) for side, rows in (("validation", held), ("test", test))}
    threshold = threshold_at(scores["validation"][held.y == 0], RATE)
    alarms = false_alarms(scores["test"], test.y, threshold)
    proof = made.prove()
    return {
        "set": name,
        "seed": seed,
        "floor": floor,
        "adds": FLOORS[floor][1],
        "rows": [len(train), len(held), len(test)],
        "validation": detection(scores["validation"], held.y, threshold),
        "validation_near": floors.detection_near(scores["validation"], held.y, RATE),
        "certified": detection(scores["test"], test.y, threshold),
        "false_alarms": alarms.estimate
        if hasattr(alarms, "estimate")
        else float((scores["test"][test.y == 0] > threshold).mean()),
        "verdict": proof.verdict.value,
        "seconds": round(seconds, 1),
        "tried": getattr(made, "found_", None),
    }


def main() -> None:
    """The missing records, then a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA"), required="ISOTONE_DATA" not in os.environ)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--floors", nargs="*", choices=tuple(FLOORS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = json.loads(options.out.read_text()) if options.out.exists() else []
    there = {(r["set"], r["seed"], r["floor"]) for r in records}
    sets, seeds = (SETS[:1], 1) if options.quick else (options.sets, SEEDS)
    wanted = options.floors or (QUICK if options.quick else tuple(FLOORS))
    for key in [(s, seed, f) for f in wanted for s in sets for seed in range(seeds)]:
        if key in there:
            continue
        records.append(judged(*key, options.data))
        partial = options.out.with_suffix(".partial")
        partial.write_text(json.dumps(records, indent=1))
        partial.replace(options.out)
        last = records[-1]
        sys.stderr.write(f"{key}: {last['certified']:.3f} at {last['false_alarms']:.2%}, {last['seconds']} s\n")
    for name in SETS:
        for floor in FLOORS:
            found = [r for r in records if (r["set"], r["floor"]) == (name, floor)]
            if found:
                means = {k: np.mean([r[k] for r in found]) for k in ("validation", "certified", "false_alarms")}
                told = ", ".join(f"{k} {v:.3f}" for k, v in means.items())
                sys.stdout.write(f"{name:13} {floor:18} {told}, {len(found)} seeds\n")


if __name__ == "__main__":
    main()
