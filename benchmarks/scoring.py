"""How many rows of names does `isotone score` score in a second, in how much memory, and how long does one row take?

Rows: the names of the shipped programs, at most 50 each, drawn again and again into one file of JSON lines. Beside it,
in the same run and on one thread too, LightGBM's `predict` on the same rows, encoded already: no reading, no records.
The figures go to benchmarks/results/scoring.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import torch

from isotone import workflow
from isotone.data import debian_programs, labels_of
from isotone.experiment import Question
from isotone.model_folder import ModelFolder
from isotone.streaming import PreparedScorer
from isotone.training import Recipe

NAMES, TREES, SMALL = 50, 200, 100_000
RESULTS = Path(__file__).parent / "results" / "scoring.json"
MEASURED = """
import json, sys, time
from isotone.cli import main
sys.argv = ["isotone", "score", *sys.argv[1:]]
started = time.perf_counter()
try:
    main()
except SystemExit:
    seconds, cpu = time.perf_counter() - started, time.process_time()
    # Not ru_maxrss: that of a child begins with its parent's.
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
    sys.stderr.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak / 1024}))
"""


def small_model() -> Any:
    """Trained for speed's sake only: an epoch gives a network of the usual size."""
    question = Question(label="network", names="imports", group="source")
    recipe = Recipe(epochs=1, accelerator="cpu")
    return workflow.train_folder(
        debian_programs(), question, name="programs", recipe=recipe, settings=({"pool": "max"},)
    )


def lines(rows: int, seed: int = 0) -> list[bytes]:
    """As many different rows as there are programs; the file repeats them in a drawn order."""
    rng = np.random.default_rng(seed)
    found = []
    for at, names in enumerate(debian_programs()["imports"].to_pylist()):
        some = [names[i] for i in sorted(rng.permutation(len(names))[:NAMES])]
        found.append(json.dumps({"id": f"r{at}", "imports": some}).encode() + b"\n")
    return [found[i] for i in rng.integers(len(found), size=rows)]


def scored(model: Path, data: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-c", MEASURED, str(model), str(data), "--id", "id"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with Path(os.devnull).open("w") as nowhere:
        ran = subprocess.run(command, stdout=nowhere, stderr=subprocess.PIPE, text=True, env=environment, check=True)
    said, measured = ran.stderr.split("could not be read\n")
    assert said.startswith(f"{rows} rows")
    found: dict[str, float] = json.loads(measured)
    return {**found, "rows_a_second": rows / found["seconds"], "rows_a_cpu_second": rows / found["cpu_seconds"]}


def percentiles(call: Any, rows: list[Any]) -> dict[str, float]:
    """Of the time on the wall, and of processor time, which neighbours disturb less."""
    wall, cpu = [], []
    for row in rows:
        started = time.perf_counter(), time.process_time()
        call(row)
        wall.append(1000 * (time.perf_counter() - started[0]))
        cpu.append(1000 * (time.process_time() - started[1]))
    return {
        f"{name}_p{share}_ms": float(np.percentile(taken, share))
        for name, taken in (("wall", wall), ("cpu", cpu))
        for share in (50, 99)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--model", type=Path, help="A model folder of the shipped programs (default: one is trained).")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        model = asked.model or small_model().save(Path(place) / "model")
        folder = ModelFolder.load(model)
        drawn = lines(min(SMALL, asked.rows))
        files = {}
        for rows in sorted({len(drawn), asked.rows}):
            files[rows] = Path(place) / f"{rows}.jsonl"
            with files[rows].open("wb") as file:
                for _ in range(rows // len(drawn)):
                    file.writelines(drawn)
                file.writelines(drawn[: rows % len(drawn)])

        table = debian_programs()
        training = folder.encoder.encode(table).matrix()
        booster = lightgbm.train(
            {"verbosity": -1, "num_threads": 1, "objective": "binary"},
            lightgbm.Dataset(training, labels_of(table, "network")),
            num_boost_round=TREES,
        )
        few = [json.loads(line)["imports"] for line in drawn[:20_000]]
        examples = folder.encoder.encode(pa.table({"imports": pa.array(few, pa.list_(pa.string()))}))
        matrix, scorer = examples.matrix(), PreparedScorer(folder.network)

        def seconds(call: Any) -> float:
            """Processor time: wall time would be that of the neighbours too."""
            started = time.process_time()
            call()
            return time.process_time() - started

        def one_row(names: list[str]) -> None:
            scorer.logits(folder.encoder.encode(pa.table({"imports": pa.array([names], pa.list_(pa.string()))})))

        peers: dict[str, list[float]] = {"lightgbm predict, encoded rows": [], "isotone logits, encoded rows": []}
        streamed = {}
        for rows, file in files.items():
            for name, call in zip(
                peers,
                (lambda: booster.predict(matrix, num_threads=1, raw_score=True), lambda: scorer.logits(examples)),
                strict=True,
            ):
                peers[name] += [len(few) / seconds(call) for _ in range(3)]
            streamed[rows] = scored(model, file, rows)
        largest = streamed[max(streamed)]
        fastest = {name: float(np.median(found)) for name, found in peers.items()}
        found = {
            "names_a_row_at_most": NAMES,
            "bytes_a_row": sum(map(len, drawn)) / len(drawn),
            "features": len(folder.encoder.features),
            "trees": TREES,
            "score": streamed,
            "rows_a_cpu_second": fastest,
            "score_to_lightgbm": largest["rows_a_cpu_second"] / fastest["lightgbm predict, encoded rows"],
            "one_row": {
                "isotone, encode and score": percentiles(one_row, few[:2_000]),
                "lightgbm, encoded row": percentiles(
                    lambda at: booster.predict(matrix[at], num_threads=1), list(range(2_000))
                ),
            },
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
        }
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
