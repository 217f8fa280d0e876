"""The public call: read a copy, write the plan, try its lines on other copies."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..certify import Certificate, certify
from ..certify._capture import NotCaptured, capture
from ..certify._question import Question, asked
from ..constraints import constraints_of, project_
from ..errors import BadInput
from ..verdict import Domain, Verdict
from ._advice import notes, steps
from ._edits import Hold, Swap
from ._plan import Step, Suggestion, in_order
from ._reading import Reading, read
from ._words import UNFIT

# Calls of the model that the two searches for a witness may take.
BUDGET, BUDGET_AT_RANDOM = 400, 150
MODAL = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.dropout._DropoutNd,
    nn.modules.instancenorm._InstanceNorm,
)


def suggest(model: nn.Module, directions: Any, inputs: Any = None, domain: Any = None) -> Suggestion:
    """Which layers to constrain, which operations to replace and which head to change, for a score that moves one way.

    The model is not touched. Its exported graph is read; the lines of the plan are applied to a copy, and `certify` is
    asked about that, so that a plan says PROVED only where the prover has.

    Args:
        model: any module, trained or not; read in eval mode.
        directions: as for `certify`: +1 (may rise), -1 (may fall), 0 (free), for all or per input and element.
        inputs: an example, as for `certify`. None: rows of numbers, as many as there are directions or as the first
            linear layer takes.
        domain: as for `certify`.

    Returns:
        A `Suggestion`: print it, read its `steps`, paste its `code`.

    Raises:
        BadInput: as `certify`; and inputs that cannot be guessed, a lazy model, a model that cannot be copied.

    Cost: three copies of the model at most; tracing (about 2 s for the first call of a process), and two calls of
    `certify` with a small budget.

    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    >>> plan = suggest(model, (+1, -1, 0))
    >>> print(plan.code)
    isotone.constrain(model, "0.weight", isotone.Sign((1, -1, 0)))
    isotone.constrain(model, "2.weight", isotone.NonNegative())
    >>> plan.verdict
    <Verdict.PROVED: 'proved'>
    """
    if not isinstance(model, nn.Module):
        raise BadInput("model", f"{type(model).__name__} came", "a torch.nn.Module would be right")
    if lazy := next((name for name, p in model.named_parameters() if is_lazy(p)), None):
        raise BadInput("model", f"{lazy!r} is lazy and has no values yet", "run one batch through the model first")
    own = _copied(model)
    example = _guessed(own, directions, domain) if inputs is None else inputs
    question = asked(example, directions, domain)
    _must_run(own, question)
    try:
        traced = capture(own, question.inputs)
    except NotCaptured as fault:
        return _unread(model, own, question, str(fault), (example, directions, domain))
    reading = read(own, traced, question.facts())
    found, kept = steps(own, reading)
    said = notes(own, reading, kept)
    said += _training(model, found)
    found = [_that_runs(own, step, question) for step in found]
    finishes = ("model.eval()",) if model.training and any(isinstance(m, MODAL) for m in model.modules()) else ()
    unasked = _unaskable(reading)
    certificate, again = None, None
    if not unasked:
        try:
            certificate, again = _tried(model, found, (example, directions, domain))
        except BadInput as fault:  # two lines that run apart and not together
            unasked = f"certify declined: {fault}"
    return Suggestion(type(model).__name__, tuple(found), certificate, again, unasked, finishes, tuple(said))


def _unaskable(reading: Reading) -> str:
    ids = any(trouble.kind == "ids" for trouble in reading.troubles)
    return "certify takes no direction on ids; ask again about presences." if ids else ""


def _tried(model: nn.Module, found: list[Step], asking: tuple[Any, Any, Any]) -> tuple[Certificate, Certificate | None]:
    """What certify says after all lines: with the present weights, and if that is PROVED with others."""
    tried = _changed(model, found)
    certificate = certify(tried, *asking, budget=BUDGET)
    if certificate.verdict is not Verdict.PROVED:
        return certificate, None
    return certificate, certify(_at_random(tried), *asking, budget=BUDGET_AT_RANDOM)


def _that_runs(model: nn.Module, step: Step, question: Question) -> Step:
    """The step; by hand, if the model reads something else of a module than its result."""
    if not any(isinstance(edit, Swap) for edit in step.edits):
        return step
    try:
        with torch.no_grad():
            _changed(model, [step])(*(x.clone() for x in question.inputs))
    except Exception:
        do = step.do or "softplus, elu, or isotone.nn.Saturating"
        return replace(step, do=f"{do} (the model looks into this module, so no one line can swap it)", edits=())
    return step


def _unread(model: nn.Module, own: nn.Module, question: Question, reason: str, asking: Any) -> Suggestion:
    """A model without a graph: what its modules say, and what the search finds."""
    found = [
        Step(
            "replace",
            "forward",
            f"its structure could not be read ({reason})",
            "write it without Python branches or loops on values of tensors, and ask again",
        )
    ]
    moves = any(bool((way != 0).any()) for way in question.directions)
    for path, module in own.named_modules() if moves else ():
        for kind, (why, do, _) in UNFIT.items():
            if isinstance(module, kind):
                found.append(Step("replace", f"{kind.__name__}, {path}", f"if moving inputs reach it: {why}", do))
    certificate = certify(own, *asking, budget=BUDGET)
    return Suggestion(type(model).__name__, tuple(found), certificate, None, "", (), ())


def _copied(model: nn.Module) -> nn.Module:
    """A copy in eval mode, for us alone."""
    try:
        return copy.deepcopy(model).eval()
    except Exception as fault:
        said = (str(fault).strip().splitlines() or [""])[0][:120]
        raise BadInput(
            "model", f"it cannot be copied ({type(fault).__name__}: {said})", "suggest tries its plan on a copy"
        ) from None


def _changed(model: nn.Module, found: Iterable[Step]) -> nn.Module:
    """A copy with all lines applied."""
    tried = _copied(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for edit in in_order(tuple(found)):
            edit.apply(tried)
    return tried.eval()


def _at_random(model: nn.Module) -> nn.Module:
    """A copy with other weights inside the same sets."""
    other = _copied(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for p in other.parameters():
            if p.is_floating_point() and p.numel():
                fan_in = max(p[0].numel(), 1) if p.dim() > 1 else 1
                p.copy_(torch.randn(p.shape) / math.sqrt(fan_in))
        # An entry outside is mirrored first: cut to 0, a whole layer may go dead, and a dead one proves anything.
        named = dict(other.named_parameters(remove_duplicate=False))
        for name, constraint in constraints_of(other).items():
            if constraint.elementwise:
                p = named[name]
                p.copy_(torch.where(constraint.project(p) == p, p, -p))
    project_(other)
    return other


def _must_run(model: nn.Module, question: Question) -> None:
    try:
        with torch.no_grad():
            model(*(x.clone() for x in question.inputs))
    except Exception as fault:
        said = (str(fault).strip().splitlines() or [""])[0][:120]
        raise BadInput(
            "inputs",
            f"the model does not take the example ({type(fault).__name__}: {said})",
            "one example batch, or a tuple with one tensor per input, would be right",
        ) from None


def _guessed(model: nn.Module, directions: Any, domain: Any) -> Tensor:
    """Two rows of numbers, as many as there are directions, or as the first layer takes."""
    right = "an example batch would be right: inputs=x[:2]"
    first = next((m for m in model.modules() if next(m.parameters(recurse=False), None) is not None), None)
    needed = [
        p
        for p in inspect.signature(model.forward).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if not isinstance(first, nn.Linear) or len(needed) > 1:
        came = f"the model takes {len(needed)} inputs" if len(needed) > 1 else f"the first layer is {_name(first)}"
        raise BadInput("inputs", f"none came, and {came}", right)
    single = (
        isinstance(directions, list | tuple) and len(directions) == 1 and not isinstance(directions[0], int | float)
    )
    ways = directions[0] if single else directions
    shape = tuple(getattr(ways, "shape", ())) or ((len(ways),) if isinstance(ways, list | tuple) else ())
    width = int(shape[-1]) if shape and shape[-1] != 1 else first.in_features
    example = torch.zeros(2, width, dtype=first.weight.dtype, device=first.weight.device)
    return _inside(example, domain)


def _inside(x: Tensor, domain: Any) -> Tensor:
    """Moved into a domain; one that makes no sense is left for `certify` to refuse."""
    entry = domain[0] if isinstance(domain, list | tuple) and len(domain) == 1 else domain
    low, high = (entry.low, entry.high) if isinstance(entry, Domain) else entry if _is_pair(entry) else (None, None)
    try:
        for bound, side in ((low, torch.maximum), (high, torch.minimum)):
            if bound is not None:
                x = side(x, torch.as_tensor(bound).to(x))
    except (TypeError, ValueError, RuntimeError):
        pass
    return x


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list | tuple) and len(entry) == 2


def _name(module: nn.Module | None) -> str:
    return "missing: the model has no weights" if module is None else type(module).__name__


def _training(model: nn.Module, found: list[Step]) -> list[str]:
    """What the lines do to a trained model, in numbers, and to a new one."""
    held = [edit for step in found for edit in step.edits if isinstance(edit, Hold)]
    named = dict(model.named_parameters())
    if not held:
        return []
    inside, count = 0, 0
    with torch.no_grad():
        for edit in held:
            w = named[edit.name].detach()
            count += w.numel()
            inside += int((edit.constraint.project(w) == w).sum())
    share = 100 * (1 - inside / max(count, 1))
    return [
        f"The lines move {share:.0f} % of the {count:,} weights they hold: train on afterwards, under any optimizer. "
        "A new model: call isotone.initialize_(model) after them and before training; not on a trained one, whose "
        "weights it would replace.",
        "The verdict is about these weights: call isotone.certify on the trained model.",
    ]
