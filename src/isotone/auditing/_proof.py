"""The proof from the trees of a model, where it is made of trees, in the words of an audit.

- the trees count only where their sum orders the data as the model's own score does;
- what an absent entry of a sparse row is to the model (XGBoost: missing) is what the proof is about;
- what cannot be read gives no proof and its reason: the search then stands alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import BadInput
from . import trees
from ._chains import Pair, Scorer
from ._rows import Codes, Places, Rows
from ._values import bounds_of

CHECKED_ROWS = 2000
AGREES = 1e-5  # of the largest score: how far rounding may take the model's order from that of the trees
MISSING = {"auto": "fixed", "outside": "fixed", "lowest": "lowest"}
METHODS = ("predict", "predict_proba", "decision_function")


@dataclass(frozen=True)
class Proof:
    """What the trees say.

    Args:
        tried: whether the proof was tried.
        proved: whether every direction is proved.
        reason: one sentence.
        features: feature to whether its direction is proved.
        thresholds: feature to the values at which the trees split.
        assumptions: what the proof rests on, in sentences.
        seeds: pairs of rows, as feature -> value, between which the sum of the trees falls; before them the row of the
            data that is most like them.
    """

    tried: bool = False
    proved: bool = False
    reason: str = ""
    features: Mapping[int, bool] = field(default_factory=dict)
    thresholds: Mapping[int, Codes] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    seeds: tuple[tuple[int, dict[int, float], dict[int, float]], ...] = ()


def from_trees(
    predict: Any, scorer: Scorer, drawn: Places, directions: Sequence[int], *, domain: Any, missing: str
) -> Proof:
    """Read the trees of a model and try the proof; `Proof()` where there are none."""
    if any(name in getattr(predict, "__dict__", ()) for name in METHODS):
        return Proof()  # somebody put another function in the place of the library's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names: the trees are asked with plain numbers
        return _tried(predict, scorer, drawn, directions, domain=domain, missing=missing)


def _tried(
    predict: Any, scorer: Scorer, drawn: Places, directions: Sequence[int], *, domain: Any, missing: str
) -> Proof:
    rows, score = scorer.rows, scorer.score
    try:
        ensemble = trees.read(predict, score.column)
    except trees.Unreadable as fault:
        return Proof(reason=f"The trees give no proof: {str(fault).rstrip('.')}.")
    if ensemble is None:
        return Proof()
    columns = [rows.codes(j) for j in range(len(rows.names))]
    if ensemble.features != len(columns) or any(codes is None for codes in columns):
        return Proof(reason="The trees give no proof: not every column of X is a number to them.")
    # XGBoost reads what a sparse row does not store as missing, whatever `missing` it was given.
    absent = rows.kind == "sparse" and "xgb" in ensemble.kind.lower()
    base = drawn[:CHECKED_ROWS]
    table = np.stack([codes[base] for codes in columns if codes is not None], axis=1)
    table = np.where(table == 0, np.nan, table) if absent else table
    splits = ensemble.feature >= 0
    splits[list(ensemble.categories)] = False
    thresholds = {
        j: np.unique(ensemble.threshold[splits & (ensemble.feature == j)]) for j, way in enumerate(directions) if way
    }
    margins = trees.margins(predict, score.column)
    agreed = margins is not None and bool(trees.faithful(ensemble, margins, table[:512], edges=1024))
    if not agreed or not _same_order(scorer, ensemble.predict(table), base):
        return Proof(reason="The trees give no proof: as they were read they do not order the rows as the model does.")
    lows, highs, _ = bounds_of(domain, rows)
    if any(rows.categorical(j) and (ensemble.feature == j).any() for j in range(len(columns))):
        # A library numbers categories as they were when it was trained, not as they are in X.
        return Proof(reason="The trees give no proof: they look at categories.", thresholds=thresholds)
    # What the type of a column cannot hold need not be proved; of free columns nothing is assumed.
    ends = [rows.ends(j) if way else (-np.inf, np.inf) for j, way in enumerate(directions)]
    low = np.maximum(lows, [a for a, _ in ends])
    high = np.minimum(highs, [b for _, b in ends])
    can_miss = any(rows.can_miss(j) for j, way in enumerate(directions) if way)
    # Where no column with a direction can miss, it does not matter where missing lies.
    policy, said = MISSING.get(missing, "") if can_miss else "fixed", tuple[str, ...]()
    if absent:
        policy, said, low = _of_absent(rows, directions, low, missing)
    if not policy:
        return Proof(reason=f"The trees give no proof with missing={missing!r} for these rows.", thresholds=thresholds)
    try:
        found = trees.prove(ensemble, list(directions), low=low, high=high, missing=policy, rows=table)
    except BadInput as fault:
        return Proof(reason=f"The trees give no proof: {str(fault).rstrip('.')}.", thresholds=thresholds)
    fails = [one for one in found.features if not one.proved]
    reason = f"each of the {ensemble.trees:,} trees is monotone in every feature with a direction, so their sum is."
    if fails:
        reason = f"The trees give no proof for {len(fails)} of {len(found.features)} features: {fails[0].reason}."
    return Proof(
        True,
        found.proved,
        reason,
        {one.feature: one.proved for one in found.features},
        thresholds,
        (*found.assumptions, *said),
        tuple(
            (int(base[_nearest(table, one.lower)]), _cells(one.lower, absent), _cells(one.upper, absent))
            for one in found.candidates
        ),
    )


def _same_order(scorer: Scorer, sums: Codes, base: Places) -> bool:
    """Whether the model's score never falls while the sum of the trees rises, over rows of the data.

    So it need not be known what link the model puts behind the sum, only that it keeps order.
    """
    scores = scorer.ask(base)
    if scores is None or not np.isfinite(scores).all() or not np.isfinite(sums).all():
        return False
    order = np.lexsort((scores, sums))
    ranked = scores[order]
    slack = AGREES * float(np.abs(scores).max()) + scorer.noise(scores)
    # Every score may lie below an earlier one by rounding only; and sums that differ widely must not tie everywhere.
    falls = np.maximum.accumulate(ranked) - ranked
    told_apart = len(np.unique(sums)) < 2 or len(np.unique(scores)) > 1
    return bool(falls.max() <= slack) and told_apart


def _of_absent(rows: Rows, directions: Sequence[int], low: Codes, missing: str) -> tuple[str, tuple[str, ...], Codes]:
    """Absent counts as the number 0, and to the model it is missing: below every stored number if none is negative."""
    ways = [j for j, way in enumerate(directions) if way]
    stored = [codes for j in ways if (codes := rows.codes(j)) is not None]
    if missing not in ("auto", "outside") or any(np.isnan(c).any() or (c < 0).any() for c in stored):
        return "", (), low
    low = low.copy()
    low[ways] = np.maximum(low[ways], 0.0)
    return "lowest", ("No number stored in a sparse row is negative or NaN where there is a direction.",), low


def _nearest(table: Codes, row: Codes) -> int:
    """The row of the table that shares most values with `row`."""
    return int(((table == row) | (np.isnan(table) & np.isnan(row))).sum(axis=1).argmax())


def _cells(values: Any, absent: bool) -> dict[int, float]:
    found = np.asarray(values, dtype=np.float64).ravel()
    found = np.where(np.isnan(found), 0.0, found) if absent else found
    return {j: float(v) for j, v in enumerate(found)}


def seeds(proof: Proof, scorer: Scorer) -> list[Pair]:
    """The pairs that the trees suggest, as the table can hold them; their scores are still to be asked."""
    rows = scorer.rows

    def fitted(values: dict[int, float]) -> dict[int, float]:
        return {j: float(rows.fit(j, np.array([v]))[0]) for j, v in values.items()}

    def held(values: dict[int, float]) -> bool:
        return all(rows.can_miss(j) for j, v in values.items() if np.isnan(v))

    return [
        Pair(base, fitted(low), fitted(high), 0.0, 0.0, 0.0)
        for base, low, high in proof.seeds
        if held(low) and held(high)
    ]
