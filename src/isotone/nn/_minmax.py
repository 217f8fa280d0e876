"""Smallest of largest linear forms: every increasing function, from the plainest parts there are.

A maximum of increasing linear forms rises with each of them, and so does a minimum of such maxima. One group gives any
convex increasing function, several groups any increasing function (Sill 1997).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..constraints import constraints_of
from ..directions import Directions
from ..errors import BadInput
from ._dense import MonotoneLinear
from ._initialize import initialize_


class MinMax(nn.Module):
    """The smallest over groups of the largest within each group of linear forms with signed weights.

    Args:
        in_features: numbers in a row.
        out_features: outputs, each with groups of its own.
        groups: how many groups, at least 1.
        size: linear forms in a group, at least 1.
        directions: one for all inputs, or one per input.
        outer: "min" for the smallest of largest (Sill), "max" for the largest of smallest.
        smooth: None, or a number beta above 0: each maximum becomes log(sum(exp(beta x))) / beta, which is never
            further above it than log(size) / beta, and each minimum likewise. Then every form gets a gradient, and not
            only the one that is seen.

    Shapes: (rows, in_features) -> (rows, out_features).
    Cost: of `nn.Linear(in_features, out_features * groups * size)`.

    Raises:
        BadInput: groups or size below 1, beta not above 0, another `outer`.

    Source: Sill, NIPS 10 (1997); smooth: Igel, "Smooth Min-Max Monotonic Networks", ICML 2024 (arXiv 2306.01147), here
    with linear weights at least 0 where the paper has their exponentials, and beta fixed.

    >>> net = isotone.nn.MinMax(3, directions=(+1, -1, 0), groups=4, size=4)
    >>> net(torch.zeros(5, 3)).shape
    torch.Size([5, 1])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int = 1,
        *,
        groups: int = 8,
        size: int = 8,
        directions: Directions = +1,
        outer: Literal["min", "max"] = "min",
        smooth: float | None = None,
    ) -> None:
        super().__init__()
        if groups < 1 or size < 1:
            raise BadInput("MinMax", f"groups={groups} and size={size} came", "1 or more of each is right")
        if smooth is not None and not 0 < smooth < float("inf"):
            raise BadInput("MinMax", f"smooth={smooth} came", "a finite number above 0, or None, is right")
        if outer not in {"min", "max"}:
            raise BadInput("MinMax", f"outer={outer!r} came", "'min' or 'max' is right")
        self.shape = (out_features, groups, size)
        self.outer, self.smooth = outer, smooth
        self.forms = MonotoneLinear(in_features, out_features * groups * size, directions)
        if constraints_of(self):
            initialize_(self.forms, before={"": "data"}, spread=1.0)  # forms that meet at different places

    def forward(self, x: Tensor) -> Tensor:
        """The outputs."""
        forms = self.forms(x).unflatten(-1, self.shape)
        if self.outer == "min":
            return self._smallest(self._largest(forms))
        return self._largest(self._smallest(forms))

    def _largest(self, x: Tensor) -> Tensor:
        return x.amax(-1) if self.smooth is None else torch.logsumexp(self.smooth * x, -1) / self.smooth

    def _smallest(self, x: Tensor) -> Tensor:
        return x.amin(-1) if self.smooth is None else -torch.logsumexp(-self.smooth * x, -1) / self.smooth

    def extra_repr(self) -> str:
        """What is taken of what."""
        return f"groups={self.shape[1]}, size={self.shape[2]}, outer={self.outer!r}, smooth={self.smooth}"
