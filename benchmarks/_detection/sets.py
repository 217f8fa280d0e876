"""The sets: what is read, what the attacker can add, and how rows are parted.

- 60 % train, 20 % validation, 20 % test, near those shares of each class, by groups: rows with one vector, mails with
  one text, programs of one source package;
- words are learnt from training rows;
- mimicus_pdf trains and validates on Contagio and is tested on Google and VirusTotal, as published.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from isotone.data import Encoder, debian_programs, labels_of, split
from isotone.encoding import PresenceVectorizer

from .sides import Problem, Side, apart, csr, single, vectors

SHARES = (0.6, 0.2, 0.2)
MIN_ROWS, MOST_WORDS = 5, 4000
ENRON_ROWS = 9000


def parted(name: str, X: Any, y: np.ndarray, names: list[str], seed: int) -> Problem:
    """Bits, one row a vector, at random."""
    at, labels, counts = single(X, y)
    X = X[at]
    found = split(labels, None, SHARES, seed, vectors=np.array([hash_of(v) for v in vectors(X)]))
    sides, notes = apart(*(Side(X[part], labels[part]) for part in (found.train, found.validation, found.test)))
    return Problem(name, tuple(names), np.ones(X.shape[1], int), True, *sides, notes={"all": counts, **notes})


def hash_of(content: bytes) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.blake2b(content, digest_size=12).hexdigest()


@lru_cache(maxsize=1)
def table(path: Path, label: str, bad: str) -> tuple[Any, np.ndarray, list[str]]:
    """A table of bits; rows with something else in them are left out (drebin215 has 5)."""
    frame = pd.read_csv(path, low_memory=False)
    y = (frame.pop(label).astype(str) == bad).to_numpy().astype(np.int64)
    values = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    whole = np.isin(values, (0.0, 1.0)).all(axis=1)
    return csr(values[whole]), y[whole], list(frame.columns)


def drebin215(data: Path, seed: int) -> Problem:
    X, y, names = table(data / "drebin215" / "drebin215.csv.gz", "class", "S")
    return parted("drebin215", X, y, names, seed)


def defensedroid(data: Path, seed: int) -> Problem:
    X, y, names = table(data / "defensedroid" / "defensedroid_prs.csv.gz", "class", "1")
    return parted("defensedroid", X, y, names, seed)


def texts(name: str, found: list[tuple[str, int]], seed: int, rows: int | None = None) -> Problem:
    """Presence of the words of training texts; texts that differ in spaces and capitals only are one."""
    once: dict[str, tuple[str, int]] = {}
    for text, label in found:
        once.setdefault(re.sub(r"\s+", " ", text.lower()).strip(), (text, label))
    kept = [once[key] for key in sorted(once, key=lambda key: hash_of(key.encode()))][:rows]
    y = np.array([label for _, label in kept], dtype=np.int64)
    at = split(y, None, SHARES, seed)
    parts = [[kept[row][0] for row in part] for part in (at.train, at.validation, at.test)]
    words = PresenceVectorizer(min_df=MIN_ROWS, max_features=MOST_WORDS).fit(parts[0])
    sides, notes = apart(
        *(
            Side(csr(words.transform(part)), y[rows])
            for part, rows in zip(parts, (at.train, at.validation, at.test), strict=True)
        )
    )
    names = tuple(words.get_feature_names_out())
    notes = {"all": {"rows": len(found), "texts": len(once), "used": len(kept)}, **notes}
    return Problem(name, names, np.ones(len(names), int), True, *sides, notes=notes)


@lru_cache(maxsize=1)
def sms(path: Path) -> list[tuple[str, int]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(text, int(label == "spam")) for label, _, text in (line.partition("\t") for line in lines)]


@lru_cache(maxsize=1)
def enron(path: Path) -> list[tuple[str, int]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [(row["text"], int(row["label"])) for row in map(json.loads, lines)]


def sms_spam(data: Path, seed: int) -> Problem:
    return texts("sms_spam", sms(data / "sms_spam" / "SMSSpamCollection"), seed)


def enron_spam(data: Path, seed: int) -> Problem:
    """A third of the mails, by a hash of their text: the same ones for every seed."""
    return texts("enron_spam", enron(data / "enron_spam" / "enron_spam.jsonl.gz"), seed, ENRON_ROWS)


def programs(data: Path, seed: int) -> Problem:
    """The project's own: does a program open network connections? Groups are source packages."""
    import pyarrow as pa  # noqa: PLC0415

    rows = debian_programs()
    y = labels_of(rows, "network", None)
    packages = np.array(rows["source"].to_pylist())
    at = split(y, packages, SHARES, seed)
    encoder = Encoder.fit(
        rows.take(pa.array(at.train)), label="network", names="imports", min_rows=MIN_ROWS, max_names=20_000
    )
    X = csr(encoder.encode(rows).names)
    sides, notes = apart(*(Side(X[part], y[part], packages[part]) for part in (at.train, at.validation, at.test)))
    return Problem("programs", encoder.features, np.ones(X.shape[1], int), True, *sides, notes=notes)


@lru_cache(maxsize=1)
def pdfs(folder: Path) -> tuple[dict[str, np.ndarray], list[str], np.ndarray]:
    """The four tables as numbers, names of the features, and which of them a published tool can only increment.

    Counts, sizes, dates and ids reach 1e13 and go below 0: sign(x) log(1 + |x|), which is increasing.
    """
    tables, names = {}, []
    for name in ("contagio-ben", "contagio-mal", "google-ben", "virustotal-mal"):
        frame = pd.read_csv(folder / f"{name}.csv.gz", low_memory=False).drop(columns=["class", "filename"])
        names = list(frame.columns)
        frame = frame.replace({True: 1, False: 0, "TRUE": 1, "FALSE": 0, "True": 1, "False": 0})
        values = frame.apply(pd.to_numeric, errors="coerce").fillna(0.0).to_numpy(np.float64)
        tables[name] = np.sign(values) * np.log1p(np.abs(values))
    with (folder / "feature_edit_table.csv").open(newline="") as lines:
        only_up = {row["feature"] for row in csv.DictReader(lines) if row["increment_only"].strip().lower() in WORDS}
    return tables, names, np.array([name in only_up for name in names])


WORDS = ("y", "yes", "true", "1")


def mimicus(data: Path, seed: int, *, free: bool) -> Problem:
    """34 features increase; of the others `free` keeps all as out of reach, else none is used.

    Half of Google's benign rows, drawn by the seed, are no test rows: a threshold can be set anew on them.
    """
    tables, names, only_up = pdfs(data / "mimicus_pdf")
    used = np.arange(len(names)) if free else np.flatnonzero(only_up)
    rng = np.random.default_rng(seed)
    google = rng.permutation(len(tables["google-ben"]))
    half = len(google) // 2

    def rows(*parts: tuple[np.ndarray, int]) -> tuple[np.ndarray, np.ndarray]:
        X = np.concatenate([part[:, used] for part, _ in parts])
        return X, np.concatenate([np.full(len(part), label) for part, label in parts])

    X, y = rows((tables["contagio-ben"], 0), (tables["contagio-mal"], 1))
    test_X, test_y = rows((tables["google-ben"][google[:half]], 0), (tables["virustotal-mal"], 1))
    fresh_X, fresh_y = rows((tables["google-ben"][google[half:]], 0))
    at, labels, counts = single(csr(X), y)
    found = split(labels, None, (0.75, 0.2, 0.05), seed, vectors=np.array([hash_of(v) for v in vectors(csr(X[at]))]))
    inside, outside = at[found.train], at[np.concatenate([found.validation, found.test])]
    y_outside = labels[np.concatenate([found.validation, found.test])]
    low, high = X[inside].min(axis=0), X[inside].max(axis=0)
    width = np.where(high > low, high - low, 1.0)

    def scaled(rows: np.ndarray) -> Any:
        return csr((rows - low) / width)

    sides, notes = apart(
        Side(scaled(X[inside]), labels[found.train]),
        Side(scaled(X[outside]), y_outside),
        Side(scaled(test_X), test_y),
    )
    known = {vector for side in sides for vector in vectors(side.X)}
    once, fresh_labels, _ = single(scaled(fresh_X), fresh_y)
    fresh = scaled(fresh_X)[once]
    new = np.array([vector not in known for vector in vectors(fresh)])
    return Problem(
        "mimicus_b" if free else "mimicus_a",
        tuple(names[i] for i in used),
        only_up[used].astype(int),
        False,
        *sides,
        fresh=Side(fresh[new], fresh_labels[new]),
        notes={"all": counts, **notes},
    )


class Set(NamedTuple):
    """A row of the table of sets."""

    load: Callable[[Path, int], Problem]
    victims: int  # most bad rows attacked a model
    said: str


# fmt: off
SETS = {
    "drebin215":    Set(drebin215, 300, "Android, 215 bits, all addable; one row a vector"),
    "defensedroid": Set(defensedroid, 150, "Android, 2,877 bits, all addable; one row a vector"),
    "programs":     Set(programs, 100, "imports of Debian programs, all addable; parted by source package"),
    "sms_spam":     Set(sms_spam, 200, "words of short messages, all addable"),
    "enron_spam":   Set(enron_spam, 80, f"words of mails, all addable; {ENRON_ROWS:,} of the 24,931 distinct texts"),
    "mimicus_a":    Set(lambda data, seed: mimicus(data, seed, free=False), 200, "PDF, only the 34 features that can only be incremented"),  # noqa: E501
    "mimicus_b":    Set(lambda data, seed: mimicus(data, seed, free=True), 200, "PDF, 34 features increase, 101 are taken to be out of reach"),  # noqa: E501
}
# fmt: on


@lru_cache(maxsize=1)
def load(name: str, data: str, seed: int) -> Problem:
    """A split of a set; the last one is kept, for the next model."""
    return SETS[name].load(Path(data), seed)
