"""LightGBM as a family: the strongest monotone peer, and the unconstrained detector that is hardest to beat.

Its scorer can be attacked as a black box that is known to look at few features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .attack import BlackBox, Moves, Victim
from .data import Examples
from .errors import require
from .evaluation import Scores, partial_auc
from .families import Material, Setting
from .training import SELECTION_RATE, Watch

BOOSTER_SETTINGS: tuple[Setting, ...] = (
    {"num_leaves": 15, "min_child_samples": 5},
    {"num_leaves": 15, "min_child_samples": 20},
    {"num_leaves": 31, "min_child_samples": 5},
    {"num_leaves": 31, "min_child_samples": 10, "learning_rate": 0.1},
)


@dataclass(frozen=True)
class BoosterFamily:
    """LightGBM, with or without its monotone constraints."""

    monotone: bool = True
    trees: int = 300
    stops: tuple[int, ...] = (50, 100, 150, 200, 250, 300)
    threads: int = 0
    settings: tuple[Setting, ...] = BOOSTER_SETTINGS

    @property
    def name(self) -> str:
        """Its name in tables."""
        return "monotone LightGBM" if self.monotone else "unconstrained LightGBM"

    def fit(self, material: Material, setting: Setting, seed: int, watch: Watch | None = None) -> BoosterScorer:
        """Trained; the best number of trees by validation."""
        lightgbm = require("lightgbm", "demo")
        parameters = {
            "objective": "binary",
            "learning_rate": 0.05,
            "colsample_bytree": 0.5,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbose": -1,
            **setting,
        }
        if self.monotone:
            parameters["monotone_constraints"] = list(material.directions)
        data = lightgbm.Dataset(material.training.examples.matrix(), material.training.labels)
        booster = lightgbm.train(parameters, data, num_boost_round=self.trees)
        checks, labels = material.validation.examples.matrix(), material.validation.labels
        scores = {
            stop: partial_auc(booster.predict(checks, raw_score=True, num_iteration=stop), labels, SELECTION_RATE)
            for stop in self.stops
        }
        best = max(scores, key=lambda stop: scores[stop])
        if watch is not None:
            watch(self.trees - 1, self.trees, {"selection": scores[best]})
        return BoosterScorer(booster, best)


@dataclass(frozen=True)
class BoosterScorer:
    """A booster that scores, with so many of its trees."""

    booster: Any
    trees: int

    def logits(self, examples: Examples) -> Scores:
        """Shape (rows,)."""
        return self._predict(examples.matrix())

    def victim(self, moves: Moves, sample: NDArray[np.float32]) -> Victim:
        """Asked as a black box, about the features that its trees look at."""
        return _TreeVictim(self, moves, sample)

    @cached_property
    def used(self) -> NDArray[np.int64]:
        """Features that occur in a split; no other can change a score."""
        return np.flatnonzero(self.booster.feature_importance("split", iteration=self.trees))

    def dense(self, x: NDArray[np.float32]) -> Scores:
        """Scores of dense rows over all features."""
        sparse = require("scipy.sparse", "tables")
        narrow = sparse.csr_matrix(x[:, self.used])
        wide = sparse.csr_matrix((narrow.data, self.used[narrow.indices], narrow.indptr), shape=x.shape)
        return self._predict(wide)

    def _predict(self, matrix: Any) -> Scores:
        return np.asarray(self.booster.predict(matrix, raw_score=True, num_iteration=self.trees), dtype=np.float64)


class _TreeVictim:
    static = True  # the guess is the same for every row, as of a `BlackBox`

    def __init__(self, scorer: BoosterScorer, moves: Moves, sample: NDArray[np.float32]) -> None:
        self._used = torch.from_numpy(scorer.used.astype(np.int64))
        self._all = BlackBox(scorer.dense, sample)
        self._narrow_moves = Moves(moves.addable[self._used], moves.target[self._used], moves.directions[self._used])

        def narrow(x: NDArray[np.float32]) -> Scores:
            wide = np.zeros((len(x), moves.features), dtype=np.float32)
            wide[:, scorer.used] = x
            return scorer.dense(wide)

        self._narrow = BlackBox(narrow, sample[:, scorer.used])

    def score(self, x: Tensor) -> Tensor:
        return self._all.score(x)

    def preference(self, x: Tensor, moves: Moves) -> Tensor:
        found = torch.zeros_like(x)
        found[:, self._used] = self._narrow.preference(x[:, self._used], self._narrow_moves)
        return found
