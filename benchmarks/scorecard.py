"""A credit modeller's whole use, on Give Me Some Credit: docs/scorecard.md's figures and plots.

- only rows that the clean benchmark learns from: its test fifth stays closed, and models are judged on its validation
  rows, which isotone's size for many rows was chosen on, among other sets;
- every model has its defaults; LightGBM holds out a tenth of the training rows to know how many trees, and learns from all;
- one run writes benchmarks/results/scorecard.json; the page's section and two plots are written from it alone.

    python benchmarks/scorecard.py --data folder     a few minutes of one core
    python benchmarks/scorecard.py --report
"""

# ruff: noqa: PLC0415, E501 - threads are set before numpy is imported; sentences are as long as they are
from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from _tabular import records, splits
from _tabular.protocol import figures
from numpy.typing import NDArray

HERE = Path(__file__).parent
BEGIN, END = "<!-- written by benchmarks/scorecard.py: begin -->", "<!-- end -->"
SHORT = {
    "RevolvingUtilizationOfUnsecuredLines": "utilization",
    "NumberOfTime30-59DaysPastDueNotWorse": "late 30-59",
    "NumberOfTime60-89DaysPastDueNotWorse": "late 60-89",
    "NumberOfTimes90DaysLate": "late 90",
    "NumberOfOpenCreditLinesAndLoans": "lines open",
    "NumberRealEstateLoansOrLines": "mortgages",
    "NumberOfDependents": "dependents",
    "MonthlyIncome": "income",
    "DebtRatio": "debt ratio",
}
BINS, PRICED, SEED = 10, 6_000, 0


def lightgbm(X: Any, y: NDArray[Any], ways: list[int] | None) -> Any:
    """Defaults; how many trees a tenth of the rows says, then all rows."""
    import lightgbm as lgb
    from sklearn.model_selection import train_test_split

    inside, outside = train_test_split(np.arange(len(y)), test_size=0.1, random_state=SEED, stratify=y)
    held = {"monotone_constraints": ways, "monotone_constraints_method": "advanced"} if ways else {}
    every = {"n_jobs": 1, "random_state": SEED, "verbose": -1, **held}
    stop = lgb.early_stopping(50, verbose=False)
    model = lgb.LGBMClassifier(n_estimators=2000, **every)
    model.fit(X.iloc[inside], y[inside], eval_set=[(X.iloc[outside], y[outside])], callbacks=[stop])
    return lgb.LGBMClassifier(n_estimators=model.best_iteration_, **every).fit(X, y)


def calibration(p: NDArray[Any], y: NDArray[Any]) -> dict[str, Any]:
    """Ten bins of as many rows: the mean probability said, the share seen; and the mean gap, weighted by rows."""
    bins = np.array_split(np.argsort(p, kind="stable"), BINS)
    said, seen = ([float(values[rows].mean()) for rows in bins] for values in (p, y))
    gap = float(np.average(np.abs(np.subtract(said, seen)), weights=[len(rows) for rows in bins]))
    return {"said": said, "seen": seen, "gap": gap}


def falls(predict: Any, X: Any, ways: dict[str, int], rows: int = 200, steps: int = 41) -> int:
    """Steps against a direction on sweeps of each held column between its 1st and 99th percentile."""
    import pandas as pd

    count = 0
    for name, way in ways.items():
        grid = np.linspace(*np.quantile(X[name], [0.01, 0.99]), steps)
        tall = pd.DataFrame(np.repeat(X.iloc[:rows].to_numpy(), steps, axis=0), columns=X.columns)
        tall[name] = np.tile(grid, min(rows, len(X)))
        count += int((way * np.diff(predict(tall).reshape(-1, steps), axis=1) < 0).sum())
    return count


def between(X: Any, ways: dict[str, int]) -> dict[str, list[float]]:
    """The 1st and the 99th percentile of each held column: a few rows far out would flatten its curve."""
    return {name: np.quantile(X[name], [0.01, 0.99]).tolist() for name in ways}


def measure(data: str, out: Path) -> None:
    """Fit, judge, explain, price; the page's figures."""
    import pandas as pd
    import torch

    import isotone

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn|lightgbm")
    table = splits.load("gmsc", data, 0)
    rows = splits.split("gmsc", table, 0)
    X = pd.DataFrame(table.X, columns=[SHORT.get(name, name) for name in table.columns])
    y = table.y.astype(int)
    ways = {name: int(way) for name, way in zip(X.columns, table.ways, strict=True) if way}
    X_train, y_train, X_new, y_new = X.iloc[rows.train], y[rows.train], X.iloc[rows.validation], y[rows.validation]
    models, seconds = {}, {}
    for name, fit in {
        "isotone": lambda: isotone.MonotoneClassifier(ways, random_state=SEED).fit(X_train, y_train),
        "isotone, no directions": lambda: isotone.MonotoneClassifier(random_state=SEED).fit(X_train, y_train),
        "LightGBM monotone": lambda: lightgbm(X_train, y_train, table.ways.tolist()),
        "LightGBM": lambda: lightgbm(X_train, y_train, None),
    }.items():
        start = time.process_time()
        models[name] = fit()
        seconds[name] = round(time.process_time() - start, 2)
    found = {}
    for name, model in models.items():
        p = model.predict_proba(X_new)[:, 1]
        found[name] = {
            **figures(p, y_new.astype(float), "classification"),
            "Brier": float(((p - y_new) ** 2).mean()),
            "calibration": calibration(p, y_new),
            "falls": falls(lambda rows, model=model: model.predict_proba(rows)[:, 1], X_new, ways),
            "seconds": seconds[name],
        }
    ours = models["isotone"]
    certificate = ours.certify()
    effects = ours.effects(X_new, list(ways))
    # The stated baseline: the median of each feature among good payers.
    baseline = X_train[y_train == 0].median()
    riskiest = X_new.iloc[np.argsort(-ours.decision_function(X_new), kind="stable")[[0, len(X_new) // 20]]]
    reasons = ours.reasons(riskiest, baseline)
    some = np.random.default_rng(SEED).permutation(len(X_train))[:PRICED]
    price = isotone.price(
        isotone.MonotoneClassifier(ways, random_state=SEED), X_train.iloc[some], y_train[some], cv=3, repeats=2
    )
    record = {
        **records.circumstances(),
        "seed": SEED,
        "rows": {"train": len(X_train), "judged": len(X_new), "priced": len(some)},
        "positives": float(y_new.mean()),
        "directions": ways,
        "models": found,
        "certificate": certificate.to_dict()["verdict"]
        if hasattr(certificate, "to_dict")
        else certificate.verdict.value,
        "effects": effects.to_dict(),
        "between": between(X_new, ways),
        "reasons": str(reasons),
        "price": price.to_dict(),
        "price_text": str(price),
    }
    (out / "scorecard.json").write_text(json.dumps(record, indent=1) + "\n")


def plot_effects(record: dict[str, Any], path: Path) -> None:
    """The mean curve of each held feature, from its first value on."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(10.8, 5.8), sharey=True, layout="constrained")
    for axis, (name, effect) in zip(axes.flat, record["effects"].items(), strict=True):
        low, high = record["between"][name]
        at, mean = np.array(effect["grid"]), np.array(effect["mean"])
        axis.plot(at, mean - np.interp(low, at, mean), "o-", color="#2166ac", linewidth=2, markersize=3.5)
        beyond = 0.03 * (high - low)
        axis.set_xlim(low - beyond, high + beyond)
        axis.xaxis.get_major_locator().set_params(integer=bool((at == at.round()).all()))
        axis.set_title(f"{name}: held {'increasing' if effect['direction'] > 0 else 'decreasing'}", fontsize=10)
        axis.grid(alpha=0.25)
    for axis in axes[:, 0]:
        axis.set_ylabel("change of score, log-odds")
    figure.supxlabel(
        "value of the feature, from the 1st to the 99th percentile of the judged rows; mean over rows, the rest of each row as it is",
        fontsize=10,
    )
    figure.savefig(path, dpi=90, metadata={"Software": None})
    pyplot.close(figure)


def plot_calibration(record: dict[str, Any], path: Path) -> None:
    """What was said and what was seen, in ten bins; a bin without a bad payer has an interval and no point."""
    from matplotlib import pyplot

    from isotone.evaluation import clopper_pearson

    rows = record["rows"]["judged"] / BINS
    figure, axis = pyplot.subplots(figsize=(5.2, 4.6), layout="constrained")
    ends, ticks = (0.0015, 0.6), [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    axis.plot(ends, ends, color="#999999", linewidth=0.8)
    for name, ink, mark in (("isotone", "#b2182b", "o"), ("LightGBM monotone", "#2166ac", "s")):
        each = record["models"][name]["calibration"]
        seen = np.array(each["seen"])
        around = [clopper_pearson(round(share * rows), round(rows)) for share in seen]
        axis.vlines(each["said"], [one.low for one in around], [one.high for one in around], color=ink, alpha=0.35)
        axis.plot(each["said"], np.where(seen > 0, seen, np.nan), mark, color=ink, label=name, markersize=5)
    for scale, limits, names in (
        (axis.set_xscale, axis.set_xlim, axis.set_xticks),
        (axis.set_yscale, axis.set_ylim, axis.set_yticks),
    ):
        scale("log")
        limits(*ends)
        names(ticks, [f"{100 * tick:g} %" for tick in ticks])
        names([], minor=True)
    axis.grid(alpha=0.25)
    axis.set_title("On the line: as many bad payers as were said", fontsize=10)
    axis.set_xlabel("probability of a bad payer, as said: mean of a tenth of the rows")
    axis.set_ylabel("bad payers among them (line: 95 % interval)")
    axis.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def section(record: dict[str, Any]) -> str:
    """What stands between the markers."""
    rows = record["rows"]
    head = "| model | AUC | log loss | Brier | gap of calibration | falls on sweeps | fit, s |\n|---|---|---|---|---|---|---|\n"
    body = "".join(
        f"| {name} | {each['AUC']:.4f} | {each['log loss']:.4f} | {each['Brier']:.4f} | "
        f"{each['calibration']['gap']:.4f} | {each['falls']} | {each['seconds']} |\n"
        for name, each in record["models"].items()
    )
    ways = ", ".join(f"{name} {way:+d}" for name, way in record["directions"].items())
    return "\n".join(
        [
            f"`python benchmarks/scorecard.py` at commit {record['commit'][:12]}: {rows['train']} rows to learn from, "
            f"{rows['judged']} to be judged on, of which {record['positives']:.1%} are bad payers. Directions: {ways}.\n",
            head + body,
            "*Gap*: mean distance between the probability said and the share seen, ten bins of as many rows. *Falls*: steps\n"
            "against a direction, 200 judged rows, 41 values of each held feature.\n",
            f"`certify()` of the isotone model with directions: **{record['certificate']}**.\n",
            f"Reasons of the riskiest judged row and of the one at the edge of the riskiest twentieth, against the medians of\n"
            f"good payers:\n\n```text\n{record['reasons']}\n```\n",
            f"The price of each direction, on {rows['priced']} training rows:\n\n```text\n{record['price_text']}\n```\n",
            "![Effect of each held feature on the score: each curve goes one way only](scorecard_effects.png)\n",
            "![Calibration: bad payers said and seen, in ten bins of as many rows](scorecard_calibration.png)\n",
        ]
    )


def write(out: Path, docs: Path) -> None:
    """Put the section into the page, and its plots beside it."""
    import matplotlib as mpl

    mpl.use("Agg")
    page, record = docs / "scorecard.md", json.loads((out / "scorecard.json").read_text())
    before, rest = page.read_text().split(BEGIN)
    text = section(record)
    plot_effects(record, docs / "scorecard_effects.png")
    plot_calibration(record, docs / "scorecard_calibration.png")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA", ""), help="folder of the data sets")
    parser.add_argument(
        "--report", action="store_true", help="only write the page's section and plots from the results"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs")
    options = parser.parse_args()
    if not options.report:
        if not options.data:
            print("left out: the data set is not part of the project. Name its folder: --data folder, or ISOTONE_DATA.")
            return
        measure(options.data, options.out)
    write(options.out, options.docs)


if __name__ == "__main__":
    main()
