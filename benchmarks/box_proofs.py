"""How many small networks, trained to be monotone in a box by a penalty, are settled within a minute each?

Networks of 2 x 64 units (ReLU and tanh in turn) on [0, 1]^d, d = 4, 5, 6 and a few 8, learn a made-up function; two
features are pushed to rise by a penalty on their gradients, with different strengths, so that some end with falls. Each
is then proved, refuted (the pair is evaluated again, in float64, by the model itself), or left unknown.
Beside it, where it is installed: auto_LiRPA's bounds of the same Jacobian on the same number of random boxes, one box
at a time (its batched ReLU bounds were wrong in an earlier trial): median lower bound and time per box.

    python benchmarks/box_proofs.py [--count 50] [--seconds 60] [--peer]
"""

# ruff: noqa: E501

import argparse
import statistics
import time

import torch
from torch import nn

from isotone.certify._capture import capture
from isotone.certify._question import asked
from isotone.certify.boxes import split

STEPS, ROWS, MARGIN = 400, 128, 0.1
DIMENSIONS = (4, 5, 6, 4, 5, 6, 4, 5, 6, 8)
PENALTIES = (0.3, 3.0, 30.0, 100.0)


def trained(k):
    """Network k: activation, dimension, penalty and target follow from k."""
    d, penalty = DIMENSIONS[k % len(DIMENSIONS)], PENALTIES[(k // 2) % len(PENALTIES)]
    torch.manual_seed(1000 + k)
    act = nn.ReLU if k % 2 == 0 else nn.Tanh
    model = nn.Sequential(nn.Linear(d, 64), act(), nn.Linear(64, 64), act(), nn.Linear(64, 1))
    w, v = torch.randn(d), torch.randn(d)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        x = torch.rand(ROWS, d, requires_grad=True)
        y = (2 * x[:, :2]).tanh().sum(1) + torch.sin(3 * x[:, 2:] @ w[2:]) + 0.3 * torch.cos(4 * x @ v)
        out = model(x).squeeze(1)
        slopes = torch.autograd.grad(out.sum(), x, create_graph=True)[0][:, :2]
        loss = (out - y).square().mean() + penalty * (MARGIN - slopes).relu().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), d, penalty, act.__name__


def least_slope(model, d):
    """The smallest of the two slopes at 50,000 points."""
    x = torch.rand(50_000, d, requires_grad=True)
    return float(torch.autograd.grad(model(x).sum(), x)[0][:, :2].min())


def verified(model, pair, directions):
    """Whether the model itself, in float64, falls between the two ordered inputs in the box."""
    (lower,), (upper,) = ([t.double() for t in side] for side in pair)
    moves = upper - lower
    ordered = bool((moves * directions >= 0).all() and (moves[:, directions == 0] == 0).all() and (moves != 0).any())
    inside = all(bool(((t >= 0) & (t <= 1)).all()) for t in (lower, upper))
    exact = nn.Sequential(*(m for m in model)).double()
    with torch.no_grad():
        before, after = exact(lower), exact(upper)
    model.float()
    return ordered and inside and float((before - after).max()) > 1e-12 * float(before.abs().max())


def settled(model, d, seconds):
    directions = torch.tensor([1.0, 1.0, *[0.0] * (d - 2)])
    question = asked(torch.full((2, d), 0.5), directions, (0.0, 1.0))
    traced = capture(model, question.inputs)
    signs = [torch.ones(2, 1, dtype=torch.float64)]
    start = time.perf_counter()
    found = split(traced, question, signs, seconds=seconds)
    took = time.perf_counter() - start
    refuted = any(verified(model, pair, directions.double()) for pair in found.candidates)
    return ("proved" if found.proved else "refuted" if refuted else "unknown"), took, found


def peer(models, boxes=10):
    """auto_LiRPA's lower bounds of the same slopes on random boxes of width 1/4, and ours, with the time per box."""
    try:
        from auto_LiRPA import BoundedModule, BoundedTensor  # noqa: PLC0415
        from auto_LiRPA.jacobian import JacobianOP  # noqa: PLC0415
        from auto_LiRPA.perturbations import PerturbationLpNorm  # noqa: PLC0415
    except Exception as fault:
        print(f"auto_LiRPA is not compared: it does not import here ({type(fault).__name__}: {str(fault)[:80]})")
        return
    from isotone.certify.boxes._evaluate import Evaluator  # noqa: PLC0415
    from isotone.certify.boxes._split import _rows  # noqa: PLC0415

    class Jacobian(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return JacobianOP.apply(self.model(x), x)

    for model, d, name in models:
        directions = torch.tensor([1.0, 1.0, *[0.0] * (d - 2)])
        question = asked(torch.full((2, d), 0.5), directions, (0.0, 1.0))
        rows, shapes = _rows(question, [torch.ones(2, 1, dtype=torch.float64)])
        ours = Evaluator(capture(model, question.inputs), rows[0][1], shapes)
        low = torch.rand(boxes, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64) * 0.75
        start = time.perf_counter()
        mine = [float(ours.run(x[None], x[None] + 0.25).low) for x in low]
        my_time = (time.perf_counter() - start) / boxes
        try:
            start = time.perf_counter()
            bounded = BoundedModule(Jacobian(model), torch.full((1, d), 0.5))
            build = time.perf_counter() - start
            theirs, start = [], time.perf_counter()
            for x in low.float():
                region = PerturbationLpNorm(x_L=x[None], x_U=x[None] + 0.25)
                bound = bounded.compute_bounds((BoundedTensor(x[None] + 0.125, region),), method="CROWN")[0]
                theirs.append(float(bound.reshape(-1)[:2].min()))
            their_time = (time.perf_counter() - start) / boxes
        except Exception as fault:
            print(f"auto_LiRPA on {name}, d = {d}: {type(fault).__name__}: {str(fault)[:100]}")
            continue
        print(f"boxes of width 1/4, {name:4s} d = {d}: median lower bound {statistics.median(mine):+.3f} here, "
              f"{statistics.median(theirs):+.3f} auto_LiRPA (CROWN); {1e3 * my_time:.0f} ms and {1e3 * their_time:.0f} ms "
              f"a box, one at a time; build {build:.1f} s", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each network")
    parser.add_argument("--peer", action="store_true", help="compare with auto_LiRPA as well")
    said = parser.parse_args()
    results, kept = [], []
    for k in range(said.count):
        model, d, penalty, name = trained(k)
        least = least_slope(model, d)
        verdict, took, found = settled(model, d, said.seconds)
        results.append((verdict, took, found.boxes))
        if k < 4:
            kept.append((model, d, name))
        print(f"{k:3d}  {name:4s}  d = {d}  penalty {penalty:5g}  least slope seen {least:+.3f}  {verdict:8s}"
              f"{took:7.2f} s  {found.boxes:8,} boxes  {found.reason}", flush=True)  # fmt: skip
    print()
    for verdict in ("proved", "refuted", "unknown"):
        own = [r for r in results if r[0] == verdict]
        if own:
            times, boxes = [r[1] for r in own], [r[2] for r in own]
            print(f"{verdict:8s} {len(own):3d}   seconds: median {statistics.median(times):.2f}, most {max(times):.2f}"
                  f"   boxes: median {int(statistics.median(boxes)):,}, most {max(boxes):,}")  # fmt: skip
    share = sum(r[0] != "unknown" for r in results) / max(len(results), 1)
    print(f"settled {share:.0%} of {len(results)} networks within {said.seconds:g} s each; the aim is 90 %")
    if said.peer:
        peer(kept)


if __name__ == "__main__":
    main()
