"""Fitted detectors: scores of sparse rows, and how an attack may ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from isotone.attack import BlackBox, Differentiable, Moves, Victim
from isotone.boosters import _TreeVictim  # asks about the features that trees look at
from isotone.families import NetworkScorer, NetworkVictim, Scorer
from isotone.nn import MonotoneEnsemble

from .sides import Problem

ROWS = 512
# The gradient of a network passes every name of every row through it: over more names than this it costs minutes.
MOST_SLOPES = 300


class Fitted(Protocol):
    """What a model's fit gives back."""

    def scores(self, X: Any) -> np.ndarray:
        """Float64, shape (rows,), of a scipy CSR: an alarm is a score above the threshold."""
        ...

    def victim(self, moves: Moves, sample: np.ndarray) -> Victim:
        """For attacks; `sample`: some detected rows, dense."""
        ...


@dataclass(frozen=True)
class Family:
    """One of isotone's families."""

    scorer: Scorer
    problem: Problem = field(repr=False)

    def scores(self, X: Any) -> np.ndarray:
        return self.scorer.logits(self.problem.examples(X))

    def victim(self, moves: Moves, sample: np.ndarray) -> Victim:
        if isinstance(self.scorer, NetworkScorer) and moves.features <= MOST_SLOPES:
            return Network(self.scorer.network)
        return self.scorer.victim(moves, sample)


class Network(NetworkVictim):
    """With a gradient too, so that the attacks that follow one can run. Every name of every row passes through it."""

    def __init__(self, network: MonotoneEnsemble) -> None:
        super().__init__(network)
        dense = network.over_vocabulary() if network.names else None
        names = network.names

        def score(x: Tensor) -> Tensor:
            return network(None, x) if dense is None else dense(x[:, :names], x[:, names:])

        object.__setattr__(self, "_by_gradient", Differentiable(score))

    def slope(self, x: Tensor) -> Tensor:
        return self._by_gradient.slope(x)


@dataclass(frozen=True)
class XGBoost:
    """Asked with dense rows only: to XGBoost what a sparse row leaves out is missing, and may score anything."""

    booster: Any
    trees: int

    @cached_property
    def used(self) -> np.ndarray:
        whole = self.booster[: self.trees].get_score(importance_type="weight")
        return np.array(sorted(int(name[1:]) for name in whole), dtype=np.int64)

    def dense(self, x: np.ndarray) -> np.ndarray:
        import xgboost as xgb  # noqa: PLC0415

        found = self.booster.predict(xgb.DMatrix(x), output_margin=True, iteration_range=(0, self.trees))
        return found.astype(np.float64)

    def scores(self, X: Any) -> np.ndarray:
        return in_blocks(lambda part: self.dense(part.toarray()), X)

    def victim(self, moves: Moves, sample: np.ndarray) -> Victim:
        return _TreeVictim(self, moves, sample)


@dataclass(frozen=True)
class Torch:
    """A module of dense rows with one logit.

    Args:
        exact: whether its sums are exact in float32, whatever their order: then blocks need not be filled up.
    """

    module: nn.Module
    exact: bool = False

    @torch.no_grad()
    def scores(self, X: Any) -> np.ndarray:
        return in_blocks(lambda part: self.module(torch.from_numpy(part.toarray())).double().numpy(), X)

    def victim(self, moves: Moves, sample: np.ndarray) -> Victim:
        return Differentiable(self._distinct if self.exact else self.module)

    def _distinct(self, x: Tensor) -> Tensor:
        """Attacks fill up their blocks with copies of the last row: it is asked about once."""
        run = (x == x[-1]).all(dim=1).flip(0).logical_not().nonzero()
        rows = 1 if not len(run) else len(x) - int(run[0]) + 1
        found = self.module(x[:rows])
        return torch.cat([found, found[-1:].expand(len(x) - rows)])


@dataclass(frozen=True)
class Function:
    """Anything that scores a scipy CSR."""

    score: Callable[[Any], np.ndarray]

    def scores(self, X: Any) -> np.ndarray:
        return np.asarray(self.score(X), dtype=np.float64)

    def victim(self, moves: Moves, sample: np.ndarray) -> Victim:
        return BlackBox(lambda x: self.scores(sp.csr_matrix(x)), sample)


class Lanes:
    """A victim of several lanes, each with its threshold: the larger margin counts.

    The guess is that of one lane, as the others are monotone and nothing added lowers them.
    """

    def __init__(self, score: Callable[[Any], np.ndarray], guide: Victim) -> None:
        self._score, self._guide = score, guide

    def score(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.array(self._score(sp.csr_matrix(x.numpy())), dtype=np.float64))

    def preference(self, x: Tensor, moves: Moves) -> Tensor:
        return self._guide.preference(x, moves)


class LanesWithSlope(Lanes):
    """Where the lane that guides has a gradient."""

    def slope(self, x: Tensor) -> Tensor:
        return self._guide.slope(x)  # type: ignore[attr-defined]


def in_blocks(score: Callable[[Any], np.ndarray], X: Any) -> np.ndarray:
    """Blocks of one shape: what a row scores must not depend on how many stand beside it."""
    found = np.empty(X.shape[0])
    for start in range(0, X.shape[0], ROWS):
        at = np.arange(start, start + ROWS).clip(max=X.shape[0] - 1)
        found[start : start + ROWS] = score(X[at])[: X.shape[0] - start]
    return found
