"""Which nodes and edges hold an alarm up: a part of the graph that is enough, whatever is added to it.

- sufficient: every graph that has this part is an alarm too, for a network that is proved;
- irreducible: without any one of its nodes or edges that can no longer be said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..graphs import Graphs, read
from ..nn import GraphNetwork
from ..verdict import Verdict
from ._graphs import GraphCertificate, graph_certificate

# Of a score: what float32 makes of it in another graph. A part is enough if it is above the threshold by more.
ROUNDING = 1e-5


@dataclass(frozen=True)
class GraphReasons:
    """A part of a graph that is enough for an alarm.

    Args:
        nodes: numbers of the nodes of the part, rising.
        edges: numbers of its edges, rising: columns of `edge_index`.
        ends: from and to of each of these edges.
        score: of the whole graph.
        reached: of the part alone. Every graph that has the part scores as much at least, but for rounding.
        threshold: above it is an alarm.
        size: nodes and edges of the whole graph.
    """

    nodes: tuple[int, ...]
    edges: tuple[int, ...]
    ends: tuple[tuple[int, int], ...]
    score: float
    reached: float
    threshold: float
    size: tuple[int, int]

    def told(self, names: Sequence[str] | None = None) -> str:
        """A sentence, and a line for each node and edge.

        >>> reasons = GraphReasons((0, 2), (4,), ((0, 2),), 3.0, 2.5, 1.0, (9, 20))
        >>> print(reasons.told(["socket", "f1", "main"]))
        alarm, whatever else is added, by 2 of 9 nodes and 1 of 20 edges:
          socket -> main
        """

        def name(node: int) -> str:
            return f"node {node}" if names is None else str(names[node])

        joined = {end for pair in self.ends for end in pair}
        lines = [f"  {name(node)}" for node in self.nodes if node not in joined]
        lines += [f"  {name(a)} -> {name(b)}" for a, b in self.ends]
        (nodes, edges) = self.size
        part = f"{len(self.nodes)} of {nodes} nodes and {len(self.edges)} of {edges} edges"
        return "\n".join([f"alarm, whatever else is added, by {part}" + ":" * bool(lines), *lines])


@torch.no_grad()
def graph_reasons(
    network: GraphNetwork,
    graph: Graphs | Any,
    threshold: float = 0.0,
    *,
    label: int = 0,
    certificate: GraphCertificate | None = None,
) -> GraphReasons:
    """Nodes and edges that alone keep an alarm: none of them can be spared, and no addition to them undoes it.

    Nodes are tried first, those whose loss costs least before the others, then edges. What is found is irreducible and
    not always the smallest there is.

    Args:
        network: in evaluation mode, and proved.
        graph: one graph, in any form that the network reads as one argument.
        threshold: a logit above it is an alarm.
        label: which logit.
        certificate: of this network, if there is one already.

    Raises:
        BadInput: several graphs, no alarm, a network that is not proved or a certificate of another one.

    Cost: some two scores per node and, of the nodes that stay, per edge; and `graph_certificate`.
    Source: greedy deletion, as `isotone.explain.sufficient_reasons`; right because scores never fall by additions.

    >>> net = isotone.nn.GraphNetwork(features=2, width=4, layers=1).eval()
    >>> one = isotone.graphs.Graphs(torch.rand(5, 2), torch.tensor([[0, 1, 2], [1, 2, 3]]))
    >>> found = isotone.bounds.graph_reasons(net, one, threshold=net(one).item() - 0.01)
    >>> found.reached > found.threshold
    True
    """
    one = read(graph)
    if one.count != 1:
        raise BadInput("graph_reasons", f"{one.count} graphs came", "one is right", "`split()` gives each by itself.")
    certificate = graph_certificate(network) if certificate is None else certificate
    if certificate.verdict is not Verdict.PROVED or not certificate.valid_for(network):
        came = "a network that is not proved, or a certificate of another one, came"
        raise BadInput("graph_reasons", came, "a network whose scores no addition lowers is right")
    if not 0 <= label < network.labels:
        raise BadInput("graph_reasons", f"label={label} came", f"0 to {network.labels - 1} are there")
    score = float(network(one)[0, label])
    if not score > threshold:
        raise BadInput(
            "graph_reasons", f"a graph that scores {score:g} came", f"an alarm is right: above {threshold:g}"
        )

    enough = threshold + ROUNDING * max(1.0, abs(threshold))
    nodes, edges = torch.ones(len(one.x), dtype=torch.bool), torch.ones(one.edge_index.shape[1], dtype=torch.bool)

    def alone(nodes: Tensor, edges: Tensor) -> float:
        return float(network(part_of(one, nodes, edges))[0, label])

    def falls(mask: Tensor, score_of: Callable[[Tensor], float]) -> list[int]:
        """What is there, from what costs least to lose to what costs most."""
        there = mask.nonzero().flatten().tolist()
        left = {i: score_of(_without(mask, [i])) for i in there}
        return sorted(there, key=lambda i: -left[i])

    def of_nodes(mask: Tensor) -> float:
        return alone(mask, edges)

    nodes = _kept(nodes, falls(nodes, of_nodes), lambda mask: of_nodes(mask) > enough)
    edges = edges & nodes[one.edge_index[0].cpu()] & nodes[one.edge_index[1].cpu()]

    def of_edges(mask: Tensor) -> float:
        return alone(nodes, mask)

    edges = _kept(edges, falls(edges, of_edges), lambda mask: of_edges(mask) > enough)
    chosen = edges.nonzero().flatten().tolist()
    return GraphReasons(
        nodes=tuple(nodes.nonzero().flatten().tolist()),
        edges=tuple(chosen),
        ends=tuple((int(one.edge_index[0, e]), int(one.edge_index[1, e])) for e in chosen),
        score=score,
        reached=alone(nodes, edges),
        threshold=float(threshold),
        size=(len(one.x), one.edge_index.shape[1]),
    )


def part_of(one: Graphs, nodes: Tensor, edges: Tensor) -> Graphs:
    """The graph of some of its nodes, and of those of its edges that have both ends there."""
    nodes, edges = nodes.to(one.x.device), edges.to(one.x.device)
    source, target = one.edge_index
    edges = edges & nodes[source] & nodes[target]
    place = nodes.cumsum(0) - 1
    return Graphs(
        one.x[nodes],
        place[one.edge_index[:, edges]],
        edge_type=None if one.edge_type is None else one.edge_type[edges],
        edge_weight=None if one.edge_weight is None else one.edge_weight[edges],
    )


def _kept(mask: Tensor, order: Sequence[int], enough: Callable[[Tensor], bool]) -> Tensor:
    """What is left when each is left out that can be: all at once where that will do, else half by half.

    What could not be spared when more was there cannot be spared later: so nothing is tried twice.
    """
    waiting = [list(order)]
    while waiting:
        some = waiting.pop()
        if not some:
            continue
        less = _without(mask, some)
        if enough(less):
            mask = less
        elif len(some) > 1:
            half = len(some) // 2
            waiting += [some[half:], some[:half]]
    return mask


def _without(mask: Tensor, some: Sequence[int]) -> Tensor:
    less = mask.clone()
    less[list(some)] = False
    return less
