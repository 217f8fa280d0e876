"""A graph is read from what other libraries hand over, refused where it is none, and compared with what it becomes."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.errors import BadInput
from isotone.graphs import Graphs, read

X, EDGES = torch.arange(6.0).reshape(3, 2), torch.tensor([[0, 1, 2], [1, 2, 2]])


class Dgl:
    """What is asked of a graph of DGL."""

    def __init__(self, source, target, sizes):
        self.pair, self.sizes = (source, target), sizes

    def edges(self):
        return self.pair

    def num_nodes(self):
        return int(sum(self.sizes))

    def batch_num_nodes(self):
        return torch.tensor(self.sizes)


class Pyg:
    """What is asked of `Data` and `Batch`."""

    def __init__(self, **parts):
        self.__dict__.update(parts)


FORMS = {
    # form                          what it stands for
    "x and edges": (lambda: (X, EDGES), "one graph"),
    "with batch": (lambda: (X, EDGES, torch.zeros(3, dtype=torch.int64)), "the same"),
    "as in DGL": (lambda: (Dgl(*EDGES, [3]), X), "a graph and its features"),
    "as in PyG": (lambda: (Pyg(x=X, edge_index=EDGES),), "one object"),
    "a batch of PyG": (
        lambda: (Pyg(x=X, edge_index=EDGES, batch=torch.zeros(3, dtype=torch.int64), num_graphs=1),),
        "one object",
    ),
    "ours": (lambda: (Graphs(X, EDGES),), "one object"),
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_the_same_graph(form):
    found = read(*FORMS[form][0]())
    assert torch.equal(found.x, X)
    assert torch.equal(found.edge_index, EDGES)
    assert found.batch.tolist() == [0, 0, 0]
    assert found.count == 1


def test_weights_and_types_come_with_each_form():
    weights, types = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([0, 1, 1])
    g = Dgl(*EDGES, [3])
    g.edge_weight = weights
    for found in (
        read(X, EDGES, edge_weight=weights, edge_type=types),
        read(g, X, edge_type=types),
        read(Pyg(x=X, edge_index=EDGES, edge_attr=weights[:, None], edge_type=types)),
    ):
        assert torch.equal(found.weights, weights)
        assert torch.equal(found.types, types)


def test_empty_graphs_of_a_batch_are_counted():
    assert read(Dgl(*EDGES, [0, 3, 0]), X).count == 3


INT = torch.int64
# fmt: off
REFUSED = [
    # given                                                             said                          why
    (lambda: read("graph"),                                             "str came",                   "no graph at all"),
    (lambda: read(X),                                                   "Tensor came",                "no edges"),
    (lambda: read(X.long(), EDGES),                                     "floats are right",           "whole numbers"),
    (lambda: read(X[0], EDGES),                                         "shape",                      "one dimension"),
    (lambda: read(X * torch.nan, EDGES),                                "NaN",                        "a score would be NaN too"),
    (lambda: read(X, EDGES.T),                                          "edge_index",                 "edges as rows"),
    (lambda: read(X, EDGES.float()),                                    "int64 is right",             "edges as floats"),
    (lambda: read(X, EDGES + 1),                                        "count from 0",               "a node that is not there"),
    (lambda: read(X, EDGES - 1),                                        "count from 0",               "a node before the first"),
    (lambda: read(X, EDGES, torch.tensor([0, 1, 1])),                   "one graph to another",       "an edge between graphs"),
    (lambda: read(X, EDGES[:, 2:], torch.tensor([1, 0, 0])),            "does not rise",              "graphs mixed"),
    (lambda: read(X, EDGES, torch.zeros(2, dtype=INT)),                 "does not rise",              "a node without graph"),
    (lambda: read(X, EDGES, torch.zeros(3, dtype=INT) + 2, count=2),    "of 2",                       "a third graph of two"),
    (lambda: read(X, EDGES, edge_type=torch.tensor([0, 1])),            "edge_type",                  "a type is missing"),
    (lambda: read(X, EDGES, edge_type=torch.tensor([0, -1, 0])),        "edge_type",                  "a negative type"),
    (lambda: read(X, EDGES, edge_weight=torch.tensor([0, -1.0, 0])),    "would lower what it reaches", "a negative weight"),
    (lambda: read(X, EDGES, edge_weight=torch.tensor([0, torch.nan, 0])), "NaN entries",              "NaN is no weight"),
    (lambda: read(X, EDGES, edge_weight=torch.tensor([0, torch.inf, 0])), "infinite",                 "infinity is no weight"),
    (lambda: read(Dgl(*EDGES, [2]), X),                                 "3 rows of features",         "one node too few"),
    (lambda: read(Pyg(x=X, edge_index=EDGES, edge_attr=torch.ones(3, 2))), "edge_attr",               "two numbers per edge"),
    (lambda: Graphs.joined([]),                                         "no graph came",              "nothing to join"),
    (lambda: Graphs.joined([Graphs(X, EDGES)] * 2).plus(X),             "2 graphs came",              "added to which?"),
]
# fmt: on


@pytest.mark.parametrize(("make", "said", "why"), REFUSED, ids=[why for *_, why in REFUSED])
def test_what_is_no_graph_is_refused(make, said, why):
    with pytest.raises(BadInput, match=said):
        make()


def some(nodes: int, edges: int, seed: int, *, weighted: bool = True) -> Graphs:
    g = torch.Generator().manual_seed(seed)
    edges = edges if nodes else 0
    return Graphs(
        torch.rand(nodes, 2, generator=g),
        torch.randint(0, max(nodes, 1), (2, edges), generator=g),
        edge_type=torch.randint(0, 2, (edges,), generator=g),
        edge_weight=torch.rand(edges, generator=g) if weighted else None,
    )


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=25)
def test_graphs_that_are_joined_come_apart_again(sizes):
    graphs = [some(nodes, edges, i) for i, (nodes, edges) in enumerate(sizes)]
    joined = Graphs.joined(graphs)
    Graphs(joined.x, joined.edge_index, joined.batch, joined.count, joined.edge_type, joined.edge_weight)  # checks it
    for before, after in zip(graphs, joined.split(), strict=True):
        for name in ("x", "edge_index", "batch", "types", "weights"):
            assert torch.equal(getattr(before, name), getattr(after, name)), name


ONE = Graphs(X, EDGES)
# fmt: off
LARGER = [
    # another graph                                               it holds ONE   why
    (ONE,                                                         True,          "itself"),
    (ONE.plus(torch.zeros(2, 2)),                                 True,          "two more nodes"),
    (ONE.plus(edges=torch.tensor([[0], [1]])),                    True,          "an edge twice"),
    (ONE.union(ONE),                                              True,          "a further component"),
    (Graphs(X, EDGES.flip(1)),                                    True,          "the edges in another order"),
    (ONE.with_(edge_weight=torch.tensor([1.0, 1.5, 1.0])),        True,          "a weight that has risen"),
    (Graphs(X, EDGES[:, 1:]),                                     False,         "an edge less"),
    (Graphs(X, EDGES.flip(0)),                                    False,         "edges turned round"),
    (Graphs(X + 1, EDGES),                                        False,         "other nodes"),
    (Graphs(X[:2], EDGES[:, :1]),                                 False,         "a node less"),
    (ONE.with_(edge_weight=torch.tensor([1.0, 0.5, 1.0])),        False,         "a weight that has fallen"),
    (ONE.with_(edge_type=torch.tensor([0, 1, 0])),                False,         "an edge of another kind"),
]
# fmt: on


@pytest.mark.parametrize(("other", "holds", "why"), LARGER, ids=[why for *_, why in LARGER])
def test_a_graph_is_within_what_it_became_by_additions(other, holds, why):
    assert ONE.within(other) is holds
