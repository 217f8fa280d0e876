"""Ranks, differences and their standard errors: plain arithmetic on the records.

Two errors of a mean difference over splits are given. The plain one, s / sqrt(J), takes splits for independent, which
they are not, and is too small; so it is the stricter judge of "not worse by more than one standard error", and the one
that is used. Nadeau and Bengio (Machine Learning 52, 2003) correct it to s * sqrt(1/J + test rows / training rows).
"""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Records = dict[tuple[str, int, str], dict[str, Any]]


class Difference(NamedTuple):
    """Of a leading figure, ours minus theirs: above 0 is worse."""

    mean: float
    plain: float
    corrected: float
    splits: int

    @property
    def errors(self) -> float:
        """In plain standard errors; where there is no spread at all, signed infinity or 0."""
        if self.plain > 0:
            return self.mean / self.plain
        return math.copysign(math.inf, self.mean) if self.mean else 0.0


def over_splits(ours: np.ndarray, theirs: np.ndarray, ratio: float) -> Difference:
    """Paired by split; `ratio` is test rows by training rows."""
    apart = np.asarray(ours) - np.asarray(theirs)
    if len(apart) < 2:
        return Difference(float(apart.mean()), math.nan, math.nan, len(apart))
    spread = float(apart.std(ddof=1))
    root = 1 / len(apart)
    return Difference(float(apart.mean()), spread * root**0.5, spread * (root + ratio) ** 0.5, len(apart))


def over_blocks(ours: np.ndarray, theirs: np.ndarray, figure: Callable[[np.ndarray], np.ndarray]) -> Difference:
    """One split: the jackknife over equal blocks of its test rows, of a figure of the mean loss."""
    blocks = len(ours)

    def without(values: np.ndarray) -> np.ndarray:
        return figure((values.sum() - values) / (blocks - 1))

    apart = without(np.asarray(ours)) - without(np.asarray(theirs))
    error = math.sqrt((blocks - 1) / blocks * float(((apart - apart.mean()) ** 2).sum()))
    mean = float(figure(np.mean(ours)) - figure(np.mean(theirs)))
    return Difference(mean, error, error, 1)


def ranks(values: dict[str, float]) -> dict[str, float]:
    """1 is the lowest; ties share their mean rank."""
    return {
        name: 1 + sum(other < value for other in values.values()) + 0.5 * (sum(o == value for o in values.values()) - 1)
        for name, value in values.items()
    }


def mean_ranks(by_set: dict[str, dict[str, float]]) -> dict[str, tuple[float, int]]:
    """The mean of a model's ranks over the sets it was measured on, and how many."""
    found: dict[str, list[float]] = {}
    for values in by_set.values():
        for name, rank in ranks(values).items():
            found.setdefault(name, []).append(rank)
    return {name: (float(np.mean(each)), len(each)) for name, each in found.items()}


def critical_difference(models: int, sets: int, level: float = 0.05) -> float:
    """Nemenyi: mean ranks nearer than this are not told apart. Demsar, JMLR 7 (2006), section 3.2.2."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - level, models, np.inf)) / math.sqrt(2)
    return q * math.sqrt(models * (models + 1) / (6 * sets))
