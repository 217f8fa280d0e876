"""Small facts with every part of a report in them; the numbers are made up, and none is round by chance."""

from __future__ import annotations

import math
from typing import Any


def spread(mean: float, half: float = 0.0) -> dict[str, Any]:
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return {"mean": mean, "low": low, "high": high, "by_seed": [low, mean, high]}


def curve(*means: float, half: float = 0.0) -> dict[str, Any]:
    return {"budgets": [0, 1, 2, 5, 10, 25, 50, None], "detection": [spread(m, half) for m in means]}


def roc(strength: float) -> dict[str, list[float]]:
    rates = [0.0, *(10 ** (-3 + i / 8) for i in range(25))]
    return {"false_alarm_rate": rates, "detection": [round(max(r, 0.0008) ** strength, 6) for r in rates]}


def bins(centre: float, width: float, of: int) -> list[int]:
    return [round(of * math.exp(-(((i + 0.5) / 20 - centre) ** 2) / (2 * width**2)) * 0.05 / width) for i in range(20)]


def attack(name: str, rate: float, median: float | None, broken: bool = False) -> dict[str, Any]:
    return {"name": name, "evasion_rate": spread(rate, 0.01), "median_additions": median, "broken": broken}


def whole() -> dict[str, Any]:
    return {
        "format": 1,
        "title": "Debian programs: can it open a network connection?",
        "summary": "A monotone network finds most network programs by the names they import; adding none hides one.",
        "data": {
            "name": "debian_programs",
            "rows": [
                {"part": "train", "rows": 2812, "positives": 301, "groups": 283},
                {"part": "validation", "rows": 941, "positives": 98, "groups": 96},
                {"part": "test", "rows": 903, "positives": 91, "groups": None},
            ],
            "features": 5211,
            "label": "the program can open a network connection",
            "split": "by source package: no package is in two parts",
            "notes": ["One row per program file; duplicates were removed before the split."],
        },
        "threat": {
            "statement": "The attacker can add imports, as many as they like, and remove none.",
            "adds": ["*"],
            "removes": [],
            "covered": ["adding any imported names", "adding several at once, in any order"],
            "not_covered": [
                "Removing an import, or hiding it by loading it at run time.",
                "A program that was missed before anything was added: it stays missed or becomes an alert.",
                "Changes to how names are extracted from a file.",
            ],
        },
        "certificate": {
            "verdict": "proved",
            "reason": "Every operation from the names to the score is increasing on the whole domain.",
            "where": None,
            "claim": "The score never falls when imported names are added.",
            "scope": {"Form": "padded bag of names, presence in [0, 1]", "Largest padded size": "512 names"},
            "assumptions": ["real arithmetic", "the model in evaluation mode"],
        },
        "max_false_alarm_rate": 0.01,
        "seeds": [0, 1, 2],
        "detectors": [
            {
                "name": "monotone network",
                "role": "monotone",
                "chosen": True,
                "note": None,
                "auc": spread(0.9514, 0.004),
                "clean": spread(0.7802, 0.021),
                "false_alarms": {"rate": 5 / 812, "low": 0.002, "high": 0.01431, "count": 5, "of": 812},
                "curve": curve(*[0.7802] * 8, half=0.021),
                "certified_curve": curve(*[0.7642] * 8, half=0.013),
                "lost_after_10": spread(0.0),
                "attacks": [attack("greedy", 0.0, None), attack("gradient", 0.0, None, broken=True)],
                "roc": roc(0.055),
            },
            {
                "name": "unconstrained network",
                "role": "unconstrained",
                "chosen": False,
                "note": "same size, same training",
                "auc": spread(0.9817, 0.003),
                "clean": spread(0.8791, 0.012),
                "false_alarms": {"rate": 9 / 812, "low": 0.00508, "high": 0.02093, "count": 9, "of": 812},
                "curve": curve(0.8791, 0.71, 0.52, 0.203, 0.0412, 0.011, 0.0, 0.0, half=0.03),
                "lost_after_10": spread(0.953, 0.02),
                "attacks": [attack("greedy", 0.953, 3.0), attack("gradient", 0.881, 4.5)],
                "roc": roc(0.03),
            },
            {
                "name": "LightGBM",
                "role": "peer",
                "chosen": False,
                "note": None,
                "auc": spread(0.9788),
                "clean": spread(0.8571),
                "false_alarms": {"rate": 8 / 812, "low": 0.00426, "high": 0.01931, "count": 8, "of": 812},
                "curve": curve(0.8571, 0.78, 0.66, 0.41, 0.22, 0.13, 0.09, 0.088),
                "lost_after_10": spread(0.743),
                "attacks": [attack("greedy", 0.743, 6.0)],
                "roc": roc(0.036),
            },
        ],
        "histograms": {
            "edges": [i / 20 for i in range(21)],
            "before": {"positive": bins(0.52, 0.06, 301), "negative": bins(0.48, 0.05, 2511)},
            "after": {"positive": bins(0.9, 0.14, 301), "negative": bins(0.06, 0.09, 2511)},
            "threshold": 0.6134,
            "unit": "probability",
        },
        "headroom": {
            "bad": 91,
            "benign": 812,
            "free": 0.7363,
            "limits": [{"rate": 0.01, "low": 0.8901, "high": 0.9011}],
            "loose": [{"name": "getaddrinfo", "freed": 7}, {"name": "socket", "freed": 3}],
        },
        "calibrations": [
            {
                "at": "2024-05-31T12:00:00+00:00",
                "data": "benign-may.parquet",
                "rows": 4120,
                "rate": 0.01,
                "old_threshold": 0.4731,
                "new_threshold": 0.5117,
                "false_alarms": {"rate": 41 / 4120, "low": 0.00715, "high": 0.01347, "count": 41, "of": 4120},
            }
        ],
        "alerts": [
            {
                "id": "usr/bin/nc.openbsd",
                "score": 0.991,
                "threshold": 0.6134,
                "reasons": [{"name": "connect", "share": 0.31}, {"name": "getaddrinfo", "share": 0.24}],
                "sufficient": ["connect", "getaddrinfo"],
                "note": None,
            },
            {
                "id": "usr/sbin/stunnel4",
                "score": 0.987,
                "threshold": 0.6134,
                "reasons": [{"name": "SSL_new", "share": 0.42}, {"name": "accept", "share": 0.12}],
                "sufficient": ["SSL_new"],
                "note": None,
            },
            {
                "id": "usr/lib/x86_64-linux-gnu/a-very-long-folder-name/libexec/helper-program",
                "score": 0.702,
                "threshold": 0.6134,
                "reasons": [{"name": "_ZN5boost4asio6detail14socket_ops10connect", "share": 0.2}],
                "sufficient": [],
                "note": "No part of the names is enough on its own.",
            },
        ],
        "versions": {"isotone": "0.1.0", "torch": "2.13.0"},
    }


FIXED = ("verdict", "role", "unit")  # words from a short list, not free text


def hostile(value: Any, text: str, key: str = "") -> Any:
    """The same facts with `text` before every free text, and in every free key."""
    if isinstance(value, dict):
        free = key in ("scope", "versions")
        return {(f"{k} {text}" if free else k): hostile(v, text, k) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(v, text, key) for v in value]
    return f"{text} {value}" if isinstance(value, str) and key not in FIXED else value
