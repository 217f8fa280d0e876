"""What can silently be wrong in benchmarks/tabular.py: splits, loaders, made sets, arithmetic, records."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

# They test a benchmark, not the library, and take half a minute.
pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


def part(name):
    """A module of the benchmark, which is no package that is installed."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


boosters, made, networks, page, parts, protocol, published, records, splits, statistics, tables = (
    part(f"_tabular.{name}")
    for name in (
        "boosters",
        "made",
        "networks",
        "page",
        "parts",
        "protocol",
        "published",
        "records",
        "splits",
        "statistics",
        "tables",
    )
)


def few_vectors(task, rows=300):
    """Sixty distinct rows, each about five times."""
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 3))[random.integers(0, 60, rows)]
    y = (X[:, 0] + random.normal(size=rows) > 0.8).astype(float) if task == "classification" else X[:, 0]
    return tables.Table(X, y, np.array([1, 0, -1]))


# fmt: off
KINDS = [
    # set      task              why
    ("compas", "classification", "stratified by class"),
    ("esl",    "regression",     "by group alone"),
    ("gmsc",   "classification", "one split only"),
]
# fmt: on


@pytest.mark.parametrize(("name", "task", "why"), KINDS, ids=[why for *_, why in KINDS])
def test_a_feature_vector_is_in_one_part_of_a_split_only(name, task, why):
    table = few_vectors(task)
    for number in {0, 7, 14} & set(range(splits.count(name, quick=False))):
        cut = splits.split(name, table, number)
        vectors = [{tuple(row) for row in table.X[rows]} for rows in (cut.train, cut.validation, cut.test)]
        assert sum(map(len, vectors)) == len(set.union(*vectors))
        together = np.sort(np.concatenate([cut.train, cut.validation, cut.test]))
        assert (together == np.arange(len(table.X))).all()


def test_each_row_is_judged_once_in_each_repeat():
    table = few_vectors("classification")
    for repeat in range(splits.REPEATS):
        numbers = range(repeat * splits.FOLDS, (repeat + 1) * splits.FOLDS)
        judged = np.concatenate([splits.split("compas", table, number).test for number in numbers])
        assert (np.sort(judged) == np.arange(len(table.X))).all()


def test_repeats_cut_differently_and_a_split_is_the_same_every_time():
    table = few_vectors("classification")
    first, again, other = (splits.split("compas", table, number).test for number in (0, 0, splits.FOLDS))
    assert (first == again).all()
    assert len(first) != len(other) or (first != other).any()


def test_a_given_test_part_is_kept():
    table = few_vectors("regression")
    table = tables.Table(table.X, table.y, table.ways, test=np.arange(250, 300))
    cut = splits.split("blog", table, 0)
    assert (cut.test == np.arange(250, 300)).all()
    assert max(cut.train.max(), cut.validation.max()) < 250


def test_the_quick_form_is_a_part_of_the_full_one():
    for name in tables.SETS:
        assert 1 <= splits.count(name, quick=True) <= splits.count(name, quick=False)


def test_rows_with_a_question_mark_are_left_out_and_ways_go_by_name(tmp_path):
    (tmp_path / "autompg").mkdir()
    (tmp_path / "autompg" / "auto-mpg.csv").write_text(
        "mpg,weight,horsepower,displacement,origin,car name\n18,3504,130,307,1,a\n25,2000,?,98,1,b\n"
        "9,4700,193,304,1,c\n"
    )
    table = tables.autompg(tmp_path)
    assert table.columns == ["weight", "horsepower", "displacement", "origin"]
    assert table.ways.tolist() == [-1, -1, -1, 0]
    assert table.y.tolist() == [18.0, 9.0]


def test_a_direction_for_a_column_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match="no column"):
        tables.numbers(tmp_path / "a.csv", "y", {"z": 1})


def test_compas_rows_are_filtered_and_coded(tmp_path):
    head = (
        "name,sex,age,race,juv_fel_count,juv_misd_count,juv_other_count,priors_count,days_b_screening_arrest,"
        "c_charge_degree,is_recid,score_text,two_year_recid"
    )
    kept = "A,Male,30,Hispanic,1,2,3,4,-30,F,1,Low,1"
    left_out = [
        "B,Male,30,Hispanic,0,0,0,0,-31,F,1,Low,1",
        "C,Male,30,Hispanic,0,0,0,0,,F,1,Low,1",
        "D,Male,30,Hispanic,0,0,0,0,0,F,-1,Low,1",
        "E,Male,30,Hispanic,0,0,0,0,0,F,1,N/A,1",
        "F,Male,30,Hispanic,0,0,0,0,0,O2,1,Low,1",
    ]
    (tmp_path / "compas").mkdir()
    with gzip.open(tmp_path / "compas" / "compas_scores_two_years.csv.gz", "wt") as text:
        text.write("\n".join([head, kept, *left_out]) + "\n")
    table = tables.compas(tmp_path)
    assert table.X.tolist() == [[4, 1, 2, 3, 30, 0, 1, 0, 0, 0, 0, 1]]
    assert table.ways.tolist() == [1] * 4 + [0] * 8
    assert len(table.columns) == 12


def test_gmsc_counts_bad_payers_as_positives(tmp_path):
    (tmp_path / "gmsc").mkdir()
    names = (
        "RevolvingUtilizationOfUnsecuredLines,age,NumberOfTime30-59DaysPastDueNotWorse,DebtRatio,MonthlyIncome,"
        "NumberOfTimes90DaysLate,NumberOfTime60-89DaysPastDueNotWorse,SeriousDlqin2yrs"
    )
    with gzip.open(tmp_path / "gmsc" / "give_me_some_credit_test.csv.gz", "wt") as text:
        text.write(f"{names}\n0.9,21,0,0.1,820,0,0,1\n0.9,21,0,0.1,820,3,0,0\n")
    table = tables.gmsc(tmp_path)
    assert table.y.tolist() == [0.0, 1.0]
    assert dict(zip(table.columns, table.ways.tolist(), strict=True))["age"] == -1


def test_blog_drops_the_first_row_of_every_later_day_of_the_test_part(tmp_path):
    weekday = np.eye(7)[[0, 0, 1, 1, 1, 0, 0]]  # two changes: rows 2 and 5
    X_test = np.zeros((7, 276), dtype=np.float32)
    X_test[:, 259:266] = weekday
    (tmp_path / "blogfeedback").mkdir()
    np.savez(
        tmp_path / "blogfeedback" / "certmono_preprocessed.npz",
        X_train=np.zeros((4, 276)),
        y_train=np.zeros(4),
        X_test=X_test,
        y_test=np.arange(7.0),
    )
    table = tables.blogfeedback(tmp_path)
    assert table.y[table.test].tolist() == [0, 1, 3, 4, 6]
    assert table.ways.tolist() == [1] * 8 + [0] * 268


@given(st.integers(0, 11), st.integers(0, 2**32 - 1))
def test_the_truth_of_screening_obeys_its_directions(column, seed):
    X, *_ = SCREENING
    random = np.random.default_rng(seed)
    rows = X[random.integers(0, len(X), 50)]
    more = rows.copy()
    more[:, column] += random.exponential(2.0, 50)
    way = made.WAYS[column]
    change = made.screening_logit(more) - made.screening_logit(rows)
    assert (way * change >= -1e-12).all()


SCREENING = made.screening(0)


def test_draws_differ_and_the_first_is_what_the_notes_describe():
    X, y, ways, _, test = made.staircase(0)
    assert (X.shape, len(test)) == ((25_000, 20), 5_000)
    assert (X[:20_000] == np.random.default_rng(0).uniform(size=(20_000, 20)).astype(np.float32)).all()
    assert abs(np.std(y - made.staircase_truth(X)) - 0.1) < 0.002
    assert ways.tolist() == [1, -1, 1, 1] + [0] * 16
    assert (made.screening(1)[0] != SCREENING[0]).any()
    assert 0.03 < SCREENING[1].mean() < 0.08


def test_the_jackknife_agrees_with_the_error_of_a_mean():
    random = np.random.default_rng(0)
    ours, theirs = random.uniform(size=(2, 50))
    found = statistics.over_blocks(ours, theirs, lambda mean: mean)
    apart = ours - theirs
    assert found.mean == pytest.approx(apart.mean())
    assert found.plain == pytest.approx(apart.std(ddof=1) / 50**0.5)


def test_differences_over_splits_by_hand():
    found = statistics.over_splits(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 3.0]), ratio=0.25)
    assert found.mean == pytest.approx(1.0)
    assert found.plain == pytest.approx(1 / 3**0.5)
    assert found.corrected == pytest.approx((1 / 3 + 0.25) ** 0.5)
    assert found.errors == pytest.approx(3**0.5)


def test_one_split_has_no_error_and_says_nothing():
    found = statistics.over_splits(np.array([1.0]), np.array([0.5]), ratio=0.25)
    assert np.isnan(found.plain)
    assert not abs(found.errors) <= 1 or found.errors == 0


def test_ranks_share_ties():
    assert statistics.ranks({"a": 0.1, "b": 0.2, "c": 0.2, "d": 0.3}) == {"a": 1, "b": 2.5, "c": 2.5, "d": 4}
    found = statistics.mean_ranks({"x": {"a": 1.0, "b": 2.0}, "y": {"a": 2.0, "b": 1.0, "c": 3.0}})
    assert found == {"a": (1.5, 2), "b": (1.5, 2), "c": (3.0, 1)}


def test_the_critical_difference_is_that_of_the_table():
    # Demsar, JMLR 7 (2006), table 5(a): q of 0.05 for 4 classifiers is 2.569; his example has 14 data sets.
    assert statistics.critical_difference(4, 14) == pytest.approx(2.569 * (20 / 84) ** 0.5, abs=2e-3)


def record(set_name, number, model, value, **more):
    figures = {"log loss": value, "AUC": 0.5, "accuracy": 0.5} if set_name == "heart" else {"RMSE": value, "MAE": value}
    return {
        "set": set_name, "split": number, "model": model, "figures": figures, "rows": [60, 20, 20], "fit_s": 0.1,
        "wall_s": 1.0, "falls": 0, "commit": "abc", "versions": {}, **more,
    }  # fmt: skip


def test_lines_survive_a_cut_and_the_last_counts(tmp_path):
    path = tmp_path / "lines.jsonl"
    records.append(path, record("heart", 0, "lmn", 0.5))
    with path.open("a") as text:
        text.write('{"set": "heart", "spl')
    records.append(path, record("heart", 0, "lmn", 0.4))
    records.append(path, {"set": "heart", "split": 1, "model": "lmn", "error": "none"})
    found = records.measured(path)
    assert list(found) == [("heart", 0, "lmn")]
    assert found["heart", 0, "lmn"]["figures"]["log loss"] == 0.4


def asked(monkeypatch, *words):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the benchmark sets it, and this puts back what it was
    script = part("tabular")
    monkeypatch.setattr(sys, "argv", ["tabular.py", "--data", "folder", *words])
    return script.asked()


def test_only_sets_for_development_are_touched_unasked(monkeypatch, capsys):
    assert asked(monkeypatch).sets == ["compas", "heart", "autompg", "esl"]
    with pytest.raises(SystemExit):
        asked(monkeypatch, "--sets", "heart", "era", "blog")
    assert "era, blog: not for development" in capsys.readouterr().err
    assert asked(monkeypatch, "--open").sets == list(tables.SETS)


def test_what_is_measured_is_not_measured_again_unless_asked(monkeypatch, tmp_path):
    options = asked(monkeypatch, "--quick", "--sets", "heart", "--models", "lmn", "linear")
    path = tmp_path / "lines.jsonl"
    records.append(path, record("heart", 0, "lmn", 0.5))
    jobs = part("tabular").jobs
    assert [job[1:3] for job in jobs(options, path)][:3] == [(0, "linear"), (1, "lmn"), (1, "linear")]
    options.redo = ["lmn"]
    assert len(jobs(options, path)) == 2 * splits.FOLDS


def test_an_opening_is_logged_after_the_ones_before(tmp_path):
    for sets in (["era"], ["lev", "swd"]):
        records.log_opening(tmp_path / "opened.json", sets, "python x")
    rows = json.loads((tmp_path / "opened.json").read_text())
    assert [row["sets"] for row in rows] == [["era"], ["lev", "swd"]]
    assert {"commit", "date", "command"} <= set(rows[0])


def test_the_page_names_a_set_where_isotone_is_worse(tmp_path):
    path = tmp_path / "tabular.jsonl"
    for number in range(5):
        for model, value in (("isotone", 0.5), ("lmn", 0.4 + 0.01 * number), ("mlp free", 0.3)):
            records.append(path, record("heart", number, model, value))
            records.append(path, record("esl", number, model, 1 - value))
        records.append(path, record("heart", number, "linear", 0.1)) if number < 4 else None
    assert "tabular.md" in page.write(tmp_path, tmp_path)
    text = (tmp_path / "tabular.md").read_text()
    assert "| heart | lmn | +0.0800 |" in text  # the free network is no monotone peer, linear lacks a split
    assert "| **worse** |" in text
    assert "| esl | lmn | -0.0800 |" in text
    assert (tmp_path / "tabular.png").stat().st_size > 10_000


def test_half_a_full_form_does_not_displace_the_quick_one(tmp_path):
    records.append(tmp_path / "tabular_quick.jsonl", record("heart", 0, "isotone", 0.5))
    records.append(tmp_path / "tabular.jsonl", record("heart", 0, "isotone", 0.4))
    form, _, left = page.form_of(tmp_path)
    assert form == "quick"
    assert left.startswith(f"The full form is not finished: 1 of {len(page.wanted())} ")
    for key in page.wanted():
        records.append(tmp_path / "tabular.jsonl", record(*key, 0.4))
    form, found, left = page.form_of(tmp_path)
    assert (form, len(found), left) == ("full", len(page.wanted()), "")


def test_settings_are_the_same_every_time_and_begin_with_the_default():
    for model in protocol.MODELS.values():
        settings = model.settings(10, 2000)
        assert settings == model.settings(10, 2000)
        assert settings[0] == model.default
        assert len(settings) == (10 if model.space else 1 + len(model.fixed))
        assert model.settings(4, 2000) == settings[:4]
    assert protocol.MODELS["isotone"].settings(10, 1000) == [{}]  # it chooses by folds itself


def test_falls_are_counted_where_there_are_some():
    X = np.random.default_rng(0).uniform(size=(50, 2))
    assert protocol.falls(lambda X: X[:, 0] - X[:, 1], X, np.array([1, -1])) == 0
    assert protocol.falls(lambda X: X[:, 0] - X[:, 1], X, np.array([1, 1])) == 40 * 20


def test_log_loss_of_certain_and_wrong_is_finite():
    y = np.array([0.0, 1.0])
    assert np.isfinite(protocol.losses(np.array([1.0, 0.0]), y, "classification")).all()
    assert protocol.figures(np.array([0.2, 0.9]), y, "classification")["log loss"] == pytest.approx(
        -(np.log(0.8) + np.log(0.9)) / 2
    )


def small(task, ways):
    """Data that slope against the ways: only a model that is held by them stays monotone."""
    random = np.random.default_rng(0)
    X = random.uniform(size=(200, len(ways)))
    y = -4 * (X[:, 0] * ways[0] + X[:, 1] * ways[1]) + 2 * np.sin(6 * X[:, 2]) + random.normal(0, 0.2, 200)
    y = (y > np.median(y)).astype(float) if task == "classification" else (y - y.mean()) / y.std()
    return X, y


PEERS = [model for model in protocol.MODELS.values() if model.monotone and not model.ours]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("model", PEERS, ids=[model.name for model in PEERS])
def test_peers_are_given_their_directions(model, task, monkeypatch):
    if protocol.missing(model):
        pytest.skip(f"{protocol.missing(model)} is not installed")
    monkeypatch.setattr(networks, "EPOCHS", 15)
    ways = np.array([1, -1, 0])
    X, y = small(task, ways)
    watched = parts.Part(X[:150], y[:150], ways, task, seed=0, watch=(X[150:], y[150:]))
    setting = model.settings(2, 2000)[1]
    first = model.fit(setting, watched)
    assert first.rounds is None or first.rounds >= 1
    again = model.fit(setting, parts.Part(X, y, ways, task, seed=0, rounds=first.rounds))
    for fitted in (first, again):
        assert protocol.falls(fitted.predict, X, ways) == 0
        found = fitted.predict(X)
        assert found.shape == (200,)
        if task == "classification":
            assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.filterwarnings("ignore")
def test_early_stopping_keeps_the_best_round_not_the_last():
    """Predictions on what was watched are as good as the best round, for peers whose rounds can be cut."""
    ways = np.array([0, 0, 0, 1])
    random = np.random.default_rng(1)
    X, y = random.normal(size=(120, 4)), random.normal(size=120)  # noise: more rounds are worse
    for fit, setting in (
        (boosters.sklearn, {"learning_rate": 0.3}),
        (boosters.xgboost, {"learning_rate": 0.3, "max_depth": 4}),
        (boosters.lightgbm, {"learning_rate": 0.3, "min_data_in_leaf": 5}),
    ):
        fitted = fit(setting, parts.Part(X[:80], y[:80], ways, "regression", 0, watch=(X[80:], y[80:])))
        again = fit(setting, parts.Part(X[:80], y[:80], ways, "regression", 0, rounds=fitted.rounds))
        np.testing.assert_allclose(fitted.predict(X), again.predict(X), atol=1e-6)


def test_published_rows_are_whole():
    for printed in published.TABLE:
        assert all(printed)
