"""The last word on a pair: ordered, in the domain, evaluated again by the original model, and more than rounding.

- "as given": the model as it is falls by more than the tolerance, twice the same, and float64 does not deny it;
- "float64": the drop drowns in the model's own rounding, but the same code in float64 falls far above float64's.
  The claim is about real arithmetic on the exact parameters, so that is a witness too, and it says so;
- what remains is noise, and its size is remembered.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...verdict import Witness
from .._question import Question
from .._state import Kept, tensors
from ._scores import Inputs, drop_of, score_of, size_of, uncompiled

EPS = torch.finfo(torch.float64).eps
# A drop in float64 counts from here, relative to the scores, and as a multiple of float64's rounding on this pair.
SMALL, MARGIN = 1e-10, 1000.0
MOST_WEIGHTS = 2**27
Pair = tuple[Tensor, Tensor]


class Court:
    """Judges pairs for one question. `calls` counts how often a model was run."""

    def __init__(self, model: nn.Module, question: Question, tolerance: float, restore: Callable[[], None]) -> None:
        self.question, self.tolerance, self.restore = question, tolerance, restore
        self.score = score_of(model)
        self.calls = 0
        self.noise: tuple[float, float] | None = None
        kinds = {t.dtype for _, t in tensors(model)} | {x.dtype for x in question.inputs}
        self.eps = min((torch.finfo(d).eps for d in kinds if d.is_floating_point and d != torch.float64), default=EPS)
        self.is_double = self.eps == EPS
        self.exact = _Copy.of(model, torch.float64, restore)
        # For a model of float64, float32 shows how much it amplifies rounding.
        self.coarse = _Copy.of(model, torch.float32, restore) if self.is_double else None

    @property
    def converted(self) -> nn.Module | None:
        """The model in float64, if it converts."""
        return None if self.exact is None else self.exact.model

    def sign(self, element: tuple[int, ...]) -> float:
        """What is claimed of that element: +1, -1 or 0."""
        signs = getattr(self.question, "signs", None)
        return 1.0 if signs is None else float(signs[element])

    def witness(self, lower: Inputs, upper: Inputs, element: tuple[int, ...]) -> Witness | None:
        """The pair as a witness, if it stands."""
        sign = self.sign(element)
        if not sign or not self.ordered(lower, upper):
            return None
        try:
            before, after = self._twice(lower, upper)
        except Exception:
            return None
        given, size = drop_of(before, after, element, sign), size_of(before, after)
        exact = self._in_float64(lower, upper, softplus=False)
        if exact is not None and exact[0].shape != before.shape:
            exact = None  # another function
        falls = given > self.tolerance * size
        noise = self._noise(lower, upper, before, after, exact)
        if falls and (exact is None or drop_of(*exact, element, sign) > max(8 * EPS * size_of(*exact), noise)):
            return Witness(lower, upper, element, float(before[element]), float(after[element]))
        if exact is not None and not self.is_double and self._small(lower, upper, element, exact, noise):
            return Witness(lower, upper, element, float(exact[0][element]), float(exact[1][element]), "float64")
        self.heard(given, size)
        return None

    def heard(self, drop: float, size: float) -> None:
        """Remember the largest drop, relative to its scores, that is no refutation."""
        if 0 < drop < math.inf and size > 0 and (self.noise is None or drop / size > self.noise[0] / self.noise[1]):
            self.noise = (drop, size)

    def ordered(self, lower: Inputs, upper: Inputs) -> bool:
        """Whether the pair differs, moves along the directions only, and lies in the domain."""
        q = self.question
        for u, v, d, low, high in zip(lower, upper, q.directions, q.low, q.high, strict=True):
            a, b = u.detach().cpu(), v.detach().cpu()
            along = torch.where(d > 0, a <= b, torch.where(d < 0, a >= b, a == b))
            inside = [(x.double() >= low) & (x.double() <= high) for x in (a, b)]
            if not bool((along & inside[0] & inside[1]).all()):
                return False
        return any(not torch.equal(u, v) for u, v in zip(lower, upper, strict=True))

    def _twice(self, lower: Inputs, upper: Inputs) -> tuple[Tensor, Tensor]:
        """Both scores by the model as it is, its state put back before each call; two rounds must agree to the bit."""
        seen = []
        for inputs in (upper, lower, upper, lower):
            self.restore()
            seen.append(self.score(inputs))
            self.calls += 1
        for a, b in ((seen[0], seen[2]), (seen[1], seen[3])):
            if not torch.allclose(a, b, rtol=0, atol=0, equal_nan=True):
                raise ArithmeticError("two calls on the same input disagree")
        return seen[1], seen[0]

    def _in_float64(self, lower: Inputs, upper: Inputs, *, softplus: bool) -> Pair | None:
        """Both scores by the same code in float64; None where the model does not convert."""
        if self.exact is None:
            return None
        try:
            with uncompiled(), _Exact(self.eps if softplus else 0.0, bits=self.is_double):
                pair = [self.exact(x) for x in (lower, upper)]
        except Exception:
            return None
        self.calls += 2
        return pair[0], pair[1]

    def _noise(self, lower: Inputs, upper: Inputs, before: Tensor, after: Tensor, exact: Pair | None) -> float:
        """How large float64's rounding may be on this pair: that of the coarser type, scaled, with a margin.

        Rounding errors are, to first order, proportional to the unit of rounding, whatever the model amplifies.
        """
        if exact is None:
            return 0.0
        if not self.is_double:
            gap, unit = size_of(before - exact[0], after - exact[1]), self.eps
        elif self.coarse is not None:
            try:
                gap = size_of(before - self.coarse(lower), after - self.coarse(upper))
            except Exception:
                return 0.0
            self.calls += 2
            unit = torch.finfo(torch.float32).eps
        else:
            return 0.0
        return (MARGIN if not self.is_double else 10.0) * gap * EPS / unit

    def _small(self, lower: Inputs, upper: Inputs, element: tuple[int, ...], exact: Pair, noise: float) -> bool:
        """Whether a drop that only float64 shows is far above its rounding."""
        sign = self.sign(element)
        least = max(SMALL * size_of(*exact), noise)
        if not least < drop_of(*exact, element, sign) < math.inf:
            return False
        # Softplus switches to x at 20 and drops there by 2e-9; the rules take it as the exact function, so does this.
        checked = self._in_float64(lower, upper, softplus=True)
        return checked is not None and least < drop_of(*checked, element, sign) < math.inf


class _Copy:
    """The same code in another floating type; its state is put back before each call."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype
        self._kept, self._score = Kept(model), score_of(model)

    @classmethod
    def of(cls, model: nn.Module, dtype: torch.dtype, restore: Callable[[], None]) -> _Copy | None:
        """A copy of the model, None if it does not convert."""
        if sum(t.numel() for _, t in tensors(model)) > MOST_WEIGHTS:
            return None
        try:
            restore()
            return cls(copy.deepcopy(model).to(dtype), dtype)
        except Exception:
            return None

    def __call__(self, inputs: Inputs) -> Tensor:
        self._kept.put_back()
        return self._score(tuple(x.to(self.dtype) if x.dtype.is_floating_point else x for x in inputs))


class _Exact(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Float64 throughout: a value that is cast down on the way is an error, for then its rounding is no float64's.

    Args:
        eps: of the type in which the model is given; softplus is exact where its switch drops by less than half of
            that type's rounding step, as the rules have it. 0: softplus as it is.
        bits: whether the model itself is of float64; else to read a float64 as the bits of another type is an error
            too, for they are not the bits that the model reads.
    """

    def __init__(self, eps: float, *, bits: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.eps, self.bits = eps, bits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.softplus.default and self.eps:
            given: list[Any] = [*args, *(1.0, 20.0)[len(args) - 1 :]]
            x, beta, threshold = given
            beta, threshold = float((kwargs or {}).get("beta", beta)), float((kwargs or {}).get("threshold", threshold))
            at = threshold / beta
            if at > 0 and math.log1p(math.exp(-threshold)) / beta < 0.5 * self.eps * 2.0 ** math.floor(math.log2(at)):
                return torch.logaddexp(x * beta, torch.zeros_like(x)) / beta
        out = func(*args, **(kwargs or {}))
        if any(_double(t) for t in tree_leaves((args, kwargs))):
            read = func is torch.ops.aten.view.dtype and not _double(out) and not self.bits
            if read or any(_lower(t) for t in tree_leaves(out)):
                raise TypeError(f"{func} leaves float64")
        return out


def _double(t: Any) -> bool:
    return isinstance(t, Tensor) and t.dtype is torch.float64


def _lower(t: Any) -> bool:
    return isinstance(t, Tensor) and t.dtype.is_floating_point and t.dtype is not torch.float64
