"""What was measured: a line of JSON for every finished (set, split, model), written whole or not at all.

- a second session skips what stands there; a line cut off by a power failure is passed over;
- of several lines about the same, the last one counts;
- opening a set that is not for development leaves a row in a log.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
Key = tuple[str, int, str]
PACKAGES = (
    "torch",
    "numpy",
    "scikit-learn",
    "lightgbm",
    "xgboost-cpu",
    "catboost",
    "monotonicnetworks",
    "mononet",
    "pytorch-lattice",
)


def lines(path: Path) -> list[dict[str, Any]]:
    """Every whole line."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def measured(path: Path) -> dict[Key, dict[str, Any]]:
    """The last line without an error about each (set, split, model)."""
    return {(row["set"], row["split"], row["model"]): row for row in lines(path) if "error" not in row}


def append(path: Path, record: dict[str, Any]) -> None:
    """One write of one line at the end, and on the disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(record) + "\n").encode()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            text = b"\n" + text
        os.write(handle, text)
        os.fsync(handle)
    finally:
        os.close(handle)


def commit() -> str:
    """The commit, and whether files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def circumstances() -> dict[str, Any]:
    """What a record needs to be made again."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "commit": commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "versions": versions,
    }


def keep(path: Path, command: str, found: dict[str, Any]) -> None:
    """What one command found, with its circumstances: one file of JSON, replaced whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps({"command": command, **circumstances(), **found}, indent=1) + "\n")
    beside.replace(path)


def log_opening(path: Path, sets: Iterable[str], command: str) -> None:
    """One more row in the list of openings; the file is replaced whole."""
    rows = json.loads(path.read_text()) if path.exists() else []
    rows.append(
        {**{k: v for k, v in circumstances().items() if k != "versions"}, "sets": list(sets), "command": command}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps(rows, indent=1) + "\n")
    beside.replace(path)
