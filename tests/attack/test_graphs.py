"""Attacks on graphs only add; what is known to fall falls to them, and what cannot fall does not."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import isotone.attack
from isotone.attack import (
    AttackedGraphs,
    BrokenAttack,
    fewest,
    graph_dilution,
    graph_edges,
    graph_imitation,
    graph_random,
    graph_suite,
    graph_union,
    is_broken,
    only_adds_to_graph,
)
from isotone.errors import BadInput
from isotone.graphs import Graphs
from isotone.nn import GraphNetwork, GraphTwin

ATTACKS = {
    "graph_dilution": lambda score, graphs, t, benign: graph_dilution(score, graphs, t),
    "graph_imitation": lambda score, graphs, t, benign: graph_imitation(score, graphs, t, benign, tries=2),
    "graph_union": lambda score, graphs, t, benign: graph_union(score, graphs, t, benign, tries=4),
    "graph_random": lambda score, graphs, t, benign: graph_random(score, graphs, t, benign, tries=10),
    "graph_edges": lambda score, graphs, t, benign: graph_edges(score, graphs, t, rounds=2),
}
NEVER = -torch.inf  # a threshold at which nothing evades: how far does the score fall?


def graphs(count: int, seed: int = 0, features: int = 12) -> list[Graphs]:
    g = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        n = int(torch.randint(3, 20, (1,), generator=g))
        x = torch.rand(n, features, generator=g)
        made.append(Graphs(x, torch.randint(0, n, (2, 2 * n), generator=g)))
    return made


def as_measured(kind: str, readout: str, seed: int = 0) -> GraphTwin:
    """Weights |W| * 0.7, biases normal(-0.3, 0.3), two layers of width 16: as the published counts were made."""
    torch.manual_seed(seed)
    net = GraphTwin(kind, 12, 16, readout=readout, non_negative=True).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(torch.randn_like(p).abs() * 0.7 if "weight" in name else torch.randn_like(p) * 0.3 - 0.3)
    return net


def test_every_public_attack_on_graphs_is_here():
    public = {
        name
        for name, value in vars(isotone.attack).items()
        if inspect.isfunction(value) and inspect.signature(value).return_annotation == "AttackedGraphs"
    }
    assert public == set(ATTACKS)


# All or none of the graphs: sixty in the slow test, as in the published counts, ten in the quick one.
# fmt: off
DILUTED = [
    # kind     readout   falls    why
    ("gcn",    "sum",    True,    "degrees"),
    ("gcn",    "max",    True,    "degrees"),
    ("sage",   "sum",    True,    "a mean of neighbours"),
    ("sage",   "max",    True,    "a mean of neighbours"),
    ("gat",    "sum",    True,    "attention"),
    ("gat",    "max",    True,    "attention"),
    ("gin",    "mean",   True,    "a mean of nodes"),
    ("gin",    "sum",    False,    "a sum of what is not negative"),
    ("gin",    "max",    False,    "a maximum of it"),
]
# fmt: on


@pytest.mark.parametrize(("kind", "readout", "falls", "why"), DILUTED, ids=[f"{k}, {r}" for k, r, *_ in DILUTED])
@pytest.mark.parametrize("count", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_dilution_lowers_whatever_divides_and_no_sum(kind, readout, falls, why, count):
    attacked = graph_dilution(as_measured(kind, readout), graphs(count), NEVER)
    assert attacked.lowered.tolist() == [falls] * count


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_works_on_an_unconstrained_twin_and_what_it_claims_is_true(name):
    torch.manual_seed(1)
    net, victims = GraphTwin("sage", 12, 16).eval(), graphs(12)
    before = torch.cat([net(one) for one in victims]).detach()[:, 0].double()
    threshold = float(before.quantile(0.3))
    attacked = ATTACKS[name](net, victims, threshold, graphs(6, seed=5))
    assert torch.equal(attacked.victims, before > threshold)
    assert bool(attacked.lowered.any())
    for one, after, lowest, count in zip(
        victims, attacked.examples, attacked.scores, attacked.additions.tolist(), strict=True
    ):
        assert one.within(after)
        score = net(after).detach().double()
        assert bool(score >= lowest - 1e-6)
        if count > 0:
            assert bool(score <= threshold)
            assert count == len(after.x) - len(one.x) + after.edge_index.shape[1] - one.edge_index.shape[1]
        elif count == 0:
            assert after is one


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gives_the_same_twice_and_leaves_the_graphs_alone(name):
    net, victims = as_measured("gat", "sum"), graphs(3)
    kept = [(one.x.clone(), one.edge_index.clone()) for one in victims]
    one, two = (ATTACKS[name](net, victims, NEVER, graphs(3, seed=5)) for _ in range(2))
    assert torch.equal(one.scores, two.scores)
    assert all(torch.equal(v.x, x) and torch.equal(v.edge_index, e) for v, (x, e) in zip(victims, kept, strict=True))
    assert all(p.grad is None for p in net.parameters())


def test_nothing_lowers_a_graph_network():
    torch.manual_seed(0)
    net, victims = GraphNetwork(12, 16, relations=2, both_ways=True), graphs(10)
    net.centre_(Graphs.joined(victims))
    found = graph_suite(net.eval(), victims, NEVER, graphs(5, seed=9), relations=2)
    assert len(found) == len(ATTACKS)
    assert not bool(torch.stack([attacked.lowered for attacked in found]).any())
    assert fewest(found).tolist() == [-1] * 10


def test_the_strongest_stands_first_and_the_control_works():
    torch.manual_seed(1)
    net, victims = GraphTwin("gcn", 12, 16, non_negative=True).eval(), graphs(10)
    threshold = float(torch.cat([net(one) for one in victims]).detach().min()) - 1e-3
    found = graph_suite(net, victims, threshold, graphs(5, seed=9))
    assert int(found[0].evaded.sum()) == max(int(attacked.evaded.sum()) for attacked in found)
    assert not is_broken(fewest(found))


def test_one_edge_that_is_enough_is_added_alone():
    """Nodes that nobody needs raise this score, and would be counted."""

    def one(graph):
        there = (graph.edge_index[0] == 0) & (graph.edge_index[1] == 1)
        return 1 - (graph.weights * there).sum().clamp(max=1) + 0.2 * len(graph.x)

    def score(many):
        return torch.stack([one(graph) for graph in many.split()])

    graph = Graphs(torch.ones(3, 1), torch.tensor([[1], [2]]))
    found = graph_edges(score, [graph], 1.0)
    assert found.additions.tolist() == [1]
    assert found.scores[0] == pytest.approx(0.6)


def test_a_gradient_sees_which_edge_lowers():
    """One pair of nodes has an edge that lowers the score; all others raise it."""

    def score(many: Graphs) -> torch.Tensor:
        bad = (many.edge_index[0] == 2) & (many.edge_index[1] == 0)
        per_edge = torch.where(bad, -1.0, 0.1) * many.weights
        return torch.zeros(many.count).index_add(0, many.batch[many.edge_index[0]], per_edge)

    one = Graphs(torch.ones(4, 1), torch.tensor([[0], [1]]))
    # Nodes 2 and 0 count within each graph only while graphs are scored alone.
    alone = graph_edges(lambda many: torch.cat([score(g) for g in many.split()]), [one], 0.0, new=0)
    assert alone.additions.tolist() == [1]
    assert alone.examples[0].edge_index[:, -1].tolist() == [2, 0]


def test_a_score_without_gradient_is_refused_by_the_attack_that_needs_one_and_the_suite_goes_without():
    def score(many: Graphs) -> torch.Tensor:
        return 5.0 - many.batch_num_nodes().float()

    with pytest.raises(BadInput, match="no gradient"):
        graph_edges(score, graphs(2), NEVER)
    found = graph_suite(score, graphs(2), NEVER, graphs(2), gradient=False)
    assert len(found) == len(ATTACKS) - 1
    assert bool(found[0].lowered.all())


# fmt: off
WRONG = [
    # call                                                                    said                   why
    (lambda: graph_dilution(lambda g: torch.zeros(g.count, 2), graphs(2), 0.0), "one score per graph", "two logits"),
    (lambda: graph_dilution(lambda g: torch.full((g.count,), torch.nan), graphs(2), 0.0), "NaN",      "no number"),
    (lambda: graph_dilution(lambda g: torch.zeros(g.count), graphs(2), torch.inf), "threshold",        "nothing is above"),
    (lambda: graph_dilution(lambda g: torch.zeros(g.count), graphs(2), torch.nan), "threshold",        "NaN"),
    (lambda: graph_union(lambda g: torch.zeros(g.count), graphs(2), -1.0, []), "no harmless graph",   "nothing to join"),
]
# fmt: on


@pytest.mark.parametrize(("call", "said", "why"), WRONG, ids=[why for *_, why in WRONG])
def test_what_cannot_be_attacked_is_refused(call, said, why):
    with pytest.raises(BadInput, match=said):
        call()


def test_an_example_that_lost_something_is_a_fault_of_the_attack():
    one = graphs(1)[0]
    with pytest.raises(BrokenAttack, match="may only add"):
        only_adds_to_graph(one, Graphs(one.x, one.edge_index[:, 1:]))


def test_undetected_graphs_are_left_alone():
    found = graph_dilution(lambda g: torch.zeros(g.count), graphs(3), 0.0)
    assert isinstance(found, AttackedGraphs)
    assert found.additions.tolist() == [0, 0, 0]


def test_any_module_can_be_attacked():
    class Sum(nn.Module):
        def forward(self, g: Graphs) -> torch.Tensor:
            return torch.zeros(g.count).index_add(0, g.batch, g.x.sum(1))

    assert not bool(graph_dilution(Sum(), graphs(3), NEVER).lowered.any())
