"""What mixes elements: normalisation, shares, means over sets, distances, attention, recurrence, products."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from ..models import Formula, mlp, positive
from ._case import FALLS, HIDDEN, OPEN, RISES, UNIT, Case, X

SEQUENCE = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
IMAGE = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def then(*layers: nn.Module) -> nn.Module:
    return positive(nn.Sequential(nn.Linear(3, 4), *layers))


def trained_statistics(net: nn.Sequential) -> nn.Sequential:
    """A BatchNorm that has seen data, frozen."""
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(16, 3))
    return net.eval()


def negative_gamma() -> nn.Module:
    net = trained_statistics(then(nn.BatchNorm1d(4)))
    with torch.no_grad():
        net[1].weight[2] = -0.5
    return net


class Encoder(nn.Module):
    """A transformer layer in eval mode, positive wherever a weight can be."""

    def __init__(self):
        super().__init__()
        self.layer = positive(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)).eval()

    def forward(self, x):
        return self.layer(torch.cat([x, x[..., :1]], -1)).sum((1, 2))


class Attention(nn.Module):
    """Attention over a set whose keys move: the weights go where they should not."""

    def __init__(self, moving_keys: bool):
        super().__init__()
        self.moving_keys = moving_keys
        self.register_buffer("keys", torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(1)))

    def forward(self, x):
        keys = x if self.moving_keys else self.keys
        return F.scaled_dot_product_attention(torch.ones_like(keys[:, :1]), keys, x)


class HandmadeAttention(nn.Module):
    """The same as softmax of a product."""

    def forward(self, x):
        return (torch.softmax(x @ x.mT, -1) @ x).sum((1, 2))


class Recurrent(nn.Module):
    """An RNN by hand, h' = tanh(W h + U x) with non-negative W and U."""

    def __init__(self):
        super().__init__()
        self.cell = positive(nn.Linear(7, 4))

    def forward(self, x):
        h = torch.zeros_like(x[:, 0, :1]).expand(-1, 4)
        for step in x.unbind(1):
            h = torch.tanh(self.cell(torch.cat([step, h], 1)))
        return h


class GatedConvolution(nn.Module):
    """MalConv's gate: a(x) sigmoid(b(x)), both with non-negative weights."""

    def __init__(self, hinge: bool):
        super().__init__()
        self.a, self.b = positive(nn.Conv1d(1, 2, 2)), positive(nn.Conv1d(1, 2, 2))
        self.hinge = hinge

    def forward(self, x):
        a = self.a(x.unsqueeze(1))
        return ((torch.relu(a) if self.hinge else a) * torch.sigmoid(self.b(x.unsqueeze(1)))).amax(2)


class Signed(nn.Module):
    """Weights that a parametrization turns: the stored ones are positive."""

    def forward(self, w):
        return -w


def parametrized(how) -> nn.Module:
    layer = positive(nn.Linear(3, 2))
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", how)
    return layer


def norm_with_negative_size() -> nn.Module:
    layer = weight_norm(positive(nn.Linear(3, 2)))
    with torch.no_grad():
        layer.parametrizations.weight.original0[1] *= -1
    return layer


def cancelling() -> nn.Module:
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]))
        second.weight.copy_(torch.tensor([[1.0, 0.5, 0.0], [1.0, -0.5, 0.0], [0.0, 0.0, 2.0]]))
    return nn.Sequential(first, second)


def moving_sum(x):
    """Shares of a total: the more of another, the less of this."""
    return x / (x.sum(1, keepdim=True) + 0.1)


def own_mean(x):
    return torch.where(x > x.mean(1, keepdim=True), x, 0.0)


# fmt: off
MODELS = {
    # falls
    "layer norm":                       Case(lambda: then(nn.LayerNorm(4)), X, +1, None, HIDDEN, "what one element gains, the others lose"),
    "layer norm of the input":          Case(lambda: nn.LayerNorm(3), X, +1, None, FALLS, "centres: the others fall"),
    "rms norm":                         Case(lambda: nn.RMSNorm(3), X, +1, None, FALLS, "divides by a size that rises"),
    "group norm":                       Case(lambda: nn.GroupNorm(1, 3), X, +1, None, FALLS, "a layer norm by groups"),
    "instance norm":                    Case(lambda: nn.InstanceNorm1d(3), SEQUENCE.mT, +1, None, FALLS, "a layer norm by channels"),
    "local response norm":              Case(lambda: nn.LocalResponseNorm(2, alpha=1.0), SEQUENCE.mT, +1, UNIT, FALLS, "divides by its neighbours"),
    "batch norm in train mode":         Case(lambda: then(nn.BatchNorm1d(4)), X, +1, None, HIDDEN, "centres by the batch, and keeps what it saw"),
    "batch norm without statistics":    Case(lambda: nn.BatchNorm1d(3, track_running_stats=False).eval(), X, +1, None, FALLS, "centres by the batch even at rest"),
    "batch norm with a negative gamma": Case(negative_gamma, X, +1, None, FALLS, "one channel turns"),
    "l2 normalisation":                 Case(lambda: Formula(lambda x: F.normalize(x, dim=1)), X, +1, UNIT, FALLS, "divides by a norm that rises"),
    "shares of a total":                Case(lambda: Formula(moving_sum), X, +1, UNIT, FALLS, "normalised by a moving sum"),
    "scaled by its own maximum":        Case(lambda: Formula(lambda x: x / (x.amax(1, keepdim=True) + 1e-3)), X, +1, UNIT, FALLS, "the largest divides the others"),
    "standard score":                   Case(lambda: Formula(lambda x: (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1)), X, +1, UNIT, FALLS, "centred and scaled by what moves"),
    "distance from the mean":           Case(lambda: Formula(lambda x: x - x.mean(1, keepdim=True)), X, +1, None, FALLS, "centred"),
    "centred over the batch":           Case(lambda: Formula(lambda x: x - x.mean(0)), X, +1, None, FALLS, "rows leak into each other"),
    "variance":                         Case(lambda: Formula(lambda x: x.var(1)), X, +1, UNIT, FALLS, "falls as the small ones rise"),
    "standard deviation":               Case(lambda: Formula(lambda x: x.std(1)), X, +1, UNIT, FALLS, "falls as the small ones rise"),
    "a range":                          Case(lambda: Formula(lambda x: x.amax(1) - x.amin(1)), X, +1, UNIT, FALLS, "falls as the smallest rises"),
    "masked by its own mean":           Case(lambda: Formula(own_mean), X, +1, UNIT, FALLS, "the mean rises past an element that stays"),
    "softmax":                          Case(lambda: then(nn.Softmax(1)), X, +1, None, FALLS, "shares add up to 1"),
    "a head of two logits":             Case(lambda: Formula(lambda x, m: torch.softmax(m(x), 1)[:, 1], positive(nn.Linear(3, 2))), X, +1, None, FALLS, "the benign logit rises too"),
    "a margin of two logits":           Case(lambda: Formula(lambda x, m: m(x)[:, 1] - m(x)[:, 0], positive(nn.Linear(3, 2))), X, +1, None, FALLS, "the same without the softmax"),
    "log softmax":                      Case(lambda: nn.LogSoftmax(1), X, +1, None, FALLS, "the logarithm of a share"),
    "cross entropy against a class":    Case(lambda: Formula(lambda x: F.cross_entropy(x, torch.zeros(2, dtype=torch.long), reduction="none")), X, +1, None, FALLS, "falls with the logit of its class"),
    "softmax pooling":                  Case(lambda: Formula(lambda x: (torch.softmax(3 * x, 1) * x).sum(1)), X, +1, None, FALLS, "a small element takes weight from the large one"),
    "attention with moving keys":       Case(lambda: Attention(True), SEQUENCE, +1, None, FALLS, "weight moves to a smaller value"),
    "attention by hand":                Case(HandmadeAttention, SEQUENCE, +1, None, FALLS, "weight moves to a smaller value"),
    "multi-head attention":             Case(lambda: Formula(lambda x, m: m(x, x, x, need_weights=False)[0], positive(nn.MultiheadAttention(3, 1, batch_first=True)).eval()), SEQUENCE, +1, None, HIDDEN, "positive weights do not make it rise"),
    "a transformer layer":              Case(Encoder, SEQUENCE, +1, None, HIDDEN, "attention and layer norms"),
    "a GRU":                            Case(lambda: Formula(lambda x, m: m(x)[0], positive(nn.GRU(3, 2, batch_first=True))), SEQUENCE, +1, None, HIDDEN, "the update gate takes from the state"),
    "an LSTM":                          Case(lambda: Formula(lambda x, m: m(x)[0], positive(nn.LSTM(3, 2, batch_first=True))), SEQUENCE, +1, None, HIDDEN, "gates times a cell of either sign"),
    "a GRU cell on the unit box":       Case(lambda: Formula(lambda x, m: m(x, 0.5 * x[:, :2]), positive(nn.GRUCell(3, 2))), X, +1, UNIT, HIDDEN, "the update gate takes from the state, a little"),
    "a gated convolution":              Case(lambda: GatedConvolution(False), X, +1, None, FALLS, "a negative value times a rising gate"),
    "a bilinear layer":                 Case(lambda: positive(nn.Bilinear(3, 3, 1)), (X, X), (+1, +1), None, FALLS, "a product of numbers of any sign"),
    "a product of columns":             Case(lambda: Formula(lambda x: x.prod(1)), X, +1, None, FALLS, "signs multiply"),
    "a running product":                Case(lambda: Formula(lambda x: x.cumprod(1)), X, +1, None, FALLS, "signs multiply"),
    "a gram matrix":                    Case(lambda: Formula(lambda x: x @ x.T), X, +1, None, FALLS, "products of elements of any sign"),
    "a free factor":                    Case(lambda: Formula(lambda x, z: x * z), (X, X), (+1, 0), None, FALLS, "the free factor may be negative"),
    "cosine similarity":                Case(lambda: Formula(lambda x: F.cosine_similarity(x, torch.ones(3), 1)), X, +1, UNIT, FALLS, "an angle does not know size"),
    "distance to a point":              Case(lambda: Formula(lambda x: torch.cdist(x, torch.full((1, 3), 0.5))), X, +1, UNIT, FALLS, "falls on the way to the point"),
    "pairwise distance":                Case(nn.PairwiseDistance, (X, X + 0.1), (+1, +1), None, FALLS, "falls as the nearer one follows"),
    "an RBF kernel":                    Case(lambda: Formula(lambda x: torch.exp(-((x - 0.5) ** 2).sum(1))), X, +1, UNIT, FALLS, "falls beyond its centre"),
    "a discrete Fourier transform":     Case(lambda: Formula(lambda x: torch.fft.rfft(x).abs()), X, +1, UNIT, FALLS, "frequencies subtract"),
    "a complex number squared":         Case(lambda: Formula(lambda x: (torch.complex(x, 2 * x) ** 2).real), X, +1, UNIT, FALLS, "x^2 - 4 x^2"),
    "a difference of neighbours":       Case(lambda: Formula(lambda x: x.diff(dim=1)), X, +1, None, FALLS, "the left one is subtracted"),
    "a convolution with one negative tap": Case(lambda: Formula(lambda x: F.conv1d(x.unsqueeze(1), torch.tensor([[[1.0, 2.0, -0.1]]]))), torch.rand(2, 5), +1, None, FALLS, "an edge detector"),
    "bicubic upsampling":               Case(lambda: nn.Upsample(scale_factor=2, mode="bicubic"), IMAGE, +1, None, FALLS, "the kernel has negative lobes"),
    "weights turned by a parametrization": Case(lambda: parametrized(Signed()), X, +1, None, FALLS, "positive as they are stored, negative as they are used"),
    "a weight norm of negative size":   Case(norm_with_negative_size, X, +1, None, FALLS, "g < 0 turns a positive direction"),
    "spectral norm keeps signs":        Case(lambda: spectral_norm(nn.Linear(3, 2)).eval(), X, +1, None, FALLS, "a bounded slope, not a signed one"),
    "spectral norm in train mode":      Case(lambda: spectral_norm(positive(nn.Linear(3, 2))), X, +1, None, HIDDEN, "a power iteration changes its buffers at every call"),
    "an orthogonal layer":              Case(lambda: torch.nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)), X, +1, None, FALLS, "orthogonal columns have negative entries"),
    "weights squared after the product": Case(lambda: Formula(lambda x, m: m(x) ** 2, nn.Linear(3, 2)), X, +1, None, FALLS, "it is the weights that should be squared"),
    "non-negative last layer only":     Case(lambda: nn.Sequential(nn.Linear(3, 6), nn.ReLU(), positive(nn.Linear(6, 1))), X, +1, None, FALLS, "the first layer is signed"),
    "non-negative first layer only":    Case(lambda: nn.Sequential(positive(nn.Linear(3, 6)), nn.ReLU(), nn.Linear(6, 1)), X, +1, None, FALLS, "the last layer is signed"),
    "falling in the direction that was declared": Case(lambda: positive(mlp(nn.Tanh())), X, (-1), None, FALLS, "it rises, and -1 was asked"),
    "one direction of three is wrong":  Case(lambda: positive(mlp(nn.Tanh())), X, torch.tensor([1.0, 0.0, -1.0]), None, FALLS, "the third feature rises"),
    # rises
    "batch norm at rest":               Case(lambda: trained_statistics(then(nn.BatchNorm1d(4), nn.ReLU())), X, +1, None, RISES, "a fixed positive scale"),
    "two gammas turned twice":          Case(lambda: nn.Sequential(parametrized(Signed()), Formula(torch.neg)), X, +1, None, RISES, "a negative layer under a minus"),
    "normalised by a constant":         Case(lambda: Formula(lambda x: (x - 0.3) / 1.7), X, +1, None, RISES, "statistics of the training set"),
    "shares with the others fixed":     Case(lambda: nn.Softmax(1), X, torch.tensor([1.0, 0.0, 0.0]), None, FALLS, "the first share rises, the other two fall"),
    "one share, the others fixed":      Case(lambda: Formula(lambda x: torch.softmax(x, 1)[:, 0]), X, torch.tensor([1.0, 0.0, -1.0]), None, RISES, "its own logit rises, another's falls"),
    "log-sum-exp pooling":              Case(lambda: Formula(lambda x, m: m(x).logsumexp(1), positive(nn.Linear(3, 4))), X, +1, None, RISES, "a smooth maximum"),
    "log-sum-exp by hand":              Case(lambda: Formula(lambda x: x.exp().sum(1).log()), X, +1, (-5, 5), RISES, "a logarithm of a sum of positive terms"),
    "log-sum-exp shifted by hand":      Case(lambda: Formula(lambda x: (x - x.amax(1, keepdim=True)).exp().sum(1).log() + x.amax(1)), X, +1, (-5, 5), OPEN, "the shift cancels"),
    "attention with fixed keys":        Case(lambda: Attention(False), SEQUENCE, +1, None, RISES, "a fixed convex combination of the values"),
    "a recurrent net by hand":          Case(Recurrent, SEQUENCE, +1, None, RISES, "states rise with states and inputs"),
    "nn.RNN":                           Case(lambda: Formula(lambda x, m: m(x)[0], positive(nn.RNN(3, 2, batch_first=True))), SEQUENCE, +1, None, RISES, "states rise with states and inputs"),
    "nn.RNN with relu, both layers":    Case(lambda: Formula(lambda x, m: m(x)[0], positive(nn.RNN(3, 2, num_layers=2, nonlinearity="relu", batch_first=True))), SEQUENCE, +1, None, RISES, "two layers"),
    "a gated convolution with a hinge": Case(lambda: GatedConvolution(True), X, +1, None, RISES, "both factors rise and are not negative"),
    "a bilinear layer of non-negative numbers": Case(lambda: positive(nn.Bilinear(3, 3, 1)), (X, X), (+1, +1), (UNIT, UNIT), RISES, "products of non-negative factors"),
    "a product of non-negative columns": Case(lambda: Formula(lambda x: x.prod(1)), X, +1, (0, None), RISES, "products of non-negative factors"),
    "a running product of non-negative columns": Case(lambda: Formula(lambda x: x.cumprod(1)), X, +1, (0, None), RISES, "products of non-negative factors"),
    "noisy or":                         Case(lambda: Formula(lambda x: 1 - (1 - x).prod(1)), X, +1, UNIT, RISES, "one cause is enough: a product of what falls, turned"),
    "noisy or in logarithms":           Case(lambda: Formula(lambda x: -torch.log(1 - x).sum(1)), X, +1, (0, 0.99), RISES, "the same as a sum"),
    "a free factor made positive":      Case(lambda: Formula(lambda x, z: x * F.softplus(z)), (X, X), (+1, 0), None, RISES, "a gate of known sign"),
    "bilinear upsampling":              Case(lambda: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE, +1, None, RISES, "the kernel is not negative"),
    "nearest upsampling":               Case(lambda: nn.Upsample(scale_factor=2), IMAGE, +1, None, RISES, "copies"),
    "a moving average over the batch":  Case(lambda: Formula(lambda x: x + x.mean(0)), X, +1, None, RISES, "rows help each other"),
    "an RMS of non-negative numbers":   Case(lambda: Formula(lambda x: x.square().mean(1).sqrt()), X, +1, (0, None), RISES, "squares rise right of 0"),
    "a spectral norm of a positive layer": Case(lambda: spectral_norm(positive(nn.Linear(3, 2))).eval(), X, +1, None, RISES, "a positive scale of positive weights"),
    "a weight norm of positive size":   Case(lambda: weight_norm(positive(nn.Linear(3, 2))), X, +1, None, RISES, "g > 0 and a positive direction"),
    "two signed layers that cancel":    Case(cancelling, X, +1, None, RISES, "W2 W1 is positive though neither is"),
    "a margin from one layer":          Case(lambda: Formula(lambda x, m: m(x) - 0.5 * m(x), positive(nn.Linear(3, 1))), X, +1, None, RISES, "half of it is left"),
}
# fmt: on
