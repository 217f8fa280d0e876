"""Is the graph the function? And is the model a function at all?

A trace bakes in what Python does outside of tensors: counters, clocks, branches on flags. Two calls of the model and
one of the graph, on the same inputs, must agree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._capture import Capture
from ._question import Question
from ._search import Inputs, Search, score_of, scores
from ._state import Kept

DRAWS = 4


def probes(question: Question, search: Search) -> list[Inputs]:
    """The example, random points of the domain, its corners, and 0 where it is inside."""
    drawn = [search.start(k) for k in range(DRAWS)]

    def at(value: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        if not x.dtype.is_floating_point:
            return x
        return torch.minimum(torch.maximum(value, low), high).to(x.dtype).to(x.device)

    boxes = list(zip(question.inputs, question.low, question.high, strict=True))
    edges = [tuple(at(torch.full_like(low, v), x, low, high) for x, low, high in boxes) for v in (-3.0, 0.0, 3.0)]
    return [question.inputs, *drawn, *edges]


def steady(model: nn.Module, question: Question, search: Search, kept: Kept) -> str:
    """'' if two calls agree and leave their inputs alone; else the reason why no pair of calls can be trusted."""
    score = score_of(model)
    for inputs in probes(question, search):
        copies = tuple(x.clone() for x in inputs)
        try:
            with torch.no_grad():
                first = scores(model(*copies))
            second = score(inputs)
        except Exception:
            continue
        if any(not torch.equal(a, b) for a, b in zip(copies, inputs, strict=True)):
            return "it writes into its inputs, so a call changes what the caller holds"
        if not agree(first, second, 1e-6 if _coarse(question) else 1e-13):
            return "two calls on the same input disagree: it is random, or it keeps state between calls"
    return ""


def faithful(model: nn.Module, traced: Capture, question: Question, search: Search) -> str:
    """'' if the graph gives what the model gives; else why it cannot stand for it."""
    score = score_of(model)
    for inputs in probes(question, search):
        try:
            expected = score(inputs)
        except Exception:
            continue
        try:
            got = scores(traced.run(tuple(x.clone() for x in inputs)))
        except Exception as fault:
            return f"the exported graph fails where the model does not ({type(fault).__name__})"
        if not agree(expected, got, 1e-4 if _coarse(question) else 1e-9):
            return "the exported graph does not compute what the model computes"
    return ""


def _coarse(question: Question) -> bool:
    return any(x.dtype.is_floating_point and x.dtype is not torch.float64 for x in question.inputs)


def agree(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether two scores are the same up to rounding, relative to the largest of them."""
    if a.shape != b.shape:
        return False
    finite = torch.isfinite(a) & torch.isfinite(b)
    same = (a == b) | (a.isnan() & b.isnan())
    if not bool((finite | same).all()):
        return False
    gap = torch.where(finite, (a - b).abs(), 0.0)
    size = torch.where(finite, a.abs(), 0.0)
    return not gap.numel() or float(gap.max()) <= tolerance * float(size.max())
