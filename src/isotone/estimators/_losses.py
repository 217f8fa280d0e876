"""What is minimised: a row per loss, each from scores (members, rows, outputs) and targets (rows, outputs)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._learn import Loss


def squared_error(score: Tensor, y: Tensor) -> Tensor:
    """Half the squared error."""
    return 0.5 * (score - y).square().mean(2)


def absolute_error(score: Tensor, y: Tensor) -> Tensor:
    """The absolute error."""
    return (score - y).abs().mean(2)


def log_loss(score: Tensor, y: Tensor) -> Tensor:
    """Independent sigmoids, one per output."""
    return nn.functional.binary_cross_entropy_with_logits(score, y.expand_as(score), reduction="none").mean(2)


def pinball(levels: Sequence[float]) -> Loss:
    """The quantile loss (Koenker and Bassett 1978), one output per level."""

    def loss(score: Tensor, y: Tensor) -> Tensor:
        at = torch.tensor(levels, dtype=score.dtype, device=score.device)
        short = y - score
        return torch.maximum(at * short, (at - 1) * short).mean(2)

    return loss
