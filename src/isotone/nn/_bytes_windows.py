"""A file as windows of bytes, on one grid that starts at its first byte.

- a window is complete or it is none: nothing is padded, nothing is cut off;
- files are read in stretches, so anything with a length and slices of bytes will do, also one that lies on a disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput

# Bytes of windows that an encoder is given at once: some megabytes of numbers, and as fast as larger blocks.
BLOCK_BYTES = 2**16


@dataclass(frozen=True)
class Windows:
    """Windows of `size` bytes at the multiples of `stride`: window t holds the bytes [t stride, t stride + size).

    Args:
        size, stride: in bytes, 1 or more.

    Raises:
        BadInput: sizes that are no whole numbers from 1 on.

    >>> grid = Windows(size=4, stride=2)
    >>> grid.count(3), grid.count(4), grid.count(7)
    (0, 1, 2)
    >>> grid.block(b"abcdefg", 0, 2)
    tensor([[ 97,  98,  99, 100],
            [ 99, 100, 101, 102]], dtype=torch.uint8)
    """

    size: int
    stride: int

    def __post_init__(self) -> None:
        for name, value in (("window", self.size), ("stride", self.stride)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise BadInput("ByteNetwork", f"{name}={value!r} came", "a whole number of bytes from 1 on is right")

    @property
    def in_block(self) -> int:
        """Windows of one block. Multiples of 16, so that a product adds up in one order at every row of a block."""
        return max(16, BLOCK_BYTES // self.size // 16 * 16)

    @property
    def reach(self) -> int:
        """Steps of the grid that a window spans: what is cut at step i breaks the windows i - reach + 1 to i - 1."""
        return -(-self.size // self.stride)

    def count(self, length: int) -> int:
        """Complete windows of a file of `length` bytes."""
        return (length - self.size) // self.stride + 1 if length >= self.size else 0

    def span(self, window: int) -> tuple[int, int]:
        """First byte of a window, and the byte behind its last."""
        return window * self.stride, window * self.stride + self.size

    def block(self, file: Any, first: int, stop: int) -> Tensor:
        """Windows first, ..., stop - 1: shape (stop - first, size), uint8."""
        some = stretch(file, first * self.stride, (stop - 1) * self.stride + self.size)
        return some.unfold(0, self.size, self.stride)

    def blocks(self, file: Any) -> Iterator[tuple[int, int]]:
        """(first, stop) of the blocks of a file, in order; all full but the last."""
        n = self.count(len(file))
        for first in range(0, n, self.in_block):
            yield first, min(n, first + self.in_block)

    def at(self, file: Any, which: Tensor) -> Tensor:
        """The windows of these numbers: shape (len(which), size), uint8."""
        return torch.stack([stretch(file, *self.span(t)) for t in which.tolist()])

    def touching(self, start: int, stop: int, length: int) -> range:
        """Numbers of the windows that hold a byte of [start, stop)."""
        if start >= stop:
            return range(0)
        first = max(0, (start - self.size) // self.stride + 1)
        return range(first, max(first, min(self.count(length), -(-stop // self.stride))))


def filled(windows: Tensor, size: int) -> Tensor:
    """With the last window repeated up to `size` windows: an encoder always sees one shape, so it rounds one way."""
    missing = size - len(windows)
    return torch.cat([windows, windows[-1:].expand(missing, -1)]) if missing > 0 else windows


def stretch(file: Any, start: int, stop: int) -> Tensor:
    """Bytes [start, stop) of a file as uint8; of tensors without a copy.

    Raises:
        BadInput: the file gives something else, or fewer bytes than its length said.
    """
    some = file[start:stop]
    if not isinstance(some, Tensor):
        some = torch.frombuffer(bytearray(some), dtype=torch.uint8) if len(some) else torch.empty(0, dtype=torch.uint8)
    if some.dtype != torch.uint8 or some.ndim != 1 or len(some) != stop - start:
        raise BadInput(
            "bytes of a file",
            f"{tuple(some.shape)} of {some.dtype} came for [{start}, {stop})",
            "as many uint8 numbers in one row would be right",
        )
    return some


def check_files(files: Any, where: str) -> None:
    """Refuse what is no list of files, before anything is computed."""
    if isinstance(files, bytes | bytearray | memoryview | str) or (isinstance(files, Tensor) and files.ndim != 2):
        raise BadInput(where, f"one {type(files).__name__} came", "a list of files is right, such as [file]")
    for file in files:
        if isinstance(file, Tensor) and (file.dtype != torch.uint8 or file.ndim != 1):
            came = f"a file of {file.dtype} and shape {tuple(file.shape)} came"
            then = "torch.frombuffer(bytearray(data), dtype=torch.uint8) makes one."
            raise BadInput(where, came, "uint8 in one row is right", then)
        if isinstance(file, list | tuple) and not all(isinstance(byte, int) and 0 <= byte < 256 for byte in file):
            came = f"a {type(file).__name__} that holds something else than bytes came as a file"
            raise BadInput(where, came, "numbers from 0 to 255 are right", "Is it a list of files in a list?")
        if isinstance(file, str) or not (hasattr(file, "__len__") and hasattr(file, "__getitem__")):
            then = "isotone.files.FileBytes(path) reads one from a disk."
            raise BadInput(where, f"a {type(file).__name__} came as a file", "uint8 tensors or bytes are right", then)
