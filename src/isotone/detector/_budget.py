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


def share(free: Scores | None, floor: Scores, labels: NDArray[np.int64], rate: float, clean_loss: float) -> Shares:
    """The split of a false-alarm budget between two lanes.

    Args:
        free, floor: shape (rows,), scores of rows that neither lane was trained on; without a free lane the floor gets
            the whole budget.
        labels: shape (rows,), 0 or 1; at least one 0.
        rate: the budget: most benign rows alarmed by either lane, as a share.
        clean_loss: most clean detection that may be lost to the free lane alone, as a share of bad rows.

    Cost: budget x rows, where the budget is `rate` times the benign rows.

    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1])
    >>> free = np.array([0.0, 0.1, 0.2, 0.3, 0.9, 0.8, 0.1])
    >>> floor = np.array([0.0, 0.0, 0.5, 0.0, 0.4, 0.7, 0.8])
    >>> found = share(free, floor, labels, rate=0.25, clean_loss=0.0)
    >>> found.floor_alarms, round(found.certified, 2), found.clean
    (1, 1.0, 1.0)
    """
    benign = labels == 0
    budget = int(rate * int(benign.sum()))
    if free is None:
        free = np.full(len(floor), -np.inf)
    alone = _caught(free, floor, labels, budget, np.inf)
    best = None
    ordered = np.sort(floor[benign])[::-1]
    for floors in range(budget + 1):
        # Alarm is a score above the threshold, so this lets through no more than `floors` benign rows; ties let through
        # fewer, and that threshold has been met already.
        threshold = float(ordered[floors]) if floors < len(ordered) else -np.inf
        found = replace(_caught(free, floor, labels, budget, threshold), alone=alone.clean)
        if np.isneginf(free).all():
            better = best is None or (found.certified, -found.floor_alarms) > (best.certified, -best.floor_alarms)
        else:
            allowed = found.clean >= alone.clean - clean_loss - 1e-12
            better = allowed and (best is None or (found.certified, found.clean) > (best.certified, best.clean))
        best = found if better else best
    return best if best is not None else replace(alone, alone=alone.clean)


def _caught(free: Scores, floor: Scores, labels: NDArray[np.int64], budget: int, threshold: float) -> Shares:
    """Both lanes with this threshold of the floor; the free lane takes what is left of the budget."""
    benign, bad = labels == 0, labels == 1
    by_floor = floor > threshold
    costs = int((by_floor & benign).sum())
    left = np.sort(free[benign & ~by_floor])[::-1]
    rest = budget - costs
    cut = float(left[rest]) if rest < len(left) else -np.inf
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
