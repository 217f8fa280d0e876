"""The parts: moves, victims, measures, and the sentence of every error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from isotone.attack import (
    Attacked,
    BlackBox,
    Differentiable,
    Moves,
    Search,
    benign_merge,
    detection_curve,
    evasion_rate,
    exhaustive,
    fewest,
    greedy,
    is_broken,
    median_additions,
    only_adds,
    suite,
)
from isotone.attack._victims import BLOCK_ROWS, block_rows, blocks
from isotone.errors import BadInput
from isotone.threat import Threat

THREE = Moves.between((1, 1, 1), 0.0, 1.0)


# Moves.

number = st.floats(-3, 3, width=32)
column = st.tuples(number, number, number, st.sampled_from((-1, 1)), st.booleans())


@given(st.lists(column, min_size=1, max_size=6))
def test_a_move_only_ever_adds(columns):
    x, other, target, way, addable = (torch.tensor(c, dtype=torch.float32) for c in zip(*columns, strict=True))
    moves = Moves(addable, target, way)
    x = x[None]
    open_ = moves.available(x)
    only_adds(x, moves.moved(x, torch.ones_like(open_)), moves)
    only_adds(x, moves.toward(x, other), moves)
    assert torch.equal(moves.moved(x, open_) != x, open_)
    assert not bool(moves.available(moves.moved(x, open_)).any())
    assert torch.equal(moves.toward(x, x), x)


def test_moves_follow_from_a_threat():
    directions = Threat(adds=("api::*",), removes=("age",)).directions(["api::exec", "age", "size"])
    moves = Moves.between(directions, low=[0.0, 18.0, 0.0], high=[1.0, 99.0, 9.0])
    assert moves.addable.tolist() == [True, True, False]
    assert moves.target[moves.addable].tolist() == [1.0, 18.0]
    assert moves.features == 3


def test_moves_do_not_follow_an_array_that_changes_later():
    target = np.ones(2, dtype=np.float32)
    moves = Moves([True, True], target, [1, 1])
    target[0] = 5.0
    assert moves.target.tolist() == [1.0, 1.0]


def test_read_only_arrays_are_taken_without_a_warning():
    x = np.zeros((2, 3))
    x.flags.writeable = False
    assert greedy(Differentiable(lambda x: 0.5 - x[:, 0]), x, 0.0, THREE).additions.tolist() == [1, 1]


def test_moves_stay_themselves_on_their_own_device():
    assert THREE.on(torch.device("cpu")) is THREE


# Victims.


def test_a_differentiable_victim_guesses_exactly_on_linear_scores():
    weight = torch.tensor([1.0, -2.0, 0.5])
    victim, x = Differentiable(lambda x: x @ weight), torch.tensor([[0.0, 0.5, 1.0]])
    assert victim.preference(x, THREE).tolist() == [[1.0, -1.0, 0.0]]


def test_a_score_that_ignores_its_input_is_guessed_to_stay():
    bias = torch.zeros(1, requires_grad=True)
    victim = Differentiable(lambda x: bias.expand(len(x)))
    assert victim.preference(torch.zeros(2, 3), THREE).tolist() == [[0.0] * 3] * 2


def test_a_column_of_scores_is_taken_as_scores():
    assert Differentiable(nn.Linear(3, 1)).score(torch.zeros(4, 3)).shape == (4,)


def test_a_black_box_takes_the_mean_change_over_the_sample_rows_that_can_move():
    sample = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    victim = BlackBox(lambda x: x[:, 0] * 4 - x[:, 1] * (1 + x[:, 0]), sample)
    # Feature 0: only the first row can move, by +4. Feature 1: -1 and -2. Feature 2: no row can move.
    assert victim.preference(torch.zeros(2, 3), THREE).tolist() == [[4.0, -1.5, 0.0]] * 2


def test_a_black_box_only_tries_what_occurs_in_benign_rows():
    tried = []

    def predict(x):
        tried.append(x.any(0))
        return -x.sum(1)

    benign = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, torch.nan]])
    victim = BlackBox(predict, torch.zeros(2, 3), benign)
    assert victim.preference(torch.zeros(1, 3), THREE).tolist() == [[0.0, -1.0, 0.0]]
    assert np.any(tried, axis=0).tolist() == [False, True, False]


def test_a_black_box_guesses_once_for_the_same_moves():
    asked = []
    victim = BlackBox(lambda x: asked.append(len(x)) or -x.sum(1), torch.zeros(1, 3))
    victim.preference(torch.zeros(1, 3), THREE)
    first = len(asked)
    victim.preference(torch.zeros(9, 3), THREE)
    assert len(asked) == first
    victim.preference(torch.zeros(1, 3), Moves.between((1, 1, 1), 0.0, 2.0))
    assert len(asked) > first


def test_every_question_has_the_same_shape():
    shapes = set()

    def score(x):
        shapes.add(tuple(x.shape))
        return 5.5 - x.sum(1)

    greedy(Differentiable(score), torch.zeros(300, 12), 0.0, Moves.between((1,) * 12, 0.0, 1.0))
    assert shapes == {(BLOCK_ROWS, 12)}


def test_blocks_cover_all_rows_within_64_megabytes():
    for features in (0, 1, 30_000, 10**6, 10**8):
        parts = blocks(1000, features)
        assert [i for p in parts for i in range(p.start, p.stop)] == list(range(1000))
        assert block_rows(features) == 1 or 4 * features * block_rows(features) <= 64 * 2**20


def test_float64_scores_are_compared_as_they_are():
    # 1 + 2**-40 is 1 in float32: rounding would lose the detection.
    victim = BlackBox(lambda x: np.full(len(x), 1 + 2**-40), torch.zeros(1, 3))
    assert greedy(victim, torch.zeros(1, 3), 1.0, THREE).additions.tolist() == [-1]


def test_infinite_scores_are_scores():
    victim = BlackBox(lambda x: np.where(x[:, 1] > 0, -np.inf, np.inf), torch.zeros(1, 3))
    attacked = greedy(victim, torch.zeros(1, 3), 0.0, THREE)
    assert attacked.additions.tolist() == [1]
    assert attacked.scores.tolist() == [-math.inf]


# Measures.


def found(*additions, name="a"):
    n = len(additions)
    return Attacked(name, torch.tensor(additions), torch.zeros(n), torch.zeros(n, 1))


def test_fewest_takes_the_least_of_what_was_found():
    assert fewest([found(3, -1, 0, -1), found(2, 7, 0, -1), found(-1, 9, 0, -1)]).tolist() == [2, 7, 0, -1]


# fmt: off
MEASURES = [
    # additions           rate    median  broken   why
    ([1, 2, 3],           1.0,    2,      False,   "all evade"),
    ([1, 9, -1, -1],      0.5,    9,      False,   "exactly half evade, at nine"),
    ([1, 9, -1, -1, -1],  0.4,    None,   True,    "fewer than half: censored, and no control"),
    ([0, 0, 5],           1.0,    5,      False,   "rows that are no victims do not count"),
    ([-1, -1],            0.0,    None,   True,    "none evades"),
    ([0, 0],              None,   None,   True,    "no victims: nothing was shown"),
    ([],                  None,   None,   True,    "no rows"),
]
# fmt: on


@pytest.mark.parametrize(("additions", "rate", "median", "broken", "why"), MEASURES, ids=[why for *_, why in MEASURES])
def test_measures(additions, rate, median, broken, why):
    attacked = found(*additions)
    assert (evasion_rate(attacked), median_additions(attacked), is_broken(attacked)) == (rate, median, broken)
    assert evasion_rate(attacked.additions) == rate


def test_evasion_rate_within_a_budget():
    assert [evasion_rate(found(1, 5, -1, 0), k) for k in (0, 1, 4, 5, None)] == [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3]


@given(st.lists(st.sampled_from((-1, 0, 1, 2, 5, 50)), min_size=1))
def test_the_security_curve_starts_clean_and_never_rises(additions):
    detected = [a != 0 for a in additions]
    curve = detection_curve(additions, detected, [0, 1, 2, 5, 10, 100, None])
    assert curve[0] == pytest.approx(sum(detected) / len(detected))
    assert curve == sorted(curve, reverse=True)
    assert curve[-1] == pytest.approx(additions.count(-1) / len(additions))


# Errors: each sentence, provoked.

ONES = Differentiable(lambda x: x.sum(1) + 1)
X = torch.zeros(2, 3)
NO_GRADIENT = Differentiable(lambda x: x.detach().sum(1))
NAN_LATER = Differentiable(lambda x: 1 - (x[:, 0] - 1).sqrt())
WIDE = Moves.between((1,) * 20, 0.0, 1.0)
ANYWHERE = Moves.between((1, 1, 1), 0.0, 1.0, step=0.0)
SPARSE = scipy.sparse.csr_matrix(np.zeros((2, 3)))
# fmt: off
ERRORS = [
    (lambda: Moves([True], [1.0, 2.0], [1]),                       "addable, target and directions have shapes"),
    (lambda: Moves([[True]], [[1.0]], [[1]]),                      "all three have shape"),
    (lambda: Moves([True, True], [1.0, 1.0], [1, 0]),              "a direction other than"),
    (lambda: Moves([True, True], [1.0, math.inf], [1, 1]),         "feature 1 has the target inf; .* finite"),
    (lambda: Moves.between((1, 1), 0.0, [1.0] * 3),                r"high has shape \(3,\); a number, or \(2,\)"),
    (lambda: Moves.between((1, 2), 0.0, 1.0),                      "directions: 2 came"),
    (lambda: BlackBox(len, torch.zeros(0, 3)),                     "sample: it has no rows; about 16 detected rows"),
    (lambda: BlackBox(len, torch.zeros(3)),                        "sample: it has shape"),
    (lambda: BlackBox(lambda x: x, X).score(X),                    r"it gave shape \(2, 3\) for 2 rows; one score per"),
    (lambda: Differentiable(lambda x: x.sum()).score(X),           r"score: it gave shape \(\) for 2 rows"),
    (lambda: greedy(NO_GRADIENT, X, -1.0, THREE),                  "it has no gradient; .* Attack it with `BlackBox`"),
    (lambda: greedy(ONES, torch.zeros(2, 4), 0.0, THREE),          r"x: it has shape \(2, 4\); rows of 3 features"),
    (lambda: greedy(ONES, X, math.nan, THREE),                     "threshold: it is NaN"),
    (lambda: greedy(ONES, X, 0.0, THREE, -1),                      "budget: -1 came; a whole number from 0 on"),
    (lambda: greedy(ONES, X, 0.0, THREE, True),                    "budget: True came"),
    (lambda: greedy(ONES, X, 0.0, THREE, candidates=0),            "candidates: 0 came; at least 1"),
    (lambda: greedy(NAN_LATER, X, -9.0, THREE),                    "row 0, as it came or with additions, has the"),
    (lambda: benign_merge(ONES, X, 0.0, THREE, torch.zeros(0, 3)), "benign: it has no rows"),
    (lambda: benign_merge(ONES, X, 0.0, THREE, torch.zeros(1, 2)), r"benign: it has shape \(1, 2\); rows of 3"),
    (lambda: exhaustive(ONES, torch.zeros(2, 20), 0.0, WIDE),      "row 0 has 1,048,576 rows to try; at most 16,384"),
    (lambda: exhaustive(ONES, X, 0.0, ANYWHERE),                   "row 0 has no end of rows to try"),
    (lambda: suite(ONES, X, 0.0, THREE, X, only="greedy"),         "only: 'greedy' came; a list of names"),
    (lambda: greedy(ONES, SPARSE, 0.0, THREE),                     "x: sparse rows came; .*toarray"),
    (lambda: fewest([]),                                           "fewest: no attack came"),
    (lambda: fewest([found(1), found(1, 2)]),                      "'a' and 'a' have other victims"),
    (lambda: fewest([found(1, 0, name="one"), found(0, 1, name="two")]), "'one' and 'two' have other victims"),
    (lambda: detection_curve([1], [True, True], [0]),              r"shapes \(1,\) and \(2,\) came"),
    (lambda: detection_curve([], [], [0]),                         r"both \(n,\), n from 1 on"),
    (lambda: detection_curve([1, 0], [True, True], [0]),           "row 1 has 0 as its fewest .* True as detected"),
]
# fmt: on


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message[:40] for _, message in ERRORS])
def test_a_mistake_gets_its_sentence(call, message):
    with pytest.raises(BadInput, match=message):
        call()


def test_the_row_of_a_nan_is_the_row_of_the_caller():
    # Rows 0 and 1 are not detected; the NaN comes up only when feature 2 of the third row is added.
    x = torch.tensor([[0.0, 0, 0], [0.0, 0, 0], [1.0, 0, 0]])
    victim = Differentiable(lambda x: torch.where((x[:, 0] > 0) & (x[:, 2] > 0), torch.nan, x[:, 0]))
    with pytest.raises(BadInput, match="score: row 2, as it came or with additions"):
        greedy(victim, x, 0.5, THREE)


def test_a_search_keeps_the_fewer_additions_and_the_lower_score():
    weight = torch.tensor([3.0, 2.0, 2.0])
    search = Search("mine", Differentiable(lambda x: 2.5 - x @ weight), torch.zeros(1, 3), 0.0, THREE)
    for row, additions in (([0.0, 1, 0], -1), ([0.0, 1, 1], 2), ([1.0, 1, 1], 2), ([1.0, 0, 0], 1), ([1.0, 1, 0], 1)):
        candidate = torch.tensor([row])
        search.offer(search.everyone(), candidate, search.ask(candidate))
        assert search.result().additions.tolist() == [additions]
    assert search.result().examples.tolist() == [[1.0, 0.0, 0.0]]
    assert search.result().scores.tolist() == [2.5 - 7.0]
