"""Small models for the certifier's tests."""

from __future__ import annotations

import torch
from torch import nn


class Formula(nn.Module):
    """A function as a module, with parts that it is handed after its inputs."""

    def __init__(self, f, *parts):
        super().__init__()
        self.f = f
        self.parts = nn.ModuleList(parts)

    def forward(self, *inputs):
        return self.f(*inputs, *self.parts)


def positive(module: nn.Module) -> nn.Module:
    """The module with non-negative weights; biases stay."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.abs_()
    return module


def mlp(activation: nn.Module, seed: int = 0, width: int = 6, inputs: int = 3) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, width), activation, nn.Linear(width, width), activation, nn.Linear(width, 1))
