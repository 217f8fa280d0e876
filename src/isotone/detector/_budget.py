"""How two lanes share one false-alarm budget.

- an alarm of either lane is an alarm, so a benign row that both alarm costs once;
- what the floor alarms stays alarmed whatever is added: its detection is what is certified;
- the free lane gets what the floor leaves, and the split is the one with the highest certified detection that costs no
  more clean detection than allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..evaluation import threshold_above, whole_share

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Shares:
    """Thresholds of both lanes, and what they gave on the rows they were chosen on.

    Args:
        free, floor: an alarm is a score above one of them; infinite where a lane raises none.
        clean: share of bad rows that either lane alarms.
        certified: share of bad rows that the floor alarms.
        alone: share of bad rows that the free lane would alarm with the whole budget.
        floor_alarms, alarms: benign rows alarmed by the floor, and by either.
        benign: benign rows.
    """

    free: float
    floor: float
    clean: float
    certified: float
    alone: float
    floor_alarms: int
    alarms: int
    benign: int


def alarms_allowed(rate: float, benign: int) -> int:
    """How many of the benign rows held out may be alarmed so that of new ones no more than `rate` are, on average.

    A new row is as likely to stand at any place among n others, so a threshold that k of them pass is passed by a new
    one with probability (k + 1) / (n + 1) at most (split conformal prediction, Papadopoulos et al. 2002).

    >>> alarms_allowed(0.01, 999)
    9
    """
    return max(0, whole_share(rate, benign + 1) - 1)


def share(
    free: Scores | None,
    floor: Scores,
    labels: NDArray[np.int64],
    rate: float,
    clean_loss: float,
    *,
    resamples: int = 100,
    seed: int = 0,
) -> Shares:
    """The split of a false-alarm budget between two lanes.

    A threshold lies at one of a few benign rows, and what a split costs and gains there is mostly chance. So splits are
    compared by means over rows drawn anew from these (bagging, Breiman 1996); thresholds are of the rows as given.

    Args:
        free, floor: shape (rows,), scores of rows that neither lane was trained on; without a free lane the floor gets
            the whole budget.
        labels: shape (rows,), 0 or 1; at least one 0.
        rate: the budget: share of new benign rows that either lane may alarm; see `alarms_allowed`.
        clean_loss: most clean detection that may be lost to the free lane alone, as a share of bad rows.
        resamples: draws to compare by, fewer where rows are many; 0 compares on the rows as given.
        seed: of the draws.

    Cost: 25 splits x resamples x rows.

    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1])
    >>> free = np.array([0.0, 0.1, 0.2, 0.3, 0.9, 0.8, 0.1])
    >>> floor = np.array([0.0, 0.0, 0.5, 0.0, 0.4, 0.7, 0.8])
    >>> found = share(free, floor, labels, rate=0.4, clean_loss=0.0, resamples=0)
    >>> found.floor_alarms, round(found.certified, 2), found.clean
    (1, 1.0, 1.0)
    """
    budget = alarms_allowed(rate, int((labels == 0).sum()))
    if free is None:
        # All of it; with ties fewer alarms may be had, and no threshold with fewer detects more.
        return replace(_with(None, floor, labels, budget, budget), alone=0.0)
    # Alarm is a score above a threshold, so a threshold lets through no more benign rows than asked, and ties fewer.
    counts = np.unique(np.round(np.linspace(0, budget, min(budget, _SPLITS) + 1)).astype(int))
    draws = [np.arange(len(labels))]
    if resamples:
        draws = _draws(labels, max(_FEWEST, min(resamples, _MOST_ROWS // len(labels))), seed)
    clean, certified, alone = np.zeros(len(counts)), np.zeros(len(counts)), 0.0
    for rows in draws:
        found = [_with(free[rows], floor[rows], labels[rows], int(k), budget) for k in counts]
        clean += [one.clean / len(draws) for one in found]
        certified += [one.certified / len(draws) for one in found]
        alone += _alone(free[rows], floor[rows], labels[rows], budget).clean / len(draws)
    allowed = np.flatnonzero(clean >= alone - clean_loss - 1e-12)
    by_itself = _alone(free, floor, labels, budget)
    if not len(allowed):
        return by_itself
    best = max(allowed, key=lambda at: (certified[at], clean[at]))
    return replace(_with(free, floor, labels, int(counts[best]), budget), alone=by_itself.clean)


_SPLITS = 24
_FEWEST, _MOST_ROWS = 10, 2_000_000


def _draws(labels: NDArray[np.int64], count: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows drawn with repetition, as many of each class as there are."""
    generator = np.random.default_rng(seed)
    sides = [np.flatnonzero(labels == label) for label in (0, 1)]
    return [
        np.concatenate([side[generator.integers(0, len(side), len(side))] for side in sides if len(side)])
        for _ in range(count)
    ]


def _alone(free: Scores, floor: Scores, labels: NDArray[np.int64], budget: int) -> Shares:
    found = _caught(free, floor, labels, budget, np.inf)
    return replace(found, alone=found.clean)


def _with(free: Scores | None, floor: Scores, labels: NDArray[np.int64], floors: int, budget: int) -> Shares:
    """The floor alarms at most so many benign rows."""
    threshold = threshold_above(floor[labels == 0], floors)
    return _caught(np.full(len(floor), -np.inf) if free is None else free, floor, labels, budget, threshold)


def _caught(free: Scores, floor: Scores, labels: NDArray[np.int64], budget: int, threshold: float) -> Shares:
    """Both lanes with this threshold of the floor; the free lane takes what is left of the budget."""
    benign, bad = labels == 0, labels == 1
    by_floor = floor > threshold
    costs = int((by_floor & benign).sum())
    cut = threshold_above(free[benign & ~by_floor], budget - costs)
    if np.isneginf(free).all():
        cut = np.inf
    either = by_floor | (free > cut)
    return Shares(
        free=cut,
        floor=threshold,
        clean=float(either[bad].mean()) if bad.any() else 0.0,
        certified=float(by_floor[bad].mean()) if bad.any() else 0.0,
        alone=0.0,
        floor_alarms=costs,
        alarms=int((either & benign).sum()),
        benign=int(benign.sum()),
    )
