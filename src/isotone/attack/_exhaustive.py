"""Exhaustive: every subset of the moves, smallest first; the truth that the other attacks are measured against."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from ..errors import BadInput
from ._moves import Moves
from ._search import Attacked, Progress, Search
from ._victims import Victim, blocks

MOST_MOVES = 14


def exhaustive(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = None,
    *,
    progress: Progress | None = None,
) -> Attacked:
    """The exact fewest additions that evade: every subset of the available moves, in order of size.

    Args:
        victim: what is attacked; only its scores are used.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do; at most 14 of them available to each victim.
        budget: most additions per row; None is no limit.
        progress: called with (victims done, victims).

    Raises:
        BadInput: see `Search`; or a victim with more than 14 available moves.

    Cost: up to 2**14 scores per victim. A row that evades stops at its size, so its score is the lowest up to there.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.0 + x[:, 0] - 3 * x[:, 0] * x[:, 1])  # either one alone does not help
    >>> exhaustive(victim, torch.zeros(1, 2), 0.0, Moves.between((1, 1), 0.0, 1.0)).additions
    tensor([2])
    """
    search = Search("exhaustive", victim, x, threshold, moves, budget=budget)
    open_ = search.moves.available(search.home)
    for row, count in enumerate(open_.sum(1).tolist()):
        if count > MOST_MOVES:
            raise BadInput(
                "exhaustive",
                f"row {int(search.victims[row])} has {count} available moves, so 2**{count} subsets",
                f"at most {MOST_MOVES} moves would be right",
                "Use `greedy`, or make fewer features addable.",
            )
    for row in range(len(search.victims)):
        free = open_[row].nonzero().flatten().tolist()
        for size in range(1, min(len(free), len(free) if budget is None else budget) + 1):
            _search_subsets(search, row, list(itertools.combinations(free, size)))
            if bool(search.evaded[row]):
                break
        if progress is not None:
            progress(row + 1, len(search.victims))
    return search.result()


def _search_subsets(search: Search, row: int, subsets: list[tuple[int, ...]]) -> None:
    rows = torch.tensor([row], device=search.x.device)
    table = torch.tensor(subsets, device=search.x.device)
    for part in blocks(len(table), search.moves.features):
        some = table[part]
        trial = search.home[row].repeat(len(some), 1).scatter_(1, some, search.moves.target[some])
        found = search.ask(trial, rows.expand(len(some)))
        lowest = found.argmin()
        search.offer(rows, trial[lowest, None], found[lowest, None])
