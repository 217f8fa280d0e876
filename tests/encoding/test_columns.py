"""Encoded rows keep every order of the table, whatever the table is made of."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.encoding import ColumnEncoder
from isotone.encoding._kinds import Number
from isotone.errors import BadInput

NAN = np.nan
POLICIES = ("lowest", "highest", "outside")
cells = st.one_of(st.just(NAN), st.floats(allow_nan=False, allow_infinity=True), st.integers(-3, 3).map(float))
columns = st.lists(cells, min_size=1, max_size=8)


def below(x, y, missing):
    """x at or below y, with missing where the policy puts it."""
    if np.isnan(x) or np.isnan(y):
        return (np.isnan(x) and np.isnan(y)) or (missing == "lowest" and np.isnan(x)) or (
            missing == "highest" and np.isnan(y)
        )  # fmt: skip
    return x <= y


def rises(lower, upper, encoder):
    """In the order of the FEATURE every component with a direction stays or rises, and every free one stays."""
    claimed = np.array(encoder.directions_) != 0
    return bool((upper >= lower)[claimed].all() and (upper == lower)[~claimed].all())


def test_without_the_clip_the_order_would_be_lost():
    encoder = ColumnEncoder((1,)).fit(np.array([[1.0], [NAN]]))
    rows = np.array([[NAN], [-5.0]])
    assert rises(*encoder.transform(rows), encoder)
    encoder._kinds = [Number(1, "lowest", True, -np.inf, np.inf, 1.0)]
    assert not rises(*encoder.transform(rows), encoder)


@settings(deadline=None)
@given(columns, columns, st.sampled_from(POLICIES), st.sampled_from([1, -1]))
def test_numbers_in_order_are_encoded_in_order(training, unseen, missing, direction):
    encoder = ColumnEncoder((direction,), missing=missing).fit(np.array(training)[:, None])
    rows = np.array(training + unseen)
    encoded = encoder.transform(rows[:, None])
    assert np.isfinite(encoded).all()
    assert np.isfinite(encoded.astype(np.float32)).all()
    for i, x in enumerate(rows):
        for j, y in enumerate(rows):
            if below(x, y, missing):
                assert rises(encoded[i], encoded[j], encoder), (x, y)


@st.composite
def partial_orders(draw):
    """Categories a to f and pairs that all go up in a hidden list, so that there is no circle."""
    names = draw(st.permutations("abcdef"))
    places = st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda p: p[0] < p[1])
    return [(names[i], names[j]) for i, j in draw(st.lists(places, min_size=1, max_size=8))]


def follows(pairs):
    """All (lower, higher) that follow from pairs, each category with itself: by walking, not by matrices."""
    found = {(c, c) for c in "abcdef"} | set(pairs)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


@settings(deadline=None)
@given(
    partial_orders(),
    st.lists(st.sampled_from([*"abcdef", None]), min_size=1, max_size=8),
    st.sampled_from(POLICIES),
    st.sampled_from([1, -1]),
)
def test_partly_ordered_categories_are_encoded_in_order_and_in_no_other(pairs, training, missing, direction):
    training = [*training, *"abcdef"]
    encoder = ColumnEncoder((direction,), missing=missing, orders={0: pairs})
    encoder.fit(np.array(training, dtype=object)[:, None])
    rows = [*"abcdef", None]
    encoded = encoder.transform(np.array(rows, dtype=object)[:, None])
    order = follows(pairs)
    for i, x in enumerate(rows[:-1]):
        for j, y in enumerate(rows[:-1]):
            assert ((x, y) in order) == rises(encoded[i], encoded[j], encoder), (x, y)
        if missing == "lowest":
            assert rises(encoded[-1], encoded[i], encoder)
        if missing == "highest":
            assert rises(encoded[i], encoded[-1], encoder)


@pytest.mark.parametrize("count", [1, 2, 5, 64, 65, 300], ids=lambda n: f"{n} categories")
@pytest.mark.parametrize("missing", POLICIES)
@pytest.mark.parametrize("seen", [True, False], ids=["missing in training", "none missing in training"])
def test_listed_categories_are_encoded_in_their_order(count, missing, seen):
    names = [f"level {k}" for k in range(count)]
    training = [*names[::-1], *([None] if seen else [])]
    encoder = ColumnEncoder((1,), missing=missing, orders={0: names}).fit(np.array(training, dtype=object)[:, None])
    encoded = encoder.transform(np.array([*names, None], dtype=object)[:, None])
    for k in range(count - 1):
        assert rises(encoded[k], encoded[k + 1], encoder)
        assert not rises(encoded[k + 1], encoded[k], encoder)
    assert missing != "lowest" or rises(encoded[-1], encoded[0], encoder)
    assert missing != "highest" or rises(encoded[count - 1], encoded[-1], encoder)
    assert any(encoder.is_number_) == (count > 64)


def test_a_claim_between_missing_and_present_is_made_only_inside_the_order():
    rows = np.array([[1.0], [2.0], [4.0], [NAN]])
    # fmt: off
    expected = {
        "lowest":  ([[1, 1], [2, 1], [4, 1], [1, 0]], (1, 1)),
        "highest": ([[1, 0], [2, 0], [4, 0], [4, 1]], (1, 1)),
        "outside": ([[1, 0], [2, 0], [4, 0], [2, 1]], (1, 0)),
    }
    # fmt: on
    for missing, (encoded, ways) in expected.items():
        encoder = ColumnEncoder((1,), missing=missing).fit(rows)
        assert encoder.transform(rows).tolist() == encoded
        assert encoder.directions_ == ways
        assert ColumnEncoder((-1,), missing=missing).fit(rows).directions_ == tuple(-way for way in ways)


def test_a_missing_value_that_training_never_saw_is_lowest_all_the_same_and_numbers_are_followed_a_range_further():
    encoder = ColumnEncoder((1,)).fit(np.array([[10.0], [14.0]]))
    assert encoder.transform(np.array([[9.0], [6.0], [-100.0], [NAN], [99.0]])).ravel().tolist() == [9, 6, 6, 6, 99]


def test_of_a_free_number_nothing_is_clipped():
    encoder = ColumnEncoder((0,)).fit(np.array([[1.0], [NAN], [3.0]]))
    assert encoder.transform(np.array([[-50.0], [NAN]])).tolist() == [[-50, 0], [1, 1]]
    assert encoder.directions_ == (0, 0)


FRAME = pd.DataFrame(
    {
        "real": np.array([0.5, NAN, 2.5, 1.0], dtype=np.float32),
        "count": np.array([1, 2, 3, 4], dtype=np.int16),
        "flag": [True, False, True, True],
        "grade": pd.Categorical(["low", "high", None, "mid"], categories=["low", "mid", "high"], ordered=True),
        "town": pd.Categorical(["a", "b", "a", None]),
        "word": ["x", "y", None, "x"],
        "maybe": pd.array([1, None, 3, 4], dtype="Int64"),
        "sure": pd.array([True, None, False, True], dtype="boolean"),
        "part": pd.cut(pd.Series([1.0, 2.0, 9.0, 5.0]), [0, 3, 6, 10]),
    }
)
WAYS = (1, -1, 1, 1, 0, 0, 1, -1, -1)


def test_a_frame_of_every_kind_is_encoded_column_by_column():
    encoder = ColumnEncoder(WAYS, categorical=[5]).fit(FRAME)
    encoded = encoder.transform(FRAME)
    said = {}
    for owner, meaning, column in zip(encoder.owner_, encoder.meaning_, encoded.T, strict=True):
        said[FRAME.columns[owner], meaning] = column.tolist()
    # fmt: off
    assert said == {
        ("real", "number"):                [0.5, 0.5, 2.5, 1.0],
        ("real", "present"):               [1, 0, 1, 1],
        ("count", "number"):               [1, 2, 3, 4],
        ("flag", "number"):                [1, 0, 1, 1],
        ("grade", "at least mid"):         [0, 1, 0, 1],
        ("grade", "at least high"):        [0, 1, 0, 0],
        ("grade", "present"):              [1, 1, 0, 1],
        ("town", "is a"):                  [1, 0, 1, 0],
        ("town", "is b"):                  [0, 1, 0, 0],
        ("town", "missing"):               [0, 0, 0, 1],
        ("word", "is x"):                  [1, 0, 0, 1],
        ("word", "is y"):                  [0, 1, 0, 0],
        ("word", "missing"):               [0, 0, 1, 0],
        ("maybe", "number"):               [1, 1, 3, 4],
        ("maybe", "present"):              [1, 0, 1, 1],
        ("sure", "number"):                [1, 0, 0, 1],
        ("sure", "present"):               [1, 0, 1, 1],
        ("part", "at least (3, 6]"):       [0, 0, 1, 1],
        ("part", "at least (6, 10]"):      [0, 0, 1, 0],
    }
    # fmt: on
    assert [encoder.directions_[k] for k, owner in enumerate(encoder.owner_) if owner == 8] == [-1, -1]


def test_categories_are_known_by_value_whatever_the_table_is():
    encoder = ColumnEncoder(WAYS, categorical=[5]).fit(FRAME)
    plain = FRAME.astype({"part": str}).astype(object).where(FRAME.notna(), None)
    np.testing.assert_array_equal(encoder.transform(plain.to_numpy()), encoder.transform(FRAME))
    fewer = FRAME.assign(grade=FRAME.grade.cat.as_unordered().cat.reorder_categories(["high", "mid", "low"]))
    np.testing.assert_array_equal(encoder.transform(fewer), encoder.transform(FRAME))


def test_json_and_pickle_bring_the_encoder_back():
    encoder = ColumnEncoder(WAYS, categorical=[5], missing={0: "highest", 3: "outside"}).fit(FRAME)
    written = json.dumps(encoder.to_dict(), allow_nan=False)
    for again in (ColumnEncoder.from_dict(json.loads(written)), pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(again.transform(FRAME), encoder.transform(FRAME))
        assert (again.owner_, again.directions_, again.is_number_) == (
            encoder.owner_, encoder.directions_, encoder.is_number_,
        )  # fmt: skip
        assert again.to_dict() == encoder.to_dict()


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array"])
def test_sparse_equals_dense_with_stored_zeros_duplicates_and_missing(kind):
    at = ([0, 0, 1, 2, 2, 3, 3], [0, 1, 1, 0, 0, 1, 0])
    values = [1.5, 0.0, 2.0, 1.0, 2.0, NAN, 0.0]  # a stored zero, a duplicate that sums to 3, a missing value
    matrix = getattr(scipy.sparse, kind)(scipy.sparse.coo_matrix((values, at), shape=(4, 2)))
    dense = np.array([[1.5, 0], [0, 2], [3, 0], [0, NAN]])
    for categorical in [(), (1,)]:
        ways = (1, 0) if categorical else (1, -1)
        one = ColumnEncoder(ways, categorical=categorical).fit(matrix)
        two = ColumnEncoder(ways, categorical=categorical).fit(dense)
        assert one.to_dict() == two.to_dict()
        np.testing.assert_array_equal(one.transform(matrix), two.transform(dense))
        np.testing.assert_array_equal(one.transform(matrix), one.transform(dense))


@settings(deadline=None)
@given(st.lists(st.tuples(cells, st.sampled_from(["a", "b", None]), st.integers(0, 3)), min_size=1, max_size=10))
def test_whole_weights_are_repetitions_and_weight_zero_is_absence(rows):
    weight = np.array([w for *_, w in rows])
    if not weight.any():
        weight[0] = 1
    table = np.array([[x, c, x] for x, c, _ in rows], dtype=object)
    for missing in POLICIES:
        weighted = ColumnEncoder((1, 0, 0), missing=missing, categorical=[1]).fit(table, weight)
        repeated = ColumnEncoder((1, 0, 0), missing=missing, categorical=[1]).fit(np.repeat(table, weight, axis=0))
        assert weighted.to_dict() == repeated.to_dict()


def test_rare_categories_share_a_component_and_strangers_join_them():
    names = [f"town {k:03d}" for k in range(300)]
    rows = np.array(names[100:] * 2 + names, dtype=object)[:, None]
    encoder = ColumnEncoder((0,), categorical=[0]).fit(rows)
    assert len(encoder.owner_) == 255
    assert encoder.meaning_[-1] == "other"
    assert [m for m in encoder.meaning_ if m < "is town 100"] == [f"is town {k:03d}" for k in range(54)]  # ties by name
    encoded = encoder.transform(np.array([["town 299"], ["town 099"], ["new"], [None]], dtype=object))
    assert encoded.sum(axis=1).tolist() == [1, 1, 1, 0]
    assert encoded[:, -1].tolist() == [0, 1, 1, 0]


def test_an_unknown_category_is_all_zeros_where_it_is_free_and_missing_where_it_is_ordered():
    free = ColumnEncoder((0,), categorical=[0]).fit(np.array([["a"], ["b"]]))
    assert free.transform(np.array([["c"]])).tolist() == [[0, 0]]
    for missing, expected in {"lowest": [0, 0], "highest": [1, 1], "outside": [1, 0]}.items():
        encoder = ColumnEncoder((1,), missing=missing, orders={0: ["a", "b", "c"]}).fit(np.array([["b"], ["b"], ["c"]]))
        assert encoder.transform(np.array([["d"]])).tolist() == [expected]


def test_a_category_in_no_pair_is_ordered_with_none():
    encoder = ColumnEncoder((1,), orders={0: [("a", "b")]}).fit(np.array([["a"], ["b"], ["z"]]))
    a, b, z = encoder.transform(np.array([["a"], ["b"], ["z"]]))
    assert rises(a, b, encoder)
    assert not any(rises(*pair, encoder) for pair in [(a, z), (z, a), (b, z), (z, b), (b, a)])


def test_huge_numbers_stay_finite_and_in_order():
    values = np.array([[-np.inf], [-1e300], [0.0], [1e300], [np.inf]])
    for missing in POLICIES:
        encoder = ColumnEncoder((1,), missing=missing).fit(values)
        encoded = encoder.transform(np.vstack([values, [[NAN]]])).astype(np.float32)
        assert np.isfinite(encoded).all()
        assert (np.diff(encoded[:5, 0]) >= 0).all()


WORDS = np.array([["a"], ["b"]])
NUMBERS = np.ones((2, 1))
DATES = np.array([["2020-01-01"]], "M8[D]")
ZONED = pd.DataFrame({"t": pd.to_datetime(["2020-01-01"]).tz_localize("UTC")})
TYPED = pd.DataFrame({"t": pd.Categorical(["a"])})
CIRCLE, LOOP = [("a", "b"), ("b", "a")], [("a", "a")]
# fmt: off
REFUSED = {
    # why                                options                     table             weights   the sentence says
    "a direction on a free category":    ({"categorical": [0]},       WORDS,            None,     "without an order"),
    "the same of a pandas type":         ({},                         TYPED,            None,     r"\('t'\).*without"),
    "words in a column of numbers":      ({},                         WORDS,            None,     "no number came"),
    "dates are not numbers":             ({},                         DATES,            None,     "datetime64"),
    "dates with a zone are none":        ({},                         ZONED,            None,     "no number came"),
    "dates of numpy as categories":      ({"categorical": [0]},       DATES,            None,     "datetime64"),
    "a circle of pairs":                 ({"orders": {0: CIRCLE}},    WORDS,            None,     "'.' < '.' < '.'"),
    "a circle of one":                   ({"orders": {0: LOOP}},      WORDS,            None,     "circle: 'a' < 'a'"),
    "a list with a repetition":          ({"orders": {0: [*"aba"]}},  WORDS,            None,     "'a' came twice"),
    "an empty order":                    ({"orders": {0: []}},        WORDS,            None,     "as its order"),
    "an order that is a word":           ({"orders": {0: "ab"}},      WORDS,            None,     "as its order"),
    "a category the list does not name": ({"orders": {0: ["a"]}},     WORDS,            None,     "'b' is not in its"),
    "an order of no column":             ({"orders": {1: ["a"]}},     WORDS,            None,     "orders: column 1"),
    "no such column":                    ({"categorical": [-1]},      WORDS,            None,    "categorical: column"),
    "no such policy":                    ({"missing": "low"},         NUMBERS,          None,     "'low' came"),
    "a policy of no column":             ({"missing": {3: "lowest"}}, NUMBERS,          None,     "missing: column 3"),
    "another width":                     ({},                         np.ones((2, 3)),  None,     "3 columns came"),
    "three dimensions":                  ({},                         np.ones((2,) * 3),None,     "3 dimensions"),
    "no weight":                         ({},                         NUMBERS,          [0, 0],   "weight above 0"),
    "a negative weight":                 ({},                         NUMBERS,          [1, -1],  "sample_weight"),
    "a weight that is no number":        ({},                         NUMBERS,          [1, NAN], "sample_weight"),
}
# fmt: on


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_encoded_is_said_in_a_sentence(why):
    options, table, weight, says = REFUSED[why]
    with pytest.raises(BadInput, match=says):
        ColumnEncoder((1,), **options).fit(table, weight)


@pytest.mark.parametrize("facts", [{"format": 0}, {"format": 1, "directions": [1]}, {}], ids=["old", "half", "empty"])
def test_json_that_is_no_encoder_is_refused(facts):
    with pytest.raises(BadInput, match="encoder"):
        ColumnEncoder.from_dict(facts)


def test_the_room_opens_without_the_heavy_packages():
    code = "import isotone.encoding, sys; print({'sklearn', 'pandas', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
