"""Constraints as parametrizations: for optimizers without a metric to project in, and for smooth weights."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize as torch_parametrize

from ..errors import BadInput
from ._base import Constraint
from ._binding import held_in
from ._declaring import Patterns, matching, place_of, refuse_no_module, refuse_unreal
from ._matched import is_raw


@final
class Parametrization(nn.Module):
    """A constraint's smooth map, in the form that `torch.nn.utils.parametrize` takes."""

    def __init__(self, constraint: Constraint) -> None:
        super().__init__()
        self.constraint = constraint

    def forward(self, raw: Tensor) -> Tensor:
        """The weight, inside."""
        return self.constraint.parametrized(raw)

    def right_inverse(self, w: Tensor) -> Tensor:
        """What maps to the nearest member to `w`."""
        return self.constraint.raw(self.constraint.project(w))

    def extra_repr(self) -> str:
        """The set."""
        return repr(self.constraint)


def parametrize(
    model: nn.Module, pattern: Patterns, constraint: Constraint, *, exclude: Patterns = ()
) -> tuple[str, ...]:
    """Give the named weights a smooth map into the set, instead of a projection after the step.

    For optimizers that have no metric to project in (LBFGS, Muon), and for gradients that need smooth weights. The
    price: `softplus`, `sigmoid` and `softmax` never reach their walls, so no weight becomes exactly 0; weight decay
    acts on the raw tensor (softplus weights decay to ln 2 = 0.69, not to 0); state-dict keys change; the map is
    computed at every use; a long line search of LBFGS can throw a raw weight to where softplus is flat for good (try
    other starts). Under Adam or SGD `constrain` is the better choice.

    Values are projected, then inverted. Those on a wall, where the map is flat and would hold them, start at a
    hundredth of the mean distance from it.

    Args:
        model, pattern, constraint, exclude: as in `constrain`.

    Returns:
        The names that matched. Make the optimizer after this call.

    Raises:
        NoMatch: nothing is named.
        BadInput: the set has no smooth map (`Intersection`, `Masked`), or the weight is already constrained.

    >>> layer = nn.Linear(2, 1)
    >>> isotone.parametrize(layer, "weight", isotone.NonNegative())
    ('weight',)
    >>> bool((layer.weight > 0).all())
    True
    """
    refuse_no_module("parametrize", model)
    if not isinstance(constraint, Constraint):
        raise BadInput("parametrize", f"{constraint!r} came as the constraint", "one such as NonNegative() is right")
    named = dict(model.named_parameters(remove_duplicate=False))
    found = matching("parametrize", pattern, named, exclude, "parameter")
    held = {id(p): name for name, p, _ in held_in(model)}
    places = []
    for name in found:
        module, leaf = place_of(model, name)
        refuse_unreal("parametrize", name, named[name])
        if is_raw(name):
            raise BadInput("parametrize", f"{name!r} belongs to a parametrization", "one for each weight is right")
        if id(named[name]) in held:
            raise BadInput("parametrize", f"{name!r} is already constrained", "one of the two would be right")
        if sum(p is named[name] for p in named.values()) > 1:
            raise BadInput(
                "parametrize", f"{name!r} is tied", "a parametrization is about one side only; use constrain"
            )
        fitted = constraint.for_layer(module, leaf)
        with torch.no_grad():
            fitted.check(named[name])
            fitted.raw(fitted.project(named[name]))
        places.append((module, leaf, fitted))
    for module, leaf, fitted in places:
        torch_parametrize.register_parametrization(module, leaf, Parametrization(fitted))
    return tuple(found)
