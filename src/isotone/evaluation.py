"""Clean and attacked figures of a detector, and what may be said with so many rows.

- the threshold is chosen on validation negatives and frozen; every detection stands beside the false-alarm rate that
  the test rows really show, with its interval;
- a rate that the negatives are too few to support is refused;
- knows scores and labels, not models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput, require

BUDGETS: tuple[int | None, ...] = (0, 1, 2, 5, 10, 25, 50, None)
CONFIDENCE = 0.95

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A rate and its interval: `count` of `of`."""

    rate: float
    low: float
    high: float
    count: int
    of: int


def clopper_pearson(count: int, of: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact two-sided interval of a rate (Clopper and Pearson, Biometrika 26, 1934).

    Raises:
        BadInput: no trials, or more events than trials.

    >>> found = clopper_pearson(0, 299)
    >>> round(found.high, 4)
    0.0123
    """
    if not 0 <= count <= of or of == 0:
        raise BadInput(
            "interval", f"{count} of {of} came", "a count between 0 and a positive number of rows would be right"
        )
    beta = require("scipy.stats", "tables").beta
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, of - count + 1))
    high = 1.0 if count == of else float(beta.ppf(1 - tail, count + 1, of - count))
    return Interval(count / of, low, high, count, of)


def negatives_needed(rate: float, confidence: float = CONFIDENCE) -> int:
    """Fewest negatives that can support a false-alarm rate: with none of them alarmed, the one-sided bound meets it.

    Raises:
        BadInput: a rate outside (0, 1).

    >>> negatives_needed(0.01), negatives_needed(0.001)
    (299, 2995)
    """
    if not 0 < rate < 1:
        raise BadInput("false-alarm rate", f"{rate} came", "a share between 0 and 1 would be right, such as 0.01")
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate))


def require_support(rate: float, negatives: int, where: str) -> None:
    """Refuse a false-alarm rate that so few negatives cannot support.

    Raises:
        BadInput: too few, or a rate outside (0, 1).
    """
    needed = negatives_needed(rate)
    if negatives < needed:
        raise BadInput(
            f"false-alarm rate {rate:.2%}",
            f"{where} has {negatives} negatives",
            f"at least {needed} are needed to support it with {CONFIDENCE:.0%} confidence",
            "Allow a higher rate, or bring more benign rows.",
        )


def whole_share(rate: float, weight: float) -> int:
    """The whole rows in a share of rows, rounded down: of 100 rows 0.29 are 29, where `int(0.29 * 100)` is 28.

    >>> whole_share(0.29, 100), whole_share(0.01, 299)
    (29, 2)
    """
    return math.floor(rate * weight * (1 + 1e-12))


def threshold_above(scores: Scores, most: int) -> float:
    """The lowest threshold above which no more than so many score; minus infinity where all may.

    Raises:
        BadInput: a score that is NaN.
    """
    return float(np.sort(_numbers(scores))[len(scores) - 1 - most]) if most < len(scores) else -math.inf


def threshold_at(negative_scores: Scores, rate: float) -> float:
    """The lowest threshold above which no more than this share of the negatives scores; alarm means score > threshold.

    Raises:
        BadInput: a score that is NaN; a share that is none.

    >>> threshold_at(np.arange(1000.0), 0.01)
    989.0
    """
    if not 0 <= rate <= 1:
        raise BadInput("false-alarm rate", f"{rate} came", "a share from 0 to 1 would be right, such as 0.01")
    return threshold_above(negative_scores, whole_share(rate, len(negative_scores)))


def detection(scores: Scores, labels: NDArray[np.int64], threshold: float) -> float:
    """Share of positives above the threshold.

    Raises:
        BadInput: no positives; a score that is NaN.
    """
    found = _numbers(scores)[labels == 1]
    if not len(found):
        raise BadInput("detection", "no bad row came", "a share needs one at least")
    return float((found > threshold).mean())


def detection_near(scores: Scores, labels: NDArray[np.int64], rate: float) -> float:
    """Mean share of bad rows above the thresholds of false-alarm rates from half to one and a half times `rate`.

    One threshold is set by few benign rows; their neighbours say much the same, and the mean of all is steadier.

    >>> detection_near(np.array([3.0, 2.0, 1.0, 0.0]), np.array([1, 0, 1, 0]), 0.5)
    0.8
    """
    levels = np.linspace(rate / 2, rate * 3 / 2, 5)
    return float(np.mean([detection(scores, labels, threshold_at(scores[labels == 0], level)) for level in levels]))


def false_alarms(scores: Scores, labels: NDArray[np.int64], threshold: float) -> Interval:
    """The realised false-alarm rate of some rows, with its interval.

    Raises:
        BadInput: no negatives; a score that is NaN.
    """
    alarms = _numbers(scores)[labels == 0] > threshold
    return clopper_pearson(int(alarms.sum()), len(alarms))


def auc(scores: Scores, labels: NDArray[np.int64]) -> float:
    """Area under the ROC curve; infinite scores are scores.

    Raises:
        BadInput: one class; a score that is NaN. `partial_auc` and `roc` as well.
    """
    return float(require("sklearn.metrics", "tables").roc_auc_score(labels, _ranks(scores, labels)))


def partial_auc(scores: Scores, labels: NDArray[np.int64], most: float = 0.05) -> float:
    """Standardised area under the ROC curve up to a false-alarm rate (McClish 1989): 0.5 by chance, 1 at best."""
    return float(require("sklearn.metrics", "tables").roc_auc_score(labels, _ranks(scores, labels), max_fpr=most))


def platt(logit: Scores, y: Scores, weight: Scores | None = None) -> tuple[float, float]:
    """A positive slope and a shift that fit probabilities to labels (Platt 1999, with his smoothed targets); L-BFGS.

    With weights a row of weight 2 is two rows.

    >>> slope, shift = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    >>> slope > 0
    True
    """
    count = np.ones(len(y)) if weight is None else weight
    if len(np.unique(y[count > 0])) < 2:
        return 1.0, 0.0
    positives = float((count * y).sum())
    negatives, share = float(count.sum()) - positives, count / count.sum()
    goal = np.where(y > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    minimize = require("scipy.optimize", "tables").minimize

    def value(at: Scores) -> tuple[float, Scores]:
        slope = np.exp(at[0])
        margin = slope * logit + at[1]
        gap = 1 / (1 + np.exp(-margin.clip(-700, 700))) - goal
        loss = np.logaddexp(0, margin) - goal * margin
        return float(share @ loss), np.array([(share @ (gap * logit)) * slope, share @ gap])

    found = minimize(value, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-4, 4), (-50, 50)])
    return float(np.exp(found.x[0])), float(found.x[1])


def roc(scores: Scores, labels: NDArray[np.int64], points: int = 200) -> dict[str, list[float]]:
    """The ROC curve, thinned to so many points that lie evenly on a logarithmic axis of false alarms."""
    metrics = require("sklearn.metrics", "tables")
    false_alarm, detected, _ = metrics.roc_curve(labels, _ranks(scores, labels), drop_intermediate=False)
    negatives = int((labels == 0).sum())
    at = np.geomspace(1 / negatives, 1.0, points)
    # On the step curve: the best detection with at most this share of false alarms.
    best = [float(detected[false_alarm <= rate + 1e-12].max()) for rate in at]
    return {"false_alarm_rate": [float(rate) for rate in at], "detection": best}


def _numbers(scores: Scores) -> Scores:
    """A row without a score would be no alarm, whatever it holds: nothing is said of such rows here."""
    if missing := int(np.isnan(scores).sum()):
        raise BadInput("scores", f"{missing} of {len(scores)} are NaN", "a number per row is right")
    return scores


def _ranks(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order is all that a ROC curve knows, and it is there for infinite scores, too."""
    if len(np.unique(labels)) < 2:
        raise BadInput("ROC curve", "rows of one class came", "bad and benign ones are needed")
    return np.asarray(np.unique(_numbers(scores), return_inverse=True)[1]).reshape(-1)


def spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean, lowest, highest and each value over seeds; None if a seed has none.

    >>> spread([0.5, 1.0])
    {'mean': 0.75, 'low': 0.5, 'high': 1.0, 'by_seed': [0.5, 1.0]}
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return None
    return {"mean": float(np.mean(known)), "low": min(known), "high": max(known), "by_seed": list(known)}
