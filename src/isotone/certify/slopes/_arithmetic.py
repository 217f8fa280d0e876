"""Slopes of sums, differences, products, quotients and powers.

A product of two operands that are one and the same value needs no row of its own: both moves are added.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._facts import INF, Fact, NotReal, Refused, as_fact, constant
from ..rules._arithmetic import _outward, minus, over, power, scaled, times
from ..rules._table import Site
from ._adjoints import adjoint, nothing, still, unbroadcast
from ._table import At, Entries, slope


def to(a: Fact, operand: Any) -> Fact | None:
    """The adjoint in the shape of an operand that may move."""
    return unbroadcast(a, tuple(operand.shape)) if isinstance(operand, Fact) else None


@slope("aten.add.Tensor", "aten.add.Scalar")
def add(at: At, a: Any, b: Any, alpha: float = 1) -> Entries:
    return to(at.out, a), to(scaled(at.out, alpha), b)


@slope("aten.sub.Tensor", "aten.sub.Scalar")
def sub(at: At, a: Any, b: Any, alpha: float = 1) -> Entries:
    return to(at.out, a), to(minus(scaled(at.out, alpha)), b)


@slope("aten.rsub.Scalar", "aten.rsub.Tensor")
def rsub(at: At, a: Any, b: Any, alpha: float = 1) -> Entries:
    return to(minus(scaled(at.out, alpha)), a), to(at.out, b)


@slope("aten.neg.default")
def neg(at: At, a: Fact) -> Entries:
    return (minus(at.out),)


def factors(out: Fact, a: Any, b: Any) -> Entries:
    """a'b' - ab = b'(a' - a) + a(b' - b), with b' in [b] and a in [a]."""
    return to(times(out, still(as_fact(b))), a), to(times(out, still(as_fact(a))), b)


@slope("aten.mul.Tensor", "aten.mul.Scalar")
def mul(at: At, a: Any, b: Any) -> Entries:
    return factors(at.out, a, b)


@slope("aten.addcmul.default")
def addcmul(at: At, a: Any, b: Any, c: Any, *, value: float = 1) -> Entries:
    return to(at.out, a), *factors(scaled(at.out, value), b, c)


@slope("aten.square.default")
def square(at: At, a: Fact) -> Entries:
    # a'a' - aa = (a' + a)(a' - a), and a' + a lies in 2 [a].
    return (times(at.out, scaled(still(a), 2)),)


@slope("aten.div.Tensor", "aten.div.Scalar")
def div(at: At, a: Any, b: Any) -> Entries:
    # a'/b' - a/b = (a' - a)/b' - (a/b)/b' (b' - b); a/b is bounded afresh, because the fact of the result may be about
    # pairs of operands that belong together. `over` refuses a divisor that may be 0.
    top, bottom = still(as_fact(a)), still(as_fact(b))
    first = over(at.out, bottom)
    second = times(at.out, minus(over(over(top, bottom), bottom))) if isinstance(b, Fact) else None
    return to(first, a), None if second is None else to(second, b)


@slope("aten.reciprocal.default")
def reciprocal(at: At, a: Fact) -> Entries:
    one = constant(torch.ones_like(a.lo))
    return (times(at.out, minus(over(over(one, still(a)), still(a)))),)


@slope("aten.pow.Tensor_Scalar")
def pow_number(at: At, x: Fact, exponent: float) -> Entries:
    """The derivative p x^(p-1) over the box: p-th powers are absolutely continuous where the rule for values holds."""
    if not abs(exponent) < 1e6:
        raise Refused("its exponent is too large for the prover")
    if exponent == 0:
        return (nothing(tuple(x.shape)),)
    whole = float(exponent).is_integer()
    if not whole and not bool((x.lo >= 0).all()):
        raise NotReal("it may take a fractional power of a negative number")
    if exponent < 0 and not bool(((x.lo > 0) | (x.hi < 0)).all()):
        raise NotReal("it may divide by zero")
    derived = _steep(x, exponent) if 0 < exponent < 1 else power(Site(), still(x), exponent - 1)
    assert isinstance(derived, Fact)
    return (times(at.out, scaled(still(derived), float(exponent))),)


def _steep(x: Fact, exponent: float) -> Fact:
    # x^(p-1) with 0 < p < 1 and x >= 0: it falls, from infinity at 0, to 0 at infinity.
    low = _falling(x.hi, exponent - 1, -INF).clamp(min=0.0)
    return adjoint(torch.where(x.hi == INF, 0.0, low), torch.where(x.lo == 0, INF, _falling(x.lo, exponent - 1, INF)))


def _falling(x: Tensor, exponent: float, towards: float) -> Tensor:
    return torch.where(x == 0, INF, _outward(torch.where(x == 0, 1.0, x), exponent, towards))
