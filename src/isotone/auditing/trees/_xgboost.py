"""XGBoost's trees (gbtree, dart) and linear models, from the JSON in which it saves a model.

Numbers go left when they are `<` the threshold, in float32; missing ones take the branch that was learned for them,
which no monotone constraint covers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import require
from ._ensemble import Ensemble, Floats, Unreadable, build, known_link
from ._output import pick

# An objective that is not here gives no proof: what it does to the sum of the trees is not known.
LINKS = {
    **dict.fromkeys(
        ["reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror"], "identity"
    ),
    **dict.fromkeys(["reg:quantileerror", "reg:expectileerror", "reg:linear", "binary:logitraw"], "identity"),
    **dict.fromkeys(["rank:ndcg", "rank:map", "rank:pairwise"], "identity"),
    **dict.fromkeys(["binary:logistic", "reg:logistic"], "logistic"),
    **dict.fromkeys(["count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"], "exp"),
    **dict.fromkeys(["multi:softmax", "multi:softprob"], "softmax"),
    "binary:hinge": "step",
}
TO_MARGIN: dict[str, Callable[[float], float]] = {"logistic": lambda p: -math.log(1.0 / p - 1.0), "exp": math.log}


def read(model: Any, output: int | None) -> tuple[Ensemble, Callable[[Any], Floats]]:
    """One column, and XGBoost's own margin of it."""
    xgboost = require("xgboost", "audited")
    booster, missing = _booster(model)
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective, facts = learner["objective"]["name"], learner["learner_model_param"]
    link, features = known_link(LINKS, objective), int(facts["num_feature"])
    columns = max(int(facts["num_class"]), int(facts.get("num_target", 1)), 1)
    column, sign = pick(columns, output, classes=objective.startswith(("binary:", "multi:")))
    names = booster.feature_names or [f"feature {i}" for i in range(features)]
    special = None if math.isnan(missing) else float(np.float32(missing))
    machine = learner["gradient_booster"]
    trees, slopes, base = [], None, _base(facts["base_score"], column, link)
    if machine["name"] == "gblinear":
        weights = np.asarray(machine["model"]["weights"], dtype=np.float32).reshape(features + 1, columns)
        slopes = weights[:-1, column].astype(np.float64)
        # The linear predictor (3.2) adds the first output's base score to every output.
        base = _base(facts["base_score"], 0, link) + float(weights[-1, column])
        if special not in {None, 0.0}:
            raise Unreadable(f"a linear model for which the number {special} is missing")
    else:
        # dart multiplies each tree by a weight of its own.
        factors = machine.get("weight_drop")
        forest = machine.get("gbtree", machine)["model"]
        for i, (tree, group) in enumerate(zip(forest["trees"], forest["tree_info"], strict=True)):
            if group == column:
                factor = 1.0 if factors is None else float(np.float32(factors[i]))
                trees.append(_tree(tree, special is not None, factor))
    ensemble = build(
        f"XGBoost {type(model).__name__}",
        features,
        names,
        trees,
        strict=True,
        missing_numbers=(0.0, 0.0) if special is None else (special, special),
        base=base,
        slopes=slopes,
        inputs="float32",
        sums="float32",
        link=link,
        output="the margin" if columns == 1 else f"the margin of output {column}",
    )

    def rows(X: Any) -> Floats:
        matrix = xgboost.DMatrix(X, missing=missing, feature_names=booster.feature_names, nthread=1)
        scores = booster.predict(matrix, output_margin=True, validate_features=False)
        scores = np.asarray(scores, dtype=np.float64)
        return sign * (scores if scores.ndim == 1 else scores[:, column])

    return ensemble if sign > 0 else ensemble.negated(), rows


def _booster(model: Any) -> tuple[Any, float]:
    """The booster that predicts, cut at its best round as the estimator does, and which number is missing."""
    if not hasattr(model, "get_booster"):
        return model, math.nan
    booster = model.get_booster()
    missing = math.nan if model.missing is None else float(model.missing)
    # Only a round found by early stopping is used by the estimators; a bare Booster uses all rounds.
    try:
        best = int(model.best_iteration)
    except AttributeError:
        return booster, missing
    return booster[: best + 1], missing


def _tree(tree: dict[str, Any], special: bool, factor: float) -> dict[str, Any]:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise Unreadable("its leaves hold vectors (multi_output_tree)")
    left = np.asarray(tree["left_children"], dtype=np.int64)
    inner = left >= 0
    if any(np.asarray(tree["split_type"])[inner] != 0):
        raise Unreadable("it splits by categories, which isotone does not read from XGBoost")
    # The JSON holds the shortest decimals that name the float32 numbers.
    numbers = np.asarray(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    return {
        "feature": np.where(inner, np.asarray(tree["split_indices"], dtype=np.int64), -1),
        "threshold": np.where(inner, numbers, 0.0),
        "left": left,
        "right": np.asarray(tree["right_children"], dtype=np.int64),
        "missing_left": np.asarray(tree["default_left"]) != 0,
        "special": inner & special,
        "value": np.where(inner, 0.0, numbers),
        "weight": factor,
    }


def _base(text: str, column: int, link: str) -> float:
    """The base score as a margin; it is stored as a response, per output or once for all."""
    scores = [float(word) for word in text.strip("[]").split(",")]
    score = scores[column if len(scores) > 1 else 0]
    return float(np.float32(TO_MARGIN.get(link, float)(score)))
