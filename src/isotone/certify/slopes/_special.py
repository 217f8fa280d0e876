"""Slopes of softmax, normalisation with fixed statistics, dropout at rest, tables of embeddings, gates."""

# ruff: noqa: PLR0917 (a row takes what its operator's schema says, in that order)

from __future__ import annotations

from typing import Any

import torch

from .._facts import INF, Fact, Refused, as_fact, constant
from .._rounding import add, weighted
from ..rules._arithmetic import minus, over, plus, times
from ..rules._conditional import looked_up as rows_at
from ..rules._linear import each
from ..rules._order import smaller
from ..rules._structural import rearranged as moved
from ..rules._table import Site
from ..rules._unary import ROWS
from ._adjoints import adjoint, over_zero, still
from ._arithmetic import to
from ._conditional import looked_up
from ._structural import rearranged
from ._table import At, Entries, slope
from ._unary import RANGES, pieces, straight


def softmax(out: Fact, dim: int) -> Entries:
    # The derivative in x_j is s_j sum_i s_i (a_j - a_i) = s_j (1 - s_j) times an average of a_j - a_i over i != j, and
    # s_j (1 - s_j) lies in [0, 1/4]; the average along a segment stays in the hull with 0.
    low = add(out.lo, -out.hi.amax(dim, keepdim=True), -INF)
    high = add(out.hi, -out.lo.amin(dim, keepdim=True), INF)
    return (times(over_zero(adjoint(low, high)), constant(0.25)),)


@slope("aten.softmax.int")
def softmax_outer(at: At, x: Fact, dim: int, dtype: Any = None) -> Entries:
    return softmax(at.out, dim)


@slope("aten._softmax.default")
def softmax_inner(at: At, x: Fact, dim: int, half_to_float: bool) -> Entries:
    return softmax(at.out, dim)


def log_softmax(out: Fact, dim: int) -> Entries:
    # The derivative in x_j is a_j - s_j sum_i a_i, with s_j in [0, 1].
    total = weighted(lambda v: v.sum(dim, keepdim=True), out, n=out.shape[dim] - 1)
    return (plus(out, minus(over_zero(total))),)


@slope("aten.log_softmax.int")
def log_softmax_outer(at: At, x: Fact, dim: int, dtype: Any = None) -> Entries:
    return log_softmax(at.out, dim)


@slope("aten._log_softmax.default")
def log_softmax_inner(at: At, x: Fact, dim: int, half_to_float: bool) -> Entries:
    return log_softmax(at.out, dim)


@slope("aten.logsumexp.default")
def logsumexp(at: At, x: Fact, dim: Any, keepdim: bool = False) -> Entries:
    # d/dx log(sum exp x) = softmax(x), each in [0, 1].
    dims = [dim] if isinstance(dim, int) else list(dim)
    dims = sorted(d % max(x.lo.dim(), 1) for d in dims) or list(range(x.lo.dim()))
    out = over_zero(at.out)
    if not keepdim and x.lo.dim():
        for d in dims:
            out = each(out, lambda t, d=d: t.unsqueeze(d))  # type: ignore[misc]
    return (each(out, lambda t: t.expand(x.shape)),)


def normalised(out: Fact, x: Fact, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> Fact:
    """(x - mean) / sqrt(var + eps) * weight + bias along dimension 1, all but x constant."""
    if any(isinstance(t, Fact) for t in (weight, bias, mean, var)):
        raise Refused("its statistics depend on the inputs")
    shape = (-1, *[1] * (x.lo.dim() - 2))
    spread = plus(constant(var.reshape(shape)), constant(float(eps)))
    if not bool((spread.lo > 0).all()):
        raise Refused("its variance is not positive")
    deviation = ROWS["aten.sqrt.default"](Site(), spread)
    assert isinstance(deviation, Fact)
    scale = constant(torch.ones_like(spread.lo)) if weight is None else constant(weight.reshape(shape))
    return times(out, over(scale, deviation))


@slope("aten._native_batch_norm_legit_no_training.default")
def batch_norm_at_rest(
    at: At, x: Fact, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> Entries:
    return (normalised(at.out[0], x, weight, bias, mean, var, eps),)


@slope("aten.batch_norm.default")
def batch_norm(
    at: At,
    x: Fact,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Entries:
    if training or mean is None or var is None:
        raise Refused("it normalises by the statistics of the batch (train mode)")
    return (normalised(at.out, x, weight, bias, mean, var, eps),)


@slope("aten.dropout.default")
def dropout(at: At, x: Fact, p: float, train: bool) -> Entries:
    if train and p != 0:
        raise Refused("it drops at random (train mode)")
    return (at.out,)


@slope("aten.native_dropout.default")
def native_dropout(at: At, x: Fact, p: float, train: bool | None) -> Entries:
    if train is not False and p != 0:
        raise Refused("it drops at random (train mode)")
    return (at.out[0],)


@slope("aten.prelu.default", "aten._prelu_kernel.default")
def prelu(at: At, x: Fact, weight: Any) -> Entries:
    # relu(x) + w min(x, 0): x moves with slope 1 or w', then w with slope min(x, 0).
    w = as_fact(weight)
    if w.lo.dim() <= 1 and w.lo.numel() > 1:
        if isinstance(weight, Fact):
            raise Refused("its weight depends on the inputs")
        w = constant(weight.reshape(-1, *[1] * (x.lo.dim() - 2)))
    low, high = (t.expand(x.shape) for t in (w.lo, w.hi))
    of_x = times(at.out, adjoint(*pieces([0.0], [lambda _: (low, high), straight(1.0)])(x)))
    zero = constant(torch.zeros_like(x.lo))
    return of_x, to(times(at.out, smaller(still(x), zero)), weight)


@slope("aten.glu.default")
def glu(at: At, x: Fact, dim: int = -1) -> Entries:
    # a s(b): a'(s' - s) + s (a' - a), and s' - s is a slope of the sigmoid times b' - b.
    a, b = moved(torch.ops.aten.chunk.default, (0,), still(x), 2, dim)  # type: ignore[misc]
    gate = ROWS["aten.sigmoid.default"](Site(), b)
    assert isinstance(gate, Fact)
    of_a = times(at.out, still(gate))
    of_b = times(times(at.out, still(a)), adjoint(*RANGES["aten.sigmoid.default"](b)))
    return (adjoint(torch.cat([of_a.lo, of_b.lo], dim), torch.cat([of_a.hi, of_b.hi], dim)),)


@slope("aten.embedding.default")
def embedding(
    at: At, weight: Any, indices: Any, padding_idx: int = -1, scale_grad: bool = False, sparse: bool = False
) -> Entries:
    if not isinstance(indices, Fact):
        # As an index: autograd would drop the padding row and divide by frequencies, which the value does not.
        return rearranged(at, lambda v: v[indices], (0,), weight)
    if isinstance(weight, Fact):
        raise Refused("both its table and its indices depend on the inputs")
    return None, looked_up(at.out, weight, indices)


@slope("aten._embedding_bag.default", "aten._embedding_bag_forward_only.default")
def embedding_bag(
    at: At,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Entries:
    return bags(at.out[0], weight, indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx != -1)


@slope("aten.embedding_bag.default")
def embedding_bag_composite(
    at: At,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
) -> Entries:
    return bags(at.out[0], weight, indices, offsets, mode, per_sample_weights, include_last_offset, False)


@slope("aten.embedding_bag.padding_idx")
def embedding_bag_padded(
    at: At,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Any,
    include_last_offset: bool,
    padding_idx: int | None,
) -> Entries:
    padded = padding_idx is not None
    return bags(at.out[0], weight, indices, offsets, mode, per_sample_weights, include_last_offset, padded)


def bags(
    out: Fact, weight: Any, indices: Any, offsets: Any, mode: int, weights: Any, last: bool, padded: bool
) -> Entries:
    """Sums over bags of table row times weight: the weights may move, and so may the indices beside them."""
    if mode != 0 or padded or isinstance(weight, Fact) or isinstance(offsets, Fact):
        raise Refused("only bags that are summed, without padding, have a rule")
    ids = as_fact(indices)
    count = len(ids.lo)
    bag = torch.searchsorted(offsets.detach().cpu().long(), torch.arange(count), right=True) - 1
    of_rows = each(out, lambda t: t[bag])  # (count, columns): an entry is in one bag, and a bag may have many
    of_ids, of_weights = None, None
    if isinstance(weights, Fact):
        rows = rows_at(Site(), weight, ids)
        of_weights = weighted(lambda v: v.sum(-1), times(of_rows, still(rows)), n=rows.shape[1] - 1)
    if isinstance(indices, Fact):
        by = None if weights is None else each(still(as_fact(weights)), lambda t: t.unsqueeze(-1))
        of_ids = looked_up(of_rows if by is None else times(of_rows, by), weight, ids)
    return None, of_ids, None, None, None, None, of_weights
