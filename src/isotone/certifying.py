"""What `isotone certify` does: a model named on the command line, its question, its certificate, its witness.

- a target is a model folder, or a factory: `package.module:function` or `path/to/file.py:function`;
- a factory gives a model, or a tuple (model, inputs, directions, domain), from the right as short as one likes;
- files are written whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from .bounds import ByteCertificate, byte_certificate
from .certify import (
    Certificate,
    Check,
    Progress,
    Replay,
    check,
    load_factory,
    load_witness,
    replay,
    save_witness,
)
from .errors import BadInput, CannotWrite, require
from .floors import FloorProof
from .model_folder import ByteFolder, GuardedFolder, ModelFolder, holds_bytes, load
from .progress import Bar
from .progress import Progress as Bars
from .proving import Subject, subject
from .verdict import Verdict

EXIT = {Verdict.PROVED: 0, Verdict.REFUTED: 1, Verdict.UNKNOWN: 2}


def named(
    target: str, inputs: Path | None = None, directions: Sequence[str] = (), domain: Sequence[str] = ()
) -> Subject:
    """What a target is about, with what the command line says in place of what the factory says.

    Args:
        target: a model folder, or module:function.
        inputs: a safetensors file with one tensor per input, in the order of their names.
        directions: one entry per input: "+1", or "1,-1,0" for its last dimension; one entry for all inputs.
        domain: one entry per input: "0,1", "0," for no upper bound, or "none".

    Raises:
        BadInput: what is said does not fit together, or there is no example.
    """
    found = _subject(target)
    if Path(target).is_dir():
        if inputs is not None or directions or domain:
            raise BadInput("certify", "a folder came with inputs, directions or a domain", "a folder has its own")
        return found
    if inputs is not None:
        found = replace(found, inputs=_tensors(inputs))
    if not found.inputs:
        raise BadInput(
            "certify",
            f"{target} gives a model without an example",
            "a tuple (model, inputs) from the factory, or --inputs with a safetensors file, would be right",
        )
    count = len(found.inputs)
    ways = [_way(text) for text in directions]
    boxes = [_box(text) for text in domain]
    if ways:
        found = replace(found, directions=ways[0] if len(ways) == 1 else _per_input(ways, count, "--directions"))
    if boxes:
        found = replace(found, domain=tuple(boxes * count if len(boxes) == 1 else _per_input(boxes, count, "--domain")))
    return found


def changes(target: str) -> tuple[str, ...]:
    """For a model folder: what is no longer as its certificate says, a sentence each."""
    if target and holds_bytes(target):
        return ByteFolder.load(target).changes()
    return load(target).changes() if target and Path(target).is_dir() else ()


def proved_bytes(target: str) -> ByteCertificate | None:
    """For the folder of a detector of raw files: the certificate that its network gets now; None for all else."""
    return byte_certificate(ByteFolder.load(target).detector.network) if target and holds_bytes(target) else None


def proved_floor(target: str) -> FloorProof | None:
    """For the folder of a guarded detector: the proof that its floor gets now; None for all else."""
    if not target or not Path(target).is_dir() or not isinstance(folder := load(target), GuardedFolder):
        return None
    proof: FloorProof = folder.detector.certify()
    return proof


def spending(found: Subject, budget: int | None, seconds: float | None) -> Subject:
    """The same question with as much effort as was asked for, if it was."""
    return replace(
        found,
        budget=found.budget if budget is None else budget,
        seconds=found.seconds if seconds is None else seconds,
    )


def _subject(target: str) -> Subject:
    if not target:
        raise BadInput("certify", "no model came", "a model folder or package.module:function would be right")
    if Path(target).is_dir():
        folder = ModelFolder.load(target)
        return subject(folder.network, folder.question.threat.directions(folder.encoder.features))
    made = load_factory(target)
    parts = made if isinstance(made, tuple) else (made,)
    if len(parts) > 4:
        raise BadInput(target, f"it gave {len(parts)} things", "(model, inputs, directions, domain) would be right")
    model, inputs, directions, domain = [*parts, None, None, None][:4]
    given = () if inputs is None else (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    return Subject(model, given, 1 if directions is None else directions, domain)


def _per_input(values: list[Any], count: int, where: str) -> tuple[Any, ...]:
    if len(values) != count:
        raise BadInput(where, f"{len(values)} came for {count} inputs", "one for all, or one per input, would be right")
    return tuple(values)


def _tensors(path: Path) -> tuple[Tensor, ...]:
    safetensors, errors = require("safetensors.torch", "train"), require("safetensors", "train")
    try:
        held = safetensors.load_file(str(path))
    except (OSError, ValueError, RuntimeError, errors.SafetensorError) as fault:
        said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise BadInput(str(path), f"it cannot be read ({said})", "a safetensors file would be right") from None
    if not held:
        raise BadInput(str(path), "it holds no tensor", "one tensor per input of the model would be right")
    return tuple(held[name] for name in sorted(held, key=_natural))


def _natural(name: str) -> tuple[Any, ...]:
    """x2 before x10."""
    parts = "".join(c if c.isdigit() else " " for c in name).split()
    return (name.rstrip("0123456789"), *(int(p) for p in parts), name)


def _way(text: str) -> Any:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(
            "--directions", f"{text!r} came", "+1, -1, 0, or a list such as 1,-1,0, would be right"
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def _box(text: str) -> Any:
    if text.strip().lower() == "none":
        return None
    low, comma, high = text.partition(",")
    try:
        ends = tuple(float(end) if end.strip() else None for end in (low, high))
    except ValueError:
        comma = ""
        ends = ()
    if not comma:
        raise BadInput("--domain", f"{text!r} came", "low,high (one may be left out) or none would be right")
    return ends


def proof_bar(progress: Bars) -> Progress:
    """A bar that appears when a proof takes longer: slopes of many scores, branch and bound."""
    shown: list[Bar] = []

    def said(fraction: float, note: str) -> None:
        if not shown:
            shown.append(progress.bar("proof", total=1000))
        shown[0].update(int(1000 * fraction), note)

    return said


def write_certificate(path: Path, certificate: Certificate | ByteCertificate | FloorProof, factory: str) -> None:
    """The certificate as JSON, with the name under which its model can be made again; of a folder, what is in it."""
    covers = {} if isinstance(certificate, Certificate) else {"covers": _parts(factory)}
    whole = json.dumps({"factory": factory, **covers, **certificate.to_dict()}, indent=1, allow_nan=False)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(whole + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as fault:
        raise CannotWrite(path, fault.strerror or fault) from None
    finally:
        partial.unlink(missing_ok=True)


def read_certificate(path: Path) -> tuple[Certificate, str]:
    """A certificate and the name of its factory.

    Raises:
        BadInput: the file is not a certificate.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return Certificate.from_dict(held), str(held.get("factory", ""))
    except (OSError, UnicodeDecodeError) as fault:
        raise BadInput(
            str(path), f"it cannot be read ({fault})", "a certificate made with --out would be right"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(
            str(path), "it is no certificate", "a file made by `isotone certify --out` would be right"
        ) from None


def check_again(path: Path, found: Subject, seconds: float) -> Check:
    """Whether the certificate in a file still holds for this target."""
    certificate, _ = read_certificate(path)
    return check(certificate, found.model, found.inputs, seconds=seconds)


def _parts(target: str) -> dict[str, str]:
    """The hashes of what is in the folder of a detector of raw files, or of a guarded one."""
    return dict(ByteFolder.load(target).parts() if holds_bytes(target) else load(target).parts())


def _without_versions(said: Any) -> Any:
    """What a certificate says but for the versions and the search of what made it, which may be others."""
    if isinstance(said, dict):
        return {key: _without_versions(value) for key, value in said.items() if key not in ("torch", "rules", "search")}
    return [_without_versions(one) for one in said] if isinstance(said, list) else said


def check_folder(path: Path, target: str, proof: ByteCertificate | FloorProof) -> tuple[str, bool]:
    """Whether the certificate of such a folder still holds: the same in it, and the proof made again, in words.

    Raises:
        BadInput: the file is no certificate of such a folder.
    """
    right = "a file made by `isotone certify FOLDER --out` would be right"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        before, verdict = dict(held["covers"]), str(held["verdict"])
    except (OSError, UnicodeDecodeError) as fault:
        raise BadInput(str(path), f"it cannot be read ({fault})", right) from None
    except (ValueError, KeyError, TypeError):
        raise BadInput(str(path), "it is no certificate of such a folder", right) from None
    now = _parts(target)
    differs = [f"  differs: {part} is another" for part in now if before.get(part) != now[part]]
    said = {key: value for key, value in held.items() if key not in ("factory", "covers")}
    if _without_versions(said) != _without_versions(json.loads(json.dumps(proof.to_dict()))):
        differs.append("  differs: it says another thing than is proved")
    if verdict != Verdict.PROVED.value:
        differs.append(f"  differs: it says {verdict.upper()}, so there is no proof to run again")
    holds = not differs and proof.verdict is Verdict.PROVED
    return "\n".join([f"{'HOLDS' if holds else 'VOID'}  {str(proof).splitlines()[0]}", *differs]), holds


def is_witness(path: Path | None) -> bool:
    """Whether a file of inputs holds a pair rather than an example."""
    if path is None:
        return False
    safetensors = require("safetensors", "train")
    try:
        with safetensors.safe_open(str(path), framework="pt") as held:
            return any(name.startswith("lower.") for name in held.keys())  # noqa: SIM118 - it is no mapping
    except Exception:
        return False


def replay_file(path: Path, target: str) -> Replay:
    """Run a stored pair through the model once more; the target makes it, or what stands in the file does."""
    stored = load_witness(path)
    if not (target or stored.factory):
        raise BadInput(str(path), "a witness that names no model came", "its factory before --inputs would be right")
    return replay(_subject(target or stored.factory).model, stored)


def keep_witness(path: Path, certificate: Certificate, found: Subject, target: str) -> None:
    """Store the pair that refutes, with what is needed to run it again."""
    assert certificate.witness is not None
    save_witness(path, certificate.witness, model=found.model, factory=target)
