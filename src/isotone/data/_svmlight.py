"""SVMlight and LIBSVM files as blocks: `label index:value index:value ... # note`.

- the label is the column "label"; a whole file of labels -1 and 1 gives 0 and 1;
- a feature is called f<index>, or what the names file beside the data says;
- "names" is a column of lists: the features of each row whose value is above 0; any other column is made of the values
  of one feature, 0 where a row does not say it;
- a line that cannot be read, or says a value that is no number, is a failure and does not stop the file.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, NoMatch, require
from ._streams import BLOCK_SIZE, LONGEST_LINE, Block

SUFFIXES = (".svm", ".svmlight", ".libsvm")
LABEL, NAMES = "label", "names"
ROWS = 4096
# More columns than this are no table of numbers; as lists of names they may be as many as they like.
MOST_COLUMNS = 20_000
_OWN = re.compile(r"f(0|[1-9][0-9]{0,17})")


SIGNED = b"isotone.signed"  # in the metadata of a table whose labels were -1 and 1, and are 0 and 1


class _Parsed(NamedTuple):
    """Some lines: labels, and (row, index, value) of what they say; failed rows say nothing."""

    labels: NDArray[np.float64]
    matrix: Any
    failures: dict[int, str]


def svmlight_blocks(path: Path, rows: int | None, columns: Iterable[str] | None) -> Iterator[Block]:
    """Blocks of at most `rows` rows.

    Args:
        path: the file. Names of its features may stand in a file beside it with the suffix .names: line 1 is feature
            1, or each line is an index, a tab, and a name.
        rows: None for the whole file in one block.
        columns: "label", "names", features. None: lists of names if every value in the file is 0 or 1, else a column
            for each feature that occurs; this needs the whole file at once, whatever `rows` is.

    Raises:
        BadInput: the names file cannot be used, or features are too many for columns.
    """
    known = _Names.beside(path)
    wanted = None if columns is None else list(dict.fromkeys(columns))
    for name in wanted or ():
        if name not in (LABEL, NAMES):
            known.index(name)  # what is no feature is said before a row is read
    if rows is None or wanted is None:
        came = _joined(list(_parsed(path, ROWS)))
        whole = _signed(came)
        block = _block(0, whole, known, _all_columns(path, whole, known) if wanted is None else wanted)
        # Blocks keep -1: a few rows do not show whether it is a label or says that there is none. Training does.
        yield block if whole is came else replace(block, table=block.table.replace_schema_metadata({SIGNED: "yes"}))
        return
    first = 0
    for part in _parsed(path, rows):
        yield _block(first, part, known, wanted)
        first += len(part.labels)


def _signed(parsed: _Parsed) -> _Parsed:
    """-1 and 1 as 0 and 1. Beside other labels -1 is left as it is: it may well stand for "not labelled"."""
    good = np.ones(len(parsed.labels), dtype=np.bool_)
    good[list(parsed.failures)] = False
    if not np.isin(parsed.labels[good], (-1, 1)).all():
        return parsed
    return parsed._replace(labels=np.maximum(parsed.labels, 0))


class _Names:
    """What each index is called, both ways."""

    def __init__(self, path: Path, names: dict[int, str]) -> None:
        self.path, self._names = path, names
        self._indices = {name: index for index, name in names.items()}

    @classmethod
    def beside(cls, path: Path) -> _Names:
        stem = path.with_suffix("") if path.suffix == ".gz" else path
        place = stem.with_suffix(".names")
        if not place.is_file():
            return cls(path, {})
        try:
            lines = place.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            raise BadInput(str(place), f"it cannot be read ({fault})", "one name a line, in UTF-8, is right") from None
        names: dict[int, str] = {}
        for number, line in enumerate(lines, start=1):
            index, tab, name = line.partition("\t")
            at, name = (int(index) if tab and index.strip().isdecimal() else number, (name if tab else line).strip())
            if not name or at in names or name in (LABEL, NAMES):
                raise BadInput(
                    f"{place}, line {number}", f"{line!r} came", "a name that no other feature has would be right"
                )
            names[at] = name
        if len(set(names.values())) < len(names):
            twice = next(name for name in names.values() if list(names.values()).count(name) > 1)
            raise BadInput(str(place), f"{twice!r} stands twice", "each feature needs a name of its own")
        return cls(path, names)

    def name(self, index: int) -> str:
        return self._names.get(index) or f"f{index}"

    def index(self, name: str) -> int:
        found = self._indices.get(name)
        if found is None and (own := _OWN.fullmatch(name)) and int(own[1]) not in self._names:
            found = int(own[1])
        if found is None:
            shown = list(self._indices) or ["f0, f1, f2, ..."]
            raise NoMatch(str(self.path), name, [LABEL, NAMES, *shown], "column")
        return found


def _all_columns(path: Path, parsed: _Parsed, known: _Names) -> list[str]:
    values = parsed.matrix.data
    if ((values == 0) | (values == 1)).all():
        return [LABEL, NAMES]
    indices = sorted({*map(int, np.unique(parsed.matrix.indices)), *known._names})
    if len(indices) > MOST_COLUMNS:
        came = f"{len(indices):,} features with values other than 0 and 1 came"
        raise BadInput(str(path), came, f"at most {MOST_COLUMNS:,} columns of numbers can be read")
    return [LABEL, *(known.name(index) for index in indices)]


def _block(first: int, parsed: _Parsed, known: _Names, wanted: Sequence[str]) -> Block:
    pa = require("pyarrow", "tables")
    matrix, rows = parsed.matrix, len(parsed.labels)
    failed = np.zeros(rows, dtype=np.bool_)
    failed[list(parsed.failures)] = True
    columns: dict[str, Any] = {}
    by_feature = None
    for name in wanted:
        if name == LABEL:
            columns[name] = pa.array(parsed.labels, mask=failed)
        elif name == NAMES:
            columns[name] = _lists(matrix, known, failed)
        else:
            by_feature = matrix.tocsc() if by_feature is None else by_feature
            index = known.index(name)
            values = np.zeros(rows)
            if index < matrix.shape[1]:
                some = slice(by_feature.indptr[index], by_feature.indptr[index + 1])
                values[by_feature.indices[some]] = by_feature.data[some]
            columns[name] = pa.array(values, mask=failed)
    return Block(first, pa.table(columns), parsed.failures)


def _lists(matrix: Any, known: _Names, failed: NDArray[np.bool_]) -> Any:
    """The names of each row as list<string>, null for failed rows."""
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    present = matrix.data > 0
    before = np.concatenate([[0], np.cumsum(present)])
    offsets = before[matrix.indptr].astype(np.int32)
    indices, codes = np.unique(matrix.indices[present], return_inverse=True)
    names = pa.array([known.name(int(index)) for index in indices], pa.string())
    lists = pa.ListArray.from_arrays(pa.array(offsets), names.take(pa.array(codes)))
    return pc.if_else(pa.array(~failed), lists, pa.scalar(None, lists.type)) if failed.any() else lists


def _parsed(path: Path, rows: int) -> Iterator[_Parsed]:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as stream:
        while lines := _lines(stream, rows):
            yield _without_nan(_read([line for line in lines if line is not None], lines))


def _lines(stream: IO[bytes], most: int) -> list[bytes | None]:
    """The next lines that hold a row; None for one that is too long to be read."""
    found: list[bytes | None] = []
    size = 0
    while len(found) < most and size < BLOCK_SIZE and (line := stream.readline(LONGEST_LINE)):
        size += len(line)
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            found.append(None)
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
        elif line.split(b"#", 1)[0].strip():
            found.append(line)
    return found


def _read(whole: list[bytes], lines: list[bytes | None]) -> _Parsed:
    """All lines at once, or, if one of them cannot be read, each by itself."""
    if len(whole) == len(lines):
        try:
            found = _load(b"".join(line if line.endswith(b"\n") else line + b"\n" for line in whole))
            if len(found.labels) == len(lines):
                return found
        except (ValueError, OverflowError, MemoryError):
            pass
    parts, failures = [], {}
    empty = _load(b"0\n")
    for row, line in enumerate(lines):
        part = empty
        try:
            if line is None:
                failures[row] = "the line is too long to be read"
            else:
                part = _load(line.rstrip(b"\r\n") + b"\n")
                if len(part.labels) != 1:  # a carriage return within the line
                    failures[row], part = "it is not one line of SVMlight", empty
        except (ValueError, OverflowError, MemoryError) as fault:
            failures[row] = f"it is not SVMlight ({_short(fault)})"
        parts.append(part)
    joined = _joined(parts)
    return _Parsed(joined.labels, joined.matrix, failures)


def _without_nan(parsed: _Parsed) -> _Parsed:
    """NaN is neither above 0 nor not: read as absent it would hide what a row has."""
    gone = np.isnan(parsed.matrix.data)
    if not gone.any():
        return parsed
    matrix = parsed.matrix.copy()
    at = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    why = {int(at[k]): f"the value of feature {matrix.indices[k]} is no number" for k in np.flatnonzero(gone)[::-1]}
    matrix.data[np.isin(at, list(why))] = 0.0
    return _Parsed(parsed.labels, matrix, {**parsed.failures, **why})


def _load(content: bytes) -> _Parsed:
    load = require("sklearn.datasets", "tables").load_svmlight_file
    # zero_based=True: the index is what the file says; "auto" would depend on the block.
    matrix, labels = load(io.BytesIO(content), zero_based=True, dtype=np.float64)
    return _Parsed(labels, matrix, {})


def _joined(parts: list[_Parsed]) -> _Parsed:
    sparse = require("scipy.sparse", "tables")
    if not parts:
        return _Parsed(np.empty(0), sparse.csr_matrix((0, 1)), {})
    width = max(part.matrix.shape[1] for part in parts)
    for part in parts:
        part.matrix.resize(part.matrix.shape[0], width)
    starts = np.cumsum([0, *(len(part.labels) for part in parts)]).tolist()
    failures = {
        start + row: why for start, part in zip(starts, parts, strict=False) for row, why in part.failures.items()
    }
    matrix = parts[0].matrix if len(parts) == 1 else sparse.vstack([part.matrix for part in parts], format="csr")
    return _Parsed(np.concatenate([part.labels for part in parts]), matrix, failures)


def _short(fault: BaseException) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0].rstrip(".")
