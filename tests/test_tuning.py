"""A search is seeded, keeps to its limits, goes on where it was, and sees validation rows only."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from isotone import cli, tuning, workflow
from isotone.errors import BadInput, CannotWrite
from isotone.experiment import compare
from isotone.families import NetworkFamily
from isotone.model_folder import FACTS
from isotone.progress import Progress
from isotone.training import Rows
from isotone.tuning import NETWORK_SPACE, Choice, Range, Tuning, search, tune
from small import RECIPE, SETTINGS, family, names_table, prepared, question, write

pytest.importorskip("optuna")

SPACE = {"x": Range(0.0, 10.0), "rate": Range(1e-3, 1.0, log=True), "kind": Choice(("a", (2, 3)))}


def hill(setting):
    """Highest, 0, at x = 3, rate = 0.1 and the second kind."""
    return -abs(setting["x"] - 3) - abs(math.log10(setting["rate"]) + 1) - (setting["kind"] == "a")


class Counted:
    """A function that remembers what it was asked, and fails or is stopped when told."""

    def __init__(self, *, stop_at=None, seconds=0.0, fails=lambda setting: False):
        self.asked, self.stop_at, self.seconds, self.fails = [], stop_at, seconds, fails

    def __call__(self, setting):
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(setting)
        time.sleep(self.seconds)
        if self.fails(setting):
            raise BadInput("training", "the loss is nan", "a lower learning rate would be right")
        return hill(setting)


def test_it_finds_what_is_best():
    found = search(hill, SPACE, trials=60)
    assert found.value == max(found.values) == hill(found.setting) > -0.7
    assert found.setting["kind"] == (2, 3)  # any value can be a choice
    assert len(found.values) == 60


def test_it_learns_from_what_it_has_seen():
    found = search(hill, SPACE, trials=60)
    assert np.mean(found.values[-20:]) > np.mean(found.values[: tuning.AT_RANDOM]) + 1.0


def test_the_same_seed_tries_the_same_and_another_does_not():
    one, two, other = (search(hill, SPACE, trials=12, seed=seed) for seed in (0, 0, 1))
    assert one == two != other


def test_a_start_is_tried_first_and_can_win():
    asked, start = Counted(), {"x": 3.0, "rate": 0.1, "kind": (2, 3)}
    found = search(asked, SPACE, trials=4, start=[{"x": 9.0, "rate": 0.5, "kind": "a"}, start])
    assert asked.asked[1] == found.setting == start
    assert found.value == pytest.approx(0.0)


def test_it_keeps_to_its_time():
    began = time.monotonic()
    found = search(Counted(seconds=0.05), SPACE, seconds=0.6)
    assert 0.1 < time.monotonic() - began < 3.0
    assert 2 <= len(found.values) <= 12


def test_one_trial_is_made_however_short_the_time():
    assert len(search(Counted(seconds=0.05), SPACE, seconds=1e-6).values) == 1


def test_trials_that_fail_are_counted_and_never_win():
    asked = Counted(fails=lambda setting: setting["x"] > 3)
    found = search(asked, SPACE, trials=30)
    assert found.failed == sum(setting["x"] > 3 for setting in asked.asked) > 0
    assert len(found.values) + found.failed == 30
    assert found.setting["x"] <= 3


def test_a_value_that_is_no_number_is_a_failure():
    found = search(lambda setting: math.nan if setting["kind"] == "a" else 1.0, SPACE, trials=12)
    assert found.failed > 0
    assert found.setting["kind"] != "a"


def test_an_interrupted_search_keeps_what_it_has_found(tmp_path):
    journal, start = tmp_path / "journal", [{"x": 3.0, "rate": 0.1, "kind": (2, 3)}]
    first = Counted(stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        search(first, SPACE, trials=12, start=start, journal=journal)
    second = Counted()
    found = search(second, SPACE, trials=12, start=start, journal=journal)
    assert (len(first.asked), len(second.asked)) == (5, 7)
    assert found.setting == start[0]  # the first call found it
    assert start[0] not in second.asked
    drawn = [s["x"] for s in first.asked + second.asked]
    assert len(set(drawn)) == 12  # nothing twice


def test_a_start_during_which_it_was_stopped_is_tried_again(tmp_path):
    start = [{"x": 3.0, "rate": 0.1, "kind": "a"}]
    with pytest.raises(KeyboardInterrupt):
        search(Counted(stop_at=0), SPACE, trials=3, start=start, journal=tmp_path / "journal")
    again = Counted()
    search(again, SPACE, trials=3, start=start, journal=tmp_path / "journal")
    assert again.asked[0] == start[0]


def test_a_killed_process_leaves_a_journal_that_goes_on(tmp_path):
    journal = tmp_path / "journal"
    code = f"""
        import os
        from isotone.tuning import Range, search
        tried = []
        def evaluate(setting):
            tried.append(setting)
            if len(tried) == 4:
                os._exit(9)
            return -abs(setting["x"] - 3)
        search(evaluate, {{"x": Range(0.0, 10.0)}}, trials=10, journal={str(journal)!r})
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == 9
    calls = itertools.count()
    found = search(lambda s: -abs(s["x"] - 3) + 0 * next(calls), {"x": Range(0.0, 10.0)}, trials=10, journal=journal)
    assert len(found.values) == 10
    assert next(calls) == 7


def test_a_spent_time_is_not_spent_again(tmp_path):
    search(Counted(seconds=0.05), SPACE, seconds=0.4, journal=tmp_path / "journal")
    again, longer = Counted(seconds=0.05), Counted(seconds=0.05)
    found = search(again, SPACE, seconds=0.4, journal=tmp_path / "journal")
    assert again.asked == []
    assert len(search(longer, SPACE, seconds=1.2, journal=tmp_path / "journal").values) > len(found.values)


def test_searches_of_other_names_in_one_journal_do_not_mix(tmp_path):
    for name in ("one", "two"):
        asked = Counted()
        search(asked, SPACE, trials=3, journal=tmp_path / "journal", study=name)
        assert len(asked.asked) == 3


START = {"x": 3.0, "rate": 0.1, "kind": "a"}
REFUSALS = [
    # arguments                                        the sentence                             why
    ({},                                               r"neither seconds nor trials came",      "no end"),
    ({"seconds": 0.0},                                 r"seconds=0.0 came; a positive number",  "no time"),
    ({"seconds": math.nan},                            r"seconds=nan came; a positive number",  "no number"),
    ({"seconds": math.inf},                            r"seconds=inf came; a positive number",  "endless"),
    ({"trials": 0},                                    r"trials=0 came; at least one",          "no trials"),
    ({"trials": 3, "start": [{**START, "x": 11.0}]},   r"a start with x=11.0 came; Range",      "outside"),
    ({"trials": 3, "start": [{**START, "kind": "c"}]}, r"a start with kind='c' came; Choice",   "unknown"),
    ({"trials": 3, "start": [{"x": 1.0}]},             r"a start with rate=None came; Range",   "missing"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence", "why"), REFUSALS, ids=[why for *_, why in REFUSALS])
def test_a_senseless_search_is_refused_in_one_sentence(arguments, sentence, why):
    with pytest.raises(BadInput, match=f"^search: {sentence}"):
        search(hill, SPACE, **arguments)


def test_a_search_in_which_all_fail_is_refused():
    with pytest.raises(BadInput, match=r"^search: all 3 trials failed"):
        search(Counted(fails=lambda setting: True), SPACE, trials=3)


def test_a_journal_that_is_none_is_refused(tmp_path):
    (tmp_path / "journal").write_text("not a journal\n" * 3)
    with pytest.raises(BadInput, match=r"^journal .*cannot be read .*delete it to start anew"):
        search(hill, SPACE, trials=3, journal=tmp_path / "journal")


def test_a_journal_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(CannotWrite, match=r"nowhere"):
        search(hill, SPACE, trials=3, journal=tmp_path / "nowhere" / "journal")


SMALL_SPACE = {**NETWORK_SPACE, "hidden": Choice(((16, 8), (8,)))}


@dataclass(frozen=True)
class Remembering(NetworkFamily):
    """A family that knows what it was fitted with."""

    tried: list = field(default_factory=list)

    def fit(self, material, setting, seed, *others, **keyed):
        self.tried.append(setting)
        return super().fit(material, setting, seed, *others, **keyed)


def test_tuning_tries_the_usual_settings_first():
    own = Remembering(True, RECIPE, members=1, hidden=(16, 8), settings=SETTINGS)
    tried = own.tried
    found = tune(own, prepared().material, None, trials=3, space=SMALL_SPACE)
    assert tried[0]["pool"] == SETTINGS[0]["pool"]
    assert tried[0]["learning_rate"] == RECIPE.learning_rate
    assert tried[0]["hidden"] == (16, 8)
    assert found.setting in tried
    assert len(tried) == len(found.scores) == 3
    assert max(found.scores) >= found.scores[0]


def test_what_is_found_can_be_fitted_and_its_width_is_that_of_the_setting():
    setting = {name: part.values[-1] if isinstance(part, Choice) else part.low for name, part in SMALL_SPACE.items()}
    network = family().start(prepared().material, setting, 0)
    assert network.arguments["hidden"] == [8]


def test_tuning_sees_no_test_rows(tmp_path):
    """With other test labels the same search is gone on with, so nothing of them is in what it rests on."""
    honest = prepared("names only")
    mutated = replace(honest, test=Rows(honest.test.examples, 1 - honest.test.labels))
    tuned = []
    for one in (honest, mutated):
        spent = Tuning(0.02, tmp_path / "journal")
        silent = Progress(shown=False)
        small = family(settings=SETTINGS)
        tuned.append(compare(one, [small], (0,), silent, tuning=spent)[0].tuned)
    assert tuned[0].setting == tuned[1].setting
    assert tuned[0].scores == tuned[1].scores


def test_other_training_rows_begin_anew(tmp_path):
    found = prepared("names only").material
    other = replace(found, training=Rows(found.training.examples, found.training.labels[::-1].copy()))
    names = {tuning._digest(family(), material, 0, 0.02, SMALL_SPACE) for material in (found, found, other)}
    assert len(names) == 2
    assert len({tuning._digest(family(monotone=m), found, 0, 0.02, SMALL_SPACE) for m in (True, False)}) == 2


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_the_command_line_refuses_a_senseless_time(tmp_path, monkeypatch, capsys, minutes):
    data = write(names_table(), tmp_path / "rows.csv")
    arguments = ["train", data, "--label", "class", "--out", tmp_path / "model", "--tune", minutes]
    monkeypatch.setattr(sys, "argv", ["isotone", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert end.value.code == 2
    assert (
        said.err == f"isotone: tune: {float(minutes):g} minutes came; a positive number would be right, such as 10.\n"
    )


@pytest.mark.slow
def test_a_folder_is_trained_with_a_searched_setting(tmp_path):
    journal = tmp_path / ".model.tuning"
    spent = Tuning(0.3, journal)
    folder = workflow.train_folder(
        names_table(), question(), name="small", recipe=RECIPE, members=1, settings=SETTINGS, tuning=spent
    )
    place = folder.save(tmp_path / "model")
    assert folder.certificate.verdict.name == "PROVED"
    assert journal.exists()
    assert "learning_rate" in (place / FACTS).read_text()
