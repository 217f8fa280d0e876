"""Byte networks on files with labels: the epochs, the best of which stays, and the scores."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import BadInput
from ..evaluation import partial_auc
from ..files import FileBytes
from ..nn import ByteNetwork


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

    @property
    def best(self) -> float:
        """The selection of the best epoch."""
        return self.epochs[self.best_epoch]["selection"]


def train_bytes(
    network: ByteNetwork,
    training: tuple[Sequence[Any], Any],
    validation: tuple[Sequence[Any], Any],
    recipe: ByteRecipe | None = None,
    *,
    watch: Callable[[int, int, dict[str, float]], object] | None = None,
    step: Callable[[int, int], object] | None = None,
) -> ByteHistory:
    """Fit a byte network of one logit; it ends in evaluation mode with the weights of its best epoch.

    Args:
        network: `centre_` it first. On whichever device it is.
        training, validation: files (paths, or what `ByteNetwork` takes) and their labels, 0 or 1.
        recipe: how.
        watch: called after each epoch with (epoch, epochs, its entry in the history).
        step: called after each step with (steps done, steps of all epochs).

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
            if step is not None:
                step(epoch * steps + start // recipe.batch_size + 1, recipe.epochs * steps)
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


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay, biases and other vectors do not."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
