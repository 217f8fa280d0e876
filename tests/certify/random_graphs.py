"""Random graphs whose steps are drawn from the table of rules, with the facts that the rules claim and what is seen.

- a step is a call from `rule_cases`, so a new rule takes part as soon as it has a case;
- facts go through the rules and through the walk's own check, values through the operators, side by side;
- a claim that seems broken counts only if it stays broken, by far, when every step is disturbed by more than rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import starmap
from typing import Any

import torch
from torch import Tensor, nn

from isotone.certify._facts import Fact, Unknown, constant
from isotone.certify._walk import _checked
from isotone.certify.rules import RULES, Site
from isotone.certify.rules._structural import overload

from .fuzz import boxes, pair
from .rule_cases import BOOL, CASES, FLOAT, LONG, T, X

NAMES = [name for name in sorted(CASES) if CASES[name]]
SIZE = 1e12  # beyond it float64 sampling says little


@dataclass(frozen=True)
class Ref:
    """An earlier value of the graph."""

    at: int


@dataclass(frozen=True)
class Step:
    """One operator on earlier values; `out` says which of several results is kept, and None that there is one."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: int | None

    def run(self, values: list[Any]) -> Any:
        """The operator on values."""
        found = operator(self.name)(*filled(self.args, values), **(filled(self.kwargs, values) if self.kwargs else {}))
        return found if self.out is None else found[self.out]


operator = cache(overload)


def filled(value: Any, values: list[Any]) -> Any:
    """The arguments of a call, with values for references."""
    if value.__class__ is Ref:
        return values[value.at]
    if value.__class__ in (list, tuple):
        return value.__class__([filled(v, values) for v in value])
    if value.__class__ is dict:
        return {k: filled(v, values) for k, v in value.items()}
    return value


class Graph:
    """A graph of `steps` operators of the table, drawn from a seed, on `pairs` ordered pairs of inputs.

    Args:
        one_way: an element of an input moves one way or not at all, as in a call of `certify`.
    """

    def __init__(self, seed: int, *, pairs: int = 8, one_way: bool = False):
        self.random = torch.Generator().manual_seed(seed)
        self.pairs, self.one_way = pairs, one_way
        self.inputs: list[int] = []
        self.facts: list[Fact] = []
        self.seen: list[list[Tensor]] = []  # of each node its values at the lower, then at the upper members
        self.steps: list[Step | None] = []
        for _ in range(1 + self.draw(2)):
            self.enter(X)
        wanted, tries = 3 + self.draw(8), 0
        while wanted and tries < 40:
            tries += 1
            wanted -= self.grow()

    def draw(self, n: int) -> int:
        return int(torch.randint(n, (), generator=self.random))

    def enter(self, spec: T) -> Ref:
        """A new input."""
        fact = boxes(spec, self.random)
        if self.one_way:
            fact = Fact(fact.lo, fact.hi, fact.up, fact.dn & ~fact.up, fact.dtype)
        drawn = [pair(fact, self.random) for _ in range(self.pairs)]
        self.inputs.append(len(self.facts))
        self.facts.append(fact)
        self.seen.append([a for a, _ in drawn] + [b for _, b in drawn])
        self.steps.append(None)
        return Ref(len(self.facts) - 1)

    def grow(self) -> bool:
        """One more operator of the table; False if its rule declines here."""
        name = NAMES[self.draw(len(NAMES))]
        args, kwargs = CASES[name][self.draw(len(CASES[name]))]
        before = len(self.facts)
        try:
            return self.add(name, self.placed(args), self.placed(kwargs)) is not None
        except Exception:
            # As in the walk: whatever goes wrong in a rule costs knowledge. The operands that were made ready stay.
            assert len(self.facts) >= before
            return False

    def placed(self, value: Any) -> Any:
        if isinstance(value, T):
            return self.operand(value)
        if isinstance(value, list | tuple):
            return type(value)(self.placed(v) for v in value)
        if isinstance(value, dict):
            return {k: self.placed(v) for k, v in value.items()}
        return value

    def add(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Ref | None:
        """The facts and the values of a node; None if nothing is claimed of it."""
        kwargs = kwargs or {}
        operands = list(references((args, kwargs)))
        moving = [self.facts[r.at] for r in operands]
        result = RULES[name](Site(), *filled(args, self.facts), **filled(kwargs, self.facts))
        claims = list(enumerate(result)) if isinstance(result, tuple) else [(None, result)]
        added = None
        for out, claim in claims:
            if isinstance(claim, Unknown):
                continue
            step = Step(name, args, kwargs, out)
            seen = [step.run([s[k] for s in self.seen]) for k in range(2 * self.pairs)]
            checked = _checked(name, claim, seen[0], moving)
            self.facts.append(checked if isinstance(checked, Fact) else constant(checked))
            self.seen.append(seen)
            self.steps.append(step)
            added = Ref(len(self.facts) - 1)
        return added

    def operand(self, spec: T) -> Ref:
        """An earlier value, brought to the shape, the range and the dtype that the case asks for."""
        if spec.still:
            return self.enter(spec)
        floats = [i for i, f in enumerate(self.facts) if f.dtype is FLOAT]
        recent = floats[-4:] if self.draw(3) else floats
        ref = self.shaped(Ref(recent[self.draw(len(recent))]), spec.shape)
        if spec.dtype is BOOL:
            return self.sure("aten.gt.Scalar", (ref, self.draw(5) / 2 - 1))
        if spec.low > -float("inf") or spec.high < float("inf"):
            low, high = (b if abs(b) < float("inf") else None for b in (spec.low, spec.high))
            ref = self.sure("aten.clamp.default", (ref, low, high))
        return self.sure("aten._to_copy.default", (ref,), {"dtype": LONG}) if spec.dtype is LONG else ref

    def shaped(self, ref: Ref, shape: tuple[int, ...]) -> Ref:
        have, need = self.facts[ref.at].shape, torch.Size(shape)
        if have == need:
            return ref
        ref = self.sure("aten.reshape.default", (ref, [-1]))
        if have.numel() < need.numel():
            ref = self.sure("aten.repeat.default", (ref, [-(-need.numel() // have.numel())]))
        if self.facts[ref.at].shape.numel() > need.numel():
            ref = self.sure("aten.slice.Tensor", (ref, 0, 0, need.numel()))
        return self.sure("aten.reshape.default", (ref, list(shape)))

    def sure(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Ref:
        found = self.add(name, args, kwargs)
        if found is None:
            raise ValueError(name)
        return found

    @property
    def proved(self) -> bool:
        """Whether the last value moves and is said never to fall."""
        return bool(self.facts[-1].up.any()) and not bool(self.facts[-1].dn.any())

    def broken(self) -> str:
        """'' if every claim holds on every pair, else the first that does not."""
        sizes = [f.lo.numel() for f in self.facts]
        both = torch.cat([torch.stack(s).double().reshape(2 * self.pairs, -1) for s in self.seen], 1)
        a, b = both[: self.pairs], both[self.pairs :]  # (pairs, elements of all nodes)
        # What follows a value that is too large to trust is not judged either.
        alive = (torch.maximum(a.abs(), b.abs()) <= SIZE).long().cummin(1).values > 0
        whole = Fact(
            *(torch.cat([getattr(f, part).flatten() for f in self.facts]) for part in ("lo", "hi", "up", "dn"))
        )
        suspects = (excess(whole, a, b) > slack(a, b)) & alive
        if not bool(suspects.any()):
            return ""
        node_of = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        for k, element in suspects.nonzero().tolist():
            if self.truly(at := int(node_of[element]), k):
                step = self.steps[at]
                return f"{step.name if step else 'input'} at node {at} of {len(self.facts)}"
        return ""

    def truly(self, at: int, k: int) -> bool:
        """Whether a claim stays broken when all steps are disturbed: by more than ten times what that changes."""
        inputs = [[self.seen[i][k + side * self.pairs] for i in self.inputs] for side in (0, 1)]
        runs = []
        for _ in range(40):
            a, b = (replay(self, x, self.random, at)[at].double() for x in inputs)
            runs.append(excess(self.facts[at], a[None], b[None]))
        many = torch.stack(runs)
        return bool((many.amin(0) > 10 * (many.amax(0) - many.amin(0)) + 1e-9).any())


def replay(graph: Graph, inputs: list[Tensor], noise: torch.Generator | None = None, last: int | None = None) -> Any:
    """All values of the graph; with noise, each step is off by up to 1e-13 of its size and 1e-15."""
    given = iter(inputs)
    values: list[Any] = []
    for step in graph.steps[: None if last is None else last + 1]:
        value = next(given) if step is None else step.run(values)
        if noise is not None and step is not None and value.dtype is FLOAT:
            # A result that underflowed to 0, or that cancelled to it, is disturbed as well.
            value = value + (1e-13 * value.abs() + 1e-15) * (
                2 * torch.rand(value.shape, generator=noise, dtype=FLOAT) - 1
            )
        values.append(value)
    return values


def excess(fact: Fact, a: Tensor, b: Tensor) -> Tensor:
    """How far values leave their interval or move a way that they were said not to; (pairs, *shape)."""
    outside = torch.stack([fact.lo - a, fact.lo - b, a - fact.hi, b - fact.hi]).amax(0)
    falls = torch.where(fact.dn, -1.0, a - b)
    rises = torch.where(fact.up, -1.0, b - a)
    return torch.maximum(outside, torch.maximum(falls, rises))


def slack(a: Tensor, b: Tensor) -> Tensor:
    return 1e-10 * torch.maximum(a.abs(), b.abs()) + 1e-12


def references(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from references(v)
    elif isinstance(value, dict):
        yield from references(list(value.values()))


class Net(nn.Module):
    """A graph as a model: the same steps, called by a forward of their own."""

    def __init__(self, graph: Graph):
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: Tensor) -> Tensor:
        """The last value."""
        return replay(self.graph, list(inputs))[-1]

    def question(self) -> tuple[Any, Any, Any]:
        """Inputs, directions and domain, as the graph's inputs have them."""
        facts = [self.graph.facts[i] for i in self.graph.inputs]
        inputs = tuple(self.graph.seen[i][0] for i in self.graph.inputs)
        ways = tuple(f.up.double() - f.dn.double() for f in facts)
        domain = tuple((f.lo, f.hi) for f in facts)
        return (inputs, ways, domain) if len(inputs) > 1 else (inputs[0], ways[0], domain[0])


def falls(net: Net, rounds: int) -> bool:
    """Whether dense sampling finds a fall that stands when every step is disturbed."""
    graph = net.graph
    facts = [graph.facts[i] for i in graph.inputs]
    noise = torch.Generator().manual_seed(1)
    for _ in range(rounds):
        pairs = list(starmap(pair, ((f, noise) for f in facts)))
        a, b = (net(*(p[side] for p in pairs)).double() for side in (0, 1))
        if bool((a - b > slack(a, b)).any()) and stays([p[0] for p in pairs], [p[1] for p in pairs], graph, noise):
            return True
    return False


def stays(lower: list[Tensor], upper: list[Tensor], graph: Graph, noise: torch.Generator) -> bool:
    """Whether the last value falls from one to the other by far more than a disturbance of the steps changes it."""
    drops = torch.stack(
        [replay(graph, lower, noise)[-1].double() - replay(graph, upper, noise)[-1].double() for _ in range(8)]
    )
    if not bool(torch.isfinite(drops).all()):
        return False
    return bool((drops.amin(0) > 10 * (drops.amax(0) - drops.amin(0)) + 1e-12).any())
