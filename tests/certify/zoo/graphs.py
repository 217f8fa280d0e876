"""Networks on graphs with fixed edges, each edge and node with a presence: what is added must not thin what is there."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import torch
from torch import nn

from ..models import positive
from ._case import FALLS, HIDDEN, RISES, UNIT, Case

NODES = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
EDGES = torch.rand(2, 5, generator=torch.Generator().manual_seed(1))
DENSE = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(2))
SOURCE, TARGET = (0, 1, 2, 3, 3), (1, 0, 0, 2, 1)


class Graph(nn.Module):
    """Two rounds of messages over fixed edges; `gather` says how they arrive, `pool` what becomes of the nodes."""

    def __init__(self, gather: str = "index_add", pool: str = "max", signed: bool = False):
        super().__init__()
        self.first, self.second = (nn.Linear(3, 4), nn.Linear(4, 4))
        self.head = nn.Linear(4, 1)
        for layer in (self.first, self.second, self.head)[int(signed) :]:
            positive(layer)
        self.gather, self.pool = gather, pool
        self.register_buffer("source", torch.tensor(SOURCE))
        self.register_buffer("target", torch.tensor(TARGET))

    def arrive(self, messages, edges):
        messages = messages * edges.unsqueeze(-1)  # (rows, edges, width)
        place = self.target[:, None].expand(messages.shape)
        empty = torch.zeros_like(messages[:, :4])
        if self.gather == "index_add":
            return empty.index_add(1, self.target, messages)
        if self.gather == "scatter_add":
            return empty.scatter_add(1, place, messages)
        if self.gather == "index_put":
            first = empty.transpose(0, 1)
            return first.index_put((self.target,), messages.transpose(0, 1), accumulate=True).transpose(0, 1)
        if self.gather == "mean":
            count = torch.zeros_like(edges[:, :4]).index_add(1, self.target, edges)
            return empty.index_add(1, self.target, messages) / count.unsqueeze(-1).clamp(min=1)
        return empty.scatter_reduce(1, place, messages, self.gather)

    def forward(self, nodes, edges):
        h = torch.relu(self.first(nodes))
        h = h + self.arrive(h[:, self.source], edges)
        h = torch.relu(self.second(h))
        h = h + self.arrive(torch.gather(h, 1, self.source[None, :, None].expand(len(h), -1, 4)), edges)
        return self.head({"max": h.amax(1), "sum": h.sum(1), "mean": h.mean(1)}[self.pool])


class Adjacency(nn.Module):
    """A dense adjacency matrix with entries in [0, 1], added to by the attacker."""

    def __init__(self, by: str = "sum"):
        super().__init__()
        self.layer, self.head, self.by = positive(nn.Linear(3, 4)), positive(nn.Linear(4, 1)), by

    def forward(self, nodes, adjacency):
        h = torch.relu(self.layer(nodes))
        if self.by == "degree":
            adjacency = adjacency / adjacency.sum(2, keepdim=True).clamp(min=1)
        elif self.by == "symmetric":
            degree = adjacency.sum(2).clamp(min=1).rsqrt()
            adjacency = degree.unsqueeze(2) * adjacency * degree.unsqueeze(1)
        elif self.by == "attention":
            adjacency = torch.softmax(adjacency, 2)
        elif self.by == "max":
            return self.head((adjacency.unsqueeze(-1) * h.unsqueeze(1)).amax(2)).amax(1)
        return self.head(adjacency @ h).amax(1)


class NodeMask(nn.Module):
    """Nodes that may be added: free features, a presence for each, a readout by sum of what is not negative."""

    def __init__(self, readout: str = "sum"):
        super().__init__()
        self.free = nn.Sequential(nn.Linear(3, 6), nn.GELU(), nn.Linear(6, 4), nn.Softplus())
        self.head, self.readout = positive(nn.Linear(4, 1)), readout

    def forward(self, nodes, present):
        h = self.free(nodes) * present.unsqueeze(-1)
        if self.readout == "mean":
            return self.head(h.sum(1) / present.sum(1, keepdim=True).clamp(min=1))
        return self.head(h.sum(1) if self.readout == "sum" else h.amax(1))


EDGE_DOMAIN, NODE_DOMAIN = (None, UNIT), (None, UNIT)
# fmt: off
MODELS = {
    # falls
    "a mean over neighbours":           Case(lambda: Graph("mean"), (NODES, EDGES), (0, +1), EDGE_DOMAIN, HIDDEN, "a weak neighbour thins the mean"),
    "a graph with signed messages":     Case(lambda: Graph(signed=True), (NODES, EDGES), (+1, 0), EDGE_DOMAIN, FALLS, "the first layer is free, and its input moves"),
    "degree normalisation":             Case(lambda: Adjacency("degree"), (NODES, DENSE), (0, +1), (UNIT, UNIT), FALLS, "rows are shares"),
    "symmetric normalisation (GCN)":    Case(lambda: Adjacency("symmetric"), (NODES, DENSE), (0, +1), (UNIT, UNIT), FALLS, "an edge divides its neighbours"),
    "graph attention":                  Case(lambda: Adjacency("attention"), (NODES, DENSE), (0, +1), (UNIT, UNIT), FALLS, "softmax over neighbours"),
    "a readout by mean":                Case(lambda: NodeMask("mean"), (NODES, EDGES[:, :4]), (0, +1), NODE_DOMAIN, FALLS, "a weak node thins the mean"),
    # rises
    "messages by index_add":            Case(Graph, (NODES, EDGES), (+1, +1), EDGE_DOMAIN, RISES, "non-negative messages add up"),
    "messages by scatter_add, summed":  Case(lambda: Graph("scatter_add", "sum"), (NODES, EDGES), (+1, +1), EDGE_DOMAIN, RISES, "non-negative messages add up"),
    "messages by index_put":            Case(lambda: Graph("index_put"), (NODES, EDGES), (+1, +1), EDGE_DOMAIN, RISES, "non-negative messages add up"),
    "the largest neighbour":            Case(lambda: Graph("amax"), (NODES, EDGES), (+1, +1), EDGE_DOMAIN, RISES, "maxima rise"),
    "the sum by scatter_reduce":        Case(lambda: Graph("sum"), (NODES, EDGES), (+1, +1), EDGE_DOMAIN, RISES, "non-negative messages add up"),
    "a mean over the nodes of a fixed graph": Case(lambda: Graph(pool="mean"), (NODES, EDGES), (0, +1), EDGE_DOMAIN, RISES, "the number of nodes is fixed"),
    "free messages, edges added":       Case(lambda: Graph(signed=True), (NODES, EDGES), (0, +1), EDGE_DOMAIN, RISES, "what is computed from a node's own fixed features may be free"),
    "a dense adjacency":                Case(Adjacency, (NODES, DENSE), (0, +1), (None, UNIT), RISES, "a product of non-negative matrices"),
    "a dense adjacency, features too":  Case(Adjacency, (NODES, DENSE), (+1, +1), (None, UNIT), RISES, "both factors rise and are not negative"),
    "a dense adjacency, the largest":   Case(lambda: Adjacency("max"), (NODES, DENSE), (0, +1), (None, UNIT), RISES, "maxima of products"),
    "nodes added":                      Case(NodeMask, (NODES, EDGES[:, :4]), (0, +1), NODE_DOMAIN, RISES, "a softplus of free features is positive"),
    "nodes added, the largest":         Case(lambda: NodeMask("max"), (NODES, EDGES[:, :4]), (0, +1), NODE_DOMAIN, RISES, "a softplus of free features is positive"),
}
# fmt: on
