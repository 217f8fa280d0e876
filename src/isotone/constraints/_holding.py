"""Holding weights inside: the declaration lives on the module, one hook serves every optimizer.

- A `Binding` (a plain object in the module's `__dict__`, never a child module) says which parameters of its module are
  constrained. It finds them by name when a step ends, so a parameter that was replaced is still the right one.
- It is found through a weak registry, which it rejoins when it is copied or unpickled.
- One hook on all optimizers projects, after each step, what that optimizer has just moved: never frozen weights, never
  those of another optimizer.
"""

from __future__ import annotations

import contextlib
import fnmatch
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


class Binding:
    """The constraints of one module's own parameters, by name."""

    def __init__(self, owner: nn.Module) -> None:
        self.owner = weakref.ref(owner)
        self.constraints: dict[str, Constraint] = {}
        self._join()

    def _join(self) -> None:
        # Per name: steps of any optimizer in which the tensor had a gradient and no optimizer had ever stepped it;
        # None once one has.
        self.waiting: dict[str, int | None] = dict.fromkeys(self.constraints, 0)
        _registry.add(self)

    # A weak reference can be neither copied nor pickled; the module it points to can, and is in the copy's memo.
    def __getstate__(self) -> dict[str, Any]:
        return {"owner": self.owner(), "constraints": dict(self.constraints)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.owner = weakref.ref(state["owner"])
        self.constraints = state["constraints"]
        self._join()

    def parameters(self) -> Iterator[tuple[str, nn.Parameter, Constraint]]:
        """What is held now; a name whose parameter was taken away (by pruning, say) is passed over."""
        owner = self.owner()
        own = {} if owner is None else owner._parameters
        for name, constraint in self.constraints.items():
            parameter = own.get(name)
            if parameter is not None:
                yield name, parameter, constraint


def constrain(model: nn.Module, pattern: str, constraint: Constraint) -> tuple[str, ...]:
    """Keep the parameters that `pattern` names inside `constraint`, from now on, under any optimizer.

    The weights are projected at once, and again at the end of every `step()` of every `torch.optim.Optimizer`, made
    before or after this call; nothing else has to be called. It survives `deepcopy`, `pickle`, `torch.save` and
    `load_state_dict(assign=True)`; `state_dict` keys stay as they are.

    Args:
        model: any module.
        pattern: a parameter's name as in `named_parameters()`, or a glob over those names: `"classify.*.weight"`.
        constraint: the set.

    Returns:
        The names that matched.

    Raises:
        NoMatch: the pattern matches no parameter.
        BadInput: the parameter already has another constraint (also through a tied weight), is complex, or is lazy and
            not yet initialised.

    Cost: one pass over the constrained weights at each step.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> isotone.constrain(model, "*.weight", isotone.NonNegative())
    ('0.weight', '2.weight')
    >>> isotone.violations(model)
    {'0.weight': 0.0, '2.weight': 0.0}
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    found = [name for name in named if name == pattern or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise NoMatch("constrain", pattern, named, "parameter")
    held = {id(p): (name, c) for name, p, c in _held(model)}
    for name in found:
        _refuse_unfit(name, named[name], constraint, held)
    for name in found:
        path, _, leaf = name.rpartition(".")
        module = model.get_submodule(path)
        _binding_of(module).constraints[leaf] = constraint
        _binding_of(module).waiting[leaf] = 0
    with torch.no_grad():
        for name in found:
            _project_in_place(named[name], constraint)
    return tuple(found)


def _refuse_unfit(name: str, p: Tensor, constraint: Constraint, held: dict[int, tuple[str, Constraint]]) -> None:
    if is_lazy(p):
        raise BadInput("constrain", f"{name!r} is lazy and has no values yet", "run one batch through the model first")
    if p.is_complex():
        raise BadInput("constrain", f"{name!r} is complex", "constraints are about real weights")
    other, present = held.get(id(p), (name, constraint))
    if present != constraint:
        raise BadInput(
            "constrain",
            f"{name!r} is to be held in {constraint!r}, but {other!r} is the same tensor and is held in {present!r}",
            "one tensor has one constraint",
            f"Call remove_constraint(model, {other!r}) first.",
        )


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
    held = constraints_of(model)
    found = [name for name in held if name == pattern or fnmatch.fnmatchcase(name, pattern)]
    if not found:
        raise NoMatch("remove_constraint", pattern, held, "constrained parameter")
    for name in found:
        path, _, leaf = name.rpartition(".")
        del _binding_of(model.get_submodule(path)).constraints[leaf]
    return tuple(found)


def _binding_of(module: nn.Module) -> Binding:
    binding = module.__dict__.get(_KEY)
    if binding is None:
        binding = module.__dict__[_KEY] = Binding(module)
        module.register_load_state_dict_post_hook(_after_loading)  # type: ignore[no-untyped-call]
    return binding


def _held(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Constraint]]:
    for path, module in model.named_modules():
        binding = module.__dict__.get(_KEY)
        if binding is not None:
            for name, p, constraint in binding.parameters():
                yield f"{path}.{name}" if path else name, p, constraint


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
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    done: set[int] = set()  # a tied weight is projected once
    with torch.no_grad():
        for binding in list(_registry):
            for name, p, constraint in binding.parameters():
                if id(p) in moved:
                    binding.waiting[name] = None
                    if p.requires_grad and id(p) not in done:
                        done.add(id(p))
                        _project_in_place(p, constraint)
                elif p.grad is not None:
                    _count_unseen(binding, name, constraint)


def _count_unseen(binding: Binding, name: str, constraint: Constraint) -> None:
    """A tensor with gradients that was never in a stepping optimizer: its constraint is declared, not enforced."""
    steps = binding.waiting.get(name)
    if steps is None:
        return
    binding.waiting[name] = steps + 1
    if steps + 1 == _STEPS_BEFORE_WARNING:
        warnings.warn(
            f"{type(binding.owner()).__name__}.{name} is held in {constraint!r} and receives gradients, but no "
            f"optimizer has stepped it in {_STEPS_BEFORE_WARNING} steps. If its weights were replaced "
            "(load_state_dict(assign=True), to_empty), make the optimizer anew.",
            stacklevel=2,
        )


with contextlib.suppress(NameError):  # a reload of this module must not leave two hooks
    _hook.remove()  # type: ignore[has-type, used-before-def]  # noqa: F821
_hook = register_optimizer_step_post_hook(_after_step)
