"""Normalisation by a group's own statistics, and attention: bounded, and monotone only where the weights stay fixed."""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .._facts import INF, Fact, Refused, as_fact, fact
from ._arithmetic import plus, times
from ._linear import each
from ._table import Result, Site, rule

UNUSED = "this result has no rule"


def _shared(x: Fact, dims: tuple[int, ...], bound: float) -> Fact:
    """Values within +-bound; if one of a group moves, every other may go either way."""
    moves = (x.up | x.dn).double().amax(dims, keepdim=True).expand(x.shape) > 0
    return fact(torch.full_like(x.lo, -bound), torch.full_like(x.lo, bound), moves, moves)


def _affine(x: Fact, weight: Any, bias: Any, shape: tuple[int, ...]) -> Fact:
    if weight is not None:
        x = times(x, _shaped(weight, shape))
    return x if bias is None else plus(x, _shaped(bias, shape))


def _shaped(value: Any, shape: tuple[int, ...]) -> Fact:
    found = as_fact(value)
    return each(found, lambda v: v.reshape(shape))


def _normed(x: Fact, shape: list[int], weight: Any, bias: Any, spare: int, eps: float | None = None) -> Fact:
    """Over the last dimensions. n numbers whose squares sum to n stay below sqrt(n); centred, below sqrt(n - 1)."""
    _positive(eps)
    count = math.prod(shape)
    dims = tuple(range(-len(shape), 0))
    bound = math.sqrt(count - spare) * (1 + 2.0**-40)
    return _affine(_shared(x, dims, bound), weight, bias, tuple(shape))


def _positive(eps: float | None) -> None:
    # Of a group of equal numbers the variance is 0, and with eps = 0 the result is 0 / 0.
    if eps is not None and not eps > 0:
        raise Refused("its eps is not positive, so it may divide by zero")


@rule("aten.layer_norm.default")
def layer_norm(
    site: Site, x: Fact, normalized_shape: list[int], weight: Any = None, bias: Any = None, eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Result:  # fmt: skip
    return _normed(x, normalized_shape, weight, bias, 1, eps)


@rule("aten.native_layer_norm.default")
def native_layer_norm(site: Site, x: Fact, normalized_shape: list[int], weight: Any, bias: Any, eps: float) -> Result:
    return _normed(x, normalized_shape, weight, bias, 1, eps), site.unknown(UNUSED), site.unknown(UNUSED)


@rule("aten.rms_norm.default")
def rms_norm(site: Site, x: Fact, normalized_shape: list[int], weight: Any = None, eps: float | None = None) -> Result:
    return _normed(x, normalized_shape, weight, None, 0, eps)


@rule("aten.group_norm.default")
def group_norm(
    site: Site, x: Fact, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Result:  # fmt: skip
    _positive(eps)
    grouped = each(x, lambda v: v.reshape(v.shape[0], num_groups, -1))
    out = _shared(grouped, (2,), math.sqrt(max(grouped.shape[2] - 1, 0)) * (1 + 2.0**-40))
    out = each(out, lambda v: v.reshape(x.shape))
    return _affine(out, weight, bias, (-1, *[1] * (x.lo.dim() - 2)))


@rule("aten.native_group_norm.default")
def native_group_norm(
    site: Site,
    x: Fact,
    weight: Any,
    bias: Any,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> Result:
    return group_norm(site, x, group, weight, bias, eps), site.unknown(UNUSED), site.unknown(UNUSED)


@rule("aten.scaled_dot_product_attention.default")
def attention(
    site: Site, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
) -> Result:  # fmt: skip
    """Each result is a mean of the values, weighted by query and key: fixed weights rise with every value."""
    q, k, v = as_fact(query), as_fact(key), as_fact(value)
    if q.moves or k.moves or (isinstance(attn_mask, Fact) and attn_mask.moves):
        raise Refused("attention weights shift when a key or query moves")
    if scale is not None and not math.isfinite(scale):
        raise Refused("its scale is infinite or NaN")
    if dropout_p > 0 or enable_gqa:
        raise Refused("with dropout or grouped queries it has no rule")
    if isinstance(attn_mask, Fact) and attn_mask.dtype is torch.bool:
        raise Refused("its mask depends on the inputs")
    if isinstance(attn_mask, Tensor) and not _leaves_some(attn_mask):
        raise Refused("its mask may leave a query without any key")
    batch: Any = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])  # type: ignore[no-untyped-call]
    shape = (*batch, q.shape[-2], v.shape[-1])

    def over_keys(t: Tensor, least: bool) -> Tensor:
        return (t.amin(-2, keepdim=True) if least else t.amax(-2, keepdim=True)).expand(shape)

    up, dn = (over_keys(b.double(), False) > 0 for b in (v.up, v.dn))
    return fact(over_keys(v.lo, True), over_keys(v.hi, False), up, dn)


def _leaves_some(mask: Tensor) -> bool:
    seen = mask if mask.dtype is torch.bool else mask > -INF
    return bool(seen.any(-1).all()) and not bool(mask.isnan().any()) and not bool((mask == INF).any())
