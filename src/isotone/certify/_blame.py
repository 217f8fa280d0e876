"""Why the walk does not prove the claim: the node to look at, and one sentence about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from ._capture import Capture, Place, name_of
from ._facts import Fact, Unknown
from ._walk import Walked

# What to know about an operator that turns the order; by the packet's name.
HINTS = {
    "aten.linear": "a weight is negative where its input rises",
    "aten.mm": "a coefficient is negative where its input rises",
    "aten.matmul": "a coefficient is negative where its input rises",
    "aten.addmm": "a coefficient is negative where its input rises",
    "aten.bmm": "a factor may be negative where the other rises",
    "aten.convolution": "a weight is negative where its input rises",
    "aten.mul": "a product rises with a factor only where the other is not negative",
    "aten.div": "a quotient falls with its divisor, and turns with a negative one",
    "aten.sub": "what is subtracted rises",
    "aten.rsub": "what is subtracted rises",
    "aten.neg": "its operand rises",
    "aten.softmax": "a share falls when another logit rises: give the model one logit per label",
    "aten._softmax": "a share falls when another logit rises: give the model one logit per label",
    "aten.log_softmax": "a share falls when another logit rises: give the model one logit per label",
    "aten._log_softmax": "a share falls when another logit rises: give the model one logit per label",
    "aten.where": "the branch that is chosen when the condition rises may lie below the other",
    "aten.masked_fill": "the value that is filled in may lie below what it replaces",
    "aten.softplus": "it drops where it switches to x, at its threshold, by more than a rounding step",
    "aten._native_batch_norm_legit_no_training": "its weight is negative where its input rises",
}
TURNS = ("aten.abs", "aten.square", "aten.pow", "aten.gelu", "aten.silu", "aten.mish", "aten.hardswish")


def blame(capture: Capture, walked: Walked) -> tuple[str, Place | None] | None:
    """None if the claim is proved; else the reason, and the node where the proof stopped."""
    bad = []
    for output in capture.outputs:
        found = walked.facts[output]
        if isinstance(found, Unknown):
            return found.reason, capture.place(found.node)
        if isinstance(found, Tensor):
            if not bool(torch.isfinite(found).all()):
                return "the score is infinite or NaN whatever the inputs are", capture.place(output)
        elif not isinstance(found, Fact):
            return "the model returns something that is no tensor", capture.place(output)
        elif bool(found.dn.any()):
            bad.append(output)
    if not bad:
        return None
    node = _turning_point(capture, walked, bad)
    fact = walked.facts[node]
    falls = int(fact.dn.sum())
    reason = f"what {name_of(node.target)} gives may fall in {falls} of {fact.dn.numel()} elements"
    return reason + _hint(node), capture.place(node) if node in capture.nodes else None


def _hint(node: Node) -> str:
    packet = name_of(node.target).rpartition(".")[0]
    if packet in TURNS:
        return ": it falls before its turning point, which the range of its input does not exclude"
    return f": {HINTS[packet]}" if packet in HINTS else ""


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
