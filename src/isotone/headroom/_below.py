"""Which benign rows an attacker can turn each bad row into, as a matrix of bits.

- a bad row is below a benign one if increasing features are no higher, decreasing ones no lower, and free ones equal;
- rows that repeat are one, with the sum of their weights;
- one bit a pair: 15,000 bad rows beside 15,000 benign ones are 28 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]

# Unpacked bits of some rows at a time stay below this.
BYTES = 1 << 22
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


@dataclass(frozen=True)
class Distinct:
    """Rows without repeats.

    Args:
        rows: CSR, float64, no stored zeros.
        weights: shape (rows,): the sum over the repeats.
        first: shape (rows,): where each stands first among the rows that came.
    """

    rows: Any
    weights: Floats
    first: Ints

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, at: Any) -> Distinct:
        return Distinct(self.rows[at], self.weights[at], self.first[at])


def as_rows(where: str, X: Any) -> Any:
    """CSR in float64, sorted, without stored zeros.

    Raises:
        BadInput: no two dimensions, or a NaN.
    """
    if getattr(X, "ndim", 0) != 2:
        raise BadInput(where, f"{type(X).__name__} without two dimensions came", "an array or CSR of rows is right")
    try:
        found = require("scipy.sparse", "tables").csr_matrix(X, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(
            where, "it holds what is no number", "rows of numbers are right", "Encode words first."
        ) from None
    if np.isnan(found.data).any():
        raise BadInput(where, "a NaN came", "it is neither more nor less than anything", "Encode what is missing.")
    found = found.copy()
    found.sum_duplicates()
    found.eliminate_zeros()
    found.sort_indices()
    return found


def distinct(rows: Any, weights: Floats, at: Ints) -> Distinct:
    """The rows at `at`, each once."""
    keys = []
    for row in at.tolist():
        part = slice(rows.indptr[row], rows.indptr[row + 1])
        keys.append(rows.indices[part].tobytes() + rows.data[part].tobytes())
    first, group = grouped(keys)
    return Distinct(
        rows[at[first]], np.asarray(np.bincount(group, weights[at], len(first)), dtype=np.float64), at[first]
    )


def grouped(keys: Iterable[bytes]) -> tuple[Ints, Ints]:
    """Where each different key first stands, and which of them each key is, in the order they come."""
    places: dict[bytes, int] = {}
    group = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
    return np.unique(group, return_index=True)[1], group


@dataclass(frozen=True)
class Below:
    """Bit j of row i: bad row i is below benign row j.

    Args:
        bits: shape (bad, ceil(benign / 8)), as `np.packbits` packs them.
        benign: how many there are.
    """

    bits: Bits
    benign: int

    def among(self, some: NDArray[np.bool_]) -> Below:
        """With some of the benign rows only."""
        return Below(self.bits & np.packbits(some), self.benign)

    def any(self) -> NDArray[np.bool_]:
        """Shape (bad,): below at least one."""
        return np.asarray(self.bits.any(axis=1), dtype=np.bool_)

    def over(self, some: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Shape (benign,): above at least one of some bad rows."""
        return np.asarray(self._unpacked(np.bitwise_or.reduce(self.bits[some], axis=0, keepdims=True))[0])

    def parts(self) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
        """Slices of bad rows, and their bits unpacked: (rows, benign)."""
        step = max(1, BYTES // max(1, self.benign))
        for start in range(0, len(self.bits), step):
            part = slice(start, start + step)
            yield part, self._unpacked(self.bits[part])

    def counts(self) -> Ints:
        """Shape (bad,): how many benign rows are above."""
        return np.asarray(_ONES[self.bits].sum(axis=1, dtype=np.int64))

    def costs(self, weights: Floats) -> Floats:
        """Shape (bad,): the weight of all benign rows above."""
        if (weights == 1).all():
            return self.counts().astype(np.float64)
        return np.concatenate([np.zeros(0), *(part.astype(np.float64) @ weights for _, part in self.parts())])

    def _unpacked(self, bits: Bits) -> NDArray[np.bool_]:
        return np.asarray(np.unpackbits(bits, axis=1, count=self.benign).view(np.bool_))


def below(bad: Any, benign: Any, signs: Ints) -> Below:
    """All pairs.

    Args:
        bad, benign: CSR, with the same columns.
        signs: +1, -1 or 0 per column.

    Cost: for each column, one comparison of all benign rows per value that bad rows have, and a bit per pair.
    """
    found = np.tile(np.packbits(np.ones(benign.shape[0], dtype=np.bool_)), (bad.shape[0], 1))
    low, high = bad.tocsc(), benign.tocsc()
    for column, sign in enumerate(signs.tolist()):
        _narrow(found, low, high, column, sign)
    return Below(found, benign.shape[0])


def held(pairs: Below, bad: Any, benign: Any, column: int) -> Below:
    """The pairs that are left if the attacker could not move this column: equal there."""
    found = pairs.bits.copy()
    _narrow(found, bad.tocsc(), benign.tocsc(), column, 0)
    return Below(found, pairs.benign)


@dataclass(frozen=True)
class Sides:
    """Bad and benign rows, and which of the first are below which of the second."""

    bad: Distinct
    benign: Distinct
    pairs: Below

    @property
    def free(self) -> float:
        """Weight of the bad rows that are below no benign one."""
        return float(self.bad.weights[~self.pairs.any()].sum())

    def held(self, column: int) -> Sides:
        """As if the attacker could not move this column: rows that differ there have no order."""
        return Sides(self.bad, self.benign, held(self.pairs, self.bad.rows, self.benign.rows, column))


def _narrow(found: Bits, low: Any, high: Any, column: int, sign: int) -> None:
    """Take out of `found` the pairs that this column forbids."""
    mine, theirs = _column(low, column), _column(high, column)
    stored = low.data[low.indptr[column] : low.indptr[column + 1]]
    values = np.unique(stored) if len(stored) == len(mine) else np.unique(np.append(stored, 0.0))
    for value in values:
        fits = theirs == value if sign == 0 else sign * theirs >= sign * value
        if not fits.all():
            found[mine == value] &= np.packbits(fits)


def _column(matrix: Any, column: int) -> Floats:
    """One column of a CSC matrix, dense."""
    part = slice(matrix.indptr[column], matrix.indptr[column + 1])
    found = np.zeros(matrix.shape[0])
    found[matrix.indices[part]] = matrix.data[part]
    return found
