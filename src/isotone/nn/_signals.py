"""What reaches a layer before anything is trained: the theory behind `initialize_`.

For one input, the many units of a layer are taken to be normal with mean u and variance v. Weights that agree in sign
give all units of the next layer one thing in common, u. Over the inputs u and v vary, and that is followed from layer
to layer as a curve. With u normal and v constant over the inputs this is the theory of Hoedt and Klambauer (NeurIPS
2023, arXiv 2312.12474), and at ReLU it gives their constants. From the second hidden layer on that is no longer so (the
inputs with the larger u also have the larger v), and their constants, which are the same for all layers, let the
variance grow to 1600 in ten layers of ReLU, of width 256. Following the curve keeps it of order 1.

What no start gives: with weights of one sign, whatever the units have in common adds up and what is their own averages
out. If a unit listens to k units in effect, (sum w)^2 / sum w^2, the odds of its own part fall by the factor k in every
layer. The theory's moments have k of 3 or 4 and a projected ordinary start has k = 3/8 of all inputs, but after three
constrained layers the correlation of two units over the inputs is 0.97 even so; what then tells them apart is slope and
the place where they bend. (In the paper, and in `CORRELATION`, both of these count as a unit's own.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]

# Correlation between the units of a layer over the inputs, as in the paper: at 0 a layer has no common part that could
# carry "more evidence" upwards, at 1 all units say the same.
CORRELATION = 0.5


def _normal(reach: float, step: float) -> tuple[Tensor, Tensor]:
    """Points and probabilities of a standard normal."""
    # Equal steps, not Gauss-Hermite: for smooth functions as exact, and at a kink (ReLU) only step^2 off.
    x = torch.arange(-reach, reach + step / 2, step, dtype=torch.float64)
    weights = torch.exp(-(x**2) / 2)
    return x, weights / weights.sum()


_INPUTS, _SHARE = _normal(7.0, 0.1)  # one point per kind of input
# The units of a layer, for one input. The steps are no multiples of each other, so that kinks fall anywhere between two
# points and their errors cancel: 1e-8 at ReLU, and 5e-6 with steps of 0.01.
_UNITS, _PARTS = _normal(8.0, 0.0097)
# A convex activation raises large u more and more from layer to layer, until inputs that no batch contains have all the
# variance. Inputs further out than 3 are taken to do as those at 3.
_TYPICAL = torch.arange(len(_INPUTS)).clamp(int((_INPUTS < -3.0).sum()), int((_INPUTS <= 3.0).sum()) - 1)


def identity(x: Tensor) -> Tensor:
    """No activation."""
    return x


@dataclass(frozen=True)
class Moments:
    """Of what a layer sums, over units and inputs: a = f(z)."""

    mean: float  # E a
    square: float  # E a^2
    common: float  # variance over inputs of the mean over units: the covariance of two units
    means: Tensor  # mean over units, for each kind of input
    squares: Tensor  # mean square over units, for each kind of input

    @property
    def own(self) -> float:
        """The variance that a unit does not share with the others of its layer."""
        return max(self.square - self.mean**2 - self.common, 0.0)


@dataclass(frozen=True)
class Signal:
    """Numbers f(z), where for one input the units' z are normal with mean `u` and variance `v`: one entry per kind."""

    u: Tensor
    v: Tensor
    f: Function = identity

    def then(self, f: Function) -> Signal:
        """After one more function, entry by entry."""
        before = self.f
        return Signal(self.u, self.v, lambda x: f(before(x)))

    def moments(self) -> Moments:
        """By summing over both normals. Cost: 233 thousand values of `f`."""
        values = self.f(self.u[:, None] + self.v.sqrt()[:, None] * _UNITS).double()
        means, squares = values @ _PARTS, values.square() @ _PARTS
        mean = float(_SHARE @ means)
        return Moments(mean, float(_SHARE @ squares), float(_SHARE @ (means - mean).square()), means, squares)

    def standardised(self) -> Signal:
        """Mean 0 and variance 1 over inputs and units, as a batch norm makes them."""
        mean = _SHARE @ self.u
        std = (_SHARE @ ((self.u - mean).square() + self.v)).sqrt()
        return Signal((self.u - mean) / std, self.v / std**2, self.f)


def data() -> Signal:
    """Inputs of mean 0 and variance 1 that know nothing of each other."""
    return Signal(torch.zeros_like(_INPUTS), torch.ones_like(_INPUTS))


def correlated(rho: float = CORRELATION) -> Signal:
    """A layer of variance 1 whose units have correlation `rho`: the fixed point that the paper aims at.

    >>> m = correlated(0.5).then(torch.relu).moments()
    >>> round(m.mean * math.sqrt(2 * math.pi), 5), round(m.square, 5)
    (1.0, 0.5)
    """
    return Signal(math.sqrt(rho) * _INPUTS, torch.full_like(_INPUTS, 1 - rho))


@dataclass(frozen=True)
class Plan:
    """Moments for the weights of a layer, a unit at a time, and its bias."""

    mean: Tensor  # (units, 1): of the size of a weight with a sign
    std: float  # of that size
    free_std: float  # of a weight of any sign, whose mean is 0
    bias: Tensor  # (units,)


def plan(m: Moments, signs: Tensor, rho: float = CORRELATION) -> Plan:
    """Weights that make pre-activations of mean 0 and variance 1, of which the share `rho` is common to the units.

    For a unit with n inputs, p of them with a sign and S the sum of those signs, over weights and inputs

        variance        = p (mean^2 (..) + std^2 E a^2) + (n - p) free_std^2 E a^2,
        what is common  = mean^2 (S^2 common + p own).

    Every input gets the same share 1/n of the variance; one with a sign gives `rho` of its share to what is common.
    For p = S = n and ReLU: mean^2 = rho / f(n), std^2 = 2 (1 - rho) / n, bias = -n sqrt(mean^2 / (2 pi)).

    Args:
        m: of what the layer sums; `square` above 0.
        signs: (units, n), each -1, 0 or +1.
        rho: in (0, 1).
    """
    n = signs.shape[1]
    p, s = signs.abs().sum(1).double(), signs.sum(1).double()
    size = ((rho * p / n) / (s.square() * m.common + p * m.own).clamp(min=1e-30)).sqrt()
    return Plan(size[:, None], math.sqrt((1 - rho) / (n * m.square)), math.sqrt(1 / (n * m.square)), -m.mean * size * s)


def through(m: Moments, weight: Tensor, bias: Tensor | None) -> Signal:
    """What a linear layer makes of it: `weight` (units, n) and `bias` (units,) as they are."""
    weight = weight.double()
    shift = weight.new_zeros(len(weight)) if bias is None else bias.double()
    sums = weight.sum(1)
    noise = (m.squares - m.means.square()).clamp(min=0.0)  # of one unit before, for one input
    # A mean over many inputs that know nothing of each other is normal by itself; else it follows the units' mean.
    drift = float(sums.mean()) * (m.means - m.mean)
    follows, by_itself = float(_SHARE @ drift.square()), float(weight.mean(0).square().sum() * (_SHARE @ noise))
    shared = math.sqrt(follows + by_itself)
    u = drift * (shared / math.sqrt(follows)) if follows > by_itself else shared * _INPUTS
    at = sums[:, None] * m.means + shift[:, None]  # (units, kinds)
    v = (at - at.mean(0)).square().mean(0) + (weight.square().sum(1).mean() * noise - by_itself).clamp(min=0.0)
    if follows <= by_itself:
        return Signal(u + float((sums * m.mean + shift).mean()), torch.full_like(v, float(_SHARE @ v)))
    return Signal(u[_TYPICAL] + float((sums * m.mean + shift).mean()), v[_TYPICAL])
