"""The examples run and end where they say they end."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(request):
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / request.param)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["example"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["example"]


def check_the_walk(rows):
    assert all(row["evaded"] == 0 for row in rows if row["verdict"] == "PROVED")
    assert rows[0]["evaded"] >= 0.8 * rows[0]["attacked"] > 0  # the attacks work
    assert rows[-1]["attacked"] > 0


@pytest.mark.parametrize("example", ["forum_graph_classifier.py"], indirect=True)
def test_the_classifier_of_the_forum_becomes_one_that_additions_cannot_evade(example):
    rows = example.walk((example.STEPS[0], example.STEPS[-1]), count=120, epochs=10, victims=3)
    assert [row["verdict"] for row in rows] == ["REFUTED", "PROVED"]
    check_the_walk(rows)


@pytest.mark.slow
@pytest.mark.parametrize("example", ["forum_graph_classifier.py"], indirect=True)
def test_the_whole_walk_ends_as_good_as_it_began(example):
    rows = example.walk()
    assert [row["verdict"] for row in rows] == ["REFUTED", "REFUTED", "REFUTED", "PROVED", "PROVED"]
    check_the_walk(rows)
    assert rows[-1]["auc"] >= rows[0]["auc"]
    assert rows[-1]["detected"] >= rows[0]["detected"]
