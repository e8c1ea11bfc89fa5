"""Criteria that are a share of something counted: failures, slow answers, agreement."""

import math
from dataclasses import replace

from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Counts, Evidence, Floor
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State

RUNS = 30
"""Before it has answered so often, failures do not decide as long as it is not known whether it runs at all."""

UNSETTLED = "It has hardly answered yet; whether it runs at all comes first."


def errors(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Does the shadow fail at most this often?"""
    counts, rows = evidence.counts, evidence.rows
    question = rate("error_rate", counts.shadow_errors, counts.asked, limit, alphas, counts.ran)
    criterion = question.criterion
    if criterion.state == "fails" and rows.unsettled_failed and rows.ran < RUNS:
        return replace(question, criterion=replace(criterion, state="open", note=UNSETTLED))
    if not counts.before_it_ran:
        return question
    note = f"Without {counts.before_it_ran:,} requests from before it began to run."
    return replace(question, criterion=replace(criterion, note=note))


def latency(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Is it over its latency budget at most this often?"""
    counts = evidence.counts
    rows, over = counts.latency_rows, counts.over_budget
    return rate("over_budget", over, rows, limit, alphas, counts.comparisons)


def agreement(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Does it answer as the live model does at least this often?"""
    counts = evidence.counts
    if evidence.floor is not None:
        return above_floor(counts, evidence.floor, limit, alphas)
    differ, whole = counts.compared - counts.agreed, counts.compared
    return mirrored(
        rate("agreement", differ, whole, 1 - limit, alphas, counts.comparisons - counts.requests_before), limit
    )


def above_floor(counts: Counts, floor: Floor, limit: float, alphas: Alphas) -> Question:
    """The same where a control runs: of the shadow's disagreement only what is above that of the control counts.

    Both rates have an interval of their own at half of alpha, so that both are right at once but for alpha; their
    difference is somewhere between the ends.
    """
    differ, trials = counts.compared - counts.agreed, counts.compared
    half = Alphas(alphas.holds / 2, alphas.fails / 2)

    most = sequential.rate_high(differ, trials, half.holds) - sequential.rate_low(
        floor.differ, floor.compared, half.holds
    )
    least = sequential.rate_low(differ, trials, half.fails) - sequential.rate_high(
        floor.differ, floor.compared, half.fails
    )
    low, high = max(0.0, min(1.0, 1 - most)), min(1.0, 1 - least)
    noise = floor.differ / floor.compared if floor.compared else 0.0
    value = min(1.0, 1 - differ / trials + noise) if trials else None
    state: State = "holds" if low >= limit else "fails" if high < limit else "open"
    leans: State = "holds" if value is None or value >= limit else "fails"

    def shown(total: float) -> bool:
        times = total / trials if trials else 0.0
        theirs = floor.differ * times, floor.compared * times
        if leans == "holds":
            least = 1 - limit + sequential.rate_low(*theirs, half.holds)
            return sequential.rate_evidence_below(differ * times, total, least) >= -math.log(half.holds)
        most = 1 - limit + sequential.rate_high(*theirs, half.fails)
        return sequential.rate_evidence_above(differ * times, total, most) >= -math.log(half.fails)

    note = (
        f"Above the control's own disagreement of {noise:.2%}." if floor.compared else "The control is yet to answer."
    )
    criterion = Criterion("agreement", value, low, high, limit, state, note)
    seen = counts.comparisons - counts.requests_before
    return Question(criterion, "requests", int(trials), seen, leans, shown)


def rate(name: str, bad: float, trials: float, limit: float, alphas: Alphas, requests: int) -> Question:
    """Is the share of bad trials at most the limit?"""
    holds, fails = alphas
    low, high = sequential.rate_low(bad, trials, fails), sequential.rate_high(bad, trials, holds)
    state: State = "holds" if high <= limit else "fails" if low > limit else "open"
    seen = bad / trials if trials else 0.0
    leans: State = "holds" if seen <= limit else "fails"

    def shown(total: float) -> bool:
        if leans == "holds":
            return sequential.rate_evidence_below(seen * total, total, limit) >= -math.log(holds)
        return sequential.rate_evidence_above(seen * total, total, limit) >= -math.log(fails)

    criterion = Criterion(name, seen if trials else None, low, high, limit, state)
    return Question(criterion, "requests", int(trials), requests, leans, shown)


def mirrored(question: Question, limit: float) -> Question:
    """The same question, asked of the share of good trials instead of bad ones."""
    bad = question.criterion
    value = None if bad.value is None else 1 - bad.value
    good = Criterion(bad.name, value, 1 - bad.high, 1 - bad.low, limit, bad.state, bad.note)
    return replace(question, criterion=good)
