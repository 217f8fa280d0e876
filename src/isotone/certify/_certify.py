"""The public question: does any element of the score fall while the inputs move along their directions?

Search first (cheap, settles most bad models), prove second (settles most good ones); whatever is not both captured
faithfully and covered by rules is UNKNOWN.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..verdict import Verdict, Witness
from ._blame import blame
from ._capture import Capture, NotCaptured, Place, capture, name_of
from ._certificate import Certificate
from ._question import Question, asked
from ._search import Search, score_of, tolerance_for
from ._state import Kept, digest, mode, tensors
from ._trust import faithful, steady
from ._walk import walk
from .rules import MOVERS, RULES_VERSION

REAL = (
    "real arithmetic on the exact parameters: two separate float32 calls may disagree by about 1e-6 of the score's "
    "size when batch shape, memory layout or thread count differ"
)
FINITE = "every value inside the model is finite"
FIRST_CALLS = 150


@dataclass(frozen=True)
class _Answer:
    verdict: Verdict
    reason: str
    where: Place | None = None
    witness: Witness | None = None
    assumptions: tuple[str, ...] = ()
    batch: str = "not traced"


def certify(
    model: nn.Module,
    inputs: Any,
    directions: Any,
    domain: Any = None,
    *,
    seed: int = 0,
    budget: int = 1500,
    form: str = "as traced",
) -> Certificate:
    """Prove that a model is monotone, refute it with a pair of inputs, or say where the proof stopped.

    The claim: for all pairs of inputs in the domain, the second reached from the first by moving elements along their
    directions, no element of the output is smaller at the second; in real arithmetic on the exact parameter values.

    Args:
        model: judged in the mode in which it is; it is run many times, and its tensors are put back afterwards.
        inputs: an example: a tensor, or a tuple of tensors, one per input, rows first, real and finite. One row is
            repeated to two.
        directions: +1 (may rise), -1 (may fall), 0 (equal in both, otherwise arbitrary) for all; or one entry per
            input, a number or an array that broadcasts to the input.
        domain: None (all finite values), or one entry per input: None, a `Domain`, or a pair (low, high) in which None
            stands for no bound. A single input takes its entry without a tuple around it.
        seed: of the search for a witness; the same call gives the same certificate.
        budget: about how many times the search may call the model.
        form: what the input stands for, such as "padded to 64 names"; it is printed with the verdict.

    Returns:
        A certificate; for REFUTED its `witness` is a pair that was evaluated again, in float64 too where the model
        converts; for UNKNOWN its `where` names a node.

    Raises:
        BadInput: inputs, directions and domain that do not fit together, or a direction on indices of an embedding.

    Cost: tracing about 2 s for the first call of a process, then tens of milliseconds; at most `budget` calls of the
    model; the proof a few float64 passes over the traced batch. Memory: the parameters twice in float64.
    Source: Clarkson and Schneider, Hyperproperties (2010) for pairs; Moore, Interval Analysis (1966) for ranges.

    >>> steep = torch.nn.Linear(2, 1)
    >>> _ = torch.nn.init.constant_(steep.weight, 0.5)
    >>> certify(steep, torch.zeros(2, 2), +1).verdict
    <Verdict.PROVED: 'proved'>
    >>> certify(steep, torch.zeros(2, 2), (+1, -1)).witness.drop > 0
    True
    """
    if not isinstance(model, nn.Module):
        raise BadInput("model", f"{type(model).__name__} came", "a torch.nn.Module would be right")
    if not (isinstance(budget, int) and budget >= 0):
        raise BadInput("budget", f"{budget!r} came", "a number of calls, 0 or more, would be right")
    before, kept = digest(model), Kept(model)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            question = _answerable(model, asked(inputs, directions, domain))
            search = Search(model, question, seed, _tolerance(model, question), kept.put_back)
            answer = _judged(model, question, search, kept, budget)
    finally:
        kept.put_back()
    assumptions = (REAL, FINITE, *answer.assumptions) if answer.verdict is Verdict.PROVED else ()
    scope = _scope(question, answer, form=form, mode=mode(model), sha256=before, calls=search.calls)
    return Certificate(answer.verdict, answer.reason, answer.where, answer.witness, scope, assumptions)


def _answerable(model: nn.Module, question: Question) -> Question:
    """The question, if the model takes its example."""
    try:
        score_of(model)(question.inputs)
    except Exception as fault:
        said = (str(fault).strip().splitlines() or [""])[0][:120]
        raise BadInput(
            "inputs", f"the model does not take the example ({type(fault).__name__}: {said})", "it must run on it"
        ) from None
    return question


def _tolerance(model: nn.Module, question: Question) -> float:
    return tolerance_for({t.dtype for _, t in tensors(model)} | {x.dtype for x in question.inputs})


def _judged(model: nn.Module, question: Question, search: Search, kept: Kept, budget: int) -> _Answer:
    if bad := next((n for n, t in tensors(model) if not bool(torch.isfinite(t).all())), None):
        return _Answer(Verdict.UNKNOWN, f"{bad} holds infinite or NaN values, so nothing can be said")
    if reason := steady(model, question, search, kept):
        # Another answer at each call: pairs of calls say nothing about the inputs.
        return _Answer(Verdict.UNKNOWN, reason)
    obstacle, traced = _captured(model, question, search, kept)
    if traced is not None:
        _refuse_indices(traced, question)
    batch = "not traced" if traced is None else traced.batch
    if found := search.look(min(FIRST_CALLS, budget)):
        return _refuted(found, batch)
    stopped: tuple[str, Place | None] | None = (obstacle, None) if obstacle else None
    assumptions: tuple[str, ...] = ()
    if traced is not None and not obstacle:
        walked = walk(traced, question.facts())
        stopped, assumptions = blame(traced, walked), walked.assumptions
    if stopped is None:
        # The search has run the model many times: a model that changes with its calls shows it now.
        late = (faithful(model, traced, question, search) if traced is not None else "") or _moved(kept)
        stopped = (late, None) if late else None
    if stopped is None:
        return _Answer(Verdict.PROVED, "no element of the score can fall", None, None, assumptions, batch)
    if found := search.look(budget - search.calls):
        return _refuted(found, batch)
    return _Answer(Verdict.UNKNOWN, stopped[0], stopped[1], batch=batch)


def _captured(model: nn.Module, question: Question, search: Search, kept: Kept) -> tuple[str, Capture | None]:
    """Why there can be no proof, and the graph if there is one."""
    if moved := _moved(kept):
        kept.put_back()
        return moved, None
    try:
        traced = capture(model, question.inputs)
    except NotCaptured as fault:
        return str(fault), None
    except Exception as fault:
        return f"the exported graph could not be read ({type(fault).__name__})", None
    finally:
        kept.put_back()
    return faithful(model, traced, question, search), traced


def _moved(kept: Kept) -> str:
    return "it changes its own parameters, buffers or settings as it runs" if kept.changed() else ""


def _refuted(found: Witness, batch: str) -> _Answer:
    place = f"score{list(found.element)}" if found.element else "the score"
    if found.before != found.before or found.after != found.after:
        return _Answer(Verdict.REFUTED, f"{place} is NaN on this pair", None, found, batch=batch)
    return _Answer(Verdict.REFUTED, f"{place} falls by {found.drop:.6g} on this pair", None, found, batch=batch)


def _refuse_indices(traced: Capture, question: Question) -> None:
    """Rows of an embedding have no order: a direction on their indices is a mistake in the question."""
    for i, (node, way) in enumerate(zip(traced.inputs, question.directions, strict=True)):
        if question.inputs[i].dtype.is_floating_point or not bool((way != 0).any()):
            continue
        open_, seen = [node], set()
        while open_:
            here = open_.pop()
            seen.add(here)
            for user in here.users:
                name = name_of(user.target)
                if "embedding" in name and here in user.args[1:2]:
                    raise BadInput(
                        f"directions[{i}]",
                        "a direction came for indices of an embedding",
                        "0 (free) is right for them",
                        "Move explicit presence or weight inputs instead, or certify what follows the embedding.",
                    )
                if name in MOVERS and user not in seen:
                    open_.append(user)


def _scope(question: Question, answer: _Answer, *, form: str, mode: str, sha256: str, calls: int) -> dict[str, Any]:
    rows = question.inputs[0].shape[0] if question.inputs[0].dim() else 1
    about = {
        "symbolic": f"traced with a symbolic number of rows; the claim is about {rows} rows",
        "fixed": f"the trace fixed the number of rows; the claim is about {rows} rows",
        "not traced": f"not traced; {rows} rows",
    }
    return {
        "inputs": [{"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")} for x in question.inputs],
        "directions": "; ".join(_ways(d) for d in question.directions),
        "domain": "; ".join(
            _box(low, high) if given else "all finite values"
            for low, high, given in zip(question.low, question.high, question.given, strict=True)
        ),
        "form": form,
        "batch": about[answer.batch],
        "mode": mode,
        "search": f"{calls} calls of the model",
        "torch": torch.__version__,
        "rules": RULES_VERSION,
        "sha256": sha256,
    }


def _ways(d: Tensor) -> str:
    counts = [(int((d == way).sum()), name) for way, name in ((1, "increasing"), (-1, "decreasing"), (0, "free"))]
    return ", ".join(f"{count} {name}" for count, name in counts if count)


def _box(low: Tensor, high: Tensor) -> str:
    def words(t: Tensor) -> str:
        least, most = float(t.min()), float(t.max())
        return f"{least:g}" if least == most else f"{least:g}..{most:g}"

    return f"[{words(low)}, {words(high)}]"
