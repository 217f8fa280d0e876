"""Figures in the README and the pages are those that a benchmark wrote down."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


def part(name):
    """A module of the benchmarks, which are no package that is installed; tests may have another of that name."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return module


def found(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def text(page: str) -> str:
    """In one line, so that a sentence is found wherever it is broken."""
    return " ".join((ROOT / page).read_text().split())


def lines(page: str) -> str:
    return (ROOT / page).read_text()


def test_the_demo():
    rows = part("demo").table(found("demo")).splitlines()
    assert len(rows) == 4
    plain = lines("README.md").replace("**", "")
    assert [row for row in rows if row not in plain] == []
    assert f"about {found('demo')['cpu_seconds'] / 60:.0f} minutes of a core" in plain


def test_the_five_splits_of_the_programs():
    over, readme = found("monotone_peers")["over_splits"], text("README.md")
    for who, named in (
        ("monotone network", "the monotone network detects"),
        ("monotone LightGBM", "monotone LightGBM"),
        ("unconstrained network", "the unconstrained network"),
        ("unconstrained LightGBM", "unconstrained LightGBM"),
    ):
        mean, error = (100 * over[who]["detected"][key] for key in ("mean", "standard_error"))
        assert any(f"{named} {mean:.1f} % ({words}{error:.1f})" in readme for words in ("", "standard error "))
    alarms = [100 * one["false_alarms"]["mean"] for one in over.values()]
    assert f"at {min(alarms):.1f} to {max(alarms):.1f} % false alarms" in readme
    *first, last = (f"{one['auc']['mean']:.3f}" for one in over.values())
    assert f"AUCs are {', '.join(first)} and {last}" in readme


def test_the_wrong_ways():
    page = lines("docs/constraints.md")
    for table in part("wrong_ways").tables(found("wrong_ways")):
        head, _, *rows = table.splitlines()
        assert [row for row in (head, *rows) if row not in page] == []


def test_the_steps_of_the_forum_classifier():
    assert part("forum_walk").table(found("forum_walk")["steps"]) in lines("docs/graphs.md")


def test_the_call_graphs():
    graphs = part("graphs")
    measured = [json.loads(line) for line in graphs.RESULTS.read_text().splitlines()]
    report = graphs.report(measured)
    assert [row for row in report.splitlines() if row not in lines("docs/graphs.md")] == []


def test_the_settings_of_the_estimators():
    settings, measured = part("estimator_settings"), found("estimator_settings")
    assert settings.table("validation", measured["validation"]) in lines("docs/recipes.md")
    assert settings.table("sizes", measured["sizes"]) in lines("docs/estimators.md")
    assert settings.table("many", measured["many"]) in lines("docs/estimators.md")


def test_the_ranks_on_tables():
    ranked = [line.split(" | ") for line in lines("docs/tabular.md").splitlines() if " | monotone | " in line]
    (first, _, ours, sets, *_), (second, _, theirs, *_) = ranked[:2]
    assert (first, second, sets) == ("| **isotone**", "| catboost", "11")
    said = f"on eleven sets: first by mean rank, {ours} before CatBoost's {theirs}"
    assert said in text("docs/estimators.md")
    assert "first by mean rank on eleven sets" in text("README.md")


def test_the_folds_of_one_set():
    assert part("gmsc_folds").table(found("gmsc_folds")["folds"]) in lines("docs/estimators.md")


def test_the_staircase():
    page, measured = text("docs/estimators.md"), found("staircase")
    ratios, r2 = measured["ratios"], [seed["R2"] for seed in measured["seeds, ours and LightGBM's"]]
    ours, theirs = [f"{value[0]:.3f}".lstrip("0") for value in r2], {f"{value[1]:.3f}".lstrip("0") for value in r2}
    assert f"takes {ratios['fit']:.1f} times as long as LightGBM's best" in page
    assert f"a prediction {ratios['predict']:.1f} times; R2 {min(ours)} to {max(ours)}, LightGBM {theirs.pop()}" in page
    assert not theirs
    assert sum(one["of"] for one in measured["pairs"]) == 1_000_000
    assert not any(one["falls"] for one in measured["pairs"])


def test_the_audit_of_peers():
    """Which case a line of the page is about stands in its own words; counts, versions and the minute are held here."""
    audited, page = found("audit_peers"), lines("docs/audit.md")
    assert all(one["found"] == "refuted" for one in audited["peers"].values() if one["known"] == "broken")
    assert max(one["seconds"] for one in audited["peers"].values()) < 60
    unknown = {name for name, one in audited["peers"].items() if one["found"] == "unknown"}
    assert unknown == {
        "LMN composed right",
        "catboost Max, missing high, highest",
        "catboost Max, missing low, highest",
        "sklearn HGB, isotonic calibration",
    }
    for name, package in (
        ("scikit-learn", "scikit-learn"),
        ("XGBoost", "xgboost-cpu"),
        ("LightGBM", "lightgbm"),
        ("CatBoost", "catboost"),
        ("monotonicnetworks", "monotonicnetworks"),
    ):
        assert f"{name} {audited['versions'][package]}" in page


def test_rounding():
    measured, page = found("rounding")["measured"], text("docs/proof.md")

    def largest(step: str, batches: tuple[list[int], ...]) -> tuple[float, float]:
        rows = [one for one in measured if one["step"] == step and one["batches"] in batches]
        return 100 * max(max(one["inverted"]) for one in rows), max(one["largest_drop"] for one in rows)

    same, other = ([64, 64], [1, 1]), ([64, 1], [64, 7])
    assert largest("ulp", same) == largest("real", same) == (0, 0)
    share, drop = largest("ulp", other)
    assert f"up to {share:.0f} % came out inverted" in page
    assert f"at most {drop:.1e} of the score".replace("e-0", "e-") in page
    share, drop = largest("real", other)
    assert f"real steps up to {share:.0f} %" in page
    assert f"by at most {drop:.0e}".replace("e-0", "e-") in page


def test_the_cost_of_a_constraint():
    batch, readme = found("constraint_cost")["batch 256"], text("README.md")

    def between(kinds: tuple[str, ...], ends: str, low: str = "ratio", high: str = "ratio") -> str:
        rows = [one for name, one in batch.items() if name.startswith(kinds) and name.endswith(ends)]
        return f"{100 * min(one[low] for one in rows) - 100:.0f} to {100 * max(one[high] for one in rows) - 100:.0f} %"

    signs, norms = ("NonNegative", "Between", "Sign"), ("MaxNorm", "UnitNorm")
    assert f"Signs and bounds cost {between(signs, '')} of a training step" in readme
    assert f"the middle half of the steps: {between(signs, '', 'low', 'high')}" in readme
    assert f"norms {between(norms, 'Euclidean')}, in the metric of AdamW {between(norms, 'AdamW')}" in readme


@pytest.mark.parametrize(
    ("key", "who"), [("certified", "clean"), ("certified", "noise in training"), ("certified", "noise in both")]
)
def test_wrong_labels(key, who):
    mean = found("label_noise")[f"{who}, mean"]
    assert f"| {100 * mean[key]:.1f} % | {100 * mean['false_alarms']:.1f} % |" in lines("docs/running.md")


def test_scoring():
    measured, page = found("scoring"), lines("docs/running.md")
    million = measured["score"]["1000000"]
    alone = measured["rows_a_cpu_second"]
    for said in (
        f"{million['rows_a_cpu_second']:,.0f}",
        f"{alone['lightgbm predict, encoded rows']:,.0f}",
        f"{alone['isotone logits, encoded rows']:,.0f}",
    ):
        assert f"| {round(float(said.replace(',', '')), -2):,.0f} rows a second |" in page
    assert f"| {measured['score_to_lightgbm']:.2f} |" in page
    peaks = [measured["score"][rows]["peak_mib"] for rows in ("100000", "1000000")]
    assert f"| {peaks[0]:.0f} and {peaks[1]:.0f} MiB |" in page


def test_memory_of_bytes():
    measured, page = found("byte_memory"), lines("docs/bytes.md")
    assert all(one == {"loss": 0.0, "gradients": 0.0} for one in measured["differences"].values())
    spread = measured["spread"]
    assert f"flat within {100 * spread['peak of the process']:.1f} %" in page
    assert f"by {100 * spread['peak above the start']:.0f} %" in page
    for way in ("two passes", "words, two passes"):
        cells = [
            f"{one['mb_per_second']:.0f} ({one['mb_per_cpu_second']:.0f})"
            for what in ("training", "scoring")
            for one in measured["throughput"]
            if (one["way"], one["what"]) == (way, what)
        ]
        assert f"| {way} | {' | '.join(cells)} |" in page


def test_memory_of_bytes_by_length():
    def middle(kind: str, megabytes: int, key: str) -> float:
        runs = [one for one in found("byte_memory")["runs"] if (one["kind"], one["megabytes"]) == (kind, megabytes)]
        return statistics.median(one[key] for one in runs)

    for megabytes in (1, 4, 16, 64, 256):
        ours = (middle("two passes", megabytes, key) for key in ("peak_mb", "process_mb", "mb_per_cpu_second"))
        assert "| {} MB | {:.0f} MB, {:.0f} MB | {:.1f} |".format(megabytes, *ours) in lines("docs/bytes.md")
    for megabytes in (1, 4, 16):
        naive = (middle("naive", megabytes, key) for key in ("peak_mb", "mb_per_cpu_second"))
        assert "| {:,.0f} MB | {:.1f} |".format(*naive) in lines("docs/bytes.md")


def test_shares_of_the_floor():
    mean, page = found("floor_share")["mean"], text("docs/design.md")
    parts = (f"{mean[key]:.3f}".removeprefix("0") for key in ("the whole budget", "half", "a quarter"))
    assert f"certifies {', '.join(parts)} at one point" in page
    assert f"gained nothing: {mean['half, joint']:.3f}".replace("0.", ".") in page
