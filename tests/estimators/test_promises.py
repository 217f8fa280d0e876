"""What the estimators promise and nobody's tests ask: equal tables, missing values, files, losses, weights, classes."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import isotone
from isotone.errors import BadInput, CannotWrite

from .small import classifier, ordered, pairs, proved, regressor, table, two

CST = (1, -1, 0)


def three(y):
    return np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))


def labels(y):
    return np.stack([y > 0, y > 1], axis=1).astype(int)


X, Y = table()
MODELS = {
    "squared error": (lambda: regressor(CST), Y, "predict"),
    "absolute error": (lambda: regressor(CST, loss="absolute_error"), Y, "predict"),
    "median": (lambda: regressor(CST, loss="quantile"), Y, "predict"),
    "a quantile": (lambda: regressor(CST, loss="quantile", quantile=0.9), Y, "predict"),
    "quantiles": (lambda: regressor(CST, loss="quantile", quantile=[0.9, 0.1, 0.5]), Y, "predict"),
    "bounded": (lambda: regressor(CST, low=-1.0, high=1.0), Y, "predict"),
    "one member": (lambda: regressor(CST, members=1), Y, "predict"),
    "odd widths": (lambda: regressor(CST, hidden=(7, 5, 3), embedding=(5, 3)), Y, "predict"),
    "no embedding": (lambda: regressor(CST, embedding=()), Y, "predict"),
    "no hidden layer": (lambda: regressor(CST, hidden=()), Y, "predict"),
    "dropout": (lambda: regressor(CST, dropout=0.2), Y, "predict"),
    "all rise": (lambda: regressor((1, 1, 1)), Y, "predict"),
    "mini-batches": (lambda: regressor(CST, epochs=2, batch_size=64, early_stopping=True), None, "predict"),
    "two classes": (lambda: classifier(CST), two(Y), "decision_function"),
    "three classes": (lambda: classifier(CST), three(Y), "decision_function"),
    "levels": (lambda: classifier(CST, ordinal=True), three(Y), "decision_function"),
    "labels": (lambda: classifier(CST), labels(Y), "predict_proba"),
    "words": (lambda: classifier(CST), np.array(["low", "mid", "top"], dtype=object)[three(Y)], "decision_function"),
    "balanced": (lambda: classifier(CST, class_weight="balanced"), two(Y), "decision_function"),
    "one class": (lambda: classifier(CST), np.zeros(len(Y)), "decision_function"),
}
FITTED: dict[str, tuple] = {}


def fitted(name):
    """Each model is fitted once."""
    if name not in FITTED:
        make, y, method = MODELS[name]
        rows = table(1200) if y is None else (X, y)
        model = make().fit(*rows)
        FITTED[name] = model, getattr(model, method)
    return FITTED[name]


QUICKLY_PROVED = {"squared error", "odd widths", "quantiles", "mini-batches", "levels", "labels"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICKLY_PROVED else pytest.mark.slow) for name in MODELS]
)
def test_every_model_is_proved(name):
    assert proved(fitted(name)[0])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_ordered(name):
    _, score = fitted(name)
    directions = (1, 1, 1) if name == "all rise" else CST
    low, high = pairs(X, directions)
    assert ordered(score, low, high)
    assert name in {"no hidden layer", "one class"} or np.ptp(np.asarray(score(X))) > 0.01


@pytest.mark.parametrize("name", MODELS)
def test_a_score_depends_on_no_other_row(name):
    _, score = fitted(name)
    many = np.concatenate([X, *pairs(X, CST, rows=1000)])
    found = score(many)
    for row in (0, 7, 119, 1023, 1024, 2119):
        assert np.array_equal(score(many[row : row + 1])[0], found[row])
    assert np.array_equal(score(many[::-1])[::-1], found)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_predicts_the_same_to_the_last_bit(name, tmp_path):
    model, _ = fitted(name)
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    rows = np.concatenate([X, *pairs(X, CST)])
    assert np.array_equal(again.predict(rows), model.predict(rows))
    assert again.predict(rows).dtype == model.predict(rows).dtype
    if hasattr(model, "predict_proba"):
        assert np.array_equal(again.predict_proba(rows), model.predict_proba(rows))
    assert str(again.get_params()["monotonic_cst"]) == str(list(model.get_params()["monotonic_cst"]))
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["estimator.json", "weights.safetensors"]
    assert json.loads((tmp_path / "model" / "estimator.json").read_text())["estimator"] == type(model).__name__
    with pytest.raises(CannotWrite):
        model.save(tmp_path / "model")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"monotonic_cst": {"a": 1, "b": np.int64(-1)}}, id="names, and a number of numpy"),
        pytest.param({"monotonic_cst": np.array([1, -1, 0])}, id="an array"),
        pytest.param({"monotonic_cst": [np.int64(1), -1, 0]}, id="a list with a number of numpy"),
        pytest.param({"missing": {0: "highest"}}, id="a place by column number"),
        pytest.param({"missing": {"b": "outside"}}, id="a place by name"),
        pytest.param({"hidden": (np.int64(8), 8), "members": np.int64(2)}, id="widths of numpy"),
    ],
)
def test_whatever_the_settings_are_a_model_can_be_saved_and_fitted_again(settings, tmp_path):
    frame = pd.DataFrame(X, columns=list("abc"))
    model = regressor(**{"monotonic_cst": CST, **settings}).fit(frame, Y)
    model.save(tmp_path / "model")
    again = isotone.MonotoneRegressor.load(tmp_path / "model")
    assert np.array_equal(again.predict(frame), model.predict(frame))
    assert list(again.feature_names_in_) == ["a", "b", "c"]
    assert np.array_equal(again.fit(frame, Y).predict(frame), model.predict(frame))


@pytest.mark.parametrize("wrong", ["nothing there", "another estimator"])
def test_a_folder_that_is_no_such_model_gives_one_sentence(wrong, tmp_path):
    if wrong == "another estimator":
        fitted("two classes")[0].save(tmp_path / "model")
    with pytest.raises(BadInput, match="load"):
        isotone.MonotoneRegressor.load(tmp_path / "model")


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
@pytest.mark.parametrize("name", ["squared error", "three classes"])
def test_sparse_equals_dense_in_fitting_and_in_scoring(form, name):
    rows = np.where(np.abs(X) < 0.6, 0.0, X)
    make, y, method = MODELS[name]
    dense, sparse = make().fit(rows, y), make().fit(form(rows), y)
    expected = getattr(dense, method)(rows)
    for found in (
        getattr(dense, method)(form(rows)),
        getattr(sparse, method)(rows),
        getattr(sparse, method)(form(rows)),
    ):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("known", [True, False], ids=["missing in training", "never seen"])
@pytest.mark.parametrize("missing", ["lowest", "highest"])
def test_a_missing_value_stands_where_its_policy_puts_it(missing, known):
    rows = X.copy()
    if known:
        rows[::4, 0] = np.nan
        rows[::5, 1] = np.nan
    model = regressor(CST, missing=missing).fit(rows, Y)
    others = X[:20]
    for column, direction in ((0, 1), (1, -1)):
        gone = others.copy()
        gone[:, column] = np.nan
        for value in (-1e30, -1.0, 0.0, 2.0, 1e30):
            there = others.copy()
            there[:, column] = value
            low, high = (gone, there) if missing == "lowest" else (there, gone)
            if direction < 0:
                low, high = high, low
            assert ordered(model.predict, low, high)
    assert not known or proved(model)


def test_a_missing_value_outside_is_learnt_freely():
    """The target is highest where the value is missing, and rises with the value: only "outside" can say both lower."""
    rng = np.random.default_rng(0)
    rows = rng.random((300, 1))
    y = rows[:, 0].copy()
    rows[:100] = np.nan
    y[:100] = 0.5
    probes = np.array([[0.05], [np.nan], [0.95]])
    low, gone, high = regressor([1], missing="outside", epochs=200).fit(rows, y).predict(probes)
    assert low < 0.35 < gone < 0.65 < high
    for missing in ("lowest", "highest"):
        bound = regressor([1], missing=missing, epochs=200).fit(rows, y).predict(probes)
        assert bound[1] <= bound[0] if missing == "lowest" else bound[1] >= bound[2]


def test_quantiles_never_cross_and_come_as_asked():
    _, predict = fitted("quantiles")
    far = np.concatenate([X, *pairs(X, CST)])
    found = predict(far)
    assert found.shape == (len(far), 3)
    assert (found[:, 1] <= found[:, 2]).all()  # 0.1 and 0.5
    assert (found[:, 2] <= found[:, 0]).all()  # 0.5 and 0.9
    assert found[: len(X), 0].mean() > found[: len(X), 1].mean() + 0.3


def test_bounds_are_kept():
    found = fitted("bounded")[1](np.concatenate([X * 100, -X * 100]))
    assert found.min() == -1.0
    assert found.max() == 1.0


def test_a_model_learns_what_it_is_shown():
    """Few rows, the default settings but for the epochs."""
    rows, y = table(400)
    far, expected = table(400, seed=1)
    model = regressor((1, -1, 0), hidden=(32, 32), epochs=200).fit(rows, y)
    assert model.score(far, expected) > 0.8
    assert classifier((1, -1, 0), epochs=200).fit(rows, two(y)).score(far, two(expected)) > 0.85


@pytest.mark.parametrize(
    "name", ["squared error", "absolute error", "quantiles", "two classes", "three classes", "labels"]
)
def test_a_weight_of_two_is_the_row_twice_and_a_weight_of_zero_its_absence(name):
    make, y, method = MODELS[name]
    rng = np.random.default_rng(3)
    weight = rng.integers(0, 3, len(X))
    times = np.repeat(np.arange(len(X)), weight)
    weighted = getattr(make().fit(X, y, sample_weight=weight), method)(X)
    assert np.allclose(weighted, getattr(make().fit(X[times], y[times]), method)(X), atol=1e-6)
    assert not np.allclose(weighted, getattr(fitted(name)[0], method)(X), atol=1e-3)


@pytest.mark.parametrize("weight", [np.zeros(len(X)), -np.ones(len(X)), np.full(len(X), np.nan), np.ones(3)])
@pytest.mark.parametrize("name", ["squared error", "two classes"])
def test_weights_that_are_none_are_refused(name, weight):
    make, y, _ = MODELS[name]
    with pytest.raises(ValueError, match=r"(?i)weight"):
        make().fit(X, y, sample_weight=weight)


def test_a_class_weight_is_a_sample_weight():
    y = two(Y)
    heavy = classifier(CST, class_weight={0: 1, 1: 5}).fit(X, y)
    same = classifier(CST).fit(X, y, sample_weight=np.where(y == 1, 5.0, 1.0))
    assert np.array_equal(heavy.predict_proba(X), same.predict_proba(X))
    assert heavy.predict_proba(X)[:, 1].mean() > fitted("two classes")[0].predict_proba(X)[:, 1].mean() + 0.05


@pytest.mark.parametrize("name", ["squared error", "two classes"])
def test_a_warm_start_goes_on(name):
    make, y, _ = MODELS[name]
    model = make().set_params(warm_start=True, epochs=10).fit(X, y)
    network, first = model.network_, model.history_[-1]
    model.set_params(epochs=40).fit(X, y)
    assert model.network_ is network
    assert len(model.history_) == 50
    assert model.history_[-1] < first
    assert proved(model)


def test_a_warm_start_with_other_classes_is_refused():
    model = classifier(CST, warm_start=True).fit(X, two(Y))
    with pytest.raises(BadInput, match="warm_start"):
        model.fit(X, two(Y) + 1)


@pytest.mark.parametrize("make", [regressor, classifier])
def test_early_stopping_keeps_the_best_epoch(make):
    rows, y = table(1500)
    model = make(CST, early_stopping=True, n_iter_no_change=2, epochs=30, learning_rate=0.05)
    model.fit(rows, y if make is regressor else two(y))
    assert model.n_iter_ == len(model.history_) <= 30
    best = int(np.argmin(model.history_))
    assert model.n_iter_ == 30 or model.n_iter_ == best + 3
    assert ordered(model.predict, *pairs(rows, CST))


def test_by_itself_it_holds_out_rows_only_where_there_are_many():
    rows, y = table(10_500)
    assert regressor(CST, epochs=1, members=1).fit(rows, y)._held is not None
    assert regressor(CST, epochs=1, members=1).fit(rows[:9_000], y[:9_000])._held is None


def test_probabilities_are_probabilities():
    for name in ("two classes", "three classes", "levels", "words"):
        model = fitted(name)[0]
        p = model.predict_proba(np.concatenate([X, X * 1e6]))
        assert p.min() >= 0
        assert np.allclose(p.sum(1), 1)
        assert p.shape[1] == len(model.classes_)
    p = fitted("two classes")[0].predict_proba(X)
    assert np.array_equal(fitted("two classes")[0].predict(X), (p[:, 1] > 0.5).astype(int))


def test_of_levels_every_probability_to_pass_one_is_monotone():
    model, _ = fitted("levels")
    low, high = pairs(X, CST)

    def passed(rows):
        p = model.predict_proba(rows)
        return np.round(np.cumsum(p[:, ::-1], axis=1)[:, :-1], 12)

    assert ordered(passed, low, high)
    assert ordered(model.predict, low, high)


def test_words_are_classes():
    model, _ = fitted("words")
    assert list(model.classes_) == ["low", "mid", "top"]
    assert model.score(X, np.array(["low", "mid", "top"], dtype=object)[three(Y)]) > 0.6
    yes = classifier(CST).fit(X, np.where(two(Y), "yes", "no"))
    assert set(yes.predict(X)) == {"no", "yes"}
    truth = classifier(CST).fit(X, two(Y).astype(bool))
    assert truth.predict(X).dtype == bool


def test_another_number_of_columns_is_refused():
    with pytest.raises(ValueError, match="features"):
        regressor(CST).fit(X, Y).predict(X[:, :2])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_target_that_is_no_number_is_refused(bad):
    y = Y.copy()
    y[3] = bad
    with pytest.raises(ValueError, match=r"NaN|inf"):
        regressor(CST).fit(X, y)


WORDS = np.array(["low", "mid", "high"])
LEVELS = [
    # what came as classes, what is said (or None), why
    (lambda code: WORDS[code], "whose order nobody has said", "words"),
    (lambda code: categories(code, WORDS), "in the order ['low', 'mid', 'high']", "another order"),
    (lambda code: categories(code, ["a", "b", "c"]), None, "the order of the alphabet"),
    (lambda code: categories(code, ["a", "x", "b"], ordered=False), "whose order nobody has said", "no order"),
    (lambda code: code, None, "numbers"),
]


def categories(code, words, *, ordered=True):
    return pd.Categorical.from_codes(code, words, ordered=ordered)


@pytest.mark.parametrize(("make", "said", "why"), LEVELS, ids=[why for *_, why in LEVELS])
def test_levels_are_learnt_in_an_order_that_somebody_has_said(make, said, why):
    code = np.arange(60) % 3
    X, y = code[:, None] + 0.1, make(code)
    if said is None:
        assert (classifier([1], ordinal=True).fit(X, y).predict(X) == np.asarray(y)).all()
        return
    with pytest.raises(BadInput, match=re.escape(said)):
        classifier([1], ordinal=True).fit(X, y)
