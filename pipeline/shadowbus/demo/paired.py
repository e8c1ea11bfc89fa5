"""What the tap costs: the same call to two services, one with the tap and one without, side by side.

In: latencies in pairs, measured in alternating order at the same time on the same machine. Out: percentiles of both
sides, and the median of the differences with an interval. Whatever disturbs the machine disturbs both sides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

MISSES = 0.05


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies in milliseconds; all zero when there are none."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, latencies_ms: Sequence[float]) -> Self:
        """The percentiles of some latencies.

        >>> Percentiles.of([1.0, 2.0, 3.0]).p50
        2.0
        """
        return cls(*np.percentile(latencies_ms, (50, 95, 99)).tolist()) if len(latencies_ms) else cls(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PairedLatency:
    """Both sides, and the median of `tapped - plain` in milliseconds with a 95 % interval."""

    pairs: int
    tapped: Percentiles
    plain: Percentiles
    median_ms: float
    low_ms: float
    high_ms: float


def compare_latencies(tapped_ms: Sequence[float], plain_ms: Sequence[float]) -> PairedLatency:
    """Compare two services.

    The interval is that of the sign test: order statistics of the differences, with no assumption about their shape
    (Conover, Practical Nonparametric Statistics, section 3.2).

    Args:
        tapped_ms: n latencies with the tap.
        plain_ms: n latencies of the same calls without.

    Raises:
        ValueError: There are none, or not as many of the one as of the other.

    >>> cost = compare_latencies([2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7], [2.0] * 8)
    >>> round(cost.median_ms, 2), round(cost.low_ms, 2), round(cost.high_ms, 2)
    (0.35, 0.0, 0.7)
    """
    if not tapped_ms:
        raise ValueError("there are no pairs to compare")
    differences = sorted(ours - theirs for ours, theirs in zip(tapped_ms, plain_ms, strict=True))
    count = len(differences)
    below = _out_on_each_side(count)
    return PairedLatency(
        pairs=count,
        tapped=Percentiles.of(tapped_ms),
        plain=Percentiles.of(plain_ms),
        median_ms=float(np.median(differences)),
        low_ms=differences[below],
        high_ms=differences[count - 1 - below],
    )


def _out_on_each_side(count: int) -> int:
    """How many of the smallest, and of the largest, may be left out: at most half of `MISSES` of all coin tosses."""
    tail, below = 0, -1
    while (tail := tail + math.comb(count, below + 1)) <= MISSES / 2 * 2**count:
        below += 1
    return max(0, below)
