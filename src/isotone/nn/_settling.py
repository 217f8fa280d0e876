"""Scale and centre the units of layers on rows, one layer after the other.

- a positive factor per unit and a shift of its bias: no sign changes, so no direction does;
- for layers in a row that are linear in weight and bias; constrained layers have `initialize_`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def settle_(layers: Sequence[nn.Module], rows: Tensor, spread: float = 0.0) -> None:
    """Each unit gets variance 1, and a mean of 0 or, but for the last layer, one drawn from [-spread, spread].

    In the manner of Mishkin and Matas 2016 (arXiv 1511.06422).

    Args:
        layers: each with a `weight` (units, inputs) and a `bias` (units,), in which it is linear.
        rows: (rows, inputs of the first layer).
    """
    x = rows
    for i, layer in enumerate(layers):
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        bias.zero_()
        std = layer(x).std(dim=0, correction=0)
        weight.div_(torch.where(std > 0, std, 1.0)[:, None])
        bias.copy_(-layer(x).mean(dim=0))
        if i < len(layers) - 1:
            bias.add_(torch.empty_like(bias).uniform_(-spread, spread))
        x = layer(x)
