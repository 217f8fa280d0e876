"""Fit with all directions, with none, with each left out: what each costs, and where the data contradict one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..directions import as_directions
from ..effects._rows import as_rows, directions_of, names_of, orders_of, take, with_orders
from ..errors import BadInput
from ..progress import Progress
from ._held_out import some, values_of
from ._intervals import CONFIDENCE, holm, of_scores
from ._splits import directions_name, fitted, is_classifier, scorer_of, splits_of
from ._told import Cost, Price, warning


def price(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: int = 5,
    repeats: int = 2,
    groups: Any = None,
    sample_weight: Any = None,
    scoring: Any = None,
    alone: bool = False,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    progress: bool = False,
) -> Price:
    """What the directions of an estimator cost in its score, together and each, on held-out rows of the same splits.

    Cost of a direction: score without it (all others kept) less score with all; above 0 it costs, below 0 it helps.

    Args:
        estimator: with directions in `monotonic_cst` (scikit-learn, isotone) or `monotone_constraints` (boosters).
            It is cloned; a random state of None becomes one per split, shared by the variants.
        X: shape (n, d), an array or a DataFrame.
        y: shape (n,).
        cv: folds of each repeat; by class for classifiers.
        repeats: how often the rows are dealt out anew.
        groups: shape (n,): rows of one group are never on both sides.
        sample_weight: shape (n,), for fitting and for scoring.
        scoring: as in scikit-learn; higher is better. None is ROC AUC for two classes, R2 for numbers.
        alone: also fit with each direction as the only one.
        confidence: of the intervals.
        seed: of splits and fits.
        progress: show a bar.

    Returns:
        `Price`: print it, `plot()` it, or take its parts. It warns where two things meet: the unconstrained model moves
        against a direction by more than its spread, and the direction costs by more than chance, over all of them.

    Raises:
        BadInput: an estimator without directions, none set, rows, groups and folds that do not fit together, or a score
            that is no number (one class among held-out rows).

    Cost: `cv` * `repeats` * (directions + 2) fits; with `alone`, again as many as there are directions.
    Source: Nadeau and Bengio (Machine Learning 52, 2003), Bouckaert and Frank (PAKDD 2004) for the intervals of costs;
    Shao and Wu (Annals of Statistics 17, 1989) for those of effects; Holm (1979) over directions.

    >>> from sklearn.ensemble import HistGradientBoostingRegressor as Trees
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> found = isotone.pricing.price(Trees(monotonic_cst=[1, -1], max_iter=20), X, X[:, 0] + X[:, 1])
    >>> [cost.name for cost in found.costs], len(found.warnings)
    (['x0', 'x1'], 1)
    """
    called = directions_name(estimator)
    X, y = as_rows(X), np.asarray(y)
    names = names_of(X)
    orders = orders_of(estimator, names)
    X = with_orders(X, orders)
    stated = estimator.get_params().get(called)
    ways = as_directions(0 if stated is None else stated, len(names), names)
    directions_of([0 if j in orders else way for j, way in enumerate(ways)], X, names)
    if not any(ways):
        do = f"Set {called}, or look at isotone.suggest_directions(X, y)."
        raise BadInput("price", "an estimator without any direction came", "at least one direction would be right", do)
    if len(y) != len(X):
        raise BadInput("price", f"{len(y)} values of y came for {len(X)} rows", "one per row would be right")
    if np.ndim(getattr(estimator, "quantile", 0)) and len(estimator.quantile) > 1:
        raise BadInput("price", "several quantiles came", "one number a row would be right", "Ask level by level.")
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    classes = is_classifier(estimator)
    splits = splits_of(y, cv, repeats, groups, seed=seed, classes=classes)
    scorer, measure = scorer_of(estimator, y, scoring)
    held_ways = [j for j, way in enumerate(ways) if way]
    none = (0,) * len(ways)
    variants = {"all": ways, "none": none}
    variants |= {f"without {j}": _set(ways, j, 0) for j in held_ways}
    variants |= {f"only {j}": _set(none, j, ways[j]) for j in held_ways if alone}
    # One direction only: leaving it out is the same as none.
    fits = {directions: [] for directions in variants.values()}  # type: dict[tuple[int, ...], list[float]]
    seen = {j: values_of(X, j) for j in held_ways}
    one_number = not classes or len(np.unique(y)) == 2
    with Progress(shown=progress) as shown:
        bar, done = shown.bar("price", len(splits.pairs) * len(fits)), 0
        for at, (train, held) in enumerate(splits.pairs):
            rows, test = take(X, train), take(X, held)
            for directions, scored in fits.items():
                train_weight = None if weight is None else weight[train]
                model = fitted(estimator, called, directions, (rows, y[train], train_weight), seed + at)
                extra = {} if weight is None else {"sample_weight": weight[held]}
                scored.append(_number(scorer(model, test, y[held], **extra), at))
                if directions == none and one_number:
                    asked, asked_weight = some(X, held, weight, seed + at)
                    for j in held_ways:
                        seen[j].look(model, asked, j, asked_weight)
                bar.update(done := done + 1, f"split {at + 1} of {len(splits.pairs)}")

    def gain(more: str, less: str) -> Any:
        pairs = zip(fits[variants[more]], fits[variants[less]], strict=True)
        return of_scores([a - b for a, b in pairs], splits.ratio, confidence)

    chance = holm([gain(f"without {j}", "all").p_above_zero() for j in held_ways])
    costs, warnings = [], []
    for j, p in zip(held_ways, chance, strict=True):
        cost = Cost(
            names[j],
            ways[j],
            gain(f"without {j}", "all"),
            gain("none", f"only {j}") if alone else None,
            p,
            seen[j].whole(splits, confidence),
            seen[j].against(ways[j], splits, confidence),
        )
        costs.append(cost)
        if cost.against is not None and p < 1 - confidence:
            warnings.append(warning(cost, measure))
    return Price(
        measure,
        tuple(fits[ways]),
        tuple(fits[none]),
        gain("none", "all"),
        tuple(costs),
        tuple(warnings),
        confidence,
        f"{len(y)} rows, {cv} folds x {repeats}" + (" by group" if groups is not None else ""),
    )


def _number(score: Any, at: int) -> float:
    if not np.isfinite(score):
        do = "Are there two classes among the held-out rows? Fewer folds may help, or smaller groups."
        raise BadInput("scoring", f"{score} came for split {at + 1}", "a number would be right", do)
    return float(score)


def _set(ways: tuple[int, ...], j: int, way: int) -> tuple[int, ...]:
    return (*ways[:j], way, *ways[j + 1 :])
