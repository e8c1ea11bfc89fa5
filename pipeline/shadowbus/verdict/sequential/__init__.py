"""Confidence sequences: intervals that hold at every look at once, from counts alone.

What comes in are cumulative counts or moments; what goes out is an `Interval` of the values still possible, or one end
of it. Guaranteed: with probability at least `1 - alpha` the truth is inside at every look there will ever be, however
often and for whatever reason people look or stop. Each one is a bet against a value that cannot win on average if the
value is true (a nonnegative supermartingale that starts at 1), so that by Ville's inequality it ever multiplies its
stake by `1 / alpha` with probability at most `alpha`; what it has won that much against is excluded. The functions
named `…_evidence_…` return the natural logarithm of that wealth, those named `…_wealth` do so for arrays.

Every function takes cumulative sums, never an order of events, so partials may be merged in any order. Counts may be
real numbers, because `needed` asks what a proportional, larger count would show.

- `rate`: errors, latency over budget, agreement
- `paired`: accuracy of the shadow minus accuracy of the live model
- `mean`: losses and values, bounded or not
"""

from shadowbus.verdict.sequential.horizon import needed
from shadowbus.verdict.sequential.mean import (
    bounded_evidence_above,
    bounded_high,
    bounded_low,
    mean_evidence_above,
    mean_high,
    mean_interval,
    mean_low,
)
from shadowbus.verdict.sequential.paired import (
    EFFECT,
    paired_difference_interval,
    paired_evidence_above,
    paired_high,
    paired_low,
)
from shadowbus.verdict.sequential.rate import (
    rate_evidence_above,
    rate_evidence_below,
    rate_high,
    rate_interval,
    rate_low,
)

__all__ = [
    "EFFECT",
    "bounded_evidence_above",
    "bounded_high",
    "bounded_low",
    "mean_evidence_above",
    "mean_high",
    "mean_interval",
    "mean_low",
    "needed",
    "paired_difference_interval",
    "paired_evidence_above",
    "paired_high",
    "paired_low",
    "rate_evidence_above",
    "rate_evidence_below",
    "rate_high",
    "rate_interval",
    "rate_low",
]
