"""What can be measured of how it looks: contrast, colours told apart, figures that speak, numbers that do not lie."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isotone import report
from isotone.errors import BadInput
from isotone.report._ink import NAMES, STYLES, light, style_of, stylesheet
from isotone.report._words import percent, reach

from .facts import whole

RATES = st.floats(0, 1)


def modes() -> dict[str, dict[str, str]]:
    day, night = stylesheet().split("prefers-color-scheme: dark", 1)
    return {
        name: dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", part)) for name, part in (("light", day), ("dark", night))
    }


def luminance(colour: str) -> float:
    # WCAG 2.2, "relative luminance"
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_the_one_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the standard's well-known near miss


# fmt: off
READ = [
    # letters                                                      on
    (("ink", "muted", *(s.colour for s in STYLES)),                ("surface", "paper", "chosen")),
    (("ink", "proved"),                                            ("provedpaper",)),
    (("ink", "refuted"),                                           ("refutedpaper",)),
    (("ink", "unknown", "muted"),                                  ("unknownpaper",)),
    (("proved", "refuted", "unknown", "positive", "negative"),     ("surface",)),
    (("unknown",),                                                 ("chosen",)),
]
# fmt: on


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_all_letters_can_be_read(mode: str) -> None:
    colours = modes()[mode]
    for letters, papers in READ:
        for pair in itertools.product(letters, papers):
            assert contrast(*(colours[name] for name in pair)) >= 4.5, f"{pair} in {mode}"


def test_both_modes_name_the_same_colours() -> None:
    found = modes()
    assert found["light"].keys() == found["dark"].keys()
    assert found["light"].keys() >= set(NAMES)


def test_colours_of_figures_can_be_told_apart_again() -> None:
    assert len(set(light().values())) == len(NAMES), "each becomes a variable by its value"


def test_no_two_detectors_look_the_same_without_colour() -> None:
    looks = [(style_of(i).dash, style_of(i).marker) for i in range(42)]
    assert len(set(looks)) == len(looks)


def test_every_colour_of_a_page_figure_is_a_variable() -> None:
    for figure in re.findall(r"<svg.*?</svg>", report.render(whole()), re.DOTALL):
        assert not re.search(r"(fill|stroke): #", figure)


def test_a_figure_of_its_own_is_a_document_in_light_colours() -> None:
    for figure in (report.security_curve_svg(whole()), report.histograms_svg(whole())):
        root = ET.fromstring(figure)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(root.attrib["aria-label"]) > 40
        assert "var(" not in figure


def test_every_figure_speaks_and_every_ornament_is_silent() -> None:
    for tag in re.findall(r"<svg[^>]*>", report.render(whole())):
        assert ('role="img" aria-label="' in tag) != ('aria-hidden="true"' in tag)


def test_the_security_curve_says_its_ends() -> None:
    label = re.findall(r'aria-label="([^"]*)"', report.security_curve_svg(whole()))[0].replace("\u202f", " ")
    assert "unconstrained network: 0: 87.9 % (84.9 to 90.9 %), 10: 4.1 % (1.1 to 7.1 %), unlimited: 0.0 %" in label


def test_every_header_cell_says_what_it_heads() -> None:
    page = report.render(whole())
    assert set(re.findall(r"<th\b([^>]*)>", page)) == {' scope="col"', ' scope="row"'}


def test_a_figure_without_its_facts_is_refused() -> None:
    facts = whole()
    facts["histograms"] = None
    for detector in facts["detectors"]:
        detector["curve"] = None
    with pytest.raises(BadInput, match="no 'curve' to draw came; this figure needs it"):
        report.security_curve_svg(facts)
    with pytest.raises(BadInput, match="no 'histograms' to draw came"):
        report.histograms_svg(facts)


def test_a_picture_is_a_png_of_the_size_it_says(tmp_path: Path) -> None:
    data = report.figure_png(whole(), tmp_path / "curve.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (1800, 760)


@given(RATES)
def test_a_percentage_is_near_and_never_says_all_or_none_of_some(rate: float) -> None:
    words = percent(rate)
    number = float(words.strip("<>% \u202f"))
    assert abs(number - 100 * rate) <= 0.1
    assert (words == "100.0\u202f%") == (rate == 1)
    assert (words == "0.0\u202f%") == (rate == 0)


@given(RATES, RATES)
def test_more_never_reads_as_less(one: float, other: float) -> None:
    low, high = sorted((one, other))
    key = [
        (float(w.strip("<>% \u202f")), w.startswith(">"), not w.startswith("<")) for w in (percent(low), percent(high))
    ]
    assert key[0] <= key[1]
    assert reach(low, high).count("%") == 1
