"""How large can the mean of bounded, weighted values be? Exact bounds, at any size of the sample.

The mean of values `x` under weights `w` is the `m` for which `w (x - m)` is 0 on average. A bet that it is above `m`
turns 1 into `1 + c v (x - m) / (m - least)`, with `v` the weight as a share of the largest and a stake `c` from 0 to 1;
if the mean is `m`, or less, it wins nothing on average, so the product over independent rows exceeds `1 / alpha` with
probability `alpha` at most (Ville). The bound is where the mean over `STAKES` of the products does. Waudby-Smith and
Ramdas (2024), "Estimating means of bounded random variables by betting"; for weights, Waudby-Smith, Wu, Ramdas,
Karampatziakis and Mineiro (2024), "Anytime-valid off-policy inference for contextual bandits".
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shadowbus.verdict.interval import Interval, edge

STAKES = np.geomspace(1e-3, 0.98, 40)
"""Shares of the wealth that are bet each time, in parallel, by one mixture with equal parts."""


def mean_bounds(
    values: Sequence[float] | NDArray[np.float64],
    weights: Sequence[float] | NDArray[np.float64],
    least: float,
    most: float,
    alpha: float,
) -> Interval:
    """The means that are still possible, each end with `alpha / 2`; all from `least` to `most` without any rows.

    Args:
        values: N independent values from `least` to `most`.
        weights: Their n weights, at least 0.
        least: The smallest value there can be.
        most: The largest.
        alpha: The chance, at most, that the interval misses the mean.

    >>> bounds = mean_bounds([1.0] * 60 + [-1.0] * 40 + [0.0] * 900, [1.0] * 1000, -1, 1, 0.05)
    >>> round(bounds.low, 3), round(bounds.high, 3)
    (-0.014, 0.056)
    """
    weights = np.asarray(weights, np.float64)
    largest = float(weights.max(initial=0.0))
    if largest <= 0:
        return Interval(least, most)
    pairs = np.column_stack([np.asarray(values, np.float64), weights / largest])
    # A few different values and weights stand for all rows; only how often each of them occurs matters.
    different, counts = np.unique(pairs, axis=0, return_counts=True)
    at, shares = different[:, 0], different[:, 1]
    low = _low(at, shares, counts, least, alpha / 2)
    return Interval(low, -_low(-at, shares, counts, -most, alpha / 2))


def _low(
    values: NDArray[np.float64], shares: NDArray[np.float64], counts: NDArray[np.int64], least: float, alpha: float
) -> float:
    """The smallest mean still possible. Every factor falls as the mean grows, so bisection is exact."""
    enough, each = math.log(len(STAKES) / alpha), shares * counts

    def excluded(mean: float) -> bool:
        if mean <= least:
            return bool((values > least).any())
        gains = shares * (values - mean) / (mean - least)
        wealth = counts @ np.log1p(np.outer(gains, STAKES))
        top = float(wealth.max())
        return top + math.log(float(np.exp(wealth - top).sum())) >= enough

    return edge(float(values @ each / each.sum()), least, excluded)
