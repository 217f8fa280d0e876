"""Detectors of files: trained on a folder, kept, and closed to whatever cannot be read."""

import json
import math
import os
import random
import resource
import struct
import time

import numpy as np
import pytest
import torch

from isotone import saving
from isotone.byte_files import ByteDetector, ByteRecipe, logits_of_files, train_byte_detector, train_bytes
from isotone.errors import BadInput, CannotWrite, NotAModel
from isotone.files import Refused
from isotone.nn import ByteNetwork
from isotone.nn import _bytes_windows as grid

from .test_files import BREAK, REAL, malformed

SMALL = {"channels": 8, "window": 16, "hidden": (6,), "embedding": 3, "words": 0}


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "BLOCK_BYTES", 1024)
        yield


def file_of(bad, rng):
    windows = [bytes([rng.randrange(8)] * 16) for _ in range(rng.randrange(6, 20))]
    windows[rng.randrange(len(windows))] = b"an evil sign...." if bad else b"a harmless sign."
    return b"".join(windows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place, rng = tmp_path_factory.mktemp("files"), random.Random(0)
    rows = ["path,label,group"]
    for i in range(150):
        (place / f"f{i}").write_bytes(file_of(i % 2, rng))
        rows.append(f"f{i},{i % 2},g{i // 3}")
    (place / "labels.csv").write_text("\n".join(rows) + "\n")
    return place


@pytest.fixture(scope="module")
def detector(folder):
    recipe = ByteRecipe(epochs=6, learning_rate=0.03)
    return train_byte_detector(folder, folder / "labels.csv", max_false_alarm_rate=0.25, recipe=recipe, **SMALL)


def test_it_learns_and_says_what_it_found(detector):
    facts = detector.facts
    assert facts["files"] == {"training": 90, "validation": 30, "test": 30}
    assert facts["detection"]["rate"] > 0.9
    assert facts["detection"]["low"] < facts["detection"]["rate"]
    assert facts["false_alarms"]["of"] == 15
    assert facts["repeated"] == 0
    assert facts["epochs"][-1]["loss"] < facts["epochs"][0]["loss"]


def test_it_is_kept_and_read_again(detector, tmp_path, folder):
    place = detector.save(tmp_path / "model")
    again = ByteDetector.load(place)
    paths = [folder / "f0", folder / "f1"]
    assert list(again.scan(paths)) == list(detector.scan(paths))
    assert [s.alarm for s in again.scan(paths)] == [False, True]
    assert again.facts["best_epoch"] == detector.facts["best_epoch"]
    with pytest.raises(CannotWrite):
        detector.save(place)


def edited(place, **what):
    path = place / "estimator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | what))


def made_infinite(place):
    """A threshold above which nothing ever is, with a digest that fits."""
    path = place / "estimator.json"
    facts = json.loads(path.read_text()) | {"threshold": math.inf}
    facts.pop("digest")
    path.write_text(json.dumps(facts | {"digest": saving.digest(facts)}))


# fmt: off
BROKEN_FOLDERS = {
    # what is done to the folder                                            what is said
    "no weights":       (lambda p: (p / "weights.safetensors").unlink(),    "cannot be read"),
    "torn weights":     (lambda p: os.truncate(p / "weights.safetensors", 100), "cannot be read"),
    "no settings":      (lambda p: (p / "estimator.json").write_text("{}"), "format None of None"),
    "another format":   (lambda p: edited(p, format=9),                     "format 9"),
    "another threshold": (lambda p: edited(p, threshold=99.0),              "not as it was written"),
    "no alarm ever":    (made_infinite,                                     "no finite number"),
}
# fmt: on


@pytest.mark.parametrize("what", BROKEN_FOLDERS)
def test_a_folder_that_is_no_model(what, detector, tmp_path):
    act, said = BROKEN_FOLDERS[what]
    place = detector.save(tmp_path / "model")
    act(place)
    with pytest.raises(NotAModel, match=said):
        ByteDetector.load(place)


def test_a_file_that_is_there_twice_is_on_one_side(folder, tmp_path):
    rows = ["path,label"]
    for i in range(150):
        for copy in ("a", "b"):
            (tmp_path / f"f{i}{copy}").write_bytes((folder / f"f{i}").read_bytes() + bytes([i]))
            rows.append(f"f{i}{copy},{i % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    made = train_byte_detector(
        tmp_path, tmp_path / "labels.csv", max_false_alarm_rate=0.25, recipe=ByteRecipe(epochs=1), **SMALL
    )
    assert sum(made.facts["files"].values()) + made.facts["repeated"] == 300
    assert made.facts["repeated"] > 50


def test_validation_files_choose_what_it_reads(folder):
    small = {key: value for key, value in SMALL.items() if key != "words"}
    recipe = ByteRecipe(epochs=1, learning_rate=0.03)
    made = train_byte_detector(folder, folder / "labels.csv", max_false_alarm_rate=0.25, recipe=recipe, **small)
    selection = made.facts["selection"]
    assert set(selection) == {"bytes", "words"}
    assert selection[made.facts["encoder"]] == max(selection.values())
    assert bool(made.network.arguments["words"]) == (made.facts["encoder"] == "words")


def test_what_is_added_to_a_bad_file_keeps_it_an_alarm(detector, folder, tmp_path):
    bad = (folder / "f1").read_bytes()
    for n, more in enumerate([(folder / "f0").read_bytes() * 40, bytes(5000), os.urandom(3000)]):
        (tmp_path / f"{n}").write_bytes(bad + more)
        (tmp_path / f"{n}b").write_bytes(more[: len(more) // 16 * 16] + bad)
    assert all(found.alarm for found in detector.scan(tmp_path.iterdir()))


def test_what_cannot_be_read_is_an_alarm(detector, tmp_path):
    (tmp_path / "long").write_bytes(bytes(2000))
    os.mkfifo(tmp_path / "pipe")
    paths = [tmp_path, tmp_path / "pipe", tmp_path / "none", tmp_path / "long"]
    found = list(detector.scan(paths, most=1000))
    assert [(s.alarm, s.score) for s in found] == [(True, None)] * 4
    assert [s.refused.split(" (")[0] for s in found] == [
        "it is no regular file",
        "it is no regular file",
        "it cannot be opened",
        "it has 2,000 bytes, and 1,000 are the most that is read",
    ]
    (late,) = detector.scan([tmp_path / "long"], seconds=1e-9)
    assert late.alarm
    assert "within 1e-09 seconds" in late.refused


def test_a_score_that_is_no_number_is_an_alarm(detector, folder):
    network = ByteNetwork(**detector.network.arguments).eval()
    with torch.no_grad():
        network.encoder.embedding.weight.fill_(torch.nan)
    (found,) = ByteDetector(network, detector.threshold).scan([folder / "f0"])
    assert found.alarm


@pytest.mark.parametrize("seeds", [3, pytest.param(34, marks=pytest.mark.slow)])  # the second: a thousand files
def test_malformed_files_end_in_a_score_or_in_a_refusal(detector, tmp_path, seeds):
    path, scored = tmp_path / "it", 0
    start, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind in REAL:
        for how in BREAK:
            for seed in range(seeds):
                data = malformed(kind, how, seed)
                path.write_bytes(data[:4096])  # what is malformed is in front, and a thousand files take a while
                (found,) = detector.scan([path])
                assert (found.score is None) == bool(found.refused)
                scored += found.score is not None
    assert scored == seeds * len(REAL) * len(BREAK)
    assert 34 * len(REAL) * len(BREAK) > 1000
    assert time.monotonic() - start < 120
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100_000  # kilobytes


@pytest.mark.parametrize("kind", ["empty", "sparse", "longer than a scan reads"])
def test_files_of_no_and_of_very_many_bytes(kind, detector, tmp_path):
    path = tmp_path / "it"
    size = {"empty": 0, "sparse": 2**26, "longer than a scan reads": 2**40}[kind]
    with path.open("wb") as stream:
        stream.truncate(size)
    start, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (found,) = detector.scan([path])
    assert (found.score is None) == (kind == "longer than a scan reads")
    assert time.monotonic() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 100_000


@pytest.mark.slow
def test_a_sparse_file_of_a_gigabyte_ends_in_a_score(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(grid, "BLOCK_BYTES", 2**16)
    path = tmp_path / "it"
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", 2**63) * 1000)
        stream.truncate(2**30)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (found,) = ByteDetector(ByteNetwork().eval(), 0.0).scan([path])
    assert found.score is not None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000


def test_training_files_may_be_anything_a_network_takes():
    rng = random.Random(1)
    files, labels = [file_of(i % 2, rng) for i in range(40)], np.arange(40) % 2
    network = ByteNetwork(**SMALL)
    network.centre_(files)
    before = ByteRecipe(epochs=2, patience=0, positive_weight=2.0)
    history = train_bytes(network, (files, labels), (files, labels), before)
    assert not network.training
    assert history.best_epoch in range(2)
    assert logits_of_files(network, files).shape == (40, 1)
    assert logits_of_files(network, []).shape == (0, 1)


TWO = ([b"x" * 99] * 2, [0, 1])
# fmt: off
BAD = [
    # what is done                                                        what is said
    (lambda net: train_bytes(net, ([b"x"], [1]), TWO),                    "training files"),
    (lambda net: train_bytes(net, TWO, ([b"x"], [1])),                    "validation files"),
    (lambda net: train_bytes(net, TWO, TWO, ByteRecipe(learning_rate=1e30)), "lower learning rate"),
]
# fmt: on


@pytest.mark.parametrize(("act", "said"), BAD, ids=[row[-1] for row in BAD])
def test_bad_input_is_refused(act, said):
    with pytest.raises(BadInput, match=said):
        act(ByteNetwork(**SMALL))


def test_a_folder_is_refused(folder, tmp_path):
    with pytest.raises(BadInput, match="at least 299 are needed"):
        train_byte_detector(folder, folder / "labels.csv", **SMALL)
    with pytest.raises(Refused):
        logits_of_files(ByteNetwork(**SMALL), [tmp_path / "none"])
