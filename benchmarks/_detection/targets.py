"""What the benchmark is to reach, as rows."""

from __future__ import annotations

from typing import Any, NamedTuple


class Target(NamedTuple):
    """Of one model on one set: certified detection at least `least` (None: the best monotone peer's), clean within."""

    set: str
    model: str
    least: float | None
    clean_loss: float | None = None

    def certified(self, found: Any) -> float:
        from .page import best_peer  # noqa: PLC0415

        if self.least is not None:
            return self.least
        peer = best_peer(found, self.set)
        return peer[1] if peer else 0.0

    def said(self, found: Any) -> str:
        from .page import best_peer  # noqa: PLC0415

        peer = best_peer(found, self.set)
        if self.least is not None or peer is None:
            text = f"certified at least {self.least}"
        else:
            text = f"certified at least {peer[1]:.3f}, the best monotone peer's ({peer[0]}, chosen on the test rows)"
        if self.clean_loss is None:
            return text
        return f"{text}, clean within {100 * self.clean_loss:g} point of unconstrained"


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
)
# fmt: on
