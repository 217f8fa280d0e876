"""A file of any size to logits, a block at a time, so that memory does not grow with the file.

- the logits are those of `NetworkScorer`, to the bit: the largest and the sum over names do not depend on how they are
  found, and all that follows goes through the same blocks of the same shape;
- what a row is worth does not depend on its neighbours, on the order of the rows, or on where blocks end;
- while one block is scored, the next is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .data import Encoder, Examples, read_blocks
from .errors import BadInput, NoMatch
from .nn import Bag, MonotoneEnsemble
from .training import SCORING_ROWS

STDIN = "-"
# Rows with more names than this are pooled one by one: the others need not wait for them.
_LONG = 512


class Scorer(Protocol):
    """What gives a number per row: higher is worse."""

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """Shape (rows,)."""
        ...


@dataclass(frozen=True)
class Scores:
    """Some consecutive rows of a file, scored.

    Args:
        first: which row of the file comes first, from 0.
        logits: shape (rows,), float64; NaN for the rows in `failures`.
        failures: row here -> why it could not be read.
        unknown: shape (rows,): names of each row that the model does not know.
        table: the columns that were asked for.
        examples: the rows as the network takes them.
    """

    first: int
    logits: NDArray[np.float64]
    failures: Mapping[int, str]
    unknown: NDArray[np.int64]
    table: Any
    examples: Examples

    def __len__(self) -> int:
        return len(self.logits)

    def alarms(self, threshold: float) -> NDArray[np.bool_]:
        """Shape (rows,). What could not be read, or has no score, is an alarm: else that would be the evasion."""
        return ~(self.logits <= threshold)


def score_blocks(
    encoder: Encoder,
    scorer: Scorer,
    path: str | os.PathLike[str],
    extra: Sequence[str] = (),
    *,
    option: str = "--id",
    rows: int = 4096,
    exact: bool = False,
) -> Iterator[Scores]:
    """The rows of a file in their order, in blocks.

    Args:
        encoder, scorer: of a model folder.
        path: CSV, TSV, Parquet, JSONL, SVMlight; "-" is standard input, in JSONL, answered as it comes.
        extra: more columns to hand on.
        option: what asked for them, for errors.
        rows: the most in a block.
        exact: read the cells of `extra` as they stand, by `isotone.data.cells_of`.

    Raises:
        BadInput: the file cannot be read at all, or lacks a column that the model needs.
        NoMatch: a column of `extra` is not there.

    Cost: memory of a few blocks; see benchmarks/scoring.py.
    """
    blocks = _blocks(path, encoder.needs, extra, option, rows, exact=exact)
    # Waiting for standard input in a thread of its own would keep a closed pipe from ending the program.
    for block in blocks if str(path) == STDIN else ahead(blocks):
        examples = encoder.encode(block.table, "collect", block.failures)
        logits = scorer.logits(examples)
        logits[list(examples.failures)] = np.nan
        yield Scores(
            block.first, logits, examples.failures, examples.unknown, block.table.select(list(extra)), examples
        )


def no_pipe(path: str | os.PathLike[str], where: str) -> None:
    """Refuse standard input for what reads its rows more than once.

    Raises:
        BadInput: it came.
    """
    if str(path) == STDIN:
        raise BadInput(where, "standard input came", "a file would be right, since it is read more than once")


def _blocks(
    path: str | os.PathLike[str], needed: Sequence[str], extra: Sequence[str], option: str, rows: int, *, exact: bool
) -> Iterator[Any]:
    """The columns that the model needs, and those that the caller asked for."""
    columns = dict.fromkeys((*needed, *extra))
    try:
        apart = set(extra) - set(needed) if exact else ()  # what the model reads has to stay a number
        yield from read_blocks(path, rows, columns=columns, exact=apart)
    except BadInput:
        # A column that is missing is said to be the model's; these are the caller's.
        own = [name for name in extra if name not in needed]
        if not own or str(path) == STDIN:
            raise
        first = next(read_blocks(path), None)
        if first is None:  # a header and no rows: is it whole without what the caller asked for?
            next(read_blocks(path, columns=dict.fromkeys(needed)), None)
        came = list(needed) if first is None else first.table.column_names
        for name in own:
            if name not in came:
                raise NoMatch(option, name, came, "column") from None
        raise


def ahead(source: Iterator[Any]) -> Iterator[Any]:
    """The same, with the next one made while this one is used."""
    nothing = object()
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(next, source, nothing)
        while (here := coming.result()) is not nothing:
            coming = worker.submit(next, source, nothing)
            yield here


class PreparedScorer:
    """An ensemble that has been looked at once, to score many rows.

    Args:
        network: in eval mode; it must not change afterwards.
    """

    def __init__(self, network: MonotoneEnsemble) -> None:
        self.network = network.eval()
        with torch.no_grad():
            self._largest = [_pool_rows(member.name_max) for member in network.networks]
            self._sums = [_pool_rows(member.name_sum) for member in network.networks]
        found = [rows.numpy() for rows in self._largest if rows is not None]
        self._side_by_side = np.ascontiguousarray(np.concatenate(found, axis=1)) if found else None

    @torch.no_grad()
    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """Shape (rows,)."""
        rows = len(examples)
        found = np.empty(rows)
        if not rows:
            return found
        pools = self._pools(examples)
        numbers = torch.from_numpy(examples.columns)
        for start in range(0, rows, SCORING_ROWS):
            # Filled up with copies of the last row: one shape, so one order of summation.
            at = torch.arange(start, start + SCORING_ROWS).clamp(max=rows - 1)
            part = [
                member._score(member._first([pool[at] for pool in of_member], numbers[at]))
                for member, of_member in zip(self.network.networks, pools, strict=True)
            ]
            found[start : start + SCORING_ROWS] = torch.stack(part).mean(dim=0).double().numpy()[: rows - start]
        return found

    def _pools(self, examples: Examples) -> list[list[Tensor]]:
        """What the names of each row come to, for each member: the largest, the sum, or both."""
        matrix = examples.names
        largest: list[Tensor] = []
        if self._side_by_side is not None:
            whole = torch.from_numpy(largest_of(matrix.indices, matrix.indptr, self._side_by_side))
            widths = [len(rows.T) for rows in self._largest if rows is not None]
            largest = list(torch.split(whole, widths, dim=1))
        bag = None
        if any(rows is not None for rows in self._sums):
            bag = Bag(
                torch.from_numpy(matrix.indices.astype(np.int64)), torch.from_numpy(matrix.indptr[:-1].astype(np.int64))
            )
        found: list[list[Tensor]] = []
        for in_max, in_sum in zip(self._largest, self._sums, strict=True):
            pools = [] if in_max is None else [largest.pop(0)]
            if in_sum is not None and bag is not None:
                pools.append(nn.functional.embedding_bag(bag.ids, in_sum, bag.offsets, mode="sum"))
            found.append(pools)
        return found


def _pool_rows(pool: Any) -> Tensor | None:
    return None if pool is None else pool.rows.detach().cpu().contiguous()


def largest_of(indices: NDArray[Any], starts: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest of the weights of each row's names, and of 0, column by column: shape (rows, columns).

    All first names at once, then all second ones, and so on: long rows first, so that those which have a k-th name
    stand together. A few times faster than `embedding_bag(mode="max")`, with the same numbers.
    """
    begin, length = starts[:-1], np.diff(starts)
    order = np.argsort(-length, kind="stable")
    begin, length = begin[order], length[order]
    found = np.zeros((len(order), weights.shape[1]), np.float32)
    buffer = np.empty_like(found)
    long = int((length > _LONG).sum())
    for row in range(long):
        for at in range(begin[row], begin[row] + length[row], _LONG):
            names = indices[at : min(at + _LONG, begin[row] + length[row])]
            np.maximum(found[row], weights[names].max(axis=0), out=found[row])
    most = int(length[long]) if long < len(length) else 0
    ends = np.searchsorted(-length, -np.arange(1, most + 1), side="right")
    for place, end in enumerate(ends.tolist()):
        some = slice(long, end)
        np.take(weights, indices[begin[some] + place], axis=0, out=buffer[some], mode="clip")
        np.maximum(found[some], buffer[some], out=found[some])
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return found[back]
