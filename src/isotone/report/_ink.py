"""From a matplotlib figure to SVG or PNG that is the same byte for byte every time.

- colours are named as in page.css, drawn in its light values, and turned back into `var(--name)` for the page;
- no clock, no random ids, no date; text stays text; no setting of the user's matplotlibrc reaches a figure;
- knows drawings and colours, not facts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from ..errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE = r"(?<=url\(|ef=\")#(\w+)"  # url(#id) or href="#id"; "#ffffff" is neither
FAMILY = "DejaVu Sans"  # comes with matplotlib, so that what is measured does not depend on the machine
NAMES = (
    "ink",
    "muted",
    "line",
    "surface",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "positive",
    "negative",
)


@dataclass(frozen=True)
class Shape:
    """A size to draw for, in CSS pixels, and the size of its letters."""

    name: str
    width: int
    height: int
    letters: float


@dataclass(frozen=True)
class Style:
    """How one line looks; colour is never the only difference."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]
    marker: str


# fmt: off
STYLES = (
    # colour        dash                       marker
    Style("one",    "solid",                   "o"),
    Style("two",    (0, (5, 2)),               "s"),
    Style("three",  (0, (5, 1.5, 1, 1.5)),     "^"),
    Style("four",   (0, (1.5, 1.5)),           "D"),
    Style("five",   (0, (8, 2)),               "v"),
    Style("six",    (0, (3, 1, 1, 1, 1, 1)),   "P"),
)
# fmt: on


def style_of(rank: int) -> Style:
    """The look of the detector at `rank`; colours and markers go round at different paces, so that 42 stay apart.

    >>> len({(style_of(i).colour, style_of(i).marker) for i in range(42)})
    42
    """
    first = STYLES[rank % len(STYLES)]
    markers = (*(style.marker for style in STYLES), "X")
    return Style(first.colour, first.dash, markers[rank % len(markers)])


@cache
def stylesheet() -> str:
    """The text of page.css."""
    return files(__package__).joinpath("page.css").read_text("utf-8")


@cache
def light() -> dict[str, str]:
    """The colours of figures in their light values, as page.css declares them first."""
    declared: dict[str, str] = {}
    for name, value in re.findall(r"--([a-z]+):\s*(#[0-9a-f]{6});", stylesheet()):
        declared.setdefault(name, value)
    return {name: declared[name] for name in NAMES}


@contextmanager
def _our_settings(salt: str, letters: float) -> Iterator[None]:
    matplotlib = require("matplotlib", "report")
    style = require("matplotlib.style", "report")
    colours = light()
    ours = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "text.parse_math": False,  # a name may contain dollars
        "font.family": [FAMILY],
        "font.size": letters,
        "text.color": colours["ink"],
        "axes.edgecolor": colours["line"],
        "axes.labelcolor": colours["muted"],
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "grid.color": colours["line"],
        "grid.linewidth": 0.8,
        "xtick.color": colours["line"],
        "xtick.labelcolor": colours["muted"],
        "ytick.labelcolor": colours["muted"],
        "ytick.left": False,
        "lines.linewidth": 2.2,
        "lines.markersize": 7.5,
    }
    with style.context("default"), matplotlib.rc_context(ours):
        yield


def _drawn(draw: Callable[[Figure, Shape], None], shape: Shape) -> Figure:
    figure: Figure = require("matplotlib.figure", "report").Figure(
        figsize=(shape.width / 72, shape.height / 72), dpi=72
    )
    draw(figure, shape)
    return figure


def svg(draw: Callable[[Figure, Shape], None], shape: Shape, name: str, says: str, inline: bool) -> str:
    """What `draw` draws, as one <svg> element.

    Args:
        draw: puts its axes into an empty figure.
        shape: the size.
        name: begins every id, so that several figures can share a page.
        says: the alternative text; empty for an ornament.
        inline: for the page: colours are its variables. Otherwise the light colours are written out and the
            element can stand in a file of its own.
    """
    buffer = io.StringIO()
    with _our_settings(name, shape.letters):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        _drawn(draw, shape).savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    names = {value: f"var(--{key})" for key, value in light().items()} if inline else {}
    used = (old for tag in re.findall(r"<[^>]*>", body) for old in re.findall(REFERENCE, tag))
    ids = {old: f"{name}-{i}" for i, old in enumerate(dict.fromkeys(used), 1)}
    # Only inside tags: what a figure says stays as it is. Matplotlib writes < and > in text as entities.
    body = re.sub(r"<[^>]*>", lambda tag: _ours(tag[0], ids, names), body)
    body = "\n".join(line.rstrip() for line in body.splitlines() if line.strip())
    role = f'role="img" aria-label="{escape(says)}"' if says else 'aria-hidden="true"'
    space = "" if inline else ' xmlns="http://www.w3.org/2000/svg"'
    # What matplotlib's style element said of everything in the figure; inside a page it would speak to the whole page.
    look = f'class="{shape.name}" stroke-linejoin="round" stroke-linecap="butt"'
    return f'<svg{space} {look} viewBox="0 0 {shape.width} {shape.height}" {role}>\n{body}\n</svg>'


def png(draw: Callable[[Figure, Shape], None], shape: Shape) -> bytes:
    """What `draw` draws, in light colours on white, two device pixels to a CSS pixel."""
    buffer = io.BytesIO()
    with _our_settings("png", shape.letters):
        _drawn(draw, shape).savefig(buffer, format="png", dpi=144, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _ours(tag: str, ids: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """A tag with our ids, and none that nothing refers to; our colours; and the reader's own letters."""
    tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{ids[m[1]]}"' if m[1] in ids else "", tag)
    tag = re.sub(REFERENCE, lambda m: f"#{ids[m[1]]}", tag)
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda m: colours.get(m[0], m[0]), tag)
    return tag.replace("xlink:href=", "href=").replace(f"'{FAMILY}'", "sans-serif")
