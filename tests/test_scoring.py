"""Streaming gives the scores of the whole table, and a row that cannot be read is an alarm."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from isotone.errors import BadInput, NoMatch
from isotone.families import NetworkScorer
from isotone.nn import MonotoneEnsemble, MonotoneNetwork
from isotone.scoring import score_file, score_records
from isotone.streaming import largest_of, score_blocks
from small import WORLDS, folder_of, names_table, write

ROWS = 5_000  # more than one block


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_streamed_scores_are_those_of_the_whole_table_to_the_bit(tmp_path, suffix):
    folder, table = folder_of(), names_table(ROWS, seed=5)
    logits = NetworkScorer(folder.network).logits(folder.encoder.encode(table))
    found = list(score_file(folder, write(table, tmp_path / f"rows{suffix}"), "id"))
    assert [one.row for one in found] == list(range(1, ROWS + 1))
    assert [one.id for one in found] == table["id"].to_pylist()
    assert np.array_equal([one.logit for one in found], logits)
    assert [one.alarm for one in found] == (logits > folder.threshold).tolist()
    assert 0 < sum(one.alarm for one in found) < ROWS
    assert np.allclose([one.score for one in found], torch.sigmoid(torch.from_numpy(logits)))


@pytest.mark.parametrize("world", WORLDS)
def test_the_order_of_the_columns_and_columns_that_are_not_needed_change_nothing(tmp_path, world):
    folder, table = folder_of(world), WORLDS[world][0](400, seed=5)
    other = table.select(table.column_names[::-1]).append_column("new", pa.array(["?"] * 400))
    one, two = (
        list(score_file(folder, write(rows, tmp_path / name))) for rows, name in ((table, "a.csv"), (other, "b.csv"))
    )
    assert one == two


def test_the_label_is_not_needed(tmp_path):
    table = names_table(50).drop_columns(["class"])
    assert len(list(score_file(folder_of(), write(table, tmp_path / "rows.csv")))) == 50


def test_names_that_were_never_seen_are_counted_and_change_no_score(tmp_path):
    table = names_table(50)
    names = [[*names, "unheard", "of"] for names in table["names"].to_pylist()]
    more = table.set_column(table.column_names.index("names"), "names", pa.array(names))
    one, two = (list(score_file(folder_of(), write(rows, tmp_path / "rows.jsonl"))) for rows in (table, more))
    assert two == [replace(row, unknown=row.unknown + 2) for row in one]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_a_score_depends_neither_on_the_order_of_the_rows_nor_on_where_blocks_end(tmp_path, world, rows):
    folder, table = folder_of(world), WORLDS[world][0](700, seed=5)
    order = np.random.default_rng(0).permutation(700)
    shuffled = write(table.take(order), tmp_path / "shuffled.parquet")
    whole = NetworkScorer(folder.network).logits(folder.encoder.encode(table))
    blocks = score_blocks(folder.encoder, folder.scorer(), shuffled, rows=rows)
    assert np.array_equal(np.concatenate([block.logits for block in blocks]), whole[order])


def test_the_largest_of_many_names_is_the_largest():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2_000, 5)).astype(np.float32)
    sizes = [0, 1, 3, 1_500, 3, 0, 700, 512, 513, 2]
    sets = [rng.choice(2_000, size, replace=False) for size in sizes]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = largest_of(np.concatenate(sets), starts, weights)
    assert np.array_equal(found, [np.maximum(weights[some].max(axis=0, initial=0), 0) for some in sets])


KEYS = ["row", "id", "score", "logit", "threshold", "fpr_target", "verdict", "certified"]
KEYS += ["reasons", "sufficient", "unknown", "model", "errors"]


def test_records_are_json_and_say_what_the_rows_say(tmp_path):
    folder, path = folder_of(), write(names_table(500, seed=5), tmp_path / "rows.jsonl")
    path.write_text(path.read_text() + "torn\n")
    rows = list(score_file(folder, path, "id"))
    records = [
        json.loads(line) for part in score_records(folder, path, "id", reasons=True) for line in part.splitlines()
    ]
    assert [list(one) for one in records] == [KEYS] * 501
    for row, one in zip(rows, records, strict=True):
        assert (one["row"], one["logit"], one["unknown"]) == (row.row, row.logit, row.unknown)
        assert one["verdict"] == ("alarm" if row.alarm else "clear")
        assert one["certified"]["add_any"] == (row.alarm and not row.error)
        assert (one["errors"] is None) == (not row.error)
        if row.alarm and not row.error:
            assert one["certified"]["margin"] == pytest.approx(row.logit - folder.threshold, abs=1e-4)
            assert set(one["sufficient"]) <= set(folder.encoder.features)
        else:
            assert one["certified"]["margin"] is one["reasons"] is None
    assert {one["fpr_target"] for one in records} == {0.02}
    assert {one["model"] for one in records} == {f"sha256:{folder.parts()['sha256']}"}


def test_what_suffices_is_an_alarm_by_itself(tmp_path):
    folder, table = folder_of("names only"), names_table(300, seed=5)
    path = write(table, tmp_path / "rows.jsonl")
    records = [json.loads(line) for part in score_records(folder, path, reasons=True) for line in part.splitlines()]
    alone = [one["sufficient"] for one in records if one["verdict"] == "alarm"]
    assert len(alone) > 20
    few = folder.encoder.encode(pa.table({"names": pa.array(alone, pa.list_(pa.string()))}))
    assert (NetworkScorer(folder.network).logits(few) > folder.threshold).all()


def test_a_network_without_a_proof_certifies_no_alarm(tmp_path):
    folder = replace(folder_of(), network=folder_of().twin)
    path = write(names_table(300, seed=5), tmp_path / "rows.jsonl")
    records = [json.loads(line) for part in score_records(folder, path) for line in part.splitlines()]
    assert any(one["verdict"] == "alarm" for one in records)
    assert not any(one["certified"]["add_any"] for one in records)
    assert folder.changes() == ("the network is another",)


BAD_LINES = [
    # the line                                                     what is said of it          why
    ("not JSON",                                                   "is not JSON",              "a torn line"),
    ('{"id": "x", "names": ["evil0"], "size": 1}',                 "'age' has no number",      "a key is missing"),
    ('{"id": "x", "names": ["evil0"], "size": NaN, "age": 1}',     "'size' has no number",     "NaN"),
    ('{"id": "x", "names": ["evil0"], "size": 1e999, "age": 1}',   "'size' holds",             "infinite"),
    ('{"id": "x", "names": ["evil0"], "size": 1e39, "age": 1}',    "'size' holds",             "more than a float32"),
    ('{"id": "x", "names": null, "size": 1, "age": 1}',            "'names' has no list",      "no names"),
    ('{"id": "x", "names": 7, "size": 1, "age": 1}',               "'names' has no list",      "names that are none"),
    ('{"id": "x", "names": [], "size": "big", "age": 1}',          "'size' holds 'big'",       "a word for a number"),
    ("[]",                                                         "not a JSON object",        "a list"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said", "why"), BAD_LINES, ids=[why for *_, why in BAD_LINES])
def test_a_row_that_cannot_be_read_is_an_alarm_with_its_reason_and_no_other_row_is(tmp_path, line, said, why):
    good = names_table(20)
    path = write(good, tmp_path / "rows.jsonl")
    expected = list(score_file(folder_of(), path))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:7], line, *lines[7:]]) + "\n")
    found = list(score_file(folder_of(), path))
    bad = found.pop(7)
    assert (bad.row, bad.alarm, bad.score, bad.logit) == (8, True, None, None)
    assert said in bad.error
    assert found == [replace(one, row=one.row + (one.row > 7)) for one in expected]


def test_a_csv_row_of_another_width_is_an_alarm(tmp_path):
    path = write(names_table(5), tmp_path / "rows.csv")
    path.write_text(path.read_text() + "short,row\n")
    found = list(score_file(folder_of(), path))
    assert [one.alarm for one in found if one.error] == [True]
    assert found[-1].row == 6


IDS = ["18446744073709551615", "9007199254740993", "0.5", '"0.5"', "-3", "true", "null", "1" + 40 * "0"]


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_row_is_named_as_the_file_names_it_whatever_stands_beside_it(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"names": ["evil1"], "id": {name}}}\n' for name in IDS for _ in range(rows)))
    found = [record for part in score_records(folder_of("names only"), path, "id") for record in part.splitlines()]
    assert [record.split('"id":')[1].split(',"score"')[0] for record in found] == [n for n in IDS for _ in range(rows)]


def test_a_feature_may_name_the_rows(tmp_path):
    path = write(names_table(20, seed=5), tmp_path / "rows.jsonl")
    by_size, by_id = (list(score_file(folder_of(), path, name)) for name in ("size", "id"))
    assert [one.logit for one in by_size] == [one.logit for one in by_id]
    assert [float(one.id) for one in by_size] == names_table(20, seed=5)["size"].to_pylist()


def test_a_logit_of_nan_is_an_alarm(tmp_path):
    broken = MonotoneEnsemble([MonotoneNetwork(**one) for one in folder_of().network.arguments]).eval()
    with torch.no_grad():
        broken.networks[0].bias.fill_(float("nan"))
    folder = replace(folder_of(), network=broken)
    assert all(one.alarm for one in score_file(folder, write(names_table(5), tmp_path / "rows.csv")))


def test_what_concerns_the_whole_file_is_one_sentence(tmp_path):
    path = write(names_table(5).drop_columns(["size"]), tmp_path / "rows.csv")
    with pytest.raises(BadInput, match=r"column 'size' did not come; the model was trained with it"):
        list(score_file(folder_of(), path))
    with pytest.raises(BadInput, match="there is no such file"):
        list(score_file(folder_of(), tmp_path / "nowhere.csv"))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_id_column_that_is_not_there_is_not_said_to_be_the_models(tmp_path, suffix):
    path = write(names_table(5), tmp_path / f"rows{suffix}")
    with pytest.raises(NoMatch, match=r"^--id: 'ids' matches no column. Did you mean 'id'\?"):
        list(score_file(folder_of(), path, "ids"))


MEASURED = """
import resource, sys
from isotone.cli import main
sys.argv = ["isotone", "score", sys.argv[1], sys.argv[2]]
try:
    main()
finally:
    sys.stderr.write(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n")
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    folder = folder_of().save(tmp_path / "model")
    lines = [json.dumps(row) + "\n" for row in names_table(2_000).to_pylist()]
    peaks = []
    for times in (10, 100):
        with (tmp_path / "rows.jsonl").open("w") as file:
            for _ in range(times):
                file.writelines(lines)
        command = [sys.executable, "-c", MEASURED, str(folder), str(tmp_path / "rows.jsonl")]
        ran = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=300, check=False
        )
        assert f"{2_000 * times} rows" in ran.stderr
        peaks.append(int(ran.stderr.rsplit("peak ", 1)[1]) / 1024)  # MiB
    assert peaks[1] - peaks[0] < 40, peaks
