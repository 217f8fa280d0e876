"""Random weights of given moments inside a set.

- what the set says of signs is asked of the set, so that every set, also one of the user's, is drawn for;
- where a sign is given the numbers are log-normal: none is at the wall, many are small and some are large. A sum of
  many non-negative numbers tells one unit from another only by few large ones: the moments of the theory are those of a
  unit that listens to three or four others, however many there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..constraints import Constraint
from ._signals import Plan

# So many weights have moments of their own that can be trusted; of more than the second number some are enough.
_FEW, _ENOUGH = 64, 2**21


def signs_of(constraint: Constraint, weight: Tensor) -> Tensor:
    """(units, inputs): +1 where the set has no negative numbers, -1 where it has no positive ones, else 0.

    >>> signs_of(isotone.Sign((1, -1, 0)), torch.empty(1, 3))
    tensor([[ 1, -1,  0]], dtype=torch.int32)
    """
    ones = torch.ones_like(weight)
    signs = (constraint.project(-ones) >= 0).int() - (constraint.project(ones) <= 0).int()
    return signs.flatten(1).cpu()


def fill_(
    weight: Tensor, constraint: Constraint, planned: Plan, signs: Tensor, generator: torch.Generator | None
) -> bool:
    """Draw the weight and project it. Returns whether the set changed it."""
    wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
    z = torch.randn(signs.shape, generator=generator, dtype=wide, device=weight.device)
    signs = signs.to(z)
    sized = log_normal(z, planned.mean.to(z), planned.std, signs != 0)
    drawn = torch.where(signs == 0, planned.free_std * z, signs * sized).view_as(weight).to(weight.dtype)
    weight.copy_(constraint.project(drawn))
    return not torch.equal(weight, drawn)


def log_normal(z: Tensor, mean: Tensor, std: float, used: Tensor) -> Tensor:
    """Log-normal numbers from normal ones, of those moments over the numbers that are used; 0 elsewhere.

    Of a log-normal this wide most of E w^2 is in numbers so rare that a layer has none of them: 256 x 256 weights drawn
    with the variance of the theory have about half of it. So the spread is stretched until the layer itself has the
    moments, within bounds.

    Args:
        z: (units, inputs), standard normal.
        mean: (units, 1).
        used: (units, inputs) bool.
    """
    used = used & (mean > 0)
    mean = torch.where(mean > 0, mean, 1.0)
    spread = torch.log1p((std / mean) ** 2).sqrt()
    if used.sum() < _FEW:
        return torch.where(used, mean * torch.exp(spread * z - spread**2 / 2), 0.0)
    rows = slice(max(1, _ENOUGH // z.shape[1]))
    z_, mean_, spread_, used_ = z[rows], mean[rows], spread[rows], used[rows]

    def unevenness(first: Tensor, second: Tensor) -> Tensor:
        return (used_ * second).sum() * used_.sum() / (used_ * first).sum() ** 2  # E w^2 / (E w)^2

    wanted = unevenness(mean_, mean_**2 + std**2)
    low, high = 0.75, 1.5
    for _ in range(16):
        middle = (low + high) / 2
        s = spread_ * middle
        w = mean_ * torch.exp(s * z_ - s**2 / 2)
        low, high = (middle, high) if unevenness(w, w**2) < wanted else (low, middle)
    s = spread * (low + high) / 2
    w = torch.where(used, mean * torch.exp(s * z - s**2 / 2), 0.0)
    return w * ((used * mean).sum() / w.sum())
