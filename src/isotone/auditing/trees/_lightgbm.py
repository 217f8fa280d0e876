"""LightGBM's trees, from the text in which it saves a model: arrays at 17 digits, which name every double.

Source: `src/io/tree.cpp` (ToString) and `include/LightGBM/tree.h` (NumericalDecision, CategoricalDecision).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._ensemble import Ensemble, Floats, Unreadable, build, known_link
from ._output import pick

CATEGORICAL, DEFAULT_LEFT = 1, 2
NO_MISSING, ZERO_MISSING, NAN_MISSING = 0, 1, 2
# tree.h: IsZero(x) is x in [-1e-35f, 1e-35f].
ZERO = float(np.float32(1e-35))

# An objective that is not here gives no proof: what it does to the sum of the trees is not known.
LINKS = {
    **dict.fromkeys(["regression", "regression_l2", "regression_l1", "huber", "fair", "quantile", "mape"], "identity"),
    **dict.fromkeys(["lambdarank", "rank_xendcg", "none", "custom"], "identity"),
    **dict.fromkeys(["binary", "cross_entropy", "multiclassova"], "logistic"),
    **dict.fromkeys(["poisson", "gamma", "tweedie"], "exp"),
    "cross_entropy_lambda": "log1p exp",
    "multiclass": "softmax",
}


def read(model: Any, output: int | None) -> tuple[Ensemble, Callable[[Any], Floats]]:
    """One column, and LightGBM's own raw score of it."""
    booster = getattr(model, "booster_", model)
    head, *blocks = booster.model_to_string().split("\nTree=")
    facts = _facts(head)
    objective = facts.get("objective", "none").split(" ")
    classes = objective[0] in {"binary", "multiclass", "multiclassova"}
    columns = int(facts["num_tree_per_iteration"])
    column, sign = pick(columns, output, classes)
    trees = [_tree(_facts(block.split("\nend of trees")[0])) for block in blocks[column::columns]]
    # In random forest mode `predict` divides by the number of trees and the raw score does not.
    link = known_link(LINKS, objective[0])
    if objective[0] == "regression" and "sqrt" in objective:
        link = "square with sign"
    if any(float(word.removeprefix("sigmoid:")) <= 0 for word in objective if word.startswith("sigmoid:")):
        raise Unreadable("its sigmoid parameter is not positive")
    names = booster.feature_name()
    ensemble = build(
        f"LightGBM {type(model).__name__}",
        len(names),
        names,
        trees,
        missing_numbers=(-ZERO, ZERO),
        link=link,
        output="the raw score" if columns == 1 else f"the raw score of output {column}",
    )

    def rows(X: Any) -> Floats:
        scores = np.asarray(booster.predict(X, raw_score=True), dtype=np.float64)
        return sign * (scores if scores.ndim == 1 else scores[:, column])

    return ensemble if sign > 0 else ensemble.negated(), rows


def _facts(block: str) -> dict[str, str]:
    lines = (line.split("=", 1) for line in block.split("\n") if "=" in line)
    return {name: value for name, value in lines}  # noqa: C416 - pairs of two


def _tree(facts: dict[str, str]) -> dict[str, Any]:
    def numbers(name: str, dtype: Any) -> Any:
        return np.asarray([float(w) for w in facts.get(name, "").split()]).astype(dtype)

    if facts.get("is_linear", "0").strip() != "0":
        raise Unreadable("its leaves hold linear models (linear_tree), whose slopes no monotone constraint covers")
    values = numbers("leaf_value", np.float64)
    leaves = len(values)
    inner = leaves - 1
    feature, threshold = numbers("split_feature", np.int64), numbers("threshold", np.float64)
    kind = numbers("decision_type", np.int64)
    if not (len(feature) == len(threshold) == len(kind) == inner):
        raise Unreadable("a tree's arrays differ in length")

    # Inner nodes first (the root is 0), then leaves; a negative child -k-1 is leaf k.
    def children(name: str) -> Any:
        child = numbers(name, np.int64)
        return np.concatenate([np.where(child >= 0, child, inner + ~child), np.full(leaves, -1)])

    missing = (kind >> 2) & 3
    categorical = (kind & CATEGORICAL) != 0
    threshold = np.where(categorical, threshold, _of_the_numbers_as_they_come(threshold))
    # Without a missing type NaN is read as 0.0; a category split sends NaN right.
    nan_left = np.where(missing == NO_MISSING, threshold >= 0.0, (kind & DEFAULT_LEFT) != 0) & ~categorical
    pad = np.zeros(leaves)
    return {
        "feature": np.concatenate([feature, pad - 1]),
        "threshold": np.concatenate([threshold, pad]),
        "left": children("left_child"),
        "right": children("right_child"),
        "missing_left": np.concatenate([nan_left, pad != 0]),
        "special": np.concatenate([(missing == ZERO_MISSING) & ~categorical, pad != 0]),
        "value": np.concatenate([np.zeros(inner), values]),
        "categories": _categories(facts, np.flatnonzero(categorical), threshold),
    }


def _of_the_numbers_as_they_come(threshold: Any) -> Any:
    """LightGBM reads |x| <= ZERO as 0 before its trees see it: the thresholds that part all numbers alike without that.

    All of [-ZERO, ZERO] goes where 0 goes: right of a threshold in [-ZERO, 0), left of one in [0, ZERO].
    """
    tiny = np.abs(threshold) <= ZERO
    return np.where(tiny, np.where(threshold < 0, np.nextafter(-ZERO, -np.inf), ZERO), threshold)


def _categories(facts: dict[str, str], nodes: Any, threshold: Any) -> dict[int, Any]:
    """The bit sets of category splits: node -> categories that go left."""
    if not len(nodes):
        return {}
    bounds = [int(w) for w in facts["cat_boundaries"].split()]
    words = np.asarray([int(w) for w in facts["cat_threshold"].split()], dtype=np.uint32)
    out = {}
    for node in nodes:
        which = int(threshold[node])
        bits = np.unpackbits(words[bounds[which] : bounds[which + 1]].view(np.uint8), bitorder="little")
        out[int(node)] = np.flatnonzero(bits)
    return out
