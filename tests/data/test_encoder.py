"""Encoding: what plain Python would do, additions only add, and a bad cell fails its row alone."""

import copy
import json
import pickle
import re
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.data import Encoder, Examples, read_blocks, read_table
from isotone.errors import BadInput, MissingExtra, NoMatch

MAILS = pa.table({
    "text": ["Free money, FREE!", "see you at 10", "free $$$ now", "you see"],
    "size": [17, 13, 12, 7],
    "class": ["spam", "ham", "spam", "ham"],
})  # fmt: skip
APPS = pa.table({
    "sms": [1, 0, 1, 1],
    "net": [True, True, False, False],
    "never": [0, 0, 0, 0],
    "size": [10.5, 20.0, 1e6, -3.0],
    "class": [1, 0, 1, 0],
})  # fmt: skip


MIXED = pa.table({"x": ["1", "n/k", "2"], "y": [0, 1, 0]})
HOLES = pa.table({"t": ["a", None], "y": [0, 1]})
CLASH = pa.table({"t": ["size", "size"], "size": [3, 4], "y": [0, 1]})


def row_of(encoder, examples, row):
    """The names that a row has."""
    return [encoder.vocabulary[i] for i in examples.names[row].indices]


# ---- the vocabulary ----


def test_words_are_lower_case_and_in_at_least_two_rows():
    encoder = Encoder.fit(MAILS, label="class", text="text")
    assert encoder.features == encoder.vocabulary == ("free", "see", "you")


WORDS = [
    # text                      words                        why
    ("Pay $100 NOW!!", {"pay", "$100", "now!!"}, "signs of money and shouting belong to words"),
    ("a b cc", {"cc"}, "one character is no word"),
    ("it's re-done", {"it", "re", "done"}, "all else separates"),
    ("na\u00efve caf\u00e9s \u043f\u0440\u0438 \u4f60\u597dok", {"na", "ve", "caf", "ok"}, "other letters separate"),
    ("1\u212a2 KK", {"kk"}, "the kelvin sign is no k"),
    ("", set(), "no text, no words"),
    ("win win WIN", {"win"}, "presence, not counts"),
]


@pytest.mark.parametrize(("text", "words", "why"), WORDS, ids=[why for *_, why in WORDS])
def test_words(text, words, why):
    table = pa.table({"text": [text, "seed"], "y": [0, 1]})
    encoder = Encoder.fit(table, label="y", text="text", min_rows=1)
    assert set(row_of(encoder, encoder.encode(table), 0)) == words


LISTS = [
    # column                                       names of the first row    why
    (pa.array([["b", "a", "b"], []]), {"a", "b"}, "a list"),
    (pa.array([["a b;c"], ["x"]]), {"a b;c"}, "a name in a list is whole"),
    (pa.array(["a b;c ;; d", "x"]), {"a", "b", "c", "d"}, "a cell of a CSV is cut at spaces and semicolons"),
    (pa.array(["Open", "open"]), {"Open"}, "names keep their case"),
    (pa.array([["a"], ["b"]], pa.large_list(pa.large_string())), {"a"}, "large types, as polars writes them"),
    (pa.array([["a"], ["b"]], pa.list_(pa.string_view())), {"a"}, "string views"),
    (pa.array(["a b", "b"]).dictionary_encode(), {"a", "b"}, "categories, as pandas writes them"),
    (pa.array([["", "a"], ["b"]]), {"a"}, "an empty name is none"),
    (pa.array(['["a", "b c"]', "b"]), {"a", "b c"}, "a list in JSON, in a cell of a CSV"),
    (pa.array([" ['a', 'b']", "b"]), {"a", "b"}, "a list as pandas writes it into a CSV"),
    (pa.array(["[]", "b"]), set(), "a list of nothing"),
    (pa.array(["['a' 'b'\n 'c']", "b"]), {"a", "b", "c"}, "a list as NumPy prints it"),
    (pa.array(["['it\\'s', \"b\"]", "b"]), {"it's", "b"}, "quotes within quotes"),
    (pa.array([["a,b", "[c"], ["b"]]), {"a,b", "[c"}, "in a true list a name may hold anything"),
]


@pytest.mark.parametrize(("column", "names", "why"), LISTS, ids=[why for *_, why in LISTS])
def test_names(column, names, why):
    table = pa.table({"imports": column, "y": [0, 1]})
    encoder = Encoder.fit(table, label="y", names="imports", min_rows=1)
    assert set(row_of(encoder, encoder.encode(table), 0)) == names


def test_columns_of_0_and_1_are_names_and_others_are_numbers():
    encoder = Encoder.fit(APPS, label="class")
    assert encoder.vocabulary == ("net", "sms")  # "never" is in no row
    assert encoder.columns == ("size",)
    examples = encoder.encode(APPS)
    assert examples.names.toarray().tolist() == [[1, 1], [1, 0], [0, 1], [0, 1]]
    assert examples.columns.tolist() == [[10.5], [20.0], [1e6], [-3.0]]
    assert examples.matrix().toarray()[0].tolist() == [1, 1, 10.5]
    assert encoder.features == ("net", "sms", "size")


def test_the_label_is_never_a_feature():
    assert "class" not in Encoder.fit(APPS, label="class").features
    assert "class" not in Encoder.fit(MAILS, label="class", text="text", columns=["size"]).features


def test_beside_text_only_the_columns_asked_for_are_used():
    encoder = Encoder.fit(MAILS, label="class", text="text", columns=["size"])
    assert encoder.columns == ("size",)
    assert encoder.needs == ("text", "size")
    assert encoder.encode(MAILS).columns[:, 0].tolist() == [17, 13, 12, 7]


def test_ignored_columns_are_no_features():
    assert Encoder.fit(APPS, label="class", ignore=["si*"]).features == ("net", "sms")
    assert Encoder.fit(APPS, label="class", columns=["size"]).features == ("size",)


def test_the_most_frequent_names_stay_and_ties_go_by_name():
    table = pa.table({"n": [["d", "c"], ["d", "b"], ["c", "b", "a"], ["d", "a"]], "y": [0, 1, 0, 1]})
    assert Encoder.fit(table, label="y", names="n", max_names=2).vocabulary == ("a", "d")
    assert Encoder.fit(table, label="y", names="n", min_rows=3).vocabulary == ("d",)


REFUSED = [
    # table, arguments                                                 error     said                          why
    (APPS, {"label": "clas"}, NoMatch, "Did you mean 'class'?", "label misspelt"),
    (MAILS, {"label": "class", "text": "txt"}, NoMatch, "text: 'txt' matches no column", "text misspelt"),
    (MAILS, {"label": "class", "names": "txt"}, NoMatch, "names: 'txt' matches no column", "names misspelt"),
    (APPS, {"label": "class", "ignore": ["x*"]}, NoMatch, "ignore: 'x*' matches no column", "ignored nothing"),
    (APPS, {"label": "class", "columns": ["age"]}, NoMatch, "columns: 'age' matches no column", "column misspelt"),
    (APPS, {"label": "class", "columns": ["class"]}, BadInput, "is the label, the text", "label as column"),
    (MAILS, {"label": "class", "text": "text", "names": "text"}, BadInput, "both came", "text and names"),
    (MAILS, {"label": "text", "text": "text"}, BadInput, "the label must not be a feature", "label as text"),
    (MAILS, {"label": "class", "text": "size"}, BadInput, "'size' holds int64; strings", "numbers as text"),
    (MAILS, {"label": "class", "names": "size"}, BadInput, "'size' holds int64; lists", "numbers as names"),
    (MAILS, {"label": "class", "text": "text", "min_rows": 0}, BadInput, "min_rows: 0 came", "min_rows"),
    (MAILS, {"label": "class", "text": "text", "max_names": 0}, BadInput, "max_names: 0 came", "max_names"),
    (MAILS, {"label": "class"}, BadInput, "column 'text': it is no column of numbers", "a column of texts"),
    (MAILS, {"label": "class"}, BadInput, "(--ignore)", "what to do with a column of texts"),
    (MAILS, {"label": "class", "text": "text", "min_rows": 9}, BadInput, "is in 9 training rows", "no feature"),
    (MAILS.slice(0, 0), {"label": "class", "text": "text"}, BadInput, "it has no rows", "no rows"),
    (pa.table({"x": [1.0, None, 2.0], "y": [0, 1, 0]}), {"label": "y"}, BadInput, "row 2: column 'x' has no", "null"),
    (MIXED, {"label": "y"}, BadInput, "row 2: column 'x' holds 'n/k'", "word"),
    (pa.table({"x": [[1], [2]], "y": [0, 1]}), {"label": "y"}, BadInput, "holds list<", "lists as numbers"),
    (HOLES, {"label": "y", "text": "t"}, BadInput, "row 2: column 't' has no text", "no text"),
    (CLASH, {"label": "y", "text": "t", "columns": ["size"]}, BadInput, "'size' is a column and a name", "twice"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "arguments", "error", "said", "why"), REFUSED, ids=[why for *_, why in REFUSED])
def test_fit_refuses(table, arguments, error, said, why):
    with pytest.raises(error) as caught:
        Encoder.fit(table, **arguments)
    assert said in str(caught.value)


# ---- encoding ----


def test_unknown_names_are_counted_once_and_change_nothing():
    encoder = Encoder.fit(MAILS, label="class", text="text")
    examples = encoder.encode(pa.table({"text": ["free lunch lunch today", "you", "lunch"]}))
    assert examples.names.toarray().tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert examples.unknown.tolist() == [2, 0, 1]


def test_a_column_that_did_not_come_is_named_with_those_that_came():
    encoder = Encoder.fit(APPS, label="class")
    with pytest.raises(BadInput, match=r"columns 'net', 'size' did not come.*What came: Columns: other, sms\."):
        encoder.encode(pa.table({"sms": [1], "other": [2]}))
    with pytest.raises(BadInput, match="column 'net' did not come; the model was trained with it"):
        encoder.encode(APPS.drop_columns(["net"]))


def test_extra_columns_and_another_order_do_not_matter():
    encoder = Encoder.fit(APPS, label="class")
    other = APPS.select(["size", "never", "net", "sms"]).append_column("more", [["a", "b", "c", "d"]])
    assert (encoder.encode(other).matrix() != encoder.encode(APPS).matrix()).nnz == 0


CELLS = [
    # cell          reason                                       why
    (None, "column 'size' has no number", "null"),
    (float("nan"), "column 'size' has no number", "NaN"),
    (float("inf"), "column 'size' holds inf, more than a float32 can", "infinite"),
    (-1e39, "column 'size' holds -1e+39, more than a float32 can", "finite in float64 only"),
    ("", "column 'size' has no number", "an empty cell"),
    ("NA", "column 'size' has no number", "NA"),
    ("inf", "column 'size' holds 'inf', not a number", "the word inf"),
    ("1e999", "column 'size' holds '1e999', more than a float32 can", "too large for any float"),
    ("twelve", "column 'size' holds 'twelve', not a number", "a word"),
    ("x" * 99, "column 'size' holds 'xxxxxxxxxxxxxxxxxxx..., not a number", "a long word, shortened"),
    ("1_000", "column 'size' holds '1_000', not a number", "Python's underscores are not ours"),
]


@pytest.mark.parametrize(("cell", "reason", "why"), CELLS, ids=[why for *_, why in CELLS])
def test_a_bad_number_fails_its_row_and_no_other(cell, reason, why):
    encoder = Encoder.fit(APPS, label="class")
    good = str if isinstance(cell, str) else float
    table = pa.table({"sms": [1, 1, 0], "net": [0, 1, 1], "size": [good(1.5), cell, good(-2)]})
    examples = encoder.encode(table, on_error="collect")
    assert examples.failures == {1: reason}
    assert examples.ok.tolist() == [True, False, True]
    assert examples.names.toarray().tolist() == [[0, 1], [0, 0], [1, 0]]
    assert examples.names.nnz == 2
    assert examples.columns[[0, 2], 0].tolist() == [1.5, -2.0]
    assert np.isnan(examples.columns[1, 0])
    with pytest.raises(BadInput) as caught:
        encoder.encode(table)
    assert f"row 2: {reason}; every row must be whole" in str(caught.value)


PRESENCES = [
    # column                              failed rows      why
    (pa.array([1, 0, 2]), {2: "holds 2, and only 0"}, "a count"),
    (pa.array([True, False, None]), {2: "has no number"}, "null"),
    (pa.array([1.0, 0.0, 0.5]), {2: "holds 0.5, and only 0"}, "half a presence"),
    (pa.array(["1", "0", "-1"]), {2: "holds -1, and only 0"}, "a negative in a CSV"),
    (pa.array(["true", "FALSE", "yes"]), {2: "holds 'yes', not a number"}, "a word in a CSV"),
    (pa.array(["1.0", " 0 ", ""]), {2: "has no number"}, "an empty cell in a CSV"),
    (pa.array([None, None, None]), {0: "has no", 1: "has no", 2: "has no"}, "nothing at all"),
    (pa.array([[1], [0], [1]]), {0: "list<", 1: "list<", 2: "list<"}, "lists"),
]


@pytest.mark.parametrize(("column", "failed", "why"), PRESENCES, ids=[why for *_, why in PRESENCES])
def test_presence_is_0_or_1(column, failed, why):
    encoder = Encoder("y", None, None, ("sms",), ())
    examples = encoder.encode(pa.table({"sms": column}), on_error="collect")
    assert examples.failures.keys() == failed.keys()
    assert all(part in examples.failures[row] for row, part in failed.items())
    assert examples.names.toarray()[:, 0].tolist() == [float(row == 0 and not failed.get(0)) for row in range(3)]


NO_NAMES = 'holds neither names between spaces or semicolons nor a list such as ["a", "b"]'
BAGS = [
    # encoder        column                                           failures                         why
    ("text", pa.array(["ok", None]), {1: "column 'x' has no text"}, "no text"),
    ("text", pa.array([5, 6]), dict.fromkeys((0, 1), "column 'x' has no text"), "numbers are no text"),
    ("names", pa.array([["ok"], None]), {1: "column 'x' has no list of names"}, "no list"),
    ("names", pa.array([["ok"], ["a", None]]), {1: "column 'x' has a list with a missing name"}, "a null in a list"),
    ("names", pa.array([5, 6]), dict.fromkeys((0, 1), "column 'x' has no list of names"), "numbers are no names"),
    ("names", pa.array([None, None]), dict.fromkeys((0, 1), "column 'x' has no list of names"), "nothing at all"),
    ("names", pa.array([[], []]), {}, "empty lists are no failure"),
    ("names", pa.array(["ok", "a,b"]), {1: f"column 'x' {NO_NAMES}"}, "commas part no names"),
    ("names", pa.array(["ok", "['a', 5]"]), {1: f"column 'x' {NO_NAMES}"}, "a list that holds a number"),
    ("names", pa.array(["ok", '["a"']), {1: f"column 'x' {NO_NAMES}"}, "a list without its end"),
    ("names", pa.array(["ok", "['a''b']"]), {1: f"column 'x' {NO_NAMES}"}, "two strings that Python would glue"),
    ("names", pa.array(["ok", "['a' ... 'b']"]), {1: f"column 'x' {NO_NAMES}"}, "a list that NumPy has shortened"),
    ("names", pa.array(["ok", "[{[]: 1}]"]), {1: f"column 'x' {NO_NAMES}"}, "what Python cannot make"),
    ("names", pa.array(["ok", '["\\ud800"]']), {1: f"column 'x' {NO_NAMES}"}, "half a character"),
    ("names", pa.array(["ok", "[" * 100_000]), {1: f"column 'x' {NO_NAMES}"}, "a deep one"),
    ("names", pa.array(["ok", "a," * 100_000]), {1: f"column 'x' {NO_NAMES}"}, "a long one"),
    ("names", pa.array(["ok", "[B foo"]), {1: f"column 'x' {NO_NAMES}"}, "the beginning of a list"),
]


@pytest.mark.parametrize(("kind", "column", "failures", "why"), BAGS, ids=[why for *_, why in BAGS])
def test_a_bad_bag_fails_its_row(kind, column, failures, why):
    encoder = Encoder("y", "x" if kind == "text" else None, "x" if kind == "names" else None, ("ok",), ())
    examples = encoder.encode(pa.table({"x": column}), on_error="collect")
    assert examples.failures == failures
    assert examples.names.nnz == int(0 not in failures and len(column[0].as_py()) > 0)
    assert examples.unknown.tolist() == [0, 0]


def test_failures_that_the_reader_found_win():
    encoder = Encoder.fit(MAILS, label="class", text="text")
    examples = encoder.encode(pa.table({"text": ["free", None]}), on_error="collect", failures={1: "line 3 is broken"})
    assert examples.failures == {1: "line 3 is broken"}


def test_on_error_is_one_of_two_words():
    with pytest.raises(BadInput, match="on_error: 'ignore' came"):
        Encoder.fit(MAILS, label="class", text="text").encode(MAILS, on_error="ignore")


def test_csr_is_canonical_float32():
    encoder = Encoder.fit(MAILS, label="class", text="text", min_rows=1)
    for examples in (encoder.encode(MAILS), Encoder.fit(APPS, label="class").encode(APPS)):
        assert examples.names.dtype == examples.columns.dtype == examples.matrix().dtype == np.float32
        assert examples.names.has_canonical_format
        assert (examples.names.data == 1).all()
        assert len(examples) == 4


def test_a_table_without_rows_encodes_to_nothing():
    for table, encoder in (
        (MAILS, Encoder.fit(MAILS, label="class", text="text")),
        (APPS, Encoder.fit(APPS, label="class")),
    ):
        examples = encoder.encode(table.slice(0, 0))
        assert examples.names.shape == (0, len(encoder.vocabulary))
        assert len(examples.vector_hashes()) == len(examples.take([])) == 0


def test_rows_are_taken_with_their_failures():
    encoder = Encoder.fit(APPS, label="class")
    examples = encoder.encode(pa.table({"sms": [1, 1, 0], "net": [0, 1, 1], "size": [1.5, None, 2.0]}), "collect")
    taken = examples.take([2, 1, 1])
    assert taken.failures == dict.fromkeys((1, 2), "column 'size' has no number")
    assert taken.columns[0, 0] == 2.0
    assert len(examples.take(examples.ok)) == 2
    assert not examples.take(examples.ok).failures


def test_without_scipy_the_extra_is_named(monkeypatch):
    encoder = Encoder.fit(APPS, label="class")
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(MissingExtra, match=r"isotone\[tables\]"):
        encoder.encode(APPS)


def test_encoders_and_examples_can_be_copied_and_sent():
    encoder = Encoder.fit(APPS, label="class")
    assert pickle.loads(pickle.dumps(encoder)) == copy.deepcopy(encoder) == encoder
    assert len(pickle.loads(pickle.dumps(encoder.encode(APPS)))) == 4


# ---- JSON ----


@pytest.mark.parametrize(
    ("table", "options"), [(MAILS, {"text": "text", "columns": ["size"]}), (APPS, {})], ids=["text", "columns"]
)
def test_json_gives_back_the_same_encoder(table, options):
    encoder = Encoder.fit(table, label="class", **options)
    assert Encoder.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder


SPOILT = [
    # change                        said                                  why
    ({"format": 2}, "format 2 came; this isotone reads format 1", "another format"),
    ({"format": None}, "format None came", "no format"),
    ({"label": None}, "its entry 'label' is None", "no label"),
    ({"text": 5}, "its entry 'text' is 5", "a number for a name"),
    ({"vocabulary": "free"}, "its entry 'vocabulary' is 'free'", "a string for a list"),
    ({"vocabulary": ["b", "b"]}, "its entry 'vocabulary' is ['b', 'b']", "a name twice"),
    ({"columns": [1]}, "its entry 'columns' is [1]", "a number in a list of names"),
    ({"zeros": [0.5]}, "its entry 'zeros' is [0.5]", "more zeros than columns"),
    ({"columns": ["a"], "zeros": ["0"]}, "its entry 'zeros' is ['0']", "a word for a number"),
]


@pytest.mark.parametrize(("change", "said", "why"), SPOILT, ids=[why for *_, why in SPOILT])
def test_from_dict_refuses(change, said, why):
    with pytest.raises(BadInput) as caught:
        Encoder.from_dict(Encoder("y", "t", None, ("free",), ()).to_dict() | change)
    assert said in str(caught.value)


# ---- mathematics ----

TEXT = st.text(st.sampled_from("aAbB1$!% ,;.\n\u00e9\u212a\u0130\U0001f600"), max_size=24)


@settings(deadline=None)
@given(train=st.lists(TEXT, min_size=1, max_size=6), new=st.lists(TEXT, min_size=1, max_size=6))
def test_words_are_those_of_plain_python(train, new):
    def words(text):
        return {word.lower() for word in re.findall("[A-Za-z0-9$!%]{2,}", text)}

    known = sorted({word for text in train for word in words(text)} | {"zz"})
    encoder = Encoder("y", "t", None, tuple(known), ())
    examples = encoder.encode(pa.table({"t": pa.chunked_array([train, new], pa.string())}))
    assert [set(row_of(encoder, examples, row)) for row in range(len(examples))] == [
        words(text) & set(known) for text in train + new
    ]
    assert examples.unknown.tolist() == [len(words(text) - set(known)) for text in train + new]
    seen = {word for text in train for word in words(text)}
    fitted = Encoder.fit(pa.table({"t": [*train, "zz"], "y": [0] * (len(train) + 1)}), label="y", text="t", min_rows=1)
    assert set(fitted.vocabulary) == seen | {"zz"}


@settings(deadline=None)
@given(text=TEXT, added=TEXT, kind=st.sampled_from(["text", "names"]))
def test_additions_only_add(text, added, kind):
    table = pa.table({"x": [text, f"{text} {added}", f"{added} {text}", f"{text};{added}"]})
    vocabulary = sorted(
        {*re.findall("[a-z0-9$!%]{2,}", f"{text} {added}".lower()), *re.split(r"[\s;]+", f"{text} {added}")} - {""}
    )
    encoder = Encoder("y", "x" if kind == "text" else None, "x" if kind == "names" else None, (*vocabulary, "zz"), ())
    examples = encoder.encode(table, on_error="collect")
    dense = examples.names.toarray()
    for row in (1, 2, 3):  # what cannot be read is an alarm
        assert row in examples.failures or (0 not in examples.failures and (dense[row] >= dense[0]).all())


@settings(deadline=None)
@given(
    cells=st.lists(
        st.one_of(st.floats(width=32).map(repr), st.integers(-(10**40), 10**40).map(str), st.text(max_size=4),
                  st.sampled_from(["", "NA", "true", " 1", "+1", "1.", ".5", "1e5", "0x1", "1e999", "nan"])),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_a_cell_means_the_same_alone_and_among_others(cells):
    encoder = Encoder("y", None, None, (), ("x",))
    together = encoder.encode(pa.table({"x": cells}), on_error="collect")
    for row, cell in enumerate(cells):
        alone = encoder.encode(pa.table({"x": [cell]}), on_error="collect")
        assert alone.failures.get(0) == together.failures.get(row)
        np.testing.assert_array_equal(alone.columns[0], together.columns[row])


@settings(deadline=None)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=8))
def test_numbers_survive_csv_and_json_exactly(values, tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "x.csv").write_text("x,y\n" + "".join(f"{v!r},0\n" for v in values))
    (folder / "x.jsonl").write_text("".join(json.dumps({"x": v}) + "\n" for v in values))
    encoder = Encoder("y", None, None, (), ("x",))
    for path in (folder / "x.csv", folder / "x.jsonl"):
        (block,) = read_blocks(path)
        assert encoder.encode(block.table).columns[:, 0].tolist() == values
        assert encoder.encode(read_table(path)).columns[:, 0].tolist() == values


def test_columns_far_from_zero_are_told_apart_in_float32():
    near = np.linspace(0.0, 1.0, 200)
    table = pa.table({"y": [0, 1] * 100, "ms": 1.7e12 + 6e4 * near, "near": near, "age": np.arange(200.0)})
    encoder = Encoder.fit(table, label="y")
    assert [zero != 0 for zero in encoder.zeros] == [True, False, False]
    found = encoder.encode(table).columns
    assert (np.diff(found[:, 0]) > 0).all()
    assert np.allclose(found[:, 0] - found[0, 0], 6e4 * near, rtol=1e-6)
    assert found[:, 1].tolist() == near.astype(np.float32).tolist()
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert np.array_equal(again.encode(table).columns, found)
    kept = encoder.only(["ms", "age"])
    assert np.array_equal(kept.encode(table).columns, found[:, [0, 2]])
    far = encoder.encode(pa.table({"ms": [-3e38, 0.0, 3e38], "near": [0.0] * 3, "age": [0.0] * 3})).columns[:, 0]
    assert np.isfinite(far).all()
    assert (np.diff(far) > 0).all()


def test_every_format_encodes_the_same(tmp_path):
    rows = [{"imports": ["a", "b"], "size": 3.5}, {"imports": [], "size": -1.0}, {"imports": ["b", "zz"], "size": 2.0}]
    encoder = Encoder("y", None, "imports", ("a", "b"), ("size",))
    (tmp_path / "x.csv").write_text("imports,size\na;b,3.5\n,-1\nb zz,2.0\n")
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "counts.jsonl").write_text(
        "".join(json.dumps(row | {"imports": dict.fromkeys(row["imports"], 2)}) + "\n" for row in rows)
    )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    for name in ("x.csv", "x.jsonl", "counts.jsonl", "x.parquet"):
        for size in (1, 4096):
            parts = [encoder.encode(b.table) for b in read_blocks(tmp_path / name, size, columns=encoder.needs)]
            assert np.vstack([p.matrix().toarray() for p in parts]).tolist() == [[1, 1, 3.5], [0, 0, -1], [0, 1, 2]]
            assert np.concatenate([p.unknown for p in parts]).tolist() == [0, 0, 1]


# ---- hashes ----


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.booleans(), min_size=3, max_size=3),
            st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5]),
            st.sampled_from([0.0, 1.0]),
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_rows_have_one_hash_exactly_if_they_are_equal(rows):
    table = pa.table({
        **{f"n{i}": [names[i] for names, *_ in rows] for i in range(3)},
        "a": [a for _, a, _ in rows],
        "b": [b for *_, b in rows],
    })  # fmt: skip
    hashes = Encoder("y", None, None, ("n0", "n1", "n2"), ("a", "b")).encode(table).vector_hashes()
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            assert (hashes[i] == hashes[j]) == (first == second)


def test_hashes_do_not_collide_on_many_sparse_rows():
    rng = np.random.default_rng(0)
    bags = [[f"n{i}" for i in np.flatnonzero(row)] for row in rng.random((4000, 24)) < 0.3]
    encoder = Encoder("y", None, "n", tuple(f"n{i}" for i in range(24)), ())
    hashes = encoder.encode(pa.table({"n": bags})).vector_hashes()
    assert len(set(hashes.tolist())) == len(set(map(tuple, bags)))


def test_examples_is_what_encode_gives():
    assert isinstance(Encoder.fit(APPS, label="class").encode(APPS), Examples)
