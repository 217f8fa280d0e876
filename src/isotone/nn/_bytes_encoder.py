"""What a window of bytes says: a free embedding and gated convolution, and a gate that the whole file opens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._dense import MonotoneLinear


class GatedConvolution(nn.Module):
    """`a * sigmoid(b)` of an embedded window, a and b linear: one step of MalConv's convolution. All weights are free.

    Byte 0 starts with the embedding 0.

    Args:
        window: bytes of a window.
        channels: numbers that are said of it.
        embedding: numbers that stand for a byte.

    Shapes: (n, window) uint8 -> (n, channels).

    Source: Raff et al. 2017 (arXiv 1710.09435).

    >>> isotone.nn.GatedConvolution(window=16, channels=4)(torch.zeros(3, 16, dtype=torch.uint8)).shape
    torch.Size([3, 4])
    """

    def __init__(self, window: int = 512, channels: int = 128, embedding: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, embedding)
        # Every program has windows of zeros, all of them alike, so each step of training moves them. After two epochs
        # they won 38 % of the maxima on real programs: values that are the same in all files, from which a head learns
        # nothing. Zeros start as nothing, and then won none; the row is learnt as any other.
        with torch.no_grad():
            self.embedding.weight[0] = 0
        self.convolution = nn.Linear(window * embedding, 2 * channels)

    def forward(self, windows: Tensor) -> Tensor:
        """The channels of each window."""
        return self.of_embedded(self.embedding(windows.int()))

    def of_embedded(self, embedded: Tensor) -> Tensor:
        """The same from (n, window, embedding), for those who ask for gradients there."""
        a, b = self.convolution(embedded.flatten(1)).chunk(2, dim=1)
        return a * b.sigmoid()  # type: ignore[no-any-return]


class GlobalGate(nn.Module):
    """A gate for each window that the whole file opens: the more the file holds, the wider, never narrower.

        c    = largest of relu(encoder(window)) over the file          bottom 0
        t    = tanh(W c + b), W >= 0                                   rises with c
        gate = sigmoid(<features, t> + b'), features >= 0              rises with t

    and features * gate rises with the set of windows, since features are not negative.

    Args:
        encoder: of the context, as for `ByteNetwork`.
        context: its channels.
        channels: of the features that are gated.
        monotone: False for weights W of any sign: then an addition can close gates.

    Source: after Raff et al., AAAI 2021 (arXiv 2012.09390), whose gates can close when something is appended.
    """

    def __init__(self, encoder: nn.Module, context: int, channels: int, *, monotone: bool = True) -> None:
        super().__init__()
        self.encoder = encoder
        self.context = context
        self.mixing = MonotoneLinear(context, channels, directions=+1 if monotone else 0)
        with torch.no_grad():
            self.mixing.weight.mul_(0.25)
            self.mixing.bias.zero_()
        self.bias = nn.Parameter(torch.tensor(-3.0))

    def opening(self, context: Tensor) -> Tensor:
        """t, shape (..., channels), from the pooled context (..., context)."""
        return self.mixing(context).tanh()  # type: ignore[no-any-return]

    def gated(self, features: Tensor, opening: Tensor) -> Tensor:
        """`features` (n, channels), not negative, times their gates; `opening` broadcasts."""
        return features * (torch.sum(features * opening, dim=-1, keepdim=True) + self.bias).sigmoid()
