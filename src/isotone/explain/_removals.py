"""How many features must be taken out of an alarm before it ends: bounds from both sides.

- below: reasons that share no feature must each be broken, so r of them prove that r removals are needed;
- above: the removals that a greedy attacker makes, who each time takes what lowers the score most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._deletion import Block, Floats, Scores, blocks, deleted, fitting
from ._reasons import checked, refuse_others


@dataclass(frozen=True)
class RemovalCost:
    """Of one alarm.

    Args:
        at_least: so many features must be removed (or lowered), whatever is added beside; None if no removal ends it.
        at_most: so many are enough, in a way that was found; None if no removal ends it.
        reasons: feature indices of the reasons that share none: the proof of `at_least`.
        removed: feature indices, in the greedy order: the proof of `at_most`.
    """

    at_least: int | None
    at_most: int | None
    reasons: tuple[tuple[int, ...], ...]
    removed: tuple[int, ...]

    def told(self) -> str:
        """One sentence.

        >>> RemovalCost(2, 3, ((4,), (0, 1)), (4, 0, 2)).told()
        'at least 2 features must be removed to end the alarm; 3 are enough'
        """
        if self.at_least is None:
            return "no removal of these features ends the alarm"
        features = "1 feature" if self.at_least == 1 else f"{self.at_least} features"
        if self.at_least == self.at_most:
            return f"{features} must be removed to end the alarm, no fewer"
        return f"at least {features} must be removed to end the alarm; {self.at_most} are enough"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "at_least": self.at_least,
            "at_most": self.at_most,
            "reasons": [list(one) for one in self.reasons],
            "removed": list(self.removed),
        }


def removal_costs(
    scores: Scores,
    X: Any,
    threshold: float,
    directions: Any,
    *,
    baseline: ArrayLike | None = None,
    importance: ArrayLike | None = None,
) -> list[RemovalCost]:
    """The fewest removals that end each alarm, from both sides.

    Args:
        scores, X, threshold, directions, baseline, importance: as for `sufficient_reasons`. A removal sets one feature
            to its baseline, or anywhere between.

    Raises:
        BadInput: as `sufficient_reasons`.

    Cost: of n active features n scores for each disjoint reason, and n for each greedy removal.
    Source: each removal breaks at most one of several disjoint sufficient reasons.

    >>> row = np.array([[1.0, 1.0, 1.0]])
    >>> removal_costs(lambda X: X.sum(1), row, 0.5, +1)[0].told()
    '3 features must be removed to end the alarm, no fewer'
    """
    signs, base, weight = checked(X, directions, baseline, importance)
    return [cost for block in blocks(X, scores, signs, base, weight) for cost in _costs(block, threshold)]


def _costs(block: Block, threshold: float) -> list[RemovalCost]:
    refuse_others(block.whole(), threshold)
    slots, before = block.slots, block.dense.copy()
    block.keep(slots.row, slots.column, slots.empty)
    endless = block.whole() > threshold
    block.dense = before.copy()
    disjoint = _disjoint(block, threshold, endless)
    block.dense = before
    removed = _greedy(block, threshold, endless)
    return [
        RemovalCost(None, None, (), ()) if never else RemovalCost(len(some), len(gone), tuple(some), tuple(gone))
        for never, some, gone in zip(endless.tolist(), disjoint, removed, strict=True)
    ]


def _disjoint(block: Block, threshold: float, endless: NDArray[np.bool_]) -> list[list[tuple[int, ...]]]:
    """Reasons of each row, each from what the earlier ones left."""
    found: list[list[tuple[int, ...]]] = [[] for _ in endless]
    rows = np.flatnonzero(~endless)
    while len(rows):
        part = block.part(rows)
        slots = part.slots
        left = deleted(part, threshold, bisect=False)
        kept = left != slots.empty
        for place, row in enumerate(rows.tolist()):
            found[row].append(tuple(slots.column[(slots.row == place) & kept].tolist()))
        block.keep(rows[slots.row[kept]], slots.column[kept], slots.empty[kept])
        rows = rows[block.part(rows).whole() > threshold]
    return found


def _greedy(block: Block, threshold: float, endless: NDArray[np.bool_]) -> list[list[int]]:
    """What is taken out of each row, one feature at a time, the one that lowers the score most."""
    slots = block.slots
    removed: list[list[int]] = [[] for _ in endless]
    present = np.ones(len(slots.row), dtype=bool)
    alive = ~endless
    while alive.any():
        at = np.flatnonzero(present & alive[slots.row])
        after: Floats = np.concatenate(
            [
                block.ask(slots.row[some], slots.column[some], slots.empty[some])
                for some in (at[part] for part in fitting(len(at), block.dense.shape[1]))
            ]
        )
        order = np.lexsort((after, slots.row[at]))
        rows, first = np.unique(slots.row[at][order], return_index=True)
        best = order[first]
        gone = at[best]
        block.keep(slots.row[gone], slots.column[gone], slots.empty[gone])
        present[gone] = False
        for row, column in zip(rows.tolist(), slots.column[gone].tolist(), strict=True):
            removed[row].append(column)
        alive[rows] = after[best] > threshold
    return removed
