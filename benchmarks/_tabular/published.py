"""What the papers print for the sets that this benchmark shares with them.

Chosen on their test sets, by other protocols and on other splits: to be compared among themselves, not with ours.
"""

# ruff: noqa: E501 - a row is as long as it is
from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A published method; figures as printed."""

    method: str
    compas: str  # accuracy
    heart: str  # accuracy
    autompg: str  # mean squared error, mpg squared
    blog: str  # root mean squared error, target 0 to 1
    how: str
    source: str


# fmt: off
TABLE = [
    Row("XGBoost, monotone", ".685±.001", "-", "-", ".176±.005", "as printed by others", "SMNN-type tables, OpenReview zuYXSoOzYG"),
    Row("Deep lattice network", ".679±.003", ".86±.02", "13.34±2.42", ".161±.001", "as printed by others", "OpenReview zuYXSoOzYG"),
    Row("Min-max network", ".678±.001", ".75±.04", "10.14±1.54", ".163±.001", "as printed by others", "OpenReview zuYXSoOzYG"),
    Row("Non-negative network", ".673±.009", "-", "-", ".168±.001", "as printed by others", "OpenReview zuYXSoOzYG"),
    Row("Certified (Liu 2020)", ".688±.002", "-", "-", ".158±.001", "as printed by others", "OpenReview zuYXSoOzYG"),
    Row("LMN (Kitouni, Nolte 2023)", ".693±.001", ".896±.019", "7.58±1.20", ".160±.001", "best of 2000 epochs x 50 thresholds on test", "authors' code"),
    Row("CMNN (Runje 2023), notebooks", ".692±.001", ".885±0", "8.37±.08", ".154±.001", "tuned and stopped on test, best 5 of 10", "authors' notebooks"),
    Row("Sartor (2025), notebooks", ".695±.001", ".944±.012", "7.35±.46", ".149±.001", "best test epoch; Heart on 32 of 61 rows", "authors' notebooks"),
    Row("MonoKAN (2024), notebook", ".696±.002", ".91±.01", "5.82±.03", ".153±.0003", "grid search, best test loss; AutoMPG one split of its own", "authors' notebook"),
    Row("mononet (July 2026), clean", ".684±.002", ".839±.012", "9.76±.18", ".173±.001", "chosen on training folds, 20 seeds on the published split", "its docs/benchmarks"),
    Row("free MLP 2x16, clean", ".681±.010", ".833±.022", "10.64±.63", "-", "epoch on validation, published split", "measured for this project"),
    Row("free MLP 2x16, their way", ".693±.002", ".887±.012", "9.15±.23", "-", "best test epoch and threshold, published split", "measured for this project"),
]
# fmt: on
