"""A weight turned round in a proved network: no flip that breaks it is proved. All 1,000 are in `make test-slow`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from isotone.certify import certify
from isotone.verdict import Verdict

FILE = Path(__file__).parents[2] / "benchmarks" / "mutation.py"


@pytest.fixture(scope="module")
def mutation():
    spec = importlib.util.spec_from_file_location("mutation", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_what_is_mutated_is_proved_before(mutation):
    for make, domain in mutation.NETWORKS.values():
        net = mutation.positive(make())
        assert certify(net, torch.full((2, 4), 0.5), +1, domain, budget=0).verdict is Verdict.PROVED
        assert mutation.largest_drop(net, domain, 0) <= 1e-12


def test_the_independent_search_finds_what_is_known_to_fall(mutation):
    net = nn.Sequential(nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 1))
    assert mutation.largest_drop(mutation.positive(net), None, 0) > 1e-3
    dip = nn.Linear(4, 1)
    with torch.no_grad():
        dip.weight.copy_(torch.tensor([[1.0, 1.0, -1e-5, 1.0]]))
    assert mutation.largest_drop(dip, (0.0, 1.0), 0) > 9e-6


def held(mutation, count, seed):
    found = list(mutation.flips(count, seed))
    counts = mutation.counted(found)
    broken = [f for f in found if f.drop > mutation.DROP]
    assert broken
    assert counts["broken", "PROVED"] == 0, [f for f in broken if f.verdict is Verdict.PROVED]
    assert all(f.verified for f in found if f.verdict is Verdict.REFUTED)
    return counts["broken", "REFUTED"] / len(broken)


def test_no_broken_flip_is_proved(mutation):
    held(mutation, 8, seed=1)


@pytest.mark.slow
def test_a_thousand_flips(mutation):
    assert held(mutation, 1000, seed=0) >= 0.95
