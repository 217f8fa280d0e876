"""Many rows: knots go where the numbers are, and what numbers do together is learned beside what each does alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import isotone
from isotone.estimators._learn import weighted_knots

COUNTS = np.repeat(np.arange(11.0), [940, 40, 5, 4, 3, 3, 1, 1, 1, 1, 1])
EVEN = np.arange(1000.0)
# fmt: off
COLUMNS = [
    # column  stretches  knots  why
    (COUNTS,  16,  list(range(11)),  "few values: each is a knot"),
    (COUNTS,  4,  [0, 1, 2, 4, 10],  "a heavy value is one knot, the others share the rest"),
    (-COUNTS,  4,  [-10, -4, -2, -1, 0],  "the same upside down"),
    (COUNTS,  2,  [0, 10],  "two stretches show the course of all rows"),
    (EVEN,  4,  [0, 249, 499, 749, 999],  "no heavy value: quantiles"),
    (np.concatenate([EVEN, [1e9]]),  4,  [0, 250, 500, 750, 1e9],  "an outlier is an end and nothing more"),
    (np.repeat([0.0, 1, 2, 3, 4, 5], 100),  3,  [0, 1, 3, 5],  "few stretches, equal shares"),
    (np.repeat([0.0, 5.0], [999, 1]),  64,  [0, 5],  "two values"),
    (np.full(9, 3.0),  64,  [2.5, 3.5],  "a constant"),
]
# fmt: on


@pytest.mark.parametrize(("column", "stretches", "knots", "why"), COLUMNS, ids=[why for *_, why in COLUMNS])
def test_knots_of_a_column(column, stretches, knots, why):
    assert weighted_knots(column, np.ones(len(column)), stretches) == knots


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3) | st.floats(-9, 9, width=32), st.integers(0, 5)), min_size=1, max_size=60
    ),
    stretches=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_knots_do_not_see_order_nor_whether_a_row_is_heavy_or_repeated(rows, stretches, seed):
    column, weight = np.array(rows, dtype=np.float64).T
    if not weight.any():
        weight[:] = 1
    found = weighted_knots(column, weight, stretches)
    order = np.random.default_rng(seed).permutation(len(column))
    assert found == weighted_knots(column[order], weight[order], stretches)
    assert found == weighted_knots(np.repeat(column, weight.astype(int)), np.ones(int(weight.sum())), stretches)
    counted = column[weight > 0]
    assert found[0] <= counted.min()
    assert found[-1] >= counted.max()
    assert len(found) <= stretches + 1 or len(found) == 2
    assert np.diff(found).min() > 0


def together(rows, seed):
    """Two numbers that only say something together, one with many zeros, and noise."""
    rng = np.random.default_rng(seed)
    X = rng.random((rows, 8))
    X[:, 0] = np.floor(rng.exponential(0.4, rows))
    y = (X[:, 0] > 0) * (X[:, 1] > 0.5) + np.minimum(X[:, 2], X[:, 3]) + X[:, 4]
    return X, y + rng.normal(0, 0.1, rows)


def test_hidden_units_stay_alive_and_learn_what_numbers_do_together():
    X, y = together(6_000, 0)
    T, t = together(4_000, 1)
    model = isotone.MonotoneRegressor([1] * 8, random_state=0).fit(X, y)
    network = model.network_
    with torch.no_grad():
        h, _ = network._first(torch.from_numpy(model.encoder_.transform(T)).float())
        first = network.layers[0](h).clamp(max=0)
        second = network.layers[1](first).clamp(min=0)
    for units in (first, second):
        assert float((units.std(1) > 1e-4).float().mean()) > 0.5
    # The best sum of functions of single numbers leaves most of what two do together.
    assert np.mean((model.predict(T) - t) ** 2) < 1.25 * 0.1**2
    assert model.certify().verdict is isotone.Verdict.PROVED


def test_rows_are_held_out_only_where_the_length_is_said():
    X, y = together(10_050, 0)
    assert isotone.MonotoneRegressor([1] * 8, hidden=(4,)).fit(X, y)._held is None
    assert isotone.MonotoneRegressor([1] * 8, hidden=(4,), epochs=1).fit(X, y)._held is not None
    assert isotone.MonotoneRegressor([1] * 8, hidden=(4,), epochs=1, early_stopping=False).fit(X, y)._held is None
