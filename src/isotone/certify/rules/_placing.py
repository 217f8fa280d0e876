"""Values put at constant places, and pictures made larger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, Refused, as_fact, fact
from .._rounding import weighted
from ._linear import each
from ._structural import only_values_move, overload
from ._table import MOVERS, Result, Site, enter, rule

Put = Callable[[Tensor, Tensor], Tensor]


def _put(run: Put, add: Put, x: Fact, source: Fact) -> Fact:
    """`run` writes elements of `source` over elements of x; `add` adds them at the same places."""
    # If a place is written twice, torch does not say which write stays.
    if bool((add(torch.zeros_like(x.lo), torch.ones_like(source.lo)) > 1).any()):
        raise Refused("it writes twice to one place, in no particular order")
    parts = ((x.lo, source.lo), (x.hi, source.hi), (x.up.double(), source.up.double()),
             (x.dn.double(), source.dn.double()))  # fmt: skip
    lo, hi, up, dn = (run(a, b) for a, b in parts)
    return fact(lo, hi, up > 0, dn > 0)


@rule("aten.index_put.default", "aten._unsafe_index_put.default")
def index_put(site: Site, x: Any, indices: list[Any], values: Any, accumulate: bool = False) -> Result:
    only_values_move((x, indices, values), {}, (0, 2))
    x, values = as_fact(x), as_fact(values)

    def add(a: Tensor, b: Tensor) -> Tensor:
        return torch.ops.aten.index_put.default(a, indices, b, True)  # type: ignore[no-any-return]

    if accumulate:
        if x.dtype is torch.bool:
            raise Refused("it adds truth values")
        # A place is written at most once for each element that the values, broadcast, have.
        return weighted(add, x, values, n=_writes(add, x, values))
    return _put(lambda a, b: torch.ops.aten.index_put.default(a, indices, b, False), add, x, values)


def _writes(add: Put, x: Fact, values: Fact) -> int:
    counts = add(torch.zeros_like(x.lo), torch.ones_like(values.lo))
    return int(counts.max()) + 1 if counts.numel() else 1


@rule("aten.scatter.src")
def scatter(site: Site, x: Any, dim: int, index: Tensor, src: Any) -> Result:
    only_values_move((x, dim, index, src), {}, (0, 3))
    return _put(
        lambda a, b: torch.scatter(a, dim, index, b),
        lambda a, b: torch.scatter_add(a, dim, index, b),
        as_fact(x),
        as_fact(src),
    )


@rule("aten.scatter.value")
def scatter_value(site: Site, x: Fact, dim: int, index: Tensor, value: float) -> Result:
    # The same number at all places, however often it is written: it never moves.
    only_values_move((x, dim, index, value), {}, (0,))
    number = float(as_fact(value).lo)
    lo, hi = (torch.scatter(v, dim, index, number) for v in (x.lo, x.hi))
    up, dn = (torch.scatter(v.double(), dim, index, 0.0) > 0 for v in (x.up, x.dn))
    return fact(lo, hi, up, dn)


@rule("aten.copy.default")
def copy(site: Site, x: Any, source: Any, non_blocking: bool = False) -> Result:
    # The source in the shape of x; the walk refuses a source that the dtype of x does not hold.
    # A constant is rounded on the way, as torch rounds it.
    into = as_fact(x)
    shape, new = into.shape, as_fact(source.to(into.dtype) if isinstance(source, Tensor) else source)
    return each(new, lambda v: v.expand(shape).clone())


# Their integers cannot wrap: they only move values about.
MOVERS.update(["aten.scatter.src", "aten.copy.default"])


def _nearest(name: str) -> None:
    op = overload(name)

    def nearest(site: Site, x: Fact, *args: Any) -> Result:
        """Each new pixel is an old one: which one is seen on the places themselves, in the model's own dtype."""
        size = x.shape[2:]
        if x.dtype not in (torch.float32, torch.float64) or size.numel() >= 2**24:
            raise Refused(f"pictures of {x.dtype} or of this size have no rule")
        places = torch.arange(size.numel(), dtype=x.dtype).reshape(1, 1, *size)
        taken = op(places, *args)
        flat = taken.reshape(-1).long()

        def take(v: Tensor) -> Tensor:
            return v.reshape(*v.shape[:2], -1)[..., flat].reshape(*v.shape[:2], *taken.shape[2:])

        return each(x, take)

    enter(name, nearest)


def _between(name: str) -> None:
    op = overload(name)

    def between(site: Site, x: Fact, *args: Any) -> Result:
        """Each new pixel is a mean of old neighbours, with weights from 0 to 1."""
        out = weighted(lambda v: op(v, *args), x, n=16)
        # The weights are rounded, by less than 1e-12; so the bounds give way by that share of any pixel.
        slack = 1e-12 * torch.maximum(x.lo.abs().max(), x.hi.abs().max())
        low = torch.where(x.lo.min() >= 0, (out.lo - slack).clamp(min=0.0), out.lo - slack)
        high = torch.where(x.hi.max() <= 0, (out.hi + slack).clamp(max=0.0), out.hi + slack)
        return fact(low, high, out.up, out.dn)

    enter(name, between)


for _kind in ("vec", "default"):
    for _name in ("1d", "2d", "3d"):
        _nearest(f"aten.upsample_nearest{_name}.{_kind}")
    for _name in ("linear1d", "bilinear2d", "trilinear3d"):
        _between(f"aten.upsample_{_name}.{_kind}")
