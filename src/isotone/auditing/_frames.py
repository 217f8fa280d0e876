"""A pandas DataFrame as rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from ..errors import BadInput
from ._rows import Codes, Edit, Places, all_whole, shown, through, type_ends


class FrameRows:
    """A pandas DataFrame; column names, types and categories are kept. Ordered categories move, others never do."""

    kind = "frame"
    named = True

    def __init__(self, frame: Any) -> None:
        self._pandas = sys.modules["pandas"]
        self.frame = frame.reset_index(drop=True)
        self.count = len(frame)
        self.names = [str(name) for name in frame.columns]
        if len(set(self.names)) < len(self.names) or not self.names or not self.count:
            raise BadInput("X", "a frame without rows, or with two columns of one name, came", "one name each is right")
        if any(isinstance(dtype, self._pandas.SparseDtype) for dtype in frame.dtypes):
            right = "a scipy matrix, X.sparse.to_coo(), or dense columns would be right"
            raise BadInput("X", "a frame with sparse columns came", right)
        self._codes = [self._read(j) for j in range(len(self.names))]
        self.whole: Callable[[int], bool] = cache(self._is_whole)

    def _read(self, j: int) -> Codes | None:
        column, types = self.frame.iloc[:, j], self._pandas.api.types
        if self.categorical(j):
            codes = column.cat.codes.to_numpy().astype(np.float64)
            return np.where(codes < 0, np.nan, codes) if column.cat.ordered else None
        if not types.is_numeric_dtype(column.dtype):  # also true of bool
            return None
        return column.to_numpy(dtype=np.float64, na_value=np.nan)  # type: ignore[no-any-return]

    def categorical(self, j: int) -> bool:
        """Whether the column holds categories, which a model may number in its own way."""
        return isinstance(self.frame.dtypes.iloc[j], self._pandas.CategoricalDtype)

    def _dtype(self, j: int) -> np.dtype[Any]:
        dtype = self.frame.dtypes.iloc[j]
        return np.dtype(getattr(dtype, "numpy_dtype", dtype) if isinstance(self._codes_of(j), np.ndarray) else object)

    def _codes_of(self, j: int) -> Codes | None:
        return None if self.categorical(j) else self._codes[j]

    def _is_whole(self, j: int) -> bool:
        if self.categorical(j):
            return True
        return self._codes[j] is not None and (self._dtype(j).kind in "biu" or all_whole(self._codes[j]))

    def codes(self, j: int) -> Codes | None:
        return self._codes[j]

    def ends(self, j: int) -> tuple[float, float]:
        if self.categorical(j):
            return 0.0, len(self.frame.dtypes.iloc[j].categories) - 1.0
        return type_ends(self._dtype(j))

    def can_miss(self, j: int) -> bool:
        if self.categorical(j):
            return True
        dtype = self.frame.dtypes.iloc[j]
        return self._dtype(j).kind == "f" or not isinstance(dtype, np.dtype)

    def fit(self, j: int, values: Codes) -> Codes:
        values = np.round(values) if self.whole(j) else values
        return values if self.categorical(j) else through(values, self._dtype(j))

    def show(self, j: int, code: float) -> Any:
        if self.categorical(j) and not np.isnan(code):
            return str(self.frame.dtypes.iloc[j].categories[int(code)])
        return shown(code, self.whole(j))

    def build(self, base: Places, edits: Iterable[Edit] = ()) -> Any:
        frame = self.frame.iloc[base].reset_index(drop=True)
        of: dict[int, list[Edit]] = {}
        for edit in edits:
            of.setdefault(edit.feature, []).append(edit)
        for j, changes in of.items():
            column = frame.iloc[:, j].array.copy()
            for edit in changes:
                column[edit.rows] = self._cells(j, edit.values)
            frame.isetitem(j, self._pandas.Series(column, index=frame.index))
        return frame

    def _cells(self, j: int, values: Codes) -> Any:
        dtype = self.frame.dtypes.iloc[j]
        if self.categorical(j):
            codes = np.where(np.isnan(values), -1, values).astype(np.int64)
            return self._pandas.Categorical.from_codes(codes, dtype=dtype)
        if isinstance(dtype, np.dtype):
            return values.astype(dtype)
        missing = np.isnan(values)
        cells = self._pandas.array(np.where(missing, 0, values).astype(self._dtype(j)), dtype=dtype)
        cells[missing] = self._pandas.NA
        return cells
