"""Is a row's score the row's alone, and what are an absent entry and a missing value to the model?

- a score that depends on the call, on the neighbours in a batch or on chance supports no claim at all;
- absent, stored zero and dense zero are one number to a reader, and often not to a model;
- a missing value is reported where it lies; it is inside the order only where somebody says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import require
from ._chains import Chains, Scorer, Tally
from ._rows import Edit, Places, Rows
from ._search import Search
from ._values import Feature, levels

PROBE_ROWS = 64
MISSING_ROWS = 100
UNREST_FEATURES = 512
MISSING = ("auto", "lowest", "highest", "outside")


@dataclass(frozen=True)
class Unsteady:
    """A row that has two scores."""

    row: int
    one: float
    other: float
    how: str

    def __str__(self) -> str:
        return f"row {self.row} scores {self.one:.6g} in a batch and {self.other:.6g} {self.how}"


def unsteady(scorer: Scorer, drawn: Places, *, batches: bool) -> Unsteady | None:
    """The row whose score depends most on how it is asked, or None: the same batch again; or turned, in part, alone."""
    rows = drawn[:PROBE_ROWS]
    first = scorer.ask(rows)
    if first is None:
        return None
    count = len(rows)
    alone = rows[:4]
    again: list[tuple[str, Places, Any]] = [("when asked again", rows, np.arange(count))]
    asked: list[tuple[str, Places, Any]] = [
        ("in the batch turned round", rows[::-1], np.arange(count)[::-1]),
        ("in half the batch", rows[: (count + 1) // 2], np.arange((count + 1) // 2)),
        *(("alone", alone[i : i + 1], np.array([i])) for i in range(len(alone))),
    ]
    worst: Unsteady | None = None
    for how, batch, places in asked if batches else again:
        found = scorer.ask(batch)
        if found is None:
            continue
        with np.errstate(invalid="ignore"):
            gap = np.abs(found - first[places])
        gap = np.where(found == first[places], 0.0, gap)  # inf and inf
        gap = np.where(np.isnan(found) & np.isnan(first[places]), 0.0, gap)
        i = int(np.nanargmax(gap)) if not np.isnan(gap).all() else 0
        size = float(gap[i])
        if not size <= scorer.noise(first) and (worst is None or size > abs(worst.one - worst.other)):
            worst = Unsteady(int(batch[i]), float(first[places][i]), float(found[i]), how)
        elif size > 0:
            scorer.noise_seen = max(scorer.noise_seen, size if np.isfinite(size) else 0.0)
    return worst


def unrest(scorer: Scorer, drawn: Places, random: np.random.Generator) -> float:
    """How much the score moves, in nine cases of ten, when every real number moves by one rounding.

    A score that is a small difference of large numbers has more rounding in it than its size tells; this shows it. The
    numbers are drawn between those of the data: a step of a tree lies on a number of the data, and hardly ever there.
    """
    rows, base = scorer.rows, np.repeat(drawn[:PROBE_ROWS], 2)
    one = slice(0, len(base))
    edits = []
    for j in range(min(len(rows.names), UNREST_FEATURES)):
        codes = rows.codes(j)
        if codes is None or rows.whole(j):
            continue
        known = codes[np.isfinite(codes)]
        here = np.repeat(random.uniform(known.min(), known.max(), len(base) // 2), 2) if known.size else codes[base]
        signs = random.choice([-1.0, 1.0], len(base))
        signs[::2] = 0.0  # every other row stays: both kinds in one call
        edits.append(Edit(one, j, rows.fit(j, here * (1 + signs * scorer.score.precision))))
    found = scorer.ask(base, edits) if edits else None
    if found is None:
        return 0.0
    with np.errstate(invalid="ignore"):
        gaps = np.abs(found[1::2] - found[::2])
    return float(np.quantile(gaps[np.isfinite(gaps)], 0.9)) if np.isfinite(gaps).any() else 0.0


def zeros(scorer: Scorer, call: Callable[[Any], Any], drawn: Places, sparse: bool | str) -> list[str]:
    """Sentences on how absent entries, stored zeros and dense zeros differ. `call`: rows of any kind to scores."""
    rows: Rows = scorer.rows
    if sparse is False or rows.kind not in ("sparse", "array"):
        return []
    base = drawn[:PROBE_ROWS]
    one = rows.build(base)
    if rows.kind == "array":
        if one.dtype.kind not in "biuf" or (sparse == "auto" and not (one == 0).mean() >= 0.3):
            return []
        try:
            other = {"the same rows as a sparse matrix": require("scipy.sparse", "tables").csr_matrix(one)}
        except ImportError:
            return []
    else:
        full = require("scipy.sparse", "tables").csr_matrix(np.ones(one.shape))
        # Every entry stored, zeros too; CSR arithmetic would drop them again.
        full.data = one.toarray().ravel().astype(one.dtype)
        other = {"the same rows with their zeros stored": full, "the same rows as a dense array": one.toarray()}
    said = []
    for name, rows_again in other.items():
        first = scorer.ask(base)
        try:
            second = call(rows_again)
        except Exception:  # a model that takes the one kind only has no two scores
            if sparse is True:
                said.append(f"the model does not take {name}")
            continue
        if first is None:
            continue
        gap = np.nan_to_num(np.abs(first - second))
        i = int(gap.argmax())
        if gap[i] > scorer.noise(first):
            said.append(
                f"absent is not zero to this model: row {base[i]} scores {first[i]:.6g}, and {second[i]:.6g} as "
                f"{name} ({int((gap > scorer.noise(first)).sum())} of {len(base)} rows differ)"
            )
    return said


@dataclass(frozen=True)
class Missing:
    """Where the score of a missing value lies, against the scores of the values that were tried in its place.

    Args:
        rows: how many rows were asked.
        below, inside, above: in how many the score lies below all others, among them, above all others.
    """

    rows: int
    below: int
    inside: int
    above: int

    def to_dict(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        told = [f"{name} {n}" for name, n in asdict(self).items() if name != "rows" and n]
        return f"missing scores, in {self.rows} rows: {', '.join(told)}"


def missing_place(search: Search, feature: Feature, policy: str) -> Missing | None:
    """Where missing lies for one feature; under "lowest" and "highest" its falls are entered as falls."""
    scorer, rows = search.scorer, search.scorer.rows
    tested = policy != "auto" or bool(np.isnan(feature.observed).any())
    if not tested or not rows.can_miss(feature.place) or scorer.over:
        return None
    values = levels(feature, 12, search.random, rows)
    if not values.size:
        return None
    width = min(MISSING_ROWS, max(4, 40_000 // len(search.features) // (len(values) + 1)))
    places = search.random.choice(len(search.drawn), min(width, len(search.drawn)), replace=False)
    base = search.drawn[places]
    first = (policy == "highest") == (feature.direction < 0)  # NaN before or behind all others, along the direction
    chain = np.concatenate([[np.nan], values] if first else [values, [np.nan]])
    moves = {feature.place: np.tile(chain, (len(base), 1))}
    points = len(chain)
    edit = Edit(slice(0, len(base) * points), feature.place, moves[feature.place].ravel())
    found = scorer.ask(np.repeat(base, points), [edit])
    if found is None:
        return None
    noise = scorer.noise(found)
    scores = found.reshape(len(base), points)
    absent, others = (scores[:, 0], scores[:, 1:]) if first else (scores[:, -1], scores[:, :-1])
    below = absent < others.min(axis=1) - noise
    above = absent > others.max(axis=1) + noise
    if policy in ("lowest", "highest"):
        scorer.follow(Chains(base, moves), search.single.setdefault(feature.place, Tally()))
    return Missing(len(base), int(below.sum()), int((~below & ~above).sum()), int(above.sum()))
