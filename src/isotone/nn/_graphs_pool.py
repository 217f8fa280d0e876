"""How the messages of many neighbours, or the states of all nodes, become one: only in ways that more cannot lower.

- each takes numbers that are not negative, and gives 0 where there are none;
- an addition puts a further number into the set, or raises one: no sum, maximum, or sum of the k largest falls by it;
- what divides by how many there are is refused by name, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import BadInput

POOLS = "'sum', 'max', 'log1p_sum' or 'top8_sum' (or any other number)"
_TOP = re.compile(r"top(\d+)_sum")

_COUNT = "it divides by how many there are, so adding empty nodes or edges lowers it"
_SHARES = "its weights sum to 1, so whatever is added takes weight from the rest"
_DEGREE = "it divides by the degrees of both ends, so an edge that is added lowers what the others bring"
_LOWER = "what is added can be the new value, and smaller"
_SPREAD = "numbers near their mean lower it"
# fmt: off
REFUSED = {
    # pool       why                                                 what does instead
    "mean":      (_COUNT,                                           "sum or max"),
    "gcn":       (_DEGREE,                                          "sum"),
    "both":      (_DEGREE,                                          "sum"),
    "attention": (_SHARES,                                          "sum or max"),
    "softmax":   (_SHARES,                                          "sum or max"),
    "set2set":   (_SHARES,                                          "sum or max"),
    "median":    (_LOWER,                                           "max"),
    "min":       (_LOWER,                                           "max"),
    "mul":       ("a factor below 1 lowers it",                     "log1p_sum"),
    "sort":      ("what is added moves the others to other places", "top8_sum"),
    "std":       (_SPREAD,                                          "max"),
    "var":       (_SPREAD,                                          "max"),
    "lstm":      ("what comes later can undo what came before",     "sum or max"),
}
# fmt: on


class Places(NamedTuple):
    """For sets that all have one size: where their members stand. Of padded forms; elsewhere it is not needed.

    Args:
        order: (items,) int64, set by set.
        each: members of each set.
    """

    order: Tensor
    each: int


def check_pool(kind: Any, where: str) -> None:
    """Refuse a pool that an addition can lower.

    Raises:
        BadInput: with the reason, where it is known.
    """
    if kind in ("sum", "max", "log1p_sum"):
        return
    found = _TOP.fullmatch(kind) if isinstance(kind, str) else None
    if found and int(found[1]) >= 1:
        return
    if kind in REFUSED:
        reason, instead = REFUSED[kind]
        raise BadInput(where, f"{kind!r} came, and {reason}", f"{instead} is right")
    raise BadInput(where, f"{kind!r} came", f"{POOLS} is right")


def pool(kind: str, values: Tensor, owner: Tensor, sets: int, places: Places | None = None) -> Tensor:
    """One row per set.

    Args:
        kind: "sum", "max", "log1p_sum", or "top<k>_sum", the sum of the k largest of each channel.
        values: (..., items, channels), not negative.
        owner: (items,) int64, the set of each item.
        sets: how many.
        places: where all sets have one size.

    Returns:
        (..., sets, channels); 0 for a set without items.

    Cost: one pass; a sort of each channel for the k largest.

    >>> pool("sum", torch.tensor([[1.0], [2.0], [5.0]]), torch.tensor([0, 0, 2]), 3).tolist()
    [[3.0], [0.0], [5.0]]
    """
    nothing = values.new_zeros(*values.shape[:-2], sets, values.shape[-1])
    if kind == "max":
        index = owner[:, None].expand(values.shape)
        return nothing.scatter_reduce(-2, index, values, "amax", include_self=True)
    if kind in ("sum", "log1p_sum"):
        total = _sum(values, owner, nothing, exact=places is None)
        return total.log1p() if kind == "log1p_sum" else total
    found = _TOP.fullmatch(kind)
    assert found
    k = int(found[1])
    if places is not None:
        # The same for sets of one size, by an operation that the prover knows.
        apart = values.index_select(-2, places.order).reshape(*values.shape[:-2], sets, places.each, values.shape[-1])
        largest: Tensor = torch.topk(apart, min(k, places.each), dim=-2).values
        return largest.sum(dim=-2)
    return _top(k, values, owner, nothing)


def _sum(values: Tensor, owner: Tensor, nothing: Tensor, *, exact: bool) -> Tensor:
    """Sums; in float64 where graphs may be large: in float32 a million terms in another order are another number."""
    if not exact or values.device.type == "mps":
        return nothing.index_add(-2, owner, values)
    return nothing.double().index_add(-2, owner, values.double()).to(values.dtype)


def _top(k: int, values: Tensor, owner: Tensor, nothing: Tensor) -> Tensor:
    """Sum of the k largest of each set and channel, for (items, channels)."""
    # Sorted by value and then, stably, by set: what stands at place p of its set is its p-th largest.
    largest = values.argsort(dim=0, descending=True, stable=True)
    by_set = owner[largest].argsort(dim=0, stable=True)
    order = largest.gather(0, by_set)
    sets = owner[order]
    sizes = torch.bincount(owner, minlength=len(nothing))
    first = sizes.cumsum(0) - sizes
    place = torch.arange(len(values), device=values.device)[:, None] - first[sets]
    taken = torch.where(place < k, values.gather(0, order), 0.0)
    return nothing.scatter_add(0, sets, taken)


def readout(kinds: Sequence[str], values: Tensor, owner: Tensor, sets: int, places: Places | None = None) -> Tensor:
    """Several pools of the same, beside each other: (..., sets, channels of all)."""
    return torch.cat([pool(kind, values, owner, sets, places) for kind in kinds], dim=-1)
