"""Monotone networks as scikit-learn estimators: `fit`, `predict`, `monotonic_cst`, and a proof of what was fitted."""

from ._classifier import MonotoneClassifier as MonotoneClassifier
from ._regressor import MonotoneRegressor as MonotoneRegressor
