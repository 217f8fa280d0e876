"""A witness as a file that anybody can run again: the pair, how to make the model, and which weights were meant.

- safetensors: numbers and words, nothing that is executed when it is read;
- written whole or not at all;
- replaying evaluates the pair by the model as it is, in the shape in which it was recorded.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput, CannotWrite, require
from ..naming import object_named
from ..verdict import Witness
from ._search import drop_of, score_of, size_of, tolerance_for
from ._state import digest, mode, tensors

FORMAT = "isotone witness 1"


@dataclass(frozen=True)
class StoredWitness:
    """What a witness file holds.

    Args:
        witness: the pair, the element, and both scores as they were recorded.
        sign: what was claimed of that element: +1 it does not fall, -1 it does not rise.
        factory: how to make the model, "package.module:factory" or "path/file.py:factory"; "" if nobody said.
        sha256: of the model that was judged.
        torch: version that recorded the scores.
        mode: "eval", "train" or "mixed": how the model was.
    """

    witness: Witness
    sign: int
    factory: str
    sha256: str
    torch: str
    mode: str


@dataclass(frozen=True)
class Replay:
    """What a model makes of a recorded pair.

    Args:
        before, after: the score at the lower and at the upper input, now.
        drop: how far it moves against the claim; NaN where a score is NaN.
        falls: whether that is more than rounding, or NaN.
        remark: one sentence if the model is another one than was judged, else "".
    """

    before: float
    after: float
    drop: float
    falls: bool
    remark: str

    def __str__(self) -> str:
        verb = "still breaks the claim" if self.falls else "does not break the claim any more"
        said = f"the pair {verb}: the score goes from {self.before:.6g} to {self.after:.6g}"
        return f"{said}; {self.remark}" if self.remark else said


def save_witness(
    path: str | os.PathLike[str],
    witness: Witness,
    *,
    model: nn.Module | None = None,
    factory: str = "",
    sha256: str = "",
) -> Path:
    """Write a witness to a safetensors file, whole or not at all.

    Args:
        path: where; a file that is there is replaced.
        witness: of a certificate.
        model: the one that was judged; its hash and its mode are written.
        factory: "package.module:factory" or "path/file.py:factory", a callable that makes the model.
        sha256: the hash of the model, where the model is not at hand (`certificate.scope["sha256"]`).

    Raises:
        MissingExtra: safetensors is not installed.
        CannotWrite: the place cannot be written to.
    """
    safetensors = require("safetensors.torch", "train")
    place = Path(path)
    held = {
        f"{side}.{i}": t.detach().cpu().contiguous().clone()
        for side in ("lower", "upper")
        for i, t in enumerate(getattr(witness, side))
    }
    about = {
        "format": FORMAT,
        "element": json.dumps(list(witness.element)),
        "before": repr(witness.before),
        "after": repr(witness.after),
        "sign": "-1" if witness.after > witness.before else "1",
        "arithmetic": witness.arithmetic,
        "factory": factory,
        "sha256": sha256 or (digest(model) if model is not None else ""),
        "mode": mode(model) if model is not None else "",
        "dtypes": json.dumps([str(t.dtype).removeprefix("torch.") for t in witness.lower]),
        "torch": torch.__version__,
    }
    partial = ""
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(safetensors.save(held, about))
        # mkstemp makes files that only their owner may read.
        Path(partial).chmod(0o666 & ~_umask())
        os.replace(partial, place)  # noqa: PTH105 (atomic, and over a file that is there)
    except OSError as fault:
        raise CannotWrite(place, fault.strerror or fault) from None
    finally:
        if partial:
            Path(partial).unlink(missing_ok=True)
    return place


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load_witness(path: str | os.PathLike[str]) -> StoredWitness:
    """Read a file that `save_witness` wrote.

    Raises:
        BadInput: it is not there, it is no such file, or a part of it is missing.
        MissingExtra: safetensors is not installed.
    """
    safetensors = require("safetensors", "train")
    place = Path(path)
    right = "a witness file written by `isotone certify --witness` would be right"
    if not place.is_file():
        raise BadInput(str(place), "no such file", right)
    try:
        with safetensors.safe_open(str(place), framework="pt") as file:
            about = file.metadata() or {}
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except Exception as fault:
        raise BadInput(str(place), f"it is no whole safetensors file ({type(fault).__name__})", right) from None
    if about.get("format") != FORMAT:
        raise BadInput(str(place), "a safetensors file came that holds no witness", right)
    try:
        count = len(json.loads(about["dtypes"]))
        sides = {side: tuple(held.pop(f"{side}.{i}") for i in range(count)) for side in ("lower", "upper")}
        if (
            held
            or not count
            or any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(*sides.values(), strict=True))
        ):
            raise ValueError("tensors")
        witness = Witness(
            sides["lower"],
            sides["upper"],
            tuple(int(i) for i in json.loads(about["element"])),
            float(about["before"]),
            float(about["after"]),
            about["arithmetic"],
        )
        return StoredWitness(
            witness, int(about["sign"]), about["factory"], about["sha256"], about["torch"], about["mode"]
        )
    except Exception:
        raise BadInput(str(place), "a witness file with parts missing or changed came", right) from None


def replay(model: nn.Module, stored: StoredWitness) -> Replay:
    """Evaluate a recorded pair by this model, as it is.

    Args:
        model: it is called twice, without gradients, on inputs of the recorded shapes; in float64 on a copy if the
            witness says that the model's own rounding hides the drop.
        stored: from `load_witness`.

    Raises:
        BadInput: the model does not take the pair, or has no such element.
    """
    witness = stored.witness
    remark = ""
    if stored.sha256 and digest(model) != stored.sha256:
        remark = "the model's weights, settings or code differ from those of the model that was judged"
    elif stored.mode and mode(model) != stored.mode:
        remark = f"the model is in {mode(model)} mode, and was judged in {stored.mode} mode"
    try:
        before, after = _scores(model, witness)
        element = witness.element
        a, b = float(before[element]), float(after[element])
    except Exception as fault:
        said = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:120]
        raise BadInput(
            "replay", f"the model does not take the recorded pair ({said})", "the model of the file is right"
        ) from None
    exact = witness.arithmetic == "float64"
    tolerance = (
        1e-10 if exact else tolerance_for({t.dtype for _, t in tensors(model)} | {x.dtype for x in witness.lower})
    )
    against = drop_of(before, after, witness.element, stored.sign)
    falls = against > tolerance * size_of(before, after)
    return Replay(a, b, stored.sign * (a - b), falls, remark)


def _scores(model: nn.Module, witness: Witness) -> tuple[Tensor, Tensor]:
    if witness.arithmetic == "float64":
        import copy  # noqa: PLC0415

        model = copy.deepcopy(model).double()
        pair = [
            tuple(x.double() if x.dtype.is_floating_point else x for x in side)
            for side in (witness.lower, witness.upper)
        ]
    else:
        pair = [witness.lower, witness.upper]
    score = score_of(model)
    with torch.random.fork_rng(devices=[]):
        return score(pair[0]), score(pair[1])


def load_factory(where: str) -> Any:
    """What a factory makes: a module, or a tuple that starts with one, such as (module, inputs).

    Args:
        where: "package.module:factory" or "path/file.py:factory". The factory is a callable without arguments, or is
            itself what it should give. Its code is run: name only what you trust.

    Raises:
        BadInput: it cannot be imported, is not there, fails, or gives something else.
    """
    return _made(object_named(where, "model", "path/file.py:factory or package.module:factory"), where)


def _made(made: Any, where: str) -> Any:
    right = "a torch.nn.Module, or a tuple that starts with one, would be right"
    if callable(made) and not isinstance(made, nn.Module):
        try:
            made = made()
        except (Exception, SystemExit) as fault:
            said = (str(fault).strip().splitlines() or [""])[0][:120]
            raise BadInput("model", f"{where} fails ({type(fault).__name__}: {said})", right) from None
    if not isinstance(made[0] if isinstance(made, tuple) and made else made, nn.Module):
        raise BadInput("model", f"{where} gives {type(made).__name__}", right)
    return made
