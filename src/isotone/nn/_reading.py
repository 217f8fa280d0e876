"""What every layer of a model gets to sum, read from the model's own forward without running it.

- a function that works entry by entry is found by trying it: any activation, of torch or of the user, is one;
- what is not understood costs knowledge: the layers behind it get a reason instead of a signal.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F  # noqa: N812 (the field's name for it)

from ..errors import BadInput
from ._signals import Function, Signal, data, through

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

_SAME = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd, nn.AlphaDropout)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_MOVES = {
    *("flatten", "view", "reshape", "permute", "transpose", "contiguous", "squeeze", "unsqueeze", "movedim", "T", "mT"),
    *("to", "float", "double", "half", "bfloat16", "clone", "detach", "getitem", "dropout", "swapaxes"),
}

Visit = Callable[[str, nn.Module, Signal | str], None]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """What has no parts, and torch's own modules, are taken as they are."""
        return not any(True for _ in m.children()) or super().is_leaf_module(m, module_qualified_name)


def order(model: nn.Module) -> fx.Graph | str:
    """The operations of `model` in the order they run; or why that cannot be read."""
    if isinstance(model, LAYERS):
        model = nn.Sequential(model)  # fx looks inside what it is given
    try:
        return _Tracer().trace(model)
    except Exception as fault:  # whatever a forward does when it is handed a stand-in
        return f"its forward cannot be followed without data ({type(fault).__name__})"


def follow(model: nn.Module, graph: fx.Graph, visit: Visit) -> None:
    """Call `visit` at each layer, in order, with what reaches it; the weights that it leaves count from there on."""
    alone = isinstance(model, LAYERS)
    modules = {"0": model} if alone else dict(model.named_modules())
    facts: dict[fx.Node, Signal | str] = {}
    for node in graph.nodes:
        came = [facts[n] for n in node.all_input_nodes]
        module = modules[node.target] if node.op == "call_module" else None
        if node.op == "placeholder":
            facts[node] = data()
        elif module is not None and isinstance(module, LAYERS) and len(came) == 1:
            visit("" if alone else str(node.target), module, came[0])
            facts[node] = after(module, came[0])
        else:
            facts[node] = _step(node, module, came)


def after(layer: nn.Module, came: Signal | str) -> Signal | str:
    """What leaves a layer whose weights are as they are now; where that cannot be known, as if nothing were."""
    if isinstance(came, str):
        return came
    weight, bias = layer.weight, layer.bias  # not `get_parameter`: they may be parametrized
    assert isinstance(weight, Tensor)
    assert bias is None or isinstance(bias, Tensor)
    if weight.is_meta:
        return "a layer before it is on the meta device"
    return through(came.moments(), weight.detach().flatten(1).cpu(), None if bias is None else bias.detach().cpu())


def _step(node: fx.Node, module: nn.Module | None, came: list[Signal | str]) -> Signal | str:
    name = type(module).__name__ if module is not None else str(getattr(node.target, "__name__", node.target))
    if node.op == "output" or not came:
        return f"{name} is between the inputs and this layer"
    first = came[0]
    if isinstance(module, _SAME) or (module is None and name.split(".")[-1] in _MOVES):
        return first
    lost = next((c for c in came if isinstance(c, str)), None)
    if lost is not None or isinstance(first, str):
        return lost or str(first)
    if len(came) > 1:
        return f"{name} brings {len(came)} signals together"
    if isinstance(module, BATCH_NORMS):
        return first.standardised()
    f = _alone(node, module)
    return first.then(f) if works_by_entry(f) else f"{name} does not work entry by entry"


def _alone(node: fx.Node, module: nn.Module | None) -> Function:
    """The operation as a function of its one tensor."""
    if module is not None:
        return in_double(module)

    def run(x: Tensor) -> Tensor:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda _: x)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)  # type: ignore[no-any-return]
        return node.target(*args, **kwargs)  # type: ignore[operator, no-any-return]

    return run


def in_double(module: nn.Module) -> Function:
    """A module as a function on the CPU in double precision, as in evaluation; the module itself stays as it is."""
    alone = copy.deepcopy(module).cpu().double().eval()
    return lambda x: alone(x.clone())  # a clone: some activations write over their input


def works_by_entry(f: Function) -> bool:
    """Whether `f` gives each entry of a row the same, whatever the others are.

    >>> works_by_entry(torch.relu), works_by_entry(lambda x: x.softmax(-1))
    (True, False)
    """
    x = torch.linspace(-3.0, 3.0, 7, dtype=torch.float64)
    try:
        y = f(x.clone())
        parts = torch.cat([f(x[i : i + 1].clone()) for i in range(7)])
        return y.shape == x.shape and torch.equal(y, parts) and bool(y.isfinite().all())
    except Exception:  # a function of something else than a row of numbers
        return False


def activation(named: Any, layer: str) -> Function:
    """A function from its name in torch, from a module, or as it is."""
    f = named
    if isinstance(named, str):
        f = operator.attrgetter(named)(F) if hasattr(F, named) else getattr(torch, named, None)
    elif isinstance(named, nn.Module):
        f = in_double(named)
    if not callable(f) or not works_by_entry(f):
        raise BadInput(
            "initialize_",
            f"{named!r} came as what stands before {layer!r}",
            "'data', or an activation: a function, a module, or a name as 'relu', is right",
        )
    return f  # type: ignore[no-any-return]
