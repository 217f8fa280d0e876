"""Relational steps: what they prove, what they must not, and a fuzz of each against ordered pairs."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from isotone.certify._capture import capture
from isotone.certify._facts import Fact, fact
from isotone.certify._walk import walk
from isotone.certify.relations import RELATIONS, Relation, _one_value, met

from .models import Formula

ALL, UNIT, RIGHT = (-float("inf"), float("inf")), (0.0, 1.0), (0.0, float("inf"))
KNOTS, VALUES = torch.tensor([0.0, 0.25, 1.0, 2.0]), torch.tensor([-1.0, 0.5, 0.5, 3.0])
TABLE_KNOTS, TABLE = torch.stack([KNOTS, KNOTS + 1, KNOTS * 2]), torch.stack([VALUES, VALUES * 2, VALUES - 1])
FIRST = torch.tensor([True, False, False])


def calibrated(x, knots=KNOTS, values=VALUES):
    i = torch.bucketize(x, knots).clamp(1, len(knots) - 1)
    left, right = knots[i - 1], knots[i]
    return values[i - 1] + (x - left) / (right - left) * (values[i] - values[i - 1])


def by_lerp(x, values=VALUES):
    x = x.clamp(0.0, 2.0)
    i = torch.bucketize(x, KNOTS, right=True).clamp(1, 3)
    return torch.lerp(values[i - 1], values[i], (x - KNOTS[i - 1]) / (KNOTS[i] - KNOTS[i - 1]))


def by_feature(x, values=TABLE):
    t = x.t().contiguous()
    i = torch.searchsorted(TABLE_KNOTS, t).clamp(1, 3)
    k0, k1 = TABLE_KNOTS.gather(1, i - 1), TABLE_KNOTS.gather(1, i)
    v0, v1 = values.gather(1, i - 1), values.gather(1, i)
    return v0 + (v1 - v0) * ((t - k0) / (k1 - k0))


def steps(x, values=VALUES):
    return x * 0.5 + values[torch.bucketize(x, KNOTS).clamp(0, 3)]


def jumping(x, up=True):
    i = torch.bucketize(x, KNOTS[1:3])
    return torch.tensor([1.0, 1.0, 3.0])[i] * x + torch.tensor([0.0, 1.0, -1.0 if up else -2.5])[i]


def shifted(x):
    m = x.amax(1, keepdim=True)
    return m.squeeze(1) + (x - m).exp().sum(1).log()


def shifted_elsewhere(x):
    m = x.amax(1, keepdim=True)
    return m.squeeze(1) * 0.5 + (x - m).exp().sum(1).log()


def lattice(x, a, b):
    return a + (b - a) * x


def weighed(t, p, q):
    return p * (1 - t) + (q + 1) * t


# fmt: off
PROVED = [
    # model                                                             box      why
    (lambda x: x - torch.relu(x),                                       ALL,     "x - relu(x) is min(x, 0)"),
    (lambda x: x - x.clamp(-1, 1),                                      ALL,     "x - clamp(x) is a soft shrinkage"),
    (lambda x: x - torch.minimum(x, torch.ones(3)),                     ALL,     "x - min(x, c) is max(x - c, 0)"),
    (lambda x: x - x.clamp(max=0.0),                                    ALL,     "x - min(x, 0) is relu"),
    (F.tanhshrink,                                                      ALL,     "tanh is no steeper than x"),
    (lambda x: x + F.gelu(x),                                           ALL,     "gelu falls by less than x rises"),
    (lambda x: x + F.silu(x),                                           ALL,     "silu falls by less than x rises"),
    (lambda x: x + 0.9 * torch.sin(x),                                  ALL,     "a wave lower than the slope under it"),
    (lambda x: x - torch.sigmoid(x) * 4,                                ALL,     "a sigmoid has slopes up to 1/4"),
    (lambda x: x - torch.tanh(2 * x) / 2,                               ALL,     "a scale inside and one outside"),
    (lambda x: F.elu(x) - torch.minimum(x, torch.zeros(3)) * 0,         ALL,     "nothing is taken away"),
    (lambda x: F.softplus(x + 1) - F.softplus(x),                       ALL,     "softplus is convex"),
    (lambda x: torch.relu(x) - torch.relu(x - 2),                       ALL,     "a ramp"),
    (lambda x: torch.exp(x + 0.5) - torch.exp(x),                       ALL,     "exp is convex"),
    (lambda x: F.logsigmoid(x) - F.logsigmoid(x + 1),                   ALL,     "log-sigmoid is concave"),
    (lambda x: torch.log(x + 0.5) - torch.log(x + 2.0),                 RIGHT,   "log is concave"),
    (lambda x: x / (x + 2),                                             RIGHT,   "a share rises with its own part"),
    (F.softsign,                                                        ALL,     "softsign rises everywhere"),
    (lambda x: x / (3 + x.abs()),                                       ALL,     "softsign with another constant"),
    (lambda x: torch.lerp(x[:, 0], x[:, 1] + 1, x[:, 2]),               UNIT,    "an interpolation from a lower value to a higher one"),
    (lambda x: lattice(x[:, 0], x[:, 1], x[:, 2] + 1),                  UNIT,    "the same written out"),
    (lambda x: weighed(*x.unbind(1)),                                   UNIT,    "the same, each value weighed"),
    (lambda x: x * torch.sigmoid(1.702 * x),                            (-0.5, 9.0), "a gate right of its turning point"),
    (lambda x: x * (x > 0),                                             ALL,     "a relu by a gate"),
    (lambda x: x * (x > 1).float(),                                     ALL,     "a gate that opens at 1"),
    (lambda x: torch.where(x > 0, x, 0.1 * x),                          ALL,     "a leaky relu by hand"),
    (lambda x: torch.where(x <= 0, torch.expm1(x), x),                 ALL,     "an elu by hand"),
    (lambda x: torch.where(x < 1, x, 2 * x),                            ALL,     "a jump upwards"),
    (lambda x: x.masked_fill(x > 2, 2.0),                               ALL,     "a cap"),
    (calibrated,                                                        ALL,     "a piecewise-linear calibrator"),
    (by_lerp,                                                           ALL,     "a calibrator by lerp on a clamped value"),
    (by_feature,                                                        ALL,     "calibrators by feature"),
    (jumping,                                                           ALL,     "pieces that jump upwards"),
    (shifted,                                                           ALL,     "a log-sum-exp shifted by its largest"),
    (lambda x: x.masked_fill(FIRST, -float("inf")).amax(1),             ALL,     "a maximum behind a mask"),
    (lambda x: x.masked_fill(FIRST, -float("inf")).logsumexp(1),        ALL,     "a log-sum-exp behind a mask"),
    (lambda x: torch.where(~FIRST, x, -float("inf")).amax(1),           ALL,     "a mask of what is kept"),
    (lambda x: (x[:, :1] + x.masked_fill(FIRST, -float("inf")).softmax(1) @ torch.zeros(3, 1)), ALL, "shares that are not read"),
    (lambda x: torch.cat([x, x + 1], 1).masked_fill(torch.cat([x < 0.5, x < -9], 1), -float("inf")).amax(1), UNIT, "a mask that opens as x rises"),
    (lambda x: x.prod(1) + x.cumprod(1).sum(1) + x.square()[:, 0] * x[:, 1], RIGHT, "products of factors that are not negative"),
]
NOT = [
    (lambda x: x - 1.01 * torch.relu(x),                                ALL,     "steeper than x"),
    (lambda x: x - torch.relu(x.flip(1)),                               ALL,     "another element"),
    (lambda x: x - torch.relu(x * 1.5),                                 ALL,     "a scale inside"),
    (lambda x: x + 10 * F.gelu(x),                                      ALL,     "gelu falls faster than x rises"),
    (lambda x: x - 4.1 * torch.sigmoid(x),                              ALL,     "steeper than 1 at 0"),
    (lambda x: x + 1.1 * torch.sin(x),                                  ALL,     "a wave steeper than x"),
    (lambda x: x - torch.minimum(x, x.flip(1)),                         ALL,     "the other operand moves too"),
    (lambda x: F.softplus(x) - F.softplus(x + 1),                       ALL,     "the shift has the other sign"),
    (lambda x: F.softplus(x + 1) - F.softplus(x.flip(1)),               ALL,     "softplus of another element"),
    (lambda x: torch.log(x + 2.0) - torch.log(x + 0.5),                 RIGHT,   "a concave difference falls"),
    (lambda x: F.softplus(x + 1, threshold=3.0) - F.softplus(x, threshold=3.0), ALL, "a softplus that drops at 3"),
    (lambda x: x / (x - 2),                                             (3.0, 9.0), "the constant is negative"),
    (lambda x: x / (x + x.flip(1) + 1),                                 RIGHT,   "what is divided by is not the share's own whole"),
    (lambda x: torch.lerp(x[:, 0] + 1, x[:, 1], x[:, 2]),               UNIT,    "the interpolation goes down"),
    (lambda x: lattice(2 * x[:, 0], x[:, 1], x[:, 2] + 1),              UNIT,    "t leaves [0, 1]"),
    (lambda x: x[:, 1] + (x[:, 2] - x[:, 0]) * x[:, 0],                 UNIT,    "another base"),
    (lambda x: x * torch.sigmoid(x),                                    (-3.0, 9.0), "silu falls left of its turning point"),
    (lambda x: x * (x > -1),                                            ALL,     "a gate that opens below 0"),
    (lambda x: torch.where(x > 1, x, 2 * x),                            ALL,     "a jump downwards"),
    (lambda x: torch.where(x.floor() > 0.5, x, 2 * x - 0.5),            ALL,     "the condition jumps past its threshold"),
    (lambda x: torch.where(x > 1, x.flip(1), 2 * x - 1),                ALL,     "a branch of another element"),
    (lambda x: torch.where(x > 0, x, 0.1 * x + x.sum(1, keepdim=True).sign()), ALL, "a branch that mixes elements"),
    (lambda x: torch.where(x > 0, x.sum(1, keepdim=True).expand(-1, 3) * 0 + x - 1, x), ALL, "a jump behind a sum"),
    (lambda x: torch.where(x > 0, x, x * x.mean(1, keepdim=True)),      ALL,     "pinning one element pins no mean"),
    (lambda x: x.masked_fill(x > 2, 1.9),                               ALL,     "a cap below its threshold"),
    (lambda x: calibrated(x, values=torch.tensor([-1.0, 0.5, 0.4, 3.0])), ALL,   "a value below the one before"),
    (lambda x: calibrated(x, values=torch.tensor([1.0, 0.5, 0.6, 3.0])), ALL,    "the first piece falls, and goes on for ever"),
    (lambda x: calibrated(x, knots=torch.tensor([0.0, 1.0, 0.25, 2.0])), ALL,    "knots out of order"),
    (lambda x: by_lerp(x, torch.tensor([0.0, 2.0, 1.0, 3.0])),          ALL,     "a calibrator by lerp that falls"),
    (lambda x: by_feature(x, TABLE.flip(1)),                            ALL,     "calibrators by feature that fall"),
    (lambda x: calibrated(x) - x,                                       ALL,     "a calibrator less steep than x"),
    (lambda x: jumping(x, up=False),                                    ALL,     "pieces that jump downwards"),
    (shifted_elsewhere,                                                 ALL,     "half the shift is put back"),
    (lambda x: x.masked_fill(x > 0.5, -float("inf")).amax(1),           UNIT,    "a mask that closes as x rises, and may leave nothing"),
    (lambda x: torch.cat([x, x - 9], 1).masked_fill(torch.cat([x > 0.5, x > 9], 1), -float("inf")).amax(1), UNIT, "a mask that closes as x rises"),
    (lambda x: x.masked_fill(FIRST, -float("inf")).softmax(1),          ALL,     "shares compete behind a mask too"),
    (lambda x: x.masked_fill(FIRST, -float("inf")).tanh(),              ALL,     "no other operation is told of the infinity"),
    (lambda x: x.masked_fill(torch.ones(3, dtype=torch.bool), -float("inf")).amax(1), ALL, "nothing is left"),
    (lambda x: x.masked_fill(FIRST, float("inf")).amax(1),              ALL,     "the other infinity"),
]
# fmt: on
X = torch.linspace(0.1, 0.9, 6).reshape(2, 3)


def walked(f, box, dtype=torch.float32):
    """Facts of the outputs for x in the box, all elements rising."""
    x = X.to(dtype)
    low, high = (torch.full((2, 3), v, dtype=torch.float64) for v in box)
    traced = capture(Formula(f), (x,))
    given = Fact(low, high, torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool), dtype)
    found = walk(traced, [given])
    return [found.facts[o] for o in traced.outputs], found


@pytest.mark.parametrize(("f", "box", "why"), PROVED, ids=[row[-1] for row in PROVED])
def test_a_relation_proves(f, box, why):
    outputs, _ = walked(f, box)
    assert all(isinstance(o, Fact) and not bool(o.dn.any()) for o in outputs), outputs
    encloses(f, box, outputs)


@pytest.mark.parametrize(("f", "box", "why"), NOT, ids=[row[-1] for row in NOT])
def test_a_near_miss_is_not_proved(f, box, why):
    outputs, _ = walked(f, box)
    assert any(not isinstance(o, Fact) or bool(o.dn.any()) for o in outputs)
    encloses(f, box, outputs)


def encloses(f, box, outputs, seeds=30):
    """What is claimed of the outputs, on random pairs: near and far, from flat to steep, and at the knots."""
    for seed in range(seeds):
        random = torch.Generator().manual_seed(seed)
        reach = 10.0 ** float(torch.rand((), generator=random) * 3 - 1.5)
        low = (torch.rand(2, 3, generator=random, dtype=torch.float64) * 2 - 1) * reach
        low = torch.where(torch.rand(2, 3, generator=random) < 0.3, (low * 4).round() / 4, low)
        step = torch.rand(2, 3, generator=random, dtype=torch.float64) * 10.0 ** float(
            torch.rand((), generator=random) * 5 - 4
        )
        a, b = (v.clamp(*box) for v in (low, low + step * (torch.rand(2, 3, generator=random) < 0.7)))
        before, after = (torch.as_tensor(value) for value in (doubled(f, a), doubled(f, b)))
        for out in outputs:
            if not isinstance(out, Fact):
                continue
            slack = 1e-9 * (1 + before.abs().nan_to_num(posinf=0) + after.abs().nan_to_num(posinf=0))
            assert not bool(((after < before - slack) & ~out.dn).any()), "it falls: the claim escapes"
            assert not bool(((after > before + slack) & ~out.up).any()), "it rises: the claim escapes"
            assert bool(((before >= out.lo - slack) & (before <= out.hi + slack)).all()), "a value escapes its bounds"


def doubled(f, x):
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            return f(x).double()
    except RuntimeError:
        return f(x.float()).double()
    finally:
        torch.set_default_dtype(kept)


def test_each_relation_is_used_by_a_case():
    shown = {
        "a relu by a gate", "softplus is convex", "softsign rises everywhere", "the same written out", "a cap",
        "x - relu(x) is min(x, 0)", "a piecewise-linear calibrator", "a log-sum-exp shifted by its largest",
        "a maximum behind a mask",
    }  # fmt: skip
    used = {name for f, box, why in PROVED if why in shown for name, _ in walked(f, box)[1].used}
    assert used | {"a softmax behind a fixed mask"} == {r.name for r in RELATIONS}


@pytest.mark.parametrize("name", sorted(_one_value.SLOPES))
def test_secant_slopes_are_enclosed(name):
    lo, hi = _one_value.SLOPES[name]
    x = torch.cat([torch.linspace(-9, 9, 40001), torch.linspace(-0.01, 0.01, 2001)]).double().unique()
    calls = {
        "clamp": lambda v: v.clamp(-1, 2),
        "clamp_min": lambda v: v.clamp(min=0.5),
        "clamp_max": lambda v: v.clamp(max=0.5),
        "log_sigmoid": F.logsigmoid,
    }
    f = calls.get(name) or getattr(torch, name, None) or getattr(F, name)
    slope = f(x).diff() / x.diff()
    assert lo - 1e-8 <= float(slope.min())
    assert float(slope.max()) <= hi + 1e-8
    if name == "gelu":
        slope = F.gelu(x, approximate="tanh").diff() / x.diff()
        assert lo <= float(slope.min())
        assert float(slope.max()) <= hi


def lying(name, find):
    """The table of relations with one lie in it."""
    return Relation(name, ("add", "sub", "mul", "where", "amax"), find, needs_plain=False)


LIARS = [
    (lambda x: x * torch.sigmoid(x), "a product said to move as its first factor"),
    (lambda x: x - 2 * torch.relu(x), "a difference said to move as its first operand"),
    (lambda x: torch.where(x > 0, x - 1, x), "a choice said to move as one of its operands"),
]


@pytest.mark.parametrize(("f", "lie"), LIARS, ids=[row[-1] for row in LIARS])
def test_fuzz_rejects_a_false_relation(f, lie, monkeypatch):
    place = 1 if "choice" in lie else 0

    def find(look):
        x = look.fact(look.node.args[place])
        return (
            None
            if x is None
            else fact(
                torch.full_like(x.lo, -float("inf")), torch.full_like(x.hi, float("inf")), x.up & True, x.dn & False
            )
        )

    monkeypatch.setattr(sys.modules["isotone.certify.relations"], "RELATIONS", (lying(lie, find),))
    outputs, found = walked(f, ALL)
    assert found.used
    with pytest.raises(AssertionError, match="escapes"):
        encloses(f, ALL, outputs)


def test_facts_that_contradict_each_other_are_not_met():
    x = fact(torch.zeros(1).double(), torch.ones(1).double(), torch.tensor([True]), torch.tensor([True]))
    far = fact(
        torch.full((1,), 3.0).double(), torch.full((1,), 4.0).double(), torch.tensor([True]), torch.tensor([False])
    )
    assert met(x, far, torch.float32) is None


def test_whole_numbers_that_wrap_get_no_help_from_a_relation():
    i = torch.tensor([[1, 2, 3]] * 2, dtype=torch.int8)
    traced = capture(Formula(lambda x: x + (x - x.relu()) * 100), (i,))
    low, high = torch.full((2, 3), -128.0).double(), torch.full((2, 3), 127.0).double()
    given = Fact(low, high, torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool), torch.int8)
    found = walk(traced, [given]).facts[traced.outputs[0]]
    assert not isinstance(found, Fact) or bool(found.dn.any())
