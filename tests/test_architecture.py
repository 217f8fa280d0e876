"""The house: storeys import downwards only, and the front door costs little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import isotone

ROOT = Path(isotone.__file__).parent

# Each storey may import from those below it, and from itself only where it says so.
STOREYS = [
    {"errors", "directions", "threat", "verdict", "naming", "_version"},  # words
    {"constraints", "saving", "graphs", "offsets"},
    {"nn", "certify", "attack", "data", "encoding", "files"},  # wings without doors between
    {"training", "evaluation", "progress", "suggesting", "effects", "bounds"},
    {"families", "proving", "explain", "report", "auditing", "pricing", "headroom", "streaming"},
    {"tuning", "estimators", "byte_files", "floors"},
    {"experiment", "boosters", "detector"},
    {"facts", "model_folder"},
    {"workflow", "scoring", "certifying", "comparing", "calibrating", "guarding"},
    {"tables"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}
WITHIN = {
    ("threat", "directions"),
    ("threat", "errors"),
    ("directions", "errors"),
    ("naming", "errors"),
}  # words that use words
DATA_ONLY = {"datasets"}


def rooms():
    return sorted({path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")} - {"__init__"})


def imports_of(path):
    """(room imported, line) for every import of ours, absolute or relative."""
    package = ("isotone", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            full = (*base, *(node.module.split(".") if node.module else ()))
            if full[:1] == ("isotone",):
                targets = [full[1]] if len(full) > 1 else [alias.name for alias in node.names]
                yield from ((target, node.lineno) for target in targets)
        elif isinstance(node, ast.Import):
            yield from (
                (alias.name.split(".")[1], node.lineno) for alias in node.names if alias.name.startswith("isotone.")
            )


def faults(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for target, line in imports_of(path):
        if target == room or (room, target) in WITHIN or target == "__version__":
            continue
        if target not in LEVEL or LEVEL[target] >= LEVEL[room]:
            yield f"{path.name}:{line}: {room} imports {target}"


def test_what_is_imported_later_is_there_when_it_is_asked_for():
    for name in isotone._LATER:
        assert getattr(isotone, name).__module__.startswith(f"isotone.{isotone._LATER[name]}")
    for name in isotone._ROOMS:
        assert getattr(isotone, name).__name__ == f"isotone.{name}"
    script = "import isotone, sys; assert 'isotone.auditing' not in sys.modules; isotone.audit"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_every_room_has_a_storey():
    assert set(rooms()) - DATA_ONLY == set(LEVEL)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path):
    front_door = path == ROOT / "__init__.py"
    assert front_door or "datasets" in path.parts or not list(faults(path))


def test_an_upward_import_would_be_found(tmp_path, monkeypatch):
    liar = tmp_path / "constraints" / "_liar.py"
    liar.parent.mkdir()
    liar.write_text("from ..nn import MonotoneLinear\nfrom isotone.training import train\nimport isotone.cli\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert [fault.split(": ")[1] for fault in faults(liar)] == [
        "constraints imports nn",
        "constraints imports training",
        "constraints imports cli",
    ]


def test_the_front_door_needs_only_torch_and_numpy():
    heavy = ["scipy", "sklearn", "pyarrow", "matplotlib", "jinja2", "typer", "lightgbm", "lightning_fabric", "keras"]
    heavy += ["optuna"]
    code = f"import isotone, sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
