"""What can silently be wrong in benchmarks/programs.py: the control, the sides, what the tables say of the lines."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parent.parent.parent
LINES = ROOT / "benchmarks" / "results" / "programs.jsonl"


def part(name):
    """A module of the benchmark, which is no package that is installed."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


models, sides, benchmark = part("_programs.models"), part("_programs.sides"), part("programs")


@pytest.mark.parametrize("length", [1, 511, 512, 700, 5 * 512, models.PADDED - 600, models.PADDED, models.PADDED + 9])
def test_one_window_of_padding_stands_for_all_of_them(length):
    torch.manual_seed(0)
    net = models.MalConv().eval()
    file = torch.randint(0, 256, (length,), dtype=torch.uint8)
    padded = torch.full((models.PADDED,), 256)
    padded[: min(length, models.PADDED)] = file[: models.PADDED].long()
    windows = net.encoder.embedding(padded).reshape(-1, models.WINDOW, 8)
    logits = net.head(net.encoder.of_embedded(windows).relu().amax(0))
    assert torch.allclose(net([file])[0, 0], logits[1] - logits[0], atol=1e-5)


def test_whole_sources_are_on_one_side_and_names_are_learnt_from_training_rows():
    class Few:
        sources = np.array([f"s{i // 3}" for i in range(90)])
        labels = np.array([int(i % 5 == 0) for i in range(90)])
        graphs = [{"imports": [f"only{i}", "all"]} for i in range(90)]  # noqa: RUF012

    found = sides.Sides(Few(), 0)
    where = [set(Few.sources[at]) for at in found.at.values()]
    assert not (where[0] & where[1] | where[0] & where[2] | where[1] & where[2])
    assert found.numbers == {"all": 2}


def line(kind, seed, **more):
    few = {"auc": 0.9, "detected": 0.5, "positives": 10, "alarms": 3, "negatives": 300, "proof": "", "victims": 4,
           "attacked_at": 0.01, "evaded": {"a": 0, "b": 0}, "lowered": {"a": 0, "b": 0}, "by_any": 0,
           "fit_seconds": 1.0, "seconds": 2.0, "programs": 100, "largest": 65536}  # fmt: skip
    return {"kind": kind, "seed": seed} | few | more


def test_the_tables_add_up_victims_and_name_the_strongest_attack():
    told = benchmark.report(
        [
            line("bytes, monotone", 0, proof="proved"),
            line("MalConv", 0, evaded={"a": 1, "b": 3}, by_any=3, lowered={"a": 4, "b": 4}),
            line("MalConv", 1, evaded={"a": 2, "b": 4}, by_any=4, lowered={"a": 4, "b": 4}, attacked_at=0.25),
        ]
    )
    assert "| MalConv |  | 1 % or 25 % | 8 |" in told
    assert "| 8 | 7 (88 %) | b, 7 (88 %) | 8 |" in told
    assert "| **bytes, monotone** | proved | 1 % | 4 | 0 (0 %) | none | 0 |" in told


@pytest.mark.skipif(not LINES.exists(), reason="no results here")
def test_no_guaranteed_model_was_evaded_and_none_is_left_out():
    lines = [json.loads(text) for text in LINES.read_text().splitlines()]
    assert {(x["kind"], x["seed"]) for x in lines} == {(k, s) for k in benchmark.KINDS for s in benchmark.SEEDS}
    ours = [x for x in lines if x["kind"] in models.GUARANTEED]
    assert sum(x["victims"] for x in ours) > 0
    assert all(x["by_any"] == 0 and not any(x["lowered"].values()) for x in ours)
    assert all(x["proof"] in ("proved", "") for x in ours)


@pytest.mark.skipif(not LINES.exists(), reason="no results here")
def test_the_page_says_what_the_lines_say():
    lines = [json.loads(text) for text in LINES.read_text().splitlines()]
    assert benchmark.report(lines) in (ROOT / "docs" / "programs.md").read_text()
