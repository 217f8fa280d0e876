"""The score of a file while it arrives, byte by byte; it never falls."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ._bytes import ByteNetwork
from ._bytes_pool import block_values
from ._bytes_windows import stretch


class ByteStream:
    """A file that is still arriving: feed it in pieces of any size, ask for its score at any byte.

    The score after n bytes is that of the file of those n bytes, to the bit, and no later score is below an earlier
    one: an alarm stays.

    Args:
        network: in evaluation mode, without a `GlobalGate` (which looks at early windows again as the file grows).

    Raises:
        BadInput: a network in training mode or with a context.

    Cost: each window once, and once more the last up to 64 KB for each question. Memory: one number per channel, and
    those last bytes.

    >>> net = isotone.nn.ByteNetwork(channels=8, window=4, hidden=(4,)).eval()
    >>> stream = isotone.nn.ByteStream(net)
    >>> stream.feed(b"some by")
    >>> early = stream.score()
    >>> stream.feed(b"tes")
    >>> bool((stream.score() >= early).all()), bool((stream.score() == net([b"some bytes"])[0]).all()), stream.length
    (True, True, 10)
    """

    def __init__(self, network: ByteNetwork) -> None:
        if network.training:
            raise BadInput("ByteStream", "a network in training mode came", "network.eval() is right")
        if network.gate is not None:
            came = "a network with a context came, whose gates open for early windows when later ones arrive"
            raise BadInput("ByteStream", came, "a network without one is right", "Score the whole file instead.")
        self.network = network
        self.length = 0
        like = network._like()
        self._best = torch.full((network.channels,), -torch.inf, dtype=like.dtype, device=like.device)
        self._rest = bytearray()  # from the first byte of the block that is not yet full

    @property
    def windows(self) -> int:
        """Complete windows so far."""
        return self.network.windows.count(self.length)

    def feed(self, some: Any) -> None:
        """The next bytes: `bytes`, or a uint8 tensor; any number of them."""
        windows = self.network.windows
        step = windows.in_block * windows.stride
        block = step - windows.stride + windows.size
        for start in range(0, len(some), step):
            piece = stretch(some, start, min(len(some), start + step))
            self._rest += piece.cpu().numpy().tobytes()
            self.length += len(piece)
            while len(self._rest) >= block:
                self._best = self._with_rest(block)
                del self._rest[:step]

    @torch.no_grad()
    def score(self) -> Tensor:
        """The logits of what has arrived, shape (labels,)."""
        best = self._with_rest(len(self._rest))
        if not self.windows:
            best = torch.zeros_like(best)
        return self.network.head(best.relu()[None])[0]  # type: ignore[no-any-return]

    def _with_rest(self, length: int) -> Tensor:
        windows = self.network.windows
        n = windows.count(length)
        if not n:
            return self._best
        some = memoryview(self._rest)[:length]
        values = block_values(some, windows, (0, n), self.network.encoder, self._best.device)
        return torch.maximum(self._best, values.amax(dim=0))
