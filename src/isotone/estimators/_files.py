"""A fitted estimator as a folder: weights in safetensors, everything else in JSON; no pickle."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import BadInput, CannotWrite, require

FORMAT = 1
_FACTS, _WEIGHTS = "estimator.json", "weights.safetensors"


def write(place: str | os.PathLike[str], kind: str, facts: dict[str, Any], state: dict[str, Tensor]) -> None:
    """The folder, whole or not at all.

    Raises:
        CannotWrite: it is there already, or cannot be made.
    """
    folder = Path(place)
    if folder.exists():
        raise CannotWrite(folder, "it is there already; delete it or name another")
    text = json.dumps({"format": FORMAT, "estimator": kind, **facts}, indent=1)
    partial = folder.with_name(folder.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)  # one that an interrupted call left is written over
        require("safetensors.torch", "train").save_file(state, partial / _WEIGHTS)
        (partial / _FACTS).write_text(text)
        partial.rename(folder)
    except OSError as fault:
        raise CannotWrite(folder, fault.strerror or fault) from None


def read(place: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write` was given.

    Raises:
        BadInput: no such folder, another estimator, another format.
    """
    folder = Path(place)
    try:
        facts = json.loads((folder / _FACTS).read_text())
        state = require("safetensors.torch", "train").load_file(folder / _WEIGHTS)
    except (OSError, ValueError) as fault:
        raise BadInput(
            f"load {folder}", f"it cannot be read ({fault})", "a folder that save() wrote is right"
        ) from None
    if facts.get("format") != FORMAT or facts.get("estimator") != kind:
        came = f"format {facts.get('format')} of {facts.get('estimator')}"
        raise BadInput(f"load {folder}", f"{came} came", f"format {FORMAT} of {kind} is right")
    return facts, state


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that JSON can hold."""
    found: dict[str, Any] = {}
    for name, given in settings.items():
        value = given
        if isinstance(given, np.random.RandomState | np.random.Generator):
            warnings.warn(f"save: {name} is a generator, which is not written; None stands in its place.", stacklevel=4)
            value = None
        found[name] = _written(value)
    return found


def _written(value: Any) -> Any:
    """Plain lists and numbers; a dict as its pairs, since JSON would make words of its keys."""
    if isinstance(value, np.ndarray | np.generic):
        return _written(value.tolist())
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
