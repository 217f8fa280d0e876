"""Beside real Keras 3 on its torch backend, in one process: the same where Keras is right, and both where it is not."""

# ruff: noqa: E501 (rows of a table)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from isotone import MinMaxNorm, NonNegative, constrain, from_keras

NAN = float("nan")

STEPS = 20


@dataclass
class Problem:
    """One held layer and a free head, in both: the same data, the same loss."""

    layer: Callable[[], nn.Module]
    theirs: Callable[[Any, Any], Any]
    order: tuple[int, ...]
    axis: int | list[int]
    x: tuple[int, ...]


# fmt: off
PROBLEMS = {
    "Dense":     Problem(lambda: nn.Linear(5, 4),
                         lambda k, c: k.Dense(4, kernel_constraint=c), (1, 0), 0, (16, 5)),
    "Conv2D":    Problem(lambda: nn.Conv2d(3, 4, (2, 3)),
                         lambda k, c: k.Conv2D(4, (2, 3), kernel_constraint=c), (2, 3, 1, 0), [0, 1, 2], (16, 5, 5, 3)),
    "Embedding": Problem(lambda: nn.Embedding(8, 4),
                         lambda k, c: k.Embedding(8, 4, embeddings_constraint=c), (0, 1), 1, (16, 3)),
}
KINDS = {
    "NonNeg":                lambda k, axis: k.NonNeg(),
    "MaxNorm":               lambda k, axis: k.MaxNorm(0.8, axis=axis),
    "UnitNorm":              lambda k, axis: k.UnitNorm(axis=axis),
    "MinMaxNorm":            lambda k, axis: k.MinMaxNorm(0.9, 1.1, axis=axis),
    "MinMaxNorm, rate 0.3":  lambda k, axis: k.MinMaxNorm(0.9, 1.1, rate=0.3, axis=axis),
}
SGD, ADAM, RMSPROP = torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop
# The two put epsilon in other places (Keras's Adam beside the uncorrected root, its RMSprop inside the root): so small
# that it does not matter where. RMSprop's rate is one at which it does not overshoot: at 0.02 it does, and multiplies a
# difference in the last digit by about four at each step, to 1e-4 after 20 even in float64.
OPTIMIZERS = {
    "SGD":      (lambda k: k.SGD(0.1),                               lambda p: SGD(p, 0.1)),
    "momentum": (lambda k: k.SGD(0.05, momentum=0.9),                lambda p: SGD(p, 0.05, momentum=0.9)),
    "Nesterov": (lambda k: k.SGD(0.05, momentum=0.9, nesterov=True), lambda p: SGD(p, 0.05, momentum=0.9, nesterov=True)),
    "Adam":     (lambda k: k.Adam(0.02, epsilon=1e-12),              lambda p: ADAM(p, 0.02, eps=1e-12)),
    "RMSprop":  (lambda k: k.RMSprop(0.005, rho=0.9, epsilon=1e-24), lambda p: RMSPROP(p, 0.005, alpha=0.9, eps=1e-12)),
}
# fmt: on


def flat(z: Tensor, problem: str) -> Tensor:
    """(batch, ..., units) -> (batch, units), after a bend."""
    z = torch.tanh(z)
    return z if problem == "Dense" else z.flatten(1, -2).mean(1)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_training_ends_where_keras_ends(keras, problem, kind, optimizer):
    torch.manual_seed(1)
    it = PROBLEMS[problem]
    x = torch.randint(0, 8, it.x) if problem == "Embedding" else torch.randn(it.x)
    y = torch.randn(16, 1)
    layer, head = it.layer(), nn.Linear(4, 1)
    constraint = KINDS[kind](keras.constraints, it.axis)
    # Keras does not project what it starts from, isotone does: both start from there.
    constrain(layer, "weight", from_keras(constraint, layer), metric="euclidean")
    start = layer.weight.detach().clone()
    theirs, their_head = it.theirs(keras.layers, constraint), keras.layers.Dense(1)
    with torch.no_grad():
        their_head(flat(theirs(x), problem))
        theirs.weights[0].assign(start.permute(it.order).contiguous())
        their_head.kernel.assign(head.weight.T.contiguous())
        for mine, bias in ((layer, getattr(theirs, "bias", None)), (head, their_head.bias)):
            if bias is not None:
                bias.assign(mine.bias)

    step = OPTIMIZERS[optimizer][1]([*layer.parameters(), *head.parameters()])
    their_step = OPTIMIZERS[optimizer][0](keras.optimizers)
    variables = theirs.trainable_variables + their_head.trainable_variables
    images = x.movedim(-1, 1) if problem == "Conv2D" else x
    for _ in range(STEPS):
        step.zero_grad()
        z = layer(images)
        loss = (head(flat(z.movedim(1, -1) if problem == "Conv2D" else z, problem)) - y).square().mean()
        loss.backward()
        step.step()

        for v in variables:
            v.value.grad = None
        (their_head(flat(theirs(x), problem)) - y).square().mean().backward()
        with torch.no_grad():
            their_step.apply([v.value.grad for v in variables], variables)

    ended = layer.weight.detach()
    torch.testing.assert_close(theirs.weights[0].value.detach(), ended.permute(it.order), rtol=0, atol=1e-5)
    torch.testing.assert_close(their_head.kernel.value.detach(), head.weight.detach().T, rtol=0, atol=1e-5)
    assert float((ended - start).abs().max()) > 0.01, "nothing was trained"


def test_fit_keeps_keras_and_us_together(keras):
    """Keras's own trainer test (Dense "non_neg", ones, rmsprop), as `fit` runs it: constraints.md 2.5."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    constrain(layer, "weight", from_keras("non_neg", layer))
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, kernel_constraint="non_neg")])
    model.layers[0].kernel.assign(layer.weight.detach().T.contiguous())
    model.compile(keras.optimizers.RMSprop(0.05, rho=0.9, epsilon=1e-12), "mse", jit_compile=False)
    x, y = torch.ones(2, 3), -torch.ones(2, 2)  # downwards, or no weight would reach its wall
    model.fit(x, y, epochs=10, shuffle=False, verbose=0)
    optimizer = torch.optim.RMSprop(layer.parameters(), 0.05, alpha=0.9, eps=1e-12)
    layer.bias.data.zero_()
    for _ in range(10):
        optimizer.zero_grad()
        (layer(x) - y).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(model.layers[0].kernel.value.detach(), layer.weight.detach().T, rtol=0, atol=1e-5)
    assert float(layer.weight.detach().min()) == 0


# From here on, where Keras is wrong: constraints.md, section 10 (keras 3.15.1).
def variable(keras: Any, value: Any, constraint: Any) -> Any:
    made = keras.Variable(np.asarray(value, dtype="float32"))
    made.constraint = constraint  # `keras.Variable(..., constraint=)` drops it without a word
    return made


def ours(value: Any, constraint: Any) -> nn.Linear:
    """A layer that is held, with these weights in torch's order, put there afterwards."""
    value = torch.as_tensor(value, dtype=torch.float32)
    layer = nn.Linear(value.shape[1], value.shape[0], bias=False)
    constrain(layer, "weight", constraint)
    with torch.no_grad():
        layer.weight.copy_(value)
    return layer


def test_keras_averages_weights_from_outside_and_ours_stay_inside(keras):
    v = variable(keras, [[0.01, 1.0]], keras.constraints.NonNeg())
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    for _ in range(4):
        optimizer.apply([torch.tensor([[0.5, 0.0]])], [v])
    assert v.value.tolist() == [[0.0, 1.0]]
    optimizer.finalize_variable_values([v])
    assert v.value[0, 0].item() == pytest.approx(-0.49875)  # what `fit` leaves in a NonNeg kernel

    layer = ours([[0.01, 1.0]], NonNegative())
    average = AveragedModel(layer, avg_fn=lambda mean, new, _: 0.5 * mean + 0.5 * new)
    step = torch.optim.SGD(layer.parameters(), 1.0)
    for _ in range(4):
        layer.weight.grad = torch.tensor([[0.5, 0.0]])
        step.step()
        average.update_parameters(layer)
    assert layer.weight.tolist() == [[0.0, 1.0]]
    assert average.module.weight.tolist() == [[0.0, 1.0]]


def test_keras_forgets_its_constraints_under_an_optimizer_of_torch_and_isotone_holds_its_model(keras):
    def stepped(model: Any) -> float:
        torch.optim.SGD(model.parameters(), 1.0).zero_grad()
        model(torch.ones(4, 3)).sum().backward()
        torch.optim.SGD(model.parameters(), 1.0).step()
        return float(model.layers[0].kernel.value.detach().min())

    def made() -> Any:
        return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, kernel_constraint="non_neg")])

    assert stepped(made()) < -3
    model = made()
    constrain(model, "*kernel", from_keras(model.layers[0].kernel_constraint))  # a Keras layer on torch is a module
    assert stepped(model) == 0


def test_keras_leaves_a_variable_without_gradient_outside_and_ours_is_put_back(keras):
    a, b = (variable(keras, [[-1.0, 1.0]], keras.constraints.NonNeg()) for _ in range(2))
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        keras.optimizers.SGD(0.1).apply_gradients([(None, a), (torch.zeros(1, 2), b)])
    assert a.value.tolist() == [[-1.0, 1.0]]
    assert b.value.tolist() == [[0.0, 1.0]]

    pair = nn.ModuleList(ours([[-1.0, 1.0]], NonNegative()) for _ in range(2))
    pair[1].weight.grad = torch.zeros(1, 2)
    torch.optim.SGD(pair.parameters(), 0.1).step()
    assert [layer.weight.tolist() for layer in pair] == [[[0.0, 1.0]]] * 2


def test_keras_projects_at_each_accumulated_gradient_and_ours_at_each_step(keras):
    v = variable(keras, [[10.0]], keras.constraints.MinMaxNorm(0, 1, rate=0.5))
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)
    lengths = []
    for _ in range(4):
        optimizer.apply([torch.zeros(1, 1)], [v])
        lengths.append(v.value.item())
    assert lengths == pytest.approx([5.5, 3.25, 2.125, 1.5625])

    layer = ours([[10.0]], MinMaxNorm(0, 1, rate=0.5))
    step = torch.optim.SGD(layer.parameters(), 0.1)
    for _ in range(4):
        (0 * layer(torch.ones(1, 1))).sum().backward()
        assert layer.weight.item() == 10
    step.step()
    assert layer.weight.item() == 5.5


def test_keras_starts_and_loads_outside_and_ours_does_not(keras):
    torch.manual_seed(0)
    theirs = keras.layers.Dense(8, kernel_constraint="non_neg")
    theirs.build((None, 8))
    assert float(theirs.kernel.value.detach().min()) < 0
    theirs.set_weights([-np.ones((8, 8), "float32"), np.zeros(8, "float32")])
    assert float(theirs.kernel.value.detach().min()) == -1

    layer = nn.Linear(8, 8)
    constrain(layer, "weight", from_keras(theirs.kernel_constraint))
    assert float(layer.weight.detach().min()) == 0
    with pytest.warns(UserWarning, match="was outside NonNegative"):
        layer.load_state_dict({"weight": -torch.ones(8, 8), "bias": torch.zeros(8)})
    assert float(layer.weight.detach().max()) == 0


def length(w: Tensor) -> float:
    return float(torch.linalg.vector_norm(w, dtype=torch.float64))


F16 = torch.float16
# fmt: off
WRONG = [
    # constraint     weights                                        Keras's   right  near    why
    (("UnitNorm",),  torch.tensor([[1e-4], [0]], dtype=F16),        839,      1,     1e-3,   "fp16: the square underflows"),
    (("UnitNorm",),  torch.tensor([[1e-9], [0]]),                   0.0099,   1,     1e-6,   "a short column"),
    (("UnitNorm",),  torch.zeros(4, 1),                             0,        1,     1e-6,   "zeros"),
    (("MaxNorm", 2), torch.full((2, 1), 1e30),                      0,        2,     1e-6,   "the square overflows"),
    (("MaxNorm", 2), torch.full((4, 1), 300.0, dtype=F16),          0,        2,     1e-3,   "fp16: it overflows early"),
    (("MinMaxNorm", 1, 2), torch.full((4, 1), 1e-6),                0.952,    1,     1e-6,   "short of its bound"),
    (("MinMaxNorm", 1, 2), torch.full((4, 1), 1e-3),                0.99995,  1,     1e-6,   "short of its bound"),
    (("MinMaxNorm", 1, 2), torch.zeros(4, 1),                       0,        1,     1e-6,   "zeros"),
]
# fmt: on


@pytest.mark.parametrize("row", WRONG, ids=[f"{kind[0]}: {why}" for kind, *_, why in WRONG])
def test_keras_misses_its_own_bounds_and_ours_does_not(keras, row):
    (kind, *bounds), w, theirs, right, near, why = row
    constraint = getattr(keras.constraints, kind)(*bounds, axis=0)
    assert length(constraint(w)) == pytest.approx(theirs, rel=6e-3), why
    mine = from_keras(constraint, nn.Linear(1, 1)).project(w.T)  # a Dense kernel is the other way round
    assert length(mine) == pytest.approx(right, abs=near), why


def test_keras_shrinks_what_is_inside_and_ours_stays_to_the_bit(keras):
    start = torch.tensor([[1e-3], [0.0]])
    keras_max, w = keras.constraints.MaxNorm(2, axis=0), start
    mine, u = from_keras(keras_max, nn.Linear(2, 1)), start.T
    for _ in range(10_000):
        w, u = keras_max(w), mine.project(u)
    assert w[0].item() == pytest.approx(6.85e-7, rel=0.01)
    assert torch.equal(u, start.T)


def test_keras_keeps_minus_zero_and_ours_does_not(keras):
    minus = torch.tensor([[-0.0]])
    assert torch.signbit(keras.constraints.NonNeg()(minus)).all()
    assert not torch.signbit(NonNegative().project(minus)).any()


def test_both_let_nan_be_seen(keras):
    w = torch.tensor([[NAN, 1.0], [2.0, 3.0]])
    for constraint in (keras.constraints.NonNeg(), keras.constraints.MaxNorm(1, axis=0), keras.constraints.UnitNorm(0)):
        mine = from_keras(constraint, nn.Linear(2, 2))
        assert constraint(w)[0, 0].isnan()
        assert mine.project(w.T)[0, 0].isnan()
        assert mine.violation(w.T).isnan()
