"""What attacks are told of a network is exact, and a family is tuned and trained as it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isotone.attack import Moves, scores
from isotone.experiment import dense
from isotone.families import NETWORK_SETTINGS, NetworkScorer, NetworkVictim
from isotone.nn import MonotoneEnsemble
from isotone.training import logits_of
from small import RECIPE, SETTINGS, WORLDS, family, prepared


@pytest.mark.parametrize("monotone", [True, False])
@pytest.mark.parametrize("pool", ["max", "sum"])
@pytest.mark.parametrize("world", WORLDS)
def test_the_preference_of_a_move_is_the_exact_change_of_the_score(world, pool, monotone):
    found = prepared(world)
    network = MonotoneEnsemble([family(monotone=monotone).start(found.material, {"pool": pool}, s) for s in (0, 1)])
    victim = NetworkVictim(network.eval())
    x = torch.from_numpy(dense(found.test, np.arange(12)))
    preference = victim.preference(x, found.moves)
    for row, feature in found.moves.available(x).nonzero().tolist():
        moved = x[row].clone()
        moved[feature] = found.moves.target[feature]
        exact = scores(victim, torch.stack([moved, x[row]]))
        assert float(preference[row, feature]) == pytest.approx(float(exact[0] - exact[1]), abs=1e-5)


def test_names_that_may_be_removed_are_preferred_by_what_their_absence_does():
    found = prepared("names only")
    network = MonotoneEnsemble([family(monotone=False).start(found.material, {"pool": "sum"}, 0)]).eval()
    x = torch.from_numpy(dense(found.test, np.arange(300 % len(found.test))))
    moves = Moves.between([-1] * x.shape[1], 0.0, 1.0)
    preference = NetworkVictim(network).preference(x, moves)
    there = moves.available(x)
    assert int(there.sum()) > 256  # more than one question
    for row, feature in there.nonzero().tolist()[::40]:
        moved = x[row].clone()
        moved[feature] = 0.0
        exact = scores(NetworkVictim(network), torch.stack([moved, x[row]]))
        assert float(preference[row, feature]) == pytest.approx(float(exact[0] - exact[1]), abs=1e-5)


def test_a_block_that_is_filled_up_gets_the_preferences_of_its_last_row():
    found = prepared("names only")
    victim = NetworkVictim(MonotoneEnsemble([family().start(found.material, SETTINGS[0], 0)]).eval())
    x = torch.from_numpy(dense(found.test, np.arange(5)))
    filled = torch.cat([x, x[-1:].expand(6, -1)])
    preference = victim.preference(filled, found.moves)
    assert torch.equal(preference[4:], preference[4:5].expand(7, -1))
    assert torch.allclose(preference[:5], victim.preference(x, found.moves), atol=1e-6)
    alone = x[:1].expand(4, -1)
    assert torch.equal(victim.preference(alone, found.moves), preference[:1].expand(4, -1))


@pytest.mark.parametrize("world", WORLDS)
def test_a_victim_answers_what_the_scorer_says(world):
    found = prepared(world)
    scorer = NetworkScorer(MonotoneEnsemble([family().start(found.material, SETTINGS[0], 0)]).eval())
    rows = np.arange(50)
    asked = scores(scorer.victim(found.moves, dense(found.test, rows[:1])), torch.from_numpy(dense(found.test, rows)))
    assert np.allclose(asked.numpy(), scorer.logits(found.test.examples.take(rows)), atol=1e-6)


def test_a_network_starts_at_the_share_of_positives():
    material = prepared().material
    logits = logits_of(family().start(material, SETTINGS[0], 0), material.training)
    assert 1 / (1 + np.exp(-logits.mean())) == pytest.approx(material.training.labels.mean(), abs=0.1)


def test_members_differ_and_their_mean_is_the_score():
    material = prepared().material
    scorer = family(members=3).fit(material, SETTINGS[0], seed=0)
    each = [logits_of(member, material.validation) for member in scorer.network.networks]
    assert not np.array_equal(each[0], each[1])
    assert np.allclose(scorer.logits(material.validation.examples), np.mean(each, axis=0), atol=1e-5)


def test_a_setting_changes_the_network_and_the_recipe_it_names():
    seen = []
    found = family(recipe=RECIPE).fit(
        prepared().material,
        {"pool": "sum", "dropout": 0.3, "weight_decay": 1.0},
        seed=0,
        watch=lambda epoch, epochs, entry: seen.append(epochs),
    )
    assert found.network.arguments[0]["pool"] == "sum"
    assert found.network.arguments[0]["dropout"] == 0.3
    assert seen == [RECIPE.epochs] * RECIPE.epochs


def test_every_setting_that_is_tried_is_understood():
    known = {"pool", "dropout", "name_dropout", "learning_rate", "weight_decay", "positive_weight"}
    assert {key for setting in NETWORK_SETTINGS for key in setting} <= known
