"""The verdicts of a search: what falls is found and replayed, what does not fall is never accused."""

# ruff: noqa: E501 - a table has a row per case
from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import isotone
from isotone import Verdict
from isotone.auditing import audit
from isotone.errors import BadInput, NoMatch

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(-1, 1, size=(400, 3))
COUNTS = RANDOM.poisson(1.0, size=(400, 3))
FALLS, HOLDS = Verdict.REFUTED, Verdict.UNKNOWN


def replayed(predict, found):
    """The score really falls between the two rows, and only along the directions."""
    for witness in [found.witness, found.together, *(f.witness for f in found.features)]:
        if witness is None:
            continue
        before, after = (float(np.ravel(predict(row))[0]) for row in (witness.lower, witness.upper))
        assert before > after
        assert before - after == pytest.approx(witness.drop, rel=1e-6, abs=1e-12)
        for change in witness.changes:
            if change.before is not None and change.after is not None and not isinstance(change.before, str):
                assert (change.after - change.before) * change.direction > 0
    return found


# fmt: off
CASES = [
    # predict                                                        X       directions    verdict  why
    (lambda x: x[:, 0] + x[:, 1] ** 3,                               X,      [1, 1, 0],    HOLDS,   "it increases"),
    (lambda x: x[:, 0] - x[:, 1],                                    X,      [1, -1, 0],   HOLDS,   "one up, one down"),
    (lambda x: x[:, 0] - x[:, 1],                                    X,      [1, 1, 0],    FALLS,   "the wrong sign"),
    (lambda x: x[:, 0] + np.sin(9 * x[:, 2]),                        X,      [1, 0, 0],    HOLDS,   "what waves is free"),
    (lambda x: x[:, 0] * x[:, 2],                                    X,      [1, 0, 0],    FALLS,   "falls where the free one is negative"),
    (lambda x: np.floor(4 * x[:, 0]) - 1e-3 * x[:, 0],               X,      [1, 0, 0],    FALLS,   "falls between its steps"),
    (lambda x: x[:, 0] - 5 * (np.abs(x[:, 0] - 0.31) < 4e-3),        X,      [1, 0, 0],    FALLS,   "a narrow hole"),
    (lambda x: (x[:, 0] > 0) ^ (x[:, 1] > 0),                        X,      [1, 1, 0],    FALLS,   "exclusive or, as booleans"),
    (lambda x: x.max(axis=1),                                        COUNTS, 1,            HOLDS,   "a maximum of counts"),
    (lambda x: x.mean(axis=1) / (1 + x.sum(axis=1)),                 COUNTS, 1,            HOLDS,   "n over 1 + n still rises"),
    (lambda x: x[:, 0] / (1 + x.sum(axis=1)),                        COUNTS, 1,            FALLS,   "diluted by the others"),
    (lambda x: 1.0 * (np.sin(np.pi * x[:, 0] * 2) > 0.5),            COUNTS, 1,            HOLDS,   "whole numbers stay whole"),
    (lambda x: np.where(x[:, 0] > 0.5, np.inf, -np.inf),             X,      [1, 0, 0],    HOLDS,   "infinite scores in order"),
    (lambda x: np.where(x[:, 0] > 0.5, -np.inf, 1.0),                X,      [1, 0, 0],    FALLS,   "falls to minus infinity"),
    (lambda x: x[:, 0] + 1e-17 * np.sin(1e3 * x[:, 0]),              X,      [1, 0, 0],    HOLDS,   "below what float64 can tell"),
    (lambda x: 1e9 + np.round(x[:, 0] * 1e6) / 1e6,                  X,      [1, 0, 0],    HOLDS,   "rounding of a large score"),
]
# fmt: on


@pytest.mark.parametrize(("predict", "rows", "directions", "expected", "why"), CASES, ids=[why for *_, why in CASES])
def test_verdict(predict, rows, directions, expected, why):
    found = replayed(predict, audit(predict, rows, directions, budget_seconds=20))
    assert found.verdict is expected
    assert found.exit_code == {FALLS: 1, HOLDS: 2}[expected]


def test_the_sentence_says_who_where_and_how_far():
    frame = pd.DataFrame({"debt": COUNTS[:, 0], "age": COUNTS[:, 1] + 20})
    falling = audit(lambda f: 0.81 - 0.48 * (f["debt"].to_numpy() > 3), frame, {"debt": "increasing"})
    assert str(falling.witness).startswith("score falls from 0.81 to 0.33 when debt goes from ")
    assert "of the data, from 0)" in str(falling.witness)
    rising = audit(lambda f: 0.01 * f["age"].to_numpy(), frame, {"age": "decreasing"})
    assert str(rising.witness).startswith("score rises from 0.2 to ")
    assert "when age goes from 20 to " in str(rising.witness)


def test_a_joint_fall_is_shrunk_to_what_matters_and_to_one_feature():
    def predict(x):
        return x[:, 2] - 3.0 * (x[:, 0] > 0) * (x[:, 1] > 0)

    wide = RANDOM.uniform(-1, 1, size=(300, 12))
    found = replayed(predict, audit(predict, wide, 1))
    assert [f.name for f in found.features if f.witness] == ["x0", "x1"]
    assert len(found.witness.changes) == 1
    both = audit(lambda x: -1.0 * (x[:, 0] > 0.2) - 1.0 * (x[:, 5] > 0.2), wide, 1)
    assert {change.feature for change in both.together.changes} == {"x0", "x5"}
    assert both.together.drop == 2.0


def test_a_frame_stays_a_frame_with_its_types():
    frame = pd.DataFrame(
        {
            "grade": pd.Categorical(RANDOM.choice(["low", "mid", "high"], 200), ["low", "mid", "high"], ordered=True),
            "town": pd.Categorical(RANDOM.choice(["a", "b"], 200)),
            "count": RANDOM.integers(0, 5, 200).astype(np.int32),
            "word": "same",
        }
    )
    asked = []

    def predict(f):
        assert f.dtypes.to_dict() == frame.dtypes.to_dict()
        asked.append(set(zip(f["town"], f["word"], strict=True)))
        return -1.0 * (f["grade"] == "mid").to_numpy() + f["count"].to_numpy()

    found = replayed(predict, audit(predict, frame, {"grade": 1, "count": 1}))
    assert [(c.feature, c.before, c.after) for c in found.witness.changes] == [("grade", "low", "mid")]
    assert set.union(*asked) == {("a", "same"), ("b", "same")}
    with pytest.raises(BadInput, match=r"'town' has a direction and its values have no order.*ordered"):
        audit(predict, frame, {"town": 1})


@pytest.mark.parametrize(
    ("kind", "make"),
    [("sparse", scipy.sparse.csr_matrix), ("records", lambda x: [dict(enumerate(r)) for r in x.tolist()])],
)
def test_every_kind_of_rows_is_handed_on_as_it_came(kind, make):
    rows = make(COUNTS.astype(float))

    def predict(x):
        assert type(x) is type(rows)
        dense = x.toarray() if kind == "sparse" else np.array([[row.get(j, 0) for j in range(3)] for row in x])
        return dense[:, 0] - dense[:, 1]

    found = replayed(predict, audit(predict, rows, 1, budget_seconds=10))
    assert [f.name for f in found.features if f.witness] == ["x1" if kind == "sparse" else "1"]


def test_a_score_that_depends_on_the_batch_supports_no_claim():
    found = audit(lambda x: x[:, 0] - x[:, 0].mean(), X, [1, 0, 0])
    assert found.verdict is Verdict.UNKNOWN
    assert found.reason.startswith("nothing can be claimed: the score of a row depends on more than the row.")
    random = np.random.default_rng(1)
    assert "more than the row" in audit(lambda x: x[:, 0] + random.normal(size=len(x)), X, [1, 0, 0]).reason


def test_a_fall_within_rounding_is_a_remark_and_no_refutation():
    found = audit(lambda x: (1 + 1e-9 * x[:, 0]).astype(np.float32) - np.float32(1e-7) * (x[:, 0] > 0.5), X, [1, 0, 0])
    assert found.verdict is Verdict.UNKNOWN
    assert any("within rounding" in note for note in found.notes)


def test_a_small_difference_of_large_numbers_is_not_accused_of_its_rounding():
    # In the reals it increases; in float32 it trembles by far more than 8 roundings of the score.
    def predict(x):
        x = x.astype(np.float32)
        return (x[:, 0] * np.float32(3e4) + np.float32(1e5)) - (x[:, 0] * np.float32(29999.9) + np.float32(1e5))

    assert audit(predict, X.astype(np.float32), [1, 0, 0]).verdict is Verdict.UNKNOWN


# fmt: off
POLICIES = [
    # score of missing   policy      verdict  why
    (+9.0,               "auto",     HOLDS,   "missing lies outside of the order"),
    (+9.0,               "outside",  HOLDS,   "the same"),
    (+9.0,               "lowest",   FALLS,   "above all others"),
    (+9.0,               "highest",  HOLDS,   "above all others"),
    (-9.0,               "lowest",   HOLDS,   "below all others"),
    (-9.0,               "highest",  FALLS,   "below all others"),
    (+0.1,               "lowest",   FALLS,   "among the others"),
]
# fmt: on


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("score", "policy", "expected", "why"), POLICIES)
def test_a_missing_value_is_in_the_order_only_where_somebody_says_so(score, policy, expected, why, direction):
    holes = X.copy()
    holes[::4, 0] = np.nan

    def predict(x):
        return direction * np.where(np.isnan(x[:, 0]), score, x[:, 0])

    found = replayed(predict, audit(predict, holes, [direction, 0, 0], missing=policy))
    assert found.verdict is expected, why
    place = found.features[0].missing
    assert (place.below, place.inside, place.above).index(place.rows) == 1 + int(np.sign(score) * direction) * (
        abs(score) > 1
    )


def test_absent_and_stored_zero_are_compared():
    rows = scipy.sparse.csr_matrix(COUNTS.astype(float))
    found = audit(lambda x: np.diff(x.indptr) + 0.0 if scipy.sparse.issparse(x) else (x > 0).sum(1) + 0.5, rows, 1)
    assert sum("absent is not zero to this model" in note for note in found.notes) == 2
    assert not audit(lambda x: np.diff(x.indptr) + 0.0, rows, 1, sparse=False).notes


def test_the_domain_limits_what_is_claimed():
    def predict(x):
        return -np.abs(x[:, 0])

    assert audit(predict, X, [1, 0, 0]).verdict is FALLS
    for domain in ({"x0": (-1, 0)}, (-1, [0, 1, 1]), isotone.Domain(-1.0, 0.0)):
        assert audit(predict, np.minimum(X, 0), [1, 0, 0], domain=domain).verdict is HOLDS
    with pytest.raises(BadInput, match=r"no row lies in the domain"):
        audit(predict, X, [1, 0, 0], domain={"x0": (5, 6)})
    with pytest.raises(BadInput, match="low <= high"):
        audit(predict, X, [1, 0, 0], domain={"x0": (6, 5)})
    with pytest.raises(NoMatch, match="'z' matches no feature"):
        audit(predict, X, [1, 0, 0], domain={"z": (0, 1)})


def test_a_fall_outside_of_the_data_says_so():
    found = audit(lambda x: np.minimum(x[:, 0], 3 - x[:, 0]), X, [1, 0, 0])
    assert found.verdict is FALLS
    assert not found.witness.observed
    assert "outside of what was observed" in str(found.witness)
    assert audit(lambda x: np.minimum(x[:, 0], 3 - x[:, 0]), X, [1, 0, 0], domain=(-1, 1)).verdict is HOLDS


def test_a_constant_feature_is_named():
    constant = np.column_stack([X[:, 0], np.ones(len(X))])
    found = audit(lambda x: x[:, 0], constant, 1)
    assert found.features[1].note == "constant in the data: compared with values outside of it only"
    assert audit(lambda x: x[:, 0], constant, 1, domain=(-1, 1)).features[1].note == ""


def test_scores_that_are_no_numbers_are_said():
    found = audit(lambda x: np.where(x[:, 0] > 0.9, np.nan, x[:, 0]), X, [1, 0, 0])
    assert found.verdict is Verdict.UNKNOWN
    assert any("not a number" in note for note in found.notes)


def test_rows_that_the_model_refuses_are_said():
    def predict(x):
        if (x[:, 0] > 2).any():
            raise ValueError("too large")
        return x[:, 0]

    found = audit(predict, X, [1, 0, 0])
    assert found.verdict is Verdict.UNKNOWN
    assert any("refused" in note and "ValueError: too large" in note for note in found.notes)


def test_without_time_little_is_searched_and_that_is_said():
    found = audit(lambda x: x[:, 0], X, [1, 0, 0], budget_seconds=0)
    assert found.verdict is Verdict.UNKNOWN
    assert "the time was up" in found.reason
    assert found.features[0].note == "not reached in the time"


def test_the_same_seed_gives_the_same_audit():
    one, two = (audit(lambda x: x[:, 0] * x[:, 2], X, [1, 1, 0], seed=3).to_json() for _ in range(2))
    assert one == two


def test_json_frame_text_and_exit_codes():
    found = audit(lambda x: np.where(x[:, 0] > 0.5, -np.inf, 1.0), X, [1, -1, 0])
    stored = json.loads(found.to_json())
    assert stored["verdict"] == "refuted"
    assert stored["witness"]["after"] == "-inf"
    assert set(stored["witness"]["lower"]) == {"x0", "x1", "x2"}
    assert max(map(len, str(found).splitlines())) <= 80
    assert found.to_frame()["feature"].tolist() == ["x0", "x1"]
    assert [found.exit_code_for(word) for word in ("refuted", "unknown")] == [1, 1]
    unknown = audit(lambda x: x[:, 0], X, [1, 0, 0])
    assert [unknown.exit_code_for(word) for word in ("refuted", "unknown")] == [0, 2]
    with pytest.raises(BadInput, match="fail_on"):
        found.exit_code_for("never")


# fmt: off
FAULTS = [
    # directions               sentence
    ({"debt": 1},              "the features have no names"),
    ([1, 1],                   "2 came for 3 features"),
    (0,                        "every feature is free"),
    ("upwards",                "'upwards' came"),
    ({"x0": "upwards"},        "upwards came; each is"),
]
# fmt: on


@pytest.mark.parametrize(("directions", "sentence"), FAULTS)
def test_wrong_directions_are_one_sentence(directions, sentence):
    with pytest.raises(BadInput, match=sentence):
        audit(lambda x: x[:, 0], X, directions)


@pytest.mark.parametrize("option", [{"missing": "gone"}, {"sparse": "maybe"}, {"domain": 3}, {"domain": (1, 2, 3)}])
def test_wrong_options_are_one_sentence(option):
    with pytest.raises(BadInput, match=next(iter(option))):
        audit(lambda x: x[:, 0], X, 1, **option)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=3, max_size=3), st.integers(0, 2), st.integers(0, 99))
def test_sums_of_increasing_steps_are_never_accused_and_a_turned_one_always_is(weights, turned, seed):
    cuts = np.random.default_rng(seed).uniform(-0.8, 0.8, size=(3, 5))

    def steps(x, signs):
        return sum(s * w * (x[:, [j]] > cuts[j]).sum(1) for j, (s, w) in enumerate(zip(signs, weights, strict=True)))

    assert audit(lambda x: steps(x, (1, 1, 1)) + 0.0, X, 1, seed=seed).verdict is HOLDS
    signs = [1, 1, 1]
    signs[turned] = -1
    found = audit(lambda x: steps(x, signs) + 0.0, X, 1, seed=seed)
    if weights[turned] > 1e-6:
        assert found.features[turned].witness is not None
        assert found.features[turned].worst_drop == pytest.approx(5 * weights[turned])


@pytest.mark.slow
def test_a_proof_from_trees_leaves_the_search_its_time():
    """Reading and proving these trees takes longer than the whole budget."""
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    rng = np.random.default_rng(0)
    X = rng.uniform(size=(2_000, 10))
    y = (X[:, 0] - X[:, 1] + 0.5 * rng.normal(size=2_000) > 0).astype(int)
    forest = RandomForestClassifier(200, random_state=0).fit(X, y)
    assert audit(forest, X, +1, budget_seconds=2.0).verdict is Verdict.REFUTED
