"""After each of 50 steps of every optimizer that torch itself tests, every set holds, and what is free moves as ever.

The configurations are torch's own (`torch.testing._internal.common_optimizers.optim_db`), with each of its ways to
compute a step. One network holds every set at once, a layer each, so one run of a configuration is a row of the table.
"""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import copy
import functools
import importlib.util
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks

import isotone
from isotone import constrain
from isotone.constraints import (
    Between,
    Constraint,
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
    _stepping,
)

PINNED = "2.13"
pytestmark = pytest.mark.skipif(
    not torch.__version__.startswith(PINNED) or importlib.util.find_spec("expecttest") is None,
    reason=f"torch's database of optimizers is private to it: read as it is in torch {PINNED}, with expecttest installed",
)

STEPS = 50
DTYPES = (torch.float32, torch.bfloat16)
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
OUT, IN = 2, 4
LOW = [-0.01 * (i % 3) for i in range(IN)]
HIGH = [0.005 * (1 + i % 2) for i in range(IN)]
DIRECTIONS = (1, -1, 0, 1)
HALF = [[(i + j) % 2 == 0 for j in range(IN)] for i in range(OUT)]


class Row(NamedTuple):
    constraint: Constraint
    inside: Callable[[Tensor, float], Tensor]  # of the stored numbers as float64, and the eps of their dtype
    why: str


def norm(w: Tensor) -> Tensor:
    return w.square().sum(-1).sqrt()


# fmt: off
SETS = [
    # set                                                inside                                                          why
    Row(NonNegative(),                                   lambda w, _: w >= 0,                                            "an increasing layer"),
    Row(NonPositive(),                                   lambda w, _: w <= 0,                                            "a decreasing layer"),
    Row(Between(-0.003, 0.01),                           lambda w, _: (w >= -0.003) & (w <= 0.01),                       "neither bound is a bfloat16"),
    Row(Between(LOW, HIGH),                              lambda w, _: (w >= w.new_tensor(LOW)) & (w <= w.new_tensor(HIGH)), "a bound for every input"),
    Row(Sign(DIRECTIONS),                                lambda w, _: w * w.new_tensor(DIRECTIONS) >= 0,                 "a sign for every input"),
    Row(LinfBall(0.01),                                  lambda w, _: w.abs() <= 0.01,                                   "a cube"),
    Row(MaxNorm(0.03),                                   lambda w, _: norm(w) <= 0.03,                                   "a ball for every unit"),
    Row(MaxNorm(0.05, dim=None),                         lambda w, _: w.square().sum().sqrt() <= 0.05,                   "one ball for all"),
    Row(UnitNorm(),                                      lambda w, eps: (norm(w) - 1).abs() <= 2 * eps,                  "a sphere, not convex"),
    Row(MinMaxNorm(0.02, 0.05),                          lambda w, _: (norm(w) >= 0.02) & (norm(w) <= 0.05),             "a shell, not convex"),
    Row(L1Ball(0.05),                                    lambda w, _: w.abs().sum(-1) <= 0.05,                           "a cross-polytope"),
    Row(Simplex(0.05),                                   lambda w, eps: (w >= 0).all(-1) & ((w.sum(-1) - 0.05).abs() <= 0.1 * eps), "probabilities, times 0.05"),
    Row(Simplex(0.05, dim=0),                            lambda w, eps: (w >= 0).all(0) & ((w.sum(0) - 0.05).abs() <= 0.1 * eps), "columns"),
    Row(Increasing(),                                    lambda w, _: w.diff(dim=-1) >= 0,                               "a calibrator"),
    Row(Decreasing(dim=0),                               lambda w, _: w.diff(dim=0) <= 0,                                "units in order"),
    Row(Intersection(NonNegative(), MaxNorm(0.03)),      lambda w, _: (w >= 0).all(-1) & (norm(w) <= 0.03),              "by formula"),
    Row(Intersection(Between(-0.003, 0.01), Increasing()), lambda w, _: (w >= -0.003).all(-1) & (w <= 0.01).all(-1) & (w.diff(dim=-1) >= 0).all(-1), "by formula, in order"),
    Row(Intersection(Between(-0.003, 0.01), MaxNorm(0.02)), lambda w, _: (norm(w) <= 0.02) & (w >= -0.003).all(-1) & (w <= 0.01).all(-1), "by one search"),
    Row(Intersection(Increasing(), Increasing(dim=0)),   lambda w, eps: torch.minimum(w.diff(dim=-1).min(), w.diff(dim=0).min()) >= -16 * eps * w.abs().max(), "by Dykstra's rounds: each entry 8 eps"),
    Row(Masked(NonNegative(), HALF),                     lambda w, _: (w >= 0) | ~torch.tensor(HALF, device=w.device),   "every other entry"),
    Row(Masked(MaxNorm(0.02), HALF),                     lambda w, _: norm(w * w.new_tensor(HALF)) <= 0.02,              "every other entry, a ball"),
]
OPTIMIZERS = {
    # name         a set of vectors is projected in the metric of its steps
    "Adadelta":    False,
    "Adafactor":   False,
    "Adagrad":     True,
    "Adam":        True,
    "Adamax":      True,
    "AdamW":       True,
    "ASGD":        True,
    "LBFGS":       False,
    "Muon":        False,
    "NAdam":       True,
    "RAdam":       True,
    "RMSprop":     True,
    "Rprop":       False,
    "SGD":         True,
    "SparseAdam":  True,
}
# fmt: on
NAMES = [f"{row.constraint!r}: {row.why}" for row in SETS]
WAYS = ("foreach", "fused", "differentiable", "capturable")


@functools.cache
def database() -> dict[str, Any]:
    """torch's rows by name. Imported late: that takes seconds, and freezes torch's global flags, which is undone."""
    from torch.testing._internal.common_optimizers import optim_db  # noqa: PLC0415

    torch.backends.__dict__["__allow_nonbracketed_mutation_flag"] = True
    return {info.name: info for info in optim_db}


def configurations(name: str, device: str) -> list[dict[str, Any]]:
    """Settings times ways to compute a step, without those that torch refuses on this device."""
    info = database()[name]
    can = {
        "foreach": "foreach" in info.supported_impls,
        "fused": "fused" in info.supported_impls and device in info.supports_fused_on,
        "differentiable": "differentiable" in info.supported_impls,
        "capturable": info.has_capturable_arg and device != "cpu",  # "supported devices" are accelerators
    }
    ways = [{}, *({way: True} for way in WAYS if can[way])]
    known = [dict(given.kwargs) for given in info.optim_inputs_func(device=device)]
    # On accelerators torch lists some settings with a way of their own already.
    plain = [settings for settings in known if not settings.keys() & set(WAYS)] or known
    found = [settings | way for settings in plain for way in ways] + [s for s in known if s not in plain]
    # A learning rate that is a tensor needs capturable=True there, and torch says so.
    return [s for s in found if not (isinstance(s.get("lr"), Tensor) and s.get("foreach") and not s.get("capturable"))]


class World:
    """A layer for every set and three free ones, and gradients that push each out of any set.

    The loss of a weight is half the squared distance to a target that changes from step to step, times 3; the targets
    are far away and random. The first row of each is 0, for the set that has a hole there. For LBFGS, which
    compares the slopes of its steps and in bfloat16 diverges by itself where they change, they stay.
    """

    def __init__(self, dtype: torch.dtype, device: str, *, held: bool) -> None:
        made = torch.Generator().manual_seed(0)
        self.net = nn.ModuleList(nn.Linear(IN, OUT, bias=False) for _ in range(len(SETS) + 3))
        self.net.to(device, dtype)
        self.targets = []
        with torch.no_grad():
            for layer, row in itertools.zip_longest(self.net, SETS):
                # In the wrong order both ways, so that sequences start with equal entries.
                start = 0.03 * (torch.randn(OUT, IN, generator=made) - torch.arange(IN) + torch.arange(OUT)[:, None])
                # The same start with a hold or without: inside, and mostly on the wall.
                inside = start if row is None else row.constraint.for_layer(layer, "weight").project(start.to(dtype))
                layer.weight.copy_(inside)
                far = torch.randn(OUT, IN, generator=made) + 0.3 * torch.randn(5, OUT, IN, generator=made)
                far[:, 0] = 0
                self.targets.append(far.to(device, dtype))
        if held:
            for i, row in enumerate(SETS):
                constrain(self.net, f"{i}.weight", row.constraint)

    def weights(self) -> list[Tensor]:
        return [layer.weight.detach() for layer in self.net]

    def outside(self, eps: float) -> list[int]:
        """The sets that do not hold; a NaN is in none."""
        return [
            i
            for i, (row, w) in enumerate(zip(SETS, self.weights(), strict=False))
            if bool(w.isnan().any()) or not bool(row.inside(w.double(), eps).all())
        ]

    def train(self, name: str, settings: dict[str, Any]) -> Iterator[int]:
        """Steps, one at a time."""
        info = database()[name]
        sign = -1 if settings.get("maximize") else 1
        if settings.get("differentiable"):
            for layer in self.net:  # such a step may not change a leaf in place: torch's own tests pass copies too
                layer._parameters["weight"] = layer.weight.clone()
                layer.weight.retain_grad()
        # torch changes a learning rate that is a tensor in place.
        optimizer = info.optim_cls([layer.weight for layer in self.net], **copy.deepcopy(settings))

        def closure(step: int) -> Tensor:
            loss = torch.zeros((), device=self.targets[0].device)
            for layer, target in zip(self.net, self.targets, strict=True):
                way = layer.weight.detach() - target[0 if info.step_requires_closure else step % 5]
                gradient = 3 * sign * way
                if info.only_supports_sparse_grads:
                    touched = torch.tensor([[step % OUT, (step + 1) % OUT]], device=way.device)
                    gradient = torch.sparse_coo_tensor(touched, gradient[touched[0]], way.shape, check_invariants=True)
                layer.weight.grad = gradient
                loss += 1.5 * way.float().square().sum()
            return loss

        for step in range(STEPS):
            if info.step_requires_closure:
                optimizer.step(functools.partial(closure, step))
            else:
                closure(step)
                optimizer.step()
            yield step


class Found(NamedTuple):
    faults: list[str]
    unpushed: list[str]  # sets that the same run without isotone does not leave
    told: list[str]
    runs: int


def found(name: str, dtype: torch.dtype, device: str, chosen: slice = slice(None)) -> Found:
    """Every configuration of one optimizer."""
    faults, unpushed, told, runs = [], [], [], 0
    eps = torch.finfo(dtype).eps
    for settings in configurations(name, device)[chosen]:
        free, held = (World(dtype, device, held=way) for way in (False, True))
        left: set[int] = set()
        runs += 1
        assert not held.outside(eps), "it starts inside"
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for step, _ in zip(held.train(name, settings), free.train(name, settings), strict=True):
                where = f"{name}({settings}) {dtype}, step {step}"
                faults += [f"{where}: {NAMES[i]} is violated" for i in held.outside(eps)]
                if step % 7 and step != STEPS - 1:  # the tests above do not ask the library; to ask it too is slow
                    continue
                off = {n: v for n, v in isotone.violations(held.net).items() if v != 0.0}  # NaN too
                faults += [f"{where}: violation {v} of {NAMES[int(n.split('.')[0])]}" for n, v in off.items()]
                left |= set(free.outside(eps))
        told += [f"{name}({settings}): {each.message}" for each in said]
        unpushed += [f"{name}({settings}) {dtype}: {NAMES[i]}" for i in range(len(SETS)) if i not in left]
        for i in range(len(SETS), len(SETS) + 3):
            a, b = (world.weights()[i] for world in (held, free))
            if name != "LBFGS" and not torch.equal(a, b):  # one direction for all weights: all depends on all
                faults.append(f"{name}({settings}) {dtype}: a free weight moved otherwise than without isotone")
    return Found(faults, unpushed, told, runs)


def judge(name: str, seen: Found, idle: float) -> None:
    assert not seen.faults, "\n".join([f"{len(seen.faults)} faults", *seen.faults[:30]])
    # Or the test says nothing: without isotone most of these runs leave nearly all sets.
    assert len(seen.unpushed) <= idle * seen.runs * len(SETS), "\n".join(seen.unpushed[:30])
    strange = [each for each in seen.told if "stays inside" not in each]
    assert not strange, "\n".join(strange)
    assert len(seen.told) == (0 if OPTIMIZERS[name] else seen.runs), "said once for each optimizer, where it is so"


every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_device = pytest.mark.parametrize("device", DEVICES)


def test_the_table_has_all_of_torchs_optimizers():
    assert set(database()) == set(OPTIMIZERS)


@pytest.mark.slow
@every_device
@every_dtype
@every_optimizer
def test_every_configuration(name, dtype, device):
    judge(name, found(name, dtype, device), idle=0.2)


@every_optimizer
def test_a_slice_of_the_table(name):
    """One configuration of each optimizer; which, and in which dtype, goes round, so that all ways to step are seen."""
    turn = list(OPTIMIZERS).index(name)
    here = 5 * turn % len(configurations(name, "cpu"))
    judge(name, found(name, DTYPES[turn % 2], "cpu", slice(here, here + 1)), idle=0.25)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_without_the_hook_the_table_is_full_of_faults(name):
    """The test of this test."""
    key = next(k for k, hook in _global_optimizer_post_hooks.items() if hook is _stepping.after_step)
    hook = _global_optimizer_post_hooks.pop(key)
    try:
        seen = found(name, torch.float32, "cpu", slice(0, 1))
    finally:
        _global_optimizer_post_hooks[key] = hook
    assert {each.split(": ", 1)[1].removesuffix(" is violated") for each in seen.faults} >= set(NAMES)


def test_a_nan_is_outside_of_every_set():
    world = World(torch.float32, "cpu", held=True)
    with torch.no_grad():
        for layer in world.net:
            layer.weight[0, 0] = math.nan
    assert world.outside(torch.finfo(torch.float32).eps) == list(range(len(SETS)))
    assert all(math.isnan(v) for v in isotone.violations(world.net).values())


# fmt: off
WARNED = [
    # name         elementwise  vectors  why
    ("SGD",        False,       False,   "the same step for all entries: the plain projection is the right one"),
    ("Adam",       False,       False,   "projected in its metric"),
    ("Rprop",      False,       True,    "a step size of its own for every entry"),
    ("Adadelta",   False,       True,    "numerator and denominator"),
    ("Adafactor",  False,       True,    "rows and columns"),
    ("Muon",       True,        True,    "entries are coupled"),
    ("LBFGS",      True,        True,    "entries are coupled, and steps end outside"),
]
# fmt: on


@pytest.mark.parametrize(
    ("name", "elementwise", "vectors", "why"), WARNED, ids=[f"{n}: {why}" for n, *_, why in WARNED]
)
def test_what_is_said_once(name, elementwise, vectors, why):
    for constraint, expected in ((NonNegative(), elementwise), (MaxNorm(0.1), vectors)):
        net = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(2))
        constrain(net, "*", constraint)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            optimizer = getattr(torch.optim, name)(net.parameters())
            for _ in range(3):
                optimizer.step(lambda net=net: sum(p.square().sum() for p in net.parameters()))
        assert [str(each.message).split(" ")[1:3] for each in said] == [["stays", "inside"]] * expected, why
        assert all(name in str(each.message) and each.category is UserWarning for each in said)
