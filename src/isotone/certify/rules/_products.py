"""Products of many, interpolation, sums of exponentials, norms of vectors: parts put together from other rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import INF, Fact, Refused, as_fact, constant, fact, together
from .._rounding import weighted
from ._arithmetic import minus, plus, square, times
from ._linear import each, product
from ._order import largest
from ._table import Result, Site, enter, rule
from ._unary import ROWS

MOST_FACTORS = 1024


def _product(x: Fact, dim: int) -> Fact:
    """The product along a dimension: halves are multiplied until one slice is left."""
    count = x.shape[dim]
    if not 1 <= count <= MOST_FACTORS:
        raise Refused("it multiplies too many factors, or none")
    while count > 1:
        half = count // 2

        def part(a: int, n: int, of: Fact = x) -> Fact:
            return each(of, lambda t: t.narrow(dim, a, n))

        paired = times(part(0, half), part(half, half))
        x = joined([paired, part(2 * half, 1)], dim) if count % 2 else paired
        count = x.shape[dim]
    return x


def joined(facts: list[Fact], dim: int) -> Fact:
    """Concatenated."""
    lo, hi, up, dn = (torch.cat([getattr(f, part) for f in facts], dim) for part in ("lo", "hi", "up", "dn"))
    return fact(lo, hi, up, dn)


@rule("aten.prod.dim_int")
def prod(site: Site, x: Fact, dim: int, keepdim: bool = False, *, dtype: Any = None) -> Result:
    if not x.lo.dim():
        return fact(x.lo, x.hi, x.up, x.dn)
    out = _product(x, dim)
    return out if keepdim else each(out, lambda t: t.squeeze(dim))


@rule("aten.prod.default")
def prod_all(site: Site, x: Fact, *, dtype: Any = None) -> Result:
    return each(_product(each(x, lambda t: t.reshape(-1)), 0), lambda t: t.reshape(()))


@rule("aten.cumprod.default")
def cumprod(site: Site, x: Fact, dim: int, *, dtype: Any = None) -> Result:
    if not x.lo.dim():
        return fact(x.lo, x.hi, x.up, x.dn)
    if not 1 <= x.shape[dim] <= MOST_FACTORS:
        raise Refused("it multiplies too many factors, or none")
    slices = [each(x, lambda t, i=i: t.narrow(dim, i, 1)) for i in range(x.shape[dim])]  # type: ignore[misc]
    outs = slices[:1]
    for factor in slices[1:]:
        outs.append(times(outs[-1], factor))
    return joined(outs, dim)


def interpolation(p: Fact, q: Fact, t: Fact, gap: Fact) -> Fact:
    """p + (q - p) t, where `gap` is the fact of q - p."""
    # (1 - t')(p' - p) + t'(q' - q) + (q - p)(t' - t) is the difference of the two members, exactly.
    one = constant(1.0)
    rest = plus(one, minus(t))
    up = (p.up & (rest.hi > 0)) | (p.dn & (rest.lo < 0)) | (q.up & (t.hi > 0)) | (q.dn & (t.lo < 0))
    dn = (p.dn & (rest.hi > 0)) | (p.up & (rest.lo < 0)) | (q.dn & (t.hi > 0)) | (q.up & (t.lo < 0))
    up = up | (t.up & (gap.hi > 0)) | (t.dn & (gap.lo < 0))
    dn = dn | (t.dn & (gap.hi > 0)) | (t.up & (gap.lo < 0))
    # Bounds: of p + (q - p) t and of (1 - t) p + t q; and between p and q for t in [0, 1].
    c, d = plus(p, times(gap, t)), plus(times(rest, p), times(t, q))
    low, high = torch.maximum(c.lo, d.lo), torch.minimum(c.hi, d.hi)
    low, high, p_lo, q_lo, p_hi, q_hi, t_lo, t_hi = together(low, high, p.lo, q.lo, p.hi, q.hi, t.lo, t.hi)
    inside = (t_lo >= 0) & (t_hi <= 1)
    low = torch.where(inside, torch.maximum(low, torch.minimum(p_lo, q_lo)), low)
    high = torch.where(inside, torch.minimum(high, torch.maximum(p_hi, q_hi)), high)
    return fact(low, high, up, dn)


@rule("aten.lerp.Scalar", "aten.lerp.Tensor")
def lerp(site: Site, start: Any, end: Any, weight: Any) -> Result:
    p, q = as_fact(start), as_fact(end)
    gap = constant(torch.zeros_like(p.lo)) if start is end else plus(q, minus(p))
    return interpolation(p, q, as_fact(float(weight) if isinstance(weight, int) else weight), gap)


def _log_of_sum(name: str, f: Callable[[Tensor, Tensor], Tensor]) -> None:
    def bound(a: Tensor, b: Tensor, sign: float) -> Tensor:
        a, b = together(a, b)
        size = torch.maximum(a.abs().nan_to_num(posinf=0.0), b.abs().nan_to_num(posinf=0.0))
        return f(a, b) + sign * 2.0**-40 * (1 + size)

    def log_of_sum(site: Site, left: Any, right: Any) -> Result:
        # Its slopes are shares of the sum, both positive.
        a, b = as_fact(left), as_fact(right)
        return fact(bound(a.lo, b.lo, -1), bound(a.hi, b.hi, 1), a.up | b.up, a.dn | b.dn)

    enter(name, log_of_sum)


_log_of_sum("aten.logaddexp.default", torch.logaddexp)
_log_of_sum("aten.logaddexp2.default", torch.logaddexp2)


@rule("aten.logcumsumexp.default")
def logcumsumexp(site: Site, x: Fact, dim: int) -> Result:
    # Each place is the logsumexp of those up to it: increasing in every one of them.
    if not x.lo.dim():
        return fact(x.lo, x.hi, x.up, x.dn)

    def bound(v: Tensor, sign: float) -> Tensor:
        size = v.abs().nan_to_num(posinf=0.0).amax(dim, keepdim=True)
        # From -inf on, torch may give NaN: the bound is then open.
        return torch.logcumsumexp(v, dim) + sign * 2.0**-40 * (1 + size + v.shape[dim])

    def so_far(bits: Tensor) -> Tensor:
        return bits.double().cummax(dim).values > 0

    return fact(bound(x.lo, -1), bound(x.hi, 1), so_far(x.up), so_far(x.dn))


@rule("aten.linalg_vector_norm.default")
def vector_norm(
    site: Site,
    x: Fact,
    ord: float = 2,  # noqa: A002
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Result:
    """Through |x|: it rises right of 0 only."""
    dims = [dim] if isinstance(dim, int) else list(dim or range(x.lo.dim()))
    size: Any = ROWS["aten.abs.default"](site, x)
    if ord == INF:
        return largest(size, dims, keepdim)
    if ord not in (1, 2) or not x.lo.dim():
        raise Refused(f"the norm of order {ord} has no rule")
    count = 1
    for d in dims:
        count *= x.shape[d]
    terms = size if ord == 1 else square(x)
    total = weighted(lambda v: torch.sum(v, dims, keepdim), terms, n=count)
    return total if ord == 1 else ROWS["aten.sqrt.default"](site, total)


@rule("aten.bilinear.default")
def bilinear(site: Site, a: Any, b: Any, weight: Any, bias: Any = None) -> Result:
    """sum over i, j of a_i W_oij b_j, as (a W_o) . b."""
    if isinstance(weight, Fact):
        raise Refused("its weight depends on the inputs")
    a, b = as_fact(a), as_fact(b)
    outs, left, right = weight.shape
    flat = weight.permute(1, 0, 2).reshape(left, outs * right)
    inner = each(product(a, flat), lambda t: t.reshape(*t.shape[:-1], outs, right))
    terms = times(inner, each(b, lambda t: t.unsqueeze(-2)))
    out = weighted(lambda v: v.sum(-1), terms, n=right)
    return out if bias is None else plus(out, as_fact(bias))
