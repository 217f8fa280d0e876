"""What `audit_pipeline` answers, and how it is printed and stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..verdict import Verdict
from ._steps import StepFinding

EXIT = {Verdict.PROVED: 0, Verdict.REFUTED: 1, Verdict.UNKNOWN: 2}


@dataclass(frozen=True, eq=False)
class EncodedWitness:
    """An addition that moves an encoded feature the wrong way: from `start` at `before` to `end` at `after`.

    Args:
        before, after: the two inputs: texts, or tables of one row.
        feature: the name of the encoded feature, or its number.
        start, end: its value in each, in one call per input.
        direction: the direction it was asked for; 0: it had to stay.
    """

    before: Any
    after: Any
    feature: str
    start: float
    end: float
    direction: int

    def __str__(self) -> str:
        how = "falls" if self.end < self.start else "rises"
        moved = f"{self.feature} {how} from {self.start:.6g} to {self.end:.6g}"
        return f"{moved} between {_short(self.before)} and {_short(self.after)}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON, the sentence first."""
        pair = {"before": _plain(self.before), "after": _plain(self.after)}
        return {"says": str(self)} | {k: v for k, v in vars(self).items() if k not in pair} | pair


@dataclass(frozen=True, eq=False)
class PipelineAudit:
    """The verdict on "what is added never moves an encoded feature against its direction".

    Args:
        verdict: PROVED, REFUTED or UNKNOWN.
        reason: one sentence.
        witness: the pair, if there is one.
        steps: what is known of each step by its class and settings.
        tries: how many additions were compared.
        assumptions: for PROVED, what it rests on.
    """

    verdict: Verdict
    reason: str
    witness: EncodedWitness | None
    steps: tuple[StepFinding, ...]
    tries: int
    assumptions: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """PROVED 0, REFUTED 1, UNKNOWN 2."""
        return EXIT[self.verdict]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "witness": None if self.witness is None else self.witness.to_dict(),
            "steps": [vars(step) for step in self.steps],
            "tries": self.tries,
            "assumptions": list(self.assumptions),
        }

    def __str__(self) -> str:
        lines = [f"{self.verdict.name}  {self.reason}"]
        lines += [f"  witness:  {self.witness}"] if self.witness is not None else []
        lines += [f"  step:     {step}" for step in self.steps]
        lines += [f"  assumes:  {assumption}" for assumption in self.assumptions]
        return "\n".join(lines)


def _short(example: Any) -> str:
    said = repr(_plain(example))
    return said if len(said) <= 120 else f"{said[:80]} ... {said[-30:]}"


def _plain(example: Any) -> Any:
    """A text, or a table of one row as a list of cells."""
    if isinstance(example, str):
        return example
    if hasattr(example, "iloc"):
        return {str(name): _cell(example[name].iloc[0]) for name in example.columns}
    row = (example.toarray() if hasattr(example, "tocsr") else np.asarray(example)).ravel()
    return [_cell(value) for value in row]


def _cell(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not abs(value) < np.inf:
        return None if np.isnan(value) else str(value)
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
