"""What a report refuses, and that the sentence names the key."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isotone import report
from isotone.errors import BadInput
from isotone.report._facts import FACTS, Leaf, checked

from .facts import whole

Path = tuple[str | int, ...]


def keys(spec: Any, path: Path = ()) -> Iterator[tuple[Path, bool]]:
    """Every key of the format, as a path into the facts, and whether it may be missing."""
    if isinstance(spec, list):
        yield from keys(spec[0], (*path, 0))
    elif isinstance(spec, dict) and str not in spec:
        for key, inner in spec.items():
            here = (*path, key.removesuffix("?"))
            yield here, key.endswith("?")
            yield from keys(inner, here)


def holder(facts: Any, path: Path) -> Any:
    for step in path[:-1]:
        facts = facts[step]
    return facts


def named(path: Path) -> str:
    return re.sub(r"\.(\[\d+\])", r"\1", ".".join(f"[{step}]" if isinstance(step, int) else step for step in path))


ALL = dict(keys(FACTS))
REQUIRED = [path for path, optional in ALL.items() if not optional]
OPTIONAL = [path for path, optional in ALL.items() if optional]


@pytest.mark.parametrize("path", REQUIRED, ids=named)
def test_a_missing_required_key_is_named(path: Path) -> None:
    facts = whole()
    del holder(facts, path)[path[-1]]
    with pytest.raises(BadInput, match=re.escape(f"facts: {named(path)!r} is missing; no report can be written")):
        checked(facts)


@pytest.mark.parametrize("path", OPTIONAL, ids=named)
def test_an_optional_key_may_be_null_or_absent(path: Path) -> None:
    null, absent = whole(), whole()
    holder(null, path)[path[-1]] = None
    holder(absent, path).pop(path[-1])
    assert checked(null) == checked(absent)
    assert holder(checked(absent), path)[path[-1]] is None


def test_the_sample_has_every_key() -> None:
    for path in ALL:
        assert path[-1] in holder(whole(), path), f"{named(path)} is not in tests/report/facts.py"


def test_facts_are_plain_and_stay_as_they_were() -> None:
    facts = whole()
    assert checked(json.loads(json.dumps(facts))) == checked(facts)
    assert facts == whole()


WRONG = [
    # path                                              value               the sentence                         why
    (("format",), 2, "'format' is 2; 1 would be right", "a format of the future"),
    (("title",), 7, "'title' is 7; text would be right", "a number for a text"),
    (("data",), [], "'data' is []; a mapping would be right", "a list for a mapping"),
    (("seeds",), "012", "'seeds' is '012'; a list would be right", "text is not a list"),
    (("max_false_alarm_rate",), 1.5, "a rate from 0 to 1 would be right", "per cent for a rate"),
    (("max_false_alarm_rate",), True, "is True; a rate", "truth is not a rate"),
    (("detectors", 0, "clean", "mean"), math.nan, "'detectors[0].clean.mean' is nan; a rate", "NaN is not a rate"),
    (("detectors", 0, "clean", "low"), math.inf, "is inf; a finite number", "infinity is not a number to print"),
    (("detectors", 0, "role"), "floor", "'monotone' or 'unconstrained' or 'peer' would be", "a role without a meaning"),
    (("certificate", "verdict"), "PROVED", "'proved' or 'refuted' or 'unknown' would be", "verdicts are written small"),
    (("detectors", 1, "attacks", 0, "broken"), 0, "is 0; true or false would be right", "0 is not false"),
    (("detectors", 0, "curve", "budgets", 0), -1, "a number of additions, or null", "fewer than no additions"),
    (("detectors",), [], "'detectors' has no entry; at least one detector", "nothing to report on"),
    (("detectors", 0, "curve", "budgets"), [0], "has 1 budgets and 8 detection; one for one", "lengths differ"),
    (("detectors", 2, "roc", "detection"), [], "'detectors[2].roc' has 26 false_alarm_rate and 0", "an empty side"),
    (
        ("detectors", 1, "attacks", 1, "name"),
        "greedy",
        "'detectors[1].attacks' has ['greedy', 'greedy']",
        "two of a name",
    ),
    (("histograms", "edges"), [0, 0, 1], "each above the last would be right", "a bin without width"),
    (("histograms", "after", "positive"), [1], "has 1 bins for 21 edges; one bin fewer", "bins do not fit edges"),
    (("summary",), 5.0, "'summary' is 5.0; text", "optional is not any"),
    (("title",), ["x" * 99], "'title' is ['xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "long values are shortened"),
]


@pytest.mark.parametrize(("path", "value", "sentence", "why"), WRONG, ids=[why for *_, why in WRONG])
def test_a_wrong_value_is_named_with_what_would_be_right(path: Path, value: object, sentence: str, why: str) -> None:
    facts = whole()
    holder(facts, path)[path[-1]] = value
    with pytest.raises(BadInput, match=re.escape(sentence)) as caught:
        report.render(facts)
    assert len(str(caught.value)) < 200, why


def test_what_is_no_mapping_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match="facts: 3 came; a mapping would be right"):
        checked(3)  # type: ignore[arg-type]


JUNK = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3), st.just([]), st.just({}), st.just([None])
)


@given(path=st.sampled_from(sorted(ALL, key=str)), junk=JUNK)
def test_no_junk_gets_past_without_a_sentence(path: Path, junk: object) -> None:
    facts = copy.deepcopy(whole())
    holder(facts, path)[path[-1]] = junk
    try:
        found = checked(facts)
    except BadInput:
        return
    assert fits(found, FACTS)


def fits(value: Any, spec: Any) -> bool:
    """A second reading of the format, plain and slow."""
    if isinstance(spec, Leaf):
        return spec.holds(value) and not (isinstance(value, float) and math.isnan(value))
    if isinstance(spec, list):
        return all(fits(v, spec[0]) for v in value)
    if str in spec:
        return all(fits(v, spec[str]) for v in value.values())
    pairs = [(value[key.removesuffix("?")], inner, key.endswith("?")) for key, inner in spec.items()]
    return all((v is None and optional) or fits(v, inner) for v, inner, optional in pairs)
