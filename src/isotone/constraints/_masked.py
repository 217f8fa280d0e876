"""Sets that speak of some entries only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ._base import Constraint
from ._elementwise import Bound, within
from ._entries import Entries


@final
@dataclass(frozen=True)
class Masked(Constraint):
    """A constraint for some entries only; the others are free.

    Args:
        constraint: the set.
        mask: true where it holds, an array that broadcasts to the weight. A set of vectors takes any mask if entries
            can be left out of it (norm balls, simplex); otherwise the mask must take vectors whole.

    >>> Masked(isotone.NonNegative(), [True, False]).project(torch.tensor([-1.0, -1.0]))
    tensor([ 0., -1.])
    """

    constraint: Constraint
    mask: Any

    def __post_init__(self) -> None:
        given: Any = self.constraint
        if not isinstance(given, Constraint):
            came = f"{given!r} came as the constraint"
            raise BadInput("Masked", came, "one such as NonNegative() is right, and then its mask")
        mask = self.mask if isinstance(self.mask, Entries) else Entries(Entries(self.mask).array != 0)
        object.__setattr__(self, "mask", mask)

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        """As what it masks."""
        return self.constraint.elementwise

    @property
    def convex(self) -> bool:  # type: ignore[override]
        """As what it masks."""
        return self.constraint.convex

    @property
    def takes_metric(self) -> bool:  # type: ignore[override]
        """As what it masks."""
        return self.constraint.takes_metric

    @property
    def signs(self) -> bool:  # type: ignore[override]
        """As what it masks."""
        return self.constraint.signs

    def check(self, w: Tensor) -> None:
        """The mask and what it masks must fit."""
        self._on(w.shape, w.device)
        self.constraint.check(w)
        self.project(w)

    def for_layer(self, module: nn.Module, name: str) -> Masked:
        """With the dimensions of the layer."""
        return Masked(self.constraint.for_layer(module, name), self.mask)

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """No bounds where the mask is false."""
        mask = self._on(shape, device)
        low, high = self.constraint.bounds(shape, dtype, device)  # type: ignore[attr-defined]
        free = torch.full((), math.inf, dtype=dtype, device=device)
        return torch.where(mask, low, -free).to(dtype), torch.where(mask, high, free).to(dtype)

    def _on(self, shape: torch.Size, device: torch.device) -> Tensor:
        mask: Tensor = self.mask.on(torch.bool, device)
        try:
            whole: Tensor = mask.expand(shape)
            return whole
        except RuntimeError:
            raise BadInput(
                "Masked",
                f"a mask of shape {tuple(mask.shape)} came for a weight of shape {tuple(shape)}",
                "one that broadcasts to the weight is right",
            ) from None

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """The rest stays as it is."""
        mask = self._on(w.shape, w.device)
        if self.elementwise:
            return torch.where(mask, within(w, *self.bounds(w.shape, w.dtype, w.device)), w)
        return torch.where(mask, self.constraint.project(self._filled(w, mask), metric), w)

    def violation(self, w: Tensor) -> Tensor:
        """Of the entries that it holds for."""
        if w.numel() == 0:
            return w.new_zeros(())
        mask = self._on(w.shape, w.device)
        if self.elementwise:
            return super().violation(torch.where(mask, w, torch.zeros_like(w)))
        return super().violation(w)

    def _filled(self, w: Tensor, mask: Tensor) -> Tensor:
        together = self.constraint.together(w.ndim)
        if together is not None:
            known = self._on(w.shape, torch.device("cpu"))
            whole = known.all(together, keepdim=True) | ~known.any(together, keepdim=True) if together else known
            if bool(whole.all()) or not together:
                return w  # vectors are masked whole, and one has no effect on another
        filler = self.constraint.filler
        if filler is None:
            raise BadInput(
                repr(self.constraint),
                "a mask came that takes some entries of a vector",
                "one that takes vectors whole is right",
            )
        return torch.where(mask, w, filler)
