"""One walk over the graph: each node's fact from the facts of its operands, by the rule of its operator.

- this loop names no operator;
- whatever goes wrong, inside a rule or around it, costs knowledge and never truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from ._capture import Capture, is_assertion, is_fixed, name_of, run_node
from ._facts import INF, Fact, Finer, NotReal, Refused, Unknown, anything
from .relations import Look, related
from .rules import DISCRETE, MOVERS, RULES, Site

CAST = "aten._to_copy.default"


@dataclass(frozen=True)
class Walked:
    """The fact of every node, and what they rest on."""

    facts: dict[Node, Any]
    assumptions: tuple[str, ...]
    # The relations that added something, by name and node.
    used: tuple[tuple[str, Node], ...] = ()


def walk(capture: Capture, inputs: list[Fact], *, rough: bool = False) -> Walked:
    """Facts of all nodes from facts of the inputs.

    Args:
        capture: the graph.
        inputs: what is known of its inputs.
        rough: weights are read once, for their signs, and bounds behind them are left open: milliseconds for millions
            of weights, and enough for networks that are monotone by the signs of their weights.

    Raises:
        Finer: in a rough walk only: signs do not settle it.
    """
    inputs = [_roughened(x, rough) for x in inputs]
    facts: dict[Node, Any] = {**capture.constants, **dict(zip(capture.inputs, inputs, strict=True))}
    assumptions: dict[str, None] = {}
    used: list[tuple[str, Node]] = []
    for node in capture.nodes:
        try:
            with torch.no_grad():
                facts[node] = _roughened(_value(node, facts, Site(node, assumptions)), rough)
        except Finer:
            raise
        except Exception as fault:
            facts[node] = Unknown(node, _sentence(node, fault))
        found = facts[node]
        if isinstance(found, Unknown) or (isinstance(found, Fact) and bool((found.up & found.dn).any())):
            with torch.no_grad():
                better, names = related(Look(node, None, facts, Site(node, assumptions), _value), found)
            facts[node] = _roughened(better, rough)
            used += [(name, node) for name in names]
    return Walked(facts, tuple(assumptions), tuple(used))


def _roughened(value: Any, rough: bool) -> Any:
    if not rough:
        return value
    if isinstance(value, tuple):
        return tuple(_roughened(v, rough) for v in value)
    return replace(value, rough=True) if isinstance(value, Fact) else value


def _value(node: Node, facts: dict[Node, Any], site: Site) -> Any:
    args: Any = map_arg(node.args, facts.__getitem__)
    kwargs: Any = map_arg(node.kwargs, facts.__getitem__)
    if is_assertion(node):
        return None
    if name_of(node.target) == "getitem" and isinstance(args[0], tuple | list):
        return args[0][args[1]]
    operands = list(_leaves((args, kwargs)))
    if lost := next((a for a in operands if isinstance(a, Unknown)), None):
        return lost
    moving = [a for a in operands if isinstance(a, Fact)]
    if not is_fixed(node) and not (moving and name_of(node.target) in RULES):
        return Unknown(node, f"{name_of(node.target)}: its operands do not fix its result, or it is not PyTorch's own")
    if not moving:
        if name_of(node.target) not in MOVERS and any(
            isinstance(a, Tensor) and a.is_floating_point() for a in operands
        ):
            site.assume("what the model computes from its parameters alone is taken as its own dtype rounds it")
        return run_node(node, facts.__getitem__)
    return _ruled(node, args, kwargs, moving, site)


def _ruled(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], moving: list[Fact], site: Site) -> Any:
    name = name_of(node.target)
    still = not any(a.moves for a in moving)
    rule = RULES.get(name)
    if rule is None:
        if still:
            return _free(node, site)
        return Unknown(node, f"isotone has no rule for {name}")
    try:
        args, kwargs = _in_order(node, _on_cpu(args), _on_cpu(kwargs))
        _numbers_fit(node, args, kwargs, moving)
        _meets_exactly(node, args)
        result = rule(site, *args, **kwargs)
        many = isinstance(result, tuple)
        results: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
        kinds = node.meta["val"] if many else (node.meta["val"],)
        checked = tuple(_checked(name, r, kind, moving) for r, kind in zip(results, kinds, strict=True))
        if still and is_fixed(node) and any(isinstance(c, Unknown) for c in checked):
            return _free(node, site)
        return checked if many else checked[0]
    except Refused:
        # Nothing moves, so the result is the same in both members of a pair, whatever it is.
        if still and is_fixed(node):
            return _free(node, site)
        raise


def _checked(name: str, result: Any, kind: Any, moving: list[Fact]) -> Any:
    """The result with the dtype and shape that the trace gave it; integers must not wrap."""
    if not isinstance(result, Fact):
        return result
    dtype = kind.dtype
    if len(kind.shape) != result.lo.dim() or any(
        isinstance(k, int) and k != r for k, r in zip(kind.shape, result.shape, strict=True)
    ):
        raise TypeError(f"the rule gave the shape {tuple(result.shape)}, the trace says {tuple(kind.shape)}")
    if dtype.is_complex:
        raise Refused("its result is complex")
    if dtype is torch.bool and not bool(((result.lo >= 0) & (result.hi <= 1)).all()):
        raise Refused("it puts numbers where truth values stand")
    if name != CAST and (dtype.is_floating_point or name in MOVERS) and any(_narrows(m.dtype, dtype) for m in moving):
        raise Refused(f"it rounds to {str(dtype).removeprefix('torch.')} on the way; a cast of its own has a rule")
    if not dtype.is_floating_point and name not in DISCRETE | MOVERS:
        if dtype is torch.bool:
            raise Refused("it computes with truth values")
        if any(m.dtype.is_floating_point for m in moving):
            raise Refused("its result is rounded to whole numbers")
        if not _fits(result, dtype):
            raise Refused("whole numbers may wrap around here; a bounded domain would help")
    if name in DISCRETE and dtype is not torch.bool and not dtype.is_floating_point and not _fits(result, dtype):
        raise Refused("whole numbers may wrap around here; a bounded domain would help")
    return result if result.dtype is dtype else replace(result, dtype=dtype)


def _narrows(source: torch.dtype, to: torch.dtype) -> bool:
    """Whether values are cast to a type that does not hold them; whole numbers may become floating ones."""
    if to.is_floating_point and not source.is_floating_point:
        return False
    return torch.promote_types(source, to) != to


# How a schema names an operand that is a number: torch casts it to the dtype of the tensors beside it.
NUMBERS = ("Tensor", "number", "float", "Optional[Tensor]", "Optional[number]", "Optional[float]")


def _numbers_fit(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], moving: list[Fact]) -> None:
    """Refuse numbers that wrap, or are cut, beside whole numbers: for uint8, torch computes x < 300 as x < 44."""
    dtypes = {m.dtype for m in moving if not m.dtype.is_floating_point and m.dtype is not torch.bool}
    if not dtypes or not isinstance(node.target, torch._ops.OpOverload):
        return
    kinds = node.meta["val"]
    whole = isinstance(kinds, Tensor) and not kinds.dtype.is_floating_point and name_of(node.target) not in DISCRETE
    low, high = max(torch.iinfo(d).min for d in dtypes), min(torch.iinfo(d).max for d in dtypes)
    for i, argument in enumerate(node.target._schema.arguments):
        given = args[i] if i < len(args) else kwargs.get(argument.name)
        if str(argument.type) not in NUMBERS or isinstance(given, bool):
            continue
        if isinstance(given, float) and not given.is_integer():
            if whole:
                raise Refused("a number here is cut to a whole one")
            continue
        if isinstance(given, int | float):
            least = most = float(given)
        elif isinstance(given, Tensor | Fact) and not given.shape and not given.dtype.is_floating_point:
            least, most = (float(given.lo), float(given.hi)) if isinstance(given, Fact) else (float(given),) * 2
        else:
            continue
        if not (low <= least and most <= high):
            raise Refused("a number here may not fit the whole numbers it meets, so it may wrap around")


PLACES = ("index", "indices", "offsets")


def _meets_exactly(node: Node, args: tuple[Any, ...]) -> None:
    """Refuse large whole numbers beside floats: in float32, torch compares 2**24 + 1 as 2**24.

    A cast of its own has a rule, which rounds its bounds; here the rounding would happen unseen. Indices meet nothing.
    """
    if name_of(node.target) == CAST or not isinstance(node.target, torch._ops.OpOverload):
        return
    names = [argument.name for argument in node.target._schema.arguments]
    values = list(_leaves([a for name, a in zip(names, args, strict=False) if name not in PLACES]))
    whole = [a for a in values if isinstance(a, Fact) and not a.dtype.is_floating_point and a.dtype is not torch.bool]
    if not whole:
        return
    floats = [a.dtype for a in values if isinstance(a, Tensor | Fact) and a.dtype.is_floating_point]
    kind = node.meta["val"]
    if isinstance(kind, Tensor) and kind.dtype.is_floating_point:
        floats.append(kind.dtype)
    if any(isinstance(a, float) for a in values):
        floats.append(torch.get_default_dtype())
    exact = min((2.0 / torch.finfo(d).eps for d in floats), default=INF)
    if any(not bool(((w.lo >= -exact) & (w.hi <= exact)).all()) for w in whole):
        raise Refused("whole numbers here may be too large for the floats they meet; a bounded domain would help")


def _fits(x: Fact, dtype: torch.dtype) -> bool:
    info = torch.iinfo(dtype)
    # float(2**63 - 1) is 2**63, so the upper end is strict unless it is itself a float64.
    top = x.hi <= info.max if float(info.max) == info.max else x.hi < float(info.max)
    return bool(((x.lo >= info.min) & top).all())


def _free(node: Node, site: Site) -> Any:
    """What an operator makes of operands that do not move: one finite value, the same in both members of a pair."""
    site.assume("what is computed from free inputs alone is finite")
    kinds = node.meta["val"]
    many = isinstance(kinds, tuple | list)
    made = []
    for kind in kinds if many else (kinds,):
        if not isinstance(kind, Tensor) or kind.dtype.is_complex:
            return Unknown(node, f"{name_of(node.target)} gives something that is no tensor of real numbers")
        made.append(anything(tuple(_whole(k) for k in kind.shape), kind.dtype))
    return tuple(made) if many else made[0]


def _whole(size: Any) -> int:
    """A traced size as a number; one that depends on data has none, and raises."""
    return size if isinstance(size, int) else int(size.node.hint)


def _in_order(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments as the schema orders them: only keyword-only ones stay keywords."""
    args, kwargs = tuple(args), dict(kwargs)
    if isinstance(node.target, torch._ops.OpOverload):
        for argument in node.target._schema.arguments[len(args) :]:
            if argument.kwarg_only:
                continue
            if argument.name in kwargs:
                args += (kwargs.pop(argument.name),)
            elif argument.has_default_value() and any(name in kwargs for name in _positional(node.target)):
                args += (argument.default_value,)
    return args, kwargs


def _positional(target: Any) -> list[str]:
    return [a.name for a in target._schema.arguments if not a.kwarg_only]


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {k: _on_cpu(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return (list if isinstance(value, list) else tuple)(_on_cpu(v) for v in value)
    return value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for v in value:
            yield from _leaves(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from _leaves(v)
    elif isinstance(value, slice):
        yield from _leaves((value.start, value.stop, value.step))
    else:
        yield value


def _sentence(node: Node, fault: Exception) -> str:
    name = name_of(node.target)
    if isinstance(fault, Refused | NotReal):
        return f"{name}: {fault}"
    return f"isotone's rule for {name} does not cover this call ({type(fault).__name__})"
