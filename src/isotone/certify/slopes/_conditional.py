"""Slopes of comparisons, truth values, choices and casts: statements about differences, so jumps need no derivative."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._facts import INF, Fact, Refused, as_fact, constant
from .._rounding import add
from ..rules._arithmetic import minus, times
from ..rules._conditional import above, equal, truth
from ..rules._table import Site
from ._adjoints import adjoint, pulled, still
from ._arithmetic import to
from ._order import of_larger, of_smaller
from ._structural import rearranged
from ._table import At, Entries, enter, slope


def _open(decided: Fact) -> Tensor:
    return decided.lo < decided.hi


def _compare(name: str, swap: bool, strict: bool) -> None:
    def compare(at: At, left: Any, right: Any) -> Entries:
        # If a > b turns true then a - b has risen, so the difference is m (da - db) with a finite m >= 0.
        a, b = still(as_fact(left)), still(as_fact(right))
        open_ = _open(above(b, a, strict) if swap else above(a, b, strict))
        m = times(at.out, adjoint(torch.zeros_like(open_, dtype=torch.float64), torch.where(open_, INF, 0.0)))
        first, second = (minus(m), m) if swap else (m, minus(m))
        return to(first, left), to(second, right)

    for kind in ("Tensor", "Scalar"):
        enter(f"aten.{name}.{kind}", compare)


_compare("gt", swap=False, strict=True)
_compare("ge", swap=False, strict=False)
_compare("lt", swap=True, strict=True)
_compare("le", swap=True, strict=False)


@slope("aten.eq.Tensor", "aten.eq.Scalar", "aten.ne.Tensor", "aten.ne.Scalar")
def equal_or_not(at: At, a: Any, b: Any) -> Entries:
    # If it changes then a - b has changed: m (da - db) with a finite m of either sign.
    decided = equal(Site(), still(as_fact(a)), still(as_fact(b)))
    assert isinstance(decided, Fact)
    reach = torch.where(_open(decided), INF, 0.0)
    m = times(at.out, adjoint(-reach, reach))
    return to(m, a), to(m, b)


@slope("aten.logical_not.default", "aten.bitwise_not.default")
def negation(at: At, a: Fact) -> Entries:
    truth(a)
    return (minus(at.out),)


@slope("aten.logical_and.default", "aten.bitwise_and.Tensor", "aten.__and__.Tensor")
def both(at: At, a: Any, b: Any) -> Entries:
    truth(a), truth(b)
    return of_smaller(at.out, a, b)


@slope("aten.logical_or.default", "aten.bitwise_or.Tensor", "aten.__or__.Tensor")
def either(at: At, a: Any, b: Any) -> Entries:
    truth(a), truth(b)
    return of_larger(at.out, a, b)


@slope("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def where(at: At, c: Any, a: Any, b: Any) -> Entries:
    # y = c a + (1 - c) b with c 0 or 1, so y' - y = c'(a' - a) + (1 - c')(b' - b) + (c' - c)(a - b).
    condition, yes, no = still(truth(c)), still(as_fact(a)), still(as_fact(b))
    jump = adjoint(add(yes.lo, -no.hi, -INF), add(yes.hi, -no.lo, INF))
    chosen = adjoint(condition.lo, condition.hi)
    other = adjoint(1 - condition.hi, 1 - condition.lo)
    return to(times(at.out, jump), c), to(times(at.out, chosen), a), to(times(at.out, other), b)


@slope("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(at: At, x: Any, mask: Any, value: Any) -> Entries:
    of_mask, of_value, of_x = where(at, mask, value, x)
    return of_x, of_mask, of_value


@slope("aten._to_copy.default")
def cast(at: At, x: Fact, *, dtype: torch.dtype | None = None, **rest: Any) -> Entries:
    to_ = x.dtype if dtype is None else dtype
    if to_.is_complex:
        raise Refused("its result is complex")
    if _holds(x, to_):
        return (at.out,)
    if to_ is not torch.bool:
        # Rounding and truncation never turn an order round.
        return (times(at.out, adjoint(torch.zeros_like(x.lo), torch.where(_open(at.result), INF, 0.0))),)
    # x != 0: if it changes then so does x, upwards from 0 if x >= 0.
    open_ = _open(at.result)
    low, high = torch.where(open_ & (x.lo < 0), -INF, 0.0), torch.where(open_ & (x.hi > 0), INF, 0.0)
    return (times(at.out, adjoint(low, high)),)


def _holds(x: Fact, to_: torch.dtype) -> bool:
    """Whether the type holds every value of x."""
    if x.dtype is torch.bool or x.dtype is to_:
        return True
    if to_ is torch.bool:
        return False
    if x.dtype.is_floating_point:
        return to_.is_floating_point and torch.promote_types(x.dtype, to_) == to_
    if to_.is_floating_point:
        # Whole numbers up to 2 / eps are exact.
        most = 2.0 / torch.finfo(to_).eps
        return bool(((x.lo >= -most) & (x.hi <= most)).all()) and most <= torch.finfo(to_).max
    return True  # the rule for values has seen to it that whole numbers fit


@slope("aten.index.Tensor")
def index(at: At, x: Any, indices: list[Any]) -> Entries:
    if not any(isinstance(i, Fact) for i in indices):
        return rearranged(at, torch.ops.aten.index.Tensor, (0,), x, indices)
    if isinstance(x, Fact) or len(indices) != 1:
        raise Refused("its index depends on the inputs")
    return None, [looked_up(at.out, x, indices[0])]


def looked_up(out: Fact, table: Tensor, place: Fact) -> Fact:
    """Of rows of a constant table at indices that move: a secant is an average of differences of neighbouring rows."""
    rows = constant(table).lo
    last = rows.shape[0] - 1
    if place.dtype is torch.bool or place.dtype.is_floating_point:
        raise Refused("its index is not made of integers")
    if not bool(((place.lo >= 0) & (place.hi <= last) | ~(place.up | place.dn)).all()):
        raise Refused("an index may lie outside the table")
    low, high = place.lo.clamp(0, last).ceil().long().flatten(), place.hi.clamp(0, last).floor().long().flatten()
    step_lo, step_hi = add(rows[1:], -rows[:-1], -INF), add(rows[1:], -rows[:-1], INF)
    shape = rows.shape[1:]
    least, most = torch.zeros(len(low), *shape).double(), torch.zeros(len(low), *shape).double()
    for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if a < b:
            least[i], most[i] = step_lo[a:b].amin(0), step_hi[a:b].amax(0)
    steepness = adjoint(least.reshape(*place.shape, *shape), most.reshape(*place.shape, *shape))
    terms = times(out, steepness)
    columns = tuple(range(place.lo.dim(), terms.lo.dim()))
    if not columns:
        return terms
    return pulled(lambda v: v.reshape(*place.shape, *[1] * len(columns)).expand(terms.shape), [tuple(place.shape)],
                  [terms])[0]  # fmt: skip
