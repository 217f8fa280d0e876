"""Every exception and its sentence: where it happened, what came, what would be right, what to do next.

- all of them are `IsotoneError`, so a program can catch ours and nothing else;
- the wording stands here, so that one mistake reads the same everywhere.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType


class IsotoneError(Exception):
    """What all errors of this library have in common."""


class BadInput(IsotoneError, ValueError):
    """Something handed in cannot be used as it is: `where`, what came, what would be right, what next."""

    def __init__(self, where: str, came: str, right: str, then: str = "") -> None:
        super().__init__(f"{where}: {came}; {right}." + (f" {then}" if then else ""))


class NoMatch(IsotoneError, LookupError):
    """A name or a glob that names nothing."""

    def __init__(self, where: str, pattern: str, names: Iterable[str], kind: str) -> None:
        names = sorted(names)
        super().__init__(f"{where}: {pattern!r} matches no {kind}.{suggestion(pattern, names)} {listed(names, kind)}")


class NotAModel(IsotoneError, ValueError):
    """A folder that is not a whole isotone model."""

    def __init__(self, folder: object, fault: str) -> None:
        super().__init__(
            f"{folder}: {fault}; a model folder is written whole by `isotone train --out`. "
            "Train again, or copy the folder again."
        )


class MissingExtra(IsotoneError, ImportError):
    """A part of the library needs a package that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed, and this needs it: pip install 'isotone[{extra}]'")


class CannotWrite(IsotoneError, OSError):
    """A place that cannot be written to."""

    def __init__(self, path: object, reason: object) -> None:
        super().__init__(f"{path} cannot be written ({reason}). Name a place you may write to with --out.")


def require(package: str, extra: str) -> ModuleType:
    """Import `package`, or say in one sentence which extra brings it.

    >>> require("math", "tables").sqrt(4.0)
    2.0
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as fault:
        if fault.name is not None and package.startswith(fault.name):
            raise MissingExtra(package, extra) from None
        raise


def suggestion(name: str, known: Sequence[str]) -> str:
    """' Did you mean ...?', or nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def listed(names: Sequence[str], kind: str, most: int = 8) -> str:
    """'Features: a, b, c, ... (12 in all)', sorted and shortened.

    >>> listed(["b", "a"], "feature")
    'Features: a, b.'
    """
    names = sorted(names)
    if not names:
        return f"There are no {kind}s."
    shown = ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
    return f"{kind.capitalize()}s: {shown}."
