"""isotone as a row of the table of models: its estimators as anyone would use them, and what they can prove.

The estimator gets the raw numbers and its own defaults first. It has no rounds to hand on: what it finds on the
training part (how long to train, say) it finds again on the whole.
"""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

from typing import Any

import numpy as np

from isotone.estimators._learn import FEW_ROWS

from .parts import Fitted, Model, Part, Setting


def verdict(model: object) -> dict[str, Any]:
    """What the estimator's own proof says, where it offers one."""
    prove = getattr(model, "certify", None)
    if prove is None:
        return {"verdict": "not offered"}
    found = prove()
    found = getattr(found, "verdict", found)
    return {"verdict": str(getattr(found, "value", found))}


def isotone(setting: Setting, part: Part) -> Fitted:
    from isotone.estimators import MonotoneClassifier, MonotoneRegressor

    kind = MonotoneClassifier if part.classes else MonotoneRegressor
    model = kind(monotonic_cst=part.ways.tolist(), random_state=part.seed, **setting)
    model.fit(part.X, part.y.astype(int) if part.classes else part.y)
    notes = verdict(model) if part.watch is None else {}

    def predict(X: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_proba(X)[:, 1] if part.classes else model.predict(X), dtype=np.float64)

    return Fitted(predict, None, notes)


# With few rows the estimator itself chooses by folds, and a choice beside that on a fifth of the rows cost more by luck
# than it brought on the sets for development, as did settings drawn at random on many rows.
OTHERS: list[Setting] = [
    {"hidden": (64, 64, 64), "members": 4, "dropout": 0.2},
    {"stretches": 16, "members": 4},
    {"weight_decay": 1.0, "members": 4},
    {"teacher": 0.5},
    {"teacher": 1.0, "hidden": (32, 32), "members": 4},
]
MODELS = [
    Model("isotone", True, isotone, {}, {}, ("isotone.estimators",), ours=True, fixed=OTHERS, chooses=FEW_ROWS),
]
