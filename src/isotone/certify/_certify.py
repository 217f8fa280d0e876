"""The public question: does any element of the score fall while the inputs move along their directions?

Search first (cheap, settles most bad models), prove second (settles most good ones); whatever is not both captured
faithfully and covered by rules is UNKNOWN.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ..errors import BadInput
from ..verdict import Verdict, Witness
from ._advice import to_evaluate
from ._blame import Stop
from ._capture import Capture, NotCaptured, capture, name_of
from ._certificate import Certificate
from ._judge import Progress, Proof, in_boxes, judge
from ._mixed import rounds_unseen
from ._question import Claim, Question, claims, shape_of
from ._scope import FINITE, REAL, TRACED, scope
from ._search import Search, score_of, tolerance_for
from ._seeds import seeds
from ._shrink import shrunk
from ._state import Kept, digest, mode, tensors
from ._trust import faithful, steady
from .rules import MOVERS

FIRST_CALLS = 150


@dataclass
class _Answer:
    verdict: Verdict
    reason: str
    stop: Stop | None = None
    witness: Witness | None = None
    proof: Proof | None = None
    noise: str = ""


@dataclass(frozen=True)
class Asking:
    """How hard to try, and what to call the inputs; see `certify`."""

    seed: int = 0
    budget: int = 1500
    seconds: float = 10.0
    form: str = "as traced"
    progress: Progress | None = None


@dataclass
class _Job:
    """What all claims about one model share: the graph, what is against it, and the state to put back."""

    model: nn.Module
    kept: Kept
    tolerance: float
    asking: Asking
    traced: Capture | None = None
    obstacle: str = ""
    taken: dict[str, float] = field(default_factory=dict)


def certify(
    model: nn.Module,
    inputs: Any,
    directions: Any,
    domain: Any = None,
    *,
    outputs: Any = None,
    seed: int = 0,
    budget: int = 1500,
    seconds: float = 10.0,
    form: str = "as traced",
    progress: Progress | None = None,
) -> Certificate:
    """Prove that a model is monotone, refute it with a pair of inputs, or say where the proof stopped.

    The claim: for all pairs of inputs in the domain, the second reached from the first by moving elements along their
    directions, no element of the output is smaller at the second; in real arithmetic on the exact parameter values.

    Args:
        model: judged in the mode in which it is; it is run many times, and its tensors are put back afterwards.
        inputs: an example: a tensor, or a tuple of tensors, one per input, rows first, real and finite. One row is
            repeated to two.
        directions: +1 (may rise), -1 (may fall), 0 (equal in both, otherwise arbitrary) for all; or one entry per
            input, a number or an array that broadcasts to the input. For several columns of a score with directions of
            their own, a dictionary {column: directions}.
        domain: None (all finite values), or one entry per input: None, a `Domain`, or a pair (low, high) in which None
            stands for no bound. A single input takes its entry without a tuple around it.
        outputs: what is claimed of the score: +1 (must not fall, the default), -1 (must not rise), 0 (nothing), a
            number or an array that broadcasts to the score.
        seed: of the search for a witness; the same call gives the same certificate.
        budget: about how many times the search may call the model.
        seconds: for branch and bound over a bounded domain, where cheaper proofs have stopped; 0 for none.
        form: what the input stands for, such as "padded to 64 names"; it is printed with the verdict.
        progress: called with a fraction and a sentence during branch and bound.

    Returns:
        A certificate; for REFUTED its `witness` is a pair that was evaluated again, in float64 too where the model
        converts; for UNKNOWN its `where` names a node.

    Raises:
        BadInput: inputs, directions, domain and outputs that do not fit together, or a direction on indices of an
            embedding.

    Cost: tracing about 2 s for the first call of a process, then tens of milliseconds; at most `budget` calls of the
    model; the proof reads each weight once where signs settle it, and takes a few float64 passes over the traced batch
    otherwise. Memory: the parameters twice in float64.
    Source: Clarkson and Schneider, Hyperproperties (2010) for pairs; Moore, Interval Analysis (1966) for ranges.

    >>> steep = torch.nn.Linear(2, 1)
    >>> _ = torch.nn.init.constant_(steep.weight, 0.5)
    >>> certify(steep, torch.zeros(2, 2), +1).verdict
    <Verdict.PROVED: 'proved'>
    >>> certify(steep, torch.zeros(2, 2), (+1, -1)).witness.drop > 0
    True
    >>> certify(steep, torch.zeros(2, 2), -1, outputs=-1).verdict
    <Verdict.PROVED: 'proved'>
    """
    if not isinstance(model, nn.Module):
        raise BadInput("model", f"{type(model).__name__} came", "a torch.nn.Module would be right")
    if not (isinstance(budget, int) and budget >= 0):
        raise BadInput("budget", f"{budget!r} came", "a number of calls, 0 or more, would be right")
    if not (isinstance(seconds, int | float) and 0 <= seconds < float("inf")):
        raise BadInput("seconds", f"{seconds!r} came", "a number of seconds, 0 or more, would be right")
    asking = Asking(seed=seed, budget=budget, seconds=float(seconds), form=form, progress=progress)
    return judged(model, lambda: claims(inputs, directions, domain, outputs, score_of(model)), asking)


def judged(model: nn.Module, asked: Callable[[], list[Claim]], asking: Asking) -> Certificate:
    """The certificate on claims about one model; what `certify` asks anew, and `check` from a file."""
    before, kept = digest(model), Kept(model)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(asking.seed)
            about = asked()
            shape_of(score_of(model), about[0].question)  # or it says why not
            job = _Job(model, kept, _tolerance(model, about[0].question), asking)
            answer, calls = _judged(job, about)
    finally:
        kept.put_back()
    proof, stop = answer.proof, answer.stop
    proved = answer.verdict is Verdict.PROVED and proof is not None
    return Certificate(
        answer.verdict,
        answer.reason,
        stop.where if stop is not None else None,
        answer.witness,
        scope(about, job.traced, form=asking.form, mode=mode(model), sha256=before, calls=calls),
        (REAL, FINITE, TRACED, *proof.assumptions) if proved and proof is not None else (),
        used=proof.used if proved and proof is not None else (),
        known=stop.known if stop is not None else (),
        changes=stop.changes if stop is not None else (),
        noise=answer.noise,
        seconds=job.taken,
    )


def _tolerance(model: nn.Module, question: Question) -> float:
    return tolerance_for({t.dtype for _, t in tensors(model)} | {x.dtype for x in question.inputs})


def _judged(job: _Job, asked: list[Claim]) -> tuple[_Answer, int]:
    """The answer to all claims: refuted if one is, proved if all are; and the calls it took."""
    model, first = job.model, asked[0].question
    if bad := next((n for n, t in tensors(model) if not _finite(t)), None):
        return _Answer(Verdict.UNKNOWN, f"{bad} holds infinite or NaN values, so nothing can be said"), 0
    search = _search(job, first)
    if reason := steady(model, first, search, job.kept):
        # Another answer at each call: pairs of calls say nothing about the inputs.
        return _Answer(Verdict.UNKNOWN, reason, Stop(reason, changes=to_evaluate(model))), search.calls
    start = time.perf_counter()
    _trace(job, first, search)
    job.taken["export and its test"] = time.perf_counter() - start
    calls, answers = 0, []
    for claim in asked:
        if job.traced is not None:
            _refuse_indices(job.traced, claim.question)
        own = search if claim is asked[0] else _search(job, claim.question)
        answer = _answered(job, claim.question, own)
        calls += own.calls
        answers.append(replace(answer, reason=f"{claim.name}: {answer.reason}" if claim.name else answer.reason))
        if answer.verdict is Verdict.REFUTED:
            break
    worst = next((a for v in (Verdict.REFUTED, Verdict.UNKNOWN) for a in answers if a.verdict is v), None)
    return (worst if worst is not None else _all_proved(answers)), calls


def _finite(t: torch.Tensor) -> bool:
    """Whether all entries are finite, in one pass: NaN and infinities reach the ends."""
    if not t.dtype.is_floating_point or not t.numel():
        return bool(torch.isfinite(t).all())
    least, most = t.detach().aminmax()
    return -float("inf") < float(least) and float(most) < float("inf")


def _all_proved(answers: list[_Answer]) -> _Answer:
    proofs = [a.proof for a in answers if a.proof is not None]
    joined = Proof(
        None,
        tuple(dict.fromkeys(s for p in proofs for s in p.assumptions)),
        tuple(dict.fromkeys(s for p in proofs for s in p.used)),
    )
    reason = answers[0].reason if len(answers) == 1 else f"each of {len(answers)} claims holds"
    return _Answer(Verdict.PROVED, reason, proof=joined)


def _search(job: _Job, question: Question) -> Search:
    return Search(job.model, question, job.asking.seed, job.tolerance, job.kept.put_back)


def _answered(job: _Job, question: Question, search: Search) -> _Answer:
    """The answer to one claim: a short search, the cheap proofs, a long search, the dear proof."""
    if found := search.look(min(FIRST_CALLS, job.asking.budget)):
        return _refuted(job, found, search)
    stopped = Stop(job.obstacle, changes=to_evaluate(job.model)) if job.obstacle else None
    proof = None
    if stopped is None and job.traced is not None:
        proof = judge(job.traced, question, job.asking.progress)
        stopped = proof.stopped
        if stopped is not None:
            if found := search.look(job.asking.budget // 2 - search.calls):
                return _refuted(job, found, search)
            with torch.inference_mode(False):  # boxes need gradients
                proof = in_boxes(job.traced, question, proof, job.asking.seconds, job.asking.progress)
            stopped = proof.stopped
        job.taken.update(proof.seconds)
    if stopped is None:
        # The search has run the model many times: a model that changes with its calls shows it now.
        assert job.traced is not None
        late = faithful(job.model, job.traced, question, search) or _moved(job.kept)
        if not late:
            return _Answer(Verdict.PROVED, _claimed(question), proof=proof)
        stopped = Stop(late)
    if found := search.look(job.asking.budget - search.calls, _places(job, question, proof)):
        return _refuted(job, found, search)
    return _Answer(Verdict.UNKNOWN, stopped.reason, stopped, noise=_noise(search))


def _places(job: _Job, question: Question, proof: Proof | None) -> list[Any]:
    """Where a search does well to begin: pairs that boxes have found, and inputs that bring the graph to its kinks."""
    if proof is None or job.traced is None or proof.walked is None:
        return []
    return [*proof.candidates, *seeds(job.traced, proof.walked, question, seed=job.asking.seed)]


def _claimed(question: Question) -> str:
    signs = question.signs
    if signs is None or bool((signs > 0).all()):
        return "no element of the score can fall"
    if bool((signs >= 0).all()):
        return "no element of the score of which it was claimed can fall"
    if bool((signs <= 0).all()):
        return "no element of the score of which it was claimed can rise"
    return "no element of the score can move against its claim"


def _trace(job: _Job, question: Question, search: Search) -> None:
    """The graph, if there is one, and why there can be no proof."""
    if moved := _moved(job.kept):
        job.kept.put_back()
        job.obstacle = moved
        return
    try:
        job.traced = capture(job.model, question.inputs)
    except NotCaptured as fault:
        job.obstacle = str(fault)
        return
    except Exception as fault:
        job.obstacle = f"the exported graph could not be read ({type(fault).__name__})"
        return
    finally:
        job.kept.put_back()
    job.obstacle = rounds_unseen(job.traced) or faithful(job.model, job.traced, question, search)


def _moved(kept: Kept) -> str:
    return "it changes its own parameters, buffers or settings as it runs" if kept.changed() else ""


def _refuted(job: _Job, found: Witness, search: Search) -> _Answer:
    found = shrunk(search, found)
    job.kept.put_back()
    if moved := _moved(job.kept):
        # What Python holds cannot be put back: the pair may fall after so many calls, and not in a fresh process.
        return _Answer(Verdict.UNKNOWN, moved, Stop(moved))
    place = f"score{list(found.element)}" if found.element else "the score"
    if found.before != found.before or found.after != found.after:
        return _Answer(Verdict.REFUTED, f"{place} is NaN on this pair", witness=found)
    moves = f"falls by {found.drop:.6g}" if found.drop > 0 else f"rises by {-found.drop:.6g}"
    hidden = "" if found.arithmetic == "as given" else " in float64; the model's own rounding hides it"
    return _Answer(Verdict.REFUTED, f"{place} {moves} on this pair{hidden}", witness=found)


def _noise(search: Search) -> str:
    seen = search.noise
    if seen is None:
        return ""
    return f"the largest drop seen, {seen[0]:.2g} on scores of size {seen[1]:.3g}, is rounding noise and no refutation"


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
