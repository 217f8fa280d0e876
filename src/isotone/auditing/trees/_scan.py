"""Go through all trees once and keep where they move the wrong way."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ._alone import staircase_rises
from ._cells import Leaves, leaves_of
from ._ensemble import Bools, Ensemble, Floats, Ints
from ._pairs import Falls, falls

MOST_LEAVES = 10_000
KEPT = 32  # falling pairs per feature that are kept to build candidates from


@dataclass(frozen=True, eq=False)
class Fall:
    """One falling pair of leaves, with the tree's leaves."""

    tree: int
    leaves: Leaves
    axis: int
    lower: int
    upper: int
    size: float


@dataclass(eq=False)
class Scan:
    """What was seen, by feature.

    Args:
        count: in how many trees it falls.
        kept: the worst falling pairs, one per tree, the worst first.
        first: the pair of the first tree that falls.
        refused: why it is not decided.
        alone: trees that look at this feature and no other.
        mixed: features that fall in a tree which looks at others too.
        together: how many trees that look at it alone made each other good.
    """

    count: Ints
    kept: dict[int, list[Fall]] = field(default_factory=dict)
    first: dict[int, Fall] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    alone: dict[int, list[int]] = field(default_factory=dict)
    mixed: set[int] = field(default_factory=set)
    together: dict[int, int] = field(default_factory=dict)


def scan(ensemble: Ensemble, directions: Ints, *, domain: tuple[Floats, Floats], nan: Bools, lowest: bool) -> Scan:
    """All trees, in order."""
    seen = Scan(np.zeros(ensemble.features, dtype=np.int64))
    sizes = np.diff(np.append(ensemble.roots, len(ensemble.feature)))
    for tree in range(ensemble.trees):
        if sizes[tree] > 2 * MOST_LEAVES:
            reason = f"tree {tree} has about {sizes[tree] // 2} leaves; more than {MOST_LEAVES} are not compared"
            seen.refused.update((int(f), reason) for f in np.flatnonzero(directions))
            break
        leaves = leaves_of(ensemble, tree, *domain, nan)
        along = np.asarray([directions[axis.feature] * axis.ordered for axis in leaves.axes], dtype=np.int64)
        if len(leaves.axes) == 1:
            seen.alone.setdefault(leaves.axes[0].feature, []).append(tree)
        for axis in leaves.axes:
            if directions[axis.feature] and not axis.ordered:
                seen.refused[axis.feature] = f"tree {tree} splits it by categories, which have no order"
        # Raw leaf values times the sign of the tree's weight: the weight itself would round.
        values = ensemble.value[leaves.nodes] * np.sign(ensemble.weights[tree])
        worst: dict[int, Fall] = {}
        for found in falls(leaves, values, along, lowest):
            fall = _worst(ensemble, tree, leaves, found)
            feature = leaves.axes[found.axis].feature
            if feature not in worst or fall.size > worst[feature].size:
                worst[feature] = fall
        for feature, fall in worst.items():
            seen.count[feature] += 1
            seen.first.setdefault(feature, fall)
            seen.kept[feature] = sorted([*seen.kept.get(feature, []), fall], key=lambda f: -f.size)[:KEPT]
            if len(leaves.axes) > 1:
                seen.mixed.add(feature)
    _make_good(ensemble, directions, seen, domain, lowest)
    return seen


def _make_good(ensemble: Ensemble, directions: Ints, seen: Scan, domain: tuple[Floats, Floats], lowest: bool) -> None:
    """Forgive falls that trees of one feature make good for each other.

    For a move of f the score is (the trees that look at f alone) + (all others). The first part is decided as a whole;
    where all falls in f were in that part, every tree of the second is monotone in f by itself.
    """
    for f in [f for f in seen.first if f not in seen.mixed]:
        trees = seen.alone[f]
        low, high = (float(bound[f]) for bound in domain)
        if staircase_rises(ensemble, trees, f, int(directions[f]), low=low, high=high, lowest=lowest):
            seen.together[f] = len(trees)
            del seen.first[f], seen.kept[f]
            seen.count[f] = 0


def _worst(ensemble: Ensemble, tree: int, leaves: Leaves, found: Falls) -> Fall:
    at = int(found.size.argmax())
    size = float(found.size[at] * abs(ensemble.weights[tree]))
    return Fall(tree, leaves, found.axis, int(found.lower[at]), int(found.upper[at]), size)
