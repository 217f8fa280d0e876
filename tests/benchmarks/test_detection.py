"""What can silently be wrong in benchmarks/detection.py: splits, peers, one judgement, and what was measured."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

# They test a benchmark, not the library, and take half a minute.
pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
LINES = sorted((BENCHMARKS / "results").glob("detection*.jsonl"))


def part(name):
    """A module of the benchmark, which is no package that is installed."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


judge, models, page, peers, sets, sides, targets = (
    part(f"_detection.{name}") for name in ("judge", "models", "page", "peers", "sets", "sides", "targets")
)
records = part("_tabular.records")


def bits(rows=400, columns=12, seed=0):
    """A problem whose truth is a pair of bits, with repeats and some labels wrong."""
    rng = np.random.default_rng(seed)
    X = sp.csr_matrix((rng.random((rows, columns)) < 0.3).astype(np.float32))
    y = (np.asarray(X[:, 0].todense()).ravel() * np.asarray(X[:, 1].todense()).ravel() > 0).astype(np.int64)
    y = np.where(rng.random(rows) < 0.02, 1 - y, y)
    return sides.csr(X), y


def problem(seed=0):
    X, y = bits(3000, seed=seed)
    return sets.parted("made", X, y, [f"x{j}" for j in range(X.shape[1])], seed)


def test_of_equal_rows_the_majority_counts_and_a_tie_leaves_none():
    X = sides.csr(np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [1, 1]]))
    at, y, counts = sides.single(X, np.array([1, 1, 0, 1, 0, 1]))
    assert dict(zip(map(tuple, X[at].toarray().tolist()), y.tolist(), strict=True)) == {(1, 0): 1, (1, 1): 1}
    assert counts["vectors with both labels"] == 2
    assert counts["vectors left out (tie)"] == 1


@given(st.integers(0, 20))
@settings(deadline=None, max_examples=10)
def test_no_vector_is_on_two_sides(seed):
    found = problem(seed)
    seen = [set(sides.vectors(side.X).tolist()) for side in (found.train, found.validation, found.test)]
    assert not (seen[0] & seen[1])
    assert not (seen[0] & seen[2])
    assert not (seen[1] & seen[2])
    assert [len(s) for s in seen] == [len(side) for side in (found.train, found.validation, found.test)]


def test_contained_bad_rows_are_left_out_and_no_others():
    found = problem()
    kept = peers.without_contained(found)
    benign, bad = found.train.benign.X.toarray(), found.train.bad.X.toarray()
    contained = np.array([(benign >= row).all(axis=1).any() for row in bad])
    assert int((kept.y == 1).sum()) == int((~contained).sum()) < len(bad)
    assert int((kept.y == 0).sum()) == len(benign)


# fmt: off
MONOTONE = [
    # model           setting                                   why
    ("pattern rule",  {"weights": "rare", "quantile": 0.999},   "sums of weights from 0 up"),
    ("logistic",      {"l2": 1e-4, "scale": 0.0},               "bounds of L-BFGS-B"),
    ("tanh network",  {"width": 16, "rate": 1e-2},              "projected after every step"),
    ("LightGBM",      {"num_leaves": 15},                       "its own constraints"),
    ("XGBoost",       {},                                       "its own constraints; zeros are no missing values"),
]
# fmt: on


@pytest.mark.parametrize(("model", "setting", "why"), MONOTONE, ids=[name for name, *_ in MONOTONE])
def test_a_monotone_peer_never_falls_when_bits_are_added(model, setting, why):
    found, rng = problem(), np.random.default_rng(1)
    fitted = models.MODELS[model].fit(setting, found, 0, {})
    before = (rng.random((2000, 12)) < 0.4).astype(np.float32)
    after = np.maximum(before, rng.random(before.shape) < 0.2)
    falls = fitted.scores(sides.csr(after)) < fitted.scores(sides.csr(before)) - 1e-5
    assert not falls.any(), why


def test_the_free_model_falls():
    """The positive control of the test above."""
    X, _ = bits(3000)
    dense = X.toarray()
    found = sets.parted("made", X, (dense[:, 0] * (1 - dense[:, 1])).astype(np.int64), [f"x{j}" for j in range(12)], 0)
    fitted = models.MODELS["LightGBM, free"].fit({"num_leaves": 15}, found, 0, {})
    row = np.zeros((1, 12), np.float32)
    row[0, 0] = 1
    more = row.copy()
    more[0, 1] = 1
    assert fitted.scores(sides.csr(more))[0] < fitted.scores(sides.csr(row))[0] - 1


def test_overlaps_are_exact_in_any_order():
    found = problem()
    fitted = peers.pattern({"weights": "rare", "quantile": 0.999}, found, 0, {})
    x = torch.from_numpy(found.test.X.toarray())
    one_by_one = torch.cat([fitted.module(row[None]) for row in x])
    assert torch.equal(fitted.module(x), one_by_one)


def test_thermometers_rise_with_their_columns():
    train = np.random.default_rng(0).normal(size=(300, 3))
    to_bits = peers.thermometer(train, np.array([0, 2]))
    low = np.random.default_rng(1).normal(size=(100, 3))
    high = low + np.array([0.7, 0.0, 0.2])
    assert (to_bits(high) >= to_bits(low)).all()
    assert (to_bits(high) > to_bits(low)).any()


def test_certified_alarms_are_among_the_victims():
    sure = np.zeros(100, dtype=bool)
    sure[7] = True
    chosen = judge.drawn(np.random.default_rng(0).permutation(100), sure, 20)
    assert len(chosen) == len(set(chosen.tolist())) == 20
    assert 7 in chosen


def test_a_judgement_of_the_shipped_programs():
    found = judge.judge("programs", 1, "logistic", judge.QUICK, data="", known={})
    assert found["figures"]["certified"] == found["figures"]["detection"] > 0.3
    assert found["attacks"]["certified evaded"] == 0
    assert found["attacks"]["curve"][-1] >= found["figures"]["certified"]
    rate, low, high = found["figures"]["false alarms"]
    assert 0 < low < rate < high


def test_an_attacked_free_model_loses_its_alarms():
    found = judge.judge("programs", 1, "LightGBM, free", judge.QUICK, data="", known={})
    assert found["attacks"]["curve"][0] == pytest.approx(found["figures"]["detection"])
    assert found["attacks"]["curve"][-1] < found["figures"]["detection"] / 2
    assert found["figures"]["certified"] == 0


@pytest.mark.parametrize("path", LINES, ids=[path.stem for path in LINES])
def test_in_what_was_measured_no_certified_alarm_was_undone(path):
    found = records.measured(path)
    total = page.totals(page.with_unconstrained(found))
    assert total["alarms"] > 0
    assert total["undone"] == 0
    assert total["above empirical"] == 0
    told = [row["reasons"] for row in found.values() if row.get("reasons", {}).get("alarms")]
    assert sum(row["undone by supersets"] + row["undone by attacks"] for row in told) == 0


def test_the_page_is_written_from_the_lines_alone(tmp_path):
    written = page.write(BENCHMARKS / "results", tmp_path).read_text()
    assert "## Targets" in written
    assert (tmp_path / "detection.png").stat().st_size > 10_000
