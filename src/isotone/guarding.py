"""`isotone train --guarded`: from a table to the folder of a guarded detector, with the evidence for its report.

- three detectors side by side: both lanes together, the floor alone, and the free lane with the whole budget, which is
  the positive control of every attack;
- thresholds are frozen before test rows are looked at, once: set on the validation rows where a column of times makes
  these the newer ones, else, unless benign rows are many, by folds of train and validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attack import BlackBox, Moves, Victim
from .certify import Certificate
from .data import Examples
from .detector import FOLDS, Detector, NoFolds, alarms_allowed, few
from .errors import require
from .evaluation import BUDGETS, Scores, auc, detection, false_alarms, roc, spread, threshold_above
from .experiment import Compared, Judged, Prepared, Question, attacked, one_thread, prepare
from .facts import facts_of
from .families import Setting, Tuned
from .model_folder import GuardedFolder, rows_of
from .progress import Progress

GUARDED, FLOOR, FREE = "guarded detector", "floor alone", "free lane alone"


@one_thread()
def train_guarded(
    table: Any,
    question: Question,
    *,
    name: str,
    title: str | None = None,
    seed: int = 0,
    max_clean_loss: float = 0.01,
    free: Any = "auto",
    floor: Any = "auto",
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> GuardedFolder:
    """Split, fit both lanes, attack, prove the floor.

    Args:
        table: a pyarrow table.
        question: what is asked of it.
        name, title, notes: for the report.
        seed: of the split's order and the lanes.
        max_clean_loss, free, floor: as `Detector` takes them.
        progress: where to show it.

    Raises:
        BadInput, NoMatch: see `prepare` and `Detector.fit`.

    Cost: fits both lanes once, and asks each detector some hundred thousand scores for the attacks.
    """
    progress = progress or Progress(shown=False)
    prepared = prepare(table, question)
    question = prepared.question
    detector = Detector(
        question.threat,
        max_false_alarm_rate=question.max_false_alarm_rate,
        max_clean_loss=max_clean_loss,
        free=free,
        floor=floor,
        random_state=seed,
        verbose=int(progress.shown),
    )
    pooled = _fit(detector, prepared)
    proof = detector.certify()
    certificate = Certificate(
        proof.verdict,
        proof.reason,
        None,
        None,
        {
            "what is proved": "the score of the floor never falls along the threat's directions",
            "floor": type(detector.floor_).__name__,
        },
        ("real arithmetic",),
    )
    compared = [_compared(lane, prepared, seed, progress) for lane in _lanes(detector)]
    facts = facts_of(prepared, compared, certificate, [seed], name=name, title=title or name, notes=notes)
    _told(facts, detector, prepared, pooled=pooled)
    return GuardedFolder(
        question=question,
        encoder=prepared.encoder,
        detector=detector,
        facts=facts,
        proof={"verdict": proof.verdict.value, "reason": proof.reason},
    ).sealed()


def _fit(detector: Detector, prepared: Prepared) -> bool:
    """Both lanes and their thresholds; whether these are of folds of train and validation together."""
    training, validation = prepared.material.training, prepared.material.validation
    named: dict[str, Any] = {"feature_names": list(prepared.encoder.features)}
    rows, held = rows_of(training.examples), rows_of(validation.examples)
    labels = np.concatenate([training.labels, validation.labels])
    share = len(validation) / len(labels)
    if prepared.question.time is None and few(labels, share, prepared.question.max_false_alarm_rate):
        try:
            every = require("scipy.sparse", "tables").vstack([rows, held], format="csr")
            detector.set_params(folds=FOLDS).fit(every, labels, groups=prepared.families, **named)
        except NoFolds:
            detector.set_params(folds="auto")
        else:
            return True
    groups = None if prepared.families is None else prepared.families[: len(training)]
    detector.fit(rows, training.labels, validation=(held, validation.labels), groups=groups, **named)
    return False


@dataclass(frozen=True)
class _Lane:
    """A part of the detector as a scorer and as a family of one setting."""

    name: str
    monotone: bool
    score: Callable[[Any], Scores]
    threshold: float
    detection: float  # at the threshold, of the rows that set it
    settings: tuple[Setting, ...] = ()

    def logits(self, examples: Examples) -> Scores:
        """Shape (rows,)."""
        return self.score(rows_of(examples))

    def victim(self, moves: Moves, sample: NDArray[np.float32]) -> Victim:
        """Asked as a black box."""

        def dense(x: NDArray[np.float32]) -> Scores:
            return self.score(np.asarray(x, dtype=np.float64))

        return BlackBox(dense, sample)

    def fit(self, *_: Any) -> _Lane:
        """It is fitted already."""
        return self


def _lanes(detector: Detector) -> list[_Lane]:
    """The floor first: it is the one that the proof is of."""

    def floor(X: Any) -> Scores:
        return np.asarray(detector.lanes(X)[1])

    def free(X: Any) -> Scores:
        found = detector.lanes(X)[0]
        assert found is not None
        return np.asarray(found)

    shares, (by_free, by_floor, labels) = detector.shares_, detector.measured_
    lanes = [_Lane(FLOOR, True, floor, 0.0, shares.certified)]
    by_free, _ = detector.above(by_free, by_floor)
    if by_free is not None:
        # Alone it would have the whole budget: the threshold is lower than beside the floor.
        allowed = alarms_allowed(detector.max_false_alarm_rate, shares.benign)
        threshold = threshold_above(by_free[labels == 0], allowed)
        # The first that is not monotone is the positive control of the attacks.
        lanes.append(_Lane(FREE, False, free, threshold, shares.alone))
    return [*lanes, _Lane(GUARDED, False, detector.decision_function, 0.0, shares.clean)]


def _compared(lane: _Lane, prepared: Prepared, seed: int, progress: Progress) -> Compared:
    test = prepared.test
    logits = lane.logits(test.examples)
    bar = progress.bar(f"attack the {lane.name}", 100)

    def watch(done: int, total: int) -> None:
        bar.update(99 * done // max(total, 1))

    attacks, curve = attacked(lane, prepared, lane.threshold, seed=seed, watch=watch)
    bar.finish()
    finite = np.where(np.isfinite(logits), logits, np.sign(logits) * 1e300)
    judged = Judged(
        scorer=lane,
        threshold=lane.threshold,
        validation_detection=lane.detection,
        auc=auc(finite, test.labels),
        clean=detection(logits, test.labels, lane.threshold),
        false_alarms=false_alarms(logits, test.labels, lane.threshold),
        roc=roc(finite, test.labels),
        attacks=attacks,
        curve=curve,
    )
    return Compared(Tuned(lane, {}, (judged.validation_detection,)), (judged,))


def _told(facts: dict[str, Any], detector: Detector, prepared: Prepared, *, pooled: bool) -> None:
    """What facts of three detectors do not say by themselves: which is the guarded one, and what of it is certified."""
    rows = rows_of(prepared.test.examples)
    sure = float(detector.certified(rows)[prepared.test.labels == 1].mean())
    by_name = {one["name"]: one for one in facts["detectors"]}
    guarded, floor = by_name[GUARDED], by_name[FLOOR]
    proved = facts["certificate"]["verdict"] == "proved" and detector.supported_
    if not proved:
        sure = 0.0
    if proved:
        guarded["certified_curve"] = {"budgets": list(BUDGETS), "detection": [spread([sure])] * len(BUDGETS)}
    else:
        floor["certified_curve"] = None
    guarded["role"], floor["role"] = "guarded", "monotone"
    guarded["chosen"], floor["chosen"] = True, False
    alarms = detector.shares_
    among = f"{alarms.alarms} are alarms, {alarms.floor_alarms} of them of the floor"
    which = f"benign rows, each scored by lanes of the other {FOLDS - 1} folds," if pooled else "benign validation rows"
    guarded["note"] = f"of {alarms.benign:,} {which} {among}"
    floor["note"] = "with its share of the false-alarm budget"
    if FREE in by_name:
        by_name[FREE]["note"], by_name[FREE]["chosen"] = "with the whole false-alarm budget", False
    facts["detectors"] = [guarded, floor, *([by_name[FREE]] if FREE in by_name else [])]
    if pooled:
        one, other, *rest = facts["data"]["rows"]  # no group is in both
        counts = {key: None if one[key] is None else one[key] + other[key] for key in ("rows", "positives", "groups")}
        facts["data"]["rows"] = [{"part": f"train, in {FOLDS} folds", **counts}, *rest]
    facts["summary"] = (
        f"The guarded detector detects {guarded['clean']['mean']:.1%} of bad test rows; {sure:.1%} are certified: "
        "they stay alarms whatever is added."
    )
    facts["certificate"]["claim"] = "whatever the attacker adds, the floor's score never falls, and its alarm stays"
