"""Why this score and not that of a stated baseline: points per feature that add up and whose signs agree.

- points of a row add up to its score less the score of the baseline;
- where the score is monotone in a feature, its points have the sign of its direction times the way that it moved from
  the baseline (proof in `_shapley.py`), and where it is not, a warning says so;
- a feature that has the baseline's value has no points.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ._rows import (
    BLOCK,
    MISSING,
    as_rows,
    cells,
    chosen,
    directions_of,
    names_of,
    one_row,
    order_of,
    plain,
    score_of,
    scores,
    stacked,
    take,
)
from ._shapley import Plan, Shares, exact, sampled
from ._told import Reasons

ENUMERATED = 12  # up to so many features that differ all sets are asked about: 4,096 scores
AT_ONCE = 64 * BLOCK  # cells are copied for so many scores at a time
# Scores of equal rows may differ in their last bits with their place in a block: what is below this share of the scores
# is rounding, not a direction broken.
ROUNDING = 1e-6


def reasons(
    score: Any,
    rows: Any,
    baseline: Any,
    directions: Any = None,
    *,
    names: Sequence[str] | None = None,
    missing: str = "outside",
    permutations: int = 256,
    seed: int = 0,
) -> Reasons:
    """Points per feature and row, against a baseline row that you state.

    Args:
        score: a function of rows that gives one number each, or a fitted estimator (log-odds where it has them).
        rows: shape (n, d), an array or a DataFrame with columns of any type.
        baseline: one row of the same features: a mapping by name, a sequence, a Series or a frame of one row. The
            points are about the difference to this row and to no other: take an applicant who is just approved, a
            typical sample, the empty program.
        directions: what the score is held to: +1, -1 or 0 per feature, or a mapping of names and globs.
        names: of the columns of an array.
        missing: where a missing value stands in the order, "lowest", "highest" or "outside"; outside promises no sign.
        permutations: how many orders are drawn where more than 12 features differ: half, and their reverses.
        seed: of the orders.

    Returns:
        `Reasons`: print it, ask it for `top(4)`, or take its arrays.

    Raises:
        BadInput: rows, baseline or directions that cannot be used.

    Warns:
        UserWarning: the score moved against a stated direction; signs are then not promised for that feature.

    Cost: 2^k scores of a row in which k features differ, at most 4,096; beyond 12 features `permutations` * (k - 1).
    Source: baseline Shapley values, Sundararajan and Najmi (ICML 2020, arXiv 1908.08474), section 3.

    >>> found = isotone.effects.reasons(lambda X: 2 * X[:, 0] - X[:, 1], [[3.0, 1.0]], [1.0, 1.0], [1, -1])
    >>> found.points
    array([[4., 0.]])
    """
    rows, ask = as_rows(rows, "rows"), score_of(score)
    names = names_of(rows, names)
    if missing not in MISSING:
        raise BadInput("missing", f"{missing!r} came", f"one of {', '.join(MISSING)} would be right")
    if permutations < 4:
        raise BadInput("permutations", f"{permutations} came", "4 or more would be right")
    base = one_row(baseline, rows, names)
    table, count = stacked(base, rows), len(rows)  # row 0 is the baseline, row 1 + r is row r
    ways = directions_of(directions, table, names)
    differs, moved = _compared(table, missing)
    generator = np.random.default_rng(seed)
    points, errors = np.zeros((count, len(names))), np.zeros((count, len(names)))
    totals, sampled_rows = np.empty(count), np.zeros(count, bool)
    against: dict[int, float] = {}
    waiting: list[tuple[int, NDArray[np.int64], Plan]] = []
    base_score = float(scores(ask, take(table, np.zeros(1, np.int64)))[0])

    def settle() -> None:
        places = [_places(r, features, plan, len(names)) for r, features, plan in waiting]
        found = scores(ask, chosen(table, np.concatenate(places)))
        for (r, features, plan), start in zip(waiting, np.cumsum([0, *map(len, places)]), strict=False):
            mine = found[start : start + len(plan.masks)]
            share = plan.weigh(mine)
            tolerance = ROUNDING * max(1.0, float(np.abs(mine).max()))
            expected = np.array(ways)[features] * moved[r, features]
            _note(against, features, expected, share, tolerance)
            opposite = (expected * share.share < 0) & (np.abs(share.share) <= tolerance)
            points[r, features] = np.where(opposite, 0.0, share.share)
            errors[r, features], totals[r] = share.error, mine[plan.masks.all(1)][0]
        waiting.clear()

    for r in range(count):
        features = np.flatnonzero(differs[r])
        sampled_rows[r] = len(features) > ENUMERATED
        if not len(features):
            totals[r] = base_score
            continue
        plan = sampled(len(features), permutations // 2, generator) if sampled_rows[r] else exact(len(features))
        waiting.append((r, features, plan))
        if sum(len(plan.masks) for *_, plan in waiting) >= AT_ONCE:
            settle()
    if waiting:
        settle()
    notes = tuple(
        f"the score moved by {fall:.3g} against the direction of {names[j]!r}: it is not monotone there, and the signs "
        "of its points are not promised; isotone.audit looks for such pairs"
        for j, fall in sorted(against.items())
    )
    for note in notes:
        warnings.warn(f"reasons: {note}", stacklevel=2)
    values = np.array([[plain(cell) for cell in cells(table, j)] for j in range(len(names))], dtype=object).T
    return Reasons(
        tuple(names), ways, values[1:], values[0], points, errors, totals, base_score, moved, ~sampled_rows, notes
    )


def _compared(table: Any, missing: str) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
    """Which cells differ from the baseline, and which way they moved: -1, +1, or 0 where nothing is known."""
    shape = (len(table) - 1, table.shape[1])
    differs, moved = np.zeros(shape, bool), np.zeros(shape, np.int8)
    for j in range(shape[1]):
        order = order_of(table, j)
        if order is None:
            told = np.array([plain(cell) for cell in cells(table, j)], dtype=object)
            differs[:, j] = [cell != told[0] for cell in told[1:]]
            continue
        placed = np.where(np.isnan(order), MISSING[missing], order)
        gone = np.isnan(order)
        differs[:, j] = (order[1:] != order[0]) & ~(gone[1:] & gone[0])
        moved[:, j] = (placed[1:] > placed[0]).astype(np.int8) - (placed[1:] < placed[0])
    return differs, moved * differs


def _places(r: int, features: NDArray[np.int64], plan: Plan, width: int) -> NDArray[np.int64]:
    """For each set the row that each cell comes from: the explained one where the feature has moved, else row 0."""
    places = np.zeros((len(plan.masks), width), np.int64)
    places[:, features] = plan.masks * (r + 1)
    return places


def _note(
    against: dict[int, float], features: NDArray[np.int64], expected: Any, shares: Shares, tolerance: float
) -> None:
    """Remember the largest marginal value that went against a direction by more than rounding."""
    worst = np.where(expected > 0, -shares.least, np.where(expected < 0, shares.most, 0.0))
    for j, fall in zip(features.tolist(), worst.tolist(), strict=True):
        if fall > tolerance:
            against[j] = max(against.get(j, 0.0), fall)
