"""Inverses of the smooth maps, for numbers that keep away from their walls.

On its wall a smooth map is flat: a weight that starts there would hardly move, whatever the gradient. So weights nearer
to a wall than `SHARE` of their mean distance from it (of 1, if all are on it) are moved to that distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHARE = 0.01


def inverse_softplus(x: Tensor) -> Tensor:
    """The number whose softplus is `x`, of distances from a wall; infinite ones do not count in their mean.

    log(expm1(x)) would overflow at 100 in float32; x + log(-expm1(-x)) does not.

    >>> torch.nn.functional.softplus(inverse_softplus(torch.tensor([1.0, 3.0, 0.0])))
    tensor([1.0000, 3.0000, 0.0133])
    """
    finite = torch.where(x.isfinite(), x, 0.0).clamp(min=0)
    mean = finite.sum() / x.isfinite().sum().clamp(min=1)
    x = torch.maximum(x, SHARE * torch.where(mean > 0, mean, torch.ones_like(mean)))
    return x + torch.log(-torch.expm1(-x))


def logit(share: Tensor) -> Tensor:
    """The number whose sigmoid is `share`, which is first moved into [0.01, 0.99]."""
    return torch.logit(share.clamp(SHARE, 1 - SHARE))
