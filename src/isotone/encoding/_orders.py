"""Orders between categories, from a list or from pairs: who is below whom.

- what follows from two pairs is known too (the transitive closure);
- a circle is no order, and is named.
"""

from __future__ import annotations

import graphlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ._cells import Key, as_key


def read_order(order: Any, where: str) -> tuple[tuple[Key, ...], tuple[tuple[int, int], ...], bool]:
    """(categories, pairs of their places (lower, higher), whether it is a whole list from low to high).

    Raises:
        BadInput: nothing came, a category came twice in a list, or the pairs go round in a circle.

    >>> read_order(["low", "high"], "column 0")
    (('low', 'high'), ((0, 1),), True)
    >>> read_order([("none", "beer"), ("none", "wine")], "column 0")
    (('none', 'beer', 'wine'), ((0, 1), (0, 2)), False)
    """
    entries = list(order) if not isinstance(order, str) else []
    if not entries:
        raise BadInput(where, f"{order!r} came as its order", "categories from low to high, or pairs, would be right")
    if not all(isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries):
        levels = tuple(as_key(entry) for entry in entries)
        if len(set(levels)) < len(levels):
            twice = next(level for level in levels if levels.count(level) > 1)
            raise BadInput(where, f"{twice!r} came twice in its order", "each category once would be right")
        return levels, tuple((k, k + 1) for k in range(len(levels) - 1)), True
    pairs = [(as_key(low), as_key(high)) for low, high in entries]
    levels = tuple(dict.fromkeys(level for pair in pairs for level in pair))
    places = {level: place for place, level in enumerate(levels)}
    placed = tuple(dict.fromkeys((places[low], places[high]) for low, high in pairs))
    if circle := _circle(placed):
        said = " < ".join(repr(levels[k]) for k in circle)
        raise BadInput(where, f"its pairs go round in a circle: {said}", "pairs (lower, higher) of an order are right")
    return levels, placed, False


@lru_cache(maxsize=64)
def at_or_above(count: int, pairs: tuple[tuple[int, int], ...]) -> NDArray[np.bool_]:
    """above[v, c]: v is c, or above c by some chain of pairs. Shape (count, count)."""
    above = np.eye(count, dtype=np.bool_)
    for low, high in pairs:
        above[high, low] = True
    while True:  # chains of twice the length each time: at most log2(count) + 1 rounds
        further = (above.astype(np.float32) @ above.astype(np.float32)) > 0
        if (further == above).all():
            above.flags.writeable = False  # one array for all who ask
            return above
        above = further


def _circle(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Places that lead back to the first, from low to high, or nothing."""
    below: dict[int, set[int]] = {}
    for low, high in pairs:
        below.setdefault(high, set()).add(low)
    try:
        graphlib.TopologicalSorter(below).prepare()
    except graphlib.CycleError as fault:
        return list(fault.args[1])
    return []
