"""The mean of several networks: as monotone as its members, and steadier than any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ._names import Bag
from ._network import MonotoneNetwork


class MonotoneEnsemble(nn.Module):
    """Mean logit of networks with the same inputs. A mean has non-negative weights, so it keeps every direction.

    Args:
        members: networks of the same vocabulary and numbers; each is trained by itself.

    Shapes: as `MonotoneNetwork`. Cost: the sum of its members'.

    >>> net = isotone.nn.MonotoneEnsemble([isotone.nn.MonotoneNetwork(names=5) for _ in range(3)])
    >>> net(isotone.nn.Bag.of(torch.eye(5))).shape
    torch.Size([5])
    """

    def __init__(self, members: Sequence[MonotoneNetwork]) -> None:
        super().__init__()
        if not members:
            raise ValueError("MonotoneEnsemble: at least one member is needed.")
        if len(shapes := {(member.names, len(member.arguments["knots"])) for member in members}) > 1:
            (names, numbers), (others, other) = sorted(shapes)[:2]
            raise BadInput(
                "MonotoneEnsemble",
                f"members for {names} names and {numbers} numbers, and for {others} and {other}, came",
                "the inputs of all must be the same",
            )
        self.members = nn.ModuleList(members)

    @classmethod
    def made(cls, arguments: Sequence[dict[str, Any]]) -> MonotoneEnsemble:
        """An ensemble of the shape that `arguments` of another tells; its weights are random."""
        return cls([MonotoneNetwork(**one) for one in arguments])

    @property
    def networks(self) -> list[MonotoneNetwork]:
        """The members."""
        return list(self.members)  # type: ignore[arg-type]

    @property
    def arguments(self) -> list[dict[str, Any]]:
        """What each member was made with, in plain JSON."""
        return [member.arguments for member in self.networks]

    @property
    def names(self) -> int:
        """Size of the vocabulary."""
        return self.networks[0].names

    def forward(self, names: Bag | None = None, numbers: Tensor | None = None) -> Tensor:
        """The logits, shape (rows,)."""
        return torch.stack([member(names, numbers) for member in self.members]).mean(dim=0)

    def with_each(self, names: Bag, numbers: Tensor | None = None) -> Tensor:
        """As `MonotoneNetwork.with_each`."""
        return torch.stack([member.with_each(names, numbers) for member in self.networks]).mean(dim=0)

    def over_vocabulary(self) -> nn.Module:
        """As `MonotoneNetwork.over_vocabulary`."""
        return _Mean([member.over_vocabulary() for member in self.networks], training=self.training)

    def padded(self) -> nn.Module:
        """As `MonotoneNetwork.padded`."""
        return _Mean([member.padded() for member in self.networks], training=self.training)


class _Mean(nn.Module):
    def __init__(self, models: Sequence[nn.Module], *, training: bool) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.train(training)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.stack([model(*inputs) for model in self.models]).mean(dim=0)
