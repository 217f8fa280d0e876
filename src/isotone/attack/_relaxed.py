"""Moves made little by little: what gradient attacks walk in before they come back to rows that exist.

- a row is at 0 of each way and its additions lead to 1; a gradient may be asked in between;
- what is offered is whole again: names are added or not, numbers stop at their steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._search import Search


class Relaxed:
    """The ways of some victims of a search.

    Args:
        search: whose victims they are.
        rows: their numbers, shape (rows,).
    """

    def __init__(self, search: Search, rows: Tensor) -> None:
        self.search, self.rows = search, rows
        self.home = search.home[rows]
        self.open = search.moves.available(self.home)
        self.way = torch.where(self.open, search.moves.target - self.home, 0.0)  # 0 where nothing moves, or NaN is

    def __len__(self) -> int:
        return len(self.rows)

    def start(self) -> Tensor:
        """Nobody has moved, shape (rows, d)."""
        return torch.zeros_like(self.home)

    def point(self, u: Tensor) -> Tensor:
        """The rows so far on their ways, shape (rows, d)."""
        return torch.where(
            u >= 1, torch.where(self.open, self.search.moves.target, self.home), self.home + u * self.way
        )

    def gain(self, u: Tensor) -> Tensor:
        """How fast the score falls along each way, shape (rows, d); 0 where nothing moves."""
        return -self.search.slope(self.point(u)) * self.way

    def offer(self, u: Tensor, chosen: Tensor) -> Tensor:
        """Offer the rows with the chosen features moved; their scores, shape (rows,)."""
        rows = self.search.moves.partly(self.home, chosen, u)
        found = self.search.ask(rows, self.rows)
        self.search.offer(self.rows, rows, found)
        return found

    def left(self, *others: Tensor) -> tuple[Relaxed, tuple[Tensor, ...]]:
        """Those that do not evade yet, and their part of some tensors of one line per row."""
        still = ~self.search.evaded[self.rows]
        if bool(still.all()):
            return self, others
        return Relaxed(self.search, self.rows[still]), tuple(other[still] for other in others)

    def shorten(self, u: Tensor, order: Tensor, most: int) -> None:
        """Offer fewer of the first moves of an order, of rows that evade with the first `most`: by halving.

        The score need not fall with each move, so what is found is some number that evades, and not above `most`.
        """
        rank = order.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
        enough = torch.minimum((order > 0).sum(1), torch.tensor(most, device=order.device))
        short = torch.zeros_like(enough)
        while bool((short + 1 < enough).any()):
            half = (short + enough) // 2
            found = self.offer(u, (rank < half[:, None]) & (order > 0))
            evades = found <= self.search.threshold
            short, enough = torch.where(evades, short, half), torch.where(evades, half, enough)


def first(order: Tensor, most: int) -> Tensor:
    """The `most` largest positive entries of each line, as bool; of equal ones the first."""
    most = min(most, order.shape[1])
    picked = order.sort(dim=1, descending=True, stable=True).indices[:, :most]
    return torch.zeros_like(order, dtype=torch.bool).scatter_(1, picked, True) & (order > 0)
