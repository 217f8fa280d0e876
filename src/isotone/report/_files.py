"""A file is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CannotWrite


def write_whole(path: str | Path, content: bytes) -> Path:
    """Write beside `path`, then move into place; on a fault, what stood there before still does.

    Raises:
        CannotWrite: the folder does not exist or does not let itself be written to, or `path` is a folder.
    """
    path = Path(path)
    if not path.name:
        raise CannotWrite(path, "it names no file")
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as fault:
        raise CannotWrite(path, fault.strerror or fault) from None
    return path
