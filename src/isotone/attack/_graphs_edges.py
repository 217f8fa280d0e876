"""Greedy edges by a relaxed adjacency: the gradient of the score in the weight of edges that are not there yet.

- edges that may be added take part with the weight 0, which changes no score, and have a gradient;
- exact scores pick among the first 1, 2, 4, ... of the ranking, since a gradient at 0 is only a guess, and blind to
  maxima.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import BadInput
from ..graphs import Graphs
from ._graphs_search import AttackedGraphs, GraphSearch, Score

# Pairs of nodes that are candidates at once; in larger graphs a random part.
PAIRS = 8192


def graph_edges(
    score: Score,
    graphs: Sequence[Graphs],
    threshold: float,
    *,
    rounds: int = 5,
    most: int = 256,
    new: int = 8,
    relations: int = 1,
    seed: int = 0,
) -> AttackedGraphs:
    """Add the edges that the gradient calls best, to the graph alone, and with some nodes without features beside it.

    Args:
        score: as for `graph_dilution`, of graphs with `edge_weight`, and with a gradient in it.
        graphs, threshold, relations: as for `graph_dilution`.
        rounds: how often the gradient is renewed.
        most: edges of one round.
        new: nodes without features that are there to be wired.
        seed: of the candidates in large graphs.

    Raises:
        BadInput: the score has no gradient in the weights of edges; see `GraphSearch` for more.

    Cost: per victim, start and round a backward pass over the graph with 8,192 edges more, and ten scores.
    Source: relaxed adjacencies as in Zügner et al. (arXiv 1902.08412), upwards only.
    """
    search = GraphSearch("graph_edges", score, graphs, threshold)
    for row in search.rows:
        generator = torch.Generator().manual_seed(seed)  # what is found for one does not depend on the others
        # From the graph alone, too: nodes that no edge needs would be counted, and may raise the score.
        for nodes in dict.fromkeys((0, new)):
            home = search.home[row]
            now = home.plus(home.x.new_zeros(nodes, home.x.shape[1])) if nodes else home
            lowest = float(search.ask([now])[0])
            if nodes:
                search.offer(row, [now])
            for _ in range(rounds):
                trials = _wired(score, now, relations, most, generator)
                scores = search.ask(trials)
                best = search.offer(row, trials, scores)
                if not float(scores[best]) < lowest:
                    break
                now, lowest = trials[best], float(scores[best])
    return search.result()


def _wired(score: Score, now: Graphs, relations: int, most: int, generator: torch.Generator) -> list[Graphs]:
    """The graph with one, two, four, ... of the edges that the gradient calls best."""
    pairs, kinds = _candidates(now, relations, generator)
    slope = _slopes(score, now, pairs, kinds)
    order = slope.argsort(stable=True)
    helpful = int((slope < 0).sum())
    # Where the gradient sees nothing, a few of its first guesses are tried all the same.
    sizes = sorted({min(2**power, max(helpful, 4), most) for power in range(most.bit_length())})
    return [
        now.plus(edges=pairs[:, order[:size]], edge_type=kinds[order[:size]] if relations > 1 else None)
        for size in sizes
    ]


def _candidates(now: Graphs, relations: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Edges that may be added, (2, m), and their kinds."""
    n = len(now.x)
    every = n * n * relations
    if every <= PAIRS:
        flat = torch.arange(every)
    else:
        flat = torch.randint(0, every, (PAIRS,), generator=generator)
    kinds, pair = flat // (n * n), flat % (n * n)
    return torch.stack([pair // n, pair % n]), kinds


def _slopes(score: Score, now: Graphs, pairs: Tensor, kinds: Tensor) -> Tensor:
    """The gradient of the score in the weight of each candidate at 0, shape (m,)."""
    typed = now.edge_type is not None or bool(kinds.any())
    with torch.inference_mode(False), torch.enable_grad():
        weight = now.x.new_zeros(pairs.shape[1]).requires_grad_()
        index = torch.cat([now.edge_index, pairs.to(now.edge_index)], dim=1)
        relaxed = Graphs.raw(
            x=now.x,
            edge_index=index,
            batch=now.batch,
            count=1,
            edge_type=torch.cat([now.types, kinds.to(now.types)]) if typed else None,
            edge_weight=torch.cat([now.weights, weight]),
        )
        total = score(relaxed).sum()
        if not total.requires_grad:
            raise BadInput(
                "graph_edges",
                "the score has no gradient in the weights of edges",
                "a differentiable model of weighted edges is right",
                "`graph_dilution` and `graph_union` need none.",
            )
        (slope,) = torch.autograd.grad(total, weight, allow_unused=True, materialize_grads=True)
    return slope.detach().double().nan_to_num(nan=0.0)
