"""When one weight of a proved network changes its sign, does the verdict change with it?

A flip counts as broken if a search that shares no code with the prover's, in float64 and along gradients and lines,
finds a drop above 1e-6. Wanted: no broken flip is PROVED, 95 % of them are REFUTED, and nobody is REFUTED without a
pair that falls when it is evaluated again.

    python benchmarks/mutation.py [flips] [seed]
"""

from __future__ import annotations

import copy
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from isotone.certify import certify
from isotone.verdict import Verdict

DROP = 1e-6


def positive(net: nn.Module) -> nn.Module:
    """Its matrices made non-negative."""
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() > 1:
                weight.abs_()
    return net


class MinMax(nn.Module):
    """Minima of maxima of rising planes."""

    def __init__(self) -> None:
        super().__init__()
        self.planes = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, 4) to (rows,)."""
        out: Tensor = self.planes(x).view(-1, 3, 4).amax(2).amin(1)
        return out


class Residual(nn.Module):
    """Two blocks x + f(x), and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, 4) to (rows, 1)."""
        x = x + torch.relu(self.first(x))
        out: Tensor = self.head(x + torch.tanh(self.second(x)))
        return out


class Convolution(nn.Module):
    """A convolution, a pool and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(1, 3, 2), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, 4) to (rows, 1)."""
        out: Tensor = self.head(torch.relu(self.conv(x.unsqueeze(1))).amax(2))
        return out


def dense(activation: nn.Module, width: int = 8, hidden: int = 2) -> nn.Module:
    """A multilayer perceptron on four numbers."""
    sizes = [4, *[width] * hidden]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), activation)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))


# fmt: off
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    # what                  how it is made                                   domain
    "relu":                 (lambda: dense(nn.ReLU()),                       None),
    "relu in a box":        (lambda: dense(nn.ReLU()),                       (0.0, 1.0)),
    "tanh":                 (lambda: dense(nn.Tanh()),                       None),
    "tanh in a box":        (lambda: dense(nn.Tanh()),                       (0.0, 1.0)),
    "softplus":             (lambda: dense(nn.Softplus()),                   None),
    "elu, three layers":    (lambda: dense(nn.ELU(), 6, 3),                  None),
    "linear":               (lambda: dense(nn.Identity(), hidden=0),         None),
    "min-max":              (MinMax,                                         None),
    "residual":             (Residual,                                       (-2.0, 2.0)),
    "convolution":          (Convolution,                                    None),
}
# fmt: on


@dataclass
class Flip:
    """One weight of a network turned round."""

    network: str
    drop: float
    verdict: Verdict
    verified: bool
    reason: str


def flips(count: int, seed: int = 0) -> Iterator[Flip]:
    """So many flips, spread over the networks, each judged by the search and by `certify`."""
    random = torch.Generator().manual_seed(seed)
    for k in range(count):
        name = list(NETWORKS)[k % len(NETWORKS)]
        make, domain = NETWORKS[name]
        torch.manual_seed(seed + k // len(NETWORKS) // 10)
        net = positive(make())
        matrices = [w for w in net.parameters() if w.dim() > 1]
        sizes = torch.tensor([w.numel() for w in matrices])
        place = int(torch.randint(int(sizes.sum()), (), generator=random))
        which = int((sizes.cumsum(0) <= place).sum())
        with torch.no_grad():
            matrices[which].view(-1)[place - int(sizes[:which].sum())].neg_()
        certificate = certify(net, torch.full((2, 4), 0.5), +1, domain)
        witness = certificate.witness
        verified = witness is not None and falls(net, witness.lower[0], witness.upper[0], domain)
        yield Flip(name, largest_drop(net, domain, seed + k), certificate.verdict, verified, certificate.reason)


def falls(net: nn.Module, lower: Tensor, upper: Tensor, domain: Any) -> bool:
    """Whether a pair is ordered and in the domain, and the score falls in float64."""
    low, high = domain or (-torch.inf, torch.inf)
    inside = bool(((lower >= low) & (upper <= high)).all())
    exact = copy.deepcopy(net).double()
    with torch.no_grad():
        before, after = exact(lower.double()), exact(upper.double())
    return bool((lower <= upper).all()) and inside and bool((after < before).any())


def largest_drop(net: nn.Module, domain: Any, seed: int, rows: int = 512, rounds: int = 6) -> float:
    """The largest drop of the score over ordered pairs that a search in float64 finds.

    Rows start at random at several scales; each walks down its steepest falling coordinate in steps that halve, and
    every coordinate of every row is swept over its range.
    """
    exact = copy.deepcopy(net).double().requires_grad_(False)
    random = torch.Generator().manual_seed(seed)
    worst = 0.0
    for k in range(rounds):
        low, high = domain or (-(4.0 ** (k - 1)), 4.0 ** (k - 1))
        x = low + (high - low) * torch.rand(rows, 4, generator=random, dtype=torch.float64)
        worst = max(worst, _descended(exact, x, low, high), _swept(exact, x[:64], low, high))
        if worst > 1e3 * DROP:
            break
    return worst


def _descended(exact: nn.Module, x: Tensor, low: float, high: float) -> float:
    """Gradient: where it is negative, go that way; what is kept is the drop from the start to the best place."""
    leaf = x.clone().requires_grad_(True)
    exact(leaf).sum().backward()
    assert leaf.grad is not None
    start, best = exact(x).flatten(), torch.zeros(len(x), dtype=torch.float64)
    falling = leaf.grad < 0
    steepest = torch.nn.functional.one_hot(leaf.grad.argmin(1), x.shape[1]).bool() & falling
    for way in (falling, steepest):
        for halving in range(12):
            upper = torch.where(way, x + (high - x) * 0.5**halving, x)
            best = torch.maximum(best, start - exact(upper).flatten())
    return float(best.max())


def _swept(exact: nn.Module, x: Tensor, low: float, high: float, points: int = 33) -> float:
    """Each coordinate over its range, the others fixed: the largest fall from a running maximum."""
    grid = torch.linspace(low, high, points, dtype=torch.float64)
    worst = 0.0
    for i in range(x.shape[1]):
        lines = x.repeat_interleave(points, 0)
        lines[:, i] = grid.repeat(len(x))
        y = exact(lines).view(len(x), points)
        worst = max(worst, float((y.cummax(1).values - y).max()))
    return worst


def counted(found: list[Flip]) -> Counter[tuple[str, str]]:
    """(broken or whole, verdict) -> how many."""
    return Counter(("broken" if f.drop > DROP else "whole", f.verdict.name) for f in found)


def main(count: int = 1000, seed: int = 0) -> None:
    """Print every count."""
    for name, (make, domain) in NETWORKS.items():
        torch.manual_seed(seed)
        before = certify(positive(make()), torch.full((2, 4), 0.5), +1, domain).verdict
        print(f"{name:<20} before any flip: {before.name}")
    began, found = time.perf_counter(), []
    for flip in flips(count, seed):
        found.append(flip)
        if flip.drop > DROP and flip.verdict is not Verdict.REFUTED:
            print(f"  {flip.network}: falls by {flip.drop:.3g}, {flip.verdict.name} ({flip.reason[:80]})")
    for name in (*NETWORKS, "all"):
        counts = counted([f for f in found if name in (f.network, "all")])
        broken = sum(n for (state, _), n in counts.items() if state == "broken")
        share = counts["broken", "REFUTED"] / max(broken, 1)
        print(
            f"{name:<20} {dict(sorted((f'{a} {b}', n) for (a, b), n in counts.items()))}; {share:.1%} of broken refuted"
        )
    bare = sum(f.verdict is Verdict.REFUTED and not f.verified for f in found)
    print(f"{len(found)} flips in {time.perf_counter() - began:.0f} s; REFUTED without a pair that falls again: {bare}")


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
