"""One judgement: a model's settings tried on validation, the best fitted on all there is to learn from, judged once.

The same for every model: the number of settings, the seconds for each, the parts, the figure that chooses, and the fit
on training and validation rows together with the rounds that early stopping found. A model begins no further setting
once it has used the seconds of all of them. The figure that chooses is the one that ranks: log loss for classes,
because accuracy moves in steps of whole rows and AUC ignores what the chances say; root mean squared error otherwise.
Seconds are those of the one core a worker uses: wall-clock of a quiet machine, and no model loses to its neighbours.
"""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import boosters, networks, ours, splits
from .parts import Model, Part, Predict
from .tables import SETS

MODELS = {model.name: model for model in (*ours.MODELS, *boosters.MODELS, *networks.MODELS)}
LEADING = {"classification": "log loss", "regression": "RMSE"}
BLOCKS = 100


class Form(NamedTuple):
    """How much is spent."""

    trials: int
    seconds: float  # of one core, a setting


FULL, QUICK = Form(trials=10, seconds=30.0), Form(trials=4, seconds=6.0)


def missing(model: Model) -> str | None:
    """The package that a model needs and that is not there."""

    def there(name: str) -> bool:
        try:
            return importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            return False

    return next((name for name in model.needs if not there(name)), None)


def losses(found: np.ndarray, y: np.ndarray, task: str) -> np.ndarray:
    """Per row: negative log likelihood, or squared error."""
    if task == "classification":
        p = np.clip(found, 1e-7, 1 - 1e-7)
        return -np.where(y > 0.5, np.log(p), np.log1p(-p))
    return (found - y) ** 2


def figures(found: np.ndarray, y: np.ndarray, task: str) -> dict[str, float]:
    """The leading figure first."""
    lost = float(losses(found, y, task).mean())
    if task == "classification":
        from sklearn.metrics import roc_auc_score

        return {
            "log loss": lost,
            "AUC": float(roc_auc_score(y, found)),
            "accuracy": float(((found > 0.5) == (y > 0.5)).mean()),
        }
    return {"RMSE": lost**0.5, "MAE": float(np.abs(found - y).mean())}


def falls(predict: Predict, X: np.ndarray, ways: np.ndarray, *, base: int = 40, steps: int = 21) -> int:
    """Steps against a direction, seen on sweeps of each constrained column over its range; one batch."""
    X, scale, count = X[:base], max(float(np.ptp(predict(X))), 1e-12), 0
    for column in np.flatnonzero(ways)[:16]:
        grid = np.repeat(X[:, None, :], steps, axis=1)
        grid[:, :, column] = np.linspace(X[:, column].min(), X[:, column].max(), steps)
        swept = predict(grid.reshape(-1, X.shape[1])).reshape(len(X), steps)
        count += int((ways[column] * np.diff(swept, axis=1) < -1e-5 * scale).sum())
    return count


def judge(name: str, number: int, model_name: str, form: Form, data: str | Path) -> dict[str, Any]:
    """The record of one model on one split of one set."""
    began, wall, model, task = time.process_time(), time.monotonic(), MODELS[model_name], SETS[name].task
    table = splits.load(name, data, number)
    rows = splits.split(name, table, number)
    learn = np.concatenate([rows.train, rows.validation])
    centre, spread = (0.0, 1.0) if task == "classification" else (table.y[learn].mean(), table.y[learn].std())
    y = (table.y - centre) / spread
    common = {"ways": table.ways, "task": task, "seed": number}
    watch = (table.X[rows.validation], y[rows.validation])
    tried = []
    for setting in model.settings(form.trials, len(rows.train)):
        start = time.process_time()
        if tried and start - began > form.trials * form.seconds:
            break
        part = Part(table.X[rows.train], y[rows.train], watch=watch, deadline=start + form.seconds, **common)
        fitted = model.fit(setting, part)
        value = next(iter(figures(fitted.predict(watch[0]), watch[1], task).values()))
        if np.isfinite(value):
            tried.append((value, fitted.rounds, setting, time.process_time() - start))
    value, rounds, setting, _ = min(tried, key=lambda trial: trial[0])
    start = time.process_time()
    whole = Part(table.X[learn], y[learn], rounds=rounds, deadline=start + 2 * form.seconds, **common)
    fitted = model.fit(setting, whole)
    seconds = time.process_time() - start
    found = fitted.predict(table.X[rows.test])
    record = {
        "set": name,
        "split": number,
        "model": model_name,
        "figures": figures(found, y[rows.test], task),
        "validation": value,
        "setting": setting,
        "rounds": rounds,
        "seed": number,
        "tried": len(tried),
        "form": form._asdict(),
        "rows": [len(rows.train), len(rows.validation), len(rows.test)],
        "falls": falls(fitted.predict, table.X[rows.test], table.ways) if model.monotone else None,
        "fit_s": round(seconds, 2),
        "core_s": round(time.process_time() - began, 2),
        "wall_s": round(time.monotonic() - wall, 2),
        **fitted.notes,
    }
    if SETS[name].outer != "folds":  # where there is one split, its spread is that of its rows, in blocks of them
        lost = losses(found, y[rows.test], task)
        record["blocks"] = [float(f"{lost[block::BLOCKS].mean():.6g}") for block in range(BLOCKS)]
    return record
