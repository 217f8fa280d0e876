"""Where a search should look first: inputs at which an operator of the graph turns, switches or jumps.

The graph tells at which values of an operand something happens (a clamp's bounds, a comparison's other side, the place
where GELU turns); a few Newton steps on that operand, by autograd through the graph, find inputs that bring it there.
Nothing here is trusted: a seed is a place to look at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from ._blame import ancestors, blame
from ._capture import Capture, name_of, run_node
from ._question import Question
from ._search import Inputs
from ._search._space import ALL, Space
from ._walk import Walked

NODES, STEPS, ROWS = 12, 4, 32
Aim = tuple[Tensor, Tensor]  # an intermediate value, and the values it should be brought to
Turn = Callable[..., Aim]


def _at(*values: float) -> Turn:
    """The first operand, at fixed values."""
    return lambda x, *rest, **more: (x, torch.tensor(values, dtype=torch.float64))


def _given(x: Tensor, *numbers: Any, **more: Any) -> Aim:
    """The first operand, at the numbers beside it."""
    held = [float(n) for n in (*numbers, *more.values()) if isinstance(n, int | float) and not isinstance(n, bool)]
    return x, torch.tensor(held or [0.0], dtype=torch.float64)


def _meeting(x: Any, y: Any, *rest: Any, **more: Any) -> Aim:
    """Two operands, where they are equal."""
    return x - y, torch.zeros(1, dtype=torch.float64)


def _factors(x: Any, y: Any, *rest: Any, **more: Any) -> Aim:
    """Two factors, where the second that is a tensor of the graph is 0, or else the first."""
    return (y if isinstance(y, Tensor) and y.requires_grad else x), torch.zeros(1, dtype=torch.float64)


def _edges(x: Tensor, edges: Tensor, *rest: Any, **more: Any) -> Aim:
    """The values that are put in buckets, at their edges."""
    return x, edges.detach().double().cpu()


def _sorted(edges: Tensor, x: Tensor, *rest: Any, **more: Any) -> Aim:
    return _edges(x, edges)


# fmt: off
TURNS: dict[str, Turn] = {
    # operator                        where something happens
    "aten.relu.default":              _at(0.0),
    "aten.relu6.default":             _at(0.0, 6.0),
    "aten.leaky_relu.default":        _at(0.0),
    "aten.prelu.default":             _at(0.0),
    "aten.elu.default":               _at(0.0),
    "aten.abs.default":               _at(0.0),
    "aten.sign.default":              _at(0.0),
    "aten.gelu.default":              _at(-0.7518, -2.0),
    "aten.silu.default":              _at(-1.2785, -4.0),
    "aten.mish.default":              _at(-1.1925, -4.0),
    "aten.hardswish.default":         _at(-1.5, -3.0, 3.0),
    "aten.hardtanh.default":          _given,
    "aten.clamp.default":             _given,
    "aten.clamp_min.default":         _given,
    "aten.clamp_max.default":         _given,
    "aten.threshold.default":         _given,
    "aten.softplus.default":          lambda x, beta=1.0, threshold=20.0: (x, torch.tensor([threshold / beta])),
    "aten.pow.Tensor_Scalar":         _at(0.0),
    "aten.square.default":            _at(0.0),
    "aten.cos.default":               _at(0.0, 3.1416),
    "aten.sin.default":               _at(1.5708, -1.5708),
    "aten.floor.default":             _at(-1.0, 0.0, 1.0),
    "aten.ceil.default":              _at(-1.0, 0.0, 1.0),
    "aten.round.default":             _at(-0.5, 0.5, 1.5),
    "aten.trunc.default":             _at(-1.0, 1.0),
    "aten.gt.Scalar":                 _given,
    "aten.ge.Scalar":                 _given,
    "aten.lt.Scalar":                 _given,
    "aten.le.Scalar":                 _given,
    "aten.eq.Scalar":                 _given,
    "aten.ne.Scalar":                 _given,
    "aten.remainder.Scalar":          _given,
    "aten.gt.Tensor":                 _meeting,
    "aten.ge.Tensor":                 _meeting,
    "aten.lt.Tensor":                 _meeting,
    "aten.le.Tensor":                 _meeting,
    "aten.maximum.default":           _meeting,
    "aten.minimum.default":           _meeting,
    "aten.mul.Tensor":                _factors,
    "aten.div.Tensor":                _factors,
    "aten.bucketize.Tensor":          _edges,
    "aten.searchsorted.Tensor":       _sorted,
}
# fmt: on


def seeds(capture: Capture, walked: Walked | None, question: Question, *, seed: int = 0) -> list[Inputs]:
    """Inputs near the kinks of the graph, those of the blamed operator first, for `Search.look(calls, seeds=...)`.

    Args:
        capture: the graph.
        walked: the facts of its nodes, which say where the proof stopped; None if there are none.
        question: what is asked.
        seed: of the random points from which the steps start.

    Returns:
        Inputs of the shape of the example, inside the domain. Empty where nothing can be differentiated.

    Cost: about 4 forward and backward passes of the graph for each of at most 12 operators.
    """
    space = Space(question, ALL, torch.Generator().manual_seed(seed))
    if not len(space.movers):
        return []
    found: list[Inputs] = []
    for turn, node in enumerate(_order(capture, walked, question)[:NODES]):
        try:
            found += _near(capture, node, space, turn)
        except Exception:
            continue
    return found


def _order(capture: Capture, walked: Walked | None, question: Question) -> list[Node]:
    """The operators that turn: those that the blamed node is made of, the nearest first, and then all others."""
    turning = [n for n in capture.nodes if name_of(n.target) in TURNS]
    stop = None
    if walked is not None:
        try:
            stop = blame(capture, walked, question)
        except Exception:
            stop = None
    if stop is None or stop.node is None:
        return turning
    leading = ancestors([stop.node])
    first = [n for n in reversed(turning) if n in leading]
    return first + [n for n in turning if n not in first]


def _near(capture: Capture, node: Node, space: Space, turn: int) -> list[Inputs]:
    """Random inputs, moved until an element of that operator's operand is where it turns."""
    rows = space.question.inputs[0].shape[0] if space.question.inputs[0].dim() else 1
    copies = max(1, ROWS // rows) if capture.batch == "symbolic" else 1
    points = space.starts(copies, turn)
    for _ in range(STEPS):
        inputs = _stacked(space, points)
        leaves = [x.requires_grad_(x.dtype.is_floating_point) for x in inputs]
        tracked = [x for x in leaves if x.requires_grad]
        value, aims = _operand(capture, node, tuple(leaves))
        each = value.reshape(len(value), -1) if value.dim() and copies > 1 else value.reshape(1, -1)
        at = torch.arange(len(each))
        # One element per row, another one in each row and at each node; one aim per row.
        chosen = each[at, (at * 7 + turn) % each.shape[1]]
        aim = aims.to(chosen)[at % len(aims)]
        grads = torch.autograd.grad(chosen.sum(), tracked, allow_unused=True)
        step = iter(grads)
        slope = [next(step) if x.requires_grad else None for x in leaves]
        gap = (aim - chosen).detach().double().cpu()
        points = space.snapped(points + _newton(space, slope, leaves, gap, copies))
    return [space.filled(p) for p in points]


def _stacked(space: Space, points: Tensor) -> list[Tensor]:
    """Several whole inputs as rows of one."""
    return [x.flatten(0, 1) if x.dim() > 1 else x[0] for x in space.inputs(points)]


def _operand(capture: Capture, node: Node, inputs: Inputs) -> Aim:
    """What the node looks at, with gradients back to the inputs."""
    values: dict[Node, Any] = {**capture.constants, **dict(zip(capture.inputs, inputs, strict=True))}
    with torch.enable_grad():
        for each in capture.nodes:
            if each is node:
                break
            values[each] = run_node(each, values.__getitem__)
        args, kwargs = map_arg(node.args, values.__getitem__), map_arg(node.kwargs, values.__getitem__)
        return TURNS[name_of(node.target)](*args, **kwargs)


def _newton(space: Space, slope: list[Tensor | None], leaves: list[Tensor], gap: Tensor, copies: int) -> Tensor:
    """The shortest step that closes the gap to first order; per row where rows are stacked, else for all at once."""
    made = [torch.zeros(x.shape) if g is None else g for g, x in zip(slope, leaves, strict=True)]
    flat = torch.cat([g.detach().double().cpu().reshape(copies, -1) for g in made], 1)  # (copies, size)
    if copies == 1 or len(gap) == 1:
        return flat * float(gap.sum()) / flat.square().sum().clamp(min=1e-12)
    per = len(gap) // copies
    if per * copies != len(gap):
        return torch.zeros_like(flat)
    rows = [g.detach().double().cpu().reshape(len(gap), -1) for g in made]
    norm = sum(r.square().sum(1) for r in rows)
    closed = [r * (gap / norm.clamp(min=1e-12)).unsqueeze(1) for r in rows]  # type: ignore[union-attr]
    return torch.cat([c.reshape(copies, -1) for c in closed], 1)
