"""Slopes of matrix products and convolutions, with one constant operand or with two moving ones."""

# ruff: noqa: PLR0917 (a row takes what its operator's schema says, in that order)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._facts import Fact, Refused
from .._rounding import linear
from ..rules._arithmetic import scaled
from ..rules._linear import coefficients, each, product
from ._adjoints import still, unbroadcast
from ._arithmetic import to
from ._table import At, Entries, slope


def turned(x: Any, op: Callable[[Tensor], Tensor]) -> Any:
    """A rearrangement of a fact or of a constant."""
    return each(still(x), op) if isinstance(x, Fact) else op(x)


def _last(t: Tensor) -> Tensor:
    return t.unsqueeze(-1)


def _before_last(t: Tensor) -> Tensor:
    return t.unsqueeze(-2)


def _swapped(t: Tensor) -> Tensor:
    return t.transpose(-1, -2)


def matrices(out: Fact, a: Any, b: Any) -> tuple[Fact | None, Fact | None]:
    """torch.matmul: A'B' - AB = (A' - A)B' + A(B' - B), so the adjoints are out B^T and A^T out."""
    left, right = a, b
    if len(b.shape) == 1:
        right, out = turned(b, _last), each(out, _last)
    if len(a.shape) == 1:
        left, out = turned(a, _before_last), each(out, _before_last)

    def shaped(found: Fact, matrix: Any, operand: Fact) -> Fact:
        return each(unbroadcast(found, tuple(matrix.shape)), lambda t: t.reshape(operand.shape))

    first = shaped(product(out, turned(right, _swapped)), left, a) if isinstance(a, Fact) else None
    second = shaped(product(turned(left, _swapped), out), right, b) if isinstance(b, Fact) else None
    return first, second


@slope("aten.mm.default", "aten.bmm.default", "aten.matmul.default", "aten.mv.default", "aten.dot.default")
def matmul(at: At, a: Any, b: Any) -> Entries:
    return matrices(at.out, a, b)


@slope("aten.linear.default")
def linear_layer(at: At, x: Any, weight: Any, bias: Any = None) -> Entries:
    first, second = matrices(at.out, x, turned(weight, _swapped) if len(weight.shape) > 1 else weight)
    if second is not None and len(weight.shape) > 1:
        second = each(second, _swapped)
    return first, second, to(at.out, bias)


@slope("aten.addmm.default", "aten.baddbmm.default", "aten.addmv.default")
def add_product(at: At, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Entries:
    return to(scaled(at.out, beta), bias), *matrices(scaled(at.out, alpha), a, b)


@slope("aten.convolution.default")
def convolution(
    at: At,
    x: Fact,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Entries:
    if isinstance(weight, Fact) or isinstance(bias, Fact):
        raise Refused("its weight or its bias depends on the inputs")

    def run(v: Tensor, w: Tensor) -> Tensor:
        # The gradient of a convolution in its input: bilinear, and not negative for operands that are not.
        found: Tensor = torch.ops.aten.convolution_backward.default(
            v, v.new_zeros(x.shape), w, None, stride, padding, dilation, transposed, output_padding, groups,
            [True, False, False],
        )[0]  # fmt: skip
        return found

    return (linear(run, at.out, coefficients(weight), n=weight.numel()),)
