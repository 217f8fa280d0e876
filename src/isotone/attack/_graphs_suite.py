"""Every attack on graphs, on the same graphs, at the same threshold."""

from __future__ import annotations

from collections.abc import Sequence

from ..graphs import Graphs
from ._graphs import graph_dilution, graph_imitation, graph_random, graph_union
from ._graphs_edges import graph_edges
from ._graphs_search import AttackedGraphs, Score


def graph_suite(
    score: Score,
    graphs: Sequence[Graphs],
    threshold: float,
    benign: Sequence[Graphs],
    *,
    gradient: bool = True,
    relations: int = 1,
    seed: int = 0,
) -> list[AttackedGraphs]:
    """Run all of them; the strongest stands first. `isotone.attack.fewest` and `evasion_rate` read what they found.

    Args:
        score, graphs, threshold, relations: as for `graph_dilution`.
        benign: harmless graphs, of the training part.
        gradient: False for a victim without gradients or without weighted edges: `graph_edges` is left out.
        seed: of what is drawn.

    Cost: some 600 scores per victim.

    >>> net = isotone.nn.GraphNetwork(features=2, width=4).eval()
    >>> one = isotone.graphs.Graphs(torch.ones(3, 2), torch.tensor([[0, 1], [1, 2]]))
    >>> found = isotone.attack.graph_suite(net, [one], -torch.inf, benign=[one])
    >>> len(found), any(bool(attacked.lowered.any()) for attacked in found)
    (5, False)
    """
    found = [
        graph_dilution(score, graphs, threshold, relations=relations),
        graph_imitation(score, graphs, threshold, benign, relations=relations, seed=seed),
        graph_union(score, graphs, threshold, benign, seed=seed),
        graph_random(score, graphs, threshold, benign, relations=relations, seed=seed),
    ]
    if gradient:
        found.append(graph_edges(score, graphs, threshold, relations=relations, seed=seed))
    return sorted(
        found, key=lambda attacked: (-int(attacked.evaded.sum()), float((attacked.scores - attacked.before).sum()))
    )
