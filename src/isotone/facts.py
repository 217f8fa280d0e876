"""What a comparison found, as the plain dict that the report and the tables read."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from . import attack
from ._version import __version__
from .certify import Certificate
from .directions import DECREASING, FREE, INCREASING
from .evaluation import BUDGETS, Scores, spread
from .experiment import Compared, Judged, Prepared, dense
from .explain import explain
from .families import NetworkFamily, NetworkScorer
from .headroom import headroom
from .proving import subject
from .training import logits_of
from .verdict import Verdict

COVERED = (
    "adding any known feature that the threat names, in any number and combination",
    "adding anything the model has never seen: unknown names count for nothing",
)
NOT_COVERED = (
    "removing or renaming what is there: a packer that hides the imports hides the evidence",
    "rewriting in place: other code that does the same with other names",
    "whatever the extractor does not see; a file that cannot be read must be treated as an alarm",
)
BINS = 25
HEADROOM_ROWS, HEADROOM_CELLS = 4_000, 50_000_000


def facts_of(
    prepared: Prepared,
    compared: Sequence[Compared],
    certificate: Certificate,
    seeds: Sequence[int],
    *,
    name: str,
    title: str,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything the report shows; the first of `compared` is the monotone network that is reported on."""
    unconstrained = [c for c in compared if not c.family.monotone]
    chosen = max(unconstrained, key=lambda c: c.validation_detection, default=None)
    ours = compared[0]
    detectors = [
        _detector(c, prepared, chosen=c is chosen or c is ours, ours=c is ours, twins=compared) for c in compared
    ]
    if certificate.verdict is Verdict.PROVED and _every_seed_proved(ours, prepared):
        # No addition lowers a score, so every clean detection is certified, at every number of additions.
        clean = spread([j.clean for j in ours.judged])
        detectors[0]["certified_curve"] = {"budgets": list(BUDGETS), "detection": [clean] * len(BUDGETS)}
    question = prepared.question
    return {
        "format": 1,
        "title": title,
        "summary": _summary(ours, chosen, certificate),
        "data": _data(prepared, name, notes),
        "threat": _threat(prepared),
        "certificate": certificate_facts(certificate),
        "max_false_alarm_rate": question.max_false_alarm_rate,
        "seeds": list(seeds),
        "detectors": detectors,
        "histograms": _histograms(prepared, ours, seeds[0]),
        "headroom": _headroom(prepared),
        "alerts": _alerts(prepared, ours.judged[0]),
        "versions": {"isotone": __version__, "torch": str(torch.__version__), "python": platform.python_version()},
    }


def _every_seed_proved(ours: Compared, prepared: Prepared) -> bool:
    """The certificate is of the first seed's network; the figures are of all of them."""
    networks = [j.scorer.network for j in ours.judged[1:] if isinstance(j.scorer, NetworkScorer)]
    # Only a proof is asked for, so nothing is searched for where there is none.
    asked = [replace(subject(network, prepared.material.directions), budget=0) for network in networks]
    proved = all(one.certificate().verdict is Verdict.PROVED for one in asked)
    return len(networks) == len(ours.judged) - 1 and proved


def _headroom(prepared: Prepared) -> dict[str, Any] | None:
    """What any detector could have certified on the test rows; left out where it would take long."""
    labels, features = prepared.test.labels, prepared.encoder.features
    if len(labels) > HEADROOM_ROWS or len(labels) * len(features) > HEADROOM_CELLS:
        return None
    found = headroom(
        prepared.test.examples.matrix(),
        labels,
        prepared.material.directions,
        [prepared.question.max_false_alarm_rate],
        names=features,
        held_out=False,
        most=3,
        seconds=5.0,
    )
    return {
        "bad": found.bad,
        "benign": found.benign,
        "free": found.free,
        "limits": [{"rate": one.rate, "low": one.low, "high": one.high} for one in found.limits],
        "loose": [{"name": str(one.name), "freed": one.freed} for one in found.loose if one.freed > 0],
    }


def certificate_facts(certificate: Certificate) -> dict[str, Any]:
    """The part of the report that is about the certificate."""
    return {
        "verdict": certificate.verdict.value,
        "reason": certificate.reason,
        "where": None if certificate.where is None else str(certificate.where),
        "claim": "whatever the attacker adds, the score never falls",
        "scope": {key: _words(value) for key, value in certificate.scope.items()},
        "assumptions": list(certificate.assumptions),
    }


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_words(part) for part in value)
    if isinstance(value, dict):
        return " ".join(_words(part) for part in value.values())
    return str(value)


def _summary(ours: Compared, other: Compared | None, certificate: Certificate) -> str:
    clean = np.mean([j.clean for j in ours.judged])
    said = f"The monotone network detects {clean:.1%} at the frozen threshold"
    # Only a proof may speak of every addition.
    if certificate.verdict is Verdict.PROVED:
        said += ", whatever is added to a bad row: PROVED from its exported graph."
    else:
        said += f"; that additions cannot lower its score is {certificate.verdict.name}, not proved."
    if other is not None:
        before = np.mean([j.clean for j in other.judged])
        after = np.mean([j.curve[BUDGETS.index(10)] for j in other.judged])
        said += f" The {other.family.name} detects {before:.1%}, and {after:.1%} once ten features were added."
        if all(attack.is_broken(one) for j in other.judged for one in j.attacks):
            said += " That no attack evades half of its alarms is no evidence: the attacks may be weak here."
    return said


def _data(prepared: Prepared, name: str, notes: Sequence[str]) -> dict[str, Any]:
    sides = {"train": prepared.material.training, "validation": prepared.material.validation, "test": prepared.test}
    group = prepared.question.group
    return {
        "name": name,
        "rows": [
            {"part": part, "rows": len(rows), "positives": int(rows.labels.sum()), "groups": prepared.groups[part]}
            for part, rows in sides.items()
        ],
        "features": len(prepared.encoder.features),
        "label": prepared.question.label,
        "split": prepared.how or (f"by {group}" if group else "by feature vector"),
        "notes": [
            f"{prepared.dropped} rows were left out, since their feature vector stands on an earlier side.",
            *notes,
        ],
    }


def _threat(prepared: Prepared) -> dict[str, Any]:
    threat, directions, left_out = prepared.question.threat, prepared.material.directions, prepared.question.left_out
    counts = {d: directions.count(d) for d in (INCREASING, DECREASING, FREE)}
    return {
        "statement": f"The attacker can add or raise {counts[INCREASING]:,} features, remove or lower "
        f"{counts[DECREASING]:,}, and cannot touch {counts[FREE]:,}."
        + (f" It sets {len(left_out):,} at will, which no detector here looks at." if left_out else ""),
        "adds": list(threat.adds),
        "removes": list(threat.removes),
        "covered": list(COVERED),
        "not_covered": list(NOT_COVERED),
    }


def _detector(
    compared: Compared, prepared: Prepared, *, chosen: bool, ours: bool, twins: Sequence[Compared]
) -> dict[str, Any]:
    judged = compared.judged
    curve = zip(*(j.curve for j in judged), strict=True)
    return {
        "name": compared.family.name,
        "role": "monotone" if ours else "peer" if compared.family.monotone else "unconstrained",
        "chosen": chosen,
        "note": f"detection on validation {compared.validation_detection:.1%}; best of "
        f"{len(compared.tuned.scores)} settings: {_setting(compared)}; false alarms are those of the first seed",
        "auc": spread([j.auc for j in judged]),
        "clean": spread([j.clean for j in judged]),
        "false_alarms": asdict(judged[0].false_alarms),
        "curve": {"budgets": list(BUDGETS), "detection": [spread(values) for values in curve]},
        "lost_after_10": spread([j.lost_after_10 for j in judged]),
        "attacks": _attacks(judged, control=_control(compared, twins)),
        "roc": judged[0].roc,
    }


def _setting(compared: Compared) -> str:
    return ", ".join(f"{key} {value}" for key, value in compared.tuned.setting.items())


def _control(compared: Compared, all_: Sequence[Compared]) -> Compared | None:
    """The positive control of a detector: the unconstrained one of its kind, or any."""
    free = [c for c in all_ if not c.family.monotone]
    return next((c for c in free if type(c.family) is type(compared.family)), free[0] if free else None)


def _attacks(judged: Sequence[Judged], control: Compared | None) -> list[dict[str, Any]]:
    found = []
    for at, one in enumerate(judged[0].attacks):
        same = [j.attacks[at] for j in judged if at < len(j.attacks)]
        rates = [attack.evasion_rate(a) for a in same]
        controls = [] if control is None else [a for j in control.judged for a in j.attacks if a.name == one.name]
        if (said := spread(rates)) is not None:
            found.append(
                {
                    "name": one.name,
                    "evasion_rate": said,
                    "median_additions": attack.median_additions(torch.cat([a.additions for a in same])),
                    # Judged over all seeds together: an attack works or does not.
                    "broken": not controls or attack.is_broken(torch.cat([a.additions for a in controls])),
                }
            )
    return found


def _histograms(prepared: Prepared, ours: Compared, seed: int) -> dict[str, Any] | None:
    family, judged = ours.family, ours.judged[0]
    if not isinstance(family, NetworkFamily) or not isinstance(judged.scorer, NetworkScorer):
        return None
    start = family.start(prepared.material, ours.tuned.setting, seed)
    edges = np.linspace(0, 1, BINS + 1)

    def counted(logits: Scores) -> dict[str, list[int]]:
        share = 1 / (1 + np.exp(-logits))
        sides = {"positive": share[prepared.test.labels == 1], "negative": share[prepared.test.labels == 0]}
        return {side: np.histogram(values, edges)[0].tolist() for side, values in sides.items()}

    return {
        "edges": edges.tolist(),
        "before": counted(logits_of(start, prepared.test)),
        "after": counted(judged.scorer.logits(prepared.test.examples)),
        "threshold": float(1 / (1 + np.exp(-judged.threshold))),
        "unit": "probability",
    }


def _alerts(prepared: Prepared, judged: Judged, count: int = 3) -> list[dict[str, Any]]:
    """Alerts from evenly over the range of scores: the clearest, a middling one, the closest."""
    logits = judged.scorer.logits(prepared.test.examples)
    alarms = np.flatnonzero((logits > judged.threshold) & (prepared.test.labels == 1))
    alarms = alarms[np.argsort(-logits[alarms], kind="stable")]
    picked = alarms[np.unique(np.linspace(0, len(alarms) - 1, count).round().astype(int))] if len(alarms) else alarms
    features, found = prepared.encoder.features, []
    for row in picked.tolist():
        x = torch.from_numpy(dense(prepared.test, np.array([row]))[0])
        why = explain(judged.scorer.victim(prepared.moves, x[None].numpy()), x, prepared.moves, judged.threshold)
        found.append(
            {
                "id": prepared.identities[row],
                "score": why.score,
                "threshold": judged.threshold,
                "reasons": [
                    {"name": features[at], "share": share} for at, share in sorted(why.reasons, key=lambda r: -r[1])
                ],
                "sufficient": [features[at] for at in why.sufficient],
                "note": f"{int((x > 0).sum())} features are present",
            }
        )
    return found
