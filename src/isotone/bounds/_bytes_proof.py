"""The certificate of a byte network: what follows the pool is proved, and that is enough for files of every length."""

from __future__ import annotations

import textwrap
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..certify import Certificate, certify
from ..errors import BadInput
from ..nn import ByteNetwork, GatedConvolution, GlobalGate, Windows, Words
from ..nn._alone import code_of_its_own, why_not_alone
from ..nn._graphs_layer import MOST
from ..verdict import Verdict
from ._one import OfOne

SEARCH_CALLS = 400

# fmt: off
ARGUMENT = (
    "A window counts if it is complete; its numbers depend on its own bytes alone (isotone's encoders look at nothing "
    "else, and another one is run on each window as if there were no other), so nothing is asked of the encoder.",
    "Each channel is the largest of 0 and its values over all windows: a set with more windows has no smaller maximum.",
    "The head does not fall when a channel rises (proved above), so no logit falls when windows are added.",
)
OF_THE_GATE = (
    "More windows raise the context; the opening rises with it and a gated window with the opening (both proved above, "
    "its own numbers being at least 0); so every window's gated numbers rise, and then their maximum.",
)
# fmt: on


@dataclass(frozen=True, eq=False)
class ByteCertificate:
    """What is known of a byte network, for files of every length.

    Args:
        verdict: PROVED if all parts are; REFUTED if the head is, with its witness; else UNKNOWN.
        reason: for UNKNOWN, why.
        parts: what was asked of `certify`, and its answer.
        claims: what follows for files if the verdict is PROVED.
        argument: why it follows.
        not_covered: what is not claimed.
    """

    verdict: Verdict
    reason: str
    parts: Mapping[str, Certificate]
    claims: tuple[str, ...]
    argument: tuple[str, ...]
    not_covered: tuple[str, ...]

    def valid_for(self, network: ByteNetwork) -> bool:
        """Whether the network still is what was judged, and what is claimed still follows."""
        if _changed(network) or self.claims != _claims(network):
            return False
        parts = _parts(network)
        return parts.keys() == self.parts.keys() and all(
            self.parts[name].valid_for(model) for name, (model, *_) in parts.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "parts": {name: part.to_dict() for name, part in self.parts.items()},
            "claims": list(self.claims),
            "argument": list(self.argument),
            "not_covered": list(self.not_covered),
        }

    def __str__(self) -> str:
        lines = [f"{self.verdict.name}  files of every length" + (f": {self.reason}" if self.reason else "")]
        lines += [f"  {part.verdict.name:<9} {name}" for name, part in self.parts.items()]
        if self.verdict is Verdict.REFUTED:
            lines += ["", *(str(part) for part in self.parts.values() if part.verdict is Verdict.REFUTED)]
        headings = [("not covered:", self.not_covered)]
        if self.verdict is Verdict.PROVED:
            headings = [("claims:", self.claims), ("because:", self.argument), *headings]
        for heading, sentences in headings:
            lines.append(f"  {heading}")
            for sentence in sentences:
                lines += textwrap.wrap(sentence, 80, initial_indent="    - ", subsequent_indent="      ")
        return "\n".join(lines)


def byte_certificate(network: ByteNetwork, *, seed: int = 0, budget: int = SEARCH_CALLS) -> ByteCertificate:
    """Prove that nothing appended lowers a logit, or show two pooled vectors that break the head.

    Args:
        network: in evaluation mode.
        seed, budget: of the search for a witness, see `certify`.

    Raises:
        BadInput: a network in training mode.

    Cost: a call of `certify` on the head, three with a `GlobalGate`.

    >>> net = isotone.nn.ByteNetwork(channels=8, window=4, hidden=(4,)).eval()
    >>> byte_certificate(net).verdict
    <Verdict.PROVED: 'proved'>
    """
    if changed := _changed(network):
        return ByteCertificate(Verdict.UNKNOWN, changed, {}, (), (), _not_covered(network))
    if any(part.training for part in network.modules()):
        raise BadInput(
            "byte_certificate", "a network in training mode came, or a part of it", "network.eval() is right"
        )
    found = {
        name: certify(model, inputs, ways, domain, seed=seed, budget=budget, form=form)
        for name, (model, inputs, ways, domain, form) in _parts(network).items()
    }
    verdict, open_parts = Verdict.PROVED, [name for name, part in found.items() if part.verdict is not Verdict.PROVED]
    if open_parts:
        verdict = Verdict.REFUTED if found["head"].verdict is Verdict.REFUTED else Verdict.UNKNOWN
    reason = ", ".join(open_parts) + " not proved" if verdict is Verdict.UNKNOWN else ""
    if verdict is Verdict.PROVED and _overflows(network):
        verdict, reason = Verdict.UNKNOWN, "the weights of its head are so large that floats overflow"
    argument = (*ARGUMENT[:2], *(OF_THE_GATE if network.gate is not None else ()), ARGUMENT[2])
    return ByteCertificate(verdict, reason, found, _claims(network), argument, _not_covered(network))


_JUDGED: weakref.WeakKeyDictionary[nn.Module, ByteCertificate] = weakref.WeakKeyDictionary()


def judged(network: ByteNetwork) -> ByteCertificate:
    """The certificate that a network got last, while it still is what was judged; for what is asked file by file."""
    found = _JUDGED.get(network)
    if found is None or any(part.training for part in network.modules()) or not found.valid_for(network):
        found = _JUDGED[network] = byte_certificate(network, budget=0)
    return found


def _changed(network: ByteNetwork) -> str:
    """Where code that nobody has judged stands around the parts: a subclass, a hook, another encoder, a method."""
    gates = [] if network.gate is None else [network.gate]
    for held, kind in ((network, ByteNetwork), (network.windows, Windows), *((gate, GlobalGate) for gate in gates)):
        if type(held) is not kind:
            return f"there is a {type(held).__name__} for a {kind.__name__}, of which isotone knows nothing"
    said = [code_of_its_own(network), *(code_of_its_own(gate) for gate in gates)]
    for encoder in (network.encoder, *(gate.encoder for gate in gates)):
        said.append(why_not_alone(encoder) or _too_large(encoder))
    return next(filter(None, said), "")


@torch.no_grad()
def _too_large(encoder: nn.Module) -> str:
    """Where a window may say more than 1e12: beyond float32 there is NaN, which would hide what other windows say."""
    most = torch.zeros((), dtype=torch.float64)  # a `RowByRow` keeps within 1e12 by itself
    if isinstance(encoder, GatedConvolution):
        layer, largest = encoder.convolution, encoder.embedding.weight.double().abs().max()
        most = (layer.weight.double().abs().sum(1) * largest + layer.bias.double().abs()).max()
    if isinstance(encoder, Words):
        most = encoder.table.weight.double().abs().max()
    return "" if most <= MOST else f"the weights of its {type(encoder).__name__} are so large that floats overflow"


@torch.no_grad()
def _overflows(network: ByteNetwork) -> bool:
    """Whether the head says NaN, such as of inf * 0, of the largest that a file can show it."""
    return bool(network.head(network._like().new_full((1, network.channels), MOST)).isnan().any())


def _parts(network: ByteNetwork) -> dict[str, tuple[nn.Module, Any, Any, Any, str]]:
    like = network._like()

    def rows(n: int) -> Tensor:
        return like.new_zeros(2, n)

    above = (0.0, None)
    c = network.channels
    parts: dict[str, tuple[nn.Module, Any, Any, Any, str]] = {
        "head": (OfOne(network.head), rows(c), +1, above, f"the largest of each of {c} channels, 0 at least")
    }
    if network.gate is not None:
        gate = network.gate
        parts["opening of the gate"] = (
            _Opening(gate), rows(gate.context), +1, above, f"the largest of each of {gate.context} channels of context",
        )  # fmt: skip
        parts["gated window"] = (
            _Gated(gate), (rows(c), rows(c)), (0, +1), (above, (-1.0, 1.0)), "numbers of a window, opening of the file",
        )  # fmt: skip
    return parts


class _Opening(nn.Module):
    def __init__(self, gate: GlobalGate) -> None:
        super().__init__()
        self.gate = gate
        self.train(gate.training)

    def forward(self, context: Tensor) -> Tensor:
        return self.gate.opening(context[0])


class _Gated(nn.Module):
    def __init__(self, gate: GlobalGate) -> None:
        super().__init__()
        self.gate = gate
        self.train(gate.training)

    def forward(self, features: Tensor, opening: Tensor) -> Tensor:
        return self.gate.gated(features, opening)


def _claims(network: ByteNetwork) -> tuple[str, ...]:
    size, stride = network.windows.size, network.windows.stride
    claims = ["Appending any bytes, any number of them, lowers no logit."]
    if stride >= size:
        claims.append(
            f"Inserting any multiple of {stride} bytes at a multiple of {stride}, any number of times, lowers no logit."
        )
    claims.append("A file has one score: alone, in any batch, and at the end of a stream.")
    return tuple(claims)


def _not_covered(network: ByteNetwork) -> tuple[str, ...]:
    where = (
        "at other places or of other lengths"
        if network.windows.stride >= network.windows.size
        else "in front of the end"
    )
    return (
        f"Insertion {where}: `byte_floor` says for each file what remains"
        + (" (with a stride of 1 for any place)." if network.windows.stride > 1 else "."),
        "Bytes that are overwritten: `byte_floor` for named regions. Bytes that are removed: nothing.",
        "Rounding: the proof is one in real arithmetic; in floats the default head falls by 1e-6 at most, in its ELU.",
        "Weights of the head so large that floats overflow; an encoder of your own that changes from call to call.",
    )
