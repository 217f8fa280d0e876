"""The proof tree by tree agrees with brute force over every cell; what is read wrongly is never trusted."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.auditing.trees import Ensemble, Unreadable, faithful, margins, prove, read
from isotone.auditing.trees._ensemble import build, known_link
from isotone.errors import BadInput

GRID = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
FEATURES = 3


@st.composite
def nodes(draw, depth=3):
    """A tree as nested tuples: a leaf's value, or (feature, threshold, NaN left, zero is missing, left, right)."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return float(draw(st.integers(-2, 2)))
    feature, threshold = draw(st.integers(0, FEATURES - 1)), float(draw(st.integers(-1, 1)))
    return (
        feature,
        threshold,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(nodes(depth - 1)),
        draw(nodes(depth - 1)),
    )


def flat(tree):
    rows = []

    def add(node):
        at = len(rows)
        rows.append(None)
        if isinstance(node, float):
            rows[at] = (-1, 0.0, 0, 0, False, False, node)
        else:
            feature, threshold, nan_left, special, left, right = node
            a = add(left)
            rows[at] = (feature, threshold, a, add(right), nan_left, special, 0.0)
        return at

    add(tree)
    keys = ("feature", "threshold", "left", "right", "missing_left", "special", "value")
    return dict(zip(keys, map(np.asarray, zip(*rows, strict=True)), strict=True))


def ensemble(*trees, strict=False, zero=True, **rest):
    parts = [flat(tree) for tree in trees]
    if not zero:
        for part in parts:
            part["special"] = part["special"] & False
    return build("a test", FEATURES, ["a", "b", "c"], parts, strict=strict, **rest)


def walk(tree, row, strict):
    """The value of a nested tree, by recursion: independent of the flat arrays."""
    if isinstance(tree, float):
        return tree
    feature, threshold, nan_left, special, left, right = tree
    x = row[feature]
    if math.isnan(x) or (special and x == 0):
        return walk(left if nan_left else right, row, strict)
    return walk(left if (x < threshold if strict else x <= threshold) else right, row, strict)


def brute(trees, directions, *, strict, low, high, missing):
    """Whether no pair of rows of the grid that differ in one feature falls."""
    numbers = [x for x in GRID if low <= x <= high]
    values = numbers if missing == "never" else [*numbers, math.nan]
    score = {
        tuple(map(str, row)): sum(walk(t, row, strict) for t in trees)
        for row in itertools.product(values, repeat=FEATURES)
    }
    for f, direction in enumerate(directions):
        order = ["nan", *map(str, numbers)] if missing == "lowest" else list(map(str, numbers))
        for rest in itertools.product(map(str, values), repeat=FEATURES - 1):
            line = [score[(*rest[:f], x, *rest[f:])] * direction for x in order]
            if direction and any(b < a for a, b in itertools.pairwise(line)):
                return False
    return True


QUESTIONS = st.fixed_dictionaries(
    {
        "strict": st.booleans(),
        "low": st.sampled_from([-1.5, -1.0, 0.0, 0.5]),
        "high": st.sampled_from([0.5, 1.0, 1.5]),
        "missing": st.sampled_from(["fixed", "never", "lowest"]),
    }
)
DIRECTIONS = st.tuples(*[st.integers(-1, 1)] * FEATURES).filter(any)


@settings(max_examples=100, deadline=None)
@given(nodes(), DIRECTIONS, QUESTIONS)
def test_one_tree_is_decided_exactly(tree, directions, question):
    strict, domain = question["strict"], {k: question[k] for k in ("low", "high", "missing")}
    proof = prove(ensemble(tree, strict=strict), directions, **domain)
    assert proof.proved == brute([tree], directions, **question)
    assert proof.proved or proof.candidates


@settings(max_examples=40, deadline=None)
@given(st.lists(nodes(), min_size=2, max_size=4), DIRECTIONS, QUESTIONS)
def test_a_sum_is_never_proved_wrongly_and_candidates_really_fall(trees, directions, question):
    strict, domain = question["strict"], {k: question[k] for k in ("low", "high", "missing")}
    proof = prove(ensemble(*trees, strict=strict), directions, **domain)
    assert not proof.proved or brute(trees, directions, **question)
    for pair in proof.candidates:
        before, after = (sum(walk(t, row, strict) for t in trees) for row in (pair.lower, pair.upper))
        assert (before, after) == (pair.before, pair.after)
        assert after < before
        moved = [i for i in range(FEATURES) if str(pair.lower[i]) != str(pair.upper[i])]
        assert moved == [pair.feature]
        a, b = pair.lower[pair.feature], pair.upper[pair.feature]
        assert (math.isnan(a if directions[pair.feature] > 0 else b) and domain["missing"] == "lowest") or (
            (b - a) * directions[pair.feature] > 0
        )
        for row in (pair.lower, pair.upper):
            numbers = row[~np.isnan(row)]
            assert ((numbers >= domain["low"]) & (numbers <= domain["high"])).all()
            assert domain["missing"] != "never" or len(numbers) == FEATURES


@settings(max_examples=60, deadline=None)
@given(st.lists(nodes(depth=1), min_size=2, max_size=6), DIRECTIONS, QUESTIONS)
def test_a_sum_of_stumps_is_decided_exactly(trees, directions, question):
    strict, domain = question["strict"], {k: question[k] for k in ("low", "high", "missing")}
    proof = prove(ensemble(*trees, strict=strict), directions, **domain)
    assert proof.proved == brute(trees, directions, **question)
    assert proof.proved or proof.candidates


@settings(max_examples=40, deadline=None)
@given(st.lists(nodes(), min_size=1, max_size=3), st.booleans(), st.sampled_from(["float64", "float32"]))
def test_the_flat_form_predicts_as_recursion_does(trees, strict, inputs):
    rows = np.asarray(list(itertools.product([*GRID, math.nan], repeat=FEATURES)))
    found = ensemble(*trees, strict=strict, inputs=inputs).predict(rows)
    assert found.tolist() == [sum(walk(t, row, strict) for t in trees) for row in rows]


RISES = (0, 0.0, True, False, -1.0, 1.0)
FALLS = (0, 0.0, True, False, 1.0, -1.0)
BOTH = (0, 0.0, True, False, 0.5, (1, 0.0, True, False, 0.0, 0.25))
CASES = [
    # trees                                              directions  options                    proved  why
    ([RISES], (1, 0, 0), {}, True, "a step up rises"),
    ([FALLS], (1, 0, 0), {}, False, "a step down falls"),
    ([FALLS], (-1, 0, 0), {}, True, "and that is what -1 says"),
    ([FALLS], (1, 0, 0), {"low": 0.5}, True, "its step lies outside the domain"),
    ([FALLS], (1, 0, 0), {"low": 0.0}, False, "0 itself is left of its step"),
    ([FALLS], (0, 1, 0), {}, True, "no tree looks at the feature"),
    ([RISES, FALLS], (1, 0, 0), {}, True, "trees of one feature are added up first, and are flat"),
    ([RISES, FALLS, FALLS], (1, 0, 0), {}, False, "and here they fall"),
    ([RISES, BOTH], (1, 0, 0), {}, False, "the sum rises, which a proof tree by tree cannot see"),
    ([(0, 0.0, False, False, -1.0, 1.0)], (1, 0, 0), {"missing": "fixed"}, True, "missing stays missing"),
    ([(0, 0.0, False, False, -1.0, 1.0)], (1, 0, 0), {"missing": "lowest"}, False, "missing takes the upper branch"),
    ([(0, 0.0, True, False, -1.0, 1.0)], (1, 0, 0), {"missing": "lowest"}, True, "missing takes the lower branch"),
    ([(0, 1.0, False, True, -1.0, 1.0)], (1, 0, 0), {}, False, "zero is missing and goes right, below 0.5"),
    ([(0, 1.0, True, True, -1.0, 1.0)], (1, 0, 0), {}, True, "zero is missing and goes left anyway"),
    ([(0, 0.0, True, False, (0, 1.0, True, False, 1.0, -9.0), 2.0)], (1, 0, 0), {}, True, "the low leaf has no rows"),
    ([(1, 0.0, False, False, (0, 0.0, True, False, 1.0, 0.0), 0.0)], (1, 0, 0), {"missing": "never"}, False, "b <= 0"),
    ([(1, 0.0, False, False, (0, 0.0, True, False, 1.0, 0.0), 0.0)], (1, 0, 0), {"low": [-9, 1, -9]}, True, "b >= 1"),
]


@pytest.mark.parametrize(
    ("trees", "directions", "options", "proved", "why"), CASES, ids=[f"{i} {c[-1]}" for i, c in enumerate(CASES)]
)
def test_known_answers(trees, directions, options, proved, why):
    assert prove(ensemble(*trees), directions, **options).proved is proved


def test_a_threshold_is_crossed_at_the_right_side():
    tree = (0, 1.0, True, False, 1.0, 0.0)
    assert prove(ensemble(tree), (1, 0, 0), high=1.0).proved  # <= 1 is left
    assert not prove(ensemble(tree, strict=True), (1, 0, 0), high=1.0).proved  # 1 itself is right
    above = np.nextafter(1.0, 2.0)
    assert not prove(ensemble(tree), (1, 0, 0), high=above).proved
    # Cast to float32, the next double is 1 again.
    assert prove(ensemble(tree, inputs="float32"), (1, 0, 0), high=above).proved


def test_a_huge_number_counts_although_float32_calls_it_infinite():
    assert not prove(ensemble(FALLS, inputs="float32"), (1, 0, 0), high=1e300).proved
    last = float(np.finfo(np.float32).max)
    assert not prove(ensemble((0, last, True, False, 1.0, 0.0), inputs="float32"), (1, 0, 0)).proved
    # Nothing lies above infinity: scikit-learn splits off missing values so.
    assert prove(ensemble((0, np.inf, True, False, 1.0, 0.0), inputs="float32"), (1, 0, 0)).proved
    assert not prove(ensemble((0, np.inf, True, False, 1.0, 0.0), inputs="float32", strict=True), (1, 0, 0)).proved


def test_a_reason_names_the_tree_the_feature_and_the_threshold():
    feature = prove(ensemble(RISES, FALLS, FALLS), {"a": 1}).features[0]
    assert feature.reason == "tree 1: node 2 (-1) follows node 1 (1) when a crosses 0, so its value falls"
    assert (feature.tree, feature.trees, feature.size) == (1, 2, 2.0)


def test_only_a_link_that_keeps_order_is_proved():
    assert prove(ensemble(RISES, link="logistic"), (1, 0, 0)).proved
    proof = prove(ensemble(RISES, link="softmax"), (1, 0, 0))
    assert not proof.proved
    assert "softmax" in proof.features[0].reason


def test_minus_a_score_turns_the_answer():
    assert prove(ensemble(FALLS).negated(), (1, 0, 0)).proved
    assert not prove(ensemble(RISES).negated(), (1, 0, 0)).proved


def test_a_tree_of_too_many_leaves_is_not_proved(monkeypatch):
    monkeypatch.setattr("isotone.auditing.trees._scan.MOST_LEAVES", 1)
    proof = prove(ensemble(RISES), (1, 0, 0))
    assert not proof.proved
    assert "leaves" in proof.features[0].reason


@settings(max_examples=20, deadline=None)
@given(nodes(), st.booleans())
def test_pairs_in_blocks_are_the_same_pairs(tree, special):
    whole = prove(ensemble(tree, zero=special), (1, -1, 0), most=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isotone.auditing.trees._pairs.BLOCK", 3)
        parts = prove(ensemble(tree, zero=special), (1, -1, 0), most=0)
    # Of falls of one size another one may be named.
    assert [(f.proved, f.size) for f in parts.features] == [(f.proved, f.size) for f in whole.features]


WRONG = [
    # what comes                                    says
    (lambda: prove(ensemble(RISES), 0), "no feature has one"),
    (lambda: prove(ensemble(RISES), 1, missing="absent"), "'absent' came"),
    (lambda: prove(ensemble(RISES), 1, low=[0, 1]), "shape"),
    (lambda: prove(ensemble(RISES), 1, low=1, high=0), "low is above its high"),
    (lambda: prove(ensemble(RISES), 1, low=math.nan), "NaN"),
]


@pytest.mark.parametrize(("ask", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_wrong_question_is_one_sentence(ask, says):
    with pytest.raises(BadInput, match=says):
        ask()


BROKEN = [
    # change of a flat tree                                says
    ({"value": [0.0, math.nan, 1.0]}, "finite"),
    ({"threshold": [math.nan, 0.0, 0.0]}, "threshold"),
    ({"left": [0, 0, 0]}, "do not form a tree"),
    ({"right": [1, 0, 0]}, "do not form a tree"),
    ({"right": [7, 0, 0]}, "do not form a tree"),
    ({"feature": [9, -1, -1]}, "column"),
]


@pytest.mark.parametrize(("change", "says"), BROKEN, ids=[f"{i} {says}" for i, (_, says) in enumerate(BROKEN)])
def test_broken_trees_are_not_read(change, says):
    tree = flat(RISES) | {key: np.asarray(value) for key, value in change.items()}
    with pytest.raises(Unreadable, match=says):
        build("a test", FEATURES, None, [tree])


def deep(seed=0):
    rng = np.random.default_rng(seed)

    def grow(depth):
        if depth == 0:
            return float(rng.normal())
        return (
            int(rng.integers(3)),
            float(rng.integers(-8, 9)),
            bool(rng.integers(2)),
            False,
            grow(depth - 1),
            grow(depth - 1),
        )

    return [grow(4) for _ in range(5)]


def swapped_default(e: Ensemble) -> Ensemble:
    at = int(np.flatnonzero(e.feature >= 0)[0])
    return replace(e, missing_left=np.where(np.arange(len(e.feature)) == at, ~e.missing_left, e.missing_left))


def moved_threshold(e: Ensemble) -> Ensemble:
    at = int(np.flatnonzero(e.feature >= 0)[0])
    return replace(
        e, threshold=np.where(np.arange(len(e.feature)) == at, np.nextafter(e.threshold, np.inf), e.threshold)
    )


LIARS = {
    "< read as <=": lambda e: replace(e, strict=not e.strict),
    "one default branch swapped": swapped_default,
    "one threshold one double too high": moved_threshold,
    "children swapped": lambda e: replace(e, left=e.right, right=e.left),
    "a tree left out": lambda e: replace(e, roots=e.roots[1:], weights=e.weights[1:]),
    "the base forgotten": lambda e: replace(e, base=0.0),
    "a weight off by a millionth": lambda e: replace(e, weights=e.weights * (1 + 1e-6)),
    "features exchanged": lambda e: replace(e, feature=np.where(e.feature >= 0, (e.feature + 1) % 3, -1)),
}


@pytest.mark.parametrize("lie", LIARS)
def test_a_wrong_reading_is_not_trusted(lie):
    true = ensemble(*deep(), base=0.5)
    rows = np.random.default_rng(1).normal(size=(50, FEATURES))
    assert faithful(true, true.predict, rows)
    trust = faithful(LIARS[lie](true), true.predict, rows)
    assert not trust
    assert "trees as read give" in trust.reason


def test_a_model_that_raises_is_not_trusted():
    def refuses(rows):
        raise ValueError("no NaN here")

    trust = faithful(ensemble(RISES), refuses, np.zeros((1, FEATURES)))
    assert not trust
    assert "no NaN here" in trust.reason
    assert not faithful(ensemble(RISES), lambda rows: [0.0], np.zeros((1, FEATURES)))
    assert not faithful(ensemble(RISES), lambda rows: np.full(len(rows), np.nan), np.zeros((1, FEATURES)))
    assert not faithful(ensemble(RISES), ensemble(RISES).predict, np.zeros((1, 7)))


def test_an_unknown_model_is_none():
    assert read(object()) is None
    assert margins(object()) is None


def test_a_number_that_misses_its_cell_shows_nothing(monkeypatch):
    trees = ensemble(RISES, FALLS)
    assert prove(trees, (1, 0, 0)).proved
    monkeypatch.setattr("isotone.auditing.trees._cells.Axis.cell", lambda self, x: np.zeros(len(x), dtype=int))
    assert not prove(trees, (1, 0, 0), most=0).proved


def test_an_objective_that_nobody_has_looked_at_gives_no_proof():
    assert known_link({"regression": "identity"}, "regression") == "identity"
    with pytest.raises(Unreadable, match="what its objective 'cauchy' makes of the sum of the trees is not known"):
        known_link({"regression": "identity"}, "cauchy")
