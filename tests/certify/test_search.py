"""The refuter: what it finds, what it must not find, and what it says of noise."""

# ruff: noqa: PLR0917 (rows of a table)

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isotone.certify._capture import capture
from isotone.certify._question import asked
from isotone.certify._search import Search, scores
from isotone.certify._search._court import Court, _Exact
from isotone.certify._search._space import ALL, Space
from isotone.certify._seeds import TURNS, seeds
from isotone.certify._shrink import shrunk
from isotone.certify._walk import walk
from isotone.certify.rules import RULES

from .models import Formula, mlp, positive

X = torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])
UNIT = (0.0, 1.0)


def search(model, directions=+1, domain=None, inputs=X, seed=0, signs=None):
    question = asked(inputs, directions, domain)
    if signs is not None:
        question = type(question)(**{**vars(question), "signs": signs})
    return Search(model, question, seed, 1e-5, lambda: None)


def narrow(x):
    """A dip of a five-hundredth of the domain."""
    return x - 0.02 * torch.exp(-(((x - 0.37) / 0.002) ** 2))


def jump(x):
    """Rises, and falls by a thousandth at one place."""
    return torch.where(x > 0.5, x - 0.001, x)


class Doubtful(nn.Module):
    """Another function in float64."""

    def forward(self, x):
        return -x if x.dtype is torch.float32 else x


class Writer(nn.Module):
    """Writes into its input."""

    def forward(self, x):
        return -x.mul_(2.0)


def normed():
    torch.manual_seed(0)
    return positive(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)))


def gates():
    torch.manual_seed(0)
    return nn.GRU(3, 2, batch_first=True)


# fmt: off
FALLING = [
    # model                                                         domain  calls  why it falls
    (lambda: Formula(lambda x: -x),                                 None,   60,    "a minus"),
    (lambda: positive(mlp(nn.GELU())),                              None,   150,   "GELU turns"),
    (lambda: positive(mlp(nn.SiLU())),                              None,   150,   "SiLU turns"),
    (normed,                                                        UNIT,   150,   "LayerNorm shares"),
    (lambda: Formula(narrow),                                       UNIT,   400,   "a narrow dip"),
    (lambda: Formula(jump),                                         UNIT,   400,   "a jump in a rising function"),
    (lambda: Formula(lambda x: x - x.mean(0)),                      None,   150,   "rows leak into each other"),
    (lambda: Formula(lambda x: x[:1] - x[1:]),                      None,   150,   "two rows make one"),
    (lambda: Formula(lambda x: (x[:, 0], {"b": -x[:, 1]})),         None,   60,    "the second of two outputs"),
    (lambda: Formula(lambda x: -x.sum()),                           None,   60,    "a score without rows"),
    (lambda: Formula(lambda x: x.detach() - 2 * x.detach().floor()), UNIT,  150,   "autograd sees nothing"),
    (lambda: Formula(lambda x: (x - 3).sqrt()),                     UNIT,   60,    "NaN"),
]
# fmt: on


@pytest.mark.parametrize(("make", "domain", "calls", "why"), FALLING, ids=[row[-1] for row in FALLING])
def test_a_fall_is_found_and_shrinks_to_one_element(make, domain, calls, why):
    model = make()
    hunt = search(model, domain=domain)
    witness = hunt.look(calls)
    assert witness is not None, why
    small = shrunk(hunt, witness)
    assert sum(int((a != b).sum()) for a, b in zip(small.lower, small.upper, strict=True)) == 1
    for found in (witness, small):
        assert hunt.court.ordered(found.lower, found.upper)
        before, after = (scores(model(*(x.clone() for x in side))) for side in (found.lower, found.upper))
        assert not before[found.element] <= after[found.element]
        assert found.arithmetic == "as given"


def test_recurrent_gates_fall():
    assert search(gates(), inputs=torch.rand(2, 4, 3)).look(300) is not None


# fmt: off
MONOTONE = [
    # model                                                    dtype           why a search could be fooled
    (lambda: positive(mlp(nn.Tanh())),                         torch.float32,  "nothing"),
    (lambda: positive(mlp(nn.Softplus())),                     torch.float32,  "softplus drops at 20, in float64"),
    (lambda: Formula(lambda x: nn.functional.softplus(x) - 20), torch.float32, "the same beside a score near 0"),
    (lambda: scaled(positive(mlp(nn.ReLU(), width=64)), 1e4),  torch.float32,  "large weights round by whole units"),
    (lambda: Formula(lambda x: (x * 1e4 + 1e8) - 1e8),         torch.float32,  "large terms cancel"),
    (lambda: Formula(lambda x: x.sum(1) * 0.1 + 1e6 - 1e6),    torch.float32,  "large terms cancel after a sum"),
    (lambda: Formula(lambda x: x / (1 + x.abs())),             torch.float32,  "two roundings"),
    (lambda: Formula(lambda x: (x * 1e4 + 1e8) - 1e8),         torch.float64,  "large terms cancel in float64"),
    (lambda: positive(mlp(nn.Tanh())).bfloat16(),              torch.bfloat16, "coarse numbers"),
]
# fmt: on


def scaled(net, by):
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(by)
    return net


@pytest.mark.parametrize(("make", "dtype", "why"), MONOTONE, ids=[f"{r[1]} {r[2]}" for r in MONOTONE])
def test_nothing_is_found_in_a_monotone_model(make, dtype, why):
    model = make().to(dtype)
    for rows in (2, 3):
        question = asked(torch.rand(rows, 3, generator=torch.Generator().manual_seed(0)).to(dtype), 1, None)
        tolerance = {torch.float32: 1e-5, torch.float64: 1e-13, torch.bfloat16: 3e-2}[dtype]
        assert Search(model, question, rows, tolerance, lambda: None).look(250) is None, why


def test_a_drop_that_float32_hides_is_a_witness_in_float64():
    model = Formula(lambda x: 1000 + x.sum(1) - 1e-6 * torch.sin(100 * x).sum(1) - x.sum(1))
    hunt = search(model, domain=UNIT)
    witness = hunt.look(400)
    assert witness.arithmetic == "float64"
    assert 1e-7 < witness.drop < 1e-5
    exact = [scores(model(*(x.double() for x in side)))[witness.element] for side in (witness.lower, witness.upper)]
    assert float(exact[0] - exact[1]) == pytest.approx(witness.drop, rel=1e-9)
    assert shrunk(hunt, witness).arithmetic == "float64"


def test_rounding_noise_is_remembered_with_its_size():
    # A constant, but for the last bits of two sums.
    hunt = search(Formula(lambda x: 1e3 + 8 * ((x + 1e3) - 1e3 - x)), domain=UNIT)
    assert hunt.noise is None
    assert hunt.look(400) is None
    drop, size = hunt.noise
    assert 0 < drop <= 1e-5 * size


def test_what_float64_denies_is_no_witness():
    assert search(Doubtful()).look(150) is None


def test_a_model_that_writes_into_its_inputs_does_no_harm():
    hunt = search(Writer())
    witness = hunt.look(100)
    assert witness is not None
    assert torch.equal(hunt.question.inputs[0], X)


@pytest.mark.parametrize(("sign", "found"), [(1.0, False), (-1.0, True), (0.0, False)])
def test_signs_say_what_is_claimed_of_a_score(sign, found):
    hunt = search(Formula(lambda x: x), signs=torch.full((2, 3), sign, dtype=torch.float64))
    witness = hunt.look(100)
    assert (witness is not None) is found
    if witness is not None:
        assert witness.after > witness.before


def test_signs_count_per_element():
    signs = torch.ones(2, 3, dtype=torch.float64)
    signs[:, 1] = 0
    model = Formula(lambda x: x * torch.tensor([1.0, -1.0, 1.0]))
    assert search(model, signs=signs).look(200) is None
    assert search(model).look(200).element[1] == 1


def test_the_same_call_gives_the_same_pair():
    first, second = (search(normed(), domain=UNIT, seed=3).look(300) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.lower + first.upper, second.lower + second.upper, strict=True))


def test_the_budget_is_kept():
    for model in (positive(mlp(nn.Tanh())), Formula(lambda x: x + x.mean(0))):
        hunt = search(model)
        assert hunt.look(200) is None
        assert 200 <= hunt.calls <= 230
        assert hunt.look(0) is None


def test_rows_are_stacked_only_where_they_are_apart():
    apart, joined = search(positive(mlp(nn.Tanh()))), search(Formula(lambda x: x + x.mean(0)))
    for hunt in (apart, joined):
        hunt.look(20)
    assert (apart.table.apart, joined.table.apart) == (True, False)


def test_a_model_that_fails_on_some_inputs_is_searched_all_the_same():
    def picky(x):
        if len(x) != 2:
            raise ValueError("two rows")
        return -x

    assert search(Formula(picky)).look(200) is not None


def test_whole_numbers_and_truth_values_move_too():
    steps = torch.tensor([[1, 2], [3, 4]])
    for inputs, model in ((steps, Formula(lambda x: -x)), (steps > 2, Formula(lambda x: (~x).float()))):
        witness = search(model, inputs=inputs).look(200)
        assert witness.lower[0].dtype is inputs.dtype


def test_a_proposed_pair_is_looked_at_first():
    # It falls inside a ball of radius 1e-4 only.
    at = torch.tensor([0.123456, 0.654321, 0.271828])
    model = Formula(lambda x: x.sum(1) - 0.01 * ((x - at).abs().sum(1) < 1e-4).float())
    assert search(model, domain=UNIT).look(300) is None
    lower = (at - torch.tensor([1e-3, 0, 0])).repeat(2, 1)
    witness = search(model, domain=UNIT).look(60, [((lower,), (at.repeat(2, 1),))])
    assert witness is not None


def test_seeds_lead_to_a_kink():
    model = Formula(lambda x: torch.where(x.sum(1) > 2.0123, x.sum(1) - 1e-4, x.sum(1)))
    question = asked(X, 1, UNIT)
    graph = capture(model, question.inputs)
    found = seeds(graph, walk(graph, question.facts()), question)
    assert found
    assert all(float(abs(x.sum(1) - 2.0123).min()) < 0.05 for (x,) in found)
    assert search(model, domain=UNIT).look(150, found) is not None


def test_seeds_name_operators_that_have_rules():
    assert set(TURNS) <= set(RULES)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), way=st.sampled_from([1, -1]), high=st.sampled_from([0.3, 1.0, 1e30, float("inf")]))
def test_points_lie_in_the_domain_and_lines_in_order(seed, way, high):
    question = asked(X.half() * 0, way, (-0.1, high))
    space = Space(question, ALL, torch.Generator().manual_seed(seed))
    for points in (space.starts(9, seed), space.corners(9, seed)):
        first, last = space.ends(points, space.scales(9, seed))
        lines = space.between(
            first, last, torch.ones_like(first, dtype=torch.bool), torch.linspace(0, 1, 5).double().expand(9, 5)
        )
        for value in (points, lines.reshape(45, -1)):
            assert bool(((value >= space.low) & (value <= space.high)).all())
            held = space.inputs(value)[0]
            assert held.dtype is torch.float16
            assert torch.equal(held.double().reshape(value.shape), value)
        assert bool((lines.nan_to_num(0, 6e4, -6e4).diff(dim=1) * way >= 0).all())


LIARS = {
    "members in the wrong order": lambda u, v: (v, u),
    "a free element that differs": lambda u, v: (u, v + torch.tensor([0.0, 0.0, 0.01])),
    "outside the domain": lambda u, v: (u, v + torch.tensor([9.0, 0.0, 0.0])),
    "the same twice": lambda u, v: (u, u),
}


@pytest.mark.parametrize("lie", LIARS)
def test_the_court_rejects_a_pair_that_is_no_pair(lie):
    model = Formula(lambda x: -x)
    question = asked(X, torch.tensor([1.0, 1.0, 0.0]), UNIT)
    court = Court(model, question, 1e-5, lambda: None)
    lower, upper = X, X + torch.tensor([0.1, 0.0, 0.0])
    assert court.witness((lower,), (upper,), (0, 0)) is not None
    a, b = LIARS[lie](lower, upper)
    assert court.witness((a,), (b,), (0, 0)) is None
    assert court.witness((lower,), (upper,), (1, 2)) is None


def test_softplus_in_float64_is_exact_where_the_model_cannot_tell():
    # At 20 torch switches to x, which lies 2.06e-9 below.
    x = torch.tensor([19.999999999, 20.000000001], dtype=torch.float64)
    plain = nn.functional.softplus(x)
    with _Exact(2.0**-23):
        exact = nn.functional.softplus(x)
    assert float(plain.diff()) < 0 < float(exact.diff())


def test_a_cast_inside_forbids_the_word_of_float64():
    with _Exact(0.0), pytest.raises(TypeError, match="leaves float64"):
        torch.ones(2, dtype=torch.float64).float()


def test_the_bits_of_a_float64_are_not_those_of_the_model():
    """The bits rise in float32; those of the copy in float64, read as two numbers, would fall by 0.002."""
    rises = Formula(lambda x: x.sum(1) + 1e-12 * x.view(torch.int32).float().sum(1))
    assert search(rises, domain=(0.01, 1.0)).look(300) is None


def test_a_model_that_gives_more_numbers_in_float64_is_searched_as_it_is():
    hunt = search(Formula(lambda x: -x.view(torch.int32).float()), domain=(0.01, 1.0))
    assert hunt.look(100).arithmetic == "as given"


def test_what_compiles_itself_still_runs_after_a_search():
    """A dispatch mode around torch.cond would make dynamo skip it in all later calls, which then fail."""
    model = Formula(lambda x: torch.cond(x.sum() > 1, lambda x: 2 * x, lambda x: -x, (x,)))
    for _ in range(2):
        assert search(model).look(100) is not None
        assert torch.equal(model(X), 2 * X)


def test_the_search_leaves_the_model_alone():
    model = normed()
    before = copy.deepcopy(model.state_dict())
    search(model).look(100)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
