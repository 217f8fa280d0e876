"""An ordinary MalConv, three public ways to make it non-negative that do not work, and files to try them on."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from isotone.attack import ByteVictim
from isotone.nn import ByteNetwork

WINDOW, CHANNELS, EMBEDDING, LONGEST = 32, 16, 4, 2048
PADDING = 256


class MalConv(nn.Module):
    """Padding up to one length, convolution and gate, a maximum over all places, two classes with a softmax.

    Raff et al. 2017 (arXiv 1710.09435), as EMBER has it: byte 256 is padding and learns like any other.
    """

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(257, EMBEDDING)
        self.convolution = nn.Conv1d(EMBEDDING, 2 * CHANNELS, WINDOW, WINDOW)
        self.first, self.last = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, classes)

    def of_embedded(self, z: Tensor) -> Tensor:
        """(files, length, embedding) -> (files, classes), the logits."""
        a, b = self.convolution(z.transpose(1, 2)).chunk(2, dim=1)
        return self.of_pooled((a.relu() * b.sigmoid()).amax(dim=2))

    def of_pooled(self, h: Tensor) -> Tensor:
        return self.last(self.first(h).relu())

    def padded(self, file: Tensor) -> Tensor:
        kept = file[:LONGEST].long()
        return torch.cat([kept, torch.full((LONGEST - len(kept),), PADDING)])

    def forward(self, files: list[Tensor]) -> Tensor:
        return self.of_embedded(self.embedding(torch.stack([self.padded(file) for file in files])))

    def score(self, logits: Tensor) -> Tensor:
        """Log-odds of the softmax, or the one logit."""
        return logits[..., 1] - logits[..., 0] if logits.shape[-1] == 2 else logits[..., 0]

    def clamp_(self) -> None:
        """After each step; an ordinary one has nothing to clamp."""

    def victim(self) -> ByteVictim:
        def of_embedded(z: Tensor) -> Tensor:
            padding = self.embedding.weight[PADDING].expand(max(0, LONGEST - len(z)), -1)
            return self.score(self.of_embedded(torch.cat([z[:LONGEST], padding])[None])[0])

        return ByteVictim(lambda files: self.score(self(files)), self.embedding.weight.detach(), of_embedded)


class TwoLogits(MalConv):
    """Everything behind the pool is non-negative; so is what speaks for the harmless class."""

    @torch.no_grad()
    def clamp_(self) -> None:
        for layer in (self.first, self.last):
            layer.weight.clamp_(min=0)


class LastLayerOnly(MalConv):
    """One logit, the last layer non-negative, and padding that takes part in the pool."""

    def __init__(self) -> None:
        super().__init__(classes=1)

    @torch.no_grad()
    def clamp_(self) -> None:
        self.last.weight.clamp_(min=0)


class Truncated(MalConv):
    """One logit, all behind the pool non-negative, no padding; but only the first bytes are read."""

    def __init__(self) -> None:
        super().__init__(classes=1)

    clamp_ = TwoLogits.clamp_

    def forward(self, files: list[Tensor]) -> Tensor:
        return torch.cat([self.of_embedded(self.embedding(file[:LONGEST].long())[None]) for file in files])


class PaddedPool(LastLayerOnly):
    """All behind the pool non-negative, one logit; only the padding is wrong."""

    clamp_ = TwoLogits.clamp_


@functools.cache
def motifs() -> dict[str, Tensor]:
    made = torch.Generator().manual_seed(7)
    return {
        kind: torch.randint(0, 256, (count, WINDOW), generator=made, dtype=torch.uint8)
        for kind, count in (("common", 40), ("evil", 6), ("good", 6))
    }


def file_of(evil: bool, rng: torch.Generator) -> Tensor:
    """Common windows with some motifs among them: evil ones in bad files, good ones in nearly all of the others."""
    kinds, count = motifs(), int(torch.randint(12, 36, (), generator=rng))
    windows = kinds["common"][torch.randint(0, 40, (count,), generator=rng)].clone()
    chances = (("evil", 0.95 if evil else 0.02), ("good", 0.05 if evil else 0.95))
    for kind, chance in chances:
        for _ in range(3):
            if torch.rand((), generator=rng) < chance:
                at = int(torch.randint(0, count, (), generator=rng))
                windows[at] = kinds[kind][int(torch.randint(0, 6, (), generator=rng))]
    tail = torch.randint(0, 256, (int(torch.randint(0, WINDOW, (), generator=rng)),), generator=rng, dtype=torch.uint8)
    return torch.cat([windows.flatten(), tail])


@functools.cache
def files(seed: int, count: int) -> tuple[list[Tensor], Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    return [file_of(bool(label), rng) for label in labels.tolist()], labels


def ours(*, monotone: bool = True, context: int = 0, stride: int = WINDOW) -> ByteNetwork:
    return ByteNetwork(CHANNELS, WINDOW, stride, (CHANNELS,), embedding=EMBEDDING, monotone=monotone, context=context)


@functools.cache
def trained(make, seed: int = 0, steps: int = 60) -> nn.Module:
    """A model of this kind, trained on the same files as all others; shared, so not to be changed."""
    torch.manual_seed(seed)
    model = make()
    some, labels = files(1, 64)
    if isinstance(model, ByteNetwork):
        model.centre_(some, 0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    rng = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        at = torch.randperm(len(some), generator=rng)[:24].tolist()
        logits = model([some[i] for i in at])
        score = model.score(logits) if isinstance(model, MalConv) else logits[:, 0]
        loss = F.binary_cross_entropy_with_logits(score, labels[at].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if isinstance(model, MalConv):
            model.clamp_()
    return model.eval()


def victim_of(model: nn.Module) -> ByteVictim:
    return model.victim() if isinstance(model, MalConv) else ByteVictim.of(model)
