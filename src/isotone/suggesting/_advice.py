"""From what was read to steps: which set for which weight, what in place of which operation, which head."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from ..certify._capture import packet
from ..constraints import Between, Constraint, NonPositive, Sign, constraints_of
from ..nn import Saturating
from ._edits import SMALLEST_DIVISOR, Edit, Hold, Release, Swap, implies, set_for
from ._graph import SUMS, descendants, source
from ._plan import Step
from ._reading import Reading, Trouble, Want
from ._words import (
    ACTIVATIONS,
    BOTH_MOVE,
    CONFLICT,
    CONFLICT_DO,
    CONVEX,
    CURVED,
    FIXED_WEIGHTS,
    NOT_KNOWN,
    OPS,
    SHARES,
    UNFIT,
)

ONE_LOGIT = (
    "make the last layer nn.Linear(..., 1) and return its output, the logit; train with BCEWithLogitsLoss; "
    "torch.sigmoid(logit) is the probability"
)
PER_LABEL = (
    "return the logits: one per label, each with its own sigmoid (BCEWithLogitsLoss); classes that exclude each other "
    "cannot all rise"
)
BENIGN = (
    "a softmax over {}: the benign logit rises too, and with it the malicious share falls, whatever the weights are"
)
PRESENCE = (
    "state the claim about presences: forward(ids, presence), with per_sample_weights=presence (mode='sum') or with "
    "the looked-up rows times presence, and directions (0, +1); isotone.nn.NameSum has that form. Of a byte model that "
    "pools by a global maximum only what follows the pool must be held, not the lines before it: ask about that part"
)


def steps(model: nn.Module, reading: Reading) -> tuple[list[Step], list[str]]:
    """The steps in the order of the model, and the names of the parameters that are held as they should be already."""
    order = {node: i for i, node in enumerate(reading.capture.nodes)}
    present, kept = constraints_of(model), []
    found: list[tuple[int, Step]] = []
    above = True
    for trouble in reading.troubles:
        step = _replacement(model, reading, trouble, above=above)
        above ^= isinstance(trouble.module, tuple(ACTIVATIONS))
        found.append((order.get(trouble.node, 0), step))
    for want in reading.wants.values():
        old = present.get(want.name)
        if old is not None and want.site != "divisor" and implies(old, want.signs):
            kept.append(want.name)
        else:
            found.append((order[want.node], _held(want, old)))
    return [step for _, step in sorted(found, key=lambda pair: pair[0])], kept


def _held(want: Want, old: Any) -> Step:
    constraint = Between(low=SMALLEST_DIVISOR) if want.site == "divisor" else set_for(want.signs)
    place = _place(want.name.rpartition(".")[0] or want.name, want.node)
    if constraint is None:
        return Step("constrain", place, f"{CONFLICT}: {want.name}", CONFLICT_DO)
    edits: list[Edit] = [Hold(want.name, constraint)]
    why = _why(want, constraint)
    if old is not None and old != constraint:
        edits.insert(0, Release(want.name))
        why += f". It is held in {old!r} now; to keep both, name them in one isotone.Intersection"
    elif old is not None:
        edits = []
    return Step("constrain", place, why, "", tuple(edits))


def _why(want: Want, constraint: Constraint) -> str:
    kinds = set(constraint.directions) if isinstance(constraint, Sign) else {1 - 2 * (constraint == NonPositive())}
    if want.site == "scale":
        return "a scale or a slope: a negative one turns its channel round"
    if want.site == "bag":
        return "rows of names that are added: each must add to what follows, or nothing"
    if want.site == "divisor":
        return "a divisor: a negative one turns the quotient round, and 0 has none"
    if want.way < 0:
        return "what it gives is subtracted later, so it has to fall"
    if want.first and kinds == {1}:
        return "it meets inputs that rise: a negative weight would turn them round"
    if want.first:
        free = "; a column of a free input stays free" if 0 in kinds else ""
        return f"it meets the inputs: each column takes the sign of its input's direction{free}"
    if 0 in kinds:
        return "what comes in rises in some columns only: those must not turn it round, the others stay free"
    if kinds == {-1}:
        return "what comes in falls: a weight of at most 0 makes the score rise"
    return "what comes in rises already: a negative weight would turn it round"


def _replacement(model: nn.Module, reading: Reading, trouble: Trouble, *, above: bool) -> Step:
    node, place = trouble.node, _place(trouble.path, trouble.node)
    if trouble.unfit:
        why, do, can_go = next(row for kind, row in UNFIT.items() if isinstance(trouble.module, kind))
        edits = tuple(Swap(p, "torch.nn.Identity()", nn.Identity) for p in _paths(model, trouble.module)) * can_go
        return Step("replace", _kind(trouble, place), why, do, edits)
    if trouble.kind == "ids":
        return Step("inputs", place, "ids of names or bytes have no order, so no direction is about them", PRESENCE)
    if trouble.kind == "conflict":
        return Step("replace", place, f"{trouble.reason}: {CONFLICT}", CONFLICT_DO)
    if trouble.kind == "falls":
        return Step(
            "head", place, "the score falls where its inputs rise", "return its negative, or turn the directions round"
        )
    for kind, why in ACTIVATIONS.items():
        if isinstance(trouble.module, kind):
            text = f"isotone.nn.Saturating(above={above})"
            make = functools.partial(Saturating, above=above)
            edits = tuple(Swap(p, text, make) for p in _paths(model, trouble.module))
            return Step("replace", _kind(trouble, place), why, "", edits)
    if packet(node) in SHARES:
        return _share(model, reading, trouble, place)
    if packet(node) in SUMS and trouble.moving > 1:
        return Step("replace", _operation(node, place), *BOTH_MOVE)
    if packet(node) in SUMS:
        return Step("replace", _operation(node, place), *FIXED_WEIGHTS)
    why, do = OPS.get(packet(node), NOT_KNOWN)
    if trouble.reason and packet(node) not in OPS:
        why = f"nothing is known of it: {trouble.reason}"
    return Step("replace", _operation(node, place), why, do)


def _share(model: nn.Module, reading: Reading, trouble: Trouble, place: str) -> Step:
    """A softmax: at the head, or inside."""
    node = trouble.node
    where = _operation(node, place)
    if any(packet(n) in SUMS for n in descendants([node])):
        why = "a share falls when another one rises"
        return Step("replace", where, why, "weigh by sigmoid or softplus, each by itself, or take the maximum")
    kinds: Tensor = node.meta["val"]
    dim = node.args[1] if isinstance(node.args[1], int) else -1
    classes = kinds.shape[dim]
    two = classes == 2
    why = BENIGN.format("two logits") if two else "a softmax over classes: one probability falls when another rises"
    edits: list[Edit] = []
    module = trouble.module
    if isinstance(module, nn.Softmax | nn.LogSoftmax | nn.Softmax2d):
        edits = [Swap(p, "torch.nn.Identity()", nn.Identity) for p in _paths(model, module)]
        if two:
            edits = [*edits, *last] if (last := _one_logit(model, reading, node)) else []
    return Step("head", where, why, ONE_LOGIT if two else PER_LABEL, tuple(edits))


def _one_logit(model: nn.Module, reading: Reading, node: Node) -> list[Edit]:
    """The lines that make one logit of the linear layer right before a softmax."""
    before = node.args[0]
    if not isinstance(before, Node) or packet(before) != "aten.linear" or len(before.users) != 1:
        return []
    named = dict(model.named_modules(remove_duplicate=False))
    stack = [path for path, _ in (before.meta.get("nn_module_stack") or {}).values()]
    layer = named.get(stack[-1]) if stack else None
    if type(layer) is not nn.Linear or not stack[-1]:
        return []
    options: dict[str, tuple[str, Any]] = {}
    if "bias" not in dict(layer.named_parameters(recurse=False)):
        options["bias"] = ("False", False)
    if layer.weight.dtype is not torch.float32:
        options["dtype"] = (str(layer.weight.dtype), layer.weight.dtype)
    if layer.weight.device.type != "cpu":
        options["device"] = (f'"{layer.weight.device}"', layer.weight.device)
    text = ", ".join([str(layer.in_features), "1", *(f"{name}={said}" for name, (said, _) in options.items())])
    make = functools.partial(nn.Linear, layer.in_features, 1, **{name: value for name, (_, value) in options.items()})
    return [Swap(p, f"torch.nn.Linear({text})", make) for p in _paths(model, layer)]


def notes(model: nn.Module, reading: Reading, kept: list[str]) -> list[str]:
    """What else is worth knowing."""
    found = []
    capture = reading.capture
    acts = {packet(n) for n in reading.moving if any(packet(d) in SUMS for d in descendants([n]))}
    layers = [w for w in reading.wants.values() if w.site == "sum"]
    turned = any(w.way < 0 for w in layers) or any(packet(n) in ("aten.sub", "aten.rsub") for n in reading.moving)
    if (
        len(layers) > 1
        and not turned
        and acts & CONVEX
        and not acts & CURVED
        and not any(t.unfit for t in reading.troubles)
    ):
        names = " and ".join(sorted(a.removeprefix("aten.") for a in acts & CONVEX))
        found.append(
            f"With weights of one sign and {names} alone the score is a convex function of the inputs only. Alternate "
            "isotone.nn.Saturating(above=True) and Saturating(above=False) to reach every monotone one."
        )
    for output in capture.outputs:
        shape = output.meta["val"].shape
        if packet(output) == "aten.sigmoid" and output in reading.moving:
            found.append(
                "The sigmoid at the end is monotone. Returning the logit and training with BCEWithLogitsLoss is "
                "steadier than sigmoid and BCELoss."
            )
        soft = any(packet(t.node) in SHARES for t in reading.troubles)
        if len(shape) > 1 and isinstance(shape[-1], int) and shape[-1] > 1 and output in reading.moving and not soft:
            found.append(
                f"Each of the {shape[-1]} outputs is made to rise by itself: right for labels with a sigmoid each "
                "(BCEWithLogitsLoss). As classes under CrossEntropyLoss they are compared by a softmax, and that "
                "falls: the benign logit rises too. For two classes make the last layer nn.Linear(..., 1)."
            )
    if not reading.moving:
        found.append("No input that moves reaches the score: the claim is empty.")
    held = {name.rpartition(".")[0] for name in reading.wants}
    if free := [path for path in reading.free if path not in held]:
        found.append(f"These see free inputs only and need nothing: {', '.join(free)}.")
    if kept:
        found.append(f"Held as they should be already: {', '.join(kept)}.")
    return list(dict.fromkeys(found))


def _paths(model: nn.Module, module: nn.Module) -> list[str]:
    """All the places of a module; one that is shared has several."""
    return [path for path, m in model.named_modules(remove_duplicate=False) if m is module and path]


def _operation(node: Node, place: str) -> str:
    name = packet(node).removeprefix("aten.")
    return f"{name}, {place}" if place else name


def _kind(trouble: Trouble, place: str) -> str:
    return f"{type(trouble.module).__name__}, {place}" if place else type(trouble.module).__name__


def _place(path: str, node: Node) -> str:
    line = source(node)
    return f"{path} ({line})" if path and line else path or line
