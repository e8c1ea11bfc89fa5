"""Confidence sequences for a rate: errors, answers over the latency budget, disagreements.

A mixture of likelihood ratios against the limit. Each bet names an alternative as a multiple of the limit, so one
mixture serves every limit. Guaranteed also where the chance of a success changes from request to request and depends on
the past, as long as it stays, on the average so far, on the other side of the limit (docs/decisions/0017).
"""

import functools
import math

import numpy as np

from shadowbus.verdict.interval import Interval, edge
from shadowbus.verdict.sequential.horizon import check
from shadowbus.verdict.sequential.mixture import Array, Mixture, log_average, mixture

_GAPS = np.geomspace(1e-4, 1.0, 40)

BELOW = mixture(
    ([0.001], [1], 0.45),
    (np.linspace(0.15, 0.75, 8), np.ones(8), 0.4),
    (np.exp(-7 * _GAPS), np.sqrt(_GAPS), 0.15),
)
"""Alternatives below a limit, as multiples of it: next to none, a fair part, anything down to a thousandth."""

ABOVE = mixture(
    (np.geomspace(1.3, 4.0, 10), np.ones(10), 0.7),
    (np.exp(4 * _GAPS), np.sqrt(_GAPS), 0.3),
)
"""Alternatives above a limit: a few times the limit, and up to 55 times, so that one failure alone decides nothing."""


def rate_wealth(successes: Array, trials: Array, limit: float, alternatives: Mixture) -> Array:
    """Log wealth of the bet on a mixture of alternatives to a limit, for many counts at once.

    Args:
        successes: Any shape.
        trials: Of the same shape, or one that fits it.
        limit: Strictly between 0 and 1.
        alternatives: `BELOW` or `ABOVE`. Those that would be a rate of 1 or more have lost their share.
    """
    possible = alternatives.points * limit < 1.0
    ratio = alternatives.points[possible]
    won, lost = np.log(ratio), np.log1p(-ratio * limit) - math.log1p(-limit)
    wealth = np.multiply.outer(successes, won) + np.multiply.outer(trials - successes, lost)
    return log_average(wealth, alternatives.log_shares[possible])


def rate_evidence_below(successes: float, trials: float, limit: float) -> float:
    """Log wealth of the bet that a rate is below a limit; large when 'the rate is at least the limit' is untenable.

    A mixture of likelihood ratios, Robbins (1970), "Statistical methods related to the law of the iterated logarithm",
    with the discrete prior `BELOW` in place of a beta density.

    >>> round(math.exp(rate_evidence_below(0, 3_500, 0.001)), 1)
    21.1
    """
    if not 0.0 < limit < 1.0:
        return -math.inf if limit <= 0.0 else math.inf
    return float(rate_wealth(np.asarray(successes, float), np.asarray(trials, float), limit, BELOW))


def rate_evidence_above(successes: float, trials: float, limit: float) -> float:
    """Log wealth of the bet that a rate is above a limit; large when 'the rate is at most the limit' is untenable.

    As `rate_evidence_below`, with the alternatives `ABOVE`.

    >>> round(math.exp(rate_evidence_above(10, 200, 0.01)), 0)
    759.0
    """
    if not 0.0 < limit < 1.0:
        return math.inf if limit <= 0.0 and successes > 0 else -math.inf
    return float(rate_wealth(np.asarray(successes, float), np.asarray(trials, float), limit, ABOVE))


def rate_high(successes: float, trials: float, alpha: float) -> float:
    """The largest rate still possible; above the true rate at all looks with probability `1 - alpha`.

    Each bet's wealth grows with the limit, whatever was seen (docs/decisions/0017), hence bisection.

    Raises:
        ValueError: Not `0 <= successes <= trials`, or not `0 < alpha < 1`.

    >>> round(rate_high(0, 10_000, 0.05), 6)
    0.000344
    """
    check(successes, trials - successes, alpha)
    enough, seen = -math.log(alpha), successes / trials if trials else 0.0
    return edge(seen, 1.0, lambda limit: rate_evidence_below(successes, trials, limit) >= enough)


def rate_low(successes: float, trials: float, alpha: float) -> float:
    """The smallest rate still possible; below the true rate at all looks with probability `1 - alpha`.

    Raises:
        ValueError: Not `0 <= successes <= trials`, or not `0 < alpha < 1`.

    >>> rate_low(0, 10_000, 0.05), round(rate_low(100, 10_000, 0.05), 4)
    (0.0, 0.0072)
    """
    check(successes, trials - successes, alpha)
    enough, seen = -math.log(alpha), successes / trials if trials else 1.0
    return edge(seen, 0.0, lambda limit: rate_evidence_above(successes, trials, limit) >= enough)


@functools.lru_cache(maxsize=4096)  # windows and segments that did not change ask the same at every publication
def rate_interval(successes: float, trials: float, alpha: float) -> Interval:
    """A confidence sequence for a rate between 0 and 1 (both ends at `alpha / 2`).

    Raises:
        ValueError: Not `0 <= successes <= trials`, or not `0 < alpha < 1`.

    >>> rate_interval(0, 0, 0.05)
    Interval(low=0.0, high=1.0)
    """
    return Interval(rate_low(successes, trials, alpha / 2), rate_high(successes, trials, alpha / 2))
