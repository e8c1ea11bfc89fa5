"""Criteria that are a mean of shadow minus live: the loss, and what decisions are worth."""

import math

from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Evidence
from shadowbus.verdict.coverage import unknown
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State, unanswerable
from shadowbus.verdict.sequential.mean import FIRST_LOOK

UNSAID = "Labels come for some requests more often than for others, and nothing is known of the loss of the rest."
REPRICED = "Some values were counted by another cost matrix."
TUNED = 0.01
"""The effect that is seen soonest where the limit is 0, as a part of the most that a decision can be worth."""


def loss(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Is the shadow's mean loss at most this much above the live one?"""
    counts = evidence.counts
    n, mean, m2 = counts.loss_n, counts.loss_mean, counts.loss_m2
    low, high = sequential.mean_low(n, mean, m2, alphas.fails), sequential.mean_high(n, mean, m2, alphas.holds)
    state: State = "holds" if high <= limit else "fails" if low > limit else "open"
    leans: State = "holds" if mean <= limit else "fails"

    def shown(total: float) -> bool:
        if not n:
            return total >= FIRST_LOOK
        grown = m2 * total / n
        if leans == "holds":
            return sequential.mean_evidence_above(total, -mean, grown, -limit) >= -math.log(alphas.holds)
        return sequential.mean_evidence_above(total, mean, grown, limit) >= -math.log(alphas.fails)

    criterion = Criterion("loss", mean if n else None, low, high, limit, state)
    question = Question(criterion, "labels", int(n), counts.labels, leans, shown)
    return unanswerable(question, UNSAID) if evidence.labels_depend else question


def value(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Are the shadow's decisions worth at least this much more, each?

    Where labels are missing for a reason, the decisions without one may be worth `reach` more or less, if both models
    decided differently, and 0 if not.
    """
    counts, reach = evidence.counts, evidence.value_reach
    n, total, squares = counts.value_n, counts.value_n * counts.value_mean, counts.value_m2
    squares += total * counts.value_mean
    missing, all_of_them = unknown(evidence, counts) if evidence.labels_depend else (0.0, n)
    trials = max(n, all_of_them)
    missing = min(missing, trials)
    lower, upper = (_ended(trials, total + side * missing * reach, squares + missing * reach**2) for side in (-1, 1))
    effect = min(reach, abs(limit)) or TUNED * reach
    fits = reach > 0 and all(trials * mean**2 + m2 <= reach**2 * trials * (1 + 1e-9) for mean, m2 in (lower, upper))
    seen = total / trials if trials else None
    leans: State = "holds" if seen is None or lower[0] >= limit else "fails"

    def shown(whole: float) -> bool:
        (mean, m2), side = (lower, 1) if leans == "holds" else (upper, -1)
        grown = m2 * whole / trials if trials else 0.0
        mean = mean if trials or limit < 0 else reach
        enough = -math.log(alphas.holds if leans == "holds" else alphas.fails)
        return sequential.bounded_evidence_above(whole, side * mean, grown, side * limit, reach, effect) >= enough

    if not fits:
        criterion = Criterion("value", seen, -math.inf, math.inf, limit, "open")
        return unanswerable(Question(criterion, "labels", int(n), counts.labels, "holds", shown), REPRICED)
    lower, upper = (_within(reach, trials, *ended) for ended in (lower, upper))
    low = sequential.bounded_low(trials, *lower, alphas.holds, reach, effect)
    high = sequential.bounded_high(trials, *upper, alphas.fails, reach, effect)
    state: State = "holds" if low >= limit else "fails" if high < limit else "open"
    return Question(
        Criterion("value", seen, low, high, limit, state), "labels", int(trials), counts.labels, leans, shown
    )


def _within(reach: float, n: float, mean: float, m2: float) -> tuple[float, float]:
    """The same without what rounding put beyond the reach: a mean of values at the reach may lie one bit above it."""
    mean = max(-reach, min(reach, mean))
    return mean, min(m2, n * (reach - mean) * (reach + mean))


def _ended(n: float, total: float, squares: float) -> tuple[float, float]:
    """Mean and sum of squared deviations."""
    return (total / n, max(0.0, squares - total * total / n)) if n else (0.0, 0.0)
