"""A Python object that somebody names on a command line: `package.module:name`, or `path/to/file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import BadInput, IsotoneError

FORM = "path/to/file.py:name or package.module:name"


def object_named(target: str, where: str, form: str = FORM) -> Any:
    """What a name stands for. Its module is run as Python would run it: name only what you trust.

    Args:
        target: a module or the path of a Python file, a colon, a name in it; names may be dotted.
        where: which argument this is, for the sentence if it is wrong.
        form: what would be right.

    Raises:
        BadInput: another form, no such file or module, one that fails when it is run, or no such name in it.

    >>> object_named("math:pi", "example")
    3.141592653589793
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise BadInput(where, f"{target!r} came", f"{form} would be right")
    try:
        found: Any = _module(place, form)
    except IsotoneError:
        raise
    except (Exception, SystemExit) as fault:  # a script that ends itself would end the command with its own code
        said = (str(fault).strip().splitlines() or [""])[0][:200]
        why = f"{type(fault).__name__}: {said}" if said else type(fault).__name__
        raise BadInput(target, f"{place} failed when it was loaded ({why})", "a module that loads is right") from fault
    for part in name.split("."):
        if not hasattr(found, part):
            known = [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            raise BadInput(target, f"{place} has no {part!r}", f"one of {', '.join(sorted(known)[:8])} is there")
        found = getattr(found, part)
    return found


def _module(place: str, form: str) -> ModuleType:
    if not place.endswith(".py"):
        with _found_in(Path.cwd()):  # as `python -m` does
            return importlib.import_module(place)
    path = Path(place).resolve()
    if not path.is_file():
        raise BadInput(place, "there is no such file", f"{form} would be right")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # what it defines can be pickled and copied
    with _found_in(path.parent):  # as when it is run: what lies beside it can be imported
        spec.loader.exec_module(module)
    return module


class _found_in:  # noqa: N801 - it is read as a word
    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __enter__(self) -> None:
        sys.path.insert(0, self.folder)

    def __exit__(self, *fault: object) -> None:
        sys.path.remove(self.folder)
