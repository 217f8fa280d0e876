"""A witness made small enough to read: fewest changed elements, then plain values, and the score still falls.

On a product domain every pair is a chain of moves of one element each, and where the whole chain falls one of its links
falls, by at least its share. So one changed element is enough, as long as its share still counts as a drop.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor

from ..verdict import Witness
from ._search import Inputs, Search

# Calls of the model; how many points are tried at once; the share of a drop that a shorter pair must keep.
MOST_CALLS, WIDTH, KEPT = 200, 64, 0.05
DECIMALS = (0, 1, 2, 3)


def shrunk(search: Search, witness: Witness) -> Witness:
    """The witness with fewer changed elements and rounder values, verified like the first; or the same one.

    Args:
        search: the one that found it.
        witness: a verified pair.

    Cost: about 200 calls of the model at most. The same witness gives the same result.
    """
    try:
        work = _Shrinking(search, witness)
    except Exception:
        return witness
    before = work.calls()
    try:
        return work.done()
    except Exception:
        return work.best
    finally:
        search.calls += work.calls() - before


class _Shrinking:
    """The best verified pair so far, as two vectors, and what may still be spent."""

    def __init__(self, search: Search, witness: Witness) -> None:
        search.prepare()
        self.space, self.table, self.court = search.whole, search.table, search.court
        self.best = witness
        self.stop = self.calls() + MOST_CALLS
        self.element = witness.element
        flat = torch.zeros(search.shape)
        if flat.dim():
            flat[witness.element] = 1.0
        self.column = int(flat.reshape(-1).argmax()) if flat.dim() else 0
        self.sign = self.court.sign(witness.element)

    @property
    def lower(self) -> Tensor:
        return self.space.flat(self.best.lower)

    @property
    def upper(self) -> Tensor:
        return self.space.flat(self.best.upper)

    def done(self) -> Witness:
        self.fewer()
        self.further()
        self.plainer()
        return self.best

    def calls(self) -> int:
        return self.table.calls + self.court.calls

    def spent(self) -> bool:
        return self.calls() >= self.stop

    def drops(self, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """How far the score falls on each pair, as far as a first look tells; NaN counts as an endless drop."""
        y = self.scores([p for pair in pairs for p in pair]).reshape(len(pairs), 2)
        drops = self.sign * (y[:, 0] - y[:, 1])
        return torch.where(y.isnan().any(1), torch.inf, drops.nan_to_num(-torch.inf, torch.inf, -torch.inf))

    def scores(self, points: list[Tensor]) -> Tensor:
        inputs: list[Inputs] = [self.space.filled(p) for p in points]
        return self.table.of_whole(inputs)[:, self.column]

    def taken(self, lower: Tensor, upper: Tensor) -> bool:
        """Whether the court takes this pair in place of the best one. What the model itself shows is not given up."""
        if self.spent() or torch.equal(lower, upper):
            return False
        found = self.court.witness(self.space.filled(lower), self.space.filled(upper), self.element)
        if found is None or (found.arithmetic != "as given" and self.best.arithmetic == "as given"):
            return False
        self.best = found
        return True

    def fewer(self) -> None:
        """Fewest changed elements: into the stretch of the chain of single moves that falls most, again and again."""
        while not self.spent():
            lower, upper = self.lower, self.upper
            changed = (lower != upper).nonzero().reshape(-1)
            if len(changed) < 2:
                return
            cuts = torch.linspace(0, len(changed), min(WIDTH, len(changed)) + 1).round().long().tolist()
            chain = [lower]
            for a, b in pairwise(cuts):
                link = chain[-1].clone()
                link[changed[a:b]] = upper[changed[a:b]]
                chain.append(link)
            y = self.scores(chain)
            links = (self.sign * (y[:-1] - y[1:])).nan_to_num(torch.inf, torch.inf, -torch.inf)
            if not any(self.taken(chain[i], chain[i + 1]) for i in links.argsort(descending=True)[:3].tolist()):
                return

    def further(self) -> None:
        """The one changed element over all of its line: the largest drop there is the plainest to see."""
        lower, upper = self.lower, self.upper
        changed = lower != upper
        if int(changed.sum()) != 1 or self.spent() or not abs(self.best.drop) < float("inf"):
            return
        i = int(changed.nonzero())
        reach = abs(float(upper[i] - lower[i]))
        ends = [float(e) for e in (self.space.low[i], self.space.high[i])]
        first, last = (
            e if abs(e) < float("inf") else s
            for e, s in zip(ends, (float(lower[i]) - reach, float(upper[i]) + reach), strict=True)
        )
        count = WIDTH if self.table.apart else 8
        at = torch.cat(
            [
                torch.linspace(min(first, last), max(first, last), count, dtype=torch.float64),
                lower[i : i + 1],
                upper[i : i + 1],
            ]
        )
        at = at.sort(descending=bool(self.space.directions[i] < 0)).values
        points = lower.repeat(len(at), 1)
        points[:, i] = at
        points = self.space.snapped(points)
        y = self.sign * self.scores(list(points))
        if not bool(torch.isfinite(y).all()):
            return
        top = y.cummax(0)
        j = int((top.values - y).argmax())
        if float(top.values[j] - y[j]) > 1.1 * abs(self.best.drop):
            self.taken(points[int(top.indices[j])], points[j])

    def plainer(self) -> None:
        """What does not change goes to the example or to 0, and every number to few decimals, where the drop stays."""
        lower, upper = self.lower, self.upper
        still = lower == upper
        example, zero = self.space.example, torch.zeros_like(self.space.example)
        for aim in (zero, example):
            if self.replaced([torch.where(still, aim, lower)], [torch.where(still, aim, upper)]):
                break
        else:
            self.by_parts(still, zero)
        self.rounded()

    def by_parts(self, still: Tensor, aim: Tensor) -> None:
        """Some of the elements to `aim`: halves, then quarters, and so on, each kept where the drop stays."""
        places = (still & (self.lower != aim)).nonzero().reshape(-1)
        open_ = [places] if len(places) else []
        while open_ and not self.spent():
            part = open_.pop(0)
            lower, upper = self.lower, self.upper
            lower[part], upper[part] = aim[part], aim[part]
            if not self.replaced([lower], [upper]) and len(part) > 1:
                open_ += [part[: len(part) // 2], part[len(part) // 2 :]]

    def rounded(self) -> None:
        """All numbers to few decimals; then each changed one by itself."""
        lower, upper = self.lower, self.upper
        self.replaced([_to(lower, d) for d in DECIMALS], [_to(upper, d) for d in DECIMALS])
        for i in (self.lower != self.upper).nonzero().reshape(-1).tolist()[:4]:
            for side in (0, 1):
                ends = [self.lower, self.upper]
                tries = [e.clone() for e in (ends[side],) * len(DECIMALS)]
                for t, d in zip(tries, DECIMALS, strict=True):
                    t[i] = _to(t[i], d)
                others = [ends[1 - side]] * len(tries)
                self.replaced(*((tries, others) if side == 0 else (others, tries)))

    def replaced(self, lowers: Iterable[Tensor], uppers: Iterable[Tensor]) -> bool:
        """Whether one of these pairs, the first that keeps enough of the drop, is verified and now the best."""
        pairs = [
            (self.space.snapped(a.unsqueeze(0))[0], self.space.snapped(b.unsqueeze(0))[0])
            for a, b in zip(lowers, uppers, strict=True)
        ]
        here = (self.lower, self.upper)
        if self.spent() or any(torch.equal(a, here[0]) and torch.equal(b, here[1]) for a, b in pairs[:1]):
            return False
        drops = self.drops([here, *pairs])
        least = KEPT * float(drops[0]) if float(drops[0]) < float("inf") else 0.0
        return any(float(d) >= least and float(d) > 0 and self.taken(*p) for d, p in zip(drops[1:], pairs, strict=True))


def _to(x: Tensor, decimals: int) -> Tensor:
    return x.round(decimals=decimals)
