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
from numpy.typing import NDArray
from torch import Tensor

from ..data import folds, row_hashes
from ..errors import BadInput, require
from ..evaluation import detection_near
from ..verdict import Verdict
from ._additive import AdditiveFloor
from ._booster import BoosterFloor
from ._floor import FloorProof, Scores, State, tick, ways_of
from ._network import NetworkFloor
from ._patterns import PatternFloor

Numbers = NDArray[Any]
_SOME = 0.1


@dataclass
class SumFloor:
    """A sum of floors, each in units of its own spread among the benign rows that score high; weights are above 0.

    Args:
        floors: the parts.
        weights: one each; None: all alike.
        units: (middle, size) of each part's score, where they are known; None: `fit` takes them from rows.

    >>> X = np.tile(np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]]), (20, 1))
    >>> floor = SumFloor([PatternFloor(steps=5), PatternFloor(steps=20)]).fit(X, np.tile([1, 0, 0, 0], 20), (1, 1))
    >>> floor.prove().verdict
    <Verdict.PROVED: 'proved'>
    """

    floors: Sequence[Any]
    weights: Sequence[float] | None = None
    units: Sequence[tuple[float, float]] | None = None

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
        """See `Floor`; units that are not known are taken from `validation`, or else from the rows themselves."""
        given = list(self.weights or [1.0] * len(self.floors))
        if len(given) != len(self.floors) or not all(weight > 0 for weight in given):
            raise BadInput("SumFloor", f"weights={given} came", "one above 0 per floor is right")
        known = self.units
        if known is not None and (len(known) != len(self.floors) or not all(size > 0 for _, size in known)):
            raise BadInput("SumFloor", f"units={list(known)} came", "(middle, size above 0) per floor is right")
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
        units = self.units
        if units is None:
            rows, labels = (X, np.asarray(y)) if validation is None else (validation[0], np.asarray(validation[1]))
            benign = rows[np.flatnonzero(labels == 0)] if (labels == 0).any() else X
            units = [_unit(floor.scores(benign), rate) for floor in fitted]
        return self._set(fitted, [(middle, size / weight) for (middle, size), weight in zip(units, given, strict=True)])

    @classmethod
    def of(cls, fitted: Sequence[Any], units: Sequence[tuple[float, float]]) -> Self:
        """A sum of fitted floors, each taken as (score - middle) / size for its (middle, size)."""
        return cls(list(fitted))._set(fitted, units)

    def _set(self, fitted: Sequence[Any], units: Sequence[tuple[float, float]]) -> Self:
        self.floors_, self.units_ = list(fitted), [(float(middle), float(size)) for middle, size in units]
        self.middles_ = [float(middle) for middle, _ in units]
        self.scales_ = [float(1 / size) for _, size in units]
        return self

    def scores(self, X: Any) -> Scores:
        """See `Floor`."""
        total = np.zeros(X.shape[0])
        for floor, middle, scale in zip(self.floors_, self.middles_, self.scales_, strict=True):
            total = total + (floor.scores(X) - middle) * scale  # each step keeps order, in floats too: scale >= 0
        return total

    def settled(self) -> Any:
        """The same sum, in these units, of parts that choose nothing any more."""
        parts = [_settled(fitted, own) for fitted, own in zip(self.floors_, self.floors, strict=True)]
        return SumFloor(parts, units=self.units_)

    def prove(self) -> FloorProof:
        """Of every part; a sum with weights of at least 0 follows what all its parts follow."""
        found = [floor.prove() for floor in self.floors_]
        if not all(scale >= 0 and np.isfinite(scale) for scale in self.scales_):
            return FloorProof(Verdict.UNKNOWN, "a weight of the sum is not a number of at least 0", tuple(found))
        if not np.isfinite(self.middles_).all():
            return FloorProof(Verdict.UNKNOWN, "a middle of the sum is not a finite number", tuple(found))
        if len(ways_of(self)) > 1:
            return FloorProof(Verdict.UNKNOWN, "the parts of the sum follow different directions", tuple(found))
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
    """Of several floors, and sums of two or of all of them, the one that detects most on folds of the rows.

    The first is left only for one that detects more by a standard error of its detection: few rows decide, and a choice
    among equals by chance costs what the first was better by (Breiman et al. 1984, the rule of one standard error).
    Where none detects a tenth of the bad rows, what they detect there is noise: the rate is doubled until one does.
    What was chosen is fitted to all rows.

    Args:
        candidates: floors; where a label has fewer than two rows a fold the first is taken.
        groups: positions of candidates that are tried, summed where several; None: each, each pair, and all. Few rows
            decide, so a choice among fewer is wrong less often.
        folds: 2 or more; equal rows are in one, or rows of a family where families are given.

    Attributes:
        found_: (what, detection near `rate_` on rows that its fit was not given) of all that was tried.
        rate_: the false-alarm rate that was chosen at.
        chosen_: positions of the candidates that were taken.

    Cost: each candidate `folds` times, and what was chosen once more.
    """

    candidates: Sequence[Any]
    groups: Sequence[tuple[int, ...]] | None = None
    folds: int = 3

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
        families: Any = None,
    ) -> Self:
        """See `Floor`; rows of `validation` are rows like the others.

        Args:
            families: shape (rows + validation rows,), of any kind; rows of a family stay in one fold, equal or not.
        """
        labels, weight = np.asarray(y), np.ones(X.shape[0])
        if sample_weight is not None:
            weight = np.asarray(sample_weight, dtype=np.float64)
        if validation is not None:
            X = _stacked(X, validation[0])
            labels = np.concatenate([labels, validation[1]])
            weight = np.concatenate([weight, np.ones(len(validation[1]))])
        fold = None
        if len(self.candidates) > 1:
            fold = folds(labels, self.folds, seed, row_hashes(X) if families is None else families)
        steps = len(self.candidates) * (self.folds + 1) if fold is not None else 1

        def fitted(k: int, at: Any, done: int) -> Any:
            return copy.deepcopy(self.candidates[k]).fit(
                X[at], labels[at], directions,
                sample_weight=weight[at], rate=rate, seed=seed, progress=_piece(progress, done, steps),
            )  # fmt: skip

        self.found_: list[tuple[str, float]] = []
        self.rate_ = rate
        self.chosen_: tuple[int, ...] = (0,)
        units = [(0.0, 1.0)] * len(self.candidates)
        if fold is not None:
            scores = np.empty((len(self.candidates), len(labels)))
            for done, (part, k) in enumerate(itertools.product(range(self.folds), range(len(self.candidates)))):
                held = np.flatnonzero(fold == part)
                scores[k, held] = fitted(k, np.flatnonzero(fold != part), done).scores(X[held])
            units = self._choose(scores, labels, fold)
            while max(detected for _, detected in self.found_) < _SOME and 3 * self.rate_ < 1:
                self.rate_ *= 2
                units = self._choose(scores, labels, fold)
        every = np.arange(len(labels))
        taken = [fitted(k, every, steps - len(self.chosen_) + done) for done, k in enumerate(self.chosen_)]
        self.floor_: Any = taken[0] if len(taken) == 1 else SumFloor.of(taken, [units[k] for k in self.chosen_])
        tick(progress, 1.0, "floor")
        return self

    def _choose(self, scores: Numbers, labels: Numbers, fold: Numbers) -> list[tuple[float, float]]:
        """What detects most on the folds; and the unit of each candidate in a sum, by rows that no fit was given."""
        rate, self.found_ = self.rate_, []
        parts = [np.flatnonzero(fold == part) for part in range(self.folds)]
        units = np.array([[_unit(found[at[labels[at] == 0]], rate) for at in parts] for found in scores])
        best, bad = -1.0, int((labels != 0).sum())
        for group in self._groups():
            sums = sum((scores[k] - units[k, fold, 0]) / units[k, fold, 1] for k in group)
            detected = float(np.mean([detection_near(sums[at], labels[at], rate) for at in parts]))
            self.found_.append((" + ".join(_name(self.candidates[k]) for k in group), detected))
            if best < 0:
                best, self.chosen_ = detected + math.sqrt(detected * (1 - detected) / bad), group
            elif detected > best:
                best, self.chosen_ = detected, group
        return [(float(middle), float(size)) for middle, size in units.mean(axis=1)]

    def _groups(self) -> list[tuple[int, ...]]:
        """What is tried; on equal detection an earlier one is taken, and the first unless another is clearly better."""
        if self.groups is not None:
            return list(self.groups)
        every = tuple(range(len(self.candidates)))
        alone: list[tuple[int, ...]] = [(k,) for k in every]
        return alone + list(itertools.combinations(every, 2)) + ([every] if len(every) > 2 else [])

    def settled(self) -> Any:
        """What was chosen, to be fitted to other rows without choosing again."""
        given = [self.candidates[k] for k in self.chosen_]
        if len(given) == 1:
            return _settled(self.floor_, given[0])
        return SumFloor(
            [_settled(fitted, own) for fitted, own in zip(self.floor_.floors_, given, strict=True)],
            units=self.floor_.units_,
        )

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
    """Trained patterns, or patterns as they start with trees, or single features with trees, by folds of the rows.

    Trees beside single features come with and without a penalty on their leaves.

    Where LightGBM is not installed both come without trees. Of many ways to combine floors these did best on folds of
    the training and validation rows of five sets (benchmarks/floor_folds.py); many ways to choose from would mean
    wrong choices.
    """
    candidates = [PatternFloor(), PatternFloor(units=4096, odds=0.5, steps=0), AdditiveFloor()]
    if importlib.util.find_spec("lightgbm"):
        trees = [BoosterFloor(prune=False), BoosterFloor(prune=False, l2=20.0)]
        return BestFloor([*candidates, *trees], ((0,), (1, 3), (2, 3), (2, 4)))
    return BestFloor(candidates, ((0,), (1,), (2,)))


def _settled(fitted: Any, given: Any) -> Any:
    """A floor, not fitted, that chooses nothing that is chosen."""
    return fitted.settled() if hasattr(fitted, "settled") else copy.deepcopy(given)


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


def _stacked(X: Any, other: Any) -> Any:
    rows = require("scipy.sparse", "tables").vstack([X, other]) if hasattr(X, "indptr") else np.vstack([X, other])
    return rows.tocsr() if hasattr(rows, "tocsr") else rows


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
