"""isotone as a row of the table of models: its estimators as anyone would use them, and what they can prove.

The estimator gets the raw numbers and its own defaults first. It has no rounds to hand on: what it finds on the
training part (how long to train, say) it finds again on the whole.
"""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

from typing import Any

import numpy as np

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


SPACE = {
    "learning_rate": [3e-3, 1e-2, 2e-2],
    "hidden": ["auto", (), (16, 16), (32, 32), (64, 64), (128, 128)],
    "embedding": ["auto", (16, 8)],
    "stretches": ["auto", 1, 2, 4, 8, 16],
    "weight_decay": [0.03, 0.3, 3.0],
    "epochs": ["auto", 20, 40, 120],
    "dropout": [0.0, 0.1, 0.3],
}
MODELS = [
    Model(
        "isotone",
        True,
        isotone,
        {},
        SPACE,
        ("isotone.estimators",),
        ours=True,
        fixed=[{"stretches": 1}, {"hidden": (32, 32), "epochs": 20}],
    )
]
