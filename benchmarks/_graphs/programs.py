"""Call graphs of Debian's programs, with the names that make the labels masked; splits by source package."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from isotone.datasets.debian_programs.build import MASKED
from isotone.graphs import Graphs

LABELS = ("net", "exec", "priv")
NAMES_OF = {
    "exec": "execve execv execvp execvpe execl execlp execle fexecve system popen posix_spawn posix_spawnp",
    "priv": "setuid setgid seteuid setegid setresuid setresgid setreuid setgroups initgroups capset chroot ptrace "
    "mount init_module",
}
# Never nodes: names that make a label, and those that serve only with a socket, a child or another identity.
COMPANIONS = (
    "fork vfork waitpid wait wait3 wait4 waitid pclose _exit getuid geteuid getgid getegid getgroups getresuid "
    "getresgid umount umount2 prctl unshare clone posix_spawnattr_init posix_spawnattr_destroy "
    "posix_spawnattr_setflags posix_spawn_file_actions_init posix_spawn_file_actions_destroy "
    "posix_spawn_file_actions_adddup2 posix_spawn_file_actions_addclose posix_spawnattr_setsigmask "
    "posix_spawnattr_setsigdefault posix_spawnattr_setpgroup capget"
)
HIDDEN = set(MASKED) | {name for text in (*NAMES_OF.values(), COMPANIONS) for name in text.split()}
# Names of fewer training programs say little and would be memorised.
FEWEST = 10
# A node: is it an import, the logarithm of its instructions, the number of its name (0 a function, 1 a rare name).
FEATURES = 3


@dataclass(frozen=True)
class Program:
    source: str
    functions: int
    instructions: tuple[int, ...]
    imports: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    labels: tuple[int, ...]


def read(folder: Path) -> list[Program]:
    """All programs, without the hidden names and their edges."""
    found = []
    with gzip.open(folder / "debian_fcg" / "graphs.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            n, names = row["n_func"], row["imports"]
            kept = [i for i, name in enumerate(names) if name not in HIDDEN]
            place = {n + i: n + p for p, i in enumerate(kept)} | {f: f for f in range(n)}
            found.append(
                Program(
                    row["source"],
                    n,
                    tuple(row["ninstr"]),
                    tuple(names[i] for i in kept),
                    tuple((place[u], place[v]) for u, v in row["edges"] if u in place and v in place),
                    tuple(row[label] for label in LABELS),
                )
            )
    return found


def parts(programs: list[Program], seed: int) -> tuple[list[int], list[int], list[int]]:
    """Rows for training, validation and test: whole source packages, about 45, 25 and 30 % of them."""
    sources = sorted({program.source for program in programs})
    order = np.random.default_rng(seed).permutation(len(sources))
    share = {sources[i]: place / len(sources) for place, i in enumerate(order)}
    at = [share[program.source] for program in programs]
    return (
        [i for i, a in enumerate(at) if a < 0.45],
        [i for i, a in enumerate(at) if 0.45 <= a < 0.7],
        [i for i, a in enumerate(at) if a >= 0.7],
    )


def vocabulary(programs: list[Program]) -> dict[str, int]:
    """A number from 2 for each name that enough of the programs import."""
    count = Counter(name for program in programs for name in set(program.imports))
    return {name: i for i, name in enumerate(sorted(n for n, c in count.items() if c >= FEWEST), start=2)}


def graph(program: Program, names: dict[str, int]) -> Graphs:
    """A call is an edge from what is called to the caller: what a function can do is what it calls."""
    functions = [(0.0, math.log1p(n), 0.0) for n in program.instructions]
    imports = [(1.0, 0.0, float(names.get(name, 1))) for name in program.imports]
    x = torch.tensor(functions + imports).reshape(-1, FEATURES)
    edges = torch.tensor(program.edges, dtype=torch.int64).reshape(-1, 2).T
    return Graphs(x, edges.flip(0).contiguous())


def presences(program: Program, names: dict[str, int]) -> Tensor:
    """The import table: one entry per known name."""
    row = torch.zeros(len(names))
    row[[names[name] - 2 for name in set(program.imports) if name in names]] = 1.0
    return row
