"""Softmax, normalisation with fixed statistics, dropout at rest, tables of embeddings, gates."""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, Refused, as_fact, constant, fact
from .._rounding import linear
from ._arithmetic import minus, over, plus, times
from ._conditional import looked_up
from ._linear import each
from ._order import larger, smaller
from ._structural import rearranged
from ._table import Result, Site, rule
from ._unary import ROWS

UNUSED = "this result has no rule"


def _others(bits: Tensor, dim: int) -> Tensor:
    """Whether any other element along the dimension has its bit set."""
    return bits.sum(dim, keepdim=True) - bits.long() > 0


def _share(x: Fact, dim: int, low: float, high: float) -> Fact:
    # A probability, and its logarithm, rises with its own logit and falls with every other; alone it is fixed.
    if not x.lo.dim():
        raise Refused("it has no dimension to share over")
    alone = x.shape[dim] == 1
    up, dn = x.up | _others(x.dn, dim), x.dn | _others(x.up, dim)
    if alone:
        up, dn = torch.zeros_like(up), torch.zeros_like(dn)
    return fact(torch.full_like(x.lo, low), torch.full_like(x.lo, high), up, dn)


@rule("aten.softmax.int")
def softmax(site: Site, x: Fact, dim: int, dtype: Any = None) -> Result:
    return _share(x, dim, 0.0, 1.0)


@rule("aten._softmax.default")
def softmax_inner(site: Site, x: Fact, dim: int, half_to_float: bool) -> Result:
    return _share(x, dim, 0.0, 1.0)


@rule("aten._log_softmax.default")
def log_softmax_inner(site: Site, x: Fact, dim: int, half_to_float: bool) -> Result:
    return _share(x, dim, -float("inf"), 0.0)


@rule("aten.log_softmax.int")
def log_softmax(site: Site, x: Fact, dim: int, dtype: Any = None) -> Result:
    return _share(x, dim, -float("inf"), 0.0)


@rule("aten.logsumexp.default")
def logsumexp(site: Site, x: Fact, dim: Any, keepdim: bool = False) -> Result:
    # d/dx log(sum exp x) = softmax(x) >= 0: increasing in every element.
    dims = [dim] if isinstance(dim, int) else list(dim)

    def bound(v: Tensor, sign: float) -> Tensor:
        y = torch.logsumexp(v, dims, keepdim)
        largest = v.abs().nan_to_num(posinf=0.0).amax(dims, keepdim=keepdim)
        # exp of a difference from the largest is off by that difference times an ulp, summed over the elements.
        return y + sign * 2.0**-40 * (1 + largest + v.numel())

    def join(bits: Tensor) -> Tensor:
        return bits.double().amax(dims, keepdim=keepdim) > 0

    return fact(bound(x.lo, -1), bound(x.hi, 1), join(x.up), join(x.dn))


def _normalised(x: Fact, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> Fact:
    """(x - mean) / sqrt(var + eps) * weight + bias along dimension 1."""
    if any(isinstance(t, Fact) for t in (weight, bias, mean, var)):
        raise Refused("its statistics depend on the inputs")
    shape = (-1, *[1] * (x.lo.dim() - 2))
    spread = plus(constant(var.reshape(shape)), constant(float(eps)))
    if not bool((spread.lo > 0).all()):
        raise Refused("its variance is not positive")
    deviation = ROWS["aten.sqrt.default"](Site(), spread)
    out = over(plus(x, minus(constant(mean.reshape(shape)))), deviation)  # type: ignore[arg-type]
    if weight is not None:
        out = times(out, constant(weight.reshape(shape)))
    return out if bias is None else plus(out, constant(bias.reshape(shape)))


@rule("aten._native_batch_norm_legit_no_training.default")
def batch_norm_at_rest(
    site: Site, x: Fact, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> Result:
    return _normalised(x, weight, bias, mean, var, eps), site.unknown(UNUSED), site.unknown(UNUSED)


@rule("aten.batch_norm.default")
def batch_norm(
    site: Site,
    x: Fact,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> Result:
    if training or mean is None or var is None:
        raise Refused("it normalises by the statistics of the batch (train mode)")
    return _normalised(x, weight, bias, mean, var, eps)


@rule("aten.dropout.default")
def dropout(site: Site, x: Fact, p: float, train: bool) -> Result:
    if train and p != 0:
        raise Refused("it drops at random (train mode)")
    return x


@rule("aten.native_dropout.default")
def native_dropout(site: Site, x: Fact, p: float, train: bool | None) -> Result:
    if train is not False and p != 0:
        raise Refused("it drops at random (train mode)")
    return x, site.unknown(UNUSED)


@rule("aten.prelu.default", "aten._prelu_kernel.default")
def prelu(site: Site, x: Fact, weight: Any) -> Result:
    # relu(x) + weight * min(x, 0), the weight along dimension 1 (or already shaped, in the kernel).
    w = as_fact(weight)
    if w.lo.dim() <= 1 and w.lo.numel() > 1:
        if isinstance(weight, Fact):
            raise Refused("its weight depends on the inputs")
        w = constant(weight.reshape(-1, *[1] * (x.lo.dim() - 2)))
    zero = constant(torch.zeros_like(x.lo))
    return plus(larger(x, zero), times(w, smaller(x, zero)))


@rule("aten.glu.default")
def glu(site: Site, x: Fact, dim: int = -1) -> Result:
    a, b = rearranged(torch.ops.aten.chunk.default, (0,), x, 2, dim)  # type: ignore[misc]
    return times(a, ROWS["aten.sigmoid.default"](site, b))  # type: ignore[arg-type]


@rule("aten.embedding.default")
def embedding(
    site: Site, weight: Any, indices: Any, padding_idx: int = -1, scale_grad: bool = False, sparse: bool = False
) -> Result:
    if not isinstance(indices, Fact):
        return rearranged(torch.ops.aten.embedding.default, (0,), weight, indices)
    if isinstance(weight, Fact):
        raise Refused("both its table and its indices depend on the inputs")
    return looked_up(site, weight, indices)


@rule("aten._embedding_bag.default", "aten._embedding_bag_forward_only.default")
def embedding_bag(
    site: Site,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Result:
    """Sum over each bag of table row times weight."""
    if mode != 0:
        raise Refused("only bags that are summed have a rule")
    if isinstance(weight, Fact) or isinstance(offsets, Fact):
        raise Refused("its table or its bags depend on the inputs")
    if padding_idx != -1:
        raise Refused("it skips a padding index")
    ids = as_fact(indices)
    if ids.lo.dim() != 1 or offsets.dim() != 1:
        raise Refused("its indices are not flat")
    starts = offsets.detach().cpu().long()
    count = len(ids.lo)
    places = torch.arange(count)
    bag = torch.searchsorted(starts, places, right=True) - 1  # an empty bag starts where the next one does
    bags = len(starts) - 1 if include_last_offset else len(starts)
    if count and (int(starts[0]) != 0 or bool((starts.diff() < 0).any()) or int(bag.max()) >= bags):
        raise Refused("its offsets are not in order")
    rows = looked_up(site, weight, ids)  # (count, columns)
    if per_sample_weights is not None:
        weights = as_fact(per_sample_weights)
        rows = times(rows, each(weights, lambda t: t.unsqueeze(-1)))
    member = torch.zeros(bags, count, dtype=torch.float64)
    member[bag, places] = 1.0
    summed = linear(lambda x, w: torch.matmul(w, x), rows, member, n=count)
    return summed, *(site.unknown(UNUSED) for _ in range(3))


@rule("aten.embedding_bag.default")
def embedding_bag_composite(
    site: Site,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
) -> Result:
    return embedding_bag(
        site, weight, indices, offsets, scale_grad, mode, sparse, per_sample_weights, include_last_offset
    )


@rule("aten.embedding_bag.padding_idx")
def embedding_bag_padded(
    site: Site,
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Any,
    include_last_offset: bool,
    padding_idx: int | None,
) -> Result:
    # Here None means none, and -1 is the last row: the other overloads read -1 as none.
    if padding_idx is not None:
        raise Refused("it skips a padding index")
    return embedding_bag(
        site, weight, indices, offsets, scale_grad, mode, sparse, per_sample_weights, include_last_offset
    )
