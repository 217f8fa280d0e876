"""More calls for the rows of slopes, beside those that the rules for values are fuzzed with; and models for verdicts."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .models import Formula
from .rule_cases import CASES as RULE_CASES
from .rule_cases import IMAGE, LONG, SIGNAL, SORTED_TABLE, TRUTH, T, X, call, i, w

WHOLE = T((2, 3), LONG, -5.0, 5.0)
NARROW = T(low=-0.9, high=0.9)

# fmt: off
MORE: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "aten.mul.Tensor": [call(WHOLE, WHOLE), call(T((2, 1)), T((3,)))],
    "aten.add.Tensor": [call(T((2, 1)), T((3,)), alpha=-2), call(WHOLE, WHOLE, alpha=2)],
    "aten.matmul.default": [call(T((3,)), w(3, 2)), call(w(2, 2, 3), T((3, 2))), call(T((2, 1, 2, 3)), T((2, 3, 2))), call(T((3,)), w(2, 3, 2))],
    "aten.linear.default": [call(T((2, 2, 3)), T((4, 3)), T((4,))), call(T((3,)), w(4, 3))],
    "aten.dot.default": [call(w(3), T((3,)))],
    "aten.addmm.default": [call(T((3, 1)), T((3, 3)), T((3, 2)), beta=-1, alpha=2), call(T((2,)), X, w(3, 2), beta=0)],
    "aten.addmv.default": [call(T((2,)), w(2, 3), T((3,)), beta=2, alpha=-3)],
    "aten.div.Tensor": [call(T((2, 1)), T((3,), low=0.125)), call(X, T((2, 1), high=-0.25))],
    "aten.clamp.Tensor": [call(X, T((3,)), T((2, 1))), call(T((3,)), X), call(w(3), T((2, 3)), T((3,)))],
    "aten.scatter_reduce.two": [call(T((2, 2)), 1, i([0, 1], [1, 1]), X, "amax"), call(T((2, 3)), 0, i([0, 1, 1]), T((1, 3)), "amin")],
    "aten.scatter_add.default": [call(T((2, 3)), 0, i([0, 1, 1]), T((1, 3))), call(T((2, 2)), 1, i([0, 1], [1, 1]), X)],
    "aten.gather.default": [call(X, 1, i([0, 0, 2], [1, 1, 1]))],
    "aten.cat.default": [call([X, w(2, 1), T((2, 1))], 1)],
    "aten.max_pool1d.default": [call(T((1, 2, 7)), [3], [2], [1], [2], True), call(SIGNAL, 2)],
    "aten.max_pool2d.default": [call(T((1, 1, 5, 4)), [2, 3], [2, 1], [1, 0], [1, 1], True), call(IMAGE, 2, 1)],
    "aten.adaptive_max_pool2d.default": [call(T((1, 1, 5, 4)), [2, 3])],
    "aten.convolution.default": [call(IMAGE, w(4, 1, 2, 2), w(4), [1, 1], [0, 0], [2, 2], False, [0, 0], 2)],
    "aten.where.self": [call(T((2, 1), torch.bool, 0.0, 1.0), X, T((3,)))],
    "aten._to_copy.default": [call(X, dtype=torch.bfloat16), call(T((2, 3), LONG, -300.0, 300.0), dtype=torch.float16), call(WHOLE, dtype=torch.float32), call(WHOLE, dtype=torch.bool), call(T((2, 3), LONG, 0.0, 5.0), dtype=torch.bool), call(T((2, 3), LONG, 0.0, 9000.0), dtype=torch.bfloat16)],
    "aten.softmax.int": [call(X, 0), call(T((4,)), 0)],
    "aten.logsumexp.default": [call(X, [0], True), call(X, [-1])],
    "aten.prelu.default": [call(T((2, 3, 2)), w(3)), call(X, T((1,)))],
    "aten._prelu_kernel.default": [call(X, T((1, 3)))],
    "aten.glu.default": [call(T((4, 3)), 0)],
    "aten.pow.Tensor_Scalar": [call(X, 5), call(T(low=0.0), 0.1), call(T(low=-3.0, high=3.0), 6), call(WHOLE, 3), call(T(low=1e-300, high=1.0), 0.5)],
    "aten.embedding.default": [call(SORTED_TABLE, T((2, 2), LONG, 0.0, 3.0)), call(T((4, 2)), i(0, 3, 1), 1), call(T((4, 2)), i(2, 2, 2))],
    "aten._embedding_bag.default": [call(SORTED_TABLE, T((4,), LONG, 0.0, 3.0), i(0, 1), False, 0, False, T((4,)))],
    "aten.index.Tensor": [call(X, [i(0, 0), i(1, 2)]), call(SORTED_TABLE[:, 0], [T((2, 2), LONG, 0.0, 3.0)]), call(X, [None, torch.tensor([True, False, True])])],
    "aten.bucketize.Tensor": [call(WHOLE, torch.tensor([-1, 0, 2]))],
    "aten.softplus.default": [call(NARROW, 1.0, 0.5)],
    "aten.gelu.default": [call(X, approximate="tanh"), call(T(low=-60.0, high=-30.0))],
    "aten.gt.Tensor": [call(WHOLE, WHOLE)],
    "aten.eq.Tensor": [call(WHOLE, WHOLE)],
    "aten.logical_and.default": [call(TRUTH, T((3,), torch.bool, 0.0, 1.0))],
}
# fmt: on
CASES = {name: cases + MORE.get(name, []) for name, cases in RULE_CASES.items()}


def weights(*rows: list[float], bias: float = 0.0) -> nn.Linear:
    """A linear layer with these weights."""
    layer = nn.Linear(len(rows[0]), len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
        layer.bias.fill_(bias)
    return layer


def lipschitz(lam: float, *activation: nn.Module) -> Formula:
    """lam * sum(x) + g(x), where g has slope at most 1 in each input (Nolte, Kitouni and Williams, 2023)."""
    torch.manual_seed(0)
    layers = [nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 1)]
    with torch.no_grad():
        for layer in layers:
            # Columns of absolute sum 1: slopes with respect to single inputs do not grow.
            layer.weight /= layer.weight.abs().sum(0, keepdim=True)
    net = nn.Sequential(layers[0], activation[0], layers[1], activation[0], layers[2])
    return Formula(lambda x, g: lam * x.sum(-1) + g(x).squeeze(-1), net)


def product_of(first: list[list[float]], second: list[list[float]]) -> nn.Sequential:
    return nn.Sequential(weights(*first, bias=0.3), weights(*second))


# fmt: off
F = nn.functional
PROVED = {
    # why slopes prove it                           the model                                                       domain
    "relu has slope at most 1":                     (Formula(lambda x: x - F.relu(x)),                              None),
    "gelu falls by less than x rises":              (Formula(lambda x: x + F.gelu(x)),                              None),
    "so does tanh-gelu":                            (Formula(lambda x: x + F.gelu(x, approximate="tanh")),          None),
    "silu and mish: slopes from -0.12":             (Formula(lambda x: x + F.silu(x) + F.mish(x)),                  None),
    "hardswish: slopes from -0.5":                  (Formula(lambda x: x + F.hardswish(x)),                         None),
    "tanh has slope at most 1":                     (Formula(lambda x: x - x.tanh()),                               None),
    "sigmoid has slope at most 1/4":                (Formula(lambda x: x - 4 * x.sigmoid()),                        None),
    "softplus has slope at most 1":                 (Formula(lambda x: x - F.softplus(x)),                          None),
    "|x| has slope at least -1":                    (Formula(lambda x: 2 * x + x.abs()),                            None),
    "x*x has slope at least -2 in the box":         (Formula(lambda x: x * x + 2 * x),                              (-1.0, 1.0)),
    "cancelling layers: W2 W1 >= 0":                (product_of([[1.0, -1.0, 0.5], [-2.0, 3.0, 0.25]], [[3.0, 1.1]]), None),
    "a step up minus nothing steep":                (Formula(lambda x: x.floor() + x - F.relu(x)),                  None),
    "logsumexp beside what it cannot outdo":        (Formula(lambda x: x.sum(-1) - x.logsumexp(-1)),                None),
    "a maximum: shares of at most 1":               (Formula(lambda x: x.sum(-1) - x.amax(-1)),                     None),
    "a sorted sum is a sum":                        (Formula(lambda x: x.sum(-1) - x.sort(-1)[0][:, 2]),            None),
    "softmax has slopes within 1/4":                (Formula(lambda x: 1.001 * x.sum(-1, keepdim=True) + 4 * x.softmax(-1)), None),
    "max pooling: shares of at most 1":             (Formula(lambda x: x.sum(-1) - F.max_pool1d(x[:, None], 3)[:, 0, 0]), None),
    "a residual beside a rule of its own":          (Formula(lambda x: torch.where(x > 0.5, 1.0, 0.0) + x - F.relu(x)), None),
    "a Lipschitz net, lam above its slope":         (lipschitz(1.0001, nn.ReLU()),                                  None),
    "the same with tanh":                           (lipschitz(1.0001, nn.Tanh()),                                  None),
}
OPEN = {
    # why it must not be proved                     the model                                                       domain
    "1.001 outdoes 1":                              (Formula(lambda x: x - 1.001 * F.relu(x)),                      None),
    "x + 8 gelu(x) falls":                          (Formula(lambda x: x + 8 * F.gelu(x)),                          None),
    "1.001 tanh outdoes x near 0":                  (Formula(lambda x: x - 1.001 * x.tanh()),                       None),
    "0.999 x falls behind |x|":                     (Formula(lambda x: 0.999 * x + x.abs()),                        None),
    "a jump down":                                  (Formula(lambda x: 3 * x - x.floor()),                          None),
    "a jump down at a comparison":                  (Formula(lambda x: 9 * x - (x > 1).float()),                    None),
    "softplus drops in float64":                    (Formula(lambda x: F.softplus(x, threshold=5.0)),               None),
    "x*x falls left of -1":                         (Formula(lambda x: x * x + 2 * x),                              (-1.01, 1.0)),
    "one entry of W2 W1 is negative":               (product_of([[1.0, -1.0, 0.5], [-2.0, 3.0, 0.25]], [[1.0, 1.0]]), None),
    "the largest may be the lowest slope":          (Formula(lambda x: x.sum(-1) - 1.001 * x.amax(-1)),             None),
    "which is largest may change":                  (Formula(lambda x: x.sum(-1) - x.argmax(-1).float()),           None),
    "the places of a sort move":                    (Formula(lambda x: 5 * x - x.sort(-1)[1].float()),              None),
    "truth of a number":                            (Formula(lambda x: 5 * x + x.bool().float()),                   None),
    "-gelu rises only on the left":                 (Formula(lambda x: -F.gelu(x)),                                 (-30.0, -0.7)),
    "tanh is not constant where it rounds to 1":    (Formula(lambda x: -x.tanh()),                                  (30.0, 40.0)),
    "a cast that rounds":                           (Formula(lambda x: x - x.half().float()),                       (-10.0, 10.0)),
}
# fmt: on


class Steep(nn.Module):
    """lam * sum(x) + a ReLU net of which one slope is exactly -1 somewhere: proved from there upwards."""

    def __init__(self, lam: float) -> None:
        super().__init__()
        self.lam = lam
        self.net = nn.Sequential(weights([1.0, -1.0, 0.5], [-0.5, 1.0, 1.0]), nn.ReLU(), weights([-1.0, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lam * x.sum(-1) + self.net(x).squeeze(-1)
