"""Every floor: never falls along its directions, to the bit; the same alone and in a table; the same from its state."""

import itertools
import json
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.errors import BadInput
from isotone.floors import (
    AdditiveFloor,
    BestFloor,
    BoosterFloor,
    NetworkFloor,
    PatternFloor,
    SumFloor,
    containers,
    detection_loss,
    detection_near,
    floor_from_state,
    partial_auc_loss,
)
from isotone.verdict import Verdict

WAYS = (1, 1, -1, 0, 1, 1)
FLOORS = {
    # floor                                                 what is special
    "patterns":            lambda: PatternFloor(steps=20),
    "patterns, as they start": lambda: PatternFloor(steps=0, odds=0.5),
    "booster":             lambda: BoosterFloor(trees=30),
    "booster, unpruned":   lambda: BoosterFloor(trees=30, prune=False),
    "additive":            AdditiveFloor,
    "network":             lambda: NetworkFloor(hidden=(8,), warm=20, steps=10),
    "sum":                 lambda: SumFloor([PatternFloor(steps=5), BoosterFloor(trees=10)], [2.0, 1.0]),
    "best":                lambda: BestFloor([PatternFloor(steps=5), BoosterFloor(trees=10)]),
}  # fmt: skip


def rows_of(seed, rows=160):
    """Numbers of both signs and bits; bad where enough of some comes together."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(rows, 6)) * 2, 1)
    X[:, 4:] = X[:, 4:] > 0
    y = (X[:, 0] + X[:, 1] - X[:, 2] + 3 * X[:, 4] * X[:, 5] + rng.normal(size=rows) > 2).astype(int)
    return X, y


@pytest.fixture(scope="module")
def fitted():
    X, y = rows_of(0)
    held = rows_of(1, 80)
    return {name: make().fit(X, y, WAYS, rate=0.05, validation=held) for name, make in FLOORS.items()}


def moved(seed, rows=128):
    """Rows, and the same further along their directions, by a little or by much."""
    rng = np.random.default_rng(seed)
    low = np.round(rng.normal(size=(rows, 6)) * 3, 1)
    step = rng.exponential(size=(rows, 6)) * (rng.random((rows, 6)) < 0.4) * 10.0 ** rng.integers(-6, 3, size=(rows, 1))
    return low, low + step * np.array(WAYS)


def falls(floor, seed):
    """Pairs between which a score falls, by any amount."""
    low, high = moved(seed)
    return int((floor.scores(high) < floor.scores(low)).sum())


@pytest.mark.parametrize("name", FLOORS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_score_falls_along_the_directions_by_a_single_bit(fitted, name, seed):
    assert falls(fitted[name], seed) == 0


class Free:
    """A floor that lies: a free logistic score under the same interface."""

    def scores(self, X):
        return -np.asarray(X)[:, 0]


def test_the_search_for_falls_finds_a_liar():
    assert falls(Free(), 0) > 10


@pytest.mark.parametrize("name", FLOORS)
def test_a_floor_is_proved(fitted, name):
    proof = fitted[name].prove()
    assert proof.verdict is Verdict.PROVED, proof.reason


def test_a_pattern_with_a_weight_below_nothing_is_not_proved():
    floor = PatternFloor(steps=0).fit(*rows_of(0), WAYS)
    with torch.no_grad():
        floor.network_.weight[0, 0] = -1.0
        floor.network_.threshold[0] = -100.0
    assert floor.prove().verdict is not Verdict.PROVED


def test_trees_without_constraints_are_not_proved():
    X, y = rows_of(0)
    floor = BoosterFloor(trees=30).fit(X, y, (0,) * 6)
    floor.directions_ = (-1, 0, 0, 0, 0, 0)
    assert floor.prove().verdict is Verdict.UNKNOWN


def test_a_sum_without_a_middle_is_not_proved(fitted):
    floor = SumFloor.of(fitted["sum"].floors_, [(np.nan, 1.0), (0.0, 1.0)])
    assert floor.prove().verdict is Verdict.UNKNOWN


@pytest.mark.slow
def test_a_sum_of_parts_with_other_directions_is_not_proved():
    X, y = rows_of(0)
    parts = [AdditiveFloor(strength=1.0).fit(X, y, (way,) * 6) for way in (1, -1)]
    assert all(part.prove().verdict is Verdict.PROVED for part in parts)
    assert "different directions" in SumFloor.of(parts, [(0.0, 1.0)] * 2).prove().reason


def test_a_sum_with_a_negative_weight_is_not_proved(fitted):
    floor = SumFloor.of(fitted["sum"].floors_, [(0.0, -1.0), (0.0, 1.0)])
    assert floor.prove().verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("name", FLOORS)
def test_a_row_scores_the_same_alone_in_a_table_and_sparse(fitted, name):
    X, _ = rows_of(2, 300)
    scores = fitted[name].scores(X)
    assert scores.dtype == np.float64
    assert scores.shape == (300,)
    assert np.array_equal(fitted[name].scores(sp.csr_matrix(X)), scores)
    order = np.random.default_rng(0).permutation(300)
    assert np.array_equal(fitted[name].scores(X[order]), scores[order])
    assert all(fitted[name].scores(X[i : i + 1])[0] == scores[i] for i in (0, 7, 255, 256, 299))
    assert fitted[name].scores(X[:0]).shape == (0,)


@pytest.mark.parametrize("name", FLOORS)
def test_a_floor_comes_back_from_its_state(fitted, name):
    X, _ = rows_of(3)
    tensors, facts = fitted[name].to_state()
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    again = floor_from_state(tensors, json.loads(json.dumps(facts)))
    assert np.array_equal(again.scores(X), fitted[name].scores(X))
    assert again.prove().verdict is Verdict.PROVED


def test_a_state_of_no_known_kind_is_refused():
    with pytest.raises(BadInput, match="'Oracle' came"):
        floor_from_state({}, {"kind": "Oracle"})


@pytest.mark.parametrize("name", ["patterns", "booster", "network"])
def test_order_and_repetition_of_rows_make_no_difference(name):
    X, y = rows_of(4, 80)
    weight = np.random.default_rng(0).integers(0, 3, size=80)
    order = np.random.default_rng(1).permutation(int(weight.sum()))
    a = FLOORS[name]().fit(X, y, WAYS, sample_weight=weight, rate=0.05)
    b = FLOORS[name]().fit(X.repeat(weight, 0)[order], y.repeat(weight)[order], WAYS, rate=0.05)
    assert np.array_equal(a.scores(X), b.scores(X))


@pytest.mark.parametrize("name", ["patterns", "network"])
def test_sparse_and_dense_rows_teach_the_same(name):
    X, y = rows_of(5, 100)
    a, b = (FLOORS[name]().fit(rows, y, WAYS, rate=0.05) for rows in (X, sp.csr_matrix(X)))
    assert np.allclose(a.scores(X), b.scores(X), atol=1e-4)


def test_patterns_ignore_what_is_free():
    X, y = rows_of(0)
    floor = PatternFloor(steps=5).fit(X, y, WAYS)
    other = X.copy()
    other[:, 3] = 1e6
    assert np.array_equal(floor.scores(other), floor.scores(X))


@pytest.mark.parametrize(
    ("X", "y", "why"),
    [
        (np.ones((6, 2)), [0, 1, 0, 1, 0, 1], "all rows are one row"),
        (np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), [1, 0, 0], "a benign row contains the only bad one"),
        (np.array([[0.0, 0.0], [1.0, 1.0]]), [1, 0], "a bad row has nothing"),
        (np.array([[1e300, 0.0], [-1e300, 1.0], [0.0, 0.0]]), [1, 0, 0], "numbers beyond float32"),
        (np.arange(20.0)[:, None], [0] * 10 + [1] * 10, "one feature"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_few_odd_rows_give_finite_scores(X, y, why):
    for floor in (PatternFloor(), BoosterFloor(trees=5), NetworkFloor(warm=2, steps=2)):
        assert np.isfinite(floor.fit(X, np.array(y), (1,) * X.shape[1]).scores(X)).all(), why


@pytest.mark.parametrize("y", [[0, 0, 0], [1, 1, 1]], ids=["no bad rows", "no benign rows"])
def test_one_label_is_refused(y):
    with pytest.raises(BadInput, match="rows came"):
        PatternFloor().fit(np.eye(3), np.array(y), (1, 1, 1))


def test_patterns_find_what_comes_together_and_a_sum_does_not():
    # Bad: a whole pair; benign: any number of halves, so that more features do not mean worse.
    rng = np.random.default_rng(0)
    benign = np.zeros((400, 20))
    for row in benign:
        row[rng.permutation(10) * 2 + rng.integers(0, 2, 10)] = 1
    bad = np.zeros((200, 20))
    for row in bad:
        pair = 2 * rng.integers(0, 10)
        row[pair : pair + 2] = 1
    X, y = np.vstack([benign, bad]), np.repeat([0, 1], [400, 200])
    found = PatternFloor().fit(X, y, (1,) * 20).scores(X)
    assert (found[y == 1] > found[y == 0].max()).all()


def test_the_best_floor_takes_what_detects_most_and_says_what_it_tried(fitted):
    tried = dict(fitted["best"].found_)
    assert len(tried) == 3
    name = " + ".join(list(tried)[k] for k in fitted["best"].chosen_)
    assert tried[name] == max(tried.values())


@dataclass
class Scoring:
    """A floor that fits nothing: rows score as one of their numbers, turned where `wrong`; knows what it was given."""

    given: list
    wrong: bool = False
    column: int = 0

    def __deepcopy__(self, memo):
        return Scoring(self.given, self.wrong, self.column)

    def fit(self, X, y, directions, **_):
        self.given.append(X)
        return self

    def scores(self, X):
        return (-1.0 if self.wrong else 1.0) * X[:, self.column].astype(float)


def test_the_best_floor_judges_rows_that_no_fit_was_given_and_fits_what_it_takes_to_all():
    rng = np.random.default_rng(0)
    X = rng.random((300, 2))
    y = (X[:, 0] > 0.7).astype(int)
    X[1::3] = X[::3]  # equal rows, and their labels
    y[1::3] = y[::3]
    given = []
    floor = BestFloor([Scoring(given, wrong=True), Scoring(given)], ((0,), (1,)))
    floor.fit(X[:200], y[:200], (1, 0), validation=(X[200:], y[200:]), rate=0.05)
    assert floor.chosen_ == (1,)
    assert dict(floor.found_).popitem()[1] == 1.0
    *of_folds, last = given
    assert len(of_folds) == 6
    assert np.array_equal(last, X)
    for rows in of_folds:
        inside = set(map(tuple, rows))
        held = [row for row in X if tuple(row) not in inside]
        assert len(held) + len(rows) == len(X)  # no copy of a held row was fitted
        assert 60 <= len(held) <= 140


def test_where_nothing_is_detected_at_the_rate_the_best_floor_is_chosen_at_a_larger_one():
    rng = np.random.default_rng(0)
    X = rng.random((600, 2))
    y = (X[:, 0] > 0.7).astype(int)
    X[y == 0, 0] += np.where(rng.random((y == 0).sum()) < 0.05, 1.0, 0.0)  # a twentieth of the benign rows above all
    chance_first = [Scoring([], column=1), Scoring([])]
    floor = BestFloor(chance_first).fit(X, y, (1, 1), rate=0.01)
    assert floor.chosen_ == (1,)
    assert floor.rate_ in {0.04, 0.08}
    assert BestFloor(chance_first).fit(X, y, (1, 1), rate=0.1).rate_ == 0.1


def test_families_stay_in_one_fold_and_too_few_rows_take_the_first_floor():
    given, rng = [], np.random.default_rng(0)
    X, y = rng.random((120, 2)), np.tile([0, 1], 60)
    families = np.arange(120) // 4 * 2 + y
    BestFloor([Scoring(given), Scoring(given)]).fit(X, y, (1, 1), families=families)
    for rows in given[:-1]:
        inside = {tuple(row) for row in rows}
        shares = [np.mean([tuple(row) in inside for row in X[families == one]]) for one in set(families.tolist())]
        assert set(shares) == {0.0, 1.0}
    few = BestFloor([Scoring(given), Scoring(given, wrong=True)]).fit(X[:8], y[:8], (1, 1))
    assert few.chosen_ == (0,)
    assert not few.found_


def test_containers_agree_with_the_definition():
    rng = np.random.default_rng(0)
    for ways, values in itertools.product([(1, 1, 1), (1, -1, 0)], [2, 4]):
        bad, benign = rng.integers(0, values, (20, 3)).astype(float), rng.integers(0, values, (30, 3)).astype(float)
        weight = rng.random(30)
        inside = [
            sum(w for b, w in zip(benign, weight, strict=True) if all((b - m) * np.array(ways) >= 0)) for m in bad
        ]
        assert np.allclose(containers(bad, benign, weight, ways), inside)
        assert np.allclose(containers(sp.csr_matrix(bad), sp.csr_matrix(benign), weight, ways), inside)


def test_detection_near_a_rate_is_a_mean_of_detections_around_it():
    labels = np.repeat([0, 1], [1000, 100])
    scores = np.concatenate([np.arange(1000.0), np.linspace(980, 1000, 100)])
    assert detection_near(scores, labels, 0.01) == pytest.approx(0.54, abs=0.01)  # 30, 40, 55, 65 and 80 %


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_losses_are_of_counts_and_fall_with_detection(seed):
    generator = torch.Generator().manual_seed(seed)
    bad, benign = torch.randn(15, generator=generator), torch.randn(40, generator=generator)
    count = torch.randint(1, 4, (40,), generator=generator)
    ones = torch.ones(15)
    for loss, settings_ in ((partial_auc_loss, {"low": 0.0, "high": 0.2}), (detection_loss, {"rate": 0.1})):
        by_weight = loss(bad, ones, benign, count.float(), total=float(count.sum()), **settings_)
        better = loss(bad + 0.1, ones, benign, count.float(), total=float(count.sum()), **settings_)
        assert better < by_weight


def test_a_bad_row_that_is_out_of_reach_costs_no_more_than_one():
    benign, ones = torch.arange(100.0), torch.ones(100)
    far = partial_auc_loss(torch.tensor([-1e6]), ones[:1], benign, ones, total=100.0, high=0.1)
    assert float(far) == pytest.approx(1.0)
    unbounded = partial_auc_loss(torch.tensor([-1e6]), ones[:1], benign, ones, total=100.0, high=0.1, bounded=False)
    assert float(unbounded) > 1e5


@pytest.mark.parametrize("seed", [7, 13, 29])
def test_trees_whose_leaves_differ_by_their_last_bit_are_proved(seed):
    """LightGBM's own text has falls of 1e-17 here: a column that gives the label away makes leaves that meet."""
    rng, m = np.random.default_rng(seed), 600
    X = np.c_[rng.random((m, 6)) < 0.3, rng.poisson(2, (m, 4)), rng.normal(size=(m, 4))].astype(float)
    y = (rng.random(m) < 1 / (1 + np.exp(-(X[:, :6].sum(1) - 2 + X[:, 10])))).astype(int)
    X[:, 13] = y + 0.01 * rng.normal(size=m)
    floor = BoosterFloor(trees=100).fit(X, y, (1,) * 12 + (0, 0), rate=0.02, seed=seed)
    assert floor.prove().verdict is Verdict.PROVED
    state, facts = floor.to_state()
    assert np.array_equal(BoosterFloor.from_state(state, facts).scores(X), floor.scores(X))
