"""Reasons as they are read: per row, the features that count most, in words and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, require
from ._importances import Importances
from ._rows import shown

SHOWN_ROWS = 5
SHOWN_FEATURES = 8
WIDE = 24


@dataclass(frozen=True)
class Reason:
    """One feature of one row: its value, the baseline's value, and the points between the two; None is missing."""

    feature: str
    value: Any
    baseline: Any
    points: float

    def __str__(self) -> str:
        return f"{self.feature} is {shown(self.value)}, not {shown(self.baseline)}: {self.points:+.4g}"


@dataclass(frozen=True, eq=False)
class Reasons:
    """What `reasons` answers.

    Args:
        names: of the d features.
        directions: that were stated, one per feature.
        values: shape (n, d), as plain values; None is missing.
        baseline: shape (d,).
        points: shape (n, d); the rows add up to `scores - baseline_score`.
        errors: shape (n, d), standard errors of the points; 0 where they are exact.
        scores: shape (n,).
        baseline_score: score of the baseline.
        moved: shape (n, d), +1 above the baseline, -1 below it, 0 the same or not comparable.
        exact: shape (n,), whether all sets of features were asked about.
        notes: what was seen against the stated directions.
    """

    names: tuple[str, ...]
    directions: tuple[int, ...]
    values: NDArray[Any]
    baseline: NDArray[Any]
    points: NDArray[np.float64]
    errors: NDArray[np.float64]
    scores: NDArray[np.float64]
    baseline_score: float
    moved: NDArray[np.int8]
    exact: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def agree(self) -> bool:
        """Whether nothing was seen against a stated direction."""
        return not self.notes

    def top(self, n: int = 4, way: int = 0) -> list[tuple[Reason, ...]]:
        """Of each row the features with most points, the largest first, at most `n`; none with 0 points.

        Args:
            n: how many; notices of adverse action usually name up to four.
            way: +1 for those that raised the score, -1 for those that lowered it, 0 for both by size. For a score of
                risk the adverse ones are +1, for a score of merit -1.

        >>> found = isotone.effects.reasons(lambda X: X[:, 0] - 5 * X[:, 1], [[3.0, 1.0]], [0.0, 0.0], [1, -1])
        >>> print(found.top(1, way=+1)[0][0])
        x0 is 3, not 0: +3
        """
        if way not in (-1, 0, 1):
            raise BadInput("top", f"way={way!r} came", "+1 (raised), -1 (lowered) or 0 (both) would be right")
        found = []
        for r in range(len(self)):
            size = np.abs(self.points[r]) if way == 0 else way * self.points[r]
            order = [j for j in np.argsort(-size, kind="stable")[:n].tolist() if size[j] > 0]
            found.append(tuple(self._reason(r, j) for j in order))
        return found

    def importances(self) -> Importances:
        """Mean size of the points of each feature over the rows, with the standard deviation over the rows."""
        size = np.abs(self.points)
        what = f"mean |points| of {len(self)} rows against the stated baseline"
        return Importances(self.names, size.mean(0), size.std(0), what)

    def to_frame(self) -> Any:
        """A pandas DataFrame with one line per row and feature that has points.

        Raises:
            MissingExtra: pandas is not installed.
        """
        lines = [
            {"row": r, "feature": x.feature, "value": x.value, "baseline": x.baseline, "points": x.points}
            for r, row in enumerate(self.top(len(self.names)))
            for x in row
        ]
        return require("pandas", "audit").DataFrame(lines, columns=["row", "feature", "value", "baseline", "points"])

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "names": list(self.names),
            "directions": list(self.directions),
            "baseline": dict(zip(self.names, self.baseline.tolist(), strict=True)),
            "baseline_score": self.baseline_score,
            "rows": [
                {
                    "score": float(self.scores[r]),
                    "exact": bool(self.exact[r]),
                    "values": dict(zip(self.names, self.values[r].tolist(), strict=True)),
                    "points": dict(zip(self.names, self.points[r].tolist(), strict=True)),
                }
                for r in range(len(self))
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines: list[str] = []
        for r in range(min(len(self), SHOWN_ROWS)):
            lines += [*self._lines(r), ""]
        if len(self) > SHOWN_ROWS:
            lines += [f"... and {len(self) - SHOWN_ROWS} more rows", ""]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)]).rstrip("\n")

    def _repr_html_(self) -> str:
        parts = []
        for r in range(min(len(self), SHOWN_ROWS)):
            title, *body = self._cells(r)
            rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
            head = "".join(f"<th>{escape(cell)}</th>" for cell in title)
            parts.append(f"<p>{escape(self._title(r))}</p><table><tr>{head}</tr>{rows}</table>")
        return "".join([*parts, *(f"<p>{escape(note)}</p>" for note in self.notes)])

    def _title(self, r: int) -> str:
        way = f"score {self.scores[r]:.4g}, baseline {self.baseline_score:.4g}"
        return f"row {r}: {way}, difference {self.scores[r] - self.baseline_score:+.4g}"

    def _cells(self, r: int) -> Iterator[tuple[str, str, str, str]]:
        yield "feature", "value", "baseline value", "points"
        ranked = self.top(len(self.names))[r]
        for x in ranked[:SHOWN_FEATURES]:
            yield x.feature, shown(x.value), shown(x.baseline), f"{x.points:+.4g}"
        if rest := ranked[SHOWN_FEATURES:]:
            yield f"{len(rest)} more", "", "", f"{sum(x.points for x in rest):+.4g}"

    def _lines(self, r: int) -> list[str]:
        told = [[cut(cell, WIDE) for cell in line] for line in self._cells(r)]
        wide = [max(len(line[i]) for line in told) for i in range(4)]
        sampled = "" if self.exact[r] else f"  (sampled orders; standard errors up to {self.errors[r].max():.2g})"
        table = [f"  {a:<{wide[0]}}  {b:>{wide[1]}}  {c:>{wide[2]}}  {d:>{wide[3]}}" for a, b, c, d in told]
        return [self._title(r), *table, *([sampled] if sampled else [])]

    def _reason(self, r: int, j: int) -> Reason:
        return Reason(self.names[j], self.values[r, j], self.baseline[j], float(self.points[r, j]))


def cut(text: str, wide: int) -> str:
    """The text in so many columns."""
    return text if len(text) <= wide else text[: wide - 3] + "..."
