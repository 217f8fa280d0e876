"""A booster says a share of what is learnt; the network alone predicts, and is proved."""

from __future__ import annotations

import numpy as np
import pytest

import isotone
from isotone.errors import BadInput
from isotone.estimators._teacher import _predicted

WAYS = (1, 1, 1, -1, 0, 0)


def chances(rows, seed):
    """Rows, and the chance of a label: a step where two numbers meet, little else."""
    rng = np.random.default_rng(seed)
    X = rng.random((rows, 6))
    logit = -2.5 + 2 * ((X[:, 0] > 0.7) & (X[:, 1] > 0.4)) + X[:, 2] - X[:, 3] + np.sin(6 * X[:, 4])
    return X, 1 / (1 + np.exp(-logit)), rng


def labelled(rows, seed):
    X, p, rng = chances(rows, seed)
    return X, (rng.random(rows) < p).astype(int)


def classifier(**settings):
    return isotone.MonotoneClassifier(WAYS, random_state=0, **settings)


def away_from_truth(model):
    T, p, _ = chances(8_000, 99)
    q = model.predict_proba(T)[:, 1]
    return float((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean())


def test_chances_are_nearer_to_the_truth_than_from_labels_alone():
    X, y = labelled(3_000, 1)
    taught, alone = classifier().fit(X, y), classifier(teacher=0.0).fit(X, y)
    assert (taught.size_.teacher, alone.size_.teacher) == (0.5, 0.0)
    assert away_from_truth(taught) < 0.9 * away_from_truth(alone)
    assert taught.certify().verdict is isotone.Verdict.PROVED


def test_the_more_a_teacher_says_the_nearer_is_what_is_learnt():
    X, y = labelled(3_000, 2)
    booster = _predicted(X, y.astype(float), np.ones(len(y)), WAYS, seed=0, classes=True)
    off = [
        float(((classifier(teacher=share).fit(X, y).predict_proba(X)[:, 1] - booster) ** 2).mean())
        for share in (0.0, 0.5, 1.0)
    ]
    assert off[2] < off[1] < off[0]


FEW_STEPS = {"hidden": (4,), "embedding": (4,), "epochs": 1}


@pytest.mark.parametrize(
    ("kind", "settings", "rows", "share", "why"),
    [
        (isotone.MonotoneClassifier, {}, 1_200, 0.5, "many rows of classes"),
        (isotone.MonotoneClassifier, {}, 1_000, 0.0, "few rows: a booster learns them worse"),
        (isotone.MonotoneClassifier, {"teacher": 0.25}, 500, 0.25, "asked for"),
        (isotone.MonotoneRegressor, {}, 1_200, 0.0, "of skewed numbers a booster is coarser than the network"),
        (isotone.MonotoneRegressor, {"teacher": 0.25}, 1_200, 0.25, "asked for"),
        (isotone.MonotoneRegressor, {"teacher": 0.25}, 30, 0.0, "too few numbers to part a leaf of 20"),
        (isotone.MonotoneRegressor, {"loss": "absolute_error"}, 1_200, 0.0, "a booster says means, not medians"),
    ],
)
def test_there_is_a_teacher_where_it_can_say_something(kind, settings, rows, share, why):
    X, y = labelled(rows, 3)
    assert kind(WAYS, random_state=0, **FEW_STEPS | settings).fit(X, y).size_.teacher == share, why


def test_a_table_of_many_columns_or_classes_has_none():
    rng = np.random.default_rng(0)
    X, y = rng.random((1_100, 101)), rng.integers(0, 2, 1_100)
    assert isotone.MonotoneClassifier(**FEW_STEPS).fit(X, y).size_.teacher == 0
    assert isotone.MonotoneClassifier(**FEW_STEPS).fit(X[:, :51], rng.integers(0, 3, 1_100)).size_.teacher == 0
    assert isotone.MonotoneClassifier(**FEW_STEPS).fit(X[:, :5], rng.integers(0, 3, 1_100)).size_.teacher == 0.5


def test_the_unit_of_the_weights_does_not_matter():
    X, y = labelled(1_500, 9)
    one, tiny = (
        classifier(**FEW_STEPS, teacher=1.0).fit(X, y, sample_weight=np.full(len(y), w)).predict_proba(X)
        for w in (1.0, 1e-6)
    )
    assert np.allclose(one, tiny, atol=1e-4)


def test_labels_too_rare_to_stop_a_booster_are_learnt_as_they_are():
    X, y = labelled(1_500, 4)
    both = np.column_stack([y, np.arange(len(y)) < 3])
    model = classifier(epochs=2, hidden=(4,)).fit(X, both)
    assert model.size_.teacher == 0.5, "one of the two labels has a teacher"
    assert np.isfinite(model.decision_function(X)).all()
    assert classifier(epochs=2, hidden=(4,)).fit(X, both[:, 1]).size_.teacher == 0


def test_rows_of_weight_zero_and_rows_held_out_teach_nothing():
    X, y = labelled(1_600, 5)
    weight = (np.arange(len(y)) < 1_300).astype(float)
    settings = {"epochs": 2, "hidden": (4,)}
    inside = classifier(**settings).fit(X[:1_300], y[:1_300])
    wrong = np.where(weight > 0, y, 1 - y)
    assert np.array_equal(
        classifier(**settings).fit(X, wrong, sample_weight=weight).decision_function(X), inside.decision_function(X)
    )
    held = classifier(early_stopping=True, **settings).fit(X, y)
    assert set(np.unique(held._held[1].numpy())) == {0.0, 1.0}


def test_a_skewed_target_is_learnt_better_without_a_teacher_which_is_why_numbers_have_none():
    rng = np.random.default_rng(0)
    X = rng.random((5_500, 4))
    y = np.exp(2 * (X[:, 0] + X[:, 1] - X[:, 2] + np.sin(3 * X[:, 3])))
    off = [
        isotone.MonotoneRegressor((1, 1, -1, 0), random_state=0, teacher=share).fit(X[:1_500], y[:1_500]).predict(X) - y
        for share in ("auto", 0.5)
    ]
    alone, taught = (float((each[1_500:] ** 2).mean()) for each in off)
    assert taught > 1.2 * alone


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), None, "half", [0.5]])
def test_a_share_beyond_its_range_is_refused(share):
    X, y = labelled(100, 6)
    with pytest.raises(BadInput, match=r"teacher.*a share from 0 to 1 is right"):
        classifier(teacher=share).fit(X, y)


def test_a_loss_that_a_teacher_cannot_serve_is_refused():
    X, y = labelled(100, 7)
    with pytest.raises(BadInput, match="this loss asks for medians or quantiles"):
        isotone.MonotoneRegressor(WAYS, teacher=0.5, loss="absolute_error").fit(X, y)


def test_going_on_from_a_fitted_network_and_a_file_keep_the_share(tmp_path):
    X, y = labelled(1_200, 8)
    model = classifier(teacher=0.25, epochs=2, hidden=(4,), warm_start=True).fit(X, y).fit(X, y)
    assert model.size_.teacher == 0.25
    model.save(tmp_path / "model")
    read = isotone.MonotoneClassifier.load(tmp_path / "model")
    assert (read.teacher, read.size_) == (0.25, model.size_)
    assert np.array_equal(read.decision_function(X), model.decision_function(X))


def test_automatic_shares_follow_the_rows_of_each_fit():
    X, y = labelled(1_200, 10)
    model = classifier(warm_start=True, **FEW_STEPS)
    assert [model.fit(X[:rows], y[:rows]).size_.teacher for rows in (300, 1_200, 300, 1_200)] == [0, 0.5, 0, 0.5]
