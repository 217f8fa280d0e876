"""Constrained weights start so that the signal passes: the paper's constants, and what is reached, layer by layer."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone.errors import BadInput, NoMatch
from isotone.nn import MonotoneMLP, Saturating, initialize_
from isotone.nn._signals import correlated, data, plan

WIDTH, DEPTH = 256, 10


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def held(model, constraint=None, pattern="*weight"):
    isotone.constrain(model, pattern, constraint or isotone.NonNegative())
    return model


def layers(activation, depth=DEPTH, width=WIDTH):
    parts = [nn.Linear(width, width)]
    for _ in range(depth - 1):
        parts += [activation(), nn.Linear(width, width)]
    return nn.Sequential(*parts)


def seen(model, x):
    """For the last layer: mean, variance, mean cosine of two different inputs over units."""
    z = model(x)
    unit = z / z.norm(dim=1, keepdim=True)
    n = len(z)
    return float(z.mean()), float(z.var()), float((unit.sum(0).square().sum() - n) / (n * (n - 1)))


# --- the theory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("n", [2, 64, 512, 4096])
def test_relu_gives_the_papers_constants(rho, n):
    # Hoedt and Klambauer 2023, arXiv 2312.12474; ml-jku/convex-init @30eca04b, convex_init.py, var=1, alpha=0.
    f = n * (math.pi - n + (n - 1) * (math.sqrt(1 - rho**2) + rho * math.acos(-rho))) / (2 * math.pi)
    planned = plan(correlated(rho).then(torch.relu).moments(), torch.ones(1, n), rho)
    assert float(planned.mean) == pytest.approx(math.sqrt(rho / f), rel=1e-6)
    assert planned.std**2 == pytest.approx(2 * (1 - rho) / n, rel=1e-6)
    assert float(planned.bias) == pytest.approx(-n * math.sqrt(rho / f / (2 * math.pi)), rel=1e-6)


def test_leaky_relu_gives_the_papers_gain():
    alpha = 0.3
    planned = plan(correlated().then(lambda x: F.leaky_relu(x, alpha)).moments(), torch.ones(1, 64))
    assert planned.std**2 == pytest.approx(2 / (1 + alpha**2) * 0.5 / 64, rel=1e-6)


MOMENTS = [
    # activation                        E f                   E f^2                  covariance of two, at 1/2     why
    (lambda x: x,                       0.0,                  1.0,                   0.5,                          "itself"),
    (lambda x: x.clamp(-1, 1),          0.0,                  0.516058551,           None,                         "P(|x|>1) + E x^2 inside: 0.317311 + 0.198748"),
    (torch.erf,                         0.0,                  2 / math.pi * math.asin(2 / 3), 2 / math.pi * math.asin(1 / 3), "Williams 1997: arcsine kernel"),
    (torch.exp,                         math.exp(0.5),        math.exp(2.0),         math.exp(1.5) - math.exp(1), "log-normal"),
    (lambda x: x**2,                    1.0,                  3.0,                   2 * 0.5**2,                   "Isserlis"),
    (F.gelu,                            0.5 / math.sqrt(math.pi), None,              None,                         "E x P(x) = E p(x), by parts"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "mean", "square", "common", "why"), MOMENTS, ids=[why for *_, why in MOMENTS])
def test_moments_are_those_known_in_closed_form(f, mean, square, common, why):
    m = correlated(0.5).then(f).moments()
    for found, right in ((m.mean, mean), (m.square, square), (m.common, common)):
        assert right is None or found == pytest.approx(right, rel=1e-6, abs=1e-7)


def test_data_is_summed_as_independent_inputs():
    planned = plan(data().moments(), torch.ones(1, 100))
    assert float(planned.mean) ** 2 == pytest.approx(0.5 / 100)
    assert planned.std**2 == pytest.approx(0.5 / 100)
    assert float(planned.bias) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("signs", [[1, 1, 1, -1], [1, -1, 0, 0], [1, 0, 0, 0], [1, 1, -1, -1], [0, 0, 0, 0]])
def test_the_variance_is_1_whatever_the_signs(signs):
    m = correlated().then(torch.relu).moments()
    s = torch.tensor([signs * 25])
    planned = plan(m, s)
    p, n = int(s.abs().sum()), s.shape[1]
    common = float(planned.mean) ** 2 * (int(s.sum()) ** 2 * m.common + p * m.own)
    assert common == pytest.approx(0.5 * p / n)
    assert common + (p * planned.std**2 + (n - p) * planned.free_std**2) * m.square == pytest.approx(1.0)


# --- what is reached --------------------------------------------------------------------------------------------

# Width 256, non-negative, standard normal inputs. The bands are those of ten seeds (all activations: mean within 0.22),
# widened by about 1.5; the cosine is the mean one between two different inputs, over the units, and was at most as said.
# Bounded and odd activations hold the signal; of convex ones the larger inputs take the variance from the others.
REACHED = [
    # activation                       variance after 5 layers, after 10    cosine after 10
    (nn.ReLU,                          (0.17, 3.0),         (0.03, 0.8),    0.93),
    (nn.LeakyReLU,                     (0.17, 3.0),         (0.03, 0.8),    0.93),
    (nn.GELU,                          (0.15, 3.3),         (0.03, 0.7),    0.95),
    (nn.SiLU,                          (0.14, 4.0),         (0.02, 0.7),    0.96),
    (nn.ReLU6,                         (0.15, 0.8),         (0.02, 0.3),    0.93),
    (nn.Softplus,                      (0.3, 2.0),          (0.19, 1.8),    0.98),
    (nn.ELU,                           (0.3, 3.2),          (0.17, 1.4),    0.5),
    (lambda: Saturating(above=False),  (0.3, 3.2),          (0.17, 1.4),    0.5),
    (lambda: Saturating(above=True),   (0.3, 3.0),          (0.20, 1.6),    0.5),
    (nn.Sigmoid,                       (0.6, 1.5),          (0.6, 1.4),     0.6),
    (nn.Tanh,                          (0.8, 1.9),          (1.0, 2.4),     0.05),
    (nn.Hardtanh,                      (0.8, 1.9),          (1.0, 2.4),     0.05),
    (nn.Identity,                      (0.3, 2.9),          (0.3, 2.1),     0.05),
]  # fmt: skip


@pytest.mark.parametrize(("activation", "five", "ten", "cosine"), REACHED)
def test_layers_pass_the_signal(activation, five, ten, cosine):
    model = held(layers(activation))
    initialize_(model)
    x = torch.randn(1000, WIDTH)
    mean, variance, alike = seen(model, x)
    assert abs(mean) < 0.3
    assert ten[0] < variance < ten[1]
    assert alike < cosine
    mean, variance, _ = seen(model[:9], x)
    assert abs(mean) < 0.3
    assert five[0] < variance < five[1]
    assert set(isotone.violations(model).values()) == {0.0}


@pytest.mark.parametrize("activation", [row[0] for row in REACHED])
def test_rows_of_data_make_it_exact_at_any_depth(activation):
    model, x = held(layers(activation)), torch.randn(500, WIDTH)
    initialize_(model, x)
    for upto in (1, 3, 2 * DEPTH - 1):
        z = model[:upto](x)
        torch.testing.assert_close(z.mean(0), torch.zeros(WIDTH), atol=1e-3, rtol=0)
        torch.testing.assert_close(z.var(0, correction=0), torch.ones(WIDTH), atol=1e-2, rtol=0)
    assert set(isotone.violations(model).values()) == {0.0}


def test_without_it_the_mean_of_one_layer_moves_to_3():
    layer, x = nn.Linear(512, 512), torch.rand(1000, 512)
    assert abs(float(layer(x).mean())) < 0.2
    held(layer)
    assert 2.5 < float(layer(x).mean()) < 3.2
    initialize_(layer, x)
    assert abs(float(layer(torch.rand(1000, 512)).mean())) < 0.1


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Softplus, nn.ELU, nn.GELU])
def test_without_it_ten_layers_explode(activation):
    assert seen(held(layers(activation)), torch.randn(300, WIDTH))[1] > 1e6


def test_without_it_sigmoids_tell_nothing_apart():
    z = held(layers(nn.Sigmoid))(torch.randn(300, WIDTH)).detach()
    assert float(z.std(0).mean()) < 1e-3


# --- sets ---------------------------------------------------------------------------------------------------------

SETS = [
    # constraint                                                why
    (isotone.NonNegative(),                                     "all of one sign"),
    (isotone.NonPositive(),                                     "the mirror"),
    (isotone.Sign((1, -1, 0, 1) * 16),                          "a sign for each input"),
    (isotone.Sign((1, -1) * 32, dim=0),                         "a sign for each unit"),
    (isotone.Between(0.0, 0.05),                                "narrower than what is drawn"),
    (isotone.Between(0.1, 0.2),                                 "away from 0"),
    (isotone.Between(-0.01, 0.01),                              "both signs, narrow"),
    (isotone.Between(low=torch.linspace(-1, 0, 64).tolist()),   "a bound for each input"),
    (isotone.constraints.LinfBall(0.02),                        "a bound on both sides"),
    (isotone.constraints.MaxNorm(0.5),                          "a norm"),
    (isotone.constraints.UnitNorm(),                            "a norm that is fixed"),
    (isotone.constraints.L1Ball(1.0),                           "a sum of sizes"),
    (isotone.constraints.Simplex(),                             "a sum that is fixed"),
    (isotone.constraints.Increasing(),                          "an order"),
    (isotone.constraints.Intersection(isotone.NonNegative(), isotone.constraints.MaxNorm(0.5)), "two sets"),
    (isotone.constraints.Masked(isotone.NonNegative(), (torch.arange(64) % 2 == 0).tolist()), "some entries only"),
]  # fmt: skip


@pytest.mark.parametrize(("constraint", "why"), SETS, ids=[why for _, why in SETS])
@pytest.mark.parametrize("rows", [False, True], ids=["from theory", "from data"])
def test_it_ends_inside_with_mean_0(constraint, why, rows):
    model, x = held(layers(nn.ReLU, depth=2, width=64), constraint, "2.weight"), torch.randn(2000, 64)
    # The free layer hands on what the theory speaks of: units of variance 1 (and of correlation 0).
    nn.init.normal_(model[0].weight, std=1 / 8)
    nn.init.zeros_(model[0].bias)
    free = [p.detach().clone() for p in model[0].parameters()]
    assert initialize_(model, x if rows else None) == ("2.weight",)
    assert isotone.violations(model) == {"2.weight": 0.0}
    assert abs(float(model(x).mean())) < 0.15
    for before, after in zip(free, model[0].parameters(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(("constraint", "why"), SETS[:4], ids=[why for _, why in SETS[:4]])
def test_unbounded_sets_reach_variance_1(constraint, why):
    model, x = held(layers(nn.Tanh, depth=2, width=64), constraint), torch.randn(2000, 64)
    initialize_(model)
    assert 0.6 < seen(model, x)[1] < 1.5


def test_non_positive_is_the_mirror_of_non_negative():
    one, other = held(nn.Linear(8, 8)), held(nn.Linear(8, 8), isotone.NonPositive())
    for layer in (one, other):
        initialize_(layer, generator=torch.Generator().manual_seed(3))
    assert torch.equal(one.weight, -other.weight)


def test_no_weight_starts_at_the_wall():
    layer = held(nn.Linear(64, 64))
    initialize_(layer)
    assert bool((layer.weight > 0).all())


# --- models, dtypes, layers -----------------------------------------------------------------------------------


class Custom(nn.Module):
    """A forward of functions, methods and a shared activation, in another order than the parts were registered."""

    def __init__(self):
        super().__init__()
        self.last, self.first, self.middle = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)
        self.act = nn.Tanh()

    def forward(self, x):
        x = self.act(self.first(x.flatten(1)))
        x = F.dropout(x, 0.5, training=self.training)
        return self.last(self.middle(x).sigmoid() * 2 - 1)


def test_the_order_is_read_from_the_forward():
    model = held(Custom())
    assert initialize_(model) == ("first.weight", "middle.weight", "last.weight")
    mean, variance, _ = seen(model.eval(), torch.randn(1000, 64))
    assert abs(mean) < 0.15
    assert 0.5 < variance < 2.0


def test_our_own_networks_are_read():
    net = MonotoneMLP(16, hidden=(64, 64), directions=(1, -1, 0, 1) * 4)
    assert initialize_(net) == ("layers.0.weight", "layers.2.weight", "layers.4.weight")
    assert set(isotone.violations(net).values()) == {0.0}


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        if x.sum() > 1e9:
            return x
        return self.b(torch.relu(self.a(x)))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        return self.b(x + torch.relu(self.a(x)))


def test_what_stands_before_a_layer_can_be_said():
    model = held(Branches())
    assert initialize_(model, before={"a": "data", "b": "relu"}) == ("a.weight", "b.weight")
    mean, variance, _ = seen(model, torch.randn(1000, 16))
    assert abs(mean) < 0.5
    assert variance < 3
    initialize_(model, before={"a": nn.Identity(), "b": torch.relu})


@pytest.mark.parametrize("model", [Branches, Residual])
def test_rows_of_data_serve_every_forward(model):
    net, x = held(model()), torch.rand(300, 16)
    initialize_(net, x)
    torch.testing.assert_close(net(x).mean(0), torch.zeros(16), atol=1e-4, rtol=0)


def test_binary_inputs_are_centred_by_rows_of_data():
    x = (torch.rand(500, 200) < 0.03).float()
    model = MonotoneMLP(200, (32, 32))
    initialize_(model, x)
    logits = model(x)
    assert abs(float(logits.mean())) < 1e-4
    assert float(logits.std(correction=0)) == pytest.approx(1.0, abs=1e-3)


CONVOLUTIONS = [
    (nn.Conv1d(8, 16, 5, padding=2), (16, 8, 30)),
    (nn.Conv2d(8, 16, 3, padding=1, padding_mode="circular"), (8, 8, 9, 9)),
    (nn.Conv2d(8, 16, 3, groups=4, stride=2), (32, 8, 9, 9)),
    (nn.Conv3d(2, 4, 3), (8, 2, 6, 6, 6)),
]


@pytest.mark.parametrize(("conv", "shape"), CONVOLUTIONS)
def test_convolutions(conv, shape):
    model, x = held(nn.Sequential(conv, nn.ReLU(), nn.Flatten())), torch.randn(shape)
    initialize_(model)
    assert 0.4 < float(conv(x).var()) < 2.5
    initialize_(model, x)
    z = conv(x).movedim(1, 0).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(len(z)), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(1, correction=0), torch.ones(len(z)), atol=1e-3, rtol=0)
    assert isotone.violations(model) == {"0.weight": 0.0}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.02), (torch.float64, 1e-9)])
def test_other_dtypes(dtype, tolerance):
    model, x = held(layers(nn.ReLU, depth=3, width=64).to(dtype)), torch.randn(400, 64).to(dtype)
    initialize_(model)
    assert bool(model(x).isfinite().all())
    initialize_(model, x)
    assert model[0].weight.dtype == dtype
    assert abs(float(model(x).double().mean())) < tolerance
    assert set(isotone.violations(model).values()) == {0.0}


@pytest.mark.parametrize("rows", [False, True])
def test_a_spread_moves_the_units_of_a_layer_apart_and_not_the_layer(rows):
    model, x = held(MonotoneMLP(32, (64, 64))), torch.randn(400, 32)
    initialize_(model, x if rows else None, spread=1.0, generator=torch.Generator().manual_seed(0))
    first = model.layers[0](x).mean(0)
    assert abs(float(first.mean())) < 0.15
    assert 0.4 < float(first.std()) < 0.75  # a uniform on [-1, 1] has 0.58
    if rows:
        assert float(first.abs().max()) < 1.2
        assert abs(float(model(x).mean())) < 1e-4  # one logit: nothing to spread


def test_a_generator_makes_it_repeatable():
    models = [held(layers(nn.ReLU, depth=3, width=16)) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        initialize_(model, generator=torch.Generator().manual_seed(seed))
    first, same, other = (m[2].weight for m in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_batch_norm_before_the_activation_counts():
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64))
    model[0].weight.data.mul_(50)
    held(model, pattern="3.weight")
    initialize_(model)
    model.train()
    assert 0.5 < float(model(torch.randn(500, 64)).var()) < 2


def test_the_scale_of_a_free_layer_counts():
    model = layers(nn.ReLU, depth=2, width=64)
    model[0].weight.data.mul_(50)
    held(model, pattern="2.weight")
    initialize_(model)
    assert 0.4 < float(model(torch.randn(500, 64)).var()) < 2.5


def test_modes_and_hooks_are_left_as_they_were():
    model = held(
        nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 8)), None, "[04].weight"
    )
    model[1].eval()
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    initialize_(model, torch.randn(50, 8))
    assert [m.training for m in model] == [True, False, True, True, True]
    assert all(torch.equal(b, buffers[name]) for name, b in model.named_buffers())
    assert not any(m._forward_pre_hooks for m in model)


@pytest.mark.parametrize("rows", [False, True])
def test_gradients_are_left_alone(rows):
    model = held(layers(nn.ReLU, depth=2, width=8))
    with torch.enable_grad():
        initialize_(model, torch.randn(50, 8, requires_grad=True) if rows else None)
        assert all(p.is_leaf and p.requires_grad and p.grad is None for p in model.parameters())
        model(torch.randn(5, 8)).sum().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_frozen_weights_stay_and_tied_ones_are_set_once():
    model = layers(nn.Tanh, depth=3, width=16)
    model[2].weight = model[0].weight
    held(model)
    model[4].weight.requires_grad_(False)
    before = model[4].weight.clone()
    assert initialize_(model) == ("0.weight",)
    assert torch.equal(model[4].weight, before)


def test_several_arguments_come_as_a_tuple():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x, y):
            return self.a(input=x * y)

    model = held(Two())
    assert initialize_(model, (torch.randn(50, 4), torch.randn(50, 4))) == ("a.weight",)


# --- what is said ---------------------------------------------------------------------------------------------------

FAULTS = [
    (lambda: initialize_(nn.Linear(2, 2)),
     r"initialize_: a model without constrained weights came; constrain them first\."),
    (lambda: initialize_(held(Residual())),
     r"'b' is constrained, and what reaches it is not known: add brings 2 signals together; .*before=\{'b': 'relu'\}\."),
    (lambda: initialize_(held(Branches())),
     r"'a' is constrained, and what reaches it is not known: its forward cannot be followed without data \(TraceError\)"),
    (lambda: initialize_(held(nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.Linear(4, 4)))),
     r"'2' is constrained, .* Softmax does not work entry by entry"),
    (lambda: initialize_(held(layers(nn.ReLU, 2, 4)), before={"2": "softmax"}),
     r"'softmax' came as what stands before '2'; 'data', or an activation: .* is right\."),
    (lambda: initialize_(held(nn.Linear(4, 4)), torch.ones(50, 4)),
     r"what reaches '' does not vary over the rows given; some hundred different rows"),
    (lambda: initialize_(held(nn.Linear(4, 4)), torch.full((50, 4), math.nan)),
     r"what reaches '' is not finite"),
    (lambda: initialize_(held(nn.Sequential(nn.Linear(4, 4), nn.Threshold(1e9, 0.0), nn.Linear(4, 4)))),
     r"what reaches '2' is 0 whatever the input; an activation that lets something pass is right\."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "says"), FAULTS, ids=[says[:40] for _, says in FAULTS])
def test_faults_are_one_sentence(call, says):
    with pytest.raises(BadInput, match=says):
        call()


def test_before_names_constrained_layers():
    with pytest.raises(NoMatch, match=r"'3' matches no constrained layer"):
        initialize_(held(layers(nn.ReLU, 2, 4)), before={"3": "relu"})


def test_a_model_that_cannot_be_read_is_left_as_it_was():
    model = held(nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1), nn.Linear(4, 4)))
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(BadInput):
        initialize_(model)
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.spare = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.a(x)


WARNINGS = [
    (lambda: initialize_(held(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64, bias=False)))),
     r"'2' has no bias, so its outputs have mean 0\.\d+ and not 0\. Make it with bias=True\."),
    (lambda: initialize_(held(nn.Linear(64, 64, bias=False)), torch.rand(99, 64)),
     r"'' has no bias, so its outputs have mean \d.* and not 0\."),
    (lambda: initialize_(held(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), None, "*")),
     r"the bias of '2' is held in NonNegative\(\), so its outputs have mean \d.* and not 0\."),
    (lambda: initialize_(held(nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4)), None, ["0.weight", "1.weight"]), torch.arange(4)),
     r"left as they are, being no weights of a linear layer or a convolution: 0\.weight \(Embedding\)\."),
    (lambda: initialize_(held(Unused()), torch.randn(50, 4)),
     r"left as they are, since the forward did not call them: spare\."),
]  # fmt: skip


@pytest.mark.parametrize(("call", "says"), WARNINGS, ids=[says[:40] for _, says in WARNINGS])
def test_what_is_not_reached_is_said(call, says):
    with pytest.warns(UserWarning, match=f"initialize_: {says}"):
        call()


def test_one_that_projects_only_would_be_found():
    for activation, _, band, cosine in REACHED:
        _, variance, alike = seen(held(layers(activation)), torch.randn(300, WIDTH))
        assert not (band[0] < variance < band[1] and alike < cosine)


def test_the_papers_constants_at_every_depth_would_be_found():
    model, planned = held(layers(nn.ReLU)), plan(correlated().then(torch.relu).moments(), torch.ones(1, WIDTH))
    with torch.no_grad():
        for layer in model[::2]:
            spread = float(torch.log1p((planned.std / planned.mean) ** 2).sqrt())
            layer.weight.copy_(planned.mean * torch.exp(spread * torch.randn(WIDTH, WIDTH) - spread**2 / 2))
            layer.bias.fill_(float(planned.bias))
        # The first layer sees data; its constants are others.
        layer = held(nn.Linear(WIDTH, WIDTH))
        initialize_(layer)
        model[0].load_state_dict(layer.state_dict())
    assert seen(model, torch.randn(1000, WIDTH))[1] > 50
