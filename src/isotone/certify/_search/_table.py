"""Scores of many points at once: as rows of one call where rows do not touch each other, else one call per point.

Rows are taken to be apart after a comparison: the same rows alone, together, and in another order. That is a means of
speed only: a witness is evaluated again in the shape of the example, whatever was found here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ._scores import Inputs, parts, pieces, scores, uncompiled
from ._space import ALL, Space

MOST_ROWS = 128
# Floating-point operations and input numbers of one call: many rows should not cost much more than two.
MOST_WORK, MOST_NUMBERS = 2**28, 2**20


class Table:
    """Runs a model on points.

    Args:
        model: it is called on inputs of its own, with gradients off but for `slopes`.
        double: whether floating inputs are handed over in float64.
        work: floating-point operations that one row takes.

    `apart` says whether rows are apart, so that points may be rows.
    """

    def __init__(self, model: nn.Module, *, double: bool, work: float = 0.0) -> None:
        self.model, self.double, self.work, self.apart = model, double, work, False
        self.calls = 0

    def rows(self, space: Space) -> int:
        """How many points one call may hold; an even number, or 1."""
        if space.row == ALL:
            return 1
        most = min(MOST_ROWS, int(MOST_WORK / max(self.work, 1.0)), MOST_NUMBERS // max(len(space.low), 1))
        return max(2, most // 2 * 2)

    def __call__(self, space: Space, points: Tensor) -> Tensor:
        """Scores of points (n, size), as (n, columns) in float64."""
        with torch.no_grad():
            chunks = [self._run(space, chunk) for chunk in pieces(points, self.rows(space))]
        return torch.cat(chunks).to("cpu", torch.float64)

    def _run(self, space: Space, points: Tensor) -> Tensor:
        if space.row == ALL:
            return torch.cat([self._flat(self._called(_first(space.inputs(p.unsqueeze(0)))), 1) for p in points])
        # One even batch: the last row of an odd one may go through another kernel.
        even = torch.cat([points, points[-1:]]) if len(points) % 2 else points
        return self._flat(self._called(space.inputs(even)), len(even))[: len(points)]

    def _called(self, inputs: Inputs) -> list[Tensor]:
        self.calls += 1
        if self.double:
            inputs = tuple(x.double() if x.dtype.is_floating_point else x for x in inputs)
        return parts(self.model(*inputs))

    @staticmethod
    def _flat(output: list[Tensor], count: int) -> Tensor:
        return torch.cat([t.reshape(count, -1).to(torch.promote_types(t.dtype, torch.float32)) for t in output], 1)

    def slopes(self, space: Space, points: Tensor, weights: Tensor) -> Tensor | None:
        """Gradient of the scores, weighed by `weights` (n, columns), at points (n, size); None if there is none."""
        made = []
        for chunk, weight in zip(pieces(points, self.rows(space)), pieces(weights, self.rows(space)), strict=True):
            inputs = space.inputs(chunk)
            inputs = inputs if space.row != ALL else _first(inputs)
            if self.double:
                inputs = tuple(x.double() if x.dtype.is_floating_point else x for x in inputs)
            leaves = [x.detach().clone().requires_grad_(x.dtype.is_floating_point) for x in inputs]
            tracked = [x for x in leaves if x.requires_grad]
            self.calls += 2
            try:
                with torch.enable_grad():
                    output = self._flat(parts(self.model(*leaves)), len(chunk))
                    aim = (output * weight.to(output)).sum()
                    found = iter(torch.autograd.grad(aim, tracked, allow_unused=True))
            except Exception:
                return None
            grads = [next(found) if x.requires_grad else None for x in leaves]
            flat = [
                (torch.zeros(x.shape) if g is None else g.detach()).to("cpu", torch.float64).reshape(len(chunk), -1)
                for x, g in zip(leaves, grads, strict=True)
            ]
            made.append(torch.cat(flat, 1).nan_to_num(0.0, 0.0, 0.0))
        return torch.cat(made)

    def of_whole(self, points: list[Inputs]) -> Tensor:
        """Scores of whole inputs, in the layout of `scores`, as (n, numbers); stacked where rows are apart."""
        count, rows = len(points), points[0][0].shape[0] if points[0][0].dim() else 1
        with torch.no_grad():
            if not self.apart:
                return torch.stack([self._alone(p) for p in points])
            chunk = max(1, min(MOST_ROWS, int(MOST_WORK / max(self.work, 1.0))) // rows)
            made = []
            for i in range(0, count, chunk):
                group = points[i : i + chunk]
                stacked = tuple(torch.cat(tensors) for tensors in zip(*group, strict=True))
                made.append(self._flat(self._called(stacked), len(group)))
            return torch.cat(made).to("cpu", torch.float64)

    def _alone(self, inputs: Inputs) -> Tensor:
        return scores(self._called(tuple(x.clone() for x in inputs))).reshape(-1)

    def settle(self, wholes: Callable[[int], list[Inputs]], tolerance: float) -> None:
        """Find out whether rows are apart; a few calls."""
        points = wholes(3)
        rows = {x.shape[0] if x.dim() else 0 for p in points for x in p}
        if len(rows) != 1 or 0 in rows:
            return
        try:
            with torch.no_grad():
                alone = torch.stack([self._alone(p) for p in points])
                self.apart = True
                together, turned = self.of_whole(points), self.of_whole(points[::-1]).flip(0)
                shapes = [t.shape for t in self._called(points[0])]
            self.apart = all(s and s[0] in rows for s in shapes) and all(
                torch.allclose(
                    alone, t, rtol=0, atol=tolerance * float(alone.abs().nan_to_num(0, 0, 0).max()), equal_nan=True
                )
                for t in (together, turned)
            )
        except Exception:
            self.apart = False


def work_of(model: nn.Module, inputs: Inputs) -> float:
    """Floating-point operations of matrix products and convolutions in one call; 0 if they cannot be counted."""
    try:
        with torch.no_grad(), uncompiled(), FlopCounterMode(display=False) as counter:
            model(*(x.clone() for x in inputs))
        return float(counter.get_total_flops())
    except Exception:
        return 0.0


def _first(inputs: Inputs) -> Inputs:
    return tuple(x[0] for x in inputs)
