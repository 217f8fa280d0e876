"""Facts in, one HTML page out.

- the page is whole in itself: no script, no request, nothing outside the file;
- whatever stands in the facts is escaped; numbers read the same everywhere;
- no clock and no chance: the same facts give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import require
from . import _plots as plots
from . import _words as words
from ._facts import checked
from ._files import write_whole
from ._ink import Shape, stylesheet, svg
from ._reading import (
    Facts,
    above_middle,
    budgets,
    certified,
    curve_says,
    curves,
    histograms_say,
    inconclusive,
    pair,
    roc_says,
    rocs,
    styles,
)


def render(facts: Mapping[str, Any]) -> str:
    """The report as HTML.

    Args:
        facts: a mapping of plain values (JSON would hold it); `isotone.report.FACTS` lists every key. Rates are from 0
            to 1. What is marked there with "?" may be missing or None, and its section then is left out.

    Returns:
        One page without script or outside reference: light or dark as the reader's system is, light in print, and
        narrow enough for a phone. The same facts give the same bytes under the same matplotlib.

    Raises:
        BadInput: a required key is missing or a value is of the wrong kind; the sentence names the key.
        MissingExtra: jinja2 or matplotlib is not installed.

    Cost: one to two seconds, most of it matplotlib's; about 100 kB of HTML.

    >>> render({"format": 1})
    Traceback (most recent call last):
        ...
    isotone.errors.BadInput: facts: 'title' is missing; no report can be written without it.
    """
    facts = checked(facts)
    jinja2 = require("jinja2", "report")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        loader=jinja2.FunctionLoader(lambda name: files(__package__).joinpath(name).read_text("utf-8")),
    )
    environment.filters |= {
        "percent": words.percent,
        "reach": words.reach,
        "area": words.area,
        "count": words.count,
        "additions": words.additions,
    }
    trusted = require("markupsafe", "report").Markup  # ours: the style sheet and what matplotlib drew and escaped
    page = environment.get_template("page.html").render(
        facts,
        style=trusted(stylesheet()),
        head=_headline(facts),
        rows=_rows(facts, trusted),
        attacks=_attacks(facts),
        any_broken=any(a["broken"] for d in facts["detectors"] for a in d["attacks"] or ()),
        figures=_figures(facts, trusted),
    )
    return str(page)


def write(facts: Mapping[str, Any], path: str | Path) -> Path:
    """Write the report to `path`, whole or not at all.

    Args:
        facts: as `render`.
        path: the file; its folder must exist. A file already there is replaced.

    Returns:
        The path.

    Raises:
        BadInput, MissingExtra: as `render`; nothing is written.
        CannotWrite: the place cannot be written to; what stood there before still does.
    """
    return write_whole(path, render(facts).encode("utf-8"))


def _headline(facts: Facts) -> dict[str, Any]:
    """The few numbers above everything else, and the sentence that weighs them."""
    one, two = pair(facts)
    head = facts["detectors"][one]
    twin = None if two is None else facts["detectors"][two]
    both = [d for d in (head, twin) if d is not None]
    tiles = [("Clean detection", [(d, d["clean"]) for d in both])]
    for budget, title in ((10, "Detection after 10 additions"), (None, "Detection after unlimited additions")):
        values = [(d, "inconclusive" if inconclusive(d) else words.at(d["curve"], budget)) for d in both]
        if any(d["curve"] is not None for d in both):
            tiles.append((title, values))
    if head["certified_curve"] is not None:
        tiles.append(("Certified, whatever is added", [(head, words.at(head["certified_curve"], None))]))
    return {"detector": head, "tiles": tiles, "weighed": _weighed(head, twin)}


def _weighed(head: Facts, twin: Facts | None) -> str | None:
    """What choosing the one over the other changes, clean and under attack, in a sentence."""
    if twin is None:
        return None
    after = [None if inconclusive(d) else words.at(d["curve"], 10) for d in (head, twin)]
    if after[0] is None or after[1] is None:
        return None
    now, then = head["clean"]["mean"] - twin["clean"]["mean"], after[0]["mean"] - after[1]["mean"]
    return (
        f"Taking the {head['name']} instead of the {twin['name']} means {_change(now)} clean detection "
        f"and {_change(then)} after 10 additions."
    )


def _change(difference: float) -> str:
    return f"{words.points(difference)} {'less' if difference < 0 else 'more'}"


def _rows(facts: Facts, trusted: Any) -> list[dict[str, Any]]:
    """One entry per detector: the facts, and what follows from them."""
    looks = styles(facts)
    rows = []
    for i, detector in enumerate(facts["detectors"]):
        medians = [a["median_additions"] for a in detector["attacks"] or () if not a["broken"]]
        curve = detector["curve"]
        # Drawn once, shown up to three times; ids must differ on a page.
        mark = svg(plots.Key(looks[i]), plots.KEY, f"mark-{i}", "", inline=True)
        rows.append(
            {
                "detector": detector,
                "marks": {
                    use: trusted(mark.replace(f"mark-{i}-", f"mark-{i}-{use}-")) for use in ("table", "curve", "roc")
                },
                "inconclusive": inconclusive(detector),
                "after_10": words.at(curve, 10),
                "after_all": words.at(curve, None),
                "certified": None
                if detector["certified_curve"] is None
                else words.at(detector["certified_curve"], None),
                "median": min((m for m in medians if m is not None), default=None),
            }
        )
    return rows


def _attacks(facts: Facts) -> list[dict[str, Any]]:
    """One entry per attack, with what it did to each detector; None where it was not run."""
    names = dict.fromkeys(a["name"] for d in facts["detectors"] for a in d["attacks"] or ())
    done = [{a["name"]: a for a in d["attacks"] or ()} for d in facts["detectors"]]
    return [{"name": name, "results": [of.get(name) for of in done]} for name in names]


def _figures(facts: Facts, trusted: Any) -> dict[str, Any]:
    """Each figure drawn twice, for a desk and for a phone; the style sheet shows one of the two."""

    def drawn(draw: Any, name: str, says: str, narrow: Shape = plots.NARROW) -> Any:
        both = (svg(draw, shape, f"{name}-{shape.name}", says, inline=True) for shape in (plots.WIDE, narrow))
        return trusted("\n".join(both))

    found: dict[str, Any] = {"curve": None, "roc": None, "histograms": None}
    if curves(facts):
        found["curve"] = {
            "svg": drawn(plots.SecurityCurve(facts, legend=False), "curve", curve_says(facts)),
            "budgets": budgets(facts),
            "lines": [
                (facts["detectors"][i], [words.at(facts["detectors"][i]["curve"], b) for b in budgets(facts)])
                for i in curves(facts)
            ],
            "certified": [
                (
                    facts["detectors"][i],
                    [words.at(facts["detectors"][i]["certified_curve"], b) for b in budgets(facts)],
                )
                for i in certified(facts)
            ],
            "shown": curves(facts),
            "left_out": [d["name"] for d in facts["detectors"] if d["curve"] is not None and inconclusive(d)],
        }
    if rocs(facts):
        found["roc"] = {"svg": drawn(plots.Roc(facts), "roc", roc_says(facts)), "shown": rocs(facts)}
    if facts["histograms"] is not None:
        found["histograms"] = {
            "svg": drawn(plots.Histograms(facts, legend=False), "histograms", histograms_say(facts), plots.NARROW_PAIR),
            "above": {
                when: {sign: above_middle(facts["histograms"], when, sign) for sign in ("positive", "negative")}
                for when in ("before", "after")
            },
        }
    return found
