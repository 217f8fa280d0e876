"""The rows of the comparison, the same for every model, in the form each of them takes."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from isotone.data import (
    Encoder,
    call_graphs,
    debian_call_graphs,
    debian_program_bytes,
    debian_programs,
    import_numbers,
    split,
)
from isotone.families import Material
from isotone.graphs import Graphs
from isotone.training import Rows

SHARES = (0.5, 0.25, 0.25)
LARGEST = 65_536  # bytes of a program
PARTS = ("train", "validation", "test")


class Programs:
    """Programs of at most 64 KiB that have a call graph, by source package in the order of a hash of its name."""

    def __init__(self, folder: Path, most: int) -> None:
        graphs = debian_call_graphs()
        place = {sha256: i for i, sha256 in enumerate(graphs["sha256"].to_pylist())}
        table = debian_programs()
        facts = table.select(["sha256", "source", "size"]).to_pylist()
        fits = [i for i, row in enumerate(facts) if row["size"] <= LARGEST and row["sha256"] in place]
        # Another hash than the data set's own: by that one sources of the networked stratum come late.
        fits.sort(key=lambda i: (hashlib.sha256(f"some {facts[i]['source']}".encode()).hexdigest(), i))
        chosen = table.take(pa.array(sorted(fits[:most])))
        had = dict(self._files(folder, chosen))
        self.table = chosen.take(pa.array([i for i, s in enumerate(chosen["sha256"].to_pylist()) if s in had]))
        sha256 = self.table["sha256"].to_pylist()
        self.files = [torch.frombuffer(bytearray(had[s]), dtype=torch.uint8) for s in sha256]
        self.graphs = graphs.take(pa.array([place[s] for s in sha256])).to_pylist()
        self.labels = np.array(self.table["network"].to_pylist(), dtype=np.int64)
        self.sources = np.array(self.table["source"].to_pylist())

    @staticmethod
    def _files(folder: Path, rows: Any) -> Any:
        return ((row["sha256"], data) for row, data in debian_program_bytes(folder, rows))


class Sides:
    """Training, validation and test rows of one seed."""

    def __init__(self, programs: Programs, seed: int) -> None:
        self.programs, self.seed = programs, seed
        parts = split(programs.labels, programs.sources, SHARES, seed)
        self.at: dict[str, NDArray[np.int64]] = {part: getattr(parts, part) for part in PARTS}
        self.labels = {part: programs.labels[at] for part, at in self.at.items()}

    def files(self, part: str) -> list[Tensor]:
        return [self.programs.files[i] for i in self.at[part]]

    @cached_property
    def numbers(self) -> dict[str, int]:
        return import_numbers([self.programs.graphs[i] for i in self.at["train"]])

    @cached_property
    def graphs(self) -> dict[str, list[Graphs]]:
        return {part: call_graphs([self.programs.graphs[i] for i in at], self.numbers) for part, at in self.at.items()}

    @cached_property
    def rows(self) -> dict[str, Rows]:
        training = self.programs.table.take(pa.array(self.at["train"]))
        encoder = Encoder.fit(training, label="network", names="imports")
        examples = encoder.encode(self.programs.table)
        return {part: Rows(examples.take(at), self.labels[part]) for part, at in self.at.items()}

    @property
    def material(self) -> Material:
        width = self.rows["train"].examples.names.shape[1]
        return Material(self.rows["train"], self.rows["validation"], (1,) * width)
