"""The shipped data set: its tables, its call graphs as graphs, its files from a folder or from Debian."""

import hashlib
import os
import shutil
import struct
import subprocess

import pyarrow as pa
import pytest
import torch

from isotone.data import (
    KINDS,
    NODE_FEATURES,
    call_graphs,
    debian_call_graphs,
    debian_program_bytes,
    debian_programs,
    hide_names,
    import_numbers,
)
from isotone.data import _program_bytes as fetching
from isotone.data._programs import _shipped
from isotone.datasets.debian_programs.build import MASKED
from isotone.errors import BadInput
from isotone.nn import GraphNetwork


@pytest.fixture(scope="module")
def graphs():
    return debian_call_graphs()


def elf(names):
    """The least that has a table of dynamic symbols with these names: a header, the table, two section headers."""
    table = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    table += bytes(-len(table) % 8)
    places = (3, 62, 1, 0, 0, 64 + len(table), 0, 64, 0, 0, 64, 2, 0)
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *places)
    dynsym = struct.pack("<IIQQQQIIQQ", 0, 11, 0, 0, 0, 0, 1, 0, 8, 24)
    dynstr = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64, len(table), 0, 0, 1, 0)
    return header + table + dynsym + dynstr


def in_folder(folder, *contents):
    """Rows of files that are put into a folder."""
    rows = []
    for i, data in enumerate(contents):
        sha256 = hashlib.sha256(data).hexdigest()
        (folder / sha256).write_bytes(data)
        rows.append({"package": f"p{i}", "version": "1", "sha256": sha256, "masked_imports": ["socket"], "network": 1})
    return rows


def test_call_graphs_belong_to_rows_of_the_data_set(graphs):
    of = dict(zip(*(debian_programs()[name].to_pylist() for name in ("sha256", "network")), strict=True))
    labels = dict(zip(graphs["sha256"].to_pylist(), graphs["network"].to_pylist(), strict=True))
    assert len(labels) == graphs.num_rows > 5_800
    assert all(of[sha256] == label for sha256, label in labels.items())


def test_no_masked_name_is_a_node(graphs):
    assert not MASKED & set(graphs["imports"].combine_chunks().flatten().to_pylist())


def test_functions_are_the_numbers_that_are_stored(graphs):
    stored = _shipped("graphs.parquet", "graphs.py")
    for i in (0, 17, 5_000):
        flat = [n for function in graphs["functions"][i].as_py() for n in function]
        assert flat == stored["instructions"][i].as_py()


def test_rows_that_are_taken_keep_their_functions(graphs):
    taken = graphs.take(pa.array([5_000, 17]))
    assert taken["functions"][1].as_py() == graphs["functions"][17].as_py()


def test_graphs_have_a_node_for_each_function_and_import(graphs):
    some = graphs.slice(40, 30)
    numbers = import_numbers(some, fewest=3)
    for row, one in zip(some.to_pylist(), call_graphs(some, numbers), strict=True):
        functions = len(row["functions"])
        assert one.x.shape == (functions + len(row["imports"]), NODE_FEATURES)
        assert torch.allclose(
            one.x[:functions, : len(KINDS)].expm1(), torch.tensor(row["functions"]).float(), rtol=1e-4
        )
        assert one.x[functions:, -1].tolist() == [numbers.get(name, 1) for name in row["imports"]]
        assert one.edge_index.flip(0).tolist() == [row["callers"], row["callees"]]


def test_a_graph_network_takes_them_and_more_code_never_lowers_its_score(graphs):
    some = call_graphs(graphs.slice(0, 2), {})

    class Content(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.names, self.counts = torch.nn.Embedding(2, 4), torch.nn.Linear(len(KINDS), 4)

        def forward(self, x):
            return self.names(x[:, -1].long()) + self.counts(x[:, :-1])

    net = GraphNetwork(NODE_FEATURES, 4, encoder=Content()).eval()
    assert bool(net(some[0].union(some[1])) >= net(some[0]))


# fmt: off
BROKEN = [
    ({"imports": [], "callers": [], "callees": []},                                "functions", "a column is missing"),
    ({"functions": [[1, 2]], "imports": [], "callers": [], "callees": []},         "8 numbers", "too few kinds"),
    ({"functions": [[0] * 8], "imports": [], "callers": [0], "callees": [1]},      "nodes",     "a call of nobody"),
]
# fmt: on


@pytest.mark.parametrize(("row", "said", "why"), BROKEN, ids=[why for *_, why in BROKEN])
def test_rows_that_are_no_call_graph_are_refused(row, said, why):
    with pytest.raises(BadInput, match=said):
        call_graphs([row], {})


def test_a_folder_that_holds_the_files_is_used_as_it_is(tmp_path):
    rows = in_folder(tmp_path, elf(["socket", "strlen"]), elf(["puts"]))
    found = list(debian_program_bytes(tmp_path, rows, hidden=False))
    assert [row["package"] for row, _ in found] == ["p0", "p1"]
    assert [hashlib.sha256(data).hexdigest() for _, data in found] == [row["sha256"] for row in rows]


def test_a_table_of_rows_will_do(tmp_path):
    table = pa.Table.from_pylist(in_folder(tmp_path, elf(["puts"])))
    assert len(list(debian_program_bytes(tmp_path, table))) == 1


def test_a_file_that_is_not_what_its_name_says_is_not_given(tmp_path, monkeypatch):
    rows = in_folder(tmp_path, elf(["socket"]), elf(["puts"]))
    (tmp_path / rows[0]["sha256"]).write_bytes(b"something else")
    monkeypatch.setenv("PATH", "")
    assert [row["package"] for row, _ in debian_program_bytes(tmp_path, rows)] == ["p1"]


def test_without_apt_missing_files_are_refused_before_anything_is_done(tmp_path, monkeypatch):
    rows = [
        *in_folder(tmp_path, elf(["puts"])),
        {"package": "p", "version": "1", "sha256": "0" * 64, "masked_imports": []},
    ]
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match=r"1 of 2 files are not in .* no apt-get here"):
        debian_program_bytes(tmp_path, rows)


def test_rows_without_a_sum_are_refused(tmp_path):
    with pytest.raises(BadInput, match="without package, version"):
        debian_program_bytes(tmp_path, [{"sha256": "0" * 64, "masked_imports": []}])


def packed(folder, name, *contents):
    """A package with these files, made by dpkg-deb."""
    root = folder / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: none\n"
    )
    for i, data in enumerate(contents):
        (root / f"file{i}").write_bytes(data)
    deb = folder / f"{name}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(root), str(deb)], check=True, capture_output=True)
    return deb


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")
def test_files_are_found_in_packages_by_their_sum(tmp_path):
    wanted, other = elf(["socket"]), elf(["puts"])
    deb = packed(tmp_path, "small", other, wanted)
    sha256 = hashlib.sha256(wanted).hexdigest()
    assert list(fetching._wanted(deb, {sha256})) == [(sha256, wanted)]


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")
def test_what_is_no_package_gives_nothing(tmp_path):
    (tmp_path / "broken.deb").write_bytes(b"!<arch>\nnothing")
    assert list(fetching._wanted(tmp_path / "broken.deb", {"0" * 64})) == []


@pytest.mark.skipif(not (shutil.which("dpkg-deb") and os.name == "posix"), reason="no dpkg-deb here")
def test_an_interrupted_call_goes_on_from_what_is_kept(tmp_path, monkeypatch):
    first, second = elf(["strlen"]), elf(["puts"])
    debs, place, tools = tmp_path / "debs", tmp_path / "kept", tmp_path / "tools"
    debs.mkdir(), tools.mkdir()
    rows = [
        {"package": name, "version": "1", "sha256": hashlib.sha256(data).hexdigest(), "masked_imports": []}
        for name, data in (("one", first), ("two", second), ("gone", b"gone"))
    ]
    packed(debs, "one", first), packed(debs, "two", second)
    # In place of the network: a command of that name that knows two packages, and fails when asked for another.
    script = f'#!/bin/sh\nshift 2\nfor p in "$@"; do cp {debs}/"${{p%%=*}}"_1_all.deb . || exit 100; done\n'
    (tools / "apt-get").write_text(script)
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    begun = debian_program_bytes(place, rows)
    assert next(begun)[1] == first
    assert [data for _, data in debian_program_bytes(place, rows)] == [first, second]
    (tools / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    assert [data for _, data in debian_program_bytes(place, rows)] == [first, second]


@pytest.mark.slow
def test_a_file_is_fetched_from_debian(tmp_path):
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("no apt-get here")
    rows = debian_programs().slice(0, 3)
    found = list(debian_program_bytes(tmp_path, rows, hidden=False))
    if not found:
        pytest.skip("apt-get has no lists or no network, or Debian has other versions now")
    assert all(hashlib.sha256(data).hexdigest() == row["sha256"] for row, data in found)
    assert {path.name for path in tmp_path.iterdir()} == {row["sha256"] for row, _ in found}


def names_in(data):
    return [name for name in data[64:].split(b"\0") if name.isascii()]


def test_hidden_names_are_overwritten_by_others_of_their_length():
    data = elf(["socket", "strlen", "bind", "puts", "SSL_connect", "connect"])
    hidden = hide_names(data, ["socket", "bind", "connect"])
    assert len(hidden) == len(data)
    names = names_in(hidden)
    assert names.count(b"strlen") == names.count(b"puts") == 2
    assert b"SSL_connect" in names
    assert not {b"socket", b"bind", b"connect"} & set(names)


# fmt: off
ALIKE = [
    # names                        why no byte changes
    (["strlen", "puts"],           "nothing to hide is there"),
    (["SSL_socket", "puts"],       "the end of a longer name, which may be read"),
    (["socketpair_x", "puts"],     "the beginning of a longer name"),
]
# fmt: on


@pytest.mark.parametrize(("names", "why"), ALIKE, ids=[why for *_, why in ALIKE])
def test_other_names_stay(names, why):
    assert hide_names(elf(names), ["socket"]) == elf(names)


def test_names_are_hidden_in_messages_too_and_others_fill_their_place():
    data = elf(["connect", "bind", "fread", "puts", "getenv"]) + b"\0connect: failed, not connected\0"
    hidden = hide_names(data, ["connect", "bind"])
    assert hidden.endswith(b": failed, not connected\0")
    assert b"connect:" not in hidden
    assert len(hidden) == len(data)
    assert hide_names(elf(["connect", "puts", "go"]), ["connect"]).count(b"puts\0go") == 1


def test_a_table_of_nothing_else_is_crossed_out():
    assert names_in(hide_names(elf(["socket"]), ["socket"]))[1] == b"xxxxxx"


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_files_cut_or_scrambled_come_back_with_as_many_bytes(at):
    data = elf(["socket", "strlen"])
    assert len(hide_names(data[:at], ["socket"])) == len(data[:at])
    scrambled = data[:at] + b"\xff" * 9 + data[at + 9 :]
    assert len(hide_names(scrambled, ["socket"])) == len(scrambled)
