"""Steps and projections end at the constrained optimum, which cvxpy knows: constraints.md section 5.

The gradients are exact and the same at each step: noise would hide a wrong fixed point, so this is the worst case.
"""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone import constrain
from isotone.constraints import (
    Between,
    Constraint,
    Increasing,
    Intersection,
    L1Ball,
    MaxNorm,
    NonNegative,
    Simplex,
)

GAP = 1e-4  # of the objective, relative
FEATURES, ROWS = 8, 60


class Problem(NamedTuple):
    """A loss of the weights with its slope, in torch and for cvxpy."""

    loss: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    bend: float  # its largest curvature, compared with that of least squares
    told: Callable[[cp.Variable], cp.Expression]


def data(seed: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    # Inputs of unlike sizes: the more they differ, the more does the metric of an adaptive optimizer from the plain one.
    x = torch.randn(ROWS, FEATURES, dtype=torch.float64) * torch.logspace(-0.4, 0.4, FEATURES, dtype=torch.float64)
    return x, x @ torch.randn(FEATURES, dtype=torch.float64) + 0.3 * torch.randn(ROWS, dtype=torch.float64)


def least_squares() -> Problem:
    x, y = data()
    hessian, lean = x.T @ x / ROWS, x.T @ y / ROWS
    return Problem(
        lambda w: 0.5 * (x @ w - y).square().mean(),
        lambda w: hessian @ w - lean,
        1.0,
        lambda w: 0.5 * cp.sum_squares(x.numpy() @ w - y.numpy()) / ROWS,
    )


def logistic() -> Problem:
    x, y = data(4)
    y = y + 4 * torch.randn(ROWS, dtype=torch.float64)  # or the rows could be separated, with the optimum at infinity
    x = x * y.sign()[:, None]  # the label is part of the input: a row is right where its score is positive
    return Problem(
        lambda w: F.softplus(-(x @ w)).mean(),
        lambda w: -(x.T @ torch.sigmoid(-(x @ w))) / ROWS,
        0.25,
        lambda w: cp.sum(cp.logistic(-(x.numpy() @ w))) / ROWS,
    )


# fmt: off
PROBLEMS = {"least squares": least_squares(), "logistic regression": logistic()}
SETS = {
    # name                constraint                                       the same for cvxpy
    "non-negative":       (NonNegative(),                                  lambda w: [w >= 0]),
    "bounded":            (Between(-0.3, 0.4),                             lambda w: [w >= -0.3, w <= 0.4]),
    "ball":               (MaxNorm(0.7),                                   lambda w: [cp.norm(w) <= 0.7]),
    "simplex":            (Simplex(2.0),                                    lambda w: [w >= 0, cp.sum(w) == 2]),
    "L1 ball":            (L1Ball(1.2),                                    lambda w: [cp.norm1(w) <= 1.2]),
    "increasing":         (Increasing(),                                   lambda w: [cp.diff(w) >= 0]),
    "part of a ball":     (Intersection(NonNegative(), MaxNorm(0.7)),      lambda w: [w >= 0, cp.norm(w) <= 0.7]),
}
METHODS = {
    # name        make                  settings
    "SGD":        (torch.optim.SGD,     {"lr": 0.2}),
    "momentum":   (torch.optim.SGD,     {"lr": 0.05, "momentum": 0.9}),
    "Adam":       (torch.optim.Adam,    {"lr": 0.02}),
    "AdamW":      (torch.optim.AdamW,   {"lr": 0.02, "weight_decay": 0.0}),
    "NAdam":      (torch.optim.NAdam,   {"lr": 0.02}),
    "RAdam":      (torch.optim.RAdam,   {"lr": 0.02}),
    "Adagrad":    (torch.optim.Adagrad, {"lr": 0.2}),
    "RMSprop":    (torch.optim.RMSprop, {"lr": 0.01}),
    "Adamax":     (torch.optim.Adamax,  {"lr": 0.02}),
}
# fmt: on


@functools.cache
def best(problem: str, which: str | None) -> float:
    """The least loss, inside the set or anywhere."""
    w = cp.Variable(FEATURES)
    inside = SETS[which][1](w) if which else []
    task = cp.Problem(cp.Minimize(PROBLEMS[problem].told(w)), inside)
    task.solve(solver="CLARABEL", tol_gap_rel=1e-8)
    assert task.status == "optimal"
    return float(task.value)


def trained(
    problem: Problem,
    constraint: Constraint,
    method: tuple[Any, dict[str, Any]],
    least: float,
    *,
    most: int = 4000,
    **how: Any,
) -> tuple[float, int]:
    """The relative gap and the steps: until it is small and stays small for 100 more, or `most`."""
    make, settings = method
    layer = nn.Linear(FEATURES, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.fill_(0.1)
    constrain(layer, "weight", constraint, **how)
    optimizer = make(layer.parameters(), **settings)
    lr, gap, small = settings["lr"], float("inf"), 0
    if make is torch.optim.SGD:
        lr /= problem.bend
    for step in range(most):
        optimizer.param_groups[0]["lr"] = lr / (1 + step / 200)
        layer.weight.grad = problem.slope(layer.weight.detach()[0])[None]
        optimizer.step()
        if step % 20 == 19:
            gap = (float(problem.loss(layer.weight.detach()[0])) - least) / least
            small = small + 1 if abs(gap) < GAP / 2 else 0
            if small == 6:
                break
    assert isotone.violations(layer) == {"weight": 0.0}
    return gap, step + 1


EACH = [(problem, which, method) for problem in PROBLEMS for which in SETS for method in METHODS]
COMMON = {"SGD", "momentum", "Adam", "AdamW"}
VECTORS = [which for which, (constraint, _) in SETS.items() if not constraint.elementwise]


def fast(problem: str, which: str, method: str) -> bool:
    return method in COMMON or (problem == "least squares" and which in {"ball", "simplex"})


@pytest.mark.parametrize(
    ("problem", "which", "method"),
    [pytest.param(*each, marks=() if fast(*each) else pytest.mark.slow, id=", ".join(each)) for each in EACH],
)
def test_the_constrained_optimum_is_reached(problem, which, method):
    least = best(problem, which)
    assert best(problem, None) < 0.98 * least, "the constraint matters"
    gap, steps = trained(PROBLEMS[problem], SETS[which][0], METHODS[method], least)
    assert abs(gap) <= GAP, f"{gap:.1e} after {steps} steps"


@pytest.mark.parametrize("which", VECTORS)
def test_the_plain_projection_after_adam_settles_elsewhere(which):
    """The test of this test, and the reason for `metric="optimizer"`: gaps of 40 % to 600 %."""
    least = best("least squares", which)
    gap, _ = trained(PROBLEMS["least squares"], SETS[which][0], METHODS["Adam"], least, most=600, metric="euclidean")
    assert gap > 0.2


# constraints.md section 5 (torch 2.13.0): where the plain projection ends, where it should, with the page's recipes.
class Stuck(NamedTuple):
    constraint: Constraint
    target: tuple[float, ...]
    start: tuple[float, ...]
    make: Any
    plainly: tuple[float, ...]
    right: tuple[float, ...]
    why: str


THIRD, RIGHT = (1 / 3, 1 / 3, 1 / 3), (3 / 10**0.5, 1 / 10**0.5)
# fmt: off
STUCK = [
    # set               pulled to        start       make                 plainly at      right            why
    Stuck(Simplex(),    (3.0, 2.0, 1.0), THIRD,      torch.optim.Adam,    THIRD,          (1.0, 0.0, 0.0), "all entries step alike, so it never moves"),
    Stuck(Simplex(),    (3.0, 2.0, 1.0), THIRD,      torch.optim.RMSprop, THIRD,          (1.0, 0.0, 0.0), "all entries step alike, so it never moves"),
    Stuck(MaxNorm(1.0), (3.0, 1.0),      (0.1, 0.1), torch.optim.Adam,    (0.714, 0.700), RIGHT,           "13.7 % above in the regression below"),
    Stuck(MaxNorm(1.0), (3.0, 1.0),      (0.1, 0.1), torch.optim.RMSprop, (0.707, 0.707), RIGHT,           "both entries step alike"),
]
# fmt: on


@pytest.mark.parametrize(
    "stuck",
    [
        pytest.param(
            row,
            id=f"{row.make.__name__} in {row.constraint!r}",
            marks=() if row.make is torch.optim.Adam else pytest.mark.slow,
        )
        for row in STUCK
    ],
)
def test_what_the_plain_projection_gets_wrong(stuck):
    for metric, end, within in (("euclidean", stuck.plainly, 1e-2), ("optimizer", stuck.right, 5e-3)):
        w = pulled(stuck, metric)
        assert torch.allclose(w, w.new_tensor(end), rtol=0, atol=within), f"{metric}: {w.tolist()}; {stuck.why}"


def pulled(stuck: Stuck, metric: Any) -> Tensor:
    """By half the squared distance."""
    layer = nn.Linear(len(stuck.target), 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([stuck.start]))
    constrain(layer, "weight", stuck.constraint, metric=metric)
    optimizer = stuck.make(layer.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 / (1 + i / 500))
    for _ in range(3000):
        layer.weight.grad = layer.weight.detach() - torch.tensor([stuck.target], dtype=torch.float64)
        optimizer.step()
        schedule.step()
    return layer.weight.detach()[0]


def test_the_regression_in_a_ball_that_ends_14_percent_above():
    torch.manual_seed(0)
    x = torch.randn(200, 5)
    y = x @ torch.tensor([3.0, -2.0, 1.0, 0.5, 0.0])
    x, y = x.double(), y.double()
    ends = {}
    for metric in ("euclidean", "optimizer"):
        layer = nn.Linear(5, 1, bias=False, dtype=torch.float64)
        nn.init.constant_(layer.weight, 0.01)
        constrain(layer, "weight", MaxNorm(1.0), metric=metric)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 / (1 + i / 300))
        for _ in range(3000):
            layer.weight.grad = (layer.weight.detach()[0] @ x.T - y)[None] @ x / 200
            optimizer.step()
            schedule.step()
        ends[metric] = float((x @ layer.weight.detach()[0] - y).square().mean())
    w = cp.Variable(5)
    right = cp.Problem(cp.Minimize(cp.sum_squares(x.numpy() @ w - y.numpy()) / 200), [cp.norm(w) <= 1]).solve(
        "CLARABEL"
    )
    assert ends["euclidean"] / right == pytest.approx(1.137, abs=0.01)
    assert ends["optimizer"] / right == pytest.approx(1, abs=GAP)


# scipy as a second opinion on the two sets that it has solvers for, to the entry and to which walls are active.
# fmt: off
SCIPY = [
    # constraint               scipy's
    (NonNegative(),            lambda a, b: scipy.optimize.nnls(a, b)[0]),
    (Between(-0.2, 0.35),      lambda a, b: scipy.optimize.lsq_linear(a, b, (-0.2, 0.35), tol=1e-13).x),
]
# fmt: on


@pytest.mark.parametrize("method", sorted(COMMON))
@pytest.mark.parametrize(("constraint", "solve"), SCIPY, ids=[repr(c) for c, _ in SCIPY])
def test_the_walls_that_are_active_are_those_of_scipy(constraint, solve, method):
    torch.manual_seed(3)
    a = torch.randn(60, 10, dtype=torch.float64)
    b = a @ (0.5 * torch.randn(10, dtype=torch.float64)) + 0.1 * torch.randn(60, dtype=torch.float64)
    right = torch.from_numpy(solve(a.numpy(), b.numpy()))
    layer = nn.Linear(10, 1, bias=False, dtype=torch.float64)
    constrain(layer, "weight", constraint)
    make, settings = METHODS[method]
    optimizer = make(layer.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 / (1 + i / 200))
    hessian, slope = a.T @ a / 60, a.T @ b / 60
    for _ in range(1500):
        layer.weight.grad = (layer.weight.detach() @ hessian) - slope
        optimizer.step()
        schedule.step()
    w = layer.weight.detach()[0]
    assert float((w - right).abs().max()) < (1e-6 if method == "SGD" else 1e-5)
    walls = torch.from_numpy(np.isin(right.numpy().round(9), (-0.2, 0.0, 0.35)))
    assert 3 <= int(walls.sum()) <= 9, "some constraints are active, some are not"
    assert torch.equal(w[walls], right[walls].round(decimals=9)), "exactly on the wall"


# fmt: off
SMOOTH = [
    # which             gap      why
    ("non-negative",    2e-2,    "1e-9 from most starts; one long step into the flat part of softplus is never undone"),
    ("bounded",         1e-4,    "a sigmoid"),
    ("ball",            1e-4,    "its map is onto the sphere too"),
    ("simplex",         1e-4,    "a softmax"),
    ("L1 ball",         1e-3,    "its map is not smooth where entries are 0"),
    ("increasing",      1e-4,    "steps by softplus"),
]
# fmt: on


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(("which", "within", "why"), SMOOTH, ids=[which for which, *_ in SMOOTH])
def test_the_parametrization_under_lbfgs(which, within, why, problem):
    gap, layer = smoothly(problem, which, torch.linspace(0.1, 0.8, FEATURES))
    assert float(SETS[which][0].for_layer(layer, "weight").violation(layer.weight.detach())) <= 1e-12
    assert abs(gap) <= within, f"{gap:.1e}; {why}"


@pytest.mark.parametrize(("which", "within", "why"), SMOOTH, ids=[which for which, *_ in SMOOTH])
def test_no_weight_is_dead_from_an_ordinary_start(which, within, why):
    """Half of an ordinary initialisation is outside; what it is moved to must not be where the map is flat."""
    for seed in range(3):
        torch.manual_seed(seed)
        gap, _ = smoothly("least squares", which, nn.Linear(FEATURES, 1).weight[0].detach())
        assert abs(gap) <= within, f"{gap:.1e}; {why}"


def smoothly(problem: str, which: str, start: Tensor) -> tuple[float, nn.Module]:
    layer = nn.Linear(FEATURES, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(start)
    isotone.parametrize(layer, "weight", SETS[which][0])
    optimizer = torch.optim.LBFGS(layer.parameters(), line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = PROBLEMS[problem].loss(layer.weight[0])
        loss.backward()
        return loss

    for _ in range(30):
        optimizer.step(closure)
    least = best(problem, which)
    return (float(PROBLEMS[problem].loss(layer.weight.detach()[0])) - least) / least, layer


# constraints.md section 5, "Momentum at the wall": 100 steps against the bound, then the gradient turns.
# fmt: off
WALLS = [
    # make                 settings                            steps to leave, kept and cleared    why
    (torch.optim.SGD,      {"lr": 0.1},                        1, 1,                               "no momentum"),
    (torch.optim.SGD,      {"lr": 0.1, "momentum": 0.9},       7, 1,                               "the sum of the past"),
    (torch.optim.SGD,      {"lr": 0.1, "momentum": 0.9, "nesterov": True}, 6, 1,                   "a step ahead of it"),
    (torch.optim.Adam,     {"lr": 0.1},                        7, 1,                               "the mean of the past"),
    (torch.optim.AdamW,    {"lr": 0.1},                        7, 1,                               "as Adam"),
    (torch.optim.NAdam,    {"lr": 0.1},                        1, 1,                               "its momentum grows slowly and is still small"),
    (torch.optim.RAdam,    {"lr": 0.1},                        7, 1,                               "as Adam"),
    (torch.optim.Adamax,   {"lr": 0.1},                        7, 1,                               "as Adam"),
    (torch.optim.RMSprop,  {"lr": 0.1, "momentum": 0.9},       7, 1,                               "the sum of the past"),
]
# fmt: on


@pytest.mark.parametrize(
    ("make", "settings", "kept", "cleared", "why"),
    WALLS,
    ids=[f"{make.__name__} {s}: {why}" for make, s, *_, why in WALLS],
)
def test_steps_to_leave_the_wall(make, settings, kept, cleared, why):
    assert steps_to_leave(make, settings, clear=False) == kept, why
    assert steps_to_leave(make, settings, clear=True) == cleared


def steps_to_leave(make: Any, settings: dict[str, Any], *, clear: bool) -> int:
    layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    constrain(layer, "weight", NonNegative(), clear_momentum=clear)
    optimizer = make(layer.parameters(), **settings)
    for step in range(200):
        layer.weight.grad = torch.full((1, 1), 1.0 if step < 100 else -1.0, dtype=torch.float64)
        optimizer.step()
        if step >= 100 and float(layer.weight.detach()) > 0:
            return step - 99
    raise AssertionError("it never left")


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("method", ["momentum", "Adam", "NAdam", "RAdam", "Adamax"])
@pytest.mark.parametrize("which", ["non-negative", "bounded"])
def test_with_momentum_cleared_at_the_wall_the_optimum_is_the_same(which, method, problem):
    least = best(problem, which)
    gap, steps = trained(PROBLEMS[problem], SETS[which][0], METHODS[method], least, clear_momentum=True)
    assert abs(gap) <= GAP, f"{gap:.1e} after {steps} steps"
