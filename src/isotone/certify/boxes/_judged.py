"""Branch and bound for any graph: a judge says of each closed box whether the claim holds there.

- the judge is asked about boxes of all inputs; where the walk shows that every row of the scores depends on its own row
  only, it is enough to cover the domain of one row, and all rows are put into the same box;
- a claim that holds on two closed boxes with a common face holds on both together: the moves of a pair are made one
  coordinate after the other, and each line crosses the boxes in order. No continuity is needed.
"""

# ruff: noqa: PLR0917 (a form has six parts; an adjoint grows by its sources)

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._capture import Capture
from .._facts import INF, Fact
from .._question import Question
from .._walk import walk

if TYPE_CHECKING:
    from ._queue import Progress
    from ._split import Split

Judge = Callable[[list[Tensor], list[Tensor]], bool]
FLOOR = 1e-6  # boxes narrower than this share of the domain in every dimension stay open
MOST = 24


@dataclass
class _Space:
    """The elements that vary, as one vector; `fill` puts them back into inputs."""

    question: Question
    places: list[tuple[int, Tensor]]  # per input: its index, and the flat positions that vary in one row (or in all)
    rows: bool

    @classmethod
    def of(cls, capture: Capture, question: Question) -> _Space:
        rows = _independent(capture, question)
        places = []
        for i, (low, high) in enumerate(zip(question.low, question.high, strict=True)):
            span = (low < high)[0] if rows else low < high
            places.append((i, span.reshape(-1).nonzero()[:, 0]))
        return cls(question, places, rows)

    def ends(self, bounds: tuple[Tensor, ...]) -> Tensor:
        """The varying elements of one bound, or of directions."""
        parts = [((bounds[i][0] if self.rows else bounds[i]).reshape(-1))[at] for i, at in self.places]
        return torch.cat(parts)

    def fill(self, x: Tensor) -> list[Tensor]:
        """Inputs in float64, with x in the elements that vary."""
        made, start = [], 0
        for i, at in self.places:
            low = self.question.low[i].clone()
            flat = low.reshape(low.shape[0], -1) if self.rows else low.reshape(1, -1)
            flat[:, at] = x[start : start + len(at)]
            made.append(flat.reshape(low.shape))
            start += len(at)
        return made


def _independent(capture: Capture, question: Question) -> bool:
    """Whether every row of the scores depends on its own row of the inputs only, and all rows are asked the same."""
    bounds = (*question.low, *question.high, *question.directions)
    if any(not b.dim() or not bool((b == b[:1]).all()) for b in bounds):
        return False
    counts = {b.shape[0] for b in bounds}
    if len(counts) != 1:
        return False
    for row in range(counts.pop()):
        facts = []
        for x, low, high in zip(question.inputs, question.low, question.high, strict=True):
            moves = torch.zeros(low.shape, dtype=torch.bool)
            moves[row] = (low < high)[row]
            facts.append(Fact(low, high, moves, moves.clone(), x.dtype))
        walked = walk(capture, facts)
        for output in capture.outputs:
            found = walked.facts[output]
            if not isinstance(found, Fact) or not found.shape or found.shape[0] != bounds[0].shape[0]:
                return False
            others = (found.up | found.dn).clone()
            others[row] = False
            if bool(others.any()):
                return False
    return True


def judged(
    capture: Capture, question: Question, judge: Judge, until: float, progress: Progress | None, reason: str
) -> Split:
    """Largest boxes first; each open one is halved along its widest dimension, relative to the domain."""
    from ._split import Split  # noqa: PLC0415 (it imports this)

    space = _Space.of(capture, question)
    low, high, ways = (space.ends(b) for b in (question.low, question.high, question.directions))
    span = high - low
    if not 0 < len(low) <= MOST:
        return Split(False, reason=f"{reason}; and {len(low)} elements vary, more than the {MOST} that can be split")
    queue: list[tuple[float, int, Tensor, Tensor]] = [(-1.0, 0, low, high)]
    stuck: list[tuple[Tensor, Tensor]] = []
    pairs: list[tuple[float, tuple[Tensor, ...], tuple[Tensor, ...]]] = []
    boxes, made, done = 0, 0, 0.0
    while queue and time.monotonic() < until and len(stuck) < 64:
        size, _, a, b = heapq.heappop(queue)
        boxes += 1
        if judge(space.fill(a), space.fill(b)):
            done -= size
            continue
        pairs += _lines(capture, space, question, a, b, ways)
        if progress is not None and boxes % 16 == 0:
            progress(done, -INF, boxes)
        if pairs:
            break
        dim = int(((b - a) / span).argmax())
        middle = 0.5 * a[dim] + 0.5 * b[dim]
        if not bool(((b - a) / span > FLOOR).any()) or not bool((a[dim] < middle) & (middle < b[dim])):
            stuck.append((a, b))
            continue
        for side in (0, 1):
            c, d = a.clone(), b.clone()
            (d if side == 0 else c)[dim] = middle
            made += 1
            heapq.heappush(queue, (size / 2, made, c, d))
    count = f"{boxes:,} box{'es' if boxes != 1 else ''}"
    method = f"values and slopes judged anew on {count} of the domain"
    if not queue and not stuck and not pairs:
        return Split(True, (), boxes, 0.0, None, method)
    rest = stuck or [(a, b) for _, _, a, b in queue[:1]] or [(low, high)]
    where = (tuple(space.fill(rest[0][0])), tuple(space.fill(rest[0][1])))
    if pairs:
        why = "the score falls along one input"
    elif time.monotonic() >= until:
        why = f"time was up after {count}"
    else:
        why = f"{len(stuck)} boxes too small to split are left after {count}"
    candidates = tuple((a, b) for _, a, b in sorted(pairs, key=lambda p: -p[0])[:8])
    return Split(False, candidates, boxes, -INF, where, method, f"{why} ({reason})")


def _lines(
    capture: Capture, space: _Space, question: Question, a: Tensor, b: Tensor, ways: Tensor
) -> list[tuple[float, tuple[Tensor, ...], tuple[Tensor, ...]]]:
    """Through the centre of an open box, along each moving coordinate: pairs whose score falls."""
    found: list[tuple[float, tuple[Tensor, ...], tuple[Tensor, ...]]] = []
    for j in ((ways != 0) & (a < b)).nonzero()[:, 0].tolist():
        start, end = (0.5 * a + 0.5 * b for _ in range(2))
        start[j], end[j] = (a[j], b[j]) if ways[j] > 0 else (b[j], a[j])
        pair = tuple(
            tuple(f.to(x.dtype).to(x.device) for f, x in zip(space.fill(p), question.inputs, strict=True))
            for p in (start, end)
        )
        try:
            before, after = (torch.cat([t.double().reshape(-1) for t in capture.run(p)]) for p in pair)
        except Exception:
            continue
        signs = torch.ones_like(before) if question.signs is None else question.signs.reshape(-1)
        drop = float(((before - after) * signs).max()) if signs.shape == before.shape else 0.0
        if drop > 1e-5 * float(torch.maximum(before.abs(), after.abs()).max()):
            found.append((drop, pair[0], pair[1]))
    return found
