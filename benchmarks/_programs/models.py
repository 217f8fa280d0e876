"""The models: of import tables, of bytes, of call graphs; the guaranteed ones and their unconstrained twins."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from isotone.attack import ByteVictim
from isotone.byte_files import ByteRecipe, train_bytes
from isotone.data import KINDS, NODE_FEATURES
from isotone.evaluation import partial_auc
from isotone.families import NetworkFamily, NetworkScorer, tune
from isotone.graphs import Graphs, unions
from isotone.nn import ByteNetwork, GatedConvolution, GraphNetwork, GraphTwin
from isotone.training import Recipe

from .sides import Sides

CHANNELS, WINDOW, HIDDEN, WIDTH = 32, 512, 32, 32
PADDED = 2**17  # bytes to which MalConv pads or cuts a file
BYTES = ByteRecipe(epochs=4, patience=4, batch_size=16, learning_rate=2e-3)
WORDS, WORD_CHANNELS, WORD_RATE = 2**14, 128, 0.01
GRAPH_EPOCHS, GRAPH_PATIENCE, GRAPH_RATE = 10, 4, 0.01
DEAD = 1e-4  # standard deviation of validation logits


def byte_network(monotone: bool, *, words: bool = False) -> ByteNetwork:
    if words:
        return ByteNetwork(WORD_CHANNELS, WINDOW, hidden=(HIDDEN,), words=WORDS, monotone=monotone)
    return ByteNetwork(CHANNELS, WINDOW, hidden=(HIDDEN,), monotone=monotone)


class MalConv(nn.Module):
    """The usual byte model with the encoder of ours: padded to one length with a byte of its own, two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = GatedConvolution(WINDOW, CHANNELS)
        self.encoder.embedding = nn.Embedding(257, self.encoder.embedding.embedding_dim)
        with torch.no_grad():
            self.encoder.embedding.weight[[0, 256]] = 0  # padding as zeros, see `GatedConvolution`
        self.head = nn.Sequential(nn.Linear(CHANNELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))

    def of_embedded(self, embedded: Tensor) -> Tensor:
        """One file, (length, embedding); windows of padding are all alike, so that one stands for them."""
        embedded = embedded[:PADDED]
        missing = min(PADDED - len(embedded), -len(embedded) % WINDOW + WINDOW)
        padding = self.encoder.embedding.weight[256].expand(missing, -1)
        windows = torch.cat([embedded, padding]).reshape(-1, WINDOW, embedded.shape[1])
        logits = self.head(self.encoder.of_embedded(windows).relu().amax(dim=0))
        return logits[1] - logits[0]  # type: ignore[no-any-return]

    def forward(self, files: list[Tensor]) -> Tensor:
        return torch.stack([self.of_embedded(self.encoder.embedding(file[:PADDED].int())) for file in files])[:, None]

    def victim(self) -> ByteVictim:
        table = self.encoder.embedding.weight.detach()
        return ByteVictim(lambda files: self(files)[:, 0], table, self.of_embedded)


class Died(Exception):
    """Every program gets the same score, which a saturated network does not leave again."""


class Content(nn.Module):
    """What a node says by itself, with free weights: its instructions, the name of an import."""

    def __init__(self, names: int) -> None:
        super().__init__()
        self.names = nn.Embedding(names + 2, WIDTH)
        nn.init.normal_(self.names.weight, std=0.3)
        self.counts = nn.Sequential(nn.Linear(len(KINDS), WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        # Clamped, so that a proof knows that the numbers of names are no large ones.
        number = x[..., -1].clamp(0, self.names.num_embeddings - 1).long()
        return self.names(number) + self.counts(x[..., :-1])


def ours(names: int, **more: Any) -> nn.Module:
    kinds = {"aggregation": "max", "readout": ("max", "log1p_sum"), "both_ways": True}
    return GraphNetwork(NODE_FEATURES, WIDTH, 2, (HIDDEN,), encoder=Content(names), **kinds, **more)  # type: ignore[arg-type]


def usual(kind: str, readout: str, names: int) -> nn.Module:
    return GraphTwin(
        kind, NODE_FEATURES, WIDTH, 2, hidden=HIDDEN, both_ways=True, readout=readout, encoder=Content(names)
    )


# fmt: off
BYTE_MODELS: dict[str, Callable[[], nn.Module]] = {
    "bytes, monotone":  lambda: byte_network(monotone=True),
    "bytes, free head": lambda: byte_network(monotone=False),
    "MalConv":          MalConv,
    "words, monotone":  lambda: byte_network(monotone=True, words=True),
    "words, free head": lambda: byte_network(monotone=False, words=True),
}
GRAPH_MODELS: dict[str, Callable[[int], nn.Module]] = {
    "graphs, monotone":     ours,
    "graphs, free weights": lambda n: ours(n, monotone=False),
    "GIN":                  lambda n: usual("gin", "sum", n),
    "GCN":                  lambda n: usual("gcn", "mean", n),
    "GAT":                  lambda n: usual("gat", "mean", n),
    "GraphSAGE, mean":      lambda n: usual("sage", "mean", n),
}
# fmt: on
IMPORT_MODELS = {"imports, monotone": True, "imports, free": False}
GUARANTEED = ("imports, monotone", "bytes, monotone", "words, monotone", "graphs, monotone")


def of_imports(name: str, sides: Sides) -> NetworkScorer:
    """As in `isotone demo`, but one network in place of three: the best of four settings on validation programs."""
    family = NetworkFamily(IMPORT_MODELS[name], Recipe(accelerator="cpu"), members=1)
    return family.fit(sides.material, tune(family, sides.material, sides.seed).setting, sides.seed)


def of_bytes(name: str, sides: Sides) -> nn.Module:
    torch.manual_seed(sides.seed)
    model = BYTE_MODELS[name]()
    training, validation = ((sides.files(part), sides.labels[part]) for part in ("train", "validation"))
    if isinstance(model, ByteNetwork):
        model.centre_(training[0][:64], float(training[1].mean()))
        rate = WORD_RATE if model.arguments["words"] else BYTES.learning_rate
        recipe = ByteRecipe(**{**BYTES.__dict__, "seed": sides.seed, "learning_rate": rate})
        train_bytes(model, training, validation, recipe)
        return model
    return fitted(model, training, validation, sides.seed, list, BYTES.epochs, BYTES.patience, BYTES.learning_rate)


def of_graphs(name: str, sides: Sides) -> nn.Module:
    torch.manual_seed(sides.seed)
    model = GRAPH_MODELS[name](len(sides.numbers))
    labels = torch.from_numpy(sides.labels["train"]).float()
    if isinstance(model, GraphNetwork):
        model.centre_(Graphs.joined(sides.graphs["train"][:150]), float(labels.mean()))
    graphs, labels = unions(sides.graphs["train"], labels, 0.3, torch.Generator().manual_seed(sides.seed))
    validation = (sides.graphs["validation"], sides.labels["validation"])
    training, untrained = (graphs, labels.numpy()), copy.deepcopy(model)
    how = (training, validation, sides.seed, Graphs.joined, GRAPH_EPOCHS, GRAPH_PATIENCE)
    try:
        return fitted(model, *how, GRAPH_RATE, batch=32)
    except Died:
        return fitted(untrained, *how, GRAPH_RATE / 3, batch=32)


def fitted(  # noqa: PLR0917
    model: nn.Module,
    training: tuple[list[Any], Any],
    validation: tuple[list[Any], Any],
    seed: int,
    together: Callable[[list[Any]], Any],
    epochs: int,
    patience: int,
    rate: float,
    batch: int = 16,
) -> nn.Module:
    """The loop of `train_bytes` for others: AdamW, one cycle, balanced classes, the best epoch on validation."""
    items, labels = training
    weight = torch.tensor(float((labels == 0).sum() / (labels == 1).sum()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    steps = -(-len(items) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps, pct_start=0.2)
    best, best_epoch, kept = -1.0, 0, copy.deepcopy(model.state_dict())
    for epoch in range(epochs):
        if epoch - best_epoch > patience:
            break
        model.train()
        order = np.random.default_rng((seed, epoch)).permutation(len(items))
        for start in range(0, len(order), batch):
            at = order[start : start + batch]
            wanted = torch.from_numpy(np.asarray(labels)[at]).float()
            logits = model(together([items[i] for i in at]))[:, 0]
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight).backward()
            optimizer.step()
            schedule.step()
        scores = scored(model, validation[0], together)
        if scores.std() < DEAD:
            raise Died(f"all validation scores are alike after epoch {epoch + 1}")
        found = partial_auc(scores, validation[1])
        if found > best:
            best, best_epoch, kept = found, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval()


@torch.no_grad()
def scored(model: nn.Module, items: list[Any], together: Callable[[list[Any]], Any]) -> Any:
    """Logits in evaluation mode, float64."""
    model.eval()
    found = [model(together(items[i : i + 32]))[:, 0] for i in range(0, len(items), 32)]
    return torch.cat(found).double().numpy()
