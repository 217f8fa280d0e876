"""Removals: not covered by any guarantee about additions, and measured so that this is said with a number."""

from __future__ import annotations

from typing import Any

from ._greedy import climb
from ._moves import Moves
from ._search import Attacked, Progress, Search
from ._victims import Victim


def removal(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = 50,
    *,
    end: Any = 0.0,
    candidates: int = 16,
    progress: Progress | None = None,
) -> Attacked:
    """Take away what lowers the score most, one feature at a time: an upper bound of the removal cost.

    Args:
        victim: what is attacked.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can *add*; taken away is the opposite of it.
        budget: most removals per row; None is no limit.
        end: a number, or shape (d,): where a feature that is taken away ends; 0 for names and counts.
        candidates: as `greedy`.
        progress: as `greedy`.

    Returns:
        `additions` counts removals here. Keep it apart from attacks that add.

    Raises:
        BadInput: as `greedy`.

    Cost: as `greedy`.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: x.sum(1) - 1.5)
    >>> removal(victim, torch.ones(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([2])
    """
    search = Search("removal", victim, x, threshold, moves.opposite(end), budget=budget)
    climb(search, search.home.clone(), search.best_score.clone(), budget, candidates=candidates, progress=progress)
    return search.result()
