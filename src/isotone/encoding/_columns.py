"""Tables for a monotone network: a dense, finite matrix in which every order of the table is kept.

- of two rows ordered as stated, the encoded rows are ordered as `directions_` says;
- a missing value stands where its policy puts it, at prediction too, whether training knew any or not;
- sparse equals dense, always; rows of weight 0 teach nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..directions import as_directions
from ..errors import BadInput
from ._cells import Floats, Key, Table
from ._kinds import Component, Free, Kind, Number, Ordered, kind_from_dict, kind_to_dict
from ._orders import read_order

FORMAT = 1
POLICIES = ("lowest", "highest", "outside")


class ColumnEncoder:
    """Numbers, ordered categories and free categories as numbers and zeros and ones, each with its direction.

    Args:
        directions: -1, 0 or +1 for each column of the table.
        missing: where a missing value stands in the order of its feature (not of the score): "lowest" below every
            value, "highest" above, "outside" nowhere: no claim between missing and present. One word for all columns,
            or a mapping from column to word, in which columns that are not named are "lowest". Of a column of
            direction 0 nothing is claimed: it is encoded as "outside".
        categorical: the columns that hold categories. Columns of pandas' category type do in any case.
        orders: a mapping from column to its order: the categories from low to high, or a list of pairs
            (lower, higher), from which all that follows is taken; a category in no pair is ordered with none. A column
            of an ordered pandas type has the order of its type.

    Tables: an array of numbers or objects, a pandas DataFrame, a scipy sparse matrix (an absent entry is the number 0).
    Infinite numbers become +-1.5e38; columns far from zero are counted from their median (`isotone.offsets`).

    After `fit`, one entry for each encoded column: `owner_` (the column of the table it is made from), `directions_`,
    `is_number_` (True: a number; False: a component that is 0 or 1), `meaning_`.

    >>> rows = np.array([[1.0, "low"], [np.nan, "high"], [3.0, "mid"]], dtype=object)
    >>> encoder = ColumnEncoder((+1, -1), orders={1: ["low", "mid", "high"]}).fit(rows)
    >>> encoder.transform(rows)
    array([[1., 1., 0., 0.],
           [1., 0., 1., 1.],
           [3., 1., 1., 0.]])
    >>> encoder.meaning_, encoder.directions_
    (('number', 'present', 'at least mid', 'at least high'), (1, 1, -1, -1))
    """

    owner_: tuple[int, ...]
    directions_: tuple[int, ...]
    is_number_: tuple[bool, ...]
    meaning_: tuple[str, ...]

    def __init__(
        self,
        directions: Sequence[int],
        *,
        missing: str | Mapping[int, str] = "lowest",
        categorical: Iterable[int] = (),
        orders: Mapping[int, Sequence[Any]] | None = None,
    ) -> None:
        width = len(directions)
        self.directions = as_directions(directions, width)
        self.orders = dict(orders or {})
        self.categorical = tuple(sorted({int(j) for j in categorical} | set(self.orders)))
        words = dict.fromkeys(range(width), missing) if isinstance(missing, str) else dict(missing)
        for where, columns in (("missing", words), ("orders", self.orders), ("categorical", self.categorical)):
            if strange := [j for j in columns if not 0 <= j < width]:
                raise BadInput(where, f"column {strange[0]} came", f"columns 0 to {width - 1} are there")
        if unknown := [word for word in words.values() if word not in POLICIES]:
            raise BadInput("missing", f"{unknown[0]!r} came", f"one of {', '.join(POLICIES)} would be right")
        self.missing = tuple(words.get(j, "lowest") for j in range(width))

    def fit(self, X: Any, sample_weight: Any = None) -> ColumnEncoder:
        """Learn minima, medians and categories from TRAINING rows; rows of weight 0 are not looked at.

        Args:
            X: shape (rows, columns).
            sample_weight: shape (rows,), none negative; None: 1 each.

        Raises:
            BadInput: another number of columns; no row of weight above 0; a column of words that is not categorical; a
                direction on a category without an order; a category that its order does not name; a circle of pairs.

        Cost: one pass over each column, and a sort of each column of numbers.
        """
        table = self._table(X)
        weight = np.ones(table.rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if weight.shape != (table.rows,) or not bool(((weight >= 0) & (weight < np.inf)).all()):
            raise BadInput("sample_weight", "something else came", "one number from 0 up for each row would be right")
        if not bool((weight > 0).all()):
            table, weight = table.keep(weight > 0), weight[weight > 0]
        if not table.rows:
            raise BadInput("X", "no row of weight above 0 came", "at least one would be right")
        self._learnt([self._learn(table, j, weight) for j in range(table.width)])
        return self

    def transform(self, X: Any) -> Floats:
        """The encoded rows, shape (rows, encoded columns), float64 and finite, in float32 too.

        Raises:
            BadInput: another number of columns, or words in a column of numbers.
        """
        table = self._table(X)
        parts = [kind.encode(table, j) for j, kind in enumerate(self._kinds)]
        return np.concatenate(parts, axis=1) if parts else np.empty((table.rows, 0))

    def to_dict(self) -> dict[str, Any]:
        """What was learnt, as plain JSON: enough to transform; to fit again, make the encoder anew."""
        return {
            "format": FORMAT,
            "directions": list(self.directions),
            "missing": list(self.missing),
            "columns": [kind_to_dict(kind) for kind in self._kinds],
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> ColumnEncoder:
        """What `to_dict` gave.

        Raises:
            BadInput: another format, or entries that were not written by `to_dict`.
        """
        if facts.get("format") != FORMAT:
            raise BadInput("encoder", f"format {facts.get('format')!r} came", f"this isotone reads format {FORMAT}")
        try:
            encoder = cls(facts["directions"], missing=dict(enumerate(facts["missing"])))
            encoder._learnt([kind_from_dict(entry) for entry in facts["columns"]])
        except (KeyError, TypeError, AttributeError) as fault:
            raise BadInput("encoder", f"its entries are not whole ({fault})", "what to_dict wrote is right") from None
        encoder.categorical = tuple(j for j, kind in enumerate(encoder._kinds) if not isinstance(kind, Number))
        return encoder

    def order_of(self, j: int) -> tuple[Key, ...] | None:
        """The categories of column j from low to high if it is a list; () if they are not; None for numbers."""
        kind = self._kinds[j]
        if isinstance(kind, Number):
            return None
        return kind.levels if isinstance(kind, Ordered) and kind.whole else ()

    def _table(self, X: Any) -> Table:
        table = Table(X)
        if table.width != len(self.directions):
            raise BadInput("X", f"{table.width} columns came", f"{len(self.directions)} would be right")
        return table

    def _learn(self, table: Table, j: int, weight: Floats) -> Kind:
        direction, missing = self.directions[j], self.missing[j]
        if j not in self.categorical and not table.is_category(j):
            return Number.learn(table, j, direction, missing, weight)
        found = table.categories(j)
        if j not in self.orders and not found.declared:
            if direction:
                then = "Give it an order, as an ordered pandas type or in orders=, or the direction 0."
                raise BadInput(
                    table.name(j), f"direction {direction:+d} came for categories without an order",
                    "only what has an order can increase or decrease", then,
                )  # fmt: skip
            return Free.learn(found, weight)
        levels, pairs, whole = read_order(self.orders.get(j, found.levels), table.name(j))
        used = [found.levels[code] for code in np.unique(found.codes[found.codes >= 0])]
        alone = [level for level in used if level not in set(levels)]
        if alone and whole:
            then = "Add it to the list, or state the order as pairs."
            raise BadInput(table.name(j), f"{alone[0]!r} is not in its order", "a list names every category", then)
        return Ordered.learn(found, (levels + tuple(alone), pairs, whole), direction, missing, weight)

    def _learnt(self, kinds: list[Any]) -> None:
        """The columns, and what they say of their components."""
        self._kinds: list[Kind] = kinds
        parts: list[tuple[int, Component]] = [(j, c) for j, kind in enumerate(kinds) for c in kind.components()]
        self.owner_ = tuple(j for j, _ in parts)
        self.directions_ = tuple(component.direction for _, component in parts)
        self.is_number_ = tuple(component.number for _, component in parts)
        self.meaning_ = tuple(component.meaning for _, component in parts)
