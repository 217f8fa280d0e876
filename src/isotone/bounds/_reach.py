"""The rows that at most k additions make of a row, and the worst that a linear function meets among them.

Each feature that moves costs one addition and goes anywhere up to its target. For a linear function the worst is to
move the k features that lower it most, each all the way: exactly, whatever the row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attack import Moves

# Relative; more than float64 loses in a sum of 2**20 terms, and than it loses before in `target - x`.
SLACK = 2.0**-30


@dataclass(frozen=True, eq=False)
class Reach:
    """What is in reach of some rows.

    Args:
        x: shape (n, d), float64.
        span: shape (n, d), float64: how far each feature can move, signed; 0 where it cannot.
        most: shape (n,), int64: how many may move.
        far: shape (d,), float64: the size of each target; 0 where nothing moves.
    """

    x: Tensor
    span: Tensor
    most: Tensor
    far: Tensor

    @classmethod
    def of(cls, x: Tensor, moves: Moves, most: Tensor) -> Reach:
        """In reach of rows that are float32, as the model takes them."""
        span = torch.where(moves.available(x), moves.target.double() - x.double(), 0.0)
        return cls(x.double(), span, most, torch.where(moves.addable, moves.target.double().abs(), 0.0))

    def with_most(self, most: Tensor) -> Reach:
        """Of the same rows, with so many additions."""
        return replace(self, most=most)

    def part(self, rows: Tensor) -> Reach:
        """Of some of the rows."""
        return replace(self, x=self.x[rows], span=self.span[rows], most=self.most[rows])

    @property
    def wide(self) -> Tensor:
        """The spans that can be used at all, shape (n, d)."""
        return torch.where(self.most[:, None] > 0, self.span, 0.0)

    @property
    def low(self) -> Tensor:
        """Shape (n, d): the least value of each feature."""
        return self.x + self.wide.clamp(max=0.0) * (1 + SLACK)

    @property
    def high(self) -> Tensor:
        """Shape (n, d): the largest."""
        return self.x + self.wide.clamp(min=0.0) * (1 + SLACK)

    def dearest(self, cost: Tensor) -> Tensor:
        """The sum of the `most` largest costs, shape (n, ..., d) >= 0 to (n, ...); rounded up."""
        width = cost.shape[-1]
        most = self.most.clamp(max=width)
        top = int(most.max()) if len(most) else 0
        if top == 0:
            return cost.new_zeros(cost.shape[:-1])
        if bool((most == width).all()):
            return cost.sum(-1) * (1 + SLACK)
        largest = cost.topk(top, dim=-1, sorted=True).values
        counted = torch.arange(top) < most.reshape(-1, *[1] * (cost.dim() - 1))
        return torch.where(counted, largest, 0.0).sum(-1) * (1 + SLACK)
