"""Two lanes, one budget, and a floor that nothing added can talk down."""

from __future__ import annotations

import copy
import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import check_estimator

import isotone
from isotone import Threat, Verdict
from isotone.detector import NotSupported
from isotone.errors import BadInput, CannotWrite
from isotone.floors import AdditiveFloor, BestFloor, BoosterFloor, PatternFloor, SumFloor

FOLDED = {"floor": PatternFloor(units=200, steps=15), "random_state": 0}
QUICK = {**FOLDED, "folds": None}
NAMES = [f"bad::{j}" for j in range(6)] + [f"good::{j}" for j in range(18)]


def rows(count=3000, seed=0):
    """Two of three bad rows have a pair of bad names; all have few good ones, which an ordinary model learns."""
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < 0.3).astype(int)
    X = (rng.random((count, len(NAMES))) < 0.3).astype(float)
    X[:, 6:] *= rng.random((count, 18)) > 0.7 * y[:, None]
    X[:, 1:6:2] *= 1 - X[:, 0:6:2]  # no pair by chance
    pair = 2 * rng.integers(0, 3, count)
    shown = (y == 1) & (rng.random(count) < 2 / 3)
    X[shown, pair[shown]] = X[shown, pair[shown] + 1] = 1.0
    return X, y


def padded(X):
    """Every good name added to every row."""
    out = X.copy()
    out[:, 6:] = 1.0
    return out


@pytest.fixture(scope="module")
def fitted():
    X, y = rows()
    return isotone.Detector(**FOLDED).fit(pd.DataFrame(X, columns=NAMES), y)


@pytest.fixture(scope="module")
def unseen():
    X, y = rows(1500, seed=1)
    return pd.DataFrame(X, columns=NAMES), y


def test_nothing_added_undoes_a_certified_alarm(fitted, unseen):
    X, y = unseen
    certain = fitted.certified(X)
    assert certain[y == 1].mean() > 0.4
    rng = np.random.default_rng(2)
    for _ in range(5):
        more = np.maximum(X.to_numpy(), (rng.random(X.shape) < 0.3).astype(float))
        assert (fitted.predict(pd.DataFrame(more, columns=NAMES))[certain] == 1).all()
    assert (fitted.predict(pd.DataFrame(padded(X.to_numpy()), columns=NAMES))[certain] == 1).all()


def test_the_free_lane_alone_is_talked_down_by_the_same_padding(fitted, unseen):
    X, y = unseen
    free, _ = fitted.lanes(X)
    after, _ = fitted.lanes(pd.DataFrame(padded(X.to_numpy()), columns=NAMES))
    caught = (free > 0) & (y == 1)
    assert (after[caught] <= 0).mean() > 0.1


def test_the_floor_is_proved(fitted):
    assert fitted.certify().verdict is Verdict.PROVED


def test_a_floor_put_in_later_certifies_only_what_is_proved_of_it(fitted, unseen):
    X, _ = unseen
    other = copy.copy(fitted)
    turned = tuple(-way for way in fitted.directions_)
    labels = np.arange(len(X)) % 2
    other.floor_ = PatternFloor(steps=2).fit(np.asarray(X), labels, turned)
    assert fitted.certified(X).any()
    assert other.floor_.prove().verdict is Verdict.PROVED
    assert other.certify().verdict is Verdict.UNKNOWN
    assert not other.certified(X).any()
    other.floor_ = fitted.floor_
    assert np.array_equal(other.certified(X), fitted.certified(X))


def _hook(module, given, out):
    return -out


TAMPERED = {
    "a weight": lambda network: network.weight.data.neg_(),
    "a hook": lambda network: network.register_forward_hook(_hook),
    "a method": lambda network: setattr(network, "forward", lambda x: -x.sum(1)),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_floor_that_was_changed_in_memory_certifies_nothing(fitted, unseen, tamper):
    X, _ = unseen
    other = copy.deepcopy(fitted)
    assert other.certified(X).any()
    tamper(other.floor_.network_)
    assert not other.proved
    assert not other.certified(X).any()
    assert fitted.certified(X).any()


class Turned(PatternFloor):
    """Scores of its own, and the proof of another class."""

    def scores(self, X):
        return -super().scores(X)


@pytest.mark.parametrize("wrapped", [lambda floor: floor, lambda floor: SumFloor([floor])], ids=["alone", "in a sum"])
def test_a_floor_that_scores_in_a_way_of_its_own_is_not_vouched_for_by_another_proof(wrapped):
    X, y = rows(900)
    floor = wrapped(Turned(units=50, steps=5))
    with pytest.warns(NotSupported, match="Turned scores in a way of its own"):
        detector = isotone.Detector(floor=floor, folds=None, max_false_alarm_rate=0.05, random_state=0).fit(X, y)
    assert not detector.certified(X).any()


def test_what_is_certified_is_alarmed_and_the_budget_is_kept(fitted, unseen):
    X, y = unseen
    alarm = fitted.predict(X) == 1
    assert (alarm | ~fitted.certified(X)).all()
    assert fitted.false_alarm_rate_.rate <= 0.01
    assert fitted.certified_detection_.rate <= fitted.detection_.rate
    assert alarm[y == 0].mean() < 0.03


def test_dense_sparse_and_tables_score_alike(fitted, unseen):
    X, _ = unseen
    named, plain = rows()[0], isotone.Detector(**FOLDED)
    plain.fit(sp.csr_matrix(named), rows()[1], feature_names=NAMES)
    expected = fitted.decision_function(X)
    assert np.array_equal(plain.decision_function(sp.csr_matrix(X.to_numpy())), expected)
    assert np.array_equal(plain.decision_function(X.to_numpy()), expected)


def test_a_score_does_not_depend_on_its_neighbours(fitted, unseen):
    X, _ = unseen
    some = X.iloc[:40]
    alone = np.array([fitted.decision_function(some.iloc[[i]])[0] for i in range(len(some))])
    assert np.array_equal(alone, fitted.decision_function(X)[:40])


def test_reasons_alone_keep_the_alarm(fitted, unseen):
    X, _ = unseen
    some = X.iloc[:200]
    reasons = fitted.reasons(some)
    certain = fitted.certified(some)
    assert [reason is not None for reason in reasons] == certain.tolist()
    bare = np.zeros((int(certain.sum()), len(NAMES)))
    for row, reason in zip(bare, (r for r in reasons if r is not None), strict=True):
        row[list(reason.features)] = 1.0
    assert fitted.certified(pd.DataFrame(bare, columns=NAMES)).all()


def test_additions_that_are_proved_to_be_too_few_are_too_few(unseen):
    few = LGBMClassifier(n_estimators=10, num_leaves=4, min_child_samples=5, verbose=-1, n_jobs=1)
    # So many false alarms only here: the free lane is to stand far above its threshold.
    detector = isotone.Detector(free=few, max_false_alarm_rate=0.5, max_clean_loss=0, **QUICK).fit(*rows())
    X = unseen[0].to_numpy()[:300]
    found = detector.additions_needed(X)
    assert np.array_equal(found.detected.numpy(), detector.predict(X) == 1)
    assert np.array_equal(found.unlimited.numpy(), detector.certified(X))
    other = np.flatnonzero((found.needed > 1) & ~found.unlimited)
    assert len(other)
    rng = np.random.default_rng(0)
    for row in other:
        more = np.repeat(X[[row]], 200, axis=0)
        for one in more:
            one[rng.permutation(np.flatnonzero(one == 0))[: int(found.needed[row]) - 1]] = 1.0
        assert (detector.predict(more) == 1).all()


def test_of_a_free_lane_without_trees_nothing_is_certified(unseen):
    X, y = rows()
    detector = isotone.Detector(free=LogisticRegression(), **QUICK).fit(X, y)
    found = detector.additions_needed(unseen[0].to_numpy())
    assert set(found.needed[~found.unlimited].tolist()) <= {0, 1}
    assert "LogisticRegression, of which nothing is proved" in found.why_not


def test_what_the_attacker_sets_is_not_looked_at():
    X, y = rows()
    X = np.column_stack([X, y])  # a feature that says it all, and that the attacker sets
    threat = Threat(adds="*", sets="stamp")
    detector = isotone.Detector(threat, **QUICK).fit(X, y, feature_names=[*NAMES, "stamp"])
    other = X.copy()
    other[:, -1] = 1 - other[:, -1]
    assert np.array_equal(detector.decision_function(X), detector.decision_function(other))
    assert "stamp" in detector.roles_.told()


@pytest.mark.slow
def test_the_floor_is_chosen_among_several_by_default(unseen):
    X, y = rows()
    detector = isotone.Detector(random_state=0).fit(X, y)
    assert len(detector.floor_.found_) > 1
    assert detector.certify().verdict is Verdict.PROVED


def test_too_few_benign_rows_warn_and_certify_nothing():
    X, y = rows(400)
    with pytest.warns(NotSupported, match=r"at least 299 are needed .* nothing is certified"):
        detector = isotone.Detector(**QUICK).fit(X, y)
    assert not detector.supported_
    assert not detector.certified(X).any()
    assert detector.certified_detection_.rate == 0


def test_a_classifier_that_is_handed_in_is_the_free_lane(unseen):
    X, y = rows()
    forest = RandomForestClassifier(20, random_state=0)
    detector = isotone.Detector(free=forest, **QUICK).fit(X, y)
    assert isinstance(detector.free_, RandomForestClassifier)
    assert detector.free_ is not forest
    frozen = FrozenEstimator(forest.fit(X, y))
    assert isotone.Detector(free=frozen, **QUICK).fit(X, y).free_.estimator is forest


def test_a_floor_may_stand_alone(unseen):
    X, y = rows()
    detector = isotone.Detector(free=None, **QUICK).fit(X, y)
    assert np.array_equal(detector.predict(unseen[0].to_numpy()) == 1, detector.certified(unseen[0].to_numpy()))
    assert detector.detection_ == detector.certified_detection_


def test_thresholds_are_set_on_the_rows_that_are_given_for_it():
    X, y = rows()
    held = rows(2000, seed=5)
    detector = isotone.Detector(**QUICK).fit(X, y, validation=held)
    assert detector.shares_.benign == (held[1] == 0).sum()
    assert detector.supported_


def test_with_few_benign_rows_thresholds_are_set_on_all_of_them_by_folds():
    X, y = rows()
    lane = {"floor": BoosterFloor(trees=10), "free": None}
    detector = isotone.Detector(**{**FOLDED, **lane}).fit(X, y)
    assert detector.shares_.benign == (y == 0).sum()
    held = isotone.Detector(**{**QUICK, **lane}).fit(X, y)
    assert 0.2 < held.shares_.benign / (y == 0).sum() < 0.3
    # Rows held out raise a hundred alarms.
    many = isotone.Detector(max_false_alarm_rate=0.3, **{**FOLDED, **lane}).fit(X, y)
    assert many.shares_.benign == held.shares_.benign


def test_rows_in_no_fit_set_the_thresholds():
    """A lane that knows its rows by heart would otherwise seem to be without false alarms."""
    rng = np.random.default_rng(0)
    X, y = rng.random((1500, 10)), rng.integers(0, 2, 1500)
    by_heart = KNeighborsClassifier(1)
    detector = isotone.Detector(free=by_heart, max_false_alarm_rate=0.05, **FOLDED).fit(X, y)
    assert detector.detection_.rate < 0.15
    assert by_heart.fit(X, y).score(X, y) == 1.0


class Recording(AdditiveFloor):
    """Keeps which groups (the first column) each fit saw and each scoring met."""

    met: ClassVar[list[tuple[object, set[float], set[float]]]] = []

    def fit(self, X, y, directions, **settings):
        self.fitted_to = set(np.asarray(X)[:, 0].tolist())
        return super().fit(X, y, directions, **settings)

    def scores(self, X):
        Recording.met.append((self, self.fitted_to, set(np.asarray(X)[:, 0].tolist())))
        return super().scores(X)

    def prove(self):  # of the same class as the scores, or nothing is certified
        return super().prove()


@pytest.mark.slow
def test_rates_of_folds_hold_for_new_rows():
    """Each fold would choose a penalty of its own, and scores of several scales would meet one threshold."""
    rates = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X = (rng.random((8_500, 60)) < 0.2).astype(float)
        y = (rng.random(8_500) < 1 / (1 + np.exp(-(X[:, :12].sum(1) - 3)))).astype(int)
        settings = {"floor": AdditiveFloor(), "free": None, "max_false_alarm_rate": 0.05, "random_state": 0}
        detector = isotone.Detector(**settings).fit(X[:500], y[:500])
        rates.append((detector.predict(X[500:]) == 1)[y[500:] == 0].mean())
    assert 0.035 < np.mean(rates) < 0.06
    assert max(rates) < 0.1


def test_rows_of_a_group_are_in_one_fold_of_the_choice_and_of_the_thresholds():
    X, y = rows(600)
    X[:, 0] = np.arange(600) // 4  # the group, where the recording sees it
    groups = [f"family {g:.0f}" for g in X[:, 0]]
    best = BestFloor([Recording(strength=1.0), Recording(strength=3.0)], groups=((0,), (1,)))
    Recording.met.clear()
    detector = isotone.Detector(floor=best, free=None, max_false_alarm_rate=0.1, random_state=0)
    detector.fit(X, y, groups=groups)
    others = [(fit, met) for floor, fit, met in Recording.met if floor is not detector.floor_.floor_]
    assert len(others) == 2 * 3 + 5  # three folds to choose by; five for thresholds, of what was chosen only
    assert not any(fit & met for fit, met in others)
    assert detector.floor_.floor_.fitted_to == set(X[:, 0].tolist())
    assert detector.shares_.benign == (y == 0).sum()
    with pytest.raises(BadInput, match="groups, row 2: its group is missing"):
        detector.fit(X, y, groups=["a", "", *groups[2:]])


def test_both_lanes_in_use_are_fitted_to_all_rows():
    X, y = rows(900)
    detector = isotone.Detector(free=LogisticRegression(), max_false_alarm_rate=0.05, **FOLDED).fit(X, y)
    assert np.array_equal(detector.free_.coef_, LogisticRegression().fit(X, y).coef_)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    alike = PatternFloor(units=200, steps=15).fit(X, y, (1,) * X.shape[1], rate=0.025, seed=seed)
    assert np.array_equal(detector.floor_.scores(X), alike.scores(X))


def test_equal_rows_set_no_threshold_by_a_fit_that_knew_them():
    rng = np.random.default_rng(0)
    X, y = rng.random((500, 10)), rng.integers(0, 2, 500)
    twice, labels = np.concatenate([X, X]), np.concatenate([y, y])
    by_heart = KNeighborsClassifier(1)
    detector = isotone.Detector(free=by_heart, max_false_alarm_rate=0.05, **FOLDED).fit(twice, labels)
    assert detector.shares_.benign == (labels == 0).sum()
    assert detector.detection_.rate < 0.2


def test_what_takes_long_says_where_it_is_when_asked(capsys):
    X, y = rows(600)
    settings = {"free": LogisticRegression(), "max_false_alarm_rate": 0.1}
    isotone.Detector(**settings, **FOLDED).fit(X, y)
    assert capsys.readouterr().err == ""
    isotone.Detector(**settings, **FOLDED, verbose=1).fit(X, y)
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == ["free lane", "floor", "folds"]
    isotone.Detector(**settings, **QUICK, verbose=1).fit(X, y)
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == ["free lane", "floor"]


def test_folds_that_cannot_be_had_are_one_sentence():
    X, y = rows(300)
    with pytest.raises(BadInput, match="folds: 150 came, and some fold would hold fewer than two rows of a label"):
        isotone.Detector(max_false_alarm_rate=0.05, **{**FOLDED, "folds": 150}).fit(X, y)


FREEZE = (FrozenEstimator, lambda model: CalibratedClassifierCV(FrozenEstimator(model)))


@pytest.mark.parametrize("freeze", FREEZE, ids=["whole", "calibrated"])
def test_a_frozen_lane_cannot_be_fitted_to_folds(freeze):
    X, y = rows(900)
    frozen = freeze(LogisticRegression().fit(X, y))
    with pytest.raises(BadInput, match="folds: 5 came with a frozen free lane"):
        isotone.Detector(free=frozen, **{**FOLDED, "folds": 5}).fit(X, y)
    apart = isotone.Detector(free=frozen, max_false_alarm_rate=0.05, **FOLDED).fit(X, y)
    assert apart.shares_.benign < 0.3 * (y == 0).sum()


def test_what_is_settled_chooses_no_more():
    X, y = rows(900)
    ways = (1,) * X.shape[1]
    best = BestFloor([PatternFloor(units=50, steps=5), AdditiveFloor()], groups=((0, 1),)).fit(X, y, ways, rate=0.05)
    settled = best.settled()
    assert isinstance(settled, SumFloor)
    assert settled.floors[1] == AdditiveFloor(strength=best.floor_.floors_[1].strength_)
    half = settled.fit(X[:450], y[:450], ways, rate=0.05)
    assert half.middles_ == best.floor_.middles_
    assert half.scales_ == best.floor_.scales_
    assert half.settled().units == settled.units
    with pytest.raises(BadInput, match="SumFloor: units="):
        SumFloor([AdditiveFloor()], units=[(0.0, 0.0)]).fit(X, y, ways)


def test_labels_may_be_words(unseen):
    X, y = rows()
    detector = isotone.Detector(**QUICK).fit(X, np.where(y == 1, "malware", "benign"))
    assert set(detector.predict(unseen[0].to_numpy())) == {"benign", "malware"}


def test_a_detector_is_saved_and_read_without_pickle(fitted, unseen, tmp_path):
    copy.copy(fitted).set_params(folds=6).save(tmp_path / "detector")
    again = isotone.Detector.load(tmp_path / "detector")
    X, _ = unseen
    assert np.array_equal(again.decision_function(X), fitted.decision_function(X))
    assert np.array_equal(again.certified(X), fitted.certified(X))
    assert again.certify().verdict is Verdict.PROVED
    assert again.folds == 6
    assert not list((tmp_path / "detector").rglob("*.pkl"))
    with pytest.raises(CannotWrite, match="there already"):
        fitted.save(tmp_path / "detector")


def test_a_file_that_was_changed_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "detector")
    free = tmp_path / "detector" / "free.txt"
    free.write_text(free.read_text().replace("leaf_value=", "leaf_value=0", 1))
    with pytest.raises(BadInput, match=r"free.txt is not the file that was written"):
        isotone.Detector.load(tmp_path / "detector")


def test_a_threshold_that_was_edited_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "detector")
    facts = tmp_path / "detector" / "estimator.json"
    facts.write_text(facts.read_text().replace('"supported": true', '"supported": false', 1))
    with pytest.raises(BadInput, match=r"estimator.json is not as it was written"):
        isotone.Detector.load(tmp_path / "detector")


def test_a_free_lane_without_a_file_of_its_own_is_not_pickled(tmp_path):
    X, y = rows()
    detector = isotone.Detector(free=RandomForestClassifier(5, random_state=0), **QUICK).fit(X, y)
    with pytest.raises(BadInput, match="can only be pickled"):
        detector.save(tmp_path / "detector")
    assert not list(tmp_path.iterdir())


WRONG = [
    ({"max_false_alarm_rate": 1.0}, "max_false_alarm_rate: 1.0 came", "a rate of 1"),
    ({"max_false_alarm_rate": "1%"}, "max_false_alarm_rate: '1%' came", "a rate as text"),
    ({"max_clean_loss": -1}, "max_clean_loss: -1 came", "a gain"),
    ({"free": "lightgbm"}, "free: 'lightgbm' came", "a word"),
    ({"free": 3}, "free: int came", "no classifier"),
    ({"floor": "pattern"}, "floor: 'pattern' came", "a word"),
    ({"threat": Threat(adds=(), trusted="*")}, "no feature can be added or removed", "nothing to guard against"),
    ({"folds": 1}, "folds: 1 came", "one fold"),
    ({"folds": "5"}, "folds: '5' came", "a number as text"),
    ({"threat": [1, 0]}, "directions: 2 came for 24 features", "too few directions"),
]


@pytest.mark.parametrize(("settings", "sentence", "why"), WRONG, ids=[row[-1] for row in WRONG])
def test_a_setting_that_is_wrong_is_one_sentence(settings, sentence, why):
    with pytest.raises(BadInput, match=sentence):
        isotone.Detector(**settings).fit(*rows(60))


def conforms(detector):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotSupported)
        checks = check_estimator(detector, on_fail=None, on_skip=None)
    failed = {check["check_name"]: str(check["exception"]) for check in checks if check["status"] == "failed"}
    skipped = {check["check_name"] for check in checks if check["status"] == "skipped"}
    return failed == {} and skipped <= {"check_array_api_input"} and len(checks) > 50


def test_scikit_learn_has_nothing_against_the_detector():
    assert conforms(isotone.Detector(free=LogisticRegression(), floor=BoosterFloor(trees=5)))


@pytest.mark.slow
def test_scikit_learn_has_nothing_against_the_defaults():
    assert conforms(isotone.Detector())
