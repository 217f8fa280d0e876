"""What the benchmark is to reach, as rows."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """Of one model on one set: certified detection at least `least` (None: the best monotone peer's), clean within.

    `fresh`: with the threshold set anew on benign rows of the test's origin.
    """

    set: str
    model: str
    least: float | None
    clean_loss: float | None = None
    fresh: bool = False

    @property
    def said(self) -> str:
        """Without what the peer reached, which only the records know."""
        text = "certified at least " + (f"{self.least}" if self.least is not None else "the best monotone peer's")
        if self.clean_loss is not None:
            text += f", clean within {100 * self.clean_loss:g} point of unconstrained"
        return text + (", threshold of its own" if self.fresh else "")


LIKE_PEERS = ("mimicus_a", "mimicus_b", "sms_spam", "enron_spam", "programs")
# fmt: off
ALONE, GUARDED = "PatternFloor", "Detector, tuned free lane"
TARGETS = (
    Target("drebin215",    ALONE,                   0.45),
    Target("drebin215",    "Detector, floor alone", 0.45),
    Target("drebin215",    GUARDED,                 0.30, 0.01),
    Target("drebin215",    "Detector",              0.30, 0.01),
    Target("defensedroid", ALONE,                   0.60),
    Target("defensedroid", "Detector, floor alone", 0.60),
    Target("defensedroid", GUARDED,                 0.50, 0.01),
    Target("defensedroid", "Detector",              0.50, 0.01),
    *(Target(name, "Detector, floor alone", None) for name in LIKE_PEERS),
    *(Target(name, "Detector, floor alone", None, fresh=True) for name in LIKE_PEERS[:2]),
)
# fmt: on
