"""The one exception of this room: an attack that did what it must not."""

from __future__ import annotations

from ..errors import IsotoneError


class BrokenAttack(IsotoneError, AssertionError):
    """An attack did more than add: a fault of the attack, never of the caller."""

    def __init__(self, attack: str, row: int, what: str) -> None:
        super().__init__(
            f"attack {attack!r}: row {row} {what}; an attack may only add. "
            "This is a fault of the attack, not of your input: if it came with isotone, please report it."
        )
