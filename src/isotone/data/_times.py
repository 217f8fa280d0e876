"""A column of times -> numbers that can be ordered, shown and put into months."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, NoMatch, require
from . import _cells

if TYPE_CHECKING:
    import pyarrow as pa

MOST_MONTHS, PARTS = 24, 5


@dataclass(frozen=True)
class Times:
    """When each row was.

    Args:
        values: shape (rows,): microseconds since 1970 as int64 for dates, else float64.
        dates: whether they are dates.
    """

    values: NDArray[Any]
    dates: bool

    def shown(self, value: Any) -> str:
        """One of them for a person."""
        return str(np.datetime64(int(value), "us").astype("datetime64[D]")) if self.dates else f"{float(value):.10g}"

    def parts(self) -> tuple[list[str], NDArray[np.int64]]:
        """The names of consecutive parts, and each row's: months, years if there are more than 24, or equal fifths.

        >>> Times(np.array([0, 40 * 86_400_000_000]), True).parts()
        (['1970-01', '1970-02'], array([0, 1]))
        """
        if self.dates:
            for unit in ("M", "Y"):
                found, part = np.unique(
                    self.values.astype("datetime64[us]").astype(f"datetime64[{unit}]"), return_inverse=True
                )
                if len(found) <= MOST_MONTHS:
                    break
            return [str(one) for one in found], part.astype(np.int64)
        edges = np.unique(np.quantile(self.values, np.linspace(0, 1, PARTS + 1)))
        part = np.clip(np.searchsorted(edges, self.values, side="right") - 1, 0, max(0, len(edges) - 2))
        ends = edges[1:] if len(edges) > 1 else edges
        return [f"{a:.6g} to {b:.6g}" for a, b in zip(edges, ends, strict=False)], part.astype(np.int64)


def times_of(table: pa.Table, column: str) -> Times:
    """The times in a column: dates, timestamps, texts such as 2024-05-31 or 2024-05-31T12:00:00Z, or numbers.

    Raises:
        NoMatch: no such column.
        BadInput: a row without a time, or one that cannot be read.

    >>> import pyarrow as pa
    >>> times = times_of(pa.table({"seen": ["2024-02-01", "2023-12-24"]}), "seen")
    >>> [times.shown(value) for value in sorted(times.values)]
    ['2023-12-24', '2024-02-01']
    """
    if column not in table.column_names:
        raise NoMatch("--time", column, table.column_names, "column")
    pa, pc = require("pyarrow", "tables"), require("pyarrow.compute", "tables")
    cells = table[column]
    where, right = f"time {column!r}", "a date such as 2024-05-31, or a number, would be right in every row"
    if _cells.is_text(cells):
        cells = pc.utf8_trim_whitespace(cells.cast(pa.string()))
        # A month stands for its first day.
        cells = pc.replace_substring_regex(cells, r"^([0-9]{4}-[0-9]{2})$", r"\1-01")
    temporal = pa.types.is_temporal(cells.type)
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")) if temporal or _cells.is_text(cells) else ():
        try:
            stamps = pc.cast(cells, kind, safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        if stamps.null_count:
            row = pc.index(pc.is_null(stamps), True).as_py()
            raise BadInput(f"{where}, row {row + 1}", "it is missing", right, "Fill it in, or drop the row.")
        return Times(stamps.cast(pa.int64()).to_numpy(), True)
    values, faults = _cells.numbers(cells)
    if faults:
        row = min(faults)
        raise BadInput(f"{where}, row {row + 1}", f"it {faults[row]}", right, "Mend it, or drop the row.")
    return Times(values, False)
