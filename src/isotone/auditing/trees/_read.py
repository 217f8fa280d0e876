"""Which models can be read as trees, and how: one row per class.

- `None` for a kind that is not known; `Unreadable` for a known kind that cannot be read faithfully;
- what is read counts only after `faithful` has compared it with the model itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from . import _catboost, _lightgbm, _sklearn, _xgboost
from ._ensemble import Ensemble, Floats, Unreadable

Rows = Callable[[Any], Floats]
Column = tuple[Ensemble, Rows]

# fmt: off
READERS: dict[tuple[str, str], Callable[[Any, int | None], Column]] = {
    # library     class                                reader
    ("lightgbm", "Booster"):                        _lightgbm.read,
    ("lightgbm", "LGBMClassifier"):                 _lightgbm.read,
    ("lightgbm", "LGBMRegressor"):                  _lightgbm.read,
    ("lightgbm", "LGBMRanker"):                     _lightgbm.read,
    ("xgboost", "Booster"):                         _xgboost.read,
    ("xgboost", "XGBClassifier"):                   _xgboost.read,
    ("xgboost", "XGBRegressor"):                    _xgboost.read,
    ("xgboost", "XGBRanker"):                       _xgboost.read,
    ("xgboost", "XGBRFClassifier"):                 _xgboost.read,
    ("xgboost", "XGBRFRegressor"):                  _xgboost.read,
    ("catboost", "CatBoost"):                       _catboost.read,
    ("catboost", "CatBoostClassifier"):             _catboost.read,
    ("catboost", "CatBoostRegressor"):              _catboost.read,
    ("catboost", "CatBoostRanker"):                 _catboost.read,
    ("sklearn", "DecisionTreeClassifier"):          _sklearn.tree,
    ("sklearn", "DecisionTreeRegressor"):           _sklearn.tree,
    ("sklearn", "ExtraTreeClassifier"):             _sklearn.tree,
    ("sklearn", "ExtraTreeRegressor"):              _sklearn.tree,
    ("sklearn", "RandomForestClassifier"):          _sklearn.forest,
    ("sklearn", "RandomForestRegressor"):           _sklearn.forest,
    ("sklearn", "ExtraTreesClassifier"):            _sklearn.forest,
    ("sklearn", "ExtraTreesRegressor"):             _sklearn.forest,
    ("sklearn", "GradientBoostingClassifier"):      _sklearn.gradient_boosting,
    ("sklearn", "GradientBoostingRegressor"):       _sklearn.gradient_boosting,
    ("sklearn", "HistGradientBoostingClassifier"):  _sklearn.histogram_boosting,
    ("sklearn", "HistGradientBoostingRegressor"):   _sklearn.histogram_boosting,
}
# fmt: on


def read(model: Any, output: int | None = None, *, raw: bool = False) -> Ensemble | None:
    """The trees of a fitted model, in one form, or None for a kind of model that is not known.

    Args:
        model: a fitted LightGBM, XGBoost, CatBoost or scikit-learn tree model. A subclass defined elsewhere is not
            known, because it may predict something else. A pipeline is not read.
        output: the column of the score. None: the only one, or the positive class of two. For two classes 0 is the
            first class, whose score is minus that of the second.
        raw: for several classes under a softmax, read one class's raw score (its logit) nevertheless.

    Raises:
        Unreadable: a linear tree, categorical splits outside LightGBM, several outputs without `output=`, a softmax, or
            a version of the library that stores its trees otherwise.

    Cost: linear in the number of nodes; about a second for 1,000 trees of depth 6.

    >>> read(lambda X: X[:, 0]) is None
    True
    """
    found = _column(model, output, raw)
    return None if found is None else found[0]


def margins(model: Any, output: int | None = None, *, raw: bool = False) -> Rows | None:
    """The model's own raw score of rows, the one that `read(model, output)` copies: what `faithful` compares with.

    >>> margins(lambda X: X[:, 0]) is None
    True
    """
    found = _column(model, output, raw)
    return None if found is None else found[1]


def _column(model: Any, output: int | None, raw: bool) -> Column | None:
    reader = READERS.get((type(model).__module__.split(".")[0], type(model).__name__))
    if reader is None:
        return None
    kind = type(model).__name__
    try:
        ensemble, rows = reader(model, output)
    except Unreadable as reason:
        raise Unreadable(f"{kind}: {reason}") from None
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as fault:
        raise Unreadable(
            f"{kind}: it is not fitted, or this version stores its trees otherwise than isotone knows ({fault})"
        ) from fault
    if ensemble.link == "softmax":
        if not raw:
            raise Unreadable(
                f"{kind}: its classes share a softmax; when one class's logit rises, another's may rise more, so its "
                "probability need not rise. Read one logit with raw=True, or train one logistic model per class"
            )
        ensemble = replace(ensemble, link="identity")

    def quietly(X: Any) -> Floats:
        with warnings.catch_warnings():
            # Bare arrays for a model that was fitted on a table of named columns.
            warnings.simplefilter("ignore", UserWarning)
            return np.asarray(rows(X), dtype=np.float64).reshape(-1)

    return ensemble, quietly
