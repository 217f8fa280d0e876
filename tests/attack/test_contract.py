"""Every attack, in every world, keeps the same promises."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import isotone.attack
from isotone.attack import Attacked, Moves, Search, suite
from isotone.attack._suite import SUITE

from .cases import ATTACKS, FEATURES, WORLDS, check, names, on_steps, runs_in, saturated, steps


def test_every_public_attack_has_a_row():
    public = {
        name
        for name, value in vars(isotone.attack).items()
        if inspect.isfunction(value) and inspect.signature(value).return_annotation == "Attacked"
    }
    assert public == set(ATTACKS) | {"removal"}


AT_WORK = [(name, kind) for name in ATTACKS for kind, make in WORLDS.items() if runs_in(name, make())]


@pytest.fixture(params=AT_WORK, ids="-".join)
def at_work(request):
    """An attack in a world where it can run."""
    name, kind = request.param
    return name, WORLDS[kind]()


@pytest.mark.parametrize("name", [name for name, case in ATTACKS.items() if case.gradient])
def test_an_attack_that_follows_gradients_refuses_a_victim_without_them(name):
    with pytest.raises(isotone.errors.BadInput, match=r"BlackBox has no slope\(\); this attack follows gradients"):
        WORLDS["black_box"]().run(name)


def test_an_attack_only_adds_and_what_it_claims_is_true(at_work):
    name, world = at_work
    check(world.run(name), world, ATTACKS[name].budget)


@pytest.mark.parametrize("name", ATTACKS)
def test_names_go_all_the_way_and_counts_stay_whole(name):
    world = WORLDS["counts"]()
    world = world if runs_in(name, world) else steps()
    assert on_steps(world.run(name), world)


@pytest.mark.parametrize("name", ["greedy", "polish", "exhaustive"])
def test_a_dip_on_the_way_of_a_count_is_found_without_a_gradient_or_a_benign_row_that_shows_it(name):
    victim = isotone.attack.BlackBox(lambda x: 1.0 - 2.0 * ((x[:, 0] >= 3) & (x[:, 0] <= 6)), torch.zeros(1, 2))
    moves = Moves.between((1, 1), 0.0, 10.0, step=1.0)
    found = suite(victim, torch.zeros(3, 2), 0.0, moves, torch.tensor([[10.0, 1.0]]))
    assert found.named(name).additions.tolist() == [1, 1, 1]


def test_a_model_that_writes_into_its_rows_changes_nobody_elses():
    def fills_in(rows):
        rows[np.isnan(rows)] = 0.0
        return 1.5 - rows.sum(1)

    for count in (255, 256):  # a block that is filled up, and a whole one
        x = torch.tensor([[0.0, 1.0, torch.nan]]).repeat(count, 1)
        victim = isotone.attack.BlackBox(fills_in, x[:4].clone())
        found = isotone.attack.greedy(victim, x, -1.0, Moves.of_names((1, 1, 1)))
        assert bool(x[:, 2].isnan().all())
        assert bool(found.examples[:, 2].isnan().all())
        assert found.additions.tolist() == [-1] * count


def test_a_budget_is_a_whole_number_of_any_kind_or_none():
    world = names()
    for name in ("greedy", "bca", "grosse", "pgd_l1", "stepwise_max"):
        run = getattr(isotone.attack, name)
        given = (world.victim, world.x, world.threshold, world.moves)
        assert torch.equal(run(*given, np.int64(3)).additions, run(*given, 3).additions)
        assert int((run(*given, None).additions > 0).sum()) >= int((run(*given, 3).additions > 0).sum())


def test_some_attacks_stop_on_the_way():
    world = WORLDS["counts"]()
    world = replace(world, victim=isotone.attack.Differentiable(lambda x: (x[:, 2] - 2) ** 2 - 0.5), x=world.x * 0)
    attacked = world.run("pgd_linf", threshold=0.0)
    assert set(attacked.examples[:, 2].tolist()) == {2.0}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_something_somewhere(name):
    worlds = [make() for make in WORLDS.values()]
    assert any(bool(world.run(name).evaded.any()) for world in worlds if runs_in(name, world))


def test_an_attack_gives_the_same_twice_and_leaves_its_input_alone(at_work):
    name, world = at_work
    x, benign = world.x.clone(), world.benign.clone()
    one, two = world.run(name), world.run(name)
    assert torch.equal(one.additions, two.additions)
    assert torch.equal(one.scores, two.scores)
    assert torch.equal(one.examples, two.examples)
    assert torch.equal(world.x, x)
    assert torch.equal(world.benign, benign)


def test_a_row_does_not_depend_on_its_neighbours(at_work):
    name, world = at_work
    together = world.run(name)
    for row in (0, 7):
        alone = world.run(name, x=world.x[row : row + 1])
        assert torch.equal(alone.additions, together.additions[row : row + 1])
        assert torch.equal(alone.examples, together.examples[row : row + 1])


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_leaves_no_gradients_in_the_model(name):
    world = names()
    world.run(name)
    assert all(p.grad is None for p in world.victim._score.parameters())


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_an_attack_works_where_gradients_are_switched_off(name, context):
    world = names()
    with context():
        attacked = world.run(name)
    assert torch.equal(attacked.additions, world.run(name).additions)


def test_a_name_is_merged_whole_or_not_at_all():
    moves = Moves.between((1, 1, -1, 1), 0.0, 1.0, step=[math.inf, 0.0, math.inf, math.nan])
    row = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    assert moves.toward(row, torch.tensor([0.5, 0.5, 0.5, 0.5])).tolist() == [[0.0, 0.5, 1.0, 0.5]]
    assert moves.toward(row, torch.tensor([1.0, 1.0, 0.0, 1.0])).tolist() == [[1.0, 1.0, 0.0, 1.0]]
    assert not moves.whole
    assert Moves.of_names((1, -1, 0)).whole


NO_MOVES = Moves([False] * FEATURES, [1.0] * FEATURES, [0] * FEATURES)
# fmt: off
EDGES = [
    # change to the world                                additions    why
    ({"x": torch.zeros(0, FEATURES)},                    set(),       "no rows, no answers"),
    ({"threshold": math.inf},                            {0},         "nothing is above infinity: no victims"),
    ({"threshold": -math.inf},                           {-1},        "no finite score comes down to minus infinity"),
    ({"x": torch.ones(4, FEATURES), "threshold": -99.0}, {-1},        "all features are at their targets"),
    ({"moves": NO_MOVES, "threshold": -99.0},            {-1},        "nothing is addable"),
]
# fmt: on


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(("change", "additions", "why"), EDGES, ids=[why for *_, why in EDGES])
def test_edges(name, change, additions, why):
    attacked = names().run(name, **change)
    assert set(attacked.additions.tolist()) == additions
    assert attacked.examples.shape == (len(attacked.additions), FEATURES)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_score_of_nan_is_refused(name):
    x = names().x.clone()
    x[3, 0] = math.nan
    with pytest.raises(isotone.errors.BadInput, match="row 3, as it came or with additions, has the score NaN"):
        names().run(name, x=x)


def test_missing_values_are_never_touched():
    world = names()
    x = world.x.clone()
    x[:, 0] = torch.nan
    victim = isotone.attack.BlackBox(lambda x: 2.5 - x[:, 1:].sum(1), sample=x)
    for name in [name for name, case in ATTACKS.items() if not case.gradient]:
        check_input = replace(world, victim=victim, x=x, threshold=-1.0)
        attacked = check_input.run(name)
        assert bool(attacked.examples[:, 0].isnan().all())
        assert bool(attacked.evaded.any())


def test_the_suite_runs_every_attack_that_is_cheap_enough_and_tells_how_far_it_is():
    world, seen = names(), []
    attacks = suite(
        world.victim,
        world.x,
        world.threshold,
        world.moves,
        world.benign,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [a.name for a in attacks] == list(SUITE)
    assert attacks.skipped == {}
    for attacked in attacks:
        check(attacked, world)
    assert seen == sorted(seen)
    assert seen[-1] == (100 * len(SUITE),) * 2


def test_the_suite_leaves_exhaustive_out_where_it_is_dear():
    world = names()
    wide = torch.zeros(2, 30)
    moves = Moves.between((1,) * 30, 0.0, 1.0)
    victim = isotone.attack.Differentiable(lambda x: 1 - x[:, :3].sum(1))
    attacks = suite(victim, wide, 0.0, moves, torch.ones(2, 30))
    assert attacks.skipped == {"exhaustive": "it would try every subset, and there are too many"}
    assert world.x.shape[1] < 30


def test_what_cannot_run_is_skipped_by_name_and_never_taken_for_no_evasion():
    world = WORLDS["black_box"]()
    found = suite(world.victim, world.x, world.threshold, world.moves, world.benign)
    gradient = {name for name, case in ATTACKS.items() if case.gradient}
    assert set(found.skipped) == gradient
    lines = {line["attack"]: line for line in found.table()}
    assert set(lines) == set(SUITE)
    for name in gradient:
        assert lines[name] == {"attack": name, "ran": False, "why": "it follows gradients, and this victim has none"}
    without = suite(world.victim, world.x, world.threshold, world.moves, world.benign[:0], only=("benign_merge", "bca"))
    assert not len(without)
    assert without.skipped["benign_merge"] == "it borrows from benign rows, and there are none"
    assert without.skipped["greedy"] == "it was not asked for"
    with pytest.raises(isotone.errors.NoMatch, match=r"'gredy' matches no attack.*Did you mean 'greedy'"):
        suite(world.victim, world.x, world.threshold, world.moves, world.benign, only=("gredy",))


def test_the_suite_says_per_attack_what_it_took_and_whether_its_control_works():
    world = names()
    found = suite(world.victim, world.x, world.threshold, world.moves, world.benign, removals=True)
    control = suite(isotone.attack.Differentiable(lambda x: 2.5 - x.sum(1)), world.x, 0.0, world.moves, world.benign)
    assert found.fewest.equal(found.named("exhaustive").additions)  # nothing needs less than the truth
    assert found.curve()[0] == found.curve((0,))[0] == float(found[0].victims.double().mean())
    assert found.removals is not None
    assert found.removals.name == "removal"
    assert all(attacked.name != "removal" for attacked in found)
    for line in found.table(control):
        assert line["queries"] > 0
        assert line["curve"] == sorted(line["curve"], reverse=True)
        assert line["conclusive"] == (line["control_evasion"] >= 0.5)
    assert not any(line["conclusive"] for line in found.table())  # without a control nothing is


def test_polish_needs_no_more_than_where_it_started():
    world = WORLDS["ties"]()
    start = world.run("benign_merge")
    short = isotone.attack.polish(world.victim, world.x, world.threshold, world.moves, [start])
    both = start.evaded
    assert bool((short.additions[both] <= start.additions[both]).all())
    assert bool((short.additions[both] < start.additions[both]).any())
    truth = world.run("exhaustive")
    assert bool((short.additions[truth.evaded] >= truth.additions[truth.evaded]).all())


def test_polish_refuses_a_start_that_does_more_than_add():
    world = replace(saturated(), threshold=-99.0)
    with pytest.raises(isotone.attack.BrokenAttack, match="attack 'liar': row 0"):
        isotone.attack.polish(world.victim, world.x, world.threshold, world.moves, [lie_forbidden(world)])


def test_removals_only_remove_and_are_told_apart():
    world = names()
    found = isotone.attack.removal(world.victim, world.x, world.threshold, world.moves)
    assert found.name == "removal"
    assert bool(found.evaded.any())
    assert bool((found.examples <= world.x).all())
    check(found, replace(world, moves=world.moves.opposite()))


# Liars: each claims to be an attack, and does what no attack may.


def claim(world, examples, additions=None):
    count = (examples != world.x).sum(1)
    scores = world.victim.score(examples).double()
    found = torch.where(scores <= world.threshold, count, -1)
    found[world.victim.score(world.x) <= world.threshold] = 0
    return Attacked("liar", found if additions is None else additions, scores, examples)


def changed(world, row, feature, value):
    examples = world.x.clone()
    examples[row, feature] = value
    return examples


def lie_remove(world):
    row, feature = (world.x[:, :2] == 1).nonzero()[0].tolist()
    return claim(world, changed(world, row, feature, 0.0))


def lie_forbidden(world):
    return claim(world, changed(world, 0, 2, 1.0 - world.x[0, 2]))


def lie_too_far(world):
    return claim(world, changed(world, 0, 0, 2.0))


def lie_over_budget(world):
    return claim(world, world.moves.moved(world.x, world.moves.available(world.x)))


def lie_without_evading(world):
    detected = world.victim.score(world.x) > world.threshold
    return claim(world, world.x.clone(), detected.long())


def lie_about_count(world):
    attacked = world.run("greedy")
    return replace(attacked, additions=attacked.additions + attacked.evaded)


LIARS = [
    (lie_remove, "which went where it must not"),
    (lie_forbidden, "which is not addable"),
    (lie_too_far, "which went where it must not"),
    (lie_over_budget, r"additions with a budget of 3"),
    (lie_without_evading, "an evading row is at or below the threshold"),
    (lie_about_count, "additions are what changed"),
]


@pytest.mark.parametrize(("lie", "message"), LIARS, ids=[lie.__name__ for lie, _ in LIARS])
def test_the_contract_rejects_a_liar(lie, message):
    world = saturated()
    with pytest.raises(AssertionError, match=message):
        check(lie(world), world, budget=3)


# The same inside an attack: nothing wrong leaves `Search`.


def search_of(world, budget=None):
    return Search("mine", world.victim, world.x, world.threshold, world.moves, budget=budget)


@pytest.mark.parametrize(
    ("feature", "value", "message"),
    [
        (0, -1.0, "changed feature 0 from 0.0 to -1.0, which went where it must not"),
        (2, 1.0, "changed feature 2 from 0.0 to 1.0, which is not addable"),
        (3, 1.5, "changed feature 3 from 0.0 to 1.5, which went where it must not"),
        (3, math.nan, "changed feature 3 from 0.0 to nan, which went where it must not"),
    ],
)
def test_a_search_refuses_to_hand_out_more_than_additions(feature, value, message):
    world = replace(saturated(), x=torch.zeros(5, FEATURES), threshold=-0.5)
    search = search_of(world)
    wrong = search.home.clone()
    wrong[:, feature] = value
    search.offer(search.everyone(), wrong, torch.full((5,), -7.0, dtype=torch.float64))
    with pytest.raises(isotone.attack.BrokenAttack, match=f"attack 'mine': row 0 {message}; an attack may only add"):
        search.result()


def test_a_search_refuses_to_hand_out_more_than_its_budget():
    world = replace(saturated(), x=torch.zeros(5, FEATURES), threshold=-0.5)
    search = search_of(world, budget=2)
    every = search.moves.moved(search.home, search.moves.available(search.home))
    search.offer(search.everyone(), every, search.ask(every))
    with pytest.raises(isotone.attack.BrokenAttack, match="row 0 has 7 additions with a budget of 2"):
        search.result()


def test_a_score_that_changes_from_call_to_call_is_noticed():
    world = names()
    torch.manual_seed(0)
    noisy = isotone.attack.Differentiable(lambda x: x.sum(1) + torch.rand(len(x)))
    with pytest.raises(isotone.errors.BadInput, match=r"the same row must have the same score.*model\.eval\(\)"):
        names().run("greedy", victim=noisy, threshold=-1.0)
    assert world.run("greedy").victims.any()
