"""Where the headroom goes: the benign rows that cost most, and the features that would free most."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ._below import Below, Floats, Ints, Sides

SAMPLE_ROWS, SAMPLE_PAIRS, CANDIDATES = 2000, 20, 3


@dataclass(frozen=True)
class Costly:
    """A benign row (and its repeats) that bad rows are below.

    Args:
        row: its index among the rows that came.
        weight: what alarming it costs.
        below: weight of the bad rows below it.
        alone: weight of those below it and no other: what giving up this one frees.
        share: weight of the bad rows below it, each divided among the benign rows above.
    """

    row: int
    weight: float
    below: float
    alone: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Loose:
    """A feature that pairs of rows differ in: what if no attacker could move it?

    Args:
        feature: its index.
        name: or None.
        pairs: share of the pairs (bad row below benign row) that differ in it; from a sample.
        freed: weight of bad rows that would then be below no benign row; exact.
        low, high: bounds of the certified detection that would then be possible at the first rate, as shares.
    """

    feature: int
    name: str | None
    pairs: float
    freed: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def costly(sides: Sides, most: int) -> tuple[Costly, ...]:
    """The benign rows that bad rows lose most by, the worst first."""
    pairs, bad, benign = sides.pairs, sides.bad, sides.benign
    total, alone, share = (np.zeros(len(benign)) for _ in range(3))
    for part, unpacked in pairs.parts():
        gain, count = bad.weights[part], unpacked.sum(axis=1)
        total += gain @ unpacked
        alone += np.where(count == 1, gain, 0.0) @ unpacked
        share += (gain / np.maximum(count, 1)) @ unpacked
    order = np.argsort(-share, kind="stable")[:most]
    return tuple(
        Costly(int(benign.first[b]), *(float(column[b]) for column in (benign.weights, total, alone, share)))
        for b in order.tolist()
        if total[b] > 0
    )


def candidates(sides: Sides, signs: Ints, most: int, seed: int) -> list[tuple[int, float]]:
    """Movable features by how often sampled pairs differ in them, where each bad row counts once: (index, share)."""
    pairs, bad, benign = sides.pairs, sides.bad, sides.benign
    rng = np.random.default_rng(seed)
    under = np.flatnonzero(pairs.any())
    if not len(under) or not most:
        return []
    some = rng.choice(under, min(len(under), SAMPLE_ROWS), replace=False)
    low: list[int] = []
    high: list[int] = []
    weight: list[float] = []
    for part, unpacked in Below(pairs.bits[some], pairs.benign).parts():
        for m, row in zip(some[part].tolist(), unpacked, strict=True):
            above = np.flatnonzero(row)
            drawn = rng.choice(above, min(len(above), SAMPLE_PAIRS), replace=False)
            low += [m] * len(drawn)
            high += drawn.tolist()
            weight += [bad.weights[m] / len(drawn)] * len(drawn)
    differs = (bad.rows[low] != benign.rows[high]).astype(np.float64)
    seen: Floats = np.asarray(differs.T @ np.array(weight)) / sum(weight) * (signs != 0)
    order = np.argsort(-seen, kind="stable")[: CANDIDATES * most]
    return [(int(at), float(seen[at])) for at in order.tolist() if seen[at] > 0]
