"""Sets of names: the forms in which they come agree, and adding a name never lowers the logit."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone import constraints_of
from isotone.nn import Bag, MonotoneNetwork, NameMax, NameSum

from .cases import KNOTS, MIXED_NAMES, NAMES, UP, ensemble, network, shake

# fmt: off
NETWORKS = {
    "max":               network,
    "sum":               lambda: network(pool="sum"),
    "linear":            lambda: network(hidden=()),
    "mixed, max":        lambda: network(MIXED_NAMES),
    "mixed, sum":        lambda: network(MIXED_NAMES, pool="sum"),
    "decreasing":        lambda: network(-1),
    "free":              lambda: network(0),
    "twin, max":         lambda: network(monotone=False),
    "twin, sum":         lambda: network(monotone=False, pool="sum"),
    "with numbers":      lambda: network((*UP, 1, -1), KNOTS),
    "ensemble":          lambda: ensemble((*MIXED_NAMES, 1, 0), KNOTS),
}
# fmt: on
every_network = pytest.mark.parametrize("name", NETWORKS)
INCREASING = ("max", "sum", "linear", "with numbers")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def made(name: str):
    net = shake(NETWORKS[name](), steps=2)
    net.believe_(torch.arange(1, NAMES + 1) * 9.0) if isinstance(net, MonotoneNetwork) else None
    return net.eval()


def numbers_for(net, rows: int):
    columns = len((net if isinstance(net, MonotoneNetwork) else net.networks[0]).arguments["knots"])
    return (torch.randn(rows, columns),) if columns else ()


def sets(rows: int = 16) -> torch.Tensor:
    """Random sets, the empty one and the full one among them."""
    presence = (torch.rand(rows, NAMES) < 0.4).float()
    presence[0], presence[1], presence[-1] = 0, 1, 0
    return presence


def padded(presence: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and presences of sets padded to one size; what pads is a random name that is absent."""
    ids, there = torch.randint(NAMES, (len(presence), size)), torch.zeros(len(presence), size)
    for row, members in enumerate(presence):
        own = members.nonzero()[:, 0]
        places = torch.randperm(size)[: len(own)]
        ids[row, places], there[row, places] = own, 1.0
    return ids, there


@every_network
def test_all_forms_of_a_set_score_the_same(name):
    net, presence = made(name), sets()
    numbers = numbers_for(net, len(presence))
    right = net(Bag.of(presence), *numbers)
    assert right.shape == (16,)
    torch.testing.assert_close(net.over_vocabulary()(presence, *numbers), right)
    for size in (NAMES, NAMES + 5):
        torch.testing.assert_close(net.padded()(*padded(presence, size), *numbers), right)


@every_network
def test_an_absent_entry_gives_the_score_of_the_smaller_set(name):
    net, presence = made(name), sets()
    numbers = numbers_for(net, len(presence))
    ids, there = padded(presence, NAMES + 2)
    there[:, :4] = 0
    smaller = torch.zeros(len(presence), NAMES).scatter_reduce(1, ids, there, "amax")
    torch.testing.assert_close(net.padded()(ids, there, *numbers), net(Bag.of(smaller), *numbers))


@every_network
def test_with_each_is_the_score_of_every_set_with_one_more_name(name, monkeypatch):
    monkeypatch.setattr("isotone.nn._network._PART", 5)  # several parts
    net, presence = made(name), sets()
    numbers = numbers_for(net, len(presence))
    found = net.with_each(Bag.of(presence), *numbers)
    for new in range(NAMES):
        larger = presence.clone()
        larger[:, new] = 1
        torch.testing.assert_close(found[:, new], net(Bag.of(larger), *numbers).detach())


@pytest.mark.parametrize("name", INCREASING)
def test_adding_names_never_lowers_the_logit_not_even_by_a_rounding(name):
    for seed in range(6):
        torch.manual_seed(seed)
        net, presence = made(name), sets(64)
        numbers = numbers_for(net, 64)
        larger = torch.maximum(presence, (torch.rand(64, NAMES) < 0.3).float())
        assert bool((net(Bag.of(larger), *numbers) >= net(Bag.of(presence), *numbers)).all())
        assert bool(
            (net.with_each(Bag.of(presence), *numbers) >= net(Bag.of(presence), *numbers)[:, None] - 1e-5).all()
        )


@pytest.mark.parametrize("name", ["mixed, max", "mixed, sum", "decreasing"])
def test_adding_a_decreasing_name_never_raises_the_logit(name):
    net, presence = made(name), sets(64)
    for new, direction in enumerate(MIXED_NAMES if "mixed" in name else (-1,) * NAMES):
        larger = presence.clone()
        larger[:, new] = 1
        change = (net(Bag.of(larger)) - net(Bag.of(presence))).detach()
        assert float((change * direction).min()) >= -1e-6 * (direction != 0)
        assert direction != 0 or float(change.abs().max()) > 0


def test_the_order_of_names_in_a_set_does_not_matter():
    for name in ("max", "sum"):
        net = made(name)
        ids = torch.tensor([3, 0, 5, 6, 1])
        ways = [Bag(ids[order], torch.tensor([0])) for order in (torch.arange(5), torch.arange(4, -1, -1))]
        torch.testing.assert_close(net(ways[0]), net(ways[1]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(0, NAMES - 1)), min_size=1, max_size=6))
def test_bag_of_presences_holds_the_sets(rows):
    presence = torch.zeros(len(rows), NAMES)
    for row, members in enumerate(rows):
        presence[row, list(members)] = 1
    bag = Bag.of(presence)
    assert contents(bag) == [sorted(members) for members in rows]
    everything, nothing = bag.without(0.0), bag.without(1.0)
    assert contents(everything) == contents(bag)
    assert contents(nothing) == [[] for _ in rows]
    some = contents(bag.without(0.5))
    assert all(set(kept) <= members for kept, members in zip(some, rows, strict=True))


def contents(bag: Bag) -> list[list[int]]:
    ends = [*bag.offsets.tolist(), len(bag.ids)]
    return [bag.ids[start:end].tolist() for start, end in itertools.pairwise(ends)]


def test_without_leaves_out_the_share_it_is_told():
    bag = Bag.of(torch.ones(2000, NAMES))
    assert abs(len(bag.without(0.3).ids) / len(bag.ids) - 0.7) < 0.02


def test_a_bag_of_no_rows_and_of_empty_sets():
    assert contents(Bag.of(torch.zeros(0, NAMES))) == []
    assert contents(Bag.of(torch.zeros(2, NAMES))) == [[], []]


def test_names_are_dropped_in_training_only():
    net = network(name_dropout=0.5)
    bag = Bag.of(torch.ones(64, NAMES))
    assert not torch.equal(net(bag), net(bag))
    net.eval()
    assert torch.equal(net(bag), net(bag))


@pytest.mark.parametrize("pool", [NameSum, NameMax])
def test_a_pool_is_what_its_name_says(pool):
    layer = pool(NAMES, 3)
    presence = sets(5)
    rows = layer.rows.detach()
    for out, members in zip(layer(Bag.of(presence)).detach(), presence, strict=True):
        own = rows[members > 0]
        right = own.sum(0) if pool is NameSum else torch.cat([own, torch.zeros(1, 3)]).amax(0)
        torch.testing.assert_close(out, right)


def test_a_maximum_of_free_rows_is_never_below_that_of_the_empty_set():
    layer = NameMax(NAMES, 3, constrained=False)
    torch.nn.init.normal_(layer.weight)
    assert constraints_of(layer) == {}
    assert bool((layer(Bag.of(sets())) >= layer(Bag.of(torch.zeros(1, NAMES)))).all())


@pytest.mark.parametrize("pool", [NameSum, NameMax])
def test_a_name_is_believed_by_how_many_rows_have_it(pool):
    layer = pool(NAMES, 3)
    before = layer.rows.detach()
    layer.believe_(torch.tensor([0, 40, 10**9, 1, 2, 3, 4]))
    share = (layer.rows.detach() / before)[:, 0]
    torch.testing.assert_close(share[:3], torch.tensor([0.0, 0.25, 1.0]))
    assert bool((share[3:].diff() > 0).all())
    other = pool(NAMES, 3)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.rows, layer.rows)


def test_a_network_believes_in_both_of_its_pools():
    net = network(MIXED_NAMES)
    net.believe_(torch.full((NAMES,), 40.0))
    assert torch.equal(net.name_max.trust, torch.full((NAMES, 1), 0.25))
    assert torch.equal(net.name_sum.trust, torch.full((NAMES, 1), 0.25))
