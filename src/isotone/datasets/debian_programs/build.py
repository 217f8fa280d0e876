"""Make `programs.parquet`: which functions do Debian's programs import, and can they open a network connection?

- downloads packages with apt, reads their ELF files in memory, keeps facts and never bytes;
- the choice of packages and files is a hash of their names: the same package lists give the same rows;
- every row can be found again by package, version and sha256 (`--verify` counts those that still can).

    python build.py --out programs.parquet            # Debian 12 amd64, after `apt-get update`; about 15 minutes
    python build.py --verify programs.parquet

Needs pyelftools and pyarrow (`pip install 'isotone[data-build]'`).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

# A file that imports one of these can open a network connection (or a local socket: the table does not tell).
NETWORK = frozenset({"accept", "accept4", "connect", "getaddrinfo", "listen", "socket"})

# Never features: the names that make the label, and those that serve only with a socket or with what those names return
# (freeaddrinfo frees what getaddrinfo gave: 44 % of the networked files import it and no other file does).
MASKED = NETWORK | {
    "__recv_chk", "__recvfrom_chk", "bind", "freeaddrinfo", "gai_strerror", "getaddrinfo_a", "gethostbyaddr",
    "gethostbyaddr_r", "gethostbyname", "gethostbyname2", "gethostbyname2_r", "gethostbyname_r", "getnameinfo",
    "getpeername", "getsockname", "getsockopt", "recv", "recvfrom", "recvmmsg", "recvmsg", "send", "sendmmsg",
    "sendmsg", "sendto", "setsockopt", "shutdown", "sockatmark", "socketpair",
}  # fmt: skip

# Sections where networked programs are common. Plain sampling gives about 7 % positives; this stratum lifts the share.
NETWORK_SECTIONS = frozenset({"comm", "httpd", "mail", "net", "web"})
LEFT_OUT_SECTIONS = frozenset({"debug", "kernel", "metapackages", "oldlibs"})

SOURCES_WANTED = {"network": 1000, "other": 1600}  # source packages of each stratum, in the order of their hash
PACKAGES_PER_SOURCE = 6
FILES_PER_SOURCE = 10
LARGEST_PACKAGE = 2_000_000  # bytes of the .deb
FILE_SIZES = range(1 << 10, 1 << 19)  # bytes of the program
FEWEST_IMPORTS = 5


@dataclass(frozen=True)
class Package:
    name: str
    source: str
    version: str
    section: str
    stratum: str


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def available_packages() -> Iterator[Package]:
    """Every package of the lists apt has now that can hold a dynamically linked program of a fair size."""
    dump = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True).stdout
    for stanza in dump.split("\n\n"):
        field = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, flags=re.MULTILINE))
        section = field.get("Section", "").rpartition("/")[2]
        fits = (
            field.get("Architecture") == "amd64"
            and "libc6" in field.get("Depends", "")
            and int(field.get("Size", "0")) <= LARGEST_PACKAGE
            and section not in LEFT_OUT_SECTIONS
        )
        if fits:
            source = str(field.get("Source", field["Package"])).split()[0]
            network = section in NETWORK_SECTIONS or "network::" in stanza or "protocol::" in stanza
            yield Package(field["Package"], source, field["Version"], section, "network" if network else "other")


def chosen(packages: Iterator[Package]) -> list[Package]:
    """The first sources of each stratum in hash order; a source with one networked package counts as networked."""
    by_source: dict[str, dict[str, Package]] = defaultdict(dict)
    for package in packages:
        by_source[package.source].setdefault(package.name, package)
    strata: dict[str, list[str]] = defaultdict(list)
    for source in sorted(by_source, key=hashed):
        networked = any(package.stratum == "network" for package in by_source[source].values())
        strata["network" if networked else "other"].append(source)
    wanted = [source for stratum, count in SOURCES_WANTED.items() for source in strata[stratum][:count]]
    return [
        by_source[source][name]
        for source in wanted
        for name in sorted(by_source[source], key=hashed)[:PACKAGES_PER_SOURCE]
    ]


def downloaded(packages: list[Package], folder: Path, batch: int = 40) -> Iterator[tuple[Package, Path]]:
    """Each package with its file. One that can no longer be had is left out (the caller counts)."""
    for start in range(0, len(packages), batch):
        group = packages[start : start + batch]
        for attempt in ([group], [[package] for package in group]):  # together, or one by one if that failed
            results = [
                subprocess.run(
                    ["apt-get", "download", "-qq", *(f"{package.name}={package.version}" for package in part)],
                    cwd=folder, capture_output=True, check=False,
                ).returncode
                for part in attempt
            ]  # fmt: skip
            if not any(results):
                break
        for package in group:
            for path in folder.glob(f"{package.name}_*.deb"):
                yield package, path
                path.unlink()
        print(f"\r{min(start + batch, len(packages))}/{len(packages)} packages", end="", file=sys.stderr)
    print(file=sys.stderr)


def elf_files(deb: Path) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the regular files of a package that start as ELF does."""
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile() and member.size in FILE_SIZES:
                data = archive.extractfile(member).read()  # type: ignore[union-attr]
                if data.startswith(b"\x7fELF"):
                    yield member.name.removeprefix("."), data


def imports_of(data: bytes) -> list[str]:
    """Names of the undefined dynamic symbols of an ELF file, sorted, each once."""
    elf = ELFFile(io.BytesIO(data))
    table = elf.get_section_by_name(".dynsym")
    if table is None or elf["e_machine"] != "EM_X86_64":
        return []
    return sorted({s.name for s in table.iter_symbols() if s.name and s["st_shndx"] == "SHN_UNDEF"})


def rows_of(package: Package, deb: Path) -> Iterator[dict[str, object]]:
    for path, data in elf_files(deb):
        try:
            imports = imports_of(data)
        except (ELFError, UnicodeDecodeError):
            continue
        features = [name for name in imports if name not in MASKED]
        if len(features) >= FEWEST_IMPORTS:
            masked = [name for name in imports if name in MASKED]
            yield {
                "package": package.name,
                "source": package.source,
                "version": package.version,
                "section": package.section,
                "path": path,
                "sha256": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "imports": features,
                "masked_imports": masked,
                "network": int(not NETWORK.isdisjoint(masked)),
            }


def distinct(rows: list[dict[str, object]]) -> tuple[list[dict[str, object]], Counter[str]]:
    """At most FILES_PER_SOURCE rows a source, no file twice, no (imports, label) twice; and counts of the others."""
    left_out: Counter[str] = Counter()
    files: set[object] = set()
    vectors: set[object] = set()
    per_source: Counter[object] = Counter()
    kept = []
    for row in sorted(rows, key=lambda row: hashed(f"{row['sha256']}")):
        vector = (row["network"], *row["imports"])  # type: ignore[misc]
        if row["sha256"] in files:
            left_out["same file"] += 1
        elif vector in vectors:
            left_out["same imports and label"] += 1
        elif per_source[row["source"]] >= FILES_PER_SOURCE:
            left_out["source has enough"] += 1
        else:
            files.add(row["sha256"])
            vectors.add(vector)
            per_source[row["source"]] += 1
            kept.append(row)
    return sorted(kept, key=lambda row: (row["source"], row["package"], row["path"])), left_out


def build(out: Path) -> None:
    packages = chosen(available_packages())
    rows: list[dict[str, object]] = []
    seen = set()
    with tempfile.TemporaryDirectory() as folder:
        # apt drops its privileges to the user _apt, who may not write to a private folder of root's.
        Path(folder).chmod(0o777)
        for package, deb in downloaded(packages, Path(folder)):
            seen.add(package)
            rows += rows_of(package, deb)
    kept, left_out = distinct(rows)
    table = pa.Table.from_pylist(kept)
    partial = out.with_suffix(".partial")
    pq.write_table(table, partial, compression="zstd", compression_level=19, row_group_size=len(kept))
    partial.replace(out)
    print(f"packages: {len(packages)} chosen, {len(packages) - len(seen)} not obtainable")
    print(f"files: {len(rows)} read, {len(kept)} kept, left out: {dict(left_out)}")
    print(
        f"sources: {len({row['source'] for row in kept})}, positives: {sum(int(str(row['network'])) for row in kept)}"
    )
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def verify(path: Path) -> None:
    """Counts the rows whose file can still be had: same package, same version, same sha256."""
    table = pq.read_table(path, columns=["package", "source", "version", "section", "sha256"]).to_pylist()
    wanted: dict[Package, set[str]] = defaultdict(set)
    for row in table:
        package = Package(row["package"], row["source"], row["version"], row["section"], "")
        wanted[package].add(row["sha256"])
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        for package, deb in downloaded(list(wanted), Path(folder)):
            found += len(wanted[package] & {hashlib.sha256(data).hexdigest() for _, data in elf_files(deb)})
    print(f"{found} of {len(table)} files can be had again; {len(table) - found} cannot")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the Parquet file to write")
    what.add_argument("--verify", type=Path, help="a Parquet file whose programs are to be found again")
    options = parser.parse_args()
    build(options.out) if options.out else verify(options.verify)


if __name__ == "__main__":
    main()
