"""Every model of the zoo gets a verdict that is right: none that falls is proved, none that rises is refuted."""

from __future__ import annotations

import pytest
import torch

from isotone.certify import certify
from isotone.certify._question import asked
from isotone.verdict import Verdict

from .test_verdicts import stands
from .zoo import TABLES, ZOO

PROVED, REFUTED = Verdict.PROVED, Verdict.REFUTED
# Every twentieth model in `make test`, the others in `make test-slow`.
QUICK = 20
RISING = [name for name, case in ZOO.items() if case.monotone]
FALLING = [name for name, case in ZOO.items() if not case.monotone]


def spread(names, start=0):
    """The names as parameters, those that are not in the quick slice marked slow."""
    return [pytest.param(n, marks=() if i % QUICK == start else pytest.mark.slow) for i, n in enumerate(names)]


def made(case):
    torch.manual_seed(0)
    return case.make()


@pytest.mark.parametrize("name", spread(FALLING))
def test_what_falls_is_not_proved(name):
    """By the rules alone: a search that refutes it first would hide a rule that proves it."""
    case = ZOO[name]
    certificate = certify(made(case), case.inputs, case.directions, case.domain, budget=0)
    assert certificate.verdict is not PROVED, f"{case.story}\n{certificate}"


@pytest.mark.parametrize("name", spread(FALLING, 1))
def test_what_falls_is_refuted_by_a_pair_that_stands(name):
    case = ZOO[name]
    model = made(case)
    certificate = certify(model, case.inputs, case.directions, case.domain)
    assert certificate.verdict in case.right, f"{case.story}\n{certificate}"
    if certificate.verdict is REFUTED:
        stands(certificate.witness, model, case.directions, case.domain)


@pytest.mark.parametrize("name", spread(RISING))
def test_what_rises_is_proved_or_left_open(name):
    case = ZOO[name]
    model = made(case)
    certificate = certify(model, case.inputs, case.directions, case.domain, budget=150)
    assert certificate.verdict in case.right, f"{case.story}\n{certificate}"
    assert largest_drop(model, case) <= 0, f"{case.story}: it falls after all"


def largest_drop(model, case, rounds=40):
    """How far any score falls at most over random ordered pairs, beyond rounding."""
    question = asked(case.inputs, case.directions, case.domain)
    random = torch.Generator().manual_seed(7)
    worst = 0.0
    for k in range(rounds):
        boxes = zip(question.inputs, question.directions, question.low, question.high, strict=True)
        pair = [ordered(*parts, random, k) for parts in boxes]
        with torch.no_grad():
            before, after = (flat(model(*(p[side].clone() for p in pair))) for side in (0, 1))
        slack = 1e-5 if any(x.dtype is torch.float32 for x in question.inputs) else 1e-12
        slack = 0.02 if any(x.dtype is torch.bfloat16 for x in question.inputs) else slack
        worst = max(worst, float((before - after - slack * (1 + before.abs())).max()))
    return worst


def ordered(example, way, low, high, random, k):  # noqa: PLR0917 (a box, and how to draw from it)
    """Two inputs in the domain, the second above the first along the directions; every third time in one element."""

    def drawn():
        u = torch.rand(example.shape, generator=random, dtype=torch.float64)
        reach = (1.0, 3.0, 10.0, 0.1)[k % 4]
        least = torch.where(low.isinf(), torch.minimum(high, torch.full_like(high, reach)) - 2 * reach, low)
        most = torch.where(high.isinf(), torch.maximum(low, torch.full_like(low, -reach)) + 2 * reach, high)
        if not example.dtype.is_floating_point and bool((way == 0).all()) and bool(low.isinf().any()):
            return example.double()
        x = least + (most - least) * torch.where(u < 0.1, 0.0, torch.where(u > 0.9, 1.0, u))
        x = x if example.dtype.is_floating_point else x.round()
        return torch.minimum(torch.maximum(x, low), high)

    a, b = drawn(), drawn()
    first, second = torch.minimum(a, b), torch.maximum(a, b)
    one = torch.zeros_like(way, dtype=torch.bool)
    one.view(-1)[int(torch.randint(one.numel(), (), generator=random))] = True
    still = (way == 0) | (one.logical_not() if k % 3 == 0 else torch.zeros_like(one))
    lower = torch.where(still, a, torch.where(way > 0, first, second))
    upper = torch.where(still, a, torch.where(way > 0, second, first))
    return [inside(x, example, low, high) for x in (lower, upper)]


def inside(x, example, low, high):
    """In the dtype of the example: rounding keeps the order, and what it pushed over an end steps back."""
    y = x.to(example.dtype)
    if not example.is_floating_point():
        return y
    y = torch.where(y.double() < low, torch.nextafter(y, torch.full_like(y, torch.inf)), y)
    return torch.where(y.double() > high, torch.nextafter(y, torch.full_like(y, -torch.inf)), y)


def flat(output):
    return torch.cat([t.double().flatten() for t in torch.utils._pytree.tree_leaves(output)])


def test_the_zoo_is_large_and_every_model_has_a_story():
    assert len(FALLING) >= 100
    assert len(RISING) >= 100
    assert all(case.story and case.right for case in ZOO.values())
    assert len(ZOO) == sum(len(table.MODELS) for table in TABLES)


def test_the_fuzz_sees_what_falls():
    """The tester tested: random pairs alone show most of the models that fall."""
    sure = [name for name in FALLING if ZOO[name].right == {REFUTED}][::4]
    assert sum(map(drops, sure)) > len(sure) / 2


def drops(name):
    try:
        return not largest_drop(made(ZOO[name]), ZOO[name], 20) <= 0
    except Exception:
        return False
