"""Ramps rise with their feature, everywhere and in float32; knots are fit for them whatever the column."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.errors import BadInput
from isotone.nn import Ramps, quantile_knots


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_components_are_a_stretch_each_and_two_tails():
    ramps = Ramps([torch.tensor([0.0, 1.0, 3.0]), torch.tensor([-2.0, 2.0])])
    assert ramps.owner.tolist() == [0, 0, 1, 0, 1, 0, 1]
    assert ramps.out_features == 7
    # fmt: off
    right = torch.tensor([
        # stretches of 0   of 1    below 0 and 1                above 0 and 1
        [0.0, 0.0,         0.5,    0.0, 0.0,                    0.0, 0.0],
        [1.0, 0.5,         1.0,    0.0, 0.0,                    0.0, 0.0],
        [0.0, 0.0,         0.0,    -torch.tensor(2.0).log(), -torch.tensor(3.0).log(), 0.0, 0.0],
        [1.0, 1.0,         1.0,    0.0, 0.0,                    torch.tensor(3.0).log(), torch.tensor(2.0).log()],
    ])
    # fmt: on
    x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [-1.5, -6.0], [6.0, 4.0]])
    torch.testing.assert_close(ramps(x), right)


@settings(max_examples=200, deadline=None)
@given(
    knots=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=8, unique=True),
    points=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=2, max_size=30),
)
def test_every_component_rises_at_every_point(knots, points):
    ramps = Ramps([torch.tensor(sorted(knots), dtype=torch.float64)])
    near = [k + d for k in knots for d in (-1e-3, 0.0, 1e-3)]
    x = torch.tensor([*points, *near], dtype=torch.float32).sort().values
    out = ramps(x[:, None])
    assert bool(out.isfinite().all())
    assert bool((out.diff(dim=0) >= 0).all())


def test_outliers_beyond_all_measure_stay_finite_and_nan_does_not_hide():
    ramps = Ramps([torch.tensor([0.0, 1e-20, 1.0])])
    out = ramps(torch.tensor([[-torch.inf], [-3e38], [0.5], [3e38], [torch.inf], [torch.nan]]))
    assert bool(out[:-1].isfinite().all())
    assert bool((out[:-1].diff(dim=0) >= 0).all())
    assert bool(out[-1].isnan().all())


def test_neighbouring_floats_never_fall():
    ramps = Ramps([torch.tensor([-1.0, 0.3, 0.7, 2.0])])
    for start in (-1.0001, 0.29999, 0.69999, 1.9999, -5.0, 5.0):
        bits = torch.tensor(start).view(torch.int32) + torch.arange(-2000, 2000, dtype=torch.int32)
        out = ramps(bits.view(torch.float32).sort().values[:, None])
        assert bool((out.diff(dim=0) >= 0).all())


def test_an_extrapolation_goes_on_rising_slowly():
    out = Ramps([torch.tensor([0.0, 1.0])])(torch.tensor([[10.0], [100.0], [-100.0]]))
    assert 1 < float(out[1, 2] - out[0, 2]) < 3
    assert float(out[2, 1]) < -5


# fmt: off
REFUSED = [
    # knots                  why
    ([1.0],                  "one knot"),
    ([1.0, 1.0],             "a knot twice"),
    ([2.0, 1.0],             "descending"),
    ([0.0, float("nan")],    "not a number"),
    ([0.0, float("inf")],    "infinite"),
    ([0.0, 1e300],           "infinite in float32"),
]
# fmt: on


@pytest.mark.parametrize(("knots", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_knots_that_make_no_ramps_are_refused(knots, why):
    with pytest.raises(ValueError, match="at least two knots, strictly ascending and finite in float32"):
        Ramps([torch.tensor(knots, dtype=torch.float64)])


@pytest.mark.parametrize("narrow", [1e-12, 1e-60])
def test_knots_that_coincide_in_float32_make_a_step(narrow):
    ramps = Ramps([torch.tensor([0.0, narrow, 1.0] if narrow < 1e-50 else [1.0, 1.0 + narrow], dtype=torch.float64)])
    out = ramps(torch.tensor([[-1.0], [0.0], [1.0], [2.0]]))
    assert bool(out.isfinite().all())
    assert bool((out.diff(dim=0) >= 0).all())


COUNTS = [float(k) for k, n in enumerate([940, 40, 5, 4, 3, 3, 1, 1, 1, 1, 1]) for _ in range(n)]
EVEN = [float(k) for k in range(1000)]
# fmt: off
COLUMNS = [
    # column                                            stretches  knots                     why
    (COUNTS,                                            16,        list(range(11)),          "few values: each is a knot"),
    (COUNTS,                                            4,         [0, 1, 2, 4, 10],         "a heavy value is one knot, the others share the rest"),
    ([-k for k in COUNTS],                              4,         [-10, -4, -2, -1, 0],     "the same upside down"),
    (COUNTS,                                            2,         [0, 10],                  "two stretches show the course of all rows"),
    (EVEN,                                              4,         [0, 249, 499, 749, 999],  "no heavy value: quantiles"),
    ([*EVEN, 1e9],                                      4,         [0, 250, 500, 750, 1e9],  "an outlier is an end and nothing more"),
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0] * 100,              3,         [0, 1, 3, 5],             "few stretches, equal shares"),
    ([1.0, 2.0, 3.0, 4.0, 5.0],                         4,         [1, 2, 3, 4, 5],          "the quantiles"),
    ([0.0] * 90 + [1.0] * 10,                           16,        [0, 1],                   "ties"),
    ([3.0] * 5,                                         16,        [2.5, 3.5],               "a constant"),
    ([7.0],                                             16,        [6.5, 7.5],               "one row"),
    ([0.0, -0.0],                                       4,         [-0.5, 0.5],              "two zeros are one"),
    ([1.0, 1.0 + 1e-12],                                1,         [0.5, 1.5],               "two floats that are one in float32"),
    ([5.0, 1.0],                                        1,         [1, 5],                   "one stretch: the range"),
]
# fmt: on


@pytest.mark.parametrize(("column", "stretches", "knots", "why"), COLUMNS, ids=[why for *_, why in COLUMNS])
def test_knots_of_a_column(column, stretches, knots, why):
    found = quantile_knots(torch.tensor(column, dtype=torch.float64), stretches)
    assert found.tolist() == knots
    Ramps([found])


@settings(max_examples=100, deadline=None)
@given(
    column=st.lists(
        st.floats(-(2.0**127), 2.0**127, width=32) | st.sampled_from([0.0, 1.0, 1e20]), min_size=1, max_size=40
    ),
    stretches=st.integers(1, 20),
)
def test_knots_of_any_column_make_ramps(column, stretches):
    column = torch.tensor(column)
    knots = quantile_knots(column, stretches)
    assert len(knots) <= stretches + 1 or len(knots) == 2
    assert float(knots[0]) <= float(column.min())
    assert float(knots[-1]) >= float(column.max())
    assert torch.equal(knots, knots.float().double()) or len(column.unique()) == 1
    if float(column.abs().max()) < 1e37:
        assert bool(Ramps([knots])(column[:, None]).isfinite().all())


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3) | st.floats(-9, 9, width=32), st.integers(0, 5)), min_size=1, max_size=60
    ),
    stretches=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_knots_do_not_see_order_nor_whether_a_row_is_heavy_or_repeated(rows, stretches, seed):
    column, weight = torch.tensor(rows, dtype=torch.float64).T
    if not weight.any():
        weight = torch.ones_like(weight)
    found = quantile_knots(column, stretches, weight)
    order = torch.randperm(len(column), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(found, quantile_knots(column[order], stretches, weight[order]))
    assert torch.equal(found, quantile_knots(column.repeat_interleave(weight.long()), stretches))
    counted = column[weight > 0].float()
    assert found[0] <= counted.min()
    assert found[-1] >= counted.max()
    assert len(found) <= stretches + 1 or len(found) == 2
    assert found.diff().min() > 0


@pytest.mark.parametrize("column", [[], [1.0, float("nan")], [1.0, float("inf")], [1.0, 1e300]])
def test_a_column_without_usable_numbers_is_refused(column):
    with pytest.raises(BadInput, match="quantile_knots: a column that is empty, or not finite in float32, came"):
        quantile_knots(torch.tensor(column, dtype=torch.float64))


@pytest.mark.parametrize("weight", [[1.0], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_that_are_no_weights_are_refused(weight):
    with pytest.raises(BadInput, match="one number of at least 0 per row, not all 0, is right"):
        quantile_knots(torch.tensor([1.0, 2.0]), weight=torch.tensor(weight))
