"""What words a window of bytes holds, wherever they stand in it: names of functions, libraries, paths, messages."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHORTEST = 4  # letters; shorter runs of letters are in all code by chance
LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
FACTOR = 0x9E3779B97F4A7C15  # odd, so no byte of a word is lost from its hash


class Words(nn.Module):
    """The largest of each channel over the words of a window, 0 at least; a word is a row of a table, by its hash.

    A layer over the bytes of a window has to learn a word anew for each place it may stand at. Here it is learnt once.
    Words are runs of 4 or more letters, digits and underscores. Words with one hash share a row. All weights are free.

    Args:
        window: bytes of a window.
        channels: numbers that are said of it.
        rows: of the table.

    Shapes: (n, window) uint8 -> (n, channels).

    Source: strings as features of malware are as old as its study (Schultz et al., IEEE S&P 2001); hashed as by
    Weinberger et al., ICML 2009.

    >>> words = isotone.nn.Words(window=16, channels=3)
    >>> a, b = (torch.tensor([list(text)], dtype=torch.uint8) for text in (b"connect         ", b"not: connect (!)"))
    >>> torch.equal(words(a), words(b))
    True
    """

    def __init__(self, window: int = 512, channels: int = 128, rows: int = 2**14) -> None:
        super().__init__()
        self.channels = channels
        self.table = nn.Embedding(rows, channels)
        nn.init.normal_(self.table.weight, std=0.1)
        letters = torch.zeros(256, dtype=torch.bool)
        letters[list(LETTERS)] = True
        powers = [pow(FACTOR, at + 1, 2**64) for at in range(window)]
        signed = torch.tensor([power - 2**64 if power >= 2**63 else power for power in powers])
        # They are given by the arguments, so no file of weights holds them.
        self.register_buffer("letters", letters, persistent=False)
        self.register_buffer("powers", signed, persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """The channels of each window."""
        rows, window = self.rows_of(windows)
        found = self.table(rows)
        nothing: Tensor = found.new_zeros(len(windows), self.channels)
        return nothing.scatter_reduce(0, window[:, None].expand_as(found), found, "amax")

    @torch.no_grad()
    def rows_of(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Of each word its row in the table, and the number of its window."""
        x = windows.long()
        inside = self.letters[x]  # type: ignore[index]
        begins = inside.clone()
        begins[:, 1:] &= ~inside[:, :-1]
        place = torch.arange(x.shape[1], device=x.device).expand_as(x)
        first = torch.where(begins, place, 0).cummax(dim=1).values
        word = begins.flatten().cumsum(0).view_as(x)[inside] - 1
        window = begins.nonzero()[:, 0]
        hashed = torch.zeros(len(window), dtype=torch.int64, device=x.device)
        hashed.index_add_(0, word, (x[inside] + 1) * self.powers[(place - first)[inside]])  # type: ignore[index]
        long = torch.bincount(word, minlength=len(window)) >= SHORTEST
        mixed = (hashed ^ (hashed >> 32)) * 0x2545F4914F6CDD1D
        return ((mixed >> 24) & (2**39 - 1))[long] % self.table.num_embeddings, window[long]
