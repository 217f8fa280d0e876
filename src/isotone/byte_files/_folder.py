"""A folder of files with a table of their labels -> a detector, and what it does on files it has not seen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data import split
from ..evaluation import clopper_pearson, false_alarms, require_support, threshold_at
from ..files import FileBytes, labelled
from ..nn import ByteNetwork
from ..progress import Bar, Progress
from ._detector import ByteDetector
from ._training import ByteHistory, ByteRecipe, logits_of_files, train_bytes

TO_CENTRE = 64  # files
AT_ONCE = 2**20  # bytes that are read for a digest
KINDS = {"bytes": 0, "words": 2**14}  # rows of the table of words
RATES = {"bytes": 3e-3, "words": 1e-2}

Side = tuple[Sequence[Path], NDArray[np.int64]]


def train_byte_detector(
    folder: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    max_false_alarm_rate: float = 0.01,
    recipe: ByteRecipe | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> ByteDetector:
    """Train a detector on a folder of files with a table of labels.

    Files are split by group into training, validation (which chooses epoch and threshold) and test files. One that is
    the same to the byte as a file of an earlier side is left out, so that none is met again. Two networks are trained,
    one that reads all bytes and one that reads words; validation files choose between them.

    Args:
        folder: of the files.
        labels: CSV with the columns path (relative to the folder), label (0 or 1) and, if there is one, group.
        max_false_alarm_rate: share of benign validation files above the threshold at most.
        recipe: how to train; each network has its own learning rate by default.
        seed: of the split and of the starting weights.
        progress: where to show it.
        settings: of `ByteNetwork`, all but its number of labels; with `words` only that network is trained.

    Returns:
        The detector; its `facts` hold the split, the history, and detection and false alarms on the test files, with
        95 % intervals.

    Raises:
        BadInput: a table that cannot be used; too few benign validation files for the rate.
        Refused: a file that cannot be read.
    """
    progress = progress or Progress(shown=False)
    table = labelled(folder, labels)
    y = np.array(table.labels)
    reading = progress.bar("read the files", len(table))
    digests = []
    for n, path in enumerate(table.paths, 1):
        digests.append(digest_of(path))
        reading.update(n)
    parts = split(y, np.array(table.groups), seed=seed, vectors=np.array(digests))
    train, validation, test = (
        ([table.paths[i] for i in at], y[at]) for at in (parts.train, parts.validation, parts.test)
    )
    require_support(max_false_alarm_rate, int((validation[1] == 0).sum()), "the validation side")
    kinds = {"words" if settings["words"] else "bytes": settings["words"]} if "words" in settings else KINDS
    tried: dict[str, tuple[ByteNetwork, ByteHistory]] = {}
    for kind, words in kinds.items():
        network = _started(train[0], seed, settings | {"words": words})
        how = recipe or ByteRecipe(learning_rate=RATES[kind])
        tried[kind] = network, _fitted(network, train, validation, how, progress.bar(f"train on {kind}", 100))
    chosen = max(tried, key=lambda kind: tried[kind][1].best)
    network, history = tried[chosen]
    scores = logits_of_files(network, validation[0])[:, 0]
    threshold = threshold_at(scores[validation[1] == 0], max_false_alarm_rate)
    found = logits_of_files(network, test[0])[:, 0]
    caught = found[test[1] == 1] > threshold
    facts = {
        "files": {"training": len(train[0]), "validation": len(validation[0]), "test": len(test[0])},
        "repeated": parts.dropped,
        "max_false_alarm_rate": max_false_alarm_rate,
        "encoder": chosen,
        "selection": {kind: found.best for kind, (_, found) in tried.items()},
        "epochs": list(history.epochs),
        "best_epoch": history.best_epoch,
        "detection": asdict(clopper_pearson(int(caught.sum()), len(caught))),
        "false_alarms": asdict(false_alarms(found, test[1], threshold)),
    }
    return ByteDetector(network, threshold, facts)


def _started(files: Sequence[Path], seed: int, settings: dict[str, Any]) -> ByteNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ByteNetwork(**settings)
    opened = [FileBytes(files[i]) for i in np.random.default_rng(seed).permutation(len(files))[:TO_CENTRE]]
    network.centre_(opened, prior=0.5)
    for file in opened:
        file.close()
    return network


def _fitted(network: ByteNetwork, train: Side, validation: Side, recipe: ByteRecipe, bar: Bar) -> ByteHistory:
    note = ""

    def told(epoch: int, epochs: int, entry: dict[str, float]) -> None:
        nonlocal note
        note = f"epoch {epoch + 1} of {epochs}, loss {entry['loss']:.3f}"

    history = train_bytes(
        network, train, validation, recipe, watch=told, step=lambda n, of: bar.update(min(99, 100 * n // of), note)
    )
    bar.finish(f"{note}, the best was epoch {history.best_epoch + 1}")
    return history


def digest_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file.

    Raises:
        Refused: it cannot be read.
    """
    sha = hashlib.sha256()
    with FileBytes(path) as file:
        for start in range(0, len(file), AT_ONCE):
            sha.update(file[start : start + AT_ONCE])
    return sha.hexdigest()
