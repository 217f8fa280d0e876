"""Numbers that torch rounds unseen, in a graph that computes in several floating types.

- `torch.where(c, x.half(), 1.0006)` holds 1.00098 where a rule reads 1.0006. In one type throughout, that is rounding
  like any other, and the claim is about real arithmetic; beside a wider type the two readings have opposite signs;
- so such a graph is refused whole, for every kind of proof: a cast of its own has a rule.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_leaves

from ._capture import Capture, name_of

# Operators that hand an operand on as it is, or compare it: they compute nothing that would be rounded anyway.
CHOOSING = frozenset(
    f"aten.{name}"
    for name in (
        *("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar"),
        *("masked_fill.Scalar", "masked_fill.Tensor", "pad.default", "constant_pad_nd.default", "cat.default"),
        *("clamp.default", "clamp.Tensor", "clamp_min.default", "clamp_max.default", "clamp_min.Tensor"),
        *("clamp_max.Tensor", "hardtanh.default", "threshold.default", "maximum.default", "minimum.default"),
        *("max.other", "min.other", "fmax.default", "fmin.default", "scatter.value", "stack.default"),
        *(f"{sign}.{kind}" for sign in ("gt", "ge", "lt", "le", "eq", "ne") for kind in ("Tensor", "Scalar")),
    )
)
# Operands that are places or truth values, not numbers.
PLACES = frozenset(("index", "mask", "condition", "dim", "pad", "mode"))


def rounds_unseen(traced: Capture) -> str:
    """'' if no constant is rounded where it is chosen or compared, or the graph has one floating type; else where."""
    kinds = {dtype for node in (*traced.inputs, *traced.nodes) for dtype in _floats(node.meta.get("val"))}
    kinds |= {held.dtype for held in traced.constants.values() if isinstance(held, Tensor) and held.is_floating_point()}
    if len(kinds) < 2:
        return ""
    moving = set(traced.inputs)
    for node in traced.nodes:
        if not moving.isdisjoint(node.all_input_nodes):
            moving.add(node)
        # What is made of parameters alone is run, and rounded, by torch itself.
        if node in moving and name_of(node.target) in CHOOSING and (lost := _lost(node, traced)):
            return f"{name_of(node.target)} rounds {lost} on the way, in a model of several floating types"
    return ""


def _floats(value: Any) -> set[torch.dtype]:
    return {v.dtype for v in tree_leaves(value) if isinstance(v, Tensor) and v.dtype.is_floating_point}


def _lost(node: Node, traced: Capture) -> str:
    """A number, or a constant, that the type of the result does not hold; of a comparison, that of its operands."""
    kinds = _floats(node.meta.get("val")) or {d for a in node.all_input_nodes for d in _floats(a.meta.get("val"))}
    for argument, given in zip(node.target._schema.arguments, node.args, strict=False):  # type: ignore[union-attr]
        if argument.name in PLACES:
            continue
        for value in given if isinstance(given, list | tuple) else [given]:
            if isinstance(value, Node) and value not in traced.constants:
                # Its values are not at hand: its type decides.
                wide = [v.dtype for v in tree_leaves(value.meta.get("val")) if isinstance(v, Tensor)]
                if not all(_holds(kind, w) for w in wide for kind in kinds):
                    return "a constant"
            held = traced.constants.get(value) if isinstance(value, Node) else value
            if isinstance(held, bool) or not isinstance(held, Tensor | int | float):
                continue
            exact = held if isinstance(held, Tensor) else torch.tensor(held, dtype=_type_of(held))
            # A whole number goes through float64 and back: equal numbers mean that nothing was lost.
            if any(not torch.equal(exact.to(kind).to(exact.dtype), exact) for kind in kinds):
                return f"the number {held:g}" if not isinstance(held, Tensor) else "a constant"
    return ""


def _holds(kind: torch.dtype, other: torch.dtype) -> bool:
    """Whether a floating type holds every value of another type."""
    if other.is_floating_point or other is torch.bool:
        return torch.promote_types(kind, other) is kind
    return not other.is_complex and torch.iinfo(other).max <= 2.0 / torch.finfo(kind).eps


def _type_of(number: float) -> torch.dtype:
    return torch.float64 if isinstance(number, float) else torch.int64
