"""The hook: after each step of any optimizer, what it has moved is put back inside.

- never frozen weights, never those of another optimizer, a tied weight once;
- sets of vectors in the metric of the optimizer's own step;
- what is declared and cannot be enforced is said aloud, once: a tensor that no optimizer steps, a parameter that is
  gone, an optimizer whose metric is not known. It is said last: where warnings are errors, weights are inside all the
  same.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import WeakIdKeyDictionary

from ..errors import BadInput
from ._base import Constraint
from ._binding import KEY, Binding, Held, bindings, orphaned, orphans
from ._metric import directed_out, metric_of, misfit
from ._sharded import behind, is_sharded, swallowed

STEPS_BEFORE_WARNING = 100  # a critic may take as many before its generator takes one

Groups = dict[int, tuple[Any, dict[str, Any]]]  # an optimizer's tensors, by id, with their groups
Found = dict[int, list[tuple[Binding, str, Held]]]

_told: weakref.WeakSet[Optimizer] = weakref.WeakSet()  # of a metric that is not known
_told_of_eval: weakref.WeakSet[Optimizer] = weakref.WeakSet()
_adopted: WeakIdKeyDictionary = WeakIdKeyDictionary()  # tensors without their module, once that was said


def after_step(optimizer: Optimizer, *_: Any) -> None:
    """Called by torch when `optimizer.step()` ends."""
    present, alone = bindings(), orphans()
    if not present and not alone:
        return
    groups = {id(p): (p, group) for group in optimizer.param_groups for p in group["params"]}
    with torch.no_grad():
        found, unseen = _stepped(present, groups)
        _all_put_back(optimizer, groups, found)
        adopted = _adopt(optimizer, [groups[key] for key in groups if key in alone and key not in found])
    for one in unseen:
        _count_unseen(*one)
    for binding in present:
        _say_gone(binding, groups)
    for held in adopted:
        _say_orphaned(held)
    _say_misfit(optimizer, groups, found)
    if found and callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None)):
        _say_it_moves_elsewhere(optimizer)


def _stepped(present: list[Binding], groups: Groups) -> tuple[Found, list[tuple[Binding, str, Held, Tensor]]]:
    """What is held of an optimizer's tensors, by their ids; and what has a gradient and is in no optimizer."""
    found: Found = {}
    unseen = []
    sharded = any(is_sharded(p) for p, _ in groups.values())
    for binding in present:
        for name, p, held in binding.parameters():
            if id(p) in groups:
                found.setdefault(id(p), []).append((binding, name, held))
            elif sharded and (shard := _shard_of(binding, name, p, groups)) is not None:
                found.setdefault(id(shard), []).append((binding, name, held))
            elif p.requires_grad and p.grad is not None and binding.stepped.get(name) != id(p):
                unseen.append((binding, name, held, p.grad))
    return found, unseen


def _all_put_back(optimizer: Optimizer, groups: Groups, found: Found) -> None:
    """Each in turn, also where one before it cannot be; then the first fault is raised."""
    # In the optimizer's order, not that of the registry: processes that share a weight must meet at the same one.
    # From its end: what was stepped last is still in the cache.
    fault: Exception | None = None
    alike: dict[Constraint, list[Tensor]] = {}  # weights that may be projected together
    for key in [key for key in reversed(groups) if key in found]:
        try:
            _put_back(optimizer, *groups[key], found[key], alike)
        except Exception as first:
            fault = fault or first
    for constraint, weights in alike.items():
        constraint.project_(weights)
    if fault is not None:
        raise fault


def _put_back(
    optimizer: Optimizer,
    p: Any,
    group: dict[str, Any],
    places: list[tuple[Binding, str, Held]],
    alike: dict[Constraint, list[Tensor]],
) -> None:
    """One tensor, which is projected once however many names lead to it; or put with those that are projected alike."""
    first: Held | None = None
    for binding, name, held in places:
        if binding.stepped.get(name) != id(p):
            binding.mark(name, p)
        binding.stepped[name], binding.unseen[name] = id(p), 0
        if binding.suspended[name]:
            continue
        if first is not None:
            _refuse_two(binding, name, held, first)
            continue
        first = held
        if _moves(p):
            if held.plain(p):
                alike.setdefault(held.constraint, []).append(p.detach())
            else:
                _enforce(optimizer, group, p, held)


def _moves(p: Any) -> bool:
    """Whether an optimizer moves it: a frozen weight that has a gradient, too."""
    return bool(p.requires_grad or p.grad is not None)


def _adopt(optimizer: Optimizer, left: list[tuple[Any, dict[str, Any]]]) -> list[Held]:
    """Put back tensors that are held and whose module is gone; how those are held that nobody has been told of."""
    news = []
    for p, group in left:
        held = orphaned(p)
        if held is not None and not is_sharded(p) and _moves(p):
            _enforce(optimizer, group, p, held)
            if p not in _adopted:
                _adopted[p] = True
                news.append(held)
    return news


def _say_orphaned(held: Held) -> None:
    warnings.warn(
        f"A weight that is held in {held.constraint!r} is stepped, and the module in which it was declared is gone: "
        "convert_sync_batchnorm, prepare_qat and the like put another in its place. It is kept inside, but violations "
        "and constraints_of do not know it. Convert first, and constrain afterwards.",
        stacklevel=2,
    )


def _shard_of(binding: Binding, name: str, p: Tensor, groups: Groups) -> Any:
    """What the optimizer steps where FSDP2 shows a gathered copy."""
    if is_sharded(p):
        return None
    known: Any = groups.get(binding.stepped.get(name, 0), (None, {}))[0]
    shard = known if is_sharded(known) else behind(binding.own, name)
    return shard if id(shard) in groups else None


def _enforce(optimizer: Optimizer, group: dict[str, Any], p: Tensor, held: Held) -> None:
    constraint, metric = held.constraint, None
    if constraint.takes_metric and not constraint.elementwise and not held.euclidean:
        metric = metric_of(optimizer, group, p)
    before = p.detach().clone() if held.clear_momentum else None
    held.project_(p, metric)
    if before is not None:
        directed_out(optimizer, p, before - p)


def _refuse_two(binding: Binding, name: str, held: Held, other: Held) -> None:
    """Weights that were tied after they were constrained."""
    if held.constraint != other.constraint:
        raise BadInput(
            "step",
            f"{binding.kind}.{name} is held in {held.constraint!r}, and a weight tied to it in {other.constraint!r}",
            "one tensor has one constraint",
            "Let go of one of them with remove_constraint.",
        )


def _say_misfit(optimizer: Optimizer, groups: Groups, found: Found) -> None:
    if optimizer in _told:
        return
    for key, places in found.items():
        binding, name, held = next((one for one in places if not one[0].suspended[one[1]]), places[0])
        if binding.suspended[name] or held.euclidean or not _moves(groups[key][0]):
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


def _say_it_moves_elsewhere(optimizer: Optimizer) -> None:
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


def _count_unseen(binding: Binding, name: str, held: Held, gradient: Tensor) -> None:
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


def _say_gone(binding: Binding, groups: Groups) -> None:
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


with contextlib.suppress(NameError):  # a reload of this module must not leave two hooks
    _hook.remove()  # type: ignore[has-type, used-before-def]  # noqa: F821
_hook = register_optimizer_step_post_hook(after_step)
