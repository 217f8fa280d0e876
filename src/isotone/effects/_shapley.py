"""Shapley values of moving from one row to another, feature by feature.

For a function `value` of sets of features (those that have moved already), the Shapley value of feature i is a weighted
mean of its marginal values value(S with i) - value(S) over the sets S without i: over all sets, or over those that
sampled orders pass through.

Proof that signs agree. Let the score rise with feature i, all else fixed, and let i move upwards. Then
value(S with i) - value(S) >= 0 for every S, because the two rows differ in feature i only. The Shapley value is a mean
of such terms with weights >= 0 that sum to 1, so it is >= 0; so is a mean over any sample of orders. Downwards, or for
a falling feature, the same with <= 0. Nothing is needed of the other features: they may be free.

It holds in floating point too, where the scores are monotone there: a difference of two floats has the sign of the true
difference, and sums and products of numbers >= 0 are >= 0. So marginals are weighed, never scores with signs.

Proof that they add up. In one order of the features each set is the one before with one feature more, so the marginal
values telescope to value(all) - value(none); the Shapley value is a mean over orders, of all or of the sampled.

Source: Shapley (1953); Sundararajan and Najmi, "The many Shapley values for model explanation" (ICML 2020,
arXiv 1908.08474), section 3, BShap, and its demand monotonicity; sampled orders: Castro, Gomez and Tejada, Computers &
Operations Research 36 (2009); each order beside its reverse: Mitchell et al., JMLR 23 (2022), section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
Found = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shares:
    """Of each feature, shape (k,): its share, the standard error of it (0 where exact), its extreme marginal values."""

    share: Found
    error: Found
    least: Found
    most: Found


@dataclass(frozen=True, eq=False)
class Plan:
    """The sets to ask about, shape (m, k), and what makes shares of their m scores: many rows can be asked at once."""

    masks: Masks
    weigh: Callable[[Found], Shares]


def exact(k: int) -> Plan:
    """Over all sets. Cost: 2^k scores.

    >>> plan = exact(2)
    >>> plan.weigh(plan.masks @ np.array([1.0, 2.0]) + 3.0 * plan.masks.all(1)).share
    array([2.5, 3.5])
    """
    numbers = np.arange(2**k)
    masks = (numbers[:, None] >> np.arange(k)) & 1 == 1  # row s is the set whose bits are s
    sizes = masks.sum(1)
    # |S|! (k - |S| - 1)! / k!, the share of orders in which i comes right after S.
    weights = np.array([1.0 / (k * math.comb(k - 1, size)) for size in range(k)])

    def weigh(found: Found) -> Shares:
        share, least, most = np.zeros(k), np.zeros(k), np.zeros(k)
        for i in range(k):
            before = numbers[~masks[:, i]]
            marginal = found[before | (1 << i)] - found[before]
            share[i] = (weights[sizes[before]] * marginal).sum()
            least[i], most[i] = marginal.min(), marginal.max()
        return Shares(share, np.zeros(k), least, most)

    return Plan(masks, weigh)


def sampled(k: int, pairs: int, generator: np.random.Generator) -> Plan:
    """Over `pairs` random orders and the reverse of each. Cost: 2 * pairs * (k - 1) + 2 scores."""
    orders = np.stack([generator.permutation(k) for _ in range(pairs)])
    orders = np.concatenate([orders, orders[:, ::-1]])
    # step[o, i]: when feature i moves in order o. After t steps those with step < t have moved.
    step = np.argsort(orders, axis=1)
    inner = step[:, None, :] < np.arange(1, k)[None, :, None]  # (orders, k - 1, k)
    ends = np.stack([np.zeros(k, bool), np.ones(k, bool)])

    def weigh(found: Found) -> Shares:
        path = np.empty((len(orders), k + 1))
        path[:, 0], path[:, k], path[:, 1:k] = found[-2], found[-1], found[:-2].reshape(len(orders), k - 1)
        marginal = np.take_along_axis(np.diff(path, axis=1), step, axis=1)  # (orders, k)
        both = (marginal[:pairs] + marginal[pairs:]) / 2
        error = both.std(0, ddof=1) / math.sqrt(pairs)
        return Shares(both.mean(0), error, marginal.min(0), marginal.max(0))

    return Plan(np.concatenate([inner.reshape(-1, k), ends]), weigh)
