"""Two models on the same rows: what the new one misses that the old one caught, and what else changes.

- a negative flip is a bad row that was an alarm and is none; new false alarms are counted beside;
- figures stand for all rows, for each label, and for each month, so that drift is seen where it begins;
- decides nothing: how many flips are too many is for the caller to say.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import Times, labels_of, times_of
from .errors import BadInput, NoMatch, require
from .evaluation import threshold_at
from .model_folder import Model
from .streaming import no_pipe, score_blocks

SHOWN = 10
KEPT = 1_000

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """Some rows under both models.

    Args:
        name: which rows.
        rows: how many.
        old_alarms, new_alarms: how many of them are alarms.
        agree: share of rows with the same verdict.
        lost, gained: alarms that only the old, or only the new model raises.
        old_median, new_median: of the logits.
    """

    name: str
    rows: int
    old_alarms: int
    new_alarms: int
    agree: float
    lost: int
    gained: int
    old_median: float
    new_median: float


@dataclass(frozen=True)
class Flip:
    """A row whose verdict changes: its number from 1, its name, its logits."""

    row: int
    id: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class Comparison:
    """What changes from the old to the new model.

    Args:
        old, new: the digests of the models.
        parts: all rows, then bad and benign ones if labels came.
        times: of each part of the time, its bad and its benign rows; or all its rows if no labels came.
        negative_flips, new_false_alarms: None if no labels came.
        flips: the negative flips themselves, those furthest below the new threshold first, at most 1,000; alarms that
            are lost if no labels came.
        thresholds: old and new.
        even_threshold: where the new model would have the old one's alarms among benign rows; None without labels, or
            where all of them were alarms.
        failed: rows that one of the models cannot read: alarms, and in no other figure but those of all rows.
        same_features: whether both look at the same features.
    """

    old: str
    new: str
    parts: tuple[Part, ...]
    times: tuple[Part, ...]
    negative_flips: int | None
    new_false_alarms: int | None
    flips: tuple[Flip, ...]
    thresholds: tuple[float, float]
    even_threshold: float | None
    failed: int
    same_features: bool

    @property
    def lost(self) -> int:
        """Negative flips; without labels all alarms that are lost."""
        return self.parts[0].lost if self.negative_flips is None else self.negative_flips

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """As `to_dict`, in one text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        old, new = self.thresholds
        lines = [
            f"old  sha256:{self.old[:16]}  threshold {old:.6g}",
            f"new  sha256:{self.new[:16]}  threshold {new:.6g}",
        ]
        if self.even_threshold is not None:
            lines.append(f"     with as many alarms on benign rows as the old one: threshold {self.even_threshold:.6g}")
        if not self.same_features:
            lines.append("     the two look at different features")
        lines += ["", *_table(self.parts)]
        if self.times:
            lines += ["", *_table(self.times)]
        lines.append("")
        if self.negative_flips is None:
            lines.append("no labels: which lost alarms are misses is not known")
        else:
            lines.append(f"negative flips (bad, caught before, missed now): {self.negative_flips:,}")
            lines.append(f"new false alarms: {self.new_false_alarms:,}")
        lines += [
            f"  row {flip.row:<8} {flip.id[:30]:<30} logit {_logit(flip.old)} -> {_logit(flip.new)}"
            for flip in self.flips[:SHOWN]
        ]
        if len(self.flips) > SHOWN:
            lines.append("  and more; --json has them")
        if self.failed:
            lines.append(f"{self.failed:,} rows could not be read by one of them: alarms for that one")
        return "\n".join(lines)


def compare(
    old: Model,
    new: Model,
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    time: str | None = None,
    id_column: str | None = None,
) -> Comparison:
    """Score a file with both models.

    Args:
        old, new: the models; their features may differ.
        path: a file of rows, as for `score`.
        label: the column of labels; by default that of the new model, if the file has it.
        time: a column of times, for figures by month; see `times_of`.
        id_column: a column that names the rows.

    Raises:
        BadInput: the file lacks what a model needs, or has no rows.
        NoMatch: a column is not there.

    Cost: each model scores the file once; some 50 bytes a row are held.
    """
    no_pipe(path, "compare")
    named = {"--label": label, "--time": time, "--id": id_column}
    # Each by itself, so that the error names the option; the file's first block is all this reads.
    for option, column in named.items():
        if column is not None:
            next(score_blocks(new.encoder, new.scorer(), path, (column,), option=option, rows=1), None)
    if label is None:
        label = _if_there(new, path, new.question.label)
    extra = tuple(dict.fromkeys(column for column in (label, time, id_column) if column is not None))
    new_logits, new_failed, table = _scored(new, path, extra)
    old_logits, old_failed, _ = _scored(old, path, ())
    if not len(new_logits):
        raise BadInput(str(path), "it has no rows", "rows to compare two models on are needed")
    good = ~(old_failed | new_failed)
    alarms = [~(logits <= folder.threshold) for logits, folder in ((old_logits, old), (new_logits, new))]
    whole = _Rows(old_logits, new_logits, *alarms)
    labels = None if label is None else _labels(table, good, label, new.question)
    sides = {} if labels is None else {"bad": good & (labels == 1), "benign": good & (labels == 0)}
    names = table[id_column].to_pylist() if id_column else None
    lost = whole.lost & sides.get("bad", good)
    at = np.flatnonzero(lost)
    at = at[np.argsort(new_logits[at], kind="stable")][:KEPT]
    benign = sides.get("benign")
    even = None
    if benign is not None and benign.any():
        even = threshold_at(new_logits[benign], float(whole.old_alarms[benign].mean()))
        even = even if math.isfinite(even) else None  # every benign row was an alarm: any threshold would do
    return Comparison(
        old=old.parts()["sha256"],
        new=new.parts()["sha256"],
        parts=tuple(whole.part(name, rows) for name, rows in {"all rows": np.ones_like(good), **sides}.items()),
        times=() if time is None else tuple(_by_time(whole, table, time, good, sides)),
        negative_flips=None if labels is None else int(lost.sum()),
        new_false_alarms=None if benign is None else int((whole.gained & benign).sum()),
        flips=tuple(
            Flip(row + 1, "" if names is None else str(names[row]), float(old_logits[row]), float(new_logits[row]))
            for row in at.tolist()
        ),
        thresholds=(old.threshold, new.threshold),
        even_threshold=even,
        failed=int((~good).sum()),
        same_features=old.encoder.features == new.encoder.features,
    )


@dataclass(frozen=True)
class _Rows:
    old: NDArray[np.float64]
    new: NDArray[np.float64]
    old_alarms: Mask
    new_alarms: Mask

    @property
    def lost(self) -> Mask:
        return self.old_alarms & ~self.new_alarms

    @property
    def gained(self) -> Mask:
        return self.new_alarms & ~self.old_alarms

    def part(self, name: str, rows: Mask) -> Part:
        medians = [
            float(np.median(some)) if len(some := x[rows & np.isfinite(x)]) else 0.0 for x in (self.old, self.new)
        ]
        count = int(rows.sum())
        lost, gained = int((self.lost & rows).sum()), int((self.gained & rows).sum())
        return Part(
            name,
            count,
            int((self.old_alarms & rows).sum()),
            int((self.new_alarms & rows).sum()),
            1.0 if not count else 1 - (lost + gained) / count,
            lost,
            gained,
            *medians,
        )


def _scored(folder: Model, path: Any, extra: Sequence[str]) -> tuple[NDArray[np.float64], Mask, Any]:
    pa = require("pyarrow", "tables")
    logits, failed, tables = [np.empty(0)], [np.empty(0, np.bool_)], []
    for block in score_blocks(folder.encoder, folder.scorer(), path, extra):
        bad = np.zeros(len(block), np.bool_)
        bad[list(block.failures)] = True
        logits.append(block.logits)
        failed.append(bad)
        tables.append(block.table)
    table = pa.concat_tables(tables, promote_options="permissive") if tables and extra else None
    return np.concatenate(logits), np.concatenate(failed), table


def _if_there(folder: Model, path: Any, label: str) -> str | None:
    try:
        next(score_blocks(folder.encoder, folder.scorer(), path, (label,), rows=1), None)
    except NoMatch:
        return None
    return label


def _labels(table: Any, good: Mask, label: str, asked: Any) -> NDArray[np.int64]:
    """1, 0, or -1 for a row that cannot be read."""
    found = np.full(len(good), -1)
    if good.any():
        pa = require("pyarrow", "tables")
        some = table.filter(pa.array(good))
        try:
            found[good] = labels_of(some, label, asked.positive, asked.negative, both=False)
        except BadInput:
            if label == asked.label:
                raise
            found[good] = labels_of(some, label, both=False)  # another column may have words of its own
    return found


def _by_time(whole: _Rows, table: Any, time: str, good: Mask, sides: dict[str, Mask]) -> list[Part]:
    pa = require("pyarrow", "tables")
    times: Times = times_of(table.filter(pa.array(good)), time)
    names, part = times.parts()
    parts = np.full(len(good), -1)
    parts[good] = part
    found = []
    for at, name in enumerate(names):
        here = parts == at
        for side, rows in (sides or {"": good}).items():
            if (here & rows).any():
                found.append(whole.part(f"{name} {side}".strip(), here & rows))
    return found


def _table(parts: Sequence[Part]) -> list[str]:
    lines = [f"{'rows':<20}{'count':>9}{'alarms: old':>13}{'new':>8}{'lost':>7}{'gained':>8}{'agree':>8}"]
    for one in parts:
        shares = [f"{alarms / max(one.rows, 1):.1%}" for alarms in (one.old_alarms, one.new_alarms)]
        lines.append(
            f"{one.name[:20]:<20}{one.rows:>9,}{shares[0]:>13}{shares[1]:>8}{one.lost:>7,}{one.gained:>8,}{one.agree:>8.1%}"
        )
    return lines


def _logit(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
