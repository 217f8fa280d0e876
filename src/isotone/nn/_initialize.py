"""Starting weights for constrained layers: the signal passes through them, however deep the model.

- weights that agree in sign push every sum the same way; the bias takes that out, and sizes keep the variance at 1;
- from the model alone (`_signals`), or exactly, on rows of data;
- ends inside the sets; what is not constrained stays as it is.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..constraints import Constraint, constraints_of
from ..errors import BadInput, NoMatch
from ._drawing import fill_, signs_of
from ._reading import BATCH_NORMS, LAYERS, activation, follow, order
from ._signals import CORRELATION, Moments, Plan, Signal, correlated, data, plan

_FORWARD_OR_BEFORE = "Give some rows of data as inputs=, or say what stands before it, as before={%r: 'relu'}."


class _Draws(NamedTuple):
    """What is random."""

    generator: torch.Generator | None
    spread: float


class _Target(NamedTuple):
    """A layer whose weight is to be set."""

    name: str  # of the layer
    layer: nn.Module
    constraint: Constraint

    @property
    def weight(self) -> Tensor:
        return self.layer.get_parameter("weight")

    @property
    def bias(self) -> Tensor | None:
        bias = self.layer._parameters.get("bias")
        return bias if bias is not None and bias.requires_grad else None

    @property
    def parameter(self) -> str:
        return f"{self.name}.weight" if self.name else "weight"


def initialize_(
    model: nn.Module,
    inputs: Any = None,
    *,
    before: Mapping[str, Any] | None = None,
    spread: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[str, ...]:
    """Draw the constrained weights and their biases anew, so that pre-activations have mean 0 and variance 1.

    An ordinary initialisation, projected, moves the outputs of each layer the same way: of `nn.Linear(512, 512)` on
    inputs in [0, 1] from 0 to about 3. Here weights that agree in sign are log-normal (many small, some large, none at
    the wall, as in the paper), those without a sign normal; then they are projected. Sets that fix sizes (norms,
    bounds, simplex) leave less freedom: there the mean is right and the variance what the set allows. No start keeps
    the units of deep layers of one sign different (`_signals.py`).

    Args:
        model: with weights declared by `constrain`; of those, the `weight` of linear layers and convolutions is set,
            together with their bias. Frozen weights stay.
        inputs: rows of data (some hundred, as in training; a tuple for several arguments). Then the model is run on
            them once, in evaluation mode, and each layer is given exactly mean 0 and variance 1 unit by unit, in the
            manner of Mishkin and Matas 2016 (arXiv 1511.06422): right for every architecture and every kind of input.
        before: without `inputs`, and where the forward cannot be followed: for a layer what its inputs have come
            through, `"data"`, the name of an activation, a module or a function.
        spread: the units of a layer get means drawn from [-spread, spread]: units that bend at different places. With
            `inputs`, 1 learns faster in deep networks, and better (`benchmarks/initialisation.py`).
        generator: for the draws.

    Returns:
        The names of the weights that were set.

    Without `inputs` the model's inputs are taken to have mean 0 and variance 1 and to know nothing of each other. What
    is then reached in ten layers of width 256: `tests/nn/test_initialize.py`.

    Raises:
        BadInput: nothing is constrained; what reaches a layer is not known, or does not vary, or is not finite.
        NoMatch: `before` names no constrained layer.

    Cost: a few passes over the weights; with `inputs` four forward passes.

    Source: Hoedt and Klambauer, NeurIPS 2023 (arXiv 2312.12474), for ReLU; `_signals.py` for what is ours.

    >>> layer = nn.Linear(512, 512)
    >>> _ = isotone.constrain(layer, "weight", isotone.NonNegative())
    >>> x = torch.rand(200, 512)
    >>> round(layer(x).mean().item())
    3
    >>> isotone.nn.initialize_(layer, x)
    ('weight',)
    >>> abs(round(layer(x).mean().item(), 3)), round(layer(x).var().item(), 1), isotone.violations(layer)
    (0.0, 1.0, {'weight': 0.0})
    """
    targets, draws = _targets(model), _Draws(generator, spread)
    with torch.no_grad():
        if inputs is None:
            done = _from_theory(model, targets, dict(before or {}), draws)
        else:
            done = _from_data(model, targets, inputs, draws)
    _say_biases(model, done)
    return tuple(target.parameter for target in done)


def _targets(model: nn.Module) -> list[_Target]:
    declared = constraints_of(model)
    if not declared:
        raise BadInput("initialize_", "a model without constrained weights came", "constrain them first")
    found, others, seen = [], [], set()
    for name, constraint in declared.items():
        path, _, leaf = name.rpartition(".")
        layer = model.get_submodule(path)
        parameter = layer.get_parameter(leaf)
        if isinstance(layer, LAYERS) and leaf == "weight":
            if parameter.requires_grad and id(parameter) not in seen:  # a tied weight is set once
                found.append(_Target(path, layer, constraint))
            seen.add(id(parameter))
        # A batch norm starts with a scale of 1, which is what this function aims at.
        elif not (isinstance(layer, LAYERS) and leaf == "bias") and not isinstance(layer, BATCH_NORMS):
            others.append(f"{name} ({type(layer).__name__})")
    if others:
        _warn(
            f"left as they are, being no weights of a linear layer or a convolution: {', '.join(sorted(others)[:8])}."
        )
    return found


def _from_theory(model: nn.Module, targets: Sequence[_Target], before: dict[str, Any], draws: _Draws) -> list[_Target]:
    by_name = {target.name: target for target in targets}
    given: dict[str, Signal] = {}
    for name, said in before.items():
        if name not in by_name:
            raise NoMatch("initialize_(before=...)", name, by_name, "constrained layer")
        given[name] = data() if isinstance(said, str) and said == "data" else correlated().then(activation(said, name))
    done: list[_Target] = []

    def check(name: str, _: nn.Module, came: Signal | str) -> None:
        if name in by_name and name not in given and isinstance(came, str):
            raise BadInput(
                "initialize_",
                f"{name!r} is constrained, and what reaches it is not known: {came}",
                "a forward of layers and activations in a row is right",
                _FORWARD_OR_BEFORE % name,
            )
        seen.add(name)

    def set_layer(name: str, _: nn.Module, came: Signal | str) -> None:
        signal = given.get(name, came)
        if name in by_name and by_name[name] not in done and isinstance(signal, Signal):
            done.append(by_name[name])
            _set(by_name[name], signal.moments(), draws)

    seen: set[str] = set()
    graph = order(model)
    if isinstance(graph, str):
        for name in by_name:
            check(name, model, graph)
            set_layer(name, model, graph)
        return done
    follow(model, graph, check)  # before anything is changed
    for name in by_name.keys() - seen:
        check(name, model, "the forward does not call it as a module")
    follow(model, graph, set_layer)
    for name in by_name.keys() - seen:
        set_layer(name, model, "")
    return done


def _set(target: _Target, m: Moments, draws: _Draws) -> None:
    """One layer, from the moments of what it sums."""
    if not m.square > 0:
        raise BadInput(
            "initialize_",
            f"what reaches {target.name!r} is 0 whatever the input",
            "an activation that lets something pass is right",
        )
    signs = signs_of(target.constraint, target.weight)
    planned = plan(m, signs)
    moved = fill_(target.weight, target.constraint, planned, signs, draws.generator)
    # Where the set has changed what was drawn, its own sums are what has to be taken out.
    bias = -m.mean * target.weight.flatten(1).double().sum(1).cpu() if moved else planned.bias
    _set_bias(target, bias, draws)


def _set_bias(target: _Target, bias: Tensor, draws: _Draws) -> None:
    """Take the mean out, up to the spread."""
    if target.layer._parameters.get("bias") is None and float(bias.abs().mean()) > 0.05:
        _warn(
            f"{target.name!r} has no bias, so its outputs have mean {-float(bias.mean()):.2g} and not 0. Make it with "
            "bias=True."
        )
    if target.bias is not None:
        around = torch.rand(len(bias), generator=draws.generator, device=target.bias.device)
        target.bias.copy_(bias.to(around.device) + 2 * draws.spread * (around - around.mean()))


def _from_data(model: nn.Module, targets: Sequence[_Target], inputs: Any, draws: _Draws) -> list[_Target]:
    done: list[_Target] = []
    busy = False

    def hook(target: _Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal busy
        if not busy and target not in done:
            done.append(target)
            busy = True  # the layer is called from here too
            try:
                _set_on(target, args[0] if args else next(iter(kwargs.values())), draws)
            finally:
                busy = False

    with contextlib.ExitStack() as stack:
        stack.enter_context(_evaluating(model))
        for target in targets:
            handle = target.layer.register_forward_pre_hook(
                lambda _, args, kwargs, target=target: hook(target, args, kwargs), with_kwargs=True
            )
            stack.callback(handle.remove)
        model(*inputs) if isinstance(inputs, tuple) else model(inputs)
    if missed := sorted(target.name for target in targets if target not in done):
        _warn(f"left as they are, since the forward did not call them: {', '.join(missed[:8])}.")
    return done


def _set_on(target: _Target, x: Tensor, draws: _Draws) -> None:
    """One layer, from what it is given to sum."""
    weight = target.weight
    signs = signs_of(target.constraint, weight)
    channel = 1 - weight.ndim  # of inputs and outputs: the last of a linear layer, before the places of a convolution

    def response(w: Tensor) -> Tensor:
        """Without bias: (units, rows and places)."""
        bias = target.layer._parameters.get("bias")
        values = {"weight": w} | ({} if bias is None else {"bias": torch.zeros_like(bias)})
        out: Tensor = torch.func.functional_call(target.layer, values, (x,))
        return out.movedim(channel, 0).flatten(1).to(torch.promote_types(out.dtype, torch.float32))

    own = float(x.to(weight.dtype).movedim(channel, 0).flatten(1).double().var(1, correction=0).mean())
    if not (0 < own < math.inf):
        raise BadInput(
            "initialize_",
            f"what reaches {target.name!r} {'does not vary over the rows given' if own == 0 else 'is not finite'}",
            "some hundred different rows of finite numbers are right",
        )
    n = signs.shape[1]
    together = response(signs.view_as(weight).to(weight)).double().var(1, correction=0).cpu()
    share = CORRELATION * signs.abs().sum(1).double() / n
    size = (share / together.clamp(min=1e-6 * own)).sqrt()
    std = math.sqrt(1 / (n * own))
    planned = Plan(size[:, None], math.sqrt(1 - CORRELATION) * std, std, torch.zeros_like(size))
    fill_(weight, target.constraint, planned, signs, draws.generator)
    found = response(weight).std(1, correction=0).view(-1, *[1] * (weight.ndim - 1))
    scaled = torch.where(found > 0, weight / found, weight).to(weight.dtype)
    weight.copy_(target.constraint.project(scaled))
    means = -response(weight).mean(1)
    _set_bias(target, means, draws)


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """All parts in evaluation mode, and then each as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _say_biases(model: nn.Module, done: Sequence[_Target]) -> None:
    """A bias that is held in a set of its own may not be free to take the mean out."""
    for target in done:
        constraint = constraints_of(target.layer).get("bias")
        if constraint is not None and target.bias is not None:
            wanted = target.bias.detach().clone()
            with torch.no_grad():
                target.bias.copy_(constraint.project(wanted))
            if not torch.equal(target.bias, wanted):
                _warn(
                    f"the bias of {target.name!r} is held in {constraint!r}, so its outputs have mean "
                    f"{float((target.bias - wanted).mean()):.2g} and not 0."
                )


def _warn(fault: str) -> None:
    warnings.warn(f"initialize_: {fault}", stacklevel=4)
