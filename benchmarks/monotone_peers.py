"""What does monotonicity cost on the shipped programs, and is the network as good as the best monotone peer?

Five splits by source package; on each, every family is tuned with the same number of settings on its validation rows,
fitted with one seed, and judged once on its test rows. Clean figures only: attacks are the demo's work. Written after
each split.

    python benchmarks/monotone_peers.py [--splits 5]
"""

import argparse
from pathlib import Path

import numpy as np
from _tabular import records

from isotone.boosters import BoosterFamily
from isotone.data import debian_programs
from isotone.evaluation import auc, detection, false_alarms, partial_auc, threshold_at
from isotone.experiment import Question, one_thread, prepare
from isotone.families import NetworkFamily, tune

RATE = 0.01
RESULTS = records.RESULTS / "monotone_peers.json"
FIGURES = ("auc", "partial_auc", "detected", "false_alarms", "detected_at_its_own_1_percent")


def measured(family, prepared):
    """FIGURES of one family on one split; the last is for comparing, not for use."""
    tuned = tune(family, prepared.material, rate=RATE)
    scorer = family.fit(prepared.material, tuned.setting, 1)
    validation, test = prepared.material.validation, prepared.test
    threshold = threshold_at(scorer.logits(validation.examples)[validation.labels == 0], RATE)
    logits = scorer.logits(test.examples)
    own = threshold_at(logits[test.labels == 0], RATE)
    return (
        auc(logits, test.labels),
        partial_auc(logits, test.labels),
        detection(logits, test.labels, threshold),
        false_alarms(logits, test.labels, threshold).rate,
        detection(logits, test.labels, own),
    )


def summed(splits):
    """Mean and standard error of every figure over the splits."""
    found = {}
    for family in splits[0]:
        rows = np.array([[split[family][figure] for figure in FIGURES] for split in splits])
        errors = rows.std(axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.full(len(FIGURES), np.nan)
        found[family] = {
            figure: {"mean": float(mean), "standard_error": float(error)}
            for figure, mean, error in zip(FIGURES, rows.mean(axis=0), errors, strict=True)
        }
    return found


@one_thread()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5, help="at least 2")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    command = f"python benchmarks/monotone_peers.py --splits {options.splits}"
    question = Question(label="network", names="imports", group="source", max_false_alarm_rate=RATE)
    families = [NetworkFamily(True), BoosterFamily(True), NetworkFamily(False), BoosterFamily(False)]
    splits = []
    for seed in range(options.splits):
        prepared = prepare(debian_programs(), question, seed=seed)
        splits.append({})
        for family in families:
            figures = dict(zip(FIGURES, map(float, measured(family, prepared)), strict=True))
            splits[-1][family.name] = figures
            print(f"split {seed}  {family.name:24s}", *(f"{value:.3f}" for value in figures.values()), flush=True)
        if seed > 0:
            records.keep(options.out, command, {"splits": splits, "over_splits": summed(splits)})
    print(f"\nmean and standard error over the splits: {', '.join(FIGURES)}")
    for name, found in summed(splits).items():
        print(f"{name:24s}", *(f"{one['mean']:.3f}+-{one['standard_error']:.3f}" for one in found.values()))


if __name__ == "__main__":
    main()
