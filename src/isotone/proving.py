"""The verdict on a trained network, and the form of it that the claim is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn, tensor, zeros
from torch.nn.utils.parametrize import type_before_parametrizations

from .certify import Certificate, Progress, certify
from .directions import FREE
from .errors import BadInput
from .nn import MonotoneEnsemble, MonotoneNetwork, NameMax, NameSum
from .nn._alone import code_of_its_own
from .verdict import Verdict

# Calls of the search for a witness. The attacks have searched this network for longer, and from better places.
SEARCH_CALLS = 64


@dataclass(frozen=True)
class Subject:
    """What `certify` is asked about: a model, an example, directions, a domain, and what the inputs stand for.

    `budget` and `seconds` are what is worth spending on it, see `certify`. With an `obstacle` the model is not what it
    stands for, and nothing is known.
    """

    model: nn.Module
    inputs: tuple[Tensor, ...]
    directions: Any
    domain: Any = None
    form: str = "as traced"
    budget: int = 1500
    seconds: float = 10.0
    obstacle: str = ""

    def certificate(self, progress: Progress | None = None) -> Certificate:
        """The verdict."""
        found = certify(
            self.model,
            self.inputs,
            self.directions,
            self.domain,
            form=self.form,
            budget=self.budget,
            seconds=self.seconds,
            progress=progress,
        )
        if not self.obstacle:
            return found
        return replace(
            found, verdict=Verdict.UNKNOWN, reason=self.obstacle, where=None, witness=None, assumptions=(), used=()
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
    return Subject(model, tuple(inputs), tuple(ways), tuple(domains), form, SEARCH_CALLS, 0.0, _code_left_out(network))


def certificate_of(network: MonotoneEnsemble, directions: Sequence[int]) -> Certificate:
    """The verdict on a network."""
    return subject(network, directions).certificate()


def _code_left_out(network: MonotoneEnsemble) -> str:
    """What a score runs and the form that is proved does not: a hook, a method put on the network, a subclass."""
    parts: list[tuple[nn.Module | None, type[nn.Module]]] = [(network, MonotoneEnsemble)]
    for member in network.networks:
        parts += [(member, MonotoneNetwork), (member.name_max, NameMax), (member.name_sum, NameSum)]
    for part, kind in parts:
        if part is None:
            continue
        if type_before_parametrizations(part) is not kind:
            return f"there is a {type(part).__name__} for a {kind.__name__}, of which isotone knows nothing"
        if own := code_of_its_own(part):
            return own
    return ""


class _OfNumbers(nn.Module):
    def __init__(self, network: MonotoneEnsemble) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.network(None, numbers)  # type: ignore[no-any-return]
