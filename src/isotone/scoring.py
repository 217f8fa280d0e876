"""Scores of a file of any size, as records: JSON lines, or a table.

- a row that cannot be read fails closed: it is named, and it is an alarm; else being unreadable would be the evasion;
- an alarm is called certified only if the folder's proof is of this network, and the folder still is what was proved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import cells_of
from .model_folder import Model
from .streaming import Scores, score_blocks

NO_NUMBER = "its score is not a number"


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


@dataclass
class Tally:
    """How many rows there were, and what became of them; `errors` holds those of the last lines only."""

    rows: int = 0
    alarms: int = 0
    failed: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.alarms} alarms, {self.failed} could not be read"


def score_file(folder: Model, path: str | os.PathLike[str], id_column: str | None = None) -> Iterator[Scored]:
    """The rows of a file, in their order.

    Args:
        folder: the model.
        path: CSV, TSV, Parquet, JSONL or SVMlight; "-" is standard input, in JSONL.
        id_column: a column that names the rows.

    Raises:
        BadInput: the file cannot be read at all, or lacks a column that the model needs.
        NoMatch: no such id column.

    Cost: some ten thousand rows a second; memory of a few blocks.
    """
    for block in _scored(folder, path, id_column):
        names, shares = _names(block, id_column), _shares(block.logits)
        alarms = block.alarms(folder.threshold)
        for at in range(len(block)):
            number, name = block.first + at + 1, "" if names[at] is None else str(names[at])
            if at in block.failures:
                yield Scored(number, name, None, None, alarm=True, unknown=0, error=block.failures[at])
            else:
                logit = float(block.logits[at])
                yield Scored(number, name, float(shares[at]), logit, bool(alarms[at]), int(block.unknown[at]))


def score_records(
    folder: Model,
    path: str | os.PathLike[str],
    id_column: str | None = None,
    *,
    reasons: bool = False,
    tally: Tally | None = None,
) -> Iterator[str]:
    """The rows of a file as JSON lines, a block of them at a time.

    Args:
        folder, path, id_column: as `score_file`.
        reasons: whether each alarm brings its reasons and a sufficient few of its features; some hundred forward
            passes each.
        tally: is kept up to date.

    Raises:
        BadInput, NoMatch: as `score_file`.

    A record has `row`, `id`, `score` (0 to 1), `logit`, `threshold`, `fpr_target`, `verdict` ("alarm" or "clear"),
    `certified` (`add_any`: whether no addition can undo the alarm; `margin`: how far the logit is above the threshold),
    `reasons` and `sufficient` (null unless asked for), `unknown` (names that the model does not know), `model`, and
    `errors`: null, or why the row could not be read, and then it is an alarm.
    """
    tally = Tally() if tally is None else tally
    writer = _Writer(folder, reasons=reasons)
    for block in _scored(folder, path, id_column):
        lines = writer.lines(block, _names(block, id_column))
        tally.rows += len(block)
        tally.alarms += int(block.alarms(folder.threshold).sum())
        tally.failed += len(block.failures)
        tally.errors = [(block.first + at + 1, why) for at, why in block.failures.items()]
        yield "".join(lines)


def _scored(folder: Model, path: str | os.PathLike[str], id_column: str | None) -> Iterator[Scores]:
    return score_blocks(folder.encoder, folder.scorer(), path, () if id_column is None else (id_column,), exact=True)


def _names(block: Scores, id_column: str | None) -> Sequence[Any]:
    return cells_of(block.table, id_column) if id_column else [None] * len(block)


def _shares(logits: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits))


class _Writer:
    """Rows to lines; what is the same in all of them is written once."""

    def __init__(self, folder: Model, *, reasons: bool) -> None:
        self._folder = folder
        self._reasons = reasons
        self._certified = folder.certified
        target = folder.question.max_false_alarm_rate
        self._known = f'"threshold":{folder.threshold!r},"fpr_target":{target!r},'
        self._model = json.dumps(f"sha256:{folder.parts()['sha256']}")

    def lines(self, block: Scores, names: Sequence[Any]) -> list[str]:
        """One for each row, each with its end."""
        known, model = self._known, self._model
        clear = (
            '"verdict":"clear","certified":{"add_any":false,"margin":null},"reasons":null,"sufficient":null,"unknown":'
        )
        end = f',"model":{model},"errors":null}}\n'
        alarms = block.alarms(self._folder.threshold)
        ids = [name if isinstance(name, str | None) else _plain(name) for name in names]
        encoded = ["null" if name is None else json.dumps(name) for name in ids]
        rows = zip(
            range(block.first + 1, block.first + len(block) + 1),
            encoded,
            _shares(block.logits).tolist(),
            block.logits.tolist(),
            block.unknown.tolist(),
            strict=True,
        )
        found = [
            f'{{"row":{row},"id":{name},"score":{share:.6g},"logit":{logit!r},{known}{clear}{unknown}{end}'
            for row, name, share, logit, unknown in rows
        ]
        at = np.flatnonzero(alarms & np.isfinite(block.logits))
        if len(at):
            self._alarms(found, block, at, encoded)
        for row in np.flatnonzero(~np.isfinite(block.logits)).tolist():
            found[row] = self._failed(block, row, encoded[row])
        return found

    def _failed(self, block: Scores, at: int, name: str) -> str:
        errors = json.dumps([block.failures.get(at, NO_NUMBER)])
        return (
            f'{{"row":{block.first + at + 1},"id":{name},"score":null,"logit":null,{self._known}"verdict":"alarm",'
            '"certified":{"add_any":false,"margin":null},"reasons":null,"sufficient":null,'
            f'"unknown":{int(block.unknown[at])},"model":{self._model},"errors":{errors}}}\n'
        )

    def _alarms(self, found: list[str], block: Scores, at: NDArray[np.int64], encoded: Sequence[str]) -> None:
        examples = block.examples.take(at)
        margins = self._folder.margins(examples, block.logits[at])
        why = [_told(*told) for told in self._folder.why(examples)] if self._reasons else [NOT_ASKED] * len(at)
        for place, row in enumerate(at.tolist()):
            # Of what can be undone no margin is told: it would be read as one.
            sure = bool(self._certified and margins[place] > 0)
            certified = f'"add_any":true,"margin":{margins[place]:.6g}' if sure else '"add_any":false,"margin":null'
            found[row] = (
                f'{{"row":{block.first + row + 1},"id":{encoded[row]},"score":{_shares(block.logits[row]):.6g},'
                f'"logit":{float(block.logits[row])!r},{self._known}"verdict":"alarm","certified":{{{certified}}},'
                f'{why[place]},"unknown":{int(block.unknown[row])},"model":{self._model},"errors":null}}\n'
            )


NOT_ASKED = '"reasons":null,"sufficient":null'


def _told(reasons: list[tuple[str, float]], sufficient: list[str]) -> str:
    shares = [{"feature": name, "evidence": round(share, 4)} for name, share in reasons]
    return f'"reasons":{json.dumps(shares)},"sufficient":{json.dumps(sufficient)}'


def _plain(name: Any) -> Any:
    """A name as JSON can hold it; whole numbers without a point."""
    if isinstance(name, float) and name.is_integer():
        return int(name)
    return name if isinstance(name, bool | int) or (isinstance(name, float) and np.isfinite(name)) else str(name)
