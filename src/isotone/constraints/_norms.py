"""Sets of vectors by their length: at most, exactly, or between two lengths.

- a vector inside comes back the same to the bit: it is never multiplied by something near 1;
- the stored vector satisfies the bound when its length is summed up in float64;
- no square overflows or underflows, whatever the scale.

In float64 the squares of all numbers of a narrower type are normal numbers, so their sum needs no scaling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from ..errors import BadInput
from ._base import refuse_no_number
from ._dims import Along, Dims, as_rows, by_chunks, from_rows
from ._rounding import NARROW, settled, slack, tame, toward_zero, wide

_NEWTON = 60  # quadratic convergence: about 6 are needed


@final
@dataclass(frozen=True)
class MaxNorm(Along):
    """Every vector at most `max` long: a ball. Keras's `MaxNorm`, without its shrinking of what is inside.

    Args:
        max: the greatest length, 0 or more.
        dim: the dimensions that make one vector; `"inputs"`, one vector per output unit, is read off the layer by
            `constrain`; None is the whole weight.

    The result is the nearest member up to 4 eps of the dtype. A vector with an infinite entry has none and becomes NaN.

    >>> MaxNorm(1.0, dim=-1).project(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """

    max: float
    dim: Dims = "inputs"
    symmetric: ClassVar[bool] = True
    filler: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        _refuse_length("MaxNorm", "max", self.max)

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """Vectors that are too long are scaled down, or, with a metric, drawn in most where that costs least."""
        dims = self.dims(w.ndim)
        length = Length(w, dims)
        over = length > self.max
        if metric is not None and not settled(~over):
            w = drawn_in(w, metric, self.max, dims, over)
            length = Length(w, dims)
            over = length > self.max
        return w if settled(~over) else scaled(w, torch.where(over, length.ratio(self.max), 1.0), over, dims, up=False)

    def parametrized(self, raw: Tensor) -> Tensor:
        """Longer vectors are scaled down; the gradient along the vector is 0 there."""
        length, zero = _smooth_length(raw, self.dims(raw.ndim))
        return raw * torch.where(zero, 1.0, (self.max / length).clamp(max=1.0)).to(raw.dtype)


@final
@dataclass(frozen=True)
class UnitNorm(Along):
    """Every vector of length 1: a sphere, which is not convex.

    Args:
        dim: as in `MaxNorm`.

    A vector counts as a member when its length is within 2 eps of 1 (in float64, 4 + log2 of its entries eps). The zero
    vector, to which all members are equally near, becomes the one with equal entries. In the metric of Adam an input
    that never varies weighs next to nothing, and its weight takes up what length is missing; `constrain(...,
    metric="euclidean")` shares that out.

    >>> UnitNorm(dim=-1).project(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.7071, 0.7071]])
    """

    dim: Dims = "inputs"
    convex: ClassVar[bool] = False
    symmetric: ClassVar[bool] = True

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """Scaled to length 1."""
        dims = self.dims(w.ndim)
        w, length = _with_direction(w, dims)
        off = ~length.near(1.0)
        if metric is not None and not settled(~off):
            w = drawn_in(w, metric, 1.0, dims, off)
            length = Length(w, dims)
            off = ~length.near(1.0)
        return w if settled(~off) else scaled(w, torch.where(off, length.ratio(1.0), 1.0), off, dims)

    def parametrized(self, raw: Tensor) -> Tensor:
        """Scaled to length 1; a zero vector, which has no direction, stays zero."""
        length, zero = _smooth_length(raw, self.dims(raw.ndim))
        return raw * torch.where(zero, 1.0, 1 / length).to(raw.dtype)


@final
@dataclass(frozen=True)
class MinMaxNorm(Along):
    """Every vector between `min` and `max` long, which is not convex.

    Args:
        min, max: lengths, 0 <= min < max; they must lie some eps of the dtype apart.
        rate: Keras's: the share of the way that one projection goes. Below 1 weights approach the set and are not
            always inside.
        dim: as in `MaxNorm`.

    The zero vector, if `min` is above 0, becomes the one with equal entries.

    >>> MinMaxNorm(1.0, 2.0, dim=-1).project(torch.tensor([[3.0, 4.0], [0.0, 0.5], [0.0, 1.5]]))
    tensor([[1.2000, 1.6000],
            [0.0000, 1.0000],
            [0.0000, 1.5000]])
    """

    min: float
    max: float
    rate: float = 1.0
    dim: Dims = "inputs"
    convex: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _refuse_length("MinMaxNorm", "min", self.min)
        _refuse_length("MinMaxNorm", "max", self.max)
        refuse_no_number("MinMaxNorm", rate=self.rate)
        if not self.min < self.max:
            raise BadInput("MinMaxNorm", f"min={self.min} and max={self.max} came", "min must be below max")
        if not 0 < self.rate <= 1:
            raise BadInput(
                "MinMaxNorm", f"rate={self.rate} came", "a share of the way, above 0 and at most 1, is right"
            )

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """Scaled down or up to the nearer bound, or `rate` of the way there."""
        return self._moved(w, metric, self.rate)

    def violation(self, w: Tensor) -> Tensor:
        """How far the worst entry is from the set itself, whatever the rate."""
        if w.numel() == 0:
            return w.new_zeros(())
        return (w - self._moved(w, None, 1.0)).abs().max()

    def _moved(self, w: Tensor, metric: Tensor | None, rate: float) -> Tensor:
        dims = self.dims(w.ndim)
        if self.max < self.min * (1 + 8 * slack(w.dtype, 4096)):
            raise BadInput(
                repr(self), f"{w.dtype} has no room between its bounds", "wider bounds, or UnitNorm, would be right"
            )
        start = w
        if self.min > 0:
            w, length = _with_direction(w, dims)
        else:
            length = Length(w, dims)
        over, under = length > self.max, length < self.min
        if rate < 1 and metric is not None:
            return torch.where(over | under, start.lerp(self._moved(start, metric, 1.0), rate), start)
        if rate < 1:
            target = torch.where(over, length.ratio(self.max), torch.where(under, length.ratio(self.min), 1.0))
            return torch.where(over | under, (w * (rate * target + (1 - rate))).to(w.dtype), start)
        if metric is not None and not settled(~(over | under)):
            w = drawn_in(w, metric, self.max, dims, over)
            w = drawn_in(w, metric, self.min, dims, under)
            length = Length(w, dims)
            over, under = length > self.max, length < self.min
        if not settled(~over):
            w = scaled(w, torch.where(over, length.ratio(self.max), 1.0), over, dims, up=False)
        if self.min > 0 and not settled(~under):
            w = scaled(w, torch.where(under, length.ratio(self.min), 1.0), under, dims, up=True)
        return w

    def parametrized(self, raw: Tensor) -> Tensor:
        """Scaled to the nearer bound; a zero vector, which has no direction, stays zero."""
        length, zero = _smooth_length(raw, self.dims(raw.ndim))
        factor = torch.maximum((self.max / length).clamp(max=1.0), self.min / length)
        return raw * torch.where(zero, 1.0, factor).to(raw.dtype)


class Length:
    """The length of every vector, in float64, reduced dimensions kept: `unit * root`, each of which is in range."""

    def __init__(self, w: Tensor, dims: tuple[int, ...]) -> None:
        self.entries = math.prod(w.shape[d] for d in dims)
        self.dtype = w.dtype
        if w.dtype is not torch.float64 and wide(w) is torch.float64:
            self.root = (
                torch.linalg.vector_norm(w, dim=dims, keepdim=True, dtype=torch.float64) if dims else w.abs().double()
            )
            self.unit: Tensor | float = 1.0
        else:
            # Squares of float64 (or, where there is none, of float32) may leave the range: divide by the largest first.
            x = w.to(wide(w))
            self.unit = x.abs().amax(dims, keepdim=True) if dims and self.entries else x.abs()
            self.unit = torch.where(self.unit > 0, self.unit, 1.0)
            x = x / self.unit
            self.root = x.square().sum(dims, keepdim=True).sqrt() if dims else x.abs()

    def __gt__(self, bound: float) -> Tensor:
        return self.root > bound / self.unit

    def __lt__(self, bound: float) -> Tensor:
        return self.root < bound / self.unit

    def near(self, bound: float) -> Tensor:
        """Equal to `bound` up to the rounding of the stored entries; false for NaN."""
        return (self.root - bound / self.unit).abs() <= slack(self.dtype, self.entries) * bound / self.unit

    def ratio(self, bound: float) -> Tensor:
        """`bound` over the length."""
        return bound / self.unit / self.root


def scaled(w: Tensor, factor: Tensor, which: Tensor, dims: tuple[int, ...], *, up: bool | None = None) -> Tensor:
    """Vectors times `factor` (exactly 1 outside `which`), the stored length not above (up=False) or below (True) it.

    The factor is given 3 roundings of room: its own cast and two products, each at most eps / 2 relative. A narrow
    type, where that would be much, is multiplied in float64 and each entry rounded toward zero, or away from it.
    """
    if w.dtype in NARROW:
        exact = w.to(wide(w)) * factor.to(wide(w))
        y = exact.to(w.dtype) if up is None else toward_zero(exact, w.dtype, away=up)
        return torch.where(which, y, w)
    if up is not None:
        room = (1.5 if w.dtype is torch.float32 else 0) + slack(
            w.dtype, math.prod(w.shape[d] for d in dims)
        ) / torch.finfo(w.dtype).eps
        factor = torch.where(which, factor * (1 + (room if up else -room) * torch.finfo(w.dtype).eps), 1.0)
    # In two steps, since 1e-20 / 1e30 is no float32; the second is 1 nearly always, and a product with 1 is exact.
    first = factor.clamp(1e-36, 1e36)
    return w * first.to(w.dtype) * (factor / first).to(w.dtype)


def drawn_in(w: Tensor, metric: Tensor, radius: float, dims: tuple[int, ...], which: Tensor) -> Tensor:
    """The nearest points at distance `radius` from 0 in the metric, for the vectors `which`; about, see `_onto`."""
    if w.numel() == 0:
        return w
    rows, weights, chosen = as_rows(w, dims), as_rows(metric, dims), which.flatten()

    def onto(some: Tensor, metric: Tensor | None) -> Tensor:
        return _onto(some, metric, radius)

    if settled(chosen):
        moved = by_chunks(rows, weights, onto)
    elif rows.is_cuda or rows.is_meta:  # to pick rows is to wait for the device
        moved = torch.where(chosen.unsqueeze(1), onto(rows, weights), rows)
    else:
        moved = rows.clone()
        moved[chosen] = by_chunks(rows[chosen], weights[chosen], onto)
    return from_rows(moved, w, dims)


def _onto(rows: Tensor, metric: Tensor | None, radius: float) -> Tensor:
    """d y / (d + m) for each row y and its metric d, with the m that gives it the length `radius`, up to rounding.

    Newton on 1 / |x(m)| - 1 / radius, which is concave in m: from the left it rises to the root without overshooting
    (Conn, Gould and Toint, Trust-Region Methods, 2000, section 7.3). Of a size about 1; in float32 where that is fine
    enough for the weights, the ratios of the metric, and the radius.
    """
    assert metric is not None
    size = rows.abs().amax()
    narrow = rows.dtype is not torch.float64 and tame(metric)
    narrow = narrow and settled((size <= 1e6 * radius) & (rows.abs().amax(1).amin() >= 1e-6 * radius), wait=True)
    work = torch.float32 if narrow else wide(rows)
    y, d = rows.to(work), metric.to(work)
    unit = y.abs().amax(1, keepdim=True)
    unit = torch.where(unit > 0, unit, 1.0)
    y, r, d = y / unit, radius / unit, d / d.amax(1, keepdim=True)
    there = y != 0
    # Counted from the smallest metric, so that d + m = gap + s does not cancel: gap is exactly 0 there.
    low = torch.where(there, d, torch.inf).amin(1, keepdim=True)
    gap = torch.where(there, d - low, 1.0)
    # At the left end one coordinate alone has length r, so x(m) is at least as long: left of the root.
    s = torch.where(there, (d * y.abs()) / r - gap, 0.0).amax(1, keepdim=True).clamp(min=torch.finfo(y.dtype).tiny)
    # Nearer, where y is too long: then m > 0, so every entry keeps at least the share low / (low + m).
    whole = y.square().sum(1, keepdim=True).sqrt()
    s = torch.maximum(s, torch.where((whole > r) & low.isfinite(), low * whole / r, 0.0))
    dy = d * y
    close = 1e-6 if narrow else 1e-12
    for _ in range(_NEWTON):
        inverse = (gap + s).reciprocal_()
        parts = (dy * inverse).square_()  # of the length; 0 where y is 0
        length = parts.sum(1, keepdim=True)
        slope = (parts * inverse).sum(1, keepdim=True)
        step = ((length.sqrt() / r - 1) * length / slope).nan_to_num(0.0, posinf=0.0).clamp(min=0)
        s = s + step
        if settled(step <= close * s, wait=True):
            break
    return (torch.where(there, dy / (gap + s), y) * unit).to(rows.dtype)


def _smooth_length(raw: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Lengths whose gradient is finite everywhere, and which vectors are zero: theirs counts as that of ones."""
    zero = (raw == 0).all(dims, keepdim=True) if dims else raw == 0
    x = torch.where(zero, torch.ones_like(raw), raw)
    x = x.float() if x.dtype in NARROW else x
    return torch.linalg.vector_norm(x, dim=dims, keepdim=True) if dims else x.abs(), zero


def _with_direction(w: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Length]:
    """Zero vectors, which point nowhere, given equal entries."""
    length = Length(w, dims)
    zero = length.root == 0
    if settled(~zero):
        return w, length
    w = torch.where(zero, 1 / math.sqrt(max(length.entries, 1)), w)
    return w, Length(w, dims)


def _refuse_length(where: str, which: str, length: float) -> None:
    refuse_no_number(where, **{which: length})
    if not (length == 0 or 1e-30 <= length <= 1e30):
        raise BadInput(where, f"{which}={length} came", "a length of 0, or from 1e-30 to 1e30, would be right")
