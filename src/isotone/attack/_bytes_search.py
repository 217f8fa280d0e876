"""What attacks on files share: what an attacker may change, the best of each victim, and a check of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor

from ..errors import BadInput
from ._wrong import BrokenAttack

Region = tuple[int, int]


class Room(Protocol):
    """Where an attacker may put bytes."""

    def opened(self, file: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """A copy of the file with room for `size` bytes or a little more, and the places that are free in it."""
        ...

    def allows(self, file: Tensor, example: Tensor) -> bool:
        """Whether the example is the file with nothing else changed."""
        ...


@final
@dataclass(frozen=True)
class Append:
    """Behind the end.

    >>> room, rng = Append(), torch.Generator()
    >>> room.opened(torch.ones(2, dtype=torch.uint8), 3, rng)[1]
    tensor([2, 3, 4])
    """

    def opened(self, file: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The file and `size` zeros."""
        return torch.cat([file, file.new_zeros(size)]), torch.arange(len(file), len(file) + size)

    def allows(self, file: Tensor, example: Tensor) -> bool:
        """Whether it begins with the file."""
        return torch.equal(example[: len(file)], file)


@final
@dataclass(frozen=True)
class Insert:
    """One block at a multiple of the alignment, as new sections are; of a length that is a multiple of it.

    Args:
        alignment: in bytes; 1 for any place.
    """

    alignment: int = 512

    def opened(self, file: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Zeros at a random place."""
        a = self.alignment
        size = -(-size // a) * a
        at = int(torch.randint(0, len(file) // a + 1, (), generator=rng)) * a
        return torch.cat([file[:at], file.new_zeros(size), file[at:]]), torch.arange(at, at + size)

    def allows(self, file: Tensor, example: Tensor) -> bool:
        """Whether it is the file with one such block."""
        more = len(example) - len(file)
        if more < 0 or more % self.alignment:
            return False
        front = _alike(file, example)
        back = _alike(file.flip(0), example.flip(0))
        return front // self.alignment * self.alignment >= len(file) - back


@final
@dataclass(frozen=True)
class Overwrite:
    """Bytes that are there, within regions.

    Args:
        regions: of a file its ranges (start, stop), such as
            `lambda file: isotone.files.layout(file.numpy().tobytes()).regions("header", "slack")`.
    """

    regions: Callable[[Tensor], Sequence[Region]]

    def opened(self, file: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The file itself; `size` says nothing here."""
        ranges = [torch.arange(start, min(stop, len(file))) for start, stop in self.regions(file) if start < len(file)]
        return file.clone(), torch.unique(torch.cat([torch.zeros(0, dtype=torch.int64), *ranges]))

    def allows(self, file: Tensor, example: Tensor) -> bool:
        """Whether all else is as it was."""
        if len(file) != len(example):
            return False
        changed = example != file
        for start, stop in self.regions(file):
            changed[start:stop] = False
        return not bool(changed.any())


def _alike(a: Tensor, b: Tensor) -> int:
    """How many first bytes they have in common."""
    n = min(len(a), len(b))
    other = (a[:n] != b[:n]).nonzero()
    return int(other[0]) if len(other) else n


@final
@dataclass(frozen=True)
class ByteVictim:
    """What is attacked.

    Args:
        score: a list of files (uint8 tensors) to one score each; higher is worse for the attacker.
        table: shape (256 or more, embedding): what stands for each byte; None where nobody may look inside.
        of_embedded: (length, embedding) to the score of one file, differentiable.
    """

    score: Callable[[list[Tensor]], Tensor]
    table: Tensor | None = None
    of_embedded: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, network: Any, label: int = 0) -> ByteVictim:
        """One logit of an `isotone.nn.ByteNetwork`, with its gradient where it has one embedding.

        >>> victim = ByteVictim.of(isotone.nn.ByteNetwork(channels=4, window=4))
        >>> victim.score([torch.zeros(9, dtype=torch.uint8)]).shape, victim.table.shape
        (torch.Size([1]), torch.Size([256, 8]))
        """
        embedding = getattr(network.encoder, "embedding", None)
        if embedding is None or getattr(network, "gate", None) is not None:
            return cls(lambda files: network(files)[:, label])
        return cls(
            lambda files: network(files)[:, label],
            embedding.weight.detach(),
            lambda embedded: network.of_embedded(embedded)[label],
        )


@final
@dataclass(frozen=True)
class AttackedBytes:
    """What an attack found, file by file.

    Args:
        name: of the attack.
        additions: int64, shape (n,): bytes that were added, or changed where nothing is added, where it evades; -1
            where nothing evades, 0 where the file was not detected to begin with.
        before: float64, shape (n,): the scores of the files as they came.
        scores: float64, shape (n,): the lowest score that was seen, of the file itself included.
        examples: the file that evades with the fewest bytes; where none does, the one with the lowest score.
        questions: int64, shape (n,): how many files were scored.
    """

    name: str
    additions: Tensor
    before: Tensor
    scores: Tensor
    examples: tuple[Tensor, ...]
    questions: Tensor

    @property
    def victims(self) -> Tensor:
        """The files that were detected: shape (n,), bool."""
        return self.additions != 0

    @property
    def evaded(self) -> Tensor:
        """Shape (n,), bool."""
        return self.additions > 0

    @property
    def lowered(self) -> Tensor:
        """Where the score was lowered, beyond what rounding does: shape (n,), bool."""
        return self.scores < self.before - 1e-5 * self.before.abs().clamp(min=1.0)


class ByteSearch:
    """The state of an attack on several files: what was tried, and what is best.

    Args:
        name: of the attack.
        victim: what is asked.
        files: uint8 tensors.
        threshold: detected is a score above it; every file with -inf.
        room: what may be changed.
        seed: of all that is drawn, anew for every file: what is found for one does not depend on the others.

    Raises:
        BadInput: no number for a threshold, a victim that gives no score per file, or NaN; files that are no bytes.
    """

    def __init__(
        self, name: str, victim: ByteVictim, files: Sequence[Tensor], *, threshold: float, room: Room, seed: int
    ) -> None:
        if not threshold < torch.inf:
            raise BadInput(name, f"threshold={threshold} came", "a number is right")
        for file in files:
            if not isinstance(file, Tensor) or file.dtype != torch.uint8 or file.ndim != 1:
                raise BadInput(name, f"a {type(file).__name__} came as a file", "uint8 tensors in one row are right")
        self.name, self.victim, self.threshold, self.room = name, victim, float(threshold), room
        self.home = list(files)
        self.seed, self.rng = seed, torch.Generator()
        self.before = self._scores(self.home)
        self.lowest = self.before.clone()
        self.examples = list(self.home)
        self.fewest = torch.where(self.before > self.threshold, -1, 0)
        self.questions = torch.zeros(len(self.home), dtype=torch.int64)

    @property
    def rows(self) -> Iterator[int]:
        """The victims; what is drawn begins anew for each."""
        for row in (self.fewest != 0).nonzero().flatten().tolist():
            self.rng.manual_seed(self.seed)
            yield row

    def _scores(self, files: list[Tensor]) -> Tensor:
        if not files:
            return torch.zeros(0, dtype=torch.float64)
        with torch.no_grad():
            found = self.victim.score(files).detach().double().cpu()
        if found.shape != (len(files),) or bool(found.isnan().any()):
            raise BadInput(
                self.name, f"scores of shape {tuple(found.shape)} or NaN came", "one number per file is right"
            )
        return found

    def ask(self, row: int, trials: list[Tensor]) -> Tensor:
        """Exact scores of trials for a victim, float64; the best are kept."""
        scores = self._scores(trials)
        self.questions[row] += len(trials)
        for trial, score in zip(trials, scores.tolist(), strict=True):
            if score < self.lowest[row]:
                self.lowest[row] = score
                if self.fewest[row] < 0:
                    self.examples[row] = trial
            count = changed(self.home[row], trial)
            if score <= self.threshold and not 0 < int(self.fewest[row]) <= count:
                self.fewest[row], self.examples[row] = count, trial
        return scores

    def opened(self, row: int, size: int) -> tuple[Tensor, Tensor]:
        """The victim with room, and the places."""
        return self.room.opened(self.home[row], size, self.rng)

    def draw(self, high: int) -> int:
        """A number from 0 to high - 1."""
        return int(torch.randint(0, high, (), generator=self.rng))

    def piece(self, benign: Sequence[Tensor], size: int) -> Tensor:
        """`size` bytes of some benign file, from a random place on; of several files where one is too short."""
        parts, length = [], 0
        while length < size:
            one = benign[self.draw(len(benign))]
            if len(one):
                one = one[self.draw(max(1, len(one) - size + 1)) :][: size - length]
            parts.append(one)
            length += len(one)
        return torch.cat([torch.zeros(0, dtype=torch.uint8), *parts])

    def result(self) -> AttackedBytes:
        """What was found.

        Raises:
            BrokenAttack: an example with changes that the room does not allow.
        """
        for row, (before, after) in enumerate(zip(self.home, self.examples, strict=True)):
            if after is not before and not self.room.allows(before, after):
                raise BrokenAttack(self.name, row, f"changed more than {type(self.room).__name__} allows")
        return AttackedBytes(self.name, self.fewest, self.before, self.lowest, tuple(self.examples), self.questions)


def changed(before: Tensor, after: Tensor) -> int:
    """Bytes added; of two files of one length those that differ, 1 at least."""
    if len(after) != len(before):
        return len(after) - len(before)
    return max(1, int((after != before).sum()))


def check_benign(name: str, benign: Sequence[Tensor]) -> None:
    """Refuse to draw from nothing."""
    if not any(len(one) for one in benign):
        raise BadInput(name, "no benign bytes came", "some files with bytes are right")
