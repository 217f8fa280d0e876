"""Training, validation and test rows, so that nothing learnt from one is met again in another.

- a group stands on one side; so does a feature vector;
- which side depends on the seed and the names of the groups, not on the order of the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadInput

PARTS = ("train", "validation", "test")
FEWEST = 2  # of each class in each part


@dataclass(frozen=True)
class Split:
    """Which rows are on which side.

    Args:
        train, validation, test: row numbers from 0, int64, ascending.
        dropped: how many rows are on no side, since their feature vector is on an earlier one.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    dropped: int

    def without_repeats(self, vectors: ArrayLike) -> Split:
        """The split without rows whose feature vector is on an earlier side; `dropped` counts them too.

        For vectors that are known only after the split, since the vocabulary is learnt from its training rows.

        Args:
            vectors: shape (all rows,), `Examples.vector_hashes()` of the rows that were split.

        >>> split([0, 1] * 10, seed=1).without_repeats([7] * 20).dropped
        8
        """
        hashes = np.asarray(vectors)
        seen: set[Any] = set()
        kept = []
        for side in (self.train, self.validation, self.test):
            kept.append(np.array([row for row in side.tolist() if hashes[row] not in seen], dtype=np.int64))
            seen.update(hashes[side].tolist())
        lost = sum(len(side) for side in (self.train, self.validation, self.test)) - sum(len(side) for side in kept)
        train, validation, test = kept
        return Split(train, validation, test, self.dropped + lost)


def split(
    y: ArrayLike,
    groups: ArrayLike | None = None,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    vectors: ArrayLike | None = None,
) -> Split:
    """Three sides with near the wanted share of each class, as far as the groups allow.

    The groups go, in the order of a hash of seed and name, each to the side where they bring the shares of both classes
    nearest to `fractions` in least squares.

    Args:
        y: shape (rows,), labels 0 and 1.
        groups: shape (rows,), strings or integers; rows of one group stay together. Default: rows with one feature
            vector are a group; without `vectors`, each row is one, known by its number.
        fractions: shares of train, validation and test, positive, with sum 1.
        seed: another seed, another split.
        vectors: shape (rows,), `Examples.vector_hashes()`. Rows of a later side whose vector is on an earlier side are
            dropped: test rows that were trained on would measure memory.

    Returns:
        `Split`. The same input gives the same split, on every machine and in every order of the rows.

    Raises:
        BadInput: other labels, lengths or fractions, a missing group, or fewer than 2 rows of a class on some side.

    Cost: O(rows + groups log groups).

    >>> parts = split([0, 1] * 50)
    >>> len(parts.train), len(parts.validation), len(parts.test), parts.dropped
    (60, 20, 20, 0)
    """
    labels = _labels(y)
    shares = _shares(fractions)
    hashes = None if vectors is None else _aligned("vectors", np.asarray(vectors), len(labels))
    if groups is not None:
        names = _groups(_aligned("groups", _names(groups), len(labels)))
    else:
        names = np.arange(len(labels)) if hashes is None else hashes
    unique, group = np.unique(names, return_inverse=True)
    side = _sides(unique, group, labels, shares, seed)[group]
    dropped = np.zeros(len(labels), dtype=np.bool_)
    if hashes is not None:
        _, vector = np.unique(hashes, return_inverse=True)
        earliest = np.full(len(labels), len(PARTS))
        np.minimum.at(earliest, vector, side)
        dropped = side > earliest[vector]
    train, validation, test = (np.flatnonzero((side == place) & ~dropped) for place in range(len(PARTS)))
    _check_parts([train, validation, test], labels, len(unique), int(dropped.sum()))
    return Split(train, validation, test, int(dropped.sum()))


def split_by_time(
    y: ArrayLike,
    times: ArrayLike,
    groups: ArrayLike | None = None,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    vectors: ArrayLike | None = None,
) -> Split:
    """The oldest rows to train on, the newest to test on, as a detector is used; rows of one time stay together.

    Args:
        y: shape (rows,), labels 0 and 1.
        times: shape (rows,), numbers; of each two sides all of the later one are above all of the earlier one.
        groups: as for `split`; rows of a later side whose group is on an earlier side are dropped.
        fractions: shares of rows of train, validation and test, positive, with sum 1; met as nearly as ties allow.
        vectors: as for `split`.

    Raises:
        BadInput: as `split`; a time that is no number; too few different times.

    Cost: O(rows log rows).

    >>> parts = split_by_time([0, 1] * 10, [2020] * 10 + [2021] * 4 + [2022] * 6)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (10, 4, 6)
    """
    labels = _labels(y)
    shares = _shares(fractions)
    when = _aligned("times", np.asarray(times), len(labels))
    if not np.isfinite(when).all():
        raise BadInput("times", "one is no number", "every row needs a time")
    unique, place, counts = np.unique(when, return_inverse=True, return_counts=True)
    if len(unique) < len(PARTS):
        came = f"{len(unique)} different times came"
        raise BadInput("split by time", came, f"at least {len(PARTS)} are needed", "Split without --time.")
    done = np.cumsum(counts) / len(labels)
    # The last time of each side: nearest to its share, with a time left for every later side.
    first = int(np.abs(done[: len(unique) - 2] - shares[0]).argmin())
    second = first + 1 + int(np.abs(done[first + 1 : len(unique) - 1] - shares[0] - shares[1]).argmin())
    side = (place > first).astype(np.int64) + (place > second)
    dropped = np.zeros(len(labels), dtype=np.bool_)
    for given, name in ((groups, "groups"), (vectors, "vectors")):
        if given is not None:
            known = _aligned(name, np.asarray(given), len(labels))
            _, one = np.unique(_groups(known) if name == "groups" else known, return_inverse=True)
            earliest = np.full(len(labels), len(PARTS))
            np.minimum.at(earliest, one, side)
            dropped |= side > earliest[one]
    train, validation, test = (np.flatnonzero((side == at) & ~dropped) for at in range(len(PARTS)))
    _check_parts([train, validation, test], labels, len(unique), int(dropped.sum()), "times")
    return Split(train, validation, test, int(dropped.sum()))


def _sides(
    unique: NDArray[Any], group: NDArray[np.int64], labels: NDArray[np.int64], shares: list[float], seed: int
) -> NDArray[np.int64]:
    """The side of each group."""
    totals = [max(1, int((labels == c).sum())) for c in (0, 1)]
    weights = [(np.bincount(group[labels == c], minlength=len(unique)) / totals[c]).tolist() for c in (0, 1)]
    names = [str(name) for name in unique.tolist()]
    order = sorted(range(len(names)), key=lambda g: (_hash(seed, names[g]), names[g]))
    lacking = [[share, share] for share in shares]  # what each side still lacks of each class, as a share of the class
    sides = np.empty(len(unique), dtype=np.int64)
    for g in order:
        zeros, ones = weights[0][g], weights[1][g]
        # sum (lacking - w)^2 = sum lacking^2 - 2 w lacking + w^2: the side with the largest w . lacking gains most.
        side = max(range(len(PARTS)), key=lambda s: zeros * lacking[s][0] + ones * lacking[s][1])
        lacking[side][0] -= zeros
        lacking[side][1] -= ones
        sides[g] = side
    return sides


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{name}".encode(errors="surrogatepass"), digest_size=16).digest()


def _labels(y: ArrayLike) -> NDArray[np.int64]:
    labels = np.asarray(y)
    if labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
        raise BadInput("y", f"shape {labels.shape}, {labels.dtype} came", "one label a row, 0 or 1, would be right")
    return labels.astype(np.int64)


def _shares(fractions: Sequence[float]) -> list[float]:
    shares = [float(f) for f in fractions]
    if not (len(shares) == len(PARTS) and all(f > 0 for f in shares) and abs(sum(shares) - 1) < 1e-9):
        raise BadInput("fractions", f"{shares} came", "three positive shares (train, validation, test) with sum 1")
    return shares


def _aligned(where: str, values: NDArray[Any], rows: int) -> NDArray[Any]:
    if values.shape != (rows,):
        raise BadInput(where, f"shape {values.shape} came", f"one for each of the {rows} rows would be right")
    return values


def _groups(names: NDArray[Any]) -> NDArray[Any]:
    """The names of the groups; rows without one would all be taken for one group."""
    for row, name in enumerate(names.tolist()):
        if _is_missing(name):
            raise BadInput(
                f"groups, row {row + 1}", "its group is missing", "every row needs one", "Name it, or drop the row."
            )
    return names.astype(str) if names.dtype == object else names


def _is_missing(name: Any) -> bool:
    """None, nothing, NaN, and what pandas has for them: NA is neither equal to anything nor unequal."""
    return name is None or type(name).__name__ in ("NAType", "NaTType") or name == "" or name != name  # noqa: PLR0124


def _names(groups: ArrayLike) -> NDArray[Any]:
    """As an array; of a list as it is, as numpy makes a text "nan" of NaN among texts."""
    return np.array(groups, dtype=object) if isinstance(groups, list | tuple) else np.asarray(groups)


def _check_parts(
    parts: list[NDArray[np.int64]], labels: NDArray[np.int64], groups: int, dropped: int, kind: str = "groups"
) -> None:
    counts = [(int((labels[p] == 1).sum()), int((labels[p] == 0).sum())) for p in parts]
    if min(map(min, counts)) < FEWEST:
        came = ", ".join(
            f"{part} got {ones} positives and {zeros} negatives"
            for part, (ones, zeros) in zip(PARTS, counts, strict=True)
        )
        gone = "repeated rows" if kind == "groups" else "rows of groups or features of an earlier side"
        came += f", from {groups} {kind}" + (f", with {dropped} {gone} dropped" if dropped else "")
        then = "Bring more rows, use finer groups, give the small side a larger share, or try another seed."
        raise BadInput("split", came, f"each side needs {FEWEST} of each", then)


def folds(labels: ArrayLike, n: int, seed: int = 0, families: ArrayLike | None = None) -> NDArray[np.int64] | None:
    """Shape (rows,): a fold of each row, 0 to n - 1, with a like share of both labels.

    Args:
        labels: shape (rows,), 0 and 1.
        n: how many folds.
        seed: of the order.
        families: shape (rows,), groups of any kind; rows of a family are in one fold, by the label of its first row.

    Returns:
        None where a fold would have fewer than two rows of a label.

    Raises:
        BadInput: a row without its group.

    >>> isotone.data.folds([0, 1] * 6, 3, seed=1, families=[0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5]).tolist()
    [0, 1, 0, 1, 1, 2, 1, 2, 2, 0, 2, 0]
    """
    y = np.asarray(labels)
    names = np.arange(len(y)) if families is None else _groups(_aligned("groups", _names(families), len(y)))
    _, first, family = np.unique(names, return_index=True, return_inverse=True)
    rng, found = np.random.default_rng(seed), np.empty(len(first), dtype=np.int64)
    for label in (0, 1):
        at = rng.permutation(np.flatnonzero(y[first] == label))
        found[at] = np.arange(len(at)) % n
    fold: NDArray[np.int64] = found[family]
    fewest = min(np.bincount(fold[y == label], minlength=n).min() for label in (0, 1))
    return fold if fewest >= FEWEST else None
