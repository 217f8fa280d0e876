"""The table of slopes: the name of an aten overload -> how the slope of its result passes to its operands.

- a row is called with its site and the node's arguments in the order of the operator's schema, as a rule for values is;
- it gives one entry per positional argument, in that order: an adjoint, a list of them for an argument that is a list,
  or None for what it does not cover; whatever has no entry is denied;
- no row is looked up by prefix or by family: an overload without a row has no slopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Entry = Any  # Fact | None | list[Fact | None]: mypy has no name for this inside tuples of varying length
Entries = tuple[Entry, ...]
Row = Callable[..., Entries]


@dataclass(frozen=True)
class At:
    """Where a row is applied.

    Args:
        result: the fact of the node; for several results a tuple.
        out: the adjoint of the result, in its shape; for several results a tuple, None where a result is not used.
        node: the node.
    """

    result: Any
    out: Any
    node: Any = None


SLOPES: dict[str, Row] = {}


def slope(*names: str) -> Callable[[Row], Row]:
    """Write a row for each named overload."""

    def write(function: Row) -> Row:
        for name in names:
            enter(name, function)
        return function

    return write


def enter(name: str, row: Row) -> None:
    """One row; a name has one row."""
    if name in SLOPES:
        raise ValueError(f"{name} has two rows of slopes")
    SLOPES[name] = row
