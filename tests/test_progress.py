"""Bars in a terminal, lines elsewhere, silence when asked; and tables that fit 80 columns."""

from __future__ import annotations

import copy
import os
import pty
import subprocess
import sys

import pytest
from rich.console import Console

from isotone.progress import Progress
from isotone.tables import attempts_table, curve_table, detectors_table
from isotone.workflow import Attempt, Attempts
from small import folder_of


def work(shown: bool) -> None:
    with Progress(shown=shown) as progress:
        bar = progress.bar("training", total=3)
        for done in (1, 2):
            bar.update(done, f"loss {done}")
        bar.finish()
        bar.finish()
        with Progress(shown=shown) as inner:  # of a part that shows its own
            inner.bar("folds", total=5).finish()
        progress.bar("attacking", total=1).finish("0 evaded")


def test_elsewhere_each_finished_piece_is_one_line(capsys):
    work(shown=True)
    assert capsys.readouterr().err == "training: loss 2\nfolds: done\nattacking: 0 evaded\n"


def test_when_not_asked_it_is_silent(capsys):
    work(shown=False)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_bars():
    ours, theirs = pty.openpty()
    script = "import sys; sys.path.insert(0, sys.argv[1]); from test_progress import work; work(True)"
    command = [sys.executable, "-c", script, os.path.dirname(__file__)]  # noqa: PTH120
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, timeout=120, check=False, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert "training" in shown
    assert "loss 2" in shown
    assert shown.rindex("folds") > shown.rindex("training")  # one stack, in which all bars stay


def printed(table) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as found:
        console.print(table)
    return found.get()


@pytest.mark.parametrize(("rate", "said"), [(0.01, "1%"), (0.005, "0.5%"), (0.1, "10%")])
def test_the_table_says_the_rate_it_is_about(rate, said):
    assert f"Detection at {said} false alarms" in printed(
        detectors_table({**folder_of().facts, "max_false_alarm_rate": rate})
    )


def test_tables_fit_80_columns_and_cut_nothing():
    facts = copy.deepcopy(folder_of().facts)
    for one in facts["detectors"]:
        one["name"] = "unconstrained LightGBM"
    attempt = Attempt("benign_merge", 12_000, 0, 12_000, 12_000, 50, broken=True)
    attempts = Attempts((attempt,), (1.0,) * 8, (0.0,) * 8, 12_000)
    for table in (detectors_table(facts), attempts_table(attempts), curve_table(attempts)):
        shown = printed(table)
        assert max(map(len, shown.splitlines())) <= 80
        assert "…" not in shown
    assert "12000 of 12000" in printed(attempts_table(attempts))
    assert "inconclusive" in printed(attempts_table(attempts))
