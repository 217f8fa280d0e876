"""No impostor is proved, and none is changed by being judged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from isotone.certify import certify
from isotone.certify._state import digest
from isotone.verdict import Verdict

from .impostors import IMPOSTORS, BufferCounter, ClampInForward, CounterInDict, CounterInObject, SlowCounter

X = torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])


@pytest.mark.parametrize("impostor", IMPOSTORS, ids=lambda c: c.__name__)
def test_an_impostor_is_not_proved(impostor):
    judged(impostor, (0.0, 1.0))


# With the search on, a wrong PROVED would show as well: rules speak first. So this is for `make test-slow`.
@pytest.mark.slow
@pytest.mark.parametrize("impostor", IMPOSTORS, ids=lambda c: c.__name__)
def test_without_a_search_no_impostor_is_proved(impostor):
    judged(impostor, (0.0, 1.0), budget=0)


@pytest.mark.slow
@pytest.mark.parametrize("impostor", IMPOSTORS, ids=lambda c: c.__name__)
def test_an_impostor_is_not_proved_without_a_domain(impostor):
    judged(impostor, None)


def judged(impostor, domain, budget=150):
    torch.manual_seed(0)
    certificate = certify(impostor(), X, +1, domain, budget=budget, seconds=2)
    assert certificate.verdict is not Verdict.PROVED, certificate


@pytest.mark.parametrize("make", [BufferCounter, ClampInForward, lambda: nn.BatchNorm1d(3)])
def test_judging_leaves_the_model_as_it_was(make):
    model, example = make(), X.clone()
    before = digest(model)
    certify(model, example, +1, budget=100)
    assert digest(model) == before
    assert torch.equal(example, X)
    assert model.training


@pytest.mark.parametrize("impostor", [SlowCounter, CounterInDict, CounterInObject], ids=lambda c: c.__name__)
def test_what_counts_its_calls_is_not_refuted_by_them(impostor):
    """A pair that falls after a hundred calls does not fall in a fresh process."""
    assert certify(impostor(), X, +1, (0.0, 1.0), budget=400).verdict is Verdict.UNKNOWN
