"""Every layer and network, the inputs it takes, and which way each input must move it."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from isotone.nn import (
    Bag,
    Bounded,
    ByteNetwork,
    ByteStream,
    CumulativeLink,
    GraphNetwork,
    GraphTwin,
    LearnedRamps,
    MaxPatterns,
    MinMax,
    MonotoneBatchNorm,
    MonotoneEnsemble,
    MonotoneLinear,
    MonotoneMLP,
    MonotoneNetwork,
    MonotoneResidual,
    NameMax,
    NameSum,
    NodeEncoder,
    PaddedGraphs,
    PerOutput,
    Quantiles,
    Ramps,
    RowByRow,
    Saturating,
    SwitchLinear,
    TabularNetwork,
    Windows,
    Words,
    head,
    initialize_,
    quantile_knots,
    refuse_unsafe,
    refuse_unsafe_graph,
)

NAMES = 7
KNOTS = (torch.tensor([-1.0, -0.2, 0.1, 1.2]), torch.tensor([0.0, 0.5]))
UP, MIXED_NAMES, MIXED = (1,) * NAMES, (1, 1, -1, 0, 1, -1, 0), (1, -1, 0)


class OverVocabulary(nn.Module):
    """A pool of names as a function of presences, one per name."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool
        self.register_buffer("ids", torch.arange(NAMES)[None])

    def forward(self, presence: Tensor) -> Tensor:
        return self.pool.padded(self.ids, presence)


class OverWindows(nn.Module):
    """A byte network as a function of presences, one per window of a file."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.padded = network.padded()
        self.register_buffer("windows", torch.arange(NAMES * 4).mul(37).remainder(256).reshape(1, NAMES, 4))

    def forward(self, presence: Tensor) -> Tensor:
        return self.padded(self.windows.expand(len(presence), -1, -1), presence)


def of_bytes(**settings: object) -> nn.Module:
    return OverWindows(ByteNetwork(5, 4, hidden=(6,), labels=2, embedding=2, **settings))


class OverPresences(nn.Module):
    """A network on graphs of three given nodes at most as a function of presences: of nodes, then of edges."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.padded = PaddedGraphs(network, nodes=3)
        self.register_buffer("x", torch.rand(1, 3, 2))

    def forward(self, presence: Tensor) -> Tensor:
        rows = len(presence)
        edges = presence[:, 3:].reshape(rows, 1, 3, 3)
        return self.padded(self.x.expand(rows, -1, -1), presence[:, :3], edges)


def graphs(**settings: object) -> OverPresences:
    return OverPresences(GraphNetwork(2, width=8, hidden=(8,), **settings))


class Case(NamedTuple):
    make: Callable[[], nn.Module]
    inputs: Sequence[tuple[str, tuple[int, ...]]]  # of each input, what it is and the directions of its entries
    why: str


def network(directions: object = 1, knots: Sequence[Tensor] = (), **settings: object) -> MonotoneNetwork:
    settings = {"names": NAMES, "hidden": (8, 6)} | settings
    return MonotoneNetwork(knots=knots, directions=directions, **settings)


def ensemble(directions: object = 1, knots: Sequence[Tensor] = (), **settings: object) -> MonotoneEnsemble:
    return MonotoneEnsemble([network(directions, knots, pool=pool, **settings) for pool in ("max", "sum")])


# fmt: off
CASES = {
    # what                              how it is made                                        inputs and their directions                         why
    "MonotoneLinear, up":       Case(lambda: MonotoneLinear(4, 3),                            [("numbers", (1,) * 4)],                            "all increasing"),
    "MonotoneLinear, down":     Case(lambda: MonotoneLinear(4, 3, directions=-1),             [("numbers", (-1,) * 4)],                           "all decreasing"),
    "MonotoneLinear, mixed":    Case(lambda: MonotoneLinear(3, 3, directions=MIXED),          [("numbers", MIXED)],                               "one of each"),
    "Saturating above":         Case(lambda: Saturating(above=True),                          [("numbers", (1,) * 3)],                            "an activation"),
    "Saturating below":         Case(lambda: Saturating(above=False),                         [("numbers", (1,) * 3)],                            "the other side"),
    "MonotoneMLP, up":          Case(lambda: MonotoneMLP(4, (8, 8)),                          [("numbers", (1,) * 4)],                            "two hidden layers"),
    "MonotoneMLP, mixed":       Case(lambda: MonotoneMLP(3, (8, 8, 8), MIXED, 2),             [("numbers", MIXED)],                               "three, and two outputs"),
    "MonotoneMLP, linear":      Case(lambda: MonotoneMLP(3, (), MIXED, 2),                    [("numbers", MIXED)],                               "no hidden layer"),
    "Ramps":                    Case(lambda: Ramps(KNOTS),                                    [("numbers", (1, 1))],                              "no weights at all"),
    "LearnedRamps":             Case(lambda: LearnedRamps(KNOTS),                             [("numbers", (1, 1))],                              "knots that move"),
    "SwitchLinear, up":         Case(lambda: SwitchLinear(4, 3),                              [("numbers", (1,) * 4)],                            "no constraint at all"),
    "SwitchLinear, mixed":      Case(lambda: SwitchLinear(3, 3, MIXED),                       [("numbers", MIXED)],                               "one of each"),
    "SwitchLinear, elu":        Case(lambda: SwitchLinear(3, 3, MIXED, activation=nn.ELU()),  [("numbers", MIXED)],                               "another activation"),
    "SwitchLinear, stack":      Case(lambda: SwitchLinear.stack((3, 8, 8, 2), MIXED),         [("numbers", MIXED)],                               "three of them"),
    "MinMax, up":               Case(lambda: MinMax(4, groups=3, size=4),                     [("numbers", (1,) * 4)],                            "smallest of largest"),
    "MinMax, mixed":            Case(lambda: MinMax(3, 2, directions=MIXED, outer="max"),     [("numbers", MIXED)],                               "largest of smallest"),
    "MinMax, smooth":           Case(lambda: MinMax(3, 2, directions=MIXED, smooth=4.0),      [("numbers", MIXED)],                               "logarithms of sums"),
    "MaxPatterns, up":          Case(lambda: MaxPatterns([[0.0, 1.0]] * 4, 5),                [("numbers", (1,) * 4)],                            "the largest over patterns"),
    "MaxPatterns, mixed":       Case(lambda: MaxPatterns([[-1.0, 0.0, 2.0]] * 3, 5, MIXED),   [("numbers", MIXED)],                               "a free number is ignored"),
    "MonotoneResidual":         Case(lambda: MonotoneResidual(MonotoneLinear(3, 3), 0.5),     [("numbers", (1,) * 3)],                            "a sum of two that rise"),
    "MonotoneResidual, deep":   Case(lambda: MonotoneMLP(3, (8,) * 6, MIXED, residual=True),  [("numbers", MIXED)],                               "six layers"),
    "MonotoneBatchNorm":        Case(lambda: MonotoneBatchNorm(3),                            [("numbers", (1,) * 3)],                            "with fixed statistics"),
    "MonotoneMLP, norm":        Case(lambda: MonotoneMLP(3, (8, 8), MIXED, norm="batch"),     [("numbers", MIXED)],                               "between its layers"),
    "MonotoneMLP, all":         Case(lambda: MonotoneMLP(3, (8, 8, 8), MIXED, norm="batch", residual=True), [("numbers", MIXED)],                 "both"),
    "CumulativeLink":           Case(lambda: CumulativeLink(4),                               [("numbers", (1,))],                                "thresholds in order"),
    "Quantiles":                Case(lambda: Quantiles((0.1, 0.5, 0.9)),                      [("numbers", (1,) * 3)],                            "a sort"),
    "Quantiles, behind a network": Case(lambda: nn.Sequential(MonotoneMLP(3, (8,), MIXED, 3), Quantiles((0.1, 0.5, 0.9))), [("numbers", MIXED)], "every direction is kept"),
    "Bounded":                  Case(lambda: Bounded(-1.0, 2.0),                              [("numbers", (1,) * 3)],                            "both sides"),
    "Bounded below":            Case(lambda: Bounded(low=-1.0),                               [("numbers", (1,) * 3)],                            "one side"),
    "Bounded above":            Case(lambda: Bounded(high=2.0),                               [("numbers", (1,) * 3)],                            "the other"),
    "PerOutput":                Case(lambda: PerOutput(3, (8,), [MIXED, (1, -1, 1)]),         [("numbers", MIXED)],                               "what two rows have in common"),
    "TabularNetwork":           Case(lambda: TabularNetwork([[0.0, 1.0, 2.0]] * 3, MIXED, hidden=(8,)), [("numbers", MIXED)],                     "ramps, an embedding, two ways"),
    "TabularNetwork, coarse":   Case(lambda: TabularNetwork([[0.0, 0.5, 1.0, 2.0]] * 3, MIXED, coarse=[[0.0, 2.0]] * 3, hidden=(8,)), [("numbers", MIXED)], "its layers see fewer stretches"),
    "NodeEncoder":              Case(lambda: NodeEncoder(3, 4, MIXED),                        [("numbers", MIXED)],                               "one of each"),
    "GraphNetwork, max":        Case(lambda: graphs(aggregation="max"),                       [("names", (1,) * 12)],                             "nodes and edges appear"),
    "GraphNetwork, top":        Case(lambda: graphs(aggregation="top2_sum", readout="top2_sum", both_ways=True), [("names", (1,) * 12)],          "the largest two"),
    "NameSum, up":              Case(lambda: OverVocabulary(NameSum(NAMES, 3)),               [("names", UP)],                                    "rows at least 0"),
    "NameSum, mixed":           Case(lambda: OverVocabulary(NameSum(NAMES, 3, MIXED_NAMES)),  [("names", MIXED_NAMES)],                           "a sign for each name"),
    "NameMax, up":              Case(lambda: OverVocabulary(NameMax(NAMES, 3)),               [("names", UP)],                                    "the largest row"),
    "NameMax, some left out":   Case(lambda: OverVocabulary(NameMax(NAMES, 3, MIXED_NAMES)),  [("names", tuple(max(d, 0) for d in MIXED_NAMES))], "decreasing names take no part"),
    "network, max":             Case(network,                                                 [("names", UP)],                                    "names only"),
    "network, sum":             Case(lambda: network(pool="sum"),                             [("names", UP)],                                    "names only"),
    "network, down":            Case(lambda: network(-1),                                     [("names", (-1,) * NAMES)],                         "a maximum that nothing takes part in, and a sum"),
    "network, linear":          Case(lambda: network(hidden=()),                              [("names", UP)],                                    "no hidden layer"),
    "network, mixed, max":      Case(lambda: network((*MIXED_NAMES, 1, -1), KNOTS),           [("names", MIXED_NAMES), ("numbers", (1, -1))],     "both pools, and numbers"),
    "network, mixed, sum":      Case(lambda: network((*MIXED_NAMES, 0, -1), KNOTS, pool="sum"), [("names", MIXED_NAMES), ("numbers", (0, -1))],   "a free number"),
    "network, numbers":         Case(lambda: network((1, -1), KNOTS, names=0),                [("numbers", (1, -1))],                             "no names"),
    "network, dropout":         Case(lambda: network((1,) * (NAMES + 2), KNOTS, dropout=0.3, name_dropout=0.3), [("names", UP), ("numbers", (1, 1))], "silent when it is judged"),
    "ensemble":                 Case(lambda: ensemble((*MIXED_NAMES, 1, -1), KNOTS),          [("names", MIXED_NAMES), ("numbers", (1, -1))],     "a mean of two"),
    "bytes":                    Case(of_bytes,                                                [("names", UP)],                                    "the largest over windows"),
    "bytes, gated":             Case(lambda: of_bytes(context=3),                             [("names", UP)],                                    "gates that only open"),
    "ensemble of numbers":      Case(lambda: ensemble((1, -1), KNOTS, names=0),               [("numbers", (1, -1))],                             "no names"),
}
# fmt: on
TWINS = {
    "MonotoneLinear": (lambda: MonotoneLinear(4, 3, directions=0), [("numbers", (1,) * 4)]),
    "network, max": (lambda: network(monotone=False), [("names", UP)]),
    "network, sum": (lambda: network(monotone=False, pool="sum"), [("names", UP)]),
    "bytes": (lambda: of_bytes(monotone=False), [("names", UP)]),
    "network, numbers": (lambda: network((1, -1), KNOTS, names=0, monotone=False), [("numbers", (1, -1))]),
    "GraphNetwork": (lambda: graphs(monotone=False), [("names", (1,) * 12)]),
    "GraphTwin": (lambda: OverPresences(GraphTwin("gcn", 2, 8)), [("names", (1,) * 12)]),
    "ensemble": (
        lambda: ensemble((1,) * NAMES + (1, -1), KNOTS, monotone=False),
        [("names", UP), ("numbers", (1, -1))],
    ),
}

# What is public and no model of the table, with the reason; and what the table wraps.
NO_MODELS = {
    Bag: "the form in which names come",
    quantile_knots: "makes knots",
    initialize_: "sets weights",
    refuse_unsafe: "says what may not be there",
    refuse_unsafe_graph: "says so of graph classifiers of others",
    head: "makes one of the heads",
    ByteStream: "a file that arrives",
    GraphTwin: "a control, and not monotone",
    Windows: "a grid",
    RowByRow: "runs a free encoder on one row at a time",
    Words: "an encoder, free as the convolution is, with hashes that no graph has",
}
# Free parameters, of which no value breaks the direction.
BY_CONSTRUCTION = ("SwitchLinear", "CumulativeLink", "LearnedRamps")


class OnNumbers(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, numbers: Tensor) -> Tensor:
        return self.network(None, numbers)


def as_function(net: nn.Module, inputs: Sequence[tuple[str, tuple[int, ...]]]) -> nn.Module:
    """The model as a function of one tensor per input."""
    if not isinstance(net, MonotoneNetwork | MonotoneEnsemble):
        return net
    return net.over_vocabulary().eval() if inputs[0][0] == "names" else OnNumbers(net).eval()


def shake(net: nn.Module, steps: int = 5) -> nn.Module:
    """Train every parameter towards random signs, which breaks every guarantee that nothing enforces."""
    free = [p for p in net.parameters() if p.requires_grad]
    if free:
        optimizer = torch.optim.AdamW(free, lr=0.2)
        for _ in range(steps):
            for p in free:
                p.grad = torch.randn_like(p)
            optimizer.step()
    return net


def pairs(inputs: Sequence[tuple[str, tuple[int, ...]]], rows: int = 64) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs, and the same moved along their directions; free entries are equal in both."""
    lower, upper = [], []
    for kind, directions in inputs:
        way = torch.tensor(directions, dtype=torch.float32)
        if kind == "names":
            a, b = (torch.rand(2, rows, len(way)) * (torch.rand(2, rows, len(way)) < 0.6)).unbind()
            a, b = (torch.where(torch.arange(rows)[:, None] % 2 == 0, x.ceil(), x) for x in (a, b))  # half of them sets
        else:
            a, b = torch.randn(2, rows, len(way)).mul(2).unbind()
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        lower.append(torch.where(way > 0, low, high))
        upper.append(torch.where(way > 0, high, torch.where(way < 0, low, high)))
    return lower, upper


def drop(net: nn.Module, inputs: Sequence[tuple[str, tuple[int, ...]]], rows: int = 64) -> float:
    """How far the score falls at most over random pairs; both ends are rows of one batch."""
    lower, upper = pairs(inputs, rows)
    with torch.no_grad():
        out = net(*[torch.cat(both) for both in zip(lower, upper, strict=True)]).double()
    return float((out[:rows] - out[rows:]).max())
