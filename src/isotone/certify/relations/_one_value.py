"""Two things made of one value: what the bits of each take for two motions is one.

The secant slope of f along u is (f(u') - f(u)) / (u' - u). Slopes of sums add, of compositions multiply, for any two
points, without derivatives; so f may fall with u only if its slope may be negative.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from .. import _rounding as rounding
from .._facts import INF, Fact, fact
from ..rules import RULES
from ._look import Look, argument, bare, op, operands

Slope = tuple[Tensor, Tensor]
DEPTH, TRIES = 8, 6

# fmt: off
# Least and largest secant slope over all reals, rounded outwards.
SLOPES: dict[str, tuple[float, float]] = {
    "relu": (0.0, 1.0),            "relu6": (0.0, 1.0),            "tanh": (0.0, 1.0),
    "sigmoid": (0.0, 0.25),        "hardsigmoid": (0.0, 0.16667),  "log_sigmoid": (0.0, 1.0),
    "erf": (0.0, 1.12838),         "atan": (0.0, 1.0),             "asinh": (0.0, 1.0),
    "selu": (0.0, 1.758100),       "abs": (-1.0, 1.0),             "sin": (-1.0, 1.0),
    "cos": (-1.0, 1.0),            "clamp": (0.0, 1.0),            "clamp_min": (0.0, 1.0),
    "clamp_max": (0.0, 1.0),       "hardtanh": (0.0, 1.0),         "softplus": (0.0, 1.0),
    "softshrink": (0.0, 1.0),      "silu": (-0.09985, 1.09985),    "gelu": (-0.13, 1.13),
    "mish": (-0.1131, 1.0885),     "hardswish": (-0.5, 1.5),       "celu": (0.0, 1.0),
}
# fmt: on


def slope(look: Look, value: Any, base: Node, depth: int = 0) -> Slope | None:
    """Secant slopes of a value along `base`, element by element; None if it is not made of it elementwise."""
    node = bare(value)
    here, at = look.fact(node), look.fact(base)
    if here is None or at is None:
        return None
    if node is base:
        return torch.ones_like(at.lo), torch.ones_like(at.lo)
    if not here.moves:
        return torch.zeros_like(at.lo), torch.zeros_like(at.lo)
    if not isinstance(node, Node) or here.shape != at.shape or not here.dtype.is_floating_point or depth > DEPTH:
        return None
    name = op(node)
    if name in ("add", "sub", "rsub") and (pair := operands(node)):
        return _joined(look, pair, base, depth, 1.0 if name == "add" else -1.0)
    if name == "neg" and (inner := slope(look, node.args[0], base, depth + 1)):
        return -inner[1], -inner[0]
    if name in ("mul", "div", "maximum", "minimum"):
        return _beside(look, node, name, base, depth)
    row = _row(look, node, name)
    inner = slope(look, node.args[0], base, depth + 1) if row else None
    if row is None or inner is None:
        return None
    return _hull(inner, (torch.tensor(row[0], dtype=torch.float64), torch.tensor(row[1], dtype=torch.float64)))


def _joined(look: Look, pair: tuple[Any, Any], base: Node, depth: int, sign: float) -> Slope | None:
    a, b = (slope(look, v, base, depth + 1) for v in pair)
    if a is None or b is None:
        return None
    b = b if sign > 0 else (-b[1], -b[0])
    # Beyond the floats the bounds are open: inf - inf is NaN, which would compare as neither sign.
    whole = _bounds((rounding.add(a[0], b[0], -INF), rounding.add(a[1], b[1], INF)))
    return whole.lo, whole.hi


def _beside(look: Look, node: Node, name: str, base: Node, depth: int) -> Slope | None:
    """A product, quotient or choice beside an operand that stays: the other's slope times it, 1 / it, or [0, 1]."""
    pair = operands(node)
    if pair is None or node.kwargs:
        return None
    for moving, other in (pair, pair[::-1]):
        still = look.fact(other)
        if still is None or still.moves or (name == "div" and moving is not pair[0]):
            continue
        inner = slope(look, moving, base, depth + 1)
        if inner is None:
            return None
        if name == "mul":
            return _hull(inner, (still.lo, still.hi))
        if name == "div":
            if not bool(((still.lo > 0) | (still.hi < 0)).all()):
                return None
            still_ = fact(still.lo, still.hi, still.up, still.dn)
            lo, hi = rounding.hull(rounding.divide, _bounds(inner), still_)
            return lo, hi
        return _hull(inner, (torch.tensor(0.0).double(), torch.tensor(1.0).double()))
    return None


def _bounds(s: Slope) -> Fact:
    still = torch.zeros_like(s[0], dtype=torch.bool)
    return fact(s[0], s[1], still, still)


def _hull(a: Slope, b: Slope) -> Slope:
    return rounding.hull(rounding.multiply, _bounds(a), _bounds(b))


def _row(look: Look, node: Node, name: str) -> tuple[float, float] | None:
    """The slopes of a function of one number, by its row or by its argument."""
    if any(isinstance(a, Node) for a in [*node.args[1:], *node.kwargs.values()]):
        return None
    if name == "leaky_relu":
        s = float(argument(node, 1, "negative_slope", 0.01))
        return (min(s, 1.0), max(s, 1.0)) if math.isfinite(s) else None
    if name == "elu":
        alpha, scale, inner = (argument(node, i + 1, n, 1) for i, n in enumerate(("alpha", "scale", "input_scale")))
        return (0.0, max(1.0, float(alpha))) if alpha > 0 and scale == 1 and inner == 1 else None
    if name == "softplus" and not rises(look, node):
        return None
    return SLOPES.get(name)


def rises(look: Look, node: Node) -> bool:
    """Whether the rule takes the node for an increasing function: a softplus may jump at its threshold."""
    x = look.fact(node.args[0])
    if x is None:
        return False
    up = fact(x.lo, x.hi, torch.ones_like(x.up), torch.zeros_like(x.dn))
    found = RULES[str(node.target)](look.site, Fact(up.lo, up.hi, up.up, up.dn, x.dtype), *node.args[1:], **node.kwargs)
    return isinstance(found, Fact) and not bool(found.dn.any())


def _roots(look: Look, value: Any) -> list[Node]:
    """What a value may be a function of, nearest first."""
    found: dict[Node, None] = {}
    open_ = [bare(value)]
    for _ in range(4 * DEPTH):
        if not open_:
            break
        node = open_.pop(0)
        here = look.fact(node)
        if isinstance(node, Node) and node not in found and here is not None and here.moves:
            found[node] = None
            open_ += [bare(a) for a in node.all_input_nodes]
    return list(found)


def one_value(look: Look) -> Fact | None:
    """x - f(x), x + g(x) and the like: the slope of the whole along x."""
    pair = operands(look.node)
    if pair is None or look.plain is None:
        return None
    left = _roots(look, pair[0])
    shared = [n for n in _roots(look, pair[1]) if n in left][:TRIES]
    best: Fact | None = None
    for base in shared:
        found, at = slope(look, look.node, base), look.fact(base)
        if found is None or at is None:
            continue
        least, most = found
        up, dn = (at.up & (most > 0)) | (at.dn & (least < 0)), (at.dn & (most > 0)) | (at.up & (least < 0))
        best = open_fact(look.plain, up, dn) if best is None else open_fact(look.plain, best.up & up, best.dn & dn)
    return best


def open_fact(like: Fact, up: Tensor, dn: Tensor) -> Fact:
    """Bits without bounds."""
    return fact(torch.full_like(like.lo, -INF), torch.full_like(like.lo, INF), up, dn)


CONVEX = {"softplus", "exp", "exp2", "expm1", "relu", "abs", "square", "clamp_min", "celu", "cosh"}
CONCAVE = {"log", "log2", "log10", "log1p", "sqrt", "log_sigmoid", "clamp_max"}


def _shifted(look: Look, value: Any) -> tuple[Any, Tensor, Tensor]:
    """value = base + an offset that stays; the offset's bounds."""
    node, zero = bare(value), torch.zeros((), dtype=torch.float64)
    lo, hi = zero, zero
    for _ in range(DEPTH):
        if op(node) not in ("add", "sub") or (pair := operands(node)) is None:
            break
        a, b = (look.fact(v) for v in pair)
        if a is None or b is None:
            break
        if not b.moves:
            rest, c = pair[0], (b.lo, b.hi) if op(node) == "add" else (-b.hi, -b.lo)
        elif not a.moves and op(node) == "add":
            rest, c = pair[1], (a.lo, a.hi)
        else:
            break
        lo, hi, node = rounding.add(lo, c[0], -INF), rounding.add(hi, c[1], INF), bare(rest)
    return node, lo, hi


def convex_difference(look: Look) -> Fact | None:
    """f(w + a) - f(w + b), f convex, a >= b fixed: the slope over a stretch of fixed length rises as it moves right."""
    pair = operands(look.node)
    if pair is None or look.plain is None or not all(isinstance(v, Node) for v in pair):
        return None
    p, q = pair
    if op(p) != op(q) or p.target is not q.target or p.args[1:] != q.args[1:] or p.kwargs != q.kwargs:
        return None
    convex = op(p) in CONVEX
    if (not convex and op(p) not in CONCAVE) or any(isinstance(a, Node) for a in [*p.args[1:], *p.kwargs.values()]):
        return None
    if op(p) == "softplus" and not (rises(look, p) and rises(look, q)):
        return None
    (base, a_lo, a_hi), (other, b_lo, b_hi) = _shifted(look, p.args[0]), _shifted(look, q.args[0])
    at = look.fact(base)
    if base is not other or at is None or at.shape != look.plain.shape:
        return None
    ahead, behind = rounding.add(a_lo, -b_hi, -INF) >= 0, rounding.add(a_hi, -b_lo, INF) <= 0
    with_it, against = (ahead, behind) if convex else (behind, ahead)
    both = at.up | at.dn
    up = torch.where(with_it, at.up, torch.where(against, at.dn, both))
    dn = torch.where(with_it, at.dn, torch.where(against, at.up, both))
    return open_fact(look.plain, up, dn)


def share(look: Look) -> Fact | None:
    """a / (a + b), and a / (c + |a|)."""
    pair = operands(look.node)
    if pair is None or look.plain is None or look.node.kwargs or op(pair[1]) != "add":
        return None
    terms, whole, a = operands(pair[1]), look.fact(pair[1]), look.fact(pair[0])
    if terms is None or whole is None or a is None or not bool((whole.lo > 0).all() | (whole.hi < 0).all()):
        return None
    for first, second in (terms, terms[::-1]):
        b = look.fact(second)
        if b is None:
            continue
        if first is pair[0] and second is not pair[0]:
            # a'/(a'+b') - a/(a+b) = [b (a' - a) - a (b' - b)] / [(a+b)(a'+b')], and the divisor is positive.
            up = (a.up & (b.hi > 0)) | (a.dn & (b.lo < 0)) | (b.dn & (a.hi > 0)) | (b.up & (a.lo < 0))
            dn = (a.dn & (b.hi > 0)) | (a.up & (b.lo < 0)) | (b.up & (a.hi > 0)) | (b.dn & (a.lo < 0))
            return open_fact(look.plain, *torch.broadcast_tensors(up, dn))  # type: ignore[no-untyped-call]
        fixed = not b.moves and bool((b.lo >= 0).all() & (whole.lo > 0).all())
        # On each side of 0 the case above with b = c >= 0; across 0 the sign rises. c + |a| > 0 here.
        if fixed and op(first) == "abs" and bare(first.args[0]) is pair[0] and a.shape == look.plain.shape:
            return open_fact(look.plain, a.up, a.dn)
    return None
