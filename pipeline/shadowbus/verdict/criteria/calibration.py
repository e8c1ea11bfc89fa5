"""The criterion of calibration: does what the shadow says with 80 % come true 8 times in 10?

The expected calibration error is the sum over bins of `|E d_b|`, where `d_b` is outcome minus score if the score is in
the bin, and 0 if not; so it is the largest of the means `E(s_b d_b)` over all choices of signs `s`. Every such mean is
of numbers between -1 and 1, and two facts about them give a confidence sequence from the bins alone:

- If the error is above the limit, so is the mean for the right signs, whichever they are. The sum seen for them is at
  most the sum for the signs that were seen. So the upper end may treat the error that was seen like a mean.
- If it is at most the limit, all these means are. A bet on each choice of signs with equal shares cannot win on average
  either, and its wealth, a sum over 2^bins choices, is a product over the bins of hyperbolic cosines.
"""

import math
from collections.abc import Sequence

import numpy as np

from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Bin, Evidence
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State, unanswerable
from shadowbus.verdict.interval import edge
from shadowbus.verdict.sequential.mixture import log_average
from shadowbus.verdict.sequential.paired import stakes

UNSAID = "Labels come for some requests more often than for others, and nothing is known of how the rest came true."

FINEST = 0.005
"""The smallest difference from the limit that bets are tuned to."""


def calibrated(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Is the shadow's expected calibration error at most this?"""
    bins, counts = evidence.scores, evidence.counts
    n, seen, effect = sum(one.n for one in bins), error(bins), max(FINEST, limit / 2)
    low, high = error_low(bins, alphas.fails, effect), error_high(bins, alphas.holds, effect)
    state: State = "holds" if high <= limit else "fails" if low > limit else "open"
    leans: State = "holds" if seen is None or seen <= limit else "fails"

    def shown(total: float) -> bool:
        grown = [Bin(one.low, one.high, *(x * total / n for x in (one.n, one.score, one.came))) for one in bins]
        if leans == "holds":
            return evidence_below(grown, limit, total, effect) >= -math.log(alphas.holds)
        return evidence_above(grown, limit, effect) >= -math.log(alphas.fails)

    question = Question(
        Criterion("calibration", seen, low, high, limit, state), "labels", int(n), counts.labels, leans, shown
    )
    return unanswerable(question, UNSAID) if evidence.labels_depend else question


def error(bins: Sequence[Bin]) -> float | None:
    """The expected calibration error as it was seen; None without scores.

    >>> error([Bin(0.8, 0.9, 10, 8.5, 7), Bin(0.1, 0.2, 10, 1.5, 2)])
    0.1
    """
    n = sum(one.n for one in bins)
    return sum(abs(one.came - one.score) for one in bins) / n if n else None


def spread(bins: Sequence[Bin]) -> float:
    """At least the sum of squared differences between outcomes and scores.

    Of scores in a bin with a known sum the sum of squares is largest where each is at one end of the bin; the same of
    those that came true and of those that did not, by which end makes the difference larger.
    """
    return sum(one.came * (1 - one.low) ** 2 + (one.n - one.came) * one.high**2 for one in bins)


def evidence_above(bins: Sequence[Bin], limit: float, effect: float) -> float:
    """Log wealth of the bet that the error is above a limit, on all choices of signs at once.

    With stakes and prices as in `sequential.bounded_evidence_above` (Fan, Grama & Liu 2015).
    """
    bets, n = stakes(effect), sum(one.n for one in bins)
    gaps = np.multiply.outer(bets.points, np.array([one.came - one.score for one in bins]))
    price = -np.log1p(-bets.points) - bets.points
    turned = (np.logaddexp(gaps, -gaps) - math.log(2)).sum(axis=1)
    return float(log_average(turned - bets.points * n * limit - price * spread(bins), bets.log_shares))


def evidence_below(bins: Sequence[Bin], limit: float, n: float, effect: float) -> float:
    """Log wealth of the bet that the error is below a limit: for the signs as they were seen, the worst ones."""
    seen = error(bins) or 0.0
    m2 = max(0.0, spread(bins) - n * seen**2)
    return sequential.bounded_evidence_above(n, -seen, m2, -limit, 1.0, effect)


def error_low(bins: Sequence[Bin], alpha: float, effect: float) -> float:
    """The smallest error still possible; `effect`: how far from the limit an answer should come soonest."""
    enough, seen = -math.log(alpha), error(bins)
    if seen is None:
        return 0.0
    return edge(seen, 0.0, lambda point: evidence_above(bins, point, effect) >= enough)


def error_high(bins: Sequence[Bin], alpha: float, effect: float) -> float:
    """The largest error still possible; `effect` as in `error_low`."""
    enough, seen, n = -math.log(alpha), error(bins), sum(one.n for one in bins)
    if seen is None:
        return 1.0
    return edge(seen, 1.0, lambda point: evidence_below(bins, point, n, effect) >= enough)
