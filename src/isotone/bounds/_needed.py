"""How many additions an attacker needs at least, and that number beside what attacks found.

- `needed` is a proof, `fewest` a finding: the truth lies between, so certified detection is never above empirical;
- a pair that contradicts this is a fault of one of the two, and is raised, never averaged away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..attack import detection_curve
from ..errors import BadInput, IsotoneError

# No number of additions is enough.
UNLIMITED = torch.iinfo(torch.int64).max


@dataclass(frozen=True, eq=False)
class Needed:
    """What is proved of each row.

    Args:
        needed: shape (n,), int64: additions that any attacker needs at least to come to or below the threshold. 0: not
            detected to begin with. 1: detected, and nothing is certified. `UNLIMITED`: no additions are enough.
        why_not: why nothing could be certified at all, such as a layer without a rule; or nothing.
    """

    needed: Tensor
    why_not: str = ""

    @property
    def detected(self) -> Tensor:
        """Shape (n,), bool: rows above the threshold."""
        return self.needed > 0

    @property
    def unlimited(self) -> Tensor:
        """Shape (n,), bool: rows that no additions bring down."""
        return self.needed == UNLIMITED

    def curve(self, budgets: Sequence[int | None]) -> list[float]:
        """Certified detection: share of all rows that no so many additions bring down; None is no limit."""
        return certified_curve(self.needed, budgets)


def either(one: Needed, other: Needed) -> Needed:
    """Of a detector that alarms when either of two scores is above its threshold: both must be brought down.

    An attack that brings both down brings each down, so it needs at least as many additions as either needs.

    Raises:
        BadInput: other rows.

    >>> either(Needed(torch.tensor([3, 0, 1])), Needed(torch.tensor([1, 2, UNLIMITED]))).needed.tolist()[:2]
    [3, 2]
    """
    if one.needed.shape != other.needed.shape:
        came = f"{tuple(one.needed.shape)} and {tuple(other.needed.shape)} came"
        raise BadInput("either", came, "what is proved of the same rows is right")
    return Needed(torch.maximum(one.needed, other.needed), "; ".join(filter(None, (one.why_not, other.why_not))))


class Contradiction(IsotoneError, AssertionError):
    """An attack did what a certificate says cannot be done: a fault of isotone, or of two different models or rows."""


def certified_curve(needed: Any, budgets: Sequence[int | None]) -> list[float]:
    """Share of all rows that are certified to stay detected after up to k additions; None is no limit.

    Raises:
        BadInput: no rows.

    >>> certified_curve([3, 1, 0, UNLIMITED], [0, 1, 2, 3, None])
    [0.75, 0.5, 0.5, 0.25, 0.25]
    """
    least = torch.as_tensor(needed, dtype=torch.int64)
    if least.ndim != 1 or not len(least):
        raise BadInput("certified_curve", f"shape {tuple(least.shape)} came", "(n,), n from 1 on, is right")
    return [float((least > (UNLIMITED - 1 if k is None else k)).double().mean()) for k in budgets]


def beside(needed: Needed | Any, fewest: Any, budgets: Sequence[int | None]) -> list[dict[str, Any]]:
    """Certified next to empirical detection at every budget, for the same rows, model and threshold.

    Args:
        needed: `Needed`, or its tensor.
        fewest: shape (n,), int64, as `attack.fewest` or `Suite.fewest` give it: -1 where no attack evades.
        budgets: numbers of additions; None is no limit.

    Returns:
        One plain dict per budget: `budget`, `certified`, `empirical`, and `open`: the share between the two, of which
        nobody knows.

    Raises:
        BadInput: other shapes.
        Contradiction: an attack needed fewer additions than are certified to be needed.

    >>> beside([3, 1, 0, UNLIMITED], [3, 1, 0, -1], [0, 2, None])[1]
    {'budget': 2, 'certified': 0.5, 'empirical': 0.5, 'open': 0.0}
    """
    proof = torch.as_tensor(needed.needed if isinstance(needed, Needed) else needed, dtype=torch.int64)
    found = torch.as_tensor(fewest, dtype=torch.int64)
    if proof.shape != found.shape or proof.ndim != 1 or not len(proof):
        raise BadInput("beside", f"shapes {tuple(proof.shape)} and {tuple(found.shape)} came", "both (n,), n from 1 on")
    other = (proof == 0) != (found == 0)
    if bool(other.any()):
        row = int(other.nonzero()[0])
        raise BadInput(
            "beside",
            f"row {row} is detected for one and not for the other",
            "the same rows, model and threshold are right",
        )
    broken = (found > 0) & (found < proof)
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        said = "no number of additions" if int(proof[row]) == UNLIMITED else f"fewer than {int(proof[row])} additions"
        raise Contradiction(
            f"row {row}: certified that {said} cannot evade, and an attack needed {int(found[row])}. "
            "If the model and the rows are the same, this is a fault of isotone: please report it."
        )
    certified, empirical = certified_curve(proof, budgets), detection_curve(found, found != 0, budgets)
    return [
        {"budget": k, "certified": c, "empirical": e, "open": max(0.0, e - c)}
        for k, c, e in zip(budgets, certified, empirical, strict=True)
    ]
