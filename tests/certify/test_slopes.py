"""Every row of slopes is fuzzed against differences of the operator it speaks of, and the fuzz is tested with liars."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from mpmath import mp
from torch import Tensor

from isotone.certify import _walk
from isotone.certify._capture import capture
from isotone.certify._facts import Fact, NotReal, Refused, Unknown
from isotone.certify._question import asked
from isotone.certify._walk import walk
from isotone.certify.rules import RULES, Site
from isotone.certify.rules._arithmetic import times
from isotone.certify.rules._structural import overload
from isotone.certify.slopes import SLOPES, At, by_slopes, slopes
from isotone.certify.slopes._adjoints import adjoint, span
from isotone.certify.slopes._unary import GELU, RANGES, linear_pieces, row, straight

from .fuzz import Nothing, _run, boxes, pair, replaced
from .models import Formula
from .rule_cases import FLOAT, LONG, SIGNAL, TRUTH, T, X, call, w
from .slope_cases import CASES, NARROW, OPEN, PROVED, Steep

INF = float("inf")

FEW, MANY = range(2), range(1000, 1060)
# Rows whose result is a constant or a size, so that no adjoint ever arrives.
NEVER_ASKED = {
    f"aten.{name}.default" for name in ("ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "new_full")
} | {"aten.sym_size.int"}


def secants(own, rule, op, case, seed: int) -> int:
    """One random box, one random adjoint, several pairs of points: the difference lies where the slopes say."""
    random = torch.Generator().manual_seed(seed)
    facts: list[Fact] = []

    def drawn(spec):
        facts.append(boxes(spec, random))
        return facts[-1]

    args, kwargs = case
    fact_args = tuple(replaced(a, drawn) for a in args)
    fact_kwargs = {k: replaced(v, drawn) for k, v in kwargs.items()}
    try:
        result = rule(Site(), *fact_args, **fact_kwargs)
        results = result if isinstance(result, tuple) else (result,)
        seeds = [_seed(r, random) if isinstance(r, Fact) else None for r in results]
        if not any(seeds):
            raise Nothing("its result is no fact")
        out = tuple(s[1] if s else None for s in seeds)
        entries = own(At(result, out if isinstance(result, tuple) else out[0]), *fact_args, **fact_kwargs)
    except (Refused, NotReal) as fault:
        raise Nothing(str(fault)) from None
    shares = [s for a, e in zip(fact_args, entries, strict=False) for s in _leaves(a, e)]
    assert [s is not None for s in shares] == [True] * len(facts), "a moving operand has no entry"
    for share, fact in zip(shares, facts, strict=True):
        assert share.shape == fact.shape, "an adjoint has another shape than its operand"
    loose = [replace(f, up=torch.ones_like(f.up), dn=torch.ones_like(f.dn)) for f in facts]
    for _ in range(8):
        points = [pair(f, random) for f in loose]
        seen, size = torch.zeros((), dtype=FLOAT), 1e-300
        ys = [_run(op, args, kwargs, iter([p[side] for p in points])) for side in (0, 1)]
        if not isinstance(result, tuple):
            ys = [(y,) for y in ys]
        for before, after, drawn_seed in zip(*ys, seeds, strict=True):
            if drawn_seed is None:
                continue
            terms = [drawn_seed[0] * y.double() for y in (before, after)]
            if not all(bool(torch.isfinite(t).all()) for t in terms):
                break
            seen = seen + (terms[1] - terms[0]).sum()
            size += float(sum(t.abs().sum() for t in terms))
        else:
            _hold(float(seen), shares, points, size)
    return 1


def _seed(result: Fact, random: torch.Generator) -> tuple[Tensor, Fact]:
    """Weights of a linear functional of the result, and an adjoint that holds them: a point or an interval."""

    def uniform():
        return torch.rand(result.shape, generator=random, dtype=FLOAT)

    weights = (uniform() * 4 - 2) * (uniform() < 0.7)
    if float(torch.rand((), generator=random)) < 0.3:
        weights = weights.sign()
    wide = float(torch.rand((), generator=random)) < 0.4
    low, high = (uniform() * wide, uniform() * wide)
    return weights, adjoint(weights - low, weights + high)


def _leaves(operand: Any, entry: Any) -> list[Any]:
    if isinstance(operand, Fact):
        return [entry]
    if isinstance(operand, list):
        entries = entry if isinstance(entry, list | tuple) else [None] * len(operand)
        return [s for a, e in zip(operand, entries, strict=True) for s in _leaves(a, e)]
    return []


def _hold(seen: float, shares: list[Fact], points: list[tuple[Tensor, Tensor]], size: float) -> None:
    low = high = 0.0
    for share, (before, after) in zip(shares, points, strict=True):
        move = after.double() - before.double()
        ends = torch.stack([torch.where(move == 0, 0.0, b * move) for b in (share.lo, share.hi)])
        low, high = low + float(ends.amin(0).sum()), high + float(ends.amax(0).sum())
        finite = ends[torch.isfinite(ends)]
        size += float(finite.abs().sum())
    slack = 1e-11 * size
    assert low - slack <= seen <= high + slack, f"a difference escapes its slopes: {seen} is not in [{low}, {high}]"


def test_every_row_of_slopes_has_a_rule_and_a_case():
    assert set(SLOPES) <= set(RULES)
    assert set(SLOPES) <= set(CASES)


@pytest.mark.parametrize("name", sorted(set(SLOPES) - NEVER_ASKED))
def test_slopes_hold_all_secants(name):
    fuzzed(name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SLOPES) - NEVER_ASKED))
def test_slopes_hold_all_secants_on_many_boxes(name):
    fuzzed(name, MANY)


def fuzzed(name, seeds):
    covered = 0
    for case in CASES[name]:
        for seed in seeds:
            try:
                covered += secants(SLOPES[name], RULES[name], overload(name), case, seed)
            except Nothing:
                continue
    assert covered >= len(CASES[name]) * len(seeds) / 4, f"{name} declines nearly everything"


def where_without_its_jump(at, c, a, b):
    of_condition, of_a, of_b = SLOPES["aten.where.self"](at, c, a, b)
    return adjoint(*(torch.zeros_like(t) for t in (of_condition.lo, of_condition.hi))), of_a, of_b


def a_difference_of_the_first_operands_share(at, a, b):
    return SLOPES["aten.mul.Tensor"](at, a, b)[0], at.out


def softmax_that_only_rises(at, x, dim):
    return (times(at.out, span(0.0, 0.25)),)


def comparison_that_is_flat(at, a, b):
    return tuple(adjoint(torch.zeros_like(x.lo), torch.zeros_like(x.lo)) for x in (a, b))


def sorted_as_it_stands(at, x):
    return (at.out[0],)


def product_by_the_low_ends(at, a, b):
    return times(at.out, adjoint(b.lo, b.lo)), times(at.out, adjoint(a.lo, a.lo))


# fmt: off
LIARS = {
    # the lie                                    the operator               the row                                                       a call
    "tanh said to be at most half as steep":    ("aten.tanh.default",       row(straight(0.0, 0.5)),                                      call(X)),
    "sin said to have slope in [0, 1]":         ("aten.sin.default",        row(straight(0.0, 1.0)),                                      call(X)),
    "tanh with the slopes of its ends":         ("aten.tanh.default",       row(lambda x: (torch.minimum(torch.cosh(x.lo) ** -2, torch.cosh(x.hi) ** -2), torch.maximum(torch.cosh(x.lo) ** -2, torch.cosh(x.hi) ** -2))), call(X)),
    "abs with slope [0, 1]":                    ("aten.abs.default",        row(straight(0.0, 1.0)),                                      call(X)),
    "gelu said to rise":                        ("aten.gelu.default",       row(straight(0.0, 1.129)),                                    call(X)),
    "gelu with slopes up to 1":                 ("aten.gelu.default",       row(straight(-0.129, 1.0)),                                   call(X)),
    "silu with the turns of gelu":              ("aten.silu.default",       SLOPES["aten.gelu.default"],                                  call(X)),
    "relu with its break at 0.1":               ("aten.relu.default",       row(linear_pieces([0.1], [0.0, 1.0])),                        call(X)),
    "floor said to be flat":                    ("aten.floor.default",      row(straight(0.0)),                                           call(X)),
    "rounding said to have slope 1":            ("aten.round.default",      row(straight(1.0)),                                           call(X)),
    "where without its jump":                   ("aten.where.self",         where_without_its_jump,                                       call(TRUTH, X, X)),
    "softplus without its drop, in float64":    ("aten.softplus.default",   lambda at, x, beta, t: (times(at.out, span(0.0, 1.0)),),      call(NARROW, 1.0, 0.5)),
    "softmax that only rises":                  ("aten.softmax.int",        softmax_that_only_rises,                                      call(X, 1)),
    "a comparison that is flat":                ("aten.gt.Tensor",          comparison_that_is_flat,                                      call(X, X)),
    "sort as it stands":                        ("aten.sort.default",       sorted_as_it_stands,                                          call(X)),
    "a product with a sum's second share":      ("aten.mul.Tensor",         a_difference_of_the_first_operands_share,                     call(X, X)),
    "a product at one corner":                  ("aten.mul.Tensor",         product_by_the_low_ends,                                      call(X, X)),
    "a difference that forgets to turn":        ("aten.sub.Tensor",         SLOPES["aten.add.Tensor"],                                    call(X, X)),
    "linear with |W|":                          ("aten.linear.default",     lambda at, x, weight: SLOPES["aten.linear.default"](at, x, weight.abs()), call(X, w(4, 3))),
    "exp with the slope of its lower end":      ("aten.exp.default",        row(lambda x: (torch.exp(x.lo), torch.exp(x.lo))),            call(T(low=-3.0, high=3.0))),
    "a cast to bool that only rises":           ("aten._to_copy.default",   lambda at, x, dtype: (times(at.out, span(0.0, INF)),),        call(X, dtype=torch.bool)),
    "a cast to float16 that is exact":          ("aten._to_copy.default",   lambda at, x, dtype: (at.out,),                               call(T(low=-100.0, high=100.0), dtype=torch.float16)),
    "a cast to bfloat16 that holds integers":   ("aten._to_copy.default",   lambda at, x, dtype: (at.out,),                               call(T((2, 3), LONG, 0.0, 9000.0), dtype=torch.bfloat16)),
    "max pooling that misses a window":         ("aten.max_pool1d.default", lambda at, x, *rest: SLOPES["aten.max_pool1d.default"](at, x, [1], [1], [0]), call(SIGNAL, [2], [1], [0])),
}
# fmt: on


@pytest.mark.parametrize("lie", LIARS)
def test_fuzz_rejects_slopes_that_lie(lie):
    name, false_row, case = LIARS[lie]

    def fuzz():
        for seed in range(80):
            with contextlib.suppress(Nothing):
                secants(false_row, RULES[name], overload(name), case, seed)

    with pytest.raises((AssertionError, RuntimeError), match=r"escapes|shape"):
        fuzz()


# The derivatives again, in fifty digits, written from the definition of each function.
# fmt: off
EXACT = {
    "aten.tanh.default":        lambda x: 1 / mp.cosh(x) ** 2,
    "aten.sigmoid.default":     lambda x: sigma(x) * sigma(-x),
    "aten.erf.default":         lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x),
    "aten.atan.default":        lambda x: 1 / (1 + x * x),
    "aten.asinh.default":       lambda x: 1 / mp.sqrt(1 + x * x),
    "aten.log_sigmoid.default": lambda x: sigma(-x),
    "aten.exp.default":         mp.exp,
    "aten.exp2.default":        lambda x: mp.mpf(2) ** x * mp.log(2),
    "aten.expm1.default":       mp.exp,
    "aten.sqrt.default":        lambda x: 1 / (2 * mp.sqrt(x)),
    "aten.log.default":         lambda x: 1 / x,
    "aten.log2.default":        lambda x: 1 / (x * mp.log(2)),
    "aten.log10.default":       lambda x: 1 / (x * mp.log(10)),
    "aten.log1p.default":       lambda x: 1 / (1 + x),
    "aten.silu.default":        lambda x: sigma(x) + x * sigma(x) * sigma(-x),
    "aten.mish.default":        lambda x: mp.tanh(mp.log1p(mp.exp(x))) + x * sigma(x) / mp.cosh(mp.log1p(mp.exp(x))) ** 2,
    "aten.gelu.default":        lambda x: mp.ncdf(x) + x * mp.npdf(x),
    "aten.hardswish.default":   lambda x: mp.mpf(0) if x < -3 else mp.mpf(1) if x > 3 else (2 * x + 3) / 6,
    "aten.selu.default":        lambda x: mp.mpf(1.0507009873554804934193349852946) * (1 if x > 0 else mp.mpf(1.6732632423543772848170429916717) * mp.exp(x)),
    "tanh gelu":                lambda x: tanh_gelu(x),  # noqa: PLW0108 (it is defined below)
}
# fmt: on


def sigma(x):
    return 1 / (1 + mp.exp(-x))


def tanh_gelu(x):
    a, b = 2 * mp.sqrt(2 / mp.pi), mp.mpf(0.044715)
    v = a * (x + b * x**3)
    return sigma(v) + x * sigma(v) * sigma(-v) * a * (1 + 3 * b * x * x)


def ends_of(name: str, low: float, high: float) -> tuple[float, float]:
    x = Fact(*(torch.tensor([b], dtype=FLOAT) for b in (low, high)), torch.tensor([True]), torch.tensor([False]), FLOAT)
    found = (GELU["tanh"] if name == "tanh gelu" else {**RANGES, "aten.gelu.default": GELU["none"]}[name])(x)
    return float(found[0]), float(found[1])


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("error")
def test_slopes_hold_in_fifty_digits_and_are_not_loose(name):
    """Sampling in float64 cannot see where float64 itself is wrong: far tails, cancellation, underflow."""
    exact, random = EXACT[name], torch.Generator().manual_seed(0)
    positive = name.split(".")[1] in {"sqrt", "log", "log2", "log10", "log1p"} if "." in name else False
    with mp.workdps(50):
        for _ in range(60):
            size = 10.0 ** (torch.rand(2, generator=random, dtype=FLOAT) * 5 - 2)
            a, b = ((torch.rand(2, generator=random, dtype=FLOAT) * 2 - 1) * size).tolist()
            if float(torch.rand((), generator=random)) < 0.3:
                b = a + abs(b) * 1e-6  # narrow
            a, b = (abs(a) + 1e-9, abs(b) + 1e-9) if positive else (a, b)
            low, high = min(a, b), max(a, b)
            least, most = ends_of(name, low, high)
            inside = [mp.mpf(low) + (mp.mpf(high) - mp.mpf(low)) * k / 24 for k in range(25)]
            # A turning point is easily missed by a grid over a wide interval.
            inside += [mp.mpf(k) / 50 for k in range(-200, 201) if low <= k / 50 <= high]
            slopes = [exact(x) for x in inside]
            assert mp.mpf(least) <= min(slopes), (low, high, least)
            assert mp.mpf(most) >= max(slopes), (low, high, most)
            assert max(slopes) == 0 or most > 0 or max(slopes) < 0, "a slope that is positive underflowed to 0"
            room = (max(slopes) - min(slopes)) * mp.mpf("0.2") + mp.mpf("2e-4") * (1 + abs(max(slopes)))
            if most < 1e300:
                assert mp.mpf(most) - max(slopes) <= room + abs(max(slopes)) * mp.mpf("1e-6"), (low, high, most)
            assert min(slopes) - mp.mpf(least) <= room, (low, high, least)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("tanh", 30, 40), ("tanh", 19, 21), ("tanh", 400, 900), ("sigmoid", 40, 50), ("sigmoid", -900, -800),
     ("erf", 10, 40), ("exp", -900, -800), ("expm1", -900, -800), ("log_sigmoid", 800, 900), ("atan", 1e200, 1e300),
     ("exp2", -1200, -1100), ("selu", -900, -800)],
)  # fmt: skip
def test_a_slope_that_underflows_is_not_zero(name, low, high):
    least, most = ends_of(f"aten.{name}.default", low, high)
    assert least >= 0
    assert most > 0


@pytest.mark.parametrize(("low", "high"), [(-90.0, -80.0), (-30.0, -2.0), (-1e300, -1e3)])
@pytest.mark.parametrize("name", ["aten.gelu.default", "tanh gelu", "aten.silu.default", "aten.mish.default"])
def test_gates_fall_strictly_left_of_their_turning_point(name, low, high):
    """-gelu(x) rises there; gelu must not be taken for a function with a slope of 0."""
    least, most = ends_of(name, low, high)
    assert least < 0
    assert most <= 0


def one_minus_tanh_squared(x):
    ends = [1 - torch.tanh(b) ** 2 for b in (x.lo, x.hi)]
    return torch.minimum(*ends), torch.where((x.lo <= 0) & (x.hi >= 0), 1.0, torch.maximum(*ends))


def test_fifty_digits_reject_the_formula_that_cancels(monkeypatch):
    monkeypatch.setitem(RANGES, "aten.tanh.default", one_minus_tanh_squared)
    with pytest.raises(AssertionError):
        test_slopes_hold_in_fifty_digits_and_are_not_loose("aten.tanh.default")
    with pytest.raises(AssertionError):
        test_a_slope_that_underflows_is_not_zero("tanh", 30, 40)


def claim(model, domain=None, directions: Any = +1, dtype=torch.float32):
    """What a claim about three columns is made of."""
    x = torch.zeros(2, 3, dtype=dtype) if domain is None else torch.full((2, 3), sum(domain) / 2, dtype=dtype)
    question = asked(x, directions, domain)
    traced = capture(model, question.inputs)
    return traced, walk(traced, question.facts()), list(question.directions)


def proved(model, domain=None, directions: Any = +1, sign: int = 1, dtype=torch.float32) -> bool:
    traced, walked, ways = claim(model, domain, directions, dtype)
    output = traced.outputs[0]
    if isinstance(walked.facts[output], Unknown):
        return False
    places = torch.ones(walked.facts[output].shape).nonzero().tolist()
    return all(by_slopes(traced, walked, ways, output, tuple(place), sign) for place in places)


@pytest.fixture
def by_themselves(monkeypatch):
    """A walk without relational steps, which prove some of these before a slope is asked for."""
    monkeypatch.setattr(_walk, "related", lambda look, found: (found, ()))


@pytest.mark.usefixtures("by_themselves")
@pytest.mark.parametrize("why", PROVED)
def test_slopes_prove_what_bits_do_not(why):
    model, domain = PROVED[why]
    traced, walked, ways = claim(model, domain)
    output = traced.outputs[0]
    assert bool(walked.facts[output].dn.any())
    for place in torch.ones(walked.facts[output].shape).nonzero().tolist():
        assert by_slopes(traced, walked, ways, output, tuple(place), 1)
        assert not by_slopes(traced, walked, ways, output, tuple(place), -1)


@pytest.mark.parametrize("why", OPEN)
def test_slopes_do_not_prove_what_is_false(why):
    model, domain = OPEN[why]
    assert not proved(model, domain)


def test_a_score_that_must_not_rise():
    assert proved(Formula(lambda x: torch.relu(x) - x), sign=-1)
    assert not proved(Formula(lambda x: torch.relu(x) - x), sign=1)


def test_softplus_is_judged_by_the_dtype_it_is_computed_in():
    model = Formula(lambda x: torch.nn.functional.softplus(x) + x - torch.relu(x))
    assert proved(model)
    assert not proved(model, dtype=FLOAT)  # its switch at 20 drops by 2e-9, which float64 sees


@pytest.mark.parametrize(("lam", "expected"), [(1 + 1e-9, True), (0.999, False), (1.5, True)])
def test_a_lipschitz_net_is_proved_from_its_own_slope_upwards(lam, expected):
    assert proved(Steep(lam)) is expected


def test_free_columns_need_no_slope():
    model = Formula(lambda x: x[:, 0] - torch.relu(x[:, 0]) + torch.sin(x[:, 1]) * 3 + x[:, 2].round())
    assert proved(model, directions=[1, 0, 0])
    assert not proved(model, directions=[1, 1, 0])


def test_a_decreasing_column_needs_a_slope_of_the_other_sign():
    model = Formula(lambda x: torch.nn.functional.gelu(x[:, 0]) + x[:, 0] - x[:, 1] + torch.tanh(x[:, 1]) - x[:, 1])
    assert proved(model, directions=[1, -1, 0])
    assert not proved(model, directions=[1, 1, 0])


def test_slopes_of_an_operator_without_a_row_are_infinite_where_it_moves(monkeypatch):
    monkeypatch.delitem(SLOPES, "aten.relu.default")
    traced, walked, _ = claim(Formula(lambda x: (x - torch.relu(x[:, :2]).sum(-1, keepdim=True)).sum(-1)))
    ((low, high),) = slopes(traced, walked, traced.outputs[0], (0,))
    # The operator might mix rows, for all that is known of it.
    assert low.tolist() == [[-INF, -INF, 1.0], [-INF, -INF, 0.0]]
    assert high.tolist() == [[INF, INF, 1.0], [INF, INF, 0.0]]


def broken(at, *args):
    raise ZeroDivisionError


def misshapen(at, x):
    return (span(0.0, 1.0),)


def silent(at, x):
    return ()


@pytest.mark.usefixtures("by_themselves")
@pytest.mark.parametrize("bad", [broken, misshapen, silent])
def test_a_row_that_fails_proves_nothing(bad, monkeypatch):
    monkeypatch.setitem(SLOPES, "aten.tanh.default", bad)
    assert not proved(Formula(lambda x: x - x.tanh()))
    # What does not reach the score needs no row.
    assert proved(Formula(lambda x: x - torch.relu(x) + 0 * x.tanh()))


def test_directions_that_the_walk_did_not_move_are_not_proved():
    traced, walked, _ = claim(Formula(lambda x: x - torch.relu(x)), directions=[1, 0, 1])
    everything = [torch.ones(2, 3, dtype=FLOAT)]
    assert not by_slopes(traced, walked, everything, traced.outputs[0], (0, 0), 1)


def test_slopes_of_whole_numbers_hold_for_pairs():
    model = Formula(lambda n: 2 * n + (n - 3).abs() + torch.relu(n))
    question = asked(torch.zeros(2, 3, dtype=torch.int64), +1, (-5, 5))
    traced = capture(model, question.inputs)
    walked = walk(traced, question.facts())
    assert by_slopes(traced, walked, list(question.directions), traced.outputs[0], (0, 0), 1)


@pytest.mark.slow
@pytest.mark.parametrize("why", [*PROVED, *OPEN])
def test_slopes_of_whole_models_hold_their_differences(why):
    """From the score to the inputs: the difference of any ordered pair lies in slopes times moves."""
    model, domain = {**PROVED, **OPEN}[why]
    model = copy.deepcopy(model).double()
    traced, walked, _ = claim(model, domain or (-3.0, 3.0), dtype=FLOAT)
    output = traced.outputs[0]
    if not isinstance(walked.facts[output], Fact):
        return
    random, (box,) = torch.Generator().manual_seed(0), [walked.facts[n] for n in traced.inputs]
    place = tuple(0 for _ in walked.facts[output].shape)
    ((low, high),) = slopes(traced, walked, output, place)
    for _ in range(20):
        before, after = pair(box, random)
        ys = [traced.run((x,))[0][place].double() for x in (before, after)]
        _hold(float(ys[1] - ys[0]), [adjoint(low, high)], [(before, after)], float(ys[0].abs()) * 1e3)
