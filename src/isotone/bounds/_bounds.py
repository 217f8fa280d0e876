"""A lower bound of the score over everything that at most k additions make of a row.

Three bounds, each sound by itself; the best counts:

- lines, put back through the network to the row (CROWN), with two choices of tangents;
- slopes: the score at the row itself, less the k moves that its slopes allow to lower it most. For a network that
  rises this is the score itself, whatever k;
- the interval of the score.

Why slopes bound it: all values are continuous and piecewise smooth in the row and in the rounding of each node, so
along the straight way from the row to a row in reach the score changes by the integral of its slopes, and every row on
that way is in reach too. The slopes lie in the bounds that the ranges of the operands allow; see also
`certify/boxes/_jets.py` for kinks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..certify.boxes._curves import Steps
from ._lines import lines
from ._reach import Reach
from ._tape import FLOAT64, OURS, Affine, Bend, Input, Largest, Node, State

Tape = tuple[Node, ...]


def lower(tape: Tape, reach: Reach, unit: float) -> Tensor:
    """Shape (n,): no row in reach scores less, in the model's own arithmetic; -inf where nothing is known.

    Args:
        tape: nodes in order; the last is the score, of width 1.
        reach: the rows.
        unit: the unit roundoff of the model's arithmetic.

    Raises:
        NotReal: a function here has no rule for such values.
    """
    interval, found = forms(tape, reach, unit)
    bounds = [interval, *(form.base - reach.dearest(form.cost) for form in found)]
    return torch.stack([bound.nan_to_num(nan=-torch.inf, posinf=-torch.inf) for bound in bounds]).amax(0)


@dataclass(frozen=True, eq=False)
class Form:
    """The score of a row in reach is at least `base` less the cost of the features that moved.

    Args:
        base: shape (n,).
        cost: shape (n, d), at least 0.
    """

    base: Tensor
    cost: Tensor


def forms(tape: Tape, reach: Reach, unit: float) -> tuple[Tensor, list[Form]]:
    """The interval's lower end of the score, (n,), and the bounds by slopes and by two choices of lines.

    Args, Raises: as `lower`.
    """
    here = values(tape, reach.with_most(torch.zeros_like(reach.most)), FLOAT64, None)
    middle = [(lo + hi) / 2 for lo, hi in zip(here.lo, here.hi, strict=True)]
    state = values(tape, reach, unit, middle)
    last, one = len(tape) - 1, torch.ones(len(reach.x), 1, 1, dtype=torch.float64)

    def by_lines() -> Form:
        base, cost = _put_back(tape, state, last, one)
        return Form(base[:, 0], torch.zeros_like(reach.x) if cost is None else cost[:, 0])

    found = [_by_slopes(tape, state, here), by_lines()]
    for place, node in enumerate(tape):
        if isinstance(node, Bend):
            lo, hi = state.lo[node.source], state.hi[node.source]
            kink = torch.where(hi > -lo, hi, lo)
            at = kink if isinstance(node.row.slope, Steps) else (lo + hi) / 2
            state.lines[place] = lines(node.row, lo, hi, at)
    found.append(by_lines())
    return state.lo[last][:, 0], found


def values(tape: Tape, reach: Reach, unit: float, middle: list[Tensor] | None) -> State:
    """Ranges of all nodes; where tangents are given, those of later layers through lines as well.

    Args:
        middle: per node, where to touch; None for intervals only.
    """
    state = State(reach, unit)
    for place, node in enumerate(tape):
        lo, hi, error = node.values(state)
        state.lo.append(lo)
        state.hi.append(hi)
        state.error.append(error)
        if middle is None:
            continue
        if isinstance(node, Bend):
            source = node.source
            state.lines[place] = lines(node.row, state.lo[source], state.hi[source], middle[source])
        elif isinstance(node, Affine) and node.source != 0 and place + 1 < len(tape):
            one = torch.eye(len(node.bias), dtype=torch.float64).expand(len(lo), -1, -1)
            # NaN loses every comparison, and leaves the interval as it was.
            low, high = back(tape, state, place, one), -back(tape, state, place, -one)
            state.lo[place] = torch.where(low > lo, low, lo)
            state.hi[place] = torch.where(high < hi, high, hi)
    return state


def back(tape: Tape, state: State, place: int, adjoint: Tensor) -> Tensor:
    """A lower bound, (n, m), of m linear functions, (n, m, width), of a node's values."""
    base, cost = _put_back(tape, state, place, adjoint)
    return base if cost is None else base - state.reach.dearest(cost)


def _put_back(tape: Tape, state: State, place: int, adjoint: Tensor) -> tuple[Tensor, Tensor | None]:
    """The bound of the rows as they are, (n, m), and what each move costs, (n, m, d); None: nothing."""
    waiting: dict[int, Tensor] = {place: adjoint}
    total, cost = torch.zeros(adjoint.shape[:2], dtype=torch.float64), None
    size = torch.zeros_like(total)
    for at in range(place, -1, -1):
        if (here := waiting.pop(at, None)) is None:
            continue
        node = tape[at]
        if isinstance(node, Input | Largest):
            value, more = node.leaf(state, here) if isinstance(node, Input) else node.leaf(state, at, here)
            cost = more if cost is None else cost if more is None else cost + more
        else:
            parts, value = node.back(state, at, here)
            for source, part in parts:
                waiting[source] = waiting[source] + part if source in waiting else part
        total, size = total + value, size + value.abs()
    return total - OURS * size, cost


def _by_slopes(tape: Tape, state: State, here: State) -> Form:
    """The score as it is, less what roundings can take, and what each move costs."""
    last = len(tape) - 1
    one = torch.ones(len(state.reach.x), 1, dtype=torch.float64)
    waiting: dict[int, tuple[Tensor, Tensor]] = {last: (one, one)}
    rounding = torch.zeros(len(one), dtype=torch.float64)
    box, cost = torch.zeros_like(rounding), None
    for at in range(last, -1, -1):
        if at not in waiting:
            continue
        lo, hi = waiting.pop(at)
        node = tape[at]
        rounding = rounding + (torch.maximum(lo.abs(), hi.abs()) * state.error[at]).sum(1)
        if isinstance(node, Input):
            cost = _plus(cost, node.cost(state, lo, hi))
        elif isinstance(node, Largest):
            # Columns only rise, so that only what falls with them costs anything.
            pooled = state.lo[at]
            value, more = node.leaf(state, at, lo.clamp(max=0.0)[:, None])
            terms = lo.clamp(max=0.0) * pooled
            box = box + (value[:, 0] - terms.sum(1)).clamp(max=0.0) - 2 * OURS * terms.abs().sum(1)
            cost = cost if more is None else _plus(cost, more[:, 0])
        else:
            for source, least, most in node.slopes(state, lo, hi):
                had = waiting.get(source, (0.0, 0.0))
                waiting[source] = (least + had[0], most + had[1])
    base = here.lo[last][:, 0] + box
    base = base - rounding * (1 + OURS) - OURS * (base.abs() + box.abs())
    return Form(base, torch.zeros_like(state.reach.x) if cost is None else cost)


def _plus(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b
