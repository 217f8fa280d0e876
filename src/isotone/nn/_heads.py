"""What stands behind the last layer: several outputs from numbers that rise, each of which rises too.

- classes in an order, quantiles that never cross, outputs within bounds;
- a softmax over classes is refused, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name for it)

from ..constraints._elementwise import inward
from ..errors import BadInput, NoMatch

_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class CumulativeLink(nn.Module):
    """Classes in an order, from one logit: P(y > k) for each k but the last, by one logit minus ordered thresholds.

    All rise with the logit, and P(y > k) falls with k by construction: each threshold is the one before plus a
    softplus.

    Args:
        classes: 0, 1, ..., classes - 1, at least 2.

    Shapes: (rows,) or (rows, 1) -> (rows, classes - 1), the logit of P(y > k) in column k.

    Raises:
        BadInput: fewer than 2 classes.

    Source: McCullagh, J. R. Stat. Soc. B 42 (1980), the proportional odds model.

    >>> head = isotone.nn.CumulativeLink(classes=3)
    >>> head(torch.tensor([0.0, 1.0])).shape
    torch.Size([2, 2])
    >>> [round(p, 3) for p in head.probabilities(torch.zeros(1))[0].tolist()]
    [0.333, 0.333, 0.333]
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise BadInput("CumulativeLink", f"classes={classes} came", "2 or more are right")
        self.classes = classes
        self.first = nn.Parameter(torch.zeros(1))
        self.gaps = nn.Parameter(torch.zeros(classes - 2))
        self.start_(torch.full((classes,), 1 / classes))

    @torch.no_grad()
    def start_(self, shares: Tensor) -> None:
        """Thresholds at which a logit of 0 gives these shares of the classes, shape (classes,), above 0."""
        if shares.shape != (self.classes,) or not bool((shares > 0).all()):
            raise BadInput(
                "CumulativeLink.start_", f"{shares.shape[0]} shares came", f"{self.classes} above 0 are right"
            )
        below = shares.double().cumsum(0)[:-1] / shares.double().sum()
        thresholds = torch.logit(below.clamp(1e-6, 1 - 1e-6))
        gaps = thresholds.diff().clamp(min=1e-3)
        self.first.copy_(thresholds[:1])
        self.gaps.copy_(gaps + torch.log(-torch.expm1(-gaps)))  # the inverse of softplus

    @property
    def thresholds(self) -> Tensor:
        """Ascending, shape (classes - 1,)."""
        return torch.cat([self.first, self.first + F.softplus(self.gaps).cumsum(0)])

    def forward(self, logit: Tensor) -> Tensor:
        """The logits of P(y > k)."""
        return logit.reshape(-1, 1) - self.thresholds

    def log_probabilities(self, logit: Tensor) -> Tensor:
        """The logarithm of P(y = k), shape (rows, classes). That of a class between others rises and then falls."""
        above = self(logit)
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), without cancellation.
        gap = torch.log(-torch.expm1(-F.softplus(self.gaps).clamp(min=1e-6)))
        inner = F.logsigmoid(above[:, :-1]) + F.logsigmoid(-above[:, 1:]) + gap
        return torch.cat([F.logsigmoid(-above[:, :1]), inner, F.logsigmoid(above[:, -1:])], dim=1)

    def probabilities(self, logit: Tensor) -> Tensor:
        """P(y = k), shape (rows, classes)."""
        return self.log_probabilities(logit).exp()

    def loss(self, logit: Tensor, y: Tensor) -> Tensor:
        """Minus the log-likelihood of each row, shape (rows,); `y` int64, shape (rows,)."""
        return -self.log_probabilities(logit).gather(1, y[:, None])[:, 0]


class Quantiles(nn.Module):
    """Quantiles that never cross: as many outputs as levels, sorted.

    The k-th smallest of functions that rise, rises: sorting keeps every direction that all outputs share.

    Args:
        levels: strictly ascending, each in (0, 1).

    Shapes: (rows, levels) -> (rows, levels), ascending along each row.

    Raises:
        BadInput: levels that are not ascending or not in (0, 1).

    Source: Chernozhukov, Fernandez-Val and Galichon, Econometrica 78 (2010), where sorting never worsens the estimate.

    >>> isotone.nn.Quantiles((0.1, 0.5, 0.9))(torch.tensor([[2.0, 1.0, 3.0]]))
    tensor([[1., 2., 3.]])
    """

    levels: Tensor

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        found = torch.tensor([float(level) for level in levels], dtype=torch.float32)
        if not len(found) or not bool(((found > 0) & (found < 1)).all()) or not bool((found.diff() > 0).all()):
            raise BadInput("Quantiles", f"levels={tuple(levels)} came", "ascending numbers between 0 and 1 are right")
        self.register_buffer("levels", found, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """In ascending order."""
        if x.shape[-1] != len(self.levels):
            raise BadInput("Quantiles", f"{x.shape[-1]} outputs came", f"one per level, {len(self.levels)}, is right")
        return x.sort(dim=-1).values

    def loss(self, quantiles: Tensor, y: Tensor) -> Tensor:
        """The pinball loss of each row, meaned over the levels: (rows, levels) and (rows,) -> (rows,)."""
        over = y[:, None] - quantiles
        return torch.maximum(self.levels * over, (self.levels - 1) * over).mean(1)


class Bounded(nn.Module):
    """An increasing squash into (low, high), entry by entry; an infinite side is open.

    Args:
        low, high: in the units of the output, low below high; the defaults bound nothing.

    Shapes: any -> the same.

    Raises:
        BadInput: low not below high.

    >>> isotone.nn.Bounded(low=0.0, high=10.0)(torch.tensor([-100.0, 0.0, 100.0]))
    tensor([ 0.,  5., 10.])
    """

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        if not low < high:
            raise BadInput("Bounded", f"low={low} and high={high} came", "low below high is right")
        self.low, self.high = float(low), float(high)
        self.below, self.above = math.isfinite(self.low), math.isfinite(self.high)  # here: the compiler cannot ask this
        # Rounding may step over a bound, and 0.7 itself is no bfloat16: the nearest numbers on its inner side.
        self.ends = {dtype: (inward(self.low, dtype, up=True), inward(self.high, dtype, up=False)) for dtype in _DTYPES}

    def forward(self, x: Tensor) -> Tensor:
        """Within the bounds, in the arithmetic of `x`; ends included where floats reach them."""
        if not self.below and not self.above:
            return x
        low, high = self.ends[x.dtype]
        if self.below and self.above:
            return (self.low + (self.high - self.low) * torch.sigmoid(x)).clamp(low, high)
        return (self.low + F.softplus(x)).clamp(min=low) if self.below else (self.high - F.softplus(-x)).clamp(max=high)

    def extra_repr(self) -> str:
        """The bounds."""
        return f"low={self.low}, high={self.high}"


HEADS: dict[str, Callable[..., nn.Module]] = {
    "binary": nn.Identity,  # one logit, for BCEWithLogitsLoss
    "multilabel": nn.Identity,  # a logit per label, each with a sigmoid of its own
    "regression": nn.Identity,
    "ordinal": CumulativeLink,
    "quantiles": Quantiles,
    "bounded": Bounded,
}


def head(kind: str, **settings: Any) -> nn.Module:
    """The head of a name: binary, multilabel, regression, ordinal, quantiles or bounded.

    Args:
        kind: one of these.
        settings: of its class (`classes`, `levels`, `low` and `high`).

    Raises:
        BadInput: "softmax", with the reason and what to use instead.
        NoMatch: another name.

    >>> isotone.nn.head("ordinal", classes=4).classes
    4
    >>> isotone.nn.head("softmax")
    Traceback (most recent call last):
        ...
    isotone.errors.BadInput: head: 'softmax' came, which is not monotone: a logit that rises lowers the other ...
    """
    if kind in {"softmax", "log_softmax", "multiclass"}:
        raise BadInput(
            "head",
            f"{kind!r} came, which is not monotone: a logit that rises lowers the other classes, and their own "
            "probability falls even where all logits rise",
            "'ordinal' is right for classes in an order, 'multilabel' (a sigmoid per class, one against the rest) "
            "for others, 'binary' for two",
        )
    if kind not in HEADS:
        raise NoMatch("head", kind, HEADS, "head")
    return HEADS[kind](**settings)
