"""Fitting a monotone network to encoded rows in memory.

- few rows: all of them in every step, in float64, for a fixed number of steps: rows that come twice count as one row of
  weight 2, the order of the rows does not matter, and rows of weight 0 are not there;
- many rows: mini-batches in float32, and where asked the epoch that does best on rows held out.

It knows no constraint: whatever is declared on the network holds after every step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import BadInput

# (members, rows, outputs), (rows, outputs) -> (members, rows)
Loss = Callable[[Tensor, Tensor], Tensor]

FEW_ROWS = 1000
# Fewer stretches show the course of all rows: with knots for single values Heart and AutoMPG lost .003 and .002.
_SOME = 4
_CLOSE = 1e-9
_BETAS = (0.9, 0.95)
_LARGEST_NORM = 1.0
# Adam divides a gradient by its own size plus this. Where gradients cancel, what is left is rounding, and 1e-8 makes
# steps of it by which a row of weight 2 and two rows part ways: 4e-7 after 80 steps.
_EPS, _EPS_FEW = 1e-8, 1e-6


@dataclass(frozen=True)
class Plan:
    """How to learn.

    Args:
        epochs: passes over the rows; with few rows the number of steps.
        batch_size: rows per step, with many rows.
        learning_rate: the peak of a one-cycle schedule (Smith and Topin 2018).
        weight_decay: of AdamW, on weights; it pulls towards 0, which lies inside every sign constraint.
        patience: epochs without a better held-out loss before it stops; None: no rows are held out.
        seed: of the order of rows and of dropout.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int | None
    seed: int


@dataclass(frozen=True)
class Sample:
    """Encoded rows (rows, columns), targets (rows, outputs), weights (rows,), on one device and in one dtype.

    With few rows weights may be (members, rows): each member its own.
    """

    z: Tensor
    y: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.z)


Watch = Callable[[int, int, float], object]


def learn(  # noqa: PLR0917 - a network, two sides, and how
    network: nn.Module, rows: Sample, held: Sample | None, loss: Loss, plan: Plan, watch: Watch
) -> list[float]:
    """Fit in place; returns a loss per epoch: of the held-out rows where there are some, else of the training rows."""
    generator = torch.Generator().manual_seed(plan.seed)
    few = len(rows) <= FEW_ROWS
    size = len(rows) if few else min(plan.batch_size, len(rows))
    steps = max(1, len(rows) // size)
    optimizer = torch.optim.AdamW(
        _groups(network, plan.weight_decay),
        lr=plan.learning_rate,
        betas=_BETAS,
        eps=_EPS_FEW if few else _EPS,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=max(10, plan.epochs * steps), pct_start=0.2
    )
    mean_weight = rows.weight.mean(-1, keepdim=True)
    parameters = [p for p in network.parameters() if p.requires_grad]
    members = getattr(network, "members", 1)
    history: list[float] = []
    best, best_at, best_state = float("inf"), -1, None
    network.train()
    for epoch in range(plan.epochs):
        order = None if few else torch.randperm(len(rows), generator=generator).to(rows.z.device)
        total = torch.zeros((), dtype=torch.float64)
        for k in range(steps):
            at = slice(None) if order is None else order[k * size : (k + 1) * size]
            each = loss(network.each(rows.z[at]), rows.y[at])  # type: ignore[operator]
            # Members do not see each other: the sum over them gives each the gradient it would have alone.
            value = (each * (rows.weight[at] / mean_weight)).mean(1).sum()
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, _LARGEST_NORM * members**0.5)
            optimizer.step()
            schedule.step()
            total += value.detach().double().cpu() / members
        found = float(total / steps)
        if held is not None:
            found = judged(network, held, loss)
        if not np.isfinite(found):
            raise BadInput("fit", f"the loss is {found} after {epoch + 1} epochs", "a lower learning_rate is right")
        history.append(found)
        watch(epoch + 1, plan.epochs, found)
        if held is not None and plan.patience is not None:
            if found < best:
                best, best_at, best_state = found, epoch, copy.deepcopy(network.state_dict())
            elif epoch - best_at >= plan.patience:
                break
    if best_state is not None:
        network.load_state_dict(best_state)
    network.eval()
    return history


@torch.no_grad()
def judged(network: nn.Module, held: Sample, loss: Loss) -> float:
    """The weighted loss of the mean of the members."""
    network.eval()
    mean = network(held.z)[None]
    value = (loss(mean, held.y)[0] * held.weight).sum() / held.weight.sum()
    network.train()
    return float(value)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay, biases do not."""
    named = [(n, p) for n, p in network.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in named if not n.endswith("bias")], "weight_decay": weight_decay},
        {"params": [p for n, p in named if n.endswith("bias")], "weight_decay": 0.0},
    ]


def weighted_knots(column: np.ndarray[Any, Any], weight: np.ndarray[Any, Any], stretches: int) -> list[float]:
    """Knots at the weighted quantiles of a column, each once: a row of weight 2 is two rows, one of weight 0 is none.

    A value with more than its share of the rows is one knot, and the others are spread over what is left, as the bins
    of boosted trees are: where nine rows of ten are 0, a count is told by the tenth.

    >>> weighted_knots(np.array([1.0, 2.0, 5.0]), np.array([1.0, 2.0, 1.0]), 4)
    [1.0, 2.0, 5.0]
    >>> weighted_knots(np.repeat([0.0, 1.0, 2.0, 3.0, 4.0, 9.0], [94, 2, 1, 1, 1, 1]), np.ones(100), 4)
    [0.0, 1.0, 2.0, 4.0, 9.0]
    """
    order = np.argsort(column, kind="stable")
    # Equal numbers are one step of the distribution, whatever the order of their rows.
    values, first = np.unique(column[order], return_index=True)
    share = np.add.reduceat(weight[order], first)
    values, share = values[share > 0], share[share > 0] / share.sum()
    if stretches < _SOME:
        at = _quantiles(share, stretches + 1)
    elif len(values) <= stretches + 1:
        at = np.arange(len(values))
    else:
        at = _spread(share, stretches)
    at = np.concatenate([[0, len(values) - 1], at])
    knots = np.unique(values[at].astype(np.float32).astype(np.float64))
    if len(knots) == 1:
        half = max(0.5, abs(float(knots[0])) * 1e-6)
        return [float(knots[0]) - half, float(knots[0]) + half]
    return [float(k) for k in knots]


def _quantiles(share: np.ndarray[Any, Any], levels: int) -> np.ndarray[Any, Any]:
    """Where the shares, added up, reach each of so many levels; first where there is any."""
    upto = np.cumsum(share) / share.sum()
    # A share that falls on a level does so however it was added up.
    at = np.searchsorted(upto, np.linspace(0, 1, levels) - _CLOSE).clip(0, len(share) - 1)
    at[0] = np.flatnonzero(share)[0]
    return at


def _spread(share: np.ndarray[Any, Any], stretches: int) -> np.ndarray[Any, Any]:
    """Which of many values are knots: what is heavy, and quantiles of the rest."""
    heavy = np.zeros(len(share), dtype=bool)
    while (left := stretches + 1 - int(heavy.sum())) > 2:
        light = np.where(heavy, 0.0, share)
        over = light > light.sum() / left + _CLOSE
        if not over.any():
            break
        # The heaviest first; of equals the lower.
        heavy[np.argsort(-light, kind="stable")[: min(int(over.sum()), left - 2)]] = True
    return np.concatenate([np.flatnonzero(heavy), _quantiles(np.where(heavy, 0.0, share), left)])
