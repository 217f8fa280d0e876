"""isotone's own monotone network for rows of a table, trained for few false alarms.

First as a classifier, which finds where the classes lie; then on the band of false-alarm rates that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..nn import TabularNetwork
from ._floor import OfNetwork, score_blocks, tick
from ._objectives import partial_auc_loss
from ._pruning import pruned
from ._reading import free_knots, knots_of, learnt, narrow

_MOST_COLUMNS = 2048


@dataclass
class NetworkFloor(OfNetwork):
    """A monotone network; features of direction 0 are free.

    Args:
        hidden: widths of its monotone layers.
        stretches: of a number, in its ramps.
        warm: steps as a classifier with `pos_weight`.
        steps: steps on the band.
        learning_rate: of Adam.
        pos_weight: what a bad row counts beside a benign one while it is a classifier; None: as much as they are fewer.
        temperature: of the loss on the band, in logits.
        focus: the band, as multiples of the false-alarm rate.
        prune: leave out bad rows that more benign rows contain than the rate gives up.
        batch: rows of a step, at most.

    >>> X = np.tile(np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]]), (20, 1))
    >>> floor = NetworkFloor(warm=50, steps=20).fit(X, np.tile([1, 0, 0, 0], 20), (1, 1))
    >>> floor.scores(X)[:4].argmax(), floor.prove().verdict
    (np.int64(0), <Verdict.PROVED: 'proved'>)
    """

    made_of = TabularNetwork

    hidden: tuple[int, ...] = (64, 64)
    stretches: int = 8
    warm: int = 150
    steps: int = 150
    learning_rate: float = 0.01
    pos_weight: float | None = 1.0
    temperature: float = 1.0
    focus: tuple[float, float] = (1 / 6, 3.0)
    prune: bool = True
    batch: int = 4096

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
        used, knots = knots_of(rows, directions, self.stretches, _MOST_COLUMNS)
        free, shown = free_knots(rows, directions, self.stretches)
        used, knots = np.concatenate([used, free]), [*knots, *shown]
        if not len(used):
            used, knots = np.arange(1), [[0.0, 1.0]]
        self.used_ = used
        if self.prune:
            rows = pruned(rows, directions, rate)
        columns: list[list[float] | None] = [None if levels == [0.0, 1.0] else levels for levels in knots]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network_ = TabularNetwork(columns, [directions[j] for j in used], hidden=self.hidden)
        self._learn(rows, rate, seed, progress)
        return self

    def _learn(self, rows: Any, rate: float, seed: int, progress: Callable[[float, str], object] | None) -> None:
        net = self.network_
        bad_weight, benign_weight = (
            torch.as_tensor(w, dtype=torch.float32) for w in (rows.bad_weight, rows.benign_weight)
        )
        total = float(benign_weight.sum())
        pos = self.pos_weight if self.pos_weight is not None else total / float(bad_weight.sum())
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(net.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        every = self.warm + self.steps
        hard = torch.arange(0)
        for step in range(every):
            share = step / every
            optimizer.param_groups[0]["lr"] = self.learning_rate * min(1.0, 10 * share + 0.1, 2 * (1 - share))
            if step % 10 == 0:
                tick(progress, share, "network")
            at = _some(len(bad_weight), self.batch // 2, generator)
            bad = net(_numbers(rows.bad, at, self.used_))[:, 0]
            if step < self.warm:
                bt = _some(len(benign_weight), self.batch, generator)
                benign = net(_numbers(rows.benign, bt, self.used_))[:, 0]
                loss = pos * (torch.nn.functional.softplus(-bad) * bad_weight[at]).sum()
                loss = loss + (torch.nn.functional.softplus(benign) * benign_weight[bt]).sum()
                loss = loss / (bad_weight[at].sum() + benign_weight[bt].sum())
            else:
                if (step - self.warm) % 10 == 0:
                    height = torch.from_numpy(score_blocks(net, rows.benign, self.used_))
                    net.train()
                    most = min(len(height), max(512, int(8 * rate * len(height))))
                    hard = torch.topk(height, most).indices
                benign = net(_numbers(rows.benign, hard, self.used_))[:, 0]
                low, high = (rate * share for share in self.focus)
                loss = partial_auc_loss(
                    bad,
                    bad_weight[at],
                    benign,
                    benign_weight[hard],
                    total=total,
                    low=low,
                    high=high,
                    temperature=self.temperature,
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        net.eval()
        tick(progress, 1.0, "network")


def _some(rows: int, most: int, generator: torch.Generator) -> Tensor:
    if rows <= most:
        return torch.arange(rows)
    return torch.randperm(rows, generator=generator)[:most].sort().values


def _numbers(X: Any, at: Tensor, used: Any) -> Tensor:
    return torch.from_numpy(narrow(X[at.numpy()][:, used]))
