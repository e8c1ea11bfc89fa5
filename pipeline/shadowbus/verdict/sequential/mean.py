"""Confidence sequences for a mean that is not a share: losses, values, latencies, each shadow minus live.

What comes in are n, the mean, and the sum of squared deviations; two methods, and the caller knows which fits:

- `bounded_…`, where no observation can be further from 0 than a known reach (a value from a cost matrix, a Brier
  score). Guaranteed at any size, and under drift and dependence as the bets on rates are.
- `mean_…`, where nothing bounds them (log loss, squared error). Right in the limit only, as a t-interval is: the more
  the mean rests on rare, large values, the later. `benchmarks/gate/results.md` has the misses.
"""

import math

import numpy as np

from shadowbus.verdict.interval import Interval, edge
from shadowbus.verdict.sequential.horizon import check
from shadowbus.verdict.sequential.mixture import Array, Mixture, log_average, mixture
from shadowbus.verdict.sequential.paired import stakes

FIRST_LOOK = 300
"""Fewest observations before an unbounded mean says anything."""

USUAL = 0.05
"""The effect that should be seen soonest where nobody says, in standard deviations."""

FLAT = 1e-9
"""Observations that differ by no more than this part of their size do not differ: what is left is rounding."""

_MOST = 3 / math.sqrt(FIRST_LOOK)
_ANYWHERE = np.geomspace(1e-4, _MOST, 30)
_STAKES = mixture((np.geomspace(0.3, 6.0, 15), np.ones(15), 0.8), (_ANYWHERE, np.sqrt(_ANYWHERE), 0.2))
_TUNED = slice(0, 15)


def mean_wealth(n: Array, mean: Array, m2: Array, limit: float, effect: float | None = None) -> Array:
    """Log wealth of the bet that an unbounded mean is above a limit, for many sums at once.

    Args:
        n: Observations, of any shape.
        mean: Their means, of the same shape.
        m2: The sums of their squared deviations from the mean, of the same shape.
        limit: In the unit of the observations.
        effect: How far from the limit an answer should come soonest; None: a twentieth of a standard deviation.

    Returns:
        Minus infinity before `FIRST_LOOK` observations. Where nothing varies, which is the limit of less and less
        spread: infinity above the limit, and minus infinity at and below it.
    """
    ready, flat = n >= FIRST_LOOK, m2 <= np.square(FLAT * mean) * n
    seen = np.where(ready, n, 1.0)
    spread = np.sqrt(np.where(ready & ~flat, m2, 1.0) / seen)
    bets = np.broadcast_to(_STAKES.points, (*spread.shape, len(_STAKES.points))).copy()
    bets[..., _TUNED] *= np.asarray(USUAL if effect is None else effect / spread)[..., None]
    np.minimum(bets, _MOST, out=bets)
    ahead = ((mean - limit) / spread)[..., None]
    wealth = log_average(seen[..., None] * bets * (ahead - bets / 2), _STAKES.log_shares)
    wealth = np.where(flat, np.where(mean > limit, np.inf, -np.inf), wealth)
    return np.where(ready, wealth, -np.inf)


def mean_evidence_above(n: float, mean: float, m2: float, limit: float, effect: float | None = None) -> float:
    """Log wealth, in the limit of many observations, of the bet that a mean is above a limit.

    A mixture of `exp(t z - t^2 n / 2)` over stakes `t` per standard deviation, with the observed standard deviation:
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
    sequences", with a prior around `effect` in place of a normal one, and no stake above 0.17, so that early, skewed
    sums decide less.

    >>> round(math.exp(mean_evidence_above(2_000, 0.07, 2_000.0, 0.0)), 1)
    37.0
    """
    return float(mean_wealth(np.asarray(n, float), np.asarray(mean, float), np.asarray(m2, float), limit, effect))


def mean_low(n: float, mean: float, m2: float, alpha: float, effect: float | None = None) -> float:
    """The smallest mean still possible, in the unit of the observations; each bet falls as the limit grows.

    Where `FIRST_LOOK` observations or more were all the same, that is the mean, but for rounding: two models that never
    differed do not differ.

    Raises:
        ValueError: A negative count or sum of squares, or not `0 < alpha < 1`.

    >>> round(mean_low(2_000, 0.5, 2_000.0, 0.05), 3), mean_low(299, 0.5, 299.0, 0.05), mean_low(2_000, 0.0, 0.0, 0.05)
    (0.435, -inf, 0.0)
    """
    check(n, m2, alpha)
    if n < FIRST_LOOK or not (math.isfinite(mean) and math.isfinite(m2)):
        return -math.inf
    if m2 <= (FLAT * mean) ** 2 * n:
        return mean - FLAT * abs(mean)
    enough, furthest = -math.log(alpha), mean - math.sqrt(m2 / n)
    while mean_evidence_above(n, mean, m2, furthest, effect) < enough:
        furthest = mean - 2 * (mean - furthest)
    return edge(mean, furthest, lambda limit: mean_evidence_above(n, mean, m2, limit, effect) >= enough)


def mean_high(n: float, mean: float, m2: float, alpha: float, effect: float | None = None) -> float:
    """The largest mean still possible: `mean_low` of the observations with their signs turned.

    Raises:
        ValueError: A negative count or sum of squares, or not `0 < alpha < 1`.

    >>> round(mean_high(2_000, 0.5, 2_000.0, 0.05), 3)
    0.565
    """
    return -mean_low(n, -mean, m2, alpha, effect)


def mean_interval(n: float, mean: float, m2: float, alpha: float, effect: float | None = None) -> Interval:
    """An asymptotic confidence sequence for a mean, in the unit of the observations (both ends at `alpha / 2`).

    Raises:
        ValueError: A negative count or sum of squares, or not `0 < alpha < 1`.

    >>> mean_interval(299, 0.5, 299.0, 0.05)
    Interval(low=-inf, high=inf)
    """
    return Interval(mean_low(n, mean, m2, alpha / 2, effect), mean_high(n, mean, m2, alpha / 2, effect))


def bounded_wealth(n: Array, mean: Array, m2: Array, limit: float, reach: float, bets: Mixture) -> Array:
    """Log wealth of the bet that a bounded mean is above a limit, for many sums at once.

    Args:
        n: Observations, of any shape.
        mean: Their means, of the same shape.
        m2: The sums of their squared deviations from the mean, of the same shape.
        limit: In the unit of the observations.
        reach: No observation is below `-reach`.
        bets: `stakes` of the effect that should be seen soonest, as a part of the reach.
    """
    won, risked = n * (mean - limit) / reach, (m2 + n * mean * mean) / reach**2
    price = -np.log1p(-bets.points) - bets.points
    return log_average(np.multiply.outer(won, bets.points) - np.multiply.outer(risked, price), bets.log_shares)


def bounded_evidence_above(n: float, mean: float, m2: float, limit: float, reach: float, effect: float) -> float:
    """Log wealth of the bet that a mean is above a limit, where no observation is below `-reach`.

    For `x >= -1` and a stake `c`, `exp(c x - (-log(1 - c) - c) x^2) <= 1 + c x` (Fan, Grama & Liu 2015, "Exponential
    inequalities for martingales with applications"), so the bet loses on average while the mean is below the limit:
    the empirical-Bernstein sequence of Howard, Ramdas, McAuliffe & Sekhon (2021), centred at 0, which needs sums only.

    >>> round(math.exp(bounded_evidence_above(1_000, 0.02, 99.6, -0.01, 1.0, 0.01)), 1)
    10.8
    """
    bets = stakes(effect / reach)
    return float(
        bounded_wealth(np.asarray(n, float), np.asarray(mean, float), np.asarray(m2, float), limit, reach, bets)
    )


def bounded_low(n: float, mean: float, m2: float, alpha: float, reach: float, effect: float) -> float:
    """The smallest mean still possible, at least `-reach`; each bet falls as the limit grows.

    Raises:
        ValueError: A negative count or sum of squares, an observation beyond the reach, or not `0 < alpha < 1`.

    >>> round(bounded_low(1_000, 0.02, 99.6, 0.05, 1.0, 0.01), 4), bounded_low(0, 0.0, 0.0, 0.05, 1.0, 0.01)
    (-0.013, -1.0)
    """
    check(n, m2, alpha)
    check(reach - abs(mean), reach * reach * n * (1 + 1e-9) - m2, alpha)
    enough, seen = -math.log(alpha), mean if n else reach
    return edge(seen, -reach, lambda limit: bounded_evidence_above(n, mean, m2, limit, reach, effect) >= enough)


def bounded_high(n: float, mean: float, m2: float, alpha: float, reach: float, effect: float) -> float:
    """The largest mean still possible, at most `reach`: `bounded_low` with the signs turned.

    Raises:
        ValueError: A negative count or sum of squares, an observation beyond the reach, or not `0 < alpha < 1`.

    >>> round(bounded_high(1_000, 0.02, 99.6, 0.05, 1.0, 0.01), 4)
    0.053
    """
    return -bounded_low(n, -mean, m2, alpha, reach, effect)
