"""Whatever the table and the directions are: of two rows that are ordered the predictions are, exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from .small import classifier, ordered, regressor

MISSING = st.sampled_from(["lowest", "highest", "outside"])
NUMBERS = st.one_of(
    st.floats(-3, 3, allow_nan=False), st.integers(-3, 3).map(float), st.sampled_from([-1e30, 0.0, 1e-30, 1e30])
)


@st.composite
def questions(draw):
    """Directions, rows to learn from, targets, and pairs of rows that are ordered along the directions."""
    width = draw(st.integers(1, 4))
    directions = draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=width, max_size=width))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    row = st.lists(NUMBERS, min_size=width, max_size=width)
    rows = np.array(draw(st.lists(row, min_size=2, max_size=12)))
    y = rng.normal(size=len(rows))
    starts = np.array(draw(st.lists(row, min_size=1, max_size=20)))
    steps = np.abs(np.array(draw(st.lists(row, min_size=len(starts), max_size=len(starts)))))
    return directions, rows, y, starts, starts + np.array(directions) * steps


@settings(max_examples=25, deadline=None)
@given(questions(), MISSING, st.sampled_from(["squared_error", "absolute_error", "quantile"]))
def test_numbers_are_predicted_in_order(question, missing, loss):
    directions, rows, y, low, high = question
    model = regressor(directions, missing=missing, loss=loss, quantile=[0.2, 0.8], epochs=6, hidden=(5, 3)).fit(rows, y)
    assert ordered(model.predict, low, high)
    assert np.isfinite(model.predict(np.concatenate([low, high]))).all()


@settings(max_examples=25, deadline=None)
@given(questions(), MISSING, st.integers(2, 4), st.booleans())
def test_classes_are_scored_in_order(question, missing, classes, ordinal):
    directions, rows, _, low, high = question
    y = np.arange(len(rows)) % min(classes, len(rows))
    model = classifier(directions, missing=missing, ordinal=ordinal, epochs=6, hidden=(5, 3)).fit(rows, y)
    assert ordered(model.decision_function, low, high)
    if y.max() == 1:
        assert ordered(lambda rows: model.predict_proba(rows)[:, 1], low, high)
        assert ordered(model.predict, low, high)


@settings(max_examples=15, deadline=None)
@given(questions(), st.sampled_from(["lowest", "highest"]), st.data())
def test_a_missing_value_is_ordered_against_every_value(question, missing, data):
    directions, rows, y, low, _ = question
    j = data.draw(st.integers(0, len(directions) - 1))
    model = regressor(directions, missing=missing, epochs=6).fit(rows, y)
    gone = low.copy()
    gone[:, j] = np.nan
    rising = directions[j] * (1 if missing == "lowest" else -1)
    if rising:
        assert ordered(model.predict, *((gone, low) if rising > 0 else (low, gone)))
