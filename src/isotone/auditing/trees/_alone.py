"""Trees that look at one feature alone add up to a staircase, which is decided exactly: steps down may be made good."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from ._cells import axis
from ._ensemble import Ensemble, Ints


def staircase_rises(
    ensemble: Ensemble, trees: Sequence[int], feature: int, direction: int, *, low: float, high: float, lowest: bool
) -> bool:
    """Whether the sum of `trees`, which split on `feature` and nothing else, is monotone in it.

    Their sum is constant on each cell between all their thresholds, so one number per cell shows it whole; empty cells
    have none. The sums are of fractions, so that equal is equal. A number that is missing in both rows does not move.
    """
    nodes = _nodes(ensemble, trees, feature)
    along = axis(ensemble, feature, nodes, low, high)
    if not along.ordered:
        return False
    cells = np.flatnonzero(~np.isnan(along.values))
    stops = along.values[cells]
    if (along.cell(ensemble.cast(stops)) != cells).any():
        return False  # a number that misses its cell shows nothing of it
    if lowest:
        stops = np.concatenate([[np.nan], stops])
    rows = np.zeros((len(stops), ensemble.features))
    rows[:, feature] = stops
    leaves = ensemble.leaves(ensemble.cast(rows))[:, list(trees)]
    weights = [Fraction(float(w)) for w in ensemble.weights[list(trees)]]
    sums = [
        sum((w * Fraction(v) for w, v in zip(weights, values, strict=True)), Fraction(0)) * direction
        for values in ensemble.value[leaves].tolist()
    ]
    return all(a <= b for a, b in pairwise(sums))


def _nodes(ensemble: Ensemble, trees: Sequence[int], feature: int) -> Ints:
    # More nodes than the trees' own would only cut finer.
    ends = np.append(ensemble.roots[1:], len(ensemble.feature))
    every = np.concatenate([np.arange(ensemble.roots[t], ends[t]) for t in trees])
    return np.asarray(every[ensemble.feature[every] == feature])
