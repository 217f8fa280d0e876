"""Rows moved step by step along their directions, scored together, and the falls between the steps.

- a chain is one row of the data whose features take ordered values; every pair on it is an ordered pair;
- a whole chain is scored in one call, and a fall counts only above the rounding of that call;
- knows order and scores, not where the values come from.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ._rows import Codes, Edit, Places, Rows
from ._score import Score, Scores, quiet

NOISE_STEPS = 8  # a fall of fewer roundings of the largest score in the call is no fall
CELLS = 4_000_000  # in one call
FIRST_CALL, MOST_ROWS, CALL_SECONDS = 4096, 200_000, 1.0


@dataclass(frozen=True)
class Chains:
    """Rows `base` of the data; feature j of row i goes through `moves[j][i]`, one step at a time, along its direction.

    Args:
        base: shape (chains,).
        moves: feature to values, shape (chains, points); non-decreasing along the direction from point to point.
        held: feature to the value that it has on the whole chain, shape (chains,).
    """

    base: Places
    moves: Mapping[int, Codes]
    held: Mapping[int, Codes] = field(default_factory=dict)

    @property
    def points(self) -> int:
        """How many points each chain has."""
        return int(next(iter(self.moves.values())).shape[1])

    def part(self, stretch: slice) -> Chains:
        """Some of the chains."""
        moves = {j: values[stretch] for j, values in self.moves.items()}
        return Chains(self.base[stretch], moves, {j: values[stretch] for j, values in self.held.items()})

    def steps(self) -> NDArray[np.bool_]:
        """Where two neighbours on a chain differ at all, shape (chains, points - 1)."""
        differ = np.zeros((len(self.base), self.points - 1), dtype=np.bool_)
        for values in self.moves.values():
            a, b = values[:, :-1], values[:, 1:]
            differ |= (a != b) & ~(np.isnan(a) & np.isnan(b))
        return differ


@dataclass(frozen=True)
class Pair:
    """One ordered pair: row `base` of the data with some values set, below and above; the score fell by `drop`."""

    base: int
    lower: dict[int, float]
    upper: dict[int, float]
    before: float
    after: float
    noise: float

    @property
    def drop(self) -> float:
        """How far the score fell."""
        return self.before - self.after

    @property
    def moved(self) -> list[int]:
        """The features that differ between the two."""
        return [j for j in self.lower if not same(self.lower[j], self.upper[j])]


def same(a: float, b: float) -> bool:
    """Equal, or both missing."""
    return a == b or (np.isnan(a) and np.isnan(b))


@dataclass
class Tally:
    """What a search has seen of one feature, or of several together."""

    comparisons: int = 0
    falls: int = 0
    pairs: list[Pair] = field(default_factory=list)
    keep: int = 4

    def add(self, pair: Pair) -> None:
        """Keep the pair if it is among the strongest."""
        self.pairs = sorted([*self.pairs, pair], key=lambda p: -p.drop)[: self.keep]


class Scorer:
    """Scores chains in few, even calls; counts what it did.

    Args:
        rows, score: what is asked, and how.
        deadline: the clock's reading at which no further call is begun.
    """

    def __init__(self, rows: Rows, score: Score, deadline: float) -> None:
        self.rows, self.score, self.deadline = rows, score, deadline
        self.calls = self.scored = self.not_numbers = 0
        self.noise_seen = 0.0
        self.unrest = 0.0  # how much the score moves when its inputs move by one rounding
        self.refusals: dict[str, int] = {}
        self.cut = False
        self._rows_per_call = FIRST_CALL

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        self.cut = self.cut or time.monotonic() > self.deadline
        return self.cut

    def ask(self, base: Places, edits: Iterable[Edit] = ()) -> Scores | None:
        """One call; None if the model refuses these rows."""
        began = time.monotonic()
        try:
            with quiet():
                found = self.score.call(self.rows.build(base, edits))
        except Exception as fault:  # whatever the model raises, it has no score for these rows
            text = str(fault).strip().splitlines()
            said = f"{type(fault).__name__}: {text[0][:160] if text else ''}"
            self.refusals[said] = self.refusals.get(said, 0) + len(base)
            return None
        seconds = time.monotonic() - began
        self.calls, self.scored = self.calls + 1, self.scored + len(base)
        self.not_numbers += int(np.isnan(found).sum())
        if len(base) >= self._rows_per_call // 2:
            factor = np.clip(CALL_SECONDS / max(seconds, 1e-3), 0.25, 4.0)
            self._rows_per_call = int(np.clip(self._rows_per_call * factor, 64, MOST_ROWS))
        return found

    def noise(self, scores: Scores) -> float:
        """The largest fall between the scores of one call that rounding may explain."""
        known = np.abs(scores[np.isfinite(scores)])
        rounding = self.score.precision * float(known.max()) if known.size else 0.0
        return NOISE_STEPS * max(rounding, self.unrest)

    def follow(self, chains: Chains, tally: Tally) -> None:
        """Score the chains, as many as there is time for, and enter what falls."""
        width = max(64, min(self._rows_per_call, CELLS // max(1, len(self.rows.names))))
        first = 0
        while first < len(chains.base) and not self.over:
            size = max(1, width // chains.points)
            self._call(chains.part(slice(first, first + size)), tally)
            first += size
            width = max(64, min(self._rows_per_call, CELLS // max(1, len(self.rows.names))))

    def _call(self, chains: Chains, tally: Tally) -> None:
        count, points = len(chains.base), chains.points
        everywhere = slice(0, count * points)
        edits = [Edit(everywhere, j, values.ravel()) for j, values in chains.moves.items()]
        edits += [Edit(everywhere, j, np.repeat(values, points)) for j, values in chains.held.items()]
        found = self.ask(np.repeat(chains.base, points), edits)
        if found is None:
            return
        noise = self.noise(found)
        scores = found.reshape(count, points)
        steps = chains.steps()
        with np.errstate(invalid="ignore"):
            # Infinite scores subtract to NaN, and a comparison with NaN is no fall.
            falls = steps & (scores[:, :-1] - scores[:, 1:] > noise)
            known = np.where(np.isnan(scores), -np.inf, scores)
            highest = np.maximum.accumulate(known, axis=1)
            drops = np.where(np.isnan(scores), -np.inf, highest - scores)
        drops = np.where(np.isnan(drops), -np.inf, drops)
        told = ~np.isnan(scores)
        tally.comparisons += int((steps & told[:, :-1] & told[:, 1:]).sum())
        tally.falls += int(falls.sum())
        ends = drops.argmax(axis=1)
        worst = drops[np.arange(count), ends]
        small = worst[(worst > 0) & (worst <= noise)]
        if small.size:
            self.noise_seen = max(self.noise_seen, float(small.max()))
        order = np.argsort(-worst, kind="stable")[: tally.keep]
        for i in order[worst[order] > noise]:
            end = int(ends[i])
            start = int(known[i, : end + 1].argmax())
            held = {j: float(values[i]) for j, values in chains.held.items()}
            lower = held | {j: float(values[i, start]) for j, values in chains.moves.items()}
            upper = held | {j: float(values[i, end]) for j, values in chains.moves.items()}
            tally.add(Pair(int(chains.base[i]), lower, upper, float(scores[i, start]), float(scores[i, end]), noise))
