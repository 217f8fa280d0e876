"""What every floor can do, and how rows are scored so that a score does not depend on its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..certify import certify
from ..certify._state import digest
from ..verdict import Verdict
from ._reading import narrow

Scores = NDArray[np.float64]
State = tuple[dict[str, Tensor], dict[str, Any]]

BLOCK = 256


@dataclass(frozen=True)
class FloorProof:
    """Whether a whole score is proved to follow its directions.

    Args:
        verdict: PROVED, REFUTED or UNKNOWN.
        reason: one sentence.
        parts: the certificates and proofs of the parts, for a score that is made of several.
    """

    verdict: Verdict
    reason: str
    parts: tuple[Any, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "parts": [part.to_dict() for part in self.parts],
        }

    def __str__(self) -> str:
        return f"{self.verdict.name}  the floor: {self.reason}"


def ways_of(floor: Any) -> set[tuple[int, ...]]:
    """The directions that a fitted floor, or the parts of it, have; empty where it does not say."""
    own = {tuple(floor.directions_)} if hasattr(floor, "directions_") else set()
    return own.union(*(ways_of(part) for part in _parts(floor)))


def replaced(floor: Any) -> str | None:
    """Why a floor's own proof may not be of the scores that it gives, in a sentence; None where it is."""
    kind = type(floor)
    if own := sorted(name for name, value in vars(floor).items() if callable(getattr(kind, name, None))):
        return f"{own[0]} was put on a {kind.__name__}, and no proof looks at that"

    def depth(name: str) -> int:
        return next((k for k, base in enumerate(kind.__mro__) if name in vars(base)), len(kind.__mro__))

    if depth("scores") < depth("prove"):
        return f"{kind.__name__} scores in a way of its own, and its proof is of another class"
    return next((said for part in _parts(floor) if (said := replaced(part))), None)


def _parts(floor: Any) -> list[Any]:
    return getattr(floor, "floors_", None) or [part for part in [getattr(floor, "floor_", None)] if part is not None]


class _Itself:
    """An object, equal to itself only; held, so that no later one can have its number."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.it is other.it


def fingerprint(floor: Any) -> tuple[Any, ...]:
    """What a proof of a fitted floor stands on: another where a part, a weight or a hook is another.

    Of what is none of our floors, only which object it is. Cost: one pass over the weights.
    """
    network, booster = getattr(floor, "network_", None), getattr(floor, "booster_", None)
    used = getattr(floor, "used_", None)
    return (
        _Itself(floor),
        sorted(name for name, value in vars(floor).items() if callable(value)),  # methods put on it
        tuple(getattr(floor, "directions_", ())),
        None if used is None else np.asarray(used).tolist(),
        None if network is None else digest(network),
        None if booster is None else booster.model_to_string(),
        list(getattr(floor, "scales_", ())),
        list(getattr(floor, "middles_", ())),
        *(fingerprint(part) for part in _parts(floor)),
    )


class Floor(Protocol):
    """A score of rows that never falls along its directions.

    `fit` learns it from rows of two labels (1 is bad), numpy or scipy CSR, for detection at a false-alarm rate.
    `validation` are rows to choose by; thresholds are set by whoever uses the score, on rows of their own.
    `to_state` gives tensors and what JSON can hold; `floor_from_state` makes the floor again.
    """

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
        """Learn it."""

    def scores(self, X: Any) -> Scores:
        """Shape (rows,): higher is worse."""

    def prove(self) -> FloorProof:
        """Whether the score follows the directions, whatever the row."""

    def to_state(self) -> State:
        """Tensors, and facts that JSON can hold."""


class OfNetwork:
    """What floors that are one network of some columns share: all but how they are fitted.

    `fit` sets `directions_` (of all columns), `used_` (the columns the network sees) and `network_`, of `made_of`.
    """

    made_of: ClassVar[type[nn.Module]]
    directions_: tuple[int, ...]
    used_: NDArray[np.int64]
    network_: Any

    def scores(self, X: Any) -> Scores:
        """See `Floor`."""
        return score_blocks(self.network_, X, self.used_)

    def prove(self) -> FloorProof:
        """The network by `isotone.certify`; what it does not look at cannot move it."""
        ways = torch.tensor([self.directions_[j] for j in self.used_])
        if not bool((ways != 0).any()):
            return FloorProof(Verdict.PROVED, "the score looks at no feature that has a direction")
        found = certify(self.network_, torch.zeros(2, len(self.used_)), ways, budget=64, seconds=0.0)
        return FloorProof(found.verdict, found.reason, (found,))

    def to_state(self) -> State:
        """See `Floor`."""
        return dict(self.network_.state_dict()), {
            "kind": type(self).__name__,
            "directions": list(self.directions_),
            "used": self.used_.tolist(),
            "network": self.network_.arguments,
        }

    @classmethod
    def from_state(cls, state: dict[str, Tensor], facts: dict[str, Any]) -> Self:
        """What `to_state` gave."""
        floor = cls()
        floor.directions_ = tuple(facts["directions"])
        floor.used_ = np.asarray(facts["used"], dtype=np.int64)
        floor.network_ = cls.made_of(**facts["network"])
        floor.network_.load_state_dict(state)
        floor.network_.eval()
        return floor


def score_blocks(network: nn.Module, X: Any, used: NDArray[np.int64]) -> Scores:
    """Scores of a network on some columns, in blocks of one size, so that every row is added up in the same way."""
    rows = X.shape[0]
    found = np.empty(rows)
    network.eval()
    for start in range(0, rows, BLOCK):
        block = np.zeros((BLOCK, len(used)), dtype=np.float32)
        part = X[start : start + BLOCK]
        block[: part.shape[0]] = narrow(part[:, used])
        with torch.no_grad():
            out = network(torch.from_numpy(block))
        found[start : start + part.shape[0]] = out.reshape(BLOCK, -1)[: part.shape[0], 0].double().numpy()
    return found


def tick(progress: Callable[[float, str], object] | None, share: float, what: str) -> None:
    """Say how far the work is, where somebody listens."""
    if progress is not None:
        progress(share, what)
