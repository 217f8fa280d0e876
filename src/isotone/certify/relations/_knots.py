"""Piecewise-linear functions by table: bucketize, look up, interpolate.

Between two edges the index is one number j, and what is computed from x, j and the tables is c0 + c1 x with rational
c0, c1, found exactly. It rises iff every piece that x may reach has c1 >= 0 and, at every edge between two pieces, the
left one ends no higher than the right one starts: then it does not matter to which piece the edge itself belongs.
"""

# ruff: noqa: PLR0917
# mypy: disable-error-code="call-overload,arg-type,unused-ignore"

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from .._facts import INF, Fact, fact
from ._look import Look, argument, bare, op

MOST_NODES, MOST_WORK = 40, 60_000
# A value c0 + c1 x for the element of x that `owner` counts (-1: none): arrays of Fractions, and of integers.
Piece = tuple[Any, Any, Any]


# What is done exactly.
NAMES = ("add", "sub", "rsub", "mul", "div", "neg", "lerp", "clamp", "clamp_min", "clamp_max", "index", "gather",
         "squeeze", "unsqueeze")  # fmt: skip
STEPS = {**{name: f"_{name}" for name in NAMES}, "_to_copy": "_cast"}


class _Beyond(Exception):
    """Not of this form."""


def knots(look: Look) -> Fact | None:
    """An interpolation in tables by an index that counts the edges below x."""
    source = _source(look)
    if source is None:
        return None
    flat = op(source) == "bucketize"
    x, edges = (bare(source.args[i]) for i in ((0, 1) if flat else (1, 0)))
    at, table = look.fact(x), look.facts.get(edges)
    # Of another dtype, x would be rounded where it meets the tables.
    if at is None or not isinstance(x, Node) or not isinstance(table, Tensor) or at.dtype != _dtype(look):
        return None
    if source.kwargs.get("sorter") is not None or len(source.args) > 2 or not bool(torch.isfinite(table).all()):
        return None
    levels = table.detach().cpu().double()
    if not bool((levels[..., 1:] >= levels[..., :-1]).all()):
        return None
    count = levels.shape[-1]
    rows = levels.expand(*at.shape[:-1], count) if levels.dim() > 1 else levels.expand(at.lo.numel(), count)
    if levels.dim() > 1:
        rows = rows.unsqueeze(-2).expand(*at.shape, count).reshape(-1, count)
    if at.lo.numel() * (count + 1) > MOST_WORK or not count:
        return None
    try:
        return _judged(look, source, x, at, rows)
    except (_Beyond, IndexError, ZeroDivisionError, ValueError, TypeError, OverflowError):
        return None


def _dtype(look: Look) -> torch.dtype:
    return look.node.meta["val"].dtype  # type: ignore[no-any-return]


def _source(look: Look) -> Node | None:
    """The one bucketize or searchsorted that the node rests on."""
    open_, seen, found = [look.node], set(), []
    while open_:
        node = open_.pop()
        if node in seen:
            continue
        seen.add(node)
        kind = node.meta.get("val")
        if len(seen) > MOST_NODES or not isinstance(kind, Tensor):
            return None
        if kind.dtype.is_floating_point and kind.dtype != _dtype(look):
            return None  # it may be rounded on the way
        if op(node) in ("bucketize", "searchsorted"):
            found.append(node)
            continue
        value = look.facts.get(node)
        if node is look.node or (not isinstance(value, Tensor) and not (isinstance(value, Fact) and not value.moves)):
            open_ += [n for n in node.all_input_nodes if n.op != "placeholder"]
    return found[0] if len(found) == 1 else None


def _judged(look: Look, source: Node, x: Node, at: Fact, rows: Tensor) -> Fact:
    lo, hi = at.lo.reshape(-1), at.hi.reshape(-1)
    count = rows.shape[1]
    # Piece j spans [edge j - 1, edge j]; those that are empty, or out of x's reach, are skipped, element by element.
    ends = torch.cat([torch.full((len(lo), 1), -INF).double(), rows, torch.full((len(lo), 1), INF).double()], 1)
    left_edge, right_edge = ends[:, :-1], ends[:, 1:]
    after = bool(source.kwargs.get("right", False)) or source.kwargs.get("side") == "right"
    # With right=True a piece holds its left edge, otherwise its right one.
    begun = left_edge <= hi[:, None] if after else left_edge < hi[:, None]
    open_ = right_edge > lo[:, None] if after else right_edge >= lo[:, None]
    reach = (left_edge < right_edge) & begun & open_
    rising, falling = True, True
    before: dict[tuple[int, ...], Any] = {}
    values: dict[tuple[int, ...], list[Any]] = {}
    out: Piece | None = None
    for j in range(count + 1):
        here = reach[:, j]
        if not bool(here.any()):
            continue
        out = _Exact(look, source, x, at, j, here.numpy()).of(look.node)
        for position in np.ndindex(out[0].shape):
            owner = int(out[2][position])
            if owner < 0:
                raise _Beyond
            if not bool(here[owner]):
                continue
            c0, c1 = out[0][position], out[1][position]
            left, right = max(float(ends[owner, j]), float(lo[owner])), min(float(ends[owner, j + 1]), float(hi[owner]))
            rising, falling = rising and c1 >= 0, falling and c1 <= 0
            if position in before:
                gap = c0 + c1 * Fraction(float(ends[owner, j])) - before[position]
                rising, falling = rising and gap >= 0, falling and gap <= 0
            before[position] = c0 + c1 * Fraction(float(ends[owner, j + 1])) if ends[owner, j + 1] < INF else None
            for end in (left, right):
                number = float(c0 + c1 * Fraction(end)) if abs(end) < INF else float(c0) if c1 == 0 else None
                values.setdefault(position, []).append(number)
    if out is None or not (rising or falling):
        raise _Beyond
    shape = out[0].shape
    low, high = torch.full(shape, -INF).double(), torch.full(shape, INF).double()
    for place, found in values.items():
        if all(v is not None for v in found):
            least, most = min(found), max(found)
            low[place], high[place] = least - 1e-12 * (1 + abs(least)), most + 1e-12 * (1 + abs(most))
    owners = torch.from_numpy(np.ascontiguousarray(out[2]).astype(np.int64))
    ups, dns = (b.reshape(-1)[owners] for b in (at.up, at.dn))
    return fact(low, high, ups, dns) if rising else fact(low, high, dns, ups)


_DTYPES = {float: torch.float64}


def _fractions(value: Tensor | float) -> Any:
    """Exact rationals; whole numbers and truth values stay what they are."""
    # 0.1 is the number that Python holds: the default dtype would round it.
    tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=_DTYPES.get(type(value)))
    if not tensor.is_floating_point():
        return tensor.detach().cpu().numpy()
    flat = tensor.detach().cpu().double().numpy()
    made = np.empty(flat.shape, dtype=object)
    for place in np.ndindex(flat.shape):
        made[place] = Fraction(float(flat[place]))
    return made


class _Exact:
    """The node's value on one piece, exactly; the index is the number j for all elements of x."""

    def __init__(self, look: Look, source: Node, x: Node, at: Fact, j: int, here: Any) -> None:
        self.look, self.source, self.x, self.at, self.j, self.here = look, source, x, at, j, here
        self.known: dict[Any, Any] = {}

    def of(self, value: Any) -> Any:
        """Whole numbers as (array, owner); others as a Piece."""
        node = bare(value)
        if isinstance(node, Node) and node in self.known:
            return self.known[node]
        found = self._of(node)
        if isinstance(node, Node):
            self._held(node, found[0])
            self.known[node] = found
        return found

    def _held(self, node: Node, values: Any) -> None:
        """Whole numbers are exact here: refuse what wraps in their own dtype, or what the result's dtype rounds."""
        dtype = node.meta["val"].dtype
        if dtype.is_floating_point or dtype is torch.bool:
            return
        exact = int(2.0 / torch.finfo(_dtype(self.look)).eps)
        kind, found = torch.iinfo(dtype), np.asarray(values)
        if bool(np.any(found > min(exact, kind.max))) or bool(np.any(found < max(-exact, kind.min))):
            raise _Beyond

    def _of(self, node: Any) -> Any:
        owners = np.arange(self.at.lo.numel()).reshape(tuple(self.at.shape))
        if node is self.source:
            return np.full(owners.shape, self.j), None, owners
        if node is self.x:
            zero, one = (np.full(owners.shape, Fraction(n), dtype=object) for n in (0, 1))
            return zero, one, owners
        held = self.look.facts.get(node) if isinstance(node, Node) else node
        if isinstance(held, Tensor | int | float):
            made = _fractions(held)
            slopes = None if made.dtype != object else np.full(made.shape, Fraction(0), object)
            return made, slopes, np.full(made.shape, -1)
        run: Callable[[Node], Any] | None = getattr(self, STEPS.get(op(node), ""), None)
        if run is None:
            raise _Beyond
        return run(node)

    def _pair(self, node: Node) -> tuple[Piece, Piece]:
        if len(node.args) != 2 or node.kwargs:
            raise _Beyond
        return self.of(node.args[0]), self.of(node.args[1])

    @staticmethod
    def _owner(a: Any, b: Any) -> Any:
        a, b = np.broadcast_arrays(a, b)
        if bool(((a != b) & (a >= 0) & (b >= 0)).any()):
            raise _Beyond
        return np.maximum(a, b)

    def _linear(self, a: Piece, b: Piece, sign: int) -> Piece:
        if a[1] is None and b[1] is None:
            return a[0] + sign * b[0], None, self._owner(a[2], b[2])
        (a0, a1), (b0, b1) = self._real(a), self._real(b)
        return a0 + sign * b0, a1 + sign * b1, self._owner(a[2], b[2])

    @staticmethod
    def _real(a: Piece) -> tuple[Any, Any]:
        if a[1] is not None:
            return a[0], a[1]
        as_object = np.array(a[0]).astype(object)
        return as_object + Fraction(0), as_object * Fraction(0)

    def _add(self, node: Node) -> Piece:
        return self._linear(*self._pair(node), 1)

    def _sub(self, node: Node) -> Piece:
        return self._linear(*self._pair(node), -1)

    def _rsub(self, node: Node) -> Piece:
        a, b = self._pair(node)
        return self._linear(b, a, -1)

    def _mul(self, node: Node) -> Piece:
        a, b = self._pair(node)
        return self._product(a, b)

    def _product(self, a: Piece, b: Piece) -> Piece:
        owner = self._owner(a[2], b[2])
        (a0, a1), (b0, b1) = self._real(a), self._real(b)
        if bool(np.any(a1 * b1 != 0)):
            raise _Beyond
        return a0 * b0, a0 * b1 + a1 * b0, owner

    def _div(self, node: Node) -> Piece:
        a, b = self._pair(node)
        owner = self._owner(a[2], b[2])
        (a0, a1), (b0, b1) = self._real(a), self._real(b)
        if bool(np.any(b1 != 0)):
            raise _Beyond
        a0, a1, b0, owner = np.broadcast_arrays(a0, a1, b0, owner)
        unreached = (owner >= 0) & ~self.here[np.maximum(owner, 0)]
        b0 = np.where(unreached, Fraction(1), b0)
        return a0 / b0, a1 / b0, owner

    def _lerp(self, node: Node) -> Piece:
        p, q, t = (self.of(a) for a in node.args[:3])
        return self._linear(p, self._product(self._linear(q, p, -1), t), 1)

    def _clamp(self, node: Node) -> Piece:
        return self._between(node, argument(node, 1, "min"), argument(node, 2, "max"))

    def _clamp_min(self, node: Node) -> Piece:
        return self._between(node, argument(node, 1, "min"), None)

    def _clamp_max(self, node: Node) -> Piece:
        return self._between(node, None, argument(node, 1, "max"))

    def _between(self, node: Node, low: Any, high: Any) -> Piece:
        """A whole number between whole numbers; beside a bound of 0.5 torch makes it a floating one."""
        inner = self.of(node.args[0])
        bounds = [b for b in (low, high) if b is not None]
        if inner[1] is not None or not all(isinstance(b, int) for b in bounds):
            raise _Beyond
        self._held(node, bounds)
        return np.clip(inner[0], low, high), None, inner[2]

    def _index(self, node: Node) -> Piece:
        table, places = self.of(node.args[0]), node.args[1]
        if not isinstance(places, list | tuple) or any(p is None for p in places):
            raise _Beyond
        at = [self.of(p) for p in places]
        if len(at) != table[0].ndim:
            raise _Beyond
        return self._looked_up(table, at, list(range(len(at))))

    def _gather(self, node: Node) -> Piece:
        table, dim, at = self.of(node.args[0]), int(node.args[1]), self.of(node.args[2])  # type: ignore[arg-type]
        dim %= table[0].ndim
        if at[0].ndim != table[0].ndim:
            raise _Beyond
        # gather(t, dim, i) is t at i along the dimension, and at each element's own place along the others.
        own = np.indices(at[0].shape)
        none = np.full(at[0].shape, -1)
        places = [at if d == dim else (own[d], None, none) for d in range(table[0].ndim)]
        return self._looked_up(table, places, list(range(table[0].ndim)))

    def _looked_up(self, table: Piece, at: list[Piece], dims: list[int]) -> Piece:
        if table[1] is None or bool((table[2] >= 0).any()) or any(a[1] is not None for a in at):
            raise _Beyond
        owner = at[0][2]
        for a in at[1:]:
            owner = self._owner(owner, a[2])
        reached = (owner < 0) | self.here[np.maximum(owner, 0)]
        indices = []
        for dim, (given, _, _) in zip(dims, at, strict=True):
            index = np.broadcast_to(given, owner.shape)
            inside = (index >= 0) & (index < table[0].shape[dim])
            if index.dtype.kind not in "iu" or bool((reached & ~inside).any()):
                raise _Beyond
            indices.append(np.where(inside, index, 0))
        found = table[0][tuple(indices)]
        if found.shape != owner.shape:
            raise _Beyond
        return found, np.full(found.shape, Fraction(0), object), owner

    def _neg(self, node: Node) -> Piece:
        return self._product(self.of(node.args[0]), self.of(-1))

    def _cast(self, node: Node) -> Piece:
        """A whole number as another kind of number; floating ones would be rounded."""
        inner, to = self.of(node.args[0]), node.kwargs.get("dtype")
        if inner[1] is not None or not isinstance(to, torch.dtype) or to is torch.bool or to.itemsize < 4:
            raise _Beyond
        return (*self._real(inner), inner[2]) if to.is_floating_point else inner

    def _same_place(self, node: Node, run: Callable[[Any], Any]) -> Piece:
        a = self.of(node.args[0])
        return run(a[0]), None if a[1] is None else run(a[1]), run(a[2])

    def _unsqueeze(self, node: Node) -> Piece:
        dim = int(node.args[1])  # type: ignore[arg-type]
        return self._same_place(node, lambda v: np.expand_dims(v, dim))

    def _squeeze(self, node: Node) -> Piece:
        if len(node.args) != 2 or not isinstance(node.args[1], int | list | tuple):
            raise _Beyond
        dim = node.args[1] if isinstance(node.args[1], int) else tuple(node.args[1])  # type: ignore[arg-type]
        return self._same_place(node, lambda v: np.squeeze(v, dim))
