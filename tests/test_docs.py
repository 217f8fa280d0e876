"""The pages in docs/ tell the truth: their examples run, their links lead somewhere, tables are the benchmark's."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

import isotone
from isotone import constraints
from isotone.certify._operations import operations

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
# What is not yet built is shown in the design as it is meant to be, and cannot be run.
PLANS = {"design.md"}


def blocks(page: Path) -> list[tuple[int, str]]:
    """Each with the line of the page before it, so that a failure names the place."""
    text = page.read_text()
    return [(text[: found.start(1)].count("\n"), found[1]) for found in BLOCK.finditer(text)]


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path, text: str) -> list[str]:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)):
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(text if not path else target.read_text())):
            dead.append(link)
    return dead


def first_cells(text: str) -> list[list[str]]:
    """The first column of every table, without its head."""
    tables = re.findall(r"^\|.*\n\|[ :|-]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [[line.split("|")[1].strip() for line in table.splitlines()] for table in tables]


def run(page: Path, found: list[tuple[int, str]]) -> None:
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": "docs"}
    for line, block in found:
        exec(compile("\n" * line + block, str(page), "exec"), names)


LONG = {"scorecard.md"}  # a fifth of a minute


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=pytest.mark.slow if page.name in LONG else ())
        for page in PAGES
        if page.name not in PLANS
    ],
)
def test_its_python_runs(page):
    run(page, blocks(page))


def test_a_block_that_fails_is_seen_with_its_line():
    page = ROOT / "docs" / "none.md"
    with pytest.raises(AssertionError) as caught:
        run(page, [(0, "a = 1\n"), (6, "assert a == 2\n")])
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno) == (str(page), 6)  # counted from 0


def test_the_page_about_constraints_is_made_of_python_that_runs():
    assert len(blocks(ROOT / "docs" / "constraints.md")) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page):
    assert dead_links(page, page.read_text()) == []


def test_a_dead_link_is_seen():
    page, text = (
        ROOT / "docs" / "design.md",
        "# Its place\n[a](nowhere.md) [b](#its-place) [c](#elsewhere) [d](design.md)",
    )
    assert dead_links(page, text) == ["nowhere.md", "#elsewhere"]


def test_the_table_of_operators_is_written_from_the_rules():
    assert (ROOT / "docs" / "operations.md").read_text() == operations(), (
        "python -m isotone.certify > docs/operations.md"
    )


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "constraints.md").read_text()


@pytest.fixture(scope="module")
def wrong_ways():
    spec = importlib.util.spec_from_file_location("wrong_ways", ROOT / "benchmarks" / "wrong_ways.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["wrong_ways"] = importlib.util.module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["wrong_ways"]


def test_its_figures_have_the_rows_and_columns_of_the_benchmark(page, wrong_ways):
    shown = first_cells(page)
    assert shown.count(list(wrong_ways.WAYS)) == 2
    assert list(wrong_ways.ACTIVATIONS) in shown
    assert list(wrong_ways.OPTIMIZERS) in shown
    for columns in (wrong_ways.FIRST, wrong_ways.SECOND):
        assert f"| way | {' | '.join(columns)} |" in page


def test_every_set_has_a_line(page):
    sets = {name for name in vars(constraints) if isinstance(getattr(constraints, name), type)}
    sets -= {"Constraint", "Matched"}
    first_words = {
        re.match(r"`(\w+)\(", cell)[1] for rows in first_cells(page) for cell in rows if re.match(r"`[A-Z]\w+\(", cell)
    }
    assert sets <= first_words


def test_the_tests_that_it_names_exist(page):
    named = set(re.findall(r"`((?:tests/|benchmarks/)?[\w/]*\.py)`", page))
    assert {"benchmarks/wrong_ways.py", "test_wrappers.py"} <= named
    places = (ROOT, ROOT / "tests" / "constraints", ROOT / "tests", ROOT / "benchmarks")
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_a_way_ends_as_its_name_says(wrong_ways):
    """One short training each: the table is about what it claims to be about."""
    t = wrong_ways.task(0)
    for name, outside in (
        ("no constraint", True),
        ("`.data.clamp_` in `forward`, before use", True),
        ("`constrain`", False),
    ):
        way = wrong_ways.WAYS[name]
        net = wrong_ways.plain(way, wrong_ways.trained(way, t, seed=0)[0])
        assert (min(w.detach().min().item() for w in wrong_ways.weights(net)) < 0) == outside, name
    assert isotone.violations(wrong_ways.trained(wrong_ways.WAYS["`constrain`"], t, seed=0)[0])["0.weight"] == 0.0
