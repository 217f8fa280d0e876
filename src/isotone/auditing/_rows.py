"""What a search needs of a table: rows read as numbers, feature by feature, and built again in the kind they came in.

- what is not moved stays as it was, bit for bit; integers stay integers, categories stay categories;
- a value is only asked for as the column can hold it: `fit` rounds to the column's type first;
- knows tables, not scores and not directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.float64]
Places = NDArray[np.int64]
MOST_WHOLE = 2.0**53  # beyond it float64 skips whole numbers


@dataclass(frozen=True)
class Edit:
    """New values of one feature in a stretch of rows."""

    rows: slice
    feature: int
    values: Codes


class Rows(Protocol):
    """What the search needs of a table."""

    kind: str
    names: list[str]
    named: bool
    count: int

    def codes(self, j: int) -> Codes | None:
        """Feature j as numbers, shape (count,), NaN where missing; None where it has no order."""

    whole: Callable[[int], bool]  # whether the feature takes whole numbers only

    def ends(self, j: int) -> tuple[float, float]:
        """The least and the greatest number that the type of the feature can hold."""

    def categorical(self, j: int) -> bool:
        """Whether the column holds categories, which a model may number in its own way."""

    def can_miss(self, j: int) -> bool:
        """Whether the column can hold a missing value."""

    def fit(self, j: int, values: Codes) -> Codes:
        """The values as the column would hold them."""

    def show(self, j: int, code: float) -> Any:
        """A number of feature j as a person or JSON would write it."""

    def build(self, base: Places, edits: Iterable[Edit] = ()) -> Any:
        """The rows `base`, edited, in the kind in which X came."""


def numbers(values: Any) -> Codes | None:
    """As float64 if every value is a number or missing."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def all_whole(codes: Codes | None) -> bool:
    """Whether every number that is known is whole, and there is one."""
    known = codes[np.isfinite(codes)] if codes is not None else np.empty(0)
    return bool(known.size and (known == np.round(known)).all())


def type_ends(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The least and the greatest number of a type."""
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return max(float(info.min), -MOST_WHOLE), min(float(info.max), MOST_WHOLE)
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return -np.inf, np.inf


def shown(code: float, whole: bool) -> Any:
    """A number as Python has it; None where missing."""
    if np.isnan(code):
        return None
    return int(code) if whole and np.isfinite(code) else float(code)


def through(values: Codes, dtype: np.dtype[Any]) -> Codes:
    """Through the dtype and back: rounding keeps the order."""
    if dtype.kind not in "biuf":
        return values
    low, high = type_ends(dtype)
    return np.clip(values, low, high).astype(dtype).astype(np.float64)
