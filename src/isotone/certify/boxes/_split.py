"""The domain in boxes: a claim that no single look at the whole domain proves, proved piece by piece."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from .._capture import Capture
from .._facts import INF
from .._question import Question
from ._evaluate import Evaluator, NotForBoxes, Row
from ._judged import Judge, judged
from ._queue import Progress, explore

Inputs = tuple[Tensor, ...]
MOST_DIMENSIONS = 32


@dataclass(frozen=True, eq=False)
class Split:
    """What came of it.

    Args:
        proved: every box is proved.
        candidates: ordered pairs of inputs at which the score seems to fall, largest drop first; to be evaluated again.
        boxes: how many were looked at.
        worst: the smallest lower bound of a slope that is left; 0 if proved, -inf where nothing is known.
        where: the box with that bound: per input the low and the high of one row (of all rows, for a judge).
        method: how, in words; also when it was not proved.
        reason: why it is not proved.
        assumptions: what the proof rests on besides the mathematics.
    """

    proved: bool
    candidates: tuple[tuple[Inputs, Inputs], ...] = ()
    boxes: int = 0
    worst: float = -INF
    where: tuple[Inputs, Inputs] | None = None
    method: str = ""
    reason: str = ""
    assumptions: tuple[str, ...] = ()


def split(
    capture: Capture,
    question: Question,
    signs: list[Tensor],
    *,
    seconds: float,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> Split:
    """Prove that no score moves against its claim, box by box, or find where it does.

    Args:
        capture: the graph.
        question: inputs, directions, and a domain that is bounded wherever it matters.
        signs: one tensor per output of the graph, in its shape: +1 it must not fall, -1 it must not rise, 0 nothing.
        seconds: time to spend.
        judge: for graphs with an operator that has no rule for boxes: whether the claim holds on the box of all inputs
            between two lists of tensors.
        progress: called with the share of the domain's volume that is proved, the worst bound, and the boxes so far.

    Cost: a batch of boxes takes about as long as (moving inputs + 1) (varying inputs + 4) forward passes of it in
    float64; the number of boxes grows with the dimensions that matter: 4 to 8 are practical for 2 x 64 units.
    Source: Moore (1966) for centred forms; Zhang et al., CROWN (arXiv 1811.00866)
    for linear bounds of activations.
    """
    until = time.monotonic() + seconds
    if reason := _beyond(question):
        return Split(False, reason=reason)
    try:
        return _by_slopes(capture, question, signs, until, progress)
    except NotForBoxes as fault:
        reason = str(fault)
    if judge is None:
        return Split(False, reason=reason)
    return judged(capture, question, judge, until, progress, reason)


def _beyond(question: Question) -> str:
    """Why the question is no question for boxes, if so."""
    if any(not x.dtype.is_floating_point for x in question.inputs):
        return "whole numbers and truth values among the inputs have no slopes"
    if not all(bool((torch.isfinite(low) & torch.isfinite(high)).all()) for low, high in
               zip(question.low, question.high, strict=True)):  # fmt: skip
        return "the domain has no bounds in some dimensions; boxes need both a low and a high for every input"
    return ""


def _by_slopes(
    capture: Capture, question: Question, signs: list[Tensor], until: float, progress: Progress | None
) -> Split:
    rows, shapes = _rows(question, signs)
    boxes, assumptions = 0, dict[str, None]()
    if not any(_asks(row) for _, row in rows):
        # Rows that move may be others than rows of which something is claimed, so it still has to be seen that no row
        # reads another: a run at one point refuses a graph that mixes them.
        first = rows[0][1]
        here = first.low[first.wide][None]
        Evaluator(capture, first, shapes).run(here, here)
    for index, row in rows:
        dims = len(row.wide)
        if dims > MOST_DIMENSIONS:
            raise NotForBoxes(f"{dims} inputs vary in the domain, more than the {MOST_DIMENSIONS} that boxes can split")
        if not _asks(row):
            continue
        evaluator = Evaluator(capture, row, shapes)
        found = explore(evaluator, question.inputs[0].dtype, until, progress)
        boxes += found.boxes
        assumptions.update(evaluator.assumptions)
        method = f"bounds of the score's slopes on {boxes:,} box{'es' if boxes != 1 else ''} of the domain"
        if found.open:
            assert found.where is not None
            if found.pairs:
                reason = f"the score falls along one input by {found.pairs[0][0]:.2g} of its size"
            elif time.monotonic() >= until:
                reason = f"time was up after {boxes:,} boxes; the worst slope left may be {found.worst:.3g}"
            else:
                reason = f"a box too small to split is left; its slope may be {found.worst:.3g}"
            candidates = tuple(_pair(question, shapes, index, a, b) for _, a, b in found.pairs)
            where = (_cut(found.where[0], shapes), _cut(found.where[1], shapes))
            return Split(False, candidates, boxes, found.worst, where, method, reason, tuple(assumptions))
    method = f"bounds of the score's slopes on {boxes:,} box{'es' if boxes != 1 else ''} of the domain"
    return Split(True, (), boxes, 0.0, None, method, "", tuple(assumptions))


def _asks(row: Row) -> bool:
    """Whether anything moves in the row, and anything is claimed of it."""
    return len(row.moving) > 0 and bool((row.signs != 0).any())


def _rows(question: Question, signs: list[Tensor]) -> tuple[list[tuple[int, Row]], list[tuple[int, ...]]]:
    """Every different row of the question, with its position: a graph that treats rows alike needs each only once."""
    counts = {x.shape[0] if x.dim() else None for x in question.inputs} | {
        s.shape[0] if s.dim() else None for s in signs
    }
    if len(counts) != 1 or None in counts:
        raise NotForBoxes("inputs and scores do not have the same rows")
    shapes = [tuple(x.shape[1:]) for x in question.inputs]

    def joined(tensors: list[Tensor] | Inputs) -> Tensor:
        return torch.cat([t.double().reshape(t.shape[0], -1) for t in tensors], 1)

    parts = [joined(t) for t in (question.low, question.high, question.directions, signs)]
    seen: dict[tuple[bytes, ...], tuple[int, Row]] = {}
    for i in range(len(parts[0])):
        key = tuple(p[i].contiguous().numpy().tobytes() for p in parts)
        seen.setdefault(key, (i, Row(*(p[i].clone() for p in parts))))
    return list(seen.values()), shapes


def _cut(flat: Tensor, shapes: list[tuple[int, ...]]) -> Inputs:
    """One flat row as a tuple of tensors, one per input."""
    sizes = [math.prod(s) for s in shapes]
    return tuple(t.reshape(s) for t, s in zip(torch.split(flat, sizes), shapes, strict=True))


def _pair(question: Question, shapes: list[tuple[int, ...]], index: int, a: Tensor, b: Tensor) -> tuple[Inputs, Inputs]:
    """A pair of rows as a pair of inputs: all other rows stay as in the example."""

    def whole(flat: Tensor) -> Inputs:
        made = []
        for x, part in zip(question.inputs, _cut(flat, shapes), strict=True):
            full = x.clone()
            full[index] = part.to(x.dtype)
            made.append(full)
        return tuple(made)

    return whole(a), whole(b)
