"""What a report needs to know, and that it was told.

- `FACTS` is the whole format: one row per fact, a "?" where it may be missing or null;
- `checked` gives a copy with every row filled, so that the page never has to ask whether a key is there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..errors import BadInput

FORMAT = 1


@dataclass(frozen=True)
class Leaf:
    """A single value: what would be right, in words, and the test for it."""

    right: str
    holds: Callable[[Any], bool]


def _number(low: float = -math.inf, high: float = math.inf) -> Callable[[Any], bool]:
    # NaN fails both comparisons; a bool is a Real to Python and a mistake here.
    def holds(v: Any) -> bool:
        return not isinstance(v, bool) and isinstance(v, Real) and low <= float(v) <= high and math.isfinite(v)

    return holds


def _one_of(*values: object) -> Leaf:
    return Leaf(" or ".join(repr(v) for v in values), lambda v: v in values)


TEXT = Leaf("text", lambda v: isinstance(v, str))
TRUTH = Leaf("true or false", lambda v: isinstance(v, bool))
NUMBER = Leaf("a finite number", _number())
COUNT = Leaf("a count", _number(low=0))
RATE = Leaf("a rate from 0 to 1", _number(-1e-9, 1 + 1e-9))
BUDGET = Leaf("a number of additions, or null for unlimited", lambda v: v is None or _number(low=0)(v))

SPREAD = {"mean": RATE, "low": NUMBER, "high": NUMBER, "by_seed?": [NUMBER]}
SCORES = {"positive": [COUNT], "negative": [COUNT]}

FACTS: dict[str, Any] = {
    "format": _one_of(FORMAT),
    "title": TEXT,
    "summary?": TEXT,
    "data": {
        "name": TEXT,
        "rows": [{"part": TEXT, "rows": COUNT, "positives": COUNT, "groups?": COUNT}],
        "features": COUNT,
        "label": TEXT,
        "split": TEXT,
        "notes?": [TEXT],
    },
    "threat": {"statement": TEXT, "adds": [TEXT], "removes": [TEXT], "covered": [TEXT], "not_covered": [TEXT]},
    "certificate": {
        "verdict": _one_of("proved", "refuted", "unknown"),
        "reason": TEXT,
        "where?": TEXT,
        "claim": TEXT,
        "scope": {str: TEXT},
        "assumptions": [TEXT],
    },
    "max_false_alarm_rate": RATE,
    "seeds": [NUMBER],
    "detectors": [
        {
            "name": TEXT,
            "role": _one_of("guarded", "monotone", "unconstrained", "peer"),
            "chosen": TRUTH,
            "note?": TEXT,
            "auc?": SPREAD,
            "clean": SPREAD,
            "false_alarms?": {"rate": RATE, "low": RATE, "high": RATE, "count": COUNT, "of": COUNT},
            "curve?": {"budgets": [BUDGET], "detection": [SPREAD]},
            "certified_curve?": {"budgets": [BUDGET], "detection": [SPREAD]},
            "lost_after_10?": {**SPREAD, "mean": NUMBER},
            "attacks?": [{"name": TEXT, "evasion_rate": SPREAD, "median_additions?": COUNT, "broken": TRUTH}],
            "roc?": {"false_alarm_rate": [RATE], "detection": [RATE]},
        }
    ],
    "histograms?": {
        "edges": [NUMBER],
        "before": SCORES,
        "after": SCORES,
        "threshold": NUMBER,
        "unit": _one_of("probability", "logit"),
    },
    "headroom?": {
        "bad": COUNT,
        "benign": COUNT,
        "free": RATE,
        "limits": [{"rate": RATE, "low": RATE, "high": RATE}],
        "loose?": [{"name": TEXT, "freed": COUNT}],
    },
    "calibrations?": [
        {
            "at": TEXT,
            "data": TEXT,
            "rows": COUNT,
            "rate": RATE,
            "old_threshold": NUMBER,
            "new_threshold": NUMBER,
            "false_alarms": {"rate": RATE, "low": RATE, "high": RATE, "count": COUNT, "of": COUNT},
        }
    ],
    "alerts?": [
        {
            "id": TEXT,
            "score": NUMBER,
            "threshold": NUMBER,
            "reasons": [{"name": TEXT, "share": NUMBER}],
            "sufficient": [TEXT],
            "note?": TEXT,
        }
    ],
    "versions": {str: TEXT},
}


def checked(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `facts` in which every known key is present; what may be missing and is, is None.

    Raises:
        BadInput: a required key is missing, a value is of the wrong kind, or two lists that belong together differ.

    >>> checked({"format": 2})
    Traceback (most recent call last):
        ...
    isotone.errors.BadInput: facts: 'format' is 2; 1 would be right.
    """
    whole: dict[str, Any] = _filled(facts, FACTS, "")
    for where, came, right in _disagreements(whole):
        raise BadInput("facts", f"{where!r} has {came}", f"{right} would be right")
    return whole


def _filled(value: Any, spec: Any, where: str) -> Any:
    """`value` in the form of `spec`: a Leaf, a list of one spec, a mapping of keys, or a mapping from any text."""
    if isinstance(spec, Leaf):
        if not spec.holds(value):
            raise BadInput("facts", f"{where!r} is {_short(value)}", f"{spec.right} would be right")
        return value
    if isinstance(spec, list):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise BadInput("facts", f"{where!r} is {_short(value)}", "a list would be right")
        return [_filled(v, spec[0], f"{where}[{i}]") for i, v in enumerate(value)]
    if not isinstance(value, Mapping):
        raise BadInput(
            "facts", f"{where!r} is {_short(value)}" if where else f"{_short(value)} came", "a mapping would be right"
        )
    if str in spec:
        return {str(key): _filled(v, spec[str], f"{where}.{key}") for key, v in value.items()}
    filled: dict[str, Any] = {}
    for key, inner in spec.items():
        name = key.removesuffix("?")
        path = f"{where}.{name}" if where else name
        if key.endswith("?") and value.get(name) is None:
            filled[name] = None
        elif name not in value:
            raise BadInput("facts", f"{path!r} is missing", "no report can be written without it")
        else:
            filled[name] = _filled(value[name], inner, path)
    return filled


def _disagreements(facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Where parts that are right alone do not go together, as (where, came, right)."""
    found = []
    if not facts["detectors"]:
        found.append(("detectors", "no entry", "at least one detector"))
    for i, detector in enumerate(facts["detectors"]):
        for part, one, other in (
            ("curve", "budgets", "detection"),
            ("certified_curve", "budgets", "detection"),
            ("roc", "false_alarm_rate", "detection"),
        ):
            pair = detector[part]
            if pair is not None and not 0 < len(pair[one]) == len(pair[other]):
                came = f"{len(pair[one])} {one} and {len(pair[other])} {other}"
                found.append((f"detectors[{i}].{part}", came, "one for one, and at least one"))
        names = [attack["name"] for attack in detector["attacks"] or ()]
        if len(set(names)) < len(names):
            found.append((f"detectors[{i}].attacks", _short(names), "each name once"))
    if (histograms := facts["histograms"]) is not None:
        edges = histograms["edges"]
        if len(edges) < 2 or any(not a < b for a, b in itertools.pairwise(edges)):
            found.append(("histograms.edges", _short(edges), "two or more edges, each above the last"))
        for when in ("before", "after"):
            for sign, counts in histograms[when].items():
                if len(counts) != len(edges) - 1:
                    came = f"{len(counts)} bins for {len(edges)} edges"
                    found.append((f"histograms.{when}.{sign}", came, "one bin fewer than edges"))
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
