"""What a relation sees: one node, the facts found so far, and the rules to ask again."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from .._facts import Fact, as_fact
from ..rules import Site
from ..rules._structural import ALIASES


@dataclass(frozen=True)
class Look:
    """A node whose rule left something open.

    Args:
        plain: what the rule found: a fact, or None where it gave up.
        again: applies a node's own rule to other facts.
    """

    node: Node
    plain: Fact | None
    facts: Mapping[Node, Any]
    site: Site
    again: Callable[[Node, Any, Site], Any]

    def fact(self, value: Any) -> Fact | None:
        """The fact of an operand, constants included; None where nothing is known, or where it is no tensor."""
        found = self.facts.get(value) if isinstance(value, Node) else value
        return as_fact(found) if isinstance(found, Fact | Tensor | int | float) else None

    def redone(self, node: Node, instead: dict[Node, Any]) -> Fact | None:
        """The node's rule on other facts of some operands."""
        found = self.again(node, ChainMap(instead, self.facts), self.site)  # type: ignore[arg-type]
        return found if isinstance(found, Fact) else as_fact(found) if isinstance(found, Tensor) else None


def op(value: Any) -> str:
    """'add' for a node of aten.add.Tensor; '' for what is no node of aten."""
    target = getattr(value, "target", None)
    if isinstance(value, Node) and isinstance(target, torch._ops.OpOverload) and target.namespace == "aten":
        return target._schema.name.removeprefix("aten::")
    return ""


def bare(value: Any) -> Any:
    """The node under its aliases: the same value."""
    while isinstance(value, Node) and str(value.target) in ALIASES:
        value = value.args[0]
    return value


def argument(node: Node, position: int, name: str, default: Any = None) -> Any:
    """An argument, wherever it stands."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def operands(node: Node) -> tuple[Any, Any] | None:
    """Both operands of a sum, difference or product with no scale; None for any other form."""
    if len(node.args) < 2 or (len(node.args) > 2 and node.args[2] != 1) or node.kwargs.get("alpha", 1) != 1:
        return None
    a, b = bare(node.args[0]), bare(node.args[1])
    return (b, a) if op(node) == "rsub" else (a, b)


def orders(node: Node) -> Iterator[tuple[Any, Any]]:
    """Both operands, in either order."""
    if pair := operands(node):
        yield pair
        yield pair[::-1]
