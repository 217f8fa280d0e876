"""Data sets as arrays: directed inputs, two encodings, three sides that share no row.

- rows that say the same stay on one side (programs: of one source package);
- everything that is learnt from data (scale, knots) is learnt from training rows;
- directions are given by what a column means, never by its labels.

Not here: the sets of benchmarks/tabular.py that are opened once for a release. What is chosen here ends as a default.
"""

import gzip
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from isotone.data import debian_programs
from isotone.nn import Ramps, quantile_knots

MOST_ROWS, STRETCHES, MOST_NAMES = 4000, 8, 300


@dataclass(frozen=True)
class Side:
    inputs: dict  # encoding -> (rows, features) float32
    labels: torch.Tensor  # (rows,) float32


@dataclass(frozen=True)
class DataSet:
    name: str
    train: Side
    validation: Side
    test: Side
    directions: dict  # encoding -> one of +1 and 0 for each feature; what falls has been turned round

    @property
    def about(self):
        sides = (self.train, self.validation, self.test)
        return {
            "rows": [len(side.labels) for side in sides],
            "positives": [int(side.labels.sum()) for side in sides],
            "features": len(self.directions["standardised"]),
            "increasing": int(sum(d != 0 for d in self.directions["standardised"])),
        }


def made(_):
    """Eight increasing inputs and two free ones; steps, a product, a free wave; 15 % positive."""
    rng = np.random.default_rng(5)
    x = rng.random((MOST_ROWS, 10))
    logit = 6 * x[:, 0] * x[:, 1] + 3 * (x[:, 2] > 0.7) + 2 * np.sqrt(x[:, 3]) + 2 * np.minimum(x[:, 4], x[:, 5])
    logit = logit + 4 * (x[:, 6] > 0.5) * x[:, 8] + 1.5 * np.sin(6 * x[:, 9])
    logit = logit - np.quantile(logit, 0.85)
    y = rng.random(MOST_ROWS) < 1 / (1 + np.exp(-2 * logit))
    return x, y, [1] * 8 + [0, 0], None


def programs(_):
    """The shipped programs: can it open a network connection? The commonest names that it imports."""
    table = debian_programs().to_pylist()
    sets = [set(row["imports"]) - set(row["masked_imports"] or ()) for row in table]
    names, counts = np.unique([name for row in sets for name in sorted(row)], return_counts=True)
    chosen = names[np.argsort(-counts, kind="stable")[:MOST_NAMES]]
    x = np.array([[name in row for name in chosen] for row in sets], dtype=float)
    y = np.array([row["network"] for row in table]) == 1
    return x, y, [1] * len(chosen), np.array([row["source"] for row in table])


# fmt: off
UP = {
    "free", "money", "credit", "000", "remove", "business", "order", "receive", "make", "addresses", "internet",
    "!", "$", "average", "longest", "total",
}
DOWN = {
    "george", "650", "hp", "hpl", "lab", "labs", "telnet", "857", "415", "85", "technology", "1999", "meeting",
    "project", "edu", "conference", "cs", "pm",
}
# fmt: on


def spambase(data):
    """Frequencies of words; which speak for spam is common sense, the rest is free."""
    frame = pd.read_csv(data / "spambase" / "spambase.data", skipinitialspace=True)
    frame.columns = [c.strip() for c in frame.columns]
    y = frame.pop("spam").to_numpy() == 1
    last = [c.rsplit("_", 1)[-1] for c in frame.columns]
    return np.log1p(frame.to_numpy(float)), y, [(w in UP) - (w in DOWN) for w in last], None


def phishing(data):
    """Coded -1, 0, 1, where 1 points to a legitimate site; three columns whose coding is doubtful are free."""
    frame = pd.read_csv(data / "phishing_uci" / "uci_raw_named.csv.gz")
    y = frame.pop("Result").to_numpy() == -1
    free = {"domain_registration_length", "shortining_service", "abnormal_url"}
    return frame.to_numpy(float), y, [0 if c in free else -1 for c in frame.columns], None


def compas(data):
    """Will somebody be arrested again within two years? Rises with four counts of priors."""
    sides = ("train", "test")
    frame = pd.concat([pd.read_csv(data / "cmnn_splits" / f"{side}_compas.csv") for side in sides])
    y = frame.pop("ground_truth").to_numpy() == 1
    return frame.to_numpy(float), y, [1] * 4 + [0] * (frame.shape[1] - 4), None


def drebin(data):
    """Android programs: permissions and calls, which can be added."""
    with gzip.open(data / "drebin215" / "drebin215.csv.gz", "rt") as file:
        frame = pd.read_csv(io.StringIO(file.read().replace("?", "0")))
    y = frame.pop("class").to_numpy() == "S"
    return frame.to_numpy(float), y, [1] * frame.shape[1], None


def pdf(data):
    """Malicious PDF files (Contagio): the 34 counts that an attacker can only raise."""
    parts = [pd.read_csv(data / "mimicus_pdf" / f"contagio-{side}.csv.gz") for side in ("ben", "mal")]
    frame = pd.concat(parts)
    table = pd.read_csv(data / "mimicus_pdf" / "feature_edit_table.csv")
    only = table["increment_only"].astype(str).str.strip().str.lower().isin(["y", "true", "1"])
    columns = [c for c in table["feature"][only] if c in frame.columns]
    y = frame["class"].astype(str).str.lower().eq("true").to_numpy()
    return np.log1p(frame[columns].to_numpy(float).clip(0)), y, [1] * len(columns), None


SETS = {
    "made": made,
    "programs": programs,
    "spambase": spambase,
    "phishing": phishing,
    "COMPAS": compas,
    "DREBIN-215": drebin,
    "PDF": pdf,
}
WITHOUT_DATA = ("made", "programs")


def load(name, data, seed=0):
    """Split a set by group into half, a quarter and a quarter."""
    x, y, directions, groups = SETS[name](None if data is None else Path(data))
    if groups is None:
        _, groups = np.unique(x, axis=0, return_inverse=True)
    rng = np.random.default_rng(seed)
    keep = np.sort(rng.permutation(len(y))[:MOST_ROWS])
    x, y = x[keep], y[keep]
    _, groups = np.unique(groups.ravel()[keep], return_inverse=True)
    drawn = rng.random(groups.max() + 1)[groups]
    parts = [np.flatnonzero(part) for part in (drawn < 0.5, (drawn >= 0.5) & (drawn < 0.75), drawn >= 0.75)]
    used = x[parts[0]].std(axis=0) > 0  # a column that never varies in training says nothing
    x, directions = x[:, used], np.array(directions)[used]
    x = x * np.where(directions < 0, -1.0, 1.0)
    ways = (directions != 0).astype(int)
    mean, std = x[parts[0]].mean(axis=0), x[parts[0]].std(axis=0)
    columns = torch.from_numpy(x.astype(np.float32))
    ramps = Ramps([quantile_knots(columns[parts[0], j], STRETCHES) for j in range(x.shape[1])])
    with torch.no_grad():
        ramped = ramps(columns)
    encoded = {"standardised": torch.from_numpy(((x - mean) / std).astype(np.float32)), "ramps": ramped}
    labels = torch.from_numpy(y.astype(np.float32))
    return DataSet(
        name,
        *(Side({k: v[at].contiguous() for k, v in encoded.items()}, labels[at]) for at in parts),
        {"standardised": ways.tolist(), "ramps": [int(ways[int(i)]) for i in ramps.owner]},
    )
