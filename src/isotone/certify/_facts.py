"""What is known of a tensor while the prover walks: where its values lie, and which way they may move.

- a `Fact` encloses the real values and says, element by element, what may rise and what may fall between the two
  members of an ordered pair of inputs;
- an `Unknown` is a tensor of which nothing is claimed, with the node that lost it;
- nothing here knows an operation.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

INF = float("inf")
MOST = sys.float_info.max


class Refused(Exception):
    """A rule declines: if something moves nothing is known; if nothing moves the result is some fixed finite value."""


class Finer(Exception):
    """A rough walk is not enough: the signs of coefficients alone do not settle it."""


class NotReal(Exception):
    """The operation may have no real value here (log of a negative number, division by zero, an integer that wraps)."""


@dataclass(frozen=True, eq=False)
class Fact:
    """Element by element: the value lies in [lo, hi]; without `up` it cannot rise, without `dn` it cannot fall.

    Args:
        lo, hi: float64; infinite where nothing is known. Values are finite reals, also where a bound is infinite.
        up, dn: bool. Both false: the element is the same in both members of a pair, though its value may be unknown.
        dtype: what the model computes it in.
        rough: nobody has asked for its bounds, so sums may leave them open (see `_walk.walk`).

    Two facts that are the same object are facts of the same value; rules use that for x * x and x - x.
    """

    lo: Tensor
    hi: Tensor
    up: Tensor
    dn: Tensor
    dtype: torch.dtype = torch.float32
    rough: bool = False

    @property
    def shape(self) -> torch.Size:
        return self.lo.shape

    @property
    def moves(self) -> bool:
        """Whether any element may differ between the members of a pair."""
        return bool(self.up.any() or self.dn.any())


@dataclass(frozen=True, eq=False)
class Unknown:
    """Nothing is claimed of this value. `node` is where knowledge was lost."""

    node: Any
    reason: str


def together(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, broadcast to one shape."""
    return tuple(torch.broadcast_tensors(*tensors))  # type: ignore[no-untyped-call]


def fact(lo: Tensor, hi: Tensor, up: Tensor, dn: Tensor, dtype: torch.dtype = torch.float32) -> Fact:
    """A fact of one shape, with bounds made honest: NaN becomes an infinity outwards, no lower bound is +inf."""
    lo = lo.nan_to_num(nan=-INF, posinf=MOST, neginf=-INF)
    hi = hi.nan_to_num(nan=INF, posinf=INF, neginf=-MOST)
    lo, hi, up, dn = together(lo, hi, up, dn)
    if not bool((lo <= hi).all()):
        raise Refused("the prover's own bounds crossed; please report this as a bug of isotone")
    return Fact(lo, hi, up, dn, dtype)


def constant(value: Tensor | float | bool) -> Fact:
    """A value that is the same for all inputs. It must be finite."""
    if not isinstance(value, Tensor):
        value = torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    if value.is_complex() or value.is_quantized or value.layout is not torch.strided:
        raise Refused(f"a constant of dtype {value.dtype} and layout {value.layout} is beyond the rules")
    point = value.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(point).all()):
        raise Refused("a constant here is infinite or NaN")
    # 2**53 + 1 has become 2**53 here already.
    if not value.is_floating_point() and bool((point.abs() >= 2.0**53).any()):
        raise Refused("an integer constant here is too large for the prover's float64")
    still = torch.zeros_like(point, dtype=torch.bool)
    return Fact(point, point, still, still, value.dtype)


def as_fact(value: Any) -> Fact:
    """The fact of an operand: itself, or of a constant tensor or number."""
    if isinstance(value, Fact):
        return value
    if isinstance(value, Tensor | int | float):
        return constant(value)
    raise Refused(f"an operand of type {type(value).__name__} is beyond the rules")


def anything(shape: tuple[int, ...], dtype: torch.dtype) -> Fact:
    """Some finite value, the same in both members of a pair."""
    still = torch.zeros(shape, dtype=torch.bool)
    low, high = (0.0, 1.0) if dtype == torch.bool else (-INF, INF)
    lo, hi = (torch.full(shape, b, dtype=torch.float64) for b in (low, high))
    return Fact(lo, hi, still, still, dtype)
