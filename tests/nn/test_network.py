"""Starting in the middle, predicting both kinds, and the sentence for each mistake."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import pytest
import torch
from torch import nn

import isotone
from isotone.errors import BadInput
from isotone.nn import Bag, MonotoneEnsemble, MonotoneLinear, MonotoneMLP, MonotoneNetwork

from .cases import KNOTS, MIXED_NAMES, NAMES, UP, network, shake


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# fmt: off
STARTS = [
    # how it is made                                                          why
    (network,                                                                 "a maximum"),
    (lambda **k: network(pool="sum", **k),                                    "a sum"),
    (lambda **k: network(hidden=(), **k),                                     "linear"),
    (lambda **k: network(hidden=(64,), **k),                                  "one wide layer"),
    (lambda **k: network(hidden=(32, 32, 32, 32), **k),                       "four layers"),
    (lambda **k: network(hidden=(3, 1), **k),                                 "a layer of one unit"),
    (lambda **k: network(MIXED_NAMES, **k),                                   "mixed directions"),
    (lambda **k: network(-1, pool="sum", **k),                                "decreasing"),
    (lambda **k: network((*MIXED_NAMES, 1, -1), KNOTS, **k),                  "with numbers"),
    (lambda **k: network((1, -1), KNOTS, names=0, **k),                       "numbers only"),
    (lambda **k: network(dropout=0.5, name_dropout=0.5, **k),                 "dropout, which centring must not see"),
    (lambda **k: network(monotone=False, **k),                                "the unconstrained twin"),
]
# fmt: on
every_start = pytest.mark.parametrize(("make", "why"), STARTS, ids=[why for _, why in STARTS])


def rows_for(net: MonotoneNetwork, rows: int = 300) -> tuple[Bag | None, torch.Tensor | None]:
    names = Bag.of((torch.rand(rows, net.names) < 0.6).float()) if net.names else None
    columns = len(net.arguments["knots"])
    return names, 3 * torch.randn(rows, columns) + 1 if columns else None


@every_start
@pytest.mark.parametrize("prior", [0.5, 0.02, 0.9])
def test_the_first_logits_are_centred_at_the_prior(make, why, prior):
    net = make()
    rows = rows_for(net)
    net.centre_(*rows, prior=prior)
    assert net.training, "the mode is put back"
    logits = net.eval()(*rows).detach()
    assert abs(float(logits.mean() - torch.logit(torch.tensor(prior)))) < 1e-4, why
    assert float(logits.std()) < 3, why
    assert set(isotone.violations(net).values()) <= {0.0}


@every_start
def test_each_layer_after_the_first_starts_at_unit_size_at_most(make, why):
    net = make()
    rows = rows_for(net)
    net.centre_(*rows)
    sizes = []
    for layer in net.eval().trunk:
        if isinstance(layer, MonotoneLinear):
            layer.register_forward_hook(
                lambda *all: sizes.append(float(all[-1].detach().std(dim=0, correction=0).max()))
            )
    net(*rows)
    assert all(size < 1 + 1e-4 for size in sizes), why
    assert len(sizes) == len(net.arguments["hidden"])


@every_start
def test_centring_keeps_every_sign(make, why):
    net = make()
    before = {name: p.detach().sign() for name, p in net.named_parameters() if name.endswith("weight")}
    net.centre_(*rows_for(net))
    assert all(torch.equal(net.get_parameter(name).sign(), sign) for name, sign in before.items())


@pytest.mark.parametrize("rows", [1, 2])
def test_centring_on_hardly_any_rows_leaves_finite_weights(rows):
    net = network((*UP, 1, 1), KNOTS)
    net.centre_(*rows_for(net, rows))
    assert all(bool(p.isfinite().all()) for p in net.parameters())


@every_start
def test_predictions_of_both_kinds_can_be_learned(make, why):
    """Weights of one sign do not put everything above 50 %: the biases are free."""
    net = make()
    rows = rows_for(net, 200)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for target, reached in ((0.02, lambda logits: logits < 0), (0.98, lambda logits: logits > 0)):
        for _ in range(150):
            optimizer.zero_grad()
            logits = net(*rows)
            nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target)).backward()
            optimizer.step()
        assert float(reached(net.eval()(*rows)).float().mean()) > 0.95, why
        net.train()


def test_an_increasing_feature_is_learned_and_a_misleading_one_is_ignored():
    net = MonotoneMLP(2, (16,), +1)
    x = torch.rand(400, 2)
    y = (x[:, 0] - x[:, 1] > 0).float()  # the second goes against its direction
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y).backward()
        optimizer.step()
    low, high = net(torch.tensor([[0.1, 0.5], [0.9, 0.5]])).detach()[:, 0]
    assert float(low) < 0 < float(high)
    ignored = net(torch.tensor([[0.5, 0.1], [0.5, 0.9]]))[:, 0]
    assert 0 <= float((ignored[1] - ignored[0]).detach()) < 0.2


def test_the_biases_and_the_twin_are_free():
    net = network((*MIXED_NAMES, 1, 1), KNOTS)
    assert not [name for name in isotone.constraints_of(net) if "bias" in name]
    assert set(isotone.constraints_of(net)) == {name for name, _ in net.named_parameters() if name.endswith("weight")}
    assert isotone.constraints_of(network(monotone=False)) == {}


def test_its_arguments_are_what_it_was_made_with():
    settings = {"pool": "sum", "dropout": 0.25, "name_dropout": 0.5, "monotone": False}
    net = MonotoneNetwork(2, [torch.tensor([0.0, 0.1])], (4,), -1, **settings)
    knots = torch.tensor([0.0, 0.1]).tolist()
    assert net.arguments == {"names": 2, "knots": [knots], "hidden": [4], "directions": [-1, -1, -1], **settings}
    twin = MonotoneNetwork(**net.arguments)
    assert repr(twin) == repr(net)
    assert twin.name_dropout == net.name_dropout


def test_a_twin_has_the_same_parameters():
    for pool in ("max", "sum"):
        one, two = (network(pool=pool, monotone=monotone) for monotone in (True, False))
        assert {n: p.shape for n, p in one.named_parameters()} == {n: p.shape for n, p in two.named_parameters()}


def test_starting_weights_have_the_signs_of_the_directions():
    layer = MonotoneLinear(300, 40, directions=(1,) * 100 + (-1,) * 100 + (0,) * 100)
    up, down, free = layer.weight.detach().split(100, dim=1)
    assert bool((up > 0).all())
    assert bool((down < 0).all())
    assert 0.4 < float((free > 0).float().mean()) < 0.6
    out = nn.functional.linear(torch.randn(500, 300), layer.weight.detach())
    assert 0.8 < float(out.std(dim=0).mean()) < 1.2, "unit variance in, unit variance out"


def test_free_numbers_are_really_free():
    net = network((*UP, 0, 0), KNOTS)
    shake(net)
    assert float(net.from_numbers.weight.detach().min()) < 0


def test_dropout_of_hidden_units_is_for_training_only():
    net = network(dropout=0.5)
    rows = rows_for(net)
    assert not torch.equal(net(*rows), net(*rows))
    assert torch.equal(net.eval()(*rows), net(*rows))


def test_an_ensemble_is_the_mean_of_its_members():
    members = [network((*UP, 1, 1), KNOTS, pool=pool) for pool in ("max", "sum", "max")]
    net = MonotoneEnsemble(members)
    presence, numbers = (torch.rand(9, NAMES) < 0.5).float(), torch.randn(9, 2)
    for score in (
        lambda one: one(Bag.of(presence), numbers),
        lambda one: one.with_each(Bag.of(presence), numbers),
        lambda one: one.over_vocabulary()(presence, numbers),
        lambda one: one.padded()(torch.arange(NAMES).expand(9, -1), presence, numbers),
    ):
        torch.testing.assert_close(score(net), sum(score(member) for member in members) / 3)
    assert net.names == NAMES


def test_the_forms_of_a_network_follow_its_mode():
    for net in (network(), MonotoneEnsemble([network()])):
        assert net.over_vocabulary().training
        assert net.padded().training
        net.eval()
        assert not any(module.training for form in (net.over_vocabulary(), net.padded()) for module in form.modules())


# fmt: off
MISTAKES = [
    # what is done                                                              what the sentence says
    (MonotoneNetwork,                                                           "it needs names, or numbers with their knots"),
    (lambda: network(directions=(1, 1)),                                        "directions: 2 came for 7 features"),
    (lambda: network(directions=(2,) * NAMES),                                  r"directions: 2 came; each is \+1"),
    (lambda: MonotoneLinear(3, 1, directions={"a": 1}),                         "the features have no names"),
    (lambda: network()(None),                                                   "MonotoneNetwork: no names and 0 numbers per row came; it was made for 7 names and 0"),
    (lambda: network((*UP, 1, 1), KNOTS)(Bag.of(torch.eye(NAMES))),             "names and 0 numbers per row came; it was made for 7 names and 2 numbers"),
    (lambda: network((*UP, 1, 1), KNOTS)(Bag.of(torch.eye(NAMES)), torch.zeros(NAMES, 3)), "names and 3 numbers per row came"),
    (lambda: network()(Bag.of(torch.eye(NAMES)), torch.zeros(NAMES, 1)),        "names and 1 numbers per row came; it was made for 7 names and 0"),
    (lambda: network((*UP, 1, 1), KNOTS).over_vocabulary()(torch.eye(NAMES)),   "names and 0 numbers"),
    (lambda: network().centre_(Bag.of(torch.eye(NAMES)), None, prior=0.0),      "centre_: prior=0.0 came; rows of both kinds are needed"),
    (lambda: network().centre_(Bag.of(torch.eye(NAMES)), None, prior=1.0),      "centre_: prior=1.0 came"),
    (lambda: network().centre_(Bag.of(torch.eye(NAMES)), None, prior=torch.nan), "centre_: prior=nan came"),
    (lambda: MonotoneEnsemble([]),                                              "at least one member is needed"),
    (lambda: MonotoneEnsemble([network(), network(names=3)]),                   "members for 3 names and 0 numbers, and for 7 and 0, came; the inputs"),
]
# fmt: on


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_gets_one_sentence(mistake, said):
    with pytest.raises((BadInput, ValueError), match=said):
        mistake()


def test_an_empty_column_of_numbers_may_stand_for_none():
    net = network().eval()
    bag = Bag.of(torch.eye(NAMES))
    assert torch.equal(net(bag, torch.zeros(NAMES, 0)), net(bag))
