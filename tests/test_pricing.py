"""What a direction costs, what the data say of it, and which directions they suggest."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

import isotone
from isotone.errors import BadInput
from isotone.pricing import price, suggest_directions
from isotone.pricing._intervals import of_models, of_scores
from isotone.pricing._splits import splits_of
from isotone.pricing._suggestions import CLOSING


def trees(ways, kind=HistGradientBoostingRegressor, **settings):
    return kind(monotonic_cst=ways, max_iter=30, early_stopping=False, **settings)


def rows(seed=0, n=500, d=3):
    return np.random.default_rng(seed).normal(size=(n, d))


def noise(seed, n=500):
    return 0.5 * np.random.default_rng(1000 + seed).normal(size=n)


@pytest.fixture(scope="module")
def priced():
    X = rows()
    return price(trees([1, 1, 1]), X, X[:, 0] - X[:, 1] + X[:, 2] ** 2 + noise(0), alone=True)


def test_right_wrong_and_bent_directions_are_told_apart(priced):
    right, wrong, bent = priced.costs
    assert [cost.seen for cost in priced.costs] == ["agree", "against", "against"]
    assert right.cost.low <= 0.01
    assert wrong.cost.low > 0.1
    assert wrong.against.change.mean < 0
    assert bent.against.end <= 1.0  # it falls on the left side
    assert [text.split(" ")[0] for text in priced.warnings] == ["x1", "x2"]
    assert all("do not show that it is wrong" in text for text in priced.warnings)


def test_costs_are_paired_differences_of_the_printed_scores(priced):
    difference = np.array(priced.scores_without) - np.array(priced.scores_with)
    assert priced.together.mean == pytest.approx(difference.mean())
    assert len(difference) == 10
    assert priced.together.mean > max(cost.cost.mean for cost in priced.costs) - 0.05
    assert all(cost.alone is not None for cost in priced.costs)


def test_a_price_is_read_in_80_columns_as_a_page_and_as_json(priced):
    text = str(priced)
    assert max(map(len, text.splitlines())) <= 80
    assert "warning: x1 (increasing)" in text
    assert "alone" in text
    assert json.loads(json.dumps(priced.to_dict(), allow_nan=False))["costs"][1]["data"] == "against"
    assert "<b>warning:</b>" in priced._repr_html_()
    ax = priced.plot()
    assert next(label.get_text() for label in ax.get_yticklabels()) == "all together"


def test_the_same_seed_gives_the_same_price_and_the_estimator_is_left_alone():
    X = rows(n=200)
    model = trees([1, 0, 0])
    one, two = (price(model, X, X[:, 0] + noise(1, 200), repeats=1, seed=3).to_dict() for _ in range(2))
    assert one == two
    assert not hasattr(model, "_predictors")
    assert model.monotonic_cst == [1, 0, 0]
    assert len(one["costs"]) == 1


@pytest.mark.slow
def test_directions_that_hold_warn_seldom():
    warned = 0
    for seed in range(6):
        X = rows(seed, 200)
        y = X[:, 0] + 4 * noise(seed, 200)  # x1 and x2 do nothing: +1 is neither right nor wrong
        warned += len(price(trees([1, 1, 1]), X, y, repeats=1, seed=seed).warnings)
    assert warned == 0


@pytest.mark.slow
def test_classes_frames_weights_and_groups():
    X = pd.DataFrame(rows(), columns=["debt", "income", "age"])
    X["home"] = pd.Categorical(np.where(X["age"] > 0, "own", "rent"))
    y = np.where(X["debt"] - X["income"] + noise(0) > 0, "bad", "good")
    ways = {"debt": 1, "income": 1}  # 'good' is the second class: debt has to be -1
    found = price(
        trees(ways, HistGradientBoostingClassifier, categorical_features="from_dtype"),
        X,
        y,
        repeats=1,
        groups=np.arange(500) // 5,
        sample_weight=np.linspace(0.5, 1.5, 500),
    )
    assert found.measure == "roc_auc"
    assert "by group" in found.about
    assert [cost.seen for cost in found.costs] == ["against", "agree"]


def test_weights_are_used_for_fits_and_scores():
    X = rows(n=300)
    y = np.where(np.arange(300) % 2, X[:, 0], -X[:, 0]) + 0.1 * noise(0, 300)
    even = price(trees([1, 0, 0]), X, y, repeats=1, sample_weight=np.where(np.arange(300) % 2, 1.0, 1e-6))
    odd = price(trees([1, 0, 0]), X, y, repeats=1, sample_weight=np.where(np.arange(300) % 2, 1e-6, 1.0))
    assert np.mean(even.scores_with) > 0.8
    assert np.mean(odd.scores_with) < 0.1
    assert odd.costs[0].seen == "against"


@pytest.mark.parametrize("classes", [False, True])
def test_groups_are_never_on_both_sides(classes):
    groups = np.random.default_rng(0).integers(0, 30, 200)
    splits = splits_of(np.arange(200) % 2, 4, 2, groups, seed=0, classes=classes)
    assert len(splits.pairs) == 8
    for train, held in splits.pairs:
        assert not set(groups[train]) & set(groups[held])
        assert len(train) + len(held) == 200


BOOSTERS = {
    "lightgbm": ("LGBMRegressor", [1, 0, 0], {"n_estimators": 20, "verbose": -1, "n_jobs": 1}),
    "xgboost": ("XGBRegressor", (1, 0, 0), {"n_estimators": 20, "n_jobs": 1}),
    "catboost": (
        "CatBoostRegressor",
        [1, 0, 0],
        {"iterations": 20, "verbose": 0, "thread_count": 1, "allow_writing_files": False},
    ),
}


@pytest.mark.parametrize("package", BOOSTERS)
def test_boosters_that_call_it_monotone_constraints_are_priced(package):
    name, ways, extra = BOOSTERS[package]
    model = getattr(pytest.importorskip(package), name)(monotone_constraints=ways, **extra)
    X = rows(n=200)
    assert price(model, X, -X[:, 0], repeats=1).costs[0].seen == "against"


def test_intervals_are_those_of_the_papers():
    found = of_scores([0.1, 0.2, 0.4, 0.3], 0.25)
    assert found.error == pytest.approx(np.sqrt((1 / 4 + 1 / 4) * np.var([0.1, 0.2, 0.4, 0.3], ddof=1)))
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 3) * found.error)
    assert found.p_above_zero() == pytest.approx(stats.t.sf(found.mean / found.error, 3))
    # The jackknife with one row left out, of a mean: its standard error is that of the mean, to the letter.
    x = np.random.default_rng(0).normal(size=40)
    without = [np.delete(x, i).mean() for i in range(40)]
    assert of_models(without, 1 / 39, 39, 0.95).error == pytest.approx(x.std(ddof=1) / np.sqrt(40))


def test_equal_scores_give_an_interval_without_width():
    found = of_scores([0.0, 0.0, 0.0], 0.25)
    assert (found.low, found.high, found.p_above_zero()) == (0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def suggested():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(800, 6))
    frame = pd.DataFrame(x, columns=["up", "down", "bent", "nothing", "confounder", "turned"])
    # Given the confounder 'turned' lowers y; alone it goes up with y.
    frame["turned"] = frame["confounder"] + 0.4 * x[:, 5]
    y = 1.5 * np.tanh(x[:, 0]) - x[:, 1] + x[:, 2] ** 2 + 2 * frame["confounder"] - frame["turned"]
    frame["home"] = pd.Categorical(generator.choice(["rent", "own"], 800))
    frame["same"] = 1.0
    return suggest_directions(frame, y + 0.3 * generator.normal(size=800))


SUGGESTIONS = [
    # feature       direction  why (not)
    ("up", 1, ""),
    ("down", -1, ""),
    ("bent", 0, ""),
    ("nothing", 0, "no more than chance would show"),
    ("confounder", 1, ""),
    ("turned", 0, "alone it goes with y the other way"),
    ("home", 0, "its values have no order"),
    ("same", 0, "constant"),
]


@pytest.mark.parametrize(("name", "direction", "why"), SUGGESTIONS, ids=[row[0] for row in SUGGESTIONS])
def test_a_direction_is_suggested_only_where_the_evidence_is_clear(suggested, name, direction, why):
    found = next(feature for feature in suggested.features if feature.name == name)
    assert found.direction == direction
    assert why in found.why_not
    assert bool(found.why_not) == (direction == 0)


def test_suggestions_end_with_whose_decision_it_is(suggested):
    text = str(suggested)
    assert " ".join(text.split()).endswith(CLOSING)
    assert max(map(len, text.splitlines())) <= 80
    assert suggested.directions == {"up": 1, "down": -1, "confounder": 1}
    json.dumps(suggested.to_dict(), allow_nan=False)
    assert "is not a reason by itself" in suggested._repr_html_()


@pytest.mark.slow
def test_nothing_is_suggested_of_noise():
    found = [suggest_directions(rows(seed, 200, 5), noise(seed, 200), repeats=1).directions for seed in range(5)]
    assert found == [{}] * 5


def test_classes_are_told_by_the_second_one():
    X = rows()
    y = np.where(X[:, 0] + noise(0) > 0, "yes", "no")
    found = suggest_directions(X, y, estimator=HistGradientBoostingClassifier(max_iter=30), repeats=1)
    assert found.directions == {"x0": 1}


MISTAKES = [
    (lambda: price(LinearRegression(), rows(), noise(0)), "a LinearRegression without directions came"),
    (lambda: price(trees(None), rows(), noise(0)), "isotone.suggest_directions(X, y)"),
    (lambda: price(trees([1, 0, 0]), rows(), noise(0)[:9]), "9 values of y came for 500 rows"),
    (lambda: price(trees([1, 0]), rows(), noise(0)), "2 came for 3 features"),
    (lambda: price(trees([1, 0, 0]), rows(), noise(0), cv=1), "cv=1, repeats=2 came"),
    (lambda: price(trees([1, 0, 0]), rows(), noise(0), groups=np.zeros(500)), "1 groups came for 5 folds"),
    (lambda: price(trees([1, 0, 0]), rows(), noise(0), groups=[1, 2]), "2 came for 500 rows"),
    (lambda: suggest_directions(rows(), np.arange(500) % 3, estimator=HistGradientBoostingClassifier()), "3 classes"),
    (lambda: suggest_directions(rows(), noise(0)[:9]), "9 values of y came for 500 rows"),
]


@pytest.mark.parametrize(("call", "says"), MISTAKES, ids=[says for _, says in MISTAKES])
def test_a_mistake_is_one_sentence(call, says):
    with pytest.raises(BadInput) as fault:
        call()
    assert says in str(fault.value)


def in_words():
    """Categories whose order only the estimator knows: y rises from c over a to b."""
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    X = pandas.DataFrame({"kind": random.choice(["a", "b", "c"], 120), "number": random.random(120)})
    y = X["kind"].map({"c": 0.0, "a": 1.0, "b": 2.0}) + X["number"]
    return X, y.to_numpy()


def ordered(order):
    ways = {"kind": 1, "number": 1}
    return isotone.MonotoneRegressor(
        ways, category_orders={"kind": order}, categorical_features=["kind"], epochs=5, members=1, random_state=0
    )


@pytest.mark.parametrize(
    ("order", "seen"),
    [
        (["c", "a", "b"], True),  # a line: its effect goes from c to b
        ([("c", "a"), ("c", "b")], False),  # a and b are not above one another: there is no from and to
    ],
    ids=["line", "pairs"],
)
def test_orders_that_only_the_estimator_was_told_are_priced(order, seen):
    X, y = in_words()
    found = price(ordered(order), X, y, cv=3, repeats=1)
    cost = found.costs[0]
    assert (cost.name, cost.direction) == ("kind", 1)
    assert (cost.effect is not None) == seen
    if seen:
        assert (cost.effect.start, cost.effect.end) == ("c", "b")


def test_one_class_among_held_out_rows_is_refused_by_its_reason():
    random = np.random.default_rng(0)
    X, y = random.random((60, 1)), np.repeat([0, 1], [50, 10])
    groups = np.r_[np.arange(50), np.full(10, 99)]  # all positives in one group
    model = isotone.MonotoneClassifier([1], epochs=2, members=1)
    with pytest.warns(UserWarning, match="[Oo]nly one class"), pytest.raises(BadInput, match="two classes among"):
        price(model, X, y, cv=3, repeats=1, groups=groups)


@pytest.mark.parametrize("ask", [price, suggest_directions], ids=["price", "suggest"])
def test_a_target_that_is_no_number_is_refused(ask):
    X, y = np.random.default_rng(0).random((40, 1)), np.r_[np.nan, np.arange(39.0)]
    arguments = (isotone.MonotoneRegressor([1]), X, y) if ask is price else (X, y)
    with pytest.raises(BadInput, match="NaN or infinity came"):
        ask(*arguments)


def test_a_column_with_nothing_in_it_has_no_effect_and_stops_nothing():
    random = np.random.default_rng(0)
    X = np.c_[random.random(90), np.full(90, np.nan)]
    found = price(isotone.MonotoneRegressor([1, 1], epochs=3, members=1), X, X[:, 0], cv=3, repeats=1)
    assert [cost.effect is None for cost in found.costs] == [False, True]
    suggested = suggest_directions(X, X[:, 0], cv=3, repeats=1)
    assert suggested.features[1].direction == 0
