"""CSV and TSV as blocks of strings.

- a row of the wrong width, or with a broken quote, is a failure and does not stop the file;
- every cell stays the text that stood in the file: what it means is for the encoder to say, cell by cell.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import BadInput, require
from ._streams import BLOCK_SIZE, Block, Lines, check_names, open_text, table_of

LONGEST_CELL = 1 << 24  # characters; a quote that is never closed would otherwise swallow the file into one cell


def delimited_blocks(path: Path, rows: int, columns: Iterable[str] | None, delimiter: str) -> Iterator[Block]:
    """Blocks of at most `rows` rows, all columns strings."""
    pa = require("pyarrow", "tables")
    with open_text(path) as stream:
        lines = Lines(stream)
        # strict: otherwise a file that ends inside a quote would look whole.
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header = _header(path, reader)
        names = check_names(path, header, columns)
        place = {name: place for place, name in enumerate(header)}
        types = dict.fromkeys(names, pa.string())
        first = 0
        while chunk := _chunk(reader, lines, len(header), rows):
            cells, failures = chunk
            by_column = list(zip(*cells, strict=True))
            table = table_of({name: by_column[place[name]] for name in names}, types, len(cells), failures)
            yield Block(first, table, failures)
            first += len(cells)


def _header(path: Path, reader: Any) -> list[str]:
    try:
        with _long_cells():
            header: list[str] = next((row for row in reader if row), [])
    except csv.Error as fault:
        raise BadInput(
            str(path), f"its header cannot be read ({fault})", "the first line must name the columns"
        ) from None
    if not header:
        raise BadInput(str(path), "it holds nothing but blank lines", "a header and rows of data would be right")
    return header


def _chunk(
    reader: Any, lines: Lines, width: int, rows: int
) -> tuple[list[list[str] | list[None]], dict[int, str]] | None:
    """The next rows, each as wide as the header, and why some are empty; None at the end of the file."""
    cells: list[list[str] | list[None]] = []
    failures: dict[int, str] = {}
    nothing: list[None] = [None] * width
    end = lines.size + BLOCK_SIZE
    with _long_cells():
        while len(cells) < rows and (lines.size < end or not cells):
            began = lines.number + 1
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as fault:
                failures[len(cells)] = _broken(fault, began)
                cells.append(nothing)
                continue
            if lines.cut:
                lines.cut = False
                failures[len(cells)] = f"line {lines.number} is too long to be read"
                cells.append(nothing)
            elif len(row) == width:
                cells.append(row)
            elif not row and width == 1:  # an empty cell looks like this
                cells.append([""])
            elif row:  # a blank line is no row
                failures[len(cells)] = f"it has {len(row)} cells and the header has {width} (line {began})"
                cells.append(nothing)
    return (cells, failures) if cells else None


def _broken(fault: csv.Error, line: int) -> str:
    """What a csv.Error means for the row that begins at `line`."""
    if "unexpected end" in str(fault) or "field limit" in str(fault):
        return f"a quote in line {line} is never closed, so rows after it may be lost"
    return f"a quote in line {line} is closed before the cell ends"


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module's limit on the size of a cell is one for all: lift it only while we read."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
