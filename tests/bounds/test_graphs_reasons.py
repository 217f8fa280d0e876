"""Reasons of alarms on graphs: enough whatever is added, and none of them to spare."""

from __future__ import annotations

import pytest
import torch

from isotone.bounds import graph_certificate, graph_reasons
from isotone.bounds._graphs_reasons import part_of
from isotone.errors import BadInput
from isotone.graphs import Graphs
from isotone.nn import GraphNetwork


def some(seed: int) -> Graphs:
    g = torch.Generator().manual_seed(seed)
    return Graphs(
        torch.randn(7, 2, generator=g),
        torch.randint(0, 7, (2, 12), generator=g),
        edge_type=torch.randint(0, 2, (12,), generator=g),
        edge_weight=torch.rand(12, generator=g),
    )


@pytest.fixture(scope="module")
def proved():
    torch.manual_seed(0)
    net = GraphNetwork(2, 8, 1, (4,), labels=2, relations=2, aggregation="sum")
    net.centre_(Graphs.joined([some(i) for i in range(20)]))
    return net.eval(), graph_certificate(net)


def parts(one: Graphs, found) -> tuple[torch.Tensor, torch.Tensor]:
    nodes, edges = torch.zeros(len(one.x)).bool(), torch.zeros(one.edge_index.shape[1]).bool()
    nodes[list(found.nodes)], edges[list(found.edges)] = True, True
    return nodes, edges


def test_no_addition_undoes_an_alarm_and_each_loss_does(proved):
    net, certificate = proved
    smaller = 0
    for seed in range(12):
        one, label = some(seed), seed % 2
        score = float(net(one)[0, label].detach())
        threshold = score - 0.3
        found = graph_reasons(net, one, threshold, label=label, certificate=certificate)
        nodes, edges = parts(one, found)
        smaller += len(found.edges) < 12
        kept = part_of(one, nodes, edges)
        assert float(net(kept)[0, label].detach()) == pytest.approx(found.reached, abs=1e-6)
        g = torch.Generator().manual_seed(seed)
        for _ in range(20):
            ends = torch.randint(0, len(kept.x) + 3, (2, 9), generator=g)
            larger = kept.plus(
                9 * torch.randn(3, 2, generator=g), ends, edge_type=torch.randint(0, 2, (9,), generator=g)
            )
            assert float(net(larger)[0, label].detach()) > threshold
        assert float(net(one)[0, label].detach()) > threshold
        for mask in (nodes, edges):
            for place in mask.nonzero().flatten():
                mask[place] = False
                assert float(net(part_of(one, nodes, edges))[0, label].detach()) <= threshold + 2e-5 * max(
                    1, abs(threshold)
                )
                mask[place] = True
    assert smaller >= 10  # or nothing was left out


def test_nodes_are_told_by_name_and_nothing_is_told_of_what_is_no_alarm(proved):
    net, certificate = proved
    one = some(0)
    score = float(net(one)[0, 0].detach())
    told = graph_reasons(net, one, score - 0.3, certificate=certificate).told([f"f{i}" for i in range(7)])
    assert told.startswith("alarm, whatever else is added, by ")
    assert "  f" in told
    nothing = graph_reasons(net, one, -1e6, certificate=certificate)
    assert (nothing.nodes, nothing.edges) == ((), ())
    # fmt: off
    wrong = [
        (lambda: graph_reasons(net, one, score + 1, certificate=certificate),       "an alarm is right"),
        (lambda: graph_reasons(net, one, score - 1, label=2, certificate=certificate), "label=2"),
        (lambda: graph_reasons(net, Graphs.joined([one, one]), certificate=certificate), "2 graphs"),
        (lambda: graph_reasons(GraphNetwork(2, 4, 1).eval(), one, certificate=certificate), "certificate of another"),
    ]
    # fmt: on
    for call, said in wrong:
        with pytest.raises(BadInput, match=said):
            call()
