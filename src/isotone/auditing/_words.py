"""How numbers, values and rows read, to a person and in JSON."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np

WIDTH = 80


def percent(share: float) -> str:
    """A share in percent; what is not none is never shown as 0.

    >>> percent(0.0), percent(0.00001), percent(0.5)
    ('0%', '<0.1%', '50%')
    """
    if share == 0:
        return "0%"
    return "<0.1%" if share < 0.001 else f"{100 * share:.3g}%"


def apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers with as few digits as tell them apart.

    >>> apart(0.81234, 0.33333), apart(0.500001, 0.5)
    (('0.812', '0.333'), ('0.500001', '0.5'))
    """
    for digits in range(3, 18):
        one, two = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if one != two:
            return one, two
    return repr(a), repr(b)


def value(x: Any) -> str:
    """A value of a feature for a reader."""
    if x is None:
        return "missing"
    return f"{x:.6g}" if isinstance(x, float) else str(x)


def number(x: Any) -> Any:
    """As JSON: it has no NaN and no infinity, and no numpy types."""
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, float) and not abs(x) < float("inf"):
        return None if math.isnan(x) else str(x)
    return x if isinstance(x, bool | int | float | str) or x is None else str(x)


def row_dict(table: Any) -> dict[str, Any]:
    """A table of one row as feature -> value; of a sparse one, what is stored."""
    if isinstance(table, list):
        return {str(name): number(v) for name, v in table[0].items()}
    if hasattr(table, "iloc"):
        return {str(name): number(table.iloc[0, j]) for j, name in enumerate(table.columns)}
    if hasattr(table, "tocoo"):
        entries = table.tocoo()
        return {f"x{j}": number(v) for j, v in sorted(zip(entries.col.tolist(), entries.data.tolist(), strict=True))}
    return {f"x{j}": number(v) for j, v in enumerate(np.asarray(table)[0].tolist())}


def wrapped(text: str, indent: str) -> list[str]:
    """The text in lines of at most 80 columns."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]
