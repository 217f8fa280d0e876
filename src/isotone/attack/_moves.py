"""What the attacker can do to each feature.

- a move takes one feature to its target: 1 for a name, a cap for a number that may rise, a floor for one that may fall;
- a number may also stop on its way, at whole steps where it counts something;
- nothing ever moves the other way or stops elsewhere, and `only_adds` is the judge of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..directions import FREE, as_directions
from ..errors import BadInput
from ._wrong import BrokenAttack

# How far from a whole number of steps a number may be that stopped on one: what float32 leaves of it.
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Moves:
    """Which features the attacker can move, which way, and how far.

    Args:
        addable: shape (d,), bool: whether the attacker can move the feature at all.
        target: shape (d,), float32, in the units of the feature: the value it takes when it is "added".
        directions: shape (d,), int8: +1 where the attacker raises the feature, -1 where the attacker lowers it; what is
            not addable may be 0.
        step: shape (d,), float32, or a number: where a feature may stop on its way. 0: anywhere; 1: at whole counts;
            inf: nowhere, as a name is there or not; NaN: nothing is said, so attacks go all the way or to values that
            they saw, and proofs reckon with every value in between.

    Raises:
        BadInput: shapes that differ, another direction, an addable feature without a finite target, a step below 0.

    >>> moves = Moves.between((1, -1, 0), low=0.0, high=1.0)
    >>> moves.available(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0]]))
    tensor([[ True, False, False],
            [False,  True, False]])
    """

    addable: Tensor
    target: Tensor
    directions: Tensor
    step: Any = torch.nan

    def __post_init__(self) -> None:
        for name, dtype in (("addable", torch.bool), ("target", torch.float32), ("directions", torch.int8)):
            # A copy: what the caller does to an array later must not change what the attacker can do.
            object.__setattr__(self, name, as_tensor(getattr(self, name), dtype).clone())
        step = as_tensor(self.step, torch.float32)
        if step.shape not in ((), self.target.shape) or bool((step < 0).any()):
            raise BadInput(
                "moves", f"step has shape {tuple(step.shape)}", "numbers from 0 on are right, one per feature"
            )
        object.__setattr__(self, "step", step.to(self.target.device).expand(self.target.shape).clone())
        shapes = [tuple(t.shape) for t in (self.addable, self.target, self.directions)]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise BadInput("moves", f"addable, target and directions have shapes {shapes}", "all three have shape (d,)")
        if bool((self.addable & (self.directions.abs() != 1)).any()):
            raise BadInput(
                "moves", "an addable feature has a direction other than +1 and -1", "+1 is raised and -1 is lowered"
            )
        if bool((self.addable & ~self.target.isfinite()).any()):
            first = int((self.addable & ~self.target.isfinite()).nonzero()[0])
            raise BadInput(
                "moves", f"feature {first} has the target {float(self.target[first])}", "a target is a finite number"
            )

    @classmethod
    def between(cls, directions: Any, low: Any, high: Any, step: Any = torch.nan) -> Moves:
        """Rise to `high` where the direction is +1, fall to `low` where it is -1, stay where it is 0.

        Args:
            directions: one -1, 0 or +1 per feature, such as `Threat(...).directions(names)`.
            low, high: numbers, or shape (d,); the smallest and largest values seen in training are a usual choice.
            step: as above.

        Raises:
            BadInput: another direction, or bounds of another shape.

        >>> Moves.between((1, 1), 0.0, [1.0, 7.0]).target
        tensor([1., 7.])
        """
        way = torch.tensor(as_directions(directions, len(directions)), dtype=torch.int8)
        bounds = []
        for name, bound in (("low", low), ("high", high)):
            value = as_tensor(bound, torch.float32).cpu()
            if value.shape not in ((), way.shape):
                raise BadInput("moves", f"{name} has shape {tuple(value.shape)}", f"a number, or ({len(way)},)")
            bounds.append(value.expand(way.shape))
        return cls(way != FREE, torch.where(way > 0, bounds[1], bounds[0]), way, step)

    @classmethod
    def of_names(cls, directions: Any) -> Moves:
        """Names, which are there (1) or not (0): added where the direction is +1, taken away where it is -1.

        Raises:
            BadInput: another direction.

        >>> Moves.of_names((1, -1, 0)).moved(torch.tensor([[0.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool))
        tensor([[1., 0., 0.]])
        """
        return cls.between(directions, 0.0, 1.0, torch.inf)

    @property
    def whole(self) -> bool:
        """Whether every feature that moves is said to go all the way."""
        return bool((self.step.isinf() | ~self.addable).all())

    @property
    def features(self) -> int:
        """How many features there are."""
        return len(self.target)

    def on(self, device: torch.device) -> Moves:
        """The same moves on a device; itself where it is there already."""
        if self.target.device == device:
            return self
        return Moves(self.addable.to(device), self.target.to(device), self.directions.to(device), self.step.to(device))

    def opposite(self, end: Any = 0.0) -> Moves:
        """What takes additions back, to `end`: removals, which a guarantee about additions says nothing of.

        Args:
            end: a number, or shape (d,): where a feature that is taken away ends.

        >>> Moves.between((1, -1), 0.0, 1.0).opposite([0.0, 1.0]).available(torch.tensor([[1.0, 1.0]]))
        tensor([[ True, False]])
        """
        ends = as_tensor(end, torch.float32).to(self.target.device).expand(self.target.shape)
        return Moves(self.addable, ends, -self.directions, self.step)

    def available(self, x: Tensor) -> Tensor:
        """Shape (n, d), bool: addable, and short of the target. A missing value (NaN) is out of reach."""
        up = self.directions > 0
        return self.addable & ((up & (x < self.target)) | (~up & (x > self.target)))

    def stops(self, x: Tensor) -> Tensor:
        """At how many values each feature may end that moves, shape (n, d), float64.

        1 for what goes all the way, the steps of what counts, inf for what stops anywhere, 0 for what cannot move.

        >>> Moves.between((1, 1, 1), 0.0, 10.0, step=[torch.inf, 4.0, 0.0]).stops(torch.zeros(1, 3))
        tensor([[1., 3., inf]], dtype=torch.float64)
        """
        step = self.step.double()
        count = torch.where(
            _counts(step), ((self.target.double() - x).abs() / step - _ROUNDING).ceil().clamp(min=1), 1.0
        )
        return torch.where(self.available(x), torch.where(step == 0, torch.inf, count), 0.0)

    def moved(self, x: Tensor, chosen: Tensor) -> Tensor:
        """`x` with the chosen features, shape (n, d) bool, at their targets; what is not available stays."""
        return torch.where(chosen & self.available(x), self.target, x)

    def partly(self, x: Tensor, chosen: Tensor, share: Tensor) -> Tensor:
        """`x` with the chosen features so far on their way, on whole steps and one at least; names go all the way.

        Args:
            x: shape (n, d).
            chosen: shape (n, d), bool.
            share: shape (n, d), from 0 to 1.

        >>> moves = Moves.between((1, 1, 1), 0.0, 10.0, step=[torch.inf, 1.0, 0.0])
        >>> moves.partly(torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool), torch.full((1, 3), 0.36))
        tensor([[10.0000,  4.0000,  3.6000]])
        """
        return torch.where(chosen & self.available(x), _so_far(x, self.target, self.step, share), x)

    def stop(self, x: Tensor, features: Tensor, share: float) -> Tensor:
        """Where single features stop so far on their way; their targets where they go all the way.

        Args:
            x: shape (n,): the value of each.
            features: shape (n,): which.
            share: from 0 to 1.

        >>> moves = Moves.between((1, 1), 0.0, 10.0, step=[torch.inf, 1.0])
        >>> moves.stop(torch.zeros(2), torch.tensor([0, 1]), 0.5)
        tensor([10.,  5.])
        """
        return _so_far(x, self.target[features], self.step[features], torch.tensor(share, device=x.device))

    def toward(self, x: Tensor, other: Tensor) -> Tensor:
        """`x` moved towards `other`, shape (d,) or (n, d), as far as the attacker can: of names, the union.

        What stops at whole steps stops at the last one before `other`.

        >>> moves = Moves.between((1, 1), 0.0, 10.0, step=5.0)
        >>> moves.toward(torch.zeros(1, 2), torch.tensor([[8.0, 12.0]]))
        tensor([[ 5., 10.]])
        """
        up = self.directions > 0
        # What cannot stop on its way goes where `other` has gone, or stays.
        other = torch.where(self.step.isinf() & (other != self.target), torch.nan, other)
        rise = torch.minimum(other, self.target)
        fall = torch.maximum(other, self.target)
        if bool((self.addable & _counts(self.step)).any()):
            rise, fall = (_last_step(x, end, self.target, self.step) for end in (rise, fall))
        # Comparisons with NaN are false, so a missing value neither moves nor is moved to.
        raised = torch.where(self.addable & up & (x < rise), rise, x)
        return torch.where(self.addable & ~up & (x > fall), fall, raised)


def _counts(step: Tensor) -> Tensor:
    return (step > 0) & step.isfinite()


def _so_far(x: Tensor, target: Tensor, step: Tensor, share: Tensor) -> Tensor:
    """So far on the way from `x` to the target, on a step; all the way where there is none to stop at."""
    way = target - x
    grid = torch.where(_counts(step), step, 1.0)
    whole = (share * way.abs() / grid).round().clamp(min=1.0) * grid * way.sign()
    so_far = x + torch.where(step == 0, share * way, whole)
    # Rounding, or the last step, must not pass the target.
    so_far = torch.where(way > 0, torch.minimum(so_far, target), torch.maximum(so_far, target))
    return torch.where((step == 0) | _counts(step), so_far, target)


def _last_step(x: Tensor, end: Tensor, target: Tensor, step: Tensor) -> Tensor:
    """The last whole step from `x` that is not past `end`, where steps count; the target is one, however far it is."""
    way = end - x
    steps = (way.abs() / torch.where(_counts(step), step, 1.0) + _ROUNDING).floor()
    stop = x + steps * step * way.sign()
    stop = torch.where(way > 0, torch.minimum(stop, target), torch.maximum(stop, target))
    return torch.where(_counts(step) & (end != target), stop, end)


def as_tensor(values: Any, dtype: torch.dtype) -> Tensor:
    """A tensor without a gradient, of anything like an array; torch alone would warn of read-only ones."""
    tensor = values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    return tensor.to(dtype)


def changed(before: Tensor, after: Tensor) -> Tensor:
    """Where two tensors differ; missing is the same as missing."""
    return (before != after) & ~(before.isnan() & after.isnan())


def only_adds(
    before: Tensor,
    after: Tensor,
    moves: Moves,
    budget: int | None = None,
    *,
    attack: str = "yours",
    rows: Tensor | None = None,
) -> None:
    """Pass in silence if every row of `after` is its row of `before` with additions only, or say what is not.

    Args:
        before, after: shape (n, d).
        budget: most features that may have changed in a row; None is no limit.
        attack, rows: its name, and the number of each row, for the message.

    Raises:
        BrokenAttack: a feature that is not addable changed, or moved against its direction, past its target or to
            where it cannot stop, or too many changed.

    Cost: a few passes over (n, d).

    >>> moves = Moves.between((1, 1), 0.0, 1.0)
    >>> only_adds(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]]), moves)
    """
    differ = changed(before, after)
    up = moves.directions > 0
    inside = torch.where(
        up, (before < after) & (after <= moves.target), (before > after) & (after >= moves.target)
    )  # NaN fails both
    steps = (after - before).abs() / torch.where(_counts(moves.step), moves.step, 1.0)
    # What float32 leaves of a difference of such numbers, in steps; never so much that a half would pass.
    grain = torch.maximum(before.abs(), after.abs()) / torch.where(_counts(moves.step), moves.step, 1.0)
    room = (_ROUNDING + 4 * torch.finfo(torch.float32).eps * grain).clamp(max=0.25)
    off = moves.step.isinf() | (_counts(moves.step) & ((steps - steps.round()).abs() > room))
    between = off & (after != moves.target)
    for wrong, what in (
        (differ & ~moves.addable, "is not addable"),
        (differ & ~inside, "went where it must not"),
        (differ & between, "stopped where it cannot"),
    ):
        if bool(wrong.any()):
            row, feature = (int(i) for i in wrong.nonzero()[0])
            came = f"changed feature {feature} from {float(before[row, feature])} to {float(after[row, feature])}"
            raise BrokenAttack(attack, row if rows is None else int(rows[row]), f"{came}, which {what}")
    count = differ.sum(1)
    if budget is not None and bool((count > budget).any()):
        row = int((count > budget).nonzero()[0])
        number = row if rows is None else int(rows[row])
        raise BrokenAttack(attack, number, f"has {int(count[row])} additions with a budget of {budget}")
