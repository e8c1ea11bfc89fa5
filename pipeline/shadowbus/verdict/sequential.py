"""Confidence sequences: intervals that hold at every look at once, from counts alone.

What comes in are cumulative counts or moments; what goes out is an `Interval` of the values still possible, or one end
of it. Guaranteed: with probability at least `1 - alpha` the truth is inside at every look there will ever be, however
often and for whatever reason people look or stop. Each one is a bet against a value that cannot win on average if the
value is true (a nonnegative supermartingale that starts at 1), so that by Ville's inequality it ever multiplies its
stake by `1 / alpha` with probability at most `alpha`; what it has won that much against is excluded. The functions
named `…_evidence_…` return the natural logarithm of that wealth.

Counts may be real numbers, because `needed` asks what a proportional, larger count would show.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import betainc, betaincc, betaln

from shadowbus.verdict.interval import Interval, edge

RATE_SHAPE = 0.25
"""Prior density of an alternative rate, up to a factor: `rate ** (RATE_SHAPE - 1)`. Small is sharp for small rates."""

STAKES = np.geomspace(1e-4, 0.98, 40)
"""Shares of the wealth that are bet each time, in parallel, by one mixture."""

_LOG_SHARES = np.log(np.sqrt(STAKES) / np.sqrt(STAKES).sum())
_LOG_KEPT = np.log1p(-STAKES)
FIRST_LOOK = 100
"""Fewest observations before the asymptotic interval says anything."""


def rate_evidence_below(successes: float, trials: float, limit: float) -> float:
    """Log wealth of the bet that a rate is below a limit; large when 'the rate is at least the limit' is untenable.

    A beta-binomial mixture over the rates below the limit (the prior is Beta(a, 1), cut off at the limit, a = 0.25):
    `a B(a+s, n-s+1) I_limit(a+s, n-s+1) / (limit^(a+s) (1-limit)^(n-s))`. One-sided version of Robbins (1970) as in
    Howard, Ramdas, McAuliffe & Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence sequences".

    >>> round(math.exp(rate_evidence_below(0, 3_500, 0.001)), 1)
    21.9
    """
    if not 0.0 < limit < 1.0:
        return -math.inf if limit <= 0.0 else math.inf
    shape, misses = RATE_SHAPE + successes, trials - successes
    share = float(betainc(shape, misses + 1, limit))
    if share == 0.0:  # the limit is far below what was seen
        return -math.inf
    mixture = math.log(RATE_SHAPE) + math.log(share) + float(betaln(shape, misses + 1))
    return mixture - shape * math.log(limit) - misses * math.log1p(-limit)


def rate_evidence_above(successes: float, trials: float, limit: float) -> float:
    """Log wealth of the bet that a rate is above a limit; large when 'the rate is at most the limit' is untenable.

    As `rate_evidence_below`, with the same prior cut off on the other side of the limit.

    >>> round(math.exp(rate_evidence_above(10, 200, 0.01)), 0)
    515.0
    """
    if not 0.0 < limit < 1.0:
        return math.inf if limit <= 0.0 and successes > 0 else -math.inf
    shape, misses = RATE_SHAPE + successes, trials - successes
    share = float(betaincc(shape, misses + 1, limit))
    if share == 0.0:  # the limit is far above what was seen
        return -math.inf
    prior = -math.expm1(RATE_SHAPE * math.log(limit))
    mixture = math.log(RATE_SHAPE / prior) + math.log(share) + float(betaln(shape, misses + 1))
    return mixture - successes * math.log(limit) - misses * math.log1p(-limit)


def rate_high(successes: float, trials: float, alpha: float) -> float:
    """The largest rate still possible; above the true rate at all looks with probability `1 - alpha`.

    The wealth against a limit grows with the limit wherever it exceeds 1 (docs/decisions/0003), hence bisection.

    Raises:
        ValueError: Not `0 <= successes <= trials`, or not `0 < alpha < 1`.

    >>> round(rate_high(0, 10_000, 0.05), 6)
    0.00034
    """
    _check(successes, trials - successes, alpha)
    enough, seen = -math.log(alpha), successes / trials if trials else 0.0
    return edge(seen, 1.0, lambda limit: rate_evidence_below(successes, trials, limit) >= enough)


def rate_low(successes: float, trials: float, alpha: float) -> float:
    """The smallest rate still possible; below the true rate at all looks with probability `1 - alpha`.

    Raises:
        ValueError: Not `0 <= successes <= trials`, or not `0 < alpha < 1`.

    >>> rate_low(0, 10_000, 0.05), round(rate_low(100, 10_000, 0.05), 4)
    (0.0, 0.0068)
    """
    _check(successes, trials - successes, alpha)
    enough, seen = -math.log(alpha), successes / trials if trials else 1.0
    return edge(seen, 0.0, lambda limit: rate_evidence_above(successes, trials, limit) >= enough)


def rate_interval(successes: float, trials: float, alpha: float) -> Interval:
    """A confidence sequence for a rate between 0 and 1 (both ends at `alpha / 2`).

    Raises:
        ValueError: Not `0 <= successes <= trials`, or not `0 < alpha < 1`.

    >>> rate_interval(0, 0, 0.05)
    Interval(low=0.0, high=1.0)
    """
    return Interval(rate_low(successes, trials, alpha / 2), rate_high(successes, trials, alpha / 2))


def paired_evidence_above(shadow_only: float, live_only: float, trials: float, limit: float) -> float:
    """Log wealth of the bet that the shadow's accuracy minus the live accuracy is above a limit.

    Each label is worth +1 (only the shadow was right), -1 (only the live model was) or 0. With `y = (1 + x) / 2` and
    its mean `mu` under the limit, a stake `c` turns 1 into `(1 - c) + c y / mu`; the wealth is the mean over `STAKES`
    of the products, which need only the three counts. Waudby-Smith & Ramdas (2024), "Estimating means of bounded
    random variables by betting"; `c = lambda (1 + limit)` in their notation.

    >>> round(math.exp(paired_evidence_above(60, 40, 1_000, -0.01)), 1)
    19.5
    """
    if not -1.0 < limit < 1.0:
        return math.inf if limit <= -1.0 else -math.inf
    mean, ties = (1.0 + limit) / 2, trials - shadow_only - live_only
    won, tied = np.log1p(STAKES * (1 / mean - 1)), np.log1p(STAKES * (0.5 / mean - 1))
    wealth = shadow_only * won + ties * tied + live_only * _LOG_KEPT + _LOG_SHARES
    top = float(wealth.max())
    return top + math.log(float(np.exp(wealth - top).sum()))


def paired_low(shadow_only: float, live_only: float, trials: float, alpha: float) -> float:
    """The smallest accuracy difference (shadow minus live) still possible, between -1 and 1.

    Every factor of the wealth falls as the limit grows, whatever the stake, so the wealth does too: bisection is exact.

    Raises:
        ValueError: The counts are negative or exceed the trials, or not `0 < alpha < 1`.

    >>> round(paired_low(60, 40, 1_000, 0.05), 4), round(paired_low(0, 0, 1_000, 0.05), 4)
    (-0.0101, -0.0048)
    """
    _check(shadow_only, trials - shadow_only - live_only, alpha)
    _check(live_only, trials, alpha)
    enough, seen = -math.log(alpha), (shadow_only - live_only) / trials if trials else 1.0
    return edge(seen, -1.0, lambda limit: paired_evidence_above(shadow_only, live_only, trials, limit) >= enough)


def paired_high(shadow_only: float, live_only: float, trials: float, alpha: float) -> float:
    """The largest accuracy difference (shadow minus live) still possible: `paired_low` with the models swapped.

    Raises:
        ValueError: The counts are negative or exceed the trials, or not `0 < alpha < 1`.

    >>> round(paired_high(60, 40, 1_000, 0.05), 4)
    0.0511
    """
    return -paired_low(live_only, shadow_only, trials, alpha)


def paired_difference_interval(shadow_only: float, live_only: float, trials: float, alpha: float) -> Interval:
    """A confidence sequence for accuracy of the shadow minus accuracy of the live model (both ends at `alpha / 2`).

    Raises:
        ValueError: The counts are negative or exceed the trials, or not `0 < alpha < 1`.

    >>> paired_difference_interval(0, 0, 0, 0.05)
    Interval(low=-1.0, high=1.0)
    """
    low = paired_low(shadow_only, live_only, trials, alpha / 2)
    return Interval(low, paired_high(shadow_only, live_only, trials, alpha / 2))


def mean_interval(n: float, mean: float, m2: float, alpha: float, optimal_n: float = 2_000) -> Interval:
    """An asymptotic confidence sequence for a mean, in the unit of the observations.

    Valid in the limit, as a t-interval is, but at all looks: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024),
    "Time-uniform central limit theory and asymptotic confidence sequences". Unbounded before `FIRST_LOOK` observations
    and while nothing has varied; too narrow where rare, large values carry the mean.

    Args:
        n: Observations.
        mean: Their mean.
        m2: The sum of their squared deviations from the mean.
        alpha: The chance, at most, of ever missing the truth.
        optimal_n: The number of observations at which the interval is to be narrowest.

    Raises:
        ValueError: A negative count or sum of squares, or not `0 < alpha < 1`.

    >>> interval = mean_interval(2_000, 0.5, 2_000.0, 0.05)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.432, 0.568)
    """
    _check(n, m2, alpha)
    if n < FIRST_LOOK or m2 <= 0.0:
        return Interval(-math.inf, math.inf)
    tightness = (-2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))) / optimal_n
    spread = n * tightness + 1
    half = math.sqrt(m2 / n * 2 * spread / (n * n * tightness) * math.log(math.sqrt(spread) / alpha))
    return Interval(mean - half, mean + half)


def needed(trials: int, decided: Callable[[float], bool], most: int = 10**9) -> int | None:
    """How many more trials until a question is decided, if everything goes on in the present proportions.

    Args:
        trials: How many there are.
        decided: Whether so many trials in all would decide it. In fixed proportions each wealth above is an average of
            exponentials of the trials, hence convex: once it has won enough it stays so, and bisection is exact.
        most: Where to stop looking.

    Returns:
        The smallest number of additional trials, or None when even `most` trials would not do.

    >>> needed(1_000, lambda n: rate_evidence_below(0, n, 0.001) >= math.log(20))
    2402
    """
    undecided, enough = trials, max(1, trials)
    while not decided(enough):
        undecided, enough = enough, 2 * enough
        if undecided >= most:
            return None
    while enough - undecided > 1:
        middle = (undecided + enough) // 2
        if decided(middle):
            enough = middle
        else:
            undecided = middle
    return enough - trials


def _check(count: float, others: float, alpha: float) -> None:
    if not (count >= 0 and others >= 0 and 0.0 < alpha < 1.0):
        raise ValueError("Counts must not be negative, a part not above its whole, and alpha between 0 and 1.")
