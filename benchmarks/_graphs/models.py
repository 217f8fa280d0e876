"""The models that are compared, all with the same free encoder of nodes, and the one loop that trains them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from isotone.graphs import Graphs, unions
from isotone.nn import Bag, GraphNetwork, GraphTwin, MonotoneNetwork

from .programs import FEATURES, LABELS

WIDTH = 32


class Content(nn.Module):
    """What a node says by itself: its name, whether it is an import, how many instructions it has. Weights are free."""

    def __init__(self, names: int) -> None:
        super().__init__()
        self.names = nn.Embedding(names + 2, WIDTH)
        nn.init.normal_(self.names.weight, std=0.3)
        self.numbers = nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.names(x[..., 2].long()) + self.numbers(x[..., :2])


def ours(names: int, **more: Any) -> nn.Module:
    return GraphNetwork(FEATURES, WIDTH, 2, (32,), len(LABELS), both_ways=True, encoder=Content(names), **more)


def twin(kind: str, names: int, readout: str) -> nn.Module:
    return GraphTwin(
        kind, FEATURES, WIDTH, 2, len(LABELS), hidden=32, both_ways=True, readout=readout, encoder=Content(names)
    )


# Settings that are tried for each kind, on validation programs only.
POOLS = [("max", ("max", "log1p_sum")), ("log1p_sum", ("max", "log1p_sum"))]
# fmt: off
KINDS: dict[str, list[Callable[[int], nn.Module]]] = {
    "isotone":         [lambda n, a=a, r=r: ours(n, aggregation=a, readout=r) for a, r in POOLS],
    "free weights":    [lambda n, a=a, r=r: ours(n, aggregation=a, readout=r, monotone=False) for a, r in POOLS],
    "GIN":             [lambda n, r=r: twin("gin", n, r) for r in ("mean", "max")],
    "GCN":             [lambda n, r=r: twin("gcn", n, r) for r in ("mean", "max")],
    "GraphSAGE, mean": [lambda n, r=r: twin("sage", n, r) for r in ("mean", "max")],
    "GAT":             [lambda n, r=r: twin("gat", n, r) for r in ("mean", "max")],
}
# fmt: on
GUARANTEED = ("isotone", "imports, monotone")


class Imports(nn.Module):
    """The import table's model: a network of the library per label, on sets of names."""

    def __init__(self, names: int, *, monotone: bool) -> None:
        super().__init__()
        self.labels = nn.ModuleList(
            MonotoneNetwork(names, hidden=(32,), monotone=monotone, name_dropout=0.2) for _ in LABELS
        )

    def forward(self, presences: Tensor) -> Tensor:
        bag = Bag.of(presences)
        return torch.stack([label(bag) for label in self.labels], dim=1)


def auc(truth: Tensor, scores: Tensor) -> float:
    """Mean over the labels."""
    return float(sum(roc_auc_score(truth[:, i], scores[:, i]) for i in range(truth.shape[1])) / truth.shape[1])


@torch.no_grad()
def scored(net: nn.Module, inputs: Any) -> Tensor:
    """Logits in evaluation mode."""
    net.eval()
    return net(inputs).double()


def trained(
    net: nn.Module,
    rows: tuple[list[Graphs], Tensor],
    judged: tuple[Any, Tensor],
    *,
    epochs: int,
    seed: int,
    rate: float = 0.01,
) -> tuple[nn.Module, float]:
    """The network as it was best on validation programs, and its mean AUC there."""
    torch.manual_seed(seed)
    graphs, truth = rows
    prior = truth.mean(0).clamp(0.01, 0.99)
    if isinstance(net, GraphNetwork):
        net.centre_(Graphs.joined(graphs[:150]), prior.tolist())
    graphs, truth = unions(graphs, truth, 0.3)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * -(-len(graphs) // 32)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, kept = -1.0, net
    for epoch in range(epochs):
        net.train()
        for part in torch.randperm(len(graphs)).split(32):
            optimizer.zero_grad()
            logits = net(Graphs.joined([graphs[i] for i in part.tolist()]))
            nn.functional.binary_cross_entropy_with_logits(logits, truth[part]).backward()
            optimizer.step()
            schedule.step()
        if epoch >= epochs // 3:
            found = auc(judged[1], scored(net, judged[0]))
            if found > best:
                best, kept = found, copy.deepcopy(net)
    return kept, best


def trained_on_imports(
    rows: tuple[Tensor, Tensor], judged: tuple[Tensor, Tensor], *, monotone: bool, epochs: int, seed: int
) -> tuple[nn.Module, float]:
    """The same for the import table's model."""
    torch.manual_seed(seed)
    net = Imports(rows[0].shape[1], monotone=monotone)
    for i, label in enumerate(net.labels):
        label.believe_(rows[0].sum(0))
        label.centre_(Bag.of(rows[0]), None, float(rows[1][:, i].mean()))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)
    best, kept = -1.0, net
    for _ in range(epochs):
        net.train()
        for part in torch.randperm(len(rows[0])).split(64):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(net(rows[0][part]), rows[1][part]).backward()
            optimizer.step()
        found = auc(judged[1], scored(net, judged[0]))
        if found > best:
            best, kept = found, copy.deepcopy(net)
    return kept, best
