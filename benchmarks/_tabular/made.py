"""Two sets made by the project, of which the truth is known.

`staircase` is the comparison of the project's reference notes: wavy in two constrained features, so that no monotone
model can follow, and the best one reaches R2 0.9104. `screening` is a classification whose truth obeys its directions:
conjunctions, saturation, heavy tails, counts, free features that turn an effect up and down, one positive in twenty.
"""

from __future__ import annotations

import numpy as np

Made = tuple[np.ndarray, np.ndarray, np.ndarray, list[str], np.ndarray]
TRAIN, TEST = 20_000, 5_000


def staircase_truth(X: np.ndarray) -> np.ndarray:
    """5x0 + sin(10 pi x0) - 5x1 - cos(10 pi x1) + 2 x2 x3 + sin(6 x10) + x11 x12."""
    wavy = 5 * X[:, 0] + np.sin(10 * np.pi * X[:, 0]) - 5 * X[:, 1] - np.cos(10 * np.pi * X[:, 1])
    return np.asarray(wavy + 2 * X[:, 2] * X[:, 3] + np.sin(6 * X[:, 10]) + X[:, 11] * X[:, 12])


def staircase(seed: int) -> Made:
    """20,000 rows to learn from (seed 2 * seed), 5,000 to be judged on (seed 2 * seed + 1); 20 features, noise 0.1."""
    X, y = [], []
    for part, rows in enumerate((TRAIN, TEST)):
        random = np.random.default_rng(2 * seed + part)
        X.append(random.uniform(size=(rows, 20)).astype(np.float32).astype(np.float64))
        y.append(staircase_truth(X[-1]) + random.normal(0, 0.1, rows))
    ways = np.array([1, -1, 1, 1] + [0] * 16)
    return np.concatenate(X), np.concatenate(y), ways, [f"x{i}" for i in range(20)], np.arange(TRAIN, TRAIN + TEST)


COLUMNS = ["late", "debt", "enquiries", "strain", "income", "tenure", "season", "region", "channel", "hour", "a", "b"]
WAYS = [1, 1, 1, 1, -1, -1, 0, 0, 0, 0, 0, 0]


def screening_logit(X: np.ndarray) -> np.ndarray:
    """Log odds of a positive.

    Every term rises in late, debt, enquiries and strain and falls in income and tenure: what is multiplied by a free
    feature is multiplied by something positive.
    """
    late, debt, enquiries, strain, income, tenure, season, region, channel, hour, a, b = X.T
    ratio = np.log1p(debt) - np.log(income)  # rises in debt, falls in income
    both = np.minimum(late, 3) * np.maximum(ratio + 0.5, 0)  # being late matters to those in debt
    either = np.maximum(1.5 * strain - 0.5, 0.25 * enquiries)
    fresh = 1.2 * np.exp(-tenure / 4)
    mood = np.exp(0.6 * np.sin(2 * np.pi * season) * (1 - 2 * channel))  # positive
    free = 0.7 * np.sin(3 * a) * b + 0.5 * (region == 3) - 0.4 * np.abs(hour - 14) / 10
    return np.asarray(-4.75 + 0.7 * both + mood * either + fresh + 0.5 * np.tanh(ratio) + free)


def screening(seed: int) -> Made:
    """16,000 rows to learn from (seed 100 + 2 * seed), 8,000 to be judged on; 12 features, 6 of them with a way."""
    parts = []
    for part, rows in enumerate((16_000, 8_000)):
        random = np.random.default_rng(100 + 2 * seed + part)
        X = np.stack(
            [
                random.negative_binomial(1, 0.6, rows),
                random.lognormal(0.0, 1.2, rows),
                random.poisson(1.5, rows),
                random.beta(2, 3, rows),
                random.lognormal(0.8, 0.6, rows),
                random.exponential(5.0, rows),
                random.uniform(size=rows),
                random.integers(0, 6, rows),
                random.integers(0, 2, rows),
                random.integers(0, 24, rows),
                random.normal(size=rows),
                random.normal(size=rows),
            ],
            axis=1,
        ).astype(np.float64)
        chance = 1 / (1 + np.exp(-screening_logit(X)))
        parts.append((X, (random.uniform(size=rows) < chance).astype(np.float64)))
    (X, y), (X_test, y_test) = parts
    test = np.arange(len(X), len(X) + len(X_test))
    return np.concatenate([X, X_test]), np.concatenate([y, y_test]), np.array(WAYS), COLUMNS, test
