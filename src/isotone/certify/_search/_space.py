"""The points that a search may try: all inputs as one vector, with directions, bounds, and values that the dtypes hold.

- a point is the whole example, or one row of it where rows do not touch each other;
- a batch of points is a matrix of float64, whose numbers the model's own dtypes hold exactly;
- what is drawn here lies in the domain, and what is moved here moves along the directions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._question import Question
from ._scores import Inputs, pieces

SCALES = (1.0, 3.0, 0.3, 10.0, 30.0)
ALL, INF = -1, float("inf")
# The largest float64 that an int64 holds.
MOST_LONG = float(2**63 - 1024)


class Space:
    """Points of the domain.

    Args:
        question: what is asked.
        row: which row of the example a point is, or ALL of them.
        random: where draws come from.
    """

    def __init__(self, question: Question, row: int, random: torch.Generator) -> None:
        self.question, self.row, self.random = question, row, random
        q = question
        self.shapes = [self._part(x).shape for x in q.inputs]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.directions, self.low, self.high = (self.flat(t) for t in (q.directions, q.low, q.high))  # (size,) each
        self.example = self.flat(q.inputs)
        self.movers = ((self.directions != 0) & (self.low < self.high)).nonzero().reshape(-1)
        self.floats = self.flat([torch.full(x.shape, float(x.is_floating_point())) for x in q.inputs]) > 0
        # Nobody said which whole numbers are valid: those of the example are.
        known = [
            x.is_floating_point() or given or x.dtype is torch.bool for x, given in zip(q.inputs, q.given, strict=True)
        ]
        likes = [
            (low, high) if k else (x.double().amin().expand(x.shape), x.double().amax().expand(x.shape))
            for x, k, low, high in zip(q.inputs, known, q.low, q.high, strict=True)
        ]
        self.least, self.most = self.flat([a for a, _ in likes]), self.flat([b for _, b in likes])
        self.groups = torch.cat([self._grouped(i, shape) for i, shape in enumerate(self.shapes)])
        self.plain = all(x.dtype is torch.float64 for x in q.inputs)

    def flat(self, tensors: Inputs | list[Tensor]) -> Tensor:
        """One tensor per input, as the vector of this space."""
        return torch.cat([self._part(t).detach().double().cpu().reshape(-1) for t in tensors])

    def at(self, inputs: Inputs, row: int) -> Tensor:
        """Another whole input as a point: all of it, or one of its rows."""
        return torch.cat([(x if row == ALL else x[row]).detach().double().cpu().reshape(-1) for x in inputs])

    def _part(self, x: Tensor) -> Tensor:
        return x if self.row == ALL else x[self.row]

    def _grouped(self, i: int, shape: torch.Size) -> Tensor:
        """A number per element, the same for one feature wherever it stands: in all rows, or at all positions."""
        offset = sum(self.sizes[:i])
        if self.row == ALL and len(shape) > 1:
            return (offset + torch.arange(shape[1:].numel())).repeat(shape[0])
        if self.row != ALL and len(shape) > 1:
            return (offset + torch.arange(shape[-1])).repeat(shape.numel() // shape[-1])
        return offset + torch.arange(shape.numel())

    def inputs(self, points: Tensor) -> Inputs:
        """The points (n, size) as tensors of the model's dtypes, each (n, *shape)."""
        return tuple(
            part.reshape(len(points), *shape).to(x.device, x.dtype, copy=True)
            for part, shape, x in zip(pieces(points, self.sizes, 1), self.shapes, self.question.inputs, strict=True)
        )

    def filled(self, point: Tensor) -> Inputs:
        """One point as inputs of the model: the other rows are those of the example."""
        made = [x[0] for x in self.inputs(point.unsqueeze(0))]
        if self.row == ALL:
            return tuple(made)
        filled = tuple(x.clone() for x in self.question.inputs)
        for x, part in zip(filled, made, strict=True):
            x[self.row] = part
        return filled

    def snapped(self, points: Tensor) -> Tensor:
        """The points, put inside the domain and on numbers that the dtypes hold; the order of points is kept."""
        points = torch.minimum(torch.maximum(points, self.low), self.high)
        if self.plain:
            return points
        made = []
        for part, low, high, x in zip(
            pieces(points, self.sizes, 1),
            pieces(self.low, self.sizes),
            pieces(self.high, self.sizes),
            self.question.inputs,
            strict=True,
        ):
            if not x.dtype.is_floating_point:
                made.append(part.round().clamp(-MOST_LONG, MOST_LONG))
                continue
            held = part.to(x.dtype)
            # Rounding to the dtype may step outside by one float.
            end = torch.full_like(held, INF)
            held = torch.where(held.double() < low, torch.nextafter(held, end), held)
            held = torch.where(held.double() > high, torch.nextafter(held, -end), held)
            made.append(held.double())
        return torch.cat(made, 1)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1)."""
        return torch.rand(shape, generator=self.random, dtype=torch.float64)

    def scales(self, count: int, turn: int) -> Tensor:
        """How far the draws reach where the domain has no end; (count, 1)."""
        return torch.tensor([SCALES[(turn + i) % len(SCALES)] for i in range(count)], dtype=torch.float64).unsqueeze(1)

    def starts(self, count: int, turn: int) -> Tensor:
        """Random points: inside, some of their elements at an end, at 0 or at whole numbers; (count, size)."""
        scale, size = self.scales(count, turn), len(self.low)
        low, high = self.least, self.most
        bounded = torch.isfinite(low) & torch.isfinite(high)
        wide = torch.randn(count, size, generator=self.random, dtype=torch.float64) * scale
        # Half-open domains: reach `scale` beyond their one end.
        wide = torch.where(torch.isfinite(low) & ~bounded, low + wide.abs(), wide)
        wide = torch.where(torch.isfinite(high) & ~bounded, high - wide.abs(), wide)
        fraction = self.uniform(count, size)
        wide = torch.where((fraction < 0.15) & ~bounded, wide.round(), wide)
        wide = torch.where((fraction > 0.85) & ~bounded, 0.0, wide)
        # Whole numbers, ends included, come equally often.
        step = torch.where(self.floats, 0.0, 1.0)
        inside = low + self.uniform(count, size) * (high - low + step)
        inside = torch.where(self.floats, inside, torch.minimum(inside.floor(), high))
        inside = torch.where(fraction < 0.1, low, torch.where(fraction > 0.9, high, inside))
        return self.snapped(torch.where(bounded, inside, wide))

    def corners(self, count: int, turn: int) -> Tensor:
        """Points whose elements are all at one end or the other; (count, size)."""
        scale = self.scales(count, turn)
        low = torch.where(torch.isfinite(self.least), self.least, torch.minimum(-2 * scale, self.most - 2 * scale))
        high = torch.where(torch.isfinite(self.most), self.most, torch.maximum(2 * scale, self.least + 2 * scale))
        # From corners with nearly all elements low to corners with nearly all high.
        share = self.uniform(count, 1)
        return self.snapped(torch.where(self.uniform(count, len(self.low)) < share, high, low))

    def ends(self, start: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and the highest point along the directions: the domain's, or two scales away; (n, size) each."""
        low = torch.where(torch.isfinite(self.low), self.low, torch.minimum(start, self.high) - 2 * scale)
        high = torch.where(torch.isfinite(self.high), self.high, torch.maximum(start, self.low) + 2 * scale)
        rising = self.directions > 0
        return torch.where(rising, low, high), torch.where(rising, high, low)

    def between(self, first: Tensor, last: Tensor, moved: Tensor, at: Tensor) -> Tensor:
        """Points on lines from `first` to `last` (lines, size), in the `moved` elements only; (lines, points, size)."""
        moved = moved & (self.directions != 0)
        path = first.unsqueeze(1) + at.unsqueeze(-1) * torch.where(moved, last - first, 0.0).unsqueeze(1)
        lines, points, size = path.shape
        return self.snapped(path.reshape(-1, size)).reshape(lines, points, size)
