"""How long does a proof take, beside a forward pass of the model?

Multilayer networks with non-negative weights, and one with free inputs, of a tenth of a million to ten million
parameters. Everything in one process on one thread, medians; export is a cost of its own.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import isotone
from isotone.certify._capture import capture
from isotone.certify._judge import judge
from isotone.certify._question import asked
from isotone.certify._state import digest
from isotone.nn import MonotoneMLP


def network(width: int, depth: int) -> nn.Module:
    sizes = [1024, *[width] * depth, 1024, 1]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    net = nn.Sequential(*layers[:-1]).eval()
    isotone.constrain(net, "*.weight", isotone.NonNegative())
    return net


def medians(rounds: int, *work: Callable[[], object]) -> list[float]:
    """Milliseconds of each, taken in turn so that a busy machine slows all alike."""
    taken: list[list[float]] = [[] for _ in work]
    for _ in range(rounds):
        for times, one in zip(taken, work, strict=True):
            start = time.perf_counter()
            one()
            times.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(times) for times in taken]


def line(name: str, model: nn.Module, ways: object, rounds: int) -> None:
    x = torch.randn(1, 1024)
    question = asked(x, torch.tensor(ways), None)
    capture(model, question.inputs)  # the first export of a process loads what it needs
    start = time.perf_counter()
    traced = capture(model, question.inputs)
    export = 1e3 * (time.perf_counter() - start)
    with torch.no_grad():
        forward, proof = medians(rounds, lambda: model(x), lambda: judge(traced, question))
    found = judge(traced, question)
    hashed = medians(3, lambda: digest(model))[0]
    means = found.used[0] if found.stopped is None else f"not proved: {found.stopped.reason}"
    count = sum(p.numel() for p in model.parameters())
    figures = f"{forward:>9.2f}{proof:>8.2f}{proof / forward:>7.2f}{export:>8.0f}{hashed:>7.1f}"
    print(f"{name:<30}{count:>12,}{figures}   {means}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = {
        "128 wide, 3 deep": (network(128, 3), 1),
        "512 wide, 4 deep": (network(512, 4), 1),
        "1536 wide, 4 deep": (network(1536, 4), 1),
        "MonotoneMLP, one input free": (
            MonotoneMLP(1024, hidden=(512, 512), directions=(0, *[1] * 1023)).eval(),
            (0, *[1] * 1023),
        ),
    }
    print(f"{'model':<30}{'parameters':>12}{'forward':>9}{'proof':>8}{'ratio':>7}{'export':>8}{'hash':>7}   means")
    for name, (model, ways) in models.items():
        line(name, model, ways, rounds)
    print("times in ms; forward is one row; proof is everything after the export")


if __name__ == "__main__":
    main()
