"""What was read must predict what the model predicts, also exactly at the thresholds and where values are missing.

A proof about trees that were read wrongly is worth nothing, so nothing counts before this test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._cells import leaves_of
from ._ensemble import Ensemble, Floats, Ints

EXACT = {"float64": 1e-9, "float32": 1e-6}


@dataclass(frozen=True)
class Trust:
    """Whether an ensemble predicts as its model does.

    Args:
        faithful: True only if every row agreed.
        rows: how many were compared.
        worst: the largest difference, relative to the sum of the absolute terms of the row's score.
        reason: one sentence.
    """

    faithful: bool
    rows: int
    worst: float
    reason: str

    def __bool__(self) -> bool:
        return self.faithful


def faithful(
    ensemble: Ensemble, predict_rows: Callable[[Any], Any], X: Any, *, edges: int = 4096, seed: int = 0
) -> Trust:
    """Compare an ensemble with the model it was read from.

    Args:
        ensemble: from `read`.
        predict_rows: the model's raw scores of rows, shape (rows, features) -> (rows,), as `margins(model)` gives them.
        X: some rows, shape (n, features), n >= 1; NaN is missing.
        edges: how many more rows are drawn: each lies in a leaf of a tree, at the very ends of the leaf's intervals, in
            its missing branches, with the rest from `X`.
        seed: of the drawing.

    Returns:
        Truthy if all rows agree to 1e-9 (sums in float64) or 1e-6 (float32) of the sum of the absolute terms.

    Cost: (n + edges) predictions by both.
    """
    rng = np.random.default_rng(seed)
    given = np.asarray(X, dtype=np.float64)
    if given.ndim != 2 or len(given) == 0 or given.shape[1] != ensemble.features:
        return Trust(False, 0, np.inf, f"rows of shape {given.shape} came; (n, {ensemble.features}) would be right")
    rows = np.concatenate([given[:10_000], edge_rows(ensemble, given, edges, rng)])
    if not ensemble.takes_missing:
        rows = rows[~np.isnan(rows).any(axis=1)]
    if not len(rows):
        return Trust(False, 0, np.inf, "every row has a missing value, which the model refuses")
    try:
        theirs = np.asarray(predict_rows(rows), dtype=np.float64).reshape(-1)
    except Exception as fault:  # whatever the library raises: it costs trust, never truth
        return Trust(
            False, 0, np.inf, f"the model refuses rows that its trees could take ({type(fault).__name__}: {fault})"
        )
    if len(theirs) != len(rows):
        return Trust(False, len(rows), np.inf, f"{len(theirs)} scores came for {len(rows)} rows")
    ours = ensemble.predict(rows)
    away = np.abs(ours - theirs) / np.maximum(ensemble.size(rows), 1e-30)
    away = np.where(np.isnan(away), np.inf, away)
    at = int(np.argmax(away))
    worst = float(away[at])
    if not worst <= EXACT[ensemble.sums]:
        reason = f"the trees as read give {ours[at]:.9g} where the model gives {theirs[at]:.9g}"
        return Trust(False, len(rows), worst, reason)
    return Trust(True, len(rows), worst, f"the trees as read agree with the model on {len(rows)} rows")


def edge_rows(ensemble: Ensemble, X: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Rows in the leaves of trees, at the ends of the leaves' intervals and in their missing branches."""
    if ensemble.trees == 0 or count <= 0:
        return np.zeros((0, ensemble.features))
    rows = X[rng.integers(len(X), size=count)].copy()
    if not ensemble.takes_missing:
        rows = np.where(np.isnan(rows), 0.0, rows)
    everywhere = np.full(ensemble.features, np.inf)
    missing = np.full(ensemble.features, ensemble.takes_missing)
    # All trees in turn; few rows for many trees leave some out, by chance.
    chosen = rng.permutation(np.resize(rng.permutation(ensemble.trees), count))
    for tree in np.unique(chosen).tolist():
        leaves = leaves_of(ensemble, tree, -everywhere, everywhere, missing)
        for row in np.flatnonzero(chosen == tree).tolist():
            leaf = int(rng.integers(len(leaves.nodes)))
            for axis, cells in zip(leaves.axes, leaves.sets, strict=True):
                allowed = np.flatnonzero(cells[leaf])
                cell = _choose(allowed, axis.cells, rng)
                rows[row, axis.feature] = (
                    np.nan if cell == axis.cells else (axis.first, axis.values, axis.last)[rng.integers(3)][cell]
                )
    if ensemble.inputs == "float32":
        # Doubles that are a threshold only once they are cast.
        some = rng.random(len(rows)) < 0.25
        rows[some] *= 1.0 + 1e-9
    return rows


def _choose(allowed: Ints, nan: int, rng: np.random.Generator) -> int:
    """The lowest, the highest or any of the cells, or often the missing one."""
    kind = rng.integers(4)
    if kind == 0 and allowed[-1] == nan:
        return nan
    numbers = allowed[allowed != nan]
    if not len(numbers):
        return nan
    return int((numbers[0], numbers[-1], rng.choice(numbers), numbers[-1])[kind])
