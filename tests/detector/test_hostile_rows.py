"""What rows, lanes and files of an unexpected form make of what is certified."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from xgboost import XGBClassifier

import isotone
from isotone import Threat, Verdict, saving
from isotone.attack import Moves
from isotone.detector import NotSupported
from isotone.errors import BadInput
from isotone.floors import BoosterFloor, FloorProof, PatternFloor

QUICK = {"floor": PatternFloor(units=50, steps=5), "random_state": 0, "max_false_alarm_rate": 0.05, "folds": None}


def counts(rows=600, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.6, (rows, 8)).astype(float)
    return X, ((X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3]) > 2).astype(int)


def bits(rows=600, seed=0):
    X = np.minimum(counts(rows, seed)[0], 1.0)
    return X, ((X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3]) > 0).astype(int)


@pytest.fixture(scope="module")
def alone():
    return isotone.Detector(free=None, **QUICK).fit(*bits())


def test_a_number_stored_in_pieces_is_their_sum():
    X, y = counts()
    booster = {**QUICK, "floor": BoosterFloor(trees=10)}
    detector = isotone.Detector(free=None, **booster).fit(sp.csr_matrix(X), y)
    row = np.array([[2.0, 2.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0]])
    pieces = sp.csr_matrix((np.tile([1.0, 1.0], 4), np.repeat(np.arange(4), 2), [0, 8]), shape=(1, 8))
    more = sp.csr_matrix(([2.0, 1.0, 2.0, 1.0, 3.0, 1.0, 3.0, 1.0], np.repeat(np.arange(4), 2), [0, 8]), shape=(1, 8))
    assert detector.certified(row)[0]
    assert detector.certified(more)[0]
    assert np.array_equal(detector.lanes(more)[1], detector.lanes(more.toarray())[1])
    assert np.array_equal(detector.floor_.scores(pieces), detector.floor_.scores(pieces.toarray()))
    assert pieces.nnz == 8, "what the caller holds is left as it was"


def test_reasons_name_columns_as_they_came():
    X, y = bits()
    detector = isotone.Detector(Threat(adds="*", sets="x0"), free=None, **QUICK)
    detector.fit(np.column_stack([np.arange(len(y)), X]), y)
    rows = np.column_stack([np.zeros(len(y)), X])
    some = np.flatnonzero(detector.certified(rows))[:20]
    assert len(some)
    for row, reason in zip(rows[some], detector.reasons(rows[some]), strict=True):
        bare = np.zeros((1, 9))
        bare[0, list(reason.features)] = row[list(reason.features)]
        assert 0 not in reason.features
        assert detector.certified(bare)[0]


def test_moves_of_all_columns_fit_where_some_are_left_out():
    X, y = bits()
    detector = isotone.Detector(Threat(adds="*", sets="x0"), free=None, **QUICK).fit(X, y)
    moves = Moves.between((1,) * 8, 0.0, 1.0)
    assert np.array_equal(detector.additions_needed(X, moves).needed, detector.additions_needed(X).needed)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "free",
    [RandomForestClassifier(5, max_depth=4, random_state=0), XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1)],
    ids=["forest: shares, and log-odds as score", "XGBoost: sparse rows hold missing values"],
)
def test_what_is_proved_of_the_free_lane_is_proved_of_its_own_score(free, sparse):
    X, y = bits()
    y = y | (X[:, 4] > X[:, 5])  # falls with x5
    given = sp.csr_matrix if sparse else np.asarray
    settings = {**QUICK, "max_false_alarm_rate": 0.5, "max_clean_loss": 0.0}
    detector = isotone.Detector(free=free, **settings).fit(given(X), y)
    found = detector.additions_needed(given(X))
    assert np.array_equal(found.detected.numpy(), detector.predict(given(X)) == 1)
    for column in range(8):
        more = X.copy()
        more[:, column] = 1.0
        stands = detector.predict(given(more)) == 1
        assert stands[(found.needed > 1).numpy()].all()


def test_rows_that_are_no_bits_need_moves(alone):
    with pytest.raises(BadInput, match="no bits"):
        alone.additions_needed(np.full((1, 8), 2.0))


@pytest.mark.parametrize("ways", [(-1,) * 8, (1,) * 7], ids=["removal", "fewer features"])
def test_of_moves_that_the_threat_does_not_name_nothing_is_said(ways, alone):
    with pytest.raises(BadInput, match="other directions"):
        alone.additions_needed(bits()[0], Moves.between(ways, 0.0, 1.0))


class Unproved(PatternFloor):
    def prove(self):
        return FloorProof(Verdict.UNKNOWN, "nobody knows")


def test_a_floor_that_is_not_proved_certifies_nothing():
    X, y = bits()
    with pytest.warns(NotSupported, match="nobody knows"):
        detector = isotone.Detector(free=None, **{**QUICK, "floor": Unproved(units=50, steps=5)}).fit(X, y)
    assert (detector.predict(X) == 1).any()
    assert not detector.certified(X).any()
    assert detector.certified_detection_.rate == 0


EDITS = [
    (lambda facts: facts["directions"].__setitem__(0, 0), "directions of the detector"),
    (lambda facts: facts["floor"]["directions"].__setitem__(0, -1), "directions of the floor"),
]


@pytest.mark.parametrize(("edit", "why"), EDITS, ids=[row[-1] for row in EDITS])
def test_a_folder_whose_lanes_disagree_is_refused(edit, why, alone, tmp_path):
    alone.save(tmp_path / "saved")
    assert np.array_equal(isotone.Detector.load(tmp_path / "saved").certified(bits()[0]), alone.certified(bits()[0]))
    file = tmp_path / "saved" / "estimator.json"
    facts = json.loads(file.read_text())
    edit(facts)
    facts["digest"] = saving.digest({name: fact for name, fact in facts.items() if name != "digest"})
    file.write_text(json.dumps(facts))
    with pytest.raises(BadInput, match="other directions"):
        isotone.Detector.load(tmp_path / "saved")


WRONG = [
    (lambda X, y: (X[y == 1], y[y == 1]), "no benign row came", "thresholds without benign rows"),
    (lambda X, y: (X, y[1:]), "one per row", "labels of other rows"),
]


@pytest.mark.parametrize(("held", "sentence", "why"), WRONG, ids=[row[-1] for row in WRONG])
def test_rows_that_set_no_threshold_are_refused(held, sentence, why):
    X, y = bits()
    with pytest.raises(BadInput, match=sentence):
        isotone.Detector(free=None, **QUICK).fit(X, y, validation=held(X, y))


@pytest.mark.parametrize("kind", [GaussianNB, LogisticRegression, RandomForestClassifier])
@pytest.mark.parametrize("largest", [1e160, 1.7e308], ids=["squares overflow", "sums overflow"])
def test_no_free_lane_hides_an_alarm_of_the_floor(kind, largest):
    """A NaN is larger than nothing: where a lane gave one, the floor's alarm was gone."""
    X, y = counts()
    detector = isotone.Detector(free=kind(), **QUICK).fit(X, y)
    caught = X[detector.certified(X)]
    assert len(caught)
    more = np.full_like(caught, largest)
    assert detector.certified(more).all()
    assert (detector.predict(more) == 1).all()
    assert (detector.predict(np.concatenate([X[:1], more]))[1:] == 1).all()


class _Ratio(ClassifierMixin, BaseEstimator):
    """A lane that has no number for rows of zeros."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        with np.errstate(invalid="ignore"):
            return X[:, 0] / X[:, 0:1].sum(1)


def test_a_lane_without_a_number_for_rows_that_set_thresholds_is_refused():
    with pytest.raises(BadInput, match="a _Ratio gave no finite score for"):
        isotone.Detector(free=_Ratio(), **QUICK).fit(*counts())


def test_xgboost_scores_a_row_alike_however_it_is_stored():
    X, y = counts()
    lane = XGBClassifier(n_estimators=20, random_state=0, n_jobs=1)
    sparse = sp.csr_matrix(X)
    zeros = sp.csr_matrix(X + 1.0)
    zeros.data -= 1.0  # every cell is stored
    for rows in (X, sparse):
        detector = isotone.Detector(free=lane, **QUICK).fit(rows, y)
        for other in (sparse, zeros):
            assert np.array_equal(detector.decision_function(other), detector.decision_function(X))


def test_columns_in_another_order_than_names_that_were_given_are_refused():
    X, y = bits()
    names = [f"name {j}" for j in range(8)]
    detector = isotone.Detector(free=None, **QUICK).fit(X, y, feature_names=names)
    table = pd.DataFrame(X, columns=names)
    assert np.array_equal(detector.predict(table), detector.predict(X))
    with pytest.raises(BadInput, match="stand in another order"):
        detector.predict(table[names[::-1]])
    with pytest.raises(BadInput, match="others came than the columns of X"):
        isotone.Detector(free=None, **QUICK).fit(table, y, feature_names=names[::-1])


def test_a_frozen_lane_of_other_columns_is_refused():
    X, y = bits()
    table = pd.DataFrame(X, columns=[f"name {j}" for j in range(8)])
    lane = FrozenEstimator(LogisticRegression().fit(table, y))
    with pytest.raises(BadInput, match="column 1 of these 8 is another"):
        isotone.Detector(free=lane, **QUICK).fit(table[table.columns[::-1]], y)


@pytest.mark.parametrize(
    ("settings", "given", "said"),
    [
        ({"floor": None}, {}, "floor: None came"),
        ({"floor": PatternFloor}, {}, "floor: PatternFloor came"),
        ({"free": LogisticRegression}, {}, "the class LogisticRegression came"),
        ({}, {"groups": np.arange(7)}, "groups: an array of shape"),
        ({}, {"validation": np.zeros((3, 8))}, "a pair of rows and labels is right"),
        ({}, {"validation": bits()}, "the rows to learn from came again"),
    ],
)
def test_what_cannot_be_a_lane_a_group_or_held_out_is_refused(settings, given, said):
    with pytest.raises(BadInput, match=said):
        isotone.Detector(**{**QUICK, "free": None, **settings}).fit(*bits(), **given)
