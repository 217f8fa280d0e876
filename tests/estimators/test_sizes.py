"""What "auto" stands for with few rows: chosen by folds, the same for equal tables."""

from __future__ import annotations

import numpy as np
import pytest

import isotone
from isotone.estimators._sizes import FEW, FOLDS, folds

from .small import table

X, Y = table(90)


def fitted(X, y, weight=None, **settings):
    return isotone.MonotoneRegressor((1, -1, 0), random_state=0, **settings).fit(X, y, sample_weight=weight)


def size_of(model):
    """What can be seen of it from outside."""
    return tuple(model.network_.arguments["hidden"]), model.n_iter_


@pytest.mark.slow
def test_weights_repetitions_and_orders_choose_the_same_size_and_network():
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    counts = weight > 0
    expected = fitted(X[counts], Y[counts], weight[counts])
    for rows in (
        (X, Y, weight),
        (np.repeat(X, weight, axis=0), np.repeat(Y, weight), None),
        (X[::-1], Y[::-1], weight[::-1]),
    ):
        model = fitted(*rows)
        assert size_of(model) == size_of(expected)
        assert np.allclose(model.predict(X), expected.predict(X), atol=1e-6)


def test_equal_rows_are_in_one_fold_and_every_fold_has_its_share():
    fold = folds(np.repeat(X, 3, axis=0)).reshape(-1, 3)
    assert (fold == fold[:, :1]).all()
    assert np.bincount(fold[:, 0]).tolist() == [len(X) // FOLDS] * FOLDS


def test_layers_are_trained_longest_for_what_little_noise_shows_and_not_for_noise():
    rng = np.random.default_rng(0)
    rows = rng.random((150, 3))
    clear = 3 * rows[:, 0] ** 3 - rows[:, 1]
    longest = max(size.epochs for size in FEW if size.hidden)
    assert size_of(fitted(rows, clear))[1] == longest
    noise = fitted(rows, rng.normal(size=150))
    assert size_of(noise)[1] < longest or size_of(noise)[0] == ()


def test_noisy_ratings_of_a_line_are_fitted_by_a_line_as_least_squares_does_and_it_is_proved():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, size=(300, 3)).astype(float)
    ratings = np.round(0.4 * rows[:, 0] - 0.3 * rows[:, 1] + 0.2 * rows[:, 2] + rng.normal(size=300))
    model = fitted(rows, ratings)
    assert size_of(model) == ((), 400)
    coefficients = np.linalg.lstsq(np.column_stack([rows, np.ones(300)]), ratings, rcond=None)[0]
    assert np.allclose(model.predict(rows), rows @ coefficients[:3] + coefficients[3], atol=0.01)
    assert model.certify().verdict.name == "PROVED"


@pytest.mark.slow
def test_layers_that_are_said_are_no_line():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, size=(300, 3)).astype(float)
    ratings = np.round(0.4 * rows[:, 0] - 0.3 * rows[:, 1] + rng.normal(size=300))
    assert size_of(fitted(rows, ratings))[0] == ()
    assert size_of(fitted(rows, ratings, hidden=(5,)))[1] < FEW[-1].epochs


def test_what_is_said_is_not_chosen():
    clear = np.random.default_rng(0).random((60, 3))
    model = fitted(clear, 3 * clear[:, 0] ** 3 - clear[:, 1], hidden=(5,), stretches=2, weight_decay=0.3)
    assert size_of(model) == ((5,), 160)


@pytest.mark.slow
def test_training_goes_on_as_it_was_chosen_also_from_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    rows, noise = rng.random((150, 3)), rng.normal(size=150)
    model = fitted(rows, noise, warm_start=True)
    chosen = model.size_
    assert chosen != FEW[0]
    model.save(tmp_path / "model")
    model.fit(rows, noise)
    read = isotone.MonotoneRegressor.load(tmp_path / "model").fit(rows, noise)
    assert model.size_ == read.size_ == chosen
    assert np.array_equal(model.predict(rows), read.predict(rows))


def test_a_network_that_goes_on_is_of_the_size_that_it_has():
    rng = np.random.default_rng(0)
    rows, noise = rng.random((150, 3)), rng.normal(size=150)
    model = fitted(rows, noise, warm_start=True, hidden=(6,), epochs=3)
    model.set_params(hidden=(5, 5), stretches=4, epochs=2).fit(rows, noise)
    assert model.size_.hidden == (6,) == tuple(model.network_.arguments["hidden"])
    assert (model.size_.stretches, model.n_iter_) == (FEW[0].stretches, 2)


UNCHOSEN = {
    "the length is said": ({"epochs": 80}, 150),
    "rows are held out": ({"early_stopping": True, "n_iter_no_change": 200}, 150),
    "few rows differ": ({}, 40),
}


@pytest.mark.parametrize(("settings", "rows"), UNCHOSEN.values(), ids=UNCHOSEN)
def test_the_first_size_is_taken_where_there_is_nothing_to_choose_by(settings, rows):
    clear = np.random.default_rng(0).random((rows, 3))
    assert size_of(fitted(clear, 3 * clear[:, 0] ** 3 - clear[:, 1], **settings)) == (FEW[0].hidden, FEW[0].epochs)
