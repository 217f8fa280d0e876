"""The declaration: which parameters of a module are held, found by name whenever that is asked.

- A `Binding` is a plain object in the module's `__dict__`, never a child module, so `state_dict` keys and
  exported graphs stay as they are.
- It finds parameters by name when a step ends, so a parameter that was replaced is still the right one.
- It is found through a weak registry, which it rejoins when it is copied or unpickled.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..errors import BadInput
from ._base import Constraint
from ._sharded import is_sharded, project_sharded_, violation_sharded

KEY, MARK = "_isotone_binding", "_isotone_mark"

_registry: weakref.WeakSet[Binding] = weakref.WeakSet()
_lock = threading.Lock()  # a model made in one thread while another thread steps


@dataclass(frozen=True)
class Held:
    """How one parameter is held."""

    constraint: Constraint
    ndim: int  # of the weight as it was declared; a flattened one cannot be asked about its dimensions
    strict: bool = False
    euclidean: bool = False
    clear_momentum: bool = False

    def _fits(self, p: Tensor) -> bool:
        return p.ndim == self.ndim or getattr(self.constraint, "uniform", False)

    def project_(self, p: Tensor, metric: Tensor | None = None) -> None:
        """In place; to be called under `no_grad`."""
        if not self._fits(p):
            raise BadInput(
                "constrain",
                f"a weight of {self.ndim} dimensions is held in {self.constraint!r} and now has {p.ndim}",
                "weights that keep their shape are right",
                "FSDP1 flattens them: use fully_shard, or a set that is the same for every entry.",
            )
        if is_sharded(p):
            project_sharded_(p, self.constraint, metric)
        elif metric is not None and not self.constraint.elementwise:
            p.copy_(self.constraint.project(p.detach(), metric))
        else:
            self.constraint.project_([p.detach()])

    def plain(self, p: Tensor) -> bool:
        """Whether nothing has to be known but the numbers in `p`: then many such weights are projected together."""
        return getattr(self.constraint, "uniform", False) and not self.clear_momentum and not is_sharded(p)

    def violation(self, p: Tensor) -> float:
        """How far outside the worst entry is; NaN for one without values, or of another shape."""
        if p.is_meta or not self._fits(p):
            return float("nan")
        try:
            return float(violation_sharded(p, self.constraint) if is_sharded(p) else self.constraint.violation(p))
        except BadInput:  # it was replaced by one that does not fit
            return float("nan")


class _Mark:
    """On a tensor: how it is held, and by whom.

    Some converters put another module around the same parameter, and the first one is gone with its binding. It is an
    attribute, since torch swaps no tensor that is referred to weakly, and is no part of what is pickled.
    """

    def __init__(self, by: Binding, held: Held, of: Tensor) -> None:
        self.by, self.held, self.of = weakref.ref(by, _orphans.one_died), held, id(of)
        self.void = self.told = False

    @property
    def orphaned(self) -> bool:
        return not self.void and self.by() is None

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, ()  # which every reader of weights knows


class Binding:
    """The constraints of one module's own parameters, by name."""

    def __init__(self, owner: nn.Module) -> None:
        # The module's dictionary, not the module: it keeps no model alive, a shallow copy shares it, and deepcopy and
        # pickle have it in their memo, so that a copy of the binding gets the dictionary of the module's copy.
        self.own = owner._parameters
        self.children = owner._modules  # where what has taken a parameter's place may be: a parametrization
        self.kind = type(owner).__name__
        self.held: dict[str, Held] = {}
        self._join()

    def _join(self) -> None:
        # The tensor of each name that an optimizer has stepped last, by id. An optimizer keeps its tensors alive, so
        # the id of one that was replaced is not given to its successor while that optimizer steps.
        self.stepped: dict[str, int] = {}
        # Per name: steps of other optimizers in which a tensor that is not the one above had a new gradient.
        self.unseen: dict[str, int] = {}
        self.gone: set[str] = set()  # names without a parameter, once that was said
        self.suspended: Counter[str] = Counter()  # names that are let be for now, by how many blocks
        self.marks: dict[str, _Mark] = {}
        with _lock:
            _registry.add(self)

    def let_go(self, name: str) -> None:
        """Of a binding that holds nothing no optimizer need know."""
        del self.held[name]
        if (mark := self.marks.pop(name, None)) is not None:
            mark.void = True
            tied = [(other, at, p) for other in bindings() for at, p, _ in other.parameters() if id(p) == mark.of]
            for other, at, p in tied:
                other.mark(at, p)
        if not self.held:
            with _lock:
                _registry.discard(self)

    def hold(self, name: str, held: Held) -> None:
        """From now on."""
        self.held[name] = held
        if (p := self.own.get(name)) is not None:
            self.mark(name, p)
        with _lock:
            _registry.add(self)

    def mark(self, name: str, p: Tensor) -> None:
        """Remember on a tensor that it is held, and by whom, unless it says so already."""
        before = getattr(p, MARK, None)
        if isinstance(before, _Mark) and before.of == id(p) and not before.void and before.by() is not None:
            return
        mark = _Mark(self, self.held[name], p)
        setattr(p, MARK, mark)
        self.marks[name] = mark
        with _lock:
            _orphans.marks.add(mark)

    def __getstate__(self) -> dict[str, Any]:
        return {"own": self.own, "children": self.children, "kind": self.kind, "held": dict(self.held)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"children": {}, **state})  # a pickle of an older version has none
        self._join()

    def parameters(self) -> Iterator[tuple[str, nn.Parameter, Held]]:
        """What is held now; a name whose parameter was taken away (by pruning, say) is passed over."""
        for name, held in list(self.held.items()):
            parameter = self.own.get(name)
            if parameter is not None:
                yield name, parameter, held

    def around(self) -> Iterator[Tensor]:
        """The module's own parameters, and those from which a parametrization computes one."""
        yield from (p for p in self.own.values() if p is not None)
        if (parametrizations := self.children.get("parametrizations")) is not None:
            yield from parametrizations.parameters()


class _Orphans:
    """Whether there are marks whose binding has died, counted again only when one has."""

    def __init__(self) -> None:
        self.marks: weakref.WeakSet[_Mark] = weakref.WeakSet()
        self.stale, self.some = False, False

    def one_died(self, _: Any) -> None:
        self.stale = True

    def now(self) -> bool:
        if self.stale:
            self.stale = False
            with _lock:
                self.some = any(mark.orphaned for mark in self.marks)
        return self.some


_orphans = _Orphans()


def orphans() -> bool:
    """Whether some tensor is held whose module is gone."""
    return _orphans.now()


def orphaned(p: Tensor) -> _Mark | None:
    """The mark of a tensor whose module is gone; None of all others."""
    mark = getattr(p, MARK, None)
    return mark if isinstance(mark, _Mark) and mark.of == id(p) and mark.orphaned else None


def bindings() -> list[Binding]:
    """Of all models that are alive."""
    with _lock:
        return list(_registry)


def bound(model: nn.Module) -> Iterator[tuple[str, Binding]]:
    """The bindings of a model's modules, by the module's path."""
    for path, module in model.named_modules():
        binding = module.__dict__.get(KEY)
        if binding is not None:
            yield path, binding


def held_in(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Held]]:
    """What is held in a model, by its full name."""
    for path, binding in bound(model):
        for name, p, held in binding.parameters():
            yield f"{path}.{name}" if path else name, p, held
