"""The same judgement with thresholds by folds: every row of train and validation is learnt from, and held out once.

For every model alike: each of five folds is scored by a fit to the others, all scores together set the threshold, and
the model that is judged is fitted to all rows. Settings and the rounds of boosters are those that the usual judgement
chose on validation rows; networks of peers keep a tenth of what they are given to stop by. Rows of a group, such as the
programs of a package, are in one fold.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from isotone import attack
from isotone.data import folds
from isotone.evaluation import detection, partial_auc, threshold_at

from .judge import RATE, Form, attacked, figures
from .models import MODELS
from .ours import guarded, trade
from .peers import Known, Model
from .scorers import Fitted
from .sets import SETS, load
from .sides import Problem, Side

FOLDS, STOPPING = 5, 10
FOLDED = ("drebin215", "defensedroid", "programs", "sms_spam", "enron_spam")
COMPARED = tuple(name for name, model in MODELS.items() if model.kind in ("free", "peer"))
OURS = ("Detector, floor alone", "Detector")


def judge(name: str, seed: int, model_name: str, form: Form, *, data: str, known: Known) -> dict[str, Any]:
    """The record of one model on one split of one set; `known`: the records of the usual judgements."""
    began, model, problem = time.process_time(), MODELS[model_name], load(name, data, seed)
    rows = problem.train.beside(problem.validation)
    record: dict[str, Any] = {"set": name, "split": seed, "model": model_name, "kind": model.kind}
    if model_name in OURS:
        fitted = guarded(problem, rows, None, seed, **({"free": None} if model_name == OURS[0] else {}))
        shares, threshold = fitted.detector.shares_, 0.0
        record["validation"] = {"detection": shares.clean, "certified": shares.certified}
        record["floor"] = type(fitted.detector.floor_.floor_).__name__
        if fitted.free is not None:
            record["trade"] = trade(fitted.detector, problem)
        record["proof"] = fitted.detector.certify().verdict.value
    else:
        record["setting"] = setting = with_rounds(known[name, seed, model_name]["setting"], model, problem, seed)
        fitted, found = by_folds(model, setting, problem, rows, seed, known)
        threshold = threshold_at(found[rows.y == 0], RATE)
        record["validation"] = {
            "detection": detection(found, rows.y, threshold),
            "partial AUC": partial_auc(found, rows.y),
        }
    fit_s, monotone = time.process_time() - began, model.kind != "free"
    return {
        **record,
        "figures": figures(fitted, problem.test, threshold, monotone=monotone),
        "threshold": threshold,
        "attacks": attacked(
            fitted,
            problem,
            threshold,
            most=int(SETS[name].victims * form.victims),
            seed=seed,
            monotone=monotone,
            only=attack.QUICK,
        ),
        "form": form._asdict(),
        "rows": [[len(side), int(side.y.sum())] for side in (problem.train, problem.validation, problem.test)],
        "fit_s": round(fit_s, 2),
        "core_s": round(time.process_time() - began, 2),
    }


def with_rounds(setting: Any, model: Model, problem: Problem, seed: int) -> Any:
    """A booster's rounds are those that validation rows choose; with others in each fold, scores would have scales."""
    if model.stops != "rounds":
        return setting
    fitted: Any = model.fit(setting, problem, seed, {})
    return {**setting, "rounds": [int(getattr(fitted, "scorer", fitted).trees)]}


def by_folds(  # noqa: PLR0917 - a model, and what it is fitted to
    model: Model, setting: Any, problem: Problem, rows: Side, seed: int, known: Known
) -> tuple[Fitted, np.ndarray]:
    """Fitted to all rows; and each row's score by a fit that was not given it."""
    fold = folds(rows.y, FOLDS, seed, rows.groups)
    assert fold is not None
    found = np.empty(len(rows))
    for part in range(FOLDS):
        held = np.flatnonzero(fold == part)
        fitted = model.fit(setting, given(problem, rows.take(np.flatnonzero(fold != part)), model, seed), seed, known)
        found[held] = fitted.scores(rows.X[held])
    return model.fit(setting, given(problem, rows, model, seed), seed, known), found


def given(problem: Problem, rows: Side, model: Model, seed: int) -> Problem:
    """The problem with these rows to learn from; a tenth of them to stop by, where epochs are chosen."""
    if model.stops != "epochs":
        return replace(problem, train=rows, validation=rows)
    part = folds(rows.y, STOPPING, seed, rows.groups)
    assert part is not None
    return replace(problem, train=rows.take(np.flatnonzero(part != 0)), validation=rows.take(np.flatnonzero(part == 0)))
