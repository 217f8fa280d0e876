"""One call or more for every rule, for the fuzz: the operands that carry facts are written `T(shape)`.

A rule without a case fails `test_every_rule_has_a_case`.
"""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

FLOAT, BOOL, LONG = torch.float64, torch.bool, torch.int64


@dataclass(frozen=True)
class T:
    """An operand that is not constant: its shape, dtype, and the box it may be drawn from."""

    shape: tuple[int, ...] = (2, 3)
    dtype: torch.dtype = FLOAT
    low: float = -float("inf")
    high: float = float("inf")
    still: bool = False


X = T()
POSITIVE = T(low=0.125)
NOT_NEGATIVE = T(low=0.0)
TRUTH = T(dtype=BOOL, low=0.0, high=1.0)


def w(*shape: int, seed: int = 0) -> torch.Tensor:
    """Constant weights of both signs, with zeros."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)
    return torch.where(drawn.abs() < 0.3, 0.0, drawn)


def i(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=LONG)


def call(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


UNARY = [
    "relu",
    "relu6",
    "floor",
    "ceil",
    "trunc",
    "round",
    "sign",
    "tanh",
    "sigmoid",
    "hardsigmoid",
    "log_sigmoid",
    "erf",
    "atan",
    "exp",
    "exp2",
    "expm1",
    "selu",
    "abs",
    "silu",
    "mish",
    "hardswish",
    "gelu",
    "neg",
    "square",
    "alias",
    "clone",
    "detach",
    "contiguous",
    "lift_fresh_copy",
    "detach_copy",
]
INDEX = i(0, 1, 0)
GRID = i([0, 1, 0], [1, 1, 0])
EDGES = torch.tensor([-1.0, 0.0, 0.5], dtype=FLOAT)
VOLUME = T((1, 1, 4, 4, 4))
IMAGE = T((1, 2, 4, 4))
SIGNAL = T((1, 2, 6))
SORTED_TABLE = torch.tensor([[-1.0, 3.0], [0.0, 3.0], [2.0, 1.0], [2.0, 0.0]], dtype=FLOAT)
IDS = T((4,), LONG, 0.0, 3.0)

# fmt: off
CASES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    **{f"aten.{name}.default": [call(X)] for name in UNARY},
    **{f"aten.{name}.default": [call(POSITIVE), call(T(low=1e-9, high=1e-3))] for name in ("sqrt", "log", "log2", "log10", "log1p", "reciprocal")},
    **{f"aten.{name}.Tensor": [call(X, X), call(X, w(3)), call(w(2, 3), X), call(X, T((3,)))] for name in ("gt", "ge", "lt", "le", "eq", "ne", "mul")},
    **{f"aten.{name}.Scalar": [call(X, 0.5), call(X, -2)] for name in ("gt", "ge", "lt", "le", "eq", "ne", "mul", "div")},
    **{f"aten.{name}.Tensor": [call(X, X), call(X, w(3), alpha=-2), call(w(2, 3), X, alpha=3)] for name in ("add", "sub", "rsub")},
    **{f"aten.{name}.Scalar": [call(X, 1.5), call(X, 2, -3)] for name in ("add", "sub", "rsub")},
    "aten.div.Tensor": [call(X, POSITIVE), call(w(2, 3), POSITIVE), call(X, T(high=-0.125)), call(X, torch.tensor([2.0, -1.0, 0.5], dtype=FLOAT))],
    "aten.addcmul.default": [call(X, X, X, value=-2), call(X, w(3), X)],
    "aten.pow.Tensor_Scalar": [call(X, 2), call(X, 3), call(X, 4), call(X, 1), call(X, 0), call(NOT_NEGATIVE, 0.5), call(NOT_NEGATIVE, 1.7), call(POSITIVE, -2), call(T(high=-0.125), -3), call(POSITIVE, -0.5)],
    # structural
    "aten.t.default": [call(X)],
    "aten.permute.default": [call(X, [1, 0])],
    "aten.transpose.int": [call(X, 0, 1)],
    "aten.movedim.int": [call(X, 0, 1)],
    "aten.squeeze.default": [call(T((2, 1)))],
    "aten.squeeze.dim": [call(T((2, 1)), 1)],
    "aten.squeeze.dims": [call(T((2, 1)), [1])],
    "aten.unsqueeze.default": [call(X, 1)],
    "aten.expand.default": [call(T((1, 3)), [4, 3])],
    "aten.slice.Tensor": [call(X, 1, 0, 2)],
    "aten.select.int": [call(X, 1, 2)],
    "aten.narrow.default": [call(X, 1, 1, 2)],
    "aten.cat.default": [call([X, w(2, 1), T((2, 2))], 1)],
    "aten.stack.default": [call([X, w(2, 3), X], 1)],
    "aten.split.Tensor": [call(X, 2, 1)],
    "aten.split_with_sizes.default": [call(X, [1, 2], 1)],
    "aten.chunk.default": [call(X, 2, 1)],
    "aten.unbind.int": [call(X, 1)],
    "aten.flip.default": [call(X, [1])],
    "aten.roll.default": [call(X, [1], [1])],
    "aten.repeat.default": [call(X, [2, 1])],
    "aten.diagonal.default": [call(X)],
    "aten.tril.default": [call(X)],
    "aten.triu.default": [call(X)],
    "aten.index_select.default": [call(X, 1, INDEX)],
    "aten.gather.default": [call(X, 1, GRID)],
    "aten.unfold.default": [call(X, 1, 2, 1)],
    "aten.slice_scatter.default": [call(X, T((2, 1)), 1, 0, 1), call(w(2, 3), T((2, 1)), 1, 0, 1)],
    "aten.select_scatter.default": [call(X, T((2,)), 1, 0)],
    "aten.flatten.using_ints": [call(X, 0, 1)],
    "aten.unflatten.int": [call(T((2, 4)), 1, [2, 2])],
    "aten.view.default": [call(X, [3, 2])],
    "aten._unsafe_view.default": [call(X, [6])],
    "aten.reshape.default": [call(X, [-1])],
    "aten.pad.default": [call(X, [1, 1]), call(X, [1, 1], "constant", -3.0), call(T((1, 2, 4)), [1, 1], "reflect")],
    "aten.constant_pad_nd.default": [call(X, [1, 0], 5)],
    "aten.index.Tensor": [call(X, [None, INDEX]), call(X, [i(1, 0)]), call(SORTED_TABLE, [IDS]), call(SORTED_TABLE, [T((2,), LONG, 1.0, 2.0)])],
    "aten.sum.default": [call(X)],
    "aten.mean.default": [call(X)],
    "aten.sum.dim_IntList": [call(X, [1]), call(X, [0, 1], True), call(X, None), call(X, [])],
    "aten.mean.dim": [call(X, [1], True), call(T((2, 1)), [1])],
    "aten.cumsum.default": [call(X, 1)],
    "aten.avg_pool1d.default": [call(SIGNAL, [2], [1], [1])],
    "aten.avg_pool2d.default": [call(IMAGE, [2, 2], [1, 1], [1, 1], True, False), call(IMAGE, [2, 2], [2, 2], [0, 0], False, True, 3)],
    "aten.adaptive_avg_pool1d.default": [call(SIGNAL, [4])],
    "aten.adaptive_avg_pool2d.default": [call(IMAGE, [3, 3])],
    "aten._adaptive_avg_pool2d.default": [call(IMAGE, [3, 3])],
    "aten.index_add.default": [call(T((2, 2)), 1, INDEX, X, alpha=2.5), call(T((2, 2)), 1, INDEX, X), call(torch.zeros(2, 2, dtype=FLOAT), 1, INDEX, X)],
    "aten.scatter_add.default": [call(T((2, 2)), 1, GRID, X)],
    "aten.scatter_reduce.two": [call(T((2, 2)), 1, GRID, X, "sum"), call(T((2, 2)), 1, GRID, X, "mean", include_self=False), call(T((2, 2)), 1, GRID, X, "mean"), call(T((2, 2)), 1, GRID, X, "amax"), call(T((2, 2)), 1, GRID, X, "amin", include_self=False)],
    **{f"aten.{name}.default": [call(X)] for name in ("ones_like", "zeros_like")},
    "aten.full_like.default": [call(X, 2.5)],
    "aten.new_zeros.default": [call(X, [2])],
    "aten.new_ones.default": [call(X, [2])],
    "aten.new_full.default": [call(X, [2], 3.0)],
    "aten.sym_size.int": [],  # gives a number, not a tensor; tested by every model with a batch
    # functions of one number with arguments
    "aten.hardtanh.default": [call(X), call(X, -0.5, 2.0)],
    "aten.clamp.default": [call(X, -1, 1), call(X, 0.5), call(X, None, 0.5), call(X, 2.0, 1.0)],
    "aten.clamp_min.default": [call(X, 0.25)],
    "aten.clamp_max.default": [call(X, 0.25)],
    "aten.clamp.Tensor": [call(X, w(3), X), call(X, None, w(3))],
    "aten.threshold.default": [call(X, 0.5, 0.0), call(X, 0.5, 0.5)],
    "aten.leaky_relu.default": [call(X), call(X, 0.0), call(X, -0.5), call(X, 2.0)],
    "aten.elu.default": [call(X), call(X, 0.5, 2.0, 3.0)],
    "aten.celu.default": [call(X), call(X, 0.3)],
    "aten.softplus.default": [call(X), call(X, 2.0), call(X, 1.0, 2.0), call(X, 0.5, 0.0)],
    "aten.bucketize.Tensor": [call(X, torch.tensor([-1.0, 0.0, 0.5], dtype=FLOAT), right=True)],
    # linear
    "aten.mm.default": [call(X, w(3, 2)), call(w(3, 2), X), call(X, T((3, 2)))],
    "aten.bmm.default": [call(T((2, 2, 3)), w(2, 3, 2)), call(w(2, 3, 2), T((2, 2, 3))), call(T((2, 2, 3)), T((2, 3, 2)))],
    "aten.matmul.default": [call(X, w(3)), call(X, w(3, 2).abs()), call(T((2, 2, 3)), w(3, 2))],
    "aten.mv.default": [call(X, w(3)), call(w(2, 3), T((3,)))],
    "aten.dot.default": [call(T((3,)), w(3)), call(w(3), T((3,)))],
    "aten.linear.default": [call(X, w(4, 3), w(4, seed=1)), call(X, w(4, 3).abs()), call(w(2, 3), T((4, 3)), T((4,)))],
    "aten.addmm.default": [call(w(2), X, w(3, 2), beta=2, alpha=-1), call(T((2,)), w(3, 2).t(), T((3, 2)))],
    "aten.baddbmm.default": [call(w(2, 2, 2), T((2, 2, 3)), w(2, 3, 2))],
    "aten.addmv.default": [call(w(2), X, w(3))],
    "aten.convolution.default": [
        call(SIGNAL, w(3, 2, 2), w(3), [1], [1], [1], False, [0], 1),
        call(IMAGE, w(2, 1, 2, 2), None, [2, 1], [0, 1], [1, 1], False, [0, 0], 2),
        call(SIGNAL, w(2, 3, 2), w(3), [2], [0], [1], True, [1], 1),
    ],
    # order
    **{f"aten.{name}": [call(X, X), call(X, w(3)), call(T((3,)), X)] for name in ("maximum.default", "minimum.default", "max.other", "min.other")},
    "aten.amax.default": [call(X, [1]), call(X, [0, 1], True), call(X)],
    "aten.amin.default": [call(X, [1]), call(X)],
    "aten.max.default": [call(X)],
    "aten.min.default": [call(X)],
    "aten.max.dim": [call(X, 1), call(X, 0, True)],
    "aten.min.dim": [call(X, 1)],
    "aten.sort.default": [call(X), call(X, 0, True)],
    "aten.topk.default": [call(X, 2), call(X, 1, 0, False)],
    "aten.max_pool1d.default": [call(SIGNAL, [2], [1], [1])],
    "aten.max_pool2d.default": [call(IMAGE, [2, 2], [1, 1], [1, 1])],
    "aten.max_pool2d_with_indices.default": [call(IMAGE, [2, 2])],
    "aten.max_pool1d_with_indices.default": [call(SIGNAL, [2])],
    "aten.adaptive_max_pool1d.default": [call(SIGNAL, [4])],
    "aten.adaptive_max_pool2d.default": [call(IMAGE, [3, 3])],
    # conditional
    "aten.logical_not.default": [call(TRUTH)],
    "aten.bitwise_not.default": [call(TRUTH)],
    **{f"aten.{name}": [call(TRUTH, TRUTH), call(TRUTH, torch.tensor([True, False, True]))] for name in ("logical_and.default", "logical_or.default", "bitwise_and.Tensor", "bitwise_or.Tensor", "__and__.Tensor", "__or__.Tensor")},
    "aten.where.self": [call(TRUTH, X, X), call(torch.tensor([True, False, True]), X, w(3)), call(TRUTH, w(3), w(3, seed=1))],
    "aten.where.ScalarOther": [call(TRUTH, X, 0.5)],
    "aten.where.ScalarSelf": [call(TRUTH, 0.5, X)],
    "aten.where.Scalar": [call(TRUTH, 1.0, 0.0), call(TRUTH, 0.0, 1.0)],
    "aten.masked_fill.Scalar": [call(X, TRUTH, -1.0), call(X, torch.tensor([True, False, True]), 2.0)],
    "aten.masked_fill.Tensor": [call(X, TRUTH, torch.tensor(0.5, dtype=FLOAT))],
    "aten._to_copy.default": [
        call(X, dtype=torch.float64), call(X, dtype=torch.float32), call(T(low=-100.0, high=100.0), dtype=torch.float16),
        call(T(low=-9.0, high=9.0), dtype=torch.int8), call(X, dtype=torch.bool), call(TRUTH, dtype=torch.float32),
    ],
    # special
    "aten.softmax.int": [call(X, 1), call(T((2, 1)), 1)],
    "aten._softmax.default": [call(X, 0, False)],
    "aten.log_softmax.int": [call(X, 1)],
    "aten._log_softmax.default": [call(X, -1, False)],
    "aten.logsumexp.default": [call(X, [1]), call(X, [0, 1], True)],
    "aten._native_batch_norm_legit_no_training.default": [call(T((2, 3, 2)), w(3), w(3, seed=1), w(3), w(3).abs(), 0.1, 1e-5), call(X, None, None, w(3), w(3).abs(), 0.1, 1e-5)],
    "aten.batch_norm.default": [call(X, w(3), w(3, seed=1), w(3), w(3).abs(), False, 0.1, 1e-5, False)],
    "aten.dropout.default": [call(X, 0.5, False), call(X, 0.0, True)],
    "aten.native_dropout.default": [call(X, 0.5, False)],
    "aten.prelu.default": [call(X, w(3)), call(X, torch.tensor([0.25], dtype=FLOAT))],
    "aten._prelu_kernel.default": [call(X, w(1, 3))],
    "aten.glu.default": [call(T((2, 4)))],
    # functions of one number with a domain, or that turn
    **{f"aten.{name}.default": [call(X)] for name in ("sinh", "asinh", "cosh", "erfc")},
    **{f"aten.{name}.default": [call(T(low=-9.0, high=9.0))] for name in ("isnan", "isinf", "isfinite", "nan_to_num")},
    **{f"aten.{name}.default": [call(X), call(T(low=-7.0, high=7.0)), call(T(low=0.1, high=1.4)), call(T(low=3.2, high=4.6))] for name in ("sin", "cos")},
    **{f"aten.{name}.default": [call(T(low=-0.99, high=0.99))] for name in ("asin", "acos", "atanh", "tan")},
    "aten.acosh.default": [call(T(low=1.0))],
    "aten.rsqrt.default": [call(POSITIVE)],
    "aten.softshrink.default": [call(X), call(X, 0.0), call(X, 2.0)],
    "aten.hardshrink.default": [call(X), call(X, 0.0), call(X, 2.0)],
    "aten.rrelu.default": [call(X), call(X, 0.5, 0.7)],
    "aten.pow.Scalar": [call(2.0, T(high=50.0)), call(0.5, T(low=-50.0, high=90.0)), call(1.0, X), call(3, X)],
    "aten.pow.Tensor_Tensor": [call(POSITIVE, T(low=-5.0, high=5.0)), call(X, torch.tensor([2.0, 3.0, 1.0], dtype=FLOAT)), call(NOT_NEGATIVE, torch.tensor([0.5, 2.0, 0.0], dtype=FLOAT)), call(torch.tensor([0.5, 2.0, 1.0], dtype=FLOAT), T(low=-30.0, high=30.0))],
    "aten.hypot.default": [call(X, X), call(X, w(3))],
    **{f"aten.{name}": [call(X, 0.75), call(X, -2.0), call(T(low=0.1, high=0.7), 0.75)] for name in ("remainder.Scalar", "fmod.Scalar")},
    **{f"aten.{name}": [call(X, torch.tensor([0.5, -3.0, 100.0], dtype=FLOAT))] for name in ("remainder.Tensor", "fmod.Tensor")},
    **{f"aten.{name}": [call(X, 2.0, rounding_mode="floor"), call(X, -0.5, rounding_mode="trunc"), call(X, 4, rounding_mode=None)] for name in ("div.Scalar_mode",)},
    "aten.div.Tensor_mode": [call(X, POSITIVE, rounding_mode="floor"), call(T((3,), LONG, -20.0, 20.0), i(2, 3, -4), rounding_mode="floor"), call(X, POSITIVE, rounding_mode=None)],
    "aten.floor_divide.default": [call(X, torch.tensor([2.0, -1.0, 0.5], dtype=FLOAT))],
    "aten.floor_divide.Scalar": [call(X, 2.0)],
    # products, interpolation, sums of exponentials, norms
    "aten.prod.dim_int": [call(X, 1), call(T((2, 5)), 1, True), call(T((2, 4), low=0.0), 0)],
    "aten.prod.default": [call(X), call(NOT_NEGATIVE)],
    "aten.cumprod.default": [call(X, 1), call(NOT_NEGATIVE, 0)],
    "aten.lerp.Scalar": [call(X, X, 0.25), call(X, w(3), 2.0), call(X, X, -0.5)],
    "aten.lerp.Tensor": [call(X, X, T(low=0.0, high=1.0)), call(X, w(2, 3), X), call(w(2, 3), w(2, 3, seed=1), T(low=0.0, high=1.0))],
    "aten.logaddexp.default": [call(X, X), call(X, w(3))],
    "aten.logaddexp2.default": [call(X, X), call(X, w(3))],
    "aten.logcumsumexp.default": [call(X, 1)],
    "aten.linalg_vector_norm.default": [call(X), call(X, 1, [1]), call(X, float("inf"), [0], True)],
    "aten.bilinear.default": [call(X, X, w(4, 3, 3), w(4)), call(X, w(2, 3), w(1, 3, 3))],
    # order
    "aten.fmax.default": [call(X, X)],
    "aten.fmin.default": [call(X, X)],
    "aten.kthvalue.default": [call(X, 2), call(X, 1, 0, True)],
    "aten.median.dim": [call(X, 1), call(T((2, 4)), 1, True)],
    "aten.nanmedian.dim": [call(T((2, 4)), 1)],
    "aten.median.default": [call(X)],
    "aten.nanmedian.default": [call(X)],
    "aten.cummax.default": [call(X, 1)],
    "aten.cummin.default": [call(X, 0)],
    "aten.aminmax.default": [call(X), call(X, dim=1, keepdim=True)],
    "aten.max_pool3d.default": [call(VOLUME, [2, 2, 2])],
    "aten.max_pool3d_with_indices.default": [call(VOLUME, [2, 2, 2])],
    "aten.adaptive_max_pool3d.default": [call(VOLUME, [2, 2, 2])],
    # truth values
    **{f"aten.{name}": [call(TRUTH, TRUTH), call(TRUTH, torch.tensor([True, False, True]))] for name in ("logical_xor.default", "bitwise_xor.Tensor", "__xor__.Tensor")},
    **{f"aten.{name}.default": [call(TRUTH), call(X)] for name in ("any", "all")},
    **{f"aten.{name}.dim": [call(TRUTH, 1), call(X, 0, True)] for name in ("any", "all")},
    **{f"aten.{name}.dims": [call(TRUTH, [0, 1]), call(X, [1], True)] for name in ("any", "all")},
    "aten.searchsorted.Tensor": [call(EDGES, X), call(torch.stack([EDGES, EDGES + 1]), X, right=True), call(EDGES, X, side="right")],
    # places
    "aten.pixel_shuffle.default": [call(T((1, 4, 2, 2)), 2)],
    "aten.pixel_unshuffle.default": [call(IMAGE, 2)],
    "aten.channel_shuffle.default": [call(T((1, 4, 2, 2)), 2)],
    **{f"aten.{name}.default": [call(X, [None, i(0, 2)], T((2, 2))), call(X, [i(0), i(1)], w(1)), call(X, [i(0, 0), i(1, 1)], T((2,)), True), call(w(2, 3), [i(1)], T((3,)), True)] for name in ("index_put", "_unsafe_index_put")},
    "aten.scatter.src": [call(X, 1, i([0, 2], [1, 0]), T((2, 2)))],
    "aten.scatter.value": [call(X, 1, i([0, 0], [1, 2]), 2.5)],
    "aten.copy.default": [call(X, T((3,))), call(w(2, 3), X)],
    **{f"aten.upsample_nearest{n}d.default": [call(T((1, 2, *[3] * n)), [5] * n)] for n in (1, 2, 3)},
    **{f"aten.upsample_nearest{n}d.vec": [call(T((1, 2, *[3] * n)), None, [2.0] * n), call(T((1, 2, *[3] * n)), [4] * n, None)] for n in (1, 2, 3)},
    **{f"aten.upsample_{name}.default": [call(T((1, 2, *[3] * n)), [5] * n, False), call(T((1, 2, *[3] * n), low=0.0), [4] * n, True)] for n, name in ((1, "linear1d"), (2, "bilinear2d"), (3, "trilinear3d"))},
    **{f"aten.upsample_{name}.vec": [call(T((1, 2, *[3] * n)), None, False, [2.0] * n)] for n, name in ((1, "linear1d"), (2, "bilinear2d"), (3, "trilinear3d"))},
    "aten.avg_pool3d.default": [call(VOLUME, [2, 2, 2])],
    "aten._adaptive_avg_pool3d.default": [call(VOLUME, [2, 2, 2])],
    "aten.adaptive_avg_pool3d.default": [call(VOLUME, [2, 2, 2])],
    # norms and attention
    "aten.layer_norm.default": [call(X, [3]), call(X, [2, 3], w(2, 3), w(2, 3, seed=1))],
    "aten.native_layer_norm.default": [call(X, [3], w(3), w(3, seed=1), 1e-5)],
    "aten.rms_norm.default": [call(X, [3]), call(X, [3], w(3), 1e-3)],
    "aten.group_norm.default": [call(T((2, 4, 2)), 2, w(4), w(4, seed=1)), call(T((2, 4)), 4)],
    "aten.native_group_norm.default": [call(T((2, 4, 2)), w(4), w(4, seed=1), 2, 4, 2, 2, 1e-5)],
    "aten.scaled_dot_product_attention.default": [
        call(w(1, 2, 3), w(1, 4, 3, seed=1), T((1, 4, 3))), call(T((1, 2, 3), still=True), T((1, 4, 3), still=True), T((1, 4, 3)), None, 0.0, True),
        call(w(1, 2, 3), w(1, 2, 3, seed=1), T((1, 2, 3)), torch.tensor([[True, False], [True, True]])),
    ],
    "aten.embedding.default": [call(SORTED_TABLE, IDS), call(T((4, 2)), i(0, 3, 1)), call(SORTED_TABLE, T((2, 2), LONG, 0.0, 3.0, still=True))],
    "aten._embedding_bag.default": [call(SORTED_TABLE, T((4,), LONG, 0.0, 3.0, still=True), i(0, 1), False, 0, False, T((4,)))],
    "aten._embedding_bag_forward_only.default": [call(SORTED_TABLE, i(0, 3, 2, 2), i(0, 0, 3), False, 0, False, T((4,)))],
    "aten.embedding_bag.default": [call(SORTED_TABLE.abs(), T((4,), LONG, 0.0, 3.0, still=True), i(0, 2), False, 0, False, T((4,)))],
    "aten.embedding_bag.padding_idx": [call(SORTED_TABLE, i(0, 3, 2, 2), i(0, 1, 4), False, 0, False, T((4,)), True, None)],
}
# fmt: on
