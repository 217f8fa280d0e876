"""Sets with a sum: the probability simplex and the L1 ball.

Both are a threshold: x = max(v - t a, 0), where t makes the sum right and a = 1 / metric (all ones in plain least
squares). The sum falls in t, convex and piecewise linear, so Newton from the left rises to the root without
overshooting and ends exactly, after about ten passes over the data: Michelot, J. Optimization Theory and Applications
50 (1986), with weights. A sort would cost more than all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ..errors import BadInput
from ._base import refuse_no_number
from ._dims import Along, Dims, as_rows, by_chunks, from_rows
from ._rounding import NARROW, settled, slack, tame, toward_zero, wide
from ._smooth import SHARE

_MOST = 100


@final
@dataclass(frozen=True)
class Simplex(Along):
    """Every vector non-negative with sum `total`: probabilities.

    Args:
        total: the sum, above 0.
        dim: the dimensions that make one vector, as in `MaxNorm`.

    A vector counts as a member when no entry is negative and its sum, in float64, is within 2 eps of `total` relatively
    (in float64, 4 + log2 of its entries eps).

    >>> Simplex(dim=-1).project(torch.tensor([[1e8, 1e8 + 8, 0.0], [0.5, 0.5, 0.5]]))
    tensor([[0.0000, 1.0000, 0.0000],
            [0.3333, 0.3333, 0.3333]])
    """

    total: float = 1.0
    dim: Dims = "inputs"
    filler: ClassVar[float | None] = -math.inf

    def __post_init__(self) -> None:
        refuse_no_number("Simplex", total=self.total)
        if not 1e-30 <= self.total <= 1e30:
            raise BadInput("Simplex", f"total={self.total} came", "a sum from 1e-30 to 1e30 would be right")

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """The threshold that gives the sum."""
        dims = self.dims(w.ndim)
        rows = as_rows(w, dims)
        if rows.shape[0] and not rows.shape[1]:
            raise BadInput("Simplex", f"vectors without entries came (shape {tuple(w.shape)})", "their sum cannot be 1")
        weights = None if metric is None else as_rows(metric, dims)
        return from_rows(by_chunks(rows, weights, self._rows), w, dims)

    def _rows(self, v: Tensor, metric: Tensor | None) -> Tensor:
        positive = F.threshold(v, 0.0, 0.0)  # an entry of -inf takes no part: it is 0 in every member
        off = (positive.sum(1, keepdim=True, dtype=wide(v)) - self.total).abs()
        close = off <= slack(v.dtype, v.shape[1]) * self.total
        if settled(~close):
            return thresholded(v, metric, self.total).to(v.dtype)
        inside = close & ((v == positive) | (v == -math.inf)).all(1, keepdim=True)
        if settled(inside):
            return positive
        return torch.where(inside, positive, thresholded(v, metric, self.total).to(v.dtype))

    def parametrized(self, raw: Tensor) -> Tensor:
        """`total` times a softmax."""
        dims = self.dims(raw.ndim)
        return from_rows(self.total * as_rows(raw, dims).softmax(1), raw, dims)

    def raw(self, w: Tensor) -> Tensor:
        """Logarithms; zeros, where the softmax is flat, count as a hundredth of the mean."""
        dims = self.dims(w.ndim)
        entries = math.prod(w.shape[d] for d in dims)
        return (w / self.total).clamp(min=SHARE / max(entries, 1)).log()


@final
@dataclass(frozen=True)
class L1Ball(Along):
    """Every vector with absolute entries that sum to at most `radius`.

    Args:
        radius: 0 or more.
        dim: the dimensions that make one vector, as in `MaxNorm`.

    >>> L1Ball(1.0, dim=-1).project(torch.tensor([[3.0, -2.5, 0.0], [0.2, -0.3, 0.1]]))
    tensor([[ 0.7500, -0.2500,  0.0000],
            [ 0.2000, -0.3000,  0.1000]])
    """

    radius: float
    dim: Dims = "inputs"
    symmetric: ClassVar[bool] = True
    filler: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        refuse_no_number("L1Ball", radius=self.radius)
        if not (self.radius == 0 or 1e-30 <= self.radius <= 1e30):
            raise BadInput(
                "L1Ball", f"radius={self.radius} came", "a radius of 0, or from 1e-30 to 1e30, would be right"
            )

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """The absolute entries lose a threshold."""
        dims = self.dims(w.ndim)
        weights = None if metric is None else as_rows(metric, dims)
        return from_rows(by_chunks(as_rows(w, dims), weights, self._rows), w, dims)

    def _rows(self, v: Tensor, metric: Tensor | None) -> Tensor:
        size = v.abs()
        total = size.sum(1, keepdim=True, dtype=wide(v))
        over = total > self.radius
        if settled(~over):
            return v
        if self.radius == 0:
            return torch.where(over, torch.zeros_like(v), v)
        x = thresholded(size, metric, self.radius)
        x = x * (1 - slack(torch.float32 if v.dtype in NARROW else v.dtype, v.shape[1]))  # room for its own rounding
        x = toward_zero(x, v.dtype) if v.dtype in NARROW else x.to(v.dtype)
        return torch.where(over, torch.copysign(x, v) + 0.0, v)

    def parametrized(self, raw: Tensor) -> Tensor:
        """Vectors outside are scaled down."""
        dims = self.dims(raw.ndim)
        rows = as_rows(raw, dims)
        length = rows.abs().sum(1, keepdim=True)
        return from_rows(rows * (self.radius / length.clamp(min=self.radius or 1.0)), raw, dims)


def thresholded(v: Tensor, metric: Tensor | None, total: float) -> Tensor:
    """max(v - t / metric, 0) with the t, one per row of `v`, at which the rows sum to `total`.

    In float32 for it and narrower types, in float64 for float64 and where a metric, or entries much larger than
    `total`, ask for more. What rounding has done to the sum, added up in float64, is taken out at the end.
    """
    top = v.amax(1, keepdim=True)
    if metric is None:
        v = v if v.dtype is torch.float64 else v.float()
        # The nearest point is the same, and near ties of large numbers survive.
        v = torch.where(v == top, 0.0, v - top)
        v = v if total == 1 else v / total
        a = torch.ones((), dtype=v.dtype, device=v.device)
        t = _newton(v, a, _left(v, a))
    elif v.dtype is not torch.float64 and settled(v.abs().amax() <= 16 * total, wait=True) and tame(metric):
        v, a = v.float() / total, _inverse(metric.float())
        t = _newton(v, a, _left(v, a))
    else:
        v, a = v.to(wide(v)) / total, _inverse(metric.to(wide(v)))
        left = _left(v, a)
        t = _newton(v.float(), a.float(), left.float()).to(v.dtype)
        # From the right of the root one step leads to its left, so a start put there by rounding does no harm.
        t = _newton(v, a, torch.where(t.isfinite(), t, left))
    x = F.relu(v - t * a)
    reached = x.sum(1, keepdim=True, dtype=wide(v))
    x = x * torch.where(reached > 0, total / reached, 0.0).to(x.dtype)
    if metric is not None:
        # Entries so large that t could not be told from where the last one leaves: that one has it all.
        last = (v / a).argmax(1, keepdim=True)
        x = torch.where(reached > 0, x, torch.zeros_like(x).scatter(1, last, total))
    return torch.where(top.isnan(), top.to(x.dtype), x)


def _inverse(metric: Tensor) -> Tensor:
    """1 / metric, of a size about 1 in each row: only the ratios of a metric matter."""
    a = 1 / metric
    return a / a.amax(1, keepdim=True)


def _left(v: Tensor, a: Tensor) -> Tensor:
    """A point left of the root: no entry exceeds the sum 1, and all sum to at most what the positive ones do."""
    each = ((v - 1) / a).amax(1, keepdim=True)
    every = (v.sum(1, keepdim=True) - 1) / (a.expand_as(v).sum(1, keepdim=True))
    return torch.maximum(each, torch.where(every.isfinite(), every, each))


def _newton(v: Tensor, a: Tensor, t: Tensor) -> Tensor:
    before: Tensor | None = None
    close = 8 * torch.finfo(v.dtype).eps
    for _ in range(_MOST):
        x = F.relu(v - t * a) if a.ndim else F.relu(v - t)
        slope = (a * (x > 0)).sum(1, keepdim=True) if a.ndim else torch.count_nonzero(x, 1).unsqueeze(1).to(v.dtype)
        step = (x.sum(1, keepdim=True) - 1) / slope.clamp(min=torch.finfo(v.dtype).tiny)
        t = t + step
        # Positive entries only get fewer as t rises: as many as before are the same ones, for which the step was exact.
        # Near ties rounding may let one come and go: then the step is as small as that.
        same = slope == before if before is not None else torch.zeros_like(slope, dtype=torch.bool)
        if settled(same | (step.abs() <= close * t.abs()) | slope.isnan(), wait=True):
            break
        before = slope
    return t
