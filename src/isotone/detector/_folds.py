"""Scores of rows that no fit was given, for every row: thresholds use all rows, and so do the lanes.

Where rows are held out, thresholds lie at one of few benign rows and the lanes never see those. Here each fold is
scored by lanes that were fitted to the other folds (Stone 1974; cross-conformal prediction, Vovk 2015), all scores
together set the thresholds, and the lanes in use are fitted to all rows. These have seen more rows than those that set
the thresholds, so that rates are not exact for them; what is certified does not stand on any rate.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import folds, row_hashes
from ..floors import BestFloor
from . import _free

Scores = NDArray[np.float64]
FOLDS = 5
# Of so many alarms among rows held out the rate is known within a tenth, and folds would cost more than they give.
_ENOUGH = 100


def few(labels: NDArray[np.int64], fraction: float, rate: float) -> bool:
    """Whether a threshold on a fraction of the rows would lie at one of few benign rows."""
    return float((labels == 0).sum()) * fraction * rate < _ENOUGH


def dealt(
    X: Any, labels: NDArray[np.int64], groups: Any, count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The fold of each row, and whether it is alone there: no equal row in another; None where rows are too few.

    Args:
        X, labels: all rows.
        groups: shape (rows,) or None: rows of a group stay together; without, equal rows.
        count: of folds.
        seed: of the order.

    >>> X, labels = np.array([[0.0], [1.0], [2.0], [3.0]] * 2), np.array([0, 0, 1, 1] * 2)
    >>> dealt(np.vstack([X, X + 4]), np.tile(labels, 2), None, 2, seed=1)[0].reshape(2, 2, 4).tolist()
    [[[1, 1, 1, 1], [1, 1, 1, 1]], [[0, 0, 0, 0], [0, 0, 0, 0]]]
    """
    hashes = row_hashes(X)
    fold = folds(labels, count, seed, hashes if groups is None else groups)
    if fold is None:
        return None
    _, vector = np.unique(hashes, return_inverse=True)
    first, last = np.full(len(fold), count), np.full(len(fold), -1)
    np.minimum.at(first, vector, fold)
    np.maximum.at(last, vector, fold)
    alone: NDArray[np.bool_] = first[vector] == last[vector]
    return (fold, alone) if (alone & (labels == 0)).any() else None


def out_of_fold(  # noqa: PLR0917 - two lanes, rows, and how a floor is fitted
    free: Any,
    floor: Any,
    X: Any,
    labels: NDArray[np.int64],
    fold: NDArray[np.int64],
    directions: tuple[int, ...],
    rate: float,
    seed: int,
) -> tuple[Scores | None, Scores]:
    """What lanes that were fitted to the other folds give the rows of each fold.

    Args:
        free: as `Detector` takes it.
        floor: the fitted floor; what it has chosen is fitted anew.
        X, labels: all rows.
        fold: shape (rows,).
        directions, rate, seed: as for `Floor.fit`.
    """
    settled = floor.settled() if isinstance(floor, BestFloor) else floor
    by_free = None if free is None else np.empty(len(labels))
    by_floor = np.empty(len(labels))
    for part in range(int(fold.max()) + 1):
        held, rest = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        if by_free is not None:
            by_free[held] = _free.scores(_free.fitted(free, X[rest], labels[rest], seed), X[held])
        other = copy.deepcopy(settled).fit(X[rest], labels[rest], directions, rate=rate, seed=seed)
        by_floor[held] = other.scores(X[held])
    return by_free, by_floor
