"""Interval slopes: how one element of the score moves with each element of the inputs, between any two points.

What is proved. For an operator y = g(u1, ..., uk) and any two points of the box of its operands, a row gives intervals
that hold real numbers m1, ..., mk with y' - y = m1 (u1' - u1) + ... + mk (uk' - uk). The m's belong to the pair of
points; they are secants, not derivatives, so steps, jumps and whole numbers are covered: a jump up has a slope in
[0, inf), one down in (-inf, 0]. Rows move one operand after the other; the points between have some operands as in one
member of the pair and the rest as in the other, and lie in the box, because it is a product. A row therefore reads the
facts of single operands, never what is only known of operands together.

By substitution, from the score back to the inputs, the difference of the score is the sum over input elements of A_j
times the difference of x_j, where A_j is a sum of products of m's and lies in the interval computed with outward
rounding. It is enough that A_j >= 0 wherever x_j may rise and A_j <= 0 wherever it may fall. 0 times an infinite bound
is 0, because m is a finite number. An element that does not move, though its value may be unknown, has difference 0:
its coefficient may be chosen, and 0 is chosen. What has no row, or raises, or was unknown going forward, gives any
coefficient at all to every operand that may move.

Where the walk forward knows that a node's element does not fall, and its coefficient is not negative, its share of the
difference is not negative, whatever lies before it. `by_slopes` may drop such shares and ask the same of the rest.

Source: Krawczyk and Neumaier, SIAM J. Numer. Anal. 22 (1985), interval slopes; Griewank and Walther, Evaluating
Derivatives (2008), chapter 3, for the reverse order.
"""

# ruff: noqa: PLR0917 (by_slopes is asked with all that a claim about one element has)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from .._capture import Capture
from .._facts import Fact
from .._walk import Walked
from . import _arithmetic, _conditional, _linear, _order, _special, _structural, _unary  # noqa: F401 (they enter rows)
from ._pass import Reverse
from ._pass import rises as rises
from ._table import SLOPES as SLOPES
from ._table import At as At


def slopes(capture: Capture, walked: Walked, output: Node, index: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """The interval slope of one element of the score in every element of every input.

    It is about the pairs of inputs that `walked` is about: what does not move has slope [0, 0].

    Args:
        capture: the graph.
        walked: its facts, from `walk(capture, ...)`.
        output: one of `capture.outputs`.
        index: an element of that output.

    Returns:
        (low, high) per input in the order of `capture.inputs`, float64, in the input's shape; infinite where nothing
        is known.

    Cost: one pass backward, a few float64 products per linear layer.
    """
    if not isinstance(walked.facts[output], Fact):
        fixed = isinstance(walked.facts[output], Tensor)
        return [_unless(fixed, walked.facts[n]) for n in capture.inputs]
    found = Reverse(capture, walked).run(output, index, 1.0)
    return [(a.lo, a.hi) for a in found]


def _unless(fixed: bool, fact: Fact) -> tuple[Tensor, Tensor]:
    reach = torch.where((fact.up | fact.dn) & (not fixed), float("inf"), 0.0).double()
    return -reach, reach


def by_slopes(
    capture: Capture, walked: Walked, directions: list[Tensor], output: Node, index: tuple[int, ...], sign: int
) -> bool:
    """Whether slopes prove that an element of the score does not fall (sign +1), or does not rise (sign -1).

    Args:
        capture: the graph.
        walked: its facts, from a walk from inputs that move along `directions`.
        directions: per input a float64 tensor of its shape: +1 may rise, -1 may fall, 0 is equal in both members.
        output: one of `capture.outputs`.
        index: an element of that output.
        sign: +1 or -1; 0 claims nothing.

    Cost: up to three passes backward.
    """
    if sign == 0:
        return True
    facts: list[Any] = [walked.facts[n] for n in capture.inputs]
    if not all(_along(f, d) for f, d in zip(facts, directions, strict=True)):
        return False
    found = walked.facts[output]
    if isinstance(found, Tensor):
        return bool(torch.isfinite(found).all())
    if not isinstance(found, Fact):
        return False
    for drops in ("never", "late", "early"):
        slope = Reverse(capture, walked, drops).run(output, index, float(sign))
        if all(rises((a.lo, a.hi), f) for a, f in zip(slope, facts, strict=True)):
            return True
    return False


def _along(fact: Any, direction: Tensor) -> bool:
    """Whether the walk moved that input as the directions say, or in more ways."""
    if not isinstance(fact, Fact) or fact.shape != direction.shape:
        return False
    room = fact.lo < fact.hi
    return bool(((fact.up | ~((direction > 0) & room)) & (fact.dn | ~((direction < 0) & room))).all())
