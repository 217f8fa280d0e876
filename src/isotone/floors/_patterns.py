"""The largest over known bad patterns, learnt for few false alarms.

- a pattern starts as one bad row: its parts weighed by their rarity among benign rows, its threshold at the most that
  any benign row contains of it; rows that a benign row contains start none;
- training moves weights and thresholds so that bad rows stand above the benign rows near the threshold, each bad row
  without the pattern that it started: what counts is that the others recognise it;
- benign rows far below the threshold are left out of most steps, and looked at again every few;
- a row is compared with its best patterns only, which are looked up again every few steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..nn import MaxPatterns
from ._floor import OfNetwork, tick
from ._objectives import partial_auc_loss
from ._reading import Learnt, knots_that_fit, learnt, narrow


@dataclass
class PatternFloor(OfNetwork):
    """Contains enough of a known bad pattern, more than any benign row does.

    Args:
        units: patterns at most.
        odds: how a part weighs to begin with, see `isotone.nn.MaxPatterns.from_data`.
        stretches: parts per feature that is not a bit, at most.
        steps: of training; 0 leaves the patterns as they start.
        learning_rate: of Adam, falling to 0 over the second half.
        smoothing: a bad row is compared with a smooth maximum of its best patterns; scores are of the plain maximum.
        temperature: of the loss, in units of score.
        focus: the band of false-alarm rates that is trained for, as multiples of the rate asked for.
        hard: benign rows in a step, at least.

    Features of direction 0 are ignored. Cost: steps / 5 products of rows, parts and units.

    >>> X = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1.0]])
    >>> floor = PatternFloor().fit(X, np.array([1, 1, 0, 0, 0, 0]), (1, 1, 1, 1))
    >>> bool((floor.scores(X)[:2] > floor.scores(X)[2:].max()).all()), floor.prove().verdict
    (True, <Verdict.PROVED: 'proved'>)
    """

    made_of = MaxPatterns

    units: int = 1024
    odds: float = 0.0
    stretches: int = 8
    steps: int = 200
    learning_rate: float = 0.01
    smoothing: float = 0.3
    temperature: float = 0.5
    focus: tuple[float, float] = (1 / 6, 3 / 2)
    hard: int = 600

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
        del validation
        rows = learnt(X, y, sample_weight)
        self.directions_ = tuple(directions)
        self.used_, knots = knots_that_fit(rows, directions, self.stretches)
        ways = [directions[j] for j in self.used_]
        bad, benign = (_numbers(side, self.used_) for side in (rows.bad, rows.benign))
        weight = torch.as_tensor(rows.benign_weight, dtype=torch.float32)
        self.network_ = MaxPatterns.from_data(
            knots, bad, benign, ways, units=self.units, benign_weight=weight, odds=self.odds
        )
        learner = _Learner(self, rows, rate, seed)
        learner.learn(progress)
        return self


def _numbers(X: Any, used: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(narrow(X[:, used]))


LOOK = 5  # steps between two looks at all rows
BEST = 16  # patterns that a row is compared with in between
SPARSE = 0.1  # of the parts present, from where products go by those that are
ROWS = 2048  # bad rows in a step, at most


class _Learner:
    """The rows of a fit as parts, and its steps."""

    def __init__(self, plan: PatternFloor, rows: Learnt, rate: float, seed: int) -> None:
        self.plan, self.rate = plan, rate
        self.net: MaxPatterns = plan.network_
        with torch.no_grad():
            self.bad, self.benign = (self.net.parts(_numbers(side, plan.used_)) for side in (rows.bad, rows.benign))
        self.bad_weight = torch.as_tensor(rows.bad_weight, dtype=torch.float32)
        self.benign_weight = torch.as_tensor(rows.benign_weight, dtype=torch.float32)
        self.total = float(rows.benign_weight.sum())
        self.own = torch.full((len(self.bad),), -1)
        self.own[self.net.seeds] = torch.arange(self.net.units)
        self.generator = torch.Generator().manual_seed(seed)

    def learn(self, progress: Callable[[float, str], object] | None) -> None:
        """All steps."""
        net, plan = self.net, self.plan
        alone = len(self.bad) > 1 and net.units > 1
        optimizer = torch.optim.Adam(net.parameters(), lr=plan.learning_rate)
        hard = max(plan.hard, int(6 * self.rate * len(self.benign)))
        # Few rows need few steps: they have few patterns, and the threshold lies at one of few rows.
        steps = min(plan.steps, 20 + len(self.bad) // 2)
        for step in range(steps):
            if step % LOOK == 0:
                tick(progress, step / steps, "patterns")
                at = self._sample()
                bad = _Rows.of(self.bad[at], self._best(self.bad[at], self.own[at] if alone else None)[1])
                height, best = self._best(self.benign, None)
                near = torch.topk(height, min(hard, len(height))).indices
                benign = _Rows.of(self.benign[near], best[near])
            optimizer.param_groups[0]["lr"] = plan.learning_rate * min(1.0, 2 * (steps - step) / steps)
            low, high = (self.rate * share for share in plan.focus)
            loss = partial_auc_loss(
                self._smooth(bad),
                self.bad_weight[at],
                self._smooth(benign),
                self.benign_weight[near],
                total=self.total,
                low=low,
                high=high,
                temperature=plan.temperature,
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        tick(progress, 1.0, "patterns")

    def _sample(self) -> Tensor:
        if len(self.bad) <= ROWS:
            return torch.arange(len(self.bad))
        return torch.randperm(len(self.bad), generator=self.generator)[:ROWS].sort().values

    @torch.no_grad()
    def _best(self, parts: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
        """The largest evidence of each row, and its best patterns, without its own."""
        heights, best = [], []
        for a in range(0, len(parts), 4096):
            evidence = self._evidence(parts[a : a + 4096])
            if own is not None:
                at = torch.nonzero(own[a : a + 4096] >= 0)[:, 0]
                evidence[at, own[a + at]] = -torch.inf
            top = torch.topk(evidence, min(BEST, self.net.units - (own is not None)), dim=1)
            heights.append(top.values[:, 0])
            best.append(top.indices)
        return torch.cat(heights), torch.cat(best)

    def _evidence(self, parts: Tensor) -> Tensor:
        if float((parts > 0).float().mean()) > SPARSE:
            return self.net.evidence(parts)
        row, at = parts.nonzero(as_tuple=True)
        count = torch.bincount(row, minlength=len(parts))
        found = nn.functional.embedding_bag(
            at, self.net.weight.T.contiguous(), count.cumsum(0) - count, mode="sum", per_sample_weights=parts[row, at]
        )
        return found - self.net.threshold

    def _smooth(self, rows: _Rows) -> Tensor:
        """A smooth maximum of the evidence of each row's best patterns."""
        places = rows.best[rows.row] * self.net.weight.shape[1] + rows.at[:, None]
        of_parts = self.net.weight.reshape(-1)[places] * rows.value[:, None]
        found = -self.net.threshold[rows.best]
        evidence = found.index_add(0, rows.row, of_parts)
        return torch.logsumexp(evidence / self.plan.smoothing, 1) * self.plan.smoothing


@dataclass(frozen=True)
class _Rows:
    """Rows of a few steps, as the parts that they have, and the patterns that they are compared with."""

    row: Tensor
    at: Tensor
    value: Tensor
    best: Tensor

    @classmethod
    def of(cls, parts: Tensor, best: Tensor) -> Self:
        row, at = parts.nonzero(as_tuple=True)
        return cls(row, at, parts[row, at], best)
