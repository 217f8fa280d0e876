"""The same sets as smooth maps: values are kept, results are inside, optimizers without a metric find the optimum."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize as torch_parametrize

import isotone
from isotone import (
    Between,
    Decreasing,
    Increasing,
    Intersection,
    L1Ball,
    LinfBall,
    Masked,
    MaxNorm,
    MinMaxNorm,
    NonNegative,
    NonPositive,
    Sign,
    Simplex,
    UnitNorm,
    constrain,
    parametrize,
)
from isotone.errors import BadInput, NoMatch

from .worlds import X, push

# fmt: off
SETS = [
    # constraint                    closest  why (what starts on a wall is moved inside, where the map is not flat)
    (NonNegative(),                 1e-2,    "softplus"),
    (NonPositive(),                 1e-2,    "softplus, mirrored"),
    (Between(-0.1, 0.3),            1e-2,    "a sigmoid"),
    (Between(low=-0.1),             1e-2,    "one bound: softplus"),
    (Between(high=0.3),             1e-2,    "the other bound"),
    (Between([-0.1, -9.0, -9.0], [0.1, 9.0, float("inf")]), 1e-1, "bounds for every input"),
    (Between(),                     0.0,     "no bound: as it is"),
    (LinfBall(0.3),                 1e-2,    "a sigmoid"),
    (Sign((1, -1, 0)),              1e-2,    "a sign for every input"),
    (MaxNorm(0.5),                  1e-6,    "long vectors are scaled down"),
    (UnitNorm(),                    1e-6,    "scaled"),
    (MinMaxNorm(0.3, 0.5),          1e-6,    "scaled"),
    (L1Ball(0.5),                   1e-6,    "scaled down"),
    (Simplex(),                     1e-2,    "a softmax"),
    (Increasing(),                  1e-2,    "sums of softplus"),
    (Decreasing(),                  1e-2,    "from the end"),
]
# fmt: on
every_set = pytest.mark.parametrize(("constraint", "closest", "why"), SETS, ids=[f"{c!r}: {why}" for c, _, why in SETS])


def layer(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 4, dtype=dtype)


@every_set
def test_declaring_keeps_the_nearest_members(constraint, closest, why):
    net, right = layer(), layer()
    constrain(right, "weight", constraint)
    assert parametrize(net, "weight", constraint) == ("weight",)
    torch.testing.assert_close(net.weight, right.weight, rtol=1e-6, atol=closest + 2e-7)


@every_set
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_every_raw_tensor_leads_inside(constraint, closest, why, dtype):
    net = layer(dtype)
    parametrize(net, "weight", constraint)
    held = net.parametrizations["weight"][0].constraint
    torch.manual_seed(1)
    for size in (1e-3, 1.0, 30.0):
        with torch.no_grad():
            net.parametrizations["weight"].original.copy_(size * torch.randn(4, 3))
        eps = torch.finfo(dtype).eps
        assert float(held.violation(net.weight.detach())) <= 8 * eps, why
        assert not bool(net.weight.isnan().any())


@every_set
def test_gradients_reach_the_raw_tensor_and_training_stays_inside(constraint, closest, why):
    net = layer()
    parametrize(net, "weight", constraint)
    held = net.parametrizations["weight"][0].constraint
    before = net.weight.detach().clone()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (net(X + 0.5) - torch.tensor([1.0, -1.0, 0.5, 2.0])).square().mean()
        loss.backward()
        return loss.detach()

    start = float(closure())
    for _ in range(3):
        optimizer.step(closure)
    assert float(closure()) < start
    assert not torch.equal(net.weight, before)
    assert float(held.violation(net.weight.detach())) <= 1e-6


@every_set
def test_assigning_projects(constraint, closest, why):
    net = layer()
    parametrize(net, "weight", constraint)
    held = net.parametrizations["weight"][0].constraint
    w = torch.linspace(-2, 2, 12).reshape(4, 3)
    net.weight = w
    torch.testing.assert_close(net.weight, held.project(w), rtol=1e-5, atol=2e-6 + 5 * closest)


def test_a_gradient_is_never_nan_where_bounds_are_missing():
    net = layer()
    parametrize(net, "weight", Between([-1.0, -float("inf"), -float("inf")], [1.0, 2.0, float("inf")]))
    net.weight.square().sum().backward()
    assert bool(net.parametrizations["weight"].original.grad.isfinite().all())


def test_it_is_torchs_own_parametrization_and_can_be_removed_keeping_the_values():
    net = layer()
    parametrize(net, "weight", NonNegative())
    assert torch_parametrize.is_parametrized(net, "weight")
    assert list(net.state_dict()) == ["bias", "parametrizations.weight.original"]
    value = net.weight.detach().clone()
    twin = copy.deepcopy(net)
    push(twin, torch.optim.SGD(twin.parameters(), 0.4))
    assert bool((twin.weight >= 0).all())
    torch_parametrize.remove_parametrizations(net, "weight")
    assert torch.equal(net.weight, value)


# What the page on constraints says of weight decay: it acts on the raw tensor.
def test_decay_of_the_raw_tensor_leads_softplus_weights_to_ln_2():
    net = layer()
    parametrize(net, "weight", NonNegative())
    optimizer = torch.optim.SGD(net.parameters(), 0.1, weight_decay=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        (net.weight * 0).sum().backward()
        optimizer.step()
    torch.testing.assert_close(net.weight.detach(), torch.full((4, 3), 2.0).log(), rtol=1e-4, atol=0)


# fmt: off
MISTAKES = [
    (lambda: parametrize(layer(), "wieght", NonNegative()),                       NoMatch,  "parametrize: 'wieght' matches no parameter. Did you mean 'weight'"),
    (lambda: parametrize(layer(), "weight", Intersection(NonNegative(), MaxNorm(1.0))), BadInput, r"Intersection\(.*: there is no smooth map onto this set; hold it with `constrain`"),
    (lambda: parametrize(layer(), "weight", Masked(NonNegative(), True)),         BadInput, r"Masked\(.*there is no smooth map"),
    (lambda: parametrize(layer(), "bias", MaxNorm(1.0)),                          BadInput, "dim='inputs'.*say which dimensions"),
    (lambda: parametrize(nn.LazyLinear(2), "weight", NonNegative()),              BadInput, "parametrize: 'weight' is lazy"),
    (lambda: parametrize(held(), "weight", NonNegative()),                        BadInput, "'weight' is already constrained"),
    (lambda: parametrize(tied(), "0.weight", NonNegative()),                      BadInput, "'0.weight' is tied"),
]
# fmt: on


def held() -> nn.Module:
    net = layer()
    constrain(net, "weight", isotone.NonNegative())
    return net


def tied() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    return net


@pytest.mark.parametrize(("mistake", "error", "said"), MISTAKES, ids=[said for *_, said in MISTAKES])
def test_a_mistake_gets_one_sentence(mistake, error, said):
    with pytest.raises(error, match=said):
        mistake()


@pytest.mark.parametrize("constraint", [NonNegative(), Between(-0.1, 0.3), Increasing(), Simplex()], ids=repr)
def test_weights_that_start_on_a_wall_can_leave_it(constraint):
    """Softplus is flat at 0: an exact inverse of 0 would hold the weight there for ever, as relu(w) does."""
    net = layer()
    parametrize(net, "weight", constraint)
    raw = net.parametrizations["weight"].original
    net.weight.sum().backward() if not isinstance(constraint, Simplex) else net.weight.square().sum().backward()
    assert float(raw.grad.abs().min()) > 1e-6


def test_weights_away_from_their_walls_keep_their_values():
    net = layer()
    with torch.no_grad():
        net.weight.abs_().add_(0.1)
    before = net.weight.detach().clone()
    parametrize(net, "weight", NonNegative())
    torch.testing.assert_close(net.weight, before, rtol=1e-6, atol=0)
