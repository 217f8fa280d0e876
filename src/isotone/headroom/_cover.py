"""Which benign rows to give up for the most bad ones: the problem, its bound from above, its solutions from below.

    maximise  sum v[m] x[m]  where  x[m] <= y[b] for each benign b above m,  sum w[b] y[b] <= budget,  x, y in {0, 1}

- choosing the best is NP-hard (densest k-subgraph is a case of it), so both sides are bounded;
- bad rows that alone cost more than the budget are left out first: no choice has them, which makes bounds tight;
- below, a choice that is counted again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ._below import Below, Floats, Ints, grouped

ROUNDS, RUINS, TRIED = 40, 60, 48
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cover:
    """Bad rows with the same benign rows above are one here, and so are benign rows above the same bad ones.

    Args:
        gain: shape (m,): weight of bad rows.
        cost: shape (b,): weight of benign rows.
        above: CSR, shape (m, b), ones.
        group: shape (benign,): the group b of each benign row, or -1.
        free: weight of bad rows with none above.
    """

    gain: Floats
    cost: Floats
    above: Any
    group: Ints
    free: float

    def value(self, given_up: Mask) -> float:
        """Weight of the bad rows all of whose benign ones are given up; the free ones with them."""
        return self.free + float(self.gain[self._missing(given_up) == 0].sum())

    def _missing(self, given_up: Mask) -> Ints:
        """Shape (m,): how many benign groups above each are not given up."""
        return np.asarray(self.above @ (~given_up).astype(np.int64))

    def price(self, given_up: Mask) -> float:
        return float(self.cost[given_up].sum())


def cover(pairs: Below, gain: Floats, cost: Floats, budget: float) -> Cover:
    """What is left of the pairs once bad rows that alone cost more than the budget are gone."""
    count = pairs.counts()
    free = count == 0
    # Most cost too much by their number alone; only the others are added up.
    at = np.flatnonzero(~free & (count * cost.min() <= budget * (1 + 1e-9)))
    at = at[Below(pairs.bits[at], pairs.benign).costs(cost) <= budget]
    first, inverse = grouped(row.tobytes() for row in pairs.bits[at])
    bits = pairs.bits[at[first]]
    merged = Below(bits, pairs.benign)
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for part, unpacked in merged.parts():
        row, column = np.nonzero(unpacked)
        rows.append(row + part.start)
        columns.append(column)
    r, c = np.concatenate(rows), np.concatenate(columns)
    sparse = require("scipy.sparse", "tables")
    matrix = sparse.csc_matrix((np.ones(len(r), np.int64), (r, c)), shape=(len(bits), pairs.benign))
    matrix.sort_indices()
    used = np.flatnonzero(np.diff(matrix.indptr))
    one, which = grouped(matrix.indices[matrix.indptr[b] : matrix.indptr[b + 1]].tobytes() for b in used.tolist())
    group = np.full(pairs.benign, -1, dtype=np.int64)
    group[used] = which
    return Cover(
        gain=np.asarray(np.bincount(inverse, gain[at], len(bits)), dtype=np.float64),
        cost=np.asarray(np.bincount(which, cost[used], len(one)), dtype=np.float64),
        above=matrix[:, used[one]].tocsr(),
        group=group,
        free=float(gain[free].sum()),
    )


# -- from above ------------------------------------------------------------------------------------------------------


def upper(problem: Cover, budget: float, seconds: float) -> tuple[float, Floats | None]:
    """An upper bound of the best value, and the relaxation's y if it was solved.

    Source: Lagrangian relaxation of all constraints; the linear program has the same bound as the parametric closure
    (Picard 1976), since without the budget its matrix is totally unimodular.
    """
    gain, above = problem.gain, problem.above
    if not len(gain):
        return problem.free, None
    size = np.diff(above.indptr)
    prices = np.repeat(gain / size, size)
    best = _dual(problem, budget, prices)
    for _ in range(ROUNDS):
        # Prices of a bad row move to those of its benign rows that are paid for least.
        load = np.bincount(above.indices, prices, len(problem.cost)) / problem.cost
        pull = prices * np.exp(-load[above.indices] / max(float(load.mean()), 1e-300))
        sums = np.add.reduceat(pull, above.indptr[:-1])
        prices = pull * np.repeat(gain / np.maximum(sums, 1e-300), size)
        best = min(best, _dual(problem, budget, prices))
    found, y = _relaxed(problem, budget, seconds)
    if found is not None:
        best = min(best, _dual(problem, budget, found))
    return min(best, problem.free + math.fsum(gain)), y


def _dual(problem: Cover, budget: float, prices: Floats) -> float:
    """What these prices of the pairs prove, with the best price of the budget; valid for any prices >= 0."""
    prices = np.maximum(prices, 0.0)
    above, cost = problem.above, problem.cost
    load = np.bincount(above.indices, prices, len(cost))
    paid = np.add.reduceat(prices, above.indptr[:-1])
    order = np.argsort(-load / cost, kind="stable")
    # The dual is convex in lambda; it turns where the benign rows that are loaded more than lambda fill the budget.
    turn = int(np.searchsorted(np.cumsum(cost[order]), budget, side="right"))
    rate = float(load[order[turn]] / cost[order[turn]]) if turn < len(order) else 0.0
    terms = [rate * budget, *np.maximum(problem.gain - paid, 0.0), *np.maximum(load - rate * cost, 0.0)]
    # Outwards, by more than the rounding of all these sums.
    slack = 1e-11 * (problem.free + math.fsum(problem.gain) + math.fsum(load))
    return problem.free + math.fsum(terms) + slack


def _relaxed(problem: Cover, budget: float, seconds: float) -> tuple[Floats | None, Floats | None]:
    """Prices and y of the linear program, or None if the time did not do."""
    sparse, optimize = require("scipy.sparse", "tables"), require("scipy.optimize", "tables")
    above = problem.above.tocoo()
    pairs, (m, b) = len(above.row), above.shape
    at = np.arange(pairs)
    entries = np.concatenate([np.ones(pairs), -np.ones(pairs), problem.cost])
    rows = np.concatenate([at, at, np.full(b, pairs)])
    columns = np.concatenate([above.row, m + above.col, m + np.arange(b)])
    found = optimize.linprog(
        np.concatenate([-problem.gain, np.zeros(b)]),
        A_ub=sparse.csr_matrix((entries, (rows, columns)), shape=(pairs + 1, m + b)),
        b_ub=np.concatenate([np.zeros(pairs), [budget]]),
        bounds=(0, 1),
        method="highs",
        options={"time_limit": seconds},
    )
    if found.status != 0:
        return None, None
    return -np.asarray(found.ineqlin.marginals[:pairs]), np.asarray(found.x[m:])


# -- from below ------------------------------------------------------------------------------------------------------


def lower(problem: Cover, budget: float, high: float, y: Floats | None, seed: int = 0) -> Mask:
    """Benign groups to give up within the budget: the best of several greedy choices, ruined in part and made again.

    Args:
        high: a known upper bound; a choice that reaches it ends the search.
        y: of the relaxation, a hint.
    """
    starts = [np.zeros(len(problem.cost), dtype=np.bool_), _peeled(problem, budget)]
    for level in () if y is None else np.unique(np.round(y[y > 1e-6], 6))[::-1][:TRIED].tolist():
        start = y >= level - 1e-6
        if problem.price(start) <= budget:
            starts.append(_closed(problem, start))
    best = max((_filled(problem, budget, start) for start in starts), key=problem.value)
    rng = np.random.default_rng(seed)
    enough = high - 1e-9 * (problem.free + float(problem.gain.sum()))
    for _ in range(RUINS if problem.price(best) else 0):
        if problem.value(best) >= enough:
            break
        paid = np.flatnonzero(best)
        gone = rng.choice(paid, max(1, int(len(paid) * rng.uniform(0.05, 0.3))), replace=False)
        trial = best.copy()
        trial[gone] = False
        trial = _filled(problem, budget, _closed(problem, trial))
        if problem.value(trial) >= problem.value(best):
            best = trial
    return best


def _closed(problem: Cover, given_up: Mask) -> Mask:
    """Without the benign groups that free no bad row."""
    freed = problem._missing(given_up) == 0
    return given_up & (np.asarray(problem.above.T @ freed.astype(np.int64)) > 0)


def _filled(problem: Cover, budget: float, given_up: Mask) -> Mask:
    """Bad rows added one by one, each time the one that frees most per cost, with all that come free beside it."""
    given_up = given_up.copy()
    left = budget - problem.price(given_up)
    while True:
        open_ = ~given_up
        needs = np.asarray(problem.above @ (problem.cost * open_))
        count = problem._missing(given_up)
        fits = np.flatnonzero((count > 0) & (needs <= left))
        if not len(fits):
            return given_up
        tried = fits[np.argsort(needs[fits] / problem.gain[fits], kind="stable")[:TRIED]]
        rest = problem.above[:, open_]
        shared = (rest[tried] @ rest[fits].T).toarray()
        freed = (shared == count[fits]) @ problem.gain[fits]
        best = tried[int(np.argmax(freed / needs[tried]))]
        row = problem.above.indices[problem.above.indptr[best] : problem.above.indptr[best + 1]]
        given_up[row] = True
        left = budget - problem.price(given_up)


def _peeled(problem: Cover, budget: float) -> Mask:
    """All benign groups given up, then taken back one by one, each time the one that loses least per cost."""
    above, below = problem.above, problem.above.tocsc()
    alive = np.ones(len(problem.gain), dtype=np.bool_)
    loss = np.asarray(below.T @ problem.gain)
    uses = np.diff(below.indptr).astype(np.int64)
    price = problem.price(uses > 0)
    while price > budget:
        worth = np.where(uses > 0, loss / problem.cost, np.inf)
        b = int(np.argmin(worth))
        for m in below.indices[below.indptr[b] : below.indptr[b + 1]].tolist():
            if alive[m]:
                alive[m] = False
                row = above.indices[above.indptr[m] : above.indptr[m + 1]]
                loss[row] -= problem.gain[m]
                uses[row] -= 1
        price = problem.price(uses > 0)
    return np.asarray(uses > 0)
