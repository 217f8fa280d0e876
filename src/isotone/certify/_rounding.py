"""Float64 bounds that enclose real results: every operation rounds away from the truth, never towards it.

- single operations step one float outwards, and only where they were inexact: 1 - 1 stays 0, which decides verdicts;
- sums are widened by the classical bound gamma_n, but keep the sign that all their terms share.

Sources: Knuth, TAOCP 2, 4.2.2 (two-sum); Dekker, Numer. Math. 18 (1971) (two-product); Higham, Accuracy and Stability
of Numerical Algorithms, section 3.1 (gamma_n).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._facts import INF, MOST, Fact, Finer, fact, together

TINY = 5e-324


def step(x: Tensor, towards: float) -> Tensor:
    """The next float64 in that direction."""
    return torch.nextafter(x, torch.tensor(towards, dtype=torch.float64))


def add(a: Tensor, b: Tensor, towards: float) -> Tensor:
    """a + b, rounded towards -inf or +inf; exact sums stay."""
    s = a + b
    t = s - a
    error = (a - (s - t)) + (b - t)
    short = error < 0 if towards < 0 else error > 0
    return torch.where(short, step(s, towards), s)


def _split(a: Tensor) -> tuple[Tensor, Tensor]:
    c = 134217729.0 * a
    high = c - (c - a)
    return high, a - high


def _exact(p: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Whether p = fl(a * b) is the product itself; False where this cannot be told (overflow, underflow, infinity)."""
    (ah, al), (bh, bl) = _split(a), _split(b)
    error = ((ah * bh - p) + ah * bl + al * bh) + al * bl
    return (error == 0) & (p.abs() > 1e-250)


def multiply(a: Tensor, b: Tensor, towards: float) -> Tensor:
    """a * b, rounded; 0 * inf is 0, because an infinite bound stands for finite values."""
    a, b = together(a, b)
    zero = (a == 0) | (b == 0)
    p = torch.where(zero, 0.0, a * b)
    out = torch.where(_exact(p, a, b) | zero, p, step(p, towards))
    return _keep_sign(out, a, b)


def divide(a: Tensor, b: Tensor, towards: float) -> Tensor:
    """a / b for b that is not 0, rounded; inf / inf is 0, a corner that others of the same box reach as well."""
    a, b = together(a, b)
    q = torch.where(a.isinf() & b.isinf() | (a == 0), 0.0, a / b)
    out = torch.where((_exact(a, q, b) & (q * b == a)) | (a == 0), q, step(q, towards))
    return _keep_sign(out, a, b)


def _keep_sign(out: Tensor, a: Tensor, b: Tensor) -> Tensor:
    # The true result is >= 0 when the operands share their sign, also where it underflows.
    same = (a >= 0) & (b >= 0) | (a <= 0) & (b <= 0)
    other = (a >= 0) & (b <= 0) | (a <= 0) & (b >= 0)
    out = torch.where(same, out.clamp(min=0.0), out)
    return torch.where(other, out.clamp(max=0.0), out)


def hull(op: Callable[[Tensor, Tensor, float], Tensor], a: Fact, b: Fact) -> tuple[Tensor, Tensor]:
    """Bounds of a product or quotient from the four corners."""
    corners = [(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    low = torch.stack(together(*(op(x, y, -INF) for x, y in corners))).amin(0)
    high = torch.stack(together(*(op(x, y, INF) for x, y in corners))).amax(0)
    return low, high


def gamma(n: int) -> float:
    """Relative error of a sum of `n` non-negative products in any order; nothing is rounded for n = 0."""
    return 0.0 if n <= 0 else 2.0 * (n + 4) * 2.0**-53


def parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """Positive and negative part, both >= 0."""
    return x.clamp(min=0.0), (-x).clamp(min=0.0)


def weighted(run: Callable[..., Tensor], *operands: Fact, n: int) -> Fact:
    """A sum with non-negative coefficients, given as the operation itself; `n` bounds the roundings of one element.

    `run` must be linear in its operands together, and must map non-negative operands to non-negative results.
    """

    def bound(values: list[Tensor], towards: float) -> Tensor:
        plus, minus = (run(*v) for v in zip(*(parts(v) for v in values), strict=True))
        # A coefficient below 1 may underflow: 5e-324 / 4 is 0. The signs below are seen on indicators, which cannot.
        error = gamma(n) * (plus + minus) + TINY * max(n, 0)
        out = plus - minus + (error if towards > 0 else -error)
        # If no term on that side is there at all (seen on indicators, which cannot underflow), the sign is sure.
        against = run(*((v < 0 if towards < 0 else v > 0).double() for v in values))
        sure = against == 0
        return torch.where(sure, out.clamp(min=0.0) if towards < 0 else out.clamp(max=0.0), out)

    return fact(
        bound([x.lo for x in operands], -INF),
        bound([x.hi for x in operands], INF),
        run(*(x.up.double() for x in operands)) > 0,
        run(*(x.dn.double() for x in operands)) > 0,
    )


# Infinite bounds stand in matrix products as HUGE, and sums beyond HALF count as infinite again: 0 * inf would be NaN.
# Factors below SMALL are raised to it where a product must not be underestimated, so HUGE * SMALL > HALF and
# SMALL * SMALL does not underflow; they are dropped where it must not be overestimated.
HUGE, HALF, SMALL = 1e200, 1e100, 1e-90


def _over(x: Tensor) -> Tensor:
    return torch.where(x > 0, x.clamp(SMALL, HUGE), 0.0)


def _under(x: Tensor) -> Tensor:
    return torch.where(x < SMALL, 0.0, x.clamp(max=HUGE))


def linear(run: Callable[[Tensor, Tensor], Tensor], x: Fact, w: Tensor, n: int) -> Fact:
    """A bilinear operation (matrix product, convolution) of a fact and exact constant coefficients, without a bias.

    Args:
        run: the operation on float64; non-negative operands give non-negative results.
        w: the coefficients, float64, finite.
        n: how many products one result sums.
    """
    plus, minus = parts(w)
    signed = bool((minus > 0).any())

    def total(cut: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
        """plus . a + minus . b"""
        out = run(cut(a), cut(plus))
        return out + run(cut(b), cut(minus)) if signed else out

    def bound(near: Tensor, far: Tensor) -> Tensor:
        # A lower bound of plus . near - minus . far: the good terms rounded down, the bad ones up.
        (near_p, near_n), (far_p, far_n) = parts(near), parts(far)
        good, bad = total(_under, near_p, far_n), total(_over, near_n, far_p)
        out = good - bad - gamma(n) * (good + bad)
        out = torch.where(bad == 0, (good * (1 - gamma(n))).clamp(0.0, MOST), out)
        return torch.where(bad >= HALF, -INF, out)

    rises, falls = _moved(run, x, w)
    # An upper bound is a lower bound of the negation: -(plus . hi - minus . lo) = plus . (-hi) - minus . (-lo).
    return fact(bound(x.lo, x.hi), -bound(-x.hi, -x.lo), rises, falls)


def _moved(run: Callable[[Tensor, Tensor], Tensor], x: Fact, w: Tensor) -> tuple[Tensor, Tensor]:
    """What rises and what falls: through a positive coefficient what rises, through a negative one what falls."""
    plus, minus = (w > 0).float(), (w < 0).float()
    signed = bool(minus.any())

    def reach(a: Tensor, b: Tensor) -> Tensor:
        # Indicators are counted in float32, exactly up to 2^24 terms and never to 0 above that.
        out = run(a.float(), plus) > 0
        return out | (run(b.float(), minus) > 0) if signed else out

    rises = reach(x.up, x.dn)
    return rises, reach(x.dn, x.up) if x.moves else rises


def by_sign(run: Callable[[Tensor, Tensor], Tensor], x: Fact, w: Tensor) -> Fact:
    """What the signs of the coefficients alone say of a linear operation: one pass over them, and no bounds.

    Raises:
        Finer: some of the result may rise and some may fall; or a coefficient is not finite.
    """
    # In the order in which it lies in memory: a transposed view is read ten times slower.
    laid = w.detach() if w.is_contiguous() or w.dim() < 2 else w.detach().mT
    least, most = (float(v) for v in laid.aminmax()) if w.numel() else (0.0, 0.0)
    if not (least > -INF and most < INF):
        raise Finer
    if x.moves and least < 0 < most:
        rises, falls = _moved(run, x, w.detach())
        if bool(rises.any()) and bool(falls.any()):
            raise Finer
    else:
        # Every element is said to do what any of them does: more may move than moves.
        shape = run(x.lo.to("meta"), w.detach().to("meta", torch.float64)).shape
        up, dn = (x.up, x.dn) if least >= 0 else (x.dn, x.up)
        rises, falls = (torch.full(shape, bool(b.any())) for b in (up, dn))
    low = torch.full(rises.shape, -INF, dtype=torch.float64)
    return fact(low, -low, rises, falls)
