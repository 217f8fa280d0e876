"""Numbers of features, units and layers, looked at before anything is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from ..errors import BadInput


def check_counts(where: str, *, least: int = 1, **given: Any) -> None:
    """Do nothing if each is a whole number of at least `least`.

    Raises:
        BadInput: which is not.
    """
    for name, count in given.items():
        if isinstance(count, bool) or not isinstance(count, Integral) or int(count) < least:
            raise BadInput(where, f"{name}={count!r} came", f"a whole number of at least {least} is right")


def check_widths(where: str, **given: Any) -> None:
    """Do nothing if each is a list or tuple of whole numbers above 0, or empty.

    Raises:
        BadInput: which is not.
    """
    for name, widths in given.items():
        listed = isinstance(widths, Sequence) and not isinstance(widths, str)
        if not listed or any(isinstance(w, bool) or not isinstance(w, Integral) or int(w) < 1 for w in widths):
            raise BadInput(where, f"{name}={widths!r} came", "a width for each layer is right, such as (64, 64)")
