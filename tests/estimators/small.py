"""Small tables, small estimators, and what it means that predictions are ordered."""

from __future__ import annotations

from typing import Any

import numpy as np

import isotone

QUICK: dict[str, Any] = {
    "epochs": 25,
    "members": 2,
    "hidden": (16, 16),
    "embedding": (16, 8),
    "stretches": 8,
    "random_state": 0,
    "device": "cpu",
}


def regressor(monotonic_cst: Any = None, **settings: Any) -> isotone.MonotoneRegressor:
    return isotone.MonotoneRegressor(monotonic_cst, **{**QUICK, **settings})


def classifier(monotonic_cst: Any = None, **settings: Any) -> isotone.MonotoneClassifier:
    return isotone.MonotoneClassifier(monotonic_cst, **{**QUICK, **settings})


def table(rows: int = 120, *, columns: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, and a target that mostly rises with the first, falls with the second and waves in the third."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns))
    y = X[:, 0] + np.sin(3 * X[:, 0]) - X[:, 1] + np.sin(4 * X[:, 2]) + 0.1 * rng.normal(size=rows)
    return X, y


def waves(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The table of XGBoost's tutorial, which LightGBM and scikit-learn test with: two columns in [0, 1]."""
    rng = np.random.RandomState(seed)
    X = rng.rand(rows, 2)
    wave = np.sin(10 * np.pi * X[:, 0]) - np.cos(10 * np.pi * X[:, 1])
    return X, 5 * X[:, 0] - 5 * X[:, 1] + wave + rng.normal(0, 0.01, rows)


def pairs(X: np.ndarray, directions: Any, *, rows: int = 200, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and rows no lower in their order: some columns moved along their directions, by little or by a lot."""
    rng = np.random.default_rng(seed)
    low = X[rng.integers(len(X), size=rows)]
    step = rng.exponential(size=low.shape) * 10.0 ** rng.integers(-6, 4, size=low.shape)
    step *= rng.random(low.shape) < 0.5
    return low, low + np.asarray(directions) * step


def ordered(predict: Any, low: Any, high: Any) -> bool:
    """Whether no output falls from low to high, exactly, all scored in one call."""
    found = np.asarray(predict(np.concatenate([low, high])), dtype=np.float64)
    return bool((found[len(low) :] >= found[: len(low)]).all())


def proved(model: Any) -> bool:
    return model.certify().verdict.name == "PROVED"


def two(y: np.ndarray) -> np.ndarray:
    """The upper half of the targets, as a class."""
    return (y > np.median(y)).astype(int)
