"""Three answers to "is it monotone?", and what comes with each.

- PROVED, REFUTED with a witness, UNKNOWN with the place where the proof stopped;
- "we do not know" is an answer and is never taken for "no".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import torch
from torch import Tensor


class Verdict(enum.Enum):
    """What is known of a claim.

    >>> Verdict.PROVED is Verdict.PROVED
    True
    """

    PROVED = "proved"
    REFUTED = "refuted"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        raise TypeError("A verdict has three values: write `verdict is Verdict.PROVED`.")


@dataclass(frozen=True)
class Witness:
    """A pair of inputs that breaks the claim: `lower` is below `upper`, and the score falls from one to the other.

    Args:
        lower, upper: one tensor per input of the model, each of the shape of that input.
        element: index of the output element that falls.
        before, after: that element's score at `lower` and at `upper`; `after` is on the wrong side.
        arithmetic: "as given", or "float64" where both are by the same code in float64, because the model's own
            rounding hides the drop.
    """

    lower: tuple[Tensor, ...]
    upper: tuple[Tensor, ...]
    element: tuple[int, ...]
    before: float
    after: float
    arithmetic: str = "as given"

    @property
    def drop(self) -> float:
        """How far the score fell, in its own units."""
        return self.before - self.after


@dataclass(frozen=True)
class Domain:
    """The inputs a claim is about: everything between `low` and `high`, both included; shapes as the input, or scalars.

    >>> Domain(0.0, 1.0).contains(torch.tensor([0.5, 1.0]))
    True
    """

    low: float | Tensor = -float("inf")
    high: float | Tensor = float("inf")

    def bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Both bounds as float64 tensors of the shape of `like`."""
        low, high = (torch.as_tensor(b, dtype=torch.float64).expand(like.shape) for b in (self.low, self.high))
        if not bool((low <= high).all()):
            raise ValueError("domain: its low must not be above its high, anywhere, and neither may be NaN.")
        return low, high

    def contains(self, x: Tensor) -> bool:
        """Whether every entry lies inside. NaN never does."""
        low, high = self.bounds(x)
        return bool(((x.double() >= low) & (x.double() <= high)).all())
