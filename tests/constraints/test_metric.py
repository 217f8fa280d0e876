"""The metric of an optimizer's step, and the nearest points in it."""

from __future__ import annotations

import copy

import pytest
import sklearn.isotonic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isotone import Increasing, L1Ball, MaxNorm, Simplex, UnitNorm, constrain, violations
from isotone.constraints._metric import METRICS, metric_of

# fmt: off
OPTIMIZERS = [
    # make                     settings                                  what it divides by, up to a factor
    (torch.optim.Adam,         {},                                       "a second moment"),
    (torch.optim.Adam,         {"amsgrad": True},                        "the largest second moment"),
    (torch.optim.Adam,         {"betas": (0.0, 0.5), "eps": 0.3},        "an eps that matters"),
    (torch.optim.AdamW,        {"weight_decay": 0.0},                    "as Adam"),
    (torch.optim.NAdam,        {},                                       "as Adam"),
    (torch.optim.RAdam,        {"betas": (0.0, 0.9)},                    "as Adam, once that is safe"),
    (torch.optim.Adagrad,      {"eps": 0.3},                             "a sum of squares"),
    (torch.optim.RMSprop,      {"eps": 0.3},                             "an average of squares"),
    (torch.optim.RMSprop,      {"centered": True},                       "a variance"),
    (torch.optim.Adamax,       {"eps": 0.3},                             "the largest gradient"),
]
# fmt: on


@pytest.mark.parametrize(("make", "how", "why"), OPTIMIZERS, ids=[f"{m.__name__}: {why}" for m, _, why in OPTIMIZERS])
@pytest.mark.parametrize("steps", [1, 3, 12])
def test_a_step_is_the_first_moment_over_the_metric(make, how, why, steps):
    """Without momentum the step is gradient / metric, up to one factor for all entries: read off what it moved."""
    how = dict(how)
    if "betas" in how or make in {torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.Adamax}:
        how["betas"] = (0.0, how.get("betas", (0.0, 0.9))[1])
    torch.manual_seed(0)
    w = nn.Parameter(torch.zeros(7, dtype=torch.float64))
    optimizer = make([w], **{"lr": 0.1} | how)
    for _ in range(steps):
        before = w.detach().clone()
        w.grad = torch.randn(7, dtype=torch.float64) * torch.logspace(-2, 2, 7, dtype=torch.float64)
        optimizer.step()
    metric = metric_of(optimizer, optimizer.param_groups[0], w)
    per_entry = w.grad / (before - w.detach()) / metric
    torch.testing.assert_close(per_entry, per_entry[:1].expand(7), rtol=1e-6, atol=0)


def test_every_metric_has_a_row():
    assert {make.__name__ for make, *_ in OPTIMIZERS} | {"SparseAdam"} == set(METRICS)


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.ASGD, torch.optim.Adadelta])
def test_others_have_none(make):
    w = nn.Parameter(torch.ones(3))
    optimizer = make([w])
    w.grad = torch.tensor([1.0, 2.0, 3.0])
    optimizer.step()
    assert metric_of(optimizer, optimizer.param_groups[0], w) is None


def test_what_has_not_been_stepped_has_none():
    w = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([w])
    optimizer.step()
    assert metric_of(optimizer, optimizer.param_groups[0], w) is None


class Own(torch.optim.Adam):
    """Keeps its state under names of its own."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["mine"] = torch.zeros_like(p)


def test_a_subclass_with_a_state_of_its_own_has_none():
    w = nn.Parameter(torch.ones(3))
    optimizer = Own([w])
    optimizer.step()
    assert metric_of(optimizer, optimizer.param_groups[0], w) is None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), spread=st.floats(0, 6), radius=st.floats(0.01, 3))
def test_the_nearest_points_of_the_ball_and_the_sphere_are_stationary(seed, spread, radius):
    torch.manual_seed(seed)
    y = torch.randn(4, 6, dtype=torch.float64)
    d = 10.0 ** (torch.rand(4, 6, dtype=torch.float64) * spread)
    for x in (MaxNorm(radius, dim=-1).project(y, d), radius * UnitNorm(dim=-1).project(y / radius, d)):
        force = d * (y - x)  # at the wall it must point along x, or there must be none
        along = (force * x).sum(1, keepdim=True) / x.square().sum(1, keepdim=True)
        size = (d * y).abs().amax(1, keepdim=True)
        assert bool(((force - along * x).abs() <= 1e-6 * size).all())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), spread=st.floats(0, 6))
def test_the_nearest_points_of_simplex_and_l1_ball_are_stationary(seed, spread):
    torch.manual_seed(seed)
    y = torch.randn(4, 6, dtype=torch.float64)
    d = 10.0 ** (torch.rand(4, 6, dtype=torch.float64) * spread)
    x = Simplex(dim=-1).project(y, d)
    force = d * (y - x)
    on = x > 0
    level = torch.where(on, force, -torch.inf).amax(1, keepdim=True)
    size = (d * y).abs().amax(1, keepdim=True)
    assert bool(((force - level).abs() <= 1e-9 * size)[on].all()), "equal on the support"
    assert bool((force - level <= 1e-9 * size).all()), "and no higher elsewhere"
    ball = L1Ball(1.0, dim=-1).project(y, d)
    long = y.abs().sum(1) > 1
    torch.testing.assert_close(ball[long].abs(), Simplex(dim=-1).project(y.abs(), d)[long], rtol=1e-9, atol=1e-12)
    assert bool(((ball == 0) | (ball.sign() == y.sign())).all())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 40), weighted=st.booleans(), ties=st.booleans())
def test_sequences_are_those_of_scikit_learn(seed, n, weighted, ties):
    torch.manual_seed(seed)
    y = torch.randn(3, n, dtype=torch.float64)
    y = y.round(decimals=0) if ties else y
    d = torch.rand(3, n, dtype=torch.float64) + 0.01
    x = Increasing().project(y, d if weighted else None)
    for row, right, weights in zip(x, y, d, strict=True):
        theirs = sklearn.isotonic.isotonic_regression(
            right.numpy(), sample_weight=weights.numpy() if weighted else None
        )
        torch.testing.assert_close(row, torch.from_numpy(theirs), rtol=1e-12, atol=1e-12)


def test_a_metric_of_ones_is_the_plain_projection():
    w = torch.linspace(-2, 3, 12, dtype=torch.float64).reshape(3, 4)
    for constraint in (MaxNorm(1.0, dim=-1), UnitNorm(dim=-1), Simplex(dim=-1), L1Ball(1.0, dim=-1), Increasing()):
        torch.testing.assert_close(
            constraint.project(w, torch.ones_like(w)), constraint.project(w), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("constraint", [MaxNorm(1.0), Simplex(), L1Ball(1.0)])
def test_the_euclidean_projection_can_be_asked_for(constraint):
    ends = []
    for metric in ("optimizer", "euclidean"):
        torch.manual_seed(0)
        net = nn.Linear(3, 2)
        constrain(net, "weight", constraint, metric=metric)
        optimizer = torch.optim.Adam(net.parameters(), 0.1)
        for _ in range(20):
            optimizer.zero_grad()
            (net.weight - torch.tensor([3.0, 1.0, -0.5])).square().sum().backward()
            optimizer.step()
        ends.append(net.weight.detach().clone())
    assert float((ends[0] - ends[1]).abs().max()) > 0.05


@pytest.mark.parametrize("tiny", [0.0, 1e-300, 1e-40, 1e-20, 1e-8])
@pytest.mark.parametrize("constraint", [MaxNorm(1.0, dim=-1), UnitNorm(dim=-1), Simplex(dim=-1), L1Ball(1.0, dim=-1)])
def test_tiny_entries_where_the_metric_is_smallest_do_no_harm(constraint, tiny):
    w = torch.tensor([[tiny, 0.8, 0.9]], dtype=torch.float64)
    x = constraint.project(w, torch.tensor([[0.1, 1.0, 1.0]], dtype=torch.float64))
    assert float(constraint.violation(x)) == 0.0
    assert float(x[0, 0]) <= 10 * tiny
    assert float(x[0, 2]) > float(x[0, 1]) > 0.3


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "NAdam", "RAdam", "Adagrad", "RMSprop", "Adamax"])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 300.0), (torch.bfloat16, 1e20), (torch.float32, 1e25)])
@pytest.mark.parametrize("constraint", [MaxNorm(0.5), UnitNorm(), Increasing(dim=1), Simplex()], ids=repr)
def test_gradients_whose_squares_overflow_lead_no_weight_out_of_the_numbers(kind, dtype, size, constraint):
    torch.manual_seed(0)
    layer = nn.Linear(4, 2, bias=False, dtype=dtype)
    free = copy.deepcopy(layer)
    constrain(layer, "weight", constraint)
    for module in (layer, free):
        settings = {} if kind == "Adagrad" else {"eps": 1e-4}  # 1e-8 is 0 in float16
        optimizer = getattr(torch.optim, kind)(module.parameters(), lr=0.1, **settings)
        for _ in range(2):
            module.weight.grad = size * torch.tensor([[1.0, -1.0, 0.5, 0.2], [0.1, 1e-3, 1.0, 1.0]]).to(dtype)
            optimizer.step()
    assert bool(free.weight.isfinite().all())  # torch itself can make the step
    assert bool(layer.weight.isfinite().all())
    assert violations(layer) == {"weight": 0.0}


def test_a_fused_step_that_a_scaler_skips_leaves_weights_inside():
    layer = nn.Linear(4, 3, bias=False)
    constrain(layer, "weight", MaxNorm(0.5))
    nn.init.normal_(layer.weight)
    optimizer, scaler = torch.optim.AdamW(layer.parameters(), fused=True), torch.amp.GradScaler("cpu")
    scaler.scale(layer(torch.rand(2, 4)).sum() * torch.inf).backward()
    scaler.step(optimizer)
    assert violations(layer) == {"weight": 0.0}
