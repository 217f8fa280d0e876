"""An audit as one HTML page: whole in itself, no script, no request, the same bytes for the same audit.

The style is the report's; whatever comes from the data is escaped.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import CannotWrite, require
from ._result import Audit, RowWitness, worst_first
from ._words import apart, number, percent, row_dict, value

WIDE, HIGH, EDGE = 640, 220, 60
SHOWN_CHANGES = 40
FEW = 16  # points that are drawn one by one


def render(audit: Audit) -> str:
    """The page as HTML."""
    jinja2 = require("jinja2", "report")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    trusted = require("markupsafe", "report").Markup  # ours: style sheets
    style = files("isotone").joinpath("report/page.css").read_text("utf-8")
    style += files("isotone").joinpath("auditing/page.css").read_text("utf-8")
    template = environment.from_string(files("isotone").joinpath("auditing/page.html").read_text("utf-8"))
    witnesses = [_shown(w, "The strongest witness") for w in [audit.witness] if w]
    witnesses += [_shown(w, "Several features together") for w in [audit.together] if w]
    others = [f.witness for f in worst_first(audit.features) if f.witness not in (None, audit.witness)]
    found: str = template.render(
        audit=audit,
        style=trusted(style),
        word=audit.verdict.value,
        features=worst_first(audit.features),
        witnesses=witnesses,
        others=[str(w) for w in others],
        compared=f"{sum(f.comparisons for f in audit.features):,}",
        fallen=sum(f.witness is not None for f in audit.features),
        percent=percent,
    )
    return found


def write(audit: Audit, path: str | Path) -> Path:
    """Write the page."""
    path, page = Path(path), render(audit)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as fault:
        raise CannotWrite(path, fault.strerror or fault) from None
    return path


def _shown(witness: RowWitness, title: str) -> dict[str, Any]:
    """A witness as the page needs it: the changes, both scores, the rest of the row, and the curve."""
    before, after = apart(witness.before, witness.after)
    moved = {c.feature for c in witness.changes}
    rest = {name: v for name, v in row_dict(witness.lower).items() if name not in moved}
    return {
        "title": title,
        "says": str(witness)[0].upper() + str(witness)[1:] + ".",
        "before": before,
        "after": after,
        "drop": value(float(witness.drop)),
        "changes": [(c, value(c.before), value(c.after)) for c in witness.changes[:SHOWN_CHANGES]],
        "more": max(0, len(witness.changes) - SHOWN_CHANGES),
        "rest": [(name, value(v)) for name, v in rest.items()],
        "curve": _curve(witness),
    }


def _curve(witness: RowWitness) -> dict[str, Any] | None:
    """The score along the one feature that changes, in the coordinates of the drawing."""
    points = [(x, y) for x, y in witness.curve if number(y) is not None and not isinstance(number(y), str)]
    if len(points) < 2 or len(witness.changes) != 1:
        return None
    # Categories stand side by side; numbers where they lie.
    lie = [x if isinstance(x, int | float) else float(i) for i, (x, _) in enumerate(points)]
    ys = [y for _, y in points]
    left, right, low, high = min(lie), max(lie), min(ys), max(ys)
    if not right > left:
        return None

    def place(x: float, y: float) -> tuple[float, float]:
        across = EDGE + (x - left) / (right - left) * (WIDE - 2 * EDGE)
        up = 0.5 if high == low else (y - low) / (high - low)
        return round(across, 2), round(HIGH - EDGE + 12 - up * (HIGH - EDGE - 12), 2)

    change = witness.changes[0]
    of = {x: (at, y) for (x, y), at in zip(points, lie, strict=True)}
    ends = [(*place(*of[v]), name) for v, name in ((change.before, "before"), (change.after, "after")) if v in of]
    return {
        "feature": change.feature,
        "line": " ".join(f"{a},{b}" for a, b in (place(x, y) for x, y in zip(lie, ys, strict=True))),
        "ends": ends,
        "left": _short(points[0][0]),
        "right": _short(points[-1][0]),
        "dots": [place(x, y) for x, y in zip(lie, ys, strict=True)] if len(lie) <= FEW else [],
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
        "wide": WIDE,
        "tall": HIGH,
        "edge": EDGE,
    }


def _short(x: Any) -> str:
    return f"{x:.3g}" if isinstance(x, float) else str(x)
