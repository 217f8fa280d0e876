"""Slopes of operators that move values about or add them up: the transpose of the operator itself.

Each is linear, so the difference of two results is the operator on the differences of its operands, exactly.
"""

# ruff: noqa: PLR0917 (a row takes what its operator's schema says, in that order)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, Refused, as_fact
from ..rules._structural import ALIASES, MOVES, only_values_move, overload
from ._adjoints import over_zero, pulled
from ._table import At, Entries, enter, slope


def rearranged(at: At, op: Callable[..., Any], positions: tuple[int, ...], *args: Any, **kwargs: Any) -> Entries:
    """The transpose of `op`, which is 0/1 linear in the operands at `positions`."""
    only_values_move(args, kwargs, positions)
    shapes: list[tuple[int, ...]] = []

    def places(a: Any) -> Any:
        """The operand with each tensor replaced by its place among all."""
        if isinstance(a, list | tuple):
            return [places(b) for b in a]
        shapes.append(tuple(as_fact(a).shape))
        return len(shapes) - 1

    where = {i: places(args[i]) for i in positions}

    def filled(place: Any, values: Any) -> Any:
        return [filled(p, values) for p in place] if isinstance(place, list) else values[place]

    def run(*values: Tensor) -> Any:
        out = op(*(filled(where[i], values) if i in where else a for i, a in enumerate(args)), **kwargs)
        return out if isinstance(out, Tensor) else tuple(out)

    out = list(at.out) if isinstance(at.out, tuple) else [at.out]
    found = pulled(run, shapes, out)
    return tuple(filled(where[i], found) if i in where else None for i in range(max(where) + 1))


def _mover(op: Callable[..., Any], positions: tuple[int, ...]) -> Callable[..., Entries]:
    return lambda at, *args, **kwargs: rearranged(at, op, positions, *args, **kwargs)


for _name, _positions in MOVES.items():
    enter(_name, _mover(overload(_name), _positions))


@slope("aten.view.default", "aten._unsafe_view.default", "aten.reshape.default")
def view(at: At, x: Fact, size: list[int]) -> Entries:
    return rearranged(at, torch.ops.aten.reshape.default, (0,), x, size)


@slope(*ALIASES)
def alias(at: At, x: Fact, **layout: Any) -> Entries:
    # Not by the transpose: autograd says that detach has none.
    return (at.out,)


@slope("aten.pad.default", "aten.constant_pad_nd.default")
def pad(at: At, x: Fact, pad: list[int], *rest: Any) -> Entries:
    # What is written into constant padding does not move; the other modes copy.
    mode = rest[0] if rest and isinstance(rest[0], str) else "constant"
    if mode != "constant":
        return rearranged(at, lambda v: torch.ops.aten.pad.default(v, pad, mode), (0,), x)
    return rearranged(at, lambda v: torch.ops.aten.constant_pad_nd.default(v, pad, 0.0), (0,), x)


@slope("aten.sum.default")
def sum_all(at: At, x: Fact, *, dtype: Any = None) -> Entries:
    return rearranged(at, torch.sum, (0,), x)


@slope("aten.sum.dim_IntList")
def sum_dims(at: At, x: Fact, dim: list[int] | None, keepdim: bool = False, *, dtype: Any = None) -> Entries:
    return rearranged(at, lambda v: torch.sum(v, dim or None, keepdim), (0,), x)


@slope("aten.cumsum.default")
def cumsum(at: At, x: Fact, dim: int, *, dtype: Any = None) -> Entries:
    return rearranged(at, lambda v: torch.cumsum(v, dim), (0,), x)


def averaged(at: At, op: Callable[[Tensor], Tensor], x: Fact) -> Entries:
    """The transpose of a linear operator whose coefficients are fractions, not negative."""
    # At most one term per result and its coefficient: fewer roundings than results and elements together.
    return tuple(pulled(op, [tuple(x.shape)], [at.out], terms=at.out.lo.numel() + x.lo.numel()))


@slope("aten.mean.default")
def mean_all(at: At, x: Fact, *, dtype: Any = None) -> Entries:
    return averaged(at, torch.mean, x)


@slope("aten.mean.dim")
def mean_dims(at: At, x: Fact, dim: list[int] | None, keepdim: bool = False, *, dtype: Any = None) -> Entries:
    return averaged(at, lambda v: torch.mean(v, dim or None, keepdim), x)


def _pool(name: str) -> None:
    op = overload(name)

    def average(at: At, x: Fact, *args: Any) -> Entries:
        if len(args) > 5 and args[5] is not None and args[5] <= 0:
            raise Refused("its divisor is not positive")
        return averaged(at, lambda v: op(v, *args), x)

    enter(name, average)


for _name in ("avg_pool1d.default", "avg_pool2d.default", "adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default",
              "_adaptive_avg_pool2d.default", "avg_pool3d.default", "_adaptive_avg_pool3d.default",
              "adaptive_avg_pool3d.default"):  # fmt: skip
    _pool(f"aten.{_name}")


@slope("aten.index_add.default")
def index_add(at: At, x: Any, dim: int, index: Tensor, source: Any, *, alpha: float = 1) -> Entries:
    if alpha != 1:
        raise Refused("it scales what it adds (alpha)")
    return rearranged(at, torch.index_add, (0, 3), x, dim, index, source)


def _scattered(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    # Only as much of src as the index has is read; autograd insists on being told.
    read = src[tuple(slice(0, n) for n in index.shape)]
    return torch.scatter_add(x, dim, index, read)


@slope("aten.scatter_add.default")
def scatter_add(at: At, x: Any, dim: int, index: Tensor, src: Any) -> Entries:
    return rearranged(at, _scattered, (0, 3), x, dim, index, src)


@slope("aten.scatter_reduce.two")
def scatter_reduce(
    at: At, x: Any, dim: int, index: Tensor, src: Any, reduce: str, *, include_self: bool = True
) -> Entries:
    only_values_move((x, dim, index, src), {}, (0, 3))
    if reduce not in ("amax", "amin"):
        raise Refused(f"reduce={reduce!r} has no rule")
    # An extreme of a group moves by m times the move of a member, m in [0, 1]; what is not written keeps m = 1, and
    # what is written without itself m = 0: both lie in [0, 1]. `index` may be smaller than src: the rest is not read.
    share = over_zero(at.out)
    taken = rearranged(At(None, share), _scattered, (0, 3), x, dim, index, src)
    return share, None, None, taken[3]


def _from_shape(name: str) -> None:
    def fresh(at: At, x: Fact, *args: Any, **kwargs: Any) -> Entries:
        # A new constant: the result is no fact, so this row is never asked.
        raise Refused("a constant has no slopes")

    enter(name, fresh)


for _name in ("ones_like.default", "zeros_like.default", "full_like.default", "new_zeros.default", "new_ones.default",
              "new_full.default"):  # fmt: skip
    _from_shape(f"aten.{_name}")
_from_shape("aten.sym_size.int")
