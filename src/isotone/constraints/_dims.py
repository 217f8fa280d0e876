"""Which dimensions of a weight belong to one member of a set: torch's `dim`, the dimensions that are reduced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ._base import Constraint

Dims = int | tuple[int, ...] | Literal["inputs"] | None

_CHUNK = 1 << 16  # entries

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ROWS = (nn.Linear, nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


class Along(Constraint):
    """A set of vectors: those that `dim` cuts out of the weight. A field `dim` is what it needs."""

    dim: Any  # Dims, given by each set as a field with a default of its own
    takes_metric: ClassVar[bool] = True

    def for_layer(self, module: nn.Module, name: str) -> Self:
        """With the dimensions over which `module` sums its inputs, for `dim="inputs"`."""
        if isinstance(self.dim, list | range):  # what is held can be hashed
            return dataclasses.replace(self, dim=tuple(self.dim))  # type: ignore[type-var]
        if self.dim != "inputs":
            return self
        return dataclasses.replace(self, dim=inputs_of(module, name))  # type: ignore[type-var]

    def raw(self, w: Tensor) -> Tensor:
        """As it is: right for a set whose map leaves members alone."""
        return w.clone()

    def dims(self, ndim: int) -> tuple[int, ...]:
        """The reduced dimensions as negative numbers, in order."""
        return reduced(self.dim, ndim, type(self).__name__)

    def check(self, w: Tensor) -> None:
        """Sizes must be normal numbers of the dtype of `w`, or 0."""
        info = torch.finfo(w.dtype)
        for name in ("min", "max", "radius", "total"):
            size = getattr(self, name, 0.0)
            too_large = size > info.max and name in {"min", "total"}
            if 0 < size < info.tiny or too_large:
                raise BadInput(repr(self), f"{name}={size} is no normal number of {w.dtype}", "another one is right")
        self.project(w)

    def together(self, ndim: int) -> tuple[int, ...] | None:
        """A vector is projected whole."""
        return self.dims(ndim)


def reduced(dim: Dims, ndim: int, where: str) -> tuple[int, ...]:
    """As negative numbers, in order: they stay right when dimensions are added in front, as `vmap` does.

    >>> reduced((0, 2), 3, "MaxNorm"), reduced(None, 2, "MaxNorm")
    ((-3, -1), (-2, -1))
    """
    if dim == "inputs":
        raise BadInput(
            where,
            "dim='inputs' came for a bare tensor",
            "the dimensions that make one vector, as dim=-1, are right",
            "`constrain` reads them off the layer.",
        )
    if dim is None:
        return tuple(range(-ndim, 0))
    given: tuple[Any, ...] = tuple(dim) if isinstance(dim, tuple | list | range) else (dim,)
    wanted = tuple(int(each) for each in given if not isinstance(each, bool) and isinstance(each, Integral))
    if len(wanted) < len(given):
        raise BadInput(where, f"dim={dim!r} came", "a number, a tuple of them, None, or 'inputs', is right")
    for each in wanted:
        if not -ndim <= each < ndim:
            raise BadInput(where, f"weights of {ndim} dimensions came", f"dim={dim} must be some of theirs")
    negative = tuple(sorted({each % ndim - ndim for each in wanted}))
    if len(negative) != len(wanted):
        raise BadInput(where, f"dim={dim} came for {ndim} dimensions", "each dimension once would be right")
    return negative


def inputs_of(module: nn.Module, name: str) -> tuple[int, ...]:
    """The dimensions that a layer sums over for one output unit; for an embedding, the numbers of one row.

    >>> inputs_of(nn.Conv2d(3, 8, 5), "weight"), inputs_of(nn.Linear(3, 2), "weight")
    ((-3, -2, -1), (-1,))
    """
    parameter = getattr(module, name)
    if parameter.ndim >= 2:
        if isinstance(module, _CONVOLUTIONS):
            return tuple(range(1 - parameter.ndim, 0))
        if isinstance(module, _TRANSPOSED) and module.groups == 1:  # (in, out, ...): with groups a unit is not a slice
            return tuple(d for d in range(-parameter.ndim, 0) if d != 1 - parameter.ndim)
        if isinstance(module, nn.Bilinear):
            return (-2, -1)
        if isinstance(module, _ROWS):
            return (-1,)
    raise BadInput(
        "dim='inputs'",
        f"{name!r} of {type(module).__name__} has shape {tuple(parameter.shape)}, "
        "and which of it is summed is not known",
        "say which dimensions make one vector, as dim=-1",
    )


def as_rows(w: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The vectors as rows of a matrix, (vectors, entries): a view where there can be one."""
    others = [d for d in range(-w.ndim, 0) if d not in dims]
    entries = 1
    for d in dims:
        entries *= w.shape[d]
    turned = w.permute([d % w.ndim for d in (*others, *dims)])
    return turned.reshape(turned.shape[: len(others)].numel(), entries)


def by_chunks(rows: Tensor, weights: Tensor | None, function: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
    """`function` of a few rows at a time, so that they and its copies of them stay in a core's cache."""
    if rows.numel() == 0:  # a process may hold an empty part of a weight
        return rows.clone()
    parts = chunks(rows)
    if len(parts) == 1:
        return function(rows, weights)
    return torch.cat([function(rows[part], None if weights is None else weights[part]) for part in parts])


def chunks(rows: Tensor) -> list[slice]:
    """Rows that are worked on together: those that fit into a core's cache, or all of them on another device."""
    height = max(1, _CHUNK // max(1, rows.shape[1]))
    if rows.is_cuda or rows.is_meta or rows.shape[0] <= height:
        return [slice(None)]
    return [slice(start, start + height) for start in range(0, rows.shape[0], height)]


def from_rows(rows: Tensor, like: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Back to the shape of `like`."""
    order = [d % like.ndim for d in (*(d for d in range(-like.ndim, 0) if d not in dims), *dims)]
    back = [order.index(d) for d in range(like.ndim)]
    return rows.reshape([like.shape[d] for d in order]).permute(back)
