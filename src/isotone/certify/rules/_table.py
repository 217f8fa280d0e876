"""The table of rules: the name of an aten overload -> what it does to facts.

- a rule is called with its site and the node's arguments in the order of the operator's schema; an argument that a rule
  does not name is an error, and an error inside a rule costs knowledge, never truth;
- no row is looked up by prefix or by family: an overload without a row has no rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .._facts import Fact, Unknown

Result = Fact | tuple[Any, ...] | torch.Tensor
Rule = Callable[..., Result]


@dataclass(frozen=True)
class Site:
    """Where a rule is applied, and a place to leave assumptions."""

    node: Any = None
    assumptions: dict[str, None] = field(default_factory=dict)

    def assume(self, sentence: str) -> None:
        """What the claim rests on besides the mathematics; said once."""
        self.assumptions.setdefault(sentence)

    def unknown(self, reason: str) -> Unknown:
        """One of several results of which nothing is claimed."""
        return Unknown(self.node, reason)


RULES: dict[str, Rule] = {}
# Operators that may give an integer or a bool from floating operands (all others are refused if they do), and those
# whose bool results are truth values, not sums.
DISCRETE: set[str] = set()
# Operators that only move values about: their integers cannot wrap.
MOVERS: set[str] = set()


def rule(*names: str, discrete: bool = False) -> Callable[[Rule], Rule]:
    """Write a row for each named overload."""

    def write(function: Rule) -> Rule:
        for name in names:
            enter(name, function)
            if discrete:
                DISCRETE.add(name)
        return function

    return write


def enter(name: str, function: Rule) -> None:
    """One row; a name has one rule."""
    if name in RULES:
        raise ValueError(f"{name} has two rules")
    RULES[name] = function
