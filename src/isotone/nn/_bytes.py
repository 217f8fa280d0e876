"""Logits of a file of any length, which nothing that is appended can lower.

    bytes -> complete windows -> encoder (free) -> largest of each channel, 0 at least -> monotone head -> logits

- more windows only raise a maximum, and all that follows rises with it: so no condition is put on the encoder;
- no truncation, no padding, no neighbours: a file has one score, alone or in any batch;
- `monotone=False` gives the unconstrained twin: the same shape, all weights free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ._alone import alone
from ._bytes_encoder import GatedConvolution, GlobalGate
from ._bytes_pool import Features, pooled
from ._bytes_windows import Windows, check_files
from ._bytes_words import Words
from ._counts import check_counts, check_widths
from ._dense import MonotoneLinear, MonotoneMLP, trunk
from ._initialize import initialize_
from ._settling import settle_


class ByteNetwork(nn.Module):
    """A scorer of raw bytes; one raw logit per label, for `BCEWithLogitsLoss`.

    Appending any bytes never lowers a logit. With `stride == window`, the default of 512, neither does inserting any
    multiple of 512 bytes at a multiple of 512, as new sections are at a file alignment of 512. For other insertions and
    for bytes that are overwritten, `isotone.bounds` gives each file its floor.

    Args:
        channels: numbers that are said of a window.
        window, stride: in bytes. A stride of 1 is what certificates against insertion anywhere need; it costs `window`
            times as much.
        hidden: width of each hidden layer of the head.
        labels: logits; each is monotone by itself. Do not put a softmax over them.
        embedding: numbers that stand for a byte.
        words: rows of a table of `Words`, which then say the channels in place of the gated convolution; 0 for none.
            Programs are better told by their words (docs/bytes.md), whatever else by its bytes.
        context: channels of a `GlobalGate`, by which the whole file weighs each window; 0 for none.
        monotone: False for the unconstrained twin: the head is free.
        encoder: in place of the embedding and gated convolution: any module (n, window) uint8 -> (n, channels) that
            looks at each window by itself, with any weights; it is run on each alone (`RowByRow`), so that it does.
            `channels`, `embedding` and `words` are then not used.
        head: in place of the monotone layers: (files, channels) -> (files, labels). It must rise with every channel;
            `isotone.certify(net.head, torch.zeros(2, net.channels), +1, (0, None))` says whether it does.

    Shapes: a list of files -> (files, labels). A file is a uint8 tensor in one row, bytes, or anything with a length
    and slices of bytes (`isotone.files.FileBytes`). `arguments` holds what it was made with, in plain JSON, where
    neither encoder nor head was given: `ByteNetwork(**net.arguments)` makes another.

    Raises:
        BadInput: an encoder that mixes windows, or that `torch.vmap` cannot run.

    Cost: each byte once (twice with a context), and for gradients at most `channels` windows of each file again. Memory
    does not grow with the length of a file, in training neither.

    In evaluation mode every file passes the head by itself, and every block of windows has one shape: no score depends
    on other files, not in the last bit.

    >>> net = isotone.nn.ByteNetwork(channels=8, window=4, hidden=(4,)).eval()
    >>> short, longer = net([b"some bytes", b"some bytes, and whatever is appended"])
    >>> bool(longer >= short), net([b"abc"]).shape
    (True, torch.Size([1, 1]))
    """

    def __init__(
        self,
        channels: int = 128,
        window: int = 512,
        stride: int | None = None,
        hidden: Sequence[int] = (64,),
        labels: int = 1,
        *,
        embedding: int = 8,
        words: int = 0,
        context: int = 0,
        monotone: bool = True,
        encoder: nn.Module | None = None,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_counts("ByteNetwork", channels=channels, labels=labels, embedding=embedding)
        check_counts("ByteNetwork", least=0, words=words, context=context)
        check_widths("ByteNetwork", hidden=hidden)
        self.windows = Windows(window, window if stride is None else stride)
        self.arguments: dict[str, Any] = {
            "channels": channels, "window": window, "stride": self.windows.stride, "hidden": list(hidden),
            "labels": labels, "embedding": embedding, "words": words, "context": context, "monotone": monotone,
        }  # fmt: skip
        if encoder is None:
            encoder = Words(window, channels, words) if words else GatedConvolution(window, channels, embedding)
        some = torch.randint(0, 256, (6, window), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        self.encoder, self.channels = alone(encoder, some, "ByteNetwork", "windows")
        self.gate = None
        if context:
            of_context = GatedConvolution(window, context, embedding)
            self.gate = GlobalGate(of_context, context, self.channels, monotone=monotone)
        self.head = _head(self.channels, hidden, labels, monotone=monotone) if head is None else head
        self.labels = labels

    def forward(self, files: Sequence[Any]) -> Tensor:
        """The logits."""
        found = self.pooled(files)
        if self.training or not len(found):
            return self.head(found)  # type: ignore[no-any-return]
        # One by one: a product of other row counts adds up in another order.
        return torch.cat([self.head(row) for row in torch.split(found, 1)])

    def pooled(self, files: Sequence[Any]) -> Tensor:
        """What the head is given: shape (files, channels), not negative; 0 for files without a complete window."""
        check_files(files, "ByteNetwork")
        rows = [self._pooled(file) for file in files]
        return torch.stack(rows) if rows else self._like().new_zeros(0, self.channels)

    def _pooled(self, file: Any) -> Tensor:
        like, fill = self._like(), not self.training
        if self.gate is None:
            return pooled(file, self.windows, self.encoder, self.channels, like, fill=fill)
        opening = self.opening(file)
        still, moving = self.features(opening.detach()), self.features(opening)
        return pooled(file, self.windows, still, self.channels, like, features=moving, fill=fill)

    def context(self, file: Any) -> Tensor:
        """The largest of each channel of the context, not negative: shape (context,)."""
        assert self.gate is not None
        fill = not self.training
        return pooled(file, self.windows, self.gate.encoder, self.gate.context, self._like(), fill=fill)

    def opening(self, file: Any) -> Tensor:
        """How wide a file opens the gates, shape (channels,)."""
        assert self.gate is not None
        return self.gate.opening(self.context(file))

    def features(self, opening: Tensor | None = None) -> Features:
        """What the pool takes the largest of, as a function of windows; with a `GlobalGate` it needs the opening."""
        if self.gate is None:
            return self.encoder
        gate = self.gate
        assert opening is not None
        return lambda windows: gate.gated(self.encoder(windows).relu(), opening)

    def of_embedded(self, embedded: Tensor) -> Tensor:
        """The logits of one file from its embedded bytes, (length, embedding) -> (labels,); for attacks by gradient.

        All windows at once: memory grows with the file. Only for encoders with an `embedding` and an `of_embedded`.
        """
        if len(embedded) < self.windows.size:
            return self.head(embedded.new_zeros(1, self.channels))[0]  # type: ignore[no-any-return]
        if self.gate is not None:
            came = "a network with a context came, which embeds bytes a second time"
            raise BadInput("of_embedded", came, "one without is right")
        windows = embedded.unfold(0, self.windows.size, self.windows.stride).transpose(1, 2)
        found = self.encoder.of_embedded(windows)  # type: ignore[operator]
        return self.head(found.relu().amax(dim=0)[None])[0]  # type: ignore[no-any-return]

    def _like(self) -> Tensor:
        for parameter in self.head.parameters():
            return parameter
        return torch.zeros(())

    def padded(self) -> nn.Module:
        """The same function of files padded to n windows: windows (rows, n, window), presences (rows, n) in [0, 1].

        Growing files become inputs of a fixed shape, which is what `certify` can speak about: a window is added by
        raising its presence. An absent window (presence 0) leaves the logits as they are without it.

        >>> net = isotone.nn.ByteNetwork(channels=8, window=4, hidden=(4,)).eval()
        >>> windows = torch.tensor([[list(b"some"), list(b"byte"), list(b"more")]])
        >>> torch.allclose(net.padded()(windows, torch.tensor([[1.0, 1.0, 0.0]])), net([b"somebyte"]))
        True
        """
        return _Padded(self)

    @torch.no_grad()
    def centre_(self, files: Sequence[Any], prior: float = 0.5) -> None:
        """Start the head on real files: each layer's sums with mean 0 and variance 1, the logits at the prior.

        Args:
            files: some dozens of training files.
            prior: share of positives among them, above 0 and below 1.

        Raises:
            BadInput: a prior that no finite logit has; a head with other than our layers.
        """
        if not 0 < prior < 1:
            raise BadInput("centre_", f"prior={prior} came", "files of both kinds, so a share between 0 and 1 is right")
        rows = self.pooled(files)
        layers = [m for m in self.head.modules() if isinstance(m, MonotoneLinear)]
        if not layers:
            raise BadInput("centre_", "a head without MonotoneLinear came", "the default head is right")
        if self.arguments["monotone"]:
            initialize_(self.head, rows, spread=1.0)
        else:
            _settle(self.head, rows)
        layers[-1].bias.add_(torch.logit(torch.tensor(prior)))


class _Padded(nn.Module):
    """`ByteNetwork.padded`."""

    def __init__(self, network: ByteNetwork) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, windows: Tensor, presence: Tensor) -> Tensor:
        network = self.network
        rows, n, size = windows.shape
        flat = windows.reshape(rows * n, size)
        found = network.encoder(flat).relu().reshape(rows, n, -1)
        if network.gate is not None:
            context = network.gate.encoder(flat).relu().reshape(rows, n, -1)
            opening = network.gate.opening(torch.amax(context * presence[..., None], dim=1))
            found = network.gate.gated(found, opening[:, None])
        return network.head(torch.amax(found * presence[..., None], dim=1))  # type: ignore[no-any-return]


def _head(channels: int, hidden: Sequence[int], labels: int, *, monotone: bool) -> nn.Module:
    if monotone:
        return MonotoneMLP(channels, hidden, +1, labels)
    first = MonotoneLinear(channels, hidden[0] if hidden else labels, directions=0)
    return nn.Sequential(first, *(trunk((*hidden, labels), monotone=False) if hidden else ()))


def _settle(head: nn.Module, rows: Tensor) -> None:
    x = rows
    assert isinstance(head, nn.Sequential)
    for layer in head:
        if isinstance(layer, MonotoneLinear):
            settle_([layer], x)
        x = layer(x)
