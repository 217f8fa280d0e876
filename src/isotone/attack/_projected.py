"""Projected gradient onto what contains the row: walk anywhere above the row, come back with the longest moves.

- three lengths of a step: of its l2 norm, of each coordinate (linf), of a few coordinates (l1);
- `stepwise_max` takes the best of the three at every step;
- what is offered are the moves that went furthest, as many as the budget allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._moves import Moves
from ._relaxed import Relaxed, first
from ._search import Attacked, Progress, Search
from ._victims import Victim, blocks

# A move that has not come this far has not begun.
BEGUN = 1e-3
L2_LENGTH, LINF_LENGTH, L1_LENGTH = 1.0, 0.05, 1.0

Stride = Callable[[Tensor, Tensor], Tensor]  # gain and where we are -> the change of u


def l2(gain: Tensor, u: Tensor) -> Tensor:
    """A step of unit length for each row by itself: by the norm of a whole batch, rows would depend on others."""
    size: Tensor = torch.linalg.vector_norm(gain, dim=1, keepdim=True)
    return L2_LENGTH * gain / (size + 1e-12)


def linf(gain: Tensor, u: Tensor) -> Tensor:
    """The same step for every feature."""
    return LINF_LENGTH * gain.sign()


def l1(gain: Tensor, u: Tensor) -> Tensor:
    """All the way for the one feature that gains most, among those that have way left."""
    left = torch.where(((gain > 0) & (u < 1)) | ((gain < 0) & (u > 0)), gain.abs(), 0.0)
    best = left.argmax(1, keepdim=True)
    sign = torch.where(left.gather(1, best) > 0, gain.gather(1, best).sign(), 0.0)
    return torch.zeros_like(u).scatter_(1, best, L1_LENGTH * sign)


def pgd_l2(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = 25,
    *,
    steps: int = 50,
    progress: Progress | None = None,
) -> Attacked:
    """Projected gradient with steps of unit l2 length.

    Args:
        victim: what is attacked; it must have a `slope`.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        budget: most additions per row; None is no limit.
        steps: how many.
        progress: called with (victims done, victims).

    Raises:
        BadInput: see `Search`; or a victim without a gradient.

    Cost: a gradient and a score per step and victim.
    Source: Madry et al., arXiv 1706.06083, projected onto the rows that contain x.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> pgd_l2(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0), 2).additions
    tensor([2])
    """
    return _projected(Search("pgd_l2", victim, x, threshold, moves, budget=budget), (l2,), steps, progress)


def pgd_linf(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = 25,
    *,
    steps: int = 50,
    progress: Progress | None = None,
) -> Attacked:
    """Projected gradient with the same step for every feature. Everything else: `pgd_l2`.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> pgd_linf(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0), 3).evaded
    tensor([True])
    """
    return _projected(Search("pgd_linf", victim, x, threshold, moves, budget=budget), (linf,), steps, progress)


def pgd_l1(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = 25,
    *,
    steps: int = 50,
    progress: Progress | None = None,
) -> Attacked:
    """Projected gradient, one feature at a time. Everything else: `pgd_l2`.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> pgd_l1(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0), 2).additions
    tensor([2])
    """
    return _projected(Search("pgd_l1", victim, x, threshold, moves, budget=budget), (l1,), steps, progress)


def stepwise_max(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = 25,
    *,
    steps: int = 50,
    progress: Progress | None = None,
) -> Attacked:
    """The best of the three steps each time: the strongest simple mixture. Everything else: `pgd_l2`.

    Cost: a gradient and four scores per step and victim.
    Source: Li et al., DOI 10.1109/TNSE.2021.3051354, with additions only.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> stepwise_max(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0), 2).additions
    tensor([2])
    """
    strides = (l1, l2, linf)
    return _projected(Search("stepwise_max", victim, x, threshold, moves, budget=budget), strides, steps, progress)


def _projected(search: Search, strides: tuple[Stride, ...], steps: int, progress: Progress | None) -> Attacked:
    for part in blocks(len(search.victims), search.moves.features):
        _walk(Relaxed(search, search.everyone()[part]), strides, steps)
        if progress is not None:
            progress(part.stop, len(search.victims))
    return search.result()


def _walk(ways: Relaxed, strides: tuple[Stride, ...], steps: int) -> None:
    search, u = ways.search, ways.start()
    most = search.most
    for _ in range(steps):
        if not len(ways):
            return
        gain = ways.gain(u)
        trials = [(u + stride(gain, u)).clamp(0.0, 1.0) for stride in strides]
        u = trials[0]
        if len(trials) > 1:
            found = torch.stack([search.ask(ways.point(trial), ways.rows) for trial in trials])  # (strides, rows)
            best = found.argmin(0)
            u = torch.stack(trials)[best, torch.arange(len(u), device=u.device)]
        far = torch.where(u > BEGUN, u, 0.0)
        ways.offer(u, first(far, most))
        gone = search.evaded[ways.rows]
        if bool(gone.any()):
            Relaxed(search, ways.rows[gone]).shorten(u[gone], far[gone], most)
        ways, (u,) = ways.left(u)
