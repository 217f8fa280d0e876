"""The scorecard's page is what its results say, and its figures count what they are said to count."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def scorecard():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("scorecard")
    sys.path.remove(str(ROOT / "benchmarks"))


def test_the_page_is_written_from_the_results(scorecard):
    record = json.loads((ROOT / "benchmarks" / "results" / "scorecard.json").read_text())
    assert scorecard.section(record) in (ROOT / "docs" / "scorecard.md").read_text()


def test_a_fall_is_counted_and_a_rise_is_not(scorecard):
    X = pd.DataFrame({"a": np.linspace(0, 1, 50), "b": np.linspace(0, 1, 50)})
    rises = scorecard.falls(lambda rows: rows["a"].to_numpy() - rows["b"].to_numpy(), X, {"a": 1, "b": -1})
    falls = scorecard.falls(lambda rows: rows["a"].to_numpy() - rows["b"].to_numpy(), X, {"a": -1}, rows=50, steps=11)
    assert (rises, falls) == (0, 50 * 10)


def test_the_gap_of_calibration_is_nothing_where_what_is_said_is_seen(scorecard):
    p = np.repeat([0.0, 1.0], 50)
    assert scorecard.calibration(p, p)["gap"] == 0
    assert scorecard.calibration(p, 1 - p)["gap"] == 1
