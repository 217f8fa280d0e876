"""Questions to an exported graph: what meets what, what follows, where it stands in the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from ..certify._capture import Capture, name_of, packet
from ..certify._facts import Fact
from ..certify.rules import MOVERS

# fmt: off
# Where the factors of a product stand among the arguments, by the packet's name.
FACTORS: dict[str, tuple[int, ...]] = {
    "aten.linear": (0, 1),   "aten.mm": (0, 1),       "aten.matmul": (0, 1),  "aten.bmm": (0, 1),
    "aten.mv": (0, 1),       "aten.dot": (0, 1),      "aten.addmm": (1, 2),   "aten.baddbmm": (1, 2),
    "aten.addmv": (1, 2),    "aten.convolution": (0, 1), "aten.mul": (0, 1),  "aten.div": (0, 1),
    "aten.prelu": (0, 1),    "aten._prelu_kernel": (0, 1), "aten.batch_norm": (0, 1),
    "aten._native_batch_norm_legit_no_training": (0, 1),
    "aten.embedding_bag": (0, 6), "aten._embedding_bag": (0, 7), "aten._embedding_bag_forward_only": (0, 7),
}
# fmt: on
BAGS = frozenset(p for p in FACTORS if "embedding_bag" in p)
LOOKUPS = BAGS | {"aten.embedding"}
# One factor per channel, which should leave the order as it is.
SCALES = frozenset(p for p in FACTORS if "norm" in p or "prelu" in p)
DIVISIONS = frozenset({"aten.div"})
SUMS = frozenset(FACTORS) - SCALES - DIVISIONS - {"aten.mul"}


def descendants(nodes: Iterable[Node]) -> set[Node]:
    """The nodes that are made of these, without them."""
    found: set[Node] = set()
    open_ = [user for node in nodes for user in node.users]
    while open_:
        node = open_.pop()
        if node not in found:
            found.add(node)
            open_ += node.users
    return found


def origin(node: Any, parameters: dict[Node, str]) -> Node | None:
    """The parameter that a value is, but for its arrangement, a lookup of rows or a fixed factor."""
    if not isinstance(node, Node):
        return None
    if node in parameters:
        return node
    if node.op != "call_function":
        return None
    if name_of(node.target) in MOVERS or packet(node) in ("aten._to_copy", "aten.embedding", "getitem"):
        return origin(node.args[0], parameters)
    if packet(node) == "aten.mul":
        found = [origin(a, parameters) for a in node.args]
        return next((f for f in found if f is not None), None) if None in found else None
    return None


def factors(
    node: Node, parameters: dict[Node, str], facts: dict[Node, Any], *, moving: bool = True
) -> Iterator[tuple[Node, int]]:
    """The parameters among a product's fixed factors, each with its place: 0 or 1."""
    if packet(node) == "aten.embedding":
        if (found := origin(node.args[0], parameters)) is not None:
            yield found, 0
        return
    places = FACTORS.get(packet(node), ())
    operands = [node.args[i] if i < len(node.args) else None for i in places]
    if packet(node) in BAGS and len(operands) > 1 and operands[1] is None:
        operands[1] = node.kwargs.get("per_sample_weights")
    for place, operand in enumerate(operands):
        parameter = origin(operand, parameters)
        others = [o for o in operands if o is not operand]
        if parameter is None or (isinstance(operand, Node) and moves(facts.get(operand))):
            continue
        if not moving or any(isinstance(o, Node) and moves(facts.get(o)) for o in others):
            yield parameter, place


def touched(node: Node, parameter: Node, parameters: dict[Node, str], facts: dict[Node, Any]) -> tuple[Tensor, Tensor]:
    """Which entries of a parameter are multiplied by something that rises, and which by something that falls.

    The derivative by the parameter, with the bits in the place of what moves: a fixed factor below 0 turns them.
    """
    shape = facts[parameter].shape
    moving = next(facts[n] for n in node.all_input_nodes if moves(facts[n]))
    if packet(node) in SCALES and moving.lo.dim() > 1:
        found = [_any(bits, [d for d in range(bits.dim()) if d != 1]) for bits in (moving.up, moving.dn)]
        up, dn = (bits if bits.shape == shape else bits.any().expand(shape) for bits in found)
        return up, dn
    try:
        up, dn = (_met(node, parameter, parameters, facts, which) for which in ("up", "dn"))
    except Exception:
        # A lookup whose ids are not known, or a call that cannot be run on other numbers: all of it may be met.
        return moving.up.any().expand(shape), moving.dn.any().expand(shape)
    rises, falls = (up > 0) | (dn < 0), (dn > 0) | (up < 0)
    if len(shape) > 2:  # a kernel: all its positions, whatever the length of the example
        kernel = tuple(range(2, len(shape)))
        rises, falls = (_any(t, kernel).reshape(*shape[:2], *[1] * len(kernel)).expand(shape) for t in (rises, falls))
    return rises, falls


def _any(bits: Tensor, dims: Iterable[int]) -> Tensor:
    return bits.double().amax(tuple(dims)) > 0


def _met(node: Node, parameter: Node, parameters: dict[Node, str], facts: dict[Node, Any], which: str) -> Tensor:
    w = torch.zeros(facts[parameter].shape, dtype=torch.float64, requires_grad=True)

    def concrete(n: Node) -> Any:
        if n is parameter:
            return w
        value = facts[n]
        if isinstance(value, Fact):
            if not value.moves:
                return torch.zeros(value.shape, dtype=value.dtype if not value.dtype.is_floating_point else w.dtype)
            return getattr(value, which).double()
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            return value.double() if value.is_floating_point() else value
        return value

    def through(n: Node) -> Any:
        if n is parameter or origin(n, parameters) is not parameter or moves(facts.get(n)):
            return concrete(n)
        if packet(n) == "aten._to_copy":
            return through(n.all_input_nodes[0])
        if packet(n) == "aten.embedding" and isinstance(n.args[1], Node) and isinstance(facts[n.args[1]], Fact):
            rows = through(n.args[0])  # type: ignore[arg-type]
            return rows.mean(0).expand(*facts[n.args[1]].shape, rows.shape[-1])  # any row may be met
        return n.target(*map_arg(n.args, through), **map_arg(n.kwargs, through))  # type: ignore[operator]

    if packet(node) in BAGS and isinstance(facts.get(node.args[1]), Fact):  # type: ignore[arg-type]
        raise LookupError
    with torch.enable_grad():
        out = node.target(*map_arg(node.args, through), **map_arg(node.kwargs, through))  # type: ignore[operator]
        out = out[0] if isinstance(out, tuple) else out
        return torch.autograd.grad(out.sum(), w)[0]


def parities(capture: Capture, parameters: dict[Node, str]) -> dict[Node, set[int]]:
    """How what follows a node wants it: +1 rising, -1 falling: it is subtracted later, before it meets a weight."""
    found: dict[Node, set[int]] = {}
    for node in reversed(capture.nodes):
        wants = {1} if node in capture.outputs else set()
        for user in node.users:
            if user not in found:
                continue
            after, args = found[user], user.args
            adapts = packet(user) in SUMS | {"aten.mul"} and any(
                origin(a, parameters) is not None for a in args[:3] if a is not node
            )
            if adapts:
                wants |= {1}
                continue
            second = len(args) > 1 and args[1] is node
            turns = (
                packet(user) == "aten.neg"
                or (packet(user) == "aten.sub" and second)
                or (packet(user) == "aten.rsub" and not second)
            )
            wants |= {-way for way in after} if turns else after
        found[node] = wants
    return found


def around(model: nn.Module, node: Node) -> list[tuple[nn.Module, str]]:
    """The modules in which a node was made, outermost first, with their paths."""
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    named = dict(model.named_modules(remove_duplicate=False))
    return [(named[path], path) for path in stack if path in named]


def module_of(model: nn.Module, node: Node) -> tuple[nn.Module, str]:
    """The innermost of them."""
    return (around(model, node) or [(model, "")])[-1]


def source(node: Node) -> str:
    """'model.py:41': the line of the model's author; '' where it is all torch's."""
    lines = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [found for found in lines if "torch" not in PurePath(found[0]).parts]
    return f"{PurePath(own[-1][0]).name}:{own[-1][1]}" if own else ""


def moves(value: Any) -> bool:
    """Whether a fact, or one of several, may differ between the members of a pair."""
    if isinstance(value, Fact):
        return value.moves
    return isinstance(value, tuple | list) and any(moves(v) for v in value)
