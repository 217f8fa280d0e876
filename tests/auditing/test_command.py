"""`isotone audit` at the command line: it names, reads, prints, and ends with the code of its verdict."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from isotone import cli
from isotone.auditing import load
from isotone.errors import BadInput, NoMatch

PIPELINE = """
from beside import slope


def predict(frame):
    return slope * frame["debt"].to_numpy() - abs(frame["age"].to_numpy() - 40)


class Holder:
    score = staticmethod(lambda frame: frame["debt"].to_numpy())
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pipeline_of_a_test.py").write_text(PIPELINE)
    (tmp_path / "beside.py").write_text("slope = 2.0\n")
    random = np.random.default_rng(0)
    columns = {"debt": random.integers(0, 9, 200), "age": random.integers(20, 70, 200), "class": 1}
    pd.DataFrame(columns).to_csv(tmp_path / "rows.csv", index=False)
    yield tmp_path
    sys.modules.pop("pipeline_of_a_test", None)
    sys.modules.pop("beside", None)


@pytest.fixture
def run(capsys, monkeypatch, folder):
    def command(*arguments):
        target = f"{folder}/pipeline_of_a_test.py:predict"
        argv = ["isotone", "audit", target, str(folder / "rows.csv"), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return command


# fmt: off
RUNS = [
    # options                                              code  first word
    ("--increasing debt",                                  2,    "UNKNOWN"),
    ("--increasing debt --fail-on refuted",                0,    "UNKNOWN"),
    ("--increasing deb* --decreasing age",                 1,    "REFUTED"),
    ("--decreasing age --fail-on refuted --ignore class",  1,    "REFUTED"),
]
# fmt: on


@pytest.mark.parametrize(("options", "code", "word"), RUNS)
def test_a_verdict_is_printed_and_is_the_exit_code(run, options, code, word):
    ended, out, _ = run(*options.split(), "--quiet")
    assert (ended, out.split()[0]) == (code, word)
    assert max(map(len, out.splitlines())) <= 80


def test_json_and_a_page(run, folder):
    code, out, err = run("--decreasing", "age", "--json", "--html", folder / "page.html", "--quiet")
    assert code == 1
    assert json.loads(out)["witness"]["changes"][0]["feature"] == "age"
    assert err == f"page  {folder / 'page.html'}\n"
    assert "REFUTED" in (folder / "page.html").read_text()


# fmt: off
FAULTS = [
    ("",                                   "no direction came; --increasing NAME"),
    ("--increasing age --decreasing age",  "'age' came as increasing and as decreasing"),
    ("--increasing agee",                  "'agee' matches no feature. Did you mean 'age'"),
    ("--increasing age --ignore nothing",  "'nothing' matches no column"),
    ("--increasing age --fail-on never",   "fail_on: 'never' came"),
    ("--increasing age --html no/p.html",  "no/p.html cannot be written"),
]
# fmt: on


@pytest.mark.parametrize(("options", "sentence"), FAULTS)
def test_a_fault_is_one_sentence(run, options, sentence):
    code, _, err = run(*options.split(), "--quiet")
    assert code == 2
    assert err.startswith("isotone: ")
    assert sentence in err


# fmt: off
TARGETS = [
    ("predict",                           "'predict' came; path/to/file.py:name"),
    ("{}/nowhere.py:predict",             "there is no such file"),
    ("no_such_module_here:predict",       "failed when it was loaded .ModuleNotFoundError"),
    ("{}/pipeline_of_a_test.py:predikt",  "has no 'predikt'; one of Holder, predict"),
    ("{}/beside.py:slope.real.none",      "has no 'none'"),
]
# fmt: on


@pytest.mark.parametrize(("target", "sentence"), TARGETS)
def test_a_target_that_is_not_there_is_one_sentence(folder, target, sentence):
    with pytest.raises((BadInput, NoMatch), match=sentence):
        load(target.format(folder))


def test_a_target_is_a_name_in_a_module_or_in_something_in_it(folder):
    assert load("json:dumps") is json.dumps
    frame = pd.DataFrame({"debt": [1, 2]})
    assert load(f"{folder}/pipeline_of_a_test.py:Holder.score")(frame).tolist() == [1, 2]
    assert str(load("some/model.onnx")).endswith("model.onnx")
