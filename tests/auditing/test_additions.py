"""Certified additions for trees: never above the truth, unlimited where trees rise, exact for a single addition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.attack import BlackBox, Moves, benign_merge, exhaustive, fewest, greedy, polish, scores
from isotone.auditing.trees import _additions as module
from isotone.auditing.trees import additions_needed, margins, read
from isotone.auditing.trees._ensemble import build
from isotone.bounds import UNLIMITED, beside
from isotone.errors import BadInput

D = 8
BITS = Moves.of_names((1, 1, 1, 1, 1, 1, 1, 0))
LOOSE = Moves.between((1, 1, 1, 1, 1, 1, 1, 0), 0.0, 1.0)
NUMBERS = Moves.between((1, -1, 0, 1, -1, 1, -1, 1), -1.0, 1.5)


def data(rows=300, seed=0, numbers=False, missing=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, D)).clip(-1, 1.5).round(2) if numbers else (rng.random((rows, D)) < 0.4).astype(float)
    y = x @ rng.normal(size=D) + x[:, 0] * x[:, 3] - 2 * x[:, 1] * x[:, 5] + 0.3 * rng.normal(size=rows)
    x[rng.random(x.shape) < missing] = np.nan
    return x, (y > np.median(y)).astype(int)


def lightgbm(x, y, **more):
    lgb = pytest.importorskip("lightgbm")
    settings = {
        "objective": "binary",
        "verbose": -1,
        "num_threads": 1,
        "num_leaves": 6,
        "min_child_samples": 5,
        "seed": 0,
    }
    return lgb.train({**settings, **more}, lgb.Dataset(x, y), 12)


def xgboost(x, y):
    return pytest.importorskip("xgboost").XGBClassifier(n_estimators=12, max_depth=3, n_jobs=1).fit(x, y)


def forest(x, y):
    return pytest.importorskip("sklearn.ensemble").GradientBoostingRegressor(n_estimators=12, random_state=0).fit(x, y)


MODELS = {"LightGBM": lightgbm, "XGBoost": xgboost, "scikit-learn": forest}


def check(model, x, moves, share=0.3):
    """The proof is not above what any attack found, the exhaustive one included."""
    rows = torch.from_numpy(x[:24]).float()
    x = rows.double().numpy()
    victim = BlackBox(margins(model), rows[:4])
    threshold = float(np.quantile(margins(model)(x), share))
    needed = additions_needed(model, x, threshold, moves)
    truth = exhaustive(victim, rows, threshold, moves)
    others = [greedy(victim, rows, threshold, moves), benign_merge(victim, rows, threshold, moves, rows, tries=10)]
    others.append(polish(victim, rows, threshold, moves, others))
    lines = beside(needed, fewest([truth, *others]), [0, 1, 2, None])
    assert all(line["certified"] <= line["empirical"] for line in lines)
    return needed.needed, truth.additions


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("numbers", [False, True], ids=["names", "numbers"])
def test_a_proof_is_never_above_the_truth(kind, numbers):
    x, y = data(numbers=numbers)
    needed, truth = check(MODELS[kind](x, y), x, NUMBERS if numbers else BITS)
    assert bool((needed > 1).any())
    if not numbers:
        # Names: few additions are decided by branching, so what is said of these rows is the truth.
        for k in (1, 2):
            assert torch.equal((needed == k)[truth > 0], (truth == k)[truth > 0])
        model, some = MODELS[kind](x, y), x[:24]
        loose = additions_needed(model, some, float(np.quantile(margins(model)(some), 0.3)), LOOSE)
        assert torch.equal(loose.needed[truth > 0], needed[truth > 0])  # trees see no more of a name than 0 and 1


@pytest.mark.parametrize(
    "kind", ["LightGBM", *(pytest.param(k, marks=pytest.mark.slow) for k in ("XGBoost", "scikit-learn"))]
)
@pytest.mark.parametrize("moves", [(1, 1, 1, 1), (1, -1, 0, -1)], ids=["up", "both ways"])
def test_of_numbers_few_additions_are_decided_too(kind, moves):
    x, y = data(numbers=True)
    x = x[:, :4] + 2.0  # away from 0, around which LightGBM rounds what it is given
    model = MODELS[kind](x, y)
    ensemble, rows, moves = read(model), x[:10], Moves.between(moves, 1.0, 3.5)
    apart = np.unique(margins(model)(x).round(6))
    threshold = float(apart[len(apart) // 3 : len(apart) // 3 + 2].mean())  # no score stands at it
    # Every value that a tree can tell from others, between where the row is and the target.
    edges = [np.concatenate([np.nextafter(ensemble.thresholds(f), side) for side in (-9, 9)]) for f in range(4)]
    answer = additions_needed(model, rows, threshold, moves)
    assert not answer.why_not
    for row, proved in zip(rows, answer.needed.tolist(), strict=True):
        if not proved:
            continue
        found = []
        for f in range(4):
            end, way = float(moves.target[f]), int(moves.directions[f])
            stops = np.append(edges[f], [end, row[f]])
            inside = (stops - row[f]) * way >= 0
            found.append(
                np.unique(stops[inside & ((end - stops) * way >= 0)]) if way and inside.any() else row[f : f + 1]
            )
        grid = np.stack(np.meshgrid(*[np.append(f[::3], r) for f, r in zip(found, row, strict=True)]), -1).reshape(
            -1, 4
        )
        few = np.concatenate([_with_few(row, found, k) for k in (1, 2)])
        for rows_in_reach in (grid, few):
            lowest = margins(model)(rows_in_reach) <= threshold
            counts = (rows_in_reach != row).sum(1)[lowest]
            assert proved <= counts.min(initial=UNLIMITED)
        assert proved == UNLIMITED or proved <= sum(len(f) > 1 or f[0] != r for f, r in zip(found, row, strict=True))
        if proved <= 2:
            assert proved == (few != row).sum(1)[margins(model)(few) <= threshold].min(initial=99)


def _with_few(row, values, k):
    """Every way to move at most k features to one of their values."""
    out = []
    for chosen in itertools.combinations(range(len(row)), k):
        sides = np.stack(np.meshgrid(*[values[f] for f in chosen]), -1).reshape(-1, k)
        rows = np.repeat(row[None], len(sides), axis=0)
        rows[:, chosen] = sides
        out.append(rows)
    return np.concatenate(out)


@pytest.mark.slow
@given(st.integers(0, 10_000), st.floats(0.05, 0.9))
@settings(max_examples=15, deadline=None)
def test_whatever_the_data(seed, share):
    numbers = seed % 2 == 0
    x, y = data(seed=seed, numbers=numbers, missing=0.1 * (seed % 3))
    check(lightgbm(x, y), x, NUMBERS if numbers else BITS, share)


def test_no_row_between_the_ends_scores_less():
    # The exhaustive attack goes all the way; the bound is about every number on the way.
    x, y = data(numbers=True)
    model = lightgbm(x, y)
    rows = x[:30]
    paths = module.Paths.of(read(model))
    state = module._open(read(model), paths, rows, NUMBERS)
    rng = np.random.default_rng(0)
    for k in (0, 1, 3, D):
        low = state.lower(np.full(len(rows), k))
        start = torch.from_numpy(rows).float()
        for _ in range(40):
            chosen = torch.from_numpy(rng.random(rows.shape).argsort(1) < k)
            moved = Moves(NUMBERS.addable, NUMBERS.target, NUMBERS.directions, 0.0).partly(
                start, chosen, torch.from_numpy(rng.random(rows.shape)).float()
            )
            moved = np.where(chosen.numpy(), moved.double().numpy(), rows)
            assert (margins(model)(moved) >= low).all()


@pytest.mark.parametrize("step", [math.nan, math.inf])
def test_a_row_in_doubles_may_move_to_its_target_in_float32(step):
    end = float(np.float32(0.1))  # a little above 0.1, which a library that compares doubles tells apart
    tree = {"feature": [0, -1, -1], "threshold": [(0.1 + end) / 2, 0, 0], "value": [0, 1.0, -1.0]}
    ensemble = build(
        "made", 1, ["x"], [{**tree, "left": [1, -1, -1], "right": [2, -1, -1], "missing_left": [True] * 3}]
    )
    assert ensemble.predict([[0.1], [end]]).tolist() == [1.0, -1.0]
    assert additions_needed(ensemble, [[0.1]], 0.0, Moves.between((1,), 0.0, end, step)).needed.tolist() == [1]


def test_trees_that_rise_are_certified_without_limit():
    x, y = data()
    model = lightgbm(x, y, monotone_constraints=[1] * D)
    scored = margins(model)(x)
    threshold = float(np.median(scored))
    needed = additions_needed(model, x, threshold, Moves.between((1,) * D, 0.0, 1.0)).needed.numpy()
    assert (needed[scored > threshold + 1e-9] == UNLIMITED).all()
    assert (needed[scored <= threshold] == 0).all()


def test_a_tree_of_one_leaf_and_a_row_that_is_missing_everywhere():
    x, y = data(60)
    model = lightgbm(x, np.ones_like(y) * (np.arange(len(y)) % 2), min_child_samples=60)
    assert read(model).trees
    assert additions_needed(model, x, -9.0, BITS).unlimited.all()
    x, y = data(missing=0.2)
    nothing = np.full((1, D), np.nan)
    assert additions_needed(lightgbm(x, y), nothing, -99.0, BITS).needed.tolist() == [UNLIMITED]


def test_what_cannot_be_read_is_unknown_and_says_why():
    x, y = data()
    lgb = pytest.importorskip("lightgbm")
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_per_group": 1, "cat_smooth": 0}
    by_kind = lgb.train(settings, lgb.Dataset(x, y, categorical_feature=[0, 1]), 5)
    found = additions_needed(by_kind, x, 0.0, BITS)
    assert found.why_not == "splits by categories have no rule for bounds over additions"
    assert set(found.needed.tolist()) == {0, 1}
    with pytest.raises(BadInput, match=r"function came; LightGBM"):
        additions_needed(check, x, 0.0, BITS)
    with pytest.raises(BadInput, match="rows of 8 features are right"):
        additions_needed(by_kind, x[:, :3], 0.0, BITS)
    with pytest.raises(BadInput, match="it is NaN"):
        additions_needed(by_kind, x, math.nan, BITS)


def test_blocks_say_how_far_they_are(monkeypatch):
    x, y = data()
    model, seen = lightgbm(x, y), []
    whole = additions_needed(model, x, 0.0, BITS).needed
    monkeypatch.setattr(module, "MOST_VALUES", 1)
    alone = additions_needed(model, x, 0.0, BITS, progress=lambda done, total: seen.append((done, total))).needed
    assert torch.equal(whole, alone)
    assert seen[-1] == (int((whole > 0).sum()),) * 2


@pytest.mark.parametrize("lie", ["a leaf left out", "half of what is paid"])
def test_a_bound_that_lies_is_found(lie, monkeypatch):
    x, y = data()
    model = lightgbm(x, y)
    true = module._open

    def open_(*args):
        state = true(*args)
        if lie == "a leaf left out":
            state.needs[:, ::2] += D * (state.needs[:, ::2] > 0)
        else:
            state.falls[:] *= 0.5
        return state

    monkeypatch.setattr(module, "_open", open_)
    with pytest.raises(AssertionError):
        check(model, x, BITS)


def test_scores_of_the_victim_are_those_that_are_bounded():
    x, y = data()
    model = lightgbm(x, y)
    assert np.allclose(scores(BlackBox(margins(model), x[:4]), torch.from_numpy(x).float()), read(model).predict(x))
