"""Sums, differences, products, quotients and powers, of constants and of moving operands."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _rounding as rounding
from .._facts import INF, Fact, NotReal, Refused, as_fact, constant, fact
from ._table import Result, Site, rule


def plus(a: Fact, b: Fact) -> Fact:
    """a + b."""
    return fact(rounding.add(a.lo, b.lo, -INF), rounding.add(a.hi, b.hi, INF), a.up | b.up, a.dn | b.dn)


def minus(a: Fact) -> Fact:
    """-a: the order turns round."""
    return fact(-a.hi, -a.lo, a.dn, a.up)


def times(a: Fact, b: Fact) -> Fact:
    """a * b; of a value with itself, its square."""
    if a is b:
        return square(a)
    # a'b' - ab = b'(a' - a) + a(b' - b), and b' lies in [b], a in [a]: each term has the sign of its factors.
    up = (a.up & (b.hi > 0)) | (a.dn & (b.lo < 0)) | (b.up & (a.hi > 0)) | (b.dn & (a.lo < 0))
    dn = (a.dn & (b.hi > 0)) | (a.up & (b.lo < 0)) | (b.dn & (a.hi > 0)) | (b.up & (a.lo < 0))
    return fact(*rounding.hull(rounding.multiply, a, b), up, dn)


def square(a: Fact) -> Fact:
    """a * a: falls left of 0, rises right of it."""
    low, high = _magnitude(a)
    return fact(
        rounding.multiply(low, low, -INF),
        rounding.multiply(high, high, INF),
        (a.up & (a.hi > 0)) | (a.dn & (a.lo < 0)),
        (a.up & (a.lo < 0)) | (a.dn & (a.hi > 0)),
    )


def _magnitude(a: Fact) -> tuple[Tensor, Tensor]:
    """Bounds of |a|."""
    high = torch.maximum(a.lo.abs(), a.hi.abs())
    return torch.where((a.lo <= 0) & (a.hi >= 0), 0.0, torch.minimum(a.lo.abs(), a.hi.abs())), high


def over(a: Fact, b: Fact) -> Fact:
    """a / b."""
    if not bool(((b.lo > 0) | (b.hi < 0)).all()):
        raise NotReal("it may divide by zero; a domain that keeps the divisor away from 0 would help")
    # a'/b' - a/b = (a' - a)/b' - a(b' - b)/(b b'), and b b' > 0 because b keeps its sign.
    up = (a.up & (b.hi > 0)) | (a.dn & (b.lo < 0)) | (b.dn & (a.hi > 0)) | (b.up & (a.lo < 0))
    dn = (a.dn & (b.hi > 0)) | (a.up & (b.lo < 0)) | (b.up & (a.hi > 0)) | (b.dn & (a.lo < 0))
    return fact(*rounding.hull(rounding.divide, a, b), up, dn)


def scaled(a: Fact, by: float) -> Fact:
    """a times a number, nothing done for 1."""
    return a if by == 1 else times(a, constant(float(by)))


@rule("aten.add.Tensor", "aten.add.Scalar")
def add(site: Site, a: Any, b: Any, alpha: float = 1) -> Result:
    return plus(as_fact(a), scaled(as_fact(b), alpha))


@rule("aten.sub.Tensor", "aten.sub.Scalar")
def sub(site: Site, a: Any, b: Any, alpha: float = 1) -> Result:
    if a is b and alpha == 1:
        return constant(torch.zeros_like(as_fact(a).lo))
    return plus(as_fact(a), minus(scaled(as_fact(b), alpha)))


@rule("aten.rsub.Scalar", "aten.rsub.Tensor")
def rsub(site: Site, a: Any, b: Any, alpha: float = 1) -> Result:
    return sub(site, b, a, alpha)


@rule("aten.neg.default")
def neg(site: Site, a: Fact) -> Result:
    return minus(a)


@rule("aten.mul.Tensor", "aten.mul.Scalar")
def mul(site: Site, a: Any, b: Any) -> Result:
    return times(a if isinstance(a, Fact) else as_fact(a), b if isinstance(b, Fact) else as_fact(b))


@rule("aten.div.Tensor", "aten.div.Scalar")
def div(site: Site, a: Any, b: Any) -> Result:
    return over(as_fact(a), as_fact(b))


@rule("aten.reciprocal.default")
def reciprocal(site: Site, a: Fact) -> Result:
    return over(constant(torch.ones_like(a.lo)), a)


@rule("aten.square.default")
def square_of(site: Site, a: Fact) -> Result:
    return square(a)


@rule("aten.addcmul.default")
def addcmul(site: Site, a: Any, b: Any, c: Any, *, value: float = 1) -> Result:
    return plus(as_fact(a), scaled(mul(site, b, c), value))  # type: ignore[arg-type]


@rule("aten.pow.Tensor_Scalar")
def power(site: Site, x: Fact, exponent: float) -> Result:
    """x ** exponent for a whole exponent, or for any exponent and x >= 0."""
    if not abs(exponent) < 1e6:
        raise Refused("its exponent is too large for the prover")
    if exponent == 0:
        return constant(torch.ones_like(x.lo))
    if exponent < 0:
        return over(constant(torch.ones_like(x.lo)), power(site, x, -exponent))  # type: ignore[arg-type]
    whole = float(exponent).is_integer()
    if not whole and not bool((x.lo >= 0).all()):
        raise NotReal("it may take a fractional power of a negative number; a domain from 0 upwards would help")
    if exponent == 1:
        return fact(x.lo, x.hi, x.up, x.dn)
    if exponent == 2:
        return square(x)
    if whole and int(exponent) % 2 == 0:
        low, high = _magnitude(x)
        up, dn = (x.up & (x.hi > 0)) | (x.dn & (x.lo < 0)), (x.up & (x.lo < 0)) | (x.dn & (x.hi > 0))
    else:
        low, high, up, dn = x.lo, x.hi, x.up, x.dn
    return fact(_outward(low, exponent, -INF), _outward(high, exponent, INF), up, dn)


def _outward(x: Tensor, exponent: float, towards: float) -> Tensor:
    # libm's pow is good to an ulp or two; a result of 0 from x != 0 is underflow, so it goes to the smallest number.
    y = torch.pow(x, float(exponent))
    slack = y.abs() * 2.0**-40 + rounding.TINY
    out = torch.where(x == 0, 0.0, y + slack if towards > 0 else y - slack)
    return torch.where(x > 0, out.clamp(min=0.0), torch.where(x < 0, _not_crossing(out, y), out))


def _not_crossing(out: Tensor, y: Tensor) -> Tensor:
    """Only odd powers arrive here with x < 0: their results are not positive."""
    return torch.where(y <= 0, out.clamp(max=0.0), out)
