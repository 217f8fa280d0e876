"""Branch and bound: the box with the worst bound first, until all are proved, a fall is found, or time is up.

Boxes are closed and share their faces. Every line along a moving coordinate crosses the boxes in order, and a score that
does not fall on each piece of the line does not fall on the line.
"""

# ruff: noqa: E501 (a form has six parts; an adjoint grows by its sources)

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._facts import INF
from ._evaluate import Evaluator

Progress = Callable[[float, float, int], None]
FIRST = 2048  # points scattered over the domain before it is split
PROBED = 64  # open boxes of a batch whose centres and corners are looked at
FALL = 1e-5  # a drop of this size, relative to the scores, ends the search: the refuter's own tolerance for float32


@dataclass
class Found:
    """How far one row came.

    Args:
        open: whether boxes are left.
        pairs: (drop, lower, upper), each (elements,), the largest drop first.
    """

    boxes: int = 0
    open: bool = True
    worst: float = -INF
    where: tuple[Tensor, Tensor] | None = None
    pairs: list[tuple[float, Tensor, Tensor]] = field(default_factory=list)
    fell: bool = False


def explore(evaluator: Evaluator, dtype: torch.dtype, until: float, progress: Progress | None) -> Found:
    """Branch and bound over the domain of one row, until `time.monotonic()` is `until`.

    The order of the work does not depend on the clock: the same number of boxes gives the same answer.
    """
    row, found = evaluator.row, Found()
    wide = row.wide
    lo, hi = row.low[wide][None], row.high[wide][None]  # the children to look at
    share = torch.ones(1, dtype=torch.float64)
    left = [torch.empty(0, len(wide), dtype=torch.float64)] * 3  # low, high, weights of open boxes
    bounds, shares = torch.empty(0).double(), torch.empty(0).double()
    done, most = 0.0, _batch(evaluator)
    while True:
        b = evaluator.run(lo, hi)
        found.boxes += len(lo)
        keep = ~(b.low >= 0)  # NaN is kept
        done += float(share[~keep].sum())
        if bool(keep.any()):
            fresh = (lo[keep], hi[keep], b.weights[keep])
            scattered = _scattered(lo[0], hi[0], FIRST) if found.boxes == 1 else lo[:0]
            _probe(
                evaluator,
                dtype,
                found,
                torch.cat([_suspects(lo[keep], hi[keep], b.corner[keep], b.low[keep]), scattered]),
            )
            left = [torch.cat(two) for two in zip(left, fresh, strict=True)]
            bounds, shares = torch.cat([bounds, b.low[keep]]), torch.cat([shares, share[keep]])
        if not len(bounds):
            found.open, found.worst = False, 0.0
            return found
        worst = int(bounds.argmin())
        found.worst, found.where = (
            float(bounds[worst]),
            (row.fill(left[0][worst][None])[0], row.fill(left[1][worst][None])[0]),
        )
        if progress is not None:
            progress(done, found.worst, found.boxes)
        if found.fell or time.monotonic() >= until:
            return found
        take = torch.topk(bounds, min(most // 2, len(bounds)), largest=False).indices
        low, high, weights = left[0][take], left[1][take], left[2][take]
        middle = 0.5 * low + 0.5 * high
        can = (low < middle) & (middle < high)
        if not bool(can.any(1).all()):
            return found  # some box is one float wide and cannot be proved
        # Weights are already shares of the radius; where they say nothing, the widest dimension.
        rank = torch.where(can, weights + 1e-12 * (high - low), -1.0)
        dim = rank.argmax(1)
        each = torch.arange(len(take))
        first, second = high.clone(), low.clone()
        first[each, dim] = middle[each, dim]
        second[each, dim] = middle[each, dim]
        lo, hi = torch.cat([low, second]), torch.cat([first, high])
        share = (shares[take] / 2).repeat(2)
        rest = torch.ones(len(bounds), dtype=torch.bool)
        rest[take] = False
        left = [t[rest] for t in left]
        bounds, shares = bounds[rest], shares[rest]


def _batch(evaluator: Evaluator) -> int:
    """As many boxes as keep the tensors of one step within some ten megabytes."""
    width = max([128, *(sum(m.shape[-1:]) for m in evaluator.capture.constants.values() if hasattr(m, "shape"))])
    columns = (len(evaluator.row.moving) + 1) * (len(evaluator.row.wide) + 4)
    return int(min(2048, max(32, 2**21 // (width * columns))))


def _suspects(lo: Tensor, hi: Tensor, corner: Tensor, low: Tensor) -> Tensor:
    """The centres of the worst boxes, and where the affine part says that the slope is smallest."""
    take = torch.topk(low, min(PROBED, len(low)), largest=False).indices
    lo, hi, corner = lo[take], hi[take], corner[take]
    middle = 0.5 * lo + 0.5 * hi
    ends = torch.where(corner > 0, hi, torch.where(corner < 0, lo, middle))
    return torch.cat([middle, ends]) if bool((corner != 0).any()) else middle


def _scattered(low: Tensor, high: Tensor, count: int) -> Tensor:
    """Points of the domain, the same in every run."""
    random = torch.Generator().manual_seed(0)
    share = torch.rand(count, len(low), dtype=torch.float64, generator=random)
    return torch.minimum(torch.maximum(low + share * (high - low), low), high)


def _probe(evaluator: Evaluator, dtype: torch.dtype, found: Found, points: Tensor) -> None:
    """Look for a falling slope at these points, and for the largest fall through the worst of them."""
    there = evaluator.run(points, points)
    falling = there.high < 0  # no estimate: at that point the slope is below 0
    if not bool(falling.any()):
        return
    order = torch.where(falling, there.high, INF).argsort()[: min(4, int(falling.sum()))]
    for i in order.tolist():
        pair = _widest(evaluator, dtype, points[i], int(there.column[i]))
        if pair is None:
            continue
        found.pairs = sorted([*found.pairs, pair], key=lambda p: -p[0])[:8]
        found.fell = found.fell or pair[0] > FALL


def _widest(
    evaluator: Evaluator, dtype: torch.dtype, point: Tensor, column: int
) -> tuple[float, Tensor, Tensor] | None:
    """Along one coordinate through a point: the ordered pair with the largest drop, relative to the scores."""
    row = evaluator.row
    element = int(row.moving[column])
    place = int((row.wide == element).nonzero()[0, 0])
    low, high = float(row.low[element]), float(row.high[element])
    here = float(point[place])
    offsets = 10.0 ** torch.linspace(-6, 0, 25, dtype=torch.float64) * (high - low)
    stops = torch.cat([torch.linspace(low, high, 33, dtype=torch.float64), here + offsets, here - offsets,
                       torch.tensor([here], dtype=torch.float64)])  # fmt: skip
    stops = stops.clamp(low, high).sort().values
    if row.ways[element] < 0:
        stops = stops.flip(0)
    line = _inside(point, row.low[row.wide], row.high[row.wide], dtype).repeat(len(stops), 1)
    line[:, place] = _inside(stops, row.low[element], row.high[element], dtype)
    values = evaluator.run(line, line).values * row.signs  # (stops, scores)
    drop = values[:, None] - values[None, :]  # from the first index to the second
    drop = torch.where((torch.arange(len(stops))[:, None] < torch.arange(len(stops)))[:, :, None], drop, -INF)
    best = float(drop.max())
    if not best > 0:
        return None
    at = torch.nonzero(drop == best)[0]
    both = row.fill(line[at[:2]])
    return best / max(float(values.abs().max()), 1e-300), both[0], both[1]


def _inside(x: Tensor, low: Tensor, high: Tensor, dtype: torch.dtype) -> Tensor:
    """The number of that dtype next to x, within the bounds; float64 again."""
    near = x.to(dtype)
    inf = torch.full_like(near, INF)
    near = torch.where(near.double() < low, torch.nextafter(near, inf), near)
    near = torch.where(near.double() > high, torch.nextafter(near, -inf), near)
    return near.double()
