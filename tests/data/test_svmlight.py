"""SVMlight: the table holds what the file says, block by block too; a broken line is a fault of its row alone."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import dump_svmlight_file

from isotone.data import Encoder, read_blocks, read_table
from isotone.errors import BadInput, IsotoneError

BINARY = "+1 1:1 3:1 # a note\n-1 2:1\n\n# only a note\n+1 3:1\n"
COUNTS = "1 1:2 3:0.5\n0 2:1\n"


def written(place, text, name="rows.svm"):
    path = place / name
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["rows.svm", "rows.svmlight", "rows.libsvm", "rows.svm.gz"])
def test_zeros_and_ones_are_lists_of_names_and_minus_one_is_benign(tmp_path, name):
    table = read_table(written(tmp_path, BINARY, name))
    assert table.to_pydict() == {"label": [1, 0, 1], "names": [["f1", "f3"], ["f2"], ["f3"]]}


def test_other_values_are_columns(tmp_path):
    table = read_table(written(tmp_path, COUNTS))
    assert table.to_pydict() == {"label": [1, 0], "f1": [2, 0], "f2": [0, 1], "f3": [0.5, 0]}


@pytest.mark.parametrize(
    ("said", "why"), [("open\nread\nsocket\n", "a name a line"), ("3\tsocket\n1\topen\n2\tread\n", "index, tab, name")]
)
def test_names_come_from_the_file_beside_the_data(tmp_path, said, why):
    (tmp_path / "rows.names").write_text(said)
    assert read_table(written(tmp_path, COUNTS)).column_names == ["label", "open", "read", "socket"]
    assert read_table(written(tmp_path, BINARY, "rows.svm.gz"))["names"].to_pylist()[0] == ["open", "socket"]


def test_minus_one_beside_other_labels_stays(tmp_path):
    table = read_table(written(tmp_path, "-1 1:1\n0 1:1\n1 1:1\n"))
    assert table["label"].to_pylist() == [-1, 0, 1]


BROKEN = [
    ("1 1:x\n", "no number"),
    ("word 1:1\n", "no label"),
    ("1 3:1 2:1\n", "indices that fall"),
    ("1 2:1 2:1\n", "an index twice"),
    ("1 -2:1\n", "a negative index"),
    ("1 99999999999999999999999:1\n", "an index beyond 64 bits"),
    ("1 1:1\r1 2:1\n", "a carriage return within the line"),
    ("1 1\n", "no colon"),
    ("1 1:nan 2:1\n", "a value that is no number: read as absent, it would hide what is there"),
]


@pytest.mark.parametrize(("line", "why"), BROKEN, ids=[why for _, why in BROKEN])
def test_a_broken_line_is_its_own_fault_in_blocks_and_stops_training(tmp_path, line, why):
    path = written(tmp_path, f"1 1:1\n{line}0 2:1\n")
    found = list(read_blocks(path, rows=2, columns=["names", "f2"]))
    rows = [row for block in found for row in block.table.to_pylist()]
    assert rows[0] == {"names": ["f1"], "f2": 0}
    assert rows[-1] == {"names": ["f2"], "f2": 1}
    assert [block.first + at for block in found for at in block.failures] == [1]
    assert rows[1] == {"names": None, "f2": None}
    with pytest.raises(BadInput, match="row 2"):
        read_table(path)


def test_a_column_that_is_no_feature_is_one_sentence(tmp_path):
    path = written(tmp_path, COUNTS)
    with pytest.raises(IsotoneError, match="'size' matches no column"):
        list(read_blocks(path, columns=["size"]))
    with pytest.raises(IsotoneError, match="'f07' matches no column"):
        list(read_blocks(path, columns=["f07"]))


@pytest.mark.parametrize("said", ["a\na\n", "a\n\n", "label\n", "1\ta\n1\tb\n"])
def test_a_names_file_that_is_none_is_one_sentence(tmp_path, said):
    (tmp_path / "rows.names").write_text(said)
    with pytest.raises(BadInput, match="names"):
        read_table(written(tmp_path, COUNTS))


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0]), min_size=4, max_size=4), min_size=1, max_size=9),
    st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_blocks_hold_what_scikit_learn_wrote(tmp_path_factory, rows, size):
    path = tmp_path_factory.mktemp("svm") / "rows.svm"
    x = np.array(rows)
    dump_svmlight_file(x, np.zeros(len(x)), str(path), zero_based=False)
    blocks = list(read_blocks(path, rows=size, columns=["f1", "f2", "f3", "f4", "names"]))
    assert np.array_equal(np.concatenate([np.stack([b.table[f"f{i}"] for i in (1, 2, 3, 4)], 1) for b in blocks]), x)
    names = [found for block in blocks for found in block.table["names"].to_pylist()]
    assert names == [[f"f{i + 1}" for i in range(4) if row[i] > 0] for row in rows]


def test_a_table_of_svmlight_is_encoded_like_any_other(tmp_path):
    path = written(tmp_path, "1 1:1 2:7\n0 2:3\n" * 3)
    encoder = Encoder.fit(read_table(path), label="label")
    assert encoder.vocabulary == ("f1",)
    assert encoder.columns == ("f2",)
    (block,) = read_blocks(path, columns=encoder.needs)
    assert encoder.encode(block.table).columns.ravel().tolist() == [7, 3] * 3
