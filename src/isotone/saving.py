"""A fitted estimator as a folder: weights in safetensors, everything else in JSON; no pickle.

- whole or not at all; what lies beside the two files is named in the facts with its digest;
- reading refuses another kind, another format, and files that are not those that were written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import BadInput, CannotWrite, require

FORMAT = 3
_FACTS, _WEIGHTS = "estimator.json", "weights.safetensors"


def write(
    place: str | os.PathLike[str],
    kind: str,
    facts: dict[str, Any],
    state: dict[str, Tensor],
    beside: Callable[[Path], object] | None = None,
) -> None:
    """The folder, whole or not at all.

    Args:
        place: the folder.
        kind: the name of the class.
        facts: what JSON can hold.
        state: weights.
        beside: writes further files into the folder that it is given.

    Raises:
        CannotWrite: it is there already, or cannot be made.
        BadInput: something among the facts that JSON cannot hold, such as labels that are dates.
    """
    folder = Path(place)
    if folder.exists():
        raise CannotWrite(folder, "it is there already; delete it or name another")
    partial = folder.with_name(folder.name + ".partial")
    try:
        if partial.exists():  # left by an interrupted call
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        require("safetensors.torch", "train").save_file(state, partial / _WEIGHTS)
        if beside is not None:
            beside(partial)
        written = {"format": FORMAT, "estimator": kind, "files": digests(partial), **facts}
        (partial / _FACTS).write_text(json.dumps({**written, "digest": digest(written)}, indent=1))
        partial.rename(folder)
    except OSError as fault:
        raise CannotWrite(folder, fault.strerror or fault) from None
    except TypeError as fault:
        raise BadInput(f"save {folder}", f"JSON cannot hold it: {fault}", "numbers and words are right") from None
    finally:
        if partial.exists():
            shutil.rmtree(partial, ignore_errors=True)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a folder but the facts themselves, by its path inside."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _FACTS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(place: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write` was given.

    Raises:
        BadInput: no such folder, another estimator, another format, or a file that was changed since.
    """
    folder = Path(place)
    try:
        facts = json.loads((folder / _FACTS).read_text())
        state = require("safetensors.torch", "train").load_file(folder / _WEIGHTS)
        found = digests(folder)
    except (OSError, ValueError, _safetensor_error()) as fault:
        raise BadInput(
            f"load {folder}", f"it cannot be read ({fault})", "a folder that save() wrote is right"
        ) from None
    if facts.get("format") != FORMAT or facts.get("estimator") != kind:
        came = f"format {facts.get('format')} of {facts.get('estimator')}"
        raise BadInput(f"load {folder}", f"{came} came", f"format {FORMAT} of {kind} is right")
    if changed := sorted(set(found.items()) ^ set(facts.get("files", found).items())):
        raise BadInput(
            f"load {folder}",
            f"{changed[0][0]} is not the file that was written",
            "a folder as save() wrote it is right",
        )
    if facts.pop("digest", None) != digest(facts):
        raise BadInput(f"load {folder}", f"{_FACTS} is not as it was written", "a folder as save() wrote it is right")
    return facts, state


def digest(facts: dict[str, Any]) -> str:
    """Tells an edit by accident; who edits on purpose can write it anew. As read back, so that a tuple is a list."""
    return hashlib.sha256(json.dumps(json.loads(json.dumps(facts)), sort_keys=True).encode()).hexdigest()


def _safetensor_error() -> type[Exception]:
    error: type[Exception] = require("safetensors", "train").SafetensorError
    return error


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that JSON can hold."""
    found: dict[str, Any] = {}
    for name, given in settings.items():
        value = given
        if isinstance(given, np.random.RandomState | np.random.Generator):
            warnings.warn(f"save: {name} is a generator, which is not written; None stands in its place.", stacklevel=4)
            value = None
        found[name] = _written(value)
        try:
            json.dumps(found[name])
        except TypeError:
            raise BadInput(
                "save", f"{name}={value!r} cannot be written as JSON", "numbers, words and lists of them can"
            ) from None
    return found


def _written(value: Any) -> Any:
    """Plain lists and numbers; a dict as its pairs, since JSON would make words of its keys."""
    if hasattr(value, "tolist"):  # of numpy and pandas
        return _written(value.tolist())
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, list | tuple):
        return [_written(v) for v in value]
    if isinstance(value, dict):
        return {"pairs": [[_written(k), _written(v)] for k, v in value.items()]}
    return value


def read_setting(value: Any) -> Any:
    """What `_written` was given, lists for tuples and arrays."""
    if isinstance(value, list):
        return [read_setting(v) for v in value]
    return {k: read_setting(v) for k, v in value["pairs"]} if isinstance(value, dict) else value
