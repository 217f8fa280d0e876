"""Which column of a score is meant."""

from __future__ import annotations

from ._ensemble import Unreadable


def pick(columns: int, output: int | None, classes: bool) -> tuple[int, int]:
    """(column, sign) of `output`; two classes have one column, and the first class is minus it."""
    if columns == 1:
        allowed = {None: 1, 0: -1, 1: 1} if classes else {None: 1, 0: 1}
        if output not in allowed:
            raise Unreadable(f"output={output} came; this model has {'two classes' if classes else 'one output'}")
        return 0, allowed[output]
    if output is None:
        raise Unreadable(f"it has {columns} outputs; say which with output=0 ... {columns - 1}")
    if not 0 <= output < columns:
        raise Unreadable(f"output={output} came; it has {columns} outputs, 0 ... {columns - 1}")
    return output, 1
