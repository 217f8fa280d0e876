"""The known faults of our peers are found, and their sound models are not accused; the benchmark has all of them."""

from __future__ import annotations

import importlib.util
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from isotone import Verdict, audit

PLACE = Path(__file__).parents[2] / "benchmarks" / "audit_peers.py"


def _benchmark():
    spec = importlib.util.spec_from_file_location("audit_peers", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PEERS = _benchmark()
QUICK = {
    "xgboost CSR, counts",
    "xgboost dense, counts",
    "lightgbm CSR, counts",
    "lightgbm zero_as_missing, counts",
    "xgboost gblinear",
    "xgboost absoluteerror",
    "xgboost categories, one-hot",
    "catboost MAE",
    "catboost Min, missing high, lowest",
    "LMN with its defaults",
    "LMN composed right",
    "sklearn free pipeline, DataFrame",
}
PACKAGES = {"LMN": "monotonicnetworks"}
TABLE = [pytest.param(*case, id=case[0], marks=() if case[0] in QUICK else pytest.mark.slow) for case in PEERS.CASES]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "expected", "make"), TABLE)
def test_a_peer_is_judged_as_is_known_of_it(name, expected, make):
    first = name.split()[0].rstrip(",")
    pytest.importorskip(PACKAGES.get(first, first))
    case = make()
    found = audit(case.predict, case.X, case.directions, **(case.options or {}))
    assert (found.verdict is Verdict.REFUTED) == (expected is PEERS.BROKEN), str(found)
    if found.witness is None:
        return
    read = getattr(case.predict, "predict_proba", None) or getattr(case.predict, "predict", None)
    if read is None or type(case.predict).__name__ == "Booster" or case.options:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = [float(np.ravel(read(row))[-1]) for row in (found.witness.lower, found.witness.upper)]
    assert scores[0] > scores[1], "the witness replays outside of the audit"


def test_the_quick_ones_are_in_the_table():
    names = {name for name, *_ in PEERS.CASES}
    assert names >= QUICK
    assert len(names) == len(PEERS.CASES)


@pytest.mark.filterwarnings("ignore")
def test_a_model_whose_predict_was_replaced_is_not_proved():
    pytest.importorskip("xgboost")
    case = PEERS.xgboost_counts("dense")
    honest = audit(case.predict, case.X, case.directions)
    assert honest.verdict is Verdict.PROVED
    assert any("finite" in one for one in honest.assumptions)
    inner = case.predict.predict
    case.predict.predict = lambda x: np.where(x[:, 0] > 90, -1.0, inner(x))
    assert audit(case.predict, case.X, case.directions).verdict is not Verdict.PROVED


@pytest.mark.filterwarnings("ignore")
def test_an_edit_of_the_first_class_turns_the_direction():
    lightgbm = pytest.importorskip("lightgbm")
    X, y = PEERS.evasion()
    model = lightgbm.LGBMClassifier(n_estimators=20, monotone_constraints=[1] * 60, n_jobs=1, verbose=-1).fit(X, y)
    assert audit(model, X[:500], 1, budget_seconds=5).verdict is Verdict.PROVED
    assert audit(model, X[:500], 1, output=0, budget_seconds=5).verdict is Verdict.REFUTED
    assert audit(model, X[:500], -1, output=0, budget_seconds=5).verdict is Verdict.PROVED


def test_a_column_that_cannot_miss_is_never_given_a_missing_value():
    pandas, ensemble = pytest.importorskip("pandas"), pytest.importorskip("sklearn.ensemble")
    random = np.random.default_rng(0)
    frame = pandas.DataFrame({"debt": random.integers(0, 9, 300), "income": random.uniform(size=300)})
    frame.loc[::7, "income"] = np.nan
    labels = frame["debt"] + random.normal(0, 2, 300) > 4
    model = ensemble.HistGradientBoostingClassifier(max_iter=20).fit(frame, labels)
    found = audit(model, frame, {"debt": 1, "income": -1}, missing="lowest", budget_seconds=5)
    assert found.verdict is Verdict.REFUTED
    assert not any("refused" in note for note in found.notes)


@pytest.mark.slow
@pytest.mark.parametrize("monotone", [True, False])
def test_a_thousand_trees_of_depth_6_are_judged_within_a_minute(monotone):
    lightgbm = pytest.importorskip("lightgbm")
    X, y = PEERS.waves()
    ways = PEERS.WAYS if monotone else None
    model = lightgbm.LGBMRegressor(
        n_estimators=1000,
        max_depth=6,
        num_leaves=64,
        min_child_samples=5,
        monotone_constraints=ways,
        n_jobs=1,
        verbose=-1,
    ).fit(X, y)
    began = time.perf_counter()
    found = audit(model, X, PEERS.WAYS)
    assert time.perf_counter() - began < 60
    assert found.verdict is (Verdict.PROVED if monotone else Verdict.REFUTED)
    if not monotone:
        before, after = (float(model.predict(row)[0]) for row in (found.witness.lower, found.witness.upper))
        assert before - after == pytest.approx(found.witness.drop)
