"""What `isotone audit` names on the command line: a Python object, a file of rows, and directions."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data import read_table
from ..directions import matching
from ..errors import BadInput, require

FORM = "path/to/file.py:name, package.module:name, or the path of an .onnx file"


def load(target: str) -> Any:
    """The object that `pipeline.py:predict` or `package.module:predict` names; the path of an .onnx file stays one.

    It runs that Python file, as `python file.py` would.

    Raises:
        BadInput: another form, no such file or module, one that fails when it is run, or no such name in it.
    """
    if target.lower().endswith(".onnx"):
        return Path(target)
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise BadInput("audit", f"{target!r} came", f"{FORM} would be right")
    try:
        found: Any = _module(place)
    except BadInput:
        raise
    except Exception as fault:
        said = str(fault).strip().splitlines()
        why = f"{type(fault).__name__}: {said[0][:200]}" if said else type(fault).__name__
        raise BadInput(target, f"{place} failed when it was loaded ({why})", "a module that loads is right") from fault
    for part in name.split("."):
        if not hasattr(found, part):
            known = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            raise BadInput(target, f"{place} has no {part!r}", f"one of {', '.join(sorted(known)[:8])} is there")
        found = getattr(found, part)
    return found


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        finally:
            sys.path.remove(str(Path.cwd()))
    path = Path(place).resolve()
    if not path.is_file():
        raise BadInput(place, "there is no such file", f"{FORM} would be right")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # as when it is run: what lies beside it can be imported
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


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
