"""What does monotonicity cost on the shipped programs, and is the network as good as the best monotone peer?

Five splits by source package; on each, every family is tuned with the same number of settings on its validation rows,
fitted with one seed, and judged once on its test rows. Clean figures only: attacks are the demo's work.

    python benchmarks/monotone_peers.py [--splits 5]
"""

import argparse

import numpy as np

from isotone.boosters import BoosterFamily
from isotone.data import debian_programs
from isotone.evaluation import auc, detection, false_alarms, partial_auc, threshold_at
from isotone.experiment import Question, one_thread, prepare
from isotone.families import NetworkFamily, tune

RATE = 0.01


def measured(family, prepared):
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


@one_thread()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=5, help="at least 2")
    splits = parser.parse_args().splits
    question = Question(label="network", names="imports", group="source", max_false_alarm_rate=RATE)
    families = [NetworkFamily(True), BoosterFamily(True), NetworkFamily(False), BoosterFamily(False)]
    found = {family.name: [] for family in families}
    print("per split: AUC, partial AUC to 5 %, detection at the frozen threshold, its false alarms,")
    print("and detection where the test rows themselves have 1 % false alarms (for comparing, not for use)")
    for seed in range(splits):
        prepared = prepare(debian_programs(), question, seed=seed)
        for family in families:
            found[family.name].append(measured(family, prepared))
            print(f"split {seed}  {family.name:24s}", *(f"{value:.3f}" for value in found[family.name][-1]), flush=True)
    print(f"\nmean and standard error over {splits} splits")
    for name, rows in found.items():
        values = np.array(rows)
        error = (
            values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full(values.shape[1], np.nan)
        )
        print(f"{name:24s}", *(f"{m:.3f}+-{e:.3f}" for m, e in zip(values.mean(axis=0), error, strict=True)))


if __name__ == "__main__":
    main()
