"""What is read off the facts: which detectors matter, what a figure shows in words.

- a detector that only broken attacks have tried is never read as robust;
- knows facts, not drawings.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ._ink import Style, style_of
from ._words import additions, at, percent, spread

Facts = dict[str, Any]


def styles(facts: Facts) -> list[Style]:
    """One style per detector, in order: the headline detector has the first, its unconstrained twin the second."""
    detectors = facts["detectors"]
    head, twin = pair(facts)
    first = [i for i in (head, twin) if i is not None]
    order = first + [i for i in range(len(detectors)) if i not in first]
    # Without a twin the second style stays free: orange means "unconstrained" in every report.
    ranks = {i: rank if twin is not None or rank == 0 else rank + 1 for rank, i in enumerate(order)}
    return [style_of(ranks[i]) for i in range(len(detectors))]


def pair(facts: Facts) -> tuple[int, int | None]:
    """Which detector the page is about, and its unconstrained twin: indices."""
    detectors = facts["detectors"]
    order = {"guarded": 0, "monotone": 1}
    head = min(range(len(detectors)), key=lambda i: (order.get(detectors[i]["role"], 2), not detectors[i]["chosen"]))
    twins = [i for i, d in enumerate(detectors) if d["role"] == "unconstrained" and i != head]
    return head, min(twins, key=lambda i: not detectors[i]["chosen"], default=None)


def inconclusive(detector: Mapping[str, Any]) -> bool:
    """Whether every attack on this detector was broken, so that its survival says nothing."""
    attacks = detector["attacks"]
    return bool(attacks) and all(attack["broken"] for attack in attacks)


def curves(facts: Facts) -> list[int]:
    """Which detectors have a security curve that says something."""
    return [i for i, d in enumerate(facts["detectors"]) if d["curve"] is not None and not inconclusive(d)]


def certified(facts: Facts) -> list[int]:
    """Of which detectors with a curve it is known what is certified."""
    return [i for i in curves(facts) if facts["detectors"][i]["certified_curve"] is not None]


def rocs(facts: Facts) -> list[int]:
    """Which detectors have a ROC curve."""
    return [i for i, d in enumerate(facts["detectors"]) if d["roc"] is not None]


def budgets(facts: Facts) -> list[float | None]:
    """Every number of additions that some curve has, unlimited last."""
    found = {b for i in curves(facts) for b in facts["detectors"][i]["curve"]["budgets"]}
    return [*sorted(b for b in found if b is not None), *([None] if None in found else [])]


def middle(unit: str) -> float:
    """The score that means "as likely as not".

    >>> middle("logit"), middle("probability")
    (0.0, 0.5)
    """
    return 0.5 if unit == "probability" else 0.0


def in_shares(counts: Sequence[float]) -> list[float]:
    """Counts as parts of their sum; no samples at all gives zeros.

    >>> in_shares([1, 3]), in_shares([0, 0])
    ([0.25, 0.75], [0.0, 0.0])
    """
    total = sum(counts)
    return [c / total if total else 0.0 for c in counts]


def above_middle(histograms: Facts, when: str, sign: str) -> float:
    """Share of a class that scores above 50 %; a bin that 50 % cuts counts in proportion.

    >>> counts = {"positive": [1, 4]}
    >>> above_middle({"edges": [0, 0.4, 0.8], "unit": "probability", "after": counts}, "after", "positive")
    0.6
    """
    even, above = middle(histograms["unit"]), 0.0
    bins = zip(itertools.pairwise(histograms["edges"]), in_shares(histograms[when][sign]), strict=True)
    for (low, high), share in bins:
        above += share * min(1.0, max(0.0, (high - even) / (high - low)))
    return round(above, 12)


def curve_says(facts: Facts) -> str:
    """The security curve in words."""
    steps = budgets(facts)
    shown = [b for b in steps if b in (0, 10, None)] or steps[:1]
    lines = []
    for i in curves(facts):
        detector = facts["detectors"][i]
        values = ", ".join(f"{additions(b)}: {spread(at(detector['curve'], b))}" for b in shown)
        lines.append(f"{detector['name']}: {values}.")
        if detector["certified_curve"] is not None:
            proved = spread(at(detector["certified_curve"], None))
            lines.append(f"Certified for it, whatever is added: {proved}.")
    return " ".join(["Detection by number of additions.", *lines])


def roc_says(facts: Facts) -> str:
    """The ROC curves in words: detection at the frozen rate of false alarms."""
    rate = facts["max_false_alarm_rate"]
    lines = []
    for i in rocs(facts):
        roc = facts["detectors"][i]["roc"]
        points = zip(roc["false_alarm_rate"], roc["detection"], strict=True)
        reached = max((d for f, d in points if f <= rate), default=0.0)
        lines.append(f"{facts['detectors'][i]['name']}: {percent(reached)}.")
    return " ".join([f"Detection at {percent(rate)} false alarms on the test part.", *lines])


def histograms_say(facts: Facts) -> str:
    """The histograms in words: what scores above 50 %."""
    histograms = facts["histograms"]
    lines = [
        f"{when.capitalize()} training, {percent(above_middle(histograms, when, 'negative'))} of the negative and "
        f"{percent(above_middle(histograms, when, 'positive'))} of the positive samples score above 50 %."
        for when in ("before", "after")
    ]
    return " ".join(["Two histograms of scores.", *lines])
