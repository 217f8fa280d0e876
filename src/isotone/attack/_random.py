"""Random additions: what a test without a plan would find, and how little that says."""

from __future__ import annotations

from typing import Any

import torch

from ._moves import Moves
from ._search import Attacked, Progress, Search
from ._victims import Victim

# How many of the features of a draw are added, in turn; the last is all of them.
SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 1000)


def random_additions(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    *,
    draws: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacked:
    """Add the first few features of a random order, for several orders; every row meets the same orders.

    Args:
        victim: what is attacked.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do.
        draws: how many orders.
        seed: of the orders.
        progress: called with (draws done, draws).

    Raises:
        BadInput: see `Search`.

    Cost: up to 10 scores per draw and victim.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.5 - x.sum(1))
    >>> random_additions(victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 1), 0.0, 1.0)).additions
    tensor([2])
    """
    search = Search("random", victim, x, threshold, moves)
    generator = torch.Generator().manual_seed(seed)
    for draw in range(draws):
        add_first(search, torch.randperm(moves.features, generator=generator).to(search.x.device))
        if progress is not None:
            progress(draw + 1, draws)
    return search.result()


def add_first(search: Search, order: torch.Tensor, sizes: tuple[int, ...] = SIZES) -> None:
    """Offer each victim the first 1, 2, 5, ... and all of the features of an order that are still to be had.

    Args:
        order: shape (some,), features.
    """
    if not len(search.victims) or not len(order):
        return
    open_ = search.moves.available(search.home)
    nth = open_[:, order].cumsum(1)  # (victims, some): the how-manieth to be had each is
    for size in (*(s for s in sizes if s < len(order)), len(order)):
        chosen = torch.zeros_like(open_)
        chosen[:, order] = nth <= size
        rows = search.moves.moved(search.home, chosen)
        search.offer(search.everyone(), rows, search.ask(rows))
