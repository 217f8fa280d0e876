"""Monotone LightGBM, trained on the bad rows that a monotone score can reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from torch import Tensor

from ..auditing import trees
from ..errors import BadInput, require
from ..verdict import Verdict
from ._floor import FloorProof, Scores, State, tick
from ._pruning import pruned
from ._reading import learnt


@dataclass
class BoosterFloor:
    """LightGBM under monotone constraints; features of direction 0 are free.

    Args:
        trees, leaves, rows_per_leaf, learning_rate: as in LightGBM.
        l2: penalty on what a leaf says, LightGBM's `lambda_l2`: with few rows a leaf of two of them says less.
        prune: leave out bad rows that more benign rows contain than the false-alarm rate gives up.

    >>> X = np.tile(np.array([[1.0, 1], [1, 0], [0, 1], [0, 0]]), (20, 1))
    >>> floor = BoosterFloor().fit(X, np.tile([1, 0, 0, 0], 20), (1, 1))
    >>> floor.scores(X)[:4].argmax(), floor.prove().verdict
    (np.int64(0), <Verdict.PROVED: 'proved'>)
    """

    trees: int = 300
    leaves: int = 63
    rows_per_leaf: int = 2
    learning_rate: float = 0.1
    l2: float = 0.0
    prune: bool = True

    def fit(
        self,
        X: Any,
        y: Any,
        directions: tuple[int, ...],
        *,
        sample_weight: Any = None,
        rate: float = 0.01,
        seed: int = 0,
        validation: tuple[Any, Any] | None = None,
        progress: Callable[[float, str], object] | None = None,
    ) -> Self:
        """See `Floor`."""
        del validation
        lightgbm = require("lightgbm", "demo")
        rows = learnt(X, y, sample_weight)
        if self.prune:
            rows = pruned(rows, directions, rate)
        stack = require("scipy.sparse", "tables").vstack if hasattr(rows.bad, "indptr") else np.vstack
        table = stack([rows.bad, rows.benign])
        labels = np.repeat([1.0, 0.0], [len(rows.bad_weight), len(rows.benign_weight)])
        weight = np.concatenate([rows.bad_weight, rows.benign_weight])
        parameters = {
            "objective": "binary",
            "monotone_constraints": [int(way) for way in directions],
            "monotone_constraints_method": "intermediate",
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.rows_per_leaf,
            "min_sum_hessian_in_leaf": 1e-3,
            "lambda_l2": self.l2,
            "min_data_in_bin": 1,
            "use_missing": False,
            "learning_rate": self.learning_rate,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }
        table = table.tocsr().astype(np.float64) if hasattr(table, "tocsr") else np.asarray(table, dtype=np.float64)
        data = lightgbm.Dataset(
            table, labels, weight=weight, params={"verbose": -1, "min_data_in_bin": 1, "use_missing": False}
        )
        tick(progress, 0.0, "trees")
        self._set(_rounded(lightgbm.train(parameters, data, self.trees).model_to_string()), directions)
        tick(progress, 1.0, "trees")
        return self

    def _set(self, text: str, directions: tuple[int, ...]) -> None:
        self.text_, self.directions_ = text, tuple(directions)
        # Read from the text: what is scored is what is saved.
        self.booster_ = require("lightgbm", "demo").Booster(model_str=text)

    def scores(self, X: Any) -> Scores:
        """See `Floor`; LightGBM adds up the trees of each row by itself, in their order."""
        if not X.shape[0]:
            return np.empty(0)
        if hasattr(X, "tocsr"):
            X = X.tocsr().astype(np.float64)  # a copy
            X.sum_duplicates()  # of a number that is stored in pieces LightGBM takes the last
        else:
            X = np.asarray(X, dtype=np.float64)
        return np.asarray(self.booster_.predict(X, raw_score=True, num_threads=1), dtype=np.float64).reshape(-1)

    def prove(self) -> FloorProof:
        """Tree by tree, on the saved text; the trees as read must score rows as LightGBM does."""
        if not any(self.directions_):
            return FloorProof(Verdict.UNKNOWN, "no feature has a direction, so there is nothing to prove")
        try:
            ensemble = trees.read(self.booster_)
        except trees.Unreadable as fault:
            return FloorProof(Verdict.UNKNOWN, f"the trees cannot be read: {fault}")
        margins = trees.margins(self.booster_)
        base = np.zeros((2, len(self.directions_)))
        if ensemble is None or margins is None:
            return FloorProof(Verdict.UNKNOWN, "LightGBM's trees cannot be read")
        # The claim is about numbers; a detector refuses NaN.
        ensemble = replace(ensemble, takes_missing=False)
        trust = trees.faithful(ensemble, margins, base, edges=1024)
        if not trust:
            return FloorProof(Verdict.UNKNOWN, f"the trees cannot be trusted to be read: {trust.reason}")
        found = trees.prove(ensemble, list(self.directions_), missing="never", most=0)
        if found.proved:
            return FloorProof(
                Verdict.PROVED, f"each of the {ensemble.trees:,} trees is monotone, and so is their sum", (found,)
            )
        fails = [one for one in found.features if not one.proved]
        return FloorProof(Verdict.UNKNOWN, f"not proved for {len(fails)} features: {fails[0].reason}", (found,))

    def to_state(self) -> State:
        """See `Floor`; the trees as LightGBM's own text."""
        return {}, {"kind": "BoosterFloor", "directions": list(self.directions_), "trees": self.text_}

    @classmethod
    def from_state(cls, state: dict[str, Tensor], facts: dict[str, Any]) -> Self:
        """What `to_state` gave."""
        if state:
            raise BadInput("BoosterFloor", f"tensors came ({', '.join(sorted(state)[:3])})", "none are right")
        floor = cls()
        floor._set(facts["trees"], tuple(facts["directions"]))
        return floor


def _rounded(text: str) -> str:
    """A model with leaves of twelve decimals.

    Leaves that LightGBM holds equal along a constraint can differ by their last bit, against it, once they are shrunk
    by the learning rate; then nothing of the model is proved. Rounding keeps a <= b, and nearly always
    makes such leaves equal; whether it did, `prove` says.
    """

    def leaves(line: re.Match[str]) -> str:
        return "leaf_value=" + " ".join(repr(round(float(value), 12)) for value in line[1].split())

    # Where trees begin in the text is another place now; without the line LightGBM finds them by itself.
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^leaf_value=(.*)$", leaves, text, flags=re.MULTILINE)
