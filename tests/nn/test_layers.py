"""What each layer promises beyond its directions: shapes of functions, starts, refusals, copies, compilation, depth."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import copy
import runpy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone.errors import BadInput, NoMatch
from isotone.nn import (  # fmt: skip
    LearnedRamps,
    MinMax,
    MonotoneBatchNorm,
    MonotoneLinear,
    MonotoneMLP,
    MonotoneResidual,
    Ramps,
    SwitchLinear,
    refuse_unsafe,
)
from isotone.verdict import Verdict

from .cases import CASES, as_function, pairs, shake

NEW = [name for name in CASES if name.startswith(("Switch", "MinMax", "MonotoneRes", "MonotoneBatch", "MonotoneMLP", "LearnedRamps", "Cumul", "Quant", "Bounded", "PerOutput"))]  # fmt: skip


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", NEW)
def test_a_state_dict_makes_another_the_same(name):
    case = CASES[name]
    net = shake(case.make()).eval()
    twin = case.make().eval()
    twin.load_state_dict(copy.deepcopy(net.state_dict()))
    lower, _ = pairs(case.inputs)
    assert torch.equal(net(*lower), twin(*lower))
    assert torch.equal(copy.deepcopy(net)(*lower), net(*lower))


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
@pytest.mark.filterwarnings("ignore")  # of the compiler, about itself
def test_it_compiles_and_gives_the_same(name):
    case = CASES[name]
    net = as_function(case.make(), case.inputs).eval()
    lower, _ = pairs(case.inputs)
    torch.testing.assert_close(torch.compile(net, fullgraph=True)(*lower), net(*lower))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "name", ["SwitchLinear, up", "SwitchLinear, mixed", "SwitchLinear, stack", "MinMax, up", "MinMax, mixed"]
)
def test_not_even_a_rounding_falls(name, dtype):
    case = CASES[name]
    net = shake(case.make(), 2).eval().to(dtype)
    (lower,), (upper,) = pairs(case.inputs, rows=2000)
    with torch.no_grad():
        out = net(torch.cat([lower, upper]).to(dtype))
    assert bool((out[2000:] >= out[:2000]).all())


# The switch.


def test_a_switch_is_its_formula():
    layer = SwitchLinear(5, 3)
    x = torch.randn(7, 5)
    right = F.relu(x) @ layer.weight.clamp(min=0).T + F.relu(-x) @ layer.weight.clamp(max=0).T + layer.bias
    torch.testing.assert_close(layer(x), right)


def test_a_free_input_of_a_switch_enters_as_in_a_linear_layer():
    layer = SwitchLinear(5, 3, 0)
    x = torch.randn(7, 5)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))


def test_a_weight_of_zero_is_not_stuck():
    layer = SwitchLinear(2, 1)
    nn.init.zeros_(layer.weight)
    layer(torch.tensor([[1.0, -2.0]])).sum().backward()
    assert bool((layer.weight.grad != 0).all())


def test_any_optimizer_even_one_without_hooks_keeps_a_switch_increasing():
    layer = SwitchLinear.stack((3, 8, 1), (1, -1, 0))
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_(std=3.0)
    assert isotone.certify(layer, torch.randn(2, 3), (1, -1, 0)).verdict is Verdict.PROVED


@pytest.mark.parametrize("activation", [nn.GELU(), nn.SiLU(), torch.sin, nn.Softmax(-1)])
def test_a_switch_refuses_what_falls(activation):
    with pytest.raises(
        BadInput, match=r"SwitchLinear: activation=.*not increasing entry by entry; one that never falls"
    ):
        SwitchLinear(2, 2, activation=activation)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ELU(), nn.Softplus(), nn.CELU(), torch.sigmoid])
def test_a_switch_takes_what_rises(activation):
    net = SwitchLinear.stack((2, 6, 1), (1, -1), activation=activation)
    assert isotone.certify(net, torch.randn(2, 2), (1, -1), budget=200).verdict is Verdict.PROVED


@pytest.mark.parametrize("depth", [2, 8])
def test_a_stack_of_switches_starts_at_unit_variance_in_every_layer(depth):
    x = torch.randn(4000, 16)
    for layer in SwitchLinear.stack((16, *(32,) * depth, 1)):
        x = layer(x)
        assert 0.7 < float(x.var(0).mean().detach()) < 1.4
        assert float(x.mean().abs().detach()) < 0.4


# Min-max.


def test_min_max_is_the_smallest_of_largest():
    net, x = MinMax(4, 2, groups=3, size=5), torch.randn(6, 4)
    forms = net.forms(x).view(6, 2, 3, 5)
    assert torch.equal(net(x), forms.amax(3).amin(2))
    other = MinMax(4, 2, groups=3, size=5, outer="max")
    assert torch.equal(other(x), other.forms(x).view(6, 2, 3, 5).amin(3).amax(2))


@pytest.mark.parametrize("outer", ["min", "max"])
def test_the_smooth_one_is_near_the_sharp_one_and_nearer_with_beta(outer):
    net, x = MinMax(4, groups=3, size=5, outer=outer), torch.randn(200, 4)
    sharp, far = net(x), []
    for beta in (2.0, 20.0):
        net.smooth = beta
        far.append(float((net(x) - sharp).abs().max().detach()))
        assert far[-1] <= torch.tensor(5.0).log() / beta + 1e-5
    assert far[1] < far[0] / 5


def test_one_group_cannot_bend_down_and_several_can():
    """A root is concave: one maximum of lines is convex and stays a line, a minimum of lines follows it."""
    x = torch.rand(512, 1) * 2 - 1
    y = ((x + 1) / 2).sqrt()
    errors = []
    for groups, size in ((1, 8), (8, 1)):
        torch.manual_seed(0)
        net = MinMax(1, groups=groups, size=size)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
        for _ in range(250):
            optimizer.zero_grad()
            loss = (net(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        errors.append(float(loss.detach()))
    assert errors[1] < errors[0] / 4


# Residual blocks.


def test_a_block_is_what_is_there_and_what_is_added():
    layers, x = MonotoneLinear(4, 4), torch.randn(3, 4)
    assert torch.equal(MonotoneResidual(layers, 0.25)(x), x + 0.25 * layers(x))


@pytest.mark.parametrize("depth", [2, 16, 32])
def test_the_activations_of_a_deep_network_stay_of_unit_order(depth):
    net, x = MonotoneMLP(8, (32,) * depth, residual=True), torch.randn(1000, 8)
    for part in net.layers[:-2]:
        x = part(x)
        assert 0.5 < float(x.std(0).mean().detach()) < 4.0
    assert 0.7 < float(net(torch.randn(1000, 8)).std().detach()) < 1.4


BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "depth.py"


@pytest.mark.parametrize("depth", [16])
def test_sixteen_layers_train(depth):
    run = runpy.run_path(str(BENCHMARK))["trained"]("residual", depth, seed=100, rate=3e-3)
    assert not run["collapsed"]
    assert run["auc"] > 0.9
    assert run["verdict"] == "proved"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("depth", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("kind", ["residual", "switch", "residual, batch norm"])
def test_no_depth_collapses(kind, depth, seed):
    run = runpy.run_path(str(BENCHMARK))["trained"](kind, depth, seed=100 + seed, rate=3e-3)
    assert not run["collapsed"]
    assert run["auc"] > 0.9
    assert run["verdict"] == "proved"


def test_a_network_that_says_nothing_counts_as_collapsed():
    made = runpy.run_path(str(BENCHMARK))
    made["KINDS"]["constant"] = lambda depth: nn.Sequential(MonotoneLinear(8, 1), nn.Hardtanh(9.0, 10.0))
    assert made["trained"]("constant", 2, seed=0, rate=1e-9)["collapsed"]


# Normalisation.


def test_a_scale_that_training_pushes_below_zero_is_held_at_zero():
    norm = MonotoneBatchNorm(3)
    optimizer = torch.optim.SGD(norm.parameters(), lr=10.0)
    norm.weight.grad = torch.ones(3)
    optimizer.step()
    assert norm.weight.tolist() == [0.0, 0.0, 0.0]


def test_in_training_mode_rows_move_each_other_and_no_one_says_proved():
    norm = MonotoneBatchNorm(2)
    assert isotone.certify(norm, torch.randn(4, 2), +1).verdict is not Verdict.PROVED
    assert isotone.certify(norm.eval(), torch.randn(4, 2), +1).verdict is Verdict.PROVED


def negative(norm: nn.Module) -> nn.Module:
    nn.init.constant_(norm.weight, -1.0)
    return norm


# fmt: off
UNSAFE = [
    # part                                      what it says
    (nn.LayerNorm(3),                           "a LayerNorm, and it divides by the spread of the row itself"),
    (nn.GroupNorm(1, 3),                        "a GroupNorm, and it divides by the spread"),
    (nn.InstanceNorm1d(3),                      "a InstanceNorm1d, and it divides by the spread"),
    (nn.RMSNorm(3),                             "a RMSNorm, and it divides by the spread"),
    (negative(nn.BatchNorm1d(3)),               "a BatchNorm1d, and a scale of it is negative"),
    (nn.BatchNorm1d(3, track_running_stats=False), "it keeps no statistics"),
    (nn.GELU(),                                 "a GELU, and it falls before it rises; ReLU, ELU, softplus or Saturating would be right"),
    (nn.SiLU(),                                 "a SiLU, and it falls before it rises"),
    (nn.Mish(),                                 "a Mish, and it falls before it rises"),
    (nn.Hardswish(),                            "a Hardswish, and it falls before it rises"),
    (nn.Softmax(1),                             "a Softmax, and a logit that rises lowers the other classes"),
    (nn.LogSoftmax(1),                          "a LogSoftmax, and a logit that rises"),
]
# fmt: on


@pytest.mark.parametrize(("part", "said"), UNSAFE, ids=[said for _, said in UNSAFE])
def test_parts_that_fall_are_refused_by_name_with_the_reason(part, said):
    with pytest.raises(BadInput, match=f"refuse_unsafe: 'head.1' is .*{said}"):
        refuse_unsafe(nn.ModuleDict({"head": nn.Sequential(MonotoneLinear(3, 3), part)}))


@pytest.mark.parametrize(("part", "said"), UNSAFE, ids=[said for _, said in UNSAFE])
def test_what_is_refused_is_proved_by_no_one(part, said):
    """The reasons are true: behind an increasing layer none of these is proved."""
    net = nn.Sequential(MonotoneLinear(3, 3), copy.deepcopy(part)).eval()
    assert isotone.certify(net, torch.randn(4, 3), +1, budget=300).verdict is not Verdict.PROVED


def test_parts_off_the_path_are_free_and_all_of_ours_pass():
    net = nn.ModuleDict({"free": nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)), "head": MonotoneLinear(3, 1)})
    refuse_unsafe(net, free=["free"])
    with pytest.raises(NoMatch, match="'fere' matches no submodule"):
        refuse_unsafe(net, free=["fere"])
    for case in CASES.values():
        refuse_unsafe(case.make())


def test_a_norm_of_the_row_is_refused_by_name():
    with pytest.raises(BadInput, match=r"MonotoneMLP: norm='layer' came; 'batch' or None is right\. Norms of a row"):
        MonotoneMLP(3, (8,), norm="layer")


# Ramps that learn.

KNOTS = (torch.tensor([-1.0, -0.2, 0.1, 1.2]), torch.tensor([0.0, 0.5]))


def test_learned_ramps_start_as_ramps():
    x = torch.randn(50, 2)
    torch.testing.assert_close(LearnedRamps(KNOTS)(x), Ramps(KNOTS)(x), rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-200, 200), min_size=3, max_size=3))
def test_knots_stay_in_order_and_the_ends_stay_whatever_is_learned(logits):
    ramps = LearnedRamps(KNOTS)
    with torch.no_grad():
        ramps.logits[0].copy_(torch.tensor(logits))
    left, width = (x.detach() for x in ramps.stretches())
    assert bool((width > 0).all())
    assert bool((left[:3].diff() > 0).all())
    assert float(left[0]) == -1.0
    assert float((left + width)[2]) == pytest.approx(1.2, abs=1e-6)
    x = torch.linspace(-3, 3, 2001)[:, None].expand(-1, 2)
    assert bool((ramps(x).diff(dim=0) >= 0).all())


def test_knots_move_to_where_the_step_is():
    x = torch.linspace(0, 1, 400)[:, None]
    y = ((x - 0.71) / 0.02).clamp(0, 1)
    errors = []
    for kind in (Ramps, LearnedRamps):
        torch.manual_seed(0)
        net = nn.Sequential(kind([torch.linspace(0, 1, 5)]), MonotoneLinear(6, 1))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        for _ in range(250):
            optimizer.zero_grad()
            loss = (net(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        errors.append(float(loss.detach()))
    assert errors[1] < errors[0] / 4


# fmt: off
REFUSED = [
    # what is made                                              what it says
    (lambda: MinMax(3, groups=0),                               "MinMax: groups=0 and size=8 came; 1 or more"),
    (lambda: MinMax(3, smooth=0.0),                             "MinMax: smooth=0.0 came; a finite number above 0"),
    (lambda: MinMax(3, outer="mean"),                           "MinMax: outer='mean' came; 'min' or 'max'"),
    (lambda: MonotoneResidual(nn.Identity(), gain=-1.0),        "MonotoneResidual: gain=-1.0 came; a finite number above 0"),
    (lambda: MonotoneMLP(3, (8, 4), residual=True),             r"MonotoneMLP: hidden=\(8, 4\) came; one width is right"),
    (lambda: SwitchLinear.stack((3,)),                          r"SwitchLinear.stack: widths=\(3,\) came"),
]
# fmt: on


@pytest.mark.parametrize(("make", "said"), REFUSED)
def test_settings_that_make_no_layer_are_refused(make, said):
    with pytest.raises(BadInput, match=said):
        make()
