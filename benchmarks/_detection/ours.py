"""isotone's own: the monotone network, each floor, and the guarded detector.

- networks try settings like the peers; floors and the detector have their defaults and nothing else;
- the detector holds some training rows out for itself; the threshold comes from the validation rows, as for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator

import isotone
from isotone import attack, floors
from isotone.attack import BlackBox, HasSlope, Moves, Victim
from isotone.detector import share
from isotone.detector._free import scores as lane_scores
from isotone.explain import importance, sufficient_reasons

from .peers import NETWORK, PEERS, Known, Model, Setting, network
from .scorers import Fitted, Function, Lanes, LanesWithSlope
from .sides import Problem, Side

RATE = 0.01
ALARMS, SUPERSETS = 200, 1000
LOSSES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 1.0)
REASONED = ("drebin215", "defensedroid", "sms_spam", "mimicus_b")


@dataclass(frozen=True)
class Floor(Function):
    """A floor alone."""

    floor: Any = None

    def notes(self, problem: Problem, threshold: float, form: Any, seed: int) -> dict[str, Any]:
        return {"proof": self.floor.prove().verdict.value}


def floor(make: Any) -> Any:
    def fit(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
        chosen = make(**setting)
        chosen.fit(
            problem.train.X,
            problem.train.y,
            tuple(int(way) for way in problem.ways),
            rate=RATE,
            seed=seed,
            validation=(problem.validation.X, problem.validation.y),
        )
        return Floor(chosen.scores, chosen)

    return fit


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted model of the benchmark in scikit-learn's form."""

    def __init__(self, fitted: Any = None) -> None:
        self.fitted = fitted
        self.classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any) -> Given:
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        return self.fitted.scores(sp.csr_matrix(X, dtype=np.float32))


@dataclass(frozen=True)
class Guarded:
    """A fitted `isotone.Detector`; alarm is above 0."""

    detector: Any
    free: Fitted | None
    threshold: float = 0.0

    def scores(self, X: Any) -> np.ndarray:
        return np.asarray(self.detector.decision_function(X), dtype=np.float64)

    def certified(self, X: Any) -> np.ndarray:
        return np.asarray(self.detector.certified(X), dtype=bool)

    def victim(self, moves: Moves, sample: np.ndarray) -> Victim:
        if self.free is None:
            return BlackBox(lambda x: self.scores(sp.csr_matrix(x)), sample)
        guide = self.free.victim(moves, sample)
        return (LanesWithSlope if isinstance(guide, HasSlope) else Lanes)(self.scores, guide)

    def notes(self, problem: Problem, threshold: float, form: Any, seed: int) -> dict[str, Any]:
        shares = self.detector.shares_
        found: dict[str, Any] = {
            "shares": {
                name: getattr(shares, name)
                for name in ("floor_alarms", "alarms", "benign", "clean", "certified", "alone")
            },
            "proof": self.detector.certify().verdict.value,
            "candidates": dict(getattr(self.detector.floor_, "found_", [])),
            "floor": type(getattr(self.detector.floor_, "floor_", self.detector.floor_)).__name__,
        }
        if self.free is not None:
            found["trade"] = trade(self.detector, problem)
        if problem.name in REASONED:
            found["reasons"] = reasons(self.detector, problem, seed, most=max(20, int(ALARMS * form.victims)))
        return found


def detector(*, tuned: bool, **arguments: Any) -> Any:
    """Free lane: what `Detector` makes itself, or the better of the tuned free models on validation rows."""

    def fit(setting: Setting, problem: Problem, seed: int, known: Known) -> Fitted:
        lane = best_free(problem, seed, known) if tuned else None
        return guarded(problem, problem.train, problem.validation, seed, lane=lane, **{**arguments, **setting})

    return fit


def guarded(
    problem: Problem, rows: Side, validation: Side | None, seed: int, *, lane: Fitted | None = None, **arguments: Any
) -> Guarded:
    """A detector fitted to rows, its thresholds set on validation rows or, where there are none, by folds."""
    made = isotone.Detector(
        tuple(int(way) for way in problem.ways),
        max_false_alarm_rate=RATE,
        random_state=seed,
        **({} if lane is None else {"free": FrozenEstimator(Given(lane))}),
        **arguments,
    )
    if validation is None:
        made.fit(rows.X, rows.y, groups=rows.groups)
    else:
        made.fit(rows.X, rows.y, validation=(validation.X, validation.y))
    if lane is None and made.free_ is not None:
        lane = as_scorer(made.free_.booster_, problem)
    return Guarded(made, lane)


def trade(made: Any, problem: Problem) -> list[dict[str, float]]:
    """The same lanes with other shares of the budget, each by a clean loss allowed on the rows that set thresholds."""
    free, floor, labels = made.measured_
    free_test, floor_test = lane_scores(made.free_, problem.test.X), made.floor_.scores(problem.test.X)
    found = []
    for loss in LOSSES:
        split = share(free, floor, labels, RATE, loss)
        sure = floor_test > split.floor
        alarm, bad = sure | (free_test > split.free), problem.test.y == 1
        found.append(
            {
                "allowed": loss,
                "detection": float(alarm[bad].mean()),
                "certified": float(sure[bad].mean()),
                "false alarms": float(alarm[~bad].mean()),
                "floor's share": split.floor_alarms / max(split.alarms, 1),
            }
        )
    return found


def as_scorer(booster: Any, problem: Problem) -> Fitted:
    from isotone.boosters import BoosterScorer  # noqa: PLC0415

    from .scorers import Family  # noqa: PLC0415

    return Family(BoosterScorer(booster, booster.num_trees()), problem)


def best_free(problem: Problem, seed: int, known: Known) -> Fitted:
    """The free model and setting that were best on validation rows, fitted again."""
    rows = [known[problem.name, seed, model.name] for model in PEERS if model.kind == "free"]
    best = max(rows, key=lambda row: (row["validation"]["detection"], row["validation"]["partial AUC"]))
    make = next(model for model in PEERS if model.name == best["model"])
    return make.fit(best["setting"], problem, seed, known)


def reasons(made: Any, problem: Problem, seed: int, *, most: int) -> dict[str, Any]:
    """For certified alarms: how many facts suffice, and whether 1,000 random supersets or attacks undo any.

    A superset of a reason: the row with its facts alone and what cannot be moved, and each addable feature added (bits)
    or raised (numbers) with a chance that is itself drawn for every superset.
    """
    bad = problem.test.bad.X
    alarms = bad[np.flatnonzero(made.certified(bad))[:most]]
    if not alarms.shape[0]:
        return {"alarms": 0}
    scores, bar = made.floor_.scores, made.shares_.floor
    rng, ways = np.random.default_rng(seed), np.asarray(problem.ways)
    known = problem.train.bad.X
    known = known[np.flatnonzero(scores(known) > bar)[:most]]
    weights = importance(scores, known, ways) if known.shape[0] else None
    found = sufficient_reasons(scores, alarms, bar, ways, importance=weights)
    bare = alarms.toarray()
    bare[:, ways > 0] = np.minimum(bare[:, ways > 0], 0.0)
    for row, reason in enumerate(found):
        bare[row, list(reason.features)] = reason.bounds
    undone = 0
    for row in bare:
        dense = np.repeat(row[None], SUPERSETS, axis=0)
        chance = rng.random((SUPERSETS, 1))
        added = (rng.random(dense.shape) < chance) & (ways > 0)
        raised = 1.0 if problem.presence else rng.random(dense.shape)
        dense = np.where(added, np.maximum(dense, raised), dense).astype(np.float32)
        undone += int((~(scores(sp.csr_matrix(dense)) > bar)).sum())
    benign = problem.train.benign.X[:200].toarray()
    victim = BlackBox(lambda x: scores(sp.csr_matrix(x)), bare[:16])
    done = attack.suite(victim, bare.astype(np.float32), bar, problem.moves, benign, only=attack.QUICK, seed=seed)
    sizes = [len(reason.features) for reason in found]
    return {
        "alarms": len(found),
        "supersets": SUPERSETS * len(found),
        "undone by supersets": undone,
        "undone by attacks": int((done.fewest > 0).sum()),
        "victims of attacks": int((done.fewest != 0).sum()),
        "median size": float(np.median(sizes)),
        "largest size": max(sizes),
        "median features": float(np.median([reason.active for reason in found])),
    }


ONE: tuple[Setting, ...] = ({},)
OURS = (
    Model("isotone network", "ours", network(monotone=True), NETWORK, "`MonotoneNetwork`, three members"),
    Model("PatternFloor", "ours", floor(floors.PatternFloor), ONE, "trained patterns, the largest"),
    Model("BoosterFloor", "ours", floor(floors.BoosterFloor), ONE, "LightGBM, monotone, without contained rows"),
    Model("NetworkFloor", "ours", floor(floors.NetworkFloor), ONE, "a monotone network trained for few false alarms"),
    Model(
        "Detector, floor alone",
        "ours",
        detector(tuned=False, free=None),
        ONE,
        "the best floor on rows that it holds out itself, fitted to those too",
    ),
    Model("Detector", "guarded", detector(tuned=False), ONE, "both lanes made by itself"),
    Model("Detector, tuned free lane", "guarded", detector(tuned=True), ONE, "the better tuned free model handed in"),
)
