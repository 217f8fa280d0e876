"""A teacher: a monotone booster that says, for the rows to learn from, what the labels alone leave to chance.

A label of 0 or 1 is one throw of a coin whose bias is to be learnt. A booster finds that bias in its own way, and its
errors are others than a network's: a network that learns the mean of both makes fewer (Hinton, Vinyals and Dean 2015,
arXiv 1503.02531; Menon et al. 2021, arXiv 2005.10419, for why it helps: the targets vary less). The booster is gone
after fitting: what predicts, and what is proved, is the network alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require
from ._learn import Loss
from ._losses import log_loss, squared_error

Floats = NDArray[np.float64]

# The share for classes where rows are many. Numbers have none: of skewed targets a booster's means are coarser than
# what the network finds by itself (docs/estimators.md).
_SHARE = 0.5
# A booster for each output on more columns than this together would cost far more than the network.
_COLUMNS = 100
# Where a booster stops hangs on the rows that stop it; the mean of two hangs on them less.
_BOOSTERS = 2
# Fewer rows of a class, or of numbers twice as many, cannot tell a booster when to stop.
_EACH = 20


def share_of(said: Any, loss: Loss, shape: tuple[int, int], *, few: bool) -> float:
    """How much of what is learnt the teacher says.

    Args:
        said: the setting: "auto" or a share.
        loss: what is minimised.
        shape: columns after encoding, outputs.
        few: whether the rows are few.

    Raises:
        BadInput: a share was asked for with a loss that no mean of labels and predictions serves.
    """
    if isinstance(said, str):
        columns, outputs = shape
        return _SHARE if loss is log_loss and not few and columns * outputs <= _COLUMNS else 0.0
    if said and loss not in (log_loss, squared_error):
        right = "'auto' or 0 is right: a teacher says means, and this loss asks for medians or quantiles"
        raise BadInput("teacher", f"{said!r} came with a loss that is neither squared error nor log loss", right)
    return float(said)


def taught(  # noqa: PLR0917 - rows, what is asked, and how
    z: Floats,
    y: Floats,
    weight: Floats,
    directions: Sequence[int],
    loss: Loss,
    share: float,
    seed: int,
    watch: Callable[[int], object],
) -> Floats:
    """Targets of which `share` is what a booster, fitted to the same rows and directions, predicts.

    Args:
        z: encoded rows, shape (rows, columns).
        y: targets, shape (rows, outputs); 0 and 1 for log loss.
        weight: shape (rows,).
        directions: one per column.
        loss: log loss or squared error.
        share: between 0 and 1.
        seed: of the rows that stop the booster.
        watch: told how many outputs are done.
    """
    found = y.copy()
    for k in range(y.shape[1]):
        enough = len(y) if loss is squared_error else 2 * min(y[:, k].sum(), (1 - y[:, k]).sum())
        if enough >= 2 * _EACH:
            said = _predicted(z, y[:, k], weight, directions, seed, classes=loss is log_loss)
            found[:, k] += share * (said - y[:, k])
        watch(k + 1)
    return found


def _predicted(z: Floats, y: Floats, weight: Floats, directions: Sequence[int], seed: int, *, classes: bool) -> Floats:
    ensemble = require("sklearn.ensemble", "tables")
    kind = ensemble.HistGradientBoostingClassifier if classes else ensemble.HistGradientBoostingRegressor
    weight = weight / weight.mean()  # its least weight of a leaf is absolute
    target = y.astype(np.int64) if classes else y
    said = np.zeros(len(y))
    for k in range(_BOOSTERS):
        booster = kind(
            learning_rate=0.05,
            max_iter=1000,
            monotonic_cst=np.array(directions, dtype=np.int8),
            early_stopping=True,
            n_iter_no_change=20,
            random_state=seed + k,
        ).fit(z, target, weight)
        said += (booster.predict_proba(z)[:, 1] if classes else booster.predict(z)) / _BOOSTERS
    return said
