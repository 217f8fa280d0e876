"""One graph or several as tensors, what may be added to one, and whether one is another with additions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from ..errors import BadInput

_WHERE = "graphs"


@final
@dataclass(frozen=True, eq=False)
class Graphs:
    """One graph or several, put side by side.

    Args:
        x: (nodes, features), floating point: what is known of each node by itself.
        edge_index: (2, edges) int64: from, to.
        batch: (nodes,) int64, the graph of each node, not falling; one graph by default.
        count: how many graphs; by default up to the last that has a node.
        edge_type: (edges,) int64, the relation of each edge, from 0; all 0 by default.
        edge_weight: (edges,), at least 0; all 1 by default.
        presence: (nodes, 1) in [0, 1], for padded forms (`isotone.nn.PaddedGraphs`): how far a node is there.

    Raises:
        BadInput: ends of edges that are no nodes, edges from graph to graph, negative weights, shapes that do not fit.

    >>> pair = isotone.graphs.Graphs(torch.ones(3, 2), torch.tensor([[0, 2], [1, 1]]))
    >>> pair
    Graphs(1 graph, 3 nodes of 2 features, 2 edges)
    """

    x: Tensor
    edge_index: Tensor
    batch: Tensor = field(default=None)  # type: ignore[assignment]
    count: int = -1
    edge_type: Tensor | None = None
    edge_weight: Tensor | None = None
    presence: Tensor | None = None

    def __post_init__(self) -> None:
        if getattr(self, "batch", None) is None:
            object.__setattr__(self, "batch", self.x.new_zeros(len(self.x), dtype=torch.int64))
            object.__setattr__(self, "count", max(self.count, 1))
        elif self.count < 0:
            object.__setattr__(self, "count", int(self.batch.max()) + 1 if len(self.batch) else 0)
        _check(self)

    @classmethod
    def raw(cls, **parts: Any) -> Graphs:
        """Without any check: for parts that were checked, and for tracing, where tensors have no values yet."""
        made = object.__new__(cls)
        for name in ("edge_type", "edge_weight", "presence"):
            object.__setattr__(made, name, parts.get(name))
        for name in ("x", "edge_index", "batch", "count"):
            object.__setattr__(made, name, parts[name])
        return made

    @classmethod
    def joined(cls, graphs: Iterable[Graphs]) -> Graphs:
        """All of them side by side, in their order.

        >>> one = isotone.graphs.Graphs(torch.ones(3, 2), torch.tensor([[0, 2], [1, 1]]))
        >>> isotone.graphs.Graphs.joined([one, one]).edge_index.tolist()
        [[0, 2, 3, 5], [1, 1, 4, 4]]
        """
        graphs = list(graphs)
        if not graphs:
            raise BadInput(_WHERE, "no graph came", "at least one is right")
        nodes = torch.tensor([0, *(len(g.x) for g in graphs)]).cumsum(0).tolist()
        counts = torch.tensor([0, *(g.count for g in graphs)]).cumsum(0).tolist()
        return cls.raw(
            x=torch.cat([g.x for g in graphs]),
            edge_index=torch.cat([g.edge_index + n for g, n in zip(graphs, nodes, strict=False)], dim=1),
            batch=torch.cat([g.batch + c for g, c in zip(graphs, counts, strict=False)]),
            count=counts[-1],
            edge_type=_together(graphs, "edge_type", lambda g: g.types),
            edge_weight=_together(graphs, "edge_weight", lambda g: g.weights),
        )

    def split(self) -> list[Graphs]:
        """Each by itself; parts that hold the same memory."""
        if self.count == 1:
            return [self]
        if self.presence is not None:
            raise BadInput(_WHERE, "padded graphs came", "graphs of nodes that are there are right")
        ends = torch.bincount(self.batch, minlength=self.count).cumsum(0)
        starts = (ends - ends.diff(prepend=ends.new_zeros(1))).tolist()
        # Edges by the graph they are in; stable, so that each graph keeps the order of its edges.
        owner = self.batch[self.edge_index[0]]
        order = owner.argsort(stable=True)
        sizes = torch.bincount(owner, minlength=self.count).tolist()
        made = []
        for edges, start, end in zip(torch.split(order, sizes), starts, ends.tolist(), strict=True):
            made.append(
                Graphs.raw(
                    x=self.x[start:end],
                    edge_index=self.edge_index[:, edges] - start,
                    batch=self.batch.new_zeros(end - start),
                    count=1,
                    edge_type=None if self.edge_type is None else self.edge_type[edges],
                    edge_weight=None if self.edge_weight is None else self.edge_weight[edges],
                )
            )
        return made

    @property
    def types(self) -> Tensor:
        """The relation of each edge, also where none was given: (edges,) int64."""
        return self.edge_index.new_zeros(self.edge_index.shape[1]) if self.edge_type is None else self.edge_type

    @property
    def weights(self) -> Tensor:
        """The weight of each edge, also where none was given: (edges,)."""
        return self.x.new_ones(self.edge_index.shape[1]) if self.edge_weight is None else self.edge_weight

    @property
    def num_graphs(self) -> int:
        """As in PyTorch Geometric."""
        return self.count

    def edges(self) -> tuple[Tensor, Tensor]:
        """As in DGL: from and to, each (edges,)."""
        return self.edge_index[0], self.edge_index[1]

    def num_nodes(self) -> int:
        """As in DGL."""
        return self.x.shape[-2]

    def batch_num_nodes(self) -> Tensor:
        """As in DGL: nodes of each graph, shape (graphs,)."""
        return torch.bincount(self.batch, minlength=self.count)

    def with_(self, **parts: Any) -> Graphs:
        """The same with these parts changed, checked anew."""
        return replace(self, **parts)

    def plus(
        self,
        nodes: Tensor | None = None,
        edges: Tensor | None = None,
        *,
        edge_type: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Graphs:
        """One graph with nodes and edges added behind its own.

        Args:
            nodes: (new, features); they are numbered after the old ones.
            edges: (2, new) int64, from and to, among old and new nodes.
            edge_type, edge_weight: of the new edges; 0 and 1 by default.

        Raises:
            BadInput: several graphs; what `Graphs` refuses.

        >>> one = isotone.graphs.Graphs(torch.ones(2, 1), torch.tensor([[0], [1]]))
        >>> one.plus(torch.zeros(1, 1), torch.tensor([[2, 2], [0, 1]]))
        Graphs(1 graph, 3 nodes of 1 feature, 3 edges)
        """
        _single(self)
        x = self.x if nodes is None else torch.cat([self.x, nodes.to(self.x)])
        if edges is None:
            edges = self.edge_index.new_zeros(2, 0)
        new = edges.shape[1]
        types = weights = None
        if self.edge_type is not None or edge_type is not None:
            types = torch.cat(
                [self.types, self.types.new_zeros(new) if edge_type is None else edge_type.to(self.types)]
            )
        if self.edge_weight is not None or edge_weight is not None:
            more = self.x.new_ones(new) if edge_weight is None else edge_weight.to(self.x)
            weights = torch.cat([self.weights, more])
        index = torch.cat([self.edge_index, edges.to(self.edge_index)], dim=1)
        return Graphs(x, index, edge_type=types, edge_weight=weights)

    def union(self, other: Graphs) -> Graphs:
        """This graph and another one as one graph of two components.

        >>> one = isotone.graphs.Graphs(torch.ones(2, 1), torch.tensor([[0], [1]]))
        >>> one.union(one)
        Graphs(1 graph, 4 nodes of 1 feature, 2 edges)
        """
        _single(other)
        typed, weighted = other.edge_type is not None, other.edge_weight is not None
        return self.plus(
            other.x,
            other.edge_index + len(self.x),
            edge_type=other.edge_type if typed else None,
            edge_weight=other.edge_weight if weighted else None,
        )

    def within(self, larger: Graphs) -> bool:
        """Whether `larger` is this graph with additions: the same first nodes, no edge less, no weight lower.

        >>> one = isotone.graphs.Graphs(torch.ones(2, 1), torch.tensor([[0], [1]]))
        >>> one.within(one.union(one)), one.union(one).within(one)
        (True, False)
        """
        _single(self)
        _single(larger)
        nodes = len(self.x)
        if len(larger.x) < nodes or not torch.equal(self.x, larger.x[:nodes]):
            return False
        here, there = _heaps(self), _heaps(larger)
        return all(_dominated(weights, there.get(key, [])) for key, weights in here.items())

    def to(self, device: Any) -> Graphs:
        """On another device."""
        moved = {name: None if part is None else part.to(device) for name, part in self._tensors().items()}
        return Graphs.raw(count=self.count, **moved)

    def _tensors(self) -> dict[str, Tensor | None]:
        names = ("x", "edge_index", "batch", "edge_type", "edge_weight", "presence")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        sizes = ((self.count, "graph"), (self.num_nodes(), "node"), (self.x.shape[-1], "feature"),
                 (self.edge_index.shape[1], "edge"))  # fmt: skip
        graphs, nodes, features, edges = (f"{n} {name}{'' if n == 1 else 's'}" for n, name in sizes)
        return f"Graphs({graphs}, {nodes} of {features}, {edges})"


def _check(g: Graphs) -> None:
    if g.x.dim() != 2 or not g.x.is_floating_point():
        raise BadInput(
            _WHERE, f"x of shape {tuple(g.x.shape)} and {g.x.dtype} came", "(nodes, features) floats are right"
        )
    if g.edge_index.dim() != 2 or g.edge_index.shape[0] != 2 or g.edge_index.dtype != torch.int64:
        came = f"edge_index of shape {tuple(g.edge_index.shape)} and {g.edge_index.dtype} came"
        raise BadInput(_WHERE, came, "(2, edges) int64 is right")
    nodes, edges = len(g.x), g.edge_index.shape[1]
    if not bool(torch.isfinite(g.x).all()):
        raise BadInput(_WHERE, "infinite or NaN features came", "finite numbers are right")
    first, last = (int(g.edge_index.min()), int(g.edge_index.max())) if edges else (0, -1)
    if first < 0 or last >= nodes:
        came = f"edges between nodes {first} and {last} came"
        raise BadInput(_WHERE, came, f"the {nodes} nodes count from 0")
    if g.batch.shape != (nodes,) or not bool((g.batch.diff() >= 0).all()):
        raise BadInput(_WHERE, "batch does not rise along the nodes", "the graph of each node, not falling, is right")
    if nodes and not 0 <= int(g.batch[0]) <= int(g.batch[-1]) < g.count:
        raise BadInput(_WHERE, f"graphs {int(g.batch[0])} to {int(g.batch[-1])} came of {g.count}", "they count from 0")
    if edges and not torch.equal(g.batch[g.edge_index[0]], g.batch[g.edge_index[1]]):
        raise BadInput(_WHERE, "an edge leads from one graph to another", "edges within graphs are right")
    if g.edge_type is not None and (
        g.edge_type.shape != (edges,) or g.edge_type.dtype != torch.int64 or bool((g.edge_type < 0).any())
    ):
        raise BadInput(
            _WHERE, f"edge_type of shape {tuple(g.edge_type.shape)} came", f"({edges},) int64 from 0 is right"
        )
    # Written so that NaN fails.
    if g.edge_weight is not None and (
        g.edge_weight.shape != (edges,) or not bool(((g.edge_weight >= 0) & (g.edge_weight < torch.inf)).all())
    ):
        raise BadInput(
            _WHERE,
            f"edge_weight of shape {tuple(g.edge_weight.shape)} came, or one with negative, infinite or NaN entries",
            f"({edges},) weights of at least 0 are right",
            "An edge of negative weight would lower what it reaches.",
        )


def _single(g: Graphs) -> None:
    if g.count != 1:
        raise BadInput(_WHERE, f"{g.count} graphs came", "one is right", "`split()` gives each by itself.")


def _together(graphs: Sequence[Graphs], name: str, of: Any) -> Tensor | None:
    return None if all(getattr(g, name) is None for g in graphs) else torch.cat([of(g) for g in graphs])


def _heaps(g: Graphs) -> dict[tuple[int, int, int], list[float]]:
    """The weights of all edges from u to v of a type, largest first."""
    heaps: dict[tuple[int, int, int], list[float]] = {}
    for u, v, t, w in zip(*g.edge_index.tolist(), g.types.tolist(), g.weights.tolist(), strict=True):
        heaps.setdefault((u, v, t), []).append(w)
    return {key: sorted(weights, reverse=True) for key, weights in heaps.items()}


def _dominated(small: list[float], large: list[float]) -> bool:
    """Whether each of `small` finds another of `large` that is not below it; both largest first."""
    return len(small) <= len(large) and all(a <= b for a, b in zip(small, large, strict=False))
