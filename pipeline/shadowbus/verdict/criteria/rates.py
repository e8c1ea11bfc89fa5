"""Criteria that are a share of something counted: failures, slow answers, agreement."""

import math
from dataclasses import replace

from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Evidence
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State


def errors(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Does the shadow fail at most this often?"""
    counts = evidence.counts
    return rate("error_rate", counts.shadow_errors, counts.asked, limit, alphas, counts.comparisons)


def latency(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Is it over its latency budget at most this often?"""
    counts = evidence.counts
    rows, over = counts.latency_rows, counts.over_budget
    return rate("over_budget", over, rows, limit, alphas, counts.comparisons)


def agreement(evidence: Evidence, limit: float, alphas: Alphas) -> Question:
    """Does it answer as the live model does at least this often?"""
    counts = evidence.counts
    differ, whole = counts.compared - counts.agreed, counts.compared
    return mirrored(rate("agreement", differ, whole, 1 - limit, alphas, counts.comparisons), limit)


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
