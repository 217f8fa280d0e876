"""`isotone certify` on a model that a factory makes: questions, files, and what is refused."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from isotone.cli import app
from isotone.errors import IsotoneError

MODELS = """
import torch
from torch import nn


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.value, self.gate = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x):
        return (self.value(x) * torch.sigmoid(self.gate(x))).sum(1)


def gate():
    return Gate().eval(), torch.zeros(2, 3), (1, 1, 0)


def rising():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).eval()
    for parameter in net.parameters():
        parameter.data.abs_()
    return net


class Dip(nn.Module):
    def forward(self, x, z):
        return (x - 0.5) ** 2 + z.tanh()


def dip():
    return Dip(), (torch.full((2, 1), 0.7), torch.zeros(2, 1)), (1, 0), ((0.6, 1.0), None)


number = 7


def leaves():
    raise SystemExit(0)


def much():
    return Gate(), torch.zeros(2, 3), 1, None, "more"


def broken():
    raise ValueError("no weights here")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "made.py").write_text(MODELS)
    (folder / "quits.py").write_text(MODELS + "\n\nraise SystemExit(0)\n")
    save_file({"x": torch.zeros(1, 3)}, folder / "x.safetensors")
    save_file(
        {"a1": torch.zeros(2, 1), "a10": torch.zeros(2, 2), "a2": torch.zeros(2, 1)}, folder / "three.safetensors"
    )
    return folder


def run(*words):
    found = CliRunner().invoke(app, ["certify", *map(str, words), "--quiet"], catch_exceptions=True)
    if isinstance(found.exception, IsotoneError):
        return 2, str(found.exception)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_a_factory_is_refuted_and_its_witness_replays_in_a_process_of_its_own(place):
    pair = place / "pair.safetensors"
    code, said = run(f"{place}/made.py:gate", "--witness", pair)
    assert code == 1
    assert said.startswith("REFUTED")
    again = subprocess.run(
        [sys.executable, "-m", "isotone.cli", "certify", "--inputs", str(pair)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 1, again.stderr
    assert again.stdout.startswith("the pair still breaks the claim: the score goes from")
    code, said = run(f"{place}/made.py:rising", "--inputs", pair)
    assert code == 0
    assert "does not break the claim any more" in said
    assert "differ from those of the model that was judged" in said


def test_a_certificate_is_written_whole_and_checked(place):
    file = place / "rising.json"
    assert run(f"{place}/made.py:rising", "--inputs", place / "x.safetensors", "--out", file)[0] == 0
    held = json.loads(file.read_text())
    assert held["factory"].endswith("made.py:rising")
    assert held["verdict"] == "proved"
    assert held["used"] == ["signs of the weights, through 3 operators"]
    assert [p.name for p in place.iterdir() if p.name.startswith(".")] == []
    code, said = run(f"{place}/made.py:rising", "--inputs", place / "x.safetensors", "--check", file)
    assert (code, said.split()[0]) == (0, "HOLDS")
    file.write_text(json.dumps({**held, "scope": {**held["scope"], "sha256": "0" * 64}}))
    code, said = run(f"{place}/made.py:rising", "--inputs", place / "x.safetensors", "--check", file)
    assert (code, said.split()[0]) == (1, "VOID")
    assert "the hash of its weights is another" in said


def test_what_the_command_line_says_comes_before_what_the_factory_says(place):
    code, said = run(f"{place}/made.py:dip")
    assert code == 0, said
    assert "[0.6, 1]; all finite values" in said
    code, said = run(f"{place}/made.py:dip", "--domain", "0,1", "--domain", "none", "--json")
    assert code == 1
    assert json.loads(said)["scope"]["domain"] == "[0, 1]; all finite values"
    code, said = run(
        f"{place}/made.py:dip",
        "--directions",
        "1",
        "--directions",
        "-1",
        "--domain",
        "0.6,",
        "--budget",
        "0",
        "--seconds",
        "0",
    )
    assert code != 0


# fmt: off
MISTAKES = [
    # words after `certify`                                        the sentence says
    ([],                                                           "no model came"),
    (["made.py"],                                                  "'made.py' came"),
    (["{here}/none.py:gate"],                                      "there is no such file"),
    (["no_such_module_here:gate"],                                 "failed when it was loaded"),
    (["{here}/quits.py:gate"],                                     "failed when it was loaded (SystemExit: 0)"),
    (["{here}/made.py:leaves"],                                    "fails (SystemExit: 0)"),
    (["{here}/made.py:nothing"],                                   "has no 'nothing'"),
    (["{here}/made.py:number"],                                    "gives int"),
    (["{here}/made.py:broken"],                                    "fails (ValueError: no weights here)"),
    (["{here}/made.py:much"],                                      "it gave 5 things"),
    (["{here}/made.py:rising"],                                    "gives a model without an example"),
    (["{here}/made.py:rising", "--inputs", "{here}/made.py"],      "it cannot be read"),
    (["{here}/made.py:rising", "--inputs", "{here}/three.safetensors"], "the model does not take the example"),
    (["{here}/made.py:dip", "--directions", "up"],                 "--directions: 'up' came"),
    (["{here}/made.py:dip", "--directions", "1", "--directions", "1", "--directions", "1"], "--directions: 3 came for 2 inputs"),
    (["{here}/made.py:dip", "--domain", "7"],                      "--domain: '7' came"),
    (["{here}/made.py:dip", "--domain", "a,b"],                    "--domain: 'a,b' came"),
    (["{here}/made.py:dip", "--check", "{here}/none.json"],        "it cannot be read"),
    (["{here}/made.py:dip", "--check", "{here}/made.py"],          "it is no certificate"),
    (["{here}/made.py:rising", "--inputs", "{here}/x.safetensors", "--out", "{here}/no/such/place.json"], "cannot be written"),
]
# fmt: on


@pytest.mark.parametrize(("words", "says"), MISTAKES, ids=[m[-1] for m in MISTAKES])
def test_a_mistake_ends_in_one_sentence(place, words, says):
    code, said = run(*(word.format(here=place) for word in words))
    assert code == 2
    assert says in said
