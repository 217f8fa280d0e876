"""Small models that are pushed out of their sets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from isotone import NonNegative, constrain

X = torch.linspace(-1, 1, 12).reshape(4, 3)


def model(seed: int = 0) -> nn.Sequential:
    """Two layers whose weights are held, biases free."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    constrain(net, "*.weight", NonNegative())
    return net


def push(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> nn.Module:
    """Train every parameter downwards: without a constraint all of them end negative."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = sum((p + 1.5).square().sum() for p in net.parameters() if p.requires_grad)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return net


def lowest(net: nn.Module, ending: str = "weight") -> float:
    return min(float(p.detach().min()) for name, p in net.named_parameters() if name.endswith(ending))


def enforced(net: nn.Module, make: Callable[..., torch.optim.Optimizer] = torch.optim.SGD, **settings: float) -> bool:
    """Whether pushed weights stay inside; the free biases must follow the push, or the test says nothing."""
    push(net, make(net.parameters(), **({"lr": 0.4} | settings)))
    assert lowest(net, "bias") < 0, "the push did not work"
    return lowest(net) >= 0
