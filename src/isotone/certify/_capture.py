"""From a module to a graph of aten operators that computes the same function.

- exported, functionalised, and decomposed only where an operator has no rule: PyTorch's default table would break
  softplus or logsumexp into parts that are monotone only together;
- the graph that is judged is the graph that is run against the module (`Capture.run`);
- what cannot be captured faithfully is `NotCaptured`, with the reason.
"""

from __future__ import annotations

import hashlib
import linecache
import logging
import operator
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, default_decompositions, export
from torch.fx import Node
from torch.fx.node import map_arg

from .rules import RULES

ROUNDS = 4


class NotCaptured(Exception):
    """The module has no faithful graph."""


@dataclass(frozen=True)
class Place:
    """A node of the graph, and the line of the model that made it: its file and number, and its text."""

    node: int
    nodes: int
    op: str
    module: str
    line: str
    source: str = ""

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.module, self.line) if part)
        return f"node {self.node} of {self.nodes}, {self.op}" + (f" ({where})" if where else "")


@dataclass(frozen=True)
class Capture:
    """A graph and the constants it reads.

    Args:
        nodes: the operators, in an order in which they can be run.
        inputs: the placeholders of the user's inputs, in their order.
        constants: placeholder -> parameter, buffer or constant.
        names: placeholder -> the name under which the model holds it.
        outputs: the nodes whose values are the scores.
        batch: "symbolic" if the number of rows stayed a symbol in the trace, else "fixed".
    """

    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    constants: dict[Node, Any]
    outputs: tuple[Node, ...]
    batch: str
    names: dict[Node, str] = field(default_factory=dict)

    def run(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """The scores, computed by the graph."""
        values: dict[Node, Any] = {**self.constants, **dict(zip(self.inputs, inputs, strict=True))}
        with torch.no_grad():
            for node in self.nodes:
                values[node] = run_node(node, lambda n: values[n])
        return [values[o] for o in self.outputs if isinstance(values[o], Tensor)]

    def place(self, node: Node) -> Place:
        """Where in the model this node comes from."""
        stack = node.meta.get("nn_module_stack") or {}
        module = next((str(path) for path, _ in reversed(list(stack.values()))), "")
        lines = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
        # The user's own line says more than a line of torch.nn; the module's path says the rest.
        lines = [found for found in lines if "torch" not in PurePath(found[0]).parts] or lines
        line = f"{PurePath(lines[-1][0]).name}:{lines[-1][1]}" if lines else ""
        source = linecache.getline(lines[-1][0], int(lines[-1][1])).strip() if lines else ""
        module = re.sub(r"^L\['self'\]\.?|^self(\.|$)", "", module)
        position = self.nodes.index(node) + 1 if node in self.nodes else 0
        return Place(position, len(self.nodes), name_of(node.target), module, line, source)

    def digest(self) -> str:
        """sha256 of the graph: operators, how they are joined, their arguments; not the values of parameters."""
        order = {node: f"%{i}" for i, node in enumerate([*self.constants, *self.inputs, *self.nodes])}

        def word(value: Any) -> str:
            return str(map_arg(value, lambda n: order.get(n, "?")))

        lines = [f"{name_of(n.target)} {word(n.args)} {word(n.kwargs)}" for n in self.nodes]
        lines += [f"{self.names.get(n, '')} {tuple(t.shape)}" for n, t in self.constants.items()]
        return hashlib.sha256("\n".join([*lines, word(self.outputs)]).encode()).hexdigest()


def name_of(target: Any) -> str:
    """'aten.add.Tensor', or the name of a Python function."""
    return str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", str(target))


def packet(node: Node) -> str:
    """'aten.add' of aten.add.Tensor."""
    name = name_of(node.target)
    return name.rpartition(".")[0] if "." in name else name


def run_node(node: Node, value: Callable[[Node], Any]) -> Any:
    """Execute one node on concrete values."""
    args, kwargs = map_arg(node.args, value), map_arg(node.kwargs, value)
    if is_assertion(node):
        return None
    return node.target(*args, **kwargs)  # type: ignore[operator]


def is_assertion(node: Node) -> bool:
    """A node without a value, there to complain only."""
    return name_of(node.target).startswith(("aten._assert_tensor_metadata.", "aten._assert_scalar."))


def is_fixed(node: Node) -> bool:
    """Whether the node gives the same value for the same operands, always: what may be computed ahead."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return (
            target.namespace in ("aten", "prims")
            and not target._schema.is_mutable
            and torch.Tag.nondeterministic_seeded not in target.tags
            and "empty" not in target._schema.name
        )
    return getattr(operator, getattr(target, "__name__", ""), None) is target


def capture(model: nn.Module, inputs: tuple[Tensor, ...]) -> Capture:
    """The graph of `model` in the mode in which it is.

    Raises:
        NotCaptured: export failed, or the module changes its inputs, its parameters or its buffers as it runs.

    Cost: torch.export dominates: about 2 s for the first call in a process, then tens of milliseconds.
    """
    with quiet():
        program = _exported(model, inputs)
        for _ in range(ROUNDS):
            table = _decompositions(program)
            if not table:
                break
            program = program.run_decompositions(table)
    return _read(program, len(inputs))


def _exported(model: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    shapes = tuple({0: Dim.AUTO} if x.dim() else None for x in inputs)
    try:
        program = export(model, _copies(inputs), dynamic_shapes=_by_argument(model, shapes), strict=False)
    except Exception:
        # A model may insist on its number of rows; then the claim is about that number.
        try:
            program = export(model, _copies(inputs), strict=False)
        except Exception as fault:
            said = next((line for line in str(fault).splitlines() if line.strip()), type(fault).__name__)
            raise NotCaptured(f"torch.export could not trace it: {said.strip().rstrip('.')[:160]}") from None
    try:
        functional: ExportedProgram = program.run_decompositions({})
        return functional
    except Exception as fault:
        raise NotCaptured(f"torch.export could not make it functional ({type(fault).__name__})") from None


def _copies(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.detach().clone() for x in inputs)


def _by_argument(model: nn.Module, shapes: tuple[Any, ...]) -> Any:
    import inspect  # noqa: PLC0415

    # forward(*xs) takes all of them as one argument.
    kinds = [p.kind for p in inspect.signature(model.forward).parameters.values()]
    fixed = sum(k in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for k in kinds)
    if inspect.Parameter.VAR_POSITIONAL in kinds and len(shapes) > fixed:
        return (*shapes[:fixed], tuple(shapes[fixed:]))
    return shapes


@cache
def _known() -> dict[Any, Callable[..., Any]]:
    return dict(default_decompositions().items())  # type: ignore[no-untyped-call]


def _decompositions(program: ExportedProgram) -> dict[Any, Callable[..., Any]]:
    """How to take apart the operators without a rule, where PyTorch knows how."""
    known = _known()
    table: dict[Any, Callable[..., Any]] = {}
    for target in {n.target for n in program.graph.nodes if n.op == "call_function"}:
        if not isinstance(target, torch._ops.OpOverload) or str(target) in RULES:
            continue
        if target in known:
            table[target] = known[target]
        elif target.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
            table[target] = target.decompose
    return table


def _read(program: ExportedProgram, count: int) -> Capture:
    signature = program.graph_signature
    if signature.user_inputs_to_mutate:
        raise NotCaptured("it writes into its inputs")
    changed = sorted([*signature.buffers_to_mutate.values(), *getattr(signature, "parameters_to_mutate", {}).values()])
    if changed:
        raise NotCaptured(f"it changes its own state as it runs ({changed[0]})")
    placeholders = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    inputs, constants, names = [], {}, {}
    for spec in signature.input_specs:
        node = placeholders.pop(getattr(spec.arg, "name", ""), None)
        if spec.kind.name == "USER_INPUT" and node is not None:
            inputs.append(node)
        elif spec.kind.name in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR") and node is not None:
            held = program.state_dict if spec.target in program.state_dict else program.constants
            constants[node] = held[spec.target].detach()
            names[node] = str(spec.target)
        else:
            raise NotCaptured(f"its graph takes an input of kind {spec.kind.name}")
    if len(inputs) != count or placeholders:
        raise NotCaptured("its graph does not take the inputs that were given")
    nodes = tuple(n for n in program.graph.nodes if n.op not in ("placeholder", "output"))
    if strange := [n for n in nodes if n.op != "call_function"]:
        raise NotCaptured(f"its graph has a part that is not an operator ({strange[0].op} {strange[0].target})")
    made = {n.name: n for n in [*nodes, *inputs, *constants]}
    specs = [s for s in signature.output_specs if s.kind.name == "USER_OUTPUT"]
    outputs = tuple(made[s.arg.name] for s in specs if getattr(s.arg, "name", None) in made)
    symbolic = any(not isinstance(n.meta["val"].shape[0], int) for n in inputs if n.meta["val"].dim())
    return Capture(nodes, tuple(inputs), constants, outputs, "symbolic" if symbolic else "fixed", names)


@contextmanager
def quiet() -> Iterator[None]:
    """Export logs and warns about its own business."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
