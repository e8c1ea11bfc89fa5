"""How large a test of a fixed size has to be, with 80 % power, to find an effect: the measure of every method here."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

POWER = 0.8


def for_rate(limit: float, rate: float, alpha: float) -> int:
    """The smallest size at which the exact one-sided binomial test finds the rate on its side of the limit.

    >>> for_rate(0.01, 0.0, 0.05)
    299
    """
    rough = for_mean(rate - limit, math.sqrt(limit * (1 - limit)), math.sqrt(rate * (1 - rate)), alpha)
    sizes = np.arange(max(2, rough // 4), 12 * rough)
    if rate < limit:
        near = np.asarray(stats.binom.ppf(alpha, sizes, limit), float)
        most = near - (stats.binom.cdf(near, sizes, limit) > alpha)
        power = np.asarray(stats.binom.cdf(most, sizes, rate), float)
    else:
        power = np.asarray(stats.binom.sf(stats.binom.isf(alpha, sizes, limit), sizes, rate), float)
    return int(sizes[np.argmax(power >= POWER)])


def for_mean(away: float, spread_at_limit: float, spread: float, alpha: float) -> int:
    """The size of a one-sided z test.

    Args:
        away: How far the mean is from the limit.
        spread_at_limit: Standard deviation of one observation if the mean were at the limit.
        spread: Standard deviation of one observation.
        alpha: Of the test.

    >>> for_mean(0.01, 0.1, 0.1, 0.05)
    619
    """
    root = float(stats.norm.isf(alpha)) * spread_at_limit + float(stats.norm.ppf(POWER)) * spread
    return math.ceil((root / away) ** 2)


def for_difference(limit: float, better: float, apart: float, alpha: float) -> int:
    """The size of the exact one-sided test of a difference of paired accuracies, where `apart` is known.

    The test counts wins minus losses and knows, unlike the gate, which share of labels tells the models apart. The
    usual z test of the same size says yes too often where that share is not much above the limit.

    >>> for_difference(-0.01, 0.0, 0.06, 0.05)
    3728
    """
    rough = for_mean(better - limit, math.sqrt(apart - limit**2), math.sqrt(apart - better**2), alpha)
    small, large = rough // 2, 2 * rough
    while large - small > 1:
        middle = (small + large) // 2
        least = int(np.argmax(_at_least(limit, apart, middle) <= alpha))
        if _at_least(better, apart, middle)[least] >= POWER:
            large = middle
        else:
            small = middle
    return large


def _at_least(better: float, apart: float, size: int) -> NDArray[np.float64]:
    """The chance of at least `k - size` more wins than losses, at place `k`."""
    one = [(apart - better) / 2, 1 - apart, (apart + better) / 2]
    share = np.fft.irfft(np.fft.rfft(one, 2 * size + 1) ** size, 2 * size + 1)
    return np.maximum(share, 0.0)[::-1].cumsum()[::-1]
