"""A line of a plan, in both of its forms: the text to paste, and the same thing done to a model."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from ..constraints import Between, Constraint, NonNegative, NonPositive, Sign, constrain, remove_constraint

# A divisor that is held at least here is never 0 and never turns its quotient round.
SMALLEST_DIVISOR = 1e-3


class Edit(Protocol):
    """One line."""

    @property
    def line(self) -> str:
        """As text; the model is called `model`."""

    def apply(self, model: nn.Module) -> None:
        """Done."""


@dataclass(frozen=True)
class Hold:
    """Hold a parameter in a set."""

    name: str
    constraint: Constraint

    @property
    def line(self) -> str:
        """The call of `constrain`."""
        return f"isotone.constrain(model, {_quoted(self.name)}, {written(self.constraint)})"

    def apply(self, model: nn.Module) -> None:
        """Declare it."""
        constrain(model, self.name, self.constraint)


@dataclass(frozen=True)
class Release:
    """Let go of a parameter that is held in another set."""

    name: str

    @property
    def line(self) -> str:
        """The call of `remove_constraint`."""
        return f"isotone.remove_constraint(model, {_quoted(self.name)})"

    def apply(self, model: nn.Module) -> None:
        """Undeclare it."""
        remove_constraint(model, self.name)


@dataclass(frozen=True)
class Swap:
    """Put another module in the place of one."""

    path: str
    text: str
    make: Callable[[], nn.Module] = field(compare=False)

    @property
    def line(self) -> str:
        """The call of `set_submodule`."""
        return f"model.set_submodule({_quoted(self.path)}, {self.text})"

    def apply(self, model: nn.Module) -> None:
        """Put it there."""
        model.set_submodule(self.path, self.make())


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(constraint: Constraint) -> str:
    """A constraint as Python.

    >>> written(Sign((1, -1, 0))), written(Sign((0,) * 6 + (1,) * 20, dim=0))
    ('isotone.Sign((1, -1, 0))', 'isotone.Sign((0,) * 6 + (1,) * 20, dim=0)')
    """
    if isinstance(constraint, Between) and constraint.high == float("inf"):
        return f"isotone.Between(low={constraint.low})"
    if not isinstance(constraint, Sign):
        return f"isotone.{constraint!r}"
    dim = "" if constraint.dim == -1 else f", dim={constraint.dim}"
    runs = [(way, len(list(same))) for way, same in itertools.groupby(constraint.directions)]
    if len(constraint.directions) <= 12 or len(runs) > len(constraint.directions) // 3:
        return f"isotone.Sign({constraint.directions}{dim})"
    return f"isotone.Sign({' + '.join(f'({way},) * {count}' for way, count in runs)}{dim})"


def set_for(signs: Tensor) -> Constraint | None:
    """The plainest set of weights with these signs (0: any); None if no one set says it.

    Where a sign is free in some places only, the set may ask for one there too.

    >>> set_for(torch.tensor([[1, -1, 0], [1, -1, 0]])), set_for(torch.tensor([[1, 1], [0, 1]]))
    (Sign(directions=(1, -1, 0), dim=-1), NonNegative())
    """
    if bool((signs > 0).all()):
        return NonNegative()
    if bool((signs < 0).all()):
        return NonPositive()
    for dim in reversed(range(signs.dim())):
        rows = signs.movedim(dim, 0).reshape(signs.shape[dim], -1)
        if bool((rows == rows[:, :1]).all()):
            return Sign(tuple(int(way) for way in rows[:, 0]), -1 if dim == signs.dim() - 1 else dim)
    if bool((signs >= 0).all()):
        return NonNegative()
    return NonPositive() if bool((signs <= 0).all()) else None


def implies(held: Constraint, signs: Tensor) -> bool:
    """Whether every member of an elementwise set has these signs: its walls are what it projects far points to."""
    if not held.elementwise:
        return False
    far = torch.full(signs.shape, 1e30, dtype=torch.float64)
    low, high = held.project(-far), held.project(far)
    return bool((((signs <= 0) | (low >= 0)) & ((signs >= 0) | (high <= 0))).all())
