"""Growing inputs in their padded form: windows of bytes, names in a bag, members of a set, with their presences."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ..models import Formula, positive
from ._case import FALLS, HIDDEN, RISES, UNIT, Case, X

BYTES = torch.randint(0, 256, (2, 32), generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
SET = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(1))
IDS = torch.tensor([[0, 3, 8, 1], [2, 2, 5, 0]])
WINDOWS = ((0, 255), UNIT)
NAMES = ((0, 8), UNIT)


class MalConv(nn.Module):
    """Free embedding and convolution over windows of 8 bytes, a maximum over present windows, a monotone head.

    A window that is absent stands at the floor, below everything the convolution can give.
    """

    def __init__(self, gated: bool = True, absent: str = "floor", pool: str = "max", head: bool = True):
        super().__init__()
        self.embed = nn.Embedding(256, 4)
        self.value, self.gate = nn.Conv1d(4, 6, 8, stride=8), nn.Conv1d(4, 6, 8, stride=8)
        last = nn.Linear(5, 1)
        self.head = nn.Sequential(positive(nn.Linear(6, 5)), nn.Tanh(), positive(last) if head else last)
        self.gated, self.absent, self.pool = gated, absent, pool

    def forward(self, content, windows):
        x = self.embed(content).mT
        y = self.value(x) * torch.sigmoid(self.gate(x)) if self.gated else torch.relu(self.value(x))
        mask = windows.unsqueeze(1)  # (rows, 1, windows)
        if self.absent == "floor":
            y = torch.sigmoid(y) * mask  # from 0 upwards: absent windows stand at 0
        elif self.absent == "zero":
            y = y * mask  # 0 is above a negative score
        if self.pool == "max":
            pooled = y.amax(2)
        elif self.pool == "mean":
            pooled = y.sum(2) / mask.sum(2).clamp(min=1)
        else:
            pooled = y.sum(2)
        return self.head(pooled)


class PaddedBytes(nn.Module):
    """Padding takes part: each absent byte is a padding token with an embedding of its own."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(257, 4)
        self.conv, self.head = nn.Conv1d(4, 6, 8, stride=8), positive(nn.Linear(6, 1))

    def forward(self, content, windows):
        present = windows.repeat_interleave(8, 1).unsqueeze(-1)
        x = present * self.embed(content) + (1 - present) * self.embed.weight[256]
        return self.head(torch.relu(self.conv(x.mT)).amax(2))


class Names(nn.Module):
    """Names with presences: rows of a table, pooled, and a head."""

    def __init__(self, pool: str, signed: bool = False):
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 4) if signed else torch.rand(9, 4))
        self.head = positive(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1)))
        self.pool = pool

    def forward(self, ids, presence):
        rows = self.table[ids] * presence.unsqueeze(-1)
        if self.pool == "sum":
            pooled = rows.sum(1)
        elif self.pool == "max":
            pooled = rows.amax(1)
        elif self.pool == "mean":
            pooled = rows.sum(1) / presence.sum(1, keepdim=True).clamp(min=1)
        elif self.pool == "root":
            pooled = rows.sum(1) / presence.sum(1, keepdim=True).clamp(min=1).sqrt()
        else:
            pooled = torch.log1p(rows.sum(1))
        return self.head(pooled)


class DeepSet(nn.Module):
    """A set of members with features: each through one network, then pooled."""

    def __init__(self, pool: str):
        super().__init__()
        self.each, self.head = positive(nn.Linear(3, 4)), positive(nn.Linear(4, 1))
        self.pool = pool

    def forward(self, members, presence):
        y = torch.relu(self.each(members)) * presence.unsqueeze(-1)
        pooled = {
            "sum": lambda: y.sum(1),
            "max": lambda: y.amax(1),
            "both": lambda: y.sum(1) + y.amax(1),
            "top 2": lambda: y.topk(2, dim=1).values.sum(1),
            "mean": lambda: y.sum(1) / (presence.sum(1, keepdim=True) + 1e-3),
            "median": lambda: y.median(1).values,
            "smallest": lambda: y.amin(1),
            "normalised": lambda: F.normalize(y.sum(1), dim=1),
        }[self.pool]()
        return self.head(pooled)


class SoftmaxPool(nn.Module):
    """Attention over members whose scores do not move; absent ones are cut out before the softmax."""

    def __init__(self):
        super().__init__()
        self.score = nn.Linear(3, 1)

    def forward(self, members, presence):
        weight = torch.softmax(self.score(members).squeeze(-1) + torch.log(presence + 1e-6), 1)
        return (weight.unsqueeze(-1) * members.abs()).sum(1)


def embedding_bag(mode: str) -> nn.Module:
    return Formula(lambda ids, m: m(ids) + 0.0, nn.EmbeddingBag(9, 4, mode=mode))


class WeightedBag(nn.Module):
    """nn.EmbeddingBag with presences as weights of the samples."""

    def __init__(self, signed: bool):
        super().__init__()
        self.bag = nn.EmbeddingBag(9, 4, mode="sum")
        if not signed:
            positive(self.bag)
        self.head = positive(nn.Linear(4, 1))

    def forward(self, ids, presence):
        return self.head(self.bag(ids, per_sample_weights=presence))


# fmt: off
MODELS = {
    # falls
    "malconv with absent windows at 0": Case(lambda: MalConv(absent="zero"), (BYTES, MASK), (0, +1), WINDOWS, HIDDEN, "0 is above a negative window, so adding that window lowers the maximum"),
    "malconv with a mean over windows": Case(lambda: MalConv(pool="mean"), (BYTES, MASK), (0, +1), WINDOWS, FALLS, "a weak window thins the mean"),
    "malconv with a signed last layer": Case(lambda: MalConv(head=False), (BYTES, MASK), (0, +1), WINDOWS, FALLS, "what follows the pool must rise"),
    "padding that takes part":          Case(PaddedBytes, (BYTES, MASK), (0, +1), WINDOWS, FALLS, "an added window takes the place of a padding window, which may have been the largest"),
    "content of a malconv moves":       Case(lambda: Formula(lambda x, m: m(x.unsqueeze(1)).amax(2), nn.Conv1d(1, 3, 4)), torch.rand(2, 12), +1, UNIT, FALLS, "a free convolution is for content that is added, not changed"),
    "names with signed rows":           Case(lambda: Names("sum", signed=True), (IDS, MASK), (0, +1), NAMES, FALLS, "a name that speaks for the other side"),
    "a mean over names":                Case(lambda: Names("mean"), (IDS, MASK), (0, +1), NAMES, FALLS, "a weak name thins the mean"),
    "a sum over the root of the count": Case(lambda: Names("root"), (IDS, MASK), (0, +1), NAMES, FALLS, "a weak name adds less than the root takes"),
    "a deep set with a mean":           Case(lambda: DeepSet("mean"), (SET, MASK), (0, +1), (UNIT, UNIT), FALLS, "a weak member thins the mean"),
    "a deep set that is normalised":    Case(lambda: DeepSet("normalised"), (SET, MASK), (0, +1), (UNIT, UNIT), HIDDEN, "a length of 1, whatever is added"),
    "softmax attention over members":   Case(SoftmaxPool, (SET, MASK), (0, +1), (UNIT, UNIT), FALLS, "a member with a high score and a low value takes weight"),
    "an embedding bag with signed rows": Case(lambda: WeightedBag(True), (IDS, MASK), (0, +1), NAMES, FALLS, "a row that speaks for the other side"),
    "a bag of words by term frequency": Case(lambda: Formula(lambda x, m: m(x / x.sum(1, keepdim=True).clamp(min=1)), positive(nn.Linear(3, 1))), 3 * X, +1, (0, 9), FALLS, "frequencies are shares"),
    # rises
    "malconv":                          Case(MalConv, (BYTES, MASK), (0, +1), WINDOWS, RISES, "free up to the pool, rising after it; absent windows at the floor"),
    "malconv without a gate":           Case(lambda: MalConv(gated=False, absent="zero"), (BYTES, MASK), (0, +1), WINDOWS, RISES, "windows from 0 upwards: absent ones at 0"),
    "malconv with a sum over windows":  Case(lambda: MalConv(pool="sum"), (BYTES, MASK), (0, +1), WINDOWS, RISES, "non-negative windows add up"),
    "malconv, a window may be free":    Case(MalConv, (BYTES, MASK), (0, torch.tensor([0.0, 1.0, 1.0, 1.0])), WINDOWS, RISES, "the first window is the file itself"),
    "names, summed":                    Case(lambda: Names("sum"), (IDS, MASK), (0, +1), NAMES, RISES, "rows from 0 upwards"),
    "names, the largest":               Case(lambda: Names("max"), (IDS, MASK), (0, +1), NAMES, RISES, "rows from 0 upwards, absent ones at 0"),
    "names, in logarithms":             Case(lambda: Names("log"), (IDS, MASK), (0, +1), NAMES, RISES, "log1p of a sum of what is not negative"),
    "names removed":                    Case(lambda: Formula(lambda i, p, m: -m(i, p), Names("sum")), (IDS, MASK), (0, -1), NAMES, RISES, "what falls as names are added rises as they are taken away"),
    "a deep set, summed":               Case(lambda: DeepSet("sum"), (SET, MASK), (0, +1), (None, UNIT), RISES, "members from 0 upwards"),
    "a deep set, the largest":          Case(lambda: DeepSet("max"), (SET, MASK), (0, +1), (None, UNIT), RISES, "members from 0 upwards"),
    "a deep set, both":                 Case(lambda: DeepSet("both"), (SET, MASK), (+1, +1), (None, UNIT), RISES, "features may rise as well"),
    "a deep set, top 2":                Case(lambda: DeepSet("top 2"), (SET, MASK), (+1, +1), (None, UNIT), RISES, "order statistics rise"),
    "a deep set, the median":           Case(lambda: DeepSet("median"), (SET, MASK), (+1, +1), (None, UNIT), RISES, "an order statistic"),
    "a deep set, the smallest":         Case(lambda: DeepSet("smallest"), (SET, MASK), (+1, +1), (None, UNIT), RISES, "of a fixed number of places"),
    "an embedding bag with weights":    Case(lambda: WeightedBag(False), (IDS, MASK), (0, +1), NAMES, RISES, "presences as weights of the samples"),
    "an embedding bag of free names":   Case(lambda: Formula(lambda ids, x, m: m(ids).sum(1) + x.sum(1), nn.EmbeddingBag(9, 4, mode="mean")), (IDS, X), (0, +1), ((0, 8), None), RISES, "the bag does not move"),
}
# fmt: on
