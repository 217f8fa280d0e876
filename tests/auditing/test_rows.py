"""Rows of every kind come back as they came: same container, same types, nothing moved but what was asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.auditing._kinds import rows_of
from isotone.auditing._rows import Edit
from isotone.errors import BadInput

FRAME = pd.DataFrame(
    {
        "real": np.array([0.5, np.nan, 2.5], dtype=np.float32),
        "count": np.array([1, 2, 3], dtype=np.int16),
        "flag": [True, False, True],
        "grade": pd.Categorical(["low", "high", "low"], categories=["low", "mid", "high"], ordered=True),
        "town": pd.Categorical(["a", "b", "a"]),
        "word": ["x", "y", "z"],
        "maybe": pd.array([1, None, 3], dtype="Int64"),
    }
)

# fmt: off
KINDS = {
    # kind      X                                                             a feature that moves, its new value
    "frame":   (FRAME,                                                        1, 7.0),
    "array":   (np.arange(6.0).reshape(3, 2),                                 1, 9.5),
    "ints":    (np.arange(6, dtype=np.int8).reshape(3, 2),                    0, 5.0),
    "sparse":  (scipy.sparse.csr_matrix(np.array([[0, 1.5], [2, 0], [0, 0]])), 0, 4.0),
    "records": ([{"a": 1, "b": 2.5}, {"a": 3}, {"b": 1.0}],                    0, 4.0),
}
# fmt: on


def as_dense(x):
    if isinstance(x, list):
        return [[row.get("a", 0), row.get("b", 0)] for row in x]
    return x.toarray().tolist() if scipy.sparse.issparse(x) else np.asarray(x).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_changes_its_cells_and_nothing_else(kind):
    X, j, value = KINDS[kind]
    rows = rows_of(X)
    base = np.array([2, 0, 2])
    plain, edited = rows.build(base), rows.build(base, [Edit(slice(1, 3), j, np.full(2, value))])
    assert type(edited) is type(X)
    if kind == "frame":
        assert edited.dtypes.to_dict() == X.dtypes.to_dict()
        assert list(edited.columns) == list(X.columns)
        pd.testing.assert_frame_equal(plain, X.iloc[base].reset_index(drop=True))
        pd.testing.assert_frame_equal(edited.drop(columns="count"), plain.drop(columns="count"))
        assert edited["count"].tolist() == [3, 7, 7]
        return
    if kind != "records":
        assert edited.dtype == X.dtype
    before, after = as_dense(plain), as_dense(edited)
    assert before == [as_dense(X)[i] for i in base]
    assert after[0] == before[0]
    assert [row[j] for row in after[1:]] == [value, value]
    assert [row[1 - j] for row in after] == [row[1 - j] for row in before]


@pytest.mark.parametrize(
    ("name", "code", "shown"),
    [("grade", 1.0, "mid"), ("flag", 0.0, 0), ("real", 1.5, 1.5), ("maybe", 4.0, 4), ("count", 2.0, 2)],
)
def test_a_frame_takes_and_shows_values_of_its_own_types(name, code, shown):
    rows = rows_of(FRAME)
    j = rows.names.index(name)
    built = rows.build(np.array([0]), [Edit(slice(0, 1), j, np.array([code]))])
    assert rows.show(j, code) == shown
    assert built[name].dtype == FRAME[name].dtype
    assert str(built[name].iloc[0]) == str({"flag": False}.get(name, shown))


@pytest.mark.parametrize("name", ["real", "grade", "maybe"])
def test_a_missing_value_can_be_put_where_the_type_has_one(name):
    rows = rows_of(FRAME)
    j = rows.names.index(name)
    assert rows.can_miss(j)
    assert rows.build(np.array([0]), [Edit(slice(0, 1), j, np.array([np.nan]))])[name].isna().all()


def test_what_has_no_order_has_no_numbers():
    rows = rows_of(FRAME)
    assert [rows.names[j] for j in range(7) if rows.codes(j) is None] == ["town", "word"]


def test_in_sparse_rows_zero_is_absent_and_never_stored():
    stored = scipy.sparse.csr_matrix((np.array([0.0, 2.0]), (np.array([0, 1]), np.array([0, 0]))), shape=(2, 2))
    rows = rows_of(stored)
    assert rows.build(np.array([0, 1])).nnz == 1
    assert rows.build(np.array([1]), [Edit(slice(0, 1), 0, np.zeros(1))]).nnz == 0
    assert stored.nnz == 2, "and what came is left as it was"


def test_a_key_that_is_absent_stays_absent_until_it_moves():
    rows = rows_of([{"a": 1}, {"b": 2}])
    same, moved = (rows.build(np.array([0]), [Edit(slice(0, 1), 1, np.array([v]))]) for v in (0.0, 3.0))
    assert (same, moved) == ([{"a": 1}], [{"a": 1, "b": 3}])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.5])), max_size=12),
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
    st.integers(0, 5),
    st.sampled_from([0.0, 1.0, -3.5]),
)
def test_sparse_rows_are_built_like_dense_ones(entries, base, j, value):
    dense = np.zeros((5, 6))
    for row, column, entry in entries:
        dense[row, column] = entry
    # Halves keep every column one of real numbers.
    dense += 0.0
    edit = [Edit(slice(0, (len(base) + 1) // 2), j, np.full((len(base) + 1) // 2, value))]
    sparse = rows_of(scipy.sparse.csr_matrix(dense)).build(np.array(base), edit)
    assert np.array_equal(sparse.toarray(), rows_of(dense).build(np.array(base), edit))
    assert (sparse.data != 0).all()
    assert sparse.has_sorted_indices


@pytest.mark.parametrize("X", [np.zeros(3), np.zeros((0, 2)), "rows", [], [["a"], ["b", "c"]], None])
def test_what_is_no_table_is_one_sentence(X):
    with pytest.raises(BadInput, match="X: "):
        rows_of(X)
