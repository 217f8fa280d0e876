"""What to know about an operator at which a proof stopped, and what to change so that it goes on.

- one row per operator: why the order turns there, then changes, the first the one that most models want;
- the words are for the owner of the model, who has not read how the prover works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.fx import Node

from ._capture import Capture, packet
from ._facts import Fact, Unknown

MOST_OPERANDS = 4


@dataclass(frozen=True)
class Row:
    """Why it turns the order, and what would let the proof through."""

    why: str
    changes: tuple[str, ...]


def row(why: str, *changes: str) -> Row:
    """A row of the table."""
    return Row(why, changes)


HOLD = "hold {weight} non-negative: isotone.constrain(model, {weight!r}, isotone.NonNegative())"
SUGGEST = "let isotone.suggest(model, directions) try the changes on a copy"
FLIP = "give its input the other direction (-1) if that is what is meant"
SIGNED = row("a weight is negative where its input rises", HOLD, SUGGEST, FLIP)
FACTORS = row(
    "a product rises with a factor only where the other is not negative",
    "make both factors non-negative: relu, softplus or sigmoid before the product",
    "give a domain in which they are (domain=(0, None) for inputs that are never negative)",
    "let only one of them depend on inputs that move",
)
TAKEN = row(
    "what is subtracted rises",
    "add it instead, or subtract something that does not move",
    "if both sides are parts of one value, write it as one function that rises (relu, softplus, clamp)",
    "give a bounded domain, so that the prover can split it",
)
DIVIDED = row(
    "a quotient falls with its divisor, and turns with a negative one",
    "a sum or a maximum over the set instead of its mean: a mean falls when a small member is added",
    "divide by a constant, such as the largest size",
    "give a domain that keeps the divisor on one side of 0",
)
SHARES = row(
    "a share falls when another logit rises",
    "give the model one logit per label, with a sigmoid each",
    "certify the logits, before the softmax",
    "for pooling: a sum of non-negative terms, a maximum or logsumexp instead of attention",
)
NORMED = row(
    "it subtracts a mean over values that rise as well, or divides by their spread",
    "BatchNorm with fixed statistics (eval mode) and a non-negative weight",
    "leave it out; isotone.initialize_(model) keeps signals alive in deep networks",
    "let it see free inputs only",
)
DIPS = "it falls before its turning point, which the range of its input does not exclude"
CURVED = row(
    DIPS,
    "ReLU, softplus or ELU instead: they rise everywhere",
    "keep its input right of the turning point by a domain",
    "a residual around it: x + f(x) rises",
)
SQUARED = row(
    DIPS,
    "relu(x) before it, or another function that rises",
    "give a domain on one side of 0: domain=(0, None)",
    "add a multiple of x that outweighs the fall",
)
CHOSEN = row(
    "the branch that is chosen when the condition rises may lie below the other",
    "clamp, relu or maximum instead, which join their pieces",
    "make the two branches meet where the condition switches",
    "let the condition depend on free inputs only",
)
GATED = row(
    "recurrent gates are not monotone: one that rises may close another",
    "cumulative sums, cumulative maxima or a sum over time instead",
    "let the recurrence read free inputs only, and join the moving ones after it",
)
ATTENDED = row(
    "attention weights shift when a key or query moves",
    "a sum of non-negative terms, or a maximum, over the set",
    "compute the attention from free inputs only, and let values be what moves",
)
TRAINED = row(
    "in train mode it depends on the other rows of the batch",
    "model.eval() first, if that is the mode in which the model will score",
)
DRAWN = row("it is random in train mode", "model.eval() first, if that is the mode in which the model will score")
PERIODIC = row(
    "it rises and falls by turns",
    "give a domain within one rise",
    "let it see free inputs only",
    "replace it by a function that rises",
)
PLACES = row(
    "places have no order: the place of the largest value jumps",
    "use the values (amax, sort().values), not the places",
    "let them depend on free inputs only",
)
CUT = row(
    "whole numbers wrap, and casts to them cut",
    "give a bounded domain, so that nothing can wrap",
    "compute in floating point",
)

# fmt: off
ROWS: dict[str, Row] = {
    "aten.linear": SIGNED, "aten.mm": SIGNED, "aten.matmul": SIGNED, "aten.addmm": SIGNED, "aten.mv": SIGNED,
    "aten.dot": SIGNED, "aten.addmv": SIGNED, "aten.convolution": SIGNED, "aten.embedding": SIGNED,
    "aten.prelu": SIGNED, "aten._prelu_kernel": SIGNED,
    "aten.batch_norm": SIGNED, "aten._native_batch_norm_legit_no_training": SIGNED,
    "aten.bmm": FACTORS, "aten.baddbmm": FACTORS, "aten.mul": FACTORS, "aten.prod": FACTORS, "aten.addcmul": FACTORS,
    "aten.cumprod": FACTORS, "aten.glu": FACTORS,
    "aten.sub": TAKEN, "aten.rsub": TAKEN, "aten.neg": TAKEN,
    "aten.div": DIVIDED, "aten.reciprocal": DIVIDED, "aten.mean": DIVIDED,
    "aten.softmax": SHARES, "aten._softmax": SHARES, "aten.log_softmax": SHARES, "aten._log_softmax": SHARES,
    "aten.layer_norm": NORMED, "aten.native_layer_norm": NORMED, "aten.group_norm": NORMED,
    "aten.native_group_norm": NORMED, "aten.rms_norm": NORMED, "aten._fused_rms_norm": NORMED,
    "aten.instance_norm": NORMED, "aten.var": NORMED, "aten.std": NORMED, "aten.rsqrt": NORMED,
    "aten.linalg_vector_norm": NORMED,
    "aten.gelu": CURVED, "aten.silu": CURVED, "aten.mish": CURVED, "aten.hardswish": CURVED,
    "aten.abs": SQUARED, "aten.square": SQUARED, "aten.pow": SQUARED, "aten.cosh": SQUARED,
    "aten.where": CHOSEN, "aten.masked_fill": CHOSEN, "aten.threshold": CHOSEN,
    "aten.gru": GATED, "aten.lstm": GATED, "aten.rnn_tanh": GATED,
    "aten.scaled_dot_product_attention": ATTENDED, "aten._scaled_dot_product_flash_attention_for_cpu": ATTENDED,
    "aten.native_batch_norm": TRAINED, "aten._native_batch_norm_legit": TRAINED,
    "aten._native_batch_norm_legit_functional": TRAINED,
    "aten.dropout": DRAWN, "aten.native_dropout": DRAWN, "aten.bernoulli": DRAWN, "aten.rand_like": DRAWN,
    "aten.sin": PERIODIC, "aten.cos": PERIODIC, "aten.remainder": PERIODIC, "aten.fmod": PERIODIC,
    "aten.frac": PERIODIC,
    "aten.argmax": PLACES, "aten.argmin": PLACES, "aten.argsort": PLACES, "aten.topk": PLACES, "aten.sort": PLACES,
    "aten._to_copy": CUT,
    "aten.softplus": row(
        "it drops where it switches to x, at its threshold, by more than a rounding step",
        "leave its threshold at 20 and compute in float32, where the drop is below rounding",
        "torch.logaddexp(x, torch.zeros_like(x)), which has no switch",
    ),
}
# fmt: on
NO_RULE = Row(
    "",
    (
        "write it with operators that have rules (docs/operations.md lists them)",
        "let it see free inputs only",
        "isotone.audit looks for a witness without reading the model",
    ),
)


def advice(capture: Capture, node: Node) -> Row:
    """The row of this node, its words filled in."""
    found = ROWS.get(packet(node), NO_RULE)
    names = [capture.names[n] for n in node.all_input_nodes if n in capture.names]
    weight = next((n for n in names if not n.endswith("bias")), "")
    changes = tuple(c.format(weight=weight) for c in found.changes if weight or "{weight" not in c)
    return Row(found.why, changes)


def to_evaluate(model: nn.Module) -> tuple[str, ...]:
    """The change that helps a model whose parts act otherwise in train mode, if it has such parts in that mode."""
    kinds = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
    parts = [
        f"{name or 'it'} ({type(m).__name__})"
        for name, m in model.named_modules()
        if isinstance(m, kinds) and m.training
    ]
    if not parts:
        return ()
    more = f" and {len(parts) - 2} more" if len(parts) > 2 else ""
    verb = "is" if len(parts) == 1 else "are"
    return (f"model.eval() first, if the model will score so: {', '.join(parts[:2])}{more} {verb} in train mode",)


def known(facts: dict[Node, Any], node: Node, source: Callable[[Node], str]) -> tuple[str, ...]:
    """One sentence per operand that moves or has a range: what the prover knew when it stopped."""
    said = []
    for operand in node.all_input_nodes:
        fact = facts.get(operand)
        if isinstance(fact, Unknown):
            said.append(f"{source(operand)}: nothing is known")
        elif isinstance(fact, Fact):
            said.append(f"{source(operand)}: {ways(fact)}, {span(fact)}")
    return tuple(said[:MOST_OPERANDS])


def ways(fact: Fact) -> str:
    """'rises', 'falls', 'rises and falls', 'does not move'."""
    up, dn = bool(fact.up.any()), bool(fact.dn.any())
    return "may rise and may fall" if up and dn else "rises" if up else "falls" if dn else "does not move"


def span(fact: Fact) -> str:
    """'between 0 and 1', 'at least 0', 'of any size'."""
    low, high = (float(fact.lo.min()), float(fact.hi.max())) if fact.lo.numel() else (0.0, 0.0)
    if low == -float("inf"):
        return "of any size" if high == float("inf") else f"at most {high:.4g}"
    return f"at least {low:.4g}" if high == float("inf") else f"between {low:.4g} and {high:.4g}"
