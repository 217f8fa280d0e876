"""Plans for other people's models: each is tried, each says why, and none touches the model."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import copy
import dataclasses
import functools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import isotone
from certify.models import Formula
from isotone.certify import certify
from isotone.errors import BadInput
from isotone.suggesting import Step, Suggestion, suggest
from isotone.suggesting._edits import Hold, implies, set_for
from isotone.verdict import Verdict

PROVED, REFUTED, UNKNOWN = Verdict.PROVED, Verdict.REFUTED, Verdict.UNKNOWN


class Functional(nn.Module):
    """An MLP as most people write it."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.out(F.relu(self.fc2(F.relu(self.fc1(x)))))


class WideAndDeep(nn.Module):
    """Free features through a deep branch, directed ones straight to the head."""

    def __init__(self):
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(4, 20), nn.GELU(), nn.LayerNorm(20), nn.Linear(20, 6))
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(torch.cat([self.deep(x[:, :4]), x[:, 4:]], dim=1))


class Gated(nn.Module):
    """MalConv behind its embedding: a convolution times the sigmoid of another, then the maximum over the file."""

    def __init__(self, rectified):
        super().__init__()
        self.value, self.gate, self.fc = nn.Conv1d(4, 6, 3), nn.Conv1d(4, 6, 3), nn.Linear(6, 1)
        self.rectified = rectified

    def forward(self, x):
        value = F.relu(self.value(x)) if self.rectified else self.value(x)
        return self.fc((value * torch.sigmoid(self.gate(x))).amax(-1))


class MalConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rest = nn.Embedding(257, 4), Gated(rectified=True)

    def forward(self, ids):
        return self.rest(self.embed(ids).transpose(1, 2))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.out = kind(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


class Residual(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.first, self.block, self.less, self.last = (nn.Linear(*sizes) for sizes in ((3, 6), (6, 6), (6, 6), (6, 1)))
        self.end = end

    def forward(self, x):
        h = torch.tanh(self.first(x))
        h = h + torch.tanh(self.block(h))
        return self.end(self.last(h - torch.tanh(self.less(h))))


class Names(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form
        self.table = nn.Embedding(9, 6) if form == "rows" else nn.EmbeddingBag(9, 6, mode="sum")
        self.out = nn.Linear(6, 1)

    def forward(self, ids, presence=None):
        if self.form == "rows":
            return self.out(torch.tanh((self.table(ids) * presence[:, :, None]).sum(1)))
        return self.out(torch.tanh(self.table(ids, per_sample_weights=presence)))


class OwnWeights(nn.Module):
    """Parameters of its own: a masked matrix, a scale, a divisor."""

    def __init__(self):
        super().__init__()
        self.w, self.scale, self.temperature = (
            nn.Parameter(t) for t in (torch.randn(3, 4), torch.ones(4), torch.tensor(2.0))
        )
        self.register_buffer("mask", torch.tensor([[1.0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0]]))

    def forward(self, x):
        return (torch.tanh(x @ (self.w * self.mask)) * self.scale / self.temperature).sum(-1, keepdim=True)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.rnn = nn.Linear(3, 1), nn.LSTM(3, 3)

    def forward(self, x):
        return self.layer(x) if x.sum() > 0 else -self.layer(x)


def ordinary():
    return nn.Sequential(
        nn.Linear(3, 8),
        nn.BatchNorm1d(8),
        nn.GELU(),
        nn.LayerNorm(8),
        nn.Dropout(),
        nn.Linear(8, 2),
        nn.Softmax(dim=-1),
    )


def twice(layer):
    """The same activation object in two places."""
    return nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 4), layer, nn.Linear(4, 1))


X3, X4, BYTES, IDS, HERE = (
    torch.rand(2, 3),
    torch.rand(2, 4, 3),
    torch.rand(2, 4, 9),
    torch.randint(0, 9, (2, 4)),
    torch.rand(2, 4),
)


def c(name, constraint):
    return f'isotone.constrain(model, "{name}", isotone.{constraint})'


def new(path, module):
    return f'model.set_submodule("{path}", {module})'


RISE, FALL = "NonNegative()", "NonPositive()"
# fmt: off
PLANS = [
    # model, directions, inputs; its lines; what stays to be done by hand; the verdict after the lines; why
    (Functional, (1, -1, 0), None,
     [c("fc1.weight", "Sign((1, -1, 0))"), c("fc2.weight", RISE), c("out.weight", RISE)], [], PROVED,
     "the first layer takes the directions, the others what the first makes of them"),
    (Functional, (-1, -1, -1), None, [c("fc1.weight", FALL), c("fc2.weight", RISE), c("out.weight", RISE)], [], PROVED,
     "inputs that all fall: only the first layer turns them"),
    (Functional, 0, None, [], [], PROVED, "nothing moves, so nothing is needed"),
    (ordinary, (1, 1, -1), None,
     [new("2", "isotone.nn.Saturating(above=True)"), new("3", "torch.nn.Identity()"), new("6", "torch.nn.Identity()"),
      new("5", "torch.nn.Linear(8, 1)"), c("0.weight", "Sign((1, 1, -1))"), c("1.weight", RISE), c("5.weight", RISE)], [], PROVED,
     "batch norm is held, GELU, LayerNorm and the two-logit softmax are replaced"),
    (lambda: Formula(lambda x, a, b: F.softmax(b(torch.tanh(a(x))), dim=1), nn.Linear(3, 8), nn.Linear(8, 2)), 1, X3,
     [c("parts.0.weight", RISE), c("parts.1.weight", RISE)], ["head softmax"], REFUTED,
     "a softmax in forward can only be taken out by its author"),
    (lambda: Formula(lambda x, a: F.log_softmax(a(x), dim=1), nn.Linear(3, 4)), 1, X3,
     [c("parts.0.weight", RISE)], ["head log_softmax"], REFUTED, "four classes under a softmax cannot all rise"),
    (WideAndDeep, (0,) * 4 + (1,) * 10, None, [c("head.weight", "Sign((0,) * 6 + (1,) * 10)")], [], PROVED,
     "a branch that sees free inputs only stays as it is, GELU and LayerNorm too"),
    (lambda: Gated(rectified=False), 1, BYTES, [c("value.weight", RISE), c("gate.weight", RISE), c("fc.weight", RISE)], ["replace mul"], REFUTED,
     "a gate times a value that may be negative"),
    (lambda: Gated(rectified=True), 1, BYTES, [c("value.weight", RISE), c("gate.weight", RISE), c("fc.weight", RISE)], [], PROVED,
     "a gate times a value of at least 0"),
    (MalConv, 1, torch.randint(0, 257, (2, 9)),
     [c("embed.weight", RISE), c("rest.value.weight", RISE), c("rest.gate.weight", RISE), c("rest.fc.weight", RISE)], ["inputs embed"], None,
     "bytes have no order"),
    (lambda: Recurrent(nn.LSTM), 1, X4, [c("out.weight", RISE)], ["replace LSTM"], REFUTED, "gates of an LSTM forget"),
    (lambda: Recurrent(nn.GRU), 1, X4, [c("out.weight", RISE)], ["replace GRU"], REFUTED, "gates of a GRU forget"),
    (lambda: Recurrent(nn.RNN), 1, X4, [c("rnn.weight_ih_l0", RISE), c("rnn.weight_hh_l0", RISE), c("out.weight", RISE)], [], PROVED,
     "a plain recurrence has no gates"),
    (lambda: Residual(nn.Identity()), 1, X3,
     [c("first.weight", RISE), c("block.weight", RISE), c("less.weight", FALL), c("last.weight", RISE)], [], PROVED,
     "what is subtracted is made to fall"),
    (lambda: Residual(lambda logit: 1 - torch.sigmoid(logit)), 1, X3,
     [c("first.weight", RISE), c("block.weight", RISE), c("less.weight", FALL), c("last.weight", FALL)], [], PROVED,
     "the score is one minus the probability of being benign"),
    (lambda: Names("ids"), 1, IDS, [c("table.weight", RISE), c("out.weight", RISE)], ["inputs table"], None, "ids of names have no order"),
    (lambda: Names("bag"), (0, 1), (IDS, HERE), [c("table.weight", RISE), c("out.weight", RISE)], [], PROVED, "presences in a bag"),
    (lambda: Names("rows"), (0, 1), (IDS, HERE), [c("table.weight", RISE), c("out.weight", RISE)], [], PROVED, "presences times rows"),
    (OwnWeights, 1, X3, [c("w", RISE), c("scale", RISE), c("temperature", "Between(low=0.001)")], [], PROVED,
     "weights that no layer holds, one of them a divisor"),
    (lambda: Formula(lambda x, a: a(torch.tanh(F.linear(x, F.softplus(torch.eye(3))))), nn.Linear(3, 1)), 1, X3, [c("parts.0.weight", RISE)], [], PROVED,
     "weights that softplus has made positive need nothing"),
    (lambda: nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 1)), 1, None, [c("0.weight", RISE), c("1.weight", RISE), c("2.weight", RISE)], [], PROVED,
     "the slope of a PReLU may turn"),
    (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), (1, -1, 0), X3, [c("0.weight", "Sign((1, 1, 0))"), c("1.weight", "Sign((1, -1, 0))")], [], PROVED,
     "a batch norm in front keeps the directions"),
    (lambda: twice(nn.GELU()), 1, None,
     [new("1", "isotone.nn.Saturating(above=True)"), new("3", "isotone.nn.Saturating(above=True)"), c("0.weight", RISE), c("2.weight", RISE), c("4.weight", RISE)],
     [], PROVED, "a shared activation is replaced in all its places"),
    (lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.Softsign(), nn.Flatten(), nn.Linear(9, 1)), torch.tensor([[1], [-1]]), torch.rand(2, 2, 5),
     [new("1", "isotone.nn.Saturating(above=True)"), c("0.weight", "Sign((1, -1), dim=1)"), c("3.weight", RISE)], [], PROVED,
     "a direction per channel"),
    (lambda: Formula(lambda x, a: a(torch.cos(x)), nn.Linear(3, 1)), 1, X3, [c("parts.0.weight", RISE)], ["replace cos"], REFUTED, "a wave"),
    (lambda: Formula(lambda x, a: F.silu(a(x)), nn.Linear(3, 1)), 1, X3, [c("parts.0.weight", RISE)], ["replace silu"], REFUTED, "an activation in forward"),
    (lambda: Formula(lambda x, a: a(x * x), nn.Linear(3, 1)), 1, X3, [c("parts.0.weight", RISE)], ["replace mul"], REFUTED, "a square, written as a product"),
    (lambda: Formula(lambda x, m: (x * m).sum(1) / m.sum(1)), (0, 1), (X3, torch.ones(2, 3)), [], ["replace mul", "replace div"], REFUTED, "a mean over a mask that grows"),
    (lambda: Formula(lambda q, a: (torch.softmax(a(q) @ q.mT, -1) @ q).sum((1, 2)), nn.Linear(3, 3)), 1, X4, [c("parts.0.weight", RISE)],
     ["replace matmul", "replace softmax"], REFUTED, "attention by hand"),
    (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1, torch.rand(2, 3, 4), [c("linear1.weight", RISE), c("linear2.weight", RISE)],
     ["replace MultiheadAttention", "replace LayerNorm", "replace LayerNorm"], REFUTED, "a norm whose eps another module reads is no line's to swap"),
    (lambda: Formula(lambda x: -x), 1, X3, [], ["head "], REFUTED, "there is no weight to turn it"),
    (lambda: Formula(lambda x: x @ torch.tensor([[1.0], [-1.0], [2.0]])), 1, X3, [], ["replace matmul"], REFUTED, "fixed weights of both signs"),
    (lambda: Formula(lambda x, a: a(x) - a(2 * x), nn.Linear(3, 1)), 1, X3, [c("parts.0.weight", RISE)], ["replace parts.0", "replace sub"], REFUTED,
     "one weight that would need both signs"),
    (lambda: Formula(lambda x, a: a(x) + x, nn.Linear(3, 3)), (1, -1, 0), X3, [c("parts.0.weight", "Sign((1, -1, 0))")], ["replace add"], REFUTED,
     "a skip past the layer that turns the falling input"),
    (lambda: Formula(lambda x: torch.special.i0(x).sum(1)), 1, X3, [], ["replace i0"], REFUTED, "an operation without a rule"),
    (Branching, 1, X3, [], ["replace forward", "replace LSTM"], REFUTED, "no graph"),
]
# fmt: on


def made(make):
    torch.manual_seed(0)
    return make()


# A plan takes three traces: rows that say with another operation what a row above says run with the slow tests.
LONG = {
    "gates of a GRU forget",
    "a norm whose eps another module reads is no line's to swap",
    "a plain recurrence has no gates",
    "inputs that all fall: only the first layer turns them",
    "four classes under a softmax cannot all rise",
    "presences in a bag",
    "ids of names have no order",
    "an activation in forward",
    "a square, written as a product",
    "the slope of a PReLU may turn",
    "weights that softplus has made positive need nothing",
    "attention by hand",
    "what is subtracted is made to fall",
    "a gate times a value of at least 0",
}


def rows(kept):
    return [pytest.param(row, id=row[-1], marks=[pytest.mark.slow] * (row[-1] in LONG)) for row in PLANS if kept(row)]


each_plan = pytest.mark.parametrize("row", rows(lambda row: True))
each_proof = pytest.mark.parametrize("row", rows(lambda row: row[-2] is PROVED))


@functools.cache
def planned(make, directions):
    return suggest(made(make), directions)


@pytest.fixture(scope="module")
def plans():
    """Each plan is made once."""
    found = {}

    def plan(row):
        make, directions, inputs, *_, why = row
        if why not in found:
            model = made(make)
            found[why] = (model, suggest(model, directions, inputs))
        return found[why]

    return plan


@each_plan
def test_the_plan_and_its_verdict(row, plans):
    _, plan = plans(row)
    *_, lines, by_hand, verdict, _ = row
    assert list(plan.lines) == lines
    assert [next((h for h in by_hand if f"{s.kind} {s.where}".startswith(h)), s) for s in plan.by_hand] == by_hand
    assert (None if plan.certificate is None else plan.verdict) is verdict
    assert all(step.why and (step.lines or step.do) for step in plan.steps)


@each_proof
def test_pasting_the_code_gives_the_proof_that_was_printed(row, plans):
    """The lines are tried as data; here they are run as text, on the model itself."""
    make, directions, inputs, *_ = row
    _, plan = plans(row)
    model = made(make)
    exec(plan.code, {"model": model, "torch": torch, "isotone": isotone})
    assert all(value == 0 for value in isotone.violations(model).values())
    if plan.certificate.valid_for(model.eval()):
        return  # to the bit the copy that was certified
    example = inputs if inputs is not None else torch.zeros(2, 14 if make is WideAndDeep else 3)
    assert certify(model, example, directions, budget=50).verdict is PROVED


@each_plan
def test_a_plan_reads_in_eighty_columns(row, plans):
    _, plan = plans(row)
    text = str(plan)
    assert max(map(len, text.splitlines())) <= 80
    for step in plan.steps:
        assert " ".join(step.why.split()) in " ".join(text.split())
    assert ("PROVED" in text) == (plan.certificate is not None and plan.certificate.verdict is PROVED)


@each_plan
def test_a_proof_that_is_printed_holds_for_other_weights(row, plans):
    _, plan = plans(row)
    if plan.verdict is PROVED:
        assert plan.at_random_weights.verdict is PROVED
    else:
        assert plan.at_random_weights is None


def everything(model):
    """What may not change: tensors by identity and to the bit, versions, modes, hooks, constraints, attributes."""
    tensors = [
        (n, id(t), t._version, t.detach().clone()) for n, t in [*model.named_parameters(), *model.named_buffers()]
    ]
    modules = [
        (
            path,
            id(m),
            m.training,
            sorted(vars(m)),
            len(m._forward_hooks),
            len(m._forward_pre_hooks),
            len(m._load_state_dict_post_hooks),
        )
        for path, m in model.named_modules()
    ]
    return tensors, modules, isotone.constraints_of(model), torch.random.get_rng_state()


def held():
    return isotone.nn.MonotoneMLP(3, (4,))


@pytest.mark.parametrize("make", [ordinary, WideAndDeep, Branching, held])
def test_the_model_is_not_touched(make):
    model = made(make)
    directions = (0,) * 4 + (1,) * 10 if make is WideAndDeep else 1
    before = everything(model)
    suggest(model, directions)
    after = everything(model)
    for (name, place, version, old), (name2, place2, version2, now) in zip(before[0], after[0], strict=True):
        assert (name, place, version) == (name2, place2, version2)
        assert torch.equal(old, now)
    assert before[1:3] == after[1:3]
    assert torch.equal(before[3], after[3])


def test_a_plan_is_a_value():
    plan = planned(Functional, 1)
    assert isinstance(plan, Suggestion)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.steps = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.steps[0].why = ""
    assert copy.deepcopy(plan.steps) == plan.steps


def test_where_and_why_are_said():
    step = planned(Functional, (1, -1, 0)).steps[0]
    assert step == Step(
        "constrain",
        step.where,
        "it meets the inputs: each column takes the sign of its input's direction; a column of a free input stays free",
        "",
        (Hold("fc1.weight", isotone.Sign((1, -1, 0))),),
    )
    assert step.where.startswith("fc1 (test_suggesting.py:")


def test_the_reason_against_two_logits_is_said():
    text = " ".join(str(planned(ordinary, 1)).split())
    assert "a softmax over two logits: the benign logit rises too" in text
    assert "BCEWithLogitsLoss" in text


def test_dead_units_do_not_free_the_layer_after_them():
    """A unit whose weights are all cut to 0 moves nothing now; after training it may."""
    model = made(Functional)
    with torch.no_grad():
        model.fc1.weight.neg_().clamp_(max=-0.1)
    plan = suggest(model, 1)
    assert plan.lines[1] == c("fc2.weight", RISE)
    assert plan.at_random_weights.verdict is PROVED


def test_a_proof_that_hangs_on_present_weights_says_so():
    """A factor that the model computes from parameters which no line holds: positive now."""

    class Lucky(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.power = nn.Linear(3, 1), nn.Parameter(torch.ones(16))

        def forward(self, x):
            return self.layer(x) * self.power.amin()

    plan = suggest(made(Lucky), 1, X3)
    assert plan.verdict is PROVED
    assert plan.at_random_weights.verdict is not PROVED
    assert "but for its present weights only" in " ".join(str(plan).split())


NOTES = [
    # model                              directions  says
    (Functional, 1, "relu alone the score is a convex function"),
    (Functional, 1, "call isotone.initialize_(model) after them"),
    (Functional, 1, "of the 96 weights they hold: train on afterwards"),
    (Functional, 0, "No input that moves reaches the score: the claim is empty."),
    (
        lambda: nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()),
        1,
        "training with BCEWithLogitsLoss is steadier than sigmoid and BCELoss",
    ),
    (lambda: nn.Linear(3, 2), 1, "Each of the 2 outputs is made to rise by itself"),
    (WideAndDeep, (0,) * 4 + (1,) * 10, "These see free inputs only and need nothing: deep.0, deep.3."),
    (held, 1, "Held as they should be already: layers.0.weight, layers.2.weight."),
]


@pytest.mark.parametrize(("make", "directions", "says"), NOTES, ids=[n[-1] for n in NOTES])
def test_notes(make, directions, says):
    assert any(says in note for note in planned(make, directions).notes)


def test_no_hint_of_convexity_where_the_activations_saturate_or_turn():
    saturating = lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))  # noqa: E731
    for make in (saturating, lambda: Residual(nn.Identity())):
        assert not any("convex" in note for note in suggest(made(make), 1, X3).notes)


def test_a_trained_mode_is_ended_by_the_code_after_training():
    assert planned(ordinary, 1).code.endswith("# Train, then:\nmodel.eval()")
    assert "eval" not in suggest(nn.Sequential(nn.Linear(3, 1), nn.Dropout()).eval(), 1).code
    assert "eval" not in planned(Functional, 1).code


def test_constraints_that_are_there_are_kept_or_replaced_aloud():
    model = made(Functional)
    isotone.constrain(model, "fc1.weight", isotone.Between(0.0, 1.0))
    isotone.constrain(model, "fc2.weight", isotone.Between(-1.0, 1.0))
    plan = suggest(model, 1)
    assert plan.lines == (
        'isotone.remove_constraint(model, "fc2.weight")',
        c("fc2.weight", RISE),
        c("out.weight", RISE),
    )
    assert "It is held in Between(low=-1.0, high=1.0) now; to keep both" in plan.steps[0].why
    assert any("already: fc1.weight" in note for note in plan.notes)
    assert plan.verdict is PROVED


def test_a_new_head_keeps_bias_and_dtype():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.LogSoftmax(dim=1)).double()
    plan = suggest(model, 1)
    assert new("0", "torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)") in plan.lines
    assert plan.verdict is PROVED


def test_a_domain_reaches_the_prover_and_the_guessed_example():
    model = Formula(lambda x, a: a(x * x), nn.Linear(3, 1))
    plan = suggest(model, 1, X3, domain=(0, None))
    assert plan.verdict is PROVED
    assert not plan.by_hand
    assert suggest(nn.Linear(3, 1), 1, domain=(1.0, 2.0)).verdict is PROVED
    assert suggest(nn.Linear(3, 1), 1, domain=isotone.Domain(-2.0, torch.tensor(-1.0))).verdict is PROVED


def lazy():
    return nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 1))


def no_copy():
    model = nn.Linear(3, 1)
    model.held = (n for n in range(3))
    return model


MISTAKES = [
    # model                       directions  inputs              the sentence says
    (lambda: len, 1, None, "model: builtin_function_or_method came; a torch.nn.Module would be right"),
    (lazy, 1, None, "'0.weight' is lazy and has no values yet; run one batch through the model first"),
    (no_copy, 1, None, r"it cannot be copied \(TypeError: .*\); suggest tries its plan on a copy"),
    (MalConv, 1, None, "inputs: none came, and the first layer is Embedding; an example batch would be right"),
    (nn.ReLU, 1, None, "the first layer is missing: the model has no weights"),
    (lambda: nn.Bilinear(3, 3, 1), 1, None, "inputs: none came, and the model takes 2 inputs"),
    (Functional, (1, 1), None, r"inputs: the model does not take the example \(RuntimeError"),
    (Functional, 1, torch.rand(2, 5), "one example batch, or a tuple with one tensor per input, would be right"),
    (Functional, (1, 2, 0), None, r"directions\[0\]: other numbers came"),
]


@pytest.mark.parametrize(("make", "directions", "inputs", "says"), MISTAKES, ids=[m[-1] for m in MISTAKES])
def test_a_question_that_does_not_fit_is_refused(make, directions, inputs, says):
    with pytest.raises(BadInput, match=says):
        suggest(make(), directions, inputs)


def test_lines_that_do_not_run_together_are_not_checked_and_that_is_said():
    class Fussy(nn.Module):
        """Each of its two activations may go, but not both."""

        def __init__(self):
            super().__init__()
            self.a, self.b, self.layer = nn.GELU(), nn.GELU(), nn.Linear(3, 1)

        def forward(self, x):
            if not isinstance(self.a, nn.GELU) and not isinstance(self.b, nn.GELU):
                raise RuntimeError("fussy")
            return self.layer(self.b(self.a(x)))

    plan = suggest(made(Fussy), 1, X3)
    assert plan.verdict is UNKNOWN
    assert plan.certificate is None
    assert "not checked. certify declined: inputs: the model does not take" in " ".join(str(plan).split())


SETS = [
    # signs                       set
    ([[1, 1], [1, 1]], isotone.NonNegative()),
    ([[-1, -1]], isotone.NonPositive()),
    ([[1, -1], [1, -1]], isotone.Sign((1, -1))),
    ([[1, 1], [0, 0]], isotone.Sign((1, 0), dim=0)),
    ([[1, 0], [0, 1]], isotone.NonNegative()),
    ([[-1, 0], [0, -1]], isotone.NonPositive()),
    ([[1, -1], [-1, 1]], None),
]


@pytest.mark.parametrize(("signs", "expected"), SETS, ids=[str(s) for s, _ in SETS])
def test_the_plainest_set_for_signs(signs, expected):
    signs = torch.tensor(signs)
    found = set_for(signs)
    assert found == expected
    if found is not None:
        assert implies(found, signs)
        assert not implies(found, -signs)


@pytest.mark.slow
@each_proof
def test_the_pasted_code_is_certified_again_from_the_outside(row):
    make, directions, inputs, *_ = row
    model = made(make)
    example = inputs if inputs is not None else torch.zeros(2, 14 if make is WideAndDeep else 3)
    exec(suggest(model, directions, inputs).code, {"model": model, "torch": torch, "isotone": isotone})
    assert certify(model.eval(), example, directions).verdict is PROVED
