"""Inverses of the smooth maps, accurate near their walls."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_softplus(x: Tensor) -> Tensor:
    """The number whose softplus is `x`; a number at or below 0 counts as the smallest that the map is safe at.

    log(expm1(x)) would overflow at 100 in float32; x + log(-expm1(-x)) does not.

    >>> float(torch.nn.functional.softplus(inverse_softplus(torch.tensor(1e-3))))  # doctest: +ELLIPSIS
    0.00100...
    """
    x = x.clamp(min=torch.finfo(x.dtype).eps)
    return x + torch.log(-torch.expm1(-x))


def logit(share: Tensor) -> Tensor:
    """The number whose sigmoid is `share`, which is first moved an eps inside (0, 1)."""
    eps = torch.finfo(share.dtype).eps
    return torch.logit(share.clamp(eps, 1 - eps))
