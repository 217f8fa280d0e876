"""What a window of bytes says: free embedding and gated convolution, and which encoders may stand in their place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ._dense import MonotoneLinear

# fmt: off
REFUSED = {
    # part                               why
    nn.modules.batchnorm._BatchNorm:     "it mixes the windows of a batch, so a score would depend on other files",
    nn.modules.dropout._DropoutNd:       "it draws anew, so the window that wins would not be the window that learns",
    nn.RReLU:                            "it draws anew, so the window that wins would not be the window that learns",
}
# fmt: on


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


def channels_of(encoder: nn.Module, window: int, where: str = "ByteNetwork") -> int:
    """How many numbers an encoder says of a window; refuses one that does not look at each window by itself.

    Raises:
        BadInput: batch norms and dropout, by name; whatever gives a window other numbers beside other windows, or at
            another time; outputs that are not (windows, channels).
    """
    for name, module in encoder.named_modules():
        for kind, reason in REFUSED.items():
            if isinstance(module, kind):
                said = f"{name!r} is a {type(module).__name__}" if name else f"a {type(module).__name__} came"
                right = "a layer norm, or none, is right: anything that looks at one window alone"
                raise BadInput(f"{where}, encoder", f"{said}, and {reason}", right)
    generator = torch.Generator().manual_seed(0)
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    some = torch.randint(0, 256, (6, window), generator=generator, dtype=torch.uint8).to(device)
    with torch.no_grad():
        together, apart = encoder(some), [encoder(some[:2]), encoder(some[2:])]
    if together.ndim != 2 or len(together) != len(some) or not together.is_floating_point():
        came = f"it made {tuple(together.shape)} of {together.dtype} from 6 windows"
        raise BadInput(f"{where}, encoder", came, "(6, channels) of floats would be right")
    size = float(together.abs().max()) + 1e-30
    if not bool(((together - torch.cat(apart)).abs() <= 1e-3 * size).all()):
        came = "a window got other numbers when other windows stood beside it, or at another time"
        raise BadInput(f"{where}, encoder", came, "an encoder that looks at one window alone is right")
    return int(together.shape[1])
