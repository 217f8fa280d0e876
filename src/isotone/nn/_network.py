"""One logit from a set of names and a row of numbers: the network that detectors are made of.

    names   -> largest or sum of their rows --+
                                              +--> monotone layers --> logit
    numbers -> ramps -> monotone linear ------+

- what is added to the names, or raised in an increasing number, never lowers the logit;
- a free feature enters the first layer with weights of any sign; all that follows rises with that layer;
- `monotone=False` gives the unconstrained twin: the same shape, all weights free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..directions import FREE, INCREASING, Directions, as_directions
from ..errors import BadInput
from ._counts import check_counts, check_widths
from ._dense import MonotoneLinear, trunk
from ._names import Bag, NameMax, NameSum
from ._ramps import Ramps

Pool = Literal["max", "sum"]

# Additions that go through the trunk at once.
_PART = 2**16


class MonotoneNetwork(nn.Module):
    """A monotone scorer of sets of names and rows of numbers; one raw logit, for `BCEWithLogitsLoss`.

    Args:
        names: size of the vocabulary; 0 for none.
        knots: for each number its knots (`quantile_knots`); () for none.
        hidden: width of each hidden layer; () for a linear scorer.
        directions: one for all features, or one per feature: names first, then numbers.
        pool: how the rows of a set's names become one: "max" or "sum". Names of direction -1 or 0 are (also) summed.
        dropout: share of hidden units silenced in training.
        name_dropout: share of present names left out in training.
        monotone: False for the unconstrained twin.

    Shapes: names as a `Bag` of sets, numbers (rows, numbers) -> logits (rows,). `arguments` holds what it was made
    with, in plain JSON: `MonotoneNetwork(**net.arguments)` makes another.

    >>> net = isotone.nn.MonotoneNetwork(names=5, hidden=(8,))
    >>> one, two = torch.eye(5)[0], torch.eye(5)[0] + torch.eye(5)[3]  # a set, and the same with a name added
    >>> logits = net(isotone.nn.Bag.of(torch.stack([one, two])))
    >>> bool(logits[1] >= logits[0])
    True
    """

    def __init__(
        self,
        names: int = 0,
        knots: Sequence[Tensor] = (),
        hidden: Sequence[int] = (64, 32),
        directions: Directions = +1,
        *,
        pool: Pool = "max",
        dropout: float = 0.0,
        name_dropout: float = 0.0,
        monotone: bool = True,
    ) -> None:
        super().__init__()
        check_counts("MonotoneNetwork", least=0, names=names)
        check_widths("MonotoneNetwork", hidden=hidden)
        if not names and not len(knots):
            raise ValueError("MonotoneNetwork: it needs names, or numbers with their knots.")
        self.names = names
        self.arguments: dict[str, Any] = {
            "names": names,
            "knots": [torch.as_tensor(k).tolist() for k in knots],
            "hidden": list(hidden),
            "directions": list(as_directions(directions, names + len(knots))),
            "pool": pool,
            "dropout": dropout,
            "name_dropout": name_dropout,
            "monotone": monotone,
        }
        found = as_directions(directions, names + len(knots)) if monotone else (FREE,) * (names + len(knots))
        width = hidden[0] if hidden else 1
        self.name_dropout = name_dropout
        self.name_max = self.name_sum = self.ramps = self.from_numbers = None
        if names:
            of_names = found[:names]
            if pool == "max":
                self.name_max = NameMax(names, width, of_names, constrained=monotone)
            if pool == "sum" or (monotone and set(of_names) != {INCREASING}):
                self.name_sum = NameSum(names, width, of_names)
        if len(knots):
            self.ramps = Ramps(knots)
            of_components = [found[names + int(i)] for i in self.ramps.owner]
            self.from_numbers = MonotoneLinear(self.ramps.out_features, width, of_components, bias=False)
        self.bias = nn.Parameter(torch.zeros(width))
        self.trunk = nn.Sequential(*trunk((*hidden, 1), monotone=monotone, dropout=dropout) if hidden else ())

    def forward(self, names: Bag | None = None, numbers: Tensor | None = None) -> Tensor:
        """The logits."""
        if names is not None and self.training and self.name_dropout:
            names = names.without(self.name_dropout)
        pools = () if names is None else [pool(names) for pool in (self.name_max, self.name_sum) if pool is not None]
        return self._score(self._first(pools, numbers))

    def _first(self, pools: Sequence[Tensor], numbers: Tensor | None) -> Tensor:
        # Without this a forgotten input would be scored as if nothing were there.
        columns, expected = 0 if numbers is None else numbers.shape[-1], len(self.arguments["knots"])
        if (self.names and not pools) or columns != expected:
            raise BadInput(
                "MonotoneNetwork",
                f"{'names' if pools else 'no names'} and {columns} numbers per row came",
                f"it was made for {self.names} names and {expected} numbers",
            )
        total: Tensor = self.bias
        for pooled in pools:
            total = total + pooled
        if self.from_numbers is not None and self.ramps is not None and numbers is not None:
            total = total + self.from_numbers(self.ramps(numbers))
        return total  # (rows, width)

    def _score(self, first: Tensor) -> Tensor:
        return self.trunk(first).squeeze(-1)  # type: ignore[no-any-return]

    def padded(self) -> nn.Module:
        """The same function of sets padded to one size: ids (rows, n), presences (rows, n) in [0, 1], numbers.

        Growing sets become inputs of a fixed shape, which is what `certify` can speak about: a name is added by raising
        its presence. An absent entry (presence 0) leaves the logit as it is without the entry.

        >>> net = isotone.nn.MonotoneNetwork(names=5, hidden=(8,))
        >>> ids, presence = torch.tensor([[2, 4, 0]]), torch.tensor([[1.0, 1.0, 0.0]])
        >>> torch.allclose(net.padded()(ids, presence), net(isotone.nn.Bag(torch.tensor([2, 4]), torch.tensor([0]))))
        True
        """
        return _Padded(self)

    def over_vocabulary(self) -> nn.Module:
        """The same function of presences in [0, 1], one per known name: (rows, names), and numbers.

        Every set of known names, whatever its size, is a row of presences, and adding a name raises one of them: what
        is proved of this form holds for sets of every size.

        >>> net = isotone.nn.MonotoneNetwork(names=5, hidden=(8,))
        >>> presence = torch.tensor([[0.0, 0.0, 1.0, 0.0, 1.0]])
        >>> torch.allclose(net.over_vocabulary()(presence), net(isotone.nn.Bag.of(presence)))
        True
        """
        return _OverVocabulary(self)

    @torch.no_grad()
    def with_each(self, names: Bag, numbers: Tensor | None = None) -> Tensor:
        """The logits with one more name, for every name of the vocabulary: shape (rows, names). Exact, in eval mode.

        Cost: a comparison per row, name and unit, and a pass through the trunk for each addition that changes a unit.
        """
        pools = [pool(names) for pool in (self.name_max, self.name_sum) if pool is not None]
        first = self._first(pools, numbers)
        found = self._score(first)[:, None].repeat(1, self.names)
        raised, added = self._effects(names, pools)
        row, name = (raised | added).nonzero(as_tuple=True)
        in_max, in_sum = (None if pool is None else pool.rows for pool in (self.name_max, self.name_sum))
        for start in range(0, len(row), _PART):
            at, new = row[start : start + _PART], name[start : start + _PART]
            trial = first[at]
            if in_max is not None:
                trial = trial + (in_max[new] - pools[0][at]).relu()
            if in_sum is not None:
                # Every pair here is an addition: a name that is there already raises no maximum and adds to no sum.
                trial = trial + in_sum[new]
            found[at, new] = self._score(trial)
        return found

    def _effects(self, names: Bag, pools: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Which additions raise a maximum, and which add to a sum (those not there yet); both (rows, names) bool."""
        rows, device = len(names.offsets), self.bias.device
        raised = torch.zeros(rows, self.names, dtype=torch.bool, device=device)
        added = torch.zeros_like(raised)
        if self.name_max is not None:
            # One unit at a time: (rows, names) at once, not (rows, names, units).
            for weights, pooled in zip(self.name_max.rows.T.contiguous(), pools[0].T, strict=True):
                raised |= weights[None, :] > pooled[:, None]
        if self.name_sum is not None:
            owner = torch.bucketize(torch.arange(len(names.ids), device=device), names.offsets, right=True) - 1
            added |= True
            added[owner, names.ids] = False
        return raised, added

    def believe_(self, counts: Tensor) -> None:
        """Hold back rare names; see `NameMax.believe_`."""
        for pool in (self.name_max, self.name_sum):
            if pool is not None:
                pool.believe_(counts)

    @torch.no_grad()
    def centre_(self, names: Bag | None, numbers: Tensor | None, prior: float = 0.5) -> None:
        """Start on real rows: each layer's outputs around 0 and of unit size at most, the logits at the prior.

        Weights of one sign push every sum the same way, the more the more inputs there are: without this the first
        logits are all far on one side ("everything above 50 %"). The means are taken out by the biases, which are free;
        scaling by a positive factor keeps every sign. In the manner of Mishkin and Matas 2016 (arXiv 1511.06422).

        Args:
            names, numbers: some hundred training rows, as for `forward`.
            prior: share of positives among the rows, above 0 and below 1.

        Raises:
            BadInput: a prior that no finite logit has.
        """
        if not 0 < prior < 1:
            raise BadInput(
                "centre_", f"prior={prior} came", "rows of both kinds are needed, so a share between 0 and 1"
            )
        was_training = self.training
        self.eval()
        pools = () if names is None else [pool(names) for pool in (self.name_max, self.name_sum) if pool is not None]
        self.bias.zero_()
        x = self._first(pools, numbers)
        self.bias.copy_(-x.mean(dim=0))
        if len(self.trunk):
            self.bias.add_(torch.empty_like(self.bias).uniform_(-1, 1))  # units that bend at different places
        x = x + self.bias
        for layer in self.trunk:
            if isinstance(layer, MonotoneLinear):
                layer.bias.zero_()
                layer.weight.div_(layer(x).std(dim=0, correction=0).clamp(min=1.0)[:, None])
                layer.bias.copy_(-layer(x).mean(dim=0))
                if layer.out_features > 1:
                    layer.bias.add_(torch.empty_like(layer.bias).uniform_(-1, 1))
            x = layer(x)
        last = self.trunk[-1].get_parameter("bias") if len(self.trunk) else self.bias
        last.add_(torch.logit(torch.tensor(prior)))
        self.train(was_training)


class _Padded(nn.Module):
    """`MonotoneNetwork.padded`."""

    def __init__(self, network: MonotoneNetwork) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, ids: Tensor, presence: Tensor, numbers: Tensor | None = None) -> Tensor:
        network = self.network
        pools = [pool.padded(ids, presence) for pool in (network.name_max, network.name_sum) if pool is not None]
        return network._score(network._first(pools, numbers))


class _OverVocabulary(nn.Module):
    """`MonotoneNetwork.over_vocabulary`."""

    ids: Tensor

    def __init__(self, network: MonotoneNetwork) -> None:
        super().__init__()
        self.padded = _Padded(network)
        self.register_buffer("ids", torch.arange(network.names, device=network.bias.device)[None, :])
        self.train(network.training)

    def forward(self, presence: Tensor, numbers: Tensor | None = None) -> Tensor:
        return self.padded(self.ids, presence, numbers)  # type: ignore[no-any-return]
