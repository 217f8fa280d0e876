"""The metric in which an optimizer has just stepped: x <- x - m / d, entry by entry, has the metric d.

With x <- P(x - m / d) a fixed point is stationary only if P is nearest in the squares weighted by d; the plain
projection after a step of Adam leads to the wrong point of a ball or a simplex. Only ratios of d within one weight
matter, so factors common to all of its entries are left out.

Rules are computed in float32 at least, and roots are taken as torch takes them, before they are divided: what a step
can divide by, a metric can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._base import Constraint
from ._rounding import NARROW

State = dict[str, Any]


def _adam(state: State, group: State) -> Tensor:
    square: Tensor = state["max_exp_avg_sq"] if group.get("amsgrad") else state["exp_avg_sq"]
    correction = torch.as_tensor(1 - group["betas"][1] ** state["step"], device=square.device)
    return _root(square) / correction.sqrt() + float(group["eps"])


def _radam(state: State, group: State) -> Tensor:
    beta, t = group["betas"][1], state["step"]
    power = beta**t
    longest = 2 / (1 - beta) - 1
    rectified = longest - 2 * t * power / (1 - power) > 5
    d = _root(state["exp_avg_sq"]) + group["eps"]
    # The first steps are plain momentum.
    return torch.where(torch.as_tensor(rectified, device=d.device), d, torch.ones_like(d))


def _rmsprop(state: State, group: State) -> Tensor:
    square: Tensor = state["square_avg"]
    if group["centered"]:
        square = square - state["grad_avg"].square()
    return _root(square.clamp(min=0)) + float(group["eps"])


def _wide(value: Tensor) -> Tensor:
    return value.float() if value.dtype in NARROW else value


def _root(square: Tensor) -> Tensor:
    return _wide(square).sqrt()


# fmt: off
METRICS: dict[str, Callable[[State, State], Tensor]] = {
    # optimizer     what its step divides by
    "Adam":         _adam,
    "AdamW":        _adam,
    "NAdam":        _adam,
    "SparseAdam":   lambda state, group: _root(state["exp_avg_sq"]) + group["eps"],
    "RAdam":        _radam,
    "Adagrad":      lambda state, group: _root(state["sum"]) + group["eps"],
    "RMSprop":      _rmsprop,
    "Adamax":       lambda state, group: _wide(state["exp_inf"]),
}
# fmt: on
PLAIN = {"SGD", "ASGD"}  # the same step size for all entries
COUPLED = {"LBFGS", "Muon"}  # a step is no division entry by entry: not even a clamp is the nearest point for them


def _inner(optimizer: Optimizer) -> Optimizer:
    """Of an optimizer that wraps another one (Lookahead, SAM, ZeroRedundancyOptimizer), the one that steps."""
    for name in ("optim", "optimizer", "base_optimizer"):
        inner = getattr(optimizer, name, None)
        if isinstance(inner, Optimizer):
            return _inner(inner)
    return optimizer


def _known(optimizer: Optimizer) -> str | None:
    """The torch optimizer that `optimizer` is, wraps, or is derived from."""
    optimizer = _inner(optimizer)
    for kind in type(optimizer).__mro__:
        if kind.__module__.startswith("torch.optim") and (kind.__name__ in METRICS or kind.__name__ in PLAIN | COUPLED):
            return kind.__name__
    return None


def metric_of(optimizer: Optimizer, group: State, p: Tensor) -> Tensor | None:
    """What the last step of `p` was divided by; None if all entries alike, or if that is not known.

    >>> w = nn.Parameter(torch.zeros(2))
    >>> optimizer = torch.optim.Adam([w])
    >>> w.grad = torch.tensor([1.0, 4.0])
    >>> optimizer.step()
    >>> metric_of(optimizer, optimizer.param_groups[0], w)
    tensor([1.0000, 4.0000])
    """
    rule = METRICS.get(_known(optimizer) or "")
    state = _inner(optimizer).state.get(p)
    if rule is None or not state:  # without a state it has not been stepped yet
        return None
    try:
        d = rule(state, group)
    except KeyError:  # a subclass with a state of its own
        return None
    if d.shape != p.shape:
        return None
    # What is no number says nothing (a fused step that a scaler skipped leaves 0 / 0); what is infinite did not move.
    # Between bounds whose ratio is in range, so that no division of one entry by another leaves it.
    top = torch.finfo(d.dtype).max ** 0.48
    return d.nan_to_num(nan=1.0, posinf=top).clamp(min=1 / top, max=top)


def misfit(optimizer: Optimizer, constraint: Constraint) -> bool:
    """Whether the weights stay inside but may settle at a point that is not the best one there."""
    name = _known(optimizer)
    if name in COUPLED or constraint.elementwise:
        return name in COUPLED
    return name is None or (name in METRICS and not constraint.takes_metric)


def directed_out(optimizer: Optimizer, p: Tensor, moved: Tensor) -> None:
    """Forget the momentum of entries that it has carried out of the set by `moved`, from the wall outwards."""
    for key in ("exp_avg", "momentum_buffer"):
        momentum = _inner(optimizer).state.get(p, {}).get(key)
        if momentum is not None and momentum.shape == p.shape:
            # The step goes against the momentum: beyond a lower wall `moved` is negative and the momentum positive.
            momentum.masked_fill_(moved * momentum < 0, 0.0)
