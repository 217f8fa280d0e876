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
from typing import Any, Literal, get_args

from ..errors import BadInput
from ._reading import Refused

Kind = Literal["header", "section", "slack", "overlay", "function"]

MOST_SECTIONS = 4096
MOST_NAMES = 2**20  # bytes of the table of names that are read
LONGEST_NAME = 64
MOST_SYMBOLS = 50_000
MOST_SYMBOL_NAMES = 2**22  # bytes


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
        functions: of an ELF file with symbols, where they lie, and what a PE exports by name; they have the kind
            "function" and are no parts.
    """

    format: str
    length: int
    alignment: int
    parts: tuple[Part, ...]
    functions: tuple[Part, ...] = ()

    def at(self, start: int, stop: int) -> str:
        """The names of the parts that hold a byte of [start, stop), those with most of it first; two functions at most.

        >>> Layout("", 9, 1, (Part("file", "section", 0, 9),)).at(2, 4)
        'file'
        """
        functions = _most(self.functions, start, stop)
        said = f" ({', '.join(functions[:2])}{', ...' if len(functions) > 2 else ''})" if functions else ""
        return ", ".join(_most(self.parts, start, stop)) + said

    def regions(self, *kinds: Kind) -> tuple[tuple[int, int], ...]:
        """Byte ranges of parts of these kinds, sorted and joined: what an attacker may overwrite.

        Raises:
            BadInput: no kind, or a word that is none: it would read as "nothing can be overwritten".
        """
        strange = sorted(set(kinds) - set(get_args(Kind)))
        if strange or not kinds:
            came = repr(strange[0]) if strange else "no kind"
            raise BadInput("regions", f"{came} came", f"{', '.join(get_args(Kind))} are right")
        return joined((p.start, p.stop) for p in self.parts if p.kind in kinds)


def _most(parts: Iterable[Part], start: int, stop: int) -> list[str]:
    shares: dict[str, int] = {}
    for p in parts:
        share = min(stop, p.stop) - max(start, p.start)
        if share > 0:
            shares[p.name] = shares.get(p.name, 0) + share
    return sorted(shares, key=lambda name: (-shares[name], name))


def layout(file: Any, path: object = "file") -> Layout:
    """Read the headers of a file.

    Args:
        file: bytes, or anything with a length and slices of bytes.
        path: what to call it in a refusal.

    Raises:
        Refused: the file begins as ELF or PE and its headers cannot be what they say (a table outside of the file, more
            than 4,096 sections).

    Cost: at most about 8 MB of reads, whatever the file; 50,000 symbols.

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
    parts, functions = [Part("ELF header", "header", 0, ehsize)], []
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
        names = _strings(file, rows[names_at], MOST_NAMES) if 0 < names_at < shnum else b""
        for i, row in enumerate(rows):
            if row[1] not in {0, 8}:  # SHT_NULL and SHT_NOBITS take no bytes of the file
                parts.append(Part(_name(names, row[0], f"section {i}"), "section", row[4], row[4] + row[5]))
        parts.append(Part("section headers", "header", shoff, shoff + size * shnum))
        functions = _functions(file, rows, wide=wide, order=order)
    return _whole("ELF", file, 1, parts, functions)


def _strings(file: Any, row: tuple[int, ...], most: int) -> bytes:
    """The table of strings in a section, as far as it lies in the file."""
    start, stop = row[4], min(row[4] + min(row[5], most), len(file))
    return bytes(file[start:stop]) if start < stop else b""


def _functions(file: Any, rows: Sequence[tuple[int, ...]], *, wide: bool, order: str) -> list[Part]:
    """Functions of the full table of symbols, or of the dynamic one where that was stripped; no badly placed ones."""
    entry = order + ("IBBHQQ" if wide else "IIIBBH")
    size = struct.calcsize(entry)
    tables = sorted((row for row in rows if row[1] in {2, 11}), key=lambda row: row[1])  # SHT_SYMTAB, SHT_DYNSYM
    if not tables or not 0 < tables[0][6] < len(rows):
        return []
    table, found = tables[0], []
    names = _strings(file, rows[table[6]], MOST_SYMBOL_NAMES)
    data = _strings(file, table, size * MOST_SYMBOLS)
    for at in range(0, len(data) // size * size, size):
        fields = struct.unpack_from(entry, data, at)
        name, info, shndx, value, length = (fields[i] for i in ((0, 1, 3, 4, 5) if wide else (0, 3, 5, 1, 2)))
        if info & 15 != 2 or not length or not 0 < shndx < len(rows):  # STT_FUNC
            continue
        section = rows[shndx]
        start = value - section[3] + section[4]
        if section[1] != 8 and section[3] <= value and value + length <= section[3] + section[5]:
            found.append(Part(_name(names, name, "function"), "function", start, start + length))
    return found


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
            name_ = _name(name, 0, f"section {i}")
            parts.append(Part(name_, "section", start, start + (min(size, loaded) if loaded else size)))
            if 0 < loaded < size:
                parts.append(Part(f"slack of {name_}", "slack", start + loaded, start + size))
    sane = alignment if 0 < alignment <= 2**16 else 1
    rows = [struct.unpack_from("<8x4I", table, 40 * i) for i in range(count)]
    return _whole("PE", file, sane, parts, _exports(file, fields, rows))


def _exports(file: Any, fields: bytes, rows: Sequence[tuple[int, ...]]) -> list[Part]:
    """What a PE exports by name, up to the next one or the end of the section; no badly placed ones."""
    directories = {0x10B: 96, 0x20B: 112}.get(int.from_bytes(fields[:2], "little"), len(fields))
    if len(fields) < directories + 8:
        return []

    def spot(address: int) -> tuple[int, int]:
        """Offset in the file, and where the section ends there; (0, 0) for an address in none."""
        for loaded, start, size, offset in rows:
            if start <= address < start + (min(size, loaded) or size):
                base = offset // 512 * 512
                return base + address - start, min(base + (min(size, loaded) or size), len(file))
        return 0, 0

    def numbers(address: int, kind: str, count: int) -> tuple[int, ...]:
        at, end = spot(address)
        size = struct.calcsize("<" + kind)
        fit = min(count, max(0, end - at) // size, MOST_SYMBOLS)
        return struct.unpack(f"<{fit}{kind}", bytes(file[at : at + fit * size]))

    first, size = struct.unpack_from("<2I", fields, directories)
    about = numbers(first, "I", 10)
    if not first or len(about) < 10:
        return []
    functions, names = numbers(about[7], "I", about[5]), numbers(about[8], "I", about[6])
    ordinals = numbers(about[9], "H", about[6])
    found = []
    for name, ordinal in zip(names, ordinals, strict=False):
        at, end = spot(functions[ordinal]) if ordinal < len(functions) else (0, 0)
        forwarded = at and first <= functions[ordinal] < first + size
        text, stop = spot(name)
        if at < end and text < stop and not forwarded:
            found.append((at, end, _name(bytes(file[text : min(stop, text + LONGEST_NAME)]), 0, "function")))
    found.sort()
    starts = [at for at, *_ in found]
    return [Part(name, "function", at, min([end, *starts[n + 1 : n + 2]])) for n, (at, end, name) in enumerate(found)]


def _name(strings: bytes, at: int, otherwise: str) -> str:
    raw = strings[at : at + LONGEST_NAME].split(b"\0", 1)[0]
    text = raw.decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else "?" for c in text) or otherwise


def _whole(kind: str, file: Any, alignment: int, parts: Sequence[Part], functions: Sequence[Part] = ()) -> Layout:
    """Cut at the end of the file; what no part covers is slack between parts and overlay behind the last."""
    length = len(file)

    def cut(some: Sequence[Part]) -> list[Part]:
        return [Part(p.name, p.kind, p.start, min(p.stop, length)) for p in some if p.start < min(p.stop, length)]

    inside = cut(parts)
    covered = joined((p.start, p.stop) for p in inside)
    at = 0
    for start, stop in covered:
        if at < start:
            inside.append(Part("slack", "slack", at, start))
        at = stop
    if at < length:
        inside.append(Part("overlay", "overlay", at, length))
    inside, of_code = (sorted(some, key=lambda p: (p.start, p.stop, p.name)) for some in (inside, cut(functions)))
    return Layout(kind, length, alignment, tuple(inside), tuple(of_code))
