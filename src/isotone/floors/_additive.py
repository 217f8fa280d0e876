"""A sum of what single features say: logistic regression with weights of at least 0 on the parts of a row.

The plainest monotone score, and on wide sparse rows of few bad ones often the one that carries over best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..data import folds
from ..errors import require
from ..evaluation import detection_near
from ..nn import MaxPatterns
from ._floor import OfNetwork, tick
from ._reading import knots_that_fit, learnt, narrow

Numbers = NDArray[Any]

STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1)
_FOLDS = 4


@dataclass
class AdditiveFloor(OfNetwork):
    """Adds up evidence: every part of a feature that a row has counts a weight of at least 0.

    Args:
        strength: of the square penalty on weights; None: that of `STRENGTHS` that detects most on folds of the rows.
        stretches: parts per feature that is not a bit, at most.

    Features of direction 0 are ignored. Cost: some hundred products of the parts that rows have.

    >>> X = np.tile(np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]]), (20, 1))
    >>> floor = AdditiveFloor().fit(X, np.tile([1, 0, 0, 0], 20), (1, 1))
    >>> floor.scores(X)[:4].argmax(), floor.prove().verdict
    (np.int64(0), <Verdict.PROVED: 'proved'>)
    """

    made_of = MaxPatterns

    strength: float | None = None
    stretches: int = 8

    def fit(
        self,
        X: Any,
        y: Any,
        directions: tuple[int, ...],
        *,
        sample_weight: Any = None,
        rate: float = 0.01,
        seed: int = 0,
        validation: tuple[Any, Any] | None = None,
        progress: Callable[[float, str], object] | None = None,
    ) -> Self:
        """See `Floor`."""
        del validation
        rows = learnt(X, y, sample_weight)
        weight = np.concatenate([rows.bad_weight, rows.benign_weight])
        self.directions_ = tuple(directions)
        self.used_, knots = knots_that_fit(rows, directions, self.stretches)
        # One pattern is a sum.
        self.network_ = MaxPatterns(knots, 1, [directions[j] for j in self.used_])
        sparse = require("scipy.sparse", "tables")
        with torch.no_grad():
            numbers = (torch.from_numpy(narrow(side[:, self.used_])) for side in (rows.bad, rows.benign))
            sides = [sparse.csr_matrix(self.network_.parts(side).numpy()) for side in numbers]
        parts = sparse.vstack(sides).tocsr().astype(np.float64)
        coded = _Rows(parts, np.repeat([1, 0], [len(rows.bad_weight), len(rows.benign_weight)]), weight)
        strength = _strength(coded, rate, seed, progress) if self.strength is None else self.strength
        self.strength_ = strength
        weights, intercept = _logistic(coded, strength)
        with torch.no_grad():
            self.network_.weight.copy_(torch.from_numpy(weights)[None])
            self.network_.threshold.fill_(-intercept)
        self.network_.eval()
        tick(progress, 1.0, "sum")
        return self

    def settled(self) -> Self:
        """The same, not fitted, with the strength that was chosen."""
        return replace(self, strength=self.strength_)


class _Rows(NamedTuple):
    """Rows as the parts that they have."""

    parts: Any  # scipy CSR, (rows, parts)
    labels: Numbers
    weight: Numbers

    def take(self, at: Numbers) -> Self:
        return type(self)(self.parts[at], self.labels[at], self.weight[at])


def _strength(rows: _Rows, rate: float, seed: int, progress: Callable[[float, str], object] | None) -> float:
    """The penalty that detects most on folds; of equals the largest. Few rows decide nothing."""
    fold = folds(rows.labels, _FOLDS, seed)
    if fold is None:
        return 1.0
    found = []
    for done, strength in enumerate(STRENGTHS):
        detected = []
        for k in range(_FOLDS):
            tick(progress, (done + k / _FOLDS) / (len(STRENGTHS) + 1), "sum")
            weights, _ = _logistic(rows.take(fold != k), strength)
            held = rows.take(fold == k)
            detected.append(detection_near(held.parts @ weights, held.labels, rate))
        found.append(float(np.mean(detected)))
    return STRENGTHS[int(np.argmax(found))]


def _logistic(rows: _Rows, strength: float) -> tuple[Numbers, float]:
    """Weights of at least 0, and an intercept, of the least logistic loss and square penalty (Byrd et al. 1995)."""
    parts, weight = rows.parts, rows.weight
    sign, turned = 2.0 * rows.labels - 1, parts.T.tocsr()

    def loss(at: Numbers) -> tuple[float, Numbers]:
        margin = sign * (parts @ at[:-1] + at[-1])
        slope = -sign * weight * np.exp(-np.logaddexp(0, margin))
        value = float((weight * np.logaddexp(0, -margin)).sum() + strength / 2 * (at[:-1] ** 2).sum())
        return value, np.append(turned @ slope + strength * at[:-1], slope.sum())

    start, inside = np.zeros(parts.shape[1] + 1), [(0.0, None)] * parts.shape[1]
    minimize = require("scipy.optimize", "tables").minimize
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*inside, (None, None)], options={"maxiter": 300})
    return np.maximum(found.x[:-1], 0.0), float(found.x[-1])
