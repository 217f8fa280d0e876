"""Who can add or remove what, and the directions that follow.

- what an attacker can add must never lower the score: increasing;
- what an attacker can remove must never lower it by going away: decreasing;
- all else is out of the attacker's reach: free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .directions import DECREASING, FREE, INCREASING, matching
from .errors import BadInput


@dataclass(frozen=True)
class Threat:
    """What the attacker can do, in names and globs of features.

    Args:
        adds: features that the attacker can add or raise.
        removes: features that the attacker can remove or lower.

    >>> Threat(adds=("api::*",)).directions(["api::exec", "age"])
    (1, 0)
    """

    adds: tuple[str, ...] = ("*",)
    removes: tuple[str, ...] = ()

    def directions(self, names: Sequence[str]) -> tuple[int, ...]:
        """One direction per feature.

        Raises:
            NoMatch: a glob that matches no feature.
            BadInput: a feature that can be both added and removed; nothing monotone can use it.
        """
        added = {name for glob in self.adds for name in matching(glob, names, "adds")}
        removed = {name for glob in self.removes for name in matching(glob, names, "removes")}
        if both := sorted(added & removed):
            raise BadInput(
                "threat",
                f"{both[0]!r} can be both added and removed",
                "then no monotone score can use it",
                "Leave it out of the features, or narrow the globs.",
            )
        return tuple(INCREASING if n in added else DECREASING if n in removed else FREE for n in names)
