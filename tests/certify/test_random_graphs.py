"""Random graphs of all operators that have a rule: what is claimed of them is what is seen.

`make test` takes a slice; `make test-slow` takes 100,000 graphs through the rules alone and 2,000 through `certify`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from isotone.certify import certify
from isotone.certify._facts import Fact
from isotone.certify._question import asked
from isotone.certify._search import Search
from isotone.certify.rules import RULES
from isotone.verdict import Verdict

from .random_graphs import NAMES, Graph, Net, falls, stays

CHUNK = 500


def kept(seeds):
    """All claims of the rules on the graphs of these seeds hold on every pair that was drawn; what was counted."""
    counts = Counter()
    for seed in seeds:
        graph = Graph(seed)
        assert not (fault := graph.broken()), f"seed {seed}: {fault}"
        counts["graphs"] += 1
        counts["proved"] += graph.proved
        counts.update({step.name for step in graph.steps if step is not None})
    return counts


def test_the_claims_of_random_graphs_hold():
    counts = kept(range(150))
    assert counts["proved"] > 30, "hardly any graph ends with a value that moves and is said never to fall"


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(100_000 // CHUNK))
def test_the_claims_of_a_hundred_thousand_random_graphs_hold(chunk):
    counts = kept(range(CHUNK * chunk, CHUNK * (chunk + 1)))
    assert counts["proved"] > CHUNK // 20


def test_every_operator_with_a_case_takes_part():
    used = {step.name for seed in range(400) for step in Graph(seed, pairs=1).steps if step is not None}
    assert len(used) > 0.9 * len(NAMES), sorted(set(NAMES) - used)


def forgetful(site, x):
    """A negation that forgets to turn its bits."""
    return replace(x, lo=-x.hi, hi=-x.lo)


def narrow(site, x):
    """A sigmoid that is said to stay below 0.9."""
    found = RULES["aten.hardsigmoid.default"](site, x)
    return Fact(found.lo.clamp(max=0.9), found.hi.clamp(max=0.9), found.up, found.dn)


@pytest.mark.parametrize(("name", "lie"), [("aten.neg.default", forgetful), ("aten.sigmoid.default", narrow)])
def test_a_rule_that_lies_is_seen_in_random_graphs(monkeypatch, name, lie):
    monkeypatch.setitem(RULES, name, lie)
    monkeypatch.setattr(
        "certify.random_graphs.NAMES", [name, "aten.add.Tensor", "aten.mul.Scalar", "aten.relu.default"]
    )
    assert any(Graph(seed).broken() for seed in range(60))


def judged(seed):
    """The verdict on a random graph; a proof survives sampling and a larger search, a refutation a disturbance."""
    net = Net(Graph(seed, pairs=1, one_way=True))
    inputs, ways, domain = net.question()
    certificate = certify(net, inputs, ways, domain, budget=150)
    if certificate.verdict is Verdict.PROVED:
        assert not falls(net, 60), f"seed {seed} is proved and falls\n{certificate}"
        found = Search(net, asked(inputs, ways, domain), seed, 1e-9, lambda: None).look(300)
        assert found is None or not stands(net, found), f"seed {seed} is proved and a search refutes it\n{found}"
    elif certificate.verdict is Verdict.REFUTED and not stands(net, certificate.witness):
        # Such as floor(x / x): it is 1, and a disturbance makes it 0. Few graphs are so.
        return "refuted at a jump that a disturbance moves"
    return certificate.verdict


def stands(net, witness):
    """Whether the score falls by far more than a disturbance of all steps changes it, or is no number.

    A pair may end exactly where the graph jumps, with which a disturbance does away: then one a little further apart,
    or another one, must fall.
    """
    if witness.before != witness.before or witness.after != witness.after:
        return True
    pairs = [(witness.lower, witness.upper), further_apart(net, witness)]
    return any(stays(*map(list, p), net.graph, torch.Generator().manual_seed(0)) for p in pairs) or falls(net, 300)


def further_apart(net, witness):
    """The same pair, its ends moved outwards by a millionth where they differ, inside the domain."""
    question = asked(*net.question())
    boxes = zip(witness.lower, witness.upper, question.low, question.high, strict=True)
    ends = [(a, b, (b - a).sign() * 1e-6 * (1 + a.abs()), low, high) for a, b, low, high in boxes]
    return (
        tuple(
            (a - step).clamp(low, high).to(a.dtype) if a.is_floating_point() else a for a, _, step, low, high in ends
        ),
        tuple(
            (b + step).clamp(low, high).to(b.dtype) if b.is_floating_point() else b for _, b, step, low, high in ends
        ),
    )


def test_random_graphs_are_judged_rightly():
    verdicts = Counter(judged(seed) for seed in range(8))
    assert len(verdicts) > 1
    assert verdicts["refuted at a jump that a disturbance moves"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(40))
def test_two_thousand_random_graphs_are_judged_rightly(chunk):
    verdicts = Counter(judged(seed) for seed in range(50 * chunk, 50 * (chunk + 1)))
    assert verdicts["refuted at a jump that a disturbance moves"] <= 2, verdicts
