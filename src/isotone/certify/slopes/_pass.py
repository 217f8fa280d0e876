"""The reverse pass: from one element of the score, node by node, to the inputs.

- this loop names no operator;
- whatever is not covered gets an infinite coefficient wherever it may move: it costs knowledge and never truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from .._capture import Capture, is_assertion, name_of
from .._facts import INF, Fact, Unknown
from .._rounding import add
from .._walk import Walked, _in_order, _on_cpu
from ._adjoints import adjoint, is_zero, nothing
from ._table import SLOPES, At


class Reverse:
    """One pass for one element of the score.

    Args:
        capture: the graph.
        walked: the facts of its nodes, from a finished walk forward.
        drops: when to drop a node's share of the difference because its sign is known: "never"; "late", where going on
            would lose it; "early", wherever it is known.
    """

    def __init__(self, capture: Capture, walked: Walked, drops: str = "never") -> None:
        self.capture, self.facts, self.drops = capture, walked.facts, drops
        self.adjoints: dict[Node, Fact] = {}
        self.several: dict[Node, dict[int, Fact]] = {}
        self.lost: set[Node] = set()

    def run(self, output: Node, index: tuple[int, ...], seed: float) -> list[Fact]:
        """Coefficients of the inputs in seed times the difference of that element; a bound below it after drops."""
        start = nothing(tuple(self.facts[output].shape)).lo
        start[index] = seed
        self._give(output, adjoint(start, start))
        for node in reversed(self.capture.nodes):
            if not is_assertion(node):
                self._step(node)
        return [self.adjoints.get(n, nothing(tuple(self.facts[n].shape))) for n in self.capture.inputs]

    def _step(self, node: Node) -> None:
        if name_of(node.target) == "getitem":
            self._pick(node)
        elif node in self.lost:
            self._deny(node)
        elif node in self.several:
            self._through(node, [self.several[node].get(i) for i in range(len(self.facts[node]))])
        elif node in self.adjoints:
            self._through(node, [self.adjoints[node]])

    def _pick(self, node: Node) -> None:
        source, place = node.args[0], node.args[1]
        if not isinstance(source, Node):
            return
        if node in self.lost or (node in self.adjoints and not isinstance(self.facts[source], tuple)):
            self.lost.add(source)
        elif node in self.adjoints:
            assert isinstance(place, int)
            held = self.several.setdefault(source, {})
            place %= len(self.facts[source])
            held[place] = _sum(held[place], self.adjoints[node]) if place in held else self.adjoints[node]

    def _through(self, node: Node, out: list[Fact | None]) -> None:
        """Pass the adjoints of a node's results on to its operands."""
        found = self.facts[node]
        results = list(found) if isinstance(found, tuple) else [found]
        if self.drops == "early":
            out = [None if a is None else _unsettled(r, a) for r, a in zip(results, out, strict=True)]
        shares = self._shares(node, out)
        if self.drops == "late" and (shares is None or any(_infinite(a) for _, a in shares)):
            out = [None if a is None else _unsettled(r, a) for r, a in zip(results, out, strict=True)]
            shares = self._shares(node, out)
        if shares is None:
            self._deny(node)
            return
        for operand, share in shares:
            if share is None:
                self._lose(operand)
            else:
                self._give(operand, share)

    def _shares(self, node: Node, out: list[Fact | None]) -> list[tuple[Node, Fact | None]] | None:
        """What each operand gets, by the row of the operator; None where there is none, or it does not cover this."""
        if all(a is None or is_zero(a) for a in out):
            return []
        row = SLOPES.get(name_of(node.target))
        if row is None:
            return None
        try:
            with torch.no_grad():
                return list(self._asked(node, row, out))
        except Exception:
            return None

    def _asked(self, node: Node, row: Any, out: list[Fact | None]) -> Iterator[tuple[Node, Fact | None]]:
        found = self.facts[node]
        args, kwargs = _in_order(node, node.args, node.kwargs)
        values, keywords = map_arg((args, kwargs), self.facts.__getitem__)
        if isinstance(found, tuple):
            zeros = [nothing(tuple(r.shape)) if isinstance(r, Fact) else None for r in found]
            at = At(found, tuple(z if a is None else a for a, z in zip(out, zeros, strict=True)), node)
        else:
            at = At(found, out[0], node)
        entries = row(at, *_on_cpu(values), **_on_cpu(keywords))
        yield from self._matched(args, entries)
        yield from self._matched(kwargs, None)

    def _matched(self, operand: Any, entry: Any) -> Iterator[tuple[Node, Fact | None]]:
        """Operands that are nodes beside their entries; what has no entry has None."""
        if isinstance(operand, Node):
            fact = self.facts[operand]
            share = entry if isinstance(entry, Fact) and isinstance(fact, Fact) else None
            if share is not None and share.shape != fact.shape:
                raise TypeError("a row gave an adjoint of another shape than its operand")
            yield operand, None if share is None else _pruned(fact, share)
        elif isinstance(operand, list | tuple):
            entries = list(entry) if isinstance(entry, list | tuple) else []
            for place, part in enumerate(operand):
                yield from self._matched(part, entries[place] if place < len(entries) else None)
        elif isinstance(operand, dict):
            for part in operand.values():
                yield from self._matched(part, None)
        elif isinstance(operand, slice):
            yield from self._matched([operand.start, operand.stop, operand.step], None)

    def _give(self, node: Node, share: Fact) -> None:
        fact = self.facts[node]
        if not isinstance(fact, Fact):
            if not is_zero(share):
                self._lose(node)
            return
        share = _pruned(fact, share)
        if not is_zero(share):
            self.adjoints[node] = _sum(self.adjoints[node], share) if node in self.adjoints else share

    def _deny(self, node: Node) -> None:
        for operand in node.all_input_nodes:
            self._lose(operand)

    def _lose(self, node: Node) -> None:
        """Any coefficient at all, wherever the value may move."""
        fact = self.facts[node]
        if isinstance(fact, Fact):
            everywhere = torch.full(fact.shape, INF, dtype=torch.float64)
            self._give(node, adjoint(-everywhere, everywhere))
        elif isinstance(fact, Unknown | tuple | list):
            self.lost.add(node)


def _sum(a: Fact, b: Fact) -> Fact:
    return adjoint(add(a.lo, b.lo, -INF), add(a.hi, b.hi, INF))


def _pruned(fact: Fact, share: Fact) -> Fact:
    """What does not move has difference 0, so its coefficient may be chosen: 0."""
    moves = fact.up | fact.dn
    return adjoint(torch.where(moves, share.lo, 0.0), torch.where(moves, share.hi, 0.0))


def _unsettled(fact: Any, share: Fact) -> Fact:
    """Without the elements whose share of the difference is known to be 0 or more."""
    if not isinstance(fact, Fact):
        return share
    settled = (share.lo >= 0) & ~fact.dn | (share.hi <= 0) & ~fact.up
    return adjoint(torch.where(settled, 0.0, share.lo), torch.where(settled, 0.0, share.hi))


def _infinite(share: Fact | None) -> bool:
    return share is None or bool(share.lo.isinf().any() or share.hi.isinf().any())


def rises(slope: tuple[Tensor, Tensor], fact: Fact) -> bool:
    """Whether moves that the fact allows, times these slopes, are never negative; NaN is never."""
    low, high = slope
    return bool(((~fact.up | (low >= 0)) & (~fact.dn | (high <= 0))).all())
