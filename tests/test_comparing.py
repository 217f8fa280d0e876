"""What changes between two models is counted as it is, by label and by month, and too many flips can stop a build."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from isotone import cli
from isotone.comparing import compare
from isotone.data import labels_of, times_of
from isotone.errors import BadInput, NoMatch
from isotone.families import NetworkScorer
from small import folder_of, names_table, write

ROWS = 600


def months(rows: int) -> pa.Array:
    return pa.array([f"2024-0{1 + 3 * row // rows}-15" for row in range(rows)])


@pytest.fixture
def data(tmp_path):
    return write(names_table(ROWS, seed=5, seen=months(ROWS)), tmp_path / "rows.jsonl")


def stricter(by: float):
    return replace(folder_of(), threshold=folder_of().threshold + by)


def test_flips_and_false_alarms_are_those_that_are_seen(data):
    folder, table = folder_of(), names_table(ROWS, seed=5)
    old, new = folder, stricter(0.7)
    logits = NetworkScorer(folder.network).logits(folder.encoder.encode(table))
    labels = labels_of(table, "class")
    lost = (logits > old.threshold) & (logits <= new.threshold)
    found = compare(old, new, data, id_column="id")
    assert found.negative_flips == (lost & (labels == 1)).sum() > 0
    assert found.new_false_alarms == 0
    assert {int(flip.id[1:]) for flip in found.flips} == set(np.flatnonzero(lost & (labels == 1)))
    assert all(flip.new <= new.threshold for flip in found.flips)
    assert [part.name for part in found.parts] == ["all rows", "bad", "benign"]
    assert [part.rows for part in found.parts] == [ROWS, (labels == 1).sum(), (labels == 0).sum()]
    assert found.parts[0].agree == pytest.approx(1 - lost.mean())
    back = compare(new, old, data)
    assert back.negative_flips == 0
    assert back.new_false_alarms == (lost & (labels == 0)).sum() == found.parts[2].lost
    assert back.parts[0].gained == lost.sum()
    # The same scores on both sides: as many alarms on benign rows are to be had at the same place.
    even = compare(old, old, data).even_threshold
    benign = logits[labels == 0]
    assert (benign > even).sum() == (benign > old.threshold).sum()


def test_months_have_figures_of_their_own_and_add_up(data):
    found = compare(folder_of(), stricter(0.7), data, time="seen")
    assert [part.name for part in found.times] == [
        f"2024-0{month} {side}" for month in (1, 2, 3) for side in ("bad", "benign")
    ]
    assert sum(part.rows for part in found.times) == ROWS
    assert sum(part.lost for part in found.times) == found.parts[0].lost


def test_without_labels_lost_alarms_are_counted(tmp_path):
    path = write(names_table(ROWS, seed=5).drop_columns(["class"]), tmp_path / "rows.csv")
    found = compare(folder_of(), stricter(0.7), path)
    assert found.negative_flips is None
    assert found.lost == found.parts[0].lost > 0
    assert "which lost alarms are misses is not known" in str(found)


def test_models_of_different_features_are_compared_and_unreadable_rows_are_alarms(tmp_path):
    path = write(names_table(50, seed=5), tmp_path / "rows.jsonl")
    path.write_text(path.read_text() + "torn\n")
    found = compare(folder_of(), folder_of("names only"), path)
    assert not found.same_features
    assert (found.failed, found.parts[0].rows) == (1, 51)
    assert json.loads(found.to_json())["failed"] == 1


def test_what_is_not_there_is_one_sentence(tmp_path, data):
    for option in ("label", "time", "id_column"):
        with pytest.raises(NoMatch, match="'sen' matches no column"):
            compare(folder_of(), folder_of(), data, **{option: "sen"})
    with pytest.raises(BadInput, match="compare: standard input came"):
        compare(folder_of(), folder_of(), "-")
    (tmp_path / "none.csv").write_text("names,size,age\n")
    with pytest.raises(BadInput, match="it has no rows"):
        compare(folder_of(), folder_of(), tmp_path / "none.csv")


def test_too_many_flips_end_with_1(tmp_path, data, capsys, monkeypatch):
    old, new = folder_of().save(tmp_path / "old"), stricter(0.7).save(tmp_path / "new")

    def ran(*arguments):
        monkeypatch.setattr(sys, "argv", ["isotone", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, capsys.readouterr().out

    code, out = ran(old, new, data, "--time", "seen", "--id", "id")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "negative flips (bad, caught before, missed now): " in out
    assert ran(old, new, data, "--most-negative-flips", 0)[0] == 1
    assert ran(new, old, data, "--most-negative-flips", 0)[0] == 0
    flips = json.loads(ran(old, new, data, "--json")[1])["negative_flips"]
    assert ran(old, new, data, "--most-negative-flips", flips)[0] == 0


TIMES = [
    (["2024-05-31", "2023-01-01"], True, "dates as text"),
    (["2024-05-31T12:00:00Z", "2023-01-01T00:00:00Z"], True, "instants as text"),
    (["2024-05", "2023-01"], True, "months"),
    ([datetime(2024, 5, 31), datetime(2023, 1, 1)], True, "timestamps"),
    ([2024, 2023], False, "years"),
    (["1700000000.5", "3"], False, "numbers as text"),
]


@pytest.mark.parametrize(("cells", "dates", "why"), TIMES, ids=[why for *_, why in TIMES])
def test_times_are_read_and_ordered(cells, dates, why):
    times = times_of(pa.table({"seen": pa.array(cells)}), "seen")
    assert times.dates == dates
    assert times.values[0] > times.values[1]
    assert times.shown(times.values[1]) in ("2023-01-01", "2023", "3")


@pytest.mark.parametrize("cells", [["2024-05-31", None], ["2024-05-31", "soon"], [1.0, float("nan")]])
def test_a_missing_time_is_named_by_its_row(cells):
    with pytest.raises(BadInput, match="row"):
        times_of(pa.table({"seen": cells}), "seen")
