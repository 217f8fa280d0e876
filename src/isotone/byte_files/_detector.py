"""A byte network with its threshold: what it says of files, and how it is kept."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .. import saving
from ..errors import BadInput, NotAModel
from ..files import FileBytes, Refused
from ..files._reading import LARGEST, SLOWEST
from ..nn import ByteNetwork

KIND = "ByteDetector"


@dataclass(frozen=True)
class Scanned:
    """What a detector says of one file.

    Args:
        path: of the file.
        alarm: whether it is taken for bad.
        score: its logit; None for a file that was refused.
        refused: why it was not scored, or "".
    """

    path: Path
    alarm: bool
    score: float | None
    refused: str = ""


@dataclass(frozen=True)
class ByteDetector:
    """A byte network with a threshold.

    Args:
        network: of one logit, in evaluation mode.
        threshold: an alarm is a logit above it.
        facts: what training found.
    """

    network: ByteNetwork
    threshold: float
    facts: dict[str, Any] = field(default_factory=dict)

    def scan(
        self, paths: Iterable[str | os.PathLike[str]], *, most: int = LARGEST, seconds: float = SLOWEST
    ) -> Iterator[Scanned]:
        """Judge files one after the other; one that cannot be read within the limits is an alarm.

        Args:
            paths: of files.
            most: the largest length, in bytes.
            seconds: for each file.

        Cost: the bytes of all files, memory of one block.
        """
        for path in paths:
            yield self._scanned(Path(path), most, seconds)

    def _scanned(self, path: Path, most: int, seconds: float) -> Scanned:
        try:
            with FileBytes(path, most=most, seconds=seconds) as file, torch.no_grad():
                score = float(self.network([file])[0, 0])
        except Refused as fault:
            return Scanned(path, True, None, fault.reason)
        # Written so that NaN is an alarm too.
        return Scanned(path, not score <= self.threshold, score)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write weights and settings into a new folder, whole or not at all.

        Raises:
            CannotWrite: the folder is there already, or cannot be made.
        """
        said = {"network": self.network.arguments, "threshold": self.threshold, "found": self.facts}
        saving.write(folder, KIND, said, {name: value.cpu() for name, value in self.network.state_dict().items()})
        return Path(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ByteDetector:
        """Read what `save` wrote. Nothing in it is executed.

        Raises:
            NotAModel: it is not such a folder, or not as it was written.
        """
        try:
            said, state = saving.read(folder, KIND)
            network = ByteNetwork(**said["network"])
            with warnings.catch_warnings():
                # Weights outside their constraints would be projected with a warning: they are not what was trained.
                warnings.simplefilter("error", UserWarning)
                network.load_state_dict(state)
            threshold = float(said["threshold"])
            # Above an infinite one nothing would ever be an alarm.
            if not math.isfinite(threshold) or not all(bool(value.isfinite().all()) for value in state.values()):
                raise NotAModel(Path(folder), "a weight or the threshold is no finite number")
            return cls(network.eval(), threshold, dict(said["found"]))
        except NotAModel:
            raise
        except BadInput as fault:
            raise NotAModel(Path(folder), str(fault).rstrip(".")) from None
        except Exception as fault:  # torn and forged files fail in many ways
            raise NotAModel(Path(folder), f"it cannot be read ({type(fault).__name__})") from None
