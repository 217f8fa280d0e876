"""The largest value of each channel over all windows of a file, exactly, in memory that does not grow with the file.

- first pass, without gradients: where is the largest? Second pass, with gradients: those windows only. A maximum passes
  its gradient to its winner alone, so nothing is lost;
- every complete window of the one grid takes part, and no other;
- the value is always that of the first pass, so training, scoring and streams see the same number to the bit.

Raff et al., AAAI 2021 (arXiv 2012.09390) have the idea; their code searches other windows than those of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._bytes_windows import Windows, filled

Features = Callable[[Tensor], Tensor]


@torch.no_grad()
def block_values(file: Any, windows: Windows, some: tuple[int, int], features: Features, device: Any) -> Tensor:
    """Values of the windows `some` = (first, stop) of one block: shape (stop - first, channels)."""
    return _values(windows.block(file, *some), windows.in_block, features, device)


def _values(block: Tensor, size: int, features: Features, device: Any) -> Tensor:
    return features(filled(block.to(device), size))[: len(block)]


@torch.no_grad()
def largest(
    file: Any, windows: Windows, features: Features, channels: int, like: Tensor, *, fill: bool = True
) -> tuple[Tensor, Tensor]:
    """Largest value of each channel and the number of a window that has it; -inf and 0 for a file without windows.

    Args:
        file: anything with a length and slices of bytes.
        windows: the grid.
        features: (n, size) uint8 -> (n, channels).
        channels: how many.
        like: gives dtype and device.
        fill: False where the last bits do not matter: a short file then costs no whole block.

    Returns:
        Values (channels,), NaN where any window's is; numbers of windows (channels,), int64.

    Cost: every window once, but of blocks that repeat, such as long runs of one byte, the first; memory of one block.
    """
    best = torch.full((channels,), -torch.inf, dtype=like.dtype, device=like.device)
    where = torch.zeros(channels, dtype=torch.int64, device=like.device)
    before = None
    for first, stop in windows.blocks(file):
        block = windows.block(file, first, stop)
        if before is not None and before.shape == block.shape and torch.equal(before, block):
            continue
        before = block
        value, at = _values(block, windows.in_block if fill else 0, features, like.device).max(dim=0)
        where = torch.where(value > best, at + first, where)
        # maximum keeps NaN, which a comparison would lose
        best = torch.maximum(best, value)
    return best, where


def pooled(
    file: Any,
    windows: Windows,
    scan: Features,
    channels: int,
    like: Tensor,
    *,
    features: Features | None = None,
    fill: bool = True,
) -> Tensor:
    """`relu` of the largest value of each channel, shape (channels,); 0 for a file without windows.

    Args:
        file, windows, channels, like, fill: as for `largest`.
        scan: the features, for the first pass.
        features: the same with what gradients shall reach attached; `scan` by default.

    Cost: with gradients, the winners a second time: at most `channels` windows, however long the file.
    """
    best, where = largest(file, windows, scan, channels, like, fill=fill)
    if not windows.count(len(file)):
        return torch.zeros_like(best)
    if torch.is_grad_enabled():
        which, back = torch.unique(where, return_inverse=True)
        again = (features or scan)(windows.at(file, which).to(like.device))[
            back, torch.arange(channels, device=like.device)
        ]
        # The value of the first pass with the gradient of the second: other block shapes round in other ways.
        best = best + (again - again.detach())
    return best.relu()
