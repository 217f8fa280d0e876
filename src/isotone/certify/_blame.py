"""Why the walk does not prove the claim: the node to look at, one sentence about it, and what would help."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from ._advice import advice, known
from ._capture import Capture, Place, name_of
from ._facts import Fact, Unknown
from ._question import Question
from ._walk import Walked
from .rules import REFUSED, RULES


@dataclass(frozen=True)
class Stop:
    """Where a proof stopped.

    Args:
        reason: one sentence.
        where: the node, if it was a node.
        known: what was known of its operands, a sentence each.
        changes: what would let the proof through.
        node: the node in the graph.
        hopeless: whether no smaller domain can help.
    """

    reason: str
    where: Place | None = None
    known: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    node: Node | None = None
    hopeless: bool = False


def open_elements(capture: Capture, walked: Walked, question: Question) -> list[tuple[Node, Tensor]] | Stop:
    """Per part of the score, the elements that may move against the claim; or why not even that is known."""
    facts = []
    for output in capture.outputs:
        found = walked.facts[output]
        if isinstance(found, Unknown):
            return _lost(capture, walked, found)
        if isinstance(found, Tensor) and not bool(torch.isfinite(found).all()):
            return Stop("the score is infinite or NaN whatever the inputs are", capture.place(output), hopeless=True)
        if not isinstance(found, Tensor | Fact):
            return Stop("the model returns something that is no tensor", capture.place(output), hopeless=True)
        facts.append((output, found))
    try:
        signs = question.claimed([found.shape for _, found in facts])
    except ValueError as fault:
        return Stop(str(fault), hopeless=True)
    moved = [
        (output, (sign > 0) & found.dn | (sign < 0) & found.up)
        for (output, found), sign in zip(facts, signs, strict=True)
        if isinstance(found, Fact)
    ]
    return [(output, bad) for output, bad in moved if bool(bad.any())]


def _lost(capture: Capture, walked: Walked, found: Unknown) -> Stop:
    name = name_of(found.node.target)
    return Stop(
        found.reason,
        capture.place(found.node),
        known(walked.facts, found.node, _short(capture)),
        advice(capture, found.node).changes,
        found.node,
        # An operator without a rule has none on a smaller domain either.
        hopeless=name not in RULES or name in REFUSED,
    )


def blame(capture: Capture, walked: Walked, question: Question) -> Stop | None:
    """None if the claim is proved; else the reason, and the node where the proof stopped."""
    bad = open_elements(capture, walked, question)
    if isinstance(bad, Stop):
        return bad
    if not bad:
        return None
    rising = any(bool((walked.facts[output].up & elements).any()) for output, elements in bad)
    falling = any(bool((walked.facts[output].dn & elements).any()) for output, elements in bad)
    node = _turning_point(capture, walked, [output for output, _ in bad])
    fact = walked.facts[node]
    moves = int((fact.dn if falling or not rising else fact.up).sum())
    verb = "fall" if falling else "rise"
    reason = f"what {name_of(node.target)} gives may {verb} in {moves} of {fact.dn.numel()} elements"
    about = advice(capture, node)
    return Stop(
        f"{reason}: {about.why}" if about.why else reason,
        capture.place(node) if node in capture.nodes else None,
        known(walked.facts, node, _short(capture)),
        about.changes,
        node,
    )


def _short(capture: Capture) -> Any:
    """How a report calls the value of a node: an input, a weight, or what an operator gave."""

    def word(node: Node) -> str:
        if node in capture.inputs:
            return f"input {capture.inputs.index(node)}"
        return capture.names.get(node) or f"what {name_of(node.target)} gives"

    return word


def _turning_point(capture: Capture, walked: Walked, bad: list[Node]) -> Node:
    """The first node that mixes rising and falling; if none mixes, the last one that turns the order."""
    leading = ancestors(bad)
    order = [n for n in capture.nodes if n in leading]

    def new(node: Node, seen: Any) -> bool:
        here = walked.facts[node]
        before = [walked.facts[n] for n in node.all_input_nodes]
        return isinstance(here, Fact) and seen(here) and not any(isinstance(b, Fact) and seen(b) for b in before)

    mixing = [n for n in order if new(n, lambda f: bool((f.up & f.dn).any()))]
    turning = [n for n in order if new(n, lambda f: bool(f.dn.any()))]
    return mixing[0] if mixing else turning[-1] if turning else bad[0]


def ancestors(nodes: Iterable[Node]) -> set[Node]:
    """The nodes that these are made of, with them."""
    found: set[Node] = set()
    open_ = list(nodes)
    while open_:
        node = open_.pop()
        if node not in found:
            found.add(node)
            open_ += node.all_input_nodes
    return found
