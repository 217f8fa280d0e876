"""Bounds enclose what brute force finds, whatever the rows; what is named costs what is said."""

from __future__ import annotations

import itertools
import json
import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.errors import BadInput
from isotone.headroom import _headroom, headroom
from isotone.headroom._cover import cover, lower, upper
from small import names_table, write


def order(low: np.ndarray, high: np.ndarray, signs) -> bool:
    """By the definition, feature by feature."""
    return all(
        (a <= b) if sign > 0 else (a >= b) if sign < 0 else (a == b)
        for a, b, sign in zip(low, high, signs, strict=True)
    )


def exact(X, y, signs, rate, weights) -> float:
    """The best weight of bad rows over all sets of benign rows within the budget."""
    bad, benign = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    above = [{int(b) for b in benign if order(X[m], X[b], signs)} for m in bad]
    budget, best = rate * weights[benign].sum() + 1e-9, 0.0
    for count in range(len(benign) + 1):
        for some in itertools.combinations(benign.tolist(), count):
            if weights[list(some)].sum() <= budget:
                best = max(best, sum(weights[m] for m, over in zip(bad, above, strict=True) if over <= set(some)))
    return best


def drawn(seed: int, levels: int, weighed: bool):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(2, 7))
    signs = rng.choice([1, 1, 1, -1, 0], width)
    y = np.array([1] * int(rng.integers(1, 12)) + [0] * int(rng.integers(1, 8)))
    X = (rng.random((len(y), width)) < np.where(y == 1, 0.4, 0.6)[:, None]) * rng.integers(1, levels, (len(y), width))
    weights = rng.choice([0.1, 0.7, 1.0, 2.5], len(y)) if weighed else np.ones(len(y))
    return X.astype(np.float64) - (levels > 2), y, signs, weights


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 4]), st.booleans(), st.sampled_from([0.0, 0.2, 0.29, 0.5]))
def test_the_best_choice_lies_between_the_bounds(seed, levels, weighed, rate):
    X, y, signs, weights = drawn(seed, levels, weighed)
    found = headroom(X, y, signs, [rate], weights=weights, held_out=False, most=2)
    best, (limit,) = exact(X, y, signs, rate, weights), found.limits
    assert limit.low * found.bad <= best + 1e-9
    assert best <= limit.high * found.bad + 1e-9
    assert found.free * found.bad == pytest.approx(exact(X, y, signs, 0.0, weights))
    given_up = set(limit.given_up)
    assert all(y[row] == 0 for row in given_up)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_without_the_linear_program_the_bound_is_looser_and_still_above(seed):
    X, y, signs, weights = drawn(seed, 2, weighed=False)
    rows = scipy.sparse.csr_matrix(X)
    bad, benign = _headroom._sides(rows, y, weights, None)
    pairs = _headroom.below(bad.rows, benign.rows, signs)
    budget = _headroom._budget(benign.weights, 0.4)
    problem = cover(pairs, bad.weights, benign.weights, budget)
    loose, hint = upper(problem, budget, seconds=0.0)
    tight, _ = upper(problem, budget, seconds=30.0)
    best = exact(X, y, signs, 0.4, weights)
    assert best - 1e-9 <= tight <= loose + 1e-9
    groups = lower(problem, budget, loose, hint)
    assert problem.price(groups) <= budget
    assert problem.value(groups) <= best + 1e-9


def test_the_bound_can_be_wrong_if_prices_or_orders_are():
    """The positive control: with one pair hidden the same check must fail."""
    failed = 0
    for seed in range(60):
        X, y, signs, weights = drawn(seed, 2, weighed=False)
        X[:, 0], signs[0] = y * 0, 1
        best = exact(X, y, signs, 0.2, weights)
        X[y == 1, 0] = 1  # the bad rows now have what no benign one has: nothing is above them
        limit = headroom(X, y, signs, [0.2], held_out=False, most=0).limits[0]
        failed += limit.low * (y == 1).sum() > best + 1e-9
    assert failed > 20


def test_at_a_few_thousand_rows_the_bounds_are_near_each_other_and_rise_with_the_rate():
    X, y = world(2000)
    rates = (0.0, 0.002, 0.01, 0.05, 0.2)
    found = headroom(X, y, +1, rates, held_out=False, most=3)
    assert found.limits[0].low == found.limits[0].high == found.free
    assert all(limit.high - limit.low <= 0.02 for limit in found.limits)
    assert all(a.high <= b.high and a.low <= b.low for a, b in pairwise(found.limits))
    assert 0.05 < found.free < found.limits[2].low < 1


def world(rows: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.4).astype(int)
    chance = np.where(y[:, None] == 1, rng.random(24) * 0.35, rng.random(24) * 0.45)
    return (rng.random((rows, 24)) < chance).astype(np.float32), y


def test_what_is_given_up_buys_what_is_said():
    X, y = world(600)
    found = headroom(X, y, +1, [0.05], held_out=False)
    (limit,) = found.limits
    # `given_up` names one row of each set of repeats.
    lost = {X[row].tobytes() for row in limit.given_up}
    benign = X[y == 0]
    kept = np.array([row.tobytes() not in lost for row in benign])
    certified = [not (row <= benign[kept]).all(axis=1).any() for row in X[y == 1]]
    assert (~kept).sum() <= limit.budget == math.floor(0.05 * len(benign))
    assert np.mean(certified) == pytest.approx(limit.low)


def test_no_threshold_of_a_monotone_score_passes_the_bound():
    X, y = world(800)
    rng = np.random.default_rng(1)
    limits = headroom(X, y, +1, (0.01, 0.1), held_out=False, most=0).limits
    for _ in range(200):
        score = np.maximum(X @ rng.exponential(size=(24, 3)) ** 3 - rng.random(3), 0).sum(axis=1)
        for limit in limits:
            threshold = np.sort(score[y == 0])[::-1][int(limit.budget)]
            assert (score[y == 1] > threshold).mean() <= limit.high


def test_costly_rows_and_loose_features_are_what_counting_says():
    X, y = world(300)
    found = headroom(X, y, +1, [0.02], names=[f"f{at}" for at in range(24)], held_out=False, most=24)
    bad, benign = X[y == 1], X[y == 0]
    over = (bad[:, None, :] <= benign[None, :, :]).all(axis=2)
    for one in found.costly:
        same = (X[one.row] == benign).all(axis=1)
        assert one.weight == same.sum()
        assert one.below == over[:, same].any(axis=1).sum()
        assert one.alone == (over[:, same].any(axis=1) & ~over[:, ~same].any(axis=1)).sum()
    for one in found.loose:
        held = over & (bad[:, None, one.feature] == benign[None, :, one.feature])
        assert one.freed == (over.any(axis=1) & ~held.any(axis=1)).sum()
        assert one.name == f"f{one.feature}"
        assert one.high >= one.low >= found.limits[0].low - 0.02
    assert found.loose[0].freed == max(
        (over.any(axis=1) & ~(over & (bad[:, None, at] == benign[None, :, at])).any(axis=1)).sum() for at in range(24)
    )


def test_sparse_rows_repeats_and_weights_say_the_same():
    X, y = world(200)
    dense = headroom(X, y, +1, [0.05], most=2)
    assert headroom(scipy.sparse.csc_matrix(X), y, +1, [0.05], most=2) == dense
    repeated = headroom(np.concatenate([X, X]), np.concatenate([y, y]), +1, [0.05], most=4, held_out=False)
    weighed = headroom(X, y, +1, [0.05], weights=np.full(200, 2.0), most=4, held_out=False)
    assert repeated == weighed
    once = headroom(np.concatenate([X, X]), np.concatenate([y, y]), +1, [0.05], once=True, held_out=False, most=0)
    assert (once.bad, once.benign) == (once.distinct_bad, once.distinct_benign)


def test_directions_turn_and_free_features_keep_apart():
    X, y = world(300)
    rates = [0.05]
    up = headroom(X, y, +1, rates, held_out=False, most=0).limits
    assert headroom(1 - X, y, -1, rates, held_out=False, most=0).limits == up
    kept_apart = headroom(np.column_stack([X, y]), y, [1] * 24 + [0], rates, held_out=False)
    assert kept_apart.free == 1.0  # a trusted feature that tells the classes apart


def test_other_benign_rows_can_stand_in():
    X, y = world(600)
    benign = np.flatnonzero(y == 0)
    mine, others = benign[: len(benign) // 2], benign[len(benign) // 2 :]
    rows = np.concatenate([np.flatnonzero(y == 1), mine])
    found = headroom(X[rows], y[rows], +1, [0.01], against=X[others])
    swapped = np.concatenate([np.flatnonzero(y == 1), others])
    assert found.limits[0].high == headroom(X[swapped], y[swapped], +1, [0.01]).limits[0].high
    assert found.against
    assert "estimate" in found.told()
    assert found.limits[0].realised is not None


def test_the_answer_does_not_hang_on_the_scale_of_weights():
    for seed in (29, 161):
        rng = np.random.default_rng(seed)
        X, y = rng.integers(0, 2, (60, 6)).astype(float), (np.arange(60) < 30).astype(int)
        whole = headroom(X, y, +1, 0.2, held_out=False, most=0).limits[0]
        small = headroom(X, y, +1, 0.2, weights=np.full(60, 1 / 64), held_out=False, most=0).limits[0]
        assert small.low == pytest.approx(whole.low)
        assert small.high >= whole.high - 1e-9


def test_columns_have_their_names():
    pandas = pytest.importorskip("pandas")
    X, y = world(60)
    frame = pandas.DataFrame(X, columns=[f"f{at}" for at in range(24)])
    found = headroom(frame, y, {"f1*": +1}, held_out=False)
    assert found.limits == headroom(X, y, [int(str(at)[0] == "1") for at in range(24)], held_out=False).limits


def test_what_is_told_fits_a_terminal_and_json():
    X, y = world(300)
    found = headroom(X, y, +1, names=["a very long name of a feature, longer than a column can be"] * 24)
    assert max(map(len, found.told().splitlines())) <= 80
    assert "In-sample" in found.told()
    assert json.loads(json.dumps(found.to_dict()))["limits"][0]["low"] == found.limits[0].low


REFUSED = [
    ({"y": [1, 1, 1]}, "one class came"),
    ({"y": [0, 1, 2]}, "one 0 or 1 per row"),
    ({"X": np.array([[1.0], [np.nan], [0.0]])}, "a NaN came"),
    ({"X": [1.0, 2.0, 3.0]}, "without two dimensions"),
    ({"weights": [1, 0, 1]}, "one positive number per row"),
    ({"rates": [1.0]}, "shares from 0 up to 1"),
    ({"y": ["bad", "good", "bad"]}, "y: 'bad' came; one 0 or 1 per row"),
    ({"y": [0, 1]}, r"y: shape \(2,\) for 3 rows"),
    ({"X": np.array([["a"], ["b"], ["c"]])}, "X: it holds what is no number"),
    ({"names": ["one", "two"]}, "names: 2 came for 1 features"),
    ({"rates": []}, "one or more shares"),
    ({"against": np.zeros((2, 3))}, "3 features came"),
]


@pytest.mark.parametrize(("wrong", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_cannot_be_bounded_is_refused(wrong, says):
    right = {"X": np.array([[1.0], [0.0], [2.0]]), "y": [0, 1, 1], "directions": +1}
    with pytest.raises(BadInput, match=says):
        headroom(**(right | wrong))


def test_the_command_says_what_the_function_says(tmp_path, capsys, monkeypatch):
    from isotone import cli  # noqa: PLC0415 - heavy

    def said(*more):
        arguments = [str(path), "--label", "class", "--names", "names", "--column", "age", "--once", *more]
        monkeypatch.setattr("sys.argv", ["isotone", "headroom", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    path = write(names_table(400, size=np.arange(400)), tmp_path / "rows.csv")
    code, out, err = said("--rate", "0.05", "--sets", "good*", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert 0 < found["free"] <= found["limits"][0]["low"] <= found["limits"][0]["high"] <= 1
    assert found["limits"][0]["rate"] == 0.05
    assert all(not loose["name"].startswith("good") for loose in found["loose"])
    code, out, _ = said("--against", str(path))
    assert (code, out.count("0.10%"), "another split" in out) == (0, 1, True)
    assert said("--sets", "*")[0] == 2
    threat = tmp_path / "threat.toml"
    threat.write_text('[threat]\nadds = ["*"]\nsets = ["good*"]\n')
    assert json.loads(said("--rate", "0.05", "--threat", str(threat), "--json")[1])["limits"] == found["limits"]
    # Who trusts one feature says of every other what it is.
    code, _, err = said("--adds", "evil*", "--trusted", "age")
    assert (code, "has no role" in err) == (2, True)
