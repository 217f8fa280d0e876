"""What a constraint is: a set of weights that can say which of its members is nearest.

- a frozen value without tensors: it can be compared, hashed, printed and sent to another process;
- `project` is all that a new one has to say.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor


class Constraint(abc.ABC):
    """A closed set of weights. To vary a constraint, wrap it; do not subclass one."""

    @abc.abstractmethod
    def project(self, w: Tensor) -> Tensor:
        """The nearest member of the set to `w`, of its shape, dtype and device.

        A member comes back the same to the bit (only -0.0 becomes 0.0). NaN stays NaN: a weight that diverged is not
        made to look well.
        """

    def violation(self, w: Tensor) -> Tensor:
        """How far outside the worst entry is: a scalar in the dtype of `w`; 0 inside, NaN if `w` holds NaN."""
        if w.numel() == 0:
            return w.new_zeros(())
        nearest = self.project(w)
        # An infinite member differs from itself by NaN: equal entries count as 0, and NaN equals nothing.
        return torch.where(w == nearest, 0.0, (w - nearest).abs()).max()
