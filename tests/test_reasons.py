"""Reasons suffice, whatever is added; nothing in them can be left out; removals cost what the bounds say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.errors import BadInput
from isotone.explain import importance, removal_costs, sufficient_reasons

SUPERSETS = 1000


def network(seed: int, width: int, signs: np.ndarray, *, turned: float = 0.0):
    """A random network that never falls along `signs`; with `turned`, that share of its first weights has no sign.

    Sums of whole numbers, so that no score depends on the rows beside it by as much as a last bit.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 8, (width, 6)) * np.where(signs, signs, rng.choice([-1, 1], width))[:, None]
    first[rng.random((width, 6)) < turned] *= -1
    second, bias = rng.integers(1, 5, 6), rng.integers(-12, 4, 6)

    def scores(X):
        hidden = np.asarray(X @ first.astype(np.float64)) + bias
        return np.maximum(hidden, 0) @ second + (hidden > 6).astype(np.float64) @ second

    return scores


def with_facts(row, reason, signs, baseline):
    """The row with nothing but a reason's facts, and what the attacker cannot move."""
    bare = np.where((row - baseline) * signs > 0, baseline, row)
    bare[list(reason.features)] = reason.bounds
    return bare


def additions(rng, bare, signs, count, most):
    """Rows with more evidence anywhere: raised where the score may not fall, lowered where it may not rise."""
    moved = rng.random((count, len(bare))) < rng.random((count, 1))
    return bare + signs * moved * rng.integers(0, most, (count, len(bare)))


def case(seed: int, counts: bool = True, width: int = 12, turned: float = 0.0):
    rng = np.random.default_rng(seed)
    signs = rng.choice([1, 1, 1, 0, -1], width)
    scores = network(seed, width, signs, turned=turned)
    X = rng.integers(0, 9 if counts else 2, (8, width)).astype(np.float64)
    baseline = np.where(signs < 0, 9.0 if counts else 1.0, 0.0)
    threshold = float(np.median(scores(X)))
    return scores, X[scores(X) > threshold], threshold, signs, baseline


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_no_superset_undoes_a_reason_and_nothing_in_it_can_be_left_out(seed, counts, weighed):
    scores, X, threshold, signs, baseline = case(seed, counts)
    weight = importance(scores, X, signs, baseline=baseline) if weighed else None
    found = sufficient_reasons(scores, X, threshold, signs, baseline=baseline, importance=weight)
    rng = np.random.default_rng(seed)
    assert len(found) == len(X)
    for row, reason in zip(X, found, strict=True):
        bare = with_facts(row, reason, signs, baseline)
        assert scores(bare[None])[0] == reason.score_alone > threshold
        assert (scores(additions(rng, bare, signs, SUPERSETS, 9)) > threshold).all()
        for feature in reason.features:
            less = bare.copy()
            less[feature] -= signs[feature]  # by one, the least that a count can be less
            assert scores(less[None])[0] <= threshold


def test_a_score_that_can_fall_has_reasons_that_additions_undo():
    """The positive control: the same check on networks that are not monotone must fail, and often."""
    undone = cases = 0
    for seed in range(20):
        scores, X, threshold, signs, baseline = case(seed, turned=0.4)
        rng = np.random.default_rng(seed)
        for row, reason in zip(X, sufficient_reasons(scores, X, threshold, signs, baseline=baseline), strict=True):
            bare = with_facts(row, reason, signs, baseline)
            assert scores(bare[None])[0] > threshold  # what was kept was scored, whatever the function does
            undone += not (scores(additions(rng, bare, signs, SUPERSETS, 9)) > threshold).all()
            cases += 1
    assert undone > cases / 2


def test_one_row_a_call_and_many_rows_say_the_same_dense_and_sparse():
    scores, X, threshold, signs, _ = case(3, counts=False)
    together = sufficient_reasons(scores, X, threshold, signs)
    assert together == [sufficient_reasons(scores, row[None], threshold, signs)[0] for row in X]
    sparse = sufficient_reasons(scores, scipy.sparse.csr_matrix(X), threshold, signs)
    assert together == sparse


def test_there_are_no_more_passes_than_active_features():
    passes = []

    def total(X):
        passes.append(len(X))
        return X.sum(axis=1)

    X = (np.random.default_rng(0).random((40, 30)) < 0.5).astype(np.float32)
    found = sufficient_reasons(total, X, 4.5, +1)
    most = max(reason.active for reason in found)
    assert all(len(reason.features) == 5 for reason in found)
    assert len(passes) == most + 2  # one of the whole rows, one of what was found
    assert sum(passes) == sum(reason.active for reason in found) + 2 * len(X)


# fmt: off
FACTS = [
    # weights       row             threshold  directions     baseline      (features, bounds)   why
    ([4, 1, 3, 1],  [1, 1, 1, 1],   6.5,   +1,            None,         ((2, 0), (1, 1)),    "small ones go first"),
    ([1, 1, 1, 1],  [9, 0, 0, 0],   6.5,   +1,            None,         ((0,), (7,)),        "a count is bisected"),
    ([1, 1, 1, 1],  [2.5, 0, 0, 6], 6.7,   +1,            None,         ((3, 0), (5, 2.5)),  "a measure stays whole"),
    ([9, 1, 1, 1],  [1, 1, 1, 1],   9.5,   (0, 1, 1, 1),  None,         ((3,), (1,)),        "what stays helps"),
    ([9, 1, 1, 1],  [1, 1, 1, 1],   8.5,   (0, 1, 1, 1),  None,         ((), ()),            "and may be enough"),
    ([-1, 1, 0, 0], [2, 3, 1, 1],   -2.5,  (-1, 1, 1, 1), (9, 0, 0, 0), ((1, 0), (3, 5)),    "absence is a fact too"),
    ([-1, 1, 0, 0], [2, 3, 1, 1],   0.5,   (-1, 1, 1, 1), None,         ((1,), (3,)),        "no baseline, no fact"),
    ([1, 1, 0, 0],  [-2, 9, 1, 1],  4.5,   +1,            None,         ((1,), (7,)),        "below it: as it is"),
]
# fmt: on


@pytest.mark.parametrize("case", FACTS, ids=[why for *_, why in FACTS])
def test_sums_are_explained_as_by_hand(case):
    weights, row, threshold, directions, baseline, expected, _ = case
    slopes = np.array(weights, dtype=np.float64)
    rows = np.array([row], dtype=np.float64)
    (found,) = sufficient_reasons(lambda X: X @ slopes, rows, threshold, directions, baseline=baseline)
    assert (found.features, found.bounds) == expected


def test_what_is_told_and_written_names_the_facts():
    (found,) = sufficient_reasons(
        lambda X: X @ np.array([-1.0, 1.0]), np.array([[2.0, 3.0]]), -2.5, (-1, 1), baseline=(9.0, 0.0)
    )
    assert found.told(["signed", "links"]) == (
        "links at least 3; signed at most 5 (it has 2): alarm, whatever else is added (2 of 2 features)"
    )
    assert found.to_dict(["signed", "links"])["sufficient"] == [
        {"feature": "links", "index": 1, "at_least": 3.0, "value": 3.0},
        {"feature": "signed", "index": 0, "at_most": 5.0, "value": 2.0},
    ]


def fewest_removals(scores, row, threshold, active):
    for count in range(len(active) + 1):
        for gone in itertools.combinations(active, count):
            less = row.copy()
            less[list(gone)] = 0
            if not scores(less[None])[0] > threshold:
                return count
    return None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_fewest_removals_lie_between_the_bounds(seed):
    rng = np.random.default_rng(seed)
    signs = np.where(rng.random(8) < 0.2, 0, 1)
    scores = network(seed, 8, signs)
    X = rng.integers(0, 2, (6, 8)).astype(np.float64) * 3
    threshold = float(np.median(scores(X)))
    X = X[scores(X) > threshold]
    for row, cost in zip(X, removal_costs(scores, X, threshold, signs), strict=True):
        exact = fewest_removals(scores, row, threshold, np.flatnonzero((row > 0) & (signs > 0)))
        if cost.at_least is None:
            assert exact is None
            assert cost.at_most is None
            continue
        assert exact is not None
        assert 1 <= cost.at_least <= exact <= cost.at_most
        used = [feature for reason in cost.reasons for feature in reason]
        assert len(used) == len(set(used))
        assert len(cost.reasons) == cost.at_least


REFUSED = [
    ({"X": np.array([[0.0, 0.0]])}, "a row scores 0; only alarms have reasons"),
    ({"X": np.array([[1.0, np.nan]])}, "a NaN came"),
    ({"X": np.array([1.0, 1.0])}, "without two dimensions"),
    ({"baseline": (0.0, 1.0, 2.0)}, "one number, or 2"),
    ({"importance": (0.0, np.nan)}, "importance"),
    ({"scores": lambda X: X}, "one score per row is right"),
]


@pytest.mark.parametrize(("wrong", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_cannot_be_explained_is_refused(wrong, says):
    right = {"scores": lambda X: X.sum(axis=1), "X": np.array([[1.0, 1.0]]), "threshold": 0.5, "directions": +1}
    with pytest.raises(BadInput, match=says.replace("(", "\\(")):
        sufficient_reasons(**(right | wrong))
