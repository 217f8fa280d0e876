"""How many additions an attacker needs at least to bring the sum of an ensemble of trees to a threshold.

Of each tree only the leaf counts, and a leaf is reached by moving the features that its path asks for and the row does
not have. With at most k additions the score is at least

- the sum over the trees of the lowest leaf that k additions reach: each tree may have its own k;
- the score as it is, less what the k dearest features pay: a leaf that lowers its tree by D and needs m features is
  charged to each of them with D / m, and a feature pays in each tree the largest such charge. For if the additions
  reach that leaf, its m features are all among them, and pay at least m D / m = D together;
- the same with leaves in turn, those that need one feature, then two, then more: each charges only what its features
  do not pay yet, so that they pay at least D together again.

The best of the three counts. Few additions are then decided by branching: if some k additions brought the score down,
one of them would pay a k-th of the way down, so it is enough to look at the rows with one of those added; a number may
stop in each cell between two thresholds, and a tree sees no more of it. Where names go all the way, the last addition
is decided at once, by the trees that rise with it as well.
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
from ._cells import _down, _up
from ._ensemble import Bools, Ensemble, Floats, Ints, Unreadable
from ._read import margins, read
from ._trust import faithful

# Unit roundoff of the library's sums.
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}
# Conditions times rows at once: some ten arrays of this size are alive.
MOST_VALUES = 2**22
# How many additions are branched on, and at most how many ways for each number of additions that are left.
WAYS = {1: 1024, 2: 96, 3: 16}


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
        pair: per condition, the number of that pair.
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
    pair: Ints
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
        lows, highs = (np.asarray([row[i] for row in rows], dtype=np.float64)[order] for i in (3, 4))
        by_leaf = np.argsort(leaf, kind="stable")
        groups = _starts(column, trees)
        features = _starts(column[groups])
        return cls(
            leaf=leaf,
            feature=column,
            low=lows,
            high=highs,
            missing=np.asarray([row[5] for row in rows], dtype=bool)[order],
            value=np.asarray(value),
            tree=np.asarray(tree_of, dtype=np.int64),
            by_leaf=by_leaf,
            leaf_starts=_starts(leaf[by_leaf]),
            group_starts=groups,
            pair=np.repeat(np.arange(len(groups)), np.diff(np.append(groups, len(column)))),
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
    ends: Bools  # (conditions,): met by the feature's target
    needs: Ints  # (rows, leaves); beyond all features: out of reach
    falls: Floats  # (rows, leaves)
    score: Floats  # (rows,)
    room: float

    def lower(self, most: Ints) -> Floats:
        """A lower bound of the score after at most so many additions, shape (rows,)."""
        paths = self.paths
        able = (self.needs <= most[:, None]) & (self.needs > 0)
        falls = np.where(able, self.falls, 0.0).clip(min=0.0)
        each = np.maximum.reduceat(falls, _starts(paths.tree), axis=1).sum(1)
        shared = np.minimum(
            self._dearest(self._charged(falls, (able,)), most),
            self._dearest(self._charged(falls, tuple(able & of_size for of_size in self._sizes())), most),
        )
        return np.asarray(self.score - np.minimum(each, shared) - self.room)

    def after_one(self) -> Floats:
        """The lowest score after one addition that goes all the way, or none; exact but for rounding, shape (rows,)."""
        paths = self.paths
        falls = np.where(self.needs == 1, self.falls, 0.0)
        # Of each tree one leaf at most is reached by one feature at its target.
        moved = np.where(self.moves & self.ends, falls[:, paths.leaf], 0.0)
        each = np.add.reduceat(moved, paths.group_starts[paths.feature_starts], axis=1)
        return np.asarray(self.score - each.max(1).clip(min=0.0) - self.room)

    def pays(self, most: int) -> Floats:
        """What each feature pays over all trees, shape (rows, features), where so many are added."""
        able = (self.needs <= most) & (self.needs > 0)
        falls = np.where(able, self.falls, 0.0).clip(min=0.0)
        return np.add.reduceat(self._charged(falls, (able,)), self.paths.feature_starts, axis=1)

    def _sizes(self) -> tuple[Bools, ...]:
        return self.needs == 1, self.needs == 2, self.needs > 2

    def _charged(self, falls: Floats, turns: tuple[Bools, ...]) -> Floats:
        """What each feature pays in each tree, shape (rows, pairs): its part of what is not paid yet."""
        paths = self.paths
        paid = np.zeros((len(falls), len(paths.group_starts)))
        for turn, leaves in enumerate(turns):
            due = falls
            if turn:
                so_far = np.where(self.moves, paid[:, paths.pair], 0.0)[:, paths.by_leaf]
                due = falls - np.add.reduceat(so_far, paths.leaf_starts, axis=1)
            part = np.where(leaves, due, 0.0).clip(min=0.0) / np.maximum(self.needs, 1)
            charge = np.where(self.moves, part[:, paths.leaf], 0.0)
            paid += np.maximum.reduceat(charge, paths.group_starts, axis=1)
        return paid

    def _dearest(self, paid: Floats, most: Ints) -> Floats:
        """What the dearest features pay over all trees, shape (rows,)."""
        dear = -np.sort(-np.add.reduceat(paid, self.paths.feature_starts, axis=1), axis=1)
        return np.asarray(np.where(np.arange(dear.shape[1]) < most[:, None], dear, 0.0).sum(1))


def _open(ensemble: Ensemble, paths: Paths, rows: Floats, moves: Moves) -> _Open:
    x = ensemble.cast(rows)
    target = ensemble.cast(moves.target.double().numpy())[paths.feature]
    up = (moves.directions.numpy() > 0)[paths.feature]
    available = moves.available(torch.from_numpy(rows)).numpy()[:, paths.feature]
    v = x[:, paths.feature]
    low, high = paths.low, paths.high
    with np.errstate(invalid="ignore"):
        if paths.strict:
            over, under = (v >= low) | np.isneginf(low), (v < high) | np.isposinf(high)
            enough = np.where(up, target >= low, (target < high) | np.isposinf(high))
        else:
            over, under = (v > low) | np.isneginf(low), (v <= high) | np.isposinf(high)
            enough = np.where(up, (target > low) | np.isneginf(low), target <= high)
        ends = (target >= low) & (target < high) if paths.strict else (target > low) & (target <= high)
    missing = np.isnan(v)
    met = np.where(missing, paths.missing, over & under)
    # Below the interval and on the way up, or above it and on the way down; an empty interval is reached by nothing.
    toward = available & ~missing & (low < high) & enough & np.where(up, ~over, ~under)
    needed = np.where(met, 0, np.where(toward, 1, ensemble.features + 1))[:, paths.by_leaf]
    needs = np.add.reduceat(needed, paths.leaf_starts, axis=1)
    leaves = ensemble.leaves(x)
    now = ensemble.value[leaves] * ensemble.weights  # (rows, trees)
    falls = now[:, paths.tree] - paths.value
    return _Open(paths, toward, ends, needs, falls, now.sum(1) + ensemble.base, _room(ensemble, paths))


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
        moves: what the attacker can do. A number may stop anywhere on its way, whatever its step, and so may a name,
            unless `Moves.of_names`, or a step of inf for all, says that it goes all the way, which is faster.
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
        search = _Search(ensemble, paths, moves, threshold)
        needed[some] = search.needed(rows[some])
        if progress is not None:
            progress(min(start + size, len(found)), len(found))
    return Needed(torch.from_numpy(needed))


@dataclass(frozen=True, eq=False)
class _Search:
    """Of blocks of rows: unlimited, or the fewest additions that are not proved to be too few."""

    ensemble: Ensemble
    paths: Paths
    moves: Moves
    threshold: float

    def needed(self, rows: Floats) -> Ints:
        """Shape (rows,)."""
        state = _open(self.ensemble, self.paths, rows, self.moves)
        every = len(self.paths.features)
        unlimited = state.lower(np.full(len(rows), every)) > self.threshold
        good, bad = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), every)
        while True:
            left = ~unlimited & (good + 1 < bad)
            if not left.any():
                break
            # Doubling up to the first failure, then halving.
            k = np.where(bad == every, np.minimum(np.maximum(2 * good, 1), bad - 1), (good + bad) // 2)
            fine = state.lower(k) > self.threshold
            good, bad = np.where(left & fine, k, good), np.where(left & ~fine, k, bad)
        for k in WAYS:
            some = np.flatnonzero(~unlimited & (good == k - 1))
            if len(some):
                good[some[self.withstands(rows[some], k)]] = k
        # Branching proves more than one bound does: who withstands as many as there are withstands them all.
        available = self._available(rows).sum(1)
        return np.where(unlimited | (good >= np.maximum(available, 1)), UNLIMITED, good + 1)

    def withstands(self, rows: Floats, k: int) -> Bools:
        """Whether rows are proved to stay above the threshold after k additions, by branching; shape (rows,)."""
        if k == 0:
            return self.ensemble.predict(rows) - _room(self.ensemble, self.paths) > self.threshold
        state = _open(self.ensemble, self.paths, rows, self.moves)
        if k == 1 and self.moves.whole:
            return state.after_one() > self.threshold
        good = state.lower(np.full(len(rows), k)) > self.threshold
        gap = state.score - state.room - self.threshold
        dear = state.pays(k) * (1 + 1e-9) >= gap[:, None] / k
        dear &= self._available(rows)
        held = np.zeros(len(rows), dtype=bool)
        size = max(1, MOST_VALUES // len(self.paths.leaf))
        for row in np.flatnonzero(~good & (gap > 0)).tolist():
            after = self._with_one(rows[row], self.paths.features[dear[row]], WAYS[k])
            if after is None:
                continue
            blocks = (after[start : start + size] for start in range(0, len(after), size))
            held[row] = all(bool(self.withstands(block, k - 1).all()) for block in blocks)
        return good | held

    def _available(self, rows: Floats) -> Bools:
        """Which of the features that any tree asks about can move, shape (rows, len(paths.features))."""
        return np.asarray(self.moves.available(torch.from_numpy(rows)).numpy()[:, self.paths.features])

    def _with_one(self, row: Floats, features: Ints, most: int) -> Floats | None:
        """The row with one of some features moved, once for each cell that it can reach; None: more than so many."""
        found = []
        for feature in features.tolist():
            x, end = (
                float(v) for v in self.ensemble.cast(np.asarray([row[feature], float(self.moves.target[feature])]))
            )
            # Every cell between the two holds its own threshold as the library compares it, or the end.
            stops = np.append(self._stops(feature), end)
            stops = np.unique(stops[(stops >= min(x, end)) & (stops <= max(x, end)) & (stops != x)])
            after = np.repeat(row[None], len(stops), axis=0)
            after[:, feature] = stops
            found.append(after)
            if sum(map(len, found)) > most:
                return None
        return np.concatenate(found) if found else row[None][:0]

    def _stops(self, feature: int) -> Floats:
        """A number in each cell but one, as the library compares it: its last, or its first where a split is strict."""
        dtype = np.dtype(self.ensemble.inputs).type
        cuts = self.ensemble.thresholds(feature)
        return _up(cuts, dtype) if self.ensemble.strict else _down(cuts, dtype)


def _room(ensemble: Ensemble, paths: Paths) -> float:
    """What the library's own sum, in any order, before and after, and ours may be off."""
    size = np.maximum.reduceat(np.abs(paths.value), _starts(paths.tree)).sum() + abs(ensemble.base)
    return float(4.0 * (ensemble.trees + 8) * UNITS[ensemble.sums] * size)
