"""One judgement: settings tried on validation rows, the threshold set on validation negatives, test rows judged once.

The same for every model: the number of settings, the rows, what chooses (detection at 1 % false alarms, then partial
AUC, both on validation rows), the rule of the threshold and the attacks. What is certified of a monotone model alone is
what it detects; every certified alarm among the victims is attacked like the others, and those that evade are counted.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import torch

from isotone import attack
from isotone.evaluation import BUDGETS, auc, clopper_pearson, detection, false_alarms, partial_auc, threshold_at

from .models import MODELS
from .peers import Known
from .scorers import Fitted
from .sets import SETS, load
from .sides import Problem

RATE = 0.01
SAMPLE, BENIGN, BUDGET = 16, 500, 50


class Form(NamedTuple):
    """How much is spent: settings tried a model, and a factor on the victims."""

    settings: int
    victims: float


FULL, QUICK = Form(settings=4, victims=1.0), Form(settings=2, victims=0.2)


def judge(name: str, seed: int, model_name: str, form: Form, *, data: str, known: Known) -> dict[str, Any]:
    """The record of one model on one split of one set; `known`: the records that are there already."""
    began, model, problem = time.process_time(), MODELS[model_name], load(name, data, seed)
    tried: list[tuple[tuple[float, float], Any, Any]] = []
    for setting in model.settings[: form.settings]:
        fitted = model.fit(setting, problem, seed, known)
        found = fitted.scores(problem.validation.X)
        at = getattr(fitted, "threshold", threshold_at(found[problem.validation.y == 0], RATE))
        value = (detection(found, problem.validation.y, at), partial_auc(found, problem.validation.y))
        tried.append((value, setting, fitted))
    value, setting, fitted = max(tried, key=lambda trial: trial[0])
    fit_s = time.process_time() - began
    threshold = fitted.threshold if hasattr(fitted, "threshold") else threshold_of(fitted, problem.validation)
    return {
        "set": name,
        "split": seed,
        "model": model_name,
        "kind": model.kind,
        "figures": figures(fitted, problem.test, threshold, monotone=model.kind != "free"),
        "validation": {"detection": value[0], "partial AUC": value[1]},
        "setting": setting,
        "tried": len(tried),
        "threshold": threshold,
        **fresh(fitted, problem),
        "attacks": attacked(
            fitted,
            problem,
            threshold,
            most=max(10, int(SETS[name].victims * form.victims)),
            seed=seed,
            monotone=model.kind != "free",
            only=None if seed == 0 else attack.QUICK,
        ),
        **notes(fitted, problem, threshold, form, seed),
        "form": form._asdict(),
        "rows": [[len(side), int(side.y.sum())] for side in (problem.train, problem.validation, problem.test)],
        "left_out": problem.notes,
        "fit_s": round(fit_s, 2),
        "core_s": round(time.process_time() - began, 2),
    }


def threshold_of(fitted: Fitted, side: Any) -> float:
    return threshold_at(fitted.scores(side.benign.X), RATE)


def certified(fitted: Fitted, X: Any, threshold: float, *, monotone: bool) -> np.ndarray:
    """Alarms that no addition can undo, as the model says, or all alarms of a monotone one."""
    if hasattr(fitted, "certified"):
        return np.asarray(fitted.certified(X), dtype=bool)
    if not monotone:
        return np.zeros(X.shape[0], dtype=bool)
    return fitted.scores(X) > threshold


def figures(fitted: Fitted, side: Any, threshold: float, *, monotone: bool) -> dict[str, Any]:
    """On test rows; `false alarms` is [rate, low, high] with the interval of Clopper and Pearson."""
    found = fitted.scores(side.X)
    alarms, sure = false_alarms(found, side.y, threshold), certified(fitted, side.X, threshold, monotone=monotone)
    return {
        "detection": detection(found, side.y, threshold),
        "certified": float(sure[side.y == 1].mean()),
        "false alarms": [alarms.rate, alarms.low, alarms.high],
        "certified false alarms": float(sure[side.y == 0].mean()),
        "AUC": auc(found, side.y),
        "partial AUC": partial_auc(found, side.y),
    }


def fresh(fitted: Fitted, problem: Problem) -> dict[str, Any]:
    """The same with the threshold set anew on benign rows of the test's origin, where the set has some."""
    if problem.fresh is None or getattr(fitted, "free", None) is not None:
        return {}  # two thresholds are not set anew by one rule
    threshold = threshold_at(fitted.scores(problem.fresh.X), RATE)
    found = fitted.scores(problem.test.X)
    alarms = false_alarms(found, problem.test.y, threshold)
    return {
        "fresh": {
            "detection": detection(found, problem.test.y, threshold),
            "false alarms": [alarms.rate, alarms.low, alarms.high],
            "benign": len(problem.fresh),
        }
    }


def drawn(alarms: np.ndarray, sure: np.ndarray, most: int) -> np.ndarray:
    """Rows to attack: of certified and other alarms half each, as far as there are so many."""
    kinds = [alarms[sure[alarms]], alarms[~sure[alarms]]]
    first = [kind[: (most + 1) // 2] for kind in kinds]
    rest = np.concatenate([kind[(most + 1) // 2 :] for kind in kinds])
    return np.sort(np.concatenate([*first, rest])[:most])


def attacked(
    fitted: Fitted, problem: Problem, threshold: float, *, most: int, seed: int, monotone: bool, only: Any
) -> dict[str, Any]:
    """The suite on detected bad rows, and the share of all bad rows still detected after k additions.

    `only`: on the split of seed 0 all attacks (None), on others the four that the rest rarely beat (`attack.QUICK`).

    The curve weighs certified and other alarms by their true numbers, so that a draw of victims cannot move it below
    what is certified.
    """
    bad, rng = problem.test.bad, np.random.default_rng(seed)
    found = fitted.scores(bad.X)
    alarms = np.flatnonzero(found > threshold)
    if not len(alarms):
        return {"victims": 0, "curve": [0.0 for _ in BUDGETS], "certified evaded": 0, "by": {}}
    sure_all = certified(fitted, bad.X, threshold, monotone=monotone)
    chosen = drawn(rng.permutation(alarms), sure_all, most)
    rows = bad.X[chosen].toarray()
    benign = problem.train.benign.X
    benign = benign[rng.permutation(benign.shape[0])[:BENIGN]].toarray()
    began, moves = time.process_time(), problem.moves
    victim = fitted.victim(moves, rows[:SAMPLE])
    bad_known = problem.train.bad.X
    bad_known = bad_known[rng.permutation(bad_known.shape[0])[:BENIGN]].toarray()
    done = attack.suite(victim, rows, threshold, moves, benign, budget=BUDGET, bad=bad_known, only=only, seed=seed)
    least = done.fewest.numpy()
    sure = sure_all[chosen]
    curve = []
    for budget in BUDGETS:
        gone = (least > 0) & (True if budget is None else least <= budget)
        kept = 0.0
        for of_all, here in ((sure_all, sure), (~sure_all & (found > threshold), ~sure)):
            if here.any():
                kept += of_all.sum() * (1 - gone[here].mean())
            elif of_all.any():  # none of these few was drawn: as if all evaded
                kept += of_all.sum() * (budget == 0)
        curve.append(float(kept / len(found)))
    return {
        "victims": len(chosen),
        "certified victims": int(sure.sum()),
        "certified evaded": int((sure & (least > 0)).sum()),
        "curve": curve,
        "by": {
            one.name: {
                "evaded": int(one.evaded.sum()),
                "certified evaded": int((one.evaded.numpy() & sure).sum()),
                "rate": attack.evasion_rate(one),
                "median additions": attack.median_additions(one),
            }
            for one in done
        },
        "did not run": done.skipped if only is None else {},
        "core_s": round(time.process_time() - began, 2),
    }


def notes(fitted: Fitted, problem: Problem, threshold: float, form: Form, seed: int) -> dict[str, Any]:
    """What a model adds to its record, such as reasons."""
    return fitted.notes(problem, threshold, form, seed) if hasattr(fitted, "notes") else {}


def interval(count: int, of: int) -> list[float]:
    found = clopper_pearson(count, of)
    return [found.rate, found.low, found.high]


torch.set_num_threads(1)
