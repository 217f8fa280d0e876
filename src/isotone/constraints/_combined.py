"""Where several sets meet."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ._base import Constraint
from ._bounded import balled, bounded, takes_bounds
from ._dims import as_rows, from_rows
from ._elementwise import Bound, Elementwise, NonNegative
from ._norms import MaxNorm, UnitNorm
from ._ordered import Decreasing, Increasing
from ._rounding import NARROW, wide
from ._simplex import Simplex

_MOST = 2000


@final
@dataclass(frozen=True, init=False)
class Intersection(Constraint):
    """The weights that are in all of several sets.

    Exact where a formula is known: bounds of single entries with each other; signs with a norm ball, sphere or L1
    ball (the signs first); one interval for all entries with a sequence in order (the order first); bounds of single
    entries with a norm ball, L1 ball or simplex; a norm ball with any of these, by bisection. Otherwise Dykstra's
    alternating projections, for convex sets, until what each set has pushed back stands still. The last two end in
    every set up to 8 eps of the dtype (half types 4 eps, float64 1e-13) times the vector's largest entry, and that
    counts as inside.

    Raises:
        BadInput: a set that is not convex meets others in a way for which no formula is known; or the sets do not meet.

    Cost: as its sets where one follows the other; bounds with a ball or simplex some 60 passes, a ball with anything 60
    projections of that; by Dykstra some to some thousand turns. All but the first in float64, and not for CUDA graphs.
    Source: Boyle and Dykstra, Advances in Order Restricted Statistical Inference (1986).

    >>> Intersection(NonNegative(), isotone.MaxNorm(1.0, dim=-1)).project(torch.tensor([-7.0, 3.0, 4.0]))
    tensor([0.0000, 0.6000, 0.8000])
    """

    constraints: tuple[Constraint, ...]

    def __init__(self, *constraints: Constraint) -> None:
        flat = [part for c in constraints for part in (c.constraints if isinstance(c, Intersection) else (c,))]
        if not flat or not all(isinstance(c, Constraint) for c in flat):
            raise BadInput("Intersection", f"{constraints!r} came", "constraints such as NonNegative() are right")
        object.__setattr__(self, "constraints", tuple(flat))
        if not self._known and not all(c.convex for c in flat):
            raise BadInput(
                repr(self),
                "one of these sets is not convex",
                "only signs can be combined with it, and only if it is a sphere",
            )

    def __repr__(self) -> str:
        return f"Intersection({', '.join(map(repr, self.constraints))})"

    @property
    def _bounds(self) -> _Meet | None:
        parts = tuple(c for c in self.constraints if c.elementwise)
        return _Meet(parts) if parts else None

    @property
    def _others(self) -> tuple[Constraint, ...]:
        return tuple(c for c in self.constraints if not c.elementwise)

    @property
    def _known(self) -> bool:
        """Whether the bounds and then the other set, or the other way round, is exact."""
        if len(self._others) > 1:
            return False
        if self._bounds is None or not self._others:
            return True
        bounds, other = self._bounds.parts, self._others[0]
        if other.symmetric:
            # The nearest point that has the right signs is 0 where the signs are wrong, and from there the nearest
            # point of a set that does not look at signs keeps those of its argument.
            return all(c.signs for c in bounds)
        if isinstance(other, Increasing | Decreasing):
            return all(isinstance(c, Elementwise) and c.uniform for c in bounds)
        return isinstance(other, Simplex) and all(isinstance(c, NonNegative) for c in bounds)

    @property
    def _bounded(self) -> bool:
        """Whether it is a ball or a simplex with bounds on its entries."""
        return len(self._others) == 1 and self._bounds is not None and not self._known and takes_bounds(self._others[0])

    # What is true of all parts is true of what they share.
    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return not self._others

    @property
    def convex(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return all(c.convex for c in self.constraints)

    @property
    def takes_metric(self) -> bool:  # type: ignore[override]
        """Whether all parts do."""
        return all(c.takes_metric for c in self.constraints)

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        """Those of an intersection of elementwise sets."""
        assert self._bounds is not None
        return self._bounds.bounds(shape, dtype, device)

    def for_layer(self, module: nn.Module, name: str) -> Intersection:
        """With the dimensions of the layer in each part."""
        return Intersection(*(c.for_layer(module, name) for c in self.constraints))

    def project(self, w: Tensor, metric: Tensor | None = None) -> Tensor:
        """By formula, or by Dykstra."""
        bounds, others = self._bounds, self._others
        if not others:
            assert bounds is not None
            return bounds.project(w)
        if self._known:
            if bounds is None:
                return others[0].project(w, metric)
            if isinstance(others[0], Simplex):
                return others[0].project(w, metric)  # its members are non-negative anyway
            if isinstance(others[0], Increasing | Decreasing):
                return bounds.project(others[0].project(w, metric))
            return others[0].project(self._pointed(w, metric), metric)
        if self._bounded and bounds is not None:
            low, high = (_tensor(b, w.dtype, w.device) for b in bounds.bounds(w.shape, w.dtype, w.device))
            return bounded(others[0], w, low, high, metric)  # type: ignore[arg-type]
        return self._iterated(w, metric)

    def violation(self, w: Tensor) -> Tensor:
        """The worst of the parts, and 0 up to the stated residual where the projection is iterative."""
        if w.numel() == 0:
            return w.new_zeros(())
        if self._known or self._bounded:
            return torch.stack([c.violation(w) for c in self.constraints]).max()
        nearest = [c.project(w) for c in self.constraints]
        off = torch.stack([torch.where(w == x, 0.0, (w - x).abs()) for x in nearest]).amax(0)
        return torch.where(off <= self._residual(w), 0.0, off).max()

    def _dims(self, ndim: int) -> tuple[int, ...]:
        """The dimensions of one vector for all parts: what lies in two of them has no effect on each other."""
        every = tuple(range(-ndim, 0))
        parts = [every if (dims := c.together(ndim)) is None else dims for c in self._others]
        return tuple(sorted({d for dims in parts for d in dims}))

    def _residual(self, w: Tensor) -> Tensor:
        """How far outside one of its sets an entry that was found in rounds may be."""
        info = torch.finfo(w.dtype)
        # A part measures by its own projection, which goes up to 4 eps further in than it must.
        share = 4 * info.eps if w.dtype in NARROW else max(8 * info.eps, 1e-13)
        dims = self._dims(w.ndim)
        return share * (w.abs().amax(dims, keepdim=True) if dims else w.abs()) + info.tiny

    def _ball(self, ndim: int) -> tuple[MaxNorm, Constraint] | None:
        """A ball, and the rest if that has a formula and no vector that reaches from one of the ball's into another."""
        for ball in self._others:
            rest = [c for c in self.constraints if c is not ball]
            if isinstance(ball, MaxNorm) and rest and all(c.takes_metric for c in rest):
                inner = Intersection(*rest)
                dims = set(ball.dims(ndim))
                within = all(c.elementwise or set(c.together(ndim) or range(-ndim, 0)) <= dims for c in rest)
                if within and (inner._known or inner._bounded):
                    return ball, inner
        return None

    def _pointed(self, w: Tensor, metric: Tensor | None) -> Tensor:
        """Of the right signs; for a sphere, a vector of wrong signs only is its entry that is least wrong."""
        assert self._bounds is not None
        y, sphere = self._bounds.project(w), self._others[0]
        if not isinstance(sphere, UnitNorm) or w.numel() == 0:
            return y
        rows, signed = as_rows(w, sphere.dims(w.ndim)), as_rows(y, sphere.dims(w.ndim))
        low, high = (
            as_rows(_tensor(b, w.dtype, w.device).expand(w.shape), sphere.dims(w.ndim))
            for b in self._bounds.bounds(w.shape, w.dtype, w.device)
        )
        # The unit vector with the sign s at i alone costs d_i (1 - 2 s w_i) more than the zero vector.
        sign = torch.where((high > 0) & ((low == 0) | (rows >= 0)), 1.0, torch.where(low < 0, -1.0, 0.0)).to(w.dtype)
        d = torch.ones_like(rows) if metric is None else as_rows(metric, sphere.dims(w.ndim)).to(w.dtype)
        cost = torch.where(sign == 0, torch.inf, d * (1 - 2 * sign * rows))
        least = torch.zeros_like(rows).scatter(1, cost.argmin(1, keepdim=True), 1.0) * sign
        return from_rows(torch.where((signed == 0).all(1, keepdim=True), least, signed), w, sphere.dims(w.ndim))

    def _iterated(self, w: Tensor, metric: Tensor | None) -> Tensor:
        if w.is_meta or w.numel() == 0:
            return w
        dims = self._dims(w.ndim)
        ill = w.isnan().any(dims, keepdim=True) if dims else w.isnan()
        sound = torch.where(ill, torch.zeros_like(w), w)
        if float(self.violation(sound)) == 0.0 and not bool(ill.any()):
            return w
        x = sound.to(wide(w))
        metric = None if metric is None else metric.to(x.dtype) / metric.amax().to(x.dtype)
        ball = self._ball(w.ndim)
        x = self._dykstra(x, metric, self._residual(sound)) if ball is None else balled(*ball, x, metric)
        return torch.where(ill, w, self._into(x, sound))

    def _dykstra(self, x: Tensor, metric: Tensor | None, residual: Tensor) -> Tensor:
        parts: tuple[Constraint, ...] = (*self._others, *(() if self._bounds is None else (self._bounds,)))
        kept = [torch.zeros_like(x) for _ in parts]
        for turn in range(1, _MOST):
            moved = torch.zeros_like(x)
            for i, part in enumerate(parts):
                y = part.project(x + kept[i], metric)
                now = x + kept[i] - y
                moved = torch.maximum(moved, (now - kept[i]).abs())
                kept[i], x = now, y
            # Dykstra can stand still for many turns before it goes on, at members too. What stands still only at the
            # limit is what each part has pushed back (Birgin and Raydan, SIAM J. Scientific Computing 26, 2005).
            if bool((moved <= 0.1 * residual / turn).all()):
                return x
        warnings.warn(
            f"{self!r}: the nearest member was not reached in {_MOST} rounds; a member that may be farther is taken.",
            stacklevel=2,
        )
        return x

    def _into(self, x: Tensor, w: Tensor) -> Tensor:
        """The stored number must be a member, whatever rounding did: alternating projections lead to one."""
        for _ in range(_MOST):
            stored = x.to(w.dtype)
            if float(self.violation(stored)) == 0.0:
                return stored
            for part in self.constraints:
                x = part.project(x)
        return stored

    def check(self, w: Tensor) -> None:
        """Refuse sets that do not fit, or do not meet."""
        for part in self.constraints:
            part.check(w)
        if w.is_meta or bool(w.isnan().any()):
            return
        if not float(self.violation(self.project(w))) == 0.0:
            raise BadInput(repr(self), "no weight that is in all of its sets was found", "sets that meet are right")


@dataclass(frozen=True)
class _Meet(Elementwise):
    """Where the intervals of several elementwise sets meet."""

    parts: tuple[Any, ...]  # each has `bounds`

    def bounds(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> tuple[Bound, Bound]:
        pairs = [part.bounds(shape, dtype, device) for part in self.parts]
        lows, highs = ([_tensor(pair[side], dtype, device) for pair in pairs] for side in (0, 1))
        return functools.reduce(torch.maximum, lows), functools.reduce(torch.minimum, highs)


def _tensor(bound: Bound, dtype: torch.dtype, device: torch.device) -> Tensor:
    return bound if isinstance(bound, Tensor) else torch.full((), bound, dtype=dtype, device=device)
