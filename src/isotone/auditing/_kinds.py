"""Arrays, sparse matrices and lists of dicts as rows; and which kind came."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require
from ._frames import FrameRows
from ._rows import Codes, Edit, Places, Rows, all_whole, numbers, shown, through, type_ends

KINDS = "a pandas DataFrame, a two-dimensional array, a scipy sparse matrix or a list of dicts"


def rows_of(X: Any) -> Rows:
    """The reader for what came as X.

    >>> rows_of(np.zeros((2, 3))).names
    ['x0', 'x1', 'x2']
    """
    if "pandas" in sys.modules and isinstance(X, sys.modules["pandas"].DataFrame):
        return FrameRows(X)
    if "scipy.sparse" in sys.modules and sys.modules["scipy.sparse"].issparse(X):
        return SparseRows(X)
    if isinstance(X, list) and X and all(isinstance(row, Mapping) for row in X):
        return RecordRows(X)
    try:
        array = np.asarray(X)
    except ValueError:
        array = np.empty(0)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biufO":
        came = f"{type(X).__name__} of shape {array.shape} came" if array.ndim else f"{type(X).__name__} came"
        raise BadInput("X", came, f"{KINDS}, with at least one row, would be right")
    return ArrayRows(array)


class ArrayRows:
    """A two-dimensional numpy array."""

    kind = "array"
    named = False

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.count, width = array.shape
        self.names = [f"x{j}" for j in range(width)]
        self.whole: Callable[[int], bool] = cache(self._whole)

    def codes(self, j: int) -> Codes | None:
        return numbers(self.array[:, j])

    def _whole(self, j: int) -> bool:
        return self.array.dtype.kind in "biu" or all_whole(self.codes(j))

    def ends(self, j: int) -> tuple[float, float]:
        return type_ends(self.array.dtype)

    def categorical(self, j: int) -> bool:
        return False

    def can_miss(self, j: int) -> bool:
        return self.array.dtype.kind in "fO"

    def fit(self, j: int, values: Codes) -> Codes:
        values = np.round(values) if self.whole(j) else values
        return through(values, self.array.dtype)

    def show(self, j: int, code: float) -> Any:
        return shown(code, self.whole(j))

    def build(self, base: Places, edits: Iterable[Edit] = ()) -> NDArray[Any]:
        array = self.array[base]
        for edit in edits:
            array[edit.rows, edit.feature] = edit.values
        return array


class SparseRows:
    """A scipy sparse matrix. An absent entry is the number 0, and a 0 is never stored."""

    kind = "sparse"
    named = False

    def __init__(self, matrix: Any) -> None:
        self._sparse = require("scipy.sparse", "tables")
        self.matrix = self._sparse.csr_matrix(matrix, copy=True)
        self.matrix.sum_duplicates()
        self.matrix.eliminate_zeros()
        self._columns = self.matrix.tocsc()
        self.count, width = self.matrix.shape
        self.names = [f"x{j}" for j in range(width)]
        self.whole: Callable[[int], bool] = cache(self._whole)

    def codes(self, j: int) -> Codes:
        return self._columns[:, [j]].toarray().ravel().astype(np.float64)  # type: ignore[no-any-return]

    def _whole(self, j: int) -> bool:
        stored = self._columns.data[self._columns.indptr[j] : self._columns.indptr[j + 1]]
        return self.matrix.dtype.kind in "biu" or not stored.size or all_whole(stored.astype(np.float64))

    def ends(self, j: int) -> tuple[float, float]:
        return type_ends(self.matrix.dtype)

    def categorical(self, j: int) -> bool:
        return False

    def can_miss(self, j: int) -> bool:
        return bool(self.matrix.dtype.kind == "f")

    def fit(self, j: int, values: Codes) -> Codes:
        return through(np.round(values) if self.whole(j) else values, self.matrix.dtype)

    def show(self, j: int, code: float) -> Any:
        return shown(code, self.whole(j))

    def build(self, base: Places, edits: Iterable[Edit] = ()) -> Any:
        edits = list(edits)
        taken = self.matrix[base]
        if not edits:
            return taken
        width = taken.shape[1]
        at = np.concatenate([np.arange(len(base))[edit.rows] * width + edit.feature for edit in edits])
        values = np.concatenate([np.broadcast_to(edit.values, len(range(len(base))[edit.rows])) for edit in edits])
        owners = np.repeat(np.arange(len(base)), np.diff(taken.indptr))
        kept = ~np.isin(owners * width + taken.indices, at)
        kept_rows, kept_columns, kept_data = owners[kept], taken.indices[kept], taken.data[kept]
        stored = values != 0  # NaN is stored
        rows = np.concatenate([kept_rows, at[stored] // width])
        columns = np.concatenate([kept_columns, at[stored] % width])
        data = np.concatenate([kept_data, values[stored].astype(taken.dtype)])
        built = self._sparse.csr_matrix((data, (rows, columns)), shape=taken.shape)
        built.sort_indices()
        return built


class RecordRows:
    """A list of dicts. A key that is absent is the number 0, as `DictVectorizer` reads it, until it is moved."""

    kind = "records"
    named = True

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.records = list(records)
        self.count = len(self.records)
        self.keys = list(dict.fromkeys(key for row in self.records for key in row))
        self.names = [str(key) for key in self.keys]
        self.whole: Callable[[int], bool] = cache(self._whole)

    def codes(self, j: int) -> Codes | None:
        found = [row.get(self.keys[j], 0) for row in self.records]
        if any(isinstance(value, str) for value in found):
            return None
        return numbers(found)

    def _whole(self, j: int) -> bool:
        return all_whole(self.codes(j))

    def ends(self, j: int) -> tuple[float, float]:
        return -np.inf, np.inf

    def categorical(self, j: int) -> bool:
        return False

    def can_miss(self, j: int) -> bool:
        return True

    def fit(self, j: int, values: Codes) -> Codes:
        return np.round(values) if self.whole(j) else values

    def show(self, j: int, code: float) -> Any:
        return shown(code, self.whole(j))

    def build(self, base: Places, edits: Iterable[Edit] = ()) -> list[dict[str, Any]]:
        built = [dict(self.records[i]) for i in base]
        for edit in edits:
            key, whole = self.keys[edit.feature], self.whole(edit.feature)
            places = range(len(base))[edit.rows]
            for place, value in zip(places, np.broadcast_to(edit.values, len(places)), strict=True):
                # A value that does not change stays as it came: absent stays absent.
                if value != built[place].get(key, 0):
                    built[place][key] = int(value) if whole and np.isfinite(value) else float(value)
        return built
