"""The criterion against the control: how many times as long does the shadow take for the same rows?

Both are asked the same rows alone, in the same kind of sandbox. What is averaged is the logarithm of the ratio of both
times, so a row that takes twice as long and one that takes half as long cancel out: the value is the geometric mean of
the ratios. Ratios are counted up to `REACH`, so they are bounded, and the interval is right at any size.
"""

import math

from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Evidence
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State

FINEST = 0.02
"""The smallest effect that bets are tuned to: 2 % slower, or faster."""

NONE_YET = "The control has timed none of the same rows yet."


def slower(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Does it take at most this many times as long as the control?"""
    counts, reach, most = evidence.counts, evidence.slowdown_reach, math.log(limit)
    n, mean = counts.slowdown_n, max(-reach, min(reach, counts.slowdown_mean))
    m2 = min(counts.slowdown_m2, n * (reach - mean) * (reach + mean))
    effect = max(FINEST, abs(most))
    low = sequential.bounded_low(n, mean, m2, alphas.fails, reach, effect)
    high = sequential.bounded_high(n, mean, m2, alphas.holds, reach, effect)
    state: State = "holds" if high <= most else "fails" if low > most else "open"
    leans: State = "holds" if not n or mean <= most else "fails"

    def shown(total: float) -> bool:
        side, alpha = (-1, alphas.holds) if leans == "holds" else (1, alphas.fails)
        grown = m2 * total / n if n else 0.0
        seen = mean if n or most > 0 else -reach  # of nothing seen: as fast as the control, or as fast as can be
        return sequential.bounded_evidence_above(total, side * seen, grown, side * most, reach, effect) >= -math.log(
            alpha
        )

    value, note = (math.exp(mean), "") if n else (None, NONE_YET)
    criterion = Criterion("slower_than_control", value, math.exp(low), math.exp(high), limit, state, note)
    return Question(criterion, "requests", int(n), counts.comparisons, leans, shown)
