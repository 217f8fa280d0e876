"""A column of labels -> 0 and 1, without guessing which class is the bad one unless its name says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, NoMatch
from ._cells import is_text, numbers
from ._svmlight import SIGNED

if TYPE_CHECKING:
    import pyarrow as pa

_TRUTH = {"true": 1.0, "false": 0.0}
# Words that can only mean the class to detect. "s" is the suspicious class of DREBIN-215 and DefenseDroid.
POSITIVE = frozenset({"spam", "malware", "malicious", "bad", "positive", "1", "true", "yes", "s"})


def labels_of(
    table: pa.Table, label: str, positive: str | None = None, negative: str | None = None, *, both: bool = True
) -> NDArray[np.int64]:
    """The labels, 1 for the class to detect.

    Args:
        table: at least one row.
        label: the name of the column: 0 and 1, booleans, or two different values.
        positive: which of two values is the class to detect. Default: 1, true, or the one whose name says so (spam,
            malware, malicious, bad, positive, yes, s, in any case).
        negative: what the other value is, where both are known, as `words_of` gives them; then no third one passes for
            either, and words may be in any case.
        both: require both classes. Pass False for a set to score or attack, which may well be all of one class.

    Returns:
        Shape (rows,), int64, 0 or 1.

    Raises:
        NoMatch: no such column.
        BadInput: a row without label, more than two classes, one class only, or two whose names do not say which to
            detect.

    >>> import pyarrow as pa
    >>> labels_of(pa.table({"class": ["ham", "spam", "ham"]}), "class")
    array([0, 1, 0])
    """
    if label not in table.column_names:
        raise NoMatch("label", label, table.column_names, "column")
    column = table[label].combine_chunks()
    where = f"label {label!r}"
    text = is_text(table[label])
    values = _texts(where, column) if text else _numbers(where, table[label])
    if text and (plain := _plain_numbers(values)) is not None and (positive or np.isin(plain, (0, 1)).all()):
        values, text = plain, False
    classes, codes = np.unique(values, return_inverse=True)
    shown = ", ".join(repr(str(c)) if text else f"{c:g}" for c in classes[:4]) + (", ..." if len(classes) > 4 else "")
    if positive is not None and negative is not None:
        return _known(where, list(classes), positive, negative, text)[codes]
    if len(classes) > 2:
        raise BadInput(where, f"{len(classes)} classes came ({shown})", "two would be right", "Is it the right column?")
    if len(classes) < 2 and both:
        raise BadInput(where, f"all rows are {shown}", "both classes are needed to learn to tell them apart")
    found = _positive(where, list(classes), positive, text, shown)
    ones: NDArray[np.int64] = np.array([c == found for c in classes], dtype=np.int64)
    return ones[codes]


def words_of(table: pa.Table, label: str, labels: NDArray[np.int64]) -> tuple[str, str]:
    """What a row of the class to detect is called, and what another: for files that may well be all of one class.

    >>> import pyarrow as pa
    >>> words_of(pa.table({"class": ["ham", " spam"]}), "class", np.array([0, 1]))
    ('spam', 'ham')
    """
    if SIGNED in (table.schema.metadata or {}):
        return "1", "-1"
    bad, other = (table[label][int(np.flatnonzero(labels == value)[0])].as_py() for value in (1, 0))
    return _word(bad), _word(other)


def _word(cell: Any) -> str:
    return cell.strip() if isinstance(cell, str) else f"{float(cell):.17g}"


def _texts(where: str, column: Any) -> NDArray[Any]:
    cells = column.to_pylist()
    missing = next((row for row, cell in enumerate(cells) if cell is None or not cell.strip()), None)
    if missing is not None:
        raise _missing(where, missing)
    return np.array([cell.strip() for cell in cells], dtype=object).astype(str)


def _numbers(where: str, column: Any) -> NDArray[Any]:
    values, faults = numbers(column)
    if faults:
        raise _missing(where, min(faults), faults[min(faults)])
    return values


def _plain_numbers(values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Words that are all numbers, as numbers: a label is 1 in one file and 1.0 in the next, or True."""
    try:
        found = np.array([_TRUTH.get(word.lower(), word) for word in values], dtype=np.float64)
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _known(where: str, classes: list[Any], positive: str, negative: str, text: bool) -> NDArray[np.int64]:
    """1, 0 for each class, which is one of two that are known."""
    fold = positive.casefold() != negative.casefold()

    def among(word: str) -> list[Any]:
        if not text:
            return _numeric(classes, word)
        word = word.strip()
        return [c for c in classes if c == word or (fold and c.casefold() == word.casefold())]

    bad, benign = among(positive), among(negative)
    if negative == "-1" and not text:  # an SVMlight file that was read whole has 0 in its place
        benign = [*benign, *_numeric(classes, "0")]
    if strange := [c for c in classes if c not in bad and c not in benign]:
        came = repr(str(strange[0])) if text else f"{strange[0]:g}"
        right = f"{positive!r} (bad) or {negative!r} is right, as in training"
        raise BadInput(where, f"{came} came", right, "Rename these labels, or take the rows out.")
    return np.array([c in bad for c in classes], dtype=np.int64)


def _missing(where: str, row: int, came: str = "is missing") -> BadInput:
    return BadInput(
        f"{where}, row {row + 1}", f"it {came}", "every row needs a label", "Label this row, or take it out."
    )


def _positive(where: str, classes: list[Any], positive: str | None, text: bool, shown: str) -> Any:
    """Which of the classes is 1; it may be none of them where `both=False` let one class through."""
    if positive is not None:
        found = [c for c in classes if c == positive.strip()] if text else _numeric(classes, positive)
        if not found and len(classes) == 2:
            raise BadInput(
                where, f"no row is {positive!r}", f"one of {shown} would be right", "Name it with --positive."
            )
        return found[0] if found else None
    if not text:
        if set(classes) <= {0.0, 1.0}:
            return 1.0
        named: list[Any] = []
    else:
        named = [c for c in classes if c.lower() in POSITIVE]
        if len(classes) == 1 and classes[0].lower() in {"0", "false"}:
            return None
    if len(named) != 1:
        raise BadInput(where, f"{shown} came", "which is the class to detect must be clear", "Name it with --positive.")
    return named[0]


def _numeric(classes: list[Any], positive: str) -> list[Any]:
    try:
        wanted = _TRUTH.get(positive.strip().lower())
        wanted = float(positive) if wanted is None else wanted
    except ValueError:
        return []
    return [c for c in classes if c == wanted]
