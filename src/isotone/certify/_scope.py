"""What a verdict is about, in words and in numbers: the claim, and everything it rests on being as it was."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._capture import Capture
from ._question import Claim, Question
from .rules import RULES_VERSION

REAL = (
    "real arithmetic on the exact parameters: two separate float32 calls may disagree by about 1e-6 of the score's "
    "size when batch shape, memory layout or thread count differ (isotone.compare puts both into one batch)"
)
FINITE = "every value inside the model is finite"
TRACED = (
    "the exported graph is the model: torch.export made it, and both gave the same scores on the example, on random "
    "inputs and at ends of the domain"
)
INF = float("inf")


def scope(
    asked: list[Claim], traced: Capture | None, *, form: str, mode: str, sha256: str, calls: int
) -> dict[str, Any]:
    """The scope of a certificate, as JSON."""
    question = asked[0].question
    rows = question.inputs[0].shape[0] if question.inputs[0].dim() else 1
    if traced is None:
        batch = f"not traced; {rows} rows"
    elif traced.batch == "symbolic":
        batch = f"traced with a symbolic number of rows; the claim is about {rows} rows"
    else:
        batch = f"the trace fixed the number of rows; the claim is about {rows} rows"
    return {
        "claim": "; ".join(in_words(claim) for claim in asked),
        "inputs": [{"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")} for x in question.inputs],
        "directions": " | ".join(
            _named(claim, "; ".join(ways(d) for d in claim.question.directions)) for claim in asked
        ),
        "domain": "; ".join(
            box(low, high) if given else "all finite values"
            for low, high, given in zip(question.low, question.high, question.given, strict=True)
        ),
        "form": form,
        "batch": batch,
        "mode": mode,
        "search": f"{calls} calls of the model",
        "torch": torch.__version__,
        "rules": RULES_VERSION,
        "sha256": sha256,
        "graph": "" if traced is None else traced.digest(),
        "asked": [stored(claim) for claim in asked],
    }


def in_words(claim: Claim) -> str:
    """The claim as a sentence for whoever reads the certificate without having asked."""
    question = claim.question
    moves = []
    for i, (d, low, high, given) in enumerate(
        zip(question.directions, question.low, question.high, question.given, strict=True)
    ):
        where = f" within {box(low, high)}" if given else ""
        if bool((d != 0).any()):
            moves.append(f"elements of input {i} move{where} along their directions ({ways(d)})")
        else:
            moves.append(f"input {i} is the same, whatever it is{where}")
    signs = question.signs
    if signs is None or bool((signs > 0).all()):
        what = "no element of the score falls"
    else:
        counts = [(int((signs > 0).sum()), "falls"), (int((signs < 0).sum()), "rises")]
        what = " and ".join(f"none of {n} elements of the score {verb}" for n, verb in counts if n)
    return _named(claim, f"{what} when {', and '.join(moves)}")


def _named(claim: Claim, words: str) -> str:
    return f"{claim.name}: {words}" if claim.name else words


def ways(d: Tensor) -> str:
    """How many elements move which way."""
    counts = [(int((d == way).sum()), name) for way, name in ((1, "increasing"), (-1, "decreasing"), (0, "free"))]
    return ", ".join(f"{count} {name}" for count, name in counts if count)


def box(low: Tensor, high: Tensor) -> str:
    """A domain, shortened."""

    def words(t: Tensor) -> str:
        least, most = float(t.min()), float(t.max())
        return f"{least:g}" if least == most else f"{least:g}..{most:g}"

    return f"[{words(low)}, {words(high)}]"


def stored(claim: Claim) -> dict[str, Any]:
    """The question in numbers, so that it can be asked again; a uniform tensor is one number."""
    question = claim.question
    return {
        "name": claim.name,
        "directions": [_numbers(d) for d in question.directions],
        "low": [_numbers(low) for low in question.low],
        "high": [_numbers(high) for high in question.high],
        "given": list(question.given),
        "signs": None if question.signs is None else _numbers(question.signs, whole=True),
    }


def again(kept: dict[str, Any], inputs: tuple[Tensor, ...]) -> Question:
    """The question that `stored` kept, about these examples."""
    shapes = [x.shape for x in inputs]
    directions, low, high = (
        tuple(_tensor(v, shape) for v, shape in zip(kept[part], shapes, strict=True))
        for part in ("directions", "low", "high")
    )
    signs = None if kept["signs"] is None else _tensor(kept["signs"], None)
    return Question(inputs, directions, low, high, tuple(kept["given"]), signs)


def _numbers(t: Tensor, *, whole: bool = False) -> Any:
    first = t.reshape(-1)[0]
    if not whole and bool((t == first).all()):
        return _out(float(first))
    if not whole and t.dim() > 1 and bool((t == t[:1]).all()):
        return {"shape": [1, *t.shape[1:]], "values": [_out(v) for v in t[0].reshape(-1).tolist()]}
    return {"shape": list(t.shape), "values": [_out(v) for v in t.reshape(-1).tolist()]}


def _tensor(value: Any, shape: torch.Size | None) -> Tensor:
    if not isinstance(value, dict):
        assert shape is not None
        return torch.full(shape, float(value), dtype=torch.float64)
    made = torch.tensor([float(v) for v in value["values"]], dtype=torch.float64).reshape(value["shape"])
    return made if shape is None else made.expand(shape)


def _out(x: float) -> float | str:
    """JSON has no infinity."""
    return x if abs(x) < INF else str(x)
