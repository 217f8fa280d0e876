"""Rows as the floors learn from them: unique, weighted, and as parts from 0 to 1 that can only be completed.

- equal rows of one label are one row of their weights together, in an order of their own: the order of the rows given,
  and whether a weight is a number or a repetition, make no difference;
- only features that some bad rows have more of than most rows can carry evidence; the others are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

Numbers = NDArray[Any]

LARGEST = 1e38  # so that differences are finite in float32
MOST_PARTS = 4096
MOST_ENTRIES = 150_000_000  # of rows times parts in float32: 600 MB


@dataclass(frozen=True)
class Learnt:
    """Unique weighted rows of two labels.

    Args:
        bad, benign: shape (rows, features), numpy or scipy CSR.
        bad_weight, benign_weight: shape (rows,), above 0.
    """

    bad: Any
    bad_weight: Numbers
    benign: Any
    benign_weight: Numbers


def dense(X: Any) -> Numbers:
    """A table as a numpy array."""
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X)


def narrow(X: Any) -> Numbers:
    """A table as dense float32; numbers too large for it move inside, which keeps their order."""
    return np.clip(dense(X), -LARGEST, LARGEST).astype(np.float32)


def learnt(X: Any, y: Any, sample_weight: Any) -> Learnt:
    """The rows, once each.

    Raises:
        BadInput: no row of positive weight with one of the labels, or numbers that are not finite.
    """
    labels = np.asarray(y)
    weight = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    stored = X.data if hasattr(X, "indptr") else X
    if not np.isfinite(stored).all():
        raise BadInput("floor", "numbers that are not finite came", "finite ones are right")
    sides: list[Any] = []
    for label, kind in ((1, "bad"), (0, "benign")):
        at = np.flatnonzero((labels == label) & (weight > 0))
        if not len(at):
            raise BadInput("floor", f"no {kind} rows came", "some of both are right", "Bring rows of both labels.")
        sides += _unique(X[at], weight[at])
    return Learnt(*sides)


def _unique(X: Any, weight: Numbers) -> tuple[Any, Numbers]:
    if hasattr(X, "indptr"):
        X = X.tocsr(copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        keys = [
            X.indices[a:b].astype(">i4").tobytes() + X.data[a:b].astype(np.float64).tobytes()
            for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)
        ]
    else:
        X = np.ascontiguousarray(X, dtype=np.float64) + 0.0  # -0.0 and 0.0 are one number
        # As a sparse row would be named: a table gives the same order either way.
        keys = [np.flatnonzero(row).astype(">i4").tobytes() + row[row != 0].tobytes() for row in X]
    first: dict[bytes, int] = {}
    group = np.array([first.setdefault(key, len(first)) for key in keys])
    order = np.array(sorted(range(len(first)), key=list(first).__getitem__))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    group = place[group]
    _, where = np.unique(group, return_index=True)
    return X[where], np.bincount(group, weight)


def knots_of(
    rows: Learnt, directions: Sequence[int], stretches: int, most: int
) -> tuple[NDArray[np.int64], list[list[float]]]:
    """Features that can carry evidence, and their knots; at most so many parts, the most telling features first.

    A feature tells something if its share of bad rows above some level exceeds that of benign rows, or could together
    with others: all that at least two bad rows have (one, where there are fewer than 50) stay, up to the limit.
    """
    needed = 2 if rows.bad_weight.sum() >= 50 else 1
    ways = np.asarray(directions)
    bad, benign = _columns(rows.bad), _columns(rows.benign)
    found, value = [], []
    for j in np.flatnonzero(ways).tolist():
        (at, a), (bt, b) = bad(j), benign(j)
        knots = (
            _knots(
                np.concatenate([a, b]),
                np.concatenate([rows.bad_weight[at], rows.benign_weight[bt]]),
                stretches,
                rows.bad_weight.sum() + rows.benign_weight.sum(),
            )
            if len(a) + len(b)
            else []
        )
        if len(knots) < 2:
            continue
        base = knots[0] if ways[j] > 0 else knots[-1]
        has = _weight_off(at, a, rows.bad_weight, base)
        if has < needed:
            continue
        rarity = -np.log((_weight_off(bt, b, rows.benign_weight, base) + 1) / (rows.benign_weight.sum() + 2))
        found.append((j, knots))
        value.append(has * rarity)
    order = np.argsort(-np.asarray(value), kind="stable")
    size = 0
    taken: list[int] = []
    for k in order.tolist():
        size += len(found[k][1]) - 1
        if size > most and taken:
            break
        taken.append(k)
    taken.sort()
    return np.array([found[k][0] for k in taken], dtype=np.int64), [found[k][1] for k in taken]


def knots_that_fit(
    rows: Learnt, directions: Sequence[int], stretches: int
) -> tuple[NDArray[np.int64], list[list[float]]]:
    """As `knots_of`, in as many parts as memory has room for; one feature where none tells bad rows from others."""
    most = min(MOST_PARTS, max(64, MOST_ENTRIES // (len(rows.bad_weight) + len(rows.benign_weight))))
    used, knots = knots_of(rows, directions, stretches, most)
    if not len(used):  # one score for all
        used = np.flatnonzero(np.asarray(directions))[:1]
        knots = [[0.0, 1.0]] * len(used)
    return used, knots


def _weight_off(at: Numbers, values: Numbers, weight: Numbers, base: float) -> float:
    """Weight of the rows whose value is not the base; what a sparse column does not store is 0."""
    total, off = float(weight.sum()), float(weight[at][values != base].sum())
    stored = float(weight[at].sum())
    return off + (total - stored if base != 0 else 0.0)


def _columns(X: Any) -> Any:
    """j -> (rows, values) of what column j stores."""
    if hasattr(X, "indptr"):
        C = X.tocsc()
        return lambda j: (C.indices[C.indptr[j] : C.indptr[j + 1]], C.data[C.indptr[j] : C.indptr[j + 1]])
    every = np.arange(len(X))
    return lambda j: (every, X[:, j])


def _knots(values: Numbers, weight: Numbers, stretches: int, total: float) -> list[float]:
    """Knots at weighted quantiles of the values that a column has, 0 included where it is sparse; [] for a constant."""
    levels, group = np.unique(narrow(values).astype(np.float64), return_inverse=True)
    share = np.bincount(group.reshape(-1), weight)
    if (rest := total - share.sum()) > 0.5 * min(1.0, weight.min(initial=1.0)):
        at = np.searchsorted(levels, 0.0)
        if at < len(levels) and levels[at] == 0.0:
            share[at] += rest
        else:
            levels, share = np.insert(levels, at, 0.0), np.insert(share, at, rest)
    if len(levels) <= 1:
        return []
    if len(levels) > stretches + 1:
        # Half of the levels by all rows, half by the rows that are not at the commonest value: counts are mostly 0.
        commonest = share.copy()
        commonest[int(np.argmax(share))] = 0
        picked = {0, len(levels) - 1}
        for mass, count in ((share, stretches // 2), (commonest, stretches - stretches // 2)):
            upto = np.cumsum(mass) / mass.sum()
            picked.update(np.searchsorted(upto, np.linspace(0, 1, count + 1) - 1e-9).clip(0, len(levels) - 1).tolist())
        levels = levels[sorted(picked)]
    return [float(level) for level in levels]


def free_knots(
    rows: Learnt, directions: Sequence[int], stretches: int, most: int = 512
) -> tuple[NDArray[np.int64], list[list[float]]]:
    """Features of direction 0 that are not constant, and their knots; the first so many of them."""
    total = rows.bad_weight.sum() + rows.benign_weight.sum()
    bad, benign = _columns(rows.bad), _columns(rows.benign)
    found = []
    for j in np.flatnonzero(np.asarray(directions) == 0).tolist()[:most]:
        (at, a), (bt, b) = bad(j), benign(j)
        weight = np.concatenate([rows.bad_weight[at], rows.benign_weight[bt]])
        knots = _knots(np.concatenate([a, b]), weight, stretches, total) if len(weight) else []
        if len(knots) > 1:
            found.append((j, knots))
    return np.array([j for j, _ in found], dtype=np.int64), [knots for _, knots in found]
