"""Kinds of detectors that are compared: networks and boosters, monotone or not, each with the settings that are tried.

- every family is tuned with the same number of settings, on validation rows, for clean quality only;
- a fitted one is a `Scorer`: it scores rows, and tells an attack how it can be asked;
- adding a family is one class here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .attack import Moves, Victim
from .data import Examples
from .evaluation import Scores, detection, partial_auc, threshold_at
from .nn import Bag, MonotoneEnsemble, MonotoneNetwork, quantile_knots
from .training import SCORING_ROWS, SELECTION_RATE, Recipe, Rows, Watch, logits_of, train

SAMPLE_ROWS = 16
CENTRING_ROWS = 512

Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Material:
    """What a family may learn from.

    Args:
        training, validation: rows; validation rows choose settings and when to stop, nothing else.
        directions: one per feature, names first.
    """

    training: Rows
    validation: Rows
    directions: tuple[int, ...]


class Scorer(Protocol):
    """A fitted detector."""

    def logits(self, examples: Examples) -> Scores:
        """Shape (rows,): higher is worse."""
        ...

    def victim(self, moves: Moves, sample: NDArray[np.float32]) -> Victim:
        """How an attack may ask it; `sample`: some detected rows, dense."""
        ...


class Family(Protocol):
    """A kind of detector."""

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    @property
    def monotone(self) -> bool:
        """Whether what is added can never lower its score."""
        ...

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What tuning tries."""
        ...

    def fit(self, material: Material, setting: Setting, seed: int, watch: Watch | None = None) -> Scorer:
        """A fitted detector."""
        ...


@dataclass(frozen=True)
class NetworkScorer:
    """A network that scores."""

    network: MonotoneEnsemble

    def logits(self, examples: Examples) -> Scores:
        """Shape (rows,)."""
        return logits_of(self.network, examples)

    def victim(self, moves: Moves, sample: NDArray[np.float32]) -> Victim:
        """A victim that knows the exact effect of every single addition."""
        return NetworkVictim(self.network)


@dataclass(frozen=True)
class NetworkVictim:
    """The exact change of the logit under every move: a gradient is blind where a maximum has another winner."""

    network: MonotoneEnsemble

    @torch.no_grad()
    def score(self, x: Tensor) -> Tensor:
        """Shape (n, d) to (n,)."""
        names = self.network.names
        return self.network(Bag.of(x[:, :names]) if names else None, x[:, names:])  # type: ignore[no-any-return]

    @torch.no_grad()
    def preference(self, x: Tensor, moves: Moves) -> Tensor:
        """Shape (n, d)."""
        distinct = len(x) - _repeats_at_end(x)
        found = torch.zeros_like(x)
        found[:distinct] = self._changes(x[:distinct], moves)
        found[distinct:] = found[distinct - 1]
        return found

    def _changes(self, x: Tensor, moves: Moves) -> Tensor:
        names = self.network.names
        now = self.score(x)[:, None]
        parts = [self.network.with_each(Bag.of(x[:, :names]), x[:, names:]) - now] if names else []
        # What is taken away: a score for each name that is there.
        row, name = ((x[:, :names] > 0) & (moves.directions[:names] < 0)).nonzero(as_tuple=True)
        for at in range(0, len(row), SCORING_ROWS):
            some, gone = row[at : at + SCORING_ROWS], name[at : at + SCORING_ROWS]
            moved = x[some]
            moved[torch.arange(len(some)), gone] = moves.target[gone]
            parts[0][some, gone] = self.score(moved) - now[some, 0]
        for number in range(names, x.shape[1]):
            moved = x.clone()
            moved[:, number] = moves.target[number]
            parts.append(self.score(moved)[:, None] - now)
        return torch.cat(parts, dim=1)


def _repeats_at_end(x: Tensor) -> int:
    """How many rows at the end repeat the last one before them: blocks are filled up that way."""
    same = (x == x[-1]).all(dim=1).flip(0)
    run = len(same) if bool(same.all()) else int((~same).nonzero()[0])
    return max(0, run - 1)


# Settings tried for every network. "max" against "sum" matters most; the rest is how hard it is held back.
NETWORK_SETTINGS: tuple[Setting, ...] = (
    {"pool": "max", "dropout": 0.1},
    {"pool": "max", "dropout": 0.3},
    {"pool": "max", "dropout": 0.1, "learning_rate": 3e-2},
    {"pool": "sum"},
)


@dataclass(frozen=True)
class NetworkFamily:
    """`MonotoneNetwork`, or its unconstrained twin."""

    monotone: bool = True
    recipe: Recipe = field(default_factory=Recipe)
    members: int = 3
    hidden: tuple[int, ...] = (64, 32)
    settings: tuple[Setting, ...] = NETWORK_SETTINGS

    @property
    def name(self) -> str:
        """Its name in tables."""
        return "monotone network" if self.monotone else "unconstrained network"

    def start(self, material: Material, setting: Setting, seed: int) -> MonotoneNetwork:
        """A network before training, centred on training rows."""
        training = material.training
        torch.manual_seed(seed)
        columns = torch.from_numpy(training.examples.columns)
        network = MonotoneNetwork(
            names=training.examples.names.shape[1],
            knots=[quantile_knots(column) for column in columns.T],
            hidden=setting.get("hidden", self.hidden),
            directions=material.directions,
            monotone=self.monotone,
            **{key: value for key, value in setting.items() if key in ("pool", "dropout", "name_dropout")},
        )
        network.believe_(torch.from_numpy(np.asarray(training.examples.names.sum(axis=0)).ravel()))
        some = np.sort(np.random.default_rng(seed).permutation(len(training))[:CENTRING_ROWS])
        network.centre_(*training.batch(some), prior=float(training.labels.mean()))
        return network

    def fit(
        self, material: Material, setting: Setting, seed: int, watch: Watch | None = None, checkpoint: Any = None
    ) -> NetworkScorer:
        """Each member trained by itself; the best epoch of each by validation."""
        ours = ("learning_rate", "weight_decay", "positive_weight")
        changed = {key: value for key, value in setting.items() if key in ours}
        members = []
        for member in range(self.members):
            own_seed = seed * 1_000 + member
            network = self.start(material, setting, own_seed)
            recipe = replace(self.recipe, seed=own_seed, **changed)
            place = None if checkpoint is None else f"{checkpoint}.{member}"
            train(network, material.training, material.validation, recipe, watch=watch, checkpoint=place)
            members.append(network)
        return NetworkScorer(MonotoneEnsemble(members).eval())


@dataclass(frozen=True)
class Tuned:
    """The setting of a family that was best on validation rows, and the detection of each."""

    family: Family
    setting: Setting
    scores: tuple[float, ...]


def tune(
    family: Family,
    material: Material,
    seed: int = 0,
    watch: Callable[[int, int, float], object] | None = None,
    *,
    rate: float = 0.01,
) -> Tuned:
    """Try each setting once; the best on validation rows wins: clean quality, and nothing else.

    Best is the detection at the false-alarm rate at which the detector will be used, then the partial AUC. On re-splits
    of training and validation rows this ended higher than choosing by partial AUC or AUC, for networks and boosters.
    """
    labels = material.validation.labels
    found = []
    for done, setting in enumerate(family.settings):
        logits = family.fit(material, setting, seed).logits(material.validation.examples)
        threshold = threshold_at(logits[labels == 0], rate)
        found.append((detection(logits, labels, threshold), partial_auc(logits, labels, SELECTION_RATE)))
        if watch is not None:
            watch(done + 1, len(family.settings), max(found)[0])
    best = max(range(len(found)), key=found.__getitem__)
    return Tuned(family, dict(family.settings[best]), tuple(score for score, _ in found))
