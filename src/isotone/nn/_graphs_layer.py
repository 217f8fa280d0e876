"""One step of message passing that no added node or edge can lower.

    message = relu(W_type h_from + b_type) * weight     W >= 0; not negative, whatever b is
    h_to    = activation(V [h_to, pool of messages] + c)     V >= 0, activation rises from 0 on

- an edge that is added brings a number of at least 0, which no pool takes amiss; one whose start has risen brings more;
- so each layer rises with each state and with each edge, and a network of them does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..directions import Directions, as_directions
from ..errors import BadInput
from ._dense import MonotoneLinear, MonotoneMLP
from ._graphs_pool import Places, check_pool, pool

Activation = Literal["relu", "log1p"]
# States and messages are cut off here, so that no sum of them leaves float32. A cut falls nowhere.
MOST = 1e12
# Rising, and at least 0 everywhere: one convex, one concave. The concave one has no ceiling: a step of Adam raises all
# weights of one sign at once, and units that it drives against a ceiling have no gradient and do not come back.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "log1p": lambda x: x.relu().log1p(),
}


class Edges(NamedTuple):
    """Edges as layers take them.

    Args:
        source, target: (edges,) int64, from and to.
        types: (edges,) int64.
        weights: (..., edges), or None for 1 each.
        places: where each node has as many edges (padded forms).
    """

    source: Tensor
    target: Tensor
    types: Tensor | None = None
    weights: Tensor | None = None
    places: Places | None = None


class Logarithmic(nn.Module):
    """An increasing activation that bends on one side: a logarithm there, the identity on the other.

    >>> Logarithmic(above=True)(torch.tensor([-2.0, 0.0, 50.0]))
    tensor([-2.0000,  0.0000,  3.9318])
    """

    def __init__(self, *, above: bool) -> None:
        super().__init__()
        self.above = above

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; entry by entry."""
        up, down = x.relu(), (-x).relu()
        return up.log1p() - down if self.above else up - down.log1p()

    def extra_repr(self) -> str:
        """Which side."""
        return f"above={self.above}"


class GraphConv(nn.Module):
    """Monotone message passing: states of nodes -> states of nodes, of at least 0.

    Args:
        in_features, out_features: width of the states.
        relations: kinds of edges; each has a weight of its own.
        aggregation: "sum", "max", "log1p_sum" or "top<k>_sum" of the messages that reach a node.
        activation: "relu" or "log1p" (of what is above 0).
        monotone: False for the unconstrained twin: the same shape, all weights free.

    Shapes: h (nodes, in_features), edge_index (2, edges) from and to, edge_type (edges,) int64, edge_weight (edges,) of
        at least 0 -> (nodes, out_features).

    Raises:
        BadInput: an aggregation that an addition can lower, by name and with the reason.

    Cost: a matrix product per relation, and one row of `out_features` per edge.
    Source: Tena Cucala et al. (arXiv 2305.18015) for sums and maxima under weights of at least 0.

    >>> layer = isotone.nn.GraphConv(3, 4)
    >>> layer(torch.rand(2, 3), torch.tensor([[0], [1]])).shape
    torch.Size([2, 4])
    >>> isotone.nn.GraphConv(3, 4, aggregation="mean")
    Traceback (most recent call last):
        ...
    isotone.errors.BadInput: GraphConv(aggregation=...): 'mean' came, and it divides by how many there are, ...
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        relations: int = 1,
        aggregation: str = "sum",
        activation: Activation = "relu",
        *,
        monotone: bool = True,
    ) -> None:
        super().__init__()
        check_pool(aggregation, "GraphConv(aggregation=...)")
        if activation not in ACTIVATIONS:
            came = f"activation={activation!r} came"
            raise BadInput("GraphConv", came, f"{' or '.join(map(repr, ACTIVATIONS))} is right")
        way = +1 if monotone else 0
        self.aggregation, self.activation = aggregation, activation
        self.messages = nn.ModuleList(MonotoneLinear(in_features, out_features, way) for _ in range(relations))
        self.mixing = MonotoneLinear(in_features + out_features, out_features, way)

    def forward(
        self, h: Tensor, edge_index: Tensor, edge_type: Tensor | None = None, edge_weight: Tensor | None = None
    ) -> Tensor:
        """The new states."""
        check_types(edge_type, len(self.messages), "GraphConv")
        # NaN is not at least 0 either.
        if edge_weight is not None and not bool((edge_weight >= 0).all()):
            raise BadInput("GraphConv", "an edge weight below 0 came", "at least 0 is right, or an edge lowers a state")
        return self.step(h, Edges(edge_index[0], edge_index[1], edge_type, edge_weight))

    def step(self, h: Tensor, edges: Edges) -> Tensor:
        """The same, unchecked, with any dimensions before (nodes, features)."""
        messages = self.message(h)
        index = edges.source if edges.types is None else edges.types * h.shape[-2] + edges.source
        brought = messages.index_select(-2, index)
        if edges.weights is not None:
            brought = (brought * edges.weights[..., None].to(brought)).clamp(max=MOST)
        return self.mix(h, pool(self.aggregation, brought, edges.target, h.shape[-2], edges.places))

    def message(self, h: Tensor) -> Tensor:
        """What each node would send over an edge of each relation: (..., relations * nodes, out_features)."""
        return torch.cat([layer(h).clamp(0.0, MOST) for layer in self.messages], dim=-2)

    def mix(self, h: Tensor, heard: Tensor) -> Tensor:
        """A node's next state, from its own and what it hears."""
        return ACTIVATIONS[self.activation](self.mixing(torch.cat([h, heard], dim=-1))).clamp(max=MOST)

    def extra_repr(self) -> str:
        """What is pooled how."""
        return f"aggregation={self.aggregation!r}, activation={self.activation!r}"


def check_types(edge_type: Tensor | None, relations: int, where: str) -> None:
    """Refuse relations that a layer has no weight for."""
    if edge_type is not None and len(edge_type):
        first, last = int(edge_type.min()), int(edge_type.max())
        if first < 0 or last >= relations:
            raise BadInput(
                where, f"edge types {first} to {last} came", f"its relations count from 0 to {relations - 1}"
            )


class NodeEncoder(nn.Module):
    """A node's own features as numbers: those that nothing changes with any weights, those that grow only upwards.

    Args:
        features: of a node.
        width: of the encoding.
        directions: per feature, or one for all: 0 for what an attacker cannot change of a node that exists, whatever
            is added around it; +1 (-1) for what additions can raise (lower), such as counts of instructions that grow.
        monotone: False for the unconstrained twin.

    Shapes: (..., features) -> (..., width), of at least 0.

    >>> isotone.nn.NodeEncoder(3, 4, directions=(0, 0, 1))(torch.zeros(2, 3)).shape
    torch.Size([2, 4])
    """

    fixed: Tensor
    growing: Tensor

    def __init__(self, features: int, width: int, directions: Directions = 0, *, monotone: bool = True) -> None:
        super().__init__()
        found = torch.tensor(as_directions(directions if monotone else 0, features))
        self.register_buffer("fixed", (found == 0).nonzero().flatten(), persistent=False)
        self.register_buffer("growing", (found != 0).nonzero().flatten(), persistent=False)
        self.free = self.rising = None
        if len(self.fixed):
            self.free = nn.Sequential(nn.Linear(len(self.fixed), width), nn.ReLU(), nn.Linear(width, width))
        if len(self.growing):
            self.rising = MonotoneMLP(len(self.growing), (width,), found[self.growing].tolist(), width)

    def forward(self, x: Tensor) -> Tensor:
        """The encoding."""
        parts: list[Tensor] = []
        if self.free is not None:
            parts.append(self.free(x.index_select(-1, self.fixed)))
        if self.rising is not None:
            parts.append(self.rising(x.index_select(-1, self.growing)))
        return torch.relu(parts[0] if len(parts) == 1 else parts[0] + parts[1])
