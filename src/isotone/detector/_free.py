"""The free lane: any classifier, asked for one number a row.

- a classifier that is handed in is copied and fitted; one in `sklearn.frozen.FrozenEstimator` is used as it is;
- what it is asked for never saturates: log-odds, or the margin itself where the model has one;
- no floor stands on it, so it may be anything; only what can be written without pickle can be saved.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from ..attack import Moves
from ..auditing.trees import Unreadable, margins
from ..auditing.trees import additions_needed as of_trees
from ..bounds import Needed
from ..errors import BadInput, require
from ..estimators import MonotoneClassifier

Scores = NDArray[np.float64]
_FEW = 200
# Beyond this, numbers overflow in float32 or when they are squared, and a lane refuses the row or says NaN.
_MOST = 1e30
_BLOCK = 8192


def fitted(model: Any, X: Any, y: NDArray[np.int64], seed: int) -> Any:
    """A free lane, fitted: "auto" is LightGBM where it is installed, else a network without directions."""
    if isinstance(model, str):
        if model != "auto":
            raise BadInput("free", f"{model!r} came", "'auto', a classifier, or None for a floor that stands alone")
        # A booster cuts dense rows into other bins than sparse ones; the same rows are to give the same detector.
        model, X = _automatic(len(y), seed), require("scipy.sparse", "tables").csr_matrix(X)
    if (
        isinstance(model, type)
        or not hasattr(model, "fit")
        or not (hasattr(model, "predict_proba") or hasattr(model, "decision_function"))
    ):
        raise BadInput(
            "free",
            f"the class {model.__name__} came" if isinstance(model, type) else f"{type(model).__name__} came",
            "a classifier with fit and predict_proba or decision_function is right",
        )
    own = clone(model)
    return own.fit(_seen(X, own), y)


def check_columns(model: Any, names: Sequence[str]) -> None:
    """A lane that was fitted before is given columns by place; names that it knows must stand there.

    Raises:
        BadInput: it was fitted to other columns, or to these in another order.
    """
    known = getattr(model, "feature_names_in_", None) if frozen(model) else None
    known = None if known is None else [str(name) for name in known]
    if known is None or known == [f"Column_{j}" for j in range(len(known))] or known == list(names):
        return
    first = next((j for j, (a, b) in enumerate(zip(known, names, strict=False)) if a != b), min(len(known), len(names)))
    raise BadInput(
        "free",
        f"a lane fitted to {len(known)} columns came, and column {first + 1} of these {len(names)} is another",
        f"the same columns in the same order are right: {', '.join(known[:8])}",
    )


def _seen(X: Any, model: Any) -> Any:
    """Rows as the lane is given them: within what it can compute with, and for XGBoost dense.

    XGBoost takes what a sparse row does not store for missing, and the same row would have two scores.
    """
    sparse = hasattr(X, "indptr")
    if sparse and _kind(model) == "xgboost":
        return _seen(X.toarray(), model)
    if not _far(X):
        return X
    if not sparse:
        return X.clip(-_MOST, _MOST)
    X = X.copy()
    X.data = X.data.clip(-_MOST, _MOST)
    return X


def _far(X: Any) -> bool:
    """Whether a number is beyond what a lane is given."""
    numbers = X.data if hasattr(X, "indptr") else X
    return bool(numbers.size) and bool(numbers.max() > _MOST or numbers.min() < -_MOST)


def frozen(model: Any) -> bool:
    """Whether it, or a part of it, stays as it was fitted: then it may have learnt from the rows of any fold."""
    parts = model.get_params().values() if hasattr(model, "get_params") and not isinstance(model, type) else ()
    return any(isinstance(part, FrozenEstimator) for part in (model, *parts))


def _automatic(rows: int, seed: int) -> Any:
    try:
        lightgbm = require("lightgbm", "demo")
    except ImportError:
        return MonotoneClassifier(random_state=seed)
    return lightgbm.LGBMClassifier(
        n_estimators=400,
        learning_rate=0.05,
        num_leaves=31,
        min_child_samples=5 if rows >= _FEW else max(1, rows // 40),
        colsample_bytree=0.3,
        random_state=seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbose=-1,
    )


def measured(model: Any, X: Any) -> Scores:
    """As `scores`, of rows that thresholds are set by.

    Raises:
        BadInput: the lane does not give a finite number for each.
    """
    found = scores(model, X)
    if strange := int((~np.isfinite(found)).sum()):
        came = f"a {type(model).__name__} gave no finite score for {strange} of {len(found)} rows"
        raise BadInput("free", came, "a threshold needs numbers", "Hand in another lane, or None.")
    return found


def scores(model: Any, X: Any) -> Scores:
    """Shape (rows,): larger is worse; what is no number is an alarm, as it would hide what the floor says."""
    if hasattr(X, "indptr") and _kind(model) == "xgboost":  # dense, a block at a time
        return np.concatenate(
            [_raw(model, _seen(X[at : at + _BLOCK], model)) for at in range(0, X.shape[0], _BLOCK)] or [np.empty(0)]
        )
    return _raw(model, _seen(X, model))


def _kind(model: Any) -> str:
    """The library it is of."""
    return str(model.kind) if isinstance(model, _Margins) else type(model).__module__.partition(".")[0]


def _raw(model: Any, X: Any) -> Scores:
    with warnings.catch_warnings():
        # LightGBM and others name columns themselves when they are given none, and then miss the names.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        kind = type(model).__module__.partition(".")[0]
        if kind == "lightgbm":
            found = model.predict(X, raw_score=True)
        elif kind == "xgboost":
            found = model.predict(X, output_margin=True)
        elif kind == "catboost":
            found = model.predict(X, prediction_type="RawFormulaVal")
        elif hasattr(model, "decision_function"):
            found = model.decision_function(X)
        else:
            share = np.asarray(model.predict_proba(X), dtype=np.float64)
            share = share[:, 1] if share.shape[1] > 1 else np.zeros(len(share))
            tiny = np.finfo(np.float64).tiny
            found = np.log(np.maximum(share, tiny)) - np.log(np.maximum(1 - share, tiny))
    found = np.asarray(found, dtype=np.float64).reshape(len(found))
    return np.where(np.isnan(found), np.inf, found)


def additions_needed(model: Any, X: Any, threshold: float, moves: Moves) -> Needed:
    """What is proved of the lane; every detected row needs 1 where it is no ensemble of trees that can be read."""
    trees = model.booster if isinstance(model, _Margins) else model
    found = scores(model, X)
    detected = torch.from_numpy((found > threshold).astype(np.int64))
    try:
        own = margins(trees)
    except Unreadable as reason:
        return Needed(detected, str(reason))
    if own is None:
        return Needed(detected, f"the free lane is a {type(model).__name__}, of which nothing is proved")
    rows = X.toarray() if hasattr(X, "toarray") else X
    if _far(rows):
        return Needed(detected, f"numbers beyond {_MOST:g} are cut off for the free lane, of which nothing is proved")
    if len(rows) and not np.allclose(own(rows), found, rtol=1e-6, atol=1e-6):
        # Forests give shares, and the lane their log-odds, whose slope is at least 4: far more than logarithms round.
        found, threshold = 1 / (1 + np.exp(-found)), 1 / (1 + np.exp(-threshold)) + 1e-9
        if not np.allclose(own(rows), found, rtol=1e-6, atol=1e-6):
            return Needed(detected, "the trees of the free lane are read on another scale than its score")
    proved = of_trees(trees, rows, threshold, moves)
    return Needed(torch.where(detected > 0, proved.needed.clamp(min=1), 0), proved.why_not)


def write(model: Any, folder: Path) -> dict[str, str]:
    """The lane's own file in a folder, and what `read` must know.

    Raises:
        BadInput: a kind that has no file format but pickle.
    """
    kind = _kind(model)
    if kind == "lightgbm":
        booster = model.booster if isinstance(model, _Margins) else model.booster_
        (folder / "free.txt").write_text(booster.model_to_string())
        return {"kind": "lightgbm"}
    if kind == "xgboost":
        booster = model.booster if isinstance(model, _Margins) else model.get_booster()
        booster.save_model(folder / "free.json")
        return {"kind": "xgboost"}
    if isinstance(model, MonotoneClassifier):
        model.save(folder / "free")
        return {"kind": "isotone"}
    raise BadInput(
        "save",
        f"the free lane is a {type(model).__name__}, which can only be pickled",
        "LightGBM, XGBoost and isotone's own classifiers have files of their own",
        "Take one of those as free lane, or pickle the detector yourself where you trust every reader.",
    )


def read(facts: dict[str, str], folder: Path) -> Any:
    """What `write` wrote, as a model that scores."""
    if facts["kind"] == "lightgbm":
        booster = require("lightgbm", "demo").Booster(model_str=(folder / "free.txt").read_text())
        return _Margins("lightgbm", booster)
    if facts["kind"] == "xgboost":
        xgboost = require("xgboost", "demo")
        booster = xgboost.Booster(model_file=str(folder / "free.json"))
        return _Margins("xgboost", booster)
    return MonotoneClassifier.load(folder / "free")


class _Margins:
    """A booster as it was read: margins, and its file again."""

    def __init__(self, kind: str, booster: Any) -> None:
        self.kind, self.booster = kind, booster

    def decision_function(self, X: Any) -> Scores:
        if self.kind == "xgboost":
            matrix = require("xgboost", "demo").DMatrix(X)
            return np.asarray(self.booster.predict(matrix, output_margin=True), dtype=np.float64)
        return np.asarray(self.booster.predict(X, raw_score=True), dtype=np.float64)
