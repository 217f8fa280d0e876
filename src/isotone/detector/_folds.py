"""Scores of rows that no fit was given, for every row: thresholds use all rows, and so do the lanes.

Where rows are held out, thresholds lie at one of few benign rows and the lanes never see those. Here each fold is
scored by lanes that were fitted to the other folds (Stone 1974; cross-conformal prediction, Vovk 2015), all scores
together set the thresholds, and the lanes in use are fitted to all rows. Rates are right as far as the lanes in use
score new rows as those of the folds do, so whatever moves the scale of a score is chosen once; what is certified does
not stand on any rate.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from . import _free

Scores = NDArray[np.float64]
FOLDS = 5
# Of so many alarms among rows held out the rate is known within a tenth, and folds would cost more than they give.
_ENOUGH = 100


class NoFolds(BadInput):
    """Folds were asked for that these rows or this free lane cannot have."""


def few(labels: NDArray[np.int64], fraction: float, rate: float) -> bool:
    """Whether a threshold on a fraction of the rows would lie at one of few benign rows."""
    return float((labels == 0).sum()) * fraction * rate < _ENOUGH


def out_of_fold(  # noqa: PLR0917 - two lanes, rows, and how a floor is fitted
    free: Any,
    floor: Any,
    fitted: Any,
    X: Any,
    labels: NDArray[np.int64],
    fold: NDArray[np.int64],
    directions: tuple[int, ...],
    rate: float,
    seed: int,
    watch: Callable[[int], object],
) -> tuple[Scores | None, Scores]:
    """What lanes that were fitted to the other folds give the rows of each fold.

    Args:
        free: as `Detector` takes it.
        floor: not fitted.
        fitted: the same, fitted to all rows: what it has chosen is not chosen again.
        X, labels: all rows.
        fold: shape (rows,).
        directions, rate, seed: as for `Floor.fit`.
        watch: told how many folds are done.
    """
    settled = fitted.settled() if hasattr(fitted, "settled") else floor
    by_free = None if free is None else np.empty(len(labels))
    by_floor = np.empty(len(labels))
    for part in range(int(fold.max()) + 1):
        held, rest = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        if by_free is not None:
            by_free[held] = _free.measured(_free.fitted(free, X[rest], labels[rest], seed), X[held])
        other = copy.deepcopy(settled).fit(X[rest], labels[rest], directions, rate=rate, seed=seed)
        by_floor[held] = other.scores(X[held])
        watch(part + 1)
    return by_free, by_floor
