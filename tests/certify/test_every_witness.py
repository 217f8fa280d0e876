"""Every model of these tests that is refuted falls again in a fresh process, from the file of its witness alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from isotone.certify import certify, save_witness
from isotone.verdict import Verdict

from .impostors import IMPOSTORS
from .test_verdicts import VERDICTS
from .zoo import ZOO
from .zoo.making import made

X = torch.tensor([[0.1, 0.5, 0.9], [0.8, 0.4, 0.2]])
TESTS = Path(__file__).parent.parent
REPLAY = """
import json, sys, warnings
warnings.simplefilter("ignore")
from isotone.certify import load_factory, load_witness, replay
found = {}
for path in sys.argv[1:]:
    stored = load_witness(path)
    again = replay(load_factory(stored.factory), stored)
    found[stored.factory] = [again.falls, again.remark]
print(json.dumps(found))
"""
ZOO_ASKED = [(c.inputs, c.directions, c.domain, c.right) for c in ZOO.values()]
ASKED = {
    "zoo": ZOO_ASKED,
    "verdict": [row[1:5] for row in VERDICTS],
    "impostor": [(X, +1, (0.0, 1.0), {Verdict.REFUTED, Verdict.UNKNOWN})] * len(IMPOSTORS),
}


def replayed(places, folder):
    """Which witnesses of these models fall again: {factory: [falls, remark]}, and how many were refuted."""
    files = []
    for kind, number in places:
        inputs, directions, domain, right = ASKED[kind][number]
        if Verdict.REFUTED not in right:
            continue
        model = made(kind, number)
        certificate = certify(model, inputs, directions, domain, budget=400, seconds=2)
        if certificate.verdict is Verdict.REFUTED:
            factory = f"certify.zoo.making:{kind}_{number}"
            name = folder / f"{kind}{number}.safetensors"
            files.append(save_witness(name, certificate.witness, model=made(kind, number), factory=factory))
    said = subprocess.run(
        [sys.executable, "-c", REPLAY, *map(str, files)],
        cwd=TESTS,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout), len(files)


def places(every):
    return [(kind, number) for kind, rows in ASKED.items() for number in range(0, len(rows), every)]


def test_a_slice_of_all_witnesses_replays(tmp_path):
    found, refuted = replayed(places(48), tmp_path)
    assert refuted > 1
    assert {factory: falls for factory, falls in found.items() if falls != [True, ""]} == {}


@pytest.mark.slow
def test_every_witness_replays(tmp_path):
    found, refuted = replayed(places(1), tmp_path)
    assert refuted > 150
    assert len(found) == refuted
    assert {factory: falls for factory, falls in found.items() if falls != [True, ""]} == {}
