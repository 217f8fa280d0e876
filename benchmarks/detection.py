"""Does a detector that additions cannot evade detect enough to be used? isotone beside its peers, clean and attacked.

Settings and thresholds come from validation rows, test rows are judged once; see docs/detection.md. One line of JSON
for each finished (set, seed, model), so that the command may be stopped and given again.

    python benchmarks/detection.py --data folder --quick         20 minutes on two cores
    python benchmarks/detection.py --data folder --workers 2     the full form: five seeds, all sets
    python benchmarks/detection.py --data folder --folds         thresholds by folds, of what the full form has chosen
    python benchmarks/detection.py --data folder --ceilings      what the rows support; minutes
    python benchmarks/detection.py --report                      docs/detection.md and its plots from the lines
"""

# ruff: noqa: PLC0415 - threads are set before numpy is imported
from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# Before numpy and torch are imported, here and in the workers: a core for each worker.
os.environ["OMP_NUM_THREADS"] = "1"

from _detection import ceilings, folded, page
from _detection.judge import FULL, QUICK, Form, judge
from _detection.models import MODELS
from _detection.sets import SETS
from _tabular import records

SEEDS, QUICK_SEEDS = 5, 1
QUICK_SETS = ("drebin215", "defensedroid", "sms_spam", "mimicus_a")
MINUTES = 20
FOLDS = "detection_folds.jsonl"
Job = tuple[str, int, str, Form, str, Path]


def one(job: Job) -> dict[str, Any]:
    """A judgement, or the error that prevented it: the others go on."""
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    name, seed, model, form, data, path = job
    try:
        if path.name == FOLDS:
            known = records.measured(records.RESULTS / "detection.jsonl")
            return folded.judge(name, seed, model, form, data=data, known=known)
        return judge(name, seed, model, form, data=data, known=records.measured(path))
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        return {"set": name, "split": seed, "model": model, "error": told, "where": traceback.format_exc(limit=-4)}


def jobs(options: argparse.Namespace, path: Path) -> list[Job]:
    """What is asked for and not yet there, seed by seed, so that models can be compared early."""
    form = QUICK if options.quick else FULL
    there = {key for key in records.measured(path) if key[2] not in options.redo}
    wanted = []
    for seed in options.seeds:
        for name in options.sets:
            for model in options.models:
                if (name, seed, model) not in there:
                    wanted.append((name, seed, model, form, options.data, path))
    return wanted


def measure(options: argparse.Namespace, path: Path) -> None:
    """Every judgement that is wanted; the quick form ends with its time."""
    wanted = jobs(options, path)
    around = {**records.circumstances(), "command": options.command}
    began = time.monotonic()
    if options.workers == 1:
        for job in wanted:
            if options.minutes and time.monotonic() - began > 60 * options.minutes:
                print("the time is over; the same command goes on", flush=True)
                return
            write(path, one(job), around)
        return
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        try:
            for done in as_completed([pool.submit(one, job) for job in wanted]):
                write(path, done.result(), around)
        except BaseException:  # stopped by hand, too: what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write(path: Path, record: dict[str, Any], around: dict[str, Any]) -> None:
    records.append(path, {**record, **around, "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
    line = f"{record['set']} {record['split']} {record['model']}"
    if "error" in record:
        print(f"{line}: {record['error']}", flush=True)
        return
    figures, attacks = record["figures"], record["attacks"]
    print(
        f"{line}: detected {figures['detection']:.3f} certified {figures['certified']:.3f} "
        f"false alarms {figures['false alarms'][0]:.4f} attacked {attacks['curve'][-1]:.3f} "
        f"certified evaded {attacks['certified evaded']} ({record['fit_s']} + {attacks.get('core_s', 0)} s)",
        flush=True,
    )


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA", ""), help="folder of the data sets")
    parser.add_argument("--quick", action="store_true", help="fewer sets, seeds, settings and victims")
    parser.add_argument("--folds", action="store_true", help="thresholds by folds, for all models alike")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="only these")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, help="only these")
    parser.add_argument("--redo", nargs="+", choices=MODELS, default=[], help="measure these again")
    parser.add_argument("--minutes", type=float, help="begin nothing after; 20 in the quick form, 0 is no limit")
    parser.add_argument("--workers", type=int, default=1, help="processes, a core each")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder of the lines")
    parser.add_argument("--docs", type=Path, default=records.RESULTS.parent.parent / "docs")
    parser.add_argument("--ceilings", action="store_true", help="only what these rows support, whatever the model")
    parser.add_argument("--report", action="store_true", help="only write the page from the lines")
    options = parser.parse_args()
    said = shlex.join(["python", "benchmarks/detection.py", *sys.argv[1:]])
    options.command = said.replace(options.data or "\0", "DATA")
    every = folded.FOLDED if options.folds else SETS
    options.sets = options.sets or list(QUICK_SETS if options.quick else every)
    options.models = options.models or list((*folded.COMPARED, *folded.OURS) if options.folds else MODELS)
    if options.folds and (options.quick or not {*options.models} <= {*folded.COMPARED, *folded.OURS}):
        parser.error(f"--folds has one form, the full one, of {', '.join((*folded.COMPARED, *folded.OURS))}")
    if options.minutes is None:
        options.minutes = MINUTES if options.quick else 0
    if options.seeds is None:
        options.seeds = list(range(QUICK_SEEDS if options.quick else SEEDS))
    return options


def main() -> None:
    options = asked()
    path = options.out / (FOLDS if options.folds else "detection_quick.jsonl" if options.quick else "detection.jsonl")
    if options.report:
        print(page.write(options.out, options.docs))
        return
    if not options.data:
        print("left out: the data sets are not part of the project. Name their folder: --data folder, or ISOTONE_DATA.")
        return
    if options.ceilings:
        around = {**records.circumstances(), "command": options.command}
        ceilings.measure(options.out / "detection_ceilings.json", options.sets, options.seeds, options.data, around)
        return
    measure(options, path)
    print(page.summary(path))


if __name__ == "__main__":
    main()
