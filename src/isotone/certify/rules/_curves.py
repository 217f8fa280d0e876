"""More functions of one number: waves, hyperbolic and inverse functions, shrinkage, powers of a constant."""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .. import _rounding as rounding
from .._facts import INF, Fact, NotReal, Refused, as_fact, constant, fact
from ._arithmetic import minus, over, plus, power, square, times
from ._table import Result, Rule, Site, enter, rule
from ._unary import ROWS, SLACK, Curve, increasing, leaky_relu, on, step, widened


def falling(f: Curve, low: float = -INF, high: float = INF) -> Rule:
    """A function that never rises and is nowhere 0 exactly."""

    def row(site: Site, x: Fact) -> Result:
        lo, hi = widened(x.hi, f(x.hi), -INF, None), widened(x.lo, f(x.lo), INF, None)
        return fact(lo.clamp(low, high), hi.clamp(low, high), x.dn, x.up)

    return row


def wave(f: Curve, crest: float) -> Rule:
    """sin or cos: rises in the half period before each crest + 2 k pi, falls in the one after it."""

    def row(site: Site, x: Fact) -> Result:
        # Half periods are counted from the crest: number n spans crest + [n, n + 1] pi; it falls for even n. Near 1e6
        # the count is off by less than 1e-9; within that of a turn, both halves are taken to be reached.
        bounded = (x.lo > -1e6) & (x.hi < 1e6)
        lo, hi = (torch.where(bounded, v, 0.0) for v in (x.lo, x.hi))
        first, last = ((lo - crest) / math.pi - 1e-9).floor(), ((hi - crest) / math.pi + 1e-9).floor()
        within = bounded & (first == last)
        falls_here = first.remainder(2) == 0
        rises, falls = ~within | ~falls_here, ~within | falls_here
        # A turn with number n in (first, last] may be reached: it is a crest for even n.
        turns = last - first
        crest_in = (turns >= 2) | ((turns == 1) & (last.remainder(2) == 0))
        trough_in = (turns >= 2) | ((turns == 1) & (last.remainder(2) == 1))
        ends = torch.stack([f(lo), f(hi)])
        low, high = ends.amin(0) - SLACK, ends.amax(0) + SLACK
        low = torch.where(trough_in | ~bounded, -1.0, low.clamp(-1.0, 1.0))
        high = torch.where(crest_in | ~bounded, 1.0, high.clamp(-1.0, 1.0))
        return fact(low, high, (x.up & rises) | (x.dn & falls), (x.up & falls) | (x.dn & rises))

    return row


def within(rule: Rule, low: float, high: float, what: str) -> Rule:
    """The same row where the function is real: low <= x <= high."""

    def row(site: Site, x: Fact) -> Result:
        if not bool(((x.lo >= low) & (x.hi <= high)).all()):
            raise NotReal(f"it may {what}; a domain that excludes this would help")
        return rule(site, x)

    return row


def _cosh(site: Site, x: Fact) -> Result:
    # cosh(x) = cosh(|x|), which rises with |x|.
    return increasing(torch.cosh, 1.0)(site, ROWS["aten.abs.default"](site, x))


def _rsqrt(site: Site, x: Fact) -> Result:
    root: Any = on(ROWS["aten.sqrt.default"], 0.0, False, "reciprocal root of 0 or less")(site, x)
    return over(constant(torch.ones_like(x.lo)), root)


# fmt: off
MORE: dict[str, Rule] = {
    # op                          its shape
    "aten.sinh.default":      increasing(torch.sinh, root=0.0),
    "aten.asinh.default":     increasing(torch.asinh, root=0.0),
    "aten.cosh.default":      _cosh,
    "aten.rsqrt.default":     _rsqrt,
    "aten.erfc.default":      falling(torch.erfc, 0.0, 2.0),
    "aten.sin.default":       wave(torch.sin, math.pi / 2),
    "aten.cos.default":       wave(torch.cos, 0.0),
    "aten.tan.default":       within(increasing(torch.tan, root=0.0), -1.57, 1.57, "pass a pole of the tangent"),
    "aten.asin.default":      within(increasing(torch.asin, -1.5708, 1.5708, root=0.0), -1.0, 1.0, "leave [-1, 1]"),
    "aten.acos.default":      within(falling(torch.acos, 0.0, 3.1416), -1.0, 1.0, "leave [-1, 1]"),
    "aten.atanh.default":     within(increasing(torch.atanh, root=0.0), -1.0 + 1e-12, 1.0 - 1e-12, "reach 1 or -1"),
    "aten.acosh.default":     on(increasing(torch.acosh, 0.0, root=1.0), 1.0, True, "inverse cosh of less than 1"),
}
# fmt: on
for _name, _row in MORE.items():
    enter(_name, _row)


@rule("aten.softshrink.default")
def softshrink(site: Site, x: Fact, lambd: float = 0.5) -> Result:
    """x - lambda above lambda, x + lambda below -lambda, else 0: continuous, with slopes 1 and 0."""
    if not 0 <= lambd < INF:
        raise Refused("its lambda is negative, infinite or NaN")
    width = torch.tensor(float(lambd), dtype=torch.float64)

    def bound(v: Tensor, towards: float) -> Tensor:
        right, left = rounding.add(v, -width, towards), rounding.add(v, width, towards)
        return torch.where(v > width, right.clamp(min=0.0), torch.where(v < -width, left.clamp(max=0.0), 0.0))

    moves = (x.hi > width) | (x.lo < -width)
    return fact(bound(x.lo, -INF), bound(x.hi, INF), x.up & moves, x.dn & moves)


@rule("aten.hardshrink.default")
def hardshrink(site: Site, x: Fact, lambd: float = 0.5) -> Result:
    # 0 where |x| <= lambda, else x: both of its jumps go up.
    if not 0 <= lambd < INF:
        raise Refused("its lambda is negative, infinite or NaN")
    return step(lambda v: F.hardshrink(v, float(lambd)))(site, x)


@rule("aten.rrelu.default")
def rrelu(
    site: Site, x: Fact, lower: float = 0.125, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Result:
    if training:
        raise Refused("its slope is drawn at random (train mode)")
    return leaky_relu(site, x, (lower + upper) / 2)


@rule("aten.pow.Scalar")
def power_of(site: Site, base: float, exponent: Fact) -> Result:
    """base ** x = exp(x log base): rises for a base above 1, falls for one below."""
    if not 1e-300 < base < 1e300:
        raise Refused("its base is not positive")
    if isinstance(base, int) and not exponent.dtype.is_floating_point:
        raise Refused("torch rounds whole numbers to a power below 0 down to 0")
    if base == 1:
        return constant(torch.ones_like(exponent.lo))
    return raised(constant(torch.full_like(exponent.lo, float(base))), exponent)


def raised(base: Fact, exponent: Fact) -> Fact:
    """base ** exponent for base > 0, as exp(exponent * log base)."""
    log: Any = ROWS["aten.log.default"](Site(), base)
    out: Any = ROWS["aten.exp.default"](Site(), times(exponent, log))
    return out  # type: ignore[no-any-return]


@rule("aten.pow.Tensor_Tensor")
def power_tensor(site: Site, x: Any, exponent: Any) -> Result:
    base, raise_by = as_fact(x), as_fact(exponent)
    if not base.dtype.is_floating_point and not raise_by.dtype.is_floating_point and bool((raise_by.lo < 0).any()):
        raise Refused("torch rounds whole numbers to a power below 0 down to 0")
    if bool((base.lo > 0).all()):
        return raised(base, raise_by)
    kinds = torch.unique(raise_by.lo)
    if not torch.equal(raise_by.lo, raise_by.hi) or len(kinds) > 16:
        raise Refused("its exponent is not constant, and its base may be 0 or less")
    lo, hi, up, dn, by = torch.broadcast_tensors(base.lo, base.hi, base.up, base.dn, raise_by.lo)  # type: ignore[no-untyped-call]
    outs = [torch.empty_like(v) for v in (lo, hi, up, dn)]
    for kind in kinds.tolist():
        here = by == kind
        part: Any = power(site, fact(lo[here], hi[here], up[here], dn[here]), kind)
        for whole, piece in zip(outs, (part.lo, part.hi, part.up, part.dn), strict=True):
            whole[here] = piece
    return fact(outs[0], outs[1], outs[2], outs[3])


@rule("aten.hypot.default")
def hypot(site: Site, a: Any, b: Any) -> Result:
    return ROWS["aten.sqrt.default"](site, plus(square(as_fact(a)), square(as_fact(b))))


def _rest(x: Fact, divisor: Any, whole: Curve) -> Fact:
    """x - n b with n = whole(x / b): it rises where n is one number, and is a sawtooth elsewhere."""
    b = as_fact(divisor)
    if not torch.equal(b.lo, b.hi) or not bool((b.lo != 0).all()):
        raise Refused("its divisor is 0 or not constant")
    quotient = over(x, b)
    n, last = whole(quotient.lo), whole(quotient.hi)
    one = (n == last) & n.isfinite() & (n.abs() < 2.0**52)
    exact = plus(x, minus(times(constant(torch.where(one, n, 0.0)), b)))
    size = b.lo.abs().expand(exact.shape)
    if whole is torch.floor:
        low, high = torch.where(b.lo > 0, 0.0, -size), torch.where(b.lo > 0, size, 0.0)
    else:  # the rest takes the sign of x
        low, high = torch.where(x.lo >= 0, 0.0, -size), torch.where(x.hi <= 0, 0.0, size)
    moves = exact.up | exact.dn
    return fact(
        torch.where(one, torch.maximum(exact.lo, low), low),
        torch.where(one, torch.minimum(exact.hi, high), high),
        torch.where(one, exact.up, moves),
        torch.where(one, exact.dn, moves),
    )


@rule("aten.remainder.Scalar", "aten.remainder.Tensor")
def remainder(site: Site, x: Any, divisor: Any) -> Result:
    return _rest(as_fact(x), divisor, torch.floor)


@rule("aten.fmod.Scalar", "aten.fmod.Tensor")
def fmod(site: Site, x: Any, divisor: Any) -> Result:
    return _rest(as_fact(x), divisor, torch.trunc)


WHOLE: dict[str | None, Curve] = {"floor": torch.floor, "trunc": torch.trunc}


@rule("aten.div.Tensor_mode", "aten.div.Scalar_mode", discrete=True)
def divide_whole(site: Site, a: Any, b: Any, *, rounding_mode: str | None) -> Result:
    quotient = over(as_fact(a), as_fact(b))
    return quotient if rounding_mode is None else step(WHOLE[rounding_mode])(site, quotient)


@rule("aten.floor_divide.default", "aten.floor_divide.Scalar", discrete=True)
def floor_divide(site: Site, a: Any, b: Any) -> Result:
    return divide_whole(site, a, b, rounding_mode="floor")
