"""Networks on graphs: nothing that is added lowers a logit, whatever the size; what could is refused by name."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import isotone
from isotone import Verdict
from isotone.errors import BadInput
from isotone.graphs import Graphs
from isotone.nn import GraphConv, GraphNetwork, GraphTwin, PaddedGraphs, initialize_
from isotone.nn._graphs_pool import REFUSED, Places, pool

# One evaluation in other shapes may round otherwise.
ROUNDING = 1e-5
POOLS = ("sum", "max", "log1p_sum", "top1_sum", "top3_sum")


def graph(
    nodes: int, edges: int, seed: int, *, relations: int = 1, weighted: bool = False, features: int = 3
) -> Graphs:
    g = torch.Generator().manual_seed(seed)
    edges = edges if nodes else 0
    return Graphs(
        torch.randn(nodes, features, generator=g),
        torch.randint(0, max(nodes, 1), (2, edges), generator=g),
        edge_type=torch.randint(0, relations, (edges,), generator=g) if relations > 1 else None,
        edge_weight=torch.rand(edges, generator=g) if weighted else None,
    )


def network(seed: int = 0, **more: object) -> GraphNetwork:
    torch.manual_seed(seed)
    net = GraphNetwork(**({"features": 3, "width": 8, "hidden": (8,)} | more))
    # Units that bend among the graphs that are tried: others would hardly move.
    if net.arguments["monotone"]:
        net.centre_(Graphs.joined([graph(5, 9, i, relations=net.relations) for i in range(12)]))
    return net.eval()


# Refusals


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("where", ["aggregation", "readout"])
def test_a_pool_that_an_addition_can_lower_is_refused_with_the_reason(kind, where):
    with pytest.raises(BadInput) as said:
        GraphNetwork(3, **{where: kind})
    assert f"{kind!r} came, and {REFUSED[kind][0]}" in str(said.value)
    assert REFUSED[kind][1] in str(said.value)


@pytest.mark.parametrize("kind", ["top0_sum", "topk_sum", "mox", 3, None])
def test_an_unknown_pool_is_refused_with_those_there_are(kind):
    with pytest.raises(BadInput, match="log1p_sum"):
        GraphConv(3, 3, aggregation=kind)


class Peeking(nn.Module):
    """Looks at one node alone where there are few of them, and at others where there are many."""

    def forward(self, x):
        return x * (len(x) < 50)


# fmt: off
WRONG = [
    # call                                                                     said                     why
    (lambda: GraphConv(3, 3, activation="gelu"),                               "'relu' or 'log1p'", "it dips"),
    (lambda: network()(torch.ones(2, 4), torch.zeros(2, 0, dtype=torch.int64)), "made for 3",           "too many features"),
    (lambda: network()(graph(3, 5, 0, relations=2)),                           "relations count",       "a relation without weights"),
    (lambda: GraphConv(3, 3)(torch.ones(2, 3), torch.tensor([[0], [1]]), edge_weight=torch.tensor([-1.0])), "below 0", "it would lower"),
    (lambda: GraphConv(3, 3)(torch.ones(2, 3), torch.tensor([[0], [1]]), edge_type=torch.tensor([1])), "relations count", "no such relation"),
    (lambda: GraphNetwork(3, encoder=nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))), "BatchNorm1d", "it mixes nodes"),
    (lambda: GraphNetwork(3, encoder=nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))), "Dropout",       "another time, other numbers"),
    (lambda: GraphNetwork(3, encoder=nn.Softmax(dim=0)),                       "other nodes stood beside", "it mixes nodes"),
    (lambda: GraphNetwork(3, encoder=Peeking()),                               "other nodes stood beside", "it counts the nodes of large graphs"),
    (lambda: GraphNetwork(3, encoder=nn.Flatten(0)),                           "from 6 nodes",          "no row per node"),
    (lambda: network().centre_(graph(3, 5, 0), prior=1.0),                     "between 0 and 1",       "no logit is so large"),
    (lambda: GraphTwin("gnn", 3),                                              "'gcn', 'sage'",         "no such kind"),
    (lambda: GraphTwin("gcn", 3, readout="sort"),                              "'mean', 'sum'",         "no such readout"),
]
# fmt: on


@pytest.mark.parametrize(("call", "said", "why"), WRONG, ids=[f"{i}: {why}" for i, (*_, why) in enumerate(WRONG)])
def test_what_does_not_fit_is_refused(call, said, why):
    with pytest.raises(BadInput, match=said):
        call()


# Pools


@given(st.integers(0, 2**31), st.integers(0, 30), st.integers(1, 5))
@settings(deadline=None, max_examples=15)
def test_pools_are_what_their_names_say(seed, items, sets):
    g = torch.Generator().manual_seed(seed)
    values = torch.rand(items, 2, generator=g).mul(4).round()  # ties are common
    owner = torch.randint(0, sets, (items,), generator=g)
    for kind in POOLS:
        found = pool(kind, values, owner, sets)
        for one in range(sets):
            mine = values[owner == one]
            if kind == "max":
                expected = torch.cat([mine, torch.zeros(1, 2)]).amax(0)
            elif kind.startswith("top"):
                expected = mine.sort(0, descending=True).values[: int(kind[3])].sum(0)
            else:
                expected = mine.sum(0).log1p() if kind == "log1p_sum" else mine.sum(0)
            torch.testing.assert_close(found[one], expected)


def test_the_largest_of_equal_sets_are_those_of_the_general_way():
    values, owner = torch.rand(12, 3), torch.tensor([0, 1, 2, 3] * 3)
    places = Places(owner.argsort(stable=True), 3)
    torch.testing.assert_close(pool("top2_sum", values, owner, 4, places), pool("top2_sum", values, owner, 4))


# What a score is


@pytest.mark.parametrize("aggregation", POOLS)
def test_a_score_does_not_depend_on_the_other_graphs_of_a_batch(aggregation):
    net = network(aggregation=aggregation, relations=2, both_ways=True, labels=2)
    graphs = [graph(n, 3 * n, n, relations=2, weighted=True) for n in (5, 1, 9, 0, 4)]
    alone = torch.cat([net(one) for one in graphs])
    assert torch.equal(net(Graphs.joined(graphs)), alone)
    assert torch.equal(net(Graphs.joined(graphs[::-1])), alone.flip(0))
    torch.testing.assert_close(net.train()(Graphs.joined(graphs)), alone)  # together, in training


def test_numbering_the_nodes_otherwise_changes_nothing():
    net, one = network(aggregation="top2_sum"), graph(6, 14, 1)
    order = torch.randperm(6)
    other = Graphs(one.x[order], order.argsort()[one.edge_index])
    torch.testing.assert_close(net(other), net(one))


def test_a_graph_without_nodes_and_one_without_edges_have_scores():
    net = network()
    nothing, lonely = net(graph(0, 0, 0)), net(graph(1, 0, 0))
    assert bool(nothing.isfinite())
    assert bool(lonely >= nothing)


def test_the_first_edge_does_not_lower_a_node_that_heard_nothing():
    """Where a maximum of nothing is 0 and messages may be negative, it does (issue of other libraries)."""
    net = network(aggregation="max")
    one = graph(2, 0, 3)
    assert bool(net(one.plus(edges=torch.tensor([[0], [1]]))) >= net(one) - ROUNDING)


def test_direction_type_and_weight_of_an_edge_count():
    torch.manual_seed(0)
    layer, h, edge = GraphConv(3, 4, relations=2), torch.rand(2, 3), torch.tensor([[0], [1]])
    made = [
        layer(h, edge),
        layer(h, edge.flip(0)),
        layer(h, edge, edge_type=torch.tensor([1])),
        layer(h, edge, edge_weight=torch.tensor([2.0])),
        layer(h, torch.cat([edge, edge], dim=1), edge_weight=torch.tensor([2.0, 0.0])),
    ]
    sums = [round(float(states.detach().sum()), 4) for states in made]
    assert len(set(sums[:4])) == 4
    assert sums[3] == sums[4]
    assert len(network(both_ways=True, relations=3).layers[0].messages) == 6


def test_a_model_of_forward_g_h_reads_a_batch_of_graphs():
    net, graphs = network(), Graphs.joined([graph(3, 5, 0), graph(4, 6, 1)])
    assert torch.equal(net(graphs, graphs.x), net(graphs))  # Graphs has the methods of a graph of DGL


def test_data_of_pytorch_geometric_is_read():
    data = pytest.importorskip("torch_geometric.data")
    net, graphs = network(), [graph(3, 5, 0), graph(4, 6, 1)]
    batch = data.Batch.from_data_list([data.Data(x=one.x, edge_index=one.edge_index) for one in graphs])
    assert torch.equal(net(batch), net(Graphs.joined(graphs)))


def test_its_arguments_make_another_that_loads_its_weights():
    net = network(relations=2, both_ways=True, directions=(0, 1, -1), readout="top2_sum")
    twin = GraphNetwork(**json.loads(json.dumps(net.arguments))).eval()
    twin.load_state_dict(net.state_dict())
    one = graph(5, 9, 0, relations=2)
    assert torch.equal(net(one), twin(one))
    assert isotone.constraints_of(twin) == isotone.constraints_of(net)


def test_it_starts_where_the_labels_are_and_keeps_its_sets():
    torch.manual_seed(0)
    net, graphs = GraphNetwork(3, 16, labels=2), Graphs.joined([graph(8, 20, i) for i in range(40)])
    net.centre_(graphs, prior=(0.5, 0.1))
    logits = net.eval()(graphs)
    torch.testing.assert_close(logits.mean(0), torch.logit(torch.tensor([0.5, 0.1])), atol=0.3, rtol=0)
    assert 0.3 < float(logits.detach().std(0).mean()) < 3
    assert set(isotone.violations(net).values()) == {0.0}
    with pytest.raises(BadInput):
        initialize_(GraphNetwork(3, monotone=False))


def test_it_learns():
    torch.manual_seed(0)
    net, graphs = GraphNetwork(3, 8), [graph(6, 12, i) for i in range(60)]
    truth = torch.tensor([float(one.x[:, 0].max() > 1.2) for one in graphs])
    joined = Graphs.joined(graphs)
    net.centre_(joined)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(net(joined)[:, 0], truth)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3
    assert set(isotone.violations(net).values()) == {0.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [{}, {"aggregation": "sum", "readout": "sum"}, {"both_ways": True, "width": 32}], ids=str
)
def test_at_a_rate_of_a_hundredth_no_seed_of_twenty_collapses(kind):
    """With units that have a ceiling a third of them gave every graph one score."""
    g = torch.Generator().manual_seed(0)
    graphs, truth = [], (torch.rand(200, generator=g) < 0.35).float()
    for bad in truth.tolist():
        n = int(torch.randint(8, 20, (1,), generator=g))
        x = torch.poisson(torch.full((n, 5), 0.5), generator=g)
        x[:3] += 2 * bad * torch.eye(5)[:3]
        graphs.append(Graphs(x, torch.randint(0, n, (2, 2 * n), generator=g)))
    spreads = []
    for seed in range(20):
        torch.manual_seed(seed)
        net = GraphNetwork(5, **({"width": 16, "hidden": (16,)} | kind))
        net.centre_(Graphs.joined(graphs[:100]), float(truth.mean()))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for part in [part for _ in range(12) for part in torch.randperm(200).split(32)]:
            optimizer.zero_grad()
            logits = net(Graphs.joined([graphs[i] for i in part.tolist()]))[:, 0]
            weight = torch.tensor(2.0)
            nn.functional.binary_cross_entropy_with_logits(logits, truth[part], pos_weight=weight).backward()
            optimizer.step()
        with torch.no_grad():
            logits = net(Graphs.joined(graphs))[:, 0]
        spreads.append(float(logits[truth == 1].mean() - logits[truth == 0].mean()))
    assert min(spreads) > 0.5, spreads


# Additions


def grown(one: Graphs, seed: int, relations: int) -> Graphs:
    """With nodes, edges and a component added, and weights raised."""
    g = torch.Generator().manual_seed(seed)
    new, old = int(torch.randint(0, 6, (1,), generator=g)), len(one.x)
    edges = int(torch.randint(0, 20, (1,), generator=g)) if old + new else 0
    larger = one.plus(
        torch.randn(new, 3, generator=g) * 3,
        torch.randint(0, max(old + new, 1), (2, edges), generator=g),
        edge_type=torch.randint(0, relations, (edges,), generator=g) if relations > 1 else None,
        edge_weight=torch.rand(edges, generator=g),
    )
    larger = larger.union(graph(3, 4, seed + 1, relations=relations))
    return larger.with_(edge_weight=larger.weights + torch.rand(len(larger.weights), generator=g))


@pytest.mark.parametrize("aggregation", POOLS)
@given(seed=st.integers(0, 2**31 - 2), nodes=st.integers(0, 8), edges=st.integers(0, 20), relations=st.integers(1, 2))
@settings(deadline=None, max_examples=10)
def test_no_addition_lowers_a_logit(aggregation, seed, nodes, edges, relations):
    net = network(
        seed % 7, relations=relations, aggregation=aggregation, readout=POOLS, both_ways=bool(seed % 2), labels=2
    )
    one = graph(nodes, edges, seed, relations=relations, weighted=True)
    larger = grown(one, seed, relations)
    assert one.within(larger)
    before, after = net(one), net(larger)
    assert bool((after >= before - ROUNDING * before.abs().clamp(min=1)).all())


@pytest.mark.parametrize("aggregation", POOLS)
def test_additions_do_raise_logits(aggregation):
    """A constant would pass the test above."""
    net, raised = network(aggregation=aggregation), 0
    for seed in range(20):
        one = graph(5, 8, seed)
        edges_only = one.plus(edges=graph(5, 10, seed + 1).edge_index)
        raised += bool(net(edges_only) > net(one) + 1e-3)
    assert raised >= 5


@pytest.mark.parametrize("kind", ["gcn", "sage", "gat", "free"])
def test_the_test_above_sees_what_falls(kind):
    torch.manual_seed(0)
    net = network(monotone=False) if kind == "free" else GraphTwin(kind, 3, 8).eval()
    falls = 0
    for seed in range(40):
        one = graph(5, 8, seed, weighted=True)
        falls += bool(net(grown(one, seed, 1)) < net(one) - 1e-3)
    assert falls >= 5


def test_a_feature_that_grows_raises_and_a_free_one_may_not():
    net = network(directions=(0, 1, -1))
    one = graph(5, 8, 0)
    more = one.with_(x=one.x + torch.tensor([0.0, 1.0, -1.0]))
    assert bool(net(more) >= net(one) - ROUNDING)


# Numbers at the ends of float32


@pytest.mark.parametrize("aggregation", POOLS)
def test_numbers_at_the_ends_of_float32_do_not_make_a_score_nan(aggregation):
    """NaN is above no threshold: it would be an evasion."""
    net, one = network(aggregation=aggregation, readout=POOLS, directions=(0, 1, -1)), graph(5, 9, 0)
    with torch.no_grad():
        net.layers[1].mixing.weight[0] = 0.0  # infinity times 0
        net.head.layers[0].weight[0] = 0.0
    large = torch.tensor([[v, -v, v] for v in (3e38, -3e38)])
    edges = torch.tensor([[5, 6, 0, 0], [0, 1, 5, 0]])
    trials = [
        one.plus(large, edges),
        one.plus(large, edges, edge_weight=torch.full((4,), 3e38)),
        one.with_(edge_weight=torch.full((9,), 3e38, dtype=torch.float64)),
    ]
    for larger in trials:
        assert bool(net(larger) >= net(one) - ROUNDING)


def test_an_encoder_that_has_no_number_for_a_node_says_nothing_of_it():
    class Logarithm(nn.Module):
        def forward(self, x):
            return x.log()

    net, one = GraphNetwork(3, encoder=Logarithm()).eval(), graph(5, 9, 0)
    assert bool(net(one.plus(torch.full((1, 3), -1.0))) >= net(one) - ROUNDING)


def test_a_million_terms_in_another_order_are_the_same_sum():
    values = torch.cat([torch.full((1, 1), 2.0**24), torch.ones(1_000_000, 1)])
    owner = torch.zeros(len(values), dtype=torch.int64)
    assert torch.equal(pool("sum", values, owner, 1), pool("sum", values.flip(0), owner, 1))


# Proof


@pytest.mark.parametrize("kind", ["monotone", "free", "gcn", "sage", "gat", "gin"])
@given(st.integers(0, 2**31 - 2), st.integers(0, 4), st.integers(0, 12))
@settings(deadline=None, max_examples=8)
def test_absent_nodes_and_edges_leave_the_score_of_the_smaller_graph(kind, seed, nodes, edges):
    """The certificate is about the padded form; this is what makes it one about graphs."""
    torch.manual_seed(seed)
    if kind in ("monotone", "free"):
        settings_ = {"relations": 2, "both_ways": True, "readout": POOLS, "aggregation": POOLS[seed % 5]}
        net = GraphNetwork(3, 8, monotone=kind == "monotone", **settings_).eval()
    else:
        net = GraphTwin(kind, 3, 8, both_ways=bool(seed % 2)).eval()
    one = graph(nodes, edges, seed, relations=2)
    _, kept = torch.unique(torch.stack([one.types, *one.edge_index]), dim=1, return_inverse=True)
    first = [int((kept == k).nonzero()[0]) for k in kept.unique()]  # padded forms know each edge once
    one = Graphs(one.x, one.edge_index[:, first], edge_type=one.types[first])
    x, here = torch.randn(1, 6, 3), torch.zeros(1, 6)
    there = (torch.rand(1, 2, 6, 6) < 0.5).float()  # edges of absent nodes do not count, whatever their presence
    x[0, :nodes], here[0, :nodes], there[0, :, :nodes, :nodes] = one.x, 1.0, 0.0
    there[0, one.types, one.edge_index[0], one.edge_index[1]] = 1.0
    if nodes:
        torch.testing.assert_close(PaddedGraphs(net, 6, 2)(x, here, there), net(one), atol=1e-5, rtol=1e-4)


# fmt: off
VERDICTS = [
    # network                                                                            verdict           why
    (lambda: network(aggregation="sum", readout="sum", labels=2),                        Verdict.PROVED,   "sums of what is not negative"),
    (lambda: network(relations=2, both_ways=True, directions=(0, 1, -1)),                Verdict.PROVED,   "maxima, four relations"),
    (lambda: GraphTwin("gin", 3, 8, readout="sum", non_negative=True),                   Verdict.PROVED,   "a sum, weights of at least 0"),
    (lambda: GraphTwin("gin", 3, 8, readout="mean", non_negative=True),                  Verdict.REFUTED,  "a mean in the readout"),
    (lambda: GraphTwin("gcn", 3, 8, readout="sum", non_negative=True),                   Verdict.REFUTED,  "degrees"),
    (lambda: GraphTwin("sage", 3, 8, readout="max", non_negative=True),                  Verdict.REFUTED,  "a mean of neighbours"),
    (lambda: GraphTwin("gat", 3, 8, readout="sum", non_negative=True),                   Verdict.REFUTED,  "attention"),
    (lambda: network(monotone=False),                                                    Verdict.REFUTED,  "weights of any sign"),
]
# fmt: on


LATER = (
    "maxima, four relations",
    "a sum, weights of at least 0",
    "a mean in the readout",
    "a mean of neighbours",
    "weights of any sign",
)


@pytest.mark.parametrize(
    ("make", "verdict", "why"),
    [pytest.param(*row, marks=pytest.mark.slow) if row[-1] in LATER else row for row in VERDICTS],
    ids=[why for *_, why in VERDICTS],
)
def test_certify_of_the_padded_form(make, verdict, why):
    torch.manual_seed(1)
    net = make().eval()
    padded = PaddedGraphs(net, nodes=4, relations=getattr(net, "relations", 1))
    example, ways, domain = padded.question(3)
    # Usual networks take features of at least 0; ours any.
    domain = domain if isinstance(net, GraphNetwork) else ((0.0, 1.0), *domain[1:])
    certificate = isotone.certify(padded, example, ways, domain, budget=300, seconds=0, form="padded to 4 nodes")
    assert certificate.verdict is verdict, str(certificate)
    if verdict is Verdict.REFUTED:
        assert certificate.witness.drop > 0


def test_every_unit_is_proved_so_that_the_size_of_a_graph_does_not_matter():
    net = network(relations=2, layers=1, aggregation="top3_sum", labels=2)
    for name, (unit, length) in net.units().items():
        certificate = isotone.certify(unit, torch.zeros(2, length), +1, (0, None), budget=100)
        assert certificate.verdict is Verdict.PROVED, name
        if name != "head":  # and the bottom 0 of messages and states is one
            assert bool((unit(torch.rand(50, length) * 9) >= 0).all())


def test_a_unit_that_falls_is_not_proved():
    net = network()
    isotone.remove_constraint(net)
    with torch.no_grad():
        net.layers[1].messages[0].weight[0, 0] = -1.0
    unit, length = net.units()["message 1"]
    assert isotone.certify(unit, torch.zeros(2, length), +1, (0, None), budget=100).verdict is Verdict.REFUTED


def test_models_of_others_are_padded_by_a_call():
    class Theirs(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, g, h):
            source, target = g.edges()
            here = torch.ones_like(h[:, :1]) if g.presence is None else g.presence
            heard = torch.zeros_like(h).index_add(0, target, h[source].relu() * g.weights[:, None])
            return self.layer(((h.relu() + heard) * here).sum(0, keepdim=True))

    theirs = Theirs()
    isotone.constrain(theirs, "layer.weight", isotone.NonNegative())
    padded = PaddedGraphs(theirs, nodes=3)
    assert isotone.certify(padded, *padded.question(3), budget=100).verdict is Verdict.PROVED
