"""How many additions an attacker needs at least to bring the sum of an ensemble of trees to a threshold.

Of each tree only the leaf counts, and a leaf is reached by moving the features that its path asks for and the row does
not have. With at most k additions the score is at least

- the sum over the trees of the lowest leaf that k additions reach: each tree may have its own k;
- the score as it is, less the k dearest features: a leaf that lowers its tree by D and needs m features is charged to
  each of them with D / m, and a feature pays in each tree the largest such charge. For if the additions A reach that
  leaf, its m features are all in A, and what they pay is together at least m D / m = D.

The better of the two counts. For one addition to rows of names the second is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...attack import Moves
from ...bounds import UNLIMITED, Needed
from ...errors import BadInput
from ._ensemble import Bools, Ensemble, Floats, Ints, Unreadable
from ._read import margins, read
from ._trust import faithful

# Unit roundoff of the library's sums.
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}
# Conditions times rows at once: some ten arrays of this size are alive.
MOST_VALUES = 2**22


@dataclass(frozen=True, eq=False)
class Paths:
    """What each leaf asks of a row: conditions, one per leaf and feature, sorted by feature, then tree.

    Args:
        leaf, feature: per condition; leaves are numbered from 0, by tree.
        low, high: the number must lie in (low, high], or [low, high) where `strict`.
        missing: whether NaN meets the condition.
        value, tree: per leaf; the value is times the weight of the tree.
        by_leaf, leaf_starts: the order of the conditions by leaf, and where each leaf starts in it.
        group_starts: where each pair of feature and tree starts.
        feature_starts, features: where each feature starts among those pairs, and which it is.
    """

    leaf: Ints
    feature: Ints
    low: Floats
    high: Floats
    missing: Bools
    value: Floats
    tree: Ints
    by_leaf: Ints
    leaf_starts: Ints
    group_starts: Ints
    feature_starts: Ints
    features: Ints
    strict: bool

    @classmethod
    def of(cls, ensemble: Ensemble) -> Paths:
        """Of an ensemble.

        Raises:
            Unreadable: a linear part, splits by categories, or numbers that count as missing.
        """
        if ensemble.slopes is not None:
            raise Unreadable("a linear part has no rule for bounds over additions")
        if ensemble.categories:
            raise Unreadable("splits by categories have no rule for bounds over additions")
        if ensemble.special is not None:
            raise Unreadable("numbers that count as missing have no rule for bounds over additions")
        rows: list[tuple[int, int, int, float, float, bool]] = []
        value: list[float] = []
        tree_of: list[int] = []
        for tree in range(ensemble.trees):
            stack: list[tuple[int, dict[int, tuple[float, float, bool]]]] = [(int(ensemble.roots[tree]), {})]
            while stack:
                node, asked = stack.pop()
                feature = int(ensemble.feature[node])
                if feature < 0:
                    # A leaf that asks nothing still needs a line: feature 0, any number.
                    asked = asked or {0: (-np.inf, np.inf, True)}
                    rows += [(len(value), f, tree, *limits) for f, limits in asked.items()]
                    value.append(float(ensemble.value[node]) * float(ensemble.weights[tree]))
                    tree_of.append(tree)
                    continue
                low, high, missing = asked.get(feature, (-np.inf, np.inf, True))
                cut, nan_left = float(ensemble.threshold[node]), bool(ensemble.missing_left[node])
                left = {**asked, feature: (low, min(high, cut), missing and nan_left)}
                right = {**asked, feature: (max(low, cut), high, missing and not nan_left)}
                stack += [(int(ensemble.left[node]), left), (int(ensemble.right[node]), right)]
        leaf, column, trees = (np.asarray([row[i] for row in rows], dtype=np.int64) for i in range(3))
        order = np.lexsort((leaf, trees, column))
        leaf, column, trees = leaf[order], column[order], trees[order]
        low, high = (np.asarray([row[i] for row in rows], dtype=np.float64)[order] for i in (3, 4))
        by_leaf = np.argsort(leaf, kind="stable")
        groups = _starts(column, trees)
        features = _starts(column[groups])
        return cls(
            leaf=leaf,
            feature=column,
            low=low,
            high=high,
            missing=np.asarray([row[5] for row in rows], dtype=bool)[order],
            value=np.asarray(value),
            tree=np.asarray(tree_of, dtype=np.int64),
            by_leaf=by_leaf,
            leaf_starts=_starts(leaf[by_leaf]),
            group_starts=groups,
            feature_starts=features,
            features=column[groups][features],
            strict=ensemble.strict,
        )


def _starts(*keys: Ints) -> Ints:
    """Where a run of equal keys starts."""
    changes = np.zeros(len(keys[0]), dtype=bool)
    changes[:1] = True
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changes)


@dataclass(frozen=True, eq=False)
class _Open:
    """Of some rows: which conditions a move would meet, how many each leaf needs, and how far each lowers its tree."""

    paths: Paths
    moves: Bools  # (rows, conditions)
    needs: Ints  # (rows, leaves); beyond all features: out of reach
    falls: Floats  # (rows, leaves)
    score: Floats  # (rows,)
    room: float

    def lower(self, most: Ints) -> Floats:
        """A lower bound of the score after at most so many additions, shape (rows,)."""
        paths = self.paths
        able = self.needs <= most[:, None]
        trees = _starts(paths.tree)
        each = np.maximum.reduceat(np.where(able, self.falls, 0.0), trees, axis=1).clip(min=0.0).sum(1)
        charge = np.where(able & (self.falls > 0) & (self.needs > 0), self.falls / np.maximum(self.needs, 1), 0.0)
        paid = np.where(self.moves, charge[:, paths.leaf], 0.0)
        of_pairs = np.maximum.reduceat(paid, paths.group_starts, axis=1)
        dear = -np.sort(-np.add.reduceat(of_pairs, paths.feature_starts, axis=1), axis=1)
        shared = np.where(np.arange(dear.shape[1]) < most[:, None], dear, 0.0).sum(1)
        return self.score - np.minimum(each, shared) - self.room


def _open(ensemble: Ensemble, paths: Paths, rows: Floats, moves: Moves) -> _Open:
    x = ensemble.cast(rows)
    target = ensemble.cast(moves.target.double().numpy())[paths.feature]
    up = (moves.directions.numpy() > 0)[paths.feature]
    available = moves.available(torch.from_numpy(rows).float()).numpy()[:, paths.feature]
    v = x[:, paths.feature]
    low, high = paths.low, paths.high
    with np.errstate(invalid="ignore"):
        if paths.strict:
            over, under = (v >= low) | np.isneginf(low), (v < high) | np.isposinf(high)
            enough = np.where(up, target >= low, (target < high) | np.isposinf(high))
        else:
            over, under = (v > low) | np.isneginf(low), (v <= high) | np.isposinf(high)
            enough = np.where(up, (target > low) | np.isneginf(low), target <= high)
    missing = np.isnan(v)
    met = np.where(missing, paths.missing, over & under)
    # Below the interval and on the way up, or above it and on the way down; an empty interval is reached by nothing.
    toward = available & ~missing & (low < high) & enough & np.where(up, ~over, ~under)
    needed = np.where(met, 0, np.where(toward, 1, ensemble.features + 1))[:, paths.by_leaf]
    needs = np.add.reduceat(needed, paths.leaf_starts, axis=1)
    leaves = ensemble.leaves(x)
    now = ensemble.value[leaves] * ensemble.weights  # (rows, trees)
    falls = now[:, paths.tree] - paths.value
    size = np.maximum.reduceat(np.abs(paths.value), _starts(paths.tree)).sum() + abs(ensemble.base)
    # The library's own sum, in any order, before and after, and ours.
    room = 4.0 * (ensemble.trees + 8) * UNITS[ensemble.sums] * float(size)
    return _Open(paths, toward, needs, falls, now.sum(1) + ensemble.base, room)


def additions_needed(
    model: Any,
    X: Any,
    threshold: float,
    moves: Moves,
    *,
    output: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Needed:
    """A certified lower bound on the additions that bring the raw score of each row to or below the threshold.

    Args:
        model: LightGBM, XGBoost, CatBoost or scikit-learn trees, as `read` takes them, or an `Ensemble`.
        X: shape (n, features), dense; NaN is missing, and out of reach.
        threshold: detected is a raw score (margin) above it.
        moves: what the attacker can do. A number may stop anywhere on its way.
        output: the column, as `read` takes it.
        progress: called with (rows done, rows).

    Returns:
        `Needed`. A model that cannot be read, or predicts otherwise than it was read, is unknown: every detected row
        gets 1, with the reason.

    Raises:
        BadInput: a kind of model that is not known; rows of another shape; a threshold that is NaN.

    Cost: per row and halving, some ten passes over the conditions of all leaves; 1,000 rows and 300 trees of 31 leaves
    take about half a minute.
    Source: for the sum of single trees Chen et al., "Robustness Verification of Tree-based Models" (NeurIPS 2019), with
    one tree per group.
    """
    rows = np.ascontiguousarray(np.asarray(X, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != moves.features:
        raise BadInput("X", f"it has shape {rows.shape}", f"rows of {moves.features} features are right")
    if np.isnan(threshold):
        raise BadInput("threshold", "it is NaN", "a number would be right; above it is detected")
    predict = model.predict if isinstance(model, Ensemble) else margins(model, output)
    if predict is None:
        came = type(model).__name__
        raise BadInput("model", f"{came} came", "LightGBM, XGBoost, CatBoost or scikit-learn trees are right")
    needed = np.zeros(len(rows), dtype=np.int64)
    found = np.flatnonzero(np.asarray(predict(rows)) > threshold) if len(rows) else np.zeros(0, dtype=np.int64)
    needed[found] = 1
    try:
        ensemble = model if isinstance(model, Ensemble) else read(model, output)
        assert ensemble is not None
        if not isinstance(model, Ensemble) and len(rows) and not (trust := faithful(ensemble, predict, rows)):
            raise Unreadable(f"it predicts otherwise than it was read: {trust.reason}")
        paths = Paths.of(ensemble)
    except Unreadable as reason:
        return Needed(torch.from_numpy(needed), str(reason))
    size = max(1, MOST_VALUES // max(len(paths.leaf), 1))
    for start in range(0, len(found), size):
        some = found[start : start + size]
        needed[some] = _search(_open(ensemble, paths, rows[some], moves), threshold)
        if progress is not None:
            progress(min(start + size, len(found)), len(found))
    return Needed(torch.from_numpy(needed))


def _search(state: _Open, threshold: float) -> Ints:
    """As for networks: unlimited, or the fewest additions that are not proved to be too few."""
    every = len(state.paths.features)
    rows = len(state.score)
    unlimited = state.lower(np.full(rows, every)) > threshold
    good, bad = np.zeros(rows, dtype=np.int64), np.full(rows, every)
    while True:
        left = ~unlimited & (good + 1 < bad)
        if not left.any():
            break
        # Doubling up to the first failure, then halving.
        k = np.where(bad == every, np.minimum(np.maximum(2 * good, 1), bad - 1), (good + bad) // 2)
        fine = state.lower(k) > threshold
        good, bad = np.where(left & fine, k, good), np.where(left & ~fine, k, bad)
    return np.where(unlimited, UNLIMITED, good + 1)
