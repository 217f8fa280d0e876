"""The page about recipes is what the benchmark found, and the benchmark measures what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import isotone
from isotone import Verdict

# They test a benchmark, not the library, and take half a minute.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "recipes.json"
FORM = {"trials": 2, "seeds": 1, "epochs": 1}
PLAIN = {
    "optimizer": "AdamW",
    "depth": 2,
    "decay": "on",
    "amount": 1e-3,
    "rate": 1e-2,
    "loss": "focal",
    "inputs": "ramps",
}


@pytest.fixture(scope="module")
def parts():
    """The modules of the benchmark."""
    pytest.importorskip("pandas")
    pytest.importorskip("optuna")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from _recipes import factors, nets, page, sets  # noqa: PLC0415

    sys.path.remove(str(ROOT / "benchmarks"))
    return factors, nets, page, sets


@pytest.fixture(scope="module")
def made(parts):
    return parts[3].load("made", None)


def test_the_page_is_written_from_the_results(parts):
    found = json.loads(RESULTS.read_text())
    assert parts[2].text(found) in (ROOT / "docs" / "recipes.md").read_text(), "python benchmarks/recipes.py --page"


def test_every_final_network_was_inside_and_every_proof_held():
    found = json.loads(RESULTS.read_text())
    finals = [*found["cells"], *found["recipe"]["sets"].values(), *found["recipe"]["house"]["sets"].values()]
    finals += [one for changed in found["around"] for one in changed["sets"].values()]
    assert min(one["lowest weight"] for one in finals) >= 0.0
    assert {one["verdict"] for one in finals if "verdict" in one} == {"PROVED"}


def test_no_row_is_on_two_sides(made):
    seen = [
        {tuple(row) for row in side.inputs["standardised"].tolist()}
        for side in (made.train, made.validation, made.test)
    ]
    assert sum(map(len, seen)) == len(set.union(*seen)) > 3000


WAYS = [(way, "switch") for way in ("projection", "softplus", "exp", "square", "abs")]


@pytest.mark.parametrize(
    ("way", "activation"), [*WAYS, ("projection", "saturating in turn"), ("projection", "sigmoid")]
)
def test_what_is_trained_is_proved_monotone(parts, made, way, activation):
    nets = parts[1]
    setting = {**PLAIN, "way": way, "activation": activation}
    model = nets.fit(setting, made, 0, 1)
    directions = made.directions["ramps"]
    assert 0 in directions
    assert nets.lowest(model, directions) >= 0.0
    certificate = isotone.certify(nets.plain(model), made.test.inputs["ramps"][:2], directions=directions)
    assert certificate.verdict is Verdict.PROVED


def test_all_ways_start_from_the_same_function(parts, made):
    nets, x = parts[1], made.train.inputs["ramps"]
    found = []
    for way in ("projection", *nets.MAPS):
        torch.manual_seed(3)
        model = nets.network({**PLAIN, "way": way, "activation": "ELU"}, made.directions["ramps"], x[:200])
        found.append(model(x[:50]).detach())
    for one in found[1:]:
        assert torch.allclose(one, found[0], atol=0.05)  # exactly 0 is out of reach of a smooth map


def test_a_level_is_held_while_the_rest_is_searched(parts, made):
    found = parts[0].cell(made, "depth", 1, FORM, prove=False)
    assert found["setting"]["depth"] == 1
    assert set(found["setting"]) == set(parts[0].SPACE)
    assert len(found["trials"]) == 2
    assert found["validation"] == max(found["trials"])


def test_a_collapsed_network_is_counted(parts):
    collapsed = parts[1].collapsed
    assert collapsed(0.54, 1.0)
    assert collapsed(0.9, 1e-4)
    assert collapsed(float("nan"), 1.0)
    assert not collapsed(0.9, 1.0)
