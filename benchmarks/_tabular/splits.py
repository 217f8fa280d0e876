"""Outer splits and their validation parts: rows that repeat a feature vector are never on both sides.

- classes are stratified;
- the validation part is a fifth of the rows to learn from, cut the same way;
- a split depends on the set and its number alone, so that models and sessions meet the same rows.
"""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .tables import SETS, Table

REPEATS, FOLDS, DRAWS = 3, 5, 3


@dataclass(frozen=True)
class Split:
    """Three parts: settings are tried from `train` on `validation`; `test` is judged once."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def groups(X: np.ndarray) -> np.ndarray:
    """A number per distinct feature vector."""
    return np.asarray(np.unique(X, axis=0, return_inverse=True)[1]).reshape(-1)


def fold(X: np.ndarray, y: np.ndarray, task: str, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows outside and inside fold `number` of five."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    if task == "classification":
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    else:
        folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(folds.split(X, y, groups(X)))[number]


def count(name: str, *, quick: bool) -> int:
    """How many outer splits a set has."""
    outer = SETS[name].outer
    whole = {"folds": REPEATS * FOLDS, "draws": DRAWS, "given": 1, "part": 1}[outer]
    return min(whole, FOLDS) if quick and outer == "folds" else 1 if quick else whole


def load(name: str, data: str | Path, number: int) -> Table:
    """The set; one that is made is drawn anew for every split."""
    row = SETS[name]
    return row.load(number) if row.outer == "draws" else row.load(Path(data))


def split(name: str, table: Table, number: int) -> Split:
    """Split `number` of a set."""
    row = SETS[name]
    everything = np.arange(len(table.X))
    if table.test is not None:
        test = table.test
        learn = np.setdiff1d(everything, test)
    else:
        repeat, part = divmod(number, FOLDS)
        learn, test = fold(table.X, table.y, row.task, part, seed=repeat)
    inside, outside = fold(table.X[learn], table.y[learn], row.task, 0, seed=1000 + number)
    return Split(train=learn[inside], validation=learn[outside], test=test)
