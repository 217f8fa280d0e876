"""Sets that look at one entry at a time: signs and bounds.

For them the clamp is the nearest point not only in the Euclidean metric but in every diagonal one,
argmin over w in [l, h] of sum d_i (w_i - v_i)^2 = clamp(v_i, l, h) whatever d > 0: so "Adam, then clamp" is an exact
proximal step in Adam's own metric, and its fixed points are the constrained optima.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..directions import as_directions
from ..errors import BadInput
from ._base import Constraint


@final
@dataclass(frozen=True)
class NonNegative(Constraint):
    """Every entry at least 0: the weights of an increasing layer. Keras calls it `NonNeg`.

    >>> NonNegative().project(torch.tensor([-1.0, 0.5]))
    tensor([0.0000, 0.5000])
    """

    def project(self, w: Tensor) -> Tensor:
        """Negative entries become 0."""
        return w.clamp(min=0) + 0.0  # + 0.0 turns -0.0 into 0.0 and leaves all else alone


@final
@dataclass(frozen=True)
class NonPositive(Constraint):
    """Every entry at most 0: the weights of a decreasing layer.

    >>> NonPositive().project(torch.tensor([-1.0, 0.5]))
    tensor([-1.,  0.])
    """

    def project(self, w: Tensor) -> Tensor:
        """Positive entries become 0."""
        return w.clamp(max=0) + 0.0


@final
@dataclass(frozen=True)
class Between(Constraint):
    """Every entry in [low, high]; the stored number satisfies the bound in its own dtype.

    Raises:
        BadInput: `low` is above `high`, or one of them is NaN.

    >>> Between(0.0, 0.3).project(torch.tensor([-1.0, 9.0], dtype=torch.bfloat16)).double() <= 0.3
    tensor([True, True])
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise BadInput("Between", f"low={self.low} and high={self.high} came", "low must not be above high")

    def project(self, w: Tensor) -> Tensor:
        """Entries outside move to the nearer bound."""
        low, high = inward(self.low, w.dtype, up=True), inward(self.high, w.dtype, up=False)
        if not low <= high:
            raise BadInput(
                repr(self),
                f"{w.dtype} has no number between its bounds",
                "wider bounds or a finer dtype would be right",
            )
        return w.clamp(low, high) + 0.0


@final
@dataclass(frozen=True)
class Sign(Constraint):
    """A sign for each index of one dimension: +1 at least 0, -1 at most 0, 0 free.

    Args:
        directions: one per index of `dim`.
        dim: which dimension they are about; -1, the inputs of an `nn.Linear`, or 0, the names of an embedding.

    >>> Sign((+1, -1, 0)).project(torch.tensor([[-1.0, 2.0, -3.0]]))
    tensor([[ 0.,  0., -3.]])
    """

    directions: tuple[int, ...]
    dim: int = -1

    def __post_init__(self) -> None:
        # A list or an array is welcome; only a tuple can be hashed.
        object.__setattr__(self, "directions", as_directions(self.directions, len(self.directions)))

    def project(self, w: Tensor) -> Tensor:
        """Entries of the wrong sign become 0."""
        if not -w.ndim <= self.dim < w.ndim:
            raise BadInput("Sign", f"weights of {w.ndim} dimensions came", f"dim={self.dim} must be one of theirs")
        if w.shape[self.dim] != len(self.directions):
            raise BadInput(
                "Sign",
                f"{len(self.directions)} directions came for {w.shape[self.dim]} indices",
                "one per index is right",
            )
        low, high = _sign_bounds(self.directions, w.dtype, w.device)
        shape = [1] * w.ndim
        shape[self.dim] = -1
        return torch.minimum(torch.maximum(w, low.view(shape)), high.view(shape)) + 0.0


@functools.lru_cache(maxsize=64)
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
