"""Where the numbers of a column are counted from, so that float32, in which networks compute, can tell them apart.

Times in milliseconds within a minute, or account numbers, differ by less than float32 resolves at their size: as they
stand they would all be one. Counted from their median in float64 they differ; a rounded difference keeps x <= y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Half a bit of float32 at 1,000 times the spread is 3e-5 of the spread.
_FAR = 1_000
_LARGEST = 1e30  # differences stay finite in float32


def zero_of(values: Floats, weight: Floats | None = None) -> float:
    """The median where the middle half of the weight is narrow beside it (by 1,000 times), else 0.

    Args:
        values: shape (rows,), finite, at least one.
        weight: shape (rows,), positive; None: 1 each.

    >>> zero_of(1.7e12 + np.arange(5.0)), zero_of(np.arange(5.0))
    (1700000000002.0, 0.0)
    """
    low, middle, high = weighted_quantiles(values, np.ones(len(values)) if weight is None else weight, _QUARTERS)
    wide = high - low or float(values.max() - values.min())
    return middle if 0 < _FAR * wide < abs(middle) < _LARGEST else 0.0


_QUARTERS = (0.25, 0.5, 0.75)


def weighted_quantiles(values: Floats, weight: Floats, shares: Sequence[float]) -> list[float]:
    """The least values at or below which these shares of the weight lie; whole weights count as repeated values.

    >>> weighted_quantiles(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 3.0]), [0.5])
    [2.0]
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = np.searchsorted(reached, reached[-1] * np.array(shares))
    return [float(value) for value in values[order][at]]
