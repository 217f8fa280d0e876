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
    Moves,
    Victim,
    benign_merge,
    everything,
    exhaustive,
    greedy,
    greedy_unlimited,
    only_adds,
)


class Case(NamedTuple):
    run: Callable[..., Attacked]  # of victim, x, threshold, moves, benign
    budget: int | None
    why: str


# fmt: off
ATTACKS = {
    "greedy":           Case(lambda v, x, t, m, b: greedy(v, x, t, m, 3),                3,    "one after another"),
    "greedy_unlimited": Case(lambda v, x, t, m, b: greedy_unlimited(v, x, t, m),         None, "what budgets hide"),
    "benign_merge":     Case(lambda v, x, t, m, b: benign_merge(v, x, t, m, b, tries=20), None, "knows nothing"),
    "everything":       Case(lambda v, x, t, m, b: everything(v, x, t, m),               None, "all that helps"),
    "exhaustive":       Case(lambda v, x, t, m, b: exhaustive(v, x, t, m, 3),            3,    "the truth"),
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
    moves = Moves(addable, torch.ones(FEATURES), addable.to(torch.int8))
    return World(victim, x, median_threshold(victim, x), moves, (torch.rand(9, FEATURES) < 0.5).float())


def numbers() -> World:
    """Up, down and not at all; some values are past their target already."""
    victim = Differentiable(network(1))
    x, benign = torch.randn(ROWS, FEATURES), torch.randn(9, FEATURES)
    moves = Moves.between((1, -1, 0, 1, -1, 1, -1, 0), low=-1.0, high=1.0)
    return World(victim, x, median_threshold(victim, x), moves, benign)


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


WORLDS = {f.__name__: f for f in (names, numbers, black_box, saturated, ties)}


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
