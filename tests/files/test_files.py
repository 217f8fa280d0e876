"""Hostile files: every one ends in its parts or in a refusal that names it."""

import contextlib
import os
import random
import struct
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from isotone.errors import BadInput
from isotone.files import FileBytes, Part, Refused, labelled, layout

ELF = next(p for p in sorted(Path(sysconfig.get_path("stdlib")).glob("lib-dynload/*.so")))


def pe(sections=((b".text", 0x1F0, 0x200, 0x200), (b".data", 0x100, 0x200, 0x400)), optional=112, tail=b""):
    """A PE of the least that its readers need: (name, bytes loaded, bytes in the file, where)."""
    head = bytearray(b"MZ" + bytes(58) + struct.pack("<I", 0x80) + bytes(64))
    head += b"PE\0\0" + struct.pack("<HH12xHH", 0x8664, len(sections), optional, 0x22)
    fields = bytearray(optional)
    if optional >= 64:
        struct.pack_into("<I", fields, 36, 0x200)
        struct.pack_into("<I", fields, 60, 0x200)
    head += fields
    for name, loaded, size, at in sections:
        head += struct.pack("<8s4I12xI", name, loaded, 0x1000, size, at, 0x60000020)
    return bytes(head).ljust(0x600, b"\xcc") + tail


def test_the_sections_of_a_real_program_are_those_of_another_reader():
    data = ELF.read_bytes()
    found = [(p.start, p.stop, p.name) for p in layout(data).parts if p.kind == "section"]
    with ELF.open("rb") as stream:
        theirs = [
            (s["sh_offset"], s["sh_offset"] + s["sh_size"], s.name)
            for s in ELFFile(stream).iter_sections()
            if s["sh_type"] not in {"SHT_NULL", "SHT_NOBITS"} and s["sh_size"]
        ]
    assert found == sorted(theirs)


def test_the_functions_of_a_real_program_are_those_of_another_reader():
    """Of the interpreter itself if it has symbols, else of one of its modules."""
    for path in (ELF, *sorted(ELF.parent.glob("*.so"))[:3]):
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            table = elf.get_section_by_name(".symtab") or elf.get_section_by_name(".dynsym")
            expected = []
            for s in table.iter_symbols():
                if s["st_info"]["type"] == "STT_FUNC" and s["st_size"] and isinstance(s["st_shndx"], int):
                    section = elf.get_section(s["st_shndx"])
                    start = s["st_value"] - section["sh_addr"] + section["sh_offset"]
                    expected.append((start, start + s["st_size"], s.name[:64]))
        found = layout(path.read_bytes())
        assert [(f.start, f.stop, f.name) for f in found.functions] == sorted(expected)
        for one in found.functions[:5]:
            assert f"({one.name}" in found.at(one.start, one.stop)


def test_sections_are_those_that_lief_finds_where_it_is_installed():
    lief = pytest.importorskip("lief")
    kinds = lief.ELF.Section.TYPE
    programs = [*ELF.parent.glob("*.so"), *Path(sysconfig.get_path("purelib")).rglob("*.exe")][-60:]
    for path in programs:
        data = path.read_bytes()
        found, theirs = layout(data), lief.parse(data)
        if found.format == "ELF":
            sections = [s for s in theirs.sections if s.size and s.type not in {kinds.NOBITS, kinds.SHT_NULL_}]
            expected = [(s.file_offset, s.file_offset + s.size) for s in sections]
        else:
            expected = [
                (s.offset, s.offset + (min(s.size, s.virtual_size) or s.size)) for s in theirs.sections if s.size
            ]
        assert [(p.start, p.stop) for p in found.parts if p.kind == "section"] == sorted(expected), path


def test_the_parts_of_a_pe():
    found = layout(pe(tail=b"behind it"))
    assert (found.format, found.alignment) == ("PE", 512)
    assert found.parts == (
        Part("headers", "header", 0, 0x200),
        Part(".text", "section", 0x200, 0x3F0),
        Part("slack of .text", "slack", 0x3F0, 0x400),
        Part(".data", "section", 0x400, 0x500),
        Part("slack of .data", "slack", 0x500, 0x600),
        Part("overlay", "overlay", 0x600, 0x609),
    )
    assert found.at(0x3E0, 0x3F8) == ".text, slack of .text"
    assert found.regions("header", "slack") == ((0, 0x200), (0x3F0, 0x400), (0x500, 0x600))
    for kinds, said in ((("headers",), "'headers' came"), ((), "no kind came")):  # none would read as: out of reach
        with pytest.raises(BadInput, match=f"regions: {said}; header, section"):
            found.regions(*kinds)


def exporting(names=(b"first", b"second"), forwarded=False):
    """A PE of 64 bits whose .data, loaded at 0x2000, holds a table of exports from .text, loaded at 0x1000."""
    data = bytearray(pe(((b".text", 0x200, 0x200, 0x200), (b".data", 0x200, 0x200, 0x400)), optional=240))
    fields = 0x80 + 24
    data[fields : fields + 2] = struct.pack("<H", 0x20B)
    struct.pack_into("<I2I", data, fields + 108, 16, 0x2000, 0x100)
    for i, address in enumerate((0x1000, 0x2000)):
        struct.pack_into("<I", data, fields + 240 + 40 * i + 12, address)
    table, count = 0x400, len(names)
    struct.pack_into("<3I2I5I", data, table, 0, 0, 0, 0x20F0, 1, count, count, 0x2030, 0x2050, 0x2070)
    for i, name in enumerate(names):
        struct.pack_into("<I", data, table + 0x30 + 4 * i, 0x2080 if forwarded else 0x1010 + 0x40 * (count - i))
        struct.pack_into("<I", data, table + 0x50 + 4 * i, 0x2090 + 16 * i)
        struct.pack_into("<H", data, table + 0x70 + 2 * i, i)
        data[table + 0x90 + 16 * i : table + 0xA0 + 16 * i] = name.ljust(16, b"\0")
    return bytes(data)


def test_what_a_pe_exports_is_named_as_lief_names_it():
    data = exporting()
    found = layout(data)
    assert found.functions == (Part("second", "function", 0x250, 0x290), Part("first", "function", 0x290, 0x400))
    assert found.at(0x2A0, 0x2B0) == ".text (first)"
    theirs = pytest.importorskip("lief").parse(list(data)).exported_functions
    assert {(one.name, one.address - 0x1000 + 0x200) for one in theirs} == {(f.name, f.start) for f in found.functions}
    assert layout(exporting(forwarded=True)).functions == ()


@pytest.mark.parametrize("seed", range(30))
def test_a_torn_table_of_exports_ends_in_parts(seed):
    rng, data = random.Random(seed), bytearray(exporting())
    for _ in range(20):
        data[rng.choice([rng.randrange(0x400, 0x500), rng.randrange(0x98, 0x1D8)])] = rng.choice([0, 0x7F, 0xFF])
    with contextlib.suppress(Refused):
        covers(layout(bytes(data)))


def covers(found):
    at = 0
    for part in found.parts:
        assert 0 <= part.start < part.stop <= found.length
        assert part.start <= at, f"nothing is said of {at:#x}"
        at = max(at, part.stop)
    assert at == found.length


REAL = {"ELF": ELF.read_bytes(), "PE": pe(), "ELF of 32 bits": b"\x7fELF\x01\x02\x01" + bytes(100)}

# fmt: off
BREAK = {
    "cut off":            lambda data, rng: data[: rng.randrange(len(data))],
    "cut off early":      lambda data, rng: data[: rng.randrange(300)],
    "bytes of the head":  lambda data, rng: overwritten(data, rng, 0x200, 8),
    "the head":           lambda data, rng: data[:4] + rng.randbytes(0x300) + data[0x304:],
    "numbers at the edge": lambda data, rng: overwritten(data, rng, 0x200, 8, (0, 0x7F, 0xFF)),
    "bytes anywhere":     lambda data, rng: overwritten(data, rng, len(data), 200),
    "the tables":         lambda data, rng: data[: -0x800] + rng.randbytes(0x800),
    "zeros behind":       lambda data, rng: data + bytes(rng.randrange(9_000)),
    "nothing but magic":  lambda data, rng: data[: rng.randrange(6)] + rng.randbytes(rng.randrange(200)),
    "twice":              lambda data, rng: data[: rng.randrange(2_000)] + data,
}
# fmt: on


def overwritten(data, rng, within, count, values=range(256)):
    found = bytearray(data)
    for _ in range(rng.randrange(1, count)):
        found[rng.randrange(4, min(within, len(found)))] = rng.choice(values)
    return bytes(found)


def malformed(kind, how, seed):
    return BREAK[how](REAL[kind], random.Random(f"{kind} {how} {seed}"))


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("how", BREAK)
def test_forty_malformed_files_end_in_parts_or_in_a_refusal(kind, how):
    start, refused = time.monotonic(), []
    for seed in range(40):
        try:
            covers(layout(malformed(kind, how, seed), "it"))
        except Refused as fault:
            refused.append(str(fault))
    assert all(said.startswith("it: ") and "counts as detected" in said for said in refused)
    assert time.monotonic() - start < 20
    if how in {"zeros behind", "the head"} and kind != "ELF of 32 bits":
        assert bool(refused) == (how == "the head")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b"MZ"]), st.binary(max_size=400))
def test_any_bytes_at_all(magic, rest):
    with contextlib.suppress(Refused):
        covers(layout(magic + rest))


class Counting:
    """Says that it is a terabyte long; counts what is read."""

    def __init__(self, head):
        self.head, self.read = head, 0

    def __len__(self):
        return 2**40

    def __getitem__(self, some):
        start, stop, _ = some.indices(2**40)
        self.read += stop - start
        assert stop - start <= 2**22
        return self.head[start:stop].ljust(stop - start, b"\0")


def elf_with(**fields):
    """A 64-bit header with these fields."""
    values = {"phoff": 0, "shoff": 64, "flags": 0, "ehsize": 64, "phentsize": 56, "phnum": 0}
    values |= {"shentsize": 64, "shnum": 3, "names": 1} | fields
    return b"\x7fELF\x02\x01".ljust(32, b"\0") + struct.pack("<QQI6H", *values.values())


# fmt: off
CLAIMS = [
    # header                                                   what is said
    (elf_with(shoff=2**41),                                    "behind the end of the file"),
    (elf_with(shoff=2**64 - 1),                                "behind the end of the file"),
    (elf_with(shentsize=0),                                    "section headers have 0 bytes"),
    (elf_with(shnum=0xFFFF),                                   "65,535 sections"),
    (elf_with(shnum=0) + bytes(32) + struct.pack("<Q", 2**63), "9,223,372,036,854,775,808 sections"),
    (elf_with(shnum=4096, phnum=0xFFFF),                       None),
    (elf_with() + bytes(64) + struct.pack("<IIQQQQ", 0, 3, 0, 0, 0, 2**63), None),
    (pe()[:0x3C] + struct.pack("<I", 0xFFFFFFF0),              "no PE header"),
    (pe(sections=[(b"x", 1, 2**32 - 1, 2**32 - 1)] * 96),      None),
    (pe(optional=0),                                           None),
]
# fmt: on


@pytest.mark.parametrize(("head", "said"), CLAIMS, ids=range(len(CLAIMS)))
def test_what_a_header_claims_costs_nothing(head, said):
    file = Counting(head)
    if said is None:
        covers(layout(file))
    else:
        with pytest.raises(Refused, match=said):
            layout(file)
    assert file.read <= 8_000_000


def test_names_are_made_printable_and_short():
    found = layout(pe(sections=[(b"\x1b[2J\xff", 16, 16, 0x200), (b"", 8, 8, 0x400)]))
    assert [p.name for p in found.parts if p.kind == "section"] == ["?[2J\\xff", "section 1"]


def test_a_file_is_read_where_it_is_asked(tmp_path):
    path = tmp_path / "some"
    path.write_bytes(bytes(range(256)) * 100)
    with FileBytes(path) as file:
        assert len(file) == 25_600
        assert file[250:260] == bytes([*range(250, 256), *range(4)])
        assert file[25_590:30_000] == bytes(range(246, 256))
        assert file[5:5] == b""
        with pytest.raises(BadInput, match="step 2"):
            file[0:10:2]


def pipe(path):
    os.mkfifo(path)
    return path


def link_to_itself(path):
    path.symlink_to(path)
    return path


def long_file(path):
    with path.open("wb") as stream:
        stream.truncate(2**30 + 1)
    return path


# fmt: off
NO_FILES = {
    # what it is                            what the refusal says
    "a folder":          (lambda p: p.parent,           "no regular file"),
    "a pipe":            (pipe,                         "no regular file"),
    "a device":          (lambda p: Path("/dev/zero"),  "no regular file"),
    "nothing":           (lambda p: p,                  "No such file"),
    "a link to itself":  (link_to_itself,               "cannot be opened"),
    "a name with a nul": (lambda p: "a\0b",             "cannot be opened"),
    "a very long one":   (long_file,                    "1,073,741,825 bytes"),
}
# fmt: on


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_readable_file_is_refused(what, tmp_path):
    make, said = NO_FILES[what]
    with pytest.raises(Refused, match=said):
        FileBytes(make(tmp_path / "it"))


def test_a_file_that_shrinks_or_takes_too_long_is_refused(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(bytes(1000))
    with FileBytes(path) as file:
        os.truncate(path, 10)
        with pytest.raises(Refused, match="ended at byte 10"):
            file[0:100]
    with FileBytes(path, seconds=1e-9) as file, pytest.raises(Refused, match="within 1e-09 seconds"):
        file[0:5]


def table(tmp_path, text, encoding="utf-8"):
    (tmp_path / "files").mkdir(exist_ok=True)
    for name in "abc":
        (tmp_path / "files" / name).write_bytes(name.encode())
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "files" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    return tmp_path / "files", tmp_path / "labels.csv"


def test_labels_of_a_folder(tmp_path):
    found = labelled(*table(tmp_path, "path,label,group\na,1,one\nb,0,\n"))
    assert [p.name for p in found.paths] == ["a", "b"]
    assert (found.labels, found.groups, len(found)) == ((1, 0), ("one", "b"), 2)


# fmt: off
BAD_TABLES = [
    # table                          what is said
    ("file,label\na,1\n",            "no column 'path'"),
    ("path,label\na,2\n",            "line 2: the label '2'"),
    ("path,label\na\n",              "line 2: the label ''"),
    ("path,label\n../secret,1\n",    "one inside the folder"),
    ("path,label\n/etc/passwd,1\n",  "one inside the folder"),
    ("path,label\nout,1\n",          "one inside the folder"),
    ("path,label\n,1\n",             "one inside the folder"),
    ("path,label\nd,1\n",            "no file of"),
    ("path,label\na,1\na,1\n",       "come twice"),
    ("path,label\n",                 "it has no rows"),
]
# fmt: on


@pytest.mark.parametrize(("text", "said"), BAD_TABLES, ids=[row[-1] for row in BAD_TABLES])
def test_a_table_of_labels_is_refused(text, said, tmp_path):
    with pytest.raises(BadInput, match=said):
        labelled(*table(tmp_path, text))


def test_a_table_in_another_encoding_or_missing(tmp_path):
    with pytest.raises(BadInput, match="UTF-8"):
        labelled(*table(tmp_path, "path,label\n\xe4,1\n", "latin-1"))
    with pytest.raises(BadInput, match="cannot be read"):
        labelled(tmp_path, tmp_path / "no such table")


def test_nothing_is_loaded_or_run():
    code = "".join(Path(sys.modules[part.__module__].__file__).read_text() for part in (layout, FileBytes, labelled))
    assert not any(word in code for word in ("subprocess", "ctypes", "dlopen", "mmap", "exec("))
