"""Functions of one number for boxes: a row says its values, its slopes, and the slopes of its slopes.

- a `Curve` is monotone between the turning points that it lists, so its range is found at the ends and there;
- each turning point is two floats that enclose it, with the value there;
- a row with `bend` has slopes without jumps: its slope is enclosed by an affine form, whose error shrinks with the
  square of the box; a row without has kinks (ReLU) and slopes between two numbers.

The constants were computed with fifty digits (mpmath) and are rounded; `SLACK` is far wider than their error and libm's.
"""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .._facts import INF, NotReal
from .._rounding import TINY

SLACK = 2.0**-40
Range = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Curve:
    """A function that is monotone between its turning points.

    Args:
        f: on float64, good to SLACK relative to its value, or to `blur` where cancellation leaves less.
        turns: (left, right, value): a turning point lies in [left, right], and f is `value` there.
        low, high: bounds of f everywhere.
    """

    f: Callable[[Tensor], Tensor]
    turns: tuple[tuple[float, float, float], ...] = ()
    low: float = -INF
    high: float = INF
    blur: float = 0.0
    exact: bool = False  # f rounds nothing

    def slack(self, y: Tensor) -> Tensor:
        if self.exact:
            return torch.zeros_like(y)
        return y.abs() * SLACK + (self.blur + TINY)

    def range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of f on [lo, hi]."""
        a, b = self.f(lo), self.f(hi)
        low = torch.minimum(a - self.slack(a), b - self.slack(b))
        high = torch.maximum(a + self.slack(a), b + self.slack(b))
        for left, right, value in self.turns:
            inside = (hi >= left) & (lo <= right)
            room = abs(value) * SLACK + self.blur + TINY
            low = torch.where(inside, low.clamp(max=value - room), low)
            high = torch.where(inside, high.clamp(min=value + room), high)
        return low.clamp(min=self.low, max=self.high), high.clamp(min=self.low, max=self.high)


@dataclass(frozen=True)
class Steps:
    """The slope of a piecewise linear function: slopes[i] between breaks[i - 1] and breaks[i].

    A piece counts if it has more than one point in common with [lo, hi]: at a single value the slope does not matter,
    see `_jets`.
    """

    breaks: tuple[float, ...]
    slopes: tuple[float, ...]

    @property
    def rising(self) -> bool:
        """Whether the function is convex."""
        return list(self.slopes) == sorted(self.slopes)

    def range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the largest slope."""
        low, high = torch.full_like(lo, INF), torch.full_like(lo, -INF)
        ends = (-INF, *self.breaks, INF)
        for left, right, slope in zip(ends[:-1], ends[1:], self.slopes, strict=True):
            touched = ((hi > left) & (lo < right)) | ((lo == hi) & (hi >= left) & (lo <= right))
            low = torch.where(touched, low.clamp(max=slope), low)
            high = torch.where(touched, high.clamp(min=slope), high)
        # NaN touches nothing and leaves infinities, which are found as sick.
        return low, high


@dataclass(frozen=True)
class Row:
    """A function with its slope, and the slope of its slope where that exists everywhere.

    Args:
        inside: refuse values at or below this number.
        whole: refuse values at or above this number.
    """

    value: Curve
    slope: Curve | Steps
    bend: Curve | Steps | None = None
    inside: float = -INF
    whole: float = INF

    def check(self, lo: Tensor, hi: Tensor) -> None:
        """Refuse what the row does not speak of."""
        if bool((lo <= self.inside).any()):
            raise NotReal(f"it may take values at or below {self.inside:g}, where it has no rule for boxes")
        if bool((hi >= self.whole).any()):
            raise NotReal(f"it may take values at or above {self.whole:g}, where it has no rule for boxes")


@dataclass(frozen=True)
class Wave:
    """sin, its slope cos, ...: sin(x + quarter * pi / 2)."""

    quarter: int

    def f(self, x: Tensor) -> Tensor:
        """Its value; each of the four without a sum in its argument."""
        return (torch.sin(x), torch.cos(x), -torch.sin(x), -torch.cos(x))[self.quarter % 4]

    def slack(self, y: Tensor) -> Tensor:
        return torch.full_like(y, SLACK)

    def range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds on [lo, hi]; 1 and -1 where a crest or a trough may lie inside, and far from 0."""
        a, b = self.f(lo), self.f(hi)
        far = torch.maximum(lo.abs(), hi.abs()) > 1e5
        crest, trough = (self._holds(lo, hi, phase) for phase in (0.25, 0.75))
        low = torch.where(far | trough, -1.0, torch.minimum(a, b) - SLACK)
        high = torch.where(far | crest, 1.0, torch.maximum(a, b) + SLACK)
        return low.clamp(-1.0, 1.0), high.clamp(-1.0, 1.0)

    def _holds(self, lo: Tensor, hi: Tensor, phase: float) -> Tensor:
        # x = 2 pi (n + phase - quarter / 4) for a whole n; up to 1e5 the error of these quotients is below 1e-10.
        first, last = ((x / (2 * math.pi) - phase + self.quarter / 4) for x in (lo - 1e-6, hi + 1e-6))
        return first.ceil() <= last.floor()


def gauss(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def gauss_below(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x / math.sqrt(2))


def logistic_slope(x: Tensor) -> Tensor:
    """sigmoid(x) (1 - sigmoid(x)), without the cancellation."""
    return torch.sigmoid(x) * torch.sigmoid(-x)


def around(at: float, value: float, width: float = 1e-9) -> tuple[float, float, float]:
    return at - width, at + width, value


def both(at: float, left: float, right: float) -> tuple[tuple[float, float, float], ...]:
    """Turning points at -at and at."""
    return around(-at, left), around(at, right)


ZERO = (0.0, 0.0)


def scaled(curve: Curve, stretch: float, height: float) -> Curve:
    """height * curve(stretch * x), for stretch > 0 and height > 0."""
    f = curve.f
    return Curve(
        lambda x: height * f(stretch * x),
        tuple((left / stretch - 1e-9, right / stretch + 1e-9, height * value) for left, right, value in curve.turns),
        height * curve.low,
        height * curve.high,
        height * curve.blur,
    )


TANH_BEND = 4 / (3 * math.sqrt(3))
LOGISTIC_BEND = 1 / (6 * math.sqrt(3))
SIGMOID = Curve(torch.sigmoid, (), 0.0, 1.0)
LOGISTIC = Curve(logistic_slope, ((0.0, 0.0, 0.25),), 0.0, 0.25)
LOGISTIC_TURN = Curve(
    lambda x: -logistic_slope(x) * torch.tanh(x / 2), both(math.log(2 + math.sqrt(3)), LOGISTIC_BEND, -LOGISTIC_BEND)
)
SILU_TURN, SILU_BEND_TURN = 2.39935728051546767, 3.43584099353511069
GELU_TURN = 0.751791524693564457

# fmt: off
ROWS: dict[str, Row] = {
    # op           its value, its slope, the slope of its slope
    "relu":    Row(Curve(torch.relu, low=0.0), Steps((0.0,), (0.0, 1.0))),
    "relu6":   Row(Curve(lambda x: x.clamp(0.0, 6.0), (), 0.0, 6.0), Steps((0.0, 6.0), (0.0, 1.0, 0.0))),
    "abs":     Row(Curve(torch.abs, ((0.0, 0.0, 0.0),), 0.0), Steps((0.0,), (-1.0, 1.0))),
    "tanh":    Row(Curve(torch.tanh, (), -1.0, 1.0),
                   Curve(lambda x: torch.cosh(x) ** -2, ((0.0, 0.0, 1.0),), 0.0, 1.0),
                   Curve(lambda x: -2 * torch.tanh(x) * torch.cosh(x) ** -2,
                         both(math.atanh(1 / math.sqrt(3)), TANH_BEND, -TANH_BEND))),
    "sigmoid": Row(SIGMOID, LOGISTIC, LOGISTIC_TURN),
    "exp":     Row(Curve(torch.exp, low=0.0), Curve(torch.exp, low=0.0), Curve(torch.exp, low=0.0)),
    "square":  Row(Curve(torch.square, ((0.0, 0.0, 0.0),), 0.0), Curve(lambda x: 2 * x, exact=True), Steps((), (2.0,))),
    "sin":     Row(Wave(0), Wave(1), Wave(2)),  # type: ignore[arg-type]
    "cos":     Row(Wave(1), Wave(2), Wave(3)),  # type: ignore[arg-type]
    "gelu":    Row(Curve(lambda x: x * gauss_below(x), (around(-GELU_TURN, -0.169971207479903636),), -0.17),
                   Curve(lambda x: gauss_below(x) + x * gauss(x),
                         both(math.sqrt(2), -0.128904146149450424, 1.12890414614945042), -0.1290, 1.1290, 1e-13),
                   Curve(lambda x: gauss(x) * (2 - x * x),
                         (*both(2.0, -0.107981933026376104, -0.107981933026376104),
                          (0.0, 0.0, 0.797884560802865356)), blur=1e-13)),
    "silu":    Row(Curve(lambda x: x * torch.sigmoid(x), (around(-1.27846454276107379, -0.278464542761073795),), -0.2785),
                   Curve(lambda x: torch.sigmoid(x) + x * logistic_slope(x),
                         both(SILU_TURN, -0.0998393201288669170, 1.09983932012886692), -0.0999, 1.0999, 1e-13),
                   Curve(lambda x: logistic_slope(x) * (2 - x * torch.tanh(x / 2)),
                         (*both(SILU_BEND_TURN, -0.0369143731998936382, -0.0369143731998936382), (0.0, 0.0, 0.5)),
                         blur=1e-13)),
    "sqrt":    Row(Curve(torch.sqrt, low=0.0), Curve(lambda x: 0.5 * torch.rsqrt(x), low=0.0),
                   Curve(lambda x: -0.25 * torch.rsqrt(x) / x, high=0.0), inside=0.0),
    "log":     Row(Curve(torch.log, blur=1e-15), Curve(torch.reciprocal, low=0.0),
                   Curve(lambda x: -torch.reciprocal(x) ** 2, high=0.0), inside=0.0),
    "reciprocal": Row(Curve(torch.reciprocal, low=0.0), Curve(lambda x: -torch.reciprocal(x) ** 2, high=0.0),
                      Curve(lambda x: 2 * torch.reciprocal(x) ** 3, low=0.0), inside=0.0),
}
# fmt: on


def pieces(
    f: Callable[[Tensor], Tensor], breaks: tuple[float, ...], slopes: tuple[float, ...], low: float = -INF
) -> Row:
    """A continuous piecewise linear function that rises, or that is lowest at 0."""
    turns = ((0.0, 0.0, 0.0),) if min(slopes) < 0 else ()
    return Row(Curve(f, turns, low), Steps(breaks, slopes))


def softplus(beta: float, threshold: float) -> Row:
    """log(1 + exp(beta x)) / beta, refused where it switches to x, `threshold` / beta; its slope is sigmoid(beta x)."""

    def f(x: Tensor) -> Tensor:
        return torch.logaddexp(torch.zeros_like(x), beta * x) / beta

    return Row(
        Curve(f, low=0.0),
        scaled(SIGMOID, beta, 1.0),
        scaled(LOGISTIC, beta, beta),
        whole=threshold / beta * (1 - SLACK),
    )


def elu(alpha: float, scale: float, stretch: float) -> Row:
    """scale x above 0, scale alpha (exp(stretch x) - 1) below; its slope has no jump if alpha stretch = 1."""
    steep = scale * alpha * stretch

    def f(x: Tensor) -> Tensor:
        return torch.where(x > 0, scale * x, scale * alpha * torch.expm1(stretch * x.clamp(max=0.0)))

    left = Curve(lambda x: steep * torch.exp(stretch * x), low=0.0)
    right = Curve(lambda x: torch.full_like(x, scale))
    bend = Curve(lambda x: steep * stretch * torch.exp(stretch * x), low=0.0)
    smooth = alpha * stretch == 1.0
    return Row(
        Curve(f, low=-scale * alpha * (1 + SLACK)),
        Joined(left, right),  # type: ignore[arg-type]
        Joined(bend, Curve(torch.zeros_like, low=0.0, high=0.0)) if smooth else None,  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class Joined:
    """One curve left of 0, another right of it; the range is the hull of what is touched."""

    left: Curve
    right: Curve

    def f(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, self.right.f(x.clamp(min=0.0)), self.left.f(x.clamp(max=0.0)))

    def slack(self, y: Tensor) -> Tensor:
        return self.left.slack(y)

    def range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        low_l, high_l = self.left.range(lo.clamp(max=0.0), hi.clamp(max=0.0))
        low_r, high_r = self.right.range(lo.clamp(min=0.0), hi.clamp(min=0.0))
        only_left, only_right = hi <= 0, lo >= 0
        low = torch.where(only_left, low_l, torch.where(only_right, low_r, torch.minimum(low_l, low_r)))
        high = torch.where(only_left, high_l, torch.where(only_right, high_r, torch.maximum(high_l, high_r)))
        return low, high


def power(n: int) -> Row:
    """x ** n for a whole n >= 2."""

    def monomial(height: float, k: int) -> Curve | Steps:
        if k == 0:
            return Steps((), (height,))
        even = k % 2 == 0
        return Curve(lambda x: height * x**k, ((0.0, 0.0, 0.0),) if even else (), 0.0 if even else -INF)

    first = monomial(1.0, n)
    assert isinstance(first, Curve)
    return Row(first, monomial(float(n), n - 1), monomial(float(n * (n - 1)), n - 2))
