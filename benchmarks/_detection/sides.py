"""Rows, their labels, and three sides that share no feature vector.

- of rows with one vector a single one is left, with the label of most of them; a tie leaves none;
- a vector that is on an earlier side (train, validation, test, in this order) is left out of the later ones;
- how many rows went each way is part of every record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from isotone.attack import Moves
from isotone.data import Examples
from isotone.families import Material
from isotone.training import Rows


@dataclass(frozen=True)
class Side:
    """Rows of a problem.

    Args:
        X: scipy CSR, float32, sorted indices, no stored zeros.
        y: int64, 1 is bad.
        groups: what belongs together beside equal rows, where the set says so.
    """

    X: Any
    y: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, at: np.ndarray) -> Side:
        return Side(self.X[at], self.y[at], None if self.groups is None else self.groups[at])

    def beside(self, other: Side) -> Side:
        """The rows of both."""
        groups = None if self.groups is None else np.concatenate([self.groups, other.groups])
        return Side(sp.vstack([self.X, other.X], format="csr"), np.concatenate([self.y, other.y]), groups)

    @property
    def benign(self) -> Side:
        return self.take(np.flatnonzero(self.y == 0))

    @property
    def bad(self) -> Side:
        return self.take(np.flatnonzero(self.y == 1))


@dataclass(frozen=True)
class Problem:
    """A split of a set under a threat.

    Args:
        name: of the set.
        names: of the features.
        ways: one direction a feature: +1 addable, 0 out of the attacker's reach.
        presence: whether features are bits, present or not; else numbers, scaled to [0, 1] on training rows.
        train, validation, test: what is fitted on; what settings and thresholds are chosen on; what is judged once.
        fresh: benign rows of the test's origin that are no test rows, where the set has them.
        notes: counts of what was left out.
    """

    name: str
    names: tuple[str, ...]
    ways: np.ndarray
    presence: bool
    train: Side
    validation: Side
    test: Side
    fresh: Side | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def examples(self, X: Any) -> Examples:
        """As isotone's own families take rows."""
        rows, nothing = X.shape[0], sp.csr_matrix((X.shape[0], 0), dtype=np.float32)
        names, columns = (X, np.zeros((rows, 0), np.float32)) if self.presence else (nothing, X.toarray())
        return Examples(names, columns, {}, np.zeros(rows, np.int64))

    @cached_property
    def material(self) -> Material:
        sides = (Rows(self.examples(side.X), side.y) for side in (self.train, self.validation))
        return Material(*sides, tuple(int(way) for way in self.ways))

    @property
    def moves(self) -> Moves:
        """A name appears; a number rises to the largest value of the training rows."""
        return Moves.between(self.ways.tolist(), 0.0, 1.0)


def csr(X: Any) -> Any:
    """The form of `Side.X`."""
    X = sp.csr_matrix(X, dtype=np.float32)
    X.eliminate_zeros()
    X.sort_indices()
    return X


def vectors(X: Any) -> np.ndarray:
    """A text of bytes for each row: equal for equal rows, and for no others."""
    found = []
    for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        found.append(X.indices[a:b].astype(np.int32).tobytes() + X.data[a:b].tobytes())
    return np.array(found, dtype=object)


def single(X: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Row numbers of one row a vector, their labels by majority, and counts."""
    _, first, group = np.unique(vectors(X), return_index=True, return_inverse=True)
    group = group.reshape(-1)
    bad, rows = np.bincount(group, y), np.bincount(group)
    tied, mixed = 2 * bad == rows, (bad > 0) & (bad < rows)
    counts = {
        "rows": len(y),
        "vectors": len(first),
        "vectors with both labels": int(mixed.sum()),
        "rows of vectors with both labels": int(rows[mixed].sum()),
        "vectors left out (tie)": int(tied.sum()),
    }
    return first[~tied], (2 * bad > rows)[~tied].astype(np.int64), counts


def apart(train: Side, validation: Side, test: Side) -> tuple[tuple[Side, Side, Side], dict[str, Any]]:
    """Each side with every vector once, and no vector of an earlier side; counts of what was left out."""
    seen: set[bytes] = set()
    found, notes = [], {}
    for name, side in (("train", train), ("validation", validation), ("test", test)):
        at, y, counts = single(side.X, side.y)
        repeats = np.array([vector in seen for vector in vectors(side.X[at])], dtype=bool)
        notes[name] = {**counts, "vectors left out (on an earlier side)": int(repeats.sum())}
        found.append(replace(side.take(at[~repeats]), y=y[~repeats]))
        seen.update(vectors(found[-1].X))
    return (found[0], found[1], found[2]), notes
