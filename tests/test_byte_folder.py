"""Detectors of raw files as folders: what they say of each file, and of one that cannot be read."""

import json
import os
import random
import subprocess
import sysconfig
from pathlib import Path

import pytest
import torch

from isotone.byte_files import ByteDetector
from isotone.errors import BadInput, NotAModel
from isotone.model_folder import ByteFolder, FileTally, ModelFolder, file_records, holds_bytes, load
from isotone.nn import ByteNetwork

PROGRAM = min(Path(sysconfig.get_path("stdlib")).glob("lib-dynload/*.so"), key=lambda path: path.stat().st_size)


def detector(window=512, stride=None, threshold=-1e9, monotone=True):
    torch.manual_seed(0)
    network = ByteNetwork(8, window, stride, (4,), embedding=3, monotone=monotone).eval()
    return ByteDetector(network, threshold, {"max_false_alarm_rate": 0.01})


@pytest.fixture(scope="module")
def folder():
    return ByteFolder.proved(detector())


def records(folder, place, **more):
    return [json.loads(line) for line in file_records(folder, place, **more)]


def test_it_is_kept_whole_read_again_and_replaced_only_when_asked(folder, tmp_path):
    place = folder.save(tmp_path / "model")
    again = ByteFolder.load(place)
    assert again.parts() == folder.parts()
    assert again.certified
    assert holds_bytes(place)
    assert not holds_bytes(tmp_path)
    with pytest.raises(BadInput, match="--replace"):
        folder.save(place)
    folder.save(place, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    for other in (load, ModelFolder.load):
        with pytest.raises(BadInput, match="`isotone score` and `isotone certify` take it"):
            other(place)


# fmt: off
BROKEN = {
    "no certificate":   lambda place: (place / "certificate.json").unlink(),
    "no detector":      lambda place: (place / "detector" / "weights.safetensors").unlink(),
    "another kind":     lambda place: (place / "model.json").write_text('{"format": 1, "kind": "guarded"}'),
    "covers nothing":   lambda place: (place / "certificate.json").write_text('{"verdict": "proved"}'),
}
# fmt: on


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_is_no_model(folder, tmp_path, what):
    place = folder.save(tmp_path / "model")
    BROKEN[what](place)
    with pytest.raises(NotAModel):
        ByteFolder.load(place)


def test_whatever_lies_in_a_folder_has_a_line_and_fails_closed(folder, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b").write_bytes(b"x" * 900)
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "linked").symlink_to(tmp_path / "inner")
    os.mkfifo(tmp_path / "pipe")
    tally = FileTally()
    found = {Path(one["file"]).name: one for one in records(folder, tmp_path, tally=tally)}
    assert list(found) == ["a", "gone", "b", "linked", "pipe"]
    assert str(tally) == "5 files, 5 alarms, 3 could not be read"
    assert found["gone"]["errors"][0].startswith("it cannot be opened")
    assert "not followed" in found["linked"]["errors"][0]
    assert [one["verdict"] for one in found.values()] == ["alarm"] * 5
    assert not found["pipe"]["certified"]["append_any"]
    assert found["b"]["certified"] == {"append_any": True, "insert_multiples_of": 512, "margin": pytest.approx(1e9)}
    with pytest.raises(BadInput, match="no such file"):
        records(folder, tmp_path / "nowhere")


def test_a_folder_deeper_than_python_recurses_is_scanned(folder, tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        assert records(folder, tmp_path) == []
    finally:  # pytest takes folders away by recursion
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)


def test_reasons_are_byte_ranges_with_the_section_they_fall_in(tmp_path):
    torch.manual_seed(1)
    network = ByteNetwork(8, 64, hidden=(4,), embedding=3).eval()
    data = PROGRAM.read_bytes()
    (tmp_path / "it").write_bytes(data)
    (tmp_path / "torn").write_bytes(data[:3000])
    threshold = network([data[:3000]]).item() - 0.01
    folder = ByteFolder.proved(ByteDetector(network, threshold, {}))
    whole, torn = records(folder, tmp_path, reasons=True)
    assert (whole["format"], whole["bytes"]) == ("ELF", len(data))
    assert "behind the end of the file" in torn["format"]
    assert all(reason["part"] for reason in whole["reasons"])
    assert not any(reason["part"] for reason in torn["reasons"])
    assert whole["reasons"][-1]["logit"] > threshold
    assert whole["rewritten"]["logit"] <= whole["logit"]
    assert torn["rewritten"] is None
    assert records(folder, tmp_path)[0]["reasons"] is None


def test_no_alarm_is_certified_by_the_proof_of_another_detector(folder, tmp_path):
    (tmp_path / "it").write_bytes(b"x" * 600)
    moved = ByteFolder(detector(threshold=-5e8), folder.certificate, folder.covers)
    assert moved.changes() == ("the threshold is another",)
    free = ByteFolder.proved(detector(monotone=False))
    swapped = ByteFolder(free.detector, folder.certificate, folder.covers)
    assert swapped.changes() == ("the network is another",)
    for one in (moved, swapped, free):
        (record,) = records(one, tmp_path / "it")
        assert record["verdict"] == "alarm"
        assert record["certified"] == {"append_any": False, "insert_multiples_of": None, "margin": None}


@pytest.mark.parametrize("part", ["", "encoder.convolution", "head"])
def test_no_alarm_is_certified_of_a_network_with_a_hook_in_memory(folder, part):
    handle = folder.detector.network.get_submodule(part).register_forward_hook(lambda module, args, out: -out)
    assert not folder.certified
    handle.remove()
    assert folder.certified


def test_an_alarm_by_a_hair_is_not_certified(tmp_path):
    (tmp_path / "it").write_bytes(b"x" * 600)
    with torch.no_grad():
        logit = float(detector().network([b"x" * 600]))
    for above, sure in ((1e-5, False), (1e-3, True)):
        (record,) = records(ByteFolder.proved(detector(threshold=logit - above)), tmp_path)
        assert (record["verdict"], record["certified"]["append_any"]) == ("alarm", sure)


def test_with_windows_that_overlap_only_appending_is_certified(tmp_path):
    (tmp_path / "it").write_bytes(b"x" * 600)
    (record,) = records(ByteFolder.proved(detector(64, 16)), tmp_path / "it")
    assert (record["certified"]["append_any"], record["certified"]["insert_multiples_of"]) == (True, None)


def test_a_score_that_is_no_number_is_an_alarm_with_an_error(folder, tmp_path):
    (tmp_path / "it").write_bytes(random.Random(0).randbytes(600))
    broken = detector()
    with torch.no_grad():
        broken.network.encoder.embedding.weight.fill_(torch.nan)
    (record,) = records(ByteFolder(broken, folder.certificate, folder.covers), tmp_path)
    assert (record["verdict"], record["errors"]) == ("alarm", ["its score is not a number"])
