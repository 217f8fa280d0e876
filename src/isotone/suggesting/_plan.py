"""A plan as a value: its steps, its lines, what came of trying them, and how all that is printed."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from ..certify import Certificate
from ..verdict import Verdict
from ._edits import Edit

WIDTH = 80


@dataclass(frozen=True)
class Step:
    """One thing to change.

    Args:
        kind: "constrain" (hold a weight), "replace" (an operation that turns the order), "head" (the last layer and its
            loss), or "inputs" (what the claim is stated about).
        where: module and line of the model.
        why: the reason, one sentence.
        do: what to do by hand; "" where `lines` do it.
        lines: to paste; empty where only the model's author can do it.
    """

    kind: str
    where: str
    why: str
    do: str = ""
    edits: tuple[Edit, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of this step."""
        return tuple(edit.line for edit in self.edits)


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Which layers to hold, which operations to replace, which head to change; and what `certify` says afterwards.

    Args:
        model: the class of the model.
        steps: in order.
        certificate: of a copy to which all lines were applied, in eval mode, with its present weights; None where the
            question could not be put.
        at_random_weights: of a second such copy, its parameters drawn anew inside their sets; None as above, and where
            the first is not PROVED. PROVED here too, it does not hang on what the present weights happen to be.
        unasked: why there is no certificate.
        finishes: lines for after the training.
        notes: what else is worth knowing.
    """

    model: str
    steps: tuple[Step, ...]
    certificate: Certificate | None
    at_random_weights: Certificate | None
    unasked: str
    finishes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """What `certify` said of the copy; UNKNOWN if it was not asked."""
        return Verdict.UNKNOWN if self.certificate is None else self.certificate.verdict

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines of all steps, in the order in which they were tried: new modules first, then what holds weights."""
        return tuple(edit.line for edit in in_order(self.steps))

    @property
    def code(self) -> str:
        """The lines to paste, with `model`, `torch` and `isotone` at hand."""
        after = [] if not self.finishes else ["# Train, then:", *self.finishes]
        return "\n".join([*self.lines, *after])

    @property
    def by_hand(self) -> tuple[Step, ...]:
        """The steps that no line does."""
        return tuple(step for step in self.steps if not step.edits)

    def __str__(self) -> str:
        blocks = [[f"A monotone {self.model}: {self._size()}"]]
        blocks += [_step(number, step) for number, step in enumerate(self.steps, 1)]
        blocks.append(_wrapped(self.outcome, ""))
        if self.notes:
            blocks.append([line for note in self.notes for line in _wrapped(f"- {note}", "  ")])
        return "\n\n".join("\n".join(block) for block in blocks)

    def _size(self) -> str:
        lines, hand = len(self.lines), len(self.by_hand)
        if not self.steps:
            return "nothing to change"
        parts = [f"{lines} line{'s' * (lines != 1)} to paste"] if lines else []
        parts += [f"{hand} step{'s' * (hand != 1)} by hand"] if hand else []
        return ", ".join(parts)

    @property
    def outcome(self) -> str:
        """What came of trying the lines, in one paragraph."""
        lines = len(self.lines)
        when = f"After {'these ' + str(lines) + ' lines' if lines > 1 else 'this line'}" if lines else "As it is"
        if self.by_hand:
            when += f", before the step{'s' * (len(self.by_hand) > 1)} by hand"
        if self.certificate is None:
            return f"{when}: not checked. {self.unasked}"
        said = f"{when}: {self.verdict.name} in eval mode, checked on a copy"
        if self.verdict is not Verdict.PROVED:
            where = self.certificate.where
            place = f", at {where}" if where is not None else ""
            said += f" ({self.certificate.reason}{place})."
            return said + (" Make the change by hand, then call suggest again." if self.by_hand else "")
        again = self.at_random_weights
        if again is not None and again.verdict is Verdict.PROVED:
            return f"{said} with its present weights and on one with random weights inside the same sets."
        other = "" if again is None else f": with random weights inside the same sets it is {again.verdict.name}"
        reason = "" if again is None else f" ({again.reason})"
        return f"{said}, but for its present weights only{other}{reason}. Training may undo it."


def in_order(steps: tuple[Step, ...]) -> list[Edit]:
    """New modules first: a constraint would go with the module that is replaced."""
    edits = [edit for step in steps for edit in step.edits]
    return sorted(edits, key=lambda edit: not edit.line.startswith("model."))


def _step(number: int, step: Step) -> list[str]:
    lines = _wrapped(f"{number}. {step.kind}{' ' + step.where if step.where else ''}", "   ")
    lines += _wrapped("   " + step.why, "   ")
    if step.do:
        lines += _wrapped("   By hand: " + step.do if not step.edits else "   " + step.do, "   ")
    for code in step.lines:
        # A break at a space inside parentheses is still Python.
        lines += _wrapped("     " + code, "         ")
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False) or [""]
