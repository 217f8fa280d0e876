"""A fitted detector as a folder: both lanes, thresholds and threat, without pickle."""

from __future__ import annotations

import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput
from ..evaluation import Interval
from ..floors import floor_from_state
from ..saving import plain, read_setting
from ..saving import read as read_folder
from ..saving import write as write_folder
from ..threat import Roles, Threat
from . import _free
from ._budget import Shares

_SETTINGS = ("max_false_alarm_rate", "max_clean_loss", "folds", "validation_fraction", "random_state")
_INTERVALS = ("false_alarm_rate_", "detection_", "certified_detection_")


def write(detector: Any, folder: str | os.PathLike[str]) -> None:
    """See `Detector.save`."""
    state, floor = detector.floor_.to_state()
    threat = detector.threat
    facts: dict[str, Any] = {
        "settings": plain({name: getattr(detector, name) for name in _SETTINGS}),
        "threat": threat.to_dict() if isinstance(threat, Threat) else plain({"directions": threat})["directions"],
        "classes": detector.classes_.tolist(),
        "kind": detector.classes_.dtype.str if detector.classes_.dtype != object else "object",
        "features": detector.n_features_in_,
        "names": detector.names_,
        "named": hasattr(detector, "feature_names_in_"),
        "directions": list(detector.directions_),
        "roles": asdict(detector.roles_),
        "kept": None if detector._kept is None else detector._kept.tolist(),
        "shares": {name: _number(value) for name, value in asdict(detector.shares_).items()},
        "slopes": list(detector._slopes),
        "bits": detector._bits,
        "baseline": detector._baseline.tolist(),
        "importance": detector._importance.tolist(),
        "supported": bool(detector.supported_),
        "held_out": bool(detector.held_out_),
        "intervals": {name: None if (i := getattr(detector, name)) is None else asdict(i) for name in _INTERVALS},
        "floor": floor,
        "free": None,
    }

    def beside(partial: Path) -> None:
        if detector.free_ is not None:
            facts["free"] = _free.write(detector.free_, partial)

    write_folder(folder, "Detector", facts, state, beside)


def read(cls: Any, folder: str | os.PathLike[str]) -> Any:
    """See `Detector.load`."""
    facts, state = read_folder(folder, "Detector")
    try:
        return _restored(cls, facts, state, Path(folder))
    except (KeyError, TypeError, ValueError) as fault:
        if isinstance(fault, BadInput):
            raise
        raise BadInput(
            f"load {folder}",
            f"its facts are not those of a detector ({fault!r})",
            "a folder that save() wrote is right",
        ) from None


def _restored(cls: Any, facts: dict[str, Any], state: dict[str, Any], folder: Path) -> Any:
    threat = facts["threat"]
    detector = cls(
        Threat.of(threat) if isinstance(threat, dict) and "pairs" not in threat else read_setting(threat),
        **{name: read_setting(given) for name, given in facts["settings"].items()},
        free="auto" if facts["free"] else None,
    )
    detector.classes_ = np.array(facts["classes"], dtype=object if facts["kind"] == "object" else facts["kind"])
    detector.n_features_in_, detector.names_ = facts["features"], facts["names"]
    if facts["named"]:
        detector.feature_names_in_ = np.array(facts["names"], dtype=object)
    detector.directions_ = tuple(facts["directions"])
    detector.roles_ = Roles(**{field.name: tuple(facts["roles"][field.name]) for field in fields(Roles)})
    detector._kept = None if facts["kept"] is None else np.array(facts["kept"], dtype=np.int64)
    shares: dict[str, Any] = {n: float(v) if isinstance(v, str) else v for n, v in facts["shares"].items()}
    detector.shares_ = Shares(**shares)
    detector._slopes = tuple(facts["slopes"])
    detector._bits = facts["bits"]
    detector._baseline, detector._importance = np.array(facts["baseline"]), np.array(facts["importance"])
    detector.supported_, detector.held_out_ = facts["supported"], facts["held_out"]
    for name, given in facts["intervals"].items():
        setattr(detector, name, None if given is None else Interval(**given))
    if strange := _ways(facts["floor"]) - {detector.directions_}:
        raise ValueError(f"its floor has other directions: {min(strange)[:5]} ...")
    detector.floor_, detector._judged = floor_from_state(state, facts["floor"]), None
    detector.free_ = None if facts["free"] is None else _free.read(facts["free"], folder)
    return detector


def _ways(floor: dict[str, Any]) -> set[tuple[int, ...]]:
    """The directions that the parts of a floor have."""
    parts = floor.get("parts")
    return {tuple(floor["directions"])} if parts is None else set().union(*(_ways(part) for part in parts))


def _number(value: Any) -> Any:
    """Infinities as words: JSON has none."""
    return value if isinstance(value, int) or np.isfinite(value) else str(value)
