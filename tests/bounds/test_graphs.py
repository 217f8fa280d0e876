"""Certificates of graph networks: proved of every unit, void for other weights, and never given to others."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import isotone
from isotone import Verdict
from isotone.attack import graph_dilution, graph_edges, graph_imitation, graph_random, graph_suite, graph_union
from isotone.bounds import graph_certificate, graph_floors
from isotone.errors import BadInput
from isotone.graphs import Graphs
from isotone.nn import GraphNetwork, GraphTwin


def some(count: int = 6) -> list[Graphs]:
    g = torch.Generator().manual_seed(0)
    return [Graphs(torch.rand(5, 2, generator=g), torch.randint(0, 5, (2, 8), generator=g)) for _ in range(count)]


@pytest.fixture(scope="module")
def proved():
    torch.manual_seed(0)
    net = GraphNetwork(2, 8, 1, (4,), labels=2, directions=(0, 1), aggregation="log1p_sum", both_ways=True)
    net.centre_(Graphs.joined(some()))
    return net.eval(), graph_certificate(net)


def test_a_graph_network_is_proved_unit_by_unit_and_padded(proved):
    net, certificate = proved
    assert certificate.verdict is Verdict.PROVED, str(certificate)
    assert list(certificate.parts) == [
        "message 0",
        "mixing 0",
        "head",
        "features that grow",
        "padded to 3 nodes after the encoder",
    ]
    assert "raising features [1]" in str(certificate)
    assert json.loads(json.dumps(certificate.to_dict()))["verdict"] == "proved"
    assert certificate.valid_for(net)


def test_a_floor_is_the_score_and_attacks_do_not_go_below_it(proved):
    net, certificate = proved
    graphs = some()
    found = graph_floors(net, Graphs.joined(graphs), certificate)
    assert torch.equal(found.floors, found.scores)
    for label in range(2):
        for attacked in graph_suite(lambda g, label=label: net(g)[:, label], graphs, -torch.inf, graphs):
            assert bool((attacked.scores >= found.floors[:, label] - 1e-5).all()), attacked.name


def test_a_certificate_is_void_when_a_weight_changes(proved):
    net, certificate = proved
    with torch.no_grad():
        net.head.layers[0].bias.add_(1.0)
    try:
        assert not certificate.valid_for(net)
        with pytest.raises(BadInput, match="another network"):
            graph_floors(net, some(1)[0], certificate)
        with pytest.raises(BadInput, match="another network"):
            graph_floors(GraphTwin("gcn", 2), some(1)[0], certificate)
    finally:
        with torch.no_grad():
            net.head.layers[0].bias.sub_(1.0)


# fmt: off
OTHERS = [
    # network                                             verdict            why
    (lambda: GraphNetwork(2, 4, 1, (4,), monotone=False), Verdict.REFUTED,   "free weights"),
    (lambda: GraphTwin("gat", 2, 4),                      Verdict.REFUTED,   "attention"),
    (lambda: GraphTwin("gin", 2, 4, readout="sum", non_negative=True), Verdict.UNKNOWN, "right at one size; no proof for others"),
    (lambda: nn.Linear(2, 1),                             Verdict.UNKNOWN,   "nothing is known of it"),
]
# fmt: on


@pytest.mark.parametrize(
    ("make", "verdict", "why"),
    [pytest.param(*row, marks=pytest.mark.slow) if row[-1].startswith(("free", "right")) else row for row in OTHERS],
    ids=[why for *_, why in OTHERS],
)
def test_other_networks_get_no_floor(make, verdict, why):
    torch.manual_seed(0)
    certificate = graph_certificate(make().eval())
    assert certificate.verdict is verdict, str(certificate)
    assert not certificate.claims
    if verdict is Verdict.UNKNOWN:
        assert certificate.reason


def test_a_network_that_is_not_proved_has_the_floor_minus_infinity():
    found = graph_floors(GraphTwin("gcn", 2, 4).eval(), some(1)[0])
    assert bool(found.floors.isneginf().all())


@pytest.mark.slow
def test_a_weight_that_slipped_is_seen():
    torch.manual_seed(0)
    net = GraphNetwork(2, 4, 1, (4,)).eval()
    isotone.remove_constraint(net)
    with torch.no_grad():
        net.head.layers[0].weight.mul_(-1)
    assert graph_certificate(net).verdict is not Verdict.PROVED


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16], ids=str)
def test_networks_of_other_types_are_proved(kind):
    net = GraphNetwork(3, width=4, layers=1).to(kind).eval()
    assert graph_certificate(net).verdict is Verdict.PROVED


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(BadInput, match="training mode"):
        graph_certificate(GraphNetwork(2, 4, 1))


class Counting(nn.Module):
    """Looks at a node alone where there are few, and turns the sign where there are many, or a large one."""

    def forward(self, x):
        return (x + 1) * (1 if len(x) < 1000 else -1) * (1 - 2 * (x.amax() > 1e3).float())


def test_an_encoder_of_ones_own_is_proved_since_it_sees_one_node_at_a_time():
    torch.manual_seed(0)
    net = GraphNetwork(2, 4, 1, (4,), encoder=Counting()).eval()
    certificate = graph_certificate(net)
    assert certificate.verdict is Verdict.PROVED, str(certificate)
    one = some(1)[0]
    many = one.plus(torch.zeros(5000, 2), torch.zeros(2, 0, dtype=torch.int64))
    assert bool((net(many) >= net(one)).all())
    assert bool((net(one.plus(torch.full((1, 2), 1e4), torch.zeros(2, 0, dtype=torch.int64))) >= net(one)).all())
    assert list(certificate.parts)[-1] == "padded to 3 nodes after the encoder"
    net.encoder = Counting().eval()
    assert graph_certificate(net).verdict is Verdict.UNKNOWN
    assert not certificate.valid_for(net)


class Named(nn.Module):
    """A node is a number of a table of names, of which there are few: not every float is one."""

    def __init__(self):
        super().__init__()
        self.names = nn.Embedding(5, 4)

    def forward(self, x):
        return self.names(x[:, 0].long())


@pytest.mark.parametrize("monotone", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_nodes_that_are_names_are_proved_and_not_asked_for_names_that_are_none(monotone):
    torch.manual_seed(1)
    net = GraphNetwork(1, 4, 1, (4,), encoder=Named(), monotone=monotone).eval()
    certificate = graph_certificate(net)
    assert certificate.verdict is (Verdict.PROVED if monotone else Verdict.REFUTED), str(certificate)
    assert certificate.valid_for(net)
    with torch.no_grad():
        net.head.parameters().__next__().add_(0.5)
    assert not certificate.valid_for(net)


TRIALS = {
    # attack        ten thousand scores of larger graphs
    "random": lambda score, graphs: graph_random(score, graphs, -torch.inf, graphs, tries=500),
    "imitation": lambda score, graphs: graph_imitation(score, graphs, -torch.inf, graphs, tries=36),
    "union": lambda score, graphs: graph_union(score, graphs * 10, -torch.inf, graphs * 3, tries=45),
    "dilution": lambda score, graphs: graph_dilution(score, graphs * 36, -torch.inf),
    "edges": lambda score, graphs: graph_edges(score, graphs * 120, -torch.inf, rounds=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("attack", TRIALS)
@pytest.mark.parametrize("aggregation", ["max", "log1p_sum"])
def test_no_trial_of_ten_thousand_goes_below_the_floor(attack, aggregation):
    torch.manual_seed(0)
    graphs = some(20)
    net = GraphNetwork(2, 8, 2, (8,), aggregation=aggregation, both_ways=True)
    net.centre_(Graphs.joined(graphs))
    floors = graph_floors(net.eval(), Graphs.joined(graphs), graph_certificate(net)).floors[:, 0]
    trials = 0

    def score(many: Graphs) -> torch.Tensor:
        nonlocal trials
        trials += many.count
        return net(many)

    attacked = TRIALS[attack](score, graphs)
    assert trials >= 10_000
    floor = floors.repeat(len(attacked.scores) // len(floors))
    assert bool((attacked.scores >= floor - 1e-5 * floor.abs().clamp(min=1)).all())


def hooked(net: GraphNetwork) -> GraphNetwork:
    net.register_forward_hook(lambda module, given, logits: -logits)
    return net


def layer_hooked(net: GraphNetwork) -> GraphNetwork:
    net.layers[0].register_forward_pre_hook(lambda module, given: None)
    return net


class Mean(nn.Module):
    """Rises with every row it is given, and falls when there are more of them."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer, self.in_features = layer, layer.in_features

    def forward(self, h):
        return self.layer(h + h.mean(-2, keepdim=True))


def averaging(net: GraphNetwork) -> GraphNetwork:
    net.layers[0].messages[0] = Mean(net.layers[0].messages[0])
    return net


def replaced(net: GraphNetwork) -> GraphNetwork:
    net.together = lambda graphs: GraphNetwork.together(net, graphs)
    return net


class Falling(GraphNetwork):
    def forward(self, *given, **more):
        return -super().forward(*given, **more)


# fmt: off
AROUND = [
    # what was done                                      said               why
    (lambda: hooked(GraphNetwork(2, 4, 1)),              "has a hook",      "a hook turns the logits round"),
    (lambda: layer_hooked(GraphNetwork(2, 4, 1)),        "has a hook",      "a hook of a layer"),
    (lambda: replaced(GraphNetwork(2, 4, 1)),            "of its own",      "a method put on the object"),
    (lambda: Falling(2, 4, 1),                           "a subclass",      "a subclass with another forward"),
    (lambda: averaging(GraphNetwork(2, 4, 1)),           "Mean is not known", "a message that looks at all nodes"),
]
# fmt: on


@pytest.mark.parametrize(("make", "said", "why"), AROUND, ids=[why for *_, why in AROUND])
def test_code_around_the_units_is_not_vouched_for(make, said, why):
    certificate = graph_certificate(make().eval())
    assert certificate.verdict is Verdict.UNKNOWN
    assert said in certificate.reason


class OfOne(nn.Module):
    """Rises for several rows; graphs pass a head one at a time, and then it falls."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, x):
        return self.head(x) * (1 if len(x) > 1 else -1)


def test_a_head_is_judged_as_graphs_meet_it():
    net = GraphNetwork(2, 4, 1)
    net.head = OfOne(net.head)
    assert graph_certificate(net.eval(), budget=64).verdict is not Verdict.PROVED


def test_a_hook_that_comes_later_makes_a_certificate_void(proved):
    net, certificate = proved
    handle = net.register_forward_hook(lambda module, given, logits: -logits)
    try:
        assert not certificate.valid_for(net)
    finally:
        handle.remove()
    assert certificate.valid_for(net)


def test_a_part_that_is_still_in_training_mode_is_refused():
    net = GraphNetwork(2, 4, 1).eval()
    net.head.train()
    with pytest.raises(BadInput, match="a part of it"):
        graph_certificate(net)
