"""The table of operators that boxes understand: how a value and its slopes pass.

All boxes are evaluated in the place of rows. That is the model's own function of one row only if no operator mixes rows
or treats them differently, and every rule sees to that: a constant must be one for all rows (its dimension 0, aligned
to the operand's, has size 1), an operator along a dimension must not be along 0, sizes that count rows are used
nowhere but as the first size of a view, and every result has the rows of the trace as its dimension 0
(`_evaluate` checks it against the trace). An operator without a row is refused by name.
"""

# ruff: noqa: PLR0917 (a rule takes what its operator's schema says, in that order)

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.fx import Node

from .._facts import Fact, Refused, as_fact, constant
from ..rules._arithmetic import over
from ..rules._arithmetic import plus as fact_plus
from ..rules._table import Site
from ..rules._unary import ROWS as FACT_ROWS
from ._curves import ROWS, SLACK, Curve, Row, Steps, elu, pieces, power, softplus
from ._forms import Matrix, interval, point
from ._jets import Jet, Tape

ROWS_OF_X = object()  # what aten.sym_size.int(x, 0) gives: the number of rows, known only as such


@dataclass(frozen=True, eq=False)
class Here:
    """Where a rule is applied."""

    tape: Tape
    node: Node
    assumptions: dict[str, None]

    def shape(self) -> tuple[int, ...]:
        """The traced shape of the result, without its rows."""
        return whole(self.node.meta["val"].shape[1:])


Tangent = Callable[..., Any]
F = TypeVar("F", bound=Tangent)
TANGENTS: dict[str, Tangent] = {}


def tangent(*names: str) -> Callable[[F], F]:
    """Write a row for each named overload."""

    def write(function: F) -> F:
        for name in names:
            if name in TANGENTS:
                raise ValueError(f"{name} has two rules")
            TANGENTS[name] = function
        return function

    return write


def whole(sizes: Any) -> tuple[int, ...]:
    if not all(isinstance(s, int) for s in sizes):
        raise Refused("a size that depends on the number of rows stands among its features")
    return tuple(sizes)


def coefficients(w: Any) -> Tensor:
    if not isinstance(w, Tensor):
        raise Refused("its coefficients depend on the inputs")
    return constant(w).lo


def feature(dim: int, jet: Jet, extra: int = 0) -> int:
    """A dimension counted from the left, rows being 0, which no operator may touch."""
    total = len(jet.features) + 1 + extra
    if not -total <= dim < total or dim % total == 0:
        raise Refused("it works along the dimension of the rows")
    return dim % total


def still(value: Any, beside: Jet) -> Jet:
    """A number or a constant tensor, the same for all rows, as a jet of the same number of dimensions."""
    fact = as_fact(value)
    if not isinstance(value, Tensor | int | float):
        raise Refused("an operand of it is no number and no tensor")
    dims = len(beside.features) + 1
    if fact.lo.dim() > dims or (fact.lo.dim() == dims and fact.lo.shape[0] != 1):
        raise Refused("a constant differs from row to row, or has more dimensions than what it meets")
    return Jet(point(fact.lo.reshape(*[1] * (dims - fact.lo.dim()), *fact.lo.shape)), None)


def pair(here: Here, a: Any, b: Any) -> tuple[Jet, Jet]:
    """Two operands of one shape."""
    jets = [x for x in (a, b) if isinstance(x, Jet)]
    if len(jets) == 2 and len(a.features) != len(b.features):
        raise Refused("its operands have different numbers of dimensions, so rows may meet features")
    a, b = (x if isinstance(x, Jet) else still(x, jets[0]) for x in (a, b))
    shape = _common(a.features, b.features)
    return _widened(here, a, shape), _widened(here, b, shape)


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that both broadcast to."""
    return tuple(torch.broadcast_shapes(a, b))  # type: ignore[no-untyped-call]


def _widened(here: Here, x: Jet, shape: tuple[int, ...]) -> Jet:
    if x.features == tuple(shape):
        return x
    fan = math.prod(shape) // max(math.prod(x.features), 1)
    return here.tape.move(lambda t: t.expand(t.shape[0], *shape), [x], fan=max(fan, 1))


@tangent("aten.linear.default")
def linear(here: Here, x: Jet, weight: Any, bias: Any = None) -> Jet:
    return _product(here, x, coefficients(weight), bias)


def _product(here: Here, x: Any, w: Tensor, bias: Any) -> Jet:
    """x @ w.T + bias, for coefficients (outputs, inputs)."""
    if not isinstance(x, Jet) or not x.features or w.dim() != 2:
        raise Refused("boxes need features on its left and a constant matrix on its right")
    if bias is None:
        return here.tape.linear(Matrix.of(w), x, None)
    b = coefficients(bias)
    if b.dim() > 1 and b.shape[:-1].numel() != 1:
        raise Refused("its bias differs from row to row")
    return here.tape.linear(Matrix.of(w), x, b.reshape(-1))


@tangent("aten.mm.default", "aten.matmul.default")
def matmul(here: Here, x: Any, w: Any) -> Jet:
    w = coefficients(w)
    if w.dim() == 1 and isinstance(x, Jet) and x.features:
        out = _product(here, x, w[None], None)
        return here.tape.move(lambda t: t.squeeze(-1), [out])
    return _product(here, x, w.T if w.dim() == 2 else w, None)


@tangent("aten.addmm.default")
def addmm(here: Here, bias: Any, x: Any, w: Any, *, beta: float = 1, alpha: float = 1) -> Jet:
    if beta != 1 or alpha != 1:
        raise Refused("it scales its operands")
    w = coefficients(w)
    return _product(here, x, w.T if w.dim() == 2 else w, bias)


@tangent("aten.add.Tensor", "aten.add.Scalar")
def add(here: Here, a: Any, b: Any, alpha: float = 1) -> Jet:
    a, b = pair(here, a, b)
    return here.tape.add(a, b if alpha == 1 else here.tape.times(still(float(alpha), b), b))


@tangent("aten.sub.Tensor", "aten.sub.Scalar")
def sub(here: Here, a: Any, b: Any, alpha: float = 1) -> Jet:
    return add(here, a, b, -alpha)


@tangent("aten.rsub.Scalar", "aten.rsub.Tensor")
def rsub(here: Here, a: Any, b: Any, alpha: float = 1) -> Jet:
    return sub(here, b, a, alpha)


@tangent("aten.neg.default")
def neg(here: Here, x: Jet) -> Jet:
    return here.tape.minus(x)


@tangent("aten.mul.Tensor", "aten.mul.Scalar")
def mul(here: Here, a: Any, b: Any) -> Jet:
    if a is b:
        return here.tape.apply(ROWS["square"], a)
    return here.tape.times(*pair(here, a, b))


@tangent("aten.div.Tensor", "aten.div.Scalar")
def div(here: Here, a: Any, b: Any) -> Jet:
    if isinstance(b, Jet):
        return mul(here, a, here.tape.apply(ROWS["reciprocal"], b))
    divisor = as_fact(b)
    inverse = over(constant(torch.ones_like(divisor.lo)), divisor)
    return _scaled(here, a, inverse)


def _scaled(here: Here, x: Jet, by: Fact) -> Jet:
    """x times a constant that is known up to rounding."""
    dims = len(x.features) + 1
    shape = (*[1] * (dims - by.lo.dim()), *by.lo.shape)
    if len(shape) > dims or shape[0] != 1:
        raise Refused("a constant differs from row to row, or has more dimensions than what it meets")
    factor = Jet(interval(by.lo.reshape(shape), by.hi.reshape(shape)), None)
    wide = _common(x.features, factor.features)
    return here.tape.times(_widened(here, factor, wide), _widened(here, x, wide))


@tangent("aten.pow.Tensor_Scalar")
def pow_(here: Here, x: Jet, exponent: float) -> Jet:
    if exponent == 1:
        return x
    if exponent == 2:
        return here.tape.apply(ROWS["square"], x)
    if exponent == 0.5:
        return here.tape.apply(ROWS["sqrt"], x)
    if not (float(exponent).is_integer() and 3 <= exponent <= 16):
        raise Refused("its exponent has no rule for boxes")
    return here.tape.apply(power(int(exponent)), x)


def _unary(name: str, row: Row) -> None:
    tangent(name)(lambda here, x: here.tape.apply(row, x))


for _name, _row in ROWS.items():
    if _name != "gelu":
        _unary(f"aten.{_name}.default", _row)


@tangent("aten.gelu.default")
def gelu(here: Here, x: Jet, *, approximate: str = "none") -> Jet:
    if approximate != "none":
        raise Refused("only its exact form has a rule for boxes")
    return here.tape.apply(ROWS["gelu"], x)


@tangent("aten.leaky_relu.default")
def leaky_relu(here: Here, x: Jet, slope: float = 0.01) -> Jet:
    if not 0 <= slope <= 1:
        raise Refused("its slope is not between 0 and 1")
    return here.tape.apply(pieces(lambda t: torch.where(t > 0, t, slope * t), (0.0,), (float(slope), 1.0)), x)


@tangent("aten.clamp.default", "aten.hardtanh.default")
def clamp(here: Here, x: Jet, low: float | None = None, high: float | None = None) -> Jet:
    if here.node.target is torch.ops.aten.hardtanh.default:
        low, high = -1.0 if low is None else low, 1.0 if high is None else high
    ends = [float(b) for b in (low, high) if b is not None]
    if not all(math.isfinite(b) for b in ends) or ends != sorted(ends) or (len(ends) == 2 and ends[0] == ends[1]):
        raise Refused("its bounds are not two finite numbers in order")
    slopes = (0.0, 1.0, 0.0) if len(ends) == 2 else (0.0, 1.0) if low is not None else (1.0, 0.0)
    return here.tape.apply(Row(Curve(lambda t: t.clamp(low, high)), Steps(tuple(ends), slopes)), x)


@tangent("aten.clamp_min.default")
def clamp_min(here: Here, x: Jet, low: float) -> Jet:
    return clamp(here, x, low, None)


@tangent("aten.clamp_max.default")
def clamp_max(here: Here, x: Jet, high: float) -> Jet:
    return clamp(here, x, None, high)


@tangent("aten.elu.default")
def elu_(here: Here, x: Jet, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Jet:
    if not all(1e-3 < c < 1e3 for c in (alpha, scale, input_scale)):
        raise Refused("one of alpha, scale and input_scale is out of the range that has a rule")
    return here.tape.apply(elu(alpha, scale, input_scale), x)


@tangent("aten.softplus.default")
def softplus_(here: Here, x: Jet, beta: float = 1, threshold: float = 20) -> Jet:
    if not (1e-3 < beta < 1e3 and 1 <= threshold < 1e3):
        raise Refused("its beta or its threshold is out of the range that has a rule")
    at = threshold / beta
    drop = math.log1p(math.exp(-threshold)) / beta
    dtype = here.node.meta["val"].dtype
    small = drop < 0.5 * torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(at))
    if small and bool((x.value.hi >= at * (1 - SLACK)).any()):
        here.assumptions.setdefault(
            f"softplus is taken as the exact function: its switch to x at {at:g} drops by {drop:.1e}, less than "
            f"half a rounding step of {str(dtype).removeprefix('torch.')}"
        )
    return here.tape.apply(softplus(float(beta), math.inf if small else float(threshold)), x)


@tangent("aten.maximum.default")
def maximum(here: Here, a: Any, b: Any) -> Jet:
    """b + relu(a - b): where a = b on a stretch of time their slopes agree, so any mixture of them is right."""
    a, b = pair(here, a, b)
    return here.tape.add(b, here.tape.apply(ROWS["relu"], here.tape.add(a, here.tape.minus(b))))


@tangent("aten.minimum.default")
def minimum(here: Here, a: Any, b: Any) -> Jet:
    a, b = pair(here, a, b)
    return here.tape.minus(maximum(here, here.tape.minus(a), here.tape.minus(b)))


@tangent("aten.amax.default")
def amax(here: Here, x: Jet, dim: Any = (), keepdim: bool = False) -> Jet:
    return _folded(here, x, dim, keepdim, maximum)


@tangent("aten.amin.default")
def amin(here: Here, x: Jet, dim: Any = (), keepdim: bool = False) -> Jet:
    return _folded(here, x, dim, keepdim, minimum)


def _folded(here: Here, x: Jet, dim: Any, keepdim: bool, of: Tangent) -> Jet:
    """Halves against halves, until one is left along the dimension."""
    dims = [feature(d, x) for d in ([dim] if isinstance(dim, int) else list(dim))]
    if len(dims) != 1:
        raise Refused("boxes need one dimension to reduce")
    d = dims[0]
    while (n := x.features[d - 1]) > 1:
        half = n // 2
        a, b = _narrow(here, x, d, 0, half), _narrow(here, x, d, half, half)
        rest = [_narrow(here, x, d, 2 * half, 1)] if n % 2 else []
        x = of(here, a, b)
        x = here.tape.move(lambda *t: torch.cat(t, d), [x, *rest]) if rest else x
    return x if keepdim else here.tape.move(lambda t: t.squeeze(d), [x])


def _narrow(here: Here, x: Jet, dim: int, start: int, length: int) -> Jet:
    return here.tape.move(lambda t: t.narrow(dim, start, length), [x])


@tangent("aten.sum.dim_IntList")
def sum_(here: Here, x: Jet, dim: Any, keepdim: bool = False, *, dtype: Any = None) -> Jet:
    dims = [feature(d, x) for d in (dim or [0])]
    terms = math.prod(x.features[d - 1] for d in dims)
    if not terms:
        raise Refused("it reduces no elements at all")
    return here.tape.move(lambda t: t.sum(dims, keepdim), [x], terms=max(terms, 2))


@tangent("aten.mean.dim")
def mean(here: Here, x: Jet, dim: Any, keepdim: bool = False, *, dtype: Any = None) -> Jet:
    dims = [feature(d, x) for d in (dim or [0])]
    terms = math.prod(x.features[d - 1] for d in dims)
    return div(here, sum_(here, x, dim, keepdim), float(terms))


# Rearrangements within a row, with the position of the dimension that they work along.
@tangent("aten.view.default", "aten.reshape.default", "aten._unsafe_view.default", "aten.squeeze.default",
         "aten.squeeze.dim", "aten.squeeze.dims", "aten.unsqueeze.default", "aten.flatten.using_ints",
         "aten.unflatten.int")  # fmt: skip
def reshaped(here: Here, x: Jet, *sizes: Any) -> Jet:
    # Elements keep their order, and dimension 0 is the rows before and after, so every row keeps its elements.
    shape = here.shape()
    if math.prod(shape) != math.prod(x.features):
        raise Refused("it changes the number of elements of a row")
    return here.tape.move(lambda t: t.reshape(t.shape[0], *shape), [x])


@tangent("aten.select.int")
def select(here: Here, x: Jet, dim: int, index: int) -> Jet:
    dim = feature(dim, x)
    return here.tape.move(lambda t: t.select(dim, index), [x])


@tangent("aten.slice.Tensor")
def slice_(here: Here, x: Jet, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Jet:
    if dim % (len(x.features) + 1) == 0:
        if start in (None, 0) and step == 1 and end in (None, 2**63 - 1):
            return x  # x[:]: all rows
        raise Refused("it takes some of the rows")
    dim = feature(dim, x)
    return here.tape.move(lambda t: torch.ops.aten.slice.Tensor(t, dim, start, end, step), [x])


@tangent("aten.transpose.int")
def transpose(here: Here, x: Jet, a: int, b: int) -> Jet:
    a, b = feature(a, x), feature(b, x)
    return here.tape.move(lambda t: t.transpose(a, b), [x])


@tangent("aten.permute.default")
def permute(here: Here, x: Jet, dims: list[int]) -> Jet:
    order = [d % len(dims) for d in dims]
    if order[0] != 0:
        raise Refused("it moves the dimension of the rows")
    return here.tape.move(lambda t: t.permute(order), [x])


@tangent("aten.index_select.default")
def index_select(here: Here, x: Any, dim: int, index: Any) -> Jet:
    if not isinstance(x, Jet) or not isinstance(index, Tensor):
        raise Refused("its index depends on the inputs")
    dim = feature(dim, x)
    return here.tape.move(lambda t: t.index_select(dim, index), [x], fan=max(index.numel(), 1))


@tangent("aten.expand.default")
def expand(here: Here, x: Jet, size: Any, *, implicit: bool = False) -> Jet:
    if len(size) != len(x.features) + 1:
        raise Refused("it adds dimensions in front of the rows")
    return _widened(here, x, here.shape())


@tangent("aten.cat.default")
def cat(here: Here, xs: list[Any], dim: int = 0) -> Jet:
    if not all(isinstance(x, Jet) for x in xs):
        raise Refused("it joins constants, one for each row, to values")
    dim = feature(dim, xs[0])
    return here.tape.move(lambda *t: torch.cat(t, dim), list(xs))


@tangent("aten.stack.default")
def stack(here: Here, xs: list[Any], dim: int = 0) -> Jet:
    if not all(isinstance(x, Jet) for x in xs):
        raise Refused("it joins constants, one for each row, to values")
    dim = feature(dim, xs[0], extra=1)
    return here.tape.move(lambda *t: torch.stack(t, dim), list(xs))


@tangent("aten.unbind.int")
def unbind(here: Here, x: Jet, dim: int = 0) -> tuple[Jet, ...]:
    dim = feature(dim, x)
    return tuple(select(here, x, dim, i) for i in range(x.features[dim - 1]))


@tangent("aten.split.Tensor")
def split(here: Here, x: Jet, size: int, dim: int = 0) -> tuple[Jet, ...]:
    dim = feature(dim, x)
    n = x.features[dim - 1]
    return tuple(_narrow(here, x, dim, i, min(size, n - i)) for i in range(0, n, size))


@tangent("aten.split_with_sizes.default")
def split_with_sizes(here: Here, x: Jet, sizes: list[int], dim: int = 0) -> tuple[Jet, ...]:
    dim = feature(dim, x)
    return tuple(_narrow(here, x, dim, sum(sizes[:i]), size) for i, size in enumerate(sizes))


@tangent("aten.chunk.default")
def chunk(here: Here, x: Jet, chunks: int, dim: int = 0) -> tuple[Jet, ...]:
    dim = feature(dim, x)
    return split(here, x, -(-x.features[dim - 1] // chunks), dim)


@tangent("aten.alias.default", "aten.clone.default", "aten.detach.default", "aten.contiguous.default",
         "aten.lift_fresh_copy.default", "aten.detach_copy.default")  # fmt: skip
def alias(here: Here, x: Jet, **layout: Any) -> Jet:
    if set(layout) - {"memory_format"}:
        raise Refused("it is called in a way that has no rule")
    return x


@tangent("aten._to_copy.default")
def cast(here: Here, x: Jet, **how: Any) -> Jet:
    # `_evaluate` refuses results of a narrower dtype, so this one holds every value of its operand.
    return x


@tangent("aten.dropout.default")
def dropout(here: Here, x: Jet, p: float, train: bool) -> Jet:
    if train and p != 0:
        raise Refused("it drops at random (train mode)")
    return x


@tangent("aten._native_batch_norm_legit_no_training.default")
def batch_norm_at_rest(
    here: Here, x: Jet, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> tuple[Any, ...]:
    return _normalised(here, x, weight, bias, mean, var, eps), None, None


@tangent("aten.batch_norm.default")
def batch_norm(
    here: Here, x: Jet, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float,
    cudnn: bool,
) -> Jet:  # fmt: skip
    if training or mean is None or var is None:
        raise Refused("it normalises by the statistics of the batch (train mode)")
    return _normalised(here, x, weight, bias, mean, var, eps)


def _normalised(here: Here, x: Jet, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> Jet:
    if not all(t is None or isinstance(t, Tensor) for t in (weight, bias, mean, var)):
        raise Refused("its statistics depend on the inputs")
    shape = (1, -1, *[1] * (len(x.features) - 1))
    spread = fact_plus(constant(var.reshape(shape)), constant(float(eps)))
    if not bool((spread.lo > 0).all()):
        raise Refused("its variance is not positive")
    deviation = FACT_ROWS["aten.sqrt.default"](Site(), spread)
    top = torch.ones(1) if weight is None else weight
    factor = over(constant(top.reshape(shape).expand(shape[0], spread.lo.shape[1], *shape[2:])), deviation)  # type: ignore[arg-type]
    centred = add(here, x, -constant(mean.reshape(shape)).lo)
    out = _scaled(here, centred, factor)
    return out if bias is None else add(here, out, constant(bias.reshape(shape)).lo)
