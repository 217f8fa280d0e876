"""What does a constraint add to the time of a training step, and what do other ways of having it cost?

A multilayer perceptron of 8 layers of 1600 units, every weight held, fused AdamW. Each way trains a network of its own;
all take turns, step by step, in one process, so that a busy machine slows all alike, and medians of the steps are
compared. Ratios are to the same step without a constraint, turn by turn. Run it on a machine that does nothing else;
figures go to benchmarks/results/constraint_cost.json.

    python benchmarks/constraint_cost.py                    # some minutes on 2 cores
    python benchmarks/constraint_cost.py --device cuda      # also compiled, and in a CUDA graph
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _tabular import records
from torch import Tensor, nn
from torch.nn.utils import parametrize

import isotone
from isotone import (
    Between,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    NonNegative,
    Sign,
    Simplex,
    UnitNorm,
)
from isotone.progress import Progress

RESULTS = records.RESULTS / "constraint_cost.json"
LAYERS, WIDTH = 8, 1600
Step = Callable[[], object]


def network(device: str) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[m for _ in range(LAYERS) for m in (nn.Linear(WIDTH, WIDTH), nn.Softplus())]).to(device)


def step_of(net: nn.Module, x: Tensor, after: Callable[[nn.Module], object] | None = None) -> Step:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        if after is not None:
            after(net)

    return step


def held(constraint: isotone.Constraint, x: Tensor, **how: str) -> Step:
    net = network(str(x.device))
    isotone.constrain(net, "*.weight", constraint, **how)  # type: ignore[arg-type]
    return step_of(net, x)


# --- other ways of having it ---
@torch.no_grad()
def clamped(net: nn.Module) -> None:
    for layer in net:  # type: ignore[attr-defined]
        if isinstance(layer, nn.Linear):
            layer.weight.clamp_(min=0)


@torch.no_grad()
def renormed(net: nn.Module) -> None:
    for layer in net:  # type: ignore[attr-defined]
        if isinstance(layer, nn.Linear):
            layer.weight.copy_(torch.renorm(layer.weight, 2, 0, 0.5))


@torch.no_grad()
def sorted_simplex(net: nn.Module) -> None:
    for layer in net:  # type: ignore[attr-defined]
        if isinstance(layer, nn.Linear):
            u = layer.weight.sort(1, descending=True).values
            over = u.cumsum(1) - 1
            rank = torch.arange(1, u.shape[1] + 1, device=u.device, dtype=u.dtype)
            last = ((u - over / rank) > 0).sum(1, keepdim=True)
            layer.weight.sub_(over.gather(1, last - 1) / last).clamp_(min=0)


def softplus(x: Tensor) -> Step:
    net = network(str(x.device))
    for layer in net:
        if isinstance(layer, nn.Linear):
            parametrize.register_parametrization(layer, "weight", nn.Softplus(), unsafe=True)
    return step_of(net, x)


def geotorch_sphere(x: Tensor) -> Step | None:
    if importlib.util.find_spec("geotorch") is None:
        return None
    import geotorch  # noqa: PLC0415

    net = network(str(x.device))
    for layer in net:
        if isinstance(layer, nn.Linear):
            geotorch.sphere(layer, "weight")
    return step_of(net, x)


def keras(x: Tensor, constraint: str | None) -> Step | None:
    """Keras's own layers, optimizer and step on its torch backend."""
    if importlib.util.find_spec("keras") is None:
        return None
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras as library  # noqa: PLC0415

    layers = [library.layers.Dense(WIDTH, activation="softplus", kernel_constraint=constraint) for _ in range(LAYERS)]
    model = library.Sequential([library.Input((WIDTH,)), *layers])
    optimizer = library.optimizers.AdamW(1e-4)
    optimizer.build(model.trainable_variables)

    def step() -> None:
        model.zero_grad()
        model(x, training=True).square().mean().backward()
        with torch.no_grad():
            optimizer.apply([v.value.grad for v in model.trainable_variables], model.trainable_variables)

    return step


# fmt: off
def ways(x: Tensor) -> dict[str, tuple[str, Step | None]]:
    """Every way, and the one that its ratio is to."""
    cap = [[1.0] * WIDTH]
    return {
        "nothing":                          ("",               step_of(network(str(x.device)), x)),
        "NonNegative":                      ("nothing",        held(NonNegative(), x)),
        "Between(-0.05, 0.05)":             ("nothing",        held(Between(-0.05, 0.05), x)),
        "Between, bounds for every column": ("nothing",        held(Between([[-0.05] * WIDTH], cap), x)),
        "Sign, half of the columns":        ("nothing",        held(Sign((1, -1) * (WIDTH // 2)), x)),
        "MaxNorm(0.5), Euclidean":          ("nothing",        held(MaxNorm(0.5), x, metric="euclidean")),
        "UnitNorm, Euclidean":              ("nothing",        held(UnitNorm(), x, metric="euclidean")),
        "MinMaxNorm(0.4, 0.5), Euclidean":  ("nothing",        held(MinMaxNorm(0.4, 0.5), x, metric="euclidean")),
        "MaxNorm(0.5), metric of AdamW":    ("nothing",        held(MaxNorm(0.5), x)),
        "UnitNorm, metric of AdamW":        ("nothing",        held(UnitNorm(), x)),
        "Simplex, Euclidean":               ("nothing",        held(Simplex(), x, metric="euclidean")),
        "Simplex, metric of AdamW":         ("nothing",        held(Simplex(), x)),
        "L1Ball(10), metric of AdamW":      ("nothing",        held(L1Ball(10.0), x)),
        "clamp_ by hand":                   ("nothing",        step_of(network(str(x.device)), x, clamped)),
        "torch.renorm by hand":             ("nothing",        step_of(network(str(x.device)), x, renormed)),
        "simplex by sort":                  ("nothing",        step_of(network(str(x.device)), x, sorted_simplex)),
        "softplus parametrization":         ("nothing",        softplus(x)),
        "geotorch.sphere":                  ("nothing",        geotorch_sphere(x)),
        "Keras, nothing":                   ("",               keras(x, None)),
        "Keras, non_neg":                   ("Keras, nothing", keras(x, "non_neg")),
        "Keras, max_norm":                  ("Keras, nothing", keras(x, "max_norm")),
        "Keras, unit_norm":                 ("Keras, nothing", keras(x, "unit_norm")),
    }
# fmt: on


def timed(step: Step, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(steps: dict[str, Step], rounds: int, device: str) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    with Progress() as progress:
        bar = progress.bar("steps", (rounds + 2) * len(steps))
        for turn in range(rounds + 2):
            for i, (name, step) in enumerate(steps.items()):
                spent = timed(step, device)
                if turn >= 2:  # the first two warm up
                    times[name].append(spent)
                bar.update(turn * len(steps) + i + 1, name)
    return times


def kept_memory(constraint: isotone.Constraint) -> int:
    """Bytes that live on after a step because of the constraint."""
    import gc  # noqa: PLC0415

    def alive() -> int:
        gc.collect()
        return sum(t.untyped_storage().nbytes() for t in gc.get_objects() if issubclass(type(t), Tensor))

    x = torch.randn(4, WIDTH)
    free, own = step_of(network("cpu"), x), held(constraint, x)
    before = alive()
    free()
    between = alive()
    own()
    return (alive() - between) - (between - before)


def on_gpu(x: Tensor, rounds: int) -> None:
    """Eager, compiled, and recorded in a CUDA graph; and the share of memory bandwidth that a projection reaches."""
    for kind, constraint in (("NonNegative", NonNegative()), ("MaxNorm", MaxNorm(0.5))):
        for how in ("eager", "compiled", "CUDA graph"):
            steps = {}
            for name in ("nothing", kind):
                net = network("cuda")
                if name != "nothing":
                    isotone.constrain(net, "*.weight", constraint, metric="euclidean")
                optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True, capturable=True)

                def step(net: nn.Module = net, optimizer: torch.optim.Optimizer = optimizer) -> None:
                    optimizer.zero_grad(set_to_none=False)
                    net(x).square().mean().backward()
                    optimizer.step()

                if how == "compiled":
                    net.compile()
                if how == "CUDA graph":
                    side = torch.cuda.Stream()
                    with torch.cuda.stream(side):
                        for _ in range(3):
                            step()
                    torch.cuda.current_stream().wait_stream(side)
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph):
                        step()
                    steps[name] = graph.replay
                else:
                    steps[name] = step
            medians = {name: statistics.median(t) for name, t in measure(steps, rounds, "cuda").items()}
            print(f"{kind:12s} {how:11s} ratio {medians[kind] / medians['nothing']:.3f}")
    weights = [torch.randn(WIDTH, WIDTH, device="cuda") for _ in range(64)]
    spent = statistics.median(timed(lambda: NonNegative().project_(weights), "cuda") for _ in range(20))
    print(f"NonNegative moves {2 * 64 * WIDTH * WIDTH * 4 / spent / 1e12:.2f} TB/s (read and write)")


def compared(times: dict[str, list[float]], bases: dict[str, str]) -> dict[str, dict[str, float]]:
    """Milliseconds of a step and, where there is something to compare with, its ratio and the ratio's quarters."""
    found = {}
    for name, base in bases.items():
        middle = statistics.median(times[name])
        found[name] = {"ms": middle * 1e3}
        if base:
            # Turn by turn: what slows the machine slows both.
            ratios = sorted(a / b for a, b in zip(times[name], times[base], strict=True))
            found[name] |= {
                "ratio": statistics.median(ratios),
                "low": ratios[len(ratios) // 4],
                "high": ratios[-1 - len(ratios) // 4],
                "added_ms": (middle - statistics.median(times[base])) * 1e3,
            }
    return found


def on_cpu(x: Tensor, rounds: int, only: list[str] | None) -> dict[str, dict[str, float]]:
    all_ways = {name: way for name, way in ways(x).items() if way[1] is not None}
    if only:
        bases = {"nothing", "Keras, nothing"}
        all_ways = {n: w for n, w in all_ways.items() if n in bases or n.startswith(tuple(only))}
    times = measure({name: step for name, (_, step) in all_ways.items() if step}, rounds, "cpu")
    found = compared(times, {name: base for name, (base, _) in all_ways.items()})
    print(f"\nbatch {len(x):<29d} ms/step   ratio  (of the quarters: from, to)   added ms")
    for name, one in found.items():
        line = f"{name:34s} {one['ms']:8.1f}"
        if "ratio" in one:
            line += f"   {one['ratio']:.3f}  ({one['low']:.3f}, {one['high']:.3f})           {one['added_ms']:8.1f}"
        print(line, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", default=None, help="ways whose name starts with one of these")
    parser.add_argument("--out", type=Path, default=RESULTS, help="of figures of a CPU")
    options = parser.parse_args()
    print(f"{LAYERS} x {WIDTH}, {options.device}, {torch.get_num_threads()} threads, medians of {options.rounds} steps")
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "load": os.getloadavg()[0], "rounds": options.rounds}
    for batch in options.batch:
        x = torch.randn(batch, WIDTH, device=options.device)
        if options.device == "cuda":
            print(f"\nbatch {batch}")
            on_gpu(x, options.rounds)
        else:
            found[f"batch {batch}"] = on_cpu(x, options.rounds, options.only)
    print("\nBytes that live on after a step because of the constraint:")
    for constraint in (NonNegative(), MaxNorm(0.5), Simplex()):
        print(f"  {constraint!r}: {kept_memory(copy.deepcopy(constraint))}")
    if options.device != "cuda":
        records.keep(options.out, shlex.join(["python", "benchmarks/constraint_cost.py", *sys.argv[1:]]), found)


if __name__ == "__main__":
    main()
