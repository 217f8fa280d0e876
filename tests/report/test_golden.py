"""The page is compared byte for byte.

After a change that is meant to show, look at the page and write it anew:

    ISOTONE_WRITE_GOLDEN=1 .venv/bin/pytest tests/report/test_golden.py
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import matplotlib
import pytest

from isotone import report

from .facts import whole

GOLDEN = Path(__file__).with_name("golden.html")
MADE_WITH = "3.11.2"  # of matplotlib: another one may place a line elsewhere by a thousandth

if os.environ.get("ISOTONE_WRITE_GOLDEN"):
    report.write(whole(), GOLDEN)


def without_figures(page: str) -> str:
    return re.sub(r"<svg.*?</svg>", "<svg/>", page, flags=re.DOTALL)


@pytest.mark.skipif(matplotlib.__version__ != MADE_WITH, reason=f"figures are pinned to matplotlib {MADE_WITH}")
def test_page_is_the_golden_one_byte_for_byte(tmp_path: Path) -> None:
    assert report.write(whole(), tmp_path / "page.html").read_bytes() == GOLDEN.read_bytes()


def test_page_is_the_golden_one_apart_from_figures() -> None:
    assert without_figures(report.render(whole())) == without_figures(GOLDEN.read_text("utf-8"))


def test_the_readers_matplotlib_settings_do_not_reach_the_page() -> None:
    theirs = {
        "svg.fonttype": "path",
        "axes.facecolor": "red",
        "lines.linewidth": 9,
        "axes.grid": False,
        "font.size": 30,
    }
    plain = report.render(whole())
    with matplotlib.rc_context(theirs):
        assert report.render(whole()) == plain
        assert all(matplotlib.rcParams[key] == value for key, value in theirs.items()), "and theirs come back"


def test_pictures_are_the_same_every_time(tmp_path: Path) -> None:
    one, two = (report.figure_png(whole(), tmp_path / name) for name in ("one.png", "two.png"))
    assert one.read_bytes() == two.read_bytes()
    assert report.security_curve_svg(whole()) == report.security_curve_svg(whole())
    assert report.histograms_svg(whole()) == report.histograms_svg(whole())
