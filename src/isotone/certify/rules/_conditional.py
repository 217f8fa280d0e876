"""Comparisons, truth values, choices and casts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .._facts import INF, Fact, NotReal, Refused, as_fact, constant, fact
from ._order import larger, largest, smaller, smallest
from ._structural import rearranged
from ._table import DISCRETE, MOVERS, Result, Site, enter, rule


def above(a: Fact, b: Fact, strict: bool) -> Fact:
    """a > b, or a >= b: rises with a, falls with b; fixed where the intervals decide."""
    true = a.lo > b.hi if strict else a.lo >= b.hi
    false = a.hi <= b.lo if strict else a.hi < b.lo
    open_ = ~(true | false)
    return fact(true.double(), (~false).double(), (a.up | b.dn) & open_, (a.dn | b.up) & open_, torch.bool)


def _compare(name: str, swap: bool, strict: bool) -> None:
    def compare(site: Site, left: Any, right: Any) -> Result:
        a, b = as_fact(left), as_fact(right)
        return above(b, a, strict) if swap else above(a, b, strict)

    for kind in ("Tensor", "Scalar"):
        enter(f"aten.{name}.{kind}", compare)
        DISCRETE.add(f"aten.{name}.{kind}")


_compare("gt", swap=False, strict=True)
_compare("ge", swap=False, strict=False)
_compare("lt", swap=True, strict=True)
_compare("le", swap=True, strict=False)


def _no_overflow(site: Site, x: Any) -> None:
    """Refuse what may overflow, where a model asks whether it did: inputs are finite, their products may not be."""
    x = as_fact(x)
    source: Any = site.node.args[0] if site.node is not None else None
    while str(getattr(source, "target", "")) in MOVERS and len(source.all_input_nodes) == 1:
        source = source.all_input_nodes[0]
    if getattr(source, "op", "") == "placeholder" or not x.dtype.is_floating_point:
        return
    most = torch.finfo(x.dtype).max
    if not bool(((x.lo >= -most) & (x.hi <= most)).all()):
        raise NotReal("it may overflow to infinity here; a bounded domain would help")


@rule("aten.eq.Tensor", "aten.eq.Scalar", discrete=True)
def equal(site: Site, a: Any, b: Any) -> Result:
    if isinstance(b, float) and not math.isfinite(b):  # no finite value is infinite or NaN
        _no_overflow(site, a)
        return torch.zeros(as_fact(a).shape, dtype=torch.bool)
    if a is b:
        _no_overflow(site, a)  # y == y asks whether y is NaN
        return torch.ones(as_fact(a).shape, dtype=torch.bool)
    a, b = as_fact(a), as_fact(b)
    apart = (a.lo > b.hi) | (a.hi < b.lo)
    same = (a.lo == a.hi) & (b.lo == b.hi) & (a.lo == b.lo)
    moves = (a.up | a.dn | b.up | b.dn) & ~apart & ~same
    return fact(same.double(), (~apart).double(), moves, moves, torch.bool)


@rule("aten.ne.Tensor", "aten.ne.Scalar", discrete=True)
def unequal(site: Site, a: Any, b: Any) -> Result:
    same = equal(site, a, b)
    return ~same if isinstance(same, Tensor) else _opposite(same)  # type: ignore[arg-type]


def _opposite(x: Fact) -> Fact:
    return fact(1 - x.hi, 1 - x.lo, x.dn, x.up, torch.bool)


def truth(x: Any) -> Fact:
    """An operand that is true or false already; on numbers these operators mean something else."""
    found = as_fact(x)
    if found.dtype is not torch.bool:
        raise Refused("it works on the bits of numbers")
    return found


@rule("aten.logical_not.default", "aten.bitwise_not.default", discrete=True)
def negation(site: Site, a: Fact) -> Result:
    return _opposite(truth(a))


@rule("aten.logical_and.default", "aten.bitwise_and.Tensor", "aten.__and__.Tensor", discrete=True)
def both(site: Site, a: Any, b: Any) -> Result:
    return smaller(truth(a), truth(b))


@rule("aten.logical_or.default", "aten.bitwise_or.Tensor", "aten.__or__.Tensor", discrete=True)
def either(site: Site, a: Any, b: Any) -> Result:
    return larger(truth(a), truth(b))


@rule("aten.logical_xor.default", "aten.bitwise_xor.Tensor", "aten.__xor__.Tensor", discrete=True)
def exclusive(site: Site, a: Any, b: Any) -> Result:
    return unequal(site, truth(a), truth(b))


def _truths(x: Fact) -> Fact:
    return x if x.dtype is torch.bool else _to_bool(x)


@rule("aten.any.default", discrete=True)
def any_all(site: Site, x: Fact) -> Result:
    return largest(_truths(x), [], False)


@rule("aten.any.dim", discrete=True)
def any_dim(site: Site, x: Fact, dim: int, keepdim: bool = False) -> Result:
    return largest(_truths(x), [dim], keepdim)


@rule("aten.any.dims", discrete=True)
def any_dims(site: Site, x: Fact, dim: Any = None, keepdim: bool = False) -> Result:
    return largest(_truths(x), _listed(dim), keepdim)


@rule("aten.all.default", discrete=True)
def all_all(site: Site, x: Fact) -> Result:
    return smallest(_truths(x), [], False)


@rule("aten.all.dim", discrete=True)
def all_dim(site: Site, x: Fact, dim: int, keepdim: bool = False) -> Result:
    return smallest(_truths(x), [dim], keepdim)


@rule("aten.all.dims", discrete=True)
def all_dims(site: Site, x: Fact, dim: Any = None, keepdim: bool = False) -> Result:
    return smallest(_truths(x), _listed(dim), keepdim)


def _listed(dim: Any) -> list[int]:
    if isinstance(dim, list | tuple) and not dim:
        raise Refused("it reduces over no dimension")
    return [] if dim is None else list(dim)


# What a fact speaks of is finite: the certificate lists that among its assumptions.
@rule("aten.isnan.default", "aten.isinf.default", discrete=True)
def is_strange(site: Site, x: Fact) -> Result:
    _no_overflow(site, x)
    return torch.zeros(x.shape, dtype=torch.bool)


@rule("aten.isfinite.default", discrete=True)
def is_finite(site: Site, x: Fact) -> Result:
    _no_overflow(site, x)
    return torch.ones(x.shape, dtype=torch.bool)


@rule("aten.nan_to_num.default")
def nan_to_num(site: Site, x: Fact, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Result:
    _no_overflow(site, x)
    return x


def choice(c: Fact, a: Fact, b: Fact) -> Fact:
    """a where c, else b."""
    yes, no = c.hi > 0, c.lo < 1
    lo = torch.minimum(torch.where(yes, a.lo, INF), torch.where(no, b.lo, INF))
    hi = torch.maximum(torch.where(yes, a.hi, -INF), torch.where(no, b.hi, -INF))
    # When c turns true the value goes from some b(x) to some a(x'): it may fall only if b can be above a.
    a_above, b_above = a.hi > b.lo, b.hi > a.lo
    up = (yes & a.up) | (no & b.up) | (c.up & a_above) | (c.dn & b_above)
    dn = (yes & a.dn) | (no & b.dn) | (c.up & b_above) | (c.dn & a_above)
    return fact(lo, hi, up, dn)


@rule("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def where(site: Site, c: Any, a: Any, b: Any) -> Result:
    return choice(truth(c), as_fact(a), as_fact(b))


@rule("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(site: Site, x: Any, mask: Any, value: Any) -> Result:
    return choice(truth(mask), as_fact(value), as_fact(x))


@rule("aten._to_copy.default", discrete=True)
def cast(
    site: Site,
    x: Fact,
    *,
    dtype: torch.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> Result:
    if layout not in (None, torch.strided):
        raise Refused(f"its result has the layout {layout}")
    to = x.dtype if dtype is None else dtype
    if to is torch.bool:
        return x if x.dtype is torch.bool else _to_bool(x)
    if to.is_floating_point:
        return _to_float(x, to)
    if to.is_complex:
        raise Refused("its result is complex")
    if x.dtype.is_floating_point:
        return _whole(x, to)
    return fact(x.lo, x.hi, x.up, x.dn, to)  # the walk checks that whole numbers fit


def _to_float(x: Fact, to: torch.dtype) -> Fact:
    # Rounding to a narrower type never turns an order round; its result lies between the rounded and the exact ends.
    # A new object: x - x.half() is not x - x.
    exact = x.dtype is torch.bool or (x.dtype.is_floating_point and torch.promote_types(x.dtype, to) == to)
    if exact:
        return fact(x.lo, x.hi, x.up, x.dn, to)
    lo, hi = x.lo.to(to).double(), x.hi.to(to).double()
    return fact(torch.minimum(lo, x.lo), torch.maximum(hi, x.hi), x.up, x.dn, to)


def _whole(x: Fact, to: torch.dtype) -> Fact:
    info = torch.iinfo(to)
    # As floats: 2**63 - 1 rounds up to 2**63, which the strict comparison excludes.
    if not bool(((x.lo >= float(info.min)) & (x.hi < float(info.max))).all()):
        raise NotReal(f"the cast to {str(to).removeprefix('torch.')} may overflow; a bounded domain would help")
    lo, hi = x.lo.trunc(), x.hi.trunc()
    moves = lo < hi
    return fact(lo, hi, x.up & moves, x.dn & moves, to)


def _to_bool(x: Fact) -> Fact:
    """x != 0."""
    true, false = (x.lo > 0) | (x.hi < 0), (x.lo == 0) & (x.hi == 0)
    open_ = ~(true | false)
    up = ((x.up & (x.hi > 0)) | (x.dn & (x.lo < 0))) & open_
    dn = ((x.dn & (x.hi > 0)) | (x.up & (x.lo < 0))) & open_
    return fact(true.double(), (~false).double(), up, dn, torch.bool)


@rule("aten.index.Tensor")
def index(site: Site, x: Any, indices: list[Any]) -> Result:
    if not any(isinstance(i, Fact) for i in indices):
        return rearranged(torch.ops.aten.index.Tensor, (0,), x, indices)
    if isinstance(x, Fact) or len(indices) != 1:
        raise Refused("its index depends on the inputs")
    return looked_up(site, x, indices[0])


MOVERS.add("aten.index.Tensor")


def looked_up(site: Site, table: Tensor, at: Fact) -> Fact:
    """Rows of a constant table at indices that depend on the inputs: shape at.shape + table.shape[1:]."""
    rows = constant(table).lo
    last = rows.shape[0] - 1
    # Bytes are masks to torch, as truth values are.
    if at.dtype in (torch.bool, torch.uint8) or at.dtype.is_floating_point:
        raise Refused("its index is not made of integers")
    unrestricted = (at.lo == -INF) & (at.hi == INF) & ~at.up & ~at.dn
    inside = (at.lo >= 0) & (at.hi <= last)
    if not bool((inside | unrestricted).all()):
        raise NotReal(
            f"an index may lie outside the table, which has rows 0 to {last}; give a domain that excludes this"
        )
    if bool(unrestricted.any()):
        site.assume(f"indices without a domain are valid: whole numbers from 0 to {last}")
    low, high = at.lo.clamp(0, last).ceil().long(), at.hi.clamp(0, last).floor().long()
    spans = torch.stack([low.flatten(), high.flatten()], 1)  # (indices, 2)
    unique, which = torch.unique(spans, dim=0, return_inverse=True)
    if len(unique) > 256:
        unique, which = torch.tensor([[0, last]]), torch.zeros_like(which)
    lo = torch.stack([rows[a : b + 1].amin(0) for a, b in unique.tolist()])[which]
    hi = torch.stack([rows[a : b + 1].amax(0) for a, b in unique.tolist()])[which]
    rising, falling = (
        torch.stack([(sign * rows[a : b + 1].diff(dim=0) > 0).any(0) for a, b in unique.tolist()])[which]
        for sign in (1, -1)
    )
    one = (-1, *[1] * (rows.dim() - 1))
    up_at, dn_at = at.up.flatten().reshape(one), at.dn.flatten().reshape(one)
    up, dn = (up_at & rising) | (dn_at & falling), (up_at & falling) | (dn_at & rising)
    shape = (*at.shape, *rows.shape[1:])
    return fact(lo.reshape(shape), hi.reshape(shape), up.reshape(shape), dn.reshape(shape))
