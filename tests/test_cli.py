"""The command line: the whole way on three kinds of files, and one sentence for whatever is wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from isotone import cli
from isotone.byte_files import ByteDetector
from isotone.families import NetworkScorer
from isotone.model_folder import FACTS, MODEL, WEIGHTS, ByteFolder, ModelFolder
from isotone.nn import ByteNetwork
from small import ROWS, folder_of, names_table, numbers_table, write

COMMANDS = ("demo", "train", "score", "calibrate", "compare", "attack", "certify", "audit", "headroom", "report")
FEW_ROWS = ("--max-false-alarms", "0.02")


@pytest.fixture
def run(capsys, monkeypatch):
    """Run `isotone ...` in this process: (exit code, standard output, standard error)."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["isotone", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return command


def real(*arguments, **other):
    """Run it as a user does, in a process of its own."""
    command = [sys.executable, "-m", "isotone.cli", *map(str, arguments)]
    # Buffered, as it is for a user: then a closed pipe or a full disk may first be met when Python ends.
    own = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::UserWarning", "PYTHONUNBUFFERED": ""}
    environment = {**os.environ, **own}
    return subprocess.run(command, text=True, timeout=300, env=environment, check=False, **other)


@pytest.fixture
def model(tmp_path):
    return folder_of().save(tmp_path / "model")


@pytest.fixture
def data(tmp_path):
    return write(names_table(seed=9), tmp_path / "new.csv")


def one_sentence(code: int, out: str, err: str) -> str:
    """The error of a command that failed as it should."""
    assert code == 2, (out, err)
    assert out == ""
    assert err.startswith("isotone: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert len(err) < 900
    return err


def texts_table() -> pa.Table:
    table = names_table()
    texts = [" ".join(names).replace("evil", "Evil-") + "!" for names in table["names"].to_pylist()]
    return pa.table({"mail": texts, "kind": ["spam" if bad else "ham" for bad in table["class"].to_pylist()]})


# fmt: off
WHOLE_WAYS = {
    "csv":   (numbers_table, "rows.csv",     "--label class --adds debts --adds late --removes age"),
    "jsonl": (names_table,   "rows.jsonl",   "--label class --names names --id id --seeds 2"),
    "text":  (texts_table,   "rows.parquet", "--label kind --text mail"),
}
# fmt: on


@pytest.mark.parametrize(
    "way", ["csv", pytest.param("jsonl", marks=pytest.mark.slow), pytest.param("text", marks=pytest.mark.slow)]
)
def test_the_whole_way(tmp_path, run, way):
    table, name, options = WHOLE_WAYS[way]
    rows, place = write(table(), tmp_path / name), tmp_path / "model"
    code, out, err = run("train", rows, *options.split(), *FEW_ROWS, "--out", place)
    assert code == 0, err
    assert "PROVED" in out
    assert "monotone" in out
    assert f"report  {place / 'report.html'}" in out
    assert max(map(len, out.split("PROVED")[0].splitlines())) <= 80
    assert "train monotone network, seed 0" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "model"])  # no checkpoint is left

    code, _, err = run("score", place, rows, "--csv", "--reasons")
    assert (code, "--reasons are in JSON lines" in err) == (2, True)
    code, out, err = run("score", place, rows, "--csv")
    assert code == 0
    scored = list(csv.DictReader(out.splitlines()))
    assert len(scored) == ROWS
    assert f"{ROWS} rows, " in err
    assert {one["alarm"] for one in scored} == {"0", "1"}
    folder = ModelFolder.load(place)
    assert all(float(one["logit"]) > float(one["threshold"]) or one["alarm"] == "0" for one in scored)
    assert sum(one["alarm"] == "1" for one in scored) == sum(
        NetworkScorer(folder.network).logits(folder.encoder.encode(table())) > folder.threshold
    )

    code, out, err = run("attack", place, rows)
    assert code == 0
    assert "greedy" in out
    assert "0 of " in out
    assert max(map(len, out.splitlines())) <= 80
    assert "attack the monotone network: done" in err

    code, out, err = run("certify", place)
    assert (code, err) == (0, "")
    assert out.startswith("PROVED")
    code, out, _ = run("certify", place, "--json")
    assert json.loads(out)["verdict"] == "proved"

    code, out, _ = run("report", place, "--out", tmp_path / "page.html")
    assert (code, out) == (0, f"{tmp_path / 'page.html'}\n")
    assert (tmp_path / "page.html").read_bytes() == (place / "report.html").read_bytes()


@pytest.fixture
def raw(tmp_path):
    """Files, half of which have an evil window, and their labels."""
    place, rng, rows = tmp_path / "files", np.random.default_rng(0), ["path,label"]
    place.mkdir()
    for i in range(120):
        windows = [bytes([kind]) * 512 for kind in rng.integers(8, size=4)]
        windows[2] = (b"an evil sign...." if i % 2 else b"a harmless sign.") * 32
        (place / f"f{i:03}").write_bytes(b"".join(windows))
        rows.append(f"f{i:03},{i % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return place, tmp_path / "labels.csv"


@pytest.mark.slow
def test_raw_files_are_trained_on(tmp_path, run, raw, monkeypatch):
    monkeypatch.setattr("isotone.nn._bytes_windows.BLOCK_BYTES", 8192)
    files, labels = raw
    place, rate = tmp_path / "model", ("--max-false-alarms", "0.25")
    code, out, err = run("train", "--bytes", files, "--labels", labels, *rate, "--out", place)
    assert code == 0, err
    assert "PROVED: Appending any bytes" in out
    assert "95 % interval" in out
    assert "read the files: done" in err
    assert "the best was epoch" in err
    assert sorted(path.name for path in place.iterdir()) == ["certificate.json", "detector", "model.json"]
    assert "--replace" in one_sentence(*run("train", "--bytes", files, "--labels", labels, "--out", place))
    code, out, _ = run("score", place, files)
    alarms = [json.loads(line)["verdict"] == "alarm" for line in out.splitlines()]
    assert code == 0
    assert sum(alarms[1::2]) > 50
    assert sum(alarms[::2]) < 25


def test_raw_files_are_scored_and_their_model_certified(tmp_path, run, raw):
    files, labels = raw
    torch.manual_seed(0)
    detector = ByteDetector(ByteNetwork(8, hidden=(4,), embedding=3).eval(), -1e9, {"max_false_alarm_rate": 0.25})
    place = ByteFolder.proved(detector).save(tmp_path / "model")
    (files / "f001").write_bytes((files / "f001").read_bytes() + bytes(9000))
    (files / "gone").symlink_to(tmp_path / "nothing")
    code, out, err = run("score", place, files, "--reasons")
    found = [json.loads(line) for line in out.splitlines()]
    assert (code, len(found)) == (3, 121)
    assert err.endswith("1 could not be read\n")
    assert found[1]["certified"]["append_any"]
    assert (found[1]["reasons"], found[1]["rewritten"], found[1]["format"]) == ([], None, None)
    assert found[-1]["errors"] == ["it cannot be opened (No such file or directory)"]

    assert run("certify", place)[0] == 0
    assert json.loads(run("certify", place, "--json", "--out", tmp_path / "it.json")[1])["verdict"] == "proved"
    assert json.loads((tmp_path / "it.json").read_text())["claims"]
    assert run("certify", place, "--check", tmp_path / "it.json")[:2] == (0, "HOLDS  PROVED  files of every length\n")
    for command in (["report", place], ["attack", place, labels]):
        assert "`isotone score` and `isotone certify` take it" in one_sentence(*run(*command))
    covers = json.loads((place / "certificate.json").read_text())
    (place / "certificate.json").write_text(json.dumps(covers | {"covers": {"network": "", "threshold": ""}}))
    code, out, _ = run("certify", place)
    assert (code, "CHANGED since its certificate was made: the network is another" in out) == (3, True)
    assert "the certificate is void" in run("score", place, files)[2]


RAW_FAULTS = [
    # what is in the table of labels, the sentence, why
    ("file,label\nf000,1\n", "it has no column 'path'", "another column"),
    ("path,label\nnone,1\n", "'none' is no file", "no such file"),
    ("path,label\n../labels.csv,1\n", "one inside the folder is right", "a way out of the folder"),
    ("path,label\nf000,bad\n", "0 or 1 is right", "a word as a label"),
    ("path,label\nf000,1\nf001,0\n", "each side needs 2 of each", "hardly any files"),
    (None, "at least 299 are needed", "too few for the rate"),
]


@pytest.mark.parametrize(("table", "sentence", "why"), RAW_FAULTS, ids=[why for *_, why in RAW_FAULTS])
def test_a_fault_in_raw_files_is_one_sentence(tmp_path, run, raw, *, table, sentence, why):
    files, labels = raw
    if table is not None:
        labels.write_text(table)
    asked = ("train", "--bytes", files, "--labels", labels, "--quiet", "--out", tmp_path / "model")
    assert sentence in one_sentence(*run(*asked))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--bytes", "files"], "one came without the other"),
        (["--labels", "labels.csv"], "one came without the other"),
        (["--bytes", "files", "--labels", "labels.csv", "--adds", "x"], "adds came with them"),
        (["rows.csv"], "Missing DATA with --label"),
    ],
)
def test_options_of_tables_and_of_raw_files_do_not_mix(run, tmp_path, more, said):
    code, out, err = run("train", *more, "--out", tmp_path / "model")
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_quiet_is_silent_and_attack_says_what_the_guarantee_buys(run, model, data):
    code, out, err = run("attack", model, data, "--quiet")
    assert (code, err) == (0, "")
    assert "Attacks on " in out
    assert "Detection after k additions" in out


def test_scores_have_the_names_of_the_rows(run, model, data):
    _, out, _ = run("score", model, data, "--id", "id", "--csv")
    assert [one["id"] for one in csv.DictReader(out.splitlines())][:3] == ["r0", "r1", "r2"]


def test_rows_that_cannot_be_read_are_named_and_alarm_and_the_exit_code_is_3(run, model, tmp_path):
    path = write(names_table(20), tmp_path / "rows.jsonl")
    path.write_text(path.read_text() + "torn\n")
    code, out, err = run("score", model, path, "--csv")
    assert code == 3
    assert list(csv.DictReader(out.splitlines()))[-1]["alarm"] == "1"
    assert err.startswith("row 21: line 21 is not JSON")
    assert "21 rows, " in err
    assert "1 could not be read" in err


def test_a_file_with_a_header_only_has_no_scores(run, model, tmp_path):
    (tmp_path / "rows.csv").write_text("names,size,age\n")
    code, out, err = run("score", model, tmp_path / "rows.csv", "--csv")
    assert code == 0
    assert out.count("\n") == 1
    assert err == "0 rows, 0 alarms, 0 could not be read\n"


def test_records_come_as_json_lines_and_a_torn_one_fails_closed(run, model, tmp_path):
    path = write(names_table(20), tmp_path / "rows.jsonl")
    path.write_text(path.read_text() + "torn\n")
    code, out, err = run("score", model, path, "--id", "id", "--reasons")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 3
    assert err == f"21 rows, {sum(one['verdict'] == 'alarm' for one in records)} alarms, 1 could not be read\n"
    assert [one["id"] for one in records] == [*(f"r{i}" for i in range(20)), None]
    assert (records[-1]["verdict"], records[-1]["errors"]) == (
        "alarm",
        ["line 21 is not JSON (Expecting value at character 1)"],
    )
    assert any(one["sufficient"] for one in records)


def test_standard_input_is_answered_line_by_line(model):
    lines = [json.dumps(row) + "\n" for row in names_table(3).to_pylist()]
    command = [sys.executable, "-m", "isotone.cli", "score", str(model), "-", "--id", "id"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        for line in lines:
            process.stdin.write(line)
            process.stdin.flush()
            # Were it held back until there are more, this would wait for ever.
            assert json.loads(process.stdout.readline())["id"] == json.loads(line)["id"]
        _, err = process.communicate()
    assert (process.returncode, err.splitlines()[-1].split(",")[0]) == (0, "3 rows")


def test_a_stream_goes_on_after_a_first_row_that_lacks_what_is_needed(model):
    lines = ['{"x":1}', *(json.dumps(row) for row in names_table(2).to_pylist())]
    ran = real("score", model, "-", "--id", "id", input="\n".join(lines), capture_output=True)
    first, *others = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 3
    assert (first["id"], first["verdict"], first["score"]) == (None, "alarm", None)
    assert [(one["id"], one["errors"]) for one in others] == [("r0", None), ("r1", None)]


def test_a_table_of_standard_input_is_written_line_by_line(model):
    command = [sys.executable, "-m", "isotone.cli", "score", str(model), "-", "--csv"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        process.stdin.write(json.dumps(names_table(1).to_pylist()[0]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("row,id")
        assert process.stdout.readline().startswith("1,")
        process.communicate()


@pytest.mark.parametrize(
    ("part", "spoil"),
    [
        ("the threshold is ", lambda about: about | {"threshold": about["threshold"] + 0.5}),
        ("the threat is another", lambda about: about | {"question": about["question"] | {"threat": OTHER_THREAT}}),
    ],
)
def test_a_folder_that_was_changed_says_what_and_certifies_no_alarm(run, model, data, part, spoil):
    about = json.loads((model / MODEL).read_text())
    (model / MODEL).write_text(json.dumps(spoil(about)))
    code, out, _ = run("certify", model)
    assert code == 3
    assert f"CHANGED since its certificate was made: {part}" in out
    _, out, err = run("score", model, data)
    assert part in err
    assert not any(json.loads(line)["certified"]["add_any"] for line in out.splitlines())


OTHER_THREAT = {"adds": ["evil*", "good*", "size"], "removes": [], "sets": [], "trusted": None}


@pytest.mark.slow
def test_svmlight_goes_the_whole_way(run, tmp_path):
    rng = np.random.default_rng(0)
    bad = rng.random(ROWS) < 0.2
    chance = np.where(bad[:, None], [0.3] * 10 + [0.05] * 10, [0.01] * 10 + [0.3] * 10)
    present = rng.random((ROWS, 20)) < chance
    rows = [
        " ".join(["1" if b else "-1", *(f"{i + 1}:1" for i in np.flatnonzero(p))])
        for b, p in zip(bad, present, strict=True)
    ]
    path = text_file(tmp_path, "rows.svm", "\n".join(rows) + "\n")
    text_file(tmp_path, "rows.names", "\n".join(f"n{i}" for i in range(20)))
    place = tmp_path / "model"
    asked = ("--label", "label", "--names", "names", *FEW_ROWS, "--quiet", "--out", place)
    code, _, err = run("train", path, *asked)
    assert code == 0, err
    code, out, err = run("score", place, path)
    assert (code, out.count("\n")) == (0, ROWS)
    assert run("attack", place, path, "--quiet")[0] == 0
    assert set(ModelFolder.load(place).encoder.vocabulary) <= {f"n{i}" for i in range(20)}


def test_a_network_that_is_not_monotone_is_not_certified(run, tmp_path):
    # The twin's weights in the place of the network's: whole, and of the right shape, but free.
    folder = folder_of()
    swapped = ModelFolder(**{**folder.__dict__, "network": folder.twin})
    code, out, _ = run("certify", swapped.save(tmp_path / "model"))
    assert code in (1, 2)
    assert not out.startswith("PROVED")


def spoilt(table: pa.Table, column: str, cells) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, pa.array(cells))


def numbers_with(place, name="rows.csv", **cells):
    table = numbers_table()
    for column, found in cells.items():
        table = spoilt(table, column, found)
    return write(table, place / name)


def a_folder(place):
    place.mkdir()
    return place


def text_file(place, name, content):
    (place / name).write_text(content)
    return place / name


FIRST = ["x", *[0.5] * (ROWS - 1)]
TRAINING_FAULTS = [
    # the data, options beyond --label class, the sentence, why
    (lambda d: d / "nowhere.csv", [], "no such file", "no such file"),
    (lambda d: a_folder(d / "rows.csv"), [], "is a folder", "a folder"),
    (lambda d: text_file(d, "rows.csv", ""), [], "it is empty", "an empty file"),
    (lambda d: text_file(d, "rows.csv", "a,class\n"), [], "it has no rows", "a header only"),
    (lambda d: text_file(d, "rows.xls", "a"), [], "suffix '.xls' is not known", "another format"),
    (lambda d: text_file(d, "rows.parquet", "a"), [], "it cannot be read", "no Parquet"),
    (lambda d: text_file(d, "rows.csv", "a,class\n1\n2,1\n"), [], "row 1", "a short row"),
    (numbers_with, ["--label", "clas"], "Did you mean 'class'?", "no such label"),
    (numbers_with, ["--adds", "api*"], "adds: 'api*' matches no", "a glob of nothing"),
    (numbers_with, ["--removes", "api*"], "removes: 'api*' matches no", "another glob"),
    (numbers_with, ["--ignore", "api*"], "ignore: 'api*' matches no", "nothing to ignore"),
    (numbers_with, ["--column", "debt"], "Did you mean 'debts'?", "no such column"),
    (numbers_with, ["--names", "words"], "names: 'words' matches no", "no such names"),
    (numbers_with, ["--text", "debts"], "holds double; strings would", "numbers as text"),
    (numbers_with, ["--group", "shop"], "'shop' matches no column", "no such group"),
    (numbers_with, ["--id", "shop"], "'shop' matches no column", "no such id"),
    (numbers_with, ["--positive", "worse"], "no row is 'worse'", "no such class"),
    (numbers_with, ["--max-false-alarms", "0.001"], "at least 2995 are needed", "too few rows"),
    (numbers_with, ["--max-false-alarms", "nan"], "a share between 0 and 1", "no share"),
    (numbers_with, ["--max-false-alarms", "1"], "a share between 0 and 1", "all of them"),
    (numbers_with, ["--min-rows", "0"], "min_rows: 0 came", "no rows for a name"),
    (lambda d: numbers_with(d, **{"class": ["ok"] * ROWS}), [], "all rows are 'ok'", "all of one class"),
    (lambda d: numbers_with(d, **{"class": ["a", "b"] * (ROWS // 2)}), [], "Name it with --positive", "which is bad?"),
    (lambda d: numbers_with(d, **{"class": ["a", "b", "c", "d"] * (ROWS // 4)}), [], "4 classes came", "four classes"),
    (lambda d: numbers_with(d, **{"class": [None, "ok"] * (ROWS // 2)}), [], "row 1: it is missing", "a bare row"),
    (lambda d: numbers_with(d, debts=[np.nan, *FIRST[1:]]), [], "row 1", "NaN"),
    (lambda d: numbers_with(d, debts=[np.inf, *FIRST[1:]]), [], "row 1", "infinity"),
    (lambda d: numbers_with(d, debts=["many", *map(str, FIRST[1:])]), [], "'many', not a number", "a word in it"),
    (lambda d: numbers_with(d, debts=[f"p{i}" for i in range(ROWS)]), [], "it is no column of numbers", "only words"),
    (lambda d: write(numbers_table(12), d / "rows.csv"), [], "each side needs 2 of each", "hardly any rows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "options", "sentence", "why"), TRAINING_FAULTS, ids=[why for *_, why in TRAINING_FAULTS]
)
def test_a_fault_in_training_is_one_sentence(tmp_path, run, *, made, options, sentence, why):
    asked = ["--label", "class", *FEW_ROWS, *options]  # a later option wins
    err = one_sentence(*run("train", made(tmp_path), *asked, "--out", tmp_path / "model"))
    assert sentence in err
    assert not any("model" in path.name for path in tmp_path.iterdir())  # nothing is left behind


def test_a_place_that_cannot_be_written_is_said_before_the_work_begins(tmp_path, run, model, data):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "model"
    assert "cannot be written" in one_sentence(*run("train", data, "--label", "class", "--out", place))
    assert "cannot be written" in one_sentence(*run("demo", "--out", place))
    assert "cannot be written" in one_sentence(*run("report", model, "--out", place))
    assert "it exists already" in one_sentence(*run("train", data, "--label", "class", "--out", tmp_path / "file"))
    assert "--replace" in one_sentence(*run("train", data, "--label", "class", "--out", model))


MODEL_FAULTS = {
    "no folder": (lambda m: (m / MODEL).rename(m.parent / "gone"), "model.json is missing"),
    "cut weights": (lambda m: (m / WEIGHTS).write_bytes((m / WEIGHTS).read_bytes()[:-9]), f"{WEIGHTS} is not whole"),
    "cut facts": (lambda m: (m / FACTS).write_text((m / FACTS).read_text()[:99]), f"{FACTS} cannot be read"),
    "cut model": (lambda m: (m / MODEL).write_text((m / MODEL).read_text()[:99]), f"{MODEL} cannot be read"),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
@pytest.mark.parametrize("command", ["score", "attack", "certify", "report"])
def test_a_spoilt_model_folder_is_one_sentence(run, model, data, command, fault):
    spoil, sentence = MODEL_FAULTS[fault]
    spoil(model)
    assert sentence in one_sentence(*run(command, model, *([data] if command in ("score", "attack") else [])))


def test_facts_of_something_else_make_no_report(run, model):
    (model / FACTS).write_text('{"format": 1}')
    one_sentence(*run("report", model))


@pytest.mark.parametrize("command", ["score", "attack"])
def test_a_file_with_other_columns_is_one_sentence(run, model, tmp_path, command):
    table = names_table(50)
    path = write(table.rename_columns(["id", "imports", *table.column_names[2:]]), tmp_path / "rows.jsonl")
    err = one_sentence(*run(command, model, path))
    assert "column 'names' did not come; the model was trained with it and cannot score without" in err


ATTACK_FAULTS = [
    (lambda: names_table(50).drop_columns(["class"]), "label: 'class' matches no column", "no labels"),
    (lambda: spoilt(names_table(50), "class", [0] * 50), "the file has no bad rows", "nothing to attack"),
    (lambda: spoilt(names_table(50), "size", [float("nan")] * 50), "row 1", "NaN"),
]


@pytest.mark.parametrize(("table", "sentence", "why"), ATTACK_FAULTS, ids=[why for *_, why in ATTACK_FAULTS])
def test_a_fault_in_an_attack_is_one_sentence(run, model, tmp_path, *, table, sentence, why):
    assert sentence in one_sentence(*run("attack", model, write(table(), tmp_path / "rows.parquet")))


def test_bad_rows_alone_can_be_attacked(run, model, tmp_path):
    table = names_table(400)
    code, out, _ = run("attack", model, write(table.filter(pa.compute.equal(table["class"], 1)), tmp_path / "b.jsonl"))
    assert code == 0
    assert "greedy" in out


@pytest.mark.parametrize("command", [(), *[(name,) for name in COMMANDS]], ids=lambda c: " ".join(c) or "isotone")
def test_help_fits_80_columns_and_says_what_it_does(command):
    shown = CliRunner().invoke(cli.app, [*command, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines())) <= 80
    assert shown.output.startswith("Usage: ")
    if command:
        assert " ".join(getattr(cli, command[0]).__doc__.split()[:5]) in " ".join(shown.output.split())
    else:
        assert all(f"\n  {name} " in shown.output for name in COMMANDS)


def test_every_option_has_help():
    options = [p for c in _click().commands.values() for p in c.params if p.name != "help"]
    assert len(options) > 20
    assert [p.name for p in options if not p.help] == []


def _click():
    import typer.main  # noqa: PLC0415

    return typer.main.get_command(cli.app)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--guarded", "--tune", "1"], "--tune is for networks alone"),
        (["--guarded", "--seeds", "3"], "--seeds is for networks alone"),
        (["--guarded", "--boosters"], "--boosters is for networks alone"),
        (["--max-clean-loss", "0.1"], "--max-clean-loss is for --guarded"),
    ],
)
def test_options_of_networks_and_of_guarded_detectors_do_not_mix(run, data, tmp_path, more, said):
    code, out, err = run("train", data, "--label", "class", "--out", tmp_path / "model", *more)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["train"], "Missing"), (["scor"], "No such command"), (["score", "--fast"], "No such option")],
)
def test_a_wrong_command_line_is_answered_by_its_usage(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_process_of_its_own_scores_and_fails_in_the_same_words(model, data, tmp_path):
    ran = real("score", model, data, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n") == ROWS
    ran = real("score", model, tmp_path / "nowhere.csv", capture_output=True)
    assert "no such file" in one_sentence(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("rows", [20, ROWS])  # less than a pipe and a buffer hold, and more
def test_a_closed_pipe_ends_in_silence(model, tmp_path, rows):
    path = write(names_table(rows), tmp_path / "rows.csv")
    reading, writing = os.pipe()
    os.close(reading)
    ran = real("score", model, path, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert "Traceback" not in ran.stderr
    assert "Exception" not in ran.stderr
    assert "Error" not in ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk at hand")
@pytest.mark.parametrize("rows", [20, ROWS])
def test_a_full_disk_is_one_sentence(model, tmp_path, rows):
    path = write(names_table(rows), tmp_path / "rows.csv")
    with Path("/dev/full").open("w") as full:
        ran = real("score", model, path, stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == "isotone: standard output: No space left on device."
    assert "Traceback" not in ran.stderr
    assert "Exception" not in ran.stderr


@pytest.mark.slow
def test_a_process_of_its_own_trains_the_same_weights_and_stops_when_told(tmp_path):
    rows, place = write(names_table(), tmp_path / "rows.jsonl"), tmp_path / "model"
    command = ["train", rows, "--label", "class", "--names", "names", *FEW_ROWS, "--out"]
    for out in (place, tmp_path / "again"):
        ran = real(*command, out, capture_output=True)
        assert ran.returncode == 0, ran.stderr
    assert (place / WEIGHTS).read_bytes() == (tmp_path / "again" / WEIGHTS).read_bytes()

    arguments = [sys.executable, "-m", "isotone.cli", *map(str, [*command, tmp_path / "third"])]
    # A job in the background of a shell without job control ignores SIGINT, and its children inherit that.
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - it execs at once
    )
    assert process.stderr.readline().startswith("tune monotone network")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert out == ""
    assert "Traceback" not in err
    assert not (tmp_path / "third").exists()
