"""Operators that move values about or add them up: they act on bounds and on bits as on values.

Sound because each is linear with coefficients that are not negative: from u <= v follows op(u) <= op(v), and an
element of the result may rise only if one of its terms may rise.
"""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, NotReal, Refused, as_fact, constant, fact
from .._rounding import weighted
from ._arithmetic import times
from ._table import MOVERS, Result, Site, enter, rule

# fmt: off
# Pure rearrangements, with the positions of the operands that carry values; any other operand must not move.
MOVES: dict[str, tuple[int, ...]] = {
    "aten.t.default": (0,),            "aten.permute.default": (0,),          "aten.transpose.int": (0,),
    "aten.movedim.int": (0,),          "aten.squeeze.default": (0,),          "aten.squeeze.dim": (0,),
    "aten.squeeze.dims": (0,),         "aten.unsqueeze.default": (0,),        "aten.expand.default": (0,),
    "aten.slice.Tensor": (0,),         "aten.select.int": (0,),               "aten.narrow.default": (0,),
    "aten.cat.default": (0,),          "aten.stack.default": (0,),            "aten.split.Tensor": (0,),
    "aten.split_with_sizes.default": (0,), "aten.chunk.default": (0,),        "aten.unbind.int": (0,),
    "aten.flip.default": (0,),         "aten.roll.default": (0,),             "aten.repeat.default": (0,),
    "aten.diagonal.default": (0,),     "aten.tril.default": (0,),             "aten.triu.default": (0,),
    "aten.index_select.default": (0,), "aten.gather.default": (0,),           "aten.unfold.default": (0,),
    "aten.slice_scatter.default": (0, 1), "aten.select_scatter.default": (0, 1),
    "aten.flatten.using_ints": (0,),   "aten.unflatten.int": (0,),            "aten.pixel_shuffle.default": (0,),
    "aten.pixel_unshuffle.default": (0,), "aten.channel_shuffle.default": (0,),
}
# The same value under another name.
ALIASES = ["aten.alias.default", "aten.clone.default", "aten.detach.default", "aten.contiguous.default",
           "aten.lift_fresh_copy.default", "aten.detach_copy.default"]
# fmt: on


def only_values_move(args: tuple[Any, ...], kwargs: dict[str, Any], positions: tuple[int, ...]) -> None:
    """Refuse facts in any place but the operands that carry values."""

    def has_fact(a: Any) -> bool:
        return isinstance(a, Fact) or (isinstance(a, list | tuple) and any(has_fact(b) for b in a))

    rest = [a for i, a in enumerate(args) if i not in positions]
    if any(has_fact(a) for a in [*rest, *kwargs.values()]):
        raise Refused("its index, or another operand that is not a value, depends on the inputs")


def rearranged(op: Callable[..., Any], positions: tuple[int, ...], *args: Any, **kwargs: Any) -> Result:
    """Run `op` on bounds and bits."""
    only_values_move(args, kwargs, positions)

    def facts(a: Any) -> Any:
        return [as_fact(b) for b in a] if isinstance(a, list | tuple) else as_fact(a)

    if len(positions) > 1:  # what is scattered into a value takes its dtype: a constant is rounded, as torch rounds it
        args = tuple(a.to(args[0].dtype) if i in positions and isinstance(a, Tensor) else a for i, a in enumerate(args))
    values = {i: facts(args[i]) for i in positions}

    def run(part: Callable[[Fact], Tensor]) -> Any:
        def take(v: Any) -> Any:
            return [part(b) for b in v] if isinstance(v, list) else part(v)

        return op(*(take(values[i]) if i in values else a for i, a in enumerate(args)), **kwargs)

    outs = [run(lambda f: f.lo), run(lambda f: f.hi), run(lambda f: f.up), run(lambda f: f.dn)]
    if isinstance(outs[0], Tensor):
        return fact(*outs)
    return tuple(fact(*four) for four in zip(*outs, strict=True))


def _mover(op: Callable[..., Any], positions: tuple[int, ...]) -> Callable[..., Result]:
    return lambda site, *args, **kwargs: rearranged(op, positions, *args, **kwargs)


def overload(name: str) -> Any:
    """The operator of a row: 'aten.add.Tensor' -> torch.ops.aten.add.Tensor."""
    _, packet, kind = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), kind)


for _name, _positions in MOVES.items():
    enter(_name, _mover(overload(_name), _positions))
    MOVERS.add(_name)


@rule("aten.view.default", "aten._unsafe_view.default", "aten.reshape.default")
def view(site: Site, x: Fact, size: list[int]) -> Result:
    return rearranged(torch.ops.aten.reshape.default, (0,), x, size)


@rule(*ALIASES)
def alias(site: Site, x: Fact, **layout: Any) -> Result:
    if set(layout) - {"memory_format"}:
        raise Refused("it is called in a way that has no rule")
    return x


MOVERS.update(["aten.view.default", "aten._unsafe_view.default", "aten.reshape.default", *ALIASES])


@rule("aten.pad.default", "aten.constant_pad_nd.default")
def pad(site: Site, x: Fact, pad: list[int], *rest: Any) -> Result:
    # pad(x, pad, mode="constant", value=None) or constant_pad_nd(x, pad, value=0); padded places never move.
    mode = rest[0] if rest and isinstance(rest[0], str) else "constant"
    numbers = [r for r in rest if not isinstance(r, str) and r is not None]
    value = float(as_fact(numbers[0]).lo) if numbers else 0.0
    if mode != "constant":
        # As numbers: some modes are not written for truth values.
        lo, hi, up, dn = (torch.ops.aten.pad.default(v.double(), pad, mode) for v in (x.lo, x.hi, x.up, x.dn))
        return fact(lo, hi, up > 0, dn > 0)
    run = torch.ops.aten.constant_pad_nd.default
    return fact(run(x.lo, pad, value), run(x.hi, pad, value), run(x.up, pad, False), run(x.dn, pad, False))


MOVERS.update(["aten.pad.default", "aten.constant_pad_nd.default"])


@rule("aten.sum.default")
def sum_all(site: Site, x: Fact, *, dtype: Any = None) -> Result:
    return weighted(torch.sum, x, n=_count(x, None) - 1)


@rule("aten.mean.default")
def mean_all(site: Site, x: Fact, *, dtype: Any = None) -> Result:
    return weighted(torch.mean, x, n=_count(x, None))


@rule("aten.sum.dim_IntList")
def sum_dims(site: Site, x: Fact, dim: list[int] | None, keepdim: bool = False, *, dtype: Any = None) -> Result:
    count = _count(x, dim)
    return weighted(lambda v: torch.sum(v, dim or None, keepdim), x, n=count - 1)


@rule("aten.mean.dim")
def mean_dims(site: Site, x: Fact, dim: list[int] | None, keepdim: bool = False, *, dtype: Any = None) -> Result:
    count = _count(x, dim)
    return weighted(lambda v: torch.mean(v, dim or None, keepdim), x, n=count if count > 1 else 0)


def _count(x: Fact, dim: list[int] | None) -> int:
    """How many elements one sum has; an empty mean would be 0 / 0."""
    dims = range(x.lo.dim()) if not dim else {d % max(x.lo.dim(), 1) for d in dim}
    count = 1
    for d in dims:
        count *= x.shape[d] if x.lo.dim() else 1
    if count == 0:
        raise NotReal("it reduces no elements at all")
    return count


@rule("aten.cumsum.default")
def cumsum(site: Site, x: Fact, dim: int, *, dtype: Any = None) -> Result:
    return weighted(lambda v: torch.cumsum(v, dim), x, n=x.shape[dim] if x.lo.dim() else 0)


def _pool(name: str) -> None:
    op = overload(name)

    def average(site: Site, x: Fact, *args: Any) -> Result:
        # avg_pool2d(..., divisor_override) is its sixth argument after x; a negative one would turn the order.
        if len(args) > 5 and args[5] is not None and args[5] <= 0:
            raise Refused("its divisor is not positive")
        return weighted(lambda v: op(v, *args), x, n=x.lo.numel())

    enter(name, average)


for _name in ("avg_pool1d.default", "avg_pool2d.default", "adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default",
              "_adaptive_avg_pool2d.default", "avg_pool3d.default", "_adaptive_avg_pool3d.default",
              "adaptive_avg_pool3d.default"):  # fmt: skip
    _pool(f"aten.{_name}")


@rule("aten.index_add.default")
def index_add(site: Site, x: Any, dim: int, index: Tensor, source: Any, *, alpha: float = 1) -> Result:
    only_values_move((x, dim, index, source), {"alpha": alpha}, (0, 3))
    if alpha < 0:
        raise Refused("it subtracts what it adds (alpha)")
    x, source = as_fact(x), as_fact(source)
    if alpha != 1:
        source = times(source, constant(float(alpha)))
    return weighted(lambda a, b: torch.index_add(a, dim, index, b), x, source, n=index.numel())


@rule("aten.scatter_add.default")
def scatter_add(site: Site, x: Any, dim: int, index: Tensor, src: Any) -> Result:
    only_values_move((x, dim, index, src), {}, (0, 3))
    x, src = as_fact(x), as_fact(src)
    return weighted(lambda a, b: torch.scatter_add(a, dim, index, b), x, src, n=index.numel())


@rule("aten.scatter_reduce.two")
def scatter_reduce(
    site: Site, x: Any, dim: int, index: Tensor, src: Any, reduce: str, *, include_self: bool = True
) -> Result:
    only_values_move((x, dim, index, src), {}, (0, 3))
    if reduce not in ("amax", "amin", "sum", "mean"):
        raise Refused(f"reduce={reduce!r} has no rule")
    x, src = as_fact(x), as_fact(src)

    def total(a: Tensor, b: Tensor) -> Tensor:
        return torch.scatter_reduce(a, dim, index, b, reduce, include_self=include_self)

    if reduce == "mean" and not x.dtype.is_floating_point:
        raise Refused("it rounds means of whole numbers")
    if reduce in ("sum", "mean"):  # the sizes of the groups are constant, as the index is
        return weighted(total, x, src, n=index.numel() + 2)

    def run(a: Tensor, b: Tensor, how: str) -> Tensor:
        return torch.scatter_reduce(a, dim, index, b, how, include_self=include_self)

    # The largest of a group may rise only if a member may; bits are joined by their maximum.
    return fact(
        run(x.lo, src.lo, reduce),
        run(x.hi, src.hi, reduce),
        run(x.up.double(), src.up.double(), "amax") > 0,
        run(x.dn.double(), src.dn.double(), "amax") > 0,
    )


def _from_shape(name: str) -> None:
    op = overload(name)

    def fresh(site: Site, x: Fact, *args: Any, **kwargs: Any) -> Result:
        """A new constant; only the shape and dtype of x matter, and those are fixed."""
        kwargs = {k: v for k, v in kwargs.items() if k in ("dtype", "memory_format")}
        made: Tensor = op(torch.zeros(x.shape, dtype=x.dtype), *args, **kwargs)
        return made

    enter(name, fresh)


for _name in ("ones_like.default", "zeros_like.default", "full_like.default", "new_zeros.default", "new_ones.default",
              "new_full.default"):  # fmt: skip
    _from_shape(f"aten.{_name}")


@rule("aten.sym_size.int")
def size(site: Site, x: Fact, dim: int) -> Any:
    return x.shape[dim]
