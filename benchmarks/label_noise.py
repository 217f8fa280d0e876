"""What do bad rows mislabelled as benign cost? The same training with and without, on the shipped programs.

Of the training and validation rows a share (default 1 %) of the benign ones is bad: drawn bad rows are relabelled. The
test rows are as they were. Once the validation rows keep their labels, once not: the first tells what the weights lose,
the second what the threshold loses besides. Figures go to benchmarks/results/label_noise.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isotone.data import debian_programs
from isotone.evaluation import detection, false_alarms, threshold_at
from isotone.experiment import Prepared, Question, prepare
from isotone.families import NetworkFamily
from isotone.training import Recipe, Rows

RESULTS = Path(__file__).parent / "results" / "label_noise.json"
SETTING = {"pool": "max", "dropout": 0.1}


def mislabelled(rows: Rows, share: float, seed: int) -> Rows:
    """So many bad rows called benign that they are this share of what is called benign."""
    bad = np.flatnonzero(rows.labels == 1)
    benign = len(rows) - len(bad)
    count = min(len(bad) - 2, round(share * benign / (1 - share)))
    labels = rows.labels.copy()
    labels[np.random.default_rng(seed).choice(bad, count, replace=False)] = 0
    return Rows(rows.examples, labels)


def noisy(prepared: Prepared, share: float, seed: int, *, validation: bool) -> Prepared:
    """The same rows with labels that are wrong."""
    material = prepared.material
    changed = replace(
        material,
        training=mislabelled(material.training, share, seed),
        validation=mislabelled(material.validation, share, seed + 1) if validation else material.validation,
    )
    return replace(prepared, material=changed)


def figures(prepared: Prepared, seed: int, family: NetworkFamily) -> dict[str, float]:
    """Detection on test rows of a monotone network: what is detected is certified, since no addition lowers a score."""
    scorer = family.fit(prepared.material, SETTING, seed)
    validation, test = prepared.material.validation, prepared.test
    on_validation = scorer.logits(validation.examples)
    threshold = threshold_at(on_validation[validation.labels == 0], prepared.question.max_false_alarm_rate)
    logits = scorer.logits(test.examples)
    return {
        "certified": detection(logits, test.labels, threshold),
        "false_alarms": false_alarms(logits, test.labels, threshold).rate,
    }


def measured(share: float, seeds: int, family: NetworkFamily) -> dict[str, Any]:
    """Certified detection by seed: clean labels, noise in training rows, noise in training and validation rows."""
    question = Question(label="network", names="imports", group="source", identify=("path",))
    clean = prepare(debian_programs(), question)
    found: dict[str, Any] = {"share": share, "clean": [], "noise in training": [], "noise in both": []}
    for seed in range(seeds):
        found["clean"].append(figures(clean, seed, family))
        for name, both in (("noise in training", False), ("noise in both", True)):
            found[name].append(figures(noisy(clean, share, seed, validation=both), seed, family))
    training = noisy(clean, share, 0, validation=False).material.training
    found["mislabelled"] = int((clean.material.training.labels != training.labels).sum())
    found["called_benign"] = int((training.labels == 0).sum())
    for name in ("clean", "noise in training", "noise in both"):
        found[f"{name}, mean"] = {
            key: float(np.mean([one[key] for one in found[name]])) for key in ("certified", "false_alarms")
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(asked.share, asked.seeds, NetworkFamily(True, Recipe(accelerator="cpu"), members=1))
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
