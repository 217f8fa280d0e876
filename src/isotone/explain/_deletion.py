"""Take evidence out of many rows at once, step by step, as long as each row's score stays above the threshold.

- a slot is one piece of evidence of one row: a feature that is beyond its baseline, on the side that raises the score;
- every state that is kept was scored: what comes out is above the threshold as asked, whatever the function does;
- rows go in lock-step: one call of the scores per step, with one trial of each row that is not done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require

Scores = Callable[[Any], NDArray[Any]]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The dense copies of a block of rows stay below this.
BYTES = 1 << 26


@dataclass(frozen=True)
class Slots:
    """Evidence of a block of rows, sorted by row, and in each row by the order of trials.

    Args:
        row, column: shape (slots,).
        full, empty: shape (slots,): the value in the row, and the one without this evidence.
        starts: shape (rows + 1,): the slots of row i are starts[i] to starts[i + 1].
    """

    row: Ints
    column: Ints
    full: Floats
    empty: Floats
    starts: Ints


class Block:
    """Some rows, and what a function says of them when slots have other values."""

    def __init__(
        self, X: Any, scores: Scores, signs: Ints, baseline: Floats, importance: Floats | None, *, sparse: bool
    ) -> None:
        self.about = (scores, signs, baseline, importance)
        self.sparse = sparse
        self.dense = X if np.issubdtype(X.dtype, np.floating) else X.astype(np.float64)
        values = self.dense.astype(np.float64)
        row, column = np.nonzero((values - baseline) * signs > 0)
        if importance is not None:
            order = np.lexsort((importance[column], row))
            row, column = row[order], column[order]
        starts = np.searchsorted(row, np.arange(len(values) + 1))
        self.slots = Slots(row, column, values[row, column], baseline[column], starts)

    def part(self, rows: Ints) -> Block:
        """Some rows as they stand: what was emptied is no slot of theirs."""
        return Block(self.dense[rows], *self.about, sparse=self.sparse)

    def whole(self) -> Floats:
        """Scores of the block as it stands."""
        return self._ask(self.dense.copy())

    def ask(self, rows: Ints, column: Ints, value: Floats) -> Floats:
        """Scores of `rows` (of the block as it stands), where trial i has `value[i]` in `column[i]`."""
        trial = self.dense[rows]
        trial[np.arange(len(rows)), column] = value
        return self._ask(trial)

    def keep(self, rows: Ints, column: Ints, value: Floats) -> None:
        self.dense[rows, column] = value

    def _ask(self, trial: NDArray[Any]) -> Floats:
        given = require("scipy.sparse", "tables").csr_matrix(trial) if self.sparse else trial
        found = np.asarray(self.about[0](given), dtype=np.float64)
        if found.shape != (len(trial),):
            raise BadInput("scores", f"shape {found.shape} came for {len(trial)} rows", "one score per row is right")
        return found


def blocks(X: Any, scores: Scores, signs: Ints, baseline: Floats, importance: Floats | None) -> Iterator[Block]:
    """The rows, as many at a time as fit into `BYTES`."""
    for part in fitting(int(X.shape[0]), int(X.shape[1])):
        some = X[part]
        sparse = hasattr(some, "tocsr")
        yield Block(np.array(some.toarray() if sparse else some), scores, signs, baseline, importance, sparse=sparse)


def fitting(count: int, width: int) -> Iterator[slice]:
    """`count` rows, in slices of as many as fit into `BYTES`."""
    most = max(1, BYTES // (8 * max(1, width)))
    return (slice(start, min(start + most, count)) for start in range(0, count, most))


def deleted(block: Block, threshold: float, *, bisect: bool = True) -> Floats:
    """The value left in each slot, when slots are emptied in their order and put back where the alarm would end.

    A count that cannot be emptied is lowered to the least whole number that suffices, by bisection. For a score that
    never falls along the directions no slot can then be lowered further: what was refused was refused beside more
    evidence than there is at the end.

    Cost: one score per slot and row; beside it log2 of each count that stays.
    """
    slots = block.slots
    left = slots.full.copy()
    # Up to here every whole number is a number of the rows' own type, and a half way between two of them is another.
    exact = 2.0 ** np.finfo(block.dense.dtype).nmant
    whole = (left == np.floor(left)) & (slots.empty == np.floor(slots.empty)) & bisect
    whole &= np.maximum(np.abs(left), np.abs(slots.empty)) < exact / 2
    place, end = slots.starts[:-1].copy(), slots.starts[1:]
    failed = slots.empty.copy()  # known not to suffice, once `tried`
    tried = np.zeros(len(left), dtype=bool)
    while len(rows := np.flatnonzero(place < end)):
        at = place[rows]
        half = failed[at] + np.trunc((left[at] - failed[at]) / 2)
        trial = np.where(tried[at], half, slots.empty[at])
        enough = block.ask(rows, slots.column[at], trial) > threshold
        good, bad = at[enough], at[~enough]
        left[good] = trial[enough]
        block.keep(rows[enough], slots.column[good], left[good])
        failed[bad], tried[bad] = trial[~enough], True
        done = (left[at] == slots.empty[at]) | ~whole[at] | (np.abs(left[at] - failed[at]) <= 1)
        place[rows[done]] += 1
    return left
