"""Axes to draw on: the user's, or new ones that are not kept by pyplot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY, RED, INK = "#2a6fb0", "#9aa4ad", "#b3362b", "#333333"


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or axes of a new figure of so many inches; `ax.figure.savefig(path)` writes it.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if ax is None:
        figure = require("matplotlib.figure", "report").Figure(figsize=(width, height), layout="constrained")
        ax = figure.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return ax
