"""The refuter: looks for an ordered pair of inputs whose score falls. It needs the function only, no graph.

- starts inside the domain, moves some elements along their directions, and compares all ordered pairs on the line;
- autograd gives hints and is never trusted: scans see what detach, floor and custom backwards hide;
- where the model converts, it looks in float64, so that the model's own rounding hides nothing;
- a pair counts only after the court has evaluated it again (see `_court`).

Source: Goodfellow et al., arXiv 1412.6572, for steps along signs of a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...verdict import Witness
from .._question import Question
from ._court import SMALL, Court
from ._moves import MOVES, Field, Slopes, across, near, proposed
from ._scores import Inputs, parts, score_of, size_of
from ._space import ALL, Space
from ._table import Table, work_of

POOL, MOST_SPACES = 16, 8
# Every so often the model is run as it is, one point per call: what rows do to each other, and what rounding does.
PLAIN_EVERY, LONGER = 24, 40
# Operations per row from which float64 is too dear to search in; the court still uses it.
MOST_IN_DOUBLE = 2**30


@dataclass
class Search:
    """A search that can go on: `look` spends some calls and gives a witness or None.

    Args:
        tolerance: the smallest drop that counts, relative to the largest |score|, in the model's own arithmetic.
        restore: puts the model's own state back before a pair is judged.
    """

    model: nn.Module
    question: Question
    seed: int
    tolerance: float
    restore: Callable[[], None]
    calls: int = 0

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.seed)
        self.whole = Space(self.question, ALL, self.random)
        self.score = score_of(self.model)
        self.turn = 0
        self.fields: list[Field] = []
        self.small: Witness | None = None

    @property
    def noise(self) -> tuple[float, float] | None:
        """The largest drop, relative to its scores, that was seen and is no refutation: the drop, and their size."""
        return self.court.noise if self.fields else None

    def start(self, k: int) -> Inputs:
        """A random point of the domain."""
        return self.whole.filled(self.whole.starts(1, k)[0])

    def look(self, calls: int, seeds: Sequence[Any] = ()) -> Witness | None:
        """Search for at most about that many calls of the model.

        Args:
            calls: how many.
            seeds: where to look first: inputs, or ordered pairs (lower, upper) of inputs.
        """
        if calls <= 0 or not len(self.whole.movers):
            return None
        stop, failures = self.calls + calls, 0
        while self.calls < stop and failures < 20:
            before = self.calls
            try:
                self.prepare()
                self._plant(seeds)
                seeds = ()
                found = self._round()
            except Exception:
                found, failures = None, failures + 1
                if failures == 5:
                    self._one_by_one()
            self.calls = max(self.calls, before + 1)
            if found is not None and found.arithmetic == "as given":
                return found
            if found is not None and self.small is None:
                # It drowns in the model's own rounding: a larger one may be near.
                self.small, stop = found, min(stop, self.calls + LONGER)
        return self.small

    def prepare(self) -> None:
        """Find out, once, what the model is like; about ten calls."""
        if not self.fields:
            self._settle()

    def _settle(self) -> None:
        """What the model is like: its score, whether it converts to float64, whether its rows are apart."""
        with torch.no_grad():
            output = parts(self.model(*(x.clone() for x in self.question.inputs)))
        self.shape = output[0].shape if len(output) == 1 else torch.Size([sum(t.numel() for t in output)])
        self.leaves = [t.shape for t in output]
        rows = self.question.inputs[0].shape[0] if self.question.inputs[0].dim() else 1
        work = work_of(self.model, self.question.inputs) / rows
        self.court = Court(self.model, self.question, self.tolerance, self.restore)
        self.plain = Table(self.model, double=False, work=work)
        converted = self.court.converted if work < MOST_IN_DOUBLE and self._alike() else None
        self.table = self.plain if converted is None else Table(converted, double=True, work=work)
        self.table.settle(lambda n: [self.start(k) for k in range(n)], 1e-9 if converted is not None else 1e-4)
        self.calls += 10
        self.beside = self._field(self.plain, ALL)
        self.fields = self._rows() if self.table.apart else [self._field(self.table, ALL)]
        if not self.fields:
            self.fields = [self._field(self.table, ALL)]

    def _one_by_one(self) -> None:
        if self.fields:
            self.table.apart = False
            self.fields = [self._field(self.table, ALL)]

    def _alike(self) -> bool:
        """Whether the copy in float64 computes what the model computes, up to the model's rounding."""
        if self.court.exact is None or self.court.is_double:
            return False
        for point in (self.question.inputs, *(self.start(k) for k in range(3))):
            try:
                given, exact = self.score(point), self.court.exact(point)
            except Exception:
                return False
            # Code that reads the bits of its numbers gives more of them in float64.
            if given.shape != exact.shape or not size_of(given - exact) <= 0.05 * size_of(given, exact):
                return False
        return True

    def _rows(self) -> list[Field]:
        """One field for each different question about a row."""
        rows = self.question.inputs[0].shape[0]
        seen: dict[bytes, Field] = {}
        for row in range(rows):
            if len(seen) == MOST_SPACES:
                break
            made = self._field(self.table, row)
            key = torch.cat([made.space.directions, made.space.low, made.space.high, made.signs]).numpy().tobytes()
            if len(made.space.movers) and bool(made.signs.any()):
                seen.setdefault(key, made)
        return list(seen.values())

    def _field(self, table: Table, row: int) -> Field:
        space = self.whole if row == ALL else Space(self.question, row, self.random)
        signs = getattr(self.question, "signs", None)
        flat = torch.ones(self.shape.numel(), dtype=torch.float64) if signs is None else signs.reshape(-1)

        def slopes(points: Tensor, weights: Tensor) -> Tensor | None:
            return table.slopes(space, points, weights)

        hints: Slopes = slopes
        rows = self.question.inputs[0].shape[0] if self.question.inputs[0].dim() else 1
        own = [self.whole.example] if row == ALL else [space.at(self.question.inputs, r) for r in range(min(rows, 64))]
        return Field(space, flat[self._columns(row)], table.rows(space), hints, space.snapped(torch.stack(own)))

    def _columns(self, row: int) -> Tensor:
        """Where the columns of a point stand in the whole score, laid flat."""
        if row == ALL:
            return torch.arange(self.shape.numel())
        made, offset = [], 0
        for shape in self.leaves:
            each = shape[1:].numel()
            made.append(offset + row * each + torch.arange(each))
            offset += shape.numel()
        return torch.cat(made)

    def _plant(self, seeds: Sequence[Any]) -> None:
        """Proposed points and pairs, in front of everything else."""
        for seed in seeds:
            pair = seed if isinstance(seed[0], tuple | list) else (seed,)
            for f in self.fields:
                rows = [ALL] if f.space.row == ALL else range(len(pair[0][0]))
                for row in rows:
                    flat = [f.space.at(member, row) for member in pair]
                    if len(flat) == 2:
                        f.pairs.append((flat[0], flat[1]))
                    f.starts.append(f.space.snapped(flat[0].unsqueeze(0))[0])

    def _round(self) -> Witness | None:
        """One move in one field, and the verdict on what it shows."""
        turn, self.turn = self.turn, self.turn + 1
        f, table = self.fields[turn % len(self.fields)], self.table
        if turn % PLAIN_EVERY == 3 and (self.table is not self.plain or f.space.row != ALL):
            f, table = self.beside, self.plain
            f.turn += 1
            lines = (across if f.turn % 2 else near)(f, f.drawn(1), f.moved(1), 5)
            return self._judged(f, table, lines)
        f.turn += 1
        made = proposed(f) if f.turn % 2 or self.small is None else None
        if made is None:
            made = MOVES[(f.turn - 1) % len(MOVES)](f)
        self.calls += table.calls
        table.calls = 0
        if made is None:
            return None
        found = self._judged(f, table, made)
        if found is None and f.turn % 4 == 2:
            found = self._zoomed(f, table)
        return found

    def _judged(self, f: Field, table: Table, lines: Tensor) -> Witness | None:
        """The scores on all lines, and the best drops before the court."""
        count, points, size = lines.shape
        self.court.calls = 0
        try:
            y = table(f.space, lines.reshape(-1, size)).reshape(count, points, -1)
        finally:
            self.calls += table.calls
            table.calls = 0
        self.last = (lines, y)
        least = SMALL if table.double else self.tolerance
        try:
            for drop, scale, line, i, j, column in self._drops(f, y)[:3]:
                if drop > least * scale:
                    pair = f.space.filled(lines[line, i]), f.space.filled(lines[line, j])
                    if (found := self.court.witness(*pair, self._element(f, column))) is not None:
                        return found
                elif not table.double:
                    self.court.heard(drop, scale)
        finally:
            self.calls += self.court.calls
        return None

    def _drops(self, f: Field, y: Tensor) -> list[tuple[float, float, int, int, int, int]]:
        """Per line the largest drop of any ordered pair on it, largest first; the best of them enter the pool."""
        lines, last = self.last[0], y.shape[1]
        signed = torch.where(f.signs != 0, y * f.signs, 0.0)
        finite = torch.isfinite(signed)
        before = torch.where(finite, signed, -torch.inf).cummax(1)
        drops = torch.where(finite[:, 1:], before.values[:, :-1] - signed[:, 1:].nan_to_num(), -torch.inf)
        # Two points that rounding made one say nothing.
        flat = drops.reshape(len(y), -1)
        best, place = flat.max(1)
        scale = torch.where(torch.isfinite(y), y, 0.0).abs().amax((1, 2))
        found = []
        for line in range(len(y)):
            nan = (signed[line].isnan() & (f.signs != 0)).nonzero()
            if len(nan):
                j, column = max(int(nan[0, 0]), 1), int(nan[0, 1])
                found.append((float("inf"), 1.0, line, j - 1, j, column))
                continue
            j, column = divmod(int(place[line]), y.shape[2])
            i = int(before.indices[line, j, column])
            found.append((float(best[line]), float(scale[line]), line, i, j + 1, column))
        found.sort(key=lambda d: -d[0] / max(d[1], 1e-300))
        assert last > 1
        for drop, size, line, i, j, column in found[:4]:
            if abs(drop) < float("inf") and not torch.equal(lines[line, i], lines[line, j]):
                f.pool.append((drop / max(size, 1e-300), lines[line, i], lines[line, j], column))
        f.pool = sorted(f.pool, key=lambda p: -p[0])[:POOL]
        return found

    def _zoomed(self, f: Field, table: Table, depth: int = 2) -> Witness | None:
        """Into the step of each line that rises least beside the others: there a jump down hides in a rising line."""
        found = None
        for _ in range(depth):
            lines, y = self.last
            if lines.shape[1] < 5 or found is not None:
                break
            rises = torch.where(f.signs != 0, (y * f.signs).diff(dim=1), torch.inf)
            rises = torch.where(rises.isnan(), torch.inf, rises)
            width = (lines.diff(dim=1).abs()).amax(2, keepdim=True).clamp(min=1e-300)
            usual = rises.abs().nan_to_num(0, 0, 0).mean(1, keepdim=True).clamp(min=1e-300)
            pace = (rises / width / usual).amin(2)  # (lines, steps)
            least, step = pace.min(1)
            best = least.argsort()[: f.lines(16)]
            at = torch.arange(len(lines))
            first, last = lines[at, step][best], lines[at, step + 1][best]
            points = 16 if f.rows > 1 else 5
            moved = torch.ones_like(first, dtype=torch.bool)
            found = self._judged(f, table, f.space.between(first, last, moved, f.steps(len(first), points)))
        return found

    def _element(self, f: Field, column: int) -> tuple[int, ...]:
        place = self._columns(f.space.row)[column]
        return tuple(int(v) for v in torch.unravel_index(place, self.shape)) if len(self.shape) else ()
