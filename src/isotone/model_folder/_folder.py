"""A trained detector as a folder: weights in safetensors, all else in JSON, no pickle; written whole or not at all.

model.json            what the network and the encoder are, the threshold, the threat
weights.safetensors   the monotone network
twin.safetensors      the unconstrained twin, the positive control of attacks
facts.json            what training found: metrics and certificate, for `isotone report`
certificate.json      the verdict, its scope, and what it covers: digests of encoder, network and threat, the threshold
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..attack import Moves
from ..certify import Certificate
from ..data import Encoder, Examples
from ..errors import BadInput, CannotWrite, IsotoneError, NotAModel, require
from ..evaluation import threshold_at
from ..experiment import Question
from ..explain import explain
from ..families import NetworkScorer
from ..nn import MonotoneEnsemble
from ..proving import subject
from ..streaming import PreparedScorer
from ..threat import Threat
from ..verdict import Verdict

FORMAT = 1
MODEL, WEIGHTS, TWIN = "model.json", "weights.safetensors", "twin.safetensors"
FACTS, CERTIFICATE = "facts.json", "certificate.json"
REPORT = "report.html"  # of `isotone report`
DETECTOR = "detector"  # of a guarded detector, in place of the two networks
OURS = frozenset({MODEL, WEIGHTS, TWIN, FACTS, CERTIFICATE, REPORT, DETECTOR})


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
        covers: `parts()` when the certificate was made; None before `sealed()`, and nothing is certified.
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
    covers: Mapping[str, str] | None = None

    def parts(self) -> dict[str, str]:
        """What an alarm rests on, each part as its sha256, the threshold as it is; and one sha256 of them all."""
        weights = hashlib.sha256(json.dumps(self.network.arguments, sort_keys=True).encode())
        for name, value in sorted(self.network.state_dict().items()):
            weights.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
            weights.update(value.detach().cpu().contiguous().numpy().tobytes())
        found = {
            "encoder": _sha256(self.encoder.to_dict()),
            "network": weights.hexdigest(),
            "threat": _sha256(self.question.threat.to_dict()),
            "threshold": self.threshold.hex(),
        }
        return {**found, "sha256": _sha256(found)}

    def sealed(self) -> ModelFolder:
        """The same, with its certificate bound to these parts; for whoever has just made it of this network."""
        return replace(self, covers=self.parts())

    def changes(self) -> tuple[str, ...]:
        """What is not as the certificate says, a sentence each; empty if all is."""
        if self.covers is None:
            return ("the certificate does not say what it covers",)
        now, then = self.parts(), self.covers
        said = [f"the {part} is another" for part in ("encoder", "network", "threat") if now[part] != then.get(part)]
        if now["threshold"] != then.get("threshold"):
            said.append(f"the threshold is {self.threshold:.6g}, and was {_shown(then.get('threshold'))}")
        if not said and now["sha256"] != then.get("sha256"):
            said.append("the digest of all parts is another")
        return tuple(said)

    @property
    def certified(self) -> bool:
        """Whether an alarm is one that nothing the threat allows can undo: proved, of this network, in this folder."""
        if self.certificate.verdict is not Verdict.PROVED or self.changes():
            return False
        directions = self.question.threat.directions(self.encoder.features)
        proved = subject(self.network, directions)
        return not proved.obstacle and self.certificate.valid_for(proved.model)

    @property
    def floor_threshold(self) -> float:
        """Of what is monotone, as its score has it."""
        return self.threshold

    def scorer(self) -> PreparedScorer:
        """What gives the logits of many rows."""
        return PreparedScorer(self.network)

    def margins(self, examples: Examples, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (rows,): how far what cannot be undone is above its threshold; nothing here is certified below 0."""
        return logits - self.threshold

    def why(self, examples: Examples) -> list[tuple[list[tuple[str, float]], list[str]]]:
        """For each of some alarms its reasons, with their shares of the score, and features that suffice."""
        found = []
        for row in torch.from_numpy(np.asarray(examples.matrix().toarray(), dtype=np.float32)):
            victim = NetworkScorer(self.network).victim(self.moves, row[None].numpy())
            told = explain(victim, row, self.moves, self.threshold)
            features = self.encoder.features
            shares = sorted(((features[at], share) for at, share in told.reasons), key=lambda reason: -reason[1])
            found.append((shares, [features[at] for at in told.sufficient]))
        return found

    def calibrated(self, logits: NDArray[np.float64], examples: Sequence[Examples], rate: float) -> ModelFolder:
        """With a threshold above which no more than `rate` of some benign rows score; sealed, its facts not yet told.

        Args:
            logits: of all rows, infinite where a row could not be read.
            examples: the rows, in parts.
        """
        twin = PreparedScorer(self.twin)
        twins = np.concatenate([np.where(part.ok, twin.logits(part), np.inf) for part in examples])
        return replace(
            self,
            threshold=threshold_at(logits, rate),
            twin_threshold=threshold_at(twins, rate),
            question=replace(self.question, max_false_alarm_rate=rate),
        ).sealed()

    def save(self, folder: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write the folder.

        Args:
            folder: where; it must not exist, or be an isotone model and `replace` be set.
            replace: whether an older model at that place may be replaced. It stays until the new one is whole.

        Raises:
            BadInput: something else is there, or something that is not ours is in the older model.
            CannotWrite: the place cannot be written to.
        """
        safetensors = require("safetensors.torch", "train")
        certificate = self.certificate.to_dict() | ({} if self.covers is None else {"covers": dict(self.covers)})
        with filled(folder, replace=replace) as partial:
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
            # Not `save_file`: it makes files that only their owner may read.
            for name, network in ((WEIGHTS, self.network), (TWIN, self.twin)):
                (partial / name).write_bytes(safetensors.save(network.state_dict()))
            write_json(partial, {FACTS: self.facts, CERTIFICATE: certificate, MODEL: about})
        return Path(folder).absolute()

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ModelFolder:
        """Read a folder that `save` wrote.

        Raises:
            NotAModel: it is not there, not whole, or not one of ours.
            BadInput: it holds a detector of another kind; see `load`.
        """
        place = Path(folder)
        about = _json(place, MODEL)
        if "kind" in about:
            right = "a monotone network and its twin would be right"
            then = (
                "`isotone score` and `isotone certify` take it."
                if about["kind"] == "bytes"
                else "Its report has its attacks."
            )
            raise BadInput(str(folder), f"it holds a {about['kind']} detector", right, then)
        if about.get("format") != FORMAT:
            raise NotAModel(place, f"{MODEL} has format {about.get('format')!r}, and this version reads {FORMAT}")
        try:
            encoder = Encoder.from_dict(about["encoder"])
            question = _question(about["question"])
            networks = [_network(place, name, about[key]) for name, key in ((WEIGHTS, "network"), (TWIN, "twin"))]
            thresholds = [float(about[key]) for key in ("threshold", "twin_threshold")]
            directions = question.threat.directions(encoder.features)
            moves = Moves.between(directions, about["targets"], about["targets"])
        except NotAModel:
            raise
        # RuntimeError is torch's, for a network of impossible sizes.
        except (IsotoneError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as fault:
            raise NotAModel(place, f"{MODEL} is not whole ({_short(fault)})") from None
        # A threshold of NaN would never alarm.
        if not all(map(math.isfinite, thresholds)):
            raise NotAModel(place, f"{MODEL} has a threshold that is no finite number")
        sizes = (len(encoder.vocabulary), len(encoder.columns))
        for one in (member for network in networks for member in network.networks):
            if (one.names, len(one.arguments["knots"])) != sizes:
                raise NotAModel(
                    place, f"{MODEL} has {sizes[0]} names and {sizes[1]} numbers, and a network of other sizes"
                )
        try:
            stored = _json(place, CERTIFICATE)
            certificate = Certificate.from_dict(stored)
            covers = stored.get("covers")
            if not (covers is None or (isinstance(covers, dict) and all(isinstance(v, str) for v in covers.values()))):
                raise ValueError("it does not say what it covers")
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as fault:
            if isinstance(fault, NotAModel):
                raise
            raise NotAModel(place, f"{CERTIFICATE} is not whole ({_short(fault)})") from None
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
            covers=covers,
        )


def writable(folder: str | os.PathLike[str], *, replace: bool = False) -> Path:
    """The folder as a place that can be written to; asked before long work begins.

    Raises:
        BadInput: something that must not be replaced is there.
        CannotWrite: its parent is not there or cannot be written to.
    """
    place = Path(folder).absolute()
    try:
        _replaceable(place, folder, replace=replace)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent):
            pass
    except OSError as fault:
        raise CannotWrite(place, fault.strerror or fault) from None
    return place


@contextmanager
def filled(folder: str | os.PathLike[str], *, replace: bool) -> Iterator[Path]:
    """A folder to fill, which is moved to this place when it is whole; an older model stays until then.

    Raises:
        BadInput, CannotWrite: as `ModelFolder.save`.
    """
    place = writable(folder, replace=replace)
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            yield partial
            partial.chmod(0o755)
            _put(partial, _replaceable(place, folder, replace=replace))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as fault:
        raise CannotWrite(place, fault.strerror or fault) from None


def write_json(partial: Path, contents: Mapping[str, Any]) -> None:
    """A file of each content."""
    for name, content in contents.items():
        (partial / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _replaceable(place: Path, said: str | os.PathLike[str], *, replace: bool) -> Path:
    """The place, if nothing is there, or an older model that may go."""
    if not os.path.lexists(place):
        return place
    ours = (place / MODEL).is_file()
    if not (replace and ours):
        then = "Replace an older model with --replace." if ours else ""
        raise BadInput(f"--out {said}", "it exists already", "a name that is not taken would be right", then)
    if strange := sorted({entry.name for entry in place.iterdir()} - OURS):
        then = f"Move {strange[0]!r} out of it, or name another place."
        raise BadInput(f"--out {said}", f"{strange[0]!r} is in it", "only a model folder is replaced", then)
    return place


def _put(partial: Path, place: Path) -> None:
    """Move a whole folder into place. The older one is only moved aside before, and comes back if that fails."""
    if not os.path.lexists(place):
        partial.rename(place)
        return
    older = partial.with_name(f"{partial.name}.older")
    place.rename(older)
    try:
        partial.rename(place)
    except OSError:
        older.rename(place)
        raise
    if older.is_symlink():
        older.unlink()
    else:
        shutil.rmtree(older, ignore_errors=True)


def _json(place: Path, name: str) -> dict[str, Any]:
    if not place.is_dir():
        raise NotAModel(place, "there is no such folder")
    try:
        content = json.loads((place / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotAModel(place, f"{name} is missing") from None
    except (OSError, ValueError, RecursionError) as fault:
        raise NotAModel(place, f"{name} cannot be read ({_short(fault)})") from None
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
        with warnings.catch_warnings():
            # Weights outside their constraints would be projected with a warning: they are not what was trained.
            warnings.simplefilter("error", UserWarning)
            network.load_state_dict(load_file(place / name))
    except UserWarning:
        raise NotAModel(place, f"{name} has weights outside their constraints") from None
    except (RuntimeError, safetensors.SafetensorError, OSError) as fault:
        raise NotAModel(place, f"{name} is not whole ({_short(fault)})") from None
    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise NotAModel(place, f"{name} has a weight that is no finite number")
    return network.eval()


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _shown(number: str | None) -> str:
    try:
        return f"{float.fromhex(number or ''):.6g}"
    except (ValueError, OverflowError):
        return "not written down"


def _short(fault: BaseException) -> str:
    """The first line of what was said, without its full stop."""
    return (str(fault).splitlines() or [type(fault).__name__])[0].rstrip(".:")


def _question(stored: dict[str, Any]) -> Question:
    threat = Threat.of(stored["threat"])
    lists = {key: tuple(value) for key, value in stored.items() if isinstance(value, list)}
    return Question(**{**stored, **lists, "threat": threat})
