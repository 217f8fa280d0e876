"""Nothing leaks between the sides, nothing is chosen on the test side, and every attack has its positive control."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from isotone import Threat
from isotone.boosters import BoosterFamily
from isotone.errors import BadInput, NoMatch
from isotone.evaluation import BUDGETS
from isotone.experiment import Compared, Question, compare, dense, judge, prepare
from isotone.facts import _attacks, facts_of
from isotone.families import Tuned, tune
from isotone.progress import Progress
from isotone.proving import certificate_of
from isotone.report import render
from isotone.training import Rows
from isotone.verdict import Verdict
from small import RATE, ROWS, SETTINGS, WORLDS, family, names_table, numbers_table, prepared, question

SILENT = Progress(shown=False)
TWO_SETTINGS = ({"pool": "max"}, {"pool": "sum"})


@functools.cache
def both(world: str = "names, numbers", seeds: tuple[int, ...] = (0,)) -> tuple[Compared, ...]:
    return tuple(compare(prepared(world), [family(monotone=True), family(monotone=False)], seeds, SILENT))


def identities(rows: Rows) -> set[int]:
    return set(rows.examples.vector_hashes().tolist())


def test_a_group_stands_on_one_side():
    table = names_table(group=[f"g{row % 90}" for row in range(ROWS)])
    found = prepare(table, question(group="group", identify=("id",)))
    group_of = dict(zip(table["id"].to_pylist(), table["group"].to_pylist(), strict=True))
    of_test = {group_of[name] for name in found.identities}
    assert found.groups["test"] == len(of_test)
    assert sum(found.groups.values()) == 90


def test_no_feature_vector_stands_on_two_sides():
    table = names_table()
    twice = pa.concat_tables([table, table.slice(0, 300)])
    found = prepare(twice, question())
    train, validation, test = (
        identities(side) for side in (found.material.training, found.material.validation, found.test)
    )
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_groups_and_identities_are_no_features():
    columns = {"group": np.arange(ROWS) % 90, "serial": np.arange(ROWS)}
    table = names_table(**columns).drop_columns(["names", "id"])
    asked = question(names=None, group="group", identify=("serial",), threat=Threat(("size",), ("age",)))
    assert set(prepare(table, asked).encoder.features) == {"size", "age"}


def test_what_the_attacker_sets_at_will_is_no_feature():
    asked = question(columns=("size", "age"), threat=Threat("*", removes="age", sets=("size", "good*")))
    found = prepare(names_table(), asked)
    assert not [name for name in found.encoder.features if name == "size" or name.startswith("good")]
    assert "size" in found.question.left_out
    assert len(found.material.directions) == len(found.encoder.features) == found.test.examples.matrix().shape[1]
    assert found.material.directions[found.encoder.features.index("age")] == -1


def test_the_vocabulary_comes_from_training_rows_only():
    rare = [[f"only{row}"] for row in range(ROWS)]
    table = names_table()
    table = table.set_column(
        table.column_names.index("names"),
        "names",
        pa.array([a + b for a, b in zip(table["names"].to_pylist(), rare, strict=True)]),
    )
    found = prepare(table, question(min_rows=1, identify=("id",)))
    assert not {f"only{name[1:]}" for name in found.identities} & set(found.encoder.vocabulary)


def test_numbers_move_between_the_extremes_of_the_training_rows():
    found = prepared("numbers only")
    columns = found.material.training.examples.columns
    for at, name in enumerate(found.encoder.columns):
        target = {"debts": columns[:, at].max(), "age": columns[:, at].min()}.get(name)
        assert bool(found.moves.addable[at]) == (target is not None)
        assert target is None or float(found.moves.target[at]) == pytest.approx(float(target))


REFUSALS = [
    # the question, the kind, the sentence, why
    ({"group": "grup"}, NoMatch, r"^table: 'grup' matches no column.* Columns: ", "no such group"),
    ({"identify": ("ids",)}, NoMatch, r"^table: 'ids' matches no column. Did you mean 'id'\?", "no such name"),
    ({"label": "clas"}, NoMatch, r"^label: 'clas' matches no column. Did you mean 'class'\?", "no such label"),
    ({"threat": Threat(("api*",))}, NoMatch, r"^adds: 'api\*' matches no feature", "no such feature"),
    ({"threat": Threat(("e*",), ("evil*",))}, BadInput, r"can be both added and removed", "both ways"),
    ({"threat": Threat(())}, BadInput, r"every feature is free", "no direction"),
    ({"max_false_alarm_rate": 0.001}, BadInput, r"at least 2995 are needed", "too few rows"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "kind", "sentence", "why"), REFUSALS, ids=[why for *_, why in REFUSALS])
def test_a_question_that_has_no_answer_is_refused(asked, kind, sentence, why):
    with pytest.raises(kind, match=sentence):
        prepare(names_table(), question(**asked))


def test_a_row_without_a_group_is_refused():
    with pytest.raises(BadInput, match=r"^groups, row 8: its group is missing"):
        prepare(
            names_table(group=[None if row == 7 else f"g{row % 90}" for row in range(ROWS)]), question(group="group")
        )


def test_a_test_side_without_a_positive_row_is_refused():
    # All bad rows say the same but for a name that no other row has, and that is no feature: they repeat one another.
    table = names_table()
    rows = zip(*(table[column].to_pylist() for column in ("id", "names", "class")), strict=True)
    names = [["evil0", name] if bad else names for name, names, bad in rows]
    table = table.set_column(table.column_names.index("names"), "names", pa.array(names))
    table = table.append_column("group", pa.array([f"g{row % 90}" for row in range(ROWS)]))
    with pytest.raises(BadInput, match=r"^split: validation has no positive row left, without those that repeat"):
        prepare(table, question(group="group"))


def test_nothing_is_chosen_on_test_labels():
    honest = prepared("names, numbers")
    shuffled = np.random.default_rng(1).permutation(honest.test.labels)
    mutated = replace(honest, test=Rows(honest.test.examples, shuffled))
    families = [family(monotone=monotone, settings=TWO_SETTINGS) for monotone in (True, False)]
    for one, two in zip(*(compare(one, families, (0,), SILENT) for one in (honest, mutated)), strict=True):
        assert one.tuned.setting == two.tuned.setting
        assert one.tuned.scores == two.tuned.scores
        for a, b in zip(one.judged, two.judged, strict=True):
            assert a.threshold == b.threshold
            assert a.validation_detection == b.validation_detection
            assert all(
                torch.equal(w, b.scorer.network.state_dict()[name]) for name, w in a.scorer.network.state_dict().items()
            )
        assert one.judged[0].clean != two.judged[0].clean  # and yet the labels were other ones


def test_the_best_setting_on_validation_rows_wins():
    found = tune(family(settings=TWO_SETTINGS), prepared().material)
    assert found.setting == TWO_SETTINGS[int(np.argmax(found.scores))]
    assert len(found.scores) == 2


@pytest.mark.parametrize("world", WORLDS)
def test_the_threshold_comes_from_validation_negatives(world):
    found = prepared(world)
    judged = both(world)[0].judged[0]
    validation = found.material.validation
    logits = judged.scorer.logits(validation.examples)
    assert (logits[validation.labels == 0] > judged.threshold).mean() <= RATE
    assert judged.threshold in logits[validation.labels == 0]
    test = judged.scorer.logits(found.test.examples)
    assert judged.clean == (test[found.test.labels == 1] > judged.threshold).mean()
    assert judged.false_alarms.count == (test[found.test.labels == 0] > judged.threshold).sum()


@pytest.mark.parametrize("world", WORLDS)
def test_no_attack_evades_the_monotone_network(world):
    judged = both(world)[0].judged[0]
    assert judged.clean > 0.1
    assert set(judged.curve) == {judged.clean}
    assert judged.lost_after_10 == 0.0
    assert all(not bool((a.additions > 0).any()) for a in judged.attacks)


def test_the_twin_is_the_positive_control_of_the_same_suite():
    ours, twin = (c.judged[0] for c in both("names only"))
    assert [a.name for a in ours.attacks] == [a.name for a in twin.attacks] != []
    assert twin.curve[0] == twin.clean > 0.1
    assert twin.curve[BUDGETS.index(10)] < 0.5 * twin.clean
    facts = _attacks([ours], control=both("names only")[1])
    assert {one["name"]: one["broken"] for one in facts}["greedy"] is False


def test_a_control_that_does_not_evade_is_reported_broken():
    ours, twin = both("names only")
    judged = twin.judged[0]
    lame = tuple(replace(a, additions=torch.where(a.additions > 0, -1, a.additions)) for a in judged.attacks)
    control = Compared(twin.tuned, (replace(judged, attacks=lame),))
    assert [one["broken"] for one in _attacks(ours.judged, control)] == [True] * len(lame)
    assert [one["broken"] for one in _attacks(ours.judged, None)] == [True] * len(lame)  # none at all


def test_a_detector_without_detections_is_attacked_in_vain():
    found = prepared("names only")
    judged = judge(_Flat(), found)
    assert judged.clean == 0.0
    assert judged.attacks == ()
    assert set(judged.curve) == {0.0}
    assert judged.lost_after_10 is None


class _Flat:
    """A detector that says the same of every row."""

    def logits(self, examples):
        return np.zeros(len(examples))


@pytest.mark.parametrize("world", WORLDS)
def test_facts_make_a_report(world):
    found, compared = prepared(world), both(world)
    certificate = certificate_of(compared[0].judged[0].scorer.network, found.material.directions)
    facts = facts_of(found, compared, certificate, (0,), name="small", title="Small")
    assert [one["role"] for one in facts["detectors"]] == ["monotone", "unconstrained"]
    assert sum(facts["histograms"]["after"]["positive"]) == int(found.test.labels.sum())
    assert facts["alerts"]
    assert "Small" in render(facts)


def test_attacks_that_show_nothing_are_said_to_show_nothing():
    found, compared = prepared("names only"), both("names only")
    certificate = certificate_of(compared[0].judged[0].scorer.network, found.material.directions)
    unharmed = [replace(one, additions=-one.additions.ne(0).long()) for one in compared[1].judged[0].attacks]
    weak = replace(compared[1], judged=(replace(compared[1].judged[0], attacks=tuple(unharmed)),))
    for other, said in ((compared[1], False), (weak, True)):
        facts = facts_of(found, [compared[0], other], certificate, (0,), name="small", title="Small")
        assert ("is no evidence" in facts["summary"]) is said


def test_only_a_proof_speaks_of_whatever_is_added():
    found, compared = prepared("names only"), both("names only")
    said = {}
    for one in compared:
        certificate = certificate_of(one.judged[0].scorer.network, found.material.directions)
        summary = facts_of(found, compared, certificate, (0,), name="small", title="Small")["summary"]
        said[certificate.verdict] = "whatever is added" in summary
    assert said.pop(Verdict.PROVED)
    assert list(said.values()) == [False]


def test_facts_of_flat_seeds_make_a_report_too():
    """One seed without any detection: no rate of evasion, and no share lost."""
    found = prepared("names only")
    flat = Compared(Tuned(family(monotone=False), SETTINGS[0], (0.5,)), (judge(_Flat(), found),))
    ours = both("names only")[0]
    certificate = certificate_of(ours.judged[0].scorer.network, found.material.directions)
    assert "Small" in render(facts_of(found, [ours, flat], certificate, (0,), name="small", title="Small"))


def test_boosters_stand_beside():
    pytest.importorskip("lightgbm")
    found = prepared("names only")
    few = {"trees": 40, "stops": (20, 40), "threads": 1, "settings": ({"num_leaves": 7},)}
    families = [BoosterFamily(monotone, **few) for monotone in (True, False)]
    ours, twin = (c.judged[0] for c in compare(found, families, (0,), SILENT))
    assert set(ours.curve) == {ours.clean}
    assert twin.curve[-1] < twin.clean
    used = ours.scorer.used
    rows = dense(found.test, np.arange(40))
    assert np.allclose(ours.scorer.dense(rows), ours.scorer.logits(found.test.examples.take(np.arange(40))))
    unused = np.setdiff1d(np.arange(rows.shape[1]), used)
    assert np.array_equal(ours.scorer.dense(rows * ~np.isin(np.arange(rows.shape[1]), unused)), ours.scorer.dense(rows))


def test_a_split_by_time_tests_on_the_newest_rows_says_the_dates_and_uses_no_date_as_a_feature():
    days = [f"2024-{1 + day // 28:02}-{1 + day % 28:02}" for day in range(300)]
    seen = [days[row * 300 // ROWS] for row in range(ROWS)]
    table = names_table(seen=seen)
    found = prepare(table, question(time="seen", columns=("size",)))
    rows = [int(name.removeprefix("row ")) - 1 for name in found.identities]
    assert min(seen[row] for row in rows) > days[230]
    assert found.how.startswith("by seen (train 2024-01-01 to 2024-")
    assert found.how.endswith("and by feature vector")
    assert "seen" not in found.encoder.features
    numbers = numbers_table().append_column("seen", pa.array(seen))
    asked = Question(label="class", max_false_alarm_rate=RATE, time="seen")
    assert "seen" not in prepare(numbers, asked).encoder.features
