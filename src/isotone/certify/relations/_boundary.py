"""A choice by a threshold: what counts is the jump at the threshold, not the whole ranges of the branches.

If the condition turns true between x and x', then on the way from one to the other the continuous g passes through t,
at some x* between them: f(x') - f(x) = [a(x') - a(x*)] + [a(x*) - b(x*)] + [b(x*) - b(x)]. The outer terms are bits of
a and b; the middle one is the jump, evaluated with g = t. The domain is a box, so x* is in it; whole numbers are not
connected, so g may not depend on any that move.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from .._facts import Fact, constant, fact
from ..rules import RULES
from ..rules._arithmetic import minus, plus
from ..rules._curves import MORE
from ..rules._structural import ALIASES, MOVES
from ..rules._unary import ROWS
from ._look import Look, bare, op
from ._one_value import open_fact, rises

JUMPS = {"floor", "ceil", "trunc", "round", "sign"}
SMOOTH = {name.split(".")[1] for name in [*ROWS, *MORE]} - JUMPS
# Element by element: an element of the result depends on the element of g in its place and on no other.
ELEMENTWISE = SMOOTH | JUMPS | {
    "add", "sub", "rsub", "mul", "div", "neg", "square", "pow", "gelu", "hardtanh", "clamp", "clamp_min", "clamp_max",
    "leaky_relu", "elu", "celu", "softplus", "maximum", "minimum", "where", "softshrink", "hardshrink", "reciprocal",
    "alias", "clone", "detach", "contiguous", "prelu",
} - {"prelu"}  # fmt: skip
# Continuous functions of all their operands, where they are real.
CONTINUOUS = SMOOTH | {name.split(".")[1] for name in [*MOVES, *ALIASES]} | {
    "add", "sub", "rsub", "mul", "div", "neg", "square", "gelu", "hardtanh", "clamp", "clamp_min", "clamp_max", "elu",
    "leaky_relu", "celu", "maximum", "minimum", "softshrink", "reciprocal", "view", "_unsafe_view", "reshape", "linear",
    "mm", "bmm", "matmul", "mv", "dot", "addmm", "convolution", "sum", "mean", "cumsum", "amax", "amin", "logsumexp",
    "softmax", "_softmax",
}  # fmt: skip


def continuous(look: Look, value: Any) -> bool:
    """Whether it is a continuous function of inputs that are floating numbers."""
    open_, seen = [value], set()
    while open_:
        node = open_.pop()
        found = look.facts.get(node)
        if node in seen or not isinstance(node, Node) or (isinstance(found, Fact) and not found.moves):
            continue
        seen.add(node)
        if not isinstance(found, Fact):
            if found is None or not isinstance(found, torch.Tensor | int | float):
                return False
            continue
        if not found.dtype.is_floating_point:
            return False
        if node.op == "placeholder":
            continue
        # A quotient that is rounded jumps; a softplus may, at its threshold.
        if node.kwargs.get("rounding_mode") is not None:
            return False
        if op(node) not in CONTINUOUS and not (op(node) == "softplus" and rises(look, node)):
            return False
        open_ += node.all_input_nodes
    return True


def boundary(look: Look) -> Fact | None:
    """where(g > t, a, b) and masked_fill(b, g > t, a), with t fixed and g continuous."""
    if look.plain is None:
        return None
    if op(look.node) == "where" and len(look.node.args) == 3:
        condition, a, b = look.node.args
    elif op(look.node) == "masked_fill":
        b, condition, a = look.node.args[:3]
    else:
        return None
    c = look.fact(condition)
    test = bare(condition)
    while op(test) in ("logical_not", "bitwise_not"):
        test = bare(test.args[0])
    if c is None or op(test) not in ("gt", "ge", "lt", "le"):
        return None
    g, t = test.args[:2]
    at, level = look.fact(g), look.fact(t)
    if at is None or level is None:
        return None
    if not at.moves:
        g, at, level = t, level, at
    g = bare(g)
    shape = look.plain.shape
    if not isinstance(g, Node) or level.moves or at.shape != shape or not continuous(look, g):
        return None
    lo, hi = level.lo.expand(shape), level.hi.expand(shape)
    still = torch.zeros(shape, dtype=torch.bool)
    pinned = {g: Fact(lo, hi, still, still, at.dtype)}
    left, right, above, below = _at(look, a, pinned), _at(look, b, pinned), look.fact(a), look.fact(b)
    if left is None or right is None or above is None or below is None:
        return None
    jump = constant(torch.zeros(shape).double()) if bare(a) is bare(b) else plus(left, minus(right))
    yes, no = c.hi > 0, c.lo < 1
    up = (yes & above.up) | (no & below.up) | (c.up & (jump.hi > 0)) | (c.dn & (jump.lo < 0))
    dn = (yes & above.dn) | (no & below.dn) | (c.up & (jump.lo < 0)) | (c.dn & (jump.hi > 0))
    return open_fact(look.plain, *torch.broadcast_tensors(up, dn))  # type: ignore[no-untyped-call]


def _at(look: Look, value: Any, known: dict[Node, Any]) -> Fact | None:
    """A value where g = t: nodes between the two are done again, element by element; others keep their range."""
    node = bare(value)
    if node in known:
        return known[node]  # type: ignore[no-any-return]
    if not isinstance(node, Node) or not _leads(node, known):
        return look.fact(node)
    g = next(iter(known.values()))
    mine = look.fact(node)
    if op(node) not in ELEMENTWISE or mine is None or mine.shape != g.shape or str(node.target) not in RULES:
        return None
    for operand in node.all_input_nodes:
        found = _at(look, operand, known)
        if found is None:
            return None
        known[operand] = found
    found = look.redone(node, known)
    if found is None:
        return None
    known[node] = fact(found.lo, found.hi, found.up & False, found.dn & False, mine.dtype)
    return known[node]  # type: ignore[no-any-return]


def _leads(node: Node, known: dict[Node, Any]) -> bool:
    g = next(iter(known))
    open_, seen = [node], set()
    while open_:
        here = open_.pop()
        if here is g:
            return True
        if here not in seen:
            seen.add(here)
            open_ += here.all_input_nodes
    return False
