"""From a table to evidence: split, tune, train, attack, certify, and say what was found.

- nothing is chosen on test rows: settings and stops on validation rows, thresholds on validation negatives;
- a monotone detector never stands alone: its unconstrained twin is tuned with equal effort and attacked the same way;
- the twin is the positive control of every attack: an attack that evades less than half of it is called broken.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import attack
from .data import Encoder, Split, labels_of, split, split_by_time, times_of, words_of
from .errors import BadInput, NoMatch, require
from .evaluation import BUDGETS, Interval, auc, detection, false_alarms, require_support, roc, threshold_at
from .families import SAMPLE_ROWS, Family, Material, NetworkFamily, Scorer, Tuned, tune
from .progress import Bar, Progress
from .threat import Threat
from .training import Rows
from .tuning import Tuning

MERGE_ROWS = 500
# The rest of the suite takes most of its time: on the shipped programs (seed 0, an unconstrained network and LightGBM)
# it left the curve as these make it. `exhaustive` joins in where there are few moves. `isotone attack` runs all.
ATTACKS = (*attack.QUICK, "exhaustive")

Step = Callable[[int, int], object]


@dataclass(frozen=True)
class Question:
    """What is asked of a table.

    Args:
        label, positive: the column of labels, and which value is the bad one.
        negative: what the other value is, once `prepare` has found it in the table.
        text, names, columns, ignore, min_rows, max_names: as `Encoder.fit` takes them.
        group: a column; rows of one group stay on one side of the split.
        time: a column of times; the oldest rows are trained on, the newest are the test.
        left_out: features that the attacker sets at will, once `prepare` has found them in the table.
        threat: what the attacker can do.
        max_false_alarm_rate: what the threshold may cost in benign rows.
        identify: columns that name a row in the report.
    """

    label: str
    positive: str | None = None
    text: str | None = None
    names: str | None = None
    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    group: str | None = None
    threat: Threat = field(default_factory=Threat)
    max_false_alarm_rate: float = 0.01
    min_rows: int = 5
    max_names: int = 20_000
    identify: tuple[str, ...] = ()
    time: str | None = None
    left_out: tuple[str, ...] = ()
    negative: str | None = None

    @property
    def aside(self) -> tuple[str, ...]:
        """Columns that name rows, groups and times: no features."""
        return tuple(dict.fromkeys(c for c in (*self.identify, self.group, self.time) if c is not None))


@dataclass(frozen=True)
class Prepared:
    """A table split and encoded."""

    question: Question
    encoder: Encoder
    material: Material
    test: Rows
    moves: attack.Moves
    identities: tuple[str, ...]  # of the test rows
    groups: dict[str, int | None]
    dropped: int
    how: str = ""  # the rows were split, in words
    families: NDArray[Any] | None = None  # the group of each training row, then of each validation row

    @property
    def benign(self) -> NDArray[np.float32]:
        """Training negatives that an attacker may borrow from, dense."""
        training = self.material.training
        return dense(training, np.flatnonzero(training.labels == 0)[:MERGE_ROWS])


def dense(rows: Rows, at: NDArray[Any]) -> NDArray[np.float32]:
    """Some rows as a dense matrix, names first."""
    return np.asarray(rows.examples.take(at).matrix().toarray(), dtype=np.float32)


def prepare(table: Any, question: Question, seed: int = 0) -> Prepared:
    """Split a table by group, learn the vocabulary from its training rows, drop repeats across sides.

    Raises:
        BadInput: see `labels_of`, `Encoder.fit` and `split`; or too few negatives for the false-alarm rate.
        NoMatch: a column or a glob that is not there.
    """
    pyarrow = require("pyarrow", "tables")
    for column in question.aside:
        if column not in table.column_names:
            raise NoMatch("table", column, table.column_names, "column")
    labels = labels_of(table, question.label, question.positive)
    positive, negative = words_of(table, question.label, labels)
    question = replace(question, positive=positive, negative=negative)
    groups = None if question.group is None else _groups(table[question.group])
    bag = question.text or question.names
    fit: Any = functools.partial(
        Encoder.fit,
        label=question.label,
        text=question.text,
        names=question.names,
        columns=question.columns,
        ignore=question.ignore if bag else (*question.ignore, *sorted(question.aside)),
    )
    # Without groups, rows that say the same are one: told apart by all they hold, before anything is learnt.
    same = fit(table, min_rows=1, max_names=10**9).encode(table).vector_hashes()
    sides, how = _split(table, question, labels, groups, vectors=same, seed=seed)
    training_table = table.take(pyarrow.array(sides.train))
    encoder: Encoder = fit(training_table, min_rows=question.min_rows, max_names=question.max_names)
    if question.threat.sets:
        encoder, question = _without_settable(encoder, question)
    examples = encoder.encode(table)
    sides = sides.without_repeats(examples.vector_hashes())
    training, validation, test = (
        Rows(examples.take(at), labels[at]) for at in (sides.train, sides.validation, sides.test)
    )
    for name, side in (("validation", validation), ("the test side", test)):
        require_support(question.max_false_alarm_rate, int((side.labels == 0).sum()), name)
        if not side.labels.any():
            came = f"{name} has no positive row left, without those that repeat an earlier side"
            raise BadInput("split", came, "at least one is needed", "Bring more bad rows that differ.")
    directions = question.threat.directions(encoder.features)
    if not any(directions):
        raise BadInput("threat", "every feature is free", "at least one that can be added or removed is needed")
    width = len(encoder.vocabulary)
    low, high = np.zeros(len(directions), np.float32), np.ones(len(directions), np.float32)
    if encoder.columns:
        low[width:], high[width:] = training.examples.columns.min(axis=0), training.examples.columns.max(axis=0)
    named = [table[column].take(pyarrow.array(sides.test)).to_pylist() for column in question.identify]
    identities = [" ".join(str(part) for part in parts) for parts in zip(*named, strict=True)] if named else []
    return Prepared(
        question=question,
        encoder=encoder,
        material=Material(training, validation, directions),
        test=test,
        moves=attack.Moves.between(directions, low, high),
        identities=tuple(identities) or tuple(f"row {row + 1}" for row in sides.test),
        groups={
            part: None if groups is None else len(set(groups[at].tolist()))
            for part, at in (("train", sides.train), ("validation", sides.validation), ("test", sides.test))
        },
        dropped=sides.dropped,
        how=how,
        families=None if groups is None else groups[np.concatenate([sides.train, sides.validation])],
    )


def _split(
    table: Any,
    question: Question,
    labels: NDArray[np.int64],
    groups: NDArray[Any] | None,
    *,
    vectors: NDArray[np.uint64],
    seed: int,
) -> tuple[Split, str]:
    """The sides, and how they were made."""
    by_group = f"by {question.group}" if question.group else "by feature vector"
    if question.time is None:
        return split(labels, groups, seed=seed, vectors=vectors), by_group
    times = times_of(table, question.time)
    sides = split_by_time(labels, times.values, groups, vectors=vectors)
    parts = (("train", sides.train), ("validation", sides.validation), ("test", sides.test))
    spans = [
        f"{part} {times.shown(times.values[at].min())} to {times.shown(times.values[at].max())}" for part, at in parts
    ]
    return sides, f"by {question.time} ({', '.join(spans)}), and {by_group}"


def _without_settable(encoder: Encoder, question: Question) -> tuple[Encoder, Question]:
    """What the attacker sets at will is no feature; the question names it and its threat is about the others."""
    roles = question.threat.roles(encoder.features)
    left = encoder.only(question.threat.kept(encoder.features))
    return left, replace(question, threat=replace(question.threat, sets=()), left_out=roles.settable)


def _groups(column: Any) -> NDArray[Any]:
    """The groups as strings; a missing one stays missing, for `split` to refuse."""
    return np.array([None if g is None or g != g else str(g) for g in column.to_pylist()], dtype=object)  # noqa: PLR0124


@dataclass(frozen=True)
class Judged:
    """One fitted detector on the test rows."""

    scorer: Scorer
    threshold: float
    validation_detection: float
    auc: float
    clean: float
    false_alarms: Interval
    roc: dict[str, list[float]]
    attacks: tuple[attack.Attacked, ...]
    curve: tuple[float, ...]

    @property
    def lost_after_10(self) -> float | None:
        """Share of its own clean detections that 10 additions take away."""
        return None if self.clean == 0 else 1 - self.curve[BUDGETS.index(10)] / self.clean


def judge(scorer: Scorer, prepared: Prepared, *, seed: int = 0, watch: Step | None = None) -> Judged:
    """Clean and attacked figures of a fitted detector; the threshold comes from validation negatives."""
    validation, test = prepared.material.validation, prepared.test
    on_validation = scorer.logits(validation.examples)
    threshold = threshold_at(on_validation[validation.labels == 0], prepared.question.max_false_alarm_rate)
    logits = scorer.logits(test.examples)
    attacks, curve = attacked(scorer, prepared, threshold, seed=seed, watch=watch)
    return Judged(
        scorer=scorer,
        threshold=threshold,
        validation_detection=detection(on_validation, validation.labels, threshold),
        auc=auc(logits, test.labels),
        clean=detection(logits, test.labels, threshold),
        false_alarms=false_alarms(logits, test.labels, threshold),
        roc=roc(logits, test.labels),
        attacks=attacks,
        curve=curve,
    )


def attacked(
    scorer: Scorer,
    prepared: Prepared,
    threshold: float,
    *,
    seed: int = 0,
    watch: Step | None = None,
) -> tuple[tuple[attack.Attacked, ...], tuple[float, ...]]:
    """`ATTACKS` on the positives of the test side, and the security curve of the worst of them."""
    positives = np.flatnonzero(prepared.test.labels == 1)
    rows = dense(prepared.test, positives)
    logits = scorer.logits(prepared.test.examples.take(positives))
    detected = logits > threshold
    if not detected.any() or not bool(prepared.moves.addable.any()):
        return (), tuple(float(detected.mean()) for _ in BUDGETS)
    victim = scorer.victim(prepared.moves, rows[detected][:SAMPLE_ROWS])
    found = attack.suite(
        victim, rows, threshold, prepared.moves, prepared.benign, budget=50, only=ATTACKS, seed=seed, progress=watch
    )
    fewest = attack.fewest(found)
    return tuple(found), tuple(attack.detection_curve(fewest, (fewest != 0).numpy(), BUDGETS))


@dataclass(frozen=True)
class Compared:
    """A family, tuned, and its figures for each seed."""

    tuned: Tuned
    judged: tuple[Judged, ...]

    @property
    def family(self) -> Family:
        """The family."""
        return self.tuned.family

    @property
    def validation_detection(self) -> float:
        """Mean over seeds of the detection on validation rows at the frozen threshold."""
        return float(np.mean([judged.validation_detection for judged in self.judged]))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: on networks of this size more threads gain little, and lose much where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def compare(
    prepared: Prepared,
    families: Sequence[Family],
    seeds: Sequence[int],
    progress: Progress,
    checkpoint: Any = None,
    *,
    tuning: Tuning | None = None,
) -> list[Compared]:
    """Tune each family once, fit and attack it for each seed; the first fit of the first family can be resumed.

    With `tuning` the networks' settings are searched, each network in an equal share of the time.
    """
    found: list[Compared] = []
    networks = sum(isinstance(family, NetworkFamily) for family in families)
    rate = prepared.question.max_false_alarm_rate
    for family in families:
        if tuning is not None and isinstance(family, NetworkFamily):
            tuned = tuning.of(family, prepared.material, 1 / networks, seed=seeds[0], rate=rate, progress=progress)
        else:
            bar = progress.bar(f"tune {family.name}", len(family.settings))

            def watch(done: int, _: int, best: float, bar: Bar = bar) -> None:
                bar.update(done, f"best detection {best:.1%} on validation rows")

            tuned = tune(family, prepared.material, seeds[0], watch, rate=rate)
        first = checkpoint if not found else None
        judged = [
            fit_and_judge(tuned, prepared, seed, progress, None if at else first) for at, seed in enumerate(seeds)
        ]
        found.append(Compared(tuned, tuple(judged)))
    return found


def fit_and_judge(tuned: Tuned, prepared: Prepared, seed: int, progress: Progress, checkpoint: Any = None) -> Judged:
    """One fit with the tuned setting, and its figures."""
    bar = progress.bar(f"train {tuned.family.name}, seed {seed}", 1)
    keyed = {"checkpoint": checkpoint} if checkpoint is not None else {}

    def watch(epoch: int, epochs: int, entry: dict[str, float]) -> None:
        said = " ".join(f"{key} {value:.3f}" for key, value in entry.items())
        bar.update(min(1, (epoch + 1) // epochs), said)

    scorer = tuned.family.fit(prepared.material, tuned.setting, seed, watch, **keyed)
    bar.finish()
    bar = progress.bar(f"attack {tuned.family.name}, seed {seed}", 100)
    judged = judge(scorer, prepared, seed=seed, watch=lambda done, total: bar.update(99 * done // max(total, 1)))
    bar.finish(f"detection {judged.clean:.1%}, after 10 additions {judged.curve[BUDGETS.index(10)]:.1%}")
    return judged
