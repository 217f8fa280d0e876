"""Which rows of numbers are the same row."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require


def row_hashes(X: Any) -> NDArray[Any]:
    """Shape (rows,), strings: equal for equal rows, dense or sparse.

    >>> one, other, again = isotone.data.row_hashes(np.array([[0.0, 1.0], [2.0, 0.0], [-0.0, 1.0]]))
    >>> bool(one == again), bool(one == other)
    (True, False)
    """
    sparse = require("scipy.sparse", "tables")
    found = []
    if sparse.issparse(X):
        X = X.tocsr(copy=True)
        X.sum_duplicates()
        X.eliminate_zeros()
        for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True):
            found.append(_digest(X.indices[a:b].astype(np.int64).tobytes() + X.data[a:b].astype(np.float64).tobytes()))
    else:
        for row in np.asarray(X, dtype=np.float64) + 0.0:  # -0.0 and 0.0 are one number
            at = np.flatnonzero(row)
            found.append(_digest(at.tobytes() + row[at].tobytes()))
    return np.array(found)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()
