"""What may be asked, and what an answer says: signs of outputs, directions per column, the first walk, the check."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isotone.certify import Certificate, certify, check
from isotone.certify._capture import capture
from isotone.certify._facts import Finer
from isotone.certify._question import asked
from isotone.certify._walk import walk
from isotone.errors import BadInput
from isotone.verdict import Verdict

from .models import Formula, mlp, positive

PROVED, REFUTED, UNKNOWN = Verdict.PROVED, Verdict.REFUTED, Verdict.UNKNOWN
X = torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])
TURNED = lambda: Formula(lambda x: torch.stack([x.sum(1), -x.sum(1)], 1))  # noqa: E731


# fmt: off
SIGNS = [
    # model                              directions                    outputs      verdict   why
    (lambda: Formula(lambda x: -x),      +1,                           -1,          PROVED,   "what falls does not rise"),
    (lambda: Formula(lambda x: x),       +1,                           -1,          REFUTED,  "what rises rises"),
    (TURNED,                             +1,                           (1, -1),     PROVED,   "one column rises, the other falls"),
    (TURNED,                             +1,                           None,        REFUTED,  "both columns are claimed by default"),
    (TURNED,                             +1,                           (1, 0),      PROVED,   "of the other column nothing is claimed"),
    (TURNED,                             +1,                           (0, 1),      REFUTED,  "the other column falls"),
    (TURNED,                             {0: +1, 1: -1},               None,        PROVED,   "each column has directions of its own"),
    (TURNED,                             {0: +1, 1: +1},               None,        REFUTED,  "the second column turns"),
    (lambda: Formula(lambda x: torch.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 2]], 1)),
                                         {0: (1, 1, 0), 1: (1, 0, -1)}, None,       PROVED,   "a matrix of directions"),
    (lambda: Formula(lambda x: (x[:, 0], -x)), +1,                     torch.tensor([1.0] * 2 + [-1.0] * 6), PROVED, "signs of several outputs lie flat"),
    (lambda: Formula(lambda x: x.exp()), +1,                           0,           PROVED,   "nothing is claimed"),
]
# fmt: on


@pytest.mark.parametrize(("make", "directions", "outputs", "verdict", "why"), SIGNS, ids=[row[-1] for row in SIGNS])
def test_outputs_may_be_claimed_to_rise_to_fall_or_not_at_all(make, directions, outputs, verdict, why):
    certificate = certify(make(), X, directions, outputs=outputs, budget=200, seconds=0)
    assert certificate.verdict is verdict, f"{why}\n{certificate}"
    if verdict is REFUTED and outputs == -1:
        assert certificate.witness.after > certificate.witness.before
        assert "rises" in certificate.reason


# fmt: off
MISTAKES = [
    # directions     outputs       the sentence says
    (+1,             2,            "outputs: other numbers came"),
    (+1,             "up",         "outputs: str came"),
    (+1,             (1, 1, 1),    r"outputs: shape \(3,\) came for a score of shape \(2, 2\)"),
    ({0: 1},         1,            "outputs: it came beside a dictionary"),
    ({},             None,         "directions: an empty dictionary came"),
    ({7: 1},         None,         r"directions: the key 7 came for a score of shape \(2, 2\)"),
    ({"a": 1},       None,         "directions: the key 'a' came"),
]
# fmt: on


@pytest.mark.parametrize(("directions", "outputs", "says"), MISTAKES, ids=[m[-1] for m in MISTAKES])
def test_a_claim_that_does_not_fit_is_refused(directions, outputs, says):
    with pytest.raises(BadInput, match=says):
        certify(TURNED(), X, directions, outputs=outputs, budget=0)


def test_seconds_are_a_number():
    with pytest.raises(BadInput, match="seconds: -1 came"):
        certify(nn.Identity(), X, 1, seconds=-1)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), flips=st.integers(0, 2), direction=st.sampled_from([1, -1, (1, 0, -1)]))
def test_what_the_signs_prove_the_whole_walk_proves_too(seed, flips, direction):
    net = positive(mlp(nn.ELU(), seed=seed))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(flips):
            net[2].weight[int(torch.randint(6, (1,), generator=random)), 0].neg_()
    traced, question = capture(net, (X,)), asked(X, direction, None)
    whole = walk(traced, question.facts()).facts[traced.outputs[0]]
    try:
        rough = walk(traced, question.facts(), rough=True).facts[traced.outputs[0]]
    except Finer:
        assert flips or direction == (1, 0, -1)
        return
    assert bool((rough.up | ~whole.up).all())
    assert bool((rough.dn | ~whole.dn).all())
    assert bool((rough.lo <= whole.lo).all())
    assert bool((rough.hi >= whole.hi).all())


def test_a_network_of_non_negative_weights_is_proved_by_their_signs():
    certificate = certify(positive(mlp(nn.ReLU())), X, +1, budget=0)
    assert certificate.used == ("signs of the weights, through 5 operators",)


def test_the_first_walk_is_not_fooled_by_weights_that_are_not_finite():
    net = positive(nn.Sequential(nn.Linear(3, 2)))
    with torch.no_grad():
        net[0].weight[0, 0] = float("nan")
    traced = capture(net, (X,))
    with pytest.raises(Finer):
        walk(traced, asked(X, 1, None).facts(), rough=True)


def test_an_unknown_says_what_was_known_and_what_would_help():
    gate = Formula(lambda x, a, b: a(x) * torch.sigmoid(b(x)), positive(nn.Linear(3, 2)), positive(nn.Linear(3, 2)))
    certificate = certify(gate, X, +1, budget=0)
    assert certificate.verdict is UNKNOWN
    assert certificate.where.op == "aten.mul.Tensor"
    assert certificate.where.source == "return self.f(*inputs, *self.parts)"
    assert certificate.known[0] == "what aten.linear.default gives: rises, of any size"
    assert certificate.known[1] == "what aten.sigmoid.default gives: rises, between 0 and 1"
    assert any("relu" in change for change in certificate.changes)
    assert "to go on:" in str(certificate)
    assert max(map(len, str(certificate).splitlines())) <= 80


def test_a_negative_weight_is_named_in_the_advice():
    certificate = certify(nn.Sequential(nn.Linear(3, 2)), X, +1, budget=0)
    assert certificate.verdict is UNKNOWN
    assert any("isotone.constrain(model, '0.weight', isotone.NonNegative())" in c for c in certificate.changes)


# fmt: off
IN_TRAIN_MODE = [
    # model                                            the change
    (nn.Sequential(nn.Linear(3, 2), nn.Dropout()),     "1 (Dropout) is in train mode"),
    (nn.BatchNorm1d(3),                                "it (BatchNorm1d) is in train mode"),
    (nn.Sequential(*[nn.Dropout() for _ in range(4)]), "0 (Dropout), 1 (Dropout) and 2 more are in train mode"),
    (nn.Sequential(nn.Linear(3, 2), nn.Dropout()).eval(), ""),
]
# fmt: on


@pytest.mark.parametrize(("model", "says"), IN_TRAIN_MODE, ids=[row[-1] for row in IN_TRAIN_MODE])
def test_what_acts_otherwise_in_train_mode_is_told_to_leave_it(model, says):
    changes = certify(model, X, +1, budget=0).changes
    assert any(says in change for change in changes) if says else not any("eval" in change for change in changes)


def test_the_claim_is_said_in_words():
    claim = certify(nn.Identity(), X, (1, -1, 0), (0.0, 1.0), outputs=0, budget=0).scope["claim"]
    assert "elements of input 0 move within [0, 1] along their directions (2 increasing, 2 decreasing, 2 free)" in claim


@pytest.fixture(scope="module")
def proved():
    net = positive(mlp(nn.Tanh())).eval()
    certificate = certify(net, X, {0: (1, 1, 0)}, ((None, 1.0)), budget=0)
    assert certificate.verdict is PROVED
    return net, Certificate.from_dict(json.loads(json.dumps(certificate.to_dict(), allow_nan=False)))


def test_a_certificate_from_a_file_holds_for_its_model(proved):
    net, certificate = proved
    found = check(certificate, net, X)
    assert found.holds
    assert str(found).startswith("HOLDS  PROVED")
    assert found.certificate.scope["asked"] == certificate.scope["asked"]


def test_a_certificate_is_void_for_another_model(proved):
    net, certificate = proved
    other = positive(mlp(nn.Tanh(), seed=5)).eval()
    assert check(certificate, other, X).differences == ("the hash of its weights is another",)
    assert (
        check(certificate, nn.Sequential(*net, nn.ReLU()).eval(), X).differences[-1]
        == "the hash of its graph is another"
    )
    net.train()
    assert "its mode is another" in check(certificate, net, X).differences
    net.eval()
    with torch.no_grad():
        other[0].weight.neg_()
    assert any("the proof does not go through" in d for d in check(certificate, other, X).differences)


def test_only_a_proof_can_be_checked(proved):
    net, _ = proved
    refuted = certify(net, X, -1, budget=200)
    assert refuted.verdict is REFUTED
    assert not check(refuted, net, X).holds


def test_an_example_of_another_shape_cannot_be_checked(proved):
    net, certificate = proved
    with pytest.raises(BadInput, match="the certificate is about"):
        check(certificate, net, X[:, :2])


def test_another_version_is_a_remark(proved):
    net, certificate = proved
    certificate.scope["rules"], before = "1", certificate.scope["rules"]
    found = check(certificate, net, X)
    certificate.scope["rules"] = before
    assert found.holds
    assert found.remarks == (f"the rules 1 made it, this is {before}",)


def test_an_old_certificate_is_refused(proved):
    net, certificate = proved
    old = Certificate.from_dict({**certificate.to_dict(), "scope": {"inputs": []}})
    with pytest.raises(BadInput, match="one of an older version came"):
        check(old, net, X)


EDITS = {
    "the sentence of the claim": lambda s: s.update(claim="no element of the score falls, whatever moves"),
    "the sentence of the domain": lambda s: s.update(domain="all finite values"),
    "the sentence of the directions": lambda s: s.update(directions="2 increasing"),
    "the column of the claim": lambda s: s["asked"][0].update(name="column 1"),
    "an empty domain": lambda s: s["asked"][0].update(low=[5.0]),
    "a direction that is none": lambda s: s["asked"][0].update(directions=["nan"]),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_certificate_edited_by_hand_does_not_hold(what):
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, 0.5)
    inputs = torch.full((2, 2), 0.5)
    made = json.loads(json.dumps(certify(layer, inputs, {0: (+1, 0)}, (0, 1), budget=0).to_dict()))
    assert check(Certificate.from_dict(made), layer, inputs).holds
    EDITS[what](made["scope"])
    try:
        held = check(Certificate.from_dict(made), layer, inputs).holds
    except BadInput:
        held = False
    assert not held


def test_a_certificate_that_keeps_quiet_about_an_assumption_does_not_hold():
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, 0.5)
    made = certify(layer, torch.zeros(2, 2), +1, budget=0).to_dict()
    made["assumptions"] = []
    assert not check(Certificate.from_dict(made), layer, torch.zeros(2, 2)).holds
