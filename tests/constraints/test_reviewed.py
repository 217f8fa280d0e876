"""What a hostile reading found, each mended and kept from coming back."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import isotone
from isotone import (
    Between,
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
    constrain,
    parametrize,
    violations,
)
from isotone.constraints import _binding
from isotone.errors import BadInput

from .cases import CASES, VECTORS
from .worlds import push

INF = float("inf")
WHOLE = [
    c for c in dict.fromkeys(case.constraint for case in CASES + VECTORS) if "dim" not in repr(c) or "dim=-1" in repr(c)
]


@pytest.mark.parametrize(
    "constraint", [c for c in WHOLE if "Entries" not in repr(c) and "Sign" not in repr(c)], ids=repr
)
@pytest.mark.parametrize("in_metric", [False, True])
def test_weights_of_more_entries_than_are_worked_on_at_a_time(constraint, in_metric):
    torch.manual_seed(0)
    w = torch.randn(300, 300)
    metric = torch.rand(300, 300) + 0.1 if in_metric else None
    x = constraint.project(w, metric)
    assert x.shape == w.shape
    assert float(constraint.violation(x)) == 0.0
    if constraint.together(2) == (-1,):  # vectors have no effect on each other
        some = [0, 150, 299]
        torch.testing.assert_close(
            x[some], constraint.project(w[some], None if metric is None else metric[some]), rtol=1e-4, atol=1e-6
        )


# fmt: off
SIGNED_SPHERES = [
    # constraint                                          weight              right                why
    (Intersection(NonNegative(), UnitNorm(dim=-1)),       [-3.0, -2.0, -1.0], [0.0, 0.0, 1.0],     "the least wrong entry has it all"),
    (Intersection(NonPositive(), UnitNorm(dim=-1)),       [3.0, 1.0, 2.0],    [0.0, -1.0, 0.0],    "the other sign"),
    (Intersection(Sign((1, -1, 0)), UnitNorm(dim=-1)),    [-1.0, 2.0, 0.0],   [0.0, 0.0, 1.0],     "a free entry is not wrong at all"),
    (Intersection(Sign((1, -1, 0)), UnitNorm(dim=-1)),    [0.0, 0.0, 0.0],    [1.0, 0.0, 0.0],     "all members are equally near"),
    (Intersection(NonNegative(), UnitNorm(dim=-1)),       [-3.0, 3.0, 4.0],   [0.0, 0.6, 0.8],     "the ordinary case"),
]
# fmt: on


@pytest.mark.parametrize(
    ("constraint", "weight", "right", "why"), SIGNED_SPHERES, ids=[why for *_, why in SIGNED_SPHERES]
)
def test_signs_with_a_sphere(constraint, weight, right, why):
    x = constraint.project(torch.tensor(weight))
    torch.testing.assert_close(x, torch.tensor(right), rtol=1e-6, atol=0)
    assert float(constraint.violation(x)) == 0.0, why


def test_a_sphere_whose_signs_allow_nothing_is_refused():
    with pytest.raises(BadInput, match=r"no weight that is in all of its sets was found"):
        constrain(nn.Linear(3, 2), "weight", Intersection(NonNegative(), NonPositive(), UnitNorm()))


@pytest.mark.parametrize(
    "constraint",
    [MaxNorm(1.0, dim=-1), UnitNorm(dim=-1), MinMaxNorm(0.5, 1.0, dim=-1), L1Ball(1.0, dim=-1), Simplex(dim=-1), Increasing(),
     Intersection(Between(0, 1), MaxNorm(1.0, dim=-1))],
    ids=repr,
)  # fmt: skip
def test_a_part_without_rows_has_nothing_to_project(constraint):
    """An empty shard must not raise in its process while the others wait."""
    w = torch.zeros(0, 3)
    assert constraint.project(w).shape == (0, 3)
    assert constraint.project(w, torch.ones(0, 3)).shape == (0, 3)
    if not isinstance(constraint, Simplex):
        assert constraint.project(torch.zeros(3, 0), torch.ones(3, 0)).shape == (3, 0)


@pytest.mark.parametrize(
    "constraint",
    [MaxNorm(1.0, dim=-1), MaxNorm(0.0, dim=-1), MinMaxNorm(0.0, 1.0, dim=-1), MinMaxNorm(0.5, 1.0, dim=-1), UnitNorm(dim=-1),
     L1Ball(1.0, dim=-1), L1Ball(0.0, dim=-1), Between(0.5, 0.5), LinfBall(0.0), Increasing(), Simplex(dim=-1), NonNegative()],
    ids=repr,
)  # fmt: skip
def test_maps_and_their_gradients_are_finite_at_zero_vectors(constraint):
    raw = torch.zeros(2, 3, requires_grad=True)
    w = constraint.parametrized(raw)
    w.sum().backward()
    assert bool(w.isfinite().all())
    assert bool(raw.grad.isfinite().all())
    assert bool(constraint.raw(w.detach()).isfinite().all())


def test_a_model_on_meta_can_be_declared_with_any_set():
    with torch.device("meta"):
        for constraint in (*WHOLE, Intersection(Between(-0.1, 0.7), MaxNorm(0.9))):
            if (
                not isinstance(constraint, Sign)
                and "Entries" not in repr(constraint)
                and "Sign" not in repr(constraint)
            ):
                layer = nn.Linear(5, 9)
                constrain(layer, "weight", constraint)
                assert list(isotone.constraints_of(layer)) == ["weight"]


def test_a_glob_does_not_hold_the_raw_tensors_of_parametrizations():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    parametrize(net, "0.weight", NonNegative())
    with pytest.warns(UserWarning, match=r"does not hold weights that a parametrization computes. Names: 0.weight"):
        assert constrain(net, "*.weight", NonNegative()) == ("1.weight",)
    with pytest.raises(BadInput, match=r"matches only the raw tensors of parametrizations"):
        constrain(net[0], "*weight*", NonNegative())
    with pytest.raises(BadInput, match=r"'0.parametrizations.weight.original' belongs to a parametrization"):
        parametrize(net, "0.parametrizations.weight.original", NonNegative())


@pytest.mark.parametrize("size", [1e6, 1e10, 1e20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_weights_in_a_steep_metric_have_a_nearest_point(size, dtype):
    torch.manual_seed(0)
    y = torch.randn(6, 40, dtype=dtype) * size
    d = 10.0 ** (torch.rand(6, 40, dtype=dtype) * 3 - 3)
    for constraint in (Simplex(dim=-1), L1Ball(1.0, dim=-1), MaxNorm(1.0, dim=-1)):
        x = constraint.project(y, d)
        assert float(constraint.violation(x)) == 0.0
        assert bool((x != 0).any(1).all())


def test_a_fault_at_one_weight_leaves_no_other_outside():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    for i, constraint in enumerate((NonNegative(), NonPositive(), NonNegative())):
        constrain(net, f"{i}.weight", constraint)
    net[2].weight = net[1].weight
    with pytest.raises(BadInput, match="one tensor has one constraint"):
        push(net, torch.optim.SGD(net.parameters(), 0.4), steps=1)
    assert violations(net)["0.weight"] == 0.0


# fmt: off
FAR = [
    # constraint                         weight            dtype             right
    (UnitNorm(dim=-1),                   [1.8367e-40],     torch.bfloat16,   [1.0]),
    (MaxNorm(1e-30, dim=-1),             [1e20],           torch.bfloat16,   [1e-30]),
    (MaxNorm(1e-30, dim=-1),             [1e38] * 100,     torch.float32,    [1e-31] * 100),
    (MinMaxNorm(1e-30, 1e-20, dim=-1),   [1e30],           torch.bfloat16,   [1e-20]),
]
# fmt: on


@pytest.mark.parametrize(("constraint", "weight", "dtype", "right"), FAR)
def test_far_scales(constraint, weight, dtype, right):
    x = constraint.project(torch.tensor(weight, dtype=dtype))
    torch.testing.assert_close(
        x.double(), torch.tensor(right, dtype=torch.float64), rtol=4 * torch.finfo(dtype).eps, atol=0
    )
    assert float(constraint.violation(x)) == 0.0


@pytest.mark.parametrize("constraint", [Simplex(1e30), Simplex(1e-30), MaxNorm(1e-10), MinMaxNorm(1e9, 1e10)], ids=repr)
def test_a_size_that_the_dtype_does_not_have_is_refused(constraint):
    with pytest.raises(BadInput, match=r"is no normal number of torch.float16; another one is right"):
        constrain(nn.Linear(3, 2, dtype=torch.float16), "weight", constraint)


def test_overlapping_suspensions_end_one_by_one():
    layer = nn.Linear(3, 2)
    constrain(layer, "weight", NonNegative())
    first, second = isotone.suspended(layer), isotone.suspended(layer)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    push(layer, torch.optim.SGD(layer.parameters(), 0.4))
    assert bool((layer.weight < 0).any()), "the second block still lets it out"
    second.__exit__(None, None, None)
    assert violations(layer) == {"weight": 0.0}


def test_a_binding_that_holds_nothing_leaves_the_registry_and_comes_back():
    layer = nn.Linear(3, 2)
    constrain(layer, "weight", NonNegative())
    before = len(_binding._registry)
    isotone.remove_constraint(layer)
    assert len(_binding._registry) == before - 1
    constrain(layer, "weight", NonNegative())
    assert len(_binding._registry) == before
    push(layer, torch.optim.SGD(layer.parameters(), 0.4))
    assert violations(layer) == {"weight": 0.0}


def test_one_large_entry_hides_no_violation_elsewhere():
    both = Intersection(Increasing(), Between([-INF] * 3, [0.0, INF, INF]))
    w = torch.tensor([[0.0, 1.0, 1e7], [0.0, 1.0, 0.0]])
    assert float(both.violation(w)) > 0.4
    torch.testing.assert_close(both.project(w), torch.tensor([[0.0, 1.0, 1e7], [0.0, 0.5, 0.5]]))


def test_nan_in_one_vector_stops_no_other():
    both = Intersection(MaxNorm(1.0, dim=-1), L1Ball(1.2, dim=-1))
    x = both.project(torch.tensor([[float("nan"), 0.0, 0.0], [5.0, 5.0, 5.0]]))
    assert bool(x[0, 0].isnan())
    torch.testing.assert_close(x[1], torch.full((3,), 0.4), rtol=1e-5, atol=0)


@pytest.mark.parametrize("constraint", [MaxNorm(1.0, dim=-1), UnitNorm(dim=-1), NonNegative(), Between(0, 1)], ids=repr)
def test_projections_can_be_mapped(constraint):
    w = torch.randn(4, 3, 5)
    torch.testing.assert_close(torch.func.vmap(constraint.project)(w), torch.stack([constraint.project(x) for x in w]))


def test_patterns_may_come_as_an_iterator():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.warns(UserWarning, match=r"also matches weights of normalisation"):
        constrain(net, iter(["*.weight"]), NonNegative())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constrain(net, iter(["*.weight"]), NonNegative(), exclude=iter(["1.*"]))


def test_float8_weights_are_refused():
    layer = nn.Linear(3, 2)
    layer.weight = nn.Parameter(layer.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    with pytest.raises(BadInput, match=r"holds torch.float8_e4m3fn numbers"):
        constrain(layer, "weight", NonNegative())
