"""What becomes of one column: a number, a category with an order, or a category without one.

Each kind is learnt from training rows, is plain JSON, and says of each of its components: its direction, whether it is
a number, and what it means. What all of them keep: of two cells that are ordered as the kind says, with the missing
value where its policy says, the components of the lower lie at or below those of the higher where the feature's
direction is +1 or -1; where it is 0 nothing is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from ..offsets import weighted_quantiles, zero_of
from ._cells import Categories, Floats, Key, Table, by_size, recoded
from ._orders import at_or_above

LARGEST = 1.5e38  # differences of two are finite in float32, in which networks compute
MOST_STEPS = 64  # a longer list of categories becomes one number, which ramps then cut at its quantiles
MOST_LEVELS = 255  # as many as scikit-learn's and LightGBM's histograms can tell apart


@dataclass(frozen=True)
class Component:
    """One encoded column of a feature."""

    direction: int
    number: bool
    meaning: str


class Kind(Protocol):
    """What the encoder needs of a column."""

    def components(self) -> list[Component]:
        """One for each encoded column."""

    def encode(self, table: Table, j: int) -> Floats:
        """Column j of the table, shape (rows, components), finite in float32."""


@final
@dataclass(frozen=True)
class Number:
    """A number, and a component for the missing where training rows had some.

    lowest, for x <= y:   (max(x, low), 1) <= (max(y, low), 1); a missing value is (low, 0), at or below them all.
    highest:              (min(x, high), 0) and a missing value (high, 1): the mirror image.
    outside, or free:     (x, 0), and a missing value (fill, 1); the 0 or 1 is free, so nothing follows between them.
    The clip is what makes the first two true for numbers that training never saw. It costs what a network would have
    said beyond `low`; so where training had missing values `low` is the least training number, and the model learns
    from the component what missing means; where it had none, `low` is one range of the numbers further down: numbers
    are followed that far, and the first missing value ever seen scores as the lowest of them.

    Numbers that differ by little beside what they are, such as times in milliseconds, are counted from `zero`
    (`isotone.offsets`).
    """

    direction: int
    missing: str
    seen: bool
    low: float
    high: float
    fill: float
    zero: float = 0.0

    @classmethod
    def learn(cls, table: Table, j: int, direction: int, missing: str, weight: Floats) -> Number:
        """From training rows of weight above 0."""
        numbers = np.clip(table.numbers(j), -LARGEST, LARGEST)
        there = ~np.isnan(numbers)
        seen = not bool(there.all())
        known = numbers[there] if there.any() else np.zeros(1)
        low, high = float(known.min()), float(known.max())
        counted = weight[there] if there.any() else np.ones(1)
        (fill,), zero = weighted_quantiles(known, counted, (0.5,)), zero_of(known, counted)
        if not seen:
            reach = high - low or max(1.0, abs(low))
            low, high = max(low - reach, -LARGEST), min(high + reach, LARGEST)
        if direction and missing == "lowest":
            return cls(direction, missing, seen, low, LARGEST, low, zero)
        if direction and missing == "highest":
            return cls(direction, missing, seen, -LARGEST, high, high, zero)
        return cls(direction, missing, seen, -LARGEST, LARGEST, fill, zero)

    def components(self) -> list[Component]:
        """The number, then presence or absence."""
        return [Component(self.direction, True, "number"), *missing_component(self.direction, self.missing, self.seen)]

    def encode(self, table: Table, j: int) -> Floats:
        """(number,) or (number, present or missing)."""
        numbers = table.numbers(j)
        gone = np.isnan(numbers)
        filled = np.where(gone, self.fill, np.clip(numbers, self.low, self.high)) - self.zero
        filled = np.clip(filled, -LARGEST, LARGEST)
        return np.column_stack([filled, *missing_column(self.direction, self.missing, self.seen, gone)])


@final
@dataclass(frozen=True)
class Ordered:
    """A category with an order: for each category c, 1 if the value is c or above it.

    Proof: write D(v) for the categories at or below v. x <= y exactly if D(x) is within D(y): if x <= y, what is below
    x is below y; and x itself is in D(x), so from D(x) within D(y) follows x <= y. A component is membership of one
    category in D. Missing is the empty set as `lowest`, all of them as `highest`, and the most frequent category's
    set, with a free component, as `outside`. A category below all others is in every D: its component is left out.

    A list of more than 64 categories is its place in the list instead: a number from 0 up, on which x <= y is x <= y.
    A category that training did not know counts as missing.
    """

    direction: int
    missing: str
    seen: bool
    levels: tuple[Key, ...]
    pairs: tuple[tuple[int, int], ...]
    whole: bool  # from low to high, without gaps: place k is below place k + 1
    fill: int

    @classmethod
    def learn(
        cls,
        found: Categories,
        order: tuple[tuple[Key, ...], tuple[tuple[int, int], ...], bool],
        direction: int,
        missing: str,
        weight: Floats,
    ) -> Ordered:
        """From training rows of weight above 0, none of which has a category outside of `order`."""
        levels, pairs, whole = order
        codes = recoded(found, levels)
        sizes = np.bincount(codes[codes >= 0], weights=weight[codes >= 0], minlength=len(levels))
        return cls(direction, missing, bool((codes < 0).any()), levels, pairs, whole, int(sizes.argmax()))

    @property
    def _as_number(self) -> bool:
        return self.whole and len(self.levels) > MOST_STEPS

    def _kept(self) -> NDArray[np.int64]:
        """The categories that have a component: not one that all values are at or above."""
        return np.flatnonzero(~at_or_above(len(self.levels), self.pairs).all(axis=0))

    def components(self) -> list[Component]:
        """Steps, or the place in the list; then presence or absence."""
        if self._as_number:
            steps = [Component(self.direction, True, "place")]
        else:
            steps = [Component(self.direction, False, f"at least {self.levels[c]}") for c in self._kept()]
        return steps + missing_component(self.direction, self.missing, self.seen)

    def encode(self, table: Table, j: int) -> Floats:
        """Steps of 0 and 1, or places."""
        codes = recoded(table.categories(j), self.levels)
        last = len(self.levels) - 1
        claimed = self.missing if self.direction else "outside"
        if self._as_number:
            values = np.arange(last + 1.0)[:, None]
            place = {"lowest": 0, "highest": last, "outside": self.fill}[claimed]
            instead = values[place]
        else:
            values = at_or_above(len(self.levels), self.pairs)[:, self._kept()].astype(np.float64)
            instead = {
                "lowest": np.zeros(values.shape[1]),
                "highest": np.ones(values.shape[1]),
                "outside": values[self.fill],
            }[claimed]
        parts = np.concatenate([values, instead[None]])[codes]  # code -1 reads the last row
        return np.column_stack([parts, *missing_column(self.direction, self.missing, self.seen, codes < 0)])


@final
@dataclass(frozen=True)
class Free:
    """A category without an order: one free component for each category of the training rows.

    Of more than 255 categories the 254 of most weight are kept (ties: the smaller name), the others share one
    component, `other`. A category that training did not know is `other` where there is one, else all zeros. A missing
    value has a component of its own where training had some, else it is all zeros.
    """

    levels: tuple[Key, ...]
    other: bool
    seen: bool

    @classmethod
    def learn(cls, found: Categories, weight: Floats) -> Free:
        """From training rows of weight above 0."""
        there = found.codes >= 0
        sizes = np.bincount(found.codes[there], weights=weight[there], minlength=len(found.levels))
        size_of: dict[Key, float] = {}
        for level, size in zip(found.levels, sizes.tolist(), strict=True):
            if size > 0:
                size_of[level] = size_of.get(level, 0.0) + size
        levels = by_size(tuple(size_of))
        pooled = len(levels) > MOST_LEVELS
        if pooled:
            largest = sorted(levels, key=lambda level: -size_of[level])[: MOST_LEVELS - 1]  # stable: ties by name
            levels = by_size(tuple(largest))
        return cls(tuple(levels), pooled, not bool(there.all()))

    def components(self) -> list[Component]:
        """Each category, then other, then missing."""
        said = [f"is {level}" for level in self.levels] + ["other"] * self.other + ["missing"] * self.seen
        return [Component(0, False, meaning) for meaning in said]

    def encode(self, table: Table, j: int) -> Floats:
        """One 1 a row, or none."""
        found = table.categories(j)
        codes = recoded(found, self.levels)
        rows = np.zeros((len(codes), len(self.components())))
        known = codes >= 0
        rows[np.flatnonzero(known), codes[known]] = 1.0
        if self.other:
            rows[~known & (found.codes >= 0), len(self.levels)] = 1.0
        if self.seen:
            rows[found.codes < 0, -1] = 1.0
        return rows


KINDS: dict[str, type[Number] | type[Ordered] | type[Free]] = {"number": Number, "ordered": Ordered, "free": Free}


def missing_component(direction: int, missing: str, seen: bool) -> list[Component]:
    """The component that tells missing from present: none where training had no missing value."""
    if not seen:
        return []
    if direction and missing == "lowest":
        return [Component(direction, False, "present")]
    return [Component(direction if missing == "highest" else 0, False, "missing")]


def missing_column(direction: int, missing: str, seen: bool, gone: NDArray[np.bool_]) -> list[Floats]:
    """Its values."""
    if not seen:
        return []
    return [(~gone if direction and missing == "lowest" else gone).astype(np.float64)]


def kind_to_dict(kind: Any) -> dict[str, Any]:
    """A column's kind as JSON."""
    name = next(name for name, cls in KINDS.items() if type(kind) is cls)
    plain = {key: _plain(value) for key, value in vars(kind).items()}
    return {"kind": name, **plain}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def kind_from_dict(facts: dict[str, Any]) -> Any:
    """What `kind_to_dict` gave."""
    values = {key: _tuples(value) for key, value in facts.items() if key != "kind"}
    return KINDS[facts["kind"]](**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
