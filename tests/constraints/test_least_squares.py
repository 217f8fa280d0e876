"""Steps and projections end at the constrained optimum, which scipy knows: constraints.md section 5."""

from __future__ import annotations

import pytest
import scipy.optimize
import torch
from torch import Tensor, nn

from isotone import Between, NonNegative, constrain

# fmt: off
METHODS = [
    # make              settings                            farthest  why
    (torch.optim.SGD,   {"lr": 0.05},                       1e-6,     "the projection of a gradient step"),
    (torch.optim.SGD,   {"lr": 0.01, "momentum": 0.9},      1e-5,     "momentum"),
    (torch.optim.Adam,  {"lr": 0.01},                       1e-5,     "the clamp is exact in Adam's metric too"),
    (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.0},  1e-5,     "without decay it has the same optimum"),
]
# fmt: on


def problem() -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    a = torch.randn(60, 10, dtype=torch.float64)
    w = 0.5 * torch.randn(10, dtype=torch.float64)
    return a, a @ w + 0.1 * torch.randn(60, dtype=torch.float64)


def fitted(constraint, make, settings, steps: int = 2500) -> Tensor:
    a, b = problem()
    layer = nn.Linear(10, 1, bias=False, dtype=torch.float64)
    constrain(layer, "weight", constraint)
    optimizer = make(layer.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 / (1 + i / 500))
    hessian, slope = a.T @ a / 60, a.T @ b / 60
    for _ in range(steps):
        layer.weight.grad = (layer.weight.detach() @ hessian) - slope  # of half the mean square
        optimizer.step()
        schedule.step()
    return layer.weight.detach()[0]


@pytest.mark.parametrize(("make", "settings", "farthest", "why"), METHODS, ids=[why for *_, why in METHODS])
def test_non_negative_least_squares(make, settings, farthest, why):
    a, b = problem()
    right = torch.from_numpy(scipy.optimize.nnls(a.numpy(), b.numpy())[0])
    assert 3 <= int((right == 0).sum()) <= 9, "some constraints are active, some are not"
    w = fitted(NonNegative(), make, settings)
    assert float((w - right).abs().max()) < farthest, why
    assert torch.equal(w == 0, right == 0)


@pytest.mark.parametrize(("make", "settings", "farthest", "why"), METHODS, ids=[why for *_, why in METHODS])
def test_bounded_least_squares(make, settings, farthest, why):
    a, b = problem()
    right = torch.from_numpy(scipy.optimize.lsq_linear(a.numpy(), b.numpy(), (-0.2, 0.35), tol=1e-13).x)
    w = fitted(Between(-0.2, 0.35), make, settings)
    assert int(((w == -0.2) | (w == 0.35)).sum()) >= 3, "some constraints are active"
    assert float((w - right).abs().max()) < farthest, why
