"""Reading files: every format gives the same rows, every fault one sentence, and no row stops or changes another."""

import csv
import gzip
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.data import _delimited, _jsonl, _streams, read_blocks, read_table
from isotone.data._arrow_json import plain_table
from isotone.errors import BadInput, MissingExtra

ROWS = [
    {"size": 3, "word": "a b", "bad": 1},
    {"size": 40, "word": 'c, "d"\ne', "bad": 0},
    {"size": 5, "word": "", "bad": 1},
]


def write(path, rows=ROWS):
    """The rows in the format of the suffix."""
    opener = gzip.open if path.suffix == ".gz" else open
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ".jsonl" in path.name:
        with opener(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    else:
        with opener(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), delimiter="\t" if ".tsv" in path.name else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def joined(path, **options):
    """All rows of all blocks, in the order of the file."""
    blocks = list(read_blocks(path, **options))
    assert [block.first for block in blocks] == [sum(map(len, blocks[:i])) for i in range(len(blocks))]
    return [row for block in blocks for row in block.table.to_pylist()]


SUFFIXES = ["csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet", "CSV"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_table(tmp_path, suffix):
    assert read_table(write(tmp_path / f"rows.{suffix}")).to_pylist() == ROWS


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_blocks_give_the_rows_of_the_file_in_order(tmp_path, suffix, rows):
    as_text = "sv" in suffix.lower()
    wanted = [{key: str(cell) for key, cell in row.items()} for row in ROWS] if as_text else ROWS
    assert joined(write(tmp_path / f"rows.{suffix}"), rows=rows) == wanted
    assert max(map(len, read_blocks(tmp_path / f"rows.{suffix}", rows=rows))) <= rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_the_columns_asked_for_are_kept(tmp_path, suffix):
    (block,) = read_blocks(write(tmp_path / f"rows.{suffix}"), columns=["bad", "size"])
    assert set(block.table.column_names) == {"bad", "size"}


def test_a_parquet_column_with_a_dot_is_not_taken_for_part_of_another(tmp_path):
    path = write(tmp_path / "rows.parquet", [{"a": {"b": 1}, "a.b": 2}])
    (block,) = read_blocks(path, columns=["a.b"])
    assert block.table.to_pylist() == [{"a.b": 2}]


def test_a_folder_named_like_a_column_adds_no_column(tmp_path):
    (tmp_path / "label=1").mkdir()
    assert read_table(write(tmp_path / "label=1" / "rows.parquet")).column_names == ["size", "word", "bad"]


TYPES = [
    # cells                      values                  why
    (["1", "2"], [1, 2], "whole numbers"),
    (["1", "-2.5e1", "+3"], [1.0, -25.0, 3.0], "numbers"),
    (["1", " 2 "], [1, 2], "spaces around a number do not matter"),
    (["1", "", "NA", "null"], [1, None, None, None], "what stands for no value is null in a column of numbers"),
    (["ok", "", "NA"], ["ok", "", "NA"], "in text, NA is text"),
    (["true", "False"], [True, False], "booleans"),
    (["0x10", "0x11"], ["0x10", "0x11"], "hexadecimal is text, as it is while streaming"),
    (["1", "two"], ["1", "two"], "one word makes it text, for the encoder to report"),
    (["007", "1"], [7, 1], "leading zeros are read as a number"),
    (["", ""], ["", ""], "nothing is known of an empty column"),
    (["1.0", "9007199254740993"], [1.0, 9007199254740992.0], "floats round"),
]


@pytest.mark.parametrize(("cells", "values", "why"), TYPES, ids=[why for *_, why in TYPES])
def test_csv_type(tmp_path, cells, values, why):
    path = write(tmp_path / "t.csv", [{"id": i, "x": cell} for i, cell in enumerate(cells)])
    assert read_table(path)["x"].to_pylist() == values


JSON_CELLS = [
    # JSON                        read as          why
    ('["b", "a"]', ["b", "a"], "a list of names stays as it is"),
    ('{"a": 2, "b": 0, "c": -1, "d": 0.5}', ["a", "d"], "of counts, those above 0 are present"),
    ('{"a": true, "b": false}', ["a"], "booleans are counts"),
    ("[]", [], "no names are a list too"),
    ('["a", 1]', None, "a list with a number in it is no list of names"),
    ('{"a": {"b": 1}}', None, "an object of objects holds no counts"),
    ('{"a": NaN}', None, "NaN is no count"),
    ("null", None, "null is no value"),
    ("12", 12, "a whole number"),
    ("1e999", float("inf"), "infinite stays infinite: the encoder refuses it"),
    ("9" * 400, float("inf"), "an integer beyond any float is as infinite"),
    ("9223372036854775808", 2.0**63, "an integer beyond int64 becomes a float"),
    ("true", True, "a boolean"),
]


@pytest.mark.parametrize(("text", "value", "why"), JSON_CELLS, ids=[why for *_, why in JSON_CELLS])
def test_json_cell(tmp_path, text, value, why):
    (tmp_path / "x.jsonl").write_text(f'{{"id": 1, "x": {text}}}\n')
    assert read_table(tmp_path / "x.jsonl")["x"].to_pylist() == [value]


def test_json_numbers_of_several_kinds_share_a_column(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"x": 1}\n{"x": 2.5}\n{"x": true}\n{}\n')
    assert read_table(tmp_path / "x.jsonl")["x"].to_pylist() == [1.0, 2.5, 1.0, None]
    (tmp_path / "y.jsonl").write_text('{"x": 5}\n{"x": true}\n')
    assert read_table(tmp_path / "y.jsonl")["x"].to_pylist() == [5, 1]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfx,y\n1,2\n")
    assert read_table(tmp_path / "x.csv").column_names == ["x", "y"]


BROKEN = [
    # file         bytes                            said                                          why
    ("no.csv", None, "there is no such file", "no file"),
    ("x.xlsx", b"x", "its suffix '.xlsx' is not known", "unknown suffix"),
    ("none", b"x", "its suffix '' is not known", "no suffix"),
    ("x.csv", b"", "it is empty", "empty file"),
    ("x.parquet", b"", "it is empty", "empty Parquet"),
    ("x.csv", b"\n\n", "nothing but blank lines", "blank lines"),
    ("x.csv.gz", gzip.compress(b""), "nothing but blank lines", "empty inside the gz"),
    ("x.csv", b"a,b\n", "it has no rows", "header only"),
    ("x.jsonl", b"\n \n", "it has no rows", "blank JSON lines"),
    ("x.parquet", b"not a parquet file", "it cannot be read (Parquet magic", "not Parquet"),
    ("x.csv.gz", b"a,b\n1,2\n", "it cannot be read (Not a gzipped file", "not gz"),
    ("x.csv.gz", gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 999)[:-9], "it is damaged", "cut gz"),
    ("x.csv", b"a,b\n1,2\n1,2,3\n", "row 2: it has 3 cells and the header has 2 (line 3)", "long row"),
    ("x.csv", b"a,b\n1\n", "row 1: it has 1 cells and the header has 2 (line 2)", "short row"),
    ("x.csv", b'a,b\n1,2\n"1,2\n3,4\n', "row 2: a quote in line 3 is never closed", "open quote"),
    ("x.csv", b'a,b\n"1"x,2\n', "row 1: a quote in line 2 is closed before the cell ends", "text after a quote"),
    ("x.csv", b'"a,b\n1,2\n', "its header cannot be read", "open quote in the header"),
    ("x.csv", b"a,b\n1,caf\xe9\n", "row 1: it is not UTF-8 text", "Latin-1 cell"),
    ("x.csv", b"a,caf\xe9\n1,2\n", "its column names are not UTF-8", "Latin-1 header"),
    ("x.csv", b"a,b,a\n1,2,3\n", "the column name 'a' stands twice", "a name twice"),
    ("x.csv", b",b\n1,2\n", "its column 1 has no name", "the index that pandas writes"),
    ("x.jsonl", b'{"a": 1}\n{"a": \n', "row 2: line 2 is not JSON (Expecting value at character", "broken JSON"),
    ("x.jsonl", b"\n[1]\n", "row 1: line 2 is not a JSON object", "no object"),
    ("x.jsonl", b'{"a": 1, "a": 2}\n', "row 1: line 1 has the key 'a' twice", "a key twice"),
    ("x.jsonl", b'{"x": {"a": 1, "a": 0}}\n', "row 1: line 1 has the key 'a' twice", "a key twice, deeper"),
    ("x.jsonl", b'{"a": "\\ud800"}\n', "row 1: it is not UTF-8 text", "half a surrogate pair"),
    ("x.jsonl", b'{"a": ["\\ud800"]}\n', "row 1: it is not UTF-8 text", "half a surrogate pair in a list"),
    ("x.jsonl", b'{"a": ' + b"[" * 100_000 + b"\n", "row 1: line 1 is not JSON", "too deep"),
    ("x.jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", "row 1: line 1 is not JSON (Exceeds the limit", "too many digits"),
    ("x.jsonl", b'{"a": 1}\n{"a": "x"}\n', "column 'a' holds a number before row 2, and text there", "two kinds"),
    ("x.jsonl", b'{"": 1}\n', "its column 1 has no name", "an empty key"),
]


@pytest.mark.parametrize(("name", "content", "said", "why"), BROKEN, ids=[why for *_, why in BROKEN])
def test_what_cannot_be_trained_on_is_one_sentence(tmp_path, name, content, said, why):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_table(tmp_path / name)
    assert said in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(BadInput, match="it is a folder"):
        read_table(tmp_path / "x.csv")


def test_a_missing_file_is_told_with_those_beside_it(tmp_path):
    write(tmp_path / "apps.csv")
    with pytest.raises(BadInput, match=r"no such file.*Files: apps\.csv"):
        read_blocks(tmp_path / "app.csv")  # before any block is asked for


def test_a_parquet_file_with_a_name_twice_is_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(BadInput, match="'a' stands twice"):
        read_table(tmp_path / "x.parquet")


def test_a_block_needs_a_row(tmp_path):
    with pytest.raises(BadInput, match="rows: 0 came"):
        read_blocks(write(tmp_path / "x.csv"), rows=0)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_file_without_a_needed_column_says_which_and_what_came(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}")
    with pytest.raises(BadInput, match=r"columns 'age', 'imports' did not come.*What came: Columns: bad, size, word"):
        list(read_blocks(path, columns=["imports", "size", "age"]))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_header_without_rows_streams_as_nothing(tmp_path, suffix):
    if suffix == "csv":
        (tmp_path / "x.csv").write_text("a,b\n")
    else:
        pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "x.parquet")
    assert list(read_blocks(tmp_path / f"x.{suffix}")) == []


# ---- streaming: one bad row is its own failure ----

STUMBLES = [
    # file       bytes                                          rows with an x             failures             why
    ("x.csv", b"x,y\n1,2\n3\n5,6\n", ["1", None, "5"], {1: "cells"}, "a short row"),
    ("x.csv", b"x,y\n1,2\n3,4,5\n5,6\n", ["1", None, "5"], {1: "cells"}, "a long row"),
    ("x.csv", b"x,y\n1,2\n\n5,6\n", ["1", "5"], {}, "a blank line is no row"),
    ("x.csv", b"x\n1\n\n5\n", ["1", "", "5"], {}, "but for one column, where an empty cell looks like it"),
    ("x.csv", b'x,y\n1,2\n"3"3,4\n5,6\n', ["1", None, "5"], {1: "closed before"}, "text after a quote"),
    ("x.csv", b"x,y\n1,2\n\xff,4\n5,6\n", ["1", None, "5"], {1: "UTF-8"}, "bytes that are not UTF-8"),
    ("x.csv", b'x,y\n1,2\n3,"4\n5,6\n', ["1", None], {1: "never closed"}, "an open quote swallows the rest, loudly"),
    ("x.csv", b"x,y\n1\x00,2\n5,6", ["1\x00", "5"], {}, "a NUL is a character; the last line may lack its end"),
    ("x.jsonl", b'{"x": "1"}\n{"x"\n{"x": "5"}\n', ["1", None, "5"], {1: "not JSON"}, "a broken line"),
    ("x.jsonl", b'{"x": "1"}\n"x"\n{"x": "5"}\n', ["1", None, "5"], {1: "object"}, "a line that is no object"),
    ("x.jsonl", b'{"x": "1"}\n{"x": "\xff"}\n{"x": "5"}\n', ["1", None, "5"], {1: "UTF-8"}, "JSON not in UTF-8"),
    ("x.jsonl", b'{"x": "1"}\n{}\n\n{"x": "5"}\n', ["1", None, "5"], {}, "a missing key is null"),
    ("x.jsonl", b'oops\n{"x": "1"}\n', [None, "1"], {0: "not JSON"}, "broken in the first line"),
    ("x.jsonl", b'{"x": "1"}\n{"x": 3}\n{"x": "5"}\n', ["1", 3, "5"], {}, "another kind of value"),
]


@pytest.mark.parametrize("rows", [1, 2, 4096])
@pytest.mark.parametrize("case", STUMBLES, ids=[why for *_, why in STUMBLES])
def test_a_bad_row_does_not_stop_the_file(tmp_path, case, rows):
    name, content, values, failed, _ = case
    (tmp_path / name).write_bytes(content)
    blocks = list(read_blocks(tmp_path / name, rows=rows, columns=["x"]))
    assert [row["x"] for block in blocks for row in block.table.to_pylist()] == values
    failures = {block.first + place: reason for block in blocks for place, reason in block.failures.items()}
    assert failures.keys() == failed.keys()
    assert all(part in failures[row] for row, part in failed.items())


def test_lines_of_failures_alone_are_rows_too(tmp_path):
    (tmp_path / "x.jsonl").write_text("oops\n" * 3)
    (block,) = read_blocks(tmp_path / "x.jsonl")
    assert len(block) == len(block.failures) == 3


def test_strange_keys_of_one_row_do_not_stop_the_file(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"x": 1, "": 2, "\\ud800": 3}\n{"x": 4}\n')
    assert joined(tmp_path / "x.jsonl", columns=["x"]) == [{"x": 1}, {"x": 4}]


def test_a_json_row_of_another_kind_leaves_its_neighbours_alone(tmp_path):
    rows = ['{"n": ["a"]}', '{"n": "a b"}', '{"n": ["c"]}', '{"n": 7}', '{"n": null}']
    (tmp_path / "x.jsonl").write_text("\n".join(rows))
    blocks = list(read_blocks(tmp_path / "x.jsonl"))
    assert [(b.first, b.table["n"].to_pylist()) for b in blocks] == [
        (0, [["a"]]),
        (1, ["a b"]),
        (2, [["c"]]),
        (3, [7]),
        (4, [None]),  # a last line without an end comes by itself
    ]


ODD_CELLS = [
    "1", "2.5", "-0", "1e999", "NaN", "Infinity", "Inf", "-Inf", "9007199254740993", "9223372036854775808",
    "1e5", "01", "true", "null", '"a"', '"\\u0041"', '"\\ud800"', '"\\ud83d\\ude00"', '"\x01"', '"\udcff"',
    '"\\u0000"', '["a"]', "[]", '["a","b","a"]', '["a",null]', '["a",1]', "[[[]]]", '{"a":1}', '{"a":0}',
    "{}", "", "x", '"b"} {"id":"c"', '"a"\r',
]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(["id", "n", "names", "other", "\\u0069d"]), st.sampled_from(ODD_CELLS)), max_size=5
    ),
    st.sampled_from(["{%s}", "{%s", "%s}", " {%s} ", "{%s}{%s}", "\ufeff{%s}", "[{%s}]", "{%s},"]),
    st.integers(0, 30),
)
@settings(max_examples=120, deadline=None)
def test_the_fast_way_through_json_lines_says_the_same_as_the_careful_one(tmp_path_factory, pairs, form, at):
    folder = tmp_path_factory.mktemp("odd")
    odd = form.replace("%s", ", ".join(f'"{key}": {cell}' for key, cell in pairs))
    plain = [f'{{"id": "r{i}", "n": {i}.5, "names": ["a", "b{i}"], "other": {i}}}' for i in range(30)]
    text = "\n".join([*plain, *plain[:at], odd, *plain[at:]]) + "\n"
    (folder / "x.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    found = []
    for piece in (700, 1 << 30):  # the first lets the fast way try all but the first lines, the second leaves it out
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(_jsonl, "PIECE", piece)
            blocks = list(read_blocks(folder / "x.jsonl", columns=["id", "n", "names"]))
        rows = [row for block in blocks for row in block.table.to_pylist()]
        failures = {block.first + place: why for block in blocks for place, why in block.failures.items()}
        found.append((rows, failures, len(blocks)))
    assert repr(found[0][:2]) == repr(found[1][:2])
    assert found[0][2] > 1


def test_plain_lines_go_the_fast_way_and_others_do_not():
    types = {"id": pa.string(), "n": pa.float64()}
    assert plain_table(b'{"id": "a", "n": 1}\n{"n": 2}\n', types).to_pylist() == [
        {"id": "a", "n": 1.0},
        {"id": None, "n": 2.0},
    ]
    # A line with two rows beside one with none: as many rows as lines, and not the same rows.
    assert plain_table(b'{"id": "a"}{"id": "b"}\n\n', types) is None
    assert plain_table(b'{"id":\n"a"}\n{"id": "b"}{"id": "c"}\n', types) is None
    assert plain_table(b'{"id": "a", "id": "b"}\n', types) is None
    assert plain_table(b'{"id": "a", "who": "b"}\n', types) is None
    assert plain_table(b'{"n": Inf}\n', types) is None
    assert plain_table(b'{"id": "\xff"}\n', types) is None


def test_a_long_line_is_a_failure_and_the_next_line_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_streams, "LONGEST_LINE", 40)
    (tmp_path / "x.jsonl").write_text('{"x": 1}\n{"x": "' + "a" * 200 + '"}\n' + " " * 99 + '\n{"x": 4}\n')
    (block,) = read_blocks(tmp_path / "x.jsonl")
    assert block.table["x"].to_pylist() == [1, None, None, 4]
    assert block.failures == {1: "line 2 is too long to be read", 2: "line 3 is too long to be read"}
    (tmp_path / "x.csv").write_text("x,y\n1,2\n3," + "a" * 200 + "\n5,6\n")
    (block,) = read_blocks(tmp_path / "x.csv")
    assert block.table["x"].to_pylist() == ["1", None, "5"]
    assert block.failures == {1: "line 3 is too long to be read"}


def test_a_quote_that_is_never_closed_swallows_only_so_much(tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "LONGEST_CELL", 50)
    (tmp_path / "x.csv").write_text('x,y\n1,2\n"3,4\n' + "5,6\n" * 30)
    (block,) = read_blocks(tmp_path / "x.csv")
    assert list(block.failures) == [1]
    assert "never closed" in block.failures[1]
    assert block.table["x"].to_pylist()[-1] == "5"


def test_long_cells_are_read_and_the_csv_module_keeps_its_limit(tmp_path):
    before = csv.field_size_limit()
    rows = [{"x": "a" * 200_000, "y": 1}]
    assert joined(write(tmp_path / "x.csv", rows)) == [{"x": "a" * 200_000, "y": "1"}]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_large_rows_make_short_blocks(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(_delimited, "BLOCK_SIZE", 100)
    monkeypatch.setattr("isotone.data._jsonl.BLOCK_SIZE", 100)
    path = write(tmp_path / f"x.{suffix}", [{"x": "a" * 60, "y": i} for i in range(9)])
    blocks = list(read_blocks(path))
    assert all(len(block) <= 2 for block in blocks)
    assert sum(map(len, blocks)) == 9


def test_many_blank_lines_do_not_end_a_file_early(tmp_path, monkeypatch):
    monkeypatch.setattr(_delimited, "BLOCK_SIZE", 5)
    (tmp_path / "x.csv").write_text("x,y\n1,2\n" + "\n" * 50 + "3,4\n")
    assert [row["x"] for row in joined(tmp_path / "x.csv")] == ["1", "3"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CELL = st.one_of(st.none(), st.integers(-(2**70), 2**70), st.booleans(), TEXT, st.lists(TEXT, max_size=3))


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.fixed_dictionaries({"x": CELL, "y": CELL}), min_size=1, max_size=8), size=st.integers(1, 9))
def test_a_row_of_json_reads_the_same_alone_and_among_others(tmp_path_factory, rows, size):
    folder = tmp_path_factory.mktemp("json")
    together = joined(write(folder / "all.jsonl", rows), rows=size, columns=["x", "y"])
    alone = [joined(write(folder / "one.jsonl", [row]), columns=["x", "y"])[0] for row in rows]
    assert together == alone


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.fixed_dictionaries({"x": TEXT, "y": TEXT}), min_size=1, max_size=8), size=st.integers(1, 9))
def test_csv_gives_back_every_text(tmp_path_factory, rows, size):
    path = write(tmp_path_factory.mktemp("csv") / "x.csv", rows)
    assert joined(path, rows=size) == rows


def test_importing_the_room_stays_cheap():
    code = "import sys, isotone.data; print([m for m in ('pyarrow', 'scipy', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "x.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'isotone\[tables\]'"):
        read_table(path)
    with pytest.raises(MissingExtra, match="pyarrow is not installed"):
        read_blocks(path)


STREAM = """
import resource, sys
from isotone.data import read_blocks
rows = 0
for block in read_blocks(sys.argv[1]):
    rows += len(block)
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv.gz", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, suffix):
    peaks = []
    for rows in (8_192, 262_144):
        path = tmp_path / f"x{rows}.{suffix}"
        if suffix == "parquet":
            with pq.ParquetWriter(path, pa.schema({"text": pa.string(), "n": pa.int64()})) as writer:
                for first in range(0, rows, 8192):
                    chunk = [{"text": f"word{i} " * 50, "n": i} for i in range(first, first + 8192)]
                    writer.write_table(pa.Table.from_pylist(chunk))
        else:
            opener = gzip.open if suffix.endswith("gz") else open
            with opener(path, "wt") as file:
                file.write("text,n\n" if "csv" in suffix else "")
                for i in range(rows):
                    text = f"word{i} " * 50
                    file.write(f"{text},{i}\n" if "csv" in suffix else json.dumps({"text": text, "n": i}) + "\n")
        done = subprocess.run([sys.executable, "-c", STREAM, path], capture_output=True, text=True, check=True)
        seen, peak = map(int, done.stdout.split())
        assert seen == rows
        peaks.append(peak / 1024)
    # 32 times the rows, over 100 MB of text: no more than the noise of an allocator on top.
    assert peaks[1] - peaks[0] < 40, peaks
