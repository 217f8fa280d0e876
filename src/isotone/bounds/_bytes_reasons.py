"""Which stretches of a file hold its score up: a few windows that are enough, whatever else the file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..files import Layout
from ..nn import ByteNetwork
from ..nn._bytes_pool import largest
from ..nn._bytes_windows import check_files, filled
from ..verdict import Verdict
from ._bytes_proof import judged


@dataclass(frozen=True)
class Stretch:
    """One window among the reasons.

    Args:
        start, stop: its bytes in the file.
        part: where in the file that is, such as ".text"; "" if nothing is known of its parts.
        score: of this window and those before it in the list alone.
    """

    start: int
    stop: int
    part: str
    score: float


@dataclass(frozen=True)
class ByteReasons:
    """Windows that are enough for a score.

    Args:
        stretches: the one that says most first.
        score: of the whole file.
        reached: of the stretches alone. Every file that has these windows on its grid scores as much at least.
        threshold: what was to be reached.
    """

    stretches: tuple[Stretch, ...]
    score: float
    reached: float
    threshold: float

    @property
    def enough(self) -> bool:
        """Whether the stretches alone are above the threshold."""
        return self.reached > self.threshold

    def __str__(self) -> str:
        word = "are enough" if self.enough else "are not enough"
        lines = [
            f"score {self.score:.4g}; {len(self.stretches)} windows {word} for a score above {self.threshold:.4g}:"
        ]
        lines += [
            f"  bytes {s.start:#x} to {s.stop:#x}" + (f"  {s.part}" if s.part else "") + f"  -> {s.score:.4g}"
            for s in self.stretches
        ]
        return "\n".join(lines)


@torch.no_grad()
def byte_reasons(
    network: ByteNetwork,
    file: Any,
    threshold: float = 0.0,
    *,
    parts: Layout | None = None,
    label: int = 0,
    most: int = 16,
) -> ByteReasons:
    """The windows that together hold a logit above a threshold, few of them.

    Each step takes the window that raises the score most; then windows that are not needed are left out again, so that
    none of those that remain can be spared. Not always the fewest there are.

    Args:
        network: in evaluation mode, and proved.
        file: as for `ByteNetwork`.
        threshold: above it is detected.
        parts: of `isotone.files.layout(file)`, to name places.
        label: which logit.
        most: windows at most.

    Raises:
        BadInput: a network in training mode, or one that is not proved; no file, a label there is not.

    Cost: a score of the file, and `most` * channels rows of the head; of the first file the network's proof.

    >>> net = isotone.nn.ByteNetwork(channels=8, window=4, hidden=(4,)).eval()
    >>> file = b"some bytes, and some more"
    >>> found = byte_reasons(net, file, threshold=net([file]).item() - 0.001)
    >>> found.enough, len(found.stretches) <= 6
    (True, True)
    """
    if network.training:
        raise BadInput("byte_reasons", "a network in training mode came", "network.eval() is right")
    check_files([file], "byte_reasons")
    if (certificate := judged(network)).verdict is not Verdict.PROVED:
        came = f"a network that is not proved came ({certificate.reason or 'its head falls'})"
        raise BadInput("byte_reasons", came, "one whose scores nothing appended lowers is right")
    score = network([file])[0]
    if not 0 <= label < len(score):
        raise BadInput("byte_reasons", f"label={label} came", f"0 to {len(score) - 1} are there")
    which = _winners(network, file)
    said = _Said(network, file, which, label)
    chosen: list[int] = []
    while len(chosen) < min(most, len(which)) and not said.score(chosen) > threshold:
        rest = [w for w in range(len(which)) if w not in chosen]
        scores = torch.stack([said.score_of([*chosen, w]) for w in rest])
        chosen.append(rest[int(scores.argmax())])
    for one in tuple(chosen):
        without = [w for w in chosen if w != one]
        if said.score(without) > threshold:
            chosen = without
    stretches = []
    for n, w in enumerate(chosen, 1):
        start, stop = network.windows.span(int(which[w]))
        stretches.append(Stretch(start, stop, parts.at(start, stop) if parts else "", said.score(chosen[:n])))
    return ByteReasons(tuple(stretches), float(score[label]), said.score(chosen), threshold)


def _winners(network: ByteNetwork, file: Any) -> Tensor:
    """The windows that have the largest value of some channel; no other can matter."""
    if not network.windows.count(len(file)):
        return torch.empty(0, dtype=torch.int64)
    like = network._like()
    opening = None if network.gate is None else network.opening(file)
    found = [largest(file, network.windows, network.features(opening), network.channels, like)]
    if network.gate is not None:
        found.append(largest(file, network.windows, network.gate.encoder, network.gate.context, like))
    which: Tensor = torch.unique(torch.cat([where[best > 0] for best, where in found])).cpu()
    return which


class _Said:
    """What sets of some windows score by themselves."""

    def __init__(self, network: ByteNetwork, file: Any, which: Tensor, label: int) -> None:
        self.network, self.label = network, label
        like = network._like()
        self.features = like.new_zeros(0, network.channels)
        self.context = None
        if len(which):
            windows = network.windows.at(file, which).to(like.device)
            self.features = self._of(network.encoder, windows)
            self.context = None if network.gate is None else self._of(network.gate.encoder, windows)

    def _of(self, encoder: Any, windows: Tensor) -> Tensor:
        size = self.network.windows.in_block  # blocks as in a file, so that the numbers are the same
        blocks = [encoder(filled(some, size))[: len(some)] for some in torch.split(windows, size)]
        return torch.cat(blocks).relu()

    def score_of(self, chosen: Sequence[int]) -> Tensor:
        pooled = self.features.new_zeros(self.features.shape[1])
        if chosen:
            values = self.features[list(chosen)]
            if self.network.gate is not None and self.context is not None:
                opening = self.network.gate.opening(self.context[list(chosen)].amax(dim=0))
                values = self.network.gate.gated(values, opening)
            pooled = values.amax(dim=0)
        return self.network.head(pooled[None])[0, self.label]  # type: ignore[no-any-return]

    def score(self, chosen: Sequence[int]) -> float:
        return float(self.score_of(chosen))
