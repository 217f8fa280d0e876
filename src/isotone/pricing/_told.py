"""A price as it is read: a table in 80 columns, a page, a picture, a plain dict."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..effects._ink import BLUE, INK, RED, axes
from ..effects._rows import shown
from ..effects._told import cut
from ._held_out import Move
from ._intervals import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDS = {1: "increasing", -1: "decreasing"}


@dataclass(frozen=True)
class Cost:
    """Of one direction.

    Args:
        name: of the feature.
        direction: +1 or -1.
        cost: score without this direction, all others kept, less score with all.
        alone: score without any less score with only this one, if that was asked for.
        p: one-sided p-value that it costs nothing, adjusted for the number of directions (Holm).
        effect: what the unconstrained model does on held-out rows from a low to a high value of the feature.
        against: the clearest part of its effect that goes against the direction, or None.
    """

    name: str
    direction: int
    cost: Estimate
    alone: Estimate | None
    p: float
    effect: Move | None
    against: Move | None

    @property
    def seen(self) -> str:
        """What the data say of the direction: agree, against, or unclear."""
        if self.against is not None:
            return "against"
        if self.effect is None:
            return "unclear"
        change = self.effect.change
        return "agree" if (change.low if self.direction > 0 else -change.high) > 0 else "unclear"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "direction": self.direction,
            "cost": _numbers(self.cost),
            "alone": None if self.alone is None else _numbers(self.alone),
            "p": self.p,
            "data": self.seen,
            "effect": None if self.effect is None else _moved(self.effect),
            "against": None if self.against is None else _moved(self.against),
        }


@dataclass(frozen=True)
class Price:
    """What `price` answers.

    Args:
        measure: what scores are.
        scores_with, scores_without: of each split, with all directions and with none.
        together: the cost of all directions.
        costs: of each.
        warnings: sentences, where the data contradict a direction.
        confidence: of the intervals.
        about: rows and splits.
    """

    measure: str
    scores_with: tuple[float, ...]
    scores_without: tuple[float, ...]
    together: Estimate
    costs: tuple[Cost, ...]
    warnings: tuple[str, ...]
    confidence: float
    about: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "measure": self.measure,
            "about": self.about,
            "confidence": self.confidence,
            "scores_with": list(self.scores_with),
            "scores_without": list(self.scores_without),
            "together": _numbers(self.together),
            "costs": [cost.to_dict() for cost in self.costs],
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        (head, *body), wide = self._cells(), [22, 10, 9, 21, 8]
        lines = textwrap.wrap(self._title(), 80)
        for line in (head, *body):
            a, b, c, d, e = (cut(cell, w) for cell, w in zip(line, wide, strict=True))
            lines.append(f"  {a:<{wide[0]}} {b:<{wide[1]}} {c:>{wide[2]}}  {d:<{wide[3]}} {e}".rstrip())
        for text in (self._key(), *(f"warning: {text}" for text in self.warnings)):
            lines += ["", *textwrap.wrap(text, 80, subsequent_indent="  ", break_on_hyphens=False)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
        said = "".join(f"<p><b>warning:</b> {escape(text)}</p>" for text in self.warnings)
        return f"<p>{escape(self._title())}</p><table><tr>{top}</tr>{rows}</table><p>{escape(self._key())}</p>{said}"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Costs with their intervals; red where the unconstrained model goes against the direction."""
        rows = [("all together", self.together, INK)]
        rows += [(f"{c.name} ({WORDS[c.direction]})", c.cost, RED if c.seen == "against" else BLUE) for c in self.costs]
        ax = axes(ax, 6.4, 1.1 + 0.34 * len(rows))
        for at, (_, cost, colour) in enumerate(rows):
            ax.plot([cost.low, cost.high], [-at, -at], color=colour, linewidth=2.0)
            ax.plot([cost.mean], [-at], color=colour, marker="D" if colour == RED else "o", markersize=6)
        ax.axvline(0.0, color=INK, linewidth=0.8)
        ax.set_yticks(-np.arange(len(rows)), [cut(name, 36) for name, *_ in rows])
        ax.set_ylim(-len(rows) + 0.4, 0.6)
        ax.set_xlabel(f"cost in {self.measure} (right: without it the score is higher)")
        return ax

    def _title(self) -> str:
        with_all, with_none = float(np.mean(self.scores_with)), float(np.mean(self.scores_without))
        scores = f"{with_all:.4g} with all directions, {with_none:.4g} with none"
        return f"price in {self.measure}: {scores} ({self.about})"

    def _cells(self) -> list[tuple[str, ...]]:
        percent = f"{100 * self.confidence:.3g}%"
        rows = [("feature", "direction", "cost", f"{percent} interval", "data"), ("all together", "")]
        rows[1] += (*_said(self.together), "")
        rows += [(c.name, WORDS[c.direction], *_said(c.cost), c.seen) for c in self.costs]
        if self.costs and self.costs[0].alone is not None:
            rows += [(c.name, "alone", *_said(c.alone), "") for c in self.costs if c.alone is not None]
        return rows

    def _key(self) -> str:
        return (
            "cost: mean score without the direction less score with it, on the same splits; above 0 it costs, below 0 "
            "it helps. data: whether the unconstrained model's mean effect on held-out rows agrees with the direction, "
            "goes against it somewhere, or is unclear. Each interval is for one line, not for all at once."
        )


def warning(cost: Cost, measure: str) -> str:
    """The sentence for a direction that the data contradict."""
    move = cost.against
    assert move is not None
    verb = "falls" if move.change.mean < 0 else "rises"
    ends = sorted((abs(move.change.low), abs(move.change.high)))
    size = f"{abs(move.change.mean):.3g} [{ends[0]:.3g}, {ends[1]:.3g}]"
    return (
        f"{cost.name} ({WORDS[cost.direction]}): without directions the fitted score {verb} by {size} on average when "
        f"{cost.name} goes from about {shown(move.start)} to {shown(move.end)} and the rest of the row stays, and this "
        f"direction costs {cost.cost.mean:.3g} [{cost.cost.low:.3g}, {cost.cost.high:.3g}] of {measure}. These data "
        "contradict the direction. They do not show that it is wrong: a feature that is missing from X, the way the "
        "rows were chosen, or an error in coding can do the same. Look at the data, and decide about it again."
    )


def _said(cost: Estimate) -> tuple[str, str]:
    digits = max(0, min(6, 1 - int(np.floor(np.log10(max(cost.high - cost.low, 1e-6))))))
    digits = digits + 1 if digits < 4 else digits
    return f"{cost.mean:+.{digits}f}", f"[{cost.low:+.{digits}f}, {cost.high:+.{digits}f}]"


def _numbers(cost: Estimate) -> dict[str, float]:
    return {"mean": cost.mean, "low": cost.low, "high": cost.high, "error": cost.error}


def _moved(move: Move) -> dict[str, Any]:
    return {"from": move.start, "to": move.end, "change": _numbers(move.change)}
