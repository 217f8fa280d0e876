"""Additions to try: words put into texts, and cells of tables moved along their directions.

- what is drawn depends on the seed only;
- a move of a table touches only columns with a direction, and goes only along them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..directions import as_directions
from ..errors import BadInput, require
from ._cells import Table

SIZES = (1, 1, 1, 2, 3, 10, 100, 1000)  # words in an addition; the long ones find texts that are cut at a length
STRANGE = ("the", "hello", "zzz", "qx7")

Move = Callable[[Any, np.random.Generator], Any]  # (example, random) -> the example with something added


def words_of(texts: Sequence[str], said: Sequence[str] | None) -> list[str]:
    """The words to add: as said, or those of the texts and a few strange ones."""
    words = list(said) if said is not None else sorted({word for text in texts for word in text.split()} | {*STRANGE})
    if not words or any(not isinstance(word, str) or not word.strip() for word in words):
        raise BadInput("additions", "no words came", "words of at least one letter would be right")
    return words


def put_words(words: Sequence[str], anywhere: bool) -> Move:
    """Whole words set apart by spaces: before or after a text, or between its words too."""

    def move(text: str, random: np.random.Generator) -> str:
        size = int(random.choice(SIZES))
        # Long additions repeat few words: what counts is their length.
        added = " ".join(str(word) for word in random.choice(np.array(words, dtype=object), size))
        gaps = [k for k, letter in enumerate(text) if letter.isspace()] if anywhere else []
        where = random.integers(3 if gaps else 2)
        if where == 0 or not text:
            return f"{text} {added}" if text else added
        if where == 1:
            return f"{added} {text}"
        gap = int(random.choice(gaps))
        return f"{text[:gap]} {added}{text[gap:]}"

    return move


class Cells:
    """Rows of a table with cells moved along the directions of their columns.

    Values come from the same column of other rows; in a column of floats also from beyond its largest and smallest.
    """

    def __init__(self, X: Any, directions: Any, missing: str) -> None:
        self.table, self.policy = Table(X), missing
        self._X: Any = X.toarray() if hasattr(X, "tocsr") else X if self.table.frame else np.asarray(X)
        self._sparse = type(X) if hasattr(X, "tocsr") else None
        names = [str(name) for name in X.columns] if self.table.frame else None
        self.directions = as_directions(directions, self.table.width, names)
        self.moved = [j for j, way in enumerate(self.directions) if way]
        if not self.table.rows or not self.moved:
            raise BadInput("examples", "no row, or no column with a direction, came", "at least one of each is right")
        self.keys = {j: self._key(j) for j in self.moved}
        self.may_fill = {j: missing == ("lowest" if self.directions[j] > 0 else "highest") for j in self.moved}
        self.missing = any(bool(np.isnan(key).any()) for key in self.keys.values())

    def _key(self, j: int) -> Any:
        """Where each cell of column j stands in its order; NaN where missing."""
        if not self.table.is_category(j):
            return self.table.numbers(j)
        found = self.table.categories(j)
        if not found.declared:
            raise BadInput(self.table.name(j), "a direction came for categories without an order", "0 would be right")
        return np.where(found.codes < 0, np.nan, found.codes)

    def order_of(self, j: int) -> Any:
        """The categories of column j from low to high; None for numbers."""
        return self.table.categories(j).levels if self.table.is_category(j) else None

    def join(self, rows: list[Any]) -> Any:
        """Tables of one row as one table."""
        if self.table.frame:
            return require("pandas", "audit").concat(rows, ignore_index=True)
        if self._sparse is not None:
            return self._sparse(require("scipy.sparse", "tables").vstack(rows))
        return np.concatenate(rows)

    def added(self, move: Move, random: np.random.Generator) -> tuple[Any, Any]:
        """A row, and what somebody's own function makes of a copy of it."""
        row = int(random.integers(self.table.rows))
        return self._back(self._take(row)), move(self._back(self._take(row).copy()), random)

    def pair(self, random: np.random.Generator) -> tuple[Any, Any] | None:
        """A row and the same row moved, each a table of one row; None where the draw allowed no move."""
        row = int(random.integers(self.table.rows))
        before = self._take(row)
        after = before.copy()
        count = min(len(self.moved), int(random.choice([1, 1, 2, len(self.moved)])))
        done = False
        for j in random.choice(self.moved, count, replace=False):
            done |= self._move(after, row, int(j), random)
        return (self._back(before), self._back(after)) if done else None

    def _take(self, row: int) -> Any:
        return self._X.iloc[[row]] if self.table.frame else self._X[[row]]

    def _back(self, rows: Any) -> Any:
        return rows if self._sparse is None else self._sparse(rows)

    def _move(self, after: Any, row: int, j: int, random: np.random.Generator) -> bool:
        key, way = self.keys[j], self.directions[j]
        here = key[row]
        if np.isnan(here):
            allowed = np.flatnonzero(~np.isnan(key)) if self.may_fill[j] else np.empty(0, np.int64)
        else:
            allowed = np.flatnonzero(way * key > way * here)
        floats = not self.table.is_category(j) and getattr(self._dtype(j), "kind", "O") == "f"
        if floats and not np.isnan(here) and (random.random() < 0.2 or not allowed.size):
            reach = float(np.nanmax(key) - np.nanmin(key)) or 1.0
            return self._set(after, j, here + way * reach * random.random())
        if not allowed.size:
            return False
        source = int(random.choice(allowed))
        return self._set(after, j, self._X.iloc[source, j] if self.table.frame else self._X[source, j])

    def _dtype(self, j: int) -> Any:
        return self._X.dtypes.iloc[j] if self.table.frame else self._X.dtype

    def _set(self, after: Any, j: int, value: Any) -> bool:
        if self.table.frame:
            column = after.iloc[:, j].array.copy()
            column[0] = value
            after.isetitem(j, column)
        else:
            after[0, j] = value
        return True
