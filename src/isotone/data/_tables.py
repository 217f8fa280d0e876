"""Read a file of rows: whole for training, or in blocks, in constant memory, for scoring.

- the suffix says the format, nothing is guessed from the content;
- what cannot be read at all is one sentence; while streaming, one bad row is only its own failure.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, listed, require
from ._delimited import delimited_blocks
from ._jsonl import jsonl_blocks
from ._streams import STDIN, Block, check_names
from ._svmlight import SUFFIXES, svmlight_blocks

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SPARSE = tuple(suffix + gz for suffix in SUFFIXES for gz in ("", ".gz"))
FORMATS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".parquet", *SPARSE)

# Cells of a CSV that stand for "no value" in a column of numbers (R, pandas, SQL exports). In text they are text.
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")


def read_table(path: str | os.PathLike[str], columns: Iterable[str] | None = None) -> pa.Table:
    """The whole file as a table.

    Args:
        path: CSV or TSV with a header (quotes as in RFC 4180, UTF-8), JSON lines (one object a line), each also with
            .gz, or Parquet. In CSV and TSV a column of which every filled cell is an integer, a number, or true/false
            gets that type; an empty cell, NA, NaN or null is then null. In JSON lines an array of strings becomes
            list<string>, and so does an object name -> count: the names whose count is above 0; "-" is standard input,
            in JSON lines. SVMlight (.svm,
            .svmlight, .libsvm, also with .gz) has the columns "label" and "names" (lists of the features above 0) if
            all its values are 0 or 1, else "label" and a column for each feature. Features are called f<index>, with
            the index of the file, or what a file beside it says: rows.names for rows.svm, one name a line.
        columns: which columns to make of SVMlight, which has no header: "label", "names", features. Other files give
            all of theirs.

    Returns:
        A `pyarrow.Table` with at least one row. Its column names differ and none is empty.

    Raises:
        BadInput: no such file, a folder, another suffix, an empty file, a broken one, a row that cannot be read (with
            its number, counted from 1), two columns of one name, or a key with two kinds of value in JSON lines.
        MissingExtra: pyarrow is not installed.

    Cost: a CSV takes about 30 bytes a cell, and 12,000 rows of 2,877 columns about 4 seconds.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "small.csv"
    >>> _ = path.write_text("size,word\\n3,ok\\n4,NA\\n")
    >>> read_table(path).to_pydict()
    {'size': [3, 4], 'word': ['ok', 'NA']}
    """
    pa = require("pyarrow", "tables")
    path = Path(path)
    blocks = list(_blocks(path, None, columns if _format(path) in SPARSE else None))
    for block in blocks:
        for place, reason in sorted(block.failures.items()):
            where = f"{path}, row {block.first + place + 1}"
            raise BadInput(where, reason, "every row must be whole to train on", "Mend this row, or take it out.")
    if not sum(map(len, blocks)):
        raise BadInput(str(path), "it has no rows", "at least one row of data would be right")
    table = pa.concat_tables([block.table for block in blocks])
    if _format(path).removesuffix(".gz") in DELIMITERS:
        table = pa.table({name: _typed(table[name]) for name in table.column_names})
    return table


def read_blocks(
    path: str | os.PathLike[str],
    rows: int = 4096,
    columns: Iterable[str] | None = None,
    exact: Iterable[str] = (),
) -> Iterator[Block]:
    """The file in blocks of consecutive rows, in constant memory.

    Args:
        path: as for `read_table`. Cells of CSV and TSV stay strings here: one bad cell is the encoder's to report, and
            must not change how its neighbours are read.
        rows: the most rows in a block; blocks are shorter where rows are large, or where a JSON key changes its kind.
        columns: keep only these; the file must have them all (`Encoder.needs`). Default: keep all; SVMlight is then
            read whole, since its columns depend on all of it.
        exact: columns that name rows, to be read by `cells_of`: in JSON lines whole numbers beyond 64 bits, or beside
            fractions, would be rounded.

    Yields:
        `Block(first, table, failures)`: `first` counts rows from 0, and a row that cannot be read (a CSV row of the
        wrong width, a line that is not JSON, text that is not UTF-8) is null in `table` and has its reason in
        `failures`. A file with a header and no rows yields nothing.

    Raises:
        BadInput: what concerns the whole file, see `read_table`; it may come late where a file is damaged late.

    Cost: memory for one block; for Parquet, for the largest pages of one row group besides.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "small.jsonl"
    >>> _ = path.write_text('{"imports": ["open"]}\\nnot JSON\\n')
    >>> [(block.first, len(block), dict(block.failures)) for block in read_blocks(path)]
    [(0, 2, {1: 'line 2 is not JSON (Expecting value at character 1)'})]
    """
    if rows < 1:
        raise BadInput("rows", f"{rows} came", "a block has at least one row")
    require("pyarrow", "tables")
    path = Path(path)
    _format(path)
    _check_file(path)  # here too: a generator would say it only when it is first asked for a block
    return _blocks(path, rows, None if columns is None else list(columns), tuple(exact))


def _blocks(path: Path, rows: int | None, columns: Iterable[str] | None, exact: Iterable[str] = ()) -> Iterator[Block]:
    """Blocks of any format; all that can be wrong with a whole file becomes one sentence here."""
    pa = require("pyarrow", "tables")
    suffix = _format(path)
    _check_file(path)
    try:
        if suffix == ".parquet":
            yield from _parquet_blocks(path, rows, columns)
        elif suffix.startswith(".jsonl"):
            yield from jsonl_blocks(path, rows, columns, exact)
        elif suffix in SPARSE:
            yield from svmlight_blocks(path, rows, columns)
        else:
            delimiter = DELIMITERS[suffix.removesuffix(".gz")]
            yield from delimited_blocks(path, rows or 4096, columns, delimiter)
    except (EOFError, zlib.error) as fault:
        raise BadInput(
            str(path), f"it is damaged ({fault})", "a whole .gz file would be right", "Copy it again."
        ) from None
    except (pa.ArrowException, OSError) as fault:
        kind = "Parquet" if suffix == ".parquet" else "file"
        what = str(fault).split("\n", 1)[0].rstrip(".")
        raise BadInput(str(path), f"it cannot be read ({what})", f"a whole {kind} would be right") from None


def _format(path: Path) -> str:
    """Which of FORMATS the name ends in; standard input is JSON lines."""
    if str(path) == STDIN:
        return ".jsonl"
    found = [suffix for suffix in FORMATS if path.name.lower().endswith(suffix)]
    if not found:
        raise BadInput(
            str(path), f"its suffix {path.suffix!r} is not known", f"one of {', '.join(FORMATS)} would be right"
        )
    return found[0]


def _check_file(path: Path) -> None:
    if str(path) == STDIN:
        return
    if path.is_dir():
        raise BadInput(str(path), "it is a folder", "a file would be right", "Name one of the files in it.")
    if not path.exists():
        beside = sorted(p.name for p in path.parent.glob("*") if p.is_file()) if path.parent.is_dir() else []
        then = f"Beside it: {listed(beside, 'file')}" if beside else ""
        raise BadInput(str(path), "there is no such file", "the path of a file would be right", then)
    if path.is_file() and path.stat().st_size == 0:
        raise BadInput(str(path), "it is empty", "a file with rows of data would be right")


def _parquet_blocks(path: Path, rows: int | None, columns: Iterable[str] | None) -> Iterator[Block]:
    # ParquetFile, not pyarrow's read_table: that one would read columns out of folder names such as `label=1/`.
    pa, pq = require("pyarrow", "tables"), require("pyarrow.parquet", "tables")
    with pq.ParquetFile(path) as file:
        names = check_names(path, file.schema_arrow.names, columns)
        if rows is None:
            yield Block(0, file.read())
            return
        first = 0
        for batch in file.iter_batches(batch_size=rows, columns=names):
            # select: asked for 'a.b', pyarrow also brings the 'b' inside of 'a'.
            block = Block(first, pa.Table.from_batches([batch]).select(names))
            first += len(block)
            yield block


def _typed(column: Any) -> Any:
    """A column of strings as integers, numbers or booleans if each filled cell is one."""
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    for prepared in (_as_is, _blanked):  # most columns need no preparation
        cells = prepared(column)
        if cells.null_count == len(cells):
            break
        for kinds in ((pa.float64(), pa.int64()), (pa.bool_(),)):
            # Floats first: for an integer pyarrow also takes 0x10, which `_cells.numbers` does not.
            with contextlib.suppress(pa.ArrowInvalid):
                typed = pc.cast(cells, kinds[0])
                with contextlib.suppress(pa.ArrowInvalid):
                    typed = pc.cast(cells, kinds[-1])
                return typed
    return column


def _as_is(column: Any) -> Any:
    return column


def _blanked(column: Any) -> Any:
    """Without the spaces around cells, and with null for what stands for no value."""
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(trimmed, pa.array(MISSING)), pa.scalar(None, pa.string()), trimmed)
