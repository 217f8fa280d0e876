"""A monotone network for rows of a table: ramps for what is constrained, an embedding for what is free.

    constrained numbers -> ramps --------------------+--> monotone layers --+--> outputs
    constrained 0/1 components ----------------------+                      |
    free numbers and components -> free embedding ---+--> monotone linear --+

- an output rises with a feature of direction +1, falls with one of -1, whatever the others are;
- free features go through weights of any sign before they meet the others, so they interact with all of them;
- the linear way past the layers learns the additive part at once: what is left to the layers is little.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..constraints import NonNegative, constrain
from ..constraints._elementwise import by_direction
from ..directions import as_directions
from ..errors import BadInput
from ._counts import check_counts, check_widths
from ._ramps import Ramps

# What is farther out than three of its units moves a free number little: sqrt(9) at most.
_FAR = 3.0
# Numbers in the widest register of today's processors: 16 in float32.
_WIDE = 16


class TabularNetwork(nn.Module):
    """A monotone network on encoded rows, several members side by side; the output is their mean.

    Args:
        columns: for each input its knots (ascending, at least two; a list of numbers), or None for a 0/1 component.
        directions: one for all inputs, or one per input.
        coarse: for each input the knots that layers are shown, or None; None for all: those of `columns`. The linear
            way always has those of `columns`: it draws each number's own curve, the layers what numbers do together.
        free_knots: how many stretches of a free number are shown to the embedding beside the number itself.
        hidden: width of each monotone hidden layer.
        embedding: widths of the free embedding.
        out_features: outputs; each moves along the directions by itself.
        members: networks trained side by side from different starts. A mean of rising functions rises.
        dropout: share of hidden units silenced in training.

    Shapes: (rows, len(columns)) -> (rows, out_features); `each`: (members, rows, out_features).

    Cost: one batched product per layer. Hidden units saturate below and above in turn (`nn.Saturating`, with corners).

    >>> net = isotone.nn.TabularNetwork([[0.0, 0.5, 1.0], None, [0.0, 1.0]], directions=(+1, -1, 0))
    >>> z = torch.rand(5, 3).round(decimals=2)
    >>> net(z).shape
    torch.Size([5, 1])
    """

    def __init__(
        self,
        columns: Sequence[Sequence[float] | None],
        directions: Any = +1,
        *,
        coarse: Sequence[Sequence[float] | None] | None = None,
        free_knots: int = 4,
        hidden: Sequence[int] = (64, 64),
        embedding: Sequence[int] = (64, 32),
        out_features: int = 1,
        members: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts("TabularNetwork", out_features=out_features, members=members)
        check_widths("TabularNetwork", hidden=hidden, embedding=embedding)
        given = as_directions(directions, len(columns))
        self.arguments: dict[str, Any] = {
            "columns": _listed(columns),
            "directions": list(given),
            "coarse": None if coarse is None else _listed(coarse),
            "free_knots": int(free_knots),
            "hidden": [int(width) for width in hidden],
            "embedding": [int(width) for width in embedding],
            "out_features": int(out_features),
            "members": int(members),
            "dropout": float(dropout),
        }
        self.directions, self.members, self.dropout, self.out_features = given, members, dropout, out_features
        held = [(i, knots) for i, knots in enumerate(columns) if given[i]]
        free = [(i, knots) for i, knots in enumerate(columns) if not given[i]]
        self._split("held_number", [i for i, knots in held if knots is not None])
        self._split("held_flag", [i for i, knots in held if knots is None])
        self._split("free_number", [i for i, knots in free if knots is not None])
        self._split("free_flag", [i for i, knots in free if knots is None])
        numbers = [(i, k) for i, k in held if k is not None]
        if coarse is not None and (len(coarse) != len(columns) or any(coarse[i] is None for i, _ in numbers)):
            right = f"{len(columns)} entries, with knots for every constrained number, are right"
            raise BadInput("TabularNetwork", f"coarse={_listed(coarse)} came", right)
        self.ramps = _ramps([k for _, k in numbers])
        # Of many stretches every step moves many weights of a unit at once: units leave the rows and never come back.
        self.coarse_ramps = None if coarse is None else _ramps([coarse[i] or () for i, _ in numbers])
        thinned = [_thinned(k, free_knots) for _, k in free if k is not None] if free_knots else []
        self.free_ramps = _ramps(thinned)
        self.register_buffer("middle", torch.tensor([_middle(k)[0] for _, k in free if k is not None]))
        self.register_buffer("unit", torch.tensor([_middle(k)[1] for _, k in free if k is not None]))
        width = len(free) + (0 if self.free_ramps is None else self.free_ramps.out_features)
        self.embed = nn.ModuleList(
            _Members(members, a, b) for a, b in itertools.pairwise((width, *embedding) if width else ())
        )
        others = (
            *(given[i] for i, knots in held if knots is None),
            *(0,) * ((*embedding,)[-1] if width and embedding else width),
        )
        signs = (*_signs(self.coarse_ramps or self.ramps, numbers, given), *others)
        signs_past = (*_signs(self.ramps, numbers, given), *others)
        layers = []
        for depth, (a, b) in enumerate(itertools.pairwise((len(signs), *hidden, out_features))):
            layer = _Members(members, a, b)
            if depth:
                constrain(layer, "weight", NonNegative())
            else:
                _held_by(layer, signs)
            layers.append(layer)
        self.layers = nn.ModuleList(layers)
        self.past = _Members(members, len(signs_past), out_features)
        _held_by(self.past, signs_past)
        with torch.no_grad():
            self._start(torch.tensor(signs))

    middle: Tensor
    unit: Tensor

    @property
    def _held(self) -> list[_Members]:
        return list(self.layers)  # type: ignore[arg-type]

    def _split(self, name: str, at: Sequence[int]) -> None:
        self.register_buffer(name, torch.tensor(list(at), dtype=torch.int64), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """The mean of the members."""
        mean: Tensor = self.each(z).mean(0)
        return mean

    def each(self, z: Tensor) -> Tensor:
        """Every member by itself."""
        if z.ndim != 2 or z.shape[1] != len(self.directions):
            raise BadInput("TabularNetwork", f"rows of shape {tuple(z.shape)} came", f"(rows, {len(self.directions)})")
        h, past = self._first(z)
        for depth, layer in enumerate(self._held):
            h = layer(h)
            if depth + 1 < len(self.layers):
                h = _corner(h, above=depth % 2 == 0)
                if self.dropout:
                    h = nn.functional.dropout(h, self.dropout, self.training)
        return h + self.past(past)  # type: ignore[no-any-return]

    def _first(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """What the monotone layers are given, and what the way past them: (members, rows, width) each."""
        numbers = z[:, self.get_buffer("held_number")]
        h = self._free(z).expand(self.members, -1, -1)
        for depth, layer in enumerate(self.embed):
            h = layer(h)
            if depth + 1 < len(self.embed):
                h = nn.functional.silu(h)
        flags = z[:, self.get_buffer("held_flag")].expand(self.members, -1, -1)

        def beside(ramps: Ramps | None) -> Tensor:
            steps = [] if ramps is None else [(2 * ramps(numbers) - 1).expand(self.members, -1, -1)]
            return torch.cat([*steps, flags, h], dim=2)

        fine = beside(self.ramps)
        return fine if self.coarse_ramps is None else beside(self.coarse_ramps), fine

    def _free(self, z: Tensor) -> Tensor:
        numbers = z[:, self.get_buffer("free_number")]
        u = ((numbers - self.middle) / self.unit).clamp(-1e6, 1e6)
        parts = [u / torch.sqrt(1 + (u / _FAR) ** 2), z[:, self.get_buffer("free_flag")]]
        if self.free_ramps is not None:
            parts.append(self.free_ramps(numbers))
        return torch.cat(parts, dim=1)

    def _start(self, signs: Tensor) -> None:
        for depth, layer in enumerate(self._held):
            size = torch.randn_like(layer.weight) / math.sqrt(max(1, layer.weight.shape[-1]))
            if depth:
                layer.weight.copy_(size.abs())
            else:
                layer.weight.copy_(torch.where(signs == 0, size, size.abs() * signs))
            layer.bias.uniform_(-1, 1)
        self.past.weight.zero_()
        self.past.bias.zero_()

    @torch.no_grad()
    def centre_(self, z: Tensor, weight: Tensor | None = None) -> None:
        """Start on real rows: every hidden sum of mean in [-1, 1] and variance 1, every output near 0.

        In the manner of Mishkin and Matas 2016 (arXiv 1511.06422); scaling by positive factors keeps every sign.

        Args:
            z: some hundred encoded rows.
            weight: shape (rows,), their weights: rows that come twice count as one row of weight 2.
        """
        w = torch.ones(len(z)).to(z) if weight is None else weight.to(z)
        w = (w / w.sum())[None, :, None]
        h, _ = self._first(z)
        for depth, layer in enumerate(self._held):
            out = h @ layer.weight.transpose(1, 2)
            mean = (w * out).sum(1, keepdim=True)
            std = (w * (out - mean) ** 2).sum(1, keepdim=True).sqrt()
            scale = torch.where(std > 1e-6, 1 / std.clamp(min=1e-6), torch.ones_like(std))
            last = depth + 1 == len(self.layers)
            if last:
                scale = scale * 0.1
            layer.weight.mul_(scale.transpose(1, 2))
            spread = torch.zeros_like(mean) if last else 2 * torch.rand_like(mean) - 1
            layer.bias.copy_(spread - mean * scale)
            h = _corner(layer(h), above=depth % 2 == 0)


class _Members(nn.Module):
    """A linear layer for each member: weight (members, out, in), bias (members, 1, out)."""

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, out_features, in_features) / math.sqrt(max(1, in_features)))
        self.bias = nn.Parameter(torch.zeros(members, 1, out_features))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return torch.baddbmm(self.bias, x, self.weight.transpose(1, 2))
        # In sizes that are no multiple of _WIDE a matrix product adds up in another order at some rows than at others,
        # and two rows that are ordered may come out unordered by the last bit. Zeros more change no sum.
        wide, out = -x.shape[-1] % _WIDE, self.weight.shape[1]
        more = -out % _WIDE
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if wide or more:
            pad = nn.functional.pad
            x, weight, bias = pad(x, (0, wide)), pad(weight, (0, wide, 0, more)), pad(bias, (0, more))
        return torch.baddbmm(bias, x, weight.transpose(1, 2))[..., :out]


def _held_by(layer: _Members, signs: tuple[int, ...]) -> None:
    """Weights of these signs; where all are free, nothing is declared."""
    if constraint := by_direction(signs) if signs else None:
        constrain(layer, "weight", constraint)


def _corner(x: Tensor, *, above: bool) -> Tensor:
    """`nn.Saturating` with corners: they are cheaper than ELU and exact in floats."""
    return x.clamp(max=0) if above else x.clamp(min=0)


def _listed(columns: Sequence[Sequence[float] | None]) -> list[list[float] | None]:
    return [None if knots is None else [float(k) for k in knots] for knots in columns]


def _signs(ramps: Ramps | None, numbers: Sequence[tuple[int, Any]], given: Sequence[int]) -> list[int]:
    """The direction of each component."""
    return [] if ramps is None else [given[numbers[int(k)][0]] for k in ramps.owner]


def _ramps(knots: Sequence[Sequence[float]]) -> Ramps | None:
    return Ramps([torch.tensor(k, dtype=torch.float64) for k in knots]) if knots else None


def _thinned(knots: Sequence[float], stretches: int) -> list[float]:
    at = torch.linspace(0, len(knots) - 1, min(stretches, len(knots) - 1) + 1).round().long()
    return [float(knots[i]) for i in at.tolist()]


def _middle(knots: Sequence[float]) -> tuple[float, float]:
    """Where half of the numbers lie below, and the spread of the middle half in units of a normal spread."""
    q = torch.quantile(
        torch.tensor(list(knots), dtype=torch.float64), torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    )
    spread = float(q[2] - q[0]) / 1.35
    return float(q[1]), max(spread if spread > 0 else float(knots[-1] - knots[0]), 1e-30)
