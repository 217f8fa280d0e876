"""What does it cost a detector on call graphs that no addition can evade it, and how fast do the usual ones fall?

Programs of Debian (folder/debian_fcg): does a program open connections, start others, change its identity? Names that
say so are masked, and whole source packages are on one side. Settings and epochs are chosen on validation programs,
thresholds too (1 % false alarms); test programs are scored once. Lines of JSON, so that the command can be given again.

    python benchmarks/graphs.py --data folder               ten minutes on a quiet core
    python benchmarks/graphs.py --report                    the tables of docs/graphs.md
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _graphs import models, programs
from sklearn.metrics import roc_auc_score

from isotone.attack import evasion_rate, fewest, graph_suite, is_broken
from isotone.graphs import Graphs

RESULTS = Path(__file__).parent / "results" / "graphs.jsonl"
SEEDS, EPOCHS, VICTIMS = (0, 1, 2), 10, 8
IMPORTS = {"imports, monotone": True, "imports, free": False}
# A plain sum of states, for the question what a readout does to large programs.
LARGE = "isotone, sum readout"


class Split:
    """The programs of one split, ready for every model."""

    def __init__(self, found: list[programs.Program], seed: int) -> None:
        self.seed = seed
        self.rows = dict(zip(("train", "validation", "test"), programs.parts(found, seed), strict=True))
        self.names = programs.vocabulary([found[i] for i in self.rows["train"]])
        self.graphs = {part: [programs.graph(found[i], self.names) for i in at] for part, at in self.rows.items()}
        self.truth = {part: torch.tensor([found[i].labels for i in at]).float() for part, at in self.rows.items()}
        self.tables = {
            part: torch.stack([programs.presences(found[i], self.names) for i in at]) for part, at in self.rows.items()
        }

    def inputs(self, kind: str, part: str) -> Any:
        return self.tables[part] if kind in IMPORTS else Graphs.joined(self.graphs[part])


def fitted(kind: str, split: Split) -> tuple[torch.nn.Module, int, float]:
    """The network of the setting that is best on validation programs, which one, and its AUC there."""
    judged = (split.inputs(kind, "validation"), split.truth["validation"])
    if kind in IMPORTS:
        net, found = models.trained_on_imports(
            (split.tables["train"], split.truth["train"]), judged, monotone=IMPORTS[kind], epochs=20, seed=split.seed
        )
        return net, 0, found
    settings = models.KINDS.get(kind, [lambda n: models.ours(n, aggregation="max", readout="sum")])
    tried = []
    for i, make in enumerate(settings):
        torch.manual_seed(split.seed)
        net, found = models.trained(
            make(len(split.names)),
            (split.graphs["train"], split.truth["train"]),
            judged,
            epochs=EPOCHS,
            seed=split.seed,
        )
        tried.append((found, -i, net))
    found, place, net = max(tried, key=lambda t: t[:2])
    return net, -place, found


def judged(kind: str, split: Split) -> dict[str, Any]:
    """One line: how good, how many false alarms at which size, and what attacks find."""
    start = time.perf_counter()
    net, setting, validation = fitted(kind, split)
    line: dict[str, Any] = {"kind": kind, "seed": split.seed, "setting": setting, "validation_auc": validation}
    before = models.scored(net, split.inputs(kind, "validation"))
    after = models.scored(net, split.inputs(kind, "test"))
    benign = [g for g, y in zip(split.graphs["train"], split.truth["train"], strict=True) if not bool(y.any())][:200]
    sizes = torch.tensor([len(g.x) for g in split.graphs["test"]]).double()
    for i, label in enumerate(programs.LABELS):
        good, bad = split.truth["test"][:, i] == 0, split.truth["test"][:, i] == 1
        threshold = float(before[split.truth["validation"][:, i] == 0, i].quantile(0.99, interpolation="higher"))
        alarms = after[:, i] > threshold
        decile = torch.bucketize(sizes[good], sizes[good].quantile(torch.arange(0.1, 1.0, 0.1).double()))
        line[label] = {
            "auc": roc_auc_score(split.truth["test"][:, i], after[:, i]),
            "detected": float(alarms[bad].double().mean()),
            "false_alarms": float(alarms[good].double().mean()),
            "alarms_by_size": [int(alarms[good][decile == d].sum()) for d in range(10)],
            "programs_by_size": [int((decile == d).sum()) for d in range(10)],
        }
        victims = [int(row) for row in (bad & alarms).nonzero().flatten()][:VICTIMS]
        if kind in models.KINDS and victims:
            found = graph_suite(
                lambda g, i=i: net(g)[:, i],
                [split.graphs["test"][v] for v in victims],
                threshold,
                benign,
                seed=split.seed,
            )
            line[label] |= {
                "victims": len(victims),
                "evaded": {a.name: int(a.evaded.sum()) for a in found},
                "lowered": {a.name: int(a.lowered.sum()) for a in found},
                "evaded_by_any": evasion_rate(fewest(found)),
                "control_works": not is_broken(fewest(found)),
            }
    line["seconds"] = time.perf_counter() - start
    return line


def report(lines: list[dict[str, Any]]) -> str:
    """The tables, in Markdown."""
    of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        of[line["kind"]].append(line)
    out = [
        f"Mean and standard deviation over {len(SEEDS)} splits by source package, {len(programs.LABELS)} labels.",
        "",
    ]
    out += [
        "| model | AUC | detected at 1 % | false alarms | attacked | evaded by | any attack |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, rows in of.items():
        columns = [_spread(rows, name) for name in ("auc", "detected", "false_alarms")]
        attacked = [row[label] for row in rows for label in programs.LABELS if "victims" in row[label]]
        total, strongest, rate = sum(a["victims"] for a in attacked), "not tried", ""
        if total:
            sums = {name: sum(a["evaded"][name] for a in attacked) for name in attacked[0]["evaded"]}
            best = max(sums, key=lambda name: sums[name])
            strongest = f"{best.removeprefix('graph_')} {sums[best] / total:.0%}" if sums[best] else "none"
            rate = f"{sum(a['evaded_by_any'] * a['victims'] for a in attacked) / total:.0%}"
        out.append(f"| {kind} | {' | '.join(columns)} | {total or ''} | {strongest} | {rate} |")
    names = next(
        a["evaded"]
        for rows in of.values()
        for row in rows
        for a in row.values()
        if isinstance(a, dict) and "evaded" in a
    )
    out += ["", "Share of victims that each attack evades.", ""]
    out += [f"| model | {' | '.join(sorted(n.removeprefix('graph_') for n in names))} |", f"|---|{'---|' * len(names)}"]
    for kind, rows in of.items():
        attacked = [row[label] for row in rows for label in programs.LABELS if "victims" in row[label]]
        if attacked:
            total = sum(a["victims"] for a in attacked)
            shares = [f"{sum(a['evaded'][n] for a in attacked) / total:.0%}" for n in sorted(names)]
            out.append(f"| {kind} | {' | '.join(shares)} |")
    out += ["", "False alarms by decile of the number of nodes, in %, all labels and splits.", ""]
    out += [f"| model | {' | '.join(map(str, range(1, 11)))} |", f"|---|{'---|' * 10}"]
    for kind, rows in of.items():
        alarms, count = ([sum(row[label][name][d] for row in rows for label in programs.LABELS) for d in range(10)]
                         for name in ("alarms_by_size", "programs_by_size"))  # fmt: skip
        out.append(
            f"| {kind} | {' | '.join(f'{100 * a / max(c, 1):.1f}' for a, c in zip(alarms, count, strict=True))} |"
        )
    return "\n".join(out)


def _spread(rows: list[dict[str, Any]], name: str) -> str:
    means = [statistics.fmean(row[label][name] for label in programs.LABELS) for row in rows]
    digits = 1 if name != "auc" else 3
    scale = 100 if name != "auc" else 1
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    return f"{scale * statistics.fmean(means):.{digits}f} ± {scale * spread:.{digits}f}" + (
        " %" if scale == 100 else ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA"), help="folder with debian_fcg in it")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="only the tables, from the lines there are")
    options = parser.parse_args()
    lines = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    if not options.report:
        if not options.data or not (Path(options.data) / "debian_fcg").is_dir():
            print("graphs: skipped, since --data (or ISOTONE_DATA) names no folder with debian_fcg in it")
            return
        torch.set_num_threads(1)
        found = programs.read(Path(options.data))
        done = {(line["kind"], line["seed"]) for line in lines}
        for seed in SEEDS:
            split = Split(found, seed)
            for kind in (*models.KINDS, LARGE, *IMPORTS):
                if (kind, seed) in done:
                    continue
                lines.append(judged(kind, split))
                with options.out.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
                print(kind, seed, f"{lines[-1]['seconds']:.0f} s", flush=True)
    print(report(lines))


if __name__ == "__main__":
    main()
