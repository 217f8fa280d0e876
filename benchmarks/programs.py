"""One question, three views of a program: import table, bytes, call graph. What does the guarantee cost in each?

The shipped programs (at most 64 KiB), whole source packages on one side, the names that make the label hidden in all
three views. Guaranteed models stand beside unconstrained twins of the same encoder. Epochs and thresholds (1 % false
alarms) are chosen on validation programs; then test programs are scored once, and those that are detected attacked by
additions. Lines of JSON, so that the command can be given again and goes on.

    python benchmarks/programs.py --bytes folder [--quick]   eight minutes of one core; fetches what folder lacks
    python benchmarks/programs.py --report                   docs/programs.md and its plot, from the lines there are
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _programs import models
from _programs.sides import LARGEST, Programs, Sides

from isotone import attack
from isotone.attack import Append, ByteVictim, Insert
from isotone.bounds import byte_certificate, graph_certificate
from isotone.evaluation import auc, clopper_pearson, detection, false_alarms, threshold_at
from isotone.experiment import dense
from isotone.graphs import Graphs
from isotone.nn import ByteNetwork, GraphNetwork
from isotone.proving import certificate_of

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results" / "programs.jsonl", HERE.parent / "docs" / "programs.md"
RATE, SEEDS, MOST, VICTIMS = 0.01, (0, 1, 2), 2_000, 16
MOST_BYTE_VICTIMS = 10  # a file takes a second or two
AT = (0.01, 0.05, 0.25)  # false alarms at which attacks are tried: the first with enough victims
QUICK = {"seeds": (0,), "most": 1_300, "victims": 2}
KINDS = (*models.IMPORT_MODELS, *models.BYTE_MODELS, *models.GRAPH_MODELS)

# fmt: off
ON_BYTES: dict[str, Callable[..., attack.AttackedBytes]] = {
    "benign content, appended": lambda *a: attack.bytes_benign(*a, sizes=(4096, 32768), tries=3),
    "benign content, inserted": lambda *a: attack.bytes_benign(*a, sizes=(4096, 32768), tries=3, room=Insert()),
    "optimised bytes":          lambda *a: attack.bytes_optimised(*a, size=4096, steps=6, restarts=3, room=Append()),
    "benign windows":           lambda *a: attack.bytes_windows(*a, size=4096, candidates=4),
    "genetic sections":         lambda *a: attack.bytes_genetic(*a, generations=2, room=Insert()),
}
# fmt: on


def line_of(kind: str, sides: Sides, victims: int) -> dict[str, Any]:
    """One model on one split: how good it is, and what attacks find."""
    start = time.process_time()
    victims = min(victims, MOST_BYTE_VICTIMS) if kind in models.BYTE_MODELS else victims
    scores, attacked, proof = _fitted(kind, sides)
    validation, test = scores("validation"), scores("test")
    fitted = time.process_time() - start
    threshold = threshold_at(validation[sides.labels["validation"] == 0], RATE)
    alarms = false_alarms(test, sides.labels["test"], threshold)
    # Where hardly anything is detected there is hardly anything to evade: attacks are then tried at a lower threshold.
    for rate in AT:
        asked = threshold_at(validation[sides.labels["validation"] == 0], rate)
        caught = np.flatnonzero((sides.labels["test"] == 1) & (test > asked))
        if len(caught) >= victims:
            break
    chosen = np.sort(np.random.default_rng(sides.seed).permutation(caught)[:victims])
    found = {a.name: a for a in attacked(chosen, asked)} if len(chosen) else {}
    line = {
        "kind": kind, "seed": sides.seed, "auc": auc(test, sides.labels["test"]),
        "detected": detection(test, sides.labels["test"], threshold),
        "positives": int(sides.labels["test"].sum()),
        "alarms": alarms.count, "negatives": alarms.of, "proof": proof(),
        "victims": len(chosen), "attacked_at": rate,
        "evaded": {name: int(sum(a.evaded)) for name, a in found.items()},
        "lowered": {name: int(sum(a.lowered)) for name, a in found.items()},
        "by_any": sum(any(each) for each in zip(*(a.evaded for a in found.values()), strict=True)) if found else 0,
    }  # fmt: skip
    return line | {"fit_seconds": fitted, "seconds": time.process_time() - start}


class Found(NamedTuple):
    """What an attack did to each victim, under the name that it has here."""

    name: str
    evaded: Any
    lowered: Any


def _fitted(kind: str, sides: Sides) -> tuple[Callable[[str], Any], Callable[..., Iterable[Found]], Callable[[], str]]:
    """Scores of a side, attacks on test rows, and what is proved of a trained model."""
    train_negatives = np.flatnonzero(sides.labels["train"] == 0)
    if kind in models.IMPORT_MODELS:
        scorer = models.of_imports(kind, sides)
        rows = sides.rows

        def on_tables(at: Any, threshold: float) -> Iterable[Found]:
            bad, benign = dense(rows["test"], at), dense(rows["train"], train_negatives[:200])
            directions = sides.material.directions
            low, high = np.zeros(len(directions), np.float32), np.ones(len(directions), np.float32)
            moves = attack.Moves.between(directions, low, high)
            before = torch.from_numpy(scorer.logits(rows["test"].examples.take(at)))
            for a in attack.suite(scorer.victim(moves, bad), bad, threshold, moves, benign, seed=sides.seed):
                yield Found(a.name, a.evaded.tolist(), (a.scores < before - 1e-5).tolist())

        certificate = lambda: certificate_of(scorer.network, sides.material.directions).verdict.value  # noqa: E731
        return lambda part: scorer.logits(rows[part].examples), on_tables, certificate
    if kind in models.BYTE_MODELS:
        network = models.of_bytes(kind, sides)
        ours = isinstance(network, ByteNetwork)
        victim = ByteVictim.of(network) if ours else network.victim()  # type: ignore[operator]

        def on_bytes(at: Any, threshold: float) -> Iterable[Found]:
            files, benign = sides.files("test"), [sides.files("train")[i] for i in train_negatives[:20]]
            for name, run in ON_BYTES.items():
                if victim.table is None and name == "optimised bytes":  # words have no gradient by bytes
                    continue
                a = run(victim, [files[i] for i in at], threshold, benign)
                yield Found(name, a.evaded.tolist(), a.lowered.tolist())

        proof = (lambda: byte_certificate(network).verdict.value) if ours else (lambda: "")
        return lambda part: models.scored(network, sides.files(part), list), on_bytes, proof
    network = models.of_graphs(kind, sides)

    def on_graphs(at: Any, threshold: float) -> Iterable[Found]:
        graphs, benign = sides.graphs["test"], [sides.graphs["train"][i] for i in train_negatives[:200]]
        score = lambda g: network(g)[:, 0]  # noqa: E731
        for a in attack.graph_suite(score, [graphs[i] for i in at], threshold, benign, seed=sides.seed):
            yield Found(a.name, a.evaded.tolist(), a.lowered.tolist())

    ours = isinstance(network, GraphNetwork)
    proof = (lambda: graph_certificate(network).verdict.value) if ours else (lambda: "")
    return lambda part: models.scored(network, sides.graphs[part], Graphs.joined), on_graphs, proof


def measured(folder: Path, out: Path, only: str, *, seeds: Iterable[int], most: int, victims: int) -> None:
    """Every model on every split that has no line yet."""
    done = {(line["kind"], line["seed"]) for line in lines_of(out)}
    torch.set_num_threads(1)
    programs = Programs(folder, most)
    size = sum(map(len, programs.files)) / 1e6
    print(f"{len(programs.files)} programs, {size:.0f} MB, {int(programs.labels.sum())} positives, "
          f"{len(set(programs.sources))} source packages", flush=True)  # fmt: skip
    for seed in seeds:
        sides = Sides(programs, seed)
        for kind in KINDS:
            if (kind, seed) in done or only not in kind:
                continue
            line = line_of(kind, sides, victims) | {"programs": len(programs.files), "largest": LARGEST}
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            told = ("kind", "seed", "auc", "detected", "alarms", "by_any", "victims", "proof", "seconds")
            print(*(f"{key}={line[key]}" for key in told), flush=True)


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def report(lines: list[dict[str, Any]]) -> str:
    """The tables, in Markdown."""
    kinds = {kind: [line for line in lines if line["kind"] == kind] for kind in KINDS}
    kinds = {kind: found for kind, found in kinds.items() if found}
    some = lines[0]
    out = [
        f"{some['programs']} programs of at most {some['largest'] // 1024} KiB, "
        f"{len({x['seed'] for x in lines})} splits by source package; on a test side {some['positives']} positives and "
        f"{some['negatives']} negatives or nearly so. Mean and standard deviation over the splits.",
        "",
        "| model | AUC | detected at 1 % | false alarms, split by split, with 95 % intervals | seconds to fit |",
        "|---|---|---|---|---|",
    ]
    for kind, found in kinds.items():
        intervals = [clopper_pearson(x["alarms"], x["negatives"]) for x in found]
        realised = ", ".join(f"{100 * i.rate:.1f} ({100 * i.low:.1f} to {100 * i.high:.1f}) %" for i in intervals)
        seconds = statistics.fmean(x["fit_seconds"] for x in found)
        out.append(
            f"| {_name(kind)} | {_spread(found, 'auc', 1, 3)} | {_spread(found, 'detected', 100, 1)} % | {realised} "
            f"| {seconds:.0f} |"
        )
    out += [
        "",
        f"Attacks: at most {max(x['victims'] for x in lines)} detected test programs a split, by additions only. "
        "Where fewer are above the threshold for 1 % false alarms, they are attacked at that for 5 or 25 %, so that "
        "there is something to evade.",
        "",
        "| model | proof of it as trained | attacked at | victims | evaded by any | strongest | score lowered at all |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, found in kinds.items():
        victims, evaded = (sum(x[key] for x in found) for key in ("victims", "by_any"))
        sums = {name: sum(x["evaded"].get(name, 0) for x in found) for x in found for name in x["evaded"]}
        lowered = max((sum(x["lowered"].get(name, 0) for x in found) for name in sums), default=0)
        best = max(sums, key=lambda name: sums[name], default="")
        strongest = f"{best.removeprefix('graph_')}, {_share(sums[best], victims)}" if sums.get(best) else "none"
        share = _share(evaded, victims) if victims else "no victim"
        proof = ", ".join(sorted({x["proof"] for x in found if x["proof"]}))
        rates = sorted({x["attacked_at"] for x in found})
        at = " or ".join(f"{100 * rate:.0f} %" for rate in rates)
        out.append(f"| {_name(kind)} | {proof} | {at} | {victims} | {share} | {strongest} | {lowered} |")
    return "\n".join(out)


def _name(kind: str) -> str:
    return f"**{kind}**" if kind in models.GUARANTEED else kind


def _share(count: int, of: int) -> str:
    return f"{count} ({100 * count / of:.0f} %)"


def _spread(found: list[dict[str, Any]], key: str, scale: float, digits: int) -> str:
    values = [scale * x[key] for x in found]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {spread:.{digits}f}"


def plot(lines: list[dict[str, Any]], path: Path) -> None:
    """Detection before and after attack, one pair of bars a model."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415
    from matplotlib import patches  # noqa: PLC0415

    kinds = [kind for kind in KINDS if any(line["kind"] == kind for line in lines)][::-1]
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for y, kind in enumerate(kinds):
        found = [line for line in lines if line["kind"] == kind]
        clean = [line["detected"] for line in found]
        victims = sum(line["victims"] for line in found)
        left = 1 - sum(line["by_any"] for line in found) / victims if victims else 1.0
        colour = "#1b6ca8" if kind in models.GUARANTEED else "#b0702d"
        axes.barh(y, statistics.fmean(clean), color=colour, alpha=0.3, height=0.7)
        axes.barh(y, statistics.fmean(clean) * left, color=colour, height=0.7)
        axes.plot(clean, [y] * len(clean), "|", color="black", markersize=9)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set_xlabel("bad programs detected at a threshold for 1 % false alarms: bar the mean, strokes the splits")
    marks = [
        patches.Patch(color="#1b6ca8", label="no addition can evade it"),
        patches.Patch(color="#b0702d", label="no attack by additions evaded it"),
        patches.Patch(color="#b0702d", alpha=0.3, label="evaded by additions"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bytes", type=Path, help="a folder with the programs, each under its sha256, or an empty one")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="one split, few victims; writes programs_quick.jsonl")
    parser.add_argument("--only", default="", help="only models with this in their name")
    parser.add_argument("--report", action="store_true", help="only the page, from the lines there are")
    options = parser.parse_args()
    if options.bytes is None and not options.report:
        parser.error("--bytes FOLDER says where the programs are or shall be; --report needs none")
    out = options.out.with_name("programs_quick.jsonl") if options.quick else options.out
    if not options.report:
        how = QUICK if options.quick else {"seeds": SEEDS, "most": MOST, "victims": VICTIMS}
        measured(options.bytes, out, options.only, **how)  # type: ignore[arg-type]
    tables = report(lines_of(out))
    print(tables)
    if options.report:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}")
        plot(lines_of(out), PAGE.with_suffix(".png"))


if __name__ == "__main__":
    main()
