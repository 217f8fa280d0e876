"""A declaration goes where its model goes: copies, files, other weights, other types."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import isotone
from isotone import NonNegative, constrain, constraints_of

from .worlds import enforced, lowest, model, push


def through_a_file(net: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


# fmt: off
COPIES = {
    "deepcopy":             copy.deepcopy,
    "a copy of a copy":     lambda net: copy.deepcopy(copy.deepcopy(net)),
    "pickle":               lambda net: pickle.loads(pickle.dumps(net)),
    "an old pickle":        lambda net: pickle.loads(pickle.dumps(net, protocol=2)),
    "torch.save and load":  through_a_file,
    "inside another model": lambda net: copy.deepcopy(nn.ModuleDict({"inner": net}))["inner"],
    "an averaged model":    lambda net: AveragedModel(net).module,
    "one layer by itself":  lambda net: nn.Sequential(copy.deepcopy(net[0]), copy.deepcopy(net[1])),
}
# fmt: on


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_held_and_so_is_the_original(how):
    net = model()
    twin = COPIES[how](net)
    assert constraints_of(twin) == constraints_of(net) == {"0.weight": NonNegative(), "1.weight": NonNegative()}
    assert list(twin.state_dict()) == list(net.state_dict())
    before = copy.deepcopy(net.state_dict())
    assert enforced(twin)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items()), "not independent"
    assert enforced(net)


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_held_after_the_original_has_died(how):
    assert enforced(COPIES[how](model()))


@pytest.mark.parametrize("how", COPIES)
def test_letting_go_of_a_copy_does_not_let_go_of_the_original(how):
    net = model()
    twin = COPIES[how](net)
    isotone.remove_constraint(twin)
    assert not enforced(twin)
    assert enforced(net)


def test_a_shallow_copy_outlives_its_original():
    net = nn.Linear(3, 2)
    constrain(net, "weight", NonNegative())
    net = copy.copy(net)
    assert enforced(net)


def test_a_model_from_a_file_is_held_in_a_process_that_has_only_loaded_it(tmp_path):
    torch.save(model(), tmp_path / "model.pt")
    program = f"""
import torch
net = torch.load({str(tmp_path / "model.pt")!r}, weights_only=False)
optimizer = torch.optim.SGD(net.parameters(), 1.0)
sum(p.sum() for p in net.parameters()).backward()
optimizer.step()
print(min(float(p.detach().min()) for n, p in net.named_parameters() if n.endswith("weight")))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert float(ran.stdout) == 0


def test_loading_weights_that_are_inside_says_nothing_and_keeps_the_hold():
    net, other = model(0), model(1)
    net.load_state_dict(other.state_dict())
    assert torch.equal(net[0].weight, other[0].weight)
    assert enforced(net)


def test_loading_weights_that_are_outside_projects_them_and_says_so():
    net = model()
    free = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.warns(
        UserWarning, match=r"loaded Linear.weight was outside NonNegative\(\) and has been projected"
    ) as w:
        net.load_state_dict(free.state_dict())
    assert len(w) == 2
    assert torch.equal(net[0].weight, free[0].weight.clamp(min=0))
    assert torch.equal(net[0].bias, free[0].bias)


@pytest.mark.parametrize("again", [model, lambda: copy.deepcopy(model()), lambda: pickle.loads(pickle.dumps(model()))])
def test_it_is_said_once_for_each_weight_also_by_copies(again):
    net = again()
    constrain(net, "*.weight", NonNegative())
    with pytest.warns(UserWarning, match="has been projected") as caught:
        net.load_state_dict({name: -torch.ones_like(tensor) for name, tensor in net.state_dict().items()})
    assert len(caught) == 2
    assert lowest(net) == 0
    assert lowest(net, "bias") == -1


def test_infinite_weights_that_are_inside_load_in_silence():
    net = model()
    state = {name: torch.full_like(tensor, torch.inf) for name, tensor in net.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.load_state_dict(state)


def test_assigned_weights_are_held_by_a_new_optimizer():
    net, free = model(), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.warns(UserWarning, match="has been projected"):
        net.load_state_dict(free.state_dict(), assign=True)
    assert lowest(net) == 0
    assert enforced(net)


def test_a_model_made_on_meta_is_held_once_it_has_weights():
    with torch.device("meta"):
        net = model()
    net.load_state_dict(model(1).state_dict(), assign=True)
    net.requires_grad_()
    assert enforced(net)


@pytest.mark.parametrize("convert", [nn.Module.double, nn.Module.half, nn.Module.bfloat16])
def test_a_converted_model_is_still_held(convert):
    assert enforced(convert(model()))


def test_tied_weights_of_a_copy_are_tied_and_held():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    constrain(net, "0.weight", NonNegative())
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight
    assert enforced(twin)
    push(net, torch.optim.SGD(net.parameters(), 0.4))
    assert lowest(net) == 0
