"""What the command line does, as functions: train a model folder, attack it, certify it, run the demo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import attack
from .boosters import BoosterFamily
from .data import Encoder, debian_programs, labels_of, words_of
from .errors import BadInput
from .evaluation import BUDGETS
from .experiment import MERGE_ROWS, Question, compare, one_thread, prepare
from .facts import facts_of
from .families import NETWORK_SETTINGS, Family, NetworkFamily, NetworkScorer, Setting
from .headroom import Headroom, headroom
from .model_folder import ModelFolder
from .nn import MonotoneEnsemble
from .progress import Progress
from .proving import certificate_of
from .threat import Threat
from .training import Recipe, Rows
from .tuning import Tuning

DEMO_SEEDS = (0, 1, 2)
DEMO_TITLE = "Debian programs: can it open a network connection?"
DEMO_NOTES = (
    "Facts about the ELF files of Debian 12 packages, made by the project's own script; no bytes inside.",
    "The names that decide the label, and those that serve only with them, are no features.",
)


def train_folder(
    table: Any,
    question: Question,
    *,
    name: str,
    title: str | None = None,
    seeds: Sequence[int] = (0,),
    boosters: bool = False,
    recipe: Recipe | None = None,
    members: int = 3,
    settings: Sequence[Setting] = NETWORK_SETTINGS,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    tuning: Tuning | None = None,
) -> ModelFolder:
    """Tune, train, attack and certify a monotone network and its unconstrained twin; the first seed's go to the folder.

    Args:
        table: a pyarrow table.
        question: what is asked of it.
        name, title, notes: for the report.
        seeds: of training; the figures show their spread.
        boosters: whether LightGBM, monotone and not, stands beside (extra `demo`).
        recipe, members, settings: of the networks; one member and one setting are the quickest.
        progress: where to show it.
        checkpoint: a file from which an interrupted final training goes on.
        tuning: a time for a search of the networks' settings, instead of trying `settings` only.

    Raises:
        BadInput, NoMatch: see `prepare`.

    Cost: four settings and the seeds, for each of two or four families; a minute or two for some thousand rows. With
        `tuning`, its time instead of the four settings.
    """
    progress = progress or Progress(shown=False)
    prepared = prepare(table, question)
    question = prepared.question
    recipe = recipe or Recipe(accelerator="cpu")
    families: list[Family] = [
        NetworkFamily(monotone, recipe, members=members, settings=tuple(settings)) for monotone in (True, False)
    ]
    if boosters:
        families += [BoosterFamily(monotone) for monotone in (True, False)]
    compared = compare(prepared, families, seeds, progress, checkpoint, tuning=tuning)
    ours, twin = (c.judged[0] for c in compared[:2])
    assert isinstance(ours.scorer, NetworkScorer)
    assert isinstance(twin.scorer, NetworkScorer)
    bar = progress.bar("prove", 1)
    certificate = certificate_of(ours.scorer.network, prepared.material.directions)
    bar.update(1, certificate.verdict.value)
    facts = facts_of(prepared, compared, certificate, seeds, name=name, title=title or name, notes=notes)
    return ModelFolder(
        question=question,
        encoder=prepared.encoder,
        network=ours.scorer.network.cpu(),
        threshold=ours.threshold,
        twin=twin.scorer.network.cpu(),
        twin_threshold=twin.threshold,
        moves=prepared.moves,
        facts=facts,
        certificate=certificate,
    ).sealed()


def demo(progress: Progress | None = None, seeds: Sequence[int] = DEMO_SEEDS) -> ModelFolder:
    """The whole story on real programs: see `isotone demo`."""
    question = Question(
        label="network", names="imports", group="source", identify=("package", "path"), threat=Threat(adds=("*",))
    )
    return train_folder(
        debian_programs(),
        question,
        name="debian_programs",
        title=DEMO_TITLE,
        seeds=seeds,
        boosters=True,
        notes=DEMO_NOTES,
        progress=progress,
    )


@dataclass(frozen=True)
class Attempt:
    """One attack on the bad rows of a file."""

    name: str
    victims: int
    evaded: int
    twin_victims: int
    twin_evaded: int
    twin_median_additions: int | None
    broken: bool


@dataclass(frozen=True)
class Attempts:
    """All attacks on a file: `clean`, then detection by number of additions, for the network and its twin."""

    attempts: tuple[Attempt, ...]
    curve: tuple[float, ...]
    twin_curve: tuple[float, ...]
    positives: int
    budgets: tuple[int | None, ...] = BUDGETS


@one_thread()
def attack_folder(folder: ModelFolder, table: Any, *, seed: int = 0, progress: Progress | None = None) -> Attempts:
    """Attack the bad rows of a table; its benign rows are what an attacker may borrow from.

    Raises:
        BadInput: no bad rows, or columns that are not there.
    """
    progress = progress or Progress(shown=False)
    question = folder.question
    labels = labels_of(table, question.label, question.positive, question.negative, both=False)
    rows = Rows(folder.encoder.encode(table), labels)
    bad = np.flatnonzero(labels == 1)
    if not len(bad):
        raise BadInput("attack", "the file has no bad rows", "an attack starts from rows that are labelled bad")
    matrix = rows.examples.matrix()
    x = np.asarray(matrix[bad].toarray(), dtype=np.float32)
    benign = np.asarray(matrix[np.flatnonzero(labels == 0)[:MERGE_ROWS]].toarray(), dtype=np.float32)
    borrowed = benign if len(benign) else np.zeros((1, x.shape[1]), dtype=np.float32)

    def attacked(title: str, network: MonotoneEnsemble, threshold: float) -> list[attack.Attacked]:
        bar = progress.bar(f"attack {title}", 100)

        def watch(done: int, total: int) -> None:
            bar.update(100 * done // max(total, 1))

        victim = NetworkScorer(network).victim(folder.moves, x)
        found = attack.suite(victim, x, threshold, folder.moves, borrowed, seed=seed, progress=watch)
        bar.finish()
        return list(found)

    ours = attacked("the monotone network", folder.network, folder.threshold)
    theirs = attacked("its unconstrained twin", folder.twin, folder.twin_threshold)
    return Attempts(
        attempts=tuple(_attempt(one, control) for one, control in zip(ours, theirs, strict=True)),
        curve=_curve(ours),
        twin_curve=_curve(theirs),
        positives=len(bad),
    )


def _attempt(ours: attack.Attacked, control: attack.Attacked) -> Attempt:
    return Attempt(
        name=ours.name,
        victims=int(ours.victims.sum()),
        evaded=int(ours.evaded.sum()),
        twin_victims=int(control.victims.sum()),
        twin_evaded=int(control.evaded.sum()),
        twin_median_additions=attack.median_additions(control),
        broken=attack.is_broken(control),
    )


def _curve(attacks: list[attack.Attacked]) -> tuple[float, ...]:
    fewest = attack.fewest(attacks)
    return tuple(attack.detection_curve(fewest, (fewest != 0).numpy(), BUDGETS))


def headroom_of(
    table: Any, question: Question, rates: Sequence[float], *, against: Any = None, once: bool = False, most: int = 8
) -> Headroom:
    """How much certified detection the features of a table support, before any training.

    Args:
        table: a pyarrow table; its vocabulary is learnt from all of it.
        question: what is asked of it; what the attacker sets at will is left out.
        rates, once, most: as `headroom` takes them.
        against: another table, whose benign rows stand in for those of the first.

    Raises:
        BadInput, NoMatch: see `labels_of`, `Encoder.fit`, `Threat.roles`, `headroom`.
    """
    labels = labels_of(table, question.label, question.positive)
    encoder = Encoder.fit(
        table,
        label=question.label,
        text=question.text,
        names=question.names,
        columns=question.columns,
        ignore=question.ignore,
        min_rows=question.min_rows,
        max_names=question.max_names,
    )
    kept = question.threat.kept(encoder.features)
    at = np.flatnonzero(np.isin(encoder.features, kept))
    if not len(at):
        raise BadInput("threat", "every feature is set at will by the attacker", "no score can use any of them")
    others = None
    if against is not None:
        benign = labels_of(against, question.label, *words_of(table, question.label, labels), both=False) == 0
        others = encoder.encode(against).matrix()[np.flatnonzero(benign)][:, at]
    return headroom(
        encoder.encode(table).matrix()[:, at],
        labels,
        np.array(question.threat.order(encoder.features))[at],
        rates,
        names=kept,
        against=others,
        once=once,
        most=most,
    )
