"""Boosted trees and linear models as peers, each by its own monotone constraints.

Rounds are found by early stopping on the validation part and kept for the fit on everything.
"""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

import numpy as np

from .parts import Fitted, Model, Part, Setting

ROUNDS, PATIENCE = 2000, 50


def chances(model: object) -> object:
    return lambda X: model.predict_proba(X)[:, 1]


def lightgbm(setting: Setting, part: Part) -> Fitted:
    import lightgbm as lgb

    chosen = {
        **setting,
        "objective": "binary" if part.classes else "regression",
        "num_threads": 1,
        "verbose": -1,
        "seed": part.seed,
        "deterministic": True,
    }
    free = chosen.pop("free", False)
    if not free:
        chosen["monotone_constraints"] = part.ways.tolist()
    else:  # the method without constraints ends the process (LightGBM issue 6841)
        chosen.pop("monotone_constraints_method", None)
    data = lgb.Dataset(part.X, part.y, params={"verbose": -1, "min_data_in_bin": 1})

    def in_time(state: object) -> None:
        if part.late():
            raise lgb.callback.EarlyStopException(state.iteration, state.evaluation_result_list or [])

    in_time.order = 100
    if part.watch is None:
        booster = lgb.train(chosen, data, num_boost_round=part.rounds or ROUNDS, callbacks=[in_time])
        return Fitted(booster.predict, part.rounds)
    watched = lgb.Dataset(*part.watch, reference=data)
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    booster = lgb.train(chosen, data, num_boost_round=ROUNDS, valid_sets=[watched], callbacks=[stop, in_time])
    best = max(booster.best_iteration, 1)
    return Fitted(lambda X: booster.predict(X, num_iteration=best), best)


def xgboost(setting: Setting, part: Part) -> Fitted:
    import xgboost as xgb

    class InTime(xgb.callback.TrainingCallback):
        def after_iteration(self, model: object, epoch: int, evals_log: object) -> bool:
            return part.late()

    chosen = {
        **setting,
        "objective": "binary:logistic" if part.classes else "reg:squarederror",
        "monotone_constraints": tuple(int(way) for way in part.ways),
        "nthread": 1,
        "seed": part.seed,
        "tree_method": "hist",
    }
    data = xgb.DMatrix(part.X, part.y)  # dense: absent is not missing
    if part.watch is None:
        booster = xgb.train(chosen, data, num_boost_round=part.rounds or ROUNDS, callbacks=[InTime()])
        return Fitted(lambda X: booster.predict(xgb.DMatrix(X)), part.rounds)
    booster = xgb.train(
        chosen,
        data,
        num_boost_round=ROUNDS,
        evals=[(xgb.DMatrix(*part.watch), "validation")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
        callbacks=[InTime()],
    )
    best = getattr(booster, "best_iteration", booster.num_boosted_rounds() - 1) + 1
    return Fitted(lambda X: booster.predict(xgb.DMatrix(X), iteration_range=(0, best)), best)


def catboost(setting: Setting, part: Part) -> Fitted:
    import catboost as cat

    class InTime:
        def after_iteration(self, info: object) -> bool:
            return not part.late()

    kind = cat.CatBoostClassifier if part.classes else cat.CatBoostRegressor
    model = kind(
        **setting,
        iterations=part.rounds or 1000,
        loss_function="Logloss" if part.classes else "RMSE",
        monotone_constraints=part.ways.tolist(),
        thread_count=1,
        random_seed=part.seed,
        verbose=False,
        allow_writing_files=False,
    )
    watch = {"eval_set": part.watch, "early_stopping_rounds": PATIENCE} if part.watch is not None else {}
    y = part.y.astype(int) if part.classes else part.y
    model.fit(part.X, y, callbacks=[InTime()], **watch)
    return Fitted(chances(model) if part.classes else model.predict, int(model.tree_count_))


def sklearn(setting: Setting, part: Part) -> Fitted:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if part.classes else HistGradientBoostingRegressor
    stops = {"early_stopping": part.watch is not None, "n_iter_no_change": PATIENCE, "tol": 0.0}
    model = kind(**setting, max_iter=part.rounds or ROUNDS, monotonic_cst=part.ways, random_state=part.seed, **stops)
    watch = {"X_val": part.watch[0], "y_val": part.watch[1]} if part.watch is not None else {}
    model.fit(part.X, part.y, **watch)
    if part.watch is None:
        return Fitted(chances(model) if part.classes else model.predict, part.rounds)
    best = max(int(np.argmax(model.validation_score_)), 1)  # of scores after 0, 1, 2 ... rounds
    staged = model.staged_predict_proba if part.classes else model.staged_predict

    def predict(X: np.ndarray) -> np.ndarray:
        for number, found in enumerate(staged(X), start=1):
            if number == best:
                return found[:, 1] if part.classes else found
        raise AssertionError("fewer rounds than scores")

    return Fitted(predict, best)


def linear(setting: Setting, part: Part) -> Fitted:
    """Logistic or least squares with an L2 term, by L-BFGS-B: bounds on the slopes are the constraint."""
    from scipy.optimize import minimize

    from .scaling import Scaling

    scaling = Scaling(setting["inputs"], part.X)
    X = scaling(part.X)
    signs = np.where(part.y > 0.5, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = X @ w[:-1] + w[-1]
        if part.classes:
            value, slope = np.logaddexp(0, -signs * z).mean(), -signs / (1 + np.exp(np.clip(signs * z, -500, 500)))
        else:
            value, slope = 0.5 * ((z - part.y) ** 2).mean(), z - part.y
        gradient = np.append(X.T @ slope / len(X) + setting["l2"] * w[:-1], slope.mean())
        return value + 0.5 * setting["l2"] * (w[:-1] @ w[:-1]), gradient

    ways = np.zeros_like(part.ways) if setting["free"] else part.ways
    bounds = [{1: (0, None), -1: (None, 0), 0: (None, None)}[int(way)] for way in ways] + [(None, None)]
    start = np.append(np.zeros(X.shape[1]), 0.0)
    w = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 1000}).x

    def predict(X: np.ndarray) -> np.ndarray:
        z = scaling(X) @ w[:-1] + w[-1]
        return 1 / (1 + np.exp(-np.clip(z, -500, 500))) if part.classes else z

    return Fitted(predict)


RATES = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
L2 = [1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3]
LGB_SPACE = {
    "learning_rate": RATES,
    "num_leaves": [4, 7, 15, 31, 63],
    "min_data_in_leaf": [3, 5, 10, 20, 50, 100],
    "lambda_l2": [0.0, 0.1, 1.0, 10.0],
    "feature_fraction": [0.5, 0.7, 1.0],
    "monotone_constraints_method": ["basic", "advanced"],
}
LGB = {"learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "monotone_constraints_method": "basic"}
LINEAR = {"inputs": "standard", "l2": 1e-3}
LINEAR_SPACE = {"inputs": ["standard", "normal"], "l2": L2}
MODELS = [
    Model(
        "lightgbm",
        True,
        lightgbm,
        LGB,
        LGB_SPACE,
        ("lightgbm",),
        fixed=[{"monotone_constraints_method": "advanced", "num_leaves": 7}],
    ),
    Model("lightgbm free", False, lightgbm, {**LGB, "free": True}, LGB_SPACE, ("lightgbm",), fixed=[{"num_leaves": 7}]),
    Model(
        "xgboost",
        True,
        xgboost,
        {"learning_rate": 0.05, "max_depth": 6, "min_child_weight": 1, "subsample": 1.0, "colsample_bytree": 1.0},
        {
            "learning_rate": RATES,
            "max_depth": [1, 2, 3, 4, 6, 8],
            "min_child_weight": [1, 3, 10, 30],
            "subsample": [0.6, 0.8, 1.0],
            "colsample_bytree": [0.5, 0.7, 1.0],
            "reg_lambda": [0.1, 1.0, 10.0],
        },
        ("xgboost",),
        fixed=[{"max_depth": 3}],
    ),
    Model(
        "catboost",
        True,
        catboost,
        {"learning_rate": 0.05, "depth": 6, "l2_leaf_reg": 3.0},
        {"learning_rate": [0.03, 0.05, 0.1, 0.2], "depth": [2, 3, 4, 6, 8], "l2_leaf_reg": [0.3, 1.0, 3.0, 10.0, 30.0]},
        ("catboost",),
        fixed=[{"depth": 3}],
    ),
    Model(
        "sklearn HGB",
        True,
        sklearn,
        {"learning_rate": 0.05, "max_leaf_nodes": 31, "min_samples_leaf": 20, "l2_regularization": 0.0},
        {
            "learning_rate": RATES,
            "max_leaf_nodes": [4, 7, 15, 31, 63],
            "min_samples_leaf": [3, 5, 10, 20, 50, 100],
            "l2_regularization": [0.0, 0.1, 1.0, 10.0],
            "max_features": [0.5, 0.7, 1.0],
        },
        ("sklearn",),
        fixed=[{"max_leaf_nodes": 7}],
    ),
    Model("linear", True, linear, {**LINEAR, "free": False}, LINEAR_SPACE, ("scipy", "sklearn")),
    Model("linear free", False, linear, {**LINEAR, "free": True}, LINEAR_SPACE, ("scipy", "sklearn")),
]
