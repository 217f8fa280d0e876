"""Make `graphs.parquet`: which function of a program calls which, and which imported ones.

- one row for each row of `programs.parquet` with at most 1,000 functions, from the same file (by its sha256);
- functions from .eh_frame, calls and jumps with a fixed target, calls through PLT and GOT resolved to names; calls
  through registers and tables are not seen, so the edges are fewer than there are;
- facts and never bytes: of a function its numbers of instructions by kind, of a call who calls whom;
- names that make the label (`MASKED` in build.py) are left out, as nodes and as ends of calls.

    python graphs.py --out graphs.parquet             # after `apt-get update`; about 40 minutes
    python graphs.py --out graphs.parquet --keep elf/ # keeps the files, by sha256, for benchmarks on bytes

Needs pyelftools, capstone and pyarrow (`pip install 'isotone[data-build]'`).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import struct
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import capstone
import pyarrow as pa
import pyarrow.parquet as pq
from build import MASKED, Package, downloaded, elf_files, hashed  # type: ignore[attr-defined]  # build.py of this folder
from elftools.common.exceptions import ELFError
from elftools.dwarf.callframe import FDE
from elftools.elf.elffile import ELFFile

MOST_FUNCTIONS = 1_000
MOST_BYTES = 8_000_000
KINDS = ("move", "arithmetic", "logic", "compare", "branch", "call", "vector", "system")
_BY_START = {
    "move": ("mov", "lea", "push", "pop", "xchg", "cmov", "cdq", "cqo", "leave", "stos", "lods", "rep"),
    "arithmetic": ("add", "sub", "inc", "dec", "neg", "mul", "imul", "div", "idiv", "adc", "sbb"),
    "logic": ("and", "or", "xor", "not", "shl", "shr", "sar", "sal", "rol", "ror", "bt", "bs", "tzc", "lzc", "popcnt"),
    "compare": ("cmp", "test", "set", "scas", "repe", "repne"),
    "branch": ("j", "loop", "ret"),
    "call": ("call",),
    "system": ("syscall", "sysenter", "int", "cpuid", "rdtsc", "in", "out", "hlt", "ud"),
}
_FILLERS = ("nop", "endbr", "data16", "notrack")


def kind_of(mnemonic: str) -> int | None:
    """The number of an instruction's kind; None for fillers, which a compiler adds at will."""
    if mnemonic.startswith(_FILLERS):
        return None
    for kind, starts in _BY_START.items():
        if mnemonic.startswith(starts):
            return KINDS.index(kind)
    return KINDS.index("vector")  # what is left on x86-64: SSE, AVX and the floating-point unit


class Program:
    """The functions and calls of one ELF file of x86-64."""

    def __init__(self, data: bytes) -> None:
        self.elf = ELFFile(io.BytesIO(data))
        self.code = [s for s in self.elf.iter_sections() if s["sh_flags"] & 4 and s["sh_type"] == "SHT_PROGBITS"]
        self.content = [(s["sh_addr"], s.data()) for s in self.code]
        self.got = self._got_names()
        self.starts, self.ends = self._functions()

    def _got_names(self) -> dict[int, str]:
        """Address of a GOT slot -> the import that the loader puts there."""
        names = {}
        for section in self.elf.iter_sections():
            if section["sh_type"] not in ("SHT_RELA", "SHT_REL") or not section["sh_link"]:
                continue
            symbols = self.elf.get_section(section["sh_link"])
            for relocation in section.iter_relocations():
                if relocation["r_info_type"] in (6, 7):  # R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT
                    symbol = symbols.get_symbol(relocation["r_info_sym"])
                    if symbol.name and symbol["st_shndx"] == "SHN_UNDEF":
                        names[relocation["r_offset"]] = symbol.name
        return names

    def _functions(self) -> tuple[list[int], list[int]]:
        plt = [(s["sh_addr"], s["sh_addr"] + s["sh_size"]) for s in self.code if s.name.startswith(".plt")]
        found = {}
        if self.elf.get_section_by_name(".eh_frame") is not None:
            for entry in self.elf.get_dwarf_info(relocate_dwarf_sections=False).EH_CFI_entries():
                if isinstance(entry, FDE):
                    start, size = entry["initial_location"], entry["address_range"]
                    if size and not any(low <= start < high for low, high in plt):
                        found[start] = start + size
        starts = sorted(found)
        return starts, [found[start] for start in starts]

    def _bytes(self, start: int, end: int) -> bytes:
        for low, content in self.content:
            if low <= start and end <= low + len(content):
                return bytes(content[start - low : end - low])
        return b""

    def _stubs(self) -> dict[int, str]:
        """Address in a PLT -> the import it jumps to: each 16 bytes hold one jump through the GOT."""
        names = {}
        for section in self.code:
            if not section.name.startswith(".plt"):
                continue
            content, base = section.data(), section["sh_addr"]
            step = 8 if section.name == ".plt.got" and section["sh_entsize"] == 8 else 16
            for at in range(0, len(content) - 5, step):
                jump = content.find(b"\xff\x25", at, at + step)
                if jump >= 0 and jump + 6 <= len(content):
                    slot = base + jump + 6 + struct.unpack_from("<i", content, jump + 2)[0]
                    if slot in self.got:
                        names[base + at] = self.got[slot]
        return names

    def read(self) -> tuple[list[list[int]], set[tuple[int, int]], set[tuple[int, str]]]:
        """Numbers of instructions by kind of each function; calls among functions; calls of imports."""
        stubs = self._stubs()
        reader = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        number = {start: i for i, start in enumerate(self.starts)}
        kinds: dict[str, int | None] = {}
        counts, inside, outside = [], set(), set()
        for u, (start, end) in enumerate(zip(self.starts, self.ends, strict=True)):
            count = [0] * len(KINDS)
            for address, size, mnemonic, operands in reader.disasm_lite(self._bytes(start, end), start):
                if mnemonic not in kinds:
                    kinds[mnemonic] = kind_of(mnemonic)
                kind = kinds[mnemonic]
                if kind is not None:
                    count[kind] += 1
                if not mnemonic.endswith(("call", "jmp")):
                    continue
                if operands.startswith("0x"):
                    target = int(operands, 16)
                    if target in stubs:
                        outside.add((u, stubs[target]))
                    elif target in number and number[target] != u:
                        inside.add((u, number[target]))
                elif "[rip" in operands:
                    slot = address + size + _displacement(operands)
                    if slot in self.got:
                        outside.add((u, self.got[slot]))
            counts.append(count)
        return counts, inside, outside


def _displacement(operands: str) -> int:
    """The signed number of `qword ptr [rip - 0x10]`."""
    inner = operands.partition("[rip")[2].partition("]")[0].replace(" ", "")
    return int(inner, 16) if inner else 0


def row_of(program: dict[str, Any], data: bytes) -> dict[str, Any] | None:
    """The row of one file; None if it has no function, more than allowed, or cannot be read."""
    try:
        read = Program(data)
        if not 0 < len(read.starts) <= MOST_FUNCTIONS:
            return None
        counts, inside, outside = read.read()
    except (ELFError, UnicodeDecodeError, KeyError, ValueError, struct.error, AssertionError):
        return None
    names = sorted({name for _, name in outside} - MASKED)
    number = {name: len(counts) + i for i, name in enumerate(names)}
    calls = sorted({*inside, *((u, number[name]) for u, name in outside if name in number)})
    return {
        **{key: program[key] for key in ("sha256", "package", "source", "network")},
        "instructions": [min(n, 65_535) for count in counts for n in count],
        "imports": names,
        "callers": [u for u, _ in calls],
        "callees": [v for _, v in calls],
    }


def rows(programs: list[dict[str, Any]], keep: Path | None) -> Iterator[dict[str, Any]]:
    """A row for each program whose file can still be had."""
    wanted: dict[Package, dict[str, dict[str, Any]]] = defaultdict(dict)
    for program in programs:
        package = Package(program["package"], program["source"], program["version"], program["section"], "")
        wanted[package][program["sha256"]] = program
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        for package, deb in downloaded(list(wanted), Path(folder)):
            for _, data in elf_files(deb):
                sha256 = hashlib.sha256(data).hexdigest()
                if sha256 not in wanted[package]:
                    continue
                if keep is not None:
                    (keep / sha256).write_bytes(data)
                if (row := row_of(wanted[package].pop(sha256), data)) is not None:
                    yield row


TYPES = pa.schema(
    {
        "sha256": pa.string(),
        "package": pa.string(),
        "source": pa.string(),
        "network": pa.int8(),
        "instructions": pa.list_(pa.uint16()),
        "imports": pa.list_(pa.string()),
        "callers": pa.list_(pa.uint16()),
        "callees": pa.list_(pa.uint16()),
    }
)


def build(programs: Path, out: Path, keep: Path | None) -> None:
    """All rows; where they are more than `MOST_BYTES`, the sources with the last hashes are left out."""
    asked = pq.read_table(programs).to_pylist()
    found = sorted(rows(asked, keep), key=lambda row: hashed(row["source"]))
    partial = out.with_suffix(".partial")
    count = len(found)
    while True:
        kept = sorted(found[:count], key=lambda row: (row["source"], row["sha256"]))
        table = pa.Table.from_pylist(kept, schema=TYPES)
        pq.write_table(table, partial, compression="zstd", compression_level=19, row_group_size=len(kept))
        size = partial.stat().st_size
        if size <= MOST_BYTES:
            break
        count = int(count * MOST_BYTES / size * 0.98)
        while count < len(found) and found[count - 1]["source"] == found[count]["source"]:
            count -= 1  # a source stays whole
    partial.replace(out)
    functions = sum(len(row["instructions"]) // len(KINDS) for row in kept)
    print(f"{len(asked)} programs asked for, {len(found)} read, {len(kept)} kept; {functions} functions")
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, default=Path(__file__).with_name("programs.parquet"))
    parser.add_argument("--out", type=Path, required=True, help="the Parquet file to write")
    parser.add_argument("--keep", type=Path, help="a folder for the files themselves, each under its sha256")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    build(options.programs, options.out, options.keep)


if __name__ == "__main__":
    main()
