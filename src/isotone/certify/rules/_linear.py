"""Matrix products and convolutions, with one constant operand or with two moving ones."""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, Refused, as_fact, constant, fact
from .._rounding import by_sign, linear, weighted
from ._arithmetic import plus, scaled, times
from ._table import Result, Site, rule

MOST_PRODUCTS = 2**25


def coefficients(w: Tensor) -> Tensor:
    """Constant coefficients in float64; not finite ones are refused."""
    return constant(w).lo


def product(a: Any, b: Any) -> Fact:
    """torch.matmul(a, b) of facts and constant tensors."""
    if not isinstance(b, Fact):
        return with_constant(torch.matmul, as_fact(a), b, n=b.shape[0] if b.dim() == 1 else b.shape[-2])
    if not isinstance(a, Fact):
        return with_constant(lambda x, w: torch.matmul(w, x), b, a, n=a.shape[-1])
    if a.lo.dim() < 2 or b.lo.dim() < 2:
        raise Refused("a vector product of two moving operands has no rule")
    n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
    batch = max(a.shape[:-2].numel(), 1) * max(b.shape[:-2].numel(), 1)
    if batch * n * k * m > MOST_PRODUCTS:
        raise Refused("both its operands move and it is too large for the prover")
    terms = times(each(a, lambda t: t.unsqueeze(-1)), each(b, lambda t: t.unsqueeze(-3)))
    return weighted(lambda v: v.sum(-2), terms, n=k - 1)


def with_constant(run: Callable[[Tensor, Tensor], Tensor], x: Fact, w: Tensor, n: int) -> Fact:
    """A bilinear operation of a fact and constant coefficients: by their signs alone where the walk is rough."""
    return by_sign(run, x, w) if x.rough else linear(run, x, coefficients(w), n=n)


def each(x: Fact, op: Callable[[Tensor], Tensor]) -> Fact:
    """The same rearrangement of bounds and bits."""
    return fact(op(x.lo), op(x.hi), op(x.up), op(x.dn))


@rule("aten.mm.default", "aten.bmm.default", "aten.matmul.default", "aten.mv.default", "aten.dot.default")
def matmul(site: Site, a: Any, b: Any) -> Result:
    return product(a, b)


@rule("aten.linear.default")
def linear_layer(site: Site, x: Any, weight: Any, bias: Any = None) -> Result:
    turned = each(weight, lambda t: t.transpose(-1, -2)) if isinstance(weight, Fact) else weight.transpose(-1, -2)
    out = product(x, turned)
    return out if bias is None else plus(out, as_fact(bias))


@rule("aten.addmm.default", "aten.baddbmm.default", "aten.addmv.default")
def add_product(site: Site, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Result:
    out = scaled(product(a, b), alpha)
    # beta = 0 ignores the bias, whatever it holds.
    return out if beta == 0 else plus(out, scaled(as_fact(bias), beta))


@rule("aten.convolution.default")
def convolution(
    site: Site,
    x: Fact,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Result:
    if isinstance(weight, Fact):
        raise Refused("its weight depends on the inputs")

    def run(v: Tensor, w: Tensor) -> Tensor:
        return torch.convolution(v, w, None, stride, padding, dilation, transposed, output_padding, groups)

    out = with_constant(run, x, weight, n=weight.numel())
    if bias is None:
        return out
    return plus(out, constant(bias.reshape(-1, *[1] * (weight.dim() - 2))))
