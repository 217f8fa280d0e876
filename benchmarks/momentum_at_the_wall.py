"""Does it help to forget the momentum of weights that a step has carried out of their set (`clear_momentum=True`)?

Non-negative weights, each problem with several seeds, once with the momentum kept and once with it cleared: steps until
the loss is within 1e-3 of the constrained optimum, relatively, and the loss at the end. Least squares with exact
gradients and with minibatches, logistic regression with minibatches, a small MonotoneMLP, of which no optimum is
known: the steps are to within a tenth of the better end of the two, and the loss is that of all rows.

It does not (5 seeds, torch 2.13.0). A weight leaves its wall in 1 step and not in 7, but few weights have to; with
minibatches it ends higher, probably since clearing keeps just the momentum that noise has turned inwards.

    python benchmarks/momentum_at_the_wall.py [--seeds 10]
"""

import argparse
import statistics
import warnings

import numpy as np
import scipy.optimize
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import isotone
from isotone.progress import Progress

ROWS, FEATURES, BATCH = 400, 30, 32
LEVEL, LEVEL_WITHOUT_OPTIMUM = 1e-3, 0.1

# fmt: off
OPTIMIZERS = {
    "SGD, momentum 0.9":  (torch.optim.SGD,   {"momentum": 0.9}),
    "SGD, momentum 0.99": (torch.optim.SGD,   {"momentum": 0.99}),
    "Adam":               (torch.optim.Adam,  {}),
    "Adam, beta1 0.99":   (torch.optim.Adam,  {"betas": (0.99, 0.999)}),
    "NAdam":              (torch.optim.NAdam, {}),
}
PROBLEMS = {
    # name                          rows a step  steps  lr of SGD and of Adam  columns alike
    "least squares, exact":         (None,       1000,  (0.01, 0.05),          0.0),
    "least squares, correlated":    (None,       3000,  (0.01, 0.05),          0.9),
    "least squares, minibatches":   (BATCH,      3000,  (0.01, 0.05),          0.5),
    "logistic, minibatches":        (BATCH,      3000,  (0.1,  0.02),          0.5),
    "MonotoneMLP, minibatches":     (BATCH,      1500,  (0.05, 0.01),          0.0),
}
# fmt: on


def problem(name, alike, seed):
    """A model whose weights are to be held, all rows, the loss of some, and its least value inside if it is known."""
    made = torch.Generator().manual_seed(seed)
    x = (1 - alike) ** 0.5 * torch.randn(ROWS, FEATURES, generator=made)
    x = (x + alike**0.5 * torch.randn(ROWS, 1, generator=made)).double()
    # Some of it is to end at the wall; what the columns share is worth having.
    truth = (torch.randn(FEATURES, generator=made) + alike).double()
    noise = torch.randn(ROWS, generator=made).double()
    torch.manual_seed(seed)
    if name.startswith("MonotoneMLP"):
        x = torch.rand(ROWS, 6, generator=made)
        y = (x[:, 0] * x[:, 1] + torch.sin(1.5 * x[:, 2]) + (x[:, 3] > 0.5) + 0.0 * x[:, 4])[:, None]
        y = y + 0.1 * noise[:, None].float()
        model = isotone.nn.MonotoneMLP(in_features=6, hidden=(32, 32), directions=+1)
        return model, x, y, lambda model, x, y: F.mse_loss(model(x).reshape(y.shape), y), None
    model = nn.Linear(FEATURES, 1, bias=False).double()
    nn.init.uniform_(model.weight, 0.0, 0.2)
    if name.startswith("least squares"):
        y = x @ truth + noise

        def loss(model, x, y):
            return 0.5 * F.mse_loss(model(x)[:, 0], y)

        w = scipy.optimize.nnls(x.numpy(), y.numpy())[0]
    else:
        y = (x @ truth + 3 * noise > 0).double()

        def loss(model, x, y):
            return F.binary_cross_entropy_with_logits(model(x)[:, 0], y)

        signs = (2 * y - 1).numpy()[:, None] * x.numpy()
        found = scipy.optimize.minimize(
            lambda w: (
                np.logaddexp(0, -signs @ w).mean(),
                -(signs / (1 + np.exp(signs @ w))[:, None]).mean(0),
            ),
            np.full(FEATURES, 0.1),
            jac=True,
            bounds=[(0, None)] * FEATURES,
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000},
        )
        w = found.x
    best = nn.Linear(FEATURES, 1, bias=False).double()
    with torch.no_grad():
        best.weight.copy_(torch.from_numpy(w))
    return model, x, y, loss, float(loss(best, x, y).detach())


def train(name, optimizer, seed, clear):
    """The loss of all rows every ten steps."""
    rows, steps, rates, alike = PROBLEMS[name]
    model, x, y, loss, least = problem(name, alike, seed)
    held = [n for n, _ in model.named_parameters()] if least is not None else isotone.constraints_of(model)
    if least is None:
        sets = dict(held)
        isotone.remove_constraint(model)
        for n, constraint in sets.items():
            isotone.constrain(model, n, constraint, clear_momentum=clear)
    else:
        isotone.constrain(model, held, isotone.NonNegative(), clear_momentum=clear)
    make, settings = OPTIMIZERS[optimizer]
    rate = rates[make is not torch.optim.SGD] * (1 - settings.get("momentum", 0.9)) / 0.1
    optimizer = make(model.parameters(), lr=rate, **settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1 / (1 + 6 * i / steps) ** 2)
    drawn = torch.Generator().manual_seed(seed)
    seen = []
    for step in range(steps):
        here = slice(None) if rows is None else torch.randint(len(x), (rows,), generator=drawn)
        optimizer.zero_grad()
        loss(model, x[here], y[here]).backward()
        optimizer.step()
        schedule.step()
        if step % 10 == 9:
            with torch.no_grad():
                seen.append(float(loss(model, x, y)))
    return seen, least


def reached(seen, level):
    """Steps after which the loss stays at the level; all of them, if it does not."""
    last = max((i for i, value in enumerate(seen) if not value <= level), default=-1)
    return 10 * (last + 1)


def spread(values):
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:9.4g} [{low:.4g}, {high:.4g}]"


def progressing(values, title):
    with Progress() as progress:
        bar = progress.bar(title, len(values))
        for done, value in enumerate(values):
            yield value
            bar.update(done + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    print(
        "median [quartiles] over", seeds, "seeds; gap: of the last loss, relative to the least (MLP: the loss itself)"
    )
    for name in PROBLEMS:
        for optimizer in OPTIMIZERS:
            steps, ends = ([], []), ([], [])
            for seed in progressing(range(seeds), f"{name}, {optimizer}"):
                runs = [train(name, optimizer, seed, clear) for clear in (False, True)]
                least = runs[0][1]
                better_end = min(seen[-1] for seen, _ in runs)
                level = better_end * (1 + LEVEL_WITHOUT_OPTIMUM) if least is None else least * (1 + LEVEL)
                for i, (seen, _) in enumerate(runs):
                    steps[i].append(reached(seen, level))
                    ends[i].append(seen[-1] if least is None else seen[-1] / least - 1)
            faster = statistics.median(a / max(b, 1) for a, b in zip(*steps, strict=True))
            better = sum(b < a for a, b in zip(*ends, strict=True))
            for i, way in enumerate(("kept", "cleared")):
                print(
                    f"{name:27s} {optimizer:19s} {way:8s} steps {spread(steps[i]):28s} end {spread(ends[i])}",
                    flush=True,
                )
            print(f"{'':47s} kept / cleared steps {faster:.2f}; cleared ends lower in {better} of {seeds}")


if __name__ == "__main__":
    main()
