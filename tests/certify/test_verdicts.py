"""One table: a model, a question, the verdicts that are right, and why."""

# ruff: noqa: E501, PLR0917 (rows of a table)

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from isotone.certify import certify
from isotone.verdict import Domain, Verdict

from .models import Formula, mlp, positive

PROVED, REFUTED, UNKNOWN = Verdict.PROVED, Verdict.REFUTED, Verdict.UNKNOWN
NOT_PROVED = {REFUTED, UNKNOWN}
UNIT = (0.0, 1.0)
LONGS = torch.tensor([[2**53], [2**53 + 2]])
WIDE = torch.tensor([[16777218], [16777218]])
BYTES = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)


def seeded(make):
    torch.manual_seed(0)
    return make()


def flipped(net: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        net[2].weight[0, 0] = -300.0
    return net


class Bag(nn.Module):
    """Names in a bag, each with a presence, beside columns: a padded form."""

    def __init__(self, by: str):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.rand(9, 4))
        self.head = positive(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)))
        self.by = by

    def forward(self, ids, presence, columns):
        if self.by == "embedding":
            bag = (F.embedding(ids, self.table) * presence.unsqueeze(-1)).sum(1)
        elif self.by == "index":
            bag = (self.table[ids] * presence[:, :, None]).sum(1)
        else:
            bag = F.embedding_bag(ids, self.table, mode="sum", per_sample_weights=presence)
        return self.head(torch.cat([bag, columns], 1))


def bag(by: str, change=lambda m: None) -> Bag:
    made = Bag(by)
    with torch.no_grad():
        change(made)
    return made


def negative_row(model: Bag) -> None:
    model.table[3, 0] = -5.0


BAG_INPUTS = (torch.tensor([[0, 3, 8, 1], [2, 2, 5, 0]]), torch.rand(2, 4), torch.rand(2, 2))
HALF_INPUTS = (BAG_INPUTS[0], torch.full((2, 4), 0.5), BAG_INPUTS[2])
BAG_WAYS = (0, +1, torch.tensor([1.0, 0.0]))
BAG_DOMAIN = ((0, 8), UNIT, None)


class FreeBranch(nn.Module):
    """Monotone in the first input, anything in the second."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.free = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3), nn.Softmax(-1))
        self.mixed = positive(nn.Linear(6, 4))
        self.out = positive(nn.Linear(4, 1))

    def forward(self, x, z):
        return self.out(torch.tanh(self.mixed(torch.cat([x, self.free(z)], 1))))


class GraphNet(nn.Module):
    """Messages over fixed edges, masked by their presence, summed and pooled by maximum."""

    def __init__(self, divide: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.message, self.head = positive(nn.Linear(3, 4)), positive(nn.Linear(4, 1))
        self.divide = divide
        self.register_buffer("source", torch.tensor([0, 1, 2, 3, 3]))
        self.register_buffer("target", torch.tensor([1, 0, 0, 2, 1]))

    def forward(self, nodes, edges):
        messages = torch.relu(self.message(nodes))[:, self.source] * edges.unsqueeze(-1)
        summed = torch.zeros_like(messages[:, :4]).index_add(1, self.target, messages)
        if self.divide:
            count = torch.zeros_like(edges[:, :4]).index_add(1, self.target, edges) + 1
            summed = summed / count.unsqueeze(-1)
        return self.head(summed).amax(1)


def two_logits():
    return positive(nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)))


def gaussian_residual():
    inner = positive(nn.Linear(3, 3))
    return Formula(lambda x, m: x + torch.relu(m(x)), inner)


def min_max():
    inner = positive(nn.Linear(3, 12))
    return Formula(lambda x, m: m(x).view(x.shape[0], 3, 4).amax(2).amin(1), inner)


def last_layer_only():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        net[2].weight.abs_()
    return net


def low_softplus(x):
    return torch.where(x > 2.0, x, torch.log1p(torch.exp(x)))


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.Tanh(), nn.Sigmoid(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Softplus(), nn.LeakyReLU(),
    nn.Hardtanh(), nn.Hardsigmoid(), nn.LogSigmoid(), nn.PReLU(), nn.Identity(), nn.Threshold(0.1, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_positive_weights_and_a_rising_activation_are_proved(activation):
    net = positive(mlp(activation))
    assert certify(net, torch.rand(2, 3), +1, budget=0).verdict is PROVED
    assert certify(flipped(net), torch.rand(2, 3), +1, budget=0).verdict is UNKNOWN  # it falls


X = torch.linspace(0.1, 0.9, 6).reshape(2, 3)


# fmt: off
def thrice(x):
    wide = x.repeat_interleave(torch.tensor([1, 2, 1]), dim=1)
    return wide * wide * wide * wide * wide - 0.1 * wide * wide * wide + wide


def own_nan(x):
    y = (x.exp() - 0 * x).sum(1)
    return torch.where(y != y, torch.zeros_like(y), y)  # noqa: PLR0124 - NaN alone is not itself


VERDICTS = [
    # model                                   inputs    directions     domain      verdicts         why
    (lambda: Formula(lambda x: x.neg().neg()),        X,        +1,            None,       {PROVED},        "two reversals cancel"),
    (lambda: Formula(lambda x: x - x),        X,        +1,            None,       {PROVED},        "a constant does not fall"),
    (lambda: Formula(lambda x: -x),           X,        -1,            None,       {PROVED},        "a falling input under a minus rises"),
    (lambda: Formula(lambda x: -x),           X,        +1,            None,       {REFUTED},       "a minus falls"),
    (lambda: Formula(lambda x: x.abs()),      X,        +1,            (-1, 1),    {REFUTED},       "falls left of 0"),
    (lambda: Formula(lambda x: x.abs()),      X,        +1,            UNIT,       {PROVED},        "the domain stays right of 0"),
    (lambda: Formula(lambda x: x.abs()),      X - 1,    -1,            (None, 0),  {PROVED},        "left of 0 it rises as x falls"),
    (lambda: Formula(lambda x: x * x),        X,        +1,            UNIT,       {PROVED},        "a square rises right of 0"),
    (lambda: Formula(lambda x: x * x),        X,        +1,            None,       {REFUTED},       "a square falls left of 0"),
    (lambda: Formula(lambda x: x[:, 0] * x[:, 1]), X,   +1,            (0, None),  {PROVED},        "a product of non-negative factors"),
    (lambda: Formula(lambda x: x[:, 0] * x[:, 1]), X,   +1,            None,       {REFUTED},       "a product of any factors"),
    (lambda: Formula(lambda x: x[:, 0] / x[:, 1]), X,   torch.tensor([1, -1, 0]), (0.05, 1), {PROVED}, "rises in its dividend, falls in its divisor"),
    (lambda: Formula(lambda x: x ** 3 - 1),   X,        +1,            None,       {PROVED},        "odd powers rise"),
    (lambda: Formula(lambda x: x.abs() + 2 * x), X,     +1,            (-1, 1),    {PROVED, UNKNOWN}, "true; needs slopes"),
    (lambda: Formula(lambda x: x - torch.relu(x)), X,   +1,            None,       {PROVED, UNKNOWN}, "true; needs slopes"),
    (lambda: Formula(lambda x: x.floor() + x.round()), X, +1,          None,       {PROVED},        "steps rise"),
    (lambda: Formula(lambda x: (x > 0.5).float()), X,   +1,            None,       {PROVED},        "a comparison rises with its left side"),
    (lambda: Formula(lambda x: (x < 0.5).float()), X,   +1,            None,       {REFUTED},       "a comparison falls with its right side"),
    (lambda: Formula(lambda x: torch.where(x > 0.5, x + 1, x)), X, +1, UNIT,       {PROVED, UNKNOWN}, "jumps up"),
    (lambda: Formula(lambda x: torch.where(x > 0.5, x - 1, x)), X, +1, UNIT,       {REFUTED},       "jumps down"),
    (lambda: Formula(lambda x: x.masked_fill(x < 0, 0.0)), X, +1,      None,       {PROVED, UNKNOWN}, "a relu written by hand"),
    (lambda: Formula(lambda x: x.sort(1).values), X,    +1,            None,       {PROVED},        "order statistics rise"),
    (lambda: Formula(lambda x: x.logsumexp(1)), X,      +1,            None,       {PROVED},        "its slopes are a softmax"),
    (lambda: Formula(lambda x: x.cumsum(1).mean(0)), X, +1,            None,       {PROVED},        "sums over columns and over rows"),
    (lambda: Formula(lambda x: x - x.mean(0)), X,       +1,            None,       {REFUTED},       "rows leak into each other"),
    (lambda: Formula(lambda x: x.clamp(0, 1).long().float()), X, +1,   None,       {PROVED},        "truncation of a bounded value rises"),
    (lambda: Formula(lambda x: x.log()),      X,        +1,            UNIT,       NOT_PROVED,      "the logarithm of 0 is no number"),
    (lambda: Formula(lambda x: x.log()),      X,        +1,            (0.01, 1),  {PROVED},        "the logarithm rises where it is real"),
    (lambda: Formula(lambda x: (x[:, 0], {"b": x[:, 1]})), X, +1,      None,       {PROVED},        "several outputs, all rising"),
    (lambda: Formula(lambda x: (x[:, 0], -x[:, 1])), X, +1,            None,       {REFUTED},       "several outputs, one falling"),
    (lambda: Formula(lambda x: x[:, 0] * 0 + 3.0), X,   +1,            None,       {PROVED},        "a constant score"),
    (lambda: positive(mlp(nn.GELU())),        X,        +1,            None,       NOT_PROVED,      "GELU falls left of -0.75"),
    (lambda: positive(mlp(nn.SiLU())),        X,        +1,            None,       NOT_PROVED,      "SiLU falls left of -1.28"),
    (lambda: Formula(F.gelu),                 X,        +1,            (0, None),  {PROVED},        "GELU rises right of 0"),
    (lambda: Formula(F.hardswish),            X,        +1,            (-1.5, 9),  {PROVED},        "hardswish rises right of -1.5"),
    (gaussian_residual,                       X,        +1,            None,       {PROVED},        "a residual block of non-negative weights"),
    (min_max,                                 X,        +1,            None,       {PROVED},        "Sill's min-max network"),
    (two_logits,                              X,        +1,            None,       {REFUTED},       "a softmax over two logits shares"),
    (last_layer_only,                         X,        +1,            None,       {REFUTED},       "only the last layer is non-negative"),
    (lambda: positive(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))), X, +1, None, NOT_PROVED,    "LayerNorm is not monotone"),
    (lambda: positive(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))).eval(), X, +1, None, {PROVED}, "BatchNorm with fixed statistics"),
    (lambda: positive(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))), X, +1, None, NOT_PROVED,  "BatchNorm in train mode"),
    (lambda: positive(nn.Sequential(nn.Linear(3, 4), nn.Dropout())), X, +1, None,  {UNKNOWN},       "dropout in train mode is random"),
    (lambda: positive(nn.Sequential(nn.Linear(3, 4), nn.Dropout())).eval(), X, +1, None, {PROVED},  "dropout in eval mode does nothing"),
    (lambda: nn.Linear(3, 1),                 X,        0,             None,       {PROVED},        "nothing moves"),
    (lambda: positive(nn.GRU(3, 2, batch_first=True)), torch.rand(2, 4, 3), +1, None, NOT_PROVED,   "recurrent gates are not monotone"),
    (lambda: positive(nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 1))), torch.rand(2, 2, 8), +1, None, {PROVED}, "convolution and pooling"),
    (lambda: positive(nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(1))), torch.rand(2, 1, 6, 6), +1, None, {PROVED}, "convolution in two dimensions"),
    (lambda: Formula(lambda a, b: a @ b),     (torch.rand(2, 2, 3), torch.rand(2, 3, 2)), +1, (UNIT, UNIT), {PROVED}, "a product of two non-negative matrices"),
    (lambda: Formula(lambda a, b: torch.einsum("bij,bjk->bik", a, b)), (torch.rand(2, 2, 3), torch.rand(2, 3, 2)), (1, 0), None, {REFUTED}, "the other factor may be negative"),
    (FreeBranch,                              (X, torch.rand(2, 4)), (+1, 0), None, {PROVED},       "free features may go through anything"),
    (FreeBranch,                              (X, torch.rand(2, 4)), (+1, +1), None, NOT_PROVED,    "a free branch is not monotone itself"),
    (GraphNet,                                (torch.rand(2, 4, 3), torch.rand(2, 5)), (0, +1), (None, UNIT), {PROVED}, "adding edges, messages non-negative"),
    (lambda: GraphNet(divide=True),           (torch.rand(2, 4, 3), torch.rand(2, 5)), (0, +1), (None, UNIT), NOT_PROVED, "a mean over neighbours falls"),
    (lambda: bag("embedding"),                BAG_INPUTS, BAG_WAYS,    BAG_DOMAIN, {PROVED},        "non-negative embeddings, masked and summed"),
    (lambda: bag("index"),                    BAG_INPUTS, BAG_WAYS,    BAG_DOMAIN, {PROVED},        "the same by indexing"),
    (lambda: bag("bag"),                      BAG_INPUTS, BAG_WAYS,    BAG_DOMAIN, {PROVED},        "the same by embedding_bag"),
    (lambda: bag("bag"),                      BAG_INPUTS, BAG_WAYS,    (None, UNIT, None), {PROVED}, "ids without a domain are valid rows"),
    (lambda: bag("embedding", negative_row),  BAG_INPUTS, BAG_WAYS,    BAG_DOMAIN, NOT_PROVED,      "one name speaks for the other side"),
    (lambda: bag("bag", negative_row),        BAG_INPUTS, BAG_WAYS,    BAG_DOMAIN, NOT_PROVED,      "one name speaks for the other side, in a bag"),
    (lambda: bag("bag", negative_row),        HALF_INPUTS, BAG_WAYS,   ((0, 8), (0.5, 0.5), None), {PROVED}, "presence is fixed, so only columns move"),
    (lambda: bag("embedding"),                BAG_INPUTS, BAG_WAYS,    ((0, 20), UNIT, None), NOT_PROVED, "ids may lie outside the table"),
    (lambda: Formula(low_softplus),           X,        +1,            None,       NOT_PROVED,      "a softplus that switches at 2 drops there"),
    (lambda: nn.Softplus(threshold=3.0),      X,        +1,            None,       NOT_PROVED,      "softplus with a low threshold drops there"),
    (lambda: nn.Softplus(threshold=3.0),      X,        +1,            UNIT,       {PROVED},        "the domain stays below the threshold"),
    (nn.Softplus,                  X.double(), +1,          None,       NOT_PROVED,      "in float64 the default threshold shows"),
    (lambda: Formula(lambda x: x.half().float() - x), X, +1,           UNIT,       NOT_PROVED,      "the rest of a rounding is a sawtooth"),
    (lambda: Formula(lambda x: x + 1),        torch.tensor([[1, 2], [3, 4]]), +1, None, NOT_PROVED, "whole numbers wrap"),
    (lambda: Formula(lambda x: x + 1),        torch.tensor([[1, 2], [3, 4]]), +1, (0, 9), {PROVED}, "whole numbers in a domain do not wrap"),
    (lambda: Formula(lambda x: x.to(torch.uint8)), torch.tensor([[1, 2], [3, 4]]), +1, (0, 999), NOT_PROVED, "a narrowing cast wraps"),
    (lambda: Formula(lambda x: x.long()),     X,        +1,            None,       NOT_PROVED,      "a cast of an unbounded number may overflow"),
    (lambda: Formula(lambda x: x & 2),        torch.tensor([[1, 2], [3, 4]]), +1, (0, 9), NOT_PROVED, "bits of numbers are no order"),
    (lambda: Formula(lambda x: (x < 300).float()), BYTES, +1,          None,       NOT_PROVED,      "300 is 44 beside bytes, so x < 300 falls"),
    (lambda: Formula(lambda x: (x < torch.tensor(300)).float()), BYTES, +1, None,  NOT_PROVED,      "a number in a tensor without dimensions wraps too"),
    (lambda: Formula(lambda x: 1 - (x >= -1).float()), BYTES, +1,      None,       NOT_PROVED,      "-1 is 255 beside bytes"),
    (lambda: Formula(lambda x: 1 - (x == 256).float()), BYTES, +1,     (0, 200),   NOT_PROVED,      "256 is 0 beside bytes"),
    (lambda: Formula(lambda x: (x > 3).float()), BYTES, +1,            None,       {PROVED},        "3 is 3 beside bytes"),
    (lambda: Formula(lambda x: (x > 2.5).float()), BYTES, +1,          None,       {PROVED},        "beside 2.5 bytes become floats"),
    (lambda: Formula(lambda x: (x < 2**53 + 1).float()), LONGS, +1,    None,       NOT_PROVED,      "float64 takes 2**53 + 1 for 2**53"),
    (lambda: Formula(lambda x: -(x > 16777216.5).float()), WIDE, +1,   (16777217, 16777219), NOT_PROVED, "beside a float 2**24 + 1 is 2**24"),
    (lambda: Formula(lambda x: (x > 16777215.5).float()), WIDE - 9, +1, (0, 2**24), {PROVED},      "smaller whole numbers are floats exactly"),
    (lambda: Formula(lambda x: x[:, :0].mean(1)), X, +1,               None,       NOT_PROVED,      "a mean of nothing is NaN"),
    (lambda: Formula(lambda x: x.argmax(1)),  X,        +1,            None,       NOT_PROVED,      "places are no order"),
    (lambda: Formula(lambda x: x.max(1).indices), X,    +1,            None,       NOT_PROVED,      "places beside values are no order"),
    (lambda: Formula(torch.sin),              X,        +1,            (-9, 9),    {REFUTED},       "sin turns"),
    (lambda: Formula(thrice), X,              +1,            (-1, 1),    {PROVED, UNKNOWN}, "the size of the output depends on the data"),
    (lambda: Formula(lambda x: torch.where(x.exp() != x.exp(), 0 * x, x)), X, +1, None, {PROVED, UNKNOWN}, "asks twice: not known to be one"),
    (lambda: Formula(own_nan),                X,        +1,            None,       {UNKNOWN, REFUTED}, "y != y asks whether y overflowed"),
    (lambda: Formula(lambda x: x * x.sum().item()), X,  +1,            UNIT,       {UNKNOWN},       "a number taken out of the graph"),
    (lambda: Formula(lambda x: x if x.sum() > 0 else x - 9), X, +1,    None,       {UNKNOWN, REFUTED}, "a branch in Python does not export"),
    (lambda: Formula(lambda x: x if x.sum() > 0 else -x), X, +1,       None,       {REFUTED},       "not exported, yet refuted by search"),
]
# fmt: on


@pytest.mark.parametrize(
    ("make", "inputs", "directions", "domain", "expected", "why"), VERDICTS, ids=[row[-1] for row in VERDICTS]
)
def test_verdict(make, inputs, directions, domain, expected, why):
    model = seeded(make)
    certificate = certify(model, inputs, directions, domain, budget=150, seconds=2)
    assert certificate.verdict in expected, f"{why}\n{certificate}"
    if certificate.verdict is REFUTED:
        stands(certificate.witness, model, directions, domain)
    if certificate.verdict is UNKNOWN:
        assert certificate.reason


WRONG = [row for row in VERDICTS if PROVED not in row[4]]


# With the search on, a wrong PROVED would show as well: rules speak first. So this is for `make test-slow`.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "inputs", "directions", "domain", "expected", "why"), WRONG, ids=[r[-1] for r in WRONG]
)
def test_without_a_search_the_rules_alone_prove_nothing_wrong(make, inputs, directions, domain, expected, why):
    assert certify(seeded(make), inputs, directions, domain, budget=0).verdict is not PROVED, why


def stands(witness, model, directions, domain):
    """The witness once more, without the search's own code: ordered, in the domain, and the score falls."""
    count = len(witness.lower)
    ways = directions if isinstance(directions, tuple) else (directions,) * count
    boxes = domain if count > 1 and domain is not None else (domain,) * count
    for low, high, way, box in zip(witness.lower, witness.upper, ways, boxes, strict=True):
        step = (high.double() - low.double()) * torch.as_tensor(way)
        assert bool((step >= 0).all())
        assert bool(((high == low) | (torch.as_tensor(way) != 0)).all())
        if box is not None:
            ends = Domain(*(i if b is None else b for b, i in zip(box, (-float("inf"), float("inf")), strict=True)))
            assert ends.contains(low)
            assert ends.contains(high)
    with torch.no_grad():
        before, after = (_flat(model(*(x.clone() for x in side))) for side in (witness.lower, witness.upper))
    assert bool(((before > after) | before.isnan() | after.isnan()).any())
    assert witness.drop > 0 or witness.drop != witness.drop


def _flat(output):
    parts = torch.utils._pytree.tree_leaves(output)
    return torch.cat([p.double().flatten() for p in parts])
