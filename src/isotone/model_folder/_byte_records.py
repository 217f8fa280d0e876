"""What a detector of raw files says of each file of a folder, as lines of JSON.

- whatever lies in the folder has a line; what cannot be read to its end is an alarm, with the reason;
- an alarm tells what it is certified against, and only while the folder is what was proved.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..bounds import Edits, byte_floor, byte_reasons
from ..errors import BadInput
from ..files import FileBytes, Layout, Refused, layout
from ._bytes import ByteFolder

NO_NUMBER = "its score is not a number"
# The proof is one in real arithmetic; in floats an ELU of the head can fall by a unit in the last place.
ROUNDING = 1e-4
A_LINK = "it is a link to a folder, which is not followed"


@dataclass
class FileTally:
    """How many files there were, and what became of them."""

    files: int = 0
    alarms: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.files} files, {self.alarms} alarms, {self.failed} could not be read"


def file_records(
    folder: ByteFolder, place: str | os.PathLike[str], *, reasons: bool = False, tally: FileTally | None = None
) -> Iterator[str]:
    """A line for each file.

    Args:
        folder: the model.
        place: a file, or a folder, with all that is in it.
        reasons: whether each alarm brings the windows that are enough for it, and what remains of its score when the
            headers and the slack of the file are overwritten; two more passes.
        tally: is kept up to date.

    Raises:
        BadInput: there is nothing at that place.

    A record has `file`, `bytes`, `score` (0 to 1), `logit`, `threshold`, `fpr_target`, `verdict` ("alarm" or "clear"),
    `certified` (`append_any`: whether nothing that is appended can undo the alarm, which is then 1e-4 or more above the
    threshold; `insert_multiples_of`: neither can what is inserted at multiples of so many bytes, in multiples of them;
    `margin`: how far the logit is above the threshold), `reasons` (byte ranges, the section, function or exported name
    they fall in, and the logit of each with those before it alone), `rewritten` (`logit`: what is left with headers and
    slack overwritten and sections inserted; `alarm`), `format` ("ELF", "PE", null, or why its headers were not read),
    `model`, and `errors`: null, or why the file could not be read, and then it is an alarm.

    Cost: the bytes of each file once, memory of one block.
    """
    if not os.path.lexists(place):
        raise BadInput(str(place), "no such file or folder", "a file, or a folder of files, is right")
    tally = FileTally() if tally is None else tally
    writer = _Writer(folder, reasons=reasons)
    for path, fault in _files(Path(place)):
        record = writer.failed(str(path), fault) if fault else writer.record(path)
        tally.files += 1
        tally.alarms += record["verdict"] == "alarm"
        tally.failed += record["errors"] is not None
        yield json.dumps(record) + "\n"


def _files(place: Path) -> Iterator[tuple[Path, str]]:
    """(path, why it cannot be read, if that is known) of all that is there, in the order of names."""
    waiting = [(place, place.is_dir())]  # no recursion: somebody may have made a very deep folder
    while waiting:
        path, inside = waiting.pop()
        if not inside:
            yield path, A_LINK if path.is_dir() else ""
            continue
        try:
            with os.scandir(path) as entries:
                found = sorted((Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries)
        except OSError as fault:
            yield path, f"its files cannot be listed ({fault.strerror or fault})"
            continue
        waiting += reversed(found)


class _Writer:
    """Files to records; what is the same in all of them is asked once."""

    def __init__(self, folder: ByteFolder, *, reasons: bool) -> None:
        self._detector = folder.detector
        self._reasons = reasons
        self._certified = folder.certified
        self._model = f"sha256:{folder.parts()['sha256']}"
        windows = folder.detector.network.windows
        self._insert = windows.stride if windows.stride >= windows.size else None

    def record(self, path: Path) -> dict[str, Any]:
        """Of one file."""
        name, network, threshold = str(path), self._detector.network, self._detector.threshold
        try:
            with FileBytes(path) as file, torch.no_grad():
                logit = float(network([file])[0, 0])
                if not math.isfinite(logit):
                    return self.failed(name, NO_NUMBER, len(file))
                found = self._record(name, len(file), logit)
                if self._reasons and logit > threshold:
                    found |= self._why(file, path)
        except Refused as fault:
            return self.failed(name, fault.reason)
        return found

    def failed(self, name: str, fault: str, size: int | None = None) -> dict[str, Any]:
        """Of a file that has no score."""
        return self._record(name, size, None) | {"errors": [fault]}

    def _record(self, name: str, size: int | None, logit: float | None) -> dict[str, Any]:
        threshold = self._detector.threshold
        alarm = logit is None or logit > threshold
        sure = self._certified and logit is not None and logit - threshold > ROUNDING
        return {
            "file": name,
            "bytes": size,
            "score": None if logit is None else 1 / (1 + math.exp(-max(-700.0, min(700.0, logit)))),
            "logit": logit,
            "threshold": threshold,
            "fpr_target": self._detector.facts.get("max_false_alarm_rate"),
            "verdict": "alarm" if alarm else "clear",
            "certified": {
                "append_any": sure,
                "insert_multiples_of": self._insert if sure else None,
                "margin": logit - threshold if sure and logit is not None else None,
            },
            "reasons": None,
            "rewritten": None,
            "format": None,
            "model": self._model,
            "errors": None,
        }

    def _why(self, file: FileBytes, path: Path) -> dict[str, Any]:
        network, threshold = self._detector.network, self._detector.threshold
        parts: Layout | None = None
        said: str | None = None
        try:
            parts = layout(file, path)
            said = parts.format or None
        except Refused as fault:  # of its headers only: its bytes have a score all the same
            said = fault.reason
        stretches = byte_reasons(network, file, threshold, parts=parts).stretches if self._certified else ()
        found: dict[str, Any] = {
            "reasons": [
                {"start": s.start, "stop": s.stop, "part": s.part or None, "logit": s.score} for s in stretches
            ],
            "format": said,
        }
        if self._certified and parts is not None and parts.format and self._insert is not None:
            edits = Edits(insertions=None, overwrites=parts.regions("header", "slack"))
            floor = byte_floor(network, file, edits)
            found["rewritten"] = {"logit": float(floor.floor[0]), "alarm": floor.holds(threshold)}
        return found
