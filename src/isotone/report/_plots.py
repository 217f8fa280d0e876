"""The figures of a report, each drawn for a desk and for a phone.

- what a figure shows is also said in words (`role="img"`, `aria-label`);
- names of detectors stand in the page's legends; only a figure on its own carries them inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ._facts import checked
from ._files import write_whole
from ._ink import Shape, Style, light, png, svg
from ._reading import (
    Facts,
    budgets,
    curve_says,
    curves,
    histograms_say,
    in_shares,
    middle,
    rocs,
    styles,
)
from ._words import additions, area, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = Shape("wide", 900, 380, 13.0)
NARROW = Shape("narrow", 340, 300, 12.0)
NARROW_PAIR = Shape("narrow", 340, 520, 12.0)
KEY = Shape("key", 40, 14, 12.0)


def security_curve_svg(facts: Mapping[str, Any]) -> str:
    """Detection against the number of additions, as an SVG document in light colours, legend included.

    Args:
        facts: what `render` takes. Detectors without a curve, and those that only broken attacks have tried, are left
            out.

    Raises:
        BadInput: facts that cannot be used, or in which no detector has a curve to draw.

    Cost: half a second, most of it matplotlib's.
    """
    facts = checked(facts)
    _something(curves(facts), "curve")
    return svg(SecurityCurve(facts, legend=True), WIDE, "curve", curve_says(facts), inline=False)


def histograms_svg(facts: Mapping[str, Any]) -> str:
    """Scores before and after training, as an SVG document in light colours.

    Raises:
        BadInput: facts that cannot be used, or that have no histograms.
    """
    facts = checked(facts)
    _something(facts["histograms"], "histograms")
    return svg(Histograms(facts, legend=True), WIDE, "histograms", histograms_say(facts), inline=False)


def figure_png(facts: Mapping[str, Any], path: str | Path) -> Path:
    """Write the security curve in light colours as a PNG of 1800 by 760 pixels, for a README.

    Raises:
        BadInput: as `security_curve_svg`.
        CannotWrite: `path` cannot be written; what stood there before still does.
    """
    facts = checked(facts)
    _something(curves(facts), "curve")
    return write_whole(path, png(SecurityCurve(facts, legend=True), WIDE))


def _something(found: object, key: str) -> None:
    if not found:
        raise BadInput("facts", f"no {key!r} to draw came", "this figure needs it")


def _axes(
    figure: Figure,
    shape: Shape,
    area: tuple[float, float, float, float] = (0, 0, 1, 1),
    margins: tuple[float, float, float, float] = (52, 14, 30, 50),
) -> Axes:
    """Axes in `area` (left, bottom, right, top; in parts of the figure), inside left, right, top, bottom margins."""
    x0, y0, x1, y1 = area[0] * shape.width, area[1] * shape.height, area[2] * shape.width, area[3] * shape.height
    left, right, top, bottom = margins
    box = (x0 + left, y0 + bottom, x1 - x0 - left - right, y1 - y0 - top - bottom)
    scale = (shape.width, shape.height, shape.width, shape.height)
    b = tuple(part / whole for part, whole in zip(box, scale, strict=True))
    return figure.add_axes((b[0], b[1], b[2], b[3]))


def _labelled(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across, labelpad=7)
    # The upward axis is named above itself, level: quicker to read than turned letters, and no wider.
    axes.annotate(up, (0, 1), (-44, 5), "axes fraction", "offset points", color=light()["muted"], ha="left")


def _in_percent(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])


def _columns(names: Sequence[str]) -> int:
    """How many names of a legend stand side by side; a wide figure holds some 110 letters."""
    return max(1, min(len(names), 110 // (max(len(name) for name in names) + 8)))


def _named(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    figure.legend(
        handles=handles,
        labels=names,
        loc="upper left",
        ncols=_columns(names),
        frameon=False,
        handlelength=3.2,
        borderaxespad=0.2,
    )


class SecurityCurve:
    """Detection against the number of additions, one line per detector, with the range over seeds as a band."""

    def __init__(self, facts: Facts, legend: bool) -> None:
        self.facts, self.legend = facts, legend

    def __call__(self, figure: Figure, shape: Shape) -> None:
        """Draw into an empty figure."""
        facts, colours, looks = self.facts, light(), styles(self.facts)
        steps = budgets(facts)
        # Evenly spaced, as on a logarithmic axis that also has a place for 0 and for "unlimited".
        place = {b: i + (0.35 if b is None and len(steps) > 1 else 0) for i, b in enumerate(steps)}
        names = [facts["detectors"][i]["name"] for i in curves(facts)]
        lines = -(-len(names) // _columns(names)) if self.legend else 0
        axes = _axes(figure, shape, margins=(52, 26, 30 + 21 * lines, 50))
        handles: list[Any] = []
        for i in reversed(curves(facts)):
            curve, style = facts["detectors"][i]["curve"], looks[i]
            points = sorted(
                ((place[b], s) for b, s in zip(curve["budgets"], curve["detection"], strict=True)), key=lambda p: p[0]
            )
            x = [p for p, _ in points]
            low, mean, high = ([s[key] for _, s in points] for key in ("low", "mean", "high"))
            colour = colours[style.colour]
            if (certified := facts["detectors"][i]["certified_curve"]) is not None:
                proved = sorted(
                    (place[b], s["mean"])
                    for b, s in zip(certified["budgets"], certified["detection"], strict=True)
                    if b in place
                )
                # Wide and pale, so that it is seen under the line where the two are one.
                axes.plot(*zip(*proved, strict=True), color=colour, alpha=0.3, linewidth=9, solid_capstyle="butt")
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
            (line,) = axes.plot(
                x,
                mean,
                color=colour,
                linestyle=style.dash,
                marker=style.marker,
                markeredgecolor=colours["surface"],
                clip_on=False,
            )
            handles.insert(0, line)
        if None in place and len(steps) > 1:
            axes.axvline(place[None] - 0.675, color=colours["muted"], linewidth=1, linestyle=(0, (1, 3)))
        axes.set_xticks(list(place.values()), [_tick(b, shape) for b in steps])
        axes.set_xlim(-0.25, max(place.values()) + 0.25)
        _in_percent(axes)
        _labelled(axes, "additions the attacker may make", "detection")
        if self.legend:
            _named(figure, handles, names)


def _tick(budget: float | None, shape: Shape) -> str:
    return "no limit" if budget is None and shape.name == "narrow" else additions(budget)


class Roc:
    """Detection against the rate of false alarms, where false alarms are few."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def __call__(self, figure: Figure, shape: Shape) -> None:
        """Draw into an empty figure."""
        facts, colours, looks = self.facts, light(), styles(self.facts)
        axes = _axes(figure, shape, margins=(52, 26, 46, 50))
        axes.set_xscale("log")
        for i in reversed(rocs(facts)):
            detector, style = facts["detectors"][i], looks[i]
            colour = colours[style.colour]
            roc = detector["roc"]
            axes.plot(
                roc["false_alarm_rate"], roc["detection"], color=colour, linestyle=style.dash, drawstyle="steps-post"
            )
            if (realised := detector["false_alarms"]) is not None and realised["rate"] >= 0.001:
                axes.plot(
                    [realised["rate"]],
                    [detector["clean"]["mean"]],
                    style.marker,
                    color=colour,
                    markersize=9,
                    markeredgecolor=colours["surface"],
                )
        frozen = facts["max_false_alarm_rate"]
        if frozen >= 0.001:
            axes.axvline(frozen, color=colours["ink"], linewidth=1.2)
            _above(axes, frozen, f"threshold frozen for {percent(frozen)}", row=1, left=frozen > 0.03)
        axes.set_xlim(0.001, 1)
        axes.set_xticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "100 %"])
        axes.minorticks_off()
        _in_percent(axes)
        _labelled(axes, "false alarms", "detection")


def _above(axes: Axes, x: float, words: str, row: int, left: bool) -> None:
    """Words over the vertical line at `x`, to its left or right, in one of two rows above the axes."""
    axes.annotate(
        words,
        (x, 1),
        (-3 if left else 3, 3 + 15 * row),
        ("data", "axes fraction"),
        "offset points",
        ha="right" if left else "left",
        annotation_clip=False,
    )


SIGNS: dict[str, Any] = {"negative": (0, (4, 1.5)), "positive": "solid"}  # how each class is outlined


class Histograms:
    """Scores of both classes before and after training, side by side, each class as shares of itself."""

    def __init__(self, facts: Facts, legend: bool) -> None:
        self.facts, self.legend = facts, legend

    def __call__(self, figure: Figure, shape: Shape) -> None:
        """Draw into an empty figure."""
        if shape.width > 600:
            areas = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
        else:
            areas = ((0.0, 0.5, 1.0, 1.0), (0.0, 0.0, 1.0, 0.5))
        handles = []
        for when, where in zip(("before", "after"), areas, strict=True):
            handles = self._panel(_axes(figure, shape, where, (52, 16, 84 if self.legend else 62, 48)), when)
        if self.legend:
            _named(figure, handles, [f"{sign} samples" for sign in SIGNS])

    def _panel(self, axes: Axes, when: str) -> list[Any]:
        colours, histograms = light(), self.facts["histograms"]
        handles = []
        for sign, dash in SIGNS.items():
            shares = in_shares(histograms[when][sign])
            axes.stairs(shares, histograms["edges"], fill=True, color=colours[sign], alpha=0.22, linewidth=0)
            handles.append(
                axes.stairs(
                    shares,
                    histograms["edges"],
                    color=colours[sign],
                    linewidth=1.8,
                    linestyle=dash,
                )
            )
        axes.set_xlim(histograms["edges"][0], histograms["edges"][-1])
        axes.set_ylim(0, axes.get_ylim()[1])
        axes.locator_params("y", nbins=4)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.6g} %")
        even = middle(histograms["unit"])
        low, high = histograms["edges"][0], histograms["edges"][-1]
        if low <= even <= high:
            axes.axvline(even, color=colours["muted"], linewidth=1.2, linestyle=(0, (2, 2)))
            _above(axes, even, "50 %", row=0, left=even > (low + high) / 2)
        if when == "after" and low <= histograms["threshold"] <= high:
            # Before training there is no threshold yet: it is frozen on the trained scores.
            axes.axvline(histograms["threshold"], color=colours["ink"], linewidth=1.2)
            left = histograms["threshold"] > (low + high) / 2
            _above(axes, histograms["threshold"], f"threshold {area(histograms['threshold'])}", row=1, left=left)
        axes.set_title(f"{when} training", loc="left", x=0, pad=36, fontsize="medium", fontweight="bold")
        axes.set_xlabel(f"score ({histograms['unit']})", labelpad=6)
        return handles


class Key:
    """The piece of line that stands before a name in a legend."""

    def __init__(self, style: Style) -> None:
        self.style = style

    def __call__(self, figure: Figure, shape: Shape) -> None:
        """Draw into an empty figure."""
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        colour = light()[self.style.colour]
        axes.plot([0, 1, 2], [0, 0, 0], color=colour, linestyle=self.style.dash)
        axes.plot([1], [0], self.style.marker, color=colour, markersize=7, markeredgecolor=light()["surface"])
        axes.set_xlim(0, 2)
