"""Which values a feature is moved through: what was observed, what lies between, what the model splits at, the ends.

- inside the domain and inside what the column can hold, always;
- whole numbers where only whole numbers were seen;
- sorted along the direction, so that a chain is in order by construction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..directions import FREE, as_directions, matching
from ..errors import BadInput
from ..verdict import Domain
from ._rows import Codes, Places, Rows

WORDS = {"increasing": 1, "decreasing": -1, "free": 0}


def directions_of(directions: Any, rows: Rows) -> tuple[int, ...]:
    """One direction per feature; words are numbers too.

    Raises:
        BadInput, NoMatch: as `as_directions`; and where no feature has a direction, or one without an order has one.
    """

    def number(value: Any) -> Any:
        return WORDS.get(value, value) if isinstance(value, str) else value

    if isinstance(directions, Mapping):
        directions = {str(name): number(value) for name, value in directions.items()}
    elif isinstance(directions, str):
        directions = number(directions)
        if isinstance(directions, str):
            raise BadInput("directions", f"{directions!r} came", "increasing, decreasing, or a number is right")
    elif isinstance(directions, np.generic):
        directions = directions.item()
    elif not isinstance(directions, int | float):
        directions = [number(value) for value in np.asarray(directions).ravel().tolist()]
    found = as_directions(directions, len(rows.names), rows.names if _speaks(rows, directions) else None)
    if not any(found):
        raise BadInput("directions", "every feature is free", "a claim needs a direction", "Name what may move.")
    for j, direction in enumerate(found):
        if direction != FREE and rows.codes(j) is None:
            raise BadInput(
                "directions",
                f"{rows.names[j]!r} has a direction and its values have no order",
                "numbers, booleans or ordered categories would be right",
                "Make it an ordered pandas Categorical, or leave it free.",
            )
    return found


def _speaks(rows: Rows, directions: Any) -> bool:
    """Names may be used where X has some; 'x0', 'x1' where somebody writes them for an array."""
    return rows.named or (isinstance(directions, Mapping) and all(name in rows.names for name in directions))


@dataclass(frozen=True)
class Feature:
    """A feature that moves.

    Args:
        place, name, direction: which it is, and +1 or -1.
        observed: its values in the rows of the search, NaN where missing; shape (rows,).
        unique: the different ones, in growing order, without NaN.
        low, high: the domain.
        bounded: whether the reader of the audit named the domain.
        whole: whole numbers only.
        cells: one value in each cell between the model's own thresholds, in growing order; empty where unknown.
    """

    place: int
    name: str
    direction: int
    observed: Codes
    unique: Codes
    low: float
    high: float
    bounded: bool
    whole: bool
    cells: Codes

    @property
    def ends(self) -> tuple[float, float]:
        """Where the search begins and ends: the domain if somebody named it, else what was observed."""
        seen = self.unique if self.unique.size else np.zeros(1)
        low = self.low if self.bounded and np.isfinite(self.low) else float(seen[0])
        high = self.high if self.bounded and np.isfinite(self.high) else float(seen[-1])
        return max(low, self.low), min(high, self.high)

    def inside(self, values: Codes) -> NDArray[np.bool_]:
        """Whether values lie where data was seen."""
        low, high = self.ends
        return np.isnan(values) | ((values >= low) & (values <= high))


def features_of(
    rows: Rows, directions: Sequence[int], domain: Any, drawn: Places, thresholds: Mapping[int, Codes]
) -> list[Feature]:
    """All features that move, with what the search needs of each."""
    lows, highs, named = bounds_of(domain, rows)
    found = []
    for j, direction in enumerate(directions):
        codes = rows.codes(j)
        if direction == FREE or codes is None:
            continue
        least, most = rows.ends(j)
        low, high = max(lows[j], least), min(highs[j], most)
        unique = np.unique(codes[np.isfinite(codes)])
        unique = unique[(unique >= low) & (unique <= high)]
        cells = _cells(thresholds.get(j, np.empty(0)), unique)
        cells = np.unique(rows.fit(j, cells)) if cells.size else cells
        cells = cells[(cells >= low) & (cells <= high)]
        found.append(
            Feature(j, rows.names[j], direction, codes[drawn], unique, low, high, named[j], rows.whole(j), cells)
        )
    return found


def _cells(thresholds: Codes, unique: Codes) -> Codes:
    """One value between any two thresholds, one beyond each end, and the thresholds themselves."""
    cuts = np.unique(thresholds[np.isfinite(thresholds)])
    if not cuts.size:
        return cuts
    with np.errstate(over="ignore"):
        step = max(1.0, float(np.ptp(unique)) if unique.size else 1.0)
        between = cuts[:-1] + (cuts[1:] - cuts[:-1]) / 2
    return np.concatenate([[cuts[0] - step], cuts, between, [cuts[-1] + step]])


def bounds_of(domain: Any, rows: Rows) -> tuple[list[float], list[float], list[bool]]:
    """Low and high per feature, and whether somebody named them.

    Raises:
        BadInput: a low above its high, or another form.
        NoMatch: a name that is no feature.
    """
    width = len(rows.names)
    lows, highs, named = [-np.inf] * width, [np.inf] * width, [False] * width
    if domain is None:
        return lows, highs, named
    if isinstance(domain, Domain):
        domain = (domain.low, domain.high)
    if isinstance(domain, Mapping):
        for pattern, pair in domain.items():
            for name in matching(str(pattern), rows.names, "domain"):
                j = rows.names.index(name)
                lows[j], highs[j], named[j] = *_two(pair, f"domain[{pattern!r}]"), True
    else:
        low, high = _two(domain, "domain", scalars=False)
        try:
            lows, highs = (np.broadcast_to(np.asarray(b, dtype=np.float64), (width,)).tolist() for b in (low, high))
        except (TypeError, ValueError):
            raise BadInput(
                "domain", "other bounds came", f"a number each, or {width} of them, would be right"
            ) from None
        named = [bool(np.isfinite(a) or np.isfinite(b)) for a, b in zip(lows, highs, strict=True)]
    for name, low, high in zip(rows.names, lows, highs, strict=True):
        if not low <= high:
            raise BadInput("domain", f"from {low:g} to {high:g} came for {name!r}", "low <= high would be right")
    return lows, highs, named


def _two(pair: Any, where: str, *, scalars: bool = True) -> tuple[Any, Any]:
    try:
        low, high = pair
        return (float(low), float(high)) if scalars else (low, high)
    except (TypeError, ValueError):
        raise BadInput(where, f"{pair!r} came"[:80], "(low, high) would be right") from None


def levels(feature: Feature, most: int, random: np.random.Generator, rows: Rows) -> Codes:
    """At most about so many values inside the ends, sorted along the direction."""
    low, high = feature.ends
    seen = feature.unique
    cells = feature.cells[feature.inside(feature.cells)]
    pool: list[Codes] = [np.array([low, high])]
    if feature.whole and high - low <= 2 * most:
        pool.append(np.arange(np.ceil(low), np.floor(high) + 1))
    else:
        share = most // 4
        pool.append(cells if cells.size <= 2 * most else random.choice(cells, most, replace=False))
        pool.append(seen if seen.size <= share else random.choice(seen, share, replace=False))
        pool.append(np.linspace(low, high, max(2, share)))
        pool.append(random.uniform(low, high, share))
    values = np.unique(rows.fit(feature.place, np.concatenate(pool)))
    values = values[(values >= low) & (values <= high)]
    return values[:: feature.direction]


def beyond(feature: Feature, rows: Rows) -> Codes:
    """The ends of what was observed and a few values outside, where the domain lets them; sorted along the direction.

    Below zero only where something observed is; beyond 0 and 1 not where nothing else was observed.
    """
    low, high = feature.ends
    if feature.bounded or (feature.whole and low >= 0 and high <= 1 and low < high):
        return np.empty(0)
    width = max(high - low, abs(high) * 0.5, 1.0)
    outer = np.array(
        [low - 10 * width, low - width, low - width / 4, high + width / 4, high + width, high + 10 * width]
    )
    outer = np.concatenate([outer, [low, high], feature.cells[~feature.inside(feature.cells)][:64]])
    if low >= 0:
        outer = outer[outer >= 0]
    values = np.unique(rows.fit(feature.place, outer))
    return values[(values >= feature.low) & (values <= feature.high)][:: feature.direction]


def neighbours(feature: Feature, at: Codes, rows: Rows) -> Codes:
    """Around each value: one float away, and a little further; shape (values, points), sorted along the direction."""
    low, high = feature.ends
    step = (high - low) * np.array([1e-6, 1e-4, 1e-2])
    near = np.nextafter(at, np.inf), np.nextafter(at, -np.inf)
    single = at.astype(np.float32)
    near32 = np.nextafter(single, np.float32(np.inf)), np.nextafter(single, np.float32(-np.inf))
    columns = [at, *near, *(n.astype(np.float64) for n in near32), *(at + s for s in step), *(at - s for s in step)]
    values = np.clip(np.stack(columns, axis=1), low, high)
    fitted = rows.fit(feature.place, values.ravel()).reshape(values.shape)
    return np.sort(np.clip(fitted, low, high), axis=1)[:, :: feature.direction]
