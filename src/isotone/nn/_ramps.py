"""Numbers as ramps: each stretch between two quantiles of a feature becomes an input of its own.

A network on raw numbers of limited size stalls near the linear fit; on ramps a non-negative linear layer is already any
increasing piecewise linear function of each feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import BadInput

_LARGEST = 3e38  # in float32 and bfloat16


class Ramps(nn.Module):
    """Every component is non-decreasing in its feature: 0 before a stretch, rising to 1 along it, 1 after; log tails.

    Args:
        knots: for each feature its knots, strictly ascending, at least two, finite in float32; in the feature's units.

    Shapes: (rows, features) -> (rows, out_features), with one component per stretch and two tails per feature.
    `owner` tells which feature a component belongs to.

    >>> ramps = isotone.nn.Ramps([torch.tensor([0.0, 1.0, 3.0])])
    >>> ramps(torch.tensor([[2.0], [9.0]]))
    tensor([[1.0000, 0.5000, 0.0000, 0.0000],
            [1.0000, 1.0000, 0.0000, 1.6094]])
    """

    owner: Tensor
    tail_owner: Tensor
    left: Tensor
    width: Tensor
    first: Tensor
    last: Tensor
    scale: Tensor

    def __init__(self, knots: Sequence[Tensor]) -> None:
        super().__init__()
        knots = [torch.as_tensor(k, dtype=torch.float64) for k in knots]
        if any(len(k) < 2 or not bool((k.diff() > 0).all()) or not bool(k.float().isfinite().all()) for k in knots):
            raise ValueError("Ramps: each feature needs at least two knots, strictly ascending and finite in float32.")
        stretches = torch.tensor([len(k) - 1 for k in knots])
        features = torch.arange(len(knots))
        self.register_buffer("stretch_owner", features.repeat_interleave(stretches))
        self.register_buffer("left", torch.cat([k[:-1] for k in knots]).float())
        # A stretch too narrow for float32 is a step; a width of 0 would make NaN of its left end.
        self.register_buffer("width", torch.cat([k.diff() for k in knots]).float().clamp(min=1e-30))
        self.register_buffer("first", torch.stack([k[0] for k in knots]).float())
        self.register_buffer("last", torch.stack([k[-1] for k in knots]).float())
        # A tail is measured in units of half the range of the knots: far outliers count, but only as their logarithm.
        self.register_buffer("scale", torch.stack([k[-1] - k[0] for k in knots]).float().mul(0.5).clamp(min=1e-30))
        self.register_buffer("owner", torch.cat([self.stretch_owner, features, features]))
        self.out_features = len(self.owner)

    stretch_owner: Tensor

    def stretches(self) -> tuple[Tensor, Tensor]:
        """Where each stretch begins, and how wide it is (above 0)."""
        return self.left, self.width

    def forward(self, x: Tensor) -> Tensor:
        """The components."""
        left, width = self.stretches()
        inner = ((x[:, self.stretch_owner] - left) / width).clamp(0, 1)
        # A tail that overflowed would make NaN of a weight of 0: the clamp keeps it finite, and as monotone.
        below = 0.0 - torch.log1p((torch.relu(self.first - x) / self.scale).clamp(max=_LARGEST))
        above = torch.log1p((torch.relu(x - self.last) / self.scale).clamp(max=_LARGEST))
        return torch.cat([inner, below, above], dim=1)


def quantile_knots(column: Tensor, stretches: int = 16) -> Tensor:
    """Knots at the quantiles of a column, each once; a constant column gets knots one unit apart, or a millionth of it.

    Args:
        column: shape (rows,), finite in float32.
        stretches: how many stretches at most.

    Raises:
        BadInput: no rows, NaN, or numbers that are infinite in float32.

    >>> quantile_knots(torch.tensor([1.0, 2.0, 2.0, 2.0, 5.0]), stretches=4)
    tensor([1., 2., 5.], dtype=torch.float64)
    """
    if not len(column) or not bool(column.float().isfinite().all()):
        raise BadInput("quantile_knots", "a column that is empty, or not finite in float32, came", "numbers are right")
    levels = torch.linspace(0, 1, stretches + 1, dtype=torch.float64, device=column.device)
    # float32 first: knots that differ only in float64 would coincide in the network's own arithmetic.
    knots = torch.unique(torch.quantile(column.double(), levels).float().double())
    half = float(knots.abs().max() * 1e-6) / 2  # far from 0, one unit is less than the spacing of floats
    return knots if len(knots) > 1 else torch.stack([knots[0] - max(0.5, half), knots[0] + max(0.5, half)])
