"""Many rows: what numbers do together is learned beside what each does alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import isotone
from isotone.errors import BadInput


def together(rows, seed):
    """Two numbers that only say something together, one with many zeros, and noise."""
    rng = np.random.default_rng(seed)
    X = rng.random((rows, 8))
    X[:, 0] = np.floor(rng.exponential(0.4, rows))
    y = (X[:, 0] > 0) * (X[:, 1] > 0.5) + np.minimum(X[:, 2], X[:, 3]) + X[:, 4]
    return X, y + rng.normal(0, 0.1, rows)


def test_hidden_units_stay_alive_and_learn_what_numbers_do_together():
    X, y = together(6_000, 0)
    T, t = together(4_000, 1)
    model = isotone.MonotoneRegressor([1] * 8, random_state=0).fit(X, y)
    network = model.network_
    with torch.no_grad():
        h, _ = network._first(torch.from_numpy(model.encoder_.transform(T)).float())
        first = network.layers[0](h).clamp(max=0)
        second = network.layers[1](first).clamp(min=0)
    for units in (first, second):  # decay rests some
        assert float((units.std(1) > 1e-4).float().mean()) > 0.1
    # The best sum of functions of single numbers leaves most of what two do together.
    assert np.mean((model.predict(T) - t) ** 2) < 1.25 * 0.1**2
    assert model.certify().verdict is isotone.Verdict.PROVED


def test_rows_are_held_out_only_where_the_length_is_said():
    X, y = together(10_050, 0)
    assert isotone.MonotoneRegressor([1] * 8, hidden=(4,)).fit(X, y)._held is None
    assert isotone.MonotoneRegressor([1] * 8, hidden=(4,), epochs=1).fit(X, y)._held is not None
    assert isotone.MonotoneRegressor([1] * 8, hidden=(4,), epochs=1, early_stopping=False).fit(X, y)._held is None


@pytest.mark.parametrize("coarse", [[[0.0, 1.0]], [[0.0, 1.0], None]], ids=["too few", "none for a constrained number"])
def test_coarse_knots_are_for_every_constrained_number(coarse):
    with pytest.raises(BadInput, match="2 entries, with knots for every constrained number, are right"):
        isotone.nn.TabularNetwork([[0.0, 0.5, 1.0]] * 2, coarse=coarse)
