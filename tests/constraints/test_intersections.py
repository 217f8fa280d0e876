"""Where sets meet, the point that is found is the nearest one: cvxpy knows it."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
import torch
from torch import nn

from isotone import (
    Between,
    Decreasing,
    Increasing,
    Intersection,
    L1Ball,
    LinfBall,
    Masked,
    MaxNorm,
    NonNegative,
    Sign,
    Simplex,
    constrain,
    violations,
)

N = 12
LOW, HIGH = np.array([-1.0] * 6 + [-0.2] * 6), np.array([0.3] * 6 + [1.0] * 6)
BALL, SMALL, L1 = MaxNorm(1.0, dim=-1), MaxNorm(0.4, dim=-1), L1Ball(1.0, dim=-1)

# fmt: off
MEETINGS = [
    # the sets                                                    the same, for cvxpy                                                              why
    (Intersection(BALL, L1Ball(2.0, dim=-1)),                     lambda z: [cvxpy.norm(z) <= 1, cvxpy.norm1(z) <= 2],                             "two balls"),
    (Intersection(Increasing(), Simplex(dim=-1)),                 lambda z: [cvxpy.diff(z) >= 0, z >= 0, cvxpy.sum(z) == 1],                       "probabilities in order"),
    (Intersection(Increasing(), BALL),                            lambda z: [cvxpy.diff(z) >= 0, cvxpy.norm(z) <= 1],                              "a ball with a sequence"),
    (Intersection(Decreasing(), BALL),                            lambda z: [cvxpy.diff(z) <= 0, cvxpy.norm(z) <= 1],                              "the other way"),
    (Intersection(Increasing(), Between(LOW, HIGH)),              lambda z: [cvxpy.diff(z) >= 0, z >= LOW, z <= HIGH],                             "other bounds for every entry"),
    (Intersection(Sign((1, -1, 0) * 4), Increasing()),            lambda z: [cvxpy.diff(z) >= 0, z[::3] >= 0, z[1::3] <= 0],                       "signs and an order"),
    (Intersection(Increasing(), Between(-0.3, 0.5), BALL),        lambda z: [cvxpy.diff(z) >= 0, z >= -0.3, z <= 0.5, cvxpy.norm(z) <= 1],         "a ball with what has a formula"),
    (Intersection(Increasing(), Between(-0.3, 0.5), L1),          lambda z: [cvxpy.diff(z) >= 0, z >= -0.3, z <= 0.5, cvxpy.norm1(z) <= 1],        "three sets"),
    (Intersection(Increasing(), NonNegative(), BALL),             lambda z: [cvxpy.diff(z) >= 0, z >= 0, cvxpy.norm(z) <= 1],                      "signs, order, ball"),
    (Intersection(Simplex(dim=-1), SMALL),                        lambda z: [z >= 0, cvxpy.sum(z) == 1, cvxpy.norm(z) <= 0.4],                     "probabilities that are spread out"),
    (Intersection(Simplex(dim=-1), Between(high=0.3), SMALL),     lambda z: [z >= 0, z <= 0.3, cvxpy.sum(z) == 1, cvxpy.norm(z) <= 0.4],           "and none of them large"),
    (Intersection(Between(-0.1, 0.3), L1, MaxNorm(0.6, dim=-1)),  lambda z: [z >= -0.1, z <= 0.3, cvxpy.norm1(z) <= 1, cvxpy.norm(z) <= 0.6],      "two balls and bounds"),
    (Intersection(Masked(NonNegative(), [True] * 4 + [False] * 8), BALL), lambda z: [z[:4] >= 0, cvxpy.norm(z) <= 1],                              "some signs"),
    (Intersection(Between(-0.1, 0.3), SMALL),                     lambda z: [z >= -0.1, z <= 0.3, cvxpy.norm(z) <= 0.4],                           "bounds and a ball"),
    (Intersection(Between(-0.1, 0.3), L1),                        lambda z: [z >= -0.1, z <= 0.3, cvxpy.norm1(z) <= 1],                            "bounds and an L1 ball"),
    (Intersection(Between(0.01, 0.3), Simplex(dim=-1)),           lambda z: [z >= 0.01, z <= 0.3, cvxpy.sum(z) == 1],                              "bounds and probabilities"),
]
# fmt: on
every_meeting = pytest.mark.parametrize(("both", "conditions", "why"), MEETINGS, ids=[why for *_, why in MEETINGS])


@every_meeting
@pytest.mark.parametrize("in_metric", [False, True])
def test_the_nearest_point_is_cvxpys(both, conditions, why, in_metric):
    for seed in range(3):
        torch.manual_seed(seed)
        w = torch.randn(1, N, dtype=torch.float64) * 3
        d = torch.rand(1, N, dtype=torch.float64) + 0.02 if in_metric else torch.ones(1, N, dtype=torch.float64)
        x = both.project(w, d if in_metric else None)
        z = cvxpy.Variable(N)
        distance = cvxpy.sum_squares(cvxpy.multiply(d[0].sqrt().numpy(), z - w[0].numpy()))
        least = cvxpy.Problem(cvxpy.Minimize(distance), conditions(z)).solve(solver="CLARABEL")
        assert float(both.violation(x)) == 0.0
        assert float((d * (x - w).square()).sum()) == pytest.approx(least, rel=1e-6), why
        torch.testing.assert_close(x[0], torch.from_numpy(z.value), rtol=0, atol=1e-4)


# Dykstra's projections stand still at a member for many turns here, and go on: a standstill is no proof of the limit.
@pytest.mark.parametrize("bound", [LinfBall(0.9), Between(high=0.9), Between(-0.2, 0.9)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_probabilities_are_not_taken_for_inside_by_their_positive_part_alone(bound, dtype):
    layer = nn.Linear(3, 2, bias=False, dtype=dtype)
    both = Intersection(Simplex(dim=-1), bound)
    layer.weight.data = torch.tensor([[0.5, 0.5, -0.5], [0.25, 0.75, -0.125]], dtype=dtype)
    constrain(layer, "weight", both)
    assert violations(layer) == {"weight": 0.0}
    assert bool((layer.weight >= 0).all())
    inside = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]], dtype=dtype)
    assert torch.equal(both.project(inside), inside)


def test_a_standstill_is_not_taken_for_the_end():
    both = Intersection(Between(-0.1, 0.7), L1, MaxNorm(0.9, dim=-1))
    x = both.project(torch.tensor([5.0, -2.0], dtype=torch.float64))
    torch.testing.assert_close(x, torch.tensor([0.7, -0.1], dtype=torch.float64))


def test_training_in_a_steep_metric_stays_inside():
    torch.manual_seed(0)
    layer = nn.Linear(50, 8, bias=False)
    constrain(layer, "weight", Intersection(Increasing(), MaxNorm(1.0)))
    optimizer = torch.optim.Adam(layer.parameters(), lr=1.0)
    x = torch.randn(64, 50) * torch.logspace(-3, 1, 50)
    for _ in range(5):
        optimizer.zero_grad()
        (layer(x) - 1).square().mean().backward()
        optimizer.step()
        assert violations(layer) == {"weight": 0.0}


def test_a_small_vector_beside_a_large_one_is_searched_as_finely():
    both = Intersection(BALL, L1Ball(1.2, dim=-1))
    w = torch.tensor([[5.0, -3.0, 1.0], [1e6, -3e6, 2e6]], dtype=torch.float64)
    alone = torch.cat([both.project(row[None]) for row in w])
    torch.testing.assert_close(both.project(w), alone, rtol=0, atol=1e-9)
