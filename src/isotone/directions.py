"""Which way each feature may move the score: +1 increasing, -1 decreasing, 0 free.

- from a number, an array, or a mapping of names and globs;
- one form comes out: a tuple of -1, 0, +1, one per feature.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .errors import BadInput, NoMatch

INCREASING, FREE, DECREASING = 1, 0, -1

Directions = int | Sequence[int] | Mapping[str, int]


def as_directions(directions: Any, features: int, names: Sequence[str] | None = None) -> tuple[int, ...]:
    """One direction per feature.

    Args:
        directions: -1, 0 or +1 for all; a sequence or array of them, one per feature; or a mapping from names and globs
            to them, in which a later entry wins over an earlier one and what is not named is free.
        features: how many features there are.
        names: their names; a mapping needs them.

    Raises:
        BadInput: another length, another value, or a mapping without names.
        NoMatch: a name or a glob that matches no feature.

    >>> as_directions({"late*": +1, "age": -1}, 3, ["age", "late_30", "income"])
    (-1, 1, 0)
    """
    if isinstance(directions, Mapping):
        if names is None:
            raise BadInput(
                "directions", "a mapping came, but the features have no names", "give one number per feature"
            )
        found = dict.fromkeys(names, FREE)
        for pattern, direction in directions.items():
            found.update((name, direction) for name in meant(pattern, names, "directions"))
        values: list[Any] = [found[name] for name in names]
    elif isinstance(directions, int | float):
        values = [directions] * features
    else:
        values = list(directions)
    if len(values) != features:
        raise BadInput("directions", f"{len(values)} came for {features} features", "one per feature would be right")
    if strange := sorted({str(v) for v in values if v not in (INCREASING, FREE, DECREASING)}):
        raise BadInput(
            "directions", f"{', '.join(strange[:3])} came", "each is +1 (increasing), -1 (decreasing) or 0 (free)"
        )
    return tuple(int(v) for v in values)


def is_name(pattern: str, names: Collection[str]) -> bool:
    """Whether it is one feature's own name: x[1], which as a glob would name x1 too. Stars and ? are always globs."""
    return pattern in names and not set(pattern) & {"*", "?"}


def meant(pattern: str, names: Sequence[str], where: str) -> list[str]:
    """The feature of this name, or those that a glob names; none is an error.

    >>> meant("x[1]", ["x1", "x[1]"], "adds")
    ['x[1]']
    """
    return [pattern] if is_name(pattern, names) else matching(pattern, names, where)


def matching(pattern: str, names: Iterable[str], where: str, kind: str = "feature") -> list[str]:
    """The names that a name or glob names; none is an error.

    >>> matching("api::*", ["api::exec", "perm::sms"], "adds")
    ['api::exec']
    """
    names = list(names)
    found = [name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise NoMatch(where, pattern, names, kind)
    return found
