"""How many models that fall does the refuter refute within 150 and 1,500 calls, and does it refute one that rises?

200 models whose scores fall somewhere, in eight kinds, 25 each from seeds; 60 monotone models that a search could be
fooled by. A model that no search refutes may be monotone after all (a flipped weight need not show); it counts as not
refuted for both. `--old` names a file with another `Search` to be measured beside this one, such as
`git show 2e201d9:src/isotone/certify/_search.py`.

    python benchmarks/refuter.py [--each 25] [--calls 1500] [--old FILE]      # some minutes on one core
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isotone.certify._question import asked
from isotone.certify._search import Search

FEW = 150
UNIT = (0.0, 1.0)


class Of(nn.Module):
    """A function of the input, with parts."""

    def __init__(self, f: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x, *self.parts)


def positive(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() > 1:
                p.abs_()
    return net


def mlp(activation: Callable[[], nn.Module], depth: int = 2, width: int = 16) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k in range(depth):
        layers += [nn.Linear(width if k else 4, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def flipped(seed: int) -> nn.Module:
    """One weight of the first or the last layer of a monotone net turned round: those always show on all of space."""
    net = positive(mlp((nn.ReLU, nn.Tanh, nn.Softplus)[seed % 3], 1 + seed % 3))
    layer = [m for m in net.modules() if isinstance(m, nn.Linear)][0 if seed % 2 else -1]
    with torch.no_grad():
        layer.weight.view(-1)[seed % layer.weight.numel()].neg_()
    return net


def mostly(seed: int) -> nn.Module:
    """A signed net plus a slope, which hides most of its falls."""
    net = mlp((nn.ReLU, nn.Tanh)[seed % 2], 2, 24)
    x = torch.rand(4096, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(net(x).sum(), x)
    # Rises at 99.5 % of the points along each input.
    lift = float(-torch.quantile(slope.amin(1), 0.005))
    return Of(lambda x, f: f(x).squeeze(1) + lift * x.sum(1), net)


def dip(seed: int) -> nn.Module:
    at, width = 0.1 + 0.8 * float(torch.rand(())), 10 ** -(1 + 1.7 * float(torch.rand(())))
    return Of(lambda x: x.sum(1) - 2 * width * torch.exp(-(((x[:, seed % 4] - at) / width) ** 2)))


def jump(seed: int) -> nn.Module:
    at, size = 0.5 + 3 * float(torch.rand(())), 10 ** -(1 + 3 * float(torch.rand(())))
    return Of(lambda x: x.sum(1) - size * (x.sum(1) > at))


def mixture(seed: int) -> nn.Module:
    """Gates that sum to one over experts that each rise."""
    return Of(
        lambda x, gate, *experts: ((4 * gate(x)).softmax(1) * torch.cat([e(x) for e in experts], 1)).sum(1),
        nn.Linear(4, 3),
        *[positive(mlp(nn.ReLU, 1)) for _ in range(3)],
    )


def norm(seed: int) -> nn.Module:
    return positive(nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1)))


def gated(seed: int) -> nn.Module:
    cell = positive(nn.GRU(1, 4, batch_first=True))
    return Of(lambda x, gru: gru(x.unsqueeze(-1))[0][:, -1].sum(1), cell)


def cancelling(seed: int) -> nn.Module:
    large = 10.0 ** (3 + seed % 6)
    return Of(lambda x, f: (f(x) + large) - large, positive(mlp(nn.ReLU)))


# fmt: off
FALLING: dict[str, tuple[Callable[[int], nn.Module], Any]] = {
    "signed nets":                  (lambda s: mlp((nn.ReLU, nn.Tanh, nn.GELU)[s % 3], 1 + s % 3), UNIT),
    "one flipped weight":           (flipped, None),
    "falls at 0.5 % of the points": (mostly,  UNIT),
    "narrow dips":                  (dip,     UNIT),
    "threshold jumps":              (jump,    UNIT),
    "GELU, SiLU, Mish":             (lambda s: positive(mlp((nn.GELU, nn.SiLU, nn.Mish)[s % 3])), None),
    "LayerNorm; GRU":               (lambda s: (norm, gated)[s % 2](s), UNIT),
    "mixtures by softmax":          (mixture, UNIT),
}
RISING: dict[str, tuple[Callable[[int], nn.Module], int]] = {
    "nets":                    (lambda s: positive(mlp((nn.ReLU, nn.Tanh, nn.Softplus, nn.ELU)[s % 4], 1 + s % 3)), 2),
    "odd batches":             (lambda s: positive(mlp((nn.Tanh, nn.Sigmoid, nn.SELU)[s % 3], 2, 33)), 7),
    "weights of 1e4":          (lambda s: scaled(positive(mlp((nn.ReLU, nn.Tanh, nn.ELU)[s % 3], 2))), 3),
    "large terms that cancel": (cancelling, 2),
}
# fmt: on


def scaled(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1e4)
    return net


def other(path: Path) -> Any:
    """Another `Search`, read as if it stood in the certifier's room."""
    name = "isotone.certify._other_search"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Search


def called(search: Any, model: nn.Module, question: Any, calls: int) -> int | None:
    """How many calls a witness took; None if there is none."""
    hunt = search(model, question, 0, 1e-5, lambda: None)
    found = hunt.look(min(FEW, calls)) or hunt.look(calls - min(FEW, calls))
    return None if found is None else max(1, hunt.calls)


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--each", type=int, default=25)
    reader.add_argument("--calls", type=int, default=1500)
    reader.add_argument("--old", type=Path)
    given = reader.parse_args()
    searches = {"this": Search} | ({"old": other(given.old)} if given.old else {})
    x = torch.rand(2, 4, generator=torch.Generator().manual_seed(0))
    print(
        f"{'falling':30}"
        + "".join(f"{n + f' {FEW}':>12}{n + f' {given.calls}':>12}{'median':>8}{'s':>7}" for n in searches)
    )
    total: dict[str, list[int | None]] = {n: [] for n in searches}
    for kind, (make, domain) in FALLING.items():
        line = f"{kind:30}"
        for name, search in searches.items():
            start, took = time.perf_counter(), []
            for seed in range(given.each):
                torch.manual_seed(seed)
                took.append(called(search, make(seed), asked(x, 1, domain), given.calls))
            total[name] += took
            line += shares(took) + f"{time.perf_counter() - start:7.1f}"
        print(line, flush=True)
    print(f"{'all':30}" + "".join(shares(total[n]) + " " * 7 for n in searches))
    for kind, (make, rows) in RISING.items():
        line = f"{kind:30}"
        for search in searches.values():
            false = 0
            for seed in range(max(1, given.each * 3 // 5)):
                torch.manual_seed(seed)
                model, example = make(seed), torch.rand(rows, 4)
                false += called(search, model, asked(example, 1, None), min(given.calls, 600)) is not None
            line += f"{false:>12} false refutations      "
        print(line, flush=True)


def shares(took: list[int | None]) -> str:
    found = [t for t in took if t is not None]
    few = sum(t <= FEW + 10 for t in found)
    middle = statistics.median(found) if found else float("nan")
    return f"{few / len(took):12.0%}{len(found) / len(took):12.0%}{middle:8.0f}"


if __name__ == "__main__":
    main()
