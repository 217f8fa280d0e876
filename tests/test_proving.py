"""The certificate of a trained network, on names, on numbers, and on both, in every mix of directions."""

from __future__ import annotations

import pytest
import torch

from isotone import Verdict, violations
from isotone.errors import BadInput
from isotone.nn import MonotoneEnsemble, MonotoneNetwork
from isotone.proving import certificate_of
from small import SETTINGS, WORLDS, family, prepared


@pytest.mark.parametrize("pool", ["max", "sum"])
@pytest.mark.parametrize("world", WORLDS)
def test_a_trained_ensemble_is_proved(world, pool):
    found = prepared(world)
    scorer = family(members=2).fit(found.material, {"pool": pool}, seed=0)
    certificate = certificate_of(scorer.network, found.material.directions)
    assert certificate.verdict is Verdict.PROVED, certificate
    assert certificate.valid_for(scorer.network.over_vocabulary()) or not scorer.network.names


@pytest.mark.parametrize("world", WORLDS)
def test_its_unconstrained_twin_is_not(world):
    found = prepared(world)
    scorer = family(monotone=False).fit(found.material, {"pool": "sum"}, seed=0)
    certificate = certificate_of(scorer.network, found.material.directions)
    assert certificate.verdict is not Verdict.PROVED
    if certificate.witness is not None:
        assert certificate.witness.drop > 0


class Falling(MonotoneEnsemble):
    def forward(self, names=None, numbers=None):
        return -super().forward(names, numbers)


def turn(part):
    part.register_forward_hook(lambda module, given, made: -made)


# fmt: off
LEFT_OUT = [
    # what is done to a network that is proved                      what is said
    (turn,                                                          "MonotoneEnsemble has a hook"),
    (lambda net: turn(net.networks[0]),                             "MonotoneNetwork has a hook"),
    (lambda net: turn(net.networks[0].name_max),                    "NameMax has a hook"),
    (lambda net: setattr(net, "__class__", Falling),                "a Falling for a MonotoneEnsemble"),
    (lambda net: setattr(net, "forward", lambda *given: -given[1]), "a forward() of its own"),
]
# fmt: on


@pytest.mark.parametrize(("change", "said"), LEFT_OUT, ids=[said for _, said in LEFT_OUT])
def test_code_that_the_proved_form_leaves_out_is_not_vouched_for(change, said):
    torch.manual_seed(0)
    network = MonotoneEnsemble([MonotoneNetwork(names=4, hidden=(3,), pool="max")]).eval()
    assert certificate_of(network, (1,) * 4).verdict is Verdict.PROVED
    change(network)
    found = certificate_of(network, (1,) * 4)
    assert found.verdict is Verdict.UNKNOWN
    assert said in found.reason


def test_a_claim_is_about_the_weights_as_they_are_now():
    found = prepared("names, numbers")
    network = family().fit(found.material, SETTINGS[0], seed=0).network
    with torch.no_grad():
        network.networks[0].trunk[-1].weight[0, 0] = -1.0
    assert max(violations(network).values()) > 0
    assert certificate_of(network, found.material.directions).verdict is not Verdict.PROVED


def test_a_direction_that_the_network_was_not_made_for_is_not_proved():
    found = prepared("names, numbers")
    network = family().fit(found.material, SETTINGS[0], seed=0).network
    turned = tuple(-direction for direction in found.material.directions)
    assert certificate_of(network, turned).verdict is Verdict.REFUTED


def test_free_features_alone_are_no_claim():
    network = MonotoneEnsemble([MonotoneNetwork(names=3, hidden=(4,), directions=0)])
    with pytest.raises(BadInput, match=r"^certify: every feature is free; a claim needs a direction"):
        certificate_of(network, (0, 0, 0))


def test_it_says_what_form_it_is_about():
    network = MonotoneEnsemble([MonotoneNetwork(names=1234, hidden=(4,))])
    assert "1,234 known names: sets of every size" in certificate_of(network, (1,) * 1234).scope["form"]
