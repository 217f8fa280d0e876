"""Saying that a parameter is held, asking what is, and letting go."""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..errors import BadInput, NoMatch
from ._base import Constraint
from ._binding import KEY, Binding, Held, bindings, bound, held_in
from ._matched import Matched, is_raw, say_what_a_glob_missed
from ._sharded import is_sharded, reshard

Patterns = str | Iterable[str]


def constrain(
    model: nn.Module,
    pattern: Patterns,
    constraint: Constraint,
    *,
    exclude: Patterns = (),
    strict: bool = False,
    metric: Literal["optimizer", "euclidean"] = "optimizer",
    clear_momentum: bool = False,
) -> Matched:
    """Keep the parameters that `pattern` names inside `constraint`, from now on, under any optimizer.

    The weights are projected at once, and again at the end of every `step()` of every `torch.optim.Optimizer`, made
    before or after this call; nothing else has to be called. It survives `deepcopy`, `pickle`, `torch.save`,
    `load_state_dict(assign=True)`, DDP and `fully_shard`; `state_dict` keys stay as they are. Declared again with the
    same set, the later `strict`, `metric` and `clear_momentum` count. Hooks of one optimizer
    (its own `register_step_post_hook`) run before the projection: take averages of the weights after `step()`.

    Args:
        model: any module.
        pattern: a parameter's name as in `named_parameters()`, a glob over those names such as `"classify.*.weight"`,
            or several of them.
        constraint: the set. Its `dim="inputs"` is read off each layer.
        exclude: names or globs to leave out of what matched.
        strict: whether `load_state_dict` refuses weights outside, before it copies those of this module (modules before
            it have theirs already); otherwise it projects them and warns.
        metric: `"optimizer"` projects sets of vectors (norm balls, simplex, sequences) in the metric of the step
            just made (Adam, AdamW, NAdam, RAdam, Adagrad, RMSprop, Adamax), without which training settles at a point
            that is not the best one inside. `"euclidean"` is the plain projection, as Keras does it. For sets of single
            entries both are the same.
        clear_momentum: forget, at each step, the momentum of entries that it has just carried out of the set. For sets
            of single entries.

    Returns:
        The names that matched, a tuple; `print` shows them with shapes.

    Raises:
        NoMatch: a pattern, or one of `exclude`, matches no parameter.
        BadInput: the parameter already has another constraint (also through a tied weight), does not fit the
            constraint, does not hold real numbers, or is lazy and not yet initialised. Nothing is declared then.

    Warns:
        If a glob also matched normalisation layers or embeddings beside other layers, or missed weights of the same
        modules by their names (`in_proj_weight`). Naming them, or `exclude`, says that it is meant.

    Cost: at each step one pass over the constrained weights for single entries, a few for norms, ten for simplexes.

    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> isotone.constrain(model, "*.weight", isotone.NonNegative())
    ('0.weight', '2.weight')
    >>> isotone.violations(model)
    {'0.weight': 0.0, '2.weight': 0.0}
    """
    if not isinstance(constraint, Constraint):
        raise BadInput("constrain", f"{constraint!r} came as the constraint", "one such as NonNegative() is right")
    if metric not in {"optimizer", "euclidean"}:
        raise BadInput("constrain", f"metric={metric!r} came", "'optimizer' or 'euclidean' is right")
    if clear_momentum and not constraint.elementwise:
        raise BadInput(
            "constrain",
            f"clear_momentum came for {constraint!r}",
            "it is about sets of single entries, such as NonNegative()",
        )
    refuse_no_module("constrain", model)
    reshard(model)
    pattern, exclude = _several(pattern), _several(exclude)
    named = dict(model.named_parameters(remove_duplicate=False))
    found = matching("constrain", pattern, named, exclude, "parameter")
    plan = {}
    with torch.no_grad():
        held = _already_held(model)
        for name in found:
            module, leaf = place_of(model, name)
            plan[name] = _refuse_unfit(name, module, leaf, constraint, held)
        say_what_a_glob_missed(model, pattern, found, exclude)
        rows, say = [], []
        for name in found:
            module, leaf = place_of(model, name)
            p = named[name]
            entry = Held(plan[name], p.ndim, strict, metric == "euclidean", clear_momentum)
            padded = _padding_of(module, leaf, p)
            binding = binding_of(module)
            binding.hold(leaf, entry)
            if is_sharded(p):
                binding.stepped[leaf] = id(p)
            rows.append((name, tuple(p.shape), type(module).__name__, plan[name], entry.violation(p)))
            entry.project_(p)
            if padded is not None and bool(padded.any()):
                say.append(name)
    for name in say:
        warnings.warn(
            f"The padding row of {name} was 0 and is not a member of {plan[name]!r}, so it is no longer 0. Hold the "
            "other rows alone: isotone.Masked(constraint, mask) with a mask that is False in the padding row.",
            stacklevel=2,
        )
    return Matched(rows)


def _padding_of(module: nn.Module, leaf: str, p: Tensor) -> Tensor | None:
    """The row of an embedding that stands for nothing, if it is 0 as it should be."""
    row = module.padding_idx if isinstance(module, nn.Embedding | nn.EmbeddingBag) else None
    if leaf != "weight" or row is None or p.is_meta or is_sharded(p) or p.ndim != 2 or not row < len(p):
        return None
    return None if bool(p[row].any()) else p[row]


def matching(where: str, pattern: Patterns, names: Iterable[str], exclude: Patterns, kind: str) -> list[str]:
    """The names that the patterns name, in order; `BadInput` or `NoMatch` if there are none."""
    names = list(names)
    patterns, without = _several(pattern), _several(exclude)
    if not patterns:
        raise NoMatch(where, "", names, kind)
    for each in (*patterns, *without):
        if not any(_names(each, name) for name in names):
            raise NoMatch(where, each, names, kind)
    found = [n for n in names if any(_names(p, n) for p in patterns) and not any(_names(p, n) for p in without)]
    # What a parametrization computes a weight from is no weight: a glob for weights does not mean it.
    found = [n for n in found if n in patterns or not is_raw(n) or any(is_raw(p) for p in patterns)]
    if not found:
        raise BadInput(
            where,
            f"exclude={', '.join(without)!r} leaves nothing of {', '.join(patterns)!r}"
            if without
            else f"{', '.join(patterns)!r} matches only the raw tensors of parametrizations",
            "some parameters must be left",
        )
    return found


def _several(patterns: Patterns) -> tuple[str, ...]:
    found = (patterns,) if isinstance(patterns, str) or not isinstance(patterns, Iterable) else tuple(patterns)
    if isinstance(patterns, Tensor) or not all(isinstance(each, str) for each in found):
        came = f"{type(patterns).__name__} came for a pattern"
        raise BadInput("pattern", came, "a parameter's name or glob, or several, is right")
    return found


def refuse_no_module(where: str, model: object) -> None:
    """Names lead to parameters from a module only."""
    if not isinstance(model, nn.Module):
        raise BadInput(where, f"{type(model).__name__} came", "a torch.nn.Module is right, and the names are its own")


def _names(pattern: str, name: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def place_of(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that has a parameter, and the parameter's name there."""
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _already_held(model: nn.Module) -> dict[int, tuple[str, Constraint]]:
    # Tied weights may be held through a module that is not in this model.
    held = {id(p): (f"{b.kind}.{name}", h.constraint) for b in bindings() for name, p, h in b.parameters()}
    return held | {id(p): (name, h.constraint) for name, p, h in held_in(model)}


def _refuse_unfit(
    name: str, module: nn.Module, leaf: str, constraint: Constraint, held: dict[int, tuple[str, Constraint]]
) -> Constraint:
    """The constraint for this layer, if it may be held in it."""
    p = module._parameters[leaf]
    assert p is not None
    refuse_unreal("constrain", name, p)
    if getattr(p, "_fsdp_flattened", False) and not getattr(constraint, "uniform", False):
        raise BadInput(
            "constrain",
            f"{name!r} has been flattened and cut by FSDP1, and {constraint!r} needs its shape",
            "fully_shard, or a set that is the same for every entry, would be right",
        )
    try:
        fitted = constraint.for_layer(module, leaf)
        if is_sharded(p):
            fitted.check(torch.zeros(p.shape, dtype=p.dtype))
        else:
            fitted.check(p)
    except BadInput as fault:
        raise BadInput("constrain", f"{name!r} does not fit", str(fault).removesuffix(".")) from None
    other, present = held.get(id(p), (name, fitted))
    if present != fitted:
        raise BadInput(
            "constrain",
            f"{name!r} is to be held in {fitted!r}, but {other!r} is the same tensor and is held in {present!r}",
            "one tensor has one constraint",
            "Hold it in Intersection(...) of both, or let go of that one with remove_constraint first.",
        )
    return fitted


def refuse_unreal(where: str, name: str, p: Tensor) -> None:
    """Weights without values, or whose values are not real numbers."""
    if is_lazy(p):
        raise BadInput(where, f"{name!r} is lazy and has no values yet", "run one batch through the model first")
    if not p.is_floating_point() or p.dtype.itemsize < 2:  # float8 has no arithmetic of its own
        raise BadInput(where, f"{name!r} holds {p.dtype} numbers", "constraints are about real weights")


def constraints_of(model: nn.Module) -> dict[str, Constraint]:
    """The constraint of every constrained parameter, by its name in `model`.

    >>> layer = nn.Linear(2, 1)
    >>> _ = isotone.constrain(layer, "weight", isotone.NonNegative())
    >>> isotone.constraints_of(layer)
    {'weight': NonNegative()}
    """
    return {name: held.constraint for name, _, held in held_in(model)}


def violations(model: nn.Module) -> dict[str, float]:
    """How far outside its set each constrained parameter is, by name: 0.0 inside, NaN if it holds NaN.

    For weights that are sharded over processes all of them must call this.
    """
    refuse_no_module("violations", model)
    reshard(model)
    with torch.no_grad():
        return {name: held.violation(p) for name, p, held in held_in(model)}


def project_(model: nn.Module) -> None:
    """Project every constrained parameter now, frozen ones too. For weights that moved without an optimizer's step."""
    refuse_no_module("project_", model)
    reshard(model)
    _all_back((p, held) for _, p, held in held_in(model))


def _all_back(weights: Iterable[tuple[Tensor, Held]]) -> None:
    """Project each, also where one before it cannot be; then the first fault is raised."""
    fault: Exception | None = None
    with torch.no_grad():
        for p, held in weights:
            try:
                held.project_(p)
            except Exception as first:
                fault = fault or first
    if fault is not None:
        raise fault


def remove_constraint(model: nn.Module, pattern: Patterns = "*") -> tuple[str, ...]:
    """Let go of the parameters that `pattern` names; their values stay. Returns the names.

    Raises:
        NoMatch: no constrained parameter is named.
    """
    declared = _declared(model)
    found = matching("remove_constraint", pattern, declared, (), "constrained parameter")
    for binding, name in map(declared.__getitem__, found):
        binding.let_go(name)
    return tuple(found)


@contextlib.contextmanager
def suspended(model: nn.Module, pattern: Patterns = "*") -> Iterator[tuple[str, ...]]:
    """Let optimizers move the named parameters freely inside the block; at its end they are projected and held again.

    Of tied weights that are held by several names, name all.

    Raises:
        NoMatch: no constrained parameter is named.

    >>> layer = nn.Linear(2, 1)
    >>> _ = isotone.constrain(layer, "weight", isotone.NonNegative())
    >>> with isotone.suspended(layer):
    ...     _ = nn.init.constant_(layer.weight, -1.0)
    >>> isotone.violations(layer)
    {'weight': 0.0}
    """
    declared = _declared(model)
    found = matching("suspended", pattern, declared, (), "constrained parameter")
    mine = [declared[name] for name in found]
    for binding, name in mine:
        binding.suspended[name] += 1
    try:
        yield tuple(found)
    finally:
        reshard(model)
        for binding, name in mine:
            binding.suspended[name] -= 1
        again = [(b.own.get(name), b.held.get(name)) for b, name in mine if not b.suspended[name]]
        _all_back((p, held) for p, held in again if p is not None and held is not None)


def _declared(model: nn.Module) -> dict[str, tuple[Binding, str]]:
    return {
        f"{path}.{name}" if path else name: (binding, name) for path, binding in bound(model) for name in binding.held
    }


def binding_of(module: nn.Module) -> Binding:
    """The module's binding, made if there is none."""
    binding: Binding | None = module.__dict__.get(KEY)
    if binding is None:
        binding = module.__dict__[KEY] = Binding(module)
        # Without the module, which the public hook holds weakly: a shallow copy shares the hook and may outlive it.
        module._register_load_state_dict_pre_hook(functools.partial(_refuse_outside, binding))  # type: ignore[no-untyped-call]
        module.register_load_state_dict_post_hook(_after_loading)  # type: ignore[no-untyped-call]
    return binding


def _before_loading(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """By this name the hook is known to models that an older version has pickled."""
    _refuse_outside(module.__dict__[KEY], state, prefix)


def _refuse_outside(binding: Binding, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Weights outside are refused, before they are copied, where `strict` was asked for."""
    with torch.no_grad():
        for name, p, held in binding.parameters():
            loaded = None if binding.suspended[name] else state.get(prefix + name)
            if held.strict and isinstance(loaded, Tensor) and loaded.shape == p.shape:  # else torch says it better
                off = held.violation(loaded.to(p.dtype))
                if not off == 0.0:
                    raise BadInput(
                        "load_state_dict",
                        f"{prefix + name!r} is {off:.3g} outside {held.constraint!r}",
                        "weights inside are right (the constraint was declared with strict=True)",
                    )


def _after_loading(module: nn.Module, _: Any) -> None:
    """Weights that were loaded are projected too, and it is said if that changed them."""
    binding: Binding = module.__dict__[KEY]
    outside = []
    with torch.no_grad():
        for name, p, held in binding.parameters():
            binding.mark(name, p)
            if not p.is_meta and not binding.suspended[name] and held.violation(p) != 0.0:  # NaN too
                held.project_(p)
                outside.append((name, held))
    for name, held in outside:
        warnings.warn(
            f"The loaded {type(module).__name__}.{name} was outside {held.constraint!r} and has been projected.",
            stacklevel=2,
        )
