"""What scikit-learn, LightGBM, XGBoost and TensorFlow Lattice test of their monotone models, asked of these."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import make_classification, make_regression

from .small import classifier, regressor, waves

SWEEP = np.linspace(0, 1, 100)


def at(column, values, width, elsewhere=0.5):
    rows = np.full((len(values), width), elsewhere)
    rows[:, column] = values
    return rows


@pytest.mark.parametrize("named", [False, True], ids=["array", "dict"])
def test_predictions_follow_what_a_feature_does_among_categories(named):
    """scikit-learn, _hist_gradient_boosting/tests/test_monotonic_constraints.py::test_predictions."""
    rng = np.random.RandomState(42)
    numbers, y = waves(1000, 42)
    a, b, c = (rng.randint(0, 9, size=1000) for _ in range(3))
    names = ["f_a", "f_0", "f_b", "f_1", "f_c"]

    def held(rows):
        return pd.DataFrame(rows, columns=names) if named else rows

    model = regressor(
        {"f_0": +1, "f_1": -1} if named else [0, +1, 0, -1, 0],
        categorical_features=["f_a", "f_b", "f_c"] if named else [0, 2, 4],
        epochs=100,
    ).fit(held(np.c_[a, numbers[:, 0], b, numbers[:, 1], c]), y)
    sine = np.sin(SWEEP)
    for column, direction in ((1, +1), (3, -1)):
        swept = direction * model.predict(held(at(column, SWEEP, 5)))
        assert (np.diff(swept) >= 0).all()
        assert swept[-1] - swept[0] > 4  # of 5 that were put in
        follows = direction * model.predict(held(at(column, sine, 5)))
        assert np.array_equal(np.diff(follows) >= 0, np.diff(sine) >= 0)
        back = direction * model.predict(held(at(column, SWEEP[::-1], 5)))
        assert (np.diff(back) <= 0).all()


def spoilt(X, missing):
    if missing:
        X = X.copy()
        X[np.random.RandomState(0).random_sample(X.shape) < 0.5] = np.nan
    return X


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("missing", [False, True], ids=["whole", "half missing"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "csc"])
def test_a_class_probability_moves_the_right_way_when_a_feature_is_shifted(seed, missing, sparse):
    """scikit-learn, tree/tests/test_monotonic_tree.py::test_monotonic_constraints_classifications."""
    X, y = make_classification(n_samples=1000, n_features=5, n_informative=5, n_redundant=0, random_state=seed)
    train, test = spoilt(X[:900], missing), X[900:]
    up, down = test.copy(), test.copy()
    up[:, 0] += 10
    down[:, 1] += 10
    cst = np.array([1, -1, 0, 0, 0])
    model = classifier(cst, epochs=25).fit(scipy.sparse.csc_matrix(train) if sparse else train, y[:900])
    p = model.predict_proba(np.concatenate([test, up, down]))[:, 1].reshape(3, -1)
    assert (p[1] >= p[0]).all()
    assert (p[2] <= p[0]).all()
    assert p[0].std() > 0.05
    assert model.certify().verdict.name == "PROVED"


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("missing", [False, True], ids=["whole", "half missing"])
def test_a_number_moves_the_right_way_when_a_feature_is_shifted(loss, missing):
    """scikit-learn, tree/tests/test_monotonic_tree.py::test_monotonic_constraints_regressions."""
    X, y = make_regression(n_samples=1000, n_features=5, n_informative=5, random_state=7)
    train, test = spoilt(X[:900], missing), X[900:]
    up, down = test.copy(), test.copy()
    up[:, 0] += 10
    down[:, 1] += 10
    model = regressor([1, -1, 0, 0, 0], loss=loss).fit(train, y[:900])
    found = model.predict(np.concatenate([test, up, down])).reshape(3, -1)
    assert (found[1] >= found[0]).all()
    assert (found[2] <= found[0]).all()
    assert found[0].std() > 0


@pytest.mark.parametrize("direction", [-1, 1])
def test_where_the_data_oppose_the_direction_the_prediction_is_the_mean(direction):
    """scikit-learn, tree/tests/test_monotonic_tree.py::test_1d_opposite_monotonicity_cst_data."""
    X = np.linspace(-2, 2, 10).reshape(-1, 1)
    y = -direction * X.ravel()
    model = regressor([direction], epochs=300, weight_decay=0.0).fit(X, y)
    assert np.allclose(model.predict(X), 0.0, atol=0.02)
    counted = classifier([direction], epochs=300, weight_decay=0.0).fit(X, y > 0)
    assert np.allclose(counted.predict_proba(X), 0.5, atol=0.02)


@pytest.mark.parametrize("categorised", [False, True], ids=["number", "category"])
def test_sweeps_rise_and_fall_as_told_and_the_free_feature_does_neither(categorised):
    """LightGBM, tests/python_package_test/test_engine.py::test_monotone_constraints.

    The free feature waves four times slower than there: a network this small and quick does not follow faster ones.
    """
    rng = np.random.RandomState(0)
    rows = 1500
    X = rng.random((rows, 3))
    if categorised:
        X[:, 2] = np.digitize(X[:, 2], np.linspace(0.1, 0.9, 9))
    free = X[:, 2] / (10 if categorised else 1)
    scales = 10 * (rng.random(6) + 0.5)
    y = (
        scales[0] * X[:, 0] + np.sin(scales[1] * np.pi * X[:, 0])
        - scales[2] * X[:, 1] - np.cos(scales[3] * np.pi * X[:, 1])
        - scales[4] / 4 * free - np.cos(scales[5] / 4 * np.pi * free)
        + rng.normal(0, 0.01, rows)
    )  # fmt: skip
    model = regressor([1, -1, 0], categorical_features=[2] if categorised else None, epochs=40).fit(X, y)
    sweep = np.linspace(0, 1, 1000)
    levels = np.arange(10.0) if categorised else sweep
    waves_seen = False
    for fixed in rng.random((10, 3)):
        others = np.array([fixed[0], fixed[1], np.floor(10 * fixed[2]) if categorised else fixed[2]])
        curves = []
        for column, values in enumerate((sweep, sweep, levels)):
            swept = np.repeat(others[None], len(values), axis=0)
            swept[:, column] = values
            curves.append(np.diff(model.predict(swept)))
        assert (curves[0] >= 0).all()
        assert (curves[1] <= 0).all()
        waves_seen |= bool((curves[2] > 0).any() and (curves[2] < 0).any())
    assert waves_seen


@pytest.mark.parametrize("cst", [(1, -1), [1, -1], np.array([1, -1])], ids=["tuple", "list", "array"])
def test_every_line_of_a_grid_rises_and_falls_as_told(cst):
    """XGBoost, testing/monotone_constraints.py::is_correctly_constrained: 100 lines of 100 points, either way."""
    X, y = waves(1000, 1)
    model = regressor(cst, epochs=60).fit(X, y)
    grid = np.stack(np.meshgrid(SWEEP, SWEEP, indexing="ij"), axis=-1).reshape(-1, 2)
    surface = model.predict(grid).reshape(100, 100)
    assert (np.diff(surface, axis=0) >= 0).all()
    assert (np.diff(surface, axis=1) <= 0).all()
    assert np.ptp(surface) > 5


@pytest.mark.parametrize("loss", ["absolute_error", "quantile"])
def test_several_outputs_rise_and_fall_as_told_in_sweeps_through_rows(loss):
    """XGBoost, run_multi_output_monotone, with quantiles for outputs: a sweep of 64 points through 32 rows."""
    rng = np.random.default_rng(2026)
    X = rng.normal(size=(900, 5))
    wave = np.sin(6 * X[:, 2]) + 0.5 * X[:, 3] * X[:, 4]
    y = X[:, 0] - X[:, 1] + wave + rng.normal(0, 0.05, len(X))
    model = regressor([1, -1, 0, 0, 0], loss=loss, quantile=[0.1, 0.5, 0.9]).fit(X, y)
    for column, direction in ((0, 1), (1, -1)):
        rows = np.repeat(X[rng.integers(len(X), size=32)], 64, axis=0)
        rows[:, column] = np.tile(np.linspace(-5, 5, 64), 32)
        found = model.predict(rows).reshape(32, 64, -1)
        assert (direction * np.diff(found, axis=1) >= 0).all()


def test_rising_in_x_is_falling_in_minus_x():
    """TensorFlow Lattice: equivalence of +1 on x and -1 on -x."""
    X, y = waves(800, 3)
    mirrored = X * (1, -1)
    one = regressor([1, -1], epochs=200).fit(X, y).predict(X)
    other = regressor([1, 1], epochs=200).fit(mirrored, y).predict(mirrored)
    spread = y.std()
    assert np.abs(one - other).mean() < 0.1 * spread
    assert abs(np.mean((one - y) ** 2) - np.mean((other - y) ** 2)) < 0.02 * spread**2


@pytest.mark.parametrize("far", [1.5, 10.0, 1e6, 1e30, 1e300])
def test_far_outside_the_rows_it_learnt_from_predictions_are_finite_and_ordered(far):
    """TensorFlow Lattice's extended-range points, and farther."""
    X, y = waves(400, 4)
    model = regressor([1, -1]).fit(X, y)
    line = np.array([-far, -0.1, 0.0, 0.5, 1.0, 1.1, far])
    for column, direction in ((0, 1), (1, -1)):
        found = direction * model.predict(at(column, line, 2))
        assert np.isfinite(found).all()
        assert (np.diff(found) >= 0).all()
        assert found.max() - found.min() < 10 * np.ptp(y)
