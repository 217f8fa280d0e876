"""The usual graph networks, with any weights: what attacks are tried on before their silence elsewhere counts.

- none is monotone, whatever its weights: a mean, a degree or a softmax divides by what an attacker adds;
- "gin", a sum, is the exception: with `non_negative` weights additions cannot lower it;
- in plain torch, weighted edges and padded forms included, so that `certify` can refute them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..constraints import NonNegative, constrain
from ..errors import BadInput
from ..graphs import Graphs, read


class GraphTwin(nn.Module):
    """A graph classifier of a usual kind; one raw logit per label. A control, not a detector.

    Args:
        kind: "gcn" (both degrees under a root), "sage" (mean of the neighbours), "gat" (softmax attention) or "gin"
            (sum).
        features: of a node.
        width: of the state of a node.
        layers: steps of message passing.
        labels: logits.
        hidden: width of a hidden layer of the head; 0 for none.
        readout: "mean", "sum" or "max" of the states of all layers.
        both_ways: edges also bring messages from `to` to `from`.
        non_negative: all weights at least 0: what "a non-negative model" is often taken to mean.

    Shapes: as `GraphNetwork`. Edge weights multiply what an edge brings and its share of each degree, mean or softmax.

    Source: Kipf and Welling (1609.02907), Hamilton et al. (1706.02216), Velickovic et al. (1710.10903), Xu et al.
    (1810.00826), in their common short forms.

    >>> isotone.nn.GraphTwin("gcn", features=3, width=8)(torch.rand(2, 3), torch.tensor([[0], [1]])).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        kind: str,
        features: int,
        width: int = 32,
        layers: int = 2,
        labels: int = 1,
        *,
        hidden: int = 0,
        readout: str = "mean",
        both_ways: bool = False,
        non_negative: bool = False,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if kind not in _STEPS:
            raise BadInput("GraphTwin", f"kind={kind!r} came", f"{', '.join(map(repr, _STEPS))} are right")
        if readout not in ("mean", "sum", "max"):
            raise BadInput("GraphTwin", f"readout={readout!r} came", "'mean', 'sum' or 'max' is right")
        self.kind, self.readout, self.both_ways = kind, readout, both_ways
        self.encoder, self.features = encoder, features
        first = features if encoder is None else int(encoder(torch.zeros(2, features)).shape[1])
        widths = [first, *[width] * layers]
        pairs = list(itertools.pairwise(widths))
        self.own = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.others = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs)
        self.attention = nn.ModuleList(nn.Linear(2 * b, 1, bias=False) for _, b in pairs)
        pooled = sum(widths)
        self.head = nn.Sequential(nn.Linear(pooled, hidden), nn.ReLU()) if hidden else nn.Sequential()
        self.head.append(nn.Linear(hidden or pooled, labels))
        if non_negative:
            constrain(self, "*weight", NonNegative())

    def forward(self, *given: Any, **more: Any) -> Tensor:
        """The logits, (graphs, labels)."""
        graphs = read(*given, **more)
        if self.training or graphs.count <= 1:
            return self.together(graphs)
        return torch.cat([self.together(one) for one in graphs.split()])

    def together(self, graphs: Graphs) -> Tensor:
        """The logits of all graphs in one pass; `x` may have dimensions before (nodes, features)."""
        h = graphs.x if self.encoder is None else self.encoder(graphs.x).relu()
        here = graphs.x.new_ones(graphs.num_nodes(), 1) if graphs.presence is None else graphs.presence
        source, target = graphs.edge_index
        weights = graphs.weights[..., None]
        if self.both_ways:
            source, target = torch.cat([source, target]), torch.cat([target, source])
            weights = torch.cat([weights, weights], dim=-2)
        h = h * here
        seen = [h]
        for i in range(len(self.own)):
            h = _STEPS[self.kind](self, i, h, _Edges(source, target, weights)).relu() * here
            seen.append(h)
        return self.head(self._read(torch.cat(seen, dim=-1), here, graphs))  # type: ignore[no-any-return]

    def _read(self, h: Tensor, here: Tensor, graphs: Graphs) -> Tensor:
        nothing = h.new_zeros(*h.shape[:-2], graphs.count, h.shape[-1])
        if self.readout == "max":
            return nothing.scatter_reduce(-2, graphs.batch[:, None].expand(h.shape), h, "amax")
        total = nothing.index_add(-2, graphs.batch, h)
        if self.readout == "sum":
            return total
        count = nothing[..., :1].index_add(-2, graphs.batch, here.expand(*h.shape[:-1], 1))
        return total / count.clamp(min=1e-6)


class _Edges(NamedTuple):
    source: Tensor
    target: Tensor
    weights: Tensor  # (..., edges, 1)


def _sums(values: Tensor, target: Tensor, h: Tensor) -> Tensor:
    return h.new_zeros(*h.shape[:-1], values.shape[-1]).index_add(-2, target, values)


def _gin(twin: GraphTwin, i: int, h: Tensor, edges: _Edges) -> Tensor:
    source, target, weights = edges
    return twin.own[i](h) + twin.others[i](_sums(h.index_select(-2, source) * weights, target, h))  # type: ignore[no-any-return]


def _sage(twin: GraphTwin, i: int, h: Tensor, edges: _Edges) -> Tensor:
    source, target, weights = edges
    total = _sums(h.index_select(-2, source) * weights, target, h)
    count = _sums(weights.expand(*h.shape[:-2], len(source), 1), target, h)
    return twin.own[i](h) + twin.others[i](total / count.clamp(min=1.0))  # type: ignore[no-any-return]


def _gcn(twin: GraphTwin, i: int, h: Tensor, edges: _Edges) -> Tensor:
    source, target, weights = edges
    weights = weights.expand(*h.shape[:-2], len(source), 1)
    # Each node has an edge to itself, so no degree is 0.
    scale = (1 + _sums(weights, target, h)).rsqrt()
    sent = (h * scale).index_select(-2, source) * weights
    return twin.own[i]((_sums(sent, target, h) + h * scale) * scale)  # type: ignore[no-any-return]


def _gat(twin: GraphTwin, i: int, h: Tensor, edges: _Edges) -> Tensor:
    source, target, weights = edges
    z = twin.own[i](h)
    to, by = twin.attention[i].get_parameter("weight").chunk(2, dim=-1)
    asked, offered = (z * to).sum(-1, keepdim=True), (z * by).sum(-1, keepdim=True)

    def logit(a: Tensor, b: Tensor) -> Tensor:
        # Bounded, so that the exponential needs no maximum taken off, which would be another one in a padded form.
        return nn.functional.leaky_relu(a + b, 0.2).clamp(-30.0, 30.0)

    share = logit(asked.index_select(-2, target), offered.index_select(-2, source)).exp() * weights
    itself = logit(asked, offered).exp()
    total: Tensor = _sums(share * z.index_select(-2, source), target, h) + itself * z
    return total / (_sums(share, target, h) + itself)


Step = Callable[[GraphTwin, int, Tensor, _Edges], Tensor]
_STEPS: dict[str, Step] = {"gcn": _gcn, "sage": _sage, "gat": _gat, "gin": _gin}
KINDS: Sequence[str] = tuple(_STEPS)
