"""A model as a function from inputs to numbers, and how large a drop must be to count."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Inputs = tuple[Tensor, ...]
Score = Callable[[Inputs], Tensor]


def parts(output: Any) -> list[Tensor]:
    """The tensors that a model returned, all of real numbers."""
    leaves = [t for t in tree_leaves(output) if isinstance(t, Tensor)]
    if not leaves or any(t.is_complex() for t in leaves):
        raise TypeError("the model returned no tensor of real numbers")
    return leaves


def scores(output: Any) -> Tensor:
    """Every number that a model returned, as one float64 vector; one tensor keeps its shape."""
    real = [t.detach().to("cpu", torch.float64) for t in parts(output)]
    return real[0] if len(real) == 1 else torch.cat([t.reshape(-1) for t in real])


def score_of(model: nn.Module) -> Score:
    """The model as a function that leaves its inputs alone."""

    def score(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            return scores(model(*(x.clone() for x in inputs)))

    return score


def uncompiled() -> AbstractContextManager[Any]:
    """Compiled parts run as they are written, so that a dispatch mode sees their operators, and leaves no trace.

    Dynamo skips for good what it meets under such a mode: torch.cond, which compiles itself, would not run any more in
    this process, and a compiled part of the model would stay slow.
    """
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def tolerance_for(dtypes: set[torch.dtype]) -> float:
    """The relative drop that counts in a search: far above rounding, whose drops reach 2e-6 in float32."""
    coarsest = max((torch.finfo(d).eps for d in dtypes if d.is_floating_point), default=2.0**-52)
    return 1e-13 if coarsest < 1e-15 else 1e-5 if coarsest < 1e-6 else 3e-2


def size_of(*values: Tensor) -> float:
    """The largest finite |score|, 0 if there is none."""
    flat = torch.cat([v.reshape(-1) for v in values])
    flat = flat[torch.isfinite(flat)]
    return float(flat.abs().max()) if flat.numel() else 0.0


def pieces(t: Tensor, sizes: int | list[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`Tensor.split`, with a type."""
    return tuple(t.split(sizes, dim))  # type: ignore[no-untyped-call]


def drop_of(before: Tensor, after: Tensor, element: tuple[int, ...], sign: float) -> float:
    """How far one score moved against its claim; infinite where it is NaN, for `before <= after` is false then."""
    a, b = float(before[element]), float(after[element])
    drop = sign * (a - b)
    if math.isnan(a) or math.isnan(b):
        return float("inf")
    return 0.0 if math.isnan(drop) else drop  # two infinities
