"""No impostor is proved, and none is changed by being judged."""

from __future__ import annotations

import sys

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


# fmt: off
ASKS = [
    # asks                                     why
    (lambda x: torch.is_grad_enabled(),        "whether there are gradients, which are off while it is judged"),
    (lambda x: torch.is_inference_mode_enabled(), "for the mode in which detectors are served"),
    (lambda x: torch.is_autocast_enabled("cpu"), "for mixed precision"),
    (lambda x: torch.get_default_dtype() is torch.float64, "for a setting of the process"),
    (lambda x: torch.compiler.is_exporting() and False, "whether it is exported"),
    (lambda x: torch.jit.is_tracing(),         "whether it is traced otherwise"),
    (lambda x: x.requires_grad,                "whether an attack by gradient looks on"),
    (lambda x: x.grad_fn is not None,          "where its input comes from"),
    (lambda x: not x.is_contiguous(),          "how its input lies in memory"),
]
# fmt: on


@pytest.mark.parametrize(("ask", "why"), ASKS, ids=[why for _, why in ASKS])
def test_what_asks_how_it_is_called_is_not_proved(ask, why):
    class Asks(nn.Module):
        def forward(self, x):
            return -x if ask(x) else x

    certificate = certify(Asks(), X, +1, (0.0, 1.0), budget=0, seconds=0)
    assert certificate.verdict is Verdict.UNKNOWN
    assert "how it is called" in certificate.reason


def test_that_pytorch_itself_asks_how_it_is_called_stops_no_proof():
    class Quiet(nn.Module):
        def forward(self, x):
            with torch.no_grad():  # asks whether gradients are on, to put that back
                return x * 2

    assert certify(Quiet(), X, +1, budget=0, seconds=0).verdict is Verdict.PROVED


def test_under_a_profiler_nothing_is_proved_and_the_profiler_stays():
    def profiler(*_):
        return None

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        certificate, after = certify(nn.Identity(), X, +1, budget=0), sys.getprofile()
    finally:
        sys.setprofile(before)
    assert certificate.verdict is Verdict.UNKNOWN
    assert "profiler" in certificate.reason
    assert after is profiler


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
