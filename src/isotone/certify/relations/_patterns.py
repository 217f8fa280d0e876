"""Things written out by hand that are one operation: interpolation, log-sum-exp, gates, masks of minus infinity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from .._facts import INF, Fact, as_fact, fact
from ..rules import RULES
from ..rules._arithmetic import times
from ..rules._order import largest
from ..rules._products import interpolation
from ._look import Look, argument, bare, op, operands, orders
from ._one_value import open_fact


def blend(look: Look) -> Fact | None:
    """p + (q - p) t, or p (1 - t) + q t: rises in p and q for t in [0, 1], and in t where q >= p."""
    for p, product in orders(look.node):
        if op(product) != "mul":
            continue
        for gap, t in orders(product):
            pair = operands(gap) if op(gap) in ("sub", "rsub") else None
            facts = [look.fact(v) for v in (p, pair[0], t, gap)] if pair and pair[1] is p else [None]
            if all(f is not None for f in facts):
                return interpolation(*facts)
    return _weighed(look)


def _weighed(look: Look) -> Fact | None:
    for left, right in orders(look.node):
        if op(left) != "mul" or op(right) != "mul":
            continue
        for p, rest in orders(left):
            for q, t in orders(right):
                pair = operands(rest) if op(rest) in ("sub", "rsub") else None
                if pair is None or pair[1] is not t or isinstance(pair[0], Node) or pair[0] != 1:
                    continue
                a, b, by = (look.fact(v) for v in (p, q, t))
                if a is None or b is None or by is None:
                    continue
                return interpolation(a, b, by, as_fact(RULES["aten.sub.Tensor"](look.site, b, a)))
    return None


def _unshaped(value: Any) -> Any:
    """The node under dimensions of size one."""
    node = bare(value)
    while op(node) in ("squeeze", "unsqueeze"):
        node = bare(node.args[0])
    return node


def shifted_log_sum(look: Look) -> Fact | None:
    """m + log(sum(exp(x - m))) = logsumexp(x), whatever m is, if it is one number for all that is summed."""
    for shift, log in orders(look.node):
        if op(log) != "log" or op(total := bare(log.args[0])) != "sum" or op(exp := bare(total.args[0])) != "exp":
            continue
        if op(difference := bare(exp.args[0])) != "sub" or (pair := operands(difference)) is None:
            continue
        x, m = look.fact(pair[0]), look.fact(pair[1])
        dims, keep = argument(total, 1, "dim"), bool(argument(total, 2, "keepdim", False))
        back = look.fact(shift)
        if x is None or m is None or back is None or not dims or not x.dtype.is_floating_point:
            continue
        # Nothing is rounded on the way.
        if any(n.meta["val"].dtype != x.dtype for n in (look.node, log, total, exp, difference)) or m.dtype != x.dtype:
            continue
        dims = sorted(d % x.lo.dim() for d in dims)
        reduced = [1 if d in dims else n for d, n in enumerate(x.shape)]
        final = reduced if keep else [n for d, n in enumerate(x.shape) if d not in dims]
        # The same number: one node, with dimensions of size one added or taken away; no row is mixed with another.
        if list(m.shape) != reduced or list(back.shape) != final or _unshaped(pair[1]) is not _unshaped(shift):
            continue
        return RULES["aten.logsumexp.default"](look.site, x, dims, keep)  # type: ignore[return-value]
    return None


def gate(look: Look) -> Fact | None:
    """u sigmoid(c u), c > 0, and u [u > t], t >= 0."""
    for u, other in orders(look.node):
        x = look.fact(u)
        if x is None or look.plain is None or x.shape != look.plain.shape or not x.dtype.is_floating_point:
            continue
        if op(other) == "sigmoid" and (scale := _scale(look, other.args[0], u)) is not None:
            # u sigmoid(c u) = silu(c u) / c.
            inner = times(x, scale)
            found = RULES["aten.silu.default"](look.site, Fact(inner.lo, inner.hi, x.up, x.dn, x.dtype))
            return open_fact(x, found.up, found.dn)  # type: ignore[union-attr]
        truth = bare(other.args[0]) if op(other) == "_to_copy" else other
        if op(truth) in ("gt", "ge") and bare(truth.args[0]) is u:
            at = look.fact(truth.args[1])
            # 0 up to t, then u >= t >= 0: it jumps up, and rises.
            if at is not None and not at.moves and bool((at.lo >= 0).all()):
                return open_fact(x, x.up, x.dn)
    return None


def _scale(look: Look, value: Any, u: Any) -> Fact | None:
    """c > 0, constant, if the value is c u."""
    node = bare(value)
    if node is u:
        return as_fact(1.0)
    if op(node) != "mul":
        return None
    for a, c in orders(node):
        found = look.fact(c)
        if a is u and found is not None and torch.equal(found.lo, found.hi) and bool((found.lo > 0).all()):
            return found
    return None


def _masked(look: Look, value: Any) -> tuple[Fact, Fact] | None:
    """x and its mask, if the value is x with minus infinity wherever the mask is true."""
    node, turned = bare(value), False
    if op(node) == "masked_fill":
        x, mask, fill = node.args[:3]
    elif op(node) == "where" and len(node.args) == 3:
        mask, fill, x = node.args
        if turned := _infinite(look, x):  # where(keep, x, -inf)
            fill, x = x, fill
    else:
        return None
    found, m = look.fact(x), look.fact(mask)
    if not _infinite(look, fill) or found is None or m is None or m.dtype is not torch.bool:
        return None
    if turned:
        m = fact(1 - m.hi, 1 - m.lo, m.dn, m.up, torch.bool)
    lo, hi, up, dn, m_lo, m_hi, m_up, m_dn = torch.broadcast_tensors(  # type: ignore[no-untyped-call]
        found.lo, found.hi, found.up, found.dn, m.lo, m.hi, m.up, m.dn
    )
    return fact(lo, hi, up, dn, found.dtype), fact(m_lo, m_hi, m_up, m_dn, torch.bool)


def _infinite(look: Look, fill: Any) -> bool:
    """Whether it is minus infinity, as a number or a constant."""
    held = look.facts.get(fill) if isinstance(fill, Node) else fill
    return bool((held == -INF).all()) if isinstance(held, Tensor) else isinstance(held, float) and held == -INF


def masked_largest(look: Look) -> Fact | None:
    """The largest, or the log-sum-exp, of what a mask of minus infinity leaves, if it always leaves something.

    A masked element counts as a number below all others: it takes its bits from the mask (taken away, the result
    falls; let in, it rises), and its own where it may be seen. No other operation is told of the infinity.
    """
    if (seen := _masked(look, look.node.args[0])) is None:
        return None
    x, mask = seen
    dims = argument(look.node, 1, "dim", ()) or list(range(x.lo.dim()))
    dims, keep = [dims] if isinstance(dims, int) else list(dims), bool(argument(look.node, 2, "keepdim", False))
    sure = mask.hi < 1
    if not bool(sure.double().amax(dims, keepdim=True).all()):
        return None  # it may leave nothing
    gone = mask.lo > 0
    lo = torch.where(sure, x.lo, -INF)
    hi = torch.where(gone, -INF, x.hi)
    left = Fact(lo, hi, (x.up & ~gone) | mask.dn, (x.dn & ~gone) | mask.up, x.dtype)
    look.site.assume("what is masked with minus infinity counts as left out")
    if op(look.node) == "logsumexp":
        return RULES["aten.logsumexp.default"](look.site, left, dims, keep)  # type: ignore[return-value]
    return largest(left, dims, keep)


def masked_share(look: Look) -> Fact | None:
    """Softmax over what a fixed mask of minus infinity leaves: the others' share is 0, and they do not count."""
    if (seen := _masked(look, look.node.args[0])) is None:
        return None
    x, mask = seen
    dim = int(argument(look.node, 1, "dim"))
    if mask.moves or not torch.equal(mask.lo, mask.hi) or not bool((mask.hi < 1).double().amax(dim).all()):
        return None
    gone = mask.lo > 0
    left = fact(x.lo, x.hi, x.up & ~gone, x.dn & ~gone)
    found: Any = RULES["aten.softmax.int"](look.site, left, dim)
    look.site.assume("what is masked with minus infinity counts as left out")
    return fact(found.lo, torch.where(gone, 0.0, found.hi), found.up & ~gone, found.dn & ~gone)
