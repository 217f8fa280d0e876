"""Ramps whose knots are learned: the ends stay, what lies between moves, and no two knots ever change places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._ramps import Ramps

# A stretch has at least this part of what an even share would give it, so that its slope stays finite.
_LEAST = 1e-3


class LearnedRamps(Ramps):
    """`Ramps` that starts at the knots it is given and learns where the inner ones should be.

    Each stretch has a share of its feature's range, a softmax of free parameters with a floor: widths are above 0
    whatever is learned, so every component is non-decreasing in its feature, as with fixed knots. Give these parameters
    a higher learning rate than the rest if knots are to move far.

    Args:
        knots: as for `Ramps`. A stretch narrower than a thousandth of an even share starts with that much.

    Shapes: as `Ramps`. Cost: as `Ramps`, and a softmax over the knots.

    >>> ramps = isotone.nn.LearnedRamps([torch.tensor([0.0, 1.0, 3.0])])
    >>> [round(x, 3) for x in ramps(torch.tensor([[2.0]]))[0].tolist()]
    [1.0, 0.5, 0.0, 0.0]
    >>> [name for name, _ in ramps.named_parameters()]
    ['logits']
    """

    place: Tensor
    there: Tensor

    def __init__(self, knots: Sequence[Tensor]) -> None:
        super().__init__(knots)
        counts = torch.bincount(self.stretch_owner, minlength=len(knots))
        most = int(counts.max())
        there = torch.arange(most) < counts[:, None]  # (features, most)
        self.register_buffer("there", there, persistent=False)
        self.register_buffer("place", there.flatten().nonzero()[:, 0], persistent=False)
        self.register_buffer("least", (_LEAST / counts.float())[:, None], persistent=False)
        share = torch.zeros(there.shape)
        share[there] = self.width / (self.last - self.first).clamp(min=1e-30)[self.stretch_owner]
        above = ((share - self.least) / (1 - _LEAST)).clamp(min=_LEAST / most)
        self.logits = nn.Parameter(torch.where(there, above.log(), 0.0))

    least: Tensor

    def stretches(self) -> tuple[Tensor, Tensor]:
        """As they have been learned."""
        # -1e4 and not -inf: its exponential is 0 all the same, and its gradient is no NaN.
        free = torch.where(self.there, self.logits, -1e4).softmax(dim=1)
        share = torch.where(self.there, self.least + (1 - _LEAST) * free, 0.0)
        width = share * (self.last - self.first)[:, None]
        left = self.first[:, None] + width.cumsum(1) - width
        # A range below what float32 can divide by is a step.
        return left.flatten()[self.place], width.flatten()[self.place].clamp(min=1e-30)
