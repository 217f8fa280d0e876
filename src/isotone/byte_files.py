"""A detector of files from their bytes: train it on a folder with labels, keep it, scan with it.

- memory does not grow with the length of a file, in training neither;
- what cannot be read to its end is an alarm: a scan fails closed, one file at a time.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .data import split
from .errors import BadInput, CannotWrite, NotAModel, require
from .evaluation import detection, partial_auc, require_support, threshold_at
from .files import FileBytes, Refused, labelled
from .files._reading import LARGEST, SLOWEST
from .nn import ByteNetwork

FORMAT = 1
MODEL, WEIGHTS = "byte_model.json", "weights.safetensors"
TO_CENTRE = 64  # files


@dataclass(frozen=True)
class ByteRecipe:
    """How to train a byte network.

    Args:
        epochs: most passes over the training files.
        patience: epochs without a better validation score after which training stops.
        batch_size: files per step.
        learning_rate: the peak of a one-cycle schedule.
        weight_decay: of AdamW, on weights of more than one dimension.
        positive_weight: weight of a positive file; "balanced" gives both classes the same total.
        seed: of the order of the files.
    """

    epochs: int = 10
    patience: int = 4
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    positive_weight: float | Literal["balanced"] = "balanced"
    seed: int = 0


@dataclass(frozen=True)
class ByteHistory:
    """One entry per epoch with `loss` and `selection` (partial AUC up to 5 % false alarms, on the validation files)."""

    epochs: tuple[dict[str, float], ...]
    best_epoch: int


@dataclass(frozen=True)
class Scanned:
    """What a detector says of one file.

    Args:
        path: of the file.
        alarm: whether it is taken for bad.
        score: its logit; None for a file that was refused.
        refused: why it was not scored, or "".
    """

    path: Path
    alarm: bool
    score: float | None
    refused: str = ""


def train_bytes(
    network: ByteNetwork,
    training: tuple[Sequence[Any], Any],
    validation: tuple[Sequence[Any], Any],
    recipe: ByteRecipe | None = None,
    *,
    watch: Callable[[int, int, dict[str, float]], object] | None = None,
) -> ByteHistory:
    """Fit a byte network of one logit; it ends in evaluation mode with the weights of its best epoch.

    Args:
        network: `centre_` it first. On whichever device it is.
        training, validation: files (paths, or what `ByteNetwork` takes) and their labels, 0 or 1.
        recipe: how.
        watch: called after each epoch with (epoch, epochs, its entry in the history).

    Raises:
        BadInput: a class is missing on a side, or the loss is no longer finite.
        Refused: a file that cannot be read.

    Cost: epochs * bytes of all files, each once, and their winners again; memory of one batch's winners.
    """
    recipe = recipe or ByteRecipe()
    for name, (_, labels) in (("training", training), ("validation", validation)):
        if set(np.asarray(labels).tolist()) != {0, 1}:
            raise BadInput(f"{name} files", "they have not both labels", "files of label 0 and of label 1 are needed")
    files, labels = training[0], np.asarray(training[1])
    positive = float(labels.sum())
    weight = (len(labels) - positive) / positive if recipe.positive_weight == "balanced" else recipe.positive_weight
    device = next(network.parameters()).device
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight, device=device))
    optimizer = torch.optim.AdamW(_groups(network, recipe.weight_decay), lr=recipe.learning_rate)
    steps = -(-len(files) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=max(10, recipe.epochs * steps), pct_start=0.2
    )
    history: list[dict[str, float]] = []
    best, best_epoch, kept = -np.inf, -1, network.state_dict()
    for epoch in range(recipe.epochs):
        if epoch - best_epoch > recipe.patience and best_epoch >= 0:
            break
        network.train()
        total, order = 0.0, np.random.default_rng((recipe.seed, epoch)).permutation(len(files))
        for start in range(0, len(order), recipe.batch_size):
            at = order[start : start + recipe.batch_size]
            wanted = torch.from_numpy(labels[at]).float().to(device)
            loss = loss_of(_logits(network, [files[i] for i in at])[:, 0], wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(at)
        scores = logits_of_files(network, validation[0])[:, 0]
        if not np.isfinite(total) or not np.isfinite(scores).all():
            raise BadInput("training", f"the loss or a score is not finite in epoch {epoch + 1}",
                           "a lower learning rate would be right")  # fmt: skip
        entry = {"loss": total / len(files), "selection": partial_auc(scores, np.asarray(validation[1]))}
        history.append(entry)
        if entry["selection"] > best:
            best, best_epoch, kept = entry["selection"], epoch, copy.deepcopy(network.state_dict())
        if watch is not None:
            watch(epoch, recipe.epochs, entry)
    network.load_state_dict(kept)
    network.eval()
    return ByteHistory(tuple(history), best_epoch)


@torch.no_grad()
def logits_of_files(network: ByteNetwork, files: Sequence[Any]) -> NDArray[np.float64]:
    """Logits of files (paths, or what `ByteNetwork` takes), shape (files, labels), in evaluation mode.

    Raises:
        Refused: a file that cannot be read; `ByteDetector.scan` takes it for an alarm instead.
    """
    was_training = network.training
    network.eval()
    found = [_logits(network, [file])[0].double().cpu().numpy() for file in files]
    network.train(was_training)
    return np.stack(found) if found else np.zeros((0, network.labels))


def _logits(network: ByteNetwork, files: Sequence[Any]) -> Tensor:
    opened = [FileBytes(file) if isinstance(file, str | os.PathLike) else file for file in files]
    try:
        return network(opened)  # type: ignore[no-any-return]
    finally:
        for file in opened:
            if isinstance(file, FileBytes):
                file.close()


@dataclass(frozen=True)
class ByteDetector:
    """A byte network with a threshold.

    Args:
        network: of one logit, in evaluation mode.
        threshold: an alarm is a logit above it.
        facts: what training found.
    """

    network: ByteNetwork
    threshold: float
    facts: dict[str, Any] = field(default_factory=dict)

    def scan(
        self, paths: Iterable[str | os.PathLike[str]], *, most: int = LARGEST, seconds: float = SLOWEST
    ) -> Iterator[Scanned]:
        """Judge files one after the other; one that cannot be read within the limits is an alarm.

        Args:
            paths: of files.
            most: the largest length, in bytes.
            seconds: for each file.

        Cost: the bytes of all files, memory of one block.
        """
        for path in paths:
            yield self._scanned(Path(path), most, seconds)

    def _scanned(self, path: Path, most: int, seconds: float) -> Scanned:
        try:
            with FileBytes(path, most=most, seconds=seconds) as file, torch.no_grad():
                score = float(self.network([file])[0, 0])
        except Refused as fault:
            return Scanned(path, True, None, fault.reason)
        # Written so that NaN is an alarm too.
        return Scanned(path, not score <= self.threshold, score)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write weights and settings into a new folder.

        Raises:
            CannotWrite: the folder is there already, or cannot be made.
        """
        place = Path(folder)
        safetensors = require("safetensors.torch", "train")
        said = {"format": FORMAT, "network": self.network.arguments, "threshold": self.threshold, "facts": self.facts}
        try:
            place.mkdir(parents=True)
            (place / WEIGHTS).write_bytes(safetensors.save(self.network.state_dict()))
            (place / MODEL).write_text(json.dumps(said, indent=1) + "\n")
        except OSError as fault:
            raise CannotWrite(place, fault.strerror or fault) from None
        return place

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ByteDetector:
        """Read what `save` wrote. Nothing in it is executed.

        Raises:
            NotAModel: it is not such a folder.
        """
        place = Path(folder)
        safetensors = require("safetensors.torch", "train")
        try:
            said = json.loads((place / MODEL).read_text())
            if said["format"] != FORMAT:
                raise NotAModel(place, f"it has format {said['format']!r}, and {FORMAT} is read here")
            network = ByteNetwork(**said["network"])
            network.load_state_dict(safetensors.load((place / WEIGHTS).read_bytes()))
            return cls(network.eval(), float(said["threshold"]), dict(said["facts"]))
        except NotAModel:
            raise
        except Exception as fault:  # torn and forged files fail in many ways
            raise NotAModel(place, f"it cannot be read ({type(fault).__name__})") from None


def train_byte_detector(
    folder: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    max_false_alarm_rate: float = 0.01,
    recipe: ByteRecipe | None = None,
    seed: int = 0,
    watch: Callable[[int, int, dict[str, float]], object] | None = None,
    **settings: Any,
) -> ByteDetector:
    """Train a detector on a folder of files with a table of labels.

    Files are split by group into training, validation (which chooses epoch and threshold) and test files.

    Args:
        folder: of the files.
        labels: CSV with the columns path (relative to the folder), label (0 or 1) and, if there is one, group.
        max_false_alarm_rate: share of benign validation files above the threshold at most.
        recipe: how to train.
        seed: of the split and of the starting weights.
        watch: called after each epoch.
        settings: of `ByteNetwork`, all but its number of labels.

    Returns:
        The detector; its `facts` hold the split, the history, and detection and false alarms on the test files.

    Raises:
        BadInput: a table that cannot be used; too few benign validation files for the rate.
        Refused: a file that cannot be read.
    """
    table = labelled(folder, labels)
    y = np.array(table.labels)
    parts = split(y, np.array(table.groups), seed=seed)
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
    history = train_bytes(network, train, validation, recipe, watch=watch)
    scores = logits_of_files(network, validation[0])[:, 0]
    threshold = threshold_at(scores[validation[1] == 0], max_false_alarm_rate)
    found = logits_of_files(network, test[0])[:, 0]
    facts = {
        "files": {"training": len(train[0]), "validation": len(validation[0]), "test": len(test[0])},
        "max_false_alarm_rate": max_false_alarm_rate,
        "epochs": list(history.epochs),
        "best_epoch": history.best_epoch,
        "detection": detection(found, test[1], threshold),
        "false_alarms": float((found[test[1] == 0] > threshold).mean()),
    }
    return ByteDetector(network, threshold, facts)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay, biases and other vectors do not."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
