"""Why an alarm: the present features that raised the score, and the few that alone suffice for it.

For a monotone detector "suffice" is a proof: whatever else an attacker adds or leaves out of the other rising features,
these keep the row above the threshold; free and falling features are as they are. By a victim, as attacks take it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attack import Moves, Victim, scores
from ..directions import INCREASING
from ._deletion import blocks, deleted
from ._reasons import importance

MOST_REASONS = 8
# Rows are asked in batches of the size they come in, which may differ in the last bits from the detector's own blocks:
# what is called sufficient stays above the threshold by more than that.
MARGIN = 1e-5


@dataclass(frozen=True)
class Explanation:
    """Of one alarm.

    Args:
        score: its logit.
        reasons: (feature index, share of the way from the empty row's score to this one's), the largest first found.
        sufficient: feature indices; the row with only these is still above the threshold, and with any one of them less
            it is not, or by no more than `MARGIN` (of the threshold, of 1 at least). Empty if even the full row is not
            above it.
    """

    score: float
    reasons: tuple[tuple[int, float], ...]
    sufficient: tuple[int, ...]


def explain(victim: Victim, row: Tensor, moves: Moves, threshold: float) -> Explanation:
    """Reasons and a minimal sufficient set of one row, by exact scores.

    Args:
        victim: answers scores.
        row: shape (d,).
        moves: its increasing addable features are what is explained; all others stay as they are.
        threshold: of the detector.

    Cost: a forward pass for each active feature, twice, and `MOST_REASONS` more rounds.
    Source: greedy deletion of Marques-Silva et al., "Explanations for Monotonic Classifiers" (ICML 2021), findAXp.
    """
    active = torch.nonzero((row > 0) & moves.addable & (moves.directions == INCREASING)).flatten()
    full = float(scores(victim, row[None])[0])
    bare = row.clone()
    bare[active] = 0.0
    return Explanation(
        full, _reasons(victim, row, bare, active, full), _sufficient(victim, row, active, threshold, full)
    )


def _reasons(victim: Victim, row: Tensor, bare: Tensor, active: Tensor, full: float) -> tuple[tuple[int, float], ...]:
    """Features put back one by one, each time the one that raises the score most."""
    now, score = bare.clone(), float(_ask(victim, bare[None])[0])
    way = full - score
    left: list[int] = active.tolist()
    found: list[tuple[int, float]] = []
    while left and len(found) < MOST_REASONS and way > 0 and full - score > 0.01 * way:
        trial = now.repeat(len(left), 1)
        trial[torch.arange(len(left)), left] = row[left]
        after = _ask(victim, trial)
        best = int(after.argmax())
        if not float(after[best]) > score:
            break
        # Batches differ in the last bits: no share may be more than what the others leave.
        rest = 1.0 - sum(share for _, share in found)
        found.append((left[best], min((float(after[best]) - score) / way, rest)))
        now[left[best]], score = row[left[best]], float(after[best])
        left.pop(best)
    return tuple(found)


def _ask(victim: Victim, x: Tensor) -> Tensor:
    """Scores without the padding to full blocks: a hundred small questions in place of a hundred large ones."""
    return victim.score(x).double()


def _sufficient(victim: Victim, row: Tensor, active: Tensor, threshold: float, full: float) -> tuple[int, ...]:
    """What is left when features are taken out, least useful first, as long as the score stays above the threshold."""
    if not full > threshold:
        return ()
    enough = threshold + MARGIN * max(1.0, abs(threshold))
    signs = np.zeros(len(row), dtype=np.int64)
    signs[active.numpy()] = INCREASING

    def asked(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return _ask(victim, torch.from_numpy(rows)).numpy()

    rows = row[None].numpy()
    falls = importance(asked, rows, signs)
    (block,) = blocks(rows, asked, signs, np.zeros(len(row)), falls)
    kept = deleted(block, enough, bisect=False) != 0
    return tuple(sorted(block.slots.column[kept].tolist()))
