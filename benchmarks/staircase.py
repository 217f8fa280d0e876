"""20,000 rows of 20 numbers, four of them constrained: is the regressor as good as LightGBM, how long does it take, and
are ordered rows scored in order?

The truth is 5a + sin(10 pi a) - 5b - cos(10 pi b) + 2cd + sin(6f) + gh, with noise of 0.1; the best monotone model
reaches an R2 of about .910. Fits and predictions stand side by side in one run. Then a million pairs of rows that are
ordered, one step of their type apart or far, are scored in one block each, in float32 and in bfloat16; a network with
GELU is the control. Figures go to benchmarks/results/staircase.json.

    python benchmarks/staircase.py            some minutes of a core
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import torch
from _tabular import records
from torch import Tensor, nn

import isotone

CST = [1, -1, 1, 1] + [0] * 16
SEEDS = (0, 1, 2)
PAIRS, BLOCK = 250_000, 512


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and targets."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 20)).astype(np.float32)
    truth = 5 * x[:, 0] + np.sin(10 * np.pi * x[:, 0]) - 5 * x[:, 1] - np.cos(10 * np.pi * x[:, 1])
    truth = truth + 2 * x[:, 2] * x[:, 3] + np.sin(6 * x[:, 10]) + x[:, 11] * x[:, 12]
    return x, truth + 0.1 * rng.standard_normal(n)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its seconds."""
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def compare() -> tuple[isotone.MonotoneRegressor, dict[str, Any]]:
    """R2 and times of both, per seed; medians of the ratios, LightGBM is 1."""
    x, y = rows(20_000, 0)
    test, target = rows(5_000, 1)
    fits, predictions, seeds = [], [], []
    for seed in SEEDS:
        ours, fit = timed(lambda seed=seed: isotone.MonotoneRegressor(CST, random_state=seed).fit(x, y))
        theirs = lightgbm.LGBMRegressor(
            monotone_constraints=CST, monotone_constraints_method="advanced", verbose=-1, n_jobs=torch.get_num_threads()
        )
        _, their_fit = timed(lambda theirs=theirs: theirs.fit(x, y))
        _, predict = timed(lambda ours=ours: ours.predict(test))
        _, their_predict = timed(lambda theirs=theirs: theirs.booster_.predict(test))
        fits.append(fit / their_fit)
        predictions.append(predict / their_predict)
        r2 = [1 - np.mean((model.predict(test) - target) ** 2) / target.var() for model in (ours, theirs)]
        seeds.append({"R2": r2, "fit, s": [fit, their_fit], "predict, s": [predict, their_predict]})
        print(
            f"seed {seed}: R2 {r2[0]:.4f}, LightGBM advanced {r2[1]:.4f}; fit {fit:.2f} s, {their_fit:.2f} s; "
            f"5,000 rows in {1e3 * predict:.1f} ms, {1e3 * their_predict:.1f} ms; {ours.certify().verdict.name}"
        )
    ratios = {"fit": statistics.median(fits), "predict": statistics.median(predictions)}
    print(f"fit {ratios['fit']:.2f} times LightGBM's, predict {ratios['predict']:.2f} times")
    return ours, {"threads": torch.get_num_threads(), "ratios": ratios, "seeds, ours and LightGBM's": seeds}


def falls(network: nn.Module, dtype: torch.dtype, *, step: bool, pairs: int) -> int:
    """How many of so many ordered pairs, each scored in one block with others, come out in the wrong order."""
    draw = torch.Generator().manual_seed(1)
    ways = torch.tensor(CST[:4])
    bad = 0
    for _ in range(pairs // BLOCK):
        low = torch.rand(BLOCK, 20, generator=draw).to(dtype)
        high = low.clone()
        if step:
            row, column = torch.arange(BLOCK), torch.randint(0, 4, (BLOCK,), generator=draw)
            far = torch.where(ways[column] > 0, torch.inf, -torch.inf).to(dtype)
            high[row, column] = torch.nextafter(low[row, column], far)
        else:
            size = torch.rand(BLOCK, 4, generator=draw) * torch.rand(BLOCK, 1, generator=draw)
            high[:, :4] += (size * ways).to(dtype)
        with torch.no_grad():
            score: Tensor = network(torch.cat([low, high]))[:, 0]
        bad += int((score[BLOCK:] < score[:BLOCK]).sum())
    return bad


def main() -> None:
    """Print all of it, and keep it."""
    torch.set_num_threads(1)  # the best for a network of this size
    fitted, found = compare()
    pairs = found["pairs"] = []
    torch.manual_seed(0)
    control = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 1))
    for dtype in (torch.float32, torch.bfloat16):
        for step, words in ((True, "one step apart"), (False, "far apart")):
            ours = falls(copy.deepcopy(fitted.network_).to(dtype), dtype, step=step, pairs=PAIRS)
            other = falls(copy.deepcopy(control).to(dtype), dtype, step=step, pairs=20_000)
            pairs.append({"dtype": str(dtype), "pairs": words, "falls": ours, "of": PAIRS, "control": [other, 20_000]})
            print(f"{dtype}, {words}: {ours} falls of {PAIRS:,}; control {other} of 20,000")
    records.keep(records.RESULTS / "staircase.json", "python benchmarks/staircase.py", found)


if __name__ == "__main__":
    main()
