"""The accuracy difference where somebody chose what to label, disagreements rather than agreements.

Answers that agree are right or wrong together, so the difference is the share of disagreements, known from all compared
requests, times the mean difference among disagreements, known from their labels. Each has an interval of its own at
half of alpha; what both allow together is the interval of the product. The labels of agreements, of which few stand
for very many, are not needed for it.
"""

import math

from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Counts
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State
from shadowbus.verdict.interval import Interval

EFFECT = 0.1
"""The difference among disagreements that is seen soonest."""

NOTE = "From the labels of disagreements, which were chosen, and the share of disagreements."


def by_choice(name: str, counts: Counts, limit: float, alphas: Alphas, labels: int) -> Question:
    """Is the shadow's accuracy minus the live accuracy at least the limit?

    Args:
        name: Of the criterion.
        counts: Of the whole trial or a segment.
        limit: The least difference.
        alphas: The chances to be wrong.
        labels: How many there are in the whole trial.
    """
    ours, theirs = counts.ours_apart, counts.theirs_apart
    trials = max(counts.labelled_apart, ours + theirs)
    differ, compared = counts.compared - counts.agreed, counts.compared
    upward, downward = (sequential.rate_interval(differ, compared, alpha / 2) for alpha in alphas)

    low = least(ours, theirs, trials, upward, alphas.holds)
    high = -least(theirs, ours, trials, downward, alphas.fails)
    state: State = "holds" if low >= limit else "fails" if high < limit else "open"
    value = differ / compared * (ours - theirs) / trials if trials and compared else None
    leans: State = "holds" if value is None or value >= limit else "fails"

    def shown(total: float) -> bool:
        perfect = total if limit >= 0 else 0.0
        up, down = (ours * total / trials, theirs * total / trials) if trials else (perfect, 0.0)
        if leans == "holds":
            return evidence(up, down, total, limit, upward) >= -math.log(alphas.holds / 2)
        return evidence(down, up, total, -limit, downward) >= -math.log(alphas.fails / 2)

    criterion = Criterion(name, value, low, high, limit, state, NOTE)
    return Question(criterion, "labels", int(trials), labels, leans, shown)


def least(ours: float, theirs: float, trials: float, share: Interval, alpha: float) -> float:
    """The smallest difference still possible, where the share of disagreements is inside its interval."""
    mean = sequential.paired_low(ours, theirs, trials, alpha / 2, EFFECT)
    return mean * (share.high if mean < 0 else share.low)


def evidence(ours: float, theirs: float, trials: float, limit: float, share: Interval) -> float:
    """Log wealth of the bet that the difference is above a limit, whatever the share of disagreements in its interval.

    At half of alpha it is enough exactly where `least` is above the limit.
    """
    part = share.high if limit < 0 else share.low
    among = limit / part if part else math.copysign(math.inf, limit)
    return sequential.paired_evidence_above(ours, theirs, trials, among, EFFECT)
