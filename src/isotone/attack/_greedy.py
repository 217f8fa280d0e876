"""Greedy: the best single addition, again and again.

- the victim's guess picks a few candidates, exact scores pick among them, so that no guess is ever trusted;
- a row is done when it evades, when its budget is spent, or when nothing that was tried lowers its score.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._moves import Moves
from ._search import Attacked, Progress, Search
from ._victims import Victim

# How many further blocks of candidates a row may try, before it gives up, when none of the first lowers its score.
FURTHER = 2
# How many candidates a row tries in its first step, where the guess is the same for all rows.
FIRST = 256


def greedy(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = 50,
    *,
    candidates: int = 16,
    progress: Progress | None = None,
) -> Attacked:
    """Add what lowers the score most, one feature at a time, until it evades.

    Args:
        victim: what is attacked.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        budget: most additions per row; None is no limit.
        candidates: how many moves per row and step have their exact score taken.
        progress: called with (steps done, most steps).

    Raises:
        BadInput: see `Search`; or fewer than one candidate.

    Cost: per step, a guess and `candidates` scores for every row that still searches.
    Source: Grosse et al., arXiv 1606.04435, with exact scores in place of the gradient's word.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x @ torch.tensor([1.0, 0.2, 1.0]))
    >>> greedy(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([2])
    """
    if candidates < 1:
        raise BadInput("candidates", f"{candidates} came", "at least 1 would be right")
    search = Search("greedy", victim, x, threshold, moves, budget=budget)
    climb(search, search.home.clone(), search.best_score.clone(), budget, candidates=candidates, progress=progress)
    return search.result()


def greedy_unlimited(
    victim: Victim, x: Any, threshold: float, moves: Moves, *, candidates: int = 16, progress: Progress | None = None
) -> Attacked:
    """`greedy` without a budget: it goes on as long as something lowers the score."""
    return greedy(victim, x, threshold, moves, None, candidates=candidates, progress=progress)


def climb(
    search: Search,
    now: Tensor,
    score: Tensor,
    budget: int | None,
    *,
    rows: Tensor | None = None,
    candidates: int = 16,
    progress: Progress | None = None,
) -> None:
    """From `now`, shape (victims, d), with these scores: add the best move of each of `rows`, and offer what comes.

    A guess that never learns is mended by what was measured: each row remembers the effect of the moves it tried, and
    tries many in its first step.
    """
    rows = search.everyone() if rows is None else rows
    # Moves that did not help this row go behind those not tried yet: the guess of a black box never learns by itself.
    aside = torch.zeros_like(now, dtype=torch.bool)
    static = bool(getattr(search.victim, "static", False))
    known = torch.full_like(now, torch.nan) if static else None
    steps = search.moves.features if budget is None else min(budget, search.moves.features)
    for step in range(steps):
        if not len(rows):
            break
        wide = max(candidates, FIRST) if static and step == 0 else candidates
        feature, end, score[rows] = _best_move(search, now, score, rows, aside=aside, known=known, candidates=wide)
        rows, feature, end = rows[feature >= 0], feature[feature >= 0], end[feature >= 0]
        now[rows, feature] = end
        search.offer(rows, now[rows], score[rows])
        rows = rows[score[rows] > search.threshold]
        if progress is not None:
            progress(step + 1, steps)
    if progress is not None:
        progress(steps, steps)


def _best_move(
    search: Search, now: Tensor, score: Tensor, rows: Tensor, *, aside: Tensor, known: Tensor | None, candidates: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Best feature to add for each of `rows`, -1 where none lowers the score; its value and the score then.

    Each of shape (len(rows),).
    """
    order = search.prefer(now[rows])  # (rows, d), +inf: not available
    if known is not None:
        order = torch.where(known[rows].isnan() | order.isinf(), order, known[rows])
    span = order.masked_fill(order.isinf(), 0.0).abs().amax(1, keepdim=True)
    order += aside[rows] * (2 * span + 1)
    best_feature, best_end, best_score = torch.full_like(rows, -1), now.new_zeros(len(rows)), score[rows]
    waiting = torch.arange(len(rows), device=rows.device)
    for _ in range(1 + FURTHER):
        key, picked = order[waiting].topk(min(candidates, order.shape[1]), largest=False)
        row, slot = key.isfinite().nonzero(as_tuple=True)
        if not len(row):
            break
        feature = picked[row, slot]
        found, end = search.ask_moves(now, rows[waiting[row]], feature)
        if known is not None:
            known[rows[waiting[row]], feature] = (found - score[rows[waiting[row]]]).float()
        useless = ~(found < score[rows[waiting[row]]])
        aside[rows[waiting[row]][useless], feature[useless]] = True
        order[waiting[row], feature] = torch.inf
        exact = torch.full(key.shape, torch.inf, dtype=torch.float64, device=key.device)
        exact[row, slot] = found
        ends = torch.zeros(key.shape, dtype=now.dtype, device=key.device)
        ends[row, slot] = end
        value, at = exact.min(1)
        lowers = value < best_score[waiting]
        best_score[waiting[lowers]] = value[lowers]
        best_feature[waiting[lowers]] = picked[lowers, at[lowers]]
        best_end[waiting[lowers]] = ends[lowers, at[lowers]]
        waiting = waiting[~lowers]
    return best_feature, best_end, best_score
