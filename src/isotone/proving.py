"""The verdict on a trained network, and the form of it that the claim is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .certify import Certificate, certify
from .directions import FREE
from .errors import BadInput
from .nn import MonotoneEnsemble

# Calls of the search for a witness. The attacks have searched this network for longer, and from better places.
SEARCH_CALLS = 64


def certificate_of(network: MonotoneEnsemble, directions: Sequence[int]) -> Certificate:
    """The verdict on a network, in eval mode, over presences of its whole vocabulary and all finite numbers."""
    network.eval()
    names, numbers = network.names, len(directions) - network.names
    inputs: list[Tensor] = []
    ways: list[Tensor] = []
    domains: list[Any] = []
    if names:
        inputs.append(torch.zeros(2, names))
        ways.append(torch.tensor(directions[:names]))
        domains.append((0.0, 1.0))
    if numbers:
        inputs.append(torch.zeros(2, numbers))
        ways.append(torch.tensor(directions[names:]))
        domains.append(None)
    form = f"presence of each of the {names:,} known names: sets of every size" if names else "numbers"
    model = network.over_vocabulary() if names else _OfNumbers(network)
    if all(direction == FREE for direction in directions):
        raise BadInput("certify", "every feature is free", "a claim needs a direction", "Name what the attacker adds.")
    return certify(model, tuple(inputs), tuple(ways), tuple(domains), form=form, budget=SEARCH_CALLS)


class _OfNumbers(nn.Module):
    def __init__(self, network: MonotoneEnsemble) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.network(None, numbers)  # type: ignore[no-any-return]
