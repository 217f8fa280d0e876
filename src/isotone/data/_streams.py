"""Text files as lines, and what a reader hands on: blocks of rows, with the rows that could not be read.

- a line, and a block, has a largest size, so that memory stays constant whatever the file holds;
- a row that cannot be read keeps its place: it is all null in the table, and its reason stands beside it.
"""

from __future__ import annotations

import codecs
import gzip
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import BadInput, listed, require

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_LINE = 1 << 26  # characters
BLOCK_SIZE = 1 << 25  # characters after which a block ends, however few its rows
PART = 1 << 21  # bytes that are read at once
STDIN = "-"


@dataclass(frozen=True)
class Block:
    """Some consecutive rows of a file.

    Args:
        first: which row of the file `table` begins with, counted from 0.
        table: the rows. Those in `failures` are null in every column.
        failures: position in `table` -> why this row could not be read.
    """

    first: int
    table: pa.Table
    failures: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)


class Lines:
    """The lines of a text stream, counted in `number` and measured in `size`; `cut` says that the last was too long.

    `before` lines came before it.

    >>> import io
    >>> list(Lines(io.StringIO("a\\nb")))
    ['a\\n', 'b']
    """

    def __init__(self, stream: IO[str], before: int = 0) -> None:
        self.stream = stream
        self.number = before
        self.size = 0
        self.cut = False

    def __iter__(self) -> Iterator[str]:
        while line := self.stream.readline(LONGEST_LINE):
            self.number += 1
            self.size += len(line)
            if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
                self.cut = True
                while (rest := self.stream.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
                    pass
            yield line


def open_text(path: Path) -> IO[str]:
    """The file as text, unzipped if it ends in .gz; bytes that are not UTF-8 come as surrogates, see `is_utf8`."""
    if str(path) == STDIN:
        return os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8-sig", errors="surrogateescape", newline="")
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    stream: IO[str] = opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return stream


def open_bytes(path: Path) -> Any:
    """The file as bytes, unzipped if it ends in .gz; `-` is standard input, read as it comes."""
    if str(path) == STDIN:
        return _AsItComes(sys.stdin.fileno())
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


class _AsItComes:
    """A pipe or terminal: a read waits for the first bytes only, and takes what is there besides."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> _AsItComes:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # standard input is not ours to close

    def read(self, most: int) -> bytes:
        found = [os.read(self._descriptor, most)]
        size = len(found[0])
        while found[-1] and size < most and self._ready():
            found.append(os.read(self._descriptor, most - size))
            size += len(found[-1])
        return b"".join(found)

    def _ready(self) -> bool:
        try:
            return bool(select.select([self._descriptor], [], [], 0)[0])
        except (OSError, ValueError):  # where pipes cannot be asked
            return False


def parts_of(stream: Any) -> Iterator[bytes]:
    """The bytes in parts that end where a line does; a line that is too long is cut, and its rest left out."""
    held = stream.read(PART).removeprefix(codecs.BOM_UTF8)
    rest = b""
    while held or rest:
        end = held.rfind(b"\n") + 1
        if not held:
            yield rest
            return
        if end:
            yield rest + held[:end]
            rest = held[end:]
        else:
            rest += held
            if len(rest) >= LONGEST_LINE:
                yield b"." * LONGEST_LINE  # `Lines` sees that it was cut
                rest = b""
                while held and b"\n" not in held:
                    held = stream.read(PART)
                rest = held[held.find(b"\n") + 1 :]
        held = stream.read(PART)


def is_utf8(value: object) -> bool:
    """Whether a cell, or each string in a list of them, can be written as UTF-8."""
    try:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_names(path: Path, names: Sequence[str], columns: Iterable[str] | None) -> list[str]:
    """The names of the columns to keep, in the order of the file: all, or those in `columns`.

    Raises:
        BadInput: a name stands twice or is empty, or a column that is needed did not come.
    """
    if not all(map(is_utf8, names)):
        raise BadInput(
            str(path), "its column names are not UTF-8", "a file in UTF-8 would be right", "Convert it first."
        )
    for place, name in enumerate(names):
        if not name.strip():
            then = "If a program wrote it as the index of its rows, write the file without the index."
            raise BadInput(str(path), f"its column {place + 1} has no name", "every column needs one", then)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(str(path), f"the column name {twice!r} stands twice", "each column needs a name of its own")
    if columns is None:
        return list(names)
    check_columns(str(path), columns, names)
    kept = set(columns)
    return [name for name in names if name in kept]


def check_columns(where: str, needed: Iterable[str], came: Sequence[str]) -> None:
    """Do nothing if all needed columns came.

    Raises:
        BadInput: which are missing, and what came instead.
    """
    if missing := sorted(set(needed) - set(came)):
        shown = ", ".join(map(repr, missing[:4])) + (f", ... ({len(missing)} in all)" if len(missing) > 4 else "")
        plural = "s" if len(missing) > 1 else ""
        right = f"the model was trained with {'them' if plural else 'it'} and cannot score without"
        raise BadInput(where, f"column{plural} {shown} did not come", right, f"What came: {listed(came, 'column')}")


def table_of(
    columns: Mapping[str, Sequence[Any]], types: Mapping[str, Any], rows: int, failures: dict[int, str]
) -> pa.Table:
    """A table from cells. A row with a string that is not UTF-8 is emptied and joins `failures`."""
    pa = require("pyarrow", "tables")
    if not columns:  # from_arrays would forget how many rows there are
        return pa.Table.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    try:
        arrays = [pa.array(cells, types[name]) for name, cells in columns.items()]
    except UnicodeEncodeError:
        odd = {row for cells in columns.values() for row, cell in enumerate(cells) if not is_utf8(cell)}
        failures |= dict.fromkeys(odd, "it is not UTF-8 text")
        clean = {name: [None if i in odd else c for i, c in enumerate(cells)] for name, cells in columns.items()}
        return table_of(clean, types, rows, failures)
    return pa.Table.from_arrays(arrays, names=list(columns))
