"""Exhaustive: every subset of the moves, smallest first; the truth that the other attacks are measured against.

Numbers that count stop at each of their steps. Where nothing is said of their steps they go all the way, and it is the
truth of that alone; where they may stop anywhere there is no end to what would have to be tried, and it is refused.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._moves import Moves
from ._search import Attacked, Progress, Search
from ._victims import Victim, blocks

MOST_ROWS = 2**14


def exhaustive(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    budget: int | None = None,
    *,
    progress: Progress | None = None,
) -> Attacked:
    """The exact fewest additions that evade: every subset of the available moves, with every stop, in order of size.

    Args:
        victim: what is attacked; only its scores are used.
        x: shape (n, d).
        threshold: detected is a score above it.
        moves: what the attacker can do; of steps that are not 0, and no more rows to try per victim than 14 names have.
        budget: most additions per row; None is no limit.
        progress: called with (victims done, victims).

    Raises:
        BadInput: see `Search`; or a victim with more than 2**14 rows to try, or a number that may stop anywhere.

    Cost: up to 2**14 scores per victim. A row that evades stops at its size, so its score is the lowest up to there.

    >>> from isotone.attack import Differentiable
    >>> victim = Differentiable(lambda x: 1.0 + x[:, 0] - 3 * x[:, 0] * x[:, 1])  # either one alone does not help
    >>> exhaustive(victim, torch.zeros(1, 2), 0.0, Moves.between((1, 1), 0.0, 1.0)).additions
    tensor([2])
    """
    search = Search("exhaustive", victim, x, threshold, moves, budget=budget)
    for row, count in enumerate(rows_to_try(search.home, search.moves).tolist()):
        if count > MOST_ROWS:
            came = "no end of" if math.isinf(count) else f"{count:,.0f}"
            raise BadInput(
                "exhaustive",
                f"row {int(search.victims[row])} has {came} rows to try",
                f"at most {MOST_ROWS:,} would be right",
                "Use `greedy`, make fewer features addable, or say at which steps numbers stop.",
            )
    counts = search.moves.stops(search.home).long()
    for row in range(len(search.victims)):
        free = counts[row].nonzero().flatten().tolist()
        ends = {j: _ends(search, row, j, int(counts[row, j])) for j in free}
        for size in range(1, min(len(free), search.most) + 1):
            subsets = [one for some in itertools.combinations(free, size) for one in _stopped(some, ends)]
            _search_subsets(search, row, *zip(*subsets, strict=True))
            if bool(search.evaded[row]):
                break
        if progress is not None:
            progress(row + 1, len(search.victims))
    return search.result()


def rows_to_try(x: Tensor, moves: Moves) -> Tensor:
    """How many rows the additions to each row of `x` make, itself among them; shape (n,), inf where there is no end.

    >>> rows_to_try(torch.zeros(1, 3), Moves.between((1, 1, 0), 0.0, 10.0, step=[torch.inf, 5.0, 1.0]))
    tensor([6.], dtype=torch.float64)
    """
    return (1 + moves.stops(x)).prod(1)


def _ends(search: Search, row: int, feature: int, count: int) -> list[float]:
    """The values that a feature of a victim may take."""
    home, target = float(search.home[row, feature]), float(search.moves.target[feature])
    if count == 1:
        return [target]
    step = float(search.moves.step[feature]) * (1 if target > home else -1)
    return [*(home + k * step for k in range(1, count)), target]


def _stopped(
    features: tuple[int, ...], ends: dict[int, list[float]]
) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    return [(features, values) for values in itertools.product(*(ends[j] for j in features))]


def _search_subsets(
    search: Search, row: int, subsets: tuple[tuple[int, ...], ...], values: tuple[tuple[float, ...], ...]
) -> None:
    rows = torch.tensor([row], device=search.x.device)
    features = torch.tensor(subsets, device=search.x.device)
    ends = torch.tensor(values, dtype=search.home.dtype, device=search.x.device)
    for part in blocks(len(features), search.moves.features):
        trial = search.home[row].repeat(len(features[part]), 1).scatter_(1, features[part], ends[part])
        found = search.ask(trial, rows.expand(len(trial)))
        lowest = found.argmin()
        search.offer(rows, trial[lowest, None], found[lowest, None])
