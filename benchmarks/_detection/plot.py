"""The plot of docs/detection.md: few lines a set, so that each can be followed; the tables have the rest."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from isotone.evaluation import BUDGETS

PEER = "strongest monotone peer"
STYLES = {  # what is drawn last lies on top
    "unconstrained": ("#777777", "o", "-"),
    PEER: ("#d9822b", "s", "-"),
    "Detector": ("#c2185b", "D", "-"),
    "Detector, floor alone": ("#1b62a8", "^", "--"),
}


class Line(NamedTuple):
    """Of one model on one set, means over splits.

    `curve`: detected after each of `BUDGETS` additions; `certified`: share whose alarm no addition undoes;
    `within`: whether the false alarms of the test rows meet the target.
    """

    style: str
    curve: np.ndarray
    certified: float
    within: bool


class Panel(NamedTuple):
    title: str
    lines: list[Line]


def draw(panels: list[Panel], path: Path) -> None:
    """Security curves: detection against the number of additions, a panel a set."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415

    across = min(4, len(panels) + 1)
    down = -(-(len(panels) + 1) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(3.6 * across, 3.2 * down), squeeze=False, sharey=True, layout="constrained"
    )
    at = np.arange(len(BUDGETS))
    for axis, panel in zip(axes.flat, panels, strict=False):
        for style, (colour, mark, dashes) in STYLES.items():
            for line in (each for each in panel.lines if each.style == style):
                fill = colour if line.within else "white"
                if style == "Detector":
                    axis.axhspan(0, line.certified, color=colour, alpha=0.12)
                axis.plot(at, line.curve, dashes, color=colour, marker=mark, mfc=fill, markersize=5, linewidth=1.7)
        axis.set_title(panel.title, fontsize=9.5)
        axis.set_xticks(at, ["any" if budget is None else str(budget) for budget in BUDGETS], fontsize=8)
        axis.set_ylim(-0.03, 1.03)
        axis.set_yticks(np.linspace(0, 1, 6), [f"{share} %" for share in range(0, 101, 20)], fontsize=8)
        axis.grid(alpha=0.25)
    for axis in axes[:, 0]:
        axis.set_ylabel("bad rows detected", fontsize=9)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_axis_off()
    handles = [
        Line2D([], [], color=colour, marker=mark, linestyle=dashes, label=style)
        for style, (colour, mark, dashes) in STYLES.items()
    ]
    handles += [
        mpl.patches.Patch(color=STYLES["Detector"][0], alpha=0.12, label="Detector: alarms no addition can undo"),
        Line2D(
            [], [], color="#777777", marker="o", mfc="white", linestyle="", label="hollow: false alarms above 1.2 %"
        ),
    ]
    axes.flat[-1].legend(handles=handles, loc="center", fontsize=9.5, frameon=False)
    figure.supxlabel("features that the attacker adds", fontsize=10)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
