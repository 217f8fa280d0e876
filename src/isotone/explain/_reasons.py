"""For each alarm an irreducible set of facts about the row that alone keep it an alarm.

- sufficient: a row that has these facts, and whose other features hold no less than the baseline, is an alarm too;
- irreducible: with any one fact less, or a count lower by one, that can no longer be said;
- both follow from scores that never fall along the directions; nothing else about them is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..directions import DECREASING, as_directions
from ..errors import BadInput
from ._deletion import Block, Floats, Ints, Scores, blocks, deleted, fitting


@dataclass(frozen=True)
class Reason:
    """Facts that alone keep one row an alarm. Features that the attacker cannot move are taken as they are.

    Args:
        score, threshold: of the whole row.
        features: indices, the most important last tried and so first here; () if the alarm needs none of them.
        bounds: per feature, what suffices: at least this, or at most this where the feature is decreasing.
        values: per feature, what the row holds; further from the baseline than `bounds` where less would do.
        decreasing: per feature.
        score_alone: the score with these facts only; above the threshold.
        active: how many features of the row are evidence at all.
    """

    score: float
    threshold: float
    features: tuple[int, ...]
    bounds: tuple[float, ...]
    values: tuple[float, ...]
    decreasing: tuple[bool, ...]
    score_alone: float
    active: int

    def told(self, names: Sequence[str] | None = None) -> str:
        """One sentence for an analyst.

        >>> reason = Reason(3.0, 1.0, (2, 0), (1.0, 4.0), (1.0, 9.0), (False, False), 1.5, 20)
        >>> print(reason.told(["words", "links", "exe"]))
        exe; words at least 4 (it has 9): alarm, whatever else is added (2 of 20 features)
        """
        if not self.features:
            return "alarm without any of the features that can be added: what cannot be moved is enough"
        facts = "; ".join(
            _fact(_name(names, at), bound, value, down)
            for at, bound, value, down in zip(self.features, self.bounds, self.values, self.decreasing, strict=True)
        )
        return f"{facts}: alarm, whatever else is added ({len(self.features)} of {self.active} features)"

    def to_dict(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Plain values, for JSON."""
        facts = [
            {"feature": _name(names, at), "index": at, "at_most" if down else "at_least": bound, "value": value}
            for at, bound, value, down in zip(self.features, self.bounds, self.values, self.decreasing, strict=True)
        ]
        return {
            "score": self.score,
            "threshold": self.threshold,
            "score_alone": self.score_alone,
            "active": self.active,
            "sufficient": facts,
        }


def sufficient_reasons(
    scores: Scores,
    X: Any,
    threshold: float,
    directions: Any,
    *,
    baseline: ArrayLike | None = None,
    importance: ArrayLike | None = None,
) -> list[Reason]:
    """An irreducible sufficient set of present features for each row.

    Args:
        scores: rows (an array, or scipy CSR as `X` came) -> shape (rows,). It must never fall along the directions, and
            a row's score must not depend on the rows beside it.
        X: shape (rows, d), alarms.
        threshold: a score above it is an alarm.
        directions: +1, -1 or 0 per feature (see `as_directions`): what an attacker can raise, lower, or not move.
        baseline: shape (d,) or one number: what a feature holds when it is no evidence; the lowest value that it can
            have for an increasing one, the highest for a decreasing one. Default: 0 for an increasing one; a decreasing
            one is no evidence and stays as it is. A feature that is already beyond it stays as it is.
        importance: shape (d,), such as `importance` gives: features are tried from the least to the most important, so
            that few and important ones are left. Default: in the order of the columns.

    Returns:
        One `Reason` a row.

    Raises:
        BadInput: a row that is no alarm, a NaN, shapes that do not fit.

    Cost: for n active features n forward passes, and log2 of each count that stays; each pass serves all rows.
    Source: greedy deletion of Marques-Silva et al., "Explanations for Monotonic Classifiers" (ICML 2021), findAXp.

    >>> def total(X): return X @ np.array([4.0, 1.0, 3.0, 1.0])
    >>> row = np.array([[1.0, 1.0, 1.0, 1.0]])
    >>> sufficient_reasons(total, row, 6.5, +1)[0].features
    (2, 0)
    >>> sufficient_reasons(total, np.array([[0.0, 9.0, 0.0, 0.0]]), 6.5, +1)[0].bounds
    (7.0,)
    """
    signs, base, weight = checked(X, directions, baseline, importance)
    return [
        reason for block in blocks(X, scores, signs, base, weight) for reason in reasons_of(block, threshold, signs)
    ]


def reasons_of(block: Block, threshold: float, signs: Ints) -> Iterator[Reason]:
    """A reason for each row of a block; the block then holds those facts only."""
    slots = block.slots
    full = block.whole()
    refuse_others(full, threshold)
    left = deleted(block, threshold)
    alone = block.whole()
    for row in range(len(full)):
        own = np.arange(slots.starts[row], slots.starts[row + 1])
        kept = own[left[own] != slots.empty[own]][::-1]
        column = slots.column[kept]
        yield Reason(
            score=float(full[row]),
            threshold=float(threshold),
            features=tuple(column.tolist()),
            bounds=tuple(left[kept].tolist()),
            values=tuple(slots.full[kept].tolist()),
            decreasing=tuple((signs[column] == DECREASING).tolist()),
            score_alone=float(alone[row]),
            active=len(own),
        )


def refuse_others(full: Floats, threshold: float) -> None:
    """Only alarms have reasons."""
    if len(others := np.flatnonzero(~(full > threshold))):
        came = f"a row scores {full[others[0]]:g}"
        raise BadInput("reasons", came, f"only alarms have reasons: scores above {threshold:g}")


def checked(
    X: Any, directions: Any, baseline: ArrayLike | None, importance: ArrayLike | None
) -> tuple[Ints, Floats, Floats | None]:
    """Signs, baseline and importance of each feature; signs are 0 where there is no baseline."""
    if getattr(X, "ndim", 0) != 2:
        raise BadInput("X", f"{type(X).__name__} without two dimensions came", "an array or CSR of rows is right")
    width = int(X.shape[1])
    signs = np.array(as_directions(directions, width), dtype=np.int64)
    values = X.data if hasattr(X, "tocsr") else np.asarray(X)
    if np.isnan(np.asarray(values, dtype=np.float64)).any():
        raise BadInput("X", "a NaN came", "it is neither more nor less than anything", "Encode what is missing.")
    if baseline is None:
        signs, base = np.where(signs == DECREASING, 0, signs), np.zeros(width)
    else:
        base = _per_feature("baseline", baseline, width)
    return signs, base, None if importance is None else _per_feature("importance", importance, width)


def importance(scores: Scores, X: Any, directions: Any, *, baseline: ArrayLike | None = None) -> NDArray[np.float64]:
    """How much the score falls, on average over the rows that have it, when one feature alone is taken out.

    Args:
        scores, directions, baseline: as for `sufficient_reasons`.
        X: shape (rows, d), such as the alarms among the training rows: measured once, it orders all later reasons.

    Returns:
        Shape (d,); 0 for what is in no row.

    Cost: one score per active feature of each row.

    >>> importance(lambda X: X @ np.array([4.0, 1.0]), np.array([[1.0, 1.0], [1.0, 0.0]]), +1)
    array([4., 1.])
    """
    signs, base, _ = checked(X, directions, baseline, None)
    fall, seen = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for block in blocks(X, scores, signs, base, None):
        slots, full = block.slots, block.whole()
        for at in fitting(len(slots.row), block.dense.shape[1]):
            without = block.ask(slots.row[at], slots.column[at], slots.empty[at])
            np.add.at(fall, slots.column[at], full[slots.row[at]] - without)
            np.add.at(seen, slots.column[at], 1)
    return fall / np.maximum(seen, 1)


def _per_feature(name: str, given: ArrayLike, width: int) -> Floats:
    found = np.asarray(given, dtype=np.float64)
    if found.ndim > 1 or found.size not in (1, width) or np.isnan(found).any():
        raise BadInput(name, f"shape {found.shape} came", f"one number, or {width} that are none of them NaN, is right")
    return np.broadcast_to(found, (width,)).copy()


def _name(names: Sequence[str] | None, at: int) -> str:
    return f"feature {at}" if names is None else str(names[at])


def _fact(name: str, bound: float, value: float, down: bool) -> str:
    if down:
        return f"{name} at most {bound:g}" + ("" if bound == value else f" (it has {value:g})")
    if bound == value == 1:
        return name
    return f"{name} at least {bound:g}" + ("" if bound == value else f" (it has {value:g})")
