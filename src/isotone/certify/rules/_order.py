"""Maximum and minimum, pooling, sorting: whatever may be chosen passes its bits on."""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, as_fact, fact
from ._linear import each
from ._structural import overload
from ._table import Result, Site, enter, rule


def larger(a: Fact, b: Fact) -> Fact:
    """max(a, b): an operand that the other always reaches is never seen."""
    a_seen, b_seen = a.hi > b.lo, b.hi > a.lo
    # Where neither can be above the other they are equal and fixed.
    return fact(
        torch.maximum(a.lo, b.lo),
        torch.maximum(a.hi, b.hi),
        (a.up & a_seen) | (b.up & b_seen),
        (a.dn & a_seen) | (b.dn & b_seen),
    )


def turned(x: Fact) -> Fact:
    return fact(-x.hi, -x.lo, x.dn, x.up)


def smaller(a: Fact, b: Fact) -> Fact:
    """min(a, b) = -max(-a, -b)."""
    return turned(larger(turned(a), turned(b)))


@rule("aten.maximum.default", "aten.max.other", "aten.fmax.default")
def maximum(site: Site, a: Any, b: Any) -> Result:
    return larger(as_fact(a), as_fact(b))


@rule("aten.minimum.default", "aten.min.other", "aten.fmin.default")
def minimum(site: Site, a: Any, b: Any) -> Result:
    return smaller(as_fact(a), as_fact(b))


@rule("aten.clamp.Tensor")
def clamp(site: Site, x: Any, low: Any = None, high: Any = None) -> Result:
    out = as_fact(x)
    if low is not None:
        out = larger(out, as_fact(low))
    return out if high is None else smaller(out, as_fact(high))


def largest(x: Fact, dim: list[int], keepdim: bool) -> Fact:
    """The largest along dimensions (all of them for an empty list)."""
    dims = tuple(dim) or tuple(range(x.lo.dim()))
    may_win = x.hi >= x.lo.amax(dims, keepdim=True)

    def any_of(bits: Tensor) -> Tensor:
        return (bits & may_win).double().amax(dims, keepdim=keepdim) > 0

    return fact(x.lo.amax(dims, keepdim=keepdim), x.hi.amax(dims, keepdim=keepdim), any_of(x.up), any_of(x.dn))


def smallest(x: Fact, dim: list[int], keepdim: bool) -> Fact:
    return turned(largest(turned(x), dim, keepdim))


PLACES = "which element is chosen may change with the inputs"


@rule("aten.amax.default")
def amax(site: Site, x: Fact, dim: Any = (), keepdim: bool = False) -> Result:
    return largest(x, list(dim), keepdim)


@rule("aten.amin.default")
def amin(site: Site, x: Fact, dim: Any = (), keepdim: bool = False) -> Result:
    return smallest(x, list(dim), keepdim)


@rule("aten.max.default")
def max_all(site: Site, x: Fact) -> Result:
    return largest(x, [], False)


@rule("aten.min.default")
def min_all(site: Site, x: Fact) -> Result:
    return smallest(x, [], False)


@rule("aten.max.dim")
def max_dim(site: Site, x: Fact, dim: int, keepdim: bool = False) -> Result:
    return largest(x, [dim], keepdim), site.unknown(PLACES)


@rule("aten.min.dim")
def min_dim(site: Site, x: Fact, dim: int, keepdim: bool = False) -> Result:
    return smallest(x, [dim], keepdim), site.unknown(PLACES)


def _ranked(x: Fact, run: Callable[[Tensor], Tensor], dim: int, keepdim: bool = True) -> Fact:
    """Order statistics rise with every element; any bit along the dimension may reach any place."""
    lo = run(x.lo)

    def spread(bits: Tensor) -> Tensor:
        return (bits.any() if not bits.dim() else bits.any(dim, keepdim=keepdim)).expand(lo.shape)

    return fact(lo, run(x.hi), spread(x.up), spread(x.dn))


@rule("aten.sort.default")
def sort(site: Site, x: Fact, dim: int = -1, descending: bool = False) -> Result:
    return _ranked(x, lambda v: torch.sort(v, dim, descending)[0], dim), site.unknown(PLACES)


@rule("aten.topk.default")
def topk(site: Site, x: Fact, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Result:  # noqa: A002
    # Unsorted, the k values may stand in any order, and another order is no monotone function of the inputs.
    if not sorted:
        return site.unknown("its values come in no particular order (sorted=False)"), site.unknown(PLACES)
    return _ranked(x, lambda v: torch.topk(v, k, dim, largest, True)[0], dim), site.unknown(PLACES)


@rule("aten.kthvalue.default")
def kthvalue(site: Site, x: Fact, k: int, dim: int = -1, keepdim: bool = False) -> Result:
    return _kth(x, k, dim, keepdim), site.unknown(PLACES)


def _kth(x: Fact, k: int, dim: int, keepdim: bool) -> Fact:
    return _ranked(x, lambda v: torch.kthvalue(v, k, dim, keepdim)[0], dim, keepdim)


@rule("aten.median.dim", "aten.nanmedian.dim")
def median(site: Site, x: Fact, dim: int, keepdim: bool = False) -> Result:
    # The lower of the two in the middle; values are finite, so none is skipped.
    count = x.shape[dim] if x.lo.dim() else 1
    return _kth(x, (count + 1) // 2, dim, keepdim), site.unknown(PLACES)


@rule("aten.median.default", "aten.nanmedian.default")
def median_all(site: Site, x: Fact) -> Result:
    flat = each(x, lambda v: v.reshape(-1))
    return _kth(flat, (x.lo.numel() + 1) // 2, 0, False)


@rule("aten.cummax.default")
def cummax(site: Site, x: Fact, dim: int) -> Result:
    return _so_far(x, dim), site.unknown(PLACES)


@rule("aten.cummin.default")
def cummin(site: Site, x: Fact, dim: int) -> Result:
    return turned(_so_far(turned(x), dim)), site.unknown(PLACES)


def _so_far(x: Fact, dim: int) -> Fact:
    """The largest up to each place: any bit before it may reach it."""
    lo, hi = (v.cummax(dim).values for v in (x.lo, x.hi))
    up, dn = (v.double().cummax(dim).values > 0 for v in (x.up, x.dn))
    return fact(lo, hi, up, dn)


@rule("aten.aminmax.default")
def aminmax(site: Site, x: Fact, *, dim: int | None = None, keepdim: bool = False) -> Result:
    dims = [] if dim is None else [dim]
    return smallest(x, dims, keepdim), largest(x, dims, keepdim)


def _pool(name: str, with_places: bool) -> None:
    op = overload(name)

    def pool(site: Site, x: Fact, *args: Any) -> Result:
        def run(v: Tensor) -> Tensor:
            out = op(v, *args)
            return out[0] if with_places else out  # type: ignore[no-any-return]

        # Padding is -inf: never chosen beside a real element, and no window is all padding (torch refuses that).
        values = fact(run(x.lo), run(x.hi), run(x.up.double()) > 0, run(x.dn.double()) > 0)
        return (values, site.unknown(PLACES)) if with_places else values

    enter(name, pool)


for _name in ("max_pool1d.default", "max_pool2d.default", "max_pool3d.default"):
    _pool(f"aten.{_name}", with_places=False)
for _name in ("max_pool1d_with_indices.default", "max_pool2d_with_indices.default", "max_pool3d_with_indices.default",
              "adaptive_max_pool1d.default", "adaptive_max_pool2d.default", "adaptive_max_pool3d.default"):  # fmt: skip
    _pool(f"aten.{_name}", with_places=True)
