"""Regression along directions: means, medians, and quantiles that do not cross."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, column_or_1d

from ..errors import BadInput, require
from ._base import Floats, MonotoneEstimator
from ._losses import absolute_error, pinball, squared_error


class MonotoneRegressor(RegressorMixin, MonotoneEstimator):  # type: ignore[misc]
    """A monotone network that predicts a number.

    Args:
        monotonic_cst: None, an array of -1, 0, +1 per feature, or a dict from feature names and globs to them; features
            that are not named are free. As in scikit-learn's HistGradientBoosting, and globs.
        hidden: width of each monotone hidden layer; none is an additive model. "auto": by folds, else (64, 64).
        embedding: widths of the layers that free features pass first. "auto": (16, 8) up to 1,000 rows, else (64, 32).
        stretches: ramps per number, at its weighted quantiles; "auto": by folds, else one for 250 rows, 4 to 64.
        members: networks trained side by side; their mean predicts. "auto": 4 up to 1,000 rows (a line: 1), else 1.
        learning_rate, weight_decay, batch_size, dropout: of AdamW with a one-cycle schedule; decay "auto": by folds,
            else 0.6.
        epochs: passes over the rows, or steps on all of them; "auto": by folds, else 16 epochs.
        teacher: the share of what is learnt that a booster says in place of the targets, 0 to 1: scikit-learn's
            HistGradientBoosting with the same directions, fitted first and not kept. "auto": 0.5 for classes above
            1,000 rows, up to 100 encoded columns (counted once per output); else 0. With a share, a row of weight 2 is
            not quite two rows; classes of fewer than 20 rows, and fewer than 40 numbers, are learnt as they are. A fit
            takes two or three times as long, more with many columns.
        early_stopping: whether to hold out rows and keep the best epoch; "auto": above 10,000 rows, if epochs is said.
        validation_fraction, n_iter_no_change: of early stopping.
        loss: "squared_error", "absolute_error" or "quantile".
        quantile: for that loss a level in (0, 1), or several: `predict` then gives a column for each, which never
            cross, since each row is sorted (order statistics of functions that rise, rise).
        low, high: bounds that predictions are clipped to.
        missing: where a missing value stands in the order of its feature: "lowest", "highest", "outside" (no claim).
        categorical_features: "from_dtype", None, names or numbers of columns, or a mask.
        category_orders: a dict from column to its categories from low to high, or to pairs (lower, higher).
        warm_start: go on from the fitted network.
        random_state: of the start, the order of rows and the rows held out.
        device: "auto" takes a GPU where there is one.
        verbose: 1 shows a progress bar.

    Up to 1,000 rows every step takes all rows in float64: a row of weight 2 is two rows, one of weight 0 is none. What
    is "by folds" is then the best of five on five folds of the rows, equal rows together: (16, 16), 2 stretches and 80
    steps with a decay of 0.3; the same with a decay of 3; with 160 steps; with (32, 32) and 1 stretch; and, where
    `hidden`, `embedding` and `stretches` are not given, a line (one member, no embedding; free numbers bend far out).
    Where `epochs` is given, rows are held out, or fewer than 50 rows differ, it is the first.

    Attributes: `network_`, `encoder_`, `history_` (a loss per epoch), `n_iter_`, `size_` (what "auto" stood for),
    `n_features_in_`.

    Cost: 20,000 rows of 20 columns in seconds; up to 1,000 rows five fits more than with `epochs` given.

    >>> X = np.random.default_rng(0).random((200, 2))
    >>> model = isotone.MonotoneRegressor(monotonic_cst=[1, 0], random_state=0).fit(X, X[:, 0] ** 2)
    >>> bool(np.all(np.diff(model.predict([[0.1, 0.5], [0.4, 0.5], [0.9, 0.5]])) > 0))
    True
    """

    def __init__(
        self,
        monotonic_cst: Any = None,
        *,
        hidden: Any = "auto",
        embedding: Any = "auto",
        stretches: Any = "auto",
        members: Any = "auto",
        learning_rate: float = 1e-2,
        weight_decay: Any = "auto",
        epochs: Any = "auto",
        batch_size: int = 256,
        teacher: Any = "auto",
        dropout: float = 0.0,
        early_stopping: Any = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        loss: Literal["squared_error", "absolute_error", "quantile"] = "squared_error",
        quantile: Any = None,
        low: float | None = None,
        high: float | None = None,
        missing: Any = "lowest",
        categorical_features: Any = "from_dtype",
        category_orders: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.monotonic_cst = monotonic_cst
        self.hidden = hidden
        self.embedding = embedding
        self.stretches = stretches
        self.members = members
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.teacher = teacher
        self.dropout = dropout
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.loss = loss
        self.quantile = quantile
        self.low = low
        self.high = high
        self.missing = missing
        self.categorical_features = categorical_features
        self.category_orders = category_orders
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to rows X and numbers y.

        Raises:
            BadInput: a setting, a direction, or a target that is not a finite number.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = self._table(X, reset=not (self.warm_start and hasattr(self, "network_")))
        y = column_or_1d(y, warn=True, dtype=np.float64)
        check_consistent_length(X, y)
        if not np.isfinite(y).all():
            raise ValueError("Input y contains NaN or infinity; every target must be a finite number.")
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        levels = self._levels()
        if self.low is not None and self.high is not None and self.low > self.high:
            raise BadInput("low, high", f"{self.low!r}, {self.high!r} came", "low at most high is right")
        used = np.ones(len(y)) if weight is None else weight
        if not (self.warm_start and hasattr(self, "network_")):
            self._mean, self._spread = _middle(y[used > 0], used[used > 0])
        outputs = max(1, len(levels)) if self.loss == "quantile" else 1
        target = np.repeat(((y - self._mean) / (self._spread or np.inf))[:, None], outputs, axis=1)
        losses = {
            "squared_error": squared_error,
            "absolute_error": absolute_error,
            "quantile": pinball(levels or [0.5]),
        }
        if self.loss not in losses:
            raise BadInput("loss", f"{self.loss!r} came", f"one of {', '.join(losses)} is right")
        return self._fit(X, target, weight, losses[self.loss])

    def predict(self, X: Any) -> Floats:
        """Shape (rows,); (rows, levels) for several quantiles, ascending."""
        found = self._scores(X) * self._spread + self._mean
        if found.shape[1] > 1:
            found = np.sort(found, axis=1)[:, np.argsort(np.argsort(self._levels()))]
        if self.low is not None or self.high is not None:
            found = np.clip(found, self.low, self.high)
        return found if found.shape[1] > 1 else found[:, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2; of several quantiles the mean of their D2: the share of the pinball loss that constant ones would have.

        Source: Koenker and Machado (JASA 94, 1999) for D2 of a quantile.
        """
        levels = self._levels()
        if len(levels) < 2:
            return float(super().score(X, y, sample_weight))
        saved = require("sklearn.metrics", "tables").d2_pinball_score
        found = self.predict(X)
        each = [saved(y, found[:, k], alpha=q, sample_weight=sample_weight) for k, q in enumerate(levels)]
        return float(np.mean(each))

    def _levels(self) -> list[float]:
        if self.loss != "quantile":
            return []
        levels = [float(q) for q in np.atleast_1d(np.asarray(0.5 if self.quantile is None else self.quantile))]
        if not all(0 < q < 1 for q in levels):
            raise BadInput("quantile", f"{self.quantile!r} came", "levels between 0 and 1 are right")
        return levels

    def _facts(self) -> dict[str, Any]:
        return {"mean": self._mean, "spread": self._spread}

    def _restore(self, facts: dict[str, Any]) -> None:
        self._mean, self._spread = facts["mean"], facts["spread"]


def _middle(y: Floats, weight: Floats) -> tuple[float, float]:
    """Mean and standard deviation, in whatever unit; 0 for the second where the targets differ by rounding only."""
    if not weight.sum() > 0:
        return 0.0, 1.0
    unit = float(np.abs(y).max()) or 1.0  # squares of very large or small numbers would leave the finite ones
    share = weight / weight.sum()
    mean = float(share @ (y / unit))
    spread = float(np.sqrt(share @ (y / unit - mean) ** 2))
    # In double numbers: subnormal ones have too few digits to be divided by.
    enough = spread > 1e-12 * abs(mean) and spread * unit > 1e-300
    return mean * unit, spread * unit if enough else 0.0
