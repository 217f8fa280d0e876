"""The suite: every attack, on the same rows, at the same threshold."""

from __future__ import annotations

from typing import Any

from ._everything import everything
from ._exhaustive import MOST_MOVES, exhaustive
from ._greedy import greedy
from ._merge import benign_merge
from ._moves import Moves
from ._search import Attacked, Progress
from ._victims import Victim, as_rows

# Exhaustive search joins in where it costs no more scores than this.
FEW_SUBSETS = 2**18


def suite(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    benign: Any,
    *,
    budget: int | None = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Attacked]:
    """`greedy` within the budget, `benign_merge` and `everything` without; `exhaustive` too where it is cheap.

    Args:
        victim: what is attacked.
        x: shape (n, d): the bad rows.
        threshold: detected is a score above it.
        moves: what the attacker can do.
        benign: shape (m, d).
        budget: of the attacks that count single additions.
        seed: of the attacks that draw.
        progress: called with (done, total), in hundredths of an attack.

    Raises:
        BadInput: see the attacks.

    >>> import torch
    >>> from isotone.attack import Differentiable, fewest
    >>> victim = Differentiable(lambda x: 1.5 - x.sum(1))
    >>> moves = Moves.between((1, 1, 1), 0.0, 1.0)
    >>> attacks = suite(victim, torch.zeros(1, 3), 0.0, moves, torch.ones(1, 3))
    >>> [a.name for a in attacks], fewest(attacks)
    (['greedy', 'benign_merge', 'everything', 'exhaustive'], tensor([2]))
    """
    rows = as_rows(x, "x", moves.features)
    moves = moves.on(rows.device)  # once, so that a black box guesses once
    counts = moves.available(rows).sum(1)
    cheap = bool((counts <= MOST_MOVES).all()) and int((2**counts).sum()) <= FEW_SUBSETS
    parts = 4 if cheap else 3
    common = (victim, rows, threshold, moves)
    attacks = [
        greedy(*common, budget, progress=_part(progress, 0, parts)),
        benign_merge(*common, benign, seed=seed, progress=_part(progress, 1, parts)),
        everything(*common, progress=_part(progress, 2, parts)),
    ]
    if cheap:
        attacks.append(exhaustive(*common, budget, progress=_part(progress, 3, parts)))
    if progress is not None:
        progress(100 * parts, 100 * parts)
    return attacks


def _part(progress: Progress | None, part: int, parts: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total: progress(100 * part + 100 * done // max(total, 1), 100 * parts)
