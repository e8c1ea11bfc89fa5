"""What is missing until the verdict that comes first, if everything goes on in the present proportions."""

import math
from collections.abc import Sequence
from dataclasses import replace

from shadowbus.settings import GateSettings
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.criterion import Needed, Question


def needed(evidence: Evidence, gate: GateSettings, blocking: Sequence[Question], guards: Sequence[Question]) -> Needed:
    """How many more requests and labels it takes, and until which verdict.

    Args:
        evidence: What has been seen.
        gate: What the verdict needs.
        blocking: The questions that PROMOTE needs answered.
        guards: Those that can only lead to SEND BACK.
    """
    if not blocking:
        return Needed(None, None, "No criterion is on, so nothing can be shown.")
    counts = evidence.counts
    promote = _until_promote(counts, gate, blocking)
    back = _until_send_back([*blocking, *guards], counts)
    first = back if back and _requests(back, counts) < _requests(promote, counts) else promote
    if evidence.books_gap and first is promote:
        return replace(first, note=f"The books have to close first. {first.note}")
    return first


def _until_promote(counts: Counts, gate: GateSettings, blocking: Sequence[Question]) -> Needed:
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


def _until_send_back(questions: Sequence[Question], counts: Counts) -> Needed | None:
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
