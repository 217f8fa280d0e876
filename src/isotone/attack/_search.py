"""What every attack shares: who the victims are, the best addition found so far, and the check at the end.

- rows that are not detected are no victims: they cost no questions and get 0 additions;
- an attack offers what it found, the search keeps the best;
- the result is scored again and judged before anyone sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._moves import Moves, changed, only_adds
from ._victims import Victim, as_rows, preferences, scores, scores_of_moves, slopes

Progress = Callable[[int, int], object]

# Where a number that may stop on its way is tried besides its target, as shares of the way; the first is one step.
STOPS = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack found.

    Args:
        name: of the attack.
        additions: shape (n,), int64: the fewest additions found that bring the score to or below the threshold; -1
            where none were found; 0 for rows that were not detected to begin with.
        scores: shape (n,), float64: the lowest score found; of rows that are no victims, their own.
        examples: shape (n, d), float32: for evading rows the one with the fewest additions, else the lowest-scored one.
        queries: how many scores it asked for, over all victims.
        guesses: how many rows it asked the victim's guess, or its gradient, about.
    """

    name: str
    additions: Tensor
    scores: Tensor
    examples: Tensor
    queries: int = 0
    guesses: int = 0

    @property
    def victims(self) -> Tensor:
        """Shape (n,), bool: rows that were detected to begin with."""
        return self.additions != 0

    @property
    def evaded(self) -> Tensor:
        """Shape (n,), bool: victims whose score came to or below the threshold."""
        return self.additions > 0


class Search:
    """The record of one attack; the base to write another attack on.

    Args:
        name: of the attack.
        victim: what it may ask.
        x: shape (n, d), any numbers; used as float32.
        threshold: detected is a score above it, strictly; may be infinite.
        moves: what the attacker can do.
        budget: most additions per row; None is no limit.

    Raises:
        BadInput: other shapes, a threshold or a score that is NaN, a budget that is no whole number from 0 on.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1 - x.sum(1))
    >>> search = Search("add all", victim, torch.zeros(1, 3), 0.0, Moves.between((1, 1, 0), 0.0, 1.0))
    >>> found = search.moves.moved(search.home, torch.ones(1, 3, dtype=torch.bool))
    >>> search.offer(torch.arange(1), found, search.ask(found))
    >>> search.result().additions
    tensor([2])
    """

    def __init__(
        self, name: str, victim: Victim, x: Any, threshold: float, moves: Moves, *, budget: int | None = None
    ) -> None:
        if math.isnan(threshold):
            raise BadInput("threshold", "it is NaN", "a number would be right; above it is detected")
        self.name, self.victim, self.threshold, self.budget = name, victim, float(threshold), _whole(budget)
        self.x = as_rows(x, "x", moves.features)
        self.moves = moves.on(self.x.device)
        self._before = scores(victim, self.x) if len(self.x) else self.x.new_zeros(0, dtype=torch.float64)
        self.victims = (self._before > self.threshold).nonzero().flatten()
        self.home = self.x[self.victims]  # (victims, d)
        self.best = self.home.clone()
        self.best_score = self._before[self.victims]
        self.lowest = self.best_score.clone()
        self.fewest = torch.full_like(self.victims, -1)
        self.queries = self.guesses = 0

    @property
    def evaded(self) -> Tensor:
        """Shape (victims,), bool."""
        return self.fewest > 0

    @property
    def most(self) -> int:
        """How many additions a row may have at all."""
        features = self.moves.features
        return features if self.budget is None else min(self.budget, features)

    def everyone(self) -> Tensor:
        """The number of every victim, as `rows` of the other methods."""
        return torch.arange(len(self.victims), device=self.x.device)

    def ask(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Scores of `x`, candidates for the victims `rows` (all of them, if not given); shape (len(x),)."""
        self.queries += len(x)
        return (
            scores(self.victim, x, self.victims if rows is None else self.victims[rows]) if len(x) else self._nothing()
        )

    def ask_moves(self, now: Tensor, rows: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest scores of `now[rows[i]]` with `features[i]` added, and the values at which it has them.

        These are the target, and some of the stops on the way there of what may stop.
        """
        values, ends = now[rows, features], self.moves.target[features]
        found, best = self._ask_ends(now, rows, features, ends), ends.clone()
        for share in STOPS:
            stop = self.moves.stop(values, features, share)
            some = ((stop != ends) & (stop != values)).nonzero().flatten()
            if len(some):
                there = self._ask_ends(now, rows[some], features[some], stop[some])
                some, there = some[there < found[some]], there[there < found[some]]
                found[some], best[some] = there, stop[some]
        return found, best

    def _ask_ends(self, now: Tensor, rows: Tensor, features: Tensor, ends: Tensor) -> Tensor:
        self.queries += len(rows)
        return scores_of_moves(self.victim, now, rows, features, ends, names=self.victims)

    def prefer(self, x: Tensor) -> Tensor:
        """The victim's guess for each move, shape of `x`; +inf where the move is not available."""
        self.guesses += len(x)
        return preferences(self.victim, x, self.moves).masked_fill(~self.moves.available(x), torch.inf)

    def slope(self, x: Tensor) -> Tensor:
        """The gradient of the score at `x`, shape of `x`; 0 where it is NaN."""
        self.guesses += len(x)
        return slopes(self.victim, x)

    def offer(self, rows: Tensor, candidates: Tensor, found: Tensor) -> None:
        """Keep a candidate where it is the best so far; `rows` names each victim at most once.

        Among evading candidates the one with fewer additions is better, else the one with the lower score.
        """
        count = changed(self.home[rows], candidates).sum(1)
        evades = (found <= self.threshold) & (count > 0)
        had, lower = self.fewest[rows], found < self.best_score[rows]
        fewer = evades & ((had < 0) | (count < had) | ((count == had) & lower))
        take = fewer | (~evades & (had < 0) & lower)
        self.best[rows[take]] = candidates[take]
        self.best_score[rows[take]] = found[take]
        self.fewest[rows[fewer]] = count[fewer]
        self.lowest[rows] = torch.minimum(self.lowest[rows], found)

    def result(self) -> Attacked:
        """What was found, scored again and judged.

        Raises:
            BrokenAttack: the best candidate of some row does more than add.
            BadInput: the victim gives the same row two scores.
        """
        only_adds(self.home, self.best, self.moves, self.budget, attack=self.name, rows=self.victims)
        examples = self.x.clone()
        examples[self.victims] = self.best
        again = scores(self.victim, examples)[self.victims] if len(self.x) else self._nothing()
        steady = again.isclose(self.best_score, rtol=1e-3, atol=1e-3)
        if not bool(steady.all()):
            row = int((~steady).nonzero()[0])
            raise BadInput(
                "score",
                f"row {int(self.victims[row])} scored {float(self.best_score[row]):.4g}, then {float(again[row]):.4g}",
                "the same row must have the same score",
                "Is the model in train mode? Call `model.eval()`.",
            )
        # What is left is rounding. Some kernels round by the place of a row in its block, so the last word is said
        # where the row stood at first: there float evaluation of a monotone network is itself monotone, bit for bit,
        # and no addition to a row above the threshold can seem to evade.
        evaded = self.evaded & (again <= self.threshold)
        before = self._before[self.victims]
        nothing = ~evaded & ~(again < before)
        examples[self.victims[nothing]] = self.home[nothing]
        additions, lowest = torch.zeros(len(self.x), dtype=torch.int64, device=self.x.device), self._before.clone()
        additions[self.victims] = torch.where(evaded, self.fewest, -1)
        lowest[self.victims] = torch.where(evaded, torch.minimum(self.lowest, again), torch.minimum(again, before))
        return Attacked(self.name, additions, lowest, examples, self.queries, self.guesses)

    def _nothing(self) -> Tensor:
        return self.x.new_zeros(0, dtype=torch.float64)


def _whole(budget: Any) -> int | None:
    if budget is None:
        return None
    if isinstance(budget, bool) or not isinstance(budget, Integral) or budget < 0:
        raise BadInput("budget", f"{budget!r} came", "a whole number from 0 on, or None for no limit")
    return int(budget)
