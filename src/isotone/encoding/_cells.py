"""A table's columns, as numbers or as categories, whatever it came in.

- a missing value is NaN among numbers and -1 among codes, whichever way it was written: None, NaN, NA, NaT;
- an absent entry of a sparse matrix is the number 0, as a stored zero is: sparse equals dense, always.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Key = str | int | float | bool  # what JSON can hold; 1, 1.0 and True are one key


@dataclass(frozen=True)
class Categories:
    """A column as categories: `codes` index `levels`, -1 where missing; `declared` if its type is an ordered one."""

    levels: tuple[Key, ...]
    codes: Codes
    declared: bool = False


class Table:
    """The columns of an array, a pandas DataFrame or a scipy sparse matrix, one at a time; `keep` chooses rows."""

    def __init__(self, X: Any) -> None:
        self.frame = hasattr(X, "iloc") and hasattr(X, "columns")
        if not self.frame:
            # Duplicate entries are summed here, as scipy defines them; the encoded rows are dense in any case.
            X = X.toarray() if hasattr(X, "tocsr") else np.asarray(X)
        if X.ndim != 2:
            raise BadInput("X", f"{X.ndim} dimensions came", "a table of rows and columns would be right")
        self._X = X
        self.rows, self.width = (int(n) for n in X.shape)

    def keep(self, rows: NDArray[np.bool_]) -> Table:
        """Some rows only."""
        return Table(self._X.iloc[rows] if self.frame else self._X[rows])

    def name(self, j: int) -> str:
        """How an error calls the column."""
        return f"column {j} ({str(self._X.columns[j])!r})" if self.frame else f"column {j}"

    def _column(self, j: int) -> Any:
        return self._X.iloc[:, j] if self.frame else self._X[:, j]

    def is_category(self, j: int) -> bool:
        """Whether the column is of pandas' type for categories."""
        return self.frame and isinstance(self._X.dtypes.iloc[j], sys.modules["pandas"].CategoricalDtype)

    def numbers(self, j: int) -> Floats:
        """Column j as float64, NaN where missing.

        Raises:
            BadInput: it holds something else than numbers, truth values and missing values.
        """
        column = self._column(j)
        right = "numbers would be right, or a column named as categorical"
        try:
            extension = self.frame and not isinstance(column.dtype, np.dtype) and not self.is_category(j)
            if extension and column.dtype.kind not in "mMc":
                return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
            values = np.asarray(column)
            if values.dtype.kind == "O":
                return np.where(_missing(values), np.nan, values).astype(np.float64)
            if values.dtype.kind not in "biufSU":
                raise BadInput(self.name(j), f"values of type {values.dtype} came", right)
            return values.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as fault:
            if isinstance(fault, BadInput):
                raise
            raise BadInput(self.name(j), f"something that is no number came ({fault})", right) from None

    def categories(self, j: int) -> Categories:
        """Column j as categories.

        Raises:
            BadInput: it holds lists, dicts, records or bare numpy dates.
        """
        column = self._column(j)
        if self.is_category(j):
            levels = tuple(_key(v) for v in column.cat.categories)
            return Categories(levels, column.cat.codes.to_numpy().astype(np.int64), bool(column.cat.ordered))
        values = np.asarray(column)
        if values.dtype.kind in "biuf":
            missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)
            found, inverse = np.unique(values[~missing], return_inverse=True)
            codes = np.full(len(values), -1)
            codes[~missing] = inverse
            return Categories(tuple(_key(v) for v in found), codes)
        if values.dtype.kind == "V" or (values.dtype.kind in "mM" and not self.frame):
            raise BadInput(self.name(j), f"values of type {values.dtype} came", "words or numbers would be right")
        values = np.asarray(column.astype(object))
        places: dict[Key, int] = {}
        seen: dict[Hashable, int] = {}  # by the cell itself, which is cheaper than its key
        codes = np.full(len(values), -1)
        for row in np.flatnonzero(~_missing(values)):
            cell = values[row]
            if not isinstance(cell, Hashable):
                raise BadInput(self.name(j), f"a {type(cell).__name__} came", "words or numbers would be right")
            if (place := seen.get(cell)) is None:
                place = seen[cell] = places.setdefault(_key(cell), len(places))
            codes[row] = place
        return Categories(tuple(places), codes)


def recoded(found: Categories, levels: tuple[Key, ...]) -> Codes:
    """The codes of a column among other levels; -1 where missing or not among them."""
    places = {level: place for place, level in enumerate(levels)}
    table = np.array([places.get(level, -1) for level in found.levels] + [-1], dtype=np.int64)
    return table[found.codes]  # code -1 reads the last entry


def by_size(levels: tuple[Key, ...]) -> list[Key]:
    """Numbers in their order, then words in theirs."""
    return sorted(levels, key=lambda v: (isinstance(v, str), v))


def as_key(value: Any) -> Key:
    """A category as JSON can hold it; intervals and dates become their text."""
    return _key(value)


def _key(value: Any) -> Key:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | bool | int) or (isinstance(value, float) and abs(value) < np.inf):
        return value
    return str(value)


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where an array of objects has None, NaN or one of pandas' own."""
    pandas = sys.modules.get("pandas")  # whoever made an NA has imported it
    if pandas is not None:
        return np.asarray(pandas.isna(values), dtype=np.bool_)
    return np.array([v is None or (isinstance(v, float) and math.isnan(v)) for v in values], dtype=np.bool_)
