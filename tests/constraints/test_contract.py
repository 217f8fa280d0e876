"""Every constraint keeps the same promises, in every floating-point type."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import isotone.constraints as room
from isotone import constrain
from isotone.constraints import (
    Between,
    Constraint,
    Increasing,
    Intersection,
    L1Ball,
    LinfBall,
    MaxNorm,
    MinMaxNorm,
    NonNegative,
    NonPositive,
    Sign,
    Simplex,
    UnitNorm,
)
from isotone.constraints._elementwise import by_direction, inward, within_all_
from isotone.constraints._entries import Entries
from isotone.errors import BadInput

from .cases import CASES, DTYPES, IDS, INF, NAN, VECTOR_IDS, VECTORS, Case, check, numbers, same_bits, vectors

SETS = [c for c in vars(room).values() if inspect.isclass(c) and issubclass(c, Constraint)]
every_case = pytest.mark.parametrize("case", CASES + VECTORS, ids=IDS + VECTOR_IDS)
elementwise_cases = pytest.mark.parametrize("case", CASES, ids=IDS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_dtype
@every_case
def test_contract(case, dtype):
    check(case, dtype)


def test_every_public_constraint_has_a_row():
    assert set(SETS) - {Constraint} == {type(case.constraint) for case in CASES + VECTORS}


@dataclass(frozen=True)
class Lie(Constraint):
    """A false constraint: what it does instead."""

    does: object
    elementwise: ClassVar[bool] = True

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        return self.does(w)


# fmt: off
LIES = [
    # what it does                                                       what the contract says
    (lambda w: w.clamp(min=0),                                           "a -0.0 is left"),
    (lambda w: torch.where(w > 0, w, torch.zeros_like(w)),               "NaN was made to look well"),
    (lambda w: w.clamp(min=0) * 0.9999 + 0.0,                            "not idempotent|a member was changed"),
    (lambda w: w.clamp(min=1e-7),                                        "a member was changed"),
    (lambda w: (w.clamp(min=0) + 0.0).double().float(),                  "another shape, dtype or device"),
    (lambda w: w.clamp(min=-1e-12) + 0.0,                                "the stored number is outside"),
    (lambda w: w.clamp_(min=0) + 0.0,                                    "project changed its argument"),
    (lambda w: w + 0.0,                                                  "the stored number is outside"),
]
# fmt: on


@pytest.mark.parametrize(("project", "said"), LIES, ids=[said for _, said in LIES])
def test_the_contract_rejects_a_false_constraint(project, said):
    with pytest.raises(AssertionError, match=said):
        check(Case(Lie(project), (6, 5), lambda w: w >= 0, "a lie"), torch.float64)


def test_a_plain_clamp_would_step_outside_in_bfloat16():
    clamp = Case(Lie(lambda w: w.clamp(0, 0.3) + 0.0), (6, 5), CASES[4].inside, "a lie")
    with pytest.raises(AssertionError, match="the stored number is outside"):
        check(clamp, torch.bfloat16)


@every_case
def test_its_repr_is_its_configuration(case):
    names = {c.__name__: c for c in (*SETS, Entries)} | {"inf": INF}
    assert eval(repr(case.constraint), names) == case.constraint


@every_case
def test_it_is_a_frozen_value(case):
    constraint = case.constraint
    for twin in (pickle.loads(pickle.dumps(constraint)), copy.deepcopy(constraint)):
        assert twin == constraint
        assert hash(twin) == hash(constraint)
    with pytest.raises(FrozenInstanceError):
        constraint.dim = 1


@every_case
def test_memory_layout_does_not_matter(case):
    w = vectors(case, torch.float32, 0) if case in VECTORS else numbers(case.shape, torch.float32)
    right = case.constraint.project(w)
    layouts = [w.flip(0).flip(0)] if w.ndim else []
    if w.ndim > 1:
        layouts.append(w.transpose(0, 1).contiguous().transpose(0, 1))
        layouts.append(torch.stack([w, w], dim=-1)[..., 0])
    if w.ndim == 4:
        layouts.append(w.contiguous(memory_format=torch.channels_last))
    for same in layouts:
        if case in VECTORS:  # sums may be added up in another order
            torch.testing.assert_close(case.constraint.project(same), right, rtol=1e-6, atol=0)
        else:
            assert torch.equal(case.constraint.project(same), right)


def test_channels_last_weights_are_projected_in_place_and_stay_so():
    convolution = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    before = convolution.weight.data_ptr()
    constrain(convolution, "weight", Sign((1, -1, 0), dim=1))
    assert convolution.weight.data_ptr() == before
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert bool((convolution.weight[:, 0] >= 0).all())
    assert bool((convolution.weight[:, 1] <= 0).all())


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_an_empty_tensor_has_no_violation(shape):
    for constraint in (NonNegative(), Between(0, 1), Sign((1,) * shape[-1])):
        assert constraint.project(torch.zeros(shape)).shape == shape
        assert float(constraint.violation(torch.zeros(shape))) == 0.0


# fmt: off
AT_INFINITY = [
    # constraint          weight  nearest  violation  why
    (NonNegative(),        INF,    INF,    0.0,       "infinity is not negative"),
    (NonNegative(),       -INF,    0.0,    INF,       "infinitely far outside"),
    (NonPositive(),       -INF,   -INF,    0.0,       "the other side"),
    (Between(-1.0, 1.0),   INF,    1.0,    INF,       "an upper bound"),
    (Between(low=0.0),     INF,    INF,    0.0,       "no upper bound"),
    (Sign((0,)),          -INF,   -INF,    0.0,       "free"),
    (Sign((1,)),          -INF,    0.0,    INF,       "increasing"),
]
# fmt: on


@pytest.mark.parametrize(("constraint", "weight", "nearest", "violation", "why"), AT_INFINITY)
def test_infinite_weights(constraint, weight, nearest, violation, why):
    w = torch.tensor([weight])
    assert float(constraint.project(w)) == nearest, why
    assert float(constraint.violation(w)) == violation, why


@every_case
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.sampled_from([1e-6, 1.0, 1e6]), in_metric=st.booleans())
def test_no_member_is_nearer(case, seed, size, in_metric):
    torch.manual_seed(seed)
    w, other = torch.randn(2, *case.shape, dtype=torch.float64) * size
    other = torch.where(torch.rand(case.shape) < 0.5, other, w)  # some quite near ones
    metric = 10.0 ** torch.randint(-3, 4, case.shape) if in_metric else torch.ones(case.shape, dtype=torch.float64)
    member, nearest = case.constraint.project(other), case.constraint.project(w, metric if in_metric else None)

    def distance(x: Tensor) -> Tensor:
        squares = metric * (w - x).square()
        return squares.sum(case.dims) if case.dims else squares

    assert float(case.constraint.violation(nearest)) == 0.0
    # Two points at one distance differ by rounding, the more so the larger the weights are against the set.
    room = 1e-13 * (metric * (w.square() + nearest.square()))
    assert bool(
        (distance(nearest) <= distance(member) * (1 + 1e-9) + (room.sum(case.dims) if case.dims else room)).all()
    )


@pytest.mark.parametrize(
    "constraint", [NonNegative(), NonPositive(), Between(-0.1, 0.3), Between(low=0.1), LinfBall(0.3)], ids=repr
)
def test_many_weights_in_one_launch_are_projected_as_each_by_itself(constraint):
    """The way that a GPU takes; its kernels exist on the CPU too."""
    weights = [numbers((6, 5), dtype, seed) for dtype in DTYPES for seed in range(3)]
    right = [constraint.project(w) for w in weights]
    within_all_(weights, constraint)
    assert all(bool(same_bits(w, r).all()) for w, r in zip(weights, right, strict=True))


@settings(max_examples=200, deadline=None)
@given(bound=st.floats(-60000, 60000), dtype=st.sampled_from(DTYPES))
def test_inward_is_the_nearest_number_on_the_inner_side(bound, dtype):
    for up, end in ((True, -INF), (False, INF)):
        stored = torch.tensor(inward(bound, dtype, up=up), dtype=torch.float64)
        assert stored.to(dtype).double() == stored
        assert (stored >= bound) if up else (stored <= bound)
        outer = torch.nextafter(stored.to(dtype), torch.tensor(end, dtype=dtype)).double()
        assert stored == bound or ((outer < bound) if up else (outer > bound))


# keras 2: w * (w >= 0) is NaN for -inf; keras 3: maximum(-0.0, 0) keeps -0.0.
def test_keras_slips_are_not_ours():
    w = NonNegative().project(torch.tensor([-INF, -0.0]))
    assert bool(same_bits(w, torch.zeros(2)).all())


# optax 0.2.8: box(0.5, lower=2, upper=1) is silently 1.
# fmt: off
MISTAKES = [
    (lambda: Between(2, 1),                                   r"Between: low=2.0 and high=1.0 came; low must not be above"),
    (lambda: Between(NAN, 1),                                 "low=nan"),
    (lambda: Between(0, NAN),                                 "high=nan"),
    (lambda: Between(0.301, 0.3011).project(torch.zeros(2, dtype=torch.bfloat16)), "bfloat16 has no number between"),
    (lambda: Sign((1, 2)),                                    r"directions: 2 came; each is \+1"),
    (lambda: Sign((1, -1)).project(torch.zeros(4, 3)),        "Sign: 2 directions came for 3 indices"),
    (lambda: Sign((1, -1), dim=1).project(torch.zeros(2)),    "Sign: weights of 1 dimensions came; dim=1 must be"),
    (lambda: Sign((1,)).project(torch.zeros(())),             "Sign: weights of 0 dimensions came"),
]
# fmt: on


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_gets_one_sentence(mistake, said):
    with pytest.raises(BadInput, match=said):
        mistake()


def test_sign_takes_lists_and_arrays():
    assert Sign([1, -1]) == Sign(np.array([1, -1])) == Sign((1, -1))
    assert torch.equal(Sign([1, -1]).project(-torch.ones(2)), torch.tensor([0.0, -1.0]))


def test_a_constraint_can_be_made_where_the_default_device_is_meta():
    inward.cache_clear()
    with torch.device("meta"):
        assert Between(0, 0.3).project(torch.empty(3)).is_meta
    assert float(Between(0, 0.3).project(torch.tensor(9.0))) <= 0.3


def test_projecting_in_inference_mode_leaves_nothing_behind_that_autograd_refuses():
    sign = Sign((1, -1, 1, -1, 1, 1, -1, 0, 0, 0, 1))  # not cached yet
    with torch.inference_mode():
        sign.project(torch.ones(11))
    w = torch.ones(11, requires_grad=True)
    sign.project(w).sum().backward()
    assert float(w.grad.sum()) > 0


# fmt: off
PLAINEST = [
    # directions  constraint   why
    ((1, 1),  NonNegative(),       "all increasing"),
    ((-1,),   NonPositive(),       "all decreasing"),
    ((0, 0),  None,                "all free"),
    ((0, 1),  Sign((0, 1), dim=0), "mixed"),
    ((-1, 1), Sign((-1, 1), dim=0), "mixed, the other way"),
]
# fmt: on


@pytest.mark.parametrize(("directions", "right", "why"), PLAINEST, ids=[why for *_, why in PLAINEST])
def test_the_plainest_constraint_for_directions(directions, right, why):
    assert by_direction(directions, dim=0) == right, why


# For a cone, as the rising sequences are, and a ball around 0: first the cone, then the ball is exact. Dykstra must agree.
@every_dtype
def test_sets_without_a_formula_meet_by_dykstra(dtype):
    order, ball = Increasing(), MaxNorm(1.0, dim=-1)
    both = Intersection(order, ball)
    torch.manual_seed(0)
    w = torch.randn(6, 5, dtype=torch.float64).to(dtype)
    right = ball.project(order.project(w.double()))
    x = both.project(w)
    room = max(8 * torch.finfo(dtype).eps, 1e-13)
    torch.testing.assert_close(x.double(), right, rtol=0, atol=4 * room)
    assert float(both.violation(x)) == 0.0
    assert max(float(order.violation(x)), float(ball.violation(x))) <= room * float(x.abs().max())
    assert torch.equal(both.project(x), x), "idempotent"
    assert float(both.violation(w)) > 0.1
    assert bool(both.violation(torch.full_like(w, NAN)).isnan())
    member = right.mul(0.5).to(dtype).sort(-1).values
    assert bool(same_bits(both.project(member), member).all())


def test_three_sets_meet_at_the_nearest_point():
    both = Intersection(Increasing(), MaxNorm(1.0, dim=-1), Between(-0.3, 0.5))
    w = torch.tensor([1.0, -2.0, 0.3, 3.0], dtype=torch.float64)
    x = both.project(w)
    assert float(both.violation(x)) == 0.0
    torch.manual_seed(0)
    for other in torch.randn(300, 4, dtype=torch.float64):
        member = both.project(0.3 * other + x)
        assert float((w - x).square().sum()) <= float((w - member).square().sum()) * (1 + 1e-9)


# fmt: off
REFUSED = [
    (Intersection,                                                    r"Intersection: \(\) came; constraints such as"),
    (lambda: Intersection(NonNegative(), 3),                                    "constraints such as NonNegative"),
    (lambda: Intersection(Between(0, 1), UnitNorm(dim=-1)),                     "one of these sets is not convex"),
    (lambda: Intersection(Increasing(), UnitNorm(dim=-1)),                      "one of these sets is not convex"),
    (lambda: MaxNorm(-1.0),                                                     "MaxNorm: max=-1.0 came; a length of 0"),
    (lambda: MaxNorm(NAN),                                                      "max=nan came"),
    (lambda: MinMaxNorm(2.0, 1.0),                                              "min=2.0 and max=1.0 came; min must be below max"),
    (lambda: MinMaxNorm(1.0, 2.0, rate=0.0),                                    "rate=0.0 came; a share of the way"),
    (lambda: MinMaxNorm(1.0, 1.001, dim=-1).project(torch.ones(3).bfloat16()),  "bfloat16 has no room between its bounds"),
    (lambda: L1Ball(-1.0),                                                      "L1Ball: radius=-1.0 came"),
    (lambda: LinfBall(NAN),                                                     "LinfBall: radius=nan came"),
    (lambda: Simplex(0.0),                                                      "Simplex: total=0.0 came; a sum from"),
    (lambda: Simplex(dim=-1).project(torch.zeros(3, 0)),                        "vectors without entries came"),
    (lambda: MaxNorm(1.0).project(torch.ones(3)),                               "dim='inputs' came for a bare tensor; .* `constrain` reads"),
    (lambda: Increasing(dim=2).project(torch.ones(3)),                          "weights of 1 dimensions came; dim=2"),
    (lambda: Between([0.0, 1.0], [1.0, 2.0, 3.0]),                              r"bounds of shapes \(2,\) and \(3,\) came"),
    (lambda: Between([0.0, 3.0], [1.0, 2.0]),                                   "low must not be above high"),
    (lambda: Between([0.0, NAN], 3.0),                                          "NaN came among the numbers"),
    (lambda: NonNegative().check(torch.ones(2)) or Between(0.301, [0.3011]).check(torch.ones(1).bfloat16()), "no number between"),
]
# fmt: on


@pytest.mark.parametrize(("mistake", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_set_that_cannot_be_gets_one_sentence(mistake, said):
    with pytest.raises(BadInput, match=said):
        mistake()


# section 10 of the reference: what the peers return for these, and the right answers
# fmt: off
PEERS = [
    # constraint                 weight                             right                           what the peer does
    (L1Ball(4.0, dim=-1),        [0.0, 0.0, 9.0],                   [0.0, 0.0, 4.0],                "optax: norm 2, sign(0) is 0"),
    (UnitNorm(dim=-1),           [0.0, 0.0, 0.0],                   [3**-0.5] * 3,                  "optax: NaN"),
    (MaxNorm(1.0, dim=-1),       [1e20, 1e20],                      [0.5**0.5, 0.5**0.5],           "optax: 0, the square overflows"),
    (MaxNorm(2.0, dim=-1),       [1e30, 1e30],                      [2**0.5, 2**0.5],               "Keras: 0"),
    (MaxNorm(2.0, dim=-1),       [1e-30, 0.0],                      [1e-30, 0.0],                   "Keras: shrinks"),
    (UnitNorm(dim=-1),           [1e-30, 0.0],                      [1.0, 0.0],                     "Keras: 1e-23"),
    (Simplex(dim=-1),            [1e8, 1e8 + 8, 0.0],               [0.0, 1.0, 0.0],                "optax, jaxopt: sum 9; chop: 0"),
    (Simplex(dim=-1),            [0.0, 0.0, -INF],                  [0.5, 0.5, 0.0],                "jaxopt is right"),
    (MinMaxNorm(1, 2, dim=-1),   [1e-6] * 4,                        [0.5] * 4,                      "Keras: norm .952"),
    (MinMaxNorm(1, 2, dim=-1),   [0.0] * 4,                         [0.5] * 4,                      "Keras: 0"),
    (L1Ball(1.0, dim=-1),        [-5.0, -5.0],                      [-0.5, -0.5],                   "chop says it is inside"),
]
# fmt: on


@pytest.mark.parametrize(("constraint", "weight", "right", "peer"), PEERS, ids=[peer for *_, peer in PEERS])
def test_where_peers_are_wrong(constraint, weight, right, peer):
    x = constraint.project(torch.tensor(weight))
    torch.testing.assert_close(x, torch.tensor(right), rtol=1e-6, atol=0)
    assert float(constraint.violation(x)) == 0.0


def test_half_precision_norms_are_summed_up_in_a_wide_type():
    # keras 3.15.1: UnitNorm of the third column is 839.
    w = torch.tensor([[3.0, 0.0, 1e-4], [4.0, 0.0, 0.0]], dtype=torch.float16)
    x = UnitNorm(dim=0).project(w)
    torch.testing.assert_close(
        x[:, [0, 2]], torch.tensor([[0.6, 1.0], [0.8, 0.0]], dtype=torch.float16), rtol=1e-3, atol=0
    )
    # optax 0.2.8: the sum of 4096 probabilities in bfloat16 is .9957.
    torch.manual_seed(0)
    p = Simplex(dim=-1).project((torch.randn(4096) * 1e-3).bfloat16())
    assert abs(float(p.double().sum()) - 1) <= 2 * torch.finfo(torch.bfloat16).eps


def test_ten_thousand_projections_do_not_drift():
    # keras 3.15.1: MaxNorm(2) shrinks this to 6.85e-7.
    w = torch.tensor([1e-3, 0.0])
    for _ in range(10_000):
        w = MaxNorm(2.0, dim=-1).project(w)
    assert torch.equal(w, torch.tensor([1e-3, 0.0]))
