"""How large can the mean of bounded, weighted values be? Exact bounds, at any size of the sample.

The mean of values `x` under weights `w` is the `m` for which `w (x - m)` is 0 on average. A bet that it is above `m`
turns 1 into `1 + c v (x - m) / (m - least)`, with `v` the weight as a share of the largest and a stake `c` from 0 to 1;
if the mean is `m`, or less, it wins nothing on average, so the product over independent rows exceeds `1 / alpha` with
probability `alpha` at most (Markov). The bound is where the mean of the products over a few stakes does. Waudby-Smith
and Ramdas (2024), "Estimating means of bounded random variables by betting"; for weights, Waudby-Smith, Wu, Ramdas,
Karampatziakis and Mineiro (2024), "Anytime-valid off-policy inference for contextual bandits".

Any stake is valid that does not depend on the rows themselves. The best one depends on their variance, so other rows,
which are to be like them, say how much to bet.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowbus.verdict.interval import Interval, edge

AROUND = np.array([0.5, 1.0, 2.0])
"""Stakes that are played at once, as multiples of what seems best, with equal parts."""

HIGHEST = 0.98


@dataclass(frozen=True, slots=True)
class Sample:
    """N independent values with their weights, at least 0."""

    values: NDArray[np.float64]
    weights: NDArray[np.float64]

    def mean(self) -> float:
        """The weighted mean, 0 where nothing has any weight.

        >>> Sample(np.array([1.0, 0.0]), np.array([3.0, 1.0])).mean()
        0.75
        """
        total = float(self.weights.sum())
        return float(self.weights @ self.values) / total if total > 0 else 0.0

    def turned(self) -> "Sample":
        """The same with the sign of each value changed."""
        return Sample(-self.values, self.weights)


def mean_bounds(sample: Sample, like: Sample, least: float, most: float, alpha: float) -> Interval:
    """The means that are still possible, each end with `alpha / 2`; all from `least` to `most` without any rows.

    Args:
        sample: Values from `least` to `most`.
        like: Others that are thought to be like them, and are independent of them.
        least: The smallest value there can be.
        most: The largest.
        alpha: The chance, at most, that the interval misses the mean.

    >>> sample = Sample(np.repeat([1.0, -1.0, 0.0], [60, 40, 900]), np.ones(1_000))
    >>> bounds = mean_bounds(sample, sample, -1, 1, 0.05)
    >>> round(bounds.low, 3), round(bounds.high, 3)
    (-0.01, 0.051)
    """
    if not sample.weights.max(initial=0.0) > 0:
        return Interval(least, most)
    low = _low(sample, like, least, alpha / 2)
    return Interval(low, -_low(sample.turned(), like.turned(), -most, alpha / 2))


def _low(sample: Sample, like: Sample, least: float, alpha: float) -> float:
    """The smallest mean still possible. Every factor falls as the mean grows, so bisection is exact."""
    largest = float(sample.weights.max())
    pairs = np.column_stack([sample.values, sample.weights / largest])
    # A few different values and weights stand for all rows; only how often each of them occurs matters.
    different, counts = np.unique(pairs, axis=0, return_counts=True)
    values, shares = different[:, 0], different[:, 1]
    stakes = _stakes(like, largest, least, alpha, len(pairs))
    enough = math.log(len(stakes) / alpha)

    def excluded(mean: float) -> bool:
        if mean <= least:
            return bool((values > least).any())
        gains = shares * (values - mean) / (mean - least)
        wealth = counts @ np.log1p(np.outer(gains, stakes))
        top = float(wealth.max())
        return top + math.log(float(np.exp(wealth - top).sum())) >= enough

    return edge(sample.mean(), least, excluded)


def _stakes(like: Sample, largest: float, least: float, alpha: float, count: int) -> NDArray[np.float64]:
    """What to bet on this many rows: where the expected wealth grows fastest if they are like the others."""
    mean = like.mean()
    variance = float(np.mean((like.weights / largest * (like.values - mean)) ** 2)) if len(like.values) else 0.0
    rate = math.sqrt(2 * math.log(1 / alpha) / (count * max(variance, 1 / count)))
    best = min(HIGHEST / 2, max(1e-4, (mean - least) * rate))
    return np.minimum(HIGHEST, best * AROUND)
