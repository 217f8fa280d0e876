"""Benign merge: mimicry, the attack that needs to know nothing of the model."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import BadInput
from ._moves import Moves
from ._search import Attacked, Progress, Search
from ._victims import Victim, as_rows

# How many benign rows the tries merge in, in turn: mostly one, some two or three.
TURNS = (1, 1, 1, 2, 3)


def benign_merge(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    benign: Any,
    *,
    tries: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacked:
    """Add all that a benign row has, for the best of several benign rows.

    A name is united; a number goes towards its benign value, in its direction and no further than its target. All rows
    of `x` meet the same benign rows, so that what is found for one does not depend on the others.

    Args:
        victim: what is attacked.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        benign: shape (m, d); m may be less than `tries`.
        tries: how many merges; three of five take in one benign row, the others two or three.
        seed: of the choice of benign rows.
        progress: called with (tries done, tries).

    Raises:
        BadInput: see `Search`; or no benign rows.

    Cost: `tries` scores per victim.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x.sum(1))
    >>> benign = torch.tensor([[1.0, 1.0, 0.0]])
    >>> benign_merge(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0), benign).additions
    tensor([2])
    """
    rows = as_rows(benign, "benign", moves.features)
    if not len(rows):
        raise BadInput("benign", "it has no rows", "benign merge needs some to take from")
    search = Search("benign_merge", victim, x, threshold, moves)
    rows = rows.to(search.x.device)
    for done, some in enumerate(_draws(len(rows), tries, seed), start=1):
        if len(search.victims):
            merged = search.home
            for one in some:
                merged = search.moves.toward(merged, rows[one])
            search.offer(search.everyone(), merged, search.ask(merged))
        if progress is not None:
            progress(done, tries)
    return search.result()


def _draws(rows: int, tries: int, seed: int) -> list[list[int]]:
    """Which benign rows each try takes in; every row is used before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    drawn: list[int] = []
    draws = []
    for turn in range(tries):
        want = min(TURNS[turn % len(TURNS)], rows)
        while len(drawn) < want:
            drawn += torch.randperm(rows, generator=generator).tolist()
        draws.append(drawn[:want])
        drawn = drawn[want:]
    return draws
