"""What other code does to a held module: it puts another in its place, fails half-way, turns warnings into errors."""

from __future__ import annotations

import copy
import gc
import io
import threading
import warnings

import pytest
import torch
import torch.nn.utils.prune
from torch import nn

import isotone
from isotone import Constraint, Masked, MaxNorm, MinMaxNorm, NonNegative, Sign, Simplex, UnitNorm, constrain, violations
from isotone.constraints import _declaring
from isotone.errors import BadInput


def stepped(model, steps=30, lr=1.0):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()


def layer():
    return nn.Linear(4, 3)


class Root(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3, 4))

    def forward(self, x):
        return x @ self.w.T


def batch_norms():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    constrain(model, ["0.weight", "1.weight"], NonNegative())
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


def traced():
    model = Root()
    constrain(model, "w", NonNegative())
    return torch.fx.symbolic_trace(model)


@pytest.mark.parametrize("make", [batch_norms, traced])
def test_a_weight_whose_module_was_replaced_is_kept_inside_and_it_is_said_once(make):
    model = make()
    gc.collect()
    with pytest.warns(UserWarning, match="the module in which it was declared is gone") as said:
        stepped(model)
    assert len(said) == 1
    weights = [p for name, p in model.named_parameters() if not name.endswith("bias")]
    assert all(bool((p >= 0).all()) for p in weights)


def test_a_weight_that_was_let_go_is_not_taken_up_again():
    layer = nn.Linear(2, 1)
    constrain(layer, "weight", NonNegative())
    isotone.remove_constraint(layer, "weight")
    other = nn.Linear(2, 1)
    other.weight = layer.weight
    del layer
    gc.collect()
    stepped(other)
    assert bool((other.weight < 0).all())


def test_of_tied_weights_the_one_that_is_still_held_is_kept_inside():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    model[2].weight = model[1].weight
    constrain(model, ["1.weight", "2.weight"], NonNegative())
    isotone.remove_constraint(model, "1.weight")
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    gc.collect()
    with pytest.warns(UserWarning, match="is gone"):
        stepped(model)
    assert bool((model[1].weight >= 0).all())


def test_an_orphan_is_put_back_beside_a_set_that_fails():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    constrain(model, "1.weight", NonNegative())
    constrain(model, "2.weight", Fails())
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    gc.collect()
    with pytest.raises(RuntimeError, match="cannot be projected"):
        stepped(model, 1, lr=9.0)
    assert bool((model[1].weight >= 0).all())


def test_a_pruned_weight_that_was_let_go_is_free_when_it_comes_back():
    first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    constrain(first, "weight", NonNegative())
    torch.nn.utils.prune.identity(first, "weight")
    isotone.remove_constraint(first, "weight")
    second.weight = first.weight_orig
    del first
    gc.collect()
    stepped(second)
    assert bool((second.weight < 0).all())


def test_torch_may_swap_the_tensors_of_held_weights():
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        model = layer()
        constrain(model, "weight", NonNegative())
        stepped(model, 1)
        model.double()
        model.load_state_dict(model.state_dict())
        stepped(model)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert model.weight.dtype is torch.float64
    assert violations(model) == {"weight": 0.0}


def test_the_mark_of_a_weight_is_no_part_of_what_is_saved():
    model = layer()
    constrain(model, "weight", NonNegative())
    stepped(model, 1)
    saved = io.BytesIO()
    torch.save({"weight": model.weight, **model.state_dict()}, saved)
    saved.seek(0)
    assert torch.equal(torch.load(saved, weights_only=True)["weight"], model.weight)


def test_models_are_constrained_in_one_thread_while_another_steps():
    model, done, faults = layer(), threading.Event(), []
    constrain(model, "weight", NonNegative())

    def steps():
        while not done.is_set():
            try:
                stepped(model, 1)
            except Exception as fault:
                faults.append(fault)

    thread = threading.Thread(target=steps)
    thread.start()
    for _ in range(300):
        constrain(layer(), "weight", NonNegative())
    done.set()
    thread.join()
    assert not faults


def test_a_module_that_calls_something_else_its_padding_is_held_as_any():
    odd = layer()
    odd.padding_idx = 7
    constrain(odd, "weight", NonNegative())
    assert violations(odd) == {"weight": 0.0}


def test_a_model_of_an_older_version_loads():
    model = layer()
    constrain(model, "weight", NonNegative(), strict=True)
    _declaring._before_loading(model, model.state_dict(), "")
    with pytest.raises(BadInput, match="is 1 outside"):
        _declaring._before_loading(model, {"weight": -torch.ones(3, 4)}, "")


def test_a_model_that_died_leaves_nothing_behind_for_its_successors():
    for _ in range(20):
        layer = nn.Linear(2, 1)
        constrain(layer, "weight", NonNegative())
        stepped(layer, 1)
        del layer
        free = nn.Linear(2, 1)
        stepped(free, 5)
        assert bool((free.weight < 0).all())


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 3, bias=False), lambda: nn.Embedding(5, 3)])
@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.orthogonal])
def test_a_weight_that_was_parametrized_is_said_to_be_gone_where_nothing_else_is_trained(make, norm):
    layer = make()
    constrain(layer, "weight", NonNegative())
    norm(layer)
    with pytest.warns(UserWarning, match="has no parameter weight any more"):
        stepped(layer, 1)


def test_weights_are_inside_where_warnings_are_errors():
    layer = nn.Linear(3, 2)
    constrain(layer, "weight", MaxNorm(0.5))
    optimizer = torch.optim.Adadelta(layer.parameters(), lr=50.0)  # whose metric is not known
    layer.weight.grad = torch.ones_like(layer.weight)
    outside = {name: -torch.ones_like(value) for name, value in layer.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="may settle"):
            optimizer.step()
        assert violations(layer) == {"weight": 0.0}
        with pytest.raises(UserWarning, match="has been projected"):
            layer.load_state_dict(outside)
        assert violations(layer) == {"weight": 0.0}


class Fails(Constraint):
    """Where it comes to a number of 5 or more."""

    def project(self, w, metric=None):
        if bool((w.abs() >= 5).any()):
            raise RuntimeError("it cannot be projected")
        return w.clone()


def test_a_set_that_fails_leaves_no_other_weight_outside():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    constrain(model, "0.weight", MaxNorm(0.5))
    constrain(model, "1.weight", Fails())
    with pytest.raises(RuntimeError, match="cannot be projected"):
        stepped(model, 1, lr=9.0)
    assert violations(model[0]) == {"weight": 0.0}
    nn.init.constant_(model[0].weight, 7.0)
    with pytest.raises(RuntimeError, match="cannot be projected"):
        isotone.project_(model)
    assert violations(model[0]) == {"weight": 0.0}


def test_a_weight_that_cannot_be_projected_at_the_end_of_a_block_suspends_no_other():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    constrain(model, "0.weight", Sign((1, 1, 1, 1)))
    constrain(model, "1.weight", NonNegative())
    block = isotone.suspended(model)
    block.__enter__()
    model[0].weight = nn.Parameter(torch.randn(3, 5))
    nn.init.constant_(model[1].weight, -1.0)
    with pytest.raises(BadInput, match="4 directions"):
        block.__exit__(None, None, None)
    assert str(violations(model)) == "{'0.weight': nan, '1.weight': 0.0}"
    model[0].weight = nn.Parameter(torch.rand(3, 4))
    stepped(model, 3)
    assert violations(model) == {"0.weight": 0.0, "1.weight": 0.0}


def test_loading_is_free_inside_a_block_and_projected_at_its_end():
    layer = nn.Linear(3, 2)
    constrain(layer, "weight", NonNegative(), strict=True)
    outside = {name: -torch.ones_like(value) for name, value in layer.state_dict().items()}
    with isotone.suspended(layer):
        layer.load_state_dict(outside)
        assert bool((layer.weight == -1).all())
    assert violations(layer) == {"weight": 0.0}


def test_a_shallow_copy_loads_when_its_original_is_gone():
    layer = nn.Linear(4, 3)
    constrain(layer, "weight", NonNegative(), strict=True)
    shallow, state = copy.copy(layer), layer.state_dict()
    del layer
    gc.collect()
    shallow.load_state_dict(state)
    with pytest.raises(BadInput, match="is 1 outside"):
        copy.deepcopy(shallow).load_state_dict({**state, "weight": -torch.ones(3, 4)})


@pytest.mark.parametrize("constraint", [UnitNorm(), Simplex(), MinMaxNorm(0.5, 1.0)], ids=repr)
def test_a_padding_row_that_is_no_member_is_said(constraint):
    with pytest.warns(UserWarning, match="padding row of weight was 0 and is not a member"):
        constrain(nn.Embedding(5, 3, padding_idx=0), "weight", constraint)
    mask = torch.ones(5, 3, dtype=torch.bool)
    mask[0] = False
    held = nn.Embedding(5, 3, padding_idx=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constrain(nn.Embedding(5, 3, padding_idx=0), "weight", NonNegative())
        constrain(held, "weight", Masked(NonNegative(), mask))


def test_part_of_the_way_goes_towards_the_nearest_point_in_the_metric():
    layer = nn.Linear(3, 1, bias=False)
    found = []
    for rate in (1.0, 0.99):
        constrain(layer, "weight", MinMaxNorm(0.0, 1.0, rate=rate))
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
        for _ in range(800):
            optimizer.zero_grad()
            (layer.weight - torch.tensor([3.0, 2.0, 1.0])).square().sum().backward()
            optimizer.step()
        found.append(layer.weight.detach().clone())
        isotone.remove_constraint(layer)
    best = torch.tensor([3.0, 2.0, 1.0]) / 14**0.5
    assert torch.allclose(found[0], best, atol=0.01)
    assert torch.allclose(found[1], best, atol=0.03)


# fmt: off
MISTAKES = [
    (lambda: Sign(1),                                                  "Sign: 1 came; one per index is right; for all"),
    (lambda: MaxNorm("2"),                                             "MaxNorm: max='2' came; a number is right"),
    (lambda: Simplex(None),                                            "Simplex: total=None came; a number is right"),
    (lambda: isotone.LinfBall("1"),                                    "LinfBall: radius='1' came; a number is right"),
    (lambda: isotone.Between("a"),                                     "bounds: 'a' came; a number, or an array"),
    (lambda: constrain(layer(), "weight", UnitNorm(2.0)),              "UnitNorm: dim=2.0 came; a number, a tuple of"),
    (lambda: constrain(layer(), "weight", UnitNorm("output")),         "UnitNorm: dim='output' came"),
    (lambda: constrain(layer().parameters(), "*", NonNegative()),      "constrain: generator came; a torch.nn.Module"),
    (lambda: constrain(layer(), None, NonNegative()),                  "pattern: NoneType came for a pattern; a param"),
    (lambda: constrain(layer(), layer().weight, NonNegative()),        "pattern: Parameter came for a pattern"),
    (lambda: violations([layer()]),                                    "violations: list came; a torch.nn.Module"),
    (lambda: isotone.project_(torch.ones(2)),                          "project_: Tensor came; a torch.nn.Module"),
    (lambda: isotone.parametrize(layer(), "weight", NonNegative),      "parametrize: .*NonNegative.* came as the con"),
    (lambda: isotone.parametrize(layer(), "weight", isotone.Increasing(dim=(0, 1))), "its smooth map takes one"),
    (lambda: Masked([True], NonNegative()),                            "Masked: .*True.* came as the constraint"),
]
# fmt: on


@pytest.mark.parametrize(("call", "said"), MISTAKES)
def test_a_mistake_gets_its_sentence(call, said):
    with pytest.raises(BadInput, match=said):
        call()


def test_settings_of_any_kind_that_mean_the_same_are_the_same():
    both = layer()
    constrain(both, "weight", MaxNorm(1.0, dim=[0, 1]))
    constrain(both, "weight", MaxNorm(1.0, dim=(0, 1)))
    assert hash(isotone.constraints_of(both)["weight"]) == hash(MaxNorm(1.0, dim=(0, 1)))
    mask = torch.ones(4, dtype=torch.bfloat16, requires_grad=True)
    assert Masked(NonNegative(), mask) == Masked(NonNegative(), [True] * 4)
    fall = isotone.Decreasing(dim=None).project(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
    assert bool((fall.flatten().diff() <= 0).all())
