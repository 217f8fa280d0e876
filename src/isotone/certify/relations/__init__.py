"""Relations: what two operands have to do with each other, where the bits of each say too little.

- each is a named step from the facts of a few nodes to a fact of one of them, with its proof beside it;
- tried only where a rule left something open; what it finds is met with what the rule found, since both hold;
- each use is on record, so that a certificate can say what its proof rests on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .._facts import Fact, Unknown, fact
from ._boundary import boundary
from ._knots import knots
from ._look import Look as Look
from ._look import op
from ._one_value import convex_difference, one_value, share
from ._patterns import blend, gate, masked_largest, masked_share, shifted_log_sum


@dataclass(frozen=True)
class Relation:
    """A named step, the operators at which it is tried, and whether the plain rule must have found a fact."""

    name: str
    at: tuple[str, ...]
    find: Callable[[Look], Fact | None]
    needs_plain: bool = True


# fmt: off
RELATIONS: tuple[Relation, ...] = (
    Relation("a sum or difference of functions of one value", ("add", "sub", "rsub"), one_value),
    Relation("a convex function at two points a fixed distance apart", ("sub",), convex_difference),
    Relation("a share a / (a + b)", ("div",), share),
    Relation("an interpolation p + (q - p) t", ("add",), blend),
    Relation("a gate u g(u)", ("mul",), gate),
    Relation("a choice that jumps at a threshold", ("where", "masked_fill"), boundary),
    Relation("a piecewise-linear table", ("add", "sub", "mul", "div", "lerp", "squeeze"), knots, needs_plain=False),
    Relation("a log-sum-exp shifted by hand", ("add",), shifted_log_sum, needs_plain=False),
    Relation("a mask of minus infinity", ("amax", "max", "logsumexp"), masked_largest, needs_plain=False),
    Relation("a softmax behind a fixed mask", ("softmax", "_softmax"), masked_share, needs_plain=False),
)
# fmt: on


def related(look: Look, value: Fact | Unknown) -> tuple[Fact | Unknown, tuple[str, ...]]:
    """What is known of the node with its relations, and the names of those that added something."""
    used: tuple[str, ...] = ()
    kind = look.node.meta.get("val")
    if not isinstance(kind, Tensor) or not kind.dtype.is_floating_point or not _one_dtype(look, kind.dtype):
        return value, ()
    for relation in RELATIONS:
        mine = value if isinstance(value, Fact) else None
        if mine is not None and not bool((mine.up & mine.dn).any()):
            break
        if op(look.node) not in relation.at or (relation.needs_plain and mine is None):
            continue
        try:
            found = relation.find(Look(look.node, mine, look.facts, look.site, look.again))
        except Exception:  # a step that fails adds nothing
            continue
        if found is None or tuple(found.shape) != tuple(_sizes(kind, found)):
            continue
        better = met(mine, found, kind.dtype)
        if better is not None:
            value, used = better, (*used, relation.name)
    return value, used


def met(mine: Fact | None, found: Fact, dtype: torch.dtype) -> Fact | None:
    """Both facts hold: the narrower bounds and the fewer bits; None if that adds nothing, or cannot be."""
    if mine is None:
        return Fact(found.lo, found.hi, found.up, found.dn, dtype)
    up, dn = mine.up & found.up, mine.dn & found.dn
    lo, hi = torch.maximum(mine.lo, found.lo), torch.minimum(mine.hi, found.hi)
    if (torch.equal(up, mine.up) and torch.equal(dn, mine.dn)) or not bool((lo <= hi).all()):
        return None
    made = fact(lo, hi, up, dn)
    return Fact(made.lo, made.hi, made.up, made.dn, dtype, mine.rough)


def _sizes(kind: Tensor, found: Fact) -> list[int]:
    return [k if isinstance(k, int) else n for k, n in zip(kind.shape, found.shape, strict=False)] + [-1] * abs(
        len(kind.shape) - len(found.shape)
    )


def _one_dtype(look: Look, dtype: torch.dtype) -> bool:
    """No floating operand is rounded on the way."""
    vals = [n.meta.get("val") for n in look.node.all_input_nodes]
    return all(not isinstance(v, Tensor) or not v.dtype.is_floating_point or v.dtype == dtype for v in vals)
