"""Logits of a graph of any size, which no node, edge or component that is added can lower.

    a node's own features -> encoder (free), at least 0 -> monotone message passing, layer by layer
    states of all nodes and layers -> readouts -> monotone head -> logits

- what an attacker who only adds cannot change, a node's own content, may be encoded with any weights;
- from the first step on that mixes nodes everything rises: `_graphs_layer.py` and `_graphs_pool.py` say why;
- a graph has one score, alone or in any batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..directions import Directions, as_directions
from ..errors import BadInput
from ..graphs import Graphs, read
from ._alone import alone
from ._counts import check_counts, check_widths
from ._dense import MonotoneLinear, MonotoneMLP, Saturating, trunk
from ._graphs_layer import MOST, Edges, GraphConv, Logarithmic, NodeEncoder, check_types
from ._graphs_pool import Places, check_pool, readout
from ._initialize import initialize_


class GraphNetwork(nn.Module):
    """A scorer of graphs; one raw logit per label, for `BCEWithLogitsLoss`.

    Adding nodes with any features, edges between any nodes, old or new, and whole components never lowers a logit;
    neither does raising the weight of an edge, or a node's feature of direction +1.

    Args:
        features: of a node.
        width: of the state of a node.
        layers: steps of message passing.
        hidden: width of each hidden layer of the head.
        labels: logits; each is monotone by itself. Do not put a softmax over them.
        relations: kinds of edges (`edge_type`), each with weights of its own.
        aggregation: of messages at a node: "sum", "max", "log1p_sum" or "top<k>_sum".
        readout: of the states of all nodes: one of these, or several beside each other. A plain sum turns "large" into
            "malicious"; "max", "top<k>_sum" and "log1p_sum" hardly do, and dividing by the size would be no remedy: an
            attacker can grow it.
        both_ways: edges also bring messages from `to` to `from`, as a relation of its own.
        directions: of the features of a node: 0 (free) for what additions leave as it is, +1 for what they can raise.
        monotone: False for the unconstrained twin: the same shape, all weights free.
        encoder: in place of the layers on a node's own features: any module (nodes, features) -> (nodes, n) that looks
            at each node by itself, with any weights; it is run on each alone (`RowByRow`), so that it does.
            `directions` is then not used.

    Shapes: `net(x, edge_index, batch)`, `net(g, h)` with a graph as DGL has them, `net(data)` with `Data` or `Batch` of
        PyTorch Geometric or with `isotone.graphs.Graphs` -> (graphs, labels). `edge_type` and `edge_weight` may come by
        name. `arguments` holds what it was made with, in plain JSON, where no encoder was given:
        `GraphNetwork(**net.arguments)` makes another.

    Raises:
        BadInput: a pool that an addition can lower (mean, attention, degree normalisation), by name with the reason; an
            encoder that mixes nodes.

    Cost: linear in nodes and edges.

    In evaluation mode graphs are scored one by one: no score depends on the others, not in the last bit.

    >>> net = isotone.nn.GraphNetwork(features=3, width=8).eval()
    >>> x, edges = torch.rand(4, 3), torch.tensor([[0, 1], [1, 2]])
    >>> larger = torch.cat([x, torch.zeros(1, 3)]), torch.tensor([[0, 1, 4, 4], [1, 2, 0, 3]])
    >>> bool(net(*larger) >= net(x, edges))
    True
    """

    def __init__(
        self,
        features: int,
        width: int = 32,
        layers: int = 2,
        hidden: Sequence[int] = (32,),
        labels: int = 1,
        *,
        relations: int = 1,
        aggregation: str = "max",
        readout: str | Sequence[str] = ("max", "log1p_sum"),
        both_ways: bool = False,
        directions: Directions = 0,
        monotone: bool = True,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_counts("GraphNetwork", features=features, width=width, labels=labels, relations=relations)
        check_counts("GraphNetwork", least=0, layers=layers)
        check_widths("GraphNetwork", hidden=hidden)
        if not len(readout):
            raise BadInput("GraphNetwork", "readout=() came", "one way or several to pool the nodes are right")
        kinds = [readout] if isinstance(readout, str) else list(readout)
        for kind in kinds:
            check_pool(kind, "GraphNetwork(readout=...)")
        self.arguments: dict[str, Any] = {
            "features": features, "width": width, "layers": layers, "hidden": list(hidden), "labels": labels,
            "relations": relations, "aggregation": aggregation, "readout": kinds, "both_ways": both_ways,
            "directions": list(as_directions(directions, features)), "monotone": monotone,
        }  # fmt: skip
        self.features, self.labels, self.relations = features, labels, relations
        self.readout, self.both_ways = tuple(kinds), both_ways
        if encoder is None:
            encoder = NodeEncoder(features, width, directions, monotone=monotone)
        # Numbers that are rows of an embedding, too.
        some = torch.ones(6, features).tril(-3)
        self.encoder, self.own_width = alone(encoder, some, "GraphNetwork", "nodes")
        widths = [self.own_width, *[width] * layers]
        self.layers = nn.ModuleList(
            GraphConv(
                before, after, relations * (1 + both_ways), aggregation,
                # Sides in turn: with one convex activation only convex functions could be made.
                "log1p" if depth % 2 == 0 else "relu", monotone=monotone,
            )
            for depth, (before, after) in enumerate(itertools.pairwise(widths))
        )  # fmt: skip
        self.pooled = sum(widths) * len(kinds)
        self.head = _head(self.pooled, hidden, labels, monotone=monotone)

    def forward(self, *given: Any, **more: Any) -> Tensor:
        """The logits, (graphs, labels)."""
        graphs = read(*given, **more)
        self._check(graphs)
        if self.training or graphs.count <= 1:
            return self.together(graphs)
        # One by one: products of other row counts add up in another order.
        return torch.cat([self.together(one) for one in graphs.split()])

    def together(self, graphs: Graphs) -> Tensor:
        """The logits of all graphs in one pass, unchecked; `x` may have dimensions before (nodes, features)."""
        # Bounded, as is what follows: infinities would become NaN, and NaN is above no threshold.
        x = graphs.x.clamp(-MOST, MOST)
        return self.of_states(graphs, self.encoder(x.flatten(0, -2)).unflatten(0, x.shape[:-1]))

    def of_states(self, graphs: Graphs, said: Tensor) -> Tensor:
        """The logits from what each node says by itself, (..., nodes, width), in place of `x`."""
        states, edges, places = self._start(graphs, said)
        seen = [states]
        for layer in self.layers:
            assert isinstance(layer, GraphConv)
            states = layer.step(states, edges)
            if graphs.presence is not None:
                states = states * graphs.presence
            seen.append(states)
        pooled = readout(self.readout, torch.cat(seen, dim=-1), graphs.batch, graphs.count, places)
        return self.head(pooled)  # type: ignore[no-any-return]

    def _start(self, graphs: Graphs, said: Tensor) -> tuple[Tensor, Edges, Places | None]:
        """The first states, the edges as layers take them, and where nodes stand in padded forms."""
        states = said.nan_to_num(0.0).clamp(0.0, MOST)
        source, target, types, weights = *graphs.edge_index, graphs.edge_type, graphs.edge_weight
        if self.both_ways:
            there = graphs.types
            types = torch.cat([there, there + self.relations])
            source, target = torch.cat([source, target]), torch.cat([target, source])
            weights = None if weights is None else torch.cat([weights, weights], dim=-1)
        if graphs.presence is None:
            return states, Edges(source, target, types, weights), None
        nodes = graphs.num_nodes()
        # Padded: every node has an edge to every node, and all nodes are in one graph.
        each = Places(target.argsort(stable=True), len(target) // nodes)
        whole = Places(torch.arange(nodes, device=target.device), nodes)
        return states * graphs.presence, Edges(source, target, types, weights, each), whole

    def _check(self, graphs: Graphs) -> None:
        if graphs.x.shape[-1] != self.features:
            came = f"nodes of {graphs.x.shape[-1]} features came"
            raise BadInput("GraphNetwork", came, f"it was made for {self.features}")
        check_types(graphs.edge_type, self.relations, "GraphNetwork")

    def units(self) -> dict[str, tuple[nn.Module, int]]:
        """Its parts after the encoder, as functions of a row of numbers of at least 0, with the length of the row.

        Each must rise with every number; the pools between them, and the bottom 0 of each message and state, do the
        rest. What is proved of these, with `isotone.certify(unit, torch.zeros(2, n), +1, (0, None))`, holds for graphs
        of every size, since no unit sees more than one node or one edge.

        >>> net = isotone.nn.GraphNetwork(features=3, width=4, layers=1)
        >>> list(net.units())
        ['message 0', 'mixing 0', 'head']
        """
        found: dict[str, tuple[nn.Module, int]] = {}
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, GraphConv)
            before, mixed = layer.messages[0].in_features, layer.mixing.in_features
            found[f"message {i}"] = (_Message(layer), before)  # type: ignore[assignment]
            found[f"mixing {i}"] = (_Mix(layer, before), mixed)  # type: ignore[arg-type]
        found["head"] = (self.head, self.pooled)
        for unit, _ in found.values():
            unit.train(self.training)
        return found

    @torch.no_grad()
    def centre_(self, graphs: Graphs, prior: float | Sequence[float] = 0.5) -> None:
        """Start on real graphs: each layer's sums with mean 0 and variance 1, the logits at the prior.

        Args:
            graphs: some dozens of training graphs.
            prior: share of positives of each label among them, or one for all; above 0 and below 1.

        Raises:
            BadInput: a prior that no finite logit has; graphs that do not fit.
        """
        shares = torch.as_tensor(prior, dtype=torch.float32).expand(self.labels)
        if not bool(((shares > 0) & (shares < 1)).all()):
            raise BadInput(
                "centre_", f"prior={prior} came", "graphs of both kinds, so a share between 0 and 1 is right"
            )
        self._check(graphs)
        if self.arguments["monotone"]:
            initialize_(_Together(self), (graphs,), spread=1.0)
        last = [layer for layer in self.head.modules() if isinstance(layer, MonotoneLinear)][-1]
        last.bias.add_(torch.logit(shares).to(last.bias))


class _Together(nn.Module):
    """`together` as the call of a module, for `initialize_`."""

    def __init__(self, network: GraphNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, graphs: Graphs) -> Tensor:
        return self.network.together(graphs)


class _Message(nn.Module):
    def __init__(self, layer: GraphConv) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, h: Tensor) -> Tensor:
        return torch.cat([message(h).clamp(0.0, MOST) for message in self.layer.messages], dim=-1)


class _Mix(nn.Module):
    def __init__(self, layer: GraphConv, own: int) -> None:
        super().__init__()
        self.layer, self.own = layer, own

    def forward(self, both: Tensor) -> Tensor:
        return self.layer.mix(both[..., : self.own], both[..., self.own :])


def _head(pooled: int, hidden: Sequence[int], labels: int, *, monotone: bool) -> nn.Module:
    if monotone:
        head = MonotoneMLP(pooled, hidden, +1, labels)
        _without_ceilings(head.layers)
        return head
    first = MonotoneLinear(pooled, hidden[0] if hidden else labels, directions=0)
    return _without_ceilings(nn.Sequential(first, *(trunk((*hidden, labels), monotone=False) if hidden else ())))


def _without_ceilings(layers: nn.Sequential) -> nn.Sequential:
    """A sum over all nodes drives units with a ceiling against it within an epoch: see `ACTIVATIONS`."""
    for i, layer in enumerate(layers):
        if isinstance(layer, Saturating):
            layers[i] = Logarithmic(above=layer.above)
    return layers
