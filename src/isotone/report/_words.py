"""How numbers read: one precision each, everywhere on the page.

- rates in percent with one decimal, areas with three, counts in groups of three digits;
- what is not known is "n/a", never 0.
"""

from __future__ import annotations

from typing import Any

NOT_KNOWN = "n/a"
_THIN = "\u202f"  # narrow no-break space: a number and its unit stay on one line


def percent(rate: float | None) -> str:
    """A rate from 0 to 1 in percent. What is not all is never shown as 100, and what is not none never as 0.

    >>> percent(0.5), percent(0.99999), percent(0.0001), percent(1.0), percent(None)
    ('50.0\\u202f%', '> 99.9\\u202f%', '< 0.1\\u202f%', '100.0\\u202f%', 'n/a')
    """
    if rate is None:
        return NOT_KNOWN
    if 0 < rate < 0.0005:
        return f"< 0.1{_THIN}%"
    if 0.9995 <= rate < 1:
        return f"> 99.9{_THIN}%"
    return f"{100 * rate + 0.0:.1f}{_THIN}%".replace("-", "\u2212")


def reach(low: float, high: float) -> str:
    """A range of rates; the unit is written once.

    >>> reach(0.759, 0.8012), reach(0.0001, 0.5)
    ('75.9 to 80.1\\u202f%', '< 0.1 to 50.0\\u202f%')
    """
    return f"{percent(low).removesuffix(f'{_THIN}%')} to {percent(high)}"


def area(value: float | None) -> str:
    """An area under a curve, or a score.

    >>> area(0.98765)
    '0.988'
    """
    return NOT_KNOWN if value is None else f"{value:.3f}".replace("-", "\u2212")


def count(value: float | None) -> str:
    """How many; medians may end in a half.

    >>> count(12345), count(2.5), count(None)
    ('12\\u202f345', '2.5', 'n/a')
    """
    if value is None:
        return NOT_KNOWN
    return (f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}").replace(",", _THIN)


def additions(budget: float | None) -> str:
    """A number of additions on an axis or in a heading.

    >>> additions(10), additions(None)
    ('10', 'unlimited')
    """
    return "unlimited" if budget is None else count(budget)


def points(difference: float) -> str:
    """A difference of two rates, without its sign.

    >>> points(-0.162)
    '16.2 points'
    """
    return f"{abs(100 * difference):.1f} points"


def spread(value: dict[str, Any] | None) -> str:
    """Mean and range in one line, for alternative texts.

    >>> spread({"mean": 0.5, "low": 0.4, "high": 0.6})
    '50.0\\u202f% (40.0 to 60.0\\u202f%)'
    """
    if value is None:
        return NOT_KNOWN
    if value["low"] == value["high"]:
        return percent(value["mean"])
    return f"{percent(value['mean'])} ({reach(value['low'], value['high'])})"


def at(curve: dict[str, Any] | None, budget: float | None) -> dict[str, Any] | None:
    """The spread that a security curve has at `budget`, or None where it was not measured."""
    if curve is None:
        return None
    return next((s for b, s in zip(curve["budgets"], curve["detection"], strict=True) if b == budget), None)
