"""A network on graphs as a function of presences: the form that `certify` can speak about.

- a graph that grows becomes an input of one shape: every node and every edge is there as far as its presence says;
- absent nodes and edges (presence 0) leave the logits as they are without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..graphs import Graphs

Call = Callable[[nn.Module, Graphs], Tensor]


class PaddedGraphs(nn.Module):
    """The same function of graphs padded to `nodes` nodes and all edges between them.

    A node is added by raising its presence, an edge by raising its own; both are numbers in [0, 1] of direction +1.
    What the nodes say, old or added, is free: equal in both graphs of a pair, and arbitrary.

    Args:
        network: `GraphNetwork`, `GraphTwin`, or any module that is called by `call`.
        nodes: how many a graph has at most.
        relations: kinds of edges.
        call: for another network: a function of it and of `Graphs` to logits (1, labels), with `edge_weight` (edges,)
            and `presence` (nodes, 1), None where all nodes are there. The network must multiply what an edge brings by
            its weight, and a node's state by its presence, in every sum, maximum and count. `Graphs` has the methods
            of a graph of DGL. An edge has the weight 0 as long as one of its nodes is absent.

    Shapes: x (rows, nodes, features), nodes present (rows, nodes), edges present (rows, relations, nodes from, nodes
        to) -> (rows, labels).

    Cost: as a graph with all edges.

    >>> net = isotone.nn.GraphNetwork(features=2, width=4, layers=1).eval()
    >>> x, here = torch.rand(1, 3, 2), torch.tensor([[1.0, 1.0, 0.0]])
    >>> edge = torch.zeros(1, 1, 3, 3)
    >>> edge[0, 0, 0, 1] = 1
    >>> small = net(x[0, :2], torch.tensor([[0], [1]]))
    >>> torch.allclose(isotone.nn.PaddedGraphs(net, nodes=3)(x, here, edge), small)
    True
    """

    source: Tensor
    target: Tensor
    types: Tensor

    def __init__(self, network: nn.Module, nodes: int, relations: int = 1, call: Call | None = None) -> None:
        super().__init__()
        self.network, self.nodes, self.relations, self.call = network, nodes, relations, call
        types, source, target = torch.ones(relations, nodes, nodes).nonzero().unbind(1)
        for name, value in (("types", types), ("source", source), ("target", target)):
            self.register_buffer(name, value, persistent=False)
        self.train(network.training)

    def forward(self, x: Tensor, nodes_present: Tensor, edges_present: Tensor) -> Tensor:
        """The logits."""
        ends = nodes_present[:, None, :, None] * nodes_present[:, None, None, :]
        weights = (edges_present * ends).flatten(1)
        together: Any = getattr(self.network, "together", None)
        if self.call is None and together is not None:
            return together(self._graphs(x, nodes_present[..., None], weights))[:, 0]  # type: ignore[no-any-return]
        call = self.call or (lambda network, graphs: network(graphs, graphs.x))
        # Models of others take (nodes, features): row by row.
        rows = [self._graphs(*parts) for parts in zip(x, nodes_present[..., None], weights, strict=True)]
        return torch.cat([call(self.network, graphs) for graphs in rows])

    def _graphs(self, x: Tensor, presence: Tensor, weights: Tensor) -> Graphs:
        return Graphs.raw(
            x=x,
            edge_index=torch.stack([self.source, self.target]),
            batch=torch.zeros_like(self.source[: self.nodes]),
            count=1,
            edge_type=self.types if self.relations > 1 else None,
            edge_weight=weights,
            presence=presence,
        )

    def question(self, features: int, rows: int = 2) -> tuple[tuple[Tensor, ...], tuple[int, ...], tuple[Any, ...]]:
        """What `certify` asks of it: an example, directions and domain, as `certify(padded, *padded.question(3))`.

        Everything that a node says is free, presences rise, all between 0 and 1.

        Raises:
            BadInput: absent nodes and edges do not leave the score of the smaller graph, on graphs that are tried: what
                would be proved of this form would say nothing about graphs. A mean that divides by all edges, also
                those of weight 0, is such a case.

        >>> net = isotone.nn.GraphNetwork(features=3, width=4, layers=1).eval()
        >>> padded = isotone.nn.PaddedGraphs(net, nodes=3)
        >>> isotone.certify(padded, *padded.question(3)).verdict
        <Verdict.PROVED: 'proved'>
        """
        n = self.nodes
        self._check(features)
        example = (torch.rand(rows, n, features), torch.ones(rows, n), torch.ones(rows, self.relations, n, n))
        return tuple(part.to(self._like()) for part in example), (0, +1, +1), (None, (0.0, 1.0), (0.0, 1.0))

    def _like(self) -> Tensor:
        """In the type, and where, of the network's weights."""
        return next((p for p in self.network.parameters() if p.is_floating_point()), torch.zeros(()))

    @torch.no_grad()
    def _check(self, features: int, tries: int = 6) -> None:
        g, n = torch.Generator().manual_seed(0), self.nodes
        like = self._like()
        call = self.call or (lambda network, graphs: network(graphs, graphs.x))
        for attempt in range(tries):
            size = 1 + attempt % n
            there = (torch.rand(self.relations, n, n, generator=g) < 0.5).to(like)
            x = torch.rand(n, features, generator=g).to(like)
            here = (torch.arange(n) < size).to(like)
            types, source, target = there[:, :size, :size].nonzero().unbind(1)
            small = Graphs(
                x[:size],
                torch.stack([source, target]),
                edge_type=types if self.relations > 1 else None,
                edge_weight=like.new_ones(len(source)),
            )
            expected = call(self.network, small)
            found = self(x[None], here[None], there[None])
            if not bool(((found - expected).abs() <= 1e-3 * (1 + expected.abs())).all()):
                raise BadInput(
                    "PaddedGraphs",
                    f"with absent nodes and edges the network gives {float(found.flatten()[0]):.4g}, and without them "
                    f"{float(expected.flatten()[0]):.4g}",
                    "a network that multiplies by edge_weight and presence, also in what it divides by, is right",
                )
