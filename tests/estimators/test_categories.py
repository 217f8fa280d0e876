"""Categories: a column with an order keeps it, one without has no direction, and pairs order what they order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import isotone
from isotone.errors import BadInput

from .small import classifier, proved, regressor, two

GRADES = ["c", "b", "a"]


def people(rows=200, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, rows),
            "income": rng.exponential(30_000, rows),
            "grade": pd.Categorical(rng.choice(GRADES, rows), categories=GRADES, ordered=True),
            "town": pd.Categorical(rng.choice(["york", "bath", "ely"], rows)),
            "word": rng.choice(["x", "y"], rows),
        }
    )
    frame.loc[::9, "income"] = np.nan
    frame.loc[::7, "grade"] = np.nan
    good = frame["income"].fillna(0) / 30_000 + frame["grade"].cat.codes + (frame["town"] == "ely")
    return frame, good.to_numpy(dtype=float)


PEOPLE = {"income": 1, "grade": 1, "age": -1}


@pytest.mark.parametrize("make", [regressor, classifier])
def test_tables_with_categories_keep_their_orders(make, tmp_path):
    frame, y = people()
    model = make(PEOPLE).fit(frame, y if make is regressor else two(y))
    score = model.predict if make is regressor else model.decision_function
    steps = [frame.assign(grade=pd.Categorical([g] * len(frame), GRADES, ordered=True)) for g in (np.nan, *GRADES)]
    found = score(pd.concat(steps)).reshape(4, -1)
    assert (np.diff(found, axis=0) >= 0).all()
    assert found[3].mean() > found[1].mean()
    richer = pd.concat([frame, frame.assign(income=frame["income"] * 2), frame.assign(age=frame["age"] + 1)])
    base, rich, old = score(richer).reshape(3, -1)
    assert (rich >= base).all()
    assert (old <= base).all()
    assert proved(model)
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    assert np.array_equal(again.predict(frame), model.predict(frame))


def test_a_category_never_seen_is_scored():
    frame, y = people()
    model = regressor(PEOPLE).fit(frame, y)
    found = model.predict(frame.assign(town=pd.Categorical(["rome"] * len(frame)), word="z"))
    assert np.isfinite(found).all()


def test_an_unordered_category_has_no_direction():
    frame, y = people()
    with pytest.raises(BadInput, match="town"):
        regressor({"town": 1}).fit(frame, y)


def test_pairs_order_what_they_order(tmp_path):
    frame, y = people()
    orders = {"town": [("bath", "york"), ("bath", "ely")]}
    model = regressor({"town": 1}, category_orders=orders).fit(frame, y)

    def of(town):
        return frame.assign(town=pd.Categorical([town] * len(frame), ["york", "bath", "ely"]))

    bath, york, ely = model.predict(pd.concat([of("bath"), of("york"), of("ely")])).reshape(3, -1)
    assert (bath <= york).all()
    assert (bath <= ely).all()
    assert (ely > york).any()  # no claim between them, and ely is better in these rows
    assert proved(model)
    model.save(tmp_path / "model")
    again = isotone.MonotoneRegressor.load(tmp_path / "model")
    assert np.array_equal(again.fit(frame, y).predict(frame), model.predict(frame))


def test_columns_in_another_order_are_refused():
    frame, y = people()
    model = regressor(PEOPLE).fit(frame, y)
    with pytest.raises(ValueError, match=r"(?i)feature names"):
        model.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize("kind", ["frame of words", "array of codes"])
def test_effects_and_reasons_stand_in_the_order_that_was_told(kind):
    """The codes are such that their own order, 3 < 5 < 7, is not the one told."""
    rng = np.random.default_rng(0)
    levels = ["c", "a", "b"] if kind == "frame of words" else [7, 3, 5]
    place = rng.integers(3, size=90)
    column = np.array(levels)[place]
    X = np.c_[column, rng.integers(9, size=90)] if kind == "array of codes" else pd.DataFrame({"grade": column})
    where = "grade" if kind == "frame of words" else 0
    model = regressor(
        [1] if kind == "frame of words" else [1, 0], category_orders={where: levels}, categorical_features=[where]
    )
    effect = next(iter(model.fit(X, place.astype(float)).effects(X).values()))
    assert effect.grid.tolist() == levels
    assert effect.against == 0 < effect.swing
    rows = X[place == 2][:1]
    base = X[place == 0][:1]
    told = model.reasons(rows, base)
    assert told.moved[0, 0] == 1
    assert told.points[0, 0] > 0


def test_of_pairs_no_direction_is_drawn_and_no_sign_promised():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"grade": rng.choice(["c", "a", "b"], 60)})
    model = regressor([1], category_orders={"grade": [("c", "a"), ("c", "b")]}, categorical_features=["grade"])
    model.fit(X, (X["grade"] == "b").astype(float))
    assert model.effects(X)["grade"].direction == 0
    assert model.reasons(X[:3], X.iloc[0]).directions == (0,)
