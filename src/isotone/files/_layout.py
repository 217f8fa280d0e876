"""Where the parts of a program lie in its file: headers, sections, slack, and what was put behind them.

- ELF (32 and 64 bits, both byte orders) and PE, read from their headers with fixed-size reads and bounded counts: the
  work does not depend on what the headers claim;
- it names places and decides nothing: a section that says it lies elsewhere lies elsewhere, and ranges are cut at the
  end of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ._reading import Refused

Kind = Literal["header", "section", "slack", "overlay"]

MOST_SECTIONS = 4096
MOST_NAMES = 2**20  # bytes of the table of names that are read
LONGEST_NAME = 64


@dataclass(frozen=True)
class Part:
    """Bytes [start, stop) of a file and what they are.

    Args:
        name: of the section, or what it is.
        kind: "header" (headers and tables of the format), "section", "slack" (in no section, or behind what of a
            section is loaded), "overlay" (behind everything the headers speak of).
        start, stop: offsets in the file.
    """

    name: str
    kind: Kind
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.name} [{self.start:#x}, {self.stop:#x})"


@dataclass(frozen=True)
class Layout:
    """The parts of one file, in order of their start; parts may overlap where headers say so.

    Args:
        format: "ELF", "PE", or "" for anything else, which is one part.
        length: of the file.
        alignment: to which sections are placed in the file; 1 if nothing says so.
        parts: all of them; every byte is in one at least.
    """

    format: str
    length: int
    alignment: int
    parts: tuple[Part, ...]

    def at(self, start: int, stop: int) -> str:
        """The names of the parts that hold a byte of [start, stop), those with most of it first.

        >>> Layout("", 9, 1, (Part("file", "section", 0, 9),)).at(2, 4)
        'file'
        """
        shares = {p.name: min(stop, p.stop) - max(start, p.start) for p in self.parts}
        return ", ".join(sorted((name for name, share in shares.items() if share > 0), key=lambda name: -shares[name]))

    def regions(self, *kinds: Kind) -> tuple[tuple[int, int], ...]:
        """Byte ranges of parts of these kinds, sorted and joined: what an attacker may overwrite."""
        return joined((p.start, p.stop) for p in self.parts if p.kind in kinds)


def layout(file: Any, path: object = "file") -> Layout:
    """Read the headers of a file.

    Args:
        file: bytes, or anything with a length and slices of bytes.
        path: what to call it in a refusal.

    Raises:
        Refused: the file begins as ELF or PE and its headers cannot be what they say (a table outside of the file, more
            than 4,096 sections).

    Cost: at most about 1.5 MB of reads, whatever the file.

    Source: System V ABI, chapter 4; Microsoft, PE Format.

    >>> layout(b"plain text").parts
    (Part(name='file', kind='section', start=0, stop=10),)
    """
    head = bytes(file[0:64])
    if head[:4] == b"\x7fELF":
        return _elf(file, head, path)
    if head[:2] == b"MZ":
        return _pe(file, head, path)
    return Layout("", len(file), 1, (Part("file", "section", 0, len(file)),) if len(file) else ())


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sorted, without overlaps and empty ones.

    >>> joined([(5, 9), (0, 3), (3, 4), (7, 12), (20, 20)])
    ((0, 4), (5, 12))
    """
    found: list[tuple[int, int]] = []
    for start, stop in sorted(r for r in ranges if r[0] < r[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return tuple(found)


def _read(file: Any, start: int, size: int, what: str, path: object) -> bytes:
    if start + size > len(file):
        raise Refused(path, f"its {what} would lie at {start:#x}, {size:,} bytes long, behind the end of the file")
    return bytes(file[start : start + size])


def _elf(file: Any, head: bytes, path: object) -> Layout:
    if len(head) < 52 or head[4] not in {1, 2} or head[5] not in {1, 2}:
        raise Refused(path, "its ELF header is cut off or of no known class")
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if wide and len(head) < 64:
        raise Refused(path, "its ELF header is cut off")
    # from e_phoff on: offsets of both tables, flags, and sizes and counts of their entries
    phoff, shoff, _, ehsize, phentsize, phnum, shentsize, shnum, names_at = struct.unpack_from(
        order + ("QQI6H" if wide else "III6H"), head, 32 if wide else 28
    )
    entry = order + ("IIQQQQIIQQ" if wide else "10I")
    size = struct.calcsize(entry)
    parts = [Part("ELF header", "header", 0, ehsize)]
    if phoff:
        parts.append(Part("program headers", "header", phoff, phoff + phentsize * phnum))
    if shoff:
        if shentsize != size:
            raise Refused(path, f"its section headers have {shentsize} bytes, and {size} are right")
        first = struct.unpack(entry, _read(file, shoff, size, "table of sections", path))
        # counts that do not fit stand in the first entry
        shnum, names_at = shnum or first[5], first[6] if names_at == 0xFFFF else names_at
        if shnum > MOST_SECTIONS:
            raise Refused(path, f"it says it has {shnum:,} sections, and {MOST_SECTIONS:,} are the most that is read")
        table = _read(file, shoff, size * shnum, "table of sections", path)
        rows = [struct.unpack_from(entry, table, i * size) for i in range(shnum)]
        names = b""
        if 0 < names_at < shnum:
            start, length = rows[names_at][4:6]
            names = (
                bytes(file[start : min(start + length, start + MOST_NAMES, len(file))]) if start < len(file) else b""
            )
        for i, row in enumerate(rows):
            if row[1] not in {0, 8}:  # SHT_NULL and SHT_NOBITS take no bytes of the file
                parts.append(Part(_name(names[row[0] :], i), "section", row[4], row[4] + row[5]))
        parts.append(Part("section headers", "header", shoff, shoff + size * shnum))
    return _whole("ELF", file, 1, parts)


def _pe(file: Any, head: bytes, path: object) -> Layout:
    if len(head) < 64:
        raise Refused(path, "its DOS header is cut off")
    at = struct.unpack_from("<I", head, 0x3C)[0]
    coff = _read(file, at, 24, "PE header", path)
    if coff[:4] != b"PE\0\0":
        raise Refused(path, f"it begins as a DOS program and has no PE header at {at:#x}")
    count, optional = struct.unpack_from("<H12xH", coff, 6)
    if count > MOST_SECTIONS:
        raise Refused(path, f"it says it has {count:,} sections, and {MOST_SECTIONS:,} are the most that is read")
    fields = _read(file, at + 24, optional, "optional header", path)
    alignment, of_headers = (
        (struct.unpack_from("<I", fields, 36)[0], struct.unpack_from("<I", fields, 60)[0]) if optional >= 64 else (1, 0)
    )
    table = _read(file, at + 24 + optional, 40 * count, "table of sections", path)
    end = at + 24 + optional + 40 * count
    parts = [Part("headers", "header", 0, max(end, min(of_headers, len(file))))]
    for i in range(count):
        name, loaded, _, size, start = struct.unpack_from("<8s4I", table, 40 * i)
        if size:
            start = start // 512 * 512  # as the loader of Windows does
            name_ = _name(name, i)
            parts.append(Part(name_, "section", start, start + (min(size, loaded) if loaded else size)))
            if 0 < loaded < size:
                parts.append(Part(f"slack of {name_}", "slack", start + loaded, start + size))
    sane = alignment if 0 < alignment <= 2**16 else 1
    return _whole("PE", file, sane, parts)


def _name(raw: bytes, number: int) -> str:
    text = raw.split(b"\0", 1)[0][:LONGEST_NAME].decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else "?" for c in text) or f"section {number}"


def _whole(kind: str, file: Any, alignment: int, parts: Sequence[Part]) -> Layout:
    """Cut at the end of the file; what no part covers is slack between parts and overlay behind the last."""
    length = len(file)
    inside = [Part(p.name, p.kind, p.start, min(p.stop, length)) for p in parts if p.start < min(p.stop, length)]
    covered = joined((p.start, p.stop) for p in inside)
    at = 0
    for start, stop in covered:
        if at < start:
            inside.append(Part("slack", "slack", at, start))
        at = stop
    if at < length:
        inside.append(Part("overlay", "overlay", at, length))
    return Layout(kind, length, alignment, tuple(sorted(inside, key=lambda p: (p.start, p.stop, p.name))))
