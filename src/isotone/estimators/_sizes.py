"""What "auto" stands for: one size for many rows; for few the one of several that does best on folds of the rows.

- rows that are equal are in one fold, whatever their order or number: a row of weight 2 is two rows here, too;
- the folds are members of one network, each trained on the rows of the others: a size costs one fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import BadInput
from ..nn import TabularNetwork
from ._learn import Loss, Plan, Sample, learn


class Size(NamedTuple):
    """What "auto" stands for."""

    hidden: tuple[int, ...]
    embedding: tuple[int, ...]
    stretches: tuple[int, int]  # at least and at most
    coarse: int  # stretches that layers are shown of a number, at most
    members: int
    epochs: int
    weight_decay: float
    teacher: float = 0.0  # the share of what is learnt that a booster said


# The first was chosen by cross-validation on Heart, AutoMPG and ESL, which are for development. The next three do
# better on one of the three each: held back, longer, straight. The last is a line (docs/estimators.md).
FEW = (
    Size(hidden=(16, 16), embedding=(16, 8), stretches=(2, 2), coarse=8, members=4, epochs=80, weight_decay=0.3),
    Size(hidden=(16, 16), embedding=(16, 8), stretches=(2, 2), coarse=8, members=4, epochs=80, weight_decay=3.0),
    Size(hidden=(16, 16), embedding=(16, 8), stretches=(2, 2), coarse=8, members=4, epochs=160, weight_decay=0.3),
    Size(hidden=(32, 32), embedding=(16, 8), stretches=(1, 1), coarse=8, members=4, epochs=80, weight_decay=0.3),
    Size(hidden=(), embedding=(), stretches=(1, 1), coarse=8, members=1, epochs=400, weight_decay=0.0),
)
# Chosen on COMPAS, on rows of GMSC that no page judges, and on draws of made sets (docs/estimators.md).
MANY = Size(hidden=(64, 64), embedding=(64, 32), stretches=(4, 64), coarse=8, members=1, epochs=16, weight_decay=0.6)

FOLDS = 5
_DISTINCT = 50  # rows that differ; fewer are no ground to choose by


def folds(z: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """A fold for each row, by what the rows say and nothing else; None where too few of them differ.

    >>> rows = np.random.default_rng(0).random((60, 2))
    >>> twice, order = folds(np.concatenate([rows, rows])), np.arange(59, -1, -1)
    >>> bool((twice[:60] == folds(rows)).all() and (twice[60:] == twice[:60]).all())
    True
    >>> bool((folds(rows[order]) == folds(rows)[order]).all())
    True
    """
    distinct, number = np.unique(z, axis=0, return_inverse=True)
    if len(distinct) < _DISTINCT:
        return None
    dealt = np.random.default_rng(0).permutation(len(distinct)) % FOLDS
    return dealt[number.reshape(-1)].astype(np.int64)


def best(  # noqa: PLR0917 - what is tried, on what, and how
    sizes: Sequence[Size],
    fold: NDArray[np.int64],
    rows: Sample,
    loss: Loss,
    started: Callable[[Size], TabularNetwork],
    plan: Callable[[Size], Plan],
    watch: Callable[[int], object],
) -> Size:
    """The size with the smallest loss on rows that its fit was not given.

    Args:
        sizes: what is tried; of equals the earlier is taken.
        fold: shape (rows,).
        rows: all of them; those of a fold have weight 0 for the member that is judged on it.
        started: a network before training.
        plan: how to learn.
        watch: told how many sizes are done.
    """
    at = torch.from_numpy(fold).to(rows.z.device)
    inside = at[None] != torch.arange(FOLDS, device=at.device)[:, None]
    others = Sample(rows.z, rows.y, rows.weight * inside)
    found = []
    for done, size in enumerate(sizes):
        network = started(size._replace(members=FOLDS))
        try:
            learn(network, others, None, loss, plan(size), lambda *_: None)
            found.append(_held_out(network, at, rows, loss))
        except BadInput:  # the loss left the finite numbers: another size may do
            found.append(float("inf"))
        watch(done + 1)
    return sizes[int(np.argmin(found))]


@torch.no_grad()
def _held_out(network: TabularNetwork, fold: Tensor, rows: Sample, loss: Loss) -> float:
    score = network.each(rows.z)[fold, torch.arange(len(rows), device=fold.device)]
    value = (loss(score[None], rows.y)[0] * rows.weight).sum() / rows.weight.sum()
    return float(value) if bool(value.isfinite()) else float("inf")
