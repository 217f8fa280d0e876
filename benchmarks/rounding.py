"""How often do two calls in floating point disagree about an order that holds in real arithmetic?

Networks of non-negative weights, pairs of inputs that differ by one unit in the last place, or by a real step, in one
feature. Both inputs are evaluated in batches of one shape, or of two different ones. Figures go to
benchmarks/results/rounding.json; docs/proof.md has what they say.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import torch
from _tabular import records
from torch import Tensor, nn

RESULTS = records.RESULTS / "rounding.json"
PAIRS = 4096
BATCHES = ((64, 64), (1, 1), (64, 1), (64, 7))
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softplus": nn.Softplus}


def network(inputs: int, width: int, activation: type[nn.Module], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    sizes = [inputs, width, width, 1]
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        layers += [nn.Linear(a, b), *([activation()] if i < 2 else [])]
        with torch.no_grad():
            layers[-1 if i == 2 else -2].weight.abs_()  # type: ignore[union-attr, operator]
    return nn.Sequential(*layers).eval()


def scores(net: nn.Module, x: Tensor, batch: int) -> Tensor:
    with torch.no_grad():
        return torch.cat([net(part) for part in x.split(batch)]).squeeze(1)


def inverted(net: nn.Module, inputs: int, step: str, batches: tuple[int, int], seed: int) -> tuple[float, float]:
    """The share of pairs whose order is turned, and the largest drop relative to the mean score."""
    random = torch.Generator().manual_seed(seed)
    count = PAIRS // 8 if 1 in batches else PAIRS
    x = torch.randn(count, inputs, generator=random)
    above = x.clone()
    rows, feature = torch.arange(count), torch.randint(inputs, (count,), generator=random)
    here = x[rows, feature]
    ulp = torch.nextafter(here, torch.full_like(here, float("inf")))
    above[rows, feature] = ulp if step == "ulp" else here + torch.rand(count, generator=random)
    first, second = scores(net, x, batches[0]), scores(net, above, batches[1])
    falls = first > second
    return float(falls.float().mean()), float((first - second).max().clamp(min=0) / first.abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    seeds, measured = range(options.seeds), []
    torch.set_num_threads(1)
    print(f"{'step':<10}{'batches':<10}{'activation':<12}{'inverted, smallest to largest':<32}{'largest drop':>12}")
    for step in ("ulp", "real"):
        for batches in BATCHES:
            for name, activation in ACTIVATIONS.items():
                found = [
                    inverted(network(inputs, width, activation, s), inputs, step, batches, s)
                    for inputs, width in ((20, 64), (300, 512))
                    for s in seeds
                ]
                shares, drops = [f[0] for f in found], max(f[1] for f in found)
                measured.append(
                    {"step": step, "batches": batches, "activation": name, "inverted": shares, "largest_drop": drops}
                )
                span = f"{min(shares):.2%} to {max(shares):.2%}"
                print(f"{step:<10}{f'{batches[0]}/{batches[1]}':<10}{name:<12}{span:<32}{drops:>12.1e}")
    print("drops are relative to the mean score; one thread")
    records.keep(options.out, f"python benchmarks/rounding.py --seeds {options.seeds}", {"measured": measured})


if __name__ == "__main__":
    main()
