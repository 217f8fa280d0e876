"""Does a monotone network of 2 to 32 layers train, or does it collapse?

A made-up two-class problem (8 inputs of unit variance, half of them of direction +1 and half of -1, signs known; 1200
rows to learn from, 600 to judge on), Adam, 20 epochs of 128 rows, all seeds. A run has collapsed if its validation AUC
is under 0.55, or its scores differ by less than 1e-3 (standard deviation), or are not finite. Nothing is chosen.

    python benchmarks/depth.py [--seeds 20] [--depths 2 4 8 16 32] [--kinds ...] [--out depth.json]
"""

import argparse
import json
import platform
import shlex
import sys
import time
from pathlib import Path

import torch
from torch import nn

import isotone
from isotone.nn import MonotoneLinear, MonotoneMLP, MonotoneResidual, SwitchLinear

WIDTH, INPUTS, EPOCHS, BATCH = 32, 8, 20, 128
DIRECTIONS = (1, 1, 1, 1, -1, -1, -1, -1)


def switch_residual(depth):
    layers = [MonotoneResidual(SwitchLinear(WIDTH, WIDTH), gain=1 / max(depth - 1, 1)) for _ in range(depth - 1)]
    return nn.Sequential(MonotoneLinear(INPUTS, WIDTH, DIRECTIONS), *layers, SwitchLinear(WIDTH, 1))


# Each from its number of hidden layers.
KINDS = {
    "plain": lambda depth: MonotoneMLP(INPUTS, (WIDTH,) * depth, DIRECTIONS),
    "plain, batch norm": lambda depth: MonotoneMLP(INPUTS, (WIDTH,) * depth, DIRECTIONS, norm="batch"),
    "switch": lambda depth: SwitchLinear.stack((INPUTS, *(WIDTH,) * depth, 1), DIRECTIONS),
    "residual": lambda depth: MonotoneMLP(INPUTS, (WIDTH,) * depth, DIRECTIONS, residual=True),
    "residual, batch norm": lambda depth: MonotoneMLP(
        INPUTS, (WIDTH,) * depth, DIRECTIONS, residual=True, norm="batch"
    ),
    "switch, residual": switch_residual,
}


def task(seed, rows=1800):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, INPUTS, generator=g)
    up = x * torch.tensor(DIRECTIONS)
    score = up.mean(1) * 2 + torch.maximum(up[:, 0], up[:, 4]) + torch.minimum(up[:, 1], up[:, 5]) + up[:, 2].tanh()
    y = (score + 0.5 * torch.randn(rows, generator=g) > score.median()).float()
    return (x[:1200], y[:1200]), (x[1200:], y[1200:])


def auc(scores, y):
    """Share of pairs of a positive and a negative that are in order; equal scores count half."""
    difference = scores[y > 0][:, None] - scores[y == 0][None, :]
    return float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())


def trained(kind, depth, seed, rate):
    (x, y), (x_judged, y_judged) = task(seed)
    torch.manual_seed(seed)
    model = KINDS[kind](depth)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(model(x[rows])[:, 0], y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    model.eval()
    with torch.no_grad():
        scores = model(x_judged)[:, 0].double()
    found = {
        "auc": auc(scores, y_judged),
        "spread": float(scores.std()),
        "loss": float(nn.functional.binary_cross_entropy_with_logits(scores, y_judged.double())),
    }
    # Written so that NaN is a collapse.
    found["collapsed"] = not (found["auc"] >= 0.55 and found["spread"] >= 1e-3 and found["loss"] < float("inf"))
    verdict = isotone.certify(model, x[:2], DIRECTIONS, budget=40).verdict
    return {"kind": kind, "depth": depth, "seed": seed} | found | {"seconds": seconds, "verdict": verdict.value}


def summary(runs):
    aucs = [run["auc"] for run in runs]
    return (
        sum(aucs) / len(aucs),
        min(aucs),
        min(run["spread"] for run in runs),
        sum(run["collapsed"] for run in runs),
        sum(run["verdict"] == "proved" for run in runs),
        sum(run["seconds"] for run in runs) / len(runs),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8, 16, 32], help="hidden layers")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate")
    parser.add_argument("--out", type=Path, help="a JSON file")
    said = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"isotone": isotone.__version__, "torch": torch.__version__, "python": platform.python_version()}
    facts = {"command": shlex.join(["python", *sys.argv]), "rate": said.rate, "seeds": said.seeds, "versions": versions}
    runs = []
    names = ("AUC, mean", "lowest", "spread >=", "collapsed", "proved", "seconds")
    print(f"{'kind':24s}{'layers':>7s}" + "".join(f"{name:>11s}" for name in names))
    for kind in said.kinds:
        for depth in said.depths:
            some = [trained(kind, depth, seed, said.rate) for seed in range(said.seeds)]
            runs += some
            print(f"{kind:24s}{depth:>7d}" + "".join(f"{number:>11.3g}" for number in summary(some)), flush=True)
            if said.out:  # after every line, so that what is there is good
                said.out.write_text(json.dumps(facts | {"runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
