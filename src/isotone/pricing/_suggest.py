"""Which way each feature seems to move y, by three kinds of evidence that all have to agree.

- the rank correlation with y, alone, and given the ranks of all other features;
- what an unconstrained model does on rows that it was not fitted on, and for how many of them;
- over all features at once (Holm), and never more than a suggestion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..effects._rows import as_rows, cells, names_of, order_of, plain, take, words_as_categories
from ..errors import BadInput, require
from ..progress import Progress
from ._held_out import some, values_of
from ._intervals import CONFIDENCE, Estimate, holm
from ._splits import fitted, is_classifier, splits_of
from ._suggestions import Suggested, SuggestedDirections

Array = NDArray[np.float64]
SHARE = 0.9  # of held-out rows have to move the same way
LEVELS = 20  # an unordered column with more values than that is not among the others that are given


def suggest_directions(
    X: Any,
    y: Any,
    *,
    estimator: Any = None,
    cv: int = 5,
    repeats: int = 2,
    groups: Any = None,
    sample_weight: Any = None,
    share: float = SHARE,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    progress: bool = False,
) -> SuggestedDirections:
    """For each feature the direction that the data suggest, with the evidence, or why they suggest none.

    A direction is suggested where the partial rank correlation and the mean effect of an unconstrained model both
    differ from 0 the same way beyond chance (Holm over features), at least `share` of the held-out rows move that way,
    no part of the mean effect clearly moves the other way, and the plain correlation does not clearly have the other
    sign.

    Args:
        X: shape (n, d), an array or a DataFrame; columns without an order get no direction.
        y: shape (n,), numbers or two classes.
        estimator: the unconstrained model; None is scikit-learn's histogram gradient boosting.
        cv: folds of each repeat.
        repeats: how often rows are dealt out anew.
        groups: shape (n,), rows of one group are never on both sides. Correlations take rows as they are: with groups
            their intervals are too narrow, and the model's effect has to carry the evidence.
        sample_weight: shape (n,), for fits and mean effects; rank correlations are without weights.
        share: of held-out rows that have to move one way.
        confidence: of intervals, and 1 - confidence is the error rate over all features.
        seed: of splits and fits.
        progress: show a bar.

    Raises:
        BadInput: y of more than two classes, or rows and folds that do not fit together.

    Cost: `cv` * `repeats` fits, and 15 scores per feature and held-out row, of 400 a split.
    Source: Bonett and Wright (Psychometrika 65, 2000) for the interval of Spearman's correlation; Shao and Wu (Annals
    of Statistics 17, 1989) for that of effects; Holm (1979).

    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> isotone.pricing.suggest_directions(X, np.tanh(2 * X[:, 0]) + X[:, 1] ** 2).directions
    {'x0': 1}
    """
    X, y = as_rows(X), np.asarray(y)
    names = names_of(X)
    if len(y) != len(X):
        raise BadInput("suggest_directions", f"{len(y)} values of y came for {len(X)} rows", "one per row is right")
    estimator, classes, target = _asked(estimator, X, y, seed)
    X = words_as_categories(X)
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    splits = splits_of(y, cv, repeats, groups, seed=seed, classes=classes)
    plain_rank, partial_rank = _rank_correlations(X, target, confidence)
    seen = {j: values_of(X, j) for j in plain_rank}
    with Progress(shown=progress) as shown:
        bar = shown.bar("directions", len(splits.pairs))
        for at, (train, held) in enumerate(splits.pairs):
            train_weight = None if weight is None else weight[train]
            model = fitted(estimator, "", (), (take(X, train), y[train], train_weight), seed + at)
            rows, row_weight = some(X, held, weight, seed + at)
            for j, record in seen.items():
                record.look(model, rows, j, row_weight)
            bar.update(at + 1)
    effects = {j: record.whole(splits, confidence) for j, record in seen.items()}
    told = [j for j in seen if effects[j] is not None and j in partial_rank]
    by_effect = holm([effects[j].change.p_not_zero() for j in told])  # type: ignore[union-attr]
    by_rank = holm([_p(partial_rank[j]) for j in told])
    chance = {j: max(a, b) for j, a, b in zip(told, by_effect, by_rank, strict=True)}
    found = []
    for j, name in enumerate(names):
        if j not in chance:
            why = "its values have no order" if j not in plain_rank else "constant, or tied to the other features"
            found.append(Suggested(name, 0, why, plain_rank.get(j), None, None, 0.0, 1.0))
            continue
        effect, record = effects[j], seen[j]
        assert effect is not None
        way = 1 if effect.change.mean > 0 else -1
        against = record.against(way, splits, confidence)
        why = _doubt(
            way,
            chance=chance[j],
            moving=record.share(way),
            alone=plain_rank[j],
            partial=partial_rank[j],
            against=against,
            share=share,
            level=1 - confidence,
        )
        found.append(
            Suggested(
                name, 0 if why else way, why, plain_rank[j], partial_rank[j], effect, record.share(way), chance[j]
            )
        )
    about = f"{len(y)} rows, {cv} folds x {repeats}" + (" by group" if groups is not None else "")
    return SuggestedDirections(tuple(found), confidence, about)


def _doubt(
    way: int,
    *,
    chance: float,
    moving: float,
    alone: Estimate,
    partial: Estimate,
    against: Any,
    share: float,
    level: float,
) -> str:
    """Why the evidence is not clear; empty if it is."""
    if chance >= level:
        return "no more than chance would show"
    if partial.mean * way < 0:
        return "the model and the partial correlation have different signs"
    if (alone.high if way > 0 else -alone.low) < 0:
        return "alone it goes with y the other way than given the other features"
    if against is not None:
        return "its effect rises and falls"
    return "" if moving >= share else f"only {moving:.0%} of the rows move this way"


def _asked(estimator: Any, X: Any, y: NDArray[Any], seed: int) -> tuple[Any, bool, Array]:
    """The model, whether it classifies, and y as numbers."""
    values = np.unique(y)
    if estimator is None:
        classes = len(values) == 2 or y.dtype.kind not in "iuf"
        trees = require("sklearn.ensemble", "tables")
        kind = trees.HistGradientBoostingClassifier if classes else trees.HistGradientBoostingRegressor
        categories = "from_dtype" if hasattr(X, "dtypes") and hasattr(X, "iloc") else None
        estimator = kind(early_stopping=False, random_state=seed, categorical_features=categories, max_iter=60)
    classes = is_classifier(estimator)
    if classes and len(values) != 2:
        right = "numbers, or two classes, would be right"
        raise BadInput("suggest_directions", f"y of {len(values)} classes came", right, "Ask class by class.")
    return estimator, classes, (y == values[-1]).astype(float) if classes else y.astype(np.float64)


def _rank_correlations(X: Any, y: Array, confidence: float) -> tuple[dict[int, Estimate], dict[int, Estimate]]:
    """Spearman's correlation of each ordered column with y, alone and given all other columns."""
    rank = require("scipy.stats", "tables").rankdata
    ordered, others = {}, []
    for j in range(X.shape[1]):
        order = order_of(X, j)
        if order is not None:
            gone = np.isnan(order)
            ordered[j] = rank(np.where(gone, np.median(order[~gone]) if not gone.all() else 0.0, order))
        else:
            told = np.array([str(plain(cell)) for cell in cells(X, j)])
            levels = np.unique(told)
            others += [(told == level).astype(float) for level in levels[1:]] if len(levels) <= LEVELS else []
    target = rank(y)
    steady = np.stack([*ordered.values(), *others, np.ones(len(y))], axis=1)
    alone, partial = {}, {}
    for at, (j, ranks) in enumerate(ordered.items()):
        if ranks.std() == 0:
            alone[j] = Estimate(0.0, -1.0, 1.0, 0.0, 0)
            continue
        alone[j] = _correlation(ranks, target, len(y) - 3, confidence)
        rest = np.delete(steady, at, axis=1)
        left = np.stack([ranks, target], axis=1)
        left = left - rest @ np.linalg.lstsq(rest, left, rcond=None)[0]
        free = len(y) - 2 - rest.shape[1]
        if free > 3 and left[:, 0].std() > 1e-6 * ranks.std():
            partial[j] = _correlation(left[:, 0], left[:, 1], free, confidence)
    return alone, partial


def _correlation(a: Array, b: Array, free: int, confidence: float) -> Estimate:
    """A correlation of ranks with its interval, by Fisher's z with the variance of Bonett and Wright."""
    size = float(a.std() * b.std())
    r = float(np.clip(((a - a.mean()) * (b - b.mean())).mean() / size, -1, 1)) if size > 0 else 0.0
    error = float(np.sqrt((1 + r * r / 2) / free))
    reach = float(require("scipy.stats", "tables").norm.ppf((1 + confidence) / 2)) * error
    z = float(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))
    return Estimate(r, float(np.tanh(z - reach)), float(np.tanh(z + reach)), error, free)


def _p(correlation: Estimate) -> float:
    """Two-sided p-value of 'the correlation is 0'; under it the variance of z is 1 / free."""
    z = np.arctanh(np.clip(correlation.mean, -1 + 1e-12, 1 - 1e-12))
    return float(2 * require("scipy.stats", "tables").norm.sf(abs(z) * np.sqrt(max(correlation.freedom, 1))))
