"""Tables and settings as people have them: far from zero, in small units, with words, dates, and names like globs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.metrics import d2_pinball_score

import isotone
from isotone.errors import BadInput

from .small import classifier, regressor

RNG = np.random.default_rng(0)
U, NOISE = RNG.random(400), 0.05 * RNG.normal(size=400)
WORDS = pd.DataFrame({"a": RNG.random(120), "word": RNG.choice(["red", "green"], 120)})


@pytest.mark.parametrize(
    ("zero", "unit"),
    [(1e9, 1.0), (-3e7, 1.0), (1.7e12, 6e4)],  # account numbers; below zero; milliseconds within a minute
)
@pytest.mark.parametrize("missing", ["lowest", "highest", "outside"])
def test_numbers_far_from_zero_are_told_apart_in_float32_too(zero, unit, missing):
    x = np.where(np.arange(400) % 9, zero + unit * U, np.nan)[:, None]
    model = regressor([1], missing=missing, epochs=60).fit(x, U**2 + NOISE)
    near = regressor([1], missing=missing, epochs=60).fit((x - zero) / unit, U**2 + NOISE)
    assert model.score(x, U**2) == pytest.approx(near.score((x - zero) / unit, U**2), abs=0.01)
    line = np.sort(np.concatenate([zero + unit * np.linspace(-5, 5, 500), [0.0, -1e30, 1e30]]))[:, None]
    assert (np.diff(model.predict(line)) >= 0).all()
    assert (model.encoder_.transform(line) == isotone.encoding.ColumnEncoder.from_dict(
        model.encoder_.to_dict()).transform(line)).all()  # fmt: skip
    at = np.linspace(0, 1, 50)[:, None]
    one, other = model.predict(zero + unit * at), near.predict(at)
    assert np.abs(one - other).max() < 0.01
    model.network_.float()
    assert np.abs(model.predict(zero + unit * at) - other).max() < 0.01


@pytest.mark.parametrize("unit", [1e-13, 1e-200, 1e160, 1e300])
def test_targets_of_any_unit_are_learnt_alike(unit):
    x = np.c_[U, RNG.random(400)]
    one, other = (regressor([1, 0], random_state=0).fit(x, scale * U).predict(x) for scale in (1.0, unit))
    assert other / unit == pytest.approx(one, rel=1e-6)


def test_targets_that_differ_by_rounding_only_are_constant():
    x = U[:100, None]
    assert regressor([1]).fit(x, np.full(100, 0.1) + 1e-17 * np.arange(100)).predict(x) == pytest.approx(0.1, abs=0.05)


def test_calibration_counts_rows_as_training_does():
    x = RNG.random((4_000, 2))
    y = (RNG.random(4_000) < 1 / (1 + np.exp(7.5 - 6 * x[:, 0]))).astype(int)
    settings = {"epochs": 5, "early_stopping": True, "random_state": 0}
    balanced = isotone.MonotoneClassifier([1, 0], class_weight="balanced", **settings).fit(x, y)
    assert balanced.predict(x)[y == 1].mean() > 0.6
    assert balanced.predict(x)[y == 0].mean() < 0.4
    plain = isotone.MonotoneClassifier([1, 0], **settings).fit(x, y)
    assert plain.predict_proba(x)[:, 1].mean() == pytest.approx(y.mean(), abs=0.02)


def test_a_row_of_weight_two_is_two_rows_of_a_calibration():
    logit, y = RNG.normal(size=50), (RNG.random(50) < 0.5).astype(float)
    twice = np.arange(50) < 20
    counted = isotone.evaluation.platt(logit, y, 1.0 + twice)
    repeated = isotone.evaluation.platt(np.r_[logit, logit[twice]], np.r_[y, y[twice]])
    assert counted == pytest.approx(repeated, rel=1e-4)


FITS = [
    # why, the table, settings, which columns are categories
    ("words of pyarrow", WORDS.convert_dtypes(dtype_backend="pyarrow"), {}, [1]),
    ("an array of objects", WORDS.to_numpy(), {"categorical_features": [1]}, [1]),
    ("a number is a place, whatever columns are called",
     pd.DataFrame({1: U[:120], 2: U[:120] ** 2, 3: np.arange(120) % 5}), {"categorical_features": [2]}, [2]),
    ("so it is where names are numbers",
     pd.DataFrame({"1": U[:120], "0": np.arange(120) % 5}), {"categorical_features": [1]}, [1]),
    ("an index of pandas", WORDS, {"categorical_features": pd.Index(["word"])}, [1]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "rows", "settings", "categories"), FITS, ids=[row[0] for row in FITS])
def test_tables_of_words_are_fitted_and_saved(tmp_path, why, rows, settings, categories):
    model = regressor(None, epochs=3, **settings).fit(rows, U[:120])
    assert model.categories_ == categories
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    some = rows[:7] if isinstance(rows, np.ndarray) else rows.iloc[:7]
    assert np.array_equal(again.predict(some), model.predict(some))


@pytest.mark.parametrize("gone", [pd.NA, None, np.nan])
def test_a_batch_without_a_single_word_is_scored(gone):
    model = regressor({"a": 1}, epochs=3).fit(WORDS, U[:120])
    row = pd.DataFrame({"a": [0.5], "word": pd.Series([gone], dtype=object)})
    assert np.isfinite(model.predict(row)).all()
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        by_place = model.predict(WORDS.to_numpy()[:5])
    assert np.array_equal(by_place, model.predict(WORDS[:5]))


DATES = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=120), "a": U[:120]})
REFUSED = [
    # why, the table, settings, what is said
    ("dates alone", DATES[["day"]], {}, "day.*datetime64"),
    ("dates beside numbers", DATES, {}, "day.*datetime64"),
    ("dates beside words", DATES.assign(word="red"), {}, "day.*datetime64"),
    ("infinity beside words", WORDS.assign(a=np.inf), {}, "infinity.*'a'"),
    ("all rows held out", WORDS, {"validation_fraction": 1.0}, "validation_fraction: 1.0 came"),
    ("no patience", WORDS, {"n_iter_no_change": 0}, "n_iter_no_change: 0 came"),
    ("one row to part", WORDS[:1], {"early_stopping": True}, "one row came"),
]


@pytest.mark.parametrize(("why", "rows", "settings", "said"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_fitted_is_one_sentence(why, rows, settings, said):
    with pytest.raises(ValueError, match=said):
        regressor(None, **{"epochs": 2, **settings}).fit(rows, U[: len(rows)])


SAVED = [
    {"monotonic_cst": pd.Series([1, 0])},
    {"category_orders": {"word": pd.Index(["red", "green"])}},
    {"dropout": np.float32(0.1)},
    {"members": np.int64(2)},
]


@pytest.mark.parametrize("settings", SAVED, ids=[next(iter(row)) for row in SAVED])
def test_settings_of_numpy_and_pandas_are_saved(tmp_path, settings):
    model = isotone.MonotoneRegressor(epochs=2, random_state=0).set_params(**settings).fit(WORDS, U[:120])
    model.save(tmp_path / "model")
    assert np.array_equal(isotone.MonotoneRegressor.load(tmp_path / "model").predict(WORDS), model.predict(WORDS))


def test_a_setting_that_json_cannot_hold_is_one_sentence(tmp_path):
    model = regressor(None, epochs=2).fit(WORDS, U[:120])
    with pytest.raises(BadInput, match=r"save: verbose=.* cannot be written as JSON"):
        model.set_params(verbose=object()).save(tmp_path / "model")


def test_going_on_with_other_directions_is_refused_and_explanations_follow_the_fit():
    x = np.c_[U, U[::-1]][:120]
    model = regressor([1, 0], warm_start=True, epochs=10).fit(x, U[:120])
    model.set_params(monotonic_cst=[-1, 0])
    assert model.effects(x)["x0"].direction == 1
    with pytest.raises(BadInput, match="warm_start: other directions came"):
        model.fit(x, U[:120])


def test_a_name_like_a_glob_is_a_name_but_a_star_is_a_glob():
    names = ["x[1]", "x1", "a*", "ab"]
    assert isotone.directions.as_directions({"x[1]": 1}, 4, names) == (1, 0, 0, 0)
    # Who names a feature after a glob must not narrow what the glob covers.
    assert isotone.directions.as_directions({"a*": 1}, 4, names) == (0, 0, 1, 1)


def test_labels_may_be_sparse():
    labels = (RNG.random((80, 3)) < 0.5).astype(int)
    dense, sparse = (classifier(None, epochs=3).fit(U[:80, None], y) for y in (labels, scipy.sparse.csr_matrix(labels)))
    assert np.array_equal(dense.predict_proba(U[:9, None]), sparse.predict_proba(U[:9, None]))


def test_several_quantiles_have_one_score_and_no_price():
    model = regressor([1], loss="quantile", quantile=[0.9, 0.1], epochs=40).fit(U[:, None], U + NOISE)
    found = model.predict(U[:, None])
    each = [d2_pinball_score(U + NOISE, found[:, k], alpha=q) for k, q in enumerate((0.9, 0.1))]
    assert model.score(U[:, None], U + NOISE) == pytest.approx(np.mean(each))
    with pytest.raises(BadInput, match="price: several quantiles came"):
        isotone.price(model, U[:, None], U)


def test_directions_are_suggested_beside_words_and_effects_leave_out_what_is_empty():
    assert isotone.suggest_directions(WORDS, WORDS["a"], cv=3, repeats=1).directions == {"a": 1}
    empty = WORDS.assign(nothing=np.nan)
    model = regressor({"a": 1}, epochs=2).fit(empty, U[:120])
    assert list(model.effects(empty)) == ["a", "word"]
    with pytest.raises(BadInput, match="only missing values"):
        model.effects(empty, ["nothing"])


@pytest.mark.parametrize("rows", [300, 1_500])
@pytest.mark.parametrize("value", [0.0, 1e-6, -3e9])
def test_a_target_of_one_value_is_predicted_everywhere(value, rows):
    X = np.random.default_rng(0).random((rows, 3))
    model = isotone.MonotoneRegressor((1, -1, 0), random_state=0, epochs=2).fit(X, np.full(rows, value))
    assert np.allclose(model.predict(1e6 * X - 5e5), value, rtol=1e-12, atol=0)


def test_the_target_of_a_row_of_weight_zero_is_nothing():
    X = np.random.default_rng(0).random((200, 2))
    y, weight = X[:, 0], np.append(np.ones(199), 0)
    there = isotone.MonotoneRegressor((1, 0), random_state=0, epochs=5).fit(
        X, np.append(y[:199], 1e300), sample_weight=weight
    )
    gone = isotone.MonotoneRegressor((1, 0), random_state=0, epochs=5).fit(X[:199], y[:199])
    assert np.array_equal(there.predict(X), gone.predict(X))


@pytest.mark.slow
def test_columns_that_reach_across_all_of_float32_are_learnt_and_proved():
    X = np.random.default_rng(0).random((300, 2))
    X[:, 0] = np.where(X[:, 0] > 0.5, 1e308, -2e38)
    model = isotone.MonotoneRegressor((1, 1), random_state=0).fit(X, (X[:, 0] > 0) + X[:, 1])
    assert model.predict([[1e308, 0.5]])[0] > model.predict([[-1e308, 0.5]])[0] + 0.5
    assert model.certify().verdict is isotone.Verdict.PROVED


def test_rows_that_become_few_when_some_are_held_out_are_trained_as_long():
    rng = np.random.default_rng(0)
    X = rng.random((1_100, 3))
    y = 3 * X[:, 0] - X[:, 1] + np.sin(3 * X[:, 2])
    model = isotone.MonotoneRegressor((1, -1, 0), random_state=0, early_stopping=True).fit(X, y)
    assert model.score(X, y) > 0.98


def test_fits_in_threads_are_those_of_one_thread():
    X = np.random.default_rng(0).random((300, 3))

    def fitted(seed):
        return isotone.MonotoneRegressor((1, -1, 0), random_state=seed, epochs=5).fit(X, X[:, 0]).predict(X)

    alone = [fitted(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(a, b) for a, b in zip(alone, pool.map(fitted, range(4)), strict=True))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"missing": "highest"}, "other missing came"),
        ({"category_orders": {0: ["c", "b", "a"]}}, "other category_orders came"),
    ],
)
def test_a_warm_start_that_would_read_rows_otherwise_is_refused(settings, said):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"grade": rng.choice(list("abc"), 120), "x": rng.random(120)})
    y = frame["grade"].map({"a": 0, "b": 1, "c": 2}).to_numpy() + frame["x"].to_numpy()
    orders = {0: ["a", "b", "c"]}
    model = isotone.MonotoneRegressor((1, 1), category_orders=orders, warm_start=True, epochs=3, random_state=0)
    model.fit(frame, y).fit(frame, y)
    with pytest.raises(BadInput, match=said):
        model.set_params(**settings).fit(frame, y)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 1.5}, "batch_size: 1.5 came"),
        ({"learning_rate": None}, "learning_rate: None came"),
        ({"class_weight": {0: -1, 1: 1}}, "weights of at least 0 are right"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings, said):
    X = np.random.default_rng(0).random((40, 2))
    with pytest.raises(BadInput, match=said):
        isotone.MonotoneClassifier((1, 0), **settings).fit(X, (X[:, 0] > 0.5).astype(int))


def test_labels_that_no_file_can_hold_are_refused_when_saved(tmp_path):
    X = np.random.default_rng(0).random((40, 2))
    days = np.where(X[:, 0] > 0.5, np.datetime64("2026-01-01"), np.datetime64("2026-01-02"))
    model = isotone.MonotoneClassifier((1, 0), epochs=2).fit(X, days)
    with pytest.raises(BadInput, match="numbers and words are right"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
