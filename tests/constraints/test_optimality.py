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
from torch.nn import functional as F

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
    y = y + 6 * torch.randn(ROWS, dtype=torch.float64)  # or the rows could be separated, with the optimum at infinity
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
    "bounded":            (Between(-0.5, 0.8),                             lambda w: [w >= -0.5, w <= 0.8]),
    "ball":               (MaxNorm(1.5),                                   lambda w: [cp.norm(w) <= 1.5]),
    "simplex":            (Simplex(2.0),                                    lambda w: [w >= 0, cp.sum(w) == 2]),
    "L1 ball":            (L1Ball(2.0),                                    lambda w: [cp.norm1(w) <= 2]),
    "increasing":         (Increasing(),                                   lambda w: [cp.diff(w) >= 0]),
    "part of a ball":     (Intersection(NonNegative(), MaxNorm(1.5)),      lambda w: [w >= 0, cp.norm(w) <= 1.5]),
}
METHODS = {
    # name        make                  settings                            why
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
    task.solve(solver="CLARABEL", tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    assert task.status == "optimal"
    return float(task.value)


def trained(
    problem: Problem, constraint: Constraint, make: Any, settings: dict[str, Any], least: float, most: int = 4000, **how: Any
) -> tuple[float, int]:
    """The relative gap and the steps: until it is small and stays small for 100 more, or `most`."""
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
