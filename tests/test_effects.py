"""Reasons add up and have the signs of the directions; effects and importances say what the score does."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.inspection import permutation_importance

from isotone.effects import _rows as rows_room
from isotone.effects import effects, importances, reasons
from isotone.effects._shapley import exact, sampled
from isotone.errors import BadInput, NoMatch

finite = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3))


def monotone(seed, ways):
    """A random function that keeps `ways`: sums of saturating products of monotone parts; free ones enter by a sine."""
    generator = np.random.default_rng(seed)
    weights = generator.exponential(size=(4, len(ways))) * np.array(ways)
    offsets, slopes = generator.normal(size=4), generator.exponential(size=4)
    free = np.where(np.array(ways) == 0, generator.normal(size=len(ways)), 0.0)

    def score(X):
        hidden = sum(X[:, [j]] * weights[:, j] for j in range(len(ways)))  # a fixed order of sums: exactly monotone
        hidden = np.maximum(hidden + offsets + np.sin(2 * (X * free).sum(1))[:, None], 0) ** 1.0
        return hidden[:, 0] * slopes[0] + np.minimum(hidden[:, 1], hidden[:, 2]) + np.floor(hidden[:, 3])

    return score


@st.composite
def questions(draw, least=1, most=6):
    d = draw(st.integers(least, most))
    ways = draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=d, max_size=d))
    row = draw(st.lists(finite, min_size=d, max_size=d))
    base = draw(st.lists(finite, min_size=d, max_size=d))
    return monotone(draw(st.integers(0, 999)), ways), ways, np.array([row]), np.array(base)


@given(questions())
@settings(max_examples=60, deadline=None)
def test_points_have_the_sign_of_the_direction_and_add_up(question):
    score, ways, row, base = question
    found = reasons(score, row, base, ways)
    assert (found.points * np.sign(row - base) * np.array(ways) >= 0).all()
    assert np.isclose(found.points.sum(), score(row)[0] - score(base[None])[0], atol=1e-9)
    assert (found.points[row == base] == 0).all()
    assert found.agree


@given(questions(least=13, most=16))
@settings(max_examples=8, deadline=None)
def test_sampled_points_keep_both_properties(question):
    score, ways, row, base = question
    found = reasons(score, row, base, ways, permutations=8)
    assert (found.points * np.sign(row - base) * np.array(ways) >= 0).all()
    assert np.isclose(found.points.sum(), score(row)[0] - score(base[None])[0], atol=1e-9)


@given(st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_exact_shares_are_the_mean_over_all_orders(k, seed):
    game = np.random.default_rng(seed).normal(size=2**k)
    plan, expected = exact(k), np.zeros(k)
    for order in itertools.permutations(range(k)):
        inside = 0
        for i in order:
            expected[i] += game[inside | 1 << i] - game[inside]
            inside |= 1 << i
    assert np.allclose(plan.weigh(game).share, expected / math.factorial(k))


def test_sampled_shares_come_near_the_exact_ones_by_their_error():
    def value(masks):
        return masks[:, 0] * 2.0 + masks[:, 1:3].all(1) * 3.0 + np.sqrt(masks.sum(1))

    plan = sampled(6, 2000, np.random.default_rng(0))
    found, truth = plan.weigh(value(plan.masks)), exact(6).weigh(value(exact(6).masks))
    assert (np.abs(found.share - truth.share) <= 4 * found.error + 1e-12).all()
    assert found.error.max() < 0.05


def mixed(n=300, seed=0):
    generator = np.random.default_rng(seed)
    home = pd.Categorical(generator.choice(["rent", "own", "other"], n))
    grade = pd.Categorical(generator.choice(["low", "mid", "high"], n), ["low", "mid", "high"], ordered=True)
    frame = pd.DataFrame(
        {
            "debt": generator.gamma(2.0, 1.0, n),
            "late": generator.integers(0, 5, n),
            "income": np.where(generator.random(n) < 0.1, np.nan, generator.gamma(3.0, 1.0, n)),
            "grade": grade,
            "home": home,
        }
    )
    risk = frame["debt"] + 0.5 * frame["late"] - frame["income"].fillna(1.0) - 0.5 * frame["grade"].cat.codes
    return frame, (risk + generator.normal(size=n) > -1).to_numpy()


@pytest.fixture(scope="module")
def credit():
    X, y = mixed()
    model = HistGradientBoostingClassifier(monotonic_cst={"debt": 1, "late": 1, "income": -1}, max_iter=30)
    return model.fit(X, y), X, y


TYPICAL = {"debt": 1.5, "late": 1.5, "income": 3.0, "grade": "mid", "home": "own"}
WAYS = {"debt": 1, "late": 1, "income": -1}


def test_mixed_columns_of_a_frame_are_explained(credit):
    model, X, _ = credit
    found = reasons(model, X[:60], TYPICAL, WAYS)
    assert found.agree
    assert np.allclose(found.points.sum(1), model.decision_function(X[:60]) - found.baseline_score)
    sign = np.array(found.directions) * found.moved
    assert (sign * found.points >= 0).all()
    # A missing income is outside of the order: it has points and no promised sign.
    gone = X["income"][:60].isna().to_numpy()
    assert gone.any()
    assert (found.moved[gone, 2] == 0).all()


def test_the_top_of_a_row_is_what_raised_it_most(credit):
    model, X, _ = credit
    found = reasons(model, X[:20], TYPICAL, WAYS)
    for r, adverse in enumerate(found.top(2, way=+1)):
        best = np.sort(found.points[r][found.points[r] > 0])[::-1][:2]
        assert [reason.points for reason in adverse] == best.tolist()
    assert all(len(row) <= 5 for row in found.top(99))


def test_reasons_are_printed_in_80_columns_and_go_to_json(credit):
    model, X, _ = credit
    found = reasons(model, X[:7], TYPICAL, WAYS)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert "baseline value" in text
    assert "2 more rows" in text
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["rows"][0]["points"]["debt"] == found.points[0, 0]
    assert len(found.to_frame()) == int((found.points != 0).sum())
    assert "<table>" in found._repr_html_()
    assert found.importances().names == found.names


def test_a_score_that_breaks_its_direction_is_said():
    with pytest.warns(UserWarning, match="against the direction of 'x0'"):
        found = reasons(lambda X: -X[:, 0], [[1.0]], [0.0], [1])
    assert not found.agree
    assert "note: the score moved by 1 against" in str(found)


def test_the_kind_of_baseline_does_not_matter(credit):
    model, X, _ = credit
    one = reasons(model, X[:3], TYPICAL)
    for other in (pd.Series(TYPICAL), pd.DataFrame([TYPICAL]), list(TYPICAL.values())):
        assert np.array_equal(one.points, reasons(model, X[:3], other).points)


def test_missing_values_may_have_a_place():
    def score(X):
        return np.where(np.isnan(X[:, 0]), -1.0, np.maximum(X[:, 0], -1.0))

    found = reasons(score, [[np.nan]], [2.0], [1], missing="lowest")
    assert found.moved.tolist() == [[-1]]
    assert found.points.tolist() == [[-3.0]]
    assert reasons(score, [[np.nan]], [np.nan], [1]).points.tolist() == [[0.0]]


def test_a_score_does_not_depend_on_the_rows_beside_it():
    sizes = []

    def score(X):
        sizes.append(len(X))
        return X[:, 0]

    rows_room.scores(score, np.zeros((2500, 1)))
    rows_room.scores(score, np.zeros((1, 1)))
    assert set(sizes) == {1024}


MISTAKES = [
    # call                                                                    error     says
    (lambda: reasons(lambda X: X[:, 0], [[1.0]], [1.0, 2.0]), BadInput, "2 values came for 1 features"),
    (lambda: reasons(lambda X: X[:, 0], [[1.0]], {"y": 1.0}), NoMatch, "'y' matches no feature"),
    (lambda: reasons(lambda X: X, [[1.0, 2.0]], [0.0, 0.0]), BadInput, "one number per row"),
    (lambda: reasons(lambda X: X[:, 0] * np.nan, [[1.0]], [0.0]), BadInput, "NaN came"),
    (lambda: reasons("model", [[1.0]], [0.0]), BadInput, "a str came"),
    (lambda: reasons(lambda X: X[:, 0], [[1.0]], [0.0], missing="low"), BadInput, "lowest, highest, outside"),
    (lambda: reasons(lambda X: X[:, 0], mixed()[0], TYPICAL | {"home": "tent"}), BadInput, "'tent' came for 'home'"),
    (lambda: reasons(len, mixed()[0], TYPICAL, {"home": 1}), BadInput, "'home' has a direction and values without"),
    (lambda: reasons(len, mixed()[0], {"debt": 1.0}), BadInput, "no value came for late, income, grade"),
    (lambda: effects(len, [1.0, 2.0]), BadInput, "shape (2,) came"),
    (lambda: effects(len, [[1.0]], "x7"), NoMatch, "'x7' matches no feature"),
    (lambda: effects(len, [[1.0]], [3]), BadInput, "column 3 came"),
    (lambda: effects(len, [[1.0]], grid=1), BadInput, "2 or more values"),
    (lambda: importances(len, [[1.0]], [1.0, 2.0]), BadInput, "2 values of y came for 1 rows"),
]


@pytest.mark.parametrize(("call", "error", "says"), MISTAKES, ids=[says for *_, says in MISTAKES])
def test_a_mistake_is_one_sentence(call, error, says):
    with pytest.raises(error) as fault:
        call()
    assert says in str(fault.value)


def test_effects_hold_the_rest_of_each_row(credit):
    model, X, _ = credit
    found = effects(model, X, directions=WAYS, rows=50, grid=6)
    assert list(found) == list(X.columns)
    assert found["debt"].swing > 0 > found["income"].swing
    assert all(found[name].against == 0 for name in WAYS)
    assert found["grade"].grid.tolist() == ["low", "mid", "high"]
    assert set(found["home"].grid) == {"rent", "own", "other"}
    assert set(found["late"].grid) == {0, 1, 2, 3, 4}
    moved = X[:1].assign(debt=found["debt"].grid[2])
    first = effects(model, X[:1], "debt", {"debt": found["debt"].grid[:3].tolist()})
    assert first["debt"].curves[0, 2] == model.decision_function(moved)[0]
    json.dumps(found.to_dict(), allow_nan=False)


def test_effects_see_a_broken_direction():
    found = effects(lambda X: np.abs(X[:, 0]), np.linspace(-1, 1, 9)[:, None], directions=[1])
    assert found["x0"].against == pytest.approx(0.25)
    assert "breaks it by 0.25" in str(found)


def test_given_values_of_categories_stay_categories(credit):
    model, X, _ = credit
    found = effects(model, X[:5], grid={"home": ["own", "rent"]})
    assert found["home"].grid.tolist() == ["own", "rent"]


def test_importances_find_what_matters(credit):
    model, X, y = credit
    for scoring in (None, "accuracy"):
        found = importances(model, X, y, scoring=scoring, repeats=3)
        assert found.names[found.order()[0]] in {"debt", "income"}
        assert found.mean[4] < found.mean.max() / 3
    assert max(map(len, str(found).splitlines())) <= 80
    assert found.to_dict()["features"][0]["name"] == "debt"


def test_importances_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 3))
    y = X[:, 0] + 0.5 * X[:, 1] + 0.1 * generator.normal(size=400)
    model = HistGradientBoostingRegressor(max_iter=30).fit(X, y)
    theirs = permutation_importance(model, X, y, n_repeats=20, random_state=0)
    ours = importances(model, X, y, repeats=20)
    assert np.allclose(ours.mean, theirs.importances_mean, atol=0.03)


def test_a_value_far_away_is_not_drawn_unless_a_direction_breaks_there():
    spread = np.r_[np.linspace(0.0, 1.0, 500), 1000.0]

    def falls_at_the_end(X):
        return np.where(X[:, 0] < 500, X[:, 0], -X[:, 0])

    for column, direction, drawn in (
        (spread, 0, (0.0, 1.0)),  # the last value would leave the others one pixel
        (spread, 1, (0.0, 1000.0)),  # a break is shown
        (np.r_[spread, [1000.0] * 50], 0, (0.0, 1000.0)),  # a tenth of the rows
        (np.array([0.0, 0.5, 0.7, 1.0, 1000.0]), 0, (0.0, 1000.0)),  # all that there is
    ):
        effect = effects(falls_at_the_end, column[:, None], directions=[direction])["x0"]
        line = effect.plot().lines[-1].get_xdata()
        assert (min(line), max(line)) == pytest.approx(drawn, abs=0.1)
        assert effect.grid[-1] == 1000.0


def test_pictures_show_every_feature(credit, tmp_path):
    model, X, y = credit
    figure = effects(model, X, directions=WAYS, rows=40, grid=8).plot()
    assert sum(panel.get_visible() for panel in figure.axes) == 5
    figure.savefig(tmp_path / "effects.png")
    bars = importances(model, X, y, repeats=2).plot()
    assert next(label.get_text() for label in bars.get_yticklabels()) in {"debt", "income"}
    bars.figure.savefig(tmp_path / "importances.png")
