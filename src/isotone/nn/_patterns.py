"""The largest over known bad patterns: how much of one a row contains, beyond what harmless rows contain of it.

Every unit is a pattern: weights of at least 0 on the parts of a row, and a threshold. A row scores what its best
pattern scores, so weak signs of many patterns do not add up to an alarm, and what is added can only complete patterns.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..constraints import NonNegative, constrain
from ..directions import Directions, as_directions
from ..errors import BadInput

# What the weights of a pattern made from data add up to: it sets a weight against a step of training.
TOTAL = 16.0
# A pattern must stand out from benign rows by more than rounding; where none does, so many take part.
_CLEAR, _FEW = 1e-5, 8
_LEAST = 0.05
# Numbers in the widest register of today's processors: 16 in float32.
_WIDE = 16


def worth(bad: Tensor, benign: Tensor, benign_weight: Tensor, odds: float) -> Tensor:
    """What each part of a pattern weighs to begin with: rarity^(1 - odds) * log odds^odds, at least a little.

    Rarity is the negative logarithm of a part's share of benign rows, the odds compare its shares of bad and benign
    rows. Both shares are taken with one row more that has the part and one that has not.
    """
    share = (benign_weight @ benign + 1) / (benign_weight.sum() + 2)
    rarity = -torch.log(share)
    if not odds:
        return rarity
    told = torch.log((bad.sum(0) + 1) / (len(bad) + 2) / share).clamp(min=_LEAST)
    return rarity ** (1 - odds) * told**odds


class MaxPatterns(nn.Module):
    """The largest of `weight @ parts(x) - threshold` over units; never falls along a direction.

    A part is a feature that has reached a level, as a number from 0 to 1: a stretch between two knots, read upwards for
    a feature of direction +1 and downwards for one of -1. Features of direction 0 are ignored: whatever they are, the
    score is the same. Between its last knots a feature's parts saturate, so a count beyond all that was seen counts as
    the largest that was seen.

    The floats themselves keep the order: a product with weights of at least 0 in a fixed order of addition is
    non-decreasing, and so is a maximum. (In blocks of one size; other sizes may add up in another order.)

    Args:
        knots: for each feature its knots, ascending, finite in float32; fewer than two leave the feature out.
        units: patterns, at least 1.
        directions: one for all features, or one per feature.

    Shapes: (rows, features) -> (rows, 1). Cost: of `nn.Linear(parts, units)`.

    Raises:
        BadInput: no feature with a direction has two knots, or fewer than one unit.

    >>> net = isotone.nn.MaxPatterns([[0.0, 1.0]] * 3, units=4, directions=(+1, -1, 0))
    >>> net(torch.zeros(5, 3)).shape
    torch.Size([5, 1])
    """

    owner: Tensor
    first: Tensor
    step: Tensor

    def __init__(self, knots: Sequence[Sequence[float]], units: int = 64, directions: Directions = +1) -> None:
        super().__init__()
        self.directions = as_directions(directions, len(knots))
        owner, first, step = [], [], []
        for feature, (levels, way) in enumerate(zip(knots, self.directions, strict=True)):
            for low, high in itertools.pairwise(levels) if way else ():
                owner.append(feature)
                first.append(low if way > 0 else high)
                step.append(high - low if way > 0 else low - high)
        if not owner or units < 1:
            raise BadInput(
                "MaxPatterns",
                f"{units} units and {len(owner)} parts came",
                "at least 1 of each is right: a feature with a direction and two knots",
            )
        self.arguments: dict[str, Any] = {
            "knots": [[float(level) for level in levels] for levels in knots],
            "units": units,
            "directions": list(self.directions),
        }
        self.seeds = torch.arange(0)
        self.register_buffer("owner", torch.tensor(owner))
        self.register_buffer("first", torch.tensor(first, dtype=torch.float32))
        # The sign is that of the direction; a stretch too narrow for float32 is a step.
        step_ = torch.tensor(step, dtype=torch.float32)
        self.register_buffer("step", torch.where(step_ < 0, step_.clamp(max=-1e-30), step_.clamp(min=1e-30)))
        self.weight = nn.Parameter(torch.rand(units, len(owner)) * (2 / len(owner)))
        self.threshold = nn.Parameter(torch.linspace(0.5, 1.5, units))
        constrain(self, "weight", NonNegative())

    @classmethod
    @torch.no_grad()
    def from_data(
        cls,
        knots: Sequence[Sequence[float]],
        bad: Tensor,
        benign: Tensor,
        directions: Directions = +1,
        *,
        units: int = 1024,
        benign_weight: Tensor | None = None,
        odds: float = 0.5,
    ) -> Self:
        """A pattern of each bad row that no benign row contains, its threshold at the most that a benign row contains.

        Args:
            knots, directions: as above.
            bad, benign: (rows, features).
            units: patterns at most, evenly spread over the bad rows that have one.
            benign_weight: shape (benign rows,); None for 1 each.
            odds: whether a part weighs by its rarity among benign rows (0), by its odds (1), or by something between.

        The network's `seeds` are the numbers of the bad rows behind its patterns. Where benign rows contain every bad
        row, those bad rows start a pattern that come nearest to standing out.

        Cost: bad rows times benign rows times parts.

        >>> net = isotone.nn.MaxPatterns.from_data([[0.0, 1.0]] * 2, torch.tensor([[1.0, 1.0]]), torch.eye(2))
        >>> (net(torch.tensor([[1.0, 1.0], [1.0, 0.0]])) > 0).tolist()
        [[True], [False]]
        """
        coder = cls(knots, 1, directions)
        bad, benign = coder.parts(bad), coder.parts(benign)
        weight = torch.ones(len(benign)) if benign_weight is None else benign_weight
        whole = bad * worth(bad, benign, weight, odds)
        whole *= TOTAL / whole.sum(1).mean().clamp(min=1e-6)
        threshold = torch.cat([(benign @ whole[a : a + 1024].T).amax(0) for a in range(0, len(whole), 1024)])
        margin = (whole * bad).sum(1) - threshold
        seeds = torch.nonzero(margin > _CLEAR * TOTAL)[:, 0]
        if not len(seeds):
            seeds = torch.topk(margin, min(len(margin), _FEW)).indices.sort().values
        if len(seeds) > units:
            seeds = seeds[torch.linspace(0, len(seeds) - 1, units).round().long()]
        net = cls(knots, len(seeds), directions)
        net.weight.copy_(whole[seeds])
        net.threshold.copy_(threshold[seeds])
        net.seeds = seeds
        return net

    @property
    def units(self) -> int:
        """How many patterns."""
        return self.weight.shape[0]

    def parts(self, x: Tensor) -> Tensor:
        """(rows, features) -> (rows, parts), each from 0 to 1."""
        return ((x[:, self.owner] - self.first) / self.step).clamp(0, 1)

    def evidence(self, parts: Tensor) -> Tensor:
        """(rows, parts) -> (rows, units): how far each pattern is contained, beyond its threshold."""
        if self.training:
            return nn.functional.linear(parts, self.weight, -self.threshold)
        # In sizes that are no multiple of _WIDE a product adds up in another order at some rows than at others, and two
        # rows that are ordered may come out unordered by the last bit. Zeros more change no sum.
        units, wide, more = self.units, -parts.shape[-1] % _WIDE, -self.units % _WIDE
        pad = nn.functional.pad
        weight, threshold = pad(self.weight, (0, wide, 0, more)), pad(self.threshold, (0, more))
        return nn.functional.linear(pad(parts, (0, wide)), weight, -threshold)[..., :units]

    def forward(self, x: Tensor) -> Tensor:
        """The largest evidence."""
        return self.evidence(self.parts(x)).amax(dim=1, keepdim=True)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"features={len(self.directions)}, parts={len(self.owner)}, units={self.units}"
