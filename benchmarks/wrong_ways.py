"""What does each usual way of keeping weights non-negative do, and what does the right one do?

A made-up detector: rows are sets of names, 20 of them suspicious, 20 harmless (commoner in good rows) and 5 that no
training row has; one row in six is bad. One small network (45-24-12-1, Tanh) is trained in each way: 250 steps of 256
rows with Adam. Then it is judged by the weights it has when training ends, put into plain layers, as they would be
exported or served. Mean and standard deviation over the seeds. Where weights decay, learning rate x decay x steps is 3,
that of 30,000 steps with AdamW's default of 0.01. Figures go to benchmarks/results/wrong_ways.json, and the tables of
docs/constraints.md are made of them.

    python benchmarks/wrong_ways.py [--seeds 3] [--rate 0.01]    # about 50 seconds on one core
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone.nn import Saturating, initialize_

RESULTS = Path(__file__).parent / "results" / "wrong_ways.json"
STEPS, ROWS, HIDDEN = 250, 256, (24, 12)
SUSPICIOUS, HARMLESS, UNSEEN = 20, 20, 5
NAMES = SUSPICIOUS + HARMLESS + UNSEEN
ADDITIONS = 10


# --- the task ---
@dataclass(frozen=True)
class Task:
    x: Tensor  # (rows, names): 0 or 1
    y: Tensor  # (rows, 1)
    test: tuple[Tensor, Tensor]


def rows(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Bad rows hold more suspicious names, and pairs of them; good rows hold more harmless ones."""
    y = (torch.rand(n, 1, generator=g) < 1 / 6).float()
    suspicious = 0.12 + y * torch.linspace(0.02, 0.16, SUSPICIOUS)
    harmless = 0.35 - y * torch.linspace(0.0, 0.2, HARMLESS)
    x = (torch.rand(n, SUSPICIOUS + HARMLESS, generator=g) < torch.cat([suspicious, harmless], 1)).float()
    pair = 2 * torch.randint(0, SUSPICIOUS // 2, (n,), generator=g)  # what a bad program does takes two names
    does = (y[:, 0] == 1) & (torch.rand(n, generator=g) < 0.6)
    x[does, pair[does]] = x[does, pair[does] + 1] = 1.0
    return torch.cat([x, torch.zeros(n, UNSEEN)], 1), y


def task(seed: int) -> Task:
    g = torch.Generator().manual_seed(seed)
    return Task(*rows(4000, g), rows(4000, g))


# --- the ways ---
def identity(w: Tensor) -> Tensor:
    return w


class Linear(nn.Linear):
    """`nn.Linear` that sees its weight through a function, as a hand-written layer does."""

    through = staticmethod(identity)
    before = after = staticmethod(identity)

    def forward(self, x: Tensor) -> Tensor:
        self.before(self.weight.data)
        out = F.linear(x, self.through(self.weight), self.bias)
        self.after(self.weight.data)
        return out


def clamp_(w: Tensor) -> Tensor:
    return w.clamp_(min=0)


def by_layer(**functions: Callable[[Tensor], Tensor]) -> type[Linear]:
    return type("Linear", (Linear,), {name: staticmethod(f) for name, f in functions.items()})


def network(
    layer: type[nn.Linear] = nn.Linear, activation: Callable[[int], nn.Module] = lambda _: nn.Tanh()
) -> nn.Sequential:
    sizes = (NAMES, *HIDDEN)
    parts: list[nn.Module] = []
    for depth, (n, m) in enumerate(itertools.pairwise(sizes)):
        parts += [layer(n, m), activation(depth)]
    return nn.Sequential(*parts, layer(sizes[-1], 1))


def weights(model: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in model.named_parameters() if "bias" not in name]


def nothing(model: nn.Module, x: Tensor) -> None:
    pass


@torch.no_grad()
def clamped(model: nn.Module, x: Tensor) -> None:
    for w in weights(model):
        w.clamp_(min=0)


@torch.no_grad()
def inverted(model: nn.Module, x: Tensor) -> None:
    """Raw values whose softplus is the projected ordinary start, not that start itself."""
    for w in weights(model):
        w.copy_(isotone.NonNegative().raw(w.clamp(min=0)))


def held(model: nn.Module, x: Tensor) -> None:
    isotone.constrain(model, "*.weight", isotone.NonNegative())


def held_forgetting(model: nn.Module, x: Tensor) -> None:
    isotone.constrain(model, "*.weight", isotone.NonNegative(), clear_momentum=True)


def held_and_started(model: nn.Module, x: Tensor) -> None:
    held(model, x)
    initialize_(model, x[:500])


def last_held(model: nn.Module, x: Tensor) -> None:
    isotone.constrain(model, f"{len(model) - 1}.weight", isotone.NonNegative())


def smooth(model: nn.Module, x: Tensor) -> None:
    isotone.parametrize(model, "*.weight", isotone.NonNegative())


Act = Callable[[nn.Module, Tensor], object]  # on the model and the training rows
Make = Callable[[Iterator[nn.Parameter], float], torch.optim.Optimizer]


@dataclass(frozen=True)
class Way:
    layer: type[nn.Linear] = nn.Linear
    at_start: Act = nothing
    before_step: Act = nothing
    after_step: Act = nothing
    activation: Callable[[int], nn.Module] = field(default=lambda _: nn.Tanh())
    optimizer: Make = lambda p, rate: torch.optim.Adam(p, lr=rate, fused=True)


def decaying(p: Iterator[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(p, lr=rate, weight_decay=3 / (STEPS * rate), fused=True)


# fmt: off
WAYS = {
    "no constraint":                                Way(),
    "clamped once, at the start":                   Way(at_start=clamped),
    "clamped between `backward` and `step`":        Way(before_step=clamped),
    "`.data.clamp_` in `forward`, before use":      Way(by_layer(before=clamp_)),
    "`.data.clamp_` in `forward`, after use":       Way(by_layer(after=clamp_)),
    "clamped after `step`, by hand":                Way(at_start=clamped, after_step=clamped),
    "`relu(w)` in `forward`":                       Way(by_layer(through=torch.relu)),
    "`abs(w)` in `forward`":                        Way(by_layer(through=torch.abs)),
    "`exp(w)` in `forward`":                        Way(by_layer(through=torch.exp)),
    "`softplus(w)`, no inverse":                    Way(by_layer(through=F.softplus)),
    "`softplus(w)`, inverse, raw weights decay":    Way(by_layer(through=F.softplus), inverted, optimizer=decaying),
    "`constrain`, last layer only":                 Way(at_start=last_held),
    "`parametrize`":                                Way(at_start=smooth),
    "`constrain`":                                  Way(at_start=held),
    "`constrain`, `clear_momentum`":                Way(at_start=held_forgetting),
    "`constrain`, weights decay":                   Way(at_start=held, optimizer=decaying),
    "`constrain`, `initialize_`":                   Way(at_start=held_and_started),
}
ACTIVATIONS = {
    "ReLU":                                         lambda _: nn.ReLU(),
    "LeakyReLU":                                    lambda _: nn.LeakyReLU(),
    "Softplus":                                     lambda _: nn.Softplus(),
    "Tanh":                                         lambda _: nn.Tanh(),
    "Saturating, sides in turn":                    lambda depth: Saturating(above=depth % 2 == 0),
}
OPTIMIZERS = {
    "SGD":                                          (torch.optim.SGD, {}),
    "SGD, momentum 0.9":                            (torch.optim.SGD, {"momentum": 0.9}),
    "Adam":                                         (torch.optim.Adam, {"fused": True}),
    "AdamW, weight decay 0.01":                     (torch.optim.AdamW, {"weight_decay": 0.01, "fused": True}),
    "RMSprop":                                      (torch.optim.RMSprop, {}),
}
# fmt: on
RATES = (1e-3, 1e-2, 1e-1)


# --- training and judging ---
def trained(way: Way, t: Task, seed: int, rate: float = 0.01) -> tuple[nn.Module, float]:
    """The model after training, and its mean logit before."""
    torch.manual_seed(seed)
    model = network(way.layer, way.activation)
    way.at_start(model, t.x)
    optimizer = way.optimizer(model.parameters(), rate)
    with torch.no_grad():
        shift = model(t.x[:1000]).mean().item()
    for _ in range(STEPS):
        some = torch.randint(0, len(t.x), (ROWS,))
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(t.x[some]), t.y[some]).backward()
        way.before_step(model, t.x)
        optimizer.step()
        way.after_step(model, t.x)
    return model, shift


@torch.no_grad()
def plain(way: Way, model: nn.Module) -> nn.Sequential:
    """The same function with plain layers: no wrapper, no hook."""
    copy = network(activation=way.activation)
    for ours, theirs in zip(copy, model, strict=True):
        if isinstance(ours, nn.Linear):
            through = theirs.through if isinstance(theirs, Linear) else identity
            ours.weight.copy_(through(theirs.weight))
            ours.bias.copy_(theirs.bias)
    return copy


@torch.no_grad()
def detected(model: nn.Module, t: Task) -> tuple[float, float]:
    """Per cent of bad test rows found at 1 % false alarms: as they are, and when names were added greedily."""
    x, y = t.test
    scores = model(x)[:, 0]
    threshold = scores[y[:, 0] == 0].quantile(0.99)
    bad = x[y[:, 0] == 1]
    clean = (scores[y[:, 0] == 1] > threshold).float().mean().item()
    current = bad[model(bad)[:, 0] > threshold]
    for _ in range(ADDITIONS):
        each = torch.maximum(current[:, None], torch.eye(NAMES))  # (rows, names added, names)
        found, best = model(each)[..., 0].min(1)
        current = each[torch.arange(len(best)), best][found > threshold]  # the others have got away
    return 100 * clean, 100 * len(current) / len(bad)


def auc(scores: Tensor, y: Tensor) -> float:
    ranks, positive = rankdata(scores), y.numpy() == 1
    n, m = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def stuck(way: Way, model: nn.Module, t: Task) -> float:
    """Per cent of the weights whose value the loss would raise, and whose parameter gets no gradient at all."""
    copy = plain(way, model)
    for net in (copy, model):
        net.zero_grad()
        F.binary_cross_entropy_with_logits(net(t.x), t.y).backward()
    wanted = torch.cat([w.grad.flatten() for w in weights(copy)])
    given = torch.cat([w.grad.flatten() for w in weights(model)])
    return 100 * float(((wanted < 0) & (given == 0)).double().mean())


def reloaded(way: Way, model: nn.Module, t: Task) -> str:
    """What its state dict does in plain layers."""
    other, state = network(activation=way.activation), model.state_dict()
    if set(state) != set(other.state_dict()):
        return "other keys"
    other.load_state_dict(state)
    with torch.no_grad():
        same = torch.allclose(other(t.x[:500]), plain(way, model)(t.x[:500]), atol=1e-5)
    return "the same" if same else "other scores"


def judged(way: Way, t: Task, seed: int, rate: float) -> dict[str, Any]:
    model, shift = trained(way, t, seed, rate)
    copy = plain(way, model)
    x, y = t.test
    ws = torch.cat([w.detach().flatten() for w in weights(copy)])
    with torch.no_grad():
        logits = copy(x)
    clean, attacked = detected(copy, t)
    return {
        "outside": float((-ws).clamp(min=0).max()),
        "exact 0": 100 * float((ws == 0).double().mean()),
        "unseen": float(copy[0].weight[:, -UNSEEN:].detach().mean()),
        "start": shift,
        "loss": float(F.binary_cross_entropy_with_logits(logits, y)),
        "AUC": auc(logits[:, 0], y[:, 0]),
        "stuck": stuck(way, model, t),
        "clean": clean,
        "attacked": attacked,
        "verdict": isotone.certify(copy, torch.zeros(2, NAMES), +1, domain=(0.0, 1.0), budget=300).verdict.name,
        "reloaded": reloaded(way, model, t),
    }


# --- what it says ---
def spread(values: list[float], digits: int) -> str:
    off = statistics.stdev(values) if len(values) > 1 else 0.0
    mean = f"{round(float(np.mean(values)), digits) + 0.0:.{digits}f}"  # + 0.0: no "-0.00"
    return mean if off < 0.5 * 10**-digits else f"{mean} ± {off:.{digits}f}"


def counted(said: list[str]) -> str:
    return ", ".join(f"{said.count(each)} {each}" if len(set(said)) > 1 else each for each in sorted(set(said)))


def table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    return "".join("| " + " | ".join(line) + " |\n" for line in (head, ("---",) * len(head), *lines))


# fmt: off
FIRST = {
    # column                        of each training    digits
    "farthest outside":             ("outside",         3),
    "test loss":                    ("loss",            3),
    "AUC":                          ("AUC",             3),
    "detected, %":                  ("clean",           0),
    "after 10 additions, %":        ("attacked",        0),
    "certify":                      ("verdict",         None),
}
SECOND = {
    "mean logit at start":          ("start",           2),
    "stuck, %":                     ("stuck",           0),
    "exactly 0, %":                 ("exact 0",         0),
    "weights of unseen names":      ("unseen",          2),
    "state dict in plain layers":   ("reloaded",        None),
}
# fmt: on


def measured(seeds: int, rate: float) -> dict[str, Any]:
    """Of every way, activation, and optimizer and rate: what its trainings ended with, a dict for each seed."""
    tasks = [task(seed) for seed in range(seeds)]
    started = {
        name: [
            scores(Way(at_start=held_and_started, activation=activation), tasks[seed], seed) for seed in range(seeds)
        ]
        for name, activation in ACTIVATIONS.items()
    }
    stepped = {}
    for name, (kind, settings) in OPTIMIZERS.items():
        way = Way(at_start=held_and_started, optimizer=lambda p, lr: kind(p, lr=lr, **settings))  # noqa: B023
        stepped[name] = {f"{each:g}": [scores(way, tasks[seed], seed, each) for seed in range(seeds)] for each in RATES}
    return {
        "seeds": seeds,
        "rate": rate,
        "ways": {name: [judged(way, tasks[seed], seed, rate) for seed in range(seeds)] for name, way in WAYS.items()},
        "activations": started,
        "optimizers": stepped,
    }


def scores(way: Way, t: Task, seed: int, rate: float = 0.01) -> dict[str, float]:
    model, _ = trained(way, t, seed, rate)
    x, y = t.test
    with torch.no_grad():
        logits = model(x)
    threshold = logits[y == 0].quantile(0.99)
    return {
        "loss": float(F.binary_cross_entropy_with_logits(logits, y)),
        "AUC": auc(logits[:, 0], y[:, 0]),
        "clean": 100 * float((logits[y == 1] > threshold).double().mean()),
    }


def tables(found: dict[str, Any]) -> list[str]:
    """The four of docs/constraints.md."""

    def cell(trainings: list[dict[str, Any]], key: str, digits: int | None) -> str:
        values = [row[key] for row in trainings]
        return counted(values) if digits is None else spread(values, digits)

    made = []
    for columns in (FIRST, SECOND):
        lines = [(name, *(cell(rows, *one) for one in columns.values())) for name, rows in found["ways"].items()]
        made.append(table(("way", *columns), lines))
    lines = [
        (name, *(cell(rows, key, digits) for key, digits in (("loss", 3), ("AUC", 3), ("clean", 0))))
        for name, rows in found["activations"].items()
    ]
    made.append(table(("activation", "test loss", "AUC", "detected, %"), lines))
    lines = [
        (name, *(cell(rows, "loss", 3) for rows in by_rate.values())) for name, by_rate in found["optimizers"].items()
    ]
    made.append(table(("optimizer, test loss at", *(f"lr {rate:g}" for rate in RATES)), lines))
    return made


def main() -> None:
    from _tabular import records  # noqa: PLC0415 (a test loads this file from elsewhere)

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.01, help="learning rate of the first two tables")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    command = f"python benchmarks/wrong_ways.py --seeds {given.seeds} --rate {given.rate:g}"
    records.keep(given.out, command, measured(given.seeds, given.rate))
    print("\n".join(tables(json.loads(given.out.read_text()))))


if __name__ == "__main__":
    main()
