"""From a fall that a search saw to a witness: scored again alone, in both orders, with as little changed as can be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ._chains import Pair, same
from ._result import Change, RowWitness
from ._rows import Edit
from ._score import quiet
from ._search import Search
from ._values import Feature

JOINT_TRIES = 64
ENOUGH = 0.95  # of a joint fall: a change whose undoing keeps that much is left out


@dataclass
class Confirm:
    """Judges pairs.

    Args:
        search: what found them; it also scores them again.
    """

    search: Search
    notes: list[str] = field(default_factory=list)

    def strongest(self, feature: Feature) -> RowWitness | None:
        """The strongest confirmed pair in which this feature alone moves; values that were observed come first."""
        for tally in (self.search.single[feature.place], self.search.outside[feature.place]):
            for pair in tally.pairs:
                if (sure := self.again(self._bare(pair))) is not None:
                    return self._witness(sure, feature.place)
                self._doubt()
        return None

    def joint(self, alone: RowWitness | None) -> RowWitness | None:
        """The strongest pair in which several features move, with few of them, if it falls further than any single."""
        for pair in self.search.together.pairs:
            if alone is not None and alone.observed and pair.drop <= alone.drop:
                return None
            sure = self.again(self._fewer(pair))
            if sure is None:
                self._doubt()
            elif len(sure.moved) > 1:
                return self._witness(sure, None)
        return None

    def _doubt(self) -> None:
        said = "a fall was seen in a batch that the pair alone does not show; it does not count"
        self.notes[:] = [said]

    def again(self, pair: Pair) -> Pair | None:
        """The pair with the scores of a call of its own, if the score falls in both orders; the smaller fall stays.

        The fall must be above the rounding of both calls and of the call in which it was found.
        """
        scorer = self.search.scorer
        both = slice(0, 2)
        edits = {j: np.array([pair.lower[j], pair.upper[j]]) for j in pair.lower}
        falls = []
        for turn in (1, -1):
            found = scorer.ask(np.full(2, pair.base), [Edit(both, j, values[::turn]) for j, values in edits.items()])
            if found is None:
                return None
            before, after = (float(v) for v in found[::turn])
            if not before - after > max(scorer.noise(found), pair.noise):
                return None
            falls.append((before, after))
        before, after = min(falls, key=lambda fall: fall[0] - fall[1])
        return replace(pair, before=before, after=after)

    def _bare(self, pair: Pair) -> Pair:
        """Without what was set in both rows, where the fall stays without it."""
        moved = set(pair.moved)
        if len(moved) == len(pair.lower):
            return pair
        bare = replace(pair, lower={j: pair.lower[j] for j in moved}, upper={j: pair.upper[j] for j in moved})
        sure = self.again(bare)
        return bare if sure is not None and sure.drop >= ENOUGH * pair.drop else pair

    def _fewer(self, pair: Pair) -> Pair:
        """Undo changes, the one that matters least first, while the fall stays nearly as deep."""
        scorer = self.search.scorer
        for _ in range(JOINT_TRIES):
            moved = pair.moved
            if len(moved) < 2 or scorer.over:
                break
            tried = moved if len(moved) <= JOINT_TRIES else self.search.random.permutation(moved)[:JOINT_TRIES].tolist()
            # Two rows for each change left out: with the feature as below in both, the pair stays ordered.
            uppers = [{**pair.upper, j: pair.lower[j]} for j in tried]
            count = len(tried)
            edits = [
                Edit(slice(0, count + 1), k, np.array([pair.lower[k], *(upper[k] for upper in uppers)]))
                for k in pair.lower
            ]
            found = scorer.ask(np.full(count + 1, pair.base), edits)
            if found is None:
                break
            with quiet():
                drops = found[0] - found[1:]
            # All changes that do not matter one by one, at once if that works, else the least of them.
            spare = [j for j, drop in zip(tried, drops, strict=True) if drop >= pair.drop]
            if len(spare) > 1:
                upper = {**pair.upper, **{j: pair.lower[j] for j in spare}}
                bold = self.again(replace(pair, upper=upper))
                if bold is not None and bold.drop >= ENOUGH * pair.drop and bold.moved:
                    pair = bold
                    continue
            best = int(np.nanargmax(drops)) if not np.isnan(drops).all() else 0
            if not drops[best] >= ENOUGH * pair.drop:
                break
            pair = replace(pair, upper=uppers[best], after=float(found[best + 1]), before=float(found[0]))
        moved = pair.moved
        return (
            replace(pair, lower={j: pair.lower[j] for j in moved}, upper={j: pair.upper[j] for j in moved})
            if (
                self.again(
                    replace(pair, lower={j: pair.lower[j] for j in moved}, upper={j: pair.upper[j] for j in moved})
                )
            )
            else pair
        )

    def _witness(self, pair: Pair, single: int | None) -> RowWitness:
        search, rows = self.search, self.search.scorer.rows
        edits = {
            side: [Edit(slice(0, 1), j, np.array([v])) for j, v in values.items()]
            for side, values in (("lower", pair.lower), ("upper", pair.upper))
        }
        base = np.array([pair.base])
        moved = sorted(pair.moved)
        changes = tuple(
            Change(rows.names[j], search.of[j].direction, rows.show(j, pair.lower[j]), rows.show(j, pair.upper[j]))
            for j in moved
        )
        own = {j: codes[pair.base] for j in pair.lower if j not in moved and (codes := rows.codes(j)) is not None}
        held = tuple((rows.names[j], rows.show(j, pair.lower[j])) for j, v in own.items() if not same(v, pair.lower[j]))
        observed = all(
            bool(search.of[j].inside(np.array([pair.lower[j], pair.upper[j]])).all())
            for j in pair.lower
            if j in search.of
        )
        curve = search.along(pair, single) if single is not None else None
        points = (
            () if curve is None else tuple((rows.show(single or 0, x), float(y)) for x, y in zip(*curve, strict=True))
        )
        return RowWitness(
            pair.base, changes, held, rows.build(base, edits["lower"]), rows.build(base, edits["upper"]),
            pair.before, pair.after, observed, points,
        )  # fmt: skip
