"""Calibrators, lattices and tables: piecewise functions of one number and of several."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import itertools

import torch
from torch import nn

from ..models import Formula, positive
from ._case import FALLS, HIDDEN, OPEN, RISES, UNIT, Case, X

KNOTS = torch.tensor([0.0, 0.2, 0.5, 1.0])
RISING, WAVY = torch.tensor([-1.0, 0.0, 0.3, 2.0]), torch.tensor([-1.0, 0.5, 0.3, 2.0])


class Gathered(nn.Module):
    """A piecewise linear calibrator: bucketize finds the piece, gather its ends, and the two are mixed."""

    def __init__(self, values):
        super().__init__()
        self.register_buffer("knots", KNOTS)
        self.register_buffer("values", values)

    def forward(self, x):
        piece = torch.bucketize(x.clamp(0, 1), self.knots, right=True).clamp(1, 3)
        left, right = self.knots[piece - 1], self.knots[piece]
        t = (x.clamp(0, 1) - left) / (right - left)
        return self.values[piece - 1] * (1 - t) + self.values[piece] * t


class Ramped(nn.Module):
    """The same as a sum of ramps, each a clamp, with non-negative heights."""

    def __init__(self, values):
        super().__init__()
        self.register_buffer("left", KNOTS[:-1])
        self.register_buffer("width", KNOTS.diff())
        self.register_buffer("heights", values.diff())

    def forward(self, x):
        return (((x.unsqueeze(-1) - self.left) / self.width).clamp(0, 1) * self.heights).sum(-1)


class Hinged(nn.Module):
    """The same as a sum of hinges, whose coefficients are differences of slopes: signed, though the sum rises."""

    def __init__(self, values):
        super().__init__()
        slopes = values.diff() / KNOTS.diff()
        self.register_buffer("bends", slopes.diff(prepend=torch.zeros(1)))
        self.register_buffer("left", KNOTS[:-1])

    def forward(self, x):
        return (torch.relu(x.unsqueeze(-1) - self.left) * self.bends).sum(-1)


class Lattice(nn.Module):
    """Multilinear interpolation on the corners of a cube."""

    def __init__(self, theta, by: str = "corners"):
        super().__init__()
        self.theta = nn.Parameter(theta)
        self.by = by

    def forward(self, x):
        if self.by == "nested":
            t = self.theta.reshape(2, 2, 2)
            a = t[0] + (t[1] - t[0]) * x[:, 0, None, None]
            b = a[:, 0] + (a[:, 1] - a[:, 0]) * x[:, 1, None]
            return b[:, 0] + (b[:, 1] - b[:, 0]) * x[:, 2]
        if self.by == "convex":
            t = self.theta.reshape(2, 2, 2)
            a = t[0] * (1 - x[:, 0, None, None]) + t[1] * x[:, 0, None, None]
            b = a[:, 0] * (1 - x[:, 1, None]) + a[:, 1] * x[:, 1, None]
            return b[:, 0] * (1 - x[:, 2]) + b[:, 1] * x[:, 2]
        total = 0
        for k, corner in enumerate(itertools.product((0, 1), repeat=3)):
            weight = 1
            for i, c in enumerate(corner):
                weight = weight * (x[:, i] if c else 1 - x[:, i])
            total = total + self.theta[k] * weight
        return total


CORNERS = torch.tensor([0.0, 0.5, 0.4, 1.0, 0.3, 0.9, 1.1, 2.0])


def unordered():
    broken = CORNERS.clone()
    broken[7] = 1.0
    return broken


class Simplex(nn.Module):
    """Interpolation on the simplices of a cube: sort the coordinates and walk from corner to corner."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(theta)

    def forward(self, x):
        sorted_, order = x.sort(1, descending=True)
        steps = torch.nn.functional.one_hot(order, 3).cumsum(1)
        corners = (steps * torch.tensor([4, 2, 1])).sum(-1)
        ends = torch.cat([torch.ones_like(x[:, :1]), sorted_], 1) - torch.cat([sorted_, torch.zeros_like(x[:, :1])], 1)
        values = torch.cat([self.theta[:1].expand(len(x), 1), self.theta[corners]], 1)
        return (values * ends).sum(1)


class Ordinal(nn.Module):
    """A cumulative-link head: P(y >= k) for ordered thresholds, or P(y = k) as differences of these."""

    def __init__(self, exact: bool):
        super().__init__()
        self.score = positive(nn.Linear(3, 1))
        self.first, self.gaps = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(3))
        self.exact = exact

    def forward(self, x):
        thresholds = torch.cat([self.first, self.first + torch.nn.functional.softplus(self.gaps).cumsum(0)])
        above = torch.sigmoid(self.score(x) - thresholds)
        if not self.exact:
            return above
        return torch.cat([torch.ones_like(above[:, :1]), above], 1) - torch.cat(
            [above, torch.zeros_like(above[:, :1])], 1
        )


class Table(nn.Module):
    """A step for each bucket."""

    def __init__(self, values, by: str = "index"):
        super().__init__()
        self.register_buffer("values", values)
        self.register_buffer("edges", torch.tensor([0.2, 0.5, 0.8]))
        self.by = by

    def forward(self, x):
        bucket = torch.searchsorted(self.edges, x) if self.by == "searchsorted" else torch.bucketize(x, self.edges)
        if self.by == "embedding":
            return torch.nn.functional.embedding(bucket, self.values.unsqueeze(1)).squeeze(-1)
        if self.by == "one hot":
            return torch.nn.functional.one_hot(bucket, 4).float() @ self.values
        return self.values[bucket]


# fmt: off
MODELS = {
    # falls
    "a calibrator whose values do not rise": Case(lambda: Gathered(WAVY), X, +1, UNIT, FALLS, "one piece falls"),
    "ramps with a negative height":     Case(lambda: Ramped(WAVY), X, +1, UNIT, FALLS, "one piece falls"),
    "hinges with a falling piece":      Case(lambda: Hinged(WAVY), X, +1, UNIT, FALLS, "one piece falls"),
    "a lattice with one corner too low": Case(lambda: Lattice(unordered()), X, +1, UNIT, FALLS, "the last corner lies below a neighbour"),
    "a nested lattice with one corner too low": Case(lambda: Lattice(unordered(), "nested"), X, +1, UNIT, FALLS, "the last corner lies below a neighbour"),
    "a lattice outside of its cube":    Case(lambda: Lattice(CORNERS), X, +1, (-3, 3), FALLS, "multilinear extrapolation turns"),
    "a simplex lattice with one corner too low": Case(lambda: Simplex(unordered()), X, +1, UNIT, FALLS, "the last corner lies below a neighbour"),
    "the probability of one class of an ordinal head": Case(lambda: Ordinal(True), X, +1, None, FALLS, "mass moves through the middle classes"),
    "a table that does not rise":       Case(lambda: Table(torch.tensor([0.0, 1.0, 0.5, 2.0])), X, +1, UNIT, FALLS, "the third bucket lies below the second"),
    "an embedding that does not rise":  Case(lambda: Table(torch.tensor([0.0, 1.0, 0.5, 2.0]), "embedding"), X, +1, UNIT, FALLS, "rows of an embedding have no order"),
    "boundaries that are not sorted":   Case(lambda: Formula(lambda x: torch.bucketize(x, torch.tensor([0.7, 0.2, 0.5])).float()), X, +1, UNIT, HIDDEN, "a binary search in no order"),
    "the bucket of a decreasing scale": Case(lambda: Formula(lambda x: torch.bucketize(-x, torch.tensor([-0.7, -0.2])).float()), X, +1, UNIT, FALLS, "buckets of the negation"),
    "a one-hot bucket":                 Case(lambda: Formula(lambda x: torch.nn.functional.one_hot(torch.bucketize(x, torch.tensor([0.3, 0.6])), 3)), X, +1, UNIT, FALLS, "the old bucket is left"),
    "a tent":                           Case(lambda: Formula(lambda x: torch.minimum(x, 1 - x)), X, +1, UNIT, FALLS, "a minimum of a rise and a fall"),
    "a triangular basis":               Case(lambda: Formula(lambda x: (1 - (x - 0.5).abs() * 4).clamp(min=0)), X, +1, UNIT, FALLS, "a hat"),
    "the rank in the row":              Case(lambda: Formula(lambda x: x.argsort(1).argsort(1).float()), X, +1, None, FALLS, "another rises, this one's rank falls"),
    "the largest place":                Case(lambda: Formula(lambda x: x.argmax(1).float()), X, +1, None, FALLS, "the first element wins back"),
    "the value at the largest place of another": Case(lambda: Formula(lambda x, z: z.gather(1, x.argmax(1, keepdim=True))), (X, X.flip(1)), (+1, 0), None, FALLS, "the place moves to a smaller value"),
    "a cubic spline through rising points": Case(lambda: Formula(lambda x: (((-6.4 * x + 9.6) * x - 2.3) * x)), X, +1, UNIT, FALLS, "rises at the knots 0, 1/2 and 1, falls near both ends"),
    # rises
    "a calibrator by bucketize and gather": Case(lambda: Gathered(RISING), X, +1, UNIT, OPEN, "rises piece by piece, and the pieces meet"),
    "a calibrator of ramps":            Case(lambda: Ramped(RISING), X, +1, None, RISES, "clamps with non-negative heights"),
    "a calibrator of hinges":           Case(lambda: Hinged(RISING), X, +1, UNIT, RISES, "signed hinges whose sum rises"),
    "a convex calibrator of hinges":    Case(lambda: Hinged(torch.tensor([0.0, 0.1, 0.4, 2.0])), X, +1, UNIT, RISES, "slopes that grow: no hinge is negative"),
    "a lattice by its corners":         Case(lambda: Lattice(CORNERS), X, +1, UNIT, RISES, "corners that rise along every edge"),
    "a nested lattice":                 Case(lambda: Lattice(CORNERS, "nested"), X, +1, UNIT, RISES, "the same, one coordinate after the other"),
    "a lattice of convex mixtures":     Case(lambda: Lattice(CORNERS, "convex"), X, +1, UNIT, RISES, "the same, (1 - t) p + t q"),
    "a lattice, one coordinate moves":  Case(lambda: Lattice(CORNERS), X, torch.tensor([1.0, 0.0, 0.0]), UNIT, RISES, "linear in each coordinate"),
    "a simplex lattice":                Case(lambda: Simplex(CORNERS), X, +1, UNIT, OPEN, "corners that rise along every edge"),
    "an ordinal head":                  Case(lambda: Ordinal(False), X, +1, None, RISES, "P(y >= k) rises for every k"),
    "a table that rises":               Case(lambda: Table(torch.tensor([0.0, 1.0, 1.5, 2.0])), X, +1, UNIT, RISES, "a step for each bucket"),
    "an embedding that rises":          Case(lambda: Table(torch.tensor([0.0, 1.0, 1.5, 2.0]), "embedding"), X, +1, UNIT, RISES, "a sorted table"),
    "a table after searchsorted":       Case(lambda: Table(torch.tensor([0.0, 1.0, 1.5, 2.0]), "searchsorted"), X, +1, UNIT, RISES, "the same as bucketize"),
    "a table by one-hot":               Case(lambda: Table(torch.tensor([0.0, 1.0, 1.5, 2.0]), "one hot"), X, +1, UNIT, OPEN, "needs the bucket as a whole"),
    "the order statistics":             Case(lambda: Formula(lambda x: x.sort(1).values), X, +1, None, RISES, "a sort net"),
    "a weighted order statistic":       Case(lambda: Formula(lambda x: (x.sort(1).values * torch.tensor([0.2, 0.3, 0.5])).sum(1)), X, +1, None, RISES, "an OWA operator"),
    "a choquet integral":               Case(lambda: Simplex(torch.tensor([0.0, 0.2, 0.3, 0.6, 0.1, 0.4, 0.5, 1.0])), X, +1, UNIT, OPEN, "a monotone capacity"),
    "the second largest":               Case(lambda: Formula(lambda x: x.kthvalue(2, dim=1).values), X, +1, None, RISES, "an order statistic"),
    "a running maximum":                Case(lambda: Formula(lambda x: x.cummax(1).values), X, +1, None, RISES, "maxima of prefixes"),
    "a running sum of hinges":          Case(lambda: Formula(lambda x: torch.relu(x - 0.2).cumsum(1)), X, +1, None, RISES, "sums of prefixes"),
    "a quantile":                       Case(lambda: Formula(lambda x: x.quantile(0.3, dim=1)), X, +1, None, OPEN, "a mixture of two order statistics"),
    "a count above a threshold":        Case(lambda: Formula(lambda x: (x > 0.4).sum(1).float()), X, +1, None, RISES, "comparisons rise and add up"),
    "a share above a threshold":        Case(lambda: Formula(lambda x: (x > 0.4).float().mean(1)), X, +1, None, RISES, "comparisons rise and add up"),
    "any above a threshold":            Case(lambda: Formula(lambda x: (x > 0.4).any(1).float()), X, +1, None, RISES, "an or of comparisons"),
    "two conditions":                   Case(lambda: Formula(lambda x: ((x[:, 0] > 0.4) & (x[:, 1] > 0.2) | (x[:, 2] >= 0.9)).float()), X, +1, None, RISES, "and, or of comparisons"),
    "not below":                        Case(lambda: Formula(lambda x: (~(x < 0.3)).float()), X, +1, None, RISES, "two reversals"),
    "a step up between branches":       Case(lambda: Formula(lambda x: torch.where(x > 0.5, x + 1, x)), X, +1, UNIT, RISES, "jumps up"),
    "a rule of thumb":                  Case(lambda: Formula(lambda x: torch.where(x[:, 0] > 0.5, 2 + x[:, 1], 0.5 * x[:, 2].clamp(0, 1))), X, +1, (0, 1), RISES, "the upper branch lies above the lower one"),
}
# fmt: on
