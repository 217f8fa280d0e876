"""The ceiling of each split: `isotone.headroom` on the test rows, and on its bad rows with every benign row of the set.

Bounds of what any detector could certify on these rows, knowing them; nothing is chosen by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from isotone.headroom import headroom

from .sets import load

RATE = 0.01


def ceiling(name: str, seed: int, data: str) -> dict[str, Any]:
    """One row: lower and upper bound at 1 % false alarms, with the test's benign rows and with all."""
    problem = load(name, data, seed)
    bad, sides = problem.test.bad, (problem.train, problem.validation, problem.test)
    every = [side.benign.X for side in sides]
    found: dict[str, Any] = {"set": name, "seed": seed}
    for key, benign in (("test", every[-1:]), ("all", every)):
        X = sp.vstack([bad.X, *benign]).tocsr()
        y = np.concatenate([bad.y, np.zeros(X.shape[0] - len(bad), int)])
        limit = headroom(X, y, tuple(int(way) for way in problem.ways), (RATE,), held_out=False, most=0).limits[0]
        found[key] = [limit.low, limit.high]
    return found


def measure(path: Path, names: Iterable[str], seeds: Iterable[int], data: str, around: dict[str, Any]) -> None:
    """All rows, those that are there already kept; the file is replaced whole after each."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    there = {(row["set"], row["seed"]) for row in rows}
    for seed in seeds:
        for name in names:
            if (name, seed) not in there:
                rows.append(ceiling(name, seed, data))
                print(rows[-1], flush=True)
                beside = path.with_suffix(".partial")
                beside.write_text(json.dumps({**around, "rows": rows}, indent=1) + "\n")
                beside.replace(path)
