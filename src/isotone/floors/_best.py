"""Several floors: the one that detects most on rows held out, and sums of several."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from torch import Tensor

from ..errors import BadInput, require
from ..evaluation import detection_near
from ..verdict import Verdict
from ._additive import AdditiveFloor
from ._booster import BoosterFloor
from ._floor import FloorProof, Scores, State, tick
from ._network import NetworkFloor
from ._patterns import PatternFloor


@dataclass
class SumFloor:
    """A sum of floors, each in units of its own spread among the benign rows that score high; weights are above 0.

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
        if len(given) != len(self.floors) or not all(weight > 0 for weight in given):
            raise BadInput("SumFloor", f"weights={given} came", "one above 0 per floor is right")
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
        units = [_unit(floor.scores(benign), rate) for floor in fitted]
        return self._set(fitted, [(middle, size / weight) for (middle, size), weight in zip(units, given, strict=True)])

    @classmethod
    def of(cls, fitted: Sequence[Any], units: Sequence[tuple[float, float]]) -> Self:
        """A sum of fitted floors, each taken as (score - middle) / size for its (middle, size)."""
        return cls(list(fitted))._set(fitted, units)

    def _set(self, fitted: Sequence[Any], units: Sequence[tuple[float, float]]) -> Self:
        self.floors_ = list(fitted)
        self.middles_ = [float(middle) for middle, _ in units]
        self.scales_ = [float(1 / size) for _, size in units]
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
    """Of several floors, and sums of two or of all of them, the one that detects most validation rows near the rate.

    The first is left only for one that detects more by a standard error of its detection: few rows decide, and a choice
    among equals by chance costs what the first was better by (Breiman et al. 1984, the rule of one standard error).

    Args:
        candidates: floors; without validation rows of both labels the first is taken.
        groups: positions of candidates that are tried, summed where several; None: each, each pair, and all. Few rows
            decide, so a choice among fewer is wrong less often.
        refit: whether what was chosen is fitted once more, to all rows: its thresholds are set on others.

    Attributes:
        found_: (what, detection on the validation rows near the rate) of all that was tried.
        chosen_: positions of the candidates that were taken.
    """

    candidates: Sequence[Any]
    groups: Sequence[tuple[int, ...]] | None = None
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
        weight = np.ones(X.shape[0]) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        held = None if validation is None else np.asarray(validation[1])
        choosing = held is not None and len(np.unique(held)) > 1 and len(self.candidates) > 1
        candidates = list(self.candidates) if choosing else list(self.candidates)[:1]
        steps = 2 * len(candidates)
        fitted = [
            copy.deepcopy(candidate).fit(
                X, y, directions, sample_weight=weight, rate=rate, seed=seed, progress=_piece(progress, k, steps)
            )
            for k, candidate in enumerate(candidates)
        ]
        self.found_: list[tuple[str, float]] = []
        self.chosen_: tuple[int, ...] = (0,)
        self.floor_: Any = fitted[0]
        if validation is None or held is None or not choosing:
            return self
        scores = [floor.scores(validation[0]) for floor in fitted]
        units = [_unit(found[held == 0], rate) for found in scores]
        best, bad = -1.0, int((held != 0).sum())
        for group in self._groups():
            total = sum((scores[k] - units[k][0]) / units[k][1] for k in group)
            detected = detection_near(np.asarray(total), held, rate)
            self.found_.append((" + ".join(_name(candidates[k]) for k in group), detected))
            if best < 0:
                best, self.chosen_ = detected + math.sqrt(detected * (1 - detected) / bad), group
            elif detected > best:
                best, self.chosen_ = detected, group
        if self.refit:
            stack = require("scipy.sparse", "tables").vstack if hasattr(X, "indptr") else np.vstack
            rows, labels = stack([X, validation[0]]), np.concatenate([np.asarray(y), held])
            rows = rows.tocsr() if hasattr(rows, "tocsr") else rows
            weights = np.concatenate([weight, np.ones(len(held))])
            for done, k in enumerate(self.chosen_):
                fitted[k] = copy.deepcopy(candidates[k]).fit(
                    rows,
                    labels,
                    directions,
                    sample_weight=weights,
                    rate=rate,
                    seed=seed,
                    progress=_piece(progress, len(candidates) + done, steps),
                )
        taken = [fitted[k] for k in self.chosen_]
        # In units of rows that no fit was given; scores of rows that it was given lie elsewhere.
        self.floor_ = taken[0] if len(taken) == 1 else SumFloor.of(taken, [units[k] for k in self.chosen_])
        tick(progress, 1.0, "floor")
        return self

    def _groups(self) -> list[tuple[int, ...]]:
        """What is tried; on equal detection an earlier one is taken, and the first unless another is clearly better."""
        if self.groups is not None:
            return list(self.groups)
        every = tuple(range(len(self.candidates)))
        alone: list[tuple[int, ...]] = [(k,) for k in every]
        return alone + list(itertools.combinations(every, 2)) + ([every] if len(every) > 2 else [])

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
    """Trained patterns, or patterns as they start with trees, or single features with trees, by validation rows.

    Where LightGBM is not installed both come without trees. Of many ways to combine floors these did best on folds of
    the training and validation rows of five sets (benchmarks/floor_folds.py); many ways to choose from would mean
    wrong choices.
    """
    candidates = [PatternFloor(), PatternFloor(units=4096, odds=0.5, steps=0), AdditiveFloor()]
    if importlib.util.find_spec("lightgbm"):
        return BestFloor([*candidates, BoosterFloor(prune=False)], ((0,), (1, 3), (2, 3)))
    return BestFloor(candidates, ((0,), (1,), (2,)))


def floor_from_state(state: dict[str, Tensor], facts: dict[str, Any]) -> Any:
    """The floor whose `to_state` gave these.

    Raises:
        BadInput: of no kind that is known.
    """
    kinds: dict[str, Any] = {
        kind.__name__: kind for kind in (PatternFloor, BoosterFloor, AdditiveFloor, NetworkFloor, SumFloor)
    }
    if (kind := facts.get("kind")) not in kinds:
        raise BadInput("floor", f"the kind {kind!r} came", f"one of {', '.join(sorted(kinds))} is right")
    return kinds[kind].from_state(state, facts)


def _piece(progress: Callable[[float, str], object] | None, k: int, of: int) -> Callable[[float, str], object] | None:
    if progress is None:
        return None
    return lambda share, what: tick(progress, (k + share) / of, what)


def _unit(benign: Scores, rate: float) -> tuple[float, float]:
    """Where the threshold lies among benign scores, and how far below it the next few lie: above 0."""
    middle, low = np.quantile(benign, [1 - rate, max(0.0, 1 - 6 * rate)])
    return float(middle), float(max(middle - low, 1e-3))


def _name(floor: Any) -> str:
    """The class, and the settings that are not its defaults."""
    changed = [
        f"{field.name}={getattr(floor, field.name)!r}"
        for field in fields(floor)
        if getattr(floor, field.name) != field.default
    ]
    return f"{type(floor).__name__}({', '.join(changed)})"
