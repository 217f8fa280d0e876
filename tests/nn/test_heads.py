"""Several outputs, each of which moves along the directions: ordered classes, quantiles, bounds, a row of directions each."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import isotone
from isotone.errors import BadInput, NoMatch
from isotone.nn import Bounded, CumulativeLink, MonotoneMLP, PerOutput, Quantiles, head
from isotone.verdict import Verdict

from .cases import shake


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@settings(max_examples=60, deadline=None)
@given(
    raw=st.lists(st.floats(-30, 30), min_size=1, max_size=6),
    logits=st.lists(st.floats(-40, 40), min_size=1, max_size=6),
)
def test_thresholds_are_in_order_and_probabilities_are_those_of_the_differences(raw, logits):
    link = CumulativeLink(len(raw) + 1).double()
    with torch.no_grad():
        link.first.copy_(torch.tensor(raw[:1]))
        link.gaps.copy_(torch.tensor(raw[1:]))
    x = torch.tensor(logits, dtype=torch.float64)
    above = link(x).sigmoid().detach()
    assert bool((link.thresholds.diff() >= 0).all())
    assert bool((above.diff(dim=1) <= 0).all())
    one, zero = torch.ones(len(x), 1), torch.zeros(len(x), 1)
    plain = torch.cat([one, above], 1) - torch.cat([above, zero], 1)
    torch.testing.assert_close(link.probabilities(x).detach(), plain, rtol=1e-4, atol=1e-6)


def test_a_link_starts_at_the_shares_it_is_given():
    link = CumulativeLink(4)
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    link.start_(shares)
    torch.testing.assert_close(link.probabilities(torch.zeros(1))[0].detach(), shares)


def test_a_link_learns_ordered_classes():
    x = torch.randn(500)
    y = torch.bucketize(x + 0.1 * torch.randn(500), torch.tensor([-1.0, 0.0, 0.3]))
    link, scale = CumulativeLink(4), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([*link.parameters(), scale], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        link.loss(scale * x, y).mean().backward()
        optimizer.step()
    found = (link.thresholds / scale).detach()
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 0.3]), rtol=0, atol=0.1)
    assert float((link.probabilities(scale * x).argmax(1) == y).double().mean()) > 0.9


def test_the_likelihood_far_out_is_finite_and_so_is_its_gradient():
    link, logit = CumulativeLink(3), torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = link.loss(logit, torch.tensor([2, 0])).sum()
    loss.backward()
    assert loss.isfinite()
    assert bool(logit.grad.isfinite().all())


def test_the_probability_of_a_middle_class_is_refuted_and_no_one_said_otherwise():
    class Middle(nn.Module):
        def __init__(self):
            super().__init__()
            self.link = CumulativeLink(3)

        def forward(self, x):
            return self.link.probabilities(x)[:, 1:2]

    assert isotone.certify(Middle(), torch.zeros(2, 1), +1).verdict is Verdict.REFUTED


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), st.lists(st.floats(0, 1e6, width=32), min_size=3, max_size=3))  # fmt: skip
def test_quantiles_never_cross_and_each_rises_with_every_output(low, more):
    quantiles = Quantiles((0.1, 0.5, 0.9))
    a = torch.tensor([low])
    b = torch.maximum(a, a + torch.tensor([more]))
    assert bool((quantiles(a).diff() >= 0).all())
    assert bool((quantiles(b) >= quantiles(a)).all())


def test_quantiles_learn_their_levels():
    levels, y = (0.1, 0.5, 0.9), torch.randn(4000)
    quantiles, raw = Quantiles(levels), nn.Parameter(torch.zeros(1, 3))
    with torch.no_grad():
        raw.add_(torch.tensor([[0.3, -0.2, 0.1]]))  # not in order
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        quantiles.loss(quantiles(raw).expand(len(y), 3), y).mean().backward()
        optimizer.step()
    found = (y[:, None] <= quantiles(raw).detach()).double().mean(0)
    torch.testing.assert_close(found, torch.tensor(levels, dtype=torch.float64), rtol=0, atol=0.02)


# fmt: off
BOUNDS = [
    # low          high         why
    (0.0,          1.0,         "both"),
    (-3.7,         0.7,         "numbers that are no floats"),
    (0.7,          math.inf,    "below"),
    (-math.inf,    0.3,         "above"),
    (1e6,          1e6 + 1.0,   "a range that is narrow where it is"),
]
# fmt: on


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("low", "high", "why"), BOUNDS, ids=[why for *_, why in BOUNDS])
def test_outputs_stay_within_their_bounds_and_rise(low, high, why, dtype):
    if dtype is torch.bfloat16 and low == 1e6:
        pytest.skip("bfloat16 has no number between them")
    out = Bounded(low, high)(torch.linspace(-200, 200, 4001, dtype=torch.float64).to(dtype)).double()
    assert bool(((out >= low) & (out <= high)).all())
    assert bool((out.diff() >= -1e-6).all())


def test_without_bounds_nothing_changes():
    x = torch.randn(5)
    assert torch.equal(Bounded()(x), x)


ROWS = [(1, -1, 0), (1, 1, -1), (1, -1, 0), (0, 0, 1)]


def test_outputs_of_the_same_directions_share_a_network_and_keep_their_places():
    net = PerOutput(3, (8,), ROWS)
    assert [network.layers[-1].out_features for network in net.networks] == [2, 1, 1]
    x = torch.randn(4, 3)
    right = torch.stack([net.networks[0](x)[:, 0], net.networks[1](x)[:, 0], net.networks[0](x)[:, 1], net.networks[2](x)[:, 0]], 1)  # fmt: skip
    assert torch.equal(net(x), right)


def test_every_output_is_proved_along_its_own_row_and_not_along_another():
    net = shake(PerOutput(3, (8,), torch.tensor(ROWS))).eval()
    certificate = isotone.certify(net, torch.randn(2, 3), dict(enumerate(ROWS)), budget=100)
    assert certificate.verdict is Verdict.PROVED, str(certificate)
    assert isotone.certify(net, torch.randn(2, 3), {1: ROWS[0]}, budget=400).verdict is Verdict.REFUTED


def test_several_labels_are_so_many_logits():
    net = nn.Sequential(MonotoneMLP(3, (8,), +1, 5), head("multilabel"), nn.Sigmoid()).eval()
    assert isotone.certify(net, torch.randn(2, 3), +1).verdict is Verdict.PROVED


# fmt: off
REFUSED = [
    # what is made                                      the error   what it says
    (lambda: head("softmax"),                           BadInput,   r"head: 'softmax' came, which is not monotone: a logit that rises lowers the other classes.*'ordinal' is right"),
    (lambda: head("ordnial"),                           NoMatch,    r"head: 'ordnial' matches no head. Did you mean 'ordinal'\?"),
    (lambda: CumulativeLink(1),                         BadInput,   r"CumulativeLink: classes=1 came; 2 or more are right"),
    (lambda: CumulativeLink(3).start_(torch.ones(2)),   BadInput,   r"start_: 2 shares came; 3 above 0 are right"),
    (lambda: Quantiles((0.5, 0.1)),                     BadInput,   r"Quantiles: levels=\(0.5, 0.1\) came; ascending numbers between 0 and 1"),
    (lambda: Quantiles((0.5,))(torch.zeros(1, 2)),      BadInput,   r"Quantiles: 2 outputs came; one per level, 1, is right"),
    (lambda: Bounded(1.0, 1.0),                         BadInput,   r"Bounded: low=1.0 and high=1.0 came; low below high is right"),
    (lambda: Bounded(math.nan, 1.0),                    BadInput,   r"Bounded: low=nan"),
    (lambda: PerOutput(3, (8,)),                        BadInput,   r"PerOutput: no directions came"),
    (lambda: PerOutput(3, (8,), [(1, 1)]),              BadInput,   r"directions: 2 came for 3 features"),
]
# fmt: on


@pytest.mark.parametrize(("make", "error", "said"), REFUSED)
def test_what_makes_no_head_is_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_a_softmax_is_refuted_by_the_certifier_too():
    net = nn.Sequential(MonotoneMLP(2, (8,), +1, 3), nn.Softmax(1)).eval()
    assert isotone.certify(net, torch.randn(2, 2), +1).verdict is Verdict.REFUTED
