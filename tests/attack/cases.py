"""Every attack, and the small worlds that each of them is tried in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isotone.attack import (
    Attacked,
    BlackBox,
    Differentiable,
    HasSlope,
    Moves,
    Victim,
    bca,
    benign_merge,
    best_words,
    bga,
    dfgsm,
    dictionary_words,
    everything,
    exhaustive,
    first_words,
    frequent_words,
    greedy,
    greedy_unlimited,
    grosse,
    only_adds,
    pgd_l1,
    pgd_l2,
    pgd_linf,
    polish,
    random_additions,
    ratio_words,
    rfgsm,
    stepwise_max,
)


class Case(NamedTuple):
    run: Callable[..., Attacked]  # of victim, x, threshold, moves, benign
    budget: int | None
    why: str
    gradient: bool = False


def polished(v, x, t, m, b):
    return polish(v, x, t, m, [benign_merge(v, x, t, m, b, tries=5), greedy(v, x, t, m, 1)])


# Bad rows that an attacker knows; the same whatever rows are attacked.
def known(moves):
    return (torch.rand(6, moves.features, generator=torch.Generator().manual_seed(7)) < 0.5).float()


# fmt: off
ATTACKS = {
    "greedy":           Case(lambda v, x, t, m, b: greedy(v, x, t, m, 3),                    3,    "one after another"),
    "greedy_unlimited": Case(lambda v, x, t, m, b: greedy_unlimited(v, x, t, m),             None, "what budgets hide"),
    "benign_merge":     Case(lambda v, x, t, m, b: benign_merge(v, x, t, m, b, tries=20),    None, "knows nothing"),
    "everything":       Case(lambda v, x, t, m, b: everything(v, x, t, m),                   None, "all that helps"),
    "exhaustive":       Case(lambda v, x, t, m, b: exhaustive(v, x, t, m, 3),                3,    "the truth"),
    "polish":           Case(polished,                                                       None, "starts late"),
    "random_additions": Case(lambda v, x, t, m, b: random_additions(v, x, t, m, draws=4),    None, "without a plan"),
    "dictionary_words": Case(lambda v, x, t, m, b: dictionary_words(v, x, t, m),             None, "any words"),
    "frequent_words":   Case(frequent_words,                                                 None, "frequent words"),
    "ratio_words":      Case(lambda v, x, t, m, b: ratio_words(v, x, t, m, b, bad=known(m)), None, "good words"),
    "first_words":      Case(lambda v, x, t, m, b: first_words(v, x, t, m, b, bad=known(m)), None, "asks for verdicts"),
    "best_words":       Case(lambda v, x, t, m, b: best_words(v, x, t, m, b, bad=known(m)),  None, "asks for scores"),
    "grosse":           Case(lambda v, x, t, m, b: grosse(v, x, t, m, 3),                    3,    "greedy", True),
    "bca":              Case(lambda v, x, t, m, b: bca(v, x, t, m, 3),                       3,    "one bit", True),
    "bga":              Case(lambda v, x, t, m, b: bga(v, x, t, m, steps=6),                 None, "many bits", True),
    "rfgsm":            Case(lambda v, x, t, m, b: rfgsm(v, x, t, m),                        None, "by chance", True),
    "dfgsm":            Case(lambda v, x, t, m, b: dfgsm(v, x, t, m),                        None, "at one half", True),
    "pgd_l1":           Case(lambda v, x, t, m, b: pgd_l1(v, x, t, m, 3, steps=10),          3,    "projected", True),
    "pgd_l2":           Case(lambda v, x, t, m, b: pgd_l2(v, x, t, m, 3, steps=10),          3,    "projected", True),
    "pgd_linf":         Case(lambda v, x, t, m, b: pgd_linf(v, x, t, m, 3, steps=10),        3,    "projected", True),
    "stepwise_max":     Case(lambda v, x, t, m, b: stepwise_max(v, x, t, m, 3, steps=10),    3,    "all three", True),
}
# fmt: on


@dataclass(frozen=True)
class World:
    victim: Victim
    x: Tensor
    threshold: float
    moves: Moves
    benign: Tensor

    def run(self, name: str, **other) -> Attacked:
        world = replace(self, **other)
        return ATTACKS[name].run(world.victim, world.x, world.threshold, world.moves, world.benign)


FEATURES, ROWS = 8, 12


def network(seed: int, features: int = FEATURES, hidden: int = 16) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, 1)).eval()
    with torch.no_grad():
        net[2].weight.mul_(3)
    return net


def median_threshold(victim: Victim, x: Tensor) -> float:
    return float(victim.score(x).double().quantile(0.3))


def names(seed: int = 0) -> World:
    victim = Differentiable(network(seed))
    x = (torch.rand(ROWS, FEATURES) < 0.4).float()
    addable = torch.arange(FEATURES) != 2
    moves = Moves.of_names(addable.to(torch.int8).tolist())
    return World(victim, x, median_threshold(victim, x), moves, (torch.rand(9, FEATURES) < 0.5).float())


def numbers() -> World:
    """Up, down and not at all; some values are past their target already."""
    victim = Differentiable(network(1))
    x, benign = torch.randn(ROWS, FEATURES), torch.randn(9, FEATURES)
    moves = Moves.between((1, -1, 0, 1, -1, 1, -1, 0), low=-1.0, high=1.0)
    return World(victim, x, median_threshold(victim, x), moves, benign)


def counts() -> World:
    """Names, whole counts and any numbers; all may stop on their way."""
    victim = Differentiable(network(4))
    x, benign = torch.zeros(ROWS, FEATURES), torch.rand(9, FEATURES)
    x[:, 2:5] = torch.randint(0, 3, (ROWS, 3)).float()
    x[:, 5:] = torch.randn(ROWS, 3).clamp(-1.0, 1.0)
    benign[:, :2] = (benign[:, :2] > 0.5).float()
    benign[:, 2:5] = (5 * benign[:, 2:5]).floor()
    step = [torch.inf] * 2 + [1.0] * 3 + [0.0] * 3
    moves = Moves.between((1, 1, 1, 1, 1, 1, -1, 0), low=-1.0, high=[1, 1, 4, 4, 4, 1, 1, 1], step=step)
    return World(victim, x, median_threshold(victim, x), moves, benign)


def steps() -> World:
    """The same, with steps for all numbers."""
    world = counts()
    return replace(world, moves=replace(world.moves, step=world.moves.step.where(world.moves.step > 0, 0.5)))


def black_box() -> World:
    world = names(2)
    victim = BlackBox(lambda x: 3.0 * (x[:, 0] + x[:, 1]) - (x[:, 3] + 2 * x[:, 5] > 1), world.x[:4], world.benign)
    return replace(world, victim=victim, threshold=1.0)


def saturated() -> World:
    """A gradient of exactly 0 everywhere: only exact scores tell anything."""
    world = names(3)
    weight = torch.tensor([3.0, 2.0, -1.0, -4.0, -1.0, 1.0, -2.0, 0.0])
    return replace(world, victim=Differentiable(lambda x: (x @ weight).round()), threshold=0.0)


def ties() -> World:
    """Equal rows, equal weights, equal benign rows."""
    victim = Differentiable(lambda x: 1.5 - x.sum(1))
    moves = Moves.between((1,) * FEATURES, 0.0, 1.0)
    return World(victim, torch.zeros(ROWS, FEATURES), 0.0, moves, torch.ones(3, FEATURES))


WORLDS = {f.__name__: f for f in (names, numbers, counts, black_box, saturated, ties)}


def runs_in(name: str, world: World) -> bool:
    """Whether an attack can run there at all."""
    if name == "exhaustive" and bool(world.moves.stops(world.x).isinf().any()):
        return False
    return isinstance(world.victim, HasSlope) or not ATTACKS[name].gradient


def on_steps(attacked: Attacked, world: World) -> bool:
    """Whether whole counts stay whole, and names go all the way."""
    moves, differ = world.moves, attacked.examples != world.x
    assert not bool(moves.step.isnan().any()), "a world that says where features may stop"
    way = (attacked.examples - world.x).abs()
    whole = (way / moves.step).nan_to_num(nan=0.0)
    end = attacked.examples == moves.target
    fits = torch.where(moves.step.isinf(), end, (moves.step == 0) | end | (whole == whole.round()))
    return bool(fits[differ].all())


def check(attacked: Attacked, world: World, budget: int | None = None) -> None:
    """What every attack promises."""
    only_adds(world.x, attacked.examples, world.moves, budget, attack=attacked.name)
    before, after = world.victim.score(world.x).double(), world.victim.score(attacked.examples).double()
    detected = before > world.threshold
    assert torch.equal(attacked.victims, detected), "victims are the detected rows"
    assert bool((after[attacked.evaded] <= world.threshold).all()), "an evading row is at or below the threshold"
    assert bool((after[detected & ~attacked.evaded] > world.threshold).all()), "an evasion that was not counted"
    count = (attacked.examples != world.x).sum(1)
    assert torch.equal(count[attacked.evaded], attacked.additions[attacked.evaded]), "additions are what changed"
    assert not bool(count[~detected].any()), "rows that are no victims stay as they are"
    torch.testing.assert_close(attacked.scores[~attacked.evaded], after[~attacked.evaded], msg="scores of the rest")
    assert bool((attacked.scores <= after + 1e-5).all()), "the lowest score is not above that of the example"
    assert bool((attacked.scores <= before + 1e-5).all()), "the lowest score is not above that of the row itself"
