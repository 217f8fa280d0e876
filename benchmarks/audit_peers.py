"""Does `isotone.audit` find the known faults of its peers, within a minute each, and none in the peers that are sound?

Every row fits a peer with its own monotone constraints and audits it: `broken` are those of which a violation is known,
`sound` those in which none ever was seen. One thread. Exit code 1 if an expectation fails. What was found goes to
benchmarks/results/audit_peers.json, unless `--only` leaves some out.

    python benchmarks/audit_peers.py [--only lightgbm] [--html folder]

Left out: LightGBM's constrained categorical (it ends the process when it is fitted), EBM (interpret is not among the
packages that this project installs), TensorFlow Lattice and mono-dense (TensorFlow).
"""

# ruff: noqa: PLC0415, E501 - a peer is imported where it is fitted, and the table has a row per peer
from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

import isotone
from isotone import Verdict

LIMIT_S = 60.0


class Case(NamedTuple):
    """A fitted peer and the question."""

    predict: object
    X: object
    directions: object
    options: dict | None = None


def waves():
    """Recipe 2.1: two wavy features that the constraints say are straight, two free."""
    random = np.random.default_rng(0)
    X = random.uniform(size=(4000, 4))
    y = 5 * X[:, 0] + np.sin(10 * np.pi * X[:, 0]) - 5 * X[:, 1] - np.cos(10 * np.pi * X[:, 1])
    y += 2 * np.sin(6 * X[:, 2]) * X[:, 0] + random.normal(0, 0.1, 4000)
    return X, y


def counts():
    """Recipe 2.2: zero is special."""
    random = np.random.default_rng(0)
    X = random.poisson(1.0, size=(4000, 4)).astype(float)
    return X, 3 * (X[:, 0] == 0) + 0.5 * X[:, 0] + X[:, 1] + random.normal(0, 0.1, 4000)


def evasion():
    """Recipe 2.3: presences that speak for and against."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 6000)
    rates = np.full((6000, 60), 0.08)
    rates[np.ix_(y == 1, range(20))] = 0.25
    rates[np.ix_(y == 0, range(20, 40))] = 0.25
    return (random.uniform(size=(6000, 60)) < rates).astype(float), y


def holes(low):
    """Recipe 2.4: missing values with low, or high, labels."""
    random = np.random.default_rng(0)
    X = random.uniform(size=(4000, 3))
    y = 3 * X[:, 0] + X[:, 1] + random.normal(0, 0.1, 4000)
    gone = random.uniform(size=4000) < 0.3
    X[gone, 0], y[gone] = np.nan, -3 if low else 9
    return X, y


WAYS = [1, -1, 0, 0]


def lgbm(rounds=100, data=None, ways=WAYS, **parameters):
    import lightgbm

    X, y = data or waves()
    parameters = {"verbose": -1, "num_threads": 1, "monotone_constraints": list(ways), **parameters}
    return lightgbm.train(parameters, lightgbm.Dataset(X, y), num_boost_round=rounds), X


def lightgbm_case(positive=False, **parameters):
    X, y = waves()
    y = y + 1 - y.min() if positive else y
    if parameters.get("objective") in ("cross_entropy", "binary"):
        y = (y > np.median(y)).astype(float)
    booster, X = lgbm(data=(X, y), **parameters)
    return Case(booster, X, WAYS)


def lightgbm_holes(**parameters):
    """A tenth of the constrained columns is missing in training; the claim is about rows without a gap."""
    X, y = waves()
    gaps = np.random.default_rng(0).uniform(size=X.shape) < 0.1
    gaps[:, 2:] = False
    booster, _ = lgbm(data=(np.where(gaps, np.nan, X), y), **parameters)
    return Case(booster, X, WAYS)


def lightgbm_classes():
    X, y = waves()
    booster, X = lgbm(data=(X, np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))), objective="multiclass", num_class=3)
    return Case(booster, X, WAYS, {"output": 2})


def lightgbm_refit():
    booster, X = lgbm()
    random = np.random.default_rng(1)
    new = random.uniform(size=(3000, 4))
    return Case(booster.refit(new, random.normal(size=3000), decay_rate=0.0), X, WAYS)


def lightgbm_counts(sparse, **parameters):
    import scipy.sparse

    X, y = counts()
    X = scipy.sparse.csr_matrix(X) if sparse else X
    return Case(lgbm(data=(X, y), ways=[1, 1, 0, 0], **parameters)[0], X, [1, 1, 0, 0])


def lightgbm_evasion():
    import lightgbm
    import scipy.sparse

    X, y = evasion()
    X = scipy.sparse.csr_matrix(X)
    model = lightgbm.LGBMClassifier(
        n_estimators=150, max_depth=5, monotone_constraints=[1] * 60, n_jobs=1, verbose=-1
    ).fit(X[:4000], y[:4000])
    return Case(model, X[4000:], 1)


def xgb(data=None, ways=WAYS, rounds=100, matrix=None, **parameters):
    import xgboost

    X, y = data or waves()
    parameters = {"nthread": 1, "monotone_constraints": tuple(ways), **parameters}
    return xgboost.train(parameters, xgboost.DMatrix(X, y, **(matrix or {})), num_boost_round=rounds), X


def xgboost_case(against=False, **parameters):
    ways = [-1, 1, 0, 0] if against else WAYS
    booster, X = xgb(ways=ways, **parameters)
    return Case(booster, X, ways)


def xgboost_quantiles():
    booster, X = xgb(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9])
    return Case(booster, X, WAYS, {"output": 1})


def xgboost_classes():
    X, y = waves()
    booster, X = xgb(data=(X, np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))), objective="multi:softprob", num_class=3)
    return Case(booster, X, WAYS, {"output": 2})


def xgboost_refresh():
    import xgboost

    booster, X = xgb()
    random = np.random.default_rng(1)
    new = xgboost.DMatrix(random.uniform(size=(3000, 4)), random.normal(size=3000))
    parameters = {"process_type": "update", "updater": "refresh", "refresh_leaf": True, "nthread": 1}
    return Case(xgboost.train(parameters, new, num_boost_round=100, xgb_model=booster), X, WAYS)


def xgboost_counts(kind):
    import scipy.sparse
    import xgboost

    X, y = counts()
    if kind == "csr":
        X = scipy.sparse.csr_matrix(X)
    missing = 0.0 if kind == "missing=0" else np.nan
    model = xgboost.XGBRegressor(n_estimators=100, monotone_constraints=(1, 1, 0, 0), n_jobs=1, missing=missing)
    return Case(model.fit(X, y), X, [1, 1, 0, 0])


def xgboost_evasion(kind):
    import scipy.sparse
    import xgboost

    X, y = evasion()
    if kind == "csr":
        X = scipy.sparse.csr_matrix(X)
    missing = 0.0 if kind == "missing=0" else np.nan
    model = xgboost.XGBClassifier(
        n_estimators=150, max_depth=5, monotone_constraints=(1,) * 60, n_jobs=1, missing=missing
    ).fit(X[:4000], y[:4000])
    return Case(model, X[4000:], 1)


def xgboost_categories(onehot):
    import pandas
    import xgboost

    random = np.random.default_rng(0)
    codes = random.integers(0, 8, 4000)
    y = np.array([3, 0, 5, 1, 7, 2, 6, 4])[codes] + random.normal(0, 0.1, 4000)
    X = pandas.DataFrame({"grade": pandas.Categorical.from_codes(codes, list("abcdefgh"), ordered=True)})
    model = xgboost.XGBRegressor(
        n_estimators=100, monotone_constraints=(1,), enable_categorical=True, max_cat_to_onehot=onehot, n_jobs=1
    )
    return Case(model.fit(X, y), X, {"grade": "increasing"})


def catboost_case(labels="one", ways=WAYS, column=None, **parameters):
    import catboost

    X, y = waves()
    y = {"one": y, "two": np.stack([y, -y], axis=1), "marks": np.stack([y > 0, y > 1], axis=1).astype(int)}[labels]
    model = catboost.CatBoostRegressor if labels != "marks" else catboost.CatBoost
    parameters = {
        "iterations": 150, "monotone_constraints": list(ways), "verbose": False, "thread_count": 1,
        "allow_writing_files": False, **parameters,
    }  # fmt: skip
    fitted = model(parameters) if labels == "marks" else model(**parameters)
    return Case(fitted.fit(X, y), X, ways, {} if column is None else {"output": column})


def sklearn_case(positive=False, labels=False, **parameters):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    X, y = waves()
    if labels:
        return Case(HistGradientBoostingClassifier(monotonic_cst=WAYS).fit(X, y > np.median(y)), X, WAYS)
    y = y + 1 - y.min() if positive else y
    return Case(HistGradientBoostingRegressor(monotonic_cst=WAYS, **parameters).fit(X, y), X, WAYS)


def forest(kind, **parameters):
    from sklearn import ensemble

    X, y = waves()
    rows = 800 if parameters else 4000  # absolute error is slow
    model = getattr(ensemble, kind)(n_estimators=30, monotonic_cst=WAYS, n_jobs=1, random_state=0, **parameters)
    return Case(model.fit(X[:rows], y[:rows]), X, WAYS)


def calibrated():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, y = waves()
    model = CalibratedClassifierCV(HistGradientBoostingClassifier(monotonic_cst=WAYS), method="isotonic", cv=3)
    return Case(model.fit(X, y > np.median(y)), X, WAYS)


def pipeline():
    """A free logistic regression behind a scaler, on data that speak against the direction."""
    import pandas
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = waves()
    frame = pandas.DataFrame(X, columns=["debt", "age", "u", "v"])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, y > np.median(y))
    return Case(model, frame, {"debt": "decreasing"})


def lmn(kind):
    import monotonicnetworks as lmn
    import torch

    torch.manual_seed(0)
    X, _ = waves()
    X = X.astype(np.float32)
    if kind == "right":
        # As in reference/monotone_models.md, 3.4: each layer the third root of the whole constant.
        kinds, each, whole = ("one-inf", "inf", "inf"), 10 ** (1 / 3), 10.0
        layers = [
            lmn.LipschitzLinear(a, b, kind=k, lipschitz_const=each) for (a, b), k in zip(SIZES, kinds, strict=True)
        ]
    elif kind == "defaults":
        layers, whole = [lmn.LipschitzLinear(a, b) for a, b in SIZES], 1.0
    else:  # the constant of the whole given to each layer
        kinds, whole = ("one-inf", "inf", "inf"), 10.0
        layers = [
            lmn.LipschitzLinear(a, b, kind=k, lipschitz_const=whole) for (a, b), k in zip(SIZES, kinds, strict=True)
        ]
    inner = torch.nn.Sequential(layers[0], lmn.GroupSort(2), layers[1], lmn.GroupSort(2), layers[2])
    model = lmn.MonotonicWrapper(inner, lipschitz_const=whole, monotonic_constraints=WAYS)
    x = torch.from_numpy(X)
    y = -5 * x[:, :1] + 5 * x[:, 1:2]  # the data slope the other way
    y = y * (whole if kind == "right" else 4 * whole)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = ((model(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Case(model.eval(), X, WAYS)


SIZES = [(4, 32), (32, 32), (32, 1)]


def missing_case(peer, low, policy):
    X, y = holes(low)
    ways = [1, 0, 0]
    if peer == "lightgbm":
        model = lgbm(data=(X, y), ways=ways)[0]
    elif peer == "xgboost":
        model = xgb(data=(X, y), ways=ways)[0]
    elif peer == "sklearn":
        from sklearn.ensemble import HistGradientBoostingRegressor

        model = HistGradientBoostingRegressor(monotonic_cst=ways).fit(X, y)
    else:
        import catboost

        model = catboost.CatBoostRegressor(
            iterations=150, monotone_constraints=ways, nan_mode=peer, verbose=False, thread_count=1,
            allow_writing_files=False,
        ).fit(X, y)  # fmt: skip
    return Case(model, X, ways, {"missing": policy})


BROKEN, SOUND = Verdict.REFUTED, None
# fmt: off
CASES = [
    # peer                                      expected  how to make it
    ("xgboost CSR, evasion",                    BROKEN, lambda: xgboost_evasion("csr")),
    ("xgboost dense missing=0, evasion",        BROKEN, lambda: xgboost_evasion("missing=0")),
    ("xgboost dense, evasion",                  SOUND,  lambda: xgboost_evasion("dense")),
    ("lightgbm CSR, evasion",                   SOUND,  lightgbm_evasion),
    ("xgboost CSR, counts",                     BROKEN, lambda: xgboost_counts("csr")),
    ("xgboost dense missing=0, counts",         BROKEN, lambda: xgboost_counts("missing=0")),
    ("xgboost dense, counts",                   SOUND,  lambda: xgboost_counts("dense")),
    ("lightgbm dense, counts",                  SOUND,  lambda: lightgbm_counts(False)),
    ("lightgbm CSR, counts",                    SOUND,  lambda: lightgbm_counts(True)),
    ("lightgbm zero_as_missing, counts",        BROKEN, lambda: lightgbm_counts(False, zero_as_missing=True)),
    ("sklearn HGB absolute_error",              BROKEN, lambda: sklearn_case(loss="absolute_error")),
    ("sklearn HGB quantile",                    BROKEN, lambda: sklearn_case(loss="quantile", quantile=0.9)),
    ("xgboost absoluteerror",                   BROKEN, lambda: xgboost_case(objective="reg:absoluteerror")),
    ("xgboost quantileerror",                   BROKEN, lambda: xgboost_case(objective="reg:quantileerror", quantile_alpha=0.9)),
    ("xgboost quantileerror, three",            BROKEN, xgboost_quantiles),
    ("LMN with its defaults",                   BROKEN, lambda: lmn("defaults")),
    ("LMN, the constant in each layer",         BROKEN, lambda: lmn("each")),
    ("LMN composed right",                      SOUND,  lambda: lmn("right")),
    ("lightgbm multi-class, top class",         BROKEN, lightgbm_classes),
    ("xgboost multi-class, top class",          BROKEN, xgboost_classes),
    ("lightgbm linear_tree",                    BROKEN, lambda: lightgbm_case(linear_tree=True)),
    ("lightgbm refit",                          BROKEN, lightgbm_refit),
    ("lightgbm advanced, missing in training",  BROKEN, lambda: lightgbm_holes(monotone_constraints_method="advanced")),
    ("lightgbm basic, missing in training",     SOUND,  lightgbm_holes),
    ("xgboost refresh",                         BROKEN, xgboost_refresh),
    ("xgboost gblinear",                        BROKEN, lambda: xgboost_case(against=True, booster="gblinear")),
    ("catboost RMSEWithUncertainty",            BROKEN, lambda: catboost_case(loss_function="RMSEWithUncertainty", column=0)),
    ("catboost MultiQuantile",                  BROKEN, lambda: catboost_case(loss_function="MultiQuantile:alpha=0.1,0.5,0.9", column=1)),
    ("catboost MultiRMSE",                      BROKEN, lambda: catboost_case("two", loss_function="MultiRMSE", column=0)),
    ("catboost MultiLogloss",                   BROKEN, lambda: catboost_case("marks", loss_function="MultiLogloss", column=0)),
    ("xgboost categories, one-hot",             BROKEN, lambda: xgboost_categories(100)),
    ("xgboost categories, partition",           SOUND,  lambda: xgboost_categories(1)),
    ("sklearn free pipeline, DataFrame",        BROKEN, pipeline),
    ("lightgbm missing high, lowest",           BROKEN, lambda: missing_case("lightgbm", False, "lowest")),
    ("lightgbm missing high, outside",          SOUND,  lambda: missing_case("lightgbm", False, "outside")),
    ("xgboost missing low, highest",            BROKEN, lambda: missing_case("xgboost", True, "highest")),
    ("xgboost missing low, outside",            SOUND,  lambda: missing_case("xgboost", True, "outside")),
    ("sklearn missing high, lowest",            BROKEN, lambda: missing_case("sklearn", False, "lowest")),
    ("catboost Min, missing high, lowest",      SOUND,  lambda: missing_case("Min", False, "lowest")),
    ("catboost Min, missing low, lowest",       SOUND,  lambda: missing_case("Min", True, "lowest")),
    ("catboost Max, missing high, highest",     SOUND,  lambda: missing_case("Max", False, "highest")),
    ("catboost Max, missing low, highest",      SOUND,  lambda: missing_case("Max", True, "highest")),
    ("lightgbm basic",                          SOUND,  lightgbm_case),
    ("lightgbm intermediate",                   SOUND,  lambda: lightgbm_case(monotone_constraints_method="intermediate")),
    ("lightgbm advanced",                       SOUND,  lambda: lightgbm_case(monotone_constraints_method="advanced")),
    ("lightgbm huber",                          SOUND,  lambda: lightgbm_case(objective="huber")),
    ("lightgbm fair",                           SOUND,  lambda: lightgbm_case(objective="fair")),
    ("lightgbm poisson",                        SOUND,  lambda: lightgbm_case(True, objective="poisson")),
    ("lightgbm gamma",                          SOUND,  lambda: lightgbm_case(True, objective="gamma")),
    ("lightgbm tweedie",                        SOUND,  lambda: lightgbm_case(True, objective="tweedie")),
    ("lightgbm cross_entropy",                  SOUND,  lambda: lightgbm_case(objective="cross_entropy")),
    ("lightgbm dart",                           SOUND,  lambda: lightgbm_case(boosting="dart")),
    ("lightgbm rf",                             SOUND,  lambda: lightgbm_case(boosting="rf", bagging_freq=1, bagging_fraction=0.7)),
    ("lightgbm path_smooth",                    SOUND,  lambda: lightgbm_case(path_smooth=10.0)),
    ("xgboost hist",                            SOUND,  lambda: xgboost_case(tree_method="hist")),
    ("xgboost exact",                           SOUND,  lambda: xgboost_case(tree_method="exact")),
    ("xgboost approx",                          SOUND,  lambda: xgboost_case(tree_method="approx")),
    ("xgboost pseudo-Huber",                    SOUND,  lambda: xgboost_case(objective="reg:pseudohubererror")),
    ("xgboost dart",                            SOUND,  lambda: xgboost_case(booster="dart", rate_drop=0.1)),
    ("catboost RMSE",                           SOUND,  lambda: catboost_case(loss_function="RMSE")),
    ("catboost MAE",                            SOUND,  lambda: catboost_case(loss_function="MAE")),
    ("catboost Quantile",                       SOUND,  lambda: catboost_case(loss_function="Quantile:alpha=0.9")),
    ("catboost Huber",                          SOUND,  lambda: catboost_case(loss_function="Huber:delta=1.0")),
    ("catboost Expectile",                      SOUND,  lambda: catboost_case(loss_function="Expectile:alpha=0.9")),
    ("catboost feature penalties",              SOUND,  lambda: catboost_case(loss_function="RMSE", first_feature_use_penalties=[5, 0, 0, 0])),
    ("sklearn HGB squared_error",               SOUND,  sklearn_case),
    ("sklearn HGB gamma",                       SOUND,  lambda: sklearn_case(True, loss="gamma")),
    ("sklearn HGB poisson",                     SOUND,  lambda: sklearn_case(True, loss="poisson")),
    ("sklearn HGB classifier",                  SOUND,  lambda: sklearn_case(labels=True)),
    ("sklearn HGB, isotonic calibration",       SOUND,  calibrated),
    ("sklearn random forest",                   SOUND,  lambda: forest("RandomForestRegressor")),
    ("sklearn extra trees",                     SOUND,  lambda: forest("ExtraTreesRegressor")),
    ("sklearn random forest, absolute_error",   SOUND,  lambda: forest("RandomForestRegressor", criterion="absolute_error")),
]
# fmt: on


def judged(expected, found, seconds):
    right = found.verdict is Verdict.REFUTED if expected is BROKEN else found.verdict is not Verdict.REFUTED
    return right and seconds <= LIMIT_S


def main():
    import torch
    from _tabular import records

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="peers whose name has this in it")
    parser.add_argument("--html", type=Path, help="a folder for the page of each audit")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    failed, counts_of, kept = [], {}, {}
    print(f"{'peer':40s} {'expected':9s} {'found':9s} {'seconds':>8s} {'worst drop':>11s}  first words of the witness")
    for name, expected, make in CASES:
        if options.only not in name:
            continue
        case = make()
        began = time.perf_counter()
        found = isotone.audit(case.predict, case.X, case.directions, **(case.options or {}))
        seconds = time.perf_counter() - began
        right = judged(expected, found, seconds)
        said = "" if found.witness is None else str(found.witness)
        drop = "-" if found.witness is None else f"{found.witness.drop:.3g}"
        word = "broken" if expected is BROKEN else "sound"
        mark = "" if right else "  <-- NOT AS EXPECTED"
        print(
            f"{name:40s} {word:9s} {found.verdict.value:9s} {seconds:8.1f} {drop:>11s}  {said[:70]}{mark}", flush=True
        )
        kept[name] = {"known": word, "found": found.verdict.value, "seconds": round(seconds, 1), "said": said}
        if not right:
            failed.append(name)
        tally = counts_of.setdefault((word, found.verdict.value), [0])
        tally[0] += 1
        if options.html:
            options.html.mkdir(parents=True, exist_ok=True)
            found.to_html(options.html / f"{name.replace(' ', '_').replace(',', '').replace('/', '_')}.html")
    print("\n" + ", ".join(f"{word}: {n} {verdict}" for (word, verdict), (n,) in sorted(counts_of.items())))
    if not options.only:
        records.keep(records.RESULTS / "audit_peers.json", "python benchmarks/audit_peers.py", {"peers": kept})
    if failed:
        print(f"not as expected: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
