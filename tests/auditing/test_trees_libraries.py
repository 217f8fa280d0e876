"""Each library's trees are read as the library predicts; its monotone fits are proved, its broken ones never."""

import warnings

import numpy as np
import pytest

from isotone.auditing.trees import Unreadable, faithful, margins, prove, read

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")
catboost = pytest.importorskip("catboost")
sparse = pytest.importorskip("scipy.sparse")
ensemble = pytest.importorskip("sklearn.ensemble")
tree = pytest.importorskip("sklearn.tree")

WAYS = [1, -1, 0, 0]
TREES = 12


def table(rows=500, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((rows, 4))
    wave = np.sin(10 * np.pi * X[:, 0]) - np.cos(10 * np.pi * X[:, 1])
    return X, 5 * X[:, 0] - 5 * X[:, 1] + wave + 2 * np.sin(6 * X[:, 2]) * X[:, 0] + rng.normal(0, 0.1, rows)


X, Y = table()
HOLES = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
SIGNED = np.floor(10 * X - 5)  # LightGBM parts whole numbers of both signs just beside 0, which it reads in its own way
COUNTS = np.random.default_rng(0).poisson(1.0, X.shape).astype(float)
TARGETS = {
    "number": Y,
    "against": -Y,
    "two": (Y > 0).astype(int),
    "three": np.digitize(Y, [-1, 1]),
    "positive": np.exp(Y / 3),
    "zero is special": 3.0 * (COUNTS[:, 0] == 0) + 0.5 * COUNTS[:, 0] - COUNTS[:, 1],
}


def lgb(kind="Regressor", ways=None, **options):
    options = {"n_estimators": TREES, "num_leaves": 15, "n_jobs": 1, "verbose": -1} | options
    return getattr(lightgbm, f"LGBM{kind}")(**options, **({"monotone_constraints": ways} if ways else {}))


def xgb(kind="Regressor", ways=None, **options):
    options = {"n_estimators": TREES, "max_depth": 4, "n_jobs": 1} | options
    return getattr(xgboost, f"XGB{kind}")(**options, **({"monotone_constraints": tuple(ways)} if ways else {}))


def cat(kind="Regressor", ways=None, **options):
    options = {"iterations": TREES, "depth": 4, "verbose": 0, "thread_count": 1, "allow_writing_files": False} | options
    return getattr(catboost, f"CatBoost{kind}")(**options, **({"monotone_constraints": ways} if ways else {}))


def hist(kind="Regressor", ways=None, **options):
    return getattr(ensemble, f"HistGradientBoosting{kind}")(max_iter=TREES, monotonic_cst=ways, **options)


def forest(kind="RandomForestRegressor", ways=None, **options):
    return getattr(ensemble, kind)(TREES, monotonic_cst=ways, random_state=0, **options)


RF = {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}
METHOD = "monotone_constraints_method"
# fmt: off
PROVED = {
    # name                      model                                               rows    target
    "LightGBM":                (lgb(ways=WAYS),                                     HOLES, "number"),
    "LightGBM intermediate":   (lgb(ways=WAYS, **{METHOD: "intermediate"}),         X,     "number"),
    "LightGBM advanced":       (lgb(ways=WAYS, **{METHOD: "advanced"}),             X,     "number"),
    "LightGBM classes":        (lgb("Classifier", WAYS),                            HOLES, "two"),
    "LightGBM dart":           (lgb(ways=WAYS, boosting_type="dart"),               HOLES, "number"),
    "LightGBM forest":         (lgb(ways=WAYS, **RF),                               HOLES, "number"),
    "LightGBM signed":         (lgb(ways=WAYS),                                     SIGNED, "number"),
    "LightGBM signed, min":    (lgb(ways=WAYS, min_child_samples=1),                SIGNED, "number"),
    "LightGBM tweedie":        (lgb(ways=WAYS, objective="tweedie"),                HOLES, "positive"),
    "XGBoost hist":            (xgb(ways=WAYS),                                     HOLES, "number"),
    "XGBoost exact":           (xgb("Classifier", WAYS, tree_method="exact"),       HOLES, "two"),
    "XGBoost dart":            (xgb(ways=WAYS, booster="dart", rate_drop=0.3),      HOLES, "number"),
    "XGBoost forest":          (xgb("RFRegressor", WAYS),                           HOLES, "number"),
    "XGBoost gamma":           (xgb(ways=WAYS, objective="reg:gamma"),              HOLES, "positive"),
    "XGBoost linear":          (xgb(booster="gblinear"),                            X,     "number"),
    "CatBoost":                (cat(ways=WAYS),                                     HOLES, "number"),
    "CatBoost classes":        (cat("Classifier", WAYS),                            HOLES, "two"),
    "CatBoost NaN above":      (cat(ways=WAYS, nan_mode="Max"),                     HOLES, "number"),
    "histogram":               (hist(ways=WAYS),                                    HOLES, "number"),
    "histogram classes":       (hist("Classifier", WAYS),                           HOLES, "two"),
    "histogram poisson":       (hist(ways=WAYS, loss="poisson"),                    HOLES, "positive"),
    "forest":                  (forest(ways=WAYS),                                  X,     "number"),
    "forest of classes":       (forest("RandomForestClassifier", WAYS),             X,     "two"),
    "extra trees":             (forest("ExtraTreesRegressor", WAYS),                X,     "number"),
    "single tree":             (tree.DecisionTreeRegressor(monotonic_cst=WAYS),     X,     "number"),
}
NOT_PROVED = {
    "LightGBM":                (lgb(),                                              HOLES, "number"),
    "LightGBM dart":           (lgb(boosting_type="dart"),                          HOLES, "number"),
    "LightGBM forest":         (lgb(**RF),                                          HOLES, "number"),
    # LightGBM 4.7.0: with NaN among the rows, "advanced" (and at times "intermediate") loses its constraint.
    "LightGBM advanced, NaN":  (lgb(ways=WAYS, **{METHOD: "advanced"}),             HOLES, "number"),
    "LightGBM 0 is missing":   (lgb(ways=WAYS, zero_as_missing=True),               COUNTS, "zero is special"),
    "XGBoost hist":            (xgb(),                                              HOLES, "number"),
    "XGBoost dart":            (xgb(booster="dart", rate_drop=0.3),                 HOLES, "number"),
    "XGBoost 0 is missing":    (xgb(ways=WAYS, missing=0.0),                        COUNTS, "zero is special"),
    "XGBoost absolute error":  (xgb(ways=WAYS, objective="reg:absoluteerror"),      X,     "number"),
    "XGBoost linear, against": (xgb(booster="gblinear"),                            X,     "against"),
    "CatBoost":                (cat(),                                              HOLES, "number"),
    "CatBoost classes":        (cat("Classifier"),                                  HOLES, "two"),
    "histogram":               (hist(),                                             HOLES, "number"),
    "histogram absolute":      (hist(ways=WAYS, loss="absolute_error"),             X,     "number"),
    "histogram quantile":      (hist(ways=WAYS, loss="quantile", quantile=0.9),     X,     "number"),
    "forest":                  (forest(),                                           HOLES, "number"),
    "forest of classes":       (forest("RandomForestClassifier"),                   HOLES, "two"),
    "single tree":             (tree.DecisionTreeRegressor(),                       HOLES, "number"),
    "gradient boosting":       (ensemble.GradientBoostingRegressor(n_estimators=9), X,     "number"),
    "gradient boosted classes": (ensemble.GradientBoostingClassifier(n_estimators=9), X,   "two"),
}
SEVERAL = {
    # name                      model                                                rows   target  softmax
    "LightGBM":                (lgb("Classifier"),                                   HOLES, "three", True),
    "LightGBM one against all": (lgb("Classifier", objective="multiclassova"),       HOLES, "three", False),
    "XGBoost":                 (xgb("Classifier"),                                   HOLES, "three", True),
    "XGBoost linear":          (xgb("Classifier", booster="gblinear"),               X,     "three", True),
    "CatBoost":                (cat("Classifier"),                                   HOLES, "three", True),
    "CatBoost one against all": (cat("Classifier", loss_function="MultiClassOneVsAll"), HOLES, "three", False),
    "histogram":               (hist("Classifier"),                                  HOLES, "three", True),
    "gradient boosting":       (ensemble.GradientBoostingClassifier(n_estimators=5), X,     "three", True),
    "forest":                  (forest("RandomForestClassifier"),                    HOLES, "three", False),
}
# fmt: on


def fitted(model, rows, target):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own
        return model.fit(rows, TARGETS[target])


@pytest.mark.parametrize("name", PROVED)
def test_a_monotone_fit_is_read_faithfully_and_proved(name):
    model, rows, target = PROVED[name]
    model = fitted(model, rows, target)
    found = read(model)
    assert faithful(found, margins(model), rows, edges=1000)
    proof = prove(found, WAYS, rows=rows)
    assert proof.proved, proof.features
    assert proof.candidates == ()


@pytest.mark.parametrize("name", NOT_PROVED)
def test_another_fit_is_not_proved_and_a_candidate_falls_in_the_model(name):
    model, rows, target = NOT_PROVED[name]
    model = fitted(model, rows, target)
    found, score = read(model), margins(model)
    assert faithful(found, score, rows, edges=1000)
    proof = prove(found, WAYS, rows=rows)
    assert not proof.proved
    pair = proof.candidates[0]
    before, after = score(np.stack([pair.lower, pair.upper]))
    assert after < before
    assert before - after == pytest.approx(pair.drop, rel=1e-3)


@pytest.mark.parametrize("name", SEVERAL)
def test_each_class_has_its_own_column_and_a_softmax_is_refused(name):
    model, rows, target, softmax = SEVERAL[name]
    model = fitted(model, rows, target)
    for output in range(3):
        found = read(model, output, raw=True)
        assert faithful(found, margins(model, output, raw=True), rows, edges=300)
    with pytest.raises(Unreadable, match="3 outputs"):
        read(model)
    with pytest.raises(Unreadable, match="output=3"):
        read(model, 3)
    if softmax:
        with pytest.raises(Unreadable, match="share a softmax"):
            read(model, 1)
    else:
        assert read(model, 1) is not None


@pytest.mark.parametrize("model", [lgb("Classifier", WAYS), xgb("Classifier", WAYS), cat("Classifier", WAYS)])
def test_the_first_of_two_classes_is_minus_the_second(model):
    model = fitted(model, HOLES, "two")
    first = read(model, 0)
    assert faithful(first, margins(model, 0), HOLES, edges=300)
    np.testing.assert_allclose(first.predict(X), -read(model, 1).predict(X))
    assert prove(first, [-w for w in WAYS]).proved
    assert not prove(first, WAYS).proved


def test_what_is_absent_from_sparse_rows_breaks_xgboost_and_is_found():
    rng = np.random.default_rng(0)
    dense = (rng.random((1500, 12)) < 0.2).astype(float)
    labels = (dense[:, :6].sum(1) - dense[:, 6:].sum(1) + rng.normal(0, 0.5, 1500) > 0).astype(int)
    rows = sparse.csr_matrix(dense)
    options = {"monotone_constraints": (1,) * 12, "n_estimators": 20, "max_depth": 3, "n_jobs": 1}
    model = xgboost.XGBClassifier(**options).fit(rows, labels)
    found, absent = read(model), np.where(dense == 0, np.nan, dense)
    score = margins(model)
    assert faithful(found, score, absent)
    np.testing.assert_allclose(found.predict(absent), score(rows), rtol=1e-5, atol=1e-5)
    assert prove(found, 1, rows=absent).proved  # what is missing stays missing
    proof = prove(found, 1, missing="lowest", low=0, rows=absent)
    assert not proof.proved
    assert "filled in" in proof.features[-1].reason
    pair = proof.candidates[0]
    before, after = score(sparse.csr_matrix(np.nan_to_num(np.stack([pair.lower, pair.upper]))))
    assert after < before
    # Trained on the same rows with their zeros written out, and asked so, it is monotone.
    filled = read(xgboost.XGBClassifier(**options).fit(dense, labels))
    assert prove(filled, 1, missing="never").proved


def test_catboost_puts_missing_values_below_all_numbers():
    assert prove(read(fitted(cat(ways=WAYS), HOLES, "number")), [1, 0, 0, 0], missing="lowest").proved
    # A model that refuses missing values proves nothing about them.
    proof = prove(read(fitted(ensemble.GradientBoostingRegressor(), X, "number")), WAYS, missing="lowest")
    assert not proof.proved
    assert "refuses missing values" in proof.features[0].reason


def test_refitted_lightgbm_is_not_proved():
    model = fitted(lgb(ways=WAYS), X, "number").booster_
    labels = np.random.default_rng(3).normal(size=len(X))
    again = model.refit(X, labels, decay_rate=0.0, num_threads=1)
    assert prove(read(model), WAYS).proved
    assert faithful(read(again), margins(again), X, edges=300)
    assert not prove(read(again), WAYS).proved


def test_a_category_is_free_or_not_proved():
    codes = np.random.default_rng(2).integers(0, 6, len(X))
    rows = np.column_stack([X[:, :3], codes])
    target = Y + np.asarray([1, 4, 0, 2, 5, 3])[codes]
    model = lgb(ways=None, min_data_per_group=5).fit(rows, target, categorical_feature=[3])
    found = read(model)
    assert found.categories
    assert faithful(found, margins(model), rows)
    proof = prove(found, [0, 0, 0, 1])
    assert not proof.proved
    assert "categories, which have no order" in proof.features[0].reason
    constrained = read(lgb(ways=WAYS, min_data_per_group=5).fit(rows, target, categorical_feature=[3]))
    assert constrained.categories
    assert prove(constrained, WAYS).proved


def test_early_stopping_reads_the_trees_that_predict():
    half = len(X) // 2
    check, against = X[half:], -Y[half:]
    options = {"callbacks": [lightgbm.early_stopping(2, verbose=False)], "eval_X": check, "eval_y": against}
    stopped = [
        xgb(early_stopping_rounds=2).fit(X[:half], Y[:half], verbose=False, eval_set=[(check, against)]),
        lgb().fit(X[:half], Y[:half], **options),
    ]
    for model in stopped:
        found = read(model)
        assert found.trees < TREES
        assert faithful(found, margins(model), X, edges=300)
        np.testing.assert_allclose(found.predict(X), model.predict(X), rtol=1e-5)


def test_names_of_a_table_are_kept():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(X, columns=["age", "debt", "zip", "day"])
    for library in (lgb, xgb, cat, hist, forest):
        model = fitted(library(ways=WAYS), rows, "number")
        found = read(model)
        assert found.names == ("age", "debt", "zip", "day")
        assert faithful(found, margins(model), X, edges=100)
        assert prove(found, {"age": 1, "debt": -1}).proved


UNREADABLE = {
    # name                       model                                                    target    says
    "linear leaves":            (lambda: lgb(linear_tree=True), "number", "linear models"),
    "lopsided CatBoost":        (lambda: cat(grow_policy="Lossguide"), "number", "not symmetric"),
    "another first model":      (
        lambda: ensemble.GradientBoostingRegressor(n_estimators=2, init=tree.DecisionTreeRegressor()),
        "number",
        "starts from another model",
    ),
    "histogram categories":     (lambda: hist(categorical_features=[3]), "number", "splits by categories"),
    "XGBoost vectors":          (lambda: xgb(multi_strategy="multi_output_tree"), "pairs", "vectors"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_says_why(name):
    make, target, says = UNREADABLE[name]
    rows = np.column_stack([X[:, :3], np.round(9 * X[:, 3])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make().fit(rows, np.stack([Y, -Y], 1) if target == "pairs" else TARGETS[target])
    with pytest.raises(Unreadable, match=says):
        read(model, 0 if target == "pairs" else None)


def test_a_model_that_is_not_fitted_says_so():
    with pytest.raises(Unreadable, match="not fitted"):
        read(tree.DecisionTreeRegressor())


def test_a_subclass_from_elsewhere_is_not_known():
    class Mine(tree.DecisionTreeRegressor):
        def predict(self, rows):
            return -super().predict(rows)

    assert read(Mine().fit(X, Y)) is None


@pytest.mark.slow
def test_a_thousand_trees_of_depth_six_are_decided_within_a_minute():
    import time  # noqa: PLC0415

    rows, target = table(8000)
    for ways in (WAYS, None):
        model = lgb(ways=ways, n_estimators=1000, num_leaves=64, max_depth=6).fit(rows, target)
        start = time.perf_counter()
        found = read(model)
        assert faithful(found, margins(model), rows[:1000])
        proof = prove(found, WAYS, rows=rows[:1000])
        assert time.perf_counter() - start < 60
        assert proof.proved is (ways is not None)
        for pair in proof.candidates:
            before, after = model.predict(np.stack([pair.lower, pair.upper]))
            assert after < before
