"""Bounds of the slopes of every score on a batch of boxes, by one run through the graph and one back.

- the loop names no operator; what has no row in TANGENTS, or is not the same function of each row, is `NotForBoxes`;
- with no width in any dimension a box is a point, and the bounds are its gradient up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from .._capture import Capture, is_assertion, is_fixed, name_of, run_node
from .._facts import INF, NotReal, Refused
from .._walk import _in_order
from ._forms import Form, tidy, up
from ._jets import Jet, Tape
from ._tangents import ROWS_OF_X, TANGENTS, Here

MOST_SEEDS = 8  # scores whose adjoints are worth a run back each
OWN = "what the model computes from its parameters alone is taken as its own dtype rounds it"


class NotForBoxes(Exception):
    """The graph is beyond this method; the sentence says why."""


@dataclass(frozen=True)
class Row:
    """What is asked of one row: per element, all inputs flattened and joined.

    Args:
        low, high, ways: (elements,) domain and directions.
        signs: (scores,) +1 must not fall, -1 must not rise, 0 nothing is claimed.
    """

    low: Tensor
    high: Tensor
    ways: Tensor
    signs: Tensor

    @property
    def wide(self) -> Tensor:
        """The elements that vary at all: the dimensions of a box."""
        return (self.low < self.high).nonzero()[:, 0]

    @property
    def moving(self) -> Tensor:
        """The elements that move along their direction: one column of slopes each."""
        return ((self.low < self.high) & (self.ways != 0)).nonzero()[:, 0]

    def fill(self, x: Tensor) -> Tensor:
        """(boxes, elements) from (boxes, dimensions): what does not vary stands at its one value."""
        full = self.low.expand(len(x), -1).clone()
        full[:, self.wide] = x
        return full


@dataclass(frozen=True)
class Bounds:
    """Per box. A slope is taken along its direction and with the sign of its score: a claim holds where all are >= 0.

    Args:
        low: (boxes,) the smallest lower bound.
        high: (boxes,) the smallest upper bound: below 0, the claim is broken everywhere in the box.
        column: (boxes,) which moving element has the smallest lower bound.
        weights: (boxes, dimensions) how much each dimension has to do with the width of that bound.
        corner: (boxes, dimensions) -1, 0, 1: where in the box the affine part of that slope is smallest.
        values: (boxes, scores), the centres of the scores' values.
    """

    low: Tensor
    high: Tensor
    column: Tensor
    weights: Tensor
    corner: Tensor
    values: Tensor


class Evaluator:
    """A graph, made ready to be run on boxes of one row."""

    def __init__(self, capture: Capture, row: Row, shapes: list[tuple[int, ...]]) -> None:
        self.capture, self.row, self.shapes = capture, row, shapes
        self.assumptions: dict[str, None] = {}
        self._rows = _rows_of(capture)
        self._held: dict[Node, Any] = {k: v.detach().cpu() for k, v in capture.constants.items()}
        self._ahead()

    def _ahead(self) -> None:
        """What does not depend on the inputs, computed once."""
        reached = set(self.capture.inputs)
        for node in self.capture.nodes:
            if any(n in reached for n in node.all_input_nodes):
                reached.add(node)
                continue
            if is_assertion(node):
                continue
            if not is_fixed(node):
                raise NotForBoxes(f"{name_of(node.target)}: its operands do not fix its result")
            with torch.no_grad():
                self._held[node] = run_node(node, self._held.__getitem__)
            if node.all_input_nodes:
                self.assumptions.setdefault(OWN)
        self._moving = [n for n in self.capture.nodes if n in reached]

    def run(self, lo: Tensor, hi: Tensor) -> Bounds:
        """Bounds on the boxes [lo, hi], (boxes, dimensions) each.

        Raises:
            NotForBoxes: the graph has an operator without a rule for boxes.
        """
        with torch.no_grad():
            tape = Tape(len(lo))
            found = dict(self._held)
            for node, jet in zip(self.capture.inputs, self._leaves(tape, lo, hi), strict=True):
                found[node] = jet
            for node in self._moving:
                found[node] = self._jet(tape, node, found)
            ends = [self._score(tape, found[o]) for o in self.capture.outputs]
            end = ends[0] if len(ends) == 1 else tape.move(lambda *t: torch.cat(t, 1), ends)
            return self._bounds(tape, end)

    def _leaves(self, tape: Tape, lo: Tensor, hi: Tensor) -> list[Jet]:
        """The inputs: c + a e over each box, and slopes of 1 along each direction."""
        row, boxes = self.row, len(lo)
        wide, moving = row.wide, row.moving
        mid = torch.minimum(torch.maximum(0.5 * lo + 0.5 * hi, lo), hi)
        # x = mid + half e for some |e| <= 1, if half is at least the distance to both ends.
        half = up(torch.maximum(hi - mid, mid - lo), 1)
        c, low, high = row.fill(mid), row.fill(lo), row.fill(hi)
        a = None
        if bool((half > 0).any()):
            a = torch.zeros(len(wide), boxes, c.shape[1], dtype=torch.float64)
            a[torch.arange(len(wide)), :, wide] = half.T
        slopes = torch.zeros(len(moving), boxes, c.shape[1], dtype=torch.float64)
        slopes[torch.arange(len(moving)), :, moving] = row.ways[moving, None]
        jets, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            cut = slice(start, stop)

            def of(t: Tensor, cut: slice = cut, shape: tuple[int, ...] = shape) -> Tensor:
                return t[..., cut].reshape(*t.shape[:-1], *shape)

            # Tidy, as `corners` needs its bounds: 1e-320 times 1e-100 would end as 0, without its sign.
            value = Form(of(c), None if a is None else of(a), torch.zeros_like(of(c)), *tidy(of(low), of(high)))
            moves = bool(((moving >= start) & (moving < stop)).any())
            s = of(slopes)
            jets.append(tape.leaf(value, Form(s, None, torch.zeros_like(s), s, s, 2) if moves else None))
            start = stop
        return jets

    def _jet(self, tape: Tape, node: Node, found: dict[Node, Any]) -> Any:
        name = name_of(node.target)
        if is_assertion(node):
            return None
        args: Any = map_arg(node.args, found.__getitem__)
        kwargs: Any = map_arg(node.kwargs, found.__getitem__)
        try:
            if name == "getitem" and isinstance(args[0], tuple | list):
                return args[0][args[1]]
            if name == "aten.sym_size.int" and args[1] == 0:
                return ROWS_OF_X
            rule = TANGENTS.get(name)
            if rule is None or not is_fixed(node):
                raise NotForBoxes(f"{name} has no rule for boxes")
            args, kwargs = _in_order(node, args, kwargs)
            result = rule(Here(tape, node, self.assumptions), *args, **kwargs)
            kinds = node.meta["val"]
            many = isinstance(result, tuple)
            for jet, kind in zip(result, kinds, strict=True) if many else [(result, kinds)]:
                if jet is not None:
                    self._check(jet, kind, node, found)
            return result
        except NotForBoxes:
            raise
        except (Refused, NotReal) as fault:
            raise NotForBoxes(f"{name}: {fault}") from None
        except Exception as fault:
            raise NotForBoxes(f"{name}: its rule for boxes does not cover this call ({type(fault).__name__})") from None

    def _check(self, jet: Any, kind: Any, node: Node, found: dict[Node, Any]) -> None:
        """The result has the rows of the trace, its other sizes, and a dtype that holds what was put in."""
        if not isinstance(jet, Jet):
            raise Refused("its result is no tensor")
        if not kind.shape or not _same(kind.shape[0], self._rows) or tuple(kind.shape[1:]) != jet.features:
            raise Refused("its result does not keep the rows of the inputs")
        if not kind.dtype.is_floating_point:
            raise Refused("its result is no floating-point number")
        for operand in node.all_input_nodes:
            if isinstance(found[operand], Jet):
                source = operand.meta["val"].dtype
                if torch.promote_types(source, kind.dtype) != kind.dtype:
                    raise Refused(f"it rounds to {str(kind.dtype).removeprefix('torch.')} on the way")

    def _score(self, tape: Tape, jet: Any) -> Jet:
        if not isinstance(jet, Jet):
            raise NotForBoxes("one of its results does not depend on the inputs, or is no tensor")
        return tape.move(lambda t: t.reshape(t.shape[0], -1), [jet])

    def _bounds(self, tape: Tape, end: Jet) -> Bounds:
        signs = self.row.signs  # (scores,)
        asked = signs != 0
        boxes = tape.boxes
        if end.slope is None:
            zero = torch.zeros(boxes, dtype=torch.float64)
            flat = torch.zeros(boxes, len(self.row.wide), dtype=torch.float64)
            zero = torch.where(tape.sick, -INF, zero)
            return Bounds(zero, zero + INF, torch.zeros_like(zero, dtype=torch.long), flat, flat, end.value.c)
        s = end.slope
        low, high = torch.where(signs > 0, s.lo, -s.hi), torch.where(signs > 0, s.hi, -s.lo)  # (columns, boxes, scores)
        found: dict[int, Tensor] = {}
        count = s.c.shape[-1]
        if count <= MOST_SEEDS:
            seeds = torch.eye(count, dtype=torch.float64)[:, None, :].expand(count, boxes, count)
            found = tape.adjoints(end, seeds)
            # The sum over the steps of |adjoint| . new, for each column, box and score.
            radius = torch.zeros_like(s.c)
            terms = 0
            for place, adjoint in found.items():
                new = tape.steps[place].new
                assert new is not None
                product = (adjoint.unsqueeze(1) * new).reshape(count, *s.c.shape[:2], -1)
                radius = radius + product.sum(3).permute(1, 2, 0)
                terms += new[0, 0].numel() + 2
            # 1e-300: a product that underflows, of an adjoint and a radius or of the rest, is off by at most 5e-324.
            half = up(s.spread + up(radius, terms)) + 4 * 2.0**-52 * s.c.abs() + 1e-300
            low = torch.maximum(low, torch.where(signs > 0, s.c, -s.c) - half)
        low = torch.where(asked, low, INF)
        high = torch.where(asked, high, INF)
        sick = tape.sick[None, :, None] | ~torch.isfinite(s.lo + s.hi)
        low = torch.where(asked & (sick | low.isnan()), -INF, low)
        high = torch.where(sick | high.isnan(), INF, high)
        flat = low.permute(1, 0, 2).flatten(1)  # (boxes, columns * scores)
        least, where = flat.min(1)
        column, score = where // count, where % count
        weights = self._weights(tape, found, s, column, score)
        corner = torch.zeros_like(weights)
        if s.a is not None:
            corner = -torch.sign(s.a[:, column, torch.arange(boxes), score].T * signs[score, None])
        return Bounds(least, high.permute(1, 0, 2).flatten(1).amin(1), column, weights, corner, end.value.c)

    def _weights(self, tape: Tape, found: dict[int, Tensor], s: Form, column: Tensor, score: Tensor) -> Tensor:
        """For each dimension: the radius it is responsible for, by its share in the ranges that caused it."""
        boxes, every = tape.boxes, torch.arange(tape.boxes)
        total = torch.zeros(boxes, len(self.row.wide), dtype=torch.float64)
        if s.a is not None:
            total = total + s.a[:, column, every, score].abs().T
        for place, step in enumerate(tape.steps):
            if step.new is None or not step.causes:
                continue
            new = step.new[column, every]  # (boxes, *features)
            if place in found:
                new = new * found[place][score, every]
            for cause in step.causes:
                if cause.a is not None:
                    share = cause.a.abs() / (cause.spread + cause.r).clamp(min=1e-300)
                    total = total + (share * new).reshape(len(share), boxes, -1).sum(2).T
        return total.nan_to_num(nan=0.0, posinf=0.0)


def _rows_of(capture: Capture) -> Any:
    """The number of rows, as the trace has it: a number or a symbol."""
    rows = None
    for node in capture.inputs:
        kind = node.meta["val"]
        if not kind.shape:
            raise NotForBoxes("an input without rows has no rule for boxes")
        if not kind.dtype.is_floating_point:
            raise NotForBoxes("whole numbers and truth values among the inputs have no slopes")
        if rows is not None and not _same(rows, kind.shape[0]):
            raise NotForBoxes("its inputs have different numbers of rows")
        rows = kind.shape[0]
    return rows


def _same(a: Any, b: Any) -> bool:
    """Whether two traced sizes are the same number, or the same symbol, without asking the symbol."""
    if isinstance(a, int) or isinstance(b, int):
        return type(a) is type(b) and a == b
    return str(a) == str(b)
