"""What attacks say: fewest additions, security curve, evasion rate, and whether the attack works at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._search import Attacked

# A positive control that evades less often than this proves nothing about the model that it did not evade.
WORKS_FROM = 0.5


def fewest(attacks: Sequence[Attacked]) -> Tensor:
    """The least additions over several attacks on the same rows, shape (n,), int64: -1 none found, 0 no victim.

    Raises:
        BadInput: no attack; attacks on other rows.

    >>> one = Attacked("a", torch.tensor([3, -1, 0]), torch.zeros(3), torch.zeros(3, 1))
    >>> two = Attacked("b", torch.tensor([5, -1, 0]), torch.zeros(3), torch.zeros(3, 1))
    >>> fewest([one, two])
    tensor([ 3, -1,  0])
    """
    if not attacks:
        raise BadInput("fewest", "no attack came", "at least one would be right")
    first = attacks[0].additions
    for other in attacks[1:]:
        if other.additions.shape != first.shape or bool(((other.additions == 0) != (first == 0)).any()):
            raise BadInput(
                "fewest",
                f"{attacks[0].name!r} and {other.name!r} have other victims",
                "all attack the same rows at the same threshold",
            )
    never = torch.iinfo(torch.int64).max
    least = torch.stack([a.additions.masked_fill(a.additions < 0, never) for a in attacks]).amin(0)
    return least.masked_fill(least == never, -1)


def detection_curve(fewest: Any, detected: Any, budgets: Sequence[int | None]) -> list[float]:
    """The security curve: share of all bad rows that are still detected after up to k additions, for k in `budgets`.

    Args:
        fewest: shape (n,): fewest additions that evade, as `fewest` gives them.
        detected: shape (n,), bool: rows detected to begin with.
        budgets: numbers of additions; None is no limit. Beyond the budget of the attacks the curve is an
            upper bound.

    Raises:
        BadInput: no rows, other shapes, or a row that is detected in one and not in the other.

    >>> detection_curve([3, -1, 0, 1], [True, True, False, True], [0, 1, 10, None])
    [0.75, 0.5, 0.25, 0.25]
    """
    least, seen = torch.as_tensor(fewest), torch.as_tensor(detected, dtype=torch.bool)
    seen = seen.to(least.device)
    if least.shape != seen.shape or not len(least):
        raise BadInput(
            "detection_curve", f"shapes {tuple(least.shape)} and {tuple(seen.shape)} came", "both (n,), n from 1 on"
        )
    if bool(((least != 0) != seen).any()):
        row = int(((least != 0) != seen).nonzero()[0])
        raise BadInput(
            "detection_curve",
            f"row {row} has {int(least[row])} as its fewest additions and {bool(seen[row])} as detected",
            "0 additions means exactly that a row was not detected",
        )
    gone = [(least > 0) if k is None else (least > 0) & (least <= k) for k in budgets]
    return [float((seen & ~g).double().mean()) for g in gone]


def evasion_rate(attacked: Attacked | Tensor, budget: int | None = None) -> float | None:
    """Share of the victims that evade with at most `budget` additions; None without victims.

    >>> evasion_rate(torch.tensor([3, -1, 0, 9]), budget=5)
    0.3333333333333333
    """
    additions = _additions(attacked)
    victims = int((additions != 0).sum())
    evaded = additions > 0 if budget is None else (additions > 0) & (additions <= budget)
    return int(evaded.sum()) / victims if victims else None


def median_additions(attacked: Attacked | Tensor) -> int | None:
    """The fewest additions with which half of the victims evade; None if fewer than half ever do, or without victims.

    Rows that never evaded count as beyond every number (right-censored); the mean over those that did would be too low.

    >>> median_additions(torch.tensor([3, -1, 0, 9])), median_additions(torch.tensor([3, -1, -1]))
    (9, None)
    """
    additions = _additions(attacked)
    victims = int((additions != 0).sum())
    evaded = additions[additions > 0].sort().values
    half = (victims + 1) // 2
    return int(evaded[half - 1]) if 0 < half <= len(evaded) else None


def is_broken(attacked_on_unconstrained_twin: Attacked | Tensor) -> bool:
    """Whether the positive control fails: the attack evades less than half of the victims of an unconstrained twin.

    Then what it did not find elsewhere means nothing, and a report must say so. Without victims it was never shown to
    work, and that is broken too.

    >>> is_broken(torch.tensor([4, 7, -1])), is_broken(torch.tensor([-1, -1, 2]))
    (False, True)
    """
    rate = evasion_rate(attacked_on_unconstrained_twin)
    return rate is None or not rate >= WORKS_FROM


def _additions(attacked: Attacked | Tensor) -> Tensor:
    return attacked.additions if isinstance(attacked, Attacked) else attacked
