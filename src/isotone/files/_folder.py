"""A folder of files with a table of their labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput, listed

LONGEST_CELL = 2**17


@dataclass(frozen=True)
class Labelled:
    """Paths with their labels, and the groups to split by; all of one length.

    Args:
        paths: of files inside the folder.
        labels: 0 or 1.
        groups: files of one group belong on one side of a split; the file itself where the table says nothing.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


def labelled(
    folder: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    path: str = "path",
    label: str = "label",
    group: str = "group",
) -> Labelled:
    """Read a CSV of paths and labels.

    Args:
        folder: what the paths are relative to.
        labels: a CSV file in UTF-8 with a header.
        path, label, group: its columns; the groups may be missing. A label is 0 or 1.

    Raises:
        BadInput: a column or a file is missing, a path leads out of the folder or comes twice, a label is neither.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a").write_bytes(b"x"), (folder / "labels.csv").write_text("path,label\\na,1\\n")
    >>> labelled(folder, folder / "labels.csv").labels
    (1,)
    """
    root, where = Path(folder), str(labels)
    try:
        with Path(labels).open(encoding="utf-8-sig", newline="") as stream:
            csv.field_size_limit(LONGEST_CELL)
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or ())
            for needed in (path, label):
                if needed not in columns:
                    raise BadInput(where, f"it has no column {needed!r}", listed(columns, "column").rstrip("."))
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise BadInput(where, f"it cannot be read ({fault})", "a CSV file in UTF-8 with a header is right") from None
    found = [_row(root, row, number, where, (path, label, group)) for number, row in enumerate(rows, 2)]
    if not found:
        raise BadInput(where, "it has no rows", "one per file is right")
    twice = {p for p, *_ in found}
    if len(twice) < len(found):
        raise BadInput(where, f"{len(found) - len(twice)} paths come twice", "one row per file is right")
    paths, kinds, groups = zip(*found, strict=True)
    return Labelled(paths, kinds, groups)


def _row(
    root: Path, row: Mapping[str | None, str | None], line: int, where: str, columns: tuple[str, str, str]
) -> tuple[Path, int, str]:
    name, kind, group = ((row.get(column) or "").strip() for column in columns)
    place = f"{where}, line {line}"
    if kind not in {"0", "1"}:
        raise BadInput(place, f"the label {kind[:20]!r} came", "0 or 1 is right")
    target = root / name
    # A table that somebody sends must not be able to have other files of this machine read.
    if not name or "\0" in name or not target.resolve().is_relative_to(root.resolve()):
        raise BadInput(place, f"the path {name[:80]!r} came", "one inside the folder is right")
    if not target.is_file():
        raise BadInput(place, f"{name[:80]!r} is no file of {root}", "a file is right")
    return target, int(kind), group or name
