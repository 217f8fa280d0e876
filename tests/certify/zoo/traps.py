"""What a program can do behind a formula: aliasing, writes in place, casts, wrapping, branches, tables, gradients that lie."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ..models import Formula, positive
from ._case import FALLS, HIDDEN, OPEN, RISES, STUCK, UNIT, Case, X

WHOLE = torch.tensor([[1, 2], [3, 4]])
BYTES = WHOLE.to(torch.uint8)


def written_through_a_view(x):
    y = x.clone()
    y.view(-1).mul_(-1.0)
    return y


def written_in_place(x):
    y = x.clone()
    y[:, 0] -= 2 * y[:, 1]
    return y


def written_by_index(x):
    y = torch.zeros_like(x)
    y[:, torch.tensor([0, 2])] = -x[:, :2]
    return y


def written_by_mask(x):
    y = x.clone()
    y[x > 0.5] = 0.25
    return y


def written_twice(x):
    y = x.clone()
    z = y[:, 1:]
    y.add_(1.0)
    z.neg_()
    return y


def strided(x):
    """A view whose rows overlap, written to through one of them."""
    y = x.clone().flatten()
    windows = y.unfold(0, 2, 1)
    return windows[:, 1] - windows[:, 0]


def backwards(x):
    """A flip stands in for a negative stride: x minus its mirror."""
    return x - 0.5 * x.flip(1)


def honest_in_place(x):
    y = x.clone()
    y += 1
    y.clamp_(min=0)
    y[:, 0] = y[:, 0] + y[:, 1]
    F.relu_(y)
    return y


def by_branch(x):
    return x if x.sum() > 1 else 2 * x + 1


def by_cond(x):
    return torch.cond(x.sum() > 1, lambda x: x, lambda x: -x, (x,))


def by_loop(x):
    for _ in range(int(x.amax() * 3)):
        x = 0.5 * x
    return x


def by_shape(x):
    return x if x.shape[0] == 2 else -x


class Backwards(torch.autograd.Function):
    """A forward that falls, and a backward that says it rises."""

    @staticmethod
    def forward(ctx, x):
        return torch.exp(-x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Rounded(torch.autograd.Function):
    """Rounding with a straight-through gradient."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(8 * x) / 8

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def straight_through(x):
    return x + (x.round() - x).detach()


def half_detached(x):
    """Autograd sees x only; the other part falls."""
    return x - 1.5 * x.detach().clamp(0, 1)


class Moved(nn.Module):
    """A buffer holds the sign."""

    def __init__(self, sign):
        super().__init__()
        self.register_buffer("sign", torch.tensor(sign), persistent=False)

    def forward(self, x):
        return x * self.sign


class PreHook(nn.Module):
    """Honest weights, and a hook that turns the input before they see it."""

    def __init__(self):
        super().__init__()
        self.layer = positive(nn.Linear(3, 1))
        self.layer.register_forward_pre_hook(lambda module, args: (-args[0],))

    def forward(self, x):
        return self.layer(x)


class Renormalised(nn.Module):
    """An embedding with max_norm rewrites its own rows as it is read."""

    def __init__(self):
        super().__init__()
        self.embed = positive(nn.Embedding(4, 3, max_norm=0.5))

    def forward(self, ids, x):
        return (self.embed(ids).sum(1) * x).sum(1)


class Lookup(nn.Module):
    """A table read at a place that moves."""

    def __init__(self, values, how):
        super().__init__()
        self.register_buffer("values", torch.tensor(values))
        self.how = how

    def forward(self, x):
        return self.how(self.values, x)


class Replaced(nn.Module):
    """Its forward is replaced on the object."""

    def __init__(self):
        super().__init__()
        self.layer = positive(nn.Linear(3, 1))
        self.layer.forward = lambda x: -F.linear(x, self.layer.weight)

    def forward(self, x):
        return self.layer(x)


def random_in_eval(x):
    return x + torch.rand_like(x)


# fmt: off
MODELS = {
    # falls
    "written through a view":           Case(lambda: Formula(written_through_a_view), X, +1, None, FALLS, "the view and the tensor are one"),
    "written in place":                 Case(lambda: Formula(written_in_place), X, +1, None, FALLS, "a column is taken from another"),
    "written by index":                 Case(lambda: Formula(written_by_index), X, +1, None, FALLS, "index_put of a negation"),
    "written by mask":                  Case(lambda: Formula(written_by_mask), X, +1, UNIT, FALLS, "a larger value is replaced by a smaller one"),
    "written twice":                    Case(lambda: Formula(written_twice), X, +1, None, FALLS, "the slice sees the first write, then turns"),
    "overlapping windows":              Case(lambda: Formula(strided), X, +1, None, FALLS, "a difference of neighbours through strides"),
    "a mirror":                         Case(lambda: Formula(backwards), X, +1, None, FALLS, "the mirror image is subtracted"),
    "as_strided":                       Case(lambda: Formula(lambda x: x.as_strided((2, 2), (3, 1)) - x.as_strided((2, 2), (3, 1), 1)), X, +1, None, FALLS, "a difference of neighbours"),
    "a branch in Python":               Case(lambda: Formula(by_branch), X, +1, UNIT, FALLS, "the lower branch lies above the upper one"),
    "a branch by torch.cond":           Case(lambda: Formula(by_cond), X, +1, None, FALLS, "one branch falls"),
    "a loop whose length depends on data": Case(lambda: Formula(by_loop), X, +1, UNIT, FALLS, "one halving more when the largest rises"),
    "whole numbers that wrap":          Case(lambda: Formula(lambda x: x + 1), WHOLE, +1, None, HIDDEN, "the largest int64 plus one"),
    "bytes that wrap":                  Case(lambda: Formula(lambda x: x + 10), BYTES, +1, None, FALLS, "250 + 10 is 4"),
    "bytes that are multiplied":        Case(lambda: Formula(lambda x: x * 3), BYTES, +1, None, FALLS, "100 * 3 is 44"),
    "bytes that are negated":           Case(lambda: Formula(lambda x: 255 - x), BYTES, +1, None, FALLS, "a negative, in the photographer's sense"),
    "a sum of bytes in bytes":          Case(lambda: Formula(lambda x: x.sum(1, dtype=torch.uint8)), BYTES, +1, None, FALLS, "200 + 100 is 44"),
    "bytes taken as signed":            Case(lambda: Formula(lambda x: x.view(torch.int8)), BYTES, +1, None, FALLS, "128 is -128"),
    "a cast that wraps":                Case(lambda: Formula(lambda x: (300 * x).to(torch.uint8)), X, +1, UNIT, FALLS, "260 is 4"),
    "a bit of a number":                Case(lambda: Formula(lambda x: x & 4), WHOLE, +1, (0, 15), FALLS, "bits are no order"),
    "a shift to the left":              Case(lambda: Formula(lambda x: x << 6), BYTES, +1, None, FALLS, "bits are lost"),
    "an exclusive or":                  Case(lambda: Formula(lambda x: x ^ 5), WHOLE, +1, (0, 15), FALLS, "bits are no order"),
    "parity":                           Case(lambda: Formula(lambda x: x % 2), WHOLE, +1, (0, 9), FALLS, "even follows odd"),
    "a whole division by a negative":   Case(lambda: Formula(lambda x: x // -2), WHOLE, +1, (0, 9), FALLS, "turns"),
    "floor division, floats":           Case(lambda: Formula(lambda x: torch.div(x, -0.25, rounding_mode="floor")), X, +1, UNIT, FALLS, "turns"),
    "the bits of a float":              Case(lambda: Formula(lambda x: x.view(torch.int32).float()), X - 0.5, +1, (-1, 1), FALLS, "negative floats count backwards"),
    "unequal to":                       Case(lambda: Formula(lambda x: (x != x.round()).float()), X, +1, (0, 2), HIDDEN, "whole numbers are few"),
    "equal to":                         Case(lambda: Formula(lambda x: (x.round() == 0).float()), X, +1, UNIT, FALLS, "no longer equal when it rises"),
    "exclusive or of two conditions":   Case(lambda: Formula(lambda x: ((x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)).float()), X, +1, UNIT, FALLS, "both is neither"),
    "a negated condition":              Case(lambda: Formula(lambda x: torch.logical_not(x > 0.5).float()), X, +1, UNIT, FALLS, "turns"),
    "a truth value of a number":        Case(lambda: Formula(lambda x: x.bool().float()), WHOLE - 3, +1, (-3, 3), FALLS, "-1 is true and 0 is not"),
    "isfinite of a reciprocal":         Case(lambda: Formula(lambda x: torch.isfinite(1 / x).float()), WHOLE.float() - 1, +1, (-1, 3), HIDDEN, "0 alone is not finite"),
    "a custom function that falls":     Case(lambda: Formula(Backwards.apply), X, +1, None, FALLS, "its gradient says that it rises"),
    "a detached part that falls":       Case(lambda: Formula(half_detached), X, +1, UNIT, FALLS, "autograd sees the rising part only"),
    "a part without gradients that falls": Case(lambda: Formula(lambda x: x - 2 * torch.no_grad()(torch.tanh)(x)), X, +1, None, FALLS, "no_grad hides it"),
    "a sign in a buffer":               Case(lambda: Moved([1.0, 1.0, -1.0]), X, +1, None, FALLS, "in no state dict, and read as it is"),
    "a hook before the layer":          Case(PreHook, X, +1, None, FALLS, "turns what the layer sees"),
    "a replaced forward":               Case(Replaced, X, +1, None, FALLS, "the class is honest, the object is not"),
    "an embedding that renormalises itself": Case(Renormalised, (torch.tensor([[0, 1], [2, 3]]), X), (0, +1), None, STUCK, "it changes its own rows as it runs, so a trace holds one moment"),
    "a table read from the end":        Case(lambda: Lookup([0.0, 1.0, 2.0], lambda v, x: v[-(x.clamp(0, 1) * 2).long()]), X, +1, UNIT, FALLS, "-0, -1, -2 are 0, 2, 1"),
    "take along a moving place":        Case(lambda: Lookup([0.0, 2.0, 1.0], lambda v, x: v.take((x.clamp(0, 1) * 2).long())), X, +1, UNIT, FALLS, "the table does not rise"),
    "scatter to a moving place":        Case(lambda: Formula(lambda x: torch.zeros(2, 3).scatter(1, (x[:, :1] * 2).long(), 1.0)), X, +1, UNIT, FALLS, "the old place is left"),
    "scatter by product":               Case(lambda: Formula(lambda x: torch.ones_like(x[:, :2]).scatter_reduce(1, torch.tensor([[0, 1, 0], [0, 1, 0]]), x, "prod")), X, +1, None, FALLS, "signs multiply"),
    "scatter by mean without itself":   Case(lambda: Formula(lambda x: -torch.ones_like(x[:, :2]).scatter_reduce(1, torch.tensor([[0, 1, 0], [0, 1, 0]]), x, "mean")), X, +1, None, FALLS, "turned at the end"),
    "index_add with a negative alpha":  Case(lambda: Formula(lambda x: x.index_add(1, torch.tensor([0]), x[:, 1:2], alpha=-0.5)), X, +1, None, FALLS, "an addition that subtracts"),
    "addmm with a negative beta":       Case(lambda: Formula(lambda x: torch.addmm(x, x, torch.eye(3), beta=-2.0)), X, +1, None, FALLS, "x - 2 x"),
    "addcdiv":                          Case(lambda: Formula(lambda x: torch.addcdiv(x, torch.ones(3), x + 1, value=3.0)), X, +1, UNIT, FALLS, "x + 3 / (x + 1)"),
    "lerp beyond its end":              Case(lambda: Formula(lambda x: torch.lerp(x, torch.zeros(3), 1.5)), X, +1, None, FALLS, "x (1 - 1.5)"),
    "a clamp with its bounds swapped":  Case(lambda: Formula(lambda x: torch.clamp(x, 1 - x, None)), X, +1, UNIT, FALLS, "the lower bound falls"),
    "a clamp below what falls":         Case(lambda: Formula(lambda x: torch.minimum(x, 1.2 - x)), X, +1, UNIT, FALLS, "the cap comes down"),
    "copysign":                         Case(lambda: Formula(lambda x: torch.copysign(x, torch.tensor(-1.0))), X, +1, UNIT, FALLS, "a sign from elsewhere"),
    "atan2 in its second argument":     Case(lambda: Formula(lambda x: torch.atan2(torch.tensor(0.5), x)), X, +1, UNIT, FALLS, "an angle falls as x grows"),
    "a power with a moving exponent":   Case(lambda: Formula(lambda x: 0.5**x), X, +1, UNIT, FALLS, "a base below 1"),
    "x to the x":                       Case(lambda: Formula(lambda x: x.clamp(min=0.01) ** x), X, +1, UNIT, FALLS, "a valley at 1/e"),
    "hypot":                            Case(lambda: Formula(lambda x: torch.hypot(x, torch.tensor(0.1))), X, +1, (-1, 1), FALLS, "a valley"),
    "a triangular solve":               Case(lambda: Formula(lambda x: torch.linalg.solve(torch.tensor([[1.0, 0.5], [0.0, 1.0]]), x[:, :2].T)), X, +1, None, FALLS, "an inverse of a positive matrix has negative entries"),
    "a determinant":                    Case(lambda: Formula(lambda x: torch.linalg.det(x.view(2, 1, 3)[:, :, :2].expand(2, 2, 2) + torch.eye(2))), X, +1, None, OPEN, "1 + x0 + x1: rises, and is not known to"),
    "scaled by its own largest, rounded": Case(lambda: Formula(lambda x: torch.round(7 * x / (x.abs().amax(1, keepdim=True) + 1e-3))), X, +1, UNIT, FALLS, "dynamic quantisation: the scale moves"),
    "noise in eval mode":               Case(lambda: Formula(random_in_eval), X, +1, None, HIDDEN, "random at every call"),
    "dropout in train mode":            Case(lambda: nn.Sequential(positive(nn.Linear(3, 4)), nn.Dropout()), X, +1, None, HIDDEN, "random at every call"),
    "gumbel softmax":                   Case(lambda: Formula(lambda x: F.gumbel_softmax(x, dim=1)), X, +1, None, HIDDEN, "random, and a share"),
    "unique and its counts":            Case(lambda: Formula(lambda x: x.round().unique().sum() * torch.ones(1) - x.sum()), X, +1, UNIT, HIDDEN, "its shape depends on data"),
    "a histogram":                      Case(lambda: Formula(lambda x: torch.histc(x.flatten(), 4, 0.0, 1.0)), X, +1, UNIT, HIDDEN, "counts move from bin to bin"),
    # rises
    "written in place, honestly":       Case(lambda: Formula(honest_in_place), X, +1, None, OPEN, "every write rises"),
    "the batch as it is":               Case(lambda: Formula(by_shape), X, +1, None, RISES, "the claim is about two rows; the trace says so"),
    "a whole division":                 Case(lambda: Formula(lambda x: x // 2), WHOLE, +1, (0, 9), OPEN, "steps"),
    "a shift to the right":             Case(lambda: Formula(lambda x: x >> 1), WHOLE, +1, (0, 9), OPEN, "a division by two"),
    "rounded with a straight-through gradient": Case(lambda: Formula(Rounded.apply), X, +1, None, RISES, "steps, whatever the gradient says"),
    "straight-through by detach":       Case(lambda: Formula(straight_through), X, +1, None, OPEN, "x + (round(x) - x) is round(x)"),
    "fake quantisation":                Case(lambda: Formula(lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127)), X, +1, None, OPEN, "rounding and clamping"),
    "a cast that fits":                 Case(lambda: Formula(lambda x: (200 * x.clamp(0, 1)).to(torch.uint8).float()), X, +1, None, RISES, "0 to 200 fit into a byte"),
    "positional encodings added":       Case(lambda: Formula(lambda x: x + torch.sin(torch.arange(3.0))), X, +1, None, RISES, "what is added does not move"),
    "a complex detour":                 Case(lambda: Formula(lambda x: torch.complex(x, 2 * x).real + torch.fft.irfft(torch.fft.rfft(x), 3)), X, +1, None, OPEN, "there and back"),
    "a positive base to the x":         Case(lambda: Formula(lambda x: 2.0**x), X, +1, None, OPEN, "an exponential"),
    "exp2":                             Case(lambda: Formula(torch.exp2), X, +1, None, RISES, "an exponential"),
    "lerp between its ends":            Case(lambda: Formula(lambda x: torch.lerp(x, 2 * x, 0.25)), X, +1, None, OPEN, "a convex mixture of two that rise"),
    "addcmul and addmm":                Case(lambda: Formula(lambda x: torch.addcmul(x, x, torch.arange(3.0)) + torch.addmm(x, x, torch.ones(3, 3))), X, +1, None, OPEN, "sums and products with non-negative constants"),
    "a logical or of comparisons, cast": Case(lambda: Formula(lambda x: torch.logical_or(x > 0.5, x > 0.7).to(torch.int8)), X, +1, None, RISES, "truth values rise"),
    "a heaviside step":                 Case(lambda: Formula(lambda x: torch.heaviside(x - 0.5, torch.tensor(0.5))), X, +1, None, OPEN, "0, 1/2, 1"),
    "isnan of what is finite":          Case(lambda: Formula(lambda x: torch.where(x.isnan(), 0.0, x)), X, +1, None, OPEN, "no finite number is NaN"),
    "a roll and a flip":                Case(lambda: Formula(lambda x: x.roll(1, 1) + x.flip(1) + x.T.T + x.repeat(1, 2)[:, 1:4]), X, +1, None, RISES, "places change, values do not"),
    "a trace of windows":               Case(lambda: Formula(lambda x: x.unfold(1, 2, 1).sum(-1) + x.tril()[:, 1:]), X, +1, None, RISES, "sums over strides"),
    "as_strided, added":                Case(lambda: Formula(lambda x: x.as_strided((2, 2), (3, 1)) + x.as_strided((2, 2), (3, 1), 1)), X, +1, None, OPEN, "a sum of neighbours"),
    "a sum with bits of a float":       Case(lambda: Formula(lambda x: x.sum(1) + 1e-12 * x.view(torch.int32).float().sum(1)), X, +1, (0.01, 1), OPEN, "bits of positive floats count upwards; in float64 they would not"),
    "a rising branch by torch.cond":    Case(lambda: Formula(lambda x: torch.cond(x.sum() > 1, lambda x: 2 * x, lambda x: x + 0, (x,))), X, +1, UNIT, OPEN, "the upper branch lies above the lower one"),
    "a vmapped layer":                  Case(lambda: Formula(lambda x, m: torch.vmap(m)(x), positive(nn.Linear(3, 2))), X, +1, None, RISES, "row by row"),
}
# fmt: on
