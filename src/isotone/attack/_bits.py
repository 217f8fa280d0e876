"""Attacks of Al-Dujaili et al. on bits, led by the gradient: one bit at a time, many bits, or small steps rounded.

What is set in the row already is masked. The authors' published code has no mask: its best bit is often one that the
row has, which the union with the row restores, and the same bit is best again (9.5 % evasion instead of 100 %).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._moves import Moves
from ._relaxed import Relaxed
from ._search import Attacked, Progress, Search
from ._victims import Victim, blocks

# Small steps are rounded to a whole row now and then, not only at the end: the worst of several is kept.
ROUND_EVERY = 10


def bca(
    victim: Victim, x: Any, threshold: float, moves: Moves, budget: int | None = 25, *, progress: Progress | None = None
) -> Attacked:
    """Bit coordinate ascent: flip the bit that the gradient calls best, again and again; an addition may be taken back.

    Args:
        victim: what is attacked; it must have a `slope`.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        budget: how many flips; None: as many as there are features.
        progress: called with (victims done, victims).

    Raises:
        BadInput: see `Search`; or a victim without a gradient.

    Cost: a gradient and a score per flip and victim.
    Source: BCA^k of Al-Dujaili et al. 2018, arXiv 1801.02950, with the mask that its text asks for.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> bca(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([2])
    """

    def run(ways: Relaxed) -> None:
        u = ways.start()
        for _ in range(ways.search.most):
            if not len(ways):
                return
            best = _flips(ways, u).argmax(1, keepdim=True)
            u = u.scatter(1, best, 1 - u.gather(1, best)) * ways.open
            ways.offer(u, u > 0)
            ways, (u,) = ways.left(u)

    return _in_parts(Search("bca", victim, x, threshold, moves, budget=budget), run, progress)


def grosse(
    victim: Victim, x: Any, threshold: float, moves: Moves, budget: int | None = 50, *, progress: Progress | None = None
) -> Attacked:
    """The greedy attack of Grosse et al. by the gradient's word alone: add the best feature until none seems to help.

    Args, Raises: as `bca`; on logits, since the gradients of a softmax vanish.

    Cost: a gradient and a score per addition and victim.
    Source: Grosse et al., arXiv 1606.04435; JSMA with additions only.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> grosse(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([2])
    """

    def run(ways: Relaxed) -> None:
        u = ways.start()
        for _ in range(ways.search.most):
            if not len(ways):
                return
            value, best = torch.where(u > 0, 0.0, ways.gain(u)).max(1, keepdim=True)
            if not bool((value > 0).any()):
                return
            u = torch.where(value > 0, u.scatter(1, best, 1.0), u)
            ways.offer(u, u > 0)
            ways, (u,) = ways.left(u)

    return _in_parts(Search("grosse", victim, x, threshold, moves, budget=budget), run, progress)


def bga(
    victim: Victim, x: Any, threshold: float, moves: Moves, *, steps: int = 25, progress: Progress | None = None
) -> Attacked:
    """Bit gradient ascent: flip every bit whose gain is above the root mean square of all of them.

    Args, Raises: as `bca`; `steps` instead of a budget: it knows no sparsity.

    Cost: a gradient and a score per step and victim.
    Source: BGA^k of Al-Dujaili et al. 2018.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> bga(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([2])
    """

    def run(ways: Relaxed) -> None:
        u = ways.start()
        for _ in range(steps):
            if not len(ways):
                return
            gain = _flips(ways, u).masked_fill(~ways.open, 0.0)
            flip = (math.sqrt(moves.features) * gain >= torch.linalg.vector_norm(gain, dim=1, keepdim=True)) & (
                gain > 0
            )
            u = torch.where(flip, 1 - u, u)
            ways.offer(u, u > 0)
            ways, (u,) = ways.left(u)

    return _in_parts(Search("bga", victim, x, threshold, moves), run, progress)


def dfgsm(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    *,
    steps: int = 50,
    length: float = 0.02,
    progress: Progress | None = None,
) -> Attacked:
    """Small steps by the sign of the gradient, rounded at one half.

    Args, Raises: as `bca`; `length` of a step, of the way of each feature.

    Cost: a gradient per step and victim, and a score every ten steps.
    Source: dFGSM^k of Al-Dujaili et al. 2018.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> dfgsm(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([3])
    """
    halves = torch.full((steps, moves.features), 0.5)
    return _by_signs(Search("dfgsm", victim, x, threshold, moves), halves, length, progress)


def rfgsm(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    *,
    steps: int = 50,
    length: float = 0.02,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacked:
    """Small steps by the sign of the gradient, rounded at random, with the same chances for every row.

    Args, Raises, Cost: as `dfgsm`; `seed` of the rounding.
    Source: rFGSM^k of Al-Dujaili et al. 2018.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> rfgsm(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).evaded
    tensor([True])
    """
    draws = torch.rand(steps, moves.features, generator=torch.Generator().manual_seed(seed))
    return _by_signs(Search("rfgsm", victim, x, threshold, moves), draws, length, progress)


def _by_signs(search: Search, cuts: Tensor, length: float, progress: Progress | None) -> Attacked:
    """A step per line of `cuts`; now and then what has come beyond the line's cuts is added."""

    def run(ways: Relaxed) -> None:
        u = ways.start()
        for step, cut in enumerate(cuts.to(u.device), start=1):
            if not len(ways):
                return
            u = (u + length * ways.gain(u).sign()).clamp(0.0, 1.0)
            if step % ROUND_EVERY == 0 or step == len(cuts):
                ways.offer(u, u > cut)
                ways, (u,) = ways.left(u)

    return _in_parts(search, run, progress)


def _flips(ways: Relaxed, u: Tensor) -> Tensor:
    """What flipping each bit gains: adding it, or taking back what was added. -inf where nothing can be flipped."""
    gain = ways.gain(u)
    return torch.where(u > 0, -gain, gain).masked_fill(~ways.open, -torch.inf)


def _in_parts(search: Search, run: Callable[[Relaxed], None], progress: Progress | None) -> Attacked:
    for part in blocks(len(search.victims), search.moves.features):
        run(Relaxed(search, search.everyone()[part]))
        if progress is not None:
            progress(part.stop, len(search.victims))
    return search.result()
