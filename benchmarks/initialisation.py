"""Does `initialize_` make constrained networks learn faster or better than projecting an ordinary start?

A made-up monotone regression (20 inputs in [0, 1], increasing in each; 2000 rows to learn from, 500 to judge on), Adam,
250 steps of 128 rows. Non-negative weights throughout, but for the last line of each group: PyTorch's own start, all
weights free. For each start the better of two learning rates by its validation error (a third set of rows); mean and
standard deviation of the test error over the seeds, as a share of the target's variance. The noise alone is 0.01.
About two minutes on one free core.

    python benchmarks/initialisation.py [--seeds 3] [--hidden 2 8]
"""

import argparse
import math

import torch
from torch import nn

import isotone
from isotone.nn import Saturating, initialize_

STEPS, EARLY, WIDTH, INPUTS = 250, 50, 64, 20
RATES = (3e-3, 3e-2)
STARTS = ("projected", "initialize_(model)", "... with rows", "... with rows, spread=1", "free")
ACTIVATIONS = {
    "ReLU": lambda _: nn.ReLU(),
    "Saturating, sides in turn": lambda depth: Saturating(above=depth % 2 == 0),
    "Tanh": lambda _: nn.Tanh(),
}


def task(seed, rows=3000):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, INPUTS, generator=g)
    slopes = torch.rand(INPUTS, generator=g)
    some = torch.randint(0, INPUTS, (12, 3), generator=g)
    y = x @ slopes / slopes.sum() + (x[:, some].amin(-1) + x[:, some].amax(-1)).mean(1)
    y = y + 0.5 * (12 * (x[:, :6].mean(1) - 0.5)).sigmoid()
    y = (y - y.mean()) / y.std() + 0.1 * torch.randn(rows, generator=g)
    x = (x - 0.5) * math.sqrt(12)  # mean 0, variance 1
    return (x[:2000], y[:2000]), (x[2000:2500], y[2000:2500]), (x[2500:], y[2500:])


def network(activation, hidden, start, rows):
    parts, width = [], INPUTS
    for depth in range(hidden):
        parts += [nn.Linear(width, WIDTH), activation(depth)]
        width = WIDTH
    model = nn.Sequential(*parts, nn.Linear(width, 1))
    if start != "free":
        isotone.constrain(model, "*.weight", isotone.NonNegative())
    if start not in {"projected", "free"}:
        initialize_(model, rows if "rows" in start else None, spread=float("spread" in start))
    return model


def errors(model, rate, seed, train, others):
    """Validation and test error, early and at the end."""
    (x, y), found = train, []
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    g = torch.Generator().manual_seed(seed)
    for step in range(1, STEPS + 1):
        rows = torch.randint(0, len(x), (128,), generator=g)
        loss = (model(x[rows]).squeeze(1) - y[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (EARLY, STEPS):
            with torch.no_grad():
                found.append([float((model(a).squeeze(1) - b).square().mean()) for a, b in others])
    return torch.tensor(found)  # (early and end, validation and test)


def measured(activation, hidden, start, seeds):
    runs = []
    for seed in range(seeds):
        train, validation, test = task(seed)
        row = []
        for rate in RATES:
            torch.manual_seed(100 + seed)
            model = network(activation, hidden, start, train[0][:500])
            row.append(errors(model, rate, seed, train, (validation, test)))
        runs.append(torch.stack(row))
    runs = torch.stack(runs).nan_to_num(nan=math.inf)  # (seeds, rates, early and end, validation and test)
    early, end = (int(runs[:, :, when, 0].mean(0).argmin()) for when in (0, 1))
    return runs[:, early, 0, 1], runs[:, end, 1, 1], RATES[end]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="at least 2")
    parser.add_argument("--hidden", type=int, nargs="+", default=[2, 8], help="hidden layers")
    said = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'hidden layers':30s}{'start':26s}{f'after {EARLY} steps':>20s}{f'after {STEPS} steps':>20s}   rate")
    for name, activation in ACTIVATIONS.items():
        for hidden in said.hidden:
            for start in STARTS:
                early, end, rate = measured(activation, hidden, start, said.seeds)
                shown = "".join(f"{float(e.mean()):>11.3f} +- {float(e.std()):.3f}" for e in (early, end))
                print(f"{f'{hidden} x {name}':30s}{start:26s}{shown}   {rate:g}", flush=True)


if __name__ == "__main__":
    main()
