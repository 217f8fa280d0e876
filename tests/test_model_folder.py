"""A folder is written whole or not at all, holds no pickle, and anything amiss in it is one sentence."""

from __future__ import annotations

import json
import pickletools
import shutil
import stat
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from isotone.errors import BadInput, CannotWrite, NotAModel
from isotone.families import NetworkScorer
from isotone.model_folder import CERTIFICATE, FACTS, MODEL, OURS, TWIN, WEIGHTS, ModelFolder, writable
from isotone.proving import certificate_of
from small import RATE, WORLDS, folder_of

FILES = (MODEL, WEIGHTS, TWIN, FACTS, CERTIFICATE)


@pytest.fixture
def saved(tmp_path):
    return folder_of().save(tmp_path / "model")


@pytest.mark.parametrize("world", WORLDS)
def test_a_round_trip_gives_the_same_scores_to_the_bit(tmp_path, world):
    ours = folder_of(world)
    back = ModelFolder.load(ours.save(tmp_path / "model"))
    examples = ours.encoder.encode(WORLDS[world][0]())
    for one, two in ((ours.network, back.network), (ours.twin, back.twin)):
        assert np.array_equal(NetworkScorer(one).logits(examples), NetworkScorer(two).logits(examples))
        assert not two.training
    assert (back.threshold, back.twin_threshold) == (ours.threshold, ours.twin_threshold)
    assert back.question == ours.question
    assert back.encoder == ours.encoder
    assert back.facts == ours.facts
    assert back.certificate.to_dict() == ours.certificate.to_dict()
    for name in ("addable", "target", "directions"):
        assert torch.equal(getattr(back.moves, name), getattr(ours.moves, name))
    ways = back.question.threat.directions(back.encoder.features)
    assert certificate_of(back.network, ways).verdict is ours.certificate.verdict


def test_no_alarm_is_certified_of_a_network_with_a_hook_in_memory():
    ours = folder_of().sealed()
    assert ours.certified
    for part in (ours.network, ours.network.networks[0]):
        handle = part.register_forward_hook(lambda module, args, out: -out)
        assert not ours.certified
        handle.remove()
    assert ours.certified


def test_the_folder_holds_json_and_safetensors_that_others_may_read(saved):
    assert sorted(path.name for path in saved.iterdir()) == sorted(FILES)
    for path in saved.iterdir():
        content = path.read_bytes()
        if path.suffix == ".json":
            # NaN and infinity are no JSON, and other readers would refuse them.
            json.loads(content, parse_constant=pytest.fail)
        else:
            assert load_file(path)
        assert not zipfile.is_zipfile(path)  # the checkpoints of torch are
        with pytest.raises((ValueError, UnicodeDecodeError)):
            list(pickletools.genops(content))
        assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444
    assert stat.S_IMODE(saved.stat().st_mode) == 0o755


def changed(name: str, *keys, to):
    """A fault: one entry of a JSON file is another."""

    def spoil(folder):
        content = json.loads((folder / name).read_text())
        at = content
        for key in keys[:-1]:
            at = at[key]
        if to is None:
            del at[keys[-1]]
        else:
            at[keys[-1]] = to
        (folder / name).write_text(json.dumps(content))

    return spoil


def weight(name: str, value: float, of: str = "bias"):
    """A fault: one number in a file of weights is another."""

    def spoil(folder):
        tensors = load_file(folder / name)
        key = next(key for key in sorted(tensors) if key.endswith(of))
        tensors[key].view(-1)[0] = value
        save_file(tensors, folder / name)

    return spoil


ANY_FILE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "cut by one byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "other JSON": lambda path: path.write_text("[1, 2]"),
    "deep JSON": lambda path: path.write_text("[" * 100_000),
    "nothing in it": lambda path: path.write_text("{}"),
}
PAIRS = [(name, fault) for name in FILES for fault in ANY_FILE if (name, fault) != (FACTS, "nothing in it")]


@pytest.mark.parametrize(("name", "fault"), PAIRS)
def test_a_spoilt_file_is_one_sentence(saved, name, fault):
    ANY_FILE[fault](saved / name)
    with pytest.raises(NotAModel) as refused:
        ModelFolder.load(saved)
    said = str(refused.value)
    assert said.startswith(f"{saved}: {name} ")
    assert said.endswith("Train again, or copy the folder again.")
    assert "\n" not in said
    assert len(said) < 600


FAULTS = [
    # what was done, the sentence, why
    (changed(MODEL, "format", to=99),  "has format 99",  "newer"),
    (changed(MODEL, "threshold", to=float("nan")),  "no finite number",  "would never alarm"),
    (changed(MODEL, "threshold", to=float("inf")),  "no finite number",  "would never alarm either"),
    (changed(MODEL, "threshold", to="high"),  "is not whole",  "a word"),
    (changed(MODEL, "twin_threshold", to=None),  "is not whole",  "an entry less"),
    (changed(MODEL, "targets", to=[1.0]),  "is not whole",  "too few"),
    (changed(MODEL, "targets", to="all"),  "is not whole",  "a text"),
    (changed(MODEL, "encoder", to=[]),  "is not whole",  "no encoder"),
    (changed(MODEL, "encoder", "columns", to=["size"]),  "is not whole",  "a column less"),
    (changed(MODEL, "encoder", "vocabulary", to=["evil0", "good0"]),  "is not whole",  "few names left"),
    (changed(MODEL, "question", "threat", "adds", to=["api*"]),  "is not whole",  "a glob of no feature"),
    (changed(MODEL, "question", "threat", to=[]),  "is not whole",  "no threat"),
    (changed(MODEL, "question", "colour", to="red"),  "is not whole",  "an unknown entry"),
    (changed(MODEL, "network", to=[]),  "is not whole",  "no member"),
    (changed(MODEL, "network", to=5),  "is not whole",  "a number"),
    (changed(MODEL, "network", 0, "names", to=10**12),  "is not whole",  "names of all bytes"),
    (changed(MODEL, "network", 0, "names", to=-1),  "is not whole",  "fewer than none"),
    (changed(MODEL, "network", 0, "hidden", to=[99]),  "is not whole",  "other layers"),
    (changed(MODEL, "network", 0, "pool", to="mean"),  "is not whole",  "another pool"),
    (weight(WEIGHTS, float("nan")),  "no finite number",  "NaN would never alarm"),
    (weight(TWIN, float("inf")),  "no finite number",  "infinite in the twin"),
    (weight(WEIGHTS, -1.0, of="trunk.1.weight"),  "outside their constraints",  "no longer monotone"),
    (changed(CERTIFICATE, "verdict", to="sure"),  "is not whole",  "a fourth verdict"),
    (changed(CERTIFICATE, "scope", to=None),  "is not whole",  "no scope"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "sentence", "why"), FAULTS, ids=[why for *_, why in FAULTS])
def test_a_folder_that_was_tampered_with_is_one_sentence(saved, spoil, sentence, why):
    spoil(saved)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NotAModel, match=sentence) as refused:
            ModelFolder.load(saved)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["missing", "a file", "empty"])
def test_what_is_no_folder_is_one_sentence(tmp_path, kind):
    place = tmp_path / "model"
    if kind == "a file":
        place.write_text("")
    elif kind == "empty":
        place.mkdir()
    with pytest.raises(NotAModel, match=r"model.json is missing" if kind == "empty" else "there is no such folder"):
        ModelFolder.load(place)


def test_an_older_model_is_replaced_only_when_asked(saved):
    with pytest.raises(BadInput, match=r"it exists already; .* Replace an older model with --replace"):
        folder_of().save(saved)
    (saved / "report.html").write_text("old")
    folder_of("names only").save(saved, replace=True)
    assert ModelFolder.load(saved).question == folder_of("names only").question
    assert sorted(path.name for path in saved.parent.iterdir()) == ["model"]
    assert not (saved / "report.html").exists()  # it was about the older one


@pytest.mark.parametrize("kind", ["a file", "a folder", "a link to nothing"])
def test_what_is_no_model_is_never_replaced(tmp_path, kind):
    place = tmp_path / "model"
    {
        "a file": lambda: place.write_text("precious"),
        "a folder": place.mkdir,
        "a link to nothing": lambda: place.symlink_to(tmp_path / "nowhere"),
    }[kind]()
    with pytest.raises(BadInput, match="it exists already; a name that is not taken"):
        folder_of().save(place, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_with_something_else_in_it_is_not_replaced(saved):
    (saved / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match=r"'thesis.tex' is in it; only a model folder is replaced"):
        folder_of().save(saved, replace=True)
    assert (saved / "thesis.tex").read_text() == "precious"
    assert set(FILES) < OURS | {"thesis.tex"}


def test_a_model_behind_a_link_is_replaced_at_the_link(saved, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(saved)
    folder_of("names only").save(link, replace=True)
    assert not link.is_symlink()
    assert ModelFolder.load(link).question == folder_of("names only").question
    assert ModelFolder.load(saved).question == folder_of().question  # what it pointed to still stands


def test_a_save_that_fails_in_the_middle_leaves_nothing_behind(saved):
    # Facts that are no JSON fail after the weights were written.
    broken = {**folder_of().__dict__, "facts": {"figure": object()}}
    with pytest.raises(TypeError):
        ModelFolder(**broken).save(saved.parent / "second")
    with pytest.raises(TypeError):
        ModelFolder(**broken).save(saved, replace=True)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
    assert ModelFolder.load(saved).question == folder_of().question


@pytest.mark.parametrize("below", ["model", "a/b/model"])
def test_a_place_below_a_file_cannot_be_written(tmp_path, below):
    (tmp_path / "file").write_text("")
    for ask in (folder_of().save, writable):
        with pytest.raises(CannotWrite, match=r"file/.*model cannot be written \(.*\). Name a place"):
            ask(tmp_path / "file" / below)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_that_is_too_long_cannot_be_written(tmp_path):
    with pytest.raises(CannotWrite, match="File name too long"):
        writable(tmp_path / ("m" * 300))


def test_asking_whether_a_place_is_writable_leaves_nothing_there(tmp_path):
    assert writable(tmp_path / "deep" / "model") == tmp_path / "deep" / "model"
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_folder_can_be_moved(saved, tmp_path):
    shutil.move(saved, tmp_path / "elsewhere")
    assert ModelFolder.load(tmp_path / "elsewhere").threshold == folder_of().threshold


def test_the_sides_keep_the_rate_they_were_asked_for():
    assert folder_of().facts["max_false_alarm_rate"] == RATE
