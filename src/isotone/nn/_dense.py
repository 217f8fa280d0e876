"""Layers whose every output moves one way with each input."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..constraints import constrain, constraints_of
from ..constraints._elementwise import by_direction
from ..directions import Directions, as_directions
from ..errors import BadInput
from ._counts import check_counts, check_widths
from ._initialize import initialize_
from ._residual import MonotoneResidual
from ._safe import MonotoneBatchNorm


class MonotoneLinear(nn.Linear):
    """`nn.Linear` whose outputs rise with an input of direction +1, fall with one of -1, and are free in one of 0.

    The bias is free: predictions of either sign stay possible.

    Args:
        in_features, out_features: as in `nn.Linear`.
        directions: one for all inputs, or one per input.
        bias: as in `nn.Linear`.

    Shapes: (..., in_features) -> (..., out_features). Cost: as `nn.Linear`, and one clamp of the weight at each step.

    >>> layer = isotone.nn.MonotoneLinear(3, 2, directions=(+1, -1, 0))
    >>> isotone.violations(layer)
    {'weight': 0.0}
    """

    def __init__(self, in_features: int, out_features: int, directions: Directions = +1, *, bias: bool = True) -> None:
        check_counts("MonotoneLinear", least=0, in_features=in_features, out_features=out_features)
        super().__init__(in_features, out_features, bias=bias)
        self.directions = as_directions(directions, in_features)
        with torch.no_grad():
            self.weight.copy_(start(self.weight, torch.tensor(self.directions), in_features))
        constraint = by_direction(self.directions)
        if constraint is not None:
            constrain(self, "weight", constraint)


class Saturating(nn.Module):
    """An increasing activation that saturates on one side: `elu(x)` below, `-elu(-x)` above.

    Layers of non-negative weights with one convex activation make convex functions only; with activations that saturate
    on alternating sides they make every monotone one (Sartor et al. 2025, arXiv 2505.02537, theorem 3.5).

    >>> isotone.nn.Saturating(above=True)(torch.tensor([-2.0, 0.0, 50.0]))
    tensor([-2.,  0.,  1.])
    """

    def __init__(self, *, above: bool) -> None:
        super().__init__()
        self.above = above

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; entry by entry."""
        return -nn.functional.elu(-x) if self.above else nn.functional.elu(x)

    def extra_repr(self) -> str:
        """Which side."""
        return f"above={self.above}"


class MonotoneMLP(nn.Module):
    """A monotone network on a row of numbers, one raw logit per output.

    Args:
        in_features: numbers in a row. Scale them to about unit size by fixed positive factors first.
        hidden: width of each hidden layer.
        directions: one for all inputs, or one per input.
        out_features: logits. For several labels each is monotone by itself; do not put a softmax over them.
        residual: each hidden layer after the first adds to the one before it (`MonotoneResidual`), so that sixteen
            layers and more train; all must have one width.
        norm: "batch" for a `MonotoneBatchNorm` before each activation, or None.

    Shapes: (rows, in_features) -> (rows, out_features).

    Raises:
        BadInput: hidden layers of several widths with `residual`, or a norm that does not rise.

    >>> net = isotone.nn.MonotoneMLP(in_features=4, hidden=(8, 8), directions=(+1, +1, -1, 0))
    >>> net(torch.zeros(5, 4)).shape
    torch.Size([5, 1])
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (64, 64),
        directions: Directions = +1,
        out_features: int = 1,
        *,
        residual: bool = False,
        norm: Literal["batch"] | None = None,
    ) -> None:
        super().__init__()
        check_counts("MonotoneMLP", in_features=in_features, out_features=out_features)
        check_widths("MonotoneMLP", hidden=hidden)
        if norm not in {None, "batch"}:
            raise BadInput(
                "MonotoneMLP",
                f"norm={norm!r} came",
                "'batch' or None is right",
                "Norms of a row, such as a layer norm, lower some of its numbers when others rise.",
            )
        if residual and len(set(hidden)) > 1:
            raise BadInput("MonotoneMLP", f"hidden={tuple(hidden)} came", "one width is right where layers are added")
        first = MonotoneLinear(in_features, hidden[0] if hidden else out_features, directions)
        after = residual_trunk if residual else trunk
        self.layers = nn.Sequential(first, *after((*hidden, out_features), norm=norm) if hidden else ())
        # With signs that agree an ordinary start loses the signal within a few layers.
        if constraints_of(self.layers):
            initialize_(self, torch.randn(256, in_features) if residual else None, spread=float(residual))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        return self.layers(x)  # type: ignore[no-any-return]


def trunk(
    widths: Sequence[int], *, monotone: bool = True, dropout: float = 0.0, norm: Literal["batch"] | None = None
) -> list[nn.Module]:
    """Activation and layer in turn, from width to width; `monotone=False` gives the same shape unconstrained.

    >>> [type(layer).__name__ for layer in trunk((4, 4, 1))]
    ['Saturating', 'MonotoneLinear', 'Saturating', 'MonotoneLinear']
    """
    layers: list[nn.Module] = []
    for depth, (before, after) in enumerate(itertools.pairwise(widths)):
        if norm is not None:
            layers.append(MonotoneBatchNorm(before) if monotone else nn.BatchNorm1d(before))
        layers.append(Saturating(above=depth % 2 == 0))
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers.append(MonotoneLinear(before, after, directions=+1 if monotone else 0))
    return layers


def residual_trunk(
    widths: Sequence[int], *, monotone: bool = True, dropout: float = 0.0, norm: Literal["batch"] | None = None
) -> list[nn.Module]:
    """As `trunk`, of one width up to the last layer: what each layer but the last gives is added to what it was given.

    >>> [type(layer).__name__ for layer in residual_trunk((4, 4, 1))]
    ['MonotoneResidual', 'Saturating', 'MonotoneLinear']
    """
    layers = trunk(widths, monotone=monotone, dropout=dropout, norm=norm)
    blocks, size = len(widths) - 2, len(layers) // (len(widths) - 1)
    branches = [nn.Sequential(*layers[i * size : (i + 1) * size]) for i in range(blocks)]
    return [*(MonotoneResidual(branch, gain=1 / blocks) for branch in branches), *layers[blocks * size :]]


def start(weight: Tensor, directions: Tensor, fan_in: int) -> Tensor:
    """Random starting weights whose signs are those of the directions; free ones get a random sign.

    The sizes are half-normal, so that the sum over `fan_in` inputs of unit variance has about unit variance around its
    mean. With signs that agree the mean grows with `fan_in`; `centre_` takes it out with the bias.

    Args:
        weight: gives shape and dtype.
        directions: broadcastable to `weight`.
        fan_in: inputs that meet in one sum.
    """
    size = torch.empty_like(weight).normal_(std=1 / math.sqrt(fan_in)).abs()
    sign = torch.where(torch.rand_like(size) < 0.5, -1.0, 1.0)
    return size * torch.where(directions == 0, sign, directions.to(size.dtype))
