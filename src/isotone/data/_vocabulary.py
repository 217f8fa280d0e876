"""What the training rows teach: which names are worth a feature, and which columns are numbers.

- a name in too few rows is none; of the rest, those in the most rows;
- whatever is wrong with the request is said before a cell is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..directions import matching
from ..errors import BadInput, NoMatch
from ._cells import Bag, Faults, is_names, is_numeric, is_text, names, numbers, words
from ._examples import first_failure


def bags(column: Any, text: bool) -> Iterator[tuple[Bag, Faults]]:
    """The words of a column of text, or the names in a column of lists."""
    return words(column) if text else names(column)


def check_request(table: Any, label: str, text: str | None, bag: str | None, **least: int) -> None:
    """Everything about the arguments of `fit` that can be wrong before a cell is read."""
    for option, name in (("label", label), ("text", text), ("names", bag)):
        if name is not None and name not in table.column_names:
            raise NoMatch(option, name, table.column_names, "column")
    if text is not None and bag is not None:
        raise BadInput(
            "text, names", f"both came ({text!r}, {bag!r})", "one column makes the vocabulary", "Choose one."
        )
    if label in (text, bag):
        raise BadInput("label", f"{label!r} is to be the features too", "the label must not be a feature")
    for option, value in least.items():
        if value < 1:
            raise BadInput(option, f"{value} came", "1 or more would be right")
    if not table.num_rows:
        raise BadInput("table", "it has no rows", "a vocabulary needs training rows")
    if text is not None and not is_text(table[text]):
        raise BadInput("text", f"column {text!r} holds {table[text].type}", "strings would be right")
    if bag is not None and not is_names(table[bag]):
        right = "lists of strings, or strings with names between spaces or semicolons, would be right"
        raise BadInput("names", f"column {bag!r} holds {table[bag].type}", right)


def number_columns(
    table: Any, taken: set[str | None], beside: bool, columns: Sequence[str] | None, ignore: Iterable[str]
) -> list[str]:
    """The columns to be read as numbers, in the order of the table."""
    came = table.column_names  # once: pyarrow makes this list anew at each call
    ignored = {name for glob in ignore for name in matching(glob, came, "ignore", "column")}
    wanted = set(came) - taken if not beside and columns is None else set(columns or ())
    for name in sorted(wanted.difference(came)):
        raise NoMatch("columns", name, came, "column")
    for name in sorted(wanted):
        if name in taken:
            raise BadInput("columns", f"{name!r} is the label, the text or the names already", "another would be right")
    return [name for name in came if name in wanted and name not in ignored]


def training_numbers(column: Any, name: str) -> NDArray[np.float64]:
    """The numbers of a column, all of which can be used."""
    values, faults = numbers(column)
    if not faults:
        return values
    # In a column of numbers the odd cell is to be mended; a column of anything else was not meant to be one.
    if not is_numeric(column) and len(faults) > len(values) / 2:
        row = min(faults)
        then = "Leave it out with ignore (--ignore), name it as text or names, or turn it into numbers first."
        came = f"it is no column of numbers (row {row + 1} {faults[row]})"
        raise BadInput(f"column {name!r}", came, "features are numbers", then)
    raise first_failure("table", {row: f"column {name!r} {reason}" for row, reason in faults.items()})


def counted_columns(table: Any, left: Collection[str]) -> tuple[Counter[str], list[str]]:
    """Columns of 0 and 1 as names with their counts of rows, and the other columns."""
    counts: Counter[str] = Counter()
    others = []
    for name in left:
        values = training_numbers(table[name], name)
        if ((values == 0) | (values == 1)).all():
            counts[name] = int(values.sum())
        else:
            others.append(name)
    return counts, others


def counted(column: Any, name: str, text: bool) -> Counter[str]:
    """In how many rows each word or name is."""
    counts: Counter[str] = Counter()
    for found, faults in bags(column, text):
        if faults:
            raise first_failure("table", {row: f"column {name!r} {reason}" for row, reason in faults.items()})
        rows = np.bincount(found.codes, minlength=len(found.names))
        counts.update({key: int(n) for key, n in zip(found.names, rows, strict=True) if n})
    return counts


def frequent(counts: Counter[str], min_rows: int, max_names: int) -> tuple[str, ...]:
    """Names in enough rows, at most `max_names`, sorted."""
    enough = [name for name, rows in counts.items() if rows >= min_rows]
    enough.sort(key=lambda name: (-counts[name], name))
    return tuple(sorted(enough[:max_names]))
