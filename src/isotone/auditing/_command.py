"""What `isotone audit` names on the command line: a Python object, a file of rows, and directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data import read_table
from ..directions import matching
from ..errors import BadInput, require
from ..naming import object_named

FORM = "path/to/file.py:name, package.module:name, or the path of an .onnx file"


def load(target: str) -> Any:
    """The object that `pipeline.py:predict` or `package.module:predict` names; the path of an .onnx file stays one.

    It runs that Python file, as `python file.py` would.

    Raises:
        BadInput: another form, no such file or module, one that fails when it is run, or no such name in it.
    """
    if target.lower().endswith(".onnx"):
        return Path(target)
    return object_named(target, "audit", FORM)


def read_rows(path: Path, ignore: Sequence[str] = ()) -> Any:
    """A file of rows as a DataFrame, without the columns named or matched by `ignore`.

    Raises:
        BadInput: as `isotone.data.read_table`. NoMatch: `ignore` names no column. MissingExtra: pandas is missing.
    """
    require("pandas", "audit")
    table = read_table(path)
    gone = {name for pattern in ignore for name in matching(pattern, table.column_names, "--ignore", "column")}
    return table.select([name for name in table.column_names if name not in gone]).to_pandas()


def directions(increasing: Sequence[str], decreasing: Sequence[str]) -> dict[str, int]:
    """Names and globs to +1 and -1.

    Raises:
        BadInput: neither came, or one name in both.

    >>> directions(["debt*"], ["age"])
    {'debt*': 1, 'age': -1}
    """
    both = sorted(set(increasing) & set(decreasing))
    if both:
        raise BadInput("audit", f"{both[0]!r} came as increasing and as decreasing", "one of the two is right")
    if not increasing and not decreasing:
        raise BadInput("audit", "no direction came", "--increasing NAME or --decreasing NAME would be right")
    return dict.fromkeys(increasing, 1) | dict.fromkeys(decreasing, -1)
