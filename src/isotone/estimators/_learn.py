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
        few: whether every step takes all rows.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int | None
    seed: int
    few: bool = False


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
    few = plan.few
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
