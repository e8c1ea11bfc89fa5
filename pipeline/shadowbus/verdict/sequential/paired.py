"""Confidence sequences for a paired accuracy difference, from counts of labels.

Each label is worth +1 (only the shadow was right), -1 (only the live model was) or 0, and the bets are on the mean.
The counts may have empty cells; no cell needs a prior of its own. Guaranteed also where the difference drifts and where
requests resemble the ones before them: what is inside is then the average, so far, of what could be expected of each
label given all before it.
"""

import functools
import math

import numpy as np

from shadowbus.verdict.interval import Interval, edge
from shadowbus.verdict.sequential.horizon import check
from shadowbus.verdict.sequential.mixture import Array, Mixture, log_average, mixture

EFFECT = 0.01
"""The difference that should be decided soonest, where nobody says."""

LEAST_APART, MOST_APART = 0.01, 0.6
"""Shares of labels that tell the models apart (exactly one right) between which answers should come soonest."""


@functools.lru_cache(maxsize=64)
def stakes(effect: float) -> Mixture:
    """What is bet, as shares of the wealth, where a difference of `effect` from the limit should be seen soonest.

    The best stake against a limit is about `effect` over the share of labels that tell the models apart; that share is
    not known, so 88 % are spread almost evenly, in the logarithm, over what it may be, and 12 % over all stakes, for
    effects of other sizes.

    >>> stakes(0.001).points[:30].round(5).tolist()[:: 29]
    [0.00167, 0.1]
    """
    least, most = min(effect / MOST_APART, 0.5), min(effect / LEAST_APART, 0.9)
    likely, anywhere = np.geomspace(least, most, 30), np.geomspace(1e-4, 0.98, 40)
    return mixture((likely, likely**0.125, 0.88), (anywhere, np.sqrt(anywhere), 0.12))


def paired_wealth(shadow_only: Array, live_only: Array, trials: Array, limit: float, bets: Mixture) -> Array:
    """Log wealth of the bet that the difference is above a limit, for many counts at once.

    Args:
        shadow_only: Labels that only the shadow got right, of any shape.
        live_only: Labels that only the live model got right, of the same shape.
        trials: All labels, of the same shape or one that fits it.
        limit: Strictly between -1 and 1.
        bets: `stakes` of the effect that should be seen soonest.
    """
    mean = (1.0 + limit) / 2
    won, tied = np.log1p(bets.points * (1 / mean - 1)), np.log1p(bets.points * (0.5 / mean - 1))
    wealth = np.multiply.outer(shadow_only, won - tied) + np.multiply.outer(live_only, np.log1p(-bets.points) - tied)
    wealth += np.multiply.outer(trials, tied)
    return log_average(wealth, bets.log_shares)


def paired_evidence_above(
    shadow_only: float, live_only: float, trials: float, limit: float, effect: float = EFFECT
) -> float:
    """Log wealth of the bet that the shadow's accuracy minus the live accuracy is above a limit.

    With `y = (1 + x) / 2` and its mean `mu` under the limit, a stake `c` turns 1 into `(1 - c) + c y / mu`; the wealth
    is the average over `stakes` of the products, which need only the three counts. Waudby-Smith & Ramdas (2024),
    "Estimating means of bounded random variables by betting"; `c = lambda (1 + limit)` in their notation.

    >>> round(math.exp(paired_evidence_above(60, 40, 1_000, -0.01)), 1)
    21.4
    """
    if not -1.0 < limit < 1.0:
        return math.inf if limit <= -1.0 else -math.inf
    ours, theirs, labels = (np.asarray(count, float) for count in (shadow_only, live_only, trials))
    return float(paired_wealth(ours, theirs, labels, limit, stakes(effect)))


def paired_low(shadow_only: float, live_only: float, trials: float, alpha: float, effect: float = EFFECT) -> float:
    """The smallest accuracy difference (shadow minus live) still possible, between -1 and 1.

    Every factor of the wealth falls as the limit grows, whatever the stake, so the wealth does too: bisection is exact.

    Raises:
        ValueError: The counts are negative or exceed the trials, or not `0 < alpha < 1`.

    >>> round(paired_low(60, 40, 1_000, 0.05), 4), round(paired_low(0, 0, 1_000, 0.05), 4)
    (-0.0097, -0.0056)
    """
    check(shadow_only, trials - shadow_only - live_only, alpha)
    check(live_only, trials, alpha)
    enough, seen = -math.log(alpha), (shadow_only - live_only) / trials if trials else 1.0
    return edge(
        seen, -1.0, lambda limit: paired_evidence_above(shadow_only, live_only, trials, limit, effect) >= enough
    )


def paired_high(shadow_only: float, live_only: float, trials: float, alpha: float, effect: float = EFFECT) -> float:
    """The largest accuracy difference (shadow minus live) still possible: `paired_low` with the models swapped.

    Raises:
        ValueError: The counts are negative or exceed the trials, or not `0 < alpha < 1`.

    >>> round(paired_high(60, 40, 1_000, 0.05), 4)
    0.0506
    """
    return -paired_low(live_only, shadow_only, trials, alpha, effect)


def paired_difference_interval(
    shadow_only: float, live_only: float, trials: float, alpha: float, effect: float = EFFECT
) -> Interval:
    """A confidence sequence for accuracy of the shadow minus accuracy of the live model (both ends at `alpha / 2`).

    Raises:
        ValueError: The counts are negative or exceed the trials, or not `0 < alpha < 1`.

    >>> paired_difference_interval(0, 0, 0, 0.05)
    Interval(low=-1.0, high=1.0)
    """
    low = paired_low(shadow_only, live_only, trials, alpha / 2, effect)
    return Interval(low, paired_high(shadow_only, live_only, trials, alpha / 2, effect))
