"""Functions of one number, alone and between layers of non-negative weights."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ..models import Formula, mlp, positive
from ._case import FALLS, HIDDEN, OPEN, RISES, UNIT, Case, X


def between(activation: nn.Module) -> nn.Module:
    return positive(mlp(activation))


def formula(f) -> Formula:
    return Formula(f)


def prelu(weight: float) -> nn.Module:
    return nn.PReLU(init=weight)


def bump(x):
    """A density: rises to its mode only."""
    return torch.exp(-((x - 0.5) ** 2))


def handmade_leaky(x):
    return torch.where(x > 0, x, 0.1 * x)


def handmade_sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def handmade_softplus(x):
    return torch.relu(x) + torch.log1p(torch.exp(-x.abs()))


def quadrature(x):
    """UMNN's idea with too few nodes: the integral of a positive function rises, its sum of three values need not."""
    nodes = torch.tensor([0.1127, 0.5, 0.8873])
    weights = torch.tensor([5 / 18, 8 / 18, 5 / 18])
    inner = x.unsqueeze(-1) * nodes
    return x * ((torch.exp(-200 * (inner - 0.4) ** 2) + 0.01) * weights).sum(-1)


# fmt: off
MODELS = {
    # falls
    "gelu between positive layers":     Case(lambda: between(nn.GELU()), X, +1, None, HIDDEN, "GELU falls left of -0.75, and positive weights carry the fall on"),
    "tanh gelu between positive layers": Case(lambda: between(nn.GELU(approximate="tanh")), X, +1, None, HIDDEN, "the approximation falls as the function does"),
    "silu between positive layers":     Case(lambda: between(nn.SiLU()), X, +1, None, HIDDEN, "SiLU falls left of -1.28"),
    "mish between positive layers":     Case(lambda: between(nn.Mish()), X, +1, None, HIDDEN, "mish falls left of -1.19"),
    "hardswish between positive layers": Case(lambda: between(nn.Hardswish()), X, +1, None, HIDDEN, "hardswish falls between -3 and -1.5"),
    "gelu":                             Case(nn.GELU, X, +1, None, FALLS, "alone, on all of space"),
    "gelu just left of its valley":     Case(nn.GELU, X - 1.7, +1, (-1.7, -0.76), FALLS, "the domain holds the falling side only"),
    "gelu a little over its valley":    Case(lambda: formula(lambda x: F.gelu(x - 0.7518)), X, +1, UNIT, HIDDEN, "the valley lies 8e-6 inside the domain: the drop is far below float32"),
    "a prelu with a negative weight":   Case(lambda: prelu(-0.2), X, +1, None, FALLS, "its left side falls"),
    "a leaky relu with a negative slope": Case(lambda: nn.LeakyReLU(-0.1), X, +1, None, FALLS, "its left side falls"),
    "a threshold to a larger value":    Case(lambda: nn.Threshold(0.5, 0.8), X, +1, None, FALLS, "falls from 0.8 to 0.5 at the threshold"),
    "softmin":                          Case(lambda: nn.Softmin(1), X, +1, None, FALLS, "a softmax of the negation"),
    "glu on all of space":              Case(lambda: nn.GLU(1), torch.rand(2, 4), +1, None, FALLS, "a negative value times a rising gate falls"),
    "softplus with a low threshold":    Case(lambda: nn.Softplus(threshold=5.0), X, +1, None, HIDDEN, "drops by 0.0067 where it switches to x"),
    "softplus in float64":              Case(nn.Softplus, X.double(), +1, None, HIDDEN, "drops by 2e-9 at 20, which float64 shows"),
    "softplus with a large beta":       Case(lambda: nn.Softplus(beta=50.0, threshold=2.0), X, +1, UNIT, HIDDEN, "drops at 0.04"),
    "cos":                              Case(lambda: formula(torch.cos), X, +1, None, FALLS, "falls right of 0"),
    "sin on the unit interval times 4": Case(lambda: formula(lambda x: torch.sin(4 * x)), X, +1, UNIT, FALLS, "turns at pi/8 of the way"),
    "a fast sine on a slope":           Case(lambda: formula(lambda x: x + 0.2 * torch.sin(10 * x)), X, +1, UNIT, FALLS, "the slope is 1 + 2 cos(10 x)"),
    "x * x":                            Case(lambda: formula(lambda x: x * x), X, +1, (-1, 1), FALLS, "falls left of 0"),
    "x ** 4":                           Case(lambda: formula(lambda x: x**4), X, +1, (-1, 1), FALLS, "even powers fall left of 0"),
    "a cubic with a hump":              Case(lambda: formula(lambda x: x**3 - x), X, +1, (-1, 1), FALLS, "falls between -0.58 and 0.58"),
    "1 / x":                            Case(lambda: formula(torch.reciprocal), X, +1, (0.1, 1), FALLS, "falls on either side of 0"),
    "1 / x across 0":                   Case(lambda: formula(lambda x: -1 / x), X, +1, (-1, 1), FALLS, "-1 / x rises on either side of 0 and falls across it"),
    "x ** -2":                          Case(lambda: formula(lambda x: x**-2.0), X, +1, (0.1, 1), FALLS, "a negative power of a positive number"),
    "a density":                        Case(lambda: formula(bump), X, +1, UNIT, FALLS, "falls right of its mode"),
    "modulo":                           Case(lambda: formula(lambda x: x % 0.3), X, +1, UNIT, FALLS, "a sawtooth"),
    "fmod":                             Case(lambda: formula(lambda x: torch.fmod(x, 0.3)), X, +1, UNIT, FALLS, "a sawtooth"),
    "the fractional part":              Case(lambda: formula(torch.frac), X, +1, (0, 2), FALLS, "a sawtooth"),
    "x minus its floor":                Case(lambda: formula(lambda x: x - x.floor()), X, +1, (0, 2), FALLS, "the same by hand"),
    "entropy":                          Case(lambda: formula(lambda x: -(x * x.clamp(min=1e-3).log())), X, +1, UNIT, FALLS, "falls right of 1/e"),
    "torch.special.entr":               Case(lambda: formula(torch.special.entr), X, +1, UNIT, FALLS, "the same as one operation"),
    "sinc":                             Case(lambda: formula(torch.sinc), X, +1, UNIT, FALLS, "falls from 1 to 0"),
    "tan across its pole":              Case(lambda: formula(torch.tan), X, +1, (0, 3), FALLS, "rises on either side of a pole and falls across it"),
    "acos":                             Case(lambda: formula(torch.acos), X, +1, (-1, 1), FALLS, "a falling inverse"),
    "cosh":                             Case(lambda: formula(torch.cosh), X, +1, (-1, 1), FALLS, "a valley"),
    "logarithm of the gamma function":  Case(lambda: formula(torch.lgamma), X, +1, (0.1, 3), FALLS, "a valley at 1.46"),
    "tanh squared":                     Case(lambda: formula(lambda x: torch.tanh(x) ** 2), X, +1, None, FALLS, "a valley"),
    "logit of one minus x":             Case(lambda: formula(lambda x: torch.logit(1 - x, eps=1e-3)), X, +1, UNIT, FALLS, "a rising function of a falling one"),
    "a sum of steps that overtake":     Case(lambda: formula(lambda x: (x > 0.3).float() - (x > 0.6).float()), X, +1, UNIT, FALLS, "the second step takes the first one back"),
    "round to even and the rest":       Case(lambda: formula(lambda x: x - x.round()), X, +1, (0, 2), FALLS, "a sawtooth"),
    "a quadrature of a positive function": Case(lambda: formula(quadrature), X, +1, UNIT, FALLS, "UMNN: the integral rises, its three-point sum does not"),
    "a polynomial in nested form":      Case(lambda: formula(lambda x: x * (x * (x - 1.5) + 0.6)), X, +1, UNIT, FALLS, "its slope is -0.15 at 1/2, beside 0.6 at both ends"),
    "softplus minus a faster softplus": Case(lambda: formula(lambda x: F.softplus(x) - F.softplus(3 * x) / 2), X, +1, None, FALLS, "the subtrahend wins on the right"),
    "a gate that forgets its sign":     Case(lambda: formula(lambda x: (x - 0.5) * torch.sigmoid(8 * x - 4)), X, +1, UNIT, FALLS, "a negative value times a rising gate"),
    "relu of a fall":                   Case(lambda: formula(lambda x: torch.relu(0.5 - x)), X, +1, UNIT, FALLS, "a hinge the wrong way round"),
    "a fall that ends before it is seen": Case(lambda: formula(lambda x: torch.maximum(0.2 - x, 0.001 * x)), X, +1, UNIT, FALLS, "the falling branch is larger left of 0.2 only"),
    # rises
    "gelu right of its valley":         Case(nn.GELU, X, +1, (-0.75, None), RISES, "rises there"),
    "silu of non-negative numbers":     Case(lambda: positive(nn.Sequential(nn.Linear(3, 4, bias=False), nn.SiLU())), X, +1, (0, None), RISES, "SiLU rises right of 0"),
    "mish left of its valley, falling input": Case(nn.Mish, X - 3, -1, (None, -1.2), RISES, "as the input falls, it rises"),
    "a square on the falling side":     Case(lambda: formula(torch.square), X - 1, -1, (None, 0), RISES, "rises as its input falls"),
    "softsign":                         Case(nn.Softsign, X, +1, None, OPEN, "x / (1 + |x|) rises; its parts do not show it"),
    "tanhshrink":                       Case(nn.Tanhshrink, X, +1, None, RISES, "x - tanh x rises; needs slopes"),
    "softshrink":                       Case(nn.Softshrink, X, +1, None, OPEN, "rises, flat around 0"),
    "hardshrink":                       Case(nn.Hardshrink, X, +1, None, OPEN, "rises with two jumps up"),
    "rrelu at rest":                    Case(lambda: between(nn.RReLU()).eval(), X, +1, None, RISES, "a leaky ReLU with the mean slope"),
    "a celu with a negative alpha":     Case(lambda: nn.CELU(-1.0), X, +1, None, OPEN, "the sign cancels: 1 - exp(-x) on the left"),
    "x + gelu(x)":                      Case(lambda: formula(lambda x: x + F.gelu(x)), X, +1, None, RISES, "GELU falls by at most 0.13 a unit"),
    "x + sin(x)":                       Case(lambda: formula(lambda x: x + torch.sin(x)), X, +1, None, OPEN, "the slope is 1 + cos x >= 0"),
    "x - min(x, 0)":                    Case(lambda: formula(lambda x: x - x.clamp(max=0)), X, +1, None, RISES, "a ReLU written as a difference"),
    "x - relu(x) / 2":                  Case(lambda: formula(lambda x: x - torch.relu(x) / 2), X, +1, None, RISES, "the slope is at least 1/2"),
    "a leaky relu by where":            Case(lambda: formula(handmade_leaky), X, +1, None, OPEN, "both branches meet at 0"),
    "a sigmoid by hand":                Case(lambda: formula(handmade_sigmoid), X, +1, None, RISES, "a quotient of positive numbers"),
    "a softplus by hand":               Case(lambda: formula(handmade_softplus), X, +1, None, OPEN, "the stable form: a hinge and a correction that falls"),
    "softplus minus half a softplus":   Case(lambda: formula(lambda x: F.softplus(x) - F.softplus(x) / 2), X, +1, None, OPEN, "the same function twice"),
    "2 x + |x|":                        Case(lambda: formula(lambda x: 2 * x + x.abs()), X, +1, None, OPEN, "the slope is 1 or 3"),
    "a square root of a sum":           Case(lambda: formula(lambda x: torch.sqrt(x.sum(1) + 1e-3)), X, +1, (0, None), RISES, "positive under the root"),
    "a logarithm of one plus":          Case(lambda: formula(lambda x: torch.log1p(x).mean(1)), X, +1, (0, None), RISES, "log scaling of counts"),
    "odd powers":                       Case(lambda: formula(lambda x: x**3 + x**5), X, +1, None, RISES, "odd powers rise"),
    "the power 1.5":                    Case(lambda: formula(lambda x: x**1.5), X, +1, (0, None), RISES, "rises right of 0"),
    "a geometric mean":                 Case(lambda: formula(lambda x: x.log().mean(1).exp()), X, +1, (0.01, None), RISES, "of positive numbers"),
    "a harmonic mean":                  Case(lambda: formula(lambda x: 1 / (1 / x).mean(1)), X, +1, (0.01, None), OPEN, "two reciprocals cancel; their mean may be as small as one likes"),
    "a euclidean norm":                 Case(lambda: formula(lambda x: x.norm(dim=1)), X, +1, (0, None), RISES, "rises on non-negative numbers"),
    "odds":                             Case(lambda: formula(lambda x: x / (1 - x)), X, +1, (0, 0.99), RISES, "the divisor falls and stays positive"),
    "odds and a smaller divisor":       Case(lambda: formula(lambda x: x / (x + 1)), X, +1, UNIT, RISES, "saturates: dividend and divisor rise together"),
    "hill's function":                  Case(lambda: formula(lambda x: x**2 / (x**2 + 0.25)), X, +1, UNIT, OPEN, "the dose response of pharmacology"),
    "steps":                            Case(lambda: formula(lambda x: x.floor() + x.ceil() + x.round() + x.trunc() + x.sign()), X, +1, None, RISES, "every rounding rises"),
    "atan, erf and expm1":              Case(lambda: formula(lambda x: x.atan() + x.erf() + x.expm1()), X, +1, None, RISES, "rising functions add up"),
    "sinh and asinh":                   Case(lambda: formula(lambda x: x.asinh() + x.sinh()), X, +1, None, RISES, "rising functions add up"),
    "asin":                             Case(lambda: formula(torch.asin), X, +1, (-1, 1), RISES, "rises where it is real"),
    "logit":                            Case(lambda: formula(lambda x: torch.logit(x, eps=1e-3)), X, +1, UNIT, OPEN, "rises, clamped at both ends"),
    "softplus in float32":              Case(lambda: between(nn.Softplus()), X, +1, None, RISES, "the switch at 20 drops less than float32 can show"),
    "a prelu with learned weights":     Case(lambda: nn.PReLU(3, init=0.3), X, +1, None, RISES, "rises with a non-negative slope on the left"),
    "glu of non-negative values":       Case(lambda: nn.GLU(1), torch.rand(2, 4), +1, (0, None), RISES, "a product of non-negative rising factors"),
    "a value times its gate from 0":    Case(lambda: formula(lambda x: torch.relu(x) * torch.sigmoid(x)), X, +1, None, RISES, "both factors rise and are not negative"),
    "nan_to_num":                       Case(lambda: formula(lambda x: torch.nan_to_num(x) + x), X, +1, None, RISES, "nothing to replace in finite numbers"),
    "a complementary error function turned": Case(lambda: formula(lambda x: -torch.erfc(x)), X, +1, None, RISES, "erfc falls"),
    "a cap":                            Case(lambda: formula(lambda x: torch.clamp(x, max=0.7) + torch.clamp(x, min=0.2)), X, +1, None, RISES, "both clamps rise"),
}
# fmt: on
