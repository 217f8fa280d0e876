"""JSON lines as blocks.

- a line that is not one JSON object is a failure and does not stop the file;
- an array of strings is a bag of names, and so is an object name -> count: those whose count is above 0;
- no row changes how its neighbours are read: where a key holds another kind of value, a new block begins.
"""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BadInput, require
from ._arrow_json import is_plain, plain_table
from ._streams import (
    BLOCK_SIZE,
    STDIN,
    Block,
    Lines,
    check_columns,
    check_names,
    open_bytes,
    open_text,
    parts_of,
    table_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["a number", "text", "a list of names"]
Row = dict[str, Any]

PIECE = 1 << 16  # bytes around a line that is not plain, which are read carefully
MOST_MISSES = 32
AS_JSON = b"json"  # a mark of a field


def jsonl_blocks(
    path: Path, rows: int | None, columns: Iterable[str] | None, exact: Iterable[str] = ()
) -> Iterator[Block]:
    """Blocks of at most `rows` rows; `rows=None` is the whole file in one, and then a key must keep its kind.

    Of the columns in `exact` numbers that a block would round come as their JSON, and the field says so (`cells_of`).
    """
    wanted = None if columns is None else list(dict.fromkeys(columns))
    if rows is None:
        with open_text(path) as stream:
            yield from _Careful(path, wanted).blocks(Lines(stream), None)
        return
    with open_bytes(path) as stream:
        yield from _streamed(_Careful(path, wanted, frozenset(exact)), parts_of(stream), rows)


def cells_of(table: pa.Table, name: str) -> list[Any]:
    """The cells of a column as they stood in the file."""
    cells: list[Any] = table[name].to_pylist()
    if AS_JSON not in (table.schema.field(name).metadata or {}):
        return cells
    return [None if cell is None else json.loads(cell) for cell in cells]


def _streamed(careful: _Careful, parts: Iterable[bytes], rows: int) -> Iterator[Block]:
    """Fast where lines are as plain as those that were read carefully before; one that is not costs a small piece."""
    misses = 0
    for number, part in enumerate(parts):
        # Files that are never plain are not asked again and again.
        hopeful = misses < MOST_MISSES or number % MOST_MISSES == 0
        pieces = [part]
        while pieces:
            piece = pieces.pop()
            table = plain_table(piece, careful.types) if careful.types and hopeful else None
            if table is not None:
                misses = 0
                yield from careful.taken(table, rows)
            elif hopeful and len(piece) > PIECE and (cut := _cut(piece, careful.types is None)):
                pieces += [piece[cut:], piece[:cut]]
            else:
                misses += 1
                text = io.TextIOWrapper(io.BytesIO(piece), encoding="utf-8", errors="surrogateescape", newline="")
                yield from careful.blocks(Lines(text, careful.lines), rows)


def _cut(piece: bytes, early: bool) -> int:
    """Where a line ends: near the middle, or early on if there is nothing to go by yet; 0 for nowhere."""
    end = piece.find(b"\n", PIECE if early else len(piece) // 2) + 1
    return end if end < len(piece) else 0


class _Careful:
    """Line by line; it counts the rows and lines that have been read so far."""

    def __init__(self, path: Path, wanted: list[str] | None, exact: frozenset[str] = frozenset()) -> None:
        self.path, self.wanted, self.exact = path, wanted, exact
        self.rows = self.lines = 0
        self.types: dict[str, Any] = {}  # of all keys: what nobody wants must be plain too
        # A first row of a stream that lacks a column is one bad row among those to come; a file is known by its first.
        self._checked = str(path) == STDIN and wanted is not None

    def blocks(self, lines: Lines, rows: int | None) -> Iterator[Block]:
        source = iter(lines)
        while chunk := list(_objects(source, lines, rows)):
            seen = dict.fromkeys(key for row in chunk if isinstance(row, dict) for key in row)
            if seen and not self._checked:
                # Only once: later, a key that all rows of a chunk lack is the fault of those rows, not of the file.
                if self.wanted is None:
                    check_names(self.path, list(seen), None)
                else:  # other keys of other rows are nobody's concern
                    check_columns(str(self.path), self.wanted, list(seen))
                self._checked = True
            known = list(seen) if self.wanted is None else self.wanted
            for run in _runs(self.path, chunk, known, whole=rows is None):
                yield _block(self.rows, run, known, self.exact)
                self.rows += len(run)
            if rows is not None:
                self.types = _all_types(chunk, seen, self.types)
                if any(str(self.types.get(name)) == "double" for name in self.exact):
                    self.types = {}
        self.lines = lines.number

    def taken(self, table: pa.Table, rows: int) -> Iterator[Block]:
        """Blocks of a table that was read the fast way."""
        self.lines += table.num_rows
        if self.wanted is not None:
            table = table.select(self.wanted)
        for start in range(0, table.num_rows, rows):
            yield Block(self.rows, table.slice(start, rows))
            self.rows += min(rows, table.num_rows - start)


def _all_types(chunk: list[Row | str], seen: Iterable[str], before: dict[str, Any]) -> dict[str, Any]:
    """The type of every key so far, wanted or not; nothing if one of them is not plain."""
    pa = require("pyarrow", "tables")
    types = dict(before)
    for key in seen:
        cells = [row.get(key) for row in chunk if isinstance(row, dict)]
        if len({_kind(cell) for cell in cells if cell is not None}) > 1:
            return {}
        found = _type(cells)
        if key not in types or (types[key], found) == (pa.int64(), pa.float64()):
            types[key] = found
    return types if all(map(is_plain, types.values())) else {}


def _objects(source: Iterator[str], lines: Lines, rows: int | None) -> Iterator[Row | str]:
    """The next lines as objects, or as the reason why not. Blank lines are no rows."""
    end = math.inf if rows is None else lines.size + BLOCK_SIZE
    filled = (line for line in source if lines.cut or line.strip())
    for line in itertools.islice(filled, rows):
        yield _object(line, lines)
        if lines.size >= end:
            return


def _object(line: str, lines: Lines) -> Row | str:
    if lines.cut:
        lines.cut = False
        return f"line {lines.number} is too long to be read"
    try:
        value = json.loads(line, object_pairs_hook=_unique)
    except _KeyTwice as fault:
        return f"line {lines.number} has the key {fault.args[0]!r} twice"
    except (ValueError, RecursionError) as fault:
        what = f"{fault.msg} at character {fault.colno}" if isinstance(fault, json.JSONDecodeError) else str(fault)
        return f"line {lines.number} is not JSON ({what})"
    if not isinstance(value, dict):
        return f"line {lines.number} is not a JSON object"
    return {key: _value(cell) for key, cell in value.items()}


class _KeyTwice(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    """Two values for one key: which is meant differs from reader to reader, and an attacker would choose."""
    row = dict(pairs)
    if len(row) < len(pairs):
        seen: set[str] = set()
        raise _KeyTwice(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return row


def _value(cell: Any) -> Any:
    """A number, a text, a list of names; anything else is None, and the encoder will miss it if it needs it."""
    if isinstance(cell, dict):
        numbers = all(isinstance(count, int | float) and not math.isnan(count) for count in cell.values())
        return [name for name, count in cell.items() if count > 0] if numbers else None
    if isinstance(cell, list):
        return cell if all(isinstance(name, str) for name in cell) else None
    return cell


def _kind(cell: Any) -> Kind:
    return "text" if isinstance(cell, str) else "a list of names" if isinstance(cell, list) else "a number"


def _runs(path: Path, chunk: list[Row | str], known: Iterable[str], whole: bool) -> Iterator[list[Row | str]]:
    """Consecutive rows in which every key holds one kind of value."""
    names = frozenset(known)
    run: list[Row | str] = []
    kinds: dict[str, Kind] = {}
    for place, row in enumerate(chunk):
        new = {k: _kind(v) for k, v in row.items() if k in names and v is not None} if isinstance(row, dict) else {}
        odd = next((key for key, kind in new.items() if kinds.get(key, kind) != kind), None)
        if odd is not None:
            if whole:
                came = f"column {odd!r} holds {kinds[odd]} before row {place + 1}, and {new[odd]} there"
                raise BadInput(str(path), came, "a column needs one kind of value")
            yield run
            run, kinds = [], {}
        run.append(row)
        kinds |= new
    if run:
        yield run


def _block(first: int, run: list[Row | str], names: list[str], exact: frozenset[str] = frozenset()) -> Block:
    failures = {place: row for place, row in enumerate(run) if isinstance(row, str)}
    columns = {name: [None if isinstance(row, str) else row.get(name) for row in run] for name in names}
    types = {name: _type(cells) for name, cells in columns.items()}
    pa = require("pyarrow", "tables")
    rounded = [name for name in exact & set(columns) if types[name] == pa.float64()]
    for name in rounded:
        columns[name] = [None if cell is None else _json(cell) for cell in columns[name]]
        types[name] = pa.string()
    for name, cells in columns.items():
        if types[name] == pa.float64():
            columns[name] = [None if cell is None else _float(cell) for cell in cells]
        elif types[name] == pa.int64():
            columns[name] = [None if cell is None else int(cell) for cell in cells]
    table = table_of(columns, types, len(run), failures)
    for name in rounded:
        field = pa.field(name, pa.string(), metadata={AS_JSON: b"1"})
        table = table.set_column(table.schema.get_field_index(name), field, table[name])
    return Block(first, table, failures)


def _json(number: float) -> str:
    """As it stood in the file; what is no JSON (infinity) as its word."""
    return json.dumps(number if isinstance(number, int) or math.isfinite(number) else str(number))


def _type(cells: list[Any]) -> Any:
    """The narrowest type for cells of one kind."""
    pa = require("pyarrow", "tables")
    filled = [cell for cell in cells if cell is not None]
    if not filled:
        return pa.null()
    if isinstance(filled[0], str):
        return pa.string()
    if isinstance(filled[0], list):
        return pa.list_(pa.string())
    if all(isinstance(cell, bool) for cell in filled):
        return pa.bool_()
    whole = all(isinstance(cell, int) and -(2**63) <= cell < 2**63 for cell in filled)
    return pa.int64() if whole else pa.float64()


def _float(number: float) -> float:
    """JSON has integers beyond any float; those are as infinite as 1e999 is."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
