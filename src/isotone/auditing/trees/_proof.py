"""Prove, tree by tree, that a sum of trees is monotone in chosen features.

- sufficient: if every tree is monotone, so is their sum; a sum that is monotone although a tree is not is proved only
  where the trees that are not look at one feature alone;
- for a single tree the answer is exact both ways;
- what is not proved comes with pairs of rows between which the whole sum falls, where such were found.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...directions import as_directions
from ...errors import BadInput
from ._candidates import Candidate, candidates_for
from ._ensemble import ORDER_KEEPING, Ensemble, Floats, Ints
from ._scan import Fall, Scan, scan

MISSING = ("fixed", "never", "lowest")

METHOD = (
    "Every tree is monotone in the feature by itself: between any two of its leaves that one change of the feature can "
    "join, the value never moves the wrong way. Trees that look at one feature alone may be added up exactly first. "
    "Changes of several features are chains of changes of one, and a sum of monotone trees is monotone. The test is "
    "exact for one tree and sufficient, not necessary, for a sum."
)


@dataclass(frozen=True)
class FeatureProof:
    """What is known of one feature.

    Args:
        feature, name, direction: which, and which way it was said to move the score.
        proved: whether every tree is monotone in it.
        reason: one sentence.
        tree: the first tree that is not, or None.
        trees: how many are not.
        size: the largest fall within one tree, in units of the raw score.
    """

    feature: int
    name: str
    direction: int
    proved: bool
    reason: str
    tree: int | None = None
    trees: int = 0
    size: float = 0.0


@dataclass(frozen=True)
class TreeProof:
    """Whether a sum of trees is monotone, feature by feature.

    Args:
        proved: True only if every feature with a direction is proved.
        features: one entry per feature with a direction.
        candidates: pairs of rows between which the whole sum falls, the largest fall first; to be replayed.
        assumptions: what the proof rests on, in sentences.
        method: how it was proved, in words.
    """

    proved: bool
    features: tuple[FeatureProof, ...]
    candidates: tuple[Candidate, ...]
    assumptions: tuple[str, ...]
    method: str = METHOD

    def to_dict(self) -> dict[str, Any]:
        """Everything but the candidates, as JSON."""
        return {
            "proved": self.proved,
            "features": [asdict(one) for one in self.features],
            "assumptions": list(self.assumptions),
            "method": self.method,
        }


def prove(
    ensemble: Ensemble,
    directions: Any,
    *,
    low: Any = None,
    high: Any = None,
    missing: str = "fixed",
    rows: Any = None,
    most: int = 8,
) -> TreeProof:
    """Prove that a sum of trees is monotone in the features that have a direction.

    The claim: for rows x and x' of the domain that agree in every free feature, where each feature with direction +1 is
    at least as large in x' and each with -1 at least as small, the score of x' is at least that of x. It is about real
    arithmetic on the stored leaf values, and about finite numbers.

    Args:
        ensemble: from `read`; it counts only if `faithful` said so.
        directions: -1, 0, +1: one for all, one per feature, or a mapping from names and globs.
        low, high: the domain: a number or one per feature, both included. Default: all finite numbers.
        missing: "fixed": a feature may be NaN, if it is so in both rows. "never": there is no NaN.
            "lowest": NaN is below every number in the features with a direction, so that filling it in is a rise
            (direction +1) too: this is the claim for sparse rows of XGBoost, where what is absent is missing.
        rows: some real rows, shape (n, features): candidates are built from them, so that they look like data.
        most: search candidates for that many features at most; 0 for none.

    Raises:
        BadInput: no feature has a direction, or the domain or `missing` is not understood.

    Cost: trees times leaves squared times features; about 3 s for 1,000 trees of 64 leaves.
    """
    found = np.asarray(as_directions(directions, ensemble.features, ensemble.names), dtype=np.int64)
    if not found.any():
        raise BadInput("directions", "no feature has one", "at least one +1 or -1 is needed")
    if missing not in MISSING:
        raise BadInput("missing", f"{missing!r} came", f"one of {', '.join(map(repr, MISSING))} would be right")
    domain = bounds(ensemble, low, high)
    nan = np.full(ensemble.features, missing != "never" and ensemble.takes_missing)
    if reason := _refusal(ensemble, missing):
        features = tuple(
            FeatureProof(int(f), ensemble.names[f], int(found[f]), False, reason) for f in np.flatnonzero(found)
        )
        return TreeProof(False, features, (), assumptions(ensemble, missing))
    seen = scan(ensemble, found, domain=domain, nan=nan, lowest=missing == "lowest")
    _linear(ensemble, found, domain, missing == "lowest", seen.refused)
    features = tuple(_judge(ensemble, f, int(found[f]), seen) for f in np.flatnonzero(found).tolist())
    wrong = sorted((p for p in features if not p.proved), key=lambda p: -p.size)[:most]
    falling = [(p.feature, seen.kept.get(p.feature, [])) for p in wrong]
    candidates = candidates_for(ensemble, found, falling, domain=domain, missing=missing, rows=rows)
    return TreeProof(all(p.proved for p in features), features, candidates, assumptions(ensemble, missing))


def bounds(ensemble: Ensemble, low: Any, high: Any) -> tuple[Floats, Floats]:
    """The domain per feature, cast as the library casts rows: casting keeps order, so nothing falls out of it."""
    out = []
    for name, bound, default in (("low", low, -np.inf), ("high", high, np.inf)):
        given = np.asarray(default if bound is None else bound, dtype=np.float64)
        try:
            out.append(np.broadcast_to(given, ensemble.features).astype(np.float64))
        except ValueError:
            raise BadInput(
                name, f"shape {given.shape} came for {ensemble.features} features", "a number or one per feature"
            ) from None
    if not (out[0] <= out[1]).all():
        raise BadInput("domain", "its low is above its high, or is NaN, somewhere", "low <= high for each feature")
    return ensemble.cast(out[0]), ensemble.cast(out[1])


def _refusal(ensemble: Ensemble, missing: str) -> str:
    """Why nothing can be said at all, or nothing."""
    if ensemble.link not in ORDER_KEEPING:
        return f"the score passes through {ensemble.link}, which does not keep order"
    if missing == "lowest" and not ensemble.takes_missing:
        return "the model refuses missing values, so there is nothing to claim about them"
    return ""


def _linear(
    ensemble: Ensemble, directions: Ints, domain: tuple[Floats, Floats], lowest: bool, refused: dict[int, str]
) -> None:
    """A linear part is monotone in a feature if its weight has the direction's sign, or is 0."""
    if ensemble.slopes is None:
        return
    low, _ = domain
    for f in np.flatnonzero(directions).tolist():
        slope = float(ensemble.slopes[f]) * int(directions[f])
        if not slope >= 0:
            refused.setdefault(f, f"its linear weight is {ensemble.slopes[f]:.4g}, against the direction")
        elif lowest and slope > 0 and not low[f] >= 0:
            # A missing value adds 0, which is above the weight times a negative number.
            refused.setdefault(f, "a missing value counts as 0 in the linear model, which is above negative numbers")


def _judge(ensemble: Ensemble, feature: int, direction: int, seen: Scan) -> FeatureProof:
    name = ensemble.names[feature]
    if (first := seen.first.get(feature)) is not None:
        reason, size = sentence(ensemble, first, direction), seen.kept[feature][0].size
        return FeatureProof(feature, name, direction, False, reason, first.tree, int(seen.count[feature]), size)
    if feature in seen.refused:
        return FeatureProof(feature, name, direction, False, seen.refused[feature])
    if ensemble.slopes is not None:
        reason = f"its linear weight is {ensemble.slopes[feature]:.4g}"
    elif feature in seen.together:
        reason = (
            f"the {seen.together[feature]} trees that look at it alone are monotone together, every other by itself"
        )
    elif (ensemble.feature == feature).any():
        reason = f"every tree is monotone in it ({ensemble.trees} in all)"
    else:
        reason = "no tree looks at it"
    return FeatureProof(feature, name, direction, True, reason)


def sentence(ensemble: Ensemble, fall: Fall, direction: int) -> str:
    """A falling pair in words: "tree 17: leaf 3 (-0.21) follows leaf 9 (0.34) when debt crosses 3.5"."""
    axis = fall.leaves.axes[fall.axis]
    nodes = fall.leaves.nodes[[fall.lower, fall.upper]]
    values = ensemble.value[nodes] * ensemble.weights[fall.tree]
    leaf = nodes - ensemble.roots[fall.tree]
    step, start = _crossing(fall)
    name = ensemble.names[axis.feature]
    bound = float(axis.bounds[step])
    bound = 0.0 if abs(bound) < 1e-30 else bound  # an end of the numbers that count as zero
    how = f"when {name} is filled in" if start else f"when {name} crosses {bound:.6g}"
    wrong = "falls" if direction > 0 else "rises"
    return (
        f"tree {fall.tree}: node {leaf[1]} ({values[1]:.4g}) follows node {leaf[0]} ({values[0]:.4g}) {how}, "
        f"so its value {wrong}"
    )


def _crossing(fall: Fall) -> tuple[int, bool]:
    """(index of the bound that is crossed, whether the lower row is missing)."""
    lower, upper = (fall.leaves.sets[fall.axis][leaf] for leaf in (fall.lower, fall.upper))
    a, b = np.flatnonzero(lower[:-1]), np.flatnonzero(upper[:-1])
    if len(a) and len(b) and a[0] < b[-1]:
        # The cells of the lower leaf that have a cell of the upper one above them.
        return int(a[a < b[-1]][-1]), False
    return 0, True


def assumptions(ensemble: Ensemble, missing: str) -> tuple[str, ...]:
    """What the claim rests on, in sentences."""
    about_missing = {
        "fixed": "A feature may be missing (NaN) if it is missing in both rows; filling it in is not a move.",
        "never": "No feature is missing (NaN).",
        "lowest": "A missing value (NaN) counts as below every number in the features that have a direction.",
    }[missing if ensemble.takes_missing else "never"]
    cast = "Rows are cast to float32 first, as the library does; that keeps order."
    kept = [
        "Every number is finite.",
        about_missing,
        "Sums are real sums of the stored leaf values. Adding floats in a fixed order keeps order as well, because "
        "each rounding does; another order of the same trees may differ in the last bits.",
        f"The trees were read from {ensemble.kind}; they count only where they predict as the model does.",
    ]
    if ensemble.inputs == "float32":
        kept.insert(1, cast)
    if ensemble.link != "identity":
        kept.append(f"The claim is about {ensemble.output}; the response is its {ensemble.link}, which keeps order.")
    return tuple(kept)
