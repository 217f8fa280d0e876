"""The activation switch: a weight of either sign that can only pass a rise on as a rise.

- the parameter is free, so there is nothing to project: any optimizer, also one that no hook sees, keeps the guarantee;
- a positive weight looks at `f(x)`, a negative one at `f(-x)`, which falls: both terms rise with x.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..directions import Directions, as_directions
from ..errors import BadInput
from ._reading import in_double, works_by_entry
from ._settling import settle_

# Where an activation is tried out before it is believed to rise: well into both tails of those in use.
_TRIED = torch.linspace(-30.0, 30.0, 60001, dtype=torch.float64)


class SwitchLinear(nn.Module):
    """`W+ f(x) + W- f(-x) + b`, with W+ and W- the positive and the negative part of one free weight W.

    Rises with an input of direction +1 and falls with one of -1; one of 0 enters as in `nn.Linear`, `W x`. The
    activation is part of the layer and stands before the weights: stacks have none between their layers.

    Args:
        in_features, out_features: as in `nn.Linear`.
        directions: one for all inputs, or one per input.
        activation: increasing, entry by entry, and level on one side (ReLU, ELU, softplus, ...); ReLU by default, with
            which the layer rises in floats too, since rounding is itself monotone.

    Shapes: (..., in_features) -> (..., out_features). Cost: twice an `nn.Linear`.

    Raises:
        BadInput: an activation that falls somewhere, as GELU and SiLU do.

    Source: Sartor et al. 2025 (arXiv 2505.02537), the switch that follows its activation.

    >>> layer = isotone.nn.SwitchLinear(3, 2, directions=(+1, -1, 0))
    >>> x, more = torch.zeros(1, 3), torch.tensor([[1.0, -1.0, 0.0]])
    >>> bool((layer(more) >= layer(x)).all()), isotone.constraints_of(layer)
    (True, {})
    """

    sign: Tensor
    free: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        directions: Directions = +1,
        *,
        activation: nn.Module | Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.directions = as_directions(directions, in_features)
        self.activation = activation if activation is not None else nn.ReLU()
        _refuse_a_fall(self.activation)
        found = torch.tensor(self.directions)
        self.register_buffer("sign", torch.where(found < 0, -1.0, 1.0), persistent=False)
        self.register_buffer("free", found == 0, persistent=False)
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Outputs of mean 0 and variance 1 on inputs of mean 0 and variance 1 that know nothing of each other."""
        self.weight.normal_(std=1 / math.sqrt(self.in_features))
        self.bias.zero_()
        settle_([self], torch.randn(256, self.in_features))

    def forward(self, x: Tensor) -> Tensor:
        """The sums."""
        x = x * self.sign
        # clamp and not relu: its gradient at a weight of 0 is 1, so that such a weight is not stuck.
        positive, negative = self.weight.clamp(min=0), self.weight.clamp(max=0)
        if not any(d == 0 for d in self.directions):
            seen, seen_negated = self.activation(x), self.activation(-x)
        else:
            seen = torch.where(self.free, x, self.activation(x))
            seen_negated = torch.where(self.free, x, self.activation(-x))
        both = torch.cat([seen, seen_negated], dim=-1)
        return nn.functional.linear(both, torch.cat([positive, negative], dim=1), self.bias)

    def extra_repr(self) -> str:
        """Its sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}"

    @classmethod
    def stack(
        cls,
        widths: Sequence[int],
        directions: Directions = +1,
        *,
        activation: nn.Module | Callable[[Tensor], Tensor] | None = None,
    ) -> nn.Sequential:
        """Layers from width to width, of which the first knows the directions and the others rise.

        Every unit of every layer starts with mean 0 and variance 1 on random rows. A plain stack should not be deep:
        what all units have in common grows with each layer (`MonotoneResidual` is for depth).

        Args:
            widths: inputs, hidden layers, outputs; at least two.
            directions, activation: as for one layer.

        >>> net = isotone.nn.SwitchLinear.stack((4, 16, 16, 1), directions=(+1, +1, -1, 0))
        >>> net(torch.zeros(5, 4)).shape
        torch.Size([5, 1])
        """
        if len(widths) < 2:
            raise BadInput(
                "SwitchLinear.stack", f"widths={tuple(widths)} came", "inputs and outputs at least are right"
            )
        layers = [
            cls(before, after, directions if not depth else +1, activation=activation)
            for depth, (before, after) in enumerate(itertools.pairwise(widths))
        ]
        settle_(layers, torch.randn(256, widths[0]), spread=1.0)
        return nn.Sequential(*layers)


def _refuse_a_fall(activation: nn.Module | Callable[[Tensor], Tensor]) -> None:
    f = in_double(activation) if isinstance(activation, nn.Module) else activation
    with torch.no_grad():
        values = f(_TRIED.clone())
    # Equal values may differ in their last digits where a tail is level.
    if not works_by_entry(f) or not bool((values.diff() >= -1e-12).all()):
        raise BadInput(
            "SwitchLinear",
            f"activation={activation!r} came, which is not increasing entry by entry",
            "one that never falls is right, such as ReLU, ELU or softplus",
        )
