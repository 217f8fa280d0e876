"""CatBoost's symmetric trees, from the JSON in which it saves a model.

A number above a border sets a bit; the bits number the leaf. The same split is made at every node of a level.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ._ensemble import Ensemble, Floats, Unreadable, build, known_link
from ._output import pick

# A loss that is not here gives no proof: what it does to the sum of the trees is not known.
LINKS = {
    **dict.fromkeys(["RMSE", "MAE", "Quantile", "MultiQuantile", "Huber", "Expectile", "MAPE", "Lq"], "identity"),
    **dict.fromkeys(["LogCosh", "MultiRMSE", "RMSEWithUncertainty", "QueryRMSE", "YetiRank"], "identity"),
    **dict.fromkeys(["Logloss", "CrossEntropy", "MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy"], "logistic"),
    **dict.fromkeys(["Poisson", "Tweedie"], "exp"),
    "MultiClass": "softmax",
}
CLASSES = {"Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll"}


def read(model: Any, output: int | None) -> tuple[Ensemble, Callable[[Any], Floats]]:
    """One column, and CatBoost's own raw value of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        facts = json.loads(path.read_text())
    if "oblivious_trees" not in facts:
        raise Unreadable("its trees are not symmetric (grow_policy), which isotone does not read")
    floats = facts["features_info"].get("float_features", [])
    if any(
        facts["features_info"].get(kind) for kind in ("categorical_features", "text_features", "embedding_features")
    ):
        raise Unreadable("it has categorical, text or embedding features, which isotone does not read from CatBoost")
    loss = facts["model_info"].get("params", {}).get("loss_function", {}).get("type", "")
    scale, bias = facts["scale_and_bias"]
    biases = bias if isinstance(bias, list) else [bias]
    columns = _columns(facts["oblivious_trees"], biases)
    column, sign = pick(columns, output, loss in CLASSES)
    # NaN is below every border unless it was told to be above all.
    nan_above = {f["feature_index"]: f["nan_value_treatment"] == "AsTrue" for f in floats}
    flat = {f["feature_index"]: f["flat_feature_index"] for f in floats}
    ensemble = build(
        f"CatBoost {type(model).__name__}",
        len(model.feature_names_),
        model.feature_names_,
        [
            _tree(t, columns, column, nan_above=nan_above, flat=flat, scale=float(scale))
            for t in facts["oblivious_trees"]
        ],
        base=float(biases[column if len(biases) > 1 else 0]),
        inputs="float32",
        link=known_link(LINKS, loss),
        output="the raw value" if columns == 1 else f"the raw value of output {column}",
    )

    def rows(X: Any) -> Floats:
        scores = np.asarray(model.predict(X, prediction_type="RawFormulaVal", thread_count=1), dtype=np.float64)
        return sign * (scores if scores.ndim == 1 else scores[:, column])

    return ensemble if sign > 0 else ensemble.negated(), rows


def _columns(trees: list[dict[str, Any]], biases: list[float]) -> int:
    if not trees:
        return len(biases)
    leaves: int = 2 ** len(trees[0]["splits"] or [])
    return len(trees[0]["leaf_values"]) // leaves


def _tree(
    tree: dict[str, Any], columns: int, column: int, *, nan_above: dict[int, bool], flat: dict[int, int], scale: float
) -> dict[str, Any]:
    splits = tree["splits"] or []
    if any(s["split_type"] != "FloatFeature" for s in splits):
        raise Unreadable("a split is not on a number")
    depth = len(splits)
    inner = 2**depth - 1
    # A heap: node i has children 2i+1 and 2i+2. Its level splits by the highest bit left, so that leaves come in order.
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    order = splits[::-1]
    feature = [order[d]["float_feature_index"] for d in level]
    pad = np.zeros(2**depth)
    node = np.arange(inner)
    return {
        "feature": np.concatenate([np.asarray([flat[f] for f in feature]), pad - 1]),
        "threshold": np.concatenate([np.asarray([np.float32(order[d]["border"]) for d in level]), pad]),
        "left": np.concatenate([2 * node + 1, pad - 1]),
        "right": np.concatenate([2 * node + 2, pad - 1]),
        "missing_left": np.concatenate([np.asarray([not nan_above[f] for f in feature], dtype=bool), pad != 0]),
        "value": np.concatenate([np.zeros(inner), np.asarray(tree["leaf_values"])[column::columns]]),
        "weight": scale,
    }
