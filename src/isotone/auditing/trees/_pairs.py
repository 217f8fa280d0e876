"""The pairs of leaves of one tree between which a single feature can carry a row, and those where the value falls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ._cells import Leaves
from ._ensemble import Bools, Floats, Ints

BLOCK = 2_000_000  # entries of one table of pairs


@dataclass(frozen=True, eq=False)
class Falls:
    """Pairs of one tree along one axis: from leaf `lower` to leaf `upper` the value moves the wrong way by `size`."""

    axis: int
    lower: Ints
    upper: Ints
    size: Floats


def falls(leaves: Leaves, values: Floats, directions: Ints, missing_lowest: bool) -> Iterator[Falls]:
    """Every pair of leaves that breaks the claim about this tree, along each axis that has a direction.

    Let x and x' be rows of the domain that differ in feature f alone, with x_f < x'_f, in leaves l and r. A tree is
    monotone in f exactly if value(l) <= value(r) for all such rows (for direction +1).
    Which (l, r) occur: a leaf is a product of sets, one per feature. The rows agree outside f, so the sets of l and r
    meet in every feature but f; conversely, where they all meet and l's set in f has a number below one of r's, such
    rows exist: take common members elsewhere. Splits nested on f, `<` or `<=`, infinite ends, the domain and missing
    branches are all in the sets.
    Two different leaves share no row, so their sets are disjoint in some feature; hence these pairs are disjoint in f
    and in f alone. So one pass over all pairs, counting the features in which they are apart, serves every f.

    Args:
        leaves: of one tree.
        values: one per leaf.
        directions: one per axis.
        missing_lowest: NaN counts as below every number, on axes with a direction.
    """
    reach = [
        _reach(one, direction != 0 and missing_lowest) for one, direction in zip(leaves.sets, directions, strict=True)
    ]
    for i, j, at in _neighbours(leaves):
        for k in np.unique(at).tolist():
            if directions[k] == 0:
                continue
            a, b = i[at == k], j[at == k]
            lowest, highest = reach[k]
            for l, r in ((a, b), (b, a)):  # noqa: E741 - left and right
                drop = (values[l] - values[r]) * directions[k]
                bad = (lowest[l] < highest[r]) & (drop > 0)
                if bad.any():
                    yield Falls(k, l[bad], r[bad], drop[bad])


def _reach(cells: Bools, missing_lowest: bool) -> tuple[Ints, Ints]:
    """Lowest and highest cell of each leaf; a leaf that holds no number has neither (its lowest is above all)."""
    numbers = cells[:, :-1]
    if missing_lowest:
        numbers = np.concatenate([cells[:, -1:], numbers], axis=1)
    some = numbers.any(axis=1)
    count = numbers.shape[1]
    lowest = np.where(some, numbers.argmax(axis=1), count)
    highest = np.where(some, count - 1 - numbers[:, ::-1].argmax(axis=1), -1)
    return lowest, highest


def _neighbours(leaves: Leaves) -> Iterator[tuple[Ints, Ints, Ints]]:
    """(i, j, axis): pairs i < j of leaves whose sets are disjoint along exactly one axis."""
    count = len(leaves.nodes)
    hulls = [(*_reach(one, False), one[:, -1]) for one in leaves.sets]
    # Where each set of numbers is an interval its ends decide; zero-as-missing and categories leave gaps.
    gaps = [
        k
        for k, (one, (low, high, _)) in enumerate(zip(leaves.sets, hulls, strict=True))
        if (one[:, :-1].sum(axis=1) != np.maximum(high - low + 1, 0)).any()
    ]
    step = max(1, BLOCK // max(count, 1))
    for start in range(0, count, step):
        rows = np.arange(start, min(start + step, count))
        apart = np.zeros((len(rows), count), dtype=np.int16)
        total = np.zeros((len(rows), count), dtype=np.int32)
        for k, (low, high, nan) in enumerate(hulls):
            away = (low[rows, None] > high) | (low > high[rows, None])
            away &= ~(nan[rows, None] & nan)
            apart += away
            total += away * np.int32(k)
        i, j = np.nonzero((apart <= 1) & (rows[:, None] < np.arange(count)))
        number, which = apart[i, j].astype(np.int64), total[i, j].astype(np.int64)
        i = rows[i]
        for k in gaps:
            # A pair whose ends overlap may still be disjoint; the members decide.
            again = ~_meet(leaves.sets[k], i, j) & ~((number == 1) & (which == k))
            # Counted twice only if the hulls were apart along k, which the second condition excludes.
            which = np.where(again & (number == 0), k, which)
            number = number + again
        alone = number == 1
        yield i[alone], j[alone], which[alone]


def _meet(cells: Bools, i: Ints, j: Ints, block: int = 65_536) -> Bools:
    parts = [(cells[i[at : at + block]] & cells[j[at : at + block]]).any(axis=1) for at in range(0, len(i), block)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)
