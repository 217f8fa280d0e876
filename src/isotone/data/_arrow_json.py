"""A fast way through plain JSON lines, by pyarrow; whatever is not plain is left to the careful reader.

Plain: every line is one object, every key of it is known with its type, and every value has that type. Then both
readers give the same table, row by row; else this one says None, and the block is read line by line.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import require

Types = Mapping[str, Any]


def is_plain(kind: Any) -> bool:
    """Whether the fast way knows this type."""
    pa = require("pyarrow", "tables")
    return kind in (pa.string(), pa.list_(pa.string()), pa.float64(), pa.int64(), pa.bool_())


def plain_table(content: bytes, types: Types) -> Any | None:
    """The lines as a table, or None.

    Args:
        content: whole lines, the last one perhaps without its end.
        types: of every key that may come.

    Proof that rows and lines agree: every line begins with { and ends with }. No object goes on over the end of a line,
    since a string cannot, and after } only a comma or a closing bracket could follow, not {. So each line holds one
    object or more, and there are as many rows as lines only if each holds one.
    """
    lines = _lines(content)
    if lines is None:
        return None
    pa, read = require("pyarrow", "tables"), require("pyarrow.json", "tables")
    parse = read.ParseOptions(explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior="error")
    options = read.ReadOptions(use_threads=False, block_size=len(content) + 1)
    try:
        content.decode()
        table = read.read_json(io.BytesIO(content), options, parse)
    except (pa.ArrowException, UnicodeDecodeError, OverflowError):
        return None
    return table if table.num_rows == lines and all(map(_same_either_way, table.columns)) else None


def _lines(content: bytes) -> int | None:
    """How many lines, if each begins with { and ends with }."""
    body = content[:-1] if content.endswith(b"\n") else content
    between = body.count(b"\n")
    whole = body.startswith(b"{") and body.endswith(b"}") and b"\r" not in body
    return between + 1 if whole and body.count(b"}\n{") == between else None


def _same_either_way(column: Any) -> bool:
    """pyarrow takes `Inf`, which is no JSON; a list with a null in it is no list of names."""
    pa = require("pyarrow", "tables")
    if pa.types.is_floating(column.type):
        return bool(np.isfinite(column.drop_null().to_numpy()).all())
    if pa.types.is_list(column.type):
        return all(chunk.flatten().null_count == 0 for chunk in column.chunks)
    return True
