"""A network as a list of simple nodes, and what each of them does to intervals, lines and slopes.

What is enclosed are the values that the model computes in its own arithmetic, in whatever order it adds up: each node
charges `error` for that, and for what these bounds lose in float64. With unit roundoff u, a sum of n products is off by
at most n u / (1 - n u) times the sum of their sizes (Higham, Accuracy and Stability of Numerical Algorithms, section
3.1); `gamma` is more than twice that. Terms that are 0 round nothing, so n counts the others. That holds while nothing
overflows: where sizes could add up to that, nothing is known (`State.charged`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..certify.boxes._curves import Row
from ._lines import Lines
from ._reach import Reach

FLOAT64 = 2.0**-53
# What float64 loses where it adds up at most 2**16 terms here, relative to their sizes.
OURS = 2.0**-36
# Least size that is charged: what underflows is far below it.
LEAST = 1e-30
# Products, for one block of rows: what single names cost is worked out up to here, beyond it their maxima alone count.
MOST_WORK = 2**28


def gamma(n: int | Tensor, unit: float) -> float | Tensor:
    """A bound of the relative error of a sum of n products."""
    return 2.0 * (n + 4) * unit


@dataclass(eq=False)
class State:
    """What is known of every node, for some rows.

    Args:
        reach: of the rows.
        unit: the unit roundoff of the model's arithmetic.
        lo, hi: shape (n, width) per node.
        error: shape (n, width) per node: how far a computed value is from the exact function of computed operands.
        lines: per bend, by its place.
    """

    reach: Reach
    unit: float
    lo: list[Tensor] = field(default_factory=list)
    hi: list[Tensor] = field(default_factory=list)
    error: list[Tensor] = field(default_factory=list)
    lines: dict[int, Lines] = field(default_factory=dict)

    def most(self, place: int) -> Tensor:
        """The largest absolute value of a node."""
        return torch.maximum(self.lo[place].abs(), self.hi[place].abs())

    def charged(self, error: Tensor, total: Tensor) -> Tensor:
        """The error of a node whose terms are of these sizes together; NaN, which proves nothing, if they may overflow.

        Beyond this an order of summation ends in infinity, or in NaN, where the exact sum is a number.
        """
        return torch.where(total < (2.0**126 if self.unit > FLOAT64 else 2.0**1000), error + LEAST, torch.nan)


Adjoints = list[tuple[int, Tensor]]
Slopes = list[tuple[int, Tensor, Tensor]]


class Node(Protocol):
    """One step of a network."""

    @property
    def sources(self) -> tuple[int, ...]:
        """The nodes it is made of."""
        ...

    def values(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Bounds of its values, (n, width) each, and its own error, which the bounds include."""
        ...

    def back(self, state: State, place: int, adjoint: Tensor) -> tuple[Adjoints, Tensor]:
        """From a linear function of its values, (n, m, width), one of its sources' below it, and a number."""
        ...

    def slopes(self, state: State, lo: Tensor, hi: Tensor) -> Slopes:
        """From bounds of the score's slope along its values, (n, width), those along its sources'."""
        ...


@dataclass(frozen=True, eq=False)
class Input:
    """The row itself."""

    sources: tuple[int, ...] = ()

    def values(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Each feature between where it is and its target."""
        return state.reach.low, state.reach.high, torch.zeros_like(state.reach.x)

    def back(self, state: State, place: int, adjoint: Tensor) -> tuple[Adjoints, Tensor]:
        """Nothing is below it; see `leaf`."""
        raise NotImplementedError

    def slopes(self, state: State, lo: Tensor, hi: Tensor) -> Slopes:
        """Nothing is below it."""
        return []

    def leaf(self, state: State, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        """A linear function of the row, (n, m, d): its value at the row as it is, (n, m), and what each move costs."""
        reach = state.reach
        terms = adjoint * reach.x[:, None]
        value = terms.sum(-1) - OURS * terms.abs().sum(-1)
        return value, (-adjoint * reach.span[:, None]).clamp(min=0.0)

    def cost(self, state: State, lo: Tensor, hi: Tensor) -> Tensor:
        """What each move costs at most, (n, d), by bounds of the slopes."""
        span = state.reach.span
        return torch.maximum(-lo * span, -hi * span).clamp(min=0.0)


@dataclass(frozen=True, eq=False)
class Affine:
    """weight @ source + bias.

    Args:
        source: a node.
        weight: shape (width, width of the source), float64.
        bias: shape (width,), float64.
        size: shape (width,): sizes of the further terms that the model adds up, if not those of the bias.
    """

    source: int
    weight: Tensor
    bias: Tensor
    size: Tensor | None = None

    @property
    def sources(self) -> tuple[int, ...]:
        """One."""
        return (self.source,)

    def values(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Of the row itself the exact range over at most k additions; otherwise of the box of its source."""
        size = self.bias.abs() if self.size is None else self.size
        sizes = self.weight.abs()
        if self.source == 0:
            reach = state.reach
            terms = ((reach.x != 0).sum(1) + reach.most).clamp(max=reach.x.shape[1])
            # A feature that moved is no larger than before, or than its target.
            moved = reach.most.clamp(max=reach.x.shape[1])[:, None] * (sizes * reach.far).amax(1)
            total = reach.x.abs() @ sizes.T + torch.minimum(moved, sizes @ reach.far) + size
            error = gamma(terms, state.unit)[:, None] * total + OURS * total  # type: ignore[index]
            error = state.charged(error, total)
            at = reach.x @ self.weight.T + self.bias
            if not bool(reach.most.any()):
                return at - error, at + error, error
            step = self.weight * reach.span[:, None]  # (n, width, d)
            low = at - reach.dearest((-step).clamp(min=0.0))
            return low - error, at + reach.dearest(step.clamp(min=0.0)) + error, error
        lo, hi = state.lo[self.source], state.hi[self.source]
        plus, minus = self.weight.clamp(min=0.0), self.weight.clamp(max=0.0)
        total = state.most(self.source) @ sizes.T + size
        error = state.charged((gamma(self.weight.shape[1], state.unit) + OURS) * total, total)
        low, high = lo @ plus.T + hi @ minus.T + self.bias, hi @ plus.T + lo @ minus.T + self.bias
        return low - error, high + error, error

    def back(self, state: State, place: int, adjoint: Tensor) -> tuple[Adjoints, Tensor]:
        """Exact but for rounding, which `error` covers."""
        error = (adjoint.abs() * state.error[place][:, None]).sum(-1)
        return [(self.source, adjoint @ self.weight)], adjoint @ self.bias - error

    def slopes(self, state: State, lo: Tensor, hi: Tensor) -> Slopes:
        """An interval times a matrix."""
        plus, minus = self.weight.clamp(min=0.0), self.weight.clamp(max=0.0)
        room = OURS * (torch.maximum(lo.abs(), hi.abs()) @ self.weight.abs())
        return [(self.source, lo @ plus + hi @ minus - room, hi @ plus + lo @ minus + room)]


@dataclass(frozen=True, eq=False)
class Bend:
    """A function of each number by itself.

    Args:
        source: a node.
        row: what the certifier knows of the function.
        loss: how many units of roundoff the model's own evaluation may be off: of the value, of 1, and of the operand.
    """

    source: int
    row: Row
    loss: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def sources(self) -> tuple[int, ...]:
        """One."""
        return (self.source,)

    def values(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Its range, and what the model's evaluation may be off."""
        lo, hi = state.lo[self.source], state.hi[self.source]
        self.row.check(lo, hi)
        low, high = self.row.value.range(lo, hi)
        size, far = torch.maximum(low.abs(), high.abs()), state.most(self.source)
        of_value, of_one, of_operand = self.loss
        error = state.unit * (of_value * size + of_one + of_operand * far) + OURS * (size + 4 * far)
        error = state.charged(error, size + far)
        return low - error, high + error, error

    def back(self, state: State, place: int, adjoint: Tensor) -> tuple[Adjoints, Tensor]:
        """Through the line below where the adjoint is positive, through the one above where it is negative."""
        found = state.lines[place]
        plus, minus = adjoint.clamp(min=0.0), adjoint.clamp(max=0.0)
        below = plus * found.low_slope[:, None] + minus * found.high_slope[:, None]
        shift = plus * found.low_shift[:, None] + minus * found.high_shift[:, None]
        room = (adjoint.abs() * state.error[place][:, None]).sum(-1) + OURS * shift.abs().sum(-1)
        return [(self.source, below)], shift.sum(-1) - room

    def slopes(self, state: State, lo: Tensor, hi: Tensor) -> Slopes:
        """The product of two intervals."""
        least, most = self.row.slope.range(state.lo[self.source], state.hi[self.source])
        corners = torch.stack([lo * least, lo * most, hi * least, hi * most])
        room = OURS * corners.abs().amax(0)
        return [(self.source, corners.amin(0) - room, corners.amax(0) + room)]


@dataclass(frozen=True, eq=False)
class Total:
    """A weighted sum of nodes of one width, plus a constant.

    Args:
        sources: nodes.
        shares: one number each.
        bias: shape (width,), float64.
    """

    sources: tuple[int, ...]
    shares: tuple[float, ...]
    bias: Tensor

    def values(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """The sum of the ranges."""
        low, high, total = self.bias, self.bias, self.bias.abs()
        for source, share in zip(self.sources, self.shares, strict=True):
            ends = share * state.lo[source], share * state.hi[source]
            low, high = low + torch.minimum(*ends), high + torch.maximum(*ends)
            total = total + abs(share) * state.most(source)
        # A factor of 1 or -1 rounds nothing, nor does a sum of one term.
        exact = len(self.sources) == 1 and abs(self.shares[0]) == 1 and not bool(self.bias.any())
        error = state.charged(((0.0 if exact else gamma(len(self.sources) + 1, state.unit)) + OURS) * total, total)
        return low - error, high + error, error

    def back(self, state: State, place: int, adjoint: Tensor) -> tuple[Adjoints, Tensor]:
        """To each its share."""
        error = (adjoint.abs() * state.error[place][:, None]).sum(-1)
        parts = [(s, share * adjoint) for s, share in zip(self.sources, self.shares, strict=True)]
        return parts, adjoint @ self.bias - error

    def slopes(self, state: State, lo: Tensor, hi: Tensor) -> Slopes:
        """To each its share."""
        found = []
        for source, share in zip(self.sources, self.shares, strict=True):
            ends = share * lo, share * hi
            room = OURS * torch.maximum(ends[0].abs(), ends[1].abs())
            found.append((source, torch.minimum(*ends) - room, torch.maximum(*ends) + room))
        return found


@dataclass(frozen=True, eq=False)
class Largest:
    """Of each column of the weight rows of the names that are there, the largest entry, and at least 0.

    A name that is added stands for election: a column rises to at most the largest available entry, and the rises of
    several names together are at most the sum of what each would bring alone.

    Args:
        rows: shape (names, width), float64; the names are the first columns of the row.
    """

    rows: Tensor
    sources: tuple[int, ...] = ()

    def pooled(self, reach: Reach) -> Tensor:
        """Shape (n, width): the maxima of the rows as they are. Exact."""
        here = reach.x[:, : len(self.rows)] > 0
        columns = [torch.where(here, column, 0.0).amax(1) for column in self.rows.T.contiguous()]
        return torch.stack(columns, dim=1).clamp(min=0.0)

    def values(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Between the maxima as they are and with all names that can be added."""
        low = self.pooled(state.reach)
        open_ = state.reach.wide[:, : len(self.rows)] > 0
        columns = [torch.where(open_, column, 0.0).amax(1) for column in self.rows.T.contiguous()]
        return low, torch.maximum(torch.stack(columns, dim=1), low), torch.zeros_like(low)

    def back(self, state: State, place: int, adjoint: Tensor) -> tuple[Adjoints, Tensor]:
        """Nothing is below it; see `leaf`."""
        raise NotImplementedError

    def slopes(self, state: State, lo: Tensor, hi: Tensor) -> Slopes:
        """Nothing is below it."""
        return []

    def leaf(self, state: State, place: int, adjoint: Tensor) -> tuple[Tensor, Tensor | None]:
        """A linear function of the maxima, (n, m, width): a number, (n, m), and what each name costs, (n, m, d).

        Where every column may reach its largest entry for less than the names cost together, that is taken instead.
        """
        reach, pooled, names = state.reach, state.lo[place], len(self.rows)
        terms = adjoint * pooled[:, None]
        value = terms.sum(-1) - OURS * terms.abs().sum(-1)
        against = (-adjoint).clamp(min=0.0)
        rise = (against * (state.hi[place] - pooled)[:, None]).sum(-1) * (1 + OURS)
        if adjoint.numel() * names > MOST_WORK:
            return value - rise, None
        cost = reach.x.new_zeros(*adjoint.shape[:2], reach.x.shape[1])
        for column, old, some in zip(self.rows.T.contiguous(), pooled.T, against.unbind(-1), strict=True):
            cost[..., :names] += some[..., None] * (column - old[:, None]).clamp(min=0.0)[:, None]
        cost = torch.where(reach.wide[:, None] > 0, cost, 0.0)
        all_at_once = rise < reach.dearest(cost)
        return torch.where(all_at_once, value - rise, value), torch.where(all_at_once[..., None], 0.0, cost)
