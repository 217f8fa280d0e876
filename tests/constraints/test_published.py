"""The arrays that Keras, optax and jaxopt test their projections with, and what those must give."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from isotone import (
    Between,
    Intersection,
    L1Ball,
    LinfBall,
    MaxNorm,
    MinMaxNorm,
    NonNegative,
    Simplex,
    UnitNorm,
    constrain,
    from_keras,
)
from isotone.errors import BadInput

INF = math.inf
DTYPES = [torch.float32, torch.float64]


def vector(*numbers: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(numbers, dtype=dtype)


# Rows of one array and its nearest member. The sources:
#   Keras   keras/src/constraints/constraints_test.py, Keras 3.15 (3422977a5e)
#   optax   optax/projections/_projections_test.py, 2edbcbe2; array_1d, array_2d and the tree of its `setUp`
#   jaxopt  tests/projection_test.py, 2de13bf
# A pytree is one vector to optax and jaxopt: here its numbers in a row, or dim=None.
OUT = (0.5, 2.1, -3.5)
PAIR = torch.tensor([[0.5, 2.1, -3.5], [1.0, 2.0, 3.0]])
# fmt: off
NEAREST = [
    # set                                  weights                                             nearest                                                  source, why
    (MaxNorm(2.0, dim=0),                  torch.tensor([[0., 0, 0], [1, 0, 0], [3, 0, 0], [3, 3, 3]]).T,
                                                                torch.tensor([[0., 0, 0], [1, 0, 0], [2, 0, 0], [2 / 3**0.5] * 3]).T,                   "Keras, max_norm: zero, inside, outside"),
    (NonNegative(),                        torch.full((5, 5), -3.0),                           torch.zeros(5, 5),                                       "Keras, non_neg: all outside"),
    (NonNegative(),                        torch.full((5, 5), 3.0),                            torch.full((5, 5), 3.0),                                 "Keras, non_neg: all inside"),
    (NonNegative(),                        torch.zeros(5, 5),                                  torch.zeros(5, 5),                                       "Keras, non_neg: on the wall"),
    (NonNegative(),                        vector(-1, 2, 3),                                   vector(0, 2, 3),                                         "optax, jaxopt, non_negative"),
    (NonNegative(),                        vector(-1, 1, 1, 1, 1),                             vector(0, 1, 1, 1, 1),                                   "optax, jaxopt, non_negative: a tree"),
    (Between(0, 2),                        vector(-1, 2, 3),                                   vector(0, 2, 2),                                         "optax, jaxopt, box: numbers"),
    (Between([0, 0, 0], [2, 2, 2]),        vector(-1, 2, 3),                                   vector(0, 2, 2),                                         "optax, jaxopt, box: arrays"),
    (Between(0, 2),                        vector(-1, 2, 2, 3, 3),                             vector(0, 2, 2, 2, 2),                                   "optax, jaxopt, box: a tree"),
    (Between(0, 1),                        vector(-1, 2, 0.5),                                 vector(0, 1, 0.5),                                       "optax, jaxopt, hypercube"),
    (Between(0, 0.8),                      vector(-1, 2, 0.5, dtype=torch.float64),            vector(0, 0.8, 0.5, dtype=torch.float64),                "optax, jaxopt, hypercube: a scale"),
    (Between(0, [0.8, 0.8, 0.8]),          vector(-1, 2, 0.5, dtype=torch.float64),            vector(0, 0.8, 0.5, dtype=torch.float64),                "optax, hypercube: scales"),
    (Simplex(1.0, dim=-1),                 vector(0, 0, -INF),                                 vector(0.5, 0.5, 0),                                     "optax, jaxopt, simplex: an entry of -inf"),
    (Simplex(0.8, dim=-1),                 vector(0, 0, -INF),                                 vector(0.4, 0.4, 0),                                     "optax, simplex: the same, to 0.8"),
    (Simplex(1.0, dim=None),               vector(2.5, 3.2, 0.5),                              vector(0.15, 0.85, 0),                                   "optax, simplex: a tree; by hand"),
    (Simplex(0.8, dim=None),               vector(2.5, 3.2, 0.5),                              vector(0.05, 0.75, 0),                                   "optax, simplex: a tree, to 0.8; by hand"),
    (L1Ball(3.05, dim=None),               vector(*OUT),                                       vector(0, 0.825, -2.225),                                "optax, l1_ball: half as long; by hand"),
    (L1Ball(6.1, dim=None),                vector(*OUT, dtype=torch.float64),                  vector(*OUT, dtype=torch.float64),                       "optax, l1_ball: on the boundary"),
    (LinfBall(1.75),                       vector(*OUT),                                       vector(0.5, 1.75, -1.75),                                "optax, linf_ball: half as far"),
    (LinfBall(3.5),                        PAIR,                                               PAIR,                                                    "optax, linf_ball: on the boundary"),
    (LinfBall(1.75),                       PAIR,                                               PAIR.clamp(-1.75, 1.75),                                 "optax, linf_ball: a matrix"),
    (UnitNorm(dim=None),                   PAIR,                                               PAIR / PAIR.norm(),                                      "optax, l2_sphere: a matrix"),
]
# fmt: on


@pytest.mark.parametrize(("constraint", "w", "nearest", "why"), NEAREST, ids=[why for *_, why in NEAREST])
def test_the_published_nearest_point(constraint, w, nearest, why):
    torch.testing.assert_close(constraint.project(w), nearest, rtol=1e-6, atol=1e-7, msg=why)
    if torch.equal(w, nearest):
        assert torch.equal(constraint.project(w), w), why


# optax gives these wrong (0.2.8 with jax 0.10.2: constraints.md 3.1), jaxopt 0.8.5 the second simplex too.
# fmt: off
OPTAX_IS_WRONG = [
    # set                     weights                                           nearest                                           optax's
    (UnitNorm(dim=-1),        torch.zeros(3),                                   vector(1, 1, 1) / 3**0.5,                         "NaN"),
    (MaxNorm(1.0, dim=-1),    vector(1e20, 1e20),                               vector(1, 1) / 2**0.5,                            "0: the square overflows"),
    (MaxNorm(1.0, dim=-1),    vector(300, 300, dtype=torch.float16),            vector(1, 1, dtype=torch.float16) / 2**0.5,       "0: in fp16 already here"),
    (Simplex(1.0, dim=-1),    vector(1e8, 1e8 + 8, 0),                          vector(0, 1, 0),                                  "(0.5, 8.5, 0): its sum is 9"),
]
# fmt: on


@pytest.mark.parametrize(("constraint", "w", "nearest", "theirs"), OPTAX_IS_WRONG)
def test_where_optax_is_wrong(constraint, w, nearest, theirs):
    near = 2e-3 if w.dtype is torch.float16 else 1e-6
    torch.testing.assert_close(constraint.project(w), nearest, rtol=near, atol=0, msg=f"optax: {theirs}")


def test_optax_lets_bounds_cross_and_sums_over_nothing():
    with pytest.raises(BadInput, match="low must not be above high"):
        Between(2, 1)  # optax: box(0.5, lower=2, upper=1) is 1
    with pytest.raises(BadInput, match="their sum cannot be 1"):
        Simplex(dim=-1).project(torch.zeros(0))  # optax: IndexError


def test_a_bfloat16_simplex_of_many_small_weights_sums_to_one():
    """optax: 0.9957, as it sums up in bfloat16."""
    torch.manual_seed(0)
    p = Simplex(dim=-1).project((torch.randn(4096) * 1e-3).bfloat16())
    assert float(p.double().sum()) == pytest.approx(1, abs=1e-3)


# Keras: 100 x 100 numbers, seed 3537, from -50 to 50, and a 0 in the corner. Its norms are over axis 0.
def keras_example(dtype: torch.dtype) -> Tensor:
    example = np.random.RandomState(3537).random_sample((100, 100)) * 100.0 - 50.0
    example[0, 0] = 0.0
    return torch.from_numpy(example).to(dtype)


def lengths(w: Tensor, dim: int = 0) -> Tensor:
    return torch.linalg.vector_norm(w, dim=dim, dtype=torch.float64)


TF_KERAS = [0.1, 0.5, 3.0, 8.0, 1e-7]  # the lengths it is tested with: tf_keras/constraints_test.py, 6add81a9


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_keras_example_without_the_room_that_keras_needs(dtype):
    w = keras_example(dtype)
    near = 2 * torch.finfo(dtype).eps if dtype is torch.float32 else 1e-14
    for m in TF_KERAS:
        longest = MaxNorm(m, dim=0).project(w)
        assert bool((longest < m).all())  # tf_keras's claim, for each entry
        assert bool((lengths(longest) <= m).all())
        between = lengths(MinMaxNorm(m, 2 * m, dim=0).project(w))
        assert bool(((between >= m) & (between <= 2 * m)).all())  # tf_keras: up to 1e-5 above
    between = lengths(MinMaxNorm(0.2, 0.5, dim=0).project(w))
    assert bool(((between >= 0.2) & (between <= 0.5)).all())  # Keras: up to 1e-6 above
    assert float((lengths(UnitNorm(dim=0).project(w)) - 1).abs().max()) <= near  # tf_keras: 1e-4
    assert bool((NonNegative().project(w).min(dim=1).values == 0).all())


def test_keras_configurations_of_its_tests_act_on_its_example():
    layer, w = nn.Linear(100, 100), keras_example(torch.float64)
    for kind, config, right in [
        ("MaxNorm", {"max_value": 3.0, "axis": 1}, MaxNorm(3.0, dim=1)),
        ("UnitNorm", {"axis": 1}, UnitNorm(dim=1)),
        ("MinMaxNorm", {"min_value": 0.5, "max_value": 2.0, "rate": 0.7, "axis": 1}, MinMaxNorm(0.5, 2.0, 0.7, dim=1)),
        ("NonNeg", {}, NonNegative()),
    ]:
        ours = from_keras({"class_name": kind, "config": config}, layer)
        assert torch.equal(ours.project(w.T).T, right.project(w)), kind


def test_keras_optimizer_step_without_gradient():
    """Keras's optimizer test: uniform numbers less 1, NonNeg, one SGD step of rate 1e-4 with gradients of 0."""
    layer = nn.Linear(2, 2, bias=False)
    constrain(layer, "weight", NonNegative())
    with torch.no_grad():
        layer.weight.copy_(torch.rand(2, 2) - 1)
    layer.weight.grad = torch.zeros(2, 2)
    torch.optim.SGD(layer.parameters(), 1e-4).step()
    assert float(layer.weight.detach().min()) == 0


def test_optax_keep_params_nonnegative():
    """optax/transforms/_constraining_test.py: starts of -1, 1 and 0, gradients of 500, -500 and 0, SGD with rate 0.01."""
    layer = nn.Linear(3, 3, bias=False)
    constrain(layer, "weight", NonNegative())
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0], [1.0], [0.0]]).expand(3, 3))
    layer.weight.grad = torch.tensor([500.0, -500.0, 0.0]).expand(3, 3).clone()
    torch.optim.SGD(layer.parameters(), 1e-2).step()
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[0.0, 4, 0], [0, 6, 1], [0, 5, 0]]))


@pytest.mark.parametrize("scale", [1.0, 1e9])
@pytest.mark.parametrize("total", [1.0, 0.8])
def test_simplex_of_fifty_numbers(total, scale):
    """jaxopt and optax: numpy's RandomState(0), ten times randn(50) in float32."""
    draw = np.random.RandomState(0)
    for _ in range(10):
        x = scale * torch.from_numpy(draw.randn(50).astype(np.float32))
        p = Simplex(total, dim=-1).project(x)
        assert float(p.double().sum()) == pytest.approx(total, rel=2.4e-7)
        assert float(p.min()) == 0
        assert float(p.max()) <= float(np.float32(total))
    x = torch.from_numpy(np.random.RandomState(0).randn(3, 50).astype(np.float32))  # its vmap test
    rows = Simplex(total, dim=-1).project(x)
    assert torch.equal(rows, torch.stack([Simplex(total, dim=-1).project(row) for row in x]))


@pytest.mark.parametrize(("scale", "support"), [(1.0, 5), (3.0, 4), (1e9, 1)])
def test_the_simplex_has_the_published_jacobian(scale, support):
    """jaxopt (scales 1 and 1e9) and optax (1): diag(s) - s s' / |s|, s the support, at RandomState(0).rand(5).

    Here by differences in float64.
    """
    x = scale * torch.from_numpy(np.random.RandomState(0).rand(5))
    project = Simplex(dim=-1).project
    s = (project(x) > 0).double()
    assert int(s.sum()) == support
    h = 1e-5 * scale
    steps = h * torch.eye(5, dtype=torch.float64)
    jacobian = torch.stack([(project(x + step) - project(x - step)) / (2 * h) for step in steps], dim=1)
    torch.testing.assert_close(jacobian, s.diag() - s.outer(s) / s.sum(), rtol=0, atol=1e-9)


def test_a_box_whose_sum_is_one_is_the_simplex():
    """jaxopt, projection_box_section with weights and upper bounds of 1, at RandomState(0).rand(5)."""
    x = torch.from_numpy(np.random.RandomState(0).rand(5).astype(np.float32))
    both = Intersection(Between(0, 1), Simplex(dim=-1))
    torch.testing.assert_close(both.project(x), Simplex(dim=-1).project(x), rtol=0, atol=1e-6)


# fmt: off
BALLS = {
    # norm  the ball of a radius
    1:   lambda radius: L1Ball(radius, dim=None),
    2:   lambda radius: MaxNorm(radius, dim=None),
    INF: LinfBall,
}
ARRAYS = {
    "optax, a vector": vector(*OUT),
    "optax, a matrix": PAIR,
    "optax, a tree":   vector(*OUT, *OUT),
    "jaxopt, fifty":   torch.from_numpy(np.random.RandomState(0).randn(50).astype(np.float32)),
}
# fmt: on


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("norm", BALLS)
def test_balls_from_inside_and_outside(norm, array):
    w = ARRAYS[array]
    size = float(torch.linalg.vector_norm(w, norm, dtype=torch.float64))
    for inside in (2 * size, size):  # jaxopt and optax allow for rounding here
        assert torch.equal(BALLS[norm](inside).project(w), w)
    p = BALLS[norm](size / 2).project(w)
    reached = float(torch.linalg.vector_norm(p, norm, dtype=torch.float64))
    assert size / 2 * (1 - 1e-6) <= reached <= size / 2


def least_squares(constraint: NonNegative | MaxNorm) -> tuple[Tensor, Tensor, Tensor]:
    """jaxopt, tests/projected_gradient_test.py: X = RandomState(0).randn(10, 5), w = rand(5), y = X w, from 0.

    w, what training ends at, and the gradient there.
    """
    draw = np.random.RandomState(0)
    X, w = torch.from_numpy(draw.randn(10, 5)), torch.from_numpy(draw.rand(5))
    layer = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    constrain(layer, "weight", constraint)
    step = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(500):
        step.zero_grad()
        (layer(X)[:, 0] - X @ w).square().mean().backward()
        step.step()
    return w, layer.weight.detach()[0], layer.weight.grad[0]


def test_jaxopt_non_negative_least_squares():
    w, ended, _ = least_squares(NonNegative())
    torch.testing.assert_close(ended, w, rtol=0, atol=1e-4)  # jaxopt: 1e-2


def test_jaxopt_least_squares_in_balls():
    w, ended, _ = least_squares(MaxNorm(1.0))
    torch.testing.assert_close(
        ended, w, rtol=0, atol=1e-4
    )  # the ball holds the optimum; jaxopt asks for a norm below 1
    _, ended, gradient = least_squares(MaxNorm(0.1))  # jaxopt differentiates this one by its radius
    assert 0.1 * (1 - 1e-12) <= float(ended.norm()) <= 0.1
    # At an optimum on the wall the way down points straight out of the ball.
    assert float(torch.cosine_similarity(ended, gradient, dim=0)) == pytest.approx(-1, abs=1e-9)
