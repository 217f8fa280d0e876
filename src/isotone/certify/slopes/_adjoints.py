"""Interval adjoints: a `Fact` without bits that encloses the coefficient of each element in a difference of scores.

Products, sums and differences of adjoints are those of the rules for values, rounded outwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import INF, Fact, Refused, fact
from .._rounding import TINY, gamma, parts, weighted


def adjoint(lo: Tensor, hi: Tensor) -> Fact:
    """Coefficients in [lo, hi]; they are finite numbers, also where a bound is infinite."""
    still = torch.zeros_like(lo, dtype=torch.bool)
    return fact(lo, hi, still, still, torch.float64)


def still(x: Fact) -> Fact:
    """The interval of a value, as a coefficient."""
    return adjoint(x.lo, x.hi)


def nothing(shape: tuple[int, ...]) -> Fact:
    """The adjoint of what the score does not read."""
    zero = torch.zeros(shape, dtype=torch.float64)
    return adjoint(zero, zero)


def span(low: float, high: float) -> Fact:
    """One interval for all elements."""
    return adjoint(*(torch.tensor(b, dtype=torch.float64) for b in (low, high)))


def is_zero(a: Fact) -> bool:
    """Whether every coefficient is exactly 0."""
    return not bool(a.lo.any() or a.hi.any())


def unbroadcast(a: Fact, shape: tuple[int, ...]) -> Fact:
    """Summed over what an operand of that shape was broadcast to."""
    if a.shape == torch.Size(shape):
        return a
    terms = a.lo.numel() // max(torch.Size(shape).numel(), 1)
    return weighted(lambda v: v.sum_to_size(shape), a, n=terms - 1)


def over_zero(a: Fact) -> Fact:
    """a times [0, 1]."""
    return adjoint(a.lo.clamp(max=0.0), a.hi.clamp(min=0.0))


def pulled(
    op: Callable[..., Any], shapes: list[tuple[int, ...]], out: list[Fact | None], terms: int | None = None
) -> list[Fact]:
    """The transpose of a linear operation with coefficients that are not negative, applied to adjoints.

    Args:
        op: takes one float64 tensor per shape; linear in all of them together, without a constant part.
        shapes: of its operands.
        out: the adjoint of each result; None where a result is not used.
        terms: how many roundings one sum may have. None: the coefficients are 0 and 1, so they can be counted.
    """
    zeros = [torch.zeros(s, dtype=torch.float64) for s in shapes]
    made: Any
    made, back = torch.func.vjp(op, *zeros)[:2]
    results = [made] if isinstance(made, Tensor) else list(made)
    if len(results) != len(out):
        raise Refused("it gives another number of results than the trace says")

    def run(part: Callable[[Fact], Tensor]) -> list[Tensor]:
        seeds = [torch.zeros_like(r) if a is None else part(a) for r, a in zip(results, out, strict=True)]
        return list(back(seeds[0] if isinstance(made, Tensor) else type(made)(seeds)))

    n = terms
    if n is None:
        counts = run(lambda a: torch.ones_like(a.lo))
        n = max(int(c.max()) if c.numel() else 0 for c in counts) - 1
        if n <= 0:
            # Every coefficient is read at most once: nothing is added, nothing is rounded.
            return [adjoint(lo, hi) for lo, hi in zip(run(lambda a: a.lo), run(lambda a: a.hi), strict=True)]

    def bound(side: Callable[[Fact], Tensor], towards: float) -> list[Tensor]:
        # As `_rounding.weighted`: sums of each sign apart, and no term of one sign, seen on indicators, keeps the sign.
        plus, minus = (run(lambda a, i=i: parts(side(a))[i]) for i in (0, 1))  # type: ignore[misc]
        against = run(lambda a: (side(a) < 0 if towards < 0 else side(a) > 0).double())
        made = []
        for p, m, wrong in zip(plus, minus, against, strict=True):
            # Beside the relative error: a product with a fraction may underflow, by at most TINY a term.
            error = gamma(n) * (p + m) + (0.0 if terms is None else TINY * n)
            total = p - m + (error if towards > 0 else -error)
            kept = total.clamp(min=0.0) if towards < 0 else total.clamp(max=0.0)
            made.append(torch.where(wrong == 0, kept, total))
        return made

    return [adjoint(lo, hi) for lo, hi in zip(bound(lambda a: a.lo, -INF), bound(lambda a: a.hi, INF), strict=True)]
