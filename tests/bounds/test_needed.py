"""Certified beside empirical: the same rows, and a contradiction is never averaged away."""

from __future__ import annotations

import pytest
import torch

from isotone.bounds import UNLIMITED, Contradiction, Needed, beside, certified_curve, either
from isotone.errors import BadInput

BUDGETS = [0, 1, 2, 5, None]


def test_certified_and_empirical_meet_where_proof_and_finding_do():
    proof, found = [1, 3, UNLIMITED, 0], [1, 3, -1, 0]
    assert [row["open"] for row in beside(proof, found, BUDGETS)] == [0.0] * 5
    assert certified_curve(proof, BUDGETS) == [0.75, 0.5, 0.5, 0.25, 0.25]


def test_what_lies_between_is_open():
    rows = beside(Needed(torch.tensor([2, 1])), [5, -1], BUDGETS)
    assert [row["certified"] for row in rows] == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert [row["empirical"] for row in rows] == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert [row["open"] for row in rows] == [0.0, 0.5, 1.0, 0.5, 0.5]
    assert [row["budget"] for row in rows] == BUDGETS


WRONG = [
    # proof, finding, error, message, why
    (
        [3],
        [2],
        Contradiction,
        "row 0: certified that fewer than 3 additions cannot evade, and an attack needed 2",
        "few",
    ),
    ([1, UNLIMITED], [-1, 9], Contradiction, "row 1: certified that no number of additions cannot evade", "no limit"),
    ([0], [-1], BadInput, "row 0 is detected for one and not for the other", "other victims"),
    ([1, 1], [1], BadInput, "shapes", "other rows"),
    ([], [], BadInput, "shapes", "no rows"),
]


@pytest.mark.parametrize(("proof", "found", "error", "message", "why"), WRONG, ids=[why for *_, why in WRONG])
def test_what_cannot_be(proof, found, error, message, why):
    with pytest.raises(error, match=message):
        beside(torch.tensor(proof, dtype=torch.int64), torch.tensor(found, dtype=torch.int64), BUDGETS)


def test_a_curve_without_rows_is_refused():
    with pytest.raises(BadInput, match="certified_curve"):
        certified_curve(torch.zeros(0), BUDGETS)


def test_two_lanes_must_both_be_brought_down():
    free, floor = Needed(torch.tensor([3, 0, 1, 0]), "a part has no rule"), Needed(torch.tensor([0, 2, UNLIMITED, 0]))
    both = either(free, floor)
    assert both.needed.tolist() == [3, 2, UNLIMITED, 0]
    assert both.why_not == "a part has no rule"
    with pytest.raises(BadInput, match="the same rows"):
        either(free, Needed(torch.tensor([1])))
