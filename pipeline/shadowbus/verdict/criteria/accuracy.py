"""Criteria that are the accuracy of the shadow minus that of the live model: in all, and guards in segments."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from shadowbus.settings import GateSettings
from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.coverage import unknown
from shadowbus.verdict.criteria.chosen import by_choice
from shadowbus.verdict.criterion import Alphas, Criterion, Question, State

SEEMS = 0.5
"""A segment seems worse while a bet on that has doubled its stake; shown it is only at the guard's alpha."""

WAITS = "It seems worse here, and PROMOTE waits until that is settled."
UNPROVEN = "PROMOTE waits until this is shown to hold."


def not_worse(evidence: Evidence, margin: float, alphas: Alphas) -> Question:
    """Is it less accurate than the live model by at most the margin?"""
    return difference("accuracy", evidence, evidence.counts, -margin, alphas, margin)


def better(evidence: Evidence, least: float, alphas: Alphas) -> Question:
    """Is it more accurate than the live model by at least this much?"""
    return difference("accuracy_gain", evidence, evidence.counts, least, alphas)


def guarded(gate: GateSettings) -> bool:
    """Whether segments are guarded."""
    return gate.accuracy_margin is not None and gate.guard_segments


def guards(evidence: Evidence, gate: GateSettings, alphas: Alphas) -> Iterator[Question]:
    """One per segment with labels: it may not be shown worse, nor seem so; `prove_segments` asks for a yes.

    Of `K` segments each is tested at the guard's alpha over `K (K + 1)`: the j-th to appear never sees `K < j`, and
    the sum over j of `1 / (j (j + 1))` is 1, so it is valid while segments keep appearing, in whatever order.
    """
    if gate.accuracy_margin is None or not gate.guard_segments:
        return
    labelled = sorted(name for name, counts in evidence.segments.items() if counts.paired)
    each = Alphas(alphas.holds, alphas.fails / max(1, len(labelled) * (len(labelled) + 1)))
    for name in labelled:
        counts, limit = evidence.segments[name], -gate.accuracy_margin
        question = difference(f"accuracy:{name}", evidence, counts, limit, each, -limit)
        if question.criterion.state == "open" and question.leans == "fails":
            seen = difference(f"accuracy:{name}", evidence, counts, limit, each._replace(fails=SEEMS), -limit)
            question = _waiting(question, WAITS) if seen.criterion.state == "fails" else question
        if question.criterion.state == "open" and gate.prove_segments and not question.waits:
            question = _waiting(question, UNPROVEN)
        yield question


def _waiting(question: Question, note: str) -> Question:
    return replace(question, criterion=replace(question.criterion, note=note), waits=True)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Who was right: only the shadow, only the live model, it is not known, and out of how many."""

    ours: float
    theirs: float
    unknown: float
    trials: float

    @classmethod
    def of(cls, evidence: Evidence, counts: Counts) -> Self:
        """All labels; or all compared requests, where labels are missing for a reason."""
        missing, trials = unknown(evidence, counts) if evidence.labels_depend else (0.0, counts.paired)
        return cls(counts.shadow_only, counts.live_only, missing, trials)

    def grown(self, trials: float) -> Self:
        """As many trials in the same proportions."""
        times = trials / self.trials
        return type(self)(self.ours * times, self.theirs * times, self.unknown * times, trials)

    @property
    def worst(self) -> tuple[float, float, float]:
        """If all that is not known spoke for the live model."""
        return self.ours, self.theirs + self.unknown, self.trials

    @property
    def best(self) -> tuple[float, float, float]:
        """If all that is not known spoke for the shadow."""
        return self.ours + self.unknown, self.theirs, self.trials


def difference(
    name: str, evidence: Evidence, counts: Counts, limit: float, alphas: Alphas, margin: float = 0.0
) -> Question:
    """Is the shadow's accuracy minus the live accuracy at least the limit?

    `margin` is how far equal models are from the limit: stakes are such that this is seen soonest (0: nobody says).

    What is not known is taken for whatever is worst. The end of the interval only moves out by that, compared with the
    one if everything were known; so it is valid whatever the labels depend on.
    """
    if evidence.exact and counts.chosen and not evidence.labels_depend:
        return by_choice(name, counts, limit, alphas, evidence.counts.labels)
    pairs = _Pairs.of(evidence, counts)
    effect = margin or sequential.EFFECT
    low = sequential.paired_low(*pairs.worst, alphas.holds, effect)
    high = sequential.paired_high(*pairs.best, alphas.fails, effect)
    state: State = "holds" if low >= limit else "fails" if high < limit else "open"
    value = (pairs.ours - pairs.theirs) / pairs.trials if pairs.trials else None
    lowest = None if value is None else value - pairs.unknown / pairs.trials
    leans: State = "holds" if lowest is None or lowest >= limit else "fails"

    def shown(total: float) -> bool:
        grown = pairs.grown(total) if pairs.trials else _Pairs(total if limit >= 0 else 0.0, 0.0, 0.0, total)
        up, down, _ = grown.worst if leans == "holds" else grown.best
        if leans == "holds":
            return sequential.paired_evidence_above(up, down, total, limit, effect) >= -math.log(alphas.holds)
        return sequential.paired_evidence_above(down, up, total, -limit, effect) >= -math.log(alphas.fails)

    criterion = Criterion(name, value, low, high, limit, state)
    return Question(criterion, "labels", int(pairs.trials), evidence.counts.labels, leans, shown)
