"""Bad rows that no monotone score tells from benign ones: a benign row that contains one must be given up with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._reading import Learnt, dense

_ROWS = 512


def containers(bad: Any, benign: Any, benign_weight: NDArray[Any], directions: tuple[int, ...]) -> NDArray[np.float64]:
    """For each bad row the weight of the benign rows that are at least as far along every direction, free ones aside.

    Args:
        bad, benign: shape (rows, features), numpy or scipy CSR.

    Cost: bad rows times benign rows times features, by a product for 0/1 rows.

    >>> containers(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones(2), (1, 1))
    array([1., 0.])
    """
    ways = np.asarray(directions)
    kept = np.flatnonzero(ways)
    bad, benign = bad[:, kept], benign[:, kept]
    if (ways[kept] > 0).all() and _bits(bad) and _bits(benign):
        found = np.empty(bad.shape[0])
        size = np.asarray(bad.sum(axis=1)).reshape(-1)
        for a in range(0, bad.shape[0], _ROWS):
            shared = bad[a : a + _ROWS] @ benign.T
            whole = dense(shared) >= size[a : a + _ROWS, None] - 0.5
            found[a : a + _ROWS] = whole @ benign_weight
        return found
    up, above = dense(bad) * ways[kept], dense(benign) * ways[kept]
    return np.array([float(benign_weight[(above >= row).all(axis=1)].sum()) for row in up])


def _bits(X: Any) -> bool:
    data = X.data if hasattr(X, "indptr") else X
    return bool(np.isin(data, (0, 1)).all())


def pruned(rows: Learnt, directions: tuple[int, ...], rate: float) -> Learnt:
    """Without the bad rows that cost more than this share of the benign rows; all of them where none would be left.

    >>> rows = Learnt(np.eye(2), np.ones(2), np.array([[1.0, 0.0]]), np.ones(1))
    >>> pruned(rows, (1, 1), rate=0.01).bad
    array([[0., 1.]])
    """
    costs = containers(rows.bad, rows.benign, rows.benign_weight, directions)
    keep = np.flatnonzero(costs <= rate * rows.benign_weight.sum())
    if not len(keep):
        return rows
    return Learnt(rows.bad[keep], rows.bad_weight[keep], rows.benign, rows.benign_weight)
