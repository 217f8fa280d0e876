"""Functions of one number: a row says between which two numbers lie the slopes of all secants over the interval.

- where the function is absolutely continuous a secant is an average of the derivative, so the range of the derivative
  encloses it: its values at the ends and at its turning points inside;
- derivatives are written without cancellation, and widened by far more than libm's error: where a positive derivative
  underflows its upper bound does not, so a strictly increasing function is never taken for a constant;
- at a jump a secant may be anything of the jump's sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._facts import INF, Fact, NotReal, Refused
from ..rules._arithmetic import times
from ..rules._unary import SLACK, _ulp
from ._adjoints import adjoint
from ._table import At, Entries, Row, enter, slope

Curve = Callable[[Tensor], Tensor]
Range = Callable[[Fact], tuple[Tensor, Tensor]]
# Added to a derivative that underflows; it also covers what a library does with numbers below 2.2e-308.
FAINT = 1e-300


def widened(y: Tensor, towards: float, size: Tensor | None = None) -> Tensor:
    """A computed derivative, moved outwards; `size` is that of its terms where they may cancel."""
    slack = (y.abs() if size is None else size) * SLACK + FAINT
    return y + slack if towards > 0 else y - slack


def rising(d: Curve, most: float = INF) -> Range:
    """A derivative in [0, most] that rises."""
    return lambda x: (
        widened(d(x.lo), -INF).clamp(0.0, most),
        widened(d(x.hi), INF).clamp(0.0, most),
    )


def falling(d: Curve, most: float = INF, above: float = -INF, includes: bool = True) -> Range:
    """A derivative in [0, most] that falls, of a function on x > above (or x >= above)."""

    def row(x: Fact) -> tuple[Tensor, Tensor]:
        if not bool((x.lo >= above if includes else x.lo > above).all()):
            raise NotReal("its operand may leave the function's domain")
        return widened(d(x.hi), -INF).clamp(0.0, most), widened(d(x.lo), INF).clamp(0.0, most)

    return row


def hump(d: Curve, peak: float) -> Range:
    """A derivative in [0, peak] that rises up to 0, where it is `peak` or less, and falls after it."""

    def row(x: Fact) -> tuple[Tensor, Tensor]:
        ends = d(x.lo), d(x.hi)
        most = torch.where((x.lo <= 0) & (x.hi >= 0), peak, widened(torch.maximum(*ends), INF))
        return widened(torch.minimum(*ends), -INF).clamp(0.0, peak), most.clamp(0.0, peak)

    return row


def swing(
    terms: Callable[[Tensor], tuple[Tensor, Tensor]],
    root: tuple[float, float],
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    reach: float,
) -> Range:
    """The derivative of x * gate(x): from 0 down to a least value, up through a root to a largest one, down to 1.

    Args:
        terms: the derivative as a sum of two terms.
        root: two floats around its only zero.
        low, high: two floats around each turning point, and a bound of the value there.
        reach: beyond -reach the derivative is within FAINT of 0, beyond +reach within SLACK of 1.
    """

    def row(x: Fact) -> tuple[Tensor, Tensor]:
        least, most = [], []
        for end in (x.lo, x.hi):
            first, second = terms(end.clamp(-reach, reach))
            size = first.abs() + second.abs()
            least.append(widened(first + second, -INF, size))
            most.append(widened(first + second, INF, size))
        bottom, top = torch.minimum(*least), torch.maximum(*most)
        bottom = torch.where((x.lo <= low[1]) & (x.hi >= low[0]), low[2], bottom)
        top = torch.where((x.lo <= high[1]) & (x.hi >= high[0]), high[2], top)
        # The sign comes from the place of the root, not from a number that may have cancelled or underflown.
        bottom = torch.where(x.lo >= root[1], bottom.clamp(min=0.0), bottom)
        return bottom, torch.where(x.hi <= root[0], top.clamp(max=0.0), top)

    return row


def pieces(breaks: list[float], ranges: list[Range]) -> Range:
    """A continuous function made of pieces between breaks; `ranges[i]` holds up to breaks[i], the last one above all.

    An interval that only touches a piece has no secant in it.
    """

    def row(x: Fact) -> tuple[Tensor, Tensor]:
        least, most = torch.full_like(x.lo, INF), torch.full_like(x.lo, -INF)
        for start, end, part in zip([-INF, *breaks], [*breaks, INF], ranges, strict=True):
            touched = (x.lo < end) & (x.hi > start)
            cut = Fact(x.lo.clamp(start, end), x.hi.clamp(start, end), x.up, x.dn)
            low, high = part(cut)
            least = torch.where(touched, torch.minimum(least, low), least)
            most = torch.where(touched, torch.maximum(most, high), most)
        fixed = least > most  # a single point: it does not move
        return torch.where(fixed, 0.0, least), torch.where(fixed, 0.0, most)

    return row


def straight(slope: float, most: float | None = None) -> Range:
    """A piece with one slope, or with one between two neighbouring floats."""
    return lambda x: (torch.full_like(x.lo, slope), torch.full_like(x.lo, slope if most is None else most))


def linear_pieces(breaks: list[float], slopes: list[float]) -> Range:
    return pieces(breaks, [straight(s) for s in slopes])


def steps(at: At, x: Fact) -> Entries:
    """A function that only jumps upwards: a secant has any slope from 0, and slope 0 where the result is fixed."""
    moves = at.result.lo < at.result.hi
    return (times(at.out, adjoint(torch.zeros_like(x.lo), torch.where(moves, INF, 0.0))),)


def row(of: Range) -> Row:
    """The row of an operator that takes one operand only."""
    return lambda at, x: through(at, x, of)


def through(at: At, x: Fact, of: Range) -> Entries:
    """The adjoint times the slopes over the box of x; a NaN in a slope becomes an infinity outwards."""
    return (times(at.out, adjoint(*of(x))),)


def sigmoid_slope(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


def _gelu(x: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * torch.erfc(-x / math.sqrt(2)), x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _tanh_gelu(x: Tensor) -> tuple[Tensor, Tensor]:
    a, b = 2 * math.sqrt(2 / math.pi), 0.044715
    v = a * (x + b * x**3)
    return torch.sigmoid(v), x * sigmoid_slope(v) * a * (1 + 3 * b * x * x)


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.sigmoid(x), x * sigmoid_slope(x)


def _mish(x: Tensor) -> tuple[Tensor, Tensor]:
    soft = torch.logaddexp(torch.zeros_like(x), x)
    return torch.tanh(soft), x * torch.sigmoid(x) * torch.cosh(soft) ** -2


SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
BELOW_SIXTH, ABOVE_SIXTH = math.nextafter(1 / 6, 0.0), math.nextafter(1 / 6, 1.0)

# fmt: off
RANGES: dict[str, Range] = {
    # op                         the range of its slopes
    "aten.relu.default":        linear_pieces([0.0], [0.0, 1.0]),
    "aten.relu6.default":       linear_pieces([0.0, 6.0], [0.0, 1.0, 0.0]),
    "aten.abs.default":         linear_pieces([0.0], [-1.0, 1.0]),
    "aten.hardsigmoid.default": pieces([-3.0, 3.0], [straight(0.0), straight(BELOW_SIXTH, ABOVE_SIXTH), straight(0.0)]),
    # x (x + 3) / 6 between -3 and 3: its derivative x / 3 + 1 / 2 rises.
    "aten.hardswish.default":   pieces([-3.0, 3.0], [straight(0.0), lambda x: (
                                    widened(x.lo / 3 + 0.5, -INF, x.lo.abs() + 1),
                                    widened(x.hi / 3 + 0.5, INF, x.hi.abs() + 1)), straight(1.0)]),
    "aten.tanh.default":        hump(lambda x: torch.cosh(x) ** -2, 1.0),
    "aten.sigmoid.default":     hump(sigmoid_slope, 0.25),
    "aten.erf.default":         hump(lambda x: torch.exp(-x * x) * (2 / math.sqrt(math.pi)), 1.1283791670955127),
    "aten.atan.default":        hump(lambda x: 1 / (1 + x * x), 1.0),
    "aten.asinh.default":       hump(lambda x: 1 / torch.hypot(torch.ones_like(x), x), 1.0),
    "aten.log_sigmoid.default": falling(lambda x: torch.sigmoid(-x), 1.0),
    "aten.exp.default":         rising(torch.exp),
    "aten.exp2.default":        rising(lambda x: torch.exp2(x) * math.log(2)),
    "aten.expm1.default":       rising(torch.exp),
    "aten.selu.default":        pieces([0.0], [rising(lambda x: SCALE * ALPHA * torch.exp(x)), straight(SCALE)]),
    "aten.sqrt.default":        falling(lambda x: 0.5 / torch.sqrt(x), above=0.0),
    "aten.log.default":         falling(lambda x: 1 / x, above=0.0, includes=False),
    "aten.log2.default":        falling(lambda x: 1 / x / math.log(2), above=0.0, includes=False),
    "aten.log10.default":       falling(lambda x: 1 / x / math.log(10), above=0.0, includes=False),
    "aten.log1p.default":       falling(lambda x: 1 / (1 + x), above=-1.0, includes=False),
    "aten.silu.default":        swing(_silu, (-1.2784646, -1.2784645), (-2.3993573, -2.3993572, -0.09983932013),
                                      (2.3993572, 2.3993573, 1.09983932013), 750.0),
    "aten.mish.default":        swing(_mish, (-1.1924313, -1.1924312), (-2.2563764, -2.2563763, -0.11252612239),
                                      (1.4905711, 1.4905712, 1.08849816126), 750.0),
}
GELU = {
    "none": swing(_gelu, (-0.7517916, -0.7517915), (-1.4142136, -1.4142135, -0.12890414519),
                  (1.4142135, 1.4142136, 1.12890414519), 40.0),
    "tanh": swing(_tanh_gelu, (-0.7524615, -0.7524614), (-1.4185041, -1.4185040, -0.12899306866),
                  (1.4185040, 1.4185041, 1.12899306866), 40.0),
}
# fmt: on
for _name, _range in RANGES.items():
    enter(_name, row(_range))
for _name in ("floor", "ceil", "trunc", "round", "sign"):
    enter(f"aten.{_name}.default", steps)


@slope("aten.gelu.default")
def gelu(at: At, x: Fact, *, approximate: str = "none") -> Entries:
    return through(at, x, GELU[approximate])


@slope("aten.hardtanh.default")
def hardtanh(at: At, x: Fact, min_val: float = -1, max_val: float = 1) -> Entries:
    return clamp(at, x, min_val, max_val)


@slope("aten.clamp.default")
def clamp(at: At, x: Fact, low: float | None = None, high: float | None = None) -> Entries:
    low, high = -INF if low is None else float(low), INF if high is None else float(high)
    if not low < high:  # bounds that cross: the upper one is the result; NaN: declined
        if low >= high:
            return through(at, x, straight(0.0))
        raise Refused("one of its bounds is NaN")
    return through(at, x, linear_pieces([low, high], [0.0, 1.0, 0.0]))


@slope("aten.clamp_min.default")
def clamp_min(at: At, x: Fact, low: float) -> Entries:
    return clamp(at, x, low, None)


@slope("aten.clamp_max.default")
def clamp_max(at: At, x: Fact, high: float) -> Entries:
    return clamp(at, x, None, high)


@slope("aten.threshold.default")
def threshold(at: At, x: Fact, at_value: float, value: float) -> Entries:
    # The parts left and right of the jump move by slopes 0 and 1; the jump itself is by at_value - value.
    if not (math.isfinite(at_value) and math.isfinite(value) and value <= at_value):
        raise Refused("its value is above its threshold, so it falls there")
    low, high = linear_pieces([float(at_value)], [0.0, 1.0])(x)
    jumps = (x.lo <= at_value) & (x.hi > at_value) & (value < at_value)
    return (times(at.out, adjoint(low, torch.where(jumps, INF, high))),)


@slope("aten.leaky_relu.default")
def leaky_relu(at: At, x: Fact, slope: float = 0.01) -> Entries:
    if not math.isfinite(slope):
        raise Refused("its slope is infinite or NaN")
    return through(at, x, linear_pieces([0.0], [float(slope), 1.0]))


@slope("aten.softshrink.default")
def softshrink(at: At, x: Fact, lambd: float = 0.5) -> Entries:
    if not 0 <= lambd < INF:
        raise Refused("its lambda is negative, infinite or NaN")
    return through(at, x, linear_pieces([-float(lambd), float(lambd)], [1.0, 0.0, 1.0]))


@slope("aten.elu.default")
def elu(at: At, x: Fact, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Entries:
    if not all(0 < c < 1e6 for c in (alpha, scale, input_scale)):
        raise Refused("one of alpha, scale and input_scale is not positive")
    steepest = float(scale * alpha * input_scale)
    # A product of 1.0 may be rounded: 10 times 0.1 is more than 1.
    most = 1.0 if alpha == scale == input_scale == 1 else steepest * (1 + SLACK)
    below = rising(lambda v: steepest * torch.exp(v * input_scale), most)
    return through(at, x, pieces([0.0], [below, straight(float(scale))]))


@slope("aten.celu.default")
def celu(at: At, x: Fact, alpha: float = 1.0) -> Entries:
    # alpha (exp(x / alpha) - 1) below 0: its derivative exp(x / alpha) is at most 1.
    if not 1e-6 < alpha < 1e6:
        raise Refused("its alpha is not positive")
    return through(at, x, pieces([0.0], [rising(lambda v: torch.exp(v / alpha), 1.0), straight(1.0)]))


@slope("aten.softplus.default")
def softplus(at: At, x: Fact, beta: float = 1, threshold: float = 20) -> Entries:
    """sigmoid(beta x), and 1 above beta x = threshold, where it drops by log1p(exp(-t)) / beta."""
    if not (1e-6 < beta < 1e6 and 0 <= threshold < 1e6):
        raise Refused("its beta or its threshold is out of the range that has a rule")
    low, high = rising(lambda v: torch.sigmoid(v * beta), 1.0)(x)
    below, above = x.lo * beta <= threshold * (1 + SLACK), x.hi * beta >= threshold * (1 - SLACK)
    low, high = torch.where(below, low, 1.0), torch.where(above, 1.0, high)
    # The same sentence as the rule for values assumes, on the same condition: without it a secant may fall steeply.
    drop = math.log1p(math.exp(-threshold)) / beta
    jumps = below & above & (not drop < 0.5 * _ulp(x.dtype, threshold / beta))
    return (times(at.out, adjoint(torch.where(jumps, -INF, low), high)),)


@slope("aten.bucketize.Tensor")
def bucketize(at: At, x: Fact, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Entries:
    if isinstance(boundaries, Fact):
        raise Refused("its boundaries depend on the inputs")
    return steps(at, x)
