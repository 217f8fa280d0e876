"""Graph classifiers of PyTorch Geometric: what additions can lower is refused by name; the rest is constrained, proved."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import pytest
import torch
from torch import nn

import isotone
from isotone import Verdict
from isotone.attack import graph_dilution, graph_random
from isotone.errors import BadInput, NoMatch
from isotone.graphs import Graphs
from isotone.nn import PaddedGraphs, refuse_unsafe_graph

# Its import warns of a part of torch that it uses; importorskip lets that pass.
pyg = pytest.importorskip("torch_geometric.nn")


class Classifier(nn.Module):
    """A usual one: an encoder of each node, two layers, a pool, a linear layer."""

    def __init__(self, layer, pool=pyg.global_add_pool, encode=True):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 6), nn.ReLU()) if encode else nn.Identity()
        self.conv1, self.conv2 = layer(6 if encode else 3, 6), layer(6, 6)
        self.pool, self.classify = pool, nn.Linear(6, 1)

    def forward(self, x, edge_index, batch):
        h = self.encoder(x)
        h = self.conv1(h, edge_index).relu()
        h = self.conv2(h, edge_index).relu()
        return self.classify(self.pool(h, batch))


class MeanOfNodes(Classifier):
    def forward(self, x, edge_index, batch):
        return self.classify(pyg.global_mean_pool(self.conv1(x, edge_index), batch))


class Own(pyg.MessagePassing):
    pass


def constrained(model):
    isotone.constrain(model, "conv*weight", isotone.NonNegative())
    isotone.constrain(model, "classify.weight", isotone.NonNegative())
    return model.eval()


def graphs(count=20):
    g = torch.Generator().manual_seed(0)
    return [Graphs(torch.rand(6, 3, generator=g), torch.randint(0, 6, (2, 12), generator=g)) for _ in range(count)]


# ruff: noqa: PLW0108
# fmt: off
GOOD = {
    "GraphConv, sum":             lambda a, b: pyg.GraphConv(a, b, aggr="add"),
    "GraphConv, max":             lambda a, b: pyg.GraphConv(a, b, aggr="max"),
    "GIN":                        lambda a, b: pyg.GINConv(nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, b))),
    "SAGE, max":                  lambda a, b: pyg.SAGEConv(a, b, aggr="max"),
    "GCN without normalisation":  lambda a, b: pyg.GCNConv(a, b, normalize=False),
}
BAD = {
    # layer                                                                                           said                                   falls by dilution
    "SAGE, mean":                 (lambda a, b: pyg.SAGEConv(a, b),                                   "divides by how many",                 True),
    "GCN":                        (lambda a, b: pyg.GCNConv(a, b),                                    "degrees of both ends",                True),
    "GAT":                        (lambda a, b: pyg.GATConv(a, b),                                    "sum to 1",                            True),
    "GATv2":                      (lambda a, b: pyg.GATv2Conv(a, b),                                  "sum to 1",                            True),
    "SAGE that divides":          (lambda a, b: pyg.SAGEConv(a, b, aggr="add", normalize=True),       "length of the state",                 False),
    "GraphConv, mean":            (lambda a, b: pyg.GraphConv(a, b, aggr="mean"),                     "divides by how many",                 True),
    "GraphConv, min":             (lambda a, b: pyg.GraphConv(a, b, aggr="min"),                      "can be the new value",                True),
    "GraphConv, several":         (lambda a, b: pyg.GraphConv(a, b, aggr=pyg.MultiAggregation(["sum", "max"])), "'conv1",                   False),
    "a norm of the graph":        (lambda a, b: pyg.Sequential("x, e", [(pyg.GraphConv(a, b), "x, e -> x"), (pyg.GraphNorm(b), "x -> x")]), "whole graph", False),
    "a layer that is not known":  (lambda a, b: pyg.ARMAConv(a, b),                                   "does not know its messages",          False),
    "an activation that dips":    (lambda a, b: pyg.GINConv(nn.Sequential(nn.Linear(a, b), nn.GELU())), "falls before it rises",             False),
}
# fmt: on


@pytest.mark.parametrize("name", GOOD)
def test_layers_that_rise_are_constrained_pass_and_do_not_fall(name):
    torch.manual_seed(0)
    model = constrained(Classifier(GOOD[name]))
    refuse_unsafe_graph(model, free=["encoder"])

    def score(g):
        return model(g.x, g.edge_index, g.batch)

    assert not bool(graph_dilution(score, graphs(), -torch.inf).lowered.any())
    assert not bool(graph_random(score, graphs(), -torch.inf, graphs(3)).lowered.any())


@pytest.mark.parametrize("name", BAD)
def test_layers_that_an_addition_can_lower_are_refused_by_name(name):
    layer, said, falls = BAD[name]
    torch.manual_seed(0)
    model = constrained(Classifier(layer))
    with pytest.raises(BadInput, match=said) as fault:
        refuse_unsafe_graph(model, free=["encoder"])
    assert "'conv1" in str(fault.value)
    if falls:
        with torch.no_grad():  # all units at work
            for p in model.parameters():
                p.abs_()
        assert bool(graph_dilution(lambda g: model(g.x, g.edge_index, g.batch), graphs(), -torch.inf).lowered.any())


def test_a_function_in_a_forward_is_seen():
    with pytest.raises(BadInput, match="forward calls global_mean_pool"):
        refuse_unsafe_graph(constrained(MeanOfNodes(GOOD["GIN"], encode=False)))


@pytest.mark.parametrize("aggregation", ["MeanAggregation", "StdAggregation", "MedianAggregation"])
def test_an_aggregation_as_readout_is_refused(aggregation):
    model = constrained(Classifier(GOOD["GIN"], getattr(pyg, aggregation)()))
    with pytest.raises(BadInput, match=f"'pool' is a {aggregation}"):
        refuse_unsafe_graph(model, free=["encoder"])


def test_an_own_layer_is_not_passed():
    with pytest.raises(BadInput, match="does not know its messages"):
        refuse_unsafe_graph(Own())


def test_a_weight_below_0_is_named_with_the_line_that_holds_it():
    torch.manual_seed(0)
    model = Classifier(GOOD["GraphConv, sum"])
    with pytest.raises(BadInput, match=r"'conv1\.lin_rel\.weight' goes down to") as fault:
        refuse_unsafe_graph(model, free=["encoder"])
    assert "isotone.constrain(model, 'conv1.lin_rel.weight', isotone.NonNegative())" in str(fault.value)
    model = constrained(Classifier(GOOD["GIN"]))
    model.conv1.eps.fill_(-2.0)
    with pytest.raises(BadInput, match="eps below -1"):
        refuse_unsafe_graph(model, free=["encoder"])


def test_free_parts_are_named():
    with pytest.raises(NoMatch):
        refuse_unsafe_graph(constrained(Classifier(GOOD["GIN"])), free=["encoding"])


class Weighted(nn.Module):
    """One that takes weights of edges and presences of nodes, as padded forms need."""

    def __init__(self, aggr):
        super().__init__()
        self.conv, self.classify = pyg.GraphConv(3, 6, aggr=aggr), nn.Linear(6, 1)

    def forward(self, g: Graphs) -> torch.Tensor:
        here = torch.ones_like(g.x[:, :1]) if g.presence is None else g.presence
        h = self.conv(g.x, g.edge_index, g.weights).relu() * here
        return self.classify(h.sum(0, keepdim=True))


def test_a_classifier_of_pytorch_geometric_is_proved_in_its_padded_form():
    torch.manual_seed(0)
    model = Weighted("add")
    isotone.constrain(model, "*weight", isotone.NonNegative())
    padded = PaddedGraphs(model.eval(), nodes=3, call=lambda net, g: net(g))
    example, ways, domain = padded.question(3)
    certificate = isotone.certify(padded, example, ways, ((0.0, 1.0), *domain[1:]), budget=100, seconds=0)
    assert certificate.verdict is Verdict.PROVED, str(certificate)


def test_what_is_no_padded_form_is_not_asked_about():
    """A mean over all edges, those of weight 0 too, would be proved, and says nothing about the mean."""
    model = Weighted("mean").eval()
    with pytest.raises(BadInput, match="also in what it divides by"):
        PaddedGraphs(model, nodes=3, call=lambda net, g: net(g)).question(3)
