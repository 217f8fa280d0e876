"""What `certify` and the attacks find at each step of examples/forum_graph_classifier.py.

The example itself; figures go to benchmarks/results/forum_walk.json, and docs/graphs.md has its table of them.

    python benchmarks/forum_walk.py     # a minute or two on one core
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import torch
from _tabular import records

RESULTS = records.RESULTS / "forum_walk.json"
EXAMPLE = Path(__file__).parent.parent / "examples" / "forum_graph_classifier.py"


def table(rows: list[dict[str, Any]]) -> str:
    """The lines of docs/graphs.md."""
    return "\n".join(
        f"| {number}. {row['step']} | {row['auc']:.3f} | {row['detected']:.0%} | {row['verdict']} | "
        f"{row['evaded']} of {row['attacked']} |".replace("%", " %").replace(">=", "at least")
        for number, row in enumerate(rows)
    )


def main() -> None:
    """One walk, one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = sys.modules["example"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    records.keep(options.out, "python benchmarks/forum_walk.py", {"steps": example.walk()})
    print(table(json.loads(options.out.read_text())["steps"]))


if __name__ == "__main__":
    main()
