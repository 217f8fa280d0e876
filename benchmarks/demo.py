"""The figures of `isotone demo`: what the README's first table is made of.

The demo itself, with its own seeds; nothing is chosen here. Figures go to benchmarks/results/demo.json.

    python benchmarks/demo.py     # about five minutes of a core
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from _tabular import records

from isotone import workflow
from isotone.progress import Progress

RESULTS = records.RESULTS / "demo.json"


def figures(facts: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of every detector, and which seeds and rows it is of."""
    shown = ("name", "role", "chosen", "auc", "clean", "false_alarms", "curve")
    return {
        "seeds": facts["seeds"],
        "data": facts["data"],
        "verdict": facts["certificate"]["verdict"],
        "detectors": [{key: one[key] for key in shown} for one in facts["detectors"]],
    }


def table(found: dict[str, Any]) -> str:
    """The rows of the README's table, without its names of the detectors."""

    def spread(one: dict[str, Any], middle: str) -> str:
        return f"{100 * one[middle]:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f})"

    lines = []
    for one in found["detectors"]:
        curve = dict(zip(one["curve"]["budgets"], one["curve"]["detection"], strict=True))  # None: any number
        after = " | ".join(f"{100 * curve[budget]['mean']:.1f} %" for budget in (10, None))
        clean, alarms = spread(one["clean"], "mean"), spread(one["false_alarms"], "rate")
        lines.append(f"{one['auc']['mean']:.3f} | {clean} | {after} | {alarms}")
    return "\n".join(lines)


def main() -> None:
    """One run, one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = workflow.demo(Progress())
    found = {"cpu_seconds": time.process_time(), "threads": torch.get_num_threads(), **figures(folder.facts)}
    records.keep(options.out, "python benchmarks/demo.py", found)
    print(table(json.loads(options.out.read_text())))


if __name__ == "__main__":
    main()
