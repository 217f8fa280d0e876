"""The data sets of the tabular benchmark, each as numbers with a direction per column.

- directions are those of the data's meaning, not of published code that placed them wrongly;
- nothing is scaled by rows that will be judged: models get the raw numbers;
- `DEVELOPMENT` may be looked at while the library is written, the others only with --open.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import made


@dataclass(frozen=True)
class Table:
    """Rows, what is to be said of them, and a direction per column: +1, -1 or 0."""

    X: np.ndarray  # (rows, columns), float64
    y: np.ndarray  # (rows,), 0 and 1 for a classification, any number for a regression
    ways: np.ndarray  # (columns,)
    columns: list[str] = field(default_factory=list)
    test: np.ndarray | None = None  # rows that are the test part, where the split is given


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file with a head, packed or not."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as text:
        yield from csv.DictReader(text)


def numbers(path: Path, target: str, ways: dict[str, int], *, leave: tuple[str, ...] = ()) -> Table:
    """A file of numbers; rows with a `?` are left out."""
    found = [row for row in rows(path) if "?" not in row.values()]
    columns = [name for name in found[0] if name not in {target, *leave}]
    unknown = set(ways) - set(columns)
    if unknown:
        raise ValueError(f"{path}: no column {sorted(unknown)}; it has {columns}")
    X = np.array([[float(row[name]) for name in columns] for row in found])
    y = np.array([float(row[target]) for row in found])
    return Table(X, y, np.array([ways.get(name, 0) for name in columns]), columns)


RACES = ("African-American", "Hispanic", "Asian", "Caucasian", "Native American", "Other")
PRIORS = ("priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count")


def compas(data: Path) -> Table:
    """ProPublica's rows, filtered as they filter; names and everything else stay in the file."""
    X, y = [], []
    for row in rows(data / "compas" / "compas_scores_two_years.csv.gz"):
        days = row["days_b_screening_arrest"]
        if not days or abs(float(days)) > 30 or row["is_recid"] == "-1" or row["score_text"] == "N/A":
            continue
        if row["c_charge_degree"] > "O":
            continue
        counts = [float(row[name]) for name in (*PRIORS, "age")]
        X.append([*counts, *(float(row["race"] == race) for race in RACES), float(row["sex"] == "Male")])
        y.append(float(row["two_year_recid"]))
    columns = [*PRIORS, "age", *RACES, "male"]
    return Table(np.array(X), np.array(y), np.array([1, 1, 1, 1] + [0] * 8), columns)


def heart(data: Path) -> Table:
    """Both published parts together; the row number, which published code fed as a feature, is left out."""
    ways = {"trestbps": 1, "chol": 1}
    parts = [numbers(data / "heart" / f"heart_{part}.csv", "target", ways, leave=("",)) for part in ("train", "test")]
    X, y = np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
    return Table(X, y, parts[0].ways, parts[0].columns)


def autompg(data: Path) -> Table:
    ways = dict.fromkeys(("displacement", "horsepower", "weight"), -1)
    return numbers(data / "autompg" / "auto-mpg.csv", "mpg", ways, leave=("car name",))


def ordinal(name: str, target: str, ways: tuple[str, ...]) -> Callable[[Path], Table]:
    def load(data: Path) -> Table:
        return numbers(data / "ordinal_monotone" / f"{name}.csv", target, dict.fromkeys(ways, 1))

    return load


def blogfeedback(data: Path) -> Table:
    """The published parts; the 8 counts stand in columns 0 to 7, not where published code looked for them."""
    with np.load(data / "blogfeedback" / "certmono_preprocessed.npz") as parts:
        X, y, X_test, y_test = (
            np.asarray(parts[key], dtype=np.float64) for key in ("X_train", "y_train", "X_test", "y_test")
        )
    # The published test part lacks the first row of each daily file: where the weekday of the base time changes.
    weekday = X_test[:, 259:266].argmax(axis=1)
    drop = np.flatnonzero(np.diff(weekday)) + 1
    X_test, y_test = np.delete(X_test, drop, axis=0), np.delete(y_test.ravel(), drop)
    ways = np.array([1] * 8 + [0] * (X.shape[1] - 8))
    test = np.arange(len(X), len(X) + len(X_test))
    return Table(np.concatenate([X, X_test]), np.concatenate([y.ravel(), y_test]), ways, test=test)


def gmsc(data: Path) -> Table:
    """1 is a bad payer here; the file has it the other way round."""
    ways = {
        "NumberOfTime30-59DaysPastDueNotWorse": 1,
        "NumberOfTime60-89DaysPastDueNotWorse": 1,
        "NumberOfTimes90DaysLate": 1,
        "RevolvingUtilizationOfUnsecuredLines": 1,
        "age": -1,
        "MonthlyIncome": -1,
    }
    table = numbers(data / "gmsc" / "give_me_some_credit_test.csv.gz", "SeriousDlqin2yrs", ways)
    return Table(table.X, 1 - table.y, table.ways, table.columns)


def staircase(seed: int) -> Table:
    return Table(*made.staircase(seed))


def screening(seed: int) -> Table:
    return Table(*made.screening(seed))


class Set(NamedTuple):
    """A row of the table of sets."""

    task: str  # classification or regression
    outer: str  # folds: 3 x 5 by group; given: the published test part; part: one stratified fifth; draws: made anew
    development: bool
    load: Callable[..., Table]  # from the data folder, or from a seed where it is made


IN4, OUT = ("in1", "in2", "in3", "in4"), "out1"
LIKED = ("In1", "In2", "In3", "In5", "In7", "In9", "In10")  # the seven that Lujan et al. constrain
# fmt: off
SETS = {
    # name            task              outer    dev    where from
    "compas":     Set("classification", "folds", True,  compas),
    "heart":      Set("classification", "folds", True,  heart),
    "autompg":    Set("regression",     "folds", True,  autompg),
    "esl":        Set("regression",     "folds", True,  ordinal("esl", OUT, IN4)),
    "era":        Set("regression",     "folds", False, ordinal("era", OUT, IN4)),
    "lev":        Set("regression",     "folds", False, ordinal("lev", "Out1", ("In1", "In2", "In3", "In4"))),
    "swd":        Set("regression",     "folds", False, ordinal("swd", "Out1", LIKED)),
    "blog":       Set("regression",     "given", False, blogfeedback),
    "gmsc":       Set("classification", "part",  False, gmsc),
    "staircase":  Set("regression",     "draws", False, staircase),
    "screening":  Set("classification", "draws", False, screening),
}
# fmt: on
DEVELOPMENT = [name for name, row in SETS.items() if row.development]
