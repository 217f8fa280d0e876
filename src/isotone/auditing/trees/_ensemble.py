"""Any library's trees in one form: flat arrays, and a prediction made from nothing else.

- a split sends a number left when it is `<=` (or `<`) its threshold; where a missing value goes is said per split;
- leaf values and thresholds are the library's own numbers, unrounded;
- knows numbers, not libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Links that keep order: proving the raw score proves the response. A softmax does not: it also looks at other columns.
ORDER_KEEPING = frozenset({"identity", "logistic", "exp", "log1p exp", "square with sign", "step"})


class Unreadable(ValueError):
    """A known kind of model that cannot be read faithfully; the text says why."""


def known_link(links: Mapping[str, str], objective: str) -> str:
    """What an objective makes of the sum of the trees; one that nobody has looked at is not taken to keep order."""
    if objective not in links:
        raise Unreadable(f"what its objective {objective!r} makes of the sum of the trees is not known")
    return links[objective]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A weighted sum of trees, plus a constant, plus a linear part that is mostly absent.

    Args:
        kind: the library and class it was read from.
        features: how many columns a row has.
        names: their names.
        roots, weights: one entry per tree: its first node, and what its value is multiplied by.
        feature: per node, the column it splits, or -1 for a leaf.
        threshold: per node.
        strict: True where a number goes left when it is `<` the threshold (XGBoost), False for `<=`.
        left, right: per node, the next node.
        missing_left: per node, whether NaN goes left.
        special: per node, whether numbers inside `missing_numbers` go where NaN goes.
        missing_numbers: the closed range of numbers that count as missing at such nodes.
        categories: node -> the categories (integers) that go left; all else, NaN included, goes right.
        value: per node, the leaf's value; finite.
        base: the constant.
        slopes: the linear part, one per column (XGBoost's gblinear), or None.
        inputs: "float32" where the library casts a row to it before it compares.
        sums: the arithmetic in which the library adds up, for the comparison only.
        link: what turns the raw score into the response.
        takes_missing: whether the model accepts NaN at all.
        output: what the column is, in words.
    """

    kind: str
    features: int
    names: tuple[str, ...]
    roots: Ints
    weights: Floats
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    missing_left: Bools
    value: Floats
    strict: bool = False
    special: Bools | None = None
    missing_numbers: tuple[float, float] = (0.0, 0.0)
    categories: dict[int, Ints] = field(default_factory=dict)
    base: float = 0.0
    slopes: Floats | None = None
    inputs: str = "float64"
    sums: str = "float64"
    link: str = "identity"
    takes_missing: bool = True
    output: str = "the raw score"

    def __post_init__(self) -> None:
        leaves = self.feature < 0
        if not (np.isfinite(self.value[leaves]).all() and np.isfinite(self.weights).all() and np.isfinite(self.base)):
            raise Unreadable("a leaf value, a weight or the base score is not a finite number")
        if np.isnan(self.threshold[~leaves]).any():
            raise Unreadable("a threshold is not a number")
        if self.slopes is not None and not np.isfinite(self.slopes).all():
            raise Unreadable("a linear weight is not a finite number")
        inner = np.flatnonzero(~leaves)
        if inner.size and not (self.feature[inner] < self.features).all():
            raise Unreadable("a split looks at a column that the model does not have")

    @property
    def trees(self) -> int:
        """How many."""
        return len(self.roots)

    def thresholds(self, feature: int) -> Floats:
        """Where the trees split a column, rising; a score changes nowhere else along it (but at missing numbers)."""
        nodes = np.flatnonzero(self.feature == feature)
        return np.unique(self.threshold[[n for n in nodes.tolist() if n not in self.categories]])

    def negated(self) -> Ensemble:
        """Minus the score: for the first class of two."""
        slopes = None if self.slopes is None else -self.slopes
        return replace(self, weights=-self.weights, base=-self.base, slopes=slopes)

    def cast(self, X: Any) -> Floats:
        """Rows as the library compares them. Rounding to float32 keeps order, so order may be judged after it."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(X, dtype=np.float64).astype(self.inputs).astype(np.float64)

    def predict(self, X: Any, block: int = 512) -> Floats:
        """The raw scores of `X`, shape (rows, features); NaN is missing. Shape (rows,).

        Cost: rows times trees times depth.
        """
        rows = self.cast(X)
        return np.concatenate([self._scores(rows[i : i + block]) for i in range(0, len(rows), block)] or [np.zeros(0)])

    def size(self, X: Any, block: int = 512) -> Floats:
        """Per row, the sum of the absolute terms of its score: what rounding errors are measured against."""
        rows = self.cast(X)
        out = [np.abs(self._terms(rows[i : i + block])).sum(1) for i in range(0, len(rows), block)]
        return np.concatenate(out or [np.zeros(0)]) + abs(self.base)

    def leaves(self, rows: Floats) -> Ints:
        """The leaf node that each cast row reaches in each tree; shape (rows, trees)."""
        node = np.broadcast_to(self.roots, (len(rows), self.trees)).copy()
        which = np.arange(len(rows))[:, None]
        while True:
            column = self.feature[node]
            inner = column >= 0
            if not inner.any():
                return node
            x = rows[which, np.maximum(column, 0)]
            step = np.where(self._goes_left(x, node), self.left[node], self.right[node])
            node = np.where(inner, step, node)

    def _goes_left(self, x: Floats, node: Ints) -> Bools:
        threshold = self.threshold[node]
        goes = x < threshold if self.strict else x <= threshold
        missing = np.isnan(x)
        if self.special is not None:
            low, high = self.missing_numbers
            missing = missing | (self.special[node] & (x >= low) & (x <= high))
        goes = np.where(missing, self.missing_left[node], goes)
        for split, left in self.categories.items():
            here = node == split
            if here.any():
                # Truncated towards zero as C casts to int: -0.5 is category 0. NaN and what is too large match none.
                code = np.trunc(np.where(np.abs(x[here]) < 2.0**31, x[here], -1.0))
                goes[here] = np.isin(code, left)
        return goes

    def _terms(self, rows: Floats) -> Floats:
        terms = self.value[self.leaves(rows)] * self.weights
        if self.slopes is None:
            return terms
        return np.concatenate([terms, np.where(np.isnan(rows), 0.0, rows) * self.slopes], axis=1)

    def _scores(self, rows: Floats) -> Floats:
        terms = self._terms(rows)
        if self.sums == "float64" or terms.shape[1] == 0:
            return np.asarray(terms.sum(axis=1) + self.base)
        # Term by term in float32, as XGBoost adds them.
        terms = np.concatenate([np.full((len(rows), 1), self.base), terms], axis=1)
        added: Floats = np.add.accumulate(terms.astype(np.float32), axis=1)[:, -1].astype(np.float64)
        return added


def build(kind: str, features: int, names: Any, trees: list[dict[str, Any]], **rest: Any) -> Ensemble:
    """An ensemble from trees whose nodes are numbered within each tree.

    Each tree: `feature` (-1 at leaves), `threshold`, `left`, `right`, `missing_left`, `value`, all per node; optionally
    `weight`, `special`, `categories`. Its first node is the root.
    """
    starts = np.concatenate([[0], np.cumsum([len(t["feature"]) for t in trees], dtype=np.int64)]).astype(np.int64)
    for tree in trees:
        check_shape(tree)

    def flat(name: str, dtype: Any) -> Any:
        parts = [np.asarray(t[name]) for t in trees]
        return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)

    def children(name: str) -> Ints:
        parts = [np.asarray(t[name], dtype=np.int64) + s for t, s in zip(trees, starts, strict=False)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    special = flat("special", bool) if trees and "special" in trees[0] else None
    categories = {
        int(node + s): np.asarray(left, dtype=np.int64)
        for t, s in zip(trees, starts, strict=False)
        for node, left in t.get("categories", {}).items()
    }
    return Ensemble(
        kind=kind,
        features=features,
        names=tuple(str(n) for n in names) if names is not None else tuple(f"feature {i}" for i in range(features)),
        roots=starts[:-1],
        weights=np.asarray([t.get("weight", 1.0) for t in trees], dtype=np.float64),
        feature=flat("feature", np.int64),
        threshold=flat("threshold", np.float64),
        left=children("left"),
        right=children("right"),
        missing_left=flat("missing_left", bool),
        value=flat("value", np.float64),
        special=special if special is not None and special.any() else None,
        categories=categories,
        **rest,
    )


def check_shape(tree: dict[str, Any]) -> None:
    """Every node but the root has exactly one parent, so that walks end and leaves tell rows apart."""
    inner = np.asarray(tree["feature"]) >= 0
    n = len(inner)
    below = np.concatenate([np.asarray(tree["left"])[inner], np.asarray(tree["right"])[inner]]).astype(np.int64)
    seen = np.bincount(below[(below >= 0) & (below < n)], minlength=n)
    # One parent each and n - 1 edges; a cycle would have to leave out the root's part, which `reach` finds.
    if n == 0 or len(below) != n - 1 or seen[0] != 0 or not (seen[1:] == 1).all():
        raise Unreadable("a tree whose nodes do not form a tree")
    reach, front = 1, np.asarray([0])
    while len(front := front[inner[front]]):
        front = np.concatenate([np.asarray(tree["left"])[front], np.asarray(tree["right"])[front]]).astype(np.int64)
        reach += len(front)
    if reach != n:
        raise Unreadable("a tree whose nodes do not form a tree")
