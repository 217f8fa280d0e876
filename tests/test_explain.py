"""Reasons add up to at most the whole, and what is said to suffice does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isotone.attack import Moves, scores
from isotone.experiment import dense, judge
from isotone.explain import MOST_REASONS, explain
from isotone.families import NetworkVictim
from small import SETTINGS, WORLDS, family, prepared


def alarms(world: str, most: int = 6):
    found = prepared(world)
    scorer = family().fit(found.material, SETTINGS[0], seed=0)
    judged = judge(scorer, found)
    logits = scorer.logits(found.test.examples)
    rows = np.flatnonzero(logits > judged.threshold)[:most]
    assert len(rows)
    return found, NetworkVictim(scorer.network), judged.threshold, torch.from_numpy(dense(found.test, rows))


def with_only(row: torch.Tensor, kept, explained: torch.Tensor) -> torch.Tensor:
    bare = torch.where(explained, 0.0, row)
    bare[list(kept)] = row[list(kept)]
    return bare


@pytest.mark.parametrize("world", WORLDS)
def test_the_sufficient_set_suffices_whatever_else_is_there_and_is_minimal(world):
    found, victim, threshold, rows = alarms(world)
    generator = torch.Generator().manual_seed(0)
    raised = (found.moves.directions > 0) & found.moves.addable
    for row in rows:
        why = explain(victim, row, found.moves, threshold)
        explained = raised & (row > 0)
        bare = with_only(row, why.sufficient, explained)
        more = torch.rand(64, len(row), generator=generator) < torch.rand(64, 1, generator=generator)
        supersets = torch.where(more & raised, torch.maximum(bare, found.moves.target), bare)
        assert bool((scores(victim, torch.cat([bare[None], supersets])) > threshold).all())
        for feature in why.sufficient:
            less = with_only(row, set(why.sufficient) - {feature}, explained)
            assert not float(scores(victim, less[None])[0]) > threshold


@pytest.mark.parametrize("world", WORLDS)
def test_reasons_are_present_features_whose_shares_are_positive_and_sum_to_at_most_1(world):
    found, victim, threshold, rows = alarms(world)
    for row in rows:
        why = explain(victim, row, found.moves, threshold)
        assert why.score == float(scores(victim, row[None])[0])
        assert 0 < len(why.reasons) <= MOST_REASONS
        assert all(share > 0 for _, share in why.reasons)
        assert sum(share for _, share in why.reasons) <= 1 + 1e-9
        assert len({at for at, _ in why.reasons}) == len(why.reasons)
        assert all(row[at] > 0 and found.moves.directions[at] > 0 for at, _ in why.reasons)


def test_a_row_below_the_threshold_has_no_sufficient_set():
    found, victim, _, rows = alarms("names only")
    assert explain(victim, rows[0], found.moves, 1e9).sufficient == ()


class Sum:
    """A score that everyone can check: the sum of the entries."""

    def score(self, x):
        return x.sum(1)

    def preference(self, x, moves):
        return torch.zeros_like(x)


def test_a_sum_is_explained_as_by_hand():
    row = torch.tensor([5.0, 0.0, 3.0, 2.0])
    moves = Moves.between((1, 1, 1, 0), 0.0, 5.0)
    why = explain(Sum(), row, moves, threshold=6.5)
    assert why.score == 10.0
    assert why.reasons == ((0, 5 / 8), (2, 3 / 8))  # the free feature is no reason
    assert why.sufficient == (0,)  # 5 and the free 2 make 7
    assert explain(Sum(), row, moves, threshold=8.0).sufficient == (0, 2)
    assert explain(Sum(), row, moves, threshold=1.0).sufficient == ()  # the free feature is enough
