"""Holding weights inside: the declaration lives on the module, one hook serves every optimizer.

- A `Binding` (a plain object in the module's `__dict__`, never a child module) says which parameters of its module are
  constrained. It finds them by name when a step ends, so a parameter that was replaced is still the right one.
- It is found through a weak registry, which it rejoins when it is copied or unpickled.
- One hook on all optimizers projects, after each step, what that optimizer has just moved: never frozen weights, never
  those of another optimizer.
- What is declared and cannot be enforced is said aloud: a tensor that no optimizer steps, a parameter that is gone.
"""

from __future__ import annotations

import contextlib
import fnmatch
import threading
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..errors import BadInput, NoMatch
from ._base import Constraint

_KEY = "_isotone_binding"
_STEPS_BEFORE_WARNING = 10

_registry: weakref.WeakSet[Binding] = weakref.WeakSet()
_lock = threading.Lock()  # a model made in one thread while another thread steps


class Binding:
    """The constraints of one module's own parameters, by name."""

    def __init__(self, owner: nn.Module) -> None:
        # The module's dictionary, not the module: it keeps no model alive, a shallow copy shares it, and deepcopy and
        # pickle have it in their memo, so that a copy of the binding gets the dictionary of the module's copy.
        self.own = owner._parameters
        self.kind = type(owner).__name__
        self.constraints: dict[str, Constraint] = {}
        self._join()

    def _join(self) -> None:
        # The tensor of each name that an optimizer has stepped last, by id. An optimizer keeps its tensors alive, so
        # the id of one that was replaced is not given to its successor while that optimizer steps.
        self.stepped: dict[str, int] = {}
        # Per name: steps of other optimizers in which a tensor that is not the one above had a new gradient.
        self.unseen: dict[str, int] = {}
        self.gone: set[str] = set()  # names without a parameter, once that was said
        with _lock:
            _registry.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"own": self.own, "kind": self.kind, "constraints": dict(self.constraints)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._join()

    def parameters(self) -> Iterator[tuple[str, nn.Parameter, Constraint]]:
        """What is held now; a name whose parameter was taken away (by pruning, say) is passed over."""
        for name, constraint in list(self.constraints.items()):
            parameter = self.own.get(name)
            if parameter is not None:
                yield name, parameter, constraint


def constrain(model: nn.Module, pattern: str, constraint: Constraint) -> tuple[str, ...]:
    """Keep the parameters that `pattern` names inside `constraint`, from now on, under any optimizer.

    The weights are projected at once, and again at the end of every `step()` of every `torch.optim.Optimizer`, made
    before or after this call; nothing else has to be called. It survives `deepcopy`, `pickle`, `torch.save` and
    `load_state_dict(assign=True)`; `state_dict` keys stay as they are. Hooks of one optimizer (its own
    `register_step_post_hook`) run before the projection: take averages of the weights after `step()`, not in there.

    Args:
        model: any module.
        pattern: a parameter's name as in `named_parameters()`, or a glob over those names: `"classify.*.weight"`.
        constraint: the set.

    Returns:
        The names that matched.

    Raises:
        NoMatch: the pattern matches no parameter.
        BadInput: the parameter already has another constraint (also through a tied weight), does not fit the
            constraint, does not hold real numbers, or is lazy and not yet initialised. Nothing is declared then.

    Cost: one pass over the constrained weights at each step.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> isotone.constrain(model, "*.weight", isotone.NonNegative())
    ('0.weight', '2.weight')
    >>> isotone.violations(model)
    {'0.weight': 0.0, '2.weight': 0.0}
    """
    if not isinstance(constraint, Constraint):
        raise BadInput("constrain", f"{constraint!r} came as the constraint", "one such as NonNegative() is right")
    named = dict(model.named_parameters(remove_duplicate=False))
    found = [name for name in named if name == pattern or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise NoMatch("constrain", pattern, named, "parameter")
    # Tied weights may be held through a module that is not in this model.
    held = {id(p): (f"{b.kind}.{name}", c) for b in _bindings() for name, p, c in b.parameters()}
    held |= {id(p): (name, c) for name, p, c in _held(model)}
    with torch.no_grad():
        for name in found:
            _refuse_unfit(name, named[name], constraint, held)
        for name in found:
            path, _, leaf = name.rpartition(".")
            _binding_of(model.get_submodule(path)).constraints[leaf] = constraint
            _project_in_place(named[name], constraint)
    return tuple(found)


def _refuse_unfit(name: str, p: Tensor, constraint: Constraint, held: dict[int, tuple[str, Constraint]]) -> None:
    if is_lazy(p):
        raise BadInput("constrain", f"{name!r} is lazy and has no values yet", "run one batch through the model first")
    if not p.is_floating_point():
        raise BadInput("constrain", f"{name!r} holds {p.dtype} numbers", "constraints are about real weights")
    other, present = held.get(id(p), (name, constraint))
    if present != constraint:
        raise BadInput(
            "constrain",
            f"{name!r} is to be held in {constraint!r}, but {other!r} is the same tensor and is held in {present!r}",
            "one tensor has one constraint",
            "Let go of that one with remove_constraint first.",
        )
    try:
        constraint.project(p)
    except BadInput as fault:
        raise BadInput("constrain", f"{name!r} does not fit", str(fault).removesuffix(".")) from None


def constraints_of(model: nn.Module) -> dict[str, Constraint]:
    """The constraint of every constrained parameter, by its name in `model`.

    >>> layer = nn.Linear(2, 1)
    >>> _ = isotone.constrain(layer, "weight", isotone.NonNegative())
    >>> isotone.constraints_of(layer)
    {'weight': NonNegative()}
    """
    return {name: constraint for name, _, constraint in _held(model)}


def violations(model: nn.Module) -> dict[str, float]:
    """How far outside its set each constrained parameter is, by name: 0.0 inside, NaN if it holds NaN."""
    with torch.no_grad():
        return {name: float(constraint.violation(p)) for name, p, constraint in _held(model)}


def project_(model: nn.Module) -> None:
    """Project every constrained parameter now, frozen ones too. For weights that moved without an optimizer's step."""
    with torch.no_grad():
        for _, p, constraint in _held(model):
            _project_in_place(p, constraint)


def remove_constraint(model: nn.Module, pattern: str = "*") -> tuple[str, ...]:
    """Let go of the parameters that `pattern` names; their values stay. Returns the names.

    Raises:
        NoMatch: no constrained parameter is named.
    """
    declared = {
        f"{path}.{name}" if path else name: (binding, name)
        for path, binding in _bound(model)
        for name in binding.constraints
    }
    found = [name for name in declared if name == pattern or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise NoMatch("remove_constraint", pattern, declared, "constrained parameter")
    for binding, name in map(declared.__getitem__, found):
        del binding.constraints[name]
    return tuple(found)


def _binding_of(module: nn.Module) -> Binding:
    binding = module.__dict__.get(_KEY)
    if binding is None:
        binding = module.__dict__[_KEY] = Binding(module)
        module.register_load_state_dict_post_hook(_after_loading)  # type: ignore[no-untyped-call]
    return binding


def _held(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Constraint]]:
    for path, binding in _bound(model):
        for name, p, constraint in binding.parameters():
            yield f"{path}.{name}" if path else name, p, constraint


def _bound(model: nn.Module) -> Iterator[tuple[str, Binding]]:
    for path, module in model.named_modules():
        binding = module.__dict__.get(_KEY)
        if binding is not None:
            yield path, binding


def _bindings() -> list[Binding]:
    with _lock:
        return list(_registry)


def _project_in_place(p: Tensor, constraint: Constraint) -> None:
    p.copy_(constraint.project(p.detach()))


def _after_loading(module: nn.Module, _: Any) -> None:
    """Weights that were loaded are projected too, and it is said if that changed them."""
    with torch.no_grad():
        for name, p, constraint in module.__dict__[_KEY].parameters():
            if not p.is_meta and float(constraint.violation(p)) != 0.0:  # NaN too
                warnings.warn(
                    f"The loaded {type(module).__name__}.{name} was outside {constraint!r} and has been projected.",
                    stacklevel=2,
                )
                _project_in_place(p, constraint)


def _after_step(optimizer: Optimizer, *_: Any) -> None:
    bindings = _bindings()
    if not bindings:
        return
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    done: dict[int, Constraint] = {}  # a tied weight is projected once
    with torch.no_grad():
        for binding in bindings:
            for name, p, constraint in binding.parameters():
                if id(p) in moved:
                    binding.stepped[name], binding.unseen[name] = id(p), 0
                    if id(p) in done:
                        _refuse_two(binding, name, constraint, done[id(p)])
                    elif p.requires_grad or p.grad is not None:  # an optimizer moves a frozen weight that has one
                        done[id(p)] = constraint
                        _project_in_place(p, constraint)
                elif p.requires_grad and p.grad is not None and binding.stepped.get(name) != id(p):
                    _count_unseen(binding, name, constraint, p.grad)
            _say_gone(binding, moved)


def _refuse_two(binding: Binding, name: str, constraint: Constraint, other: Constraint) -> None:
    """Weights that were tied after they were constrained."""
    if constraint != other:
        raise BadInput(
            "step",
            f"{binding.kind}.{name} is held in {constraint!r}, and a weight tied to it in {other!r}",
            "one tensor has one constraint",
            "Let go of one of them with remove_constraint.",
        )


def _count_unseen(binding: Binding, name: str, constraint: Constraint, gradient: Tensor) -> None:
    """A tensor with gradients that is in no stepping optimizer: its constraint is declared, not enforced."""
    # A gradient left over from earlier training says nothing: each is counted once. The mark lives as long as it does.
    if getattr(gradient, _KEY, None) == gradient._version:
        return
    setattr(gradient, _KEY, gradient._version)
    steps = binding.unseen[name] = binding.unseen.get(name, 0) + 1
    if steps == _STEPS_BEFORE_WARNING:
        warnings.warn(
            f"{binding.kind}.{name} is held in {constraint!r} and receives gradients, but no "
            f"optimizer has stepped it in {_STEPS_BEFORE_WARNING} steps. If its weights were replaced "
            "(load_state_dict(assign=True), to_empty), make the optimizer anew.",
            stacklevel=2,
        )


def _say_gone(binding: Binding, moved: set[int]) -> None:
    """A parameter that was pruned, parametrized or deleted, of a module that is being trained."""
    gone = {name for name in binding.constraints if binding.own.get(name) is None} - binding.gone
    if gone and any(p is not None and id(p) in moved for p in binding.own.values()):
        binding.gone |= gone
        warnings.warn(
            f"{binding.kind} has no parameter {', '.join(sorted(gone))} any more, so it is no longer held. If it was "
            "pruned or parametrized, constrain what has taken its place; otherwise call remove_constraint.",
            stacklevel=2,
        )


with contextlib.suppress(NameError):  # a reload of this module must not leave two hooks
    _hook.remove()  # type: ignore[has-type, used-before-def]  # noqa: F821
_hook = register_optimizer_step_post_hook(_after_step)
