"""How low the score of a file can be made by inserting, appending and overwriting bytes: a floor for each file.

- any content, any length of what is inserted; the floor is what the windows show that no edit can reach;
- what the attacker puts there only adds windows, and a byte network never falls with more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..files._layout import joined
from ..nn import ByteNetwork
from ..nn._bytes_pool import Features
from ..nn._bytes_windows import check_files
from ..verdict import Verdict
from ._bytes_proof import judged
from ._bytes_scan import Region, Scan


@dataclass(frozen=True)
class Edits:
    """What may be done to a file. Appending anything is always part of it.

    Args:
        insertions: at how many places something may be inserted, each time anything of any length; None for any number.
        anywhere: True for insertion before any byte. False for places and lengths that are multiples of the stride, as
            sections have that are placed at the alignment of a format.
        overwrites: byte ranges (start, stop) of the file as it is, that may be overwritten, each with as many bytes;
            see `isotone.files.layout(file).regions("header", "slack")`.

    Raises:
        BadInput: a number below 0; ranges that end before they start.

    >>> str(Edits(insertions=1, anywhere=True, overwrites=((0, 64),)))
    'anything appended, anything inserted at 1 place before any byte, 64 bytes overwritten in 1 region'
    """

    insertions: int | None = 0
    anywhere: bool = False
    overwrites: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        count = self.insertions
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise BadInput("Edits", f"insertions={count!r} came", "a whole number from 0 on is right, or None for any")
        for start, stop in self.overwrites:
            if not 0 <= start <= stop:
                raise BadInput("Edits", f"the range ({start}, {stop}) came", "0 <= start <= stop is right")

    def __str__(self) -> str:
        said = ["anything appended"]
        if self.insertions != 0:
            many = "any number of places" if self.insertions is None else _places(self.insertions)
            where = "before any byte" if self.anywhere else "at multiples of the stride, in multiples of it"
            said.append(f"anything inserted at {many} {where}")
        regions = joined(self.overwrites)
        if regions:
            size = sum(stop - start for start, stop in regions)
            said.append(f"{size:,} bytes overwritten in {len(regions)} region{'s' if len(regions) > 1 else ''}")
        return ", ".join(said)


@dataclass(frozen=True, eq=False)
class ByteFloor:
    """What no such edit of one file can bring a logit below.

    Args:
        floor: shape (labels,).
        score: of the file as it is, shape (labels,).
        edits: what may be done.
        joint: True where the floor is that of the worst single place; False where each channel is given the cuts that
            are worst for it, which no one attack can do.
    """

    floor: Tensor
    score: Tensor
    edits: Edits
    joint: bool

    def holds(self, threshold: float, label: int = 0) -> bool:
        """Whether the file stays above a threshold, whatever is done of this."""
        return bool(self.floor[label] > threshold)

    def __str__(self) -> str:
        pairs = zip(self.score.tolist(), self.floor.tolist(), strict=True)
        return f"after {self.edits}: " + ", ".join(f"{floor:.4g} or more (now {score:.4g})" for score, floor in pairs)


@torch.no_grad()
def byte_floor(network: ByteNetwork, file: Any, edits: Edits | None = None) -> ByteFloor:
    """The floor of one file.

    With stride == window, insertions at multiples of the stride break no window, and the floor is the score. With a
    stride of 1, one insertion before any byte has the exact joint floor over all places, several have one for each
    channel. With a longer stride, an insertion of odd length moves every window behind it off the grid: nothing of a
    file is then certain.

    Args:
        network: in evaluation mode.
        file: as for `ByteNetwork`.
        edits: what may be done; only appending by default.

    Returns:
        The floor, -inf for a network that `byte_certificate` does not prove. For floats as they are computed: a window
        has the same numbers wherever it stands in a file, and the head never falls by more than the rounding of its
        activation (1e-6 at most, seen once in 2e8 neighbours).

    Raises:
        BadInput: a network in training mode, no file.

    Cost: each window once, for one insertion twice (with a context as often again), and of the first file the network's
    proof; memory channels * insertions * window / stride numbers and channels^2 * window / stride, whatever the length
    of the file.

    Source: the prefix and suffix maxima of one cut and the stabbing of intervals by several, as derived in
    docs/bytes.md.

    >>> net = isotone.nn.ByteNetwork(channels=8, window=4, stride=1, hidden=(4,)).eval()
    >>> found = byte_floor(net, b"some bytes of a file", Edits(insertions=1, anywhere=True))
    >>> bool(net([b"some byINSERTEDtes of a file"])[0] >= found.floor) and bool(found.floor <= found.score)
    True
    """
    edits = edits or Edits()
    if network.training:
        raise BadInput("byte_floor", "a network in training mode came", "network.eval() is right")
    check_files([file], "byte_floor")
    score = network([file])[0]
    if judged(network).verdict is not Verdict.PROVED:
        return ByteFloor(torch.full_like(score, -torch.inf), score, edits, joint=True)
    cuts: float = float("inf") if edits.insertions is None else edits.insertions
    reach = network.windows.reach
    if edits.anywhere and network.windows.stride > 1 and cuts:
        return ByteFloor(_head(network, _zeros(network))[0], score, edits, joint=True)
    # A window that spans one step lies between two neighbouring places: no cut can fall inside of it.
    cuts = 0 if reach == 1 else cuts
    if cuts == float("inf"):
        return ByteFloor(_head(network, _zeros(network))[0], score, edits, joint=True)
    regions = tuple((start, min(stop, len(file))) for start, stop in joined(edits.overwrites) if start < len(file))
    if not cuts and not regions:
        return ByteFloor(score, score, edits, joint=True)
    scan = _scans(network, file, regions)
    features: Features = network.encoder
    if network.gate is not None:
        context = _each(scan(network.gate.encoder, network.gate.context), int(cuts))
        # Below the context after any of the edits, so every gate below is below the one it will have.
        features = network.features(network.gate.opening(context.relu()))
    rows = _rows(scan(features, network.channels), int(cuts))
    floor = torch.stack([_head(network, row.relu())[0] for row in rows]).amin(dim=0)
    return ByteFloor(torch.minimum(floor, score), score, edits, joint=cuts < 2)


def _scans(network: ByteNetwork, file: Any, regions: tuple[Region, ...]) -> Callable[[Features, int], Scan]:
    like = _zeros(network)
    return lambda features, channels: Scan(file, network.windows, features, channels, like, regions)


def _zeros(network: ByteNetwork) -> Tensor:
    return network.pooled([b""])[0]


def _head(network: ByteNetwork, pooled: Tensor) -> Tensor:
    """One row at a time, as files are scored: what is compared is rounded in one way."""
    return network.head(pooled[None])  # type: ignore[no-any-return]


def _each(scan: Scan, cuts: int) -> Tensor:
    """What surely remains of each channel by itself."""
    if not cuts:
        return scan.largest()[0]
    if cuts > 1:
        return scan.after_cuts(cuts)
    best, _, left = scan.after_one_cut()
    return torch.minimum(best, left.amin(dim=1)) if left.shape[1] else best


def _rows(scan: Scan, cuts: int) -> Tensor:
    """Pooled vectors, one of which is below what remains after any of the edits: shape (n, channels)."""
    if cuts != 1:
        return _each(scan, cuts)[None]
    best, where, left = scan.after_one_cut()
    cuts_of = where[:, None] + torch.arange(1, scan.windows.reach, device=where.device)
    places, row = torch.unique(cuts_of, return_inverse=True)
    rows = best[None].repeat(len(places), 1)
    channel = torch.arange(scan.channels, device=where.device)[:, None].expand_as(row)
    rows[row, channel] = left
    # Rows that differ below 0 only are the same to the head.
    distinct: Tensor = torch.unique(torch.cat([best[None], rows]).relu(), dim=0)
    return distinct


def _places(count: int) -> str:
    return f"{count} place{'s' if count > 1 else ''}"
