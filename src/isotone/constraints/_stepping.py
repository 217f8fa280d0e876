"""The hook: after each step of any optimizer, what it has moved is put back inside.

- never frozen weights, never those of another optimizer, a tied weight once;
- sets of vectors in the metric of the optimizer's own step;
- what is declared and cannot be enforced is said aloud, once, and last (`_saying`).
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..errors import BadInput
from ._base import Constraint
from ._binding import Binding, Held, bindings, orphaned, orphans
from ._metric import directed_out, metric_of
from ._saying import Found, Groups, count_unseen, moves, say_gone, say_it_moves_elsewhere, say_misfit, say_orphaned
from ._sharded import behind, is_sharded


def after_step(optimizer: Optimizer, *_: Any) -> None:
    """Called by torch when `optimizer.step()` ends."""
    present, alone = bindings(), orphans()
    if not present and not alone:
        return
    groups = {id(p): (p, group) for group in optimizer.param_groups for p in group["params"]}
    with torch.no_grad():
        found, unseen = _stepped(present, groups)
        adopted = _adopt(optimizer, [groups[key] for key in groups if key not in found]) if alone else []
        _all_put_back(optimizer, groups, found)
    for one in unseen:
        count_unseen(*one)
    for binding in present:
        say_gone(binding, groups)
    for held in adopted:
        say_orphaned(held)
    say_misfit(optimizer, groups, found)
    if found and callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None)):
        say_it_moves_elsewhere(optimizer)


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
        binding.mark(name, p)
        binding.stepped[name], binding.unseen[name] = id(p), 0
        if binding.suspended[name]:
            continue
        if first is not None:
            _refuse_two(binding, name, held, first)
            continue
        first = held
        if moves(p):
            if held.plain(p):
                alike.setdefault(held.constraint, []).append(p.detach())
            else:
                _enforce(optimizer, group, p, held)


def _adopt(optimizer: Optimizer, left: list[tuple[Any, dict[str, Any]]]) -> list[Held]:
    """Put back tensors that are held and whose module is gone; how those are held that nobody has been told of."""
    news = []
    for p, group in left:
        mark = orphaned(p)
        if mark is not None and not is_sharded(p) and moves(p):
            _enforce(optimizer, group, p, mark.held)
            if not mark.told:
                mark.told = True
                news.append(mark.held)
    return news


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


with contextlib.suppress(NameError):  # a reload of this module must not leave two hooks
    _hook.remove()  # type: ignore[has-type, used-before-def]  # noqa: F821
_hook = register_optimizer_step_post_hook(after_step)
