"""What stands on the page, what does not, and what is escaped."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from isotone import report
from isotone.errors import CannotWrite, MissingExtra

from .facts import hostile, spread, whole


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, name: str) -> list[str]:
        return [value or "" for _, attributes in self.tags for key, value in attributes.items() if key == name]


def words(page: str) -> str:
    """What a reader reads outside of figures."""
    body = re.sub(r"<svg.*?</svg>|<style.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def sections(page: str) -> set[str]:
    return set(re.findall(r'<(?:section|footer) id="([a-z-]+)"', page))


ALWAYS = {"detectors", "certificate", "not-covered", "data", "versions"}

HOSTILE = [
    '" onmouseover="alert(1)',
    "'></style></title></svg><script>alert(1)</script>",
    "--><script>x</script><!--",
    "{{ 7 * 7 }} {% include 'x' %}",
    '$x_1^{2$ & #0b5fae id="x" url(#m1)',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    plain, attacked = Elements(plain_page()), Elements(report.render(hostile(whole(), text)))
    assert [tag for tag, _ in attacked.tags] == [tag for tag, _ in plain.tags]
    assert [set(attributes) for _, attributes in attacked.tags] == [set(attributes) for _, attributes in plain.tags]
    assert text in attacked.text, "and it can be read as it was written"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_a_figure_of_its_own(text: str) -> None:
    figure = Elements(report.security_curve_svg(hostile(whole(), text)))
    assert [tag for tag, _ in figure.tags] == [tag for tag, _ in Elements(report.security_curve_svg(whole())).tags]
    assert figure.text.count(text) == 3


@cache
def plain_page() -> str:
    return report.render(whole())


def gone(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(facts: dict[str, Any]) -> None:
        for key in keys:
            facts[key] = None

    return change


def gone_from_detectors(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(facts: dict[str, Any]) -> None:
        for detector in facts["detectors"]:
            for key in keys:
                detector.pop(key)

    return change


SOMETIMES = {"curve", "headroom", "roc", "histograms", "alerts", "attacks", "calibrations"}

# fmt: off
ABSENT = [
    # what is taken away                                   sections that go with it
    (gone(),                                               set()),
    (gone("summary"),                                      set()),
    (gone("histograms"),                                   {"histograms"}),
    (gone("alerts"),                                       {"alerts"}),
    (gone("headroom"),                                     {"headroom"}),
    (gone("calibrations"),                                 {"calibrations"}),
    (gone_from_detectors("curve"),                         {"curve"}),
    (gone_from_detectors("roc"),                           {"roc"}),
    (gone_from_detectors("attacks"),                       {"attacks"}),
    (gone_from_detectors("auc", "false_alarms", "lost_after_10"), set()),
    (gone_from_detectors("auc", "note", "false_alarms", "lost_after_10", "curve", "roc", "attacks"),
                                                           {"curve", "roc", "attacks"}),
]
# fmt: on


@pytest.mark.parametrize(("change", "without"), ABSENT)
def test_what_is_absent_drops_its_section_and_no_other(
    change: Callable[[dict[str, Any]], None], without: set[str]
) -> None:
    facts = whole()
    change(facts)
    page = report.render(facts)
    assert sections(page) == (ALWAYS | SOMETIMES) - without
    assert "None" not in Elements(page).text


def test_sections_come_in_the_readers_order() -> None:
    order = re.findall(r'<(?:section|footer) id="([a-z-]+)"', report.render(whole()))
    assert order == [
        "detectors", "curve", "headroom", "roc", "histograms", "alerts", "attacks", "calibrations", "certificate",
        "not-covered", "data", "versions",
    ]  # fmt: skip


VERDICTS = [
    ("proved", "PROVED", "The score never falls when imported names are added."),
    ("refuted", "REFUTED", "Not true: The score never falls"),
    ("unknown", "UNKNOWN", "Neither proved nor refuted: The score never falls"),
]


@pytest.mark.parametrize(("verdict", "word", "sentence"), VERDICTS)
def test_the_verdict_is_a_word_a_colour_and_a_sign(verdict: str, word: str, sentence: str) -> None:
    facts = whole()
    facts["certificate"] |= {"verdict": verdict, "where": "node 7 of 12, aten.sin"}
    page = report.render(facts)
    banner = page[page.index('<div class="verdict') : page.index('<div class="tiles')]
    assert f'class="verdict {verdict}"' in banner
    assert word in banner
    assert sentence in banner
    assert "<svg" in banner
    assert [w for _, w, _ in VERDICTS if w in page] == [word], "no other verdict stands anywhere"
    assert "node 7 of 12" in page


def row(page: str, name: str) -> str:
    table = page[page.index('id="detectors"') :]
    return next(r for r in re.findall(r"<tr.*?</tr>", table, re.DOTALL) if name in r)


def test_a_broken_attack_is_inconclusive_and_its_rate_is_not_shown() -> None:
    facts = whole()
    facts["detectors"][2]["attacks"] = [
        {"name": "greedy", "evasion_rate": {"mean": 0.123, "low": 0.123, "high": 0.123}, "broken": True}
    ]
    page = report.render(facts)
    assert row(page, "LightGBM").count("attack inconclusive") == 4
    assert "12.3 %" not in words(page)
    assert "22.0 %" not in words(page), "its curve after 10 additions says nothing either"
    assert "Not drawn, since every attack on it was inconclusive: LightGBM." in page
    assert "LightGBM" not in re.findall(r'aria-label="(Detection by number.*?)"', page)[0]


def test_one_broken_attack_beside_a_sound_one_takes_nothing_else_away() -> None:
    page = report.render(whole())
    assert "inconclusive" not in row(page, "monotone network")
    assert page.count(">attack inconclusive<") == 1


def test_the_headline_is_of_the_monotone_detector_and_its_twin() -> None:
    facts = whole()
    facts["detectors"].reverse()
    page = report.render(facts)
    tiles = re.findall(r"[0-9.]+ %", words(page[page.index('<div class="tiles') :]))
    assert tiles[:8] == ["78.0 %", "87.9 %", "78.0 %", "4.1 %", "78.0 %", "0.0 %", "76.4 %", "0.6 %"]
    assert "9.9 points less clean detection and 73.9 points more after 10 additions" in page


def test_a_guarded_detector_leads_and_what_is_certified_stands_beside_what_attacks_left() -> None:
    facts = whole()
    facts["detectors"][2] |= {"role": "guarded", "certified_curve": facts["detectors"][0]["certified_curve"]}
    page = report.render(facts)
    assert "Taking the LightGBM instead of the unconstrained network" in page
    assert page.count("LightGBM, certified") >= 2
    assert "Wide pale lines: certified detection" in page
    for detector in facts["detectors"]:
        detector.pop("certified_curve", None)
    assert "certified" not in words(report.render(facts)).replace("What is certified", "").split("How much could")[0]


def test_without_a_twin_nothing_is_compared() -> None:
    facts = whole()
    facts["detectors"] = facts["detectors"][:1]
    page = report.render(facts)
    assert 'class="weighed"' not in page
    assert 'class="second"' not in page


def one(**values: Any) -> dict[str, list[Any]]:
    return {key: [value] for key, value in values.items()}


NONE, LOGITS = [0] * 20, list(range(-10, 11))

# fmt: off
UNUSUAL: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("one budget, unlimited",     lambda f: f["detectors"][0].update(curve=one(budgets=None, detection=spread(0.5)))),
    ("budgets that differ",       lambda f: f["detectors"][1]["curve"].update(budgets=[0, 3, 4, 7, 10, 11, 12, 13])),
    ("no false alarms allowed",   lambda f: f.update(max_false_alarm_rate=0.0)),
    ("everything an alarm",       lambda f: f.update(max_false_alarm_rate=1.0)),
    ("a ROC of one point",        lambda f: f["detectors"][0].update(roc=one(false_alarm_rate=0.0, detection=0.5))),
    ("empty histograms",          lambda f: f["histograms"].update(before={"positive": NONE, "negative": NONE})),
    ("scores are logits",         lambda f: f["histograms"].update(unit="logit", edges=LOGITS, threshold=3)),
    ("a threshold off the axis",  lambda f: f["histograms"].update(threshold=7.0)),
    ("an alert without reasons",  lambda f: f["alerts"][0].update(reasons=[], sufficient=[])),
    ("shares below zero",         lambda f: f["alerts"][0].update(reasons=[{"name": "a", "share": -0.2}])),
    ("no seeds",                  lambda f: f.update(seeds=[])),
    ("a bare certificate",        lambda f: f["certificate"].update(assumptions=[], scope={})),
    ("a bare threat",             lambda f: f["threat"].update(not_covered=[], covered=[], adds=[])),
    ("an empty part",             lambda f: f["data"].update(rows=[{"part": "test", "rows": 0, "positives": 0}])),
    ("nine detectors",            lambda f: f.update(detectors=f["detectors"] * 3)),
    ("names in other scripts",    lambda f: [d.update(name="検出器 $\\frac{1}{2}$ _x") for d in f["detectors"]]),
]
# fmt: on


@pytest.mark.parametrize("change", [c for _, c in UNUSUAL], ids=[why for why, _ in UNUSUAL])
def test_unusual_facts_still_make_a_page(change: Callable[[dict[str, Any]], Any]) -> None:
    facts = whole()
    change(facts)
    page = report.render(facts)
    assert page.endswith("</html>\n")
    ids = Elements(page).having("id")
    assert len(ids) == len(set(ids)), "ids are unique on a page"
    assert set(re.findall(r"(?:url\(|href=\")#([\w-]+)", page)) <= set(ids), "and every reference has its id"


def test_the_page_asks_for_nothing_outside() -> None:
    page = report.render(whole())
    assert "://" not in page
    assert "@import" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_write_gives_the_page_and_replaces_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.write_text("old")
    assert report.write(whole(), str(place)) == place
    assert place.read_text("utf-8") == report.render(whole())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


NOWHERE = [
    ("missing/report.html", "its folder does not exist"),
    ("file/report.html", "its folder is a file"),
    ("folder", "it is a folder"),
    ("n" * 300 + ".html", "its name is too long"),
]


@pytest.mark.parametrize(("place", "why"), NOWHERE, ids=[why for _, why in NOWHERE])
@pytest.mark.parametrize("save", [report.write, report.figure_png], ids=["page", "picture"])
def test_a_place_that_cannot_be_written_to_is_named(
    save: Callable[..., Path], place: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CannotWrite, match=f"{place[:20]}.* cannot be written"):
        save(whole(), tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before, "nothing is left behind"


def test_a_path_without_a_name_cannot_be_written() -> None:
    with pytest.raises(CannotWrite, match="it names no file"):
        report.write(whole(), "")


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_one_sentence(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package} is not installed.*isotone\[report\]"):
        report.render(whole())


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = "import sys, isotone.report; print([m for m in ('matplotlib', 'jinja2') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
