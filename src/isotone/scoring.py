"""Scores of a file of any size: a block at a time, so that memory does not grow with the file.

A row that cannot be read fails closed: it is named, and it is an alarm. Else being unreadable would be the evasion.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .data import read_blocks
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
    columns = (*folder.encoder.needs, *([id_column] if id_column else []))
    for block in read_blocks(path, columns=list(dict.fromkeys(columns))):
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
                alarm = logit > folder.threshold
                yield Scored(number, name, float(shares[at]), logit, alarm, int(examples.unknown[at]))
