"""Certified additions: never above the truth, for every layer that has a rule; refused by name where there is none."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isotone import bounds
from isotone.attack import Differentiable, Moves, exhaustive, fewest, greedy, pgd_l2, polish, random_additions, scores
from isotone.bounds import UNLIMITED, additions_needed, beside, score_bound
from isotone.errors import BadInput
from isotone.nn import (
    Bag,
    MonotoneEnsemble,
    MonotoneLinear,
    MonotoneMLP,
    MonotoneNetwork,
    MonotoneResidual,
    Saturating,
)

D = 8
seeds = st.integers(0, 2**31 - 1)

# fmt: off
ACTIVATIONS = {
    "relu":             nn.ReLU,
    "relu6":            nn.ReLU6,
    "leaky":            lambda: nn.LeakyReLU(0.1),
    "leaky, steep":     lambda: nn.LeakyReLU(1.5),
    "valley":           lambda: nn.LeakyReLU(-0.5),
    "hardtanh":         lambda: nn.Hardtanh(-0.3, 0.4),
    "tanh":             nn.Tanh,
    "sigmoid":          nn.Sigmoid,
    "silu":             nn.SiLU,
    "gelu":             nn.GELU,
    "softplus":         lambda: nn.Softplus(beta=2.0),
    "elu":              nn.ELU,
    "elu, kinked":      lambda: nn.ELU(0.4),
    "selu":             nn.SELU,
    "saturating":       lambda: Saturating(above=True),
    "saturating below": lambda: Saturating(above=False),
}
# fmt: on


def mlp(activation, widths=(9, 7), features=D, spread=1.5):
    layers, before = [], features
    for width in widths:
        layers += [nn.Linear(before, width), ACTIVATIONS[activation]()]
        before = width
    net = nn.Sequential(*layers, nn.Linear(before, 1)).eval()
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(spread)
    return net


def bits(rows=10, features=D):
    return (torch.rand(rows, features) < 0.4).float()


NAMES = Moves.of_names((1, 1, 1, 1, 1, 1, 1, 0))
# The same, where nothing says that a name goes all the way.
LOOSE = Moves.between((1, 1, 1, 1, 1, 1, 1, 0), 0.0, 1.0)
# Up, down and not at all; some may stop on their way.
NUMBERS = Moves.between((1, -1, 0, 1, -1, 1, -1, 1), -1.0, 1.5, step=[0.0] * 4 + [math.inf] * 4)


def check(net, x, moves, share=0.3):
    """The proof is not above the truth, and no row in reach scores below its bound."""
    victim = Differentiable(net)
    before = scores(victim, x)
    threshold = float(before.quantile(share))
    needed = additions_needed(net, x, threshold, moves)
    truth = exhaustive(victim, x, threshold, replace(moves, step=moves.step.where(moves.step != 0, torch.inf)))
    assert bool((needed.unlimited | (needed.needed <= moves.available(x).sum(1))).all())
    others = [greedy(victim, x, threshold, moves), pgd_l2(victim, x, threshold, moves, moves.features, steps=8)]
    rows = beside(needed, fewest([truth, *others]), [0, 1, 2, None])
    assert all(row["certified"] <= row["empirical"] for row in rows)
    for k in (0, 1, 3, None):
        low = score_bound(net, x, moves, k)
        assert bool((low <= before).all())
        most = moves.features if k is None else k
        for _ in range(20):
            rank = torch.rand_like(x).argsort(1)
            share_of_way = torch.rand_like(x)
            assert bool((low <= scores(victim, moves.partly(x, rank < most, share_of_way))).all())
    return needed, truth


FIRST = ("relu", "tanh", "gelu", "saturating")
TRUTHS = [
    pytest.param(activation, moves, id=f"{activation}, {kind}", marks=() if activation in FIRST else pytest.mark.slow)
    for activation in ACTIVATIONS
    for kind, moves in (("names", NAMES), ("numbers", NUMBERS))
]


@pytest.mark.parametrize(("activation", "moves"), TRUTHS)
def test_a_proof_is_never_above_the_truth(activation, moves):
    torch.manual_seed(0)
    x = bits() if moves is NAMES else torch.randn(10, D).clamp(-1.0, 1.5)
    needed, _ = check(mlp(activation), x, moves)
    assert not needed.why_not


@given(seeds, st.sampled_from(sorted(ACTIVATIONS)), st.lists(st.integers(1, 9), max_size=3), st.floats(0.2, 4.0))
@settings(max_examples=12, deadline=None)
def test_whatever_the_network(seed, activation, widths, spread):
    torch.manual_seed(seed)
    check(mlp(activation, widths, spread=spread), bits(6), NAMES, share=0.5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "saturating"])
@pytest.mark.parametrize("moves", [NAMES, LOOSE], ids=["all the way", "anywhere"])
def test_proofs_are_worth_having(activation, moves):
    # Mean of what is certified beside what is true, on rows that can be brought down at all.
    torch.manual_seed(1)
    net, x = mlp(activation, spread=1.0), bits(50)
    needed, truth = check(net, x, moves)
    able = truth.additions > 0
    assert float(needed.needed[able].double().mean()) > 0.6 * float(truth.additions[able].double().mean())
    assert bool(needed.unlimited.any())
    # One and two additions of names are decided, but for what float32 may round.
    few = able & (truth.additions <= 2)
    assert not moves.whole or torch.equal(needed.needed[few], truth.additions[few])


@given(seeds)
@settings(max_examples=8, deadline=None)
def test_for_a_linear_score_the_proof_is_the_truth(seed):
    torch.manual_seed(seed)
    needed, truth = check(nn.Sequential(nn.Linear(D, 1)), bits(), NAMES)
    assert torch.equal(needed.needed, torch.where(truth.additions < 0, UNLIMITED, truth.additions))


# Networks that rise: no number of additions is enough.

# fmt: off
RISING = {
    "an MLP":           lambda: MonotoneMLP(D, hidden=(6, 6)),
    "a residual one":   lambda: MonotoneMLP(D, hidden=(6, 6, 6), residual=True),
    "a batch norm":     lambda: MonotoneMLP(D, hidden=(6, 6), norm="batch"),
    "a plain one":      lambda: nn.Sequential(MonotoneLinear(D, 5), nn.Tanh(), nn.Dropout(), MonotoneLinear(5, 1)),
    "a residual layer": lambda: nn.Sequential(MonotoneResidual(MonotoneLinear(D, D), 0.5), MonotoneLinear(D, 1)),
    "names by maximum": lambda: MonotoneNetwork(D, hidden=(6, 4)),
    "names by sum":     lambda: MonotoneNetwork(D, hidden=(6, 4), pool="sum"),
    "an ensemble":      lambda: MonotoneEnsemble([MonotoneNetwork(D, hidden=(6, 4)) for _ in range(3)]),
}
# fmt: on


@pytest.mark.parametrize("kind", RISING)
def test_what_rises_is_certified_without_limit(kind):
    torch.manual_seed(0)
    net, x, moves = RISING[kind]().eval(), bits(40), Moves.between((1,) * D, 0.0, 1.0)
    named = isinstance(net, MonotoneNetwork | MonotoneEnsemble)
    victim = Differentiable((lambda x: net(Bag.of(x))) if named else net)
    before = scores(victim, x)
    threshold = float(before.median())
    needed = additions_needed(net, x, threshold, moves)
    assert not needed.why_not
    clear = before > threshold + 1e-3 * float(before.std())  # beyond what float32 may round
    assert bool(needed.unlimited[clear].all())
    assert not bool(needed.needed[before <= threshold].any())


# Twins of the same shapes, which fall: checked against every subset.

# fmt: off
FALLING = {
    "names by maximum": lambda: MonotoneNetwork(D, hidden=(6, 4), monotone=False),
    "names by sum":     lambda: MonotoneNetwork(D, hidden=(6, 4), pool="sum", monotone=False),
    "an ensemble":      lambda: MonotoneEnsemble([MonotoneNetwork(D, hidden=(6,), monotone=False) for _ in range(3)]),
    "mixed directions": lambda: MonotoneNetwork(D, hidden=(6,), directions=(1, 1, -1, 0, 1, -1, 0, 1)),
}
# fmt: on


@pytest.mark.parametrize("kind", FALLING)
def test_of_sets_of_names_a_proof_is_never_above_the_truth(kind):
    some = 0
    for seed in range(4):
        torch.manual_seed(seed)
        net = FALLING[kind]().eval()
        with torch.no_grad():
            for name, weight in net.named_parameters():
                if "name_" in name:
                    weight.mul_(30 * torch.rand_like(weight))
        victim, x, moves = (
            Differentiable(lambda x, net=net: net(Bag.of(x))),
            bits(12),
            Moves.between((1,) * D, 0.0, 1.0),
        )
        threshold = float(scores(victim, x).quantile(0.4))
        needed = additions_needed(net, x, threshold, moves)
        truth = exhaustive(victim, x, threshold, moves)
        assert not needed.why_not
        beside(needed, truth.additions, [0, None])
        some += int((needed.needed > 1).sum())
    assert some > 5


def test_a_wide_network_is_bounded_in_blocks_and_rows_do_not_depend_on_neighbours(monkeypatch):
    torch.manual_seed(0)
    net, x = mlp("relu", features=60), bits(30, 60)
    moves = Moves.between((1,) * 60, 0.0, 1.0)
    threshold = float(scores(Differentiable(net), x).quantile(0.3))
    whole = additions_needed(net, x, threshold, moves)
    monkeypatch.setattr(bounds._additions, "MOST_VALUES", 1)
    seen = []
    alone = additions_needed(net, x, threshold, moves, progress=lambda done, total: seen.append((done, total)))
    assert torch.equal(whole.needed, alone.needed)
    assert len(seen) == seen[-1][0] == seen[-1][1] == int(whole.detected.sum())
    victim = Differentiable(net)
    merged = random_additions(victim, x, threshold, moves)
    beside(whole, polish(victim, x, threshold, moves, [merged]).additions, [0, 5, None])


def test_a_limit_is_kept_but_for_what_has_none():
    net = nn.Sequential(nn.Linear(6, 1))
    with torch.no_grad():
        net[0].weight.fill_(-1.0)
        net[0].bias.fill_(4.5)
    moves = Moves.between((1,) * 6, 0.0, 1.0)
    assert additions_needed(net, torch.zeros(1, 6), 0.0, moves).needed.tolist() == [5]
    assert additions_needed(net, torch.zeros(1, 6), 0.0, moves, most=2).needed.tolist() == [3]
    assert additions_needed(net, torch.zeros(1, 6), -9.0, moves, most=2).needed.tolist() == [UNLIMITED]
    assert additions_needed(net, torch.zeros(0, 6), 0.0, moves).needed.tolist() == []


def test_float32_is_charged_for():
    # In real arithmetic the score falls to 1e-9 above the threshold; in float32 some order of summation ends below.
    net = nn.Sequential(nn.Linear(3, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[-1.0, 0.0, 0.0]]))
        net[0].bias.fill_(1.0)
    moves = Moves.between((1, 1, 1), 0.0, 1.0)
    assert additions_needed(net, torch.zeros(1, 3), -1e-9, moves).needed.tolist() == [1]
    assert additions_needed(net.double(), torch.zeros(1, 3), -1e-9, moves).needed.tolist() == [UNLIMITED]


def test_a_layer_that_comes_twice_is_counted_twice():
    valley = nn.LeakyReLU(-1.0)
    net = nn.Sequential(nn.Linear(1, 1), valley, nn.Linear(1, 1), valley, nn.Linear(1, 1))
    with torch.no_grad():
        for layer, weight, bias in ((net[0], 1.0, 0.0), (net[2], -1.0, 0.5), (net[4], -1.0, 0.0)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    row = torch.tensor([[2.0]])  # -|0.5 - |x||
    assert float(score_bound(net, row, Moves.between((1,), 0.0, 3.0), 0)) <= float(scores(Differentiable(net), row))


def test_the_ends_of_a_hardtanh_are_rounded_to_float32():
    net = nn.Sequential(nn.Linear(1, 1), nn.Hardtanh(-0.1, 0.1))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.fill_(0.0)
    row = torch.tensor([[-0.3]])
    assert float(score_bound(net, row, Moves.between((1,), 0.0, 1.0), 0)) <= float(scores(Differentiable(net), row))


def test_what_may_overflow_is_unknown():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1e30, -1e30], [1e30, -1e30]]))
        net[2].weight.fill_(1e-32)
        net[2].bias.fill_(5.0)
    row, moves = torch.full((1, 2), 1e9), Moves.between((1, 1), 0.0, 1.0)
    assert float(score_bound(net, row, moves, 0)) == -math.inf  # inf - inf in float32, 0 in real arithmetic
    assert float(score_bound(net.double(), row, moves, 0)) > 4.9


# Everything without a rule is unknown, and says why.


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    net = nn.Sequential(nn.Linear(D, 1))
    net[0].register_forward_hook(lambda module, args, out: -out)
    return net


def patched():
    net = nn.Sequential(nn.Linear(D, 1))
    net[0].forward = lambda x: -x[:, :1]
    return net


def another_method():
    net = MonotoneNetwork(D, hidden=(4,)).eval()
    net._score = lambda first: -first[:, :1]
    return net


def in_place():
    return nn.Sequential(nn.Linear(D, 4), MonotoneResidual(nn.Sequential(nn.ReLU(inplace=True))), nn.Linear(4, 1))


def patched_pool():
    net = MonotoneNetwork(D, hidden=(4,)).eval()
    net.name_max.register_forward_hook(lambda module, args, out: -out)
    return net


def below_zero():
    norm = nn.BatchNorm1d(D).eval()
    norm.running_var[0] = -0.5 * norm.eps
    return nn.Sequential(norm, nn.Linear(D, 1))


def infinite():
    net = nn.Sequential(nn.Linear(D, 1))
    with torch.no_grad():
        net[0].bias.fill_(math.inf)
    return net


# fmt: off
REFUSED = {
    "a subclass":       (lambda: nn.Sequential(Doubled(D, 1)),                    r"Doubled \(0\) has no rule"),
    "a softmax":        (lambda: nn.Sequential(nn.Linear(D, 1), nn.Softmax(1)),   r"Softmax \(1\) has no rule"),
    "hooks":            (hooked,                                                  "hooks or a method of its own"),
    "another forward":  (patched,                                                 "hooks or a method of its own"),
    "another method":   (another_method,                                          "hooks or a method of its own"),
    "train mode":       (lambda: nn.Sequential(nn.Linear(D, 1), nn.Dropout()).train(), "is in train mode"),
    "a norm in training": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(D, 1)), "is in train mode"),
    "two scores":       (lambda: nn.Sequential(nn.Linear(D, 2)),                  "it has 2 scores"),
    "bfloat16":         (lambda: nn.Sequential(nn.Linear(D, 1)).bfloat16(),       "it computes in bfloat16"),
    "not finite":       (infinite,                                                "not finite"),
    "tanh GELU":        (lambda: nn.Sequential(nn.Linear(D, 1), nn.GELU("tanh")), "tanh approximation"),
    "in place":         (in_place,                                                "what is read elsewhere too"),
    "first in place":   (lambda: nn.Sequential(nn.ELU(inplace=True), nn.Linear(D, 1)), "changes in place"),
    "hooks of a pool":  (patched_pool,                                            "NameMax has hooks"),
    "stretched sum":    (lambda: nn.Sequential(MonotoneResidual(nn.Linear(D, 1)), nn.Linear(D, 1)), "a sum of 8 and 1"),
    "no variance":      (below_zero,                                              "a variance that is not positive"),
    "softplus upside":  (lambda: nn.Sequential(nn.Linear(D, 1), nn.Softplus(-1.0)), "Softplus with beta=-1"),
    "numbers":          (lambda: MonotoneNetwork(4, [torch.arange(3.0)] * 4).eval(),   "with numbers has no rule"),
}
# fmt: on


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_rule_is_unknown_and_says_why(kind, monkeypatch):
    make, why = REFUSED[kind]
    monkeypatch.setattr(bounds._additions, "_scores", lambda model, rows: rows.sum(1).double())
    found = additions_needed(make(), torch.eye(D), 0.5, Moves.between((1,) * D, 0.0, 1.0))
    assert found.needed.tolist() == [1] * D
    assert not found.unlimited.any()
    assert re.search(why, found.why_not), found.why_not


class Growing(nn.Module):
    """Another weight at each reading."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    def forward(self, weight):
        self.reads += 1
        return weight * self.reads


def test_a_model_that_computes_otherwise_than_it_was_read_is_unknown():
    net, moves = nn.Sequential(nn.Linear(D, 1)), Moves.between((1,) * D, 0.0, 1.0)
    with torch.no_grad():
        net[0].bias.fill_(5.0)
    assert additions_needed(net, torch.eye(D), 0.0, moves).unlimited.all()
    torch.nn.utils.parametrize.register_parametrization(net[0], "weight", Growing())
    found = additions_needed(net.eval(), torch.eye(D), 0.0, moves)
    assert found.needed.tolist() == [1] * D
    assert "otherwise" in found.why_not
    assert score_bound(net, torch.eye(D), moves, None).tolist() == [-math.inf] * D


def test_a_function_is_unknown_as_well():
    found = additions_needed(lambda x: 1 - x.sum(1), torch.zeros(2, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0))
    assert found.why_not == "function is no torch module that could be read"
    assert found.needed.tolist() == [1, 1]


def test_names_that_are_no_names_are_unknown():
    torch.manual_seed(0)
    net = MonotoneNetwork(D, hidden=(4,)).eval()
    moves = Moves.between((1,) * D, 0.0, 1.0)
    assert "other numbers came" in additions_needed(net, torch.full((1, D), 0.5), -9.0, moves).why_not
    summed = MonotoneNetwork(D, hidden=(4,), pool="sum").eval()
    assert "other numbers came" in additions_needed(summed, torch.full((1, D), 2.0), -9.0, moves).why_not
    assert (
        "other numbers came"
        in additions_needed(net, torch.zeros(1, D), -9.0, Moves.between((1,) * D, 0.0, 2.0)).why_not
    )
    away = Moves.between((-1,) * D, 0.0, 1.0)
    assert "another target than 1" in additions_needed(net, torch.ones(1, D), -9.0, away).why_not


def test_a_softplus_beyond_its_rule_costs_knowledge_only():
    net = nn.Sequential(nn.Linear(1, 1), nn.Softplus(), nn.Linear(1, 1)).eval()
    with torch.no_grad():
        net[0].weight.fill_(50.0)
        net[2].weight.fill_(1.0)
    found = additions_needed(net, torch.zeros(1, 1), -9.0, Moves.between((1,), 0.0, 1.0))
    assert found.needed.tolist() == [1]
    assert "at or above 20" in found.why_not


def test_a_threshold_of_nan_is_refused():
    with pytest.raises(BadInput, match="threshold: it is NaN"):
        additions_needed(nn.Sequential(nn.Linear(1, 1)), torch.zeros(1, 1), math.nan, Moves.between((1,), 0.0, 1.0))


# Test the test: a bound that forgets something is caught.


@pytest.mark.parametrize("part", ["additions", "lines"])
def test_a_bound_that_lies_is_found(part, monkeypatch):
    torch.manual_seed(0)
    if part == "additions":
        true = bounds._reach.Reach.dearest
        monkeypatch.setattr(bounds._reach.Reach, "dearest", lambda self, cost: 0.5 * true(self, cost))
    else:
        true = bounds._bounds.lines

        def lifted(*args):
            found = true(*args)
            return type(found)(found.low_slope, found.low_shift + 0.3, found.high_slope, found.high_shift)

        monkeypatch.setattr(bounds._bounds, "lines", lifted)
    with pytest.raises(AssertionError):
        check(mlp("tanh"), bits(40), NAMES)
