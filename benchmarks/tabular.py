"""Is isotone, measured cleanly, as good on tables as the best monotone peer?

Settings are tried on validation rows only and every test part is judged once; see docs/tabular.md. Without --open only
the sets for development are touched; with it the others too, and the opening is logged with the commit. One line of
JSON for each finished (set, split, model), so that the command may be stopped and given again.

    python benchmarks/tabular.py --data folder --quick              20 minutes on two quiet cores
    python benchmarks/tabular.py --data folder --workers 2          the full form, development sets
    python benchmarks/tabular.py --data folder --workers 2 --open   the full form, all sets: once a release
    python benchmarks/tabular.py --report                           docs/tabular.md and its plot from the lines: of the
                                                                    full form once its development sets are complete

Peers come with `pip install -e '.[dev]'`, but for pytorch-lattice, whose bounds on numpy and pandas are too narrow:
`pip install --no-deps pytorch-lattice==0.2.0`. A peer that is not installed is left out, and said to be.
"""

# ruff: noqa: PLC0415 - threads are set before numpy is imported
from __future__ import annotations

import argparse
import os
import shlex
import sys
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

# Before numpy and torch are imported, here and in the workers: a core for each worker is what is measured.
os.environ["OMP_NUM_THREADS"] = "1"

from _tabular import page, records, splits
from _tabular.protocol import FULL, MODELS, QUICK, Form, judge, missing
from _tabular.tables import DEVELOPMENT, SETS

Job = tuple[str, int, str, Form, str]


def one(job: Job) -> dict[str, object]:
    """A judgement, or the error that prevented it: the others go on."""
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    name, number, model, *_ = job
    try:
        return judge(*job)
    except Exception as error:
        return {
            "set": name,
            "split": number,
            "model": model,
            "error": f"{type(error).__name__}: {error}",
            "where": traceback.format_exc(limit=-3),
        }


def jobs(options: argparse.Namespace, path: Path) -> list[Job]:
    """What is asked for and not yet there; split by split, so that models can be compared early."""
    form = QUICK if options.quick else FULL
    there = {key for key in records.measured(path) if key[2] not in options.redo}
    wanted = []
    for name in options.sets:
        for number in range(splits.count(name, quick=options.quick)):
            for model in options.models:
                if (name, number, model) not in there:
                    wanted.append((name, number, model, form, options.data))
    return wanted


def measure(options: argparse.Namespace, path: Path) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    wanted = jobs(options, path)
    around = {**records.circumstances(), "command": options.command}
    columns = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, disable=not sys.stderr.isatty()) as bar,
        ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool,
    ):
        task = bar.add_task("", total=len(wanted))
        try:
            for done in as_completed([pool.submit(one, job) for job in wanted]):
                record = {**done.result(), **around}
                records.append(path, record)
                line = f"{record['set']} {record['split']} {record['model']}"
                bar.update(task, advance=1, description=line)
                if "error" in record:
                    bar.console.print(f"{line}: {record['error']}")
                elif not sys.stderr.isatty():
                    said = " ".join(f"{k} {v:.4f}" for k, v in record["figures"].items())
                    print(f"{line}: {said} ({record['core_s']} s)", flush=True)
        except BaseException:  # stopped by hand, too: what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA", ""), help="folder of the data sets")
    parser.add_argument("--quick", action="store_true", help="fewer splits and settings, less time for each")
    parser.add_argument("--open", action="store_true", help="also the sets that are not for development; logged")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="only these")
    parser.add_argument("--models", nargs="+", choices=MODELS, help="only these")
    parser.add_argument("--redo", nargs="+", choices=MODELS, default=[], help="measure these again")
    parser.add_argument("--workers", type=int, default=1, help="processes, a core each")
    parser.add_argument("--out", type=Path, default=records.RESULTS, help="folder of the lines")
    parser.add_argument("--docs", type=Path, default=records.RESULTS.parent.parent / "docs")
    parser.add_argument("--report", action="store_true", help="only write the page from the lines")
    options = parser.parse_args()
    options.command = shlex.join(["python", "benchmarks/tabular.py", *sys.argv[1:]]).replace(
        options.data or "\0", "DATA"
    )
    options.sets = options.sets or (list(SETS) if options.open else DEVELOPMENT)
    closed = [name for name in options.sets if name not in DEVELOPMENT]
    if closed and not options.open:
        parser.error(f"{', '.join(closed)}: not for development. --open opens them once per release, and logs it.")
    options.models = options.models or list(MODELS)
    return options


def main() -> None:
    options = asked()
    path = options.out / ("tabular_quick.jsonl" if options.quick else "tabular.jsonl")
    if options.report:
        print(page.write(options.out, options.docs))
        return
    if not options.data:
        print("left out: the data sets are not part of the project. Name their folder: --data folder, or ISOTONE_DATA.")
        return
    for name in list(options.models):
        if package := missing(MODELS[name]):
            print(f"{name} is left out: {package} is not installed", flush=True)
            options.models.remove(name)
    if options.open:
        records.log_opening(options.out / "tabular_opened.json", options.sets, options.command)
    measure(options, path)
    print(page.summary(path))


if __name__ == "__main__":
    main()
