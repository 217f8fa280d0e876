"""Numbers that depend on a point of a box, enclosed: an affine part, a radius for the rest, and an interval.

- a point of a box is e with every |e[k]| <= 1; a form says x = c + sum_k a[k] e[k] + d with |d| <= r, and lo <= x <= hi;
- all boxes of a batch are one dimension of the tensors, and no operation mixes them;
- bounds are rounded outwards; exact zeros stay, because they decide verdicts; whatever overflows ends as NaN or
  infinity, which `Tape.sick` finds, and no proof rests on it.

Sources: Stolfi and de Figueiredo, Self-Validated Numerical Methods (1997), affine arithmetic; Moore, Interval Analysis
(1966), section 6.4, centred forms.
"""

# ruff: noqa: E501, PLR0917 (a form has six parts; an adjoint grows by its sources)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._facts import INF, Refused
from .._rounding import add as added

EPS = 2.0**-52
# Magnitudes other than 0 are raised to this, so that a product of two of them does not underflow to 0: what a
# factor c or a loses by underflow (at most 5e-324) is less than EPS * SMALL * SMALL, which is charged for it.
SMALL = 1e-100


@dataclass(frozen=True, eq=False)
class Form:
    """An enclosure. With `lead` = 1 the tensors are (boxes, *features), with 2 (columns, boxes, *features).

    Args:
        c: the centre.
        a: (dimensions of the box, *shape of c), or None where it is 0.
        r: the radius of what is left, >= 0.
        lo, hi: an interval that holds the number as well.
    """

    c: Tensor
    a: Tensor | None
    r: Tensor
    lo: Tensor
    hi: Tensor
    lead: int = 1

    @property
    def features(self) -> tuple[int, ...]:
        return tuple(self.c.shape[self.lead :])

    @property
    def spread(self) -> Tensor:
        """Sum of |a|: how far the affine part reaches."""
        return torch.zeros_like(self.c) if self.a is None else self.a.abs().sum(0) * (1 + len(self.a) * EPS)

    @property
    def most(self) -> Tensor:
        """The largest absolute value."""
        return torch.maximum(self.lo.abs(), self.hi.abs())


def raised(x: Tensor) -> Tensor:
    """x >= 0, with what is not 0 at least SMALL; NaN stays."""
    return torch.where(x == 0, x, x.clamp(min=SMALL))


def up(x: Tensor, roundings: int = 8) -> Tensor:
    """x >= 0 after that many roundings of non-negative numbers, made an upper bound."""
    return x * (1 + 2 * (roundings + 2) * EPS)


def tidy(lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
    """The interval with bounds that are 0 or at least SMALL in size, moved outwards."""
    # As float64 tensors: two Python numbers would be chosen from in float32, where SMALL is 0.
    none = torch.zeros_like(lo)
    lo = torch.where(lo.abs() < SMALL, torch.where(lo < 0, none - SMALL, none), lo)
    hi = torch.where(hi.abs() < SMALL, torch.where(hi > 0, none + SMALL, none), hi)
    return lo, hi


def form(c: Tensor, a: Tensor | None, r: Tensor, lo: Tensor, hi: Tensor, lead: int) -> Form:
    """A form whose interval is also inside what the affine part says: both hold the number, so their overlap does."""
    r = raised(r)
    half = r if a is None else up(a.abs().sum(0) + r, len(a))
    half = up(half) + 4 * EPS * c.abs()
    low, high = torch.maximum(lo, c - half), torch.minimum(hi, c + half)
    # Both enclose the same number, so they meet; NaN and infinity are left for `Tape.sick`.
    if bool((low > high).any()):
        raise Refused("the prover's own bounds crossed; please report this as a bug of isotone")
    low, high = tidy(low, high)
    return Form(c, a, r, low, high, lead)


def interval(lo: Tensor, hi: Tensor, lead: int = 1) -> Form:
    """A form that is an interval and nothing else; a point stays a point."""
    c = 0.5 * lo + 0.5 * hi
    r = up(torch.maximum(hi - c, c - lo), 2)
    c = torch.where(lo == hi, lo, c)
    lo, hi = tidy(lo, hi)
    return Form(c, None, raised(torch.where(lo == hi, 0.0, r)), lo, hi, lead)


def point(value: Tensor) -> Form:
    """A constant, the same for all boxes: float64, (1, *features)."""
    return Form(value, None, torch.zeros_like(value), *tidy(value, value))


def plus(x: Form, y: Form) -> tuple[Form, Tensor]:
    """x + y, and the part of the radius that is new here."""
    if x.lead != y.lead:
        raise ValueError("forms of values and forms of slopes do not add up")
    c = x.c + y.c
    a = x.a if y.a is None else y.a if x.a is None else x.a + y.a
    size = raised(c.abs() if a is None or a is x.a or a is y.a else c.abs() + a.abs().sum(0))
    new = up(2 * EPS * size)
    if x.a is None and y.a is None:
        # Most sums in a graph are of small whole numbers or zeros: what is exact costs nothing.
        exact = (added(x.c, y.c, -INF) == c) & (added(x.c, y.c, INF) == c)
        new = torch.where(exact, 0.0, new)
    r = up(x.r + y.r + new)
    return form(c, a, r, added(x.lo, y.lo, -INF), added(x.hi, y.hi, INF), x.lead), new


def minus(x: Form) -> Form:
    """-x, exactly."""
    return Form(-x.c, None if x.a is None else -x.a, x.r, -x.hi, -x.lo, x.lead)


def corners(x: Form, y: Form) -> tuple[Tensor, Tensor]:
    """The interval of x * y. Bounds are 0 or above SMALL in size, so their products do not underflow."""
    products = [u * v for u in (x.lo, x.hi) for v in (y.lo, y.hi)]
    low = torch.minimum(torch.minimum(products[0], products[1]), torch.minimum(products[2], products[3]))
    high = torch.maximum(torch.maximum(products[0], products[1]), torch.maximum(products[2], products[3]))
    return low - EPS * low.abs(), high + EPS * high.abs()


def times(x: Form, y: Form) -> tuple[Form, Tensor]:
    """x * y, for x a form of values, and the part of the radius that is new here: the old part is |x.c| * y.r.

    x y = x.c y + (x.a e) y.c + (x.a e) (y - y.c) + d y, with |d| <= x.r: the first is carried, the second is affine,
    the others are new.
    """
    xa = x.a
    if xa is not None and y.lead == 2:
        xa = xa.unsqueeze(1)
    c = x.c * y.c
    a = None
    x_spread, y_spread, size = x.spread, y.spread, x.c.abs()
    if y.a is not None:
        a = x.c * y.a
    if xa is not None:
        a = xa * y.c if a is None else a + xa * y.c
    off = torch.minimum(up(y_spread + y.r), up(torch.maximum(y.hi - y.c, y.c - y.lo).clamp(min=0.0)))
    new = raised(x.r) * raised(y.most)
    if x.a is not None:
        new = new + raised(x_spread) * raised(off)
    rounding = raised(size) * raised(y.c.abs() + y_spread) + raised(x_spread) * raised(y.c.abs())
    new = up(new + 8 * EPS * rounding, 16)
    if x.a is None and x.c.shape[0] == 1 and bool(((x.c == 0) | (x.c.abs() == 1)).all()):
        new = raised(x.r) * raised(y.most)  # 0, 1 and -1 round nothing
        new = up(new)
    r = up(raised(size) * y.r + new)
    return form(c, a, r, *corners(x, y), y.lead), new


def over_rows(op: Callable[..., Tensor], tensors: list[Tensor], lead: int) -> Tensor:
    """Run an operator that treats dimension 0 as rows on tensors that have `lead` such dimensions."""
    head = tensors[0].shape[:lead]
    out = op(*(t.reshape(-1, *t.shape[lead:]) for t in tensors))
    return out.reshape(*head, *out.shape[1:])


def moved(op: Callable[..., Tensor], forms: list[Form], terms: int = 1) -> tuple[Form, Tensor]:
    """An operator that moves numbers about, or (`terms` > 1) adds up that many of them; and what is new in the radius.

    Every coefficient is 0 or 1, so lower bounds give lower bounds.
    """
    lead = forms[0].lead
    tensors = [f.c for f in forms]
    c = over_rows(op, tensors, lead)
    r = over_rows(op, [f.r for f in forms], lead)
    lo, hi = over_rows(op, [f.lo for f in forms], lead), over_rows(op, [f.hi for f in forms], lead)
    a = None
    filled: list[Tensor] = []
    if any(f.a is not None for f in forms):
        count = next(len(f.a) for f in forms if f.a is not None)
        filled = [torch.zeros(count, *f.c.shape, dtype=f.c.dtype) if f.a is None else f.a for f in forms]
        a = over_rows(op, filled, lead + 1)
    if terms == 1:
        return Form(c, a, r, lo, hi, lead), torch.zeros_like(r)
    error = 2.0 * (terms + 4) * EPS  # gamma of Higham, section 3.1, with room
    size = over_rows(op, [raised(f.c.abs() + f.spread) for f in forms], lead)
    new = up(error * size)
    lo = lo - error * over_rows(op, [f.lo.abs() for f in forms], lead)
    hi = hi + error * over_rows(op, [f.hi.abs() for f in forms], lead)
    # Terms of one sign: the sum has it too, and error < 1 keeps it.
    return form(c, a, up(r * (1 + error) + new), lo, hi, lead), new


@dataclass(frozen=True, eq=False)
class Matrix:
    """Constant coefficients (outputs, inputs), float64, with what their bounds need."""

    w: Tensor
    size: Tensor  # |w|, and what is not 0 at least SMALL
    norm: Tensor  # (outputs,) sum of |w| over the inputs, rounded up
    column: float  # the largest sum of |w| over the outputs, rounded up

    @staticmethod
    def of(w: Tensor) -> Matrix:
        size = raised(w.abs())
        n = max(w.shape)
        return Matrix(w, size, up(size.sum(1), n), float(up(size.sum(0), n).max()) if w.numel() else 0.0)


def linear(m: Matrix, x: Form, bias: Tensor | None) -> tuple[Form, Tensor]:
    """m x + bias over the last dimension, and the part of the radius that is new here: its rounding alone."""
    n = m.w.shape[1]
    error = 2.0 * (n + 8) * EPS
    mid = 0.5 * x.lo + 0.5 * x.hi
    rad = raised(up(torch.maximum(x.hi - mid, mid - x.lo), 2))
    k = 0 if x.a is None else len(x.a)
    signed = torch.stack([x.c, mid]) if x.a is None else torch.cat([x.c[None], mid[None], x.a])
    signed = signed @ m.w.T
    plain = torch.stack([x.r, rad]) @ m.size.T
    c, mid, a = signed[0], signed[1], signed[2:] if k else None
    # Any order of summation errs by at most gamma_n sum |w||x| <= gamma_n (sum |w|) max |x|.
    largest = raised((x.c.abs() + x.spread).amax(-1, keepdim=True))
    new = up(error * largest * m.norm, k)
    span = up(plain[1] * (1 + error)) + up(error * raised(x.most.amax(-1, keepdim=True)) * m.norm)
    if bias is not None:
        c, mid = c + bias, mid + bias
        new = new + 4 * EPS * raised(bias.abs() + c.abs())
        span = span + 4 * EPS * raised(bias.abs() + mid.abs())
    r = up(plain[0] * (1 + error) + new)
    span = up(span) + 4 * EPS * mid.abs()
    lo, hi = _signed(m.w, x, bias, mid - span, mid + span)
    return form(c, a, r, lo, hi, x.lead), new


def _signed(w: Tensor, x: Form, bias: Tensor | None, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds that miss 0 by rounding only, put back to 0 where every single term has that sign (counted exactly)."""
    near = 1e-9 * torch.maximum(lo.abs(), hi.abs())
    below, above = (lo < 0) & (lo >= -near), (hi > 0) & (hi <= near)
    if not bool((below | above).any()):
        return lo, hi
    plus, minus = (w > 0).double(), (w < 0).double()
    zero = torch.zeros(1, dtype=torch.float64) if bias is None else bias
    falls = (x.lo < 0).double() @ plus.T + (x.hi > 0).double() @ minus.T + (zero < 0).double()
    rises = (x.hi > 0).double() @ plus.T + (x.lo < 0).double() @ minus.T + (zero > 0).double()
    return torch.where(falls == 0, lo.clamp(min=0.0), lo), torch.where(rises == 0, hi.clamp(max=0.0), hi)


def broadcast(x: Form, boxes: int) -> Form:
    """A constant's form, repeated for every box."""
    if x.c.shape[0] == boxes or x.lead != 1:
        return x
    return replace(x, **{name: getattr(x, name).expand(boxes, *x.c.shape[1:]) for name in ("c", "r", "lo", "hi")})
