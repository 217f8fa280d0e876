"""GMSC has one test part in docs/tabular.md: is who leads there luck? The same settings on folds of other rows.

Every model keeps the setting and the number of rounds that the full form of `benchmarks/tabular.py` chose for it, is
fitted to four fifths of the training and validation rows, and judged on the fifth that is left; no test row is read.
Settings were chosen on validation rows, which are among these: for all models alike.

    python benchmarks/gmsc_folds.py --data folder     # a quarter of an hour of one core
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _tabular import records, splits
from _tabular.parts import Part
from _tabular.protocol import MODELS, figures
from sklearn.model_selection import StratifiedKFold

from isotone.progress import Progress

RESULTS = records.RESULTS / "gmsc_folds.json"
FOLDS = 5
JUDGED = ("isotone", "lightgbm", "xgboost", "catboost", "sklearn HGB", "mononet", "linear", "mlp free")


def table(found: dict[str, list[float]]) -> str:
    """Log loss over the folds, and the difference to isotone's with its standard error over folds."""
    ours = np.array(found["isotone"])
    lines = ["| model | log loss | minus isotone's | worse than isotone on |", "|---|---|---|---|"]
    for name in sorted(found, key=lambda name: float(np.mean(found[name]))):
        each = np.array(found[name])
        off = each - ours
        error = off.std(ddof=1) / FOLDS**0.5
        compared = "| |" if name == "isotone" else f"| {off.mean():+.4f} ± {error:.4f} | {(off > 0).sum()} of {FOLDS} |"
        lines.append(f"| {name} | {each.mean():.4f} {compared}")
    return "\n".join(lines)


def main() -> None:
    """Every model on every fold, then one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA"), required="ISOTONE_DATA" not in os.environ)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = records.measured(records.RESULTS / "tabular.jsonl")
    rows = splits.load("gmsc", options.data, 0)
    sides = splits.split("gmsc", rows, 0)
    learn = np.concatenate([sides.train, sides.validation])
    X, y = rows.X[learn], rows.y[learn]
    found: dict[str, list[float]] = {name: [] for name in JUDGED}
    with Progress() as progress:
        bar = progress.bar("folds", FOLDS * len(JUDGED))
        for fold, (inside, outside) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(X, y)):
            for name in JUDGED:
                record = chosen["gmsc", 0, name]
                part = Part(
                    X[inside], y[inside], ways=rows.ways, task="classification", seed=fold, rounds=record["rounds"]
                )
                predict = MODELS[name].fit(record["setting"], part).predict
                found[name].append(figures(predict(X[outside]), y[outside], "classification")["log loss"])
                bar.update(sum(map(len, found.values())), name)
    records.keep(options.out, "python benchmarks/gmsc_folds.py --data DATA", {"folds": found})
    print(table(found))


if __name__ == "__main__":
    main()
