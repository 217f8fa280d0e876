"""One claim about one graph: the proofs, from the cheapest to the dearest, until one holds or all have stopped.

1. signs: a rough walk, which reads every weight once;
2. ranges: the whole walk, with intervals and relational steps;
3. slopes: a reverse pass for each element that is still open;
4. boxes: branch and bound, where the domain is bounded.

Each is sound by itself; the first that holds is the proof, and says by which means it held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ._blame import Stop, blame, open_elements
from ._capture import Capture
from ._facts import Finer
from ._question import Inputs, Question
from ._walk import Walked, walk
from .boxes import Split, split
from .slopes import by_slopes

# A pass backward reads every weight, some 4 million of them in a second: this is about half a minute at most.
MOST_WORK, ALWAYS = 10**8, 4
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Proof:
    """How far the proofs came.

    Args:
        stopped: None if the claim is proved, else where the walk stopped.
        assumptions: what a proof rests on.
        used: the means of a proof, in words.
        candidates: ordered pairs that may refute the claim; they are not verified.
        walked: the facts of the whole walk, if there was one.
        seconds: time that each means took.
    """

    stopped: Stop | None
    assumptions: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    candidates: tuple[tuple[Inputs, Inputs], ...] = ()
    walked: Walked | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def judge(traced: Capture, question: Question, progress: Progress | None = None) -> Proof:
    """The cheap proofs: signs and ranges take milliseconds, slopes up to half a minute for many scores."""
    clock = _Clock()
    count = f"through {len(traced.nodes)} operators"
    with clock.on("signs"):
        walked = _rough(traced, question)
    if walked is not None:
        return Proof(None, walked.assumptions, (f"signs of the weights, {count}",), seconds=clock.seconds)
    with clock.on("ranges"):
        walked = walk(traced, question.facts())
        stopped = blame(traced, walked, question)
    steps = tuple(f"{name} at {traced.place(node)}" for name, node in walked.used)
    if stopped is None:
        means = (f"signs and ranges, {count}", *steps)
        return Proof(None, walked.assumptions, means, walked=walked, seconds=clock.seconds)
    with clock.on("slopes"):
        sloped = _by_slopes(traced, walked, question, progress)
    if sloped:
        means = (f"interval slopes of {sloped} elements of the score, {count}", *steps)
        return Proof(None, walked.assumptions, means, walked=walked, seconds=clock.seconds)
    return Proof(stopped, walked=walked, seconds=clock.seconds)


def in_boxes(traced: Capture, question: Question, proof: Proof, seconds: float, progress: Progress | None) -> Proof:
    """The proof that takes seconds: the domain in smaller and smaller boxes, for a claim that `judge` left open."""
    assert proof.stopped is not None
    if proof.stopped.hopeless or seconds <= 0:
        return proof
    if (signs := _signs(traced, question)) is None:
        return proof
    clock = _Clock(proof.seconds)
    assumed: dict[str, None] = {}
    with clock.on("boxes"):
        found = split(
            traced,
            question,
            signs,
            seconds=seconds,
            judge=lambda low, high: _holds(traced, question, low, high, assumed),
            progress=None if progress is None else _said(progress),
        )
    if found.proved:
        rest_on = tuple(dict.fromkeys((*assumed, *found.assumptions)))
        return Proof(None, rest_on, (found.method,), walked=proof.walked, seconds=clock.seconds)
    stopped = replace(proof.stopped, known=(*proof.stopped.known, *_left(found)))
    return replace(proof, stopped=stopped, candidates=tuple(found.candidates), seconds=clock.seconds)


class _Clock:
    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds = dict(seconds or {})

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[what] = time.perf_counter() - start


def _rough(traced: Capture, question: Question) -> Walked | None:
    """The rough walk, if it proves the claim."""
    try:
        walked = walk(traced, question.facts(), rough=True)
    except Finer:
        return None
    return walked if blame(traced, walked, question) is None else None


def _by_slopes(traced: Capture, walked: Walked, question: Question, progress: Progress | None = None) -> int:
    """How many elements of the score were open and are proved; 0 if one of them is not."""
    bad = open_elements(traced, walked, question)
    if isinstance(bad, Stop):
        return 0
    places = [(output, tuple(int(i) for i in place)) for output, elements in bad for place in elements.nonzero()]
    weights = sum(held.numel() for held in traced.constants.values() if isinstance(held, Tensor))
    if len(places) > ALWAYS and len(places) * max(weights, 10**5) > MOST_WORK:
        return 0
    shapes = [walked.facts[output].shape for output in traced.outputs]
    signs = dict(zip(traced.outputs, question.claimed(shapes), strict=True))
    ways = list(question.directions)
    for done, (output, place) in enumerate(places):
        if progress is not None:
            progress(done / len(places), f"slopes of {len(places):,} elements of the score")
        if not by_slopes(traced, walked, ways, output, place, int(signs[output][place])):
            return 0
    return len(places)


def _signs(traced: Capture, question: Question) -> list[Tensor] | None:
    """None where the size of an output depends on the data."""
    sizes = [[s if isinstance(s, int) else s.node.hint for s in o.meta["val"].shape] for o in traced.outputs]
    if any(size is None for shape in sizes for size in shape):
        return None
    return question.claimed([torch.Size(map(int, shape)) for shape in sizes])


def _holds(
    traced: Capture, question: Question, low: list[Tensor], high: list[Tensor], assumed: dict[str, None]
) -> bool:
    """Whether the cheap proofs hold on a smaller domain."""
    smaller = replace(question, low=tuple(low), high=tuple(high))
    walked = walk(traced, smaller.facts())
    if blame(traced, walked, smaller) is not None and not _by_slopes(traced, walked, smaller):
        return False
    assumed.update(dict.fromkeys(walked.assumptions))
    return True


def _said(progress: Progress) -> Callable[[float, float, int], None]:
    return lambda done, worst, boxes: progress(done, f"{boxes:,} boxes, smallest slope bound {worst:.3g}")


def _left(found: Split) -> tuple[str, ...]:
    """What splitting the domain has found, where it did not settle the claim."""
    if found.reason:
        return (f"boxes: {found.reason}",)
    return (f"boxes: {found.boxes:,} were looked at, and the smallest slope bound left is {found.worst:.3g}",)
