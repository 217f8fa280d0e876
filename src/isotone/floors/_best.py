"""Several floors: the one that detects most on rows held out, and sums of several."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import BadInput, require
from ..verdict import Verdict
from ._booster import BoosterFloor
from ._floor import Floor, FloorProof, Scores, State, tick
from ._network import NetworkFloor
from ._patterns import PatternFloor


def detection_near(scores: Scores, labels: NDArray[Any], rate: float) -> float:
    """Mean share of bad rows above the thresholds of false-alarm rates from half to one and a half times `rate`.

    One threshold is set by few benign rows; their neighbours say much the same, and the mean of all is steadier.

    >>> detection_near(np.array([3.0, 2.0, 1.0, 0.0]), np.array([1, 0, 1, 0]), 0.5)
    0.6
    """
    benign, bad = np.sort(scores[labels == 0]), scores[labels == 1]
    levels = np.linspace(rate / 2, rate * 3 / 2, 5)
    kept = [benign[max(0, len(benign) - 1 - int(level * len(benign) + 1e-9))] for level in levels]
    return float(np.mean([(bad > threshold).mean() for threshold in kept]))


@dataclass
class SumFloor:
    """A sum of floors, each in units of its own spread among the benign rows that score high; weights are at least 0.

    >>> X = np.tile(np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]]), (20, 1))
    >>> floor = SumFloor([PatternFloor(steps=5), PatternFloor(steps=20)]).fit(X, np.tile([1, 0, 0, 0], 20), (1, 1))
    >>> floor.prove().verdict
    <Verdict.PROVED: 'proved'>
    """

    floors: Sequence[Any]
    weights: Sequence[float] | None = None

    def fit(
        self,
        X: Any,
        y: Any,
        directions: tuple[int, ...],
        *,
        sample_weight: Any = None,
        rate: float = 0.01,
        seed: int = 0,
        validation: tuple[Any, Any] | None = None,
        progress: Callable[[float, str], object] | None = None,
    ) -> Self:
        """See `Floor`; units are taken from `validation`, or else from the rows themselves."""
        given = list(self.weights or [1.0] * len(self.floors))
        if len(given) != len(self.floors) or not all(weight >= 0 for weight in given):
            raise BadInput("SumFloor", f"weights={given} came", "one of at least 0 per floor is right")
        fitted = [
            copy.deepcopy(floor).fit(
                X,
                y,
                directions,
                sample_weight=sample_weight,
                rate=rate,
                seed=seed,
                validation=validation,
                progress=progress,
            )
            for floor in self.floors
        ]
        rows, labels = (X, np.asarray(y)) if validation is None else (validation[0], np.asarray(validation[1]))
        benign = rows[np.flatnonzero(labels == 0)] if (labels == 0).any() else X
        return self._of(fitted, [floor.scores(benign) for floor in fitted], given, rate)

    def _of(self, fitted: Sequence[Any], benign: Sequence[Scores], given: Sequence[float], rate: float) -> Self:
        self.floors_ = list(fitted)
        self.middles_, self.scales_ = [], []
        for weight, scores in zip(given, benign, strict=True):
            middle, low = np.quantile(scores, [1 - rate, max(0.0, 1 - 6 * rate)])
            self.middles_.append(float(middle))
            self.scales_.append(float(weight / max(middle - low, 1e-6)))
        return self

    def scores(self, X: Any) -> Scores:
        """See `Floor`."""
        total = np.zeros(X.shape[0])
        for floor, middle, scale in zip(self.floors_, self.middles_, self.scales_, strict=True):
            total = total + (floor.scores(X) - middle) * scale  # each step keeps order, in floats too: scale >= 0
        return total

    def prove(self) -> FloorProof:
        """Of every part; a sum with weights of at least 0 follows what all its parts follow."""
        found = [floor.prove() for floor in self.floors_]
        if not all(scale >= 0 and np.isfinite(scale) for scale in self.scales_):
            return FloorProof(Verdict.UNKNOWN, "a weight of the sum is not a number of at least 0", tuple(found))
        bad = [one for one in found if one.verdict is not Verdict.PROVED]
        if bad:
            return FloorProof(Verdict.UNKNOWN, f"a part of the sum is not proved: {bad[0].reason}", tuple(found))
        said = "each part is proved, and the sum takes them with weights of at least 0"
        return FloorProof(Verdict.PROVED, said, tuple(found))

    def to_state(self) -> State:
        """See `Floor`."""
        states = [floor.to_state() for floor in self.floors_]
        tensors = {f"{k}.{name}": tensor for k, (state, _) in enumerate(states) for name, tensor in state.items()}
        return tensors, {
            "kind": "SumFloor",
            "parts": [facts for _, facts in states],
            "middles": self.middles_,
            "scales": self.scales_,
        }

    @classmethod
    def from_state(cls, state: dict[str, Tensor], facts: dict[str, Any]) -> Self:
        """What `to_state` gave."""
        parts = [
            floor_from_state({n.split(".", 1)[1]: t for n, t in state.items() if n.split(".", 1)[0] == str(k)}, part)
            for k, part in enumerate(facts["parts"])
        ]
        sum_ = cls(parts)
        sum_.floors_, sum_.middles_ = parts, [float(v) for v in facts["middles"]]
        sum_.scales_ = [float(v) for v in facts["scales"]]
        return sum_


@dataclass
class BestFloor:
    """The candidate that detects most of the validation rows near the rate; then fitted to those rows too.

    Args:
        candidates: floors; without validation rows the first is taken.
        refit: whether the one chosen is fitted once more, to all rows: its thresholds are set on others.

    Attributes:
        found_: (name, detection on the validation rows) of each candidate.
    """

    candidates: Sequence[Any]
    refit: bool = True

    def fit(
        self,
        X: Any,
        y: Any,
        directions: tuple[int, ...],
        *,
        sample_weight: Any = None,
        rate: float = 0.01,
        seed: int = 0,
        validation: tuple[Any, Any] | None = None,
        progress: Callable[[float, str], object] | None = None,
    ) -> Self:
        """See `Floor`."""
        labels = None if validation is None else np.asarray(validation[1])
        choosing = labels is not None and (labels == 0).any() and (labels == 1).any() and len(self.candidates) > 1
        candidates = list(self.candidates) if choosing else list(self.candidates)[:1]
        pieces = len(candidates) + (self.refit and choosing)
        self.found_: list[tuple[str, float]] = []
        fitted: list[Floor] = []
        for k, candidate in enumerate(candidates):
            fitted.append(
                copy.deepcopy(candidate).fit(
                    X,
                    y,
                    directions,
                    sample_weight=sample_weight,
                    rate=rate,
                    seed=seed,
                    validation=validation,
                    progress=_piece(progress, k, pieces),
                )
            )
            if choosing:
                assert validation is not None and labels is not None
                found = detection_near(fitted[-1].scores(validation[0]), labels, rate)
                self.found_.append((type(candidate).__name__, found))
        at = int(np.argmax([found for _, found in self.found_])) if choosing else 0
        self.floor_: Any = fitted[at]
        if choosing and self.refit:
            assert validation is not None
            stack = require("scipy.sparse", "tables").vstack if hasattr(X, "indptr") else np.vstack
            weight = np.ones(X.shape[0]) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
            self.floor_ = copy.deepcopy(candidates[at]).fit(
                stack([X, validation[0]]), np.concatenate([np.asarray(y), labels]), directions,
                sample_weight=np.concatenate([weight, np.ones(len(labels))]), rate=rate, seed=seed,
                progress=_piece(progress, pieces - 1, pieces),
            )  # fmt: skip
        return self

    def scores(self, X: Any) -> Scores:
        """See `Floor`."""
        return self.floor_.scores(X)  # type: ignore[no-any-return]

    def prove(self) -> FloorProof:
        """Of the floor that was chosen."""
        return self.floor_.prove()  # type: ignore[no-any-return]

    def to_state(self) -> State:
        """See `Floor`: the floor that was chosen."""
        return self.floor_.to_state()  # type: ignore[no-any-return]


def best_floor() -> BestFloor:
    """Patterns, and a monotone booster where LightGBM is installed: the better one on validation rows."""
    boosters = [BoosterFloor()] if importlib.util.find_spec("lightgbm") else []
    return BestFloor([PatternFloor(), *boosters])


def floor_from_state(state: dict[str, Tensor], facts: dict[str, Any]) -> Any:
    """The floor whose `to_state` gave these.

    Raises:
        BadInput: of no kind that is known.
    """
    kinds: dict[str, Any] = {kind.__name__: kind for kind in (PatternFloor, BoosterFloor, NetworkFloor, SumFloor)}
    if (kind := facts.get("kind")) not in kinds:
        raise BadInput("floor", f"the kind {kind!r} came", f"one of {', '.join(sorted(kinds))} is right")
    return kinds[kind].from_state(state, facts)


def _piece(progress: Callable[[float, str], object] | None, k: int, of: int) -> Callable[[float, str], object] | None:
    if progress is None:
        return None
    return lambda share, what: tick(progress, (k + share) / of, what)
