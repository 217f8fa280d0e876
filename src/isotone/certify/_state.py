"""A model's own tensors: their hash, and how to put them back after the model has been run."""

from __future__ import annotations

import hashlib
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
    """sha256 over the names, dtypes, shapes and bytes of the model's tensors."""
    sha = hashlib.sha256()
    for name, value in tensors(model):
        sha.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        sha.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return sha.hexdigest()


def mode(model: nn.Module) -> str:
    """'eval', 'train', or 'mixed'."""
    flags = {m.training for m in model.modules()}
    return "mixed" if len(flags) > 1 else "train" if flags == {True} else "eval"


class Kept:
    """A copy of a model's tensors, to compare with and to put back."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
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
        """Whether any tensor differs now from what it was, or stands elsewhere. NaN differs from itself."""
        now = [(id(home), name, id(t)) for _, home, name, t in _homes(self._model)]
        if now != [(id(home), name, id(t)) for home, name, t, _ in self._held]:
            return True
        return any(not torch.equal(tensor.detach(), copy) for _, _, tensor, copy in self._held)
