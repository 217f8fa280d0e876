"""Which rows reach a leaf: per feature, a set of cells between the tree's thresholds.

- a tree sees a number only through the cell it lies in, so cells lose nothing;
- NaN is a cell of its own; so is each category, and the numbers that count as missing;
- cells without a single number of the domain are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._ensemble import Bools, Ensemble, Floats, Ints

BEYOND = (2.0 - 2.0**-24) * 2.0**127  # the least double that is infinite as float32


@dataclass(frozen=True, eq=False)
class Axis:
    """One feature's cells, in rising order, then one for NaN.

    Args:
        feature: the column.
        first, values, last: per cell its first number, a middle one and its last (of the library's input precision;
            inside the domain), NaN where it has none.
        ordered: False for a feature split by categories, whose cells have no order.
        bounds: what separates the cells.
    """

    feature: int
    first: Floats
    values: Floats
    last: Floats
    ordered: bool
    bounds: Floats
    strict: bool

    @property
    def cells(self) -> int:
        """Cells of numbers; NaN's cell comes after them."""
        return len(self.values)

    def below(self, threshold: float) -> Bools:
        """Cells that go left of a threshold which is one of the bounds. NaN's entry is False."""
        # With `<=`, cell i is (b[i-1], b[i]]: left of b[j] are cells 0..j. With `<` it is [b[i-1], b[i]): the same.
        out = np.zeros(self.cells + 1, dtype=bool)
        out[: int(np.searchsorted(self.bounds, threshold, side="left")) + 1] = True
        return out

    def cell(self, x: Floats) -> Ints:
        """The cell that each number lies in; NaN in the last."""
        if self.ordered:
            side = "right" if self.strict else "left"
            found = np.searchsorted(self.bounds, x, side=side)  # type: ignore[call-overload]
        else:
            code = np.trunc(np.where(np.abs(x) < 2.0**31, x, -1.0))
            at = np.minimum(np.searchsorted(self.bounds, code), len(self.bounds) - 1)
            found = np.where(self.bounds[at] == code, at, len(self.bounds))
        return np.where(np.isnan(x), self.cells, found)


def axis(ensemble: Ensemble, feature: int, nodes: Ints, low: float, high: float) -> Axis:
    """The cells into which `nodes`, all splits on one feature, cut the numbers from `low` to `high` (cast already)."""
    groups = [ensemble.categories[n] for n in nodes.tolist() if n in ensemble.categories]
    if groups:
        codes = np.unique(np.concatenate(groups)).astype(np.float64)
        # "All else" is the last cell; -1 stands for it. Whether the domain holds each is not asked: more cells are
        # more pairs to check, never fewer.
        values = np.append(codes, -1.0)
        return Axis(feature, values, values, values, False, codes, False)
    bounds = np.unique(ensemble.threshold[nodes])
    if ensemble.special is not None and ensemble.special[nodes].any():
        bounds = np.union1d(bounds, missing_bounds(ensemble))
    return Axis(feature, *representatives(bounds, ensemble, low, high), True, bounds, ensemble.strict)


def missing_bounds(ensemble: Ensemble) -> Floats:
    """Bounds that make the numbers which count as missing a cell of their own."""
    first, last = ensemble.missing_numbers
    dtype = np.dtype(ensemble.inputs).type
    if ensemble.strict:  # [first, next after last)
        return np.concatenate([[first], _after(np.asarray([last]), dtype)])
    return np.concatenate([_before(np.asarray([first]), dtype), [last]])


def representatives(bounds: Floats, ensemble: Ensemble, low: float, high: float) -> tuple[Floats, Floats, Floats]:
    """Per cell its first, a middle and its last number of the input precision inside [low, high]; NaN if it has none.

    The outermost cells are cut one span beyond the outermost thresholds, so that a person can read the numbers.
    """
    dtype = np.dtype(ensemble.inputs).type
    # A finite double may be infinite once it is float32; then infinity is a number like others.
    most = float(np.finfo(dtype).max)
    end = np.inf if ensemble.inputs == "float32" else most
    low, high = max(low, -end), min(high, end)
    if not len(bounds):
        only = np.asarray([min(max(0.0, low), high)])
        return only, only, only
    if ensemble.strict:
        first = np.concatenate([[low], np.maximum(_up(bounds, dtype), low)])
        last = np.concatenate([np.minimum(_before(bounds, dtype), high), [high]])
    else:
        first = np.concatenate([[low], np.maximum(_after(bounds, dtype), low)])
        last = np.concatenate([np.minimum(_down(bounds, dtype), high), [high]])
    # Nothing is above `<= inf`, nor below `< -inf`; no next number says so.
    ends = np.append(bounds == -np.inf, False) if ensemble.strict else np.append(False, bounds == np.inf)
    empty = ~(first <= last) | ends
    top, bottom = ~empty & (first > most), ~empty & (last < -most)
    usual = bounds[np.abs(bounds) < 1e30]
    span = max(1.0, float(np.ptp(usual))) if len(usual) else 1.0
    first, last = np.clip(first, -most, most), np.clip(last, -most, most)
    first[0] = max(first[0], _down(np.asarray([last[0] - span]), dtype)[0]) if last[0] - span > first[0] else first[0]
    last[-1] = min(last[-1], _up(np.asarray([first[-1] + span]), dtype)[0]) if first[-1] + span < last[-1] else last[-1]
    middle = (first / 2 + last / 2).astype(dtype).astype(np.float64)
    middle = np.where((middle >= first) & (middle <= last), middle, last)
    first, middle, last = (np.where(empty, np.nan, x) for x in (first, middle, last))
    # A cell of nothing but float32's infinity holds the doubles from here on.
    first[top], middle[top], last[top] = BEYOND, BEYOND, BEYOND
    first[bottom], middle[bottom], last[bottom] = -BEYOND, -BEYOND, -BEYOND
    return first, middle, last


def _down(x: Floats, dtype: type) -> Floats:
    """Largest number of the precision <= x."""
    with np.errstate(over="ignore", under="ignore"):
        y: Floats = x.astype(dtype)
        return np.asarray(np.where(y.astype(np.float64) > x, np.nextafter(y, dtype(-np.inf)), y), dtype=np.float64)


def _up(x: Floats, dtype: type) -> Floats:
    """Smallest number of the precision >= x."""
    return -_down(-x, dtype)


def _after(x: Floats, dtype: type) -> Floats:
    """Smallest number of the precision > x."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.nextafter(_down(x, dtype).astype(dtype), dtype(np.inf)), dtype=np.float64)


def _before(x: Floats, dtype: type) -> Floats:
    """Largest number of the precision < x."""
    return -_after(-x, dtype)


@dataclass(frozen=True, eq=False)
class Leaves:
    """The reachable leaves of one tree, and per feature the cells that lead to each.

    Args:
        nodes: shape (leaves,).
        axes: one per feature that the tree splits.
        sets: per axis, shape (leaves, cells + 1); the last column is NaN.
    """

    nodes: Ints
    axes: tuple[Axis, ...]
    sets: tuple[Bools, ...]


def leaves_of(ensemble: Ensemble, tree: int, low: Floats, high: Floats, missing: Bools) -> Leaves:
    """The leaves of one tree that rows of the domain can reach.

    Args:
        ensemble: the trees.
        tree: which.
        low, high: per feature, cast to the input precision.
        missing: per feature, whether NaN occurs.
    """
    nodes, first, last = _walk(ensemble, tree)
    column = ensemble.feature[nodes]
    inner = nodes[column >= 0]
    is_leaf = column < 0
    count = int(is_leaf.sum())
    splits = ensemble.feature[inner]
    axes: list[Axis] = []
    sets: list[Bools] = []
    where: dict[int, int] = {}
    for feature in np.unique(splits).tolist():
        found = axis(ensemble, feature, inner[splits == feature], float(low[feature]), float(high[feature]))
        everything = np.append(~np.isnan(found.values), missing[feature])
        where[feature] = len(axes)
        axes.append(found)
        sets.append(np.broadcast_to(everything, (count, len(everything))).copy())
    for node in inner.tolist():
        at = where[int(ensemble.feature[node])]
        left = goes_left(ensemble, node, axes[at])
        middle = first[int(ensemble.right[node])]
        sets[at][first[node] : middle] &= left
        sets[at][middle : last[node]] &= ~left
    reachable = np.ones(count, dtype=bool)
    for one in sets:
        reachable &= one.any(axis=1)
    return Leaves(nodes[is_leaf][reachable], tuple(axes), tuple(one[reachable] for one in sets))


def goes_left(ensemble: Ensemble, node: int, along: Axis) -> Bools:
    """The cells, NaN's too, that one split sends left."""
    if node in ensemble.categories:
        left = np.append(np.isin(along.values, ensemble.categories[node]), False)
        left[-2] = False  # "all else"
        return left
    left = along.below(float(ensemble.threshold[node]))
    if ensemble.special is not None and ensemble.special[node]:
        # Its bounds were added by `axis`: the missing numbers are one whole cell.
        upper = float(missing_bounds(ensemble)[1])
        left[int(np.searchsorted(along.bounds, upper))] = ensemble.missing_left[node]
    left[-1] = ensemble.missing_left[node]
    return left


def _walk(ensemble: Ensemble, tree: int) -> tuple[Ints, dict[int, int], dict[int, int]]:
    """Nodes from the root, left before right; per node its first leaf and the one after its last."""
    order: list[int] = []
    first: dict[int, int] = {}
    stack, seen = [int(ensemble.roots[tree])], 0
    feature, left, right = ensemble.feature, ensemble.left, ensemble.right
    while stack:
        node = stack.pop()
        order.append(node)
        first[node] = seen
        if feature[node] < 0:
            seen += 1
        else:
            stack.append(int(right[node]))
            stack.append(int(left[node]))
    last: dict[int, int] = {}
    for node in reversed(order):
        last[node] = first[node] + 1 if feature[node] < 0 else last[int(right[node])]
    return np.asarray(order, dtype=np.int64), first, last
