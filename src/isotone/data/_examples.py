"""Rows as a model takes them: names that are present, and columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadInput, require


@dataclass(frozen=True)
class Examples:
    """What `Encoder.encode` makes of a table.

    Args:
        names: scipy CSR, float32, shape (rows, names); column indices sorted and unique in each row, all data 1.
        columns: shape (rows, columns), float32, in the units of the file, less the encoder's `zeros`.
            NaN in failed rows, and nowhere else.
        failures: row -> why it could not be encoded. A failed row has no names: whoever scores must treat it as bad.
        unknown: shape (rows,), int64: how many different names of each row are not in the vocabulary.
    """

    names: Any
    columns: NDArray[np.float32]
    failures: Mapping[int, str]
    unknown: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.names.shape[0])

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Shape (rows,): False for the rows in `failures`."""
        good = np.ones(len(self), dtype=np.bool_)
        good[list(self.failures)] = False
        return good

    def take(self, indices: ArrayLike | Sequence[int]) -> Examples:
        """The rows at `indices` (integers from 0, or a mask), in that order."""
        at = np.arange(len(self))[np.asarray(indices, dtype=None if np.size(indices) else np.int64)]
        failures = {place: self.failures[row] for place, row in enumerate(at.tolist()) if row in self.failures}
        return Examples(self.names[at], self.columns[at], failures, self.unknown[at])

    def matrix(self) -> Any:
        """Names, then columns, in one scipy CSR of float32: what boosters take. Shape (rows, names + columns)."""
        sparse = require("scipy.sparse", "tables")
        return sparse.hstack([self.names, sparse.csr_matrix(self.columns)], format="csr", dtype=np.float32)

    def vector_hashes(self) -> NDArray[np.uint64]:
        """Shape (rows,): one number for each feature vector; equal vectors have equal numbers.

        Two different vectors share a number with a chance of about 5e-20 per pair: good against repeats, which happen,
        not against someone who searches for a collision. Only comparable within one encoder.
        """
        places = np.arange(1, sum(self._width) + 1, dtype=np.uint64)
        salts = _mixed(places)
        counts = np.diff(self.names.indptr)
        rows = np.repeat(np.arange(len(self)), counts)
        total = np.zeros(len(self), dtype=np.uint64)
        np.add.at(total, rows, salts[self.names.indices])
        # + 0.0 turns -0.0 into 0.0: equal numbers, other bits.
        bits = (self.columns + np.float32(0.0)).view(np.uint32).astype(np.uint64)
        for column, salt in enumerate(salts[self._width[0] :]):
            total += _mixed(bits[:, column] ^ salt)
        return total

    @property
    def _width(self) -> tuple[int, int]:
        return int(self.names.shape[1]), int(self.columns.shape[1])


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection of 64-bit words that looks random."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def first_failure(where: str, failures: Mapping[int, str]) -> BadInput:
    """The error for the first failed row."""
    row = min(failures)
    return BadInput(
        f"{where}, row {row + 1}", failures[row], "every row must be whole", "Mend this row, or take it out."
    )
