"""A new threshold from fresh benign rows, without retraining: weights, encoder, threat and proof stay as they are.

- a proof that no addition lowers the score is a proof at every threshold, so the certificate stays; it is bound to the
  new threshold anew;
- too few rows for the rate are refused; rows that cannot be read are alarms at any threshold and count as such;
- the older model stays until the new one is whole, and beside it as a backup.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import Examples, labels_of
from .errors import BadInput, CannotWrite, NoMatch
from .evaluation import Interval, clopper_pearson, require_support, whole_share
from .model_folder import Model, writable
from .streaming import no_pipe, score_blocks


@dataclass(frozen=True)
class Calibration:
    """What was done.

    Args:
        folder: with the new threshold.
        rate: the false-alarm rate that was asked for.
        old_threshold: of the network, or of a guarded detector's floor.
        before: false alarms of these rows at the old threshold.
        after: at the new one.
        failed: rows that could not be read; alarms in both.
        distinct: different scores among the rows: far fewer than rows say that rows repeat, and weigh less than their
            number.
    """

    folder: Model
    rate: float
    old_threshold: float
    before: Interval
    after: Interval
    failed: int
    distinct: int

    def __str__(self) -> str:
        lines = [
            f"{self.after.of:,} benign rows, {self.distinct:,} different scores, {self.failed:,} could not be read",
            f"threshold     {self.old_threshold:.6g} -> {self.folder.floor_threshold:.6g}",
            f"false alarms  {_said(self.before)} -> {_said(self.after)}",
        ]
        return "\n".join(lines)


def calibrate(folder: Model, path: str | os.PathLike[str], rate: float) -> Calibration:
    """The folder with a threshold above which no more than `rate` of some benign rows score.

    Args:
        folder: the model.
        path: a file of benign rows, as for `score`; fresh ones, drawn as those to come will be.
        rate: the share of benign rows that may be alarms.

    Raises:
        BadInput: too few rows for the rate; rows labelled bad among them; more rows that cannot be read than may be
            alarms; a folder that is not what its certificate covers.

    Cost: scores the rows twice, once with the twin.
    """
    no_pipe(path, "calibrate")
    if changed := folder.changes():
        raise BadInput("calibrate", changed[0], "a folder as it was when its certificate was made", "Train again.")
    logits, examples = _scored(folder, path)
    failed = int(np.isinf(logits).sum())
    require_support(rate, len(logits), str(path))
    if failed > whole_share(rate, len(logits)):
        raise BadInput(
            str(path),
            f"{failed} of {len(logits)} rows cannot be read, and are alarms at any threshold",
            f"no more than {rate:.2%} may be alarms",
            "`isotone score` names them.",
        )
    found = folder.calibrated(logits, examples, rate)
    scorer = found.scorer()
    now = np.concatenate([_infinite(scorer.logits(part), part.failures) for part in examples])
    before, after = _interval(logits, folder.threshold), _interval(now, found.threshold)
    done = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": Path(path).name,
        "rows": len(logits),
        "rate": rate,
        "old_threshold": folder.floor_threshold,
        "new_threshold": found.floor_threshold,
        "false_alarms": asdict(after),
    }
    told = replace(found, facts={**folder.facts, "calibrations": [*folder.facts.get("calibrations", []), done]})
    distinct = len(np.unique(logits[np.isfinite(logits)]))
    return Calibration(told, rate, folder.floor_threshold, before, after, failed, distinct)


def save_in_place(folder: Model, place: str | os.PathLike[str]) -> Path:
    """Replace the model at a place, and keep what was there beside it; gives where the backup is.

    A link is followed: the folder that it names is replaced, and the link stays.

    Raises:
        BadInput: there is more than a model in the folder; then nothing is changed.
        CannotWrite: the backup cannot be made; then nothing is changed.
    """
    older = Path(place).resolve()
    writable(older, replace=True)
    backup = _free_name(older)
    try:
        shutil.copytree(older, backup)
    except OSError as fault:
        shutil.rmtree(backup, ignore_errors=True)
        raise CannotWrite(backup, fault.strerror or fault) from None
    folder.save(older, replace=True)
    return backup


def _free_name(place: Path) -> Path:
    number = 1
    while os.path.lexists(found := place.with_name(f"{place.name}.backup-{number}")):
        number += 1
    return found


def _scored(folder: Model, path: Any) -> tuple[NDArray[np.float64], list[Examples]]:
    """Of every row the logit, infinite where it could not be read; and the rows themselves, in parts."""
    found, examples = [np.empty(0)], []
    label = _label(folder, path)
    for block in score_blocks(folder.encoder, folder.scorer(), path, () if label is None else (label,)):
        found.append(_infinite(block.logits, block.failures))
        examples.append(block.examples)
        if label is not None:
            _all_benign(folder, block, label, path)
    return np.concatenate(found), examples


def _infinite(logits: NDArray[np.float64], failures: Mapping[int, str]) -> NDArray[np.float64]:
    changed = np.where(np.isnan(logits), np.inf, logits)
    changed[list(failures)] = np.inf
    return changed


def _label(folder: Model, path: Any) -> str | None:
    """The column of labels, if the file has it."""
    try:
        next(score_blocks(folder.encoder, folder.scorer(), path, (folder.question.label,), rows=1), None)
    except NoMatch:
        return None
    return folder.question.label


def _all_benign(folder: Model, block: Any, label: str, path: Any) -> None:
    good = np.ones(len(block), np.bool_)
    good[list(block.failures)] = False
    cells = block.table[label].is_valid().to_numpy() & good
    if not cells.any():
        return
    words = (folder.question.positive, folder.question.negative)
    labels = labels_of(block.table.take(np.flatnonzero(cells)), label, *words, both=False)
    if labels.any():
        row = block.first + int(np.flatnonzero(cells)[np.flatnonzero(labels)[0]]) + 1
        raise BadInput(f"{path}, row {row}", "it is labelled bad", "benign rows alone set a threshold", "Take it out.")


def _interval(logits: NDArray[np.float64], threshold: float) -> Interval:
    return clopper_pearson(int((~(logits <= threshold)).sum()), len(logits))


def _said(found: Interval) -> str:
    return f"{found.rate:.2%} ({found.low:.2%} to {found.high:.2%})"
