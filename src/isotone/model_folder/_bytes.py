"""A detector of raw files as a folder: model.json, detector/ as `ByteDetector.save` writes it, certificate.json.

- an alarm is called certified only while the proof is of this network, with this threshold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ..bounds import byte_certificate
from ..bounds._bytes_proof import judged
from ..byte_files import ByteDetector
from ..errors import IsotoneError, NotAModel
from ..verdict import Verdict
from ._folder import CERTIFICATE, DETECTOR, FORMAT, MODEL, _json, _short, filled, write_json

KIND = "bytes"


@dataclass(frozen=True)
class ByteFolder:
    """What the folder of a detector of raw files holds.

    Args:
        detector: a byte network with its threshold, and what training found.
        certificate: of the network, as JSON holds it.
        covers: `parts()` when the certificate was made.
    """

    detector: ByteDetector
    certificate: Mapping[str, Any]
    covers: Mapping[str, str]

    @classmethod
    def proved(cls, detector: ByteDetector) -> ByteFolder:
        """The folder of a detector, with the certificate that its network gets now; some seconds."""
        return cls(detector, byte_certificate(detector.network).to_dict(), _parts(detector))

    def parts(self) -> dict[str, str]:
        """What an alarm rests on: the network as its sha256, the threshold as it is; and one sha256 of both."""
        return _parts(self.detector)

    def changes(self) -> tuple[str, ...]:
        """What is not as the certificate says, a sentence each; empty if all is."""
        now, words = self.parts(), {"network": "the network is another", "threshold": "the threshold is another"}
        return tuple(words[part] for part in words if now[part] != self.covers.get(part))

    @property
    def certified(self) -> bool:
        """Whether alarms are certified: proved, of this network, in this folder; and proved of it as it is in memory.

        What was put on it since, such as a hook, is in no digest of weights. Cost: of the first time, the proof.
        """
        stored = self.certificate.get("verdict") == Verdict.PROVED.value and not self.changes()
        return stored and judged(self.detector.network).verdict is Verdict.PROVED

    def told(self) -> str:
        """What training found and what is proved, a line each."""
        facts, lines = self.detector.facts, []
        sides = ", ".join(f"{count:,} {side}" for side, count in facts["files"].items())
        lines.append(f"files        {sides}; {facts['repeated']:,} left out, the same as one of an earlier side")
        lines.append(f"it reads     {facts['encoder']}, as validation files chose")
        for name, key in (("detection", "detection"), ("false alarms", "false_alarms")):
            one = facts[key]
            rate, low, high = (f"{100 * one[end]:.1f}" for end in ("rate", "low", "high"))
            lines.append(f"{name:<12} {rate} % of {one['of']:,} test files (95 % interval {low} to {high} %)")
        lines[-1] += f"; {100 * facts['max_false_alarm_rate']:g} % were asked for, on validation files"
        said = " ".join(self.certificate["claims"][:-1]) if self.certificate["verdict"] == "proved" else "see certify"
        return "\n".join([*lines, f"{self.certificate['verdict'].upper()}: {said}"])

    def save(self, folder: str | PathLike[str], *, replace: bool = False) -> Path:
        """As `ModelFolder.save`.

        Raises:
            BadInput: something else is there.
            CannotWrite: the place cannot be written to.
        """
        stored = {**self.certificate, "covers": dict(self.covers)}
        with filled(folder, replace=replace) as partial:
            self.detector.save(partial / DETECTOR)
            write_json(partial, {CERTIFICATE: stored, MODEL: {"format": FORMAT, "kind": KIND}})
        return Path(folder).absolute()

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> ByteFolder:
        """Read a folder that `save` wrote.

        Raises:
            NotAModel: it is not there, not whole, or not one of ours.
        """
        place = Path(folder)
        about, stored = _json(place, MODEL), _json(place, CERTIFICATE)
        if about.get("format") != FORMAT or about.get("kind") != KIND:
            raise NotAModel(place, f"{MODEL} is of no detector of bytes in format {FORMAT}")
        try:
            covers = {str(key): str(value) for key, value in stored.pop("covers").items()}
            return cls(ByteDetector.load(place / DETECTOR), stored, covers)
        except NotAModel:
            raise
        except (IsotoneError, KeyError, TypeError, ValueError, AttributeError) as fault:
            raise NotAModel(place, f"it is not whole ({_short(fault)})") from None


def holds_bytes(folder: str | PathLike[str]) -> bool:
    """Whether a folder says that it holds a detector of raw files; False for whatever cannot be read."""
    try:
        return _json(Path(folder), MODEL).get("kind") == KIND
    except NotAModel:
        return False


def _parts(detector: ByteDetector) -> dict[str, str]:
    sha = hashlib.sha256(json.dumps(detector.network.arguments, sort_keys=True).encode())
    for name, value in sorted(detector.network.state_dict().items()):
        sha.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        sha.update(value.detach().cpu().contiguous().numpy().tobytes())
    found = {"network": sha.hexdigest(), "threshold": float(detector.threshold).hex()}
    return {**found, "sha256": hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()}
