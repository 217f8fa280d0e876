"""Labels: 1 is the class to detect, and nobody guesses where a guess could be wrong."""

import numpy as np
import pyarrow as pa
import pytest

from isotone.data import labels_of, read_blocks, read_table, words_of
from isotone.errors import BadInput, NoMatch

READ = [
    # cells                            positive      labels       why
    ([0, 1, 0], None, [0, 1, 0], "0 and 1"),
    ([0.0, 1.0], None, [0, 1], "0.0 and 1.0"),
    ([False, True], None, [0, 1], "booleans"),
    (["0", "1"], None, [0, 1], "0 and 1 as strings"),
    (["ham", "spam"], None, [0, 1], "spam is the class to detect"),
    (["Malware", "benign"], None, [1, 0], "in any case"),
    (["B", "S"], None, [0, 1], "DREBIN's suspicious and benign"),
    (["no", "Yes "], None, [0, 1], "spaces do not matter"),
    (["True", "False"], None, [1, 0], "booleans as strings"),
    (["cat", "dog"], "dog", [0, 1], "named"),
    (["spam", "ham"], "ham", [0, 1], "a name given beats the guess"),
    ([-1, 1], "1", [0, 1], "-1 and 1, named"),
    ([1, 2], "2.0", [0, 1], "1 and 2, named"),
    ([0, 1], "0", [1, 0], "turned round"),
    ([False, True], "true", [0, 1], "a boolean named by its word"),
    (["0.0", "1.0", "1"], None, [0, 1, 1], "numbers as strings, as a column that once missed one is written"),
]


@pytest.mark.parametrize(("cells", "positive", "labels", "why"), READ, ids=[why for *_, why in READ])
def test_labels(cells, positive, labels, why):
    found = labels_of(pa.table({"y": cells}), "y", positive)
    assert found.tolist() == labels
    assert found.dtype == np.int64


KNOWN = [
    # cells                 words                     labels     why
    (["malware"],           ("malware", "benign"),    [1],       "one class that is the bad one"),
    (["Benign", "MALWARE"], ("malware", "benign"),    [0, 1],    "in any case"),
    (["a", "A"],            ("a", "A"),               [1, 0],    "but where the case is all that parts them"),
    (["1.0", "0"],          ("1", "0"),               [1, 0],    "numbers however they are written"),
    ([0.0, 0.0],            ("1", "0"),               [0, 0],    "all benign"),
    ([False, True],         ("1", "0"),               [0, 1],    "booleans where training had numbers"),
    ([2, 5],                ("2", "5"),               [1, 0],    "any two numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "words", "labels", "why"), KNOWN, ids=[why for *_, why in KNOWN])
def test_labels_where_both_words_are_known(cells, words, labels, why):
    assert labels_of(pa.table({"y": cells}), "y", *words, both=False).tolist() == labels


@pytest.mark.parametrize(
    ("cells", "words", "said"),
    [
        (["trojan"], ("malware", "benign"), "'trojan' came; 'malware' (bad) or 'benign' is right, as in training"),
        (["malware", "ham"], ("malware", "benign"), "'ham' came"),
        ([2], ("1", "0"), "2 came; '1' (bad) or '0' is right"),
        (["malware"], ("1", "0"), "'malware' came; '1' (bad) or '0' is right"),
    ],
)
def test_no_third_word_passes_for_benign(cells, words, said):
    with pytest.raises(BadInput) as caught:
        labels_of(pa.table({"y": cells}), "y", *words, both=False)
    assert said in str(caught.value)


def test_the_words_of_a_table_know_it_again():
    for cells in (["ham", "spam"], [0, 1], [False, True], [1.5, 1.0], ["0", "1"], [0.1, 0.30000000000000004]):
        table = pa.table({"y": cells})
        first = labels_of(table, "y", str(cells[1]))
        assert labels_of(table, "y", *words_of(table, "y", first)).tolist() == first.tolist() == [0, 1]


def test_labels_from_categories():
    table = pa.table({"y": pa.array(["ham", "spam", "ham"]).dictionary_encode()})
    assert labels_of(table, "y").tolist() == [0, 1, 0]


REFUSED = [
    # cells                 positive   said                                                   why
    (["cat", "dog"], None, "which is the class to detect must be clear. Name it with --positive", "unclear"),
    (["bad", "spam"], None, "which is the class to detect must be clear", "two names of the class to detect"),
    ([1, 2], None, "which is the class to detect must be clear", "1 and 2"),
    ([-1, 1], None, "which is the class to detect must be clear", "-1 and 1"),
    (["cat", "dog"], "cow", "no row is 'cow'; one of 'cat', 'dog' would be right", "named one that did not come"),
    ([0, 1], "spam", "no row is 'spam'; one of 0, 1 would", "a word for a number"),
    (["a", "b", "c"], None, "3 classes came ('a', 'b', 'c'); two would be right", "three classes"),
    ([0, 1, 2, 3, 4], None, "5 classes came (0, 1, 2, 3, ...)", "a count"),
    ([1, 1], None, "all rows are 1; both classes are needed", "one class"),
    (["spam"], None, "all rows are 'spam'; both classes are needed", "one class of strings"),
    (["spam", None, "ham"], None, "label 'y', row 2: it is missing", "null"),
    (["spam", "ham", " "], None, "label 'y', row 3: it is missing", "blank"),
    ([0.0, 1.0, float("nan")], None, "label 'y', row 3: it has no number", "NaN"),
    ([0, None, 1], None, "label 'y', row 2: it has no number", "null among numbers"),
    ([["a"], ["b"]], None, "label 'y', row 1: it holds list<", "lists"),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "positive", "said", "why"), REFUSED, ids=[why for *_, why in REFUSED])
def test_labels_refuse(cells, positive, said, why):
    with pytest.raises(BadInput) as caught:
        labels_of(pa.table({"y": cells}), "y", positive)
    assert said in str(caught.value)


def test_a_missing_label_column_is_told_with_a_suggestion():
    with pytest.raises(NoMatch, match=r"'clas' matches no column\. Did you mean 'class'\?"):
        labels_of(pa.table({"class": [0, 1]}), "clas")


ONE_CLASS = [
    # cells                positive  labels    why
    (["spam", "spam"], None, [1, 1], "all spam"),
    (["ham", "ham"], "spam", [0, 0], "no spam"),
    (["ham"], "ham", [1], "the class named"),
    ([1, 1], None, [1, 1], "all 1"),
    ([0], None, [0], "all 0"),
    (["0"], None, [0], "all 0 as strings"),
    ([2], "2", [1], "all 2, named"),
]


@pytest.mark.parametrize(("cells", "positive", "labels", "why"), ONE_CLASS, ids=[why for *_, why in ONE_CLASS])
def test_a_set_to_attack_may_be_of_one_class(cells, positive, labels, why):
    assert labels_of(pa.table({"y": cells}), "y", positive, both=False).tolist() == labels


def test_one_class_whose_name_says_nothing_is_refused_all_the_same():
    with pytest.raises(BadInput, match="which is the class to detect must be clear"):
        labels_of(pa.table({"y": ["cat"]}), "y", both=False)


def test_minus_one_of_an_svmlight_file_is_benign_where_training_says_so(tmp_path):
    path = tmp_path / "x.svm"
    path.write_text("-1 1:1\n-1 2:1\n1 1:1\n1 2:1\n")
    whole = read_table(path)
    assert whole["label"].to_pylist() == [0, 0, 1, 1]
    words = words_of(whole, "label", labels_of(whole, "label"))
    assert words == ("1", "-1")
    assert labels_of(whole, "label", *words).tolist() == [0, 0, 1, 1]
    streamed = [
        labels_of(block.table, "label", *words, both=False).tolist()
        for block in read_blocks(path, rows=2, columns=["label"])
    ]
    assert streamed == [[0, 0], [1, 1]]
    # Where training had 0 and 1, -1 may say that there is no label.
    with pytest.raises(BadInput, match="-1 came"):
        labels_of(pa.table({"label": [-1.0, -1.0]}), "label", "1", "0", both=False)


def test_booleans_are_known_again_as_the_words_that_a_stream_gives():
    trained = pa.table({"y": [True, False]})
    words = words_of(trained, "y", labels_of(trained, "y"))
    assert labels_of(pa.table({"y": ["False", "true", "1"]}), "y", *words).tolist() == [0, 1, 1]
