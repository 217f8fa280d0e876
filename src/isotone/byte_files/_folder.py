"""A folder of files with a table of their labels -> a detector, and what it does on files it has not seen."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from ..data import split
from ..evaluation import clopper_pearson, false_alarms, require_support, threshold_at
from ..files import FileBytes, labelled
from ..nn import ByteNetwork
from ..progress import Progress
from ._detector import ByteDetector
from ._training import ByteRecipe, logits_of_files, train_bytes

TO_CENTRE = 64  # files
AT_ONCE = 2**20  # bytes that are read for a digest


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
    the same to the byte as a file of an earlier side is left out, so that none is met again.

    Args:
        folder: of the files.
        labels: CSV with the columns path (relative to the folder), label (0 or 1) and, if there is one, group.
        max_false_alarm_rate: share of benign validation files above the threshold at most.
        recipe: how to train.
        seed: of the split and of the starting weights.
        progress: where to show it.
        settings: of `ByteNetwork`, all but its number of labels.

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
    torch.manual_seed(seed)
    network = ByteNetwork(**settings)
    some = np.random.default_rng(seed).permutation(len(train[0]))[:TO_CENTRE]
    opened = [FileBytes(train[0][i]) for i in some]
    network.centre_(opened, prior=0.5)
    for file in opened:
        file.close()
    bar, note = progress.bar("train on bytes", 100), ""

    def told(epoch: int, epochs: int, entry: dict[str, float]) -> None:
        nonlocal note
        note = f"epoch {epoch + 1} of {epochs}, loss {entry['loss']:.3f}"

    history = train_bytes(
        network, train, validation, recipe, watch=told, step=lambda n, of: bar.update(min(99, 100 * n // of), note)
    )
    bar.finish(f"{note}, the best was epoch {history.best_epoch + 1}")
    scores = logits_of_files(network, validation[0])[:, 0]
    threshold = threshold_at(scores[validation[1] == 0], max_false_alarm_rate)
    found = logits_of_files(network, test[0])[:, 0]
    caught = found[test[1] == 1] > threshold
    facts = {
        "files": {"training": len(train[0]), "validation": len(validation[0]), "test": len(test[0])},
        "repeated": parts.dropped,
        "max_false_alarm_rate": max_false_alarm_rate,
        "epochs": list(history.epochs),
        "best_epoch": history.best_epoch,
        "detection": asdict(clopper_pearson(int(caught.sum()), len(caught))),
        "false_alarms": asdict(false_alarms(found, test[1], threshold)),
    }
    return ByteDetector(network, threshold, facts)


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
