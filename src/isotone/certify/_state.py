"""What a model holds: its hash, and how to put its tensors back after the model has been run."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def _homes(model: nn.Module) -> Iterator[tuple[str, dict[str, Any], str, Tensor]]:
    """Every tensor with the dictionary that holds it."""
    for path, module in sorted(model.named_modules(), key=lambda pair: pair[0]):
        for home in (module._parameters, module._buffers, vars(module)):
            for name, value in sorted(home.items()):
                if isinstance(value, Tensor):
                    yield f"{path}.{name}" if path else name, home, name, value


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers, and tensors kept as plain attributes, by name, in a fixed order."""
    for path, _, _, value in _homes(model):
        yield path, value


def digest(model: nn.Module) -> str:
    """sha256 over the model: its tensors (name, dtype, shape, bytes), the classes of its parts, plain settings.

    Settings are public attributes that are numbers, strings, or tuples and lists of these, and the names of the hooks;
    what else Python holds (functions, dictionaries, globals) is not seen.
    """
    sha = hashlib.sha256()
    for path, module in sorted(model.named_modules(), key=lambda pair: pair[0]):
        sha.update(f"{path}|{type(module).__module__}.{type(module).__qualname__}|".encode())
        settings = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training" and _plain(v)}
        sha.update(repr(sorted(settings.items())).encode())
        sha.update(repr(_hooks(module)).encode())
    for name, value in tensors(model):
        sha.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        sha.update(_bytes(value))
    return sha.hexdigest()


def _bytes(value: Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _hooks(module: nn.Module) -> list[str]:
    """What runs beside a module's forward, by name; and methods that this object alone has."""
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    own = [value for name, value in sorted(vars(module).items()) if callable(getattr(type(module), name, None))]
    return [str(getattr(h, "__qualname__", type(h).__qualname__)) for h in [*hooks, *own]]


def _held(value: Any, depth: int = 0) -> Any:
    """What a value holds, as far as it can be compared: private counters, containers, generators of random numbers."""
    if isinstance(value, Tensor):
        return (str(value.dtype), tuple(value.shape), value._version, _bytes(value))
    if depth < 4 and isinstance(value, dict):
        return [(repr(k), _held(v, depth + 1)) for k, v in value.items()]
    if depth < 4 and isinstance(value, list | tuple | set | frozenset | deque):
        return (len(value), [_held(v, depth + 1) for v in value])
    if isinstance(value, bytes | bool | int | float | complex | str):
        return repr(value)
    if isinstance(value, random.Random):
        return value.getstate()
    for state in ("bit_generator", "get_state"):  # numpy's two kinds of generators, and torch's
        if hasattr(type(value), state):
            found = getattr(value, state)
            return repr(found.state) if state == "bit_generator" else repr(found())
    if depth < 4 and hasattr(value, "__dict__") and not callable(value):
        return (type(value).__qualname__, _held(vars(value), depth + 1))
    return type(value).__qualname__


def _private(model: nn.Module) -> list[Any]:
    """Everything in Python's own containers that a call of the model could have changed."""
    skip = {"_parameters", "_buffers", "_modules", "training"}
    return [
        (path, name, _held(value))
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in skip and not isinstance(value, Tensor) and not name.endswith("_hooks")
    ]


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str)


def mode(model: nn.Module) -> str:
    """'eval', 'train', or 'mixed'."""
    flags = {m.training for m in model.modules()}
    return "mixed" if len(flags) > 1 else "train" if flags == {True} else "eval"


class Kept:
    """A copy of a model's tensors, to compare with and to put back."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._digest = digest(model)
        self._private = _private(model)
        self._held = [(home, name, t, t.detach().clone()) for _, home, name, t in _homes(model)]

    def put_back(self) -> None:
        """The same tensors in the same places, with the same values; tensors that appeared since go away."""
        held = {(id(home), name) for home, name, _, _ in self._held}
        for _, home, name, _ in list(_homes(self._model)):
            if (id(home), name) not in held:
                del home[name]
        for home, name, tensor, copy in self._held:
            home[name] = tensor
            if not torch.equal(tensor.detach(), copy):
                with torch.no_grad():
                    tensor.detach().copy_(copy)

    def changed(self) -> bool:
        """Whether a tensor or a setting differs now from what it was, or a tensor stands elsewhere."""
        now = [(id(home), name, id(t)) for _, home, name, t in _homes(self._model)]
        if now != [(id(home), name, id(t)) for home, name, t, _ in self._held]:
            return True
        return digest(self._model) != self._digest or _private(self._model) != self._private
