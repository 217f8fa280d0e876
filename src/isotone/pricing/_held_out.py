"""What an unconstrained model does with a feature on rows that it was not fitted on, split by split.

- one feature moves over a few observed values, the rest of each row stays;
- the same values in every split, so that splits can be compared; neighbouring ones are averaged;
- the spread is over models (jackknife), and pairs of values are paid for (Bonferroni).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..effects._curves import curves_of, grid_of
from ..effects._rows import order_of, plain, score_of, take
from ._intervals import Estimate, of_models
from ._splits import Splits

PLACES = 5  # that are compared
# At quantiles, three neighbours to a place: a tree's step between two of them is not the spread of an effect.
VALUES = 3 * PLACES
TAILS = 0.05
MOST_ROWS = 400  # held-out rows of a split that have curves


@dataclass(frozen=True)
class Move:
    """From one value of a feature to a higher one, and the mean change of the unconstrained score between them."""

    start: Any
    end: Any
    change: Estimate


@dataclass
class HeldOut:
    """Of one feature: values, and per split the mean curve and the shares of rows that rise and that fall.

    Args:
        values: that the feature is set to, in their order.
        places: which of them are averaged to one point of the curve.
        curves: per split, the mean score at each place.
        rising, falling: per split, the share of rows that score higher, or lower, at the last place than at the first.
    """

    values: Any
    places: list[NDArray[np.int64]]
    curves: list[NDArray[np.float64]] = field(default_factory=list)
    rising: list[float] = field(default_factory=list)
    falling: list[float] = field(default_factory=list)

    def look(self, model: Any, rows: Any, j: int, weight: Any) -> None:
        """Add what one split's model does on its held-out rows."""
        if len(self.values) < 2:
            return
        each = curves_of(score_of(model), rows, j, self.values)
        curves = np.stack([each[:, place].mean(1) for place in self.places], axis=1)
        swing = curves[:, -1] - curves[:, 0]
        self.curves.append(np.average(curves, axis=0, weights=weight))
        self.rising.append(float(np.average(swing > 0, weights=weight)))
        self.falling.append(float(np.average(swing < 0, weights=weight)))

    def whole(self, splits: Splits, confidence: float) -> Move | None:
        """From the lowest value to the highest; None where the column is constant."""
        return self._move(0, len(self.places) - 1, splits, confidence) if self.curves else None

    def against(self, direction: int, splits: Splits, confidence: float) -> Move | None:
        """The clearest move against a direction, if its interval, for all pairs at once, excludes 0."""
        if not self.curves:
            return None
        pairs = list(itertools.combinations(range(len(self.places)), 2))
        each = 1 - (1 - confidence) / len(pairs)
        moves = [self._move(a, b, splits, each) for a, b in pairs]
        wrong = [m for m in moves if (m.change.high < 0 if direction > 0 else m.change.low > 0)]
        return max(wrong, key=lambda m: abs(m.change.mean)) if wrong else None

    def share(self, direction: int) -> float:
        """Share of the held-out rows whose score moves with the direction."""
        return float(np.mean(self.rising if direction > 0 else self.falling)) if self.curves else 0.0

    def _move(self, a: int, b: int, splits: Splits, confidence: float) -> Move:
        change = of_models([c[b] - c[a] for c in self.curves], splits.ratio, splits.freedom, confidence)
        start, end = (plain(self.values[self.places[at][len(self.places[at]) // 2]]) for at in (a, b))
        return Move(start, end, change)


def values_of(X: Any, j: int) -> HeldOut:
    """An empty record of one feature, with the values that it will be set to."""
    order = order_of(X, j)
    # Where nothing is above or below anything, nothing moves with a direction or against it.
    told = order is not None and not np.isnan(order).all()
    values = grid_of(X, j, VALUES, TAILS)[0] if told else np.empty(0)
    return HeldOut(values, np.array_split(np.arange(len(values)), max(1, min(PLACES, len(values)))))


def some(X: Any, held: NDArray[np.int64], weight: Any, seed: int) -> tuple[Any, Any]:
    """Held-out rows, at most `MOST_ROWS` of them, and their weights."""
    if len(held) > MOST_ROWS:
        held = np.sort(np.random.default_rng(seed).choice(held, MOST_ROWS, replace=False))
    return take(X, held), None if weight is None else weight[held]
