"""What `audit` answers, and how it is printed, stored and put on a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput, require
from ..verdict import Verdict
from ._probes import Missing
from ._words import apart, number, percent, row_dict, value, wrapped

EXIT = {Verdict.PROVED: 0, Verdict.REFUTED: 1, Verdict.UNKNOWN: 2}
FAIL_ON = {"refuted": {Verdict.REFUTED}, "unknown": {Verdict.REFUTED, Verdict.UNKNOWN}}
SHOWN_FEATURES = 30
WAYS = {1: "increasing", -1: "decreasing"}


@dataclass(frozen=True)
class Change:
    """One feature that differs between the two rows of a witness; None is a missing value."""

    feature: str
    direction: int
    before: Any
    after: Any


@dataclass(frozen=True, eq=False)
class RowWitness:
    """Two rows that break the claim: only `changes` differ, all along their directions, and the score falls.

    Args:
        row: the row of the data (from 0) that both were made from.
        changes: what differs between the two.
        set_first: what was set in both, and differs from the row of the data: (feature, value).
        lower, upper: the two rows, each a table of one row in the kind of X; `predict` of them gives the scores again.
        before, after: the scores of `lower` and of `upper`, in one call of these two rows.
        observed: whether the changed features stay between values that the data has.
        curve: for a single change, values of that feature and the score at each, all else as in the witness.
    """

    row: int
    changes: tuple[Change, ...]
    set_first: tuple[tuple[str, Any], ...]
    lower: Any
    upper: Any
    before: float
    after: float
    observed: bool
    curve: tuple[tuple[Any, float], ...] = ()

    @property
    def drop(self) -> float:
        """How far the score falls."""
        return self.before - self.after

    def __str__(self) -> str:
        before, after = apart(self.before, self.after)
        first = self.changes[0]
        if len(self.changes) == 1 and first.direction < 0:
            # The eye follows growing values: a decreasing feature that grows must not raise the score.
            how = f"score rises from {after} to {before} when {first.feature} goes from "
            how += f"{value(first.after)} to {value(first.before)}"
        elif len(self.changes) == 1:
            how = f"score falls from {before} to {after} when {first.feature} goes from "
            how += f"{value(first.before)} to {value(first.after)}"
        else:
            moved = [f"{c.feature} {value(c.before)} to {value(c.after)}" for c in self.changes[:4]]
            more = f", and {len(self.changes) - 4} more" if len(self.changes) > 4 else ""
            how = f"score falls from {before} to {after} when {len(self.changes)} features move: "
            how += ", ".join(moved) + more
        where = f"row {self.row} of the data, from 0"
        if self.set_first:
            where += f" with {len(self.set_first)} other feature{'s' if len(self.set_first) > 1 else ''} set"
        return f"{how} ({where}{'' if self.observed else '; outside of what was observed'})"

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the sentence, the scores, what changes and both rows, feature by feature."""
        return {
            "says": str(self),
            "row": self.row,
            "before": number(self.before),
            "after": number(self.after),
            "changes": [
                {"feature": c.feature, "direction": c.direction, "before": number(c.before), "after": number(c.after)}
                for c in self.changes
            ],
            "set_first": {name: number(v) for name, v in self.set_first},
            "observed": self.observed,
            "lower": row_dict(self.lower),
            "upper": row_dict(self.upper),
            "curve": [[number(x), number(y)] for x, y in self.curve],
        }


@dataclass(frozen=True, eq=False)
class FeatureFinding:
    """What was found of one feature.

    Args:
        comparisons: pairs of neighbouring values whose scores were compared.
        falls: in how many of them the score fell by more than rounding.
        witness: the strongest pair in which this feature alone moves, or None.
        missing: where a missing value scores, if that was asked.
        proved: True where a proof covers the feature; None where none was tried.
        note: why nothing was compared, where nothing was.
    """

    name: str
    direction: int
    comparisons: int
    falls: int
    witness: RowWitness | None
    missing: Missing | None
    proved: bool | None
    note: str = ""

    @property
    def violating_share(self) -> float:
        """Share of the comparisons in which the score fell."""
        return self.falls / self.comparisons if self.comparisons else 0.0

    @property
    def worst_drop(self) -> float:
        """The largest fall of a confirmed pair; 0 where there is none."""
        return self.witness.drop if self.witness is not None else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "direction": self.direction,
            "comparisons": self.comparisons,
            "falls": self.falls,
            "violating_share": self.violating_share,
            "worst_drop": number(self.worst_drop),
            "witness": None if self.witness is None else self.witness.to_dict(),
            "missing": None if self.missing is None else self.missing.to_dict(),
            "proved": self.proved,
            "note": self.note,
        }


@dataclass(frozen=True, eq=False)
class Audit:
    """The verdict on "the score never falls while features move along their directions, the others held".

    Args:
        verdict: PROVED (by a proof from the trees of the model), REFUTED (with a pair), or UNKNOWN.
        reason: one sentence.
        witness: the strongest pair, if there is one.
        together: a pair in which several features move and the score falls further, if there is one.
        features: one finding per feature that has a direction.
        notes: what else a reader must know: absent entries, rounding, refusals, time.
        scope: what the verdict is about.
        assumptions: for PROVED, what the proof rests on.
    """

    verdict: Verdict
    reason: str
    witness: RowWitness | None
    together: RowWitness | None
    features: tuple[FeatureFinding, ...]
    notes: tuple[str, ...]
    scope: dict[str, Any]
    assumptions: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """PROVED 0, REFUTED 1, UNKNOWN 2."""
        return EXIT[self.verdict]

    def exit_code_for(self, fail_on: str = "unknown") -> int:
        """`exit_code`, or 0 for a verdict that shall not fail: under "refuted", UNKNOWN passes.

        Raises:
            BadInput: another word than "refuted" or "unknown".
        """
        if fail_on not in FAIL_ON:
            raise BadInput("fail_on", f"{fail_on!r} came", f"one of {', '.join(FAIL_ON)} would be right")
        return self.exit_code if self.verdict in FAIL_ON[fail_on] else 0

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON: numbers, strings, lists."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "witness": None if self.witness is None else self.witness.to_dict(),
            "together": None if self.together is None else self.together.to_dict(),
            "features": [feature.to_dict() for feature in self.features],
            "notes": list(self.notes),
            "scope": self.scope,
            "assumptions": list(self.assumptions),
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    def to_frame(self) -> Any:
        """A pandas DataFrame with one row per feature, the worst first.

        Raises:
            MissingExtra: pandas is not installed.
        """
        rows = [
            {
                "feature": f.name,
                "direction": f.direction,
                "comparisons": f.comparisons,
                "violating_share": f.violating_share,
                "worst_drop": f.worst_drop,
                "witness": "" if f.witness is None else str(f.witness),
                "missing": "" if f.missing is None else str(f.missing),
            }
            for f in worst_first(self.features)
        ]
        return require("pandas", "audit").DataFrame(rows)

    def to_html(self, path: str | Path) -> Path:
        """Write a page that is whole in itself to `path`.

        Raises:
            CannotWrite: the place cannot be written to.
            MissingExtra: jinja2 is not installed.
        """
        from ._page import write  # noqa: PLC0415 - jinja2 is for those who ask for a page

        return write(self, path)

    def __str__(self) -> str:
        lines = wrapped(f"{self.verdict.name}  {self.reason}", "  ")
        if self.witness is not None:
            lines += wrapped(f"  {self.witness}", "     ")
        if self.together is not None:
            lines += wrapped(f"  {self.together}", "     ")
        lines += ["", *_table(self.features), ""]
        for note in self.notes:
            lines += wrapped(f"  note:       {note}", " " * 14)
        for name, said in self.scope.items():
            lines += wrapped(f"  {name + ':':<12}{said}", " " * 14)
        for assumption in self.assumptions:
            lines += wrapped(f"  assumes:    {assumption}", " " * 14)
        return "\n".join(lines)


def worst_first(features: Sequence[FeatureFinding]) -> list[FeatureFinding]:
    """Findings by their largest fall, else as they came."""
    return sorted(features, key=lambda f: -f.worst_drop)


def _table(features: Sequence[FeatureFinding]) -> list[str]:
    """The findings in 80 columns."""
    shown = worst_first(features)[:SHOWN_FEATURES]
    wide = min(28, max([len(f.name) for f in shown] + [7]))
    lines = [f"  {'feature':<{wide}}  {'direction':<10}  {'compared':>9}  {'fell':>6}  {'worst':>9}"]
    for f in shown:
        name = f.name if len(f.name) <= wide else f.name[: wide - 3] + "..."
        share = "-" if not f.comparisons else percent(f.violating_share)
        worst = f"{f.worst_drop:.3g}" if f.witness is not None else ("proved" if f.proved else "-")
        line = f"  {name:<{wide}}  {WAYS[f.direction]:<10}  {f.comparisons:>9,}  {share:>6}  {worst:>9}"
        lines.append(line)
        if f.note or f.missing is not None:
            lines += wrapped(f"      {'; '.join(str(s) for s in (f.missing, f.note) if s)}", " " * 6)
    if len(features) > len(shown):
        lines.append(f"  ... and {len(features) - len(shown)} more features")
    return lines
