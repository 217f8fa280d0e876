"""Outputs with directions of their own: those that agree share a network, the others get one each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..directions import Directions, as_directions
from ..errors import BadInput
from ._dense import MonotoneMLP


class PerOutput(nn.Module):
    """A monotone network with one row of directions per output.

    A hidden unit that one output uses with +1 and another with -1 could serve neither, so outputs share a network only
    where their rows are the same.

    Args:
        in_features: numbers in a row.
        hidden: of each network, as in `MonotoneMLP`.
        directions: for each output one for all inputs, or one per input.
        settings: of `MonotoneMLP`.

    Shapes: (rows, in_features) -> (rows, outputs). Cost: a `MonotoneMLP` for each different row of directions.

    >>> net = isotone.nn.PerOutput(2, (8,), directions=[(+1, +1), (+1, -1), (+1, +1)])
    >>> len(net.networks), net(torch.zeros(4, 2)).shape
    (2, torch.Size([4, 3]))
    """

    order: Tensor

    def __init__(
        self, in_features: int, hidden: Sequence[int] = (64, 64), directions: Sequence[Directions] = (), **settings: Any
    ) -> None:
        super().__init__()
        rows = [as_directions(row.tolist() if hasattr(row, "tolist") else row, in_features) for row in directions]
        if not rows:
            raise BadInput("PerOutput", "no directions came", "a row of them for each output is right")
        self.directions = tuple(rows)
        kinds = list(dict.fromkeys(rows))
        members = [[i for i, row in enumerate(rows) if row == kind] for kind in kinds]
        self.networks = nn.ModuleList(
            MonotoneMLP(in_features, hidden, kind, len(some), **settings)
            for kind, some in zip(kinds, members, strict=True)
        )
        self.register_buffer("order", torch.tensor([i for some in members for i in some]).argsort(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, in the order of their directions."""
        return torch.cat([network(x) for network in self.networks], dim=-1)[..., self.order]
