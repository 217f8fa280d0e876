"""Two inputs in one batch, so that floating point evaluates both in the same order."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ._search import scores


class Comparison(NamedTuple):
    """The scores of both inputs, in float64, and how far they rise from the first to the second."""

    first: Tensor
    second: Tensor
    rise: Tensor


def compare(model: nn.Module, x: Any, x2: Any) -> Comparison:
    """The scores of two inputs, evaluated inside one even batch.

    Two calls with different numbers of rows may add in different orders and so disagree in the last bits, about 1e-6 of
    the score's size in float32; rows of one batch with an even number of rows do not (as measured on CPUs).

    Args:
        model: called once, in the mode in which it is, without gradients; rows must be its first dimension.
        x, x2: a tensor of shape (rows, ...), or a tuple with one tensor per input; both of the same shapes.

    Returns:
        `first`, `second` and `rise` = second - first, each of the score's shape for x, on the CPU; several outputs of
        a model are one vector.

    Raises:
        BadInput: shapes or dtypes differ, an input has no rows, or the model's output has other rows than its input.

    Cost: one call of twice the rows.

    >>> falling = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(falling.weight, -1.0)
    >>> compare(falling, torch.zeros(1, 1), torch.ones(1, 1)).rise
    tensor([[-1.]], dtype=torch.float64)
    """
    first, second = ((v,) if isinstance(v, Tensor) else tuple(v) for v in (x, x2))
    shapes = [[(tuple(t.shape), t.dtype) for t in side] for side in (first, second)]
    if shapes[0] != shapes[1] or not first:
        raise BadInput("compare", "two inputs of different shapes or dtypes came", "the same for both would be right")
    if any(not t.dim() for t in first) or len({t.shape[0] for t in first}) != 1 or not len(first[0]):
        raise BadInput("compare", "inputs without common rows came", "rows as the first dimension of each are right")
    rows = len(first[0])
    together = tuple(torch.cat([a, b]) for a, b in zip(first, second, strict=True))
    with torch.no_grad():
        output = model(*together)
    leaves = [t for t in torch.utils._pytree.tree_leaves(output) if isinstance(t, Tensor)]
    if any(not t.dim() or t.shape[0] != 2 * rows for t in leaves):
        came = ", ".join(str(tuple(t.shape)) for t in leaves)
        raise BadInput("compare", f"scores of shape {came} came for {2 * rows} rows", "a score per row would be right")
    a, b = scores([t[:rows] for t in leaves]), scores([t[rows:] for t in leaves])
    return Comparison(a, b, b - a)
