"""The README tells the truth: its examples run, its commands exist, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from isotone.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [line.split("#")[0] for line in re.findall(r"^isotone .*$", README, flags=re.MULTILINE)]


def test_its_python_runs():
    torch.manual_seed(0)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert len(blocks) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_exist_with_their_options(command):
    words = shlex.split(command.split(">")[0])[1:]
    options = [word for word in words if word.startswith("--")]
    shown = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200"}).output
    assert shown
    assert all(option in shown for option in options)


def test_its_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_targets_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make (\S+)", README, flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
