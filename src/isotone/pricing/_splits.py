"""Splits that every variant is fitted on, and fits on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require

# The names under which estimators take one direction per feature.
CALLED = ("monotonic_cst", "monotone_constraints")
Rows = tuple[Any, Any, Any]  # X, y, weights or None


@dataclass(frozen=True, eq=False)
class Splits:
    """(training rows, held-out rows) of each split, how many held-out rows a training row has, folds of a repeat."""

    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    ratio: float
    folds: int

    @property
    def freedom(self) -> int:
        """Degrees of freedom of what each split's model has: folds less 1, and half as many more if dealt out again.

        Measured with 5 folds twice on linear fits of features that do nothing (2,100 cases, two-sided, nominal 5, 1 and
        0.2 %): 2.4, 0.3, 0.05 % with 4 degrees of freedom; 4.0, 0.6, 0.14 % with 6; 5.4, 1.2, 0.33 % with 9.
        """
        return self.folds - 1 + (self.folds - 1) // 2 * (len(self.pairs) > self.folds)


def splits_of(y: NDArray[Any], cv: int, repeats: int, groups: Any, *, seed: int, classes: bool) -> Splits:
    """Repeated k-fold splits, by class where there are classes, by group where there are groups.

    Raises:
        BadInput: fewer than 2 folds, or fewer groups or members of a class than folds.
    """
    choose = require("sklearn.model_selection", "tables")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise BadInput("y", "NaN or infinity came", "a number for every row would be right")
    if cv < 2 or repeats < 1 or cv * repeats < 3:
        raise BadInput("cv", f"cv={cv}, repeats={repeats} came", "2 or more folds and 3 or more splits would be right")
    if groups is not None and len(groups) != len(y):
        raise BadInput("groups", f"{len(groups)} came for {len(y)} rows", "one per row would be right")
    units = len(y) if groups is None else len(np.unique(groups))
    fewest = int(np.unique(y, return_counts=True)[1].min()) if classes else units
    if min(units, fewest) < cv:
        what = "groups" if groups is not None and units < cv else "rows of the rarest class" if classes else "rows"
        raise BadInput("cv", f"{min(units, fewest)} {what} came for {cv} folds", "at least one per fold is right")
    pairs = []
    for repeat in range(repeats):
        state = seed + repeat
        if groups is not None and not classes:
            groups = np.asarray(groups)
            names = np.unique(groups)
            for _, held in choose.KFold(cv, shuffle=True, random_state=state).split(names):
                inside = np.isin(groups, names[held])
                pairs.append((np.flatnonzero(~inside), np.flatnonzero(inside)))
            continue
        kind = choose.KFold if not classes else choose.StratifiedKFold
        kind = choose.StratifiedGroupKFold if groups is not None else kind
        pairs += list(kind(cv, shuffle=True, random_state=state).split(np.zeros(len(y)), y, groups))
    ratio = float(np.mean([len(held) / len(fitted) for fitted, held in pairs]))
    return Splits(pairs, ratio, cv)


def is_classifier(estimator: Any) -> bool:
    """Whether scikit-learn calls it one."""
    return bool(require("sklearn.base", "tables").is_classifier(estimator))


def directions_name(estimator: Any) -> str:
    """Under which name the estimator takes directions.

    Raises:
        BadInput: under none that is known.
    """
    known = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for name in CALLED:
        if name in known:  # LightGBM and CatBoost name it once it is set
            return name
    kind, right = type(estimator).__name__, "one that has monotonic_cst or monotone_constraints would be right"
    raise BadInput("estimator", f"a {kind} without directions came", right, "For example isotone.MonotoneRegressor.")


def fitted(estimator: Any, name: str, directions: tuple[int, ...], rows: Rows, seed: int) -> Any:
    """A clone with these directions (as it is if `name` is empty), fitted; fits of one split share a random state."""
    clone = _unfitted(estimator)
    if name == "monotonic_cst":
        clone.set_params(monotonic_cst=np.array(directions))
    elif name:
        # XGBoost takes tuples and mappings, CatBoost lists and mappings, LightGBM lists: as the user wrote it.
        given = clone.get_params()[name]
        named = isinstance(given, Mapping) and hasattr(rows[0], "columns")
        kept = dict(zip(rows[0].columns, directions, strict=True)) if named else directions
        clone.set_params(monotone_constraints=kept if named or isinstance(given, tuple) else list(directions))
    if clone.get_params().get("random_state", 0) is None:
        clone.set_params(random_state=seed)
    X, y, weight = rows
    if type(clone).__module__.startswith("sklearn.ensemble._hist"):
        X = _without_empty(X)
    return clone.fit(X, y) if weight is None else clone.fit(X, y, sample_weight=weight)


def _unfitted(estimator: Any) -> Any:
    try:
        return require("sklearn.base", "tables").clone(estimator)
    except RuntimeError:  # CatBoost copies what it is given, which scikit-learn's check of a clone does not like
        return type(estimator)(**estimator.get_params())


def _without_empty(X: Any) -> Any:
    """Columns with nothing in them filled with 0: scikit-learn's bins stop at them, and no tree splits a constant."""
    if not isinstance(X, np.ndarray) or X.dtype.kind != "f" or not (empty := np.isnan(X).all(axis=0)).any():
        return X
    return np.where(empty, 0.0, X)


def scorer_of(estimator: Any, y: NDArray[Any], scoring: Any) -> tuple[Any, str]:
    """A scikit-learn scorer and its name: ROC AUC for two classes, R2 for numbers, else the estimator's own score."""
    metrics = require("sklearn.metrics", "tables")
    if scoring is None:
        classes = is_classifier(estimator)
        if classes and len(np.unique(y)) != 2:
            return metrics.check_scoring(estimator), "the estimator's score"
        scoring = "roc_auc" if classes else "r2"
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "the score given")
    return metrics.check_scoring(estimator, scoring=scoring), name
