"""Inputs of networks and linear models: a rising map per column, so that directions stay what they are."""

# ruff: noqa: PLC0415 - what is heavy is imported where it is used
from __future__ import annotations

import numpy as np


class Scaling:
    """`standard`: mean 0 and deviation 1 of these rows. `normal`: their quantiles become those of a normal."""

    def __init__(self, kind: str, X: np.ndarray) -> None:
        from sklearn.preprocessing import QuantileTransformer, StandardScaler

        if kind == "standard":
            self.map = StandardScaler()
        elif kind == "normal":
            self.map = QuantileTransformer(
                n_quantiles=min(1000, len(X)), output_distribution="normal", subsample=None, random_state=0
            )
        else:
            raise ValueError(f"inputs={kind!r}; standard or normal would be right")
        self.map.fit(X)
        # A normal score of the least or greatest value is +-5.2; few rows, few surprises.
        self.limit = 3.0 if kind == "normal" else 20.0

    def __call__(self, X: np.ndarray) -> np.ndarray:
        return np.clip(self.map.transform(X), -self.limit, self.limit)
