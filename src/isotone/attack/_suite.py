"""The suite: every attack, on the same rows, at the same threshold; and the names of those that could not run."""

# ruff: noqa: E501 (rows of a table)

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

from torch import Tensor

from ..errors import BadInput, NoMatch
from ._bits import bca, bga, dfgsm, grosse, rfgsm
from ._everything import everything
from ._exhaustive import MOST_ROWS, exhaustive, rows_to_try
from ._greedy import greedy
from ._measures import detection_curve, evasion_rate, fewest, is_broken, median_additions
from ._merge import benign_merge
from ._moves import Moves
from ._polish import polish
from ._projected import pgd_l1, pgd_l2, pgd_linf, stepwise_max
from ._random import random_additions
from ._removal import removal
from ._search import Attacked, Progress
from ._victims import HasSlope, Victim, as_rows
from ._words import best_words, dictionary_words, first_words, frequent_words, ratio_words

# Exhaustive search joins in where it costs no more scores than this.
FEW_SUBSETS = 2**18
# Numbers of additions of a security curve; None is no limit. Those of `evaluation`, for pages, leave out 100.
BUDGETS: tuple[int | None, ...] = (0, 1, 2, 5, 10, 25, 50, 100, None)
# For runs with little time: those that evade most in the table of docs/detection.md, which the others met on fewer rows.
QUICK = ("greedy", "benign_merge", "everything", "polish")


class Given(NamedTuple):
    """What the suite hands to each attack."""

    common: tuple[Victim, Tensor, float, Moves]
    benign: Any
    bad: Any
    budget: int | None
    seed: int
    found: list[Attacked]  # by the attacks before


class Row(NamedTuple):
    run: Callable[[Given, Progress | None], Attacked]
    needs: str


GRADIENT, BENIGN, SMALL = "a gradient", "benign rows", "few moves"
# In the order in which they run; `polish` starts where those before it ended.
# fmt: off
SUITE: dict[str, Row] = {
    # attack             how it is run                                                                         what it needs
    "greedy":           Row(lambda g, p: greedy(*g.common, g.budget, progress=p),                              ""),
    "benign_merge":     Row(lambda g, p: benign_merge(*g.common, g.benign, seed=g.seed, progress=p),           BENIGN),
    "everything":       Row(lambda g, p: everything(*g.common, progress=p),                                    ""),
    "grosse":           Row(lambda g, p: grosse(*g.common, g.budget, progress=p),                              GRADIENT),
    "bca":              Row(lambda g, p: bca(*g.common, g.budget, progress=p),                                 GRADIENT),
    "bga":              Row(lambda g, p: bga(*g.common, progress=p),                                           GRADIENT),
    "rfgsm":            Row(lambda g, p: rfgsm(*g.common, seed=g.seed, progress=p),                            GRADIENT),
    "dfgsm":            Row(lambda g, p: dfgsm(*g.common, progress=p),                                         GRADIENT),
    "pgd_l1":           Row(lambda g, p: pgd_l1(*g.common, g.budget, progress=p),                              GRADIENT),
    "pgd_l2":           Row(lambda g, p: pgd_l2(*g.common, g.budget, progress=p),                              GRADIENT),
    "pgd_linf":         Row(lambda g, p: pgd_linf(*g.common, g.budget, progress=p),                            GRADIENT),
    "stepwise_max":     Row(lambda g, p: stepwise_max(*g.common, g.budget, progress=p),                        GRADIENT),
    "random":           Row(lambda g, p: random_additions(*g.common, seed=g.seed, progress=p),                 ""),
    "dictionary_words": Row(lambda g, p: dictionary_words(*g.common, seed=g.seed, progress=p),                 ""),
    "frequent_words":   Row(lambda g, p: frequent_words(*g.common, g.benign, progress=p),                      BENIGN),
    "ratio_words":      Row(lambda g, p: ratio_words(*g.common, g.benign, bad=g.bad, progress=p),              BENIGN),
    "first_words":      Row(lambda g, p: first_words(*g.common, g.benign, bad=g.bad, seed=g.seed, progress=p), BENIGN),
    "best_words":       Row(lambda g, p: best_words(*g.common, g.benign, bad=g.bad, seed=g.seed, progress=p),  BENIGN),
    "polish":           Row(lambda g, p: polish(*g.common, g.found, progress=p),                               ""),
    "exhaustive":       Row(lambda g, p: exhaustive(*g.common, g.budget, progress=p),                          SMALL),
}
# fmt: on


@dataclass(frozen=True, eq=False)
class Suite(Sequence[Attacked]):
    """What the attacks found, as a sequence of `Attacked`; and what did not run, which is no evidence of anything.

    Args:
        attacks: in the order of the suite.
        skipped: name of an attack that could not run -> why.
        removals: what taking features away does: not covered by a guarantee, and no part of the curves. None if nobody
            asked.
    """

    attacks: tuple[Attacked, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    removals: Attacked | None = None

    def __len__(self) -> int:
        return len(self.attacks)

    @overload
    def __getitem__(self, at: int) -> Attacked: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Attacked]: ...
    def __getitem__(self, at: int | slice) -> Attacked | Sequence[Attacked]:
        return self.attacks[at]

    def __iter__(self) -> Iterator[Attacked]:
        return iter(self.attacks)

    def named(self, name: str) -> Attacked:
        """One attack.

        Raises:
            NoMatch: it did not run.
        """
        for attacked in self.attacks:
            if attacked.name == name:
                return attacked
        raise NoMatch("suite", name, [a.name for a in self.attacks], "attack")

    @property
    def fewest(self) -> Tensor:
        """Shape (n,), int64: the least additions that any attack needed; -1 where none evades, 0 where not detected."""
        return fewest(self.attacks)

    def curve(self, budgets: Sequence[int | None] = BUDGETS) -> list[float]:
        """The security curve under the best of all attacks for each row."""
        least = self.fewest
        return detection_curve(least, least != 0, budgets)

    def table(self, control: Suite | None = None, budgets: Sequence[int | None] = BUDGETS) -> list[dict[str, Any]]:
        """One plain dict per attack of the suite, also for those that did not run.

        Args:
            control: the same attacks on an unconstrained twin. An attack that evades less than half of it, or did not
                run on it, is `conclusive: False`; without a control none is conclusive.
            budgets: of the curves.
        """
        lines = []
        for attacked in self.attacks:
            twin = None if control is None else next((a for a in control.attacks if a.name == attacked.name), None)
            curve = detection_curve(attacked.additions, attacked.victims, budgets) if len(attacked.additions) else []
            lines.append(
                {
                    "attack": attacked.name,
                    "ran": True,
                    "victims": int(attacked.victims.sum()),
                    "evasion": evasion_rate(attacked),
                    "median_additions": median_additions(attacked),
                    "budgets": list(budgets),
                    "curve": curve,
                    "queries": attacked.queries,
                    "guesses": attacked.guesses,
                    "control_evasion": None if twin is None else evasion_rate(twin),
                    "conclusive": twin is not None and not is_broken(twin),
                }
            )
        return lines + [{"attack": name, "ran": False, "why": why} for name, why in self.skipped.items()]


def suite(
    victim: Victim,
    x: Any,
    threshold: float,
    moves: Moves,
    benign: Any = None,
    *,
    budget: int | None = 50,
    bad: Any | None = None,
    only: Sequence[str] | None = None,
    removals: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Suite:
    """All attacks of `SUITE` that can run on this victim.

    Args:
        victim: what is attacked. Attacks that follow gradients need its `slope`; without one they are skipped by name.
        x: shape (n, d): the bad rows.
        threshold: detected is a score above it.
        moves: what the attacker can do.
        benign: shape (m, d); without, or None, attacks that borrow from them are skipped by name.
        budget: of the attacks that count single additions.
        bad: shape (b, d): bad rows that an attacker knows; `x` itself if not given.
        only: names of attacks, such as `QUICK`; the others are skipped by name.
        removals: also measure what taking features away does.
        seed: of the attacks that draw.
        progress: called with (done, total), in hundredths of an attack.

    Raises:
        BadInput: see the attacks.
        NoMatch: `only` names no attack.

    >>> import torch
    >>> from isotone.attack import BlackBox
    >>> moves = Moves.between((1, 1, 1), 0.0, 1.0)
    >>> victim = BlackBox(lambda x: 1.5 - x.sum(1), sample=torch.zeros(1, 3))
    >>> found = suite(victim, torch.zeros(1, 3), 0.0, moves, torch.ones(1, 3))
    >>> found.fewest, found.curve((0, 1, 2)), found.skipped["bca"]
    (tensor([2]), [1.0, 1.0, 0.0], 'it follows gradients, and this victim has none')
    """
    if isinstance(only, str):
        raise BadInput("only", f"{only!r} came", f"a list of names is right, such as ({only!r},)")
    for name in only or ():
        if name not in SUITE:
            raise NoMatch("suite", name, SUITE, "attack")
    rows = as_rows(x, "x", moves.features)
    moves = moves.on(rows.device)  # once, so that a black box guesses once
    given = Given((victim, rows, threshold, moves), benign, rows if bad is None else bad, budget, seed, [])
    skipped = {name: why for name, row in SUITE.items() if (why := _lacking(name, row, given, only))}
    running = [name for name in SUITE if name not in skipped]
    parts = len(running) + removals
    for part, name in enumerate(running):
        given.found.append(SUITE[name].run(given, _part(progress, part, parts)))
    taken = removal(*given.common, budget, progress=_part(progress, parts - 1, parts)) if removals else None
    if progress is not None:
        progress(100 * parts, 100 * parts)
    return Suite(tuple(given.found), skipped, taken)


def _lacking(name: str, row: Row, given: Given, only: Sequence[str] | None) -> str:
    """Why an attack cannot run, or nothing."""
    victim, rows, _, moves = given.common
    if only is not None and name not in only:
        return "it was not asked for"
    if row.needs == GRADIENT and not isinstance(victim, HasSlope):
        return "it follows gradients, and this victim has none"
    if row.needs == BENIGN and (given.benign is None or not (len(given.benign) and len(given.bad))):
        return "it borrows from benign rows, and there are none"
    if row.needs == SMALL:
        counts = rows_to_try(rows, moves)
        if not (bool((counts <= MOST_ROWS).all()) and float(counts.sum()) <= FEW_SUBSETS):
            return "it would try every subset, and there are too many"
    return ""


def _part(progress: Progress | None, part: int, parts: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total: progress(100 * part + 100 * done // max(total, 1), 100 * parts)
