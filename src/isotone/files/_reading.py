"""The bytes of a file that somebody else wrote."""

from __future__ import annotations

import os
import stat
import time
from types import TracebackType

from ..errors import BadInput, IsotoneError

LARGEST = 2**30  # bytes
SLOWEST = 600.0  # seconds from opening a file to its last byte


class Refused(IsotoneError, ValueError):
    """A file that is not looked at, or not to its end; by a detector it is to be taken for bad."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}; a file that cannot be read whole counts as detected.")
        self.reason = reason


class FileBytes:
    """A file on a disk as a length and slices of bytes; nothing is kept in memory.

    Args:
        path: a regular file; links are followed.
        most: the largest length that is accepted. A detector that skips longer files is evaded by appending.
        seconds: from now to the last read.

    Raises:
        Refused: no regular file (a folder, a device, a pipe), not readable, longer than `most`; and while reading, a
            file that has become shorter, a fault of the disk, or no time left.

    Cost: a read of the system for each slice. Only slices without a step, within the file, as `bytes` takes them.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "some"
    >>> _ = path.write_bytes(b"some bytes")
    >>> with FileBytes(path) as file:
    ...     len(file), file[5:10]
    (10, b'bytes')
    """

    def __init__(self, path: str | os.PathLike[str], *, most: int = LARGEST, seconds: float = SLOWEST) -> None:
        if not (isinstance(most, int) and most >= 0 and seconds > 0):
            raise BadInput("FileBytes", f"most={most!r}, seconds={seconds!r} came", "numbers above 0 are right")
        self.path = path
        self._last = time.monotonic() + seconds
        self._seconds = seconds
        try:
            # A pipe without a writer would keep an ordinary open waiting for ever.
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except (OSError, ValueError) as fault:
            raise Refused(path, f"it cannot be opened ({getattr(fault, 'strerror', None) or fault})") from None
        try:
            found = os.fstat(self._handle)
            if not stat.S_ISREG(found.st_mode):
                raise Refused(path, "it is no regular file")
            if found.st_size > most:
                raise Refused(path, f"it has {found.st_size:,} bytes, and {most:,} are the most that is read")
        except BaseException:
            self.close()
            raise
        self._length = found.st_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, some: slice) -> bytes:
        start, stop, step = some.indices(self._length)
        if step != 1:
            raise BadInput("FileBytes", f"a slice with step {step} came", "one without is right")
        parts, at = [], start
        while at < stop:
            if time.monotonic() > self._last:
                raise Refused(self.path, f"it was not read within {self._seconds:g} seconds")
            try:
                part = os.pread(self._handle, min(stop - at, 2**24), at)
            except OSError as fault:
                raise Refused(self.path, f"it cannot be read ({fault.strerror or fault})") from None
            if not part:
                raise Refused(self.path, f"it ended at byte {at:,} and had {self._length:,} when it was opened")
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """No more reads."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> FileBytes:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", -1) >= 0:
            self.close()
