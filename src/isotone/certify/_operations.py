"""The table of all operators with a rule, for docs/operations.md: written from the rules, never by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .boxes import TANGENTS
from .relations import RELATIONS
from .rules import REFUSED, RULES, RULES_VERSION
from .slopes import SLOPES

# The files of `rules/`, each a class of rows: what such a row knows.
# fmt: off
CLASSES = {
    "_structural":  "moves values about, or adds them up with coefficients that are not negative",
    "_placing":     "puts values at constant places",
    "_linear":      "products and convolutions: signs of the coefficients, ranges of the factors",
    "_arithmetic":  "sums, products, quotients, powers: by signs and ranges of the operands",
    "_products":    "products of many, interpolation, sums of exponentials",
    "_unary":       "functions of one number: where each rises and where it falls",
    "_curves":      "functions of one number: waves, hyperbolic and inverse functions, shrinkage",
    "_order":       "largest, smallest, sorted: the candidates",
    "_conditional": "comparisons, truth values, choices, casts, tables",
    "_special":     "softmax, logsumexp, batch norm, embeddings",
    "_norms":       "normalisation and attention: bounded, and monotone only where the weights are fixed",
    "_refused":     "refused by name",
}
# fmt: on


def operations() -> str:
    """The page in Markdown: a section per class of rows, a line per operator."""
    lines = [
        "# Operators with a rule",
        "",
        f"Written by `python -m isotone.certify`, rules version {RULES_VERSION}: {len(RULES)} overloads. Operators",
        "that are not here are taken apart by PyTorch's own decompositions, as far as those lead to operators that",
        "are; what is left has no rule, and a proof stops there. *Ranges*: intervals and directions; *slopes*:",
        "intervals of slopes between any two points; *boxes*: Jacobian bounds for branch and bound. See [how a proof",
        "goes](proof.md).",
    ]
    for module, about in CLASSES.items():
        rows = _rows(module)
        if not rows or module == "_refused":
            continue
        lines += ["", f"## {about.capitalize()}", "", "| operator | overloads | ranges | slopes | boxes |"]
        lines += ["|---|---|---|---|---|", *rows]
    lines += ["", "## Refused by name", "", "| operator | why |", "|---|---|"]
    lines += [f"| `{name.removeprefix('aten.')}` | {why} |" for name, why in sorted(REFUSED.items())]
    lines += [
        "",
        "## Relational steps",
        "",
        "Tried where a plain rule leaves open what two values that belong together do.",
    ]
    lines += ["", "| step | what it sees |", "|---|---|"]
    lines += [f"| {step.name} | {_sentence(step.find)} |" for step in RELATIONS]
    return "\n".join(lines) + "\n"


def _rows(module: str) -> list[str]:
    packets: dict[str, list[str]] = {}
    for name, function in RULES.items():
        if _home(function) == module and name not in REFUSED:
            packets.setdefault(name.rpartition(".")[0], []).append(name)
    return [
        f"| `{packet.removeprefix('aten.')}` | {', '.join(n.rpartition('.')[2] for n in names)} | yes "
        f"| {_among(names, SLOPES)} | {_among(names, TANGENTS)} |"
        for packet, names in sorted(packets.items())
    ]


def _home(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__module__", "")).rpartition(".")[2]


def _among(names: list[str], table: Any) -> str:
    found = [name in table for name in names]
    return "yes" if all(found) else "some" if any(found) else ""


def _sentence(step: Callable[..., Any]) -> str:
    return " ".join((step.__doc__ or "").strip().split("\n\n")[0].split()).rstrip(".")
