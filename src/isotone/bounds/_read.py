"""From a module to a tape: one row per kind of module, everything else is refused by name.

Only exact types are read: a subclass may compute something else in its `forward`, and so may a module with hooks.
"""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..certify.boxes._curves import ROWS, Row, elu, pieces, softplus
from ..nn import (
    MonotoneBatchNorm,
    MonotoneEnsemble,
    MonotoneLinear,
    MonotoneMLP,
    MonotoneNetwork,
    MonotoneResidual,
    Saturating,
)
from ..nn._alone import code_of_its_own
from ._tape import Affine, Bend, Input, Largest, Node, Total

UNITS = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
# Units of roundoff that torch's own kernels lose, with room: of the value, of 1 (a difference of numbers near 1), and
# of the operand (a product with it).
EXACT, SMOOTH, PRODUCT = (0.0, 0.0, 0.0), (16.0, 16.0, 0.0), (16.0, 16.0, 16.0)


class Unreadable(Exception):
    """A module that has no rule here; the sentence says which and why."""


class Builder:
    """A tape that grows."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.nodes: list[Node] = [Input()]
        self.widths = [features]
        self.shared = {0}  # nodes that are read again after the next module: what it changes in place shows there

    def add(self, node: Node, width: int) -> int:
        """Its place."""
        self.nodes.append(node)
        self.widths.append(width)
        return len(self.nodes) - 1

    def total(self, sources: list[int], shares: list[float], bias: Tensor | None = None) -> int:
        """A weighted sum.

        Raises:
            Unreadable: of several widths, which torch would stretch.
        """
        width = self.widths[sources[0]]
        if others := {self.widths[source] for source in sources} - {width}:
            raise Unreadable(f"a sum of {width} and {min(others)} numbers has no rule for bounds over additions")
        constant = torch.zeros(width, dtype=torch.float64) if bias is None else exact(bias)
        return self.add(Total(tuple(sources), tuple(shares), constant), width)

    def module(self, module: nn.Module, source: int, where: str = "") -> int:
        """Read a module on top of a node."""
        kind = parametrize.type_before_parametrizations(module)
        name = f"{kind.__name__}{f' ({where})' if where else ''}"
        reader = READERS.get(kind)
        if reader is None:
            raise Unreadable(f"{name} has no rule for bounds over additions")
        # Some parametrizations, such as a spectral norm, change in train mode each time they are read.
        if module.training and (kind in CHANGES_IN_TRAINING or parametrize.is_parametrized(module)):
            raise Unreadable(f"{name} is in train mode; call eval() first")
        unhooked(module, name)
        if getattr(module, "inplace", False) and source in self.shared:
            raise Unreadable(f"{name} changes in place what is read elsewhere too; inplace=False has a rule")
        return reader(self, module, source, where)


def unhooked(module: nn.Module, name: str) -> None:
    """Pass in silence if the module computes what its class says.

    Raises:
        Unreadable: it may not.
    """
    if code_of_its_own(module):
        raise Unreadable(f"{name} has hooks or a method of its own, which may change what it computes")


def exact(values: Tensor) -> Tensor:
    """Float64, and finite.

    Raises:
        Unreadable: NaN or infinity, or numbers that are neither float32 nor float64.
    """
    if values.dtype not in UNITS:
        raise Unreadable(f"its numbers are {str(values.dtype).removeprefix('torch.')}; float32 or float64 has rules")
    found = values.detach().to("cpu", torch.float64)
    if not bool(found.isfinite().all()):
        raise Unreadable("it holds numbers that are not finite")
    return found


def read(model: Any, features: int) -> tuple[tuple[Node, ...], float]:
    """The tape of a model of rows of `features` numbers with one score, and the unit roundoff of its arithmetic.

    Raises:
        Unreadable: a part without a rule.
    """
    if not isinstance(model, nn.Module):
        raise Unreadable(f"{type(model).__name__} is no torch module that could be read")
    kinds = {p.dtype for p in [*model.parameters(), *model.buffers()] if p.is_floating_point()}
    if len(kinds) != 1 or not kinds <= set(UNITS):
        names = ", ".join(sorted(str(k).removeprefix("torch.") for k in kinds)) or "nothing"
        raise Unreadable(f"it computes in {names}; one of float32 and float64 has rules")
    builder = Builder(features)
    with torch.no_grad():
        last = builder.module(model, 0)
    if builder.widths[last] != 1:
        raise Unreadable(f"it has {builder.widths[last]} scores; one logit has rules")
    if last != len(builder.nodes) - 1 or last == 0:
        raise Unreadable("its score is none of its layers'")
    return tuple(builder.nodes), UNITS[next(iter(kinds))]


def _linear(to: Builder, module: Any, source: int, where: str) -> int:
    weight = exact(module.weight)
    if weight.shape[1] != to.widths[source]:
        raise Unreadable(f"a layer of {weight.shape[1]} inputs stands on {to.widths[source]} numbers")
    bias = torch.zeros(len(weight), dtype=torch.float64) if module.bias is None else exact(module.bias)
    return to.add(Affine(source, weight, bias), len(weight))


def _sequential(to: Builder, module: Any, source: int, where: str) -> int:
    for name, child in module._modules.items():  # named_children leaves out a module that comes twice
        source = to.module(child, source, f"{where}.{name}" if where else name)
    return source


def _same(to: Builder, module: Any, source: int, where: str) -> int:
    return source


def _batch_norm(to: Builder, module: Any, source: int, where: str) -> int:
    if module.running_mean is None or module.running_var is None:
        raise Unreadable("a batch norm without statistics depends on the batch")
    mean, spread = exact(module.running_mean), exact(module.running_var) + module.eps
    if not bool(((spread > 0) & (module.running_var >= 0).cpu()).all()):  # below 0, eps would cancel
        raise Unreadable("a batch norm has a variance that is not positive")
    scale = (torch.ones_like(mean) if module.weight is None else exact(module.weight)) / spread.sqrt()
    shift = torch.zeros_like(mean) if module.bias is None else exact(module.bias)
    size = shift.abs() + 2 * (scale * mean).abs()
    return to.add(Affine(source, torch.diag(scale), shift - scale * mean, size), len(mean))


def _bend(row: Callable[[Any], Row] | Row, loss: tuple[float, float, float]) -> Reader:
    def reader(to: Builder, module: Any, source: int, where: str) -> int:
        found = row if isinstance(row, Row) else row(module)
        return to.add(Bend(source, found, loss), to.widths[source])

    return reader


def _gelu(to: Builder, module: Any, source: int, where: str) -> int:
    if module.approximate != "none":
        raise Unreadable("GELU by its tanh approximation has no rule for bounds over additions")
    return to.add(Bend(source, ROWS["gelu"], PRODUCT), to.widths[source])


def _elu(to: Builder, module: Any, source: int, where: str) -> int:
    alpha = float(module.alpha)
    if not 0 < alpha < torch.inf:
        raise Unreadable(f"ELU with alpha={alpha:g} has no rule for bounds over additions")
    return to.add(Bend(source, elu(alpha, 1.0, 1.0), (16.0, 16.0 * max(1.0, alpha), 16.0)), to.widths[source])


def _softplus(to: Builder, module: Any, source: int, where: str) -> int:
    beta = float(module.beta)
    if not 0 < beta < torch.inf:
        raise Unreadable(f"Softplus with beta={beta:g} has no rule for bounds over additions")
    return to.add(Bend(source, softplus(beta, float(module.threshold)), PRODUCT), to.widths[source])


def _saturating(to: Builder, module: Any, source: int, where: str) -> int:
    row = elu(1.0, 1.0, 1.0)
    if not module.above:
        return to.add(Bend(source, row, SMOOTH), to.widths[source])
    bent = to.add(Bend(to.total([source], [-1.0]), row, SMOOTH), to.widths[source])
    return to.total([bent], [-1.0])


def _residual(to: Builder, module: Any, source: int, where: str) -> int:
    to.shared.add(source)
    branch = to.module(module.layers, source, f"{where}.layers" if where else "layers")
    return to.total([source, branch], [1.0, float(module.gain)])


def _mlp(to: Builder, module: Any, source: int, where: str) -> int:
    return to.module(module.layers, source, "layers")


def _network(to: Builder, module: Any, source: int, where: str) -> int:
    if module.ramps is not None:
        raise Unreadable("MonotoneNetwork with numbers has no rule for bounds over additions")
    if module.names != to.features or source != 0:
        raise Unreadable(f"a network of {module.names} names stands on {to.features} features")
    for pool in (module.name_max, module.name_sum):
        if pool is not None:
            unhooked(pool, type(pool).__name__)
    pools = []
    if module.name_max is not None:
        rows = exact(module.name_max.rows)
        pools.append(to.add(Largest(rows), rows.shape[1]))
    if module.name_sum is not None:
        rows = exact(module.name_sum.rows)
        pools.append(
            to.add(Affine(0, rows.T.contiguous(), torch.zeros(rows.shape[1], dtype=torch.float64)), rows.shape[1])
        )
    first = to.total(pools, [1.0] * len(pools), module.bias)
    return to.module(module.trunk, first, f"{where}.trunk" if where else "trunk")


def _ensemble(to: Builder, module: Any, source: int, where: str) -> int:
    members = [to.module(member, source, f"members.{i}") for i, member in enumerate(module.members)]
    return to.total(members, [1.0 / len(members)] * len(members))


Reader = Callable[[Builder, Any, int, str], int]

# fmt: off
READERS: dict[type, Reader] = {
    # module              its rule
    nn.Linear:            _linear,
    MonotoneLinear:       _linear,
    nn.Sequential:        _sequential,
    nn.Identity:          _same,
    nn.Dropout:           _same,
    nn.BatchNorm1d:       _batch_norm,
    MonotoneBatchNorm:    _batch_norm,
    nn.ReLU:              _bend(ROWS["relu"], EXACT),
    nn.ReLU6:             _bend(ROWS["relu6"], EXACT),
    nn.LeakyReLU:         _bend(lambda m: pieces(lambda x: torch.where(x > 0, x, x * m.negative_slope), (0.0,), (m.negative_slope, 1.0)), (4.0, 0.0, 0.0)),
    nn.Hardtanh:          _bend(lambda m: pieces(lambda x: x.clamp(m.min_val, m.max_val), (m.min_val, m.max_val), (0.0, 1.0, 0.0)), (4.0, 0.0, 0.0)),
    nn.Tanh:              _bend(ROWS["tanh"], SMOOTH),
    nn.Sigmoid:           _bend(ROWS["sigmoid"], SMOOTH),
    nn.SiLU:              _bend(ROWS["silu"], PRODUCT),
    nn.GELU:              _gelu,
    nn.Softplus:          _softplus,
    nn.ELU:               _elu,
    nn.SELU:              _bend(elu(1.6732632423543772, 1.0507009873554805, 1.0), (16.0, 32.0, 16.0)),
    Saturating:           _saturating,
    MonotoneResidual:     _residual,
    MonotoneMLP:          _mlp,
    MonotoneNetwork:      _network,
    MonotoneEnsemble:     _ensemble,
}
# fmt: on
CHANGES_IN_TRAINING = {nn.Dropout, nn.BatchNorm1d, MonotoneBatchNorm, MonotoneNetwork, MonotoneEnsemble}
