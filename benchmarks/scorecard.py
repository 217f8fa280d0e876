"""A credit modeller's whole use, on Give Me Some Credit: docs/scorecard.md's figures and plots.

- only rows that the clean benchmark learns from: its test fifth stays closed, and models are judged on its validation
  rows, which nothing was chosen on here;
- every model has its defaults; both learners hold out a tenth of the training rows to know when to stop;
- one run writes benchmarks/results/scorecard.json and two plots; --report writes the page's section from them.

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
    """Defaults, stopped on a tenth of the rows."""
    import lightgbm as lgb
    from sklearn.model_selection import train_test_split

    inside, outside = train_test_split(np.arange(len(y)), test_size=0.1, random_state=SEED, stratify=y)
    held = {"monotone_constraints": ways, "monotone_constraints_method": "advanced"} if ways else {}
    model = lgb.LGBMClassifier(n_estimators=2000, n_jobs=1, random_state=SEED, verbose=-1, **held)
    stop = lgb.early_stopping(50, verbose=False)
    return model.fit(X.iloc[inside], y[inside], eval_set=[(X.iloc[outside], y[outside])], callbacks=[stop])


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


def measure(data: str, out: Path, docs: Path) -> None:
    """Fit, judge, explain, price; the page's figures and plots."""
    import matplotlib as mpl
    import pandas as pd
    import torch

    import isotone

    mpl.use("Agg")
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
    figure = effects.plot()
    figure.savefig(docs / "scorecard_effects.png", dpi=90, metadata={"Software": None})
    # The stated baseline: the median of each feature among good payers.
    baseline = X_train[y_train == 0].median()
    riskiest = X_new.iloc[np.argsort(-ours.decision_function(X_new), kind="stable")[[0, len(X_new) // 20]]]
    reasons = ours.reasons(riskiest, baseline)
    some = np.random.default_rng(SEED).permutation(len(X_train))[:PRICED]
    price = isotone.price(
        isotone.MonotoneClassifier(ways, random_state=SEED), X_train.iloc[some], y_train[some], cv=3, repeats=2
    )
    plot(found, docs / "scorecard_calibration.png")
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
        "reasons": str(reasons),
        "price": price.to_dict(),
        "price_text": str(price),
    }
    (out / "scorecard.json").write_text(json.dumps(record, indent=1) + "\n")


def plot(found: dict[str, Any], path: Path) -> None:
    """What was said and what was seen, in ten bins."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4.4, 3.6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
    for name, ink in (("isotone", "#b2182b"), ("LightGBM monotone", "#2166ac")):
        each = found[name]["calibration"]
        axes.plot(each["said"], each["seen"], "o-", color=ink, label=name, markersize=4)
    axes.set_xlabel("probability of a bad payer, as said")
    axes.set_ylabel("share seen")
    axes.legend(frameon=False)
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
            "![Effects of the held features](scorecard_effects.png)\n",
            "![Calibration](scorecard_calibration.png)\n",
        ]
    )


def write(out: Path, docs: Path) -> None:
    """Put the section into the page."""
    page = docs / "scorecard.md"
    before, rest = page.read_text().split(BEGIN)
    text = section(json.loads((out / "scorecard.json").read_text()))
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA", ""), help="folder of the data sets")
    parser.add_argument("--report", action="store_true", help="only write the page's section from the results")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs")
    options = parser.parse_args()
    if not options.report:
        if not options.data:
            print("left out: the data set is not part of the project. Name its folder: --data folder, or ISOTONE_DATA.")
            return
        measure(options.data, options.out, options.docs)
    write(options.out, options.docs)


if __name__ == "__main__":
    main()
