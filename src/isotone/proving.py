"""The verdict on a trained network, and the form of it that the claim is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn, tensor, zeros

from .certify import Certificate, Progress, certify
from .directions import FREE
from .errors import BadInput
from .nn import MonotoneEnsemble

# Calls of the search for a witness. The attacks have searched this network for longer, and from better places.
SEARCH_CALLS = 64


@dataclass(frozen=True)
class Subject:
    """What `certify` is asked about: a model, an example, directions, a domain, and what the inputs stand for.

    `budget` and `seconds` are what is worth spending on it, see `certify`.
    """

    model: nn.Module
    inputs: tuple[Tensor, ...]
    directions: Any
    domain: Any = None
    form: str = "as traced"
    budget: int = 1500
    seconds: float = 10.0

    def certificate(self, progress: Progress | None = None) -> Certificate:
        """The verdict."""
        return certify(
            self.model,
            self.inputs,
            self.directions,
            self.domain,
            form=self.form,
            budget=self.budget,
            seconds=self.seconds,
            progress=progress,
        )


def subject(network: MonotoneEnsemble, directions: Sequence[int]) -> Subject:
    """A network, in eval mode, over presences of its whole vocabulary and all finite numbers.

    It is monotone by its signs or not at all, so no time is spent on boxes.
    """
    network.eval()
    if all(direction == FREE for direction in directions):
        raise BadInput("certify", "every feature is free", "a claim needs a direction", "Name what the attacker adds.")
    names, numbers = network.names, len(directions) - network.names
    inputs: list[Tensor] = []
    ways: list[Tensor] = []
    domains: list[Any] = []
    if names:
        inputs.append(zeros(2, names))
        ways.append(tensor(directions[:names]))
        domains.append((0.0, 1.0))
    if numbers:
        inputs.append(zeros(2, numbers))
        ways.append(tensor(directions[names:]))
        domains.append(None)
    form = f"presence of each of the {names:,} known names: sets of every size" if names else "numbers"
    model = network.over_vocabulary() if names else _OfNumbers(network)
    return Subject(model, tuple(inputs), tuple(ways), tuple(domains), form, SEARCH_CALLS, 0.0)


def certificate_of(network: MonotoneEnsemble, directions: Sequence[int]) -> Certificate:
    """The verdict on a network."""
    return subject(network, directions).certificate()


class _OfNumbers(nn.Module):
    def __init__(self, network: MonotoneEnsemble) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.network(None, numbers)  # type: ignore[no-any-return]
