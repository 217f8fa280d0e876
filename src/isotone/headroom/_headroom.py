"""The ceiling of certified detection, at each false-alarm rate, with what stands in its way."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..directions import as_directions
from ..errors import BadInput
from ..evaluation import whole_share
from ._below import Below, Distinct, Floats, Sides, as_rows, below, distinct
from ._cover import cover, lower, upper
from ._why import Costly, Loose, candidates, costly

_Bounds = Callable[[Below, Floats, Floats, float], tuple[float, float, NDArray[np.bool_]]]


@dataclass(frozen=True)
class Limit:
    """At one false-alarm rate.

    Args:
        rate: most benign rows alarmed, as a share of their weight.
        budget: the same as a weight.
        low, high: the best certified detection of any detector on these rows lies between: shares of bad rows.
        given_up: benign rows (indices) that reach `low`, one for each set of repeats.
        realised: share of held-out benign rows that the choice of `low`, made on half of them, would alarm; None if it
            was not asked for.
    """

    rate: float
    budget: float
    low: float
    high: float
    given_up: tuple[int, ...]
    realised: float | None


@dataclass(frozen=True)
class Headroom:
    """What these features support, before any training.

    Args:
        bad, benign: weight of the rows.
        distinct_bad, distinct_benign: rows that differ.
        free: share of bad rows below no benign row: certified detection that costs no false alarm.
        limits: one per rate.
        costly: benign rows that cost most.
        loose: features that would free most if no attacker could move them.
        against: whether the benign rows are those of another split, and not the rows' own.
    """

    bad: float
    benign: float
    distinct_bad: int
    distinct_benign: int
    free: float
    limits: tuple[Limit, ...]
    costly: tuple[Costly, ...]
    loose: tuple[Loose, ...]
    against: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def told(self) -> str:
        """As text of at most 80 columns."""
        lines = [
            f"Headroom: {self.bad:g} bad rows ({self.distinct_bad} differ), "
            f"{self.benign:g} benign ({self.distinct_benign} differ)",
            *(_OTHERS if self.against else _THESE),
            "",
            "false alarms    benign  best certified detection   alarms on held-out",
            "     allowed      rows     found   no more than         benign rows",
            f"{'none':>12} {0:>9} {self.free:>9.1%} {self.free:>14.1%}",
        ]
        for one in self.limits:
            realised = "" if one.realised is None else f"{one.realised:>20.2%}"
            lines.append(f"{one.rate:>12.2%} {one.budget:>9g} {one.low:>9.1%} {one.high:>14.1%}{realised}")
        if any(one.realised is not None for one in self.limits):
            lines += ["(held out: chosen on one half of the benign rows, counted on the other)"]
        if self.costly:
            lines += ["", "benign rows that cost most: row   rows like it   bad rows below   below no other"]
            lines += [f"{c.row + 1:>31} {c.weight:>14g} {c.below:>16g} {c.alone:>16g}" for c in self.costly]
        if self.loose:
            lines += [
                "",
                f"could no attacker move this feature      bad rows freed   best at {self.limits[0].rate:.2%}",
            ]
            for loose in self.loose:
                low, high = f"{loose.low:.1%}", f"{loose.high:.1%}"
                name = _cut(f"feature {loose.feature}" if loose.name is None else loose.name, 40)
                lines.append(f"{name:<40} {loose.freed:>14g}   {low if low == high else f'{low} to {high}'}")
        return "\n".join(lines)


_THESE = (
    "In-sample: on these rows no detector, however trained, has more certified",
    "detection at a rate than 'no more than'; on new rows it can be either side.",
)
_OTHERS = (
    "Held out: benign rows of another split stand in for those to come; the bounds",
    "hold for these two sets of rows, and are an estimate for any others.",
)


def headroom(
    X: Any,
    y: ArrayLike,
    directions: Any,
    rates: Sequence[float] = (0.01, 0.001),
    *,
    weights: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    against: Any = None,
    once: bool = False,
    held_out: bool = True,
    most: int = 8,
    seconds: float = 30.0,
    seed: int = 0,
) -> Headroom:
    """Bounds of the certified detection that any detector can have on some rows.

    An alarm on a bad row is certified if no move of the attacker ends it. Then every benign row that the attacker can
    turn it into is an alarm too. So with benign rows B given up, at most the bad rows with no benign rows above them
    but those of B are certified; and a monotone score that alarms exactly what is above these rows reaches that.

    Args:
        X: shape (rows, d), an array or scipy sparse matrix; without the features that the attacker sets at will.
        y: shape (rows,), 0 benign, 1 bad.
        directions: +1, -1 or 0 per feature, or a mapping of names (see `as_directions`). A feature of 0 is out of the
            attacker's reach, and a detector may use it in any way: rows that differ there have no order.
        rates: shares of benign rows (by weight) that may be alarms; one or more.
        weights: shape (rows,), positive; default 1 each. Rows that repeat count as often as they come.
        names: of the features; default: the columns of a DataFrame.
        against: shape (any, d): benign rows of another split; then those of `X` are not used.
        once: rows that repeat, on one side, count as one of weight 1.
        held_out: also choose on half of the benign rows, and count on the other half.
        most: how many benign rows, and features, to name.
        seconds: most time of one linear program; without its answer the upper bound is looser, never wrong.
        seed: of halves, samples and the local search.

    Raises:
        BadInput: labels other than 0 and 1, one class only, a NaN, weights or rates that are none.

    Cost: d x rows comparisons of all benign rows at worst, a bit per pair of a bad and a benign row, and a linear
        program per rate; seconds for some thousand rows.

    >>> X = [[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]]
    >>> found = headroom(np.array(X), [1, 1, 1, 0, 0], +1, rates=[0.5])
    >>> found.free, found.limits[0].low, found.limits[0].high
    (0.3333333333333333, 1.0, 1.0)
    >>> found.costly[0].row
    3
    """
    rows = as_rows("X", X)
    if names is None and hasattr(X, "columns"):
        names = [str(name) for name in X.columns]
    if names is not None and len(names) != rows.shape[1]:
        raise BadInput("names", f"{len(names)} came for {rows.shape[1]} features", "one for each would be right")
    signs = np.array(as_directions(directions, rows.shape[1], names), dtype=np.int64)
    rates = [_rate(rate) for rate in np.atleast_1d(np.asarray(rates)).tolist()]
    if not rates:
        raise BadInput("rates", "none came", "one or more shares are right")
    bad, benign = _sides(rows, y, weights, against)
    if once:
        bad, benign = (replace(side, weights=np.ones(len(side))) for side in (bad, benign))
    sides = Sides(bad, benign, below(bad.rows, benign.rows, signs))
    bounds = functools.partial(_bounds, seconds=seconds, seed=seed)
    halves = _halves(benign, seed) if held_out and len(benign) > 1 else ()
    total = float(bad.weights.sum())
    limits = []
    for rate in rates:
        low, high, chosen = bounds(sides.pairs, bad.weights, benign.weights, rate)
        realised = [_realised(sides, half, rate, bounds) for half in halves]
        limits.append(
            Limit(
                rate=rate,
                budget=_budget(benign.weights, rate),
                low=low / total,
                high=high / total,
                given_up=tuple(benign.first[chosen].tolist()),
                realised=float(np.mean(realised)) if realised else None,
            )
        )
    tried = [(sides.held(column), column, share) for column, share in candidates(sides, signs, most, seed)]
    loose = []
    for left, column, share in sorted(tried, key=lambda one: -one[0].free)[:most]:
        low, high, _ = bounds(left.pairs, bad.weights, benign.weights, rates[0])
        name = None if names is None else str(names[column])
        loose.append(Loose(column, name, share, left.free - sides.free, low / total, high / total))
    return Headroom(
        bad=total,
        benign=float(benign.weights.sum()),
        distinct_bad=len(bad),
        distinct_benign=len(benign),
        free=sides.free / total,
        limits=tuple(limits),
        costly=costly(sides, most),
        loose=tuple(loose),
        against=against is not None,
    )


def _sides(rows: Any, y: ArrayLike, weights: ArrayLike | None, against: Any) -> tuple[Distinct, Distinct]:
    """Bad and benign rows, each once, checked."""
    labels = np.asarray(y)
    if labels.shape != (rows.shape[0],):
        raise BadInput("y", f"shape {labels.shape} for {rows.shape[0]} rows came", "one 0 or 1 per row is right")
    if not (known := np.isin(labels, (0, 1))).all():
        raise BadInput("y", f"{labels[~known].tolist()[0]!r} came", "one 0 or 1 per row is right: 1 is bad")
    weight = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != labels.shape:
        raise BadInput("weights", f"shape {weight.shape} came", "one positive number per row is right")
    if not (known := np.isfinite(weight) & (weight > 0)).all():
        raise BadInput("weights", f"{weight[~known].tolist()[0]} came", "one positive number per row is right")
    others, at = rows, np.flatnonzero(labels == 0)
    other_weight = weight
    if against is not None:
        others = as_rows("against", against)
        if others.shape[1] != rows.shape[1]:
            raise BadInput("against", f"{others.shape[1]} features came", f"the {rows.shape[1]} of X would be right")
        at, other_weight = np.arange(others.shape[0]), np.ones(others.shape[0])
    if not labels.any() or not len(at):
        raise BadInput("y", "one class came", "bad rows and benign ones are both needed")
    return distinct(rows, weight, np.flatnonzero(labels == 1)), distinct(others, other_weight, at)


def _budget(cost: Floats, rate: float) -> float:
    """The weight that may be given up, of whole rows a whole number."""
    weight = math.fsum(cost)
    return float(whole_share(rate, weight)) if (cost == np.floor(cost)).all() else rate * weight * (1 + 1e-9)


def _bounds(
    pairs: Below, gain: Floats, cost: Floats, rate: float, *, seconds: float, seed: int
) -> tuple[float, float, NDArray[np.bool_]]:
    """Lower and upper bound as weights, and the benign rows given up for the lower one."""
    budget = _budget(cost, rate)
    problem = cover(pairs, gain, cost, budget)
    high, y = upper(problem, budget, seconds)
    if (gain == np.floor(gain)).all():
        high = float(math.floor(high))  # so many whole rows, or fewer
    groups = lower(problem, budget, high, y, seed)
    chosen = (problem.group >= 0) & np.append(groups, False)[problem.group]
    return min(problem.value(groups), high), high, chosen


def _halves(benign: Distinct, seed: int) -> tuple[NDArray[np.bool_], ...]:
    half = np.random.default_rng(seed).permutation(len(benign)) % 2 == 0
    return half, ~half


def _realised(sides: Sides, half: NDArray[np.bool_], rate: float, bounds: _Bounds) -> float:
    """What the other half of the benign rows pays for a choice made on this half."""
    cost = sides.benign.weights
    mine = Below(_columns(sides.pairs, half), int(half.sum()))
    _, _, chosen = bounds(mine, sides.bad.weights, cost[half], rate)
    certified = ~mine.among(~chosen).any()
    alarmed = sides.pairs.over(certified) & ~half
    return float(cost[alarmed].sum() / cost[~half].sum())


def _columns(pairs: Below, some: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The bits of some benign rows alone."""
    return np.concatenate([np.packbits(unpacked[:, some], axis=1) for _, unpacked in pairs.parts()])


def _rate(rate: Any) -> float:
    if not 0 <= float(rate) < 1:
        raise BadInput("rates", f"{rate!r} came", "shares from 0 up to 1 are right")
    return float(rate)


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 3] + "..."
