"""Numbers for every entry of a weight, as a frozen value: bounds, masks."""

from __future__ import annotations

import hashlib
import math
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput


@final
class Entries:
    """An array that is a value: it is compared, hashed and pickled by its content, and makes tensors on demand.

    The tensors it has made are kept with it, one for each dtype and device that asked, and die with it.

    >>> Entries([[0.0, 1.0]]) == Entries(torch.tensor([[0.0, 1.0]]))
    True
    """

    def __init__(self, values: Any) -> None:
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            values = values.double().numpy() if values.is_floating_point() else values.numpy()
        try:
            array = np.array(values)
            array = array if array.dtype == bool else array.astype(np.float64)
        except (TypeError, ValueError):
            raise BadInput("Entries", f"{type(values).__name__} came", "an array of numbers is right") from None
        if np.isnan(array).any():
            raise BadInput("Entries", "NaN came among the numbers", "use -inf or inf for an entry without a bound")
        array.setflags(write=False)
        self._array = array
        self._digest = hashlib.sha256(repr((array.shape, array.dtype.str)).encode() + array.tobytes()).hexdigest()
        self._made: dict[Any, Tensor] = {}

    @property
    def array(self) -> np.ndarray:
        """The numbers: float64 or bool, not to be written to."""
        return self._array

    def on(self, dtype: torch.dtype, device: torch.device, *, up: bool | None = None) -> Tensor:
        """As a tensor; with `up`, rounded to the inner side of a lower (True) or an upper (False) bound."""
        key = (dtype, device, up)
        if key not in self._made:
            with torch.inference_mode(False):  # what is kept must serve autograd too
                exact = torch.from_numpy(self._array.copy())
                cast = exact.to(dtype)
                if up is not None:
                    outside = cast.double() < exact if up else cast.double() > exact
                    inner = torch.nextafter(cast, torch.full_like(cast, math.inf if up else -math.inf))
                    cast = torch.where(outside, inner, cast)
                self._made[key] = cast.to(device)
        return self._made[key]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entries) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        if self._array.size <= 64:
            return f"Entries({self._array.tolist()})"
        return f"Entries({'x'.join(map(str, self._array.shape))}, {self._digest[:8]})"

    def __reduce__(self) -> tuple[type[Entries], tuple[np.ndarray]]:
        return Entries, (self._array,)

    def __deepcopy__(self, memo: object) -> Entries:
        return self


def numbers(value: Any, *, default: float) -> float | Entries:
    """One number, or one for every entry.

    >>> numbers(None, default=1.0), numbers(2, default=1.0), numbers([1, 2], default=1.0)
    (1.0, 2.0, Entries([1.0, 2.0]))
    """
    if value is None:
        return default
    if isinstance(value, Entries):
        return value
    if isinstance(value, str):
        raise BadInput("bounds", f"{value!r} came", "a number, or an array of them, is right")
    return float(value) if np.ndim(value) == 0 else Entries(value)
