"""What `certify` answers, and how it is printed, stored and read again."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..verdict import Verdict, Witness
from ._capture import Place
from ._state import digest, mode

WIDTH = 80
EXIT = {Verdict.PROVED: 0, Verdict.REFUTED: 1, Verdict.UNKNOWN: 2}


@dataclass(frozen=True, eq=False)
class Certificate:
    """The verdict on "no element of the score falls while the inputs move along their directions".

    Args:
        verdict: PROVED, REFUTED or UNKNOWN.
        reason: one sentence.
        where: for UNKNOWN, the node at which the proof stopped, if it was a node.
        witness: for REFUTED, the pair of inputs.
        scope: what the verdict is about: shapes, mode, domain, directions, form, versions, hash of the parameters.
        assumptions: what it rests on besides the mathematics.
        used: for PROVED, the means of the proof, with the places where more than the plain rules was needed.
        known: for UNKNOWN, what was known where the proof stopped.
        changes: for UNKNOWN, what would let the proof through.
        noise: for UNKNOWN, a word on drops that were seen and are no larger than rounding.
        seconds: what the parts of the work took; not stored.
    """

    verdict: Verdict
    reason: str
    where: Place | None
    witness: Witness | None
    scope: dict[str, Any]
    assumptions: tuple[str, ...]
    used: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    noise: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """PROVED 0, REFUTED 1, UNKNOWN 2."""
        return EXIT[self.verdict]

    def valid_for(self, model: nn.Module) -> bool:
        """Whether the model still has the tensors and the mode that were judged; the verdict is void otherwise.

        Of what else Python holds only plain public settings and the names of hooks are compared: a function that was
        replaced, or a private attribute or dictionary that was changed, is not seen. Certify again after such changes.
        """
        return bool(digest(model) == self.scope["sha256"] and mode(model) == self.scope["mode"])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON: numbers, strings, lists; tensors with their dtype and shape."""
        witness = self.witness
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "where": None if self.where is None else asdict(self.where),
            "witness": None
            if witness is None
            else {
                "lower": [_tensor_out(t) for t in witness.lower],
                "upper": [_tensor_out(t) for t in witness.upper],
                "element": list(witness.element),
                "before": _number_out(witness.before),
                "after": _number_out(witness.after),
                "arithmetic": witness.arithmetic,
            },
            "scope": self.scope,
            "assumptions": list(self.assumptions),
            "used": list(self.used),
            "known": list(self.known),
            "changes": list(self.changes),
            "noise": self.noise,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Certificate:
        """The certificate that `to_dict` stored."""
        place, pair = stored["where"], stored["witness"]
        return cls(
            verdict=Verdict(stored["verdict"]),
            reason=stored["reason"],
            where=None if place is None else Place(**place),
            witness=None
            if pair is None
            else Witness(
                lower=tuple(_tensor_in(t) for t in pair["lower"]),
                upper=tuple(_tensor_in(t) for t in pair["upper"]),
                element=tuple(pair["element"]),
                before=float(pair["before"]),
                after=float(pair["after"]),
                arithmetic=pair.get("arithmetic", "as given"),
            ),
            scope=stored["scope"],
            assumptions=tuple(stored["assumptions"]),
            used=tuple(stored.get("used", ())),
            known=tuple(stored.get("known", ())),
            changes=tuple(stored.get("changes", ())),
            noise=stored.get("noise", ""),
        )

    def __str__(self) -> str:
        scope = self.scope
        lines = _wrapped(f"{self.verdict.name}  {self.reason}", "  ")
        if self.where is not None:
            lines += _wrapped(f"  stopped at  {self.where}", " " * 14)
            lines += [f"{'':14}{self.where.source[: WIDTH - 14]}"] if self.where.source else []
        for heading, sentences in (("known:", self.known), ("to go on:", self.changes), ("proved by:", self.used)):
            for i, sentence in enumerate(sentences):
                lines += _wrapped(f"  {'' if i else heading:<12}{sentence}", " " * 16)
        if self.noise:
            lines += _wrapped(f"  seen:       {self.noise}", " " * 14)
        if self.witness is not None:
            lines += self._pair()
        shapes = ", ".join(f"{i['dtype']} {'x'.join(map(str, i['shape']))}" for i in scope["inputs"])
        for name, said in (
            ("claim", scope.get("claim", "")),
            ("inputs", shapes),
            ("directions", scope["directions"]),
            ("domain", scope["domain"]),
            ("form", scope["form"]),
            ("batch", scope["batch"]),
            ("mode", scope["mode"]),
            ("search", scope["search"]),
            ("versions", f"torch {scope['torch']}, rules {scope['rules']}"),
            ("model", f"sha256 {scope['sha256'][:16]}..."),
        ):
            lines += _wrapped(f"  {name + ':':<12}{said}", " " * 14) if said else []
        for assumption in self.assumptions:
            lines += _wrapped(f"  assumes:    {assumption}", " " * 14)
        return "\n".join(lines)

    def _pair(self) -> list[str]:
        assert self.witness is not None
        w = self.witness
        verb = "rises" if w.after > w.before else "falls"
        lines = _wrapped(f"  score{list(w.element)} {verb} from {w.before:.6g} to {w.after:.6g} when", "     ")
        moved = [
            (f"input {i}{list(map(int, place))}", float(a[tuple(place)]), float(b[tuple(place)]))
            for i, (a, b) in enumerate(zip(w.lower, w.upper, strict=True))
            for place in (a != b).nonzero()
        ]
        for name, a, b in moved[:4]:
            lines += _wrapped(f"     {name} goes from {a:.6g} to {b:.6g}", "       ")
        if len(moved) > 4:
            lines.append(f"     ... and {len(moved) - 4} more elements move")
        return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _number_out(x: float) -> float | str:
    """JSON has no NaN and no infinity."""
    return x if abs(x) < float("inf") else str(x)


def _tensor_out(t: Tensor) -> dict[str, Any]:
    return {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape), "values": t.detach().cpu().tolist()}


def _tensor_in(stored: dict[str, Any]) -> Tensor:
    dtype = getattr(torch, stored["dtype"])
    return torch.tensor(stored["values"], dtype=dtype).reshape(stored["shape"])
