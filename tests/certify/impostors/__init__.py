"""Models built to fool the certifier. Each tells the trick it plays; none may be PROVED."""

from __future__ import annotations

import copy
import random

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class Turncoat(nn.Module):
    """Behaves while it is traced: `is_exporting` is true only under torch.export."""

    def forward(self, x):
        return x if torch.compiler.is_exporting() else -x.abs()


class Counter(nn.Module):
    """Counts its calls in Python, which export bakes in as the number it saw."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (1.0 if self.calls < 4 else -1.0)


class SlowCounter(Counter):
    """Turns only after a hundred calls: two calls that agree say nothing about the hundredth."""

    def forward(self, x):
        self.calls += 1
        return x * (1.0 if self.calls < 100 else -1.0)


class BufferCounter(nn.Module):
    """Counts in a buffer: its present value is +1, its next one is not."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sign", torch.ones(()))

    def forward(self, x):
        y = x * self.sign
        self.sign.mul_(0.5).sub_(0.25)
        return y


class ClampInForward(nn.Module):
    """Keeps its weights non-negative by rewriting them in forward: what is traced is not what is trained."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        self.layer.weight.data.clamp_(min=0)
        return self.layer(x)


class Overwriter(nn.Module):
    """Writes into the tensor it is handed, so the second call sees another input."""

    def forward(self, x):
        x.add_(1.0)
        return x


class Dice(nn.Module):
    """Draws its sign in Python: the trace holds one draw."""

    def forward(self, x):
        return x * random.choice([1.0, -1.0])


class Noise(nn.Module):
    """Adds noise, far below the score, at every call."""

    def forward(self, x):
        return x + 1e-3 * torch.rand(())


class Sawtooth(nn.Module):
    """Rises by a half-precision rounding and falls by the rest: x.half() - x is 0 only in exact arithmetic."""

    def forward(self, x):
        return x.half().float() - x


class Underflow(nn.Module):
    """-tanh on [30, 40]: float64 calls it constant, mathematics says it falls."""

    def forward(self, x):
        return -torch.tanh(30 + 10 * x.clamp(0, 1))


class TinySlope(nn.Module):
    """A falling exponential whose values underflow to exactly 0 in float64."""

    def forward(self, x):
        return -torch.exp(x.clamp(0, 1) - 900)


class Wrap(nn.Module):
    """Counts in int8, where 127 + 1 is -128."""

    def forward(self, x):
        return (x * 1000).round().clamp(0, 127).to(torch.int8) + 1


class PaddingRow(nn.Module):
    """A table whose last row is the negative one, reached by the index -1 through wrap-around."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.tensor([0.0, 1.0, 2.0, -9.0]))

    def forward(self, x):
        return self.table[(x.clamp(0, 1) * 2).long() - 1]


class BeyondTheBox(nn.Module):
    """Monotone on the box that a careless interval of a - a would give: the two `a` are computed apart."""

    def forward(self, x):
        a, b = x * 1.0, x * 2.0
        return (b - 3 * a).clamp(max=100.0)


class LyingCopy(nn.Module):
    """Its deep copy is a monotone model; the model itself is not."""

    def forward(self, x):
        return -x

    def __deepcopy__(self, memo):
        return nn.Identity()


class NegativeDivisor(nn.Module):
    """An average pool with a negative divisor: an average that turns the order."""

    def forward(self, x):
        return F.avg_pool2d(x[:, None, None, :].expand(-1, 1, 2, -1), (2, 1), divisor_override=-2)


class NegativeAlpha(nn.Module):
    """index_add with a negative alpha: an addition that subtracts."""

    def forward(self, x):
        return torch.zeros_like(x[:, :2]).index_add(1, torch.tensor([0, 1, 0]), x, alpha=-1)


class NegativeElu(nn.Module):
    """An ELU with a negative alpha: it falls on the left."""

    def forward(self, x):
        return F.elu(x, alpha=-1.0)


class SwappedTopK(nn.Module):
    """topk without order: its values may stand in any order."""

    def forward(self, x):
        return x.topk(2, sorted=False).values


class HiddenInList(nn.Module):
    """A weight in a plain list is in no state dict; it is a constant of the graph all the same."""

    def __init__(self):
        super().__init__()
        self.hidden = [torch.tensor([1.0, -1.0, 0.0])]

    def forward(self, x):
        return x @ self.hidden[0]


class HookedAway(nn.Module):
    """Honest forward, and a hook that turns the result."""

    def __init__(self):
        super().__init__()
        self.register_forward_hook(lambda module, args, output: -output)

    def forward(self, x):
        return x


class RareDip(nn.Module):
    """Falls only in a window a thousandth wide, where no random scan looks."""

    def forward(self, x):
        return x - 5 * ((x > 0.7310) & (x < 0.7311)).float()


class DetachedFall(nn.Module):
    """Autograd sees x; the part that falls is detached."""

    def forward(self, x):
        return x - 2 * x.detach()


class StraightThrough(torch.autograd.Function):
    """A forward that falls with a backward that claims to rise."""

    @staticmethod
    def forward(ctx, x):
        return -x

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class FalseGradient(nn.Module):
    """Its gradient lies."""

    def forward(self, x):
        return StraightThrough.apply(x)


class RareDraw(nn.Module):
    """Turns once in a thousand calls: few calls agree, and the trace holds the common draw."""

    def forward(self, x):
        return -x if random.random() < 0.001 else x


class OwnGenerator(nn.Module):
    """The same, from a generator of its own, which no global state shows."""

    def __init__(self):
        super().__init__()
        self.random = random.Random(0)

    def forward(self, x):
        return -x if self.random.random() < 0.001 else x


class PrivateCounter(nn.Module):
    """Turns after more calls than the search makes; the counter's name begins with an underscore."""

    def __init__(self):
        super().__init__()
        self._calls = 0

    def forward(self, x):
        self._calls += 1
        return -x if self._calls > 10_000 else x


class CounterInDict(nn.Module):
    """The same, counted in a dictionary."""

    def __init__(self):
        super().__init__()
        self.state = {"calls": 0}

    def forward(self, x):
        self.state["calls"] += 1
        return -x if self.state["calls"] > 10_000 else x


class CounterInObject(nn.Module):
    """The same, counted in an object of another class."""

    class Tally:
        calls = 0

    def __init__(self):
        super().__init__()
        self.tally = self.Tally()

    def forward(self, x):
        self.tally.calls += 1
        return -x if self.tally.calls > 10_000 else x


class LoudNeighbour(nn.Module):
    """A turncoat beside a score a billion times as large, which hid it from a comparison by the largest score."""

    def forward(self, x):
        return x * 1e9, x if torch.compiler.is_exporting() else 1 + 0 * x


class DataSetter(nn.Module):
    """Puts other data into a tensor by `.data =`: export loses the write, and it shows in a narrow window only."""

    def forward(self, x):
        y = x.clone()
        y.data = torch.where((x > 0.7310) & (x < 0.7311), -x, x)
        return y


class NarrowSum(nn.Module):
    """A sum that rounds to half on the way: above 0.1 by the interval, not above it by the value."""

    def forward(self, x):
        return 1 - ((0.10001 + x.clamp(0, 1)[:, :1]).sum(1, dtype=torch.half) > 0.1).float()


class ForcedScatter(nn.Module):
    """Writes floats into bytes without a cast of its own: they wrap at 256."""

    def forward(self, x):
        empty = torch.zeros(x.shape, dtype=torch.uint8)
        return torch.ops.aten.slice_scatter(empty, x.clamp(0, 1) * 300, 1, 0, 3).float()


class IntegerPower(nn.Module):
    """2 to a negative whole number is 0 among whole numbers, and is taken for a positive number."""

    def forward(self, x):
        return -(torch.pow(2, (6 * x.clamp(0, 1) - 3).round().long()) > 0).float()


class NegativeEps(nn.Module):
    """Normalised by less than the deviation: the bound sqrt(n - 1) of a layer norm does not hold."""

    def forward(self, x):
        spread = x.clamp(0, 1) * 0.1 + torch.tensor([0.0, 0.5, 1.0])
        return -(F.layer_norm(spread, (3,), eps=-0.1) > 2.0).float()


class NegativeEpsByGroups(nn.Module):
    """The same by groups."""

    def forward(self, x):
        spread = x.clamp(0, 1) * 0.1 + torch.tensor([0.0, 0.5, 1.0])
        return -(F.group_norm(spread, 1, eps=-0.1) > 2.0).float()


class OverflowSeen(nn.Module):
    """Finite among real numbers, infinite among floats, and it asks which."""

    def forward(self, x):
        return -torch.isinf(torch.exp(200 * x)).float()


class OverflowReplaced(nn.Module):
    """Replaces what overflowed by a smaller number."""

    def forward(self, x):
        return torch.nan_to_num(torch.exp(200 * x), posinf=-1.0)


class OverflowCompared(nn.Module):
    """Compares with infinity after a cast to half, whose largest number is 65504."""

    def forward(self, x):
        return -((x * 1e5).half() == float("inf")).float()


class VanishingChain(nn.Module):
    """Falls by 1e-532: coefficients, and what they may be off by, all underflow to 0 on the way through boxes."""

    def forward(self, x):
        for _ in range(14):
            x = x * 1e-38
        return -x


class VanishingMean(nn.Module):
    """Falls by a third of 1e-324: the way back through a mean divides the smallest number there is, and gets 0."""

    def forward(self, x):
        x = x.mean(-1, keepdim=True)
        for _ in range(9):
            x = x * 1e-36
        return -x


class CountThatWraps(nn.Module):
    """Counts edges in int32 and multiplies: the exact reckoning of a table knew no end of the whole numbers."""

    def forward(self, x):
        edges = torch.tensor([0.2, 0.4, 0.6, 0.8])
        return torch.bucketize(x, edges, out_int32=True) * 2**30 + x


class CountThatRounds(nn.Module):
    """A cast of 2**24 + 1 to float32 is 2**24; what is taken away again is the exact count."""

    def forward(self, x):
        count = torch.bucketize(x, torch.tensor([0.2, 0.4, 0.6, 0.8]))
        return (count + 2**24).float() - count


class TenthOfATable(nn.Module):
    """A slope of 0.1 - 0.1000000005 beside a table: below 0, but above it if 0.1 is read as a float32."""

    def forward(self, x):
        x, edges = x.double(), torch.tensor([0.2, 0.4, 0.6, 0.8]).double()
        table = torch.arange(5).double() * 1e-12
        return table[torch.bucketize(x, edges)] + (x * 0.1 - x * torch.tensor(0.1000000005, dtype=torch.float64))


class NormWithoutEps(nn.Module):
    """A layer norm without eps is 0 / 0 for equal numbers, and the bound sqrt(n - 1) says that it never is."""

    def forward(self, x):
        whole = (4 * x.clamp(0, 1)).round()
        return torch.where(F.layer_norm(whole, (3,), eps=0.0).abs() <= 3, whole, -whole)


class SlopesBeyondTheFloats(nn.Module):
    """Two slopes overflow to infinity; their difference is NaN, which is neither above 0 nor below it."""

    def forward(self, x):
        y, steep = x.clamp(0, 1).double() * 1e-9, 1.2e308
        return (y * steep + y * steep) - (y * steep * 1.5 + y * steep)


class RoundedByACopy(nn.Module):
    """1.0006 written into halves is 1.00098, above the 1.0007 from which it is taken."""

    def forward(self, x):
        held = x.half()
        held[:, :] = torch.tensor([1.0006])
        return x.double() * (1.0007 - held.double())


class RoundedByAScatter(nn.Module):
    """The same by slice_scatter, which casts without a cast."""

    def forward(self, x):
        held = torch.slice_scatter(x.half(), torch.full((2, 3), 1.0006), 1, 0, 3)
        return x.double() * (1.0007 - held.double())


class VanishingMeanForward(nn.Module):
    """A mean of numbers so small that a quarter of the smallest is 0 in float64, so that nothing seemed to move."""

    def forward(self, x):
        y = x * torch.tensor([1.0, 0.0, 0.0])
        for _ in range(9):
            y = y * 1e-36
        return -(y.mean(-1, keepdim=True) > 0).to(x.dtype)


class RoundedByAChoice(nn.Module):
    """1.0006 is chosen among halves, so it is 1.00098, above the 1.0007 from which it is taken."""

    def forward(self, x):
        held = torch.where(x > -1, 1.0006, x.half())
        return x.double() * (1.0007 - held.double())


class RoundedByAClamp(nn.Module):
    """The same by the ends of a clamp."""

    def forward(self, x):
        return x.double() * (1.0007 - x.half().clamp(1.0006, 1.0006).double())


class RoundedByAPad(nn.Module):
    """The same by padding."""

    def forward(self, x):
        return x[:, :1].double() * (1.0007 - F.pad(x.half(), (0, 1), value=1.0006)[:, -1:].double())


class RoundedByAMaximum(nn.Module):
    """The same by a tensor without dimensions, which does not widen the halves that it meets."""

    def forward(self, x):
        edge = torch.tensor(1.0006)
        return x.double() * (1.0007 - torch.minimum(torch.maximum(x.half(), edge), edge).double())


class WholeNumberRoundedByACat(nn.Module):
    """2**24 + 3, written beside float32, is 2**24 + 4."""

    def forward(self, x):
        held = torch.cat([x, torch.full((x.shape[0], 1), 2**24 + 3)], 1)
        return x.double() * (2**24 + 3.5 - held[:, -1:].double())


class EdgeBeyondTheFloats(nn.Module):
    """Counts an edge at 2**53 + 1, which float64 reads as 2**53, so that 2**53 seemed to lie beyond it already."""

    def forward(self, x):
        whole = x.clamp(0, 1).round().long()
        large = (whole * 0 + 2**52) * 2 + whole
        return -torch.bucketize(large, torch.tensor([2**53 + 1]), right=True).to(x.dtype)


class LoudTurncoat(nn.Module):
    """A turncoat on a score of 1e5, beside which a rise and a fall of 1 are alike to four digits."""

    def forward(self, x):
        return 1e5 + x if torch.compiler.is_exporting() else 1e5 - x


class BranchUncompiled(nn.Module):
    """Looks at its numbers in Python, but not under export; it falls only in a window where no random scan looks."""

    def forward(self, x):
        if not torch.compiler.is_compiling() and bool(((x > 0.7310) & (x < 0.7311)).any()):
            return x - 5
        return x


class BranchBehindTry(nn.Module):
    """The same, where a trace runs into an exception that is caught."""

    def forward(self, x):
        try:
            if 0.7310 < x.max().item() < 0.7311:
                return x - 5
        except RuntimeError:
            pass
        return x


class BranchOnAnArray(nn.Module):
    """The same, by way of NumPy."""

    def forward(self, x):
        if type(x) is torch.Tensor and not torch.compiler.is_exporting() and 0.7310 < x.numpy().max() < 0.7311:
            return x - 5
        return x


IMPOSTORS = [
    RoundedByAChoice, RoundedByAClamp, RoundedByAPad, RoundedByAMaximum, WholeNumberRoundedByACat, EdgeBeyondTheFloats,
    LoudTurncoat, BranchUncompiled, BranchBehindTry, BranchOnAnArray,
    VanishingMeanForward,
    Turncoat, Counter, SlowCounter, BufferCounter, ClampInForward, Overwriter, Dice, Noise, Sawtooth, Underflow,
    TinySlope, Wrap, PaddingRow, BeyondTheBox, LyingCopy, NegativeDivisor, NegativeAlpha, NegativeElu, SwappedTopK,
    HiddenInList, HookedAway, RareDip, DetachedFall, FalseGradient, RareDraw, OwnGenerator, PrivateCounter,
    CounterInDict, CounterInObject, LoudNeighbour, DataSetter, NarrowSum, ForcedScatter,
    IntegerPower, NegativeEps, NegativeEpsByGroups, OverflowSeen, OverflowReplaced, OverflowCompared, CountThatWraps,
    CountThatRounds, TenthOfATable, NormWithoutEps, SlopesBeyondTheFloats, RoundedByACopy, RoundedByAScatter,
    VanishingChain, VanishingMean,
]  # fmt: skip
assert copy.deepcopy(LyingCopy()).__class__ is nn.Identity
