"""Rates, intervals and thresholds, against others' code and by counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from isotone.errors import BadInput
from isotone.evaluation import (
    auc,
    clopper_pearson,
    detection,
    false_alarms,
    negatives_needed,
    partial_auc,
    require_support,
    roc,
    spread,
    threshold_at,
    whole_share,
)


@given(st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))), st.floats(0.5, 0.999))
def test_the_interval_is_the_exact_one_of_scipy(counts, confidence):
    count, of = counts
    found = clopper_pearson(count, of, confidence)
    exact = binomtest(count, of).proportion_ci(confidence, method="exact")
    assert found.low == pytest.approx(exact.low, abs=1e-9)
    assert found.high == pytest.approx(exact.high, abs=1e-9)
    assert found.low <= found.rate <= found.high
    assert (found.count, found.of) == (count, of)


@pytest.mark.parametrize(("count", "of"), [(0, 0), (-1, 5), (6, 5)])
def test_an_interval_of_no_counts_is_refused(count, of):
    with pytest.raises(BadInput, match=r"^interval: .* came; a count between 0 and a positive number of rows"):
        clopper_pearson(count, of)


# "Rule of three": -log(0.05) / rate, a little less.
@pytest.mark.parametrize(("rate", "needed"), [(0.05, 59), (0.01, 299), (0.001, 2995), (0.0001, 29956)])
def test_negatives_needed_is_the_known_table(rate, needed):
    assert negatives_needed(rate) == needed


@given(st.floats(1e-3, 0.9), st.floats(0.5, 0.99))
def test_negatives_needed_is_the_fewest(rate, confidence):
    # With none of n alarmed, the one-sided upper bound of the rate is 1 - (1 - confidence)^(1/n).
    n = negatives_needed(rate, confidence)
    assert (1 - rate) ** n <= (1 - confidence) * (1 + 1e-9)
    assert n == 1 or (1 - rate) ** (n - 1) > (1 - confidence) * (1 - 1e-9)


def test_a_rate_that_the_negatives_cannot_support_is_refused():
    with pytest.raises(BadInput) as refused:
        require_support(0.001, 1000, "validation")
    assert str(refused.value) == (
        "false-alarm rate 0.10%: validation has 1000 negatives; at least 2995 are needed to support it with 95% "
        "confidence. Allow a higher rate, or bring more benign rows."
    )
    require_support(0.01, 299, "validation")
    with pytest.raises(BadInput, match="298 negatives"):
        require_support(0.01, 298, "validation")


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(BadInput, match=r"^false-alarm rate: .* came; a share between 0 and 1"):
        require_support(rate, 10**9, "validation")


@given(
    st.lists(st.one_of(st.integers(0, 4).map(float), st.floats(-10, 10)), min_size=1, max_size=60),
    st.floats(0.001, 0.999),
)
def test_the_threshold_keeps_its_own_false_alarms_and_is_the_lowest_that_does(scores, rate):
    negatives = np.array(scores)  # integers, so that there are ties
    threshold = threshold_at(negatives, rate)
    most = rate * len(negatives) + 1e-9
    assert (negatives > threshold).sum() <= most
    lower = negatives[negatives < threshold]
    if len(lower):
        assert (negatives > lower.max()).sum() > most - 1e-6


def test_a_share_of_rows_that_is_whole_is_all_of_it():
    # 0.29 * 100 is 28.999999999999996
    assert all(whole_share(count / rows, rows) == count for rows in range(1, 301) for count in range(rows + 1))
    assert whole_share(0.0099, 100) == 0
    assert threshold_at(np.arange(100.0), 0.29) == 70.0
    assert threshold_at(np.arange(100.0), 1.0) == -math.inf


def test_detection_and_false_alarms_are_shares_above_the_threshold():
    scores, labels = np.array([0.0, 1.0, 2.0, 1.0, 3.0, 1.5]), np.array([0, 0, 0, 1, 1, 1])
    assert detection(scores, labels, 1.0) == 2 / 3  # a score at the threshold is no alarm
    alarms = false_alarms(scores, labels, 1.0)
    assert (alarms.count, alarms.of, alarms.rate) == (1, 3, 1 / 3)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 40), st.booleans())
def test_roc_points_lie_on_the_curve_of_sklearn(seed, negatives, positives, ties):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [negatives, positives])
    scores = rng.normal(size=len(labels)) + labels
    scores = np.round(scores) if ties else scores
    found = roc(scores, labels, points=25)
    rates, detected, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found["false_alarm_rate"][0] == pytest.approx(1 / negatives)
    assert found["detection"][-1] == 1.0
    assert found["detection"] == sorted(found["detection"])
    for rate, value in zip(found["false_alarm_rate"], found["detection"], strict=True):
        # By counting: the best threshold that keeps the rate.
        allowed = [
            (scores[labels == 1] > t).mean()
            for t in [*scores, -np.inf]
            if (scores[labels == 0] > t).mean() <= rate + 1e-9
        ]
        assert value == pytest.approx(max(allowed))
        assert any(value == d for d in detected[rates <= rate + 1e-9])


def test_areas_are_0_5_by_chance_and_1_at_best():
    labels = np.repeat([0, 1], 50)
    assert auc(labels.astype(float), labels) == partial_auc(labels.astype(float), labels) == 1.0
    assert auc(np.zeros(100), labels) == partial_auc(np.zeros(100), labels) == pytest.approx(0.5)


def test_a_spread_needs_a_value_of_every_seed():
    assert spread([1.0, None]) is None
    assert spread([]) is None
    assert spread([0.25]) == {"mean": 0.25, "low": 0.25, "high": 0.25, "by_seed": [0.25]}


SCORES, LABELS = np.array([3.0, 2.0, 1.0, 0.0]), np.array([1, 0, 1, 0])
HOLE = np.array([3.0, np.nan, 1.0, 0.0])
# fmt: off
WRONG = [
    (lambda: threshold_at(HOLE, 0.5),                   "scores: 1 of 4 are NaN; a number per row"),
    (lambda: detection(HOLE, LABELS, 0.0),              "scores: 1 of 4 are NaN"),
    (lambda: false_alarms(HOLE, LABELS, 0.0),           "scores: 1 of 4 are NaN"),
    (lambda: auc(HOLE, LABELS),                         "scores: 1 of 4 are NaN"),
    (lambda: partial_auc(SCORES, np.zeros(4, int)),     "ROC curve: rows of one class came"),
    (lambda: roc(SCORES, np.ones(4, int)),              "ROC curve: rows of one class came"),
    (lambda: detection(SCORES, np.zeros(4, int), 0.0),  "detection: no bad row came"),
    (lambda: threshold_at(SCORES, -0.01),               "-0.01 came; a share from 0 to 1"),
    (lambda: negatives_needed(0.0),                     "0.0 came; a share between 0 and 1"),
    (lambda: negatives_needed(1.0),                     "1.0 came; a share between 0 and 1"),
]
# fmt: on


@pytest.mark.parametrize(("call", "said"), WRONG)
def test_what_says_nothing_is_refused(call, said):
    with pytest.raises(BadInput, match=said):
        call()


def test_infinite_scores_are_scores():
    endless = np.array([math.inf, 2.0, 1.0, -math.inf])
    assert auc(endless, LABELS) == auc(SCORES, LABELS)
    assert partial_auc(endless, LABELS, 0.5) == partial_auc(SCORES, LABELS, 0.5)
    assert roc(endless, LABELS) == roc(SCORES, LABELS)
    assert detection(endless, LABELS, 1.5) == 0.5
