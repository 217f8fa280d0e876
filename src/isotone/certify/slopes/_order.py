"""Slopes of maximum and minimum, pooling, sorting: whatever may be chosen has a share in [0, 1]."""

# ruff: noqa: PLR0917 (a row takes what its operator's schema says, in that order)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, as_fact
from .._rounding import linear
from ..rules._arithmetic import times
from ..rules._linear import each
from ..rules._order import larger, turned
from ._adjoints import adjoint, over_zero
from ._arithmetic import to
from ._table import At, Entries, enter, slope


def shares(a: Fact, b: Fact) -> tuple[Fact, Fact]:
    """Of max(a, b): it moves by m times the move of an operand, m in [0, 1]; m = 1 if that is always the larger."""
    # Where each is always the larger they are equal and fixed, and any m will do.
    a_wins, b_wins = a.lo >= b.hi, b.lo >= a.hi
    return (
        adjoint((a_wins & ~b_wins).double(), (~b_wins).double()),
        adjoint((b_wins & ~a_wins).double(), (~a_wins).double()),
    )


def of_larger(out: Fact, a: Any, b: Any) -> Entries:
    first, second = shares(as_fact(a), as_fact(b))
    return to(times(out, first), a), to(times(out, second), b)


def of_smaller(out: Fact, a: Any, b: Any) -> Entries:
    """min(a, b) = -max(-a, -b): the two signs cancel."""
    first, second = shares(turned(as_fact(a)), turned(as_fact(b)))
    return to(times(out, first), a), to(times(out, second), b)


@slope("aten.maximum.default", "aten.max.other", "aten.fmax.default")
def maximum(at: At, a: Any, b: Any) -> Entries:
    return of_larger(at.out, a, b)


@slope("aten.minimum.default", "aten.min.other", "aten.fmin.default")
def minimum(at: At, a: Any, b: Any) -> Entries:
    return of_smaller(at.out, a, b)


@slope("aten.clamp.Tensor")
def clamp(at: At, x: Any, low: Any = None, high: Any = None) -> Entries:
    # min(max(x, low), high), one after the other. What max(x, low) is broadcast to is summed once, at the end.
    inner = as_fact(x) if low is None else larger(as_fact(x), as_fact(low))
    out, to_high = (at.out, None) if high is None else of_smaller(at.out, inner, high)
    if low is None:
        return to(out, x), None, to_high
    return *of_larger(out, x, low), to_high


def extreme(out: Fact, x: Fact, dims: list[int], keepdim: bool) -> Entries:
    """The largest along dimensions (all of them for an empty list)."""
    dims = [d % max(x.lo.dim(), 1) for d in dims] or list(range(x.lo.dim()))
    if not keepdim and x.lo.dim():
        for d in sorted(dims):
            out = each(out, lambda t, d=d: t.unsqueeze(d))  # type: ignore[misc]
    if not x.lo.dim():
        return (out,)
    # Moving one element at a time: it has no share while another is always as large, and all of it if none other may
    # be. A fixed element that is its own rival gets 0, and does not move.
    may = x.hi >= x.lo.amax(dims, keepdim=True)
    alone = may & (may.sum(dims, keepdim=True) == 1)
    return (times(out, adjoint(alone.double(), may.double())),)


@slope("aten.amax.default")
def amax(at: At, x: Fact, dim: Any = (), keepdim: bool = False) -> Entries:
    return extreme(at.out, x, list(dim), keepdim)


@slope("aten.amin.default")
def amin(at: At, x: Fact, dim: Any = (), keepdim: bool = False) -> Entries:
    return extreme(at.out, turned(x), list(dim), keepdim)


@slope("aten.max.default")
def max_all(at: At, x: Fact) -> Entries:
    return extreme(at.out, x, [], False)


@slope("aten.min.default")
def min_all(at: At, x: Fact) -> Entries:
    return extreme(at.out, turned(x), [], False)


@slope("aten.max.dim")
def max_dim(at: At, x: Fact, dim: int, keepdim: bool = False) -> Entries:
    return extreme(at.out[0], x, [dim], keepdim)


@slope("aten.min.dim")
def min_dim(at: At, x: Fact, dim: int, keepdim: bool = False) -> Entries:
    return extreme(at.out[0], turned(x), [dim], keepdim)


def _ranked(out: Fact, x: Fact, dim: int) -> Entries:
    # Along the segment between the two points the Jacobian is a permutation matrix (some of its rows for topk), so the
    # difference is an average of those: element i gets sum_j m_j out_j with m_j >= 0 and sum m_j = 1 (<= 1 for topk).
    if not x.lo.dim():
        return (out,)
    low, high = out.lo.amin(dim, keepdim=True), out.hi.amax(dim, keepdim=True)
    if out.shape[dim] < x.shape[dim]:
        low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    return (adjoint(low.expand(x.shape), high.expand(x.shape)),)


@slope("aten.sort.default")
def sort(at: At, x: Fact, dim: int = -1, descending: bool = False) -> Entries:
    return _ranked(at.out[0], x, dim)


@slope("aten.topk.default")
def topk(at: At, x: Fact, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Entries:  # noqa: A002
    # Unsorted values are Unknown going forward, so their adjoint never arrives here.
    return _ranked(at.out[0], x, dim)


def _members(ins: int, outs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """1 where a window (row) reads an element (column)."""
    found = torch.zeros(outs, ins, dtype=torch.float64)
    for window in range(outs):
        places = [window * stride - padding + k * dilation for k in range(kernel)]
        found[window, [p for p in places if 0 <= p < ins]] = 1.0
    return found


def _adaptive(ins: int, outs: int) -> Tensor:
    found = torch.zeros(outs, ins, dtype=torch.float64)
    for window in range(outs):
        found[window, window * ins // outs : -((-(window + 1) * ins) // outs)] = 1.0
    return found


def windowed(out: Fact, members: list[Tensor]) -> Entries:
    """Each element has a share in [0, 1] of every window that reads it."""
    share = over_zero(out)
    for place, table in enumerate(reversed(members)):
        last = -1 - place
        moved = each(share, lambda t, d=last: t.movedim(d, -1))  # type: ignore[misc]
        # As many roundings as an element has windows, less one: none where windows do not overlap.
        moved = linear(torch.matmul, moved, table, n=int(table.sum(0).max()) - 1)
        share = each(moved, lambda t, d=last: t.movedim(-1, d))  # type: ignore[misc]
    return (share,)


def _pool(name: str, count: int) -> None:
    def listed(value: Any, default: int) -> list[int]:
        found = [value] if isinstance(value, int) else list(value or [])
        return (found or [default]) * (1 if len(found) == count else count)

    def pool(
        at: At, x: Fact, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> Entries:
        out = at.out[0] if isinstance(at.out, tuple) else at.out
        kernels = listed(kernel, 1)
        strides = listed(stride, 0) if stride else kernels
        shape = zip(x.shape[-count:], out.shape[-count:], strict=True)
        parts = zip(shape, kernels, strides, listed(padding, 0), listed(dilation, 1), strict=True)
        return windowed(out, [_members(i, o, k, s, p, d) for (i, o), k, s, p, d in parts])

    enter(name, pool)


for _name, _count in (("max_pool1d.default", 1), ("max_pool2d.default", 2),
                      ("max_pool3d.default", 3), ("max_pool1d_with_indices.default", 1),
                      ("max_pool2d_with_indices.default", 2), ("max_pool3d_with_indices.default", 3)):  # fmt: skip
    _pool(f"aten.{_name}", _count)


def _adaptive_pool(name: str, count: int) -> None:
    def pool(at: At, x: Fact, size: Any) -> Entries:
        out = at.out[0]
        return windowed(out, [_adaptive(i, o) for i, o in zip(x.shape[-count:], out.shape[-count:], strict=True)])

    enter(name, pool)


for _name, _count in (("adaptive_max_pool1d.default", 1), ("adaptive_max_pool2d.default", 2),
                      ("adaptive_max_pool3d.default", 3)):  # fmt: skip
    _adaptive_pool(f"aten.{_name}", _count)
