"""Two straight lines for a function of one number on an interval: one below it, one above.

- where it is convex: a tangent below, the chord above; where concave the other way round;
- elsewhere: lines through an end with the least or the largest slope of the interval, since f(z) - s z rises for the
  least slope s and falls for the largest;
- values and slopes come from the rows of the certifier, which enclose them.

Source: Zhang et al., "Efficient Neural Network Robustness Certification with General Activation Functions" (CROWN),
arXiv 1811.00866; for the ends Weng et al., arXiv 1804.09699.
"""

# ruff: noqa: PLR0917 (an interval is two tensors)

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..certify.boxes._curves import Row, Steps

# Relative to what is computed here: a few float64 roundings are 2**-51.
SLACK = 2.0**-45


@dataclass(frozen=True, eq=False)
class Lines:
    """slope * z + shift below and above, all of shape (n, h)."""

    low_slope: Tensor
    low_shift: Tensor
    high_slope: Tensor
    high_shift: Tensor


def lines(row: Row, lo: Tensor, hi: Tensor, at: Tensor) -> Lines:
    """Lines for a row on [lo, hi]; the tangent touches at `at`, which is moved into the interval.

    Raises:
        NotReal: the row does not speak of some of these values.
    """
    row.check(lo, hi)
    at = torch.minimum(torch.maximum(at, lo), hi)
    ends = [row.value.range(end, end) for end in (lo, hi)]
    touch, slope = row.value.range(at, at), row.slope.range(at, at)
    least, most = row.slope.range(lo, hi)
    tilt, room = (slope[0] + slope[1]) / 2, (slope[1] - slope[0]) / 2 * torch.maximum(hi - at, at - lo)
    if isinstance(row.slope, Steps):
        # At a kink every slope between the two is a tangent's, elsewhere they are one; at an end of the interval only
        # the slope inside counts.
        tilt, room = torch.minimum(torch.maximum(tilt, least), most), torch.zeros_like(at)
    width = hi - lo
    chord = torch.where(width > 0, ((ends[1][0] + ends[1][1]) - (ends[0][0] + ends[0][1])) / 2 / width, tilt)
    chord = torch.minimum(torch.maximum(chord, least), most)
    low_tangent = touch[0] - tilt * at - room
    high_tangent = touch[1] - tilt * at + room
    # Any slope will do for a line above both ends of a convex function.
    over = torch.maximum(ends[0][1] - chord * lo, ends[1][1] - chord * hi)
    under = torch.minimum(ends[0][0] - chord * lo, ends[1][0] - chord * hi)
    convex, concave = _bends(row, lo, hi)
    below, above = _by_slopes(ends, least, most, lo, hi, at)
    low_slope = torch.where(convex, tilt, torch.where(concave, chord, below[0]))
    low_shift = torch.where(convex, low_tangent, torch.where(concave, under, below[1]))
    high_slope = torch.where(convex, chord, torch.where(concave, tilt, above[0]))
    high_shift = torch.where(convex, over, torch.where(concave, high_tangent, above[1]))
    far = torch.maximum(lo.abs(), hi.abs())
    return Lines(
        low_slope,
        low_shift - SLACK * (low_shift.abs() + low_slope.abs() * far),
        high_slope,
        high_shift + SLACK * (high_shift.abs() + high_slope.abs() * far),
    )


def _bends(row: Row, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
    """Where the row is convex on the interval, and where concave."""
    if isinstance(row.slope, Steps):
        falling = list(row.slope.slopes) == sorted(row.slope.slopes, reverse=True)
        least, most = row.slope.range(lo, hi)
        straight = least == most
        return straight | row.slope.rising, straight | falling
    if row.bend is None:
        none = torch.zeros_like(lo, dtype=torch.bool)
        return none, none
    least, most = row.bend.range(lo, hi)
    return least >= 0, most <= 0


def _by_slopes(
    ends: list[tuple[Tensor, Tensor]], least: Tensor, most: Tensor, lo: Tensor, hi: Tensor, at: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(slope, shift) below and above; of two lines the one that is tighter at `at`."""
    under = [(least, ends[0][0] - least * lo), (most, ends[1][0] - most * hi)]
    over = [(least, ends[1][1] - least * hi), (most, ends[0][1] - most * lo)]
    higher = under[1][0] * at + under[1][1] > under[0][0] * at + under[0][1]
    lower = over[1][0] * at + over[1][1] < over[0][0] * at + over[0][1]
    below = tuple(torch.where(higher, b, a) for a, b in zip(*under, strict=True))
    above = tuple(torch.where(lower, b, a) for a, b in zip(*over, strict=True))
    return (below[0], below[1]), (above[0], above[1])
