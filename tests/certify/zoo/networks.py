"""Whole networks that are monotone by construction, and those that miss it by one detail."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

import isotone
from isotone.constraints import parametrize
from nn.cases import CASES as OURS
from nn.cases import as_function, shake

from ..models import Formula, mlp, positive
from ._case import FALLS, HIDDEN, OPEN, RISES, UNIT, Case, X

SIGNAL = torch.rand(2, 2, 8, generator=torch.Generator().manual_seed(0))
IMAGE = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))


class Through(nn.Module):
    """A weight as a function of what is stored."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, w):
        return self.f(w)


def reparametrized(f) -> nn.Module:
    net = mlp(nn.Tanh())
    for layer in net:
        if isinstance(layer, nn.Linear):
            register_parametrization(layer, "weight", Through(f))
    return net


def by_isotone() -> nn.Module:
    net = mlp(nn.Tanh())
    for layer in net:
        if isinstance(layer, nn.Linear):
            parametrize(layer, "weight", isotone.NonNegative())
    return net


def constrained() -> nn.Module:
    net = mlp(nn.ELU())
    isotone.constrain(net, "*.weight", isotone.NonNegative())
    return shake(net)


class MinMax(nn.Module):
    """Sill (1997): minima of maxima of planes with positive slopes."""

    def __init__(self, smooth: bool = False, signed: bool = False):
        super().__init__()
        self.planes = nn.Linear(3, 12) if signed else positive(nn.Linear(3, 12))
        self.smooth = smooth

    def forward(self, x):
        z = self.planes(x).view(-1, 3, 4)
        return -(-z.logsumexp(2)).logsumexp(1) if self.smooth else z.amax(2).amin(1)


class Residual(nn.Module):
    """x + f(x), many times."""

    def __init__(self, inner, blocks: int = 3, gain: float = 1.0):
        super().__init__()
        self.blocks = nn.ModuleList(inner() for _ in range(blocks))
        self.gain = gain

    def forward(self, x):
        for block in self.blocks:
            x = x + self.gain * block(x)
        return x.sum(1)


class Lipschitz(nn.Module):
    """Nolte, Kitouni and Williams (2023): a net of slope at most 1 in each feature, plus that slope times the sum."""

    def __init__(self, slope: float):
        super().__init__()
        self.net, self.slope = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), slope
        with torch.no_grad():
            for layer in (self.net[0], self.net[2]):
                layer.weight.div_(layer.weight.abs().sum(1).max())

    def forward(self, x):
        return self.net(x) + self.slope * x.sum(1, keepdim=True)


class Switch(nn.Module):
    """The activation switch of Sartor et al. (2025): signed weights, each part through its own side of a ReLU."""

    def __init__(self, crossed: bool = False):
        super().__init__()
        self.layer, self.last, self.crossed = nn.Linear(3, 6), positive(nn.Linear(6, 1)), crossed

    def forward(self, x):
        w = self.layer.weight
        high, low = F.linear(x, w.clamp(min=0)), F.linear(x, w.clamp(max=0))
        rising = torch.relu(high + self.layer.bias) - torch.relu(low)
        return self.last(rising if not self.crossed else torch.relu(high) + torch.relu(low))


class Hypernetwork(nn.Module):
    """Weights computed from the free input, made positive."""

    def __init__(self, positive_weights: bool):
        super().__init__()
        self.maker, self.positive_weights = nn.Linear(2, 3), positive_weights

    def forward(self, x, z):
        w = self.maker(z)
        return (x * (torch.exp(w) if self.positive_weights else w)).sum(1)


class Tied(nn.Module):
    """One matrix used twice, and its transpose."""

    def __init__(self, sign: float = 1.0):
        super().__init__()
        self.w, self.sign = nn.Parameter(torch.rand(3, 3)), sign

    def forward(self, x):
        return torch.tanh(torch.relu(x @ self.w) @ self.w.T) @ (self.sign * self.w)


class Guarded(nn.Module):
    """The larger of a free lane over free features and a monotone floor."""

    def __init__(self, by: str = "max"):
        super().__init__()
        self.free = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 1))
        self.floor, self.by = positive(mlp(nn.ReLU())), by

    def forward(self, x, z):
        a, b = self.free(z), self.floor(x)
        return {"max": lambda: torch.maximum(a, b), "sum": lambda: a + b, "product": lambda: a * b}[self.by]()


class Masked(nn.Module):
    """Signed weights under a fixed mask that leaves the non-negative ones."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.register_buffer("mask", (self.layer.weight.detach() > 0).float())

    def forward(self, x):
        return F.linear(x, self.layer.weight * self.mask, self.layer.bias)


class SignFlipped(nn.Module):
    """Directions made by flipping inputs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("signs", torch.tensor([1.0, -1.0, 1.0]))
        self.net = positive(mlp(nn.ELU()))

    def forward(self, x):
        return self.net(x * self.signs)


def convolutional(pool, head: bool = True) -> nn.Module:
    last = nn.Linear(3, 1)
    net = nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.ReLU(), pool, nn.AdaptiveMaxPool1d(1), nn.Flatten(), last)
    return positive(net) if head else net


def image_net(*layers) -> nn.Module:
    return positive(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), *layers)).eval()


def flipped_late() -> nn.Module:
    net = positive(mlp(nn.ReLU()))
    with torch.no_grad():
        net[4].weight[0, 2] = -20.0
    return net


def contraction() -> nn.Module:
    """Row and column sums of its slopes below 1/2."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.mul_(0.5 / layer.weight.abs().sum())
    return net


def ours(name):
    """A network of isotone.nn, trained towards random signs, with the question that it answers."""
    case = OURS[name]
    inputs, ways, domain = [], [], []
    for kind, directions in case.inputs:
        inputs.append(torch.full((2, len(directions)), 0.5))
        ways.append(torch.tensor(directions, dtype=torch.float32))
        domain.append(UNIT if kind == "names" else None)

    def make():
        # Trained towards random signs, which breaks every guarantee that nothing enforces. In train mode the rows of a
        # batch norm move each other.
        return as_function(shake(case.make()), case.inputs).eval()

    return Case(make, tuple(inputs), tuple(ways), tuple(domain), RISES, case.why)


# fmt: off
MODELS = {
    # falls
    "an unconstrained net":             Case(lambda: mlp(nn.Tanh()), X, +1, None, FALLS, "nothing holds its weights"),
    "one negative weight in the last layer": Case(flipped_late, X, +1, None, HIDDEN, "one hidden unit is turned"),
    "weights through tanh":             Case(lambda: reparametrized(torch.tanh), X, +1, None, FALLS, "tanh keeps the sign"),
    "weights through gelu":             Case(lambda: reparametrized(F.gelu), X, +1, None, FALLS, "nearly non-negative is negative"),
    "planes of both signs":             Case(lambda: MinMax(signed=True), X, +1, None, FALLS, "min-max needs positive slopes"),
    "a residual block that takes away": Case(lambda: Residual(lambda: positive(nn.Sequential(nn.Linear(3, 3), nn.ReLU())), gain=-1.0), X, +1, None, FALLS, "x - f(x), f steeper than 1"),
    "a lipschitz net with too small a slope": Case(lambda: Lipschitz(0.01), X, +1, None, FALLS, "the net falls faster than the sum rises"),
    "the activation switch crossed":    Case(lambda: Switch(crossed=True), X, +1, None, FALLS, "the negative part through the same side"),
    "a hypernetwork of any sign":       Case(lambda: Hypernetwork(False), (X, X[:, :2]), (+1, 0), None, FALLS, "the free input chooses the sign"),
    "tied weights with a sign":         Case(lambda: Tied(-1.0), X, +1, None, FALLS, "the third use is turned"),
    "two lanes multiplied":             Case(lambda: Guarded("product"), (X, X), (+1, 0), None, FALLS, "the free lane may be negative"),
    "a convolution with a signed kernel": Case(lambda: convolutional(nn.MaxPool1d(2), head=False), SIGNAL, +1, None, FALLS, "an edge detector"),
    # rises
    **{f"isotone.nn: {name}": ours(name) for name in OURS},
    "weights through softplus":         Case(lambda: reparametrized(F.softplus), X, +1, None, RISES, "positive as they are used"),
    "weights through exp":              Case(lambda: reparametrized(torch.exp), X, +1, None, RISES, "positive as they are used"),
    "weights squared":                  Case(lambda: reparametrized(torch.square), X, +1, None, RISES, "not negative as they are used"),
    "weights through abs":              Case(lambda: reparametrized(torch.abs), X, +1, None, RISES, "not negative as they are used"),
    "weights through sigmoid":          Case(lambda: reparametrized(torch.sigmoid), X, +1, None, RISES, "positive as they are used"),
    "weights through softmax":          Case(lambda: reparametrized(lambda w: w.softmax(-1)), X, +1, None, RISES, "rows on the simplex"),
    "weights parametrized by isotone":  Case(by_isotone, X, +1, None, RISES, "isotone.parametrize"),
    "weights constrained by isotone":   Case(constrained, X, +1, None, RISES, "isotone.constrain, after training towards random signs"),
    "a min-max net":                    Case(MinMax, X, +1, None, RISES, "minima and maxima of rising planes"),
    "a smooth min-max net":             Case(lambda: MinMax(smooth=True), X, +1, None, RISES, "log-sum-exp in place of maxima"),
    "a max-min net under a tanh":       Case(lambda: Formula(lambda x, m: torch.tanh(-m(-x)), MinMax()), X, +1, None, RISES, "two reversals"),
    "residual blocks":                  Case(lambda: Residual(lambda: positive(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 3)))), X, +1, None, RISES, "x + a rising block"),
    "residual blocks that contract":    Case(lambda: Residual(lambda: Formula(lambda x: -0.5 * torch.tanh(x)), 2), X, +1, None, OPEN, "x - tanh(x) / 2 has a slope of at least 1/2"),
    "x plus a small signed net":        Case(lambda: Residual(contraction, 1), X, +1, None, OPEN, "the slopes of the net stay below 1"),
    "a lipschitz net with its slope":   Case(lambda: Lipschitz(1.0), X, +1, None, OPEN, "falls by at most what the sum rises"),
    "the activation switch":            Case(Switch, X, +1, None, OPEN, "a difference of two rising parts, both in their sense"),
    "a hypernetwork of positive weights": Case(lambda: Hypernetwork(True), (X, X[:, :2]), (+1, 0), None, RISES, "exp of what the free input says"),
    "tied weights":                     Case(Tied, X, +1, None, RISES, "one non-negative matrix, three uses"),
    "two lanes, the larger":            Case(Guarded, (X, X), (+1, 0), None, RISES, "a free lane over free features"),
    "two lanes, added":                 Case(lambda: Guarded("sum"), (X, X), (+1, 0), None, RISES, "a free lane over free features"),
    "masked weights":                   Case(Masked, X, +1, None, RISES, "negative ones are cut out by a buffer"),
    "flipped inputs":                   Case(SignFlipped, X, torch.tensor([1.0, -1.0, 1.0]), None, RISES, "a sign per feature"),
    "a conv net with a max pool":       Case(lambda: convolutional(nn.MaxPool1d(2)), SIGNAL, +1, None, RISES, "non-negative kernels"),
    "a conv net with an average pool":  Case(lambda: convolutional(nn.AvgPool1d(2)), SIGNAL, +1, None, RISES, "non-negative kernels"),
    "a conv net in two dimensions":     Case(lambda: image_net(nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), IMAGE, +1, None, RISES, "non-negative kernels"),
    "a conv net with frozen batch norm": Case(lambda: image_net(nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3, groups=2, dilation=2)), IMAGE, +1, None, RISES, "a positive scale"),
    "a transposed convolution":         Case(lambda: image_net(nn.ELU(), nn.ConvTranspose2d(2, 1, 2, stride=2)), IMAGE, +1, None, RISES, "non-negative kernels"),
    "a residual conv block":            Case(lambda: Formula(lambda x, a, b: x + b(torch.relu(a(x))), positive(nn.Conv1d(2, 4, 3, padding=1)), positive(nn.Conv1d(4, 2, 1))), SIGNAL, +1, None, RISES, "x + a rising block"),
    "reflected and replicated borders": Case(lambda: positive(nn.Sequential(nn.ReflectionPad1d(2), nn.ReplicationPad1d(1), nn.Conv1d(2, 1, 3), nn.CircularPad1d(1))), SIGNAL, +1, None, RISES, "borders are copies"),
    "a pixel shuffle":                  Case(lambda: positive(nn.Sequential(nn.Conv2d(1, 4, 1), nn.PixelShuffle(2))), IMAGE, +1, None, OPEN, "places change, values do not"),
    "an lp pool":                       Case(lambda: positive(nn.Sequential(nn.Conv1d(2, 3, 1), nn.ReLU(), nn.LPPool1d(2, 2))), SIGNAL, +1, None, OPEN, "a norm of what is not negative"),
    "dropout and alpha dropout at rest": Case(lambda: positive(nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.SELU(), nn.AlphaDropout(), nn.Linear(4, 1))).eval(), X, +1, None, RISES, "at rest they do nothing"),
    "several inputs and outputs":       Case(lambda: Formula(lambda a, b, m: {"one": m(a), "two": (m(a) + b, b.amax(1))}, positive(nn.Linear(3, 3))), (X, X), (+1, +1), None, RISES, "every output rises with every input"),
    "one input rises, one falls":       Case(lambda: Formula(lambda a, b, m: m(a) - m(b), positive(nn.Linear(3, 3))), (X, X), (+1, -1), None, RISES, "a difference with its directions"),
    "whole numbers and truth values":   Case(lambda: Formula(lambda a, b, m: m(a.float()) + b.float().sum(1, keepdim=True), positive(nn.Linear(3, 1))), (torch.tensor([[1, 2, 3], [4, 5, 6]]), X > 0.5), (+1, +1), ((0, 99), None), RISES, "casts to floats rise"),
    "a counter of whole numbers":       Case(lambda: Formula(lambda a: a.cumsum(1) * 2 + 1), torch.tensor([[1, 2], [3, 4]]), +1, (0, 100), OPEN, "bounded, so nothing wraps"),
    "a mixture of rising experts":      Case(lambda: Formula(lambda x, z, a, b: torch.sigmoid(z[:, :1]) * a(x) + (1 - torch.sigmoid(z[:, :1])) * b(x), positive(nn.Linear(3, 1)), positive(nn.Linear(3, 1))), (X, X), (+1, 0), None, RISES, "a free gate in [0, 1] between rising experts"),
    "a mixture with a learned temperature": Case(lambda: Formula(lambda x, m: m(x) / F.softplus(m.bias), positive(nn.Linear(3, 1))), X, +1, None, RISES, "a constant divisor that is positive"),
    "a probability of a product":       Case(lambda: Formula(lambda x, a, b: torch.sigmoid(a(x)) * torch.sigmoid(b(x)), positive(nn.Linear(3, 1)), positive(nn.Linear(3, 1))), X, +1, None, RISES, "two rising factors in (0, 1)"),
    "a deep net":                       Case(lambda: positive(nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(3, 3), nn.Hardtanh())])), X, +1, None, RISES, "eight layers"),
    "a weight of zeros":                Case(lambda: Formula(lambda x: x @ torch.zeros(3, 2)), X, +1, None, RISES, "a constant does not fall"),
    "an einsum with positive weights":  Case(lambda: Formula(lambda x, m: torch.einsum("bi,oi->bo", x, m.weight), positive(nn.Linear(3, 2))), X, +1, None, RISES, "a matrix product under another name"),
    "a half-precision net":             Case(lambda: positive(mlp(nn.ReLU())).to(torch.bfloat16), X.bfloat16(), +1, None, RISES, "bfloat16 weights are numbers too"),
    "a double-precision net":           Case(lambda: positive(mlp(nn.Tanh())).double(), X.double(), +1, None, RISES, "float64"),
    "a jitted part":                    Case(lambda: Formula(lambda x, m: torch.utils.checkpoint.checkpoint(m, x, use_reentrant=False), positive(mlp(nn.Tanh()))), X, +1, None, OPEN, "checkpointing changes no value"),
}
# fmt: on
