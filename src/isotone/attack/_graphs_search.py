"""What attacks on graphs share: exact scores of trials, the best of each victim, and the check that it only adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import BadInput
from ..graphs import Graphs
from ._wrong import BrokenAttack

Score = Callable[[Graphs], Tensor]
# Trials that are scored together hold at most so many nodes and edges: tens of megabytes in networks of usual width.
AT_ONCE = 60_000


@final
@dataclass(frozen=True)
class AttackedGraphs:
    """What an attack found, graph by graph.

    Args:
        name: of the attack.
        additions: int64, shape (n,): nodes and edges that were added where it evades, -1 where nothing evades, 0 where
            the graph was not detected to begin with.
        before: float64, shape (n,): the scores of the graphs as they came.
        scores: float64, shape (n,): the lowest score that was seen, of the graph itself included.
        examples: the graph that evades with the fewest additions; where none does, the one with the lowest score.
    """

    name: str
    additions: Tensor
    before: Tensor
    scores: Tensor
    examples: tuple[Graphs, ...]

    @property
    def victims(self) -> Tensor:
        """The graphs that were detected: shape (n,), bool."""
        return self.additions != 0

    @property
    def evaded(self) -> Tensor:
        """Shape (n,), bool."""
        return self.additions > 0

    @property
    def lowered(self) -> Tensor:
        """Where an addition lowered the score, beyond what rounding does: shape (n,), bool."""
        return self.scores < self.before - 1e-5 * self.before.abs().clamp(min=1.0)


class GraphSearch:
    """The state of an attack on several graphs: what was tried, and what is best.

    Args:
        name: of the attack.
        score: `Graphs` to (graphs,) or (graphs, 1): higher is worse for the attacker.
        graphs: one by one.
        threshold: detected is a score above it; every graph with -inf.

    Raises:
        BadInput: no number for a threshold, a victim that gives no score per graph, or NaN.
    """

    def __init__(self, name: str, score: Score, graphs: Sequence[Graphs], threshold: float) -> None:
        if not threshold < torch.inf:
            raise BadInput(name, f"threshold={threshold} came", "a number is right")
        self.name, self.score, self.threshold = name, score, float(threshold)
        self.home = [one for many in graphs for one in many.split()]
        self.before = self.ask(self.home)
        self.lowest = self.before.clone()
        self.examples = list(self.home)
        self.fewest = torch.where(self.before > self.threshold, -1, 0)

    @property
    def rows(self) -> list[int]:
        """The victims."""
        return [int(row) for row in (self.fewest != 0).nonzero().flatten()]

    def ask(self, graphs: Sequence[Graphs]) -> Tensor:
        """Exact scores, float64, shape (graphs,)."""
        found = [torch.zeros(0, dtype=torch.float64)]
        for part in _parts(graphs):
            with torch.no_grad():
                answer = self.score(Graphs.joined(part)).detach()
            found.append(_one_each(answer, len(part)).double().cpu())
        scores = torch.cat(found)
        if bool(scores.isnan().any()):
            raise BadInput(self.name, "a graph, as it came or with additions, has the score NaN", "a number is right")
        return scores

    def offer(self, row: int, trials: Sequence[Graphs], scores: Tensor | None = None) -> int:
        """Take note of trials for a victim; returns which of them has the lowest score."""
        if not trials:
            return -1
        scores = self.ask(trials) if scores is None else scores
        best = int(scores.argmin())
        if scores[best] < self.lowest[row]:
            self.lowest[row] = scores[best]
            if self.fewest[row] < 0:
                self.examples[row] = trials[best]
        for trial, score in zip(trials, scores.tolist(), strict=True):
            count = max(1, added(self.home[row], trial))
            if score <= self.threshold and not 0 < int(self.fewest[row]) <= count:
                self.fewest[row], self.examples[row] = count, trial
        return best

    def result(self) -> AttackedGraphs:
        """What was found.

        Raises:
            BrokenAttack: an example that is not its graph with additions.
        """
        for row, (before, after) in enumerate(zip(self.home, self.examples, strict=True)):
            only_adds_to_graph(before, after, attack=self.name, row=row)
        return AttackedGraphs(self.name, self.fewest, self.before, self.lowest, tuple(self.examples))


def added(before: Graphs, after: Graphs) -> int:
    """Nodes and edges that were added."""
    return len(after.x) - len(before.x) + after.edge_index.shape[1] - before.edge_index.shape[1]


def only_adds_to_graph(before: Graphs, after: Graphs, *, attack: str = "yours", row: int = 0) -> None:
    """Pass in silence if `after` is `before` with nodes and edges added, and no weight lower; or say that it is not.

    Raises:
        BrokenAttack: it is not.

    >>> one = isotone.graphs.Graphs(torch.ones(2, 1), torch.tensor([[0], [1]]))
    >>> isotone.attack.only_adds_to_graph(one, one.union(one))
    """
    if not before.within(after):
        raise BrokenAttack(attack, row, "lost a node, an edge or weight of an edge, or a node changed")


def _parts(graphs: Sequence[Graphs]) -> list[list[Graphs]]:
    parts: list[list[Graphs]] = []
    room = 0
    for one in graphs:
        size = len(one.x) + one.edge_index.shape[1]
        if not parts or size > room:
            parts.append([])
            room = AT_ONCE
        parts[-1].append(one)
        room -= size
    return parts


def _one_each(answer: Tensor, count: int) -> Tensor:
    if answer.shape not in ((count,), (count, 1)):
        raise BadInput(
            "score", f"it gave shape {tuple(answer.shape)} for {count} graphs", "one score per graph, of one logit"
        )
    return answer.reshape(count)
