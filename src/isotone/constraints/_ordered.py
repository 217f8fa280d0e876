"""Sequences that rise or fall: isotonic regression on every vector at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ..errors import BadInput
from ._dims import Along, as_rows, by_chunks, from_rows
from ._rounding import settled, wide
from ._smooth import inverse_softplus


@final
@dataclass(frozen=True)
class Increasing(Along):
    """Every vector along `dim` non-decreasing, exactly: the heights of a monotone calibrator.

    Source: pooling of adjacent violators, Barlow et al., Statistical Inference under Order Restrictions (1972). Blocks
    may be pooled in any order, so all violating neighbours of all vectors are pooled at once, round after round; about
    log2 of the entries are usual, the number of entries is the most. Not for CUDA graphs: the rounds are counted.

    >>> Increasing().project(torch.tensor([1.0, 3.0, 2.0]))
    tensor([1.0000, 2.5000, 2.5000])
    """

    dim: int = -1

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """Neighbours in the wrong order are replaced by their mean, with a metric by their weighted mean."""
        dims = self.dims(w.ndim)
        weights = None if metric is None else as_rows(metric, dims).to(wide(w))
        return from_rows(by_chunks(as_rows(w, dims), weights, pooled), w, dims)

    def parametrized(self, raw: Tensor) -> Tensor:
        """The first entry, and steps by softplus."""
        dim = self._one(raw)
        first, rest = raw.narrow(dim, 0, 1), raw.narrow(dim, 1, raw.shape[dim] - 1)
        return torch.cat([first, F.softplus(rest)], dim).cumsum(dim)

    def raw(self, w: Tensor) -> Tensor:
        """The first entry and the inverse of each step; a step of 0, where the map is flat, is made a little longer."""
        dim = self._one(w)
        return torch.cat([w.narrow(dim, 0, 1), inverse_softplus(w.diff(dim=dim))], dim)

    def _one(self, w: Tensor) -> int:
        dims = self.dims(w.ndim)
        if len(dims) > 1:
            raise BadInput(repr(self), "a sequence over several dimensions came", "its smooth map takes one")
        return dims[0]


@final
@dataclass(frozen=True)
class Decreasing(Along):
    """Every vector along `dim` non-increasing, exactly. See `Increasing`.

    >>> Decreasing().project(torch.tensor([1.0, 3.0, 2.0]))
    tensor([2., 2., 2.])
    """

    dim: int = -1
    elementwise: ClassVar[bool] = False

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """As `Increasing`, read from the end."""
        dims = self.dims(w.ndim)
        turned = None if metric is None else metric.flip(dims)
        return Increasing(self.dim).project(w.flip(dims), turned).flip(dims)

    def parametrized(self, raw: Tensor) -> Tensor:
        """As `Increasing`, read from the end."""
        dims = self.dims(raw.ndim)
        return Increasing(self.dim).parametrized(raw.flip(dims)).flip(dims)

    def raw(self, w: Tensor) -> Tensor:
        """As `Increasing`, read from the end."""
        dims = self.dims(w.ndim)
        return Increasing(self.dim).raw(w.flip(dims)).flip(dims)


def pooled(rows: Tensor, weights: Tensor | None) -> Tensor:
    """Each row's nearest non-decreasing one; entries that need no pooling come back as they were."""
    if rows.is_meta or rows.numel() == 0 or settled((rows[:, :-1] <= rows[:, 1:]).all()):
        return rows
    y = rows.to(wide(rows))
    mass = torch.ones_like(y) if weights is None else weights
    starts = torch.ones_like(y, dtype=torch.bool)
    value = y
    while True:
        # A run of blocks that fall, b1 > b2 > b3, may be pooled at once: the mean of b1 and b2 is above b3 still.
        falls = starts[:, 1:] & (value[:, :-1] > value[:, 1:])
        if not bool(falls.any()):
            break
        starts[:, 1:] &= ~falls
        block = starts.cumsum(1) - 1
        total = torch.zeros_like(y).scatter_add_(1, block, mass * y).gather(1, block)
        weight = torch.zeros_like(y).scatter_add_(1, block, mass).gather(1, block)
        last = torch.ones_like(starts)
        last[:, :-1] = starts[:, 1:]
        value = torch.where(starts & last, y, total / weight)
    return value.to(rows.dtype)
