"""Cells -> numbers and bags of names, whatever pyarrow type they come in.

- a cell that cannot be used is a fault with a reason, and says nothing about its neighbours;
- the same cell gives the same value from CSV (a string), JSON lines and Parquet.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ._tables import MISSING

if TYPE_CHECKING:
    import pyarrow as pa

# What is no part of a word separates words; letters beyond ASCII do too.
NOT_A_WORD = "[^A-Za-z0-9$!%]+"
SHORTEST_WORD = 2
BETWEEN_NAMES = r"[\s;]+"
# What a list looks like that somebody has written into a cell. Cut at spaces it would give names that no other row has.
A_LIST = r"^\s*\[|,"
# A string in quotes, and what may stand after it: a comma, spaces, or the end.
QUOTED = re.compile(r"""\s*('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")(?:\s*,\s*|\s+|\s*$)""")

# What pyarrow's cast to float64 takes, without its nan and inf.
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
LARGEST = float(np.finfo(np.float32).max)

FEW = 2_000  # names that Python looks up sooner than pyarrow

Faults = dict[int, str]


class Bag(NamedTuple):
    """The names in a stretch of rows: entry i says that row `rows[i]` has the name `names[codes[i]]`; no pair twice."""

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    names: list[str]


def numbers(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], Faults]:
    """One float64 per row, NaN at the faults: no number, infinite, or beyond float32."""
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    column, kind = _plain(column)
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    elif _is_text(kind):
        cells = column
        column = _parsed(column)
    elif not is_numeric(column):
        reason = "has no number" if pa.types.is_null(kind) else f"holds {kind}, not a number"
        return np.full(len(column), np.nan), dict.fromkeys(range(len(column)), reason)
    values = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan).to_numpy().astype(np.float64)
    good = np.abs(values) <= LARGEST  # False for NaN
    if good.all():
        return values, {}
    at = np.flatnonzero(~good)
    shown = cells.take(at).to_pylist() if _is_text(kind) else values[at].tolist()
    faults = {int(row): _no_number(cell, values[row]) for row, cell in zip(at, shown, strict=True)}
    values[at] = np.nan
    return values, faults


def presences(column: pa.ChunkedArray) -> tuple[NDArray[np.bool_], Faults]:
    """Whether each row has the name: 1 or 0; any other number is a fault."""
    values, faults = numbers(column)
    odd = np.flatnonzero((values != 0) & (values != 1) & ~np.isnan(values))
    faults |= {int(row): f"holds {values[row]:g}, and only 0 (absent) or 1 (present) is known" for row in odd}
    return values == 1, faults


def words(column: pa.ChunkedArray) -> Iterator[tuple[Bag, Faults]]:
    """The words of each text, chunk by chunk; rows are counted over the whole column."""
    pc = require("pyarrow.compute", "tables")
    column, kind = _plain(column)
    for first, chunk in _chunks(column):
        if not _is_text(kind):
            yield _nothing(first, chunk, "has no text")
        else:
            # Lower case only after the cut: U+212A, the sign for kelvin, would else turn into an ASCII k.
            lists = pc.split_pattern_regex(chunk, NOT_A_WORD)
            yield _bag(first, lists, "has no text", fold=pc.ascii_lower, shortest=SHORTEST_WORD)


def names(column: pa.ChunkedArray) -> Iterator[tuple[Bag, Faults]]:
    """The names in each list, or in each cell of a CSV, chunk by chunk; rows are counted over the whole column."""
    column, kind = _plain(column)
    for first, chunk in _chunks(column):
        if not is_names(column):
            yield _nothing(first, chunk, "has no list of names")
        else:
            lists, odd = _cut(chunk) if _is_text(kind) else (chunk, {})
            bag, faults = _bag(first, lists, "has no list of names")
            yield bag, faults | {first + row: why for row, why in odd.items()}


class Found(NamedTuple):
    """Which names of a vocabulary are in a stretch of rows: `places[i]` is in row `rows[i]`, in order, no pair twice.

    `unknown`: of each row, how many different names are not in the vocabulary.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    unknown: NDArray[np.int64]


def known_names(column: pa.ChunkedArray, vocabulary: pa.Array, place_of: Mapping[str, int]) -> tuple[Found, Faults]:
    """As `names`, for names that are looked up rather than learnt: most of the time of scoring is spent here.

    `place_of` says the same as `vocabulary`: pyarrow makes a table of its own at each call, too dear for a few rows.
    """
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    column, kind = _plain(column)
    if not is_names(column):
        empty = np.empty(0, np.int64)
        return Found(empty, empty, np.zeros(len(column), np.int64)), dict.fromkeys(
            range(len(column)), "has no list of names"
        )
    keys: list[NDArray[np.int64]] = []
    unknown = np.zeros(len(column), np.int64)
    faults: Faults = {}
    width = max(1, len(vocabulary))
    for first, chunk in _chunks(column):
        lists, odd = _cut(chunk) if _is_text(kind) else (chunk, {})
        rows = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
        cells = pc.list_flatten(lists)
        if pa.types.is_null(cells.type):
            cells = cells.cast(pa.string())
        if len(cells) < FEW:
            places = np.array([place_of.get(name, -1) for name in cells.to_pylist()], dtype=np.int64)
        else:
            places = pc.fill_null(pc.index_in(cells, vocabulary.cast(cells.type)), -1).to_numpy()
        strange = np.flatnonzero(places < 0)
        if len(strange):
            others = cells.take(pa.array(strange)).dictionary_encode()
            codes = pc.fill_null(others.indices, -1).to_numpy().astype(np.int64)
            nameless = np.unique(rows[strange[codes < 0]]).tolist()
            faults |= {first + row: "has a list with a missing name" for row in nameless}
            called = np.array([name != "" for name in others.dictionary.to_pylist()], dtype=np.bool_)
            counted = codes >= 0
            counted[counted] = called[codes[counted]]
            pairs = _distinct(rows[strange[counted]] * (len(called) + 1) + codes[counted])
            unknown[first : first + len(chunk)] = np.bincount(pairs // (len(called) + 1), minlength=len(chunk))
        there = places >= 0
        keys.append(_distinct((rows[there] + first) * width + places[there]))
        if lists.null_count:
            missing = np.flatnonzero(lists.is_null().to_numpy(zero_copy_only=False)).tolist()
            faults |= {first + row: odd.get(row, "has no list of names") for row in missing}
    rows, places = np.divmod(np.concatenate([np.empty(0, np.int64), *keys]), width)
    return Found(rows, places, unknown), faults


def _distinct(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted, each once. Names that stand in order in their rows are so already, and a look is cheaper than a sort."""
    if len(pairs) and not (np.diff(pairs) > 0).all():
        pairs.sort()  # four times faster than np.unique
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    return pairs


def is_numeric(column: pa.ChunkedArray) -> bool:
    """Whether the cells are numbers or booleans already."""
    kind, types = _plain(column)[1], require("pyarrow", "tables").types
    return any(test(kind) for test in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean))


def is_text(column: pa.ChunkedArray) -> bool:
    """Whether the cells are strings."""
    return _is_text(_plain(column)[1])


def is_names(column: pa.ChunkedArray) -> bool:
    """Whether the cells are lists of strings, or strings."""
    pa = require("pyarrow", "tables")
    kind = _plain(column)[1]
    return _is_text(kind) or (_is_list(kind) and (_is_text(kind.value_type) or pa.types.is_null(kind.value_type)))


def _chunks(column: Any) -> Iterator[tuple[int, Any]]:
    first = 0
    for chunk in column.chunks:
        yield first, chunk
        first += len(chunk)


def _cut(chunk: Any) -> tuple[Any, Faults]:
    """Cells of text as lists of names: cut at spaces and semicolons, or read as the list that they hold."""
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    lists = pc.split_pattern_regex(chunk, BETWEEN_NAMES)
    odd = np.flatnonzero(pc.fill_null(pc.match_substring_regex(chunk, A_LIST), False).to_numpy(zero_copy_only=False))
    if not len(odd):
        return lists, {}
    whole, faults = lists.to_pylist(), {}
    for row in odd.tolist():
        whole[row] = _listed(chunk[row].as_py())
        if whole[row] is None:
            faults[row] = 'holds neither names between spaces or semicolons nor a list such as ["a", "b"]'
    return pa.array(whole, pa.list_(chunk.type)), faults


def _listed(cell: str) -> list[str] | None:
    """The strings of a list in JSON, or as Python or NumPy print one; None if it is none."""
    cell = cell.strip()
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        found = _printed(cell[1:-1])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return None
    try:
        "".join(found).encode()  # half a surrogate pair is no text
    except UnicodeEncodeError:
        return None
    return found


def _printed(inner: str) -> list[str] | None:
    """Strings in quotes, with commas between them as Python prints a list, or with spaces as NumPy does."""
    found, at = [], 0
    while at < len(inner):
        one = QUOTED.match(inner, at)
        if one is None:
            return None
        try:
            found.append(str(ast.literal_eval(one[1])) if "\\" in one[1] else one[1][1:-1])
        except (ValueError, SyntaxError):
            return None
        at = one.end()
    return found


def _nothing(first: int, chunk: Any, reason: str) -> tuple[Bag, Faults]:
    empty = np.empty(0, np.int64)
    return Bag(empty, empty, []), dict.fromkeys(range(first, first + len(chunk)), reason)


def _bag(first: int, lists: Any, lacking: str, fold: Any = None, shortest: int = 1) -> tuple[Bag, Faults]:
    """The distinct names of each list that are long enough; a null list, or one with a null in it, is a fault."""
    pc = require("pyarrow.compute", "tables")
    rows = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    coded = pc.list_flatten(lists).dictionary_encode()
    # Folding may make two names one: encode once more.
    folded = (coded.dictionary if fold is None else fold(coded.dictionary)).dictionary_encode()
    found = folded.dictionary.to_pylist()
    codes = pc.fill_null(coded.indices, -1).to_numpy().astype(np.int64)
    nameless = np.unique(rows[codes < 0]).tolist()
    faults = {first + row: lacking for row in np.flatnonzero(lists.is_null().to_numpy(zero_copy_only=False)).tolist()}
    faults |= {first + row: "has a list with a missing name" for row in nameless}
    rows, codes = rows[codes >= 0], folded.indices.to_numpy().astype(np.int64)[codes[codes >= 0]]
    kept = np.array([len(name) >= shortest for name in found], dtype=np.bool_)[codes]
    pairs = _distinct(rows[kept] * max(1, len(found)) + codes[kept])
    rows, codes = np.divmod(pairs, max(1, len(found)))
    return Bag(rows + first, codes, found), faults


def _plain(column: pa.ChunkedArray) -> tuple[Any, Any]:
    """The column without dictionary encoding and string views, which few kernels know; and its type."""
    pa = require("pyarrow", "tables")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if _is_list(column.type) and pa.types.is_string_view(column.type.value_type):
        column = column.cast(pa.list_(pa.string()))
    return column, column.type


def _is_text(kind: Any) -> bool:
    types = require("pyarrow", "tables").types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_list(kind: Any) -> bool:
    types = require("pyarrow", "tables").types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _parsed(column: Any) -> Any:
    """Strings as numbers, null where they are none."""
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    plain = pc.fill_null(pc.match_substring_regex(column, NUMBER), False)
    if not pc.all(plain, min_count=0).as_py():
        column = pc.utf8_trim_whitespace(column)
        lower = pc.ascii_lower(column)
        column = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", column))
        plain = pc.fill_null(pc.match_substring_regex(column, NUMBER), False)
        column = pc.if_else(plain, column, pa.scalar(None, column.type))
    return pc.cast(column, pa.float64())


def _no_number(cell: object, value: float) -> str:
    """Why this cell cannot be used, for a person."""
    text = repr(cell) if len(repr(cell)) <= 24 else repr(cell)[:20] + "..."
    if not np.isnan(value):
        return f"holds {text}, more than a float32 can"
    if cell is None or isinstance(cell, float) or (isinstance(cell, str) and cell.strip() in MISSING):
        return "has no number"
    return f"holds {text}, not a number"
