"""A text with something added keeps every feature it had."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import check_estimator

from isotone.encoding import PresenceVectorizer
from isotone.errors import BadInput

# Few letters, so that pieces meet again; a capital sigma, whose small form depends on what follows; odd spaces.
texts = st.text(alphabet="abA Σσς$\n\t\u00a0İ", max_size=12)
words = st.text(alphabet="abAΣσ$", min_size=1, max_size=3)

# fmt: off
SETTINGS = {
    # what grows                    settings                                                         additions
    "words":                        ({},                                                             "insert"),
    "single letters too":           ({"token_pattern": r"\w"},                                       "insert"),
    "counts of words":              ({"counts": True},                                               "insert"),
    "pieces within words":          ({"analyzer": "char_wb", "ngram_range": (1, 3)},                  "insert"),
    "counts of pieces":             ({"analyzer": "char_wb", "ngram_range": (2, 2), "counts": True},  "insert"),
    "pairs of words, appended":     ({"ngram_range": (1, 2), "additions": "append"},                  "append"),
    "pieces of the text, appended": ({"analyzer": "char", "ngram_range": (1, 3), "additions": "append", "counts": True},
                                                                                                     "glue"),
    "capitals kept":                ({"analyzer": "char_wb", "lowercase": False, "ngram_range": (2, 3)}, "insert"),
}
# fmt: on


def grown(text, word, at, how):
    """The text with a word added: set apart anywhere, set apart at an end, or glued to an end."""
    if how == "glue":
        return text + word if at % 2 else word + text
    gaps = [0, len(text)] + ([k for k, letter in enumerate(text) if letter.isspace()] if how == "insert" else [])
    gap = gaps[at % len(gaps)]
    return f"{text[:gap]} {word} {text[gap:]}"


@pytest.mark.parametrize("what", SETTINGS)
@settings(deadline=None, max_examples=80)
@given(text=texts, word=words, at=st.integers(0, 20))
def test_adding_to_a_text_lowers_no_feature(what, text, word, at):
    options, how = SETTINGS[what]
    more = grown(text, word, at, how)
    vectorizer = PresenceVectorizer(**options).fit([text, more, "ab aa"])
    before, after = vectorizer.transform([text, more]).toarray()
    assert (after >= before).all(), (text, more)


def test_pairs_of_words_do_fall_when_a_word_is_put_between():
    vectorizer = PresenceVectorizer(ngram_range=(2, 2), additions="append").fit(["free money"])
    assert vectorizer.transform(["free money", "free new money", "now free money"]).toarray().tolist() == [
        [1],
        [0],
        [1],
    ]


def test_words_and_counts_are_what_they_say():
    vectorizer = PresenceVectorizer(counts=True).fit(["Win $$$ now, now!", "see you"])
    assert list(vectorizer.get_feature_names_out()) == ["$$$", "now", "now!", "see", "win", "you"]
    counted = vectorizer.transform(["now now win", ""])
    assert counted.toarray().tolist() == [[0, 2, 0, 0, 1, 0], [0] * 6]
    assert counted.dtype == np.float32


def test_rare_words_are_left_out_and_ties_go_by_name():
    learn = ["aa bb", "aa cc", "bb cc", "dd"]
    assert PresenceVectorizer(min_df=2).fit(learn).features_ == ("aa", "bb", "cc")
    assert PresenceVectorizer(max_features=2).fit(learn).features_ == ("aa", "bb")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_takes_it_for_one_of_its_own():
    check_estimator(PresenceVectorizer())
    pipeline = make_pipeline(clone(PresenceVectorizer(counts=True)), MaxAbsScaler())
    assert pipeline.fit_transform(["aa aa", "aa bb"]).toarray().tolist() == [[1, 0], [0.5, 1]]
    assert list(pipeline.get_feature_names_out()) == ["aa", "bb"]


@pytest.mark.parametrize("what", SETTINGS)
def test_json_and_pickle_bring_it_back(what):
    vectorizer = PresenceVectorizer(**SETTINGS[what][0]).fit(["a bb aa", "bb ab"])
    written = json.loads(json.dumps(vectorizer.to_dict()))
    for again in (PresenceVectorizer.from_dict(written), pickle.loads(pickle.dumps(vectorizer))):
        assert again.to_dict() == vectorizer.to_dict()
        assert (again.transform(["aa bb"]) != vectorizer.transform(["aa bb"])).nnz == 0


# fmt: off
REFUSED = {
    # why                             settings                              texts           the sentence says
    "a norm":                         ({"norm": "l2"},                      ["aa"],         "None is right: a text"),
    "a length at which texts end":    ({"max_tokens": 100},                 ["aa"],         "push others out"),
    "pairs of words, put anywhere":   ({"ngram_range": (1, 2)},             ["aa bb"],      "pair.*additions="),
    "pieces of text, put anywhere":   ({"analyzer": "char"},                ["aa"],         "breaks it.*additions="),
    "another analyzer":               ({"analyzer": str.split},             ["aa"],         "'char_wb' or 'char'"),
    "other additions":                ({"additions": "remove"},             ["aa"],         "'remove' came"),
    "no length":                      ({"ngram_range": (0, 1)},             ["aa"],         "ngram_range"),
    "nothing to learn":               ({"min_df": 2},                       ["aa", "bb"],   "Lower min_df"),
    "one string":                     ({},                                  "aa",           "one string came"),
    "a missing text":                 ({},                                  ["aa", None],   "row 1 is None"),
}
# fmt: on


@pytest.mark.parametrize("why", REFUSED)
def test_what_additions_could_lower_is_refused_with_the_reason(why):
    options, learn, says = REFUSED[why]
    with pytest.raises(BadInput, match=says):
        PresenceVectorizer(**options).fit(learn)


def test_json_of_another_format_is_refused():
    with pytest.raises(BadInput, match="format"):
        PresenceVectorizer.from_dict({"format": 0})
