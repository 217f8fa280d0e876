"""The question, the certificate, and what must cost knowledge rather than truth."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isotone.certify import Certificate, certify
from isotone.certify._facts import INF, Fact, NotReal, Refused, fact
from isotone.certify._question import asked
from isotone.certify._search import Search
from isotone.certify._walk import walk
from isotone.certify.rules import RULES
from isotone.errors import BadInput
from isotone.verdict import Domain, Verdict

from .models import Formula, mlp, positive

X = torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])
IDS = torch.tensor([[0, 1], [2, 0]])


def table():
    return nn.Sequential(nn.Embedding(3, 1), nn.Flatten())


# fmt: off
MISTAKES = [
    # model                 inputs                          directions  domain              the sentence says
    (len,                   X,                              1,          None,               "model: builtin_function_or_method came"),
    (nn.Identity(),         [[1.0]],                        1,          None,               "inputs: list came"),
    (nn.Identity(),         (),                             1,          None,               "inputs: tuple came"),
    (nn.Identity(),         X * INF,                        1,          None,               "infinite or NaN entries came"),
    (nn.Identity(),         X.to(torch.complex64),          1,          None,               "real dense numbers are right"),
    (nn.Identity(),         torch.zeros(0, 3),              1,          None,               "an empty tensor of shape"),
    (nn.Linear(4, 1),       X,                              1,          None,               "the model does not take the example"),
    (nn.Bilinear(3, 3, 1),  (X, X),                         (1,),       None,               "1 entries came for 2 inputs"),
    (nn.Bilinear(3, 3, 1),  (X, X),                         torch.ones(3), None,            "Tensor came for 2 inputs"),
    (nn.Identity(),         X,                              2,          None,               "other numbers came"),
    (nn.Identity(),         X,                              "up",       None,               "directions.0.: str came"),
    (nn.Identity(),         X,                              (1, -1),    None,               r"shape \(2,\) came for an input of shape \(2, 3\)"),
    (nn.Identity(),         X,                              1,          (1.0, 0.0),         "a low above its high came"),
    (nn.Identity(),         X,                              1,          (0.0, float("nan")), "a low above its high came, or NaN"),
    (nn.Identity(),         X,                              1,          (2.0, 3.0),         "the example lies outside"),
    (nn.Identity(),         X,                              1,          (torch.zeros(2), 9.0), "bounds came that do not broadcast"),
    (nn.Identity(),         X,                              1,          3.0,                "domain.0.: float came"),
    (nn.Identity(),         X,                              1,          ("a", "b"),         "str came as a bound"),
    (nn.Bilinear(3, 3, 1),  (X, X),                         1,          ((0, 1),),          "1 entries came for 2 inputs"),
    (nn.Identity(),         torch.tensor([[2**53]]),        1,          (2**53, 2**53 + 1), "whole numbers of 2\\*\\*53 or more came"),
    (table(),               IDS,                            1,          (0, 2),             "a direction came for indices of an embedding"),
]
# fmt: on


@pytest.mark.parametrize(("model", "inputs", "directions", "domain", "says"), MISTAKES, ids=[m[-1] for m in MISTAKES])
def test_a_question_that_does_not_fit_is_refused(model, inputs, directions, domain, says):
    with pytest.raises(BadInput, match=says):
        certify(model, inputs, directions, domain, budget=0)


def test_a_hook_that_came_later_voids_the_certificate():
    net = nn.Linear(3, 1)
    certificate = certify(net, X, 0, budget=0)
    assert certificate.valid_for(net)
    net.register_forward_hook(lambda module, args, output: -output)
    assert not certificate.valid_for(net)


def test_a_budget_is_a_number_of_calls():
    with pytest.raises(BadInput, match="budget: -1 came"):
        certify(nn.Identity(), X, 1, budget=-1)


def test_a_domain_may_be_a_domain_a_pair_or_arrays():
    for domain in (Domain(0.0, 1.0), (0, 1), (torch.zeros(3), torch.ones(2, 3)), [None, 1.0], ((0.0, 1.0),)):
        question = asked(X, 1, domain)
        assert float(question.high[0].max()) == 1.0


def test_one_row_is_traced_as_two():
    certificate = certify(nn.Linear(3, 1), X[:1], 0, budget=0)
    assert certificate.scope["inputs"] == [{"shape": [2, 3], "dtype": "float32"}]
    assert certificate.scope["batch"].startswith("traced with a symbolic number of rows")


@pytest.fixture(scope="module")
def certificates():
    """One certificate of each verdict."""
    torch.manual_seed(0)
    net = positive(mlp(nn.Softplus()))
    return {
        Verdict.PROVED: certify(net, X, +1, (0.0, 1.0), budget=50),
        Verdict.REFUTED: certify(net, X, (+1, -1, 0), budget=200),
        Verdict.UNKNOWN: certify(
            Formula(lambda x: x.tanh() - x.tanh() / 2), X, +1, budget=50, form="padded to 3 names"
        ),
    }


def test_each_verdict_has_its_code_and_its_parts(certificates):
    for code, (verdict, certificate) in enumerate(certificates.items()):
        assert certificate.verdict is verdict
        assert certificate.exit_code == code
        assert (certificate.witness is not None) == (verdict is Verdict.REFUTED)
        assert bool(certificate.assumptions) == (verdict is Verdict.PROVED)
    where = certificates[Verdict.UNKNOWN].where
    assert where.op == "aten.sub.Tensor"
    assert where.line.startswith("models.py:")


def test_a_certificate_survives_json(certificates):
    for certificate in certificates.values():
        stored = json.dumps(certificate.to_dict(), allow_nan=False)
        read = Certificate.from_dict(json.loads(stored))
        assert read.to_dict() == certificate.to_dict()
        assert str(read) == str(certificate)
    witness = certificates[Verdict.REFUTED].witness
    again = Certificate.from_dict(certificates[Verdict.REFUTED].to_dict()).witness
    for a, b in zip(witness.lower + witness.upper, again.lower + again.upper, strict=True):
        assert torch.equal(a, b)
        assert a.dtype == b.dtype


def test_a_nan_witness_survives_json():
    certificate = certify(Formula(lambda x: (x - 3).sqrt()), X, +1, (0.0, 1.0), budget=50)
    assert certificate.verdict is Verdict.REFUTED
    read = Certificate.from_dict(json.loads(json.dumps(certificate.to_dict(), allow_nan=False)))
    assert read.witness.before != read.witness.before
    assert "NaN" in read.reason


def test_a_certificate_prints_within_eighty_columns(certificates):
    for verdict, certificate in certificates.items():
        lines = str(certificate).splitlines()
        assert lines[0].startswith(verdict.name)
        assert max(map(len, lines)) <= 80
    assert "padded to 3 names" in str(certificates[Verdict.UNKNOWN])
    assert "falls from" in str(certificates[Verdict.REFUTED])


def test_a_certificate_is_void_after_a_change():
    model = positive(nn.Sequential(nn.Linear(3, 2), nn.Dropout())).eval()
    certificate = certify(model, X, +1, budget=0)
    assert certificate.valid_for(model)
    model.train()
    assert not certificate.valid_for(model)
    model.eval()
    with torch.no_grad():
        model[0].bias[0] += 1
    assert not certificate.valid_for(model)


def test_a_certificate_is_void_after_a_change_that_no_parameter_shows():
    model = positive(nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU()))
    certificate = certify(model, X, +1, budget=0)
    assert certificate.valid_for(model)
    model[1].negative_slope = -1.0
    assert not certificate.valid_for(model)
    model[1] = nn.GELU()
    assert not certificate.valid_for(model)


class Split(nn.Linear):
    def linear(self, x):
        return super().forward(x)

    def forward(self, x):
        return self.linear(x)


def test_a_certificate_is_void_after_a_method_was_put_on_the_object():
    model = positive(nn.Sequential(Split(3, 2)))
    certificate = certify(model, X, +1, budget=0)
    assert certificate.valid_for(model)
    model[0].linear = lambda x: -x
    assert not certificate.valid_for(model)


def test_the_same_call_gives_the_same_certificate():
    model = Formula(lambda x: x * x)
    state = torch.random.get_rng_state()
    first, second = (certify(model, X, +1).to_dict() for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)


def test_parameters_that_are_not_finite_forbid_any_verdict():
    model = positive(nn.Linear(3, 1))
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    certificate = certify(model, X, +1)
    assert certificate.verdict is Verdict.UNKNOWN
    assert certificate.reason == "weight holds infinite or NaN values, so nothing can be said"


def test_an_unknown_operation_is_named():
    certificate = certify(Formula(lambda x: torch.special.i0(x.clamp(min=0))), X, +1, budget=20)
    assert certificate.verdict is Verdict.UNKNOWN
    assert certificate.where.op == "aten.i0.default"
    assert "isotone has no rule for aten.i0.default" in str(certificate)


@pytest.mark.parametrize("error", [Refused("declined"), NotReal("undefined"), ZeroDivisionError(), TypeError()])
def test_an_error_inside_a_rule_costs_knowledge(monkeypatch, error):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setitem(RULES, "aten.relu.default", broken)
    certificate = certify(nn.ReLU(), X, +1, budget=20)
    assert certificate.verdict is Verdict.UNKNOWN
    assert "aten.relu.default" in certificate.reason


def test_a_rule_of_the_wrong_shape_costs_knowledge(monkeypatch):
    monkeypatch.setitem(RULES, "aten.relu.default", lambda site, x: fact(x.lo[0], x.hi[0], x.up[0], x.dn[0]))
    assert certify(nn.ReLU(), X, +1, budget=20).verdict is Verdict.UNKNOWN


def test_free_inputs_alone_may_not_hide_a_logarithm_of_a_negative_number():
    certificate = certify(Formula(lambda x, z: x + z.log()), (X, X), (+1, 0), budget=0)
    assert certificate.verdict is Verdict.UNKNOWN
    assert "logarithm" in certificate.reason


def test_indices_without_a_domain_are_an_assumption():
    model = Formula(lambda ids, x, t: t(ids).sum((1, 2)) + x.sum(1), nn.Embedding(3, 2))
    open_, closed = (certify(model, (IDS, X), (0, +1), domain, budget=0) for domain in (None, ((0, 2), None)))
    assert open_.verdict is closed.verdict is Verdict.PROVED
    assert any("whole numbers from 0 to 2" in a for a in open_.assumptions)
    assert not any("whole numbers" in a for a in closed.assumptions)


def test_softplus_as_an_exact_function_is_an_assumption():
    assert any("softplus" in a for a in certify(nn.Softplus(), X, +1, budget=0).assumptions)


def test_bounds_that_cross_are_never_believed():
    bit = torch.tensor(False)
    with pytest.raises(Refused, match="bounds crossed"):
        fact(torch.tensor(1.0), torch.tensor(0.0), bit, bit)


def hard_search(model, directions, domain, seed):
    question = asked(X, directions, domain)
    return Search(model, question, seed, 1e-9, lambda: None).look(1000)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), row=st.integers(0, 5), column=st.integers(0, 5))
def test_a_flipped_weight_is_never_proved_when_it_shows(seed, row, column):
    """Mutation: one weight of a proved net turned round."""
    net = positive(mlp(nn.Tanh(), seed=seed))
    with torch.no_grad():
        net[2].weight[row, column].neg_()
    certificate = certify(net, X, +1, budget=0)
    if hard_search(net, +1, None, seed) is not None:
        assert certificate.verdict is not Verdict.PROVED


def test_an_unbounded_walk_keeps_infinite_ranges_apart_from_zero_weights():
    """0 * inf inside a matrix product would be NaN, and NaN would cost every proof."""
    from isotone.certify._capture import capture  # noqa: PLC0415

    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]))
    traced = capture(layer, (X,))
    found = walk(traced, asked(X, +1, None).facts()).facts[traced.outputs[0]]
    assert isinstance(found, Fact)
    assert found.lo.tolist() == [[0.0, -INF]] * 2
    assert found.hi.tolist() == [[0.0, INF]] * 2
    assert found.up.tolist() == [[False, True]] * 2


def test_boxes_are_judged_in_inference_mode_too():
    model = Formula(lambda x: x * x * x - x * x + x)
    with torch.inference_mode():
        assert certify(model, X[:, :1], +1, (0.0, 1.0), budget=0).verdict is Verdict.PROVED
