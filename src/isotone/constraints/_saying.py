"""What is said of a step, once: a constraint that is declared and is not, or not well, enforced.

It is said when all weights have been put back: where warnings are errors, they are inside all the same.
"""

from __future__ import annotations

import warnings
import weakref
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from ..errors import BadInput
from ._binding import KEY, Binding, Held
from ._metric import misfit
from ._sharded import swallowed

Groups = dict[int, tuple[Any, dict[str, Any]]]  # an optimizer's tensors, by id, with their groups
Found = dict[int, list[tuple[Binding, str, Held]]]  # those that are held, and where

STEPS_BEFORE_WARNING = 100  # a critic may take as many before its generator takes one

_told: weakref.WeakSet[Optimizer] = weakref.WeakSet()  # of a metric that is not known
_told_of_eval: weakref.WeakSet[Optimizer] = weakref.WeakSet()


def moves(p: Any) -> bool:
    """Whether an optimizer moves it: a frozen weight that has a gradient, too."""
    return bool(p.requires_grad or p.grad is not None)


def say_misfit(optimizer: Optimizer, groups: Groups, found: Found) -> None:
    if optimizer in _told:
        return
    for key, places in found.items():
        binding, name, held = next((one for one in places if not one[0].suspended[one[1]]), places[0])
        if binding.suspended[name] or held.euclidean or not moves(groups[key][0]):
            continue
        if misfit(optimizer, held.constraint):
            _told.add(optimizer)
            warnings.warn(
                f"{binding.kind}.{name} stays inside {held.constraint!r} under {type(optimizer).__name__}, but the "
                "nearest point in the metric of that optimizer's steps is not known to isotone: training may settle at "
                "a point that is not the best one inside. Use one such as SGD or AdamW, or isotone.parametrize; "
                "metric='euclidean' says that this is meant.",
                stacklevel=2,
            )
            return


def say_it_moves_elsewhere(optimizer: Optimizer) -> None:
    """Schedule-free optimizers (Defazio et al. 2024, arXiv 2405.15682) put averages in place of the weights."""
    if optimizer in _told_of_eval:
        return
    _told_of_eval.add(optimizer)
    warnings.warn(
        f"{type(optimizer).__name__} also moves weights in its eval() and train(), where no hook can follow, and to "
        "averages that know nothing of the constraint. Prefer isotone.parametrize, or call isotone.project_(model) "
        "after eval().",
        stacklevel=2,
    )


def count_unseen(binding: Binding, name: str, held: Held, gradient: Tensor) -> None:
    """A tensor with gradients that is in no stepping optimizer: its constraint is declared, not enforced."""
    # A gradient left over from earlier training says nothing: each is counted once. The mark lives as long as it does.
    if getattr(gradient, KEY, None) == gradient._version:
        return
    setattr(gradient, KEY, gradient._version)
    steps = binding.unseen[name] = binding.unseen.get(name, 0) + 1
    if steps == STEPS_BEFORE_WARNING:
        warnings.warn(
            f"{binding.kind}.{name} is held in {held.constraint!r} and receives gradients, but no "
            f"optimizer has stepped it in {STEPS_BEFORE_WARNING} steps. If its weights were replaced "
            "(load_state_dict(assign=True), to_empty), make the optimizer anew.",
            stacklevel=2,
        )


def say_gone(binding: Binding, groups: Groups) -> None:
    """A parameter that was pruned, parametrized, flattened or deleted, of a module that is being trained."""
    gone = {name for name in binding.held if binding.own.get(name) is None} - binding.gone
    if not gone:
        return
    for name in sorted(gone):
        if swallowed((p for p, _ in groups.values()), binding.own, name):
            raise BadInput(
                "step",
                f"{binding.kind}.{name} is held, and FSDP1 has made it a part of one flat tensor",
                "fully_shard is right; or FSDP1 with use_orig_params=True for sets that are the same for every entry",
            )
    if any(id(p) in groups for p in binding.around()):
        binding.gone |= gone
        warnings.warn(
            f"{binding.kind} has no parameter {', '.join(sorted(gone))} any more, so it is no longer held. If it was "
            "pruned or parametrized, constrain what has taken its place; otherwise call remove_constraint.",
            stacklevel=2,
        )


def say_orphaned(held: Held) -> None:
    warnings.warn(
        f"A weight that is held in {held.constraint!r} is stepped, and the module in which it was declared is gone: "
        "convert_sync_batchnorm, prepare_qat and the like put another in its place. It is kept inside, but violations "
        "and constraints_of do not know it. Convert first, and constrain afterwards. To let it go, constrain it where "
        "it is now, and call remove_constraint.",
        stacklevel=2,
    )
