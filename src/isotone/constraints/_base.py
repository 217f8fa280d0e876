"""What a constraint is: a set of weights that can say which of its members is nearest.

- a frozen value without tensors: it can be compared, hashed, printed and sent to another process;
- `project` is all that a new one has to say.
"""

from __future__ import annotations

import abc
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence


def refuse_no_number(where: str, **sizes: Any) -> None:
    """Sizes are numbers, before they are compared with any.

    Raises:
        BadInput: one is not.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, Real):
            raise BadInput(where, f"{name}={size!r} came", "a number is right")


class Constraint(abc.ABC):
    """A closed set of weights. To vary a constraint, wrap it; do not subclass one.

    Class attributes say what else is true of the set, and thereby how it may be combined and held:

    - `elementwise`: each entry has an interval of its own, so the nearest member is the same in every diagonal metric;
    - `convex`: averages of members are members;
    - `takes_metric`: `project` heeds its `metric`;
    - `signs`: it bounds entries by 0 and by nothing else;
    - `symmetric`: it does not look at the signs of entries: norm balls, spheres;
    - `filler`: an entry of this value takes no part (0 in a norm), so the set can be asked of some entries only.
    """

    elementwise: ClassVar[bool] = False
    convex: ClassVar[bool] = True
    takes_metric: ClassVar[bool] = False
    signs: ClassVar[bool] = False
    symmetric: ClassVar[bool] = False
    filler: ClassVar[float | None] = None

    @abc.abstractmethod
    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """The nearest member of the set to `w`, of its shape, dtype and device.

        Nearest in least squares, or with a `metric` (positive, the shape of `w`) in the squares weighted by it. A
        member comes back the same to the bit. NaN stays NaN: a weight that diverged is not made to look well.
        """

    def project_(self, weights: Sequence[Tensor]) -> None:
        """Project several tensors in place, in plain least squares. To be called under `no_grad`."""
        for w in weights:
            w.copy_(self.project(w))

    def violation(self, w: Tensor) -> Tensor:
        """How far outside the worst entry is: a scalar in the dtype of `w`; 0 inside, NaN if `w` holds NaN."""
        if w.numel() == 0:
            return w.new_zeros(())
        nearest = self.project(w)
        # An infinite member differs from itself by NaN: equal entries count as 0, and NaN equals nothing.
        return torch.where(w == nearest, 0.0, (w - nearest).abs()).max()

    def check(self, w: Tensor) -> None:
        """Raise `BadInput` if the set does not fit a weight like `w`, before it is held there."""
        self.project(w)

    def for_layer(self, module: nn.Module, name: str) -> Self:
        """The same set for one parameter of `module`: here `dim="inputs"` becomes numbers."""
        return self

    def together(self, ndim: int) -> tuple[int, ...] | None:
        """The dimensions that one process must see whole to project; None: all of them."""
        return None

    def parametrized(self, raw: Tensor) -> Tensor:
        """A smooth map from all tensors into the set, for those who cannot project after the step."""
        raise BadInput(repr(self), "there is no smooth map onto this set", "hold it with `constrain`")

    def raw(self, w: Tensor) -> Tensor:
        """A tensor that `parametrized` maps to `w`, or as near to it as the map reaches."""
        raise BadInput(repr(self), "there is no smooth map onto this set", "hold it with `constrain`")
