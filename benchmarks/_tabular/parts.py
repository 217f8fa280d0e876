"""What a model is given, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]
Setting = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Rows to learn from; `watch` to stop early by, or `rounds` that an earlier fit found."""

    X: np.ndarray
    y: np.ndarray  # standardised for a regression
    ways: np.ndarray
    task: str
    seed: int
    watch: tuple[np.ndarray, np.ndarray] | None = None
    rounds: int | None = None
    deadline: float = float("inf")  # of time.process_time(): then stop adding rounds

    @property
    def classes(self) -> bool:
        return self.task == "classification"

    def late(self) -> bool:
        return time.process_time() > self.deadline


class Fitted(NamedTuple):
    """`predict` gives chances of a positive, or numbers; `notes` go into the record."""

    predict: Predict
    rounds: int | None = None
    notes: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Model:
    """A row of the table of models: its settings are drawn from `space`, the first is `default`."""

    name: str
    monotone: bool
    fit: Callable[[Setting, Part], Fitted]
    default: Setting
    space: dict[str, list[Any]]
    needs: tuple[str, ...] = ()
    ours: bool = False
    fixed: list[Setting] = field(default_factory=list)  # tried right after the default
    chooses: int = 0  # up to so many rows it chooses its settings itself, and the default is all that is tried

    def settings(self, count: int, rows: int) -> list[Setting]:
        """The default, the fixed ones, then draws; the same for every set and split."""
        if rows <= self.chooses:
            return [self.default]
        random = np.random.default_rng(0)
        found = [self.default, *({**self.default, **change} for change in self.fixed)]
        for _ in range(1000):
            if len(found) >= count:
                break
            drawn = {key: values[random.integers(len(values))] for key, values in self.space.items()}
            setting = {**self.default, **drawn}
            if setting not in found:
                found.append(setting)
        return found[:count]
