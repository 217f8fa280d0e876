"""The refuter: looks for an ordered pair of inputs whose score falls. It needs the function only, no graph.

- starts inside the domain, moves some elements along their directions, and compares all ordered pairs on the line;
- autograd gives hints and is never trusted: scans see what detach, floor and custom backwards hide;
- a pair counts only after it was evaluated again, in the model's dtype and, where the model converts, in float64.

Source: reference/certifier.md, section 10 (median 2 calls to a witness, 90 % of the hard models).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..verdict import Witness
from ._question import Question

POINTS = 9
SCALES = (1.0, 3.0, 0.3, 10.0, 30.0)
Inputs = tuple[Tensor, ...]
Score = Callable[[Inputs], Tensor]


def scores(output: Any) -> Tensor:
    """Every number that a model returned, as one float64 vector; one tensor keeps its shape."""
    leaves = [t for t in tree_leaves(output) if isinstance(t, Tensor)]
    real = [t.detach().to("cpu", torch.float64) for t in leaves if not t.is_complex()]
    if len(real) != len(leaves) or not real:
        raise TypeError("the model returned no tensor of real numbers")
    return real[0] if len(real) == 1 else torch.cat([t.reshape(-1) for t in real])


def score_of(model: nn.Module) -> Score:
    """The model as a function that leaves its inputs alone."""

    def score(inputs: Inputs) -> Tensor:
        with torch.no_grad():
            return scores(model(*(x.clone() for x in inputs)))

    return score


@dataclass
class Search:
    """A search that can go on: `look` spends some calls and gives a witness or None.

    Args:
        tolerance: the smallest drop that counts, relative to the largest |score|.
        restore: puts the model's own state back before a pair is judged.
    """

    model: nn.Module
    question: Question
    seed: int
    tolerance: float
    restore: Callable[[], None]
    calls: int = 0
    noise: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.seed)
        self.starts = 0
        self.score = score_of(self.model)

    def look(self, calls: int, seeds: Any = ()) -> Witness | None:
        """Search for at most about that many calls of the model."""
        if not any(bool((f.up | f.dn).any()) for f in self.question.facts()):
            return None
        stop = self.calls + calls
        failures = 0
        while self.calls < stop and failures < 20:
            before = self.calls
            try:
                found = self._line()
            except Exception:
                found, failures = None, failures + 1
            self.calls = max(self.calls, before + 1)
            if found is not None and (sure := self.confirmed(*found)) is not None:
                return sure
        return None

    def start(self, k: int) -> Inputs:
        """A random point of the domain."""
        q = self.question
        return tuple(
            self._drawn(x, low, high, given, SCALES[k % len(SCALES)])
            for x, low, high, given in zip(q.inputs, q.low, q.high, q.given, strict=True)
        )

    def _drawn(self, x: Tensor, low: Tensor, high: Tensor, given: bool, scale: float) -> Tensor:
        def uniform() -> Tensor:
            return torch.rand(x.shape, generator=self.random, dtype=torch.float64)

        if not x.dtype.is_floating_point and not given and x.dtype is not torch.bool:
            # Nobody said which whole numbers are valid: those of the example are.
            least, most = float(x.min()), float(x.max())
            return (least + (uniform() * (most - least + 1)).floor().clamp(max=most - least)).to(x.dtype).to(x.device)
        bounded = torch.isfinite(low) & torch.isfinite(high)
        wide = torch.randn(x.shape, generator=self.random, dtype=torch.float64) * scale
        # Half-open domains: reach `scale` beyond their one end.
        wide = torch.where(torch.isfinite(low) & ~bounded, low + wide.abs(), wide)
        wide = torch.where(torch.isfinite(high) & ~bounded, high - wide.abs(), wide)
        fraction = uniform()
        wide = torch.where((fraction < 0.15) & ~bounded, wide.round(), wide)
        wide = torch.where((fraction > 0.85) & ~bounded, 0.0, wide)
        inside = low + uniform() * (high - low)
        inside = torch.where(fraction < 0.1, low, torch.where(fraction > 0.9, high, inside))
        return self._cast(torch.where(bounded, inside, wide), x, low, high)

    @staticmethod
    def _cast(value: Tensor, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        if not x.dtype.is_floating_point:
            value = value.round()
        out = torch.minimum(torch.maximum(value, low), high).to(x.dtype)
        # Rounding to the dtype may step outside by one float.
        if x.dtype.is_floating_point:
            inf = torch.full_like(out, float("inf"))
            out = torch.where(out.double() < low, torch.nextafter(out, inf), out)
            out = torch.where(out.double() > high, torch.nextafter(out, -inf), out)
        return out.to(x.device)

    def _line(self) -> tuple[Inputs, Inputs, tuple[int, ...]] | None:
        """One scan along a line of ordered inputs; the pair with the largest drop."""
        k = self.starts
        self.starts += 1
        start = self.start(k)
        masks = self._mask(k)
        if k % 2 == 1 and (hinted := self._hint(start)) is not None:
            masks = hinted
        fine = k % 5 == 4
        points = [self._moved(start, masks, t, k, fine) for t in torch.linspace(0, 1, 5 if fine else POINTS).tolist()]
        values = []
        for point in points:
            values.append(self.score(point))
            self.calls += 1
        y = torch.stack(values)  # (points, *output)
        return self._worst(points, y)

    def _moved(self, start: Inputs, masks: list[Tensor], t: float, k: int, fine: bool) -> Inputs:
        q, scale = self.question, SCALES[k % len(SCALES)]
        moved = []
        for x, example, d, mask, low, high in zip(start, q.inputs, q.directions, masks, q.low, q.high, strict=True):
            here = x.double().cpu()
            if fine:
                span = torch.full_like(here, scale * 10.0 ** -(k // 5 % 6))
                a, b = here, here + torch.where(d > 0, span, -span)
            else:
                low_end = torch.where(torch.isfinite(low), low, torch.minimum(here, high) - 2 * scale)
                high_end = torch.where(torch.isfinite(high), high, torch.maximum(here, low) + 2 * scale)
                a, b = torch.where(d > 0, low_end, high_end), torch.where(d > 0, high_end, low_end)
            value = torch.where(mask & (d != 0), a + t * (b - a), here)
            moved.append(self._cast(value, example, low, high))
        return tuple(moved)

    def _mask(self, k: int) -> list[Tensor]:
        """What moves: one element, one feature in all rows, or everything, in turn."""
        q = self.question
        if k % 3 == 2:
            return [torch.ones_like(d, dtype=torch.bool) for d in q.directions]
        places = [(i, p) for i, d in enumerate(q.directions) for p in d.nonzero()]
        i, place = places[int(torch.randint(len(places), (1,), generator=self.random))]
        masks = [torch.zeros_like(d, dtype=torch.bool) for d in q.directions]
        index: tuple[Any, ...] = tuple(place.tolist())
        if k % 3 == 1 and len(index) > 1:
            index = (slice(None), *index[1:])
        masks[i][index] = True
        return masks

    def _hint(self, start: Inputs) -> list[Tensor] | None:
        """The element in which autograd sees the steepest fall."""
        leaves = [x.clone().requires_grad_(x.dtype.is_floating_point) for x in start]
        try:
            with torch.enable_grad():
                output = [
                    t for t in tree_leaves(self.model(*leaves)) if isinstance(t, Tensor) and t.dtype.is_floating_point
                ]
                flat = torch.cat([t.reshape(-1) for t in output])
                one = flat[int(torch.randint(len(flat), (1,), generator=self.random))]
                tracked = [x for x in leaves if x.requires_grad]
                slopes = iter(torch.autograd.grad(one, tracked, allow_unused=True))
        except Exception:
            return None
        self.calls += 1
        worst, found = 0.0, None
        for i, (x, d) in enumerate(zip(leaves, self.question.directions, strict=True)):
            slope = next(slopes) if x.requires_grad else None
            if slope is None:
                continue
            along = (slope.double().cpu() * d).nan_to_num()
            if along.numel() and float(along.min()) < worst:
                worst, found = float(along.min()), (i, int(along.argmin()))
        if found is None:
            return None
        masks = [torch.zeros_like(d, dtype=torch.bool) for d in self.question.directions]
        masks[found[0]].view(-1)[found[1]] = True
        return masks

    def _worst(self, points: list[Inputs], y: Tensor) -> tuple[Inputs, Inputs, tuple[int, ...]] | None:
        flat = y.reshape(len(points), -1)
        nan = flat.isnan()
        if bool(nan.any()):
            j, element = (int(v) for v in nan.nonzero()[0])
            i = j - 1 if j else 0
            return points[i], points[max(j, 1)], self._index(y, element)
        finite = torch.isfinite(flat)
        safe = torch.where(finite, flat, 0.0)
        best, found = 0.0, None
        for j in range(1, len(points)):
            drop = torch.where(finite[:j] & finite[j], safe[:j] - safe[j], -1.0)
            if float(drop.max()) > best:
                i, element = divmod(int(drop.argmax()), flat.shape[1])
                best, found = float(drop.max()), (i, j, element)
        if found is None or not best > self.tolerance * float(safe.abs().max()):
            return None
        return points[found[0]], points[found[1]], self._index(y, found[2])

    @staticmethod
    def _index(y: Tensor, element: int) -> tuple[int, ...]:
        return tuple(int(v) for v in torch.unravel_index(torch.tensor(element), y.shape[1:])) if y.dim() > 1 else ()

    def confirmed(self, lower: Inputs, upper: Inputs, element: tuple[int, ...]) -> Witness | None:
        """The pair as a witness, if it stands: ordered, in the domain, falling each time, and in float64."""
        if not self._ordered(lower, upper):
            return None
        try:
            seen = []
            for inputs in (upper, lower, upper, lower):
                self.restore()
                seen.append(self.score(inputs))
        except Exception:
            return None
        after, before = seen[0], seen[1]
        same = all(
            torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in ((after, seen[2]), (before, seen[3]))
        )
        if not same or not _falls(before, after, element, self.tolerance):
            return None
        if self._denied_in_float64(lower, upper, element):
            return None
        return Witness(lower, upper, element, float(before[element]), float(after[element]))

    def _ordered(self, lower: Inputs, upper: Inputs) -> bool:
        q = self.question
        moves = [(v.double() - u.double()).cpu() for u, v in zip(lower, upper, strict=True)]
        ordered = all(
            bool((m * d >= 0).all() and (m[d == 0] == 0).all()) for m, d in zip(moves, q.directions, strict=True)
        )
        inside = all(
            bool(((x.double().cpu() >= low) & (x.double().cpu() <= high)).all())
            for pair in (lower, upper)
            for x, low, high in zip(pair, q.low, q.high, strict=True)
        )
        return ordered and inside and any(bool((m != 0).any()) for m in moves)

    def _denied_in_float64(self, lower: Inputs, upper: Inputs, element: tuple[int, ...]) -> bool:
        """Whether the same model in float64 does not fall there; False where it cannot be converted."""
        try:
            exact = score_of(copy.deepcopy(self.model).double())
            before, after = (
                exact(tuple(x.double() if x.dtype.is_floating_point else x for x in pair)) for pair in (lower, upper)
            )
        except Exception:
            return False
        return not _falls(before, after, element, 8 * torch.finfo(torch.float64).eps)


def _falls(before: Tensor, after: Tensor, element: tuple[int, ...], tolerance: float) -> bool:
    a, b = float(before[element]), float(after[element])
    if math.isnan(a) or math.isnan(b):  # `before <= after` is false
        return True
    finite = torch.cat([t[torch.isfinite(t)].abs().reshape(-1) for t in (before, after)])
    return a - b > tolerance * float(finite.max() if finite.numel() else 0.0)


def tolerance_for(dtypes: set[torch.dtype]) -> float:
    """The relative drop that counts in a search: far above rounding, whose drops reach 2e-6 in float32."""
    coarsest = max((torch.finfo(d).eps for d in dtypes if d.is_floating_point), default=2.0**-52)
    return 1e-13 if coarsest < 1e-15 else 1e-5 if coarsest < 1e-6 else 3e-2
