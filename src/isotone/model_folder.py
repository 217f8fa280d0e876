"""A trained detector as a folder: weights in safetensors, all else in JSON, no pickle; written whole or not at all.

model.json            what the network and the encoder are, the threshold, the threat
weights.safetensors   the monotone network
twin.safetensors      the unconstrained twin, the positive control of attacks
facts.json            what training found: metrics and certificate, for `isotone report`
certificate.json      the verdict, with its scope
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .attack import Moves
from .certify import Certificate
from .data import Encoder
from .errors import BadInput, CannotWrite, NotAModel, require
from .experiment import Question
from .nn import MonotoneEnsemble
from .threat import Threat

FORMAT = 1
MODEL, WEIGHTS, TWIN = "model.json", "weights.safetensors", "twin.safetensors"
FACTS, CERTIFICATE = "facts.json", "certificate.json"


@dataclass(frozen=True)
class ModelFolder:
    """What a folder holds.

    Args:
        question: what was asked, with the threat.
        encoder: rows to features.
        network: monotone, in eval mode.
        threshold: alarm means logit above it.
        twin, twin_threshold: the unconstrained twin.
        moves: what an attacker can do to each feature.
        facts: see `isotone.facts`.
        certificate: of `network`.
    """

    question: Question
    encoder: Encoder
    network: MonotoneEnsemble
    threshold: float
    twin: MonotoneEnsemble
    twin_threshold: float
    moves: Moves
    facts: dict[str, Any]
    certificate: Certificate

    def save(self, folder: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write the folder.

        Args:
            folder: where; it must not exist, or be an isotone model and `replace` be set.
            replace: whether an older model at that place may be replaced.

        Raises:
            BadInput: something else is there.
            CannotWrite: the place cannot be written to.
        """
        place = writable(folder, replace=replace)
        safetensors = require("safetensors.torch", "train")
        try:
            partial = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        except OSError as fault:
            raise CannotWrite(place, fault.strerror or fault) from None
        try:
            about = {
                "format": FORMAT,
                "question": asdict(self.question),
                "encoder": self.encoder.to_dict(),
                "network": self.network.arguments,
                "threshold": self.threshold,
                "twin": self.twin.arguments,
                "twin_threshold": self.twin_threshold,
                "targets": self.moves.target.tolist(),
            }
            safetensors.save_file(self.network.state_dict(), partial / WEIGHTS)
            safetensors.save_file(self.twin.state_dict(), partial / TWIN)
            for name, content in ((FACTS, self.facts), (CERTIFICATE, self.certificate.to_dict()), (MODEL, about)):
                (partial / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
            partial.chmod(0o755)
            if place.exists():
                shutil.rmtree(place)
            partial.rename(place)
        except OSError as fault:
            raise CannotWrite(place, fault.strerror or fault) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ModelFolder:
        """Read a folder that `save` wrote.

        Raises:
            NotAModel: it is not there, not whole, or not one of ours.
        """
        place = Path(folder)
        about = _json(place, MODEL)
        if about.get("format") != FORMAT:
            raise NotAModel(place, f"{MODEL} has format {about.get('format')!r}, and this version reads {FORMAT}")
        try:
            encoder = Encoder.from_dict(about["encoder"])
            question = _question(about["question"])
            networks = [_network(place, name, about[key]) for name, key in ((WEIGHTS, "network"), (TWIN, "twin"))]
            thresholds = [float(about[key]) for key in ("threshold", "twin_threshold")]
            directions = question.threat.directions(encoder.features)
            moves = Moves.between(directions, about["targets"], about["targets"])
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            if isinstance(fault, NotAModel):
                raise
            raise NotAModel(place, f"{MODEL} is not whole ({fault})") from None
        if networks[0].names != len(encoder.vocabulary):
            raise NotAModel(
                place, f"{MODEL} names {len(encoder.vocabulary)} names for a network of {networks[0].names}"
            )
        try:
            certificate = Certificate.from_dict(_json(place, CERTIFICATE))
        except (KeyError, TypeError, ValueError) as fault:
            raise NotAModel(place, f"{CERTIFICATE} is not whole ({fault})") from None
        return cls(
            question=question,
            encoder=encoder,
            network=networks[0],
            threshold=thresholds[0],
            twin=networks[1],
            twin_threshold=thresholds[1],
            moves=moves,
            facts=_json(place, FACTS),
            certificate=certificate,
        )


def writable(folder: str | os.PathLike[str], *, replace: bool = False) -> Path:
    """The folder as a place that can be written to; asked before long work begins.

    Raises:
        BadInput: something that must not be replaced is there.
        CannotWrite: its parent is not there or cannot be written to.
    """
    place = Path(folder).absolute()
    if place.exists() and not (replace and (place / MODEL).is_file()):
        right = "a name that is not taken would be right"
        then = "Replace an older model with --replace." if (place / MODEL).is_file() else ""
        raise BadInput(f"--out {folder}", "it exists already", right, then)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent):
            pass
    except OSError as fault:
        raise CannotWrite(place, fault.strerror or fault) from None
    return place


def _json(place: Path, name: str) -> dict[str, Any]:
    if not place.is_dir():
        raise NotAModel(place, "there is no such folder")
    try:
        content = json.loads((place / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotAModel(place, f"{name} is missing") from None
    except (OSError, ValueError) as fault:
        raise NotAModel(place, f"{name} cannot be read ({fault})") from None
    if not isinstance(content, dict):
        raise NotAModel(place, f"{name} is not what it should be")
    return content


def _network(place: Path, name: str, arguments: list[dict[str, Any]]) -> MonotoneEnsemble:
    safetensors = require("safetensors", "train")
    load_file = require("safetensors.torch", "train").load_file
    if not (place / name).is_file():
        raise NotAModel(place, f"{name} is missing")
    network = MonotoneEnsemble.made(arguments)
    try:
        network.load_state_dict(load_file(place / name))
    except (RuntimeError, safetensors.SafetensorError, OSError) as fault:
        raise NotAModel(place, f"{name} is not whole ({str(fault).splitlines()[0]})") from None
    return network.eval()


def _question(stored: dict[str, Any]) -> Question:
    threat = Threat(tuple(stored["threat"]["adds"]), tuple(stored["threat"]["removes"]))
    lists = {key: tuple(value) for key, value in stored.items() if isinstance(value, list)}
    return Question(**{**stored, **lists, "threat": threat})
