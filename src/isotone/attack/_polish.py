"""Polish: start where other attacks ended; take superfluous additions away, and go on where they gave up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._greedy import climb
from ._moves import Moves, changed, only_adds
from ._search import Attacked, Progress, Search
from ._victims import Victim

# Up to so many additions, each is tried to be left out; beyond, only the least useful ones, by halving.
FEW = 64


def polish(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    starts: Sequence[Attacked],
    *,
    steps: int = 25,
    progress: Progress | None = None,
) -> Attacked:
    """Make the best of what other attacks found on the same rows.

    Of what evades, additions are left out as long as it still evades: first the least useful ones by the victim's
    guess, in halves, then parts, then one by one. What does not evade yet goes on greedily from its lowest score.

    Args:
        victim: what is attacked.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        starts: what other attacks found.
        steps: how many further additions are tried, of rows that do not evade.
        progress: called with (parts done, 2).

    Raises:
        BadInput: see `Search`; or starts of other rows.
        BrokenAttack: a start that does more than add.

    Cost: up to 2 * 64 + 2 log2(d) scores per evading victim, 16 per step for the others.
    Source: ddmin of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (TSE 2002).

    >>> from isotone.attack import Differentiable, everything
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> moves = Moves.between((1, 1, 1), 0.0, 1.0)
    >>> everything(victim, torch.zeros(1, 3), 1.4, moves).additions
    tensor([1])
    >>> polish(victim, torch.zeros(1, 3), 0.0, moves, [everything(victim, torch.zeros(1, 3), 0.0, moves)]).additions
    tensor([2])
    """
    search = Search("polish", victim, x, threshold, moves)
    _take_over(search, starts)
    _leave_out(search)
    if progress is not None:
        progress(1, 2)
    rows = (~search.evaded).nonzero().flatten()
    if len(rows):
        climb(search, search.best.clone(), search.best_score.clone(), steps, rows=rows)
        _leave_out(search)
    if progress is not None:
        progress(2, 2)
    return search.result()


def _take_over(search: Search, starts: Sequence[Attacked]) -> None:
    for start in starts:
        if start.examples.shape != search.x.shape:
            raise BadInput(
                "polish",
                f"{start.name!r} has examples of shape {tuple(start.examples.shape)}",
                "the same rows are right",
            )
        examples = start.examples.to(search.x.device)[search.victims]
        only_adds(search.home, examples, search.moves, attack=start.name, rows=search.victims)
        search.offer(search.everyone(), examples, search.ask(examples))


def _leave_out(search: Search) -> None:
    rows = search.evaded.nonzero().flatten()
    if not len(rows):
        return
    home, now = search.home[rows], search.best[rows].clone()
    # Additions from the most useful to the least, by the guess at home; what is not added comes last.
    worth = search.prefer(home).masked_fill(~changed(home, now), torch.inf)
    rank = worth.argsort(dim=1, stable=True).argsort(dim=1)

    def without(now: Tensor, gone: Tensor) -> Tensor:
        trial = torch.where(gone, home, now)
        differs = changed(trial, now).any(1) & changed(trial, home).any(1)
        found = torch.full((len(rows),), torch.inf, dtype=torch.float64, device=now.device)
        found[differs] = search.ask(trial[differs], rows[differs])
        search.offer(rows[differs], trial[differs], found[differs])
        return torch.where((found <= search.threshold)[:, None], trial, now)

    def count() -> Tensor:
        return changed(home, now).sum(1)

    short, enough = torch.zeros_like(rows), count()
    while bool((short + 1 < enough).any()):
        half = (short + enough) // 2
        now = without(now, rank >= half[:, None])
        fewer = count() <= half
        short, enough = torch.where(fewer, short, half), torch.where(fewer, half, enough)
    few = count() <= FEW
    size = FEW // 2
    while size >= 1:
        # Among what is left, the least useful first.
        left = changed(home, now) & few[:, None]
        place = torch.where(left, worth, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
        most = int(left.sum(1).max())
        for start in range((most - 1) // size * size, -1, -size):
            now = without(now, left & (place >= start) & (place < start + size))
        size //= 2
