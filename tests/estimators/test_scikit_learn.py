"""The estimators are scikit-learn estimators: its own checks, copies, pipelines, searches, and clear refusals."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import isotone
from isotone.errors import BadInput, IsotoneError, NoMatch

from .small import classifier, regressor, table

BOTH = [pytest.param(regressor, id="regressor"), pytest.param(classifier, id="classifier")]


def labels(y):
    return np.where(y > np.median(y), "good", "bad")


def fitted(make, monotonic_cst=(1, -1, 0), **settings):
    X, y = table()
    return make(monotonic_cst, **settings).fit(X, y if make is regressor else labels(y))


def conforms(estimator):
    """None of its checks fails; the one that needs SCIPY_ARRAY_API in the environment is skipped by scikit-learn."""
    checks = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {check["check_name"]: str(check["exception"]) for check in checks if check["status"] == "failed"}
    skipped = {check["check_name"] for check in checks if check["status"] == "skipped"}
    return failed == {} and skipped <= {"check_array_api_input"} and len(checks) > 50


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(
    "model", [pytest.param(isotone.MonotoneRegressor, marks=pytest.mark.slow), isotone.MonotoneClassifier]
)
def test_scikit_learn_has_nothing_against_the_estimators(model):
    assert conforms(model(epochs=60, members=1, hidden=(32, 32), embedding=(16, 8)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("model", [isotone.MonotoneRegressor, isotone.MonotoneClassifier])
@pytest.mark.parametrize("settings", [{}, {"missing": "outside"}], ids=["defaults", "other"])
def test_scikit_learn_has_nothing_against_the_defaults(model, settings):
    """Without warm_start: one check fits twice and wants the same numbers, of scikit-learn's own estimators in vain."""
    assert conforms(model(**settings))


class Held:
    """Every feature is held to the way that it goes with a single output.

    scikit-learn's checks come with tables of any width, which no array of directions fits, and ask for a score that
    directions chosen without looking could not reach. Several outputs share one direction a feature: they stay free.
    """

    def _fit(self, X, y, weight, loss, stratify=None):
        dense = np.nan_to_num(X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=float))
        counted = np.ones(len(dense)) if weight is None else np.asarray(weight, dtype=float)
        dense = dense - np.average(dense, axis=0, weights=counted)
        together = (counted[:, None] * dense * (y[:, :1] - np.average(y[:, 0], weights=counted))).sum(0)
        clear = np.abs(together) > 1e-6 * counted.sum()
        self._ways = tuple((np.sign(together) * clear * (y.shape[1] == 1)).astype(int).tolist())
        return super()._fit(X, y, weight, loss, stratify)

    def _directions(self, width):
        return self._ways


class HeldRegressor(Held, isotone.MonotoneRegressor):
    pass


class HeldClassifier(Held, isotone.MonotoneClassifier):
    pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("model", [HeldRegressor, HeldClassifier])
def test_scikit_learn_has_nothing_against_the_estimators_with_directions(model):
    X, y = table()
    one = model().fit(X, y if model is HeldRegressor else labels(y))
    assert any(one._directions(3))
    assert one.certify().verdict.name == "PROVED"
    assert conforms(model())


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda model: pickle.loads(pickle.dumps(model)), id="pickle"),
    ],
)
def test_a_copy_predicts_the_same(make, copied):
    model = fitted(make)
    X, _ = table()
    assert np.array_equal(copied(model).predict(X), model.predict(X))


@pytest.mark.parametrize("make", BOTH)
def test_a_clone_has_the_settings_and_nothing_fitted(make):
    model = fitted(make)
    twin = clone(model)
    assert str(twin.get_params()) == str(model.get_params())
    with pytest.raises(NotFittedError):
        twin.predict(table()[0])


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("method", ["predict", "certify", "save"])
def test_what_needs_a_fit_says_so(make, method, tmp_path):
    given = {"predict": (table()[0],), "certify": (), "save": (tmp_path / "model",)}[method]
    with pytest.raises(NotFittedError):
        getattr(make(), method)(*given)


@pytest.mark.parametrize("make", BOTH)
def test_the_same_seed_gives_the_same_model_and_leaves_torch_alone(make):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = fitted(make), fitted(make)
    assert torch.equal(torch.rand(3), expected)
    X, _ = table()
    assert np.array_equal(first.predict(X), second.predict(X))
    other = fitted(make, random_state=1)
    assert any(
        not np.array_equal(a.detach(), b.detach())
        for a, b in zip(first.network_.parameters(), other.network_.parameters(), strict=True)
    )


def test_pipelines_and_searches_take_the_estimators():
    X, y = table()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), regressor((1, -1, 0))), {"monotoneregressor__weight_decay": [0.0, 0.1]}, cv=2
    ).fit(X, y)
    assert search.best_score_ > 0
    assert cross_val_score(classifier((1, -1, 0)), X, labels(y), cv=2).mean() > 0.6


FRAME = pd.DataFrame({"a": [0.0, 1, 2], "b": [0.0, 1, 2]})
ROWS = np.array([[1.0, 2], [2, 3], [3, 4]])
WRONG = {
    "one direction too many": ([1, 0, -1], ROWS, BadInput, r"monotonic_cst.*\(3,\).*2 features"),
    "a matrix of directions": ([[1, 0]], ROWS, BadInput, r"monotonic_cst.*\(1, 2\)"),
    "a 3": ([1, 3], ROWS, BadInput, "3 came"),
    "a -3": ([1, -3], ROWS, BadInput, "-3 came"),
    "parts": ([0.3, -0.7], ROWS, BadInput, "-0.7, 0.3 came"),
    "names on rows without names": ({"a": 1}, ROWS, BadInput, "not fitted on data with feature names"),
    "a word": ({"b": -1, "a": "+"}, FRAME, BadInput, r"\+ came"),
    "an unknown name": ({"d": 1, "a": 1}, FRAME, NoMatch, "'d' matches no feature"),
    "a glob for nothing": ({"late_*": 1}, FRAME, NoMatch, r"'late_\*' matches no feature"),
    "none fits of many": (dict.fromkeys("cdefghijkl", 1), FRAME, NoMatch, "'c' matches no feature"),
}


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(("cst", "X", "error", "sentence"), WRONG.values(), ids=WRONG)
def test_directions_that_do_not_fit_give_one_sentence(make, cst, X, error, sentence):
    """The cases of scikit-learn's test_input_error and test_input_error_related_to_feature_names."""
    with pytest.raises(error, match=sentence) as caught:
        make(cst).fit(X, [0, 1, 0])
    assert len(str(caught.value).splitlines()) == 1


SETTINGS = {
    "no epochs": (BOTH, {"epochs": 0}, "epochs"),
    "half an epoch": (BOTH, {"epochs": 0.5}, "epochs"),
    "no members": (BOTH, {"members": 0}, "members"),
    "a word for widths": (BOTH, {"hidden": "wide"}, "hidden"),
    "one width, bare": (BOTH, {"hidden": 16}, "hidden"),
    "a layer of nothing": (BOTH, {"embedding": (8, 0)}, "embedding"),
    "a word for stretches": (BOTH, {"stretches": "many"}, "stretches"),
    "no speed": (BOTH, {"learning_rate": 0}, "learning_rate"),
    "backwards": (BOTH, {"learning_rate": -1.0}, "learning_rate"),
    "no batch": (BOTH, {"batch_size": 0}, "batch_size"),
    "growing weights": (BOTH, {"weight_decay": -0.1}, "weight_decay"),
    "everything dropped": (BOTH, {"dropout": 1.0}, "dropout"),
    "another place": (BOTH, {"missing": "middle"}, "missing"),
    "a place by column": (BOTH, {"missing": {0: "middle"}}, "missing"),
    "a maybe": (BOTH, {"early_stopping": "maybe"}, "early_stopping"),
    "a column that is not there": (BOTH, {"categorical_features": [7]}, "categorical_features"),
    "an order for no column": (BOTH, {"category_orders": {"a": ["x"]}}, "category_orders"),
    "another loss": (BOTH[:1], {"loss": "cubic"}, "loss"),
    "a level of 1": (BOTH[:1], {"loss": "quantile", "quantile": 1.0}, "quantile"),
    "bounds the wrong way": (BOTH[:1], {"low": 1.0, "high": 0.0}, "low"),
    "another calibration": (BOTH[1:], {"calibration": "beta"}, "calibration"),
}


@pytest.mark.parametrize(
    ("make", "settings", "word"),
    [
        pytest.param(*make.values, settings, word, id=f"{make.id}: {name}")
        for name, (models, settings, word) in SETTINGS.items()
        for make in models
    ],
)
def test_a_bad_setting_gives_one_sentence_that_names_it(make, settings, word):
    with pytest.raises(IsotoneError, match=word) as caught:
        make(**settings).fit(ROWS, [0, 1, 0])
    assert len(str(caught.value).splitlines()) == 1
