"""Suggested directions as they are read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from ..effects._rows import shown
from ..effects._told import cut
from ._held_out import Move
from ._intervals import Estimate

WORDS = {1: "increasing", -1: "decreasing", 0: "none"}
CLOSING = (
    "A direction is your decision: state it where you know, or must guarantee, which way the score may move. "
    "Evidence on the training data is not a reason by itself."
)


@dataclass(frozen=True)
class Suggested:
    """Of one feature.

    Args:
        name: of the feature.
        direction: that is suggested, +1 or -1; 0 is none.
        why_not: why none is, where none is.
        correlation: Spearman's, with y; None where the values have no order.
        partial: Spearman's, given all other features.
        effect: what an unconstrained model does on held-out rows from a low to a high value.
        share: of the held-out rows whose score moves the way of the mean effect.
        p: the larger of the adjusted p-values of partial correlation and effect.
    """

    name: str
    direction: int
    why_not: str
    correlation: Estimate | None
    partial: Estimate | None
    effect: Move | None
    share: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        numbers = {"correlation": self.correlation, "partial": self.partial}
        effect = None
        if self.effect is not None:
            change = self.effect.change
            effect = {"from": self.effect.start, "to": self.effect.end, "mean": change.mean}
            effect |= {"low": change.low, "high": change.high}
        return {
            "name": self.name,
            "direction": self.direction,
            "why_not": self.why_not,
            **{k: None if e is None else {"mean": e.mean, "low": e.low, "high": e.high} for k, e in numbers.items()},
            "effect": effect,
            "share": self.share,
            "p": self.p,
        }


@dataclass(frozen=True)
class SuggestedDirections:
    """What `suggest_directions` answers; `directions` is the mapping that an estimator would take."""

    features: tuple[Suggested, ...]
    confidence: float
    about: str

    @property
    def directions(self) -> dict[str, int]:
        """Those that are suggested, by name."""
        return {f.name: f.direction for f in self.features if f.direction}

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "about": self.about,
            "confidence": self.confidence,
            "directions": self.directions,
            "features": [f.to_dict() for f in self.features],
            "closing": CLOSING,
        }

    def __str__(self) -> str:
        head, *body = self._cells()
        lines = [f"directions that the data suggest ({self.about})"]
        wide = [20, 10, 12, 14, 12, 5]
        for line in (head, *body):
            a, b, *rest = (cut(cell, w) for cell, w in zip(line, wide, strict=True))
            tail = " ".join(f"{cell:>{w}}" for cell, w in zip(rest, wide[2:], strict=True))
            lines.append(f"  {a:<{wide[0]}} {b:<{wide[1]}}{tail}".rstrip())
        for feature in self.features:
            if feature.why_not:
                lines += textwrap.wrap(f"  {feature.name}: none, {feature.why_not}", 80, subsequent_indent="    ")
        return "\n".join([*lines, "", *textwrap.wrap(f"{self._key()} {CLOSING}", 80)])

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        top = "".join(f"<th>{escape(cell)}</th>" for cell in (*head, "why not"))
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in (*line, feature.why_not)) + "</tr>"
            for line, feature in zip(body, self.features, strict=True)
        )
        title = f"<p>directions that the data suggest ({escape(self.about)})</p>"
        return f"{title}<table><tr>{top}</tr>{rows}</table><p>{escape(self._key())} {escape(CLOSING)}</p>"

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield "feature", "suggested", "correlation", "given others", "effect", "rows"
        for f in self.features:
            numbers = ("-" if e is None else f"{e.mean:+.2f}" for e in (f.correlation, f.partial))
            effect = "-" if f.effect is None else f"{f.effect.change.mean:+.3g}"
            yield f.name, WORDS[f.direction], *numbers, effect, f"{f.share:.0%}" if f.effect is not None else "-"

    def _key(self) -> str:
        moves = [f"{f.name} from {shown(f.effect.start)} to {shown(f.effect.end)}" for f in self.features if f.effect]
        return (
            "correlation: Spearman's with y; given others: the same given the ranks of all other features; effect: "
            "mean change of an unconstrained model's score on held-out rows from a low to a high value"
            + (f" ({moves[0]}, ...)" if moves else "")
            + "; rows: share of those rows that move the way of the mean."
        )
