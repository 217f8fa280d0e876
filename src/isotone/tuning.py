"""The best setting that a search finds within a time, or a number of trials, on validation rows only.

- the search is Optuna's TPE (Bergstra et al. 2011), seeded; what is known to be good is tried first;
- with a journal, what was found outlives the process: the same call goes on where it was, within the same budget;
- a trial that fails costs its time, not the search.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .errors import BadInput, CannotWrite, require
from .evaluation import detection, partial_auc, threshold_at
from .families import Material, NetworkFamily, Setting, Tuned
from .progress import Bar, Progress
from .training import SELECTION_RATE, Rows

# Before so many trials are known, or half of those allowed, the next one is drawn at random.
AT_RANDOM = 8


@dataclass(frozen=True)
class Choice:
    """One of these."""

    values: tuple[Any, ...]

    def suggest(self, trial: Any, name: str) -> Any:
        """By its place in the row, so that any value can be one."""
        return self.values[trial.suggest_categorical(name, list(range(len(self.values))))]

    def place(self, value: Any) -> Any:
        """What `suggest` would have been told."""
        return self.values.index(value)


@dataclass(frozen=True)
class Range:
    """A number between two others; `log` for one whose factors count, not its differences."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Any, name: str) -> Any:
        """A number."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def place(self, value: Any) -> Any:
        """The number."""
        return value


Space = Mapping[str, Choice | Range]


@dataclass(frozen=True)
class Searched:
    """What a search ended with.

    Args:
        setting: the best.
        value: what it reached; higher is better.
        values: of every trial that did not fail, in their order.
        failed: how many did.
    """

    setting: Setting
    value: float
    values: tuple[float, ...]
    failed: int


def search(
    evaluate: Callable[[Setting], float],
    space: Space,
    *,
    seconds: float | None = None,
    trials: int | None = None,
    start: Sequence[Setting] = (),
    seed: int = 0,
    journal: str | os.PathLike[str] | None = None,
    study: str = "search",
    bar: Bar | None = None,
) -> Searched:
    """Try settings until the time or the trials are spent.

    Args:
        evaluate: what a setting reaches on validation rows; higher is better. A `BadInput` or a number that is not
            finite is a failed trial.
        space: what each part of a setting can be.
        seconds: for all trials together, those of earlier calls with the same journal included. None is begun that
            would probably not fit, but the first one always is. The end depends on the machine's speed.
        trials: how many, in all.
        start: settings to try first.
        seed: of the search.
        journal: a file that keeps what was found; None keeps nothing.
        study: searches of different names in one journal know nothing of each other.
        bar: moves by seconds, or by trials.

    Raises:
        BadInput: neither or a senseless limit, a start outside the space, a journal that cannot be read, or all failed.
        MissingExtra: without Optuna.

    Cost: a trial is one call of `evaluate`; the search itself takes some milliseconds for each.

    >>> found = search(lambda s: -abs(s["x"] - 3), {"x": Range(0, 10)}, trials=30, start=[{"x": 2.0}])
    >>> found.value > -1.0, len(found.values)
    (True, 30)
    """
    _check(seconds, trials, start, space)
    optuna = require("optuna", "tune")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    states = optuna.trial.TrialState
    at_random = AT_RANDOM if trials is None else min(AT_RANDOM, max(1, trials // 2))
    opened = _opened(optuna, journal, study)
    known = opened.trials
    # A search that goes on must not draw again what it has drawn before.
    opened.sampler = optuna.samplers.TPESampler(seed=(seed, len(known)), n_startup_trials=at_random)
    done = [t.params for t in known if t.state in (states.COMPLETE, states.FAIL, states.WAITING)]
    for setting in start:
        params = {name: part.place(setting[name]) for name, part in space.items()}
        if params not in done:  # one that was being tried when the process was stopped is tried again
            opened.enqueue_trial(params)
    took = [t.duration.total_seconds() for t in known if t.duration is not None]
    while not took or _fits(took, seconds, trials):
        trial = opened.ask()
        setting = {name: part.suggest(trial, name) for name, part in space.items()}
        try:
            value = float(evaluate(setting))
        except BadInput:
            value = math.nan
        told = opened.tell(trial, *((value,) if math.isfinite(value) else (None, states.FAIL)))
        took.append(told.duration.total_seconds())  # as a later call will read it
        _show(bar, opened, states, took, seconds)
    ended = [t for t in opened.trials if t.state == states.COMPLETE]
    failed = sum(t.state == states.FAIL for t in opened.trials)
    if not ended:
        raise BadInput("search", f"all {failed} trials failed", "a setting that can be trained is needed")
    best = max(ended, key=lambda t: t.value)  # the first of equals
    fixed = optuna.trial.FixedTrial(best.params)
    setting = {name: part.suggest(fixed, name) for name, part in space.items()}
    return Searched(setting, float(best.value), tuple(float(t.value) for t in ended), failed)


def _check(seconds: float | None, trials: int | None, start: Sequence[Setting], space: Space) -> None:
    if seconds is None and trials is None:
        raise BadInput("search", "neither seconds nor trials came", "one of the two is needed, to end")
    if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
        raise BadInput("search", f"seconds={seconds} came", "a positive number would be right, such as 600")
    if trials is not None and trials < 1:
        raise BadInput("search", f"trials={trials} came", "at least one is needed")
    for setting in start:
        for name, part in space.items():
            inside = name in setting and (
                setting[name] in part.values
                if isinstance(part, Choice)
                else bool(part.low <= setting[name] <= part.high)
            )
            if not inside:
                came = f"a start with {name}={setting.get(name)!r} came"
                raise BadInput("search", came, f"{part} is searched")


def _opened(optuna: Any, journal: str | os.PathLike[str] | None, study: str) -> Any:
    """The study, old or new."""
    storage = None
    if journal is not None:
        parts = optuna.storages.journal
        try:
            storage = optuna.storages.JournalStorage(parts.JournalFileBackend(os.fspath(journal)))
        except OSError as fault:
            raise CannotWrite(journal, fault.strerror or fault) from None
        except Exception as fault:  # a torn or foreign file fails in many ways
            came = f"it cannot be read ({type(fault).__name__})"
            raise BadInput(f"journal {os.fspath(journal)}", came, "delete it to start anew") from None
    return optuna.create_study(storage=storage, study_name=study, direction="maximize", load_if_exists=True)


def _fits(took: Sequence[float], seconds: float | None, trials: int | None) -> bool:
    """Whether one more trial, as long as those so far, is within both limits."""
    if trials is not None and len(took) >= trials:
        return False
    return seconds is None or sum(took) + sum(took) / len(took) <= seconds


def _show(bar: Bar | None, opened: Any, states: Any, took: Sequence[float], seconds: float | None) -> None:
    if bar is None:
        return
    values = [t.value for t in opened.get_trials(deepcopy=False) if t.state == states.COMPLETE]
    best = f", best {max(values):.4f}" if values else ""
    bar.update(len(took) if seconds is None else int(sum(took)), f"{len(took)} settings{best} on validation rows")


# Centred on the winner of benchmarks/recipes.py (docs/recipes.md), with what only networks of names have.
NETWORK_SPACE: Space = MappingProxyType(
    {
        "pool": Choice(("max", "sum")),
        "hidden": Choice(((64, 32), (32,), (64, 64), (64, 64, 32))),
        "dropout": Range(0.0, 0.4),
        "learning_rate": Range(5e-3, 1e-1, log=True),
        "weight_decay": Range(1e-2, 1.0, log=True),
        "positive_weight": Choice((1.0, "balanced")),
    }
)


def tune(
    family: NetworkFamily,
    material: Material,
    seconds: float | None,
    *,
    trials: int | None = None,
    seed: int = 0,
    rate: float = 0.01,
    journal: str | os.PathLike[str] | None = None,
    space: Space = NETWORK_SPACE,
    progress: Progress | None = None,
) -> Tuned:
    """Search a network's setting within a time; the settings that are tried without a search come first.

    Best is, as in `families.tune`, the detection on validation rows at the false-alarm rate of use, then the partial
    AUC. Test rows are not part of `material`.

    Args:
        family, material, seed, rate: as in `families.tune`.
        seconds, trials: of all trials together; see `search`.
        journal: a file to go on from: an interrupted search, or a longer one. One file serves several families and
            tables; rows that differ begin anew.
        space: what is searched.
        progress: where to show it.

    Raises:
        BadInput: see `search`.
    """
    labels = material.validation.labels

    def evaluate(setting: Setting) -> float:
        logits = family.fit(material, setting, seed).logits(material.validation.examples)
        detected = detection(logits, labels, threshold_at(logits[labels == 0], rate))
        return detected + 1e-6 * partial_auc(logits, labels, SELECTION_RATE)  # detections are further apart than that

    usual = {
        "pool": "max",
        "hidden": family.hidden,
        "dropout": 0.0,
        "learning_rate": family.recipe.learning_rate,
        "weight_decay": family.recipe.weight_decay,
        "positive_weight": family.recipe.positive_weight,
    }
    starts = [{name: {**usual, **setting}[name] for name in space} for setting in family.settings]
    starts = [setting for setting in starts if _inside(setting, space)]
    most = trials if seconds is None else int(seconds)
    bar = (progress or Progress(shown=False)).bar(f"tune {family.name}", max(1, most or 1))
    name = f"{family.name} {_digest(family, material, seed, rate, space)}"
    found = search(
        evaluate, space, seconds=seconds, trials=trials, start=starts, seed=seed, journal=journal, study=name, bar=bar
    )
    bar.finish()
    return Tuned(family, dict(found.setting), found.values)


@dataclass(frozen=True)
class Tuning:
    """A time for searching the settings of all networks of an experiment.

    Args:
        minutes: for all of them together.
        journal: as in `tune`.

    Raises:
        BadInput: not a positive number.
        MissingExtra: without Optuna, before any time is spent.
    """

    minutes: float
    journal: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if not (self.minutes > 0 and math.isfinite(self.minutes)):
            raise BadInput("tune", f"{self.minutes:g} minutes came", "a positive number would be right, such as 10")
        require("optuna", "tune")

    def of(self, family: NetworkFamily, material: Material, share: float, **other: Any) -> Tuned:
        """`tune` in this share of the time."""
        return tune(family, material, 60 * self.minutes * share, journal=self.journal, **other)


def _inside(setting: Setting, space: Space) -> bool:
    try:
        _check(1.0, 1, [setting], space)
    except BadInput:
        return False
    return True


def _digest(family: NetworkFamily, material: Material, seed: int, rate: float, space: Space) -> str:
    """Of everything that a value rests on."""
    found = hashlib.sha256(repr((family, material.directions, seed, rate, dict(space))).encode())
    for rows in (material.training, material.validation):
        found.update(_bytes(rows))
    return found.hexdigest()[:16]


def _bytes(rows: Rows) -> bytes:
    names = rows.examples.names
    parts = (names.indptr, names.indices, rows.examples.columns, rows.labels)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
