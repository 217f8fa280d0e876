"""Balls and simplexes whose entries are bounded too: the nearest point is one number per vector away.

In the squares weighted by d, the nearest point to y is, entry by entry, a clamp of what it would be without bounds,

    x(m) = clamp(d y / (d + m), low, high)                   |x| <= radius
    x(m) = clamp(sign(y) max(|y| - m / d, 0), low, high)     sum |x| <= radius
    x(m) = clamp(max(y - m / d, 0), low, high)               sum x = total

since the Lagrangian splits into entries. The size of x(m) falls in m, and bisection finds the right m.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ._base import Constraint
from ._dims import as_rows, chunks, from_rows
from ._norms import Length, MaxNorm
from ._rounding import slack, toward_zero, wide
from ._simplex import L1Ball, Simplex

_DOUBLINGS, _HALVINGS = 200, 110  # from 1 to beyond the range of float32, and down to neighbours in float64


def takes_bounds(constraint: object) -> bool:
    """Whether `bounded` knows the set."""
    return isinstance(constraint, MaxNorm | L1Ball | Simplex)


def bounded(
    constraint: MaxNorm | L1Ball | Simplex, w: Tensor, low: Tensor, high: Tensor, metric: Tensor | None
) -> Tensor:
    """The nearest member of `constraint` with entries in [low, high], if there is one."""
    if w.numel() == 0 or w.is_meta:
        return w
    dims = constraint.dims(w.ndim)
    d = torch.ones_like(w) if metric is None else metric
    parts = [as_rows(x.expand(w.shape), dims) for x in (w, d, low, high)]
    rows = parts[0]

    def nearest(some: slice) -> Tensor:
        # Widened here, a few vectors at a time: four copies of a whole weight in float64 are eight of it.
        exact = _rows(constraint, *(x[some].to(wide(w)) for x in parts), dtype=w.dtype)
        return exact.to(w.dtype) if isinstance(constraint, Simplex) else toward_zero(exact, w.dtype)

    stored = torch.cat([nearest(some) for some in chunks(rows)])
    if isinstance(constraint, Simplex):
        target, size = constraint.total, rows.clamp(min=0).sum(1, keepdim=True, dtype=wide(w))
        fits = (size - target).abs() <= slack(w.dtype, rows.shape[1]) * target
        fits &= (rows >= 0).all(1, keepdim=True)  # the bounds may lie below
    else:
        fits = (constraint.project(from_rows(rows, w, dims)) == w).reshape(w.shape)
        fits = as_rows(fits, dims).all(1, keepdim=True)
    inside = fits & ((rows >= parts[2]) & (rows <= parts[3])).all(1, keepdim=True)
    return from_rows(torch.where(inside, rows, stored) + 0.0, w, dims)


def balled(ball: MaxNorm, inner: Constraint, y: Tensor, metric: Tensor | None) -> Tensor:
    """The nearest member of `inner` that is in the ball too: that of d y / (d + m) in the metric d + m, for one m.

    For sum d (x - y)^2 + m |x|^2 is, up to a constant, the squares weighted by d + m around that point. Its length
    falls in m, so bisection finds the m at which it is the radius. In float64.
    """
    dims = ball.dims(y.ndim)
    d = torch.ones_like(y) if metric is None else metric

    def at(m: Tensor) -> Tensor:
        weights = (d + m).expand(y.shape)
        return inner.project(d * y / weights, weights)

    def large(x: Tensor) -> Tensor:
        return Length(x, dims) > ball.max

    left = torch.zeros_like(y.sum(dims, keepdim=True))
    right = torch.where(large(at(left)), 1.0, left)
    for _ in range(_DOUBLINGS):
        far = large(at(right))
        if not bool(far.any()):
            break
        left, right = torch.where(far, right, left), torch.where(far, 2 * right, right)
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        far = large(at(middle))
        left, right = torch.where(far, middle, left), torch.where(far, right, middle)
        if bool((right - left <= 1e-15 * right).all()):
            break
    return at(right)


def _rows(
    constraint: MaxNorm | L1Ball | Simplex, y: Tensor, d: Tensor, low: Tensor, high: Tensor, *, dtype: torch.dtype
) -> Tensor:
    d = d / d.amax(1, keepdim=True)
    at: Callable[[Tensor], Tensor]
    match constraint:
        case MaxNorm(max=target):
            at, size = lambda m: torch.clamp(d * y / (d + m), low, high), torch.linalg.vector_norm
        case L1Ball(radius=target):
            at = lambda m: torch.clamp(torch.copysign(F.relu(y.abs() - m / d), y), low, high)  # noqa: E731
            size = lambda x, dim, keepdim: x.abs().sum(dim, keepdim=keepdim)  # noqa: E731
        case Simplex(total=target):
            at = lambda m: torch.clamp(F.relu(y - m / d), low, high)  # noqa: E731
            size = torch.sum
    if not isinstance(constraint, Simplex) and dtype is torch.float64:
        target = target * (1 - slack(dtype, y.shape[1]))  # the stored length is summed up again
    # left: too large, or no further to go; right: small enough.
    left, right = torch.zeros_like(y[:, :1]), torch.ones_like(y[:, :1])
    if isinstance(constraint, Simplex):
        left = left - 1
        for _ in range(_DOUBLINGS):
            small = size(at(left), dim=1, keepdim=True) < target
            if not bool(small.any()):
                break
            left = torch.where(small, 2 * left, left)
    for _ in range(_DOUBLINGS):
        large = size(at(right), dim=1, keepdim=True) > target
        if not bool(large.any()):
            break
        right = torch.where(large, 2 * right, right)
    right = torch.where(size(at(left), dim=1, keepdim=True) <= target, left, right)
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        small = size(at(middle), dim=1, keepdim=True) <= target
        left, right = torch.where(small, left, middle), torch.where(small, middle, right)
        if bool(((right - left).abs() <= 1e-16 * right.abs()).all()):
            break
    x = at(right)
    if isinstance(constraint, Simplex):
        # Where entries are much larger than their sum, neighbouring m are far apart in x: the member lies between them.
        more = at(left)
        gap, missing = (more - x).sum(1, keepdim=True), target - x.sum(1, keepdim=True)
        x = x + (more - x) * torch.where(gap > 0, missing / gap, 0.0).clamp(0, 1)
    return x
