"""Functions of one number: a row says where the function rises and where it falls.

- *increasing* rows pass the bits on; *valley* rows fall left of one turning point and rise right of it, and the point
  is given as two floats that enclose it;
- values come from float64 at the ends of the interval, widened by far more than libm's error, and a result that
  underflowed to 0 is widened too: a strictly increasing function is never taken for a constant.
"""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .._facts import INF, Fact, NotReal, Refused, constant, fact
from .._rounding import TINY
from ._table import Result, Rule, Site, enter, rule

Curve = Callable[[Tensor], Tensor]
SLACK = 2.0**-40


def widened(x: Tensor, y: Tensor, towards: float, root: float | None) -> Tensor:
    """y = f(x), moved outwards; exactly 0 only at the root of f."""
    slack = y.abs() * SLACK + TINY
    out = y + slack if towards > 0 else y - slack
    return out if root is None else torch.where(x == root, 0.0, out)


def increasing(f: Curve, low: float = -INF, high: float = INF, root: float | None = None, exact: bool = False) -> Rule:
    """A function that never falls, with values in [low, high] and its only zero at `root` (None: no zero at all)."""

    def row(site: Site, x: Fact) -> Result:
        lo, hi = f(x.lo), f(x.hi)
        if not exact:
            lo, hi = widened(x.lo, lo, -INF, root), widened(x.hi, hi, INF, root)
        return fact(lo.clamp(low, high), hi.clamp(low, high), x.up, x.dn)

    return row


def step(f: Curve) -> Rule:
    """A function that never falls and whose float64 values are exact: where both ends agree, nothing moves."""

    def row(site: Site, x: Fact) -> Result:
        lo, hi = f(x.lo), f(x.hi)
        moves = lo < hi
        return fact(lo, hi, x.up & moves, x.dn & moves)

    return row


def on(rule: Rule, above: float, includes: bool, what: str) -> Rule:
    """The same row where the function is real: x > above, or x >= above."""

    def row(site: Site, x: Fact) -> Result:
        inside = x.lo >= above if includes else x.lo > above
        if not bool(inside.all()):
            raise NotReal(f"it may take the {what}; a domain that excludes this would help")
        return rule(site, x)

    return row


def valley(f: Curve, left: float, right: float, floor: float, at_minus_inf: float = INF, exact: bool = False) -> Rule:
    """Falls up to a point in [left, right], rises after it, is nowhere below `floor`, is 0 at 0.

    `at_minus_inf` is the limit there: what a formula such as -inf * 0 cannot say.
    """

    def row(site: Site, x: Fact) -> Result:
        y_lo, y_hi = (f(v).nan_to_num(nan=at_minus_inf, posinf=INF, neginf=-INF) for v in (x.lo, x.hi))
        high = torch.maximum(y_lo, y_hi)
        low = torch.minimum(y_lo, y_hi)
        if not exact:
            high = torch.maximum(widened(x.lo, y_lo, INF, 0.0), widened(x.hi, y_hi, INF, 0.0))
            low = torch.minimum(widened(x.lo, y_lo, -INF, 0.0), widened(x.hi, y_hi, -INF, 0.0))
        low = torch.where((x.hi <= left) | (x.lo >= right), low, floor)
        rises, falls = x.hi > left, x.lo < right
        return fact(low, high, (x.up & rises) | (x.dn & falls), (x.up & falls) | (x.dn & rises))

    return row


# Written without the cancellation of 1 + erf(x) and exp(x) - 1, whose float64 results are 0 where the truth is not.
def exact_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * torch.erfc(-x / math.sqrt(2))


def tanh_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def selu(x: Tensor) -> Tensor:
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return torch.where(x > 0, scale * x, scale * alpha * torch.expm1(x.clamp(max=0.0)))


LOG_OF = "logarithm of 0 or of a negative number"

# fmt: off
ROWS: dict[str, Rule] = {
    # op                             its shape
    "aten.relu.default":        step(torch.relu),
    "aten.relu6.default":       step(lambda x: x.clamp(0.0, 6.0)),
    "aten.floor.default":       step(torch.floor),
    "aten.ceil.default":        step(torch.ceil),
    "aten.trunc.default":       step(torch.trunc),
    "aten.round.default":       step(torch.round),
    "aten.sign.default":        step(torch.sign),
    "aten.tanh.default":        increasing(torch.tanh, -1.0, 1.0, root=0.0),
    "aten.sigmoid.default":     increasing(torch.sigmoid, 0.0, 1.0),
    "aten.hardsigmoid.default": increasing(F.hardsigmoid, 0.0, 1.0, exact=False),
    "aten.log_sigmoid.default": increasing(F.logsigmoid, high=0.0),
    "aten.erf.default":         increasing(torch.erf, -1.0, 1.0, root=0.0),
    "aten.atan.default":        increasing(torch.atan, -1.6, 1.6, root=0.0),
    "aten.exp.default":         increasing(torch.exp, 0.0),
    "aten.exp2.default":        increasing(torch.exp2, 0.0),
    "aten.expm1.default":       increasing(torch.expm1, -1.0, root=0.0),
    "aten.selu.default":        increasing(selu, -1.7581, root=0.0),
    "aten.sqrt.default":        on(increasing(torch.sqrt, 0.0, root=0.0), 0.0, True, "root of a negative number"),
    "aten.log.default":         on(increasing(torch.log, root=1.0), 0.0, False, LOG_OF),
    "aten.log2.default":        on(increasing(torch.log2, root=1.0), 0.0, False, LOG_OF),
    "aten.log10.default":       on(increasing(torch.log10, root=1.0), 0.0, False, LOG_OF),
    "aten.log1p.default":       on(increasing(torch.log1p, root=0.0), -1.0, False, LOG_OF),
    "aten.abs.default":         valley(torch.abs, 0.0, 0.0, 0.0, exact=True),
    "aten.silu.default":        valley(F.silu, -1.2784646, -1.2784645, -0.27846455, at_minus_inf=0.0),
    "aten.mish.default":        valley(F.mish, -1.1924313, -1.1924312, -0.30884342, at_minus_inf=0.0),
    "aten.hardswish.default":   valley(F.hardswish, -1.5, -1.5, -0.37500001, at_minus_inf=0.0),
}
GELU = {
    "none": valley(exact_gelu, -0.7517917, -0.7517915, -0.16997121, at_minus_inf=0.0),
    "tanh": valley(tanh_gelu, -0.7524615, -0.7524613, -0.17004078, at_minus_inf=0.0),
}
# fmt: on
for _name, _row in ROWS.items():
    enter(_name, _row)


@rule("aten.gelu.default")
def gelu(site: Site, x: Fact, *, approximate: str = "none") -> Result:
    return GELU[approximate](site, x)


@rule("aten.hardtanh.default")
def hardtanh(site: Site, x: Fact, min_val: float = -1, max_val: float = 1) -> Result:
    return clamp(site, x, min_val, max_val)


@rule("aten.clamp.default")
def clamp(site: Site, x: Fact, low: float | None = None, high: float | None = None) -> Result:
    if any(b is not None and not math.isfinite(b) for b in (low, high)):
        raise Refused("one of its bounds is infinite or NaN")
    return step(lambda v: v.clamp(low, high))(site, x)


@rule("aten.clamp_min.default")
def clamp_min(site: Site, x: Fact, low: float) -> Result:
    return clamp(site, x, low, None)


@rule("aten.clamp_max.default")
def clamp_max(site: Site, x: Fact, high: float) -> Result:
    return clamp(site, x, None, high)


@rule("aten.threshold.default")
def threshold(site: Site, x: Fact, at: float, value: float) -> Result:
    if not (math.isfinite(at) and math.isfinite(value) and value <= at):
        raise Refused("its value is above its threshold, so it falls there")
    return step(lambda v: torch.where(v > at, v, float(value)))(site, x)


@rule("aten.leaky_relu.default")
def leaky_relu(site: Site, x: Fact, slope: float = 0.01) -> Result:
    if not math.isfinite(slope):
        raise Refused("its slope is infinite or NaN")
    if slope < 0:
        return valley(lambda v: torch.where(v > 0, v, v * slope), 0.0, 0.0, 0.0)(site, x)
    if slope == 0:
        return ROWS["aten.relu.default"](site, x)
    return increasing(lambda v: torch.where(v > 0, v, v * slope), root=0.0)(site, x)


@rule("aten.elu.default")
def elu(site: Site, x: Fact, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Result:
    if not all(0 < c < 1e6 for c in (alpha, scale, input_scale)):
        raise Refused("one of alpha, scale and input_scale is not positive")

    def f(v: Tensor) -> Tensor:
        return torch.where(v > 0, scale * v, scale * alpha * torch.expm1(v.clamp(max=0.0) * input_scale))

    return increasing(f, low=-alpha * scale * (1 + SLACK), root=0.0)(site, x)


@rule("aten.celu.default")
def celu(site: Site, x: Fact, alpha: float = 1.0) -> Result:
    if not 1e-6 < alpha < 1e6:
        raise Refused("its alpha is not positive")
    return elu(site, x, alpha, 1, 1 / alpha)


@rule("aten.softplus.default")
def softplus(site: Site, x: Fact, beta: float = 1, threshold: float = 20) -> Result:
    """log(1 + exp(beta x)) / beta up to beta x = threshold, then x: it falls at that point by log1p(exp(-t)) / beta."""
    if not (1e-6 < beta < 1e6 and 0 <= threshold < 1e6):
        raise Refused("its beta or its threshold is out of the range that has a rule")
    at = threshold / beta
    below, above = x.lo * beta <= threshold * (1 + SLACK), x.hi * beta >= threshold * (1 - SLACK)

    def exact(v: Tensor) -> Tensor:
        return torch.logaddexp(torch.zeros_like(v), v * beta) / beta

    lo, hi = exact(x.lo), exact(x.hi)
    lo, hi = widened(x.lo, lo, -INF, None).clamp(min=0.0), widened(x.hi, hi, INF, None)
    # After the jump the value is x itself, which lies below the exact curve.
    lo = torch.where(
        above, torch.minimum(lo, torch.maximum(x.lo, torch.tensor(at * (1 - SLACK), dtype=x.lo.dtype))), lo
    )
    hi = torch.maximum(hi, x.hi)
    drop = math.log1p(math.exp(-threshold)) / beta
    jumps = below & above
    if drop < 0.5 * _ulp(x.dtype, at):
        if bool(jumps.any()):
            site.assume(
                f"softplus is taken as the exact function: its switch to x at {at:g} drops by {drop:.1e}, less than "
                f"half a rounding step of {str(x.dtype).removeprefix('torch.')}"
            )
        jumps = torch.zeros_like(jumps)
    return fact(lo, hi, x.up | (x.dn & jumps), x.dn | (x.up & jumps))


def _ulp(dtype: Any, at: float) -> float:
    """Spacing of that dtype's numbers at `at`, from below."""
    return float(torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(at))) if at > 0 else 0.0


@rule("aten.bucketize.Tensor", discrete=True)
def bucketize(site: Site, x: Fact, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Result:
    return searchsorted(site, boundaries, x, right=right)


@rule("aten.searchsorted.Tensor", discrete=True)
def searchsorted(
    site: Site,
    sequence: Tensor,
    x: Fact,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Result:
    """How many of the sorted edges lie before x: rises with x."""
    if isinstance(sequence, Fact) or sorter is not None:
        raise Refused("its boundaries depend on the inputs, or are sorted by an index")
    edges = constant(sequence).lo  # whole numbers beyond 2**53 are refused: as float64, two of them may be one
    if not bool((edges[..., 1:] >= edges[..., :-1]).all()):
        raise Refused("its boundaries are not sorted")
    after = right or side == "right"
    return step(lambda v: torch.searchsorted(edges, v.contiguous(), right=after).double())(site, x)
