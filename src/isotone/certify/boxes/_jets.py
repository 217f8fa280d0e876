"""Values with their slopes, carried through a graph for all boxes at once, and a tape that is read backwards.

The slopes of column j are derivatives of every value u along one input coordinate x_j (times its direction). Why bounds
of them prove a claim: every function here is continuous and piecewise smooth, so along a line t -> x + t e_j all values
are Lipschitz in t, and at almost every t all of them have a derivative. At such a t the derivative of y = g(u) is
m u'(t) with m between the slopes that g has on the range of u: at a kink of g either u'(t) = 0, and any m is right, or
u passes through the kink, and then y'(t) exists only if both one-sided slopes agree. (A slope of a piece that the range
only touches at its end does not count: u cannot pass there without leaving its range.) So the true slopes obey the
same linear recursion with coefficients inside our bounds, and a score whose slope is >= 0 at almost every t does not
fall, since it is the integral of its slope. Jumps have no rule here.

Backwards: slopes obey T_out = sum of linear maps, and where a coefficient is uncertain, D T = D.c T + (D - D.c) T. With
`new_k` bounding what step k adds to the radius, the radius at the output is at most sum_k |l_k| new_k, where l_k is
the exact adjoint of the centres: cancellation between the paths behind step k is kept.
"""

# ruff: noqa: E501, PLR0917, PLW2901 (a form has six parts; an adjoint grows by its sources)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ._curves import SLACK, Curve, Row
from ._forms import EPS, Form, Matrix, broadcast, form, interval, linear, minus, moved, over_rows, plus, times, up

Adjoint = tuple[Tensor, Tensor]  # (outputs, boxes, *features), and (outputs, boxes): how far each entry may be off
Back = Callable[[Tensor, Tensor], list[Adjoint]]


@dataclass(frozen=True, eq=False)
class Jet:
    """A value and its slopes; `slope` is None where nothing moves. `step` is its place on the tape."""

    value: Form
    slope: Form | None
    step: int = -1

    @property
    def features(self) -> tuple[int, ...]:
        return self.value.features


@dataclass(frozen=True, eq=False)
class Step:
    """One line of the tape: what it was made of, how an adjoint goes back, what it added to the radius of the slopes."""

    sources: tuple[int, ...]
    back: Back
    new: Tensor | None
    causes: tuple[Form, ...] = ()  # values whose ranges are the reason for `new`


@dataclass
class Tape:
    """One evaluation of a graph on a batch of boxes."""

    boxes: int
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sick = torch.zeros(self.boxes, dtype=torch.bool)

    def watch(self, x: Form) -> Form:
        """Remember the boxes in which something overflowed: NaN and infinity survive these sums."""
        total = (x.hi - x.lo) + x.r + x.c
        total = total.reshape(*total.shape[: x.lead], -1).sum(-1)
        total = total.sum(0) if x.lead == 2 else total
        self.sick |= ~torch.isfinite(total)
        return x

    def write(self, value: Form, slope: Form | None, sources: list[Jet], back: Back, new: Tensor | None = None,
              causes: tuple[Form, ...] = ()) -> Jet:  # fmt: skip
        self.watch(value)
        if slope is None:
            return Jet(value, None)
        self.watch(slope)
        self.steps.append(Step(tuple(s.step for s in sources), back, new, causes))
        return Jet(value, slope, len(self.steps) - 1)

    def leaf(self, value: Form, slope: Form | None) -> Jet:
        return self.write(value, slope, [], lambda v, e: [])

    def linear(self, m: Matrix, x: Jet, bias: Tensor | None) -> Jet:
        """m x + bias over the last dimension."""
        value, _ = linear(m, x.value, bias)
        slope, new = linear(m, x.slope, None) if x.slope else (None, None)
        error = 2.0 * (m.w.shape[0] + 8) * EPS

        def back(v: Tensor, e: Tensor) -> list[Adjoint]:
            # 1e-300: an entry whose products underflow is off by less.
            return [(v @ m.w, up(m.column * up(e + error * _largest(v))) + 1e-300)]

        return self.write(value, slope, [x], back, new)

    def move(self, op: Callable[..., Tensor], xs: list[Jet], terms: int = 1, fan: int = 1) -> Jet:
        """Numbers moved about, or `terms` of them added up; `fan` is how often one number may be used."""
        if len({bool(x.slope) for x in xs}) > 1:
            xs = [x if x.slope else self.still(x, xs) for x in xs]
        value, _ = moved(op, [x.value for x in xs], terms)
        slopes = [x.slope for x in xs if x.slope]
        slope, new = moved(op, slopes, terms) if slopes else (None, None)
        shapes = [x.features for x in xs]

        def back(v: Tensor, e: Tensor) -> list[Adjoint]:
            with torch.enable_grad():
                zeros = [torch.zeros(*v.shape[:2], *s, dtype=torch.float64, requires_grad=True) for s in shapes]
                made = over_rows(op, zeros, 2)
                pulled = torch.autograd.grad(made, zeros, v)
            off = e if fan == 1 else up(fan * up(e + 2.0 * (fan + 8) * EPS * _largest(v)))
            return [(p, off) for p in pulled]

        return self.write(value, slope, xs, back, new if terms > 1 else None)

    def still(self, x: Jet, beside: list[Jet]) -> Jet:
        """A value that does not move, with slopes of 0."""
        like = next(j.slope for j in beside if j.slope)
        zero = torch.zeros(like.c.shape[0], self.boxes, *x.features, dtype=torch.float64)
        return self.leaf(broadcast(x.value, self.boxes), Form(zero, None, zero, zero, zero, 2))

    def add(self, x: Jet, y: Jet) -> Jet:
        value, _ = plus(x.value, y.value)
        movers = [j for j in (x, y) if j.slope]
        if len(movers) == 2:
            slope, new = plus(x.slope, y.slope)  # type: ignore[arg-type]
            return self.write(value, slope, movers, lambda v, e: [(v, e), (v, e)], new)
        return self.write(value, movers[0].slope if movers else None, movers, lambda v, e: [(v, e)])

    def minus(self, x: Jet) -> Jet:
        return self.write(minus(x.value), minus(x.slope) if x.slope else None, [x], lambda v, e: [(-v, e)])

    def times(self, x: Jet, y: Jet) -> Jet:
        """x y: its slope is x y' + y x'."""
        value, _ = times(x.value, y.value)
        parts = [self._scaled(d.value, j) for d, j in ((x, y), (y, x)) if j.slope]
        if not parts:
            return self.write(value, None, [], lambda v, e: [])
        slope = parts[0] if len(parts) == 1 else self.add(*parts)
        return self.write(value, slope.slope, [slope], lambda v, e: [(v, e)])

    def _scaled(self, d: Form, x: Jet) -> Jet:
        """The jet whose slope is d x': its value plays no part."""
        assert x.slope is not None
        slope, new = times(d, x.slope)
        causes = (d,) if d.a is not None else ()
        return self.write(x.value, slope, [x], _scale_back(d.c), new, causes)

    def apply(self, row: Row, x: Jet) -> Jet:
        """A function of each number."""
        lo, hi = x.value.lo, x.value.hi
        row.check(lo, hi)
        steep = row.slope.range(lo, hi)
        turn = row.bend.range(lo, hi) if row.bend is not None else None
        value = _bent(row.value, x.value, *steep, turn, getattr(row.slope, "rising", False))
        if x.slope is None:
            return self.write(value, None, [], lambda v, e: [])
        d = interval(*steep)
        if turn is not None and x.value.a is not None:
            d = _finer(_bent(row.slope, x.value, *turn), d)  # type: ignore[arg-type]
        slope, new = times(d, x.slope)
        return self.write(value, slope, [x], _scale_back(d.c), new, (x.value,))

    def adjoints(self, end: Jet, seeds: Tensor) -> dict[int, Tensor]:
        """For each step with new radius: bounds of |d output / d step|, (outputs, boxes, *features)."""
        found: dict[int, Tensor] = {}
        waiting: dict[int, Adjoint] = {end.step: (seeds, torch.zeros(seeds.shape[:2], dtype=torch.float64))}
        for place in reversed(range(end.step + 1)):
            if place not in waiting:
                continue
            step, (v, e) = self.steps[place], waiting.pop(place)
            if step.new is not None:
                found[place] = v.abs() + _spread_out(e, v)
            for source, (sv, se) in zip(step.sources, step.back(v, e), strict=True):
                if source in waiting:
                    old_v, old_e = waiting[source]
                    sv = old_v + sv
                    se = up(old_e + se + 2 * EPS * _largest(sv))
                waiting[source] = (sv, se)
        return found


def _largest(v: Tensor) -> Tensor:
    return v.abs().reshape(*v.shape[:2], -1).amax(2)


def _spread_out(e: Tensor, like: Tensor) -> Tensor:
    return e.reshape(*e.shape, *[1] * (like.dim() - e.dim()))


def _scale_back(d: Tensor) -> Back:
    most = d.abs().reshape(d.shape[0], -1).amax(1)

    def back(v: Tensor, e: Tensor) -> list[Adjoint]:
        out = v * d
        # 1e-300: an entry that underflows is off by less.
        return [(out, up(most * e + 2 * EPS * _largest(out) + 1e-300))]

    return back


def _bent(
    curve: Curve,
    x: Form,
    s_low: Tensor,
    s_high: Tensor,
    turn: tuple[Tensor, Tensor] | None = None,
    convex: bool = False,
) -> Form:
    """curve(x), for x in its interval, where the curve's slope lies in [s_low, s_high] and that slope's in `turn`.

    With the chord of slope k over [l, u], w = u - l: a function with slopes in [s, t] leaves its chord by at most
    (t - k)(k - s) w / (t - s), the height of the triangle of the two steepest lines from the ends, and by at most
    max |turn| w^2 / 8; a convex one lies below its chord, a concave one above. The computed k differs from the chord's
    by what the two ends miss, `gap`, divided by w, and all of this changes by at most w per unit of k.
    """
    lo, hi = x.lo, x.hi
    a, b = curve.f(lo), curve.f(hi)
    width = up(hi - lo, 2)
    span = s_high - s_low
    middle = 0.5 * s_low + 0.5 * s_high
    k = torch.where(hi > lo, (b - a) / (hi - lo), middle)
    k = torch.minimum(torch.maximum(k, s_low), s_high)
    left, right = a - k * lo, b - k * hi
    gap = (right - left).abs()
    error = curve.slack(a) + curve.slack(b) + SLACK * 2**-8 * (k.abs() * (lo.abs() + hi.abs()) + a.abs() + b.abs())
    bow = torch.where(span > 0, (s_high - k) * (k - s_low) / span, 0.0).clamp(min=0.0) * width
    below = above = torch.ones_like(bow)
    if turn is not None:
        bow = torch.minimum(bow, torch.maximum(turn[0].abs(), turn[1].abs()) * width * width / 8)
        below, above = (turn[1] > 0).double(), (turn[0] < 0).double()
    elif convex:
        above = torch.zeros_like(bow)
    bow = bow * (1 + SLACK)
    error = 2 * error + gap
    low, high = torch.minimum(left, right) - below * bow - error, torch.maximum(left, right) + above * bow + error
    q = 0.5 * low + 0.5 * high
    rest = up(torch.maximum(high - q, q - low), 2)
    c = k * x.c + q
    affine = None if x.a is None else k * x.a
    rounding = 8 * EPS * (k.abs() * (x.c.abs() + x.spread) + q.abs()) + 1e-300
    r = up(k.abs() * x.r + rest + rounding)
    return form(c, affine, r, *curve.range(lo, hi), 1)


def _finer(bent: Form, flat: Form) -> Form:
    """Where the affine form is wider than the plain interval, the interval."""
    if bent.a is None:
        return flat
    plain = bent.r >= flat.r
    a = torch.where(plain, 0.0, bent.a)
    return form(torch.where(plain, flat.c, bent.c), a, torch.where(plain, flat.r, bent.r), flat.lo, flat.hi, 1)
