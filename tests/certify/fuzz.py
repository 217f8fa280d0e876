"""The laws that every rule must keep, checked on random boxes and random ordered pairs inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from isotone.certify._facts import Fact, NotReal, Refused, Unknown, constant
from isotone.certify.rules import Site

from .rule_cases import FLOAT, T

INF = float("inf")


class Nothing(Exception):
    """The rule declined on this box."""


def boxes(spec: T, random: torch.Generator) -> Fact:
    """A random fact within the spec: wide, narrow, infinite, tiny, touching 0, or a point, element by element."""

    def uniform() -> Tensor:
        return torch.rand(spec.shape, generator=random, dtype=FLOAT)

    if spec.dtype is not FLOAT:
        low = torch.full(spec.shape, spec.low, dtype=FLOAT)
        high = torch.full(spec.shape, spec.high, dtype=FLOAT)
        a, b = (low + (uniform() * (high - low + 1)).floor().clamp(max=spec.high - spec.low) for _ in range(2))
        low, high = torch.minimum(a, b), torch.maximum(a, b)
    else:
        size = 10.0 ** (uniform() * 4 - 2)
        a, b = (uniform() * 2 - 1) * size, (uniform() * 2 - 1) * size
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        kind = (uniform() * 10).floor()
        low, high = torch.where(kind == 0, -INF, low), torch.where(kind == 1, INF, high)
        low, high = torch.where(kind == 2, 0.0, low), torch.where(kind == 2, high.abs(), high)
        high, low = torch.where(kind == 3, 0.0, high), torch.where(kind == 3, -low.abs(), low)
        high = torch.where(kind == 4, low, high)
        low, high = torch.where(kind == 5, 1e-300, low), torch.where(kind == 5, 1e-290, high)
        low, high = torch.where(kind == 6, 0.0, low), torch.where(kind == 6, 1.0, high)
        low, high = low.clamp(spec.low, min(spec.high, 1e6)), high.clamp(max(spec.low, -1e6), spec.high)
        high = torch.maximum(low, high)
    way = (uniform() * 4).floor()
    up = (way == 1) | (way == 3)
    dn = (way == 2) | (way == 3)
    if float(uniform().flatten()[0]) < 0.4:  # often all of one direction: what a monotone model looks like
        up, dn = torch.ones_like(up), torch.zeros_like(dn)
    if spec.still:
        up, dn = torch.zeros_like(up), torch.zeros_like(dn)
    return Fact(low, high, up & (low < high), dn & (low < high), spec.dtype)


def pair(fact: Fact, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two values in the box, ordered as the bits allow."""

    def point() -> Tensor:
        u = torch.rand(fact.shape, generator=random, dtype=FLOAT)
        reach = 10.0 ** (torch.rand(fact.shape, generator=random, dtype=FLOAT) * 3 - 1)
        low = torch.where(fact.lo.isinf(), torch.minimum(fact.hi, reach) - 2 * reach, fact.lo)
        high = torch.where(fact.hi.isinf(), torch.maximum(fact.lo, -reach) + 2 * reach, fact.hi)
        u = torch.where(u < 0.15, 0.0, torch.where(u > 0.85, 1.0, u))
        x = low + u * (high - low)
        x = x if fact.dtype is FLOAT else x.round()
        return torch.minimum(torch.maximum(x, fact.lo), fact.hi)

    a, b = point(), point()
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    both, up, dn = fact.up & fact.dn, fact.up & ~fact.dn, fact.dn & ~fact.up
    first = torch.where(up, low, torch.where(dn, high, a))
    second = torch.where(up, high, torch.where(dn, low, torch.where(both, b, a)))
    return first.to(fact.dtype), second.to(fact.dtype)


def replaced(value: Any, by: Callable[[T], Any]) -> Any:
    """The call with each spec replaced; each place is an operand of its own."""
    if isinstance(value, T):
        return by(value)
    if isinstance(value, list):
        return [replaced(v, by) for v in value]
    return value


def check(
    rule: Callable[..., Any], op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], seed: int
) -> None:
    """One random box, several pairs: values stay inside, elements without a bit do not move that way."""
    random = torch.Generator().manual_seed(seed)
    facts: list[Fact] = []

    def drawn(spec: T) -> Fact:
        facts.append(boxes(spec, random))
        return facts[-1]

    fact_args = tuple(replaced(a, drawn) for a in args)
    fact_kwargs = {k: replaced(v, drawn) for k, v in kwargs.items()}
    try:
        result = rule(Site(), *fact_args, **fact_kwargs)
    except (Refused, NotReal) as fault:
        raise Nothing(str(fault)) from None
    for _ in range(12):
        pairs = [pair(f, random) for f in facts]
        first, second = (_run(op, args, kwargs, iter([p[side] for p in pairs])) for side in (0, 1))
        for claim, a, b in _claims(result, first, second):
            _hold(claim, a, b)


def _run(op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], values: Iterator[Tensor]) -> Any:
    taken = tuple(replaced(a, lambda _: next(values)) for a in args)
    return op(*taken, **{k: replaced(v, lambda _: next(values)) for k, v in kwargs.items()})


def _claims(result: Any, first: Any, second: Any) -> Iterator[tuple[Fact, Tensor, Tensor]]:
    many = isinstance(result, tuple)
    triples = zip(result, first, second, strict=True) if many else [(result, first, second)]
    for claim, a, b in triples:
        if isinstance(claim, Unknown):
            continue
        yield (claim if isinstance(claim, Fact) else constant(claim)), a.double(), b.double()


def _hold(claim: Fact, a: Tensor, b: Tensor) -> None:
    assert claim.shape == a.shape, f"shape {tuple(claim.shape)} is claimed, {tuple(a.shape)} is seen"
    finite = torch.cat([t[torch.isfinite(t)].abs().flatten() for t in (a, b)])
    slack = 1e-11 * float(finite.max() if finite.numel() else 0.0)
    for y in (a, b):
        inside = (y >= claim.lo - slack) & (y <= claim.hi + slack)
        strays = list(zip(y[~inside].tolist(), claim.lo[~inside].tolist(), claim.hi[~inside].tolist(), strict=True))
        assert not strays, f"a value escapes its interval (value, low, high): {strays[0]}"
    falls, rises = b < a - slack, b > a + slack
    assert not bool((falls & ~claim.dn).any()), "an element falls that was said not to: it escapes its bits"
    assert not bool((rises & ~claim.up).any()), "an element rises that was said not to: it escapes its bits"
