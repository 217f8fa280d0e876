"""Looks for ordered pairs whose score falls: rows of the data against each other, one feature at a time, all together.

- a plan of fixed size, the same on every machine; the clock can only cut it short, and then that is said;
- features that move together come first: a fall over many steps shows in the few single steps that make it;
- knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ._chains import CELLS, Chains, Pair, Scorer, Tally
from ._rows import Codes, Edit, Places
from ._score import quiet
from ._values import Feature, beyond, levels, neighbours

# rows x values, in turn; the first round finds what is common, the last what is rare.
ROUNDS = ((24, 24), (96, 48), (256, 96), (1024, 128))
FEATURE_ROWS, ALL_ROWS = 120_000, 600_000  # scored for one feature, and for all, in one round
TOGETHER, TOGETHER_FEATURES = 192, 2048
LADDER = 9
MORE_ROWS = 512


@dataclass
class Search:
    """A search that goes on from stage to stage.

    Args:
        scorer: scores chains.
        features: those that move.
        drawn: the rows of the data that may be a base, by number.
        random: chance.
    """

    scorer: Scorer
    features: Sequence[Feature]
    drawn: Places
    random: np.random.Generator
    single: dict[int, Tally] = field(default_factory=dict)
    together: Tally = field(default_factory=Tally)
    outside: dict[int, Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.of = {feature.place: feature for feature in self.features}
        self.single = {feature.place: Tally() for feature in self.features}
        self.outside = {feature.place: Tally() for feature in self.features}

    def stages(self, rounds: int = len(ROUNDS)) -> list[tuple[str, Callable[[], None]]]:
        """What is done, in order, each with its name; with fewer `rounds` it is a check rather than a search."""
        return [
            ("pairs of rows", self.pairs_of_rows),
            ("all features together", self.ladders),
            ("single steps of those", self.single_steps),
            *((f"one feature at a time, round {i + 1}", self._round(i)) for i in range(rounds)),
            ("neighbours", self.tiny_steps),
            ("beyond the data", self.further_out),
            ("the same moves on more rows", self.more_rows),
        ]

    def judge(self, pairs: Sequence[Pair]) -> None:
        """Score pairs that somebody suggests, and enter those that fall."""
        for pair in pairs:
            if self.scorer.over:
                return
            # Rounded to what a column can hold, a pair may be none any more; from or to missing is asked elsewhere.
            steps = {j: pair.upper[j] - pair.lower[j] for j in pair.moved}
            if not steps or not all(j in self.of and step * self.of[j].direction > 0 for j, step in steps.items()):
                continue
            edits = [Edit(slice(0, 2), j, np.array([pair.lower[j], pair.upper[j]])) for j in pair.lower]
            found = self.scorer.ask(np.full(2, pair.base), edits)
            if found is None:
                continue
            scored = replace(pair, before=float(found[0]), after=float(found[1]), noise=self.scorer.noise(found))
            if not scored.drop > scored.noise:
                continue
            tally = self.single[pair.moved[0]] if len(pair.moved) == 1 else self.together
            tally.add(scored)

    def _bases(self, count: int) -> Places:
        """So many different rows, as places in `drawn`."""
        return self.random.choice(len(self.drawn), min(count, len(self.drawn)), replace=False)

    def _some(self) -> list[Feature]:
        """All features, or as many as can move at once."""
        if len(self.features) <= TOGETHER_FEATURES:
            return list(self.features)
        chosen = self.random.choice(len(self.features), TOGETHER_FEATURES, replace=False)
        return [self.features[i] for i in chosen]

    def pairs_of_rows(self) -> None:
        """Two rows a and b with a's free features: meet <= a <= join and meet <= b <= join are ordered."""
        features = self._some()
        count = max(4, min(4 * TOGETHER, CELLS // 4 // len(features)))
        a = self.random.integers(len(self.drawn), size=count)
        b = self.random.integers(len(self.drawn), size=count)
        for middle in (a, b):
            moves = {}
            for f in features:
                x, y, m = f.observed[a], f.observed[b], f.observed[middle]
                unknown = np.isnan(x) | np.isnan(y)
                x, y, m = np.where(unknown, f.observed[a], x), np.where(unknown, x, y), np.where(unknown, x, m)
                low, high = np.minimum(x, y), np.maximum(x, y)
                ends = (low, high) if f.direction > 0 else (high, low)
                moves[f.place] = np.stack([ends[0], m, ends[1]], axis=1)
            self.scorer.follow(Chains(self.drawn[a], moves), self.together)

    def ladders(self) -> None:
        """Rows pulled down to what is least and pushed up to what is greatest, all features or half of them."""
        for part in (1.0, 0.5, 0.1):
            features = self._some()
            count = max(4, min(TOGETHER, CELLS // 4 // len(features) // LADDER))
            base = self._bases(count)
            moves = {}
            for f in features:
                if not f.unique.size:
                    continue
                at = np.quantile(f.unique, np.linspace(0, 1, LADDER // 2 + 1), method="nearest")[:: f.direction]
                here = f.observed[base][:, None]
                down, up = (np.minimum, np.maximum) if f.direction > 0 else (np.maximum, np.minimum)
                values = np.concatenate([down(here, at), up(here, at)], axis=1)
                # NaN compares as NaN: a missing value stays missing on the whole chain.
                still = self.random.random(len(base)) >= part
                moves[f.place] = np.where(still[:, None], here, values)
            if moves:
                self.scorer.follow(Chains(self.drawn[base], moves), self.together)

    def single_steps(self) -> None:
        """Go from the lower to the upper row of each joint fall one feature at a time: one of these steps falls.

        The steps sum to the whole fall, so one of k of them falls by a k-th of it or more.
        """
        for pair in list(self.together.pairs):
            self.split(pair)

    def split(self, pair: Pair) -> None:
        """Enter the falling single steps between the two rows of a pair."""
        for _ in range(3):
            if self.scorer.over:
                return
            order = self.random.permutation(pair.moved).tolist()
            if not order or len(order) > TOGETHER_FEATURES:
                return
            points = len(order) + 1
            moves = {}
            for j in pair.lower:
                values = np.full(points, pair.lower[j])
                if j in order:
                    values[order.index(j) + 1 :] = pair.upper[j]
                moves[j] = values
            found = self.scorer.ask(
                np.full(points, pair.base), [Edit(slice(0, points), j, values) for j, values in moves.items()]
            )
            if found is None:
                continue
            noise = self.scorer.noise(found)
            with quiet():
                steps = found[1:] - found[:-1]
            for step in np.argsort(steps)[:8]:
                before, after = float(found[step]), float(found[step + 1])
                if not before - after > noise:
                    break
                lower = {j: float(values[step]) for j, values in moves.items()}
                upper = {j: float(values[step + 1]) for j, values in moves.items()}
                tally = self.single[order[step]]
                tally.add(Pair(pair.base, lower, upper, before, after, noise))

    def _round(self, i: int) -> Callable[[], None]:
        def sweep() -> None:
            rows, most = ROUNDS[i]
            order = self.random.permutation(len(self.features))
            budget = min(FEATURE_ROWS, max(64, ALL_ROWS // len(self.features)))
            for f in (self.features[k] for k in order):
                if self.scorer.over:
                    return
                values = levels(f, most, self.random, self.scorer.rows)
                # Of many features each gets few rows, and had them in the round before.
                if values.size < 2 or (i and budget < FEATURE_ROWS and 2 * ROUNDS[i - 1][0] * values.size >= budget):
                    continue
                base = self._bases(max(4, min(rows, budget // values.size)))
                chains = Chains(self.drawn[base], {f.place: np.tile(values, (len(base), 1))})
                self.scorer.follow(chains, self.single[f.place])

        return sweep

    def tiny_steps(self) -> None:
        """Around values that were observed, and around the model's own thresholds."""
        for f in self.features:
            if self.scorer.over:
                return
            if f.whole or not f.unique.size:
                continue
            base = self._bases(max(4, min(128, FEATURE_ROWS // len(self.features))))
            at = f.observed[base]
            inside = f.cells[f.inside(f.cells)]
            if inside.size:
                at = np.where(np.arange(len(at)) % 2 == 0, at, self.random.choice(inside, len(at)))
            base, at = base[~np.isnan(at)], at[~np.isnan(at)]
            if at.size:
                chains = Chains(self.drawn[base], {f.place: neighbours(f, at, self.scorer.rows)})
                self.scorer.follow(chains, self.single[f.place])

    def further_out(self) -> None:
        """Values that no row of the data has; only for features of which no fall is known yet."""
        for f in self.features:
            if self.scorer.over:
                return
            values = beyond(f, self.scorer.rows)
            if values.size < 2 or self.single[f.place].pairs:
                continue
            base = self._bases(max(4, min(64, FEATURE_ROWS // len(self.features))))
            self.scorer.follow(
                Chains(self.drawn[base], {f.place: np.tile(values, (len(base), 1))}), self.outside[f.place]
            )

    def more_rows(self) -> None:
        """The strongest move of each feature, on many rows: the strongest witness is often another row's."""
        for f in self.features:
            pairs = self.single[f.place].pairs
            if self.scorer.over:
                return
            if not pairs:
                continue
            base = self._bases(max(8, min(MORE_ROWS, FEATURE_ROWS // len(self.features))))
            move = np.array([pairs[0].lower[f.place], pairs[0].upper[f.place]])
            tally = Tally()
            self.scorer.follow(Chains(self.drawn[base], {f.place: np.tile(move, (len(base), 1))}), tally)
            for pair in tally.pairs:
                self.single[f.place].add(pair)

    def along(self, pair: Pair, j: int, most: int = 64) -> tuple[Codes, Codes] | None:
        """The score of the pair's row along one feature: values and scores, for a curve."""
        f = self.of[j]
        values = levels(f, most, np.random.default_rng(0), self.scorer.rows)
        known = [v for v in (pair.lower[j], pair.upper[j]) if not np.isnan(v)]
        values = np.unique(np.concatenate([values, known]))
        points = slice(0, len(values))
        edits = [Edit(points, k, np.full(len(values), v)) for k, v in pair.lower.items() if k != j]
        found = self.scorer.ask(np.full(len(values), pair.base), [*edits, Edit(points, j, values)])
        return None if found is None else (values, found)
