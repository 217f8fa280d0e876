"""One false-alarm budget for two lanes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.detector._budget import alarms_allowed, share

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), min_size=4, max_size=60)


def arrays(rows):
    free, floor, bad = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    labels = bad.astype(np.int64)
    labels[:2] = [0, 1]
    return free, floor, labels


def every_pair(free, floor, labels, rate, loss):
    """The best certified detection over all pairs of thresholds, by trying all."""
    budget = alarms_allowed(rate, (labels == 0).sum())
    cuts = [np.inf, -np.inf, *np.unique(floor)]
    ends = [np.inf, -np.inf, *np.unique(free)]
    pairs = [
        ((f > t) | (s > u), f > t)
        for f, s in [(floor, free)]
        for t in cuts
        for u in ends
        if (((f > t) | (s > u)) & (labels == 0)).sum() <= budget
    ]
    alone = max((free > u)[labels == 1].mean() for u in ends if ((free > u) & (labels == 0)).sum() <= budget)
    good = [by[labels == 1].mean() for either, by in pairs if either[labels == 1].mean() >= alone - loss - 1e-12]
    return max(good), alone


@settings(deadline=None, max_examples=150)
@given(ROWS, st.sampled_from([0.05, 0.2, 0.5]), st.sampled_from([0.0, 0.1, 1.0]))
def test_the_split_is_the_best_of_all_pairs_of_thresholds(rows, rate, loss):
    free, floor, labels = arrays(rows)
    found = share(free, floor, labels, rate, loss, resamples=0)
    best, alone = every_pair(free, floor, labels, rate, loss)
    either = (floor > found.floor) | (free > found.free)
    assert found.alone == alone
    assert (either & (labels == 0)).sum() == found.alarms <= alarms_allowed(rate, (labels == 0).sum())
    assert either[labels == 1].mean() == found.clean >= alone - loss - 1e-12
    assert (floor > found.floor)[labels == 1].mean() == found.certified
    assert found.certified == best


@settings(deadline=None, max_examples=50)
@given(ROWS, st.sampled_from([0.05, 0.2]))
def test_a_floor_alone_gets_the_whole_budget(rows, rate):
    _, floor, labels = arrays(rows)
    found = share(None, floor, labels, rate, 0.0)
    assert found.certified == found.clean
    assert (
        ((floor > found.floor) & (labels == 0)).sum() == found.floor_alarms <= alarms_allowed(rate, (labels == 0).sum())
    )


SPLITS = [
    # free, floor, what the floor certifies, why
    ([0, 0, 0, 0, 9, 9], [0, 0, 0, 0, 0, 0], 0.0, "a floor that says nothing certifies nothing"),
    ([0, 0, 0, 0, 9, 9], [0, 0, 0, 5, 5, 4], 1.0, "a floor that needs the budget gets it where the free lane does not"),
    ([0, 0, 0, 5, 5, 4], [0, 0, 0, 5, 5, 4], 1.0, "a benign row that both alarm costs once"),
    ([0, 0, 0, 5, 4, 4], [0, 0, 5, 0, 4, 0], 0.0, "the free lane needs the budget, so the floor goes without"),
]


@pytest.mark.parametrize(("free", "floor", "certified", "why"), SPLITS, ids=[row[-1] for row in SPLITS])
def test_the_floor_gets_what_it_is_worth(free, floor, certified, why):
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = share(np.array(free, float), np.array(floor, float), labels, 0.4, 0.0, resamples=0)
    assert found.certified == certified, why


@settings(deadline=None, max_examples=30)
@given(ROWS, st.sampled_from([0.05, 0.2]), st.sampled_from([0.0, 0.1]))
def test_a_split_that_is_chosen_over_draws_keeps_the_budget_and_says_what_it_gave(rows, rate, loss):
    free, floor, labels = arrays(rows)
    found = share(free, floor, labels, rate, loss, resamples=10)
    either = (floor > found.floor) | (free > found.free)
    assert (either & (labels == 0)).sum() == found.alarms <= alarms_allowed(rate, (labels == 0).sum())
    assert either[labels == 1].mean() == found.clean
    assert (floor > found.floor)[labels == 1].mean() == found.certified
    assert found == share(free, floor, labels, rate, loss, resamples=10)
