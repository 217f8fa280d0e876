"""Pairs of rows between which a sum of trees falls, built from leaves of one tree that fall.

- a candidate has really fallen in the ensemble as read; it is a witness only once the model itself has been asked;
- one feature moves; the others are real rows' values where the leaves allow them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._cells import Axis, axis
from ._ensemble import Bools, Ensemble, Floats, Ints

if TYPE_CHECKING:
    from ._scan import Fall

SWEPT = 4  # rows per feature along which the feature is swept
STOPS = 257  # values of one sweep
FALLEN = {"float64": 1e-9, "float32": 1e-5}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pair of rows in the order of the claim: `feature` alone moves in its direction, and the raw score falls.

    Args:
        feature: the column that moves.
        lower, upper: shape (features,). From `lower` to `upper` the feature rises (direction +1) or falls (-1).
            NaN counts as below every number where the claim says so.
        before, after: the raw scores by the ensemble as read; `after` is smaller.
    """

    feature: int
    lower: Floats
    upper: Floats
    before: float
    after: float

    @property
    def drop(self) -> float:
        """How far the raw score fell."""
        return self.before - self.after


def candidates_for(
    ensemble: Ensemble,
    directions: Ints,
    wrong: Sequence[tuple[int, Sequence[Fall]]],
    *,
    domain: tuple[Floats, Floats],
    missing: str,
    rows: Any = None,
) -> tuple[Candidate, ...]:
    """At most one candidate per swept row for each feature in `wrong`, the largest fall first."""
    if not wrong:
        return ()
    grounds = _grounds(ensemble, domain, missing, rows)
    found = [
        candidate
        for feature, falls in wrong
        for candidate in _of_feature(
            ensemble, feature, int(directions[feature]), falls, domain=domain, missing=missing, grounds=grounds
        )
    ]
    return tuple(sorted(found, key=lambda c: -c.drop))


def _grounds(ensemble: Ensemble, domain: tuple[Floats, Floats], missing: str, rows: Any, count: int = 3) -> Floats:
    """Rows to build on: some given ones, and the medians of the thresholds."""
    middle = np.zeros(ensemble.features)
    for f in np.unique(ensemble.feature[ensemble.feature >= 0]).tolist():
        middle[f] = np.median(np.clip(ensemble.threshold[ensemble.feature == f], -1e30, 1e30))
    grounds = middle[None]
    if rows is not None and len(rows):
        given = np.asarray(rows, dtype=np.float64)
        grounds = np.concatenate([given[np.unique(np.linspace(0, len(given) - 1, count).astype(int))], grounds])
    if missing == "never" or not ensemble.takes_missing:
        grounds = np.where(np.isnan(grounds), middle, grounds)
    return np.clip(grounds, *domain)


def _of_feature(
    ensemble: Ensemble,
    feature: int,
    direction: int,
    falls: Sequence[Fall],
    *,
    domain: tuple[Floats, Floats],
    missing: str,
    grounds: Floats,
) -> list[Candidate]:
    lowest = missing == "lowest"
    nodes = np.flatnonzero(ensemble.feature == feature)
    along = axis(ensemble, feature, nodes, float(domain[0][feature]), float(domain[1][feature]))
    if not along.ordered:
        return []
    pairs = [_pair(row, fall, lowest) for fall in falls for row in grounds]
    starts = np.asarray([lower for lower, _ in pairs] or grounds)
    if pairs:
        before = ensemble.predict(starts)
        after = ensemble.predict(np.asarray([upper for _, upper in pairs]))
        starts = starts[np.argsort(-(before - after) * direction, kind="stable")]
    stops = _stops(ensemble, feature, along, domain, lowest)
    out = []
    for start in starts[:SWEPT]:
        line = np.repeat(start[None], len(stops), axis=0)
        line[:, feature] = stops
        scores = ensemble.predict(line) * direction
        a, b = _largest_fall(scores)
        if scores[a] - scores[b] > FALLEN[ensemble.sums] * float(ensemble.size(line[[a, b]]).max()):
            # Direction -1: the claim's order runs down the feature, and there the score itself falls.
            lower, upper = (a, b) if direction > 0 else (b, a)
            out.append(
                Candidate(feature, line[lower], line[upper], *(float(scores[i]) * direction for i in (lower, upper)))
            )
    return out


def _pair(row: Floats, fall: Fall, lowest: bool) -> tuple[Floats, Floats]:
    """The row moved into the two leaves of a falling pair, as little as possible."""
    base = row.copy()
    leaves = fall.leaves
    for k, (along, cells) in enumerate(zip(leaves.axes, leaves.sets, strict=True)):
        if k != fall.axis:
            base[along.feature] = _into(base[along.feature], along, cells[fall.lower] & cells[fall.upper])
    along, cells = leaves.axes[fall.axis], leaves.sets[fall.axis]
    below, above = (np.flatnonzero(cells[leaf][:-1]) for leaf in (fall.lower, fall.upper))
    lower, upper = base.copy(), base
    if len(below) and below[0] < above[-1]:
        cell = below[below < above[-1]][-1]
        lower[along.feature] = along.values[cell]
        upper[along.feature] = along.values[above[above > cell][0]]
    else:  # only from missing to a number
        lower[along.feature] = np.nan
        upper[along.feature] = along.values[above[0]]
    return lower, upper


def _into(x: float, along: Axis, allowed: Bools) -> float:
    """x if its cell is allowed, otherwise the nearest allowed number, or NaN where only that is allowed."""
    if allowed[int(along.cell(np.asarray([x]))[0])]:
        return x
    values = along.values[allowed[:-1]]
    if not len(values):
        return np.nan
    return float(values[0] if np.isnan(x) else values[np.abs(values - x).argmin()])


def _stops(ensemble: Ensemble, feature: int, along: Axis, domain: tuple[Floats, Floats], lowest: bool) -> Floats:
    """Values to sweep over, rising: one per cell of the whole ensemble, so that no step of it is missed."""
    values = along.values[~np.isnan(along.values)]
    if ensemble.slopes is not None:
        values = np.unique(np.clip([-1.0, 0.0, 1.0], domain[0][feature], domain[1][feature]))
    if len(values) > STOPS:
        values = values[np.linspace(0, len(values) - 1, STOPS).astype(int)]
    return np.concatenate([[np.nan], values]) if lowest else values


def _largest_fall(scores: Floats) -> tuple[int, int]:
    """(a, b), a <= b, with the largest scores[a] - scores[b]."""
    peak = np.maximum.accumulate(scores)
    b = int((peak - scores).argmax())
    return int(scores[: b + 1].argmax()), b
