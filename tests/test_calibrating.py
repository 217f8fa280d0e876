"""A threshold is set anew from benign rows, and all else about the model, its proof too, stays what it was."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from isotone import cli, workflow
from isotone.calibrating import calibrate, save_in_place
from isotone.errors import BadInput
from isotone.families import NetworkScorer
from isotone.model_folder import MODEL, WEIGHTS, ModelFolder
from isotone.report import render
from isotone.scoring import score_records
from small import RECIPE, SETTINGS, folder_of, names_table, question, write


def benign(rows: int = 1_500, seed: int = 7):
    table = names_table(rows, seed=seed)
    return table.filter(pc.equal(table["class"], 0))


@pytest.fixture
def data(tmp_path):
    return write(benign(), tmp_path / "benign.parquet")


@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_no_more_benign_rows_than_the_rate_are_alarms_and_a_lower_threshold_would_have_more(data, rate):
    folder = folder_of()
    done = calibrate(folder, data, rate)
    logits = np.sort(NetworkScorer(folder.network).logits(folder.encoder.encode(benign())))
    alarms = (logits > done.folder.threshold).sum()
    assert alarms == done.after.count <= rate * len(logits) < (logits >= done.folder.threshold).sum()
    assert done.after.low <= done.after.rate <= done.after.high
    assert done.folder.question.max_false_alarm_rate == rate


def test_weights_encoder_and_proof_stay_and_alarms_are_certified_still(data, tmp_path):
    before, done = folder_of(), calibrate(folder_of(), data, 0.05)
    after = ModelFolder.load(done.folder.save(tmp_path / "model"))
    for name, value in before.network.state_dict().items():
        assert torch.equal(value, after.network.state_dict()[name])
    assert after.encoder == before.encoder
    assert after.certificate.to_dict() == before.certificate.to_dict()
    assert (after.changes(), after.certified) == ((), True)
    (one,) = after.facts["calibrations"]
    assert (one["data"], one["rate"], one["rows"]) == ("benign.parquet", 0.05, len(benign()))
    assert one["old_threshold"] == before.threshold != one["new_threshold"] == after.threshold
    assert "benign.parquet" in render(after.facts)
    records = [json.loads(line) for part in score_records(after, data) for line in part.splitlines()]
    alarms = [record for record in records if record["verdict"] == "alarm"]
    assert alarms
    assert all(record["certified"]["add_any"] for record in alarms)


def test_the_old_certificate_does_not_cover_a_threshold_that_was_merely_written(tmp_path):
    folder = replace(folder_of(), threshold=folder_of().threshold - 1)
    assert [change.split(" is ")[0] for change in folder.changes()] == ["the threshold"]
    assert not folder.certified


def test_too_few_rows_bad_rows_and_unreadable_rows_are_refused(tmp_path, data):
    with pytest.raises(BadInput, match="at least 2995 are needed"):
        calibrate(folder_of(), data, 0.001)
    table = names_table(1_000, seed=0)
    bad, good = (table.filter(pc.equal(table["class"], label)) for label in (1, 0))
    mixed = write(pa.concat_tables([good.slice(0, 2), bad, good]), tmp_path / "mixed.jsonl")
    with pytest.raises(BadInput, match="row 3: it is labelled bad"):
        calibrate(folder_of(), mixed, 0.05)
    path = write(benign(400), tmp_path / "torn.jsonl")
    path.write_text(path.read_text() + "torn\n" * 20)
    with pytest.raises(BadInput, match=r"20 of \d+ rows cannot be read"):
        calibrate(folder_of(), path, 0.05)
    path.write_text(path.read_text().replace("torn\n", "", 19))
    assert calibrate(folder_of(), path, 0.05).failed == 1
    with pytest.raises(BadInput, match="the threshold is"):
        calibrate(replace(folder_of(), threshold=0.0), data, 0.05)


def test_the_labels_are_not_needed(tmp_path):
    path = write(benign().drop_columns(["class"]), tmp_path / "benign.csv")
    assert calibrate(folder_of(), path, 0.05).after.of == len(benign())


def test_in_place_leaves_a_backup(tmp_path, data):
    place = folder_of().save(tmp_path / "model")
    old = (place / MODEL).read_bytes()
    for number in (1, 2):
        backup = save_in_place(calibrate(ModelFolder.load(place), data, 0.05 / number).folder, place)
        assert backup == tmp_path / f"model.backup-{number}"
    assert (tmp_path / "model.backup-1" / MODEL).read_bytes() == old
    assert ModelFolder.load(place).threshold != folder_of().threshold
    assert (place / WEIGHTS).read_bytes() == (backup / WEIGHTS).read_bytes()


def test_a_refused_calibration_leaves_nothing_behind(tmp_path, data):
    place = folder_of().save(tmp_path / "model")
    (place / "NOTES.txt").touch()
    with pytest.raises(BadInput, match=r"'NOTES.txt' is in it"):
        save_in_place(calibrate(ModelFolder.load(place), data, 0.05).folder, place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benign.parquet", "model"]


def test_the_folder_that_a_link_names_is_calibrated(tmp_path, data):
    place, link = folder_of().save(tmp_path / "model"), tmp_path / "current"
    link.symlink_to(place.name)
    save_in_place(calibrate(ModelFolder.load(link), data, 0.05).folder, link)
    assert link.is_symlink()
    assert ModelFolder.load(place).threshold != folder_of().threshold


def test_benign_rows_may_carry_the_word_of_their_class(tmp_path):
    """Training knew which of two words is the bad one; a file of the other alone does not say."""
    words = np.where(np.array(names_table()["class"]) == 1, "malware", "fine")
    at = names_table().column_names.index("class")
    table = names_table().set_column(at, "class", pa.array(words))
    folder = workflow.train_folder(table, question(), name="words", recipe=RECIPE, members=1, settings=SETTINGS)
    assert folder.question.positive == "malware"
    fine = benign().set_column(at, "class", pa.array(["fine"] * len(benign())))
    assert calibrate(folder, write(fine, tmp_path / "fine.jsonl"), 0.05).after.of == len(fine)
    bad = write(benign().set_column(at, "class", pa.array(["malware"] * len(benign()))), tmp_path / "bad.jsonl")
    with pytest.raises(BadInput, match="row 1: it is labelled bad"):
        calibrate(folder, bad, 0.05)


def test_from_the_command_line(tmp_path, data, capsys, monkeypatch):
    place = folder_of().save(tmp_path / "model")
    for options, said in (([], "backup"), (["--out", str(tmp_path / "new")], "new")):
        monkeypatch.setattr(sys, "argv", ["isotone", "calibrate", str(place), str(data), "--rate", "0.02", *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr().out
        assert not end.value.code
        assert said in out
        assert "threshold " in out
    monkeypatch.setattr(sys, "argv", ["isotone", "certify", str(place)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
