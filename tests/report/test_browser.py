"""The page in a real browser: nothing is fetched, nothing sticks out, light is light and dark is dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from isotone import report

from .browser import CHROMIUM, ask, picture
from .facts import hostile, whole

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


@pytest.fixture(scope="module")
def page() -> str:
    return report.render(whole())


WIDTHS = [
    # width  dark   figures shown  why
    (360, False, "narrow", "a phone"),
    (360, True, "narrow", "a phone at night"),
    (800, False, "wide", "a tablet"),
    (1200, True, "wide", "a desk at night"),
    (1200, False, "wide", "a desk"),
]


@pytest.mark.parametrize("case", WIDTHS, ids=[why for *_, why in WIDTHS])
def test_nothing_is_fetched_and_nothing_sticks_out(page: str, tmp_path: Path, case: tuple[int, bool, str, str]) -> None:
    width, dark, shown, _ = case
    seen = ask(page, tmp_path, width, dark)
    assert seen["window"] == width, "otherwise this measures another width"
    assert seen["requests"] == []
    assert seen["page"] <= width
    assert seen["overflowing"] == []
    assert seen["shown"] == [shown] * 3
    assert seen["dark"] is dark
    assert seen["paper"] == ("rgb(15, 21, 28)" if dark else "rgb(244, 246, 248)")


def test_figures_follow_the_readers_colours(page: str, tmp_path: Path) -> None:
    light, dark = (ask(page, tmp_path, 1200, dark)["line"] for dark in (False, True))
    assert light != dark


def test_a_page_of_endless_names_still_fits_a_phone(tmp_path: Path) -> None:
    facts = whole()
    facts["detectors"] += [dict(facts["detectors"][2]) for _ in range(5)]
    assert ask(report.render(hostile(facts, "W" * 70)), tmp_path, 360, False)["page"] <= 360


def test_the_probe_sees_what_sticks_out(page: str, tmp_path: Path) -> None:
    broken = page.replace("</h1>", '<i style="display: block; width: 2000px">x</i></h1>')
    seen = ask(broken, tmp_path, 360, False)
    assert seen["page"] > 360
    assert seen["overflowing"]


def test_a_picture_is_not_empty(page: str, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    with image.open(picture(page, tmp_path, 1200, dark=True)) as shot:
        assert shot.width == 1200
        assert len(shot.convert("RGB").getcolors(1 << 24)) > 100
