"""What is left of the largest values over the windows of a file when somebody has cut it or overwritten parts of it.

- a cut at step i of the grid breaks the windows i - reach + 1 to i - 1 and moves no other off the grid;
- windows that hold an overwritten byte are not looked at at all;
- one value per channel, or one per channel and cut; memory does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..nn import Windows
from ..nn._bytes_pool import Features, block_values

Region = tuple[int, int]


@dataclass(frozen=True)
class Scan:
    """The windows of one file as one network sees them, without those that hold a byte of the regions.

    Args:
        file: anything with a length and slices of bytes.
        windows: the grid.
        features: (n, size) uint8 -> (n, channels).
        channels: how many.
        like: gives dtype and device.
        regions: sorted and joined byte ranges.
    """

    file: Any
    windows: Windows
    features: Features
    channels: int
    like: Tensor
    regions: tuple[Region, ...] = ()

    def blocks(self) -> Iterator[tuple[int, Tensor]]:
        """(number of the first window, values (n, channels)); -inf for windows that are not looked at."""
        for first, stop in self.windows.blocks(self.file):
            values = block_values(self.file, self.windows, (first, stop), self.features, self.like.device)
            touched = self.touched(first, stop)
            yield first, values.masked_fill(touched.to(values.device)[:, None], -torch.inf) if len(touched) else values

    def touched(self, first: int, stop: int) -> Tensor:
        """Which of the windows first, ..., stop - 1 hold a byte of a region; empty without regions."""
        if not self.regions:
            return torch.empty(0, dtype=torch.bool)
        start = torch.arange(first, stop) * self.windows.stride
        # The first region that ends behind the start of the window; regions are sorted and do not overlap.
        starts, stops = (torch.tensor(ends) for ends in zip(*self.regions, strict=True))
        at = torch.searchsorted(stops, start, right=True)
        inside = at < len(stops)
        return inside & (starts[at.clamp(max=len(stops) - 1)] < start + self.windows.size)

    def nothing(self) -> Tensor:
        """-inf for every channel."""
        return torch.full((self.channels,), -torch.inf, dtype=self.like.dtype, device=self.like.device)

    def largest(self) -> tuple[Tensor, Tensor]:
        """Of each channel the largest value and the number of a window that has it."""
        best, where = self.nothing(), torch.zeros(self.channels, dtype=torch.int64, device=self.like.device)
        for first, values in self.blocks():
            value, at = values.max(dim=0)
            where = torch.where(value > best, at + first, where)
            best = torch.maximum(best, value)
        return best, where

    def after_one_cut(self) -> tuple[Tensor, Tensor, Tensor]:
        """What remains of each channel after each cut that takes its winner.

        Returns:
            The largest values (channels,), their windows (channels,), and what remains (channels, reach - 1): entry
            [c, i - 1] after a cut i steps behind the start of the winner of c. Every other cut leaves the winner.

        Cost: every window twice; memory channels * reach.
        """
        best, where = self.largest()
        reach, c = self.windows.reach, self.channels
        # A cut through the winner breaks only windows less than reach - 1 steps from it: near[c, d + reach - 2] is the
        # value d steps from the winner, outside the best of all farther ones.
        near = self.nothing()[:, None].repeat(1, max(2 * reach - 3, 0))
        outside = self.nothing()
        for first, values in self.blocks():
            n = len(values)
            from_, to = where - (reach - 2) - first, where + (reach - 2) - first
            step = torch.arange(n, device=values.device)[:, None]
            close = (step >= from_) & (step <= to)
            outside = torch.maximum(outside, values.masked_fill(close, -torch.inf).amax(dim=0))
            row, channel = close.nonzero(as_tuple=True)
            near[channel, row - from_[channel]] = values[row, channel]
        if reach < 2:
            return best, where, near.new_empty(c, 0)
        # For the cut i = 1, ..., reach - 1: steps up to i - reach survive in front of it, steps from i on behind it.
        none = self.nothing()[:, None]
        in_front = torch.cat([none, near[:, : reach - 2].cummax(dim=1).values], dim=1)
        behind = torch.cat([near[:, reach - 1 :].flip(1).cummax(dim=1).values.flip(1), none], dim=1)
        return best, where, torch.maximum(torch.maximum(in_front, behind), outside[:, None])

    def after_cuts(self, cuts: int) -> Tensor:
        """What remains of each channel by itself after the worst `cuts` cuts, exactly; shape (channels,).

        Cuts can take a set of windows if as many points meet every one of their intervals. Of the windows in the order
        of their values the longest such beginning is taken, and the value behind it remains: if the j-th is the best
        that survives, the j - 1 before it were all taken.

        Cost: every window once; memory channels * cuts * reach.
        """
        reach = self.windows.reach
        keep = min(cuts * (reach - 1) + 1, max(1, self.windows.count(len(self.file))))
        best = self.nothing()[None].repeat(keep, 1)
        where = torch.zeros(keep, self.channels, dtype=torch.int64, device=self.like.device)
        for first, values in self.blocks():
            numbers = torch.arange(first, first + len(values), device=values.device)[:, None].expand_as(values)
            best, at = torch.cat([best, values]).topk(keep, dim=0)
            where = torch.cat([where, numbers]).gather(0, at)
        left = self.nothing()
        for c in range(self.channels):
            known = int((best[:, c] > 0).sum())  # what is not above 0 counts as 0
            order = where[:known, c].cpu().numpy()
            taken = _longest_taken(order, cuts, reach)
            left[c] = best[taken, c] if taken < known else -torch.inf
        return left


def cuts_needed(steps: Sequence[int] | NDArray[np.int64], reach: int) -> int:
    """The fewest cuts that break all windows at these steps, in increasing order.

    >>> cuts_needed([0, 1, 2], reach=4), cuts_needed([0, 3], reach=4)
    (1, 2)
    """
    count, last = 0, -1
    for step in steps:
        if not count or not step < last:
            # The last place inside the first window that is not yet broken: no other place breaks more of the rest.
            count, last = count + 1, step + reach - 1
    return count


def _longest_taken(order: NDArray[np.int64], cuts: int, reach: int) -> int:
    """How many of the first windows of the order some `cuts` cuts can take together."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        if cuts_needed(np.sort(order[:middle]), reach) <= cuts:
            low = middle
        else:
            high = middle - 1
    return low
