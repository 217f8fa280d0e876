"""A guarded detector as a folder: model.json, detector/ as `Detector.save` writes it, facts.json, certificate.json.

- it answers the same questions as a `ModelFolder`: scores, what of an alarm is certified, why, a new threshold;
- what is certified is the floor's alarm, and only while the floor's proof is of this detector.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Encoder, Examples
from ..detector import Detector, _free, alarms_allowed
from ..errors import IsotoneError, NotAModel
from ..evaluation import clopper_pearson, threshold_above
from ..experiment import Question
from ._folder import (
    CERTIFICATE,
    DETECTOR,
    FACTS,
    FORMAT,
    MODEL,
    ModelFolder,
    _json,
    _question,
    _sha256,
    _short,
    filled,
    write_json,
)

KIND = "guarded"
# What a calibration changes, and digests of files, which are taken here anew.
MOVES = ("settings", "shares", "intervals", "files", "digest")


@dataclass(frozen=True)
class GuardedFolder:
    """What the folder of a guarded detector holds.

    Args:
        question: what was asked, with the threat.
        encoder: rows to features.
        detector: fitted on its matrices.
        facts: see `isotone.facts`.
        proof: `verdict` and `reason` of the floor's proof, as JSON holds them.
        covers: `parts()` when the proof was made.
    """

    question: Question
    encoder: Encoder
    detector: Detector
    facts: dict[str, Any]
    proof: Mapping[str, str]
    covers: Mapping[str, str] | None = None

    # Both lanes stand on one scale, on which each has its threshold at 0.
    threshold: float = 0.0

    def parts(self) -> dict[str, str]:
        """As `ModelFolder.parts`: encoder, both lanes, threat, both thresholds, and all of them."""
        shares = self.detector.shares_
        found = {
            "encoder": _sha256(self.encoder.to_dict()),
            "lanes": _lanes(self.detector),
            "threat": _sha256(self.question.threat.to_dict()),
            "thresholds": f"{float(shares.free).hex()} {float(shares.floor).hex()}",
        }
        return {**found, "sha256": _sha256(found)}

    def sealed(self) -> GuardedFolder:
        """As `ModelFolder.sealed`."""
        return replace(self, covers=self.parts())

    def changes(self) -> tuple[str, ...]:
        """As `ModelFolder.changes`."""
        if self.covers is None:
            return ("the certificate does not say what it covers",)
        now = self.parts()
        words = {"lanes": "a lane is another", "thresholds": "a threshold is another"}
        return tuple(
            words.get(part, f"the {part} is another")
            for part in now
            if now[part] != self.covers.get(part) and part != "sha256"
        )

    @property
    def certified(self) -> bool:
        """Whether the floor's alarms are certified: proved, of this detector, with enough benign rows for its rate.

        And proved of the floor as it is in memory: what was put on it since, such as a hook, is in no digest of files.
        Cost: of the first time, the proof.
        """
        stored = self.proof.get("verdict") == "proved" and bool(self.detector.supported_) and not self.changes()
        return stored and self.detector.proved

    @property
    def floor_threshold(self) -> float:
        """Of the floor, as its score has it."""
        return float(self.detector.shares_.floor)

    def scorer(self) -> _GuardedScorer:
        """What gives the larger of both lanes, each above its threshold, for many rows."""
        return _GuardedScorer(self.detector)

    def margins(self, examples: Examples, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (rows,): how far the floor is above its threshold."""
        return np.asarray(self.detector.lanes(rows_of(examples))[1])

    def why(self, examples: Examples) -> list[tuple[list[tuple[str, float]], list[str]]]:
        """For each alarm what suffices for the floor; nothing where the free lane alone alarms."""
        features = self.encoder.features
        found: list[tuple[list[tuple[str, float]], list[str]]] = []
        for reason in self.detector.reasons(rows_of(examples)):
            found.append(([], [] if reason is None else [features[at] for at in reason.features]))
        return found

    def calibrated(self, logits: NDArray[np.float64], examples: Sequence[Examples], rate: float) -> GuardedFolder:
        """As `ModelFolder.calibrated`; the floor keeps its part of the budget, the free lane has what it leaves."""
        rows = [self.detector._read(rows_of(part)) for part in examples if len(part)]
        ok = np.concatenate([part.ok for part in examples])
        floor = np.concatenate([self.detector.floor_.scores(part) for part in rows])[ok]
        shares = self.detector.shares_
        # Rows that could not be read are alarms of neither lane, and come first.
        budget = max(0, alarms_allowed(rate, len(ok)) - int((~ok).sum()))
        part = shares.floor_alarms / shares.alarms if shares.alarms else 1.0
        cut = threshold_above(floor, budget if self.detector.free_ is None else round(part * budget))
        free_cut, free = shares.free, None
        if self.detector.free_ is not None:
            free = np.concatenate([_free.scores(self.detector.free_, part) for part in rows])[ok]
            left = floor <= cut
            free_cut = threshold_above(free[left], budget - int((~left).sum()))
        detector = copy.copy(self.detector)
        detector.shares_ = replace(shares, free=free_cut, floor=cut)
        detector.max_false_alarm_rate = rate
        # What was measured with the old thresholds says nothing of these; no bad row was seen.
        alarms = int((~ok).sum() + ((floor > cut) | (free > free_cut if free is not None else False)).sum())
        detector.false_alarm_rate_ = clopper_pearson(alarms, len(ok))
        detector.detection_ = detector.certified_detection_ = None
        question = replace(self.question, max_false_alarm_rate=rate)
        return replace(self, detector=detector, question=question).sealed()

    def save(self, folder: str | PathLike[str], *, replace: bool = False) -> Path:
        """As `ModelFolder.save`.

        Raises:
            BadInput: something else is there; or a free lane of a kind that can only be pickled.
            CannotWrite: the place cannot be written to.
        """
        about = {
            "format": FORMAT,
            "kind": KIND,
            "question": asdict(self.question),
            "encoder": self.encoder.to_dict(),
        }
        certificate = {**self.proof, "covers": None if self.covers is None else dict(self.covers)}
        with filled(folder, replace=replace) as partial:
            self.detector.save(partial / DETECTOR)
            write_json(partial, {FACTS: self.facts, CERTIFICATE: certificate, MODEL: about})
        return Path(folder).absolute()

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> GuardedFolder:
        """Read a folder that `save` wrote.

        Raises:
            NotAModel: it is not there, not whole, or not one of ours.
        """
        place = Path(folder)
        about, stored = _json(place, MODEL), _json(place, CERTIFICATE)
        if about.get("format") != FORMAT:
            raise NotAModel(place, f"{MODEL} has format {about.get('format')!r}, and this version reads {FORMAT}")
        try:
            covers = stored.pop("covers", None)
            return cls(
                question=_question(about["question"]),
                encoder=Encoder.from_dict(about["encoder"]),
                detector=Detector.load(place / DETECTOR),
                facts=_json(place, FACTS),
                proof={"verdict": str(stored["verdict"]), "reason": str(stored["reason"])},
                covers=None if covers is None else {str(key): str(value) for key, value in covers.items()},
            )
        except NotAModel:
            raise
        except (IsotoneError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as fault:
            raise NotAModel(place, f"it is not whole ({_short(fault)})") from None


Model = ModelFolder | GuardedFolder


def load(folder: str | PathLike[str]) -> Model:
    """A model folder of either kind.

    Raises:
        NotAModel: it is not there, not whole, or not one of ours.
    """
    guarded = _json(Path(folder), MODEL).get("kind") == KIND
    return GuardedFolder.load(folder) if guarded else ModelFolder.load(folder)


class _GuardedScorer:
    """The lanes on encoded rows."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """Shape (rows,)."""
        if not len(examples):
            return np.empty(0)
        return np.asarray(self._detector.decision_function(rows_of(examples)), dtype=np.float64)


def rows_of(examples: Examples) -> Any:
    """The rows as the detector takes them: names, then numbers; those that failed as if nothing were there."""
    matrix = examples.matrix().astype(np.float64)
    matrix.data[np.isnan(matrix.data)] = 0
    return matrix


def _lanes(detector: Detector) -> str:
    """A digest of what both lanes are, whatever their thresholds: of the files that they are written to."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / DETECTOR
        detector.save(folder)
        sha = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                if path.name == "estimator.json":
                    about = json.loads(content)
                    content = json.dumps(
                        {key: about[key] for key in about if key not in MOVES}, sort_keys=True
                    ).encode()
                elif path.name == "free.txt":  # what follows the trees changes when LightGBM reads and writes them
                    content = content.partition(b"end of trees")[0]
                sha.update(f"{path.relative_to(folder)}|{len(content)}|".encode())
                sha.update(content)
    return sha.hexdigest()
