"""Sets of names: a program is the set of its imports, a mail the set of its words.

Each name has a row of weights; a set becomes the sum, or the largest, of the rows of its names. A name that is added
adds its row to the sum, or stands for election to the maximum, and takes nothing away: with rows of one sign both move
one way whatever is added, and whatever the size of the set.

Which to take: a sum lets many weak signs add up, and so a large harmless set too; a maximum asks for the strongest sign
of each kind. On the shipped programs the maximum is far better, on short messages the sum is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..constraints import NonNegative, constrain
from ..constraints._elementwise import by_direction
from ..directions import DECREASING, FREE, Directions, as_directions

# Rows start near 0, so that a name that training says nothing about counts for nothing; the gain keeps learning brisk.
_START, _GAIN = 0.02, 3.0
# Half-way point of the shrinkage, in training rows that have a name.
_FEW_ROWS = 40


class Bag(NamedTuple):
    """Several sets of names, one after the other, as `nn.EmbeddingBag` takes them.

    Args:
        ids: int64, shape (present names in all sets,); each name at most once in a set.
        offsets: int64, shape (sets,); where each set starts.
    """

    ids: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, presence: Tensor) -> Bag:
        """The sets whose names are the nonzero entries of (sets, names).

        >>> isotone.nn.Bag.of(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
        Bag(ids=tensor([1, 0, 1]), offsets=tensor([0, 1]))
        """
        rows, ids = presence.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(presence))
        return cls(ids, counts.cumsum(0) - counts)

    def without(self, share: float) -> Bag:
        """The sets with each name left out with this probability."""
        kept = torch.rand(self.ids.shape, device=self.ids.device) >= share
        before = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
        return Bag(self.ids[kept], before[self.offsets])


class _Rows(nn.Module):
    """A weight row per name, times how far the name is believed."""

    trust: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_buffer("trust", torch.ones(len(weight), 1))

    def believe_(self, counts: Tensor) -> None:
        """Hold back the names that few training rows have.

        What n rows say about a name is uncertain by about 1/n: its row is multiplied by (n / (n + 40))^2, the shrinkage
        of ridge regression, squared because that did better on re-splits of the shipped programs (docs/design.md).

        Args:
            counts: shape (names,), rows of the training set that have each name.
        """
        n = counts.to(self.trust)[:, None]
        self.trust.copy_((n / (n + _FEW_ROWS)) ** 2)

    @property
    def rows(self) -> Tensor:
        """What is summed or compared, shape (names, out_features)."""
        return (_GAIN * self.trust) * self.weight

    def extra_repr(self) -> str:
        """Its sizes."""
        return f"names={self.weight.shape[0]}, out_features={self.weight.shape[1]}"


class NameSum(_Rows):
    """Sum of one weight row per present name.

    Args:
        names: size of the vocabulary.
        out_features: width of a row.
        directions: +1: rows at least 0, -1: at most 0, 0: free; one for all names or one per name.

    Shapes: a `Bag` of sets -> (sets, out_features). `padded`: ids and presences (sets, n) -> the same.
    Cost: proportional to the names present.

    >>> layer = isotone.nn.NameSum(names=5, out_features=2)
    >>> sets = isotone.nn.Bag(ids=torch.tensor([0, 3, 4]), offsets=torch.tensor([0, 2]))
    >>> layer(sets).shape
    torch.Size([2, 2])
    """

    def __init__(self, names: int, out_features: int, directions: Directions = +1) -> None:
        found = as_directions(directions, names)
        sign = torch.tensor(found)[:, None]
        random_sign = torch.where(torch.rand(names, out_features) < 0.5, -1.0, 1.0)
        signed = torch.where(sign == FREE, random_sign, sign.float())
        super().__init__(_START * torch.rand(names, out_features) * signed)
        constraint = by_direction(found, dim=0)
        if constraint is not None:
            constrain(self, "weight", constraint)

    def forward(self, bag: Bag) -> Tensor:
        """The sums."""
        return nn.functional.embedding_bag(bag.ids, self.rows, bag.offsets, mode="sum")

    def padded(self, ids: Tensor, presence: Tensor) -> Tensor:
        """The sums of sets padded to one size; an entry of presence 0 counts for nothing."""
        return (nn.functional.embedding(ids, self.rows) * presence[:, :, None]).sum(dim=1)


class NameMax(_Rows):
    """The largest entry, over the present names, of each column of their weight rows; 0 for an empty set.

    Args:
        names: size of the vocabulary.
        out_features: width of a row.
        directions: +1 or 0 for names that may take part; names of direction -1 are left out (use `NameSum` for them).
        constrained: False leaves the sign of the rows free. The maximum with 0 falls with no name that is added even
            so; with rows of at least 0 each entry that is compared rises by itself, which is what is certified.

    Shapes and cost: as `NameSum`.

    >>> layer = isotone.nn.NameMax(names=5, out_features=2)
    >>> small = isotone.nn.Bag(ids=torch.tensor([0]), offsets=torch.tensor([0]))
    >>> large = isotone.nn.Bag(ids=torch.tensor([0, 3, 4]), offsets=torch.tensor([0]))
    >>> bool((layer(large) >= layer(small)).all())
    True
    """

    takes_part: Tensor

    def __init__(self, names: int, out_features: int, directions: Directions = +1, *, constrained: bool = True) -> None:
        super().__init__(_START * torch.rand(names, out_features))
        found = torch.tensor(as_directions(directions, names))
        self.register_buffer("takes_part", (found != DECREASING).float()[:, None])
        if constrained:
            constrain(self, "weight", NonNegative())

    @property
    def rows(self) -> Tensor:
        """What is compared, shape (names, out_features); of left-out names 0."""
        return (_GAIN * self.trust * self.takes_part) * self.weight

    def forward(self, bag: Bag) -> Tensor:
        """The maxima."""
        return nn.functional.embedding_bag(bag.ids, self.rows, bag.offsets, mode="max").relu()

    def padded(self, ids: Tensor, presence: Tensor) -> Tensor:
        """The maxima of sets padded to one size; an entry of presence 0 counts for nothing."""
        return (nn.functional.embedding(ids, self.rows) * presence[:, :, None]).amax(dim=1).relu()
