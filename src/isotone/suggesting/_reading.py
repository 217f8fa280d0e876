"""Which weights would have to have which sign, and which operations are in the way: one walk over the exported graph.

The prover's own walk, one node at a time, in a world where the plan has already been followed:

- where a moving value meets a parameter, the parameter is given the signs that make the result rise (or fall, where all
  that follows turns it round), and the result may from then on have any size, since training may move the biases;
- where an operation mixes rising and falling whatever the weights are, that is noted, and what it gives is taken to
  rise, as what replaces it will.

Nothing that is claimed rests on this walk: the plan that comes of it is tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from ..certify._blame import ancestors
from ..certify._capture import Capture, name_of, packet
from ..certify._facts import INF, Fact, Unknown, anything
from ..certify._walk import walk
from ..certify.rules import MOVERS
from ._graph import (
    BAGS,
    DIVISIONS,
    LOOKUPS,
    SCALES,
    SUMS,
    around,
    descendants,
    factors,
    module_of,
    moves,
    parities,
    source,
    touched,
)
from ._words import ACTIVATIONS, UNFIT


@dataclass(frozen=True)
class Want:
    """The signs that a parameter should have where it meets what moves.

    Args:
        signs: int8, shape of the parameter; 0 where any will do.
        site: "sum", "scale", "bag" or "divisor".
        first: whether it meets the inputs themselves.
        way: +1 if its result is to rise, -1 if it is to fall.
    """

    name: str
    signs: Tensor
    node: Node
    site: str
    first: bool
    way: int


@dataclass(frozen=True)
class Trouble:
    """An operation that no sign of a weight puts right.

    Args:
        module: the innermost module around it.
        unfit: whether that module is the trouble as a whole.
        reason: the prover's, where it has no rule; the name of the parameter, for a conflict.
        moving: how many of its operands move.
        kind: "" or "ids" or "conflict" or "falls".
    """

    node: Node
    module: nn.Module
    path: str
    reason: str
    unfit: bool = False
    kind: str = ""
    moving: int = 0


@dataclass
class Reading:
    """What the walk has found."""

    capture: Capture
    wants: dict[str, Want] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    moving: list[Node] = field(default_factory=list)


def read(model: nn.Module, capture: Capture, inputs: list[Fact]) -> Reading:
    """Walk over `capture`, the graph of `model`, whose inputs have these facts."""
    return _Reader(model, capture, inputs).result


class _Reader:
    def __init__(self, model: nn.Module, capture: Capture, inputs: list[Fact]) -> None:
        self.model, self.capture = model, capture
        self.result = Reading(capture)
        named = {(p.data_ptr(), p.shape): name for name, p in model.named_parameters()}
        held = {n: t for n, t in capture.constants.items() if isinstance(t, Tensor)}
        self.parameters = {n: named[key] for n, t in held.items() if (key := (t.data_ptr(), t.shape)) in named}
        self.facts: dict[Node, Any] = {**capture.constants, **dict(zip(capture.inputs, inputs, strict=True))}
        self.facts |= {n: held[n].clone() for n in self.parameters}
        self.alive = ancestors(capture.outputs)
        self.parity = parities(capture, self.parameters)
        self.spots: set[tuple[int, str, str]] = set()
        self.raw: set[Node] = set(capture.inputs)  # what the inputs are, before any weight
        for node in capture.nodes:
            if node in self.alive:
                self.facts[node] = self._value(node)
        self._look_at_outputs()

    def _value(self, node: Node) -> Any:
        movers = {n for n in node.all_input_nodes if moves(self.facts[n])}
        if not movers:
            return self._at_rest(node)
        self.result.moving.append(node)
        unfit = next(((m, p) for m, p in around(self.model, node) if isinstance(m, tuple(UNFIT))), None)
        if unfit is not None:
            self._trouble(node, unfit=unfit)
            return self._risen(node, self._fact(node))
        if packet(node) in LOOKUPS and node.args[1] in movers:
            return self._looked_up(node)
        first = movers <= self.raw
        if first and name_of(node.target) in MOVERS:
            self.raw.add(node)
        met = list(factors(node, self.parameters, self.facts))
        for parameter, place in met:
            self._hold(node, parameter, place, first=first)
        value = self._fact(node)
        if isinstance(value, Unknown):  # of several results: asked when one is used
            self._trouble(node, value.reason)
            return self._risen(node, value)
        if any(bool((f.up & f.dn).any()) for f in _facts_in(value)):
            self._trouble(node)
            return self._risen(node, value)
        return self._any_size(node, value) if met or self._shifts(node) else value

    def _at_rest(self, node: Node) -> Any:
        value = self._fact(node)
        if isinstance(value, Unknown):
            return self._risen(node, value, still=True)
        if isinstance(value, Fact) and packet(node) in SUMS:
            for parameter, _ in factors(node, self.parameters, self.facts, moving=False):
                path = self.parameters[parameter].rpartition(".")[0]
                if path and path not in self.result.free:
                    self.result.free.append(path)
                return self._any_size(node, value)
        return self._any_size(node, value) if self._shifts(node) else value

    def _fact(self, node: Node) -> Any:
        """By the prover's rule."""
        given = node.all_input_nodes
        one = replace(self.capture, nodes=(node,), inputs=tuple(given), constants={}, outputs=())
        return walk(one, [self.facts[n] for n in given]).facts[node]

    def _hold(self, node: Node, parameter: Node, place: int, *, first: bool) -> None:
        name = self.parameters[parameter]
        rises, falls = touched(node, parameter, self.parameters, self.facts)
        way = -1 if self.parity[node] == {-1} else 1
        if packet(node) in DIVISIONS and place == 1:
            signs, site = torch.ones_like(rises, dtype=torch.int8), "divisor"
        elif packet(node) in SCALES:
            signs, site = way * (rises | falls).to(torch.int8), "scale"
        else:
            signs, site = way * (rises.to(torch.int8) - falls.to(torch.int8)), "bag" if packet(node) in BAGS else "sum"
            if bool((rises & falls).any()):
                if packet(node) != "aten.mul":
                    self._trouble(node, name, kind="conflict")
                signs = torch.where(rises & falls, way, signs)
        if _of_a_table(node):
            site = "bag"
        if not bool((signs != 0).any()):
            return
        before = self.result.wants.get(name)
        if before is not None:
            if bool((before.signs * signs < 0).any()):
                self._trouble(node, name, kind="conflict")
            signs = torch.where(before.signs != 0, before.signs, signs)
            self.result.wants[name] = replace(before, signs=signs, first=before.first and first)
        else:
            self.result.wants[name] = Want(name, signs, node, site, first, way)
        self._pretend(parameter, signs)

    def _pretend(self, parameter: Node, signs: Tensor) -> None:
        """The parameter with these signs from here on."""
        w = self.facts[parameter]
        # None of them 0: a unit that is dead now may wake up in training, and what it gives then moves too.
        self.facts[parameter] = torch.where(signs.to(w.device) != 0, signs.to(w) * w.abs().clamp(min=1), w)
        below = descendants([parameter])
        for n in self.capture.nodes:
            if n in below and n in self.facts and not moves(self.facts[n]):
                self.facts[n] = self._at_rest(n)

    def _looked_up(self, node: Node) -> Any:
        """Ids of names: the claim is to be stated about their presence, so the table is held as a sum's weight is."""
        self._trouble(node, kind="ids")
        table = next((p for p, _ in factors(node, self.parameters, self.facts, moving=False)), None)
        if table is not None:
            name = self.parameters[table]
            signs = torch.ones(self.facts[table].shape, dtype=torch.int8)
            self.result.wants.setdefault(name, Want(name, signs, node, "bag", False, 1))
        return self._risen(node, self._fact(node))

    def _trouble(
        self, node: Node, reason: str = "", *, kind: str = "", unfit: tuple[nn.Module, str] | None = None
    ) -> None:
        """Once per module, or per operation in a line of the model's own code."""
        module, path = unfit or module_of(self.model, node)
        whole = unfit or isinstance(module, tuple(ACTIVATIONS))  # one that is shared has several places
        spot = (id(module), "", "") if whole else (id(module), source(node), kind or packet(node))
        if spot not in self.spots:
            moving = sum(moves(self.facts[n]) for n in node.all_input_nodes)
            self.spots.add(spot)
            self.result.troubles.append(Trouble(node, module, path, reason, unfit is not None, kind, moving))

    def _risen(self, node: Node, value: Any, *, still: bool = False) -> Any:
        """What stands here once the operation is replaced: it rises where this one moves."""
        kinds = node.meta.get("val")
        if isinstance(kinds, tuple | list):
            values = value if isinstance(value, tuple) else (value,) * len(kinds)
            return tuple(_risen(v, k, still) for v, k in zip(values, kinds, strict=True))
        return _risen(value, kinds, still)

    def _shifts(self, node: Node) -> bool:
        """Whether a parameter is added: a bias by another name."""
        return packet(node) in ("aten.add", "aten.sub", "aten.rsub") and any(
            n in self.parameters for n in node.all_input_nodes
        )

    def _any_size(self, node: Node, value: Any) -> Any:
        """The same bits, and no bound that a bias could undo; a product keeps the sign of its factors."""
        if isinstance(value, tuple):
            return tuple(self._any_size(node, v) for v in value)
        if not isinstance(value, Fact):
            return value
        keeps = (value.lo >= 0) if packet(node) == "aten.mul" else torch.zeros_like(value.up)
        return replace(
            value, lo=torch.where(keeps, 0.0, torch.full_like(value.lo, -INF)), hi=torch.full_like(value.hi, INF)
        )

    def _look_at_outputs(self) -> None:
        for output in self.capture.outputs:
            if any(bool(f.dn.any()) for f in _facts_in(self.facts[output])):
                self._trouble(output, kind="falls")


def _of_a_table(node: Node) -> bool:
    """Whether a product's fixed factor is looked up in a table: rows of names times their presence."""
    return packet(node) == "aten.mul" and any(packet(n) == "aten.embedding" for n in node.all_input_nodes)


def _facts_in(value: Any) -> list[Fact]:
    if isinstance(value, Fact):
        return [value]
    return [f for v in value for f in _facts_in(v)] if isinstance(value, tuple | list) else []


def _risen(value: Any, kind: Any, still: bool) -> Any:
    if not isinstance(kind, Tensor):
        return value
    shape = tuple(k if isinstance(k, int) else int(k.node.hint) for k in kind.shape)
    free = anything(shape, kind.dtype)
    if still:
        return free
    return replace(free, up=value.up | value.dn if isinstance(value, Fact) else torch.ones(shape, dtype=torch.bool))
