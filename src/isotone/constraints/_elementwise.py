"""Sets that look at one entry at a time: signs and bounds.

For them the clamp is the nearest point not only in the Euclidean metric but in every diagonal one,
argmin over w in [l, h] of sum d_i (w_i - v_i)^2 = clamp(v_i, l, h) whatever d > 0: so "Adam, then clamp" is an exact
proximal step in Adam's own metric, and its fixed points are the constrained optima.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name for it)

from ..directions import as_directions
from ..errors import BadInput
from ._base import Constraint, refuse_no_number
from ._entries import Entries, numbers
from ._smooth import inverse_softplus, logit

Bound = float | Tensor


class Elementwise(Constraint):
    """An interval for every entry: `bounds` is all that a new one has to say."""

    elementwise: ClassVar[bool] = True
    takes_metric: ClassVar[bool] = True  # every diagonal metric has the same nearest point

    @abc.abstractmethod
    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """Lowest and highest, as numbers of `dtype`: for all entries, or tensors that broadcast to `shape`."""

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """Entries outside move to the nearer bound; -0.0 becomes 0.0."""
        return within(w, *self.bounds(w.shape, w.dtype, w.device))

    def project_(self, weights: Sequence[Tensor]) -> None:
        """As `project`, in place; on a GPU, where a launch costs more than a small weight, many in one launch."""
        if self.uniform and all(w.is_cuda for w in weights):
            within_all_(weights, self)
        else:
            for w in weights:
                within_(w, *self.bounds(w.shape, w.dtype, w.device))

    def check(self, w: Tensor) -> None:
        """Bounds of the shape of `w`, with a number of its dtype between them."""
        low, high = _tensors(self.bounds(w.shape, w.dtype, w.device), w)
        if not w.is_meta and not bool((low <= high).all()):
            raise BadInput(
                repr(self),
                f"{w.dtype} has no number between its bounds",
                "wider bounds or a finer dtype would be right",
            )

    @property
    def uniform(self) -> bool:
        """Whether all entries have the same interval."""
        return not any(isinstance(value, Entries | tuple) for value in vars(self).values())

    def parametrized(self, raw: Tensor) -> Tensor:
        """Bounded on both sides: a sigmoid; on one: softplus; on none: as it is."""
        low, high = _tensors(self.bounds(raw.shape, raw.dtype, raw.device), raw)
        two, below, above = low.isfinite() & high.isfinite(), low.isfinite(), high.isfinite()
        # Finite stand-ins where a bound is missing: the gradient of the branch not taken must not be NaN.
        foot, top = torch.where(below, low, 0.0), torch.where(above, high, 0.0)
        one = torch.where(below, foot + F.softplus(raw), torch.where(above, top - F.softplus(-raw), raw))
        smooth = torch.where(two, foot + (top - foot) * torch.sigmoid(raw), one)
        return torch.clamp(smooth, low, high)  # rounding may step over the wall

    def raw(self, w: Tensor) -> Tensor:
        """The inverse; a weight on its wall, where the map is flat, is moved inside a little (`_smooth.py`)."""
        low, high = _tensors(self.bounds(w.shape, w.dtype, w.device), w)
        two, below, above = low.isfinite() & high.isfinite(), low.isfinite(), high.isfinite()
        wide = two & (high > low)
        share = torch.where(wide, (w - low) / torch.where(wide, high - low, 1.0), 0.5)
        one = torch.where(below, inverse_softplus(w - low), torch.where(above, -inverse_softplus(high - w), w))
        return torch.where(two, logit(share), one)


@final
@dataclass(frozen=True)
class NonNegative(Elementwise):
    """Every entry at least 0: the weights of an increasing layer. Keras calls it `NonNeg`.

    >>> NonNegative().project(torch.tensor([-1.0, 0.5]))
    tensor([0.0000, 0.5000])
    """

    signs: ClassVar[bool] = True

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """From 0 upwards."""
        return 0.0, math.inf


@final
@dataclass(frozen=True)
class NonPositive(Elementwise):
    """Every entry at most 0: the weights of a decreasing layer.

    >>> NonPositive().project(torch.tensor([-1.0, 0.5]))
    tensor([-1.,  0.])
    """

    signs: ClassVar[bool] = True

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """Up to 0."""
        return -math.inf, 0.0


@final
@dataclass(frozen=True)
class Between(Elementwise):
    """Every entry in [low, high]; the stored number satisfies the bound in its own dtype.

    Args:
        low, high: a number each, or an array that broadcasts to the weight: a bound for every entry, infinite where
            there is none.

    Raises:
        BadInput: `low` is above `high`, or one of them is NaN.

    >>> Between(0.0, 0.3).project(torch.tensor([-1.0, 9.0], dtype=torch.bfloat16)).double() <= 0.3
    tensor([True, True])
    >>> Between(high=[1.0, 2.0]).project(torch.tensor([[5.0, 5.0], [0.0, 0.0]]))
    tensor([[1., 2.],
            [0., 0.]])
    """

    low: Any = -math.inf
    high: Any = math.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", numbers(self.low, default=-math.inf))
        object.__setattr__(self, "high", numbers(self.high, default=math.inf))
        low, high = _plain(self.low), _plain(self.high)
        try:
            fits = bool(np.all(low <= high))
        except ValueError:
            raise BadInput(
                "Between", f"bounds of shapes {low.shape} and {high.shape} came", "one shape would be right"
            ) from None
        if not fits:
            raise BadInput("Between", f"low={self.low} and high={self.high} came", "low must not be above high")

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """Both, rounded inwards."""
        low = self.low.on(dtype, device, up=True) if isinstance(self.low, Entries) else inward(self.low, dtype, up=True)
        high = (
            self.high.on(dtype, device, up=False)
            if isinstance(self.high, Entries)
            else inward(self.high, dtype, up=False)
        )
        for bound in (low, high):
            if isinstance(bound, Tensor) and not _fits(bound.shape, shape):
                raise BadInput(
                    "Between",
                    f"bounds of shape {tuple(bound.shape)} came for a weight of shape {tuple(shape)}",
                    "bounds that broadcast to the weight are right",
                )
        # Of arrays `check` asks this, once: a pass over them at every step would be a waste.
        if isinstance(low, float) and isinstance(high, float) and not low <= high:
            raise BadInput(
                repr(self), f"{dtype} has no number between its bounds", "wider bounds or a finer dtype would be right"
            )
        return low, high


@final
@dataclass(frozen=True)
class Sign(Elementwise):
    """A sign for each index of one dimension: +1 at least 0, -1 at most 0, 0 free.

    Args:
        directions: one per index of `dim`.
        dim: which dimension they are about; -1, the inputs of an `nn.Linear`, or 0, the names of an embedding.

    >>> Sign((+1, -1, 0)).project(torch.tensor([[-1.0, 2.0, -3.0]]))
    tensor([[ 0.,  0., -3.]])
    """

    directions: tuple[int, ...]
    dim: int = -1
    signs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        # A list or an array is welcome; only a tuple can be hashed.
        given: Any = self.directions
        if isinstance(given, str) or not isinstance(given, Iterable):
            right = "one per index is right; for all alike NonNegative() or NonPositive()"
            raise BadInput("Sign", f"{given!r} came", right)
        given = list(given)
        object.__setattr__(self, "directions", as_directions(given, len(given)))

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """0 on the side that is forbidden."""
        ndim = len(shape)
        if not -ndim <= self.dim < ndim:
            raise BadInput("Sign", f"weights of {ndim} dimensions came", f"dim={self.dim} must be one of theirs")
        if shape[self.dim] != len(self.directions):
            raise BadInput(
                "Sign",
                f"{len(self.directions)} directions came for {shape[self.dim]} indices",
                "one per index is right",
            )
        low, high = _sign_bounds(self.directions, dtype, device)
        view = [1] * ndim
        view[self.dim] = -1
        return low.view(view), high.view(view)


@final
@dataclass(frozen=True)
class LinfBall(Elementwise):
    """Every entry in [-radius, radius]: the ball of the largest absolute entry.

    >>> LinfBall(1.0).project(torch.tensor([-3.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """

    radius: float

    def __post_init__(self) -> None:
        refuse_no_number("LinfBall", radius=self.radius)
        if not self.radius >= 0:
            raise BadInput("LinfBall", f"radius={self.radius} came", "a radius of 0 or more is right")

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """The radius, rounded inwards, on both sides."""
        high = inward(float(self.radius), dtype, up=False)
        return -high, high


def within(w: Tensor, low: Bound, high: Bound) -> Tensor:
    """Clamped to both bounds; -0.0 becomes 0.0 and NaN stays."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return torch.clamp(w, *_tensors((low, high), w)) + 0.0
    if low == 0 and high == math.inf:
        return F.threshold(w, 0.0, 0.0)  # w <= 0 -> 0: -0.0 too, and not NaN
    return w.clamp(low, high) + 0.0  # + 0.0 turns -0.0 into 0.0 and leaves all else alone


def within_(w: Tensor, low: Bound, high: Bound) -> None:
    """As `within`, in place, in as few passes over memory as there can be."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        torch.clamp(w, *_tensors((low, high), w), out=w).add_(0.0)
    elif low == 0 and high == math.inf:
        torch.threshold_(w, 0.0, 0.0)
    elif high == math.inf:
        w.clamp_(min=low).add_(0.0)
    elif low == -math.inf:
        w.clamp_(max=high).add_(0.0)
    else:
        w.clamp_(low, high).add_(0.0)


def within_all_(weights: Sequence[Tensor], constraint: Elementwise) -> None:
    """As `within_` for each, by torch's multi-tensor kernels."""
    by_kind: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for w in weights:
        by_kind.setdefault((w.dtype, w.device), []).append(w)
    for (dtype, device), some in by_kind.items():
        low, high = map(float, constraint.bounds(some[0].shape, dtype, device))
        if low != -math.inf:
            torch._foreach_clamp_min_(some, low)
        if high != math.inf:
            torch._foreach_clamp_max_(some, high)
        torch._foreach_add_(some, 0.0)


def _tensors(bounds: tuple[Bound, Bound], like: Tensor) -> tuple[Tensor, Tensor]:
    low, high = (
        b if isinstance(b, Tensor) else torch.full((), b, dtype=like.dtype, device=like.device) for b in bounds
    )
    return low, high


def _plain(value: float | Entries) -> np.ndarray:
    return value.array if isinstance(value, Entries) else np.asarray(value)


def _fits(bound: torch.Size, shape: torch.Size) -> bool:
    """Whether `bound` broadcasts to exactly `shape`."""
    return len(bound) <= len(shape) and all(b in {1, s} for b, s in zip(reversed(bound), reversed(shape), strict=False))


@functools.lru_cache(maxsize=1024)
@torch.inference_mode(False)  # what is kept must serve autograd too
def _sign_bounds(directions: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    d = torch.tensor(directions, device=device)
    free = torch.full(d.shape, math.inf, dtype=dtype, device=device)
    zero = torch.zeros_like(free)
    return torch.where(d > 0, zero, -free), torch.where(d < 0, zero, free)


@functools.lru_cache(maxsize=256)
def inward(bound: float, dtype: torch.dtype, *, up: bool) -> float:
    """The number of `dtype` nearest to `bound` on its inner side: above a lower bound, below an upper one.

    A plain cast may step outside: 0.3 in bfloat16 is 0.30078125.

    >>> inward(0.3, torch.bfloat16, up=False)
    0.298828125
    """
    cast = torch.tensor(bound, dtype=dtype, device="cpu")  # not the default device, which may be meta
    outside = cast.double() < bound if up else cast.double() > bound
    if bool(outside):
        cast = torch.nextafter(cast, torch.full_like(cast, math.inf if up else -math.inf))
    return float(cast.double())


def by_direction(directions: tuple[int, ...], dim: int = -1) -> Constraint | None:
    """The plainest constraint that gives each index of `dim` its sign; None if all are free.

    >>> by_direction((+1, +1)), by_direction((0, 0)), by_direction((+1, 0))
    (NonNegative(), None, Sign(directions=(1, 0), dim=-1))
    """
    match set(directions):
        case s if s <= {1}:
            return NonNegative()
        case s if s == {-1}:
            return NonPositive()
        case s if s == {0}:
            return None
    return Sign(directions, dim)
