"""What a model of the zoo is: how it is made, what is asked of it, which verdicts are right, and its story."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from isotone.verdict import Verdict

PROVED, REFUTED, UNKNOWN = Verdict.PROVED, Verdict.REFUTED, Verdict.UNKNOWN
# Monotone and proved; monotone, perhaps not seen yet; falls and is caught; falls where a search may miss it.
RISES, OPEN = frozenset({PROVED}), frozenset({PROVED, UNKNOWN})
FALLS, HIDDEN = frozenset({REFUTED}), frozenset({REFUTED, UNKNOWN})
# Neither claim nor witness can be had: it is random, or it changes as it runs.
STUCK = frozenset({UNKNOWN})
UNIT = (0.0, 1.0)
X = torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])


class Case(NamedTuple):
    """A row: the verdicts in `right` are the only ones that are not a bug."""

    make: Callable[[], nn.Module]
    inputs: Any
    directions: Any
    domain: Any
    right: frozenset[Verdict]
    story: str

    @property
    def monotone(self) -> bool:
        """Whether the claim is true."""
        return PROVED in self.right
