"""The one training loop, from a laptop to a cluster.

- runs on Lightning Fabric: the same loop on one core, on a GPU, under `torchrun` on many;
- knows no constraint: whatever is declared on the network holds after every step;
- can be stopped at any time and goes on where it was, to the same weights to the bit.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .data import Examples
from .errors import BadInput, CannotWrite, require
from .nn import Bag

# A detector is used where false alarms are few, so epochs are compared there: area under the ROC up to this rate.
SELECTION_RATE = 0.05
SCORING_ROWS = 256


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults did best on re-splits of training and validation rows of the shipped programs.

    Args:
        epochs: most passes over the training rows.
        patience: epochs without a better validation score after which training stops.
        batch_size: rows per step, over all processes together.
        learning_rate: the peak of a one-cycle schedule (Smith and Topin 2018).
        weight_decay: of AdamW, on weights of more than one dimension; it pulls towards 0, which is inside every
            constraint of a monotone network.
        positive_weight: weight of a positive row, `pos_weight` of `BCEWithLogitsLoss`; "balanced" gives both classes
            the same total.
        seed: of the order of the rows and of dropout.
        accelerator, devices, strategy, precision: as Lightning Fabric takes them.
    """

    epochs: int = 12
    patience: int = 6
    batch_size: int = 128
    learning_rate: float = 1e-2
    weight_decay: float = 0.1
    positive_weight: float | Literal["balanced"] = 1.0
    seed: int = 0
    accelerator: str = "auto"
    devices: int | str = 1
    strategy: str = "auto"
    precision: str = "32-true"

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
                raise BadInput(name, f"{value!r} came", f"a whole number from {least} on is right")
        weight: Any = self.positive_weight
        if weight != "balanced" and not (isinstance(weight, Real) and 0 < float(weight) < float("inf")):
            raise BadInput("positive_weight", f"{weight!r} came", "a number above 0, or 'balanced', is right")


@dataclass
class History:
    """What happened: one entry per epoch with `loss`, `selection` (validation, higher is better) and `detection`."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1

    @property
    def best(self) -> float:
        """The selection score of the best epoch."""
        return self.epochs[self.best_epoch]["selection"] if self.best_epoch >= 0 else -float("inf")


@dataclass(frozen=True)
class Rows:
    """Examples and their labels, ready for a network.

    Args:
        examples: of `Encoder.encode`.
        labels: shape (rows,), 0 or 1.

    Raises:
        BadInput: other labels, or more or fewer of them than rows.
    """

    examples: Examples
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if np.shape(self.labels) != (len(self.examples),):
            came = f"labels of shape {np.shape(self.labels)} came for {len(self.examples)} rows"
            raise BadInput("rows", came, "one label per row is right")
        if not (known := np.isin(self.labels, (0, 1))).all():
            raise BadInput("rows", f"label {self.labels[~known][0]} came", "0 and 1 are right")

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, at: NDArray[np.int64] | slice, device: torch.device | str = "cpu") -> tuple[Bag, Tensor]:
        """Names and numbers of some rows, on a device."""
        names = self.examples.names[at]
        ids = torch.from_numpy(names.indices.astype(np.int64)).to(device)
        offsets = torch.from_numpy(names.indptr[:-1].astype(np.int64)).to(device)
        return Bag(ids, offsets), torch.from_numpy(self.examples.columns[at]).to(device)


Watch = Callable[[int, int, dict[str, float]], object]


def train(
    network: nn.Module,
    training: Rows,
    validation: Rows,
    recipe: Recipe | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 30.0,
    watch: Watch | None = None,
) -> History:
    """Fit a network that takes `(Bag, numbers)` and returns logits; it ends with the weights of its best epoch.

    Args:
        network: such as `isotone.nn.MonotoneNetwork`; `centre_` it first.
        training, validation: rows; the best epoch is chosen on the validation rows.
        recipe: how.
        checkpoint: a file to go on from, and to keep up to date while training. It is removed at the end. It is trusted
            and private (it holds optimizer state): never share it; a model folder is for that.
        checkpoint_seconds: least time between two writes.
        watch: called after each epoch with (epoch, epochs, its entry in the history).

    Returns:
        The history.

    Raises:
        BadInput: a class is missing on a side, no weight can be trained, or the loss is no longer finite.
        CannotWrite: the checkpoint's folder.

    Cost: epochs x rows. For several processes start the program with `torchrun` and set `devices` and `strategy`.
    """
    recipe = recipe or Recipe()
    for name, side in (("training", training), ("validation", validation)):
        if len(set(side.labels.tolist())) < 2:
            raise BadInput(f"{name} rows", "all have one label", "both classes are needed")
    if not any(p.requires_grad for p in network.parameters()):
        raise BadInput("network", "every weight of it is frozen", "requires_grad_(True) on what is to be trained")
    torch.manual_seed(recipe.seed)
    fabric = require("lightning_fabric", "train").Fabric(
        accelerator=recipe.accelerator, devices=recipe.devices, strategy=recipe.strategy, precision=recipe.precision
    )
    fabric.launch()
    steps = max(1, len(training) // recipe.batch_size)
    optimizer = torch.optim.AdamW(_groups(network, recipe.weight_decay), lr=recipe.learning_rate, fused=True)
    # A cycle of fewer than ten steps would have no step to rise in (and OneCycleLR divides by their number).
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=max(10, recipe.epochs * steps), pct_start=0.2
    )
    model, optimizer = fabric.setup(network, optimizer)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(_positive_weight(training, recipe), device=fabric.device))
    state: dict[str, Any] = {"recipe": asdict(recipe), "history": asdict(History()), "best": _copy(network)}
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if checkpoint is not None:
        state["rows"] = [_digest(training), _digest(validation)]
        # The first process decides, here and below: the clocks and file systems of the others may say something else.
        if fabric.broadcast(Path(checkpoint).exists()):
            _resume(fabric, Path(checkpoint), state, parts)
    history = History(**state["history"])
    written = time.monotonic()
    for epoch in range(len(history.epochs), recipe.epochs):
        if epoch - history.best_epoch > recipe.patience and history.best_epoch >= 0:
            break
        # Seeded anew, so that an epoch is the same whether the run was interrupted before it or not.
        torch.manual_seed(recipe.seed * 1_000_003 + epoch)
        model.train()
        total = 0.0
        for at in _batches(len(training), recipe, epoch, fabric.global_rank, fabric.world_size):
            labels = torch.from_numpy(training.labels[at]).float().to(fabric.device)
            loss = loss_of(model(*training.batch(at, fabric.device)), labels)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        total = float(fabric.all_reduce(torch.tensor(total), reduce_op="mean"))
        logits = logits_of(network, validation)
        _check_finite(total, logits, epoch)
        entry = {"loss": total / steps, **_judged(logits, validation.labels)}
        history.epochs.append(entry)
        if entry["selection"] > history.best:
            history.best_epoch, state["best"] = epoch, _copy(network)
        if watch is not None and fabric.is_global_zero:
            watch(epoch, recipe.epochs, entry)
        if checkpoint is not None and fabric.broadcast(time.monotonic() - written >= checkpoint_seconds):
            _save(fabric, Path(checkpoint), {**state, "history": asdict(history)}, parts)
            written = time.monotonic()
    network.load_state_dict(state["best"])
    network.eval()
    if checkpoint is not None and fabric.is_global_zero:
        Path(checkpoint).unlink(missing_ok=True)
    return history


@torch.no_grad()
def logits_of(network: nn.Module, rows: Rows | Examples) -> NDArray[np.float64]:
    """Logits of every row, shape (rows,), in eval mode.

    Rows go through in blocks of one fixed size, the last one filled up: other batch sizes may sum in another order, and
    a row's score would depend on its neighbours in the last bits.
    """
    if isinstance(rows, Examples):
        rows = Rows(rows, np.zeros(len(rows), dtype=np.int64))
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    found = np.empty(len(rows))
    for start in range(0, len(rows), SCORING_ROWS):
        at = np.arange(start, start + SCORING_ROWS).clip(max=len(rows) - 1)
        logits = network(*rows.batch(at, device)).double().cpu().numpy()
        found[start : start + SCORING_ROWS] = logits[: len(rows) - start]
    network.train(was_training)
    return found


def _check_finite(loss: float, logits: NDArray[np.float64], epoch: int) -> None:
    for what, value in (("loss is", loss), ("validation logits sum to", logits.sum())):
        if not np.isfinite(value):
            came = f"the {what} {value} in epoch {epoch + 1}"
            raise BadInput("training", came, "a lower learning rate would be right")


def _judged(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    metrics = require("sklearn.metrics", "tables")
    negative = np.sort(logits[labels == 0])
    # The least threshold with at most 1 % of the negatives above it.
    threshold = negative[max(0, len(negative) - 1 - int(0.01 * len(negative)))]
    return {
        "selection": float(metrics.roc_auc_score(labels, logits, max_fpr=SELECTION_RATE)),
        "detection": float((logits[labels == 1] > threshold).mean()),
    }


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay, biases and other vectors do not."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _positive_weight(rows: Rows, recipe: Recipe) -> float:
    if recipe.positive_weight == "balanced":
        positives = int(rows.labels.sum())
        return (len(rows) - positives) / positives
    return float(recipe.positive_weight)


def _batches(rows: int, recipe: Recipe, epoch: int, rank: int, ranks: int) -> Iterator[NDArray[np.int64]]:
    """This process's share of each batch of the epoch, the same size on every process; the rest of an epoch waits."""
    order = np.random.default_rng((recipe.seed, epoch)).permutation(rows)
    size = min(recipe.batch_size, rows)
    for start in range(0, rows - size + 1, size):
        yield np.sort(order[start : start + size][rank::ranks][: max(1, size // ranks)])


def _digest(rows: Rows) -> str:
    """Of all that rows hold: going on with other rows would end in weights that saw what is now on another side."""
    names = rows.examples.names
    parts = (names.indptr, names.indices, rows.examples.columns, rows.labels)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _save(fabric: Any, path: Path, state: dict[str, Any], parts: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        fabric.save(partial, {**state, **parts})
        if fabric.is_global_zero:
            partial.replace(path)
    except OSError as fault:
        raise CannotWrite(path, fault.strerror or fault) from None


def _resume(fabric: Any, path: Path, state: dict[str, Any], parts: dict[str, Any]) -> None:
    saved = {**dict.fromkeys(state), **parts}
    try:
        fabric.load(path, saved)
    except Exception as fault:  # a torn file fails in many ways
        raise BadInput(
            f"checkpoint {path}", f"it cannot be read ({type(fault).__name__})", "delete it to start anew"
        ) from None
    for key, what in (("recipe", "another recipe"), ("rows", "other rows")):
        if saved[key] != state[key]:
            right = "resume with the same, or delete it to start anew"
            raise BadInput(f"checkpoint {path}", f"it was made with {what}", right)
    state.update({name: saved[name] for name in state})
