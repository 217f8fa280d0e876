"""A guarded detector's folder answers as any model folder does, and only its floor's alarms are called certified."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from isotone import cli
from isotone.calibrating import calibrate
from isotone.comparing import compare
from isotone.detector import Detector
from isotone.errors import BadInput, NotAModel
from isotone.experiment import prepare
from isotone.floors import BoosterFloor
from isotone.guarding import _fit, _lanes
from isotone.model_folder import MODEL, GuardedFolder, ModelFolder, load, rows_of
from isotone.report import render
from isotone.scoring import score_records
from isotone.streaming import score_blocks
from small import folder_of, names_table, question, write


@pytest.fixture(scope="module")
def folder() -> GuardedFolder:
    """Both lanes, without the attacks."""
    asked = question()
    prepared = prepare(names_table(), asked)
    material = prepared.material
    detector = Detector(asked.threat, max_false_alarm_rate=0.02, floor=BoosterFloor(trees=40), random_state=0)
    detector.fit(
        rows_of(material.training.examples),
        material.training.labels,
        validation=(rows_of(material.validation.examples), material.validation.labels),
        feature_names=list(prepared.encoder.features),
    )
    proof = detector.certify()
    said = {"verdict": proof.verdict.value, "reason": proof.reason}
    return GuardedFolder(asked, prepared.encoder, detector, {}, said).sealed()


def records(folder, path):
    return [json.loads(line) for part in score_records(folder, path, reasons=True) for line in part.splitlines()]


def test_what_was_saved_scores_the_same_and_is_what_its_certificate_covers(tmp_path, folder):
    path = write(names_table(300, seed=5), tmp_path / "rows.jsonl")
    again = load(folder.save(tmp_path / "model"))
    assert isinstance(again, GuardedFolder)
    assert (again.changes(), again.certified) == ((), True)
    assert records(again, path) == records(folder, path)
    # Saved from what was read, it still is.
    assert load(again.save(tmp_path / "copy")).parts() == folder.parts()


def test_a_score_depends_neither_on_the_order_of_the_rows_nor_on_where_blocks_end(tmp_path, folder):
    table, order = names_table(300, seed=5), np.random.default_rng(0).permutation(300)
    whole = folder.detector.decision_function(rows_of(folder.encoder.encode(table)))
    path = write(table.take(order), tmp_path / "rows.parquet")
    for rows in (1, 7, 300):
        found = [block.logits for block in score_blocks(folder.encoder, folder.scorer(), path, rows=rows)]
        assert np.array_equal(np.concatenate(found), whole[order])


def test_only_alarms_of_the_floor_are_certified_and_torn_rows_are_alarms(tmp_path, folder):
    table = names_table(600, seed=5)
    path = write(table, tmp_path / "rows.jsonl")
    path.write_text(path.read_text() + "torn\n")
    *found, torn = records(folder, path)
    assert (torn["verdict"], torn["certified"]["add_any"]) == ("alarm", False)
    rows = rows_of(folder.encoder.encode(table))
    sure, alarms = folder.detector.certified(rows), folder.detector.decision_function(rows) > 0
    assert [one["certified"]["add_any"] for one in found] == sure.tolist()
    assert [one["verdict"] == "alarm" for one in found] == alarms.tolist()
    assert 0 < sure.sum() <= alarms.sum()
    assert all(one["sufficient"] for one, certain in zip(found, sure, strict=True) if certain)
    spoilt = replace(folder, covers={**folder.covers, "thresholds": "0x0 0x0"})
    assert spoilt.changes() == ("a threshold is another",)
    assert not any(one["certified"]["add_any"] for one in records(spoilt, path))


def test_what_was_put_on_a_floor_in_memory_certifies_nothing(tmp_path, folder):
    changed = load(folder.save(tmp_path / "model"))
    assert changed.certified
    floor = changed.detector.floor_
    floor.scores = lambda X: -type(floor).scores(floor, X)
    assert changed.changes() == ()  # no file would be another
    assert not changed.certified


def test_calibration_keeps_the_lanes_and_meets_the_rate(tmp_path, folder):
    table = names_table(1_500, seed=8)
    path = write(table.filter(pc.equal(table["class"], 0)), tmp_path / "benign.parquet")
    for rate in (0.05, 0.02):
        done = calibrate(folder, path, rate)
        assert done.after.count <= rate * done.after.of
        assert done.after.count > rate * done.after.of - 3
        assert {key for key in done.folder.parts() if done.folder.parts()[key] != folder.parts()[key]} == {
            "thresholds",
            "sha256",
        }
        assert load(done.folder.save(tmp_path / f"model{rate}")).certified
        detector = load(done.folder.save(tmp_path / f"again{rate}")).detector
        assert detector.false_alarm_rate_ == done.after
        assert detector.detection_ is detector.certified_detection_ is None
    torn = write(table.filter(pc.equal(table["class"], 0)), tmp_path / "torn.jsonl")
    torn.write_text(torn.read_text() + "torn\n" * 15)
    few = calibrate(folder, torn, 0.02)  # more than the floor's part of the budget
    assert few.failed == 15 < few.after.count <= 0.02 * few.after.of
    same = compare(folder, done.folder, write(table, tmp_path / "rows.jsonl"))
    assert same.same_features


def test_a_folder_that_is_not_whole_is_one_sentence_and_a_network_is_asked_for_where_it_must_be(tmp_path, folder):
    place = folder.save(tmp_path / "model")
    with pytest.raises(BadInput, match="it holds a guarded detector"):
        ModelFolder.load(place)
    assert isinstance(load(folder_of().save(tmp_path / "network")), ModelFolder)
    about = json.loads((place / MODEL).read_text())
    (place / MODEL).write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(NotAModel, match="has format 99"):
        load(place)
    del about["encoder"]
    (place / MODEL).write_text(json.dumps(about))
    with pytest.raises(NotAModel, match="it is not whole"):
        load(place)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_proof_of_a_floor_is_printed_and_written_as_any_certificate_is(tmp_path, folder, capsys, monkeypatch, form):
    place, out = folder.save(tmp_path / "model"), tmp_path / "proof.json"
    more = ["--json"] if form == "json" else []
    monkeypatch.setattr(sys, "argv", ["isotone", "certify", str(place), "--out", str(out), *more])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().out
    assert not end.value.code
    written = json.loads(out.read_text())
    assert (written["factory"], written["verdict"]) == (str(place), "proved")
    assert written["parts"]
    assert written["covers"] == folder.parts()
    del written["factory"], written["covers"]
    assert (
        said == (json.dumps(written, indent=1) if form == "json" else f"PROVED  the floor: {written['reason']}") + "\n"
    )


def test_the_certificate_of_a_folder_is_checked_and_void_for_another(tmp_path, folder, capsys, monkeypatch):
    def certified(*more):
        monkeypatch.setattr(sys, "argv", ["isotone", "certify", *map(str, more)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    place, proof = folder.save(tmp_path / "model"), tmp_path / "proof.json"
    assert certified(place, "--out", proof)[0] == 0
    code, out, _ = certified(place, "--check", proof)
    assert (code, out.startswith("HOLDS  PROVED")) == (0, True)
    data = write(
        names_table(1_500, seed=8).filter(pc.equal(names_table(1_500, seed=8)["class"], 0)), tmp_path / "b.csv"
    )
    other = calibrate(folder, data, 0.05).folder.save(tmp_path / "other")
    code, out, _ = certified(other, "--check", proof)
    assert (code, out.startswith("VOID"), "thresholds is another" in out) == (1, True, True)
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps({**json.loads(proof.read_text()), "reason": "whatever is removed, too"}))
    code, out, _ = certified(place, "--check", edited)
    assert (code, "it says another thing than is proved" in out) == (1, True)
    code, _, err = certified(place, "--check", place / MODEL)
    assert (code, "it is no certificate of such a folder" in err) == (2, True)


WHERE = (
    # What the table and the question have, and which rows set the thresholds.
    ({}, {}, "both"),
    ({"vendor": [f"v{row % 60}" for row in range(1_100)]}, {"group": "vendor"}, "both"),
    ({"seen": list(range(1_100))}, {"time": "seen"}, "validation"),  # newer rows say what comes
    ({"vendor": [f"v{row % 4}" for row in range(1_100)]}, {"group": "vendor"}, "validation"),  # too few for five folds
)


@pytest.mark.parametrize(("columns", "asked", "which"), WHERE)
def test_thresholds_are_of_all_rows_but_the_test_where_they_have_folds_and_no_times(columns, asked, which):
    prepared = prepare(names_table(**columns), question(**asked))
    detector = Detector(max_false_alarm_rate=0.02, floor=BoosterFloor(trees=20), random_state=0)
    assert _fit(detector, prepared) is (which == "both")
    training, validation = prepared.material.training.labels, prepared.material.validation.labels
    labels = validation if which == "validation" else np.concatenate([training, validation])
    assert detector.measured_[2].tolist() == labels.tolist()
    assert detector.supported_
    # The free lane alone has the whole budget, and no more of it.
    alone = {lane.name: lane for lane in _lanes(detector)}["free lane alone"]
    free, _ = detector.above(*detector.measured_[:2])
    benign = int((labels == 0).sum())
    assert int((free[labels == 0] > alone.threshold).sum()) <= 0.02 * benign
    assert alone.detection == pytest.approx((free[labels == 1] > alone.threshold).mean())


@pytest.mark.slow
def test_the_whole_way_from_the_command_line(tmp_path, capsys, monkeypatch):
    rows, place = write(names_table(2_000), tmp_path / "rows.jsonl"), tmp_path / "model"

    def ran(*arguments):
        monkeypatch.setattr(sys, "argv", ["isotone", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, capsys.readouterr().out

    asked = ("--label", "class", "--names", "names", "--max-false-alarms", "0.02", "--guarded", "--quiet")
    code, out = ran("train", rows, *asked, "--out", place)
    assert code == 0
    assert "guarded detector" in out
    assert max(map(len, out.split("PROVED")[0].splitlines())) <= 80
    facts = load(place).facts
    assert [one["part"] for one in facts["data"]["rows"]] == ["train, in 5 folds", "test"]
    page = render(facts)
    assert "Certified, whatever is added" in page
    assert ran("certify", place)[0] == 0
    by_name = {one["name"]: one for one in facts["detectors"]}
    assert [name for name, one in by_name.items() if one["chosen"]] == ["guarded detector"]
    assert page.count('<span class="tag strong">chosen</span>') == 1
    sure = by_name["guarded detector"]["certified_curve"]["detection"][-1]["mean"]
    # No attack goes below what is certified, and the free lane alone falls to show that they try.
    assert sure <= by_name["guarded detector"]["curve"]["detection"][-1]["mean"]
    assert by_name["free lane alone"]["curve"]["detection"][-1]["mean"] < by_name["free lane alone"]["clean"]["mean"]
