"""What the lanes see of a table: numbers, dense or sparse, without the columns that the attacker sets at will."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import row_hashes, split
from ..errors import BadInput, require

# Of the rows that no fit was given: a part to train the lanes, one by which they choose and stop, one for thresholds.
PARTS = (0.6, 0.15, 0.25)


def parts(X: Any, labels: NDArray[np.int64], groups: Any, fractions: Sequence[float], seed: int) -> Any:
    """Row numbers of three parts, no group and no equal rows across them; all rows three times where those are few."""
    try:
        found = split(labels, groups, fractions, seed, vectors=row_hashes(X))
    except BadInput as fault:
        if fault.args and "groups, row" in str(fault):
            raise
        every = np.arange(len(labels))
        return every, every, every, False
    return found.train, found.validation, found.test, True


def checked_groups(groups: Any, rows: int) -> NDArray[Any]:
    """One for each row."""
    found = np.asarray(groups)
    if found.shape != (rows,):
        raise BadInput("groups", f"an array of shape {found.shape} came for {rows} rows", "one per row is right")
    return found


def columns(X: Any, kept: NDArray[np.int64] | None) -> Any:
    """The columns that a score may use; sparse rows as a CSR matrix, which every library reads.

    A number that is stored in several pieces is their sum: some libraries would take the last piece for it, so that
    adding a piece could lower what they see.
    """
    sparse = require("scipy.sparse", "tables")
    if sparse.issparse(X):
        X = sparse.csr_matrix(X)
        if not X.has_canonical_format or not X.data.all():
            X = X.copy()
            X.sum_duplicates()
            X.eliminate_zeros()
    return X if kept is None else X[:, kept]


def are_bits(X: Any) -> bool:
    """Whether all numbers are 0 or 1."""
    return bool(np.isin(X.data if hasattr(X, "indptr") else X, (0.0, 1.0)).all())


def together(one: tuple[Any, NDArray[np.int64]], other: tuple[Any, NDArray[np.int64]]) -> tuple[Any, NDArray[np.int64]]:
    """The rows and labels of both."""
    sparse = require("scipy.sparse", "tables")
    labels = np.concatenate([one[1], other[1]])
    if sparse.issparse(one[0]):
        return sparse.vstack([one[0], other[0]], format="csr"), labels
    return np.vstack([one[0], other[0]]), labels
