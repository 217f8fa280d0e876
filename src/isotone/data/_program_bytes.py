"""The files of the shipped rows themselves, which are not shipped: fetched from Debian, checked, kept in a folder.

- a file is what its sha256 says, or it is not there; what the folder holds is read and not fetched again;
- nothing of a package is run or installed: apt-get downloads, dpkg-deb unpacks into memory;
- names that make the label are hidden, or a model would look them up.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ._programs import debian_programs

_WHERE = "debian_program_bytes"
_AT_ONCE = 40  # packages of one call of apt-get
_SECONDS = 600  # that such a call may take
_COLUMNS = ("package", "version", "sha256", "masked_imports")
_MOST = 1 << 20  # bytes of a file; those of the data set have at most half as many

Row = Mapping[str, Any]


def debian_program_bytes(folder: str | Path, rows: Any = None, *, hidden: bool = True) -> Iterator[tuple[Row, bytes]]:
    """The rows of `debian_programs` with the bytes of their files.

    Args:
        folder: where files are kept, each under its sha256; made if it is not there. Files that it holds are used as
            they are, if they have that sha256. An interrupted call goes on from what it holds.
        rows: a table of some rows of `debian_programs`, or dictionaries; all of them by default.
        hidden: names that are in `masked_imports` of any row of the data set are overwritten, as `hide_names` does.

    Yields:
        (row, bytes) in the order of the rows. A row whose file cannot be had any more is left out: Debian keeps one
        version of a package.

    Raises:
        BadInput: files are missing and this is no Debian with apt-get and dpkg-deb; a column is missing.

    Cost: all files are 540 MB in the folder and 4,000 packages to fetch, some 40 minutes; `apt-get update` first.
    """
    table = debian_programs() if rows is None else rows
    found = table.to_pylist() if hasattr(table, "to_pylist") else [dict(row) for row in table]
    for row in found:
        if lacking := [name for name in _COLUMNS if name not in row]:
            came = f"rows without {', '.join(lacking)} came"
            raise BadInput(_WHERE, came, "rows of `debian_programs` are right")
    place = Path(folder)
    missing = sum(not (place / row["sha256"]).is_file() for row in found)
    if missing and not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise BadInput(
            _WHERE,
            f"{missing} of {len(found)} files are not in {place}, and there is no apt-get here to fetch them",
            "a Debian 12 (amd64) can fetch them",
            "Copy the folder from one, or choose the rows whose files you have.",
        )
    place.mkdir(parents=True, exist_ok=True)
    return _each(found, place, hidden=hidden)


def hide_names(data: bytes, names: Iterable[str]) -> bytes:
    """An ELF file with some names overwritten, in its string table for the loader and wherever they stand as words.

    Each is overwritten by another name of the same length of that table, chosen by its hash; else by two that fill it,
    or by the beginning of a longer one. Zeros would not do: a run of zeros between names says what has stood there. The
    table then names something twice, which is in other files the case for no name: a trace that is left, though one
    that no window of a file shows by itself. What is part of a longer name stays, since the longer one may be read.

    Args:
        data: the file. It cannot be run any more.
        names: what to hide. The same ones in all files: a word that is left in those of one label alone tells it.

    Returns:
        As many bytes; the same bytes where there is no such table.

    Cost: linear in the file.

    >>> hide_names(b"no program", ["socket"])
    b'no program'
    """
    start, stop = _string_table(data)
    unwanted = {name.encode() for name in names if name}
    if start == stop or not unwanted:
        return data
    # Libraries and versions stand there too; they have a dot.
    others = sorted({one for one in data[start:stop].split(b"\0") if one and b"." not in one} - unwanted)
    instead = {name: _instead(name, others, data[:64]) for name in unwanted}
    words = b"|".join(re.escape(name) for name in sorted(unwanted, key=len, reverse=True))
    return re.sub(rb"(?<![A-Za-z0-9_])(?:" + words + rb")(?![A-Za-z0-9_])", lambda found: instead[found[0]], data)


def _instead(name: bytes, others: list[bytes], salt: bytes) -> bytes:
    """Names of a file in the place of another one, as long as it."""
    size = len(name)
    fits = [one for one in others if len(one) == size]
    if not fits:
        of_size: dict[int, bytes] = {len(one): one for one in others}
        fits = [one + b"\0" + of_size[size - len(one) - 1] for one in others if size - len(one) - 1 in of_size]
    fits = fits or [one for one in others if len(one) > size] or [b"x" * size]
    digest = int.from_bytes(hashlib.sha256(name + salt).digest()[:8], "big")
    return fits[digest % len(fits)][:size]


def _string_table(data: bytes) -> tuple[int, int]:
    """Where .dynstr is: the table that the first section of dynamic symbols is linked to; (0, 0) if nowhere."""
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
        return 0, 0
    (sections,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    if size < 64 or sections + size * count > len(data):
        return 0, 0
    for i in range(count):
        kind, link = (struct.unpack_from("<I", data, sections + size * i + at)[0] for at in (4, 40))
        if kind == 11 and link < count:  # SHT_DYNSYM
            offset, length = struct.unpack_from("<QQ", data, sections + size * link + 24)
            return (offset, offset + length) if offset + length <= len(data) else (0, 0)
    return 0, 0


def _each(rows: list[dict[str, Any]], folder: Path, *, hidden: bool) -> Iterator[tuple[Row, bytes]]:
    """In groups of so many packages, so that little is fetched ahead of what is asked for."""
    while rows:
        packages: dict[tuple[str, str], set[str]] = {}
        taken = 0
        for row in rows:
            packages.setdefault((row["package"], row["version"]), set())
            if len(packages) > _AT_ONCE:
                break
            taken += 1
        group, rows = rows[:taken], rows[taken:]
        kept = {row["sha256"]: _kept(folder, row["sha256"]) for row in group}
        for row in group:
            if kept[row["sha256"]] is None:
                packages[row["package"], row["version"]].add(row["sha256"])
        for sha256, data in _fetched({package: files for package, files in packages.items() if files}):
            _keep(folder, sha256, data)
            kept[sha256] = data
        for row in group:
            if (found := kept[row["sha256"]]) is not None:
                yield row, hide_names(found, _masked()) if hidden else found


@cache
def _masked() -> frozenset[str]:
    return frozenset(name for row in debian_programs()["masked_imports"].to_pylist() for name in row)


def _kept(folder: Path, sha256: str) -> bytes | None:
    """The file, if it is there and what its name says; a broken one is as good as none."""
    path = folder / sha256
    if not path.is_file() or path.stat().st_size > _MOST:
        return None
    data = path.read_bytes()
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def _keep(folder: Path, sha256: str, data: bytes) -> None:
    partial = folder / f".{sha256}.partial"
    partial.write_bytes(data)
    partial.replace(folder / sha256)


def _fetched(packages: dict[tuple[str, str], set[str]]) -> Iterator[tuple[str, bytes]]:
    """(sha256, content) of the wanted files of packages, as far as they can be had."""
    if not packages or not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return
    with tempfile.TemporaryDirectory() as folder:
        # apt drops its privileges to the user _apt, who may not write to a private folder of root's.
        Path(folder).chmod(0o777)
        # Together; one by one if that failed, since one package that is gone fails them all.
        if not _downloaded(list(packages), folder):
            for package in packages:
                _downloaded([package], folder)
        for (name, _), wanted in packages.items():
            for deb in sorted(Path(folder).glob(f"{name}_*.deb")):
                yield from _wanted(deb, wanted)


def _downloaded(packages: list[tuple[str, str]], folder: str) -> bool:
    asked = [f"{name}={version}" for name, version in packages]
    try:
        done = subprocess.run(
            ["apt-get", "download", "-qq", *asked], cwd=folder, capture_output=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _wanted(deb: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=False, timeout=_SECONDS)
    if unpacked.returncode:
        return
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() and member.size <= _MOST else None
            data = content.read() if content is not None else b""
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256 in wanted:
                yield sha256, data
