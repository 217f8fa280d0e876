"""Monotone networks of many layers: what a layer adds, it adds to what is there.

- a sum of two functions that rise, rises: any monotone part may stand in a branch;
- deep stacks start and stay at unit size.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import BadInput


class MonotoneResidual(nn.Module):
    """`x + gain * layers(x)`: increasing if `layers` is, for one that gives back as many numbers as it takes.

    With weights of one sign a branch is correlated with what it is added to, so their sizes add up and not their
    variances: of L blocks whose branches have size 1, a gain of 1 / L lets the whole grow e-fold at most, one of
    1 / sqrt(L) some e^sqrt(L)-fold. The gain is a fixed number and no start of the weights, for the same holds of
    training: a step that moves many weights of a sign one way moves all blocks together.

    Args:
        layers: increasing in every input; nothing checks it here, `certify` proves it for the whole.
        gain: of the branch, above 0: one over the number of blocks is right.

    Shapes: (..., n) -> (..., n). Cost: that of `layers`.

    Raises:
        BadInput: a gain that is not above 0.

    Source: He et al. 2016 (arXiv 1512.03385) for the sum; Zhang et al. 2019 (arXiv 1901.09321) for branches that start
    small with depth.

    >>> block = isotone.nn.MonotoneResidual(isotone.nn.MonotoneLinear(4, 4), gain=0.25)
    >>> block(torch.zeros(2, 4)).shape
    torch.Size([2, 4])
    """

    def __init__(self, layers: nn.Module, gain: float = 1.0) -> None:
        super().__init__()
        if not 0 < gain < float("inf"):
            raise BadInput("MonotoneResidual", f"gain={gain} came", "a finite number above 0 is right")
        self.layers = layers
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """What is there, and what is added."""
        return x + self.gain * self.layers(x)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        """How much is added."""
        return f"gain={self.gain:.4g}"
