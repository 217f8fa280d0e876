"""Real scikit-learn encoders: those that additions undo are refuted with a pair, none that keeps them is accused."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import compose, decomposition, feature_extraction, impute, linear_model, pipeline, preprocessing

from isotone.encoding import ColumnEncoder, PresenceVectorizer, audit_pipeline
from isotone.errors import BadInput
from isotone.verdict import Verdict

PROVED, REFUTED, UNKNOWN = Verdict.PROVED, Verdict.REFUTED, Verdict.UNKNOWN
text = feature_extraction.text
TEXTS = ["free money now", "see you at home now", "money for you", "come home", "free free tickets for the game"]
LABELS = [1, 0, 1, 0, 1]


def cut(texts):
    """Counts of the first 20 words only."""
    words = sorted({word for line in TEXTS for word in line.split()})
    return np.array([[line.split()[:20].count(word) for word in words] for line in texts])


make = pipeline.make_pipeline
COUNTS = text.CountVectorizer()
# fmt: off
ON_TEXTS = [
    # encoder                                                              additions  verdict   why, and what is said
    (text.TfidfVectorizer(),                                               "insert",  REFUTED,  "norm='l2'"),
    (text.TfidfVectorizer(norm="l1"),                                      "append",  REFUTED,  "norm='l1'"),
    (text.TfidfVectorizer(norm=None, sublinear_tf=True),                   "insert",  PROVED,   "proof (1)"),
    (make(COUNTS, text.TfidfTransformer()),                                "insert",  REFUTED,  "TfidfTransformer"),
    (make(COUNTS, text.TfidfTransformer(norm=None)),                       "insert",  PROVED,   "proof (2)"),
    (make(COUNTS, preprocessing.Normalizer()),                             "insert",  REFUTED,  "Normalizer"),
    (make(COUNTS, preprocessing.MaxAbsScaler()),                           "insert",  PROVED,   "proof (2)"),
    (make(COUNTS, decomposition.TruncatedSVD(3, random_state=0)),          "insert",  REFUTED,  "both signs"),
    (text.CountVectorizer(),                                               "insert",  PROVED,   "proof"),
    (text.CountVectorizer(binary=True),                                    "append",  PROVED,   "proof"),
    (text.CountVectorizer(ngram_range=(1, 2)),                             "insert",  REFUTED,  "removes their pair"),
    (text.CountVectorizer(ngram_range=(1, 2)),                             "append",  PROVED,   "proof"),
    (text.CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)),         "insert",  PROVED,   "proof"),
    (text.CountVectorizer(analyzer="char", ngram_range=(4, 4)),            "insert",  REFUTED,  "removes the piece"),
    (text.CountVectorizer(analyzer="char", ngram_range=(3, 3)),            "append",  UNKNOWN,  "several spaces"),
    (text.CountVectorizer(tokenizer=str.split, token_pattern=None),        "insert",  UNKNOWN,  "function of your own"),
    (text.CountVectorizer(dtype=np.uint8),                                 "append",  {REFUTED, UNKNOWN}, ""),
    (text.HashingVectorizer(n_features=8, norm=None),                      "insert",  REFUTED,  "alternate_sign"),
    (text.HashingVectorizer(n_features=8, alternate_sign=False),           "insert",  REFUTED,  "norm='l2'"),
    (text.HashingVectorizer(n_features=8, norm=None, alternate_sign=False), "insert", PROVED,   "proof"),
    (pipeline.make_union(COUNTS, text.CountVectorizer(analyzer="char_wb")), "insert", PROVED,   "proof (2)"),
    (pipeline.make_union(COUNTS, text.TfidfVectorizer()),                  "insert",  REFUTED,  "norm"),
    (PresenceVectorizer(counts=True),                                      "insert",  PROVED,   "proof"),
    (PresenceVectorizer(ngram_range=(1, 2), additions="append"),           "append",  PROVED,   "proof"),
    (PresenceVectorizer(ngram_range=(1, 2), additions="append"),           "insert",  REFUTED,  "was made for"),
    (preprocessing.FunctionTransformer(cut),                               "insert",  REFUTED,  ""),
]
# fmt: on


def called(encoder):
    """Without addresses: two processes must call a test the same."""
    return re.sub(r"( object)? at 0x[0-9a-f]+", "", " ".join(f"{encoder}".split()))[:80]


@pytest.mark.parametrize(
    ("encoder", "additions", "expected", "says"),
    ON_TEXTS,
    ids=[f"{called(e)}, {a}" for e, a, *_ in ON_TEXTS],
)
def test_encoders_of_texts(encoder, additions, expected, says):
    found = audit_pipeline(encoder.fit(TEXTS, LABELS), TEXTS, additions, tries=500)
    assert found.verdict in (expected if isinstance(expected, set) else {expected}), found
    assert says in found.reason
    if found.witness is not None:
        low, high = (np.asarray(encoder.transform([t]).todense() if scipy.sparse.issparse(encoder.transform([t])) else
                     encoder.transform([t])).ravel() for t in (found.witness.before, found.witness.after))  # fmt: skip
        assert (high < low).any()
        assert set(found.witness.before.split()) <= set(found.witness.after.split())
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found).startswith(found.verdict.name)


def test_a_function_that_cuts_texts_is_refuted_and_its_witness_shows_the_word():
    found = audit_pipeline(cut, TEXTS)
    assert found.verdict is REFUTED
    assert found.exit_code == 1
    assert found.witness.end < found.witness.start
    assert len(found.witness.after.split()) > 20


def test_a_function_without_fault_is_unknown_for_a_search_proves_nothing():
    found = audit_pipeline(lambda texts: np.array([[len(t.split())] for t in texts]), TEXTS, tries=50)
    assert (found.verdict, found.exit_code) == (UNKNOWN, 2)
    assert "nothing found in 50 tries" in found.reason


def test_the_final_estimator_of_a_pipeline_is_left_out():
    fitted = make(text.TfidfVectorizer(), linear_model.LogisticRegression()).fit(TEXTS, LABELS)
    assert audit_pipeline(fitted, TEXTS).verdict is REFUTED


@pytest.mark.parametrize("patched", ["step", "pipeline"])
def test_a_method_put_on_a_fitted_step_is_not_vouched_for(patched):
    encoder = make(text.CountVectorizer(), preprocessing.MaxAbsScaler()).fit(TEXTS)
    part = encoder if patched == "pipeline" else encoder[0]
    part.transform = lambda texts: type(part).transform(part, texts) * (1 - 2 * any("zebra" in one for one in texts))
    found = audit_pipeline(encoder, TEXTS)
    assert found.verdict is not PROVED
    assert any("transform() of its own" in step.reason for step in found.steps)


def test_additions_of_ones_own():
    assert audit_pipeline(COUNTS.fit(TEXTS), TEXTS, lambda t, random: t[: len(t) // 2]).verdict is REFUTED
    assert audit_pipeline(COUNTS.fit(TEXTS), TEXTS, lambda t, random: t + " money").verdict is UNKNOWN
    assert audit_pipeline(text.TfidfVectorizer().fit(TEXTS), TEXTS, ["benign"]).verdict is UNKNOWN  # no feature of it
    assert audit_pipeline(text.TfidfVectorizer().fit(TEXTS), TEXTS, ["home"]).verdict is REFUTED


def test_the_encoder_of_the_workflow_is_not_accused():
    pa = pytest.importorskip("pyarrow")
    from isotone.data import Encoder  # noqa: PLC0415

    encoder = Encoder.fit(pa.table({"text": TEXTS, "class": LABELS}), label="class", text="text", min_rows=1)
    found = audit_pipeline(lambda texts: encoder.encode(pa.table({"text": texts})).matrix(), TEXTS, tries=200)
    assert found.verdict is UNKNOWN


rng = np.random.default_rng(0)
TABLE = rng.normal(size=(60, 3))
HOLES = np.where(rng.random(TABLE.shape) < 0.2, np.nan, TABLE)
# fmt: off
ON_TABLES = [
    # encoder                                                               rows   directions  verdict   what is said
    (preprocessing.StandardScaler(),                                        TABLE, [1, -1, 0], PROVED,   "proof"),
    (preprocessing.MinMaxScaler(clip=True),                                 TABLE, [1, -1, 0], PROVED,   "proof"),
    (preprocessing.MaxAbsScaler(),                                          TABLE, 1,          PROVED,   "proof"),
    (preprocessing.RobustScaler(),                                          TABLE, 1,          PROVED,   "proof"),
    (preprocessing.QuantileTransformer(n_quantiles=20),                     TABLE, [1, -1, 0], PROVED,   "proof"),
    (preprocessing.QuantileTransformer(n_quantiles=20, output_distribution="normal"), TABLE, 1, UNKNOWN, "zeros"),
    (preprocessing.Binarizer(),                                             TABLE, 1,          PROVED,   "proof"),
    (preprocessing.FunctionTransformer(),                                   TABLE, [1, -1, 0], PROVED,   "proof"),
    (preprocessing.FunctionTransformer(np.sin),                             TABLE, 1,          REFUTED,  ""),
    (preprocessing.PowerTransformer(),                                      TABLE, 1,          UNKNOWN,  "overflow"),
    (preprocessing.KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"),
                                                                            TABLE, [1, -1, 0], PROVED,   "proof"),
    (preprocessing.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
                                                                            TABLE, 1,          REFUTED,  "its bin"),
    (preprocessing.Normalizer(),                                            TABLE, 1,          REFUTED,  "length"),
    (preprocessing.PolynomialFeatures(2),                                   TABLE, 1,          REFUTED,  "product"),
    (preprocessing.SplineTransformer(),                                     TABLE, 1,          REFUTED,  "hump"),
    (preprocessing.OneHotEncoder(handle_unknown="ignore"),                  TABLE.round(), 1,  REFUTED,  "category"),
    (decomposition.PCA(2),                                                  TABLE, 1,          REFUTED,  "both signs"),
    (decomposition.PCA(3),                                                  TABLE, [1, 0, 0],  REFUTED,  "both signs"),
    (impute.SimpleImputer(),                                                HOLES, 1,          REFUTED,  "known low"),
    (impute.SimpleImputer(add_indicator=True),                              HOLES, 1,          REFUTED,  "filled in"),
    (make(preprocessing.StandardScaler(), preprocessing.MinMaxScaler()),    TABLE, [1, -1, 0], PROVED,   "proof (2)"),
    (compose.make_column_transformer((preprocessing.StandardScaler(), [2, 0]), ("drop", [1])),
                                                                            TABLE, 1,          UNKNOWN,  "places"),
    (compose.make_column_transformer((preprocessing.Normalizer(), [2, 0]), remainder="passthrough"),
                                                                            TABLE, 1,          REFUTED,  "Normalizer"),
    (ColumnEncoder([1, -1, 0]),                                             TABLE, [1, -1, 0], PROVED,   "proof"),
    (ColumnEncoder([1, -1, 0]),                                             HOLES, [1, -1, 0], PROVED,   "proof"),
    (ColumnEncoder([1, -1, 0], missing="outside"),                          HOLES, [1, -1, 0], REFUTED,  ""),
    (ColumnEncoder([1, -1, 0]),                                             HOLES, [1, 1, 0],  REFUTED,  ""),
]
# fmt: on


@pytest.mark.parametrize(
    ("encoder", "rows", "directions", "expected", "says"),
    ON_TABLES,
    ids=[called(e) for e, *_ in ON_TABLES],
)
def test_encoders_of_tables(encoder, rows, directions, expected, says):
    found = audit_pipeline(encoder.fit(rows), rows, directions=directions, tries=500)
    assert found.verdict is expected, found
    assert says in found.reason
    json.dumps(found.to_dict(), allow_nan=False)


def test_filling_in_is_an_addition_only_where_missing_is_at_that_end():
    filled = impute.SimpleImputer().fit(HOLES)
    assert audit_pipeline(filled, HOLES, directions=1, missing="outside").verdict is UNKNOWN
    outside = ColumnEncoder([1, 1, 0], missing="outside").fit(HOLES)
    assert audit_pipeline(outside, HOLES, directions=[1, 1, 0], missing="outside").verdict is PROVED
    highest = ColumnEncoder([-1, -1, 0], missing="highest").fit(HOLES)
    assert audit_pipeline(highest, HOLES, directions=[-1, -1, 0], missing="highest").verdict is PROVED
    lowest = ColumnEncoder([-1, -1, 0], missing="lowest").fit(HOLES)
    assert audit_pipeline(lowest, HOLES, directions=[-1, -1, 0], missing="highest").verdict is REFUTED


def test_a_scaler_with_missing_values_is_not_proved():
    assert audit_pipeline(preprocessing.StandardScaler().fit(HOLES), HOLES).verdict is UNKNOWN


def test_frames_move_ordered_categories_and_whole_numbers():
    frame = pd.DataFrame(
        {
            "age": np.array([20, 30, 40, 50], dtype=np.int16),
            "grade": pd.Categorical(["low", "high", "mid", None], categories=["low", "mid", "high"], ordered=True),
            "town": ["a", "b", "a", "b"],
            "maybe": pd.array([1, None, 3, 4], dtype="Int64"),
        }
    )
    ways = {"age": 1, "grade": -1, "maybe": 1}
    encoder = ColumnEncoder([1, -1, 0, 1], categorical=[2]).fit(frame)
    assert audit_pipeline(encoder, frame, directions=ways, tries=300).verdict is PROVED
    turned = ColumnEncoder([1, -1, 0, 1], categorical=[2], orders={1: ["high", "mid", "low"]}).fit(frame)
    found = audit_pipeline(turned, frame, directions=ways, tries=300)
    assert found.verdict is REFUTED
    assert set(found.to_dict()["witness"]["before"]) == set(frame.columns)


def test_a_column_encoder_inside_a_pipeline_is_not_proved_by_its_width_alone():
    rows = np.array([[1.0, 1.0], [1.0, np.nan]])
    encoder = ColumnEncoder([1, 0], orders={0: [1.0]}).fit(rows)
    assert encoder.owner_ == (1, 1)  # as many columns as before, and neither where it was
    steps = [preprocessing.MaxAbsScaler().fit(rows), encoder, preprocessing.FunctionTransformer()]
    found = audit_pipeline(make(*steps), rows, directions=[1, 0], encoded=[1, 0], tries=20)
    assert found.verdict is UNKNOWN
    assert "another question" in found.reason


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array"])
def test_sparse_rows_are_moved_as_dense_ones_are(kind):
    rows = getattr(scipy.sparse, kind)(np.abs(TABLE).round())
    assert audit_pipeline(preprocessing.MaxAbsScaler().fit(rows), rows).verdict is PROVED
    assert audit_pipeline(preprocessing.Normalizer().fit(rows), rows).verdict is REFUTED


def test_a_class_made_from_a_known_one_is_not_known():
    class Shuffled(text.CountVectorizer):
        def transform(self, texts):
            return -super().transform(texts)

    class Same(text.CountVectorizer):
        pass

    assert audit_pipeline(Shuffled().fit(TEXTS), TEXTS).verdict is REFUTED
    assert audit_pipeline(Same().fit(TEXTS), TEXTS, tries=100).verdict is UNKNOWN


def test_a_norm_that_is_changed_after_fit_does_not_earn_a_proof():
    fitted = text.TfidfVectorizer().fit(TEXTS)
    fitted.norm = None
    assert audit_pipeline(fitted, TEXTS).verdict is REFUTED
    assert audit_pipeline(fitted, TEXTS, ["benign"], tries=50).verdict is UNKNOWN


def test_the_same_seed_gives_the_same_witness():
    one, two = (audit_pipeline(text.TfidfVectorizer().fit(TEXTS), TEXTS, seed=3) for _ in range(2))
    assert one.to_dict() == two.to_dict()


# fmt: off
REFUSED = {
    # why                             call                                                             the sentence says
    "one text":                       (lambda: audit_pipeline(COUNTS, "free money"),                   "neither texts"),
    "no text":                        (lambda: audit_pipeline(COUNTS, []),                             "neither texts"),
    "an addition of another kind":    (lambda: audit_pipeline(COUNTS, TEXTS, "raise"),                 "'raise' came"),
    "an addition of texts to tables": (lambda: audit_pipeline(cut, TABLE, "insert"),                   "'insert' came"),
    "no words":                       (lambda: audit_pipeline(cut, TEXTS, [" "]),                      "no words came"),
    "no direction":                   (lambda: audit_pipeline(cut, TABLE, directions=0),               "a direction"),
    "another policy":                 (lambda: audit_pipeline(cut, TABLE, missing="low"),              "'low' came"),
    "no encoder":                     (lambda: audit_pipeline(3, TEXTS),                               "a int came"),
    "one row for many":               (lambda: audit_pipeline(lambda t: np.ones((1, 2)), TEXTS),       "one row each"),
    "words as features":              (lambda: audit_pipeline(lambda t: np.array([[x] for x in t]), TEXTS), "numbers"),
    "a width that changes":           (lambda: audit_pipeline(lambda t: np.ones((len(t), len(t[0]))), TEXTS), "widths"),
    "which way is not said":          (lambda: audit_pipeline(lambda x: x[:, :2], TABLE, directions=-1), "encoded"),
}
# fmt: on


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_audited_is_said_in_a_sentence(why):
    call, says = REFUSED[why]
    with pytest.raises(BadInput, match=says):
        call()
