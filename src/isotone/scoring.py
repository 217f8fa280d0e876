"""Scores of a file of any size: a block at a time, so that memory does not grow with the file.

A row that cannot be read fails closed: it is named, and it is an alarm. Else being unreadable would be the evasion.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .data import Block, read_blocks
from .errors import BadInput, NoMatch
from .families import NetworkScorer
from .model_folder import ModelFolder


@dataclass(frozen=True)
class Scored:
    """One row: its number in the file from 1, its name if a column was given, and what was found.

    A row that could not be read has the error, an alarm, and no score.
    """

    row: int
    id: str
    score: float | None
    logit: float | None
    alarm: bool
    unknown: int
    error: str = ""


def score_file(folder: ModelFolder, path: str | os.PathLike[str], id_column: str | None = None) -> Iterator[Scored]:
    """The rows of a file, in their order.

    Args:
        folder: the model.
        path: CSV, TSV, Parquet or JSONL.
        id_column: a column that names the rows.

    Raises:
        BadInput: the file cannot be read at all, or lacks a column that the model needs.
        NoMatch: no such id column.

    Cost: some ten thousand rows a second; memory of one block.
    """
    scorer = NetworkScorer(folder.network)
    for block in _blocks(path, folder.encoder.needs, id_column):
        examples = folder.encoder.encode(block.table, "collect", block.failures)
        logits = scorer.logits(examples)
        ids = block.table[id_column].to_pylist() if id_column else [""] * len(block)
        shares = 1 / (1 + np.exp(-logits))
        for at in range(len(block)):
            number, name = block.first + at + 1, "" if ids[at] is None else str(ids[at])
            if at in examples.failures:
                yield Scored(number, name, None, None, alarm=True, unknown=0, error=examples.failures[at])
            else:
                logit = float(logits[at])
                alarm = not logit <= folder.threshold  # so that NaN is an alarm
                yield Scored(number, name, float(shares[at]), logit, alarm, int(examples.unknown[at]))


def _blocks(path: str | os.PathLike[str], needed: Sequence[str], id_column: str | None) -> Iterator[Block]:
    """The columns that the model needs, and the one that names the rows."""
    columns = dict.fromkeys((*needed, *([] if id_column is None else [id_column])))
    try:
        yield from read_blocks(path, columns=columns)
    except BadInput:
        # A column that is missing is said to be the model's; this one is the caller's.
        first = None if id_column is None or id_column in needed else next(read_blocks(path), None)
        if id_column is not None and first is not None and id_column not in first.table.column_names:
            raise NoMatch("--id", id_column, first.table.column_names, "column") from None
        raise
