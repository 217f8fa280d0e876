"""Everything: add all that seems to help at once; what a budget would hide."""

from __future__ import annotations

from typing import Any

import torch

from ._moves import Moves
from ._search import Attacked, Progress, Search
from ._victims import Victim, blocks


def everything(
    victim: Victim, x: Any, threshold: float, moves: Moves, *, rounds: int = 3, progress: Progress | None = None
) -> Attacked:
    """Add every move that the victim's guess calls helpful, and look again from there.

    First every available move is made, in case the guess is blind. Then each round ranks the helpful moves and takes
    the first 1, 2, 4, ... of them, up to all; the best of these is where the next round starts.

    Args:
        victim: what is attacked.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        rounds: how often the guess is renewed.
        progress: called with (victims done, victims).

    Raises:
        BadInput: see `Search`.

    Cost: rounds * log2(d) scores per victim.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 2.5 - x.sum(1))
    >>> everything(victim, torch.zeros(1, 5), 0.0, Moves.between((1,) * 5, 0.0, 1.0)).additions
    tensor([4])
    """
    search = Search("everything", victim, x, threshold, moves)
    for part in blocks(len(search.victims), moves.features):
        _search_rows(search, search.everyone()[part], rounds)
        if progress is not None:
            progress(part.stop, len(search.victims))
    return search.result()


def _search_rows(search: Search, rows: torch.Tensor, rounds: int) -> None:
    every = search.moves.moved(search.home[rows], search.moves.available(search.home[rows]))
    search.offer(rows, every, search.ask(every, rows))
    now, score = search.home[rows], search.ask(search.home[rows], rows)
    for _ in range(rounds):
        order = search.prefer(now)
        helpful = order < 0
        most = int(helpful.sum(1).max())
        if not most:
            return
        ranked = order.sort(dim=1, stable=True).indices
        start, start_score = now, score
        for size in _sizes(most):
            chosen = torch.zeros_like(helpful).scatter_(1, ranked[:, :size], True) & helpful
            trial = search.moves.moved(start, chosen)
            found = search.ask(trial, rows)
            search.offer(rows, trial, found)
            lower = found < score
            now, score = torch.where(lower[:, None], trial, now), torch.where(lower, found, score)
        if not bool((score < start_score).any()):
            return


def _sizes(most: int) -> list[int]:
    """1, 2, 4, ..., most."""
    return sorted({min(2**power, most) for power in range(most.bit_length() + 1)})
