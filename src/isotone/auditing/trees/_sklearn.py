"""scikit-learn's trees: single ones, forests, gradient boosting and histogram boosting, from their node arrays.

Trees and forests cast rows to float32 and compare with float64 thresholds; histogram boosting compares in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._ensemble import Ensemble, Floats, Unreadable, build
from ._output import pick

Column = tuple[Ensemble, Callable[[Any], Floats]]


def tree(model: Any, output: int | None) -> Column:
    """A single tree."""
    return _average(model, [model], output)


def forest(model: Any, output: int | None) -> Column:
    """The mean of trees; of class shares for a classifier, so one class needs no softmax."""
    return _average(model, list(model.estimators_), output)


def _average(model: Any, members: list[Any], output: int | None) -> Column:
    classes = hasattr(model, "classes_")
    if classes and not isinstance(model.n_classes_, int | np.integer):
        raise Unreadable("it has several label columns")
    columns = int(model.n_classes_) if classes else int(model.n_outputs_)
    # A classifier's shares stand in columns already: two classes are two columns, the positive one is 1.
    column, _ = pick(columns, 1 if classes and columns == 2 and output is None else output, False)
    trees = [_nodes(member.tree_, column, not classes) | {"weight": 1.0 / len(members)} for member in members]
    ensemble = build(
        f"scikit-learn {type(model).__name__}",
        int(model.n_features_in_),
        getattr(model, "feature_names_in_", None),
        trees,
        inputs="float32",
        takes_missing=_takes_missing(model),
        output=f"the share of class {column}" if classes else "the mean" if columns == 1 else f"the mean {column}",
    )

    def rows(X: Any) -> Floats:
        scores = np.asarray(model.predict_proba(X) if classes else model.predict(X), dtype=np.float64)
        return scores if scores.ndim == 1 else scores[:, column]

    return ensemble, rows


def _nodes(nodes: Any, column: int, regression: bool) -> dict[str, Any]:
    inner = nodes.children_left >= 0
    values = nodes.value[:, column, 0] if regression else nodes.value[:, 0, column]
    default = getattr(nodes, "missing_go_to_left", np.zeros(nodes.node_count))
    return {
        "feature": np.where(inner, nodes.feature, -1),
        "threshold": np.where(inner, nodes.threshold, 0.0),
        "left": nodes.children_left,
        "right": nodes.children_right,
        "missing_left": np.asarray(default) != 0,
        "value": np.where(inner, 0.0, values),
    }


def _takes_missing(model: Any) -> bool:
    members = getattr(model, "estimators_", [model])
    try:
        return bool(members[0]._support_missing_values(np.zeros((1, model.n_features_in_), dtype=np.float32)))
    except AttributeError:
        return False


def gradient_boosting(model: Any, output: int | None) -> Column:
    """A constant, plus the learning rate times a sum of regression trees."""
    columns = model.estimators_.shape[1]
    classes = hasattr(model, "classes_")
    column, sign = pick(columns, output, classes)
    if not (isinstance(model.init_, str) or type(model.init_).__name__ in {"DummyClassifier", "DummyRegressor"}):
        raise Unreadable(f"it starts from another model ({type(model.init_).__name__}), which isotone does not read")
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))
    weight = float(model.learning_rate)
    ensemble = build(
        f"scikit-learn {type(model).__name__}",
        int(model.n_features_in_),
        getattr(model, "feature_names_in_", None),
        [_nodes(row[column].tree_, 0, True) | {"weight": weight} for row in model.estimators_],
        base=float(np.asarray(start)[0, column]),
        inputs="float32",
        link=("softmax" if columns > 1 else "logistic") if classes else "identity",
        takes_missing=False,
    )

    def rows(X: Any) -> Floats:
        # The range check of scikit-learn's own predict: rows are float32 before the trees see them.
        return sign * np.asarray(model._raw_predict(_float32(X)), dtype=np.float64)[:, column]

    return ensemble if sign > 0 else ensemble.negated(), rows


def _float32(X: Any) -> Any:
    return X.astype(np.float32) if hasattr(X, "astype") else np.asarray(X, dtype=np.float32)


def histogram_boosting(model: Any, output: int | None) -> Column:
    """Histogram boosting; its private node arrays hold the real thresholds."""
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise Unreadable("it splits by categories, which isotone does not read from scikit-learn")
    classes = hasattr(model, "classes_")
    columns = len(model._predictors[0]) if model._predictors else 1
    column, sign = pick(columns, output, classes)
    name = type(model._loss.link).__name__
    ensemble = build(
        f"scikit-learn {type(model).__name__}",
        int(model.n_features_in_),
        getattr(model, "feature_names_in_", None),
        [_histogram_tree(row[column].nodes) for row in model._predictors],
        base=float(np.asarray(model._baseline_prediction).reshape(-1)[column]),
        link={"IdentityLink": "identity", "LogLink": "exp", "LogitLink": "logistic"}.get(name, "softmax"),
    )

    def rows(X: Any) -> Floats:
        return sign * np.asarray(model._raw_predict(X, n_threads=1), dtype=np.float64)[:, column]

    return ensemble if sign > 0 else ensemble.negated(), rows


def _histogram_tree(nodes: Any) -> dict[str, Any]:
    inner = nodes["is_leaf"] == 0
    if nodes["is_categorical"][inner].any():
        raise Unreadable("it splits by categories, which isotone does not read from scikit-learn")
    # A threshold of +inf (all numbers left, NaN right) stays as it is.
    return {
        "feature": np.where(inner, nodes["feature_idx"], -1),
        "threshold": np.where(inner, nodes["num_threshold"], math.inf),
        "left": nodes["left"].astype(np.int64),
        "right": nodes["right"].astype(np.int64),
        "missing_left": nodes["missing_go_to_left"] != 0,
        "value": np.where(inner, 0.0, nodes["value"]),
    }
