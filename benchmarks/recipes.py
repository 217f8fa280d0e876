"""Which way to force weights, optimizer, activation, depth, decay, rate and loss make a monotone network learn best?

A sign-constrained network (width 32) on several tables; each level of each factor is searched with equal effort, on
validation rows only; the winner of each is trained again with several seeds and judged once on test rows. Then the
best settings are tried on all sets, by validation again, for one recipe that fits all: the library's defaults.

    python benchmarks/recipes.py --quick [--data folder]     10 to 20 minutes on two cores
    python benchmarks/recipes.py [--data folder]             an hour and a quarter of one core
    python benchmarks/recipes.py --page                      write docs/recipes.md and its plot again

An interrupted run goes on where it was. Without a data folder (--data, ISOTONE_DATA) only the made set and the shipped
programs are used. Results: benchmarks/results/recipes-quick.json, recipes.json.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np
import torch
from _recipes import page, sets
from _recipes.factors import CELLS, FACTORS, cell, finals
from _recipes.nets import outcome

import isotone
from isotone.progress import Progress

HERE = Path(__file__).parent
FORMS = {
    # Cut until the quick form fits: six trials are little more than a random search.
    "quick": {"trials": 6, "seeds": 2, "epochs": 10, "candidates": 12},
    "full": {"trials": 20, "seeds": 5, "epochs": 30, "candidates": 24},
}
BASELINE = {
    "way": "projection",
    "optimizer": "SGD",
    "activation": "ReLU",
    "depth": 2,
    "decay": "off",
    "amount": 0.0,
    "rate": 1e-2,
    "loss": "BCE",
    "inputs": "standardised",
}
# What the library's own estimators can be: projection, AdamW, BCE, ramps. Activation and depth by validation.
HOUSE = [
    {
        "way": "projection",
        "optimizer": "AdamW",
        "activation": activation,
        "depth": depth,
        "decay": "on",
        "amount": 1e-3,
        "rate": rate,
        "loss": "BCE",
        "inputs": "ramps",
    }
    for activation in ("saturating in turn", "switch")
    for depth in (1, 2)
    for rate in (1e-2, 3e-2)
]


def about(form, names, loaded):
    import optuna  # noqa: PLC0415
    import sklearn  # noqa: PLC0415

    return {
        "command": f"python benchmarks/recipes.py{' --quick' if form == 'quick' else ''}",
        "form": {"name": form, **FORMS[form]},
        "versions": {
            "isotone": isotone.__version__,
            "torch": torch.__version__,
            "optuna": optuna.__version__,
            "scikit-learn": sklearn.__version__,
            "python": platform.python_version(),
        },
        "seeds": {"split": 0, "search": 0, "finals": list(range(1, FORMS[form]["seeds"] + 1))},
        "sets": {name: loaded[name].about for name in names},
    }


def kept(path):
    """The lines of an earlier run; a line cut short by its end is done again."""
    lines = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def candidates(cells, most):
    """The levels that are best in the median together; then the best settings of each set in turn, by validation."""
    together = {factor: page.winner(cells, factor) for factor in FACTORS}
    amounts = [c["setting"]["amount"] for c in cells if (c["factor"], c["level"]) == ("decay", "on")]
    found = [{**together, "amount": round(float(np.median(amounts)), 5)}]
    names = list(dict.fromkeys(c["set"] for c in cells))
    ranked = {n: sorted((c for c in cells if c["set"] == n), key=lambda c: -c["validation"]) for n in names}
    for place in range(most):
        for name in names:
            setting = ranked[name][place]["setting"]
            if setting not in found and len(found) < most:
                found.append(setting)
    return found


def run(form, names, loaded, path, progress):
    lines = kept(path)
    cells = {(c["set"], c["factor"], c["level"]): c for c in lines if "factor" in c and c["set"] in names}
    with path.open("a") as file:

        def keep(line):
            file.write(json.dumps(line) + "\n")
            file.flush()

        bar = progress.bar("cells", len(names) * len(CELLS))
        for name in names:
            for factor, level in CELLS:
                if (name, factor, level) not in cells:
                    found = cell(loaded[name], factor, level, FORMS[form], prove=name == "made")
                    cells[name, factor, level] = found
                    keep(found)
                bar.update(len(cells), f"{name}: {factor} {level}")
        every = list(cells.values())
        tried = {json.dumps(c["candidate"], sort_keys=True): c for c in lines if "candidate" in c}
        chosen = candidates(every, FORMS[form]["candidates"])
        bar = progress.bar("one recipe for all", len(chosen) + len(HOUSE))
        for at, setting in enumerate(chosen + HOUSE):
            key = json.dumps(setting, sort_keys=True)
            if key not in tried:
                values = {n: outcome(setting, loaded[n], 0, FORMS[form]["epochs"])[1] for n in names}
                tried[key] = {"candidate": setting, "validation": {n: v["validation"] for n, v in values.items()}}
                keep(tried[key])
            bar.update(at + 1)
    pool, house = ([tried[json.dumps(s, sort_keys=True)] for s in some] for some in (chosen, HOUSE))
    best, own = (least_behind(some, names) for some in (pool, house))
    recipe = {
        "setting": best,
        "candidates": pool + house,
        "sets": {n: finals(best, loaded[n], FORMS[form], prove=True) for n in names},
        "house": {"setting": own, "sets": {n: finals(own, loaded[n], FORMS[form], prove=True) for n in names}},
        "baseline": {"setting": BASELINE, "sets": {n: finals(BASELINE, loaded[n], FORMS[form]) for n in names}},
    }
    return every, recipe


def least_behind(pool, names):
    """The setting that is least behind the best of each set, on average, by validation."""
    table = np.array([[c["validation"][n] for n in names] for c in pool])
    return pool[int(np.argmin((table.max(axis=0) - table).mean(axis=1)))]["candidate"]


def around(form, recipe, loaded, path, progress):
    """A recipe with one level changed and nothing searched: paired seeds, so less noise, but at the recipe's rate."""
    lines = kept(path)
    done = {(c["factor"], c["level"]): c for c in lines if c["of"] == recipe["setting"]}
    bar = progress.bar("around the recipe", len(CELLS))
    with path.open("a") as file:
        for at, (factor, level) in enumerate(CELLS):
            if (factor, level) not in done:
                setting = {**recipe["setting"], factor: level}
                found = {n: finals(setting, one, FORMS[form]) for n, one in loaded.items()}
                done[factor, level] = {"factor": factor, "level": level, "of": recipe["setting"], "sets": found}
                file.write(json.dumps(done[factor, level]) + "\n")
                file.flush()
            bar.update(at + 1, f"{factor} {level}")
    return list(done.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default=os.environ.get("ISOTONE_DATA") or None, help="the folder of data sets")
    parser.add_argument("--sets", nargs="+", choices=sets.SETS, help="only these")
    parser.add_argument("--page", action="store_true", help="only write the page again from the results")
    parser.add_argument("--anew", action="store_true", help="forget earlier results")
    said = parser.parse_args()
    torch.set_num_threads(1)
    form = "quick" if said.quick else "full"
    result = HERE / "results" / f"recipes{'-quick' if said.quick else ''}.json"
    result.parent.mkdir(exist_ok=True)
    if said.anew:
        for suffix in (".json", ".jsonl", ".around.jsonl"):
            result.with_suffix(suffix).unlink(missing_ok=True)
    if not said.page and not result.exists():
        names = said.sets or list(sets.SETS if said.data else sets.WITHOUT_DATA)
        loaded = {name: sets.load(name, said.data) for name in names}
        parts = [result.with_suffix(suffix) for suffix in (".jsonl", ".around.jsonl")]
        with Progress() as progress:
            cells, recipe = run(form, names, loaded, parts[0], progress)
            near = around(form, recipe["house"], loaded, parts[1], progress)
        found = {"about": about(form, names, loaded), "cells": cells, "recipe": recipe, "around": near}
        result.write_text(json.dumps(found, indent=1) + "\n")
        for part in parts:
            part.unlink()
    if not result.exists():
        sys.exit(f"{result.name} is not there yet: run without --page first")
    print(page.write(json.loads(result.read_text()), HERE.parent / "docs"))


if __name__ == "__main__":
    main()
