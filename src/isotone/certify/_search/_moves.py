"""Where to look: each move makes lines of ordered points, (lines, points, size), from the lowest to the highest.

Moves know points and slopes, and no model: what a line shows is judged elsewhere. In the table below the order is the
order of play: cheap and broad first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ._space import Space

Slopes = Callable[[Tensor, Tensor], Tensor | None]


@dataclass
class Field:
    """What a search knows about one space.

    Args:
        space: its points.
        signs: what is claimed of each column.
        rows: points that one call takes.
        slopes: gradients of weighed scores at points; None where there are none.
        examples: the user's own points.
        swept: how many elements the sweep has moved by themselves.
        starts: points that somebody proposed, not yet looked at.
        pairs: pairs that somebody proposed.
        pool: the best pairs so far: drop relative to its scores, lower, upper, column.
    """

    space: Space
    signs: Tensor
    rows: int
    slopes: Slopes
    examples: Tensor
    turn: int = 0
    swept: int = 0
    starts: list[Tensor] = field(default_factory=list)
    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    pool: list[tuple[float, Tensor, Tensor, int]] = field(default_factory=list)

    def lines(self, points: int) -> int:
        """How many lines of so many points one call takes; 1 where a call is a point."""
        return max(1, self.rows // points)

    def drawn(self, count: int) -> Tensor:
        """Starts: random points, and every fourth one of the user's own."""
        made = self.space.starts(count, self.turn)
        own = torch.arange(count) + self.turn
        mine = own % 4 == 3
        return torch.where(mine.unsqueeze(1), self.examples[own // 4 % len(self.examples)], made)

    def picked(self, count: int) -> Tensor:
        """One moving element per line; (count,)."""
        movers = self.space.movers
        return movers[torch.randint(len(movers), (count,), generator=self.space.random)]

    def moved(self, count: int) -> Tensor:
        """What moves: one element, one feature wherever it stands, or everything, in turn; (count, size)."""
        picked = self.picked(count)
        one = torch.arange(len(self.space.low)).unsqueeze(0) == picked.unsqueeze(1)
        feature = self.space.groups.unsqueeze(0) == self.space.groups[picked].unsqueeze(1)
        kind = (torch.arange(count) + self.turn).unsqueeze(1) % 3
        return (kind == 2) | torch.where(kind == 1, feature, one)

    def steps(self, count: int, points: int) -> Tensor:
        """Places on lines from 0 to 1, the inner ones shaken; (count, points)."""
        even = torch.linspace(0, 1, points, dtype=torch.float64).expand(count, points)
        shake = (self.space.uniform(count, points) - 0.5) / max(points - 1, 1)
        return torch.where((even > 0) & (even < 1), even + 0.9 * shake, even)


def across(f: Field, start: Tensor, moved: Tensor, points: int) -> Tensor:
    """Lines through the starts from end to end of the domain."""
    first, last = f.space.ends(start, f.space.scales(len(start), f.turn))
    return f.space.between(torch.where(moved, first, start), last, moved, f.steps(len(start), points))


def near(f: Field, start: Tensor, moved: Tensor, points: int) -> Tensor:
    """Short lines around the starts, of lengths from a scale to a millionth of one."""
    count = len(start)
    scale = f.space.scales(count, f.turn) * 10.0 ** -(6 * f.space.uniform(count, 1))
    step = torch.where(moved, f.space.directions * scale, 0.0)
    shift = f.space.uniform(count, 1)
    return f.space.between(start - shift * step, start + (1 - shift) * step, moved, f.steps(count, points))


def wide(f: Field) -> Tensor:
    """Random starts, each on a line from end to end."""
    count = f.lines(9)
    return across(f, f.drawn(count), f.moved(count), 9)


def fine(f: Field) -> Tensor:
    """Random starts, each on a short line."""
    count = f.lines(5)
    return near(f, f.drawn(count), f.moved(count), 5)


def sweep(f: Field) -> Tensor:
    """Every moving element by itself, one after the other; then again from other starts."""
    count, movers = f.lines(9), f.space.movers
    picked = movers[(torch.arange(count) + f.swept) % len(movers)]
    f.swept += count
    one = torch.arange(len(f.space.low)).unsqueeze(0) == picked.unsqueeze(1)
    return across(f, f.drawn(count), one, 9)


def long(f: Field) -> Tensor:
    """Few lines with many points: a dip that is narrow shows on no coarse one."""
    points = 64 if f.rows > 1 else 16
    count = f.lines(points)
    return across(f, f.drawn(count), f.moved(count), points)


def corner(f: Field) -> Tensor:
    """Starts with every element at one end or the other."""
    count = f.lines(3)
    start = f.space.corners(count, f.turn)
    return across(f, start, f.moved(count), 3)


def steep(f: Field) -> Tensor | None:
    """Where autograd sees a fall: along the steepest element, or along all that fall."""
    count = f.lines(9)
    start = f.drawn(max(f.rows, 1))
    weights = torch.zeros(len(start), len(f.signs), dtype=torch.float64)
    claimed = f.signs.nonzero().reshape(-1)
    column = claimed[torch.randint(len(claimed), (len(start),), generator=f.space.random)]
    weights[torch.arange(len(start)), column] = f.signs[column]
    slope = f.slopes(start, weights)
    if slope is None:
        return None
    along = (slope * f.space.directions)[:, f.space.movers]
    # Relative to all slopes at that point: flat places count as much as steep ones.
    least = along.amin(1) / slope.abs().amax(1).clamp(min=1e-300)
    best = least.argsort()[:count]
    start, along = start[best], along[best]
    falls = along < 0
    one = torch.arange(along.shape[1]).unsqueeze(0) == along.argmin(1, keepdim=True)
    every = (torch.arange(len(start)).unsqueeze(1) + f.turn) % 2 == 1
    moved = torch.zeros(len(start), len(f.space.low), dtype=torch.bool)
    moved[:, f.space.movers] = torch.where(every & falls.any(1, keepdim=True), falls, one)
    return (near if f.turn % 3 == 0 else across)(f, start, moved, 9)


def proposed(f: Field) -> Tensor | None:
    """Pairs and points that somebody proposed: where a proof stopped, at kinks, in the worst boxes."""
    if f.pairs:
        taken, f.pairs = f.pairs[: f.lines(5)], f.pairs[f.lines(5) :]
        lower, upper = (torch.stack(side) for side in zip(*taken, strict=True))
        return f.space.between(lower, upper, torch.ones_like(lower, dtype=torch.bool), f.steps(len(lower), 5))
    if not f.starts:
        return None
    each = 12 if f.rows > 1 else 1
    count = max(1, f.lines(9) // each)
    taken_, f.starts = f.starts[:count], f.starts[count:]
    start = torch.stack(taken_).repeat_interleave(each, 0)
    return near(f, start, f.moved(len(start)), 9)


def descent(f: Field, steps: int = 6) -> Tensor | None:
    """Projected ascent on the drop: both members move, in order and in the domain, from the best pairs so far."""
    if not f.pool:
        return None
    space, count = f.space, max(1, f.rows // 2)
    taken = [f.pool[(i // 2 + f.turn) % len(f.pool) if i % 2 else i // 2 % min(4, len(f.pool))] for i in range(count)]
    lower, upper = torch.stack([t[1] for t in taken]), torch.stack([t[2] for t in taken])
    column = torch.tensor([t[3] for t in taken])
    weights = torch.zeros(count, len(f.signs), dtype=torch.float64)
    weights[torch.arange(count), column] = f.signs[column]
    first, last = space.ends(lower, space.scales(count, f.turn))
    span = torch.where(space.floats, (last - first).abs(), 0.0)
    free = torch.where(
        torch.isfinite(space.low) & torch.isfinite(space.high), space.high - space.low, 4 * space.scales(count, f.turn)
    )
    span = torch.where((space.directions == 0) & space.floats, free, span)
    # A shaken start for all but the first few, so that the same pool gives other ends.
    shake = (space.uniform(count, len(space.low)) - 0.5) * 0.1 * span * (torch.arange(count) >= 8).unsqueeze(1)
    lower, upper = space.snapped(lower + shake), space.snapped(upper + shake)
    for step in range(steps):
        slope = f.slopes(torch.cat([lower, upper]), torch.cat([weights, -weights]))
        if slope is None:
            return None
        at_lower, at_upper = slope[:count] * span, slope[count:] * span
        together = _unit(at_lower + at_upper)
        apart = _unit(at_upper * space.directions)
        rate = 0.25 * 0.5**step
        # Every second pair takes steps of one size in all elements, which leaves flat valleys.
        together = torch.where((torch.arange(count) % 2 == 1).unsqueeze(1), together.sign(), together)
        reach = ((upper - lower) * space.directions + rate * apart * span).clamp(min=0.0)
        lower = space.snapped(lower + rate * together * span)
        upper = space.snapped(lower + reach * space.directions)
    points = 3
    return space.between(lower, upper, torch.ones_like(lower, dtype=torch.bool), f.steps(count, points))


def _unit(x: Tensor) -> Tensor:
    """Each row over its largest entry."""
    return x / x.abs().amax(1, keepdim=True).clamp(min=1e-300)


# fmt: off
MOVES: tuple[Callable[[Field], Tensor | None], ...] = (
    wide, sweep, steep, corner, fine, descent, long, sweep, steep, wide, fine, descent,
)
# fmt: on
