"""Which number is the score: said, chosen, or asked for."""

# ruff: noqa: E501 - a table has a row per case
from __future__ import annotations

import numpy as np
import pytest
import torch

from isotone.auditing import audit
from isotone.auditing._score import score_of
from isotone.errors import BadInput, NoMatch
from isotone.verdict import Verdict

X = np.random.default_rng(0).uniform(size=(60, 2))
LABELS = (X[:, 0] + X[:, 1] > 1).astype(int)


def two(x):
    p = 1 / (1 + np.exp(-x[:, 0]))
    return np.stack([1 - p, p], axis=1)


def three(x):
    return np.stack([x[:, 0], x[:, 1], -x[:, 0]], axis=1)


# fmt: off
FAULTS = {
    # what came                        predict                          output   sentence
    "two columns that sum to one":    (two,                             None,    "two columns that sum to one.*output="),
    "three columns":                  (three,                           None,    "3 columns.*output="),
    "a column that is not there":     (three,                           3,       "3 came; a number from 0 to 2"),
    "a name nobody knows":            (three,                           "high",  "'high' came"),
    "words":                          (lambda x: np.array(["a"] * len(x)), None, "numbers would be right"),
    "too few scores":                 (lambda x: x[:3, 0],              None,    r"\(3,\) came back for 60 rows"),
    "one number for all":             (lambda x: 3.0,                   None,    r"shape \(\) came back"),
    "no function":                    (3,                               None,    "int came"),
    "a class":                        (torch.nn.Linear,                 None,    "the class Linear came"),
    "no such file":                   ("nowhere.onnx",                  None,    "there is no such file"),
    "a function that fails":          (lambda x: x["debt"],             None,    "failed on the first rows of X .*ndarray"),
}
# fmt: on


@pytest.mark.parametrize("fault", FAULTS)
def test_what_gives_no_score_is_one_sentence(fault):
    predict, output, sentence = FAULTS[fault]
    with pytest.raises(BadInput, match=sentence):
        audit(predict, X, +1, output=output)


@pytest.mark.parametrize(("output", "place"), [(0, 0), (1, 1), ("1", 1), (-1, 1)])
def test_output_names_a_column(output, place):
    assert np.array_equal(score_of(two, X, output).call(X), two(X)[:, place])


def test_of_a_binary_classifier_the_positive_class_is_read_and_said():
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    model = LogisticRegression().fit(X, np.where(LABELS, "bad", "good"))
    score = score_of(model, X, None)
    assert score.said == "predict_proba of LogisticRegression, class good"
    assert np.array_equal(score_of(model, X, "bad").call(X), model.predict_proba(X)[:, 0])
    with pytest.raises(NoMatch, match=r"'baad' matches no column. Did you mean 'bad'"):
        score_of(model, X, "baad")


def test_without_probabilities_the_margin_is_read():
    from sklearn.svm import LinearSVC  # noqa: PLC0415

    assert score_of(LinearSVC().fit(X, LABELS), X, None).said == "decision_function of LinearSVC"


def test_a_torch_module_is_asked_in_the_mode_in_which_it_is():
    model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.5))
    assert score_of(model.eval(), X, None).said == "Sequential in eval mode"
    found = audit(model.train(), X, +1)
    assert found.reason.startswith("nothing can be claimed: the score of a row depends on more than the row.")
    assert model.training


def test_float32_in_float64_is_known_by_its_values():
    wide = score_of(lambda x: (x[:, 0] * 3).astype(np.float32).astype(np.float64), X, None)
    assert wide.precision == np.finfo(np.float32).eps
    assert score_of(lambda x: x[:, 0] * 3, X, None).precision == np.finfo(np.float64).eps


CARDS = [
    (lambda x: 600 + np.floor(100 * x[:, 0]) - 5.0 * (x[:, 1] > 0.5), ["x1"], "points of a scorecard"),
    (lambda x: 600 - 5.0 * (x[:, 1] > 0.5) - 3.0 * (x[:, 2] > 0.5), ["x1", "x2"], "few different points"),
    (lambda x: np.floor(200 * x[:, 0]) / 256 - (x[:, 1] > 0.5) / 256, ["x1"], "votes"),
    (lambda x: 2.0**21 + np.floor(100 * x[:, 0]) - (x[:, 2] > 0.5), ["x2"], "large whole numbers"),
]


@pytest.mark.parametrize(("score", "guilty", "why"), CARDS, ids=[why for *_, why in CARDS])
def test_numbers_that_fit_into_a_narrow_type_are_not_taken_for_rounded(score, guilty, why):
    found = audit(score, np.random.default_rng(0).uniform(size=(600, 3)), +1)
    assert found.verdict is Verdict.REFUTED, why
    assert [one.name for one in found.features if one.witness is not None] == guilty


def test_halves_are_known_by_their_values_and_bfloat16_by_its_type():
    half = score_of(lambda x: (x[:, 0] * 3).astype(np.float16).astype(np.float64), X, None)
    assert half.precision == np.finfo(np.float16).eps
    brain = score_of(lambda x: torch.from_numpy(x[:, 0].copy()).bfloat16(), X, None)
    assert brain.precision == torch.finfo(torch.bfloat16).eps


def test_scores_that_are_no_numbers_are_not_compared():
    found = audit(lambda x: np.full(len(x), np.nan), X, +1, budget_seconds=2)
    assert "no pair found in 0 comparisons" in found.reason


def test_an_onnx_file_is_asked_like_the_model_it_came_from(tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    model = LogisticRegression().fit(X, LABELS)
    options = {id(model): {"zipmap": False}}
    path = tmp_path / "model.onnx"
    path.write_bytes(skl2onnx.to_onnx(model, X[:1].astype(np.float32), options=options).SerializeToString())
    score = score_of(path, X, 1)
    assert np.allclose(score.call(X), model.predict_proba(X)[:, 1], atol=1e-6)
    with pytest.raises(BadInput, match="two columns that sum to one"):
        score_of(str(path), X, None)
    assert audit(path, X, +1, output=1, budget_seconds=2).witness is None
    assert audit(path, X, -1, output=1, budget_seconds=2).exit_code == 1
