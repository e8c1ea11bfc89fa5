"""Criteria that are the accuracy of the shadow minus that of the live model: in all, and guards in segments."""

import math
from collections.abc import Iterator

from shadowbus.settings import GateSettings
from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State


def accuracy(evidence: Evidence, margin: float, alphas: Alphas) -> Question:
    """Is it less accurate than the live model by at most the margin?"""
    return difference("accuracy", evidence.counts, -margin, alphas, evidence.counts.labels)


def guarded(gate: GateSettings) -> bool:
    """Whether segments are guarded."""
    return gate.accuracy_margin is not None and gate.guard_segments


def guards(evidence: Evidence, gate: GateSettings, alphas: Alphas) -> Iterator[Question]:
    """One per segment with labels: it may not be shown worse; that it is fine need not be shown.

    Of `K` segments each is tested at the guard's alpha over `K (K + 1)`: the j-th to appear never sees `K < j`, and
    the sum over j of `1 / (j (j + 1))` is 1, so it is valid while segments keep appearing, in whatever order.
    """
    if gate.accuracy_margin is None or not gate.guard_segments:
        return
    labelled = sorted(name for name, counts in evidence.segments.items() if counts.paired)
    each = Alphas(alphas.holds, alphas.fails / max(1, len(labelled) * (len(labelled) + 1)))
    for name in labelled:
        counts = evidence.segments[name]
        yield difference(f"accuracy:{name}", counts, -gate.accuracy_margin, each, evidence.counts.labels)


def difference(name: str, counts: Counts, limit: float, alphas: Alphas, labels: int) -> Question:
    """Is the shadow's accuracy minus the live accuracy at least the limit?"""
    holds, fails = alphas
    ours, theirs, trials = counts.shadow_only, counts.live_only, counts.paired
    low = sequential.paired_low(ours, theirs, trials, holds)
    high = sequential.paired_high(ours, theirs, trials, fails)
    state: State = "holds" if low >= limit else "fails" if high < limit else "open"
    value = (ours - theirs) / trials if trials else None
    leans: State = "holds" if value is None or value >= limit else "fails"

    def shown(total: float) -> bool:
        up, down = (ours * total / trials, theirs * total / trials) if trials else (0.0, 0.0)
        if leans == "holds":
            return sequential.paired_evidence_above(up, down, total, limit) >= -math.log(holds)
        return sequential.paired_evidence_above(down, up, total, -limit) >= -math.log(fails)

    return Question(Criterion(name, value, low, high, limit, state), "labels", int(trials), labels, leans, shown)
