"""After every step of every optimizer the weights are inside."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks
from torch.optim.swa_utils import AveragedModel

import isotone
from isotone import Between, NonNegative, Sign, constrain
from isotone.constraints import _binding, _stepping

from .worlds import X, enforced, lowest, model, push

# fmt: off
OPTIMIZERS = [
    # make                    settings                                 why
    (torch.optim.SGD,         {"lr": 0.4},                             "plain"),
    (torch.optim.SGD,         {"lr": 0.2, "momentum": 0.9},            "momentum pushes on at the wall"),
    (torch.optim.SGD,         {"lr": 0.2, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, "Nesterov"),
    (torch.optim.SGD,         {"lr": 0.4, "foreach": True},            "foreach"),
    (torch.optim.SGD,         {"lr": 0.4, "fused": True},              "fused"),
    (torch.optim.Adam,        {"lr": 0.5},                             "adaptive"),
    (torch.optim.Adam,        {"lr": 0.5, "amsgrad": True},            "another denominator"),
    (torch.optim.Adam,        {"lr": 0.5, "foreach": True},            "foreach"),
    (torch.optim.Adam,        {"lr": 0.5, "fused": True},              "fused"),
    (torch.optim.Adam,        {"lr": torch.tensor(0.5), "capturable": False}, "a tensor as learning rate"),
    (torch.optim.AdamW,       {"lr": 0.5, "weight_decay": 0.1},        "decoupled decay"),
    (torch.optim.AdamW,       {"lr": 0.5, "fused": True},              "fused"),
    (torch.optim.NAdam,       {"lr": 0.5},                             "Nesterov's Adam"),
    (torch.optim.RMSprop,     {"lr": 0.5, "momentum": 0.5},            "square averages"),
    (torch.optim.Adagrad,     {"lr": 0.8},                             "square sums"),
    (torch.optim.Adagrad,     {"lr": 0.8, "fused": True},              "fused"),
    (torch.optim.Adadelta,    {"lr": 900.0},                           "no learning rate of its own"),
    (torch.optim.LBFGS,       {"lr": 1.0},                             "a closure, many moves in one step"),
    (torch.optim.LBFGS,       {"lr": 1.0, "line_search_fn": "strong_wolfe"}, "a line search"),
]
# fmt: on
every_optimizer = pytest.mark.parametrize(
    ("make", "settings", "why"), OPTIMIZERS, ids=[f"{make.__name__}: {why}" for make, _, why in OPTIMIZERS]
)


of_curvature = pytest.mark.filterwarnings("ignore:.*stays inside NonNegative.. under LBFGS:UserWarning")


@of_curvature
@every_optimizer
def test_an_optimizer_made_after_the_declaration(make, settings, why):
    assert enforced(model(), make, **settings)


@of_curvature
@every_optimizer
def test_an_optimizer_made_before_the_declaration(make, settings, why):
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = make(net.parameters(), **settings)
    constrain(net, "*.weight", NonNegative())
    push(net, optimizer)
    assert lowest(net) >= 0
    assert lowest(net, "bias") < 0


@every_optimizer
def test_without_a_declaration_the_same_push_leaves_the_set(make, settings, why):
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    push(net, make(net.parameters(), **settings))
    assert lowest(net) < 0


def test_without_the_hook_nothing_is_enforced():
    """The test of these tests: they would see a library that has lost its hook."""
    key = next(k for k, hook in _global_optimizer_post_hooks.items() if hook is _stepping.after_step)
    hook = _global_optimizer_post_hooks.pop(key)
    try:
        assert not enforced(model())
    finally:
        _global_optimizer_post_hooks[key] = hook
    assert enforced(model())


def test_there_is_one_hook():
    assert list(_global_optimizer_post_hooks.values()).count(_stepping.after_step) == 1


def test_members_are_left_alone_by_the_step():
    net = nn.Linear(3, 2)
    constrain(net, "weight", Between(-9, 9))
    twin = copy.deepcopy(net)
    isotone.remove_constraint(twin)
    for each in (net, twin):
        push(each, torch.optim.Adam(each.parameters(), lr=0.1))
    assert torch.equal(net.weight, twin.weight)


def test_frozen_weights_are_never_touched():
    net = model()
    net[0].weight.requires_grad_(False)
    with torch.no_grad():
        net[0].weight.fill_(-1)
    push(net, torch.optim.SGD(net.parameters(), 0.4))
    assert bool((net[0].weight == -1).all())
    assert isotone.violations(net) == {"0.weight": 1.0, "1.weight": 0.0}


def test_a_frozen_weight_that_still_has_a_gradient_is_moved_by_the_optimizer_and_so_projected():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4, momentum=0.9)
    push(net, optimizer, steps=1)
    with torch.no_grad():
        net[0].weight.fill_(0.1)
    net[0].weight.requires_grad_(False)
    optimizer.step()
    assert bool((net[0].weight == 0).all())


def test_a_parameter_without_a_gradient_is_projected_like_the_others():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    with torch.no_grad():
        net[0].weight.fill_(-1)
    net[1](torch.zeros(2, 4)).sum().backward()
    optimizer.step()
    assert lowest(net) >= 0


def test_the_optimizer_of_another_model_touches_nothing():
    generator, critic = model(0), model(1)
    with torch.no_grad():
        critic[0].weight.fill_(-1)
    push(generator, torch.optim.Adam(generator.parameters(), 0.5))
    assert bool((critic[0].weight == -1).all())


def test_two_optimizers_on_one_model_each_serve_their_part():
    net = model()
    first, second = (torch.optim.SGD(layer.parameters(), 0.4) for layer in net)
    with torch.no_grad():
        net[1].weight.fill_(-1)
    push(net, first)
    assert lowest(net[0]) == 0
    assert bool((net[1].weight == -1).all())
    push(net, second)
    assert lowest(net) == 0


def test_gradients_may_be_accumulated_over_several_backward_passes():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    for part in X.split(1):
        (net(part).sum() + sum(p.sum() for p in net.parameters())).backward()
    optimizer.step()
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


def test_a_step_skipped_by_a_gradient_scaler_harms_nothing():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    before = copy.deepcopy(net.state_dict())
    scaler.scale((net(X) * torch.inf).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    optimizer.zero_grad()
    scaler.scale(sum((p + 1.5).square().sum() for p in net.parameters())).backward()
    scaler.step(optimizer)
    assert lowest(net) == 0
    assert lowest(net, "bias") < 0


def test_an_optimizer_whose_step_calls_its_parents_step():
    class Twice(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    assert enforced(model(), Twice)


def test_learning_rate_schedules_change_nothing():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    push(net, optimizer)
    schedule.step()
    push(net, optimizer)
    assert lowest(net) == 0


# keras 3.15.1 averages the unprojected weights: its EMA writes -0.499 into a NonNeg kernel (constraints.md 10).
def test_averaged_weights_stay_inside():
    net = model()
    optimizer, averaged = torch.optim.SGD(net.parameters(), 0.4), AveragedModel(net)
    for _ in range(4):
        push(net, optimizer, steps=1)
        averaged.update_parameters(net)
        assert lowest(averaged) >= 0
    assert lowest(averaged, "bias") < 0


def test_hooks_of_one_optimizer_run_before_the_projection_as_the_docstring_says():
    net, seen = model(), []
    optimizer = torch.optim.SGD(net.parameters(), 0.4)
    optimizer.register_step_post_hook(lambda *_: seen.append(lowest(net)))
    push(net, optimizer, steps=1)
    assert seen[0] < 0 == lowest(net)


# keras 3.15.1 on torch with a native optimizer: kernel min -4.4 (constraints.md 10).
def test_keras_on_torch_recipe():
    layer = nn.Linear(3, 2)
    constrain(layer, "weight", NonNegative())
    optimizer = torch.optim.SGD(layer.parameters(), 1.0)
    layer(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    assert bool((layer.weight == 0).all())


# chop 27b1e4f: every parameter gets the last set (late binding of a loop variable; constraints.md 10).
def test_each_parameter_keeps_its_own_set():
    net = nn.ParameterList([torch.full((1, 4), 5.0) for _ in range(3)])
    for i in range(3):
        constrain(net, str(i), Between(0, i + 1))
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    sum(-p.sum() for p in net).backward()
    optimizer.step()
    assert [float(p.detach().max()) for p in net] == [1, 2, 3]


def test_signs_and_bounds_are_enforced_too():
    net = nn.Linear(3, 2)
    constrain(net, "weight", Sign((1, -1, 0)))
    constrain(net, "bias", Between(-0.25, 0.25))
    push(net, torch.optim.Adam(net.parameters(), 0.5), steps=9)
    assert bool((net.weight[:, 0] == 0).all())
    assert bool((net.weight[:, 1:] < -1).all())
    assert bool((net.bias == -0.25).all())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_recurrent_layer_sees_the_projected_weights(kind):
    net = kind(3, 4)
    constrain(net, "weight_*", NonNegative())
    push(net, torch.optim.SGD(net.parameters(), 0.4))
    assert all(bool((p == 0).all()) for name, p in net.named_parameters() if name.startswith("weight"))
    assert not bool(net(X)[0].isnan().any())


def test_a_sparse_embedding_is_held():
    net = nn.Embedding(5, 2, sparse=True)
    constrain(net, "weight", NonNegative())
    optimizer = torch.optim.SparseAdam(net.parameters(), 9.0)
    net(torch.tensor([1, 3])).sum().backward()
    optimizer.step()
    assert bool((net.weight[[1, 3]] == 0).all())
    assert bool((net.weight >= 0).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_converted_model_is_held_in_its_new_type(dtype):
    net = nn.Linear(3, 2)
    constrain(net, "weight", Between(0.0, 0.3))
    net.to(dtype)
    push(net, torch.optim.SGD(net.parameters(), 0.1, maximize=True))
    assert bool((net.weight.double() <= 0.3).all())
    assert float(net.weight.detach().max()) > 0.29


def test_the_registry_forgets_models_that_die():
    gc.collect()
    before = len(_binding._registry)
    net = model()
    twin = copy.deepcopy(net)
    assert len(_binding._registry) == before + 4
    del net, twin
    assert len(_binding._registry) == before, "without waiting for the garbage collector"
