"""Boxes: bounds that hold, proofs that are right, and a dip that is not overlooked."""

# ruff: noqa: E501, PLR0917 (rows of a table)

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isotone.certify._capture import capture
from isotone.certify._facts import Refused
from isotone.certify._question import asked
from isotone.certify.boxes import split
from isotone.certify.boxes._curves import ROWS, Curve, Row, Steps, elu, power, softplus
from isotone.certify.boxes._evaluate import Evaluator
from isotone.certify.boxes._forms import Form
from isotone.certify.boxes._jets import Tape
from isotone.certify.boxes._split import _rows
from isotone.certify.boxes._tangents import TANGENTS

from .models import Formula

D = torch.float64


def asking(model, inputs, directions, domain):
    question = asked(inputs, directions, domain)
    traced = capture(model, question.inputs)
    signs = [torch.ones_like(o, dtype=D) for o in traced.run(question.inputs)]
    return traced, question, signs


def judged(f, domain=(0.0, 1.0), directions=+1, features=1, parts=(), seconds=3.0, **how):
    model = Formula(f, *parts).double().eval()
    low, high = (0.0 if b is None else b for b in domain)
    example = torch.full((2, features), 0.5 * low + 0.5 * high, dtype=D)
    return split(*asking(model, example, directions, domain), seconds=seconds, **how)


def net(activation, seed, features=3, width=12):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(features, width), activation, nn.Linear(width, width), activation, nn.Linear(width, 1)
    ).double()


def steep(activation, seed, lift):
    """A signed network, and enough of a linear part to make it rise."""
    inner = net(activation, seed)
    return Formula(lambda x, n: n(x) + lift * x.sum(-1, keepdim=True), inner)


# fmt: off
NETS = {
    # activation                     why it is here
    "relu":      nn.ReLU(),        # kinks
    "leaky":     nn.LeakyReLU(0.2),
    "hardtanh":  nn.Hardtanh(),    # flat parts
    "relu6":     nn.ReLU6(),
    "tanh":      nn.Tanh(),        # slopes without jumps
    "sigmoid":   nn.Sigmoid(),
    "softplus":  nn.Softplus(beta=2.0),
    "elu":       nn.ELU(),         # a slope with a kink
    "steep elu": nn.ELU(alpha=2.0),  # a slope with a jump
    "gelu":      nn.GELU(),        # falls before it rises
    "silu":      nn.SiLU(),
    "batchnorm": nn.Sequential(nn.BatchNorm1d(12), nn.Tanh()),
    "sine":      Formula(torch.sin),
    "maximum":   Formula(lambda x: torch.maximum(x, 0.3 * x)),
    "amax":      Formula(lambda x: torch.cat([x[:, :6], x.view(x.shape[0], 6, 2).amax(-1)], 1)),
    "product":   Formula(lambda x: torch.cat([x[:, :6] * x[:, 6:], x[:, 6:]], 1)),
    "quotient":  Formula(lambda x: x / (1 + x.abs())),
    "mean":      Formula(lambda x: x - x.mean(-1, keepdim=True)),
    "cube":      Formula(lambda x: x**3 - x**2),
}
# fmt: on


def evaluator(model, features=3, low=-1.0, high=1.0, directions=+1):
    traced, question, signs = asking(model, torch.zeros(2, features, dtype=D), directions, (low, high))
    rows, shapes = _rows(question, signs)
    return Evaluator(traced, rows[0][1], shapes)


@cache
def known(name, seed=0):
    model = net(NETS[name], seed).eval()
    return model, evaluator(model)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(sorted(NETS)), st.integers(0, 10**6))
def test_bounds_enclose_the_gradients_that_autograd_sees(name, seed):
    encloses(*known(name), seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_bounds_enclose_gradients_of_many_networks(name):
    for seed in range(20):
        encloses(*known(name, seed), seed)


def encloses(model, e, seed):
    """The smallest gradient at points of each box is above the lower bound; the largest of those is not below `high`."""
    random = torch.Generator().manual_seed(seed)
    centre = torch.rand(8, 3, dtype=D, generator=random) * 2 - 1
    half = 10.0 ** (torch.rand(8, 1, dtype=D, generator=random) * 5 - 5)
    lo, hi = (centre - half).clamp(-1, 1), (centre + half).clamp(-1, 1)
    bounds = e.run(lo, hi)
    u = torch.rand(64, 8, 3, dtype=D, generator=random)
    u = torch.where(u < 0.1, 0.0, torch.where(u > 0.9, 1.0, u))
    x = (lo + u * (hi - lo)).reshape(-1, 3).requires_grad_()
    y = model(x)
    slopes = torch.autograd.grad(y.sum(), x)[0].reshape(64, 8, 3)
    slack = 1e-9 * (1 + slopes.abs().amax())
    assert bool((slopes.amin((0, 2)) >= bounds.low - slack).all()), "a gradient escapes below"
    assert bool((slopes.amin(2) <= bounds.high + slack).any(0).all()), "the upper bound is below what is seen"
    assert bool(torch.isfinite(bounds.low).all())


def test_small_boxes_give_tight_bounds():
    """Encloses is not enough: the width must vanish, and with the square of the box for smooth activations."""
    e = evaluator(net(nn.Tanh(), 0))
    x = torch.zeros(1, 3, dtype=D)
    gaps = []
    for half in (1e-2, 1e-3):
        at = e.run(x, x)
        corner = torch.full_like(x, half)
        low = e.run(x - corner, x + corner).low
        gaps.append(float(at.low - low))
    assert 0 < gaps[1] < 0.2 * gaps[0] < 0.2


# fmt: off
UNARY = {
    **ROWS,
    "softplus": softplus(1.5, 20.0), "elu": elu(1.0, 1.0, 1.0), "elu of 2": elu(2.0, 1.0, 1.0), "selu": elu(1.67, 1.05, 1.0),
    "cube": power(3), "fourth": power(4), "fifth": power(5),
}
LIARS = {
    # the lie                                the row
    "relu of slope 1 everywhere":       Row(Curve(torch.relu), Steps((), (1.0,))),
    "tanh said to be convex":           Row(Curve(torch.tanh), ROWS["tanh"].slope, Steps((), (1.0,))),
    "tanh with a hump below 1":         Row(Curve(torch.tanh), Curve(lambda x: torch.cosh(x) ** -2), ROWS["tanh"].bend),
    "silu said to increase":            Row(Curve(F.silu), Curve(torch.sigmoid), Curve(lambda x: 0 * x)),
    "sigmoid said to stay below 1/2":   Row(Curve(torch.sigmoid, high=0.5), ROWS["sigmoid"].slope, ROWS["sigmoid"].bend),
    "abs without its valley":           Row(Curve(torch.abs), Steps((0.0,), (-1.0, 1.0))),
    "sine with the slope of sine":      Row(ROWS["sin"].value, ROWS["sin"].value, ROWS["sin"].bend),
}
# fmt: on


def check(row, seeds=range(30)):
    """Values and secants at points of random boxes are inside what the row says of them."""
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        low = (torch.rand(40, 1, dtype=D, generator=random) * 2 - 1) * 4
        wide = 10.0 ** (torch.rand(40, 1, dtype=D, generator=random) * 4 - 3)
        low = low.abs() + 0.01 if row.inside == 0.0 else low
        high = (low + wide).clamp(max=12.0)
        middle, half = (low + high) / 2, (high - low) / 2 * (1 + 1e-15)
        one = torch.ones(1, 40, 1, dtype=D)
        value = Form(middle, half[None], torch.zeros_like(low), low, high)
        zero = torch.zeros_like(one)
        tape = Tape(40)
        jet = tape.apply(row, tape.leaf(value, Form(one, None, zero, one, one, 2)))
        e = torch.rand(40, 200, dtype=D, generator=random) * 2 - 1
        e = torch.where(e.abs() > 0.95, e.sign(), e)
        x = middle + half * e
        y = row.value.f(x)
        size = 1e-9 * (1 + y.abs().amax())
        v = jet.value
        assert bool(((y >= v.lo - size) & (y <= v.hi + size)).all()), "a value escapes its interval"
        off = (y - v.c - v.a[0] * e).abs()
        assert bool((off <= v.r + size).all()), "a value escapes its form"
        # Secants lie in the interval of slopes; over a tiny step they are the slope where they are taken.
        x2 = middle + half * torch.rand(40, 200, dtype=D, generator=random)
        apart = (x2 - x).abs() > 1e-4
        secant = torch.where(apart, (row.value.f(x2) - y) / torch.where(apart, x2 - x, 1.0), jet.slope.c[0])
        s = jet.slope
        room = 1e-7 * (1 + secant.abs().amax())
        assert bool(((secant >= s.lo[0] - room) & (secant <= s.hi[0] + room))[apart].all()), "a secant escapes"
        z = x.clone().requires_grad_()
        slope = torch.autograd.grad(row.value.f(z).sum(), z)[0]
        affine = 0.0 if s.a is None else s.a[0, 0] * e
        inner = e.abs() < 1
        assert bool(((slope - s.c[0] - affine).abs() <= s.r[0] + room)[inner].all()), "a slope escapes its form"


@pytest.mark.parametrize("name", UNARY)
def test_row_encloses_what_is_seen(name):
    check(UNARY[name])


@pytest.mark.parametrize("lie", LIARS)
def test_check_rejects_a_false_row(lie):
    with pytest.raises((AssertionError, Refused), match=r"escapes|crossed"):
        check(LIARS[lie])


def dip(width):
    """Rises by 1 everywhere but for a tent of slope -2 in the middle of one corner of four dimensions."""

    def f(x):
        far = (x - 0.7123).abs().sum(-1)
        return x[:, 0] - 3 * F.relu(width - far)

    return f


PROVED, REFUTED, UNKNOWN = "proved", "refuted", "unknown"
# fmt: off
VERDICTS = [
    # model                                    domain        verdict   why
    (lambda x: x[:, 0],                        (0, 1),       PROVED,   "the input itself"),
    (lambda x: -x[:, 0],                       (0, 1),       REFUTED,  "falls"),
    (lambda x: x[:, 0] * x[:, 0],              (-1, 1),      REFUTED,  "a square falls left of 0"),
    (lambda x: x[:, 0] * x[:, 0],              (0, 1),       PROVED,   "a square rises right of 0: its slope is 0 there exactly"),
    (lambda x: x[:, 0] ** 3 + 0.1 * x[:, 0],   (-1, 1),      PROVED,   "a cube rises"),
    (lambda x: (x - x**3 / 3.1)[:, 0],         (-1, 1),      PROVED,   "slope at least 1 - 3 / 3.1"),
    (lambda x: (x - x**3 / 2.9)[:, 0],         (-1, 1),      REFUTED,  "falls near both ends"),
    (lambda x: (x + 0.9 * torch.sin(x))[:, 0], (-9, 9),      PROVED,   "slope at least 0.1"),
    (lambda x: (x + 1.1 * torch.sin(x))[:, 0], (-9, 9),      REFUTED,  "falls near pi"),
    (lambda x: (x - x.relu() / 2)[:, 0],       (-1, 1),      PROVED,   "slope 1 or 1/2"),
    (lambda x: x.clamp(0.2, 0.4)[:, 0],        (0, 1),       PROVED,   "flat parts have slope 0 exactly"),
    (lambda x: torch.floor(x)[:, 0],           (0, 3),       UNKNOWN,  "jumps have no slopes"),
    (lambda x: x[:, 0],                        (0, None),    UNKNOWN,  "no bound above"),
    (lambda x: (x - x.mean(0))[:, 0],          (0, 1),       UNKNOWN,  "rows see each other"),
    (lambda x: x.flip(0)[:, 0],                (0, 1),       UNKNOWN,  "rows change places"),
    (lambda x: (x + torch.tensor([[0.0], [1.0]]) * x**2)[:, 0], (0, 1), UNKNOWN, "a constant differs from row to row"),
    (lambda x: x.T.reshape(x.shape)[:, 0],     (0, 1),       UNKNOWN,  "features stand where rows were"),
    (lambda x: (x * torch.full((1,), math.inf))[:, 0], (0, 1), UNKNOWN, "an infinite constant"),
    (lambda x: torch.exp(800 * x)[:, 0],       (0.9, 1),     UNKNOWN,  "overflows, so nothing is known"),
    (lambda x: x[:, 0].float().double(),       (0, 1),       UNKNOWN,  "rounds on the way"),
]
# fmt: on


@pytest.mark.parametrize(("f", "domain", "verdict", "why"), VERDICTS, ids=[why for *_, why in VERDICTS])
def test_verdict(f, domain, verdict, why):
    found = judged(f, domain)
    assert found.proved == (verdict == PROVED)
    assert bool(found.candidates) == (verdict == REFUTED)
    assert bool(found.reason) == (verdict != PROVED)
    for lower, upper in found.candidates[:1]:
        falls(Formula(f), lower, upper)


def falls(model, lower, upper):
    assert bool((lower[0] <= upper[0]).all())
    assert bool((lower[0] < upper[0]).any())
    with torch.no_grad():
        drop = model(lower[0]) - model(upper[0])
    assert float(drop.max()) > 1e-9


@pytest.mark.parametrize("width", [0.2, 0.02])
def test_a_narrow_dip_is_found_or_not_proved(width):
    found = judged(dip(width), features=3, seconds=5.0)
    assert not found.proved
    assert found.candidates
    falls(Formula(dip(width)), *found.candidates[0])


def test_a_dip_that_nobody_could_find_is_still_not_proved():
    found = judged(dip(1e-7), features=2, seconds=1.0)
    assert not found.proved
    assert found.worst < 0
    assert found.where is not None
    low, high = found.where
    assert bool((low[0] < high[0]).any())


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.GELU()], ids=["relu", "tanh", "gelu"])
def test_verdicts_on_signed_networks_agree_with_dense_sampling(activation):
    seen = set()
    for seed, lift in ((0, 0.05), (2, 0.3), (3, 0.02)):
        model = steep(activation, seed, lift)
        found = split(*asking(model, torch.zeros(2, 3, dtype=D), +1, (-1.0, 1.0)), seconds=4.0)
        x = (torch.rand(50_000, 3, dtype=D) * 2 - 1).requires_grad_()
        least = float(torch.autograd.grad(model(x).sum(), x)[0].min())
        assert not (found.proved and least < 0)
        if found.candidates:
            falls(model, *found.candidates[0])
        seen.add(PROVED if found.proved else REFUTED if found.candidates else UNKNOWN)
    assert PROVED in seen


def test_free_inputs_are_split_too_and_decreasing_ones_turn():
    f = lambda x: x[:, 0] * (x[:, 1] + 0.01) - x[:, 2]  # noqa: E731
    ways = torch.tensor([1.0, 0.0, -1.0])
    assert judged(f, directions=ways, features=3).proved
    assert not judged(f, (-1.0, 1.0), directions=ways, features=3).proved


def test_signs_say_which_score_must_not_rise():
    model = Formula(lambda x: torch.cat([x, -x], 1))
    traced, question, _ = asking(model, torch.zeros(2, 1), +1, (0.0, 1.0))
    for signs, proved in (([1.0, -1.0], True), ([1.0, 1.0], False), ([1.0, 0.0], True)):
        found = split(traced, question, [torch.tensor([signs] * 2, dtype=D)], seconds=5.0)
        assert found.proved is proved


def test_rows_with_different_questions_are_each_answered():
    model = Formula(lambda x: x[:, 0] ** 2)
    example = torch.tensor([[0.5], [-0.5]], dtype=D)
    low, high = torch.tensor([[0.0], [-1.0]], dtype=D), torch.tensor([[1.0], [0.0]], dtype=D)
    ways = torch.tensor([[1.0], [-1.0]])
    assert split(*asking(model, example, ways, (low, high)), seconds=5.0).proved
    found = split(*asking(model, example, +1, (low, high)), seconds=5.0)
    assert not found.proved
    lower, upper = found.candidates[0]
    assert torch.equal(lower[0][0], upper[0][0])
    assert lower[0][1] < upper[0][1]


# fmt: off
APART = [
    # model                  proved   why
    (lambda x: -x.flip(0),   False,   "the row that moves is read by the one that must not fall"),
    (lambda x: -x,           True,    "the row that must not fall does not move"),
]
# fmt: on


@pytest.mark.parametrize(("f", "proved", "why"), APART, ids=[why for *_, why in APART])
def test_what_moves_may_be_another_row_than_what_is_claimed(f, proved, why):
    traced, question, _ = asking(Formula(f), torch.full((2, 1), 0.5), torch.tensor([[1.0], [0.0]]), (0.0, 1.0))
    assert split(traced, question, [torch.tensor([[0.0], [1.0]], dtype=D)], seconds=2.0).proved is proved


# fmt: off
TINY = [
    # model                                      why its slope of less than 0 vanishes
    (lambda x: -(1e-320 * (1e-320 * x)),         "a constant is smaller than products can bear"),
    (lambda x: -(1e-200 * (1e-200 * (1e-200 * x))), "the centre and its radius underflow"),
    (lambda x: -(1e-200 * F.linear(F.linear(x, torch.full((1, 1), 1e-200, dtype=D)), torch.full((1, 1), 1e-200, dtype=D))), "so they do in layers"),
]
# fmt: on


@pytest.mark.parametrize(("f", "why"), TINY, ids=[why for _, why in TINY])
def test_a_slope_that_underflows_keeps_its_sign(f, why):
    assert not judged(f).proved


def test_a_tiny_domain_keeps_its_sign():
    # Along the second input the slope is -1e-400 x.
    assert not judged(lambda x: -(x[:, 0] * (x[:, 1] * 1e-200) * 1e-200), (0.0, 1e-310), features=2).proved


def test_the_same_call_gives_the_same_answer():
    first, second = (judged(dip(0.1), features=3) for _ in range(2))
    assert (first.boxes, first.worst) == (second.boxes, second.worst)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first.candidates[0], second.candidates[0], strict=True))


def test_progress_ends_with_the_whole_volume():
    said = []
    found = judged(lambda x: (x + 0.9 * torch.sin(3 * x) / 3)[:, 0], (-3, 3), progress=lambda *now: said.append(now))
    assert found.proved
    assert [done for done, *_ in said] == sorted(done for done, *_ in said)
    assert all(worst < 0 and 0 <= done < 1 for done, worst, _ in said)


def test_an_operator_without_a_rule_is_named():
    assert "aten.floor.default" in judged(lambda x: torch.floor(x)[:, 0]).reason


def test_whole_numbers_are_refused():
    model = Formula(lambda x: x[:, 0] * 2)
    found = split(*asking(model, torch.ones(2, 1, dtype=torch.long), +1, (0, 5)), seconds=1.0)
    assert not found.proved
    assert "whole numbers" in found.reason


# fmt: off
JUDGED = [
    # model                                     verdict   why
    (lambda x: torch.floor(3 * x)[:, 0],        PROVED,   "steps upwards"),
    (lambda x: -torch.floor(3 * x)[:, 0],       REFUTED,  "steps downwards"),
]
# fmt: on


@pytest.mark.parametrize(("f", "verdict", "why"), JUDGED, ids=[why for *_, why in JUDGED])
def test_what_has_no_slopes_goes_to_the_judge(f, verdict, why):
    def judge(low, high):
        # Knows the function only on boxes in which it does not step.
        a, b = (torch.floor(3 * t) for t in (low[0], high[0]))
        return bool((a == b).all()) or (verdict == PROVED and bool((b - a <= 1).all()))

    found = judged(f, judge=judge, seconds=5.0)
    assert found.proved == (verdict == PROVED)
    assert bool(found.candidates) == (verdict == REFUTED)


def test_a_judge_that_never_agrees_proves_nothing():
    found = judged(lambda x: torch.floor(x)[:, 0], judge=lambda low, high: False, seconds=1.0)
    assert not found.proved
    assert found.reason


def test_rows_that_see_each_other_are_not_put_into_one_box():
    """Both rows in the same box would look monotone: x - flip(x) is 0 there. In different boxes it is not."""
    seen = []

    def judge(low, high):
        seen.append(not torch.equal(low[0][0], low[0][1]))
        return float((high[0] - low[0]).max()) < 0.3

    judged(lambda x: (torch.floor(x) + x.flip(0))[:, 0], judge=judge, seconds=2.0)
    assert any(seen)


def test_every_tangent_names_an_operator_that_exists():
    for name in TANGENTS:
        _, packet, overload = name.split(".")
        assert getattr(getattr(torch.ops.aten, packet), overload)
