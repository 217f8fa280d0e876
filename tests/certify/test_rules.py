"""Every rule is fuzzed against the operator it speaks of, and the fuzz is tested with rules that lie."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import inspect
import re

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from isotone.certify._facts import Fact, Refused
from isotone.certify.rules import REFUSED, RULES, Site
from isotone.certify.rules._arithmetic import minus, plus, times
from isotone.certify.rules._structural import overload
from isotone.certify.rules._unary import increasing, step, valley

from .fuzz import Nothing, check
from .rule_cases import CASES, TRUTH, X, call, w

FEW, MANY = range(3), range(1000, 1080)


def test_every_rule_has_a_case():
    assert set(RULES) - set(REFUSED) == set(CASES)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_by_name_is_refused_with_its_reason(name):
    overload(name)
    with pytest.raises(Refused, match=re.escape(REFUSED[name])):
        RULES[name](Site())


@pytest.mark.parametrize("name", sorted(CASES))
def test_rule_encloses_what_is_seen(name):
    fuzzed(name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_rule_encloses_what_is_seen_on_many_boxes(name):
    fuzzed(name, MANY)


def fuzzed(name, seeds):
    covered = 0
    for args, kwargs in CASES[name]:
        for seed in seeds:
            try:
                check(RULES[name], overload(name), args, kwargs, seed)
            except Nothing:
                continue
            covered += 1
    assert covered >= len(CASES[name]), f"{name} declines nearly everything"


@pytest.mark.parametrize("name", sorted(CASES))
def test_rule_reads_arguments_as_its_schema_orders_them(name):
    """A rule that takes alpha for beta, or assumes another default, would prove something about another call."""
    schema = overload(name)._schema.arguments
    parameters = list(inspect.signature(RULES[name]).parameters.values())[1:]
    wanted = [a for a in schema if not a.kwarg_only]
    keywords = {a.name: a for a in schema if a.kwarg_only}
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in keywords]
    assert len(positional) <= len(wanted)
    for parameter, argument in zip(positional, wanted, strict=False):
        if parameter.default is not parameter.empty:
            assert argument.has_default_value(), parameter.name
            assert _same(parameter.default, argument.default_value), parameter.name
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.name in keywords
            default = keywords[parameter.name].default_value
            if parameter.default is parameter.empty and not keywords[parameter.name].has_default_value():
                continue
            assert _same(parameter.default, default), parameter.name


def _same(ours, theirs) -> bool:
    return list(ours) == list(theirs) if isinstance(ours, tuple) or isinstance(theirs, list) else ours == theirs


def twice_the_bits(site, x):
    return Fact(x.lo, x.hi, torch.zeros_like(x.up), torch.zeros_like(x.dn))


def where_without_its_condition(site, c, a, b):
    return Fact(torch.minimum(a.lo, b.lo), torch.maximum(a.hi, b.hi), a.up | b.up, a.dn | b.dn)


# fmt: off
LIARS = {
    # the lie                                op             rule                                        call
    "silu said to increase":                 (F.silu,       increasing(F.silu),                         call(X)),
    "sin said to increase":                  (torch.sin,    increasing(torch.sin, -1.0, 1.0),           call(X)),
    "gelu with its valley at 0":             (F.gelu,       valley(F.gelu, 0.0, 0.0, -0.2),             call(X)),
    "gelu with too high a floor":            (F.gelu,       valley(F.gelu, -0.752, -0.751, -0.1),       call(X)),
    "sigmoid said to stay below 1/2":        (torch.sigmoid, increasing(torch.sigmoid, 0.0, 0.5),       call(X)),
    "negation that forgets to turn":         (torch.neg,    lambda s, x: Fact(-x.hi, -x.lo, x.up, x.dn), call(X)),
    "a difference that forgets to turn":     (torch.sub,    lambda s, a, b: plus(a, Fact(-b.hi, -b.lo, b.up, b.dn)), call(X, X)),
    "a product said to be a sum":            (torch.mul,    lambda s, a, b: plus(a, b),                 call(X, X)),
    "a product of positive operands only":   (torch.mul,    lambda s, a, b: Fact(times(a, b).lo, times(a, b).hi, a.up | b.up, a.dn | b.dn), call(X, X)),
    "nothing moves":                         (torch.relu,   twice_the_bits,                             call(X)),
    "an absolute value said to be a relu":   (torch.abs,    step(torch.relu),                           call(X)),
    "minus said to be nothing":              (torch.clone,  lambda s, x: minus(x),                      call(X)),
    "a where that ignores its condition":    (torch.where,  where_without_its_condition,                call(TRUTH, X, X)),
    "linear with |W|":                       (F.linear,     lambda s, x, w: RULES["aten.linear.default"](s, x, w.abs()), call(X, w(4, 3))),
}
# fmt: on


@pytest.mark.parametrize("lie", LIARS)
def test_fuzz_rejects_a_false_rule(lie):
    op, rule, (args, kwargs) = LIARS[lie]

    def fuzz():
        for seed in range(60):
            check(rule, op, args, kwargs, seed)

    with pytest.raises(AssertionError, match="escapes"):
        fuzz()


def test_turning_points_are_enclosed():
    """The two floats of each valley enclose the minimum, and its floor lies below it."""
    for name, row, left, right in (
        ("silu", F.silu, -1.2784646, -1.2784645),
        ("mish", F.mish, -1.1924313, -1.1924312),
        ("gelu", F.gelu, -0.7517917, -0.7517915),
        ("tanh gelu", lambda x: F.gelu(x, approximate="tanh"), -0.7524615, -0.7524613),
    ):
        slope = []
        for at in (left, right):
            x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
            slope.append(float(torch.autograd.grad(row(x), x)[0]))
        assert slope[0] < 0 < slope[1], (name, slope)


# The underflow trap: where float64 rounds a strictly monotone function to a constant, its slope is not 0.
@pytest.mark.parametrize(
    ("op", "low", "high"),
    [("exp", -900, -800), ("sigmoid", -900, -800), ("sigmoid", 40, 50), ("tanh", 30, 40), ("log_sigmoid", 800, 900),
     ("expm1", -900, -800), ("elu", -900, -800), ("erf", 10, 20), ("gelu", -60, -50), ("softplus", -900, -800)],
)  # fmt: skip
def test_a_function_that_underflows_is_not_taken_for_a_constant(op, low, high):
    box = [torch.tensor([float(v)], dtype=torch.float64) for v in (low, high)]
    moving = Fact(*box, torch.tensor([True]), torch.tensor([False]), torch.float64)
    found = RULES[f"aten.{op}.default"](Site(), moving)
    assert bool((found.up | found.dn).all())
    assert float(found.lo) < float(found.hi)
    falling = minus(found)
    assert bool((falling.dn | falling.up).all())


def test_exact_bounds_stay_exact():
    """1 - x on [0, 1] is [0, 1], not [-1e-16, 1]: the sign of a bound decides verdicts."""
    unit = Fact(
        *(torch.tensor([v], dtype=torch.float64) for v in (0.0, 1.0)), torch.tensor([True]), torch.tensor([False])
    )
    found = RULES["aten.rsub.Scalar"](Site(), unit, 1.0)
    assert (float(found.lo), float(found.hi)) == (0.0, 1.0)
