"""The gate: from the counts of one trial to PROMOTE, SEND BACK or KEEP WATCHING.

What comes in is evidence (cumulative counts, for the whole trial and each segment) and the settings; what goes out is a
decision with every criterion's interval. Pure: the same evidence and settings give the same decision.

Guaranteed, however often people look: if any criterion is truly on the wrong side, PROMOTE comes with probability at
most alpha (it needs all criteria shown, so also the false one: no split); if all are truly on the right side, SEND BACK
does (one is enough, so alpha is split over the criteria that are on, and the guard's share over the segments). Only
one of the two can be the mistake. Each criterion's `low` and `high` are the two one-sided ends that decide it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from shadowbus.settings import GateSettings
from shadowbus.verdict import sequential

State = Literal["holds", "fails", "open"]
Verdict = Literal["PROMOTE", "SEND_BACK", "KEEP_WATCHING"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been counted of one trial, in all or in one segment.

    `comparisons` and `labels` are plain counts. The others are in proportion to the requests they stand for, and never
    more than was counted, so that sampled requests give unbiased rates and no more evidence than there is.
    """

    comparisons: int = 0
    asked: float = 0
    shadow_errors: float = 0
    compared: float = 0
    agreed: float = 0
    latency_rows: float = 0
    over_budget: float = 0
    labels: int = 0
    both_right: float = 0
    shadow_only: float = 0
    live_only: float = 0
    both_wrong: float = 0
    loss_n: float = 0
    loss_mean: float = 0.0
    loss_m2: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All a decision rests on. `books_gap` is 0 when the books close; `segments` are named like `country=DE`."""

    trial: str
    counts: Counts
    segments: Mapping[str, Counts]
    books_gap: int = 0
    books_note: str = ""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition: what was seen (None: nothing yet), what is still possible, the limit, and what that shows."""

    name: str
    value: float | None
    low: float
    high: float
    limit: float
    state: State
    note: str = ""


@dataclass(frozen=True, slots=True)
class Needed:
    """What is missing until the verdict in `note`, if all goes on as it is; None when that never decides."""

    requests: int | None
    labels: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and everything that explains it."""

    verdict: Verdict
    criteria: tuple[Criterion, ...]
    requests: int
    labels: int
    needed: Needed


@dataclass(frozen=True, slots=True)
class _Question:
    """A criterion, and what it would take to answer it.

    `trials` were seen among so many requests or labels (`seen`); `shown(n)` says whether `n` trials in the same
    proportions would show what the criterion leans to.
    """

    criterion: Criterion
    unit: Literal["requests", "labels"]
    trials: int
    seen: int
    leans: State
    shown: Callable[[float], bool]

    def missing(self) -> int | None:
        """How many more requests or labels it takes; None when it is too close to the limit to say."""
        trials = sequential.needed(self.trials, self.shown)
        if trials is None:
            return None
        return math.ceil(trials * self.seen / self.trials) if self.trials else trials


def decide(evidence: Evidence, gate: GateSettings) -> Decision:
    """The verdict that the evidence supports.

    Args:
        evidence: Cumulative counts; what is shown once may become open again, as with any look that comes later.
        gate: Which criteria are on, their limits, and alpha (the chance of a wrong verdict, at most).

    Raises:
        ValueError: Counts that contradict each other, or alpha not between 0 and 1.

    >>> seen = Counts(comparisons=3_500, asked=3_500)
    >>> gate = GateSettings(max_error_rate=0.001)
    >>> decide(Evidence("a|b", seen, {}), gate).verdict
    'PROMOTE'
    >>> early = decide(Evidence("a|b", Counts(comparisons=1_500, asked=1_500), {}), gate)
    >>> early.verdict, early.needed.requests
    ('KEEP_WATCHING', 1944)
    """
    blocking = list(_blocking(evidence.counts, gate))
    guards = list(_guards(evidence, gate))
    conditions = tuple(_conditions(evidence, gate))
    criteria = (*conditions, *(question.criterion for question in blocking + guards))
    required = (*conditions, *(question.criterion for question in blocking))
    verdict: Verdict = "KEEP_WATCHING"
    if any(criterion.state == "fails" for criterion in criteria):
        verdict = "SEND_BACK"
    elif blocking and all(criterion.state == "holds" for criterion in required):
        verdict = "PROMOTE"
    needed = Needed(0, 0, "")
    if verdict == "KEEP_WATCHING":
        needed = _needed(evidence, gate, blocking, guards)
    return Decision(verdict, criteria, evidence.counts.comparisons, evidence.counts.labels, needed)


def _conditions(evidence: Evidence, gate: GateSettings) -> Iterator[Criterion]:
    """What is simply counted: enough requests, enough labels, no gap in the books. Never fails, only stays open."""
    counts = evidence.counts
    for name, seen, least in (
        ("requests", counts.comparisons, gate.min_requests),
        ("labels", counts.labels, gate.min_labels),
    ):
        if least > 0:
            yield Criterion(name, seen, seen, seen, least, "holds" if seen >= least else "open")
    if gap := evidence.books_gap:
        yield Criterion("books", gap, gap, gap, 0, "open", evidence.books_note or "The books do not close.")


def _blocking(counts: Counts, gate: GateSettings) -> Iterator[_Question]:
    """The criteria that are on: PROMOTE needs each of them shown to hold."""
    alphas = gate.alpha, gate.alpha / _parts(gate)
    requests = counts.comparisons
    if gate.max_error_rate is not None:
        yield _rate("error_rate", counts.shadow_errors, counts.asked, gate.max_error_rate, alphas, requests)
    if gate.max_over_budget is not None and gate.latency_budget_ms is not None:
        yield _rate("over_budget", counts.over_budget, counts.latency_rows, gate.max_over_budget, alphas, requests)
    if gate.min_agreement is not None:
        limit = 1 - gate.min_agreement
        differ = _rate("agreement", counts.compared - counts.agreed, counts.compared, limit, alphas, requests)
        yield _mirrored(differ, gate.min_agreement)
    if gate.accuracy_margin is not None:
        yield _accuracy("accuracy", counts, -gate.accuracy_margin, alphas, counts.labels)


def _guards(evidence: Evidence, gate: GateSettings) -> Iterator[_Question]:
    """One per segment with labels: it may not be shown worse; that it is fine need not be shown.

    Of `K` segments each is tested at the guard's alpha over `K (K + 1)`: the j-th to appear never sees `K < j`, and
    the sum over j of `1 / (j (j + 1))` is 1, so it is valid while segments keep appearing, in whatever order.
    """
    if gate.accuracy_margin is None or not gate.guard_segments:
        return
    labelled = sorted(name for name, counts in evidence.segments.items() if _paired(counts))
    share = gate.alpha / _parts(gate) / max(1, len(labelled) * (len(labelled) + 1))
    for name in labelled:
        counts = evidence.segments[name]
        alphas = gate.alpha, share
        yield _accuracy(f"accuracy:{name}", counts, -gate.accuracy_margin, alphas, evidence.counts.labels)


def _parts(gate: GateSettings) -> int:
    """Over how many criteria the alpha of SEND BACK is split; a matter of the settings, never of the data."""
    judged = gate.accuracy_margin is not None
    timed = gate.max_over_budget is not None and gate.latency_budget_ms is not None
    on = (gate.max_error_rate is not None, timed, gate.min_agreement is not None, judged)
    return max(1, sum(on) + (judged and gate.guard_segments))


def _rate(name: str, bad: float, trials: float, limit: float, alphas: tuple[float, float], requests: int) -> _Question:
    """Is the share of bad trials at most the limit? `alphas`: to show that it holds, that it fails."""
    holds, fails = alphas
    low, high = sequential.rate_low(bad, trials, fails), sequential.rate_high(bad, trials, holds)
    state: State = "holds" if high <= limit else "fails" if low > limit else "open"
    rate = bad / trials if trials else 0.0
    leans: State = "holds" if rate <= limit else "fails"

    def shown(total: float) -> bool:
        if leans == "holds":
            return sequential.rate_evidence_below(rate * total, total, limit) >= -math.log(holds)
        return sequential.rate_evidence_above(rate * total, total, limit) >= -math.log(fails)

    criterion = Criterion(name, rate if trials else None, low, high, limit, state)
    return _Question(criterion, "requests", int(trials), requests, leans, shown)


def _mirrored(question: _Question, limit: float) -> _Question:
    """The same question, asked of the share of good trials instead of bad ones."""
    bad = question.criterion
    value = None if bad.value is None else 1 - bad.value
    good = Criterion(bad.name, value, 1 - bad.high, 1 - bad.low, limit, bad.state, bad.note)
    return replace(question, criterion=good)


def _paired(counts: Counts) -> float:
    return counts.both_right + counts.shadow_only + counts.live_only + counts.both_wrong


def _accuracy(name: str, counts: Counts, limit: float, alphas: tuple[float, float], labels: int) -> _Question:
    """Is the shadow's accuracy minus the live accuracy at least the limit? `alphas` as in `_rate`."""
    holds, fails = alphas
    ours, theirs, trials = counts.shadow_only, counts.live_only, _paired(counts)
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

    return _Question(Criterion(name, value, low, high, limit, state), "labels", int(trials), labels, leans, shown)


def _needed(evidence: Evidence, gate: GateSettings, blocking: list[_Question], guards: list[_Question]) -> Needed:
    """What is missing until the verdict that comes first at the present rates."""
    if not blocking:
        return Needed(None, None, "No criterion is on, so nothing can be shown.")
    counts = evidence.counts
    promote = _until_promote(counts, gate, blocking)
    back = _until_send_back(blocking + guards, counts)
    first = back if back and _requests(back, counts) < _requests(promote, counts) else promote
    if evidence.books_gap and first is promote:
        return replace(first, note=f"The books have to close first. {first.note}")
    return first


def _until_promote(counts: Counts, gate: GateSettings, blocking: list[_Question]) -> Needed:
    missing: dict[str, int | None] = {
        "requests": max(0, gate.min_requests - counts.comparisons),
        "labels": max(0, gate.min_labels - counts.labels),
    }
    never, unseen = [], []
    for question in blocking:
        if question.criterion.state == "holds":
            continue
        more, known = question.missing() if question.leans == "holds" else None, missing[question.unit]
        missing[question.unit] = None if more is None or known is None else max(more, known)
        never += [question.criterion.name] if more is None else []
        unseen += [] if question.trials else [question.criterion.name]
    note = "PROMOTE, at the present rates."
    if never:
        note = f"At the present rates never shown to hold: {', '.join(never)}."
    elif unseen:
        note = f"PROMOTE, at the earliest: nothing has been seen yet of {', '.join(unseen)}."
    return Needed(missing["requests"], missing["labels"], note)


def _until_send_back(questions: list[_Question], counts: Counts) -> Needed | None:
    ways = []
    for question in questions:
        if question.criterion.state == "open" and question.leans == "fails":
            more, note = question.missing(), f"SEND BACK for {question.criterion.name}, at the present rates."
            if more is not None:
                ways.append(Needed(more, 0, note) if question.unit == "requests" else Needed(0, more, note))
    return min(ways, key=lambda needed: _requests(needed, counts), default=None)


def _requests(needed: Needed, counts: Counts) -> float:
    """Requests until then, with as many labels for each request as so far."""
    if needed.requests is None or needed.labels is None:
        return math.inf
    ratio = counts.comparisons / counts.labels if counts.labels else 1.0
    return max(needed.requests, needed.labels * ratio)
