"""What the attacker can do to each feature.

- a move takes one feature to its target: 1 for a name, a cap for a number that may rise, a floor for one that may fall;
- a number may also stop on its way, at whole steps where it counts something;
- nothing ever moves the other way, and `only_adds` is the judge of that.
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
        way = self.target - x
        at_once = self.step.isinf() | self.step.isnan()
        grid = torch.where((self.step == 0) | at_once, 1.0, self.step)
        whole = (share * way.abs() / grid).round().clamp(min=1.0) * grid * way.sign()
        so_far = x + torch.where(self.step == 0, share * way, whole)
        # Rounding, or the last step, must not pass the target.
        so_far = torch.where(
            self.directions > 0, torch.minimum(so_far, self.target), torch.maximum(so_far, self.target)
        )
        return torch.where(chosen & self.available(x), torch.where(at_once, self.target, so_far), x)

    def toward(self, x: Tensor, other: Tensor) -> Tensor:
        """`x` moved towards `other`, shape (d,) or (n, d), as far as the attacker can: of names, the union."""
        up = self.directions > 0
        # What cannot stop on its way goes where `other` has gone, or stays.
        other = torch.where(self.step.isinf() & (other != self.target), torch.nan, other)
        rise = torch.minimum(other, self.target)
        fall = torch.maximum(other, self.target)
        # Comparisons with NaN are false, so a missing value neither moves nor is moved to.
        raised = torch.where(self.addable & up & (x < rise), rise, x)
        return torch.where(self.addable & ~up & (x > fall), fall, raised)


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
        BrokenAttack: a feature that is not addable changed, or moved against its direction or past its target, or too
            many changed.

    Cost: a few passes over (n, d).

    >>> moves = Moves.between((1, 1), 0.0, 1.0)
    >>> only_adds(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1.0]]), moves)
    """
    differ = changed(before, after)
    up = moves.directions > 0
    inside = torch.where(
        up, (before < after) & (after <= moves.target), (before > after) & (after >= moves.target)
    )  # NaN fails both
    for wrong, what in ((differ & ~moves.addable, "is not addable"), (differ & ~inside, "went where it must not")):
        if bool(wrong.any()):
            row, feature = (int(i) for i in wrong.nonzero()[0])
            came = f"changed feature {feature} from {float(before[row, feature])} to {float(after[row, feature])}"
            raise BrokenAttack(attack, row if rows is None else int(rows[row]), f"{came}, which {what}")
    count = differ.sum(1)
    if budget is not None and bool((count > budget).any()):
        row = int((count > budget).nonzero()[0])
        number = row if rows is None else int(rows[row])
        raise BrokenAttack(attack, number, f"has {int(count[row])} additions with a budget of {budget}")
