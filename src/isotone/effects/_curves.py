"""One-dimensional effects: move one feature over its values, hold the rest of each row, and look at the score.

- one curve per row (individual conditional expectation) and their mean (partial dependence);
- grids are values that the data have, never values between them;
- this is what a direction is about: a held direction is every curve going one way. It is not what happens to the score
  of the people or programs whose feature grows in the world, where other features move along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require
from ._ink import BLUE, GREY, RED, axes
from ._reasons import ROUNDING
from ._rows import (
    as_rows,
    cells,
    directions_of,
    is_missing,
    names_of,
    order_of,
    places,
    plain,
    put,
    score_of,
    scores,
    shown,
    take,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = 24
SHOWN_CURVES = 60
# Share of the rows that a plot may leave out at either end: one far away would press all others into a corner.
TAILS = 0.01
WORDS = {1: "increasing", -1: "decreasing", 0: "free"}


@dataclass(frozen=True, eq=False)
class Effect:
    """Of one feature.

    Args:
        name: of the feature.
        direction: that was stated.
        grid: shape (m,), the values it was set to, in their order; plain values.
        places: shape (m,), where they stand on an axis: themselves, or 0, 1, 2, ... for categories.
        curves: shape (rows, m), scores.
        mean: shape (m,), their weighted mean.
        ordered: whether the values have an order.
        middle: the part of the grid that is drawn while the direction holds: without an end far away, if it has one.
    """

    name: str
    direction: int
    grid: NDArray[Any]
    places: NDArray[np.float64]
    curves: NDArray[np.float64]
    mean: NDArray[np.float64]
    ordered: bool = True
    middle: slice = field(default_factory=lambda: slice(None))

    @property
    def swing(self) -> float:
        """Mean score at the last value less that at the first."""
        return float(self.mean[-1] - self.mean[0])

    @property
    def against(self) -> float:
        """Largest step of any curve against the direction, beyond rounding; 0 if there is none or no direction."""
        if not self.direction or self.curves.shape[1] < 2:
            return 0.0
        worst = float((-self.direction * np.diff(self.curves, axis=1)).max())
        return worst if worst > ROUNDING * max(1.0, float(np.abs(self.curves).max())) else 0.0

    def plot(self, ax: Axes | None = None, *, centred: bool = True) -> Axes:
        """Thin lines are rows, the thick one their mean; `centred` starts every line at 0."""
        ax = axes(ax, 4.8, 3.4)
        part = slice(None) if self.against else self.middle
        places, grid, mean, curves = self.places[part], self.grid[part], self.mean[part], self.curves[:, part]
        curves = curves[np.linspace(0, len(curves) - 1, SHOWN_CURVES).astype(int)]
        if centred:
            mean, curves = mean - mean[0], curves - curves[:, :1]
        colour = RED if self.against else BLUE
        if self.ordered:
            ax.plot(places, curves.T, color=GREY, linewidth=0.6, alpha=0.5)
            ax.plot(places, mean, color=colour, linewidth=2.4, marker="o", markersize=3.5)
        else:  # a line between values without an order would say something
            ax.plot(places, curves.T, "_", color=GREY, markersize=9, alpha=0.5)
            ax.plot(places, mean, "o", color=colour, markersize=6)
        if not all(isinstance(value, int | float) for value in grid.tolist()):
            ax.set_xticks(places, [shown(value) for value in grid], rotation=30, ha="right")
        beyond = f"; data: {shown(self.grid[0])} to {shown(self.grid[-1])}" if len(grid) < len(self.grid) else ""
        ax.set_xlabel(f"{self.name} ({'breaks ' if self.against else ''}{WORDS[self.direction]}{beyond})")
        ax.set_ylabel("change of score" if centred else "score")
        return ax


class Effects(Mapping[str, Effect]):
    """Effects by name of feature, in the order that was asked for."""

    def __init__(self, found: Sequence[Effect]) -> None:
        self._found = {effect.name: effect for effect in found}

    def __getitem__(self, name: str) -> Effect:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __str__(self) -> str:
        wide = min(36, max(len(name) for name in self))
        lines = [f"  {'feature':<{wide}}  {'direction':<10}  {'mean effect, first to last value':<33}"]
        for effect in self.values():
            way = f"{effect.swing:+.4g} from {shown(effect.grid[0])} to {shown(effect.grid[-1])}"
            way = way if effect.ordered else f"{np.ptp(effect.mean):.4g} apart at most"
            broken = f"  breaks it by {effect.against:.3g}" if effect.against else ""
            lines.append(f"  {effect.name[:wide]:<{wide}}  {WORDS[effect.direction]:<10}  {way}{broken}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: grids and means, without the curve of each row."""
        return {
            effect.name: {
                "direction": effect.direction,
                "grid": effect.grid.tolist(),
                "mean": effect.mean.tolist(),
                "against": effect.against,
            }
            for effect in self.values()
        }

    def plot(self, *, centred: bool = True, columns: int = 3) -> Figure:
        """A figure with a panel per feature, on one scale of scores.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        across = min(columns, len(self))
        down = -(-len(self) // across)
        make = require("matplotlib.figure", "report").Figure
        figure: Figure = make(figsize=(3.6 * across, 2.9 * down), layout="constrained")
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        for panel, effect in zip(panels, self.values(), strict=False):
            effect.plot(panel, centred=centred)
        for at, panel in enumerate(panels):
            panel.set_visible(at < len(self))
            if at % across:
                panel.set_ylabel("")
        return figure


def effects(
    score: Any,
    X: Any,
    features: Any = None,
    grid: int | Mapping[str, Sequence[Any]] = GRID,
    *,
    directions: Any = None,
    names: Sequence[str] | None = None,
    sample_weight: Any = None,
    rows: int = 500,
    seed: int = 0,
) -> Effects:
    """What the score does when one feature moves and the rest of each row stays.

    Args:
        score: a function of rows that gives one number each, or a fitted estimator (log-odds where it has them).
        X: shape (n, d), an array or a DataFrame.
        features: names or numbers of columns; None is all in which some value stands.
        grid: how many values of each feature, at its quantiles; or the values themselves, by name.
        directions: that are stated, as for `reasons`; a curve that breaks one is said and drawn in red.
        names: of the columns of an array.
        sample_weight: shape (n,), for the mean.
        rows: how many rows have curves; more rows than that are drawn from at random.
        seed: of that draw.

    Where features go together, some of the rows asked about are such as never occur; the mean rests on them too.

    Cost: `rows` * `grid` scores per feature.
    Source: Goldstein et al., "Peeking inside the black box" (JCGS 24, 2015); Friedman (Annals of Statistics 29, 2001).

    >>> found = isotone.effects.effects(lambda X: X[:, 0] ** 2, np.array([[-1.0], [0.0], [2.0]]), directions=[1])
    >>> found["x0"].mean, found["x0"].against
    (array([1., 0., 4.]), 1.0)
    """
    X, ask = as_rows(X), score_of(score)
    names = names_of(X, names)
    ways = directions_of(directions, X, names)
    if isinstance(grid, int) and grid < 2:
        raise BadInput("grid", f"{grid} came", "2 or more values would be right")
    if isinstance(grid, Mapping):
        features = list(grid) if features is None else features
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    kept = np.arange(len(X))
    if len(X) > rows:
        kept = np.sort(np.random.default_rng(seed).choice(len(X), rows, replace=False))
    some, weight = take(X, kept), weight[kept]
    found = []
    asked = places(features, names)
    if features is None:  # of all, those of which something can be said
        asked = [j for j in asked if not is_missing(X, j)] or asked
    for j in asked:
        given = grid.get(names[j]) if isinstance(grid, Mapping) else None
        values, at = (np.asarray(given), None) if given is not None else grid_of(X, j, GRID if given else _size(grid))
        curves = curves_of(ask, some, j, values)
        told = np.array([plain(value) for value in values], dtype=object)
        numeric = all(isinstance(value, int | float) for value in told.tolist())
        where = at if at is not None else (told.astype(np.float64) if numeric else np.arange(len(told), dtype=float))
        mean = np.average(curves, axis=0, weights=weight)
        order = order_of(X, j)
        middle = slice(None) if given is not None or order is None else _middle(order, where)
        found.append(Effect(names[j], ways[j], told, where, curves, mean, order is not None, middle))
    return Effects(found)


def _middle(order: NDArray[np.float64], places: NDArray[np.float64]) -> slice:
    """A grid without an end that is farther from the next value than all others lie apart, where hardly a row is."""
    there = order[~np.isnan(order)]
    if len(np.unique(there)) <= len(places) or len(places) < 4:
        return slice(None)
    (low, high), apart = np.quantile(there, [TAILS, 1 - TAILS]), places[-2] - places[1]
    first = places[0] < low and places[1] - places[0] > apart
    last = places[-1] > high and places[-1] - places[-2] > apart
    return slice(int(first), len(places) - int(last))


def _size(grid: int | Mapping[str, Sequence[Any]]) -> int:
    return grid if isinstance(grid, int) else GRID


def grid_of(X: Any, j: int, most: int, tails: float = 0.0) -> tuple[Any, NDArray[np.float64]]:
    """At most `most` observed values of a column in their order, and their places on an axis.

    Args:
        X: rows.
        j: the column.
        most: values at most; all of the column if it has no more, else its quantiles.
        tails: share of the rows left out at either end, where the column has more values.
    """
    order = order_of(X, j)
    column = cells(X, j)
    if order is None:
        told = [plain(cell) for cell in column]
        first = {value: at for at, value in reversed(list(enumerate(told))) if value is not None}
        times = Counter(told)
        often = sorted(first, key=lambda value: (-times[value], str(value)))[:most]
        return column[[first[value] for value in often]], np.arange(len(often), dtype=np.float64)
    there = np.flatnonzero(~np.isnan(order))
    ranked = there[np.argsort(order[there], kind="stable")]
    distinct = ranked[np.flatnonzero(np.r_[True, np.diff(order[ranked]) > 0])] if len(ranked) else ranked
    if len(distinct) > most:
        at = np.quantile(np.arange(len(ranked)), np.linspace(tails, 1 - tails, most), method="nearest").astype(int)
        picked = ranked[at]
        # A column that is almost always one value keeps its ends.
        picked = picked if len(np.unique(order[picked])) > 1 else ranked[[0, -1]]
        distinct = picked[np.flatnonzero(np.r_[True, np.diff(order[picked]) > 0])]
    if not len(distinct):
        raise BadInput("effects", f"column {j} has only missing values", "some values would be right")
    return column[distinct], order[distinct]


def curves_of(ask: Any, X: Any, j: int, values: Any) -> NDArray[np.float64]:
    """Scores of each row with the column set to each value, shape (n, m)."""
    count, size = len(X), len(values)
    tall = take(X, np.repeat(np.arange(count), size))
    repeated = values.take(np.tile(np.arange(size), count))
    return scores(ask, put(tall, j, repeated)).reshape(count, size)
